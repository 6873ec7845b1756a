"""Messages as hypothesis draws them: every value that fits the wire."""

from hypothesis import strategies as st

from multicastmw.wire.messages import (
    ECHO_REPLY,
    ECHO_REQUEST,
    NAME_MAX,
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
)

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
u64 = st.integers(0, (1 << 64) - 1)
names = st.text(st.characters().filter(str.isprintable), min_size=1, max_size=NAME_MAX).filter(
    lambda name: len(name.encode()) <= NAME_MAX
)
data_ports = st.builds(DataPort, st.integers(1, 0xFFFF), st.integers(1, (1 << 64) - 1))
opens = st.builds(Open, names, u64, st.integers(1, 3600), st.none() | data_ports)
reasons = st.text(st.characters().filter(str.isprintable), min_size=1, max_size=REASON_MAX).filter(
    lambda reason: len(reason.encode()) <= REASON_MAX
)
closes = st.builds(Close, u16, u16, st.none() | names, st.none() | reasons)
echoes = st.builds(Echo, st.sampled_from((ECHO_REQUEST, ECHO_REPLY)), u64)
keep_alives = st.builds(KeepAlive, st.none() | u64, st.none() | echoes)
addresses = st.binary(min_size=16, max_size=16)
groups = st.builds(Group, u64, u64, st.none() | st.tuples(addresses, addresses))
nodes = st.builds(Node, u64, st.none() | names)
entries = st.lists(groups | nodes, min_size=1, max_size=8)
routes = st.builds(AddRoute, entries.map(tuple)) | st.builds(RemoveRoute, entries.map(tuple))
messages = opens | closes | keep_alives | routes
