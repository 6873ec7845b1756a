/* What every packet of the race begins with.  Source and sinks run on one machine, so host byte order will do,
 * and both clocks are the same CLOCK_REALTIME.
 *
 *   | mark (32) | run (32) | number (64) | sent at, ns (64) | padding ... |
 */
#ifndef STAMP_H
#define STAMP_H

#include <stdint.h>
#include <time.h>

#define STAMP_MARK 0x52414345u /* "RACE" */
#define NANO 1000000000LL

struct stamp {
	uint32_t mark;
	uint32_t run;
	uint64_t number;
	int64_t sent_at;
};

static inline int64_t nanoseconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NANO + now.tv_nsec;
}

#endif
