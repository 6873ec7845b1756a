"""Synthetic sites that need not import everything again: one process has, and forks each that a test wants.

`Served` is the tests' side.  Run as a program this file is the other one: each line of JSON, the options of
tests/web/synthetic.py, is answered by a line with the port and the process number of the site.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from tests.web import synthetic

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
NURSERY: list[subprocess.Popen[str]] = []


class Served:
    """A site, as a process of its own."""

    def __init__(self, nodes: int, groups: int, port: int = 0, *more: str) -> None:
        told = ["--nodes", str(nodes), "--groups", str(groups), "--port", str(port), *more]
        nursery = _nursery()
        assert nursery.stdin and nursery.stdout
        nursery.stdin.write(json.dumps(told) + "\n")
        nursery.stdin.flush()
        self.port, pid = map(int, nursery.stdout.readline().split())
        self.url = f"http://127.0.0.1:{self.port}/"
        self._process: int | None = os.pidfd_open(pid)

    def stop(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended = select.poll()
        ended.register(process, select.POLLIN)
        if not ended.poll(PATIENCE * 1000):
            raise AssertionError(f"the site still runs after {PATIENCE:g} s")
        os.close(process)


def _nursery() -> "subprocess.Popen[str]":
    """The only one of this process; it ends when nobody writes to it any more."""
    if not NURSERY:
        command = [sys.executable, "-m", "tests.web.sites"]
        started = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        NURSERY.append(started)
        assert started.stdin
        atexit.register(started.stdin.close)
    return NURSERY[0]


# --- the other side


def main() -> None:
    import twisted.internet.epollreactor
    import twisted.web.server  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    for line in iter(sys.stdin.readline, ""):
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with open(os.devnull) as nothing:
                os.dup2(nothing.fileno(), 0)
            synthetic.serve(json.loads(line))
            return


if __name__ == "__main__":
    main()
