"""What DNS says of seeds, as the node takes it; a real server is asked in tests/netns/test_seeds.py."""

from collections.abc import Iterable
from random import Random

from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.services.seeds import TARGETS_MAX, NoTargets, Target, _ordered, service

NAME = "example.net"


def records(entries: Iterable[tuple[int, int, str]]) -> list[dns.RRHeader]:
    found = [dns.Record_SRV(priority, 0, port, host) for priority, port, host in entries]
    return [dns.RRHeader(service(NAME), dns.SRV, dns.IN, 5, each) for each in found]


def ordered(entries: Iterable[tuple[int, int, str]], seed: int = 1) -> list[Target]:
    return _ordered(NAME, records(entries), Random(seed))


class Places(SynchronousTestCase):
    def test_an_address_of_ipv6_stands_in_brackets(self) -> None:
        self.assertEqual("[fd99:1::2]:4600", str(Target("fd99:1::2", 4600)))
        self.assertEqual("a:4600", str(Target("a", 4600)))


class Targets(SynchronousTestCase):
    def test_the_lowest_priority_comes_first(self) -> None:
        found = ordered([(20, 4600, "c"), (5, 4700, "a"), (10, 4600, "b")])
        self.assertEqual([Target("a", 4700), Target("b", 4600), Target("c", 4600)], found)

    def test_those_of_one_priority_take_turns(self) -> None:
        first = {ordered([(10, 1, "a"), (10, 1, "b"), (10, 1, "c")], seed)[0].host for seed in range(20)}
        self.assertEqual({"a", "b", "c"}, first)

    def test_of_very_many_the_first_are_taken(self) -> None:
        self.assertEqual(TARGETS_MAX, len(ordered((1, 4600, f"h{each}") for each in range(40))))

    def test_what_cannot_be_dialled_is_none(self) -> None:
        for entries in (
            [(0, 0, "")],
            [(0, 4600, "")],
            [(0, 0, "a")],
            [(0, 4600, "a b")],
            [(0, 1, "\x1b")],
        ):
            error = self.assertRaises(NoTargets, ordered, entries)
            self.assertEqual(f"DNS names no host for {service(NAME)}", str(error))

    def test_records_of_another_type_are_none(self) -> None:
        self.assertRaises(NoTargets, ordered, [])
        alias = dns.RRHeader(service(NAME), dns.CNAME, dns.IN, 5, dns.Record_CNAME("a"))
        self.assertRaises(NoTargets, _ordered, NAME, [alias], Random(1))
        self.assertEqual([Target("a", 1)], _ordered(NAME, [alias, *records([(1, 1, "a")])], Random(1)))
