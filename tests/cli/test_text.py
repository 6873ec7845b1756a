"""How tables look in 80 columns."""

import json
from io import StringIO

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.parts import QUESTIONS, document, marked, waiting, without_questions
from multicastmw.cli.tables import RENDER
from multicastmw.cli.tables import _fec as fec_line
from multicastmw.cli.tables import _reaches as reached
from multicastmw.cli.tables import _recovery as recovery_line
from multicastmw.cli.tables import _web as web_lines
from multicastmw.cli.text import WIDTH, Columns, say, some
from multicastmw.wire import ipv4
from multicastmw.wire.probe import GROUP
from tests.web.synthetic import Node


def drawn(table: Columns) -> list[str]:
    console = Console(file=StringIO(), width=WIDTH, highlight=False, emoji=False, markup=False)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


class Tables(SynchronousTestCase):
    def test_a_long_reason_goes_on_in_the_next_line_and_costs_no_other_column_a_sign(self) -> None:
        why = "closed by the peer: this link would close a cycle, as it reaches london-west already"
        table = Columns("peer", "state", "data", "RTT>", "sent>", "received>", "lost>", "wants>", "why")
        table.row("paris", "up", "UDP", "12.3 ms", "12.3k", "4.56M", 0, 12, "rome, oslo")
        table.row("london-east", "standby", "", "", "", "", "", "", why)
        lines = drawn(table)
        self.assertLessEqual(max(map(len, lines)), WIDTH)
        self.assertNotIn("\u2026", "".join(lines))
        for shown in ("received", "london-east", "standby", "12.3 ms"):
            self.assertIn(shown, "".join(lines))
        reason = " ".join(line[lines[0].index("why") :].strip() for line in lines[2:])
        self.assertEqual(reason.replace(" ", ""), why.replace(" ", ""))

    def test_wide_signs_take_two_columns_and_figures_stand_to_the_right(self) -> None:
        table = Columns("name", "count>", "why")
        table.row("東京", 7, "x")
        table.row("oslo-west", 12_345, "y")
        lines = drawn(table)
        self.assertEqual(["name       count  why", "東京           7  x", "oslo-west  12345  y"], lines)

    def test_a_table_that_is_far_too_wide_fits_all_the_same(self) -> None:
        table = Columns("one", "two", "three")
        table.row("a" * 70, "b" * 60, "c" * 50)
        lines = drawn(table)
        self.assertLessEqual(max(map(len, lines)), WIDTH)
        self.assertEqual(2, "".join(lines).count("\u2026"))
        self.assertEqual(50, "".join(lines).count("c"))

    def test_a_last_cell_of_wide_signs_goes_on_too(self) -> None:
        table = Columns("a", "why")
        table.row("x", "理由 " * 40)
        lines = drawn(table)
        self.assertEqual(40, "".join(lines).count("理由"))
        self.assertTrue(all(line.startswith("   ") for line in lines[2:]), lines)

    def test_nothing_in_a_cell_reaches_the_terminal_s_controls(self) -> None:
        table = Columns("a", "b")
        table.row("\x1b[31mred", "two\nlines")
        self.assertEqual(["a         b", "?[31mred  two?lines"], drawn(table))


class Questions(SynchronousTestCase):
    """What nodes ask each other is not what somebody plays."""

    def setUp(self) -> None:
        self.status = Node(nodes=6, groups=3, mesh=True).status(100.0)
        text = f"10.88.0.33 to {QUESTIONS} is forwarded by the kernel"
        self.status |= {"streams": [], "events": [{"text": text, "level": "debug", "ago": 1.0}]}
        tables = (self.status["groups"], self.status["routes"])
        for where in (*tables, *(self.status["mesh"][name] for name in ("groups", "streams"))):
            where.append(where[0] | {"group": QUESTIONS})

    def test_it_is_that_group(self) -> None:
        self.assertEqual(ipv4.text(GROUP), QUESTIONS)

    def test_people_are_not_shown_them(self) -> None:
        shown = without_questions(self.status)
        self.assertNotIn(QUESTIONS, json.dumps(shown))
        self.assertEqual(3, len(shown["mesh"]["streams"]))
        self.assertEqual(len(self.status["groups"]) - 1, len(shown["groups"]))
        self.assertIn(QUESTIONS, json.dumps(self.status))

    def test_programs_get_all_of_it_and_it_is_marked(self) -> None:
        found = marked(document(self.status, "mesh"))["mesh"]["streams"]
        self.assertEqual([None] * 3 + [True], [each.get("questions") for each in found])
        without = [{name: each for name, each in one.items() if name != "questions"} for one in found]
        self.assertEqual(self.status["mesh"]["streams"], without)


