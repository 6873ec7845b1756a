"""Receives an RTP stream from a multicast group, records it and measures it.

    python -m multicastmw.cli.recorder --group 239.1.2.3 --port 5004 --interface mcmw0 --record b.ts

It ends after the sender's farewell (see rtp.py), after --idle seconds of silence, or on a signal, and says
in one JSON line what it got: reception.py has the meaning of each count.  With --progress there is a line
{"ready": true} once the group is joined, and then one with the packets so far every so many seconds.
"""

import signal
import socket
import sys
import time
from pathlib import Path
from typing import BinaryIO

import click

from multicastmw.cli.multicast import close_all, open_receiver
from multicastmw.cli.reception import Reception
from multicastmw.cli.rtp import Farewell, NotRtp, Packet
from multicastmw.cli.rtpsockets import LINGER, Heard, RtpSockets
from multicastmw.cli.streamer import say


class Recorder:
    """The sockets of one stream, data and control, and the recording."""

    def __init__(self, data: socket.socket, control: socket.socket, recording: BinaryIO | None) -> None:
        self.reception = Reception()
        self.stopping = False
        self._sockets = RtpSockets(data, control)
        self._recording = recording
        self._heard_at = 0.0

    @property
    def socket_drops(self) -> int:
        return self._sockets.dropped

    def run(self, patience: float, idle: float, progress: float) -> None:
        """Records until the stream is over; `patience` is for its first packet."""
        began = spoke = time.monotonic()
        while not self.stopping:
            for heard in self._sockets.waiting():
                self._hear(heard)
            now = time.monotonic()
            if progress and now - spoke >= progress:
                spoke = now
                say({"progress": self.reception.received})
            if self._heard_at:
                limit = LINGER if self.reception.farewell else idle
                if now - self._heard_at >= limit:
                    break
            elif now - began >= patience:
                break
        self._write(self.reception.finish())

    def _hear(self, heard: Heard) -> None:
        self._heard_at = time.monotonic()
        match heard.message:
            case Packet() as packet:
                self._write(self.reception.accept(packet, heard.arrival.at_ns, heard.arrival.ttl))
            case Farewell() as farewell if self.reception.ssrc in (None, farewell.ssrc):
                self.reception.farewell = farewell
            case NotRtp():
                self.reception.foreign += 1

    def _write(self, payload: bytes) -> None:
        if payload and self._recording is not None:
            self._recording.write(payload)


@click.command()
@click.option("--group", default="239.1.2.3", show_default=True)
@click.option("--port", type=click.IntRange(1, 65534), default=5004, show_default=True)
@click.option("--interface", required=True, help="Where to join, such as mcmw0.")
@click.option("--source", default="", help="Join this source only (SSM).")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="The payload, in order.")
@click.option("--wait", "patience", default=60.0, show_default=True, help="Seconds for a first packet.")
@click.option("--idle", default=5.0, show_default=True, help="Seconds of silence that end it.")
@click.option("--progress", type=float, default=0.0, help="Seconds between progress lines; 0: none.")
def main(*, group: str, port: int, interface: str, source: str, record: Path | None, patience: float,
         idle: float, progress: float) -> None:  # fmt: skip
    """Record an RTP stream from a multicast group and measure it."""
    try:
        data = open_receiver(interface, group, port, source)
        control = open_receiver(interface, group, port + 1, source)
    except OSError as error:
        raise click.ClickException(f"{group} on {interface}: {error.strerror or error}") from error
    recording = record.open("wb") if record else None
    recorder = Recorder(data, control, recording)

    def stop(_number: int, _frame: object) -> None:
        recorder.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if progress:
        say({"ready": True})
    recorder.run(patience, idle, progress)
    if recording:
        recording.close()
    close_all(data, control)
    say({**recorder.reception.report(), "socket_drops": recorder.socket_drops})


if __name__ == "__main__":
    sys.exit(main())
