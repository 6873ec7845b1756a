"""The TAP's life: opened as root, configured, watched; pending while it cannot be had, and tried again."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from errno import EACCES, EBUSY, EINVAL, ENODEV, ENOTTY, ENXIO
from ipaddress import IPv4Network
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall

from multicastmw.core.events import AnotherAsks, AsksAgain, Note, Ready, TapPending, TapUp, Tell
from multicastmw.core.igmp import IgmpSettings, Querier, Send, Want
from multicastmw.core.tap import TapDestination, no_device
from multicastmw.literals import MAX_MTU, MIN_MTU
from multicastmw.net import netlink
from multicastmw.net.clockwork import Clockwork
from multicastmw.net.netlink import Netlink
from multicastmw.net.tap import TapDevice, TapReader
from multicastmw.net.waiting import take_waiting
from multicastmw.sections import TapConfig
from multicastmw.services.lan import LanGateway
from multicastmw.wire import ipv4
from multicastmw.wire.data import HEADER_SIZE

# What we chose.
WATCH = 1.0  # seconds between looks at the interface, and between attempts to have one
OUTER = 28  # bytes of IPv4 and UDP in front of a message
OUTER_IPV6 = 48


class TapService(Service):
    """Keeps a TAP open.  `uplinks` are the peers' numeric addresses as far as node.ini says them."""

    def __init__(
        self,
        config: TapConfig,
        node: str,
        destination: TapDestination,
        querier: Querier,
        lan: LanGateway,
        links: Netlink,
        uplinks: list[str],
        reactor: Any,
        tell: Tell,
    ) -> None:
        self.config = config
        self.why = "not opened yet"
        self.mtu = 0
        self.querier = querier
        self.lan = lan
        self.up = False
        self.changed: Callable[[], None] = lambda: None  # told when it comes, goes, or gets another bridge
        self.igmp_heard: Callable[[bytes, float], None] = lambda packet, now: None  # told after the querier
        self._node = node
        self._destination = destination
        self._netlink = links
        self._reactor = reactor
        self._tell = tell
        self._uplinks = uplinks
        self._device: TapDevice | None = None
        self._reader: TapReader | None = None
        self._index = 0
        self._dropped_before = 0
        self._ours = False
        self._not_for_us: set[IPv4Network] = set()  # groups whose routes this process may not put there
        self._asks = ""  # the other querier that was told of
        self._questions = Clockwork(reactor, self)
        self._watch = LoopingCall(self._look)
        self._watch.clock = reactor

    # --- life

    def privilegedStartService(self) -> None:
        """Opens and configures while there are privileges; without them the TAP is pending."""
        super().privilegedStartService()
        self._destination.longest = self._longest()
        self._try_open()

    def startService(self) -> None:
        super().startService()
        if self._device and self.up:
            self._begin()
        self._watch.start(WATCH, now=False)

    def stopService(self) -> None:
        """A clean exit takes the routes and leaves a persistent TAP."""
        super().stopService()
        if self._watch.running:
            self._watch.stop()
        self._questions.stop()
        self.lan.stop()
        if self._device:
            self._netlink.remove_routes(self.config.device, self.config.groups)
        self._release()

    # --- having a device

    def _longest(self) -> int:
        """The longest IP packet that fits a datagram behind our header on every uplink."""
        outer = OUTER_IPV6 if any(":" in address for address in self._uplinks) else OUTER
        longest = self._netlink.uplink_mtu(self._uplinks) - outer - HEADER_SIZE & ~3
        return max(MIN_MTU, min(MAX_MTU, longest))

    def _try_open(self) -> None:
        device = self.config.device
        try:
            existed = netlink.exists(device)
            self._device = TapDevice(device)
            self._configure(existed)
        except OSError as error:
            self._release()
            self._pending(explain(error, device))
            return
        self.up, self.why = True, ""
        self._destination.write = self._device.write
        self._tell(TapUp(device, str(self.config.address or "no address"), self.mtu))
        self._tell(Ready(self._node, device))

    def _configure(self, existed: bool) -> None:
        """All of what is ours; of a TAP that was made beforehand, what it lacks and we may."""
        config = self.config
        ours = self._ours = not existed or self._netlink.is_ours(config.device)
        mtu = config.mtu or self._destination.longest
        bridged = existed and self._netlink.master(config.device)  # then address and routes are the bridge's
        address = None if bridged else config.address
        try:
            self._netlink.configure(config.device, address=address, mtu=mtu, ours=ours)
        except PermissionError:
            if not existed:
                raise
        if not bridged:
            self._add_routes(config.groups)
        if ours and self._device:
            with suppress(OSError):
                self._device.persist(config.persist)
        self._index = netlink.index(config.device)
        self.mtu = netlink.mtu(config.device)
        if not netlink.flags(config.device) & netlink.IFF_UP:
            raise OSError(f"it is down; `ip link set {config.device} up` puts it up")

    def _add_routes(self, groups: Iterable[IPv4Network]) -> None:
        """Those of the groups; where that is not for us, it is said what is missing."""
        device = self.config.device
        for group in groups:
            try:
                self._netlink.add_routes(device, (group,), self._tell)
                self._not_for_us.discard(group)
            except PermissionError:
                self._not_for_us.add(group)
                missing = (
                    f"{group} is not routed to {device}, and this process may not do it: programs that name"
                )
                self._tell(Note(f"{missing} no interface pass it by; `ip route add {group} dev {device}`"))

    def _begin(self) -> None:
        """The reactor runs and the device is there."""
        if self._device is None:
            return
        self._reader = TapReader(
            self._device, self._reactor, self._reactor.seconds, self._destination, self._broken
        )
        self._reader.start()
        # What was dropped while nobody read was nobody's fault.
        self._dropped_before = netlink.dropped(self.config.device)
        self.lan.look(self.config)
        self._do(self.querier.start(self._reactor.seconds()))
        self.changed()

    def _release(self) -> None:
        self.up = False
        self._destination.write = no_device
        if self._reader:
            self._reader.stop()
            self._reader = None
        if self._device:
            self._device.close()
            self._device = None

    def _broken(self, why: str) -> None:
        """The device died under us; the hosts' memberships went with it."""
        self._release()
        self.lan.closed()
        self._do(self.querier.stop())
        self._pending(why)

    def _pending(self, why: str) -> None:
        if why != self.why:
            self._tell(TapPending(self.config.device, why))
        self.up, self.why = False, why
        self.changed()

    def _look(self) -> None:
        """Once a second: is it there, and up?"""
        self._destination.tick(self._reactor.seconds())
        if self._device is None:
            self._try_open()
            if self._device:
                self._begin()
            return
        try:
            alive = netlink.index(self.config.device) == self._index
            up = alive and netlink.flags(self.config.device) & netlink.IFF_UP
        except OSError as error:
            if error.errno not in (ENODEV, ENXIO):
                return  # this process lacks something; that says nothing of the interface
            alive = up = False
        if not alive:
            self._broken("the interface is gone")
        elif not up:
            self.lan.down()
            self._pending(f"it is down; `ip link set {self.config.device} up` puts it up")
        else:
            bridge = self.lan.bridge
            self.lan.look(self.config)
            if self.lan.bridge != bridge:
                self.changed()
            if not self.up:
                self._came_up()
            elif not self.lan.bridge:
                with suppress(OSError):
                    self._put_back()

    def _came_up(self) -> None:
        """Somebody put it up again: routes went when it went down, and hosts are asked anew."""
        self.up, self.why = True, ""
        with suppress(OSError):
            if not self.lan.bridge:
                self._add_routes(self.config.groups)
        self._tell(TapUp(self.config.device, str(self.config.address or "no address"), self.mtu))
        self._do(self.querier.start(self._reactor.seconds()))
        self.changed()

    def _put_back(self) -> None:
        """What somebody took away from an interface that is up: our address, routes that lead nowhere now."""
        config = self.config
        if self._ours and config.address and netlink.address(config.device) != str(config.address.ip):
            self._tell(Note(f"{config.device} had lost its address {config.address}, and has it back"))
            self._netlink.configure(config.device, address=config.address, mtu=self.mtu, ours=True)
        ways = netlink.routed_to(config.groups)
        missing = [group for group, way in ways.items() if not way and group not in self._not_for_us]
        self._add_routes(missing)
        if back := [str(group) for group in missing if group not in self._not_for_us]:
            self._tell(Note(f"routed to {config.device} again: {', '.join(back)}"))

    def warnings(self) -> tuple[str, ...]:
        """Groups that programs send elsewhere when they name no interface."""
        if not self.up or self.lan.bridge:
            return ()
        device = self.config.device
        return tuple(
            f"{group} is routed to {way[0] if way else 'nowhere'}, not to {device}: "
            "programs that name no interface pass it by"
            for group, way in netlink.routed_to(self.config.groups).items()
            if device not in way
        )

    def read_waiting(self) -> bool:
        """Takes the frames that have come already; True: there may be more."""
        return bool(self._reader and take_waiting(self._reader))

    def kernel_drops(self) -> int:
        """Frames that the TAP's queue had no room for, since this node reads it; none where it does not."""
        if self._reader is None:
            return 0
        return max(0, netlink.dropped(self.config.device) - self._dropped_before)

    # --- what may change while it is open

    def reconfigure(self, config: TapConfig) -> None:
        """Other routes, another `persist`; raises OSError where the kernel does not let us, and is as before.

        What is put there comes before what is taken, so that no group is without a route meanwhile.
        """
        before, self.config = self.config, config
        if self._device is None:
            return  # the next attempt does all of it
        new = tuple(group for group in config.groups if group not in before.groups)
        try:
            if config.persist != before.persist and self._netlink.is_ours(config.device):
                self._device.persist(config.persist)
            if self.up and not self.lan.bridge:  # else they are put there when it comes up
                self._netlink.add_routes(config.device, new, self._tell)
                for group in before.groups:
                    if group not in config.groups:
                        self._netlink.remove_route(config.device, group)
        except OSError as error:
            if error.errno in (ENODEV, ENXIO):
                return  # the same: it is gone, and the next look finds that
            self.config = before
            self._netlink.remove_routes(config.device, new)
            raise

    def ask_by(self, settings: IgmpSettings, address: int) -> None:
        """The querier's new settings; hosts are asked anew, and groups stay."""
        self.lan.gateway.address = address
        self._do(self.querier.configure(settings, self._reactor.seconds(), address))

    # --- the querier's hands

    def igmp_received(self, packet: bytes, now: float) -> None:
        self._do(self.querier.accept(packet, now))
        self.igmp_heard(packet, now)

    def deadline(self) -> float:
        return self.querier.deadline()

    def tick(self, now: float) -> None:
        self._do(self.querier.tick(now))

    def _do(self, actions: Any) -> None:
        for action in actions:
            if isinstance(action, Send):
                self._destination.send(action.packet)
            elif isinstance(action, Want):
                self._destination.want(action.group, action.source)
            else:
                self._destination.unwant(action.group, action.source)
        if self.querier.other or self._asks:
            self._say_who_asks()
        self._questions.wind()

    def _say_who_asks(self) -> None:
        """Where it is news; also that of who asks the name is known now."""
        before, self._asks = self._asks, self._who_asks()
        if self._asks and self._asks != before:
            self._tell(AnotherAsks(self.config.device, self._asks))
        elif before and not self._asks and self.up:
            self._tell(AsksAgain(self.config.device, before))

    def _who_asks(self) -> str:
        """Instead of us; empty: nobody does."""
        other = self.querier.other
        if not other:
            return ""
        name = self.lan.name_at(other)
        return f"{name} at {ipv4.text(other)}" if name else ipv4.text(other)


def explain(error: OSError, device: str) -> str:
    """What stands in the way, and what to do about it."""
    text = error.strerror or str(error)
    if error.errno == EACCES:
        return f"{text}: this user may not open /dev/net/tun; `chmod 666 /dev/net/tun` is what udev does"
    if isinstance(error, PermissionError):
        made = f"`ip tuntap add {device} mode tap user $USER`"
        return f"{text}: run as root, grant CAP_NET_ADMIN, or have it made beforehand with {made}"
    if isinstance(error, FileNotFoundError):
        return f"{text}: is there a /dev/net/tun?  `modprobe tun` makes it"
    if error.errno == ENOTTY:
        anew = "`rm /dev/net/tun; mknod /dev/net/tun c 10 200` makes it anew"
        return f"{text}: /dev/net/tun is another device; {anew}"
    if error.errno == EINVAL:
        return f"{text}: {device} is no TAP device, or that is no name for one"
    if error.errno == EBUSY:
        return f"{text}: another process has it open; is another node running?"
    return text
