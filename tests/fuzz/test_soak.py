"""The state machines for minutes: `make soak`."""

import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests.core.test_fragments_machine import ReassemblerMachine
from tests.core.test_room_machine import RoomMachine


@pytest.mark.slow
class Machines(SynchronousTestCase):
    def runs(self, machine: type[RuleBasedStateMachine], most: int, steps: int) -> None:
        began = time.monotonic()
        checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
        chosen = settings(
            max_examples=most, stateful_step_count=steps, deadline=None, suppress_health_check=checks
        )
        run_state_machine_as_test(machine, settings=chosen)
        print(f"\nmeasured: {most} lives of up to {steps} steps in {time.monotonic() - began:.0f} s")

    def test_whoever_calls_for_a_long_time_each_gets_what_it_wants_once(self) -> None:
        self.runs(RoomMachine, 2_000, 80)

    def test_whatever_comes_for_a_long_time_the_reassembler_does_as_the_naive_one(self) -> None:
        self.runs(ReassemblerMachine, 5_000, 100)
