/* An internet in one process: each host's uplink is a TAP device whose other end is here, and what a host sends
 * arrives at the other one late, or never.
 *
 *   forwarder SEED DEVICE SOCKET NAMESPACE...
 *
 * Host K is the K-th namespace: 10.99.K.0/30 and fd99:K::/64 are behind its DEVICE.  A packet goes
 *
 *   host --> uplink: RATE, its bounded queue --> path FROM-TO: cut? lost? DELAY +- JITTER --> host
 *
 * The uplink is no queue but the time when it has sent what it was given; a packet waits in one heap, by the time
 * when it is due.  Whether the N-th packet of a path is lost, and by how much it is late, are functions of the seed,
 * the path and N alone, so that what other hosts send changes nothing.  Losses are uniform (`loss`) and in bursts
 * (Gilbert and Elliott: in a bad spell, which a packet enters with probability `enter` and leaves with `leave`, it
 * is lost with `bad`).  A path keeps the order of its packets unless it has `reorder`.
 *
 * SOCKET is a UNIX one.  A request is a line of JSON, and so is its answer, {"ok": ...} or {"error": "why"}:
 *
 *   {"do": "path", "from": 1, "to": 2, ...}   delay, jitter (s), loss, enter, leave, bad (0 to 1), protocol (that
 *                                             losses are for; 0: all), cut, noudp, reorder (0 or 1)
 *   {"do": "host", "host": 1, ...}            rate (bit/s, 0: no bound), queue (bytes), side (hosts of different
 *                                             sides do not reach each other), carrier (0 or 1)
 *   {"do": "counts", "from": 1}               a list of what became of its packets, for each host that they were for
 *   {"do": "totals", "fresh": 0}              what is in flight, and how late packets left; fresh: counted anew
 *
 * What a request does not name stays as it is.  Only flat objects of numbers are understood, which is all there is.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <math.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NANO 1000000000LL
#define HOSTS_MAX 254
#define CLIENTS_MAX 8
#define BATCH 64                 /* packets of one host before the next one's turn */
#define FRAME_MAX 2048
#define FLIGHT_MAX (1 << 17)     /* packets: 13 s of 10,000 a second */
#define LINE_MAX_ 1024
#define ANSWER_MAX (HOSTS_MAX * 256)
#define STEPS 16                 /* buckets of lateness an octave */
#define OCTAVES 40
#define SECONDS_MAX 60.0         /* of delay and jitter */
#define RATE_MAX 1e11
#define ETHER 14
#define UDP 17

struct path {
	double delay, jitter, loss, enter, leave, bad; /* as asked for */
	double protocol, cut, noudp, reorder;
	bool in_bad_spell;
	int64_t last_due;
	uint64_t number, delivered, lost, stopped, overflowed, refused, bytes;
};

struct host {
	int fd;
	double rate, queue, side, carrier;
	int64_t sent_by; /* when the uplink is idle again */
	uint8_t mac[6], gateway[6];
};

struct packet {
	uint16_t from, to, length;
	bool udp;
	uint8_t frame[];
};

struct entry {
	int64_t due;
	uint64_t order;
	struct packet *packet;
};

struct client {
	int fd;
	size_t length;
	char line[LINE_MAX_];
};

enum kind { HOST, LISTENER, CLIENT };

static int hosts, listener, picker;
static uint64_t seed, orders;
static struct host host[HOSTS_MAX + 1];
static struct path *paths;
static struct entry *heap;
static size_t in_flight;
static struct client client[CLIENTS_MAX];
static uint64_t lateness[OCTAVES * STEPS], unroutable, multicast, expired, too_many;
static int64_t latest;

