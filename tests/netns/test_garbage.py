"""Strangers and liars: whatever they send, the stream through the same node loses nothing."""

import random
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from multicastmw.cli.lab import Host
from multicastmw.wire import messages
from multicastmw.wire.cops import Code
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    PORT,
    TTL,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sender,
    inside,
    node_log,
    rss,
)

GROUP = "239.1.1.1"
S = "10.88.0.1"
RATE = 500
GROWTH = 16 << 20  # bytes that a node may grow by under all of this
LINES = 150  # that a node may print because of it
OPEN = messages.encode(messages.Open("liar", 0x1234_0000, 10))


class GarbageTests(NetnsTestCase):
    """b is attacked from a fifth host, TAPs by their own, while 500 packets a second go through."""

    def setUp(self) -> None:
        self.random = random.Random(4)
        self.tree = Figure4(self, on={"d": {"tap": {"reassemble": "yes"}}}, others="e")
        self.receivers = {h.name: Receiver(h, GROUP) for h in (self.tree.b, self.tree.c, self.tree.d)}
        self.tree.await_demand(GROUP, "cd")
        self.sender = Sender(self.tree.a, GROUP, rate=RATE)
        self.receivers["d"].await_last(GROUP, S, RATE)
        self.pids = {host.name: host.status()["node"]["pid"] for host in self.tree.hosts}
        self.before = {name: rss(pid) for name, pid in self.pids.items()}

    def unharmed(self) -> None:
        """All nodes live, none has grown or talks much, and the stream lost nothing."""
        for host in self.tree.hosts:
            status = host.status()
            self.assertEqual(self.pids[host.name], status["node"]["pid"])
        sent = self.sender.stop()["sent"]
        for name, receiver in self.receivers.items():
            report = receiver.await_last(GROUP, S, sent - 1)
            self.assert_perfect(report, sent, TTL - 1 if name == "b" else TTL - 2)
        grown = {name: (rss(pid) - self.before[name]) >> 10 for name, pid in self.pids.items()}
        self.measured("KiB that the nodes grew by", grown)
        self.measured("packets of the stream, none lost", sent)
        for name, kib in grown.items():
            self.assertLess(kib << 10, GROWTH, name)
        for host in self.tree.hosts:
            self.assertLess(node_log(host).count("\n"), LINES)

    # --- over the links' ports

    def test_strangers_on_tcp_get_an_error_and_are_closed(self) -> None:
        lies = {
            "random bytes": self.random.randbytes(4000),
            "another version": b"\x20" + OPEN[1:],
            "a length that is no multiple of 4": OPEN[:4] + struct.pack("!I", len(OPEN) + 1) + OPEN[8:],
            "a length of 4 GB": OPEN[:4] + b"\xff\xff\xff\xfc" + OPEN[8:],
            "an object that is longer than its message": OPEN[:8] + b"\xff\xff" + OPEN[10:],
            "an object of length 0": OPEN[:8] + b"\0\0" + OPEN[10:],
            "no Open first": messages.encode(messages.KeepAlive()),
            "another client type": OPEN[:2] + b"\0\1" + OPEN[4:],
            "an Open without a node": messages.cops.frame(6, OPEN[8:16]),
            "a timer of 0": OPEN.replace(timer(10), timer(0)),
            "a second Open": OPEN + OPEN,
            "a route message without a route": OPEN + head(32, 8),
            "data that is shorter than its header": OPEN + head(34, 12) + bytes(4),
        }
        for what, data in lies.items():
            with self.stranger() as caller:
                caller.sendall(data)
                self.assertIn(self.close_code(caller), list(Code), what)
        status = self.tree.b.status()
        self.assertGreaterEqual(status["counters"]["links_refused"], len(lies))
        self.assertEqual({"a", "c", "d"}, {peer["name"] for peer in status["peers"]})
        self.measured("kinds of liars that were closed with an Error", len(lies))
        self.unharmed()

    def test_half_messages_that_never_end_hold_little_and_not_for_long(self) -> None:
        callers = []
        for number in range(20):  # 16 of one address may wait
            caller = self.dial()
            callers.append(caller)
            caller.sendall(OPEN[: number % (len(OPEN) - 1)])
        status = self.tree.b.await_status(
            lambda s: s["counters"]["turned_away"] >= 4, PATIENCE, "four turned away"
        )
        self.assertEqual(4, status["counters"]["turned_away"])
        for caller in callers[:16]:
            self.assertEqual(Code.SILENT, self.close_code(caller))
        # A peer that has said Open may begin long messages; it keeps only its own link waiting.
        with self.stranger() as liar:
            liar.sendall(OPEN + head(32, 60_000) + bytes(1000))
            self.tree.b.await_status(lambda s: len(s["peers"]) == 4, PATIENCE, "the liar is a peer")
            self.sender.await_sent(self.sender.state["sent"] + RATE)
        self.unharmed()

    def test_datagrams_with_wrong_tokens_or_nonsense_are_dropped_unseen(self) -> None:
        count = 3000
        with inside(self.tree.lab.host("e")):
            flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with flood:
            flood.connect((self.tree.b.address, PORT))
            probe = messages.encode(messages.KeepAlive(1, messages.Echo(messages.ECHO_REQUEST, 1)))
            for number in range(count):
                data = self.random.randbytes(self.random.randrange(1400)) if number % 3 else probe
                flood.send(data)
                if not number % 100:  # as many as its socket has room for
                    self.await_dropped(number + 1)
            flood.setblocking(False)
            self.assertRaises(BlockingIOError, flood.recv, 2000)  # no answer
        status = self.await_dropped(count)
        self.assertLess(self.dropped(status), count + 100)  # a link that moves may have left some of its own
        self.assertEqual({"udp"}, {peer["data"] for peer in status["peers"]})
        self.unharmed()

    @staticmethod
    def dropped(status: dict[str, Any]) -> int:
        counters = status["counters"]
        return int(counters["datagrams_dropped"] + counters["datagrams_short"] + counters["udp_buffer_full"])

    def await_dropped(self, count: int) -> dict[str, Any]:
        return self.tree.b.await_status(
            lambda status: self.dropped(status) >= count, PATIENCE, f"{count} dropped and counted"
        )

    def test_a_peer_that_lies_in_its_data_is_closed(self) -> None:
        with self.stranger() as liar:
            liar.sendall(OPEN)
            self.tree.b.await_status(lambda s: len(s["peers"]) == 4, PATIENCE, "the liar is a peer")
            header = struct.pack("!HBB8xQQQIIBBBB", 48, 68, 1, 7, 0xEF010101, 0x0A580001, 0, 0, 9, 0, 0, 0)
            whole = header + struct.pack("!HBB", 24, 69, 1) + self.random.randbytes(20)
            liar.sendall(head(34, 8 + len(whole)) + whole)
            self.tree.b.await_status(
                lambda s: s["tap"]["counters"]["malformed"] == 1, PATIENCE, "no IP packet"
            )
            liar.sendall(head(34, 8 + len(whole)) + whole[:-22] + b"\xff" + whole[-21:])
            self.assertEqual(Code.BAD_FORMAT, self.close_code(liar))
        self.unharmed()

    def dial(self) -> socket.socket:
        with inside(self.tree.lab.host("e")):
            caller = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(caller.close)
        caller.settimeout(PATIENCE)
        caller.connect((self.tree.b.address, PORT))
        return caller

    @contextmanager
    def stranger(self) -> Iterator[socket.socket]:
        with self.dial() as caller:
            yield caller

    def close_code(self, caller: socket.socket) -> int:
        """The error of the Close that ends the connection; -1 if it ends without one."""
        data = b""
        while piece := self.received(caller):
            data += piece
        at = 0
        while at + 8 <= len(data):
            op, size = data[at + 1], struct.unpack_from("!I", data, at + 4)[0]
            if op == 8:
                return int(struct.unpack_from("!H", data, at + 12)[0])
            at += size
        return -1

    def received(self, caller: socket.socket) -> bytes:
        try:
            return caller.recv(65536)
        except ConnectionResetError:
            return b""

    # --- on the TAP

    def test_igmp_that_lies_is_counted_and_changes_nothing(self) -> None:
        groups = {host.name: len(host.status()["groups"]) for host in self.tree.hosts}
        bad_sum = igmp(b"\x16\0\x12\x34" + socket.inet_aton("239.9.9.9"))
        absurd = igmp(checked(b"\x22\0\0\0\0\0\0\1" + record(4, 65_535, "239.9.9.9")))
        many = igmp(checked(b"\x22\0\0\0\0\0\xff\xff" + record(4, 0, "239.9.9.9")[:4]))
        short = igmp(b"\x22")
        unicast = igmp(checked(b"\x16\0\0\0" + socket.inet_aton("10.1.1.1")))
        strange = igmp(checked(b"\x99\0\0\0" + self.random.randbytes(40)))
        frames = [bad_sum, absurd, many, short, unicast, strange] * 50
        frames += [self.random.randbytes(self.random.randrange(14, 1400)) for _ in range(200)]
        frames += [ethernet(ip(2, self.random.randbytes(self.random.randrange(60)))) for _ in range(200)]
        for host in (self.tree.b, self.tree.c):
            self.inject(host, frames)
        for host in (self.tree.b, self.tree.c):
            counters = host.await_status(
                lambda s: s["querier"]["counters"]["malformed_checksum"] >= 50,
                PATIENCE,
                "bad checksums counted",
            )["querier"]["counters"]
            self.assertGreaterEqual(counters["malformed_length"], 100)
            self.assertEqual(50, counters["not_groups"])
        for host in self.tree.hosts:
            self.assertEqual(groups[host.name], len(host.status()["groups"]), host.name)
        self.unharmed()

    def test_a_flood_of_joins_ends_at_the_bound(self) -> None:
        """5,000 groups, one of them with 300 sources, from one host."""
        joins = []
        for first in range(0, 5000, 100):
            numbers = range(first, first + 100)
            records = b"".join(record(4, 0, f"239.64.{n >> 8}.{n & 255}") for n in numbers)
            joins.append(igmp(checked(b"\x22\0\0\0\0\0" + struct.pack("!H", 100) + records)))
        sources = b"".join(socket.inet_aton(f"10.9.{n >> 8}.{n & 255}") for n in range(1, 301))
        greedy = checked(b"\x22\0\0\0\0\0\0\1" + record(1, 300, "239.1.7.7") + sources)
        self.inject(self.tree.c, [igmp(greedy), *joins])
        status = self.tree.c.await_status(
            lambda s: s["querier"]["counters"]["groups_over_bound"] > 800, PATIENCE, "groups over the bound"
        )
        self.measured(
            "groups held of 5,000 joined", len(status["groups"]) + status["counters"]["groups_not_shown"]
        )
        self.assertLessEqual(len(status["groups"]) + status["counters"]["groups_not_shown"], 4200)
        self.assertEqual(1, status["querier"]["counters"]["sources_over_bound"])
        self.unharmed()

    def test_fragments_that_never_complete_are_forgotten(self) -> None:
        """5,000 first pieces of 1,000 bytes, to d, whose node joins fragments."""
        group, count = "239.1.8.8", 5000
        wanted = Receiver(self.tree.d, group)
        self.tree.await_demand(group, "d", here=False)
        pieces = [ethernet(ip(17, bytes(1000), group, n, 0x2000)) for n in range(count)]
        self.inject(self.tree.a, pieces)
        delivered = self.tree.d.await_status(
            lambda s: sum(r["packets"] for r in s["routes"] if r["group"] == group) == count,
            PATIENCE,
            "all at d",
        )
        self.assertEqual({}, wanted.streams())
        counters = delivered["tap"]["counters"]
        held = counters["reassembly_held_sets"]
        gone = counters["reassembly_expired"] + counters["reassembly_evicted"]
        self.assertEqual((count, 0), (held + gone, counters["reassembly_joined"]))
        self.assertLess(held, 1000)
        self.measured("of 5,000 sets of fragments held and forgotten", (held, gone))
        self.unharmed()

    def inject(self, host: Host, frames: list[bytes]) -> None:
        """Puts Ethernet frames onto a host's TAP, in the pace of the stream."""
        with inside(host):
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            raw.bind((DEVICE, 0))
        with raw:
            for number, frame in enumerate(frames):
                raw.send(frame)
                if not number % 100:
                    self.sender.await_sent(self.sender.state["sent"] + 1)


