"""What TLS costs data that go over TCP: everything is done in plain and inside TLS, in turns, in one run.

    pipe     two processes, one connection (net/tcp.py), messages as large as a packet of 1,316 bytes makes
             them, as fast as they go
    link     the same with a link at either end: forwarder, link, connection; and what that is a message
    nodes    a --> b --> c on whole nodes: the highest rate that arrives, but for less than one in 1,000

    python -m bench.tls receive|send JSON       one end of a pipe; the parent of both is `pipe`

A rate is searched by steps and then by halves; a step that fails is tried again, as a neighbour's second of
the processor is not the node's.
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.delay import HERE, MEDIA, PREFIX, program, used
from multicastmw.cli.keys import make_authority, make_node
from multicastmw.cli.lab import Lab
from multicastmw.cli.overlay import DEVICE, HUB, PATIENCE, FigureFour, wants
from multicastmw.core.addressing import Channel
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.identity import node_id, origin
from multicastmw.core.link import Link
from multicastmw.core.packet import Packet
from multicastmw.core.room import Here, Room
from multicastmw.core.routing import Router
from multicastmw.net.tcp import PeerConnection, SecurePeerConnection
from multicastmw.sections import PeerConfig
from multicastmw.services.peers import Diallers, DiallingService, ListeningService

GROUP, GROUP_KEY = "239.1.2.3", 0xEF010203
SIZE = 1316  # of a program's data: seven MPEG packets
INNER = SIZE + 28  # with IP and UDP
MESSAGE = 60 + INNER
BURST = 32  # packets of one wake-up, as a TAP has them at such rates
MESSAGES = 300_000  # of a pipe in a round: half a second of them
WAYS = ("plain", "tls")
LOSS_MAX = 0.001
FIRST_RATE, STEP, HALVINGS = 4_000, 1.4, 4
Say = Callable[[str], None]


# --- the two ends of a pipe


class Source:
    """What the packets come from."""

    name, local = "source", True

    def deliver(self, packet: Packet) -> None: ...
    def others_changed(self, channel: Channel) -> None: ...


class Sink(Source):
    """Where they go to; `done` is called with the processor and wall seconds since the first of `count`."""

    name = "sink"

    def __init__(self, count: int, done: Callable[[float, float], None]) -> None:
        self._left = self._all = count * MESSAGE
        self._done = done
        self._began = (0.0, 0.0)

    def deliver(self, packet: Packet) -> None:
        self.took(len(packet.message))

    def took(self, size: int) -> None:
        if self._left == self._all:
            self._began = (time.process_time(), time.perf_counter())
        self._left -= size
        if self._left <= 0:
            spent, began = self._began
            self._done(time.process_time() - spent, time.perf_counter() - began)


class Bytes:
    """In a link's place: says nothing but what it is told to, and counts what it hears."""

    why = ""

    def __init__(self, connection: PeerConnection, sink: Sink, started: Callable[["Bytes"], None]) -> None:
        self.writable = True
        self.go_on: Callable[[], None] = lambda: None
        self.write = connection.write
        self._sink, self._started = sink, started

    def start(self, now: float) -> None:
        self._started(self)

    def bytes_received(self, chunk: bytes, now: float) -> None:
        self._sink.took(len(chunk))

    def paused(self, now: float) -> None:
        self.writable = False

    def resumed(self, now: float) -> None:
        self.writable = True
        self.go_on()

    def lost(self, why: str) -> None:
        self.why = why

    def deadline(self) -> float:
        return float("inf")

    def tick(self, now: float) -> None: ...


