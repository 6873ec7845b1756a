"""Strangers who mean it: each attack on b's ports ends at a bound, and the stream through b loses nothing.

test_garbage.py has those that lie; here are those that come in numbers.
"""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest

from multicastmw.cli.lab import Host
from multicastmw.core.branch import CHANNELS_MAX
from multicastmw.core.link import PROBES_MAX
from multicastmw.core.room import UNOPENED_MAX
from multicastmw.wire.cops import CLIENT_TYPE, HEADER_TWIN, Op
from multicastmw.wire.messages import AddRoute, Group, KeepAlive, Node, Open, encode, encode_routes
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    PORT,
    TTL,
    Figure4,
    NetnsTestCase,
    Program,
    Receiver,
    Sender,
    cpu_seconds,
    inside,
    node_log,
    peer_of,
    route_of,
    rss,
)

GROUP = "239.1.1.1"
S = "10.88.0.1"
RATE = 500
GROWTH = 16 << 20  # bytes that a node may grow by under an attack
IP_ADD_SOURCE_MEMBERSHIP = 39
ALL = 3  # ETH_P_ALL: what is taken there is seen before a program at the device's hook takes it
LINES = 200  # that a node may print because of it
SOURCES = [f"10.98.0.{n}" for n in range(1, 9)]
ONE_OF_MANY = "11.5.5.5"  # a global address, in these namespaces alone
CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(32)


class Attacker(Program):
    """attacker.py on a host."""

    kind = ""  # for who has several

    def __init__(self, host: Host, victim: Host, how: str, **told: Any) -> None:
        if "pieces" in told:
            file = host.lab.state_dir / f"{host.name}-pieces.json"
            file.write_text(json.dumps(told.pop("pieces")))
            told["file"] = str(file)
        super().__init__(host, "attacker.py", {"to": [victim.address, PORT], "how": how, **told})

    def finish(self, timeout: float = 90) -> dict[str, Any]:
        """What has become of it."""
        self.await_state(lambda state: state["done"], "its end", timeout)
        return self.state


@pytest.mark.alone
class StrangerTestCase(NetnsTestCase):
    """b is attacked from a fifth host with nine addresses while 500 packets a second go through it."""

    growth = GROWTH
    lines = LINES

    def setUp(self) -> None:
        self.tree = Figure4(self, others="e")
        self.b, self.e = self.tree.b, self.tree.lab.host("e")
        self.e.ip(*(f"address add {address}/32 dev lo" for address in SOURCES))
        self.tree.lab.internet.ip(f"route add 10.98.0.0/24 via {self.e.address}")
        self.receivers = {h.name: Receiver(h, GROUP) for h in (self.b, self.tree.c, self.tree.d)}
        self.tree.await_demand(GROUP, "cd")
        self.sender = Sender(self.tree.a, GROUP, rate=RATE)
        self.receivers["d"].await_last(GROUP, S, RATE)
        self.pids = {host.name: host.status()["node"]["pid"] for host in self.tree.hosts}
        self.before = {name: rss(pid) for name, pid in self.pids.items()}
        self.used, self.since = cpu_seconds(self.pids["b"]), time.monotonic()

    def attack(self, how: str, **told: Any) -> Attacker:
        return Attacker(self.e, self.b, how, **told)

    def unharmed(self) -> None:
        """All nodes live, none has grown or talks much, and the stream lost nothing."""
        load = 100 * (cpu_seconds(self.pids["b"]) - self.used) / (time.monotonic() - self.since)
        for host in self.tree.hosts:
            self.assertEqual(self.pids[host.name], host.status()["node"]["pid"])
            peers = {peer["name"]: peer for peer in host.status()["peers"]}
            for name in "acd" if host is self.b else "b":
                self.assertEqual(0, peers[name]["falls"], f"{host.name} {name}")
        sent = self.sender.stop()["sent"]
        gaps = {}
        for name, receiver in self.receivers.items():
            report = receiver.await_last(GROUP, S, sent - 1)
            self.assert_perfect(report, sent, TTL - 1 if name == "b" else TTL - 2)
            gaps[name] = round(report["gap"] * 1e3, 1)
        grown = {name: (rss(pid) - self.before[name]) >> 10 for name, pid in self.pids.items()}
        self.measured("packets, none lost; longest gap (ms); KiB grown; b's % of a core",
                      (sent, gaps, grown, round(load, 1)))  # fmt: skip
        for name, kib in grown.items():
            self.assertLess(kib << 10, self.growth, name)
        for host in self.tree.hosts:
            self.assertLess(node_log(host).count("\n"), self.lines, host.name)

    def counters(self) -> dict[str, int]:
        return dict(self.b.status()["counters"])


