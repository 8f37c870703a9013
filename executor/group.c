/*
 * group.c - task groups.
 *
 * Counting. A shared counter with one locked operation per task would cost more than the rest of a spawn. So:
 *   - the owner's strand counts its spawns, and the children that it runs itself inside close, in fields of its own (spawned, done);
 *   - a member (a strand inside the group's tree) that spawns into it adds 1 to `live` before it publishes the child, so that the
 *     sum cannot reach zero while it itself is not counted as ended;
 *   - a child that ends elsewhere subtracts 1 from `live`.
 * The last two in batches per worker: it keeps, of one group at a time, how much higher `live` is than it should be. An end adds to that,
 * a spawn takes from it, having added many at once to `live` if there is nothing to take. It is told (run.c) before the worker runs a task
 * of another group, resumes a fiber of another, blocks or looks for work elsewhere: so `live` is too high only while that worker runs
 * children of the group.
 * `live` starts with a large bias. In close the owner takes the bias away and puts in spawned - done in one atomic addition: from then
 * on `live` is the number of children that have not ended; it cannot rise from 0, since only living members (and posts, which add
 * only if it is not 0) raise it. Who brings it to 0, the owner's addition or a child's subtraction, knows it and nobody else: the
 * child then wakes the owner. All operations on `live` are acquire-release, so that all children's effects are seen by the owner.
 *
 * Running children on the owner's stack. In close, and only there, the owner may call a child of this very group that lies next in its
 * worker's deque: it waits for that child anyway. If the child blocks, both wait. Never below half of the stack, nor on one that is smaller
 * than the group's (large.h): then the owner suspends and the scheduler runs the child on a fresh fiber.
 *
 * Policy (policy.c) is carried out by the child that causes it, never by the owner, which may lie beneath it.
 *
 * Services are not in `live` but in `services`, which holds 1 more for all the others. Who brings `live` to 0 tells the services to
 * end and takes that 1 away; who brings `services` to 0 wakes the owner. A service is spawned by somebody who is counted, so `services` does
 * not rise from 0; under the group's lock it is either in the list that is told to end, or refused as it comes after that. What is
 * spawned from inside a service may find `live` at 0: it is counted as a post is, only if it is not 0, and else refused. A service never goes
 * by a deque, so that the owner does not run it on its own stack: it ends only after the owner has come as far as to wait.
 * The owner of a group that has had a service always takes its bias away: only an atomic 0 is final. (tests/model/group_services.pml)
 *
 * Progress: counting is wait-free; the lock guards failures and room only, for a few instructions.
 */
#include "group.h"

#include <stdio.h>
#include <string.h>

#include "cycle.h"
#include "find.h"
#include "handle.h"
#include "policy.h"
#include "post.h"
#include "report.h"
#include "run.h"
#include "runnable.h"
#include "scope.h"
#include "stop.h"
#include "task.h"
#include "unjoined.h"
#include "wait.h"
#include "worker.h"

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

/* Of a group that is not plain: the stacks of its children (large.h), or what is wrong. */
static int check_options(struct yoke_runtime *rt, const yoke_group_options *options, unsigned outside)
{
    return options == NULL || yoke__policy_valid(options) ? yoke__large_size(rt, options, outside) : -EINVAL;
}

