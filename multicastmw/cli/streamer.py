"""Sends a film to a multicast group as RTP, paced by the film's own clock.

    python -m multicastmw.cli.streamer --film x.ts --group 239.1.2.3 --port 5004 --interface mcmw0

Each datagram carries seven transport-stream packets, 1,316 bytes (RFC 2250), and when it was sent: see
rtp.py.  One JSON line on stdout when it is done; before, with --progress, one every so many seconds.
"""

import json
import mmap
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from multicastmw.cli.mpegts import NotTransportStream, Timeline, looks_like_ts
from multicastmw.cli.multicast import open_sender
from multicastmw.cli.rtp import Farewell, Packet
from multicastmw.wire.mpegts import PACKET
from multicastmw.wire.rtp import CLOCK

TS_PER_DATAGRAM = 7  # 1,316 bytes: the most that fits 1,500 with all headers (RFC 2250, 2)
MAX_DEBT = 0.5  # seconds; who was held up longer goes on from now instead of sending a burst
GOODBYES = 3  # the farewell may get lost like any datagram


class Streamer:
    """One stream: its numbers and its counts."""

    def __init__(self, sock: socket.socket, group: str, port: int) -> None:
        self._sock = sock
        self._data = (group, port)
        self._control = (group, port + 1)
        self._ssrc = secrets.randbits(32)
        self._first = secrets.randbits(16)
        self._offset = secrets.randbits(32)
        self.sent = 0
        self.octets = 0
        self.errors = 0
        self.forgiven = 0.0  # seconds of the schedule that were given up
        self.stopping = False

    def play(self, film: "mmap.mmap | bytes", timeline: Timeline, loop: bool) -> Iterator[int]:
        """Sends the film on time; yields the number sent so far after each datagram."""
        view = memoryview(film)
        base = time.monotonic()
        while not self.stopping:
            for index, due in enumerate(timeline.due(TS_PER_DATAGRAM)):
                wait = base + due - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                elif wait < -MAX_DEBT:
                    base -= wait
                    self.forgiven -= wait
                start = index * TS_PER_DATAGRAM * PACKET
                self._send(bytes(view[start : start + TS_PER_DATAGRAM * PACKET]), base + due)
                yield self.sent
                if self.stopping:
                    return
            base += timeline.duration
            if not loop:
                time.sleep(max(0.0, base - time.monotonic()))  # the last packet lasts, too
                return

    def _send(self, payload: bytes, due: float) -> None:
        timestamp = self._timestamp(due)
        packet = Packet(self._first + self.sent, timestamp, self._ssrc, payload,
                        sent_ns=time.monotonic_ns(), number=self.sent)  # fmt: skip
        try:
            self._sock.sendto(packet.build(), self._data)
        except OSError:
            self.errors += 1  # it counts as sent: the receivers miss it
        self.sent += 1
        self.octets += len(payload)

    def bye(self) -> None:
        """Tells the receivers that it is over and how many there were (RFC 3550, 6.6)."""
        farewell = Farewell(self._ssrc, self.sent, self.octets)
        name = socket.gethostname().encode()[:255]
        for _ in range(GOODBYES):
            data = farewell.build(time.time_ns(), self._timestamp(time.monotonic()), name)
            try:
                self._sock.sendto(data, self._control)
            except OSError:
                self.errors += 1
            time.sleep(0.02)

    def report(self) -> dict[str, Any]:
        return {"sent": self.sent, "octets": self.octets, "errors": self.errors,
                "forgiven_seconds": round(self.forgiven, 3)}  # fmt: skip

    def _timestamp(self, moment: float) -> int:
        return (self._offset + int(moment * CLOCK)) & 0xFFFFFFFF


def say(value: dict[str, Any]) -> None:
    """One JSON line, at once."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


@click.command()
@click.option("--film", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--group", default="239.1.2.3", show_default=True)
@click.option("--port", type=click.IntRange(1, 65534), default=5004, show_default=True)
@click.option("--interface", required=True, help="Where to send, such as mcmw0.")
@click.option("--ttl", type=click.IntRange(0, 255), default=16, show_default=True)
@click.option("--loop", is_flag=True, help="Begin again at the film's end, until a signal comes.")
@click.option("--progress", type=float, default=0.0, help="Seconds between progress lines; 0: none.")
def main(*, film: Path, group: str, port: int, interface: str, ttl: int, loop: bool, progress: float) -> None:
    """Send a transport stream to a multicast group as RTP."""
    try:
        sock = open_sender(interface, ttl)
    except OSError as error:
        raise click.ClickException(f"{interface}: {error.strerror or error}") from error
    with film.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if not looks_like_ts(content[: PACKET * 8]):
            raise click.ClickException(f"{film} is not an MPEG transport stream")
        try:
            with memoryview(content) as view:
                timeline = Timeline(view)
        except NotTransportStream as error:
            raise click.ClickException(f"{film}: {error}") from error
        streamer = Streamer(sock, group, port)

        def stop(_number: int, _frame: object) -> None:
            streamer.stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        spoke = time.monotonic()
        for sent in streamer.play(content[:], timeline, loop):
            if progress and time.monotonic() - spoke >= progress:
                spoke = time.monotonic()
                say({"progress": sent})
        streamer.bye()
    say(streamer.report())


if __name__ == "__main__":
    main()
