"""The session directory's part of the status snapshot."""

from collections.abc import Iterable
from heapq import nsmallest
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from multicastmw.core.identity import node_of
from multicastmw.core.sessions.directory import Session
from multicastmw.core.status import MediaStatus, SessionStatus
from multicastmw.wire import ipv4
from multicastmw.wire.sdp import ANY, Connection, Description, Filter, Media, decoded

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService


# What we chose, of one snapshot; a stranger's description may be long.
SHOWN_MAX = 256  # sessions; the rest is counted
FORMATS_SHOWN = 8  # of a medium


class Shown(NamedTuple):
    """What stays as it is until the description is another one."""

    media: tuple[MediaStatus, ...]
    sdp: str


def not_shown(node: "NodeService") -> int:
    return max(0, len(node.sessions.directory) - SHOWN_MAX)


def take(node: "NodeService", now: float) -> tuple[SessionStatus, ...]:
    """Those that are kept, by their names."""
    here = node.forwarder.origin
    ours = node.sessions.destination.announcer.identities
    found = []
    known = node.sessions.directory.sessions()
    for session in nsmallest(SHOWN_MAX, known, key=lambda each: (each.description.name, each.id)):
        brought_by: str | None = node.room.here.name
        if session.origin != here:
            brought_by = node.room.reach.name(node_of(session.origin))
        is_ours = session.origin == here and session.key[2] in ours
        found.append(_session(session, brought_by, is_ours, now))
    return tuple(found)


def counters(node: "NodeService") -> dict[str, int]:
    """What became of SAP packets, by names that say so."""
    counts = node.sessions.directory.counters.as_dict().items()
    pieces = node.sessions.destination.pieces().items()
    return {f"sap_{name}": count for name, count in counts} | {
        f"sessions_reassembly_{name}": count for name, count in pieces
    }


def _session(session: Session, node: str | None, ours: bool, now: float) -> SessionStatus:
    description = session.description
    if not isinstance(session.shown, Shown):
        media = tuple(each for media in description.media for each in _media(description, media))
        session.shown = Shown(media, decoded(session.text))
    return SessionStatus(
        id=session.id,
        name=description.name,
        description=description.information,
        category=description.category,
        tool=description.tool,
        source=ipv4.text(session.source),
        originator=str(ip_address(session.key[1])),
        node=node,
        ours=ours,
        announced_at=tuple(map(ipv4.text, sorted(session.scopes))),
        media=session.shown.media,
        period=None if session.period is None else round(session.period, 3),
        age=round(now - session.since, 3),
        heard_ago=round(now - session.heard, 3),
        expires_in=round(session.expires - now, 3),
        announcements=session.times,
        sdp=session.shown.sdp,
    )


def _media(description: Description, media: Media) -> Iterable[MediaStatus]:
    """One for each c= line of it."""
    encodings = {str(each.payload_type): each.encoding for each in media.maps}
    formats = media.formats[:FORMATS_SHOWN]
    filters = (*description.filters, *media.filters)
    for connection in description.where(media):
        yield MediaStatus(
            kind=media.kind,
            group=connection.address,
            groups=connection.groups,
            port=media.port,
            ports=media.ports,
            protocol=media.protocol,
            formats=formats,
            encodings=tuple(encodings[each] for each in formats if each in encodings),
            ttl=connection.ttl,
            sources=_sources(filters, connection),
            title=media.title,
        )


def _sources(filters: Iterable[Filter], connection: Connection) -> tuple[str, ...]:
    """Who may send to it (RFC 4570, 3): what a medium says of it comes later, and counts."""
    found: tuple[str, ...] = ()
    for each in filters:
        if each.includes and each.destination in (ANY, connection.address):
            found = each.sources
    return found
