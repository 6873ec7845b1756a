"""IGMP on the wire: the twins against the declaration, both against scapy, and nothing but BadIgmp."""

import contextlib

from construct import ConstructError
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.layers.igmp import IGMP_MQ, IGMP_MR, IGMPv2_LG, IGMPv2_MR, IGMPv3_MQ, IGMPv3_MR, IGMPv3_MR_Group
from scapy.layers.inet import IP, IPOption_Router_Alert
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire import igmp
from multicastmw.wire.igmp import BadIgmp, Kind, Leave, Query, Reason, Record, Report, ReportV3, Unknown
from multicastmw.wire.ipv4 import Header, checksum, number, text

GROUP = number("239.1.2.3")
HERE = number("10.88.0.2")
ROUTER = number("10.88.0.254")
ONE, TWO = number("192.0.2.1"), number("198.51.100.2")

addresses = st.integers(0, 0xFFFFFFFF)
words = st.binary(max_size=5).map(lambda data: data * 4)
records = st.builds(Record, st.integers(0, 255), addresses, st.lists(addresses, max_size=6).map(tuple), words)
reports = st.builds(ReportV3, st.lists(records, max_size=6).map(tuple))
queries = st.builds(
    Query,
    version=st.just(3),
    group=addresses,
    max_response=st.sampled_from(igmp.CODES).map(lambda tenths: tenths / 10),
    sources=st.lists(addresses, max_size=20).map(tuple),
    suppress=st.booleans(),
    robustness=st.integers(0, 7),
    interval=st.sampled_from(igmp.CODES).map(float),
)
v1_queries = addresses.map(lambda group: Query(1, group))
v2_queries = st.tuples(addresses, st.integers(1, 255)).map(lambda drawn: Query(2, drawn[0], drawn[1] / 10))
older = st.one_of(
    v1_queries, v2_queries, st.builds(Report, st.sampled_from((1, 2)), addresses), st.builds(Leave, addresses)
)
plain_records = st.builds(
    Record, st.sampled_from(Kind), addresses, st.lists(addresses, max_size=4).map(tuple), st.just(b"")
)


def mended(message: bytes) -> bytes:
    """The message with a right checksum, so that a test gets behind it."""
    blank = message[:2] + b"\0\0" + message[4:]
    return blank[:2] + checksum(blank).to_bytes(2, "big") + blank[4:]


def packet(message: bytes, options: bytes = igmp.ROUTER_ALERT, protocol: int = 2, fragment: int = 0) -> bytes:
    size = 20 + len(options) + len(message)
    return Header(0xC0, size, 7, fragment, 1, protocol, HERE, GROUP, options).build() + message


def scapy_packet(layer: object, source: int, destination: int) -> bytes:
    head = IP(src=text(source), dst=text(destination), ttl=1, tos=0xC0, id=0, flags="DF", proto=2)
    head.options = [IPOption_Router_Alert()]
    return bytes(head / layer)


class FloatingPointTests(SynchronousTestCase):
    def test_codes_below_128_are_themselves(self):
        self.assertEqual(igmp.CODES[:128], tuple(range(128)))

    def test_codes_from_128_on_are_those_of_the_formula(self):
        for code in range(128, 256):
            mantissa, exponent = code & 0x0F, (code & 0x70) >> 4
            self.assertEqual(igmp.CODES[code], (mantissa | 0x10) << (exponent + 3))
        self.assertEqual((igmp.CODES[128], igmp.CODES[255]), (128, 31744))

    def test_every_code_survives_both_ways(self):
        for code, value in enumerate(igmp.CODES):
            self.assertEqual((igmp.code_below(value), igmp.code_above(value)), (code, code))

    @given(st.integers(0, 31744))
    def test_a_value_between_codes_is_rounded_as_the_name_says(self, value: int):
        below, above = igmp.CODES[igmp.code_below(value)], igmp.CODES[igmp.code_above(value)]
        self.assertTrue(below <= value <= above)
        self.assertFalse([v for v in igmp.CODES if below < v < value or value < v < above])

    def test_what_is_too_long_becomes_the_longest(self):
        self.assertEqual((igmp.code_below(99_999), igmp.code_above(99_999)), (255, 255))


