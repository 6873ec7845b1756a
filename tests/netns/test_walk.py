"""README.rst is typed as it stands, and at its end a film is seen.  `make walk` installs in earnest, too."""

import re
import subprocess

from multicastmw.cli.film import find_ffmpeg
from tests import browser as browsers
from tests.netns.kit import NetnsTestCase, peer_of, why_not
from tests.netns.walk import ROOT, Walk, links, mp4, steps


class Newcomer(NetnsTestCase):
    skip = why_not("unshare", "nsenter") or browsers.why_not()

    def test_three_nodes_with_tls_and_a_film_on_the_page(self) -> None:
        lab = self.make_lab("abc")
        clip = lab.state_dir / "clip.ts"
        picture, sound = "testsrc2=size=320x180:rate=25", "sine=frequency=330"
        inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-t", "10"]
        codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"]
        quiet = [find_ffmpeg(), "-nostdin", "-v", "error"]
        subprocess.run([*quiet, *inputs, *codecs, "-f", "mpegts", str(clip)], check=True)
        walk = Walk(lab, ROOT, mp4(clip))
        walk.go(links)
        browser = browsers.Browser(walk.desks["c"].host, lab.state_dir)
        self.addCleanup(browser.close)
        walk.look(browser)
        self.assertEqual([], browser.complaints)
        status = walk.desks["b"].status()
        self.assertEqual([True, True], [peer_of(status, name)["tls"] for name in "ac"])
        self.assertEqual(["Film"], [session["name"] for session in status["sessions"]])

    def test_readme_counts_its_steps(self) -> None:
        (said,) = re.findall(r"These are (\d+) commands", (ROOT / "README.rst").read_text())
        self.assertEqual(len(steps()), int(said))
        self.assertEqual({"a", "b", "c"}, {step.host for step in steps()})
