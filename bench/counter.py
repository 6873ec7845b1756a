"""A program that counts what comes to a group, until SIGTERM.  `python -IS counter.py JSON`, on a host.

Keys: port, group, device.  It says how many there were since it started, a line ten times a second.
"""

import json
import signal
import socket
import struct
import sys
import time
from contextlib import suppress

GLANCE = 0.005
TOLD_EVERY = 0.1
SO_RCVBUFFORCE = 33


def main() -> None:
    told = json.loads(sys.argv[1])
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    sock.bind((told["group"], told["port"]))
    request = struct.pack(
        "=4s4si", socket.inet_aton(told["group"]), bytes(4), socket.if_nametoindex(told["device"])
    )
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    sock.setblocking(False)
    receive, buffer, count, tell_at = sock.recv_into, bytearray(2048), 0, 0.0
    print("ready", flush=True)
    while not ended:
        with suppress(BlockingIOError):
            while True:
                receive(buffer)
                count += 1
        if time.monotonic() >= tell_at:
            print(count, flush=True)
            tell_at = time.monotonic() + TOLD_EVERY
        time.sleep(GLANCE)


if __name__ == "__main__":
    main()
