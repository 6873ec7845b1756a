"""Sessions as files over HTTP."""

import json
from typing import Any
from urllib.parse import parse_qsl

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from multicastmw.web.http import Folder
from multicastmw.web.sessions import here, mount
from tests.web.test_exports import media, session

SESSION = session(media())


def get(path: str, sessions: list[dict[str, Any]], stream_pass: str = "") -> tuple[int, str, str]:
    """Code, type and text of what answers."""
    root = Folder()
    mount(root, lambda: sessions, here(lambda: stream_pass))
    path, _, query = path.partition("?")
    request = DummyRequest([part.encode() for part in path.split("/")])
    request.uri = f"/{path}?{query}".encode()
    request.args = {name.encode(): [value.encode()] for name, value in parse_qsl(query)}
    request.method = b"GET"
    request.isSecure = lambda: False
    request.requestHeaders.setRawHeaders(b"host", [b"localhost:8080"])
    resource: Any = root
    while request.postpath and not resource.isLeaf:
        name = request.postpath.pop(0)
        request.prepath.append(name)
        resource = resource.getChildWithDefault(name, request)
    body = resource.render(request)
    kind = request.responseHeaders.getRawHeaders(b"content-type", [b""])[0].decode()
    return request.responseCode or 200, kind, body.decode()


class OverHttp(SynchronousTestCase):
    def test_playlists_and_the_list(self) -> None:
        for kind, begins in (("m3u", "#EXTM3U"), ("xspf", "<?xml")):
            code, type_, text = get(f"sessions.{kind}", [SESSION])
            self.assertEqual(200, code)
            self.assertIn(kind.replace("m3u", "mpegurl"), type_)
            self.assertTrue(text.startswith(begins), text)
            self.assertIn(SESSION["name"], text)
        found = json.loads(get("sessions.json", [SESSION])[2])["sessions"]
        self.assertEqual([SESSION["id"]], [each["id"] for each in found])

    def test_a_session_s_own_description(self) -> None:
        code, kind, text = get(f"session/{SESSION['id']}.sdp", [SESSION])
        self.assertEqual((200, "application/sdp"), (code, kind))
        self.assertTrue(text.startswith("v=0"), text)

    def test_a_session_s_own_playlist(self) -> None:
        path = f"session/{SESSION['id']}.m3u"
        for way, address in {
            "": "rtp://@239.1.1.1:5004",
            "?via=http": "http://localhost:8080/rtp/239.1.1.1:5004",
            "?via=http&token=a+b": "http://localhost:8080/rtp/239.1.1.1:5004?token=a+b",
        }.items():
            code, kind, text = get(path + way, [session(media(), id="other"), SESSION])
            self.assertEqual((200, "audio/x-mpegurl; charset=utf-8"), (code, kind))
            self.assertEqual(
                ["#EXTM3U", '#EXTINF:-1 group-title="NEWS",The news', address], text.splitlines()
            )

    def test_who_came_without_a_token_in_the_url_is_given_what_opens_streams(self) -> None:
        found = get("sessions.m3u?via=http", [SESSION], "pass")[2]
        self.assertIn("/rtp/239.1.1.1:5004?token=pass\n", found)
        found = get("sessions.m3u?via=http&token=own", [SESSION], "pass")[2]
        self.assertIn("/rtp/239.1.1.1:5004?token=own\n", found)
        self.assertNotIn("pass", get("sessions.json", [SESSION], "pass")[2])

    def test_another_way_is_none(self) -> None:
        for way in ("via=ftp", "via="):
            code, _, text = get(f"sessions.m3u?{way}x", [SESSION])
            self.assertEqual((400, 1), (code, text.count("\n")))

    def test_what_is_not_there_is_one_line(self) -> None:
        for path in (
            "session/nothing.sdp",
            f"session/{SESSION['id']}",
            "session/%ff.sdp",
            "session",
            "session/nothing.m3u",
            f"session/{SESSION['id']}.m3u8",
        ):
            code, _, text = get(path, [SESSION])
            self.assertEqual((404, 1), (code, text.count("\n")), path)
