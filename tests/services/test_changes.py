"""What one Config changes of another: pure, so every option of the table is tried."""

import os
from dataclasses import replace
from tempfile import mkstemp
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.config import Config, load
from multicastmw.sections import SECTIONS, options
from multicastmw.services.changes import LIVE, Change, Effect, Plan, compare

TLS = "[tls]\ncertificate = /a.pem\nprivate-key = /a.key\nauthorities = /ca.pem\n"
BASE = "[node]\nname = a\n[tap]\naddress = 10.88.0.1/24\n"
# Another value than the default for every option, as one would write it.
OTHERS: dict[str, dict[str, str]] = {
    "node": {"name": "z"},
    "tap": {"device": "tap9", "address": "10.99.0.1/16", "mtu": "1400", "groups": "232.0.0.0/8, 239.0.0.0/8",
            "persist": "no", "reassemble": "yes", "ttl-floor": "16"},
    "igmp": {"version": "2", "query-interval": "60", "robustness": "3", "querier-address": "10.88.0.9"},
    "groups": {"allow": "239.0.0.0/8", "deny": "", "pin": "10.88.0.7@239.1.1.1, 239.1.1.2"},
    "listen": {"endpoint": "", "udp-port": "", "keepalive-timeout": "3"},
    "overlay": {"engine": "mesh", "seeds": "tcp:b:1", "uplink": "10000", "role": "relay",
                "max-children": "3", "feeds": "2", "feeds-groups": "239.1.1.1/32",
                "rotate": "20.0"},
    "fastpath": {"mode": "require"},
    "recovery": {"deadline": "0.0", "hold": "2.0", "fec": "on"},
    "qos": {"dscp": "46"},
    "control": {"socket": "/x.sock"},
    "web": {"endpoint": "tcp:8080", "token": "sixteen-signs-or-more"},
    "manhole": {"endpoint": "unix:/x"},
    "log": {"level": "debug", "format": "json"},
}  # fmt: skip


class Case(SynchronousTestCase):
    def config(self, text: str = "", base: str = BASE) -> Config:
        number, path = mkstemp(suffix=".ini")
        self.addCleanup(os.unlink, path)
        with open(number, "w") as file:
            file.write(base + text)
        return load(path, "host")

    def plan(self, before: str, after: str) -> Plan:
        return compare(self.config(before), self.config(after))

    def only(self, plan: Plan) -> Change:
        (change,) = plan.changes
        return change


class Options(Case):
    def test_nothing_is_nothing(self) -> None:
        config = self.config(TLS + "[peer:b]\nendpoint = tcp:b:1\n")
        plan = compare(config, config)
        self.assertEqual((plan.changes, plan.added, plan.removed), ((), (), ()))
        self.assertEqual((plan.config, plan.kept_peers), (config, 1))

    def test_every_option_that_changes_is_named_as_one_writes_it_both_ways(self) -> None:
        plain = load_of(self)
        for title, values in OTHERS.items():
            for name, text in values.items():
                other = load_of(self, {title: {name: text}})
                for before, after in ((plain, other), (other, plain)):
                    found = [
                        c for c in compare(before, after).changes if (c.section, c.option) == (title, name)
                    ]
                    self.assertEqual(len(found), 1, (title, name))
                change = next(c for c in compare(plain, other).changes if c.option == name)
                shown = "(a secret)" if name == "token" else text
                self.assertEqual(change.after, shown, (title, name))

    def test_every_live_option_is_one_of_the_table_and_is_tried_here(self) -> None:
        for title, names in LIVE.items():
            self.assertLessEqual(set(names), {name for name, _, _ in options(SECTIONS[title])}, title)
            if title != "tls":
                self.assertLessEqual(set(names), set(OTHERS[title]), title)

    def test_what_is_live_is_applied_what_is_built_waits_and_the_rest_is_ignored(self) -> None:
        plain = load_of(self)
        for title, values in OTHERS.items():
            built = {name: about.built for name, _, about in options(SECTIONS[title])}
            for name, text in values.items():
                other = load_of(self, {title: {name: text}})
                plan = compare(plain, other)
                change = next(c for c in plan.changes if c.option == name)
                live = name in LIVE.get(title, ())
                right = Effect.APPLIED if live else Effect.RESTART if built[name] else Effect.IGNORED
                self.assertEqual(change.effect, right, (title, name))
                attribute = name.replace("-", "_")
                runs = getattr(getattr(plan.config, title), attribute)
                source = plain if right is Effect.RESTART else other
                self.assertEqual(runs, getattr(getattr(source, title), attribute), (title, name))

    def test_what_waits_for_a_restart_is_said_again_until_the_file_says_otherwise(self) -> None:
        plain, other = self.config(), self.config("mtu = 1400\nttl-floor = 3\n")
        first = compare(plain, other)
        self.assertEqual((first.config.tap.mtu, first.config.tap.ttl_floor), (None, 3))
        again = compare(first.config, other)
        self.assertEqual([(c.what, c.effect) for c in again.changes], [("[tap] mtu", Effect.RESTART)])
        self.assertEqual(self.only(compare(again.config, plain)).what, "[tap] ttl-floor")

    def test_the_queriers_address_waits_for_the_taps(self) -> None:
        before = self.config("[igmp]\nquerier-address = 10.88.0.5\n")
        after = self.config(
            "[igmp]\nquerier-address = 10.88.0.1\n", base=BASE.replace("10.88.0.1/", "10.88.0.5/")
        )
        plan = compare(before, after)
        self.assertEqual({c.effect for c in plan.changes}, {Effect.RESTART})
        self.assertEqual((plan.config.tap, plan.config.igmp), (before.tap, before.igmp))

    def test_warnings_are_those_of_the_new_file(self) -> None:
        plan = self.plan("", "[qos]\ndscp = 46\n")
        self.assertEqual(len(plan.config.warnings), 1)
        self.assertEqual(self.only(plan).effect, Effect.IGNORED)


