"""The session directory as files that players open: M3U, XSPF, SDP, JSON.

Each takes the `sessions` of a status document (Status.as_dict) and gives a text.  Names in them are
strangers': in a playlist they are one line, in XML they are escaped.

Without multicast a player has the URL of this node's HTTP output, which carries transport streams of IPv4.

A URL is enough for one stream whose payload says what it is: MPEG-TS, or an RTP payload type that is not
dynamic.  Anything else is played by its SDP, at `base` + "/session/ID.sdp"; without a base, as in a file, a
playlist leaves it out and says so.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

Session = Mapping[str, Any]
Media = Mapping[str, Any]

# What the specifications say: RFC 3551, 6.
DYNAMIC = 96
MP2T = "33"
PLAIN = ("udp", "mp2t/h2221/udp")  # protocols without RTP

BY_SDP = "is played by its SDP, of id {id}"

TYPES = {
    "json": "application/json",
    "m3u": "audio/x-mpegurl; charset=utf-8",
    "xspf": "application/xspf+xml; charset=utf-8",
    "sdp": "application/sdp",
}


def as_json(sessions: Iterable[Session]) -> str:
    """{"sessions": [...]}, as they stand in the status."""
    return json.dumps({"sessions": list(sessions)}) + "\n"


def m3u(sessions: Iterable[Session], base: str = "", query: str = "", via_http: bool = False) -> str:
    """A playlist: for each session a line with its name, and one with its address."""
    lines = ["#EXTM3U"]
    for session in sessions:
        address = (http_address_of if via_http else address_of)(session, base, query)
        if address is None:
            why = "is no single transport stream of IPv4, and HTTP has nothing else" if via_http else BY_SDP
            lines.append(f"# {title(session)}: {why.format(id=session['id'])}")
            continue
        group = one_line(session["category"]).replace('"', "'")
        attribute = f' group-title="{group}"' if group else ""
        lines += [f"#EXTINF:-1{attribute},{title(session)}", address]
    return "\n".join(lines) + "\n"


def xspf(sessions: Iterable[Session], base: str = "", query: str = "", via_http: bool = False) -> str:
    """The same in XML (XSPF 1)."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<playlist version="1" xmlns="http://xspf.org/ns/0/">',
        "  <title>Sessions</title>",
        "  <trackList>",
    ]
    for session in sessions:
        if address := (http_address_of if via_http else address_of)(session, base, query):
            lines += ["    <track>", *_track(session, address), "    </track>"]
    return "\n".join([*lines, "  </trackList>", "</playlist>", ""])


def _track(session: Session, address: str) -> Iterable[str]:
    said = {
        "location": address,
        "identifier": f"urn:mcmw:session:{session['id']}",
        "title": title(session),
        "annotation": one_line(session["description"]),
        "album": one_line(session["category"]),
    }
    return (f"      <{tag}>{escape(text)}</{tag}>" for tag, text in said.items() if text)


def sdp(session: Session) -> str:
    """Its description as it was announced, with the line ends that RFC 8866 wants."""
    lines = session["sdp"].replace("\r\n", "\n").rstrip("\n\0").split("\n")
    return "".join(f"{line}\r\n" for line in lines)


def find(sessions: Iterable[Session], wanted: str) -> list[Session]:
    """Those of this id, else of this name."""
    known = list(sessions)
    return [s for s in known if s["id"] == wanted] or [s for s in known if s["name"] == wanted]


def stream(group: str, port: int, source: str, is_rtp: bool) -> Session:
    """A stream that nobody announces, as if somebody did; `source` may be empty."""
    media = {
        "group": group, "port": port, "protocol": "RTP/AVP" if is_rtp else "udp", "formats": [MP2T],
        "encodings": [], "sources": [source] if source else [],
    }  # fmt: skip
    name = f"{group}:{port}"
    return {"id": name, "name": name, "description": "", "category": "", "media": [media], "sdp": ""}


# --- addresses


def address_of(session: Session, base: str = "", query: str = "") -> str | None:
    """What a player opens: a URL of the stream, else of its SDP; None: without a base there is none.

    `query` is what has to stand behind that URL: a token.
    """
    streams = [media for media in session["media"] if media["port"]]
    if len(streams) == 1 and _says_what_it_is(streams[0]):
        return url(streams[0])
    return f"{base.rstrip('/')}/session/{session['id']}.sdp{query}" if base and streams else None


def http_address_of(session: Session, base: str, query: str = "") -> str | None:
    """The URL of the HTTP output at `base`, for a player without multicast; None: it has no such stream."""
    streams = [media for media in session["media"] if media["port"]]
    if len(streams) != 1 or not _is_ts(streams[0]) or not _is_ipv4(streams[0]["group"]):
        return None
    (media,) = streams
    source = urlencode({"source": media["sources"][0]}) if len(media["sources"]) == 1 else ""
    asked = "&".join(filter(None, (source, query.removeprefix("?"))))
    where = f"{_scheme(media)}/{media['group']}:{media['port']}"
    return f"{base.rstrip('/')}/{where}{'?' if asked else ''}{asked}"


def url(media: Media) -> str:
    """As VLC and ffmpeg have it: rtp://SOURCE@GROUP:PORT, and without a source rtp://@GROUP:PORT."""
    sources = media["sources"]
    source = _literal(sources[0]) if len(sources) == 1 else ""
    return f"{_scheme(media)}://{source}@{_literal(media['group'])}:{media['port']}"


def _is_ipv4(address: str) -> bool:
    try:
        return IPv4Address(address).is_multicast
    except ValueError:
        return False  # a name, or IPv6


def _literal(address: str) -> str:
    """An IPv6 address wants brackets."""
    try:
        return f"[{IPv6Address(address)}]"
    except ValueError:
        return address


def _scheme(media: Media) -> str:
    return "rtp" if "RTP" in media["protocol"].upper() else "udp"


def _is_ts(media: Media) -> bool:
    """What comes without RTP is taken for one."""
    formats, encodings = list(media["formats"]), [each.upper() for each in media["encodings"]]
    return media["protocol"].lower() in PLAIN or formats == [MP2T] or set(encodings) == {"MP2T"}


def _says_what_it_is(media: Media) -> bool:
    if media["protocol"].lower() in PLAIN:
        return True
    return all(each.isdigit() and int(each) < DYNAMIC for each in media["formats"])


# --- names


def title(session: Session) -> str:
    """Its name on one line, or its id."""
    return one_line(session["name"]) or str(session["id"])


def one_line(text: str) -> str:
    """Without line breaks of any kind, and without what is not printable."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


TEXTS: dict[str, Callable[[Iterable[Session]], str]] = {"json": as_json, "m3u": m3u, "xspf": xspf}
