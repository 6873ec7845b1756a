"""The lab's internet with delays and losses: hosts as ever, and between them one process, forwarder.c.

    with Lab(PREFIX, folder, names, internet=partial(DelayedInternet, delays=0.03, loss=0.01)) as lab:
        lab.internet.path("a", "b", delay=0.1)

Everything may be changed while it runs, and `counts` says what became of every packet.  netem would do some
of it, in kernels that have it; this one says what it dropped, and drops the same packets every time.
"""

import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bench.wan.built import build
from multicastmw.cli.lab import UPLINK, Host, Internet, Lab, LabError, Process, wait_until

SECONDS = 15.0  # that the process may take until it is there, or answers
QUEUE = 0.1  # seconds of its rate that an uplink's queue holds where nothing else is said
LEAST_QUEUE = 15_000  # bytes: ten packets
PROTOCOLS = {"": 0, "tcp": 6, "udp": 17}

K = TypeVar("K")
Pair = tuple[str, str]
Delays = float | Mapping[Pair, float]


class Bursts(NamedTuple):
    """Losses in bursts (Gilbert and Elliott): chances, each for a packet."""

    enter: float
    leave: float
    bad: float = 1.0

    @classmethod
    def of(cls, loss: float, length: float) -> "Bursts":
        """This share of packets lost, in bursts of `length` packets on the average."""
        return cls(loss / (1 - loss) / length, 1 / length)


class Counts(NamedTuple):
    """What became of the packets of one path.  At rest: sent = delivered + lost + cut + queue + refused."""

    sent: int
    delivered: int
    lost: int
    cut: int
    queue: int  # the uplink's was full
    refused: int  # by the host, whose interface was down
    bytes: int  # of what was delivered


