"""The two ways of a link, its connection and its socket for datagrams, and what it counts there."""

from typing import NamedTuple, Protocol

from multicastmw.core.counters import Counters
from multicastmw.core.run import Socket


class Outlet(Protocol):
    """The connection as a link sees it.  Addresses are numeric texts, without a port."""

    address: str
    local_address: str
    secure: bool  # is it inside TLS?

    def write(self, message: bytes) -> None: ...
    def objection(self, names: tuple[str, ...], node: int | None = None) -> str | None:
        """Why the connection cannot be that node's, of all these names; None where it can."""

    def finish(self) -> None:
        """Closes when all that was written is out."""

    def abort(self) -> None:
        """Closes at once."""

    def wake(self) -> None:
        """The link's deadline may have moved nearer."""

    def hold(self) -> None:
        """Nothing more is to be read for now; what is under way may still come."""

    def go_on(self) -> None:
        """Reads again."""


class Datagrams(Socket, Protocol):
    """The connected UDP socket of a link."""

    local: tuple[str, int]
    remote: tuple[str, int]

    def repoint(self, remote: tuple[str, int]) -> None:
        """The peer's datagrams come from there (NAT)."""

    def read_waiting(self) -> bool:
        """Takes what has come already; True: there may be more."""

    def mtu(self) -> int:
        """The longest IP packet (bytes) that is known to fit the way to the peer."""

    def drops(self) -> int:
        """Datagrams that the kernel had no room for."""

    def close(self) -> None: ...


class DataAddresses(NamedTuple):
    """A link's data path on UDP; `expected` is the token in the peer's datagrams, `token` the one in ours."""

    local: tuple[str, int]
    remote: tuple[str, int]
    token: int
    expected: int
    mtu: int


class LinkCounters(Counters):
    """Packets and bytes of IP Data messages, and what a link lost or had to treat otherwise."""

    __slots__ = (
        "bad_probes",
        "channels_refused",
        "held",
        "nodes_refused",
        "over_tcp_too_long",
        "probes_over_bound",
        "received",
        "received_bytes",
        "received_tcp",
        "repointed",
        "said",
        "send_errors",
        "sent",
        "sent_bytes",
        "sent_tcp",
        "socket_full",
        "unknown_messages",
        "unknown_objects",
    )
    bad_probes: int
    channels_refused: int
    held: int
    nodes_refused: int
    over_tcp_too_long: int
    probes_over_bound: int
    received: int
    received_bytes: int
    received_tcp: int
    repointed: int
    said: int  # messages of the mesh
    send_errors: int
    sent: int
    sent_bytes: int
    sent_tcp: int
    socket_full: int
    unknown_messages: int
    unknown_objects: int

    @property
    def sent_on_udp(self) -> int:
        """Modulo 2^32, as it is told."""
        return (self.sent - self.sent_tcp) & 0xFFFFFFFF

    @property
    def received_on_udp(self) -> int:
        return (self.received - self.received_tcp) & 0xFFFFFFFF