static void die(const char *what)
{
	fprintf(stderr, "forwarder: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NANO + t.tv_nsec;
}

static struct path *path_of(int from, int to)
{
	return &paths[from * (hosts + 1) + to];
}

/* ---- chance */

static uint64_t mixed(uint64_t x) /* the finalizer of SplitMix64 */
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

enum purpose { LOSS, SPELL, BAD, JITTER };

static double draw(int from, int to, uint64_t number, enum purpose purpose)
{
	uint64_t place = (uint64_t)from << 32 | (uint64_t)to << 16 | purpose;

	return (mixed(mixed(mixed(seed) + place) + number * 0x9e3779b97f4a7c15) >> 11) * 0x1p-53;
}

/* ---- what is in flight: a binary heap */

static bool before(struct entry a, struct entry b)
{
	return a.due < b.due || (a.due == b.due && a.order < b.order);
}

static void launch(struct entry entry)
{
	size_t at = in_flight++;

	for (; at && before(entry, heap[(at - 1) / 2]); at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = entry;
}

static struct entry land(void)
{
	struct entry first = heap[0], last = heap[--in_flight];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < in_flight) {
		if (child + 1 < in_flight && before(heap[child + 1], heap[child]))
			child++;
		if (!before(heap[child], last))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = last;
	return first;
}

/* ---- a packet's way */

static int by_address6(const uint8_t *address) /* fd99:K::, and K reads as decimal */
{
	int number = 0;

	if (address[0] != 0xfd || address[1] != 0x99)
		return 0;
	for (int shift = 12; shift >= 0; shift -= 4)
		number = number * 10 + ((address[2] << 8 | address[3]) >> shift & 15);
	return number;
}

/* The host that the packet is for, with one hop less; 0 if there is none. */
static int routed(uint8_t *frame, size_t length, bool *udp)
{
	uint8_t *ip = frame + ETHER;
	int to = 0;

	if (length >= ETHER + 20 && frame[12] == 8 && frame[13] == 0) {
		if (ip[16] >> 4 == 14) {
			multicast++;
			return 0;
		}
		if (ip[16] == 10 && ip[17] == 99 && ip[19] == 2)
			to = ip[18];
		if (to && to <= hosts && ip[8] <= 1) {
			expired++;
			return 0;
		}
		ip[8]--;
		uint32_t sum = (ip[10] << 8 | ip[11]) + 0x100;
		sum += sum >> 16;
		ip[10] = sum >> 8;
		ip[11] = sum;
		*udp = ip[9] == UDP;
	} else if (length >= ETHER + 40 && frame[12] == 0x86 && frame[13] == 0xdd) {
		if (ip[24] == 0xff) {
			multicast++;
			return 0;
		}
		to = by_address6(ip + 24);
		if (to && to <= hosts && ip[7] <= 1) {
			expired++;
			return 0;
		}
		ip[7]--;
		*udp = ip[6] == UDP;
	}
	if (to >= 1 && to <= hosts)
		return to;
	unroutable++;
	return 0;
}

static uint8_t protocol_of(const uint8_t *frame)
{
	return frame[12] == 8 ? frame[ETHER + 9] : frame[ETHER + 6];
}

static bool closed(int from, int to, bool udp)
{
	struct path *path = path_of(from, to);

	return path->cut || (path->noudp && udp) || host[from].side != host[to].side ||
	       !host[from].carrier || !host[to].carrier;
}

/* All chances are drawn for every packet, so that the next one's do not depend on what is set. */
static bool lost(struct path *path, int from, int to, uint64_t number, uint8_t protocol)
{
	double turn = draw(from, to, number, SPELL);
	bool concerned = !path->protocol || path->protocol == protocol;

	path->in_bad_spell = path->in_bad_spell ? turn >= path->leave : turn < path->enter;
	return concerned && (draw(from, to, number, LOSS) < path->loss ||
			     (path->in_bad_spell && draw(from, to, number, BAD) < path->bad));
}

/* When the uplink has sent it; -1: its queue is full. */
static int64_t uplinked(struct host *by, size_t length, int64_t at)
{
	if (!by->rate)
		return at;
	int64_t begin = by->sent_by > at ? by->sent_by : at;
	double waiting = (begin - at) * by->rate / 8 / NANO;

	if (waiting + length > by->queue && begin > at)
		return -1;
	return by->sent_by = begin + (int64_t)(length * 8 * NANO / by->rate);
}

static void accept_packet(int from, uint8_t *frame, size_t length, int64_t at)
{
	bool udp = false;
	int to = routed(frame, length, &udp);

	if (!to)
		return;
	struct path *path = path_of(from, to);
	uint64_t number = path->number++;
	int64_t sent = uplinked(&host[from], length - ETHER, at);
	bool gone = lost(path, from, to, number, protocol_of(frame));
	if (sent < 0) {
		path->overflowed++;
	} else if (closed(from, to, udp)) {
		path->stopped++;
	} else if (gone) {
		path->lost++;
	} else if (in_flight == FLIGHT_MAX) {
		path->overflowed++;
		too_many++;
	} else {
		double late = path->delay + path->jitter * (2 * draw(from, to, number, JITTER) - 1);
		int64_t due = sent + (late > 0 ? (int64_t)(late * NANO) : 0);
		if (!path->reorder && due < path->last_due)
			due = path->last_due;
		path->last_due = due;
		struct packet *packet = malloc(sizeof *packet + length);
		if (!packet)
			die("memory");
		*packet = (struct packet){from, to, length, udp};
		memcpy(packet->frame, frame, length);
		memcpy(packet->frame, host[to].mac, 6);
		memcpy(packet->frame + 6, host[to].gateway, 6);
		launch((struct entry){due, orders++, packet});
	}
}

static void read_host(int from)
{
	static uint8_t frame[FRAME_MAX];

	for (int i = 0; i < BATCH; i++) {
		ssize_t length = read(host[from].fd, frame, sizeof frame);
		if (length < 0)
			return; /* all read, or the interface is down */
		accept_packet(from, frame, length, now());
	}
}

static unsigned bucket_of(uint64_t value)
{
	unsigned shift = 0;

	while (value >> shift >= 2 * STEPS)
		shift++;
	unsigned bucket = shift * STEPS + (unsigned)(value >> shift);
	return bucket < OCTAVES * STEPS ? bucket : OCTAVES * STEPS - 1;
}

static void deliver_due(void)
{
	int64_t t = now();

	while (in_flight && heap[0].due <= t) {
		struct entry entry = land();
		struct packet *packet = entry.packet;
		struct path *path = path_of(packet->from, packet->to);
		int64_t late = t - entry.due;

		lateness[bucket_of(late)]++;
		latest = late > latest ? late : latest;
		if (closed(packet->from, packet->to, packet->udp)) {
			path->stopped++; /* what was on the way is cut, too */
		} else if (write(host[packet->to].fd, packet->frame, packet->length) < 0) {
			path->refused++;
		} else {
			path->delivered++;
			path->bytes += packet->length - ETHER;
		}
		free(packet);
		t = now();
	}
}

/* ---- requests */

static char answer[ANSWER_MAX];
static size_t answer_length;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	va_list rest;

	va_start(rest, format);
	int length = vsnprintf(answer + answer_length, sizeof answer - answer_length, format, rest);
	va_end(rest);
	answer_length += length;
	if (answer_length >= sizeof answer)
		answer_length = sizeof answer - 1;
}

static const char *value_of(const char *line, const char *key)
{
	char pattern[32];

	snprintf(pattern, sizeof pattern, "\"%s\":", key);
	const char *found = strstr(line, pattern);
	return found ? found + strlen(pattern) + strspn(found + strlen(pattern), " ") : NULL;
}

/* A number where the request has one, and within bounds; else the value stays.  False: a bad one. */
static bool take(const char *line, const char *key, double least, double most, double *value)
{
	const char *text = value_of(line, key);
	char *end;

	if (!text)
		return true;
	double given = strtod(text, &end);
	if (end == text || !isfinite(given) || given < least || given > most) {
		say("{\"error\": \"%s is not a number from %g to %g\"}\n", key, least, most);
		return false;
	}
	*value = given;
	return true;
}

static int which_host(const char *line, const char *key)
{
	double number = 0;

	if (!take(line, key, 1, hosts, &number))
		return 0;
	if (!number)
		say("{\"error\": \"%s is missing\"}\n", key);
	return (int)number;
}

static void set_path(const char *line)
{
	int from = which_host(line, "from"), to = from ? which_host(line, "to") : 0;

	if (!to)
		return;
	struct path p = *path_of(from, to);
	if (!take(line, "delay", 0, SECONDS_MAX, &p.delay) || !take(line, "jitter", 0, SECONDS_MAX, &p.jitter) ||
	    !take(line, "loss", 0, 1, &p.loss) || !take(line, "enter", 0, 1, &p.enter) ||
	    !take(line, "leave", 0, 1, &p.leave) || !take(line, "bad", 0, 1, &p.bad) ||
	    !take(line, "protocol", 0, 255, &p.protocol) || !take(line, "cut", 0, 1, &p.cut) ||
	    !take(line, "noudp", 0, 1, &p.noudp) || !take(line, "reorder", 0, 1, &p.reorder))
		return;
	*path_of(from, to) = p;
	say("{\"ok\": true}\n");
}

static void set_host(const char *line)
{
	int number = which_host(line, "host");

	if (!number)
		return;
	struct host h = host[number];
	if (!take(line, "rate", 0, RATE_MAX, &h.rate) || !take(line, "queue", 0, 1e9, &h.queue) ||
	    !take(line, "side", 0, HOSTS_MAX, &h.side) || !take(line, "carrier", 0, 1, &h.carrier))
		return;
	int carrier = h.carrier != 0;
	if (h.carrier != host[number].carrier && ioctl(h.fd, TUNSETCARRIER, &carrier)) {
		say("{\"error\": \"carrier: %s\"}\n", strerror(errno));
		return;
	}
	host[number] = h;
	say("{\"ok\": true}\n");
}

static void tell_counts(const char *line)
{
	int from = which_host(line, "from");

	if (!from)
		return;
	say("{\"ok\": [");
	for (int to = 1; to <= hosts; to++) {
		struct path *p = path_of(from, to);
		say("%s{\"sent\": %llu, \"delivered\": %llu, \"lost\": %llu, \"cut\": %llu, \"queue\": %llu, "
		    "\"refused\": %llu, \"bytes\": %llu}", to > 1 ? ", " : "",
		    (unsigned long long)p->number, (unsigned long long)p->delivered, (unsigned long long)p->lost,
		    (unsigned long long)p->stopped, (unsigned long long)p->overflowed,
		    (unsigned long long)p->refused, (unsigned long long)p->bytes);
	}
	say("]}\n");
}

static double late_by(double part) /* in us, the upper bound of the bucket */
{
	uint64_t all = 0, sum = 0;

	for (unsigned i = 0; i < OCTAVES * STEPS; i++)
		all += lateness[i];
	for (unsigned i = 0; all && i < OCTAVES * STEPS; i++)
		if ((sum += lateness[i]) >= part * all) {
			unsigned shift = i < 2 * STEPS ? 0 : i / STEPS - 1;
			int64_t bound = (int64_t)(i - shift * STEPS + 1) << shift;
			return (bound < latest ? bound : latest) / 1e3;
		}
	return 0;
}

static void tell_totals(const char *line)
{
	double fresh = 0;
	struct rusage used;

	if (!take(line, "fresh", 0, 1, &fresh))
		return;
	getrusage(RUSAGE_SELF, &used);
	say("{\"ok\": {\"in_flight\": %zu, \"unroutable\": %llu, \"multicast\": %llu, \"expired\": %llu, "
	    "\"too_many\": %llu, \"late_us\": {\"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, \"most\": %.1f}, "
	    "\"cpu\": %.3f}}\n", in_flight, (unsigned long long)unroutable, (unsigned long long)multicast,
	    (unsigned long long)expired, (unsigned long long)too_many, late_by(.5), late_by(.99), late_by(.999),
	    latest / 1e3, used.ru_utime.tv_sec + used.ru_stime.tv_sec +
	    (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
	if (fresh) {
		memset(lateness, 0, sizeof lateness);
		latest = 0;
	}
}

static void answer_to(const char *line)
{
	static const struct {
		const char *word;
		void (*what)(const char *);
	} verbs[] = {{"path", set_path}, {"host", set_host}, {"counts", tell_counts}, {"totals", tell_totals}};
	const char *verb = value_of(line, "do");

	answer_length = 0;
	for (unsigned i = 0; verb && i < sizeof verbs / sizeof *verbs; i++) {
		size_t length = strlen(verbs[i].word);
		if (verb[0] == '"' && !strncmp(verb + 1, verbs[i].word, length) && verb[length + 1] == '"') {
			verbs[i].what(line);
			return;
		}
	}
	say("{\"error\": \"do is one of path, host, counts, totals\"}\n");
}

static void hang_up(struct client *c)
{
	close(c->fd);
	c->fd = -1;
}

/* A client reads its answers before it asks for more than a socket's buffer of them, or is hung up on. */
static void read_client(struct client *c)
{
	ssize_t got = recv(c->fd, c->line + c->length, sizeof c->line - 1 - c->length, MSG_DONTWAIT);
	char *begin = c->line, *end;

	if (got <= 0) {
		if (!got || errno != EAGAIN)
			hang_up(c);
		return;
	}
	c->length += got;
	c->line[c->length] = 0;
	while ((end = strchr(begin, '\n'))) {
		*end = 0;
		answer_to(begin);
		begin = end + 1;
		if (send(c->fd, answer, answer_length, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)answer_length) {
			hang_up(c);
			return;
		}
	}
	c->length -= begin - c->line;
	memmove(c->line, begin, c->length);
	if (c->length == sizeof c->line - 1)
		hang_up(c);
}

/* ---- setting up */

static void watch(int fd, enum kind kind, int number)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | number};

	if (epoll_ctl(picker, EPOLL_CTL_ADD, fd, &event))
		die("epoll");
}

static void accept_client(void)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (int i = 0; i < CLIENTS_MAX && fd >= 0; i++)
		if (client[i].fd < 0) {
			client[i] = (struct client){.fd = fd};
			watch(fd, CLIENT, i);
			return;
		}
	if (fd >= 0)
		close(fd);
}

