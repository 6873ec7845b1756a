"""What the querier is told, what it asks for and what it shows: settings, actions, counters, status."""

from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from typing import NamedTuple

from multicastmw.wire.igmp import MOST_INTERVAL, V1_RESPONSE, Reason

# What the RFCs say.
ANY = 0  # as a source
LINK_LOCAL = 0xE0000000 >> 8  # 224.0.0.0/24

# Chosen.
RESPONSE = 2.0  # seconds to answer a general query: hosts draw their delay, so thousands of reports spread
STARTUP_RESPONSE = 1.0  # a node that starts wants to know soon
STARTUP_AT = (0.0, 1.0, 3.0)  # seconds after the TAP is open; the first may go out before anybody listens
# An answer may be later than asked for: Linux adds two jiffies (20 ms at HZ = 100), we are woken late.
# Without it a flow would be cut whenever a host draws the longest delay.
GRACE = 0.125


@dataclass(frozen=True)
class IgmpSettings:
    """How one TAP's querier behaves; times in seconds.  Raises ValueError."""

    version: int = 3
    query_interval: float = 10.0
    robustness: int = 2
    last_member_interval: float = 0.5
    max_groups: int = 4096
    max_sources: int = 64

    def __post_init__(self) -> None:
        bounds = {
            "version": (1, 3),
            "query_interval": (1, MOST_INTERVAL),
            "robustness": (1, 255),
            "last_member_interval": (0.1, 25.5),  # version 2 has 8 bits of tenths
            "max_groups": (1, 1 << 28),
            "max_sources": (1, 256),  # a query that asks for all of them fits any MTU
        }
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}, not from {least} to {most}")

    @property
    def response(self) -> float:
        """How long hosts may take to answer a general query; version 1 cannot say it."""
        return V1_RESPONSE if self.version == 1 else min(RESPONSE, self.query_interval / 2)

    @property
    def last_member_time(self) -> float:
        """Until when somebody must have said that a flow is still wanted (RFC 3376, 8.10)."""
        return self.robustness * self.last_member_interval + GRACE


class Timing(NamedTuple):
    """The elected querier's times: ours, or those that another's queries tell (RFC 3376, 4.1.6 and 4.1.7)."""

    robustness: int
    interval: float
    response: float
    margin: float = GRACE

    def lifetime(self, *, v1: bool) -> float:
        """Group Membership Interval (RFC 3376, 8.4); a version 1 host answers when it likes within 10 s."""
        response = max(self.response, V1_RESPONSE) if v1 else self.response
        return self.robustness * self.interval + response + self.margin

    @property
    def other_present(self) -> float:
        """Other Querier Present Interval (RFC 3376, 8.5)."""
        return self.robustness * self.interval + self.response / 2


class Send(NamedTuple):
    """A whole IPv4 packet for the TAP."""

    packet: bytes


class Want(NamedTuple):
    """Somebody on the TAP wants the channel now; source 0: any."""

    group: int
    source: int


class Unwant(NamedTuple):
    """Nobody does any more."""

    group: int
    source: int


Action = Send | Want | Unwant


@dataclass
class Counters:
    """What came and went since the process started."""

    general_queries_sent: int = 0
    specific_queries_sent: int = 0
    queries_heard: int = 0
    older_queries_heard: int = 0
    own_queries_heard: int = 0
    reports_v1: int = 0
    reports_v2: int = 0
    reports_v3: int = 0
    leaves: int = 0
    no_router_alert: int = 0
    unknown_messages: int = 0
    unknown_records: int = 0
    not_groups: int = 0
    groups_over_bound: int = 0
    hosts_over_bound: int = 0
    sources_over_bound: int = 0
    malformed: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(Reason, 0))

    def values(self) -> dict[str, int]:
        """Names to numbers; of the malformed one for each reason: malformed_checksum, ..."""
        values = asdict(self)
        malformed = values.pop("malformed")
        return values | {f"malformed_{reason}": count for reason, count in malformed.items()}


@dataclass(frozen=True)
class GroupStatus:
    """One group as status shows it; addresses are 32-bit integers, times in seconds from now."""

    group: int
    mode: str  # "include" or "exclude"
    version: int  # of the oldest host heard: the compatibility mode
    sources: tuple[int, ...]  # wanted from
    excluded: tuple[int, ...]  # in exclude mode: wanted by nobody; the hosts' kernels filter them
    reporter: int  # who reported last; 0: a host without an address
    hosts: tuple[int, ...]  # all that reported and have not left, where they have addresses
    expires_in: float
    over_bound: bool  # more sources than we keep: any


@dataclass(frozen=True)
class QuerierStatus:
    """The querier as status shows it."""

    running: bool
    version: int
    address: int
    querier: int  # who asks: `address`, or another's
    is_querier: bool
    other_expires_in: float  # 0 where we are the querier
    groups: tuple[GroupStatus, ...]
    counters: dict[str, int]


def querier_address(tap_address: str | None, configured: str | None = None) -> int:
    """The address that the querier speaks from, 0 without a subnet; raises ValueError.

    From the TAP's own address the kernel would ignore it.  The highest one of the subnet, because the
    lowest wins an election and a real router on a bridged LAN should.
    """
    tap = IPv4Interface(tap_address) if tap_address else None
    if configured:
        address = IPv4Address(configured)
        if tap and address == tap.ip:
            raise ValueError(f"querier-address {configured} is the TAP's own: the kernel would ignore it")
        if address.is_multicast or address.is_reserved:
            raise ValueError(f"querier-address {configured} is no host's address")
        return int(address)
    if tap is None or tap.network.prefixlen == 32:
        return 0
    # A /31 has no broadcast address (RFC 3021).
    highest = int(tap.network.broadcast_address) - (tap.network.prefixlen < 31)
    return highest - (highest == int(tap.ip))
