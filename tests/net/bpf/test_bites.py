"""What bites in tc programs: each has a test, numbered as in the list of docs/fastpath.rst."""

import itertools
import os
import socket
import struct
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fastpath.tables import (
    COPIES_WAITING,
    FAN_OUT,
    GATE_OF_COPIES,
    GATE_OF_LINK,
    MARK,
    RECEIVED,
    SENT,
    Reason,
    RouteFlag,
)
from multicastmw.net.bpf.hooks import INGRESS, attach
from multicastmw.net.bpf.kernel import CAPABILITIES, NoFastPath
from multicastmw.net.bpf.loading import shipped_object, verifier_statistics
from multicastmw.net.bpf.maps import possible_cpus
from multicastmw.wire import data
from multicastmw.wire.data import DataHeader
from multicastmw.wire.ipv4 import checksum
from tests.net.bpf.bed import (
    DROP,
    GROUP,
    HERE,
    NEXT,
    ORIGIN,
    OUR_TOKEN,
    PORT,
    REDIRECT,
    SOURCE,
    TAP,
    THEIRS,
    UPLINK,
    WIRE,
    Bed,
    address_of,
    context,
    inner_packet,
    mac_of,
    opened,
    outer,
    why_no_bed,
)  # fmt: skip

MULTICAST = bytes.fromhex("01005e010101") + bytes.fromhex("0a0000000001") + b"\x08\x00"
UDP_SEGMENT, IP_RECVERR = 103, 11
ROOT = Path(__file__).parents[3]

# Runs as nobody, with the capabilities that it is told, and says what came of it.
AS_NOBODY = """
import ctypes, os, sys
sys.path.insert(0, sys.argv[1])
keep = sum(1 << int(bit) for bit in sys.argv[3].split(",") if bit)
from multicastmw.net.bpf.hooks import EGRESS, INGRESS, attach, remove_leftovers
from multicastmw.net.bpf.kernel import NoFastPath
from multicastmw.net.bpf.loading import load, shipped_object
from multicastmw.core.fastpath.tables import Cfg
from multicastmw.net.bpf.tables import Tables
import struct, socket
libc = ctypes.CDLL(None, use_errno=True)
code = shipped_object()
remove_leftovers(socket.if_nametoindex(sys.argv[2]), "nobody")  # as nodes do; it loads modules
libc.prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
def become(keep):
    head = struct.pack("<II", 0x20080522, 0)
    low, high = keep & 0xffffffff, keep >> 32
    sets = struct.pack("<6I", low, low, 0, high, high, 0)
    if libc.syscall({"x86_64": 126}.get(os.uname().machine, 91), head, sets):
        raise OSError(ctypes.get_errno(), "capset")
become(keep)
try:
    tables = Tables(load(code))
    hook = attach(tables.tap_egress, socket.if_nametoindex(sys.argv[2]), EGRESS, "nobody")
    become(0)
    tables.configure(Cfg(1, 2, 3, 4, 5, 6, True, bytes(6)))
    print("works as", os.getuid(), "by", hook.way)
except NoFastPath as reason:
    print(reason)
"""


numbers = itertools.count(1)


def message(sequence: int | None = None, inner: bytes | None = None, **chosen: Any) -> bytes:
    """The next one of a stream, where no number is given."""
    sequence = next(numbers) if sequence is None else sequence
    given: dict[str, Any] = {
        "token": OUR_TOKEN,
        "origin": THEIRS,
        "group": GROUP,
        "source": SOURCE,
        "hop_limit": 9,
    }
    return data.build(inner or inner_packet(b"p" * 100), sequence=sequence, **(given | chosen))


