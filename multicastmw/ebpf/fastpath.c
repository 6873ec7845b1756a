// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/*
 * The fast path: established flows are forwarded here, and everything else is left to user space untouched.
 *
 *        an application                                   the uplink's ingress
 *              |                                                   |
 *         tap_egress -- not ours to serve --> TAP, user space <-- up_ingress
 *              |  encapsulate, number                              |  check, hop limit
 *              +--------------------> fan_out <--------------------+---> decapsulate --> the TAP's ingress
 *                                        |  a clone for each peer but the last
 *                                 the TAP's egress, again: the mark names the peer
 *                                        |
 *                                 address it, and redirect to the uplink
 *
 * A program can send a packet on by a neighbour only as its last act, hence the way of the clones; the last peer
 * gets the packet itself.  A peer whose Ethernet address is known (PEER_MAC) is sent to from the loop at once.
 *
 * Until the first change to a packet it may go to user space (NEXT); afterwards it is sent or dropped.  On TAP
 * egress a drop would be ENOBUFS in the application's send, so what ends there is redirected to no device.
 * Pointers into the packet are read again, and checked again, after every call that may move it.
 */
#include "fastpath.h"

char licence[] SEC("license") = "Dual MIT/GPL";

struct map {
	u32 type, key_size, value_size, max_entries, flags;
};
#define MAP(name, kind, key, value, entries, options) \
	struct map name SEC("maps") = {BPF_MAP_TYPE_##kind, sizeof(key), sizeof(value), entries, options}

MAP(cfgs, ARRAY, u32, struct cfg, 1, 0);
MAP(peers, ARRAY, u32, struct peer, PEERS, 0);
MAP(links, HASH, struct link_key, struct link, LINKS, 0);
MAP(routes, HASH, struct route_key, struct route, ROUTES, BPF_F_NO_PREALLOC);
/* The count beside the route and not in it: a route is replaced whole, and no number is given twice. */
MAP(sequences, ARRAY, u32, u32, ROUTES, 0);
MAP(gates, ARRAY, u32, struct gate, GATES, BPF_F_MMAPABLE);
MAP(windows, ARRAY, u32, struct window, 2 * ROUTES, BPF_F_MMAPABLE);
MAP(kept_packets, ARRAY, u32, struct kept, 1, BPF_F_MMAPABLE);
MAP(stats, PERCPU_ARRAY, u32, struct stat, STATS, 0);
MAP(route_stats, PERCPU_ARRAY, u32, struct route_stat, ROUTES, 0);

/* The 60 bytes in front of the inner packet (multicastmw/wire/data.py). */
struct message {
	be32 start; /* version, flags, op code, client type */
	be32 length;
	be32 forwarding;
	be64 token, origin, group, source;
	be32 sequence, origin_time;
	u8 hop_limit, service_class, flags, low_water;
	be16 packet_length;
	u8 c_num, kind;
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct message) == 60, "");

#define ETH sizeof(struct ethernet)
#define OUTER (sizeof(struct ipv4) + sizeof(struct udp))
#define HEADER sizeof(struct message)
#define AROUND (OUTER + HEADER)
#define UDP_CHECK_AT (ETH + sizeof(struct ipv4) + 6)

#define OP_IP_DATA 34
#define START htonl(0x10224d43)
#define FORWARDING htonl(0x00304401)
#define PACKET_OBJECT 69
#define IPV4_PACKET 1
#define NUMBERED_BY_KERNEL 1
#define BEACON 4

#define DONT_FRAGMENT 0x4000
#define FRAGMENT_MASK 0x3fff /* more fragments, offset */
#define OUTER_TTL 64
#define NOBODY 0xffff

/* A frame as it is on an uplink.  Pointers and no structure: behind 14 bytes of Ethernet the rest is aligned to 4. */
#define FRAME (ETH + AROUND)
#define IP(frame) ((struct ipv4 *)((frame) + ETH))
#define UDP(frame) ((struct udp *)((frame) + ETH + sizeof(struct ipv4)))
#define MESSAGE(frame) ((struct message *)((frame) + ETH + OUTER))

/* --- counting */

INLINE void count_at(u32 index, u32 bytes)
{
	struct stat *stat = bpf_map_lookup_elem(&stats, &index);
	if (stat) {
		stat->packets++;
		stat->bytes += bytes;
	}
}

INLINE int left(enum reason why)
{
	count_at(why, 0);
	return NEXT;
}

INLINE int dropped(enum reason why)
{
	count_at(why, 0);
	return DROP;
}

/* To user space, and no later packet passes this one. */
INLINE int held(struct gate *gate, enum reason why)
{
	__sync_fetch_and_add(&gate->left, 1);
	return left(why);
}

INLINE int is_shut(const volatile struct gate *gate)
{
	return gate->left != gate->seen;
}

INLINE void count_received(u32 peer, u32 bytes)
{
	count_at(STAT_RECEIVED + (peer & (PEERS - 1)), bytes);
}

