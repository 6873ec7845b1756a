"""A program that joins a group and writes down every datagram: what a sender has put onto the interface.

Started by kit.py in a namespace as `python -IS recorder.py JSON`; keys: device, state, group, port, file.
The file holds for each datagram the time (ns, CLOCK_MONOTONIC, 8 bytes), the length (2 bytes) and the bytes.
What comes at the next port, RTP's control, is only counted.
"""

import json
import os
import selectors
import signal
import socket
import struct
import sys
import time

TOLD_EVERY = 0.05


def joined(device: str, group: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((group, port))
    request = struct.pack("=4s4si", socket.inet_aton(group), bytes(4), socket.if_nametoindex(device))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    return sock


def main() -> None:
    told = json.loads(sys.argv[1])
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    selector = selectors.DefaultSelector()
    for port, what in ((told["port"], "packets"), (told["port"] + 1, "control")):
        selector.register(joined(told["device"], told["group"], port), selectors.EVENT_READ, what)
    state = {"packets": 0, "control": 0}
    tell_at = 0.0
    with open(told["file"], "wb") as file:
        while not ended:
            if time.monotonic() >= tell_at:
                tell(told["state"], state)
                tell_at = time.monotonic() + TOLD_EVERY
            for key, _ in selector.select(TOLD_EVERY):
                data = key.fileobj.recv(65535)
                state[key.data] += 1
                if key.data == "packets":
                    file.write(struct.pack("!QH", time.monotonic_ns(), len(data)) + data)
    tell(told["state"], state)


def tell(path: str, state: dict) -> None:
    with open(path + ".new", "w") as file:
        json.dump(state, file)
    os.replace(path + ".new", path)


main()
