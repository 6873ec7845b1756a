/* A sink: counts what arrives for a group, run by run.
 *
 *   sink DEVICE GROUP PORT
 *
 * Joins, says "ready" and stays a member until it is ended: a run is not delayed by a join.  Packets of another
 * run than the last one's begin a new count.  SIGUSR1: one line of JSON about the run so far; SIGTERM: the end.
 *
 *   received    different packets            duplicates  packets that were here before
 *   disordered  arrived behind a later one   foreign     not of the race, or too late for their run
 *   overflowed  lost in this socket's own queue, since the sink began
 *   delays_ns   one-way delay as [lower bound of a bucket, packets], buckets 1/64 of an octave wide
 *
 * The delay ends when this host's kernel has the packet for the socket (SO_TIMESTAMPNS), not when the sink gets
 * round to reading it.  So it may rest for NAP after it emptied its queue, which is large, and costs little.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "stamp.h"

#define BATCH 64
#define LARGEST 2048
#define ROOM (64 << 20)       /* of the socket: a second of the fastest path's small packets */
#define NUMBERS (1ULL << 26)  /* packets a run, at most; memory is touched where it is used only */
#define NAP (NANO / 1000)
#define STEPS 64              /* buckets an octave: 1.6 % */
#define OCTAVES 40
#ifndef SO_RXQ_OVFL
#define SO_RXQ_OVFL 40
#endif

static volatile sig_atomic_t asked, ended;
static uint32_t run;
static uint64_t received, duplicates, disordered, foreign, next_number, size_sum;
static uint32_t overflowed;
static int64_t longest;
static uint64_t buckets[OCTAVES * STEPS];
static unsigned char seen[NUMBERS / 8 + 1];

static void on_signal(int number)
{
	if (number == SIGUSR1)
		asked = 1;
	else
		ended = 1;
}

static unsigned bucket_of(uint64_t value)
{
	unsigned shift = 0;

	while (value >> shift >= 2 * STEPS)
		shift++;
	unsigned bucket = shift * STEPS + (unsigned)(value >> shift);
	return bucket < OCTAVES * STEPS ? bucket : OCTAVES * STEPS - 1;
}

static uint64_t lower_bound(unsigned bucket)
{
	unsigned shift = bucket < 2 * STEPS ? 0 : bucket / STEPS - 1;

	return (uint64_t)(bucket - shift * STEPS) << shift;
}

static void begin(uint32_t number)
{
	memset(seen, 0, next_number / 8 + 1);
	memset(buckets, 0, sizeof buckets);
	run = number;
	received = duplicates = disordered = foreign = next_number = size_sum = 0;
	longest = 0;
}

static void report(void)
{
	const char *comma = "";

	printf("{\"run\": %u, \"received\": %llu, \"bytes\": %llu, \"duplicates\": %llu, \"disordered\": %llu, "
	       "\"foreign\": %llu, \"overflowed\": %u, \"longest_ns\": %lld, \"delays_ns\": [",
	       run, (unsigned long long)received, (unsigned long long)size_sum, (unsigned long long)duplicates,
	       (unsigned long long)disordered, (unsigned long long)foreign, overflowed, (long long)longest);
	for (unsigned i = 0; i < OCTAVES * STEPS; i++)
		if (buckets[i]) {
			printf("%s[%llu, %llu]", comma, (unsigned long long)lower_bound(i),
			       (unsigned long long)buckets[i]);
			comma = ", ";
		}
	puts("]}");
	fflush(stdout);
}

static void count(const char *packet, unsigned length, int64_t arrived)
{
	struct stamp stamp;

	if (length < sizeof stamp)
		goto not_ours;
	memcpy(&stamp, packet, sizeof stamp);
	if (stamp.mark != STAMP_MARK || stamp.number >= NUMBERS || (int32_t)(stamp.run - run) < 0)
		goto not_ours;
	if (stamp.run != run)
		begin(stamp.run);
	unsigned char *byte = &seen[stamp.number / 8], bit = 1 << stamp.number % 8;
	if (*byte & bit) {
		duplicates++;
		return;
	}
	*byte |= bit;
	if (stamp.number < next_number)
		disordered++;
	else
		next_number = stamp.number + 1;
	received++;
	size_sum += length;
	int64_t delay = arrived > stamp.sent_at ? arrived - stamp.sent_at : 0;
	if (delay > longest)
		longest = delay;
	buckets[bucket_of(delay)]++;
	return;
not_ours:
	foreign++;
}

static int64_t arrival_of(struct msghdr *header)
{
	struct timespec at = {0};

	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SO_TIMESTAMPNS)
			memcpy(&at, CMSG_DATA(c), sizeof at);
		else if (c->cmsg_type == SO_RXQ_OVFL)
			memcpy(&overflowed, CMSG_DATA(c), sizeof overflowed);
	}
	return at.tv_sec * NANO + at.tv_nsec;
}

/* Reads a batch; less than BATCH means that the queue is empty. */
static int read_some(int fd)
{
	static char packets[BATCH][LARGEST];
	static union {
		char room[CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(uint32_t))];
		struct cmsghdr aligned;
	} control[BATCH];
	static struct mmsghdr messages[BATCH];
	static struct iovec parts[BATCH];

	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){packets[i], LARGEST};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1,
			.msg_control = control[i].room, .msg_controllen = sizeof control[i].room};
	}
	int got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < got; i++)
		count(packets[i], messages[i].msg_len, arrival_of(&messages[i].msg_hdr));
	return got;
}

static int join(const char *device, const char *group, int port)
{
	struct ip_mreqn member = {.imr_ifindex = (int)if_nametoindex(device)};
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
	int yes = 1, no = 0, room = ROOM;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || !member.imr_ifindex || inet_pton(AF_INET, group, &member.imr_multiaddr) != 1)
		return -1;
	here.sin_addr = member.imr_multiaddr;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof yes) ||
	    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof yes) ||
	    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &no, sizeof no) ||
	    bind(fd, (struct sockaddr *)&here, sizeof here) ||
	    setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member))
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};

	if (argc != 4) {
		fprintf(stderr, "usage: sink DEVICE GROUP PORT\n");
		return 2;
	}
	/* Outside of ppoll the signals wait, so none falls between the look and the sleep. */
	sigset_t caught, none;
	sigemptyset(&none);
	sigemptyset(&caught);
	sigaddset(&caught, SIGUSR1);
	sigaddset(&caught, SIGTERM);
	sigaddset(&caught, SIGINT);
	sigprocmask(SIG_BLOCK, &caught, NULL);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);

	int fd = join(argv[1], argv[2], atoi(argv[3]));
	if (fd < 0) {
		fprintf(stderr, "sink: %s on %s: %s\n", argv[2], argv[1], strerror(errno));
		return 1;
	}
	puts("ready");
	fflush(stdout);
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	struct timespec nap = {0, NAP};
	while (!ended) {
		if (ppoll(&readable, 1, NULL, &none) > 0 && read_some(fd) < BATCH)
			ppoll(NULL, 0, &nap, &none);
		if (asked) {
			while (read_some(fd) == BATCH)
				;
			asked = 0;
			report();
		}
	}
	return 0;
}