class InAMesh(SynchronousTestCase):
    """What the tables of the first screen say there."""

    def setUp(self) -> None:
        self.status = Node(nodes=6, groups=3, mesh=True).status(100.0)

    def rendered(self, part: str) -> str:
        console = Console(file=StringIO(), width=WIDTH, highlight=False, emoji=False, markup=False)
        RENDER[part](console, self.status)
        text = console.file.getvalue()
        self.assertLessEqual(max(map(len, text.splitlines())), WIDTH)
        return text

    def test_the_node_says_how_many_neighbours_it_has_and_how_many_it_knows(self) -> None:
        self.status["nodes"] = []
        ((label, said),) = reached(self.status)
        self.assertEqual("mesh", label)
        self.assertRegex(said, "^6 neighbours: .*; 48 nodes known, 3 groups$")
        self.status["mesh"] |= {"neighbours": [], "everybody": None}
        said = "no neighbour yet: mcmw show events says what was tried"
        self.assertEqual([("mesh", said)], list(reached(self.status)))
        self.status["mesh"] = None
        self.assertEqual([("reaches", "nobody")], list(reached(self.status)))

    def test_where_a_stream_goes_has_room_in_its_line(self) -> None:
        (route, *_) = self.status["routes"]
        self.status["routes"] = [
            route | {"group": "224.2.127.254", "source": "10.88.0.12", "to": ["mesh", "mcmw0"]}
        ]
        self.assertIn("  mesh, mcmw0\n", self.rendered("routes"))

    def test_links_of_neighbours_have_no_columns_of_a_tree(self) -> None:
        up = {each["id"] for each in self.status["peers"] if each["state"] == "up"}
        self.status["mesh"]["neighbours"] = [{"id": each} for each in up]
        self.assertNotIn("behind", self.rendered("peers"))
        self.status["mesh"]["neighbours"].pop()  # one is of a tree
        self.assertIn("behind", self.rendered("peers"))

    def test_who_has_no_peer_is_told_where_it_stands_why(self) -> None:
        self.status["peers"] = []
        self.assertIn(
            "mcmw show events says which seeds were asked", " ".join(self.rendered("peers").split())
        )


