"""One link whose two ends know forward error correction: is it of use there now, and how much of it?

auto    from more than 1 % lost on, where a packet that is asked for again comes late: two round trips are
        more than a third of the deadline.  Until for 30 s less than half of that was lost, or the way was
        a fifth shorter.
on      as long as data go on UDP
"""

from typing import TYPE_CHECKING, Protocol

from multicastmw.core.events import CorrectionBegins, CorrectionEnds
from multicastmw.core.fec.coder import BLOCK, SPAN, Coder, Run
from multicastmw.core.fec.counters import FecCounters
from multicastmw.core.fec.loss import Loss
from multicastmw.core.fec.rebuilder import Rebuilder
from multicastmw.wire.messages import Tally
from multicastmw.wire.parity import Parity

if TYPE_CHECKING:
    from multicastmw.core.fec.fec import Fec

# What the specification says (OVERLAY, 3.9).
LOSS = 0.01
LATE = 1 / 3  # of the deadline

# What we chose.
LOSS_LESS, LATE_LESS = LOSS / 2, 0.8 * LATE
CALM = 30.0  # seconds
QUIET = 10.0  # seconds without parity, and packets are not kept for it any more
MARGIN = 0.01  # seconds that parity may be late
NEVER = float("inf")
ROUND = 0xFFFFFFFF


class Counters(Protocol):
    """Of IP Data in datagrams."""

    @property
    def sent_on_udp(self) -> int: ...
    @property
    def received_on_udp(self) -> int: ...


class Asker(Protocol):
    """Who asks the link's peer for what is missing."""

    rebuilds_within: float


class Child(Asker, Protocol):
    """The peer as a neighbour in the mesh."""

    overhead: float


class Protected(Protocol):
    """A link, as this has it."""

    name: str

    @property
    def counters(self) -> Counters: ...
    @property
    def on_udp(self) -> bool: ...
    @property
    def rtt(self) -> float | None:
        """Seconds."""

    @property
    def run(self) -> Run | None: ...
    @property
    def neighbour(self) -> Child | None: ...
    @property
    def partner(self) -> Asker | None: ...
    def protect(self, coder: Coder | None) -> None: ...
    def send_parity(self, parity: Parity) -> int: ...
    def rebuilt(self, message: bytes, now: float) -> None: ...


class Protection:
    """What goes out over the link by `coder`, and comes in by `rebuilder`; None where there is no need."""

    def __init__(self, link: Protected, fec: "Fec") -> None:
        self.counters = FecCounters()
        self.loss = Loss()
        self.coder: Coder | None = None
        self.rebuilder: Rebuilder | None = None
        self._link = link
        self.fec = fec
        self._needed_at = -NEVER

    @property
    def rows(self) -> int:
        """Of parity for a whole block; 0: none is sent."""
        return self.coder.rows[BLOCK] if self.coder else 0

    # --- what it loses

    def asks(self, now: float) -> Tally:
        """Goes with a probe."""
        if self.rebuilder and now - self.rebuilder.heard > QUIET:
            self._rebuilds(None)
        return Tally(self._link.counters.sent_on_udp)

    def answers(self, asked: Tally) -> Tally:
        """Goes with the reply to one."""
        return Tally(asked.sent, self._link.counters.received_on_udp, self.counters.short & ROUND)

    def hears(self, reply: Tally, now: float) -> None:
        if self.loss.hears(reply, now):
            self.judge(now)

    def moved(self, to_udp: bool) -> None:
        """Data go another way."""
        self.loss.begins_anew()
        if to_udp and self.fec.always:
            self._begin()
        elif not to_udp:
            self._end("its data go over TCP")

    def begins_anew(self) -> None:
        """The peer is elsewhere now."""
        self.loss.begins_anew()

    def judge(self, now: float) -> None:
        wanted = self._is_wanted(now)
        if wanted and self.coder is None:
            self._begin()
        elif not wanted:
            self._end("the link loses little, or is near enough that what is lost is asked for")
        self._expect()

    def _expect(self) -> None:
        if self.coder:
            share = self.loss.share
            self.coder.expects(LOSS if share is None else share, self.loss.sigmas)
            self._costs(self.rows / BLOCK)

    def _is_wanted(self, now: float) -> bool:
        if not self._link.on_udp or self.fec.always:
            return self._link.on_udp
        share, trips = self.loss.share or 0.0, 2 * (self._link.rtt or 0.0)
        loss, late = (LOSS, LATE) if self.coder is None else (LOSS_LESS, LATE_LESS)
        if share > loss and trips >= self.fec.patience * late:
            self._needed_at = now
        return now == self._needed_at or (self.coder is not None and now - self._needed_at < CALM)

    # --- what goes out

    def _begin(self) -> None:
        run = self._link.run
        if run is None:
            return
        self.coder = Coder(run, self._link.send_parity, self.fec, self.counters)
        self._link.protect(self.coder)
        self._expect()
        if not self.fec.always:
            share, trip = self.loss.share or 0.0, self._link.rtt or 0.0
            self.fec.tell(CorrectionBegins(self._link.name, round(100 * share, 1), round(1000 * trip)))

    def _end(self, why: str) -> None:
        """`why` is empty where that is no news."""
        if self.coder is None:
            return
        self.coder.stop()
        self.coder = None
        self._link.protect(None)
        self._costs(0.0)
        if why and not self.fec.always:
            self.fec.tell(CorrectionEnds(self._link.name, why))

    def _costs(self, share: float) -> None:
        """Of what is sent to the peer, so much is sent besides: its place takes more of the uplink."""
        neighbour = self._link.neighbour
        if neighbour and neighbour.overhead != share:
            neighbour.overhead = share
            self.fec.costs_changed()

    # --- what comes in

    def came(self, message: memoryview, now: float) -> None:
        """A datagram with IP Data."""
        if self.rebuilder is not None:
            self.rebuilder.came(message, now)

    def accept(self, parity: Parity, now: float) -> None:
        """From the first row on what comes is kept for a while."""
        if self.rebuilder is None:
            self._rebuilds(Rebuilder(self._link.rebuilt, self.counters, now))
        assert self.rebuilder
        self.rebuilder.accept(parity, now)

    def _rebuilds(self, rebuilder: Rebuilder | None) -> None:
        """Who is missing something waits until it would be rebuilt, before he asks for it."""
        self.rebuilder = rebuilder
        for other in (self._link.neighbour, self._link.partner):
            if other is not None:
                other.rebuilds_within = SPAN + MARGIN if rebuilder else 0.0

    def ended(self, why: str = "") -> None:
        """The link is no more, another has its place, or it is not wanted there any more."""
        self._end(why)
        self._rebuilds(None)
