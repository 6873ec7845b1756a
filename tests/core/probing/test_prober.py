"""Two, three and many ends and their cables: who answers what, and what is bounded."""

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.packet import Packet
from multicastmw.core.probing.answering import KNOWN_MAX, ROUTES_MAX, SURVEYS_MAX, place
from multicastmw.core.probing.path import Answers
from multicastmw.core.probing.prober import (
    ASKED_AT_ONCE,
    ASKING_MAX,
    READ_AT_ONCE,
    SENT_AT_ONCE,
    WAITING_MAX,
    Busy,
)
from multicastmw.core.probing.survey import Heard, SurveyPart
from multicastmw.core.probing.table import Table
from multicastmw.wire import probe
from multicastmw.wire.data import build
from multicastmw.wire.probe import (
    GROUP,
    Collect,
    Entry,
    Head,
    Kind,
    Ping,
    PingAnswer,
    Probe,
    Survey,
    Trace,
    TraceAnswer,
    encode,
    wrap,
)
from tests.core.cable import World
from tests.core.probing.ends import End, ends

STREAM = 0xEF01_0203


class Tree(SynchronousTestCase):
    """a - b - c, b - d."""

    def setUp(self) -> None:
        self.world = World(1)
        nodes = {name: self.world.node(name) for name in "abcd"}
        for name in "acd":
            self.world.connect(nodes[name], nodes["b"])
        self.world.run(1)
        self.ends = ends(self.world, list(nodes.values()))
        self.a, self.b, self.c, self.d = self.ends.values()

    def run_until_done(self, end: End, within: float = 30.0) -> None:
        self.world.run_until(lambda: end.is_done, within)

    def lossy(self, one: End, other: End, loss: float) -> None:
        """What goes from one to the other, in this direction alone."""
        self.world.air.way(one.node, other.node).loss = loss

    def arrives(self, end: End, payload: bytes, node: int = 0x1234_0000) -> None:
        """As from a stranger."""
        inner = wrap(payload, 9)
        message = build(inner, token=0, origin=node, group=GROUP, source=9, sequence=1, hop_limit=5)
        packet = Packet()
        packet.buffer[: len(message)] = message
        packet.length, packet.hop_limit = len(inner), 5
        packet.now = self.world.now
        end.prober.deliver(packet)


class Pings(Tree):
    def test_those_who_want_it_answer_each_time_and_the_others_once(self) -> None:
        self.c.node.host.wants(STREAM)
        self.d.node.host.wants(STREAM)
        self.world.run(1)
        self.a.ping(STREAM, count=3)
        self.run_until_done(self.a)
        answers = self.a.said("answer")
        wanting = sorted((each["name"], each["round"]) for each in answers if each["wanted_by"])
        self.assertEqual([(name, n) for name in "cd" for n in range(3)], wanting)
        self.assertEqual(["a", "b"], sorted(each["name"] for each in answers if not each["wanted_by"]))
        (first, *_) = (each for each in answers if each["name"] == "c")
        self.assertEqual(
            (2, 1, 5, ["c's host"]), (first["hops"], first["hosts"], first["since"], first["wanted_by"])
        )

    def test_a_round_trip_is_the_ways_alone(self) -> None:
        self.c.node.host.wants(STREAM)
        self.world.air.spoil(self.b.node, self.c.node, delay=0.05)
        self.a.ping(STREAM, count=4)
        self.run_until_done(self.a)
        for each in self.a.said("answer"):
            if each["name"] == "c":
                self.assertAlmostEqual(2 * (50 + 2), each["rtt_ms"], delta=0.1)

    def test_the_asking_node_answers_itself_and_says_so(self) -> None:
        self.a.node.host.wants(STREAM)
        self.a.ping(STREAM, count=1)
        self.run_until_done(self.a)
        own = [each for each in self.a.said("answer") if each["here"]]
        self.assertEqual([("a", 0, 0.0)], [(each["name"], each["hops"], each["rtt_ms"]) for each in own])

    def test_it_ends_as_soon_as_all_have_answered(self) -> None:
        asker = self.a.ping(STREAM, count=1, patience=20)
        self.world.run(0.5)
        self.assertTrue(asker.is_over)

    def test_who_is_cut_off_or_takes_no_part_never_answers(self) -> None:
        self.d.prober.close()
        self.world.run(1)
        self.a.ping(STREAM, count=2)
        self.run_until_done(self.a)
        self.assertEqual({"a", "b", "c"}, {each["name"] for each in self.a.said("answer")})
        self.assertEqual({"b", "c", "d"}, {each["name"] for each in self.a.said("begin")[0]["nodes"]})

    def test_who_did_not_hear_the_first_question_is_asked_by_name(self) -> None:
        self.lossy(self.a, self.b, 1.0)
        self.a.ping(STREAM, count=3, interval=0.5)
        self.world.run(0.1)
        self.lossy(self.a, self.b, 0.0)
        self.run_until_done(self.a)
        rounds = {each["name"]: each["round"] for each in self.a.said("answer")}
        self.assertEqual({"a": 0, "b": 1, "c": 1, "d": 1}, rounds)

    def test_nobody_but_the_asker_takes_the_answers(self) -> None:
        self.c.ping(STREAM, count=1)
        self.run_until_done(self.c)
        self.assertEqual([], self.a.lines)
        self.assertGreaterEqual(self.a.prober.counters.not_for_us, 2)

    def test_a_question_in_anothers_name_is_not_answered(self) -> None:
        forged = Head(Kind.PING, 1, self.b.node.id)
        self.c.send(encode(forged, Ping(STREAM)), self.world.now)
        self.world.run(1)
        self.assertEqual(1, self.a.prober.counters.forged)
        self.assertEqual(0, self.a.prober.counters.sent)

    def test_whoever_gives_up_is_told_nothing_more(self) -> None:
        asker = self.a.ping(STREAM, count=0)
        self.world.run(1)
        self.a.prober.give_up(asker)
        before = len(self.a.lines)
        self.world.run(2)
        self.assertEqual(before, len(self.a.lines))


