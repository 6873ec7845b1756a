"""Sessions as files over HTTP."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from multicastmw.web.http import Folder
from multicastmw.web.sessions import mount
from tests.web.test_exports import media, session

SESSION = session(media())


def get(path: str, sessions: list[dict[str, Any]]) -> tuple[int, str, str]:
    """Code, type and text of what answers."""
    root = Folder()
    mount(root, lambda: sessions)
    request = DummyRequest([part.encode() for part in path.split("/")])
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

    def test_what_is_not_there_is_one_line(self) -> None:
        for path in ("session/nothing.sdp", f"session/{SESSION['id']}", "session/%ff.sdp", "session"):
            code, _, text = get(path, [SESSION])
            self.assertEqual((404, 1), (code, text.count("\n")), path)
