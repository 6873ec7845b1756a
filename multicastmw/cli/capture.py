"""`mcmw capture [GROUP] -w FILE.pcapng`: what passes a node, as Wireshark reads it."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO, Protocol
from urllib.parse import urlencode

import click

from multicastmw.cli.asked import Group, Progress
from multicastmw.cli.main import Failure, Target, exit_codes
from multicastmw.cli.signals import go_to
from multicastmw.cli.text import amount
from multicastmw.cli.which import asking, control_of
from multicastmw.wire.errors import Malformed
from multicastmw.wire.pcapng import Block, Blocks, Counts, counts_of

STDOUT = "-"
GLANCE = 0.5  # seconds between two looks at how far it is


@click.command(
    epilog=exit_codes({0: "it is written", 1: "it is not, or not all of it, and one line says why"})
)
@click.argument("channel", metavar="[GROUP]", type=Group(), required=False)
@click.option("-w", "--write", "path", metavar="FILE", required=True,
              help="Where to; - is standard output.")  # fmt: skip
@click.option("-c", "--count", type=click.IntRange(0), default=0, help="End after so many packets.")
@click.option("--seconds", type=click.FloatRange(0), default=0.0, help="End after so long.")
@click.option("--snaplen", metavar="BYTES", type=click.IntRange(20, 65_535), default=65_535,
              show_default=True, help="Keep so much of each packet.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="At the end one JSON document instead of a line.")
@click.pass_obj
def capture(target: Target, channel: dict[str, str] | None, path: str, count: int, seconds: float,
            snaplen: int, as_json: bool) -> None:  # fmt: skip
    """Write what passes this node into FILE, until Ctrl-C.

    These are the IP packets themselves, without the headers of the overlay, of GROUP or of all groups; what
    only this node's own programs send to each other does not pass.  Each packet has a comment with the node
    that it is from, its number there, the link that it came by, and the hops that it has left.  Nothing is
    asked of the overlay for it: what nobody wants here does not come.

    With -w - it goes to Wireshark at once:  mcmw capture -w - | wireshark -k -i -
    """
    if as_json and path == STDOUT:
        raise click.UsageError("--json and -w - both want standard output")
    if channel and "source" in channel:
        raise click.UsageError("a capture is of a group, whatever its sources; Wireshark filters by ip.src")
    is_shown = path != STDOUT and not as_json
    said = {"snaplen": snaplen} | ({"group": channel["group"]} if channel else {})
    try:
        with _opened(path) as out:
            written = Written(out, count)
            _copy(target, f"/capture?{urlencode(said)}", written, seconds, Progress(is_shown))
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}") from None
    found = {"packets": written.packets, "bytes": written.bytes, "dropped": written.dropped, "file": path}
    if as_json:
        click.echo(json.dumps(found))
    else:
        lost = f", {written.dropped:,} dropped for want of room" if written.dropped else ""
        click.echo(f"{written.packets:,} packets, {amount(written.bytes)}B into {path}{lost}", err=True)


class Later:
    """A file that is made when there is something for it: what is there stays, where nothing comes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def write(self, data: bytes) -> None:
        if self._file is None:
            self._file = open(self._path, "wb")  # noqa: SIM115  closed by close()
        self._file.write(data)

    def flush(self) -> None:
        if self._file:
            self._file.flush()

    def close(self) -> None:
        if self._file:
            self._file.close()


class Out(Protocol):
    """Where blocks go."""

    def write(self, data: bytes, /) -> object: ...
    def flush(self) -> object: ...


class Written:
    """The file as it grows: whole blocks only, so that it can be read at any time."""

    def __init__(self, out: Out, most: int) -> None:
        self.packets = self.bytes = 0
        self._out = out
        self._most = most
        self._counts: dict[int, Counts] = {}
        self.is_ending = False
        self.is_complete = False  # it was ending, and what was dropped until then is written

    @property
    def dropped(self) -> int:
        return sum(counts.dropped for counts in self._counts.values())

    def take(self, kind: int, block: bytes) -> None:
        if kind == Block.PACKET:
            if self.is_ending:
                return
            self.packets += 1
        self._out.write(block)
        self.bytes += len(block)
        if kind == Block.STATISTICS:
            interface, counts = counts_of(block)
            self._counts[interface] = counts
            self.is_complete = self.is_ending and interface == max(self._counts)
        elif self._most and self.packets >= self._most:
            self.is_ending = True

    def flush(self) -> None:
        self._out.flush()


@contextmanager
def _opened(path: str) -> Iterator[Out]:
    if path == STDOUT:
        if sys.stdout.isatty():
            raise Failure("a capture is nothing for a terminal: -w FILE, or pipe it")
        yield sys.stdout.buffer
        return
    with closing(Later(path)) as out:
        yield out


def _copy(target: Target, resource: str, written: Written, seconds: float, progress: Progress) -> None:
    """Until it is over.  At Ctrl-C what comes next is only how much was dropped, within a second."""
    control, blocks = control_of(target), Blocks()
    began = told = time.monotonic()

    def end(*_: object) -> None:
        written.is_ending = True

    try:
        with go_to(end), asking(control):
            for piece in control.pieces(resource):
                for kind, block in blocks.feed(piece):
                    written.take(kind, block)
                    if written.is_complete:
                        return
                written.flush()
                now = time.monotonic()
                if seconds and now - began >= seconds:
                    written.is_ending = True
                if now - told >= GLANCE:
                    told = now
                    progress.say(f"{amount(written.packets)} packets, {amount(written.bytes)}B")
            if not written.is_ending:
                raise Failure(f"{control.path}: the node has ended; what it sent until then is written")
    except Malformed as error:
        raise Failure(f"what the node sends is no capture: {error}") from None
    finally:
        progress.done()
