"""What the demo found: facts of each host, what is wrong with them, a table for people and JSON.

Pure: performance.py measures, demo.py shows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

COLUMNS = ("sent", "received", "lost", "dup.", "reord.", "TTL", "p50 ms", "p99 ms", "p99.9", "frames")
TIGHT = 100_000  # packets; from there on the columns stand close


@dataclass(frozen=True)
class Film:
    """What was sent."""

    path: Path
    seconds: float
    octets: int
    frames: int
    decode_errors: int  # of the film as it is; a recording may have as many
    sha256: str
    ttl: int

    @property
    def bit_rate(self) -> float:
        return self.octets * 8 / self.seconds


@dataclass(frozen=True)
class Sender:
    """The host that sent, from the streamer's report."""

    host: str
    report: dict[str, Any]

    @property
    def sent(self) -> int:
        return int(self.report["sent"])


@dataclass(frozen=True)
class Receiver:
    """A host that received: the recorder's report, what a decoder made of the recording, a picture of it."""

    host: str
    report: dict[str, Any]
    ttls: tuple[int, ...]  # that packets may have here
    frames: int
    decode_errors: int
    recording: Path
    picture: Path | None


@dataclass(frozen=True)
class Outcome:
    """Everything that the demo found."""

    film: Film
    transport: str
    sender: Sender
    receivers: tuple[Receiver, ...]

    def problems(self) -> list[str]:
        """What is wrong, a line each; empty: every packet came once, in order, and every frame decodes."""
        found = []
        if self.sender.report["errors"]:
            found.append(f"{self.sender.host}: {self.sender.report['errors']:,} packets could not be sent")
        for each in self.receivers:
            found += [f"{each.host}: {what}" for what in _complaints(each, self.sender.sent, self.film)]
        return found

    def document(self) -> dict[str, Any]:
        """The same as JSON takes it."""
        problems = self.problems()
        film, sender = self.film, self.sender
        return {
            "ok": not problems,
            "problems": problems,
            "transport": self.transport,
            "film": {
                "path": str(film.path),
                "seconds": round(film.seconds, 3),
                "bytes": film.octets,
                "bit_rate": round(film.bit_rate),
                "frames": film.frames,
                "sha256": film.sha256,
                "ttl": film.ttl,
            },
            "sender": {"host": sender.host, **sender.report},
            "receivers": [
                {
                    "host": each.host,
                    **each.report,
                    "expected_ttl": list(each.ttls),
                    "frames": each.frames,
                    "decode_errors": each.decode_errors,
                    "recording": str(each.recording),
                    "picture": str(each.picture) if each.picture else None,
                }
                for each in self.receivers
            ],
        }

    def table(self) -> Table:
        """A row a host, at most 80 columns wide; red where something is wrong."""
        film, sent = self.film, self.sender.sent
        tight = sent >= TIGHT
        table = Table(box=None, padding=(0, 1 if tight else 2, 0, 0), pad_edge=False, header_style="bold")
        table.add_column("host")
        for name in COLUMNS:
            table.add_column(name, justify="right")

        def amount(count: int) -> str:
            return f"{count:d}" if tight else f"{count:,d}"

        table.add_row(self.sender.host, amount(sent), *[""] * 4, str(film.ttl), *[""] * 3, str(film.frames))
        for each in self.receivers:
            report, delay = each.report, each.report["delay_ms"]
            table.add_row(
                each.host,
                "",
                *(amount(report[name]) for name in ("received", "lost", "duplicated", "reordered")),
                ",".join(map(str, report["ttl"])) or "-",
                *(f"{delay[name]:.2f}" if delay else "-" for name in ("p50", "p99", "p999")),
                f"{each.frames}/{film.frames}",
                style="red" if _complaints(each, sent, film) else None,
            )
        return table


def _complaints(receiver: Receiver, sent: int, film: Film) -> list[str]:
    report = receiver.report
    received = report["received"]
    if not received:
        return [f"nothing arrived of {sent:,} packets"]
    found = []
    if received != sent:
        found.append(f"{received:,} of {sent:,} packets arrived")
    if report["socket_drops"]:
        found.append(f"{report['socket_drops']:,} packets were dropped in the receiver's own socket")
    for name in ("duplicated", "reordered"):
        if report[name]:
            found.append(f"{report[name]:,} packets {name}")
    if not set(report["ttl"]) <= set(receiver.ttls):
        expected = " or ".join(map(str, receiver.ttls))
        found.append(f"TTL {', '.join(map(str, report['ttl']))} instead of {expected}")
    if report["payload_sha256"] != film.sha256 and received == sent:
        found.append("the recording differs from the film")
    if receiver.frames != film.frames:
        found.append(f"{receiver.frames} of {film.frames} frames decode")
    if receiver.decode_errors > film.decode_errors:
        found.append(f"{receiver.decode_errors} errors while decoding")
    if receiver.picture is None:
        found.append("no picture could be taken")
    return found
