"""The web service of whole nodes: players without multicast, who is slow and who is not, Prometheus.

A film goes out at a; on c programs that know nothing of multicast take it from the node's HTTP output.
"""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from multicastmw.cli import film as films
from multicastmw.cli.film import find_ffmpeg
from multicastmw.cli.lab import Host
from multicastmw.cli.lab.process import Process
from tests.netns.kit import (
    MEDIA,
    PATIENCE,
    TTL,
    Figure4,
    NetnsTestCase,
    Receiver,
    Sender,
    await_wanted,
    inside,
    mcmw,
    node_ini,
    node_log,
    route_of,
    why_not,
)
from tests.netns.vlc import vlc

GROUP = "239.9.9.9"
PORT = 8080
SECONDS = 20  # of the film
WEB = {"web": {"endpoint": f"tcp:{PORT}:interface=127.0.0.1"}}


@contextmanager
def connected(host: Host, address: str = "127.0.0.1") -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(address, PORT, timeout=PATIENCE)
    with inside(host):
        connection.connect()
    try:
        yield connection
    finally:
        connection.close()


def asks(host: Host, path: str, address: str = "127.0.0.1", **headers: str) -> tuple[int, bytes]:
    with connected(host, address) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def metrics_of(host: Host) -> dict[tuple[str, ...], float]:
    """By name and the values of labels."""
    code, text = asks(host, "/metrics")
    assert code == 200, text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


class WebCase(NetnsTestCase):
    skip = why_not("ffmpeg", "ffprobe")

    def setUp(self) -> None:
        self.tree = Figure4(self, everywhere=WEB)
        self.a, self.b, self.c = self.tree.a, self.tree.b, self.tree.c

    def url(self, kind: str) -> str:
        return f"http://127.0.0.1:{PORT}/{kind}/{GROUP}:{MEDIA}"

    def plays(self, kind: str) -> tuple[Path, Process]:
        """A film at a, sent as UDP or RTP again and again."""
        film = self.tree.lab.state_dir / "film.ts"
        films.draw(film, SECONDS)
        where = f"{GROUP}:{MEDIA}?ttl={TTL}&pkt_size=1316&localaddr=10.88.0.1"
        way = ["-f", "rtp_mpegts", f"rtp://{where}"] if kind == "rtp" else ["-f", "mpegts", f"udp://{where}"]
        command = [
            find_ffmpeg(),
            "-nostdin",
            "-v",
            "error",
            "-re",
            "-stream_loop",
            "-1",
            "-i",
            str(film),
            "-c",
            "copy",
        ]
        return film, self.a.spawn([*command, *way], log="sending")


class Players(WebCase):
    def takes(self, kind: str) -> None:
        """ffmpeg at c records five seconds of it, and every picture can be decoded."""
        _, sending = self.plays(kind)
        taken = self.tree.lab.state_dir / "taken.ts"
        player = self.c.spawn(
            [
                find_ffmpeg(),
                "-nostdin",
                "-v",
                "error",
                "-t",
                "5",
                "-i",
                self.url(kind),
                "-c",
                "copy",
                "-y",
                "-f",
                "mpegts",
                str(taken),
            ],
            log="player",
        )
        await_wanted(self.c, {"http"}, GROUP)
        await_wanted(self.b, {"c"}, GROUP)
        await_wanted(self.a, {"b"}, GROUP)
        (output,) = self.c.await_status(lambda s: bool(s["outputs"]), PATIENCE, "an output")["outputs"]
        self.assertEqual(
            (GROUP, MEDIA, kind == "rtp", 1), tuple(output[k] for k in ("group", "port", "rtp", "clients"))
        )
        self.assertEqual(0, player.wait(PATIENCE), player.last_words())
        await_wanted(self.a, set(), GROUP)
        self.assertEqual([], self.c.status()["outputs"])
        self.assertIsNone(sending.poll())
        found = films.count_frames(taken)
        self.measured(f"pictures of 5 s over /{kind}/, and complaints of the decoder", tuple(found))
        self.assertGreater(found.frames, 100)

    def test_ffmpeg_plays_udp_and_the_join_lasts_as_long_as_it_does(self) -> None:
        self.takes("udp")

    def test_ffmpeg_plays_rtp_without_its_headers(self) -> None:
        self.takes("rtp")

    def test_what_a_program_of_this_very_host_sends_is_had_as_well(self) -> None:
        self.plays("udp")
        done = self.a.run(
            ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "json", self.url("udp")]
        )
        codecs = {stream["codec_name"] for stream in json.loads(done.stdout)["streams"]}
        self.assertEqual({"mpeg1video", "mp2"}, codecs & {"mpeg1video", "mp2"}, done.stderr)

    def test_where_nothing_is_sent_that_is_said(self) -> None:
        began = time.monotonic()
        code, body = asks(self.c, f"/udp/{GROUP}:{MEDIA}")
        self.assertEqual((504, f"nothing came to {GROUP}:{MEDIA} within 10 s\n"), (code, body.decode()))
        self.assertGreater(time.monotonic() - began, 9)
        await_wanted(self.a, set(), GROUP)


class Vlc(WebCase):
    skip = why_not("cvlc", "ffmpeg", "setpriv")

    def test_vlc_plays_the_url(self) -> None:
        self.plays("rtp")
        recording = self.tree.lab.state_dir / "c-home" / "recording.ts"
        player = vlc(
            self.c, "vlc-http", "-I", "dummy", "--run-time", "6",
            "--sout", f"#standard{{access=file,mux=ts,dst={recording}}}", self.url("rtp"), "vlc://quit",
        )  # fmt: skip
        await_wanted(self.c, {"http"}, GROUP)
        self.assertEqual(0, player.wait(PATIENCE), player.last_words())
        await_wanted(self.c, set(), GROUP)
        found = films.count_frames(recording)
        self.measured("pictures that VLC has recorded in 6 s", tuple(found))
        self.assertGreater(found.frames, 50)


