from twisted.trial.unittest import TestCase

from multicastmw.core.mesh import meeting
from multicastmw.core.mesh.contacts import RELAYS_MAX
from multicastmw.core.mesh.meeting import (
    ANSWERS_WITHIN,
    ASKS,
    ESTIMATE_MOST,
    GROUPS_TOLD,
    LIVE_LOOK,
    LIVE_MAX,
    MeetingPlace,
)
from multicastmw.core.mesh.mesh import SERVED_FOR_ONE, SERVED_MOST
from multicastmw.core.mesh.neighbour import FINDS, Neighbour
from multicastmw.core.mesh.settings import REPLICAS, REPLY_SAMPLES, SAMPLES_AGE, SAMPLES_KEPT, Settings
from multicastmw.wire.mesh import (
    BASE,
    SAMPLES_MAX,
    About,
    Address,
    Capabilities,
    Find,
    Kind,
    Live,
    Meeting,
    Peers,
    Sample,
    StreamKey,
)
from tests.core.mesh.kit import GROUP, KEY, UPLINK, Lone, Pen, node_of, sample_of

RELAY = int(About.RELAY)


class RelayTest(TestCase):
    """A node where others meet."""

    def setUp(self) -> None:
        self.lone = Lone(Settings(uplink=UPLINK, relay=True))

    def find(self, number: int, kind: Meeting = Meeting.QUERY, estimate: int = 0, group: int = 77,
             live: tuple[Live, ...] = ()) -> Find:  # fmt: skip
        neighbour, pen = self.lone.neighbour(number, enters=False)
        self.lone.accept(neighbour, Find(group, kind, (neighbour.sample,), estimate, live))
        (reply,) = pen.of(Find)
        assert isinstance(reply, Find)
        return reply

    def test_the_second_one_hears_of_the_first(self) -> None:
        self.assertEqual(self.find(2).samples, ())
        reply = self.find(3)
        self.assertEqual([sample.node for sample in reply.samples], [sample_of(2).node])
        self.assertEqual(reply.estimate, 2)

    def test_streams_that_are_sent_are_told(self) -> None:
        self.find(2, live=(Live(KEY, 17),))
        self.assertEqual(self.find(3).live, (Live(KEY, 17),))

    def test_who_registers_seldom_stands_for_many(self) -> None:
        for number in range(2, 34):
            self.find(number, Meeting.REGISTER, estimate=6_400)
        self.assertGreater(self.find(40).estimate, 2_000)

    def test_a_register_has_a_bound_and_forgets(self) -> None:
        for number in range(2, 120):
            self.find(number)
        register = self.lone.mesh.meeting._registers[77]
        self.assertEqual(len(register.members), SAMPLES_KEPT)
        self.assertEqual(len(self.find(120).samples), REPLY_SAMPLES)
        self.lone.now += SAMPLES_AGE + 1
        self.assertEqual(self.find(121).samples, ())

    def test_registers_and_their_streams_have_bounds(self) -> None:
        self.patch(meeting, "GROUPS_MAX", 10)
        for group in range(30):
            self.find(2, group=group)
        self.assertEqual(len(self.lone.mesh.meeting._registers), 10)
        for number in range(40):
            live = tuple(Live(StreamKey(number, 29, source), 1) for source in range(60))
            self.find(2, group=29, live=live)
        self.assertLessEqual(len(self.lone.mesh.meeting._registers[29].live), 4 * LIVE_MAX)

    def test_groups_that_one_invents_do_not_replace_those_that_others_are_in(self) -> None:
        self.patch(meeting, "GROUPS_MAX", 10)
        self.find(2, group=1_000)
        for group in range(30):
            self.find(3, group=group)
            self.find(4, group=1_000)
        self.assertEqual([sample.node for sample in self.find(4, group=1_000).samples], [node_of(2)])

    def test_those_whom_nobody_can_dial_are_served_in_so_many_groups_each_and_in_all(self) -> None:
        served = []
        for number in range(2, 12):
            sample = Sample(node_of(number), (), int(About.NAT), 0, 0)
            nobody = self.lone.mesh.link_up(Pen(), sample, Capabilities(0, 0, 1, 1), False, self.lone.now)
            for group in range(1_000 * number, 1_000 * number + 2 * SERVED_FOR_ONE):
                self.lone.accept(nobody, Find(group, Meeting.REGISTER, (sample,)))
                self.lone.now += 0.01
            served.append(len(self.lone.mesh.served))
        self.assertEqual(served[0], SERVED_FOR_ONE)
        self.assertEqual(served[-1], SERVED_MOST)
        self.assertTrue(self.lone.mesh.join(77, self.lone.now))

    def test_who_is_no_relay_answers_a_fifth_of_what_a_relay_does(self) -> None:
        answered = {}
        for is_relay in (True, False):
            lone = Lone(Settings(uplink=UPLINK, relay=is_relay))
            asker, pen = lone.neighbour(2)
            for _ in range(10 * FINDS):  # for ten seconds
                lone.accept(asker, Find(77, Meeting.QUERY, (asker.sample,)))
                lone.now += 1 / FINDS
            answered[is_relay] = len(pen.of(Find))
        self.assertEqual(answered[True], 10 * FINDS)
        self.assertLess(abs(answered[False] - (10 + 2) * FINDS / 5), 5)

    def test_every_border_is_told_of_all_groups_in_turn(self) -> None:
        groups = set(range(1_000, 1_000 + 5 * GROUPS_TOLD))
        member, _ = self.lone.neighbour(2)
        for group in groups:
            self.lone.accept(member, Find(group, Meeting.REGISTER, (member.sample,)))
            self.lone.now += 0.01
        for number in (3, 4, 3):
            told = [live.stream.group for _ in range(5) for live in self.find(number, group=BASE).live]
            self.assertEqual((len(told), set(told)), (len(groups), groups))

    def test_however_often_it_is_asked_all_groups_are_looked_at_once_a_second(self) -> None:
        looks: list[float] = []
        is_live = meeting.Register.is_live

        def look(register: meeting.Register, now: float) -> bool:
            looks.append(now)
            return is_live(register, now)

        self.patch(meeting.Register, "is_live", look)
        for group in range(1_000, 1_100):
            self.find(2, group=group)
        for _ in range(50):
            self.find(3, group=BASE)
        self.assertEqual(len(looks), 100)
        self.find(2, group=1_000 - 1)
        self.lone.now += LIVE_LOOK
        told = [live.stream.group for _ in range(2) for live in self.find(4, group=BASE).live]
        self.assertIn(1_000 - 1, told)

    def test_the_borders_that_are_remembered_have_a_bound(self) -> None:
        self.patch(meeting, "ASKERS_MAX", 10)
        self.find(2)
        for number in range(3, 40):
            self.find(number, group=BASE)
        self.assertEqual(len(self.lone.mesh.meeting._told_last), 10)

    def test_who_speaks_for_somebody_else_is_not_heard(self) -> None:
        neighbour, pen = self.lone.neighbour(2, enters=False)
        self.lone.accept(neighbour, Find(77, Meeting.REGISTER, (sample_of(3),)))
        self.assertEqual(pen.of(Find), [])
        self.assertEqual(self.find(4).samples, ())


