"""The contestants that are not installed, from Debian's packages."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from multicastmw.cli.lab import LabError

POLICY = Path("/usr/sbin/policy-rc.d")  # Debian asks it whether a package may start its service: 101 is no
QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def can_install() -> bool:
    return shutil.which("apt-get") is not None and os.geteuid() == 0


def install(packages: Iterable[str]) -> None:
    """Installs them without starting a service.  Raises LabError with apt's complaint."""
    with no_services():
        apt("update", "-qq")
        apt("install", "-y", "-qq", "--no-install-recommends", *sorted(set(packages)))


def apt(*told: str) -> None:
    done = subprocess.run(["apt-get", *told], env={**os.environ, **QUIET}, capture_output=True, text=True,
                          check=False)  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise LabError(f"apt-get {told[0]}: {lines[-1] if lines else f'exit code {done.returncode}'}")


@contextmanager
def no_services() -> Iterator[None]:
    """The daemons are for the lab; a service of theirs on this machine is nobody's wish."""
    try:
        descriptor = os.open(POLICY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
    except FileExistsError:  # this machine has a policy, which knows better
        yield
        return
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write("#!/bin/sh\n# of the Multicast Middleware's bench, while it installs\nexit 101\n")
        yield
    finally:
        POLICY.unlink(missing_ok=True)
