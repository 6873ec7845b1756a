"""Runs over real sockets: what the kernel cuts and merges is what would have come one by one."""

import ctypes
import errno
import fcntl
import select
import socket
import struct
import subprocess
import threading
from itertools import chain
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.room import RoomCounters
from multicastmw.core.run import Outgoing, Run
from multicastmw.core.ways import LinkCounters
from multicastmw.net import udp
from multicastmw.net.udp import SHORTEST, DataPort, PeerSocket
from tests.net.namespace import Namespace, why_not
from tests.net.test_udp import Case, Holder, Reactor, message

TOKEN, STRANGERS = 11, 12
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
ROWS = st.tuples(st.integers(1, 1400), st.sampled_from((1, 1, 2, 3, 12, 64))).map(
    lambda row: [row[0]] * row[1]
)
SIZES = st.lists(ROWS, min_size=1, max_size=5).map(lambda rows: list(chain(*rows)))


def raised(error: OSError, datagram: bytes, now: float) -> None:
    raise error


class RunCase(Case):
    """One port sends in runs; the other's connected socket takes them."""

    address = "127.0.0.1"

    def setUp(self) -> None:
        super().setUp()
        self.sender = self.connect(self.one, self.other, self.address)
        self.receiver = self.connect(self.other, self.one, self.address)
        self.holder = self.holds(self.other, TOKEN)
        self.outgoing = Outgoing()
        self.counters = LinkCounters()
        self.run_ = Run(self.sender, self.outgoing, self.counters, raised)
        self.come_alike()

    def come_alike(self) -> None:
        """From now on the receiver has seen that merging pays."""
        for each in self.rows(*[50] * (udp.ALIKE + 1)):
            self.sender.send(each)
        self.assertEqual(len(self.got()), udp.ALIKE + 1)

    def send(self, messages: list[bytes]) -> None:
        for each in messages:
            self.run_.send(memoryview(each), 0.0)
        self.outgoing.flush()

    def waiting(self) -> int:
        """Bytes that the receiver's next read gives."""
        return len(self.receiver._reader.socket.recv(65_536, socket.MSG_PEEK))

    def got(self) -> list[bytes]:
        """What the holder got since this was last asked, all of it by the connected socket."""
        self.receiver.read_waiting()
        got, self.holder.got = self.holder.got, []
        self.assertEqual({origin for _, origin in got} - {None}, set())
        return [each for each, _ in got]

    def rows(self, *sizes: int) -> list[bytes]:
        """Messages around packets of these sizes, each another."""
        return [message(TOKEN, bytes([i & 255]) * size) for i, size in enumerate(sizes)]


class Drawn(RunCase):
    @settings(deadline=None, max_examples=30)
    @given(SIZES, st.booleans())
    def test_drawn_sizes_arrive_as_the_same_datagrams_in_the_same_order(
        self, sizes: list[int], merges: bool
    ) -> None:
        self.other.merges = merges
        messages = self.rows(*sizes)
        self.send(messages)
        self.assertEqual(self.got(), messages)


class Runs(RunCase):
    def test_a_run_arrives_in_one_piece_and_is_cut(self) -> None:
        run = self.rows(*[1316] * 40, 900)
        self.assertTrue(self.sender.send_run(run))
        self.assertEqual(self.waiting(), sum(map(len, run)))
        self.assertEqual(self.got(), run)

    def test_one_read_of_many_is_a_wake_up_and_ends_with_one_call(self) -> None:
        calls = []
        self.other.done = lambda: calls.append(len(self.holder.got))
        self.send(self.rows(*[1316] * 41))
        self.receiver._reader.doRead()
        self.assertEqual(calls, [41])

    def test_each_datagram_of_a_run_shows_its_own_token(self) -> None:
        other = self.holds(self.other, STRANGERS)
        run = self.rows(*[100] * 5)
        run[1] = message(STRANGERS, bytes(100))
        run[3] = message(13, bytes(100))
        self.assertTrue(self.sender.send_run(run))
        self.assertEqual(self.got(), [run[0], run[2], run[4]])
        self.assertEqual([each for each, _ in other.got], [run[1]])
        self.assertEqual(self.other.counters.datagrams_dropped, 1)

    def test_a_short_end_of_a_run_is_dropped_as_a_short_datagram(self) -> None:
        run = self.rows(100, 100)
        self.assertTrue(self.sender.send_run([*run, run[0][: SHORTEST - 1]]))
        self.assertEqual(self.got(), run)
        self.assertEqual(self.other.counters.datagrams_short, 1)

    def test_an_empty_datagram_is_a_short_one(self) -> None:
        self.sender.send(b"")
        self.assertEqual((self.got(), self.other.counters.datagrams_short), ([], 1))

    def test_after_a_run_the_common_socket_reads_as_before(self) -> None:
        self.assertTrue(self.sender.send_run(self.rows(*[1316] * 40)))
        self.got()
        self.receiver.close()
        long = message(TOKEN, bytes(60_000))
        self.sender.send(long)
        self.settle()
        self.assertEqual(self.holder.got, [(long, (self.address, self.one.port))])


class RunsOverIPv6(Runs):
    address = "::1"


