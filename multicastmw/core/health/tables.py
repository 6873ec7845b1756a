"""The tables of a transport stream as they come: sections joined, and what they say kept.

A section is read only when its bytes differ from those that came before in its place.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from multicastmw.wire.errors import Malformed
from multicastmw.wire.mpegts import (
    PAT_PID,
    PAT_TABLE,
    PMT_TABLE,
    PROGRAMMES_MAX,
    SDT_PID,
    SDT_TABLE,
    SHORTEST_SECTION,
    Pmt,
    Section,
    Service,
    parse_pat,
    parse_pmt,
    parse_sdt,
    parse_section,
    section_length,
)

T = TypeVar("T")
Place = tuple[int, bytes, int, int]  # PID, table id extension, is it current, number

# What we chose.
KEPT_MAX = 512  # sections that are known by their bytes
ELEMENTARY_MAX = 1_024  # elementary streams of all programmes together; a multiplex has some hundred
STUFFING = 0xFF  # behind the last section of a packet (ISO/IEC 13818-1, 2.4.4)

CURRENT = 1  # in the byte of the version
ITS_TABLE = {PAT_PID: PAT_TABLE, SDT_PID: SDT_TABLE}  # every other PID that is read has PMTs


class Joiner:
    """Sections out of one PID's payloads.  It holds less than 4,280 bytes: a section and a packet."""

    __slots__ = ("_inside", "_partial")

    def __init__(self) -> None:
        self._partial = bytearray()
        self._inside = False

    def lose(self) -> None:
        """A packet is missing: what was begun cannot be finished."""
        self._partial.clear()
        self._inside = False

    def accept(self, payload: bytes, begins: bool) -> Iterator[bytes]:
        """Whole sections; `begins`: PUSI is set, so the first byte says where a section begins."""
        if not payload:
            return
        if begins:
            pointer = payload[0]
            if self._inside:
                yield from self._join(payload[1 : 1 + pointer])
            self._partial.clear()
            self._inside = True
            payload = payload[1 + pointer :]
        if self._inside:
            yield from self._join(payload)

    def _join(self, data: bytes) -> Iterator[bytes]:
        partial = self._partial
        partial += data
        while len(partial) >= 3 and partial[0] != STUFFING:
            size = section_length(partial)
            if len(partial) < size:
                return
            yield bytes(partial[:size])
            del partial[:size]
        if partial and partial[0] == STUFFING:
            self.lose()


class Tables:
    """PAT, PMTs and SDT as they are now.  `changed` after a section says that one of them differs."""

    __slots__ = ("_known", "_may_read", "changed", "pmt_pids", "pmts", "services")

    def __init__(self, may_read: Callable[[int], bool] = lambda size: True) -> None:
        """`may_read` is asked before a section of that size is read that is new."""
        self._may_read = may_read
        self._known: dict[Place, tuple[bytes, Section]] = {}
        self.pmt_pids: dict[int, int] = {}  # by programme
        self.pmts: dict[int, Pmt] = {}
        self.services: dict[int, Service] = {}
        self.changed = False

    def accept(self, pid: int, data: bytes) -> Section | None:
        """A section of a PID; its header where it is one of ours, None where it is another table's.

        Raises Malformed where its check sum, or what is in it, is wrong.  What came before, byte for byte, is
        not checked again.
        """
        self.changed = False
        if data[0] != ITS_TABLE.get(pid, PMT_TABLE):
            return None
        if len(data) < SHORTEST_SECTION:
            raise Malformed(f"a section of {len(data)} bytes")
        place = pid, data[3:5], data[5] & CURRENT, data[6]
        known = self._known.get(place)
        if known is None or known[0] != data:
            if not self._may_read(len(data)):
                return None
            section = parse_section(data)
            if section.current:
                self._read(pid, section)
                self.changed = True
            if len(self._known) >= KEPT_MAX:
                self._known.clear()
            known = self._known[place] = data, section._replace(body=b"")
        return known[1] if known[1].current else None

    def _read(self, pid: int, section: Section) -> None:
        if section.table == PAT_TABLE:
            found = parse_pat(section.body)
            self._known.clear()  # what a programme is made of is read anew
            self.pmt_pids = found if not section.last else self._joined(self.pmt_pids, found)
            self.pmts = {number: pmt for number, pmt in self.pmts.items() if number in self.pmt_pids}
        elif section.table == PMT_TABLE:
            if self.pmt_pids.get(section.id) == pid:
                self._keep(section.id, parse_pmt(section.body))
        else:
            self.services = self._joined(self.services, parse_sdt(section.body))

    def _keep(self, programme: int, pmt: Pmt) -> None:
        """What it is made of, as far as there is room."""
        others = sum(len(each.streams) for number, each in self.pmts.items() if number != programme)
        self.pmts[programme] = pmt._replace(streams=pmt.streams[: max(0, ELEMENTARY_MAX - others)])

    @staticmethod
    def _joined(known: dict[int, T], news: dict[int, T]) -> dict[int, T]:
        """Of a table in several sections; what is too much goes, the oldest first."""
        both = {**{key: value for key, value in known.items() if key not in news}, **news}
        return dict(list(both.items())[-PROGRAMMES_MAX:])
