"""Two real ends and a cable: nodes (Room, Router, Forwarder, Links), TCP-like and UDP-like ways.

One simulated clock drives all of it.  Each link is wound by the real Clockwork, lazily, so one that forgets
to say that its deadline came nearer sleeps here as it would in a daemon.

    Node a  --- End ===== Cable (bytes, in order, in pieces, later) ===== End ---  Node b
            --- Socket ~~ Air (datagrams: loss, holes in one direction, NAT, MTU) ~~ Socket ---
"""

from collections.abc import Callable, Iterable
from errno import EMSGSIZE
from itertools import pairwise
from random import Random
from typing import Any

from twisted.internet.task import Clock

from multicastmw.core.addressing import Channel
from multicastmw.core.events import Event
from multicastmw.core.fec.fec import Fec
from multicastmw.core.forwarding import Forwarder
from multicastmw.core.identity import node_id, origin
from multicastmw.core.link import Link, Phase
from multicastmw.core.packet import Packet
from multicastmw.core.recovery.recovery import Recovery
from multicastmw.core.room import Here, Room
from multicastmw.core.routing import Router
from multicastmw.net.clockwork import Clockwork
from multicastmw.wire.cops import Code, Op, Unable
from multicastmw.wire.data import HEADER_SIZE, TOKEN_OFFSET, TOKEN_TWIN, DataHeader
from multicastmw.wire.framing import Framer
from multicastmw.wire.messages import Close, KeepAlive, Message, decode, encode

START = 1000.0  # seconds; the clock of a machine that is up for a while
FULL = 64 << 10  # unsent bytes above which a connection pauses its producer, as Twisted's do
PORT = 4600


class World:
    """The time, and everything that happens in it."""

    def __init__(self, seed: int = 0) -> None:
        self.clock = Clock()
        self.clock.rightNow = START
        self.random = Random(seed)
        self.nodes: list[Node] = []
        self.cables: list[Cable] = []
        self.air = Air(self)

    @property
    def now(self) -> float:
        return self.clock.seconds()

    def later(self, delay: float, do: Callable[..., Any], *args: Any) -> None:
        self.clock.callLater(delay, do, *args)

    def run(self, seconds: float) -> None:
        """Everything that falls due, each at its own moment: no step skips a deadline."""
        end = self.now + seconds
        calls = self.clock.calls
        while calls and calls[0].getTime() <= end:
            self.clock.rightNow = max(self.now, calls[0].getTime())
            self.clock.advance(0)
        self.clock.rightNow = end

    def run_until(self, true: Callable[[], bool], within: float) -> float:
        """How long it took; fails after `within` seconds.  Looks every millisecond."""
        began = self.now
        while not true():
            if self.now - began > within:
                raise AssertionError(f"not within {within} s")
            self.run(0.001)
        return self.now - began

    def node(self, name: str, **chosen: Any) -> "Node":
        return Node(self, name, **chosen)

    def chain(self, names: str, **chosen: Any) -> list["Node"]:
        """a - b - c: each dials the next, and all are up."""
        nodes = [self.node(name, **chosen) for name in names]
        for left, right in pairwise(nodes):
            self.connect(left, right)
        self.run(1)
        return nodes

    def tree(self, parents: Iterable[int], **chosen: Any) -> list["Node"]:
        """Node i + 1 dials node parents[i]."""
        nodes = [self.node("n0", **chosen)]
        for i, parent in enumerate(parents):
            nodes.append(self.node(f"n{i + 1}", **chosen))
            self.connect(nodes[-1], nodes[parent])
        self.run(1)
        return nodes

    def connect(self, dialler: "Node", listener: "Node", **chosen: Any) -> "Cable":
        """The dialler's TCP connection to the listener; what becomes of the links is theirs."""
        return Cable(self, dialler, listener, **chosen)