class Case(SynchronousTestCase):
    skip = why_no_bed()
    peers = 4

    def setUp(self) -> None:
        self.bed = Bed(peers=self.peers)
        self.addCleanup(self.bed.close)

    def sender(self) -> socket.socket:
        sock = self.bed.socket()
        self.addCleanup(sock.close)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 16)
        sock.bind(("10.88.0.2", 0))
        sock.connect(("239.1.1.1", 5004))
        return sock

    def left_reasons(self) -> dict[Reason, int]:
        """Why packets went to user space, and how many."""
        return {reason: n for reason, n in self.bed.reasons().items() if reason >= Reason.USER_LEASE}

    def arrives(self, message: bytes, peer: int = 0, **chosen: Any) -> list[bytes]:
        """What leaves when this comes in over the wire, from that peer."""
        self.bed.inject(outer(message, peer, self.bed.uplink_mac, **chosen))
        return self.bed.call(self.bed.caught)


class Bites(Case):
    def test_01_tcx_knows_four_verdicts_and_nothing_goes_out_twice(self) -> None:
        self.bed.route(0, 1, 2, 3, flags=RouteFlag.LOCAL)
        with closing(self.sender()) as sender:
            sender.send(b"once")
        frames = self.bed.await_caught(4)
        self.assertEqual([0, 1, 2, 3], sorted(opened(f, self.bed.uplink_mac).peer for f in frames))
        self.assertEqual(3, len(self.arrives(message())))
        self.assertEqual([], self.bed.call(self.bed.caught))
        self.assertEqual([], [f for f in self.bed.from_tap() if f[23:24] == b"\x11"])
        for chosen in (
            {},
            {"token": 1},
            {"hop_limit": 0},
            {"hop_limit": 1},
            {"group": 1},
            {"packet_type": 2},
        ):
            run, _ = self.bed.show(
                self.bed.tables.up_ingress, outer(message(**chosen), 0, self.bed.uplink_mac)
            )
            self.assertIn(run.verdict, (NEXT, DROP, REDIRECT))

    def test_02_what_ends_at_the_tap_is_no_error_for_the_application(self) -> None:
        """A drop there is ENOBUFS for whoever asked for errors."""
        key = self.bed.route()
        with closing(self.sender()) as sender:
            sender.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            sender.send(b"to nobody")
            self.bed.route(1)
            self.bed.tables.clear_peer(1)
            sender.send(b"to a peer that is gone")
        self.assertEqual(1, self.bed.route_count(key).packets)
        self.assertEqual(1, self.bed.reasons()[Reason.NO_PEER])
        self.assertEqual(1, self.bed.reasons()[Reason.TO_NOBODY])
        self.assertEqual([], [f for f in self.bed.from_tap() if f[23:24] == b"\x11"])

    def test_03_the_group_s_ethernet_address_is_gone_before_a_neighbour_is_asked(self) -> None:
        self.bed.route(0, 1)
        with closing(self.sender()) as sender:
            sender.send(b"x")
        frames = self.bed.await_caught(2)
        self.assertEqual([mac_of(0), mac_of(1)], sorted(f[:6] for f in frames))
        self.assertEqual({self.bed.uplink_mac}, {f[6:12] for f in frames})

    def test_04_a_packet_that_moves_under_the_program_stays_whole(self) -> None:
        """Each clone moves it; with a checksum also each address."""
        self.bed.route(1, 2, 3, flags=RouteFlag.LOCAL)
        for size in (0, 1, 1000, 1380):
            inner = inner_packet(bytes(n % 256 for n in range(size)))
            for checked in (False, True):
                frames = self.arrives(message(inner=inner), udp_checksum=checked)
                copies = [opened(f, self.bed.uplink_mac) for f in frames]
                self.assertEqual({1, 2, 3}, {copy.peer for copy in copies})
                self.assertEqual({inner}, {copy.message[60 : 60 + len(inner)] for copy in copies})

    def test_05_a_checksum_that_the_device_will_complete_is_right_with_and_without_offload(self) -> None:
        """The slow path sends with a checksum that its device completes: over a veth nobody has, yet."""
        self.bed.route(1, 2)
        catch = self.bed.call(self.bed._catcher, WIRE)
        self.addCleanup(catch.close)
        for offload in (True, False):
            self.bed.tx_checksum(UPLINK, offload)
            self.bed.tx_checksum(WIRE, offload)
            frames = [f for f in self._by_a_socket(8) if f[23] == 17]
            self.assertEqual(16, len(frames))
            for frame in frames:
                self.assertNotEqual(b"\0\0", frame[40:42], "it was zeroed, and must not be")
                if not offload:  # with offload it is what a device completes: not to be judged here
                    opened(frame, self.bed.uplink_mac)

    def _by_a_socket(self, count: int) -> list[bytes]:
        """Datagrams of a UDP socket: of this namespace, but they come in by the uplink, as a peer's."""

        def send() -> list[bytes]:
            self.bed.drain()
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
                wire.setsockopt(263, 15, 1)  # PACKET_VNET_HDR
                wire.bind((WIRE, 0))
                for _ in range(count):
                    frame = outer(message(), 0, self.bed.uplink_mac)
                    pseudo = struct.pack("!IIBBH", address_of(0), HERE, 0, 17, len(frame) - 34)
                    partial = 0xFFFF ^ checksum(pseudo)
                    frame = frame[:40] + partial.to_bytes(2, "big") + frame[42:]
                    # NEEDS_CSUM, no GSO, 0, 0, where the checksum starts, where it goes to
                    wire.send(struct.pack("<BBHHHH", 1, 0, 0, 0, 34, 6) + frame)
            return self.bed.caught()

        return self.bed.call(send)

    def test_06_odd_sizes_are_padded_and_what_is_wrapped_already_goes_up(self) -> None:
        self.bed.route(0, 1)
        for size in range(9):
            inner = inner_packet(bytes([size]) * size)
            run, copies = self.bed.show(self.bed.tables.tap_egress, MULTICAST + inner)
            for frame in (run.frame, *copies):
                made = opened(frame, self.bed.uplink_mac).message
                self.assertEqual(inner + bytes(-len(inner) % 4), made[60:])
                self.assertEqual(len(inner) + 4, DataHeader.parse(made).packet_length)

    def test_07_a_packet_to_be_segmented_goes_up_untouched(self) -> None:
        self.bed.route(0, 1)
        frame = MULTICAST + inner_packet(bytes(1000))
        run, copies = self.bed.show(self.bed.tables.tap_egress, frame, gso_size=500)
        self.assertEqual((NEXT, frame, []), (run.verdict, run.frame, copies))
        self.assertEqual({Reason.USER_GSO: 1}, self.bed.reasons())
        with closing(self.sender()) as sender:
            sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 100)
            sender.send(bytes(1000))
        frames = [f for f in self.bed.from_tap() if f[23:24] == b"\x11"]
        self.assertEqual([128] * 10, [len(f) - 14 for f in frames], "user space gets ten packets, once each")
        self.assertEqual([], self.bed.call(self.bed.caught))

    def test_08_what_is_too_long_for_a_peer_goes_up_before_anything_is_sent(self) -> None:
        self.bed.route(0, 1, longest=1400)
        fits, one_more = inner_packet(bytes(1400 - 88 - 28)), inner_packet(bytes(1400 - 88 - 27))
        for packet, verdict, copies in ((fits, REDIRECT, 1), (one_more, NEXT, 0)):
            run, sent = self.bed.show(self.bed.tables.tap_egress, MULTICAST + packet)
            self.assertEqual((verdict, copies), (run.verdict, len(sent)))
        self.assertEqual(1, self.bed.reasons()[Reason.USER_TOO_LONG])

    def test_08_a_peer_whose_way_became_narrow_costs_only_its_own_copy(self) -> None:
        self.bed.route(0, 1, 2)
        self.bed.tables.set_peer(1, self.bed.peer(1, longest=600))
        _, sent = self.bed.show(self.bed.tables.tap_egress, MULTICAST + inner_packet(bytes(1000)))
        self.assertEqual([0], [opened(f, self.bed.uplink_mac).peer for f in sent])
        self.assertEqual({Reason.FROM_TAP: 1, Reason.TOO_LONG_FOR_PEER: 1}, self.bed.reasons())

    def test_09_merged_datagrams_are_left_to_the_socket(self) -> None:
        self.bed.route(1)
        frame = outer(message(), 0, self.bed.uplink_mac)
        run, copies = self.bed.show(self.bed.tables.up_ingress, frame, gso_size=600)
        self.assertEqual((NEXT, frame, []), (run.verdict, run.frame, copies))
        self.assertEqual({Reason.USER_GSO: 1}, self.bed.reasons())

    def test_09_what_comes_alone_does_not_overtake_merged_ones_of_its_peer(self) -> None:
        key = self.bed.route(1)
        alone = {peer: outer(message(token=OUR_TOKEN + peer), peer, self.bed.uplink_mac) for peer in (0, 2)}

        def next_one(**fields: int) -> tuple[int, bool]:
            run, _ = self.bed.show(self.bed.tables.up_ingress, alone[0], **fields)
            return run.verdict, run.frame == alone[0]

        next_one(gso_size=600)
        self.assertEqual((NEXT, True), next_one())
        run, _ = self.bed.show(self.bed.tables.up_ingress, alone[2])
        self.assertEqual(REDIRECT, run.verdict, "another peer's goes on")
        self.bed.tables.forget_numbers(self.bed.routes[key].slot)
        self.assertEqual({Reason.USER_GSO: 1, Reason.USER_GATE: 1}, self.left_reasons())
        self.assertEqual(2, self.bed.tables.left_at(GATE_OF_LINK))
        self.bed.tables.open_gate(GATE_OF_LINK, 1)
        self.assertEqual(NEXT, next_one()[0], "one is not handled yet")
        self.bed.tables.open_gate(GATE_OF_LINK, 3)
        self.assertEqual(REDIRECT, next_one()[0], "user space has said that it is over")

    def test_09_nothing_overtakes_what_was_left_of_its_route(self) -> None:
        """From a peer and from here: what is too long goes to user space, and so does what follows."""
        here, there = self.bed.route(0, 1, longest=1400, origin=ORIGIN), self.bed.route(1, longest=1400)
        long, short = inner_packet(bytes(1350)), inner_packet(bytes(100))
        for program, key, frames in (
            (self.bed.tables.tap_egress, here, [MULTICAST + each for each in (short, long, short, short)]),
            (self.bed.tables.up_ingress, there,
             [outer(message(inner=each), 0, self.bed.uplink_mac) for each in (short, long, short, short)]),
        ):  # fmt: skip
            gate = self.bed.routes[key].slot
            self.assertEqual(REDIRECT, self.bed.show(program, frames[0])[0].verdict)
            for frame in frames[1:3]:
                run, copies = self.bed.show(program, frame)
                self.assertEqual((NEXT, frame, []), (run.verdict, run.frame, copies))
            self.assertEqual((2, True), (self.bed.tables.left_at(gate), self.bed.tables.is_shut(gate)))
            self.bed.open_gates()
            self.assertEqual(REDIRECT, self.bed.show(program, frames[3])[0].verdict)
        self.assertEqual({Reason.USER_TOO_LONG: 2, Reason.USER_GATE: 2}, self.left_reasons())

    def test_09_a_gate_that_user_space_has_shut_leaves_all_to_it(self) -> None:
        key = self.bed.route(0, 1)
        gate = self.bed.routes[key].slot
        self.bed.tables.shut(gate)
        self.assertTrue(self.bed.tables.is_shut(gate))
        run, _ = self.bed.show(self.bed.tables.tap_egress, MULTICAST + inner_packet(b"x"))
        self.assertEqual((NEXT, {Reason.USER_GATE: 1}), (run.verdict, self.bed.reasons()))

    def test_10_packets_are_counted_here_as_the_tap_counts_none_and_a_switch_turns_it_off(self) -> None:
        key = self.bed.route(0, 1)

        def tap_sent() -> int:
            with open("/proc/thread-self/net/dev") as table:
                (line,) = (line for line in table if f"{TAP}:" in line)
            return int(line.split(":")[1].split()[9])

        before = self.bed.call(tap_sent)
        with closing(self.sender()) as sender:
            for _ in range(5):
                sender.send(b"x" * 100)
            self.assertEqual(before, self.bed.call(tap_sent))
            self.assertEqual((5, 5 * 128), self.bed.route_count(key)[:2])
            counts = self.bed.tables.counts()
            self.assertEqual([(5, 5 * 188)] * 2, [counts[SENT + peer] for peer in (0, 1)])
            self.bed.renew(enabled=False)
            sender.send(b"y")
        self.assertEqual(1, sum(f[23:24] == b"\x11" for f in self.bed.from_tap()))
        self.assertEqual(5, self.bed.route_count(key).packets)

    def test_11_the_verifier_has_little_to_do(self) -> None:
        for name, line in verifier_statistics(shipped_object()).items():
            print(f"{name}: {line}")
            self.assertLess(int(line.split()[1]), 25_000)

    def test_12_per_cpu_values_are_of_all_possible_cpus(self) -> None:
        values = self.bed.tables.stats.first(RECEIVED + 256)
        self.assertEqual({16 * possible_cpus()}, {len(value) for value in values})
        self.assertEqual(16 * possible_cpus(), len(self.bed.tables.stats.get(struct.pack("<I", SENT)) or b""))
        self.bed.route(1)
        for cpu in os.sched_getaffinity(0):

            def there(cpu: int = cpu) -> None:
                allowed = os.sched_getaffinity(0)
                os.sched_setaffinity(0, {cpu})
                try:
                    frame = outer(message(), 0, self.bed.uplink_mac)
                    self.bed.tables.up_ingress.run(frame, context(self.bed.uplink))
                finally:
                    os.sched_setaffinity(0, allowed)

            self.bed.call(there)
        self.assertEqual(
            len(os.sched_getaffinity(0)), self.bed.tables.counts()[RECEIVED].packets, "of all CPUs together"
        )

    def test_13_three_capabilities_are_enough_and_each_that_is_missing_is_named(self) -> None:
        bits = list(CAPABILITIES)
        self.assertIn("works as 65534", self._as_nobody(bits))
        for bit in bits:
            said = self._as_nobody([other for other in bits if other != bit])
            self.assertEqual(1, said.count("\n"), said)
            self.assertIn(f"{CAPABILITIES[bit]} missing", said)
        self.assertIn("CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF missing", self._as_nobody([]))

    def _as_nobody(self, capabilities: list[int]) -> str:
        bits = ",".join(map(str, capabilities))
        command = [sys.executable, "-c", AS_NOBODY, str(ROOT), TAP, bits]
        done = self.bed.call(
            lambda: subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        )
        self.assertEqual("", done.stderr)
        return done.stdout

    def test_14_the_mark_is_cleared_before_a_route_is_looked_up(self) -> None:
        """A rule that sends whatever carries our mark to somewhere else sends nothing there."""

        def misroute() -> None:
            from pyroute2 import IPRoute

            with IPRoute() as route:
                route.rule("add", priority=5, fwmark=MARK, fwmask=0xFFFFFF00, table=99)
                route.route("add", dst="10.9.0.0/24", gateway="10.9.0.13", oif=self.bed.uplink, table=99)

        self.bed.call(misroute)
        self.bed.route(0, 1, 2)
        with closing(self.sender()) as sender:
            sender.send(b"x")
        frames = self.bed.await_caught(3)
        self.assertEqual([mac_of(peer) for peer in range(3)], sorted(frame[:6] for frame in frames))

    def test_14_another_s_packet_with_our_mark_is_not_sent_anywhere(self) -> None:
        self.bed.route(0)
        with closing(self.sender()) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK | 1)
            sender.connect(("239.9.9.9", 5004))
            sender.send(bytes(200))
        self.assertEqual([], self.bed.call(self.bed.caught))
        self.assertEqual({Reason.FAILED: 1}, self.bed.reasons())


