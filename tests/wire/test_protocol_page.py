"""docs/protocol.rst says what the files and the code say."""

import re
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core import branch, datapath, dataqueue, dialling, link, room
from multicastmw.wire import cops, mesh, messages, names
from tests.wire.golden import FOLDER

ROOT = FOLDER.parent.parent
PAGE = Path(ROOT, "docs", "protocol.rst").read_text(encoding="utf-8")


class ProtocolPageTests(SynchronousTestCase):
    def test_its_examples_are_the_files(self):
        examples = re.findall(r"^``(tests/golden/\S+)``::\n\n((?:    .*\n|\n)+)", PAGE, re.M)
        self.assertGreaterEqual(len(examples), 5)
        for path, example in examples:
            self.assertEqual(
                dedent(example).strip(), Path(ROOT, path).read_text(encoding="utf-8").strip(), path
            )

    def test_what_it_names_is_there(self):
        for path in re.findall(r"``(tests/[\w/.]+)``", PAGE):
            self.assertTrue(Path(ROOT, path).exists(), path)

    def test_it_counts_the_files(self):
        for name in ("messages", "skipped", "malformed"):
            (said,) = re.findall(rf"``(?:tests/golden/)?{name}``\s+(?:has\s+)?(\d+)", PAGE)
            self.assertEqual(int(said), len(list((FOLDER / name).glob("*.txt"))), name)

    def test_its_tables_have_every_number(self):
        rows = set(re.findall(r"^(\d+) +(\d+ +)?[a-zA-Z]", PAGE, re.M))
        numbers = {int(first) for first, _ in rows}
        self.assertEqual({*cops.Op, *cops.CNum, *cops.Code} - numbers, set())
        subs = {int(second) for first, second in rows if first == "4" and second.strip()}
        self.assertEqual(subs, set(cops.Unable))

    def test_its_bounds_are_those_of_the_code(self):
        rows = dict(re.findall(r"^(\S[^:=]*?\S)  +(\d.*|T/4.*|at least.*|every.*)$", PAGE, re.M))
        for name, value in (
            ("longest message", f"{cops.MESSAGE_MAX:,} bytes"),
            ("longest first message", f"{link.OPEN_MAX:,} bytes"),
            ("name", f"1 to {names.NAME_MAX} bytes"),
            ("reason", f"1 to {messages.REASON_MAX} bytes"),
            ("streams of a Have, of a Find", f"{mesh.STREAMS_MAX}; {mesh.LIVE_MAX}"),
            ("ranges of a stream in Have, in Nack and Graft", f"{mesh.RANGES_MAX}; {mesh.ASKED_MAX}"),
            ("numbers of a range", f"{mesh.SPAN_MAX:,}"),
            ("nodes of a path", f"{mesh.PATH_MAX}"),
            ("samples of Peers and Find, of a Prune", f"{mesh.SAMPLES_MAX}; {mesh.ALTERNATIVES_MAX}"),
            (
                "addresses of an Open, of a sample",
                f"{mesh.OPEN_ADDRESSES_MAX}; {mesh.SAMPLE_ADDRESSES_MAX}",
            ),
            ("Open after the connection", f"{link.OPEN_WITHIN:.0f} s"),
            ("dial", f"{dialling.DIAL_TIMEOUT:.0f} s"),
            ("connections without Open", f"{room.UNOPENED_MAX}; {room.UNOPENED_MAX_OF_ONE} an address"),
            ("channels, nodes of one peer", f"{branch.CHANNELS_MAX:,}; {branch.NODES_MAX:,}"),
            ("probe", f"every {datapath.RETRY} s; {datapath.PACE:.0f} s after an answered one"),
            (
                "to TCP after, back to UDP after",
                f"{datapath.UNANSWERED_MAX} unanswered; {datapath.ANSWERED_TO_RETURN} answered in a row",
            ),
            ("TCP data queue", f"{dataqueue.PACKETS_MAX} packets, {dataqueue.AGE_MAX * 1000:.0f} ms"),
            ("Close goes out within", f"{link.LEAVE_WITHIN:.0f} s"),
        ):
            self.assertEqual(rows.get(name), value, name)
