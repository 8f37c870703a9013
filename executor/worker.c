/*
 * worker.c - the scheduler.
 *
 * A worker's loop runs on a pooled fiber and calls task functions directly on it: no stack and no switch for a task that never
 * blocks. When one blocks, the fiber is left with everything on it (the loop's frame at its bottom), and the worker goes on in the
 * loop of a spare fiber, or straight on the next woken one. When the task is made runnable, some worker leaves its own loop fiber
 * (which becomes a spare) and resumes it; when the task's function returns, the loop beneath it goes on, now on that worker.
 * Hence: after any call that may switch, the worker must be asked for anew (yoke__self), and nothing thread-local may be kept.
 *
 * A left stack is published only by a hook that runs after the switch, on the next stack.
 *
 * Order of looking for work: what is pinned here; woken fibers, first in first out; the own deque, last in first out; what other
 * threads injected; other workers. After eight woken fibers the deque goes first once, and every 61st time the injected work before all,
 * so that none of them starves.
 *
 * Without memory for a stack the worker falls back to its thread's own stack, where it resumes woken fibers only and tries again
 * for a stack: waits that may fail say -ENOMEM instead (yoke__worker_reserve), those that may not (close, join) end up there.
 */
#include "worker.h"

#include "fail.h"
#include "fork.h"
#include "group.h"
#include "park.h"
#include "post.h"
#include "report.h"
#include "runtime.h"
#include "scope.h"
#include "task.h"
#include "wait.h"

enum { WOKEN_IN_A_ROW = 8, SPARES_KEPT = 32, ASK_NS = 50 * 1000, NO_STACK_RETRY_NS = 1000 * 1000 };

static void loop(void *handoff);

/* ---- stacks ----------------------------------------------------------------------------------------------------------- */

static struct yoke__fiber *take_spare(struct yoke__worker *w)
{
    struct yoke_runtime *rt = w->rt;
    struct yoke__fiber *fiber = w->spare;
    if (yoke__likely(fiber != NULL)) {
        w->spare = fiber->next;
        w->spares--;
        return fiber;
    }
    if (yoke__load_relaxed(&rt->fibers) != NULL) { /* a hint; the list is read under its lock */
        yoke__lock_acquire(&rt->fibers_lock);
        fiber = rt->fibers;
        if (fiber != NULL)
            yoke__store_relaxed(&rt->fibers, fiber->next);
        yoke__lock_release(&rt->fibers_lock);
    }
    return fiber != NULL ? fiber : yoke__fiber_create(&rt->stacks, loop);
}

static void keep_spare(struct yoke__worker *w, struct yoke__fiber *fiber)
{
    struct yoke_runtime *rt = w->rt;
    if (yoke__likely(w->spares < SPARES_KEPT)) {
        fiber->next = w->spare;
        w->spare = fiber;
        w->spares++;
        return;
    }
    yoke__lock_acquire(&rt->fibers_lock);
    fiber->next = rt->fibers;
    yoke__store_relaxed(&rt->fibers, fiber); /* read as a hint in take_spare() */
    yoke__lock_release(&rt->fibers_lock);
}

bool yoke__worker_reserve(struct yoke__worker *w)
{
    if (yoke__likely(w->spare != NULL))
        return true;
    struct yoke__fiber *fiber = take_spare(w);
    if (fiber == NULL)
        return false;
    keep_spare(w, fiber);
    return true;
}

/* ---- switching -------------------------------------------------------------------------------------------------------- */

struct handoff {
    yoke__hook hook;
    void *arg;
    struct yoke__fiber *left, *to;
};

/* The first thing on a stack that has just been entered. */
static void arrive(const struct handoff *from)
{
    struct yoke__worker *w = yoke__self();
    struct yoke__fiber *me = from->to;
    w->fiber = me;
    w->head.strand = me->strand;
    w->stack_half = me->half;
    w->head.stack_low = w->rt->config.debug ? UINTPTR_MAX : me->half;
    w->head.floor = w->head.deque.bottom; /* what lies below was forked under a scope unknown here */
    from->hook(w, from->left, from->arg);
}

