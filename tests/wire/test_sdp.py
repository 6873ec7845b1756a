"""SDP: built and read, held against another parser, and what is refused."""

import contextlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sdp_transform
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from multicastmw.cli.lab import NotPossibleHere
from multicastmw.cli.lab.tools import find_tool
from multicastmw.wire.errors import Malformed
from multicastmw.wire.sdp import (
    ANY,
    LINES_MAX,
    LONGEST,
    Attribute,
    Connection,
    Description,
    Filter,
    Format,
    Media,
    Origin,
    decoded,
    origin_of,
)

ORIGIN = "o=- 3000000001 2 IN IP4 10.88.0.1"
HEAD = f"v=0\r\n{ORIGIN}\r\ns=News\r\n"
TAIL = "c=IN IP4 239.1.1.1/16\r\nt=0 0\r\nm=video 5004 RTP/AVP 33\r\n"
# As the programs write it.
VLC = (
    "v=0\r\no=- 16433543432158612345 16433543432158612345 IN IP4 debian\r\ns=A film\r\ni=N/A\r\n"
    "c=IN IP4 239.1.2.3/16\r\nt=0 0\r\na=tool:vlc 3.0.21\r\na=recvonly\r\na=type:broadcast\r\n"
    "a=charset:UTF-8\r\n"
    "m=video 5004 RTP/AVP 33\r\nb=RR:0\r\na=rtpmap:33 MP2T/90000\r\n"
)
FFMPEG = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nt=0 0\r\na=tool:libavformat 59.27.100\r\n"
    "m=video 5004 RTP/AVP 96\r\nc=IN IP4 239.1.1.1/255\r\nb=AS:200\r\na=rtpmap:96 MP4V-ES/90000\r\n"
    "a=fmtp:96 profile-level-id=1\r\nm=audio 5006 RTP/AVP 14\r\nc=IN IP4 239.1.1.1/255\r\nb=AS:64\r\n"
)
DANTE = (
    "v=0\r\no=- 1423986 1423994 IN IP4 169.254.98.63\r\ns=AOIP44-serial-1614 : 2\r\n"
    "c=IN IP4 239.65.45.154/32\r\n"
    "t=0 0\r\na=keywds:Dante\r\nm=audio 5004 RTP/AVP 97\r\ni=2 channels: TxChan 0, TxChan 1\r\na=recvonly\r\n"
    "a=rtpmap:97 L24/48000/2\r\na=ptime:1\r\na=ts-refclk:ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-00-A4:0\r\n"
    "a=mediaclk:direct=142410716\r\n"
)

words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
texts = st.lists(words, max_size=4).map(" ".join)
tokens = st.text(st.sampled_from("abcXYZ019-._+"), min_size=1, max_size=12)
hosts = st.ip_addresses(v=4).map(lambda each: ("IP4", str(each))) | st.ip_addresses(v=6).map(
    lambda each: ("IP6", str(each))
)
numbers = st.integers(0, 10**20 - 1).map(str)
origins = st.builds(lambda user, s, v, host: Origin(user, s, v, *host), words, numbers, numbers, hosts)
connections = st.builds(
    lambda host, ttl, count: Connection(*host, ttl if host[0] == "IP4" and (ttl is not None) else None,
                                        count if host[0] == "IP6" or ttl is not None else 1),
    hosts, st.none() | st.integers(0, 255), st.integers(1, 256),
)  # fmt: skip
free = st.builds(Attribute, tokens.map(lambda name: "x-" + name), st.none() | texts)
maps = st.builds(
    lambda kind, name, clock: Attribute("rtpmap", f"{kind} {name}/{clock}"), st.integers(0, 127), tokens,
    st.integers(1, 192_000),
)  # fmt: skip
filters = st.builds(
    lambda mode, to, them: Attribute("source-filter", f" {mode} IN IP4 {to} " + " ".join(map(str, them))),
    st.sampled_from(["incl", "excl"]), st.just("*") | st.ip_addresses(v=4).map(str),
    st.lists(st.ip_addresses(v=4), min_size=1, max_size=4),
)  # fmt: skip
media = st.builds(
    Media, tokens, st.integers(0, 65_535), st.sampled_from(["RTP/AVP", "RTP/SAVPF", "udp"]),
    st.lists(tokens, min_size=1, max_size=4).map(tuple), st.integers(1, 256), texts,
    st.lists(connections, max_size=2).map(tuple), st.lists(free | maps | filters, max_size=4).map(tuple),
)  # fmt: skip
plain_media = st.builds(
    Media, st.sampled_from(["video", "audio"]), st.integers(1, 65_535),
    st.sampled_from(["RTP/AVP", "RTP/SAVPF"]),
    st.lists(st.integers(1, 127).map(str), min_size=1, max_size=3).map(tuple),
)  # fmt: skip
descriptions = st.builds(
    Description, origins, texts, texts, connections,
    st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)), min_size=1, max_size=2).map(tuple),
    st.lists(free | filters, max_size=4).map(tuple), st.lists(media, max_size=3).map(tuple),
)  # fmt: skip


