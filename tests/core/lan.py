"""A LAN with several gateways, the overlay that connects them, and the time.

What may go wrong with either is said as an operator would: a gateway is killed, restarted, stopped for a
while, asked to leave; the LAN is cut in two, loses frames; the overlay falls apart.  All the time it is
recorded who forwards, and `overlap` sums up for how long two did that could hear and reach each other.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from math import inf
from random import Random

from multicastmw.core.gateway import Gateway, State

DELAY = 0.01  # seconds that a frame needs at most
LINK = 0.2  # seconds until a gateway that started has its links


class Member:
    """A host of the LAN with a node, which is alive or not."""

    def __init__(self, lan: "Lan", node: int) -> None:
        self.lan = lan
        self.node = node
        self.segment = 0
        self.part = 0
        self.linked = False
        self.frozen = False
        self.deaf = False  # hears nothing of the LAN, but is heard
        self.waiting: list[bytes] = []
        self.gateway: Gateway | None = None

    def start(self) -> None:
        lan = self.lan
        self.gateway = Gateway(
            self.node, lan.random.getrandbits(32), self.node,
            reaches=lambda node: self.linked and lan.reachable(self, lan.members[node]),
            connected=lambda: self.linked and self.part >= 0,
        )  # fmt: skip
        self.frozen, self.waiting = False, []
        lan.send(self, self.gateway.start(lan.now))
        gateway = self.gateway
        lan.at(lan.now + LINK, lambda: self.link(gateway))

    def link(self, gateway: Gateway) -> None:
        if self.gateway is gateway:
            self.linked = True
            self.lan.overlay_changed()

    def kill(self, noticed: bool = True) -> None:
        """The process is gone; does the overlay see its connections end, or not before they time out?"""
        self.gateway, self.frozen = None, False
        if noticed:
            self.unlink()
        else:
            self.lan.at(self.lan.now + 10, lambda: None if self.gateway else self.unlink())

    def unlink(self) -> None:
        self.linked = False
        self.lan.overlay_changed()

    def leave(self) -> None:
        assert self.gateway
        self.lan.send(self, self.gateway.stop())
        self.kill()

    def freeze(self, seconds: float) -> None:
        gateway = self.gateway
        self.frozen = True
        self.lan.at(self.lan.now + seconds, lambda: self.thaw(gateway))

    def thaw(self, gateway: Gateway | None) -> None:
        if gateway is None or self.gateway is not gateway or not self.frozen:
            return
        self.frozen = False
        self.lan.send(self, gateway.woke(self.lan.now))
        for packet in self.waiting:
            self.lan.send(self, gateway.accept(packet, self.lan.now))
        self.waiting.clear()

    @property
    def forwards(self) -> bool:
        gateway = self.gateway
        return bool(
            gateway and not self.frozen and gateway.state is State.FORWARDING and self.lan.now < gateway.until
        )


class Lan:
    """The members by id, and what is on its way."""

    def __init__(self, nodes: Iterable[int], seed: int = 1) -> None:
        self.random = Random(seed)
        self.now = 100.0
        self.loss = 0.0
        self.events: list = []
        self._count = 0
        self._last: dict[tuple[int, int], float] = {}  # when the last frame of one came to the other
        self.members = {node: Member(self, node) for node in nodes}
        self.overlap = 0.0
        self.history: list[tuple[float, tuple[int, ...]]] = []

    def at(self, when: float, what) -> None:
        self._count += 1
        heappush(self.events, (when, self._count, what))

    def reachable(self, one: Member, other: Member) -> bool:
        return one.linked and other.linked and one.part == other.part >= 0

    def overlay_changed(self) -> None:
        for member in self.members.values():
            if member.gateway:
                member.gateway.nodes_changed()

    def send(self, sender: Member, packets: list[bytes]) -> None:
        for packet in packets:
            for member in self.members.values():
                if member.segment == sender.segment and self.random.random() >= self.loss:
                    # An Ethernet keeps the order of what one station sends to another.
                    way = sender.node, member.node
                    when = max(self._last.get(way, 0.0), self.now + self.random.uniform(0, DELAY))
                    self._last[way] = when
                    self.at(when, lambda member=member, packet=packet: self.arrive(member, packet))

    def arrive(self, member: Member, packet: bytes) -> None:
        if member.frozen:
            member.waiting.append(packet)
        elif member.gateway and not member.deaf:
            self.send(member, member.gateway.accept(packet, self.now))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            awake = [m for m in self.members.values() if m.gateway and not m.frozen]
            deadline, due = min(((m.gateway.deadline(), m.node) for m in awake), default=(inf, 0))
            arrival = self.events[0][0] if self.events else inf
            moment = max(self.now, min(deadline, arrival))
            if moment > end:
                break
            self.pass_time(moment)
            if arrival <= deadline:
                heappop(self.events)[2]()
            else:
                member = self.members[due]
                self.send(member, member.gateway.tick(self.now))
        self.pass_time(end)

    def pass_time(self, moment: float) -> None:
        """What was so until now was so for this long."""
        forwarders = [m for m in self.members.values() if m.forwards]
        if any(
            a.segment == b.segment and self.reachable(a, b)
            for a in forwarders for b in forwarders if a.node < b.node
        ):  # fmt: skip
            self.overlap += moment - self.now
        self.now = moment
        nodes = tuple(m.node for m in self.members.values() if m.forwards)
        if not self.history or self.history[-1][1] != nodes:
            self.history.append((moment, nodes))

    @property
    def forwarders(self) -> list[int]:
        return [m.node for m in self.members.values() if m.forwards]

    def until_somebody_forwards(self, limit: float = 20.0) -> float:
        """Seconds, in steps of a hundredth."""
        began = self.now
        while not self.forwarders and self.now < began + limit:
            self.run(0.01)
        return self.now - began
