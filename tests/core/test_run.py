"""Runs: the same messages in the same order as one by one, in as few calls as the kernel allows."""

from errno import ECONNREFUSED, EMSGSIZE
from itertools import chain

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.link import LinkCounters
from multicastmw.core.run import BYTES_MAX, SEGMENTS_MAX, Outgoing, Run

# What wake-ups bring: sizes, of which some come in rows.
SIZES = st.sampled_from((64, 65, 200, 1376, 1376, 4000, 60_000)) | st.integers(64, 65_507)
ROWS = st.tuples(SIZES, st.sampled_from((1, 1, 2, 3, 17, 64, 65, 130))).map(
    lambda row: [row[0]] * (row[1] if row[0] <= 1376 else min(row[1], 17))
)
WAKE_UPS = st.lists(st.lists(ROWS, max_size=6).map(lambda rows: list(chain(*rows))), max_size=4)


class Kernel:
    """A socket that cuts as Linux does, and refuses what Linux refuses."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.calls = 0
        self.cuts = True
        self.mtu = BYTES_MAX
        self.errors: list[OSError] = []  # one for each of the next calls

    def send(self, message: memoryview | bytes) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        if len(message) > self.mtu:
            raise OSError(EMSGSIZE, "Message too long")
        self.got.append(bytes(message))

    def send_run(self, run: list[bytes]) -> bool:
        whole, segment = b"".join(run), len(run[0])
        pieces = [whole[at : at + segment] for at in range(0, len(whole), segment)]
        if len(pieces) > SEGMENTS_MAX or len(whole) > BYTES_MAX:
            raise AssertionError(f"{len(whole)} bytes in {len(pieces)} pieces are too much for one call")
        if not self.cuts or segment > self.mtu:
            return False
        self.calls += 1
        self.got += pieces
        return True


class Sender:
    """A run, and what it was given."""

    def __init__(self) -> None:
        self.kernel = Kernel()
        self.outgoing = Outgoing()
        self.counters = LinkCounters()
        self.refused: list[tuple[int, bytes, float]] = []
        self.given: list[bytes] = []
        self.run = Run(self.kernel, self.outgoing, self.counters, self._not_sent)
        self.buffer = bytearray(1 << 16)
        self.wake_ups = 0

    def _not_sent(self, error: OSError, message: bytes, now: float) -> None:
        assert error.errno
        self.refused.append((error.errno, message, now))

    def send(self, sizes: list[int], now: float = 0.0) -> None:
        """Each message from the same buffer, as a reader has it; none is like another."""
        for size in sizes:
            message = len(self.given).to_bytes(8, "big").ljust(size, b"m")
            self.given.append(message)
            self.buffer[:size] = message
            self.run.send(memoryview(self.buffer)[:size], now)

    def wake_up(self, sizes: list[int], now: float | None = None) -> None:
        self.wake_ups += 1
        self.send(sizes, self.wake_ups if now is None else now)
        self.outgoing.flush()


class Order(SynchronousTestCase):
    @settings(deadline=None)
    @given(WAKE_UPS, st.booleans())
    def test_the_datagrams_are_the_messages_in_their_order(
        self, wake_ups: list[list[int]], cuts: bool
    ) -> None:
        sender = Sender()
        sender.kernel.cuts = cuts
        for sizes in wake_ups:
            sender.wake_up(sizes)
            self.assertEqual(sender.kernel.got, sender.given)
        self.assertEqual(sender.counters.sent, len(sender.given))
        self.assertEqual(sender.counters.sent_bytes, sum(map(len, sender.given)))

    @settings(deadline=None)
    @given(WAKE_UPS, st.integers(64, 2000))
    def test_what_is_too_long_for_the_path_is_refused_by_itself(
        self, wake_ups: list[list[int]], mtu: int
    ) -> None:
        sender = Sender()
        sender.kernel.mtu = mtu
        for sizes in wake_ups:
            sender.wake_up(sizes)
        self.assertEqual(sender.kernel.got, [m for m in sender.given if len(m) <= mtu])
        self.assertEqual([m for _, m, _ in sender.refused], [m for m in sender.given if len(m) > mtu])
        self.assertEqual(sender.counters.sent, len(sender.kernel.got))


class Calls(SynchronousTestCase):
    def calls(self, *sizes: int) -> int:
        """Of a wake-up, behind the first message."""
        sender = Sender()
        sender.wake_up(list(sizes))
        return sender.kernel.calls - 1

    def test_messages_of_one_size_go_out_in_one_call(self) -> None:
        self.assertEqual(self.calls(1376, *[1376] * 40), 1)

    def test_a_shorter_one_ends_the_run_and_is_in_it(self) -> None:
        self.assertEqual(self.calls(1376, 1376, 1376, 900, 1376, 1376, 900), 2)

    def test_a_longer_one_begins_another(self) -> None:
        self.assertEqual(self.calls(900, 900, 900, 1376, 1376, 1376), 3)

    def test_a_call_takes_64_messages_and_no_more_bytes_than_a_datagram(self) -> None:
        self.assertEqual(self.calls(200, *[200] * 130), 3)
        self.assertEqual(self.calls(1376, *[1376] * 64), 2)
        self.assertEqual(self.calls(40_000, *[40_000] * 3), 3)

    def test_the_first_message_of_each_wake_up_goes_out_at_once(self) -> None:
        sender = Sender()
        for now in range(3):
            sender.send([1376], now)
            self.assertEqual(sender.kernel.got, sender.given)
            sender.outgoing.flush()

    def test_what_is_like_nothing_before_it_does_not_wait_for_the_end_of_the_wake_up(self) -> None:
        sender = Sender()
        sender.send([100, 200, 1376, 300])
        self.assertEqual(sender.kernel.got, sender.given)

    def test_nothing_is_kept_beyond_the_wake_up(self) -> None:
        sender = Sender()
        sender.wake_up([100] * 3)
        calls = sender.kernel.calls
        sender.outgoing.flush()
        self.assertEqual(sender.kernel.calls, calls)


class Refusals(SynchronousTestCase):
    def test_of_a_run_that_is_not_taken_each_message_has_its_own_fate(self) -> None:
        sender = Sender()
        sender.send([100], now=5.0)
        sender.kernel.cuts = False
        sender.kernel.errors = [BlockingIOError(11, "full"), OSError(ECONNREFUSED, "refused")]
        sender.wake_up([100] * 4, now=5.0)
        self.assertEqual(sender.refused, [(11, sender.given[1], 5.0), (ECONNREFUSED, sender.given[2], 5.0)])
        self.assertEqual(sender.kernel.got, sender.given[:1] + sender.given[3:])
        self.assertEqual(sender.counters.sent, 3)

    def test_who_sends_again_because_it_was_refused_meets_no_half_run(self) -> None:
        """What `not_sent` does may end the link, which flushes."""
        sender = Sender()
        sender.send([100])
        sender.kernel.cuts = False
        sender.kernel.errors = [OSError(ECONNREFUSED, "refused")]
        sender.run._not_sent = lambda error, message, now: sender.run.flush()
        sender.wake_up([100] * 4)
        self.assertEqual(sender.kernel.got, sender.given[:1] + sender.given[2:])