class AskerTest(TestCase):
    def test_all_pick_the_same_relays(self) -> None:
        one, other = Lone(number=1), Lone(number=2)
        for number in range(10, 30):
            one.mesh.contacts.heard_of(sample_of(number, flags=RELAY))
        for number in range(29, 9, -1):
            other.mesh.contacts.heard_of(sample_of(number, flags=RELAY))
        relays = one.mesh.meeting.relays(GROUP)
        self.assertEqual(relays, other.mesh.meeting.relays(GROUP))
        self.assertEqual(len(relays), REPLICAS)
        self.assertNotEqual(relays, one.mesh.meeting.relays(GROUP + 1))

    def test_the_relays_that_are_known_have_a_bound(self) -> None:
        lone = Lone()
        for number in range(200):
            lone.mesh.contacts.heard_of(sample_of(number, flags=RELAY)._replace(node=number << 40))
        self.assertEqual(len(lone.mesh.contacts.relays()), RELAYS_MAX)

    def test_relays_with_which_there_was_a_link_are_not_replaced_by_hearsay(self) -> None:
        lone = Lone()
        seen = sample_of(5, flags=RELAY)
        relay = lone.mesh.link_up(Pen(), seen, Capabilities(UPLINK, 0xFFFF, 2, 0), True, lone.now)
        lone.mesh.link_down(relay, lone.now)
        liar, _ = lone.neighbour(9)
        for first in range(0, 2 * RELAYS_MAX, 16):
            fake = tuple(seen._replace(node=(first + each + 1_000) << 40) for each in range(16))
            moved = seen._replace(addresses=(Address("203.0.113.5", 4600),))
            lone.accept(liar, Peers(GROUP, Kind.NEIGHBOUR_NO, 0, (moved, *fake)))
            lone.now += 1.0
        relays = lone.mesh.contacts.relays()
        self.assertEqual(len(relays), RELAYS_MAX)
        self.assertIn(seen, relays)

    def tells(self, lone: Lone, number: int, *samples: Sample) -> Neighbour:
        neighbour = lone.mesh.neighbours.get(node_of(number)) or lone.neighbour(number)[0]
        lone.accept(neighbour, Peers(GROUP, Kind.NEIGHBOUR_NO, 0, samples))
        lone.now += 1.0
        return neighbour

    def test_a_relay_known_by_hearsay_is_where_it_was_first_told_to_be(self) -> None:
        lone, true = Lone(), sample_of(5, flags=RELAY)
        elsewhere = true._replace(addresses=(Address("203.0.113.5", 4600),), capacity=0)
        teller = self.tells(lone, 8, true)
        self.tells(lone, 9, elsewhere)
        self.assertEqual([true], lone.mesh.contacts.relays())
        moved = true._replace(addresses=(Address("192.0.2.55", 4600),))
        self.tells(lone, 8, moved)
        self.assertEqual([moved], lone.mesh.contacts.relays(), "who told of it says otherwise now")
        lone.mesh.link_down(teller, lone.now)
        self.tells(lone, 10, true)
        self.assertEqual([true], lone.mesh.contacts.relays(), "who told of it is gone")

    def test_who_was_dialled_in_vain_may_be_told_of_anew(self) -> None:
        lone, true = Lone(), sample_of(5, flags=RELAY)
        self.tells(lone, 9, true._replace(addresses=(Address("203.0.113.5", 4600),)))
        lone.mesh.not_reached(true.node, lone.now)
        self.tells(lone, 8, true)
        self.assertEqual([true], lone.mesh.contacts.relays())

    def test_a_seed_of_our_own_is_no_matter_of_hearsay(self) -> None:
        lone, true = Lone(), sample_of(5, flags=RELAY)
        lone.mesh.circles[GROUP].learn((true,), lone.now)
        self.tells(lone, 9, true._replace(addresses=(Address("203.0.113.5", 4600),)))
        self.assertEqual([true], lone.mesh.contacts.relays())

    def test_the_tales_of_one_do_not_push_out_those_of_others(self) -> None:
        lone = Lone()
        honest = [sample_of(number, flags=RELAY) for number in range(20, 30)]
        for number, sample in enumerate(honest):
            self.tells(lone, 10 + number % 3, sample)
        for first in range(0, 4 * RELAYS_MAX, 16):
            fakes = (honest[0]._replace(node=(first + each + 1_000) << 40) for each in range(16))
            self.tells(lone, 9, *fakes)
        relays = lone.mesh.contacts.relays()
        self.assertEqual(RELAYS_MAX, len(relays))
        self.assertLessEqual(set(honest), set(relays))

    def test_it_asks_again_until_somebody_answers_then_ever_more_rarely(self) -> None:
        lone = Lone()
        relay, pen = lone.neighbour(5, enters=False, dialled=False)
        lone.mesh.contacts.heard_of(sample_of(5, flags=RELAY))
        lone.pass_time(5.0)
        self.assertEqual([find.kind for find in pen.of(Find)], [Meeting.QUERY] * 3)
        lone.accept(relay, Find(GROUP, Meeting.REPLY, (sample_of(8),), 2))
        self.assertIn(sample_of(8).node, lone.mesh.circles[GROUP].passive)
        lone.pass_time(150.0)
        kinds = [find.kind for find in pen.of(Find)]
        self.assertTrue(4 <= len(kinds) <= 7, kinds)
        self.assertEqual(set(kinds), {Meeting.REGISTER})

    def test_whose_last_neighbour_is_gone_asks_as_a_newcomer_does(self) -> None:
        lone = Lone()
        relay, pen = lone.neighbour(5, enters=False, dialled=False)
        lone.mesh.contacts.heard_of(sample_of(5, flags=RELAY))
        lone.pass_time(0.1)
        first, second = (lone.neighbour(number)[0] for number in (6, 7))
        lone.accept(relay, Find(GROUP, Meeting.REPLY, (), 3))
        lone.pass_time(150.0)
        pen.said.clear()
        lone.mesh.link_down(first, lone.now)
        lone.pass_time(0.5)
        self.assertEqual(pen.of(Find), [])
        lone.mesh.link_down(second, lone.now)
        lone.pass_time(5.0)
        self.assertEqual([find.kind for find in pen.of(Find)], [Meeting.QUERY] * 3)
        lone.accept(relay, Find(GROUP, Meeting.REPLY, (), 3))
        lone.pass_time(20.0)
        self.assertTrue(1 <= len(pen.of(Find)) <= 4)

    def test_in_a_large_group_it_registers_seldom(self) -> None:
        lone = Lone()
        relay, pen = lone.neighbour(5, enters=False, dialled=False)
        lone.mesh.contacts.heard_of(sample_of(5, flags=RELAY))
        lone.pass_time(0.1)
        lone.accept(relay, Find(GROUP, Meeting.REPLY, (), 64_000))
        pen.said.clear()
        lone.pass_time(600.0)
        self.assertLess(len(pen.of(Find)), 3)

    def test_a_relay_that_dialled_us_while_we_dialled_it_is_known_still(self) -> None:
        lone = Lone()
        lone.mesh.link_up(
            Pen(), sample_of(5, flags=RELAY), Capabilities(UPLINK, 0xFFFF, 2, 0), False, lone.now
        )
        lone.mesh.not_reached(node_of(5), lone.now)
        self.assertFalse(lone.mesh.contacts.is_without_relays)

    def test_of_many_groups_that_are_joined_at_once_so_many_are_asked_for_as_a_relay_takes(self) -> None:
        lone = Lone()
        _, pen = lone.neighbour(5, enters=False, dialled=False)
        lone.mesh.contacts.heard_of(sample_of(5, flags=RELAY))
        groups = range(1_000, 2_000)
        for group in groups:
            lone.mesh.join(group, lone.now)
        lone.pass_time(1.0)
        self.assertLess(len(pen.said), 3 * ASKS + 5)
        lone.pass_time(len(groups) / ASKS)
        self.assertEqual({find.group for find in pen.of(Find)}, {GROUP, *groups})

    def test_a_reply_of_one_who_was_not_asked_is_not_believed(self) -> None:
        lone = Lone()
        liar, _ = lone.neighbour(6)
        lone.pass_time(0.1)
        lone.accept(liar, Find(GROUP, Meeting.REPLY, (sample_of(8),), 2))
        self.assertNotIn(sample_of(8).node, lone.mesh.circles[GROUP].passive)
        self.assertEqual(lone.mesh.meeting._estimates, {})
        self.assertEqual(lone.mesh.counters.replies_unasked, 1)

    def test_a_question_has_one_answer_and_not_for_ever(self) -> None:
        lone = Lone()
        relay, _ = lone.neighbour(5, enters=False, dialled=False)
        lone.mesh.contacts.heard_of(sample_of(5, flags=RELAY))
        lone.pass_time(0.1)
        for number in (8, 9):
            lone.accept(relay, Find(GROUP, Meeting.REPLY, (sample_of(number),), 2))
        passive = lone.mesh.circles[GROUP].passive
        self.assertEqual([node in passive for node in (node_of(8), node_of(9))], [True, False])
        lone.mesh.meet(GROUP, lone.now)
        lone.now += ANSWERS_WITHIN
        lone.accept(relay, Find(GROUP, Meeting.REPLY, (sample_of(10),), 2))
        self.assertNotIn(node_of(10), passive)

    def test_of_an_answer_so_much_is_taken_as_an_honest_one_has(self) -> None:
        lone = Lone()
        relay, _ = lone.neighbour(5, enters=False, dialled=False)
        lone.mesh.contacts.heard_of(sample_of(5, flags=RELAY))
        lone.pass_time(0.1)
        many = tuple(sample_of(number) for number in range(100, 100 + SAMPLES_MAX))
        lone.accept(relay, Find(GROUP, Meeting.REPLY, many, 0xFFFFFFFF))
        self.assertEqual(len(lone.mesh.circles[GROUP].passive), REPLY_SAMPLES)
        self.assertEqual(lone.mesh.meeting._estimates, {GROUP: ESTIMATE_MOST})

    def test_which_groups_have_members_is_taken_of_who_was_asked_alone(self) -> None:
        lone = Lone()
        told: list[list[int]] = []
        self.patch(lone, "groups_live", lambda groups, now: told.append(groups))
        relay, _ = lone.neighbour(5, enters=False, dialled=False)
        lone.mesh.contacts.heard_of(sample_of(5, flags=RELAY))
        reply = Find(BASE, Meeting.REPLY, (), 0, (Live(StreamKey(0, 77, 0), 0),))
        lone.accept(relay, reply)
        self.assertEqual(told, [])
        lone.mesh.meeting.ask_groups(lone.now)
        lone.accept(relay, reply)
        self.assertEqual(told, [[77]])

    def test_a_reply_about_a_group_that_it_is_not_in_changes_nothing(self) -> None:
        lone = Lone()
        relay, _ = lone.neighbour(5, enters=False)
        place: MeetingPlace = lone.mesh.meeting
        lone.accept(relay, Find(99, Meeting.REPLY, (sample_of(8),), 2))
        self.assertEqual(place._estimates, {})
        lone.mesh.leave(GROUP, lone.now)
        lone.accept(relay, Find(GROUP, Meeting.REPLY, (sample_of(8),), 2))
        self.assertEqual(place._estimates, {})
