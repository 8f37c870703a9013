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

int64_t yoke__large_out(struct yoke_runtime *rt)
{
    int64_t out = 0;
    (void)yoke__timer_disarm(&rt->timers, yoke__own_shard(rt), &rt->large.timer); /* what it was armed for has got a stack before */
    for (int large = 1; large < YOKE__LARGE_SIZES; large++)
        out += (int64_t)rt->large.pools[large].in_use - rt->large.spares[large];
    return out;
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

/* Whose reserve it may have: its group's, or that of the group in which a fork was begun, which asks for the same size. */
static struct yoke__group *group_of(struct yoke__node *node)
{
    if (!yoke__node_is_fork(node))
        return yoke__node_group(node);
    struct yoke__scope *scope = (struct yoke__scope *)(void *)yoke__fork_of_node(node)->from.scope;
    while (scope->kind != YOKE__SCOPE_GROUP)
        scope = scope->parent;
    return (struct yoke__group *)(void *)scope;
}

/* A service of that group, or a fork of one. */
static bool serves(struct yoke__node *node, const struct yoke__group *group)
{
    if (!yoke__node_is_fork(node))
        return node->kind == YOKE__NODE_SERVICE;
    const struct yoke__task *task = ((const struct yoke__strand *)(const void *)yoke__fork_of_node(node)->from.self)->task;
    return task->group == group && (yoke__load_relaxed(&task->flags) & YOKE__TASK_HANDLE) != 0 && task->handle->service; /* written before it began */
}

/* Is the reserve of its group for it? What serves would not give it back before the others, who need it, have ended. */
static bool may_have_reserve_locked(struct yoke__node *node)
{
    if (node->kind == YOKE__NODE_FORK || node->kind == YOKE__NODE_FORK_TYPED)
        return false;
    const struct yoke__group *group = group_of(node);
    if (group->reserve->lent)
        return false;
    return !serves(node, group) || yoke__load_relaxed(&group->services_over) != 0; /* set before yoke__large_services() takes the lock */
}

/* The first in the list for which that stack is, which has just become free, is taken out. */
static struct yoke__node *take_aside_locked(struct yoke__large *l, const struct yoke__fiber *fiber)
{
    struct yoke__node *before = NULL, *node = l->aside;
    while (node != NULL && (fiber->home != NULL ? group_of(node) != fiber->home || !may_have_reserve_locked(node)
                                                : yoke__node_large(node) != fiber->large)) {
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

static struct yoke__fiber *take_spare_locked(struct yoke__large *l, unsigned large)
{
    struct yoke__fiber *fiber = l->spare[large];
    if (fiber != NULL) {
        l->spare[large] = fiber->next;
        l->spares[large]--;
    }
    return fiber;
}

/* *other, if not NULL, was put aside, and is to be injected. */
static struct yoke__fiber *take_locked(struct yoke__large *l, unsigned large, struct yoke__node *node, struct yoke__node **other)
{
    *other = NULL;
    if (!may_have_reserve_locked(node))
        return take_spare_locked(l, large);
    struct yoke__fiber *fiber = group_of(node)->reserve;
    fiber->lent = true;
    if (l->spare[large] != NULL) /* perhaps it was kept for this node, and is left now */
        *other = take_aside_locked(l, l->spare[large]);
    return fiber;
}

/* A list of what was put aside. */
static void inject(struct yoke_runtime *rt, struct yoke__node *list)
{
    while (list != NULL) {
        struct yoke__node *node = list;
        const struct yoke__task *task = NULL;
        list = yoke__node_next(node);
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

/* One after all, or NULL: it was put aside. */
static struct yoke__fiber *put_aside(struct yoke__worker *w, unsigned large, struct yoke__node *node)
{
    struct yoke_runtime *rt = w->rt;
    struct yoke__large *l = &rt->large;
    struct yoke__node *other;
    bool arm = false, tell = false;
    yoke__lock_acquire(&l->lock);
    struct yoke__fiber *fiber = take_locked(l, large, node, &other);
    if (fiber == NULL) {
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
    inject(rt, other);
    if (tell)
        yoke__report(rt, "no memory for a stack of %zu bytes: what needs one begins when there is", l->pools[large].stack_size);
    if (arm)
        yoke__timer_arm(&rt->timers, yoke__own_shard(rt), &l->timer, (int64_t)yoke__os_now() + RETRY_NS, retry_due);
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

bool yoke__large_each(struct yoke_runtime *rt, bool patient, void (*show)(void *ctx, struct yoke__node *node), void *ctx)
{
    struct yoke__large *l = &rt->large;
    if (patient)
        yoke__lock_acquire(&l->lock);
    else if (!yoke__lock_try(&l->lock))
        return false;
    for (struct yoke__node *node = l->aside; node != NULL; node = yoke__node_next(node))
        show(ctx, node);
    yoke__lock_release(&l->lock);
    return true;
}

void yoke__large_services(struct yoke_runtime *rt, const struct yoke__group *group)
{
    struct yoke__large *l = &rt->large;
    yoke__lock_acquire(&l->lock);
    struct yoke__node *node = group->reserve->lent ? NULL : take_aside_locked(l, group->reserve);
    yoke__lock_release(&l->lock);
    inject(rt, node);
}

struct yoke__fiber *yoke__large_take(struct yoke__worker *w, unsigned large, struct yoke__node *node)
{
    struct yoke__large *l = &w->rt->large;
    struct yoke__node *other;
    yoke__lock_acquire(&l->lock);
    struct yoke__fiber *fiber = take_locked(l, large, node, &other);
    yoke__lock_release(&l->lock);
    inject(w->rt, other);
    if (fiber == NULL)
        fiber = yoke__fiber_create(&l->pools[large], yoke__worker_large);
    if (yoke__likely(fiber != NULL))
        return fiber;
    return yoke__node_is_fork(node) && yoke__fork_give_back(w->rt, node) ? NULL : put_aside(w, large, node);
}

void yoke__large_keep(struct yoke_runtime *rt, struct yoke__fiber *fiber)
{
    struct yoke__large *l = &rt->large;
    struct yoke__stack_pool *pool = &l->pools[fiber->large];
    if (yoke__unlikely(fiber->unguarded) && !yoke__stack_canary_intact(fiber->base))
        yoke__panic("a stack of %zu bytes has overflowed (found when it was left)", pool->stack_size);
    yoke__lock_acquire(&l->lock);
    fiber->lent = false;
    struct yoke__node *node = take_aside_locked(l, fiber);
    bool keep = fiber->home != NULL || node != NULL || l->spares[fiber->large] < SPARES_KEPT;
    if (keep && fiber->home == NULL) {
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

int yoke__large_size(struct yoke_runtime *rt, const yoke_group_options *options, unsigned outside)
{
    unsigned large = outside;
    if (options != NULL && options->stack_size > YOKE__STACK_MOST) {
        yoke__report(rt, "group '%s'%s: stack_size = %zu: must be at most %d", options->name != NULL ? options->name : "",
                     yoke__site_text(options->site).text, options->stack_size, YOKE__STACK_MOST);
        return -EINVAL;
    }
    while (options != NULL && rt->stacks.stack_size << large < options->stack_size)
        large++;
    return (int)large;
}

bool yoke__large_reserve(struct yoke_runtime *rt, struct yoke__group *group, unsigned large)
{
    struct yoke__large *l = &rt->large;
    yoke__lock_acquire(&l->lock);
    struct yoke__fiber *fiber = take_spare_locked(l, large);
    yoke__lock_release(&l->lock);
    if (fiber == NULL)
        fiber = yoke__fiber_create(&l->pools[large], yoke__worker_large);
    group->reserve = fiber;
    if (fiber == NULL)
        return false;
    fiber->home = group; /* nobody else knows of either: the lock makes it known with the first node of the group's */
    fiber->lent = false;
    return true;
}

void yoke__large_leave(struct yoke_runtime *rt, struct yoke__group *group)
{
    struct yoke__large *l = &rt->large;
    struct yoke__fiber *fiber = group->reserve;
    yoke__lock_acquire(&l->lock);
    bool lent = fiber->lent; /* what ran on it has ended, and is about to leave it, which keeps it */
    fiber->home = NULL;
    yoke__lock_release(&l->lock);
    if (!lent)
        yoke__large_keep(rt, fiber);
}
