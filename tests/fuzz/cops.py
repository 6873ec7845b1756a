"""Objects, whose message always has a right header: a fuzzer that has to guess its length gets nowhere.

The first byte says which message it is, the others are its objects, padded to 4.  The walk over them is held
to a naive one by the declarations.
"""

from collections.abc import Iterable

from multicastmw.wire import cops
from multicastmw.wire.cops import CNum, Op
from multicastmw.wire.errors import PeerError
from tests.fuzz.target import Target
from tests.fuzz.wire import check
from tests.wire import golden

OPS = tuple(Op)
NAIVE_HEADER = 4


def naive_walk(body: bytes) -> list[tuple[int, int, bytes]] | None:
    """What RFC 2748, 2.2 says of objects; None where a length lies."""
    found = []
    while body:
        if len(body) < NAIVE_HEADER:
            return None
        length = int.from_bytes(body[:2], "big")
        padded = (length + 3) // 4 * 4
        if length < NAIVE_HEADER or padded > len(body):
            return None
        found.append((body[2], body[3], body[4:length]))
        body = body[padded:]
    return found


class Cops(Target):
    """Any objects in any message."""

    longest = 320
    words = (
        *(bytes((0, length, c_num, 1)) for c_num in CNum for length in (8, 12, 16, 20, 48)),
        bytes((0, 20, CNum.STREAM, 2)),
        bytes((0, 28, CNum.STREAM, 1)),
        bytes((0, 22, CNum.ADDRESS, 2)),
        bytes((0, 23, CNum.SAMPLE, 1)),
    )

    def seeds(self) -> Iterable[bytes]:
        for each in golden.folder("messages") + golden.folder("skipped") + golden.folder("malformed"):
            if each.wire[1:2] and each.wire[1] in OPS and 8 < len(each.wire) <= self.longest:
                yield bytes((OPS.index(Op(each.wire[1])),)) + each.wire[8:]
        for name in (b"\xc3\xa9" * 127 + b"!", b"\xc3\xa9" * 128, b"\xff" * 200):
            yield (
                b"\x03"
                + cops.pack_object(CNum.NODE, 1, bytes(8))
                + cops.pack_object(CNum.PEPID, 1, name + b"\0")
            )

    def __call__(self, data: bytes) -> None:
        if not data:
            return
        body = data[1:] + bytes(-(len(data) - 1) % 4)
        message = cops.frame(OPS[data[0] % len(OPS)], body)
        assert cops.message_length(message[:8]) == len(message)
        naive = naive_walk(body)
        try:
            found = [(n, t, bytes(d)) for n, t, d in cops.objects(memoryview(message))]
        except PeerError as error:
            assert naive is None, error
            assert error.code == cops.Code.BAD_FORMAT
        else:
            assert found == naive
            packed = b"".join(cops.pack_object(*each) for each in found)
            assert len(packed) == len(body)
        check(message)
