/* SPDX-License-Identifier: (GPL-2.0-only OR MIT)
 *
 * What the program and the node share: the maps' keys and values, and the numbers in them.
 *
 * Integers are the machine's, but for those called be16, be32 and be64: these stand as they do on the wire.
 * Nothing is left to the compiler's padding, and net/bpf/tables.py holds its twins to these sizes.
 */
#pragma once
#include "kernel.h"

#define PEERS 256
#define LINKS 512 /* a peer may come under another address before the old one is taken out */
#define ROUTES 4096
#define FAN_OUT 64 /* destinations of a route; one with more is not published */

#define LINK_ANY 0xffff /* a route takes packets from wherever they come */
#define LINK_TAP 0xfffe /* from the TAP alone */

#define ROUTE_LOCAL 1 /* this host wants it, too */
#define ROUTE_USER 2  /* user space does the whole packet */
#define ROUTE_WHOLE 4 /* user space joins fragments before they are delivered here */
#define ROUTE_COPY 8  /* user space gets a copy of each packet that goes somewhere */
#define ROUTE_HERE 16 /* and wants it, so that a packet goes somewhere even if nobody else does */
/* A stream of the mesh.  Only the next number from the parent passes, and its low water is then 0; the rest is
 * user space's, which asks for what is missing.  Beacons are copied to it. */
#define ROUTE_MESH 32
#define ROUTE_COUNT 64 /* its packets carry NUMBERED_BY_KERNEL; those that do not are another stream's */

#define PEER_READY 1
#define PEER_NEXT_HOP 2 /* `gateway` is who to ask the neighbour table for; else the routing table says it */
#define PEER_MAC 4      /* `to` and `from` are the Ethernet addresses; nothing is looked up */

/* Our own copies on their way through the TAP's egress: this, and the peer's index in the last byte. */
#define MARK 0x4d434d00
#define MARK_MASK 0xffffff00
/* A copy for user space: it stays in the TAP's queue, with this type and cfg's secret as where it comes from. */
#define COPY_MARK 0x4d434e00
#define ETH_P_COPY 0x88b5 /* IEEE 802, local experimental */

struct cfg {
	be64 origin;         /* this node's, as it stands in packets */
	u64 lease;           /* CLOCK_MONOTONIC in ns; from then on everything goes to user space */
	u64 realtime_offset; /* ns: CLOCK_REALTIME - CLOCK_MONOTONIC, modulo 2^64 */
	u32 tap;             /* ifindex */
	u32 generation;      /* of the routes that are valid */
	be16 data_port;
	u8 enabled;
	u8 ttl_floor;
	u8 mac[6]; /* from whom frames come to the TAP */
	u8 secret[6]; /* nobody on the LAN can make a frame that looks like a copy */
};
_Static_assert(sizeof(struct cfg) == 48, "");

struct peer {
	be64 token; /* what the peer expects */
	be32 local, remote;
	be16 local_port, remote_port;
	u32 ifindex;
	be32 gateway;
	u16 longest; /* bytes of an outer IP packet */
	u16 flags;
	u8 to[6], from[6];
	u8 unused[4];
};
_Static_assert(sizeof(struct peer) == 48, "");

struct link_key {
	be32 remote, local;
	be16 remote_port, local_port;
};
_Static_assert(sizeof(struct link_key) == 12, "");

struct link {
	be64 token; /* what we expect */
	u32 peer;
	u32 unused;
};
_Static_assert(sizeof(struct link) == 16, "");

struct route_key {
	be64 group, source, origin; /* source 0: any; origin 0: any */
};
_Static_assert(sizeof(struct route_key) == 24, "");

struct route {
	u32 generation;
	u32 slot; /* of its number and its counters */
	u16 count;
	u16 link;    /* a peer's index, LINK_ANY or LINK_TAP */
	u16 longest; /* the least of its peers'; without peers, of what user space would not split */
	u16 flags;
	u32 ring, ring_mask; /* where its packets are kept: so many places, less one; 0: nowhere */
	u8 peers[FAN_OUT];
};
_Static_assert(sizeof(struct route) == 88, "");

/* One of `kept`, a place of a ring: the last message with this number in its ring, as it was sent on, for user
 * space to send again.  `size` is 0 while it is written, or else the message's.  How many places there are says
 * who loads the program. */
