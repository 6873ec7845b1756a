"""`mcmw show streams`, from a snapshot."""

import io
from typing import Any

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.client import NodeRefuses
from multicastmw.cli.main import Failure
from multicastmw.cli.streams import LEASE, VERDICT, Look, chosen, render


def stream(**said: Any) -> dict[str, Any]:
    return {
        "group": "239.1.1.1", "source": "10.88.0.1", "port": 5004, "node": "a", "kind": "ts",
        "bitrate": 1_450_000.0, "programmes": [{"name": "Berne 1", "number": 1}],
        "codecs": ["MPEG-2 video", "AC-3"], "source_errors": 0,
        "way_errors": 0, "transport": {"pcr_jitter": 0.0012}, "rtp": None, "health": "ok", "reason": "",
        "watched_for": 3.0,
    } | said  # fmt: skip


def drawn(*streams: dict[str, Any], refused: str = "") -> str:
    out = io.StringIO()
    render(Console(file=out, width=80, highlight=False, emoji=False, markup=False), list(streams), refused)
    return out.getvalue()


class RenderTests(SynchronousTestCase):
    def test_a_stream_that_is_well_is_one_line(self) -> None:
        head, line = drawn(stream()).splitlines()
        for word in ("group:port", "programme", "codecs", "source", "way", "jitter", "health"):
            self.assertIn(word, head)
        for word in ("239.1.1.1:5004", "Berne 1", "1.45M", "1.2ms", "ok"):
            self.assertIn(word, line)

    def test_what_is_not_well_has_its_reason_below(self) -> None:
        text = drawn(stream(health="bad", way_errors=12, reason="Continuity_count_error: the way 12"))
        self.assertIn("239.1.1.1:5004 from 10.88.0.1 at a: Continuity_count_error: the way 12", text)

    def test_a_group_of_which_streams_are_known_has_no_line_of_nobody(self) -> None:
        nobody = stream(source="any", node=None, health="unknown", reason="nothing has come for 3 s")
        self.assertNotIn("nothing has come", drawn(stream(), nobody))
        self.assertIn("from any: nothing has come for 3 s", drawn(stream(group="239.2.2.2"), nobody))

    def test_the_widest_stream_fits_80_columns(self) -> None:
        text = drawn(
            stream(
                group="239.255.255.255", port=65535,
                codecs=["MPEG-2 video", "E-AC-3", "teletext", "subtitles"],
                programmes=[{"name": "W" * 64, "number": 1}] * 12, source_errors=123_456, way_errors=999_999,
                bitrate=123_456_789.0, rtp={"jitter": 1.2345}, health="unknown", reason="x " * 100,
            )
        )  # fmt: skip
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertIn("239.255.255.255:65535", text)
        self.assertIn("unknown", text)

    def test_names_with_escape_sequences_are_harmless(self) -> None:
        text = drawn(
            stream(programmes=[{"name": "\x1b[2Jx<b>", "number": 1}], health="bad", reason="\x1b]0;x\x07")
        )
        self.assertNotIn("\x1b", text)

    def test_a_stream_that_nobody_looks_at(self) -> None:
        text = drawn(
            stream(port=None, bitrate=None, programmes=[], codecs=[], transport=None, watched_for=0.0,
                   health="unknown", kind="unknown", reason="nobody looks at it")
        )  # fmt: skip
        self.assertIn("239.1.1.1 from 10.88.0.1 at a: nobody looks at it", text)

    def test_where_nothing_passes_that_is_said(self) -> None:
        self.assertIn("no stream passes here", drawn())

    def test_what_the_node_would_not_look_at_is_said(self) -> None:
        self.assertIn("not all are looked at: too many", drawn(stream(), refused="too many"))

    def test_one_group(self) -> None:
        self.assertEqual([], chosen([stream()], "239.9.9.9"))
        self.assertEqual([stream()], chosen([stream()], "239.1.1.1"))
        self.assertEqual([stream()], chosen([stream()], ""))


class Control:
    """Keeps what it is asked."""

    def __init__(self, why: str = "") -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._why = why

    def post(self, resource: str, body: dict[str, str]) -> dict[str, Any]:
        self.asked.append((resource, body))
        if self._why:
            raise NodeRefuses(self._why)
        return {"ok": True, "groups": [], "seconds": 1, "refused": ""}


class LookTests(SynchronousTestCase):
    def test_the_first_look_waits_for_a_verdict_and_later_ones_do_not(self) -> None:
        control, slept = Control(), []  # type: ignore[var-annotated]
        look = Look(control, "", 2.0, quiet=True)  # type: ignore[arg-type]
        look.ask(slept.append)
        self.assertAlmostEqual(VERDICT, sum(slept))
        self.assertEqual(2, len(control.asked))
        look.ask(slept.append)
        self.assertAlmostEqual(VERDICT, sum(slept))
        self.assertEqual(("/streams/watch", {"group": "", "seconds": f"{LEASE + 3}"}), control.asked[-1])

    def test_a_refusal_is_one_line(self) -> None:
        look = Look(Control("too many"), "239.1.1.1", 2.0, quiet=True)  # type: ignore[arg-type]
        error = self.assertRaises(Failure, look.ask, lambda seconds: None)
        self.assertEqual("too many", error.message)