class Peers(SynchronousTestCase):
    def test_long_names_give_way_and_reasons_do_not(self) -> None:
        name, why = "headend1.hamburg.example.net", "TLS: its certificate is not from one of our authorities"
        up = {
            "name": "playout1.berlin.example.net", "sections": ["studio"], "state": "up", "tls": True,
            "data": "udp", "fast": False, "rtt": 0.01, "jitter": 0.0004, "loss": 0.03125, "channels": 12,
            "rate_sent": 12_345, "rate_received": 4_560_000, "nodes": ["playout1.berlin.example.net", "x"],
            "queue": 0, "queue_drops": 0, "kernel_drops": 0, "counters": {"socket_full": 0},
        }  # fmt: skip
        down = {"name": name, "sections": [name], "state": "waiting", "why": why, "endpoint": "tcp:h:4600"}
        console = Console(file=StringIO(), width=WIDTH, highlight=False, emoji=False, markup=False)
        RENDER["peers"](console, {"peers": [up, down]})
        lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
        self.assertLessEqual(max(map(len, lines)), WIDTH)
        for shown in (
            "TLS",
            "yes",
            "UDP",
            "10\u00b10.4",
            "3.12%",
            "12.3k",
            "4.56M",
            "waiting",
            "headend1.hamb\u2026",
        ):
            self.assertIn(shown, "\n".join(lines[:3]))
        other = "playout1.berlin.example.net"
        said = f"[peer:studio] reaches {other}: call the section [peer:{other}]"
        self.assertEqual(" ".join(lines[3:]), f"{said} {name}: {why}")

    def test_every_link_says_whether_it_is_in_tls(self) -> None:
        links = [
            {"name": name, "sections": [], "state": "up", "tls": tls, "data": data, "fast": data == "udp",
             "rtt": 0.0123, "jitter": 0.01, "loss": 1.0, "rate_sent": 12_345, "rate_received": 4_560_000,
             "channels": 16_384, "nodes": [name, "berlin", "hamburg", "rome"], "queue_drops": 12_300,
             "queue": 3 if tls else 0, "kernel_drops": 0, "counters": {"socket_full": 1}}
            for name, tls, data in (("playout1.berl", True, "tcp"), ("headend1.hamb", False, "udp"))
        ]  # fmt: skip
        console = Console(file=StringIO(), width=WIDTH, highlight=False, emoji=False, markup=False)
        RENDER["peers"](console, {"peers": links})
        text = console.file.getvalue()
        self.assertLessEqual(max(map(len, text.splitlines())), WIDTH)
        head, first, *rest = (line.split() for line in text.splitlines())
        said = {words[0]: words[head.index("TLS")] for words in (first, *rest) if words[1:2] == ["up"]}
        self.assertIn("headend1.hamb: 12.3k packets were lost here", text)
        self.assertIn("playout1.berl: 3 packets wait for it", text)
        self.assertEqual(said, {"playout1.berl": "yes", "headend1.hamb": "no"})
        for figure in ("12.3k", "4.56M", "12.3\u00b110", "100%", "16.4k", "fast", "TCP"):
            self.assertIn(figure, text)

    def test_of_names_that_are_too_long_one_is_shown_as_far_as_it_goes(self) -> None:
        self.assertEqual(some(["playout1.berlin.example.net"], 12), "playout1.be\u2026")
        self.assertEqual(some(["playout1.berlin.example.net", "b"], 12), "playout1\u2026 +1")


class Groups(SynchronousTestCase):
    def drawn(self, **group: object) -> str:
        base = {
            "group": "239.255.255.250", "source": "192.168.100.200", "version": 3, "pinned": False,
            "denied": False, "expires_in": 259.4, "wanted_by": ("headend1.hamburg.example.net", "b", "mcmw0"),
            "hosts": ("192.168.100.201", "192.168.100.202", "192.168.100.203"), "hosts_known": 7,
        }  # fmt: skip
        console = Console(file=StringIO(), width=WIDTH, highlight=False, emoji=False, markup=False)
        RENDER["groups"](console, {"groups": [base | group], "counters": {}})
        text = console.file.getvalue()
        self.assertLessEqual(max(map(len, text.splitlines())), WIDTH)
        return " ".join(text.split())

    def test_the_longest_addresses_stay_whole(self) -> None:
        shown = self.drawn()
        for part in ("239.255.255.250 192.168.100.200 v3 259 s", "192.168.100.201,", "192.168.100.202 +5)"):
            self.assertIn(part, shown)

    def test_what_is_denied_is_marked(self) -> None:
        shown = self.drawn(denied=True, wanted_by=(), hosts=("10.88.0.1",), hosts_known=1)
        self.assertIn("denied 259 s nobody (10.88.0.1)", shown)

    def test_a_long_warning_goes_on_under_itself(self) -> None:
        console = Console(file=StringIO(), width=WIDTH, highlight=False, emoji=False, markup=False)
        say(console, "warning", "[tls] /etc/mcmw/studio.pem expires on 2027-01-01 12:00 UTC, in 3 days " * 2)
        first, *rest = console.file.getvalue().splitlines()
        self.assertTrue(first.startswith("warning     [tls]"))
        self.assertTrue(rest and all(line.startswith(" " * 12) and line[12] != " " for line in rest))
        self.assertLessEqual(max(map(len, (first, *rest))), WIDTH)


