"""What happens to packets between simulated hosts, asked as one would ask a network."""

from collections import Counter
from itertools import pairwise
from math import inf
from random import Random

from twisted.trial import unittest

from simulator.loop import Loop
from simulator.network import CONTROL_WAITS, DATA_WAITS, HEADERS, PATHS, Bursts, Network

RTT = 0.1
CONTROL, DATA = True, False


class Everywhere:
    """100 ms between any two of 1,000 places."""

    def rtt(self, i, j):
        return RTT

    def __len__(self):
        return 1000


class Town:
    """A network of some hosts that write down what they get, and when."""

    def __init__(self, *uplinks, seed=1, **weather):
        self.loop = Loop()
        self.network = Network(self.loop, Everywhere(), Random(seed), **weather)
        self.got = []
        for host, uplink in enumerate(uplinks):
            self.network.add(host, uplink)

    def send(self, source, destination, what, size=100, control=DATA):
        self.network.send(source, destination, size, control, self.arrives, destination, what)

    def stream(self, source, destination, what, size=100, control=DATA):
        self.network.stream(source, destination, size, control, self.arrives, destination, what)

    def arrives(self, host, what):
        self.got.append((round(self.loop.now, 6), host, what))

    def whats(self, seconds=100.0):
        self.loop.run(self.loop.now + seconds)
        return [what for _, _, what in self.got]

    def dropped(self, host):
        return {reason: n for reason, n in self.network.counters(host).dropped.items() if n}


class Delay(unittest.TestCase):
    def test_a_datagram_takes_half_the_round_trip(self):
        town = Town(inf, inf)
        town.send(0, 1, "a")
        town.loop.run(1)
        self.assertEqual(town.got, [(0.05, 1, "a")])

    def test_an_uplink_takes_its_time_for_each_byte(self):
        town = Town(8000, inf)  # a millisecond a byte
        town.send(0, 1, "a", size=72)
        town.send(0, 1, "b", size=22)
        town.loop.run(1)
        self.assertEqual(town.got, [(0.15, 1, "a"), (0.2, 1, "b")])

    def test_jitter_is_added_and_datagrams_overtake_each_other(self):
        town = Town(inf, inf, jitter=0.01)
        for number in range(2000):
            town.loop.at(number / 1000, town.send, 0, 1, number)
        order = town.whats()
        self.assertNotEqual(order, sorted(order))
        self.assertEqual(sorted(order), list(range(2000)))
        late = [now - number / 1000 - RTT / 2 for now, _, number in town.got]
        self.assertGreaterEqual(min(late), 0)
        self.assertApproximates(sum(late) / 2000, 0.01, 0.001)

    def test_more_hosts_are_reached_than_paths_are_remembered(self):
        town = Town(*[inf] * (3 * PATHS))
        for number in range(6 * PATHS):
            town.send(0, 1 + number % (3 * PATHS - 1), number)
        self.assertEqual(town.whats(), list(range(6 * PATHS)))
        self.assertLessEqual(len(town.network.hosts[0].paths), PATHS)

    def test_the_same_seed_gives_the_same_run(self):
        def run(seed):
            town = Town(1e6, 1e6, seed=seed, loss=0.1, jitter=0.01, bursts=Bursts(1, 0.1, 0.5))
            for number in range(500):
                town.loop.at(number / 100, town.send, number % 2, 1 - number % 2, number)
                town.loop.at(number / 100, town.stream, number % 2, 1 - number % 2, -number)
            town.loop.run(100)
            return town.got

        self.assertEqual(run(1), run(1))
        self.assertNotEqual(run(1), run(2))


