"""The LAN behind the TAP, where there is one: is the TAP a bridge's port, and do we forward for that bridge?

core/gateway.py decides; this winds it, carries its Hellos, and opens or closes the TAP's two ways.
"""

from typing import Any

from multicastmw.core.events import Event, GatewayForwards, GatewayStandsBy, Note, Tell
from multicastmw.core.gateway import Gateway, State
from multicastmw.core.reach import Reach
from multicastmw.core.status import GatewayStatus
from multicastmw.core.tap import TapDestination
from multicastmw.net.clockwork import Clockwork
from multicastmw.net.netlink import Netlink
from multicastmw.sections import TapConfig
from multicastmw.wire import ipv4

WORDS = {State.LISTENING: "listening", State.STANDING_BY: "standing by", State.FORWARDING: "forwarding"}
ETHERNET_MTU = 1500
UNKNOWN = ""  # which bridge, while the interface is down


class LanGateway:
    """One TAP's gateway; `reach` knows the overlay's nodes, and tells when others are in it."""

    def __init__(
        self,
        config: TapConfig,
        node: int,
        generation: int,
        address: int,
        destination: TapDestination,
        reach: Reach[Any],
        links: Netlink,
        reactor: Any,
        tell: Tell,
    ) -> None:
        self.bridge: str | None = None
        self.gateway = Gateway(
            node, generation, address,
            reaches=lambda other: bool(reach.links(other)), connected=lambda: bool(len(reach)),
        )  # fmt: skip
        self._device = config.device
        self._destination = destination
        self._reach = reach
        self._netlink = links
        self._reactor = reactor
        self._tell = tell
        self._clockwork = Clockwork(reactor, self)
        self._told: Event | None = None
        self._names: dict[int, str] = {}  # of the others on the LAN, also while the overlay is in pieces
        destination.pim = lambda packet, now: self._do(self.gateway.accept(packet, now))
        destination.of_a_gateway = lambda now: self._do(self.gateway.frame_of_a_gateway(now))
        destination.woke = self._woke
        reach.join(self)

    # --- the TAP's life

    def look(self, config: TapConfig) -> None:
        """The TAP is open: is it in a bridge?  Asked once a second, for an operator may put it there.

        `config` is what the TAP has now; a reload may have changed it.
        """
        try:
            bridge = self._netlink.master(self._device)
        except OSError:
            return  # it is going; whoever watches the device says so
        if bridge == self.bridge:
            return
        self.bridge = bridge
        if bridge is None:
            self.gateway.detach()
            self._do([])
            return
        self._warn(bridge, config)
        self._netlink.remove_routes(self._device, config.groups)
        self._do(self.gateway.start(self._reactor.seconds()))

    def _warn(self, bridge: str, config: TapConfig) -> None:
        """What does not fit a bridge's port."""
        found = {
            "an address on it does nothing; leave [tap] address empty": config.address,
            "routes belong on the bridge; leave [tap] groups empty": config.groups,
            "switches heed no queries from 0.0.0.0; set [igmp] querier-address": not self.gateway.address,
            f"hosts' packets of {ETHERNET_MTU} bytes do not fit; set [tap] mtu = {ETHERNET_MTU}": (
                (config.mtu or 0) < ETHERNET_MTU
            ),
        }
        for text, applies in found.items():
            if applies:
                self._tell(Note(f"{config.device} is a port of {bridge}: {text}"))

    def closed(self) -> None:
        """The TAP is no more; the next one is looked at anew."""
        self.bridge = self._told = None
        self.gateway.detach()
        self._do([])

    def down(self) -> None:
        """The interface is down; when it is up again it is looked at anew."""
        if self.gateway.active:
            self.bridge, self._told = UNKNOWN, None
            self.gateway.pause()
            self._do([])

    def stop(self) -> None:
        """A clean exit: the others need not wait."""
        self._do(self.gateway.stop())
        self._clockwork.stop()

    # --- facts for the gateway

    def nodes_changed(self, _node: int) -> None:
        self.gateway.nodes_changed()
        self._clockwork.wind()

    def _woke(self, now: float) -> None:
        if now >= self._destination.until and self._destination.forwards:
            self._do(self.gateway.woke(now))

    def deadline(self) -> float:
        return self.gateway.deadline()

    def tick(self, now: float) -> None:
        self._do(self.gateway.tick(now))

    # --- what follows

    def _do(self, hellos: list[bytes]) -> None:
        gateway, destination = self.gateway, self._destination
        self._learn_names()
        if gateway.state is State.FORWARDING:
            destination.forward(gateway.until)
        else:
            destination.stand_by()
        for hello in hellos:
            destination.send(hello)
        if gateway.active:
            self._say()
        self._clockwork.wind()

    def _say(self) -> None:
        """What changed; who forwards may have got another name, or be another."""
        device, bridge = self._device, self.bridge or "it"
        if self.gateway.state is State.FORWARDING:
            event: Event = GatewayForwards(device, bridge)
        elif self.gateway.state is State.STANDING_BY and (other := self._forwarder()):
            event = GatewayStandsBy(device, bridge, *other)
        else:
            return
        if event != self._told:
            self._told = event
            self._tell(event)

    def _learn_names(self) -> None:
        """Hellos have none, and the overlay knows them only as long as it reaches them."""
        rivals = self.gateway.rivals(self._reactor.seconds())
        found = {rival.node: self._reach.name(rival.node) or self._names.get(rival.node) for rival in rivals}
        self._names = {node: name for node, name in found.items() if name}

    def _name(self, node: int) -> str:
        return self._reach.name(node) or self._names.get(node) or f"{node:016x}"

    def name_at(self, address: int) -> str | None:
        """The gateway that asks from there, by name; None for another querier, or one that is unknown."""
        for rival in self.gateway.rivals(self._reactor.seconds()) if address else ():
            if rival.address == address:
                return self._reach.name(rival.node) or self._names.get(rival.node)
        return None

    def _forwarder(self) -> tuple[str, str] | None:
        """Name and address of the other one that forwards."""
        for rival in self.gateway.rivals(self._reactor.seconds()):
            if rival.state is State.FORWARDING:
                return self._name(rival.node), ipv4.text(rival.address)
        return None

    def status(self) -> GatewayStatus | None:
        """None where there is no LAN."""
        if not self.gateway.active:
            return None
        other = self._forwarder() if self.gateway.state is not State.FORWARDING else None
        rivals = self.gateway.rivals(self._reactor.seconds())
        return GatewayStatus(
            bridge=self.bridge,
            state=WORDS[self.gateway.state],
            forwarder=other[0] if other else None,
            forwarder_address=other[1] if other else None,
            others=tuple(self._name(rival.node) for rival in rivals if rival.reached),
            strangers=sum(not rival.reached for rival in rivals),
            counters=self.gateway.counters.as_dict(),
        )
