"""What the kernel forwards and this process wants, or looks at."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import ANY, Channel
from multicastmw.core.copies import ETHERTYPE_COPY, SECRET_SIZE, Copies
from multicastmw.core.fastpath.tables import GATE_OF_COPIES
from multicastmw.core.packet import FRAME_START, Packet
from multicastmw.core.routing import EVERY, Router
from multicastmw.wire import data
from tests.core.fastpath.memory import MemoryTables

GROUP, SOURCE = 0xEF010101, 0x0A580002
HERE, THERE = 0x1111_2222_3333_0001, 0x4444_5555_6666_0002
SECRET = b"secret"
INNER = b"E" + bytes(40)


class Taker:
    """Keeps what it gets."""

    def __init__(self, router: Router, name: str, local: bool = True) -> None:
        self.name = name
        self.local = local
        self.got: list[tuple[int, int, int, bytes, int]] = []
        router.attach(self)

    def deliver(self, packet: Packet) -> None:
        head = data.DataHeader.parse(packet.message)
        inner = bytes(packet.view[data.HEADER_SIZE : data.HEADER_SIZE + packet.length])
        self.got.append((head.origin, head.sequence, packet.hop_limit, inner, packet.kind))

    def others_changed(self, channel: Channel) -> None:
        """Nobody is asked."""


def frame(message: bytes, secret: bytes = SECRET) -> bytes:
    return bytes(6) + secret + ETHERTYPE_COPY.to_bytes(2, "big") + bytes(28) + message


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.router = Router()
        self.tap, self.here, self.observer = (
            Taker(self.router, name) for name in ("tap", "here", "observer")
        )
        self.link = Taker(self.router, "link", local=False)
        for taker in (self.tap, self.here, self.link):
            self.router.subscribe(taker, Channel(GROUP, ANY))
        self.router.observe(self.observer, GROUP)
        self.router.route(Channel(GROUP, SOURCE))
        self.copies = Copies(self.router, HERE, self.tap, SECRET)

    def accept(self, message: bytes, **more: Any) -> bool:
        packet, arrived = Packet(), frame(message, **more)
        packet.view[FRAME_START : FRAME_START + len(arrived)] = arrived
        return self.copies.accept(packet, len(arrived))

    def message(self, origin: int = THERE, **more: Any) -> bytes:
        told = {"token": 0, "origin": origin, "group": GROUP, "source": SOURCE, "sequence": 5, "hop_limit": 9}
        return data.build(INNER, **(told | more))


class ACopy(Case):
    def test_goes_to_who_wants_it_or_looks_in_this_process_and_to_nobody_else(self) -> None:
        self.assertTrue(self.accept(self.message()))
        expected = [(THERE, 5, 9, INNER, data.IPV4)]
        self.assertEqual([expected, expected, [], []],
                         [who.got for who in (self.here, self.observer, self.tap, self.link)])  # fmt: skip

    def test_of_a_packet_from_here_has_the_hops_that_it_had(self) -> None:
        self.accept(self.message(origin=HERE))
        self.assertEqual([(HERE, 5, 10, INNER, data.IPV4)], self.here.got)

    def test_without_the_secret_is_none(self) -> None:
        self.assertFalse(self.accept(self.message(), secret=b"secreT"))
        self.assertEqual(SECRET_SIZE, len(SECRET))
        self.assertEqual([], self.here.got)

    def test_whose_lengths_lie_is_none(self) -> None:
        message = bytearray(self.message())
        for length in (0, 3, 4, 4 + len(INNER) + 4, 0xFFFF):
            message[56:58] = length.to_bytes(2, "big")
            self.assertFalse(self.accept(bytes(message)), length)
        for size in range(len(self.message())):
            if size < data.HEADER_SIZE + len(INNER):
                self.assertFalse(self.accept(self.message()[:size]), size)
        self.assertEqual([], self.here.got)

    def test_of_what_nobody_knows_any_more_goes_nowhere(self) -> None:
        self.assertTrue(self.accept(self.message(group=GROUP + 1)))
        self.assertEqual([], self.observer.got)

    def test_is_seen_once_by_who_both_wants_it_and_looks(self) -> None:
        self.router.observe(self.here, EVERY)
        self.accept(self.message())
        self.assertEqual(1, len(self.here.got))


class Beacons(Case):
    def test_the_mesh_is_told_of_beacons_by_the_keys_of_their_streams(self) -> None:
        told: list[tuple[float, ...]] = []
        self.copies.beacon = lambda *what: told.append(what)
        self.accept(self.message())
        self.accept(self.message(flags=data.NUMBERED_BY_KERNEL))
        self.assertEqual([], told)
        self.accept(self.message(flags=data.BEACON))
        self.accept(self.message(flags=data.BEACON | data.NUMBERED_BY_KERNEL, sequence=6))
        self.accept(self.message(flags=data.BEACON), secret=b"secreT")
        one_count, other = (THERE, GROUP, SOURCE, 5, 0.0), (THERE ^ 1, GROUP, SOURCE, 6, 0.0)
        self.assertEqual([one_count, other], told)
        self.assertEqual(4, len(self.observer.got))


class ATurnOfTheReader(Case):
    """How many have come, the kernel is told after each."""

    def setUp(self) -> None:
        super().setUp()
        self.tables = MemoryTables(lambda: 0.0)
        self.tables.left[GATE_OF_COPIES] = 7  # of an earlier time
        self.copies.start(self.tables)

    def put(self, count: int) -> None:
        self.tables.left[GATE_OF_COPIES] += count

    def turn(self, come: int, drained: bool, meanwhile: int = 0) -> int:
        """How many the kernel takes to wait yet after one that read so many."""
        self.copies.begin()
        for _ in range(come):
            self.assertTrue(self.accept(self.message()))
        self.put(meanwhile)
        self.copies.end(drained)
        return self.tables.left[GATE_OF_COPIES] - self.tables.seen[GATE_OF_COPIES]

    def test_at_first_none_waits(self) -> None:
        self.assertFalse(self.tables.is_shut(GATE_OF_COPIES))

    def test_counts_what_came(self) -> None:
        self.put(100)
        self.assertEqual([60, 20, 0], [self.turn(40, False), self.turn(40, False), self.turn(20, True)])

    def test_takes_for_lost_what_was_put_there_before_it_found_nothing_any_more(self) -> None:
        self.put(100)
        self.assertEqual(0, self.turn(30, True))

    def test_waits_for_what_was_put_there_meanwhile(self) -> None:
        self.put(10)
        self.assertEqual([3, 0], [self.turn(10, True, meanwhile=3), self.turn(3, True)])

    def test_is_told_to_nobody_while_the_fast_path_is_off(self) -> None:
        self.copies.stop()
        self.put(5)
        self.assertEqual(5, self.turn(5, True))