class TwinTests(SynchronousTestCase):
    """The declaration is the truth."""

    @given(st.one_of(reports.map(igmp.build), st.binary(min_size=7, max_size=60).map(lambda b: b"\x22" + b)))
    def test_reports_are_read_as_declared(self, message: bytes):
        message = mended(message)
        try:
            declared = tuple(
                Record(r.kind, r.group, tuple(r.sources), r.auxiliary)
                for r in igmp.REPORT.parse(message).records
            )
        except ConstructError:
            with self.assertRaises(BadIgmp):
                igmp.parse(message)
        else:
            self.assertEqual(igmp.parse(message), ReportV3(declared))

    @given(reports, st.integers(1, 200))
    def test_a_cut_report_is_refused_unless_it_says_no_more(self, report: ReportV3, cut: int):
        message = igmp.build(report)
        if cut <= len(message) - 8:
            with self.assertRaises(BadIgmp) as caught:
                igmp.parse(mended(message[:-cut]))
            self.assertEqual(caught.exception.reason, Reason.LENGTH)

    @given(queries)
    def test_queries_are_built_as_declared(self, query: Query):
        tenths, interval = round(query.max_response * 10), round(query.interval)
        declared = igmp.QUERY.build(
            {
                "code": igmp.CODES.index(tenths),
                "group": query.group,
                "flags": {"suppress": query.suppress, "robustness": query.robustness},
                "interval_code": igmp.CODES.index(interval),
                "sources": query.sources,
            }
        )
        self.assertEqual(igmp.build(query), mended(declared))

    @given(st.one_of(queries, reports, older))
    def test_what_was_built_is_read_back(self, message: igmp.Message):
        arrival = igmp.unpack(igmp.pack(message, HERE, GROUP))
        self.assertEqual(arrival[:3], (message, HERE, GROUP))


class VersionTests(SynchronousTestCase):
    def test_a_query_of_8_bytes_without_a_code_is_version_1_and_may_take_10_seconds(self):
        self.assertEqual(igmp.parse(mended(bytes.fromhex("1100000000000000"))), Query(1, 0, 10.0))

    def test_a_query_of_8_bytes_with_a_code_is_version_2_and_its_code_is_linear(self):
        self.assertEqual(igmp.parse(mended(bytes.fromhex("11ff000000000000"))), Query(2, 0, 25.5))

    def test_a_query_of_12_bytes_is_version_3_even_without_a_code(self):
        self.assertEqual(igmp.parse(mended(bytes(12).replace(b"\0", b"\x11", 1))), Query(3, 0, 0.0))

    def test_a_query_of_9_to_11_bytes_is_of_no_version(self):
        for length in (9, 10, 11):
            with self.assertRaises(BadIgmp):
                igmp.parse(mended(b"\x11\x64" + bytes(length - 2)))

    def test_reports_tell_their_version_by_the_type(self):
        for kind, message in ((0x12, Report(1, GROUP)), (0x16, Report(2, GROUP)), (0x17, Leave(GROUP))):
            self.assertEqual(igmp.parse(mended(bytes((kind, 0, 0, 0)) + GROUP.to_bytes(4, "big"))), message)

    def test_other_types_are_no_fault_of_the_sender(self):
        self.assertEqual(igmp.parse(mended(b"\x13" + bytes(7))), Unknown(0x13))
        self.assertRaises(ValueError, igmp.build, Unknown(0x13))

    def test_a_robustness_that_does_not_fit_three_bits_is_not_said(self):
        self.assertEqual(igmp.parse(igmp.build(Query(3, robustness=8))).robustness, 0)

    def test_the_shortest_response_is_not_version_1(self):
        self.assertEqual(igmp.parse(igmp.build(Query(2, max_response=0.01))).version, 2)

    def test_an_interval_with_a_fraction_is_said_longer_not_shorter(self):
        self.assertEqual(igmp.parse(igmp.build(Query(3, interval=10.5))).interval, 11)
        self.assertEqual(igmp.parse(igmp.build(Query(3, interval=130))).interval, 136)