static void switch_to(struct yoke__worker *w, struct yoke__fiber *to, yoke__hook hook, void *arg)
{
    struct yoke__fiber *me = w->fiber;
    struct handoff handoff = { .hook = hook, .arg = arg, .left = me, .to = to };
    me->strand = w->head.strand;
    arrive(yoke__fiber_switch(me, to, &handoff));
}

static void spare_hook(struct yoke__worker *w, struct yoke__fiber *left, void *arg)
{
    (void)arg;
    if (left != &w->native)
        keep_spare(w, left);
}

static struct yoke__fiber *take_ready(struct yoke__worker *w)
{
    void *fiber;
    enum yoke__steal got;
    while ((got = yoke__deque_steal(&w->ready, &fiber)) == YOKE__STEAL_LOST)
        ;
    if (got != YOKE__STEAL_GOT)
        return NULL;
    w->woken_run++;
    return fiber;
}

void yoke__suspend(yoke__hook hook, void *arg)
{
    struct yoke__worker *w = yoke__self();
    yoke__worker_flush(w);
    struct yoke__fiber *to = w->woken_run < WOKEN_IN_A_ROW ? take_ready(w) : NULL;
    if (to == NULL)
        to = take_spare(w);
    if (yoke__unlikely(to == NULL))
        to = &w->native;
    switch_to(w, to, hook, arg);
}

/* ---- making runnable ---------------------------------------------------------------------------------------------------- */

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
    yoke__wake_one(rt);
}

void yoke__ready_on(struct yoke__worker *w, struct yoke__fiber *fiber)
{
    if (yoke__unlikely(fiber->pin != NULL)) {
        fiber->node.kind = YOKE__NODE_FIBER;
        yoke__worker_post(fiber->pin, &fiber->node);
        return;
    }
    if (yoke__unlikely(yoke__deque_push_public(&w->ready, fiber) < 0)) { /* no memory to grow: the inbox needs none */
        fiber->node.kind = YOKE__NODE_FIBER;
        yoke__runtime_post(w->rt, &fiber->node);
        return;
    }
    yoke__wake_one(w->rt);
}

void yoke__ready(struct yoke_runtime *rt, struct yoke__fiber *fiber)
{
    struct yoke__worker *w = yoke__self();
    if (w != NULL && w->rt == rt) {
        yoke__ready_on(w, fiber);
        return;
    }
    fiber->node.kind = YOKE__NODE_FIBER;
    if (fiber->pin != NULL)
        yoke__worker_post(fiber->pin, &fiber->node);
    else
        yoke__runtime_post(rt, &fiber->node);
}

void yoke__ready_list(struct yoke_runtime *rt, struct yoke__fiber *first)
{
    while (first != NULL) {
        struct yoke__fiber *fiber = first;
        first = fiber->next;
        yoke__ready(rt, fiber);
    }
}

bool yoke__worker_others_wait(struct yoke__worker *w)
{
    return yoke__deque_any(&w->ready) || w->pinned != NULL || !yoke__inbox_empty(&w->inbox) || !yoke__inbox_empty(&w->rt->inject);
}

/* ---- running ---------------------------------------------------------------------------------------------------------- */

void yoke__worker_flush(struct yoke__worker *w)
{
    struct yoke__group *group = w->batch;
    int64_t n = w->batched;
    if (group == NULL)
        return;
    w->batch = NULL;
    w->batched = 0;
    if (n > 0) {
        struct yoke__fiber *owner = yoke__group_ended(group, n);
        if (owner != NULL)
            yoke__ready(w->rt, owner);
    }
}

/* The group is told with the next ones of its kind: see yoke__worker_flush() and its callers. */
static void count_end(struct yoke__worker *w, struct yoke__group *group)
{
    if (w->batch != group) {
        yoke__worker_flush(w);
        w->batch = group;
    }
    w->batched++;
}

