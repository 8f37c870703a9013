/*
 * policy.c - what the end of a child means to its group, carried out by that child; what close returns.
 *
 * Failures are recorded in every group. A group that wants to know of each end (limit, ANY, results, on_done: `exact`) has its children flagged, so that
 * they take the long end of a task; all that is counted here is under the group's lock:
 *   alive      children that were let in and are not settled yet; services, which are no work, are not among them
 *   successes  of children that have ended
 * A child is settled when its result lies where yoke_group_next finds it. So "no result, and nobody alive" is true of one moment, and then
 * there will not be another one: who spawns is the owner, who is asking, or alive itself.
 *
 * ANY. The k-th success cancels the group. Once the owner is in close, successes + alive < k does too: k is out of reach, since whoever is
 * alive still counts for one. Both are judged whenever one of the terms changes, by whoever changes it, under the lock; one verdict counts.
 *
 * on_done runs without the lock, as it may spawn or cancel. A child that ends queues its record; if nobody is telling, it tells, until the
 * queue is empty, also what others have queued meanwhile: they are gone by then. So the calls are in the order of the ends, one after
 * the other, and nobody waits for them. The teller is not counted as ended before it has done, which keeps the group. It runs
 * each call as the task whose end is told: its block is kept until then, its teller's own too.
 *
 * A record is the task's block: it may be in the list of failures (until close), and in the queue of one of the two (until told or
 * handed out); `record` says so, and who takes it out of the last frees it.
 */
#include "policy.h"

#include <string.h>

#include "fail.h"
#include "group.h"
#include "report.h"
#include "scope.h"
#include "stop.h"
#include "task.h"
#include "wait.h"
#include "walk.h"
#include "worker.h"

enum { RECORD_FAILURE = 1, RECORD_NEUTRAL = 2 };

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

bool yoke__policy_valid(const yoke_group_options *options)
{
    return (int)options->policy >= YOKE_ALL && (int)options->policy <= YOKE_ANY && (options->need == 0 || options->policy == YOKE_ANY);
}

void yoke__policy_open(struct yoke__group *group, const yoke_group_options *options)
{
    group->policy = (uint8_t)options->policy;
    group->limit = options->limit;
    group->exact = options->limit > 0 || options->policy == YOKE_ANY || options->results || options->on_done != NULL;
    if (yoke__likely(!group->exact))
        return;
    group->any = (struct yoke__any){ .need = options->need > 0 ? options->need : 1 };
    yoke__waitq_init(&group->room);
    group->results = (struct yoke__results){ .kept = options->results, .on_done = options->on_done, .ctx = options->on_done_ctx };
}

/* ---- records ---------------------------------------------------------------------------------------------------------- */

static struct yoke__task *next_failed(const struct yoke__task *task)
{
    return (struct yoke__task *)(void *)task->node.entry.next;
}

static void free_record(struct yoke__worker *w, struct yoke__task *task)
{
    if (task->fail != NULL)
        yoke__fail_free(w, task->fail);
    yoke__task_free(w, task);
}

/* It was told or handed out: is anything left of it? */
static void drop(struct yoke__worker *w, struct yoke__task *task)
{
    if ((task->record & RECORD_FAILURE) == 0)
        free_record(w, task);
}

static void queue_push(struct yoke__records *queue, struct yoke__task *task)
{
    task->next_record = NULL;
    if (queue->last != NULL)
        queue->last->next_record = task;
    else
        queue->first = task;
    queue->last = task;
}

static struct yoke__task *queue_pop(struct yoke__records *queue)
{
    struct yoke__task *task = queue->first;
    if (task != NULL && (queue->first = task->next_record) == NULL)
        queue->last = NULL;
    return task;
}

static void describe_done(const struct yoke__task *task, yoke_done *out)
{
    *out = (yoke_done){ .code = task->result,
                        .cancelled = (task->record & RECORD_NEUTRAL) != 0,
                        .arg = task->arg,
                        .message = task->fail != NULL ? task->fail->message : "",
                        .task = task->name,
                        .task_id = task->id,
                        .site = task->site };
}

