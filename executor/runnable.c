/*
 * runnable.c - making fibers runnable, and what else one thread brings another.
 *
 * Every push here is followed by a look for sleepers; the argument why none of them misses it is at the head of park.c.
 */
#include "runnable.h"

#include "find.h"
#include "park.h"

void yoke__worker_post(struct yoke__worker *w, struct yoke__node *node)
{
    yoke__inbox_push(&w->inbox, node);
    yoke__fence_seq(); /* store-load against yoke__park(): the push, then the look at the sleeper's bit */
    yoke__wake_worker(w);
}

void yoke__runtime_post(struct yoke_runtime *rt, struct yoke__node *node)
{
    yoke__inbox_push(&rt->inject, node);
    yoke__fence_seq(); /* store-load against yoke__park(): the push, then the look for sleepers */
    yoke__wake_for_any(rt);
}

void yoke__put_back(struct yoke__worker *w, void *item)
{
    if (yoke__deque_push(&w->head.deque, item) > 0) /* cannot fail: there was room for it */
        yoke__wake_one(w->rt);
    w->head.floor = w->head.deque.bottom; /* if it was public, it lies higher now, and need not be the current strand's: fork.c */
}

static void inject(struct yoke_runtime *rt, struct yoke__fiber *fiber)
{
    fiber->node.kind = YOKE__NODE_FIBER;
    if (fiber->pin != NULL)
        yoke__worker_post(fiber->pin, &fiber->node);
    else
        yoke__runtime_post(rt, &fiber->node);
}

void yoke__ready_on(struct yoke__worker *w, struct yoke__fiber *fiber)
{
    /* no memory to grow: the inbox needs none */
    if (yoke__unlikely(fiber->pin != NULL || w->rt->migrate) ||
        yoke__unlikely(yoke__ready_push(&w->ready, fiber, yoke__anybody_idle(w->rt)) < 0))
        inject(w->rt, fiber);
    else
        yoke__wake_one(w->rt);
}

void yoke__ready(struct yoke_runtime *rt, struct yoke__fiber *fiber)
{
    struct yoke__worker *w = yoke__self();
    if (w != NULL && w->rt == rt)
        yoke__ready_on(w, fiber);
    else
        inject(rt, fiber);
}

void yoke__ready_back(struct yoke__worker *w, struct yoke__fiber *fiber)
{
    enum { LOOKS = 32 };
    const struct yoke__worker *left = fiber->last;
    bool watch = left != w && yoke__load_relaxed(&left->searching); /* a hint */
    yoke__ready_on(w, fiber);
    for (int i = 0; watch && i < LOOKS && yoke__deque_any(&w->ready.public); i++)
        yoke__relax();
}

void yoke__ready_list(struct yoke_runtime *rt, struct yoke__fiber *first)
{
    while (first != NULL) {
        struct yoke__fiber *fiber = first;
        first = fiber->next;
        yoke__ready(rt, fiber);
    }
}
