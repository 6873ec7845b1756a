"""Streams of the mesh in the kernel: relays forward there, and whatever happens nothing is lost or twice."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from bench.wan.internet import DelayedInternet
from multicastmw.cli.lab import Host, wait_until
from tests.net.bpf.bed import why_no_bed
from tests.netns.kit import (
    PATIENCE,
    NetnsTestCase,
    Receiver,
    Sender,
    mcmw,
    node_ini,
    peer_of,
    why_not,
)
from tests.netns.test_mesh import GROUP, groups_of, overlay, parent_of
from tests.netns.test_mirror import await_fast, await_reason

S = "10.88.0.1"
BEGINS = "it enters the mesh here, which marks and keeps what is sent"
TRIES = 3
FEW = 0.1  # of a relay's packets: beacons, and what comes while a gate is shut


def stream_of(host: Host) -> dict[str, Any]:
    streams = host.status()["mesh"]["streams"]
    (found,) = (each for each in streams if each["group"] == GROUP and not each["shared"])
    return found


def seen_by_us(host: Host) -> int:
    """Datagrams that the host's kernel has left to its node."""
    counters: dict[str, int] = host.status()["fastpath"]["counters"]
    return sum(count for name, count in counters.items() if name.startswith("user_"))


class Case(NetnsTestCase):
    skip = why_not() or why_no_bed()
    rate = 300

    def mesh(self, names: str, recovery: float = 1.0, internet: Any = None, **options: object) -> list[Host]:
        """The first one is the seed of all, and sends."""
        lab = self.make_lab(names, internet) if internet else self.make_lab(names)
        hosts = [lab.host(name) for name in names]
        for host in hosts:
            seed = None if host is hosts[0] else hosts[0]
            role = {"role": "relay"} if seed is None else {}
            sections = overlay(seed, **role, **options)
            sections |= {"fastpath": {"mode": "require"}, "recovery": {"deadline": recovery}}
            host.start_node(node_ini(host, (), sections))
        self.receivers = {host.name: Receiver(host, GROUP) for host in hosts[1:]}
        for host in hosts[1:]:
            host.await_status(lambda status: GROUP in groups_of(status), PATIENCE, "demand")
        self.sender = Sender(hosts[0], GROUP, rate=self.rate)
        for host in hosts[1:]:
            await_fast(host, GROUP)
        return hosts

    def chain(self, names: str, recovery: float = 1.0) -> list[Host]:
        """Each feeds the next one; in this order they are given."""
        return self.order(self.mesh(names, recovery, **{"max-children": 1}))

    def order(self, hosts: list[Host]) -> list[Host]:
        """Of a chain that begins with the first of them, once all of it goes by the kernels."""
        by_name = {host.name: host for host in hosts}

        def found() -> list[Host] | None:
            parents = {host.name: parent_of(host.status()) for host in hosts[1:]}
            order = [hosts[0]]
            while children := [name for name, parent in parents.items() if parent == order[-1].name]:
                order.append(by_name[children[0]])
            return order if len(order) == len(hosts) else None

        order = wait_until(found, PATIENCE, "a chain")
        for host in order[1:]:
            await_fast(host, GROUP)
        return order

    def goes_on(self, packets: int) -> None:
        self.sender.await_sent(self.sender.state["sent"] + packets)

    def ends_whole(self, besides: str = "", in_order: bool = False) -> Mapping[str, dict[str, Any]]:
        """All that was sent came everywhere, and once."""
        sent = self.sender.stop()["sent"]
        reports = {}
        for name, receiver in self.receivers.items():
            if name in besides:
                continue
            receiver.await_state(
                lambda _, receiver=receiver: receiver.report(GROUP, S)["received"] >= sent,
                f"{sent} packets at {name}",
            )
            reports[name] = report = receiver.report(GROUP, S)
            wrong = {what: report[what] for what in ("missing", "duplicates", "damaged") if report[what]}
            if in_order:
                wrong |= {"disordered": report["disordered"]} if report["disordered"] else {}
            self.assertEqual(({}, sent), (wrong, report["received"]), name)
        return reports


