/*
 * spare.c - a worker's own spare stacks, and the runtime's.
 *
 * Spares are kept in chains: one in use, and a whole one, so that the runtime's list, which is locked, is asked for one chain in many takes,
 * also if they go to and fro around the end of a chain. Last used, first taken.
 */
#include "spare.h"

#include "lock.h"
#include "report.h"
#include "run.h"

enum { SPARES = 32 };

static struct yoke__fiber *take_chain(struct yoke_runtime *rt)
{
    struct yoke__fiber *chain = yoke__load_relaxed(&rt->fibers); /* a hint; the list is read under its lock */
    if (chain == NULL)
        return NULL;
    yoke__lock_acquire(&rt->fibers_lock);
    chain = rt->fibers;
    if (chain != NULL)
        yoke__store_relaxed(&rt->fibers, *yoke__spare_next_chain(chain));
    yoke__lock_release(&rt->fibers_lock);
    return chain;
}

struct yoke__fiber *yoke__spare_take(struct yoke__worker *w)
{
    if (yoke__unlikely(w->spare == NULL)) {
        w->spare = w->spare_chain != NULL ? w->spare_chain : take_chain(w->rt);
        w->spare_chain = NULL;
        w->spares = w->spare != NULL ? SPARES : 0;
    }
    struct yoke__fiber *fiber = w->spare;
    if (yoke__unlikely(fiber == NULL))
        return yoke__fiber_create(&w->rt->stacks, yoke__worker_loop);
    w->spare = fiber->next;
    w->spares--;
    return fiber;
}

static void keep_spare(struct yoke__worker *w, struct yoke__fiber *fiber)
{
    struct yoke_runtime *rt = w->rt;
    struct yoke__fiber *chain = w->spare_chain;
    if (yoke__unlikely(w->spares == SPARES)) {
        if (chain != NULL) {
            yoke__lock_acquire(&rt->fibers_lock);
            *yoke__spare_next_chain(chain) = rt->fibers;
            yoke__store_relaxed(&rt->fibers, chain); /* read as a hint in take_chain() */
            yoke__lock_release(&rt->fibers_lock);
        }
        w->spare_chain = w->spare;
        w->spare = NULL;
        w->spares = 0;
    }
    fiber->next = w->spare;
    w->spare = fiber;
    w->spares++;
}

bool yoke__worker_reserve(struct yoke__worker *w)
{
    if (yoke__likely(w->spare != NULL))
        return true;
    struct yoke__fiber *fiber = yoke__spare_take(w);
    if (fiber == NULL)
        return false;
    keep_spare(w, fiber);
    return true;
}

void yoke__spare_hook(struct yoke__worker *w, struct yoke__fiber *left, void *arg)
{
    (void)arg;
    if (left == &w->native)
        return;
    if (yoke__unlikely(left->unguarded) && !yoke__stack_canary_intact(left->base))
        yoke__panic("a stack of %zu bytes has overflowed (found when it was left)", w->rt->stacks.stack_size);
    keep_spare(w, left);
}

int yoke__spare_first(struct yoke__worker *w)
{
    w->spare = yoke__fiber_create(&w->rt->stacks, yoke__worker_loop);
    if (w->spare == NULL)
        return -ENOMEM;
    w->spares = 1;
    return 0;
}
