"""Streams over HTTP: who gets what, what a slow viewer loses, and what is no payload."""

from struct import pack
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import ANY, Channel
from multicastmw.core.fragments import split
from multicastmw.core.output import (
    LOOK,
    PIECE_COST,
    QUEUE_BYTES,
    SILENCE,
    STALLED,
    VIEWERS_MAX,
    HttpOutput,
    Viewer,
)
from multicastmw.core.packet import Packet
from multicastmw.core.payloads import What, parse, rtp_payload
from multicastmw.core.routing import Router
from multicastmw.wire import ipv4
from multicastmw.wire.data import HEADER_SIZE, SEALED
from multicastmw.wire.ipv4 import Header

GROUP, OTHER = ipv4.number("239.1.1.1"), ipv4.number("239.1.1.2")
SOURCE, STRANGER = ipv4.number("10.88.0.1"), ipv4.number("10.88.0.9")
UDP = What(GROUP, 5004, ANY, False)
RTP = UDP._replace(is_rtp=True)
TS = b"G" + bytes(187)


class Player:
    """The connection of a viewer, which may be full after so many payloads."""

    def __init__(self, room: float = float("inf")) -> None:
        self.got: list[bytes] = []
        self.room = room
        self.ended = ""
        self.viewer: Viewer | None = None

    def write(self, payload: bytes) -> None:
        self.got.append(payload)
        if len(self.got) >= self.room and self.viewer:
            self.viewer.pause()

    def end(self, why: str) -> None:
        self.ended = why


def udp(
    payload: bytes,
    port: int = 5004,
    group: int = GROUP,
    source: int = SOURCE,
    protocol: int = 17,
    options: bytes = b"",
) -> bytes:
    datagram = pack("!HHHH", 40_000, port, 8 + len(payload), 0) + payload
    header = Header(0, 20 + len(options) + len(datagram), 7, 0, 16, protocol, source, group, options)
    return header.build() + datagram


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.router = Router()
        self.denied: set[int] = set()
        self.output = HttpOutput(self.router, lambda channel: channel.group not in self.denied)

    def watches(self, what: What = UDP, room: float = float("inf"), now: float = 0.0) -> Player:
        player = Player(room)
        player.viewer = self.output.watch(what, player, now)
        return player

    def comes(self, inner: bytes, now: float = 1.0, **more: Any) -> None:
        packet = Packet()
        packet.view[HEADER_SIZE : HEADER_SIZE + len(inner)] = inner
        packet.length, packet.now = len(inner), now
        for name, value in more.items():
            setattr(packet, name, value)
        self.output.deliver(packet)
        packet.view[: HEADER_SIZE + len(inner)] = bytes(HEADER_SIZE + len(inner))  # it is used again

    def wanted(self) -> list[Channel]:
        return [channel for channel, _ in self.router.wanted()]


class Watching(Case):
    def test_a_channel_is_wanted_while_somebody_watches(self) -> None:
        self.assertEqual(0, self.router.members)
        one, other = self.watches(), self.watches(RTP)
        self.assertEqual([Channel(GROUP)], self.wanted())
        self.assertEqual(("http",), tuple(d.name for d in self.router.wanted_by(Channel(GROUP))))
        for player in (one, one, other):
            assert player.viewer
            self.assertEqual([Channel(GROUP)], self.wanted())
            self.output.leave(player.viewer)
        self.assertEqual(([], ()), (self.wanted(), self.output.status()))

    def test_of_one_source_that_channel(self) -> None:
        player = self.watches(UDP._replace(source=SOURCE))
        self.assertEqual([Channel(GROUP, SOURCE)], self.wanted())
        self.comes(udp(b"right"))
        self.comes(udp(b"wrong", source=STRANGER))
        self.assertEqual([b"right"], player.got)

    def test_each_gets_what_is_for_his_group_and_port(self) -> None:
        here, port, elsewhere = (
            self.watches(),
            self.watches(UDP._replace(port=6)),
            self.watches(UDP._replace(group=OTHER)),
        )
        self.comes(udp(b"1"))
        self.comes(udp(b"2", port=6))
        self.comes(udp(b"3", group=OTHER))
        self.comes(udp(b"4", port=7))
        self.comes(udp(b""))
        self.assertEqual([[b"1"], [b"2"], [b"3"]], [player.got for player in (here, port, elsewhere)])

    def test_two_who_watch_one_stream_share_one_payload(self) -> None:
        one, other = self.watches(), self.watches()
        self.comes(udp(b"x" * 1316, options=b"\x94\x04\0\0"))
        self.assertEqual([b"x" * 1316], one.got)
        self.assertIs(one.got[0], other.got[0])
        (status,) = self.output.status()
        self.assertEqual((2, 1, 1316, 0), (status.clients, status.packets, status.bytes, status.lost))

    def test_fragments_are_joined(self) -> None:
        player = self.watches()
        payload = bytes(range(256)) * 16
        pieces = split(udp(payload), 1412, lambda: 1)
        self.assertGreater(len(pieces), 2)
        for piece in reversed(pieces):
            self.comes(piece)
        self.assertEqual([payload], player.got)

    def test_so_many_watch_and_no_more(self) -> None:
        for _ in range(VIEWERS_MAX):
            self.assertFalse(self.output.is_full)
            player = self.watches()
        self.assertTrue(self.output.is_full)
        self.assertEqual(1, self.output.counters.refused)
        assert player.viewer
        self.output.leave(player.viewer)
        self.assertFalse(self.output.is_full)

    def test_who_watches_what_is_kept_out_by_now_is_let_go(self) -> None:
        here, elsewhere = self.watches(), self.watches(UDP._replace(group=OTHER))
        self.denied.add(GROUP)
        self.output.admit_again()
        self.assertIn("[groups]", here.ended)
        self.assertEqual("", elsewhere.ended)