/* ---- verdicts ----------------------------------------------------------------------------------------------------------- */

/* True: the group is to be cancelled, for ANY's k is reached, or out of reach. */
static bool judge_locked(struct yoke__group *group)
{
    struct yoke__any *any = &group->any;
    if (group->policy != YOKE_ANY || any->verdict != YOKE__ANY_OPEN)
        return false;
    if (any->successes >= any->need)
        any->verdict = YOKE__ANY_REACHED;
    else if (any->closing && any->successes + group->alive < any->need)
        any->verdict = YOKE__ANY_OUT_OF_REACH;
    return any->verdict != YOKE__ANY_OPEN;
}

/* `task` is the number of who has caused it: its block may be another's by now. */
static void carry_out(struct yoke_runtime *rt, struct yoke__group *group, bool verdict, const yoke_site *site, uint64_t task)
{
    if (!verdict)
        return;
    yoke__lock_acquire(&group->scope.lock);
    bool first = yoke__scope_mark_locked(&group->scope, YOKE__CANCEL_VERDICT, 0, site, task);
    if (!first)
        yoke__scope_make_known(rt, &group->scope);
    yoke__lock_release(&group->scope.lock);
    if (first)
        yoke__scope_carry_out(rt, &group->scope);
}

/* ---- room ------------------------------------------------------------------------------------------------------------- */

static const struct yoke__waited on_room = { .what = "room in group", .tell = yoke__group_tell };

static bool full(const struct yoke__group *group)
{
    return group->limit > 0 && group->alive >= group->limit;
}