class Recovery(SynchronousTestCase):
    def test_what_came_again_and_who_has_it(self) -> None:
        recovery = {"partners": ["a", "c"], "counters": {"recovered": 95, "missed": 96, "resent": 1_234}}
        expected = "with a, c: 95 of 96 missed packets came, 1234 sent again"
        self.assertEqual(expected, recovery_line(recovery, over_udp=True))
        alone = {**recovery, "partners": []}
        self.assertEqual("no peer has it", recovery_line(alone, over_udp=True))
        self.assertEqual("not needed, as data go over TCP", recovery_line(alone, over_udp=False))


class Correction(SynchronousTestCase):
    def test_which_links_have_parity_and_what_came_of_it(self) -> None:
        links = [
            {"peer": "a", "loss": 0.0312, "rows": 3, "rebuilds": True},
            {"peer": "c", "loss": None, "rows": 0, "rebuilds": False},
            {"peer": "d", "loss": None, "rows": 1, "rebuilds": False},
        ]
        fec = {"mode": "auto", "block": 20, "links": links, "counters": {"rebuilt": 812}}
        expected = "auto, to a, d, at most 3 for 20 (a, 3.1% lost): 812 packets rebuilt here"
        self.assertEqual(expected, fec_line(fec))
        idle = {**fec, "links": links[1:2]}
        self.assertEqual("auto, none needed with c: 812 packets rebuilt here", fec_line(idle))
        self.assertEqual("auto, no peer has it", fec_line({**fec, "links": []}))