yoke_group yoke_group_open(const yoke_group_options *options)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return (yoke_group){ .block = NULL, .generation = ENOTRECOVERABLE };
    yoke_group_options whole;
    if (options != NULL && yoke__unlikely(options->size != sizeof whole))
        options = yoke__options_whole(&whole, sizeof whole, options, options->size);
    bool plain = options == NULL || yoke__policy_plain(options);
    unsigned outside = yoke__strand_scope(yoke__current(w))->large;
    int large = yoke__likely(plain && outside == 0) ? 0 : check_options(w->rt, options, outside);
    if (yoke__unlikely(large < 0))
        return (yoke_group){ .block = NULL, .generation = (uint64_t)-large };
    struct yoke__group *g = yoke__block_get(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_GROUP);
    if (g == NULL)
        return (yoke_group){ .block = NULL, .generation = ENOMEM };
    if (yoke__unlikely(large > 0) && !yoke__large_reserve(w->rt, g, (unsigned)large)) {
        yoke__block_put(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_GROUP, g);
        return (yoke_group){ .block = NULL, .generation = ENOMEM };
    }
    yoke__scope_enter(w, yoke__current(w), &g->scope, YOKE__SCOPE_GROUP);
    g->policy = YOKE_ALL;
    g->exact = 0;
    g->body = YOKE__BODY_WELL;
    g->serviced = g->services_over = 0;
    g->services = 1;
    g->services_spawned = 0;
    g->failed = 0;
    g->cut = 0;
    yoke__store_relaxed(&g->closing, 0); /* for the dump */
    g->first_code = 0;
    g->scope.head.spawned = g->done = 0;
    g->live = YOKE__LIVE_BIAS;
    g->member_spawned = 0;
    g->limit = g->alive = 0;
    g->failures = g->cancelled = 0;
    g->kept = 0;
    g->first_kept = NULL;
    g->handles = NULL;
    g->tokens = NULL;
    if (options != NULL) {
        if (!plain)
            yoke__policy_open(g, options);
        g->scope.large = (uint8_t)large; /* no less than what is inherited */
        g->scope.shield = options->shield;
        g->scope.name = options->name;
        g->scope.site = options->site;
        if (options->deadline != 0)
            yoke__scope_deadline(w->rt, &g->scope, options->deadline);
        yoke__stop_options(w->rt, &g->scope, options->cancel_on_stop, options->grace, options->hard_after);
        if (yoke__unlikely(options->shield && options->deadline == 0 && w->rt->config.debug))
            yoke__scope_bare_shield(w->rt, &g->scope);
    }
    /* a stale handle may look: it fails the look at the owner then */
    yoke__store_relaxed(&g->scope.head.ticket, (g->exact | g->scope.large) != 0 || !w->rt->membarrier ? 0 : g->scope.generation);
    return (yoke_group){ .block = g, .generation = g->scope.generation };
}

/* ---- who may spawn ---------------------------------------------------------------------------------------------------- */

/*
 * A fork of the owner's task that another worker runs: only if it began inside the group. It is joined before the close then; one that
 * began outside may run beside the close and after it, and nothing counts it.
 */
static bool fork_inside(const struct yoke__group *group, const struct yoke__strand *strand)
{
    const struct yoke__scope *scope = strand->base;
    while (scope != NULL && scope != &group->scope)
        scope = scope->parent;
    return scope != NULL;
}

bool yoke__group_admits(const struct yoke__group *group, struct yoke__strand *strand, bool *member)
{
    const struct yoke__strand *owner = yoke__scope_owner(&group->scope);
    struct yoke__task *task = strand->task;
    *member = false;
    if (strand == owner)
        return true;
    if (task == owner->task)
        return fork_inside(group, strand);
    for (const struct yoke__group *g = task->group; g != NULL; g = yoke__scope_owner(&g->scope)->task->group) {
        if (g == group) {
            *member = true;
            return true;
        }
    }
    return false;
}

/* ---- counting --------------------------------------------------------------------------------------------------------- */

bool yoke__group_count_spawn(struct yoke__worker *w, struct yoke__group *group, struct yoke__strand *strand)
{
    if (yoke__likely(strand == yoke__scope_owner(&group->scope))) {
        group->scope.head.spawned++;
        return true;
    }
    if (yoke__unlikely(yoke__load_relaxed(&group->serviced) != 0)) /* see yoke__handle_attach() */
        return yoke__group_count_post(group);
    yoke__group_count_beside(w, group);
    return true;
}

