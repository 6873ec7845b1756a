"""The same packets through the program and through the Python path: bytes, verdicts and counters agree."""

import struct
import time
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import ANY
from multicastmw.core.fastpath.tables import Reason, RouteFlag
from multicastmw.wire import data
from multicastmw.wire.data import BEACON, FLAGS_OFFSET, HEADER_SIZE, NUMBERED_BY_KERNEL, DataHeader
from tests.net.bpf.bed import (
    DROP,
    GROUP,
    LONGEST,
    NEXT,
    ORIGIN,
    OUR_TOKEN,
    REDIRECT,
    SOURCE,
    THEIRS,
    Bed,
    Copy,
    inner_packet,
    opened,
    outer,
    why_no_bed,
)  # fmt: skip
from tests.net.bpf.twin import PythonNode, Seen
from tests.wire.golden import IPData, folder

PEERS = 4
MULTICAST = bytes.fromhex("01005e010101") + bytes.fromhex("0a0000000001") + b"\x08\x00"
examples = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

payloads = st.one_of(
    st.integers(0, 1384), st.sampled_from([0, 1, 2, 3, 4, 1316, 1381, 1382, 1383, 1384])
).map(lambda n: bytes(n % 251 for n in range(n)))
ttls = st.one_of(st.sampled_from([0, 1, 2, 3, 255]), st.integers(0, 255))
inners: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"ttl": ttls},
    optional={
        "tos": st.integers(0, 255),
        "protocol": st.sampled_from([2, 6, 17, 17, 47, 255]),
        "fragment": st.sampled_from([0, 0x2000, 0x4000, 0x2000 | 185, 185, 0x1FFF]),
        "options": st.sampled_from([b"", b"\x94\x04\0\0", b"\1" * 40]),
        "group": st.sampled_from([GROUP, GROUP, 0xE0000001, 0xE00000FB, 0xE0000100, 0xEFFFFFFF, 0x0A090001]),
        "source": st.sampled_from([SOURCE, SOURCE, 0, 0x0A580063]),
    },
)
NOT_SEEN, OBSERVED, WANTED = RouteFlag(0), RouteFlag.COPY, RouteFlag.COPY | RouteFlag.HERE
eyes = st.sampled_from([NOT_SEEN, OBSERVED, WANTED])
fan_outs = st.lists(st.integers(0, PEERS - 1), unique=True, max_size=PEERS)


class Replay(SynchronousTestCase):
    """One bed for all examples of a test: the kernel takes 20 ms for one."""

    skip = why_no_bed()
    mode = "lookup"

    def setUp(self) -> None:
        self.bed = Bed(peers=PEERS, mode=self.mode)
        self.addCleanup(self.bed.close)

    @staticmethod
    def seen_of(copied: list[bytes]) -> list[Seen]:
        """What somebody in this process gets of these copies."""
        node = PythonNode(0)
        node.looked_at(True)
        node.copied(copied)
        return node.seen

    def opened(self, frame: bytes) -> Copy:
        return opened(frame, self.bed.uplink_mac)


def expected_of_message(message: bytes) -> str:
    """What FASTPATH says becomes of an IP Data message from a peer, before its inner packet is looked at."""
    if len(message) <= HEADER_SIZE or message[1] != 34:
        return "user"
    first, kind, forwarding = message[:4], message[58:60], message[8:12]
    if first != b"\x10\x22MC" or forwarding != b"\0\x30\x44\1" or kind != b"\x45\1":
        return "user"
    if message[12:20] != (OUR_TOKEN + 0).to_bytes(8, "big"):
        return "dropped"
    if message[FLAGS_OFFSET] & ~(NUMBERED_BY_KERNEL | BEACON):
        return "user"
    try:
        DataHeader.parse(message)
    except data.Malformed:
        return "dropped"
    return "served"


def enters(message: bytes) -> bool:
    """Is the inner packet what its header says?"""
    header = DataHeader.parse(message)
    inner = message[60 : 60 + header.packet_length - 4]
    if len(inner) < 20:
        return False
    size, (total,) = (inner[0] & 15) * 4, struct.unpack_from("!H", inner, 2)
    return (
        inner[0] >> 4 == 4 and 20 <= size <= total == len(inner) and inner[9] != 2
        and inner[16:20] == header.group.to_bytes(8, "big")[4:]
        and inner[12:16] == header.source.to_bytes(8, "big")[4:]
    )  # fmt: skip