class ManyPeers(Case):
    peers = 80

    def test_15_sixty_four_destinations_of_a_few_packets_all_get_them(self) -> None:
        """Few, as a burst of 32 times 64 overflows a veth's backlog: the test's loss, not the program's."""
        everybody = tuple(range(FAN_OUT))
        self.bed.route(*everybody, flags=RouteFlag.LOCAL)
        with closing(self.sender()) as sender:
            for _ in range(4):
                sender.send(b"x" * 1316)
        copies = [opened(f, self.bed.uplink_mac) for f in self.bed.await_caught(4 * 64)]
        self.assertEqual(sorted(everybody * 4), sorted(copy.peer for copy in copies))
        for peer in everybody:
            numbers = [DataHeader.parse(c.message).sequence for c in copies if c.peer == peer]
            self.assertEqual([0, 1, 2, 3], numbers)
        self.assertEqual(
            63, len(self.arrives(message(token=OUR_TOKEN + 5), 5)), "all but the one that it came from"
        )

    def test_15_sixty_five_are_refused_by_whoever_fills_the_map(self) -> None:
        with self.assertRaises(NoFastPath) as refused:
            self.bed.route(*range(65))
        self.assertEqual("65 destinations, and the fast path serves 64", str(refused.exception))


class Guards(Case):
    """What is not in that list, and matters."""

    def test_no_more_copies_wait_in_the_tap_s_queue_than_leave_room_for_igmp(self) -> None:
        """Whoever looks at a stream and is too slow for it misses some; who receives it does not."""
        self.bed.route(1, flags=RouteFlag.COPY)
        tables = self.bed.tables

        def came(first: int, count: int) -> dict[Reason, int]:
            return self.bed.moved(lambda: [self.arrives(message(first + n)) for n in range(count)])

        left = tables.left_at(GATE_OF_COPIES)
        self.assertEqual({Reason.COPIED: COPIES_WAITING, Reason.NOT_COPIED: 10}, came(1, COPIES_WAITING + 10))
        tables.open_gate(GATE_OF_COPIES, left + 5)
        self.assertEqual({Reason.COPIED: 5, Reason.NOT_COPIED: 3}, came(1_000, 8))
        self.assertEqual(COPIES_WAITING + 5, tables.left_at(GATE_OF_COPIES) - left)
        self.assertEqual(COPIES_WAITING + 18, tables.counts()[SENT + 1].packets)

    def test_when_the_lease_ends_everything_goes_up(self) -> None:
        self.bed.route(1)
        self.bed.renew(60)
        self.assertEqual(1, len(self.arrives(message(1))))
        self.bed.renew(0.1)
        limit = time.monotonic() + 5
        began = time.monotonic()
        number = 1
        while time.monotonic() < limit:
            number += 1
            if not self.arrives(message(number)):
                break
        self.assertLess(time.monotonic() - began, 4, "forwarding stops by itself")
        self.assertEqual(1, self.bed.reasons()[Reason.USER_LEASE])
        self.assertEqual(message(number), self.bed.left()[-1], "and user space has it")
        run, _ = self.bed.show(self.bed.tables.tap_egress, MULTICAST + inner_packet(b"x"))
        self.assertEqual((NEXT, 2), (run.verdict, self.bed.reasons()[Reason.USER_LEASE]))
        self.bed.renew(10)
        self.assertEqual(1, len(self.arrives(message(number + 1))))

    def test_one_word_makes_all_routes_invalid(self) -> None:
        self.bed.route(1)
        self.bed.renew(generation=8)
        self.assertEqual([], self.arrives(message()))
        self.assertEqual({Reason.USER_GENERATION: 1}, self.bed.reasons())

    def test_a_route_keeps_to_the_link_that_it_came_over(self) -> None:
        key = self.bed.route(1, 2, link=0)
        self.assertEqual(2, len(self.arrives(message())))
        self.assertEqual([], self.arrives(message(token=OUR_TOKEN + 3), 3))
        self.assertEqual((1, 1), (self.bed.route_count(key).packets, self.bed.route_count(key).other_link))
        run, _ = self.bed.show(self.bed.tables.tap_egress, MULTICAST + inner_packet(b"x"))
        self.assertEqual(NEXT, run.verdict)

    def test_the_most_exact_route_is_taken(self) -> None:
        self.bed.route(1, source=0)
        self.assertEqual([1], [opened(f, b"").peer for f in self.arrives(message())])
        self.bed.route(2)
        self.assertEqual([2], [opened(f, b"").peer for f in self.arrives(message())])
        self.bed.route(3, origin=THEIRS)
        self.assertEqual([3], [opened(f, b"").peer for f in self.arrives(message())])

    def test_numbers_go_on_when_a_route_is_replaced(self) -> None:
        key = self.bed.route(0)
        with closing(self.sender()) as sender:
            for peers in ((0,), (0, 1), (1,)):
                self.bed.tables.set_route(key, self.bed.routes[key]._replace(peers=peers))
                sender.send(b"x")
        frames = self.bed.await_caught(4)
        self.assertEqual([0, 1, 1, 2], [DataHeader.parse(opened(f, b"").message).sequence for f in frames])

    def test_our_own_packets_and_strangers_and_wrong_tokens_go_nowhere(self) -> None:
        self.bed.route(1)
        self.assertEqual([], self.arrives(message(origin=ORIGIN)))
        self.assertEqual([], self.arrives(message(token=OUR_TOKEN + 1)))
        self.assertEqual([], self.arrives(message(), sport=PORT + 1))
        self.assertEqual(
            {Reason.FROM_OURSELVES: 1, Reason.WRONG_TOKEN: 1, Reason.USER_UNKNOWN_LINK: 1}, self.bed.reasons()
        )

    def test_outer_options_fragments_and_vlan_tags_are_the_kernel_s(self) -> None:
        self.bed.route(1)
        ports = b"\x11\xf8\x11\xf8"  # options that look like our ports where those would be
        for chosen in ({"options": ports}, {"fragment": 0x2000}, {"fragment": 5}):
            self.assertEqual([], self.arrives(message(), **chosen))
        self.assertEqual({}, self.bed.reasons())
        frame = outer(message(), 0, self.bed.uplink_mac)
        self.bed.inject(frame[:12] + b"\x81\x00\x00\x05" + frame[12:])
        self.bed.inject(bytes.fromhex("02fefefefefe") + frame[6:])
        self.assertEqual([], self.bed.call(self.bed.caught))
        self.assertEqual(0, sum(self.bed.tables.counts()[SENT + 1]))

    def test_a_damaged_outer_header_is_left_to_the_kernel(self) -> None:
        self.bed.route(1)
        frame = bytearray(outer(message(), 0, self.bed.uplink_mac))
        frame[22] ^= 1  # TTL
        self.bed.inject(bytes(frame))
        self.assertEqual([], self.bed.call(self.bed.caught))
        self.assertEqual({Reason.USER_SHAPE: 1}, self.bed.reasons())

    def test_a_checksum_that_no_device_has_completed_yet_is_not_wrapped(self) -> None:
        """From a container behind a bridged TAP: in user space it would stay wrong for ever."""
        self.bed.route(0, 1)

        def send() -> None:
            inner = inner_packet(b"x" * 50)
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as tap:
                tap.setsockopt(263, 15, 1)
                tap.bind((TAP, 0))
                tap.send(struct.pack("<BBHHHH", 1, 0, 0, 0, 34, 6) + MULTICAST + inner)
                self.bed.open_gates()
                tap.send(struct.pack("<BBHHHH", 0, 0, 0, 0, 0, 0) + MULTICAST + inner)

        self.bed.call(send)
        self.assertEqual(2, len(self.bed.await_caught(2)))
        self.assertEqual(1, self.bed.reasons()[Reason.USER_CHECKSUM])

    def test_outer_lengths_that_disagree_are_left_to_the_kernel(self) -> None:
        self.bed.route(1)
        for wrong in (-4, -1, 1, 4):
            self.assertEqual([], self.arrives(message(), udp_length=8 + len(message()) + wrong))
        self.assertEqual({Reason.USER_SHAPE: 4}, self.bed.reasons())

    def test_fragments_for_here_go_up_where_user_space_joins_them(self) -> None:
        self.bed.route(1, flags=RouteFlag.LOCAL | RouteFlag.WHOLE)
        self.assertEqual([], self.arrives(message(inner=inner_packet(b"x" * 64, fragment=0x2000))))
        self.bed.open_gates()
        self.assertEqual(1, len(self.arrives(message())))

    def test_a_route_of_user_space_stays_there(self) -> None:
        self.bed.route(1, flags=RouteFlag.USER)
        self.assertEqual([], self.arrives(message()))
        self.assertEqual({Reason.USER_ROUTE: 1}, self.bed.reasons())

    def test_igmp_to_the_group_itself_goes_up(self) -> None:
        """IGMPv2 reports do (RFC 2236, 9)."""
        self.bed.route(1)
        run, _ = self.bed.show(
            self.bed.tables.tap_egress, MULTICAST + inner_packet(b"\x16" + bytes(7), protocol=2)
        )
        self.assertEqual((NEXT, {Reason.USER_IGMP: 1}), (run.verdict, self.bed.reasons()))

    def test_this_host_gets_it_with_the_hop_limit_as_ttl(self) -> None:
        self.bed.route(1, flags=RouteFlag.LOCAL)
        receiver = self.bed.socket()
        self.addCleanup(receiver.close)
        receiver.bind(("239.1.1.1", 5004))
        request = struct.pack("=4s4si", socket.inet_aton("239.1.1.1"), bytes(4), self.bed.tap_index)
        self.bed.call(receiver.setsockopt, socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        receiver.setsockopt(socket.IPPROTO_IP, 12, 1)
        receiver.settimeout(5)
        source = 0x0A580009
        self.bed.route(1, flags=RouteFlag.LOCAL, source=source)
        for hop_limit, copies in ((9, 1), (1, 0)):
            inner = inner_packet(b"hello", source=source)
            sent = self.arrives(message(inner=inner, source=source, hop_limit=hop_limit))
            self.assertEqual(copies, len(sent))
            payload, extra, _, _ = receiver.recvmsg(2048, 64)
            self.assertEqual((b"hello", hop_limit), (payload, struct.unpack("i", extra[0][2][:4])[0]))

    def test_somebody_else_s_programs_on_the_devices_go_on_working(self) -> None:
        """Theirs was there first, so it sees everything; what it lets pass is ours; and it survives ours."""
        theirs = Bed()  # a program that counts what it has no route for, and lets it pass
        self.addCleanup(theirs.close)
        bed, program = self.bed, theirs.tables.up_ingress
        bed.call(bed.hooks.pop().detach)
        other = bed.call(attach, program, bed.uplink, INGRESS, "other")
        ours = bed.call(attach, bed.tables.up_ingress, bed.uplink, INGRESS, TAP)
        bed.route(1)
        self.assertEqual(1, len(self.arrives(message())))
        self.assertEqual(({Reason.USER_NO_ROUTE: 1}, []), (theirs.reasons(), bed.left()))
        bed.call(ours.detach)
        self.assertEqual([], self.arrives(message()))
        self.assertEqual(({Reason.USER_NO_ROUTE: 2}, 1), (theirs.reasons(), len(bed.left())))
        bed.call(other.detach)
