"""README.rst is typed as it stands, and at its end a film is seen.  `make walk` installs in earnest, too."""

import re
import subprocess
from typing import Any

from multicastmw.cli.film import find_ffmpeg
from multicastmw.cli.lab import wait_until
from tests import browser as browsers
from tests.netns.kit import PATIENCE, NetnsTestCase, peer_of, why_not
from tests.netns.walk import END, MESH, ROOT, Walk, links, mp4, steps


def members(status: dict[str, Any]) -> list[str]:
    """Groups that the node is in."""
    return [group["group"] for group in status["mesh"]["groups"]]


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
        self.measured("seconds from the click to the film", f"{walk.look(browser):.1f}")
        self.assertEqual([], browser.complaints)
        status = walk.desks["b"].status()
        self.assertEqual([True, True], [peer_of(status, name)["tls"] for name in "ac"])
        self.assertEqual(["Film"], [session["name"] for session in status["sessions"]])

    def test_three_nodes_of_a_mesh_that_know_one_seed(self) -> None:
        lab = self.make_lab("abc")
        clip = lab.state_dir / "none.mp4"
        clip.touch()
        walk = Walk(lab, ROOT, clip)
        for desk in walk.desks.values():
            links(desk, "make install")
        lines = steps(MESH, END)
        *first, send, show = lines
        self.assertEqual(["b# mcmw recv 239.1.2.3"], [f"{host}# {line}" for host, line in first[6:]])
        self.assertEqual([2, 2, 2], [sum(host == name for host, _ in first[:6]) for name in "abc"])
        walk.go(links, first)
        c, b = walk.desks["c"], walk.desks["b"]
        wait_until(lambda: len(c.status()["mesh"]["neighbours"]) == 2, PATIENCE, "that c knows a and b")
        wait_until(lambda: "239.1.2.3" in members(b.status()), PATIENCE, "that b is in the group")
        walk.go(links, [send, show])
        self.assertIn("239.1.2.3 from 10.88.0.3, which c sends", walk.printed)
        receiver = walk.started[-1]
        self.assertEqual(0, receiver.wait(PATIENCE), receiver.last_words())
        self.assertIn("500", receiver.read_output())

    def test_readme_counts_its_steps(self) -> None:
        (said,) = re.findall(r"These are (\d+) commands", (ROOT / "README.rst").read_text())
        self.assertEqual(len(steps()), int(said))
        self.assertEqual({"a", "b", "c"}, {step.host for step in steps()})
