"""`mcmw ping`, `matrix` and `trace` over whole nodes, and a cable that loses."""

import json
import signal
from collections.abc import Iterable
from typing import Any

from multicastmw.cli.lab import Host, wait_until
from multicastmw.cli.lab.process import Process
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    NetnsTestCase,
    Receiver,
    Sender,
    asking,
    await_linked,
    await_wanted,
    mcmw,
    node_ini,
    wanters,
    why_not,
)

GROUP, OTHER = "239.7.7.7", "239.7.7.8"
PROBING = "239.255.77.68"


class Chain(NetnsTestCase):
    """a - b - c - d: each dials the next."""

    skip = why_not()
    deadline = 1.0  # of recovery

    def setUp(self) -> None:
        self.lab = self.make_lab("abcd")
        self.a, self.b, self.c, self.d = self.hosts = [self.lab.host(name) for name in "abcd"]
        for host, peers in zip(self.hosts, ([self.b], [self.c], [self.d], []), strict=True):
            sections = {"recovery": {"deadline": self.deadline}}
            host.start_node(node_ini(host, peers, sections), ready=None)
        for host, names in zip(self.hosts, ("b", "ac", "bd", "c"), strict=True):
            await_linked(host, names)
            host.await_status(lambda s: len(s["nodes"]) == 3, PATIENCE, "the other three")
        for host, names in zip(self.hosts, ("b", "ac", "bd", "c"), strict=True):
            await_wanted(host, {"probing", *names}, PROBING)

    def asks(self, host: Host, *words: str, code: int = 0) -> dict[str, Any]:
        found, out, err = mcmw(host, *words, "--json")
        self.assertEqual((code, ""), (found, err), out)
        return dict(json.loads(out))

    def joined(self, hosts: Iterable[Host], group: str = GROUP) -> list[Receiver]:
        return [Receiver(host, group) for host in hosts]

    def loses(self, sender: Host, receiver: Host, rule: str) -> None:
        """From one host to another, in this direction alone."""
        self.lab.internet.drop(f"ip saddr {sender.address} ip daddr {receiver.address} {rule}")

    def ends(self, process: Process, code: int = 0) -> str:
        self.assertEqual(code, process.wait(PATIENCE), process.last_words())
        return process.read_output()


class PingTests(Chain):
    def test_it_finds_just_those_who_listen(self) -> None:
        self.joined([self.b, self.d])
        await_wanted(self.a, {"b"}, GROUP)
        self.c.await_status(lambda s: "d" in wanters(s, GROUP), PATIENCE, "d's wish at c")
        found = self.asks(self.a, "ping", GROUP, "-c", "3", "-i", "0.2")
        self.assertEqual(
            [("b", 1, 3, 1), ("d", 1, 3, 3)],
            [(n["node"], n["hosts"], n["answers"], n["hops"]) for n in found["receives"]],
        )
        self.assertEqual((["c"], [], 3), (found["others"], found["silent"], found["rounds"]))
        for node in found["receives"]:
            self.assertEqual([DEVICE], node["wanted_by"])
            self.assertGreater(node["rtt_ms"]["min"], 0)
            self.assertLess(node["rtt_ms"]["min"], 1_000)
        code, out, err = mcmw(self.a, "ping", GROUP, "-c", "2", "-i", "0.2")
        self.assertEqual((0, ""), (code, err))
        self.assertRegex(out, r"(?m)^d: 1 host since \d+ s, 3 hops, [\d.]+ ms, #1$")
        self.assertRegex(out, r"(?m)^b receives it: 2 of 2 answers, 0 % lost, [\d.]+/[\d.]+/[\d.]+ ms$")
        self.assertLessEqual(max(map(len, out.splitlines())), 80)
        self.measured("mcmw ping", out)

    def test_nobody_listens_and_a_node_that_takes_no_part_is_named(self) -> None:
        self.keeps_out(self.d)
        found = self.asks(self.a, "ping", GROUP, "-c", "2", "-i", "0.2", "-W", "0.3", code=1)
        self.assertEqual(([], ["b", "c"], ["d"]), (found["receives"], found["others"], found["silent"]))
        code, out, err = mcmw(self.a, "ping", GROUP, "-c", "1", "-W", "0.3")
        self.assertEqual((1, f"nobody receives {GROUP}\n"), (code, err))
        self.assertIn("did not answer at all: d\n", out)
        code, _, err = mcmw(self.d, "ping", GROUP)
        self.assertEqual((1, 1), (code, err.count("\n")))
        self.assertIn("[groups]", err)

    def keeps_out(self, host: Host) -> None:
        """It reads a node.ini that denies our group."""
        ini = node_ini(host, [], {"groups": {"deny": f"{PROBING}/32"}, "control": {"socket": host.socket}})
        (host.lab.state_dir / f"{host.name}.ini").write_text(ini)
        self.assertEqual(0, mcmw(host, "reload")[0])
        await_wanted(self.c, {"probing", "b"}, PROBING)

    def test_ctrl_c_ends_it_with_a_summary(self) -> None:
        self.joined([self.b])
        await_wanted(self.a, {"b"}, GROUP)
        ping = self.a.spawn(asking(self.a, "ping", GROUP, "-c", "0", "-i", "0.1"), log="ping")
        wait_until(lambda: ping.read_output().count("1 hop,") > 3, PATIENCE, "some answers")
        ping.signal(signal.SIGINT)
        self.assertIn("b receives it: ", self.ends(ping))

    def test_programs_take_no_part(self) -> None:
        receiver = Receiver(self.c, PROBING)
        sender = Sender(self.b, PROBING, count=50)
        sender.finish()
        counters = self.b.await_status(
            lambda s: s["tap"]["counters"]["reserved"] >= 50, PATIENCE, "packets refused"
        )["tap"]["counters"]
        self.assertEqual(0, counters["denied"])
        self.c.await_status(lambda s: s["tap"]["counters"]["reserved"] > 0, PATIENCE, "a join refused")
        self.asks(self.a, "ping", GROUP, "-c", "2", "-i", "0.2", code=1)
        self.assertEqual({}, receiver.streams())
        self.assertEqual({"probing", "a", "c"}, wanters(self.b.status(), PROBING))
        self.assertEqual(0, self.a.status()["counters"]["probing_malformed"])


