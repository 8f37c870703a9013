/*
 * time.c - the clock, sleeping, yielding, intervals.
 */
#include <stdio.h>

#include "scope.h"
#include "wait.h"
#include "worker.h"

int64_t yoke_now(void)
{
    return (int64_t)yoke__os_now();
}

int64_t yoke_after(int64_t ns)
{
    int64_t now = yoke_now();
    if (ns <= 0)
        return now;
    return ns > YOKE_NEVER - now ? YOKE_NEVER : now + ns;
}

int yoke_yield(void)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    if (yoke__scope_cancelled(w->rt, yoke__strand_scope(yoke__current(w))))
        return -ECANCELED;
    return yoke__worker_yield(w);
}

struct sleeper {
    struct yoke__timer timer;
    struct yoke__wait wait;
};

/* Under the shard's lock; the waiter disarms before it returns, and so waits for this to be over. */
static void sleep_over(struct yoke__timer *timer, void *batch)
{
    struct sleeper *sleeper = yoke__container(timer, struct sleeper, timer);
    struct yoke__timer_batch *due = batch;
    struct yoke__fiber *fiber;
    yoke__wait_fire(&sleeper->wait, YOKE__FIRE_TIME, &fiber);
    if (fiber != NULL) {
        fiber->next = due->lists[YOKE__DUE_FIBERS];
        due->lists[YOKE__DUE_FIBERS] = fiber;
    }
}

static void tell_never(const void *object, char *text, size_t size)
{
    (void)object;
    snprintf(text, size, " without end");
}

static const struct yoke__waited on_never = { .what = "sleep", .tell = tell_never };

int yoke_sleep_until(int64_t deadline)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    if (deadline <= yoke_now())
        return yoke_yield();
    struct yoke_runtime *rt = w->rt;
    struct sleeper sleeper = { .timer = { .shard = NULL } };
    if (deadline != YOKE_NEVER)
        yoke__wait_init(&sleeper.wait, "sleep");
    else
        yoke__wait_init_on(&sleeper.wait, &on_never, NULL);
    int rc = yoke__wait_enlist(&sleeper.wait);
    if (rc < 0)
        return rc;
    if (deadline != YOKE_NEVER)
        yoke__timer_arm(&rt->timers, yoke__own_shard(rt), &sleeper.timer, deadline, sleep_over);
    int code = yoke__wait_block(&sleeper.wait);
    yoke__timer_disarm(&rt->timers, yoke__own_shard(rt), &sleeper.timer); /* by another worker, perhaps */
    yoke__wait_delist(&sleeper.wait);
    return code == YOKE__FIRE_TIME ? 0 : -ECANCELED;
}

int yoke_sleep(int64_t ns)
{
    return ns <= 0 ? yoke_yield() : yoke_sleep_until(yoke_after(ns));
}

int yoke_interval_init(yoke_interval *interval, int64_t period, enum yoke_missed missed)
{
    if (interval == NULL || period <= 0 || (int)missed < YOKE_BURST || (int)missed > YOKE_SKIP)
        return -EINVAL;
    *interval = (yoke_interval){ .period = period, .next = yoke_after(period), .missed = missed };
    return 0;
}

int64_t yoke_interval_next(yoke_interval *interval)
{
    int64_t dropped = 0, next = interval->next;
    if (interval->missed == YOKE_SKIP) {
        int64_t late = yoke_now() - next;
        if (late >= interval->period) { /* drop whole periods, keep the phase */
            dropped = late / interval->period;
            next += dropped * interval->period;
        }
    }
    int rc = yoke_sleep_until(next);
    if (rc < 0)
        return rc;
    int64_t from = interval->missed == YOKE_DELAY ? yoke_now() : next;
    interval->next = from > YOKE_NEVER - interval->period ? YOKE_NEVER : from + interval->period;
    return dropped;
}