class Surveys(Tree):
    def table(self, end: End) -> dict[tuple[str, str], Any]:
        table = Table()
        for report in end.said("report"):
            table.hear(report)
        names = table.names
        return {(names[pair.sender], names[pair.receiver]): pair for pair in table.pairs()}

    def test_all_reach_all(self) -> None:
        self.a.survey()
        self.run_until_done(self.a)
        pairs = self.table(self.a)
        self.assertEqual(12, len(pairs))
        for names, pair in pairs.items():
            hops = 1 if "b" in names else 2
            self.assertEqual((20, 20, 0.0, hops), (pair.sent, pair.got, pair.loss, pair.hops), names)
            self.assertAlmostEqual(hops * 4, pair.rtt, delta=0.1)
            self.assertAlmostEqual(0, pair.delay, delta=0.1)
        self.assertEqual(4, len(self.a.said("begin")[0]["nodes"]) + 1)
        self.assertTrue(self.a.said("progress"))

    def test_where_ways_have_to_grow_all_begin_together_also_who_hears_of_it_late(self) -> None:
        self.lossy(self.b, self.c, 1.0)
        self.a.survey(grows=True)
        self.world.run(0.8)
        self.lossy(self.b, self.c, 0.0)
        self.run_until_done(self.a)
        pairs = self.table(self.a)
        self.assertEqual((12, {20}), (len(pairs), {pair.got for pair in pairs.values()}))

    def test_nobody_waits_for_its_probes_for_longer_than_some_seconds(self) -> None:
        head = Head(Kind.SURVEY, 1, self.a.node.id, time=4_000_000_000)
        self.a.send(encode(head, Survey(2, 50)), self.world.now)
        self.world.run(4.9)
        self.assertEqual(0, self.b.prober.counters.sent)
        self.world.run(0.5)
        self.assertEqual(2, self.b.prober.counters.sent)

    def test_what_is_lost_in_one_direction_is_said_of_that_one(self) -> None:
        self.lossy(self.b, self.c, 0.3)
        self.a.survey(probes=100, interval=0.05)
        self.run_until_done(self.a, 60)
        pairs = self.table(self.a)
        for (sender, receiver), pair in pairs.items():
            if receiver == "c":
                self.assertTrue(0.1 < pair.loss < 0.5, (sender, pair))
            else:
                self.assertEqual(0, pair.loss, (sender, receiver))

    def test_a_report_that_is_lost_is_asked_for_again(self) -> None:
        """Data of d's fall back to TCP meanwhile, as its probes of the data path are lost, too."""
        self.lossy(self.d, self.b, 1.0)
        self.a.survey()
        self.run_until_done(self.a, 60)
        self.assertEqual(set("abcd"), {each["name"] for each in self.a.said("report")})
        self.assertGreater(self.table(self.a)["d", "b"].loss, 0.5)

    def test_clocks_that_differ_make_no_difference(self) -> None:
        table = Table()
        for receiver, sender, least in (("x", "y", (1 << 32) - 100_000), ("y", "x", 104_000)):
            entry = {"from": {"id": sender, "name": sender}, "got": 5, "hops": 1, "least_us": least,
                     "mean_above_us": 10, "most_above_us": 20}  # fmt: skip
            table.hear({"id": receiver, "name": receiver, "sent": 5, "entries": [entry]})
        self.assertEqual(4.0, table.pair("x", "y").rtt)
        self.assertEqual(table.pair("x", "y").rtt, table.pair("y", "x").rtt)

    def test_a_clock_that_wraps_meanwhile_makes_no_difference(self) -> None:
        heard = Heard((1 << 32) - 5)
        for number, took in enumerate(((1 << 32) - 5, 7, (1 << 32) - 8, 7)):
            heard.accept(number, took, 2)
        heard.accept(3, 99, 2)  # it came before
        self.assertEqual(Entry(1, 4, 2, (1 << 32) - 8, 8, 15), heard.entry(1))

    def test_what_asks_too_much_is_refused(self) -> None:
        counters = self.b.prober.counters
        for number, survey in enumerate((Survey(0, 100), Survey(101, 100), Survey(10, 1), Survey(100, 1000))):
            self.a.send(encode(Head(Kind.SURVEY, number, self.a.node.id), survey), self.world.now)
        self.world.run(1)
        self.assertEqual((4, 0), (counters.refused, counters.sent))
        for number in range(SURVEYS_MAX + 3):
            self.a.send(encode(Head(Kind.SURVEY, 10 + number, self.a.node.id), Survey(2, 50)), self.world.now)
        self.world.run(1)
        self.assertEqual((7, 2 * SURVEYS_MAX), (counters.refused, counters.sent))

    def test_one_that_goes_on_under_the_same_number_is_refused(self) -> None:
        for number in range(5):
            head = Head(Kind.SURVEY, 9, self.a.node.id, number)
            self.a.send(encode(head, Survey(2, 50)), self.world.now)
        self.world.run(1)
        self.assertEqual((4, 2), (self.b.prober.counters.refused, self.b.prober.counters.sent))

    def test_so_quick_a_one_that_all_nodes_together_flood_the_tree_is_refused(self) -> None:
        others = {number << 16: str(number) for number in range(100)}
        self.b.known = lambda: others
        for number, interval in enumerate((100, 101)):
            self.a.send(
                encode(Head(Kind.SURVEY, number, self.a.node.id), Survey(2, interval)), self.world.now
            )
        self.world.run(2)
        self.assertEqual((1, 2), (self.b.prober.counters.refused, self.b.prober.counters.sent))

    def test_a_survey_is_forgotten_and_makes_room(self) -> None:
        for number in range(SURVEYS_MAX + 1):
            self.a.send(encode(Head(Kind.SURVEY, number, self.a.node.id), Survey(2, 50)), self.world.now)
            self.world.run(40)
        self.assertEqual(0, self.b.prober.counters.refused)

    def test_a_crowd_is_counted_up_to_its_bound(self) -> None:
        part = SurveyPart(Survey(2, 100), 0.0, Random(1).uniform)
        for node in range(2_000):
            part.accept(node << 16, 0, 0, 1, 1.0)
        part.accept(1 << 16, 2, 0, 1, 1.0)  # it has only 0 and 1
        self.assertEqual(1_024, len(part.entries()))
        self.assertEqual({1}, {entry.got for entry in part.entries()})


