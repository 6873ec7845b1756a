"""What people see of ping, matrix and trace, and how a capture's file grows."""

import io
import json
from typing import Any

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli import matrix, ping, trace
from multicastmw.cli.asked import Group, listed, name_of
from multicastmw.cli.capture import Written
from multicastmw.cli.ping import Pings
from multicastmw.core.probing.path import Answers
from multicastmw.core.probing.table import Table
from multicastmw.wire import pcapng
from multicastmw.wire.pcapng import Counts

NASTY = "\x1b[31mred\x07"


def console() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=80, highlight=False, markup=False, emoji=False), out


def answer(name: str, round_: int = 0, wanted: bool = True, **more: Any) -> dict[str, Any]:
    found = {"id": name, "name": name, "here": False, "round": round_,
             "wanted_by": ["mcmw0"] if wanted else [],
             "hosts": 1, "hops": 2, "since": 65.0, "rtt_ms": 1.5}  # fmt: skip
    return {"answer": found | more}


class PingTests(SynchronousTestCase):
    def report(self, *lines: dict[str, Any]) -> dict[str, Any]:
        pings = Pings()
        nodes = [{"id": name, "name": name} for name in "bcd"]
        for line in ({"begin": {"node": {"id": "a", "name": "a"}, "nodes": nodes}}, *lines):
            pings.hear(line)
        return pings.report()

    def test_who_receives_who_does_not_and_who_is_silent(self) -> None:
        found = self.report({"asked": 0}, answer("b"), answer("c", wanted=False), {"asked": 1}, {"asked": 2},
                            answer("b", 2, rtt_ms=2.5))  # fmt: skip
        (b,) = found["receives"]
        self.assertEqual((3, ["c"], ["d"]), (found["rounds"], found["others"], found["silent"]))
        self.assertEqual((3, 2, 0.3333), (b["asked"], b["answers"], b["loss"]))
        self.assertEqual({"min": 1.5, "avg": 2.0, "max": 2.5}, b["rtt_ms"])

    def test_an_answer_that_comes_twice_is_one(self) -> None:
        (b,) = self.report({"asked": 0}, answer("b"), answer("b"))["receives"]
        self.assertEqual((1, 0.0), (b["answers"], b["loss"]))

    def test_a_line_fits_and_is_safe_on_a_terminal(self) -> None:
        line = ping._line(answer("n" * 100, wanted_by=[NASTY * 20], hosts=0, since=9e9, hops=255)["answer"])
        self.assertLessEqual(len(line), 80)
        self.assertTrue(line.isprintable())
        self.assertEqual("b: 1 host since 1 min 5 s, 2 hops, 1.5 ms, #1", ping._line(answer("b")["answer"]))


class MatrixTests(SynchronousTestCase):
    def table(self, names: list[str], lost: dict[tuple[str, str], int] | None = None) -> Table:
        table = Table()
        for receiver in names:
            entries = [
                {"from": {"id": sender, "name": sender}, "got": 20 - (lost or {}).get((sender, receiver), 0),
                 "hops": 1, "least_us": 500, "mean_above_us": 100, "most_above_us": 900}
                for sender in names if sender != receiver and (lost or {}).get((sender, receiver)) != 20
            ]  # fmt: skip
            table.hear({"id": receiver, "name": receiver, "sent": 20, "entries": entries})
        return table

    def shown(self, table: Table, silent: list[str] | None = None) -> str:
        screen, out = console()
        matrix._show(screen, table, list(table.pairs()), silent or [])
        return out.getvalue()

    def test_a_few_nodes_are_a_table(self) -> None:
        text = self.shown(self.table(list("abc"), {("a", "b"): 5, ("c", "a"): 20}), ["z"])
        lines = text.splitlines()
        self.assertEqual(["a", "-", "25", "%", "ok"], lines[1].split())
        self.assertEqual(["c", "none", "1", "-"], lines[3].split())
        self.assertIn("from c to a: 20 of 20 lost (100 %)", text)
        self.assertIn("did not answer: z", text)
        self.assertIn("3 nodes, 6 pairs, 2 with loss, round trips 1 to 1 ms", text)

    def test_many_nodes_are_the_worst_pairs_in_80_columns(self) -> None:
        names = [f"a-node-with-a-long-name-{number:03}" for number in range(300)]
        text = self.shown(self.table(names, {(names[7], names[9]): 3}))
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertIn("the worst 20 of 89,700 pairs", text)
        self.assertIn("15 %", text.splitlines()[1])

    def test_names_are_safe_on_a_terminal(self) -> None:
        for names in ([NASTY, "b"], [NASTY + str(number) for number in range(20)]):
            text = self.shown(self.table(names, {(names[0], names[1]): 3}), [NASTY])
            self.assertNotIn("\x1b", text)

    def test_a_node_alone(self) -> None:
        self.assertIn("no other node", self.shown(self.table(["a"])))

    def test_the_document_has_all_pairs(self) -> None:
        table = self.table(list("ab"), {("a", "b"): 20})
        document = json.loads(json.dumps(matrix._document(table, list(table.pairs()), [])))
        (there, back) = document["pairs"]
        self.assertEqual(
            ("a", "b", 0, 1.0, None), tuple(there[key] for key in ("from", "to", "got", "loss", "rtt_ms"))
        )
        self.assertEqual((0.0, 0.1), (back["loss"], back["delay_above_shortest_ms"]))


