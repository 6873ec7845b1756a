"""The page's files as a browser gets them."""

import gzip
import re
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, readBody
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import Site

from multicastmw.web.events import Feed
from multicastmw.web.files import HERE, NAMES, mount

LINK = re.compile(r'(?:src|href)="([^"#]+)"|from "\./([^"]+)"|new URL\("([^"]+)"')


class Files(TestCase):
    timeout = 20

    def setUp(self) -> None:
        root = Resource()
        mount(root, Feed(dict, lambda number: [], reactor))
        site = Site(root)
        site.log = lambda request: None  # type: ignore[method-assign]
        port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.base = f"http://127.0.0.1:{port.getHost().port}"

    @inlineCallbacks
    def asks(self, path: str, method: bytes = b"GET", **headers: str) -> Any:
        wanted = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        response = yield Agent(reactor).request(method, (self.base + path).encode(), wanted)
        body = yield readBody(response)
        return response.code, body, response.headers

    @inlineCallbacks
    def test_every_file_is_there_with_its_type(self) -> Any:
        types = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
                 ".txt": "text/plain"}  # fmt: skip
        for name in NAMES:
            code, body, headers = yield self.asks(f"/page/{name}")
            self.assertEqual(200, code, name)
            self.assertEqual((HERE / name).read_bytes(), body, name)
            (kind,) = headers.getRawHeaders("content-type")
            self.assertEqual(types[Path(name).suffix], kind.partition(";")[0])

    @inlineCallbacks
    def test_the_page_is_at_the_root(self) -> Any:
        code, body, _ = yield self.asks("/")
        self.assertEqual((200, True), (code, body.startswith(b"<!doctype html>")))
        code, body, _ = yield self.asks("/", b"HEAD")
        self.assertEqual((200, b""), (code, body))

    @inlineCallbacks
    def test_who_has_it_gets_it_no_second_time(self) -> Any:
        for encoding in ("gzip", "identity"):
            _, _, headers = yield self.asks("/page/main.js", accept_encoding=encoding)
            tag, modified = (headers.getRawHeaders(name)[0] for name in ("etag", "last-modified"))
            for header in ({"if_none_match": tag}, {"if_modified_since": modified}):
                code, body, _ = yield self.asks("/page/main.js", accept_encoding=encoding, **header)
                self.assertEqual((304, b""), (code, body), (encoding, header))
            code, body, _ = yield self.asks(
                "/page/main.js", if_none_match='"another"', if_modified_since=modified
            )
            self.assertEqual(200, code)

    @inlineCallbacks
    def test_it_is_compressed_for_who_takes_that(self) -> Any:
        _, body, headers = yield self.asks("/page/style.css", accept_encoding="br, gzip")
        self.assertEqual(["gzip"], headers.getRawHeaders("content-encoding"))
        self.assertEqual((HERE / "style.css").read_bytes(), gzip.decompress(body))
        _, _, headers = yield self.asks("/page/style.css", accept_encoding="gzip;q=0")
        self.assertIsNone(headers.getRawHeaders("content-encoding"))

    @inlineCallbacks
    def test_no_path_leads_anywhere_else(self) -> Any:
        for path in (
            "/page/../files.py", "/page/%2e%2e/files.py", "/page/..%2ffiles.py", "/page/", "/page",
            "/page/main.js/x", "/page//etc/passwd", "/page/%00", "/page/main.js%00.txt", "/files.py",
            "/page/.",
        ):  # fmt: skip
            code, body, _ = yield self.asks(path)
            self.assertEqual(404, code, path)
            self.assertNotIn(b"import", body)


class Contents(SynchronousTestCase):
    def test_the_table_names_every_file_that_is_there_and_no_other(self) -> None:
        self.assertEqual(sorted(NAMES), sorted(path.name for path in HERE.iterdir()))

    def test_whatever_a_file_asks_for_is_in_the_table(self) -> None:
        for name in NAMES:
            if name.startswith("mpegts."):
                continue
            for found in LINK.findall((HERE / name).read_text()):
                link = next(filter(None, found)).removeprefix("page/")
                self.assertIn(link, {*NAMES, "http://www.w3.org/2000/svg"}, name)

    def test_nothing_from_outside_becomes_markup(self) -> None:
        """Texts become text nodes in one place, and no other way into the document is used."""
        for name in NAMES:
            if name.endswith(".js") and not name.startswith("mpegts."):
                source = (HERE / name).read_text()
                for way in (
                    "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
                    "DOMParser", "createContextualFragment", "setHTML",
                ):  # fmt: skip
                    self.assertNotIn(way, source, name)

    def test_no_style_and_no_script_stands_in_the_page_itself(self) -> None:
        source = (HERE / "index.html").read_text()
        self.assertNotRegex(source, r"<style|\sstyle=|\son[a-z]+=|<script[^>]*>[^<]")
