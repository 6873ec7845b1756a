from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.tail import LEAST, WAIT
from multicastmw.wire.mesh import Nack, Range
from tests.core.mesh.kit import RATE, Lone, have


class TailTest(TestCase):
    """A parent's Have says that it has more than came."""

    def setUp(self) -> None:
        self.lone = Lone()
        self.parent, self.pen = self.lone.fed_by(2)

    def asked(self) -> list[tuple[Range, ...]]:
        self.lone.pass_time(0.1)
        return [nack.missing for nack in self.pen.of(Nack)[:1]]

    def slow_down(self) -> None:
        """To one packet in half a second."""
        top = self.lone.feed().top
        self.lone.data(self.parent, *range(top + 1, top + 21), apart=0.5)
        self.pen.said.clear()

    def test_before_a_pause_it_is_asked_for_soon(self) -> None:
        self.lone.pass_time(0.08)
        self.lone.accept(self.parent, have(203))
        self.assertEqual(self.asked(), [(Range(201, 203),)])
        self.assertEqual(self.lone.feed().top, 203)

    def test_of_a_stream_that_goes_on_the_next_packet_says_it(self) -> None:
        self.lone.accept(self.parent, have(203))
        self.lone.pass_time(WAIT + 0.01)
        self.assertEqual((self.lone.feed().top, self.lone.feed().missing), (200, {}))

    def test_of_a_slow_one_each_have_does(self) -> None:
        self.slow_down()
        self.lone.accept(self.parent, have(222))
        self.assertEqual(self.asked(), [(Range(221, 222),)])

    def test_what_the_have_has_overtaken_is_not_asked_for(self) -> None:
        self.slow_down()
        self.lone.accept(self.parent, have(221))
        self.lone.pass_time(WAIT / 2)
        self.lone.data(self.parent, 221)
        self.assertEqual(self.asked(), [])
        self.assertEqual(self.lone.feed().counters.missed, 0)

    def test_what_the_parent_lacks_itself_is_asked_for_later_as_it_may_still_come(self) -> None:
        self.lone.pass_time(0.08)
        self.lone.accept(self.parent, have(203, (Range(202, 202),)))
        self.assertEqual(self.asked(), [(Range(201, 201),)])
        self.assertEqual(sorted(self.lone.feed().missing), [201, 202, 203])

    def test_further_than_could_be_here_in_time_it_does_not_lead(self) -> None:
        self.lone.pass_time(0.08)
        for highest in (200 + max(LEAST, int(RATE)) + 2, 200):
            self.lone.accept(self.parent, have(highest))
            self.assertEqual(self.asked(), [])
        self.assertEqual(self.lone.feed().top, 200)
