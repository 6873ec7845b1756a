"""[session:NAME]: sessions that this node announces for senders that announce nothing themselves.

RFC 2974, 3.1 has everybody share 4,000 bit/s of a scope, and nobody announce more often than every 300 s:
that is for the Internet of 1998, and long for who has just started a player.  Here a scope's announcements
share 40,000 bit/s, those that were heard included, and each comes every 5 s at most: 20 sessions of 500 bytes
come every 5 s, 1,000 every 100 s.  The interval varies by a third, so that nodes do not speak in step.

Besides that each is announced when the node starts, when somebody comes who has not heard it, and, as
deleted, when the node ends or node.ini has the section no longer.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from multicastmw import __version__
from multicastmw.core.sessions.scopes import sap_group
from multicastmw.wire.ipv4 import text as ip
from multicastmw.wire.sap import HASH_MAX, Announcement, hash_of
from multicastmw.wire.sdp import Attribute, Connection, Description, Media, Origin

# What the specifications say.
NTP = 2_208_988_800  # seconds from 1900 to 1970
MPEG_TS = "33"  # RFC 3551, 6: the payload type of a transport stream

# What we chose.
EVERY = 5.0
BITS_A_SECOND = 40_000
MEDIA_TTL = 127  # that a player is told of; it counts for senders alone
AGAIN = 1.0  # seconds from one announcement to the next, whoever comes
TOOL = f"mcmw {__version__}"


class Offer(NamedTuple):
    """What a [session:X] says."""

    section: str
    group: int
    port: int
    name: str
    description: str = ""
    category: str = ""
    protocol: str = "rtp"  # or udp: MPEG-TS without RTP


def describe(offer: Offer, node: int, address: str, version: int) -> Description:
    """The session's description; `node` is whose it is, so that its id is the same after a restart."""
    session = int.from_bytes(blake2b(f"{node:x} {offer.section}".encode(), digest_size=4).digest(), "big")
    rtp = offer.protocol == "rtp"
    attributes = [Attribute("tool", TOOL), Attribute("type", "broadcast")]
    if offer.category:
        attributes.append(Attribute("cat", offer.category))
    return Description(
        origin=Origin("-", str(session), str(version), "IP4", address),
        name=offer.name,
        information=offer.description,
        connection=Connection("IP4", ip(offer.group), MEDIA_TTL),
        attributes=tuple(attributes),
        media=(
            Media(
                "video",
                offer.port,
                "RTP/AVP" if rtp else "udp",
                (MPEG_TS,),
                attributes=(Attribute("rtpmap", f"{MPEG_TS} MP2T/90000"),) if rtp else (),
            ),
        ),
    )


@dataclass
class Announced:
    """One that is announced: both its packets, and when it is next."""

    offer: Offer
    scope: int
    identity: tuple[str, str, str, str]
    number: int  # the message id hash
    packet: bytes
    deletion: bytes
    next_at: float
    last: float = float("-inf")


class Announcer:
    """A machine with `deadline` and `tick`.

    `say` puts a SAP packet into a SAP group; `others` gives the bytes of all announcements of such a group.
    """

    def __init__(
        self,
        node: int,
        address: int,
        say: Callable[[bytes, int, float], None],
        others: Callable[[int], int],
        pick: Callable[[float, float], float],
    ) -> None:
        self.wake: Callable[[], None] = lambda: None
        self._node = node
        self._address = address
        self._say = say
        self._others = others
        self._pick = pick
        self._announced: dict[str, Announced] = {}

    def __len__(self) -> int:
        return len(self._announced)

    @property
    def identities(self) -> frozenset[tuple[str, str, str, str]]:
        """Of the sessions that are ours."""
        return frozenset(each.identity for each in self._announced.values())

    def offer(self, offers: Iterable[Offer], wall: float, now: float) -> None:
        """These and no others from now on; `wall` in seconds since 1970 dates what is new."""
        wanted = {offer.section: offer for offer in offers}
        taken = {each.number for each in self._announced.values()}
        for section in [s for s, each in self._announced.items() if wanted.get(s) != each.offer]:
            before = self._announced.pop(section)
            # One that only says something else is replaced by that; elsewhere nobody would hear it.
            if section not in wanted or before.scope != sap_group(wanted[section].group):
                self._say(before.deletion, before.scope, now)
        for section, offer in wanted.items():
            if section not in self._announced:
                made = self._announced[section] = self._made(offer, int(wall) + NTP, now, taken)
                taken.add(made.number)
        self.wake()

    def _made(self, offer: Offer, version: int, now: float, taken: Collection[int]) -> Announced:
        """`taken` are the message id hashes of others, and of what this one is said instead of.

        A listener may take two announcements of one host with one hash for the same (RFC 2974, 3; VLC does),
        and 16 bits fall together once in 13 nodes with 100 sessions.
        """
        description = describe(offer, self._node, ip(self._address), version)
        payload = description.build()
        number = hash_of(payload)
        while number in taken and len(taken) < HASH_MAX:
            number = number % HASH_MAX + 1
        packet = Announcement(number, self._address.to_bytes(4, "big"), payload)
        return Announced(
            offer,
            sap_group(offer.group),
            description.origin.identity,
            number,
            packet.build(),
            packet._replace(deletion=True).build(),
            now,
        )

    def again(self, scope: int, now: float) -> None:
        """Somebody may be there who has not heard them: soon, not at their time."""
        for each in self._announced.values():
            if each.scope == scope:
                each.next_at = min(each.next_at, max(now, each.last + AGAIN))
        self.wake()

    def withdraw(self, now: float) -> None:
        """The node ends, and with it what it says."""
        for each in self._announced.values():
            self._say(each.deletion, each.scope, now)
        self._announced.clear()

    def interval(self, scope: int) -> float:
        """Seconds between two announcements of one session there."""
        return max(EVERY, 8 * self._others(scope) / BITS_A_SECOND)

    def deadline(self) -> float:
        return min((each.next_at for each in self._announced.values()), default=float("inf"))

    def tick(self, now: float) -> None:
        due = [each for each in self._announced.values() if each.next_at <= now]
        intervals = {each.scope: self.interval(each.scope) for each in due}
        for each in due:
            around = intervals[each.scope]
            each.last = now
            each.next_at = now + self._pick(around * 2 / 3, around * 4 / 3)
            self._say(each.packet, each.scope, now)
