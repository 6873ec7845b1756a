"""Data sockets on the loopback: who a datagram is from is said by its token alone."""

import socket
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from multicastmw.core.packet import Packet
from multicastmw.core.room import RoomCounters
from multicastmw.net import udp
from multicastmw.net.udp import DataPort, PeerSocket
from multicastmw.wire import data
from multicastmw.wire.messages import Echo, KeepAlive, encode


class Reactor:
    """Calls the readers that have something, when it is asked to."""

    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


class Holder:
    """A link as a datagram sees it."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, tuple[str, int] | None]] = []

    def datagram_received(self, packet: Packet, size: int, origin: tuple[str, int] | None) -> None:
        self.got.append((bytes(packet.buffer[:size]), origin))


def free_port() -> int:
    """One that is free in both families, for now."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asker:
        asker.bind(("::", 0))
        return int(asker.getsockname()[1])


def message(token: int, inner: bytes = b"inner") -> bytes:
    return data.build(inner, token=token, origin=1, group=2, source=3, sequence=4)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.notes: list[Any] = []
        self.one, self.other = self.opened(free_port()), self.opened(free_port())

    def port(self, number: int) -> DataPort:
        return DataPort(
            number, self.reactor, lambda: 7.0, {}, RoomCounters(), lambda: None, self.notes.append
        )

    def opened(self, number: int) -> DataPort:
        port = self.port(number)
        port.open()
        self.addCleanup(port.close)
        return port

    def holds(self, port: DataPort, token: int) -> Holder:
        holder = Holder()
        port.links[token] = holder
        return holder

    def connect(self, local: DataPort, remote: DataPort, address: str = "127.0.0.1") -> PeerSocket:
        connected = local.connect(address, (address, remote.port))
        self.addCleanup(lambda: connected._reader in self.reactor.readers and connected.close())
        return connected

    def settle(self) -> None:
        for _ in range(3):
            time.sleep(0)  # the loopback delivers before `send` returns; let a busy machine do so too
            for reader in list(self.reactor.readers):
                reader.doRead()

    def read(self, reader: Any) -> None:
        reader.doRead()


class Tokens(Case):
    def test_two_ports_talk_and_the_token_says_who_is_meant(self) -> None:
        for address in ("127.0.0.1", "::1"):
            holders = {token: self.holds(self.other, token) for token in (11, 12)}
            sender = self.connect(self.one, self.other, address)
            for token in (11, 12, 12):
                sender.send(message(token))
            self.settle()
            self.assertEqual([len(h.got) for h in holders.values()], [1, 2])
            self.assertEqual(holders[11].got, [(message(11), (address, self.one.port))])
            sender.close()

    def test_a_wrong_token_or_a_short_datagram_is_dropped_unseen(self) -> None:
        holder = self.holds(self.other, 11)
        sender = self.connect(self.one, self.other)
        sender.send(message(11))
        self.settle()
        sender.send(message(11)[:19])  # the buffer still has the right token in it
        sender.send(b"")
        sender.send(message(13))
        self.settle()
        counters = self.other.counters
        self.assertEqual((len(holder.got), counters.datagrams_dropped, counters.datagrams_short), (1, 1, 2))

    def test_a_probe_has_its_token_where_data_have_theirs(self) -> None:
        holder = self.holds(self.other, 2**64 - 1)
        self.connect(self.one, self.other).send(encode(KeepAlive(2**64 - 1, Echo(1, 5))))
        self.settle()
        self.assertEqual(len(holder.got), 1)

    def test_a_connected_socket_takes_its_peers_datagrams_and_leaves_those_of_others(self) -> None:
        holder = self.holds(self.one, 5)
        mine = self.connect(self.one, self.other)
        theirs = self.connect(self.other, self.one)
        theirs.send(message(5))
        self.settle()
        self.assertEqual(holder.got.pop(), (message(5), None))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", 0))
            stranger.sendto(message(5), ("127.0.0.1", self.one.port))
            self.settle()
            self.assertEqual(holder.got.pop(), (message(5), stranger.getsockname()))
        self.assertEqual(mine.remote, ("127.0.0.1", self.other.port))

    def test_many_peers_at_one_port_each_have_their_own_socket(self) -> None:
        peers = [self.opened(free_port()) for _ in range(5)]
        holders = [self.holds(self.one, 100 + i) for i in range(5)]
        for peer in peers:
            self.connect(self.one, peer)
        for i, peer in enumerate(peers):
            self.connect(peer, self.one).send(message(100 + i))
        self.settle()
        self.assertEqual([holder.got for holder in holders], [[(message(100 + i), None)] for i in range(5)])

    def test_repointed_it_sends_to_and_hears_from_the_new_place(self) -> None:
        holder, late = self.holds(self.one, 5), self.opened(free_port())
        far = self.holds(late, 6)
        mine = self.connect(self.one, self.other)
        mine.repoint(("127.0.0.1", late.port))
        mine.send(message(6))
        self.connect(late, self.one).send(message(5))
        self.settle()
        self.assertEqual((len(far.got), holder.got), (1, [(message(5), None)]))
        self.assertEqual(mine.remote, ("127.0.0.1", late.port))

    def test_one_wake_up_reads_many_datagrams_but_not_all_day(self) -> None:
        holder = self.holds(self.other, 5)
        sender = self.connect(self.one, self.other)
        for _ in range(udp.BATCH + 10):
            sender.send(message(5))
        for reader in self.other._common:
            reader.doRead()
        self.assertEqual(len(holder.got), udp.BATCH)

    def test_the_longest_datagram_passes_and_a_longer_one_is_emsgsize(self) -> None:
        holder = self.holds(self.other, 5)
        sender = self.connect(self.one, self.other)
        sender.send(message(5, bytes(65_444)))
        self.settle()
        self.assertEqual(len(holder.got[0][0]), 65_504)
        with self.assertRaises(OSError) as caught:
            sender.send(bytes(65_510))
        self.assertEqual(caught.exception.errno, 90)

    def test_an_icmp_error_is_an_error_of_one_send_and_of_no_read(self) -> None:
        sender = self.one.connect("127.0.0.1", ("127.0.0.1", free_port()))
        sender.send(message(5))
        self.settle()
        sender.close()


