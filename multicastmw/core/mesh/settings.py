"""The mesh's constants, in one place: the defaults of OVERLAY's table, and where each comes from."""

from typing import NamedTuple

# --- membership (HyParView; the figures are those of HyParView, episub and Partisan, or were simulated)
OWN = 4  # links of a group, below which a node looks for more; as many again are others' choice
NEAR = 2  # of its own choice, those with the shortest round trips; the others are random and stay so
OUTBOUND = 2  # random ones of its own choice, however many have chosen it (gossipsub's D_out)
LINKS_LEAST, LINKS_MOST = 8, 32  # links that it takes for a group: clamp(8 + 2 x slots)
PASSIVE = 42  # members that it knows of besides
PASSIVE_AGE = 600.0
FORWARD_TTL, PASSIVE_TTL, SHUFFLE_TTL = 6, 3, 6
WALKERS = 1  # forward joins that a join starts
SHUFFLE, SHUFFLE_ACTIVE, SHUFFLE_PASSIVE = 30.0, 3, 4
PROBE, PROBES = 30.0, 5
PROBE_SOON = 3.0  # while ways are longer than they might be
FIRST_PROBES = 1.0, 2.0, 4.0, 6.0, 8.0, 11.0, 14.0, 17.0, 20.0, 23.0, 26.0, 30.0  # seconds after joining
TRIALS, TRIAL = 4, 1.0  # neighbours on trial at a time, and seconds that each has
TRY_AGAIN = 12.0  # seconds until who was measured may be tried again: its way, and who has room, change
CAPACITY_BIAS = 0.3  # what who gives nothing is chosen by, where others are by their slots
NEIGHBOUR_TIMEOUT = 0.5
NAT_SHARE = 3  # a third of the links of a public node is kept for those that nobody can dial

# --- meeting
REGISTER, REGISTRATIONS = 60.0, 64
SAMPLES_KEPT, SAMPLES_AGE = 64, 300.0
REPLICAS = 3
REPLY_SAMPLES = 16

# --- announcements
HAVE_LEAST, HAVE_MOST = 0.1, 1.0
HAVE_USUAL = 0.2
HAVE_BITS = 7_000.0  # bits/s of them that a node sends, with what IP and UDP add: what T_have follows
BEACON_EVERY = 1.0
BEACONS_WHOLE = 4  # every so many of them says the way to everybody, the others to children only

# --- the parent
SILENT_LEAST, SILENT_PACKETS = 0.1, 3
POLLED = 3  # who are asked whether they have more
DEFER = 0.3
TOTAL_SILENCE = 0.3
LOOK = 0.1  # seconds between two looks whether the parent is silent
GRAFT_PATIENCE = 0.06  # beyond a round trip, until another one is asked
BETTER_LEAST, BETTER_SHARE, BETTER_TIMES = 0.003, 0.05, 3
SHORTER, SHORTER_LEAST = 0.05, 2_000  # of the way as it is told, and at least so many us
STRAIGHT = 1.05  # times half a round trip to the origin: no better parent is looked for
SWITCH_REST = 10.0
YOUNG, SWITCH_REST_YOUNG = 60.0, 3.0  # seconds: a tree that has just grown is still rough
LOSSY, LOSSY_LEAST, LOSSY_TIMES = 0.15, 10, 2  # share and packets of a measure, and measures running
EARLY = 256  # a stream that has sent no more than that is asked for from its first packet
PRUNE_REST = 0.25  # seconds between two prunes of one who goes on sending

# --- the children
SLOTS_SHARE = 0.8  # of the uplink
FULL_BACK_OFF, MISBEHAVED_BACK_OFF, MISBEHAVED_BACK_OFF_MOST = 10.0, 10.0, 600.0
NEARER = 0.5  # of the round trip of a child of the same slots, and its place is given away
PARTING = 2.0  # seconds that a child whose place is given away is still fed
SHED = 2.0  # seconds for which who has nobody has a place over the slots
CATCH_UP = 256  # packets that a new child gets at once of what it has missed

# --- what is missing, and kept
GUARD, GUARD_PACKETS = 0.02, 3  # seconds, and packets: less is asked for at once what was only overtaken
GUARD_MOST = 0.1  # where packets come out of order: more, and a lost one would come late for a player
GUARD_FADES = 0.97  # a second: at 30 packets/s one in 300 is asked for in vain, to keep it up
GAP_WAIT = 0.125
NACK_REST = 0.02  # seconds until who was asked for enough is asked for more
NACK_FACTOR, NACK_EXTRA, NACK_TRIES = 1.3, 0.03, 8
NACK_SOON = 3  # tries that are made as soon as an answer could be there; the others have the rest of the time
MISSING_MAX = 2_048  # numbers that one stream looks for
AT_ONCE = 256  # packets that one Nack brings
RESENT_SHARE = 0.25  # of the uplink
UPLINK_USUAL = 20_000  # kbit/s, where node.ini does not say it, and for own streams where it says 0
KEPT_SECONDS = 2.0
KEPT_BYTES, KEPT_BYTES_ALL = 8 << 20, 64 << 20
PACKET_BYTES = 1_400  # that a kept packet is taken to have
FORGET = 120.0  # seconds after its last packet
SLOW = 2.0  # packets/s below which a stream has pauses: silence says nothing of its parent
LIVE = 3.0  # a stream is, for so long after its last packet


class Settings(NamedTuple):
    """What a user may say: `uplink` in kbit/s, `deadline` and `hold` in seconds.

    `deadline` 0: nothing is sent again; `hold` 0: programs get what comes as it comes.  `feeds` are the
    parents of a stream at a time, 1 or 2, and `feeds_groups` the prefixes (mask, address) of the only groups
    that have 2, if there are any; `rotate` the seconds after which the parent is another one, 0: it stays
    while it is good.
    """

    uplink: int = 0
    children: int = 0xFFFF
    relay: bool = False
    nat: bool = False
    deadline: float = 1.0
    hold: float = 0.5
    feeds: int = 1
    rotate: float = 0.0
    feeds_groups: tuple[tuple[int, int], ...] = ()

    def feeds_of(self, group: int) -> int:
        """How many parents a stream of this group is to have."""
        if not self.feeds_groups:
            return self.feeds
        return self.feeds if any(group & mask == address for mask, address in self.feeds_groups) else 1