class Traces(Tree):
    def stream(self, seconds: float, ttl: int = 16, source: int = 1) -> None:
        """100 a second, from a, for so long."""
        for _ in range(int(seconds * 100)):
            self.a.node.send(STREAM, source, ttl=ttl)
            self.world.run(0.01)

    def traced(self, asked: End, ttl: int = 16) -> Answers:
        self.stream(0.5, ttl)
        asked.trace(STREAM)
        self.stream(3.0, ttl)
        self.run_until_done(asked)
        answers = Answers()
        for answer in asked.said("answer"):
            answers.hear(answer)
        return answers

    def test_the_tree_and_that_nothing_is_lost(self) -> None:
        self.c.node.host.wants(STREAM)
        self.world.run(1)
        (path,) = self.traced(self.d).paths()
        self.assertEqual("0.0.0.1", path.source)
        a = path.root
        (b,) = a.behind
        (c,) = b.behind
        self.assertEqual([("a", []), ("b", []), ("c", ["c's host"])], [(h.name, h.here) for h in (a, b, c)])
        self.assertEqual([], path.findings)
        for hop in (a, b, c):
            assert hop.seconds
            self.assertAlmostEqual(100, hop.came / hop.seconds, delta=3)

    def test_the_hop_that_loses(self) -> None:
        self.c.node.host.wants(STREAM)
        self.lossy(self.b, self.c, 0.2)
        (path,) = self.traced(self.a).paths()
        (finding,) = path.findings
        self.assertRegex(finding, r"^lost \d+ between b and c \(\d+ %\)$")

    def test_a_stream_that_dies_of_its_ttl(self) -> None:
        self.c.node.host.wants(STREAM)
        self.world.run(1)
        (path,) = self.traced(self.d, ttl=1).paths()
        self.assertRegex(path.findings[0], r"^dies of its TTL at a: \d+ packets; a higher TTL")
        self.assertEqual(1, len(path.findings))

    def test_a_stream_that_dies_on_its_way(self) -> None:
        self.c.node.host.wants(STREAM)
        self.world.run(1)
        (path,) = self.traced(self.d, ttl=2).paths()
        self.assertRegex(path.findings[0], r"^dies of its TTL at b: \d+ packets; a higher TTL")
        self.assertEqual(1, len(path.findings))

    def test_a_stream_that_nobody_wants(self) -> None:
        (path,) = self.traced(self.d).paths()
        self.assertRegex(path.findings[0], r"packets ended at a, where they started: nobody wanted them$")

    def test_a_stream_that_is_over(self) -> None:
        self.c.node.host.wants(STREAM)
        self.world.run(1)
        self.stream(0.5)
        self.world.run(1)
        self.d.trace(STREAM)
        self.run_until_done(self.d)
        answers = Answers()
        for answer in self.d.said("answer"):
            answers.hear(answer)
        (path,) = answers.paths()
        self.assertRegex(path.findings[0], r"^nothing has started at a for 1\.?\d* s \(50 packets before\)$")

    def test_where_nothing_comes_it_is_said_who_wants_it(self) -> None:
        self.c.node.host.wants(STREAM)
        self.world.run(1)
        self.d.trace(STREAM)
        self.run_until_done(self.d)
        answers = Answers()
        for answer in self.d.said("answer"):
            answers.hear(answer)
        self.assertEqual([], answers.paths())
        self.assertEqual({"c": ["c's host"]}, answers.wanted_by())

    def test_a_node_that_does_not_answer_stands_in_the_tree(self) -> None:
        self.c.node.host.wants(STREAM)
        self.b.prober.close()
        self.world.run(1)
        (path,) = self.traced(self.a).paths()
        (b,) = path.root.behind
        self.assertEqual(("b", False, ["c"]), (b.name, b.answered, [hop.name for hop in b.behind]))
        self.assertIn("b did not answer: what becomes of it there is not known", path.findings)


