"""What Prometheus is shown: its format, its conventions, its documentation, and what is made of it."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.config import load
from multicastmw.core.fec.counters import FecCounters
from multicastmw.core.gateway import GatewayCounters
from multicastmw.core.output import OutputCounters
from multicastmw.core.status import (
    GatewayStatus,
    GroupStatus,
    OutputStatus,
    PeerStatus,
    Status,
    TlsStatus,
    TotalsStatus,
)
from multicastmw.core.ways import LinkCounters
from multicastmw.services.node import NodeService
from multicastmw.services.snapshot import REASSEMBLY as REASSEMBLY_COUNTERS
from multicastmw.web import metrics
from multicastmw.web.metrics import Highest, families, text
from tests.web.synthetic import Node

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs" / "metrics.rst"
NASTY = 'b"\\\n<script>é'
ENDINGS = {"counter": "_total", "info": "_info"}
# What is in a snapshot and in no metric, for it is said by others.
SAID_OTHERWISE = {
    "groups_not_shown",
    "groups_of_nodes",
    "routes_not_shown",
    "sessions_not_shown",
    "streams_not_shown",
}


def peer(name: str, state: str = "up", **more: Any) -> PeerStatus:
    counters = LinkCounters()
    counters.sent, counters.sent_bytes = 7, 700
    is_up = state == "up"
    values: dict[str, Any] = dict.fromkeys(PeerStatus.__dataclass_fields__) | {
        "name": name,
        "sections": (),
        "state": state,
        "why": "",
        "since": 3.0,
        "data": "udp" if is_up else None,
        "rtt": 0.002 if is_up else None,
        "jitter": 0.001 if is_up else None,
        "loss": 0.0 if is_up else None,
        "attempts": 0,
        "channels": 2,
        "nodes": ("b", "c"),
        "queue": 0,
        "queue_drops": 1,
        "kernel_drops": 2,
        "falls": 0,
        "fast": True,
        "why_slow": "",
        "counters": counters.as_dict() if is_up else {},
    }
    return PeerStatus(**values | more)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, "node.ini")
            path.write_text(f"[node]\nname = a\n[tap]\nreassemble = yes\n[control]\nsocket = {folder}/s\n")
            node = NodeService(load(str(path), "a"), Clock(), random.Random(1), str(path))
        self.addCleanup(node._netlink.close)
        plain = node.status()
        everything = plain.tap.counters | {f"reassembly_{name}": 1 for name in REASSEMBLY_COUNTERS}
        gateway = GatewayStatus("br0", "forwarding", None, None, ("z",), 0, GatewayCounters().as_dict())
        tls = TlsStatus("/a.pem", "2027-01-01", 86_400.0, "", False)
        output = {f"output_{name}": 1 for name in OutputCounters().as_dict()}
        self.status: Status = replace(
            plain,
            node=replace(plain.node, tls=tls),
            tap=replace(plain.tap, counters=everything, gateway=gateway),
            peers=(
                peer("b"),
                peer(NASTY),
                peer("c", "dialling"),
                peer("d", "standby"),
                peer("d"),
                peer("b", "waiting"),
            ),
            totals=TotalsStatus(*range(1, 10)),
            outputs=(OutputStatus("239.1.1.1", "any", 5004, False, 2, (), 3, 4, 5),),
            web=replace(plain.web, counters=plain.web.counters | output),
            event_counts={"PeerUp": 2},
        )

    def shown(self, status: Status | None = None) -> str:
        return text(families(status or self.status, Highest())).decode()

    def samples(self, status: Status | None = None) -> dict[tuple[str, ...], float]:
        """By name and the values of its labels."""
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(self.shown(status))
            for sample in family.samples
        }


class Convention(Case):
    def test_prometheus_own_parser_reads_it(self) -> None:
        found = list(text_string_to_metric_families(self.shown()))
        self.assertGreater(len(found), 50)
        self.assertEqual([], [family.name for family in found if family.type == "unknown"])

    def test_names_types_and_helps_are_as_prometheus_has_them(self) -> None:
        for family in families(self.status, Highest()):
            self.assertRegex(family.name, r"^mcmw_[a-z][a-z0-9_]*[a-z0-9]$")
            self.assertRegex(family.documentation, r"^[A-Z0-9].*\.$|^1 .*", family.name)
            self.assertIn(family.type, ("gauge", "counter", "info"))
            name = f"{family.name}_total" if family.type == "counter" else family.name
            self.assertEqual(family.type == "counter", name.endswith("_total"))
            self.assertIsNone(re.search("milli|kilo|_ms|_kb|percent|minutes|hours|days", name))
            for sample in family.samples:
                for label in sample.labels:
                    self.assertNotIn(label, ("group", "source", "le", "quantile", "job", "instance"))

    def test_no_sample_comes_twice_though_two_peers_have_one_name(self) -> None:
        lines = [line.rpartition(" ")[0] for line in self.shown().splitlines() if not line.startswith("#")]
        self.assertEqual(len(lines), len(set(lines)))
        samples = self.samples()
        self.assertEqual([1, 1, 0], [samples["mcmw_peer_up", name] for name in ("b", "d", "c")])

    def test_a_name_from_outside_is_a_label_whatever_is_in_it(self) -> None:
        self.assertEqual(1, self.samples()["mcmw_peer_up", NASTY])
        self.assertNotIn("\n<script>", self.shown())

    def test_groups_and_sources_are_no_series(self) -> None:
        before = len(self.samples())
        groups = tuple(
            GroupStatus(f"239.1.1.{n}", "any", ("mcmw0",), 3, "exclude", None, (), 0, 9.0, False, False)
            for n in range(200)
        )
        self.assertEqual(before, len(self.samples(replace(self.status, groups=groups))))
        self.assertEqual(200, self.samples(replace(self.status, groups=groups))["mcmw_groups",])
        many = replace(self.status, peers=tuple(peer(f"p{n}") for n in range(100)))
        self.assertLess((len(self.samples(many)) - before) / 95, 22)

    def test_a_family_a_turn_is_the_same_as_all_at_once(self) -> None:
        parts = b"".join(text([family]) for family in families(self.status, Highest()))
        self.assertEqual(self.shown(), parts.decode())


class Values(Case):
    def test_what_is_shown_is_what_the_status_says(self) -> None:
        samples, status = self.samples(), self.status
        self.assertEqual(
            [status.node.uptime, 86_400.0, 2, 700.0, 0.002, 1, 2, 5, 1],
            [
                samples[key]
                for key in (
                    ("mcmw_uptime_seconds",),
                    ("mcmw_tls_certificate_expires_in_seconds",),
                    ("mcmw_events_total", "PeerUp"),
                    ("mcmw_peer_bytes_total", "sent", "b"),
                    ("mcmw_peer_rtt_seconds", "b"),
                    ("mcmw_peer_dropped_packets_total", "b", "queue"),
                    ("mcmw_peer_dropped_packets_total", "b", "kernel"),
                    ("mcmw_stream_packets_received_total",),
                    ("mcmw_peers", "standby"),
                )
            ],
        )
        self.assertNotIn(("mcmw_peer_rtt_seconds", "c"), samples)

    def test_of_a_mesh_there_are_its_neighbours_and_where_its_streams_come_from(self) -> None:
        self.assertEqual(0, self.samples()["mcmw_mesh_neighbours",])
        told = json.dumps(Node(nodes=6, groups=3, mesh=True).status(100.0)["mesh"])
        mesh: Any = json.loads(told, object_hook=lambda each: SimpleNamespace(**each))
        samples = self.samples(replace(self.status, mesh=mesh))
        self.assertEqual(
            [6, 48, 3, 1, 1, 1],  # of the streams one begins here, one has no parent, one has
            [samples[f"mcmw_mesh_{name}",] for name in ("neighbours", "known_nodes", "groups")]
            + [samples["mcmw_mesh_streams", origin] for origin in ("here", "parent", "nobody")],
        )
        self.assertEqual(sum(len(each.children) for each in mesh.streams), samples["mcmw_mesh_children",])

    def test_no_counter_of_the_status_is_forgotten(self) -> None:
        status = self.status
        self.assertEqual(
            set(status.counters),
            {*metrics.DROPS, *metrics.DOOR, "opened", "dialled_in", "stops", "sleeps", "not_looked_at"}
            | {f"sap_{name}" for name in metrics.SAP}
            | {f"probing_{name}" for name in metrics.QUESTIONS}
            | {f"monitor_{name}" for name in metrics.MONITOR}
            | {f"{part}_reassembly_{name}" for part in metrics.INSIDE for name in metrics.REASSEMBLY}
            | SAID_OTHERWISE,
        )
        both = {"received", "received_bytes", "delivered", "delivered_bytes"}
        rest = {"ttl_raised", "fragments_made", "igmp"}
        held = {"reassembly_held_sets", "reassembly_held_bytes"}
        joined = {f"reassembly_{name}" for name in metrics.REASSEMBLY}
        self.assertEqual(set(status.tap.counters), {*metrics.TAP_DROPS} | both | rest | held | joined)
        ways = {f"{way}{what}" for way in ("sent", "received") for what in ("", "_bytes", "_tcp")}
        self.assertEqual(set(LinkCounters().as_dict()), {*metrics.PEER_TROUBLES, "said"} | ways)
        fec = {"sent", "sent_bytes", "received", "rebuilt"}
        self.assertEqual(set(FecCounters().as_dict()), {*metrics.FEC_TROUBLES} | fec)
        ours = {name for name in status.web.counters if not name.startswith("output_")}
        self.assertEqual(ours, {*metrics.WEB_REFUSALS, "requests", "refused"})

    def test_a_counter_never_falls(self) -> None:
        """Something that was lost comes late after all."""
        highest = Highest()
        late = replace(self.status, totals=replace(self.status.totals, lost=2))
        for status in (self.status, late):
            (lost,) = [each for each in families(status, highest) if each.name == "mcmw_stream_packets_lost"]
            self.assertEqual([float(self.status.totals.lost)], [sample.value for sample in lost.samples])


def served(case: Case) -> set[str]:
    return {f"{family.name}{ENDINGS.get(family.type, '')}" for family in families(case.status, Highest())}


def used(expression: str) -> set[str]:
    return set(re.findall(r"\bmcmw_[a-z0-9_]+", expression))


class Documents(Case):
    def test_the_page_names_every_metric_and_no_other(self) -> None:
        named = set(re.findall(r"^``(mcmw_[a-z0-9_]+)``", PAGE.read_text(), re.MULTILINE))
        self.assertEqual((set(), set()), (served(self) - named, named - served(self)))

    def test_the_page_says_the_labels(self) -> None:
        page = PAGE.read_text()
        for family in families(self.status, Highest()):
            for label in {label for sample in family.samples for label in sample.labels}:
                self.assertIn(label, page, family.name)

    def test_the_dashboard_imports_and_asks_only_for_what_there_is(self) -> None:
        board = json.loads((TOP / "etc" / "grafana" / "multicast-middleware.json").read_text())
        self.assertIsNone(board["id"])
        self.assertGreaterEqual(board["schemaVersion"], 36)
        variables = {variable["name"]: variable for variable in board["templating"]["list"]}
        self.assertEqual("datasource", variables["datasource"]["type"])
        rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
        self.assertEqual(["Overview", "Peers", "Streams and loss", "Fast path", "Troubles"], rows)
        panels = [panel for panel in board["panels"] if panel["type"] != "row"]
        self.assertEqual(len(board["panels"]), len({panel["id"] for panel in board["panels"]}))
        for panel in panels:
            self.assertEqual("${datasource}", panel["datasource"]["uid"], panel["title"])
            self.assertTrue(panel["targets"], panel["title"])
            for target in panel["targets"]:
                names = used(target["expr"])
                self.assertTrue(names)
                self.assertEqual(set(), names - served(self), panel["title"])
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])

    def test_no_two_panels_lie_upon_each_other(self) -> None:
        board = json.loads((TOP / "etc" / "grafana" / "multicast-middleware.json").read_text())
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells

    def test_alerts_ask_only_for_what_there_is_and_say_what_to_do(self) -> None:
        text = (TOP / "etc" / "prometheus" / "alerts.yml").read_text()
        expressions = re.findall(r"^ +expr: (.+)$", text, re.MULTILINE)
        names = re.findall(r"^ +- alert: (\w+)$", text, re.MULTILINE)
        self.assertGreaterEqual(len(names), 8)
        self.assertEqual(
            [len(names)] * 4,
            [len(expressions), len(set(names)), text.count("summary:"), text.count("description:")],
        )
        for expression in expressions:
            self.assertTrue(used(expression), expression)
            self.assertEqual(set(), used(expression) - served(self), expression)
        self.assertNotIn("\t", text)
