"""Messages as hypothesis draws them: every value that fits the wire."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from multicastmw.wire import mesh
from multicastmw.wire.data import build
from multicastmw.wire.messages import (
    ECHO_REPLY,
    ECHO_REQUEST,
    REASON_MAX,
    AddRoute,
    Close,
    DataPort,
    Echo,
    Group,
    KeepAlive,
    Node,
    Open,
    RemoveRoute,
    Tally,
)
from multicastmw.wire.names import NAME_MAX
from multicastmw.wire.parity import ROWS, Parity

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
u64 = st.integers(0, (1 << 64) - 1)
names = st.text(st.characters().filter(str.isprintable), min_size=1, max_size=NAME_MAX).filter(
    lambda name: len(name.encode()) <= NAME_MAX
)
data_ports = st.builds(DataPort, st.integers(1, 0xFFFF), st.integers(1, (1 << 64) - 1))
reasons = st.text(st.characters().filter(str.isprintable), min_size=1, max_size=REASON_MAX).filter(
    lambda reason: len(reason.encode()) <= REASON_MAX
)
closes = st.builds(Close, u16, u16, st.none() | names, st.none() | reasons)
echoes = st.builds(Echo, st.sampled_from((ECHO_REQUEST, ECHO_REPLY)), u64)
addresses = st.binary(min_size=16, max_size=16)
groups = st.builds(Group, u64, u64, st.none() | st.tuples(addresses, addresses))
nodes = st.builds(Node, u64, st.none() | names)
entries = st.lists(groups | nodes, min_size=1, max_size=8)
routes = st.builds(AddRoute, entries.map(tuple)) | st.builds(RemoveRoute, entries.map(tuple))

# What nodes of the mesh say.  Keys are short or long, as those of IPv4 and IPv6 are.
u8 = st.integers(0, 0xFF)
ports = st.integers(1, 0xFFFF)
hosts4 = st.integers(1 << 24, 0xDFFFFFFF).map(lambda number: str(IPv4Address(number)))
hosts6 = st.integers(1 << 64, (0xFF << 120) - 1).map(lambda number: str(IPv6Address(number)))
dialled = st.builds(mesh.Address, hosts4 | hosts6, ports)
s16 = st.integers(-0x8000, 0x7FFF)
places = st.just(mesh.NOWHERE) | st.builds(mesh.Place, s16, s16, u16, u8)
capabilities = st.builds(mesh.Capabilities, u32, u16, st.sampled_from(mesh.Role).map(int), u8, places)
samples = st.builds(
    mesh.Sample, u64, st.lists(dialled, max_size=mesh.SAMPLE_ADDRESSES_MAX).map(tuple), u8, u8, u16, places
)
streams = st.builds(mesh.StreamKey, u64, u32, u32) | st.builds(mesh.StreamKey, u64, u64, u64)
spans = st.sampled_from((0, 1, mesh.SPAN_MAX - 1)) | st.integers(0, mesh.SPAN_MAX - 1)
ranges = st.builds(lambda first, span: mesh.Range(first, (first + span) & 0xFFFFFFFF), u32, spans)
loads = (st.integers(0, 2) | u16).map(mesh.Load) | st.builds(
    mesh.Load, u16, st.booleans(), st.booleans(), u8, st.just(0) | u16, st.booleans()
)
beacons = st.builds(mesh.Beacon, st.lists(u32, max_size=mesh.PATH_MAX).map(tuple), u32, u32, u32)
held = st.builds(
    mesh.Held,
    streams | u64,
    u32,
    st.lists(ranges, max_size=mesh.RANGES_MAX).map(tuple),
    loads,
    st.none() | beacons,
)
haves = st.builds(mesh.Have, st.lists(held, min_size=1, max_size=5).map(tuple))
asked = st.lists(ranges, min_size=1, max_size=5).map(tuple)
nacks = st.builds(mesh.Nack, streams, asked)
grafts = st.builds(mesh.Graft, streams, u32, st.just(()) | asked, st.booleans())
few = st.lists(samples, max_size=mesh.ALTERNATIVES_MAX).map(tuple)
prunes = st.builds(mesh.Prune, streams, st.sampled_from(mesh.Refusal).map(int) | u16, few, u32)
named = st.lists(st.builds(mesh.Named, u64, names), max_size=4).map(tuple)
peers = st.builds(mesh.Peers, u64, st.sampled_from(mesh.Kind).map(int), u8, few, named)
lives = st.lists(st.builds(mesh.Live, streams, u32), max_size=4).map(tuple)
finds = st.builds(mesh.Find, u64, st.sampled_from(mesh.Meeting).map(int), few, u32, lives)
keys = st.integers(1, (1 << 64) - 1)
registers = st.builds(
    lambda packet, origin, group, source, sequence, hops: mesh.Register(
        mesh.StreamKey(origin, group, source),
        sequence,
        build(
            packet, token=0, origin=origin, group=group, source=source, sequence=sequence, hop_limit=hops
        ),
    ),
    st.binary(min_size=1, max_size=99), u64, keys, keys, u32, st.integers(1, 255),
)  # fmt: skip
registered = st.builds(mesh.Registered, streams, u32, u16, st.lists(samples, max_size=1).map(tuple))
of_the_mesh = haves | nacks | grafts | prunes | registered | peers | finds
parities = st.builds(
    lambda head, rows, members, symbol: Parity(*head, rows[0], sum(rows) + 1, members | 1, symbol),
    st.tuples(u64, u32, st.integers(1, 0xFF)),
    st.tuples(st.integers(0, ROWS // 2 - 1), st.integers(0, ROWS // 2)),
    u64,
    st.integers(4, 100).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words)),
)
in_datagrams = haves | nacks | grafts | prunes | registered | parities

opens = st.builds(
    Open,
    names,
    u64,
    st.integers(1, 3600),
    st.none() | data_ports,
    st.none() | capabilities,
    st.lists(dialled, max_size=mesh.OPEN_ADDRESSES_MAX).map(tuple),
    u16,
    u16,
)
tallies = st.builds(Tally, u32, u32, u32)
keep_alives = st.builds(
    KeepAlive, st.none() | u64, st.none() | echoes, st.none() | loads, st.none() | tallies, st.none() | u16
)
messages = opens | closes | keep_alives | routes | of_the_mesh | parities
