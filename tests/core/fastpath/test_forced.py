"""A gate that is forced open has two judges for a moment: neither takes what the other has taken."""

from collections.abc import Callable
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fastpath import lossy
from multicastmw.core.fastpath.gates import AGAIN, DRAINED, TOO_LONG, Shut
from multicastmw.core.fastpath.tables import GATE_OF_LINK
from multicastmw.core.packet import Packet
from multicastmw.core.recovery.repair import REST
from multicastmw.core.window import HALF, MASK, SILENCE
from multicastmw.wire.data import FLAGS_OFFSET, NUMBERED_BY_KERNEL, SEQUENCE_OFFSET, SEQUENCE_TWIN
from tests.core.fastpath.memory import FAR, GROUP
from tests.core.fastpath.test_handover import Life

ENDS = "out", "shut again", "taken back"


class Flood(Life):
    """Datagrams come faster than they are taken; those of `waiting` are in the link's socket."""

    def __init__(self, first: int = 5000, recovery: float = 0.0) -> None:
        super().__init__(first, recovery)
        self.link = self.hub.node.link(self.b)
        self.waiting: list[bytes] = []
        self.is_over = True
        self.then: Callable[[], None] | None = None  # what happens just when all of it is read
        received, self.link.datagram_received = self.link.datagram_received, self._keep
        assert not self.comes(first)
        self.link.datagram_received = received
        (self.message,) = self.waiting
        self.waiting.clear()
        self.link.read_waiting = self._read_waiting
        assert [self.comes(first + number & MASK) for number in (0, 1)] == [True, True]
        self.happens("switch")
        self.happens("settle")
        assert [self.comes(first + number & MASK) for number in (2, 3)] == [True, True]
        assert self.by_kernel == 2

    @property
    def slot(self) -> int:
        assert self.flow.value
        return self.flow.value.slot

    def begins(self, *here: int) -> None:
        """The gate is shut, and nothing opens it; these numbers are taken here meanwhile."""
        self.is_over = False
        self.tables.leave(self.slot)
        assert all(self.comes(number) for number in here)

    def is_forced(self, *numbers: int) -> None:
        """It waited for too long; these numbers wait yet."""
        self.world.run_until(lambda: not self.tables.is_shut(self.slot), 2 * TOO_LONG + 0.1)
        self.wait(*numbers)

    def wait(self, *numbers: int) -> None:
        for number in numbers:
            message = bytearray(self.message)
            SEQUENCE_TWIN.pack_into(message, SEQUENCE_OFFSET, number)
            self.waiting.append(bytes(message))

    def comes_as(self, message: bytearray, number: int) -> None:
        """In another message than the stream's."""
        SEQUENCE_TWIN.pack_into(message, SEQUENCE_OFFSET, number)
        self.waiting.append(bytes(message))
        self._deliver(len(self.waiting))

    def _keep(self, packet: Packet, size: int, origin: object) -> None:
        self.waiting.append(bytes(packet.view[:size]))

    def _read_waiting(self) -> bool:
        """As many as a real link does at once."""
        self._deliver(1024)
        then, self.then = self.then, None
        if then:
            then()
        if not self.is_over and self.flow.value and self.tables.is_shut(self.slot):
            self.tables.leave(self.slot)
        return bool(self.waiting)

    def _deliver(self, most: int = 1) -> None:
        packet = self.hub.node.room.packet
        while self.waiting and most:
            most -= 1
            message = self.waiting.pop(0)
            packet.buffer[: len(message)] = message
            packet.now = self.world.now
            self.link.datagram_received(packet, len(message), None)

    def ends(self, how: str) -> None:
        """All that waits is out, or the gate is shut, or the flow taken back, before that."""
        if how == "shut again":
            self.tables.leave(self.slot)
        elif how == "taken back":
            self.happens("switch")
            while self.link.read_waiting():
                pass
        self.all_is_out()

    def all_is_out(self) -> None:
        self.is_over = True
        self.world.run(0.01)

    def both(self, *numbers: int) -> tuple[list[bool], list[bool]]:
        """Are these new to the kernel, and then here?"""
        self.happens("settle")
        in_kernel, before = [self.comes(number) for number in numbers], self.by_kernel
        self.happens("switch")
        here = [self.comes(number) for number in numbers]
        assert self.by_kernel == before
        return in_kernel, here


class ForcedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.flood = Flood()
        self.lost_before = self.flood.lost

    def taken(self) -> int:
        return self.flood.stream.window.received

    def test_what_was_taken_before_is_refused(self) -> None:
        """Or who repeats what it has heard would have it doubled by a flood of it."""
        flood = self.flood
        flood.begins(5004, 5005)
        flood.is_forced()
        self.assertEqual(1, flood.hub.mirror.handover.forced)
        self.assertEqual([False] * 6, [flood.comes(number) for number in range(5000, 5006)])
        self.assertEqual([True, False], [flood.comes(5006), flood.comes(5006)])
        self.assertEqual(0, flood.lost - self.lost_before)
        flood.begins(5007)
        flood.is_forced()
        self.assertEqual(2, flood.hub.mirror.handover.forced)

    def test_what_waits_is_taken_once_though_the_kernel_is_ahead_of_it(self) -> None:
        flood = self.flood
        flood.begins(5004)
        flood.is_forced(5005, 5006, 5005, 5004, 5008)
        self.assertEqual([True, True], [flood.comes(5009), flood.comes(5010)])
        before = self.taken()
        flood.all_is_out()
        self.assertEqual(before + 3, self.taken())
        self.assertFalse(flood.tables.is_shut(flood.slot), "what waited did not shut it")
        self.assertEqual(1, flood.lost - self.lost_before, "5007")
        numbers = (5003, 5004, 5005, 5006, 5008, 5009, 5010)
        self.assertEqual(([False] * 7, [False] * 7), flood.both(*numbers))
        self.assertEqual(1, flood.lost - self.lost_before)

    def test_one_that_is_shut_just_when_what_waited_is_out_is_shut(self) -> None:
        flood = self.flood
        flood.begins(5004)
        flood.is_forced(5005)
        self.assertTrue(flood.comes(5006))

        def one_that_is_too_long() -> None:
            flood.tables.leave(flood.slot)
            flood.wait(5007)

        flood.then = one_that_is_too_long
        before = self.taken()
        flood.all_is_out()
        self.assertEqual((before + 2, False), (self.taken(), flood.tables.is_shut(flood.slot)))
        self.assertEqual(([False] * 4, [False] * 4), flood.both(5004, 5005, 5006, 5007))

    def test_what_comes_behind_a_gate_that_is_shut_again_is_no_loss(self) -> None:
        """Before it was seen that it is shut."""
        flood = self.flood
        flood.begins(5004)
        flood.is_forced(5005)
        self.assertEqual([True] * 3, [flood.comes(number) for number in (5006, 5007, 5008)])
        flood.tables.leave(flood.slot)
        for number in (5005, 5009, 5010):
            flood.comes_as(bytearray(flood.message), number)
        flood.world.run(0.02)
        self.assertTrue(flood.tables.is_shut(flood.slot))
        self.assertEqual(0, flood.lost - self.lost_before)
        self.assertEqual([False] * 7, [flood.comes(number) for number in range(5004, 5011)])

    def test_what_was_late_is_taken_by_either(self) -> None:
        flood = self.flood
        flood.begins(5006)
        flood.is_forced(5005, 5008)
        self.assertEqual([True, True, True], [flood.comes(number) for number in (5010, 5004, 5009)])
        before = self.taken()
        flood.all_is_out()
        self.assertEqual(before + 2, self.taken())
        self.assertTrue(flood.comes(5007))
        self.assertEqual(([False] * 7, [False] * 7), flood.both(*range(5004, 5011)))

    def test_one_that_is_shut_again_first_is_judged_here_by_what_both_took(self) -> None:
        flood = self.flood
        flood.begins(5004)
        flood.is_forced(5005, 5006)
        self.assertEqual([True, True], [flood.comes(5007), flood.comes(5008)])
        flood.tables.leave(flood.slot)
        before = self.taken()
        self.flood.world.run(0.01)
        self.assertEqual(before + 2, self.taken())
        self.assertTrue(flood.tables.is_shut(flood.slot))
        self.assertEqual([False] * 4, [flood.comes(number) for number in range(5004, 5008)])
        self.assertTrue(flood.comes(5009))
        flood.all_is_out()
        self.assertFalse(flood.tables.is_shut(flood.slot))
        self.assertEqual(([False] * 6, [False] * 6), flood.both(*range(5004, 5010)))
        self.assertEqual(0, flood.lost - self.lost_before)

    def test_one_that_is_forced_again_and_again(self) -> None:
        flood, number = self.flood, 5003
        for _ in range(3):
            flood.begins(number + 1)
            flood.is_forced(number + 2)
            self.assertEqual([True, False, False], [flood.comes(number + n) for n in (3, 3, 1)])
            number += 3
        flood.all_is_out()
        self.assertEqual(0, flood.lost - self.lost_before)
        self.assertEqual(([False] * 10, [False] * 10), flood.both(*range(number - 9, number + 1)))

    def test_one_that_is_taken_back_first(self) -> None:
        flood = self.flood
        flood.begins(5004)
        flood.is_forced(5005)
        self.assertEqual([True, True], [flood.comes(5006), flood.comes(5007)])
        before = self.taken()
        flood.happens("switch")
        flood.link.read_waiting()
        self.assertEqual(before + 1, self.taken())
        self.assertEqual([False] * 5, [flood.comes(number) for number in range(5003, 5008)])
        self.assertEqual(0, flood.lost - self.lost_before)

    def test_one_that_is_taken_back_when_what_waited_is_out(self) -> None:
        flood = self.flood
        flood.begins(5004)
        flood.is_forced(5005, 5006)
        self.assertEqual([True, True], [flood.comes(5008), flood.comes(5009)])
        flood.link.read_waiting()
        flood.happens("switch")
        self.assertEqual(1, flood.lost - self.lost_before, "5007")
        self.assertEqual([False, False, True], [flood.comes(number) for number in (5006, 5008, 5007)])
        self.assertEqual(0, flood.lost - self.lost_before)

    def test_more_than_a_window_waits(self) -> None:
        for end in ENDS:
            flood = Flood()
            lost_before = flood.lost
            flood.begins(5004)
            flood.is_forced(*range(5005, 8005))
            self.assertEqual([True] * 3, [flood.comes(number) for number in (8005, 8006, 8007)])
            before = flood.stream.window.received
            if end == "shut again":
                flood.tables.leave(flood.slot)
                flood.hub.mirror.handover._gates._await(
                    flood.slot, flood.link.read_waiting, flood.tables, 0.0
                )
                flood.all_is_out()
            else:
                flood.ends(end)
            self.assertEqual((end, before + 3000), (end, flood.stream.window.received))
            self.assertEqual(0, flood.lost - lost_before, end)
            self.assertEqual([False] * 4, [flood.comes(number) for number in (7500, 8003, 8004, 8006)], end)
            self.assertEqual([True, False], [flood.comes(8008), flood.comes(8008)], end)

    def test_the_kernel_takes_more_than_a_window_meanwhile(self) -> None:
        for end in ENDS:
            flood = Flood()
            lost_before = flood.lost
            flood.begins(5004)
            flood.is_forced(5005, 5007)
            numbers = [*range(5008, 7000), *range(7001, 8000)]
            self.assertTrue(all(flood.comes(number) for number in numbers))
            flood.ends(end)
            self.assertEqual((end, 2), (end, flood.lost - lost_before), "5006 and 7000")
            again = [number for number in (5004, 5005, 5007, *numbers) if flood.comes(number)]
            self.assertEqual([], again, end)
            self.assertTrue(flood.comes(8000))
            self.assertEqual(2, flood.lost - lost_before)

    def test_what_is_repeated_of_those_that_wait_has_no_other_refused(self) -> None:
        """The kernel takes it as what comes next, and the stream is more than a window ahead of that."""
        for end in ENDS:
            flood = Flood()
            lost_before = flood.lost
            flood.begins(5004)
            flood.is_forced(*range(5005, 9005))
            before = flood.stream.window.received
            numbers = (5006, 6500, 6501, 9005, 9006, 9008)
            self.assertEqual([True] * 6, [flood.comes(number) for number in numbers])
            flood.ends(end)
            late = flood.stream.window.received - before
            self.assertEqual((end, 4000), (end, late))
            self.assertEqual((end, 1), (end, flood.lost - lost_before), "9007")
            again = [number for number in (*range(5005, 9007), 9008) if flood.comes(number)]
            self.assertEqual((end, []), (end, again))

    def test_a_flood_that_never_ends_is_out_when_a_full_socket_has_been_read(self) -> None:
        flood = self.flood
        flood.begins(5004)
        flood.is_forced(5005)
        self.assertTrue(flood.comes(5006))
        flood.link.read_waiting = flood.then = None
        gates = flood.hub.mirror.handover._gates
        takes = []
        gates._forced[flood.slot] = gates._forced[flood.slot]._replace(take=lambda: not takes.append(1))
        flood.world.run(0.1)
        self.assertEqual((DRAINED, {}), (len(takes), gates._forced))
        self.assertFalse(flood.tables.is_shut(flood.slot))

    def test_where_losses_are_repaired_nothing_is_asked_for_until_what_waits_has_come(self) -> None:
        """Neither judge knows what the other has; and what passed before that is not missing, either."""
        self.patch(lossy, "RATE_MAX", -1.0)  # it stays in the kernel
        for end in ENDS:
            flood = Flood(recovery=1.0)
            repair, before = flood.stream.repair, 5300
            flood.begins(*range(5004, before), before + 1)
            self.assertEqual([before], [*repair.gaps.numbers])
            flood.is_forced(*range(before + 2, before + 20), before + 21)
            self.assertFalse(flood.stream.is_counting)
            kernel = range(before + 22, before + 50)
            self.assertTrue(all(flood.comes(number) for number in kernel))
            if end == "shut again":
                flood.tables.leave(flood.slot)
                flood.world.run(0.01)
                self.assertTrue(flood.stream.is_counting)
            elif end == "taken back":
                flood.happens("switch")
                flood.link.read_waiting()
            else:
                flood.all_is_out()
                flood.begins()
            asked = repair.counters.asked
            self.assertTrue(flood.comes(before + 51))
            flood.world.run(REST - 0.5)
            self.assertEqual((end, []), (end, [*repair.gaps.numbers]))
            self.assertEqual((end, asked, 1), (end, repair.counters.asked, repair.counters.missed))
            flood.world.run(0.5)
            self.assertTrue(flood.comes(before + 52))
            self.assertTrue(flood.comes(before + 54))
            self.assertEqual((end, [before + 53]), (end, [*repair.gaps.numbers]))
            flood.world.run(0.5)
            self.assertLess(asked, repair.counters.asked)

    def test_what_comes_after_a_silence_is_taken_though_it_is_forced(self) -> None:
        """Whoever sends has begun anew, with lower numbers; what the kernel knew waits here."""
        for waiting in ((7, 8, 9), (9,), ()):
            for end in ENDS:
                flood = Flood()
                flood.happens("switch")
                flood.world.run(SILENCE + 1)
                self.assertIsNotNone(flood.stream.left)
                lost_before, flood.is_over = flood.lost, False
                flood.happens("switch")
                flood.is_forced(*waiting)
                self.assertEqual([True, True], [flood.comes(10), flood.comes(11)])
                flood.ends(end)
                came = (*waiting, 10, 11)
                self.assertEqual((end, []), (end, [number for number in came if flood.comes(number)]))
                self.assertEqual([True, True], [flood.comes(12), flood.comes(13)])
                self.assertEqual((waiting, end, 0), (waiting, end, flood.lost - lost_before))

    def test_after_that_it_is_repaired_from_where_the_stream_is_whatever_came_first(self) -> None:
        self.patch(lossy, "RATE_MAX", -1.0)  # it stays in the kernel
        for first, numbers, missing in (
            (5009, (5011,), []),  # it is late, and 5010 has come
            (1 << 30, (5011, 5013), [5012]),  # nobody believes it
        ):
            flood = Flood(recovery=1.0)
            flood.begins(5004)
            flood.is_forced(5005)
            self.assertTrue(flood.comes(5006))
            flood.happens("switch")
            flood.link.read_waiting()
            self.assertTrue(all(flood.comes(number) for number in (5007, 5008, 5010)))
            flood.world.run(REST)
            self.assertTrue(all(flood.comes(number) for number in (first, *numbers)))
            self.assertEqual(missing, [*flood.stream.repair.gaps.numbers])

    def test_nor_is_what_the_kernel_took_missing_where_nothing_was_judged_here(self) -> None:
        flood = Flood(recovery=1.0)
        flood.begins()
        flood.is_forced(5004, 5006)
        self.assertTrue(all(flood.comes(number) for number in (5007, 5008)))
        flood.world.run(0.006)
        self.assertTrue(flood.comes(5009))
        self.assertEqual([], [*flood.stream.repair.gaps.numbers])

    def test_what_is_kept_meanwhile_is_kept(self) -> None:
        """For partners further down, who ask for what they lack as ever."""
        flood = Flood(recovery=1.0)
        repair = flood.stream.repair
        flood.begins(5004)
        flood.is_forced(5005)
        self.assertTrue(flood.comes(5006))
        flood.tables.leave(flood.slot)
        flood.world.run(0.01)
        for number in range(5007, 5037):  # it is forced again after a second
            repair.keeps = True
            self.assertTrue(flood.comes(number))
            flood.world.run(0.03)
        self.assertTrue(all(repair.kept.has(number) for number in range(5021, 5037)))

    def test_where_the_kernel_has_got_nothing_meanwhile_it_is_told(self) -> None:
        flood = self.flood
        flood.begins(5004)
        flood.is_forced(5005, 5006)
        flood.all_is_out()
        self.assertFalse(flood.tables.is_shut(flood.slot))
        self.assertEqual([False, False, True], [flood.comes(number) for number in (5005, 5006, 5007)])
        self.assertEqual(0, flood.lost - self.lost_before)
        self.assertTrue(flood.comes(5009))
        self.assertEqual(1, flood.lost - self.lost_before, "5008")
        self.assertEqual(([False] * 4, [False] * 4), flood.both(5004, 5006, 5007, 5009))

    def test_or_only_what_was_late(self) -> None:
        flood = self.flood
        flood.begins(5006)
        flood.is_forced(5007)
        self.assertEqual([True, False], [flood.comes(5005), flood.comes(5006)])
        flood.all_is_out()
        numbers = (5003, 5005, 5006, 5007)
        self.assertEqual(([False] * 4, [False] * 4), flood.both(*numbers))

    def test_or_one_that_is_far_ahead_and_not_believed_yet(self) -> None:
        flood = self.flood
        flood.begins(5004)
        flood.is_forced(*range(5005, 7005))
        self.assertTrue(flood.comes(7005))
        flood.all_is_out()
        self.assertEqual([False, True, False], [flood.comes(number) for number in (7004, 7006, 7006)])

    def test_what_is_far_ahead_makes_nothing_new_that_was_long_ago(self) -> None:
        """As more was lost meanwhile than a window holds."""
        flood = self.flood
        flood.begins(5004)
        flood.is_forced()
        self.assertTrue(flood.comes(8000))
        self.assertEqual([False] * 3, [flood.comes(number) for number in (5004, 5003, 5002)])
        self.assertEqual([True, False], [flood.comes(8001), flood.comes(8000)])
        self.assertEqual([False] * 3, [flood.comes(number) for number in (5004, 5003, 5002)])
        flood.all_is_out()
        self.assertEqual(([False] * 3, [False] * 3), flood.both(5004, 8000, 8001))
        self.assertEqual(8000 - 5004 - 1, flood.lost - self.lost_before)

    def test_whose_numbers_the_kernel_judged_to_the_end_is_given_back_as_ever(self) -> None:
        """What waits has it shut again, and that is no end of what waits."""
        flood = self.flood
        flood.begins()
        flood.is_forced(5004, 5006)
        self.assertTrue(flood.comes(5007))
        before = self.taken()
        flood.world.run(0.1)
        self.assertEqual((before + 2, True), (self.taken(), flood.tables.is_shut(flood.slot)))
        self.assertEqual([False] * 3, [flood.comes(number) for number in (5004, 5006, 5007)])
        flood.all_is_out()
        self.assertEqual(([False] * 4, [False] * 4), flood.both(5003, 5004, 5006, 5007))
        self.assertEqual(1, flood.lost - self.lost_before, "5005")

    def test_of_two_counts_each_has_its_own_numbers(self) -> None:
        flood = self.flood
        flood.begins(5004)
        other = bytearray(flood.message)
        other[FLAGS_OFFSET] |= NUMBERED_BY_KERNEL
        flood.comes_as(other, 77)
        flood.is_forced(5005)
        flood.comes_as(other, 78)
        self.assertTrue(flood.comes(5006))
        judge = flood.tables.judge
        self.assertEqual([False, True], [judge(flood.flow.key, number, 1) for number in (77, 79)])
        flood.all_is_out()
        self.assertEqual([False] * 3, [judge(flood.flow.key, number, 1) for number in (77, 78, 79)])
        self.assertEqual([False] * 3, [judge(flood.flow.key, number) for number in (5004, 5005, 5006)])

    def test_one_whose_packets_nobody_wanted_for_a_while_starts_afresh(self) -> None:
        flood = self.flood
        flood.begins(5004)
        flood.stream.route.epoch += 1
        flood.stream.route.found[()] = flood.stream.route.epoch
        flood.is_forced()
        self.assertTrue(flood.comes(6000))
        flood.tables.leave(flood.slot)
        flood.world.run(0.1)
        self.assertEqual([False, True], [flood.comes(6000), flood.comes(6001)])
        self.assertEqual(0, flood.lost - self.lost_before)

    def test_a_link_s_gate_leaves_what_waits_to_those_of_its_flows(self) -> None:
        flood = self.flood
        assert flood.flow.value
        gate, gates = GATE_OF_LINK + flood.flow.value.link, flood.hub.mirror.handover._gates
        is_over = False

        def take() -> bool:
            flood._deliver(1024)
            if not is_over and flood.tables.is_shut(gate):
                flood.tables.leave(gate)
            return bool(flood.waiting)

        flood.link.read_waiting = take
        gates.shut(gate, flood.tables, flood.world.now)
        flood.world.run_until(lambda: not flood.tables.is_shut(gate), TOO_LONG + 0.1)
        is_over, before = True, self.taken()
        flood.wait(*range(5004, 7004))
        for number in (7004, 7005, 7006):
            if flood.flow_in_kernel():
                flood.comes(number)
            else:
                flood.wait(number)
        flood.world.run(0.1)
        self.assertEqual(2003, self.taken() - before)
        self.assertFalse(flood.tables.is_shut(flood.slot))
        self.assertEqual([False, False, True], [flood.comes(number) for number in (7003, 7006, 7007)])
        self.assertEqual(0, flood.lost - self.lost_before)

    def force_a_link(self) -> int:
        """Its gate is shut, and something always waits; gives the gate."""
        flood = self.flood
        assert flood.flow.value
        gate, gates = GATE_OF_LINK + flood.flow.value.link, flood.hub.mirror.handover._gates
        gates.shut(gate, flood.tables, flood.world.now)
        gates._shut[gate] = gates._shut[gate]._replace(take=lambda: True)
        flood.world.run_until(lambda: not flood.tables.is_shut(gate), TOO_LONG + 0.1)
        return gate

    def test_nor_does_it_put_off_those_that_are_shut(self) -> None:
        flood = self.flood
        gates = flood.hub.mirror.handover._gates
        flood.world.run(TOO_LONG / 2)
        began = flood.world.now
        flood.is_over = False
        flood.world.later(TOO_LONG / 2, lambda: gates.shut(flood.slot, flood.tables, flood.world.now))
        self.force_a_link()
        self.assertAlmostEqual(began + TOO_LONG / 2, gates._shut[flood.slot].since, delta=0.1)

    def test_flows_of_another_link_are_not_concerned(self) -> None:
        flood = self.flood
        d = flood.world.node("d")
        flood.world.connect(d, flood.hub.node)
        flood.world.run(0.5)
        for _ in range(3):
            d.send(GROUP, FAR)
            flood.world.run(0.05)
        (other,) = (flow for flow in flood.hub.mirror.flows if flow is not flood.flow)
        assert other.value
        self.assertFalse(flood.tables.is_shut(other.value.slot))
        left = flood.tables.seen[other.value.slot]
        self.force_a_link()
        self.assertEqual(left, flood.tables.seen[other.value.slot])

    def test_a_link_s_gate_whose_link_is_gone_is_no_trouble(self) -> None:
        flood = self.flood
        assert flood.flow.value
        index, gates = flood.flow.value.link, flood.hub.mirror.handover._gates
        gates.shut(GATE_OF_LINK + index, flood.tables, flood.world.now)
        flood.is_over = False
        flood.link.read_waiting = lambda: flood.tables.leave(GATE_OF_LINK + index)
        gates._shut[GATE_OF_LINK + index] = Shut(flood.world.now, flood.link.read_waiting)
        flood.world.run(TOO_LONG - 0.001)
        flood.world.run_until(lambda: GATE_OF_LINK + index in gates._forced, 0.1)
        del flood.hub.mirror.peers.by_index[index]
        gates.tick(flood.tables, flood.world.now + AGAIN)
        self.assertIn(GATE_OF_LINK + index, gates._shut)


