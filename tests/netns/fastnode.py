"""A host's fast path without a node: makes a TAP, loads the programs and fills the maps as it is told.

Started by test_fastpath.py and bench/fastpath.py in a namespace as `python fastnode.py JSON`.  Keys:

    state       the file that its JSON goes to: {"ready", "reasons", "sent", "received", "routes", "tap"}
    device      the TAP; `address` with prefix length; `mtu`
    uplink      the device towards the peers; `local` our address there
    peers       [{"address", "token"}]: their token; ours is `token` + the peer's index.  Where a peer is
                reached another way than the others, also its "uplink", "local" and "gateway"
    routes      [{"group", "source", "peers", "local"}]
    mode        "lookup", "gateway" or "mac"; `gateway` the next hop of all peers
    lease       seconds, renewed each half of a second
    way         "", "tcx" or "clsact"

It runs until SIGTERM.  What is left to user space is read and thrown away.
"""

import json
import os
import selectors
import signal
import socket
import sys
import time
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from multicastmw.core.addressing import ipv4
from multicastmw.core.fastpath.tables import (
    NO_MAC,
    RECEIVED,
    SENT,
    Cfg,
    LinkKey,
    LinkValue,
    Peer,
    RouteFlag,
    RouteKey,
    RouteValue,
)
from multicastmw.net.bpf.hooks import EGRESS, INGRESS, attach, remove_leftovers
from multicastmw.net.bpf.loading import load, shipped_object
from multicastmw.net.bpf.tables import Tables
from multicastmw.net.netlink import Netlink
from multicastmw.net.tap import TapDevice
from multicastmw.wire.ipv4 import number

PORT = 4600
ORIGIN = 0x1111_2222_3333_0000
RENEW = 0.5


class FastNode:
    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.tap = TapDevice(told["device"])
        netlink = Netlink()
        netlink.configure(
            told["device"], address=IPv4Interface(told["address"]), mtu=told.get("mtu", 1412), ours=True
        )
        self.add_route()
        self.tap_index = socket.if_nametoindex(told["device"])
        self.data = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.data.bind(("", PORT))
        self.data.setblocking(False)
        owner, way = told["device"], told.get("way", "")
        uplinks = {self.device_of(peer) for peer in told["peers"]}
        for device in (self.tap_index, *uplinks):
            remove_leftovers(device, owner)
        self.tables = Tables(load(shipped_object()))
        self.fill()
        self.renew()
        self.hooks = [
            attach(self.tables.tap_egress, self.tap_index, EGRESS, owner, way),
            *(attach(self.tables.up_ingress, device, INGRESS, owner, way) for device in uplinks),
        ]

    def device_of(self, peer: dict[str, Any]) -> int:
        return socket.if_nametoindex(peer.get("uplink", self.told["uplink"]))

    def add_route(self) -> None:
        from pyroute2 import IPRoute

        with IPRoute() as route:
            device = socket.if_nametoindex(self.told["device"])
            route.route("replace", dst="224.0.0.0/4", oif=device, scope=253)

    def fill(self) -> None:
        told = self.told
        for index, peer in enumerate(told["peers"]):
            hop = peer.get("gateway", told["gateway"])
            gateway = number(hop) if told.get("mode") == "gateway" else 0
            to, source = self.macs(peer, hop) if told.get("mode") == "mac" else (NO_MAC, NO_MAC)
            remote, local = number(peer["address"]), number(peer.get("local", told["local"]))
            self.tables.set_peer(
                index,
                Peer(
                    peer["token"], local, remote, PORT, PORT, self.device_of(peer), 1500, gateway, to, source
                ),
            )
            self.tables.set_link(LinkKey(remote, local, PORT, PORT), LinkValue(told["token"] + index, index))
        for slot, route in enumerate(told["routes"]):
            flags = RouteFlag.LOCAL if route["local"] else RouteFlag(0)
            self.tables.set_route(
                RouteKey(*ipv4(number(route["group"]), number(route["source"]))),
                RouteValue(1, slot, tuple(route["peers"]), 1500, flags=flags),
            )

    def macs(self, peer: dict[str, Any], hop: str) -> tuple[bytes, bytes]:
        """Of the next hop, once the kernel has asked for it, and of our uplink."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.sendto(b"", (hop, 9))
        limit = time.monotonic() + 10
        while time.monotonic() < limit:
            for line in Path("/proc/thread-self/net/arp").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[0] == hop and fields[2] == "0x2":
                    uplink = peer.get("uplink", self.told["uplink"])
                    ours = Path(f"/sys/class/net/{uplink}/address").read_text().strip()
                    return bytes.fromhex(fields[3].replace(":", "")), bytes.fromhex(ours.replace(":", ""))
            time.sleep(0.01)
        raise SystemExit("the gateway does not answer")

    def renew(self) -> None:
        now = time.monotonic_ns()
        lease = now + int(self.told.get("lease", 3) * 1e9)
        origin = ORIGIN + int(self.told["address"].split("/")[0].rsplit(".", 1)[1])
        mac = bytes.fromhex("024d434d5701")
        self.tables.configure(Cfg(origin, lease, time.time_ns() - now, self.tap_index, 1, PORT, True, mac))

    def state(self) -> dict[str, Any]:
        counts = self.tables.counts()
        peers = range(len(self.told["peers"]))
        return {
            "ready": True,
            "ways": [hook.way for hook in self.hooks],
            "reasons": {r.name: c.packets for r, c in self.tables.reasons().items() if c.packets},
            "sent": [counts[SENT + peer] for peer in peers],
            "received": [counts[RECEIVED + peer] for peer in peers],
            "routes": [self.tables.route_count(slot) for slot in range(len(self.told["routes"]))],
        }

    def run(self) -> None:
        ended: list[bool] = []
        signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
        selector = selectors.DefaultSelector()
        for descriptor in (self.tap.fileno(), self.data.fileno()):
            selector.register(descriptor, selectors.EVENT_READ)
        renew_at = 0.0
        while not ended:
            if time.monotonic() >= renew_at:
                self.renew()
                self.tell()
                renew_at = time.monotonic() + RENEW
            for key, _ in selector.select(max(0.0, renew_at - time.monotonic())):
                os.read(key.fd, 65535)
        for hook in self.hooks:
            hook.detach()
        self.tell()

    def tell(self) -> None:
        path = self.told["state"]
        with open(path + ".new", "w") as file:
            json.dump(self.state(), file)
        os.replace(path + ".new", path)


if __name__ == "__main__":
    FastNode(json.loads(sys.argv[1])).run()
