"""The lab's internet with delays and losses (bench/wan): what it does to packets, and that it says so."""

import hashlib
import os
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from bench.wan.film import film_over, static_ini
from bench.wan.internet import Bursts, DelayedInternet
from bench.wan.report import Kill
from multicastmw.cli.lab import Host, Lab, LabError, take_down, wait_until
from multicastmw.cli.lab.process import stat
from multicastmw.cli.lab.registry import NAMESPACES
from tests.netns.kit import (
    PATIENCE,
    TTL,
    NetnsTestCase,
    Receiver,
    Sender,
    await_linked,
    await_wanted,
    inside,
    node_ini,
    why_not,
)

pytestmark = pytest.mark.netns

PORT = 7000
QUIET = 0.5  # seconds in which what is lost would have come
SLOW = 0.1  # seconds that a busy machine may add to the fastest of many packets
HOLD = 100  # packets at a time, so that no queue of the kernel's overflows
NUMBER = struct.Struct("!I")
OWNER = """
import signal, sys
from functools import partial
from bench.wan.internet import DelayedInternet
from multicastmw.cli.lab import Lab
with Lab(sys.argv[1], sys.argv[2], "ab", partial(DelayedInternet, delays=0.01)) as lab:
    print(lab.name, lab.internet.process.pid, flush=True)
    signal.pause()
"""


