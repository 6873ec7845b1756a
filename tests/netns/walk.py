"""What README.rst has a newcomer type, typed: `make walk`, as root.

Three hosts, each a network namespace with a copy of this machine's files that is thrown away (an overlay), so
that each has its own /etc/mcmw, /run/mcmw and /opt/mcmw.  Every line `HOST# COMMAND` of README.rst's "Three
hosts in five minutes" is given to a shell of that host.  Then a browser on the host of the last one opens the
URL that it printed, and clicks what README.rst says: Sessions, and the preview.

What is otherwise than with three real hosts: `make install` is run beside the namespace, as it fetches
packages, and a namespace reaches nobody but the other hosts; what scp copies is copied by cp; b.example.net
is in /etc/hosts.
"""

import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from multicastmw.cli.film import find_ffmpeg
from multicastmw.cli.lab import Host, Lab, wait_until
from multicastmw.cli.lab.process import Process
from tests.browser import Browser
from tests.netns.screenshots import film, small

FILM = 120.0  # seconds until a film's picture must move; a newcomer's machine shows it within a few
ROOT = Path(__file__).parents[2]
SECTION = "Three hosts in five minutes"
MESH = "More hosts than one would draw a tree of"
END = "Play something"
STEP = re.compile(r"^    ([abc])# (.+)$", re.MULTILINE)
GOES_ON = ("/opt/mcmw/bin/twistd", "ffmpeg", "mcmw recv")  # commands that have a terminal to themselves
SOURCE = "/src"  # where the host has the project

# The host: its own copy of every file, and names of the others.
MAKE = r"""
set -eu
new=/mnt
mount -t tmpfs tmpfs $new
mkdir $new/upper $new/work $new/root
mount -t overlay overlay -o lowerdir=/,upperdir=$new/upper,workdir=$new/work $new/root
root=$new/root
mount -t proc proc $root/proc
mount --rbind /dev $root/dev
mount -t sysfs sysfs $root/sys
mount -t tmpfs tmpfs $root/run
mount -t tmpfs tmpfs $root/tmp
rm -rf $root/etc/mcmw $root/opt/mcmw
mkdir -p $root/src $root/root $root@VENV@ $root@ROOT@
mount --bind @CLONE@ $root/src
mount --bind @ROOT@ $root@ROOT@
mount --bind @VENV@ $root@VENV@
printf '%s\n' '127.0.0.1 localhost' @HOSTS@ > $root/etc/hosts
hostname @NAME@
cp @FILM@ $root/root/film.mp4
touch $root/run/made
exec chroot $root sleep infinity
"""


class Step(NamedTuple):
    """One line of README.rst."""

    host: str
    command: str


def steps(section: str = SECTION, until: str = MESH) -> list[Step]:
    """As README.rst has them, from one heading to another."""
    text = (ROOT / "README.rst").read_text().partition(f"\n{section}\n")[2]
    return [Step(*found) for found in STEP.findall(text.partition(f"\n{until}\n")[0])]