class Merging(RunCase):
    def test_datagrams_of_drawn_sizes_or_that_come_alone_do_not_begin_it(self) -> None:
        self.receiver.close()
        self.receiver = self.connect(self.other, self.one)
        for each in self.rows(*range(100, 100 + 8 * udp.BATCH, 8)):
            self.sender.send(each)
        self.got()
        for each in self.rows(*[1000] * udp.BATCH):
            self.sender.send(each)
            self.got()
        run = self.rows(*[1000] * 3)
        self.assertTrue(self.sender.send_run(run))
        self.assertEqual((self.waiting(), self.got()), (len(run[0]), run))

    def test_turned_off_what_waits_is_taken_and_what_comes_stays_single(self) -> None:
        run = self.rows(*[1000] * 30)
        for _ in range(5):
            self.assertTrue(self.sender.send_run(run))
        self.other.merges = False
        self.assertEqual(len(self.holder.got), 5 * 30)
        self.assertTrue(self.sender.send_run(run))
        self.assertEqual(self.waiting(), len(run[0]))
        self.assertEqual(self.got()[-30:], run)
        self.assertEqual((self.other.counters.datagrams_dropped, self.other.merges), (0, False))

    def test_turned_on_again_they_are_merged(self) -> None:
        self.other.merges = False
        self.other.merges = True
        self.come_alike()
        run = self.rows(*[1000] * 30)
        self.assertTrue(self.sender.send_run(run))
        self.assertEqual(self.waiting(), 30 * len(run[0]))
        self.assertEqual(self.got(), run)

    def test_a_socket_that_is_opened_later_does_as_its_port(self) -> None:
        self.other.merges = False
        self.receiver.close()
        self.receiver = self.connect(self.other, self.one)
        self.come_alike()
        run = self.rows(*[1000] * 3)
        self.assertTrue(self.sender.send_run(run))
        self.assertEqual(self.waiting(), len(run[0]))

    def test_turned_off_nothing_leaves_in_one_piece(self) -> None:
        self.come_alike()
        self.one.merges = False
        run = self.rows(*[1000] * 3)
        self.assertFalse(self.sender.send_run(run))
        self.send(run)
        self.assertEqual((self.waiting(), self.got()), (len(run[0]), run))

    def test_a_kernel_that_merges_nothing_is_read_one_by_one(self) -> None:
        self.patch(udp, "UDP_GRO", 0x7777)  # an option that it does not know
        self.receiver.close()
        self.receiver = self.connect(self.other, self.one)
        self.come_alike()
        run = self.rows(*[1000] * 3)
        self.assertTrue(self.sender.send_run(run))
        self.assertEqual((self.waiting(), self.got()), (len(run[0]), run))


class Cutting(RunCase):
    def test_what_the_kernel_does_not_cut_goes_one_by_one_for_good(self) -> None:
        too_many = self.rows(*[1] * 300)  # which it says as it says that it knows no UDP_SEGMENT
        self.assertEqual((self.sender.send_run(too_many), self.got()), (False, []))
        messages = self.rows(*[1000] * 20)
        self.send(messages)
        self.assertEqual(self.waiting(), len(messages[0]))
        self.assertEqual(self.got(), messages)
        self.assertEqual(self.counters.sent, 20)


class Cable:
    """Two hosts, a veth between them that computes no checksums, and a port on each."""

    def __init__(self) -> None:
        self.left, self.right = Namespace(), Namespace()
        self.right.run(run_ip, "link", "set", "lo", "up")
        self.left.run(run_ip, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        there = self.right.run(threading.get_native_id)
        self.left.run(run_ip, "link", "set", "v1", "netns", str(there))
        for space, name, address in ((self.left, "v0", "10.9.0.1"), (self.right, "v1", "10.9.0.2")):
            space.run(run_ip, "addr", "add", f"{address}/24", "dev", name)
            space.run(run_ip, "link", "set", name, "up")
            space.run(no_checksums, name)

    def close(self) -> None:
        self.left.close()
        self.right.close()


def run_ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True)


def no_checksums(device: str) -> None:
    """`ethtool -K DEVICE tx off`."""
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        fcntl.ioctl(asker, SIOCETHTOOL, struct.pack("16sP", device.encode(), ctypes.addressof(value)))


class OverACable(SynchronousTestCase):
    skip = why_not()

    def setUp(self) -> None:
        self.cable = Cable()
        self.addCleanup(self.cable.close)

    def port(self, space: Namespace) -> DataPort:
        reactor: Any = Reactor()
        port = DataPort(4600, reactor, lambda: 7.0, {}, RoomCounters(), lambda: None, lambda event: None)
        space.run(port.open)
        self.addCleanup(port.close)
        return port

    def connect(self, space: Namespace, port: DataPort, local: str, remote: str) -> PeerSocket:
        connected = space.run(port.connect, local, (remote, 4600))
        self.addCleanup(connected.close)
        return connected

    def test_without_checksum_offload_the_same_datagrams_arrive(self) -> None:
        left, right = self.port(self.cable.left), self.port(self.cable.right)
        sender = self.connect(self.cable.left, left, "10.9.0.1", "10.9.0.2")
        receiver = self.connect(self.cable.right, right, "10.9.0.2", "10.9.0.1")
        right.links[TOKEN] = holder = Holder()
        run, outgoing = [], Outgoing()
        out = Run(sender, outgoing, LinkCounters(), raised)
        for i in range(100):
            run.append(message(TOKEN, bytes([i]) * (1316 if i % 20 else 500)))
            out.send(memoryview(run[-1]), 0.0)
        outgoing.flush()
        reader = receiver._reader
        while len(holder.got) < len(run) and select.select([reader.fileno()], [], [], 10)[0]:
            reader.doRead()
        self.assertEqual([each for each, _ in holder.got], run)

    def test_what_is_too_long_for_the_way_is_not_cut_and_costs_no_later_run(self) -> None:
        left = self.port(self.cable.left)
        sender = self.connect(self.cable.left, left, "10.9.0.1", "10.9.0.2")
        self.assertFalse(sender.send_run([message(TOKEN, bytes(1600))] * 3))
        with self.assertRaises(OSError) as caught:
            sender.send(message(TOKEN, bytes(1600)))
        self.assertEqual(caught.exception.errno, errno.EMSGSIZE)
        self.assertTrue(sender.send_run([message(TOKEN, bytes(1000))] * 3))
