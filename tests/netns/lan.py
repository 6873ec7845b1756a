"""A LAN of hosts without a node, and gateways whose TAP is in a bridge with the cable to it.

       h1 --+        +-- e0 [br0] mcmw0 -- node g
            +- [sw] -+
       h2 --+        +-- e0 [br0] mcmw0 -- node k          10.77.0.K on h's lan0, g's and k's br0

The switch is a bridge of a host of its own.  Hosts of the LAN have no other way out: their uplink is down.
"""

from collections.abc import Iterable

from multicastmw.cli.lab import Host, Lab
from multicastmw.cli.lab.host import UPLINK
from tests.netns.kit import DEVICE, Program, Receiver, Sections, Sender, node_ini

NETWORK = "10.77.0"
BRIDGE, CABLE, PORT = "br0", "e0", "lan0"
SWITCH = "sw"
QUERIER = 250  # the last byte of gateways' querier addresses, going down


class Lan:
    """The LAN of a lab that has a host `sw`."""

    def __init__(
        self, lab: Lab, gateways: Iterable[Host], hosts: Iterable[Host], snooping: bool = True
    ) -> None:
        self.switch = lab.host(SWITCH)
        self.gateways = list(gateways)
        self.hosts = list(hosts)
        self._bridge(self.switch, snooping)
        for host in self.hosts:
            self._plug(host, PORT)
            host.ip(
                f"link set {UPLINK} down",
                f"address add {self.address(host)}/24 dev {PORT}",
                f"route add default dev {PORT}",
            )
        for gateway in self.gateways:
            self._bridge(gateway, snooping)
            self._plug(gateway, CABLE)
            gateway.ip(
                f"link set {CABLE} master {BRIDGE}",
                f"address add {self.address(gateway)}/24 dev {BRIDGE}",
                f"tuntap add {DEVICE} mode tap",
                f"link set {DEVICE} mtu 1500 master {BRIDGE} up",
            )
            gateway.run(["bridge", "link", "set", "dev", DEVICE, "flood", "off"])

    def _bridge(self, host: Host, snooping: bool) -> None:
        host.ip(f"link add {BRIDGE} type bridge mcast_snooping {int(snooping)}", f"link set {BRIDGE} up")

    def _plug(self, host: Host, device: str) -> None:
        port = f"to-{host.name}"
        self.switch.ip(
            f"link add {port} type veth peer name {device} netns {host.namespace}",
            f"link set {port} master {BRIDGE} up",
        )
        host.ip(f"link set {device} up")

    def address(self, host: Host) -> str:
        return f"{NETWORK}.{host.index}"

    def cut(self, host: Host) -> None:
        self.switch.ip(f"link set to-{host.name} nomaster")

    def mend(self, host: Host) -> None:
        self.switch.ip(f"link set to-{host.name} master {BRIDGE}")

    def sent_to(self, host: Host) -> int:
        """Packets that the switch has sent to a host or gateway."""
        return self.switch.counters(f"to-{host.name}").tx_packets


def gateway_ini(host: Host, dials: Iterable[Host] = (), sections: Sections | None = None) -> str:
    """A node.ini as an operator of a gateway writes it."""
    merged: dict[str, dict[str, object]] = {
        "tap": {"address": "", "groups": "", "mtu": 1500},
        "igmp": {"querier-address": f"{NETWORK}.{QUERIER - host.index}"},
    }
    for title, options in (sections or {}).items():
        merged.setdefault(title, {}).update(options)
    return node_ini(host, dials, merged)


class LanReceiver(Receiver):
    """A program on a host of the LAN, or on a gateway's bridge."""

    def __init__(self, host: Host, *groups: str, device: str = PORT) -> None:
        joins = [{"group": group, "port": 5004, "sources": []} for group in groups]
        Program.__init__(self, host, "receiver.py", {"joins": joins, "device": device})


class LanSender(Sender):
    """The same, sending."""

    def __init__(self, host: Host, *groups: str, count: int = 0, rate: float = 200, size: int = 1316,
                 ttl: int = 16, device: str = PORT) -> None:  # fmt: skip
        streams = [{"group": group, "port": 5004, "ttl": ttl, "size": size, "source": ""} for group in groups]
        told = {"streams": streams, "rate": rate, "count": count, "device": device}
        Program.__init__(self, host, "sender.py", told)
        self.source = f"{NETWORK}.{host.index}"
