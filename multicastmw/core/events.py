"""The vocabulary: everything that a node has to say, once.

Log, status and tests read these.  Each is a value with a sentence; `text` is the sentence's format and
`level` one of twisted.logger's names.  `warning`s that a stranger can provoke are thinned by whoever prints
them: see services/journal.py.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: `text` makes a sentence of the fields, `level` is a log level's name.

    Where `alike` is given, an event with the same values in these fields is one that repeats, and is said
    ever less often: so it stands wherever somebody else decides how often it happens.  What a stranger can
    invent is left out of it as far as it can be.
    """

    text: ClassVar[str]
    level: ClassVar[str] = "info"
    alike: ClassVar[tuple[str, ...] | None] = None

    def fields(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        """The event as people read it."""
        return self.text.format(**asdict(self))


@dataclass(frozen=True, slots=True)
class Ready(Event):
    """The node does its work."""

    node: str
    device: str
    text = "{node} is ready on {device}"


@dataclass(frozen=True, slots=True)
class TapUp(Event):
    """The TAP is open and configured."""

    device: str
    address: str
    mtu: int
    text = "{device} is up: {address}, MTU {mtu}"


@dataclass(frozen=True, slots=True)
class TapPending(Event):
    """The TAP is not usable; it is tried again."""

    device: str
    why: str
    text = "{device} is pending: {why}"
    alike = ("device", "why")
    level = "warn"


@dataclass(frozen=True, slots=True)
class GatewayForwards(Event):
    """This node forwards for the LAN that its TAP is bridged to."""

    device: str
    bridge: str
    text = "{device} forwards for the LAN behind {bridge}"
    alike = ("device",)


@dataclass(frozen=True, slots=True)
class GatewayStandsBy(Event):
    """Another gateway forwards for the LAN."""

    device: str
    bridge: str
    other: str
    address: str
    text = "{device} stands by: {other} at {address} forwards for the LAN behind {bridge}"
    alike = ("device", "other")


@dataclass(frozen=True, slots=True)
class AnotherAsks(Event):
    """Another querier on the LAN has the better right (IGMP), so this node only listens to the answers."""

    device: str
    who: str
    text = "{device} leaves the queries to {who}"
    alike = ("device",)


@dataclass(frozen=True, slots=True)
class AsksAgain(Event):
    """The other querier is silent."""

    device: str
    who: str
    text = "{device} asks the hosts again: {who} is silent"
    alike = ("device",)


@dataclass(frozen=True, slots=True)
class Slept(Event):
    """This host, or this process, did not run for a while."""

    seconds: float
    what: str
    text = (
        "{what} for {seconds} s: links that others gave up meanwhile come back by themselves; if nobody meant"
        " it to, look at the load and the swap of this host"
    )
    alike = ("what",)
    level = "warn"


@dataclass(frozen=True, slots=True)
class ClockSet(Event):
    """The wall clock was set; whatever this process counts goes by another one."""

    seconds: float
    text = (
        "the wall clock was set by {seconds:+} s: streams and links do not mind; times in logs and captures"
        " from before do not match, and certificates may be out of date: see that the clock is right (NTP)"
    )
    alike = ()
    level = "warn"


@dataclass(frozen=True, slots=True)
class PeerUp(Event):
    """Both sides have said Open."""

    peer: str
    address: str
    text = "{peer} at {address} is up"
    alike = ("peer", "address")


@dataclass(frozen=True, slots=True)
class NeighbourUp(PeerUp):
    """A link that the mesh opened: it has many, and some for seconds only."""

    text = "{peer} at {address} is a neighbour"
    level = "debug"


@dataclass(frozen=True, slots=True)
class NeighbourMoved(Event):
    """A node of the mesh has come back from an address where it was never seen."""

    peer: str
    address: str
    before: str
    text = (
        "{peer} is at {address} now, and was at {before}: give seeds =, [peer:NAME] and firewalls that name"
        " the old address the new one"
    )
    alike = ("address", "peer")


@dataclass(frozen=True, slots=True)
class SeedUnreachable(Event):
    """A node of the mesh that is asked first could not be reached; the others are tried."""

    seed: str
    why: str
    text = "the seed {seed} cannot be reached: {why}"
    level = "warn"
    alike = ("seed", "why")


@dataclass(frozen=True, slots=True)
class PeerDown(Event):
    """A peer that was up is gone."""

    peer: str
    address: str
    why: str
    text = "{peer} at {address} is down: {why}"
    alike = ("peer", "address", "why")
    level = "warn"


@dataclass(frozen=True, slots=True)
class NeighbourDown(PeerDown):
    """The mesh had no use for a link any more, at either end."""

    text = "{peer} at {address} is a neighbour no more: {why}"
    level = "debug"


@dataclass(frozen=True, slots=True)
class LeftAlone(Event):
    """A node of the mesh breaks its promises, or floods."""

    peer: str
    address: str
    why: str
    seconds: int
    text = "{peer} at {address} is left alone for {seconds} s: {why}; if it is yours, look at its log"
    alike = ("address", "why")
    level = "warn"


@dataclass(frozen=True, slots=True)
class NotBelieved(Event):
    """A node of the mesh tells of members that this one does not reach."""

    peer: str
    address: str
    seconds: int
    text = (
        "{peer} at {address} is not believed for {seconds} s when it tells of others: hardly one of the"
        " members that it told of is reached from here"
    )
    alike = ("address",)
    level = "warn"


@dataclass(frozen=True, slots=True)
class PeerUnreachable(Event):
    """A dial failed; it is tried again for ever."""

    peer: str
    endpoint: str
    why: str
    text = "{peer} at {endpoint} is not reached: {why}"
    alike = ("peer", "why")
    level = "warn"


@dataclass(frozen=True, slots=True)
class PeerRefused(Event):
    """We closed a link because of what the peer did."""

    peer: str
    address: str
    why: str
    text = "closed the link with {peer} at {address}: {why}"
    alike = ("address", "why")
    level = "warn"


@dataclass(frozen=True, slots=True)
class CallerRefused(Event):
    """We closed a connection whose caller has not said who it is."""

    address: str
    why: str
    text = "closed the connection from {address}: {why}"
    alike = ("address", "why")
    level = "warn"


@dataclass(frozen=True, slots=True)
class PeerRefuses(Event):
    """A peer that dialled wants another node than this one."""

    address: str
    why: str
    text = "no link with the node at {address}: {why}"
    alike = ("address", "why")
    level = "warn"


@dataclass(frozen=True, slots=True)
class Renewed(Event):
    """A certificate that was renewed on disk is in use from the next connection on."""

    file: str
    until: str
    text = "[tls] {file} was renewed and is in use, until {until}"


@dataclass(frozen=True, slots=True)
class PeerIsMisnamed(Event):
    """Somebody else answers at the endpoint of a [peer:NAME]."""

    peer: str
    address: str
    name: str
    text = "[peer:{peer}] reaches a node named {name} at {address}: call the section [peer:{name}]"
    alike = ("peer", "address")
    level = "warn"


@dataclass(frozen=True, slots=True)
class SameNodeTwice(Event):
    """One node id at two addresses: cloned hosts must be named apart."""

    peer: str
    where: str
    text = "the node name {peer} is in use {where}: give one of them another name"
    alike = ("where", "peer")  # in this order: who invents names at one place takes few kinds
    level = "error"


def same_node_twice(peer: str, older: str, newer: str, may_be_one: bool = False) -> SameNodeTwice:
    """The same for both orders: of two that take a link from each other each is the newer in turn."""
    first, second = sorted((older, newer))
    where = f"twice at {first}" if first == second else f"at {first} and at {second}"
    return SameNodeTwice(peer, f"{where}, unless it is one node with two ways to it" if may_be_one else where)


def own_name_elsewhere(name: str, peer: str, address: str) -> SameNodeTwice:
    """That a peer, whom this node does not reach, reaches this node."""
    return SameNodeTwice(name, f"here and elsewhere, as {peer} at {address} reaches it without this node")


@dataclass(frozen=True, slots=True)
class OwnName(Event):
    """A peer has our own node id."""

    peer: str
    address: str
    text = (
        "the node at {address} is named {peer}, as this one is: a clone, that wants another [node] name,"
        " or a dial to ourselves"
    )
    alike = ("address",)
    level = "error"


@dataclass(frozen=True, slots=True)
class Cycle(Event):
    """A link that the peer dialled would close a cycle; there it stands by."""

    peer: str
    address: str
    why: str
    text = "refused the link with {peer} at {address}, a standby or a second node of that name: {why}"
    alike = ("peer", "address")


@dataclass(frozen=True, slots=True)
class StandsBy(Event):
    """A link that this node dials would close a cycle; it takes over when the peer is reached no more."""

    peer: str
    why: str
    text = "the link with {peer} stands by: {why}"
    alike = ("peer",)


@dataclass(frozen=True, slots=True)
class DataMoved(Event):
    """Data of a link changed between UDP and TCP."""

    peer: str
    to: str
    why: str
    text = "data to {peer} goes over {to}: {why}"
    alike = ("peer", "to")


@dataclass(frozen=True, slots=True)
class CorrectionBegins(Event):
    """[recovery] fec = auto: parity is of use on a link; percent, and milliseconds."""

    peer: str
    lost: float
    trip: int
    text = (
        "parity goes to {peer} from now on: {lost} % of what goes there is lost, and asking for it again"
        " takes round trips of {trip} ms"
    )
    alike = ("peer",)


@dataclass(frozen=True, slots=True)
class CorrectionEnds(Event):
    """[recovery] fec = auto: it is no more."""

    peer: str
    why: str
    text = "no parity goes to {peer} any more: {why}"
    alike = ("peer",)


@dataclass(frozen=True, slots=True)
class ListensAgain(Event):
    """A port that was lost to another program is ours again."""

    endpoint: str
    text = "[listen] endpoint: {endpoint}: is had again"


@dataclass(frozen=True, slots=True)
class Reloaded(Event):
    """node.ini was read again."""

    path: str
    result: str
    text = "{path} was read again: {result}"


@dataclass(frozen=True, slots=True)
class Reconfigured(Event):
    """What that changed, an option each."""

    what: str
    text = "{what}"


@dataclass(frozen=True, slots=True)
class NeedsRestart(Event):
    """What of it a running node cannot take up."""

    what: str
    text = "{what}"
    level = "warn"


@dataclass(frozen=True, slots=True)
class NotReloaded(Event):
    """node.ini was read again, and is wrong."""

    why: str
    text = "{why}; nothing is changed"
    level = "error"


@dataclass(frozen=True, slots=True)
class FastPathOn(Event):
    """The kernel forwards what it can."""

    device: str
    way: str
    text = "the fast path is on at {device} ({way})"


@dataclass(frozen=True, slots=True)
class FastPathOff(Event):
    """The kernel forwards nothing (any more)."""

    why: str
    text = "the fast path is off: {why}"
    alike = ("why",)


@dataclass(frozen=True, slots=True)
class RouteInKernel(Event):
    """A stream's packets do not come to this process from now on."""

    group: str
    source: str
    text = "{source} to {group} is forwarded by the kernel"
    alike = ()


@dataclass(frozen=True, slots=True)
class RouteInPython(Event):
    """A stream that the kernel cannot serve, or can no longer."""

    group: str
    source: str
    why: str
    text = "{source} to {group} is forwarded by this process: {why}"
    alike = ("why",)


@dataclass(frozen=True, slots=True)
class QuestionsInKernel(RouteInKernel):
    """The same of what nodes ask each other, which nobody here plays."""

    level = "debug"


@dataclass(frozen=True, slots=True)
class QuestionsInPython(RouteInPython):
    """The same of what nodes ask each other."""

    level = "debug"


@dataclass(frozen=True, slots=True)
class CertificateAge(Event):
    """The node's own certificate is past its time, or soon will be."""

    path: str
    what: str
    text = "[tls] {path} {what}"
    alike = ("path", "what")
    level = "warn"


@dataclass(frozen=True, slots=True)
class SessionNew(Event):
    """Somebody announces a session."""

    source: str
    name: str
    text = "{source} announces {name}"
    alike = ("source", "name")


@dataclass(frozen=True, slots=True)
class SessionChanged(Event):
    """What is announced of a session is another now."""

    source: str
    name: str
    text = "{source} announces {name} otherwise than before"
    alike = ("source", "name")


@dataclass(frozen=True, slots=True)
class SessionGone(Event):
    """A session is in the directory no more."""

    source: str
    name: str
    why: str
    text = "{name}, which {source} announced, is gone: {why}"
    alike = ("source", "name")


@dataclass(frozen=True, slots=True)
class SessionRefused(Event):
    """An announcement that is none."""

    source: str
    why: str
    text = "an announcement of {source} is not taken: {why}"
    alike = ("source", "why")
    level = "warn"


@dataclass(frozen=True, slots=True)
class AtThePrompt(Event):
    """Somebody is in the manhole."""

    where: str
    text = "somebody is at the manhole's prompt, from {where}"
    alike = ()


@dataclass(frozen=True, slots=True)
class WebRefused(Event):
    """Somebody asked the web service for what he may not have."""

    address: str
    why: str
    text = "a request of {address} to [web] endpoint was refused: {why}"
    alike = ("address", "why")
    level = "warn"


@dataclass(frozen=True, slots=True)
class WebUp(Event):
    """The web service listens."""

    endpoint: str
    where: str
    text = "[web] endpoint: {endpoint}: {where}"


@dataclass(frozen=True, slots=True)
class Stranger(Event):
    """Something came that is not what it claims to be, and was dropped."""

    what: str
    text = "{what}"
    alike = ("what",)
    level = "warn"


@dataclass(frozen=True, slots=True)
class Limit(Event):
    """A bound was reached; what is above it does not work."""

    what: str
    text = "{what}"
    alike = ("what",)
    level = "warn"


@dataclass(frozen=True, slots=True)
class Note(Event):
    """Something that an operator may want to mend."""

    what: str
    text = "{what}"
    alike = ("what",)
    level = "warn"


Tell = Callable[[Event], None]
