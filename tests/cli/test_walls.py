"""Which chains of a firewall may stop IGMP, by what `nft -j list ruleset` says."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.doctor.walls import IN, OUT, Wall, opening, walls


def chain(name: str, hook: str | None = None, **more: Any) -> dict[str, Any]:
    about = {"family": "inet", "table": "t", "name": name, **more}
    return {"chain": about | ({"type": "filter", "hook": hook, "prio": 0} if hook else {})}


def rule(where: str, *expressions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": "t", "chain": where, "expr": list(expressions), **more}}


def found(*entries: dict[str, Any]) -> list[Wall]:
    return list(walls({"nftables": [{"metainfo": {}}, *entries]}))


def wall(name: str, hook: str, device: str | None = None, family: str = "inet") -> Wall:
    return Wall(family, "t", name, hook, device)


class Walls(SynchronousTestCase):
    def test_a_chain_that_stops_nothing_is_none(self) -> None:
        self.assertEqual([], found(chain("out", "output", policy="accept"), rule("out", {"accept": None})))
        self.assertEqual([], list(walls({})))

    def test_one_that_drops_by_a_rule_or_by_its_policy_is(self) -> None:
        for word in ("drop", "reject", "queue"):
            self.assertEqual(
                [wall("out", "output")],
                found(chain("out", "output"), rule("out", {"match": {}}, {word: None})),
            )
        self.assertEqual([wall("in", "input")], found(chain("in", "input", policy="drop")))
        target = {"xt": {"type": "target", "name": "REJECT"}}
        self.assertEqual([wall("in", "input")], found(chain("in", "input"), rule("in", target)))

    def test_so_is_one_that_leads_to_a_drop(self) -> None:
        drops = [chain("deep"), rule("deep", {"drop": None})]
        for way in (
            {"jump": {"target": "deep"}},
            {"goto": {"target": "deep"}},
            {"vmap": {"key": {}, "data": {"set": [["igmp", {"jump": {"target": "deep"}}]]}}},
            {"vmap": {"key": {}, "data": {"set": [["igmp", {"drop": None}]]}}},
            {"vmap": {"key": {}, "data": "@named"}},
        ):
            self.assertEqual([wall("in", "input")], found(chain("in", "input"), rule("in", way), *drops), way)

    def test_chains_in_a_circle_end(self) -> None:
        circle = [rule("in", {"jump": {"target": "in"}})]
        self.assertEqual([], found(chain("in", "input"), *circle))

    def test_another_table_s_chain_of_the_same_name_is_another(self) -> None:
        self.assertEqual([], found(chain("in", "input"), rule("in", {"drop": None}, table="other")))

    def test_what_carries_no_ip_is_left_alone(self) -> None:
        self.assertEqual([], found(chain("in", "input", family="arp", policy="drop")))


class Opening(SynchronousTestCase):
    STANDING = (
        wall("in", "input"), wall("pre", "prerouting"), wall("out", "output"),
        wall("dev", "ingress", "mcmw0", "netdev"), wall("eth", "ingress", "eth0", "netdev"),
    )  # fmt: skip

    def test_igmp_has_to_pass_every_wall_of_its_way(self) -> None:
        self.assertEqual(
            "nft insert rule inet t out oifname mcmw0 ip protocol igmp accept",
            opening(self.STANDING, OUT, "mcmw0"),
        )
        self.assertEqual(
            "nft insert rule inet t in iifname mcmw0 ip protocol igmp accept; "
            "nft insert rule inet t pre iifname mcmw0 ip protocol igmp accept; "
            "nft insert rule netdev t dev ip protocol igmp accept",
            opening(self.STANDING, IN, "mcmw0"),
        )

    def test_where_none_is_seen_it_is_one_of_iptables(self) -> None:
        self.assertEqual("iptables -I OUTPUT -o mcmw0 -p igmp -j ACCEPT", opening((), OUT, "mcmw0"))
        self.assertEqual("iptables -I INPUT -i mcmw0 -p igmp -j ACCEPT", opening((), IN, "mcmw0"))