class Recorder:
    """A destination in the node, such as a TAP is, that keeps what it gets."""

    local = True

    def __init__(self, node: "Node", name: str) -> None:
        self.name = name
        self.node = node
        self.got: list[tuple[bytes, int]] = []  # inner packet, hop limit
        self.told: list[Channel] = []
        node.router.attach(self)

    def deliver(self, packet: Packet) -> None:
        self.got.append((bytes(packet.view[HEADER_SIZE : HEADER_SIZE + packet.length]), packet.hop_limit))

    def others_changed(self, channel: Channel) -> None:
        self.told.append(channel)

    @property
    def packets(self) -> list[bytes]:
        return [packet for packet, _ in self.got]

    def wants(self, group: int, source: int = 0) -> None:
        self.node.router.subscribe(self, Channel(group, source))

    def unwants(self, group: int, source: int = 0) -> None:
        self.node.router.unsubscribe(self, Channel(group, source))


class Ring:
    """A timer of one node, which does not run while its process does not."""

    def __init__(self, node: "Node", do: Callable[..., Any]) -> None:
        self.node = node
        self.do = do
        self.cancelled = False
        self.call: Any = None  # the world's

    def run(self) -> None:
        if self.node.stopped:
            self.node.late.append(self)
        elif not self.cancelled:
            self.do()

    def cancel(self) -> None:
        self.cancelled = True
        if self.call.active():
            self.call.cancel()