class Slow(Case):
    def test_a_slow_viewer_loses_the_oldest_and_another_nothing(self) -> None:
        slow, quick = self.watches(room=1), self.watches()
        count = 2 * QUEUE_BYTES // 1000
        for number in range(count):
            self.comes(udp(pack("!I", number) + bytes(996)))
        self.assertEqual((1, count), (len(slow.got), len(quick.got)))
        kept = QUEUE_BYTES // (1000 + PIECE_COST)
        assert slow.viewer
        self.assertEqual(count - 1 - kept, slow.viewer.lost)
        self.assertEqual(slow.viewer.lost, self.output.counters.lost)
        self.assertEqual(slow.viewer.lost, self.output.status()[0].lost)
        slow.room = float("inf")
        slow.viewer.resume(2.0)
        self.assertEqual(quick.got[-kept:], slow.got[1:])

    def test_he_is_given_no_more_than_his_connection_takes(self) -> None:
        slow = self.watches(room=1)
        for number in range(5):
            self.comes(udp(b"%d" % number))
        assert slow.viewer
        slow.room = 3
        slow.viewer.resume(2.0)
        self.assertEqual([b"0", b"1", b"2"], slow.got)
        self.comes(udp(b"5"))
        slow.room = float("inf")
        slow.viewer.resume(3.0)
        self.assertEqual([b"0", b"1", b"2", b"3", b"4", b"5"], slow.got)

    def test_who_takes_nothing_for_long_is_let_go(self) -> None:
        slow, quick = self.watches(room=1), self.watches()
        for now in range(int(STALLED) + 3):
            self.comes(udp(b"x"), now=float(now))
            self.output.tick(float(now))
        self.assertEqual(("you take nothing", ""), (slow.ended, quick.ended))

    def test_a_stream_that_ends_is_over_after_a_while(self) -> None:
        player = self.watches()
        self.output.tick(SILENCE + LOOK)
        self.assertEqual("", player.ended)  # it never began: that has a time of its own
        self.comes(udp(b"x"), now=100.0)
        self.output.tick(100.0 + SILENCE - 1)
        self.assertEqual("", player.ended)
        self.output.tick(100.0 + SILENCE)
        self.assertIn("any more", player.ended)

    def test_nobody_is_looked_for_where_nobody_watches(self) -> None:
        self.assertEqual(float("inf"), self.output.deadline())
        player = self.watches(now=5.0)
        self.assertEqual(5.0 + LOOK, self.output.deadline())
        assert player.viewer
        self.output.leave(player.viewer)
        self.assertEqual(float("inf"), self.output.deadline())