def parsed(*lines: str) -> Description:
    return Description.parse("".join(f"{line}\r\n" for line in lines).encode())


class Reading(SynchronousTestCase):
    @given(descriptions)
    def test_what_is_built_is_read(self, description: Description) -> None:
        self.assertEqual(description, Description.parse(description.build()))

    @given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: (HEAD + text).encode()))
    def test_noise_is_malformed_or_a_description(self, noise: bytes) -> None:
        with contextlib.suppress(Malformed):
            self.assertTrue(Description.parse(noise).origin.session)

    @given(st.sampled_from([VLC, FFMPEG, DANTE]), st.data())
    def test_a_damaged_one_is_malformed_or_a_description(self, text: str, data: st.DataObject) -> None:
        damaged = bytearray(text.encode())
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(Malformed):
            self.assertNotIn("\x1b", Description.parse(bytes(damaged)).name)

    def test_of_vlc(self) -> None:
        found = Description.parse(VLC.encode())
        self.assertEqual(
            ("A film", "N/A", "vlc 3.0.21", ""), (found.name, found.information, found.tool, found.category)
        )
        (film,) = found.media
        self.assertEqual(
            (("video", 5004, "RTP/AVP", ("33",))), (film.kind, film.port, film.protocol, film.formats)
        )
        self.assertEqual((Connection("IP4", "239.1.2.3", 16),), found.where(film))
        self.assertEqual((Format(33, "MP2T", 90_000),), film.maps)

    def test_of_ffmpeg_whose_media_have_addresses_of_their_own(self) -> None:
        found = Description.parse(FFMPEG.encode())
        self.assertIsNone(found.connection)
        self.assertEqual(
            [(Connection("IP4", "239.1.1.1", 255),)] * 2, [found.where(each) for each in found.media]
        )

    def test_of_dante(self) -> None:
        found = Description.parse(DANTE.encode())
        self.assertEqual("2 channels: TxChan 0, TxChan 1", found.media[0].title)
        self.assertEqual((Format(97, "L24", 48_000),), found.media[0].maps)

    def test_several_groups_and_ports_in_a_row(self) -> None:
        found = parsed("v=0", ORIGIN, "s=x", "c=IN IP4 239.1.1.1/16/3", "t=0 0", "m=video 5004/2 udp mpeg")
        self.assertEqual((Connection("IP4", "239.1.1.1", 16, 3), 2), (found.connection, found.media[0].ports))
        found = parsed("v=0", ORIGIN, "s=x", "c=IN IP6 ff15::1/3", "t=0 0", "m=video 5004 RTP/AVP 33")
        self.assertEqual(Connection("IP6", "ff15::1", None, 3), found.connection)

    def test_who_may_send(self) -> None:
        said = "a=source-filter: incl IN IP4 232.3.4.5 192.0.2.10 192.0.2.11"
        found = parsed("v=0", ORIGIN, "s=x", "c=IN IP4 232.3.4.5/127", "t=0 0", said, "m=video 1 udp mpeg",
                       "a=source-filter:excl IN * * example.org")  # fmt: skip
        self.assertEqual((Filter(True, "232.3.4.5", ("192.0.2.10", "192.0.2.11")),), found.filters)
        self.assertEqual((Filter(False, ANY, ("example.org",)),), found.media[0].filters)

    def test_a_category(self) -> None:
        self.assertEqual("NEWS", parsed("v=0", ORIGIN, "s=x", "t=0 0", "a=cat:NEWS").category)

    def test_two_times_and_their_repetitions(self) -> None:
        found = parsed(
            "v=0", ORIGIN, "s=x", "t=1 2", "r=7d 1h 0 25h", "r=7d 1h 0", "t=3 4", "r=7d 1h 0", "z=1 -1h"
        )
        self.assertEqual(((1, 2), (3, 4)), found.times)

    def test_lines_that_end_in_lf_alone_and_a_nul_behind_it(self) -> None:
        found = Description.parse(VLC.replace("\r\n", "\n").encode() + b"\0")
        self.assertEqual("A film", found.name)

    def test_a_name_in_another_alphabet(self) -> None:
        self.assertEqual("Tagesschau für Ж", parsed("v=0", ORIGIN, "s=Tagesschau für Ж", "t=0 0").name)
        latin = f"v=0\n{ORIGIN}\ns=Köln\nt=0 0\n".encode("latin-1")
        self.assertEqual("Köln", Description.parse(latin).name)
        self.assertIn("s=Köln", decoded(latin))

    def test_a_deletion_may_be_its_origin_alone(self) -> None:
        self.assertEqual(origin_of(VLC.encode()), origin_of(VLC.split("\r\n")[1].encode()))
        with self.assertRaises(Malformed):
            origin_of(b"s=News\r\n")


