/*
 * leftover.c - see leftover.h.
 */
#include "leftover.h"

#include "report.h"
#include "spare.h"
#include "worker.h"

static const char *const class_names[YOKE__BLOCK_CLASSES] = {
    [YOKE__BLOCK_TASK0] = "tasks with a small argument",
    [YOKE__BLOCK_TASK1] = "tasks with a larger argument",
    [YOKE__BLOCK_TASK2] = "tasks with a large argument",
    [YOKE__BLOCK_SCOPE] = "scopes",
    [YOKE__BLOCK_GROUP] = "groups",
    [YOKE__BLOCK_HANDLE] = "handles of tasks",
    [YOKE__BLOCK_FAIL] = "messages of failures",
    [YOKE__BLOCK_SMALL] = "deferred functions, or values of slots",
    [YOKE__BLOCK_SEATS] = "blocks of seats",
};

void yoke__leftover(struct yoke_runtime *rt, int64_t count, const char *what)
{
    if (count != 0)
        yoke__report(rt, "not given back: %lld %s", (long long)count, what);
}

static void tell_blocks(struct yoke_runtime *rt)
{
    for (enum yoke__block_class class = 0; class < YOKE__BLOCK_CLASSES; class++) {
        int64_t out = (int64_t)yoke__block_pool_out(&rt->blocks, class);
        for (int i = 0; i < rt->nworkers; i++)
            out -= (int64_t)yoke__block_cache_free(&rt->workers[i]->head.blocks, class);
        yoke__leftover(rt, out, class_names[class]);
    }
}

static int64_t length(const struct yoke__fiber *fiber)
{
    int64_t n = 0;
    for (; fiber != NULL; fiber = fiber->next)
        n++;
    return n;
}

/* A stack that is in use belongs to a spare fiber, or to what was blocked for ever. */
static void tell_stacks(struct yoke_runtime *rt)
{
    int64_t out = (int64_t)rt->stacks.in_use + yoke__large_out(rt);
    for (struct yoke__fiber *chain = rt->fibers; chain != NULL; chain = *yoke__spare_next_chain(chain))
        out -= length(chain);
    for (int i = 0; i < rt->nworkers; i++)
        out -= length(rt->workers[i]->spare) + length(rt->workers[i]->spare_chain);
    yoke__leftover(rt, out, "stacks");
}

bool yoke__leftover_among(struct yoke__node *node)
{
    while (node != NULL && node->kind == YOKE__NODE_SIGNAL)
        node = yoke__node_next(node);
    return node != NULL;
}

static void tell_queues(struct yoke_runtime *rt)
{
    int64_t queued = yoke__leftover_among(rt->injected) || yoke__leftover_among(yoke__inbox_take(&rt->inject)), outside = 0;
    for (int i = 0; i < rt->nworkers; i++) {
        struct yoke__worker *w = rt->workers[i];
        queued += yoke__deque_any(&w->head.deque) || yoke__ready_any(&w->ready) || w->pinned != NULL || !yoke__inbox_empty(&w->inbox);
        outside += w->outside;
    }
    queued += rt->large.aside != NULL;
    yoke__leftover(rt, queued, "queues with something in them");
    yoke__leftover(rt, rt->walks_pending != 0 || rt->walk.state != YOKE__WALK_SHORT || rt->walk.leavers != 0, "walks of cancels");
    yoke__leftover(rt, outside, "waits that others than tasks end");
    yoke__leftover(rt, rt->holds, "holds on the runtime");
}

void yoke__leftover_tell(struct yoke_runtime *rt)
{
    tell_blocks(rt);
    tell_stacks(rt);
    tell_queues(rt);
    yoke__leftover(rt, yoke__timers_any(&rt->timers), "timers or more");
    yoke__leftover(rt, rt->root.seat.wait != 0 || rt->root.children != NULL, "waits or scopes or more, in the root scope");
}
