"""Who may ask for what: every request to the web service passes here first.  Decisions on values, no I/O.

The door is either *here* (the loopback, a UNIX socket: only this host reaches it) or open to others.

    method, path    what HTTP has; no tricks with dots, slashes, NUL, other alphabets
    Host            here it names this host.  A page elsewhere whose name is made to lead to 127.0.0.1 (DNS
                    rebinding) has a browser ask us, but under that page's name
    token           where others reach the door, or one is given: in a header, or once in the URL, for which
                    a cookie is set.  Compared in constant time
    origin          what another site's page has a browser fetch is refused, as is whatever would change
                    something and does not say that it comes from a page of ours (CSRF)
"""

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes, urlencode

# What the specifications say.
SAFE = frozenset({b"GET", b"HEAD"})  # RFC 9110, 9.2.1
UNSAFE = frozenset({b"POST", b"PUT", b"DELETE"})
SAME_ORIGIN = "same-origin"  # Sec-Fetch-Site

# What we chose.
URI_MAX = 2_048  # bytes
# Whose URL keeps its token: players follow no redirection with a cookie.
STREAMS = (b"/udp/", b"/rtp/", b"/sessions.", b"/session/")

HEADERS = {
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        b"connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; manifest-src 'self'; "
        b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


@dataclass(frozen=True)
class Asked:
    """A request, as far as it matters here; a header that is not there is empty."""

    method: bytes
    uri: bytes
    hosts: tuple[str, ...] = ()
    origin: str = ""
    fetch_site: str = ""
    fetch_mode: str = ""
    fetch_dest: str = ""
    authorization: str = ""
    cookie: str = ""  # the value of ours
    is_secure: bool = False


class Refused(NamedTuple):
    """A status and a line; `why` is the reason's name where it is one that an operator should hear of."""

    code: int
    line: str
    why: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True)
class Guard:
    """Of one door: `here`, whether only this host reaches it; the `token` that it takes, empty for none;
    `node` is what tells this node's cookie from another's on the same host."""

    here: bool
    token: str
    node: str
    is_socket: bool = False  # no browser reaches it, so a Host says nothing
    salt: bytes = b""  # drawn when the node starts

    @property
    def cookie(self) -> str:
        return f"mcmw-{self.node}"

    @property
    def ticket(self) -> str:
        """What the cookie holds: a browser shows it to whatever else is served on this host, so it is not the
        token, and good for nothing when this node has ended."""
        return hmac.new(self.salt, self.token.encode(), sha256).hexdigest()

    @property
    def stream_pass(self) -> str:
        """What opens streams and their files in a URL, and nothing else: in a playlist for who came with a
        cookie, which no player has.  Good for nothing when this node has ended."""
        return (
            hmac.new(self.salt, b"streams " + self.token.encode(), sha256).hexdigest() if self.token else ""
        )

    def judge(self, asked: Asked) -> Refused | None:
        """None where it may pass."""
        return self._well_formed(asked) or self._host(asked) or self._token(asked) or self._origin(asked)

    def _well_formed(self, asked: Asked) -> Refused | None:
        if asked.method not in SAFE | UNSAFE:
            return Refused(501, "this takes GET and HEAD")
        if len(asked.uri) > URI_MAX:
            return Refused(414, f"a URI has at most {URI_MAX} bytes here")
        return None if is_plain(asked.uri) else Refused(400, "this is no path that is served here")

    def _host(self, asked: Asked) -> Refused | None:
        if len(asked.hosts) > 1:
            return Refused(400, "there is more than one Host")
        if not self.here or self.is_socket:
            return None
        if not asked.hosts:
            return Refused(400, "the Host is missing")
        if names_this_host(asked.hosts[0]):
            return None
        return Refused(
            421, "this is served to this host alone: ask for 127.0.0.1 or localhost", "foreign_host"
        )

    def _token(self, asked: Asked) -> Refused | None:
        if not self.token:
            return None
        borne = _borne(asked.authorization)
        queried = _queried(asked.uri) if asked.method in SAFE and not borne else ""
        is_stream = asked.uri.startswith(STREAMS)
        given = borne or queried or asked.cookie
        wanted = [self.token if borne or queried else self.ticket]
        if queried and is_stream:
            wanted.append(self.stream_pass)
        if given and _is_one_of(given, wanted):
            return self._enter(asked) if queried and not is_stream else None
        what, why = ("the token is wrong", "wrong_token") if given else ("a token is needed", "")
        line = f"{what}; `mcmw web` on the node's host prints the URL to open"
        return Refused(401, line, why, ((b"www-authenticate", b'Bearer realm="mcmw"'),))

    def _enter(self, asked: Asked) -> Refused:
        """To the same without the token, with a cookie; the token is in no history and no Referer then."""
        secure = "; Secure" if asked.is_secure else ""
        cookie = f"{self.cookie}={self.ticket}; Path=/; HttpOnly; SameSite=Strict{secure}"
        headers = ((b"location", without_token(asked.uri)), (b"set-cookie", cookie.encode()))
        return Refused(303, "the token is taken; go on without it", "", headers)

    def _origin(self, asked: Asked) -> Refused | None:
        site = asked.fetch_site.lower()
        is_visit = asked.fetch_mode == "navigate" and asked.fetch_dest in ("document", "")
        if asked.method in SAFE:
            # "none": somebody typed it.  A link on another page may be followed, but nothing be embedded.
            if site in ("", SAME_ORIGIN, "none") or is_visit:
                return None
            return Refused(403, "a page of another site may not ask for this", "other_site")
        host = asked.hosts[0] if asked.hosts else ""
        ours = f"{'https' if asked.is_secure else 'http'}://{host}".lower()
        # A page cannot write the first one; behind a proxy only that is right, for the Host is another's.
        if site == SAME_ORIGIN or (not site and asked.origin.lower() == ours):
            return None
        line = "what changes something has to say that it comes from here: Sec-Fetch-Site, or Origin"
        return Refused(403, line, "other_site" if site or asked.origin else "")


def is_plain(uri: bytes) -> bool:
    """Is it a path of plain names, in ASCII, whatever its query?  Decoded once, it hides nothing."""
    if not uri.startswith(b"/") or not uri.isascii() or any(byte <= 32 or byte == 127 for byte in uri):
        return False
    for part in uri.partition(b"?")[0].split(b"/")[1:]:
        name = unquote_to_bytes(part)
        if name in (b".", b"..") or any(byte in b"/\\\x7f" or byte < 32 for byte in name):
            return False
        try:
            name.decode()
        except UnicodeDecodeError:
            return False
    return True


def names_this_host(host: str) -> bool:
    """Is it a loopback's name or address, with whatever port?"""
    found = HOST.fullmatch(host)
    if not found:
        return False
    name = found[1].strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: both lead to the loopback
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _is_one_of(given: str, wanted: list[str]) -> bool:
    """In constant time: all are looked at."""
    said = given.encode("utf-8", "replace")
    return sum(hmac.compare_digest(said, each.encode()) for each in wanted) > 0


def _borne(authorization: str) -> str:
    kind, _, value = authorization.partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _queried(uri: bytes) -> str:
    query = uri.partition(b"?")[2].decode("ascii")
    return next((value for name, value in parse_qsl(query) if name == "token"), "")


def without_token(uri: bytes) -> bytes:
    """The same path and query but for the token; never one that a browser takes for another host's."""
    path, _, query = uri.decode("ascii").partition("?")
    rest = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "token"]
    path = "/" + path.lstrip("/")
    return (path + ("?" + urlencode(rest) if rest else "")).encode()