class OtherParts(SynchronousTestCase):
    """What `mcmw show` makes of a snapshot besides its tables."""

    def setUp(self) -> None:
        self.link = {
            "name": "b", "state": "up", "why": "", "endpoint": "tcp:b:4600", "data": "udp", "fast": True,
            "rtt": 0.0123, "nodes": ("b", "c", "d"), "id": "b0", "jitter": 0.0004, "loss": 0.03125,
            "queue": 17, "rate_sent": 12_345, "rate_received": 4_560_000,
        }  # fmt: skip
        self.status = {
            "node": {"name": "a"}, "tap": {"device": "mcmw0", "state": "up", "why": ""},
            "fastpath": {"on": True, "mode": "auto", "why": ""}, "refused_reload": None, "warnings": (),
            "peers": [self.link], "events": [], "mesh": None,
        }  # fmt: skip

    def drawn(self, part: str) -> list[str]:
        console = Console(file=StringIO(), width=WIDTH, highlight=False, emoji=False, markup=False)
        RENDER[part](console, self.status)
        lines: list[str] = console.file.getvalue().splitlines()
        self.assertLessEqual(max(map(len, lines)), WIDTH)
        return [line.rstrip() for line in lines]

    def test_the_tree_as_it_is_seen_from_here(self) -> None:
        lines = self.drawn("tree")
        self.assertEqual(4, len(lines))
        self.assertEqual("a", lines[0])
        self.assertTrue(lines[1].endswith("b  fast  UDP  12.3 ms"), lines)
        self.assertEqual(["c", "d"], [line.split()[-1] for line in lines[2:]])
        self.link["state"] = "waiting"
        self.assertEqual(["a", "no link is up: mcmw show pending says what waits"], self.drawn("tree"))

    def test_the_mesh_and_its_trees(self) -> None:
        self.assertEqual(1, len(self.drawn("mesh")))
        stream = {
            "group": "239.1.2.3", "source": "10.88.0.1", "node": "studio", "begins_here": False,
            "shared": False, "registered_with": None, "feeds": 1,
            "parent": "b", "children": ("c\x1b[2J", "d", "e", "f"), "path": ("studio", "b", "a"),
            "backups": ("e", "f"), "missing": 3, "counters": {"recovered": 5, "resent": 2},
            "second": None, "second_path": (), "both_pass": (),
        }  # fmt: skip
        near = {
            "name": "b",
            "id": "b0",
            "rtt": 0.0123,
            "capacity": 8,
            "believed": True,
            "score": 1.5,
            "behind_nat": False,
            "groups": ("all",),
        }
        far = near | {
            "id": "a0",
            "name": "a-name-that-is-longer-than-its-place",
            "rtt": None,
            "behind_nat": True,
            "believed": False,
        }
        self.link["nodes"] = ()
        self.status["mesh"] = {
            "role": "relay", "uplink": 0, "dialable": False, "neighbours": (far, near), "streams": (stream,),
            "groups": ({"group": "239.1.2.3", "known": 7, "neighbours": ("b", "c")},), "streams_not_shown": 7,
            "feeds": 1, "feeds_groups": (), "rotate": 0.0,
            "left_alone": (
                {"name": "liar\x1b[2J", "id": "c", "address": "192.0.2.9", "seconds": 59, "why": "it floods"},
            ), "left_alone_not_shown": 12,
        }  # fmt: skip
        text = "\n".join(self.drawn("mesh"))
        self.assertIn("relay, nothing for others, cannot be dialled", text)
        for words in ("12.3\u00b10.4", "3.12%", "12.3k", "4.56M", "17", "1  NAT", "c?[2J, d, e +1",
                      "239.1.2.3 of studio", "and 7 more", "liar?[2J", "59  it floods",
                      "and 12 more are left alone", "not believed when they tell of others: a-"):  # fmt: skip
            self.assertIn(words, text)
        self.assertLess(text.index("12.3\u00b1"), text.index("NAT"))
        lines = self.drawn("tree")
        self.assertEqual(9, len(lines))
        self.assertTrue(lines[2].endswith("b  12.3 ms"), lines)
        self.assertEqual(["a", "c?[2J", "d"], [line.split()[-1] for line in lines[3:6]])
        self.assertEqual("    instead of b: e, f", lines[-1])
        stream |= {"shared": True, "source": "0.0.0.0", "path": ("b", "a")}
        self.assertIn("239.1.2.3 shared by studio", "\n".join(self.drawn("mesh")))
        self.assertIn("from all who send slowly, which studio shares", "\n".join(self.drawn("tree")))
        stream |= {"shared": False, "registered_with": "b", "children": ()}
        self.assertIn("b, which shares it", "\n".join(self.drawn("mesh")))
        self.assertIn("b  12.3 ms, the rendezvous point", "\n".join(self.drawn("tree")))
        self.status["mesh"] |= {
            "neighbours": (), "streams": (), "left_alone": (), "left_alone_not_shown": 0,
        }  # fmt: skip
        text = "\n".join(self.drawn("mesh"))
        self.assertIn("no neighbour yet", text)
        self.assertNotIn("left alone", text)

    def test_of_two_feeds_both_ways_are_drawn_and_what_they_share(self) -> None:
        stream = {
            "group": "239.1.2.3", "source": "10.88.0.1", "node": "studio", "begins_here": False,
            "parent": "b", "second": "e", "children": ("d",), "path": ("studio", "c", "b", "a"),
            "second_path": ("studio", "c", "e", "a"), "both_pass": ("c",), "backups": ("f",), "missing": 0,
            "counters": {"recovered": 0, "resent": 0}, "shared": False, "registered_with": None, "feeds": 2,
        }  # fmt: skip
        self.link["nodes"] = ()
        self.status["mesh"] = {
            "role": "member", "uplink": 0, "dialable": True, "neighbours": (), "streams": (stream,),
            "groups": (), "streams_not_shown": 0, "feeds": 2, "rotate": 60.0, "left_alone": (),
            "left_alone_not_shown": 0, "feeds_groups": (),
        }  # fmt: skip
        text = " ".join(self.drawn("mesh"))
        self.assertIn("can be dialled, two feeds of each stream, parents change every 60 s or so", text)
        self.assertIn("b + e", text)
        lines = self.drawn("tree")
        names = [line.removesuffix("  12.3 ms").split()[-1] for line in lines[1:]]
        self.assertEqual(["studio", "c", "b", "a", "d", "feed", "studio", "c", "e", "a"], names[:10])
        self.assertEqual(["    both ways pass c", "    instead of b: f"], lines[-2:])
        stream |= {"second": None, "second_path": (), "both_pass": ()}
        self.assertIn("b (one way)", "\n".join(self.drawn("mesh")))
        self.assertIn("no second feed", self.drawn("tree")[-2])
        self.status["mesh"]["feeds_groups"] = ("239.9.0.0/16",)
        stream["feeds"] = 1
        text = " ".join(self.drawn("mesh"))
        self.assertIn("two feeds of streams to 239.9.0.0/16", text)
        self.assertNotIn("one way", text)
        self.assertNotIn("no second feed", "\n".join(self.drawn("tree")))

    def test_nothing_waits(self) -> None:
        self.assertEqual(["nothing waits: all is as node.ini has it"], self.drawn("pending"))

    def test_all_that_waits_and_for_what(self) -> None:
        self.link |= {"state": "waiting", "why": "connection refused"}
        self.status |= {
            "tap": {"device": "mcmw0", "state": "pending", "why": "no such device"},
            "fastpath": {"on": False, "mode": "auto", "why": "CAP_BPF missing"},
            "refused_reload": {"why": "line 3: [tap] mtu"}, "warnings": ("b is in use twice " * 8,),
        }  # fmt: skip
        text = " ".join(self.drawn("pending"))
        for words in ("no such device", "waiting: connection refused", "CAP_BPF missing", "line 3", "twice"):
            self.assertIn(words, text)
        self.assertEqual(5, len(waiting(self.status)))
        self.status["fastpath"]["mode"] = "off"
        self.assertEqual(4, len(waiting(self.status)))

    def test_what_has_happened_and_nothing_of_it_reaches_the_terminal_s_controls(self) -> None:
        self.assertEqual(["nothing has happened"], self.drawn("events"))
        text = "b\x1b[2J went away: " + "it said nothing for a long while " * 4
        self.status["events"] = [{"ago": 3700.0, "kind": "PeerDown", "level": "warn", "text": text}]
        _, first, *rest = self.drawn("events")
        self.assertTrue(first.startswith("1 h 1 min  b?[2J went away"), first)
        self.assertTrue(rest)


