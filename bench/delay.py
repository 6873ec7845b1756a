"""One-way delay through figure 4 on real nodes, against the kernel's unicast forwarding in the same run.

    kernel      a --> c             plain UDP to c's address, routed by the internet between the hosts
    relay       a --> b --> c, d    plain UDP to a loop in Python on b, which receives and sends twice
    udp, tcp    a --> b --> c, d    multicast into a's TAP, through the nodes, out of the others' TAPs
    udp, no gc                      the same with Python's garbage collector switched off in every node

Rounds go through all of them in turn, so that they share the machine's noise, and a ratio is the median of
the rounds' ratios.  A delay is from just before the program's `send` until the receiving host's kernel has
the packet for the socket (SO_TIMESTAMPNS), both on the machine's one CLOCK_REALTIME.

Processor time is b's process's, the kernel's work in its system calls included.
"""

import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.sink import RECORD
from multicastmw.cli.lab import Host, Lab, Process, wait_until
from multicastmw.cli.overlay import DEVICE, FigureFour

HERE = Path(__file__).parent
PREFIX = "mcmw-bench"
GROUP = "239.1.2.3"
SIZE, RATE = 1316, 1000
MEDIA, PLAIN, RELAY, RELAYED = 5004, 5005, 5006, 5007
SETTLED = 3.0  # seconds after the start, when the start-up queries are out
SETTLE = 0.5  # seconds after the last packet of a round
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
Say = Callable[[str], None]


class Way(NamedTuple):
    """One way to go: whose lab, where the source sends to, where it arrives."""

    name: str
    lab: str
    target: Callable[[Lab], tuple[str, int]]
    device: str
    hosts: str
    port: int


def group(lab: Lab) -> tuple[str, int]:
    return GROUP, MEDIA


PATHS = (
    Way("kernel", "udp", lambda lab: (lab.host("c").address, PLAIN), "", "c", PLAIN),
    Way("relay", "udp", lambda lab: (lab.host("b").address, RELAY), "", "cd", RELAYED),
    Way("udp", "udp", group, DEVICE, "bcd", MEDIA),
    Way("tcp", "tcp", group, DEVICE, "bcd", MEDIA),
    Way("udp, no gc", "udp, no gc", group, DEVICE, "bcd", MEDIA),
)
LABS = {"udp": (True, "count"), "tcp": (False, "count"), "udp, no gc": (True, "off")}


class Measured(NamedTuple):
    """What came of the rounds: delays in microseconds by (path, host) and round."""

    delays: dict[tuple[str, str], dict[int, list[float]]]
    sent: int  # a round
    collections: dict[str, dict[str, Any]]
    disorder: dict[tuple[str, str], int]
    held_up: dict[str, list[dict[str, float]]]  # by path: what each round's source says
    spent: dict[str, list[float]]  # by path: seconds of a core that b's process took a round


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """What is started meanwhile inherits these."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def collector(mode: str, file: Path) -> dict[str, str]:
    """The environment of a node whose collections are counted, or that has none."""
    return {"PYTHONPATH": str(HERE / "hooks"), "MCMW_BENCH_GC": mode, "MCMW_BENCH_GC_FILE": str(file)}


def program(host: Host, script: str, *told: str) -> Process:
    """One of our scripts on a host, once it is ready."""
    process = host.spawn([sys.executable, "-IS", str(HERE / script), *told], log=f"{host.name}-{script}")
    wait_until(lambda: "ready" in process.read_output() or process.poll() is not None, 15, process.title)
    if process.poll() is not None:
        raise SystemExit(f"{process.title} ended: {process.last_words()}")
    return process


def used(pid: int) -> float:
    """Seconds on a core, of all threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


class Tree:
    """A lab with figure 4 up and sinks on b, c and d."""

    def __init__(self, name: str, lab: Lab) -> None:
        self.lab = lab
        self.relay: Process | None = None
        self.udp, self.mode = LABS[name]
        self.gc_file = lab.state_dir / "gc"
        network = FigureFour(self.udp)
        with environment(collector(self.mode, self.gc_file)):
            network.start(lab)
        self.sinks = {host: self._sink(lab.host(host)) for host in "bcd"}
        network.await_interest(lab, GROUP)

    def _sink(self, host: Host) -> Process:
        ports = [[MEDIA, GROUP, DEVICE], [PLAIN, "", ""], [RELAYED, "", ""]]
        told = {"ports": ports, "out": str(self.lab.state_dir / f"{host.name}.bin")}
        return program(host, "sink.py", json.dumps(told))

    def start_relay(self) -> None:
        leaves = (f"{self.lab.host(name).address} {RELAYED}" for name in "cd")
        self.relay = program(self.lab.host("b"), "relay.py", str(RELAY), *" ".join(leaves).split())

    def used(self, path: Way) -> float:
        """Seconds of a core that b's relaying process has used so far."""
        process = self.lab.host("b").node if path.device else self.relay
        if process is None:
            return 0.0
        return used(process.pid)

    def records(self) -> dict[str, bytes]:
        """Ends the sinks; what each has received."""
        for sink in self.sinks.values():
            sink.signal(signal.SIGTERM)
            sink.wait(10)
        return {name: (self.lab.state_dir / f"{name}.bin").read_bytes() for name in self.sinks}

    def collections(self, spans: Sequence[tuple[float, float]]) -> dict[str, Any]:
        """What b's collector did while packets went through; b, which relays, is the busiest."""
        node = self.lab.host("b").node
        assert node is not None
        file = Path(f"{self.gc_file}.{node.pid}")
        node.signal(signal.SIGUSR2)
        wait_until(file.exists, 15, "what b's collector did")
        told = json.loads(file.read_text())
        inside = [
            (generation, spent)
            for at, generation, spent in told.pop("collections")
            if any(begin <= at <= end for begin, end in spans)
        ]
        return told | {
            "seconds": sum(end - begin for begin, end in spans),
            "by_generation": [sum(g == generation for g, _ in inside) for generation in range(3)],
            "longest_us": max((spent for _, spent in inside), default=0.0),
            "total_us": sum(spent for _, spent in inside),
        }


