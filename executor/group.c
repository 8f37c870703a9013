/*
 * group.c - task groups.
 *
 * Counting. A shared counter with one locked operation per task would cost more than the rest of a spawn. So:
 *   - the owner's strand counts its spawns, and the children that it runs itself inside close, in fields of its own (spawned, done);
 *   - a member (a strand inside the group's tree) that spawns into it adds 1 to `live` before it publishes the child, so that the
 *     sum cannot reach zero while it itself is not counted as ended;
 *   - a child that ends elsewhere subtracts 1 from `live`, in batches per worker (worker.c: flushed before the worker runs a task of
 *     another group, blocks or looks for work elsewhere), or takes back a spawn of its own kind.
 * `live` starts with a large bias. In close the owner takes the bias away and puts in spawned - done in one atomic addition: from then
 * on `live` is the number of children that have not ended; it cannot rise from 0, since only living members (and posts, which add
 * only if it is not 0) raise it. Who brings it to 0, the owner's addition or a child's subtraction, knows it and nobody else: the
 * child then wakes the owner. All operations on `live` are acquire-release, so that all children's effects are seen by the owner.
 *
 * Running children on the owner's stack. In close, and only there, the owner may call a child of this very group that lies next in its
 * worker's deque: it waits for that child anyway. If the child blocks, both wait. Never below half of the stack: then the owner
 * suspends and the scheduler runs the child on a fresh fiber.
 *
 * Policy is carried out by the child that fails (yoke__group_child_failed), never by the owner, which may lie beneath it.
 *
 * Progress: counting is wait-free; the lock guards failures and room only, for a few instructions.
 */
#include "group.h"

#include <string.h>

#include "fail.h"
#include "post.h"
#include "report.h"
#include "scope.h"
#include "task.h"
#include "wait.h"
#include "worker.h"

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

yoke_group yoke_group_open(const yoke_group_options *options)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return (yoke_group){ .block = NULL, .generation = ENOTRECOVERABLE };
    if (options != NULL && (int)options->policy > YOKE_COLLECT)
        return (yoke_group){ .block = NULL, .generation = EINVAL };
    struct yoke__group *g = yoke__block_get(&w->rt->blocks, &w->blocks, YOKE__BLOCK_GROUP);
    if (g == NULL)
        return (yoke_group){ .block = NULL, .generation = ENOMEM };
    yoke__scope_enter(w, yoke__current(w), &g->scope, YOKE__SCOPE_GROUP);
    g->policy = YOKE_ALL;
    g->exact = 0;
    g->failed = 0;
    g->cut = 0;
    g->first_code = 0;
    g->spawned = g->done = 0;
    g->live = YOKE__LIVE_BIAS;
    g->member_spawned = 0;
    g->limit = g->alive = 0;
    g->failures = g->cancelled = 0;
    g->kept = 0;
    g->first_kept = g->last_kept = NULL;
    g->first_fail = NULL;
    g->handles = NULL;
    g->tokens = NULL;
    if (options != NULL) {
        g->policy = (uint8_t)options->policy;
        g->limit = options->limit;
        g->exact = options->limit > 0;
        g->scope.shield = options->shield;
        g->scope.name = options->name;
        g->scope.site = options->site;
        if (options->deadline != 0)
            yoke__scope_deadline(w->rt, &g->scope, options->deadline);
    }
    yoke__waitq_init(&g->room);
    return (yoke_group){ .block = g, .generation = g->scope.generation };
}

/* ---- who may spawn ---------------------------------------------------------------------------------------------------- */

bool yoke__group_admits(const struct yoke__group *group, struct yoke__strand *strand, bool *member)
{
    const struct yoke__task *owner = group->scope.owner->task;
    struct yoke__task *task = strand->task;
    *member = false;
    if (task == owner)
        return true;
    for (const struct yoke__group *g = task->group; g != NULL; g = g->scope.owner->task->group) {
        if (g == group) {
            *member = true;
            return true;
        }
    }
    return false;
}

/* ---- counting --------------------------------------------------------------------------------------------------------- */

void yoke__group_count_spawn(struct yoke__worker *w, struct yoke__group *group, struct yoke__strand *strand)
{
    if (yoke__likely(strand == group->scope.owner)) {
        group->spawned++;
        return;
    }
    yoke__add_relaxed(&group->member_spawned, 1); /* a statistic */
    if (w->batch == group && w->batched > 0)
        w->batched--; /* one ended here and not yet told, one begins: the sum stands */
    else
        yoke__add_acq_rel(&group->live, 1); /* pairs with yoke__group_ended() */
}

