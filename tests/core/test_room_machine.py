"""A node and whoever calls it, for any row of events, against a naive model of who wants what and gets what.

The node is real (tests/core/cable.py); its peers are callers that say what the rules have them say and keep
what they hear.  The model knows sets, and has no tables, windows, tokens or clocks of its own:

    up        the callers that said Open last and are not gone, each with its channels and the nodes behind it
    told      what a caller must have been told: the union of what all others want, and whom they reach
    packets   each once, to all that want it but the one it came from
"""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import Channel
from multicastmw.core.branch import REST
from multicastmw.core.link import OPEN_WITHIN
from multicastmw.core.room import UNOPENED_MAX, UNOPENED_MAX_OF_ONE
from multicastmw.wire import data
from multicastmw.wire.cops import Op
from multicastmw.wire.data import HEADER_SIZE, DataHeader
from multicastmw.wire.framing import Framer
from multicastmw.wire.messages import (
    ECHO_REPLY,
    ECHO_REQUEST,
    AddRoute,
    Close,
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
from tests.core.cable import PORT, Cable, World, deliver_datagram

NAMES = "bcdefg"
CHANNELS = [Channel(group, source) for group in (1, 2) for source in (0, 7, 9)]
HUB = 3  # in the order of node ids
PATIENCE = 10
LINKS_MAX = 4

callers = st.sampled_from(NAMES)
channels = st.sampled_from(CHANNELS)


@dataclass(eq=False)
class Connection:
    """One TCP connection of a caller, with its own data port and token; what it heard."""

    name: str
    cable: Cable
    token: int
    hub_dialled: bool
    their_token: int = 0
    channels: set[Channel] = field(default_factory=set)
    nodes: set[int] = field(default_factory=set)
    closed: tuple[int, int] | None = None
    framer: Framer = field(default_factory=Framer)
    probes: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)  # over TCP
    got: list[DataHeader] = field(default_factory=list)
    inner: list[bytes] = field(default_factory=list)

    @property
    def end(self):
        return self.cable.accepting if self.hub_dialled else self.cable.dialling

    @property
    def hub_end(self):
        return self.cable.dialling if self.hub_dialled else self.cable.accepting


@dataclass
class Peer:
    """The model's view of a peer that is up."""

    connection: Connection
    wants: set[Channel] = field(default_factory=set)
    behind: set[int] = field(default_factory=set)
    silent_since: float | None = None  # its cable is cut


def node_of(name: str) -> int:
    """b and c are below the hub, the others above it."""
    place = NAMES.index(name) + 1
    return (place if place < HUB else place + 1) << 16


