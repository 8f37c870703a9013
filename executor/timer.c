/*
 * timer.c - see timer.h.
 */
#include "timer.h"

#include <errno.h>
#include <string.h>

#include "platform.h"

#ifdef YOKE_SHRUNKEN
enum { CALM = 2 };
#else
enum { CALM = 1024 };
#endif

enum { FIRES_PER_LOCK = 256 };

void yoke__timer_arm(struct yoke__timers *timers, int own, struct yoke__timer *timer, int64_t when,
                     void (*fire)(struct yoke__timer *, void *batch))
{
    struct yoke__timer_shard *shard = &timers->shards[own];
    timer->when = when;
    timer->fire = fire;
    bool by_bias = yoke__biased_enter(&shard->lock);
    yoke__store_relaxed(&timer->shard, shard); /* read in disarm, by who knows that it was armed */
    yoke__wheel_insert(&shard->wheel, timer);
    bool earlier = when < yoke__load_relaxed(&shard->next);
    if (earlier)
        yoke__store_seq(&shard->next, when); /* store-load against yoke__timers_aim() */
    yoke__biased_leave(&shard->lock, by_bias);
    if (earlier && when < yoke__load_seq(&timers->target))
        timers->kick(timers->ctx);
}

bool yoke__timer_disarm(struct yoke__timers *timers, int own, struct yoke__timer *timer)
{
    struct yoke__timer_shard *shard = yoke__load_acquire(&timer->shard); /* pairs with fire_shard(): the callback is over */
    if (shard == NULL)
        return false;
    bool by_bias = false;
    if (shard == &timers->shards[own])
        by_bias = yoke__biased_enter(&shard->lock);
    else
        yoke__biased_acquire(&shard->lock);
    bool armed = yoke__load_relaxed(&timer->shard) != NULL; /* the service may have been faster */
    if (armed) {
        yoke__wheel_remove(&shard->wheel, timer);
        yoke__store_relaxed(&timer->shard, (struct yoke__timer_shard *)NULL);
    }
    yoke__biased_leave(&shard->lock, by_bias);
    return armed;
}

/* In stretches, so that armers do not wait long. True: something was due. */
static bool fire_shard(struct yoke__timer_shard *shard, int64_t now, struct yoke__timer_batch *batch)
{
    struct yoke__timer *timer;
    int fired = 0;
    yoke__biased_acquire(&shard->lock);
    while (fired < FIRES_PER_LOCK && (timer = yoke__wheel_take_due(&shard->wheel, now)) != NULL) {
        timer->fire(timer, batch);
        yoke__store_release(&timer->shard, (struct yoke__timer_shard *)NULL); /* pairs with yoke__timer_disarm(); the last touch */
        fired++;
    }
    yoke__store_seq(&shard->next, yoke__wheel_next(&shard->wheel));
    yoke__biased_release(&shard->lock);
    return fired > 0;
}

bool yoke__timers_fire(struct yoke__timers *timers, int64_t now, struct yoke__timer_batch *batch)
{
    bool any = false;
    memset(batch, 0, sizeof *batch);
    for (int i = 0; i < timers->count; i++)
        if (yoke__load_seq(&timers->shards[i].next) <= now && fire_shard(&timers->shards[i], now, batch))
            any = true;
    return any;
}

int64_t yoke__timers_earliest(const struct yoke__timers *timers)
{
    int64_t next = INT64_MAX;
    for (int i = 0; i < timers->count; i++) {
        int64_t one = yoke__load_seq(&timers->shards[i].next); /* store-load against the target stored before */
        if (one < next)
            next = one;
    }
    return next;
}

bool yoke__timers_any(struct yoke__timers *timers)
{
    bool any = false;
    for (int i = 0; i < timers->count && !any; i++) {
        struct yoke__timer_shard *shard = &timers->shards[i];
        yoke__biased_acquire(&shard->lock);
        any = yoke__wheel_next(&shard->wheel) != INT64_MAX;
        yoke__biased_release(&shard->lock);
    }
    return any;
}

int64_t yoke__timers_aim(struct yoke__timers *timers)
{
    int64_t target = yoke__timers_earliest(timers);
    yoke__store_seq(&timers->target, target); /* store-load against yoke__timer_arm() */
    int64_t again = yoke__timers_earliest(timers);
    return again < target ? again : target;
}

void yoke__timers_awake(struct yoke__timers *timers)
{
    yoke__store_seq(&timers->target, INT64_MIN);
}

void yoke__timers_hand_over(struct yoke__timers *timers, int64_t when)
{
    yoke__store_seq(&timers->target, when); /* store-load against yoke__timer_arm() */
}

int yoke__timers_init(struct yoke__timers *timers, int shards, bool membarrier, void (*kick)(void *ctx), void *ctx)
{
    memset(timers, 0, sizeof *timers);
    timers->shards = yoke__os_alloc((size_t)shards * sizeof *timers->shards, 64);
    if (timers->shards == NULL)
        return -ENOMEM;
    timers->count = shards;
    timers->kick = kick;
    timers->ctx = ctx;
    timers->target = INT64_MIN;
    for (int i = 0; i < shards; i++) {
        memset(&timers->shards[i], 0, sizeof timers->shards[i]);
        timers->shards[i].next = INT64_MAX;
        yoke__biased_init(&timers->shards[i].lock, membarrier && i < shards - 1 ? (uint32_t)(CALM * shards) : 0);
        yoke__wheel_init(&timers->shards[i].wheel, (int64_t)yoke__os_now());
    }
    return 0;
}

void yoke__timers_destroy(struct yoke__timers *timers)
{
    yoke__os_free(timers->shards);
}