void yoke__group_uncount_spawn(struct yoke__worker *w, struct yoke__group *group, struct yoke__strand *strand)
{
    if (strand == yoke__scope_owner(&group->scope)) {
        group->scope.head.spawned--;
        return;
    }
    yoke__sub_relaxed(&group->member_spawned, 1);
    struct yoke__fiber *owner = yoke__group_ended(w->rt, group, 1); /* the last it can be only if a service's tree spawned it */
    if (owner != NULL)
        yoke__ready(w->rt, owner);
}

bool yoke__group_count_post(struct yoke__group *group)
{
    int64_t live = yoke__load_relaxed(&group->live);
    while (live != 0)
        if (yoke__cas_acq_rel(&group->live, &live, live + 1)) { /* pairs with yoke__group_ended() */
            yoke__add_relaxed(&group->member_spawned, 1);
            return true;
        }
    return false;
}

/* `live` has become 0. True: nobody is left; else the last service will find that. */
static bool others_ended(struct yoke_runtime *rt, struct yoke__group *group)
{
    if (yoke__likely(yoke__load_acquire(&group->services) == 1)) /* none any more, and none can come; pairs with yoke__group_service_ended() */
        return true;
    yoke__handles_end_services(rt, group);
    if (yoke__unlikely(group->scope.large > 0))
        yoke__large_services(rt, group);
    return yoke__sub_acq_rel(&group->services, 1) == 1; /* pairs with yoke__group_service_ended() */
}

struct yoke__fiber *yoke__group_ended(struct yoke_runtime *rt, struct yoke__group *group, int64_t n)
{
    struct yoke__fiber *fiber = NULL;
    /* release: the children's effects; acquire: owner_wait, if this was the last; pairs with wait_for_children() */
    if (yoke__sub_acq_rel(&group->live, n) == n && others_ended(rt, group))
        yoke__wait_fire(group->owner_wait, YOKE__FIRE_DONE, &fiber);
    return fiber;
}

struct yoke__fiber *yoke__group_service_ended(struct yoke__group *group)
{
    struct yoke__fiber *fiber = NULL;
    /* release: the service's effects; acquire: owner_wait, if the others had ended before; pairs with others_ended() */
    if (yoke__sub_acq_rel(&group->services, 1) == 1)
        yoke__wait_fire(group->owner_wait, YOKE__FIRE_DONE, &fiber);
    return fiber;
}

/* ---- closing ---------------------------------------------------------------------------------------------------------- */

/* Calls children that lie next in the deque, on this stack. */
static void run_own_children(struct yoke__strand *strand, struct yoke__group *group)
{
    struct yoke__worker *w = yoke__self();
    struct yoke__strand child;
    int64_t done = 0;
    if ((uintptr_t)__builtin_frame_address(0) <= w->stack_half || w->fiber->large < group->scope.large)
        return;
    uintptr_t tag = group->scope.large == 0 ? YOKE__TAG_TASK : YOKE__TAG_LARGE;
    yoke__task_strand(&child, NULL, &group->scope);
    w->head.strand = &child.head;
    for (;;) {
        if (done > 0 && yoke__worker_look_is_due(done) && yoke__worker_row_ends(w, done))
            break; /* woken tasks wait for this worker: suspend, and let the scheduler share it out */
        void *item = yoke__deque_pop(&w->head.deque);
        if (item == NULL)
            break;
        struct yoke__task *task = (struct yoke__task *)(void *)((char *)item - tag);
        if (((uintptr_t)item & YOKE__TAG_MASK) != tag || task->group != group) {
            yoke__unjoined_popped(w, item, __builtin_frame_address(0), child.task != NULL ? child.task : strand->task);
            yoke__unjoined_of_ended(item, &child);
            yoke__unjoined_of_closing(item, strand, group);
            yoke__put_back(w, item);
            break;
        }
        w = yoke__task_call_on(w, &child, task);
        done++;
    }
    w->head.strand = &strand->head;
    group->done += done;
}

void yoke__group_tell(const void *object, char *text, size_t size)
{
    const struct yoke__scope *scope = &((const struct yoke__group *)object)->scope; /* what is read does not change while the group lives */
    snprintf(text, size, " '%s'%s", scope->name != NULL ? scope->name : "", yoke__site_text(scope->site).text);
}