class Garbage(Case):
    def test_what_is_no_datagram_is_counted_by_why(self) -> None:
        player = self.watches()
        whole = udp(b"x" * 100)
        self.comes(whole, kind=SEALED)
        self.comes(udp(b"x", group=OTHER))
        self.comes(udp(b"x", protocol=6))
        for wrong in (
            b"",
            whole[:19],
            b"\x60" + whole[1:],
            whole[:-1],
            whole + b"x",
            b"\x4f" + whole[1:40],
            udp(b"")[:20].replace(b"\0\x1c", b"\0\x14", 1),
        ):
            self.comes(wrong)
        lies = bytearray(whole)
        lies[24:26] = b"\xff\xff"
        self.comes(bytes(lies))
        lies[24:26] = b"\0\x07"
        self.comes(bytes(lies))
        counters = self.output.counters
        self.assertEqual(
            [1, 1, 1, 9], [counters.unknown_kind, counters.filtered, counters.not_udp, counters.malformed]
        )
        self.assertEqual([], player.got)

    @given(st.binary(max_size=120), st.booleans())
    def test_nothing_that_comes_raises(self, noise: bytes, with_head: bool) -> None:
        output = HttpOutput(Router(), lambda channel: True)
        self.output = output
        self.watches(RTP)
        self.watches()
        self.comes(udp(noise) if with_head else noise)


def rtp(payload: bytes, first: int = 0x80, kind: int = 33, more: bytes = b"", padding: bytes = b"") -> bytes:
    return bytes([first, kind]) + pack("!HII", 1, 2, 3) + more + payload + padding


class RtpTests(Case):
    def test_the_header_is_taken_off_with_all_that_it_may_have(self) -> None:
        for datagram in (
            rtp(TS),
            rtp(TS, 0x82, more=bytes(8)),  # two contributing sources
            rtp(TS, 0x90, more=b"\xbe\xde\0\x02" + bytes(8)),  # an extension
            rtp(TS, 0xA0, padding=b"\0\0\0\x04"),
            rtp(TS, 0xB1, kind=33 | 0x80, more=bytes(4) + b"\0\0\0\x01" + bytes(4), padding=b"\x01"),
        ):
            self.assertEqual(TS, rtp_payload(datagram), datagram[:20].hex())

    def test_what_lies_is_none(self) -> None:
        for datagram in (
            b"",
            TS,
            rtp(b"")[:11],
            rtp(TS, 0x40),
            rtp(b"", 0x8F),
            rtp(b"", 0x90),
            rtp(b"", 0x90, more=b"\0\0\xff\xff"),
            rtp(b"x", 0xA0, padding=b"\0"),
            rtp(b"x", 0xA0, padding=b"\xff"),
            rtp(b"", 0xA0),
        ):
            self.assertIsNone(rtp_payload(datagram), datagram[:20].hex())

    def test_rtcp_beside_it_is_no_payload(self) -> None:
        self.assertEqual(b"", rtp_payload(rtp(TS, kind=200)))

    def test_who_watches_gets_the_payloads_and_of_others_nothing(self) -> None:
        player, raw = self.watches(RTP), self.watches()
        for datagram in (rtp(TS), TS, rtp(TS, kind=200)):
            self.comes(udp(datagram))
        self.assertEqual([TS], player.got)
        self.assertEqual(3, len(raw.got))
        self.assertEqual(1, self.output.counters.not_rtp)
        watched = self.output.known(RTP)
        assert watched
        self.assertEqual((True, 1), (watched.is_ts, watched.not_rtp))

    @given(st.binary(max_size=64))
    def test_any_bytes_are_a_payload_inside_them_or_none(self, noise: bytes) -> None:
        found = rtp_payload(noise)
        self.assertTrue(found is None or found in noise)


class Asking(SynchronousTestCase):
    def test_a_group_and_a_port(self) -> None:
        self.assertEqual(UDP, parse("239.1.1.1:5004", "", False))
        self.assertEqual(RTP._replace(source=SOURCE), parse("239.1.1.1:5004", "10.88.0.1", True))

    def test_what_is_none_is_one_line(self) -> None:
        for where, source in (
            ("", ""),
            ("239.1.1.1", ""),
            ("239.1.1.1:", ""),
            ("239.1.1.1:0", ""),
            ("239.1.1.1:65536", ""),
            ("239.1.1.1:\u0661", ""),
            ("239.1.1.1:5004:1", ""),
            ("10.0.0.1:5004", ""),
            ("224.0.0.251:5353", ""),
            ("[ff0e::1]:5004", ""),
            ("x" * 2000 + ":1", ""),
            ("239.1.1.1:+1", ""),
            ("239.01.1.1:1", ""),
            ("239.1.1.1:5004", "x"),
            ("239.1.1.1:5004", "239.1.1.1"),
            ("239.1.1.1:5004", "0.0.0.0"),
        ):
            error = self.assertRaises(ValueError, parse, where, source, False)
            self.assertEqual(1, len(str(error).splitlines()))
            self.assertLess(len(str(error)), 80)
