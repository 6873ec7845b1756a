"""Whose processor time: what is the relay's, what is everybody's, what is nobody's here."""

import os
import sys
import time

from twisted.trial.unittest import TestCase

from bench.race import account
from bench.race.account import Books
from bench.race.contestants.vxlan import entry
from multicastmw.cli.lab.process import Identity

DAEMON, SINK, SENDER = Identity(10, 1), Identity(11, 1), Identity(12, 1)


class BooksTests(TestCase):
    before = Books({"a": {SENDER: 5.0}, "b": {DAEMON: 1.0, SINK: 2.0}}, softirqd=7.0, idle=100.0, at=200.0)

    def test_the_relays_time_is_without_the_sinks_and_everybodys_with_it(self) -> None:
        after = Books(
            {"a": {SENDER: 5.5}, "b": {DAEMON: 2.0, SINK: 2.25}}, softirqd=7.5, idle=101.0, at=206.0
        )
        spent = account.between(self.before, after, "b", [SINK.pid])
        self.assertEqual((1.0, 1.75, 0.5), (spent.relay, spent.lab, spent.softirqd))
        self.assertEqual((5.0, 6.0), (spent.busy, spent.span))

    def test_one_that_was_born_meanwhile_is_counted_from_nothing_whatever_number_it_has(self) -> None:
        born = Identity(DAEMON.pid, 2)
        after = Books({"a": {SENDER: 5.0}, "b": {born: 0.75, SINK: 2.0}}, softirqd=7.0, idle=100.0, at=200.0)
        self.assertEqual(0.75, account.between(self.before, after, "b", [SINK.pid]).relay)

    def test_a_process_that_works_is_seen_working(self) -> None:
        before, begin = account.used(os.getpid()), time.process_time()
        while time.process_time() < begin + 0.05:
            pass
        self.assertGreater(account.used(os.getpid()), before + 0.04)

    def test_a_process_that_is_gone_used_nothing(self) -> None:
        self.assertEqual(0.0, account.used(2**22 + 1))

    def test_memory_is_summed_and_shared_pages_count_once_in_proportion(self) -> None:
        once, twice = account.memory([os.getpid()]), account.memory([os.getpid()] * 2)
        self.assertGreater(once["rss_mib"], 5)
        self.assertGreater(twice["rss_mib"], 1.5 * once["rss_mib"])
        self.assertLessEqual(once["pss_mib"], once["rss_mib"] + 0.5)


class VxlanTests(TestCase):
    def test_the_message_to_the_kernel_is_as_long_as_it_says_and_names_group_and_destination(self) -> None:
        message = entry(3, "239.9.9.9", "10.99.2.2")
        self.assertEqual(len(message), int.from_bytes(message[:4], sys.byteorder))
        for address in (b"\xef\x09\x09\x09", b"\x0a\x63\x02\x02"):
            self.assertEqual(1, message.count(address))
