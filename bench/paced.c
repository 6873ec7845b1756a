/* A paced multicast source and a counting sink, for rates that an interpreter cannot make.
 *
 *   paced send DEVICE GROUP PORT SIZE RATE SECONDS     datagrams of SIZE payload bytes, RATE a second
 *   paced take DEVICE GROUP PORT PAUSE                 until SIGTERM; sleeps PAUSE us when it has emptied its queue
 *
 * A payload begins with its number and the time of sending (CLOCK_MONOTONIC, so all hosts are of one kernel).  What
 * falls due is sent in batches, the clock is asked before each, and a source that was held up lets the missed ones
 * be: one gap in scheduling is not to become a burst.  Both end with one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 16, LATE = 256, QUANTUM = 200 /* us */, LONGEST = 2048, SAMPLES = 1 << 22, NUMBERS = 1 << 26 };

struct stamp {
	uint64_t number, sent;
};

static volatile sig_atomic_t ended;

static void end(int sign)
{
	(void)sign;
	ended = 1;
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static double cpu(void)
{
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static int send_all(int fd, struct sockaddr_in *to, size_t size, double rate, double seconds)
{
	static char data[BATCH][LONGEST];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH] = {0};
	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){data[i], size};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	if (size < sizeof(struct stamp) || size > LONGEST || connect(fd, (void *)to, sizeof *to))
		return fail("send");
	prctl(PR_SET_TIMERSLACK, 1);
	double step = 1e9 / rate, base = now(), began = base;
	uint64_t stop = base + seconds * 1e9, number = 0, of_base = 0, refused = 0, t;
	while ((t = now()) < stop && !ended) {
		int64_t due = (t - base) / step + 1 - of_base;
		if (due > LATE) {
			base = t;
			of_base = 0;
			due = 1;
		}
		while (due > 0) {
			int count = due < BATCH ? due : BATCH;
			t = now();
			for (int i = 0; i < count; i++)
				memcpy(data[i], &(struct stamp){number + i, t}, sizeof(struct stamp));
			int done = sendmmsg(fd, messages, count, 0);
			if (done < 0) {
				refused++;
				done = 1;
			}
			number += done, of_base += done, due -= done;
		}
		uint64_t next = base + of_base * step;
		if (step < QUANTUM * 1e3 && next < now() + QUANTUM * 1000)
			next = now() + QUANTUM * 1000;
		struct timespec until = {next / 1000000000, next % 1000000000};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	}
	double took = (now() - began) / 1e9;
	printf("{\"sent\": %llu, \"refused\": %llu, \"seconds\": %.3f, \"rate\": %.0f, \"cpu\": %.3f}\n",
	       (unsigned long long)number, (unsigned long long)refused, took, number / took, cpu());
	return 0;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static double quantile(const uint32_t *sorted, uint64_t count, double part)
{
	return count ? sorted[(uint64_t)(part * (count - 1))] / 1e3 : -1;
}

static int take_all(int fd, struct sockaddr_in *at, unsigned device, int pause)
{
	static char data[64][LONGEST];
	struct iovec parts[64];
	struct mmsghdr messages[64] = {0};
	uint8_t *seen = calloc(NUMBERS / 8, 1);
	uint32_t *delays = malloc(SAMPLES * sizeof *delays);
	uint64_t received = 0, twice = 0, late = 0, next = 0, samples = 0;
	int one = 1, none = 0, room = 64 << 20;
	struct ip_mreqn join = {.imr_multiaddr = at->sin_addr, .imr_ifindex = device};
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &none, sizeof none);
	if (!seen || !delays || bind(fd, (void *)at, sizeof *at) ||
	    setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join))
		return fail("take");
	for (int i = 0; i < 64; i++) {
		parts[i] = (struct iovec){data[i], LONGEST};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	puts("ready");
	fflush(stdout);
	while (!ended) {
		int count = recvmmsg(fd, messages, 64, MSG_DONTWAIT, NULL);
		if (count <= 0) {
			poll(&(struct pollfd){fd, POLLIN, 0}, 1, 100);
			continue;
		}
		uint64_t t = now();
		for (int i = 0; i < count; i++) {
			struct stamp stamp;
			memcpy(&stamp, data[i], sizeof stamp);
			if (messages[i].msg_len < sizeof stamp || stamp.number >= NUMBERS)
				continue;
			if (seen[stamp.number >> 3] >> (stamp.number & 7) & 1) {
				twice++;
				continue;
			}
			seen[stamp.number >> 3] |= 1 << (stamp.number & 7);
			late += stamp.number < next;
			next = stamp.number < next ? next : stamp.number + 1;
			received++;
			if (samples < SAMPLES)
				delays[samples++] = t - stamp.sent > UINT32_MAX ? UINT32_MAX : t - stamp.sent;
		}
		if (pause && count < 64)
			nanosleep(&(struct timespec){0, pause * 1000}, NULL);
	}
	qsort(delays, samples, sizeof *delays, by_size);
	printf("{\"received\": %llu, \"twice\": %llu, \"disordered\": %llu, \"p50\": %.1f, \"p99\": %.1f, "
	       "\"p99.9\": %.1f, \"cpu\": %.3f}\n",
	       (unsigned long long)received, (unsigned long long)twice, (unsigned long long)late,
	       quantile(delays, samples, .5), quantile(delays, samples, .99), quantile(delays, samples, .999), cpu());
	return 0;
}

int main(int count, char **words)
{
	signal(SIGTERM, end);
	if (count < 6)
		return fail("paced: too few arguments");
	int fd = socket(AF_INET, SOCK_DGRAM, 0), ttl = 16, room = 8 << 20;
	unsigned device = if_nametoindex(words[2]);
	struct sockaddr_in group = {.sin_family = AF_INET, .sin_port = htons(atoi(words[4]))};
	struct ip_mreqn by = {.imr_ifindex = device};
	inet_pton(AF_INET, words[3], &group.sin_addr);
	if (fd < 0 || !device)
		return fail(words[2]);
	if (!strcmp(words[1], "take"))
		return take_all(fd, &group, device, atoi(words[5]));
	setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by);
	setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
	return count < 8 ? 2 : send_all(fd, &group, atoi(words[5]), atof(words[6]), atof(words[7]));
}
