"""The page's files: a fixed table, read once when one is first asked for.

    /               index.html
    /page/NAME      the others
    /live           what they show (web/events.py)

No path from outside ever reaches the file system.
"""

import gzip
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from twisted.web.resource import Resource
from twisted.web.server import Request

from multicastmw.web.events import Feed, Live, accepts_gzip
from multicastmw.web.http import Folder, said

HERE = Path(__file__).parent / "page"
INDEX = "index.html"
NAMES = (
    INDEX, "style.css", "icon.svg",
    "main.js", "feed.js", "model.js", "attention.js", "history.js", "format.js", "dom.js", "keys.js",
    "settings.js", "table.js", "tree.js", "views.js", "inspector.js", "chart.js", "preview.js",
    "mesh.js", "way.js",
    "mpegts.js", "mpegts.LICENSE.txt",  # the player, from npm (Apache-2.0)
)  # fmt: skip
TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".txt": b"text/plain; charset=utf-8",
}


class PageFile(Resource):
    """One of them.  A browser asks each time whether it is still the same, which costs no body."""

    isLeaf = True

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @cached_property
    def _body(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def _compressed(self) -> bytes:
        return gzip.compress(self._body, mtime=0)

    @cached_property
    def _tag(self) -> str:
        return sha256(self._body).hexdigest()[:16]

    @cached_property
    def _modified(self) -> float:
        return self.path.stat().st_mtime

    def render_GET(self, request: Request) -> bytes:
        if request.postpath and request.postpath != [b""]:
            return said(request, 404, "there is nothing here")
        compressed = accepts_gzip(request)
        request.setHeader(b"content-type", TYPES[self.path.suffix])
        request.setHeader(b"cache-control", b"no-cache")
        request.setHeader(b"vary", b"accept-encoding")
        tag = f'"{self._tag}{"-gzip" if compressed else ""}"'.encode()
        same_age = request.setLastModified(self._modified)  # this answers, too, where both are asked
        if request.setETag(tag) or (same_age and not request.getHeader("if-none-match")):
            return b""
        request.setResponseCode(200)
        if compressed:
            request.setHeader(b"content-encoding", b"gzip")
            return self._compressed
        return self._body


def mount(root: Resource, feed: Feed) -> None:
    """Hangs the page into a site."""
    folder = Folder()
    for name in NAMES:
        folder.putChild(name.encode(), PageFile(HERE / name))
    root.putChild(b"", PageFile(HERE / INDEX))
    root.putChild(b"page", folder)
    root.putChild(b"live", Live(feed))