/* --- access */

/* Are so many bytes in one piece?  Pulls them if need be, which moves the packet. */
INLINE int within(struct __sk_buff *skb, u32 size)
{
	if (likely((u64)skb->data_end - skb->data >= size))
		return 1;
	return skb->len >= size && !bpf_skb_pull_data(skb, size);
}

INLINE void *bytes_at(struct __sk_buff *skb, u32 offset, u32 size)
{
	void *start = (void *)(u64)skb->data + offset;
	return start + size <= (void *)(u64)skb->data_end ? start : NULL;
}

INLINE u32 folded(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The sum of a header of 20 bytes; 0xffff where its checksum is right. */
INLINE u32 header_sum(const struct ipv4 *ip)
{
	const u16 *word = (const u16 *)ip;
	u32 sum = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	return folded(sum);
}

INLINE const struct cfg *running(u64 now)
{
	u32 first = 0;
	const struct cfg *cfg = bpf_map_lookup_elem(&cfgs, &first);
	return cfg && cfg->enabled && now < cfg->lease ? cfg : NULL;
}

INLINE struct route *route_of(be64 group, be64 source, be64 origin)
{
	struct route_key key = {group, source, origin};
	struct route *route = bpf_map_lookup_elem(&routes, &key);
	if (!route) {
		key.origin = 0;
		route = bpf_map_lookup_elem(&routes, &key);
	}
	if (!route) {
		key.source = 0;
		route = bpf_map_lookup_elem(&routes, &key);
	}
	return route;
}

/* --- addressing a packet to a peer */

struct changing {
	be32 addresses[2];
	struct {
		be32 ports, token[2];
	} rest;
};

/* The outer UDP checksum, by difference: a device may be about to complete it, and it may be absent (0). */
INLINE long mend_checksum(struct __sk_buff *skb, struct changing *was, struct changing *is)
{
	s64 addresses = bpf_csum_diff(was->addresses, 8, is->addresses, 8, 0);
	s64 rest = bpf_csum_diff((be32 *)&was->rest, 12, (be32 *)&is->rest, 12, 0);
	return bpf_l4_csum_replace(skb, UDP_CHECK_AT, 0, addresses, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0) ?:
	       bpf_l4_csum_replace(skb, UDP_CHECK_AT, 0, rest, BPF_F_MARK_MANGLED_0);
}

/* Writes the outer header, and the Ethernet one where it is known.  False where it cannot be sent. */
INLINE int address(struct __sk_buff *skb, const struct peer *peer)
{
	void *frame = bytes_at(skb, 0, FRAME);
	if (!frame || MESSAGE(frame)->start != START || MESSAGE(frame)->forwarding != FORWARDING) {
		count_at(FAILED, 0); /* another's packet with our mark */
		return 0;
	}
	if (skb->len - ETH > peer->longest) {
		count_at(TOO_LONG_FOR_PEER, 0);
		return 0;
	}
	if (unlikely(UDP(frame)->check)) {
		struct changing was = {.addresses = {IP(frame)->source, IP(frame)->destination}};
		struct changing is = {.addresses = {peer->local, peer->remote}};
		was.rest.ports = *(be32 *)UDP(frame);
		__builtin_memcpy(was.rest.token, &MESSAGE(frame)->token, 8);
		is.rest.ports = (u32)peer->remote_port << 16 | peer->local_port;
		__builtin_memcpy(is.rest.token, &peer->token, 8);
		long failed = mend_checksum(skb, &was, &is);
		frame = bytes_at(skb, 0, FRAME);
		if (failed || !frame) {
			count_at(FAILED, 0);
			return 0;
		}
	}
	struct ipv4 *ip = IP(frame);
	ip->first = 0x45;
	ip->tos = 0;
	ip->total = htons(skb->len - ETH);
	ip->id = 0;
	ip->fragment = htons(DONT_FRAGMENT);
	ip->ttl = OUTER_TTL;
	ip->protocol = UDP_PROTOCOL;
	ip->check = 0;
	ip->source = peer->local;
	ip->destination = peer->remote;
	ip->check = ~header_sum(ip);
	UDP(frame)->source = peer->local_port;
	UDP(frame)->destination = peer->remote_port;
	MESSAGE(frame)->token = peer->token;
	if (peer->flags & PEER_MAC) {
		__builtin_memcpy(frame, peer->to, 6);
		__builtin_memcpy(frame + 6, peer->from, 6);
	}
	return 1;
}

INLINE struct peer *ready_peer(u32 index)
{
	struct peer *peer = bpf_map_lookup_elem(&peers, &index);
	if (peer && peer->flags & PEER_READY)
		return peer;
	count_at(NO_PEER, 0);
	return NULL;
}

/* The packet itself goes to this peer: the last thing that is done with it. */
INLINE int send(struct __sk_buff *skb, u32 index)
{
	struct peer *peer = ready_peer(index);
	if (!peer || !address(skb, peer))
		return DROP;
	count_at(STAT_SENT + (index & (PEERS - 1)), skb->len - ETH - OUTER);
	if (peer->flags & PEER_MAC)
		return bpf_redirect(peer->ifindex, 0);
	if (peer->flags & PEER_NEXT_HOP) {
		struct bpf_redir_neigh next_hop = {.nh_family = AF_INET, .ipv4_nh = peer->gateway};
		return bpf_redirect_neigh(peer->ifindex, &next_hop, sizeof next_hop, 0);
	}
	return bpf_redirect_neigh(peer->ifindex, NULL, 0, 0);
}

/* --- fanning out */

struct fan {
	struct __sk_buff *skb;
	const struct route *route;
	u32 tap, from, pending;
};

/* A clone goes to this peer; by the TAP's egress where it takes a neighbour to send it. */
INLINE void send_clone(struct __sk_buff *skb, u32 index, u32 tap)
{
	struct peer *peer = ready_peer(index);
	if (!peer)
		return;
	if (peer->flags & PEER_MAC) {
		if (!address(skb, peer))
			return;
		if (bpf_clone_redirect(skb, peer->ifindex, 0))
			count_at(NOT_SENT, 0);
		else
			count_at(STAT_SENT + (index & (PEERS - 1)), skb->len - ETH - OUTER);
		return;
	}
	skb->mark = MARK | (index & (PEERS - 1));
	if (bpf_clone_redirect(skb, tap, 0))
		count_at(NOT_SENT, 0);
	skb->mark = 0;
}

/* The body of the loop: the peer of the turn before is sent to, so that in the end the last one is left. */
static long next_peer(u32 i, struct fan *fan)
{
	u32 index = fan->route->peers[i & (FAN_OUT - 1)], pending = fan->pending;
	if (index == fan->from)
		return 0; /* split horizon */
	fan->pending = index;
	if (pending != NOBODY)
		send_clone(fan->skb, pending, fan->tap);
	return 0;
}

/* Sends to all peers of the route but `from` and one, which it gives. */
INLINE u32 fan_out(struct __sk_buff *skb, const struct route *route, u32 tap, u32 from)
{
	/* Kernels below 6.7 look at the loop's body once, with what they know before the first turn: if they knew
	 * that nobody is pending, they would take out what sends.  The count is at most 64, so this is NOBODY. */
	u32 nobody = NOBODY - (*(const volatile u16 *)&route->count >> 15);
	struct fan fan = {skb, route, tap, from, nobody};
	bpf_loop(route->count, next_peer, &fan, 0);
	return fan.pending;
}

/* --- a copy for user space */

/* Of the message as it came, or as it leaves its origin; unless too many wait.  False where the packet is lost
 * over it. */
INLINE int copied(struct __sk_buff *skb, const struct cfg *cfg)
{
	u32 of_copies = GATE_OF_COPIES;
	struct gate *gate = bpf_map_lookup_elem(&gates, &of_copies);
	/* A clone that was counted and not there yet when user space looked makes it less than none. */
	if (!gate || (s32)(gate->left - *(volatile u32 *)&gate->seen) >= COPIES_WAITING) {
		count_at(NOT_COPIED, 0);
		return 1;
	}
	struct ethernet *eth = bytes_at(skb, 0, ETH);
	if (!eth)
		return 0;
	__sync_fetch_and_add(&gate->left, 1);
	__builtin_memcpy(eth->from, cfg->secret, 6);
	eth->type = htons(ETH_P_COPY);
	skb->mark = COPY_MARK;
	count_at(bpf_clone_redirect(skb, cfg->tap, 0) ? NOT_SENT : COPIED, 0);
	skb->mark = 0;
	eth = bytes_at(skb, 0, ETH);
	if (!eth)
		return 0;
	eth->type = htons(ETH_P_IP);
	return 1;
}

/* --- from an application */

/* Is the UDP checksum of a packet yet to be completed by a device?  Then it may not be wrapped: whoever unwraps
 * it in user space gets it as it is.  A change by difference shows: it does not touch such a checksum. */
INLINE int unfinished_checksum(struct __sk_buff *skb, u32 header)
{
	u32 at = ETH + header + 6;
	u16 *check = bytes_at(skb, at, 2);
	if (!check)
		return skb->len >= at + 2; /* not in one piece: not seen, so not served */
	u16 before = *check;
	if (!before)
		return 0;
	if (bpf_l4_csum_replace(skb, at, 0, 1, 2))
		return 1;
	check = bytes_at(skb, at, 2);
	if (!check || *check == before)
		return 1;
	*check = before;
	return 0;
}

/* The inner packet is padded to 4, and 88 bytes come in front of it. */
INLINE long make_room(struct __sk_buff *skb, u32 total)
{
	u32 zeros = 0, padding = -total & 3, padded = ETH + total + padding;
	if (skb->len != padded) {
		long failed = bpf_skb_change_tail(skb, padded, 0);
		if (failed)
			return failed;
	}
	if (padding && bpf_skb_store_bytes(skb, ETH + total, &zeros, padding & 3, 0))
		return -1;
	return bpf_skb_adjust_room(skb, AROUND, BPF_ADJ_ROOM_MAC,
				   BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
					   BPF_F_ADJ_ROOM_NO_CSUM_RESET);
}

struct departure {
	be64 group, source;
	u32 total;
	be32 sequence;
	u8 ttl, service_class;
};

/* What all copies have in common, into the room in front of the packet. */
INLINE int write_header(struct __sk_buff *skb, const struct cfg *cfg, const struct departure *packet, u64 now)
{
	void *frame = bytes_at(skb, 0, FRAME);
	if (!frame)
		return 0;
	u32 size = HEADER + ((packet->total + 3) & ~3);
	__builtin_memset(frame, 0, 6); /* with a group's address no neighbour would be asked */
	__builtin_memset(IP(frame), 0, OUTER); /* but for its length each peer's own */
	UDP(frame)->length = htons(sizeof(struct udp) + size);
	struct message *message = MESSAGE(frame);
	message->start = START;
	message->length = htonl(size);
	message->forwarding = FORWARDING;
	message->token = 0;
	message->origin = cfg->origin;
	message->group = packet->group;
	message->source = packet->source;
	message->sequence = packet->sequence;
	message->origin_time = htonl((u32)((now + cfg->realtime_offset) / 1000));
	message->hop_limit = packet->ttl - 1;
	message->service_class = packet->service_class;
	message->flags = NUMBERED_BY_KERNEL;
	message->low_water = 0;
	message->packet_length = htons(4 + packet->total);
	message->c_num = PACKET_OBJECT;
	message->kind = IPV4_PACKET;
	return 1;
}

INLINE int from_application(struct __sk_buff *skb)
{
	if (skb->protocol != htons(ETH_P_IP) || skb->vlan_present || !within(skb, ETH + sizeof(struct ipv4)))
		return NEXT;
	struct ipv4 *ip = bytes_at(skb, ETH, sizeof *ip);
	if (!ip || (ip->destination & htonl(0xf0000000)) != htonl(0xe0000000))
		return NEXT;
	u64 now = bpf_ktime_get_ns();
	const struct cfg *cfg = running(now);
	if (!cfg)
		return left(USER_LEASE);
	if (ip->protocol == IGMP_PROTOCOL)
		return left(USER_IGMP);
	if ((ip->destination & htonl(0xffffff00)) == htonl(0xe0000000))
		return left(USER_LINK_LOCAL);
	u32 header = (ip->first & 15) * 4, total = ntohs(ip->total);
	if (ip->first >> 4 != 4 || header < sizeof *ip || total < header || total > skb->len - ETH || !ip->source)
		return left(USER_SHAPE);
	u32 ttl = ip->ttl;
	if (ttl < cfg->ttl_floor)
		ttl = cfg->ttl_floor;
	if (ttl < 2)
		return left(USER_TTL);

	be64 group = (u64)ip->destination << 32, source = (u64)ip->source << 32;
	struct route *route = route_of(group, source, cfg->origin);
	if (!route)
		return left(USER_NO_ROUTE);
	if (route->generation != cfg->generation)
		return left(USER_GENERATION);
	if (route->flags & ROUTE_USER || route->count > FAN_OUT ||
	    (route->link != LINK_ANY && route->link != LINK_TAP))
		return left(USER_ROUTE);
	u32 slot = route->slot;
	u32 *sequence = bpf_map_lookup_elem(&sequences, &slot);
	struct route_stat *passed = bpf_map_lookup_elem(&route_stats, &slot);
	struct gate *gate = bpf_map_lookup_elem(&gates, &slot);
	if (!sequence || !passed || !gate)
		return left(USER_ROUTE);
	if (skb->gso_size)
		return held(gate, USER_GSO);
	if (AROUND + ((total + 3) & ~3) > route->longest)
		return held(gate, USER_TOO_LONG);
	if (is_shut(gate))
		return held(gate, USER_GATE);

	u32 service_class = ip->tos >> 5, raised = ttl != ip->ttl;
	u32 wanted = route->count || route->flags & ROUTE_HERE;
	if (wanted) {
		int checked = ip->protocol == UDP_PROTOCOL && !(ip->fragment & htons(FRAGMENT_MASK));
		if (checked && unfinished_checksum(skb, header))
			return held(gate, USER_CHECKSUM);
		/* What fails here has changed the padding at most, and is user space's. */
		if (make_room(skb, total))
			return held(gate, USER_SHAPE);
	}
	count_at(FROM_TAP, total);
	if (raised)
		count_at(TTL_RAISED, 0);
	passed->packets++;
	passed->bytes += total;
	if (!wanted) {
		passed->to_nobody++;
		count_at(TO_NOBODY, 0);
		return bpf_redirect(0, 0);
	}

	struct departure packet = {group, source, total, htonl(__sync_fetch_and_add(sequence, 1)), ttl, service_class};
	if (!write_header(skb, cfg, &packet, now) || (route->flags & ROUTE_COPY && !copied(skb, cfg))) {
		count_at(FAILED, 0);
		return bpf_redirect(0, 0);
	}
	u32 last = fan_out(skb, route, cfg->tap, LINK_TAP);
	int verdict = last == NOBODY ? DROP : send(skb, last);
	return verdict == DROP ? bpf_redirect(0, 0) : verdict;
}

SEC("tap_egress")
int mcmw_tap_egress(struct __sk_buff *skb)
{
	u32 mark = skb->mark;
	if (mark == COPY_MARK) {
		skb->mark = 0;
		return NEXT;
	}
	if ((mark & MARK_MASK) != MARK)
		return from_application(skb);
	skb->mark = 0; /* before a routing table reads it */
	int verdict = send(skb, mark & (PEERS - 1));
	return verdict == DROP ? bpf_redirect(0, 0) : verdict; /* counted here, and not by who sent the clone */
}

/* --- a packet once */

#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))

/* What an unusual number is: the first two are verdicts, the others move the top. */
enum { NOT_NEW_ONE, NEW_ONE, AHEAD_OF_WAITING, NEAR_FAR_ONE, FIRST_ONE };

/* The number's bit is set; true if it was not. */
INLINE int mark(struct window *window, u32 number)
{
	u64 bit = 1ull << (number & 63);
	return !(__sync_fetch_and_or(&window->seen[number / 64 & (WINDOW_WORDS - 1)], bit) & bit);
}

/* The top moves on from there by so many words.  What it enters is clear, and the word after that: it was so before
 * another CPU could mark one in it.  False where the top is not there any more. */
INLINE int move_top(struct window *window, struct route_stat *passed, u32 top, u32 number, u32 words)
{
	if (READ_ONCE(window->top) != top)
		return 0;
	for (u32 i = 0; i < words && i < WINDOW_WORDS; i++)
		window->seen[(number / 64 + 1 - i) & (WINDOW_WORDS - 1)] = 0;
	if (__sync_val_compare_and_swap(&window->top, top, number) != top)
		return 0;
	passed->lost += !mark(window, number); /* another CPU took it as a late one */
	if (words && number - window->first >= LONG_AGO)
		window->first = number - WINDOW_SIZE;
	return 1;
}

/* Nothing for so long; another CPU may have heard it since this one looked at the clock. */
INLINE int is_unheard(u64 heard, u64 now)
{
	return !heard || (s64)(now - heard) >= (s64)SILENCE;
}

/* It may be right, or forged: the window moves if the next new one is near it. */
INLINE int far_one(struct window *window, struct route_stat *passed, u32 number)
{
	u32 far = window->far;
	if (window->is_far && number == far) {
		passed->duplicates++;
		return NOT_NEW_ONE;
	}
	if (window->is_far == window->news && (number - far + WINDOW_SIZE - 1) < 2 * WINDOW_SIZE - 1)
		return NEAR_FAR_ONE;
	window->far = number;
	window->is_far = ++window->news;
	return NEW_ONE;
}

INLINE int is_after(u32 ahead)
{
	return ahead && ahead < 0x80000000;
}

/* It is not ahead of the top. */
INLINE int late_one(struct window *window, struct route_stat *passed, u32 number, u32 behind, u64 heard)
{
	if (behind >= WINDOW_SIZE) {
		passed->late++;
		return NOT_NEW_ONE;
	}
	if (!mark(window, number)) {
		passed->duplicates++;
		return NOT_NEW_ONE;
	}
	if (heard != GOES_AHEAD) /* another CPU may have moved the top meanwhile */
		window->heard = heard;
	window->news++;
	passed->reordered++;
	if ((s32)(number - window->first) >= 0)
		passed->lost--; /* it was taken for lost; before the first one nothing was expected */
	return NEW_ONE;
}

INLINE int unusual_one(struct window *window, struct route_stat *passed, u32 number, u32 ahead, u64 heard, u64 now)
{
	int goes_ahead = heard == GOES_AHEAD;
	if (goes_ahead && is_after(ahead) && ahead < WINDOW_SIZE)
		return AHEAD_OF_WAITING;
	if (!goes_ahead && (is_unheard(heard, now) || (ahead >= WINDOW_SIZE && -ahead >= WINDOW_SIZE &&
							window->alone == window->news)))
		return FIRST_ONE;
	if (is_after(ahead))
		return far_one(window, passed, number);
	return late_one(window, passed, number, -ahead, goes_ahead ? GOES_AHEAD : now);
}

/* The top has moved. */
INLINE void note_move(struct window *window, struct route_stat *passed, int what, u32 top, u32 lower, u32 higher)
{
	window->news++;
	if (what == NEAR_FAR_ONE) {
		mark(window, lower);
		passed->lost += higher - lower - 1;
	}
	if (what != AHEAD_OF_WAITING)
		window->is_far = 0;
	if (what == FIRST_ONE)
		window->alone = window->news;
	if (what != NEAR_FAR_ONE || (window->alone == OVERTAKES && window->news < OVERTAKES_FEW))
		window->first = lower;
	else
		passed->lost += lower - top - 1;
}

/* One near the top, which another CPU may move meanwhile: mostly over this one, or to the one before. */
INLINE int near_one(struct window *window, struct route_stat *passed, u32 number, u64 now)
{
	for (int tries = 0; tries < 3; tries++) {
		u32 top = READ_ONCE(window->top), ahead = number - top;
		if (!is_after(ahead))
			return late_one(window, passed, number, -ahead, now) == NEW_ONE;
		if (ahead >= WINDOW_SIZE)
			break;
		if (move_top(window, passed, top, number, (number / 64 - top / 64) & (WINDOW_WORDS - 1))) {
			window->heard = now;
			window->news++;
			passed->lost += ahead - 1;
			break;
		}
	}
	return 1;
}

/* Two CPUs at once may let one through twice.  They refuse none that is new, but where two streams begin at the same
 * instant far from each other; and where one begins on both `lost` may be wrong by one. */
static __attribute__((noinline)) int is_new(struct window *window, struct route_stat *passed, u32 number, u64 now)
{
	u64 heard = READ_ONCE(window->heard); /* before the top, which moves before it */
	u32 top = READ_ONCE(window->top), ahead = number - top, far = window->far, lower = number, higher = number;
	if (unlikely(ahead - 1 >= WINDOW_SIZE - 1 || is_unheard(heard, now))) {
		int what = unusual_one(window, passed, number, ahead, heard, now);
		if (what <= NEW_ONE)
			return what == NEW_ONE;
		if (what == NEAR_FAR_ONE) {
			lower = (s32)(number - far) > 0 ? far : number;
			higher = number + far - lower;
		}
		u32 words = what == FIRST_ONE ? WINDOW_WORDS : (higher / 64 - top / 64) & (0xffffffff / 64);
		if (move_top(window, passed, top, higher, words)) {
			window->heard = now;
			note_move(window, passed, what, top, lower, higher);
			return 1;
		}
	}
	return near_one(window, passed, number, now);
}

/* --- from a peer */

/* A datagram that is a message of ours, as far as it is judged. */
struct arrival {
	be64 group, source, origin;
	u64 now;
	u32 from, size, length, hop_limit, number, flags;
};

/* Is the inner packet what its header says, so that it may enter this host?  (core/tap.py: deliver) */
INLINE int may_enter(struct __sk_buff *skb, const struct route *route, const struct arrival *packet)
{
	struct ipv4 *inner = bytes_at(skb, FRAME, sizeof *inner);
	if (!inner || packet->length < sizeof *inner)
		return 0;
	u32 header = (inner->first & 15) * 4;
	return inner->first >> 4 == 4 && header >= sizeof *inner && header <= packet->length &&
	       ntohs(inner->total) == packet->length && inner->protocol != IGMP_PROTOCOL &&
	       packet->group == (u64)inner->destination << 32 && packet->source == (u64)inner->source << 32 &&
	       !(route->flags & ROUTE_WHOLE && inner->fragment & htons(FRAGMENT_MASK));
}

struct variable {
	be32 ports, token[2], last; /* of the bytes around the inner packet, what changes outside of IP */
};

INLINE void note(struct variable *is, const void *frame)
{
	is->ports = *(be32 *)UDP(frame);
	__builtin_memcpy(is->token, &MESSAGE(frame)->token, 8);
	is->last = *(be32 *)&MESSAGE(frame)->hop_limit;
}

/* The packet itself enters this host: the 88 bytes go, the hop limit becomes the TTL, the group's MAC is written. */
INLINE int deliver(struct __sk_buff *skb, const struct cfg *cfg, u32 length, u32 ttl)
{
	if (bpf_skb_adjust_room(skb, -(int)AROUND, BPF_ADJ_ROOM_MAC, 0))
		return dropped(FAILED);
	/* Padding that stays (a device's tunnel flag forbids to cut) is the frame's, and IP ignores it. */
	if (skb->len > ETH + length)
		bpf_skb_change_tail(skb, ETH + length, 0);
	struct ethernet *eth = bytes_at(skb, 0, ETH + sizeof(struct ipv4));
	if (!eth)
		return dropped(FAILED);
	struct ipv4 *ip = (void *)eth + ETH;
	if (ip->ttl != ttl) { /* RFC 1624, equation 3; the TTL is the first byte of its word */
		u32 sum = (~ip->check & 0xffff) + (~(u32)ip->ttl & 0xff) + 0xff00 + ttl;
		ip->ttl = ttl;
		ip->check = ~folded(sum);
	}
	u32 group = ntohl(ip->destination) & 0x7fffff; /* RFC 1112, 6.4 */
	eth->to[0] = 1;
	eth->to[1] = 0;
	eth->to[2] = 0x5e;
	eth->to[3] = group >> 16;
	eth->to[4] = group >> 8;
	eth->to[5] = group;
	__builtin_memcpy(eth->from, cfg->mac, 6);
	count_at(DELIVERED, length);
	return bpf_redirect(cfg->tap, BPF_F_INGRESS);
}

/* As it is sent on. */
static __attribute__((noinline)) int keep(struct __sk_buff *skb, const struct route *route, const struct arrival *packet)
{
	u32 place = route->ring + (packet->number & route->ring_mask), size = packet->size;
	struct kept *kept = bpf_map_lookup_elem(&kept_packets, &place);
	if (!kept || size > KEPT_SIZE || size < HEADER)
		return 0;
	struct message *message = (void *)kept->message;
	*(volatile u32 *)&kept->size = 0;
	if (bpf_skb_load_bytes(skb, ETH + OUTER, message, size))
		return 0;
	message->hop_limit = packet->hop_limit - 1;
	message->low_water = 0;
	*(volatile u32 *)&kept->size = size;
	return 1;
}

/* Copies to the other peers, the packet itself to this host or to the last of them. */
INLINE int relay(struct __sk_buff *skb, const struct cfg *cfg, const struct route *route,
		 const struct arrival *packet, struct route_stat *passed, u32 others)
{
	u32 last = NOBODY, local = route->flags & ROUTE_LOCAL, mesh = route->flags & ROUTE_MESH;
	if (route->ring_mask)
		keep(skb, route, packet);
	if ((route->flags & ROUTE_COPY || (mesh && packet->flags & BEACON)) && !copied(skb, cfg))
		return dropped(FAILED);
	void *frame = bytes_at(skb, 0, FRAME);
	if (!frame)
		return dropped(FAILED);
	struct variable was, is;
	note(&was, frame);
	if (others && packet->hop_limit == 1) {
		passed->died_of_ttl++;
		count_at(DIED_OF_TTL, 0);
	} else if (others) {
		/* The hop limit is the first byte, the low water the last. */
		be32 before = was.last, after = (before & (mesh ? 0x00ffff00u : ~0xffu)) | (packet->hop_limit - 1);
		u32 checked = UDP(frame)->check;
		*(be32 *)&MESSAGE(frame)->hop_limit = after;
		if (unlikely(checked) &&
		    bpf_l4_csum_replace(skb, UDP_CHECK_AT, before, after, BPF_F_MARK_MANGLED_0 | 4))
			return dropped(FAILED);
		last = fan_out(skb, route, cfg->tap, packet->from);
	}
	if (!local)
		return last == NOBODY ? DROP : send(skb, last);
	if (last != NOBODY)
		send_clone(skb, last, cfg->tap);
	if (others) {
		frame = bytes_at(skb, 0, FRAME);
		if (!frame)
			return dropped(FAILED);
		if (!UDP(frame)->check) { /* what a device has summed up follows; a checksum did so already */
			note(&is, frame);
			bpf_csum_update(skb, bpf_csum_diff((be32 *)&was, sizeof was, (be32 *)&is, sizeof is, 0));
		}
	}
	passed->delivered++;
	return deliver(skb, cfg, packet->length, packet->hop_limit);
}

/* A good message: is there a route for it, and may all of it be done here? */
INLINE int by_route(struct __sk_buff *skb, const struct cfg *cfg, const struct arrival *packet)
{
	struct route *route = route_of(packet->group, packet->source, packet->origin);
	if (!route)
		return left(USER_NO_ROUTE);
	if (route->generation != cfg->generation)
		return left(USER_GENERATION);
	if (route->flags & ROUTE_USER || route->count > FAN_OUT)
		return left(USER_ROUTE);
	u32 slot = route->slot, local = route->flags & ROUTE_LOCAL;
	struct route_stat *passed = bpf_map_lookup_elem(&route_stats, &slot);
	struct gate *gate = bpf_map_lookup_elem(&gates, &slot);
	if (!passed || !gate)
		return left(USER_ROUTE);
	u32 count = packet->flags & NUMBERED_BY_KERNEL, mesh = route->flags & ROUTE_MESH;
	if (mesh && (route->link != packet->from || count != !!(route->flags & ROUTE_COUNT)))
		return left(USER_MESH);
	if (route->link != LINK_ANY && route->link != packet->from) {
		count_received(packet->from, packet->size);
		passed->other_link++;
		return dropped(OTHER_LINK);
	}
	u32 others = route->count > 1 || (route->count && route->peers[0] != packet->from);
	if (others && packet->hop_limit > 1 && packet->size + OUTER > route->longest)
		return held(gate, USER_TOO_LONG);
	if (local && !may_enter(skb, route, packet))
		return held(gate, USER_SHAPE);
	if (route->ring_mask && packet->size > KEPT_SIZE)
		return held(gate, USER_TOO_LONG);
	if (is_shut(gate))
		return held(gate, USER_GATE);
	/* While the gate is shut the node judges the numbers, and tells which it took when it opens the gate. */
	u32 of_count = slot * 2 + count;
	struct window *window = bpf_map_lookup_elem(&windows, &of_count);
	if (mesh && (!window || is_unheard(window->heard, packet->now) || packet->number != window->top + 1))
		return held(gate, USER_MESH);
	count_received(packet->from, packet->size);
	if (window && !is_new(window, passed, packet->number, packet->now))
		return dropped(NOT_NEW);
	passed->packets++;
	passed->bytes += packet->length;
	if (!others && !local && !(route->flags & ROUTE_HERE)) {
		passed->to_nobody++;
		return dropped(TO_NOBODY);
	}
	return relay(skb, cfg, route, packet, passed, others);
}

/* A known peer's datagram, whose outer header is in order. */
INLINE int from_peer(struct __sk_buff *skb, const struct cfg *cfg, const struct link *link, u32 size, u64 now)
{
	if (size <= HEADER)
		return left(USER_OTHER_MESSAGE);
	if (!within(skb, FRAME + (size >= HEADER + sizeof(struct ipv4) ? sizeof(struct ipv4) : 0)))
		return left(USER_SHAPE);
	void *frame = bytes_at(skb, 0, FRAME);
	if (!frame)
		return left(USER_SHAPE);
	struct message *message = MESSAGE(frame);
	if ((message->start & htonl(0x00ff0000)) != htonl(OP_IP_DATA << 16))
		return left(USER_OTHER_MESSAGE);
	if (message->start != START || message->forwarding != FORWARDING || message->c_num != PACKET_OBJECT ||
	    message->kind != IPV4_PACKET)
		return left(USER_SHAPE);
	if (message->token != link->token)
		return dropped(WRONG_TOKEN);
	/* What is sent again because it was asked for, and what flags are for that came later. */
	if (message->flags & ~(NUMBERED_BY_KERNEL | BEACON))
		return left(USER_OTHER_MESSAGE);
	u32 from = link->peer & (PEERS - 1), object = ntohs(message->packet_length);
	/* An object of less than 5 bytes fits no size that is more than a header's. */
	if (message->length != htonl(size) || HEADER + ((object - 1) & ~3) != size) {
		count_received(from, size);
		return dropped(MALFORMED);
	}
	if (!message->hop_limit || message->origin == cfg->origin) {
		count_received(from, size);
		return dropped(message->hop_limit ? FROM_OURSELVES : HOP_LIMIT_ZERO);
	}
	struct arrival packet = {message->group, message->source, message->origin, now, from, size, object - 4,
				 message->hop_limit, ntohl(message->sequence), message->flags};
	return by_route(skb, cfg, &packet);
}

SEC("up_ingress")
int mcmw_up_ingress(struct __sk_buff *skb)
{
	if (skb->protocol != htons(ETH_P_IP) || skb->vlan_present || skb->pkt_type != PACKET_HOST ||
	    !within(skb, ETH + OUTER))
		return NEXT;
	void *frame = bytes_at(skb, 0, ETH + OUTER);
	if (!frame)
		return NEXT;
	/* Options and fragments are rare, and the kernel's. */
	if (IP(frame)->protocol != UDP_PROTOCOL || IP(frame)->first != 0x45 ||
	    IP(frame)->fragment & htons(FRAGMENT_MASK))
		return NEXT;
	u32 first = 0;
	const struct cfg *cfg = bpf_map_lookup_elem(&cfgs, &first);
	if (!cfg || UDP(frame)->destination != cfg->data_port)
		return NEXT;
	u64 now = bpf_ktime_get_ns();
	if (!cfg->enabled || now >= cfg->lease)
		return left(USER_LEASE);
	struct link_key key = {IP(frame)->source, IP(frame)->destination, UDP(frame)->source,
			       UDP(frame)->destination};
	struct link *link = bpf_map_lookup_elem(&links, &key);
	if (!link)
		return left(USER_UNKNOWN_LINK);
	/* Merged datagrams may be of any routes. */
	u32 of_link = GATE_OF_LINK + (link->peer & (PEERS - 1));
	struct gate *gate = bpf_map_lookup_elem(&gates, &of_link);
	if (!gate)
		return left(USER_UNKNOWN_LINK);
	if (skb->gso_size)
		return held(gate, USER_GSO);
	if (is_shut(gate))
		return held(gate, USER_GATE);
	u32 total = ntohs(IP(frame)->total);
	if (total != skb->len - ETH || ntohs(UDP(frame)->length) != total - sizeof(struct ipv4) ||
	    header_sum(IP(frame)) != 0xffff)
		return left(USER_SHAPE);
	return from_peer(skb, cfg, link, total - OUTER, now);
}