class RoomMachine(RuleBasedStateMachine):
    @initialize(
        first=st.dictionaries(
            callers,
            st.tuples(st.booleans(), st.lists(channels, min_size=1, max_size=3)),
            min_size=2,
            max_size=LINKS_MAX + 1,
        )
    )
    def begin(self, first: dict[str, tuple[bool, list[Channel]]]) -> None:
        self.world = World()
        self.hub = self.world.node("hub", keep_alive=PATIENCE, node=HUB << 16)
        self.hub.room.links_max = LINKS_MAX
        self.up: dict[str, Peer] = {}
        self.host: set[Channel] = set()
        self.connections: list[Connection] = []
        self.waiting: list[tuple[Connection, float]] = []  # have said nothing, since when
        self.old_tokens: list[int] = []
        self.sequences: dict[tuple[int, Channel], int] = {}
        # Numbers of a stream since it may have begun anew.
        self.accepted: dict[tuple[int, Channel], list[int]] = {}
        self.heard_at: dict[tuple[int, Channel], float] = {}
        # Who was the only one to want a stream at some moment since its last packet.
        self.alone: dict[tuple[int, Channel], set[str | None]] = {}
        self.number = 0
        self.tokens = 0
        for name, (udp, wants) in first.items():
            self.a_caller_says_open(name, udp, hub_dials=False)
            self.a_peer_adds_routes(name, wants)
            self.a_peer_answers_a_probe(name)

    # --- what callers do

    def connection(self, name: str, hub_dials: bool = False) -> Connection:
        address = f"192.0.2.{NAMES.index(name) + 1}"
        self.tokens += 1
        if hub_dials:
            cable = Cable(self.world, self.hub, None, section=name)
            cable.dialling.address = address
            assert cable.dialling.link is not None
            cable.dialling.link.address = address
        else:
            cable = Cable(self.world, None, self.hub, seen_from=address)
        made = Connection(name, cable, self.tokens, hub_dials)
        self.connections.append(made)
        return made

    @rule(name=callers, udp=st.booleans(), hub_dials=st.booleans())
    def a_caller_says_open(self, name: str, udp: bool, hub_dials: bool) -> None:
        if not hub_dials and self.is_full(name):
            return
        made = self.connection(name, hub_dials)
        port = DataPort(PORT, made.token) if udp else None
        older = self.up.get(name)  # now: while it settles a silent one may be dropped, too
        made.end.says(encode(Open(name, node_of(name), 3600, port)))
        self.settle()
        if older is None:
            refused = len(self.up) >= LINKS_MAX
        else:
            both = older.connection.hub_dialled != hub_dials
            ours_stays = self.hub.id < node_of(name)
            refused = both and hub_dials != ours_stays
        if refused:
            assert made.closed == ((4, 2) if older else (4, 4)), made.closed
            return
        assert made.closed is None
        if older:
            self.goes(name)
            if older.silent_since is None:
                assert older.connection.closed == (4, 2)
        self.up[name] = Peer(made)
        assert made.their_token

    def is_full(self, name: str) -> bool:
        of_it = [c for c, _ in self.waiting if c.name == name]
        return len(self.waiting) >= UNOPENED_MAX or len(of_it) >= UNOPENED_MAX_OF_ONE

    @rule(name=callers, times=st.integers(1, 12))
    def somebody_knocks_and_says_nothing(self, name: str, times: int) -> None:
        for _ in range(times):
            full = self.is_full(name)
            made = self.connection(name)
            assert made.cable.turned_away == full
            if not full:
                self.waiting.append((made, self.world.now))
        self.settle()

    @rule(name=callers)
    def somebody_has_the_nodes_own_id(self, name: str) -> None:
        if self.is_full(name):
            return
        made = self.connection(name)
        made.end.says(encode(Open("hub", self.hub.id, 10)))
        self.settle()
        assert made.closed == (4, 3)

    def says(self, name: str, *messages: bytes) -> bool:
        """False if nothing of it can arrive."""
        peer = self.up.get(name)
        if peer is None or peer.silent_since is not None:
            return False
        peer.connection.end.says(*messages)
        return True

    @rule(name=callers, wants=st.lists(channels, min_size=1, max_size=4))
    def a_peer_adds_routes(self, name: str, wants: list[Channel]) -> None:
        if self.says(name, encode(AddRoute(tuple(Group(*channel) for channel in wants)))):
            self.up[name].wants |= set(wants)
        self.settle()

    @rule(name=callers, gone=st.lists(channels, min_size=1, max_size=4))
    def a_peer_removes_routes(self, name: str, gone: list[Channel]) -> None:
        if self.says(name, encode(RemoveRoute(tuple(Group(*channel) for channel in gone)))):
            self.up[name].wants -= set(gone)
        self.settle()

    @rule(name=callers, number=st.integers(1, 3), comes=st.booleans())
    def a_node_behind_a_peer_comes_or_goes(self, name: str, number: int, comes: bool) -> None:
        node = node_of(name) << 24 | number << 16
        kind = AddRoute if comes else RemoveRoute
        if self.says(name, encode(kind((Node(node, f"{name}{number}" if comes else None),)))):
            (self.up[name].behind.add if comes else self.up[name].behind.discard)(node)
        self.settle()

    @rule(name=callers)
    def a_peer_withdraws_itself_and_announces_the_node(self, name: str) -> None:
        """Neither means anything."""
        self.says(
            name, encode(RemoveRoute((Node(node_of(name)),))), encode(AddRoute((Node(self.hub.id, "hub"),)))
        )
        self.settle()

    @rule(name=callers, how=st.sampled_from(["close", "hang up", "garbage", "second open", "cut"]))
    def a_peer_goes(self, name: str, how: str) -> None:
        peer = self.up.get(name)
        if peer is None or peer.silent_since is not None:
            return
        end = peer.connection.end
        if how == "cut":
            peer.connection.cable.cut()
            peer.silent_since = self.world.now
            return
        if how == "hang up":
            end.abort()
        else:
            end.says(
                {
                    "close": encode(Close(11)),
                    "garbage": b"GET / HTTP/1.1\r\n\r\n",
                    "second open": encode(Open(name, node_of(name), 10)),
                }[how]
            )
        self.goes(name)
        self.settle()
        assert peer.connection.closed == (None if how in ("close", "hang up") else (3, 0))

    def goes(self, name: str) -> None:
        peer = self.up.pop(name)
        self.old_tokens.append(peer.connection.their_token)
        self.lapses()

    @rule(name=callers)
    def a_peer_answers_a_probe(self, name: str) -> None:
        peer = self.up.get(name)
        if peer and peer.connection.probes and peer.silent_since is None:
            clock = peer.connection.probes.pop()
            self.datagram(name, encode(KeepAlive(peer.connection.their_token, Echo(ECHO_REPLY, clock))))
        self.settle()

    # --- the host, and the time

    @rule(channel=channels, wants=st.booleans())
    def the_host_joins_or_leaves(self, channel: Channel, wants: bool) -> None:
        (self.hub.host.wants if wants else self.hub.host.unwants)(*channel)
        (self.host.add if wants else self.host.discard)(channel)
        self.settle()

    @rule(seconds=st.sampled_from([0.3, 1.5, 4.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        """Who is there says so; who says nothing for so long is dropped."""
        end = self.world.now + seconds
        while self.world.now < end:
            for name in self.up:
                self.says(name, encode(KeepAlive()))
            self.world.run(min(2.0, end - self.world.now))
        self.settle()

    # --- packets

    def wanting(self, channel: Channel) -> set[str | None]:
        """Who gets (S, G); None is the host."""
        both = {channel, Channel(channel.group)}
        takers: set[str | None] = {name for name, peer in self.up.items() if peer.wants & both}
        return takers | ({None} if self.host & both else set())

    def lapses(self) -> None:
        """A stream that nobody wants but who it comes from is not sent; what comes later may begin anew."""
        for stream in self.alone:
            wanting = self.wanting(stream[1])
            if len(wanting) < 2:
                self.alone[stream] |= wanting or {None, *NAMES}

    @rule(channel=st.sampled_from([c for c in CHANNELS if c.source]))
    def the_host_sends(self, channel: Channel) -> None:
        inner = self.fresh()
        self.hub.send(*channel, inner=inner)
        self.settle()
        self.arrived(inner, self.wanting(channel) - {None}, hop_limit=15)

    @rule(
        name=callers,
        channel=st.sampled_from([c for c in CHANNELS if c.source]),
        origin=st.sampled_from([0xA0001, 0xB0001, 0]),
        step=st.integers(0, 5),
        way=st.sampled_from(["tcp", "udp", "udp", "forged", "old", "another's"]),
        other=callers,
    )
    def data_come(self, name: str, channel: Channel, origin: int, step: int, way: str, other: str) -> None:
        """With a step of 0 a number comes again."""
        self.lapses()
        stream = origin, channel
        sequence = self.sequences[stream] = self.sequences.get(stream, 100) + step
        inner = self.fresh()
        token = {"tcp": 0, "forged": 1 << 63}.get(way, self.token_of(name))
        if way == "old":
            token = self.old_tokens[-1] if self.old_tokens else 1 << 62
        if way == "another's":
            token, name = self.token_of(other), other
        message = data.build(
            inner, token=token, origin=origin or self.hub.forwarder.origin,
            group=channel.group, source=channel.source, sequence=sequence, hop_limit=16,
        )  # fmt: skip
        if way == "tcp":
            came = self.says(name, message)
        else:
            self.datagram(name, message)
            came = way in ("udp", "another's") and name in self.up
        self.settle()
        ingress_goes_on = came and bool(origin) and name in self.up
        takers = self.wanting(channel) - {name} if ingress_goes_on else set()
        if not ingress_goes_on or not self.wanting(channel):
            self.arrived(inner, set(), 15)
            return
        stale = self.world.now - self.heard_at.get(stream, -100.0) > 9
        if stale or name in self.alone.get(stream, ()):
            self.accepted[stream] = []
        self.alone[stream] = set()
        if sequence in self.accepted.setdefault(stream, []):
            self.arrived(inner, set(), 15)  # exactly once
        elif step or stream not in self.heard_at:
            self.arrived(inner, takers, 15)
            self.accepted[stream].append(sequence)
            self.heard_at[stream] = self.world.now
        else:
            self.forget(inner)  # the window may know the number or not
            self.heard_at[stream] = self.world.now

    def token_of(self, name: str) -> int:
        return self.up[name].connection.their_token if name in self.up else 1 << 61

    def datagram(self, name: str, message: bytes) -> None:
        deliver_datagram(self.hub, message, (f"192.0.2.{NAMES.index(name) + 1}", PORT))

    def fresh(self) -> bytes:
        self.number += 1
        return self.number.to_bytes(4, "big") * 3

    def arrived(self, inner: bytes, takers: set[str | None], hop_limit: int) -> None:
        """Each taker has it once, and nobody else; who cannot be reached does not matter."""
        for connection in self.connections:
            count = connection.inner.count(inner)
            peer = self.up.get(connection.name)
            if peer and peer.connection is connection and connection.name in takers:
                if peer.silent_since is None:
                    assert count == 1, (connection.name, count)
            else:
                assert not count, (connection.name, takers)
            assert all(header.hop_limit == hop_limit for header in connection.got)
        assert self.hub.host.packets.count(inner) == (None in takers)
        self.forget(inner)

    def forget(self, inner: bytes) -> None:
        for connection in self.connections:
            assert all(got == inner for got in connection.inner)
            connection.inner.clear()
            connection.got.clear()
        assert all(got == inner for got in self.hub.host.packets)
        self.hub.host.got.clear()

    # --- what callers heard

    speak_at = 0.0  # when those who are there say so again, however many events come meanwhile

    def settle(self) -> None:
        if self.world.now >= self.speak_at:
            self.speak_at = self.world.now + PATIENCE / 4
            for name in self.up:
                self.says(name, encode(KeepAlive()))
        self.world.run(0.05)
        while self.questions():
            self.world.run(0.05)
        self.world.run(2 * REST)  # what changed while a link rests from telling is told after it
        while self.some_are_dropped():
            self.world.run(2 * REST)
        while any(abs(self.world.now - since - OPEN_WITHIN) < 0.05 for _, since in self.waiting):
            self.world.run(0.05)  # whoever is being given up just now is neither here nor gone
        self.waiting = [(c, since) for c, since in self.waiting if self.world.now - since < OPEN_WITHIN]
        for connection in self.connections:
            self.read(connection)
        for _, there, message in self.world.air.sent:
            self.read_datagram(there, message)
        self.world.air.sent.clear()
        gone = [c for c in self.connections if c.end.lost]
        self.connections = [c for c in self.connections if c not in gone]
        self.world.cables = [c.cable for c in self.connections]
        self.lapses()

    def questions(self) -> bool:
        """Reads what was heard, and answers what is asked over TCP, as data wait for that."""
        for connection in self.connections:
            self.read(connection)
        asking = [c for c in self.connections if c.asked]
        for connection in asking:
            connection.end.says(
                *(encode(KeepAlive(echo=Echo(ECHO_REPLY, clock))) for clock in connection.asked)
            )
            connection.asked.clear()
        return bool(asking)

    def some_are_dropped(self) -> bool:
        """Who was last heard at most PATIENCE / 4 before its silence is dropped PATIENCE after that."""
        silent = {name: peer for name, peer in self.up.items() if peer.silent_since is not None}
        dropped = [name for name in silent if node_of(name) not in self.hub.room.by_node]
        for name, peer in silent.items():
            seconds = self.world.now - peer.silent_since
            if name in dropped:
                assert seconds > PATIENCE * 3 / 4 - 0.3
                self.goes(name)
            else:
                assert seconds < PATIENCE + 0.3
        return bool(dropped)

    def read(self, connection: Connection) -> None:
        chunk = bytes(connection.end.received)
        connection.end.received.clear()
        for message in connection.framer.feed(chunk):
            if message[1] == Op.IP_DATA:
                self.read_data(connection, bytes(message), token=0)
                continue
            match decode(message).message:
                case Open(_, node, _, DataPort(_, token)):
                    assert node == self.hub.id
                    connection.their_token = token
                case AddRoute(entries):
                    for entry in entries:
                        self.add(connection, entry)
                case RemoveRoute(entries):
                    for entry in entries:
                        self.remove(connection, entry)
                case KeepAlive(_, Echo(kind, clock)) if kind == ECHO_REQUEST:
                    connection.asked.append(clock)
                case Close(code, sub_code):
                    connection.closed = code, sub_code

    @staticmethod
    def add(connection: Connection, entry: Group | Node) -> None:
        if isinstance(entry, Group):
            assert Channel(entry.group, entry.source) not in connection.channels, "said twice"
            connection.channels.add(Channel(entry.group, entry.source))
        else:
            assert entry.node not in connection.nodes and entry.name
            connection.nodes.add(entry.node)

    @staticmethod
    def remove(connection: Connection, entry: Group | Node) -> None:
        if isinstance(entry, Group):
            connection.channels.remove(Channel(entry.group, entry.source))
        else:
            connection.nodes.remove(entry.node)

    def read_datagram(self, there: str, message: bytes) -> None:
        name = NAMES[int(there.rpartition(".")[2]) - 1]
        mine = [c for c in self.connections if c.name == name and c.closed is None and not c.hub_end.lost]
        if message[1] == Op.IP_DATA:
            (connection,) = [c for c in mine if c.token == DataHeader.parse(message).token]
            self.read_data(connection, message, token=connection.token)
            return
        probe = decode(message).message
        assert isinstance(probe, KeepAlive) and probe.echo
        for connection in mine:
            if connection.token == probe.token:
                connection.probes.append(probe.echo.clock)

    @staticmethod
    def read_data(connection: Connection, message: bytes, token: int) -> None:
        header = DataHeader.parse(message)
        assert header.token == token
        connection.got.append(header)
        connection.inner.append(message[HEADER_SIZE : HEADER_SIZE - 4 + header.packet_length])

    # --- what has to be so at every moment

    @precondition(lambda self: hasattr(self, "connections"))
    @invariant()
    def the_tables_are_the_models(self) -> None:
        room, router = self.hub.room, self.hub.router
        assert set(room.by_node) == {node_of(name) for name in self.up}
        assert len(room.by_token) == len(room.links) <= LINKS_MAX + len(self.connections)
        assert len(room.by_node) <= LINKS_MAX
        for name, peer in self.up.items():
            link = room.by_node[node_of(name)]
            assert link is peer.connection.hub_end.link
            held = {channel for channel, holders in router.wanted() if link in holders}
            assert held == peer.wants
            assert set(room.reach.behind(link)) == peer.behind | {node_of(name)}
        everybody = set().union(self.host, *(peer.wants for peer in self.up.values()))
        assert {channel for channel, _ in router.wanted()} == everybody

    @precondition(lambda self: hasattr(self, "connections"))
    @invariant()
    def each_peer_was_told_the_union_of_the_others(self) -> None:
        for name, peer in self.up.items():
            if peer.silent_since is not None:
                continue
            others = [other for each, other in self.up.items() if each != name]
            assert peer.connection.channels == set().union(self.host, *(other.wants for other in others))
            reached = {node_of(each) for each in self.up if each != name}
            assert peer.connection.nodes == reached.union(*(other.behind for other in others))

    def teardown(self) -> None:
        """When all have gone and the time has passed, nothing is left."""
        if not hasattr(self, "connections"):
            return
        for connection in self.connections:
            connection.end.abort()
        self.world.run(PATIENCE + 7)
        for channel in self.host:
            self.hub.host.unwants(*channel)
        assert not self.hub.room.links and not self.hub.room.by_token and not self.hub.room.by_node
        assert not self.hub.router.wanted() and not self.hub.room.reach.nodes()
        assert not self.world.clock.calls


def examples(most: int, steps: int) -> settings:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=most, stateful_step_count=steps, deadline=None, suppress_health_check=checks)


class Rooms(SynchronousTestCase):
    def test_whoever_calls_and_whatever_they_say_each_gets_what_it_wants_once(self) -> None:
        run_state_machine_as_test(RoomMachine, settings=examples(60, 40))
