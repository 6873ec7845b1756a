"""Seeds that DNS names (srv:NAME), of a server that is one."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from multicastmw.cli.lab import Host, Lab, wait_until
from tests.netns.kit import (
    HERE,
    PATIENCE,
    PORT,
    NetnsTestCase,
    await_linked,
    let_pass,
    mcmw,
    node_ini,
    node_log,
    why_not,
)

ZONE = "example.net"
SERVICE = f"_mcmw._tcp.{ZONE}"
ROOT = ""  # the name that DNS writes as a dot
RESOLVERS = Path("/etc/netns")  # where `ip netns exec` has a namespace's resolv.conf from


class SeedsInDns(NetnsTestCase):
    """c asks DNS for its seeds; the server is on b's host."""

    skip = why_not()
    whole_starts = True  # as `ip netns exec` starts programs, with a resolv.conf of their own

    def setUp(self) -> None:
        self.lab: Lab = self.make_lab("abc")
        self.a, self.b, self.c = self.lab.hosts

    def serve(self, names: dict[str, Any]) -> None:
        command = [sys.executable, str(HERE / "nameserver.py"), self.b.address, json.dumps(names)]
        server = self.b.spawn(command, log="nameserver")
        wait_until(lambda: "ready" in server.read_output(), PATIENCE, "the DNS server")

    def start(self, host: Host, seeds: str = "") -> None:
        folder = RESOLVERS / host.namespace
        folder.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, folder)
        (folder / "resolv.conf").write_text(f"nameserver {self.b.address}\n")
        sections = {"overlay": {"engine": "mesh", **({"seeds": seeds} if seeds else {})}}
        host.start_node(node_ini(host, (), sections))

    def said(self, host: Host) -> str:
        code, out, _ = mcmw(host, "show", "events")
        self.assertEqual(0, code)
        return " ".join(out.split())

    def await_said(self, host: Host, words: str) -> None:
        wait_until(lambda: words in self.said(host), PATIENCE, words)
        self.assertNotIn("Traceback", node_log(host))

    def test_the_node_that_they_name_is_dialled(self) -> None:
        self.serve({SERVICE: [[10, 1, PORT, f"seed.{ZONE}"]], f"seed.{ZONE}": self.a.address})
        self.start(self.a)
        self.start(self.c, f"srv:{ZONE}")
        await_linked(self.c, "a")
        self.assertEqual(1, self.c.status()["event_counts"]["NeighbourUp"])

    @pytest.mark.long
    def test_a_seed_with_a_name_is_not_dialled_again_while_it_is_linked(self) -> None:
        """It answers from an address that is not its name."""
        self.serve({f"seed.{ZONE}": self.a.address})
        self.start(self.a)
        self.start(self.c, f"tcp:seed.{ZONE}:{PORT}")
        await_linked(self.c, "a")
        let_pass(45)  # it greets a seed every 20 to 40 s
        self.assertEqual(1, self.c.status()["event_counts"]["NeighbourUp"])

    def test_of_the_first_priority_nobody_is_there_and_so_the_next_is_asked(self) -> None:
        self.serve({
            SERVICE: [[20, 1, PORT, f"spare.{ZONE}"], [10, 1, PORT, f"seed.{ZONE}"]],
            f"seed.{ZONE}": self.b.address, f"spare.{ZONE}": self.a.address,
        })  # fmt: skip
        self.start(self.a)
        self.start(self.c, f"srv:{ZONE}")
        await_linked(self.c, "a")
        self.await_said(self.c, f"the seed seed.{ZONE}:{PORT} cannot be reached: Connection refused")

    def test_a_name_that_does_not_exist_is_said_to_be_none_and_is_asked_again(self) -> None:
        self.serve({})
        self.start(self.c, f"srv:{ZONE}")
        self.await_said(self.c, f"the seed srv:{ZONE} cannot be reached: DNS knows no {SERVICE}")
        counts = self.c.status()["event_counts"]
        self.c.await_status(
            lambda status: status["event_counts"]["SeedUnreachable"] > counts["SeedUnreachable"],
            PATIENCE, "another try",
        )  # fmt: skip

    def test_a_service_that_is_declared_not_to_be_there_names_no_host(self) -> None:
        self.serve({SERVICE: [[0, 0, 0, ROOT]]})
        self.start(self.c, f"srv:{ZONE}")
        self.await_said(self.c, f"the seed srv:{ZONE} cannot be reached: DNS names no host for {SERVICE}")

    def test_a_server_that_is_silent_is_said_to_be(self) -> None:
        self.serve({"silent": ""})
        self.start(self.c, f"srv:{ZONE}")
        self.await_said(self.c, f"the seed srv:{ZONE} cannot be reached: no DNS server answers")
        self.assertTrue(self.c.status()["node"]["ready"])

    def test_where_no_server_is_the_same_is_said(self) -> None:
        self.lab.internet.black_hole("b", "c")
        self.start(self.c, f"srv:{ZONE}")
        self.await_said(self.c, f"the seed srv:{ZONE} cannot be reached: no DNS server answers")
