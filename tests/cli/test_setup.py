"""`mcmw setup`: one command, and each of several nodes has all that it starts with."""

import json
import resource
import shutil
from pathlib import Path
from typing import Any

from multicastmw.cli import keys
from multicastmw.config import Config, load
from multicastmw.net.tls import Credentials, Files
from tests.cli.test_check import CommandCase


class Case(CommandCase):
    def setUp(self) -> None:
        self.folder = self.own_folder()

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
        for name, endpoint in (("a", "tcp:4700"), ("b", "tcp6:4700")):
            listen = self.config(name).listen
            self.assertEqual((endpoint, 4700), (listen.endpoint, listen.udp_port))

    def test_a_page_is_for_the_host_alone_and_only_where_it_is_asked_for(self) -> None:
        self.made("a")
        self.assertIsNone(self.config("a").web.endpoint)
        self.made("a=k", "b=h", "--page")
        self.assertEqual("tcp:8080:interface=127.0.0.1", self.config("b").web.endpoint)

    def test_more_are_added_and_what_is_there_is_left(self) -> None:
        self.made("b=h", "a")
        before = self.contents()
        made = self.made("b=h", "a", "d")
        self.assertEqual([False, False, True], [each["made"] for each in made])
        self.assertEqual(before, {path: text for path, text in self.contents().items() if path in before})
        self.assertEqual(("10.88.0.3/24", {"b": "tcp:h:4600"}),
                         (str(self.config("d").tap.address), self.dials("d")))  # fmt: skip

    def test_lines_fit_80_columns_however_many_are_dialled(self) -> None:
        names = [f"node-{number:02}" for number in range(20)]
        first, *others = (f"{name}=of-a-very-long-name-{name}.sub.example.net" for name in names)
        for _ in range(2):
            out, err, code = self.setup_(first, *others, "last")
            self.assertEqual(("", 0), (err, code))
            self.assertLessEqual(max(map(len, out.splitlines())), 80)
        self.assertIn("dials node-00, node-01, node-02,\n    node-03 +16; it was there\n", out)
        self.assertEqual(names, list(self.dials("last")))