class Bounds(Tree):
    def test_noise_is_counted_and_nothing_else(self) -> None:
        random = Random(7)
        for _ in range(500):
            self.arrives(self.b, random.randbytes(random.randrange(60)))
            self.arrives(self.b, probe.BEGINS + random.randbytes(random.randrange(60)))
        counters = self.b.prober.counters
        self.assertGreater(counters.malformed, 500)
        self.world.run(1)

    def test_what_is_no_ip_or_no_udp_of_ours_is_counted(self) -> None:
        packet = Packet()
        for length in (0, 10, 20, 40):
            packet.length = length
            self.b.prober.deliver(packet)
        packet.kind = 2
        self.b.prober.deliver(packet)
        self.assertEqual(5, self.b.prober.counters.malformed)

    def test_so_much_is_read(self) -> None:
        for _ in range(READ_AT_ONCE + 100):
            self.arrives(self.b, b"x")
        self.assertEqual(
            (READ_AT_ONCE, 100), (self.b.prober.counters.malformed, self.b.prober.counters.over_rate)
        )

    def test_so_many_questions_are_looked_at(self) -> None:
        for number in range(ASKED_AT_ONCE + 100):
            self.arrives(self.b, encode(Head(Kind.PING, number, 0x1234_0000), Ping(STREAM)))
        counters = self.b.prober.counters
        self.assertEqual((ASKED_AT_ONCE, 100), (counters.questions, counters.over_rate))
        self.world.run(1)
        self.assertLessEqual(counters.sent, SENT_AT_ONCE + 100)

    def test_so_much_is_sent(self) -> None:
        now = self.world.now
        for _ in range(SENT_AT_ONCE + 50):
            self.b.prober.say(Head(Kind.PROBE, 1, 7), Probe(1), now)
        self.world.run(0.001)
        self.assertEqual((SENT_AT_ONCE, 50), (self.b.prober.counters.sent, self.b.prober.counters.not_sent))

    def test_so_much_waits(self) -> None:
        later = self.world.now + 100
        for _ in range(WAITING_MAX + 5):
            self.b.prober.say(Head(Kind.PROBE, 1, 7), Probe(1), later)
        self.assertEqual(5, self.b.prober.counters.not_sent)

    def test_a_question_is_answered_once(self) -> None:
        payload = encode(Head(Kind.PING, 1, 0x1234_0000), Ping(STREAM))
        for _ in range(3):
            self.arrives(self.b, payload)
        self.world.run(1)
        counters = self.b.prober.counters
        self.assertEqual((1, 2), (counters.sent, counters.repeated))

    def test_only_so_many_questions_are_remembered(self) -> None:
        for number in range(KNOWN_MAX + 300):
            payload = encode(Head(Kind.COLLECT, number, 0x1234_0000), Collect())
            self.arrives(self.b, payload)
            self.world.run(0.02)
        self.assertEqual(KNOWN_MAX, len(self.b.prober._answering._heard))

    def test_only_so_many_questions_of_our_own_people_at_a_time(self) -> None:
        for _ in range(ASKING_MAX):
            self.a.ping(STREAM, count=0)
        self.assertIn("more at a time", str(self.assertRaises(Busy, self.a.ping, STREAM)))

    def test_nobody_asks_where_the_group_is_kept_out(self) -> None:
        self.a.prober.close()
        self.assertIn("[groups]", str(self.assertRaises(Busy, self.a.ping, STREAM)))

    def test_what_strangers_answer_is_bounded(self) -> None:
        asker = self.a.ping(STREAM, count=0)
        self.world.run(0.1)
        for number in range(2_000):
            head = Head(Kind.PING_ANSWER, asker.run, self.a.node.id)
            self.arrives(self.a, encode(head, probe.PingAnswer(0, 0)), node=(0x5000 + number) << 16)
        self.assertLessEqual(len(self.a.said("answer")), 1_024)