class WanCase(NetnsTestCase):
    skip = why_not("cc")

    def wan(self, hosts: Iterable[str] = "abc", **told: object) -> Lab:
        return self.make_lab(hosts, partial(DelayedInternet, **told))

    def opened(self, host: Host, port: int = 0, family: socket.AddressFamily = socket.AF_INET,
               kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:  # fmt: skip
        with inside(host):
            sock = socket.socket(family, kind)
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        if kind is socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        sock.bind(("", port))
        return sock

    def pair(
        self, lab: Lab, one: str = "a", other: str = "b", family: socket.AddressFamily = socket.AF_INET
    ) -> tuple[socket.socket, socket.socket]:
        """A socket on one host that sends to another's, and the other's."""
        a, b = lab.host(one), lab.host(other)
        receiver = self.opened(b, PORT, family)
        sender = self.opened(a, 0, family)
        sender.connect((b.address if family is socket.AF_INET else b.address6, PORT))
        return sender, receiver

    def reaches(self, sender: socket.socket, receiver: socket.socket, within: float = PATIENCE) -> bool:
        sender.send(b"here")
        receiver.settimeout(within)
        try:
            return receiver.recv(9) == b"here"
        except TimeoutError:
            return False

    def send_numbers(self, lab: Lab, sender: socket.socket, count: int) -> None:
        """Numbered datagrams from a to b, all of which get as far as the forwarder."""
        before = lab.internet.counts()["a", "b"].sent
        for number in range(count):
            sender.send(NUMBER.pack(number))
            if number % HOLD == HOLD - 1:
                wait_until(lambda n=number: lab.internet.counts()["a", "b"].sent == before + n + 1, PATIENCE,
                           f"number {number}")  # fmt: skip

    def at_rest(self, lab: Lab) -> None:
        wait_until(lambda: not lab.internet.totals()["in_flight"], PATIENCE, "nothing in flight")

    def numbers(self, receiver: socket.socket) -> list[int]:
        """What has arrived."""
        receiver.setblocking(False)
        found = []
        while True:
            try:
                found.append(NUMBER.unpack(receiver.recv(99))[0])
            except BlockingIOError:
                return found


class DelayTests(WanCase):
    def round_trips(self, lab: Lab, one: str, other: str, family: socket.AddressFamily) -> list[float]:
        sender, receiver = self.pair(lab, one, other, family)
        found = []
        for _ in range(15):
            began = time.monotonic()
            sender.send(b"ping")
            _, where = receiver.recvfrom(9)
            receiver.sendto(b"pong", where)
            sender.recv(9)
            found.append(time.monotonic() - began)
        receiver.close()
        return found

    def test_round_trips_are_the_matrixs(self) -> None:
        delays = {("a", "b"): 0.02, ("a", "c"): 0.06, ("b", "c"): 0.0}
        lab = self.wan(delays=delays)
        for family in (socket.AF_INET, socket.AF_INET6):
            for (one, other), delay in delays.items():
                found = self.round_trips(lab, one, other, family)
                self.measured(f"ms that {one}-{other} takes longer than it should, median",
                              f"{(statistics.median(found) - 2 * delay) * 1e3:.2f}")  # fmt: skip
                self.assertGreaterEqual(min(found), 2 * delay)
                self.assertLess(min(found), 2 * delay + SLOW)

    def test_a_way_may_be_longer_than_the_way_back_and_change(self) -> None:
        lab = self.wan("ab")
        lab.internet.path("a", "b", both=False, delay=0.15)
        self.assertGreaterEqual(min(self.round_trips(lab, "a", "b", socket.AF_INET)), 0.15)
        lab.internet.path("a", "b", delay=0.0)
        self.assertLess(min(self.round_trips(lab, "a", "b", socket.AF_INET)), 0.15)

    def test_jitter_keeps_the_order_unless_it_shall_not(self) -> None:
        lab = self.wan("ab", delays=0.1, jitter=0.1)
        sender, receiver = self.pair(lab)
        for reorder in (0, 1):
            lab.internet.path("a", "b", reorder=reorder)
            self.send_numbers(lab, sender, HOLD)
            self.at_rest(lab)
            found = self.numbers(receiver)
            self.assertEqual(list(range(HOLD)), sorted(found))
            self.assertEqual(bool(reorder), found != sorted(found))


class LossTests(WanCase):
    COUNT = 2000

    def survivors(self, seed: int, **told: object) -> list[int]:
        lab = self.wan("ab", seed=seed, **told)
        sender, receiver = self.pair(lab)
        self.send_numbers(lab, sender, self.COUNT)
        self.at_rest(lab)
        counts = lab.internet.counts()["a", "b"]
        self.assertEqual((self.COUNT, 0, 0, 0), (counts.sent, counts.cut, counts.queue, counts.refused))
        self.assertEqual(self.COUNT, counts.delivered + counts.lost)
        found = self.numbers(receiver)
        self.assertEqual(counts.delivered, len(found))
        return found

    def test_a_tenth_is_lost_and_a_seed_loses_the_same_again(self) -> None:
        found = self.survivors(1, loss={("a", "b"): 0.1})
        # 1,800 are expected, with a standard deviation of 13.4.
        self.assertTrue(1733 < len(found) < 1867, len(found))
        self.assertEqual(found, self.survivors(1, loss=0.1))
        self.assertNotEqual(found, self.survivors(2, loss=0.1))

    def test_losses_in_bursts_are_as_many_and_longer(self) -> None:
        found = self.survivors(1, bursts=Bursts.of(0.1, 8))
        self.assertTrue(0.05 < 1 - len(found) / self.COUNT < 0.16, len(found))
        gaps = [b - a - 1 for a, b in zip([-1, *found], [*found, self.COUNT], strict=True) if b - a > 1]
        self.assertTrue(4 < statistics.mean(gaps) < 16, gaps)

    def test_losses_of_udp_spare_tcp(self) -> None:
        lab = self.wan("ab")
        lab.internet.lose("a", "b", 1000)
        sender, receiver = self.pair(lab)
        self.assertFalse(self.reaches(sender, receiver, QUIET))
        server = self.opened(lab.host("b"), PORT, kind=socket.SOCK_STREAM)
        server.listen()
        self.opened(lab.host("a"), kind=socket.SOCK_STREAM).connect((lab.host("b").address, PORT))
        lab.internet.heal("a", "b")
        self.assertTrue(self.reaches(sender, receiver))


class CutTests(WanCase):
    def test_a_cut_link_passes_nothing_and_a_mended_one_does(self) -> None:
        lab = self.wan()
        sender, receiver = self.pair(lab)
        elsewhere = self.pair(lab, "a", "c")
        for cut, mend in (
            (lambda: lab.internet.cut("a", "b"), lambda: lab.internet.mend("a", "b")),
            (lambda: lab.internet.block_udp("a", "b"), lab.internet.heal),
            (lambda: lab.internet.partition("ac", "b"), lab.internet.unite),
        ):
            cut()
            before = lab.internet.counts()["a", "b"].cut
            self.assertFalse(self.reaches(sender, receiver, QUIET))
            self.assertEqual(before + 1, lab.internet.counts()["a", "b"].cut)
            self.assertTrue(self.reaches(*elsewhere))
            mend()
            self.assertTrue(self.reaches(sender, receiver))

    def test_what_is_on_the_way_when_the_link_is_cut_is_lost(self) -> None:
        lab = self.wan("ab", delays=1.0)
        sender, _ = self.pair(lab)
        sender.send(b"here")
        wait_until(lambda: lab.internet.totals()["in_flight"], PATIENCE, "it on the way")
        lab.internet.cut("a", "b")
        self.at_rest(lab)
        counts = lab.internet.counts()["a", "b"]
        self.assertEqual((1, 1, 0), (counts.sent, counts.cut, counts.delivered))

    def test_a_cable_that_was_pulled_works_when_it_is_back(self) -> None:
        lab = self.wan("ab")
        sender, receiver = self.pair(lab)
        host = lab.host("b")
        for leave, back in ((host.unplug, host.plug), (host.link_down, host.link_up)):
            leave()
            self.assertFalse(self.reaches(sender, receiver, QUIET))
            back()
            self.assertTrue(self.reaches(sender, receiver))


class UplinkTests(WanCase):
    def test_a_rate_bounds_what_a_host_sends_to_all_others_together(self) -> None:
        lab = self.wan()
        lab.internet.uplink("a", 1_000_000, queue=1e6)
        pairs = [self.pair(lab, "a", other) for other in "bc"]
        began = time.monotonic()
        for _ in range(25):
            for sender, _ in pairs:
                sender.send(bytes(1250 - 28))
        self.at_rest(lab)
        self.assertGreater(time.monotonic() - began, 0.45)  # 50 packets, 10 ms each
        counts = lab.internet.counts()
        self.assertEqual((25, 25), (counts["a", "b"].delivered, counts["a", "c"].delivered))
        self.assertEqual(25 * 1250, counts["a", "b"].bytes)

    def test_a_queue_that_is_full_drops_and_counts(self) -> None:
        lab = self.wan("ab", rates={"a": 80_000.0})
        sender, _ = self.pair(lab)
        for number in range(HOLD):
            sender.send(NUMBER.pack(number) + bytes(968))
        wait_until(lambda: lab.internet.counts()["a", "b"].sent == HOLD, PATIENCE, "all of them")
        counts = lab.internet.counts()["a", "b"]
        # 15 of 1,000 bytes wait; a tenth of a second goes by for each one more.
        self.assertTrue(50 < counts.queue <= HOLD - 15, counts)
        lab.internet.uplink("a", 0)
        self.at_rest(lab)
        counts = lab.internet.counts()["a", "b"]
        self.assertEqual(HOLD, counts.delivered + counts.queue)


class StreamTests(WanCase):
    def test_tcp_brings_everything_over_a_lossy_way(self) -> None:
        lab = self.wan("ab", delays=0.005, loss=0.01, rates=50e6)
        server = self.opened(lab.host("b"), PORT, kind=socket.SOCK_STREAM)
        server.listen()
        data = os.urandom(2_000_000)

        def send() -> None:
            with self.opened(lab.host("a"), kind=socket.SOCK_STREAM) as sender:
                sender.connect((lab.host("b").address, PORT))
                sender.sendall(data)

        thread = threading.Thread(target=send)
        thread.start()
        self.addCleanup(thread.join)
        connection, _ = server.accept()
        self.addCleanup(connection.close)
        connection.settimeout(PATIENCE)
        found = hashlib.sha256()
        while some := connection.recv(65536):
            found.update(some)
        self.assertEqual(hashlib.sha256(data).digest(), found.digest())
        self.assertGreater(lab.internet.counts()["a", "b"].lost, 0)

    def test_nodes_work_over_it(self) -> None:
        lab = self.wan("ab", delays=0.02)
        a, b = lab.hosts
        a.start_node(node_ini(a, [b]), ready=None)
        b.start_node(node_ini(b), ready=None)
        await_linked(a, "b")
        receiver = Receiver(b, "239.1.1.1")
        await_wanted(a, {"b"}, "239.1.1.1")
        Sender(a, "239.1.1.1", count=200).finish()
        self.assert_perfect(receiver.await_last("239.1.1.1", "10.88.0.1", 199), 200, TTL - 1)
        self.assertGreaterEqual(receiver.stop()["streams"]["239.1.1.1 10.88.0.1"]["delays"][0], 0.02)


class ProcessTests(WanCase):
    def test_twenty_hosts_come_up_and_reach_each_other(self) -> None:
        names = [f"n{number:02}" for number in range(1, 21)]
        lab = self.wan(names, delays=0.001)
        for one, other in zip(names, names[1:] + names[:1], strict=True):
            for family in (socket.AF_INET, socket.AF_INET6):
                sender, receiver = self.pair(lab, one, other, family)
                self.assertTrue(self.reaches(sender, receiver))
                receiver.close()

    def test_a_bad_request_is_an_error_and_changes_nothing(self) -> None:
        lab = self.wan("ab")
        for told in ({"loss": 1.5}, {"delay": -1}, {"delay": float("nan")}, {"cut": 1, "jitter": 1e9}):
            error = self.assertRaises(LabError, lab.internet.path, "a", "b", **told)
            self.assertIn(f"{next(reversed(told))} is not", str(error))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(PATIENCE)
            line.connect(str(lab.run_dir / "forwarder.sock"))
            for request in (b"", b"nonsense", b'{"do": "path", "from": 1, "to": 3}', b'{"do": "pat"}'):
                line.sendall(request + b"\n")
                self.assertIn(b"error", line.recv(999))
            line.sendall(b"x" * 5000)
            self.assertTrue(self.hung_up(line))
        self.assertTrue(self.reaches(*self.pair(lab)))

    def hung_up(self, line: socket.socket) -> bool:
        try:
            return not line.recv(999)
        except ConnectionResetError:
            return True

    def test_a_forwarder_that_died_is_named(self) -> None:
        lab = self.wan("ab")
        lab.internet.process.kill()
        self.assertIn("the forwarder ended", str(self.assertRaises(LabError, lab.internet.totals)))

    def test_a_killed_owners_forwarder_goes_with_its_lab(self) -> None:
        prefix = f"mcmw-wantest{os.environ.get('PYTEST_XDIST_WORKER', '')}"
        self.addCleanup(take_down, prefix)
        folder = self.mktemp()
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, prefix, folder], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, start_new_session=True,
        )  # fmt: skip
        self.addCleanup(owner.stdout.close)
        self.addCleanup(owner.wait)
        self.addCleanup(owner.kill)
        name, pid = owner.stdout.readline().split()
        owner.kill()
        owner.wait()
        self.assertIsNotNone(stat(int(pid)))
        self.assertEqual([name], take_down(prefix))
        self.assertIsNone(stat(int(pid)))
        self.assertEqual([], list(NAMESPACES.glob(f"{name}-*")))


