"""The tables of a transport stream as they come: sections joined, and what they say kept.

A section is read only when its bytes differ from those that came before in its place.
"""

from collections.abc import Iterator
from typing import TypeVar

from multicastmw.wire.mpegts import (
    PAT_PID,
    PAT_TABLE,
    PMT_TABLE,
    PROGRAMMES_MAX,
    SDT_PID,
    SDT_TABLE,
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

# What we chose.
KEPT_MAX = 512  # sections that are known by their bytes
STUFFING = 0xFF  # behind the last section of a packet (ISO/IEC 13818-1, 2.4.4)

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

    __slots__ = ("_known", "changed", "pmt_pids", "pmts", "services")

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], bytes] = {}  # by PID, table and number
        self.pmt_pids: dict[int, int] = {}  # by programme
        self.pmts: dict[int, Pmt] = {}
        self.services: dict[int, Service] = {}
        self.changed = False

    def accept(self, pid: int, data: bytes) -> Section | None:
        """A section of a PID; its header where it is one of ours, None where it is another table's.

        Raises Malformed where its check sum, or what is in it, is wrong.
        """
        self.changed = False
        if data[0] != ITS_TABLE.get(pid, PMT_TABLE):
            return None
        section = parse_section(data)
        if not section.current:
            return None
        place = (pid, section.id, section.number)
        if self._known.get(place) != data:
            self._read(pid, section)
            if len(self._known) >= KEPT_MAX:
                self._known.clear()
            self._known[place] = data
            self.changed = True
        return section

    def _read(self, pid: int, section: Section) -> None:
        if section.table == PAT_TABLE:
            found = parse_pat(section.body)
            self._known.clear()  # what a programme is made of is read anew
            self.pmt_pids = found if not section.last else self._joined(self.pmt_pids, found)
            self.pmts = {number: pmt for number, pmt in self.pmts.items() if number in self.pmt_pids}
        elif section.table == PMT_TABLE:
            if self.pmt_pids.get(section.id) == pid:
                self.pmts[section.id] = parse_pmt(section.body)
        else:
            self.services = self._joined(self.services, parse_sdt(section.body))

    @staticmethod
    def _joined(known: dict[int, T], news: dict[int, T]) -> dict[int, T]:
        """Of a table in several sections; what is too much goes, the oldest first."""
        both = {**{key: value for key, value in known.items() if key not in news}, **news}
        return dict(list(both.items())[-PROGRAMMES_MAX:])
