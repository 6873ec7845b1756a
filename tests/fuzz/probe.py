"""What nodes ask each other (wire/probe.py), and captures cut into blocks (wire/pcapng.py).

The input is a payload, then a whole packet, then what a capture's reader gets.
"""

import contextlib
from collections.abc import Iterable

from multicastmw.wire.errors import Malformed
from multicastmw.wire.pcapng import Block, Blocks, counts_of
from multicastmw.wire.probe import BEGINS, PAYLOAD_MAX, decode, encode, unwrap, wrap
from tests.fuzz.target import Target
from tests.wire.golden import folder
from tests.wire.test_pcapng import capture


class Questions(Target):
    """One datagram."""

    longest = PAYLOAD_MAX + 40
    words = (BEGINS, b"\x01\x01", b"\xff" * 8, b"\x0a\x0d\x0d\x0a", b"\x4d\x3c\x2b\x1a")

    def seeds(self) -> Iterable[bytes]:
        payloads = [golden.wire for golden in folder("probes")]
        return [*payloads, *(wrap(payload, 7) for payload in payloads), capture()]

    def __call__(self, data: bytes) -> None:
        self.is_read_as_written(data)
        with contextlib.suppress(Malformed):
            self.is_read_as_written(unwrap(data))
        with contextlib.suppress(Malformed):
            for kind, block in Blocks().feed(data):
                if kind == Block.STATISTICS:
                    counts_of(block)

    def is_read_as_written(self, payload: bytes) -> None:
        """What is taken can be said again, and is the same."""
        try:
            found = decode(payload)
        except Malformed:
            return
        if found is not None:
            assert decode(encode(*found)) == found
