/*
 * large.c - see large.h.
 */
#include "large.h"

#include "core.h"
#include "fork.h"
#include "report.h"
#include "run.h"
#include "task.h"
#include "worker.h"

enum { SPARES_KEPT = 16, RETRY_NS = 1000 * 1000 };

void yoke__large_init(struct yoke_runtime *rt)
{
    struct yoke__large *l = &rt->large;
    for (unsigned large = 1; large < YOKE__LARGE_SIZES && rt->stacks.stack_size << large <= YOKE__STACK_MOST; large++) {
        (void)yoke__stack_pool_init_beside(&l->pools[large], rt->stacks.stack_size << large, &rt->stacks); /* a size that is one */
        l->pools[large].large = large;
    }
}

void yoke__large_retire(struct yoke_runtime *rt)
{
    for (int large = 1; large < YOKE__LARGE_SIZES; large++)
        yoke__fibers_retire(rt->large.spare[large]);
}

void yoke__large_destroy(struct yoke_runtime *rt)
{
    for (int large = 1; large < YOKE__LARGE_SIZES; large++)
        yoke__stack_pool_destroy(&rt->large.pools[large]);
}

struct yoke__stack_pool *yoke__large_pool(struct yoke_runtime *rt, unsigned large)
{
    return large == 0 ? &rt->stacks : &rt->large.pools[large];
}

/* ---- taking and keeping ------------------------------------------------------------------------------------------------- */

static struct yoke__fiber *take_spare_locked(struct yoke__large *l, unsigned large)
{
    struct yoke__fiber *fiber = l->spare[large];
    if (fiber != NULL) {
        l->spare[large] = fiber->next;
        l->spares[large]--;
    }
    return fiber;
}

/* What is put aside remembers its size beside its kind. */
enum { KIND_BITS = 8, KIND_MASK = (1 << KIND_BITS) - 1 };

/* The first in the list that needs a stack of that size is taken out. */
static struct yoke__node *take_aside_locked(struct yoke__large *l, unsigned large)
{
    struct yoke__node *before = NULL, *node = l->aside;
    while (node != NULL && node->kind >> KIND_BITS != large) {
        before = node;
        node = yoke__node_next(node);
    }
    if (node == NULL)
        return NULL;
    if (before == NULL)
        l->aside = yoke__node_next(node);
    else
        before->entry.next = node->entry.next;
    if (l->last_aside == node)
        l->last_aside = before;
    node->entry.next = NULL;
    return node;
}

/* A list of what was put aside. */
static void inject(struct yoke_runtime *rt, struct yoke__node *list)
{
    while (list != NULL) {
        struct yoke__node *node = list;
        const struct yoke__task *task = NULL;
        list = yoke__node_next(node);
        node->kind &= KIND_MASK;
        if (node->kind == YOKE__NODE_TASK || node->kind == YOKE__NODE_SERVICE)
            task = yoke__container(node, struct yoke__task, node);
        if (task != NULL && (task->flags & YOKE__TASK_PINNED) != 0)
            yoke__worker_post(task->pin, node);
        else
            yoke__runtime_post(rt, node);
    }
}

/* Under the timer shard's lock. It is not armed again before the batch is carried out. */
static void retry_due(struct yoke__timer *timer, void *batch)
{
    struct yoke__timer_batch *due = batch;
    due->lists[YOKE__DUE_LARGE] = timer;
}

/* A spare one after all, or NULL: it was put aside. */
static struct yoke__fiber *put_aside(struct yoke__worker *w, unsigned large, struct yoke__node *node)
{
    struct yoke_runtime *rt = w->rt;
    struct yoke__large *l = &rt->large;
    bool arm = false, tell = false;
    yoke__lock_acquire(&l->lock);
    struct yoke__fiber *fiber = take_spare_locked(l, large);
    if (fiber == NULL) {
        node->kind |= (uintptr_t)large << KIND_BITS;
        node->entry.next = NULL;
        if (l->last_aside != NULL)
            l->last_aside->entry.next = &node->entry;
        else
            l->aside = node;
        l->last_aside = node;
        arm = !l->waiting;
        tell = !l->told;
        l->waiting = l->told = true;
    }
    yoke__lock_release(&l->lock);
    if (tell)
        yoke__report(rt, "no memory for a stack of %zu bytes: what needs one begins when there is", l->pools[large].stack_size);
    if (arm)
        yoke__timer_arm(&rt->timers, w->index, &l->timer, (int64_t)yoke__os_now() + RETRY_NS, retry_due);
    return fiber;
}

