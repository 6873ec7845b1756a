"""`mcmw send` and `mcmw recv`: a test stream, and what came of it."""

import json
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import click

from multicastmw import literals
from multicastmw.cli.client import ControlError
from multicastmw.cli.main import Failure, Target, exit_codes
from multicastmw.cli.measured import Measured
from multicastmw.cli.multicast import close_all, open_receiver, open_sender
from multicastmw.cli.rtp import Farewell, NotRtp, Packet
from multicastmw.cli.rtpsockets import GLANCE, LINGER, Heard, RtpSockets
from multicastmw.cli.signals import Stop, stoppable
from multicastmw.cli.streamer import GOODBYES, MAX_DEBT
from multicastmw.cli.text import amount, say, screen
from multicastmw.cli.which import control_of, programs_device, unanswered
from multicastmw.wire.rtp import CLOCK

PORT = 5004
NULL_PACKET = bytes.fromhex("471fff10") + bytes([0xFF]) * 184  # of a transport stream, which players skip
HEADERS = 36  # RTP and our extension


class Where(click.ParamType):  # type: ignore[type-arg]
    """GROUP or GROUP:PORT."""

    name = "group"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        group, _, port = value.partition(":")
        try:
            found: IPv4Address = literals.group(group)
            return str(found), literals.whole(1, 65_534)(port) if port else PORT
        except ValueError as error:
            self.fail(str(error), param, ctx)


interface = click.option("--interface", help="Where; the node's TAP if it is not given.")
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")


@click.command(epilog=exit_codes({0: "it is sent", 1: "it is not, and one line says why"}))
@click.argument("where", metavar="GROUP[:PORT]", type=Where())
@click.option(
    "--rate", type=click.FloatRange(0.1, 100_000), default=100.0, show_default=True, help="Packets a second."
)
@click.option(
    "--size",
    type=click.IntRange(HEADERS, 65_000),
    default=1316,
    show_default=True,
    help="UDP payload, bytes.",
)
@click.option(
    "--seconds", type=click.FloatRange(0), default=10.0, show_default=True, help="How long; 0: until Ctrl-C."
)
@click.option("--ttl", type=click.IntRange(1, 255), default=16, show_default=True)
@interface
@as_json
@click.pass_obj
def send(target: Target, where: tuple[str, int], rate: float, size: int, seconds: float, ttl: int,
         interface: str | None, as_json: bool) -> None:  # fmt: skip
    """Send a test stream to GROUP, as a program would.

    It is RTP; each packet has a number and the time when it was sent, and carries empty transport-stream
    packets, so that a player shows nothing and complains of nothing.  `mcmw recv GROUP` on another host says
    what came of it.
    """
    device = interface or _tap(target)
    try:
        sock = open_sender(device, ttl)
    except OSError as error:
        raise Failure(f"{device}: {error.strerror or error}") from None
    stream = Stream(sock, where, size)
    with stoppable() as stop:
        for number in paced(rate, seconds, stop):
            if number % max(1, round(rate)) == 0 and not as_json and sys.stderr.isatty():
                click.echo(f"\r{amount(stream.sent)} packets ", nl=False, err=True)
            stream.send()
        stream.bye()
    close_all(sock)
    found = {"sent": stream.sent, "errors": stream.errors, "group": where[0], "port": where[1]}
    click.echo(
        json.dumps(found) if as_json else f"{stream.sent} packets sent to {where[0]}:{where[1]} on {device}"
    )
    if stream.sent and stream.errors >= stream.sent:
        raise Failure(f"the kernel took none of them: {stream.why}")


