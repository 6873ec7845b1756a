"""Kernel multicast routing on a host: `python -IS native.py GROUP SOURCE INGRESS EGRESS...` (devices).

One (S, G) in the kernel's forwarding cache, where smcroute or pimd would put it; it goes with this process.
"""

import signal
import socket
import struct
import sys

MRT_INIT, MRT_ADD_VIF, MRT_ADD_MFC = 200, 202, 204
VIFF_USE_IFINDEX = 8
VIFS_MAX = 32


def main() -> None:
    group, source, *devices = sys.argv[1:]
    igmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
    igmp.setsockopt(socket.IPPROTO_IP, MRT_INIT, 1)
    for number, device in enumerate(devices):
        index = socket.if_nametoindex(device)
        vif = struct.pack("=HBBIiI", number, VIFF_USE_IFINDEX, 1, 0, index, 0)
        igmp.setsockopt(socket.IPPROTO_IP, MRT_ADD_VIF, vif)
    ttls = bytes(1 if 0 < number < len(devices) else 0 for number in range(VIFS_MAX))
    route = struct.pack("=4s4sH32s2xIIIi", *map(socket.inet_aton, (source, group)), 0, ttls, 0, 0, 0, 0)
    igmp.setsockopt(socket.IPPROTO_IP, MRT_ADD_MFC, route)
    print("ready", flush=True)
    signal.sigwait({signal.SIGTERM})


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
main()
