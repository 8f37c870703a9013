/*
 * yoke/time.h - monotonic time in nanoseconds, sleeping, yielding, intervals.
 *
 * A deadline is an absolute value of CLOCK_MONOTONIC in nanoseconds; a duration is relative. 0 as a deadline field means "none".
 */
#ifndef YOKE_TIME_H
#define YOKE_TIME_H

#include <yoke/base.h>

YOKE_BEGIN_DECLS

#define YOKE_NS(n) ((int64_t)(n))
#define YOKE_US(n) ((int64_t)(n) * 1000)
#define YOKE_MS(n) ((int64_t)(n) * 1000000)
#define YOKE_SEC(n) ((int64_t)(n) * 1000000000)
#define YOKE_NEVER INT64_MAX

/* CLOCK_MONOTONIC, ns. Any thread, any time, never blocks. */
YOKE_API int64_t yoke_now(void);

/* The deadline `ns` from now; negative durations count as 0, too large ones as YOKE_NEVER. Any thread. */
YOKE_API int64_t yoke_after(int64_t ns);

/*
 * Blocks the task (not its thread) for at least `ns`; never wakes early. Negative counts as 0; 0 yields. A cancellation point:
 * -ECANCELED, checked first. -ENOTRECOVERABLE outside of a task.
 */
YOKE_API int yoke_sleep(int64_t ns);

/* The same until an absolute time; a time in the past yields. */
YOKE_API int yoke_sleep_until(int64_t deadline);

/* Lets other ready tasks run first. A cancellation point. */
YOKE_API int yoke_yield(void);

/* What an interval does when its user was late: catch up one by one, restart from now, or drop the missed ones. */
enum yoke_missed { YOKE_BURST = 0, YOKE_DELAY, YOKE_SKIP };

typedef struct yoke_interval {
    int64_t period;           /* ns, > 0 */
    int64_t next;             /* deadline of the next tick */
    enum yoke_missed missed;
} yoke_interval;

/* Sets `interval` up so that its first tick is one period from now. -EINVAL: period <= 0 or an unknown mode. */
YOKE_API int yoke_interval_init(yoke_interval *interval, int64_t period, enum yoke_missed missed);

/*
 * Waits for the next tick. Returns how many ticks were dropped before this one (0 unless YOKE_SKIP). A cancellation point;
 * on -ECANCELED the tick is not consumed.
 */
YOKE_API int64_t yoke_interval_next(yoke_interval *interval);

YOKE_END_DECLS

#endif