class OurOwn(Tree):
    """What our own people ask, while a stranger asks this node as much as he can."""

    STRANGER = 0x1234_0000

    def flood(self, seconds: float) -> None:
        """Traces, each of which has as many answers as there can be: far more than the rate."""
        self.b.routes = lambda group, source, now: [TraceAnswer(0, 1, 0)] * ROUTES_MAX  # type: ignore[method-assign]
        until = self.world.now + seconds
        while self.world.now < until:
            for _ in range(5):
                self.count = getattr(self, "count", 0) + 1
                self.arrives(self.b, encode(Head(Kind.TRACE, self.count, self.STRANGER), Trace(STREAM, 0)))
            self.world.run(0.02)

    def test_is_sent(self) -> None:
        self.flood(3.0)
        self.b.ping(STREAM, count=4, interval=0.5)
        self.flood(5.0)
        counters = self.b.prober.counters
        self.assertGreater(counters.not_sent, 1_000)
        self.assertEqual(0, counters.our_own_not_sent)
        self.assertEqual(set("abcd"), {each["name"] for each in self.b.said("answer")})
        self.assertTrue(self.b.is_done)

    def test_is_sent_though_as_many_answers_wait_as_may(self) -> None:
        later = self.world.now + 100
        for _ in range(WAITING_MAX + 5):
            self.b.prober.say(Head(Kind.PING_ANSWER, 1, 7), PingAnswer(0, 0), later)
        self.b.ping(STREAM, count=1)
        self.run_until_done(self.b)
        self.assertEqual(set("abcd"), {each["name"] for each in self.b.said("answer")})

    def test_is_bounded_as_well(self) -> None:
        for number in range(SENT_AT_ONCE + 50):
            self.b.prober.say(Head(Kind.PING, number, self.b.node.id), Ping(STREAM), self.world.now)
        self.world.run(0.001)
        self.assertEqual((50, 0), (self.b.prober.counters.our_own_not_sent, self.b.prober.counters.not_sent))

    def test_has_its_answers_read(self) -> None:
        for _ in range(READ_AT_ONCE + 100):
            self.arrives(self.b, b"x")
        self.b.ping(STREAM, count=1)
        for _ in range(1_000):
            for _ in range(3):
                self.arrives(self.b, b"x")
            self.world.run(0.001)
        self.assertEqual(set("abcd"), {each["name"] for each in self.b.said("answer")})

    def test_has_answers_read_to_a_bound(self) -> None:
        asker = self.b.ping(STREAM, count=0)
        self.world.run(0.1)
        before = self.b.prober.counters.answers
        head = Head(Kind.PING_ANSWER, asker.run, self.b.node.id)
        for _ in range(READ_AT_ONCE + 100):
            self.arrives(self.b, encode(head, PingAnswer(0, 0)))
        counters = self.b.prober.counters
        self.assertApproximates(100 + before, counters.answers_over_rate, before + 5)
        self.arrives(self.b, encode(Head(Kind.PING, 1, self.STRANGER), Ping(STREAM)))
        self.assertEqual((0, 1), (counters.over_rate, counters.questions))

    def test_is_answered_by_who_is_known_though_strangers_answer_first(self) -> None:
        asker = self.b.ping(STREAM, count=1)
        self.b.prober.tick(self.world.now)
        for number in range(2_000):
            head = Head(Kind.PING_ANSWER, asker.run, self.b.node.id)
            self.arrives(self.b, encode(head, PingAnswer(0, 0)), node=(0x5000 + number) << 16)
        self.run_until_done(self.b)
        self.assertTrue({each["name"] for each in self.b.said("answer")}.issuperset("abcd"))

    def test_has_a_survey_of_its_own(self) -> None:
        for number in range(SURVEYS_MAX + 1):
            self.arrives(self.b, encode(Head(Kind.SURVEY, number, self.STRANGER), Survey(2, 1_000)))
        self.assertEqual(1, self.b.prober.counters.refused)
        self.b.survey(probes=5)
        self.run_until_done(self.b)
        self.assertIn("b", {each["name"] for each in self.b.said("report")})

    def test_a_question_in_our_own_name_is_forged(self) -> None:
        self.arrives(self.b, encode(Head(Kind.PING, 1, self.b.node.id), Ping(STREAM)), node=self.b.node.id)
        self.assertEqual(1, self.b.prober.counters.forged)


