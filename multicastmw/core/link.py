"""One TCP connection with one peer, and the data path beside it: a destination once both have said Open.

          start            Open arrives               Close, an error, silence
    ( ) --------> OPENING --------------------> UP ------------------------------> LEAVING ---> GONE
                     |   refused, late                                                ^   connection lost
                     +----------------------------------------------------------------+

What comes in: messages in order; of routes and of many small messages a piece at a time (intake.py), and the
connection is not read meanwhile.

What goes out: control at once; routes when it is this link's turn (branch.py); data on UDP and in runs
(run.py) if its probes are answered, else on TCP behind a bounded queue.
"""

from collections.abc import Callable
from enum import Enum, auto
from errno import EMSGSIZE

from multicastmw.core.addressing import Channel
from multicastmw.core.branch import Branch
from multicastmw.core.changeover import Changeover
from multicastmw.core.datapath import MESH_PACE, PACE, DataPath
from multicastmw.core.dataqueue import DataQueue
from multicastmw.core.events import DataMoved
from multicastmw.core.fec.coder import Coder
from multicastmw.core.fec.protection import Protection
from multicastmw.core.haunts import Telling
from multicastmw.core.intake import Intake
from multicastmw.core.liveness import Duty, Liveness
from multicastmw.core.mesh.neighbour import Neighbour, sample_of
from multicastmw.core.packet import Packet
from multicastmw.core.parting import TELLINGS
from multicastmw.core.reasons import REASONS
from multicastmw.core.recovery.partner import Partner
from multicastmw.core.room import Room
from multicastmw.core.run import Run
from multicastmw.core.trips import Trips, TripsOverTcp
from multicastmw.core.turns import PIECE
from multicastmw.core.ways import DataAddresses, Datagrams, LinkCounters, Outlet
from multicastmw.wire.cops import UNUSED, Code, Op, Unable, message_length
from multicastmw.wire.data import (
    FLAGS_OFFSET,
    HOP_LIMIT_OFFSET,
    LOW_WATER_OFFSET,
    RETRANSMITTED,
    TOKEN_OFFSET,
    TOKEN_TWIN,
    without_token,
)
from multicastmw.wire.errors import PeerError
from multicastmw.wire.mesh import (
    Capabilities,
    Find,
    Graft,
    Have,
    MeshMessage,
    Nack,
    Peers,
    Prune,
    Register,
    Registered,
)
from multicastmw.wire.messages import (
    ECHO_REPLY,
    ECHO_REQUEST,
    AddRoute,
    Close,
    Echo,
    KeepAlive,
    Message,
    Open,
    RemoveRoute,
    Unknown,
    decode,
    encode,
)
from multicastmw.wire.parity import Parity

# What the specification says (DESIGN, "The conduct of a link").
OPEN_WITHIN = 5.0

# What we chose.
OPEN_MAX = 2_048  # bytes of a first message: names are short, and a stranger has shown nothing yet
UNREAD_MAX = 64 << 10  # bytes of control for a connection that takes nothing
LEAVE_WITHIN = 1.0  # seconds that a Close may take to go out
ANSWERED = "its probes are answered"  # why data move to UDP
PROBES_MAX = 64  # Keep Alives of one second on UDP; two nodes need five
CORRECTION_EVERY = 1.0  # seconds between two of a peer's words on forward error correction that count at once
REPOINT_EVERY = 1.0  # seconds between two changes of the place where a peer's datagrams come from

NEVER = float("inf")

# What we chose: a node that is there has let us hear of it within that time, as each probes the other's data
# path every 2 s (datapath.py).
ALIVE_WITHIN = 2.5

# What we chose: a link in the mesh is dead when nothing was heard over it for so long, neither an answer to a
# probe (4 s) nor a Keep Alive (7.5 s at most).
UNHEARD = 8.0

DATAGRAMS = Have, Nack, Graft, Prune, Register, Registered
SAID_OPS = frozenset((Op.HAVE, Op.NACK, Op.ADD_ROUTE, Op.REMOVE_ROUTE, Op.PARITY, Op.REGISTER, Op.REGISTERED))

put_token = TOKEN_TWIN.pack_into


class Phase(Enum):
    OPENING = auto()
    UP = auto()
    LEAVING = auto()
    GONE = auto()