void yoke__group_uncount_spawn(struct yoke__worker *w, struct yoke__group *group, struct yoke__strand *strand)
{
    (void)w;
    if (strand == group->scope.owner) {
        group->spawned--;
        return;
    }
    yoke__sub_relaxed(&group->member_spawned, 1);
    yoke__sub_acq_rel(&group->live, 1); /* the caller is a member that has not ended: cannot be the last */
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

struct yoke__fiber *yoke__group_ended(struct yoke__group *group, int64_t n)
{
    struct yoke__fiber *fiber = NULL;
    /* release: the children's effects; acquire: owner_wait, if this was the last; pairs with wait_for_children() */
    if (yoke__sub_acq_rel(&group->live, n) == n)
        yoke__wait_fire(group->owner_wait, YOKE__FIRE_DONE, &fiber);
    return fiber;
}

/* ---- room ------------------------------------------------------------------------------------------------------------- */

int yoke__group_take_room(struct yoke__group *group, bool may_wait)
{
    struct yoke__waitq_node node = { .back = NULL };
    struct yoke__wait wait;
    yoke__lock_acquire(&group->lock);
    bool room = group->alive < group->limit;
    if (room)
        group->alive++;
    yoke__lock_release(&group->lock);
    if (room || !may_wait)
        return room ? 0 : -EAGAIN;
    yoke__wait_init(&wait, "room in a group");
    int rc = yoke__wait_enlist(&wait);
    if (rc < 0)
        return rc;
    yoke__lock_acquire(&group->lock);
    if (group->alive < group->limit) {
        struct yoke__fiber *none;
        if (yoke__wait_fire(&wait, YOKE__FIRE_DONE, &none))
            group->alive++;
    } else {
        yoke__waitq_push_locked(&group->room, &node, &wait);
    }
    yoke__lock_release(&group->lock);
    int code = yoke__wait_block(&wait);
    yoke__lock_acquire(&group->lock);
    yoke__waitq_remove_locked(&group->room, &node);
    yoke__lock_release(&group->lock);
    yoke__wait_delist(&wait);
    return code == YOKE__FIRE_DONE ? 0 : -ECANCELED;
}

void yoke__group_give_room(struct yoke__group *group)
{
    struct yoke__fiber *fiber = NULL;
    yoke__lock_acquire(&group->lock);
    if (!yoke__waitq_wake_locked(&group->room, YOKE__FIRE_DONE, 0, &fiber)) /* handed over: alive stays */
        group->alive--;
    yoke__lock_release(&group->lock);
    if (fiber != NULL)
        yoke__ready(yoke__self()->rt, fiber);
}

/* ---- failures --------------------------------------------------------------------------------------------------------- */

/* Whose doing is a neutral cancellation seen at `scope`, a scope of the group or inside it? */
static void note_cut(struct yoke__group *group)
{
    struct yoke__scope *outermost = yoke__scope_outermost_cancelled(&group->scope);
    if (outermost == NULL)
        return; /* a child cancelled by its handle */
    uint8_t cut = outermost != &group->scope                                             ? YOKE__CUT_ENCLOSING
                  : yoke__load_acquire(&group->scope.cancel) == YOKE__CANCEL_DEADLINE ? YOKE__CUT_OWN_DEADLINE
                                                                                         : 0;
    if (cut != 0)
        yoke__or_acq_rel(&group->cut, cut); /* read by the owner after the last child has ended */
}

/* Under the group's lock. True: the first failure, and the policy says cancel. */
static bool first_failure(struct yoke__group *group, int rc, struct yoke__fail *fail)
{
    group->failures++;
    if (group->failed)
        return false;
    group->failed = 1;
    group->first_code = rc;
    group->first_fail = fail;
    return true;
}

bool yoke__group_child_failed(struct yoke_runtime *rt, struct yoke__group *group, struct yoke__task *task, int rc, struct yoke__fail *fail,
                              bool neutral)
{
    if (neutral) {
        yoke__lock_acquire(&group->lock);
        group->cancelled++;
        yoke__lock_release(&group->lock);
        note_cut(group);
        return false;
    }
    task->fail = fail;
    task->result = rc;
    yoke__lock_acquire(&group->lock);
    bool first = first_failure(group, rc, NULL);
    bool keep = group->kept < (size_t)rt->config.report_k && task->class != YOKE__TASK_FRAME;
    if (keep) {
        group->kept++;
        task->node.entry.next = NULL;
        if (group->last_kept != NULL)
            group->last_kept->node.entry.next = &task->node.entry;
        else
            group->first_kept = task;
        group->last_kept = task;
    }
    yoke__lock_release(&group->lock);
    if (first && group->policy == YOKE_ALL)
        yoke__scope_cancel(rt, &group->scope, YOKE__CANCEL_FAILURE, rc, task->site);
    return keep;
}

static struct yoke__task *next_kept(const struct yoke__task *task)
{
    return (struct yoke__task *)(void *)task->node.entry.next;
}

static void describe_failure(const struct yoke__task *task, yoke_failure *out)
{
    yoke__fail_describe(task->fail, out);
    out->code = task->result;
    out->task = task->name;
    out->task_id = task->id;
    out->site = task->site;
}

/* ---- closing ---------------------------------------------------------------------------------------------------------- */

/* An item that was popped and is not for us. */
static void put_back(struct yoke__worker *w, void *item)
{
    if (yoke__deque_push(&w->head.deque, item) > 0) /* cannot fail: there was room for it */
        yoke__wake_one(w->rt);
}

/* Calls children that lie next in the deque, on this stack. */
static void run_own_children(struct yoke__strand *strand, struct yoke__group *group)
{
    for (unsigned n = 1;; n++) {
        struct yoke__worker *w = yoke__self();
        if ((uintptr_t)__builtin_frame_address(0) <= w->stack_half || (n % 64 == 0 && yoke__worker_others_wait(w)))
            return; /* woken tasks wait for this worker: suspend, and let the scheduler share it out */
        void *item = yoke__deque_pop(&w->head.deque);
        if (item == NULL)
            return;
        struct yoke__task *task = (struct yoke__task *)(void *)((char *)item - YOKE__TAG_TASK);
        if (((uintptr_t)item & YOKE__TAG_MASK) != YOKE__TAG_TASK || task->group != group) {
            put_back(w, item);
            return;
        }
        yoke__task_call(w, task);
        group->done++;
        yoke__self()->head.strand = &strand->head;
    }
}

static void wait_for_children(struct yoke__strand *strand, struct yoke__group *group)
{
    run_own_children(strand, group);
    int64_t balance = group->spawned - group->done - YOKE__LIVE_BIAS;
    /* acquire: the effects of children that ended elsewhere; pairs with yoke__group_ended() */
    if (group->tokens == NULL && yoke__load_acquire(&group->live) + balance == 0)
        return;
    struct yoke__worker *w = yoke__self();
    yoke__worker_flush(w); /* completions of other groups, and perhaps of this one, that this worker has not told */
    struct yoke__wait wait;
    yoke__wait_init(&wait, "close");
    group->owner_wait = &wait;
    if (yoke__add_acq_rel(&group->live, balance) + balance == 0) /* pairs with yoke__group_ended() */
        return;
    yoke__wait_block(&wait);
}

/* The table of close, after all children have ended. */
static int result_of(struct yoke__group *group, bool body_failed, int rc)
{
    struct yoke__scope *scope = &group->scope;
    uint32_t kind = yoke__load_acquire(&scope->cancel); /* a deadline or another task may still come; pairs with mark_locked() in scope.c */
    if (group->policy == YOKE_ALL && group->failed)
        return group->first_code;
    if (body_failed)
        return rc;
    if ((group->cut & YOKE__CUT_OWN_DEADLINE) != 0 && yoke__scope_outermost_cancelled(scope) == scope)
        return -ETIMEDOUT;
    if (kind == YOKE__CANCEL_ASKED || kind == YOKE__CANCEL_LEFT)
        return scope->reason;
    if (group->cut != 0)
        return -ECANCELED;
    return rc;
}

static void fill_report(struct yoke__group *group, yoke_group_report *report)
{
    size_t n = 0;
    report->spawned = (uint64_t)group->spawned + group->member_spawned;
    report->failed = group->failures;
    report->cancelled = group->cancelled;
    for (struct yoke__task *task = group->first_kept; task != NULL && n < report->capacity && report->failures != NULL;
         task = next_kept(task), n++) {
        describe_failure(task, &report->failures[n]);
        if (report->messages != NULL) {
            memcpy(report->messages[n], report->failures[n].message, strlen(report->failures[n].message) + 1);
            report->failures[n].message = report->messages[n];
        } else {
            report->failures[n].message = "";
        }
    }
    report->kept = n;
}

/* The owner inherits the way the first failure took, so that later hops add to it. */
static void inherit_failure(struct yoke__worker *w, struct yoke__strand *strand, struct yoke__group *group, int rc)
{
    struct yoke__task *task = group->first_kept;
    if (task == NULL || task->result != rc || group->policy != YOKE_ALL)
        return;
    if (task->fail == NULL)
        task->fail = yoke__fail_new(w, task, rc);
    if (strand->fail != NULL)
        yoke__fail_free(w, strand->fail);
    strand->fail = task->fail;
    task->fail = NULL;
}

int yoke__group_finish(struct yoke__group *group, int rc, yoke_group_report *report)
{
    struct yoke__strand *strand = group->scope.owner;
    struct yoke_runtime *rt = yoke__self()->rt;
    bool body_failed = false, body_first = false;
    if (rc == -ECANCELED && yoke__scope_cancelled(rt, &group->scope)) {
        note_cut(group);
    } else if (rc < 0) {
        body_failed = true;
        yoke__lock_acquire(&group->lock);
        body_first = first_failure(group, rc, NULL);
        group->failures--; /* the body is no child */
        yoke__lock_release(&group->lock);
        if (body_first && group->policy == YOKE_ALL)
            yoke__scope_cancel(rt, &group->scope, YOKE__CANCEL_FAILURE, rc, group->scope.site);
    }
    wait_for_children(strand, group);
    yoke__post_shut(group);
    struct yoke__worker *w = yoke__self();
    rc = result_of(group, body_failed, rc);
    if (report != NULL)
        fill_report(group, report);
    if (!body_first && group->failed)
        inherit_failure(w, strand, group, rc);
    while (group->first_kept != NULL) {
        struct yoke__task *task = group->first_kept;
        group->first_kept = next_kept(task);
        if (task->fail != NULL)
            yoke__fail_free(w, task->fail);
        yoke__task_free(w, task);
    }
    yoke__handles_free(w, group);
    yoke__strand_set_scope(w, strand, &group->scope.parent->head);
    yoke__scope_retire(rt, &group->scope);
    yoke__block_put(&rt->blocks, &w->blocks, YOKE__BLOCK_GROUP, group);
    return rc;
}

static int check_owner(yoke_group handle, struct yoke__worker *w)
{
    if (w == NULL)
        return -ENOTRECOVERABLE;
    int err = yoke__handle_error(handle.block, handle.generation, w->rt);
    if (err < 0)
        return err;
    struct yoke__group *group = handle.block;
    if (yoke__load_relaxed(&group->scope.generation) != handle.generation)
        return -EINVAL;
    return group->scope.owner == yoke__current(w) ? 0 : -EPERM;
}

int yoke_group_close_report(yoke_group handle, int rc, yoke_group_report *report)
{
    int err = check_owner(handle, yoke__self());
    if (err < 0) /* a group that failed to open: its body's error came first, if there was one */
        return handle.block == NULL && handle.generation != 0 && rc < 0 ? rc : err;
    struct yoke__group *group = handle.block;
    yoke__scope_unwind(group->scope.owner, &group->scope, "left open inside a group that is being closed");
    return yoke__group_finish(group, rc, report);
}

int yoke_group_close(yoke_group group, int rc)
{
    return yoke_group_close_report(group, rc, NULL);
}

void yoke_group_leave(yoke_group *handle)
{
    struct yoke__worker *w = yoke__self();
    if (check_owner(*handle, w) < 0)
        return;
    struct yoke__group *group = handle->block;
    yoke__scope_unwind(group->scope.owner, &group->scope, "left open inside a group whose block was left");
    yoke__scope_unwind(group->scope.owner, group->scope.parent, "was left without yoke_group_close: cancelled and joined");
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
    int err = check_owner(handle, w);
    if (err < 0)
        return err;
    struct yoke__group *group = handle.block;
    yoke__scope_deadline(w->rt, &group->scope, deadline == 0 ? YOKE_NEVER : deadline);
    return 0;
}

int yoke_group_failure(yoke_group handle, size_t index, yoke_failure *failure)
{
    int err = check_owner(handle, yoke__self());
    if (err < 0)
        return err;
    struct yoke__group *group = handle.block;
    yoke__lock_acquire(&group->lock);
    struct yoke__task *task = group->first_kept;
    while (task != NULL && index-- > 0)
        task = next_kept(task);
    if (task != NULL)
        describe_failure(task, failure);
    yoke__lock_release(&group->lock);
    return task != NULL ? 0 : -ENODATA;
}
