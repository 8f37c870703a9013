/*
 * timer.h - timers of a runtime: sharded wheels, served by one thread at a time (service.h).
 *
 * A worker arms timers in a shard of its own, by a lock that it mostly has for nothing (biased.h), in O(1). The server takes what is due, calling each
 * callback under the shard's lock; the callbacks gather in a batch what is to be done without it. One shard is everybody's else: the last.
 *
 * No wake-up is lost: an armer stores its shard's `next` and then loads the server's `target`; the server stores its target and
 * then loads every `next` once more before it sleeps (all seq_cst): one of them sees the other. While the server is awake its target is
 * INT64_MIN, so that arming kicks nobody. Disarming wakes nobody.
 *
 * Who may call: arm, disarm - any thread, one at a time for a timer. A callback must be short and take only locks above the shard's rank
 * (core.h).
 */
#ifndef YOKE_EXECUTOR_TIMER_H
#define YOKE_EXECUTOR_TIMER_H

#include <stdbool.h>

#include "biased.h"
#include "wheel.h"

struct yoke__timer_shard {
    struct yoke__biased lock;
    int64_t next; /* a lower bound of the times in the wheel */
    struct yoke__wheel wheel;
} __attribute__((aligned(64)));

/* Opaque to this module; zeroed before each firing. */
enum { YOKE__DUE_FIBERS, YOKE__DUE_CANCELS, YOKE__DUE_OVERDUE, YOKE__DUE_LARGE, YOKE__DUE_LISTS };
struct yoke__timer_batch {
    void *lists[YOKE__DUE_LISTS];
};

struct yoke__timers {
    struct yoke__timer_shard *shards;
    int count;
    void (*kick)(void *ctx); /* the server sleeps for too long */
    void *ctx;
    int64_t target __attribute__((aligned(64))); /* what the server sleeps for */
};

/* All `shards` but the last have an owner each. 0 or -ENOMEM. */
int yoke__timers_init(struct yoke__timers *timers, int shards, bool membarrier, void (*kick)(void *ctx), void *ctx);
void yoke__timers_destroy(struct yoke__timers *timers);

/* The server: fires some of what is due at `now`, with what the callbacks gathered in *batch. False: nothing was due. */
bool yoke__timers_fire(struct yoke__timers *timers, int64_t now, struct yoke__timer_batch *batch);
/* The server is about to sleep: until when at most (INT64_MAX: no timer; in the past: not at all). */
int64_t yoke__timers_aim(struct yoke__timers *timers);
/* It is awake and will look at the wheels. */
void yoke__timers_awake(struct yoke__timers *timers);
/* Nobody will look at the wheels before `when`; the caller looks at yoke__timers_earliest() afterwards. */
void yoke__timers_hand_over(struct yoke__timers *timers, int64_t when);
/* A lower bound of all times armed; INT64_MAX: none. */
int64_t yoke__timers_earliest(const struct yoke__timers *timers);

/* True if a wheel holds a timer: exactly, shard by shard. Any thread. */
bool yoke__timers_any(struct yoke__timers *timers);

/* `timer` is not armed; `own` is the shard of the calling thread. Infallible. */
void yoke__timer_arm(struct yoke__timers *timers, int own, struct yoke__timer *timer, int64_t when,
                     void (*fire)(struct yoke__timer *, void *batch));

/* True: it will not fire. False: it was not armed or has fired; its callback is over. */
bool yoke__timer_disarm(struct yoke__timers *timers, int own, struct yoke__timer *timer);

#endif
