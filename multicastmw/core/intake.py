"""What comes in over one TCP connection, worked at a piece at a time (turns.py), in its order.

chunks --> messages --> accept, and of those with routes --> entries --> what `accept` had them taken by
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice

from multicastmw.wire.cops import Op
from multicastmw.wire.errors import PeerError
from multicastmw.wire.framing import Framer
from multicastmw.wire.messages import Close, Group, Node, decode

# What we chose.
MESSAGE_STEPS = 8  # steps (see turns.py) that a message costs, beside its entries

Take = Callable[[Group | Node], None]


class Intake:
    """One link's; true while there is more than was worked at.

    `accept` is given each message and may end it all with `clear`, or raise PeerError; `entry_steps` says how
    many steps one entry costs.  No message is longer than `longest` bytes.
    """

    def __init__(
        self, accept: Callable[[memoryview, float], None], entry_steps: Callable[[], int], longest: int
    ) -> None:
        self.done = 0  # steps of the last piece, also of one that ended with an error
        self._accept = accept
        self._entry_steps = entry_steps
        self._framer = Framer(longest)
        self._messages: Iterator[memoryview] | None = None  # of the chunk that is being worked at
        self._entries: Iterator[Group | Node] = iter(())  # of the message that is being worked at
        self._take: Take | None = None
        self._chunks: deque[bytes] = deque()  # what came behind it

    def __bool__(self) -> bool:
        return self._messages is not None

    def longest_is(self, longest: int) -> None:
        """Bytes of a message, from the next one on."""
        self._framer.longest = longest

    def put(self, chunk: bytes) -> None:
        """A piece of the stream."""
        self._chunks.append(chunk)

    def goes_on_with(self, entries: Iterable[Group | Node], take: Take) -> None:
        """Of the message that `accept` was given: they come before the next one."""
        self._entries, self._take = iter(entries), take

    def clear(self) -> None:
        """What has come is nothing to anybody any more."""
        self._messages, self._entries = None, iter(())
        self._chunks.clear()

    def work(self, steps: int, now: float) -> None:
        """So many steps of it.  Raises PeerError."""
        self.done = 0
        while self.done < steps:
            self._take_entries(steps - self.done)
            if self.done >= steps:
                break
            message = next(self._messages, None) if self._messages is not None else None
            if message is not None:
                self.done += MESSAGE_STEPS
                self._accept(message, now)
            elif self._chunks:
                self._messages = self._framer.feed(self._chunks.popleft())
            else:
                self._messages = None
                break

    def _take_entries(self, steps: int) -> None:
        """So many steps of the routes of one message; each may be news for every link."""
        if self._take is None:
            return
        each = self._entry_steps()
        for entry in islice(self._entries, 1 + steps // each):
            self.done += each
            self._take(entry)

    def unheard_close(self) -> Close | None:
        """The peer's last word, where it stands behind what was not worked at yet."""
        if self._messages is None:
            return None
        with suppress(PeerError):
            waiting = chain(self._messages, *(self._framer.feed(chunk) for chunk in self._chunks))
            for message in waiting:
                if message[1] == Op.CLOSE and isinstance(close := decode(message).message, Close):
                    return close
        return None
