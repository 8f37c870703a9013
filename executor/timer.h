/*
 * timer.h - timers of a runtime: sharded wheels and one service thread.
 *
 * A worker arms timers in a shard of its own, so that arming is an uncontended lock and O(1). One thread sleeps until the earliest of
 * all and calls the callbacks of what is due, under the shard's lock; after the lock it hands the batch to `after`.
 *
 * No wake-up is lost: an armer stores its shard's `next` and then loads the service's `target`; the service stores its target and
 * then loads every `next` once more before it sleeps (all seq_cst): one of them sees the other. While the service is awake its target is
 * INT64_MIN, so that arming makes no system call. Disarming wakes nobody.
 *
 * Who may call: arm, disarm - any thread, one at a time for a timer. A callback must be short and take only locks above the shard's rank
 * (core.h).
 */
#ifndef YOKE_EXECUTOR_TIMER_H
#define YOKE_EXECUTOR_TIMER_H

#include <pthread.h>

#include "lock.h"
#include "wheel.h"

struct yoke__timer_shard {
    struct yoke__lock lock;
    int64_t next; /* a lower bound of the times in the wheel */
    struct yoke__wheel wheel;
} __attribute__((aligned(64)));

/* Opaque to this module; zeroed before each use. */
struct yoke__timer_batch {
    void *lists[2];
};

struct yoke__timers {
    struct yoke__timer_shard *shards;
    int count;
    void (*after)(void *ctx, struct yoke__timer_batch *batch);
    void *ctx;
    pthread_t thread;
    int64_t target __attribute__((aligned(64))); /* what the service sleeps for */
    uint32_t word;                               /* futex; changes to wake the service */
    uint32_t stopping;
};

/* 0; -ENOMEM; or why the thread could not be started. */
int yoke__timers_start(struct yoke__timers *timers, int shards, const char *name, void (*after)(void *, struct yoke__timer_batch *), void *ctx);
void yoke__timers_stop(struct yoke__timers *timers);

/* `timer` is not armed. Infallible. */
void yoke__timer_arm(struct yoke__timers *timers, int shard, struct yoke__timer *timer, int64_t when,
                     void (*fire)(struct yoke__timer *, void *batch));

/* True: it will not fire. False: it was not armed or has fired; its callback is over. */
bool yoke__timer_disarm(struct yoke__timer *timer);

#endif