class Side:
    """One process's end: the services that listen and dial, put together as services/node.py does."""

    def __init__(self, told: dict[str, Any]) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.told, self.count = told, told["count"]
        name = told["name"]
        self.credentials = credentials(told["keys"], name) if told["keys"] else None
        identity = self.credentials.node if self.credentials else node_id(name)
        self.router = Router()
        self.source = Source()
        self.forwarder = Forwarder(self.router, origin(identity, 1), reactor.seconds())
        rng = random.Random(name)
        self.room = Room(
            Here(name, identity, 60, None),
            self.router,
            self.forwarder,
            pick=rng.uniform,
            draw_token=lambda: rng.getrandbits(64),
            open_datagrams=lambda link, local, remote: None,
            tell=lambda event: None,
            watcher=self,
        )
        self.sink = Sink(self.count, self.done)
        self.link: Link | None = None

    def link_up(self, link: Link) -> None:
        self.link = link

    def link_down(self, link: Link, why: str) -> None:
        self.link = None

    def node_gone(self, node: int) -> None: ...

    def connection(self) -> PeerConnection:
        kind = SecurePeerConnection if self.credentials else PeerConnection
        return kind(self.reactor, lambda each: Bytes(each, self.sink, self.pump_bytes), lambda why: None)

    def done(self, processor: float, wall: float) -> None:
        print(json.dumps({"processor": processor, "wall": wall}), flush=True)
        self.reactor.callLater(0.2, self.reactor.stop)

    # --- receiving

    def receive(self) -> None:
        if self.told["link"]:
            self.router.attach(self.sink)
            self.router.subscribe(self.sink, Channel(GROUP_KEY))
            service = ListeningService("tcp:0:interface=127.0.0.1", self.room, self.reactor, self.credentials)
            service.privilegedStartService()
            port: Any = service._port
        else:
            port = self.reactor.listenTCP(0, self.factory(), interface="127.0.0.1")
        print(port.getHost().port, flush=True)

    def factory(self) -> Any:
        from twisted.internet.protocol import Factory

        from multicastmw.net import tls

        factory = Factory.forProtocol(self.connection)
        factory.noisy = False
        return tls.accepting(self.credentials, factory) if self.credentials else factory

    # --- sending

    def send(self) -> None:
        endpoint = f"tcp:127.0.0.1:{self.told['port']}"
        if self.told["link"]:
            self.router.attach(self.source)
            peer = PeerConfig(name="b", endpoint=endpoint)
            service = DiallingService(
                peer,
                Diallers(),
                self.room,
                self.reactor,
                self.reactor,
                lambda low, high: low,
                self.credentials,
            )
            service.startService()
            self.await_link()
            return
        from twisted.internet.endpoints import clientFromString
        from twisted.internet.protocol import Factory

        from multicastmw.net import tls

        client = clientFromString(self.reactor, endpoint)
        if self.credentials:
            client = tls.dialling(self.credentials, client)
        client.connect(Factory.forProtocol(self.connection))

    def await_link(self) -> None:
        if self.link and self.router.wanted_besides(self.source, Channel(GROUP_KEY)):
            link, resumed = self.link, self.link.resumed
            go_on = self.pump(partial(self.originate, Packet()), lambda: link._writable)

            def resumed_too(now: float) -> None:
                resumed(now)
                go_on()

            link.resumed = resumed_too  # type: ignore[method-assign]
        else:
            self.reactor.callLater(0.005, self.await_link)

    def pump_bytes(self, end: Bytes) -> None:
        if self.told["send"]:
            end.go_on = self.pump(partial(end.write, bytes(MESSAGE)), lambda: end.writable)

    def originate(self, packet: Packet) -> None:
        packet.length, packet.now = INNER, self.reactor.seconds()
        self.forwarder.originate(packet, self.source, GROUP_KEY, 0x0A580001, 16, 0, 0)

    def pump(self, write: Callable[[], None], ready: Callable[[], Any]) -> Callable[[], None]:
        """`count` messages, a burst in each turn of the reactor while the connection is writable.

        Gives what wakes it when the connection is writable again.
        """
        left, due = self.count, False
        began = time.process_time(), time.perf_counter()

        def turn() -> None:
            nonlocal left, due
            due = False
            for _ in range(min(BURST, left) if ready() else 0):
                write()
                left -= 1
            if not left:
                self.done(time.process_time() - began[0], time.perf_counter() - began[1])
                left = -1
            elif left > 0 and ready():
                wake()

        def wake() -> None:
            nonlocal due
            if not due:
                due = True
                self.reactor.callLater(0, turn)

        wake()
        return wake


def credentials(folder: str, name: str) -> Any:
    from multicastmw.net.tls import Credentials, Files

    where = Path(folder)
    files = (where / f"{name}.pem", where / f"{name}.key", where / "authority.pem")
    return Credentials(Files(*map(str, files)))


def end(what: str, told: dict[str, Any]) -> None:
    side = Side({**told, "send": what == "send", "name": "a" if what == "send" else "b"})
    side.reactor.callWhenRunning(getattr(side, what))
    side.reactor.run()


def pipe(link: bool, keys: str, count: int) -> dict[str, float]:
    """Messages a second from the first to the last at the receiver, and microseconds of a core a message."""
    told = {"count": count, "keys": keys, "link": link}
    with started("receive", told) as receiver:
        assert receiver.stdout
        told["port"] = int(receiver.stdout.readline())
        with started("send", told) as sender:
            sent, received = (json.loads(each.stdout.readline()) for each in (sender, receiver))  # type: ignore[union-attr]
    return {
        "rate": count / received["wall"],
        "out_us": sent["processor"] / count * 1e6,
        "in_us": received["processor"] / count * 1e6,
    }


@contextmanager
def started(what: str, told: dict[str, Any]) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "bench.tls", what, json.dumps(told)]
    with subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()


# --- whole nodes


