"""Which groups are let through."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.admission import Admission


def prefixes(*texts: str) -> list[IPv4Network]:
    return [IPv4Network(text) for text in texts]


def admits(admission: Admission, text: str) -> bool:
    return admission.admits(int(IPv4Address(text)))


def by_the_rule(allow: list[IPv4Network], deny: list[IPv4Network], group: IPv4Address) -> bool:
    """The rule, read aloud: no tables, no masks."""
    allowed = max((network.prefixlen for network in allow if group in network), default=-1)
    denied = max((network.prefixlen for network in deny if group in network), default=-1)
    if denied >= 0:
        return allowed > denied
    return allowed >= 0 or not allow


# Few addresses and short distances, so that prefixes overlap and groups hit them.
NEAR = st.integers(0, 255).map(lambda low: 0xEF010000 + low)
PREFIXES = st.lists(
    st.builds(lambda at, length: IPv4Network((at, length), strict=False), NEAR, st.integers(0, 32)),
    max_size=6,
)


class AdmissionTests(SynchronousTestCase):
    def test_without_lists_every_group_is_admitted(self) -> None:
        self.assertTrue(admits(Admission(), "239.1.2.3"))

    def test_what_is_denied_is_not_admitted_and_its_neighbours_are(self) -> None:
        admission = Admission(deny=prefixes("239.255.255.250/32"))
        self.assertFalse(admits(admission, "239.255.255.250"))
        self.assertTrue(admits(admission, "239.255.255.251"))

    def test_once_something_is_allowed_nothing_else_is(self) -> None:
        admission = Admission(allow=prefixes("239.1.0.0/16"))
        self.assertTrue(admits(admission, "239.1.2.3"))
        self.assertFalse(admits(admission, "239.2.2.3"))

    def test_a_longer_allowed_prefix_is_a_hole_in_a_denied_one(self) -> None:
        admission = Admission(prefixes("239.1.0.0/16"), prefixes("239.0.0.0/8"))
        self.assertTrue(admits(admission, "239.1.2.3"))
        self.assertFalse(admits(admission, "239.2.2.3"))

    def test_a_longer_denied_prefix_is_a_hole_in_an_allowed_one(self) -> None:
        admission = Admission(prefixes("239.0.0.0/8"), prefixes("239.1.0.0/16"))
        self.assertFalse(admits(admission, "239.1.2.3"))
        self.assertTrue(admits(admission, "239.2.2.3"))

    def test_a_prefix_in_both_lists_is_denied(self) -> None:
        self.assertFalse(admits(Admission(prefixes("239.1.0.0/16"), prefixes("239.1.0.0/16")), "239.1.2.3"))

    @given(PREFIXES, PREFIXES, NEAR)
    def test_the_table_decides_as_the_rule_does(
        self, allow: list[IPv4Network], deny: list[IPv4Network], group: int
    ) -> None:
        verdict = by_the_rule(allow, deny, IPv4Address(group))
        self.assertEqual(Admission(allow, deny).admits(group), verdict)
