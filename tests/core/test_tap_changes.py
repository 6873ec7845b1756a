"""What of a TAP changes under way: lists are of effect at once, and `reassemble` costs no packet."""

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from multicastmw.core.addressing import ANY, Channel, Modulo
from multicastmw.core.admission import Admission
from multicastmw.core.fragments import LIFETIME, Reassembler, split
from multicastmw.core.packet import ETHERNET_SIZE
from multicastmw.wire import ipv4
from tests.core.test_tap import FAR, GROUP, SOURCE, Case, frame, ip

OTHER = ipv4.number("239.1.1.2")
EVERYTHING = Admission()


def deny(*prefixes: str) -> Admission:
    return Admission((), map(IPv4Network, prefixes))


class Lists(Case):
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


class Reassembling(Case):
    """A host joins what enters in pieces, so nothing is lost if all of a packet enters, either way."""

    @given(st.lists(st.sampled_from(["packet", "on", "off", "tick"]), max_size=30), st.integers(0, 9))
    def test_it_is_switched_amidst_a_stream_and_no_packet_is_lost(self, steps: list, cut: int) -> None:
        self.build()
        self.tap.want(GROUP, ANY)
        sent = []
        waiting: list[bytes] = []  # pieces on their way: switches come between any two of them
        for number, step in enumerate(steps):
            self.now += 0.01
            if step == "packet":
                payload = number.to_bytes(2, "big") * 700
                sent.append(payload)
                waiting += split(ip(payload, source=FAR, ident=number), 576, lambda: 1)
            elif step == "tick":
                self.tap.tick(self.now)
            else:
                self.tap.reassemble(step == "on", self.now)
            while len(waiting) > cut:
                self.peer_sends(waiting.pop(0))
        for piece in waiting:
            self.peer_sends(piece)
        host = Reassembler()
        had = [host.accept(taken[ETHERNET_SIZE:], 0.0) for taken in self.frames]
        self.assertEqual([whole[20:] for whole in had if whole], sent)

    def test_once_it_is_on_for_a_while_all_are_joined_and_once_off_none_is_held(self) -> None:
        self.tap.want(GROUP, ANY)
        pieces = split(ip(bytes(1400), source=FAR), 576, lambda: 1)
        self.tap.reassemble(True, self.now)
        self.now += LIFETIME
        for piece in reversed(pieces):
            self.peer_sends(piece)
        self.assertEqual(len(self.frames), 1)
        self.peer_sends(pieces[0])
        self.tap.reassemble(False, self.now)
        self.tap.tick(self.now)
        assert self.tap.reassembler
        self.assertEqual(self.tap.reassembler.held_sets, 1)
        self.tap.tick(self.now + LIFETIME)
        self.assertIsNone(self.tap.reassembler)