class Uplink(unittest.TestCase):
    """A full uplink of 8 kbit/s: a millisecond a byte, 100 ms a packet."""

    def test_control_goes_before_data_that_waits(self):
        town = Town(8000, inf)
        for what in ("being sent", "data", "more data"):
            town.send(0, 1, what, size=72)
        town.send(0, 1, "control", size=72, control=CONTROL)
        town.loop.at(0.15, town.send, 0, 1, "more control", 72, CONTROL)
        self.assertEqual(town.whats(), ["being sent", "control", "more control", "data", "more data"])
        self.assertEqual([round(now - RTT / 2, 3) for now, _, _ in town.got], [0.1, 0.2, 0.3, 0.4, 0.5])

    def test_of_data_the_oldest_are_dropped_that_would_wait_too_long(self):
        town = Town(8000, inf)
        for number in range(6):
            town.send(0, 1, number, size=72)
        self.assertEqual(town.whats(), [0, 4, 5])  # the first is being sent; 200 ms of the others may wait
        self.assertEqual(town.dropped(0), {"queue": 3})

    def test_no_data_wait_longer_than_the_bound_without_control(self):
        town = Town(1e6, inf)
        for number in range(4000):  # twice what the uplink can carry
            town.loop.at(number / 200, lambda: town.send(0, 1, town.loop.now, size=1222))
        town.loop.run(100)
        waited = max(now - sent - RTT / 2 for now, _, sent in town.got)
        packet = 1250 * 8 / 1e6
        self.assertLessEqual(waited, DATA_WAITS + 2 * packet)
        self.assertGreater(waited, DATA_WAITS - packet)
        self.assertApproximates(len(town.got), 2000, 50)

    def test_control_is_refused_that_would_wait_too_long(self):
        town = Town(8000, inf)
        for number in range(20):
            town.send(0, 1, number, size=122, control=CONTROL)
        sent = int(CONTROL_WAITS / 0.15) + 1
        self.assertEqual(town.whats(), list(range(sent)))
        self.assertEqual(town.dropped(0), {"queue": 20 - sent})

    def test_one_packet_longer_than_the_bound_is_sent_all_the_same(self):
        town = Town(8000, inf)
        town.send(0, 1, "a", size=1000)
        town.send(0, 1, "b", size=1000)
        self.assertEqual(town.whats(), ["a", "b"])

    def test_datagrams_and_streams_share_it(self):
        town = Town(8000, inf)
        town.stream(0, 1, "a", size=72)
        town.send(0, 1, "b", size=72)
        town.stream(0, 1, "c", size=72)
        town.loop.run(1)
        self.assertEqual(town.got, [(0.15, 1, "a"), (0.25, 1, "b"), (0.35, 1, "c")])

    def test_an_uplink_of_nothing_is_refused(self):
        for uplink in (0, -1, float("nan")):
            self.assertRaises(ValueError, Town, uplink)


class Loss(unittest.TestCase):
    def test_of_a_hop_its_share_is_lost_and_counted(self):
        town = Town(inf, inf, loss=0.05)
        for number in range(20_000):
            town.send(0, 1, number)
        arrived = len(town.whats())
        self.assertApproximates(arrived / 20_000, 0.95, 0.006)
        self.assertEqual(town.dropped(1), {"loss": 20_000 - arrived})

    def test_bursts_lose_their_share_in_a_row(self):
        bursts = Bursts(every=1.0, length=0.25, loss=0.8)
        town = Town(inf, inf, seed=2, bursts=bursts)
        for number in range(50_000):
            town.loop.at(number / 100, town.send, 0, 1, number)
        lost = sorted(set(range(50_000)) - set(town.whats(600)))
        share = len(lost) / 50_000
        self.assertApproximates(share, 0.8 * 0.25 / 1.25, 0.02)
        neighbours = sum(b - a == 1 for a, b in pairwise(lost)) / len(lost)
        self.assertGreater(neighbours, 0.7)  # 0.16, were they independent
        self.assertEqual(town.dropped(1), {"burst": len(lost)})

    def test_a_burst_is_the_receivers_whoever_sends(self):
        town = Town(inf, inf, inf, inf, bursts=Bursts(every=1.0, length=1.0, loss=1.0))
        for number in range(2000):
            for source, destination in ((0, 2), (1, 2), (0, 3)):
                town.loop.at(number / 100, town.send, source, destination, (source, destination, number))
        arrived = set(town.whats())
        same = [((0, 2, n) in arrived) == ((1, 2, n) in arrived) for n in range(2000)]
        other = [((0, 2, n) in arrived) == ((0, 3, n) in arrived) for n in range(2000)]
        self.assertTrue(all(same))
        self.assertFalse(all(other))