class FromAPeer(Replay):
    def judge(
        self, message: bytes, peers: list[int], here: bool, checked: bool, padding: bytes = b"",
        eye: RouteFlag = NOT_SEEN,
    ) -> None:  # fmt: skip
        bed = self.bed
        bed.open_gates()
        key = bed.route(*peers, flags=eye | (RouteFlag.LOCAL if here else RouteFlag(0)))
        node = PythonNode(PEERS)
        node.wanted_by(peers, here, ANY)
        if eye:
            node.looked_at(RouteFlag.HERE in eye)
        frame = outer(message, 0, bed.uplink_mac, udp_checksum=checked) + padding
        run = copies = None

        def shown() -> None:
            nonlocal run, copies
            run, copies = bed.show(bed.tables.up_ingress, frame)

        moved = bed.moved(shown)
        assert run is not None and copies is not None
        expected = expected_of_message(message) if not padding else "user"
        if expected == "served":
            header = DataHeader.parse(message)
            if header.hop_limit and header.origin != ORIGIN and (
                header.group != GROUP or header.source != SOURCE or (here and not enters(message))
                or (len(message) + 28 > LONGEST and header.hop_limit > 1 and set(peers) - {0})
            ):  # fmt: skip
                expected = "user"
        copied = bed.copied()
        if expected == "user":
            self.assertEqual((NEXT, [], frame, []), (run.verdict, copies, run.frame, copied), moved)
            self.assertEqual(1, sum(moved.values()), moved)
            self.assertTrue(all(reason >= Reason.USER_LEASE for reason in moved), moved)
            return
        if message[12:20] == OUR_TOKEN.to_bytes(8, "big"):
            node.relays(message, 0)
        self.assertEqual(node.seen, self.seen_of(copied), moved)
        self.assertEqual(len(copied), moved.get(Reason.COPIED, 0))
        self._compare(node, run.verdict, run.frame, copies, moved, bed.route_count(key))

    def _compare(self, node: PythonNode, verdict: int, frame: bytes, copies: list[bytes],
                 moved: dict[Reason, int], counted: Any) -> None:  # fmt: skip
        sent = [self.opened(copy) for copy in copies]
        frames = []
        if verdict == REDIRECT:
            if node.frames:
                frames.append(frame)
            else:
                sent.append(self.opened(frame))
        else:
            self.assertEqual(DROP, verdict)
        self.assertEqual(sorted(node.copies), sorted(sent))
        self.assertEqual(node.frames, frames)
        drops, route = node.forwarder.drops, node.route
        if drops.unwanted:  # Python keeps nothing of a stream that nobody wants; a route to nobody counts it
            self.assertEqual((1, 1), (counted.packets, counted.to_nobody))
            return
        self.assertEqual(
            (drops.malformed, drops.hop_limit_zero, drops.from_ourselves, node.tap.counters.delivered),
            tuple(
                moved.get(reason, 0)
                for reason in (
                    Reason.MALFORMED,
                    Reason.HOP_LIMIT_ZERO,
                    Reason.FROM_OURSELVES,
                    Reason.DELIVERED,
                )
            ),
        )
        self.assertEqual(
            (route.packets, route.bytes, route.to_nobody, route.died_of_ttl, node.tap.counters.delivered),
            (counted.packets, counted.bytes, counted.to_nobody, counted.died_of_ttl, counted.delivered),
        )

    @examples
    @given(payloads, inners, st.integers(0, 255), fan_outs, st.booleans(), st.booleans(), st.booleans(), eyes)
    @example(b"x", {"ttl": 3, "source": SOURCE + 1}, 9, [1], True, False, False, NOT_SEEN)
    @example(b"x", {"ttl": 3, "group": GROUP + 1}, 9, [1], True, False, False, NOT_SEEN)
    @example(b"x", {"ttl": 3}, 9, [], False, True, True, WANTED)
    @example(b"x", {"ttl": 3}, 9, [], False, True, True, OBSERVED)
    @example(b"x", {"ttl": 3}, 1, [1], False, True, True, OBSERVED)
    @example(b"x", {"ttl": 3}, 9, [1, 2], True, True, True, OBSERVED)
    def test_whatever_packet_a_peer_sends(
        self, payload: bytes, fields: dict[str, Any], hop_limit: int, peers: list[int], here: bool,
        checked: bool, honest: bool, eye: RouteFlag,
    ) -> None:  # fmt: skip
        """Not honest: the header names a channel that the packet is not of."""
        inner = inner_packet(payload, **fields)
        group, source = (
            (fields.get("group", GROUP), fields.get("source", SOURCE)) if honest else (GROUP, SOURCE)
        )
        message = data.build(
            inner, token=OUR_TOKEN, origin=THEIRS, group=group, source=source, sequence=len(payload),
            hop_limit=hop_limit, low_water=3,
        )  # fmt: skip
        self.judge(message, peers, here, checked, eye=eye)

    @examples
    @given(
        st.binary(min_size=1, max_size=200), fan_outs, st.booleans(),
        st.dictionaries(st.integers(0, 90), st.integers(0, 255), max_size=3), st.integers(-8, 8),
    )  # fmt: skip
    @example(b"x" * 30, [1], False, {12: 0}, 0)
    @example(b"x" * 30, [1], False, {7: 0}, 0)
    @example(b"x" * 30, [1], False, {57: 1}, 0)
    @example(b"x" * 30, [1], False, {57: 4}, 0)
    @example(b"x" * 30, [1], True, {52: 0}, 0)
    @example(b"x" * 30, [0, 1], True, {52: 1}, 0)
    @example(b"x" * 30, [0, 1], True, {52: 2}, 0)
    def test_whatever_bytes_are_wrong(
        self, inner: bytes, peers: list[int], here: bool, wrong: dict[int, int], cut: int
    ) -> None:
        """Tokens, lengths that lie, op codes, other objects: any byte of the header, and cut or longer."""
        message = bytearray(
            data.build(
                inner, token=OUR_TOKEN, origin=THEIRS, group=GROUP, source=SOURCE, sequence=1, hop_limit=9
            )
        )
        for place, value in wrong.items():
            if place < len(message):
                message[place] = value
        made = bytes(message[:cut]) if cut < 0 else bytes(message) + bytes(cut)
        self.judge(made, peers, here, False)

    def test_the_golden_messages(self) -> None:
        for golden in (*folder("messages"), *folder("malformed")):
            if len(golden.wire) < 20 or len(golden.wire) > 1400:
                continue
            ours = bytearray(golden.wire)
            if golden.wire[1] == 34 and len(ours) > HEADER_SIZE:
                ours[12:20] = OUR_TOKEN.to_bytes(8, "big")
            for here in (False, True):
                self.judge(bytes(ours), [0, 2, 3], here, False)
        self.assertTrue(any(isinstance(golden.value, IPData) for golden in folder("messages")))

    def test_a_frame_with_bytes_behind_the_packet_is_user_space_s(self) -> None:
        inner = inner_packet(b"p" * 50)
        message = data.build(
            inner, token=OUR_TOKEN, origin=THEIRS, group=GROUP, source=SOURCE, sequence=1, hop_limit=9
        )
        self.judge(message, [1], True, False, padding=b"\0\0\0\0")

    def test_a_full_datagram_fits_and_four_bytes_more_are_user_space_s(self) -> None:
        for size in (1412 - 28, 1412 - 27):
            message = data.build(
                inner_packet(bytes(size)), token=OUR_TOKEN, origin=THEIRS, group=GROUP, source=SOURCE,
                sequence=1, hop_limit=9,
            )  # fmt: skip
            self.judge(message, [1, 2], False, True)


