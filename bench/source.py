"""A program that sends numbered, stamped datagrams at a rate.  `python -IS source.py JSON`, on a host.

Keys: target [address, port], device (multicast: the interface; else ""), rate, count (0: until SIGTERM),
size, round.
A datagram begins with round, number and CLOCK_REALTIME in ns just before `send`.  A source that was held up
does not catch up: what it measures is a steady stream, not bursts.  At the end a JSON line says how many
were sent, and how often and for how long it was held up.
"""

import itertools
import json
import signal
import socket
import struct
import sys
import time

HEAD = struct.Struct("!IIQ")


def opened(told: dict) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if told["device"]:
        request = struct.pack("=4s4si", bytes(4), bytes(4), socket.if_nametoindex(told["device"]))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 16)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    sock.connect(tuple(told["target"]))
    return sock


def main() -> None:
    told = json.loads(sys.argv[1])
    sock, payload = opened(told), bytearray(told["size"])
    pack, send, stamp = HEAD.pack_into, sock.send, time.time_ns
    gap = 1 / told["rate"]
    began = time.monotonic() + gap
    forgiven, longest = 0, 0.0
    ended, sent = [], 0
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    for number in range(told["count"]) if told["count"] else itertools.count():
        if ended:
            break
        due = began + number * gap
        if (early := due - time.monotonic()) > 0:
            time.sleep(early)
        if (late := time.monotonic() - due) > gap:
            began += late
            forgiven += 1
            longest = max(longest, late)
        pack(payload, 0, told["round"], number, stamp())
        send(payload)
        sent = number + 1
    print(json.dumps({"sent": sent, "forgiven": forgiven, "longest_ms": longest * 1e3}))


if __name__ == "__main__":
    main()
