"""The fast path's life: loaded while there are privileges, attached while the TAP is there, switched at will.

    [fastpath] mode, `mcmw fastpath on|off`           the TAP comes and goes, its bridge
                    |                                             |
                    v                                             v
        load the programs (once) ---> attach to the TAP ---> the mirror (core/fastpath) fills the maps
                    |                                             |
                    +---- refused: one line, and Python forwards  +--- a peer on another device: attach there

Whatever the kernel refuses later turns the fast path off with one line, too.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed

from multicastmw.core.events import FastPathOff, FastPathOn
from multicastmw.core.fastpath.fed import PLACES
from multicastmw.core.fastpath.mirror import Device, Mirror
from multicastmw.core.fastpath.peers import REST, Address, Uplink
from multicastmw.core.status import FastPathStatus
from multicastmw.core.tap import mac_of
from multicastmw.net.bpf.hooks import EGRESS, INGRESS, Hook, attach, remove_leftovers
from multicastmw.net.bpf.kernel import NoFastPath
from multicastmw.net.bpf.loading import load, shipped_object
from multicastmw.net.bpf.tables import Tables
from multicastmw.net.clockwork import Clockwork, clock_ahead
from multicastmw.net.netlink import index, is_there, name_of
from multicastmw.net.uplinks import News, Uplinks, has_ipsec
from multicastmw.services.errors import CannotStart

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

# What we chose.
NEWS_EVERY = 0.01  # seconds between two looks at this host's routes, however often they change ...
A_LINK = 0.001  # ... and so many more for each link: a look takes a sixteenth of that
REFUSED = 5.0  # seconds until a device is tried again that did not take the program
FIRST_LOOK = 0.002  # seconds from a change to the look: a change is often several messages
SWITCHED_OFF = "switched off with `mcmw fastpath off`"


@dataclass(frozen=True)
class Switched:
    """What `mcmw fastpath` is answered."""

    status: FastPathStatus
    error: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        if self.error:
            return {"ok": False, "error": self.error}
        return {"ok": True, "on": self.status.on, "why": self.status.why}


def loaded_tables(places: int = 1) -> Tables:
    """Of the program that came with the package; raises NoFastPath, and then nothing stays.

    `places` is for how many packets there is room that are kept for others.
    """
    loaded = load(shipped_object(), {"kept_packets": places})
    try:
        return Tables(loaded)
    except NoFastPath:
        loaded.close()
        raise


class FastPathService(Service):
    """Owns the programs and their hooks.  The node's forwarder and links are told nothing of it."""

    def __init__(self, node: "NodeService", mode: str) -> None:
        self.mode = mode
        self.wanted = mode != "off"
        self.why = "not started yet" if self.wanted else "[fastpath] mode = off"
        self.mirror = Mirror(
            node.room, node.destination, self._find_uplink, node.tap.read_waiting, clock_ahead
        )
        self._node = node
        self._reactor = node.reactor
        self._uplinks = Uplinks()
        self._news: list[News] = []
        self._look_at = 0.0  # the earliest next look
        self._look: Any = None
        self._tables: Tables | None = None
        self._tap_hook: Hook | None = None
        self._hooks: dict[int, Hook] = {}  # at uplinks, by the device's index
        self._refused: dict[int, tuple[float, str]] = {}  # until when, and why
        self._detaching: Any = None
        self._clockwork = Clockwork(self._reactor, self)
        self.mirror.wake = self._clockwork.wind
        node.tap.changed = self.tap_changed
        if node.mesh:
            node.mesh.mesh.rerouted = self.mirror.feed_moved
            node.copies.beacon = node.mesh.destination.beacon_passed
        if node.data_port:
            node.data_port.trouble = self._something_changed

    @property
    def on(self) -> bool:
        return self.mirror.device is not None

    # --- life

    def privilegedStartService(self) -> None:
        """Loads and attaches; raises CannotStart where it is required and cannot be had."""
        super().privilegedStartService()
        if self.wanted:
            self._try()
            if self.mode == "require" and not self.on and self._node.tap.up:
                raise CannotStart(f"[fastpath] mode = require: {self.why}")

    def stopService(self) -> None:
        super().stopService()
        self._clockwork.stop()
        self._node.copies.stop()
        if self._look and self._look.active():
            self._look.cancel()
        if self._detaching and self._detaching.active():
            self._detaching.cancel()
        with suppress(NoFastPath, OSError):
            self.mirror.stop(self._reactor.seconds())
        self._let_go()
        self.mirror.abandon()
        if self._tables:
            self._tables.close()
            self._tables = None

    def deadline(self) -> float:
        return self.mirror.deadline()

    def tick(self, now: float) -> None:
        try:
            self.mirror.tick(now)
        except (NoFastPath, OSError) as error:
            self._broken(f"the kernel did not take what it was told: {error}")

    # --- on and off

    def switch(self, on: bool) -> "Deferred[Switched]":
        """`mcmw fastpath on|off`; what could not be had is said and tried again when the TAP comes."""
        self.wanted = on
        if on:
            self._try()
        else:
            self._stop(SWITCHED_OFF)
        return succeed(Switched(self.status(), self.why if on and not self.on else ""))

    def run_as(self, mode: str) -> None:
        """node.ini says another mode now."""
        self.mode, self.wanted = mode, mode != "off"
        if self.wanted:
            self._try()
        else:
            self._stop("[fastpath] mode = off")

    def tap_changed(self) -> None:
        """It came, went, or became a port of a bridge."""
        tap = self._node.tap
        if self.on and not tap.up:
            self._stop(f"{tap.config.device} is pending")
        elif self.on:
            self.mirror.settings_changed(self._reactor.seconds(), tap.lan.bridge is not None)
        elif self.wanted:
            self._try()

    def settings_changed(self) -> None:
        """What node.ini says of the TAP or of groups may be another now."""
        self.mirror.settings_changed(self._reactor.seconds())

    def refresh(self) -> None:
        """Has the kernel's counters counted, for whoever looks at ours."""
        with suppress(NoFastPath, OSError):
            self.mirror.read(self._reactor.seconds())

    def _try(self) -> None:
        """On, if it can be had; else `why` says what is missing."""
        if self.on:
            return
        try:
            device = self._attached()
        except NoFastPath as error:
            self._off(str(error))
            return
        assert self._tables is not None and self._tap_hook is not None
        self.why = ""
        self._merge(False)
        self.mirror.start(self._tables, device, self._reactor.seconds())
        self._node.copies.start(self._tables)
        self._node.tell(FastPathOn(self._node.tap.config.device, self._tap_hook.way))

    def _attached(self) -> Device:
        """Everything but the uplinks, which peers lead to."""
        node, tap = self._node, self._node.tap
        if node.data_port is None:
            raise NoFastPath(
                "data go inside TLS" if node.config.tls else "data go over TCP, [listen] udp-port is empty"
            )
        if self._tables is None:
            self._tables = loaded_tables(self._places())
        if not tap.up:
            raise NoFastPath(f"{tap.config.device} is pending")
        if self._detaching and self._detaching.active():
            self._detaching.cancel()
        try:
            number = index(tap.config.device)
        except OSError as error:
            raise NoFastPath(f"{tap.config.device}: {error.strerror}") from error
        if self._tap_hook is None or self._tap_hook.device != number:
            self._let_go()
            self._tap_hook = self._hooked(number, EGRESS)
        if not self._news:
            self._listen()
        mac = mac_of(node.room.here.node)
        return Device(number, mac, node.data_port.port, tap.lan.bridge is not None, node.copies.secret)

    def _places(self) -> int:
        mesh = self._node.mesh
        return PLACES if mesh and mesh.mesh.settings.deadline else 1

    def _hooked(self, device: int, direction: str) -> Hook:
        assert self._tables is not None
        owner = self._node.tap.config.device
        remove_leftovers(device, owner)
        program = self._tables.tap_egress if direction == EGRESS else self._tables.up_ingress
        return attach(program, device, direction, owner)

    def _stop(self, why: str) -> None:
        """Off; hooks go a second later, for what passes them yet."""
        if self.on:
            try:
                self.mirror.stop(self._reactor.seconds())
            except (NoFastPath, OSError) as error:
                self._broken(f"{why}, and the kernel says {error}")
                return
            self._detaching = self._reactor.callLater(2 * REST, self._let_go)
        self._off(why)

    def _broken(self, why: str) -> None:
        """At once, and not tried again before somebody says so."""
        self.wanted = False
        self._node.copies.stop()
        self._let_go()
        self.mirror.abandon()
        if self._tables:
            self._tables.close()
            self._tables = None
        self._off(why)

    def _off(self, why: str) -> None:
        self._merge(True)
        if why != self.why:
            self.why = why
            self._node.tell(FastPathOff(why))

    def _merge(self, may: bool) -> None:
        """The programs look at single datagrams; without them the kernel may merge what comes in a row."""
        if self._node.data_port:
            self._node.data_port.merges = may

    def _let_go(self) -> None:
        """Nothing of ours is attached any more."""
        for hook in [*([self._tap_hook] if self._tap_hook else []), *self._hooks.values()]:
            hook.detach()
        self._tap_hook = None
        self._hooks.clear()
        while self._news:
            self._news.pop().close()
        self._uplinks.close()

    # --- uplinks

    def _listen(self) -> None:
        """For word of the ways to peers."""
        try:
            self._news.append(News(self._reactor, self._something_changed, self.mirror.neighbour_changed))
            if has_ipsec():
                self._news.append(News(self._reactor, self._something_changed, ipsec=True))
        except OSError as error:
            self._let_go()
            raise NoFastPath(f"cannot hear of changes of the ways to peers: {error.strerror}") from error

    def _find_uplink(self, local: Address, remote: Address) -> Uplink | str:
        """For the mirror: the way to a peer, with our program attached there."""
        found = self._uplinks.find(local, remote)
        if isinstance(found, str):
            return found
        if self._tap_hook and found.device == self._tap_hook.device:
            return "the way to it is this node's own TAP"
        if found.device in self._hooks:
            return found
        now = self._reactor.seconds()
        until, why = self._refused.get(found.device, (0.0, ""))
        if now < until:
            return why
        try:
            self._hooks[found.device] = self._hooked(found.device, INGRESS)
        except NoFastPath as error:
            why = f"{name_of(found.device)}: {error}"
            self._refused = {d: r for d, r in self._refused.items() if now < r[0]}
            self._refused[found.device] = now + REFUSED, why
            return why
        return found

    def _something_changed(self) -> None:
        """On this host; looked at soon, and not too often."""
        if self.on and (self._look is None or not self._look.active()):
            now = self._reactor.seconds()
            delay = max(FIRST_LOOK, self._look_at - now)
            self._look_at = now + delay + NEWS_EVERY + A_LINK * len(self.mirror.peers.by_index)
            self._look = self._reactor.callLater(delay, self._look_around)

    def _look_around(self) -> None:
        for device in [device for device in self._hooks if not is_there(device)]:
            self._hooks.pop(device).detach()
        self.mirror.look_at_links()

    # --- what people see

    def status(self) -> FastPathStatus:
        mirror = self.mirror
        return FastPathStatus(
            mode=self.mode,
            on=self.on,
            why=self.why,
            way=self._tap_hook.way if self.on and self._tap_hook else None,
            uplinks=tuple(sorted(name_of(device) for device in mirror.peers.devices())) if self.on else (),
            routes=sum(flow.value is not None for flow in mirror.flows),
            forced=mirror.handover.forced,
            counters={reason.name.lower(): count for reason, count in mirror.counts.reasons.items()},
        )
