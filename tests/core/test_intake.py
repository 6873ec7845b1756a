from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from multicastmw.core.intake import MESSAGE_STEPS, Intake
from multicastmw.wire.cops import Code
from multicastmw.wire.errors import PeerError
from multicastmw.wire.messages import AddRoute, Close, Group, KeepAlive, Message, Node, decode, encode

FIRST, SECOND, GOODBYE = (
    AddRoute((Group(1, 0), Group(2, 0), Group(3, 0))),
    AddRoute((Group(4, 0),)),
    Close(1, 0),
)
EVERYTHING = [KeepAlive(), FIRST, KeepAlive(), SECOND, GOODBYE]


class Reader:
    """Takes entries before the next message, as a link does; ends it all at a Close."""

    def __init__(self, entry_steps: int = 1) -> None:
        self.heard: list[Message | Group | Node] = []
        self.intake = Intake(self.accept, lambda: entry_steps, 1_000)

    def accept(self, message: memoryview, now: float) -> None:
        said = decode(message).message
        self.heard.append(said)
        if isinstance(said, AddRoute):
            self.intake.goes_on_with(said.entries, self.heard.append)
        elif isinstance(said, Close):
            self.intake.clear()


class IntakeTest(TestCase):
    @given(st.lists(st.integers(1, 200), min_size=1), st.integers(1, 60), st.integers(1, 40))
    def test_however_it_comes_and_is_worked_at_its_order_is_kept(
        self, cuts: list[int], steps: int, entry_steps: int
    ) -> None:
        reader = Reader(entry_steps)
        stream = b"".join(map(encode, EVERYTHING)) + encode(KeepAlive())  # is not heard
        at = 0
        while at < len(stream):
            for cut in cuts:
                reader.intake.put(stream[at : at + cut])
                at += cut
            for _ in range(len(stream)):
                reader.intake.work(steps, 0.0)
                self.assertLess(reader.intake.done, steps + MESSAGE_STEPS + entry_steps)
                if not reader.intake:
                    break
            if GOODBYE in reader.heard:
                break
        expected = [KeepAlive(), FIRST, *FIRST.entries, KeepAlive(), SECOND, *SECOND.entries, GOODBYE]
        self.assertEqual(expected, reader.heard)

    def test_there_is_more_until_all_was_worked_at(self) -> None:
        reader = Reader()
        reader.intake.put(encode(FIRST))
        self.assertFalse(reader.intake)
        reader.intake.work(MESSAGE_STEPS, 0.0)
        self.assertTrue(reader.intake)
        reader.intake.work(100, 0.0)
        self.assertFalse(reader.intake)
        self.assertEqual(len(FIRST.entries), reader.intake.done)

    def test_a_close_behind_what_waits_is_found_and_a_lie_before_it_is_not_looked_behind(self) -> None:
        for before, found in ((encode(SECOND), GOODBYE), (b"\xff" * 8, None)):
            reader = Reader()
            reader.intake.put(encode(FIRST))
            reader.intake.put(before + encode(GOODBYE))
            reader.intake.work(MESSAGE_STEPS, 0.0)
            self.assertEqual(found, reader.intake.unheard_close())

    def test_what_was_done_until_an_error_counts(self) -> None:
        reader = Reader()
        reader.intake.put(encode(FIRST) + b"\xff" * 8)
        error = self.assertRaises(PeerError, reader.intake.work, 100, 0.0)
        self.assertEqual(Code.BAD_FORMAT, error.code)
        self.assertEqual(MESSAGE_STEPS + len(FIRST.entries), reader.intake.done)
