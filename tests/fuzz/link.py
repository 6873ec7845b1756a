"""A stranger's connection to a node that has a good peer: whatever it says, the peer's stream goes on.

The world (tests/core/cable.py) has node a, its peer b, and for each input a caller, who says a right Open
first unless the input's first byte is odd.  Steps: 0 bytes on TCP, 1 a message of right length whose objects
are the input's, 2 a datagram with the right token in it, 3 one as it is, 4 right IP Data, 5 time, 6 a's host
joins or leaves, 7 a's host sends, 8 the caller stops reading or goes on, 9 a second connection of the same
node, 10 right routes, 11 the answer to the last probe.

Afterwards: the bounds held, b's link is the same one and carries a packet each way, exactly once; when the
caller has hung up, nothing is left of it.  Only who says b's own node id may take b's place: without TLS
anybody's word counts.
"""

from collections.abc import Iterable

from multicastmw.core.addressing import Channel
from multicastmw.core.branch import CHANNELS_MAX, NODES_MAX
from multicastmw.core.dataqueue import PACKETS_MAX
from multicastmw.core.link import UNREAD_MAX, Link, Phase
from multicastmw.core.room import UNOPENED_MAX
from multicastmw.core.streams import LINK_STREAMS_MAX
from multicastmw.wire import cops, data
from multicastmw.wire.cops import MESSAGE_MAX, Op
from multicastmw.wire.data import TOKEN_OFFSET
from multicastmw.wire.messages import (
    ECHO_REPLY,
    ECHO_REQUEST,
    AddRoute,
    DataPort,
    Echo,
    Group,
    KeepAlive,
    Node,
    Open,
    RemoveRoute,
    decode,
    encode,
)
from tests.core.cable import FULL, Cable, World, deliver_datagram
from tests.fuzz.target import Target, script, steps
from tests.wire import golden

CALLER = 0xCCCC00000000
TOKEN = 0x0102030405060708
GROUP, PROBED = 0xEF010101, 0xEF7F7F7F
AWAY = ("192.0.2.9", 4600)
AN_OPEN = encode(Open("caller", CALLER, 10, DataPort(4600, TOKEN)))
OPS = tuple(Op)

WORN_OUT = 256  # executions in one world