#define KEPT_SIZE 1528
struct kept {
	u32 size, unused;
	u8 message[KEPT_SIZE];
};
_Static_assert(sizeof(struct kept) == 1536, "");

/* One of `gates`, a route's by its slot, and then a link's by its peer: packets may pass while the two are equal.
 *
 * Each that is left to user space counts in `left`, which shuts the gate, so that none passes it: until user
 * space has handled all that it was left, and says in `seen` how many that were.
 */
struct gate {
	u32 left, seen;
};
_Static_assert(sizeof(struct gate) == 8, "");
#define GATE_OF_LINK ROUTES
/* And one more that shuts nothing: copies that were put into the TAP's queue, and of these, how many have come
 * to user space or were lost.  No more than so many wait there, so that IGMP finds a place in it. */
#define GATE_OF_COPIES (ROUTES + PEERS)
#define GATES (GATE_OF_COPIES + 1)
#define COPIES_WAITING 256

/* One of `windows`: which numbers have come of one count of a route, by its slot and by who numbered.
 *
 *      top - WINDOW_SIZE + 1           top          top + WINDOW_SIZE
 *   ... late | once each, a bit for it | new, moves the top | far ahead ...   (RFC 1982, modulo 2^32)
 *
 * The rules are those of core/window.py, where they are explained; but the size does not follow the rate.
 */
#define WINDOW_SIZE 1024
#define WINDOW_WORDS 32 /* twice as long: a word ahead of the top is cleared, and nothing of the window with it */
#define LONG_AGO (1u << 20) /* numbers since the first one: which that was does not matter any more */
#define SILENCE 10000000000ull /* ns, after which a stream starts afresh */
/* As `heard`: what waits in user space is judged there, and what comes next goes on without what is between. */
#define GOES_AHEAD 1
/* As `alone`, for as long as something waits there: what is jumped over may wait, too.  That is so while `news`
 * is less than the second one: it is about what came first. */
#define OVERTAKES 0xffffffff
#define OVERTAKES_FEW 16
struct window {
	u64 heard; /* CLOCK_MONOTONIC in ns; 0: it starts afresh */
	u32 top, first; /* since that one, what is missing was counted as lost */
	u32 news;       /* packets that were new */
	u32 alone;      /* so many when it started: the first one is not believed yet; or OVERTAKES */
	u32 far, is_far; /* the last one far ahead; so many were new then, 0: there is none */
	u64 seen[WINDOW_WORDS];
};
_Static_assert(sizeof(struct window) == 288, "");

/* One of `stats`: reasons, then what was sent to each peer, then what came from each (message bytes). */
struct stat {
	u64 packets, bytes;
};
_Static_assert(sizeof(struct stat) == 16, "");

/* One of `route_stats`, by slot; bytes are inner ones.  `lost` shrinks where one comes late, on any CPU: it is a
 * number modulo 2^64. */
struct route_stat {
	u64 packets, bytes, delivered, died_of_ttl, to_nobody, other_link, lost, duplicates, late, reordered;
};
_Static_assert(sizeof(struct route_stat) == 80, "");

enum reason {
	/* what went well */
	FROM_TAP,
	DELIVERED,
	TTL_RAISED,
	COPIED,
	/* dropped */
	HOP_LIMIT_ZERO,
	WRONG_TOKEN,
	MALFORMED,
	FROM_OURSELVES,
	OTHER_LINK,
	TO_NOBODY,
	DIED_OF_TTL,
	NOT_NEW,
	/* a copy, or a packet that had been changed already, was lost; NOT_COPIED to who looks at it here alone */
	NO_PEER,
	TOO_LONG_FOR_PEER,
	NOT_SENT,
	FAILED,
	NOT_COPIED,
	/* left to user space */
	USER_LEASE,
	USER_UNKNOWN_LINK,
	USER_OTHER_MESSAGE,
	USER_SHAPE,
	USER_GSO,
	USER_IGMP,
	USER_LINK_LOCAL,
	USER_TTL,
	USER_NO_ROUTE,
	USER_GENERATION,
	USER_ROUTE,
	USER_TOO_LONG,
	USER_CHECKSUM,
	USER_GATE,
	USER_MESH,
	REASONS
};
#define REASONS_MAX 32
#define STAT_SENT REASONS_MAX
#define STAT_RECEIVED (STAT_SENT + PEERS)
#define STATS (STAT_RECEIVED + PEERS)
_Static_assert(REASONS <= REASONS_MAX, "");