class CallerTests(StrangerTestCase):
    """Who connects and says little."""

    def test_thousands_of_connections_are_turned_away_and_nobody_notices(self) -> None:
        self.connect(3_000)

    @pytest.mark.slow
    def test_ten_thousand_connections_are_turned_away_and_nobody_notices(self) -> None:
        self.connect(10_000)

    def connect(self, count: int) -> None:
        """Most hear at once that there is no room, and each of them is counted."""
        state = self.attack("connect", count=count, sources=SOURCES, seconds=90).finish(120)
        told = state["codes"].get("4/4", 0)
        turned_away = self.counters()["turned_away"]
        self.measured("opened, failed, forgotten, told to go, turned away, seconds",
                      (state["opened"], state["failed"], state["forgotten"], told, turned_away,
                       round(state["ended"] - state["began"], 1)))  # fmt: skip
        self.assertGreaterEqual(state["opened"] - state["forgotten"], count)
        self.assertGreater(told, count // 2)
        self.assertGreaterEqual(turned_away, told)
        self.unharmed()

    def test_who_resets_at_once_costs_no_more(self) -> None:
        state = self.attack("connect", count=2_000, sources=SOURCES, then="reset").finish()
        self.assertGreater(state["opened"], 1_800)
        self.unharmed()

    def test_opens_that_dribble_in_are_over_after_five_seconds(self) -> None:
        says = encode(Open("x" * 200, 0x1234_0000, 10))
        began = time.monotonic()
        attacker = self.attack("connect", count=100, sources=SOURCES, says=says.hex(), dribble=1, seconds=15)
        state = attacker.finish()
        self.assertEqual(100, state["closed"])
        self.assertEqual({"4/4", "9/0"}, set(state["codes"]))
        self.assertLessEqual(state["codes"]["9/0"], UNOPENED_MAX)
        self.measured("slow Opens: codes, seconds", (state["codes"], round(time.monotonic() - began, 1)))
        self.unharmed()

    def test_a_handshake_that_stops_is_no_open(self) -> None:
        """b has no TLS: the first byte says what it is, and that ends it."""
        attacker = self.attack("connect", count=200, sources=SOURCES, says=CLIENT_HELLO.hex(), seconds=15)
        state = attacker.finish()
        self.assertEqual({"3/0", "4/4"} | set(state["codes"]), {"3/0", "4/4"})
        self.unharmed()


class LinkTests(StrangerTestCase):
    """Who says an Open, and then too much."""

    growth = 80 << 20  # 1,000 links of 48 KiB

    def test_node_ids_that_are_invented_are_links_as_others_are(self) -> None:
        attacker = self.attack("links", count=200, then="hold", seconds=2)
        self.b.await_status(lambda s: len(s["peers"]) == 203, PATIENCE, "all of them")
        state = attacker.finish()
        self.assertEqual((200, 0), (state["opened"], self.counters()["links_refused"]))
        self.unharmed()

    @pytest.mark.slow
    def test_node_ids_that_are_invented_end_at_the_bound(self) -> None:
        """The three peers and 1,021 strangers."""
        attacker = self.attack("links", count=1_100, then="hold", seconds=20)
        self.lines = 2 * LINES  # some dozens of the links last, and each of these is told of
        attacker.await_state(lambda state: state["opened"] == 1_100, "all dialled", 150)
        status = self.b.await_status(
            lambda s: s["counters"]["links_refused"] >= 1_100 - 1_021,
            PATIENCE,
            "those above the bound refused",
        )
        self.assertEqual(1_024, len(status["peers"]))
        state = attacker.finish()
        each = (rss(self.pids["b"]) - self.before["b"]) / 1021
        self.measured("links, and what they cost b (KiB each)", (len(status["peers"]), round(each / 1024, 1)))
        self.assertEqual(1_100, state["opened"])
        self.unharmed()

    @pytest.mark.slow
    def test_one_network_does_not_keep_others_out(self) -> None:
        """With all links taken by names of one host, who comes from elsewhere finds room, one for one."""
        self.e.ip(f"address add {ONE_OF_MANY}/32 dev lo")
        self.tree.lab.internet.ip(f"route add {ONE_OF_MANY}/32 via {self.e.address}")
        self.lines = 2 * LINES
        crowd = self.attack("links", count=1_030, source=ONE_OF_MANY, then="hold", seconds=60)
        self.b.await_status(
            lambda s: s["counters"]["links_refused"] >= 9 and len(s["peers"]) == 1_024, 150, "all links taken"
        )
        later = self.attack("links", count=4, first=5_000, source=SOURCES[0], then="hold", seconds=20)
        names = {f"invented-{number}" for number in range(5_000, 5_004)}
        status = self.b.await_status(
            lambda s: names <= {peer["name"] for peer in s["peers"]}, PATIENCE, "the four from elsewhere"
        )
        self.assertEqual(1_024, len(status["peers"]))
        self.assertEqual(0, later.finish()["failed"])
        crowd.finish()
        self.unharmed()

    def test_a_peer_that_dials_in_again_and_again(self) -> None:
        state = self.attack("links", count=1_000, same=True, then="hold").finish()
        took = state["ended"] - state["began"]
        self.measured("the same node, links a second", round(state["opened"] / took))
        self.b.await_status(lambda s: s["counters"]["opened"] >= 950, PATIENCE, "replaced")
        self.unharmed()

    def test_more_channels_than_a_peer_may_have_are_an_error(self) -> None:
        channels = [Group(0xE5000000 + n, 0) for n in range(CHANNELS_MAX + 1)]
        pieces = [m.hex() for m in encode_routes(AddRoute, list(channels))]
        state = self.attack("pour", pieces=pieces, seconds=5).finish()
        self.assertEqual({"4/4": 1}, state["codes"])
        self.unharmed()

    def test_more_nodes_than_a_peer_may_have_are_an_error(self) -> None:
        nodes = [Node(0x5000_0000_0000_0000 + (n << 16), f"n{n}") for n in range(5_000)]
        pieces = [m.hex() for m in encode_routes(AddRoute, list(nodes))]
        state = self.attack("pour", pieces=pieces, seconds=5).finish()
        self.assertEqual({"4/4": 1}, state["codes"])
        self.unharmed()

    def test_routes_that_come_and_go_in_great_messages(self) -> None:
        """16,000 channels and their withdrawal, as fast as b takes them, for five seconds."""
        channels: list[Group | Node] = [Group(0xE5000000 + n, 0) for n in range(16_000)]
        pieces = [m.hex() for m in encode_routes(AddRoute, channels)]
        pieces += [bytes([0x10, 33]).hex() + m[4:] for m in pieces]
        state = self.attack("pour", pieces=pieces, seconds=5).finish()
        self.measured("MB of routes taken in 5 s", round(state["sent"] / 1e6, 1))
        self.assertGreater(state["sent"], 500_000)
        self.unharmed()

    def test_keep_alives_as_fast_as_they_are_taken(self) -> None:
        state = self.attack("pour", pieces=[(encode(KeepAlive()) * 8_000).hex()], seconds=5).finish()
        self.measured("keep-alives a second", round(state["sent"] / 8 / 5))
        self.assertEqual({}, state["codes"])
        self.unharmed()

    def test_unknown_messages_as_fast_as_they_are_taken(self) -> None:
        piece = HEADER_TWIN.pack(0x10, 99, CLIENT_TYPE, 8) * 8_000
        self.attack("pour", pieces=[piece.hex()], seconds=5).finish()
        self.unharmed()

    def test_probes_are_answered_only_so_often_and_never_with_more(self) -> None:
        attacker = self.attack("probes", seconds=5)
        state = attacker.finish()
        peer = peer_of(self.b.status(), "prober")
        self.measured("bytes of probes, of answers", (state["sent"], state["received"]))
        self.assertGreater(peer["counters"]["probes_over_bound"], 1_000)
        self.assertLess(state["received"], 7 * 32 * (PROBES_MAX + 6))
        self.unharmed()


class DatagramTests(StrangerTestCase):
    """Who has heard a link's datagrams: on the way, nothing is secret without encryption."""

    @contextmanager
    def overheard(self, sender: Host) -> Iterator[Callable[[], bytes]]:
        """Datagrams from a host to b, one a call, as somebody on the way has them."""
        with inside(self.b):
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
            tap.bind(("u0", ALL))
        source, until = socket.inet_aton(sender.address), time.monotonic() + PATIENCE

        def following() -> bytes:
            while True:
                frame = tap.recv(2000)
                if frame[12:14] == b"\x08\0" and frame[23] == 17 and frame[26:30] == source:
                    return frame[42:]
                self.assertLess(time.monotonic(), until, f"nothing comes from {sender.name}")

        with tap:
            tap.settimeout(PATIENCE)
            yield following

    def record(self, count: int) -> list[bytes]:
        """So many of a's data."""
        with self.overheard(self.tree.a) as following:
            data = (message for message in iter(following, b"") if message[1] == Op.IP_DATA)
            return list(islice(data, count))

    def test_what_is_repeated_is_not_doubled(self) -> None:
        """As the peer itself (its address and port), and as anybody with the token."""
        heard = [m.hex() for m in self.record(100)]
        as_peer = self.attack("datagrams", pieces=heard, count=3_000, spoofed=[self.tree.a.address, PORT])
        as_peer.finish()
        (stream,) = route_of(self.b.status(), GROUP)["streams"]
        self.assertGreater(stream["duplicates"] + stream["late"], 2_000)
        self.assertEqual("udp", peer_of(self.b.status(), "a")["data"])
        self.attack("datagrams", pieces=heard, count=1_000).finish()
        self.b.await_status(lambda s: peer_of(s, "a")["counters"]["repointed"] > 0, PATIENCE, "repointed")
        self.unharmed_but_for_the_path()

    def test_what_is_repeated_in_a_flood_is_not_doubled(self) -> None:
        """So dense that b hardly comes to an end of it, while what comes otherwise has b judge all of them.

        Some of the stream may find the socket full meanwhile: no flood is harmless.
        """
        spoofed = [self.tree.a.address, PORT]
        for _ in range(3):
            heard = [m.hex() for m in self.record(100)]
            floods = [
                self.attack("datagrams", pieces=heard, count=80_000, spoofed=spoofed, dense=True)
                for _ in range(2)
            ]
            while not all(flood.state["done"] for flood in floods):
                self.attack("datagrams", pieces=heard[:1], count=1).finish()
        self.b.await_status(lambda s: peer_of(s, "a")["data"] == "udp", PATIENCE, "back on UDP")
        sent = self.sender.stop()["sent"]
        rates = [flood.state["sent"] / (flood.state["ended"] - flood.state["began"]) for flood in floods]
        for name, receiver in self.receivers.items():
            report = receiver.await_last(GROUP, S, sent - 1)
            self.assertEqual((0, 0), (report["duplicates"], report["damaged"]), name)
            self.measured(f"stream at {name}: packets, of these lost; flood (packets/s)",
                          (sent, report["missing"], round(sum(rates))))  # fmt: skip

    def unharmed_but_for_the_path(self) -> None:
        self.b.await_status(lambda s: peer_of(s, "a")["data"] == "udp", PATIENCE, "back on UDP")
        sent = self.sender.stop()["sent"]
        for name, receiver in self.receivers.items():
            report = receiver.await_last(GROUP, S, sent - 1)
            overtaken = report.pop("disordered")  # by packets on the new way
            self.assert_perfect(report | {"disordered": 0}, sent, TTL - 1 if name == "b" else TTL - 2)
            self.measured(f"stream at {name}: packets, none lost or doubled; overtaken", (sent, overtaken))

    def test_no_stream_goes_to_an_address_that_did_not_answer(self) -> None:
        """c's token towards b, from e: b must not turn c's stream towards e."""
        with self.overheard(self.tree.c) as following:
            heard_one = following()
        with inside(self.e):
            spy = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with spy:
            spy.bind(("", 0))
            spy.setblocking(False)
            for _ in range(5):
                spy.sendto(heard_one, (self.b.address, PORT))
                self.sender.await_sent(self.sender.state["sent"] + RATE)
            heard = []
            while True:
                try:
                    heard.append(spy.recv(2000))
                except BlockingIOError:
                    break
        self.assertEqual([], [m for m in heard if m[1] == Op.IP_DATA])
        self.measured("datagrams that e was sent, all of them probes or their answers", len(heard))
        self.assertLess(sum(map(len, heard)), 32 * 40)
        self.unharmed_but_for_the_path()

    def test_the_right_token_with_nonsense_behind_it(self) -> None:
        heard = self.record(20)
        bad = [m[:12] + m[12:20] + b"\xff" * 40 for m in heard] + [m[:40] for m in heard]
        bad += [m[:-1] for m in heard] + [m[:1] + b"\x09" + m[2:] for m in heard]
        self.attack("datagrams", pieces=[m.hex() for m in bad], count=2_000,
                    spoofed=[self.tree.a.address, PORT]).finish()  # fmt: skip
        counters = self.b.await_status(
            lambda s: peer_of(s, "a")["counters"]["bad_probes"] > 1_000, PATIENCE, "counted"
        )
        self.assertEqual("udp", peer_of(counters, "a")["data"])
        self.unharmed()


class JoinTests(StrangerTestCase):
    """A program on a host's TAP that joins whatever there is."""

    def test_thousands_of_groups_and_sources_end_at_the_bounds(self) -> None:
        host = self.tree.c
        host.sysctl({"net.ipv4.igmp_max_memberships": 20_000, "net.ipv4.igmp_max_msf": 1_000})
        index = int(host.run(["cat", f"/sys/class/net/{DEVICE}/ifindex"]).stdout)
        with inside(host):
            programs = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(51)]
        for program in programs:
            self.addCleanup(program.close)
        device = index.to_bytes(4, "little")
        for n in range(5_000):  # 100 of a socket, as the kernel bounds what one may have in options
            group = socket.inet_aton(f"239.64.{n >> 8}.{n & 255}")
            programs[n // 100].setsockopt(
                socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + bytes(4) + device
            )
            if not n % 100:
                self.sender.await_sent(self.sender.state["sent"] + 1)
        here = socket.inet_aton(f"10.88.0.{host.index}")
        for n in range(100):
            channel = socket.inet_aton("239.64.0.5") + here + socket.inet_aton(f"10.9.0.{n + 1}")
            programs[-1].setsockopt(socket.IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, channel)
        status = host.await_status(
            lambda s: s["querier"]["counters"]["groups_over_bound"] > 0, 30, "over the bound"
        )
        held = len(status["groups"]) + status["counters"]["groups_not_shown"]
        self.assertTrue(4_096 <= held <= 4_096 + 80, held)
        self.measured("channels held of 5,000 groups that were joined", held)
        self.unharmed()
