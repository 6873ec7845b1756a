"""The values of node.ini's options, endpoint strings first: text to value, or a ValueError in words.

The first byte chooses whose value it is.
"""

from collections.abc import Callable, Iterable

from multicastmw import endpoints
from multicastmw.sections import NAMED, SECTIONS, options
from tests.fuzz.target import Target
from tests.mistakes import MISTAKES

ENDPOINTS = (endpoints.server, endpoints.client, endpoints.local_server, endpoints.clients)
PARSERS: tuple[Callable[[str], object], ...] = tuple(
    dict.fromkeys(
        (*ENDPOINTS, *(about.parse for kind in (SECTIONS | NAMED).values() for _, _, about in options(kind)))
    )
)


class Values(Target):
    """One option's text."""

    longest = 128
    words = (b"tcp:", b"tcp6:", b"unix:", b"interface=", b"host=", b"port=", b"backlog=", b"timeout=",
             b"\\:", b"bindAddress=", b"lockfile=", b"mode=", b"4600", b"127.0.0.1", b"239.1.1.1",
             b"/24", b"@")  # fmt: skip

    def seeds(self) -> Iterable[bytes]:
        given = {text.partition(" = ")[2].strip() for text, _ in MISTAKES}
        given |= {about.default or "" for kind in SECTIONS.values() for _, _, about in options(kind)}
        given |= {r"tcp:host=fe80\:\:1%eth0:port=4600", "unix:/tmp/x:mode=660", "tcp:1:interface=127.0.0.1"}
        for number, text in enumerate(sorted(given)):
            yield bytes((number % len(PARSERS),)) + text.encode("utf-8", "surrogatepass")
            yield b"\0" + text.encode("utf-8", "surrogatepass")
            yield b"\1" + text.encode("utf-8", "surrogatepass")

    def __call__(self, data: bytes) -> None:
        if not data:
            return
        parse = PARSERS[data[0] % len(PARSERS)]
        text = data[1:].decode("utf-8", "replace")
        try:
            parse(text)
        except ValueError as error:
            assert str(error)
            assert len(str(error)) < 500
            return
        if parse is endpoints.client:
            given = endpoints.dialled(text)
            assert not given or {"host", "port"} <= given.keys()
