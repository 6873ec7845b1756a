"""VXLAN (RFC 7348) in the kernel, in two shapes.

hub    a point-to-point VXLAN from each leaf into a bridge on b, which floods
mdb    no relay: a's own multicast forwarding database names b, c and d, and a sends three copies
"""

import platform
import socket
import struct
import sys
from ipaddress import IPv4Address
from pathlib import Path

from bench.race.contestants.base import DEVICE, HUB, LEAVES, Contestant, bring_up, everywhere
from bench.race.track import GROUP
from multicastmw.cli.lab import UPLINK, Lab, LabError

UDP_PORT = 4789


class Vxlan(Contestant):
    def version(self) -> str:
        return f"Linux {platform.release().split('-')[0]}"


class VxlanHub(Vxlan):
    note = "b's bridge floods"

    def __init__(self) -> None:
        super().__init__("vxlan-hub", "VXLAN hub")

    def start(self, lab: Lab) -> dict[str, str]:
        hub = lab.host(HUB)
        hub.ip(f"link add {DEVICE} type bridge mcast_snooping 0")
        for number, leaf in enumerate(LEAVES, 1):
            host = lab.host(leaf)
            for place, name, other in ((host, DEVICE, hub), (hub, f"vx-{leaf}", host)):
                place.ip(f"link add {name} type vxlan id {number} dstport {UDP_PORT} dev {UPLINK} "
                         f"local {place.address} remote {other.address}")  # fmt: skip
            hub.ip(f"link set vx-{leaf} master {DEVICE} up")
        for host in lab.hosts:
            bring_up(host)
        return everywhere(lab)


class VxlanMdb(Vxlan):
    note = "no relay: a sends three copies to a list made by hand"

    def __init__(self) -> None:
        super().__init__("vxlan-mdb", "VXLAN MDB")

    def start(self, lab: Lab) -> dict[str, str]:
        for host in lab.hosts:
            host.ip(f"link add {DEVICE} type vxlan id 1 dstport {UDP_PORT} dev {UPLINK} local {host.address}")
            bring_up(host)
        others = [host.address for host in lab.hosts if host.name != "a"]
        command = [sys.executable, str(Path(__file__)), DEVICE, GROUP, *others]
        done = lab.host("a").run(command)
        if done.returncode:
            raise LabError(f"no VXLAN MDB here (it is in Linux 6.4): {done.stderr.strip().splitlines()[-1]}")
        return everywhere(lab)


# --- what `bridge mdb add dev DEVICE port DEVICE grp GROUP permanent dst ADDRESS` says to the kernel;
#     iproute2 knows that since 6.4 only (linux/if_bridge.h: struct br_port_msg, struct br_mdb_entry)

NEW_ENTRY, ANSWER, ERROR = (
    84,
    0x05 | 0x400 | 0x800,
    2,
)  # RTM_NEWMDB; REQUEST | ACK, CREATE, APPEND; NLMSG_ERROR
SET_ENTRY, SET_ATTRIBUTES, DESTINATION = 1, 2 | 0x8000, 5
PERMANENT = 1
AF_BRIDGE = 7
ETHERTYPE = 0x0800


def attribute(number: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)


def entry(index: int, group: str, destination: str) -> bytes:
    """The netlink message that adds one destination to a group."""
    member = struct.pack("=IBBH16s", index, PERMANENT, 0, 0, IPv4Address(group).packed)
    member += struct.pack("!H2x", ETHERTYPE)
    body = struct.pack("=B3xI", AF_BRIDGE, index) + attribute(SET_ENTRY, member)
    body += attribute(SET_ATTRIBUTES, attribute(DESTINATION, IPv4Address(destination).packed))
    return struct.pack("=IHHII", 16 + len(body), NEW_ENTRY, ANSWER, 1, 0) + body


def add_entries(device: str, group: str, destinations: list[str]) -> None:
    index = socket.if_nametoindex(device)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        for destination in destinations:
            kernel.send(entry(index, group, destination))
            answer = kernel.recv(8192)
            kind, code = struct.unpack_from("=4xH", answer)[0], struct.unpack_from("=i", answer, 16)[0]
            if kind != ERROR or code:
                raise OSError(-code, f"{destination} for {group} on {device} is refused")


if __name__ == "__main__":
    add_entries(sys.argv[1], sys.argv[2], sys.argv[3:])
