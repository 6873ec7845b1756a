"""A multicast program that sends: numbered, checkable datagrams at a rate, from ordinary sockets.

Started by kit.py in a namespace as `python -IS sender.py JSON`; needs the standard library alone.
Keys: device, state (the file that its JSON goes to), rate (rounds a second; 0: all at once), count (rounds;
0: until SIGTERM), streams: [{group, port, ttl, size (of the payload), source ("": the kernel's choice)}].  A
round is one datagram of each stream.  A sender that was held up goes on at its rate: what the machine did to
it would else come at once, and no queue has room for seconds of it.
"""

import json
import os
import signal
import socket
import struct
import sys
import time
import zlib

HEAD = struct.Struct("!4sIIIQ")  # magic, sequence, size, CRC-32 of what follows the head, sent at (ns)
MAGIC = b"MCMW"
TOLD_EVERY = 0.05
CAUGHT_UP = 0.1  # seconds of datagrams that are sent at once after a pause, and no more


def payload(sequence: int, size: int) -> bytes:
    rest = (struct.pack("!I", sequence * 2654435761 % 2**32) * (size // 4 + 1))[: size - HEAD.size]
    return HEAD.pack(MAGIC, sequence, size, zlib.crc32(rest), time.monotonic_ns()) + rest


def opened(device: str, stream: dict) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, stream["ttl"])
    request = struct.pack("=4s4si", bytes(4), bytes(4), socket.if_nametoindex(device))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    if stream["source"]:
        sock.bind((stream["source"], 0))
    sock.connect((stream["group"], stream["port"]))
    return sock


def tell(path: str, state: dict) -> None:
    with open(path + ".new", "w") as file:
        json.dump(state, file)
    os.replace(path + ".new", path)


def main() -> None:
    told = json.loads(sys.argv[1])
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    streams = [(opened(told["device"], stream), stream["size"]) for stream in told["streams"]]
    state = {"sent": 0, "errors": 0, "done": False, "began": time.monotonic()}
    rate, count = told["rate"], told["count"]
    tell_at, late = 0.0, 0.0
    while not ended and (not count or state["sent"] < count):
        now = time.monotonic()
        if now >= tell_at:
            tell(told["state"], state)
            tell_at = now + TOLD_EVERY
        due = state["began"] + late + state["sent"] / rate if rate else now
        if due > now:
            time.sleep(due - now)
        late += max(0.0, now - due - CAUGHT_UP)
        for sock, size in streams:
            try:
                sock.send(payload(state["sent"], size))
            except OSError:
                state["errors"] += 1
        state["sent"] += 1
    state["done"] = True
    state["ended"] = time.monotonic()
    tell(told["state"], state)


main()
