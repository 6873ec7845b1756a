"""The routing service: a table between destinations, which are all alike.

A destination subscribes to channels, is told what the others want, and takes the packets that it asked for.
A packet (S, G) goes to whoever subscribed to (S, G) or to (any, G), but never back to where it came from.

An observer is no subscriber: it gets what passes through this node anyway, and nobody is asked for it.  A
carrier takes every packet and asks for none: an overlay that finds its receivers by itself.

The table answers once and the answer is cached: a Route is the fan-out of one (S, G) that has been seen, and
is mended in place when a subscription changes, so whoever holds a Route never looks anything up.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Protocol

from multicastmw.core.addressing import ANY, Channel
from multicastmw.core.claims import Claims
from multicastmw.core.counters import Counters
from multicastmw.core.packet import Packet

EVERY = 0  # the group of an observer of all of them


class Destination(Hashable, Protocol):
    """A TAP, a link to a peer, or whatever else wants packets."""

    name: str
    local: bool  # a delivery to it does not leave this node, so costs no hop

    def deliver(self, packet: Packet) -> None:
        """Takes a packet; it is gone when this returns."""

    def others_changed(self, channel: Channel) -> None:
        """What the others want of this channel may have changed: `Router.wanted_besides` says how it is."""


class Route:
    """One (S, G): who gets it, and what became of it.  Counters are packets, `bytes` inner bytes.

    `epoch` counts how often somebody came who found at most one taker; `found` says at which epoch the last
    one found just these takers, nobody or one.
    """

    __slots__ = (
        "bytes", "channel", "died_of_ttl", "epoch", "fan_outs", "found", "observers", "packets", "takers",
        "to_nobody",
    )  # fmt: skip

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.takers: tuple[Destination, ...] = ()
        self.observers: tuple[Destination, ...] = ()
        self.fan_outs: dict[Destination, tuple[Destination, ...]] = {}
        self.epoch = 0
        self.found: dict[tuple[Destination, ...], int] = {}
        self.packets = 0
        self.bytes = 0
        self.to_nobody = 0
        self.died_of_ttl = 0

    def fan_out(self, ingress: Destination) -> tuple[Destination, ...]:
        """All takers but the one that the packet came from (split horizon); observers, if there is one."""
        others = self.fan_outs.get(ingress)
        if others is None:
            others = tuple(t for t in self.takers if t is not ingress)
            if others and self.observers:
                others = _in_order((*others, *(each for each in self.observers if each not in others)))
            self.fan_outs[ingress] = others
        return others

    def observe(self, observers: tuple[Destination, ...]) -> None:
        """These see what passes from now on."""
        self.observers = observers
        self.fan_outs.clear()

    def resumed_since(self, epoch: int, ingress: Destination) -> bool:
        """Was there a time since then when nobody but the ingress wanted it, so that it did not come?"""
        return max(self.found.get((), 0), self.found.get((ingress,), 0)) > epoch

    def mend(self, takers: tuple[Destination, ...]) -> None:
        """Its takers are these now."""
        before, self.takers = self.takers, takers
        if len(before) < 2 and not set(takers) <= set(before):
            self.epoch += 1
            self.found[before] = self.epoch
        self.fan_outs.clear()

    def outlive(self, destination: Destination) -> None:
        """The destination is gone: nothing of it is kept."""
        self.fan_outs.pop(destination, None)
        self.found.pop((destination,), None)


class RouteTotals(Counters):
    """The counts of routes together."""

    __slots__ = ("bytes", "died_of_ttl", "packets", "to_nobody")
    bytes: int
    died_of_ttl: int
    packets: int
    to_nobody: int


class Router:
    """The table.  It bounds nothing itself: who subscribes on behalf of strangers counts what they hold."""

    def __init__(self) -> None:
        self._claims: Claims[Channel, Destination] = Claims(lambda who, channel: who.others_changed(channel))
        self._routes: dict[int, dict[Channel, Route]] = {}  # by group, as (any, G) touches all of them
        self._observers: dict[int, tuple[Destination, ...]] = {}
        self._carriers: tuple[Destination, ...] = ()
        self._forgotten = RouteTotals()
        self.mended: Callable[[Route], None] = lambda route: None  # told of each route with other takers

    def __len__(self) -> int:
        """Channels in the table: those that somebody wants, or did until just now."""
        return len(self._claims)

    def __contains__(self, channel: Channel) -> bool:
        """Is the channel in the table?"""
        return channel in self._claims

    @property
    def members(self) -> int:
        """How many destinations there are."""
        return len(self._claims.members())

    # --- what a destination says

    def attach(self, destination: Destination) -> None:
        """A destination that wants nothing yet."""
        self._claims.join(destination)

    def part(self, destination: Destination) -> None:
        """It is gone: no packet goes to it from now on, and `release` takes its subscriptions back."""
        self._claims.part(destination)
        for route in self.routes():
            if destination in route.takers:
                route.mend(tuple(taker for taker in route.takers if taker is not destination))
                self.mended(route)
            route.outlive(destination)

    def release(self, destination: Destination, most: int) -> None:
        """Takes so many subscriptions of one that has parted back, and tells the others."""
        self._claims.release(destination, most)

    def subscribe(self, destination: Destination, channel: Channel) -> None:
        """Idempotent."""
        if self._claims.add(destination, channel):
            self._mend(channel)

    def unsubscribe(self, destination: Destination, channel: Channel) -> None:
        """Idempotent."""
        if self._claims.remove(destination, channel):
            self._mend(channel)

    def carry(self, carrier: Destination) -> None:
        """It is a taker of everything, before there are routes."""
        self.attach(carrier)
        self._carriers += (carrier,)

    # --- who only looks

    def observe(self, observer: Destination, group: int) -> None:
        """It gets what passes of the group, of EVERY group where that is given.  Idempotent."""
        self._observed(group, (*self._without(observer, group), observer))

    def disregard(self, observer: Destination, group: int) -> None:
        """No longer.  Idempotent."""
        self._observed(group, self._without(observer, group))

    def _without(self, observer: Destination, group: int) -> tuple[Destination, ...]:
        return tuple(each for each in self._observers.get(group, ()) if each is not observer)

    def _observed(self, group: int, observers: tuple[Destination, ...]) -> None:
        if observers:
            self._observers[group] = observers
        else:
            self._observers.pop(group, None)
        for route in self.routes() if group == EVERY else list(self._routes.get(group, {}).values()):
            found = self._observers_of(route.channel)
            if found != route.observers:
                route.observe(found)
                self.mended(route)

    def _observers_of(self, channel: Channel) -> tuple[Destination, ...]:
        """Each once, in whatever ways it looks."""
        both = self._observers.get(channel.group, ()) + self._observers.get(EVERY, ())
        return tuple(dict.fromkeys(both))

    # --- what a destination asks

    def wanted_besides(self, destination: Destination, channel: Channel) -> bool:
        """Does any other destination want the channel?"""
        return self._claims.besides(destination, channel)

    def all_wanted_besides(self, destination: Destination) -> list[Channel]:
        """Everything that the others want."""
        return list(self._claims.all_besides(destination))

    def channels(self) -> list[Channel]:
        """All that are wanted by anybody; `wanted_besides` says of each whether others do."""
        return list(self._claims)

    def wanted_by(self, channel: Channel) -> tuple[Destination, ...]:
        """Who wants the channel."""
        return self._claims.holders(channel)

    def count(self, destination: Destination) -> int:
        """How many channels the destination holds."""
        return self._claims.count(destination)

    # --- what a packet asks

    def route(self, channel: Channel) -> Route:
        """The route of an (S, G), made when it is first asked for and kept until `forget`."""
        routes = self._routes.setdefault(channel.group, {})
        route = routes.get(channel)
        if route is None:
            route = routes[channel] = Route(channel)
            route.takers = self._takers(channel)
            route.observers = self._observers_of(channel)
        return route

    def known(self, channel: Channel) -> Route | None:
        """The route of an (S, G) that packets have come along."""
        return self._routes.get(channel.group, {}).get(channel)

    def has_takers(self, channel: Channel) -> bool:
        """Does anybody want packets of this (S, G)?"""
        return bool(self._takers(channel))

    def forget(self, route: Route) -> None:
        """Nothing has come along this route for long."""
        routes = self._routes.get(route.channel.group, {})
        if routes.pop(route.channel, None):
            self._forgotten.add(route)
        if not routes:
            self._routes.pop(route.channel.group, None)

    # --- what an operator asks

    def local_takers(self, group: int, source: int) -> list[Destination]:
        """Who in this process wants the channel; with source any, who wants any of the group's."""
        return [
            destination
            for destination in self._claims.members()
            if destination.local
            and any(
                held.group == group and (ANY in (source, held.source) or held.source == source)
                for held in self._claims.held(destination)
            )
        ]

    def takers_of(self, channel: Channel) -> tuple[Destination, ...]:
        """Who would get its packets, if some came."""
        return self._takers(channel)

    def routes_of(self, group: int) -> list[Route]:
        """Those of one group."""
        return list(self._routes.get(group, {}).values())

    def routes(self) -> list[Route]:
        return [route for routes in self._routes.values() for route in routes.values()]

    def totals(self, routes: Iterable[Route] | None = None) -> RouteTotals:
        """Of all routes (these), those that are forgotten among them."""
        return RouteTotals().add(self._forgotten, *(self.routes() if routes is None else routes))

    def wanted(self) -> list[tuple[Channel, tuple[Destination, ...]]]:
        """Every channel that somebody wants, and who."""
        return [(channel, self._claims.holders(channel)) for channel in self._claims]

    # --- inside

    def _mend(self, channel: Channel) -> None:
        routes = self._routes.get(channel.group, {})
        touched = routes.values() if channel.source == ANY else filter(None, [routes.get(channel)])
        for route in touched:
            route.mend(self._takers(route.channel))
            self.mended(route)

    def _takers(self, channel: Channel) -> tuple[Destination, ...]:
        exact = self._claims.holders(channel)
        takers = dict.fromkeys(exact + self._claims.holders(Channel(channel.group, ANY)) + self._carriers)
        return _in_order(tuple(takers))


def _in_order(takers: tuple[Destination, ...]) -> tuple[Destination, ...]:
    """What is here comes last: it may write into the packet, and a link sends what it has got."""
    return tuple(sorted(takers, key=lambda taker: taker.local))
