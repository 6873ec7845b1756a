/* SPDX-License-Identifier: (GPL-2.0-only OR MIT)
 *
 * What the program needs of the kernel: types, the context of a tc program, helpers by their numbers.  All of it
 * is stable ABI; it stands here so that clang alone builds the object, without any kernel's or C library's headers.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
typedef u16 be16; /* as on the wire */
typedef u32 be32;
typedef u64 be64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define NULL ((void *)0)
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "one object for all little-endian machines"
#endif
#define htons(x) ((be16)__builtin_bswap16(x))
#define htonl(x) ((be32)__builtin_bswap32(x))
#define htonll(x) ((be64)__builtin_bswap64(x))
#define ntohs(x) ((u16)__builtin_bswap16(x))
#define ntohl(x) ((u32)__builtin_bswap32(x))

/* The first fields of the context (struct __sk_buff); no others are used. */
struct __sk_buff {
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end, napi_id, family;
	u32 remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, data_meta;
	u64 flow_keys, tstamp;
	u32 wire_len, gso_segs;
	u64 sk;
	u32 gso_size;
};

struct bpf_redir_neigh {
	u32 nh_family;
	union {
		be32 ipv4_nh;
		u32 ipv6_nh[4];
	};
};

struct ethernet {
	u8 to[6], from[6];
	be16 type;
};

struct ipv4 {
	u8 first, tos;
	be16 total, id, fragment;
	u8 ttl, protocol;
	u16 check;
	be32 source, destination;
};

struct udp {
	be16 source, destination, length;
	u16 check;
};

enum map_type { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERCPU_ARRAY = 6 };
#define BPF_F_NO_PREALLOC 1
#define BPF_F_MMAPABLE (1u << 10)

/* What tcx knows; anything else, also TC_ACT_STOLEN, means "next" there. */
enum verdict { NEXT = -1, DROP = 2, REDIRECT = 7 };

#define PACKET_HOST 0
#define ETH_P_IP 0x0800
#define AF_INET 2
#define UDP_PROTOCOL 17
#define IGMP_PROTOCOL 2
#define BPF_F_PSEUDO_HDR (1ull << 4)
#define BPF_F_MARK_MANGLED_0 (1ull << 5)
#define BPF_F_INGRESS 1
#define BPF_ADJ_ROOM_MAC 1
#define BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 (1ull << 1)
#define BPF_F_ADJ_ROOM_ENCAP_L4_UDP (1ull << 4)
#define BPF_F_ADJ_ROOM_NO_CSUM_RESET (1ull << 5)

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static long (*bpf_skb_store_bytes)(struct __sk_buff *, u32 offset, const void *from, u32 size, u64 flags) = (void *)9;
static long (*bpf_l4_csum_replace)(struct __sk_buff *, u32 offset, u64 from, u64 to, u64 flags) = (void *)11;
static long (*bpf_clone_redirect)(struct __sk_buff *, u32 ifindex, u64 flags) = (void *)13;
static long (*bpf_redirect)(u32 ifindex, u64 flags) = (void *)23;
static long (*bpf_skb_load_bytes)(const struct __sk_buff *, u32 offset, void *to, u32 size) = (void *)26;
static s64 (*bpf_csum_diff)(be32 *from, u32 size, be32 *to, u32 to_size, u32 seed) = (void *)28;
static long (*bpf_skb_change_tail)(struct __sk_buff *, u32 size, u64 flags) = (void *)38;
static long (*bpf_skb_pull_data)(struct __sk_buff *, u32 size) = (void *)39;
static s64 (*bpf_csum_update)(struct __sk_buff *, u32 difference) = (void *)40;
static long (*bpf_skb_adjust_room)(struct __sk_buff *, int difference, u32 mode, u64 flags) = (void *)50;
static long (*bpf_redirect_neigh)(u32 ifindex, struct bpf_redir_neigh *, int size, u64 flags) = (void *)152;
static long (*bpf_loop)(u32 times, void *body, void *context, u64 flags) = (void *)181;
