"""Sixteen times the input takes about sixteen times the time: what grows with its square does not pass.

The fuzzers' inputs are short, and at a kilobyte nobody sees a square.  Here each door takes its longest ones.
Processor time, the best of five; a square would be 256 times, and 160 is the bound.
"""

import os
from collections.abc import Callable
from time import thread_time

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.config import ConfigError, load
from multicastmw.core.branch import CHANNELS_MAX
from multicastmw.core.fragments import Reassembler
from multicastmw.core.igmp import IgmpSettings, Querier
from multicastmw.wire import cops, igmp
from multicastmw.wire.framing import Framer
from multicastmw.wire.igmp import Kind, Record, ReportV3
from multicastmw.wire.ipv4 import MORE_FRAGMENTS, Header
from multicastmw.wire.messages import AddRoute, Group, Node, Open, decode, encode, encode_routes
from tests.core.cable import Cable, World
from tests.fuzz.igmp import GROUPS, HOST, ROUTER
from tests.fuzz.values import PARSERS

LONG = 60_000  # bytes of a message or packet, close to the longest
BEST_OF = 5
TIMES = 16
AT_MOST = 160.0
TOO_SHORT = 0.001  # seconds that are no measure


class Growth(SynchronousTestCase):
    def grows(self, make: Callable[[int], object], run: Callable[[object], object], size: int = LONG) -> None:
        """`make` makes an input of so many bytes, or so."""
        short, long = (self.best(make, run, each) for each in (size // TIMES, size))
        ratio = long / max(short, TOO_SHORT)
        print(f"measured: {size:,} bytes in {long * 1e3:.1f} ms, {ratio:.0f} times a sixteenth of them")
        self.assertLess(ratio, AT_MOST)

    def best(self, make: Callable[[int], object], run: Callable[[object], object], size: int) -> float:
        took = []
        for _ in range(BEST_OF):
            made = make(size)
            began = thread_time()
            run(made)
            took.append(thread_time() - began)
        return min(took)

    # --- the wire

    def test_a_message_of_many_channels(self) -> None:
        self.grows(lambda n: encode(AddRoute(tuple(Group(i, i) for i in range(n // 20)))), decode)

    def test_a_message_of_many_named_nodes(self) -> None:
        self.grows(lambda n: encode(AddRoute(tuple(Node(i, f"n{i}") for i in range(n // 24)))), decode)

    def test_a_message_of_many_unknown_objects(self) -> None:
        self.grows(
            lambda n: cops.frame(cops.Op.CLOSE, cops.pack_object(200, 1, b"") * (n // 4)), self.refused
        )

    def refused(self, message: object) -> None:
        self.assertRaises(cops.PeerError, decode, message)

    def test_a_message_that_comes_in_single_bytes(self) -> None:
        def feed(message: object) -> None:
            framer = Framer()
            for at in range(len(message)):
                list(framer.feed(message[at : at + 1]))

        self.grows(lambda n: cops.frame(cops.Op.CLOSE, bytes(n // 4 * 4)), feed)

    def test_many_short_messages_at_once(self) -> None:
        self.grows(
            lambda n: cops.frame(cops.Op.KEEP_ALIVE, b"") * (n // 8),
            lambda stream: sum(map(len, Framer().feed(stream))),
            16 * LONG,
        )

    # --- IGMP and fragments

    def report(self, size: int, sources: int) -> bytes:
        one = 8 + 4 * sources
        records = (
            Record(Kind.ALLOW, GROUPS[0] + i, tuple(range(HOST, HOST + sources))) for i in range(size // one)
        )
        return igmp.pack(ReportV3(tuple(records)), HOST, GROUPS[0])

    def test_a_report_of_many_records(self) -> None:
        self.grows(lambda n: self.report(n, 0), igmp.unpack)

    def test_a_report_of_many_sources_to_the_querier(self) -> None:
        for sources in (1, 60, 1000):
            self.grows(lambda n, sources=sources: self.report(n, sources), self.heard)

    def heard(self, packet: object) -> None:
        querier = Querier(IgmpSettings(), ROUTER)
        querier.start(0.0)
        querier.accept(packet, 0.0)
        querier.tick(querier.deadline())
        querier.tick(100.0)

    def test_a_packet_in_pieces_of_eight_bytes(self) -> None:
        def pieces(size: int) -> list[bytes]:
            head = Header(0, 28, 7, 0, 9, 17, 1, 2)
            offsets = range(size // 8, 0, -1)  # the last one first: each is put in front of all the others
            return [head._replace(flags_and_offset=MORE_FRAGMENTS | at).build() + bytes(8) for at in offsets]

        def join(made: object) -> None:
            joins = Reassembler()
            for piece in made:
                joins.accept(piece, 0.0)

        self.grows(pieces, join)

    # --- a link

    def test_many_channels_over_a_link(self) -> None:
        def told(size: int) -> tuple[World, Cable, list[bytes]]:
            world = World()
            node = world.node("a")
            cable = Cable(world, None, node, chunk=1 << 16)
            cable.dialling.says(encode(Open("b", 1 << 16, 3600)))
            world.run(0.1)
            return world, cable, encode_routes(AddRoute, [Group(i >> 3, i & 7) for i in range(size // 20)])

        def tell(made: object) -> None:
            world, cable, messages = made
            cable.dialling.says(*messages)
            world.run(0.1)
            cable.dialling.abort()
            world.run(0.1)
            self.assertEqual(cable.world.nodes[0].router.wanted(), [])

        self.grows(told, tell, CHANNELS_MAX * 20)

    # --- node.ini

    def test_a_long_file(self) -> None:
        descriptor = os.memfd_create("node.ini")
        self.addCleanup(os.close, descriptor)

        def read(text: object) -> None:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text.encode(), 0)
            try:
                load(f"/proc/self/fd/{descriptor}", "host")
            except ConfigError as error:
                self.assertLessEqual(len(str(error)), 500)

        for line in (
            "[groups]\ndeny = {}\n".format("\n  ".join(["239.1.1.1"] * 2)),
            "[peer:p{0}]\nendpoint = tcp:b:1\n",
            "x{0} = 1\n",
            "# {0}\n",
            "[tap{0}]\n",
            " {0}\n",
        ):
            self.grows(lambda n, line=line: "".join(line.format(i) for i in range(n // len(line))), read)

    def test_a_long_value_of_any_option(self) -> None:
        for parse in {parse.__qualname__: parse for parse in PARSERS}.values():  # one of each kind
            for word in ("239.1.1.1 ", "tcp:", "a", ":=", "\\:", "\t "):

                def parsed(text: object, parse: Callable[[str], object] = parse) -> None:
                    try:
                        parse(text)
                    except ValueError as error:
                        self.assertLess(len(str(error)), 500)

                self.grows(lambda n, word=word: word * (n // len(word)), parsed)
