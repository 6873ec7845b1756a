"""A multicast program that receives: joins as any player does, and counts what sender.py has sent.

Started by kit.py in a namespace as `python -IS receiver.py JSON`; needs the standard library alone.
Keys: device, state (the file that its JSON goes to), joins: [{group, port, sources ([]: any source)}].  It
runs until SIGTERM.  The state has a report for each "GROUP SOURCE" that datagrams came from.
"""

import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
import zlib
from array import array

HEAD = struct.Struct("!4sIIIQ")
MAGIC = b"MCMW"
TOLD_EVERY = 0.05
GAP = 0.1  # seconds
GAPS_MAX = 1000
DELAYS_MAX = 100_000
IP_RECVTTL = 12
SO_RCVBUFFORCE = 33
IP_ADD_SOURCE_MEMBERSHIP = 39
IP_MULTICAST_ALL = 49


class Stream:
    """What came of one sender's stream."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.highest = -1
        self.duplicates = self.disordered = self.damaged = 0
        self.ttls: set[int] = set()
        self.sizes: set[int] = set()
        self.gaps: list[tuple[float, float]] = []  # silences that were no pause: when they ended, seconds
        self.gap = 0.0  # the longest silence between two datagrams, in seconds
        self.gap_ended = self.first_at = self.last_at = 0.0
        self.delays = array("f")  # seconds on the way, of the first DELAYS_MAX

    def accept(self, data: bytes, ttl: int) -> None:
        now = time.monotonic()
        magic, sequence, size, crc, sent = (
            HEAD.unpack_from(data) if len(data) >= HEAD.size else (b"", 0, 0, 0, 0)
        )
        if magic != MAGIC or size != len(data) or zlib.crc32(data[HEAD.size :]) != crc:
            self.damaged += 1
            return
        if sequence in self.seen:
            self.duplicates += 1
            return
        if len(self.delays) < DELAYS_MAX:
            self.delays.append(now - sent / 1e9)
        self.disordered += sequence < self.highest
        self.highest = max(self.highest, sequence)
        self.seen.add(sequence)
        self.ttls.add(ttl)
        self.sizes.add(size)
        if not self.first_at:
            self.first_at = now
        elif now - self.last_at > self.gap:
            self.gap, self.gap_ended = now - self.last_at, now
        if self.last_at and now - self.last_at > GAP and len(self.gaps) < GAPS_MAX:
            self.gaps.append((now, now - self.last_at))
        self.last_at = now

    def report(self, final: bool = False) -> dict:
        """`final` ones also have the delays: the median, the 99.9th percentile, the longest."""
        delays = sorted(self.delays) if final else []
        missing = self.highest - min(self.seen) + 1 - len(self.seen) if self.seen else 0
        return {
            "received": len(self.seen), "first": min(self.seen, default=-1), "last": self.highest,
            "missing": missing, "duplicates": self.duplicates, "disordered": self.disordered,
            "damaged": self.damaged, "ttls": sorted(self.ttls), "sizes": sorted(self.sizes), "gap": self.gap,
            "gap_ended": self.gap_ended, "first_at": self.first_at, "last_at": self.last_at,
            "gaps": self.gaps,
            "delays": [delays[(len(delays) - 1) * p // 1000] for p in (500, 999, 1000)] if delays else [],
        }  # fmt: skip


def joined(device: str, join: dict) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    group = socket.inet_aton(join["group"])
    sock.bind((join["group"], join["port"]))
    for source in join["sources"]:
        # Names the interface by an address of it (struct ip_mreq_source), as most programs do.
        request = group + address_of(device) + socket.inet_aton(source)
        sock.setsockopt(socket.IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, request)
    if not join["sources"]:
        request = struct.pack("=4s4si", group, bytes(4), socket.if_nametoindex(device))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    sock.setblocking(False)
    return sock


def address_of(device: str) -> bytes:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        answer = fcntl.ioctl(asker, 0x8915, struct.pack("16s24x", device.encode()))  # SIOCGIFADDR
    return answer[20:24]


def tell(path: str, state: dict) -> None:
    with open(path + ".new", "w") as file:
        json.dump(state, file)
    os.replace(path + ".new", path)


def main() -> None:
    told = json.loads(sys.argv[1])
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    streams: dict[str, Stream] = {}
    selector = selectors.DefaultSelector()
    for join in told["joins"]:
        selector.register(joined(told["device"], join), selectors.EVENT_READ, join["group"])
    changed, tell_at = True, 0.0
    while not ended:
        if changed and time.monotonic() >= tell_at:
            tell(told["state"], {"streams": {key: stream.report() for key, stream in streams.items()}})
            changed, tell_at = False, time.monotonic() + TOLD_EVERY
        for key, _ in selector.select(TOLD_EVERY):
            changed |= drained(key.fileobj, key.data, streams)
    tell(told["state"], {"streams": {key: stream.report(final=True) for key, stream in streams.items()}})


def drained(sock: socket.socket, group: str, streams: dict[str, Stream]) -> bool:
    for _ in range(256):
        try:
            data, ancillary, _, (source, _) = sock.recvmsg(65535, 64)
        except BlockingIOError:
            break
        ttl = struct.unpack("@i", ancillary[0][2][:4])[0]
        streams.setdefault(f"{group} {source}", Stream()).accept(data, ttl)
    return True


main()
