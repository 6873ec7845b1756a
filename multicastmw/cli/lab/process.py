"""Processes that the lab started, and how they end.

A process is known by its number *and* its start time, so that a number that the kernel gave to
somebody else is never taken for ours.  Each one leads a session of its own.  What it forked in turn
(VLC behind runuser) is found by that session and counts as ours only inside the lab's namespaces.
Signals go through pidfds: between the look and the signal nobody can take the number's place.
"""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

GRACE = 3.0  # seconds from SIGTERM to SIGKILL: a node says Close to its peers first
TAIL = 2000  # bytes of a log that an error message looks at


class Identity(NamedTuple):
    """A process number and its start time (clock ticks since boot, field 22 of /proc/PID/stat)."""

    pid: int
    start: int


def stat(pid: int) -> tuple[int, int] | None:
    """Session and start time of a process that lives (a zombie does not), else None."""
    try:
        text = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return None
    # The name in brackets may hold spaces and brackets; the fields follow its last one.
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else (int(fields[3]), int(fields[19]))


def is_alive(who: Identity) -> bool:
    found = stat(who.pid)
    return found is not None and found[1] == who.start


def _network(pid: int) -> int | None:
    """The inode of a process's network namespace."""
    try:
        return Path("/proc", str(pid), "ns/net").stat().st_ino
    except OSError:
        return None


def family(leaders: Iterable[Identity], networks: Collection[int]) -> list[Identity]:
    """The leaders that live, and the processes of their sessions inside the namespaces `networks`."""
    recorded = dict(leaders)
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or (facts := stat(int(entry))) is None:
            continue
        session, start = facts
        who = Identity(int(entry), start)
        if recorded.get(who.pid) == start or (session in recorded and _network(who.pid) in networks):
            found.append(who)
    return found


def end(leaders: Iterable[Identity], networks: Collection[int], grace: float = GRACE) -> None:
    """Ends the processes and their families: SIGTERM, and SIGKILL to those that stay."""
    leaders = list(leaders)
    for sign, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, grace)):
        _signal_and_await(family(leaders, networks), sign, patience)


def _signal_and_await(processes: Iterable[Identity], sign: signal.Signals, patience: float) -> None:
    """Sends the signal and returns when all have ended, at the latest after `patience` seconds."""
    living = select.poll()
    waiting = set()
    try:
        for who in processes:
            try:
                handle = os.pidfd_open(who.pid)
            except OSError:
                continue
            waiting.add(handle)
            if is_alive(who):
                with contextlib.suppress(OSError):
                    signal.pidfd_send_signal(handle, sign)
            living.register(handle, select.POLLIN)
        limit = time.monotonic() + patience
        while waiting and (left := limit - time.monotonic()) > 0:
            for handle, _ in living.poll(left * 1000):
                living.unregister(handle)
                waiting.discard(handle)
                os.close(handle)
    finally:
        for handle in waiting:
            os.close(handle)


class Process:
    """One process on a host: its identity, its log, its end."""

    def __init__(self, popen: "subprocess.Popen[bytes]", title: str, log: Path, output: Path) -> None:
        self._popen = popen
        self.title = title
        self.log = log
        self.output = output
        found = stat(popen.pid)
        # Until it is reaped the number stays its own, so 0 (ended already) never meets another's start.
        self.identity = Identity(popen.pid, found[1] if found else 0)

    @property
    def pid(self) -> int:
        return self.identity.pid

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._popen.poll()

    def wait(self, timeout: float) -> int:
        """The exit code; raises subprocess.TimeoutExpired."""
        return self._popen.wait(timeout)

    def signal(self, sign: signal.Signals) -> None:
        """Sends a signal to the process, if it still runs."""
        self._popen.send_signal(sign)

    def terminate(self, timeout: float = GRACE) -> int:
        """SIGTERM, and SIGKILL after `timeout` seconds; gives the exit code."""
        self._popen.terminate()
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        self._popen.kill()
        return self._popen.wait()

    def read_output(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def last_words(self) -> str:
        """The last line of the log that says something."""
        if not self.log.exists():
            return ""
        lines = self.log.read_bytes()[-TAIL:].decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
