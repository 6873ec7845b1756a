/* The source: datagrams to a group at a steady rate, numbered and stamped.
 *
 *   source DEVICE GROUP PORT RUN SIZE RATE SECONDS
 *
 * It wakes every TURN at the most often and sends what is due, in calls of up to CALL packets.  Each packet has
 * a place of its own in time, so a late turn is made up for; but what is due longer than PATIENCE is let off,
 * because a burst which no queue of the path could hold says nothing about the path's rate.  A packet that the
 * kernel refuses (ENOBUFS) counts as sent: for whoever waits for it, it is lost.
 *
 * Ends by itself after SECONDS (at most LONGEST) and says in one line of JSON what it did.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "stamp.h"

#define TURN (NANO / 5000)     /* 200 us: five thousand wake-ups a second cost little */
#define PATIENCE (NANO / 200)  /* 5 ms: some hundred packets at the rates in question */
#define CALL 32
#define LARGEST 1472
#define LONGEST 120.0
#define TTL 16
#define SEND_BUFFER (4 << 20)

static char packets[CALL][LARGEST];
static struct iovec parts[CALL];
static struct mmsghdr messages[CALL];

static void give_up(const char *what)
{
	fprintf(stderr, "source: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_socket(const char *device, const char *group, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct ip_mreqn out = {.imr_ifindex = (int)if_nametoindex(device)};
	int ttl = TTL, room = SEND_BUFFER;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!out.imr_ifindex)
		give_up(device);
	if (inet_pton(AF_INET, group, &to.sin_addr) != 1)
		give_up(group);
	if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out) ||
	    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) ||
	    connect(fd, (struct sockaddr *)&to, sizeof to))
		give_up("socket");
	return fd;
}

static void lay_out(size_t size)
{
	for (int i = 0; i < CALL; i++) {
		parts[i] = (struct iovec){packets[i], size};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
}

/* Sends packets `number`... and says how many are done with; `refused` counts those that the kernel did not take. */
static int send_some(int fd, uint32_t run, uint64_t number, int count, uint64_t *refused)
{
	struct stamp stamp = {STAMP_MARK, run, number, nanoseconds(CLOCK_REALTIME)};

	for (int i = 0; i < count; i++, stamp.number++)
		memcpy(packets[i], &stamp, sizeof stamp);
	int sent = sendmmsg(fd, messages, count, 0);
	if (sent > 0)
		return sent;
	if (errno == EINTR)
		return 0;
	if (errno != ENOBUFS && errno != EAGAIN)
		give_up("send");
	++*refused;
	return 1;
}

static void sleep_until(int64_t moment)
{
	struct timespec at = {moment / NANO, moment % NANO};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

int main(int argc, char **argv)
{
	if (argc != 8) {
		fprintf(stderr, "usage: source DEVICE GROUP PORT RUN SIZE RATE SECONDS\n");
		return 2;
	}
	uint32_t run = strtoul(argv[4], NULL, 10);
	long size = strtol(argv[5], NULL, 10);
	double rate = strtod(argv[6], NULL), seconds = strtod(argv[7], NULL);

	if (size < (long)sizeof(struct stamp) || size > LARGEST || !(rate >= 1 && rate <= 5e6) ||
	    !(seconds > 0 && seconds <= LONGEST)) {
		fprintf(stderr, "source: %zu to %d bytes, 1 to 5,000,000 packets/s, up to %g s\n",
			sizeof(struct stamp), LARGEST, LONGEST);
		return 2;
	}
	int fd = open_socket(argv[1], argv[2], atoi(argv[3]));
	lay_out(size);
	prctl(PR_SET_TIMERSLACK, 1UL);

	double apart = NANO / rate;
	double most_due = PATIENCE / apart > 1 ? PATIENCE / apart : 1;
	int64_t begin = nanoseconds(CLOCK_MONOTONIC), end = begin + (int64_t)(seconds * NANO), now;
	uint64_t number = 0, refused = 0;
	double let_off = 0;

	while ((now = nanoseconds(CLOCK_MONOTONIC)) < end) {
		double due = (now - begin) / apart + 1 - let_off - number;

		if (due > most_due) {
			let_off += due - most_due;
			due = most_due;
		}
		if (due >= 1) {
			number += send_some(fd, run, number, due < CALL ? (int)due : CALL, &refused);
			if (due >= CALL + 1)
				continue;
		}
		int64_t next = begin + (int64_t)((number + let_off) * apart);
		if (next < now + TURN && apart < TURN)
			next = now + TURN;
		sleep_until(next < end ? next : end);
	}
	double took = (now - begin) / (double)NANO;
	printf("{\"sent\": %llu, \"refused\": %llu, \"let_off\": %.0f, \"seconds\": %.4f, \"rate\": %.1f, "
	       "\"cpu\": %.6f}\n",
	       (unsigned long long)number, (unsigned long long)refused, let_off, took, number / took,
	       nanoseconds(CLOCK_PROCESS_CPUTIME_ID) / (double)NANO);
	return 0;
}