def route(
    name: str, sample: int, *, ingress: str | None = None, to: Any = (), **counts: int
) -> dict[str, Any]:
    stream = {"origin": {"id": "a", "name": "a"}, "by": "a1",
              "ingress": ingress and {"id": ingress, "name": ingress},
              "received": counts.get("received", 0), "lost": counts.get("lost", 0), "duplicates": 0,
              "reordered": 0}  # fmt: skip
    return {
        "id": name, "name": name, "sample": sample, "hops": 1, "clock_us": sample * 2_000_000,
        "source": "10.88.0.1", "seen": True, "begins_here": ingress is None, "fast": False, "denied": False,
        "why_slow": "the fast path is off", "bytes": 0,
        "packets": counts.get("packets", counts.get("received", 0)),
        "to_nobody": 0, "died_of_ttl": 0, "sent": counts.get("packets", 0), "more_takers": 0,
        "to": [{"id": each, "name": each} for each in to] or [{"id": None, "name": "mcmw0"}],
        "streams": [stream] if ingress else [],
    }  # fmt: skip


class TraceTests(SynchronousTestCase):
    def path(self, *answers: dict[str, Any]) -> Any:
        found = Answers()
        for each in answers:
            found.hear(each)
        (path,) = found.paths()
        return path

    def samples(self, name: str, after: dict[str, int], **more: Any) -> list[dict[str, Any]]:
        before = dict.fromkeys(after, 0)
        return [route(name, 0, **more, **before), route(name, 1, **more, **after)]

    def test_it_is_drawn_with_rates_and_the_hop_that_loses(self) -> None:
        path = self.path(
            *self.samples("a", {"packets": 200}, to="b"),
            *self.samples("b", {"received": 200}, ingress="a", to="c"),
            *self.samples("c", {"received": 188, "lost": 12}, ingress="b"),
        )  # fmt: skip
        screen, out = console()
        trace._draw(screen, path, "239.1.2.3")
        text = out.getvalue()
        self.assertIn("c  94/s  12 lost", text)
        self.assertIn("mcmw0, here", text)
        self.assertIn("lost 12 between b and c (6 %)", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)

    def test_nobody_behind_a_relay_wants_it(self) -> None:
        answers = [
            *self.samples("a", {"packets": 10}, to="b"),
            *self.samples("b", {"received": 10}, ingress="a"),
        ]
        for each in answers[2:]:
            each["to"] = []
        self.assertEqual(["nobody behind b wants it"], self.path(*answers).findings)

    def test_a_route_that_was_begun_anew_meanwhile_is_counted_from_then(self) -> None:
        answers = [route("a", 0, packets=500), route("a", 1, packets=20)]
        root = self.path(*answers).root
        self.assertEqual((None, 20), (root.seconds, root.came))

    def test_a_ring_of_answers_ends(self) -> None:
        path = self.path(route("a", 0, to="b", packets=1), route("b", 0, ingress="a", to="a", received=1))
        self.assertEqual(["a", "b"], [hop.name for hop in path.root.hops()])

    def test_a_long_row_of_answers_ends(self) -> None:
        names = [f"n{number}" for number in range(1_000)]
        answers = [route(n, 0, ingress=p, to=[m], received=1) for p, n, m in zip(
            ["a", *names], names, [*names[1:], "z"], strict=False)]  # fmt: skip
        path = self.path(route("a", 0, to=["n0"], packets=1), *answers)
        self.assertLessEqual(len(list(path.root.hops())), 257)

    def test_names_are_safe_on_a_terminal(self) -> None:
        path = self.path(route("a", 0, to=[NASTY], packets=1))
        screen, out = console()
        trace._draw(screen, path, "239.1.2.3")
        self.assertNotIn("\x1b", out.getvalue())


class WrittenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.out = io.BytesIO()

    def packets(self, written: Written, count: int) -> None:
        for _ in range(count):
            written.take(pcapng.Block.PACKET, pcapng.packet(0, 1, b"x", 1, 1, b""))

    def statistics(self, written: Written, dropped: int) -> None:
        for interface in (0, 1):
            block = pcapng.statistics(interface, 0, 1, Counts(9, dropped, 9 - dropped))
            written.take(pcapng.Block.STATISTICS, block)

    def test_it_ends_with_the_counts_that_follow_the_last_packet(self) -> None:
        written = Written(self.out, 3)
        self.statistics(written, 0)
        self.packets(written, 5)
        self.assertEqual((3, False), (written.packets, written.is_complete))
        self.statistics(written, 2)
        self.assertEqual((3, True, 4), (written.packets, written.is_complete, written.dropped))
        self.assertEqual(written.bytes, len(self.out.getvalue()))

    def test_without_a_count_it_goes_on_until_told(self) -> None:
        written = Written(self.out, 0)
        self.packets(written, 5)
        self.statistics(written, 0)
        self.assertFalse(written.is_complete)
        written.is_ending = True
        self.packets(written, 5)
        self.statistics(written, 0)
        self.assertEqual((5, True), (written.packets, written.is_complete))


class ArgumentTests(SynchronousTestCase):
    def test_a_group_with_and_without_a_source(self) -> None:
        for text in ("239.1.2.3", "10.88.0.1@239.1.2.3"):
            self.assertEqual(text, name_of(Group().convert(text, None, None)))

    def test_a_list_of_names(self) -> None:
        self.assertEqual(
            ["nobody", "a", "a and b", "a, b and c"], [listed(list(t)) for t in ("", "a", "ab", "abc")]
        )