class Story:
    """Numbers come, are late, and come again, wherever the flow is; each is new once."""

    def __init__(self, first: int, seed: int, recovery: float) -> None:
        self.first, self.top = first, 3
        self.flood, self.random = Flood(first, recovery), Random(seed)
        self.lost_before = self.flood.lost
        self.came: set[int] = {0, 1, 2, 3}
        self.missing: set[int] = set()
        self.waiting: set[int] = set()
        self.overtook: set[int] = set()  # what came while a gate was forced
        self.told: list[object] = []

    def number(self, which: int) -> int:
        return (self.first + which) & MASK

    def another(self) -> int:
        """That has not come: the next one, or a late one."""
        if self.missing and self.random.random() < 0.3:
            which = self.random.choice(sorted(self.missing))
            self.missing.discard(which)
        else:
            step = self.random.choice((1, 1, 1, 1, 2, 3, 40))
            self.missing.update(range(self.top + 1, self.top + step))
            self.top = which = self.top + step
        self.came.add(which)
        return which

    def come(self, where: str, at_least: int = 0) -> None:
        for _ in range(self.random.randint(at_least, 5)):
            self.judge(where, self.another(), True)
            if self.random.random() < 0.4:
                known = sorted(self.came - self.waiting)[-40:]
                self.judge(where, self.random.choice(known), False)

    def judge(self, where: str, which: int, is_new: bool) -> None:
        self.told.append((where, which, is_new))
        assert self.flood.comes(self.number(which)) == is_new, self.told
        if where == "forced":
            self.overtook.add(which)
        repair = self.flood.stream.repair
        if repair and self.flood.stream.is_counting:
            assert not repair.gaps.numbers.keys() & set(map(self.number, self.overtook)), self.told

    def turn(self) -> None:
        """A gate is forced open once."""
        flood = self.flood
        self.come("before")
        flood.is_over = False
        flood.tables.leave(flood.slot)
        self.come("shut", 1)
        self.waiting = {self.another() for _ in range(self.random.randint(1, 8))}
        queue = [*sorted(self.waiting), *self.random.sample(sorted(self.came)[-20:], 2)]
        if self.random.random() < 0.3:
            self.random.shuffle(queue)
        flood.is_forced(*map(self.number, queue))
        self.told.append(("waiting", queue))
        self.come("forced")
        end = self.random.choice(("out", "shut again", "taken back", "taken back first"))
        self.told.append(end)
        if end == "shut again":
            flood.tables.leave(flood.slot)
        elif end == "taken back":
            flood.link.read_waiting()
            flood.happens("switch")
        elif end == "taken back first":
            flood.happens("switch")
            flood.link.read_waiting()
        flood.all_is_out()
        self.waiting = set()
        self.come("after")
        if not flood.hub.mirror.device:
            flood.happens("switch")
        flood.happens("a while")


class AnyStory(SynchronousTestCase):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from((5000, HALF - 20, MASK - 15, MASK - 60)),
        st.integers(0, 1 << 32),
        st.sampled_from((0.0, 1.0)),
    )
    def test_each_is_taken_once_and_what_has_not_come_is_lost(
        self, first: int, seed: int, recovery: float
    ) -> None:
        self.patch(lossy, "RATE_MAX", -1.0)  # it stays in the kernel
        story = Story(first, seed, recovery)
        for _ in range(2):
            story.turn()
        self.assertEqual(len(story.missing), story.flood.lost - story.lost_before, story.told)