static void run_task(struct yoke__worker *w, struct yoke__task *task)
{
    struct yoke__group *group = task->group;
    if (w->batch != group)
        yoke__worker_flush(w);
    bool pinned = task->flags & YOKE__TASK_PINNED;
    if (pinned)
        w->fiber->pin = w;
    yoke__task_call(w, task);
    w = yoke__self();
    w->head.strand = NULL;
    if (pinned)
        w->fiber->pin = NULL;
    count_end(w, group);
}

/* The root: it has no group; its end is the run's. */
static void run_main(struct yoke__worker *w, struct yoke__task *task)
{
    struct yoke_runtime *rt = w->rt;
    struct yoke__strand strand;
    yoke__task_strand(&strand, task, &rt->root);
    w->head.strand = &strand.head;
    int rc = yoke__task_finish(&strand, task->fn(task->arg));
    if (rc < 0)
        yoke__fail_report(rt, task, rc, strand.fail != NULL && strand.fail->code == rc ? strand.fail : NULL);
    yoke__self()->head.strand = NULL;
    rt->result = rc;
    yoke__store_release(&rt->finished, 1); /* pairs with yoke__runtime_wait() */
    yoke__os_futex_wake(&rt->finished, 1);
}

static void run_node(struct yoke__worker *w, struct yoke__node *node)
{
    switch ((enum yoke__node_kind)node->kind) {
    case YOKE__NODE_FIBER:
        switch_to(w, yoke__container(node, struct yoke__fiber, node), spare_hook, NULL);
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
        struct yoke__group *group = yoke__post_run(w, node);
        w = yoke__self();
        w->head.strand = NULL;
        count_end(w, group);
        return;
    }
    case YOKE__NODE_SIGNAL:
        yoke__scope_cancel(w->rt, &w->rt->root, YOKE__CANCEL_SHUTDOWN, -ECANCELED, NULL);
        return;
    }
}

static void run_item(struct yoke__worker *w, void *item)
{
    if (((uintptr_t)item & YOKE__TAG_MASK) == YOKE__TAG_TASK) {
        run_task(w, (struct yoke__task *)(void *)((char *)item - YOKE__TAG_TASK));
        return;
    }
    yoke__worker_flush(w);
    bool typed = ((uintptr_t)item & YOKE__TAG_MASK) == YOKE__TAG_TYPED;
    yoke__fork_run(w, (yoke_forked *)(void *)((char *)item - (typed ? YOKE__TAG_TYPED : YOKE__TAG_FORK)), typed);
    yoke__self()->head.strand = NULL;
}

/* ---- finding work ------------------------------------------------------------------------------------------------------- */

/* Exactly one of the three is set, or none. */
struct found {
    struct yoke__fiber *fiber;
    void *item;
    struct yoke__node *node;
};

static bool any_found(const struct found *f)
{
    return f->fiber != NULL || f->item != NULL || f->node != NULL;
}

/* Injected work comes as a batch: one is for now, the rest is made visible to all. */
static struct yoke__node *take_injected(struct yoke__worker *w)
{
    struct yoke__node *node = yoke__inbox_take(&w->rt->inject);
    if (node == NULL)
        return NULL;
    struct yoke__node *rest = yoke__node_next(node);
    while (rest != NULL) {
        struct yoke__node *next = yoke__node_next(rest);
        if (rest->kind == YOKE__NODE_FIBER)
            yoke__ready_on(w, yoke__container(rest, struct yoke__fiber, node));
        else
            yoke__runtime_post(w->rt, rest);
        rest = next;
    }
    return node;
}

static struct yoke__node *take_pinned(struct yoke__worker *w)
{
    if (w->pinned == NULL)
        w->pinned = yoke__inbox_take(&w->inbox);
    struct yoke__node *node = w->pinned;
    if (node != NULL)
        w->pinned = yoke__node_next(node);
    return node;
}

static struct found find_here(struct yoke__worker *w)
{
    struct found f = { NULL, NULL, NULL };
    uint32_t tick = ++w->tick;
    if (yoke__unlikely(tick % 61 == 0) && (f.node = take_injected(w)) != NULL)
        return f;
    if ((f.node = take_pinned(w)) != NULL)
        return f;
    if (yoke__unlikely(w->woken_run >= WOKEN_IN_A_ROW)) {
        w->woken_run = 0;
        if ((f.item = yoke__deque_pop(&w->head.deque)) != NULL)
            return f;
    }
    if ((f.fiber = take_ready(w)) != NULL)
        return f;
    if ((f.item = yoke__deque_pop(&w->head.deque)) != NULL)
        return f;
    f.node = take_injected(w);
    return f;
}

