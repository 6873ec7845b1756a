"""A run: messages to one peer that its socket takes in one call, and the kernel cuts into datagrams.

It cuts at one size, and only the last datagram may be shorter (UDP_SEGMENT):

    | 1376 | 1376 | 1376 | 900 |  1376 | 1376 | ...   a shorter message ends a run, a longer one begins one

The first message of a wake-up goes out at once, so one that comes alone waits for nothing; so does one of
another size than that before it, as there is nothing to gather it with.  Those that follow and are alike
gather, until the wake-up that brought them ends.  All leave in the order in which they came.
"""

from collections.abc import Callable
from math import inf
from typing import Protocol

# What the kernel says: UDP_MAX_SEGMENTS, and what an IPv4 datagram holds behind its headers.
SEGMENTS_MAX = 64
BYTES_MAX = 65_507

NotSent = Callable[[OSError, bytes, float], None]


class Socket(Protocol):
    """What datagrams leave by."""

    def send(self, message: memoryview | bytes) -> object:
        """Raises OSError as `socket.send` does."""

    def send_run(self, run: list[bytes]) -> bool:
        """A run in one call; False if the socket took nothing of it."""


class SentCounters(Protocol):
    """Messages that the socket took."""

    sent: int
    sent_bytes: int


class Outgoing:
    """All runs that are not out yet; whoever reads packets calls `flush` at the end of a wake-up."""

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def add(self, run: "Run") -> None:
        self._runs.append(run)

    def flush(self) -> None:
        if self._runs:
            runs, self._runs = self._runs, []
            for run in runs:
                run.flush()


class Run:
    """One link's messages on their way to its socket; what that does not take, `not_sent` is told of."""

    __slots__ = (
        "_counters", "_messages", "_most", "_not_sent", "_outgoing", "_segment", "_send", "_send_run",
        "_woke_at",
    )  # fmt: skip

    def __init__(self, socket: Socket, outgoing: Outgoing, counters: SentCounters, not_sent: NotSent) -> None:
        self._send = socket.send  # a call less for each packet
        self._send_run = socket.send_run
        self._outgoing = outgoing
        self._counters = counters
        self._not_sent = not_sent
        self._messages: list[bytes] = []
        self._segment = 0  # bytes of all messages but the last
        self._most = 0  # of them that fit one call
        self._woke_at = -inf

    def send(self, message: memoryview, now: float) -> None:
        """Now, or when the wake-up that began at `now` ends.  `message` is the caller's again."""
        messages, size = self._messages, len(message)
        if now == self._woke_at and (size == self._segment or (messages and size < self._segment)):
            if not messages:
                self._outgoing.add(self)
                self._most = min(SEGMENTS_MAX, BYTES_MAX // size)
            messages.append(bytes(message))
            if size < self._segment or len(messages) >= self._most:
                self.flush()
            return
        if messages:
            self.flush()
        self._woke_at, self._segment = now, size
        try:
            self._send(message)
        except OSError as error:
            self._not_sent(error, bytes(message), now)
            return
        self._counters.sent += 1
        self._counters.sent_bytes += size

    def flush(self) -> None:
        """What has gathered goes out; of a run that the socket does not take, each message alone."""
        if not self._messages:
            return
        messages, self._messages = self._messages, []
        if len(messages) > 1 and self._send_run(messages):
            self._counters.sent += len(messages)
            self._counters.sent_bytes += sum(map(len, messages))
        else:
            for message in messages:
                self._send_alone(message)

    def _send_alone(self, message: bytes) -> None:
        try:
            self._send(message)
        except OSError as error:
            self._not_sent(error, message, self._woke_at)
            return
        self._counters.sent += 1
        self._counters.sent_bytes += len(message)
