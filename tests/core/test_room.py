"""Who may have a link: callers without a word, two links with one node, clones."""

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.events import CallerRefused, Limit, PeerDown, PeerIsMisnamed, PeerRefused, SameNodeTwice
from multicastmw.core.link import Phase
from multicastmw.core.namesakes import KNOWN_MAX, SHOWN_FOR, Namesakes
from multicastmw.core.room import UNOPENED_MAX, UNOPENED_MAX_OF_ONE
from multicastmw.wire.messages import Close, KeepAlive, Open, encode
from tests.core.cable import Cable, Node, World

GROUP = 0xEF010101


def an_open(name: str, node: int) -> bytes:
    return encode(Open(name, node, 3600))


class Strangers(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.node = self.world.node("a")

    def calls(self, address: str) -> Cable:
        return Cable(self.world, None, self.node, seen_from=address)

    def test_the_17th_of_one_address_is_turned_away_with_too_many(self) -> None:
        cables = [self.calls("192.0.2.1") for _ in range(UNOPENED_MAX_OF_ONE + 1)]
        self.assertEqual([c.turned_away for c in cables], [False] * 16 + [True])
        self.world.run(0.1)
        self.assertEqual(cables[-1].dialling.closes(), [(4, 4)])
        self.assertFalse(self.calls("192.0.2.2").turned_away)
        self.assertEqual(self.node.room.counters.turned_away, 1)

    def test_the_65th_of_all_is_turned_away(self) -> None:
        cables = [self.calls(f"192.0.2.{i // 13}") for i in range(UNOPENED_MAX + 1)]
        self.assertEqual([c.turned_away for c in cables], [False] * 64 + [True])

    def test_who_waited_in_vain_makes_room(self) -> None:
        for _ in range(UNOPENED_MAX_OF_ONE + 1):
            self.calls("192.0.2.1")
        self.world.run(5.1)
        self.assertFalse(self.calls("192.0.2.1").turned_away)

    def test_established_peers_do_not_count_whatever_their_ids(self) -> None:
        for i in range(2 * UNOPENED_MAX):
            cable = self.calls("192.0.2.1")
            self.assertFalse(cable.turned_away)
            cable.dialling.says(an_open(f"n{i}", i << 16))
            self.world.run(0.01)
            link = self.node.ups[-1]
            self.assertEqual((link.node, link.was_up), (i << 16, True))  # 0 is an id too
        self.assertEqual(len(self.node.room.by_node), 2 * UNOPENED_MAX)
        cables = [self.calls("192.0.2.1") for _ in range(UNOPENED_MAX_OF_ONE + 1)]
        self.assertEqual([c.turned_away for c in cables], [False] * 16 + [True])

    def test_refused_ones_that_stay_on_the_line_do_count(self) -> None:
        for _ in range(UNOPENED_MAX_OF_ONE):
            cable = self.calls("192.0.2.1")
            cable.dialling.reads = False  # so that our Close does not get out
            cable.dialling.says(an_open("a", self.node.id))
        self.world.run(0.1)
        self.assertTrue(self.calls("192.0.2.1").turned_away)
        self.world.run(1.1)
        self.assertFalse(self.calls("192.0.2.1").turned_away)

    def test_what_this_node_dials_does_not_count(self) -> None:
        for _ in range(UNOPENED_MAX + 1):
            Cable(self.world, self.node, None)
        self.assertFalse(self.calls("192.0.2.1").turned_away)

    def test_nodes_that_are_invented_end_at_the_bound_and_the_first_ones_stay(self) -> None:
        self.node.room.links_max = 40
        for i in range(60):
            cable = self.calls(f"192.0.2.{i}")
            cable.dialling.says(an_open(f"n{i}", (i + 1) << 16))
            self.world.run(0.01)
            self.assertEqual(cable.dialling.closes(), [] if i < 40 else [(4, 4)])
        self.assertEqual(len(self.node.room.by_node), 40)
        self.assertEqual(self.node.room.counters.links_refused, 20)
        self.assertEqual(
            self.node.told(Limit)[0].sentence(), "40 links are up, and no further ones are taken"
        )

    def test_above_the_bound_one_of_many_from_one_network_gives_way_to_who_comes_from_elsewhere(self) -> None:
        self.node.room.links_max = 4
        cables = []
        for number, address in enumerate(("9.9.9.9", "8.8.8.1", "8.8.8.2", "8.8.8.3", "1.1.1.1", "1.1.1.2")):
            cables.append(self.calls(address))
            cables[-1].dialling.says(an_open(f"n{number}", (number + 1) << 16))
            self.world.run(0.01)
        self.assertEqual([[], [], [], [(4, 4)], [], [(4, 4)]], [each.dialling.closes() for each in cables])
        self.assertEqual([1, 2, 3, 5], sorted(node >> 16 for node in self.node.room.by_node))
        self.assertEqual(
            ["3 links came from its network, and there is no room for others"],
            [event.why for event in self.node.told(PeerDown)],
        )

    def test_above_the_bound_a_node_that_is_there_may_dial_in_again(self) -> None:
        self.node.room.links_max = 2
        for node in (1, 2, 1):
            cable = self.calls("192.0.2.1")
            cable.dialling.says(an_open(f"n{node}", node << 16))
            self.world.run(0.01)
        self.assertTrue(self.node.ups[-1].node == 1 << 16 and len(self.node.room.by_node) == 2)

    def test_who_dials_in_again_and_again_leaves_nothing_behind(self) -> None:
        for _ in range(300):
            self.calls("192.0.2.1").dialling.says(an_open("again", 9 << 16))
            self.world.run(0.01)
        room = self.node.room
        self.assertEqual((len(room.by_node), len(room.links), len(room.by_token)), (1, 1, 1))
        self.assertEqual((room.counters.opened, len(room.reach.nodes())), (300, 1))
        self.assertEqual(self.node.router.members, 2)
        self.assertFalse(self.calls("192.0.2.1").turned_away)

    def test_refusals_are_counted_and_told(self) -> None:
        self.calls("192.0.2.1").dialling.says(b"GET / HTTP/1.1\r\n\r\n")
        self.world.run(0.1)
        self.assertEqual(self.node.room.counters.links_refused, 1)
        self.calls("192.0.2.2").dialling.says(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.calls("192.0.2.3").dialling.says(b"\x20" + bytes(7))
        self.calls("192.0.2.5").dialling.says(b"<!DOCTYPE HTML>\n")
        cable = self.calls("192.0.2.4")
        cable.dialling.says(an_open("d", 4 << 16))
        cable.dialling.says(b"\x30" + bytes(7))
        self.world.run(0.1)
        self.assertEqual(self.node.room.counters.links_refused, 5)
        self.assertEqual(
            [event.sentence() for event in self.node.told(CallerRefused) + self.node.told(PeerRefused)],
            [
                "closed the connection from 192.0.2.1: it sent an HTTP request, and this is no HTTP port",
                "closed the connection from 192.0.2.2: it answers in HTTP: a web server, and no node",
                "closed the connection from 192.0.2.3: version 2, not 1",
                "closed the connection from 192.0.2.5: it speaks another protocol, and is no node",
                "closed the link with d at 192.0.2.4: version 3, not 1",
            ],
        )

    def test_each_link_has_a_token_of_its_own_and_none_is_zero(self) -> None:
        draws = iter([0, 5, 5, 0, 5, 6, 7])
        self.node.room._draw_token = lambda: next(draws)
        for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
            self.calls(address)
        self.assertEqual(sorted(self.node.room.by_token), [5, 6, 7])


class TwoLinksWithOneNode(SynchronousTestCase):
    def one_link(self, a: Node, b: Node) -> Cable:
        """Exactly one cable is left, and it is the same one for both."""
        left = [cable for cable in a.world.cables if any(not end.lost for end in cable.ends)]
        self.assertEqual(len(left), 1)
        self.assertTrue(left[0].is_up)
        links = {end.link for end in left[0].ends}
        self.assertEqual({a.link(b), b.link(a)}, links)
        self.assertEqual({*a.room.links, *b.room.links}, links)
        return left[0]

    def test_dialled_from_both_sides_the_one_that_the_smaller_id_dialled_stays(self) -> None:
        """In every order of arrival: who is first, by how much, and which way is longer."""
        delays = (0.001, 0.004, 0.02, 0.1)
        for ids, first, lag, d1, d2 in product(
            ((1, 2), (2, 1)), (0, 1), (0.0, 0.003, 0.03, 3.0), delays, delays
        ):
            world = World()
            a, b = world.node("a", node=ids[0] << 16), world.node("b", node=ids[1] << 16)
            a.host.wants(GROUP)
            dials = [(a, b, d1), (b, a, d2)]
            for dialler, listener, delay in (dials[first], dials[1 - first]):
                world.connect(dialler, listener, delay=delay)
                world.run(lag)
            world.run(3)
            cable = self.one_link(a, b)
            smaller = a if ids[0] < ids[1] else b
            self.assertIs(cable.dialling.node, smaller, (ids, first, lag, d1, d2))
            self.assertEqual(len(b.told_by(a)), 1)
            self.assertEqual([n.told(PeerRefused) for n in (a, b)], [[], []])

    def test_of_the_same_dialler_the_newer_replaces_the_older(self) -> None:
        for ids in ((1, 2), (2, 1)):
            world = World()
            a, b = world.node("a", node=ids[0] << 16), world.node("b", node=ids[1] << 16)
            a.host.wants(GROUP)
            old = world.connect(a, b)
            world.run(3)
            old.cut()
            a.link(b).lost("reset")  # a knows, b does not
            new = world.connect(a, b)
            world.run(3)
            self.assertEqual((a.link(b), b.link(a)), tuple(end.link for end in new.ends))
            self.assertEqual([why for _, why in b.downs], ["a newer link with the same node replaces it"])
            self.assertEqual(len(b.told_by(a)), 1)
            self.assertEqual(old.accepting.sent()[-1][1].sub_code, 2)

    def test_the_replaced_link_ends_its_own_affairs_only(self) -> None:
        world = World()
        a, b = world.node("a"), world.node("b")
        old = world.connect(a, b)
        world.run(3)
        new = world.connect(a, b)
        world.run(20)
        self.assertEqual(b.room.links, [new.accepting.link])
        self.assertEqual(b.room.reach.nodes(), [a.id])
        self.assertTrue(all(end.lost for end in old.ends))
        self.assertTrue(new.is_up)

    def test_one_id_at_two_addresses_is_one_event_that_names_both(self) -> None:
        world = World()
        node = world.node("hub")
        for address in ("192.0.2.1", "192.0.2.2"):
            Cable(world, None, node, seen_from=address).dialling.says(an_open("clone", 7 << 16))
            world.run(0.1)
        (event,) = node.told(SameNodeTwice)
        for part in ("clone", "192.0.2.1", "192.0.2.2"):
            self.assertIn(part, event.sentence())
        self.assertEqual(len(node.room.by_node), 1)

    def test_who_is_thrown_out_for_another_of_its_name_is_told_of_both_addresses(self) -> None:
        world = World()
        node = world.node("hub")
        cables = []
        for address in ("192.0.2.2", "192.0.2.1", "192.0.2.2"):
            cables.append(Cable(world, None, node, seen_from=address))
            cables[-1].dialling.says(an_open("clone", 7 << 16))
            world.run(0.1)
        why = "the node name clone is in use at 192.0.2.1 and at 192.0.2.2: give one of them another name"
        for cable in cables[:2]:
            self.assertEqual(cable.accepting.sent()[-1][1], Close(4, 2, None, why))
        self.assertEqual({event.sentence() for event in node.told(SameNodeTwice)}, {why})
        self.assertEqual(node.room.namesakes.current(world.now), (why,))
        self.assertEqual(node.room.namesakes.current(world.now + SHOWN_FOR), ())

    def test_and_shows_it_with_whoever_said_it(self) -> None:
        world = World()
        node = world.node("clone")
        cable = Cable(world, node, None)
        cable.accepting.says(an_open("hub", 7 << 16))
        world.run(0.1)
        link = node.ups[-1]
        cable.accepting.says(encode(Close(4, 2, None, "a reason")))
        world.run(0.1)
        self.assertEqual((link.why, link.is_taken), ("closed by the peer: a reason", True))
        (said,) = node.room.namesakes.current(world.now)
        self.assertEqual(said, f"hub at {link.address} says: a reason")

    def test_a_stranger_who_says_so_instead_of_open_is_not_shown(self) -> None:
        world = World()
        node = world.node("clone")
        cable = Cable(world, None, node)
        cable.dialling.says(encode(Close(4, 2, None, "a reason")))
        world.run(0.1)
        self.assertTrue(cable.accepting.lost)
        self.assertEqual(node.room.namesakes.current(world.now), ())

    def test_nor_is_a_caller_that_was_up_and_that_nothing_proves(self) -> None:
        """It pushes nothing out that is true, however many names it invents."""
        world = World()
        node = world.node("hub")
        node.room.namesakes.saw("what this node saw", world.now)
        for i in range(2 * KNOWN_MAX):
            cable = Cable(world, None, node)
            cable.dialling.says(an_open(f"n{i}", (i + 1) << 16))
            world.run(0.1)
            self.assertTrue(node.ups[-1].was_up)
            cable.dialling.says(encode(Close(4, 2, None, "a lie")))
            world.run(0.1)
        self.assertEqual(node.room.namesakes.current(world.now), ("what this node saw",))

    def test_a_caller_whom_tls_has_proved_is_shown(self) -> None:
        world = World()
        node = world.node("clone")
        cable = Cable(world, None, node)
        cable.accepting.secure = True
        cable.dialling.says(an_open("hub", 7 << 16), encode(Close(4, 2, None, "a reason")))
        world.run(0.1)
        self.assertEqual(
            node.room.namesakes.current(world.now), (f"hub at {cable.accepting.address} says: a reason",)
        )

    def test_who_says_it_in_ever_other_words_has_one_place(self) -> None:
        world = World()
        node = world.node("clone")
        for i in range(3):
            cable = Cable(world, node, None, section="hub")
            cable.accepting.says(an_open(f"hub{i}", i << 16), encode(Close(4, 2, None, f"reason {i}")))
            world.run(0.1)
        (said,) = node.room.namesakes.current(world.now)
        self.assertEqual(said, f"hub2 at {cable.dialling.address} says: reason 2")

    def test_a_third_taking_from_one_address_is_a_fight_of_two_behind_it(self) -> None:
        world = World()
        node = world.node("hub")
        for _ in range(4):
            self.assertEqual(node.told(SameNodeTwice), [])
            cable = Cable(world, None, node, seen_from="192.0.2.1")
            cable.dialling.says(an_open("clone", 7 << 16))
            world.run(5)
            cable.dialling.says(encode(KeepAlive()))
            world.run(0.1)
        (event,) = node.told(SameNodeTwice)
        self.assertIn("the node name clone is in use twice at 192.0.2.1", event.sentence())

    def test_a_node_with_two_addresses_that_both_sides_dial_is_no_fight_and_a_clone_is(self) -> None:
        """The node keeps to the link that it has; a clone calls again."""
        world = World()
        node = world.node("hub", node=1 << 16)
        Cable(world, node, None).accepting.says(an_open("clone", 7 << 16))
        world.run(0.1)
        reasons = []
        for _ in range(3):
            cable = Cable(world, None, node, seen_from="192.0.2.1")
            cable.dialling.says(an_open("clone", 7 << 16))
            world.run(0.1)
            reasons.append(cable.accepting.sent()[-1][1].reason)
            self.assertEqual(len(node.told(SameNodeTwice)), int(len(reasons) == 3))
            self.assertEqual(len(node.room.namesakes.current(world.now)), int(len(reasons) == 3))
        self.assertEqual(reasons[:2], [None, None])
        self.assertEqual(
            reasons[2],
            "the node name clone is in use at 192.0.2.1 and at 192.0.2.8, unless it is one node with two ways"
            " to it: give one of them another name",
        )

    def test_two_sections_for_two_addresses_of_one_node_are_no_fight(self) -> None:
        world = World()
        node = world.node("a")
        for section, address in (("b", "192.0.2.1"), ("bb", "192.0.2.2")):
            cable = Cable(world, node, None, section=section)
            cable.dialling.link.address = cable.dialling.address = address
            cable.accepting.says(an_open("b", 7 << 16))
            world.run(0.1)
        self.assertEqual(node.told(SameNodeTwice), [])
        self.assertEqual(node.room.namesakes.current(world.now), ())
        first, _ = node.ups
        self.assertEqual((first.phase, first.is_taken), (Phase.GONE, False))

    def test_a_node_on_a_cable_that_is_pulled_again_and_again_is_one_node(self) -> None:
        """It gives its link up sooner than the hub does, and comes again."""
        world = World()
        node, hub = world.node("node", keep_alive=2), world.node("hub", keep_alive=10)
        for _ in range(5):
            cable = world.connect(node, hub)
            world.run(20)
            self.assertTrue(cable.is_up)
            cable.cut()
            world.air.spoil(node, hub, hole=True)
            world.run(4)
            world.air.spoil(node, hub, hole=False)
        why = "a newer link with the same node replaces it"
        self.assertEqual([text for _, text in hub.downs], [why] * 4)
        self.assertEqual(hub.told(SameNodeTwice), [])
        self.assertEqual(hub.room.namesakes.current(world.now), ())

    def test_a_node_that_comes_back_with_another_address_is_one_node(self) -> None:
        world = World()
        hub = world.node("hub")
        for address in ("192.0.2.1", "192.0.2.2"):
            Cable(world, None, hub, seen_from=address).dialling.says(an_open("node", 7 << 16))
            world.run(4)
        self.assertEqual(len(hub.downs), 1)
        self.assertEqual(hub.told(SameNodeTwice), [])

    def test_two_nodes_of_one_name_behind_one_address_are_told_of_by_their_probes(self) -> None:
        """They say nothing over the connection for minutes."""
        world = World()
        hub = world.node("hub", keep_alive=3600)
        clones = [world.node("clone", address="10.0.0.9", keep_alive=3600) for _ in range(2)]
        for i in range(4):
            world.connect(clones[i % 2], hub)
            world.run(60)
        self.assertIn("in use twice at 10.0.0.9", hub.told(SameNodeTwice)[0].sentence())

    def test_what_is_known_of_namesakes_is_bounded(self) -> None:
        known = Namesakes()
        for i in range(1000):
            known.saw(f"text {i}", float(i))
            known.heard(f"peer {i}", f"word {i}", float(i))
            known.is_fought_over(i, float(i))
        current = known.current(1000.0)
        self.assertEqual(len(current), 2 * KNOWN_MAX)
        self.assertEqual((current[KNOWN_MAX - 1], current[-1]), ("text 999", "word 999"))
        self.assertEqual(len(known._replaced), KNOWN_MAX)

    def test_from_one_address_it_is_no_event(self) -> None:
        world = World()
        node = world.node("hub")
        for _ in range(2):
            Cable(world, None, node).dialling.says(an_open("peer", 7 << 16))
            world.run(0.1)
        self.assertEqual(node.told(SameNodeTwice), [])
        self.assertEqual(len(node.told(PeerDown)), 1)

    def test_a_refused_second_link_leaves_the_first_alone(self) -> None:
        world = World()
        a, b = world.node("a", node=1 << 16), world.node("b", node=2 << 16)
        stays = world.connect(a, b)
        world.run(1)
        goes = world.connect(b, a)
        world.run(3)
        self.assertTrue(stays.is_up)
        self.assertTrue(all(end.lost for end in goes.ends))
        self.assertEqual((a.downs, b.downs), ([], []))
        self.assertEqual(goes.dialling.link.phase, Phase.GONE)


class Names(SynchronousTestCase):
    def test_who_answers_under_another_name_is_told_and_used(self) -> None:
        world = World()
        a, c = world.node("a"), world.node("c")
        cable = world.connect(a, c, section="b")
        world.run(1)
        self.assertTrue(cable.is_up)
        (event,) = a.told(PeerIsMisnamed)
        address = a.link(c).address
        said = f"[peer:b] reaches a node named c at {address}: call the section [peer:c]"
        self.assertEqual(event.sentence(), said)
        self.assertEqual(a.link(c).name, "c")
        self.assertEqual(c.told(PeerIsMisnamed), [])

    def test_the_shutdown_of_a_node_is_told_to_all(self) -> None:
        world = World()
        hub = world.node("hub")
        others = [world.node(name) for name in "abc"]
        for other in others:
            world.connect(other, hub)
        world.run(1)
        hub.room.leave(world.now)
        world.run(0.1)
        self.assertEqual(hub.room.links, [])
        for other in others:
            self.assertEqual([why for _, why in other.downs], ["closed by the peer: it is shutting down"])