class Line:
    """Figure 4 with somebody on c who listens, and nobody else."""

    def __init__(self, lab: Lab, tls: bool) -> None:
        self.lab = lab
        network = FigureFour(udp=False, tls=tls)
        network.start(lab)
        self._sink = self._listen()
        for host, peer in ((HUB, "c"), ("a", HUB)):
            lab.host(host).await_status(
                lambda status, peer=peer: wants(status, peer, GROUP), PATIENCE, f"{peer} wants {GROUP}"
            )

    def _listen(self) -> Any:
        told = {"port": MEDIA, "group": GROUP, "device": DEVICE}
        return program(self.lab.host("c"), "counter.py", json.dumps(told))

    def received(self) -> int:
        """Since the start."""
        lines = self._sink.read_output().split("\n")[:-1]
        return int(lines[-1]) if lines[-1].isdigit() else 0

    def spent(self) -> dict[str, float]:
        """Seconds of a core, by node."""
        return {name: used(self.lab.host(name).node.pid) for name in "abc"}  # type: ignore[union-attr]

    def loss(self, rate: int, seconds: float) -> float:
        """The share that does not arrive at this rate; raises TooFast where the source cannot send it."""
        before = self.received()
        told = {"target": [GROUP, MEDIA], "device": DEVICE, "rate": rate, "count": round(rate * seconds),
                "size": SIZE}  # fmt: skip
        command = [sys.executable, "-IS", str(HERE / "flood.py"), json.dumps(told)]
        done = self.lab.host("a").run(command, timeout=seconds * 5 + 30)
        said = json.loads(done.stdout)
        if said["rate"] < rate * 0.97:
            raise TooFast
        time.sleep(0.7)  # the queues are 0.25 s; and the sink says what it has ten times a second
        return 1 - (self.received() - before) / said["sent"]


class TooFast(Exception):
    """The source cannot send so much here."""


def search(line: Line, first: int, seconds: float) -> int:
    """The highest rate, within 3 %, that arrives."""

    def passes(rate: int) -> bool:
        for _ in range(2):
            try:
                if line.loss(rate, seconds) < LOSS_MAX:
                    return True
            except TooFast:
                continue
        return False

    low = first
    while not passes(low):
        low = round(low / STEP)
        if low < 100:
            return 0
    high = round(low * STEP)
    while passes(high):
        low, high = high, round(high * STEP)
    for _ in range(HALVINGS):
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low


def nodes(rounds: int, seconds: float, say: Say) -> dict[str, Any]:
    """Both lines are up all the time; their searches alternate."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    costs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{PREFIX}-")))
        lines = {}
        for way in WAYS:
            lines[way] = Line(stack.enter_context(Lab(PREFIX, folder / way)), way == "tls")
        for turn in range(rounds):
            for way in WAYS if turn % 2 == 0 else WAYS[::-1]:
                costs[way].append(cost(lines[way], seconds))
            for way in WAYS if turn % 2 == 0 else WAYS[::-1]:
                first = round(found[way][-1] / STEP) if found[way] and found[way][-1] else FIRST_RATE
                found[way].append(search(lines[way], first, seconds))
                say(f"nodes, round {turn + 1} of {rounds}, {way}: {found[way][-1]:,} packets/s")
    return {
        way: {
            "rate": statistics.median(found[way]),
            "rates": found[way],
            **{f"{name}_us": statistics.median(each[name] for each in costs[way]) for name in "abc"},
        }
        for way in WAYS
    } | {"cost_at": FIRST_RATE // 2, **ratios(found["plain"], found["tls"])}


def cost(line: Line, seconds: float) -> dict[str, float]:
    """Microseconds of a core a packet, by node, at a rate that passes."""
    before, count = line.spent(), line.received()
    line.loss(FIRST_RATE // 2, seconds * 2)
    count = line.received() - count
    return {name: (spent - before[name]) / max(1, count) * 1e6 for name, spent in line.spent().items()}


def made_keys(folder: Path, names: str) -> Path:
    make_authority(folder)
    make_node(folder, tuple(names))
    return folder


# --- all


def ratios(plain: list[float], tls: list[float]) -> dict[str, Any]:
    """Round by round, as rounds have the same neighbours."""
    each = [t / max(1, p) for p, t in zip(plain, tls, strict=True)]
    return {"ratios": each, "ratio": statistics.median(each)}


def measure(rounds: int, seconds: float, say: Say) -> dict[str, Any]:
    """Medians, and medians of the rounds' ratios of TLS to plain."""
    document: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as name:
        keys = str(made_keys(Path(name), "ab"))
        for part in ("pipe", "link"):
            found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
            for turn in range(rounds):
                for way in WAYS if turn % 2 == 0 else WAYS[::-1]:
                    found[way].append(pipe(part == "link", keys if way == "tls" else "", MESSAGES))
            rows = {way: {what: statistics.median(each[what] for each in found[way])
                          for what in found[way][0]} for way in WAYS}  # fmt: skip
            rates = ([each["rate"] for each in found[way]] for way in WAYS)
            document[part] = {**rows, **ratios(*rates)}
            say(f"{part}: {document[part]['ratio']:.2f}")
    document["nodes"] = nodes(rounds, seconds, say)
    return {"size": SIZE, "rounds": rounds, **document}


if __name__ == "__main__":
    end(sys.argv[1], json.loads(sys.argv[2]))