static void enter(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(path);
	close(fd);
}

/* A TAP lives as long as its descriptor and works from any namespace; it stays in the one where it was made. */
static void open_tap(int number, const char *namespace, const char *device)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	struct host *h = &host[number];
	char path[256];

	snprintf(path, sizeof path, "/run/netns/%s", namespace);
	enter(path);
	*h = (struct host){.fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), .queue = 1e9, .carrier = 1};
	memcpy(h->mac, (uint8_t[]){2, 'm', 'c', 0, number >> 8, number}, 6);
	memcpy(h->gateway, (uint8_t[]){2, 'm', 'c', 1, number >> 8, number}, 6);
	snprintf(request.ifr_name, IFNAMSIZ, "%s", device);
	if (h->fd < 0 || ioctl(h->fd, TUNSETIFF, &request))
		die("/dev/net/tun");
	request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(request.ifr_hwaddr.sa_data, h->mac, 6);
	if (ioctl(h->fd, SIOCSIFHWADDR, &request))
		die("the TAP's address");
	watch(h->fd, HOST, number);
}

static void listen_at(const char *path)
{
	struct sockaddr_un here = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof here.sun_path) {
		errno = ENAMETOOLONG;
		die(path);
	}
	strcpy(here.sun_path, path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0 || bind(listener, (void *)&here, sizeof here) || listen(listener, CLIENTS_MAX))
		die(path);
	watch(listener, LISTENER, 0);
}

