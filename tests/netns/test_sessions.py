"""The session directory with whole nodes: ffmpeg and [session:X] announce, VLC and ffprobe find.

a --- b --- c        every node keeps what it has heard, and says it again to a program that joins late
"""

import json
import time
from typing import Any

import pytest

from multicastmw.cli.film import find_ffmpeg
from multicastmw.cli.lab import Host, wait_until
from multicastmw.cli.lab.process import Process
from multicastmw.web import exports
from tests.netns.kit import (
    DEVICE,
    PATIENCE,
    NetnsTestCase,
    Receiver,
    await_linked,
    let_pass,
    mcmw,
    node_ini,
    rss,
    wanters,
    why_not,
)
from tests.netns.test_reload import rewrite
from tests.netns.vlc import Watcher

GLOBAL, LOCAL = "224.2.127.254", "239.255.255.255"
GROUP = "239.1.1.1"
NAME = "The news at nine"
SECTION = {"group": GROUP, "port": 5004, "name": NAME, "description": "Every evening", "category": "NEWS"}
TEST_PICTURE = ("-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-c:v", "mpeg2video", "-g", "5")


def ffmpeg(host: Host, *arguments: str) -> Process:
    return host.spawn(
        [find_ffmpeg(), "-nostdin", "-v", "error", *TEST_PICTURE, *arguments], log=f"{host.name}-ffmpeg"
    )


def announcing(host: Host, name: str = NAME, scope: str = GLOBAL) -> Process:
    """An ffmpeg that sends a test picture by RTP and announces it, every 5 s."""
    where = f"sap://{GROUP}:5004?announce_addr={scope}&ttl=16"
    return ffmpeg(host, "-metadata", f"title={name}", "-f", "sap", where)


def session_of(status: dict[str, Any], name: str = NAME) -> dict[str, Any] | None:
    return next((session for session in status["sessions"] if session["name"] == name), None)


def await_listed(host: Host, name: str = NAME, there: bool = True) -> dict[str, Any] | None:
    what = f"{name} {'in' if there else 'no more in'} the directory"
    return session_of(
        host.await_status(lambda status: bool(session_of(status, name)) == there, PATIENCE, what), name
    )


class Case(NetnsTestCase):
    skip = why_not("cvlc", "ffmpeg", "ffprobe")

    def setUp(self) -> None:
        self.lab = self.make_lab("abc")
        self.a, self.b, self.c = self.lab.hosts

    def start(self, **sections: dict[str, dict[str, object]]) -> None:
        """The three nodes, with what differs by the host's name."""
        self.ini = {
            host.name: node_ini(host, () if host is self.b else (self.b,), sections.get(host.name))
            for host in self.lab.hosts
        }
        for host in self.lab.hosts:
            host.start_node(self.ini[host.name], ready=None)
        for host in self.lab.hosts:
            await_linked(host, "ac" if host is self.b else "b")

    def listed_by_vlc(self, host: Host, name: str = NAME) -> float:
        """Seconds from VLC's start to the session in its list."""
        began = time.monotonic()
        watcher = Watcher(host)
        self.addCleanup(watcher.terminate)
        watcher.await_session(name)
        return time.monotonic() - began


@pytest.mark.xdist_group("vlc")  # two at once starve each other
class FromTheCache(Case):
    """Nobody announces any more, and a player that starts finds everything."""

    def test_what_ffmpeg_has_announced_is_in_vlcs_list_though_it_says_nothing_now(self) -> None:
        self.start()
        sender = announcing(self.a)
        found = [await_listed(host) for host in self.lab.hosts]
        sender.kill()
        a, b, c = (session for session in found if session)
        self.assertEqual({"a"}, {a["node"], b["node"], c["node"]})
        self.assertEqual(1, len({a["id"], b["id"], c["id"]}))
        self.assertEqual((GROUP, 5004, [GLOBAL], False), (
            c["media"][0]["group"], c["media"][0]["port"], c["announced_at"], c["ours"]
        ))  # fmt: skip
        self.assertIn("libavformat", c["tool"].lower())
        for host, where in ((self.c, "far"), (self.a, "on the sender's own host")):
            took = self.listed_by_vlc(host)
            self.measured(
                f"seconds from VLC's start to its list, {where}, while nobody announces", f"{took:.2f}"
            )
        self.assertGreater(self.c.status()["counters"]["sap_replayed"], 0)

    def test_a_second_program_of_the_same_host(self) -> None:
        """IGMP says nothing of it."""
        self.start()
        Receiver(self.c, GLOBAL, LOCAL)
        self.c.await_status(
            lambda status: DEVICE in wanters(status, GLOBAL), PATIENCE, "the first program's join"
        )
        sender = announcing(self.a)
        await_listed(self.c)
        sender.kill()
        took = self.listed_by_vlc(self.c)
        self.measured("seconds from VLC's start to its list, as the host's second program", f"{took:.2f}")

    def test_a_hundred_sessions_at_once(self) -> None:
        self.start(
            b={
                f"session:s{n}": SECTION | {"name": f"Channel {n}", "protocol": ("rtp", "udp")[n % 2]}
                for n in range(100)
            }
        )
        self.c.await_status(lambda status: len(status["sessions"]) == 100, PATIENCE, "all sessions")
        self.b.kill_node()
        began = time.monotonic()
        watcher = Watcher(self.c)
        self.addCleanup(watcher.terminate)
        wait_until(lambda: len(watcher._sessions()) == 100, PATIENCE, "all sessions in VLC's list")
        self.measured("seconds from VLC's start to its list of 100", f"{time.monotonic() - began:.2f}")