def measure(rounds: int, seconds: float, say: Say) -> Measured:
    """Every path in every round; all labs are up from the beginning, as idle nodes cost next to nothing."""
    count = round(seconds * RATE)
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    held_up: dict[str, list[dict[str, float]]] = defaultdict(list)
    spent: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        trees = {}
        for name in LABS:
            say(f"four nodes, {name}")
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{PREFIX}-"))
            trees[name] = Tree(name, stack.enter_context(Lab(PREFIX, folder)))
        trees["udp"].start_relay()
        time.sleep(SETTLED)
        for turn in range(rounds):
            say(f"round {turn + 1} of {rounds}: {seconds:g} s each of {', '.join(p.name for p in PATHS)}")
            for place in range(len(PATHS)):
                path = PATHS[(turn + place) % len(PATHS)]
                tree, begin = trees[path.lab], time.monotonic()
                before = tree.used(path)
                held_up[path.name].append(play(path, tree.lab, turn, count))
                spent[path.name].append(tree.used(path) - before)
                if path.device:
                    spans[path.lab].append((begin, time.monotonic()))
        delays: dict[tuple[str, str], dict[int, list[float]]] = {}
        disorder: dict[tuple[str, str], int] = {}
        for name, tree in trees.items():
            records = tree.records()
            for path in (path for path in PATHS if path.lab == name):
                for host in path.hosts:
                    found = read(records[host], path.port)
                    delays[path.name, host] = {turn: [delay for _, delay in found[turn]] for turn in found}
                    disorder[path.name, host] = sum(map(disordered, found.values()))
        collections = {name: tree.collections(spans[name]) for name, tree in trees.items()}
    return Measured(delays, count, collections, disorder, held_up, spent)


def play(path: Way, lab: Lab, turn: int, count: int) -> dict[str, float]:
    """One round of one path; what the source says of itself."""
    told = {"target": path.target(lab), "device": path.device, "rate": RATE, "count": count, "size": SIZE,
            "round": turn}  # fmt: skip
    command = [sys.executable, "-IS", str(HERE / "source.py"), json.dumps(told)]
    done = lab.host("a").run(command, timeout=count / RATE * 2 + 30)
    if done.returncode:
        raise SystemExit(f"the source failed: {done.stderr.strip()[-200:]}")
    time.sleep(SETTLE)
    said: dict[str, float] = json.loads(done.stdout)
    return said


def read(records: bytes, port: int) -> dict[int, list[tuple[int, float]]]:
    """(number, delay in us) by round."""
    found: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for at, turn, number, delay, _ in RECORD.iter_unpack(records):
        if at == port:
            found[turn].append((number, delay / 1e3))
    return found


def disordered(arrivals: Sequence[tuple[int, float]]) -> int:
    """Datagrams that came twice or after a later one."""
    highest, wrong = -1, 0
    for number, _ in arrivals:
        wrong += number <= highest
        highest = max(highest, number)
    return wrong


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def judge(measured: Measured) -> dict[str, Any]:
    """Figures by "path at host": pooled quantiles, ratios to the kernel's of the same round, and losses."""
    reference = measured.delays["kernel", "c"]
    rows = {}
    for (path, host), by_round in measured.delays.items():
        pooled = [delay for delays in by_round.values() for delay in delays]
        if not pooled:
            raise SystemExit(f"nothing arrived at {host} over {path}")
        row: dict[str, Any] = {
            "path": path, "host": host, "received": len(pooled),
            "lost": measured.sent * len(reference) - len(pooled),
            "disordered": measured.disorder[path, host], "max_us": max(pooled), "min_us": min(pooled),
        }  # fmt: skip
        for name, share in QUANTILES.items():
            row[f"{name}_us"] = quantile(pooled, share)
            row[f"{name}_rounds_us"] = [quantile(delays, share) for delays in by_round.values()]
            row[f"{name}_to_kernel"] = against(by_round, reference, share)
        rows[f"{path} at {host}"] = row
    ungathered = {host: measured.delays["udp, no gc", host] for host in "bcd"}
    gc = {
        host: {name: against(measured.delays["udp", host], ungathered[host], share)
               for name, share in QUANTILES.items()}
        for host in "bcd"
    }  # fmt: skip
    spent = {
        path: statistics.median(by_round) / measured.sent * 1e6
        for path, by_round in measured.spent.items()
        if path != "kernel"
    }
    return {
        "rows": rows,
        "spent_at_b_us": spent,
        "with_gc_to_without": gc,
        "collections": measured.collections,
        "source_held_up": measured.held_up,
        "rate": RATE,
        "size": SIZE,
        "sent_a_round": measured.sent,
        "rounds": len(reference),
    }


def against(one: dict[int, list[float]], other: dict[int, list[float]], share: float) -> float:
    """The median of the rounds' ratios of a quantile."""
    turns = one.keys() & other.keys()
    return statistics.median(quantile(one[turn], share) / quantile(other[turn], share) for turn in turns)