class Stream:
    """What is sent."""

    def __init__(self, sock: socket.socket, where: tuple[str, int], size: int) -> None:
        self.sent = self.errors = 0
        self.why = ""
        self._sock = sock
        self._where = where
        self._ssrc, self._first = secrets.randbits(32), secrets.randbits(16)
        room = size - HEADERS
        self._payload = (NULL_PACKET * (room // len(NULL_PACKET) + 1))[:room]

    def send(self) -> None:
        now = time.time_ns()
        packet = Packet(self._first + self.sent, now * CLOCK // 10**9 & 0xFFFFFFFF, self._ssrc, self._payload,
                        sent_ns=now, number=self.sent)  # fmt: skip
        self._out(packet.build(), self._where[1])
        self.sent += 1

    def bye(self) -> None:
        """Says that it is over and how many there were."""
        farewell = Farewell(self._ssrc, self.sent, self.sent * len(self._payload))
        for _ in range(GOODBYES):
            now = time.time_ns()
            self._out(farewell.build(now, now * CLOCK // 10**9, b"mcmw"), self._where[1] + 1)
            time.sleep(0.02)

    def _out(self, data: bytes, port: int) -> None:
        try:
            self._sock.sendto(data, (self._where[0], port))
        except OSError as error:
            self.errors += port == self._where[1]
            self.why = error.strerror or str(error)


def paced(rate: float, seconds: float, stop: Stop) -> Iterator[int]:
    """Numbers from 0, each when it is due."""
    begin, number = time.monotonic(), 0
    while not stop.asked and (not seconds or number < seconds * rate):
        wait = begin + number / rate - time.monotonic()
        if wait > 0:
            time.sleep(min(wait, GLANCE))
            if wait > GLANCE:
                continue
        elif wait < -MAX_DEBT:
            begin -= wait
        yield number
        number += 1


@click.command(
    epilog=exit_codes({0: "packets came", 1: "none did, or it could not be tried; one line says why"})
)
@click.argument("where", metavar="GROUP[:PORT]", type=Where())
@click.option("--source", default="", help="Join for this source only (SSM).")
@click.option("--seconds", type=click.FloatRange(0), default=0.0, show_default=True,
              help="How long; 0: until its end, or Ctrl-C.")  # fmt: skip
@click.option("--wait", "patience", type=click.FloatRange(0.1), default=30.0, show_default=True,
              help="Seconds for a first packet.")  # fmt: skip
@interface
@as_json
@click.pass_obj
def recv(target: Target, where: tuple[str, int], source: str, seconds: float, patience: float,
         interface: str | None, as_json: bool) -> None:  # fmt: skip
    """Receive GROUP, as a program would, and say what was lost, how late it came, and how unevenly.

    Any RTP stream does: of one of `mcmw send` it also says how long packets took, above the shortest time
    that one took, as two hosts' clocks are never quite the same.
    """
    device = interface or _tap(target)
    group, port = where
    try:
        data, control = (open_receiver(device, group, each, source) for each in (port, port + 1))
    except OSError as error:
        raise Failure(f"{group} on {device}: {error.strerror or error}") from None
    receiver = Receiver(data, control)
    with stoppable() as stop:
        receiver.run(
            patience, seconds, stop, teller=None if as_json or not sys.stderr.isatty() else _progress
        )
    close_all(data, control)
    found = receiver.report()
    if not found["received"]:
        raise Failure(f"nothing came to {group}:{port} on {device}; mcmw doctor looks for the reason")
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show(found)


class Receiver:
    """Two sockets, data and control, and what is measured."""

    def __init__(self, data: socket.socket, control: socket.socket) -> None:
        self.measured = Measured()
        self.announced: int | None = None  # packets, as the sender's farewell has it
        self._sockets = RtpSockets(data, control)
        self._heard_at = 0.0

    def run(self, patience: float, seconds: float, stop: Stop, teller: Any) -> None:
        """Until the stream is over; `patience` is for its first packet."""
        began = told = time.monotonic()
        while not stop.asked:
            for heard in self._sockets.waiting():
                self._hear(heard, time.monotonic())
            now = time.monotonic()
            if teller and now - told >= 1.0:
                told = now
                teller(self.report())
            if seconds and now - began >= seconds:
                break
            if not self._heard_at and now - began >= patience:
                break
            if self.announced is not None and now - self._heard_at >= LINGER:
                break

    def _hear(self, heard: Heard, now: float) -> None:
        arrival = heard.arrival
        match heard.message:
            case Packet() as packet:
                wall = time.time_ns() - time.monotonic_ns() + arrival.at_ns
                self.measured.accept(packet, len(arrival.data), arrival.ttl, wall, now)
            case Farewell() as farewell if self.measured.ssrc in (None, farewell.ssrc):
                self.announced = farewell.packets
            case NotRtp():
                self.measured.foreign += 1
            case _:
                return
        self._heard_at = now

    def report(self) -> dict[str, Any]:
        """What was measured; with the sender's own count, what came before the first one is known, too."""
        found = self.measured.report()
        if self.announced is not None:
            found["lost"] = max(found["lost"], self.announced - found["received"])
        return found | {"announced": self.announced, "socket_drops": self._sockets.dropped}


def _progress(found: dict[str, Any]) -> None:
    click.echo(
        f"\r{amount(found['received'])} packets, {amount(found['lost'])} lost, "
        f"jitter {found['jitter_ms']:.3g} ms   ", nl=False, err=True,
    )  # fmt: skip


QUANTILES = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "longest"}


def _show(found: dict[str, Any]) -> None:
    console = screen()
    share = found["lost"] / (found["received"] + found["lost"])
    rate, ttls = amount(found["bits_per_second"]), ", ".join(map(str, found["ttl"]))
    say(
        console,
        "received",
        f"{found['received']:,} packets in {found['seconds']:g} s, {rate}bit/s, TTL {ttls}",
    )
    say(console, "lost", f"{found['lost']:,} ({100 * share:.2g} %)", "yellow" if found["lost"] else None)
    say(console, "", f"{found['duplicates']:,} came twice, {found['reordered']:,} out of order")
    say(console, "jitter", f"{found['jitter_ms']:.3g} ms (RFC 3550)")
    if spread := found["delay_above_shortest_ms"]:
        figures = ", ".join(f"{name} {spread[key]:.3g} ms" for key, name in QUANTILES.items())
        say(console, "delay", f"above the shortest: {figures}")
    if found["socket_drops"]:
        say(console, "dropped", f"{found['socket_drops']:,} here, as this program was too slow", "yellow")


def _tap(target: Target) -> str:
    control = control_of(target)
    try:
        return programs_device(control.get("/status"))
    except ControlError as error:
        raise unanswered(control, error, "; --interface names one") from None
