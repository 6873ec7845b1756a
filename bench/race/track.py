"""A contestant in a lab, with a sink on each receiving host, and runs over it."""

import itertools
import json
import os
import signal
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from bench.race import account
from bench.race.built import Tools
from multicastmw.cli.lab import Host, Lab, LabError, Process, TimedOut, wait_until

GROUP, PORT = "239.9.9.9", 5004
SOURCE, RELAY, RECEIVERS = "a", "b", ("b", "c", "d")
LOSS = 0.001  # below this share at every receiver a run held
OFFERED = (
    0.93  # below this share of what was asked for the source could not keep up, and the run did not hold
)
PATIENCE = 30.0  # seconds until the first packets come through
DRAIN = 0.25  # seconds after the last packet: what is still in a queue arrives
WARM = 200.0  # packets/s

Histogram = list[tuple[int, int]]
_numbers = itertools.count(1)


class Run(NamedTuple):
    """What came of one run; delays in nanoseconds, by host."""

    size: int
    rate: float  # asked for
    offered: float  # really sent, packets/s
    sent: int
    received: dict[str, int]
    duplicates: int
    disordered: int
    delays: dict[str, Histogram]
    relay_cpu: float
    all_cpu: float
    others: float  # share of the machine that was busy with something else

    @property
    def loss(self) -> float:
        """Of the receiver that missed most."""
        return 1 - min(self.received.values()) / self.sent if self.sent else 1.0

    @property
    def held(self) -> bool:
        return self.loss < LOSS and self.offered >= OFFERED * self.rate

    @property
    def deliveries(self) -> int:
        return sum(self.received.values())


class Track:
    """The sinks and the source of one lab; `devices` says where each host's programs send and receive."""

    def __init__(self, lab: Lab, tools: Tools, devices: Mapping[str, str]) -> None:
        self._lab = lab
        self._tools = tools
        self._devices = devices
        self._spaces = {host.name: host.namespace for host in lab.hosts}
        self._softirqd = account.softirq_threads()
        self._sinks = {name: self._start_sink(lab.host(name)) for name in RECEIVERS}
        self._share_priority()

    def run(self, size: int, rate: float, seconds: float) -> Run:
        """Sends for so long and waits until the sinks have told.  Raises LabError when the source cannot."""
        number = next(_numbers)
        before = account.look(self._spaces, self._softirqd)
        command = [str(self._tools.source), self._devices[SOURCE], GROUP, str(PORT), str(number), str(size),
                   f"{rate:.3f}", f"{seconds:.3f}"]  # fmt: skip
        done = self._lab.host(SOURCE).run(command, timeout=seconds + 30)
        if done.returncode:
            raise LabError(f"the source ended: {done.stderr.strip()[-200:]}")
        time.sleep(DRAIN)
        after = account.look(self._spaces, self._softirqd)
        said = json.loads(done.stdout)
        told = {name: self._ask(sink, number) for name, sink in self._sinks.items()}
        spent = account.between(before, after, RELAY, (sink.pid for sink in self._sinks.values()))
        ours = spent.lab + said["cpu"] + spent.softirqd
        return Run(
            size=size, rate=rate, offered=said["rate"], sent=said["sent"],
            received={name: report["received"] for name, report in told.items()},
            duplicates=sum(report["duplicates"] for report in told.values()),
            disordered=sum(report["disordered"] for report in told.values()),
            delays={name: [(at, n) for at, n in report["delays_ns"]] for name, report in told.items()},
            relay_cpu=spent.relay, all_cpu=ours, others=max(0.0, spent.busy - ours) / spent.span,
        )  # fmt: skip

    def warm_up(self) -> None:
        """Returns when a short run comes through whole.  Raises TimedOut."""
        last: list[Run] = []

        def whole() -> bool:
            last[:] = [self.run(1316, WARM, 0.5)]
            return last[0].loss < 0.02

        try:
            wait_until(whole, PATIENCE, "packets at b, c and d")
        except TimedOut as error:
            raise TimedOut(f"{error}; of {last[0].sent} came {last[0].received}") from None

    def relay_memory(self) -> dict[str, float]:
        """Of the processes on b, without the sink."""
        living = account.look({RELAY: self._spaces[RELAY]}, ()).by_host[RELAY]
        return account.memory(who.pid for who in living if who.pid != self._sinks[RELAY].pid)

    def _share_priority(self) -> None:
        """Everybody in the lab has this process's niceness, in whatever session."""
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        tables = account.look(self._spaces, ()).by_host.values()
        account.set_group_niceness([os.getpid(), *(who.pid for table in tables for who in table)], nice)

    def _start_sink(self, host: Host) -> Process:
        command = [str(self._tools.sink), self._devices[host.name], GROUP, str(PORT)]
        sink = host.spawn(command, log=f"{host.name}-sink", title=f"the sink on {host.name}")
        wait_until(lambda: "ready" in sink.read_output() or _fail(sink), 15, f"{sink.title} ready")
        return sink

    def _ask(self, sink: Process, number: int) -> dict[str, Any]:
        """What a sink received of a run; nothing, if that run's packets never came."""
        known = sink.read_output().count("\n")
        sink.signal(signal.SIGUSR1)
        wait_until(
            lambda: sink.read_output().count("\n") > known or _fail(sink), 15, f"{sink.title}'s report"
        )
        report: dict[str, Any] = json.loads(sink.read_output().splitlines()[-1])
        if report["run"] != number:
            return {"run": number, "received": 0, "duplicates": 0, "disordered": 0, "delays_ns": []}
        return report


def _fail(process: Process) -> bool:
    """False while the process lives; else raises LabError with its last words."""
    if process.poll() is None:
        return False
    raise LabError(f"{process.title} ended: {process.last_words()}")