/* One victim. *again: worth another look at once; *hidden: it has work that it keeps private. */
static struct found rob(struct yoke__worker *victim, bool *again, bool *hidden)
{
    struct found f = { NULL, NULL, NULL };
    void *got;
    switch (yoke__deque_steal(&victim->head.deque, &got)) {
    case YOKE__STEAL_GOT:
        f.item = got;
        return f;
    case YOKE__STEAL_LOST:
        *again = true;
        break;
    case YOKE__STEAL_HIDDEN:
        *hidden = true;
        yoke__deque_ask(&victim->head.deque);
        break;
    case YOKE__STEAL_EMPTY:
        break;
    }
    switch (yoke__deque_steal(&victim->ready, &got)) {
    case YOKE__STEAL_GOT:
        f.fiber = got;
        break;
    case YOKE__STEAL_LOST:
        *again = true;
        break;
    default:
        break;
    }
    return f;
}

static uint32_t next_random(struct yoke__worker *w)
{
    uint32_t x = w->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return w->random = x;
}

/* All victims, near ones first, beginning at random among equally near ones. */
static struct found rob_all(struct yoke__worker *w, bool *again, bool *hidden)
{
    struct found f = { NULL, NULL, NULL };
    int begin = 0;
    for (int level = 0; level < w->nlevels; level++) {
        int n = w->levels[level] - begin;
        int at = n > 1 ? (int)(next_random(w) % (uint32_t)n) : 0;
        for (int i = 0; i < n; i++) {
            f = rob(w->rt->workers[w->victims[begin + (at + i) % n]], again, hidden);
            if (any_found(&f))
                return f;
        }
        begin = w->levels[level];
    }
    return f;
}

/* Raises the split of everybody who has not answered. */
static void raise_all(struct yoke__worker *w)
{
    for (int i = 0; i < w->rt->nworkers; i++)
        if (i != w->index)
            yoke__deque_raise(&w->rt->workers[i]->head.deque);
}

static void relax(void)
{
    for (int i = 0; i < 32; i++)
        __builtin_ia32_pause();
}

/* Looks everywhere for a bounded time. */
static struct found search(struct yoke__worker *w)
{
    struct yoke_runtime *rt = w->rt;
    int64_t begin = (int64_t)yoke__os_now();
    for (;;) {
        bool again = false, hidden = false;
        struct found f = find_here(w);
        if (!any_found(&f))
            f = rob_all(w, &again, &hidden);
        if (any_found(&f) || yoke__load_acquire(&rt->stopping) != 0) /* pairs with yoke__runtime_end() */
            return f;
        if (again)
            continue;
        int64_t now = (int64_t)yoke__os_now();
        if (!hidden) {
            w->asked_since = 0;
            if (now - begin >= rt->spin_ns)
                return f;
        } else if (w->asked_since == 0) {
            w->asked_since = now;
        } else if (now - w->asked_since >= ASK_NS) {
            raise_all(w);
            w->asked_since = now;
            continue;
        }
        relax();
    }
}

static struct found find_work(struct yoke__worker *w)
{
    struct found f = find_here(w);
    if (any_found(&f))
        return f;
    yoke__worker_flush(w);
    for (;;) {
        if (yoke__search_begin(w)) {
            f = search(w);
            if (any_found(&f)) {
                yoke__search_end(w);
                return f;
            }
        }
        if (yoke__load_acquire(&w->rt->stopping) != 0) { /* pairs with yoke__runtime_end() */
            yoke__search_end(w);
            return f;
        }
        yoke__park(w);
    }
}

/* ---- the loop --------------------------------------------------------------------------------------------------------- */