class LengthTests(SynchronousTestCase):
    def refused(self, data: bytes) -> Reason:
        return self.assertRaises(BadIgmp, igmp.unpack, data).reason

    def test_counts_that_exceed_the_bytes_are_refused(self):
        for body in (
            "2200000000000001",  # one record, none there
            "220000000000ffff",
            "2200000000000001" + "04000001" + "ef010203",  # one source, none there
            "2200000000000001" + "0400ffff" + "ef010203" + "c0000201",
            "2200000000000001" + "04010000" + "ef010203",  # one word of auxiliary data, none there
            "1164000000000000" + "020a0001",  # a query with one source, none there
            "1164000000000000" + "020affff" + "c0000201",
        ):
            self.assertEqual(self.refused(packet(mended(bytes.fromhex(body)))), Reason.LENGTH)

    def test_auxiliary_data_is_stepped_over(self):
        message = igmp.build(ReportV3((Record(4, GROUP, (ONE,), b"auxiliar"), Record(3, GROUP + 1))))
        self.assertEqual([r.group for r in igmp.parse(message).records], [GROUP, GROUP + 1])

    def test_additional_data_is_ignored_but_in_the_checksum(self):
        for message in (Report(2, GROUP), Leave(GROUP), Query(3), ReportV3((Record(4, GROUP),))):
            longer = igmp.build(message) + b"more"
            self.assertEqual(igmp.unpack(packet(mended(longer))).message, igmp.parse(igmp.build(message)))
            self.assertEqual(self.refused(packet(longer)), Reason.CHECKSUM)

    def test_padding_behind_the_packet_is_not_part_of_it(self):
        data = igmp.pack(Report(2, GROUP), HERE, GROUP)
        self.assertEqual(igmp.unpack(data + b"\1" * 14).message, Report(2, GROUP))

    def test_less_than_8_bytes_are_no_message(self):
        for length in range(8):
            self.assertEqual(self.refused(packet(bytes(length))), Reason.LENGTH)

    def test_headers_that_lie_fragments_and_other_protocols_are_told_apart(self):
        message = igmp.build(Report(2, GROUP))
        self.assertEqual(self.refused(packet(message)[:30]), Reason.HEADER)
        self.assertEqual(self.refused(packet(message, protocol=17)), Reason.PROTOCOL)
        self.assertEqual(self.refused(packet(message, fragment=0x2000)), Reason.FRAGMENT)
        self.assertEqual(self.refused(packet(message, fragment=1)), Reason.FRAGMENT)

    @given(st.one_of(queries, reports, older), st.data())
    def test_any_flipped_bit_of_the_packet_is_noticed(self, message: igmp.Message, data: st.DataObject):
        raw = bytearray(igmp.pack(message, HERE, GROUP))
        bit = data.draw(st.integers(0, len(raw) * 8 - 1))
        raw[bit // 8] ^= 1 << bit % 8
        self.assertRaises(BadIgmp, igmp.unpack, bytes(raw))

    @given(st.binary(max_size=120))
    @example(b"")
    def test_garbage_is_only_ever_bad_igmp(self, garbage: bytes):
        for data in (garbage, packet(garbage), packet(mended(garbage)) if len(garbage) > 3 else b""):
            for kind in (bytes, bytearray, memoryview):
                with contextlib.suppress(BadIgmp):
                    igmp.unpack(kind(data))


class EnvelopeTests(SynchronousTestCase):
    def test_packets_have_ttl_1_control_precedence_and_router_alert(self):
        header = Header.parse(igmp.pack(Query(3), ROUTER, igmp.ALL_SYSTEMS))
        self.assertEqual((header.ttl, header.tos, header.protocol), (1, 0xC0, 2))
        self.assertEqual(header.options, bytes.fromhex("94040000"))
        self.assertEqual((header.source, header.destination), (ROUTER, number("224.0.0.1")))

    def test_version_1_has_no_options(self):
        for message in (Query(1), Report(1, GROUP)):
            self.assertEqual(Header.parse(igmp.pack(message, ROUTER, GROUP)).options, b"")

    def test_router_alert_is_found_wherever_it_stands(self):
        for options, there in (
            ("94040000", True),
            ("0101010194040000", True),
            ("0704000094040000", True),
            ("0000000094040000", False),  # behind the end of options
            ("07040000", False),
            ("0700000094040000", False),  # its length is a lie: the search ends somewhere, but ends
            ("07ff000094040000", False),
            ("01010194", False),
        ):
            self.assertEqual(igmp.has_router_alert(bytes.fromhex(options)), there, options)
            data = packet(igmp.build(Report(2, GROUP)), options=bytes.fromhex(options))
            self.assertEqual(igmp.unpack(data).router_alert, there)


class ScapyTests(SynchronousTestCase):
    """Somebody else's bytes, floating-point codes included."""

    def same(self, message: igmp.Message, theirs: bytes, destination: int) -> None:
        self.assertEqual(igmp.pack(message, ROUTER, destination).hex(), theirs.hex())
        self.assertEqual(igmp.unpack(theirs).message, message)

    def test_version_1_messages_are_scapys(self):
        self.assertEqual(igmp.build(Query(1)), bytes(IGMP_MQ(mrcode=0, gaddr="0.0.0.0")))
        self.assertEqual(igmp.build(Report(1, GROUP)), bytes(IGMP_MR(gaddr=text(GROUP))))

    @given(v2_queries)
    def test_version_2_queries_are_scapys(self, query: Query):
        layer = IGMP_MQ(mrcode=round(query.max_response * 10), gaddr=text(query.group))
        self.same(query, scapy_packet(layer, ROUTER, GROUP), GROUP)

    @given(addresses)
    def test_version_2_reports_and_leaves_are_scapys(self, group: int):
        for message, layer in ((Report(2, group), IGMPv2_MR), (Leave(group), IGMPv2_LG)):
            self.same(message, scapy_packet(layer(gaddr=text(group)), ROUTER, group), group)

    @given(queries)
    @example(Query(3, GROUP, 0.5, (ONE, TWO), True, 2, 10.0))
    def test_version_3_queries_are_scapys(self, query: Query):
        layer = IGMPv3_MQ(
            mrcode=round(query.max_response * 10),
            gaddr=text(query.group),
            s=query.suppress,
            qrv=query.robustness,
            qqic=igmp.CODES.index(round(query.interval)),
            srcaddrs=[text(source) for source in query.sources],
        )
        self.same(query, scapy_packet(layer, ROUTER, igmp.ALL_SYSTEMS), igmp.ALL_SYSTEMS)

    @given(st.lists(plain_records))
    @example([Record(Kind.BLOCK, GROUP, (ONE, TWO)), Record(Kind.TO_EX, GROUP)])
    def test_version_3_reports_are_scapys(self, some: list[Record]):
        layer = IGMPv3_MR(
            records=[
                IGMPv3_MR_Group(rtype=int(r.kind), maddr=text(r.group), srcaddrs=[text(s) for s in r.sources])
                for r in some
            ]
        )
        report = ReportV3(tuple(some))
        self.same(report, scapy_packet(layer, ROUTER, igmp.ALL_V3_ROUTERS), igmp.ALL_V3_ROUTERS)
