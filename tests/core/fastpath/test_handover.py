"""Each number of a stream is judged once, by all that came before it, whoever judges it."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fastpath.flows import Flow
from multicastmw.core.fastpath.tables import GATE_OF_LINK
from multicastmw.core.packet import Packet
from multicastmw.core.window import KNOWN, MASK, Window
from multicastmw.wire.data import FLAGS_OFFSET, NUMBERED_BY_KERNEL
from tests.core.cable import World
from tests.core.fastpath.memory import FAR, GROUP, Hub

# From the highest number to the next one; most follow, some are missing, repeated or late.
steps = st.sampled_from((1, 1, 1, 1, 2, 3, 0, -1, -2, -5, -40, 60, -900, 300))
happenings = st.sampled_from(("switch", "a gate", "the link's gate", "a while", "settle", "no lease"))
events = st.one_of(steps, steps, happenings)


class Life:
    """A stream from b to c through a hub; the kernel takes what its gates let pass."""

    def __init__(self, first: int, recovery: float = 0.0) -> None:
        self.world = World()
        self.hub = Hub(self.world)
        self.tables = self.hub.tables
        if recovery:
            self.hub.node.recovers(recovery)
            self.hub.node.room.recovery.is_needed = self.hub.mirror.is_needed
        self.b, self.c = self.world.node("b", recovery=recovery), self.world.node("c")
        for node in (self.b, self.c):
            self.world.connect(node, self.hub.node)
        self.world.run(1)
        self.hub.start()
        self.c.host.wants(GROUP)
        self.world.run(0.1)
        self.b.send(GROUP, FAR)
        self.sending = next(iter(self.b.forwarder.streams.starting.values()))
        self.world.run(0.1)
        (self.flow,) = self.hub.mirror.flows
        (self.stream,) = self.flow.streams
        self.hub.mirror.stop(self.world.now)
        self.stream.window.lapse()
        self.stream.left, self.sending.sequence = None, first
        if self.sending.repair:
            self.sending.repair.kept.packets.clear()  # the number that it had does not come again
        self.by_kernel = 0

    def flow_in_kernel(self) -> Flow | None:
        """Where its packets pass there at this moment."""
        flow = self.flow
        if flow.value is None or flow.key not in self.tables.routes:
            return None
        gates = flow.value.slot, flow.value.gate_of_link
        return None if any(self.tables.is_shut(gate) for gate in gates if gate is not None) else flow

    def comes(self, number: int) -> bool:
        """Was it new?"""
        if flow := self.flow_in_kernel():
            self.by_kernel += 1
            return self.tables.judge(flow.key, number)
        before = self.stream.window.received
        self.sending.sequence = number
        self.b.send(GROUP, FAR)
        self.world.run(0.002)
        return self.stream.window.received > before

    def happens(self, event: str) -> None:
        mirror, flow = self.hub.mirror, self.flow
        if event == "switch" and mirror.device:
            mirror.stop(self.world.now)
        elif event == "switch":
            self.hub.start()
        elif event == "a gate" and flow.value:
            self.tables.leave(flow.value.slot)
        elif event == "the link's gate" and flow.value:
            self.tables.leave(GATE_OF_LINK + flow.value.link)
        elif event == "no lease" and mirror.device:
            mirror.tick(self.world.now + 2.5)
        elif event == "nobody":
            self.c.host.unwants(GROUP)
            self.world.run(1)
            self.c.host.wants(GROUP)
            self.world.run(1)
        else:
            self.world.run(1.2 if event == "a while" else 0.02)

    def comes_by_kernel(self, *numbers: int) -> list[bool]:
        """Of those that b's kernel has numbered, of which nothing need have come here: were they new?"""
        if flow := self.flow_in_kernel():
            return [self.tables.judge(flow.key, number, 1) for number in numbers]
        link = self.hub.node.link(self.b)
        received = link.datagram_received

        def flagged(packet: Packet, size: int, source: object) -> None:
            packet.buffer[FLAGS_OFFSET] |= NUMBERED_BY_KERNEL
            received(packet, size, source)  # type: ignore[arg-type]

        link.datagram_received = flagged  # type: ignore[method-assign]
        try:
            return [self._takes(number) for number in numbers]
        finally:
            link.datagram_received = received  # type: ignore[method-assign]

    def _takes(self, number: int) -> bool:
        before = sum(stream.window.received for stream in self.flow.counts())
        self.sending.sequence = number
        self.b.send(GROUP, FAR)
        self.world.run(0.002)
        return sum(stream.window.received for stream in self.flow.counts()) > before

    @property
    def lost(self) -> int:
        self.hub.mirror.read(self.world.now)
        return self.flow.lost + self.stream.window.lost


class HandoverTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from((5000, 1 << 31, MASK - 30)), st.lists(events, max_size=40))
    def test_wherever_a_number_is_judged(self, first: int, events: list[int | str]) -> None:
        life, whole = Life(first), Window(slots=KNOWN, most=KNOWN)
        lost_before = life.lost
        top, story = first - 1, []
        for event in (1, 1, "switch", "settle", *events):
            if isinstance(event, str):
                life.happens(event)
                story.append(event)
                continue
            number = (top + event) & MASK
            story.append(number)
            wanted = whole.accept(number, life.world.now)
            self.assertEqual(wanted, life.comes(number), story)
            if event > 0:
                top += event
        self.assertEqual(whole.lost, life.lost - lost_before, story)

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(
            st.one_of(st.tuples(st.sampled_from((0, 1, 1)), steps), happenings, st.just("nobody")),
            max_size=30,
        )
    )
    def test_each_of_two_counts_has_its_own_numbers(self, events: list[tuple[int, int] | str]) -> None:
        """Also where all of the second one came to the kernel, and while nobody wants it for a time."""
        life, whole = Life(5000), [Window(slots=KNOWN, most=KNOWN) for _ in range(2)]
        tops, story = [4999, 2999], []
        lost_before = self.lost(life)
        for event in ((0, 1), (0, 1), "switch", "settle", *events):
            story.append(event)
            if isinstance(event, str):
                life.happens(event)
                if event == "nobody":
                    for window in whole:
                        window.lapse()
                continue
            count, step = event
            number = tops[count] + step
            wanted = whole[count].accept(number, life.world.now)
            is_new = life.comes_by_kernel(number)[0] if count else life.comes(number)
            self.assertEqual(wanted, is_new, story)
            tops[count] += max(step, 0)
        self.assertEqual(sum(window.lost for window in whole), self.lost(life) - lost_before, story)

    @staticmethod
    def lost(life: Life) -> int:
        life.hub.mirror.read(life.world.now)
        return life.flow.lost + sum(stream.window.lost for stream in life.flow.counts())

    def test_the_property_above_is_not_empty(self) -> None:
        """Both judge in it."""
        life = Life(5000)
        here = [life.comes(number) for number in (5000, 5001)]
        self.assertEqual(([True, True], 0), (here, life.by_kernel))
        life.happens("switch")
        life.happens("settle")
        there = [life.comes(number) for number in (5001, 5002)]
        self.assertEqual(([False, True], 2), (there, life.by_kernel))

    def alone_in_kernel(self) -> Life:
        """Packets of a second count came, and all of them to the kernel: 70, 71 and 73."""
        life = Life(5000)
        self.assertEqual([True, True], [life.comes(number) for number in (5000, 5001)])
        life.happens("switch")
        life.happens("settle")
        self.assertEqual([True] * 3, life.comes_by_kernel(70, 71, 73))
        self.assertEqual(1, len(life.flow.streams))
        return life

    def test_what_the_kernel_alone_has_judged_is_known_here_when_the_flow_is_back(self) -> None:
        """Or it would be asked for as missing, and be taken once more."""
        for how in ("switch", "a gate"):
            self.is_known_here(how)

    def is_known_here(self, how: str) -> None:
        life = self.alone_in_kernel()
        lost = life.lost
        life.happens(how)
        self.assertEqual([False, False, True, True, False], life.comes_by_kernel(73, 70, 75, 72, 75))
        self.assertEqual((2, lost), (len(life.flow.streams), life.lost + life.flow.counts()[1].window.lost))
        life.happens("switch")
        life.happens("settle")
        self.assertEqual([False, False, True, True], life.comes_by_kernel(70, 75, 74, 76))

    def test_and_in_the_kernel_when_that_has_it_again_and_nothing_came_here(self) -> None:
        life = self.alone_in_kernel()
        life.happens("switch")
        life.happens("switch")
        life.happens("settle")
        self.assertEqual([False, True, True, False], life.comes_by_kernel(71, 74, 72, 73))
        life.happens("switch")
        self.assertEqual([False, False, True], life.comes_by_kernel(70, 74, 75))

    def test_but_not_when_nobody_wanted_it_meanwhile(self) -> None:
        """It was not sent here then, and may have begun anew."""
        for again in (1, 2):
            life = self.alone_in_kernel()
            life.happens("switch")
            life.happens("nobody")
            for _ in range(again - 1):
                life.happens("switch")
                life.happens("settle")
            self.assertEqual([True, True], life.comes_by_kernel(70, 71))
