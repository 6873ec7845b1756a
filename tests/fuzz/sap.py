"""SAP packets into a directory: what a stranger announces.

A script: what happens is the first byte of a step (0 a packet of a source, 1 its SDP alone, 2 time passes).
"""

from collections.abc import Iterable
from contextlib import suppress

from multicastmw.core.sessions.directory import COST_MAX, SESSIONS_MAX, Arrival, Directory
from multicastmw.core.sessions.scopes import GLOBAL, LOCAL
from multicastmw.wire.errors import Malformed
from multicastmw.wire.sap import Announcement
from multicastmw.wire.sdp import Description
from tests.fuzz.target import Target, script, steps

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 10.88.0.1\r\ns=News\r\ni=x\r\nc=IN IP4 239.1.1.1/16/2\r\n"
    b"b=AS:9\r\nt=0 0\r\nr=7d 1h 0\r\n"
    b"a=cat:NEWS\r\na=tool:x\r\na=source-filter: incl IN IP4 * 10.88.0.1\r\n"
    b"m=video 5004/2 RTP/AVP 33 96\r\ni=y\r\n"
    b"c=IN IP6 ff15::1/2\r\na=rtpmap:96 H264/90000\r\n"
)
SOURCE = bytes((10, 88, 0, 1))


def packets() -> Iterable[bytes]:
    """One of each kind."""
    whole = Announcement(1, SOURCE, SDP)
    yield whole.build()
    yield whole.build(compressed=True)
    yield whole._replace(deletion=True).build()
    yield whole._replace(source=bytes(16)).build()
    yield b"\x24\0\0\1" + SOURCE + b"o=- 1 1 IN IP4 10.88.0.1\r\n"
    yield b"\x22\2\0\1" + SOURCE + bytes(8) + b"secret"
    yield b"\x20\0\0\1" + SOURCE + b"text/plain\0hello"


class Sap(Target):
    """A directory, its announcers and time."""

    words = (
        b"a=source-filter:",
        b"a=rtpmap:",
        b"application/sdp\0",
        b"IN IP4 ",
        b"IN IP6 ",
        b"\r\nm=video 1 udp 33",
    )

    def seeds(self) -> Iterable[bytes]:
        for packet in packets():
            yield script((0, packet), (2, b"\5"), (0, packet))
        yield script((1, SDP))
        yield script(*((0, packet) for packet in packets()), (2, b"\xff" * 2))

    def __call__(self, data: bytes) -> None:
        self.now = 0.0
        self.told: list[str] = []
        directory = Directory(self.now, lambda event: self.told.append(event.sentence()))
        for what, said in steps(data):
            if what % 3 == 0:
                group = LOCAL if what & 0x80 else GLOBAL
                directory.accept(said, Arrival(group, what + 1, 0, self.now))
            elif what % 3 == 1:
                self.read(said)
            else:
                self.now += int.from_bytes(said[:2], "big")
                directory.tick(self.now)
        assert len(directory) <= SESSIONS_MAX and directory.cost <= COST_MAX
        assert directory.cost == sum(session.cost for session in directory.sessions())
        assert all(text.isprintable() for text in self.told)

    @staticmethod
    def read(text: bytes) -> None:
        with suppress(Malformed):
            description = Description.parse(text)
            with suppress(ValueError):  # longer, as the address was written shorter
                again = Description.parse(description.build())
                assert again == description, (again, description)