class Links(Target):
    """All that a stranger can say to one link, in the company of another."""

    longest = 512
    words = (b"\x10\x06MC", b"\x10\x08MC", b"\x10\x09\0\0", b"\x10\x20MC", b"\x10\x21MC", b"\x10\x22MC",
             CALLER.to_bytes(8, "big"), GROUP.to_bytes(8, "big"))  # fmt: skip

    def __init__(self) -> None:
        self.executions = 0
        self.begin()

    def begin(self) -> None:
        """A fresh world, so that no input depends on many before it."""
        self.world = World()
        self.a, self.b = self.world.node("a"), self.world.node("b")
        self.cable = self.world.connect(self.b, self.a)
        for node in (self.a, self.b):
            node.host.wants(PROBED)
        self.world.run(3)
        self.good = self.a.link(self.b)
        # Behind the caller: nodes of its own, itself, and those that cannot be there.
        self.ids = [*(0xDDDD0000 + (n << 16) for n in range(5)), CALLER, self.a.id, self.b.id]
        self.number = 0
        assert self.good.on_udp

    def seeds(self) -> Iterable[bytes]:
        routes = bytes((1, 2, 3, 4))
        probed = ((5, b"\x02"), (11, b""), (7, b"x"), (7, b"\xfdy"))
        yield b"\0" + script((10, routes), *probed, (5, b"\xc8"), (7, b"x"), *probed * 3)
        yield b"\0" + script((10, routes), *probed, (9, b""), *probed, (8, b""), *probed, (5, b"\xff"))
        yield b"\0" + script(
            (10, routes), (5, b"\x05"), (4, b"\x01\x01\x10"), (4, b"\x01\x02\x10"), (6, b"\1"), (7, b"x")
        )
        yield b"\0" + script(
            (6, b"\1"), (4, b"\x01\x01\x02"), (4, b"\x01\x02\x01"), (4, b"\x01\x04\x09"), (5, b"\xff")
        )
        yield b"\0" + script(
            (10, routes),
            (8, b""),
            *((7, b"\xfdy") for _ in range(12)),
            (5, b"\x80"),
            (8, b""),
            (5, b"\x40"),
        )
        yield b"\0" + script(
            (9, b""), (5, b"\x05"), (10, routes), (9, b""), (5, b"\xff"), (5, b"\xff"), (5, b"\xff")
        )
        yield b"\0" + script((10, b"\x45\x46\x47"), (5, b"\x05"), (10, b"\xc5\x46\x47"), (5, b"\x05"))
        late = encode(AddRoute((Group(GROUP, 0), Node(0xDDDD0000, "n"))))
        late += data.build(b"E" * 21, token=0, origin=5, group=GROUP, source=1, sequence=1)
        yield b"\0" + script((0, golden.wire("close_shutting_down") + late), (5, b"\x05"))
        yield b"\0" + script((0, AN_OPEN + late), (5, b"\x05"))
        echo = [
            encode(KeepAlive(1, Echo(kind, clock)))
            for kind in (ECHO_REQUEST, ECHO_REPLY)
            for clock in (1, 10**12)
        ]
        yield b"\0" + script(
            (5, b"\x20"), *((2, each) for each in echo), *((3, each) for each in echo), (5, b"\x20")
        )
        for folder in ("messages", "skipped", "malformed"):
            for each in golden.folder(folder):
                if len(each.wire) > 1000:
                    continue
                first = b"\1" if each.wire[1:2] == b"\x06" else b"\0"
                yield first + script((0, each.wire), (5, b"\1"), (2, each.wire), (0, each.wire))
                if each.wire[1:2] and each.wire[1] in OPS:
                    yield first + script(
                        (1, bytes((OPS.index(Op(each.wire[1])),)) + each.wire[8:]), (5, b"\x10")
                    )

    def __call__(self, data: bytes) -> None:
        self.executions += 1
        if self.executions % WORN_OUT == 0:
            self.begin()
        try:
            self.run(data)
        except BaseException:
            self.begin()
            raise

    def run(self, data: bytes) -> None:
        self.world.random.seed(0)
        self.calls = [self.call()]
        self.sequence = 0
        if not (data and data[0] & 1):
            self.says(AN_OPEN)
        for what, with_ in steps(data[1:]):
            self.step(what, with_)
            self.check_bounds()
        if self.a.room.by_node.get(self.b.id) is not self.good:
            self.begin()  # it claimed to be b
            return
        self.check_stream()
        self.check_departure()
        self.tidy()

    # --- what happens

    def call(self) -> Cable:
        return Cable(self.world, None, self.a, seen_from=AWAY[0], delay=0.0, chunk=1 << 16)

    @property
    def link(self) -> Link | None:
        return self.calls[-1].accepting.link

    def says(self, said: bytes) -> None:
        cable = self.calls[-1]
        if self.link and not cable.accepting.lost:
            self.link.bytes_received(said, self.world.now)

    def step(self, what: int, with_: bytes) -> None:
        match what % 12:
            case 0:
                self.says(with_)
            case 1 if with_:
                self.says(cops.frame(OPS[with_[0] % len(OPS)], with_[1:] + bytes(-(len(with_) - 1) % 4)))
            case 2:
                self.sends(with_, self.link.token if self.link else 0)
            case 3 if with_:
                deliver_datagram(self.a, with_, AWAY)
            case 4 if len(with_) > 2:
                self.sends_data(with_)
            case 5 if with_:
                self.world.run(with_[0] / 40)
            case 6 if with_:
                (self.a.host.wants if with_[0] & 1 else self.a.host.unwants)(GROUP + (with_[0] >> 1) % 4)
            case 7 if with_:
                self.host_sends(with_)
            case 8:
                end = self.calls[-1].dialling
                end.reads = not end.reads
                end.other.flush()
            case 9 if len(self.calls) < 8:
                self.calls.append(self.call())
                self.says(AN_OPEN)
            case 10:
                self.routes(with_)
            case 11:
                self.answers()

    def host_sends(self, with_: bytes) -> None:
        """A burst, of long packets if it is to fill a connection that nobody reads."""
        inner = with_.ljust(1000) if with_[0] & 4 else with_
        for _ in range(1 + (with_[0] >> 3)):
            self.a.send(GROUP + with_[0] % 4, inner=inner)

    def sends(self, said: bytes, token: int) -> None:
        """A datagram, from elsewhere than announced if it is of an odd length."""
        if len(said) > TOKEN_OFFSET + 8:
            said = said[:TOKEN_OFFSET] + token.to_bytes(8, "big") + said[TOKEN_OFFSET + 8 :]
        deliver_datagram(self.a, said, (AWAY[0], AWAY[1] + (len(said) & 1)))

    def answers(self) -> None:
        """So that data move to UDP."""
        probes = [
            said for _, there, said in self.world.air.sent if there == AWAY[0] and said[1] == Op.KEEP_ALIVE
        ]
        if not probes or not self.link:
            return
        probe = decode(probes[-1]).message
        assert isinstance(probe, KeepAlive) and probe.echo
        if probe.echo.kind == ECHO_REQUEST:
            said = encode(KeepAlive(self.link.token, Echo(ECHO_REPLY, probe.echo.clock)))
            deliver_datagram(self.a, said, AWAY)

    def sends_data(self, with_: bytes) -> None:
        self.sequence += with_[1]
        message = data.build(
            with_[2:], token=0, origin=(CALLER, self.a.forwarder.origin)[with_[0] >> 5 & 1],
            group=GROUP + with_[0] % 4, source=with_[0] >> 2 & 1, sequence=self.sequence,
            hop_limit=with_[2], flags=with_[0] >> 7,
        )  # fmt: skip
        if with_[0] & 16:
            self.says(message)
        elif self.link:
            self.sends(message, self.link.token)

    def routes(self, with_: bytes) -> None:
        entries: list[Group | Node] = []
        for byte in with_[:200]:
            if byte & 64:
                entries.append(Node(self.ids[byte & 7], f"n{byte & 7}" if byte & 8 else None))
            else:
                entries.append(Group(GROUP + (byte & 7), byte >> 3 & 1))
        if entries:
            kind = AddRoute if with_[0] & 128 == 0 else RemoveRoute
            self.says(encode(kind(tuple(entries))))

    # --- what has to be so

    def check_bounds(self) -> None:
        room = self.a.room
        assert len(room.links) <= len(self.calls) + 1 <= UNOPENED_MAX
        assert len(self.a.forwarder.streams.coming) <= LINK_STREAMS_MAX
        for cable in self.calls:
            link = cable.accepting.link
            if link:
                assert len(link.queue) <= PACKETS_MAX
                assert self.a.router.count(link) <= CHANNELS_MAX
                assert len(room.reach.behind(link)) <= NODES_MAX + 1
                assert (link in room.by_node.values()) == (link.phase is Phase.UP)
                assert (link.node in room.reach.behind(link)) == (link.phase is Phase.UP)
                assert link.on_udp <= (link.phase is Phase.UP)
            waiting = len(cable.accepting._unsent)
            assert waiting <= FULL + UNREAD_MAX + 2 * MESSAGE_MAX

    def check_stream(self) -> None:
        """b's link is up, and a packet each way comes once."""
        self.number += 1
        probe = self.number.to_bytes(4, "big") * 8
        assert self.good.phase is Phase.UP
        self.world.run(0.01)
        for sender, receiver in ((self.a, self.b), (self.b, self.a)):
            receiver.host.got.clear()
            sender.send(PROBED, source=self.number, inner=probe)
            self.world.run(0.01)
            assert receiver.host.packets.count(probe) == 1, receiver.host.packets

    def check_departure(self) -> None:
        """Hung up: no table knows the caller, and b is told of nothing that only it wanted."""
        for cable in self.calls:
            cable.dialling.reads = True
            cable.dialling.abort()
        self.world.run(0.1)
        room, router = self.a.room, self.a.router
        assert room.links == [self.good], room.links
        assert room.by_token == {self.good.token: self.good}
        assert list(room.by_node.values()) == [self.good]
        assert {link for node in room.reach.nodes() for link in room.reach.links(node)} == {self.good}
        for cable in self.calls:
            if cable.accepting.link:
                assert cable.accepting.lost
                assert not router.count(cable.accepting.link)
        assert self.b.told_by(self.a) == set(router.all_wanted_besides(self.good))
        assert self.b.room.reach.nodes() == [self.a.id]

    def tidy(self) -> None:
        """As it was before, but for time and counters."""
        for group in range(4):
            self.a.host.unwants(GROUP + group)
        self.world.run(0.01)
        del self.world.cables[1:]
        self.world.air.sent.clear()
        for node in (self.a, self.b):
            node.forwarder.streams.sweep(self.world.now, 0)
            for kept in (node.events, node.ups, node.downs, node.host.got, node.host.told):
                kept.clear()
        for end in self.cable.ends:
            end.written.clear()
            end.received.clear()
        assert self.a.router.all_wanted_besides(self.good) == [Channel(PROBED)]
        assert len(self.world.clock.calls) < 64
