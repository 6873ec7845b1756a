"""The forwarder, compiled when it is needed: the C compiler is the machine's."""

import subprocess
from pathlib import Path

from bench.race.built import FLAGS
from multicastmw.cli.lab import LabError, NotPossibleHere
from multicastmw.cli.lab.tools import find_tool

SOURCE = Path(__file__).with_name("forwarder.c")


def build(folder: Path) -> Path:
    """Compiles it into `folder`.  Raises LabError with the compiler's first complaint."""
    try:
        compiler = find_tool("cc")
    except NotPossibleHere:
        raise NotPossibleHere("a C compiler is missing: install gcc (apt install gcc libc6-dev)") from None
    program = folder / "forwarder"
    command = [compiler, *FLAGS, "-o", str(program), str(SOURCE), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        complaint = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr)
        raise LabError(f"{SOURCE.name} does not compile: {complaint.strip()}")
    return program