/* Every pooled fiber begins here and never returns. */
static void loop(void *handoff)
{
    const struct handoff *from = handoff;
    yoke__fiber_arrived(from->to);
    arrive(from);
    for (;;) {
        struct yoke__worker *w = yoke__self();
        struct found f = find_work(w);
        if (f.item != NULL)
            run_item(w, f.item);
        else if (f.fiber != NULL)
            switch_to(w, f.fiber, spare_hook, NULL);
        else if (f.node != NULL)
            run_node(w, f.node);
        else
            switch_to(w, &w->native, spare_hook, NULL); /* stopping */
    }
}

void *yoke__worker_main(void *worker)
{
    struct yoke__worker *w = worker;
    struct yoke_runtime *rt = w->rt;
    yoke__set_self(w);
    yoke__fiber_adopt_thread(&w->native);
    w->fiber = &w->native;
    void *signal_stack = NULL;
    if (rt->config.overflow_handler && yoke__overflow_enter_thread(&signal_stack) < 0)
        yoke__report(rt, "worker %d: no memory for an alternate signal stack: overflows will not be reported", w->index);
    int rc = w->cpus == NULL ? 0 : yoke__os_bind_self(w->cpus, sizeof *w->cpus);
    if (rc < 0)
        yoke__report(rt, "worker %d could not be bound: %s", w->index, yoke__code_text(rc).text);
    /* acquire: pairs with yoke__runtime_end() */
    while (yoke__load_acquire(&rt->stopping) == 0) {
        struct yoke__fiber *to = take_spare(w);
        if (to == NULL)
            to = take_ready(w);
        if (to == NULL) {
            struct yoke__node *node = yoke__inbox_empty(&rt->inject) ? NULL : take_injected(w);
            if (node != NULL && node->kind == YOKE__NODE_FIBER)
                to = yoke__container(node, struct yoke__fiber, node);
            else if (node != NULL)
                yoke__inbox_push(&rt->inject, node);
        }
        if (to != NULL) {
            switch_to(w, to, spare_hook, NULL);
            continue;
        }
        /* No memory for a stack, and nothing to resume: nobody tells when there is memory again. */
        uint32_t never = 0;
        yoke__os_futex_wait(&never, 0, yoke__os_now() + NO_STACK_RETRY_NS);
    }
    yoke__overflow_leave_thread(signal_stack);
    yoke__set_self(NULL);
    return NULL;
}

int yoke__worker_create(struct yoke_runtime *rt, int index)
{
    struct yoke__worker *w = yoke__os_alloc(sizeof *w, 64);
    if (w == NULL)
        return -ENOMEM;
    *w = (struct yoke__worker){ .rt = rt, .index = index, .random = 2463534242u + (uint32_t)index * 7919u };
    w->head.epoch = &rt->epoch;
    w->run_id = rt->run_id;
    yoke__inbox_init(&w->inbox);
    int rc = yoke__deque_init(&w->head.deque, !rt->membarrier);
    if (rc == 0 && (rc = yoke__deque_init(&w->ready, !rt->membarrier)) < 0)
        yoke__deque_destroy(&w->head.deque);
    if (rc < 0) {
        yoke__os_free(w);
        return rc;
    }
    yoke__deque_set_base(&w->head.deque, YOKE__FORK_QUEUED + ((int64_t)(index + 1) << 48)); /* no index twice in the runtime: fork.c */
    if (rt->config.debug)
        yoke__deque_slow_only(&w->head.deque);
    w->spare = yoke__fiber_create(&rt->stacks, loop);
    if (w->spare == NULL) {
        yoke__deque_destroy(&w->head.deque);
        yoke__deque_destroy(&w->ready);
        yoke__os_free(w);
        return -ENOMEM;
    }
    w->spares = 1;
    rt->workers[index] = w;
    return 0;
}

void yoke__worker_destroy(struct yoke__worker *w)
{
    while (w->spare != NULL) {
        struct yoke__fiber *fiber = w->spare;
        w->spare = fiber->next;
        yoke__fiber_retire(fiber);
    }
    yoke__deque_destroy(&w->head.deque);
    yoke__deque_destroy(&w->ready);
    yoke__os_free(w);
}
