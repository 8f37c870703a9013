/*
 * service.h - who fires timers, and who is in the driver's poll: the service thread, or a worker that has nothing else to do.
 *
 * The poll is held by one thread at a time (`poller`). Its holder sleeps in the driver's poll until the earliest timer and fires what is
 * due. An idle worker takes the poll if nobody has it: what comes is then run by the thread that was woken. A worker that runs one woken
 * task after another takes it now and then for a look that does not sleep. The service thread takes it when the workers are busy with
 * long tasks: it keeps it until one of them is idle when an event comes, or wanted to have its look (`wanted`).
 *
 * While workers have the poll, the service thread looks every TICK_NS whether that is still so, and dozes once a whole tick has passed
 * without a change. A poll that is free, and has not been attended to since the last look and for GRACE_NS, is taken: so workers that run short tasks keep it,
 * and one that is kept busy is replaced within TICK_NS + GRACE_NS. Each tick costs a timer interrupt and two switches of threads on a core
 * that has better things to do. So when none of them was needed for long, they become fewer, down to an eighth; with the first that was,
 * as many as before: a server that only ever waits for I/O, and then computes, holds it up for up to 8 TICK_NS + GRACE_NS, once.
 *
 * The arguments; all of the words concerned are seq_cst.
 *   - Who leaves the poll lets it go and then looks whether the service thread dozes; that announces its doze and then looks at the poll
 *     again. One sees the other: somebody watches the poll soon.
 *   - `target` of the timers (timer.h) is written by the holder alone. Who leaves the poll sets it to the time at which the service thread
 *     will wake by itself (`wake_at`), before it lets go, and then looks whether a timer is earlier, or `wake_at` has changed: then it
 *     kicks. The service thread, on its way to sleep for a tick, tells `wake_at` and then looks whether the poll is still held. So an
 *     armer's look at `target` is never too optimistic for longer than it takes to leave the poll, or, while workers are busy with long tasks, than events wait.
 *   - A kick changes `word` and then interrupts the sleep it finds: the poll, if `polling` says that its holder is there or about to be, and
 *     the futex in any case. A holder announces `polling` and then looks at `word`, and a worker also at its own `parked`. What it is
 *     compared with was read before anything was looked at that a kick may be about.
 * All of it is modelled in tests/model/service.pml.
 */
#ifndef YOKE_EXECUTOR_SERVICE_H
#define YOKE_EXECUTOR_SERVICE_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver.h"
#include "timer.h"

enum { YOKE__POLLER_NONE = 0, YOKE__POLLER_SERVICE = 1, YOKE__POLLER_WORKERS = 2 }; /* and the worker's index */

/* After so many ticks at which workers had come to the poll as they should, ticks are half as many; and again, so often. */
enum { YOKE__CALM_TICKS = 64, YOKE__CALM_MOST = 3 };

struct yoke__worker;

struct yoke__service {
    struct yoke_runtime *rt;
    pthread_t thread;
    uint32_t word;     /* futex; changes when there is something to look at */
    uint32_t stopping;
    uint32_t entered;  /* futex: the thread has set itself up */
    bool bound;
    cpu_set_t cpus;    /* if bound: where it is to run */
    int bind_error, slice_error; /* what came of it; valid once entered */
    struct yoke__lock lock;
    const struct yoke__driver *driver; /* set once, after the state */
    void *driver_state;
    uint32_t poller __attribute__((aligned(64))); /* who has the poll */
    uint32_t polling;  /* he is in it, or about to be */
    uint32_t wanted;   /* a worker found it with the service thread; a hint */
    uint32_t dozing;   /* the service thread sleeps until it is kicked */
    int64_t wake_at;   /* when it wakes by itself; INT64_MIN: it is awake */
    int64_t attended;  /* when somebody last left the poll, or was busy and about to look; a hint */
    uint32_t calm;     /* ticks since workers have last left the poll alone; the service thread's own (atomic for tests) */
};

/* 0 or why the thread could not be started; then nothing is left behind. `cpus`, `bound` are set. */
int yoke__service_start(struct yoke__service *service, struct yoke_runtime *rt);
/* Joins the thread, stops the driver. */
void yoke__service_stop(struct yoke__service *service);

/* Waits until the thread has set itself up. */
void yoke__service_await(struct yoke__service *service);

/* Makes whoever sleeps for timers or events look again. Any thread. */
void yoke__service_kick(void *service);

/* True if there is a poll at all. A hint. */
static inline bool yoke__service_has_poll(const struct yoke__service *service)
{
    return yoke__load_relaxed(&service->driver) != NULL;
}

/* True if there is a poll to be had: a worker with nothing to do need not look around for long. A hint. */
static inline bool yoke__service_poll_free(const struct yoke__service *service)
{
    return yoke__service_has_poll(service) && yoke__load_relaxed(&service->poller) == YOKE__POLLER_NONE;
}

/*
 * A worker that has announced its sleep (park.c): takes the poll and sleeps in it until it is called (w->parked becomes 0), or something has been
 * made ready: fibers linked by `next` in *woken, or in its own queue. False: somebody else has the poll. *awake: it has taken its sleep back.
 */
bool yoke__service_poll(struct yoke__service *service, struct yoke__worker *w, bool *awake, struct yoke__fiber **woken);

/* Events that have come already, for a worker that is not idle: fibers as above. Never sleeps. */
void yoke__service_look(struct yoke__service *service, struct yoke__worker *w, struct yoke__fiber **woken);

/* Somebody leaves the poll, or is not idle and will have his look soon: the service thread need not come for it. */
static inline void yoke__service_attend(struct yoke__service *service, int64_t now)
{
    yoke__store_relaxed(&service->attended, now);
}

/* After its `parked` was changed (seq_cst): true if that worker has the poll, which is interrupted. False: it does not sleep there. */
bool yoke__service_rouse(struct yoke__service *service, const struct yoke__worker *w);

/* The state of the runtime's driver, which is started if this is the first use. NULL: *err tells. Any worker; never blocks for long. */
void *yoke__service_driver(struct yoke__service *service, const struct yoke__driver *driver, int *err);

#endif