static bool close_blames(const void *object, const struct yoke__strand *strand)
{
    return strand->task->group == object && strand->fork == NULL;
}

static void tell_close(const void *object, char *text, size_t size)
{
    int n = snprintf(text, size, " of group");
    yoke__group_tell(object, text + n, size - (size_t)n);
}

/* Its edge lies in yoke__group_finish(): the owner may lie beneath a child that blocks. */
static const struct yoke__waited on_close = { .what = "close", .tell = tell_close },
                                 in_close = { .what = "close", .tell = tell_close, .blames = close_blames };

/*
 * acquire: the effects of children that ended elsewhere; pairs with yoke__group_ended(). The rest after that: a child may acquire a
 * token or spawn a service, and end. With tokens, posts have to find that `live` is 0. With services the two numbers say nothing together:
 * between the looks at them a service may spawn a child and end, or a child a service. (tests/model/group_services.pml)
 */
static bool all_ended(const struct yoke__group *group, int64_t balance)
{
    return yoke__load_acquire(&group->live) + balance == 0 && yoke__load_relaxed(&group->serviced) == 0 && group->tokens == NULL;
}

/* Those that another worker has taken at the last moment are short as a rule: to leave the stack, and to be woken, takes longer. */
static bool end_soon(struct yoke__worker *w, const struct yoke__group *group, int64_t balance)
{
    enum { LOOKS = 20 };
    bool others_run = yoke__load_relaxed(&w->rt->parked) < w->rt->nworkers - 1; /* a hint */
    for (int i = 0; i < LOOKS && others_run && !yoke__worker_others_wait(w); i++) {
        yoke__relax();
        if (all_ended(group, balance))
            return true;
    }
    return false;
}

static void wait_for_children(struct yoke__strand *strand, struct yoke__group *group)
{
    run_own_children(strand, group);
    int64_t balance = group->scope.head.spawned - group->done - YOKE__LIVE_BIAS;
    if (all_ended(group, balance))
        return;
    struct yoke__worker *w = yoke__self();
    yoke__worker_flush(w); /* completions of other groups, and perhaps of this one, that this worker has not told */
    if (end_soon(w, group, balance))
        return;
    struct yoke__wait wait;
    yoke__wait_init_on(&wait, &on_close, group);
    group->owner_wait = &wait;
    if (yoke__add_acq_rel(&group->live, balance) + balance == 0 && others_ended(w->rt, group)) /* pairs with yoke__group_ended() */
        return;
    yoke__wait_block(&wait);
}

/* The same in debug mode. */
static __attribute__((noinline)) void wait_compared(struct yoke_runtime *rt, struct yoke__strand *strand, struct yoke__group *group)
{
    struct yoke__edge edge = { .strand = strand, .on = &in_close, .object = group };
    yoke__unjoined_within(strand, &group->scope);
    yoke__cycle_enter(rt, &edge);
    wait_for_children(strand, group);
    yoke__cycle_leave(rt, &edge);
}

int yoke__group_finish(struct yoke__group *group, int rc, yoke_group_report *report)
{
    struct yoke__strand *strand = yoke__scope_owner(&group->scope);
    struct yoke_runtime *rt = yoke__self()->rt;
    yoke__policy_body(rt, group, rc);
    yoke__store_relaxed(&group->closing, 1); /* for the dump */
    if (yoke__unlikely(rt->config.debug))
        wait_compared(rt, strand, group);
    else
        wait_for_children(strand, group);
    if (yoke__unlikely(group->tokens != NULL))
        yoke__post_shut(group);
    struct yoke__worker *w = yoke__self();
    if (w->batch == group)
        yoke__worker_flush(w); /* what was cancelled on this stack */
    int body = rc;
    rc = yoke__policy_result(strand, group, rc, report);
    if (yoke__unlikely(group->handles != NULL))
        yoke__handles_free(w, group);
    if (yoke__unlikely(group->scope.large > 0))
        yoke__large_leave(rt, group);
    yoke__store_relaxed(&group->scope.head.ticket, 0); /* only the owner would get as far as to believe it */
    yoke__strand_set_scope(w, strand, &group->scope.parent->head);
    yoke__scope_retire(rt, &group->scope);
    uint64_t cut = yoke__stop_tell(rt, &group->scope, body);
    if (report != NULL)
        report->cut = cut;
    yoke__block_put(&rt->blocks, &w->head.blocks, YOKE__BLOCK_GROUP, group);
    return rc;
}

