"""`mcmw setup`: one command, and each of several nodes has all that it starts with."""

import json
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from multicastmw.config import Config, load
from multicastmw.net.tls import Credentials, Files
from tests.cli.test_check import CommandCase


class Case(CommandCase):
    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def setup_(self, *arguments: str) -> tuple[str, str, int]:
        return self.mcmw("setup", *arguments, "--in", str(self.folder))

    def made(self, *arguments: str) -> list[dict[str, Any]]:
        out, err, code = self.setup_(*arguments, "--json")
        self.assertEqual(("", 0), (err, code))
        found: list[dict[str, Any]] = json.loads(out)["nodes"]
        return found

    def config(self, name: str) -> Config:
        return load(str(self.folder / name / "node.ini"), "host")

    def dials(self, name: str) -> dict[str, str]:
        return {peer.name: peer.endpoint for peer in self.config(name).peers}

    def contents(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}


class Making(Case):
    def test_each_folder_holds_a_node_that_is_let_in_by_the_others(self) -> None:
        out, err, code = self.setup_("b=b.example.net", "a", "c")
        self.assertEqual(("", 0), (err, code))
        self.assertIn("a has 10.88.0.2/24, dials b", out)
        self.assertLessEqual(max(map(len, out.replace(str(self.folder), "").splitlines())), 80)
        identities = set()
        for name, address in (("b", "10.88.0.1/24"), ("a", "10.88.0.2/24"), ("c", "10.88.0.3/24")):
            config, own = self.config(name), self.folder / name
            self.assertEqual(
                (name, address, ()), (config.node.name, str(config.tap.address), config.warnings)
            )
            assert config.tls
            files = Files(config.tls.certificate, config.tls.private_key, config.tls.authorities)
            self.assertEqual(own / f"{name}.pem", Path(files.certificate))
            self.assertEqual(0o600, Path(files.private_key).stat().st_mode & 0o777)
            identities.add(Credentials(files, name).node)
        self.assertEqual(3, len(identities))
        self.assertEqual({"b": "tcp:b.example.net:4600"}, self.dials("a"))
        self.assertEqual(self.dials("a"), self.dials("c"))
        self.assertEqual({}, self.dials("b"))

    def test_two_that_are_reached_have_one_link_and_the_others_dial_both(self) -> None:
        made = self.made("a=192.0.2.1", "b=fd00::2", "c", "--port", "4700")
        self.assertEqual([[], ["a"], ["a", "b"]], [each["dials"] for each in made])
        there = {"a": "tcp:192.0.2.1:4700", "b": "tcp:host=fd00\\:\\:2:port=4700"}
        self.assertEqual(there, self.dials("c"))
        listen = self.config("a").listen
        self.assertEqual(("tcp:4700", 4700), (listen.endpoint, listen.udp_port))

    def test_a_page_is_for_the_host_alone_and_only_where_it_is_asked_for(self) -> None:
        self.made("a")
        self.assertIsNone(self.config("a").web.endpoint)
        self.made("a", "b=h", "--page")
        self.assertEqual("tcp:8080:interface=127.0.0.1", self.config("b").web.endpoint)

    def test_more_are_added_and_what_is_there_is_left(self) -> None:
        self.made("b=h", "a")
        before = self.contents()
        made = self.made("b=h", "a", "d")
        self.assertEqual([False, False, True], [each["made"] for each in made])
        self.assertEqual(before, {path: text for path, text in self.contents().items() if path in before})
        self.assertEqual(("10.88.0.3/24", {"b": "tcp:h:4600"}),
                         (str(self.config("d").tap.address), self.dials("d")))  # fmt: skip


class Refusals(Case):
    def refused(self, code: int, *arguments: str) -> str:
        out, err, found = self.setup_(*arguments)
        self.assertEqual(("", 1, code), (out, err.count("\n"), found), err)
        self.assertEqual({}, self.contents())
        return err

    def test_nobody_can_be_dialled(self) -> None:
        self.assertIn("a=HOST", self.refused(2, "a", "b"))

    def test_names_and_hosts_that_are_none(self) -> None:
        self.refused(2, "a=h", "a")
        for name in ("..", ".", "a/b", "a b", "ä", "10.0.0.1", ""):
            self.refused(1, "x=h", name)
        for host in ("a b", "h:99999"):
            self.refused(2, f"a={host}")

    def test_a_subnet_that_is_none_or_too_small(self) -> None:
        self.refused(2, "a=h", "b", "--subnet", "10.88.0.1/24")
        self.refused(2, "a=h", "b", "c", "--subnet", "10.88.0.0/30")
