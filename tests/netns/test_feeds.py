"""Two feeds at once on whole nodes: one of the parents is killed, and the receiver misses nothing."""

from typing import Any

from multicastmw.cli.lab import Host, wait_until
from tests.netns.kit import PATIENCE, NetnsTestCase, Receiver, Sender, mcmw, node_ini, why_not
from tests.netns.test_mesh import groups_of, overlay
from tests.netns.test_reload import effects, reload

GROUP = "239.7.7.8"
NAMES = "abcdef"
RATE = 100
AFTER = 3 * RATE  # packets that are sent after a death
DEATHS = 2  # behind fewer than three relays there need not be two ways


class TwoFeeds(NetnsTestCase):
    """a sends and feeds three at most; f gives nothing to anybody, and joins when the others have it."""

    skip = why_not()

    def setUp(self) -> None:
        lab = self.make_lab(NAMES)
        self.hosts = {name: lab.host(name) for name in NAMES}
        a, f = self.hosts["a"], self.hosts["f"]
        for host in self.hosts.values():
            host.start_node(self.ini(host))
        self.receivers = {
            host.name: Receiver(host, GROUP) for host in self.hosts.values() if host not in (a, f)
        }
        for name in self.receivers:
            self.hosts[name].await_status(lambda status: GROUP in groups_of(status), PATIENCE, "demand")
        self.sender = Sender(a, GROUP, rate=RATE)
        for name in self.receivers:
            self.has(self.hosts[name], "a parent", lambda stream: stream["parent"])
        self.receivers["f"] = Receiver(f, GROUP)

    def ini(self, host: Host, **more: object) -> str:
        a, f = self.hosts["a"], self.hosts["f"]
        own: dict[str, object] = {"feeds": 2}
        own |= {"role": "relay", "max-children": 3} if host is a else {}
        own |= {"uplink": 0} if host is f else {}
        return node_ini(host, (), overlay(None if host is a else a, **own | more))

    def has(self, host: Host, what: str, condition: Any) -> dict[str, Any]:
        """The stream at that host, when it is so."""

        def look(status: dict[str, Any]) -> dict[str, Any] | None:
            found = [each for each in status["mesh"]["streams"] if each["group"] == GROUP]
            return found[0] if found and condition(found[0]) else None

        host.await_status(look, PATIENCE, what)
        found = look(host.status())
        return found or self.has(host, what, condition)

    def test_groups_that_are_named_have_two_and_others_one_and_a_reload_says_which(self) -> None:
        f = self.hosts["f"]
        self.has(f, "two feeds", lambda stream: stream["second"])
        for groups, feeds in (("239.8.0.0/16", 1), (f"239.8.0.0/16, {GROUP}", 2)):
            found = effects(reload(f, self.ini(f, **{"feeds-groups": groups})))
            self.assertEqual({"[overlay] feeds-groups": "applied"}, found)
            two = feeds == 2
            self.has(
                f, f"feeds {feeds}", lambda s, two=two: s["feeds"] == 1 + two and bool(s["second"]) == two
            )
        last = self.sender.stop()["sent"] - 1
        report = self.receivers["f"].await_last(GROUP, self.sender.source, last)
        self.assertEqual((0, 0, 0), tuple(report[what] for what in ("missing", "duplicates", "disordered")))
        shown = " ".join(mcmw(f, "show", "mesh")[1].split())
        self.assertIn(f"two feeds of streams to 239.8.0.0/16, {GROUP} ", shown)

    def test_when_a_parent_is_killed_nothing_is_missing_and_nothing_is_asked_for(self) -> None:
        """Where the machine is so busy that it had but one feed just then, another parent is killed."""
        asked = []
        while len(asked) < DEATHS and (not asked or asked[-1]):
            asked.append(self.asked_after_a_death())
        last = self.sender.stop()["sent"] - 1
        for name, receiver in self.receivers.items():
            report = receiver.await_last(GROUP, self.sender.source, last)
            self.assertEqual((name, 0), (name, report["missing"]))
        report = self.receivers["f"].report(GROUP, self.sender.source)
        self.assertEqual((0, 0), (report["duplicates"], report["disordered"]))
        self.measured("the receiver's longest gap when a parent of two is killed, s", report["gap"])
        self.measured("packets that were asked for, death by death", asked)
        self.assertEqual(0, asked[-1])

    def asked_after_a_death(self) -> int:
        """One of f's parents is killed; gives how many packets f has asked for then."""
        f = self.hosts["f"]
        before = wait_until(self.both_feeds, PATIENCE, "two feeds, as mcmw shows them")
        victim = before["parent"] if before["parent"] != "a" else before["second"]
        self.hosts[victim].kill_node()
        del self.receivers[victim]
        sent = self.sender.state["sent"] + AFTER
        self.sender.await_sent(sent)
        self.receivers["f"].await_last(GROUP, self.sender.source, sent - 1)
        after = self.has(f, "one of both", lambda stream: stream["parent"] not in (victim, None))
        self.assertNotEqual(victim, after["second"])
        return int(after["counters"]["asked"] - before["counters"]["asked"])

    def both_feeds(self) -> dict[str, Any] | None:
        """The stream at f when `mcmw show tree` says where both come from."""
        f = self.hosts["f"]
        stream = self.has(
            f, "two feeds", lambda stream: stream["second"] and stream["counters"]["copies"] > RATE
        )
        code, shown, _ = mcmw(f, "show", "tree")
        self.assertEqual(0, code)
        way, _, second = shown.partition("and the second feed")
        return stream if stream["parent"] in way and stream["second"] in second else None