class Meshes(Case):
    def seeds(self, name: str) -> tuple[str, ...]:
        return self.config(name).overlay.seeds

    def test_the_first_that_are_reached_are_seeds_and_relays_of_all(self) -> None:
        out, err, code = self.setup_("--mesh", "a", "b=b.example.net", "c=192.0.2.3", "d=d", "e=e")
        self.assertEqual(("", 0), (err, code))
        self.assertIn("a has 10.88.0.1/24, asks b, c, d\n", out)
        self.assertIn("b has 10.88.0.2/24, is a seed and relay, at b.example.net\n", out)
        configs = {name: self.config(name) for name in "abcde"}
        self.assertEqual({"mesh"}, {config.overlay.engine for config in configs.values()})
        self.assertEqual(
            ["b", "c", "d"], [name for name, each in configs.items() if each.overlay.role == "relay"]
        )
        reached = {"b": "tcp:b.example.net:4600", "c": "tcp:192.0.2.3:4600", "d": "tcp:d:4600"}
        for name, config in configs.items():
            self.assertEqual({*reached.values()} - {reached.get(name)}, set(self.seeds(name)))
            self.assertEqual(((), ()), (config.peers, config.warnings))
            self.assertTrue(config.tls)

    def test_what_one_may_have_to_say_stands_there_as_a_comment(self) -> None:
        self.made("--mesh", "a=192.0.2.1", "b=192.0.2.2", "c")
        self.assertIn("\n#uplink = 20000\n", (self.folder / "c" / "node.ini").read_text())

    def test_who_cannot_be_reached_listens_nowhere_whatever_the_port(self) -> None:
        self.made("--mesh", "--port", "4700", "b=h", "a")
        listen = self.config("a").listen
        self.assertEqual((None, 4700), (listen.endpoint, listen.udp_port))
        self.assertEqual("tcp:4700", self.config("b").listen.endpoint)
        self.assertEqual(("tcp:h:4700",), self.seeds("a"))

    def test_who_is_added_is_of_the_mesh_too(self) -> None:
        self.made("--mesh", "b=h", "a")
        made = self.made("b=h", "a", "c", "d=k")
        self.assertEqual([False, False, True, True], [each["made"] for each in made])
        self.assertEqual((("tcp:h:4600", "tcp:k:4600"), ("tcp:h:4600",)), (self.seeds("c"), self.seeds("d")))
        self.assertEqual("mesh", self.config("c").overlay.engine)

    def test_who_is_added_alone_asks_the_seeds_that_those_ask_that_are_there(self) -> None:
        self.made("--mesh", "a=10.1.0.1", "b=10.1.0.2", "c=10.1.0.3", "d")
        seeds = self.seeds("d")
        out, err, code = self.setup_("e", "f")
        self.assertEqual(("", 0), (err, code))
        self.assertIn("e has 10.88.0.5/24, asks a, b, c\n", out)
        self.assertEqual((seeds, seeds), (self.seeds("e"), self.seeds("f")))
        self.assertIsNone(self.config("e").listen.endpoint)
        self.made("g=10.1.0.7")
        self.assertEqual((seeds, "member"), (self.seeds("g"), self.config("g").overlay.role))

    def test_a_seed_that_no_folder_here_is_of_is_asked_too(self) -> None:
        self.made("--mesh", "a=h")
        ini = self.folder / "a" / "node.ini"
        ini.write_text(ini.read_text() + "seeds = lan:, tcp:elsewhere:4600\n")
        self.assertIn("b has 10.88.0.2/24, asks lan:, elsewhere\n", self.setup_("b")[0])
        self.assertEqual(("lan:", "tcp:elsewhere:4600"), self.seeds("b"))

    def test_who_would_be_alone_is_not_made(self) -> None:
        self.made("--mesh", "b=h")
        before = self.contents()
        out, err, code = self.setup_("c")
        self.assertEqual(("", 1, 1, before), (out, err.count("\n"), code, self.contents()))
        self.assertIn("c has no seed, as no node.ini in", err)
        self.made("b=h", "c")
        self.assertEqual(("tcp:h:4600",), self.seeds("c"))

    def test_of_who_was_there_it_tells_what_its_file_says(self) -> None:
        self.made("--mesh", "a=10.1.0.1", "b=10.1.0.2", "c")
        out, err, code = self.setup_("a=10.1.0.1", "b", "c")
        self.assertEqual(("", 0), (err, code))
        for said in ("a has 10.88.0.1/24, is a seed and relay, at 10.1.0.1; it was there",
                     "b has 10.88.0.2/24, is a seed and relay, at 10.1.0.2; it was there",
                     "c has 10.88.0.3/24, asks a, b; it was there"):  # fmt: skip
            self.assertIn(said, " ".join(out.split()))
        told = {
            each["name"]: (each["seed"], each["relay"], each["dials"]) for each in self.made("a", "b", "c")
        }
        self.assertEqual(
            {"a": (True, True, ["b"]), "b": (True, True, ["a"]), "c": (False, False, ["a", "b"])}, told
        )
        ini = self.folder / "c" / "node.ini"
        ini.write_text(ini.read_text().replace("seeds = ", "# seeds = "))
        self.assertIn("c has 10.88.0.3/24, dials nobody; it was there", self.setup_("a", "b", "c")[0])

    def test_another_host_of_a_seed_than_the_files_have_is_refused(self) -> None:
        self.made("--mesh", "a=10.1.0.1", "b=10.1.0.2", "c")
        before = self.contents()
        for nodes in (("a=10.1.0.9", "c"), ("b=10.1.0.9", "d")):
            out, err, code = self.setup_(*nodes)
            self.assertEqual(("", 1, 1, before), (out, err.count("\n"), code, self.contents()))
        self.assertIn("has b at tcp:10.1.0.2:4600, and not at tcp:10.1.0.9:4600: change one", err)

    def test_who_is_reached_by_ipv6_listens_there_whatever_the_port(self) -> None:
        self.made("--mesh", "a=fd00::1", "b=192.0.2.2")
        self.made("a=fd00::1", "c=fd00::3", "--port", "4700")
        found = {name: self.config(name).listen for name in "abc"}
        self.assertEqual(
            {"a": ("tcp6:4600", 4600), "b": ("tcp:4600", 4600), "c": ("tcp6:4700", 4700)},
            {name: (listen.endpoint, listen.udp_port) for name, listen in found.items()},
        )

    def test_a_tree_is_no_mesh(self) -> None:
        self.made("b=h", "a")
        before = self.contents()
        out, err, code = self.setup_("--mesh", "b=h", "a", "c")
        self.assertEqual(("", 1, before), (out, code, self.contents()))
        self.assertIn("is of a tree: give another folder with --in", err)


