"""What lies between the nodes: uplinks, delay, loss, and hosts that fall silent.

A datagram goes   uplink -> loss -> rtt/2 + jitter -> the function that the sender named,

and what is lost on the way is counted where, and why, and is told to nobody.  `stream` carries the same over
a reliable connection: nothing is lost between two hosts that live, and a pair's bytes keep their order.

The uplink sends one packet at a time at its rate, control before data that waits, each in the order in which
it came.  So it is known at once when control leaves: after the packet that is being sent, and the control
before it.  Data that find the uplink busy wait, and only for them there is an event.  What has waited longest
is dropped when 250 ms of data wait; control is refused when it would wait for a second.  With a rate of `inf`
there is nothing to wait for.  Downlinks are not modelled: a receiver needs a stream's rate once, and what
fills in a tree are the uplinks.

A crash is silent.  What was under way to the host is lost, also if it is back before that would have come:
each of its lives has a number (odd while it is dead), and a packet carries the one that it is meant for.
"""

from collections import deque
from collections.abc import Callable, Iterable
from math import inf, log
from random import Random
from typing import Any, NamedTuple

from simulator.latency import Latency
from simulator.loop import Loop

# Specified: RFC 791 and 768; RFC 6298, 2.4, as Linux has it (200 ms instead of 1 s).
HEADERS = 28  # bytes of IP and UDP
LEAST_RTO = 0.2

# Chosen.
DATA_WAITS = 0.25  # seconds of the uplink's rate that may wait (OVERLAY.md, 3.9)
CONTROL_WAITS = 1.0
PATHS = 64  # that a host remembers
PACKET = 1 << 48  # a count of packets stands above the count of their bytes: one addition for both
TRIES = 8  # of a stream's bytes; the last one arrives

# Why packets are lost: the first is counted at the host that sends, the others at the one that would receive.
REASONS = QUEUE, LOSS, BURST, PARTITION, DEAD = "queue", "loss", "burst", "partition", "dead"

Waiting = tuple[
    int, int, bool, Callable[..., Any], tuple[Any, ...]
]  # size, destination, stream, function, args

Way = tuple[int, Callable[..., Any], Any]  # destination, function, its first argument


class Bursts(NamedTuple):
    """Gilbert and Elliott's two states, of the last hop to a host, whoever sends to it.

    It is good for `every` seconds on average, then bad for `length`, both exponential; while it is bad,
    packets are lost with that probability.  The mean loss is loss * length / (every + length).
    """

    every: float = 30.0
    length: float = 0.1
    loss: float = 0.8


class Traffic(NamedTuple):
    """Packets and bytes with IP and UDP."""

    control: int
    control_bytes: int
    data: int
    data_bytes: int


class Counters(NamedTuple):
    """Of one host, or of all."""

    sent: Traffic
    received: Traffic
    dropped: dict[str, int]


class Host:
    """One host's end of the network."""

    __slots__ = ("bad", "busy", "changes", "data", "data_waiting", "dropped", "life", "nat", "number",
                 "pace", "paths", "place", "received_control", "received_data", "sent_control", "sent_data",
                 "side", "streams")  # fmt: skip

    def __init__(self, number: int, place: int, uplink: float, nat: bool) -> None:
        self.number = number
        self.place = place
        self.pace = 8 / uplink  # seconds a byte
        self.nat = nat
        self.life = 0  # odd: dead
        self.side = 0  # of a partition
        self.paths: dict[int, tuple[Host, float]] = {}  # other hosts, and the seconds to them
        self.busy = 0.0  # until when the uplink sends what can be put off no more
        self.data: deque[Waiting] = deque()
        self.data_waiting = 0  # bytes
        self.streams: dict[int, float] = {}  # when the last bytes to a host come
        self.bad = False  # the last hop, and until when
        self.changes = 0.0
        self.sent_control = self.sent_data = self.received_control = self.received_data = 0
        self.dropped = dict.fromkeys(REASONS, 0)

    def counters(self) -> Counters:
        return Counters(
            Traffic(*divmod(self.sent_control, PACKET), *divmod(self.sent_data, PACKET)),
            Traffic(*divmod(self.received_control, PACKET), *divmod(self.received_data, PACKET)),
            dict(self.dropped),
        )