class NodeClock:
    """The world's clock, as a node's process has it."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    def seconds(self) -> float:
        return self._node.world.now

    def callLater(self, delay: float, do: Callable[..., Any]) -> Any:
        ring = Ring(self._node, do)
        ring.call = self._node.world.clock.callLater(delay, ring.run)
        return ring


class Node:
    """All that a node is between its TAP and its sockets."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        keep_alive: int = 10,
        data_port: int | None = PORT,
        address: str | None = None,
        salt: int = 0,
        node: int | None = None,
        recovery: float = 0.0,
        hold: float = 0.0,
        fec: str = "off",
    ) -> None:
        self.world = world
        self.name = name
        self.address = address or f"10.0.0.{len(world.nodes) + 1}"
        self.id = node_id(name) if node is None else node
        self.events: list[Event] = []
        self.stopped = False
        self.late: list[Ring] = []  # timers that rang while it was
        self.sockets: list[Callable[[], None]] = []  # and what came
        self.ups: list[Link] = []
        self.downs: list[tuple[Link, str]] = []
        self.gone: list[int] = []  # nodes that are out of reach
        self.router = Router()
        self.forwarder = Forwarder(self.router, origin(self.id, salt), world.now)
        self.packet = Packet()
        self.room = Room(
            Here(name, self.id, keep_alive, data_port),
            self.router,
            self.forwarder,
            pick=world.random.uniform,
            draw_token=lambda: world.random.getrandbits(64),
            open_datagrams=self._open_datagrams,
            tell=self.events.append,
            watcher=self,
        )
        self.clock = NodeClock(self)
        self.room.turns.wake = Clockwork(self.clock, self.room.turns).wind
        if recovery:
            self.recovers(recovery, hold)
        if fec != "off":
            self.corrects(fec == "on", recovery)
        self.host = Recorder(self, f"{name}'s host")
        world.nodes.append(self)

    def recovers(self, deadline: float, hold: float = 0.0) -> None:
        """[recovery] deadline and hold, as services/recovery.py takes them."""
        recovery = Recovery(deadline, hold, None, self.world.now)
        self.room.recovery = self.forwarder.streams.mender = recovery
        recovery.wake = Clockwork(self.clock, recovery).wind

    def corrects(self, always: bool, deadline: float) -> None:
        """[recovery] fec, as services/fec.py takes it."""
        fec = self.room.fec = Fec(always, deadline, None)
        fec.wake = Clockwork(self.clock, fec).wind
        fec.tell = self.events.append

    def fec_is(self, mode: str) -> None:
        """From now on, as services/fec.py switches it."""
        fec = self.room.fec
        if mode == "off":
            self.room.fec = None
        elif fec is None:
            self.corrects(mode == "on", 1.0)
        else:
            fec.always_is(mode == "on", self.world.now)
        for link in list(self.room.links):
            link.settle_correction(self.world.now)

    def link_up(self, link: Link) -> None:
        self.ups.append(link)

    def link_down(self, link: Link, why: str) -> None:
        self.downs.append((link, why))

    def node_gone(self, node: int) -> None:
        self.gone.append(node)

    def _open_datagrams(self, link: Link, local: str, remote: tuple[str, int]) -> "Socket":
        return Socket(self, link, remote)

    def stop(self) -> None:
        """SIGSTOP: the kernel goes on for it."""
        self.stopped = True

    def go_on(self) -> None:
        """SIGCONT: a reactor's turn is its timers first, and then its sockets."""
        self.stopped = False
        late, self.late = self.late, []
        for ring in late:
            ring.run()
        sockets, self.sockets = self.sockets, []
        for arrive in sockets:
            arrive()

    def link(self, peer: "Node") -> Link:
        """The link with that peer, which is up."""
        return self.room.by_node[peer.id]

    def told_by(self, peer: "Node") -> set[Channel]:
        """What the peer wants, as far as this node knows."""
        link = self.link(peer)
        return {channel for channel, wanted_by in self.router.wanted() if link in wanted_by}

    def send(self, group: int, source: int = 1, inner: bytes = b"packet", ttl: int = 16) -> None:
        """A program on this host sends."""
        packet = self.packet
        packet.now = self.world.now
        packet.length = len(inner)
        packet.view[HEADER_SIZE : HEADER_SIZE + len(inner)] = inner
        self.forwarder.originate(packet, self.host, group, source, ttl, 0, 0)
        self.room.outgoing.flush()

    def told(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


class End:
    """One end of a TCP-like connection: what a link sees of it, with counts for the tests."""

    def __init__(self, cable: "Cable", node: Node | None, address: str, local_address: str) -> None:
        self.address = address
        self.local_address = local_address
        self.node = node
        self.cable = cable
        self.other: End = self
        self.link: Link | None = None
        self.written: list[tuple[float, bytes]] = []
        self.received = bytearray()
        self.finished = 0
        self.aborted = 0
        self.lost = False
        self.objects: str | None = None  # what TLS has against the peer
        self.asked: tuple[tuple[str, ...], int | None] | None = None  # about whom
        self.reads = True  # False: its program does not read, so the other end fills up
        self.holds = 0  # how often it asked for a pause
        self._held: list[bytes] | None = None  # what came since
        self._unsent = bytearray()
        self._paused = False
        self._arrived_at = 0.0
        self._clockwork: Clockwork | None = None

    def take(self, link: Link) -> None:
        """The link of this end, told what a connection's start tells."""
        self.link = link
        assert self.node
        self._clockwork = Clockwork(self.node.clock, link)
        link.start(self.cable.world.now)
        self._clockwork.wind()

    # --- as the link's outlet

    secure = False

    def write(self, message: bytes) -> None:
        self.written.append((self.cable.world.now, bytes(message)))
        if not self.lost:
            self._unsent += message
            self.flush()

    def objection(self, names: tuple[str, ...], node: int | None = None) -> str | None:
        self.asked = names, node
        return self.objects

    def finish(self) -> None:
        self.finished += 1
        self.flush()

    def abort(self) -> None:
        self.aborted += 1
        self._unsent.clear()
        self.cable.world.later(0, self._lose, "Connection was aborted locally")

    def wake(self) -> None:
        if self._clockwork:
            self._clockwork.wind()

    def hold(self) -> None:
        self.holds += 1
        self._held = []

    def go_on(self) -> None:
        self.cable.world.later(0, self._read_held)

    def _read_held(self) -> None:
        held, self._held = self._held or [], None
        while held and self._held is None:
            self._arrive(held.pop(0))
        if self._held is not None:
            self._held[:0] = held

    # --- as a cable's end

    def flush(self) -> None:
        """Sends in pieces of any size what the other side takes; pauses the link if that is too little."""
        world, cable = self.cable.world, self.cable
        while self._unsent and self.other.reads:
            size = world.random.randint(1, cable.chunk)
            piece, self._unsent = bytes(self._unsent[:size]), self._unsent[size:]
            self.other._arrived_at = max(self.other._arrived_at, world.now + cable.delay)
            world.later(self.other._arrived_at - world.now, self.other._arrive, piece)
        if len(self._unsent) > FULL and not self._paused and self.link and not self.finished:
            self._paused = True
            self.link.paused(world.now)
        elif not self._unsent and self._paused:
            self._paused = False
            if self.link and not self.finished:
                self.link.resumed(world.now)
        if self.finished and not self._unsent:
            world.later(0, self._lose, "Connection was closed cleanly")

    def _arrive(self, piece: bytes) -> None:
        if self.cable.is_cut or self.lost:
            return
        if self.node and self.node.stopped:
            self.node.sockets.append(lambda: self._arrive(piece))
            return
        if self._held is not None:
            self._held.append(piece)
            return
        self.received += piece
        if self.link:
            self.link.bytes_received(piece, self.cable.world.now)

    def _lose(self, why: str) -> None:
        if self.lost:
            return
        self.lost = True
        if self._clockwork:
            self._clockwork.stop()
        if self.link:
            self.link.lost(why)
        self.cable.world.later(self.cable.delay, self.other._hang_up)

    def _hang_up(self) -> None:
        if self.node and self.node.stopped:
            self.node.sockets.append(self._hang_up)
        elif not self.cable.is_cut:
            self._lose("Connection to the other side was lost")

    def read_again(self) -> None:
        self.reads = True
        self.other.flush()

    # --- as a test sees it

    def says(self, *messages: bytes) -> None:
        """A stranger without a link writes."""
        for message in messages:
            self.write(message)

    def heard(self) -> list[Message]:
        """The messages that came in, but for IP Data."""
        framer = Framer()
        return [decode(m).message for m in framer.feed(bytes(self.received)) if m[1] != Op.IP_DATA]

    def closes(self) -> list[tuple[int, int]]:
        """The Errors of the Close messages that came in."""
        return [(m.code, m.sub_code) for m in self.heard() if isinstance(m, Close)]

    def sent(self) -> list[tuple[float, Message]]:
        """The control messages that this end wrote."""
        return [(at, decode(m).message) for at, m in self.written if m[1] != Op.IP_DATA]

    def sent_data(self) -> list[bytes]:
        return [m for _, m in self.written if m[1] == Op.IP_DATA]

    def spoke_at(self) -> list[float]:
        """When the keep-alives went out."""
        return [at for at, message in self.sent() if isinstance(message, KeepAlive)]


class Cable:
    """A TCP-like connection: all bytes in order, in pieces, after a delay; or cut, and nobody is told."""

    def __init__(
        self,
        world: World,
        dialler: Node | None,
        listener: Node | None,
        *,
        delay: float = 0.002,
        chunk: int = 1448,
        section: str | None = None,
        seen_from: str | None = None,
    ) -> None:
        self.world = world
        self.delay = delay
        self.chunk = chunk
        self.is_cut = False
        here = seen_from or (dialler.address if dialler else "192.0.2.9")
        there = listener.address if listener else "192.0.2.8"
        self.dialling = End(self, dialler, there, here)
        self.accepting = End(self, listener, here, there)
        self.dialling.other, self.accepting.other = self.accepting, self.dialling
        self.turned_away = False
        world.cables.append(self)
        if listener:
            self._enter(self.accepting, listener, None)
        if dialler:
            self._enter(self.dialling, dialler, section or (listener.name if listener else "stranger"))

    def _enter(self, end: End, node: Node, section: str | None) -> None:
        """What services/peers.py does with a connection."""
        if section is None and node.room.turns_away(end.address):
            self.turned_away = True
            end.write(encode(Close(Code.UNABLE, Unable.TOO_MANY)))
            end.finish()
            return
        link = Link(node.room, end, section, self.world.now)
        node.room.enter(link)
        end.take(link)

    @property
    def ends(self) -> tuple[End, End]:
        return self.dialling, self.accepting

    @property
    def is_up(self) -> bool:
        return all(end.link and end.link.phase is Phase.UP for end in self.ends)

    def cut(self) -> None:
        """From now on nothing arrives, in either direction, and neither end is told."""
        self.is_cut = True


class Way:
    """One direction between two addresses, for datagrams."""

    def __init__(self) -> None:
        self.delay = 0.002
        self.loss = 0.0
        self.burst = 1.0  # datagrams that are lost in a row, in the mean
        self.is_bad = False
        self.hole = False
        self.mtu = 65_507
        self.seen_as: tuple[str, int] | None = None  # a NAT's outside

    def loses(self, random: Random) -> bool:
        """The next one?  As Gilbert has it: a bad time ends after `burst` datagrams, in the mean."""
        if self.burst <= 1:
            return random.random() < self.loss
        begins = self.loss / (self.burst * (1 - self.loss))
        self.is_bad = random.random() < (1 - 1 / self.burst if self.is_bad else begins)
        return self.is_bad


class Air:
    """All ways for datagrams; every one is good until a test spoils it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ways: dict[tuple[str, str], Way] = {}
        self.outsides: dict[tuple[str, int], str] = {}  # a NAT's outside -> who is behind it
        self.sent: list[tuple[str, str, bytes]] = []

    def way(self, a: Node, b: Node) -> Way:
        return self.ways.setdefault((a.address, b.address), Way())

    def way_to(self, sender: Node, remote: tuple[str, int]) -> Way:
        there = self.outsides.get(remote, remote[0])
        return self.ways.setdefault((sender.address, there), Way())

    def both_ways(self, a: Node, b: Node) -> tuple[Way, Way]:
        return self.way(a, b), self.way(b, a)

    def spoil(self, a: Node, b: Node, **how: Any) -> None:
        """Both directions."""
        for way in self.both_ways(a, b):
            for name, value in how.items():
                setattr(way, name, value)

    def data(self) -> list[tuple[str, str, DataHeader]]:
        """All IP Data datagrams, as (from, to, header)."""
        return [(a, b, DataHeader.parse(m)) for a, b, m in self.sent if m[1] == Op.IP_DATA]

    def send(self, sender: Node, remote: tuple[str, int], message: bytes) -> None:
        """Onto the way, or OSError as the socket would say it."""
        there = self.outsides.get(remote, remote[0])
        way = self.way_to(sender, remote)
        if len(message) > way.mtu:
            raise OSError(EMSGSIZE, "Message too long")
        self.sent.append((sender.address, there, message))
        if way.hole or way.loses(self.world.random):
            return
        origin_ = way.seen_as or (sender.address, PORT)
        if remote[0] == there and self.is_behind_nat(there):
            return  # nobody reaches the inside
        self.world.later(way.delay, self._arrive, there, origin_, message)

    def is_behind_nat(self, address: str) -> bool:
        return address in self.outsides.values()

    def _arrive(self, there: str, origin_: tuple[str, int], message: bytes) -> None:
        for node in self.world.nodes:
            if node.address == there and node.room.here.data_port:
                deliver_datagram(node, message, origin_)


def deliver_datagram(node: Node, message: bytes, origin_: tuple[str, int]) -> None:
    """What net/udp.py does with a datagram: the token says whose it is."""
    if node.stopped:
        node.sockets.append(lambda: deliver_datagram(node, message, origin_))
        return
    token = TOKEN_TWIN.unpack_from(message, TOKEN_OFFSET)[0] if len(message) >= 20 else 0
    link = node.room.by_token.get(token)
    if link is None:
        node.room.counters.datagrams_dropped += 1
        return
    packet = node.packet
    packet.buffer[: len(message)] = message
    packet.now = node.world.now
    connected = link.data_address == origin_
    link.datagram_received(packet, len(message), None if connected else origin_)
    node.room.outgoing.flush()


class Socket:
    """A link's connected UDP socket."""

    def __init__(self, node: Node, link: Link, remote: tuple[str, int]) -> None:
        self.local = (node.address, PORT)
        self.remote = remote
        self.closed = False
        self.fails: OSError | None = None  # what the next sends raise
        self.lost = 0
        self._node = node

    def send(self, message: memoryview | bytes) -> None:
        if self.fails:
            raise self.fails
        if self.closed:
            raise OSError(9, "Bad file descriptor")
        self._node.world.air.send(self._node, self.remote, bytes(message))

    def send_run(self, run: list[bytes]) -> bool:
        """As the kernel cuts it; one that is too long for the way keeps all from going."""
        whole, segment = b"".join(run), len(run[0])
        pieces = [whole[at : at + segment] for at in range(0, len(whole), segment)]
        way = self._node.world.air.way_to(self._node, self.remote)
        if self.fails or self.closed or segment > way.mtu:
            return False
        for piece in pieces:
            self.send(piece)
        return True

    def repoint(self, remote: tuple[str, int]) -> None:
        self.remote = remote

    def read_waiting(self) -> None:
        """The air hands over what arrives at once."""

    def mtu(self) -> int:
        return 1500

    def drops(self) -> int:
        return self.lost

    def close(self) -> None:
        self.closed = True
