/*
 * semaphore.c - a number of permits, handed over in order.
 *
 * count and queue change under the lock. count > 0 means that the queue is empty: a call joins it only at 0, and a release adds to count
 * only after it has found nobody to give the permit to. So an acquire that takes from count overtakes nobody. A release that fires a
 * waiter leaves count alone: the permit is that waiter's by the fire, and try_acquire does not see it. If the waiter was cancelled
 * first, the fire says so, and the permit goes to the next one, or to count.
 *
 * An acquire passes through the lock, or finds it free, so that the release that gave its permit is done with the semaphore by the time it
 * returns, and the semaphore may go (queue.c).
 */
#include <yoke/sync/semaphore.h>

#include "queue.h"

struct semaphore {
    struct yoke__lock lock;
    unsigned count, max;
    struct yoke__waitq waiters;
};
_Static_assert(sizeof(struct semaphore) <= sizeof(yoke_semaphore) && _Alignof(struct semaphore) <= _Alignof(yoke_semaphore),
               "the public type is too small");

struct call {
    struct yoke__call call;
    struct semaphore *semaphore;
};

static struct semaphore *semaphore_of(yoke_semaphore *semaphore)
{
    return (struct semaphore *)(void *)semaphore;
}

int yoke_semaphore_init(yoke_semaphore *semaphore, unsigned count, unsigned max)
{
    if (max == 0 || count > max)
        return -EINVAL;
    *semaphore_of(semaphore) = (struct semaphore){ .count = count, .max = max };
    return 0;
}

static bool attempt(struct yoke__call *call)
{
    struct semaphore *s = yoke__container(call, struct call, call)->semaphore;
    if (s->count == 0)
        return false;
    yoke__store_relaxed(&s->count, s->count - 1); /* read as a hint in worth_a_look() */
    return true;
}

static int take(struct semaphore *s)
{
    yoke__lock_acquire(&s->lock);
    int rc = s->max == 0 ? -EINVAL : s->count == 0 ? -EAGAIN : 0;
    if (rc == 0)
        yoke__store_relaxed(&s->count, s->count - 1); /* read as a hint in worth_a_look() */
    yoke__lock_release(&s->lock);
    return rc;
}

/* A hint: without it a call that is going to wait would take the lock for nothing first; it attempts again when it waits. */
static bool worth_a_look(const struct semaphore *s)
{
    return yoke__load_relaxed(&s->count) > 0 || s->max == 0;
}

static const struct yoke__waited on_semaphore = { .what = "semaphore" };

int yoke_semaphore_acquire(yoke_semaphore *semaphore)
{
    struct semaphore *s = semaphore_of(semaphore);
    int rc = yoke__call_check(yoke__self());
    if (rc == 0)
        rc = worth_a_look(s) ? take(s) : -EAGAIN;
    if (rc != -EAGAIN)
        return rc;
    struct call c = { .call = { .lock = &s->lock, .queue = &s->waiters, .attempt = attempt }, .semaphore = s };
    return yoke__call_wait(&c.call, &on_semaphore, s);
}

int yoke_semaphore_try_acquire(yoke_semaphore *semaphore)
{
    return yoke__self() == NULL ? -ENOTRECOVERABLE : take(semaphore_of(semaphore));
}

int yoke_semaphore_release(yoke_semaphore *semaphore)
{
    struct semaphore *s = semaphore_of(semaphore);
    struct yoke__fiber *fiber = NULL;
    int rc = 0;
    if (yoke__self() == NULL)
        return -ENOTRECOVERABLE;
    yoke__lock_acquire(&s->lock);
    if (s->max == 0)
        rc = -EINVAL;
    else if (s->count == s->max)
        rc = -EOVERFLOW;
    else if (yoke__call_fire_locked(&s->waiters, YOKE__FIRE_DONE, &fiber) == NULL)
        yoke__store_relaxed(&s->count, s->count + 1); /* read as a hint in worth_a_look() */
    yoke__lock_release(&s->lock);
    yoke__call_ready(fiber);
    return rc;
}
