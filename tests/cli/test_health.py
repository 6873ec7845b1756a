"""`mcmw health`: what is well, and what is not."""

import json
import sys
from pathlib import Path
from subprocess import run
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.health import ailments
from tests.cli.test_check import CommandCase
from tests.test_container import steps


def status(tap: str = "up", *peers: str) -> dict[str, Any]:
    return {
        "node": {"name": "b"},
        "tap": {"device": "mcmw0", "state": tap, "why": "no such device" if tap != "up" else ""},
        "peers": [{"name": str(number), "state": state} for number, state in enumerate(peers)],
    }


class Ailments(SynchronousTestCase):
    def test_a_node_whose_tap_is_up_is_well_whatever_its_peers_do(self) -> None:
        self.assertEqual([], ailments(status(), 0))
        self.assertEqual([], ailments(status("up", "waiting", "dialling"), 0))

    def test_a_tap_that_is_pending_is_none(self) -> None:
        self.assertEqual(["mcmw0 is pending: no such device"], ailments(status("pending"), 0))

    def test_peers_count_where_they_are_asked_for(self) -> None:
        self.assertEqual([], ailments(status("up", "up", "standby"), 1))
        self.assertEqual(["1 of 2 links are up"], ailments(status("up", "up", "standby"), 2))
        self.assertEqual(2, len(ailments(status("pending"), 1)))


class Command(CommandCase):
    def test_a_node_that_is_not_there_is_one_line_and_exit_code_1(self) -> None:
        out, err, code = self.mcmw("--socket", "/nowhere", "health")
        self.assertEqual(("", 1, 1), (out, err.count("\n"), code))
        out, err, code = self.mcmw("--socket", "/nowhere", "health", "--json")
        self.assertEqual((["error"], "", 1), (list(json.loads(out)), err, code))

    def test_the_container_s_healthcheck_is_a_command_of_ours(self) -> None:
        (check,) = (text for step, text in steps() if step == "HEALTHCHECK")
        words = json.loads(check[check.index("[") :])
        self.assertEqual("mcmw", words[0])
        self.assertIn("health", words)
        command = [str(Path(sys.prefix, "bin", words[0])), *words[1:]]
        self.assertEqual(0, run([*command, "--help"], capture_output=True, check=False).returncode)
        # The node of this very file is not there.
        done = run(command, capture_output=True, text=True, check=False)
        self.assertIn(done.returncode, (1, 2))
        self.assertEqual(1, done.stderr.count("\n"))