class Again(Case):
    """What is there goes before what would be planned."""

    def failed(self, *arguments: str) -> str:
        before = self.contents()
        out, err, code = self.setup_(*arguments)
        self.assertEqual(("", 1, 1), (out, err.count("\n"), code), err)
        self.assertEqual(before, self.contents())
        return err

    def edit(self, name: str, old: str, new: str) -> None:
        ini = self.folder / name / "node.ini"
        text = ini.read_text()
        self.assertIn(old, text)
        ini.write_text(text.replace(old, new))

    def test_an_address_that_is_taken_is_given_to_nobody_else(self) -> None:
        self.made("b=h", "a", "c")
        self.assertEqual("10.88.0.4/24", self.made("d=x")[0]["address"])
        self.assertEqual(4, len({str(self.config(name).tap.address) for name in "abcd"}))

    def test_it_tells_of_the_addresses_and_links_that_the_files_have(self) -> None:
        self.made("b=h", "a")
        self.edit("a", "10.88.0.2/24", "10.88.0.77/24")
        made = self.made("a", "b=h", "c", "e")
        self.assertEqual(
            ["10.88.0.77/24", "10.88.0.1/24", "10.88.0.2/24", "10.88.0.3/24"],
            [each["address"] for each in made],
        )
        self.assertIn("a has 10.88.0.77/24, dials b; it was there", self.setup_("a", "b=h")[0])
        self.edit("a", "address = 10.88.0.77/24", "address =")
        self.assertIsNone(self.made("a", "b=h")[0]["address"])
        self.assertIn("a has no address, dials b; it was there", self.setup_("a", "b=h")[0])

    def test_a_new_node_dials_the_port_that_the_others_dial(self) -> None:
        self.made("--port", "5000", "b=h", "a")
        self.made("b=h", "a", "z")
        self.assertEqual({"b": "tcp:h:5000"}, self.dials("z"))

    def test_a_new_node_dials_the_port_where_one_that_nobody_dials_listens(self) -> None:
        self.made("--port", "5000", "b=fd00::1")
        self.made("b=[fd00:0::1]", "z")
        self.assertEqual({"b": "tcp:host=fd00\\:\\:1:port=5000"}, self.dials("z"))
        self.edit("b", "tcp6:5000", "unix:/run/b")
        shutil.rmtree(self.folder / "z")
        self.assertIn("listens at unix:/run/b", self.failed("b=fd00::1", "z"))

    def test_a_new_node_dials_those_that_are_there_wherever_it_stands(self) -> None:
        self.made("b=h", "a")
        self.made("x=k", "b=h", "a")
        self.assertEqual({"b": "tcp:h:4600"}, self.dials("x"))

    def test_another_host_than_the_files_have_is_refused(self) -> None:
        self.made("b=h", "a")
        for nodes in (("b=k", "a"), ("b=k", "z")):
            err = self.failed(*nodes)
            self.assertIn("a/node.ini has b at tcp:h:4600, and not at tcp:k:4600", err)
        shutil.rmtree(self.folder / "b")
        self.assertIn("and not at tcp:h:99", self.failed("b=h", "a", "--port", "99"))
        self.made("b=H", "z")  # names are the same in DNS

    def test_an_address_that_two_have_is_refused(self) -> None:
        self.made("b=h", "a", "c")
        self.edit("a", "10.88.0.2", "10.88.0.1")
        self.assertIn("has 10.88.0.1, and", self.failed("b=h", "z"))

    def test_another_subnet_is_refused(self) -> None:
        self.made("b=h", "a", "--subnet", "10.99.0.0/24")
        self.assertIn("--subnet 10.99.0.0/24", self.failed("b=h", "z"))
        self.made("b=h", "z", "--subnet", "10.99.0.0/24")
        self.assertEqual("10.99.0.3/24", str(self.config("z").tap.address))

    def test_a_node_that_nothing_would_link_is_refused(self) -> None:
        self.made("b=h", "a")
        self.assertIn("nothing would link z and a", self.failed("a", "z=k"))

    def test_a_file_that_does_not_tell_is_refused(self) -> None:
        self.made("b=h", "a")
        (self.folder / "a" / "node.ini").write_text("[node]\nname = other\n")
        self.assertIn("that is the node other, and not a", self.failed("b=h", "a", "z"))
        (self.folder / "a" / "node.ini").write_text("[nod]\n")
        self.assertIn("no such section", self.failed("b=h", "z"))

    def test_a_session_that_the_first_does_not_announce_is_refused(self) -> None:
        film = ("--session", "Film=239.1.2.3:5004")
        self.made("b=h", "a", *film)
        self.made("b=h", "a", "z", *film)
        self.assertIn("does not announce 'Other'", self.failed("b=h", "y", "--session", "Other=239.1.2.3:5"))

    def test_the_key_of_the_authority_is_asked_for_only_where_something_is_made(self) -> None:
        self.made("b=h", "a")
        key = self.folder / keys.AUTHORITY_KEY
        key.rename(self.folder / "safe")
        out, err, code = self.setup_("b=h", "a")
        self.assertEqual(("", 0), (err, code))
        self.assertNotIn("keep", out)
        self.assertIn("authority.key is not there, and signs the keys of z", self.failed("b=h", "z"))
        (self.folder / "safe").rename(key)
        self.made("b=h", "z")


