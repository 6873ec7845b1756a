"""A program that sends datagrams at a high rate.  `python -IS flood.py JSON`, on a host.

Keys: target [address, port], device (the interface), rate, count, size.  It wakes every millisecond and sends
what is due; what it comes to, a JSON line says at the end.
"""

import json
import socket
import struct
import sys
import time

GLANCE = 0.001


def main() -> None:
    told = json.loads(sys.argv[1])
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    request = struct.pack("=4s4si", bytes(4), bytes(4), socket.if_nametoindex(told["device"]))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 16)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    sock.connect(tuple(told["target"]))
    send, payload, count, rate = sock.send, bytes(told["size"]), told["count"], told["rate"]
    began = time.monotonic()
    sent = 0
    while sent < count:
        due = min(count, int((time.monotonic() - began) * rate) + 1)
        for _ in range(due - sent):
            send(payload)
        sent = due
        time.sleep(GLANCE)
    print(json.dumps({"sent": sent, "rate": sent / (time.monotonic() - began)}))


if __name__ == "__main__":
    main()