class Desk:
    """A host of the walk, and whoever sits before it as root."""

    def __init__(self, host: Host, clone: Path, clip: Path, names: dict[str, str]) -> None:
        self.host = host
        hosts = " ".join(shlex.quote(f"{address} {name}") for name, address in names.items())
        script = MAKE.replace("@CLONE@", str(clone)).replace("@ROOT@", str(ROOT)).replace("@HOSTS@", hosts)
        script = (
            script.replace("@NAME@", host.name).replace("@FILM@", str(clip)).replace("@VENV@", sys.prefix)
        )
        self._files = host.spawn(
            ["unshare", "--mount", "--uts", "sh", "-c", script], log=f"{host.name}-files"
        )
        self.at = f"/proc/{self._files.pid}/root"
        wait_until(lambda: Path(self.at, "run/made").exists(), 30, f"the files of {host.name}")

    def command(self, line: str, network: bool = True) -> list[str]:
        """To run a line here; without `network` it has this machine's."""
        inside = ["nsenter", f"--target={self._files.pid}", "--mount", "--uts", "--root", "--wd=/root"]
        inside += ["--net"] if network else []
        folder = SOURCE if line.startswith("make ") else "/root"
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return [*inside, "env", "HOME=/root", f"PATH={path}", "sh", "-c", f"cd {folder} && {line}"]

    def types(self, line: str, network: bool = True) -> str:
        """What it prints; raises AssertionError where it fails."""
        done = subprocess.run(self.command(line, network), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{self.host.name}# {line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def status(self) -> dict[str, Any]:
        """What `mcmw show --json` says here."""
        found: dict[str, Any] = json.loads(self.types("mcmw show --json"))
        return found

    def starts(self, line: str, log: str) -> Process:
        """In a terminal of its own."""
        lab = self.host.lab
        out, errors = lab.state_dir / f"{log}.out", lab.state_dir / f"{log}.log"
        with out.open("wb") as output, errors.open("wb") as err:
            popen = subprocess.Popen(
                self.command(f"exec {line}"), stdin=subprocess.DEVNULL, stdout=output, stderr=err,
                start_new_session=True,
            )  # fmt: skip
        process = Process(popen, f"{self.host.name}# {line}", errors, out)
        lab.own(process)
        return process


class Walk:
    """The lines of README.rst, one after another; `installs` does what `make install` is to do."""

    def __init__(
        self, lab: Lab, clone: Path, clip: Path, say: Callable[[str], None] = lambda line: None
    ) -> None:
        addresses = {host.name: host.address for host in lab.hosts}
        names = {f"{name}.example.net": address for name, address in addresses.items()}
        self.desks = {host.name: Desk(host, clone, clip, names) for host in lab.hosts}
        self.printed = ""
        self.started: list[Process] = []  # what has a terminal to itself
        self._say = say

    def go(self, installs: Callable[[Desk, str], None], lines: list[Step] | None = None) -> None:
        for number, step in enumerate(lines or steps(), 1):
            began = time.monotonic()
            self._one(step, installs)
            self._say(f"{number:3}  {time.monotonic() - began:6.1f} s  {step.host}# {step.command}")

    def _one(self, step: Step, installs: Callable[[Desk, str], None]) -> None:
        desk, line = self.desks[step.host], step.command
        if line.startswith("make "):
            installs(desk, line)
        elif found := re.fullmatch(r"scp (\S+)/\* root@(\w)\.example\.net:(\S+)/", line):
            folder, other, target = found.groups()
            (there,) = (each for name, each in self.desks.items() if name == other)
            source = f"{desk.at}{Path('/root', folder)}/."
            subprocess.run(["cp", "-r", source, f"{there.at}{target}/"], check=True)
        elif line.startswith(GOES_ON):
            process = desk.starts(line, f"{step.host}-{'node' if 'twistd' in line else line.split()[0]}")
            self.started.append(process)
            if "twistd" in line:
                self._await_node(desk, process)
        else:
            self.printed = desk.types(line)

    def _await_node(self, desk: Desk, process: Process) -> None:
        """As one who sees the line `ready` in the terminal."""

        def answers() -> bool:
            assert process.poll() is None, process.last_words()
            said = subprocess.run(desk.command("mcmw health"), capture_output=True, check=False)
            return said.returncode == 0

        wait_until(answers, 30, f"the node of {desk.host.name}")

    def look(self, browser: Browser) -> float:
        """Opens the URL, goes to Sessions, presses the button; returns the seconds from there to the film."""
        browser.go(self.printed.strip())
        try:
            browser.until("document.querySelectorAll('.lane').length", "the page")
            browser.click("#tab-sessions")
            browser.until("!!document.querySelector('.play:not([disabled])')", "the session")
            browser.click(".play")
            began = time.monotonic()
            browser.until("document.querySelector('#preview-video').currentTime > 2", "the film", FILM)
        except AssertionError as error:
            said = [desk.types("mcmw show") for desk in self.desks.values()]
            raise AssertionError(
                "\n".join([str(error), video(browser), browser.text("body"), *said])
            ) from error
        return time.monotonic() - began


def video(browser: Browser) -> str:
    """Where the preview stands: what it says, the player's position, and what is in its buffer."""
    found = browser.ask(
        "((video, buffered) => JSON.stringify({"
        "says: document.querySelector('#preview-say').innerText,"
        " at: video.currentTime, ready: video.readyState, paused: video.paused, error: video.error?.message,"
        " buffered: Array.from(buffered, (_, n) => [buffered.start(n), buffered.end(n)]),"
        " frames: video.getVideoPlaybackQuality()?.totalVideoFrames,"
        "}))(document.querySelector('#preview-video'), document.querySelector('#preview-video').buffered)"
    )
    return f"the preview: {found}"


def links(desk: Desk, line: str) -> None:
    """What `make install` leaves behind, of this very environment."""
    root = Path(desk.at)
    root.joinpath("etc/mcmw").mkdir()
    root.joinpath("opt/mcmw").symlink_to(sys.prefix)
    root.joinpath("usr/local/bin/mcmw").unlink(missing_ok=True)
    root.joinpath("usr/local/bin/mcmw").symlink_to(Path(sys.prefix, "bin/mcmw"))


def mp4(clip: Path) -> Path:
    """A film as people have them, of several minutes: this clip again and again."""
    once, found = clip.with_name("once.mp4"), clip.with_name("film.mp4")
    quiet = [find_ffmpeg(), "-nostdin", "-v", "error", "-y"]
    subprocess.run([*quiet, "-i", str(clip), "-c", "copy", str(once)], check=True)
    subprocess.run([*quiet, "-stream_loop", "30", "-i", str(once), "-c", "copy", str(found)], check=True)
    return found


def main(arguments: list[str]) -> None:
    """Installs in earnest but for --here; the picture goes into the folder that is given."""
    folder = Path(next((each for each in arguments if each != "--here"), ROOT / "docs" / "screenshots"))
    began = time.monotonic()

    def say(line: str) -> None:
        print(line, flush=True)

    def installs(desk: Desk, line: str) -> None:
        desk.types(line, network=False)

    with tempfile.TemporaryDirectory(prefix="mcmw-walk-", ignore_cleanup_errors=True) as state:
        Path(state).chmod(0o755)
        clone = Path(state) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        clip = Path(state) / "clip.ts"
        film(clip)
        mp4(clip)
        with Lab("mcmw-walk", state, "abc") as lab:
            began = time.monotonic()
            walk = Walk(lab, clone, clip.with_name("film.mp4"), say)
            walk.go(links if "--here" in arguments else installs)
            browser = Browser(walk.desks["c"].host, Path(state))
            try:
                browser.size(1440, 860)
                browser.prefers(color_scheme="dark")
                say(f"the film was seen {walk.look(browser):.1f} s after the click")
                say(f"{len(steps())} commands and 2 clicks: {(time.monotonic() - began) / 60:.1f} minutes")
                path = folder / "first-film.png"
                browser.picture(path)
                small(path)
            finally:
                browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