@pytest.mark.long
class FilmTests(WanCase):
    def test_a_film_over_a_tree_says_what_a_kill_cost_whom(self) -> None:
        names = ["a", "b", "c", "d"]
        lab = self.wan(names, delays=0.01)
        dials = {"a": [], "b": ["a"], "c": ["a"], "d": ["b"]}
        heard: list[float] = []
        events = [(1.0, lambda: heard.append(time.monotonic()))]
        film = film_over(lab, static_ini(dials), "a", [Kill(2.0, "b", back=1.0)], 12.0, events=events)
        self.assertEqual(1, len(heard))
        self.assertGreater(film.sent, 143 * 6)  # a source that was held up does not catch up
        b, c, d = (film.seen[name] for name in "bcd")
        self.assertEqual((0, 0, 0), (c.lost, c.duplicates, c.killed))
        self.assertGreaterEqual(c.delay_ms[0], 10)
        self.assertGreaterEqual(d.delay_ms[0], 20)
        (after,) = film.kills
        self.assertIn("d", after.cut_off)
        self.assertNotIn("b", after.gap_ms)
        self.assertTrue(b.killed == 1 and b.lost and d.lost)
        self.assertGreaterEqual(after.gap_ms["d"], 1000)  # b is its only way
        self.assertIsNotNone(after.returned_ms)
