"""A demo without root: this command again, as root of namespaces of its own.

In a user namespace an ordinary user is root over the network and mount namespaces that belong to it, and over
nothing else.  /run is an empty one of its own there, where `ip netns` and the lab keep what they know.  All
of it goes with the last process in it, so nothing can be kept up for a later command.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence

from multicastmw.cli.lab import NotPossibleHere
from multicastmw.cli.lab.tools import find_tool

PRIVATE_RUN = 'mount -t tmpfs -o mode=755 mcmw /run && exec "$0" "$@"'
LINE = "not root, so the demo runs as root of namespaces of its own"


def why_not() -> str:
    """What keeps this user from namespaces of his own; empty where nothing does."""
    try:
        tried = subprocess.run(
            _inside(["true"]), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except NotPossibleHere as error:
        return str(error)
    lines = tried.stderr.split("\n")
    return "" if tried.returncode == 0 else lines[0] or f"exit code {tried.returncode}"


def become_root(arguments: Sequence[str], say: Callable[[str], None]) -> None:
    """Runs `mcmw ARGUMENTS` in their place and does not return.  Raises NotPossibleHere."""
    if why := why_not():
        raise NotPossibleHere(
            f"network namespaces need root: sudo mcmw demo (namespaces of your own would do, but: {why})"
        )
    say(LINE)
    command = _inside([sys.executable, "-P", "-m", "multicastmw.cli.main", *arguments])
    # Nobody outside is known inside, so nothing can be given to whoever called sudo.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SUDO_")}
    os.execve(command[0], command, environment)


def _inside(command: Sequence[str]) -> list[str]:
    unshare = [find_tool("unshare"), "--user", "--map-root-user", "--net", "--mount"]
    return [*unshare, "--", "sh", "-c", PRIVATE_RUN, *command]
