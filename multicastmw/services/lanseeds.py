"""seeds = lan: nodes of the mesh on the same LAN find each other by a question there."""

from typing import TYPE_CHECKING

from multicastmw.core.mesh.onlan import OnLan, seen_at
from multicastmw.endpoints import LAN
from multicastmw.net import lan
from multicastmw.services.seeds import Target
from multicastmw.wire.mesh import BASE

if TYPE_CHECKING:
    from multicastmw.services.mesh import MeshService

# What we chose.
UNANSWERED = 3  # questions of one who is alone, until it is said that nobody answers
HINT = "clouds, containers and many wireless networks carry no multicast: then name a seed"


class LanSeeds:
    """`device` is the only one where it asks and answers; empty: on all but the TAP."""

    def __init__(self, service: "MeshService", device: str) -> None:
        self._service = service
        self._device = device
        self._seed = f"{LAN}{device}"
        self._sockets: lan.LanSockets | None = None
        self._unanswered = 0
        self.on_lan = OnLan(service.mesh.node, service.rng)

    def start(self) -> None:
        try:
            self._sockets = lan.LanSockets(self._service.reactor, self._asked, self._told)
        except OSError as error:
            self._tell(f"its socket cannot be had: {error.strerror}")
        else:
            self._sockets.join(self._devices())

    def stop(self) -> None:
        if self._sockets:
            self._sockets.close()
            self._sockets = None

    def ask(self) -> None:
        if self._sockets is None:
            return
        devices = self._devices()
        self._sockets.join(devices)
        sent = self._sockets.ask(self.on_lan.question(self._service.mesh.sample()), devices)
        if not sent:
            self._tell(f"no multicast leaves by {self._device or 'any interface'}")
        elif self._service.mesh.neighbours:
            self._unanswered = 0
            self._service.is_reached(self._seed)
        else:
            self._unanswered += 1
            if self._unanswered > UNANSWERED:
                self._tell(f"nobody answers at {', '.join(sent)}; {HINT}")

    def _devices(self) -> list[str]:
        return [self._device] if self._device else lan.devices([self._service.node.config.tap.device])

    def _asked(self, datagram: bytes, by: tuple[str, int]) -> None:
        service = self._service
        mesh = service.mesh
        base = mesh.circles.get(BASE)
        known = len(mesh.neighbours) + (len(base.passive) if base else 0)
        if not mesh.settings.nat and self.on_lan.asks(datagram, known, service.reactor.seconds()):
            addresses = service.destination.addresses_at
            lan.answer(by, lambda here: self.on_lan.answer(seen_at(mesh.sample(), addresses(here))))

    def _told(self, datagram: bytes, by: tuple[str, int]) -> None:
        found = self.on_lan.told(datagram, by[0], self._service.reactor.seconds())
        if found:
            self._unanswered = 0
            if found.node not in self._service.mesh.neighbours:
                self._service.greet([Target(found.host, found.port)], self._seed)

    def _tell(self, why: str) -> None:
        self._service.unreached(self._seed, self._seed, why)
