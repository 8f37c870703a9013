/*
 * run.c - running what was found: tasks, forks, posts; and the loops that do it.
 *
 * All of it runs on a stack of the runtime's size, but what is to begin on a larger one: that is handed to such a stack (large.h), which runs it
 * and goes back to a loop.
 */
#include "run.h"

#include "fail.h"
#include "find.h"
#include "fork.h"
#include "group.h"
#include "large.h"
#include "post.h"
#include "runnable.h"
#include "runtime.h"
#include "scope.h"
#include "stop.h"
#include "task.h"
#include "unjoined.h"

void yoke__worker_flush_slow(struct yoke__worker *w)
{
    struct yoke__group *group = w->batch;
    int64_t n = w->batched;
    if (w->batch_spawned > 0)
        yoke__add_relaxed(&group->member_spawned, w->batch_spawned); /* a statistic; ordered by `live` and by what resumes who spawned them */
    if (w->batch_cancelled > 0)
        yoke__add_relaxed(&group->cancelled, w->batch_cancelled); /* as above */
    w->batch = NULL;
    w->batched = 0;
    w->batch_spawned = w->batch_cancelled = 0;
    if (n > 0) {
        struct yoke__fiber *owner = yoke__group_ended(w->rt, group, n);
        if (owner != NULL)
            yoke__ready_back(w, owner);
    }
}

/* The group is told with the next ones of its kind: see yoke__worker_flush() and its callers. */
static void count_end(struct yoke__worker *w, struct yoke__group *group)
{
    yoke__worker_batch(w, group);
    w->batched++;
}

static struct yoke__worker *call_task(struct yoke__worker *w, struct yoke__task *task)
{
    bool pinned = task->flags & YOKE__TASK_PINNED;
    if (pinned)
        w->fiber->pin = w;
    w = yoke__task_call(w, task);
    w->head.strand = NULL;
    if (pinned)
        w->fiber->pin = NULL;
    return w;
}

static void run_task(struct yoke__worker *w, struct yoke__task *task)
{
    struct yoke__group *group = task->group;
    if (w->batch != group)
        yoke__worker_flush(w);
    w = call_task(w, task);
    count_end(w, group);
}

static void run_service(struct yoke__worker *w, struct yoke__task *task)
{
    struct yoke__group *group = task->group;
    yoke__worker_flush(w);
    w = call_task(w, task);
    yoke__worker_flush(w); /* that it was cancelled */
    struct yoke__fiber *owner = yoke__group_service_ended(group);
    if (owner != NULL)
        yoke__ready(w->rt, owner);
}

/* The root: it has no group; its end is the run's. */
static void run_main(struct yoke__worker *w, struct yoke__task *task)
{
    struct yoke_runtime *rt = w->rt;
    struct yoke__strand strand;
    yoke__task_strand(&strand, task, &rt->root);
    rt->root.head.owner = &strand.head;
    w->head.strand = &strand.head;
    int body = yoke__task_finish(&strand, task->fn(task->arg));
    yoke__scope_retire(rt, &rt->root); /* a signal that comes now is too late */
    int rc = body == -ECANCELED && rt->root.cancel != YOKE__CANCEL_NONE ? rt->root.reason : body;
    (void)yoke__stop_tell(rt, &rt->root, body);
    bool deadlocked = yoke__load_acquire(&rt->deadlocked) != 0; /* pairs with yoke__deadlock_look(), which has reported it */
    char origin[YOKE__ORIGIN_MAX] = "";
    if (body == -ECANCELED)
        (void)yoke__scope_origin(&rt->root, origin, sizeof origin);
    if (rc < 0 && !(deadlocked && body == -ECANCELED))
        yoke__fail_report(rt, task, rc, strand.fail != NULL && strand.fail->code == rc ? strand.fail : NULL, origin);
    w = yoke__self();
    if (strand.fail != NULL)
        yoke__fail_free(w, strand.fail);
    w->head.strand = NULL;
    rt->result = deadlocked ? -EDEADLK : rc;
    yoke__store_release(&rt->finished, YOKE__FINISHED); /* pairs with runtime_end() in runtime.c */
    yoke__os_futex_wake(&rt->finished, 1);
}