class MatrixTests(Chain):
    def matrix(self, *how: str) -> dict[str, Any]:
        """Once with answers of all: on a busy machine and a way that loses, some may be silent."""

        def look() -> dict[str, Any] | None:
            found = self.asks(self.a, "matrix", *how, code=5)
            return None if found["silent"] else found

        return wait_until(look, PATIENCE, "answers of all")

    def matrix_as_it_is_shown(self) -> str | None:
        code, out, err = mcmw(self.b, "matrix", "--probes", "50", "--interval", "0.02")
        self.assertEqual((5, ""), (code, err))
        return None if "did not answer" in out else out

    def test_the_direction_that_loses_is_shown(self) -> None:
        self.loses(self.b, self.c, "udp length < 400 numgen random mod 5 == 2")
        found = self.matrix("--probes", "100", "--interval", "0.03")
        pairs = {(pair["from"], pair["to"]): pair for pair in found["pairs"]}
        self.assertEqual(12, len(pairs))
        for (sender, receiver), pair in pairs.items():
            if sender in "ab" and receiver in "cd":
                self.assertTrue(0.02 < pair["loss"] < 0.45, pair)  # 20 %, and 5 times what that varies by
            else:
                self.assertEqual(0, pair["loss"], pair)
            self.assertEqual(abs(ord(sender) - ord(receiver)), pair["hops"])
            self.assertGreater(pair["rtt_ms"], 0)
        out = wait_until(self.matrix_as_it_is_shown, PATIENCE, "answers of all")
        self.assertRegex(out, r"(?m)^from [ab] to [cd]: \d+ of 50 lost")
        self.assertLessEqual(max(map(len, out.splitlines())), 80)
        self.measured("mcmw matrix", out)

    def test_all_is_well(self) -> None:
        code, out, err = mcmw(self.d, "matrix", "--probes", "10", "--interval", "0.05")
        self.assertEqual((0, ""), (code, err), out)
        self.assertIn("4 nodes, 12 pairs, 0 with loss", out)
        self.assertIn("from \\ to", out)


class TraceTests(Chain):
    deadline = 0.0  # so that what is lost is lost

    def send(self, *options: str) -> Process:
        return self.a.spawn(asking(self.a, "send", GROUP, "--seconds", "0", *options), log="send")

    def flows(self, host: Host) -> None:
        host.await_status(
            lambda s: any(r["group"] == GROUP and r["packets"] > 10 for r in s["routes"]), PATIENCE, "packets"
        )

    def test_the_tree_of_a_stream_and_the_hop_that_loses(self) -> None:
        self.joined([self.b, self.d])
        await_wanted(self.a, {"b"}, GROUP)
        self.b.await_status(lambda s: wanters(s, GROUP) == {"c", DEVICE}, PATIENCE, "c's wish at b")
        self.c.await_status(lambda s: wanters(s, GROUP) == {"b", "d"}, PATIENCE, "d's wish at c")
        sender = self.send()
        self.flows(self.d)
        (path,) = self.asks(self.c, "trace", GROUP)["paths"]
        a = path["tree"]
        (b,) = a["behind"]
        (c,) = b["behind"]
        (d,) = c["behind"]
        self.assertEqual(
            [("a", [], None), ("b", [DEVICE], "a"), ("c", [], "b"), ("d", [DEVICE], "c")],
            [(hop["node"], hop["here"], hop["from"]) for hop in (a, b, c, d)],
        )
        self.assertEqual([], path["findings"])
        for hop in (b, c, d):
            self.assertGreater(hop["counts"]["received"], 100)
        self.loses(self.c, self.d, "udp length > 500 numgen inc mod 5 == 2")
        code, out, err = mcmw(self.a, "trace", GROUP)
        self.assertEqual((0, ""), (code, err))
        self.assertRegex(out, r"(?m)^lost \d+ between c and d \((1[5-9]|2[0-5]) %\)$")
        self.assertNotIn("between b and c", out)
        self.assertLessEqual(max(map(len, out.splitlines())), 80)
        self.measured("mcmw trace", out)
        sender.signal(signal.SIGINT)
        sender.wait(PATIENCE)

    def test_a_sender_with_ttl_1_is_named(self) -> None:
        self.joined([self.c])
        await_wanted(self.a, {"b"}, GROUP)
        sender = self.send("--ttl", "1")
        self.flows(self.a)
        code, out, err = mcmw(self.d, "trace", GROUP)
        self.assertEqual((0, ""), (code, err))
        self.assertRegex(out, r"(?m)^dies of its TTL at a: \d+ packets; a higher TTL")
        self.measured("mcmw trace of a sender with TTL 1", out)
        sender.signal(signal.SIGINT)
        sender.wait(PATIENCE)

    def test_where_nothing_is_sent_it_is_said_who_wants_it(self) -> None:
        self.joined([self.c])
        await_wanted(self.a, {"b"}, GROUP)
        code, out, err = mcmw(self.d, "trace", GROUP, "--seconds", "0.5")
        self.assertEqual((1, ""), (code, out))
        self.assertIn(f"no packet of {GROUP} came to any of 4 nodes; c wants it", err)
        self.measured("mcmw trace of nothing", err)
