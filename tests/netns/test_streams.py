"""Stream health over whole nodes: a -- b -- c, a film from ffmpeg, and a cable that loses."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multicastmw.cli.film import find_ffmpeg
from multicastmw.cli.lab import Host, wait_until
from tests.core.health.film import NAME, VIDEO, film, is_plain, transport_stream
from tests.netns.kit import (
    PATIENCE,
    PORT,
    NetnsTestCase,
    asking,
    await_linked,
    await_wanted,
    mcmw,
    node_ini,
    route_of,
    why_not,
)

BARE, IN_RTP = "239.5.5.5", "239.5.5.6"
CODECS = ["MPEG-2 video", "MPEG-1 audio"]
LOOKING = 60.0  # seconds at most until a condition holds, on a machine with more to do


class Streams(NetnsTestCase):
    """The kernel forwards: this process gets copies."""

    skip = why_not("ffmpeg")
    fastpath = "auto"

    def setUp(self) -> None:
        lab = self.make_lab("abc")
        self.internet = lab.internet
        self.a, self.b, self.c = lab.hosts
        sections = {"fastpath": {"mode": self.fastpath}, "recovery": {"deadline": 0}}  # what is lost is lost
        pins = {"groups": {"pin": f"{BARE}, {IN_RTP}"}}
        self.a.start_node(node_ini(self.a, (self.b,), sections))
        self.b.start_node(node_ini(self.b, (), sections))
        self.c.start_node(node_ini(self.c, (self.b,), {**sections, **pins}))
        await_linked(self.a, "b")
        await_linked(self.b, "ac")
        await_wanted(self.a, {"b"}, BARE, IN_RTP)
        self.film = Path(lab.state_dir, "film.ts")
        self.film.write_bytes(transport_stream())

    # --- what plays

    def play(self) -> None:
        """The film over and over, bare and in RTP, by ffmpeg."""
        local = f"localaddr=10.88.0.{self.a.index}&ttl=16"
        source = ["-re", "-stream_loop", "-1", "-i", str(self.film), "-map", "0", "-c", "copy"]
        source += ["-metadata", f"service_name={NAME}"]
        bare = ["-muxrate", "900k", "-pcr_period", "20", "-f", "mpegts"]
        in_rtp = ["-mpegts_muxer_options", "muxrate=900k:pcr_period=20", "-f", "rtp_mpegts"]
        for target in (
            [*bare, f"udp://{BARE}:5004?{local}&pkt_size=1316&bitrate=900000"],
            [*in_rtp, f"rtp://{IN_RTP}:5004?{local}"],
        ):
            command = [find_ffmpeg(), "-nostdin", "-v", "error", *source, *target]
            self.a.spawn(command, log=f"ffmpeg-{target[-2]}")

    def play_damaged(self) -> None:
        """With every 300th packet of the picture left out, in RTP; sent by the demo's streamer."""
        whole = film()
        plain = [at for at, packet in enumerate(whole.packets) if is_plain(packet, VIDEO)]
        left_out = set(plain[::300])
        path = self.film.with_name("damaged.ts")
        path.write_bytes(b"".join(p for at, p in enumerate(whole.packets) if at not in left_out))
        streamer = [sys.executable, "-m", "multicastmw.cli.streamer", "--film", str(path), "--loop"]
        self.a.spawn([*streamer, "--group", IN_RTP, "--interface", "mcmw0"], log="streamer")

    def lose(self, mod: int) -> None:
        """One in `mod` of the large datagrams to c."""
        self.internet.drop(
            f"ip daddr {self.c.address} udp dport {PORT} udp length > 500 numgen random mod {mod} == 0"
        )

    # --- what is said

    def look(self, host: Host, *more: str) -> dict[str, dict[str, Any]]:
        """Streams by group and port, as `mcmw show streams --json` has them."""
        code, out, err = mcmw(host, "show", "streams", "--json", *more)
        self.assertEqual((0, ""), (code, err))
        return {f"{each['group']}:{each['port']}": each for each in json.loads(out)["streams"]}

    def until(
        self, host: Host, what: str, holds: Callable[[dict[str, dict[str, Any]]], bool]
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def look() -> bool:
            found.clear()
            found.update(self.look(host))
            return holds(found)

        try:
            wait_until(look, LOOKING, what)
        except Exception as error:
            raise AssertionError(f"{what}: {json.dumps(found, indent=1)[:4000]}") from error
        return found

    # --- tests

    def test_a_film_that_is_well(self) -> None:
        self.play()
        for host in (self.c, self.a):
            found = self.until(
                host, f"both are well at {host.name}",
                lambda streams: streams.get(f"{BARE}:5004", {}).get("health") == "ok"
                and streams.get(f"{IN_RTP}:5004", {}).get("health") in ("ok", "warn"),
            )  # fmt: skip
            # Of RTP, ffmpeg sends bursts that are more than 0.1 s apart; that is all there is to say of it.
            wrong = {each["name"] for each in found[f"{IN_RTP}:5004"]["errors"]}
            self.assertLessEqual(wrong, {"PCR_repetition_error"})
            self.assertEqual(0, found[f"{IN_RTP}:5004"]["rtp"]["lost_way"])
            for group, kind in ((BARE, "ts"), (IN_RTP, "rtp")):
                stream = found[f"{group}:5004"]
                (programme,) = stream["programmes"]
                self.assertEqual(
                    (NAME, CODECS, kind, "a"),
                    (programme["name"], stream["codecs"], stream["kind"], stream["node"]),
                )
                self.assertEqual(0, stream["overlay"]["lost"])
                self.assertApproximates(900_000, stream["bitrate"], 300_000)
        code, out, err = mcmw(self.c, "show", "streams", "--group", BARE)
        self.assertEqual((0, ""), (code, err))
        self.assertLessEqual(max(map(len, out.splitlines())), 80)
        for word in (f"{BARE}:5004", NAME):
            self.assertIn(word, out)
        self.assertNotIn(IN_RTP, out)
        self.c.await_status(
            lambda status: route_of(status, BARE)["fast"] == (self.fastpath == "auto"),
            PATIENCE,
            "who forwards",
        )

    @pytest.mark.long
    def test_what_the_way_loses_is_the_ways(self) -> None:
        self.play()
        self.until(
            self.c, "both are there", lambda streams: {f"{BARE}:5004", f"{IN_RTP}:5004"} <= set(streams)
        )
        self.lose(60)
        found = self.until(
            self.c, "the way has lost of both",
            lambda streams: all(streams[f"{group}:5004"]["way_errors"] > 5 for group in (BARE, IN_RTP)),
        )  # fmt: skip
        for group in (BARE, IN_RTP):
            stream = found[f"{group}:5004"]
            continuity = {each["name"]: each["source"] for each in stream["errors"]}["Continuity_count_error"]
            self.assertEqual((0, "bad"), (continuity, stream["health"]), stream)
            self.assertIn("the way", stream["reason"])
            self.assertGreater(stream["overlay"]["lost"], 0)
        self.assertEqual(0, found[f"{IN_RTP}:5004"]["rtp"]["lost_source"])
        # A hole that a report of the sender has shown is seen in the film with its next packet.
        seen = found[f"{IN_RTP}:5004"]
        self.assertIn(seen["overlay"]["lost"] - seen["rtp"]["lost_way"], (0, 1))
        before = self.look(self.b)  # nothing was lost before b
        self.assertEqual(0, sum(before[f"{group}:5004"]["overlay"]["lost"] for group in (BARE, IN_RTP)))
        text = mcmw(self.c, "show", "streams")[1]
        self.assertIn("bad", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)

    def test_a_damaged_source_is_the_sources(self) -> None:
        self.play_damaged()
        found = self.until(
            self.c, "the damage",
            lambda streams: streams.get(f"{IN_RTP}:5004", {}).get("source_errors", 0) > 3,
        )[f"{IN_RTP}:5004"]  # fmt: skip
        way = {each["name"]: each["way"] for each in found["errors"]}["Continuity_count_error"]
        self.assertEqual((0, 0, 0), (way, found["rtp"]["lost_way"], found["rtp"]["lost_source"]))
        self.assertEqual("bad", found["health"])
        self.assertIn("the source", found["reason"])

    def test_nothing_is_watched_that_nobody_asked_for(self) -> None:
        self.play()
        self.c.await_status(
            lambda status: len(status["streams"]) >= 2, PATIENCE, "the streams, from their routes"
        )
        for stream in self.c.status()["streams"]:
            self.assertEqual(
                ("unknown", None, "nobody looks at it", "a"),
                (stream["health"], stream["port"], stream["reason"], stream["node"]),
            )
        watching = self.c.spawn(
            asking(self.c, "show", "streams", "--json", "--watch", "--every", "0.5"), log="watch"
        )
        wait_until(lambda: watching.read_output().count("\n") > 2, PATIENCE, "three looks")
        first, last = (json.loads(line) for line in watching.read_output().splitlines()[:3:2])
        self.assertTrue({stream["port"] for stream in last["streams"]} >= {5004}, last)
        self.assertTrue(first["streams"])
        watching.kill()
        self.c.await_status(
            lambda status: {stream["health"] for stream in status["streams"]} == {"unknown"},
            LOOKING,
            "the lease's end",
        )


class StreamsInPython(Streams):
    """This process forwards."""

    fastpath = "off"

    @pytest.mark.slow
    def test_a_damaged_source_is_the_sources(self) -> None:
        super().test_a_damaged_source_is_the_sources()

    @pytest.mark.slow
    def test_nothing_is_watched_that_nobody_asked_for(self) -> None:
        super().test_nothing_is_watched_that_nobody_asked_for()


class Refusals(NetnsTestCase):
    skip = why_not()

    def test_what_is_no_group_is_refused_in_one_line(self) -> None:
        (host,) = self.make_lab("a").hosts
        host.start_node(node_ini(host))
        for wrong in ("10.0.0.1", "224.0.0.5", "x"):
            code, out, err = mcmw(host, "show", "streams", "--group", wrong)
            self.assertEqual((1, "", 1), (code, out, err.count("\n")))
        code, out, err = mcmw(host, "show", "streams", "--group", "239.1.1.1", "--json")
        (stream,) = json.loads(out)["streams"]
        self.assertEqual((0, "", "unknown"), (code, err, stream["health"]))
        self.assertEqual(2, mcmw(host, "show", "peers", "--group", "239.1.1.1")[0])