struct yoke__group *yoke__node_group(struct yoke__node *node)
{
    if (node->kind == YOKE__NODE_TASK || node->kind == YOKE__NODE_SERVICE)
        return yoke__container(node, struct yoke__task, node)->group;
    return node->kind == YOKE__NODE_POST ? yoke__post_group(node) : NULL;
}

unsigned yoke__node_large(struct yoke__node *node)
{
    if (node->kind == YOKE__NODE_FIBER)
        return 0;
    if (yoke__node_is_fork(node))
        return yoke__fork_large(yoke__fork_of_node(node));
    const struct yoke__group *group = yoke__node_group(node);
    return group != NULL ? group->scope.large : 0;
}

/* From a scheduler loop; returns when it, or somebody else who came to an end on this worker, is back in one. */
static void begin_on_large(struct yoke__worker *w, struct yoke__node *node, unsigned large)
{
    struct yoke__fiber *to = yoke__large_take(w, large, node);
    if (to == NULL)
        return;
    w->handed = node;
    yoke__switch_to(w, to, yoke__spare_hook, NULL);
}

static void run_fork(struct yoke__worker *w, yoke_forked *fork, bool typed)
{
    yoke__worker_flush(w);
    yoke__fork_run(w, fork, typed);
    w = yoke__self();
    w->head.strand = NULL;
    yoke__worker_flush(w); /* what it has spawned: the group may end before anything else is run here */
}

void yoke__run_node(struct yoke__worker *w, struct yoke__node *node)
{
    unsigned large = yoke__node_large(node);
    if (yoke__unlikely(large != w->fiber->large && large > 0)) {
        begin_on_large(w, node, large);
        return;
    }
    switch ((enum yoke__node_kind)node->kind) {
    case YOKE__NODE_FIBER:
        yoke__resume(w, yoke__container(node, struct yoke__fiber, node));
        return;
    case YOKE__NODE_TASK: {
        struct yoke__task *task = yoke__container(node, struct yoke__task, node);
        if (task->group == NULL)
            run_main(w, task);
        else
            run_task(w, task);
        return;
    }
    case YOKE__NODE_POST: {
        yoke__worker_flush(w);
        struct yoke__group *group = yoke__post_run(w, node);
        w = yoke__self();
        w->head.strand = NULL;
        count_end(w, group);
        return;
    }
    case YOKE__NODE_SERVICE:
        run_service(w, yoke__container(node, struct yoke__task, node));
        return;
    case YOKE__NODE_SIGNAL:
        yoke__signal_arrived(w->rt, node);
        return;
    case YOKE__NODE_FORK:
    case YOKE__NODE_FORK_TYPED:
    case YOKE__NODE_FORK_DEEP:
        run_fork(w, yoke__fork_of_node(node), node->kind == YOKE__NODE_FORK_TYPED);
        return;
    }
}

static bool is_task(const void *item)
{
    return ((uintptr_t)item & YOKE__TAG_MASK) == YOKE__TAG_TASK;
}

/*
 * Was it worth taking it from another worker? Tasks that run shorter than it takes to take them slow their owner down: who has taken such a
 * one keeps away for a while, twice as long each time.
 */
static bool worth_taking(struct yoke__worker *w, int64_t ns)
{
    enum { WORTH_NS = 100, SHY_LOOKS = 4, SHY_MOST = 8 };
    if (ns >= WORTH_NS) {
        w->shy = 1;
        return true;
    }
    yoke__worker_flush(w); /* somebody may wait for just these */
    for (unsigned i = 0; i < w->shy * SHY_LOOKS; i++)
        yoke__relax();
    w->shy = 2 * w->shy < SHY_MOST ? 2 * w->shy : SHY_MOST;
    return false;
}

/*
 * A task out of the deque, and those that lie there next, or in that of the one robbed last, as long as nobody else waits for this worker
 * (or the deque is to be thinned out). None of them is pinned. What is not a task is returned.
 */