@pytest.mark.xdist_group("vlc")
class Announced(Case):
    """[session:X] on b, for an ffmpeg on a that says nothing itself."""

    def setUp(self) -> None:
        super().setUp()
        self.start(b={"session:news": SECTION})

    def test_vlc_and_ffprobe_find_it_far_away_and_at_home(self) -> None:
        ffmpeg(self.a, "-f", "rtp_mpegts", f"rtp://{GROUP}:5004?ttl=16")
        sessions = {host.name: await_listed(host) for host in self.lab.hosts}
        self.assertEqual(
            {"a": False, "b": True, "c": False}, {name: s and s["ours"] for name, s in sessions.items()}
        )
        self.assertEqual({"b"}, {s and s["node"] for s in sessions.values()})
        for host in (self.c, self.b):
            took = self.listed_by_vlc(host)
            self.measured(f"seconds from VLC's start on {host.name} to its list", f"{took:.2f}")
            self.assertEqual(["mpeg2video"], self.probed(host, "sap://"))

    def test_what_mcmw_writes_is_what_players_open(self) -> None:
        ffmpeg(self.a, "-f", "rtp_mpegts", f"rtp://{GROUP}:5004?ttl=16")
        await_listed(self.c)
        folder = self.lab.state_dir
        for kind, protocols in (("sdp", "file,udp,rtp"), ("m3u", "")):
            code, out, err = mcmw(self.c, "sessions", NAME, "--format", kind)
            self.assertEqual((0, ""), (code, err))
            (folder / f"news.{kind}").write_text(out)
            where = str(folder / "news.sdp") if protocols else out.split("\n")[2]
            options = ("-protocol_whitelist", protocols) if protocols else ()
            self.assertEqual(["mpeg2video"], self.probed(self.c, where, *options), kind)

    def probed(self, host: Host, where: str, *options: str) -> list[str]:
        """Codecs that ffprobe finds."""
        done = host.run(
            ["timeout", "40", "ffprobe", "-v", "error", *options, "-show_entries", "stream=codec_name",
             "-of", "json", where],
            timeout=60,
        )  # fmt: skip
        self.assertEqual(0, done.returncode, done.stderr)
        return sorted({stream["codec_name"] for stream in json.loads(done.stdout)["streams"]})

    def test_a_program_of_its_own_host_hears_that_it_goes(self) -> None:
        """Once as its section goes, and once as [groups] shuts the scope that it was announced in."""
        log = self.lab.state_dir / "b-listener.out"
        self.b.spawn(["python3", "-c", LISTENER, DEVICE, GLOBAL], log="b-listener")

        def await_heard(line: str) -> None:
            wait_until(lambda: log.exists() and line in log.read_text().splitlines(), PATIENCE, line)

        await_heard(f"announced {NAME}")
        rewrite(self.b, node_ini(self.b, (), {"session:sport": SECTION | {"name": "Sport"}}))
        self.assertEqual(0, mcmw(self.b, "reload")[0])
        await_heard(f"deleted {NAME}")
        await_heard("announced Sport")
        rewrite(self.b, node_ini(self.b, (), {"groups": {"deny": f"{GLOBAL}/32"}}))
        self.assertEqual(0, mcmw(self.b, "reload")[0])
        await_heard("deleted Sport")

    def test_it_goes_with_its_section_and_with_its_node(self) -> None:
        await_listed(self.c)
        rewrite(self.b, node_ini(self.b, (), {"session:sport": SECTION | {"name": "Sport"}}))
        code, out, err = mcmw(self.b, "reload", "--json")
        self.assertEqual((0, ""), (code, err))
        changes = {change["what"]: change["effect"] for change in json.loads(out)["changes"]}
        self.assertEqual({"[session:news]": "applied", "[session:sport]": "applied"}, changes)
        await_listed(self.c, there=False)
        await_listed(self.c, "Sport")
        self.assertIn(
            f"{NAME}, which 10.88.0.{self.b.index} announced, is gone", mcmw(self.c, "show", "events")[1]
        )
        self.b.stop_node()
        await_listed(self.c, "Sport", there=False)