class Web(SynchronousTestCase):
    """What `mcmw show` says of the web service."""

    def setUp(self) -> None:
        self.status = {"web": {"endpoint": None, "why": "", "takes_token": False}, "outputs": ()}

    def test_off_it_is_no_line(self) -> None:
        self.assertEqual([], web_lines(self.status))

    def test_where_it_is_and_who_watches_what(self) -> None:
        self.status["web"] |= {"endpoint": "tcp:8080:interface=127.0.0.1"}
        output = {
            "group": "239.1.1.1",
            "source": "any",
            "port": 5004,
            "clients": 2,
            "bytes": 12_300,
            "lost": 0,
        }
        self.status["outputs"] = (output, output | {"source": "10.88.0.1", "lost": 7})
        self.assertEqual([
            "tcp:8080:interface=127.0.0.1, for this host alone",
            "2 watch 239.1.1.1:5004: 12.3k bytes",
            "2 watch 239.1.1.1:5004 of 10.88.0.1: 12.3k bytes, 7 payloads lost",
        ], web_lines(self.status))  # fmt: skip
        self.status["web"]["takes_token"] = True
        self.assertIn("see mcmw web", web_lines(self.status)[0])

    def test_why_it_is_not_there(self) -> None:
        self.status["web"] |= {
            "endpoint": "tcp:8080",
            "why": "[web] endpoint: tcp:8080: Address already in use",
        }
        self.assertEqual(["[web] endpoint: tcp:8080: Address already in use"], web_lines(self.status))