static void *run_tasks(struct yoke__worker *w, void *item, bool taken)
{
    struct yoke__strand strand;
    struct yoke__group *group = NULL;
    uint32_t thinning = w->thinning;
    w->thinning = 0;
    do {
        struct yoke__task *task = (struct yoke__task *)(void *)((char *)item - YOKE__TAG_TASK);
        if (task->group != group) {
            group = task->group;
            yoke__task_strand(&strand, NULL, &group->scope);
        }
        if (w->batch != group)
            yoke__worker_flush(w);
        w->head.strand = &strand.head;
        int64_t begin = taken ? (int64_t)yoke__os_now() : 0;
        w = yoke__task_call_on(w, &strand, task);
        w->head.strand = NULL;
        count_end(w, group);
        if (thinning > 0 ? yoke__worker_look_is_due(--thinning) && (thinning == 0 || yoke__worker_events_wait(w)) : yoke__worker_others_wait(w)) {
            yoke__unjoined_next(w, &strand);
            return NULL;
        }
        item = yoke__deque_pop(&w->head.deque);
        if (item == NULL) {
            if (!taken || w->robbed == NULL || !worth_taking(w, (int64_t)yoke__os_now() - begin) ||
                yoke__deque_steal(&w->robbed->head.deque, &item) != YOKE__STEAL_GOT)
                return NULL;
        } else {
            taken = false;
        }
    } while (is_task(item));
    yoke__unjoined_popped(w, item, &strand, strand.task);
    yoke__unjoined_of_ended(item, &strand);
    return item;
}

static void run_item(struct yoke__worker *w, void *item, bool taken)
{
    if (is_task(item) && (item = run_tasks(w, item, taken)) == NULL)
        return;
    w = yoke__self();
    if (yoke__unlikely(((uintptr_t)item & YOKE__TAG_MASK) == YOKE__TAG_LARGE)) {
        struct yoke__task *task = (struct yoke__task *)(void *)((char *)item - YOKE__TAG_LARGE);
        task->node.kind = YOKE__NODE_TASK;
        begin_on_large(w, &task->node, task->group->scope.large);
        return;
    }
    bool typed = ((uintptr_t)item & YOKE__TAG_MASK) == YOKE__TAG_TYPED;
    yoke_forked *fork = (yoke_forked *)(void *)((char *)item - (typed ? YOKE__TAG_TYPED : YOKE__TAG_FORK));
    unsigned large = yoke__fork_large(fork);
    if (yoke__unlikely(large > 0))
        begin_on_large(w, yoke__fork_node(fork, typed), large);
    else
        run_fork(w, fork, typed);
}

/* ---- the loops -------------------------------------------------------------------------------------------------------- */

void yoke__worker_loop(void *handoff)
{
    const struct yoke__handoff *from = handoff;
    yoke__fiber_arrived(from->to);
    yoke__arrive(from);
    for (;;) {
        struct yoke__worker *w = yoke__self();
        struct yoke__found f = yoke__find_work(w);
        if (f.item != NULL)
            run_item(w, f.item, f.taken);
        else if (f.fiber != NULL)
            yoke__resume(w, f.fiber);
        else if (f.node != NULL)
            yoke__run_node(w, f.node);
        else
            yoke__switch_to(w, &w->native, yoke__spare_hook, NULL); /* stopping */
    }
}

static void large_hook(struct yoke__worker *w, struct yoke__fiber *left, void *arg)
{
    (void)arg;
    yoke__large_keep(w->rt, left);
}

void yoke__worker_large(void *handoff)
{
    const struct yoke__handoff *from = handoff;
    yoke__fiber_arrived(from->to);
    yoke__arrive(from);
    for (;;) {
        struct yoke__worker *w = yoke__self();
        yoke__run_node(w, w->handed);
        w = yoke__self();
        struct yoke__fiber *to = yoke__spare_take(w);
        yoke__switch_to(w, to != NULL ? to : &w->native, large_hook, NULL);
    }
}