class HalfWay(Case):
    """What fails leaves nothing in the way of the next time, and nothing is gone over."""

    def failed(self, *arguments: str) -> str:
        out, err, code = self.setup_(*arguments)
        self.assertEqual(("", 1, 1), (out, err.count("\n"), code), err)
        return err

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def test_where_one_folder_cannot_be_none_is(self) -> None:
        (self.folder / "b").touch()
        self.assertIn("b is there already", self.failed("a=h", "b"))
        self.assertEqual({"b"}, self.names())
        (self.folder / "b").unlink()
        (self.folder / "b").mkdir()  # an empty one is nobody's
        self.made("a=h", "b")
        self.assertEqual({"a", "b", "authority.pem", "authority.key"}, self.names())

    def test_a_write_that_fails_in_the_middle_leaves_no_half_folder(self) -> None:
        self.made("a=h")
        before = self.names()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))  # a key fits, a certificate does not
        try:
            err = self.failed("a=h", "b", "c")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.assertIn("b.pem: File too large", err)
        self.assertEqual(before, self.names())
        self.made("a=h", "b", "c")

    def test_what_is_in_a_folder_already_is_left(self) -> None:
        own = self.folder / "a"
        own.mkdir()
        foreign, elsewhere = own / "authority.pem", self.folder / "elsewhere"
        foreign.write_text("of somebody else")
        self.failed("a=h")
        self.assertEqual("of somebody else", foreign.read_text())
        foreign.unlink()
        (own / "node.ini").symlink_to(elsewhere)
        self.failed("a=h")
        self.assertFalse(elsewhere.exists())
        (self.folder / "b").symlink_to(elsewhere)
        self.failed("b=h")
        self.assertEqual({"a", "b"}, self.names())

    def test_a_link_to_nowhere_is_not_gone_over_by_a_key(self) -> None:
        (self.folder / "authority.key").symlink_to(self.folder / "elsewhere")
        self.assertIn("is there already", self.failed("a=h"))
        self.assertTrue((self.folder / "authority.key").is_symlink())

    def test_what_a_killed_run_left_is_no_node(self) -> None:
        self.made("a=h")
        shutil.copytree(self.folder / "a", self.folder / ".b.123")
        self.assertEqual("10.88.0.2/24", self.made("a=h", "b")[1]["address"])


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
        self.refused(1, "authority.pem=h")
        long = "a" * 63
        hosts = ("a b", "h:99999", "k4=$(reboot)", "", "[h]", "10.0.0.300", "h..k", "-h", "fe80::1%$(x)",
                 long + "a", ".".join([long] * 4), "h\n[web]", "\udc80")  # fmt: skip
        for host in hosts:
            self.refused(2, f"a={host}")

    def test_hosts_that_are_some(self) -> None:
        for host in (
            "h",
            "b.example.net.",
            "bücher.example",
            "my_host",
            "10.0.0.3",
            "[fd00::1]",
            "1.example",
        ):
            self.made(f"a={host}", "b")
            self.assertEqual(1, len(self.dials("b")))
            for name in "ab":
                shutil.rmtree(self.folder / name)

    def test_what_a_node_would_not_start_with_is_not_written(self) -> None:
        for subnet in ("239.0.0.0/24", "127.0.0.0/24", "0.0.0.0/0"):
            self.assertIn("[tap] address", self.refused(2, "a=h", "b", "--subnet", subnet))
        self.assertIn("has 3000 bytes", self.refused(2, "a=h", "--session", f"{'n' * 3_000}=239.1.2.3:5004"))
        self.assertIn("keeps", self.refused(2, "a=h", "--session", "Film=239.255.255.250:5004"))

    def test_a_subnet_that_is_none_or_too_small(self) -> None:
        self.refused(2, "a=h", "b", "--subnet", "10.88.0.1/24")
        self.refused(2, "a=h", "b", "c", "--subnet", "10.88.0.0/30")
