"""The demo's judgement and its table."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from twisted.trial.unittest import TestCase

from multicastmw.cli.verdict import Film, Outcome, Receiver, Sender

FILM = Film(Path("film.ts"), 20.0, 3_710_556, 500, 0, "5eed", 16)
REPORT = {
    "received": 2820, "lost": 0, "duplicated": 0, "reordered": 0, "late": 0, "foreign": 0, "announced": 2820,
    "ttl": [15], "delay_ms": {"p50": 0.2, "p99": 0.5, "p999": 1.25, "max": 2.0}, "payload_bytes": 3_710_556,
    "payload_sha256": "5eed", "socket_drops": 0,
}  # fmt: skip


def receiver(host: str = "b", frames: int = 500, decode_errors: int = 0, **report: Any) -> Receiver:
    return Receiver(host, {**REPORT, **report}, (15,), frames, decode_errors, Path("b.ts"), Path("b.png"))


def outcome(*receivers: Receiver, errors: int = 0, sent: int = 2820, film: Film = FILM) -> Outcome:
    return Outcome(film, "udp", Sender("a", {"sent": sent, "errors": errors}), receivers)


def lines(result: Outcome) -> list[str]:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(result.table())
    return [line.rstrip() for line in console.export_text().splitlines()]


class VerdictTests(TestCase):
    def test_all_packets_and_frames_are_no_problem(self) -> None:
        result = outcome(receiver("b"), receiver("c"), receiver("d"))
        self.assertEqual(result.problems(), [])
        self.assertTrue(result.document()["ok"])

    def test_each_thing_that_went_wrong_has_a_line(self) -> None:
        for wrong, line in (
            (receiver(received=2819, lost=1), "b: 2,819 of 2,820 packets arrived"),
            (receiver(duplicated=2), "b: 2 packets duplicated"),
            (receiver(reordered=3), "b: 3 packets reordered"),
            (receiver(ttl=[13, 15]), "b: TTL 13, 15 instead of 15"),
            (receiver(payload_sha256="bad"), "b: the recording differs from the film"),
            (receiver(frames=499), "b: 499 of 500 frames decode"),
            (receiver(decode_errors=4), "b: 4 errors while decoding"),
            (receiver(socket_drops=5), "b: 5 packets were dropped in the receiver's own socket"),
            (receiver(received=0, lost=2820, ttl=[]), "b: nothing arrived of 2,820 packets"),
            (replace(receiver(), picture=None), "b: no picture could be taken"),
        ):
            self.assertEqual(outcome(wrong).problems(), [line])
            self.assertFalse(outcome(wrong).document()["ok"])
        self.assertEqual(outcome(receiver(), errors=7).problems(), ["a: 7 packets could not be sent"])

    def test_a_film_that_was_damaged_before_may_stay_as_it_was(self) -> None:
        film = replace(FILM, decode_errors=3)
        self.assertEqual(outcome(receiver(decode_errors=3), film=film).problems(), [])

    def test_the_table_has_a_row_a_host(self) -> None:
        rows = [line.split() for line in lines(outcome(receiver("b"), receiver("c"))) if line[:2].strip()]
        self.assertEqual(rows[0][:3], ["host", "sent", "received"])
        self.assertEqual(rows[-1], ["c", "2,820", "0", "0", "0", "15", "0.20", "0.50", "1.25", "500/500"])

    def test_the_table_fits_80_columns_and_cuts_nothing(self) -> None:
        many = {"received": 1_015_200, "lost": 12_345, "duplicated": 123, "reordered": 1_234}
        delays = {"p50": 123.45, "p99": 1234.56, "p999": 2345.67, "max": 1.0}
        film = replace(FILM, frames=180_000)
        result = outcome(receiver(frames=179_999, delay_ms=delays, **many), sent=1_015_200, film=film)
        text = lines(result)
        self.assertLessEqual(max(map(len, text)), 80)
        for what in ("1015200", "12345", "1234", "2345.67", "179999/180000"):
            self.assertIn(what, "\n".join(text))

    def test_who_heard_nothing_has_a_row_too(self) -> None:
        self.assertIn("-", "\n".join(lines(outcome(receiver(received=0, ttl=[], delay_ms=None)))))
