"""Which of the gateways on one LAN forwards: the designated one, as in RFC 7761, 4.3, but one that stays.

A bridge floods.  Were two gateways of an overlay to forward for one LAN, every packet would come twice, and
what one writes to the LAN the other would take for new.  So they say Hello (wire/pim.py) every second, and

    LISTENING ── nobody forwards ──> FORWARDING ── another does, and has the better right ──┐
        │                                ^                                                  │
        └── another forwards ──> STANDING_BY <──────────────────────────────────────────────┘
                                         └── nobody forwards any more, and it is our turn ──^

Who forwards goes on: a gateway that returns stands by, and nobody sees it come.  Two that both forward (their
LAN was cut in two and is whole again) hear of each other by the next Hello, or by the first frame that the
other wrote: the smaller node id stays.  If the other goes on all the same it does not hear us, and we yield.

**Whom we believe.**  We yield to a node that we reach through the overlay, and to no other.  A stranger's
Hello silences nobody, two overlays may share a LAN, and where the overlay falls apart each part keeps a
gateway of its own; no packet can come twice, for none is in both parts.  It makes us fast, too: a gateway
that is killed leaves the overlay at once, and its Hellos need not be waited for.  Who has no link, or none
for long enough to know the overlay, yields to everybody: it has little to forward.

**Never two.**  To forward is a lease that our own Hello renews, and shorter than what it promises the others:
a process that was stopped for a while finds its lease over before it touches a packet, and listens.

A TAP that is no port of a bridge has no LAN behind it: its node forwards always, and says nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from multicastmw.core.counters import Counters
from multicastmw.wire import pim
from multicastmw.wire.errors import Malformed
from multicastmw.wire.ipv4 import Buffer
from multicastmw.wire.pim import Hello, State

__all__ = ["Gateway", "GatewayCounters", "State"]

# What we chose.
HELLO = 1.0  # seconds between Hellos
HOLD = 3.5  # RFC 7761, 4.11: three and a half times that
LEASE = 3.0  # our own right ends before theirs begins: half a second for a Hello's way
LISTEN = 1.5  # at the start; who forwards answers our first Hello at once
LISTEN_HELLO = 0.5  # seconds between Hellos meanwhile: three may not all get lost
TURN = 0.3  # where several could take over, the smaller id is so much earlier than the next
SETTLE = 2.0  # seconds after our first link is up until we know whom we reach
ANSWER = 0.25  # seconds between two Hellos that somebody else has caused
HOLD_MAX = 10.0  # nobody is believed to be there for longer without another word
OTHERS_MAX = 16  # gateways remembered on one LAN


class GatewayCounters(Counters):
    """Hellos, and why some counted for nothing."""

    __slots__ = (
        "gateways_over_bound",
        "hellos_heard",
        "hellos_malformed",
        "hellos_of_others",
        "hellos_own",
        "hellos_sent",
        "takeovers",
    )
    gateways_over_bound: int
    hellos_heard: int
    hellos_malformed: int
    hellos_of_others: int
    hellos_own: int
    hellos_sent: int
    takeovers: int


@dataclass
class Other:
    """Another gateway on the LAN, as its last Hello has it."""

    hello: Hello
    until: float


class Rival(NamedTuple):
    """Another gateway as status shows it; `reached`: through the overlay, else it counts for nothing."""

    node: int
    address: int
    state: State
    reached: bool


class Gateway:
    """One node's part in it.  Methods return whole IPv4 packets for the LAN.

    `reaches` tells whether a node is in the overlay, `connected` whether any is.
    """

    def __init__(
        self,
        node: int,
        generation: int,
        address: int,
        *,
        reaches: Callable[[int], bool],
        connected: Callable[[], bool],
    ) -> None:
        """`address` is the one that we speak from, `generation` is drawn at each start."""
        self.node = node
        self.address = address
        self.counters = GatewayCounters()
        self.state = State.FORWARDING
        self.active = False  # is there a LAN?
        self.until = inf  # we forward before this time
        self._generation = generation
        self._reaches = reaches
        self._connected = connected
        self._others: dict[int, Other] = {}
        self._answered_at = -inf
        self._say_at = inf
        self._turn_at = inf  # when we take over, unless another does
        self._heard_by = inf  # until when one that forwards beside us must have heard that we do
        self._settled_at = inf  # from when on whom we do not reach is a stranger
        self._review = False

    # --- the LAN's life

    def start(self, now: float) -> list[bytes]:
        """The TAP is a bridge's port: who is there?"""
        self.active = True
        return self._listen(now)

    def stop(self) -> list[bytes]:
        """We leave, and the others need not wait.  Nothing more is forwarded."""
        if not self.active:
            return []
        self._set(State.STANDING_BY, -inf)
        goodbye = self._hello(hold=0.0)
        self._forget()
        return [goodbye]

    def detach(self) -> None:
        """There is no LAN any more: the TAP is as any other."""
        self._forget()
        self._set(State.FORWARDING, inf)

    def pause(self) -> None:
        """The interface is down: nobody hears us, and what we forwarded nobody would get."""
        self._forget()
        self._set(State.LISTENING, -inf)

    def _forget(self) -> None:
        self.active = False
        self._others.clear()
        self._say_at = self._turn_at = inf

    # --- facts

    def accept(self, packet: Buffer, now: float) -> list[bytes]:
        """One IPv4 packet with PIM in it; what is wrong with it is counted, never raised."""
        try:
            hello = pim.unpack(packet)
        except Malformed:
            self.counters.hellos_malformed += 1
            return []
        if hello is None:
            self.counters.hellos_of_others += 1
            return []
        if hello.node == self.node:
            self.counters.hellos_own += 1  # a bridge sent it back, or a clone that the overlay refuses
            return []
        self.counters.hellos_heard += 1
        said = [] if self.active else self._found_a_lan(now)
        news = self._learn(hello, now)
        said += self._decide(now)
        if news and not said:
            self._answer(now)
        return said + self._say_if_due(now)

    def _found_a_lan(self, now: float) -> list[bytes]:
        """No port of a bridge, says the kernel, but there is a gateway: something else joins them."""
        self.active = True
        self._set(State.FORWARDING, now + LEASE)
        return self._say(now)

    def _learn(self, hello: Hello, now: float) -> bool:
        """True if the other should hear from us at once."""
        known = self._others.get(hello.node)
        if not hello.hold:
            self._others.pop(hello.node, None)
            return False
        if known is None and len(self._others) >= OTHERS_MAX and not self._make_room(hello, now):
            self.counters.gateways_over_bound += 1
            return False
        self._others[hello.node] = Other(hello, now + min(hello.hold, HOLD_MAX))
        if self.state is State.FORWARDING:
            return hello.state is not State.STANDING_BY  # it listens to learn of us, or both forward
        return known is None or known.hello.generation != hello.generation

    def _make_room(self, hello: Hello, now: float) -> bool:
        """Strangers, who may be invented, go for a node of the overlay."""
        self._expire(now)
        strangers = [node for node in self._others if not self._reaches(node)]
        if len(self._others) >= OTHERS_MAX and strangers and self._reaches(hello.node):
            del self._others[strangers[0]]
        return len(self._others) < OTHERS_MAX

    def frame_of_a_gateway(self, now: float) -> list[bytes]:
        """Another gateway has written a packet to our LAN; if we do so too, it has to know of us."""
        if not self.active or self.state is not State.FORWARDING:
            return []
        self._answer(now)
        return self._say_if_due(now)

    def nodes_changed(self) -> None:
        """The overlay reaches others than before: `tick` looks at it."""
        self._review = self.active

    def woke(self, now: float) -> list[bytes]:
        """Frames are waiting: have we still the right to forward them?"""
        return self._listen(now) if self._overslept(now) else []

    # --- time

    def deadline(self) -> float:
        return -inf if self._review else min(self._say_at, self._turn_at, self._next_loss())

    def tick(self, now: float) -> list[bytes]:
        self._review = False
        if not self.active:
            return []
        said = self._listen(now) if self._overslept(now) else self._decide(now)
        return said + self._say_if_due(now)

    def _overslept(self, now: float) -> bool:
        return self.state is State.FORWARDING and now >= self.until

    def _next_loss(self) -> float:
        """When the next of those that forward is given up."""
        return min((o.until for o in self._others.values() if o.hello.state is State.FORWARDING), default=inf)

    # --- decisions

    def _decide(self, now: float) -> list[bytes]:
        """Looks at everything known; says what changed."""
        self._expire(now)
        self._look_at_links(now)
        rivals = [other.hello for other in self._others.values() if self._counts(other, now)]
        forwarders = [rival.node for rival in rivals if rival.state is State.FORWARDING]
        if self.state is State.FORWARDING:
            return [] if self._stays(forwarders, now) else self._stand_by(now)
        if forwarders:
            self._turn_at = inf
            return self._stand_by(now)
        if self._turn_at == inf:
            self._turn_at = now + TURN * len(self._before_us(rivals))
        if now < self._turn_at:
            return []
        if self.state is State.LISTENING and (before := self._before_us(rivals)):
            said = self._stand_by(now)
            self._turn_at = now + TURN * len(before)
            return said
        return self._take_over(now)

    def _stays(self, forwarders: list[int], now: float) -> bool:
        """We forward; so do these."""
        self._heard_by = min(self._heard_by, now + HOLD) if forwarders else inf
        better = now >= self._settled_at and all(self.node < other for other in forwarders)
        return not forwarders or (better and now < self._heard_by)

    def _before_us(self, rivals: list[Hello]) -> list[int]:
        """Whose turn is earlier: those that know the LAN already, then the smaller id."""
        ours = (self.state is State.LISTENING, self.node)
        return [r.node for r in rivals if (r.state is State.LISTENING, r.node) < ours]

    def _look_at_links(self, now: float) -> None:
        if not self._connected():
            self._settled_at = inf
        elif self._settled_at == inf:
            self._settled_at = now + SETTLE

    def _counts(self, other: Other, now: float) -> bool:
        return self._reaches(other.hello.node) or now < self._settled_at

    def _expire(self, now: float) -> None:
        for node in [node for node, other in self._others.items() if other.until <= now]:
            del self._others[node]

    def _listen(self, now: float) -> list[bytes]:
        self._set(State.LISTENING, -inf)
        self._turn_at = now + LISTEN
        return self._say(now)

    def _stand_by(self, now: float) -> list[bytes]:
        if self.state is State.STANDING_BY:
            return []
        self._turn_at = inf
        self._set(State.STANDING_BY, -inf)
        return self._say(now)

    def _take_over(self, now: float) -> list[bytes]:
        self.counters.takeovers += 1
        self._turn_at = inf
        self._set(State.FORWARDING, now + LEASE)
        return self._say(now)

    def _set(self, state: State, until: float) -> None:
        self.state, self.until, self._heard_by = state, until, inf

    # --- Hellos

    def _say_if_due(self, now: float) -> list[bytes]:
        return self._say(now) if now >= self._say_at else []

    def _answer(self, now: float) -> None:
        """A Hello at once, but not as often as somebody else likes."""
        at = max(now, self._answered_at + ANSWER)
        if at < self._say_at:
            self._answered_at = self._say_at = at

    def _say(self, now: float) -> list[bytes]:
        self._say_at = now + (LISTEN_HELLO if self.state is State.LISTENING else HELLO)
        if self.state is State.FORWARDING:
            self.until = now + LEASE
        return [self._hello(HOLD)]

    def _hello(self, hold: float) -> bytes:
        self.counters.hellos_sent += 1
        return pim.pack(Hello(self.node, self.state, hold, self._generation, self.address))

    # --- for people

    def rivals(self, now: float) -> list[Rival]:
        """The others on the LAN, who forwards first."""
        found = [
            Rival(o.hello.node, o.hello.address, o.hello.state, self._reaches(o.hello.node))
            for o in self._others.values()
            if o.until > now
        ]
        return sorted(found, key=lambda rival: (-rival.state, not rival.reached, rival.node))