class Network:
    """Carries packets between hosts that are numbered as their owner likes.

    `loss` is a probability for each packet, `jitter` the mean of an exponential delay in seconds that is
    added to each (so datagrams overtake each other), `bursts` may be None; all three may be changed in a run.
    """

    def __init__(self, loop: Loop, latency: Latency, rng: Random, *, loss: float = 0.0, jitter: float = 0.0,
                 bursts: Bursts | None = None) -> None:  # fmt: skip
        self.loss = loss
        self.jitter = jitter
        self.bursts = bursts
        self.hosts: dict[int, Host] = {}
        self._loop = loop
        self._latency = latency
        self._rng = rng
        self._random = rng.random

    # --- hosts

    def add(self, host: int, uplink: float = inf, *, nat: bool = False, place: int | None = None) -> None:
        """A host with an uplink of so many bits a second, at a place of the latencies (its own number's)."""
        if host in self.hosts:
            raise ValueError(f"host {host} is there")
        if not uplink > 0:
            raise ValueError(f"an uplink of {uplink} bit/s carries nothing, not even control")
        place = host % len(self._latency) if place is None else place
        if not 0 <= place < len(self._latency):
            raise ValueError(f"place {place} of {len(self._latency)}")
        self.hosts[host] = Host(host, place, uplink, nat)

    def alive(self, host: int) -> bool:
        return not self.hosts[host].life & 1

    def may_dial(self, source: int, destination: int) -> bool:
        """Whether a connection may be opened: from anywhere, but to no host behind a NAT."""
        return source != destination and not self.hosts[destination].nat

    def crash(self, host: int) -> None:
        """Silent from now on: what waits is lost, what is under way will find nobody."""
        dying = self.hosts[host]
        if dying.life & 1:
            raise ValueError(f"host {host} is dead")
        dying.life += 1
        dying.data.clear()
        dying.data_waiting = 0
        dying.streams.clear()

    def revive(self, host: int) -> None:
        """There again, with the same uplink and place, and its counters going on."""
        dead = self.hosts[host]
        if not dead.life & 1:
            raise ValueError(f"host {host} is alive")
        dead.life += 1
        dead.busy = self._loop.now

    def partition(self, groups: Iterable[Iterable[int]]) -> None:
        """Only hosts of the same group reach each other; those in none are one group more."""
        self.heal()
        for side, group in enumerate(groups, start=1):
            for host in group:
                self.hosts[host].side = side

    def heal(self) -> None:
        for host in self.hosts.values():
            host.side = 0

    def counters(self, host: int) -> Counters:
        return self.hosts[host].counters()

    def totals(self) -> Counters:
        """The sums over all hosts."""
        each = [host.counters() for host in self.hosts.values()]
        return Counters(
            Traffic(*(sum(column) for column in zip(*(one.sent for one in each), strict=True))),
            Traffic(*(sum(column) for column in zip(*(one.received for one in each), strict=True))),
            {reason: sum(one.dropped[reason] for one in each) for reason in REASONS},
        )

    # --- packets

    def send(self, source: int, destination: int, size: int, control: bool,
             function: Callable[..., Any], *args: Any) -> None:  # fmt: skip
        """One datagram of so many bytes; where and when it arrives, the function is called."""
        self._begin(False, source, destination, size, control, function, args)

    def spread(self, source: int, ways: list[Way], size: int, *args: Any) -> None:
        """The same datagram of data to several, as `send` to each; a way names its function's first argument.

        This is what a simulation does most, so where nothing waits the packets go without further calls.
        """
        host = self.hosts[source]
        if host.pace or self.bursts or self.jitter or host.life & 1:
            for destination, function, first in ways:
                self.send(source, destination, size, False, function, first, *args)
            return
        size += HEADERS
        loop, now, loss, paths, side = self._loop, self._loop.now, self.loss, host.paths, host.side
        host.sent_data += (PACKET + size) * len(ways)
        for destination, function, first in ways:
            target, delay = paths.get(destination) or self._path(host, destination)
            if target.life & 1:
                target.dropped[DEAD] += 1
            elif side != target.side:
                target.dropped[PARTITION] += 1
            elif loss and self._random() < loss:
                target.dropped[LOSS] += 1
            else:
                arriving = target, target.life, size, False, function, (first, *args)
                loop.enter((now + delay, arrive, arriving))

    def stream(self, source: int, destination: int, size: int, control: bool,
               function: Callable[..., Any], *args: Any) -> None:  # fmt: skip
        """So many bytes of the connection between the two, reliable and in order.

        The connection is nobody's object here.  It survives loss; what is sent while the other end is dead or
        in another partition is lost all the same, as with a connection that was reset.
        """
        self._begin(True, source, destination, size, control, function, args)

    def _begin(self, is_stream: bool, source: int, destination: int, size: int, control: bool,
               function: Callable[..., Any], args: tuple[Any, ...]) -> None:  # fmt: skip
        """It leaves, or waits at the uplink."""
        host = self.hosts[source]
        if host.life & 1:
            return
        size += HEADERS
        leaves = self._loop.now
        if host.pace:
            if (host.busy > leaves or host.data) and self._waits(
                    host, control, (size, destination, is_stream, function, args)):  # fmt: skip
                return
            host.busy = leaves = max(leaves, host.busy) + size * host.pace
        way = self._segment if is_stream else self._datagram
        way(host, leaves, destination, size, control, function, args)

    # --- the uplink

    def _waits(self, host: Host, control: bool, packet: Waiting) -> bool:
        """Whether one that finds the uplink busy is not sent now: data wait, control is in time or lost."""
        if control:
            if host.busy - self._loop.now < CONTROL_WAITS:
                return False
            host.dropped[QUEUE] += 1
            return True
        if not host.data:
            self._loop.at(host.busy, self._drain, host, host.life)
        host.data.append(packet)
        host.data_waiting += packet[0]
        while host.data_waiting * host.pace > DATA_WAITS and len(host.data) > 1:
            host.data_waiting -= host.data.popleft()[0]
            host.dropped[QUEUE] += 1
        return True

    def _drain(self, host: Host, life: int) -> None:
        """Data wait, and the uplink is free unless control came meanwhile."""
        if host.life != life:
            return
        if host.busy <= self._loop.now:
            size, destination, stream, function, args = host.data.popleft()
            host.data_waiting -= size
            host.busy = self._loop.now + size * host.pace
            way = self._segment if stream else self._datagram
            way(host, host.busy, destination, size, False, function, args)
        if host.data:
            self._loop.at(host.busy, self._drain, host, life)

    # --- the way

    def _datagram(self, host: Host, leaves: float, destination: int, size: int, control: bool,
                  function: Callable[..., Any], args: tuple[Any, ...]) -> None:  # fmt: skip
        if control:
            host.sent_control += PACKET + size
        else:
            host.sent_data += PACKET + size
        try:
            target, delay = host.paths[destination]
        except KeyError:
            target, delay = self._path(host, destination)
        if target.life & 1:
            target.dropped[DEAD] += 1
        elif host.side != target.side:
            target.dropped[PARTITION] += 1
        elif self.loss and self._random() < self.loss:
            target.dropped[LOSS] += 1
        elif self.bursts and self._in_burst(target, leaves):
            target.dropped[BURST] += 1
        else:
            if self.jitter:
                delay -= self.jitter * log(1.0 - self._random())
            self._loop.enter((leaves + delay, arrive, (target, target.life, size, control, function, args)))

    def _segment(self, host: Host, leaves: float, destination: int, size: int, control: bool,
                 function: Callable[..., Any], args: tuple[Any, ...]) -> None:  # fmt: skip
        try:
            target, delay = host.paths[destination]
        except KeyError:
            target, delay = self._path(host, destination)
        tries, late = 1, 0.0
        if (self.loss or self.bursts) and self._loses(target, leaves):
            tries, late = self._again(target, leaves, max(LEAST_RTO, 3.0 * delay))
        if control:
            host.sent_control += tries * (PACKET + size)
        else:
            host.sent_data += tries * (PACKET + size)
        if target.life & 1:
            target.dropped[DEAD] += 1
        elif host.side != target.side:
            target.dropped[PARTITION] += 1
        else:
            if self.jitter:
                delay -= self.jitter * log(1.0 - self._random())
            arrives = host.streams[destination] = max(
                leaves + late + delay, host.streams.get(destination, 0.0)
            )
            self._loop.enter((arrives, arrive, (target, target.life, size, control, function, args)))

    def last_word(self, source: int, destination: int) -> float:
        """Seconds until a connection's end is known there, that the kernel of a dead process says: where the
        segment is lost, it is said again."""
        target, delay = self._path(self.hosts[source], destination)
        now = self._loop.now
        if not self._loses(target, now):
            return delay
        return delay + self._again(target, now, max(LEAST_RTO, 3.0 * delay))[1]

    def _path(self, host: Host, destination: int) -> tuple[Host, float]:
        if len(host.paths) >= PATHS:
            host.paths.clear()
        target = self.hosts[destination]
        path = host.paths[destination] = target, self._latency.rtt(host.place, target.place) / 2
        return path

    # --- loss

    def _again(self, target: Host, leaves: float, timeout: float) -> tuple[int, float]:
        """How often bytes go that were lost the first time, and how much later they come."""
        tries, late = 2, timeout
        while tries < TRIES and self._will_lose(target, leaves + late):
            timeout *= 2
            late += timeout
            tries += 1
        return tries, late

    def _loses(self, target: Host, now: float) -> bool:
        if self.loss and self._random() < self.loss:
            return True
        return self.bursts is not None and self._in_burst(target, now)

    def _will_lose(self, target: Host, then: float) -> bool:
        """As far as is known now: a burst that has not begun is not drawn, as others come before it."""
        if self.loss and self._random() < self.loss:
            return True
        bursts = self.bursts
        return bursts is not None and target.bad and then < target.changes and self._random() < bursts.loss

    def _in_burst(self, target: Host, now: float) -> bool:
        """Whether the last hop to it loses a packet at that time."""
        assert self.bursts
        while target.changes <= now:
            target.bad = target.changes > 0 and not target.bad
            mean = self.bursts.length if target.bad else self.bursts.every
            target.changes += self._rng.expovariate(1 / mean)
        return target.bad and self._random() < self.bursts.loss


def arrive(target: Host, life: int, size: int, control: bool, function: Callable[..., Any],
           args: tuple[Any, ...]) -> None:  # fmt: skip
    """The end of a packet's way."""
    if target.life != life:
        target.dropped[DEAD] += 1
        return
    if control:
        target.received_control += PACKET + size
    else:
        target.received_data += PACKET + size
    function(*args)
