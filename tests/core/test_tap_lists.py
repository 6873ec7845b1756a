"""Allow and deny lists that change under way: what was kept out is had at once, and the reverse."""

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from multicastmw.core.addressing import ANY, Channel, Modulo
from multicastmw.core.admission import Admission
from multicastmw.wire import ipv4
from tests.core.test_tap import FAR, GROUP, SOURCE, Case, frame, ip

OTHER = ipv4.number("239.1.1.2")
EVERYTHING = Admission()


def deny(*prefixes: str) -> Admission:
    return Admission((), map(IPv4Network, prefixes))


class Changes(Case):
    def subscribed(self) -> set[Channel]:
        return {channel for channel, by in self.router.wanted() if self.tap in by}

    def test_what_was_denied_is_had_as_soon_as_it_is_not(self) -> None:
        self.build(deny=["239.1.1.1"])
        self.tap.want(GROUP, ANY)
        self.tap.want(GROUP, SOURCE)
        self.assertEqual((self.subscribed(), self.tap.wanted()), (set(), []))
        self.tap.admit_by(EVERYTHING)
        self.assertEqual(self.subscribed(), {Channel(GROUP), Channel(GROUP, SOURCE)})
        self.peer_sends(ip(source=FAR))
        self.assertEqual(len(self.frames), 1)

    def test_what_is_denied_now_is_left_and_comes_back(self) -> None:
        self.tap.want(GROUP, ANY)
        self.tap.want(OTHER, ANY)
        self.peer_sends(ip(source=FAR))
        self.tap.admit_by(deny("239.1.1.1"))
        self.assertEqual(self.subscribed(), {Channel(OTHER)})
        self.tap.admit_by(EVERYTHING)
        self.assertEqual(self.subscribed(), {Channel(GROUP), Channel(OTHER)})

    def test_a_verdict_that_was_remembered_counts_no_more(self) -> None:
        self.wants_as_peer()
        self.host_sends(frame(ip()))
        self.tap.admit_by(deny("239.0.0.0/8"))
        self.host_sends(frame(ip()))
        self.assertEqual((len(self.peer.messages), self.tap.counters.denied), (1, 1))
        self.tap.admit_by(EVERYTHING)
        self.host_sends(frame(ip()))
        self.assertEqual(len(self.peer.messages), 2)

    def test_a_leave_meanwhile_is_not_forgotten(self) -> None:
        self.tap.want(GROUP, ANY)  # a report
        self.tap.want(GROUP, ANY)  # and a pin
        self.tap.admit_by(deny("239.1.1.1"))
        self.tap.unwant(GROUP, ANY)
        self.tap.admit_by(EVERYTHING)
        self.assertEqual(self.subscribed(), {Channel(GROUP)})
        self.tap.admit_by(deny("239.1.1.1"))
        self.tap.unwant(GROUP, ANY)
        self.tap.unwant(GROUP, ANY)
        self.tap.admit_by(EVERYTHING)
        self.assertEqual((self.subscribed(), self.tap._kept_out), (set(), {}))

    def test_of_two_groups_at_one_overlay_address_the_admitted_one_keeps_it(self) -> None:
        self.build(mapping=Modulo(1))
        self.tap.want(GROUP, ANY)
        self.tap.want(OTHER, ANY)
        self.tap.admit_by(deny("239.1.1.1"))
        self.assertEqual(len(self.subscribed()), 1)
        self.tap.admit_by(deny("239.1.1.0/24"))
        self.assertEqual(self.subscribed(), set())

    @given(st.lists(st.tuples(st.sampled_from("wul"), st.integers(0, 3), st.integers(0, 1)), max_size=40))
    def test_however_wants_and_lists_change_it_has_what_is_wanted_and_admitted(self, steps: list) -> None:
        self.build()
        wants: dict[tuple[int, int], int] = {}
        denied: set[int] = set()
        for step, which, source in steps:
            key = (GROUP + which, SOURCE if source else ANY)
            if step == "w":
                self.tap.want(*key)
                wants[key] = wants.get(key, 0) + 1
            elif step == "u":
                self.tap.unwant(*key)
                wants[key] = max(0, wants.get(key, 0) - 1)
            else:
                denied ^= {key[0]}
                self.tap.admit_by(deny(*[ipv4.text(group) for group in denied]))
            right = {Channel(*key) for key, count in wants.items() if count and key[0] not in denied}
            self.assertEqual(self.subscribed(), right)
            self.assertEqual(set(self.tap.wanted()), set(right))
