/*
 * timer.c - see timer.h.
 */
#include "timer.h"

#include <errno.h>
#include <string.h>

#include "platform.h"

enum { FIRES_PER_LOCK = 256 };

void yoke__timer_arm(struct yoke__timers *timers, int index, struct yoke__timer *timer, int64_t when,
                     void (*fire)(struct yoke__timer *, void *batch))
{
    struct yoke__timer_shard *shard = &timers->shards[index];
    timer->when = when;
    timer->fire = fire;
    yoke__lock_acquire(&shard->lock);
    yoke__store_relaxed(&timer->shard, shard); /* read by the same owner in disarm */
    yoke__wheel_insert(&shard->wheel, timer);
    bool earlier = when < yoke__load_relaxed(&shard->next);
    if (earlier)
        yoke__store_seq(&shard->next, when); /* store-load against serve()'s target */
    yoke__lock_release(&shard->lock);
    if (earlier && when < yoke__load_seq(&timers->target)) {
        yoke__add_seq(&timers->word, 1);
        yoke__os_futex_wake(&timers->word, 1);
    }
}

bool yoke__timer_disarm(struct yoke__timer *timer)
{
    struct yoke__timer_shard *shard = yoke__load_acquire(&timer->shard); /* pairs with fire_due(): the callback is over */
    if (shard == NULL)
        return false;
    yoke__lock_acquire(&shard->lock);
    bool armed = yoke__load_relaxed(&timer->shard) != NULL; /* the service may have been faster */
    if (armed) {
        yoke__wheel_remove(&shard->wheel, timer);
        yoke__store_relaxed(&timer->shard, (struct yoke__timer_shard *)NULL);
    }
    yoke__lock_release(&shard->lock);
    return armed;
}

/* Fires what is due in a shard, in stretches so that armers do not wait long. */
static void fire_due(struct yoke__timers *timers, struct yoke__timer_shard *shard)
{
    bool more = true;
    while (more) {
        struct yoke__timer_batch batch = { { NULL, NULL } };
        int64_t now = (int64_t)yoke__os_now();
        struct yoke__timer *timer = NULL;
        int fired = 0;
        yoke__lock_acquire(&shard->lock);
        while (fired < FIRES_PER_LOCK && (timer = yoke__wheel_take_due(&shard->wheel, now)) != NULL) {
            timer->fire(timer, &batch);
            yoke__store_release(&timer->shard, (struct yoke__timer_shard *)NULL); /* pairs with yoke__timer_disarm(); the last touch */
            fired++;
        }
        more = timer != NULL;
        yoke__store_seq(&shard->next, yoke__wheel_next(&shard->wheel));
        yoke__lock_release(&shard->lock);
        if (fired > 0)
            timers->after(timers->ctx, &batch);
    }
}

static int64_t earliest(const struct yoke__timers *timers)
{
    int64_t next = INT64_MAX;
    for (int i = 0; i < timers->count; i++) {
        int64_t one = yoke__load_seq(&timers->shards[i].next); /* store-load against the target stored before */
        if (one < next)
            next = one;
    }
    return next;
}

static void *serve(void *arg)
{
    struct yoke__timers *timers = arg;
    (void)yoke__os_timerslack(1); /* refused: timers come a little later */
    while (yoke__load_acquire(&timers->stopping) == 0) { /* pairs with yoke__timers_stop() */
        uint32_t word = yoke__load_seq(&timers->word);
        int64_t now = (int64_t)yoke__os_now();
        for (int i = 0; i < timers->count; i++)
            if (yoke__load_seq(&timers->shards[i].next) <= now)
                fire_due(timers, &timers->shards[i]);
        int64_t target = earliest(timers);
        yoke__store_seq(&timers->target, target); /* store-load against yoke__timer_arm() */
        if (earliest(timers) >= target && yoke__load_seq(&timers->stopping) == 0)
            yoke__os_futex_wait(&timers->word, word, target == INT64_MAX ? UINT64_MAX : (uint64_t)(target < 0 ? 0 : target));
        yoke__store_seq(&timers->target, INT64_MIN);
    }
    return NULL;
}

int yoke__timers_start(struct yoke__timers *timers, int shards, const char *name, void (*after)(void *, struct yoke__timer_batch *), void *ctx)
{
    memset(timers, 0, sizeof *timers);
    timers->shards = yoke__os_alloc((size_t)shards * sizeof *timers->shards, 64);
    if (timers->shards == NULL)
        return -ENOMEM;
    timers->count = shards;
    timers->after = after;
    timers->ctx = ctx;
    timers->target = INT64_MIN;
    for (int i = 0; i < shards; i++) {
        memset(&timers->shards[i], 0, sizeof timers->shards[i]);
        timers->shards[i].next = INT64_MAX;
        yoke__wheel_init(&timers->shards[i].wheel, (int64_t)yoke__os_now());
    }
    int rc = yoke__os_thread_start(&timers->thread, name, 64 * 1024, serve, timers);
    if (rc < 0)
        yoke__os_free(timers->shards);
    return rc;
}

void yoke__timers_stop(struct yoke__timers *timers)
{
    yoke__store_seq(&timers->stopping, 1);
    yoke__add_seq(&timers->word, 1);
    yoke__os_futex_wake(&timers->word, 1);
    yoke__os_thread_join(timers->thread);
    yoke__os_free(timers->shards);
}