class Refusing(SynchronousTestCase):
    def refused(self, *lines: str) -> str:
        with self.assertRaises(Malformed) as caught:
            parsed(*lines)
        return str(caught.exception)

    def test_what_is_needed(self) -> None:
        for lines in (
            ["v=1", ORIGIN, "s=x", "t=0 0"],
            [ORIGIN, "s=x", "t=0 0"],
            ["v=0", "s=x", "t=0 0"],
            ["v=0", ORIGIN, "t=0 0"],
            ["v=0", ORIGIN, "s=x"],
            ["v=0", "s=x", ORIGIN, "t=0 0"],
            ["v=0", ORIGIN, "s=x", "t=0 0", "m=video 5004 RTP/AVP 33"],  # where to?
        ):
            self.refused(*lines)

    def test_lines_in_another_place_or_twice_or_unknown(self) -> None:
        good = [
            "v=0",
            ORIGIN,
            "s=x",
            "i=y",
            "c=IN IP4 239.1.1.1/1",
            "t=0 0",
            "a=b",
            "m=video 1 udp 33",
            "a=c",
        ]
        parsed(*good)
        for at in range(3):
            self.refused(*good[: at + 1], good[at], *good[at + 1 :])
        self.refused(*good[:4], "i=y", *good[4:])
        self.refused(*good[:6], "c=IN IP4 239.1.1.1/1", *good[6:])
        self.refused(*good[:7], "t=0 0", *good[7:])
        self.refused(*good, "t=0 0")
        self.refused(*good[:6], "y=0", *good[6:])
        self.refused("v=0", ORIGIN, "s=x", "r=1 1 1", "t=0 0")

    def test_lines_that_are_none(self) -> None:
        for line in ("", "a", "a:b", "A=b", " a=b", "ä=b", "a=\x1b[2J", "a=\x7f", "a=\x9b2J", "a=b\rc"):
            self.refused("v=0", ORIGIN, "s=x", "t=0 0", line, "a=b")

    def test_numbers_and_addresses_that_are_none(self) -> None:
        for line in (
            "c=IN IP4 239.1.1.256/1", "c=IN IP4 239.1.1.1/256", "c=IN IP4 239.1.1.1/1/0",
            "c=IN IP4 239.1.1.1/1/257",
            "c=IN IP4 239.1.1.1/1/1/1", "c=IN IP4 239.1.1.1/x", "c=IN IP4 239.1.1.1/+1", "c=IN IP4 ff15::1",
            "c=IN IP5 1.2.3.4", "c=ATM IP4 1.2.3.4", "c=IN IP4", "c=IN IP4 ", "c=IN IP4 -host",
            "c=IN IP6 ff15::g", "c=IN IP6 ff15::1/1/1", "c=IN IP4 a/../../b",
        ):  # fmt: skip
            self.refused("v=0", ORIGIN, "s=x", line, "t=0 0")
        for line in (
            "m=video 65536 RTP/AVP 33", "m=video -1 RTP/AVP 33", "m=video 1/0 RTP/AVP 33",
            "m=video 1/ RTP/AVP 33",
            "m=video 1 RTP/AVP", "m=video 1", "m=v(deo 1 RTP/AVP 33", "m=video 1 RTP//AVP 33",
            "m=video 1 udp <b>",
            "m=video \u0661 RTP/AVP 33", "m=video 1 RTP/AVP 33\x0b",
        ):  # fmt: skip
            self.refused("v=0", ORIGIN, "s=x", "c=IN IP4 239.1.1.1/1", "t=0 0", line)
        for line in ("t=0", "t=0 0 0", "t=a b", "t=-1 0", f"t={1 << 64} 0"):
            self.refused("v=0", ORIGIN, "s=x", line)
        for line in (
            "o=- 1 1 IN IP4",
            "o=- 1 x IN IP4 h",
            "o=- -1 1 IN IP4 h",
            "o= 1 1 IN IP4 h",
            "o=a b 1 1 IN IP4 h",
        ):
            self.refused("v=0", line, "s=x", "t=0 0")

    def test_attributes_that_we_read(self) -> None:
        head = ["v=0", ORIGIN, "s=x", "c=IN IP4 239.1.1.1/1", "t=0 0", "m=video 1 RTP/AVP 33"]
        many = " ".join(f"10.0.0.{n}" for n in range(33))
        for line in (
            "a=", "a=:x", "a=b c:d", "a=rtpmap:33", "a=rtpmap:128 X/1", "a=rtpmap:33 X", "a=rtpmap:33 X/0",
            "a=source-filter:incl IN IP4 *", "a=source-filter:maybe IN IP4 * 10.0.0.1", "a=source-filter:",
            "a=source-filter:incl IN IP4 * 10.0.0.x1/", f"a=source-filter:incl IN IP4 * {many}",
        ):  # fmt: skip
            self.refused(*head, line)

    def test_what_is_long_or_much(self) -> None:
        good = ["v=0", ORIGIN, "s=x", "c=IN IP4 239.1.1.1/1", "t=0 0"]
        parsed(*good, *["a=b"] * (LINES_MAX - 5))
        self.refused(*good, *["a=b"] * (LINES_MAX - 4))
        parsed(*good, *["m=video 1 udp 33"] * 32)
        self.assertIn("33 media", self.refused(*good, *["m=video 1 udp 33"] * 33))
        media = [*good, "m=video 1 udp 33"]
        parsed(*media, *["c=IN IP4 239.1.1.1/1"] * 32)
        self.assertIn("34 addresses", self.refused(*media, *["c=IN IP4 239.1.1.1/1"] * 33))
        self.refused(*good, "a=b:" + "x" * LONGEST)
        self.assertIn("formats", self.refused(*good, "m=video 1 RTP/AVP" + " 33" * 33))

    def test_what_cannot_be_built(self) -> None:
        good = Description.parse(VLC.encode())
        for changed in (
            {"name": "a\r\nm=audio"},
            {"name": "a\nb"},
            {"information": "\x1b[2J"},
            {"name": "x" * LONGEST},
        ):
            with self.assertRaises(ValueError):
                Description(**{**vars(good), **changed}).build()