class Stream(unittest.TestCase):
    def test_nothing_is_lost_and_all_is_in_order(self):
        town = Town(inf, inf, loss=0.2, jitter=0.02, bursts=Bursts(1, 0.3, 0.9))
        for number in range(3000):
            town.loop.at(number / 100, town.stream, 0, 1, number)
        self.assertEqual(town.whats(), list(range(3000)))

    def test_what_is_lost_comes_a_timeout_later_and_holds_up_what_follows(self):
        town = Town(inf, inf, loss=0.5)
        town.network._random = iter([0.0, 1.0]).__next__  # lost, and not lost
        town.stream(0, 1, "lost")
        town.network.loss = 0.0
        town.stream(0, 1, "behind it")
        town.stream(1, 0, "the other way")
        town.loop.run(1)
        self.assertEqual(town.got, [(0.05, 0, "the other way"), (0.25, 1, "lost"), (0.25, 1, "behind it")])
        self.assertEqual(town.network.counters(0).sent.data, 3)

    def test_order_is_kept_between_control_and_data_but_not_between_pairs(self):
        town = Town(inf, inf, inf, jitter=0.05)
        for number in range(200):
            town.loop.at(number / 100, town.stream, 0, 1 + number % 2, number, 100, number % 4 < 2)
        order = town.whats()
        self.assertNotEqual(order, sorted(order))
        for host in (1, 2):
            mine = [what for _, destination, what in town.got if destination == host]
            self.assertEqual(mine, sorted(mine))

    def test_it_gives_up_no_bytes_however_bad_the_way(self):
        town = Town(inf, inf, loss=1.0)
        town.stream(0, 1, "a")
        self.assertEqual(town.whats(), ["a"])