class Spreading(SynchronousTestCase):
    def test_places_of_many_nodes_are_spread_evenly(self) -> None:
        places = sorted(place(node << 16, 7, 3) for node in range(1, 1_001))
        self.assertTrue(all(0 <= each < 1 for each in places))
        for tenth in range(10):
            share = sum(tenth / 10 <= each < (tenth + 1) / 10 for each in places)
            self.assertTrue(60 < share < 140, share)


class Crowd(SynchronousTestCase):
    """Many nodes: nobody has to read or to send more at once than the bounds."""

    def test_sixty_nodes_answer_and_none_of_it_is_over_a_rate(self) -> None:
        world = World(3)
        random = Random(5)
        nodes = world.tree([random.randrange(max(1, n // 4 + 1)) for n in range(59)])
        world.run(3)
        crowd = list(ends(world, nodes).values())
        crowd[7].survey(probes=5, interval=0.1)
        world.run_until(lambda: crowd[7].is_done, 60)
        table = Table()
        for report in crowd[7].said("report"):
            table.hear(report)
        self.assertEqual(60, len(table.names))
        self.assertEqual(60 * 59, sum(pair.got == 5 for pair in table.pairs()))
        for end in crowd:
            counters = end.prober.counters
            self.assertEqual((0, 0), (counters.over_rate, counters.not_sent))
            self.assertGreaterEqual(counters.sent, 5)
