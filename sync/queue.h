/*
 * queue.h - waiting in line: what mutex, event, semaphore and channel share. See queue.c for the argument.
 *
 * Each of them is a lock of a few instructions (rank "wait queue" of executor/core.h), a state that it guards, and one or two queues.
 */
#ifndef YOKE_SYNC_QUEUE_H
#define YOKE_SYNC_QUEUE_H

#include "scope.h"
#include "wait.h"
#include "worker.h"

/* One call that may have to wait, in the caller's frame; the first member of what else the primitive keeps there. */
struct yoke__call {
    struct yoke__waitq_node node;
    struct yoke__wait wait;
    struct yoke__lock *lock;
    struct yoke__waitq *queue;
    /* Under the lock. True: the call has done what it came for, or knows that it cannot. False: it joins the queue. */
    bool (*attempt)(struct yoke__call *call);
    /* Under the lock, once it is out of the queue again, whatever woke it; or NULL. */
    void (*left)(struct yoke__call *call);
};

/* What a call that is a cancellation point asks first: 0, -ECANCELED, -ENOTRECOVERABLE. */
static inline int yoke__call_check(struct yoke__worker *w)
{
    if (yoke__unlikely(w == NULL))
        return -ENOTRECOVERABLE;
    return yoke__unlikely(yoke__scope_cancelled(w->rt, yoke__strand_scope(yoke__current(w)))) ? -ECANCELED : 0;
}

/*
 * Attempts once more, and waits if that fails. YOKE__FIRE_DONE (0): the attempt did it, or a waker; else the code that the waker gave
 * (YOKE__FIRE_CLOSED); -ECANCELED or -ENOMEM: nothing has happened. May resume on another thread.
 */
int yoke__call_wait(struct yoke__call *call, const struct yoke__waited *on, const void *object);

/* Under the lock: fires the first that is still waiting. It may be looked at, and written to, until the lock is released. */
static inline struct yoke__call *yoke__call_fire_locked(struct yoke__waitq *queue, int code, struct yoke__fiber **fiber)
{
    struct yoke__waitq_node *node = yoke__waitq_take_locked(queue, code, fiber);
    return node != NULL ? yoke__container(node, struct yoke__call, node) : NULL;
}

/* Fibers to make runnable once the lock is released, first woken first. */
struct yoke__woken {
    struct yoke__fiber *first, **last;
};

/* Under the lock: fires all that are still waiting, and adds to *woken. */
void yoke__call_fire_all_locked(struct yoke__waitq *queue, int code, struct yoke__woken *woken);

static inline void yoke__woken_init(struct yoke__woken *woken)
{
    woken->first = NULL;
    woken->last = &woken->first;
}

/* The caller is on a worker and holds no lock. */
static inline void yoke__woken_ready(const struct yoke__woken *woken)
{
    yoke__ready_list(yoke__self()->rt, woken->first);
}

static inline void yoke__call_ready(struct yoke__fiber *fiber)
{
    if (fiber != NULL)
        yoke__ready(yoke__self()->rt, fiber);
}

#endif
