"""node.ini: any text is a configuration, or one line that says what is wrong."""

import os
from collections.abc import Iterable
from pathlib import Path

from multicastmw.config import MAX_LINE, ConfigError, load
from multicastmw.sections import NAMED, SECTIONS, options
from tests.fuzz.target import Target
from tests.mistakes import MISTAKES

ETC = Path(__file__).parent.parent.parent / "etc"


def is_a_line(text: str) -> bool:
    return text.isprintable() and bool(text)


class NodeIni(Target):
    """A file, which is one in memory."""

    longest = 512
    words = tuple(
        f"{name} = {about.default or ''}\n".encode()
        for kind in (SECTIONS | NAMED).values()
        for name, _, about in options(kind)
    ) + tuple(f"[{title}]\n".encode() for title in (*SECTIONS, "peer:b", "session:x"))

    def __init__(self) -> None:
        self.file = os.memfd_create("node.ini")
        self.path = f"/proc/self/fd/{self.file}"

    def seeds(self) -> Iterable[bytes]:
        for text, _ in MISTAKES:
            yield text.encode("utf-8", "surrogatepass")
        for path in sorted(ETC.glob("lab/*.ini")):
            yield path.read_bytes()
        for title, kind in SECTIONS.items():
            lines = [f"{name} = {about.default}" for name, _, about in options(kind) if about.default]
            yield "\n".join([f"[{title}]", *lines, ""]).encode()
        yield b"[session:x]\ngroup = 239.1.1.1\nport = 1\ndescription = a\x01b\n"
        yield b"[peer:b]\nendpoint = tcp:b.example.net:4600\n[session:x]\ngroup = 239.1.1.1\nport = 5004\n"

    def __call__(self, data: bytes) -> None:
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, data, 0)
        try:
            config = load(self.path, "host")
        except ConfigError as error:
            assert is_a_line(str(error)), str(error)
            assert len(str(error)) <= MAX_LINE
        else:
            assert all(map(is_a_line, config.warnings))
            assert config.node.name
            for session in config.sessions:  # free text is free of what moves a terminal's cursor
                assert min(session.name + session.description) >= " "
