"""The machine's own commands (ip, nft), run without a shell; their errors become one line."""

import os
import shutil
import subprocess
from collections.abc import Sequence

# Where `ip` and `nft` live; not on the path of every user and cron job.
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
PACKAGES = {"ip": "iproute2", "nft": "nftables", "unshare": "util-linux"}


class LabError(Exception):
    """The machine does not allow or does not have what the lab needs; the text is a line for people."""


class NotPossibleHere(LabError):
    """A privilege, a device or a command is missing on this machine."""


def find_tool(name: str) -> str:
    """The command's path; raises NotPossibleHere with the package to install."""
    path = shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)
    if path is None:
        package = PACKAGES.get(name, name)
        raise NotPossibleHere(f"the command `{name}` is missing: install {package} (apt install {package})")
    return path


def run_tool(command: Sequence[str], text: str | None = None) -> str:
    """Runs a command with `text` on its input and gives its output; raises LabError with its complaint."""
    done = subprocess.run(
        [find_tool(command[0]), *command[1:]],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        process_group=0,  # a Ctrl-C is for us: half a set-up must be ours to remove
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise LabError(f"{' '.join(command)}: {lines[0] if lines else f'exit code {done.returncode}'}")
    return done.stdout