class Payloads(WebCase):
    def reads(self, size: int, room: int = 0) -> socket.socket:
        """A viewer at c, at a socket of its own, whose buffer may be small."""
        with inside(self.c):
            viewer = socket.socket()
        if room:
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        viewer.settimeout(PATIENCE)
        self.addCleanup(viewer.close)
        viewer.connect(("127.0.0.1", PORT))
        viewer.sendall(f"GET /udp/{GROUP}:{MEDIA} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        return viewer

    def test_one_who_does_not_read_loses_and_one_beside_him_has_every_byte(self) -> None:
        stuck, reader = self.reads(0, room=4096), self.reads(0)
        self.c.await_status(lambda s: sum(o["clients"] for o in s["outputs"]) == 2, PATIENCE, "two viewers")
        await_wanted(self.a, {"b"}, GROUP)
        count, size = 8_000, 1_316
        sender = Sender(self.a, GROUP, count=count, rate=500, size=size)
        got = bytearray()  # what is added to bytes is copied: who reads so is one who does not read
        while b"\r\n\r\n" not in got:
            got += reader.recv(65_536)
        body = got.partition(b"\r\n\r\n")[2]
        while len(body) < count * size:
            body += reader.recv(1 << 20)
        self.assertEqual(count, sender.finish())
        lost = self.c.await_status(lambda s: s["outputs"][0]["lost"] > 0, PATIENCE, "losses")["outputs"][0][
            "lost"
        ]
        self.measured("payloads that the one who does not read has lost, of", (lost, count))
        self.assertEqual(count * size, len(body))
        numbers = [bytes(body[at : at + size]) for at in range(0, len(body), size)]
        self.assertEqual(count, len(set(numbers)))
        self.assertIn("watch", mcmw(self.c, "show", "node")[1])
        stuck.close()
        reader.close()
        await_wanted(self.a, set(), GROUP)


class Asking(WebCase):
    def test_metrics_say_what_show_says(self) -> None:
        sender = Sender(self.a, GROUP, count=50, rate=500)
        sender.finish()
        samples = metrics_of(self.a)
        status = self.a.status()
        self.assertEqual(50, samples["mcmw_packets_to_nobody_total",])
        self.assertEqual(route_of(status, GROUP)["to_nobody"], samples["mcmw_packets_to_nobody_total",])
        self.assertEqual((1, 1), (samples["mcmw_peer_up", "b"], samples["mcmw_tap_up",]))
        self.assertEqual(3, samples["mcmw_nodes",])

    def test_streams_are_counted_whoever_forwards_them(self) -> None:
        receiver = Receiver(self.c, GROUP)
        self.tree.await_demand(GROUP, "c", here=False)
        sender = Sender(self.a, GROUP, count=600, rate=200)
        receiver.await_last(GROUP, sender.source, 599)
        for host in (self.b, self.c):
            samples = metrics_of(host)
            self.assertEqual(600, samples["mcmw_stream_packets_received_total",], host.name)
            self.assertEqual(0, samples["mcmw_stream_packets_lost_total",], host.name)
            fast = samples["mcmw_fastpath_packets_total", "delivered"]
            self.measured(f"{host.name}: packets that the kernel delivered, of 600", fast)

    def test_the_status_is_that_of_the_control_socket(self) -> None:
        code, text = asks(self.b, "/status")
        found, said = json.loads(text), self.b.status()
        self.assertEqual((200, said["node"]["id"]), (code, found["node"]["id"]))
        self.assertEqual({p["name"] for p in said["peers"]}, {p["name"] for p in found["peers"]})

    def test_a_token_stands_between_others_and_the_node(self) -> None:
        ini = self.tree.ini(self.c).replace(f"tcp:{PORT}:interface=127.0.0.1", f"tcp:{PORT}")
        (self.tree.lab.state_dir / "c.ini").write_text(f"{ini}\n[control]\nsocket = {self.c.socket}\n")
        self.assertEqual(0, mcmw(self.c, "reload")[0])
        code, url, err = mcmw(self.c, "web")
        self.assertEqual((0, ""), (code, err))
        token = json.loads(mcmw(self.c, "web", "--json")[1])["token"]
        self.assertTrue(url.strip().endswith(f":{PORT}/?token={token}"), url)
        self.assertEqual(401, asks(self.a, "/status", self.c.address)[0])
        self.assertEqual(401, asks(self.a, "/status", self.c.address, Authorization="Bearer wrong")[0])
        self.assertEqual(200, asks(self.a, "/status", self.c.address, Authorization=f"Bearer {token}")[0])
        report = self.tree.lab.state_dir / "report.zip"
        self.assertEqual(0, mcmw(self.c, "bugreport", "-o", str(report))[0])
        from zipfile import ZipFile

        with ZipFile(report) as archive:
            texts = [archive.read(name).decode(errors="replace") for name in archive.namelist()]
        self.assertNotIn(token, "".join(texts) + node_log(self.c) + json.dumps(self.c.status()))
        self.assertIn("the token is wrong", mcmw(self.c, "show", "events")[1])


class Off(NetnsTestCase):
    skip = why_not()

    def test_it_says_how_it_is_switched_on(self) -> None:
        host = self.make_lab("a").host("a")
        host.start_node(node_ini(host))
        code, out, err = mcmw(host, "web")
        self.assertEqual((1, "", 1), (code, out, err.count("\n")))
        self.assertIn("[web] endpoint", err)
        code, out, err = mcmw(host, "web", "--json")
        self.assertEqual((1, ""), (code, err))
        self.assertIn("error", json.loads(out))