class DelayedInternet(Internet):
    """An internet with a matrix of one-way delays (seconds), losses, and uplinks of some rate (bit/s).

    A mapping of delays or losses has both ways of a pair where it names one only; who is not named has none.
    """

    def __init__(self, lab: Lab, delays: Delays = 0.0, loss: Delays = 0.0, jitter: Delays = 0.0,
                 bursts: Bursts | None = None, rates: float | Mapping[str, float] = 0.0,
                 seed: int = 1) -> None:  # fmt: skip
        super().__init__(lab)
        self._told = {"delay": delays, "loss": loss, "jitter": jitter}
        self._rates = rates
        self._bursts = bursts
        self._seed = seed
        self.process: Process | None = None

    # -- the cables

    def connect(self, hosts: Iterable[Host]) -> None:
        hosts = list(hosts)
        program = build(self.lab.run_dir)
        told = [str(self._seed), UPLINK, str(self._path), *(host.namespace for host in hosts)]
        process = self.process = self.spawn([str(program), *told], log="forwarder", title="the forwarder")
        wait_until(lambda: "ready" in process.read_output() or self._ended(), SECONDS, process.title)
        requests = [
            {"do": "path", "from": one.index, "to": other.index, **self._between(one.name, other.name)}
            for one in hosts
            for other in hosts
            if one is not other
        ]
        requests += [self._uplink(host, _of(self._rates, host.name)) for host in hosts]
        self._ask(requests)

    def at_host(self, host: Host) -> Iterable[str]:
        mac = f"02:6d:63:01:00:{host.index:02x}"  # as forwarder.c has it; it answers nobody's ARP
        return [f"neighbour replace {via} lladdr {mac} dev {UPLINK} nud permanent"
                for via in (f"10.99.{host.index}.1", f"fd99:{host.index}::1")]  # fmt: skip

    def carry(self, host: Host, plugged: bool) -> None:
        self._ask([{"do": "host", "host": host.index, "carrier": int(plugged)}])
        if plugged:
            host.ip(*self.at_host(host))

    # -- what may be changed while it runs

    def path(self, one: str, other: str, both: bool = True, **what: float) -> None:
        """Sets delay, jitter (s), loss, enter, leave, bad (0 to 1), protocol, cut, noudp or reorder."""
        a, b = self.lab.host(one).index, self.lab.host(other).index
        ways = [(a, b), (b, a)] if both else [(a, b)]
        self._ask([{"do": "path", "from": x, "to": y, **what} for x, y in ways])

    def cut(self, one: str, other: str, both: bool = True) -> None:
        """Nothing gets through, nor what is on the way, and nobody says so."""
        self.path(one, other, both, cut=1)

    def mend(self, one: str, other: str, both: bool = True) -> None:
        self.path(one, other, both, cut=0)

    def burst(self, one: str, other: str, bursts: Bursts, both: bool = True) -> None:
        self.path(one, other, both, **bursts._asdict())

    def uplink(self, host: str, rate: float, queue: float | None = None) -> None:
        """A host's rate in bit/s (of IP packets; 0: no bound) and its queue in bytes."""
        self._ask([self._uplink(self.lab.host(host), rate, queue)])

    def partition(self, *sides: Iterable[str]) -> None:
        """Hosts reach those of their own side only; hosts that no side names are one side of their own."""
        side_of = {name: number for number, side in enumerate(sides, 1) for name in side}
        self._ask([{"do": "host", "host": h.index, "side": side_of.get(h.name, 0)} for h in self.lab.hosts])

    def unite(self) -> None:
        self.partition()

    # -- what it counts

    def counts(self) -> dict[Pair, Counts]:
        """By (from, to), of all pairs."""
        hosts = self.lab.hosts
        rows = self._ask([{"do": "counts", "from": host.index} for host in hosts])
        return {
            (one.name, other.name): Counts(**count)
            for one, row in zip(hosts, rows, strict=True)
            for other, count in zip(hosts, row, strict=True)
            if one is not other
        }

    def totals(self, fresh: bool = False) -> dict[str, Any]:
        """What is in flight, what led nowhere, how late packets left; with `fresh` lateness begins anew."""
        (found,) = self._ask([{"do": "totals", "fresh": int(fresh)}])
        return found

    # -- as the kernel's internet has it

    def block_udp(self, one: str, other: str) -> None:
        self.path(one, other, noudp=1)

    def black_hole(self, one: str, other: str) -> None:
        self.cut(one, other)

    def lose(self, one: str, other: str, permille: int, protocol: str = "udp") -> None:
        self.path(one, other, loss=permille / 1000, protocol=PROTOCOLS[protocol])

    def hang_up(self, one: str, other: str) -> None:
        raise LabError("this internet sends no resets: cut() what you would have hang up")

    def heal(self, one: str = "", other: str = "") -> None:
        """Takes back what was done between two hosts, else all of it: cuts, losses, sides; delays stay."""
        names = [host.name for host in self.lab.hosts]
        pairs = [(one, other), (other, one)] if one else [(x, y) for x in names for y in names if x != y]
        whole = {"cut": 0, "noudp": 0, "protocol": 0}
        self._ask([
            {"do": "path", "from": self.lab.host(x).index, "to": self.lab.host(y).index,
             **self._between(x, y), **whole}
            for x, y in pairs
        ])  # fmt: skip
        if not one:
            self.unite()

    # -- asking

    @property
    def _path(self) -> Path:
        return self.lab.run_dir / "forwarder.sock"

    def _between(self, one: str, other: str) -> dict[str, float]:
        """What a path begins with."""
        back = {name: _of(value, (other, one)) for name, value in self._told.items()}
        said = {name: _of(value, (one, other), back[name]) for name, value in self._told.items()}
        return said | (self._bursts or Bursts(0, 1))._asdict()

    def _uplink(self, host: Host, rate: float, queue: float | None = None) -> dict[str, Any]:
        room = max(LEAST_QUEUE, rate / 8 * QUEUE) if queue is None else queue
        return {"do": "host", "host": host.index, "rate": rate, "queue": room}

    def _ask(self, requests: list[dict[str, Any]]) -> list[Any]:
        """Their answers.  Raises LabError with the first one that is an error, or where nobody is there."""
        try:
            return self._exchange(requests)
        except OSError as error:
            self._ended()
            raise LabError(f"the forwarder does not answer: {error}") from error

    def _exchange(self, requests: list[dict[str, Any]]) -> list[Any]:
        answers = []
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(SECONDS)
            line.connect(str(self._path))
            with line.makefile("r") as answered:
                for request in requests:
                    line.sendall(json.dumps(request).encode() + b"\n")
                    answer = json.loads(answered.readline() or '{"error": "it hung up"}')
                    if "error" in answer:
                        raise LabError(f"{request}: {answer['error']}")
                    answers.append(answer["ok"])
        return answers

    def _ended(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise LabError(f"the forwarder ended: {self.process.last_words()}")
        return False


def _of(values: float | Mapping[K, float], key: K, default: float = 0.0) -> float:
    return values if isinstance(values, (int, float)) else values.get(key, default)