class Shown(Case):
    """What people see."""

    def test_a_table_json_and_files(self) -> None:
        evil = "a\u202e <script>" + "x" * 80
        self.start(a={"session:news": SECTION, "session:evil": SECTION | {"name": evil, "protocol": "udp"}})
        await_listed(self.c, evil)
        await_listed(self.c)
        code, out, err = mcmw(self.c, "show", "sessions")
        self.assertEqual((0, ""), (code, err))
        self.assertLessEqual(max(map(len, out.splitlines())), 80)
        self.assertIn(f"{GROUP}:5004", out)
        self.assertTrue(out.replace("\n", "").isprintable())
        code, out, err = mcmw(self.c, "show", "sessions", "--json")
        found = json.loads(out)["sessions"]
        self.assertEqual((0, "", [NAME, evil]), (code, err, sorted(s["name"] for s in found)))
        code, out, err = mcmw(self.c, "sessions")
        self.assertEqual((0, "", exports.m3u(found)), (code, err, out))
        self.assertIn(f"rtp://@{GROUP}:5004\n", out)
        self.assertIn(f"udp://@{GROUP}:5004\n", out)
        code, out, err = mcmw(self.c, "sessions", found[0]["id"], "--format", "xspf")
        self.assertEqual((0, "", exports.xspf(found[:1])), (code, err, out))
        code, out, err = mcmw(self.c, "sessions", "--format", "sdp")
        self.assertEqual((1, "", 1), (code, out, err.count("\n")))
        code, out, err = mcmw(self.c, "sessions", "no such", "--json")
        self.assertEqual((1, ""), (code, err))
        self.assertIn("no such", json.loads(out)["error"])


class Denied(Case):
    """[groups] of c keeps a scope out."""

    def test_a_scope_is_kept_out_until_the_lists_let_it_in(self) -> None:
        self.start(c={"groups": {"deny": f"{LOCAL}/32"}})
        announcing(self.a, "Local news", LOCAL)
        await_listed(self.b, "Local news")
        self.assertEqual({"a", "sessions"}, wanters(self.b.status(), LOCAL))
        self.assertEqual({"a", "c", "sessions"}, wanters(self.b.status(), GLOBAL))
        self.assertEqual([], self.c.status()["sessions"])
        self.reload(self.c, node_ini(self.c, (self.b,)))
        await_listed(self.c, "Local news")
        self.reload(self.c, node_ini(self.c, (self.b,), {"groups": {"deny": "239.255.0.0/16"}}))
        await_listed(self.c, "Local news", there=False)
        self.b.await_status(lambda status: "c" not in wanters(status, LOCAL), PATIENCE, "c asks no more")

    def reload(self, host: Host, ini: str) -> None:
        rewrite(host, ini)
        self.assertEqual(0, mcmw(host, "reload")[0])


LISTENER = """
import socket, sys
device, group = sys.argv[1:]
hears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hears.bind((group, 9875))
index = socket.if_nametoindex(device).to_bytes(4, sys.byteorder)
hears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + bytes(4) + index)
while True:
    message = hears.recv(9000)
    name = message.partition(b"s=")[2].splitlines()[0].decode()
    print("deleted" if message[0] & 4 else "announced", name, flush=True)
"""

AT_ONCE = 30_000  # announcements of a flood
FLOOD = """
import socket, struct, sys
device, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 16)
for n in range(first, first + count):
    sdp = f"v=0\\no=- {n} 1 IN IP4 10.0.0.1\\ns=x{n}\\nc=IN IP4 239.9.9.9/1\\nt=0 0\\nm=video 1 udp 33\\n"
    out.sendto(struct.pack("!BBHI", 0x20, 0, n % 65535 + 1, n + 1) + sdp.encode(), ("224.2.127.254", 9875))
"""


def rss_of(host: Host) -> int:
    assert host.node is not None
    return rss(host.node.pid)


class Flooded(Case):
    def test_a_flood_of_sessions_takes_nobodys_place_and_no_memory(self) -> None:
        self.start(b={"session:news": SECTION})
        self.c.await_status(
            lambda status: (session_of(status) or {"announcements": 0})["announcements"] > 1,
            PATIENCE,
            "it twice",
        )
        before = rss_of(self.c)
        # What a TAP has no room for is lost, and on a slow machine that is most of it.
        for first in range(0, 20 * AT_ONCE, AT_ONCE):
            done = self.a.run(["python3", "-c", FLOOD, DEVICE, str(first), str(AT_ONCE)], timeout=120)
            self.assertEqual(0, done.returncode, done.stderr)
            if self.c.status()["counters"]["sap_received"] > 1_000:
                break
        self.c.await_status(lambda status: status["counters"]["sap_received"] > 1_000, PATIENCE, "the flood")
        let_pass(1.0)
        status = self.c.status()
        self.assertTrue(session_of(status))
        self.assertLessEqual(len(status["sessions"]), 257)  # 256 of one source, and b's
        self.measured(
            "received, not read, refused",
            [status["counters"][f"sap_{name}"] for name in ("received", "not_read", "refused")],
        )
        grown = rss_of(self.c) - before
        self.measured("bytes that c has grown by", grown)
        self.assertLess(grown, 32 << 20)
