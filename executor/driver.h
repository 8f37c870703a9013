/*
 * driver.h - what a poller of events is to the executor, which knows none: io/ brings one (epoll) and attaches it with its first use.
 *
 * At most one thread is in `poll` at a time: the holder of the poll (service.h).
 */
#ifndef YOKE_EXECUTOR_DRIVER_H
#define YOKE_EXECUTOR_DRIVER_H

#include <stdint.h>

struct yoke_runtime;
struct yoke__fiber;

struct yoke__driver {
    /* *state is the driver's own. 0 or a negative errno, then nothing is left behind. */
    int (*start)(struct yoke_runtime *rt, void **state);
    /* After the last poll; no task is left. */
    void (*stop)(void *state);
    /*
     * Waits for events until `deadline` (absolute CLOCK_MONOTONIC ns; INT64_MAX: none; in the past: only looks) or an interrupt, and fires
     * the waits they concern: the fibers to be made ready are linked by `next` before *woken.
     */
    void (*poll)(void *state, int64_t deadline, struct yoke__fiber **woken);
    /* Makes the poll that is going on, or the next one, return at once. Any thread, async-signal-safe. */
    void (*interrupt)(void *state);
};

#endif
