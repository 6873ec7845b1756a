"""A route of the mesh: the program forwards the next number from the parent, and leaves the rest alone."""

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fastpath.tables import GATE_OF_COPIES, KEPT_SIZE, Reason, Ring, RouteFlag
from multicastmw.core.window import KNOWN, MASK, Numbers
from multicastmw.net.bpf.loading import Run
from multicastmw.wire import data
from multicastmw.wire.data import (
    BEACON,
    HEADER_SIZE,
    NUMBERED_BY_KERNEL,
    RETRANSMITTED,
    DataHeader,
    without_token,
)
from tests.net.bpf.bed import (
    DROP,
    GROUP,
    NEXT,
    OUR_TOKEN,
    REDIRECT,
    SOURCE,
    THEIR_TOKEN,
    THEIRS,
    Bed,
    inner_packet,
    opened,
    outer,
    why_no_bed,
)

PARENT, OTHER, CHILDREN = 0, 3, (1, 2)
RING = Ring(64, 32)
TOP = MASK - 2  # so that numbers go round


class Case(SynchronousTestCase):
    skip = why_no_bed()

    def setUp(self) -> None:
        self.bed = Bed(places=128)
        self.addCleanup(self.bed.close)
        self.given()

    def given(self, flags: int = 0, ring: Ring = RING, **others: Any) -> None:
        """A route of the mesh whose parent has sent everything up to TOP."""
        self.key = self.bed.route(
            *others.pop("peers", CHILDREN),
            flags=flags | RouteFlag.MESH,
            link=PARENT,
            ring=ring,
            origin=THEIRS,
        )
        self.slot = self.bed.routes[self.key].slot
        self.bed.open_gates()
        self.heard()

    def heard(self, top: int = TOP, count: int = 0) -> None:
        known = Numbers(top & MASK, 1 << KNOWN - 1, self.bed.cfg.lease / 1e9 - 3600, top & MASK, False)
        self.bed.tables.set_numbers(self.slot, count, known)

    def message(self, number: int, sender: int = PARENT, size: int = 40, **fields: Any) -> bytes:
        fields = {"hop_limit": 9, "low_water": 7} | fields
        return data.build(
            inner_packet(b"p" * size), sequence=number & MASK, token=OUR_TOKEN + sender, origin=THEIRS,
            group=GROUP, source=SOURCE, **fields,
        )  # fmt: skip

    def shown(self, number: int, sender: int = PARENT, checked: bool = False, **fields: Any) -> Any:
        """What becomes of a packet, the copies of it, and why; the frame is as it came if it is left."""
        frame = outer(
            self.message(number, sender, **fields), sender, self.bed.uplink_mac, udp_checksum=checked
        )
        found: list[tuple[Run, list[bytes]]] = []
        moved = self.bed.moved(lambda: found.append(self.bed.show(self.bed.tables.up_ingress, frame)))
        ((run, copies),) = found
        if run.verdict == NEXT:
            self.assertEqual((frame, []), (run.frame, copies))
        return run, copies, moved

    def sent(self, run: Run, copies: list[bytes]) -> list[tuple[int, DataHeader]]:
        """To whom what went."""
        found = [opened(frame, self.bed.uplink_mac) for frame in (*copies, run.frame)]
        return sorted((copy.peer, DataHeader.parse(copy.message)) for copy in found)

    def assert_left(self, why: Reason, is_shut: bool, *args: Any, **fields: Any) -> None:
        run, _, moved = self.shown(*args, **fields)
        self.assertEqual((NEXT, {why: 1}), (run.verdict, moved))
        self.assertEqual(is_shut, self.bed.tables.is_shut(self.slot))
        self.bed.open_gates()


class Passing(Case):
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.booleans(), st.integers(2, 255), st.integers(0, 255), st.integers(0, 1100))
    @example(True, 2, 0, 3)
    def test_the_next_number_goes_to_the_children_with_nothing_missing(
        self, checked: bool, hop_limit: int, low_water: int, size: int
    ) -> None:
        self.heard()
        run, copies, _ = self.shown(
            TOP + 1, checked=checked, hop_limit=hop_limit, low_water=low_water, size=size
        )
        self.assertEqual(REDIRECT, run.verdict)
        for (peer, header), child in zip(self.sent(run, copies), CHILDREN, strict=True):
            self.assertEqual((child, THEIR_TOKEN + child), (peer, header.token))
            self.assertEqual(
                (TOP + 1, hop_limit - 1, 0), (header.sequence, header.hop_limit, header.low_water)
            )

    def test_numbers_follow_each_other_around(self) -> None:
        for number in range(TOP + 1, TOP + 40):
            run, _, moved = self.shown(number)
            self.assertEqual(REDIRECT, run.verdict, moved)
        self.assertEqual(TOP + 39 & MASK, self.bed.tables.last(self.slot, 0)[0])

    def test_this_host_gets_it_too(self) -> None:
        self.given(RouteFlag.LOCAL)
        run, copies, moved = self.shown(TOP + 1)
        self.assertEqual((REDIRECT, 2, 1), (run.verdict, len(copies), moved[Reason.DELIVERED]))

    def test_what_the_origins_kernel_has_numbered_is_a_stream_of_its_own(self) -> None:
        self.given(RouteFlag.COUNT)
        self.heard(count=1)
        self.assert_left(Reason.USER_MESH, False, TOP + 1)
        run, _, _ = self.shown(TOP + 1, flags=NUMBERED_BY_KERNEL)
        self.assertEqual(REDIRECT, run.verdict)

    def test_a_beacon_is_copied_to_user_space_and_nothing_else_is(self) -> None:
        run, copies, moved = self.shown(TOP + 1, flags=BEACON)
        self.assertEqual((REDIRECT, 1), (run.verdict, moved[Reason.COPIED]))
        self.assertEqual({BEACON}, {header.flags for _, header in self.sent(run, copies)})
        self.assertEqual(1, len(self.bed.copied()))
        self.bed.tables.open_gate(GATE_OF_COPIES, self.bed.tables.left_at(GATE_OF_COPIES))
        _, _, moved = self.shown(TOP + 2)
        self.assertNotIn(Reason.COPIED, moved)