class Link:
    """A peer's link: what the room (see room.py) is to all links, this is to one."""

    local = False
    is_second = False  # why it is not up, or no more: there is another link with its node
    partner: Partner | None = None  # the peer on a static link, where both repair losses
    protection: Protection | None = None  # where both ends know forward error correction
    _protected: Run | Coder | None = None  # what data leave by: the run, or what stands before it
    _peers_correction = _said_correction = 0  # what both ends said last of rebuilding: see Open
    _correction_at = -NEVER  # when another word of the peer's counts at once

    def __init__(self, room: "Room", outlet: Outlet, section: str | None, now: float) -> None:
        self.room = room
        self.section = section  # the NAME of [peer:NAME] that dialled; None: the peer dialled
        self.name = section or outlet.address
        self.address = outlet.address
        self.node = 0
        self.phase = Phase.OPENING
        self.why = ""
        self.closes_cycle = False  # why it is not, or no more
        self.reaches_us = False  # the same: the peer, whom we know, says that it reaches this node otherwise
        self.is_unused = False  # the same: the mesh has no use for it
        self.is_taken = False  # the same: another node of one name has taken its place
        self.since = now
        self.counters = LinkCounters()
        self.token = room.new_token()
        self.neighbour: Neighbour | None = None  # the same peer, in the mesh
        self.is_mesh = False  # the peer is a neighbour in the mesh, or will be
        self._is_ceded = False
        self.first_rtt: float | None = None  # seconds that it took to connect
        self.is_up: Callable[[Link], None] = lambda link: None  # told of it
        self.is_seed = self.is_named = bool(section)  # node.ini names it: a way into the mesh
        self.path: DataPath | None = None
        self._trips: TripsOverTcp | None = None
        self.queue = DataQueue()
        self._outlet = outlet
        self._intake = Intake(self._accept, lambda: 1 + len(room.by_node) // TELLINGS, OPEN_MAX)
        self._due = now + OPEN_WITHIN
        self._heard_at = now  # over the connection, or by a probe
        self._liveness: Liveness | None = None
        self._patience = room.here.keep_alive  # as our Open says it; the room's may change later
        self.longest_patience: float = self._patience  # of both sides, as far as it is known
        self._datagrams: Datagrams | None = None
        self.run: Run | None = None  # what is on its way to it
        self._on_udp = False
        self._changeover = Changeover()
        self._peers_token = 0
        self._writable = True
        self._paused_at = now
        self._pressed = 0  # bytes of control since then
        self._probes_since = now  # the second whose probes are counted
        self._probes = 0
        self._repoint_at = now
        self._branch = Branch(self, room, outlet.wake, now)

    @property
    def dialled(self) -> bool:
        """Did this side dial?"""
        return self.section is not None

    @property
    def was_up(self) -> bool:
        """Has the peer said an Open that was accepted?"""
        return self._liveness is not None

    @property
    def _is_known(self) -> bool:
        """Is the peer whom we chose, or has TLS shown who it is?  Any other caller may be anybody."""
        return self.dialled or (self.was_up and self.secure)

    def is_alive(self, now: float) -> bool:
        """Has it been heard of just now?  A peer without a data port may be silent for longer."""
        return now - self._heard_at < ALIVE_WITHIN

    @property
    def on_udp(self) -> bool:
        """Do data go out on UDP now?"""
        return self._on_udp

    @property
    def secure(self) -> bool:
        """Is the connection inside TLS?"""
        return self._outlet.secure

    @property
    def local_address(self) -> str:
        """Where the connection ends on this host."""
        return self._outlet.local_address

    @property
    def data_address(self) -> tuple[str, int] | None:
        """Where data on UDP go to."""
        return self._datagrams.remote if self._datagrams else None

    @property
    def data_path(self) -> DataAddresses | None:
        """Where data on UDP leave and arrive, while they go out there: the peer has shown that they come."""
        datagrams = self._datagrams
        if not self._on_udp or datagrams is None or self.protection:
            return None
        return DataAddresses(
            datagrams.local, datagrams.remote, self._peers_token, self.token, datagrams.mtu()
        )

    def read_waiting(self) -> bool:
        """Takes the datagrams that have come already; True: there may be more."""
        return bool(self._datagrams and self._datagrams.read_waiting())

    @property
    def all_sent_bytes(self) -> int:
        """Of packets, and of the parity behind them."""
        parity = self.protection.counters.sent_bytes if self.protection else 0
        return self.counters.sent_bytes + parity

    @property
    def kernel_drops(self) -> int:
        """Datagrams of this peer that found the socket's buffer full."""
        return self._datagrams.drops() if self._datagrams else 0

    def start(self, now: float) -> None:
        """The connection is there: both sides say Open at once.

        Who is known already not to be whom we dialled hears Close instead, so that it is not up at its end.
        """
        self._patience = self.room.here.keep_alive
        if self.section and (objection := self._outlet.objection((self.section,))):
            self.leave(Code.AUTHENTICATION, 0, f"TLS: {objection}", now)
        else:
            opened = self.room.our_open(self.token, self._outlet.local_address)
            self._said_correction = opened.correction
            self._outlet.write(encode(opened))

    # --- what comes in

    def bytes_received(self, chunk: bytes, now: float) -> None:
        """A piece of the TCP stream."""
        if self.phase in (Phase.LEAVING, Phase.GONE):
            return
        waits = bool(self._intake)  # behind what is being worked at
        self._intake.put(chunk)
        if waits:
            return
        self._take_in(PIECE, now)
        self.room.outgoing.flush()
        if self._intake:
            self.counters.held += 1
            self._outlet.hold()
            self.room.turns.add(self)

    def _take_in(self, steps: int, now: float) -> int:
        """So many steps of what has come in."""
        self._heard_at = now
        if self._liveness:
            self._liveness.heard(now)
        try:
            self._intake.work(steps, now)
        except PeerError as error:
            self._refuse(error, now)
        return self._intake.done

    def has_work(self) -> bool:
        """Is there more than fits one turn?"""
        if self.phase is not Phase.UP:
            return False
        return bool(self._intake) or self._may_announce

    def work(self, steps: int, now: float) -> int:
        """This link's turn: some of what came in, then some of what is to be told."""
        done = 0
        if self._intake and self.phase is Phase.UP:
            done = self._take_in(steps, now)
            self.room.outgoing.flush()
            if not self._intake:
                self._outlet.go_on()
        if done < steps and self.phase is Phase.UP and self._may_announce:
            done += self._announce(steps - done, now)
        return done

    def _accept(self, message: memoryview, now: float) -> None:
        if message[1] == Op.IP_DATA and self.phase is Phase.UP:
            self._accept_data(message, now)
            return
        decoded = decode(message)
        self.counters.unknown_objects += decoded.skipped
        match decoded.message:
            case Open() as opened if self.phase is Phase.OPENING:
                self._accept_open(opened, now)
            case Close() as close:
                self._accept_close(close, now)
            case _ if self.phase is Phase.OPENING:
                raise PeerError(Code.BAD_FORMAT, 0, "the first message was not Open")
            case Open():
                raise PeerError(Code.BAD_FORMAT, 0, "a second Open")
            case AddRoute(entries):
                self._intake.goes_on_with(entries, self._branch.add)
            case RemoveRoute(entries):
                self._intake.goes_on_with(entries, self._branch.remove)
            case KeepAlive(_, Echo()) | KeepAlive(correction=int()) as said:
                self._accept_keep_alive(said, now)
            case Register() | Registered() as said if self.neighbour:
                self._hear(said, now)
            case Have() | Nack() | Graft() | Prune() | Peers() | Find() as said if self.neighbour:
                self._hear(said, now)
            case Have() | Nack() as said if self.partner:
                self._hear_of_losses(said, now)
            case (
                Unknown() | Have() | Nack() | Graft() | Prune() | Peers() | Find() | Register() | Registered()
            ):
                self.counters.unknown_messages += 1  # a static link has no use for the mesh's

    def _accept_data(self, message: memoryview, now: float) -> None:
        packet, size = self.room.packet, len(message)
        packet.buffer[:size] = message
        packet.now = now
        self.counters.received_tcp += 1
        self._relay(packet, size)

    def _relay(self, packet: Packet, size: int) -> None:
        self.counters.received += 1
        self.counters.received_bytes += size
        if not self.room.forwarder.relay(packet, size, self):
            raise PeerError(Code.BAD_FORMAT, 0, "a malformed IP Data message")

    def datagram_received(self, packet: Packet, size: int, origin: tuple[str, int] | None) -> None:
        """A datagram with this link's token stands at 0; `origin` is its source if the peer's socket did not
        take it.  A datagram can be forged, so a bad one costs the link nothing."""
        if self.phase is not Phase.UP:  # the token is out before the peer's Open and to the connection's end
            self.room.counters.datagrams_dropped += 1
            return
        probe = None
        try:
            op = packet.buffer[1]
            if op == Op.IP_DATA:
                if self.protection is not None:
                    self.protection.came(packet.view[:size], packet.now)
                self._relay(packet, size)
            elif (self.neighbour or self.partner or self.protection) and op in SAID_OPS:
                self._hear_datagram(one_message(packet.view[:size]), packet.now)
            elif op == Op.PARITY:  # the peer has not heard yet that nobody rebuilds here any more
                self.counters.unknown_messages += 1
                return
            elif self._is_storm(packet.now):
                return
            else:
                probe = one_message(packet.view[:size])
        except PeerError:
            self.counters.bad_probes += 1
            return
        if origin and self._datagrams and origin != self._datagrams.remote:
            self._repoint(origin, packet.now)
        if probe is not None:
            self._accept_probe(probe, packet.now)

    def _hear_datagram(self, said: Message, now: float) -> None:
        """What is about streams, as far as this link speaks of them."""
        if self.neighbour and isinstance(said, DATAGRAMS):
            self._hear(said, now)
        elif self.partner and isinstance(said, (Have, Nack)):
            self._hear_of_losses(said, now)
        elif self.protection and isinstance(said, Parity):
            self._heard_at = now
            self.protection.accept(said, now)

    def _is_storm(self, now: float) -> bool:
        """More probes than a second can need: not even looked at."""
        if now - self._probes_since >= 1:
            self._probes_since, self._probes = now, 0
        self._probes += 1
        if self._probes <= PROBES_MAX:
            return False
        self.counters.probes_over_bound += 1
        return True

    def _repoint(self, origin: tuple[str, int], now: float) -> None:
        """The peer's datagrams come from elsewhere (NAT), or so it seems: from now on it is probed there, and
        no data go there before it has answered.  Who repeats a datagram under another's address turns no
        stream towards it."""
        if now < self._repoint_at or not self._datagrams:
            return
        self._repoint_at = now + REPOINT_EVERY
        self.counters.repointed += 1
        self._flush()
        self._datagrams.repoint(origin)
        if self.protection:
            self.protection.begins_anew()
        if self.path:
            self.path.moved(now)
            if self._on_udp:
                self._move_data(False, "its datagrams come from elsewhere")
            self._outlet.wake()

    def _accept_probe(self, message: object, now: float) -> None:
        self._heard_at = now
        match message:
            case KeepAlive(_, Echo(kind, clock), _, tally) if kind == ECHO_REQUEST and self._datagrams:
                counted = self.protection.answers(tally) if self.protection and tally else None
                echo = Echo(ECHO_REPLY, clock)
                self._send_datagram(encode(KeepAlive(self._peers_token, echo, tally=counted)))
            case KeepAlive(_, Echo(kind, clock), _, tally) if kind == ECHO_REPLY and self.path:
                if self.protection and tally:
                    self.protection.hears(tally, now)
                if self.path.answered(clock, not self.queue, now):
                    self._change_over(now)
                self._outlet.wake()
            case Have() | Nack() | Graft() | Prune() | Register() | Registered():
                self.counters.unknown_messages += 1
            case _:
                self.counters.bad_probes += 1

    def _change_over(self, now: float) -> None:
        """Data move to UDP, as soon as what went over TCP has been read there."""
        clock = self._changeover.begin(now)
        if clock is None:
            self._move_data(True, ANSWERED)
        else:
            self._control(encode(KeepAlive(echo=Echo(ECHO_REQUEST, clock))), now)

    def _accept_keep_alive(self, said: KeepAlive, now: float) -> None:
        """One over TCP that says more than that its sender is there."""
        if said.correction is not None:
            self._accept_correction(said.correction, now)
        if said.echo is not None:
            self._accept_echo(*said.echo, now)

    def _accept_echo(self, kind: int, clock: int, now: float) -> None:
        """One that came over TCP, behind what the other side said and sent before."""
        if kind == ECHO_REQUEST:
            if self._may_speak:
                self._control(encode(KeepAlive(echo=Echo(ECHO_REPLY, clock))), now)
        elif self._changeover.is_answer(clock):
            self._end_changeover(now)
        elif self._trips:
            self._trips.answered(clock, now)

    def _end_changeover(self, now: float) -> None:
        """Data go on UDP, what was held back first; or on TCP, if probes have failed meanwhile."""
        if self.path and self.path.on_udp:
            self._move_data(True, ANSWERED)
            while self._protected and (held := self.queue.get(now)) is not None:
                message = bytearray(held)
                put_token(message, TOKEN_OFFSET, self._peers_token)
                self._protected.send(memoryview(message), now)
            self._flush()
        else:
            self._changeover.ended()
            self._send_queued(now)
        self._outlet.wake()

    # --- as the wire of a neighbour in the mesh

    def _hear(self, message: MeshMessage, now: float) -> None:
        """The mesh bounds how much of it there may be."""
        self._heard_at = now
        if isinstance(message, Peers) and message.names:
            about = {each.node for each in message.samples}
            names = [each for each in message.names if each.node in about]
            self.room.called.hears(names, self.secure)
        assert self.neighbour and self.room.mesh
        self.room.mesh.accept(self.neighbour, message, now)

    def _hear_of_losses(self, message: Have | Nack, now: float) -> None:
        """Recovery bounds how much of it there may be."""
        self._heard_at = now
        assert self.partner and self.room.recovery
        self.room.recovery.accept(self.partner, message, now)

    # --- as forward error correction has it

    def _accept_correction(self, packets: int, now: float) -> None:
        """The peer's word is another one now; who changes it every moment waits for the next probe."""
        self._peers_correction = packets
        if now >= self._correction_at:
            self._correction_at = now + CORRECTION_EVERY
            self.settle_correction(now)

    def settle_correction(self, now: float) -> None:
        """Either end may begin with it under way, and end it: this one says so, and what follows is done."""
        if self.phase is not Phase.UP:
            return
        ours = self.room.our_correction
        if ours != self._said_correction and self._may_speak:
            self._said_correction = ours
            self._control(encode(KeepAlive(correction=ours)), now)
        both = bool(ours and self._peers_correction and self._datagrams)
        if both == (self.protection is not None):
            return
        if self.room.fec and both:
            self.protection = self.room.fec.link_up(self)
        else:
            self._end_protection("it rebuilds nothing any more" if ours else "")
        self.room.moved(self)

    def _end_protection(self, why: str = "") -> None:
        """`why` is empty where that is no news."""
        if self.protection:
            self.protection.fec.link_down(self, why)
            self.protection = None

    def protect(self, coder: Coder | None) -> None:
        """Data go out by it, from now on."""
        self._protected = coder or self.run

    def send_parity(self, parity: Parity) -> int:
        """Behind all that is on its way; gives its bytes."""
        message = encode(parity, self._peers_token)
        self._send_datagram(message)
        return len(message)

    def rebuilt(self, message: bytes, now: float) -> None:
        """A packet that was lost on the way here, as if it had come."""
        packet, size = self.room.packet, len(message)
        packet.buffer[:size] = message
        packet.now = now
        self.room.forwarder.relay(packet, size, self)

    @property
    def is_congested(self) -> bool:
        """Do data go over TCP, and wait there?"""
        return not self._on_udp and bool(self.queue)

    @property
    def rtt(self) -> float | None:
        """Seconds: what probes say, or how long the connection took to be made."""
        measured = self.trips.rtt if self.trips else None
        return self.first_rtt if measured is None else measured

    @property
    def trips(self) -> Trips | None:
        """What measures the way: probes where data go on UDP, else echoes over TCP."""
        return self.path if self._on_udp else self._trips

    def say(self, message: MeshMessage, now: float) -> None:
        """What is about streams goes where their data go, and may be lost; the rest is sure to come."""
        if self.phase is not Phase.UP:
            return
        if self._on_udp and isinstance(message, DATAGRAMS):
            self.counters.said += 1
            self._send_datagram(encode(message, self._peers_token))
        elif self._may_speak:
            self.counters.said += 1
            if isinstance(message, Peers):
                message = self.room.named(message, self._telling, now)
            self._control(encode(message), now)

    def resend(self, stored: bytes, low_water: int, now: float) -> int:
        """A packet that was kept goes out again, marked; gives its bytes."""
        if self.phase is not Phase.UP or not stored[HOP_LIMIT_OFFSET]:
            return 0
        message = bytearray(stored)
        message[FLAGS_OFFSET] |= RETRANSMITTED
        message[LOW_WATER_OFFSET] = low_water
        if self._on_udp and self.run:
            put_token(message, TOKEN_OFFSET, self._peers_token)
            self.run.send(memoryview(message), now)
            self.run.flush()
        else:
            put_token(message, TOKEN_OFFSET, 0)
            self._send_tcp(bytes(message), now)
        return len(message)

    def cede(self) -> None:
        """A newer link with the same peer takes this one's place in the mesh."""
        self._is_ceded = self.neighbour is not None
        if self.protection:
            self.protection.ended()
        self.neighbour = None

    def hang_up(self, why: str, now: float) -> None:
        """Nothing is wrong; the mesh has no use for this link.  One that node.ini names stays."""
        if self.section:
            return
        self.is_unused = True
        self.leave(Code.SHUTTING_DOWN, UNUSED, why, now)

    def _accept_open(self, opened: Open, now: float) -> None:
        self.name = opened.name
        self.node = opened.node
        names = (self.section, opened.name) if self.section else (opened.name,)
        if objection := self._outlet.objection(names, opened.node):
            raise PeerError(Code.AUTHENTICATION, 0, f"TLS: {objection}")
        self.room.admit(self, opened, now)  # raises where the link cannot be
        self.phase = Phase.UP
        self.since = now
        self._intake.longest_is(self.room.message_max)
        self._liveness = Liveness(self._patience, opened.keep_alive, now, self.room.pick)
        self._trips = TripsOverTcp(now)
        self._telling = Telling((self.room.here.node, opened.node), now)
        self.longest_patience = max(self._patience, opened.keep_alive)
        if opened.data_port and self.room.here.data_port:
            self._peers_token = opened.data_port.token
            self._datagrams = self.room.open_datagrams(
                self, self._outlet.local_address, (self.address, opened.data_port.port)
            )
            if self._datagrams:
                self.path = DataPath(now, MESH_PACE if self.is_mesh else PACE)
                self.run = Run(self._datagrams, self.room.outgoing, self.counters, self._not_sent)
                self._protected = self.run
        if self.is_mesh and opened.capabilities:
            self._joins_mesh(opened, opened.capabilities, now)
        else:
            self._branch.joins()
            if opened.recovery and self.room.recovery and self._datagrams:
                self.partner = self.room.recovery.link_up(self)
        self._peers_correction = opened.correction
        self.settle_correction(now)
        self.is_up(self)
        self._outlet.wake()

    def _joins_mesh(self, opened: Open, capabilities: Capabilities, now: float) -> None:
        """A neighbour in the mesh, which says by itself what goes over this link."""
        assert self.room.mesh
        sample = sample_of(opened.node, opened.addresses, capabilities, self.address, self.dialled)
        self.neighbour = self.room.mesh.link_up(self, sample, capabilities, self.dialled, now)

    def _why(self, close: Close) -> str:
        code, sub_code, node, reason = close
        why = f"closed by the peer: {reason or REASONS.get((code, sub_code), f'error {code}/{sub_code}')}"
        self.is_second = (code, sub_code) == (Code.UNABLE, Unable.DUPLICATE_LINK)
        self.is_taken = reason is not None and self.is_second
        self.is_unused = (code, sub_code) == (Code.SHUTTING_DOWN, UNUSED)
        self.closes_cycle = (code, sub_code) == (Code.UNABLE, Unable.CYCLE)
        self.reaches_us = self.closes_cycle and node == self.room.here.name and self._is_known
        return f"{why}, as it reaches {node} already" if self.closes_cycle and node else why

    def _accept_close(self, close: Close, now: float) -> None:
        why = self._why(close)
        if self.is_taken and self._is_known:
            who = self.section or self.name
            self.room.namesakes.heard(who, f"{self.name} at {self.address} says: {close.reason}", now)
        if self.phase is Phase.OPENING:
            self.room.unwelcome(self, close.code, why)
        self._end(Phase.LEAVING, why)
        self._due = now + LEAVE_WITHIN
        self._outlet.finish()
        self._outlet.wake()

    def suspect(self) -> None:
        """This link came up last of those over which some node is reached."""
        self._branch.suspect()

    def _refuse(self, error: PeerError, now: float) -> None:
        """Closes the link with the answer that the error owes."""
        self.leave(error.code, error.sub_code, str(error), now, error.node, error.reason)

    def lost(self, why: str) -> None:
        """The connection is gone."""
        if self.phase is Phase.OPENING:
            self.room.never_up(self, why)
        if close := self._intake.unheard_close():
            why = self._why(close)
        self._end(Phase.GONE, why)
        self.room.forget(self)

    # --- what goes out: data

    def deliver(self, packet: Packet) -> None:
        """Takes a packet whose header stands ready but for the token; on UDP it leaves with its run."""
        if self._on_udp and self._protected:
            put_token(packet.buffer, TOKEN_OFFSET, self._peers_token)
            self._protected.send(packet.message, packet.now)
        else:
            put_token(packet.buffer, TOKEN_OFFSET, 0)
            self._send_tcp(bytes(packet.message), packet.now)

    def _not_sent(self, error: OSError, message: bytes, now: float) -> None:
        """The socket did not take it: full, too long for the path, or an earlier datagram's ICMP error."""
        if isinstance(error, BlockingIOError):
            self.counters.socket_full += 1
        elif error.errno == EMSGSIZE:
            self.counters.over_tcp_too_long += 1
            self._send_tcp(without_token(message), now)
        else:
            self.counters.send_errors += 1
            self._send_tcp(without_token(message), now)

    def _send_tcp(self, message: bytes, now: float) -> None:
        if self._writable and not self.queue and not self._changeover.holds:
            self._write_data(message)
        else:
            self.queue.put(message, now)

    def _write_data(self, message: bytes) -> None:
        self._outlet.write(message)
        self._changeover.used()
        self.counters.sent += 1
        self.counters.sent_tcp += 1
        self.counters.sent_bytes += len(message)

    def paused(self, now: float) -> None:
        """The connection takes no more for now: data wait, and the oldest are dropped.

        Control is still said, but only so much of it, for a peer that does not read is to cost no memory;
        then routes wait, and what changes back is never said.
        """
        self._writable = False
        self._paused_at = now
        self._pressed = 0
        self._outlet.wake()

    @property
    def _may_speak(self) -> bool:
        return self._writable or self._pressed < UNREAD_MAX

    @property
    def _may_announce(self) -> bool:
        return self._branch.may_tell and self._may_speak

    def resumed(self, now: float) -> None:
        """The connection takes data again."""
        self._writable = True
        if self._branch.has_news:
            self.room.turns.add(self)
        self._send_queued(now)
        self._outlet.wake()

    def _send_queued(self, now: float) -> None:
        while self._writable and not self._changeover.holds and (message := self.queue.get(now)) is not None:
            self._write_data(message)

    def _flush(self) -> None:
        """What came first goes first."""
        if self.run:
            self.run.flush()

    def _move_data(self, to_udp: bool, why: str) -> None:
        self._flush()
        self._changeover.ended()
        self._on_udp = to_udp
        if self.protection:
            self.protection.moved(to_udp)
        self.room.moved(self)
        self.room.tell(DataMoved(self.name, "UDP" if to_udp else "TCP", why))

    # --- what goes out: control

    def others_changed(self, channel: Channel) -> None:
        """Said to the peer when it is this link's turn, if it then still is a change."""
        self._branch.channel_changed(channel)

    def nodes_changed(self, node: int) -> None:
        """The same for a node that the others reach."""
        self._branch.node_changed(node)

    def _announce(self, steps: int, now: float) -> int:
        """Tells the peer some of what has changed; gives the steps that it took."""
        messages, done = self._branch.tell(steps, now)
        for message in messages:
            self._control(message, now)
        return done

    def _control(self, message: bytes, now: float) -> None:
        self._outlet.write(message)
        self._pressed += len(message)
        if self._liveness:
            self._liveness.spoke(now)

    def _send_datagram(self, message: bytes) -> None:
        if not self._datagrams:
            return
        self._flush()
        try:
            self._datagrams.send(message)
        except OSError:
            self.counters.send_errors += 1  # the next probe tells whether that lasts

    def leave(
        self,
        code: int,
        sub_code: int,
        why: str,
        now: float,
        node: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Says Close with this error and goes; a peer that takes nothing is cut off after a second."""
        if self.phase in (Phase.LEAVING, Phase.GONE):
            return
        self.closes_cycle = (code, sub_code) == (Code.UNABLE, Unable.CYCLE)
        self._outlet.write(encode(Close(code, sub_code, node, reason)))
        self._outlet.finish()
        self.room.refused(self, code, sub_code, why)
        self._end(Phase.LEAVING, why)
        self._due = now + LEAVE_WITHIN
        self._outlet.wake()

    def _end(self, phase: Phase, why: str) -> None:
        """Out of the tables at once; the connection may take its time."""
        was_up = self.phase is Phase.UP
        self._flush()
        if self.phase is not Phase.LEAVING:
            self.why = why
        self.phase = phase
        self._intake.clear()
        self.room.turns.forget(self)
        if not was_up:
            return
        self._on_udp = False
        if self._datagrams:
            self._datagrams.close()
            self._datagrams = self.run = self._protected = None
        self._end_protection()
        if self.partner and self.room.recovery:
            self.room.recovery.link_down(self)
            self.partner = None
        if self.neighbour and self.room.mesh:
            self.room.mesh.link_down(self.neighbour)
        elif not self._is_ceded:
            self._branch.leaves()
        self.room.down(self, why)

    # --- time

    def deadline(self) -> float:
        if self._liveness is None or self.phase is not Phase.UP:
            return self._due if self.phase is not Phase.GONE else NEVER
        probe_at = min(self.path.deadline(), self._changeover.until) if self.path else NEVER
        look_at = self._branch.look_at
        if not self._may_speak:
            return min(self._liveness.dead_at, self._gives_up_at(), probe_at, look_at)
        paused_until = NEVER if self._writable else self._gives_up_at()
        speak_at = min(self._liveness.deadline(), self._asks_at(), self._branch.tells_at)
        return min(speak_at, probe_at, paused_until, look_at)

    def woke(self, slept: float, now: float) -> None:
        """The host slept for so many seconds that no clock of ours counted."""
        if self._liveness and self.phase is Phase.UP:
            self._liveness.woke(slept, now)
            if self.path:
                self.path.woke(now)
            if self._trips:
                self._trips.woke(now)
            self._outlet.wake()

    def _gives_up_at(self) -> float:
        """When a connection that takes nothing has done so for too long."""
        return self._paused_at + self._patience

    def tick(self, now: float) -> None:
        if self._liveness is None or self.phase is not Phase.UP:
            self._tick_unopened(now)
            return
        if now >= self._branch.look_at:
            try:
                self._branch.look_for_cycle(now)
            except PeerError as cycle:
                self._refuse(cycle, now)
                return
        self._branch.rested(now)
        if self.neighbour and self.path and self.path.rtt is not None and now - self._heard_at > UNHEARD:
            self._give_up(f"silent for {UNHEARD:.0f} s")
            return
        duty = self._liveness.tick(now)
        if duty is Duty.GIVE_UP:
            self._give_up(f"silent for {self._patience} s")
        elif not self._writable and now >= self._gives_up_at():
            self._give_up(f"took nothing for {self._patience} s")
        else:
            if self._may_speak and (duty is Duty.SPEAK or now >= self._asks_at()):
                self._speak(now)
            self._probe(now)

    def _asks_at(self) -> float:
        return NEVER if self._on_udp or not self._trips else self._trips.due

    def _speak(self, now: float) -> None:
        """A Keep Alive, which asks for an echo where no probe measures the way."""
        clock = None if self._on_udp or not self._trips else self._trips.ask(now)
        self._control(encode(KeepAlive(echo=None if clock is None else Echo(ECHO_REQUEST, clock))), now)

    def broke(self) -> None:
        """Its work raised an exception: what is half done cannot go on."""
        if self.phase not in (Phase.LEAVING, Phase.GONE):
            self._outlet.abort()
            self._end(Phase.LEAVING, "a mistake of this node's own; its log has it")

    def _give_up(self, why: str) -> None:
        """`finish` would wait for bytes that nobody takes."""
        self._end(Phase.LEAVING, why)
        self._outlet.abort()

    def _tick_unopened(self, now: float) -> None:
        if now < self._due or self.phase is Phase.GONE:
            return
        if self.phase is Phase.OPENING:
            self.leave(Code.SILENT, 0, f"no Open within {OPEN_WITHIN:.0f} s", now)
        else:
            self._due = NEVER
            self._outlet.abort()

    def _probe(self, now: float) -> None:
        if not self.path:
            return
        clock = self.path.tick(now)
        if self._on_udp and not self.path.on_udp:
            self._move_data(False, "three probes unanswered")
        if clock is not None:
            self.settle_correction(now)
            self._flush()  # what is on its way is counted with the rest
            tally = self.protection.asks(now) if self.protection else None
            echo = Echo(ECHO_REQUEST, clock)
            self._send_datagram(encode(KeepAlive(self._peers_token, echo, tally=tally)))
        if now >= self._changeover.until:
            self._end_changeover(now)


def one_message(datagram: memoryview) -> Message:
    """What a datagram says; raises PeerError where it is not exactly one message."""
    if message_length(datagram) != len(datagram):
        raise PeerError(Code.BAD_FORMAT, 0, "a datagram that is not one message")
    return decode(datagram).message