class FromAPeerByNextHop(FromAPeer):
    mode = "gateway"


class FromAPeerByMac(FromAPeer):
    mode = "mac"


class FromAnApplication(Replay):
    def judge(
        self, packet: bytes, peers: list[int], here: bool = False, behind: bytes = b"", floor: int = 0,
        eye: RouteFlag = NOT_SEEN,
    ) -> None:  # fmt: skip
        bed = self.bed
        bed.renew(ttl_floor=floor)
        bed.open_gates()
        key = bed.route(*peers, flags=eye | (RouteFlag.LOCAL if here else RouteFlag(0)))
        node = PythonNode(PEERS, floor)
        node.wanted_by(peers, here)
        if eye:
            node.looked_at(RouteFlag.HERE in eye)
        frame = MULTICAST + packet + behind
        before = bed.reasons()
        run, copies = bed.show(bed.tables.tap_egress, frame)
        moved = {r: n - before.get(r, 0) for r, n in bed.reasons().items() if n != before.get(r, 0)}
        copied = bed.copied()
        if run.verdict == NEXT:
            self.assertEqual(([], frame, []), (copies, run.frame, copied))
            self.assertTrue(self._left(packet, len(packet) + len(behind), floor, peers), moved)
            return
        self.assertFalse(self._left(packet, len(packet) + len(behind), floor, peers), moved)
        self.assertEqual(REDIRECT, run.verdict)
        node.sends(frame)
        self.assertEqual(node.seen, self.seen_of(copied))
        self.assertEqual(len(copied), moved.get(Reason.COPIED, 0))
        sent = [self.opened(copy) for copy in copies]
        if peers:
            sent.append(self.opened(run.frame))
        self.assertEqual(
            [(copy.peer, _unnumbered(copy.message)) for copy in sorted(node.copies)],
            [(copy.peer, _unnumbered(copy.message)) for copy in sorted(sent)],
        )
        now = time.time_ns() // 1000 & 0xFFFFFFFF
        for copy in sent:
            header = DataHeader.parse(copy.message)
            self.assertEqual((header.flags, header.sequence), (1, 0))
            self.assertLess(now - header.origin_time & 0xFFFFFFFF, 60_000_000)
        route, counted, taps = node.route, bed.route_count(key), node.tap.counters
        self.assertEqual(
            (route.packets, route.bytes, route.to_nobody, route.died_of_ttl),
            (counted.packets, counted.bytes, counted.to_nobody, counted.died_of_ttl),
        )
        self.assertEqual(
            (taps.received, taps.ttl_raised), (moved.get(Reason.FROM_TAP), moved.get(Reason.TTL_RAISED, 0))
        )
        wanted = bool(peers) or RouteFlag.HERE in eye
        self.assertEqual(int(wanted), bed.tables.sequence(bed.routes[key].slot))

    @staticmethod
    def _left(packet: bytes, there: int, floor: int, peers: list[int]) -> bool:
        """What FASTPATH leaves to user space at the TAP."""
        if len(packet) < 20:
            return True
        first, _, total, _, _, ttl, protocol, _, source, group = struct.unpack_from("!BBHHHBBHII", packet)
        size = (first & 15) * 4
        return (
            group >> 28 != 14 or group >> 8 == 0xE00000 or protocol == 2 or first >> 4 != 4 or size < 20
            or not size <= total <= there or not source or max(ttl, floor) < 2
            or (group, source) != (GROUP, SOURCE)
            or 88 + (total + 3 & ~3) > LONGEST
        )  # fmt: skip

    @examples
    @given(payloads, inners, fan_outs, st.booleans(), st.sampled_from([0, 0, 16]), eyes)
    @example(b"", {"ttl": 2}, [0], False, 0, NOT_SEEN)
    @example(b"x", {"ttl": 1}, [0], False, 0, OBSERVED)
    @example(b"x" * 5, {"ttl": 1}, [0, 1], False, 16, NOT_SEEN)
    @example(b"x" * 5, {"ttl": 9}, [], False, 0, WANTED)
    @example(b"x" * 5, {"ttl": 9}, [], False, 0, OBSERVED)
    @example(b"x" * 5, {"ttl": 9}, [0, 1], False, 0, OBSERVED)
    @example(bytes(1384), {"ttl": 16}, [0, 1, 2, 3], True, 0, WANTED)
    def test_whatever_an_application_sends(
        self, payload: bytes, fields: dict[str, Any], peers: list[int], here: bool, floor: int, eye: RouteFlag
    ) -> None:
        self.judge(inner_packet(payload, **fields), peers, here, floor=floor, eye=eye)

    @examples
    @given(
        st.integers(0, 64), st.dictionaries(st.integers(0, 23), st.integers(0, 255), max_size=3),
        st.binary(max_size=50), fan_outs,
    )  # fmt: skip
    def test_whatever_bytes_are_wrong(
        self, size: int, wrong: dict[int, int], behind: bytes, peers: list[int]
    ) -> None:
        """Lengths that lie, versions, bytes behind the packet as on a bridged Ethernet."""
        packet = bytearray(inner_packet(bytes(size), protocol=200))
        for place, value in wrong.items():
            packet[place if place < len(packet) else -1] = value
        self.judge(bytes(packet), peers, behind=behind)


class FromAnApplicationByNextHop(FromAnApplication):
    mode = "gateway"


class FromAnApplicationByMac(FromAnApplication):
    mode = "mac"


def _unnumbered(message: bytes) -> bytes:
    """Without the sequence, the time and the flags: the kernel's count is its own."""
    return message[:44] + bytes(8) + message[52:54] + b"\0" + message[55:]
