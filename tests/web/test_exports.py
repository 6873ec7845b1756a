"""The directory as files: what they say, and names that would break them."""

import json
from typing import Any
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.web import exports

NAMESPACE = "{http://xspf.org/ns/0/}"
EVIL = 'a\r\n#EXTINF:-1,b\nhttp://evil\u2028c"</title><script>\x1b[2J\x00\ud800&amp;]]>'


def media(**changed: Any) -> dict[str, Any]:
    return {
        "kind": "video", "group": "239.1.1.1", "groups": 1, "port": 5004, "ports": 1, "protocol": "RTP/AVP",
        "formats": ["33"], "encodings": ["MP2T"], "ttl": 16, "sources": [], "title": "",
    } | changed  # fmt: skip


def session(*streams: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {
        "id": "0123456789ab", "name": "The news", "description": "Every hour", "category": "NEWS",
        "media": list(streams) or [media()], "sdp": "v=0\ns=The news\n",
    } | changed  # fmt: skip


class Addresses(SynchronousTestCase):
    def test_what_a_url_can_say(self) -> None:
        for expected, found in {
            "rtp://@239.1.1.1:5004": media(),
            "udp://@239.1.1.1:5004": media(protocol="udp", formats=["mpeg"]),
            "rtp://10.88.0.7@232.1.1.1:5004": media(group="232.1.1.1", sources=["10.88.0.7"]),
            "rtp://@232.1.1.1:5004": media(group="232.1.1.1", sources=["10.88.0.7", "10.88.0.8"]),
            "rtp://@[ff15::1]:5004": media(group="ff15::1"),
        }.items():
            self.assertEqual(expected, exports.address_of(session(found)))

    def test_what_needs_its_sdp(self) -> None:
        for streams in ([media(formats=["96"])], [media(), media(kind="audio", port=5006)]):
            self.assertIsNone(exports.address_of(session(*streams)))
            self.assertEqual(
                "http://node:8080/session/0123456789ab.sdp",
                exports.address_of(session(*streams), "http://node:8080/"),
            )

    def test_what_is_switched_off(self) -> None:
        self.assertEqual("rtp://@239.1.1.1:5004", exports.address_of(session(media(), media(port=0))))
        self.assertIsNone(exports.address_of(session(media(port=0)), "http://node"))


class OverHttp(SynchronousTestCase):
    """For a player that has no multicast."""

    BASE = "http://node:8080/"

    def test_a_transport_stream_has_the_url_of_the_output(self) -> None:
        for expected, found in {
            "rtp/239.1.1.1:5004": media(),
            "rtp/239.1.1.2:5004": media(group="239.1.1.2", formats=["96"], encodings=["mp2t"]),
            "udp/239.1.1.1:5004": media(protocol="udp", formats=["mpeg"], encodings=[]),
            "rtp/232.1.1.1:5004?source=10.88.0.7": media(group="232.1.1.1", sources=["10.88.0.7"]),
        }.items():
            self.assertEqual(self.BASE + expected, exports.http_address_of(session(found), self.BASE))

    def test_a_token_stands_behind_a_source(self) -> None:
        found = exports.http_address_of(session(media(sources=["10.88.0.7"])), self.BASE, "?token=x")
        self.assertEqual(f"{self.BASE}rtp/239.1.1.1:5004?source=10.88.0.7&token=x", found)

    def test_what_http_has_no_stream_of(self) -> None:
        for streams in (
            [media(formats=["96"], encodings=["H264"])],
            [media(), media(kind="audio", port=5006)],
            [media(group="ff15::1")],
            [media(group="evil.example/x")],
            [media(group="10.1.1.1")],
            [media(port=0)],
        ):
            self.assertIsNone(exports.http_address_of(session(*streams), self.BASE), streams)

    def test_playlists(self) -> None:
        other = session(media(formats=["96"], encodings=["H264"]))
        self.assertEqual(
            '#EXTM3U\n#EXTINF:-1 group-title="NEWS",The news\nhttp://node:8080/rtp/239.1.1.1:5004\n'
            "# The news: is no single transport stream of IPv4, and HTTP has nothing else\n",
            exports.m3u([session(), other], self.BASE, via_http=True),
        )
        self.assertEqual(1, exports.xspf([session(), other], self.BASE, via_http=True).count("<location>"))

    def test_a_stream_that_nobody_announces(self) -> None:
        for source, expected in {
            "": "rtp://@239.1.1.1:5004",
            "10.0.0.7": "rtp://10.0.0.7@239.1.1.1:5004",
        }.items():
            found = exports.stream("239.1.1.1", 5004, source, is_rtp=True)
            self.assertEqual(f"#EXTM3U\n#EXTINF:-1,239.1.1.1:5004\n{expected}\n", exports.m3u([found]))


class Files(SynchronousTestCase):
    def test_m3u(self) -> None:
        self.assertEqual(
            '#EXTM3U\n#EXTINF:-1 group-title="NEWS",The news\nrtp://@239.1.1.1:5004\n'
            "# The news: is played by its SDP, of id 0123456789ab\n",
            exports.m3u([session(), session(media(formats=["96"]))]),
        )

    def test_xspf(self) -> None:
        tree = ElementTree.fromstring(exports.xspf([session(), session(media(formats=["96"]))]))
        (track,) = tree.findall(f"{NAMESPACE}trackList/{NAMESPACE}track")
        self.assertEqual(
            {"location": "rtp://@239.1.1.1:5004", "title": "The news", "annotation": "Every hour",
             "album": "NEWS", "identifier": "urn:mcmw:session:0123456789ab"},
            {child.tag.removeprefix(NAMESPACE): child.text for child in track},
        )  # fmt: skip

    def test_sdp(self) -> None:
        for text in ("v=0\ns=x\n", "v=0\r\ns=x\r\n\0", "v=0\ns=x"):
            self.assertEqual("v=0\r\ns=x\r\n", exports.sdp(session(sdp=text)))

    def test_json(self) -> None:
        self.assertEqual({"sessions": [session()]}, json.loads(exports.as_json([session()])))

    def test_one_is_found_by_its_id_or_its_name(self) -> None:
        other = session(id="a" * 12, name="0123456789ab")
        self.assertEqual([session()], exports.find([other, session()], "0123456789ab"))
        self.assertEqual([session(), session()], exports.find([session(), other, session()], "The news"))
        self.assertEqual([], exports.find([session()], "news"))


class Strangers(SynchronousTestCase):
    def assert_safe(self, name: str) -> None:
        bad = session(name=name, description=name, category=name)
        playlist = exports.m3u([bad, session(media(formats=["96"]), name=name)])
        self.assertEqual(4, len(playlist.splitlines()))
        self.assertEqual(["#EXTM3U", "#EXTINF", "rtp://@", "# "], [
            line[:n] for line, n in zip(playlist.split("\n"), (7, 7, 7, 2), strict=False)
        ])  # fmt: skip
        self.assertTrue(playlist.replace("\n", "").isprintable())
        tree = ElementTree.fromstring(exports.xspf([bad]).encode())
        tags = [element.tag.removeprefix(NAMESPACE) for element in tree.iter()]
        self.assertEqual(1, tags.count("track"))
        self.assertLessEqual(
            set(tags),
            {"playlist", "title", "trackList", "track", "location", "identifier", "annotation", "album"},
        )

    def test_names_that_would_break_a_file(self) -> None:
        self.assert_safe(EVIL)
        self.assertNotIn("<script>", exports.xspf([session(name=EVIL)]))

    @given(st.text(max_size=30))
    def test_any_name(self, name: str) -> None:
        self.assert_safe(name)

    def test_one_without_a_name_has_its_id(self) -> None:
        self.assertIn(",0123456789ab\n", exports.m3u([session(name="\n\u2028")]))
