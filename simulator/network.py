"""What lies between the nodes: uplinks, delay, loss, and hosts that fall silent.

A datagram goes   uplink -> loss -> rtt/2 + jitter -> the function that the sender named,

and what is lost on the way is counted where, and why, and is told to nobody.  `stream` carries the same over
a reliable connection: nothing is lost between two hosts that live, and a pair's bytes keep their order.

The uplink sends one packet at a time at its rate, control before data, in the order in which they came.
What waits longer than a bound is dropped from the front: 250 ms of data, a second of control.  With a rate of
`inf` there is no queue and no event for it.  Downlinks are not modelled: receivers of a stream need its rate
only, and in a tree the uplink is what fills.

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
PATHS = 128  # one-way delays that a host remembers
TRIES = 8  # of a stream's bytes, after which the connection counts as broken and they are lost

# Why packets are lost: the first is counted at the host that sends, the others at the one that would receive.
REASONS = QUEUE, LOSS, BURST, PARTITION, DEAD = "queue", "loss", "burst", "partition", "dead"

Waiting = tuple[
    int, int, bool, Callable[..., Any], tuple[Any, ...]
]  # size, destination, stream, function, args


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

    __slots__ = (
        "bad", "busy", "changes", "control", "control_waiting", "data", "data_waiting", "draining", "dropped",
        "life", "nat", "number", "one_way", "place", "received_control", "received_control_bytes",
        "received_data", "received_data_bytes", "sent_control", "sent_control_bytes", "sent_data",
        "sent_data_bytes", "side", "streams", "uplink",
    )  # fmt: skip

    def __init__(self, number: int, place: int, uplink: float, nat: bool) -> None:
        self.number = number
        self.place = place
        self.uplink = uplink
        self.nat = nat
        self.life = 0  # odd: dead
        self.side = 0  # of a partition
        self.one_way: dict[int, float] = {}  # seconds to other hosts
        self.busy = 0.0  # until when the uplink sends what it has begun
        self.control: deque[Waiting] = deque()
        self.data: deque[Waiting] = deque()
        self.control_waiting = self.data_waiting = 0  # bytes
        self.draining = False
        self.streams: dict[int, float] = {}  # when the last bytes to a host come
        self.bad = False  # the last hop, and until when
        self.changes = 0.0
        self.sent_control = self.sent_control_bytes = self.sent_data = self.sent_data_bytes = 0
        self.received_control = self.received_control_bytes = 0
        self.received_data = self.received_data_bytes = 0
        self.dropped = dict.fromkeys(REASONS, 0)

    def counters(self) -> Counters:
        return Counters(
            Traffic(self.sent_control, self.sent_control_bytes, self.sent_data, self.sent_data_bytes),
            Traffic(self.received_control, self.received_control_bytes,
                    self.received_data, self.received_data_bytes),
            dict(self.dropped),
        )  # fmt: skip


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
        self._at = loop.at
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
        dying.control.clear()
        dying.data.clear()
        dying.streams.clear()
        dying.control_waiting = dying.data_waiting = 0
        dying.draining = False

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
        host = self.hosts[source]
        if host.uplink == inf:
            if not host.life & 1:
                self._datagram(host, self._loop.now, destination, size + HEADERS, control, function, args)
        else:
            self._queue(host, control, (size + HEADERS, destination, False, function, args))

    def stream(self, source: int, destination: int, size: int, control: bool,
               function: Callable[..., Any], *args: Any) -> None:  # fmt: skip
        """So many bytes of the connection between the two, reliable and in order.

        The connection is nobody's object here.  It survives loss; what is sent while the other end is dead or
        in another partition is lost all the same, as with a connection that was reset.
        """
        host = self.hosts[source]
        if host.uplink == inf:
            if not host.life & 1:
                self._segment(host, self._loop.now, destination, size + HEADERS, control, function, args)
        else:
            self._queue(host, control, (size + HEADERS, destination, True, function, args))

    # --- the uplink

    def _queue(self, host: Host, control: bool, packet: Waiting) -> None:
        if host.life & 1:
            return
        if host.busy <= self._loop.now and not host.draining:
            self._transmit(host, control, packet)
            return
        if control:
            host.control.append(packet)
            host.control_waiting += packet[0]
            while host.control_waiting * 8 > CONTROL_WAITS * host.uplink and len(host.control) > 1:
                host.control_waiting -= host.control.popleft()[0]
                host.dropped[QUEUE] += 1
        else:
            host.data.append(packet)
            host.data_waiting += packet[0]
            while host.data_waiting * 8 > DATA_WAITS * host.uplink and len(host.data) > 1:
                host.data_waiting -= host.data.popleft()[0]
                host.dropped[QUEUE] += 1
        if not host.draining:
            host.draining = True
            self._at(host.busy, self._drain, host, host.life)

    def _drain(self, host: Host, life: int) -> None:
        """The uplink is free for the next one that waits."""
        if host.life != life:
            return
        control = bool(host.control)
        packet = host.control.popleft() if control else host.data.popleft()
        if control:
            host.control_waiting -= packet[0]
        else:
            host.data_waiting -= packet[0]
        self._transmit(host, control, packet)
        if host.control or host.data:
            self._at(host.busy, self._drain, host, life)
        else:
            host.draining = False

    def _transmit(self, host: Host, control: bool, packet: Waiting) -> None:
        size, destination, stream, function, args = packet
        host.busy = self._loop.now + size * 8 / host.uplink
        way = self._segment if stream else self._datagram
        way(host, host.busy, destination, size, control, function, args)

    # --- the way

    def _datagram(self, host: Host, leaves: float, destination: int, size: int, control: bool,
                  function: Callable[..., Any], args: tuple[Any, ...]) -> None:  # fmt: skip
        if control:
            host.sent_control += 1
            host.sent_control_bytes += size
        else:
            host.sent_data += 1
            host.sent_data_bytes += size
        target = self.hosts[destination]
        if target.life & 1:
            target.dropped[DEAD] += 1
            return
        if host.side != target.side:
            target.dropped[PARTITION] += 1
            return
        if self.loss and self._random() < self.loss:
            target.dropped[LOSS] += 1
            return
        if self.bursts and self._in_burst(target, leaves):
            target.dropped[BURST] += 1
            return
        delay = host.one_way.get(destination)
        if delay is None:
            delay = self._one_way(host, target)
        if self.jitter:
            delay -= self.jitter * log(1.0 - self._random())
        self._at(leaves + delay, self._arrive, target, target.life, size, control, function, args)

    def _segment(self, host: Host, leaves: float, destination: int, size: int, control: bool,
                 function: Callable[..., Any], args: tuple[Any, ...]) -> None:  # fmt: skip
        target = self.hosts[destination]
        delay = host.one_way.get(destination)
        if delay is None:
            delay = self._one_way(host, target)
        timeout = max(LEAST_RTO, 3.0 * delay)
        tries = 1
        while tries < TRIES and self._loses(target, leaves):
            leaves += timeout
            timeout *= 2
            tries += 1
        if control:
            host.sent_control += tries
            host.sent_control_bytes += tries * size
        else:
            host.sent_data += tries
            host.sent_data_bytes += tries * size
        if target.life & 1:
            target.dropped[DEAD] += 1
            return
        if host.side != target.side:
            target.dropped[PARTITION] += 1
            return
        if self.jitter:
            delay -= self.jitter * log(1.0 - self._random())
        arrives = max(leaves + delay, host.streams.get(destination, 0.0))
        host.streams[destination] = arrives
        self._at(arrives, self._arrive, target, target.life, size, control, function, args)

    def _arrive(self, target: Host, life: int, size: int, control: bool,
                function: Callable[..., Any], args: tuple[Any, ...]) -> None:  # fmt: skip
        if target.life != life:
            target.dropped[DEAD] += 1
            return
        if control:
            target.received_control += 1
            target.received_control_bytes += size
        else:
            target.received_data += 1
            target.received_data_bytes += size
        function(*args)

    def _one_way(self, host: Host, target: Host) -> float:
        if len(host.one_way) >= PATHS:
            host.one_way.clear()
        delay = host.one_way[target.number] = self._latency.rtt(host.place, target.place) / 2
        return delay

    def _loses(self, target: Host, now: float) -> bool:
        if self.loss and self._random() < self.loss:
            return True
        return self.bursts is not None and self._in_burst(target, now)

    def _in_burst(self, target: Host, now: float) -> bool:
        """Whether the last hop to it loses a packet at that time."""
        assert self.bursts
        while target.changes <= now:
            target.bad = target.changes > 0 and not target.bad
            mean = self.bursts.length if target.bad else self.bursts.every
            target.changes += self._rng.expovariate(1 / mean)
        return target.bad and self._random() < self.bursts.loss