void yoke__large_again(struct yoke_runtime *rt)
{
    struct yoke__large *l = &rt->large;
    yoke__lock_acquire(&l->lock);
    struct yoke__node *list = l->aside;
    l->aside = l->last_aside = NULL;
    l->waiting = false;
    yoke__lock_release(&l->lock);
    inject(rt, list);
}

struct yoke__fiber *yoke__large_take(struct yoke__worker *w, unsigned large, struct yoke__node *node)
{
    struct yoke__large *l = &w->rt->large;
    yoke__lock_acquire(&l->lock);
    struct yoke__fiber *fiber = take_spare_locked(l, large);
    yoke__lock_release(&l->lock);
    if (fiber == NULL)
        fiber = yoke__fiber_create(&l->pools[large], yoke__worker_large);
    if (yoke__likely(fiber != NULL))
        return fiber;
    bool fork = node->kind == YOKE__NODE_FORK || node->kind == YOKE__NODE_FORK_TYPED || node->kind == YOKE__NODE_FORK_DEEP;
    return fork && yoke__fork_give_back(w->rt, node) ? NULL : put_aside(w, large, node);
}

void yoke__large_keep(struct yoke_runtime *rt, struct yoke__fiber *fiber)
{
    struct yoke__large *l = &rt->large;
    struct yoke__stack_pool *pool = &l->pools[fiber->large];
    if (yoke__unlikely(fiber->unguarded) && !yoke__stack_canary_intact(fiber->base))
        yoke__panic("a stack of %zu bytes has overflowed (found when it was left)", pool->stack_size);
    yoke__lock_acquire(&l->lock);
    struct yoke__node *node = take_aside_locked(l, fiber->large);
    bool keep = node != NULL || l->spares[fiber->large] < SPARES_KEPT;
    if (keep) {
        fiber->next = l->spare[fiber->large];
        l->spare[fiber->large] = fiber;
        l->spares[fiber->large]++;
    }
    yoke__lock_release(&l->lock);
    inject(rt, node);
    if (!keep && yoke__fiber_destroy(pool, fiber))
        (void)yoke__stack_trim(pool);
}

/* ---- opening a group ---------------------------------------------------------------------------------------------------- */

static int provide_spare(struct yoke_runtime *rt, unsigned large)
{
    struct yoke__large *l = &rt->large;
    yoke__lock_acquire(&l->lock);
    bool there = l->spare[large] != NULL;
    yoke__lock_release(&l->lock);
    struct yoke__fiber *fiber = there ? NULL : yoke__fiber_create(&l->pools[large], yoke__worker_large);
    if (fiber != NULL)
        yoke__large_keep(rt, fiber);
    return there || fiber != NULL ? 0 : -ENOMEM;
}

int yoke__large_admit(struct yoke_runtime *rt, const yoke_group_options *options, unsigned outside)
{
    unsigned large = outside;
    if (options != NULL && options->stack_size > YOKE__STACK_MOST) {
        yoke__report(rt, "group '%s'%s: stack_size = %zu: must be at most %d", options->name != NULL ? options->name : "",
                     yoke__site_text(options->site).text, options->stack_size, YOKE__STACK_MOST);
        return -EINVAL;
    }
    while (options != NULL && rt->stacks.stack_size << large < options->stack_size)
        large++;
    int rc = large > 0 ? provide_spare(rt, large) : 0;
    return rc < 0 ? rc : (int)large;
}