class Left(Case):
    def test_what_comes_over_another_link(self) -> None:
        """Nothing waits for it: it is user space that judges whether it is the first."""
        self.assert_left(Reason.USER_MESH, False, TOP + 1, OTHER)

    def test_the_other_count(self) -> None:
        self.assert_left(Reason.USER_MESH, False, TOP + 1, flags=NUMBERED_BY_KERNEL)

    def test_numbers_that_do_not_follow_and_what_comes_behind_them(self) -> None:
        for number in (TOP + 2, TOP, TOP - 1, TOP - 2000, TOP + 3000, TOP + (1 << 31)):
            self.assert_left(Reason.USER_MESH, True, number)
        self.bed.tables.shut(self.slot)
        self.assert_left(Reason.USER_GATE, True, TOP + 1)

    def test_what_is_sent_again(self) -> None:
        self.assert_left(Reason.USER_OTHER_MESSAGE, False, TOP + 1, flags=RETRANSMITTED)
        self.assert_left(Reason.USER_OTHER_MESSAGE, False, TOP + 1, flags=RETRANSMITTED | BEACON)

    def test_what_nothing_is_known_of(self) -> None:
        self.bed.tables.forget_numbers(self.slot)
        self.assert_left(Reason.USER_MESH, True, TOP + 1)

    def test_what_was_unheard_for_long(self) -> None:
        known = Numbers(TOP, 1 << KNOWN - 1, self.bed.cfg.lease / 1e9 - 3600 - 11, TOP, False)
        self.bed.tables.set_numbers(self.slot, 0, known)
        self.assert_left(Reason.USER_MESH, True, TOP + 1)

    def test_what_is_too_long_to_be_kept(self) -> None:
        self.given(peers=(), flags=RouteFlag.LOCAL)
        longest = KEPT_SIZE - HEADER_SIZE - 28
        self.assert_left(Reason.USER_TOO_LONG, True, TOP + 1, size=longest + 1)
        run, _, _ = self.shown(TOP + 1, size=longest)
        self.assertEqual(REDIRECT, run.verdict)


class Keeping(Case):
    def kept(self, number: int) -> bytes:
        return self.bed.tables.kept(RING.base + (number & RING.size - 1))

    def test_it_is_kept_as_it_was_sent_on(self) -> None:
        for checked, size in ((False, 0), (True, 1), (False, 500), (True, 1300)):
            self.heard()
            message = self.message(TOP + 1, size=size)
            self.shown(TOP + 1, size=size, checked=checked)
            kept = self.kept(TOP + 1)
            header = DataHeader.parse(kept)
            self.assertEqual((8, 0), (header.hop_limit, header.low_water))
            changed = message[:52] + b"\x08" + message[53:55] + b"\0" + message[56:]
            self.assertEqual(without_token(changed), without_token(kept))

    def test_as_many_are_kept_as_there_are_places_and_nothing_beside(self) -> None:
        numbers = range(TOP + 1, TOP + 1 + 3 * RING.size)
        for number in numbers:
            self.shown(number)
        for number in numbers[-RING.size :]:
            self.assertEqual(number & MASK, DataHeader.parse(self.kept(number)).sequence)
        others = [at for at in range(128) if not RING.base <= at < RING.base + RING.size]
        self.assertEqual({b""}, {self.bed.tables.kept(at) for at in others})

    def test_what_is_left_is_not_kept(self) -> None:
        self.assert_left(Reason.USER_MESH, True, TOP + 2)
        self.assert_left(Reason.USER_MESH, False, TOP + 1, OTHER)
        self.assertEqual((b"", b""), (self.kept(TOP + 1), self.kept(TOP + 2)))

    def test_without_a_ring_nothing_is(self) -> None:
        self.given(ring=Ring(0, 0))
        run, _, _ = self.shown(TOP + 1)
        self.assertEqual(REDIRECT, run.verdict)
        self.assertEqual({b""}, {self.bed.tables.kept(at) for at in range(128)})

    def test_a_packet_without_hops_ends_here(self) -> None:
        run, copies, moved = self.shown(TOP + 1, hop_limit=1)
        self.assertEqual((DROP, [], 1), (run.verdict, copies, moved[Reason.DIED_OF_TTL]))
