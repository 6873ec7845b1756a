"""What can be wrong with a transport stream, by the names of ETSI TR 101 290, 5.2, and who did it."""

from typing import NamedTuple

# The names, in the order of the report: table 5.0a (first priority) and what we look at of 5.0b (second).
SYNC_LOSS = "TS_sync_loss"
SYNC_BYTE = "Sync_byte_error"
PAT = "PAT_error"
CONTINUITY = "Continuity_count_error"
PMT = "PMT_error"
PID = "PID_error"
TRANSPORT = "Transport_error"
CRC = "CRC_error"
PCR_REPETITION = "PCR_repetition_error"
PCR_DISCONTINUITY = "PCR_discontinuity_indicator_error"
FIRST_PRIORITY = (SYNC_LOSS, SYNC_BYTE, PAT, CONTINUITY, PMT, PID)
SECOND_PRIORITY = (TRANSPORT, CRC, PCR_REPETITION, PCR_DISCONTINUITY)


class Tally:
    """How often, and when last; the source's and the way's apart."""

    __slots__ = ("last", "source", "way")

    def __init__(self) -> None:
        self.source = self.way = 0
        self.last = float("-inf")


class Found(NamedTuple):
    """One kind of error that there was; `last` is when."""

    name: str
    source: int
    way: int
    last: float


class Errors:
    """The tallies of one stream."""

    __slots__ = ("_tallies",)

    def __init__(self) -> None:
        self._tallies = {name: Tally() for name in FIRST_PRIORITY + SECOND_PRIORITY}

    def count(self, name: str, by_way: bool, now: float) -> None:
        tally = self._tallies[name]
        if by_way:
            tally.way += 1
        else:
            tally.source += 1
        tally.last = now

    def found(self) -> list[Found]:
        """Those that were, in the order of the report."""
        return [
            Found(name, tally.source, tally.way, tally.last)
            for name, tally in self._tallies.items()
            if tally.source or tally.way
        ]
