import signal
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.signals import ENDS, go_to, stoppable


class Signals(SynchronousTestCase):
    def setUp(self) -> None:
        self.before = [signal.getsignal(number) for number in ENDS]

    def test_they_ask_for_the_end_and_end_nothing(self) -> None:
        for number in ENDS:
            with stoppable() as stop:
                self.assertFalse(stop.asked)
                signal.raise_signal(number)
                self.assertTrue(stop.asked)

    def test_they_go_back_to_whom_they_went_to_before_whatever_happens(self) -> None:
        def works() -> None:
            with stoppable():
                raise LookupError

        self.assertRaises(LookupError, works)
        self.assertEqual(self.before, [signal.getsignal(number) for number in ENDS])

    def test_in_another_thread_none_is_taken(self) -> None:
        heard: list[int] = []

        def works() -> None:
            with go_to(lambda number, _: heard.append(number)):
                heard.extend(
                    [
                        signal.getsignal(number) is before
                        for number, before in zip(ENDS, self.before, strict=True)
                    ]
                )

        thread = Thread(target=works)
        thread.start()
        thread.join()
        self.assertEqual([True, True], heard)
