"""Changes in a running node beside its node.ini: `mcmw peer`, `mcmw group`, `mcmw log`."""

import json

from multicastmw.cli.lab import wait_until
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    PORT,
    NetnsTestCase,
    asking,
    await_linked,
    await_wanted,
    mcmw,
    node_ini,
    wanters,
    why_not,
)

GROUP = "239.1.1.1"


class Steering(NetnsTestCase):
    skip = why_not()

    def setUp(self) -> None:
        lab = self.make_lab("ab")
        self.a, self.b = lab.hosts
        for host in lab.hosts:
            host.start_node(node_ini(host, ()))

    def test_a_peer_and_a_pin_until_the_file_is_read_again(self) -> None:
        endpoint = f"tcp:{self.b.address}:{PORT}"
        self.assertEqual(
            (0, f"[peer:b] is dialled at {endpoint}\n", ""), mcmw(self.a, "peer", "add", "b", endpoint)
        )
        await_linked(self.a, "b")
        code, out, err = mcmw(self.a, "peer", "add", "b", endpoint, "--json")
        self.assertEqual((1, {"error": "[peer:b] is there already"}, ""), (code, json.loads(out), err))
        code, out, err = mcmw(self.a, "group", "pin", GROUP, "--json")
        self.assertEqual((0, {"ok": True, "what": f"{GROUP} is pinned"}, ""), (code, json.loads(out), err))
        await_wanted(self.b, {"a"}, GROUP)
        await_wanted(self.a, {DEVICE}, GROUP)
        code, out, err = mcmw(self.a, "group", "pin", "10.0.0.1")
        self.assertEqual((1, ""), (code, out))
        self.assertEqual(1, err.count("\n"))
        self.assertIn("until node.ini is read again", mcmw(self.a, "show", "events")[1])
        self.assertEqual(0, mcmw(self.a, "reload")[0])
        wait_until(lambda: not wanters(self.a.status(), GROUP), PATIENCE, "the pin's end")
        self.assertEqual([], self.a.status()["peers"])

    def test_what_is_written_into_the_log(self) -> None:
        self.assertEqual((0, "info and above\n", ""), mcmw(self.a, "log"))
        self.assertEqual((0, {"level": "error"}, ""), self.parsed(mcmw(self.a, "log", "error", "--json")))
        self.assertEqual("error", self.a.status()["node"]["log_level"])

    @staticmethod
    def parsed(said: tuple[int, str, str]) -> tuple[int, object, str]:
        return said[0], json.loads(said[1]), said[2]

    def test_what_is_shown_again_and_again_and_as_a_tree(self) -> None:
        watching = self.a.spawn(
            asking(self.a, "show", "node", "--json", "--watch", "--every", "0.1"),
            log="watch",
        )  # fmt: skip
        wait_until(lambda: watching.read_output().count("\n") > 3, PATIENCE, "three looks")
        self.assertEqual(
            {"a"}, {json.loads(line)["node"]["name"] for line in watching.read_output().splitlines()[:3]}
        )
        code, out, _ = mcmw(self.a, "show", "tree")
        self.assertEqual((0, "a\n"), (code, out.partition("no link")[0]))
        self.assertEqual((0, {"pending": []}, ""), self.parsed(mcmw(self.a, "show", "pending", "--json")))
