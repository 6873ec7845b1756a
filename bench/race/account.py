"""Whose processor time a run took, from /proc, and what memory the relay holds.

A process's time is the sum over its threads of what the scheduler measured (schedstat, in nanoseconds).  The
kernel's work for a packet is in there: on a virtual cable the whole way to the next queue is gone inside the
system call of whoever sent, softirq and all, unless the kernel keeps books about interrupts of its own
(CONFIG_IRQ_TIME_ACCOUNTING; Debian's does not).  What softirqs leave to ksoftirqd is that thread's time.

    relay    the processes in b's namespace without the sink: what the relaying daemon costs; nothing for
             contestants that relay in the kernel
    all      every process of the lab, the source, the sinks and ksoftirqd: the only fair figure where the
             kernel relays, as its work is in the source's `send`
    others   the machine's busy time that is not ours: how far a run can be believed
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from multicastmw.cli.lab.process import Identity, stat
from multicastmw.cli.lab.registry import network_of

TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1


class Books(NamedTuple):
    """What has been spent up to a moment, in seconds."""

    by_host: dict[str, dict[Identity, float]]
    softirqd: float
    idle: float  # of all cores together
    at: float  # the machine's clock, of all cores together


class Spent(NamedTuple):
    """Seconds of a core between two looks into the books."""

    relay: float
    lab: float  # all the lab's processes that lived at both ends
    softirqd: float
    busy: float
    span: float


def used(pid: int) -> float:
    """Seconds on a core, of all threads; 0 for one that is gone."""
    total = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    except (OSError, IndexError):
        pass
    return total / 1e9


def everyone() -> dict[int, list[Identity]]:
    """Living processes by the inode of their network namespace; kernel threads are in the machine's."""
    found: dict[int, list[Identity]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            network = Path("/proc", entry, "ns/net").stat().st_ino
        except OSError:
            continue
        if facts := stat(int(entry)):
            found.setdefault(network, []).append(Identity(int(entry), facts[1]))
    return found


def softirq_threads() -> list[int]:
    """The process numbers of ksoftirqd, one a core."""
    return [
        int(entry)
        for entry in os.listdir("/proc")
        if entry.isdigit() and _name(int(entry)).startswith("ksoftirqd/")
    ]


def look(namespaces: dict[str, str], softirqd: Iterable[int]) -> Books:
    """The books of the hosts (name: namespace) now."""
    living = everyone()
    by_host = {
        host: {who: used(who.pid) for who in living.get(network_of(namespace) or 0, ())}
        for host, namespace in namespaces.items()
    }
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    resting = fields[3] + fields[4]
    return Books(by_host, sum(map(used, softirqd)), resting / TICK, sum(fields) / TICK)


def between(before: Books, after: Books, relay: str, sinks: Iterable[int]) -> Spent:
    """What was spent from one look to the next; `sinks` are process numbers that are no relay's."""
    tools = set(sinks)
    by_host = {
        host: {who: spent - before.by_host[host].get(who, 0.0) for who, spent in table.items()}
        for host, table in after.by_host.items()
    }
    span = after.at - before.at
    return Spent(
        relay=sum(spent for who, spent in by_host[relay].items() if who.pid not in tools),
        lab=sum(sum(table.values()) for table in by_host.values()),
        softirqd=after.softirqd - before.softirqd,
        busy=span - (after.idle - before.idle),
        span=span,
    )


def set_group_niceness(pids: Iterable[int], nice: int) -> None:
    """Sets the niceness of the processes' sessions.

    Where the kernel groups processes by session (sched_autogroup) a process's own counts inside its group
    only, and the lab starts each one in a session of its own.
    """
    for pid in pids:
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text(str(nice))


def memory(pids: Iterable[int]) -> dict[str, float]:
    """MiB of these processes: resident (shared pages count in each), and in proportion to who shares them."""
    total = {"rss_mib": 0.0, "pss_mib": 0.0}
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
        total["rss_mib"] += sizes.get("Rss", 0) / 1024
        total["pss_mib"] += sizes.get("Pss", 0) / 1024
    return total


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""
