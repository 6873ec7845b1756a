"""Gates: nothing is overtaken on its way from us to the kernel, whenever packets come."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fastpath.gates import AGAIN, TOO_LONG, Gates, Take
from multicastmw.core.fastpath.tables import KernelTables
from tests.core.fastpath.memory import MemoryTables

GATE = 5


class Kernel(MemoryTables):
    """One flow's packets: forwarded at once, or left in a socket.

    `coming` says how many come before each of the calls that look at the gate.
    """

    def __init__(self, coming: list[int]) -> None:
        super().__init__(lambda: 0.0)
        self.coming = coming
        self.number = 0
        self.socket: list[int] = []
        self.out: list[int] = []

    def comes(self, packets: int = 1, stray: bool = False) -> None:
        for _ in range(packets):
            if stray or MemoryTables.is_shut(self, GATE):
                self.leave(GATE)
                self.socket.append(self.number)
            else:
                self.out.append(self.number)
            self.number += 1

    def passes(self) -> None:
        if self.coming:
            self.comes(self.coming.pop())

    def take(self) -> None:
        """Until nothing waits, as a socket is read."""
        self.passes()
        while self.socket:
            self.out.append(self.socket.pop(0))
            self.passes()

    def left_at(self, gate: int) -> int:
        self.passes()
        found = super().left_at(gate)
        self.passes()
        return found

    def is_shut(self, gate: int) -> bool:
        self.passes()
        return super().is_shut(gate)

    def open_gate(self, gate: int, left: int) -> None:
        self.passes()
        super().open_gate(gate, left)
        self.passes()


class Owner:
    """Of one gate, behind which things wait in one place."""

    def __init__(self, take: Take) -> None:
        self.take = take
        self.may = True
        self.said: list[str] = []

    def where(self, gate: int) -> Take:
        return self.take

    def may_open(self, gate: int) -> bool:
        return self.may

    def park(self, gate: int) -> None:
        self.said.append("parked")

    def opens(self, gate: int, tables: KernelTables) -> None:
        self.said.append("opens")

    def is_forced(self, gate: int, tables: KernelTables, now: float) -> None:
        self.said.append("forced")

    def is_out(self, gate: int, tables: KernelTables) -> None:
        self.said.append("out")

    def is_shut_again(self, gate: int, tables: KernelTables) -> None:
        self.said.append("shut again")


class GatesTests(SynchronousTestCase):
    @given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, 5), st.integers(0, 2**32 - 1))
    def test_whenever_packets_come_they_leave_in_their_order(
        self, coming: list[int], waiting: int, counted: int
    ) -> None:
        kernel = Kernel(coming)
        gates = Gates(Owner(kernel.take))
        kernel.left[GATE] = kernel.seen[GATE] = counted
        kernel.comes(waiting, stray=True)
        gates.shut(GATE, kernel, 0.0)
        for turn in range(100):
            gates.tick(kernel, turn * AGAIN)
            if not coming:
                break
        kernel.comes(3)
        gates.tick(kernel, TOO_LONG - AGAIN)
        self.assertEqual(sorted(kernel.out), kernel.out)
        self.assertFalse(MemoryTables.is_shut(kernel, GATE))
        kernel.comes(2)
        self.assertEqual(list(range(kernel.number)), kernel.out, "all of them, and the last ones fast")

    def test_a_packet_that_the_kernel_leaves_shuts_it_and_those_behind_wait(self) -> None:
        kernel = Kernel([])
        gates = Gates(Owner(kernel.take))
        kernel.comes(2)
        kernel.comes(stray=True)
        kernel.comes(2)
        self.assertEqual(([0, 1], [2, 3, 4]), (kernel.out, kernel.socket))
        gates.found(GATE, kernel, 7.0)
        gates.tick(kernel, 7.0)
        kernel.comes()
        self.assertEqual(([0, 1, 2, 3, 4, 5], []), (kernel.out, kernel.socket))
        self.assertEqual(float("inf"), gates.deadline())

    def test_one_that_is_open_is_left_alone(self) -> None:
        kernel, gates = Kernel([]), Gates(Owner(self.fail))
        gates.found(GATE, kernel, 0.0)
        gates.tick(kernel, 0.0)
        self.assertEqual(float("inf"), gates.deadline())

    def test_where_something_always_waits_it_opens_after_a_while(self) -> None:
        kernel = Kernel([])
        owner = Owner(lambda: kernel.comes(stray=True))
        gates = Gates(owner)
        gates.shut(GATE, kernel, 0.0)
        for turn in range(round(TOO_LONG / AGAIN)):
            gates.tick(kernel, turn * AGAIN)
            self.assertTrue(MemoryTables.is_shut(kernel, GATE))
        gates.tick(kernel, TOO_LONG)
        self.assertFalse(MemoryTables.is_shut(kernel, GATE))
        self.assertEqual(["forced"], owner.said)
        owner.take = lambda: None
        gates.found(GATE, kernel, TOO_LONG + 1)
        gates.tick(kernel, TOO_LONG + 1)
        self.assertEqual(["forced", "shut again"], owner.said, "where it was is not where it is now")

    def test_while_more_waits_than_is_taken_at_once_it_stays_shut(self) -> None:
        kernel = Kernel([])
        kernel.comes(5, stray=True)

        def one_at_a_time() -> bool:
            kernel.out.append(kernel.socket.pop(0))
            return bool(kernel.socket)

        gates = Gates(Owner(one_at_a_time))
        gates.found(GATE, kernel, 0.0)
        gates.tick(kernel, 0.0)
        self.assertTrue(MemoryTables.is_shut(kernel, GATE))
        gates.tick(kernel, AGAIN)
        self.assertEqual(([], False), (kernel.socket, MemoryTables.is_shut(kernel, GATE)))
        kernel.comes()
        self.assertEqual(sorted(kernel.out), kernel.out)

    def test_one_that_is_forgotten_under_way_is_not_opened(self) -> None:
        kernel, takes = Kernel([]), []

        def take() -> None:
            takes.pop()()

        gates = Gates(Owner(take))
        takes += [lambda: gates.forget(GATE), gates.forget_all]
        for _ in range(2):
            gates.shut(GATE, kernel, 0.0)
            gates.tick(kernel, 0.0)
            self.assertTrue(MemoryTables.is_shut(kernel, GATE))

    def test_one_that_may_not_open_is_parked_however_long_it_takes_and_opens_when_it_is_found(self) -> None:
        kernel = Kernel([])
        owner = Owner(lambda: None)
        owner.may = False
        gates = Gates(owner)
        gates.shut(GATE, kernel, 0.0)
        for now in (0.0, 2 * TOO_LONG):
            gates.tick(kernel, now)
            self.assertTrue(MemoryTables.is_shut(kernel, GATE))
        self.assertEqual((["parked"], float("inf")), (owner.said, gates.deadline()))
        owner.may = True
        gates.found(GATE, kernel, 3 * TOO_LONG)
        gates.tick(kernel, 3 * TOO_LONG)
        self.assertFalse(MemoryTables.is_shut(kernel, GATE))