class Relays(Case):
    has_moved = False  # the chain, while it was looked at

    def test_a_relay_forwards_in_the_kernel_and_its_mesh_knows_all_the_same(self) -> None:
        self.relays(recovery=1.0)

    def test_where_nothing_is_kept_it_is_the_same(self) -> None:
        self.relays(recovery=0)

    def relays(self, recovery: float) -> None:
        hosts = self.chain("abc", recovery)
        a, relay, _ = wait_until(lambda: self.stands(hosts), PATIENCE, "a chain that stands for 5 s")
        await_reason(a, BEGINS, GROUP)
        relay.await_status(
            lambda _: abs(stream_of(relay)["packet_rate"] - self.rate) < self.rate / 4, PATIENCE, "the rate"
        )
        least = self.sender.state["sent"] - self.rate / 2
        stream = stream_of(relay)
        self.assertTrue(least < stream["highest"] < self.sender.state["sent"] + self.rate / 2)
        self.assertEqual([a.name, relay.name], stream["path"])
        if recovery:
            self.assertGreater(stream["kept"], self.rate)
        if recovery or not self.has_moved:
            self.ends_whole(in_order=True)

    def stands(self, hosts: list[Host]) -> list[Host] | None:
        """The chain, if it was the same one for 5 s (on a machine that is held up it moves), in which what
        the relay sent was nearly all the kernel's."""
        _, relay, leaf = order = self.order(hosts)
        trouble = [self.trouble(host) for host in (relay, leaf)]
        before, seen = relay.status(), seen_by_us(relay)
        sent = self.sender.state["sent"]
        self.goes_on(5 * self.rate)
        came = self.sender.state["sent"] - sent
        seen, after = seen_by_us(relay) - seen, relay.status()
        if trouble != [self.trouble(host) for host in (relay, leaf)]:
            self.has_moved = True
            return None
        first, last = (peer_of(status, leaf.name)["counters"]["sent"] for status in (before, after))
        self.assertGreater(last - first, 0.9 * came)
        self.assertLess(seen, FEW * (last - first))
        self.assertGreater(after["fastpath"]["counters"]["copied"], 3)  # beacons
        return order

    def test_switched_off_and_on_a_relay_loses_and_doubles_nothing(self) -> None:
        hosts = self.chain("abc")
        for place in (1, 2, 1):
            tries = next((n for n in range(1, TRIES + 1) if self.goes_unnoticed(hosts, place)), None)
            self.assertIsNotNone(tries, f"each of {TRIES} switches cut the leaf off")
            self.measured(f"switches of the one in place {place} until the leaf saw no gap", str(tries))
        self.ends_whole(in_order=True)

    def goes_unnoticed(self, hosts: list[Host], place: int) -> bool:
        """Whether the leaf saw no gap while the one in this place of the chain was switched off and on; where
        a machine is held up it sees one that is not of that."""
        *_, leaf = order = self.order(hosts)
        host, trouble = order[place], self.trouble(leaf)
        self.assertEqual(0, mcmw(host, "fastpath", "off")[0])
        await_reason(host, "the fast path is off", GROUP)
        self.goes_on(100)
        self.assertEqual(0, mcmw(host, "fastpath", "on")[0])
        await_fast(host, GROUP)
        self.goes_on(100)
        return self.trouble(leaf) == trouble

    def trouble(self, host: Host) -> list[int]:
        """What was missing, and how often the stream went another way."""
        counters = stream_of(host)["counters"]
        return [counters[name] for name in ("missed", "orphaned", "switched")]


class Repair(Case):
    def test_a_relay_that_is_killed_while_its_kernel_forwards_costs_nobody_a_packet(self) -> None:
        a, first, second, last = self.chain("abcd")
        self.goes_on(self.rate)
        first.kill_node()
        killed = time.monotonic()

        def found() -> tuple[Host, Host] | None:
            for relay, leaf in ((second, last), (last, second)):
                if (parent_of(relay.status()), parent_of(leaf.status())) == (a.name, relay.name):
                    return relay, leaf
            return None

        relay, leaf = wait_until(found, PATIENCE, "a chain of those that live")
        for host in (second, last):
            await_fast(host, GROUP)
        self.goes_on(2 * self.rate)
        self.assertGreater(peer_of(relay.status(), leaf.name)["counters"]["sent"], self.rate)
        reports = self.ends_whole(besides=first.name)
        gaps = [gap for report in reports.values() for at, gap in report["gaps"] if at > killed]
        self.measured("ms of silence after the kill", f"{1000 * max(gaps, default=0.0):.0f}")

    def test_a_link_that_loses_packets_is_mended_and_the_stream_stays_the_kernels(self) -> None:
        a, relay, leaf = self.chain("abc")
        a.lab.internet.lose(relay.name, leaf.name, 20)
        before, sent = seen_by_us(leaf), self.sender.state["sent"]
        self.goes_on(8 * self.rate)
        share = (seen_by_us(leaf) - before) / (self.sender.state["sent"] - sent)
        self.measured("share that came to the node's own process, 2 % lost", f"{share:.2f}")
        counters = stream_of(leaf)["counters"]
        self.assertGreater(counters["recovered"], 10)
        a.lab.internet.heal()
        await_fast(leaf, GROUP)
        self.ends_whole()
        resent = stream_of(relay)["counters"]["resent"]
        self.assertGreaterEqual(resent, counters["recovered"] // 2)  # out of the kernel's memory

    def test_a_better_parent_is_taken_while_the_old_one_feeds(self) -> None:
        ways = partial(DelayedInternet, delays=0.005)
        a, b, c = self.mesh("abc", internet=ways)
        for host in (b, c):
            host.await_status(lambda status: parent_of(status) == "a", PATIENCE, "a as the parent")
        self.goes_on(2 * self.rate)
        a.lab.internet.path("a", "c", delay=0.06)
        c.await_status(lambda status: parent_of(status) == "b", PATIENCE, "b as the parent")
        for host in (b, c):
            await_fast(host, GROUP)
        self.goes_on(self.rate)
        self.assertGreater(peer_of(b.status(), "c")["counters"]["sent"], 0.8 * self.rate)
        self.ends_whole()
        counters = stream_of(c)["counters"]
        self.assertGreaterEqual(counters["switched"], 1)
