"""A run: messages to one peer that its socket takes in one call, and the kernel cuts into datagrams.

It cuts at one size, and only the last datagram may be shorter (UDP_SEGMENT):

    | 1376 | 1376 | 1376 | 900 |  1376 | 1376 | ...   a shorter message ends a run, a longer one begins one

The first message of a wake-up goes out at once, so one that comes alone waits for nothing; so does one of
another size than that before it, as there is nothing to gather it with.  Those that follow and are alike
gather, until the wake-up that brought them ends.  All leave in the order in which they came.
"""

from collections.abc import Callable
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
    """All runs of a wake-up; whoever reads packets calls `flush` at its end."""

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def add(self, run: "Run") -> None:
        self._runs.append(run)

    def flush(self) -> None:
        runs, self._runs = self._runs, []
        for run in runs:
            run.end()


class Run:
    """One link's messages on their way to its socket; what that does not take, `not_sent` is told of."""

    __slots__ = (
        "_began", "_counters", "_gathers", "_messages", "_most", "_not_sent", "_outgoing", "_segment",
        "_socket",
    )  # fmt: skip

    def __init__(self, socket: Socket, outgoing: Outgoing, counters: SentCounters, not_sent: NotSent) -> None:
        self._socket = socket
        self._outgoing = outgoing
        self._counters = counters
        self._not_sent = not_sent
        self._messages: list[bytes] = []
        self._segment = 0  # bytes of all messages but the last
        self._most = 0  # of them that fit one call
        self._began = 0.0  # when the wake-up did
        self._gathers = False  # from its first message on

    def send(self, message: memoryview, now: float) -> None:
        """At once, or at the latest when the wake-up ends.  `message` is gone when this returns."""
        messages, size = self._messages, len(message)
        if not self._gathers:
            self._begin(now)
        elif size == self._segment:
            messages.append(bytes(message))
            if len(messages) >= self._most:
                self.flush()
            return
        elif messages and size < self._segment:
            messages.append(bytes(message))
            self.flush()
            return
        elif messages:
            self.flush()
        if size != self._segment:
            self._segment = size
            self._most = min(SEGMENTS_MAX, BYTES_MAX // size)
        self._send_alone(message, now)

    def _begin(self, now: float) -> None:
        self._gathers = True
        self._began = now
        self._outgoing.add(self)

    def end(self) -> None:
        """The wake-up is over."""
        self._gathers = False
        self.flush()

    def flush(self) -> None:
        """What has gathered goes out; of a run that the socket does not take, each message alone."""
        if not self._messages:
            return
        messages, self._messages = self._messages, []
        if len(messages) > 1 and self._socket.send_run(messages):
            self._counters.sent += len(messages)
            self._counters.sent_bytes += sum(map(len, messages))
        else:
            for message in messages:
                self._send_alone(message, self._began)

    def _send_alone(self, message: memoryview | bytes, now: float) -> None:
        try:
            self._socket.send(message)
        except OSError as error:
            self._not_sent(error, bytes(message), now)
            return
        self._counters.sent += 1
        self._counters.sent_bytes += len(message)
