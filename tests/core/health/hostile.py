"""Datagrams that a stranger may send to cost whoever looks at them as much as can be."""

from collections.abc import Callable
from itertools import count
from struct import pack

from multicastmw.wire.mpegts import PACKET, crc

ROOM = PACKET - 4
SERVICES = 83  # as many as one section can name

Datagrams = Callable[[int], bytes]

# --- transport streams


def packet(pid: int, counter: int, payload: bytes, begins: bool = True) -> bytes:
    head = pack("!BHB", 0x47, begins << 14 | pid, 0x10 | counter & 15)
    return head + payload.ljust(ROOM, b"\xff")[:ROOM]


def section(table: int, identity: int, number: int, last: int, body: bytes) -> bytes:
    head = pack("!BHHBBB", table, 0xB000 | len(body) + 9, identity, 0xC1, number, last)
    return head + body + crc(head + body)


def ordinary(number: int) -> bytes:
    return b"".join(packet(0x100, 7 * number + n, bytes(ROOM), begins=False) for n in range(7))


def full_of(make: Callable[[], bytes], pid: int = 0) -> Datagrams:
    """Every packet as full of sections as can be."""

    def payload() -> bytes:
        found, more = b"\0", make()
        while len(found) + len(more) <= ROOM:
            found, more = found + more, make()
        return found

    return lambda number: b"".join(packet(pid, 7 * number + n, payload()) for n in range(7))


def tiny() -> bytes:
    """A section of three bytes."""
    return b"\x00\xb0\x00"


def new_pats() -> Callable[[], bytes]:
    """Of a table in many, each of which says something else."""
    numbers = count()

    def make() -> bytes:
        number = next(numbers)
        return section(
            0, 1, number & 255, 255, pack("!HH", number % 0xFFFF + 1, 0xE000 | 0x20 + number % 8000)
        )

    return make


def long_sdts(number: int) -> bytes:
    """One section over six packets, of as many services as it can name, each time others."""
    services = b"".join(
        pack("!HBHBBBB", (number * 60 + n) & 0xFFFF, 0, 0x8000 | 7, 0x48, 5, 1, 0) + b"\x02ab"
        for n in range(SERVICES)
    )
    whole = b"\0" + section(0x42, number & 0xFFFF, 0, 0, b"\0\1\xff" + services)
    return b"".join(
        packet(0x11, 6 * number + n, whole[n * ROOM : (n + 1) * ROOM], begins=n == 0) for n in range(6)
    )


def clocks(number: int) -> bytes:
    """A clock reference in every packet, each on a PID of its own, and no counter that goes on."""
    return b"".join(
        pack("!BHBBBIH", 0x47, 0x100 + n, 0x30 | number * 5 & 15, 7, 0x10, number * 900, 0).ljust(
            PACKET, b"\xff"
        )
        for n in range(7)
    )


def unsynced(number: int) -> bytes:
    return b"".join((b"\x46" if (number + n) % 2 else b"\x47") + bytes(PACKET - 1) for n in range(7))


# --- RTP and RTCP


def many_parts(number: int) -> bytes:
    """Every one of them about the source that the first is from."""
    return pack("!BBHI", 0x81, 200, 1, 7) + pack("!BBHI", 0x81, 202, 1, 7) * 180


def many_items(number: int) -> bytes:
    items = b"\x02\0" * 700
    return pack("!BBHI", 0x81, 201, 1, 7) + pack("!BBHI", 0x81, 202, 1 + len(items) // 4, 7) + items


def leaps(number: int) -> bytes:
    """As many numbers left out as are no restart."""
    return pack("!BBHII", 0x80, 33, number * 2_999 & 0xFFFF, 0, 7) + ordinary(number)


def to_and_fro(number: int) -> bytes:
    """A gap, then one behind its turn, so that all wait."""
    return pack("!BBHII", 0x80, 33, number * 3 - 40 * (number % 2) & 0xFFFF, 0, 7) + ordinary(number)


HOSTILE: dict[str, Datagrams] = {
    "sections of three bytes": full_of(tiny),
    "PATs that are new": full_of(new_pats()),
    "PATs of no programmes": full_of(lambda: section(0, 1, 0, 0, b"")),
    "an SDT that is new, of 83 services": long_sdts,
    "clock references": clocks,
    "no sync": unsynced,
    "RTCP of many parts": many_parts,
    "a description of many items": many_items,
    "RTP that leaves out 2,998 each time": leaps,
    "RTP out of order": to_and_fro,
}