def load_of(case: Case, given: dict[str, dict[str, str]] | None = None) -> Config:
    sections: dict[str, dict[str, str]] = {"node": {"name": "a"}, "tap": {"address": "10.88.0.1/24"}}
    sections["control"] = {"socket": "/run/a.sock"}  # else it is named after the node
    for title, values in (given or {}).items():
        sections.setdefault(title, {}).update(values)
    return case.config(
        "\n".join(
            f"[{title}]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())
            for title, values in sections.items()
        ),
        base="",
    )


class Tls(Case):
    def test_other_files_are_applied_and_may_be_postponed(self) -> None:
        plan = self.plan(TLS, TLS.replace("/a.", "/b."))
        self.assertEqual([c.effect for c in plan.changes], [Effect.APPLIED] * 2)
        self.assertTrue(plan.touches("tls", "certificate"))
        late = plan.postponed("tls", "another key", "certificate", "private-key", "authorities")
        self.assertEqual([(c.effect, c.note) for c in late.changes], [(Effect.RESTART, "another key")] * 2)
        self.assertEqual(late.config.tls, plan.running.tls)
        self.assertFalse(late.touches("tls"))

    def test_from_none_and_to_none_is_for_a_restart(self) -> None:
        for before, after in (("", TLS), (TLS, "")):
            plan = self.plan(before, after)
            self.assertEqual([c.effect for c in plan.changes], [Effect.RESTART] * 3)
            self.assertEqual(plan.config.tls, plan.running.tls)

    def test_the_certificate_of_another_name_waits_for_that_name(self) -> None:
        after = self.config(TLS.replace("/a.pem", "/z.pem"), base=BASE.replace("name = a", "name = z"))
        plan = compare(self.config(TLS), after)
        self.assertEqual({c.effect for c in plan.changes}, {Effect.RESTART})
        self.assertEqual(plan.config.tls, plan.running.tls)

    def test_whether_data_are_in_clear_too(self) -> None:
        plan = self.plan(TLS, TLS + "udp-in-clear = yes\n")
        self.assertEqual((self.only(plan).effect, self.only(plan).after), (Effect.RESTART, "yes"))


class Peers(Case):
    def peers(self, **endpoints: str) -> str:
        return "".join(f"[peer:{name}]\nendpoint = tcp:{where}\n" for name, where in endpoints.items())

    def names(self, peers: Any) -> list[str]:
        return [peer.name for peer in peers]

    def test_they_come_go_move_and_stay(self) -> None:
        plan = self.plan(self.peers(b="b:1", c="c:1", d="d:1"), self.peers(d="d:2", b="b:1", e="e:1"))
        self.assertEqual([c.sentence() for c in plan.changes], [
            "[peer:c] is gone: tcp:c:1",
            "[peer:d] endpoint: tcp:d:1 -> tcp:d:2",
            "[peer:e] is new: tcp:e:1",
        ])  # fmt: skip
        self.assertEqual((self.names(plan.removed), self.names(plan.added)), (["c", "d"], ["d", "e"]))
        self.assertEqual((self.names(plan.config.peers), plan.kept_peers), (["d", "b", "e"], 1))

    def test_their_order_is_nothing(self) -> None:
        self.assertEqual(self.plan(self.peers(b="b:1", c="c:1"), self.peers(c="c:1", b="b:1")).changes, ())

    def test_one_of_our_own_name_waits_for_the_restart_that_renames_us(self) -> None:
        after = self.config(self.peers(a="a:1"), base=BASE.replace("name = a", "name = z"))
        plan = compare(self.config(), after)
        self.assertEqual({c.effect for c in plan.changes}, {Effect.RESTART})
        self.assertEqual((plan.added, plan.config.peers, plan.config.node.name), ((), (), "a"))
        self.assertEqual(
            {c.what for c in compare(plan.config, after).changes}, {c.what for c in plan.changes}
        )

    def test_300_peers_are_compared_by_name_and_not_by_pairs(self) -> None:
        before = self.config(self.peers(**{f"p{n}": f"h:{n + 1}" for n in range(300)}))
        after = replace(before, peers=before.peers[100:])
        plan = compare(before, after)
        self.assertEqual((len(plan.changes), len(plan.removed), plan.kept_peers), (100, 100, 200))


class Sessions(Case):
    NEWS = "[session:news]\ngroup = 239.1.1.1\nport = 5004\n"

    def test_one_that_comes_or_goes_is_one_change(self) -> None:
        plan = self.plan("", self.NEWS)
        change = self.only(plan)
        self.assertEqual((change.what, change.effect), ("[session:news]", Effect.APPLIED))
        self.assertEqual(change.sentence(), "[session:news] is new: 239.1.1.1")
        self.assertEqual(["news"], [session.section for session in plan.config.sessions])
        self.assertEqual(self.only(self.plan(self.NEWS, "")).sentence(), "[session:news] is gone: 239.1.1.1")

    def test_one_that_changes_is_named_option_by_option(self) -> None:
        changes = self.plan(self.NEWS, self.NEWS.replace("5004", "5006") + "name = Late news\n").changes
        self.assertEqual(
            ["[session:news] port: 5004 -> 5006", "[session:news] name: news -> Late news"],
            [change.sentence() for change in changes],
        )
        self.assertEqual({Effect.APPLIED}, {change.effect for change in changes})

    def test_one_that_stays_is_no_change(self) -> None:
        self.assertEqual((), self.plan(self.NEWS, self.NEWS).changes)
