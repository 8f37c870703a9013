/*
 * moments.h - the real scope.c and walk.c, with moments at which others come in: at each lock they take, at the memo, at the epoch, at the list that is
 * made ready, and in the sleep of who leaves. What a cancel costs is counted in locks taken, never in time.
 */
#ifndef YOKE_TESTS_MOMENTS_H
#define YOKE_TESTS_MOMENTS_H

#include "support.h"

#include <yoke/sync/event.h>

#include "group.h"
#include "process.h"
#include "report.h"
#include "scope.h"
#include "seat.h"
#include "stop.h"
#include "wait.h"
#include "worker.h"

/* ---- moments ------------------------------------------------------------------------------------------------------------ */

static struct {
    void (*locking)(struct yoke__lock *lock); /* before a lock is taken */
    void (*storing)(const void *place);     /* before a relaxed store: a memo is one */
    void (*counting)(void);                  /* a cancel is queued, and about to be counted */
    void (*epoch)(struct yoke_runtime *rt); /* before it is raised */
    void (*waking)(void);                   /* the walker, holding no lock */
    void (*leaving)(uint32_t *bell);        /* who leaves is about to sleep */
    void (*firing)(struct yoke__timer *timer, bool begins); /* a deadline has passed; its callback is over */
} at;

static uint64_t locks; /* taken by scope.c */

static inline void acquire_here(struct yoke__lock *lock)
{
    add(&locks, 1);
    if (at.locking != NULL)
        at.locking(lock);
    yoke__lock_acquire(lock);
}

static inline void ready_here(struct yoke_runtime *rt, struct yoke__roused *roused)
{
    if (at.waking != NULL)
        at.waking();
    yoke__roused_ready(rt, roused);
}

static inline void sleep_here(uint32_t *bell, uint32_t seen)
{
    if (at.leaving != NULL)
        at.leaving(bell);
    else
        yoke__os_futex_wait(bell, seen, UINT64_MAX);
}

static inline struct yoke_runtime *here(void)
{
    return yoke__self()->rt;
}

static inline void before_add(const void *place)
{
    if (at.epoch != NULL && place == &here()->epoch)
        at.epoch(here());
}

static inline void before_store(const void *place)
{
    if (at.storing != NULL)
        at.storing(place);
}

static inline void before_count(void)
{
    if (at.counting != NULL)
        at.counting();
}

static void fire_here(struct yoke__timer *timer, void *batch);

#define yoke__lock_acquire acquire_here
#define yoke__roused_ready ready_here
#define yoke__os_futex_wait(word, seen, until) sleep_here((word), (seen))
#undef yoke__add_seq
#define yoke__add_seq(p, n) (before_add(p), __atomic_fetch_add((p), (n), __ATOMIC_SEQ_CST))
#undef yoke__add_acq_rel
#define yoke__add_acq_rel(p, n) (before_count(), __atomic_fetch_add((p), (n), __ATOMIC_ACQ_REL))
#undef yoke__store_relaxed
#define yoke__store_relaxed(p, v) (before_store(p), __atomic_store_n((p), (v), __ATOMIC_RELAXED))
#define yoke__timer_arm(timers, shard, timer, when, callback) (yoke__timer_arm)((timers), (shard), (timer), (when), fire_here)
#include "../../executor/scope.c"
#include "../../executor/walk.c"
#undef yoke__lock_acquire
#undef yoke__roused_ready
#undef yoke__os_futex_wait
#undef yoke__add_seq
#undef yoke__timer_arm

static inline void fire_here(struct yoke__timer *timer, void *batch)
{
    if (at.firing != NULL)
        at.firing(timer, true);
    deadline_due(timer, batch);
    if (at.firing != NULL)
        at.firing(timer, false);
}

static inline void let_be(void)
{
    memset(&at, 0, sizeof at);
    store(&locks, (uint64_t)0);
}

static inline struct yoke__scope *current(void)
{
    return yoke__strand_scope(yoke__current(yoke__self()));
}

static inline void count_wait(void *ctx, const struct yoke__wait *wait)
{
    *(int *)ctx += wait->state == YOKE__WAIT_PARKED;
}

/* How many sleep in the very scope. On one worker; its lock may be held by ourselves. */
static inline int asleep_in(void *scope)
{
    struct yoke__scope *s = scope;
    int n = 0;
    bool ours = yoke__lock_try(&s->lock);
    yoke__seats_show_locked(s, count_wait, &n);
    if (ours)
        yoke__lock_release(&s->lock);
    return n;
}

static inline int sleep_long(void *arg)
{
    if (arg != NULL)
        add((int *)arg, 1);
    return yoke_sleep_until(YOKE_NEVER);
}

/* On one worker who has counted itself in is blocked as soon as we see it. */
static inline void until(int *counter, int n)
{
    while (load(counter) < n)
        check_int(yoke_yield(), 0);
}

static inline int set_it(void *arg)
{
    return yoke_event_set(arg);
}

/* Blocks, for certain, and goes on; on one worker. `outside` encloses what is looked at. */
static inline void block_once(yoke_group outside)
{
    yoke_event event = YOKE_EVENT_INIT;
    check_int(yoke_spawn_ptr(outside, set_it, &event), 0);
    check_int(yoke_event_wait(&event), 0);
}

/* ---- whom it concerns ---------------------------------------------------------------------------------------------------- */

static inline int sleep_in_a_scope(void *arg)
{
    YOKE_SCOPE(own);
    return yoke_scope_close(own, sleep_long(arg));
}

static uint64_t random_state;

static inline uint64_t fresh(void)
{
    return add(&random_state, 0x9e3779b97f4a7c15u) + seed();
}

struct sleeper {
    uint64_t random;
};

static inline int block_below(void *arg)
{
    uint64_t r = ((struct sleeper *)arg)->random;
    yoke_scope opened[4];
    int n = (int)(next_random(&r) % 4);
    for (int i = 0; i < n; i++)
        opened[i] = yoke_scope_open(NULL);
    int rc = yoke_sleep_until(YOKE_NEVER);
    while (n > 0)
        rc = yoke_scope_close(opened[--n], rc);
    return rc;
}

struct canceller {
    yoke_scope scope;
    uint64_t random;
};

static inline int cancel_sometime(void *arg)
{
    struct canceller *c = arg;
    jitter(&c->random);
    int rc = yoke_scope_cancel(c->scope, -EXDEV);
    check(rc == 0 || rc == -EINVAL);
    return 0;
}

/* What was left to workers, of whom there is none but us. */
static inline void walk_to_the_end(void)
{
    while (yoke__walk_claim(here()))
        yoke__walk_stretch(here());
}

#endif
