"""The demo's course: receivers first, then the sender, then what they made of it."""

import json
import mmap
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from multicastmw.cli import film as films
from multicastmw.cli.announcer import Silence
from multicastmw.cli.lab import Lab, LabError, Process, TimedOut, wait_until
from multicastmw.cli.mpegts import Timeline
from multicastmw.cli.streamer import TS_PER_DATAGRAM
from multicastmw.cli.verdict import Film, Outcome, Receiver, Sender
from multicastmw.wire.mpegts import PACKET

GROUP, PORT, TTL = "239.1.2.3", 5004, 16
SENDER = "a"
SPEAK = 0.25  # seconds between the programs' progress lines
READY = 15.0  # seconds for a program to start on a busy machine
SLACK = 30.0  # seconds that the end may come late


class Network(Protocol):
    """What carries the film: an overlay, or in tests a plain Ethernet."""

    transport: str
    device: str  # the interface of each host
    hosts: str  # their names, a letter each
    receivers: str  # those of them

    def start(self, lab: Lab) -> None: ...

    def await_interest(self, lab: Lab, group: str) -> None: ...

    def ttls(self, host: str, sent: int) -> tuple[int, ...]: ...


def examine(path: Path) -> Film:
    """Measures the film that is going to be sent.  Raises NotTransportStream."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        memoryview(content) as view,
    ):
        seconds = Timeline(view).duration
    decoded = films.count_frames(path)
    return Film(path, seconds, path.stat().st_size, decoded.frames, decoded.errors, films.digest(path), TTL)


class Performance:
    """One run in a lab that is up."""

    def __init__(self, lab: Lab, network: Network, film: Film, audience: Silence) -> None:
        self._lab = lab
        self._network = network
        self._film = film
        self._audience = audience
        self._out = lab.state_dir

    def run(self) -> Outcome:
        """Plays the film once.  Raises LabError or TimedOut where it cannot go on."""
        on = self._network.transport.upper().replace("TLS", "TCP inside TLS")
        self._audience.line(f"starting a node on each host, data on {on}")
        self._network.start(self._lab)
        receivers = self._network.receivers
        recorders = {name: self._start_recorder(name) for name in receivers}
        names = f"{', '.join(receivers[:-1])} and {receivers[-1]}"
        self._audience.line(f"{names} join {GROUP}; waiting until a knows")
        self._network.await_interest(self._lab, GROUP)
        reports = self._play(self.start_streamer("--progress", str(SPEAK)), recorders)
        self._audience.line("decoding what they received")
        found = tuple(self._examine(name, reports[name]) for name in receivers)
        return Outcome(self._film, self._network.transport, Sender(SENDER, reports[SENDER]), found)

    def start_streamer(self, *options: str) -> Process:
        """The film, from a's program."""
        command = self._program("streamer", "--film", str(self._film.path), "--ttl", str(TTL), *options)
        return self._lab.host(SENDER).spawn(command, log=f"{SENDER}-streamer", title="the sender on a")

    def _start_recorder(self, name: str) -> Process:
        recording = self._out / f"{name}.ts"
        command = self._program("recorder", "--record", str(recording), "--progress", str(SPEAK))
        title = f"the receiver on {name}"
        recorder = self._lab.host(name).spawn(command, log=f"{name}-recorder", title=title)
        wait_until(lambda: any("ready" in line for line in _said(recorder)), READY, recorder.title)
        return recorder

    def _program(self, module: str, *options: str) -> list[str]:
        where = ("--group", GROUP, "--port", str(PORT), "--interface", self._network.device)
        return [sys.executable, "-m", f"multicastmw.cli.{module}", *where, *options]

    def _play(self, streamer: Process, recorders: Mapping[str, Process]) -> dict[str, dict[str, Any]]:
        everyone = {SENDER: streamer, **recorders}
        total = -(-self._film.octets // (PACKET * TS_PER_DATAGRAM))
        end = time.monotonic() + self._film.seconds + SLACK
        title = f"a plays {self._film.seconds:.0f} s of film at {self._film.bit_rate / 1e6:.2f} Mbit/s"
        with self._audience.bars(title, dict.fromkeys(everyone, total)) as tell:
            for process in everyone.values():
                while True:
                    tell({each: _count(other) for each, other in everyone.items()})
                    try:
                        code = process.wait(SPEAK)
                    except subprocess.TimeoutExpired:
                        self._look_after(end)
                        continue
                    if code:
                        raise LabError(f"{process.title} failed: {process.last_words()}")
                    break
            tell({each: _count(other) for each, other in everyone.items()})
        return {name: _said(process)[-1] for name, process in everyone.items()}

    def _look_after(self, end: float) -> None:
        for host in self._lab.hosts:
            if host.node is not None and (code := host.node.poll()) is not None:
                raise LabError(f"node {host.name} ended with code {code}: {host.node.last_words()}")
        if time.monotonic() > end:
            raise TimedOut("the programs do not come to an end")

    def _examine(self, name: str, report: dict[str, Any]) -> Receiver:
        recording = self._out / f"{name}.ts"
        picture: Path | None = self._out / f"{name}.png"
        decoded = films.count_frames(recording)
        try:
            films.take_picture(recording, self._film.seconds / 2, self._out / f"{name}.png")
        except films.FilmError:
            picture = None  # the verdict says so
        ttls = self._network.ttls(name, TTL)
        return Receiver(name, report, ttls, decoded.frames, decoded.errors, recording, picture)


def _said(process: Process) -> list[dict[str, Any]]:
    """The JSON lines that a program has written so far."""
    # The last line may be half written.
    return [json.loads(line) for line in process.read_output().split("\n")[:-1]]


def _count(process: Process) -> int:
    """How many packets it has sent or received, as far as it has said."""
    said = _said(process)
    last = said[-1] if said else {}
    return int(last.get("progress") or last.get("sent") or last.get("received") or 0)