class Together(SynchronousTestCase):
    """With what others make of the same text."""

    @given(descriptions, st.lists(plain_media, max_size=3))
    def test_sdp_transform_reads_the_same(self, description: Description, streams: list[Media]) -> None:
        """Of what it can read: it takes a name of digits for a number, and knows no ports in a row."""
        description = replace(description, name=f"N {description.name}".strip(), media=tuple(streams))
        theirs: dict[str, Any] = sdp_transform.parse(description.build().decode())
        self.assertEqual(description.name, theirs["name"])
        self.assertEqual(
            [(each.kind, each.port, each.protocol, " ".join(each.formats)) for each in streams],
            [
                (each["type"], each["port"], each["protocol"], str(each["payloads"]))
                for each in theirs["media"]
            ],
        )

    def test_what_it_writes_we_read(self) -> None:
        for text in (VLC, FFMPEG, DANTE):
            written = sdp_transform.write(sdp_transform.parse(text))
            self.assertEqual(
                Description.parse(text.encode()).media[0].maps,
                Description.parse(written.encode()).media[0].maps,
            )

    def test_ffprobe_finds_the_media(self) -> None:
        try:
            find_tool("ffprobe")
        except NotPossibleHere as error:
            raise SkipTest(str(error)) from error
        video = Media("video", 5004, "RTP/AVP", ("96",), attributes=(Attribute("rtpmap", "96 H264/90000"),))
        audio = Media("audio", 5006, "RTP/AVP", ("97",), attributes=(Attribute("rtpmap", "97 L16/48000/2"),))
        description = Description(
            Origin("-", "1", "1", "IP4", "127.0.0.1"), "Two", connection=Connection("IP4", "127.0.0.1"),
            media=(video, audio),
        )  # fmt: skip
        with TemporaryDirectory() as folder:
            file = Path(folder, "two.sdp")
            file.write_bytes(description.build())
            done = subprocess.run(
                ["ffprobe", "-v", "quiet", "-protocol_whitelist", "file,udp,rtp", "-analyzeduration", "1",
                 "-show_entries", "stream=codec_name:format_tags=title", "-of", "json", str(file)],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        found = json.loads(done.stdout)
        self.assertEqual(["h264", "pcm_s16be"], [each["codec_name"] for each in found["streams"]])
        self.assertEqual("Two", found["format"]["tags"]["title"])
