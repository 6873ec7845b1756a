"""The mesh's constants, in one place: the defaults of OVERLAY's table, and where each comes from."""

from typing import NamedTuple

# --- membership (HyParView; the figures are those of HyParView, episub and Partisan, or were simulated)
OWN = 4  # links of a group, below which a node looks for more; as many again are others' choice
NEAR = 2  # of its own choice, those with the shortest round trips; the others are random and stay so
LINKS_LEAST, LINKS_MOST = 8, 32  # links that it takes for a group: clamp(8 + 2 x slots)
PASSIVE = 42  # members that it knows of besides
PASSIVE_AGE = 600.0
FORWARD_TTL, PASSIVE_TTL, SHUFFLE_TTL = 6, 3, 6
WALKERS = 1  # forward joins that a join starts
SHUFFLE, SHUFFLE_ACTIVE, SHUFFLE_PASSIVE = 30.0, 3, 4
PROBE, PROBES = 30.0, 5
FIRST_PROBES = (
    1.0,
    2.0,
    4.0,
    7.0,
    11.0,
    16.0,
    22.0,
    30.0,
)  # seconds after joining: a newcomer knows nobody's distance
SWAP_FACTOR, SWAP_REST = 0.8, 10.0
CAPACITY_BIAS = 0.3  # what who gives nothing is chosen by, where others are by their slots
NEIGHBOUR_TIMEOUT = 0.5
NAT_SHARE = 3  # a third of the links of a public node is kept for those that nobody can dial

# --- meeting
REGISTER, REGISTRATIONS = 60.0, 64
SAMPLES_KEPT, SAMPLES_AGE = 64, 300.0
REPLICAS = 3
REPLY_SAMPLES = 16

# --- streams
HAVE_LEAST, HAVE_MOST = 0.1, 1.0
HAVE_USUAL = 0.2
HAVE_BITS = (
    11_000.0  # bits/s of announcements that a node sends, with what IP and UDP add: what T_have follows
)
BEACON = 1.0
BEACONS_WHOLE = 4  # every so many of them says the way to everybody, the others to children only
GUARD = 0.02
GAP_WAIT = 0.125
SILENT_LEAST = 0.1
SILENT_PACKETS = 3
DEFER = 0.3
TOTAL_SILENCE = 0.3
BETTER_LEAST, BETTER_SHARE, BETTER_TIMES = 0.003, 0.05, 3
SWITCH_REST = 10.0
FULL_BACK_OFF, MISBEHAVED_BACK_OFF = 10.0, 60.0
GRAFT_PATIENCE = 0.06  # beyond a round trip, until another one is asked
NACK_REST = 0.01
NACK_FACTOR, NACK_EXTRA, NACK_TRIES = 1.3, 0.03, 8
RESENT_SHARE = 0.25  # of the uplink
KEPT_SECONDS = 2.0
SLOTS_SHARE = 0.8  # of the uplink
FORGET = 120.0  # seconds after its last packet
LIVE = 3.0  # a stream is, for so long after its last packet
MISSING_MAX = 2_048  # numbers that one stream looks for


class Settings(NamedTuple):
    """What a user may say: `deadline` in seconds (0: nothing is sent again), `uplink` in kbit/s."""

    uplink: int = 0
    children: int = 0xFFFF
    relay: bool = False
    nat: bool = False
    deadline: float = 1.0