/* The way between hosts does not wait for them, as far as one machine can: before all others, where that may be. */
static void go_first(void)
{
	prctl(PR_SET_TIMERSLACK, 1);
	if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}))
		setpriority(PRIO_PROCESS, 0, -20);
}

static void serve(void)
{
	struct epoll_event events[64];

	for (;;) {
		int64_t left = in_flight ? heap[0].due - now() : 0;
		left = left < 0 ? 0 : left;
		struct timespec wait = {left / NANO, left % NANO};
		int count = epoll_pwait2(picker, events, 64, in_flight ? &wait : NULL, NULL);
		for (int i = 0; i < count; i++) {
			int number = (uint32_t)events[i].data.u64;
			enum kind kind = events[i].data.u64 >> 32;
			if (kind == HOST)
				read_host(number);
			else if (kind == LISTENER)
				accept_client();
			else
				read_client(&client[number]);
		}
		deliver_due();
	}
}

int main(int count, char **words)
{
	hosts = count - 4;
	if (hosts < 1 || hosts > HOSTS_MAX) {
		fprintf(stderr, "usage: forwarder SEED DEVICE SOCKET NAMESPACE... (1 to %d)\n", HOSTS_MAX);
		return 2;
	}
	seed = strtoull(words[1], NULL, 10);
	paths = calloc((size_t)(hosts + 1) * (hosts + 1), sizeof *paths);
	heap = malloc(FLIGHT_MAX * sizeof *heap);
	picker = epoll_create1(EPOLL_CLOEXEC);
	if (!paths || !heap || picker < 0)
		die("memory");
	for (int i = 0; i < (hosts + 1) * (hosts + 1); i++)
		paths[i].bad = paths[i].leave = 1;
	for (int i = 0; i < CLIENTS_MAX; i++)
		client[i].fd = -1;
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	for (int number = 1; number <= hosts; number++)
		open_tap(number, words[number + 3], words[2]);
	if (home < 0 || setns(home, CLONE_NEWNET))
		die("the way back");
	go_first();
	listen_at(words[3]);
	puts("ready");
	fflush(stdout);
	serve();
}
