"""The source and the sink, compiled when they are needed: the C compiler is the machine's."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from multicastmw.cli.lab import LabError, NotPossibleHere
from multicastmw.cli.lab.tools import find_tool

HERE = Path(__file__).parent
FLAGS = ("-O2", "-Wall", "-Wextra")


class Tools(NamedTuple):
    """The two programs."""

    source: Path
    sink: Path


def build(folder: Path) -> Tools:
    """Compiles both into `folder`.  Raises LabError with the compiler's first complaint."""
    try:
        compiler = find_tool("cc")
    except NotPossibleHere:
        raise NotPossibleHere("a C compiler is missing: install gcc (apt install gcc libc6-dev)") from None
    for name in Tools._fields:
        command = [compiler, *FLAGS, "-o", str(folder / name), str(HERE / f"{name}.c")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            complaint = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr)
            raise LabError(f"{name}.c does not compile: {complaint.strip()}")
    return Tools(folder / "source", folder / "sink")
