"""`mcmw show sessions` and `mcmw sessions`, from a snapshot."""

import json
from io import StringIO
from typing import Any
from unittest.mock import patch

from click.testing import CliRunner, Result
from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.client import ControlClient
from multicastmw.cli.main import mcmw
from multicastmw.cli.sessionlist import draw
from multicastmw.cli.text import WIDTH
from tests.web.test_exports import EVIL, media
from tests.web.test_exports import session as exported


def session(*streams: dict[str, Any], **changed: Any) -> dict[str, Any]:
    known = {
        "source": "10.88.0.1", "node": "studio-hamburg-1", "ours": False, "heard_ago": 3.2,
        "expires_in": 3596.8,
    }  # fmt: skip
    return exported(*streams, **(known | changed))


class Table(SynchronousTestCase):
    def drawn(self, *sessions: dict[str, Any]) -> list[str]:
        console = Console(file=StringIO(), width=WIDTH, highlight=False, emoji=False, markup=False)
        draw(console, {"sessions": list(sessions), "counters": {"sessions_not_shown": 0}})
        lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
        self.assertLessEqual(max(map(len, lines)), WIDTH)
        self.assertTrue(all(line.isprintable() for line in lines))
        return lines

    def test_a_line_each(self) -> None:
        title, line = self.drawn(session())
        self.assertEqual(["session", "from", "heard", "goes", "in", "what", "group:port"], title.split())
        self.assertEqual("The news studio-h\u2026 3 s 59 min MP2T 239.1.1.1:5004", " ".join(line.split()))

    def test_the_longest_there_is_fits(self) -> None:
        long = media(
            group="239.255.255.250",
            port=65535,
            encodings=["L24-or-something"],
            groups=3,
            sources=["10.88.0.1"],
        )
        lines = self.drawn(session(long, name="x" * 300, heard_ago=86_399, expires_in=99_999))
        self.assertIn("239.255.255.250:65535", " ".join(lines))

    def test_two_media_and_none(self) -> None:
        lines = self.drawn(
            session(media(), media(kind="audio", port=0, formats=["14"], encodings=[])),
            session() | {"media": []},
        )
        self.assertEqual("audio 239.1.1.1:off", " ".join(lines[2].split()))
        self.assertTrue(lines[3].endswith("nothing"))

    def test_names_of_strangers(self) -> None:
        self.drawn(session(name=EVIL))

    def test_our_own_and_nobodys(self) -> None:
        self.assertIn("us", self.drawn(session() | {"ours": True})[1].split())
        self.assertIn("10.88.0.1", self.drawn(session() | {"node": None})[1])
        self.assertEqual(["nobody announces a session"], self.drawn())


class Command(SynchronousTestCase):
    def runs(self, *arguments: str, sessions: list[dict[str, Any]] | None = None) -> Result:
        found = [session(), session(id="b" * 12)] if sessions is None else sessions
        with patch.object(ControlClient, "get", return_value={"sessions": found}):
            return CliRunner().invoke(mcmw, ["--socket", "/nowhere", "sessions", *arguments])

    def test_a_playlist_is_what_it_writes(self) -> None:
        done = self.runs()
        self.assertEqual((0, 5), (done.exit_code, done.output.count("\n")))
        self.assertTrue(done.output.startswith("#EXTM3U\n"))

    def test_sdp_is_of_one(self) -> None:
        self.assertEqual(
            "v=0\r\ns=The news\r\n", self.runs("--format", "sdp", "b" * 12).stdout_bytes.decode()
        )
        for arguments in ([], ["The news"]):
            done = self.runs("--format", "sdp", *arguments)
            self.assertEqual(1, done.exit_code)
            self.assertIn("2 sessions match, and sdp describes one; give its id: 0123456789ab", done.output)

    def test_json(self) -> None:
        for arguments in (["--json"], ["--format", "json"]):
            self.assertEqual(2, len(json.loads(self.runs(*arguments).output)["sessions"]))

    def test_one_that_is_not_there(self) -> None:
        done = self.runs("no\x1b[2Jne")
        self.assertEqual(1, done.exit_code)
        self.assertIn("no session no?[2Jne is announced", done.output)
