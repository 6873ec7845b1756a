"""System calls a packet, counted exactly: strace writes every call of a child, and marks fence the loops.

    access("/mark/0/ours/begin", F_OK) = -1 ENOENT
    readv(7, ...) = 1358
    ...
    access("/mark/0/ours/end", F_OK) = -1 ENOENT

So neither the set-up nor the filling of the queues is in the count, and nothing has to be subtracted.  A
burst's last read, which says that there is no more, is in it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.slowpath import BURST, VARIANTS

MARK = re.compile(r'access\("/mark/(\d)/(\w+)/(begin|end)"')
CALL = re.compile(r"^(?:\d+\s+)?(\w+)\(")
TITLES = (
    "TAP to two links",
    "link to TAP and two links",
    "the same, sent in runs",
    "the same, of drawn sizes",
)


def count_fenced(lines: Iterable[str]) -> dict[tuple[int, str], Counter[str]]:
    """Calls by name between the marks of each (way, variant)."""
    found: dict[tuple[int, str], Counter[str]] = {}
    inside: Counter[str] | None = None
    for line in lines:
        if mark := MARK.search(line):
            index, variant, edge = mark.groups()
            inside = found.setdefault((int(index), variant), Counter()) if edge == "begin" else None
        elif inside is not None and (call := CALL.match(line)):
            inside[call[1]] += 1
    return found


def why_not() -> str | None:
    """Why nothing can be counted here."""
    if not shutil.which("strace"):
        return "strace is missing (apt install strace): system calls are not counted"
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"strace does not work here: {tried.stderr.strip()[:60]}"


def measure(bursts: int) -> dict[str, dict[str, Any]]:
    """By way and variant: calls a packet, all and by name."""
    with tempfile.TemporaryDirectory(prefix="mcmw-bench-") as folder:
        log = Path(folder, "strace")
        command = ["unshare", "--net", "strace", "-f", "-s", "64", "-o", str(log)]
        command += [sys.executable, "-m", "bench.slowpath", "count", str(bursts)]
        subprocess.run(command, check=True, cwd=Path(__file__).parent.parent)
        with log.open(errors="replace") as lines:
            found = count_fenced(lines)
    packets = bursts * BURST
    return {
        title: {
            variant: {
                "calls": sum(found[index, variant].values()) / packets,
                "by_name": {name: n / packets for name, n in found[index, variant].most_common()},
            }
            for variant in VARIANTS
        }
        for index, title in enumerate(TITLES)
    }