int yoke__group_check_owner(yoke_group handle, struct yoke__worker *w)
{
    if (w == NULL)
        return -ENOTRECOVERABLE;
    int err = yoke__handle_error(handle.block, handle.generation, w->rt);
    if (err < 0)
        return err;
    struct yoke__group *group = handle.block;
    if (yoke__load_relaxed(&group->scope.generation) != handle.generation)
        return -EINVAL;
    return yoke__scope_owner(&group->scope) == yoke__current(w) ? 0 : -EPERM;
}

static int close_group(yoke_group handle, int rc, yoke_group_report *report)
{
    int err = yoke__group_check_owner(handle, yoke__self());
    if (err < 0) /* a group that failed to open: its body's error came first, if there was one */
        return handle.block == NULL && handle.generation != 0 && rc < 0 ? rc : err;
    struct yoke__group *group = handle.block;
    struct yoke__strand *strand = yoke__scope_owner(&group->scope);
    if (yoke__unlikely(yoke__strand_scope(strand) != &group->scope))
        yoke__scope_unwind(strand, &group->scope, "left open inside a group that is being closed");
    return yoke__group_finish(group, rc, report);
}

/* A caller that knows fewer fields, or more, gets those that it knows. */
static __attribute__((noinline)) int close_other_report(yoke_group group, int rc, yoke_group_report *report)
{
    size_t size = report->size;
    yoke_group_report whole;
    rc = close_group(group, rc, yoke__options_whole(&whole, sizeof whole, report, size));
    whole.size = size;
    memcpy(report, &whole, size < sizeof whole ? size : sizeof whole);
    return rc;
}

int yoke_group_close_report(yoke_group group, int rc, yoke_group_report *report)
{
    if (yoke__unlikely(report != NULL && report->size != sizeof *report))
        return close_other_report(group, rc, report);
    return close_group(group, rc, report);
}

int yoke_group_close(yoke_group group, int rc)
{
    return close_group(group, rc, NULL);
}

void yoke_group_leave(yoke_group *handle)
{
    struct yoke__worker *w = yoke__self();
    if (yoke__group_check_owner(*handle, w) < 0)
        return;
    struct yoke__group *group = handle->block;
    yoke__scope_unwind(yoke__scope_owner(&group->scope), &group->scope, "left open inside a group whose block was left");
    yoke__scope_unwind(yoke__scope_owner(&group->scope), group->scope.parent, "was left without yoke_group_close: cancelled and joined");
}

int yoke_group_cancel_at(yoke_group handle, int reason, const yoke_site *site)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    int err = yoke__handle_error(handle.block, handle.generation, w->rt);
    if (err < 0 || reason > 0)
        return err < 0 ? err : -EINVAL;
    struct yoke__group *group = handle.block;
    return yoke__scope_cancel_handle(w->rt, &group->scope, handle.generation, YOKE__CANCEL_ASKED, reason, site);
}

int yoke_group_set_deadline(yoke_group handle, int64_t deadline)
{
    struct yoke__worker *w = yoke__self();
    int err = yoke__group_check_owner(handle, w);
    if (err < 0)
        return err;
    struct yoke__group *group = handle.block;
    yoke__scope_deadline(w->rt, &group->scope, deadline == 0 ? YOKE_NEVER : deadline);
    return 0;
}