class IcmpErrors(TestCase):
    """In a real reactor, to which an error is the end of a descriptor."""

    @inlineCallbacks
    def test_after_one_the_peers_datagrams_are_still_read(self) -> Any:
        port = DataPort(
            free_port(), reactor, lambda: 7.0, {}, RoomCounters(), lambda: None, lambda event: None
        )
        port.open()
        self.addCleanup(port.close)
        holder = port.links[5] = Holder()
        place = ("127.0.0.1", free_port())
        connected = port.connect("127.0.0.1", place)
        self.addCleanup(connected.close)
        for turn in range(3):
            connected.send(message(9))  # nobody is there: ICMP says so
            yield deferLater(reactor, 0.05, lambda: None)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.bind(place)
                peer.sendto(message(5), ("127.0.0.1", port.port))
            for _ in range(200):
                if len(holder.got) > turn:
                    break
                yield deferLater(reactor, 0.01, lambda: None)
            self.assertEqual(holder.got, [(message(5), None)] * (turn + 1))


class Sockets(Case):
    def test_a_port_that_another_program_has_is_an_oserror(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
            another.bind(("0.0.0.0", 0))
            self.assertRaises(OSError, self.port(another.getsockname()[1]).open)

    def test_so_is_one_that_another_node_has(self) -> None:
        """Both would share it in silence, and each would lose the datagrams that the other gets."""
        self.assertRaises(OSError, self.port(self.one.port).open)
        self.connect(self.one, self.other)
        self.assertRaises(OSError, self.port(self.one.port).open)

    def test_a_failed_open_leaves_no_reader(self) -> None:
        before = list(self.reactor.readers)
        self.assertRaises(OSError, self.port(self.one.port).open)
        self.assertEqual(self.reactor.readers, before)

    def test_a_peer_that_there_is_no_way_to_is_an_oserror(self) -> None:
        self.assertRaises(OSError, self.one.connect, "127.0.0.1", ("not-numeric.invalid", 4600))
        self.assertRaises(OSError, self.one.connect, "192.0.2.77", ("127.0.0.1", 4600))

    def test_closed_ones_are_read_no_more_and_free_the_port(self) -> None:
        port = self.opened(free_port())
        connected = port.connect("127.0.0.1", ("127.0.0.1", self.one.port))
        connected.close()
        port.close()
        self.assertRaises(OSError, connected.send, b"x")
        self.assertTrue(all(reader._port is not port for reader in self.reactor.readers))
        self.opened(port.port)

    def test_a_receive_buffer_that_is_smaller_than_asked_is_told_once_with_the_remedy(self) -> None:
        self.patch(udp, "BUFFER", 1 << 30)  # the kernel gives half of it at most
        self.notes.clear()
        port = self.opened(free_port())
        self.connect(port, self.one)
        (note,) = self.notes
        self.assertRegex(note.sentence(), r"UDP buffers of \d+ bytes instead of 1073741824.*sysctl -w net")

    def test_what_is_asked_is_what_the_kernel_says(self) -> None:
        self.notes.clear()
        self.patch(udp, "BUFFER", 100_000)
        port = self.opened(free_port())
        got = [r.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for r in port._common]
        self.assertEqual((got, self.notes), ([200_000] * 2, []))

    def test_datagrams_that_found_the_buffer_full_are_counted(self) -> None:
        self.patch(udp, "BUFFER", 5_000)
        port = self.opened(free_port())
        sender = self.connect(self.one, port)
        self.assertEqual(port.kernel_drops(), 0)
        for _ in range(50):
            sender.send(message(5, bytes(1000)))
        self.assertGreater(port.kernel_drops(), 0)
