"""`mcmw send` and `mcmw recv` over whole nodes, and a cable that loses."""

import json
import signal

from tests.netns.kit import PATIENCE, TTL, Figure4, NetnsTestCase, asking, why_not

GROUP = "239.7.7.7"


class Traffic(NetnsTestCase):
    skip = why_not()

    def setUp(self) -> None:
        self.tree = Figure4(self, {"recovery": {"deadline": 0}})  # so that what is lost is lost

    def send(self, *options: str) -> dict[str, object]:
        done = self.tree.a.run(asking(self.tree.a, "send", GROUP, "--json", *options))
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        return dict(json.loads(done.stdout))

    def test_a_stream_from_end_to_end(self) -> None:
        receivers = [
            host.spawn(asking(host, "recv", GROUP, "--json"), log=f"{host.name}-recv")
            for host in (self.tree.b, self.tree.c)
        ]
        self.tree.await_demand(GROUP, "c")
        self.assertEqual(
            {"sent": 200, "errors": 0, "group": GROUP, "port": 5004}, self.send("--seconds", "2")
        )
        for hops, receiver in enumerate(receivers, 1):
            self.assertEqual(0, receiver.wait(PATIENCE), receiver.last_words())
            found = json.loads(receiver.read_output())
            self.assertEqual((200, 0, 0, 0, 200), (found["received"], found["lost"], found["duplicates"],
                                                   found["reordered"], found["announced"]))  # fmt: skip
            self.assertEqual([TTL - hops], found["ttl"])
            self.assertGreater(found["bits_per_second"], 900_000)
            self.assertGreaterEqual(found["delay_above_shortest_ms"]["max"], 0)

    def test_what_a_cable_loses_is_said(self) -> None:
        c = self.tree.c
        receiver = c.spawn(asking(c, "recv", GROUP), log="recv")
        self.tree.await_demand(GROUP, "c", here=False)
        self.tree.lab.internet.drop(f"ip daddr {c.address} udp length > 500 numgen inc mod 10 == 3")
        self.send("--seconds", "2", "--size", "800")
        self.assertEqual(0, receiver.wait(PATIENCE))
        text = receiver.read_output()
        self.assertIn("received    180 packets", text)
        self.assertIn("lost        20 (10 %)", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)

    def test_where_nothing_comes(self) -> None:
        done = self.tree.c.run(asking(self.tree.c, "recv", GROUP, "--wait", "0.5"))
        self.assertEqual((1, ""), (done.returncode, done.stdout))
        self.assertIn("mcmw doctor", done.stderr)

    def test_until_it_is_told_to_stop(self) -> None:
        c = self.tree.c
        receiver = c.spawn(asking(c, "recv", GROUP, "--json"), log="recv")
        self.tree.await_demand(GROUP, "c", here=False)
        sender = self.tree.a.spawn(asking(self.tree.a, "send", GROUP, "--seconds", "0", "--json"), log="send")
        c.await_status(
            lambda s: any(r["packets"] > 50 for r in s["routes"] if r["group"] == GROUP), PATIENCE, "packets"
        )
        sender.signal(signal.SIGINT)
        self.assertEqual((0, 0), (sender.wait(PATIENCE), receiver.wait(PATIENCE)))
        sent, found = json.loads(sender.read_output()), json.loads(receiver.read_output())
        self.assertEqual((sent["sent"], 0), (found["received"], found["lost"]))
