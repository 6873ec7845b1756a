"""What a contestant is: a name, what it needs, and how figure 4 is set up with it."""

import re
import subprocess
from collections.abc import Sequence
from typing import ClassVar

from multicastmw.cli.lab import Host, Lab, NotPossibleHere, wait_until
from multicastmw.cli.lab.tools import find_tool

HUB, LEAVES = "b", ("a", "c", "d")
DEVICE = "ov0"  # each host's end of the overlay
PATIENCE = 20.0  # seconds for a daemon to make its device


class Contestant:
    """One way to carry a group from a over b to b, c and d."""

    commands: ClassVar[dict[str, str]] = {}  # what has to be installed: command and Debian package
    note = ""
    settle = 0.0  # seconds until what it does in the background is over

    def __init__(self, name: str, title: str, cipher: str = "none", transport: str = "UDP") -> None:
        self.name = name
        self.title = title
        self.cipher = cipher
        self.transport = transport

    def missing(self) -> dict[str, str]:
        """The commands that are not installed, and their packages."""
        return {command: package for command, package in self.commands.items() if not _found(command)}

    def why_not(self) -> str | None:
        """Why it cannot take part here, None if it can."""
        absent = ", ".join(sorted(set(self.missing().values())))
        return f"not installed: {absent}" if absent else None

    def version(self) -> str:
        """What is measured, in a few words."""
        raise NotImplementedError

    def start(self, lab: Lab) -> dict[str, str]:
        """Sets it up; gives the device of each host on which programs send and receive."""
        raise NotImplementedError

    def check(self, lab: Lab, group: str) -> None:
        """Packets of the group flow: raises LabError or TimedOut if they do not go as the title says."""


def _found(command: str) -> bool:
    try:
        find_tool(command)
    except NotPossibleHere:
        return False
    return True


def overlay_address(host: Host) -> str:
    return f"10.88.0.{host.index}/24"


def bring_up(host: Host, device: str = DEVICE) -> None:
    """Waits for the device, gives it the host's overlay address and sets it up."""
    await_device(host, device)
    host.ip(f"address replace {overlay_address(host)} dev {device}", f"link set {device} up")


def await_device(host: Host, device: str) -> None:
    command = ["ip", "-o", "link", "show", "dev", device]
    wait_until(lambda: host.run(command).returncode == 0, PATIENCE, f"{device} on {host.name}")


def everywhere(lab: Lab, device: str = DEVICE) -> dict[str, str]:
    return {host.name: device for host in lab.hosts}


def says(command: Sequence[str], pattern: str) -> str:
    """The part of what a command prints that the pattern's first group finds, else nothing."""
    try:
        done = subprocess.run([find_tool(command[0]), *command[1:]], capture_output=True, text=True,
                              check=False, timeout=10, stdin=subprocess.DEVNULL)  # fmt: skip
    except (NotPossibleHere, OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else ""


def package_version(package: str) -> str:
    """Debian's upstream version, for programs that do not tell their own."""
    return says(["dpkg-query", "-W", "-f", "${Version}", package], r"^(?:\d+:)?([^-]+)")