class Hosts(unittest.TestCase):
    def test_a_dead_host_gets_and_sends_nothing_and_nobody_is_told(self):
        town = Town(inf, inf)
        town.network.crash(1)
        for way in (town.send, town.stream):
            way(0, 1, "to the dead")
            way(1, 0, "from the dead")
        self.assertEqual(town.whats(), [])
        self.assertEqual((town.network.alive(0), town.network.alive(1)), (True, False))
        self.assertEqual((town.dropped(0), town.dropped(1)), ({}, {"dead": 2}))

    def test_a_dead_processs_last_word_is_said_again_where_it_is_lost(self):
        town = Town(inf, inf, loss=0.5)
        town.network._random = iter([1.0, 0.0, 0.0, 1.0]).__next__  # there at once, and after two losses
        town.network.crash(0)
        self.assertEqual(0.05, town.network.last_word(0, 1))
        self.assertAlmostEqual(0.05 + 0.2 + 0.4, town.network.last_word(0, 1))

    def test_what_is_under_way_at_a_crash_is_lost_even_for_the_next_life(self):
        town = Town(inf, inf)
        town.send(0, 1, "for the first life")
        town.loop.run(0.01)
        town.network.crash(1)
        town.send(0, 1, "for nobody")
        town.loop.run(0.02)
        town.network.revive(1)
        town.send(0, 1, "for the second life")
        self.assertEqual(town.whats(), ["for the second life"])
        self.assertEqual(town.dropped(1), {"dead": 2})

    def test_what_had_left_arrives_and_what_waited_is_lost(self):
        town = Town(8000, inf)
        for number in range(3):
            town.send(0, 1, number, size=72)
        town.loop.run(0.12)  # the second is being sent
        town.network.crash(0)
        town.loop.run(0.13)
        town.network.revive(0)
        town.send(0, 1, "alive", size=72)
        town.loop.run(2)
        self.assertEqual(town.got, [(0.15, 1, 0), (0.25, 1, 1), (0.28, 1, "alive")])

    def test_nobody_dies_or_comes_back_twice(self):
        town = Town(inf)
        self.assertRaises(ValueError, town.network.revive, 0)
        town.network.crash(0)
        self.assertRaises(ValueError, town.network.crash, 0)

    def test_a_partition_divides_until_it_heals(self):
        town = Town(*[inf] * 5)
        town.network.partition([[0, 1], [2]])
        for source, destination in ((0, 1), (0, 2), (2, 0), (3, 4), (3, 0)):
            town.send(source, destination, (source, destination))
        self.assertEqual(town.whats(), [(0, 1), (3, 4)])
        self.assertEqual(town.dropped(0), {"partition": 2})
        town.network.heal()
        town.send(0, 2, "healed")
        self.assertEqual(town.whats()[2:], ["healed"])

    def test_a_host_behind_nat_is_not_dialled(self):
        town = Town(inf, inf)
        town.network.add(2, nat=True)
        town.network.add(3, nat=True)
        may = town.network.may_dial
        self.assertEqual(
            [may(0, 1), may(2, 1), may(0, 2), may(2, 3), may(0, 0)], [True, True, False, False, False]
        )

    def test_a_host_is_added_once_and_somewhere(self):
        town = Town(inf)
        self.assertRaises(ValueError, town.network.add, 0)
        self.assertRaises(ValueError, town.network.add, 1, place=1000)


class Counted(unittest.TestCase):
    def test_packets_and_bytes_with_their_headers(self):
        town = Town(inf, inf, 1e6)
        for _ in range(3):
            town.send(0, 1, "c", size=10, control=CONTROL)
        town.stream(0, 1, "d", size=1000)
        town.send(2, 0, "d", size=500)
        town.loop.run(1)
        control, data = 3 * (10 + HEADERS), 1000 + HEADERS
        self.assertEqual(tuple(town.network.counters(0).sent), (3, control, 1, data))
        self.assertEqual(tuple(town.network.counters(1).received), (3, control, 1, data))
        self.assertEqual(tuple(town.network.counters(0).received), (0, 0, 1, 500 + HEADERS))
        totals = town.network.totals()
        self.assertEqual(totals.sent, totals.received)
        self.assertEqual(tuple(totals.sent), (3, control, 2, data + 500 + HEADERS))

    def test_all_that_was_sent_was_received_or_is_counted_as_dropped(self):
        town = Town(*[2e5] * 10, seed=3, loss=0.05, jitter=0.005, bursts=Bursts(2, 0.5, 0.9))
        rng, sent = Random(4), Counter()

        def chatter():
            source, destination = rng.sample(range(10), 2)
            if town.network.alive(source):
                sent["packets"] += 1
                town.send(source, destination, "x", rng.randrange(1200), rng.random() < 0.5)

        for number in range(5000):
            town.loop.at(number / 400, chatter)
        town.loop.at(3, town.network.crash, 9)
        town.loop.at(4, town.network.partition, [[1, 2, 3]])
        town.loop.at(6, town.network.heal)
        town.loop.at(8, town.network.revive, 9)
        waiting = []
        town.loop.at(2.9999, lambda: waiting.append(len(town.network.hosts[9].data)))
        town.loop.run(100)
        totals = town.network.totals()
        self.assertTrue(all(totals.dropped.values()), totals.dropped)
        accounted = totals.received.control + totals.received.data + sum(totals.dropped.values())
        self.assertLessEqual(abs(sent["packets"] - accounted), waiting[0])
