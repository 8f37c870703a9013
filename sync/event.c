/*
 * event.c - a flag that tasks wait for.
 *
 * The flag and the queue change under the lock; a set raises the flag and fires all who wait, in one hold of it. A waiter that was
 * fired has its effect, whatever becomes of the flag before it runs.
 *
 * Whoever finds the flag raised passes through the lock before it returns, though the flag alone would tell: so the set is done with
 * the event by then, and the event may go (queue.c).
 */
#include <yoke/sync/event.h>

#include "queue.h"

struct event {
    struct yoke__lock lock;
    uint32_t set;
    struct yoke__waitq waiters;
};
_Static_assert(sizeof(struct event) <= sizeof(yoke_event) && _Alignof(struct event) <= _Alignof(yoke_event),
               "the public type is too small");

struct call {
    struct yoke__call call;
    struct event *event;
};

static struct event *event_of(yoke_event *event)
{
    return (struct event *)(void *)event;
}

void yoke_event_init(yoke_event *event)
{
    *event_of(event) = (struct event){ .set = 0 };
}

bool yoke_event_is_set(yoke_event *event)
{
    struct event *e = event_of(event);
    if (yoke__load_relaxed(&e->set) == 0) /* at this moment; what it means is ordered by the lock */
        return false;
    yoke__lock_acquire(&e->lock);
    bool set = e->set != 0;
    yoke__lock_release(&e->lock);
    return set;
}

static bool attempt(struct yoke__call *call)
{
    return yoke__container(call, struct call, call)->event->set != 0;
}

static const struct yoke__waited on_event = { .what = "event" };

int yoke_event_wait(yoke_event *event)
{
    int rc = yoke__call_check(yoke__self());
    if (rc < 0 || yoke_event_is_set(event))
        return rc;
    struct event *e = event_of(event);
    struct call c = { .call = { .lock = &e->lock, .queue = &e->waiters, .attempt = attempt }, .event = e };
    return yoke__call_wait(&c.call, &on_event, e);
}

int yoke_event_set(yoke_event *event)
{
    struct event *e = event_of(event);
    struct yoke__woken woken;
    if (yoke__self() == NULL)
        return -ENOTRECOVERABLE;
    yoke__woken_init(&woken);
    yoke__lock_acquire(&e->lock);
    yoke__store_relaxed(&e->set, 1); /* read without the lock as a hint: yoke_event_is_set() */
    yoke__call_fire_all_locked(&e->waiters, YOKE__FIRE_DONE, &woken);
    yoke__lock_release(&e->lock);
    yoke__woken_ready(&woken);
    return 0;
}

int yoke_event_reset(yoke_event *event)
{
    struct event *e = event_of(event);
    if (yoke__self() == NULL)
        return -ENOTRECOVERABLE;
    yoke__lock_acquire(&e->lock);
    yoke__store_relaxed(&e->set, 0); /* as above */
    yoke__lock_release(&e->lock);
    return 0;
}