def head(op: int, size: int) -> bytes:
    """A message's common header."""
    return struct.pack("!BBHI", 0x10, op, 0x4D43, size)


def timer(seconds: int) -> bytes:
    """A Keep Alive Timer object."""
    return struct.pack("!HBBHH", 8, 10, 1, 0, seconds)


def checked(message: bytes) -> bytes:
    """IGMP with its checksum at 2."""
    return message[:2] + struct.pack("!H", checksum(message[:2] + b"\0\0" + message[4:])) + message[4:]


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def record(kind: int, sources: int, group: str) -> bytes:
    """A group record of an IGMPv3 report, without its sources."""
    return struct.pack("!BBH4s", kind, 0, sources, socket.inet_aton(group))


def ip(
    protocol: int, payload: bytes, group: str = "224.0.0.22", identification: int = 0, fragment: int = 0
) -> bytes:
    """An IPv4 packet from host a's address; to 224.0.0.x with TTL 1."""
    ttl = 1 if group.startswith("224.") else TTL
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), identification, fragment, ttl, protocol, 0,
        socket.inet_aton(S), socket.inet_aton(group),
    )  # fmt: skip
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ethernet(packet: bytes) -> bytes:
    return bytes.fromhex("01005e000016 020000000001 0800") + packet


def igmp(message: bytes) -> bytes:
    return ethernet(ip(2, message))