int yoke__policy_take_room(struct yoke__group *group, bool may_wait)
{
    struct yoke__waitq_node node = { .back = NULL };
    struct yoke__wait wait;
    yoke__lock_acquire(&group->lock);
    bool room = !full(group);
    if (room)
        group->alive++;
    yoke__lock_release(&group->lock);
    if (room || !may_wait)
        return room ? 0 : -EAGAIN;
    yoke__wait_init_on(&wait, &on_room, group);
    int rc = yoke__wait_enlist(&wait);
    if (rc < 0)
        return rc;
    yoke__lock_acquire(&group->lock);
    if (!full(group)) {
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

void yoke__policy_take_post(struct yoke__group *group)
{
    yoke__lock_acquire(&group->lock);
    group->alive++;
    yoke__lock_release(&group->lock);
}

static void collect(struct yoke__fiber **woken, struct yoke__fiber *fiber)
{
    if (fiber == NULL)
        return;
    fiber->next = *woken;
    *woken = fiber;
}

/* One is not alive any more; its result, if there is to be one, is queued. What is returned is passed to carry_out(). */
static bool settle_locked(struct yoke__group *group, struct yoke__fiber **woken)
{
    struct yoke__fiber *fiber = NULL;
    struct yoke__results *results = &group->results;
    bool beyond = group->limit > 0 && group->alive > group->limit; /* a post took more */
    if (beyond || !yoke__waitq_wake_locked(&group->room, YOKE__FIRE_DONE, 0, &fiber)) /* handed over: alive stays */
        group->alive--;
    collect(woken, fiber);
    if (results->wait != NULL && (results->queue.first != NULL || group->alive == 0)) {
        fiber = NULL;
        yoke__wait_fire(results->wait, YOKE__FIRE_DONE, &fiber);
        results->wait = NULL;
        collect(woken, fiber);
    }
    return judge_locked(group);
}

void yoke__policy_give_room(struct yoke__group *group)
{
    struct yoke_runtime *rt = yoke__self()->rt;
    struct yoke__fiber *woken = NULL;
    yoke__lock_acquire(&group->lock);
    bool verdict = settle_locked(group, &woken);
    yoke__lock_release(&group->lock);
    yoke__ready_list(rt, woken);
    carry_out(rt, group, verdict, NULL, yoke_task_id());
}

/* ---- the end of a child ------------------------------------------------------------------------------------------------- */

/* Whose doing is a neutral cancellation seen at `scope`, a scope of the group or inside it? */
static void note_cut(struct yoke_runtime *rt, struct yoke__group *group)
{
    struct yoke__scope *outermost = yoke__scope_outermost_cancelled(rt, &group->scope);
    if (outermost == NULL)
        return; /* a child cancelled by its handle */
    uint8_t cut = outermost != &group->scope                                             ? YOKE__CUT_ENCLOSING
                  : yoke__load_acquire(&group->scope.cancel) == YOKE__CANCEL_DEADLINE ? YOKE__CUT_OWN_DEADLINE
                                                                                         : 0;
    if (cut != 0 && (yoke__load_relaxed(&group->cut) & cut) == 0)
        yoke__or_acq_rel(&group->cut, cut); /* read by the owner after the last child has ended */
}

/* Of body or child. True: the first one. */
static bool first_failure_locked(struct yoke__group *group, int rc)
{
    if (group->failed)
        return false;
    group->failed = 1;
    group->first_code = rc;
    return true;
}

/* True: the block is kept in the list of failures. */
static bool record_failure(struct yoke_runtime *rt, struct yoke__group *group, struct yoke__task *task, int rc)
{
    yoke__lock_acquire(&group->lock);
    group->failures++;
    bool first = first_failure_locked(group, rc);
    bool keep = group->kept < (size_t)rt->config.report_k && task->class != YOKE__TASK_FRAME;
    if (keep) {
        task->node.entry.next = NULL;
        if (group->kept++ > 0)
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

void yoke__policy_cut(struct yoke__group *group, bool service)
{
    struct yoke__worker *w = yoke__worker_here();
    yoke__worker_batch(w, group);
    w->batch_cancelled++;
    if (service)
        return; /* told to end, and cut by nobody else */
    note_cut(w->rt, group);
    yoke__stop_count_cut(&group->scope);
}

/* The queue of ends, until it is empty. */
static void tell(struct yoke__strand *strand, struct yoke__group *group)
{
    struct yoke__results *results = &group->results;
    for (;;) {
        struct yoke__fiber *woken = NULL;
        yoke_done done;
        yoke__lock_acquire(&group->lock);
        struct yoke__task *task = queue_pop(&results->untold);
        results->telling = task != NULL;
        yoke__lock_release(&group->lock);
        if (task == NULL)
            return;
        describe_done(task, &done);
        strand->task = task;
        int answer = results->on_done(results->ctx, &done);
        (void)yoke__task_finish(strand, 0); /* what it left open */
        struct yoke__worker *w = yoke__self();
        if (strand->fail != NULL)
            yoke__fail_free(w, strand->fail);
        strand->fail = NULL;
        if (answer != YOKE_GO_ON)
            yoke__scope_cancel(w->rt, &group->scope, YOKE__CANCEL_ASKED, 0, task->site);
        yoke__lock_acquire(&group->lock);
        if (results->kept)
            queue_push(&results->queue, task);
        bool verdict = settle_locked(group, &woken);
        yoke__lock_release(&group->lock);
        yoke__ready_list(w->rt, woken);
        carry_out(w->rt, group, verdict, done.site, done.task_id);
        if (!results->kept)
            drop(w, task);
    }
}

/* A child of an exact group. True: the block is queued. */
static bool end_exactly(struct yoke__strand *strand, struct yoke__group *group, struct yoke__task *task, int rc)
{
    struct yoke_runtime *rt = yoke__self()->rt;
    struct yoke__results *results = &group->results;
    const yoke_site *site = task->site;
    uint64_t id = task->id;
    struct yoke__fiber *woken = NULL;
    bool told = results->on_done != NULL && task->class != YOKE__TASK_FRAME; /* a post without memory has no record: see yoke/group.h */
    bool queued = told || (results->kept && task->class != YOKE__TASK_FRAME);
    yoke__lock_acquire(&group->lock);
    group->any.successes += rc >= 0;
    if (queued)
        queue_push(told ? &results->untold : &results->queue, task);
    bool teller = told && !results->telling;
    if (teller)
        results->telling = true;
    bool verdict = told ? judge_locked(group) : settle_locked(group, &woken);
    yoke__lock_release(&group->lock);
    yoke__ready_list(rt, woken);
    carry_out(rt, group, verdict, site, id);
    if (teller)
        tell(strand, group);
    return queued;
}

bool yoke__policy_ended(struct yoke__strand *strand, struct yoke__task *task, int rc, struct yoke__fail *fail, bool neutral, bool service)
{
    struct yoke__group *group = task->group;
    bool exact = (task->flags & YOKE__TASK_EXACT) != 0;
    bool kept = false;
    task->fail = fail;
    task->result = rc;
    task->record = neutral ? RECORD_NEUTRAL : 0;
    if (neutral)
        yoke__policy_cut(group, service);
    else if (rc < 0)
        kept = record_failure(yoke__self()->rt, group, task, rc);
    if (!exact)
        return kept;
    if (kept)
        task->record |= RECORD_FAILURE; /* not yet queued: the owner reads it at the earliest then */
    return end_exactly(strand, group, task, rc) || kept;
}

void yoke__policy_body_slow(struct yoke_runtime *rt, struct yoke__group *group, int rc)
{
    bool first = false;
    if (rc == -ECANCELED && yoke__scope_cancelled(rt, &group->scope)) {
        note_cut(rt, group);
    } else if (rc < 0) {
        yoke__lock_acquire(&group->lock);
        first = first_failure_locked(group, rc);
        group->body = first ? YOKE__BODY_FIRST : YOKE__BODY_FAILED;
        yoke__lock_release(&group->lock);
    }
    if (first && group->policy == YOKE_ALL)
        yoke__scope_cancel(rt, &group->scope, YOKE__CANCEL_FAILURE, rc, group->scope.site);
    if (group->policy == YOKE_ANY) {
        yoke__lock_acquire(&group->lock);
        group->any.closing = true;
        bool verdict = judge_locked(group);
        yoke__lock_release(&group->lock);
        carry_out(rt, group, verdict, group->scope.site, yoke_task_id());
    }
}

/* ---- results, one by one ------------------------------------------------------------------------------------------------ */

static const struct yoke__waited on_result = { .what = "result of a child of group", .tell = yoke__group_tell };

/* Waits until there is a result or nobody alive. */
static int await_result(struct yoke__group *group)
{
    struct yoke__wait wait;
    yoke__wait_init_on(&wait, &on_result, group);
    int code = YOKE__FIRE_DONE, rc = yoke__wait_enlist(&wait);
    if (rc < 0)
        return rc;
    yoke__lock_acquire(&group->lock);
    bool there = group->results.queue.first != NULL || group->alive == 0;
    if (!there)
        group->results.wait = &wait;
    yoke__lock_release(&group->lock);
    if (!there) {
        code = yoke__wait_block(&wait);
        yoke__lock_acquire(&group->lock); /* who fires under it has let go of our frame */
        group->results.wait = NULL;
        yoke__lock_release(&group->lock);
    }
    yoke__wait_delist(&wait);
    return code == YOKE__FIRE_DONE ? 0 : -ECANCELED;
}

int yoke_group_next(yoke_group handle, yoke_done *done)
{
    struct yoke__worker *w = yoke__self();
    int err = yoke__group_check_owner(handle, w);
    if (err < 0)
        return err;
    struct yoke__group *group = handle.block;
    struct yoke__results *results = &group->results;
    if (!group->exact || !results->kept || done == NULL)
        return -EINVAL;
    if (yoke__scope_cancelled(w->rt, yoke__strand_scope(yoke__current(w))))
        return -ECANCELED;
    if (results->handed != NULL)
        drop(w, results->handed);
    results->handed = NULL;
    for (;;) {
        yoke__lock_acquire(&group->lock);
        struct yoke__task *task = queue_pop(&results->queue);
        bool none = task == NULL && group->alive == 0;
        yoke__lock_release(&group->lock);
        if (none)
            return -ENODATA;
        if (task != NULL) {
            describe_done(task, done);
            results->handed = task;
            return 0;
        }
        err = await_result(group);
        if (err < 0)
            return err;
    }
}

/* ---- the result of close ------------------------------------------------------------------------------------------------ */

/* Rows 2 to 4: what came from outside. True: *rc is the result. */
static bool cut_from_outside(struct yoke_runtime *rt, struct yoke__group *group, int *rc)
{
    struct yoke__scope *scope = &group->scope;
    uint32_t kind = yoke__load_acquire(&scope->cancel); /* a deadline or another task may still come; pairs with yoke__scope_mark_locked() */
    if ((group->cut & YOKE__CUT_OWN_DEADLINE) != 0 && yoke__scope_outermost_cancelled(rt, scope) == scope)
        *rc = -ETIMEDOUT;
    else if (kind == YOKE__CANCEL_ASKED || kind == YOKE__CANCEL_LEFT || kind == YOKE__CANCEL_STOP || kind == YOKE__CANCEL_GRACE)
        *rc = scope->reason;
    else if (group->cut != 0)
        *rc = -ECANCELED;
    else
        return false;
    return true;
}

/* The table of close, after all children have ended. */
static int result_of(struct yoke_runtime *rt, struct yoke__group *group, int rc)
{
    if (group->policy == YOKE_ANY ? group->any.verdict == YOKE__ANY_REACHED : false)
        return 0;
    if (group->policy == YOKE_ALL && group->failed)
        return group->first_code;
    if (group->policy == YOKE_COLLECT && group->body != YOKE__BODY_WELL)
        return rc;
    if (cut_from_outside(rt, group, &rc) || group->policy != YOKE_ANY)
        return rc;
    if (group->failed)
        return group->first_code;
    uint64_t spawned = (uint64_t)group->scope.head.spawned + group->member_spawned;
    return spawned < group->any.need ? -EINVAL : -ECANCELED; /* the others were cancelled by their handles */
}

static void describe_failure(const struct yoke__task *task, yoke_failure *out)
{
    yoke__fail_describe(task->fail, out);
    out->code = task->result;
    out->task = task->name;
    out->task_id = task->id;
    out->site = task->site;
}

static void fill_report(struct yoke__group *group, yoke_group_report *report)
{
    size_t n = 0;
    report->spawned = (uint64_t)group->scope.head.spawned + group->member_spawned + group->services_spawned;
    report->failed = group->failures;
    report->cancelled = group->cancelled;
    for (struct yoke__task *task = group->first_kept; task != NULL && n < report->capacity && report->failures != NULL;
         task = next_failed(task), n++) {
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
    if (task == NULL || task->result != rc || group->policy == YOKE_COLLECT)
        return;
    if (task->fail == NULL)
        task->fail = yoke__fail_new(w, task, rc);
    if (strand->fail != NULL)
        yoke__fail_free(w, strand->fail);
    strand->fail = task->fail;
    task->fail = NULL;
}

static void free_records(struct yoke__worker *w, struct yoke__group *group)
{
    struct yoke__task *task;
    if (group->exact) {
        while ((task = queue_pop(&group->results.queue)) != NULL)
            drop(w, task);
        if (group->results.handed != NULL)
            drop(w, group->results.handed);
    }
    while ((task = group->first_kept) != NULL) {
        group->first_kept = next_failed(task);
        free_record(w, task);
    }
}

int yoke__policy_result_slow(struct yoke__strand *strand, struct yoke__group *group, int rc, yoke_group_report *report)
{
    struct yoke__worker *w = yoke__self();
    rc = result_of(w->rt, group, rc);
    if (report != NULL)
        fill_report(group, report);
    if (group->failed && group->body != YOKE__BODY_FIRST)
        inherit_failure(w, strand, group, rc);
    free_records(w, group);
    return rc;
}

int yoke_group_failure(yoke_group handle, size_t index, yoke_failure *failure)
{
    int err = yoke__group_check_owner(handle, yoke__self());
    if (err < 0)
        return err;
    if (failure == NULL)
        return -EINVAL;
    struct yoke__group *group = handle.block;
    yoke__lock_acquire(&group->lock);
    struct yoke__task *task = group->first_kept;
    while (task != NULL && index-- > 0)
        task = next_failed(task);
    if (task != NULL)
        describe_failure(task, failure);
    yoke__lock_release(&group->lock);
    return task != NULL ? 0 : -ENODATA;
}
