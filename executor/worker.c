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
 * The loop runs on stacks of the runtime's size only. What is to begin on a larger one is handed to such a stack (large.h), which runs it and
 * goes back to a loop.
 *
 * Order of looking for work: what is pinned here; in turns, woken fibers, first in first out, and what other threads injected, which is
 * mostly fibers that I/O or a timer woke; the own deque, last in first out; other workers. After eight of the woken and injected the
 * deque goes first once, so that none of them starves. If a spawn finds the deque overfull, some of it goes first too. While woken
 * fibers are run without a pause there is a look for events now and then.
 *
 * Without memory for a stack the worker falls back to its thread's own stack, where it begins nothing, but goes on with what has begun
 * and was woken (find_started), wherever it waits, and tries again for a stack: waits that may fail say -ENOMEM instead
 * (yoke__worker_reserve), those that may not (close, join) end up there. What has begun gives its stack back when it ends.
 */
#include "worker.h"

#include "fail.h"
#include "fork.h"
#include "group.h"
#include "large.h"
#include "nosuspend.h"
#include "park.h"
#include "post.h"
#include "report.h"
#include "runtime.h"
#include "scope.h"
#include "stop.h"
#include "task.h"
#include "wait.h"

enum { WOKEN_IN_A_ROW = 8, LOOK_NS = 100 * 1000, SPARES = 32, THIN_OUT = 64, ASK_NS = 50 * 1000, NO_STACK_RETRY_NS = 1000 * 1000 };

static void loop(void *handoff);

/* ---- stacks ----------------------------------------------------------------------------------------------------------- */

/*
 * Spares are kept in chains: one in use, and a whole one, so that the runtime's list, which is locked, is asked for one chain in many takes,
 * also if they go to and fro around the end of a chain. Last used, first taken.
 */
static struct yoke__fiber *take_chain(struct yoke_runtime *rt)
{
    struct yoke__fiber *chain = yoke__load_relaxed(&rt->fibers); /* a hint; the list is read under its lock */
    if (chain == NULL)
        return NULL;
    yoke__lock_acquire(&rt->fibers_lock);
    chain = rt->fibers;
    if (chain != NULL)
        yoke__store_relaxed(&rt->fibers, *yoke__worker_next_chain(chain));
    yoke__lock_release(&rt->fibers_lock);
    return chain;
}

static struct yoke__fiber *take_spare(struct yoke__worker *w)
{
    if (yoke__unlikely(w->spare == NULL)) {
        w->spare = w->spare_chain != NULL ? w->spare_chain : take_chain(w->rt);
        w->spare_chain = NULL;
        w->spares = w->spare != NULL ? SPARES : 0;
    }
    struct yoke__fiber *fiber = w->spare;
    if (yoke__unlikely(fiber == NULL))
        return yoke__fiber_create(&w->rt->stacks, loop);
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
            *yoke__worker_next_chain(chain) = rt->fibers;
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
    w->head.stack_low = me->half | w->low_mask;
    w->head.floor = w->head.deque.bottom; /* what lies below was forked under a scope unknown here */
    from->hook(w, from->left, from->arg);
}

/* Not inlined: the one call of yoke__switch(), see there. */
static __attribute__((noinline)) void switch_to(struct yoke__worker *w, struct yoke__fiber *to, yoke__hook hook, void *arg)
{
    struct yoke__fiber *me = w->fiber;
    struct handoff handoff = { .hook = hook, .arg = arg, .left = me, .to = to };
    me->strand = w->head.strand;
    me->last = w;
    arrive(yoke__fiber_switch(me, to, &handoff));
}

static void spare_hook(struct yoke__worker *w, struct yoke__fiber *left, void *arg)
{
    (void)arg;
    if (left == &w->native)
        return;
    if (yoke__unlikely(left->unguarded) && !yoke__stack_canary_intact(left->base))
        yoke__panic("a stack of %zu bytes has overflowed (found when it was left)", w->rt->stacks.stack_size);
    keep_spare(w, left);
}

/*
 * On their way from a public queue to a ring fibers are in neither for a moment, and a parker's second look may fall into it: so whoever takes some
 * along looks for sleepers afterwards, as after a push. `tail`: the ring's before that.
 */
static void taken_along(struct yoke__worker *w, uint32_t tail)
{
    if (yoke__unlikely(yoke__load_relaxed(&w->ready.tail) != tail)) /* the owner's */
        yoke__wake_one(w->rt);
}

static struct yoke__fiber *take_ready(struct yoke__worker *w)
{
    uint32_t tail = yoke__load_relaxed(&w->ready.tail); /* the owner's */
    struct yoke__fiber *fiber = yoke__ready_take(&w->ready, yoke__anybody_idle(w->rt));
    taken_along(w, tail);
    if (fiber != NULL)
        w->woken_run++;
    return fiber;
}

/* Something pinned here, or injected. */
static bool any_node(struct yoke__worker *w)
{
    return w->pinned != NULL || !yoke__inbox_empty(&w->inbox) || yoke__injected_any(w->rt);
}

bool yoke__worker_others_wait(struct yoke__worker *w)
{
    return yoke__ready_any(&w->ready) || any_node(w);
}

/* After a row of woken fibers. The first one since the poll was left sets the time. */
static bool look_is_due(struct yoke__worker *w)
{
    if (!yoke__service_has_poll(&w->rt->service))
        return false;
    int64_t now = (int64_t)yoke__os_now();
    if (w->look_at == 0)
        w->look_at = now + LOOK_NS;
    return now >= w->look_at;
}

/* After a row of woken fibers: is there anything else to turn to? If not, another row begins. */
static bool turn_of_others(struct yoke__worker *w)
{
    if (yoke__likely(w->woken_run < WOKEN_IN_A_ROW))
        return false;
    if (yoke__deque_any(&w->head.deque) || any_node(w) || look_is_due(w))
        return true;
    w->woken_run = 0;
    return false;
}

/* The next woken fiber, for going on with it straight on; NULL: there is none, or it is the turn of others. */
static struct yoke__fiber *next_woken(struct yoke__worker *w)
{
    return turn_of_others(w) ? NULL : take_ready(w);
}

static void exchange_hook(struct yoke__worker *w, struct yoke__fiber *left, void *arg)
{
    (void)left;
    (void)arg;
    yoke__ready_leave(&w->ready);
    yoke__wake_one(w->rt);
}

static void yield_hook(struct yoke__worker *w, struct yoke__fiber *left, void *arg)
{
    (void)arg;
    yoke__ready_on(w, left);
}

int yoke__worker_yield(struct yoke__worker *w)
{
    struct yoke__fiber *to;
    if (yoke__unlikely(w->fiber->nosuspend != NULL))
        yoke__nosuspend_report(w, "yield");
    yoke__worker_flush(w);
    if (!yoke__worker_others_wait(w) && !yoke__deque_any(&w->head.deque) && !w->rt->migrate)
        return 0;
    if (yoke__likely(w->fiber->pin == NULL && !yoke__anybody_idle(w->rt)) && !turn_of_others(w) &&
        (to = yoke__ready_exchange(&w->ready, w->fiber)) != NULL) {
        w->woken_run++;
        switch_to(w, to, exchange_hook, NULL);
        return 0;
    }
    to = next_woken(w);
    if (to == NULL)
        to = take_spare(w);
    if (yoke__unlikely(to == NULL))
        return -ENOMEM;
    switch_to(w, to, yield_hook, NULL);
    return 0;
}

void yoke__worker_thin_out(struct yoke__worker *w)
{
    struct yoke__fiber *to = w->fiber->pin == NULL && w->fiber->nosuspend == NULL ? take_spare(w) : NULL;
    if (to == NULL)
        return;
    yoke__worker_flush(w);
    w->thinning = THIN_OUT;
    switch_to(w, to, yield_hook, NULL);
}

void yoke__suspend(yoke__hook hook, void *arg, const char *what)
{
    struct yoke__worker *w = yoke__self();
    if (yoke__unlikely(w->fiber->nosuspend != NULL))
        yoke__nosuspend_report(w, what);
    yoke__worker_flush(w);
    struct yoke__fiber *to = next_woken(w);
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
    if (yoke__unlikely(rt->migrate))
        yoke__wake_all(rt); /* not everybody may take it: see take_injected() */
    else
        yoke__wake_one(rt);
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

void yoke__ready_list(struct yoke_runtime *rt, struct yoke__fiber *first)
{
    while (first != NULL) {
        struct yoke__fiber *fiber = first;
        first = fiber->next;
        yoke__ready(rt, fiber);
    }
}

/* ---- running ---------------------------------------------------------------------------------------------------------- */

void yoke__worker_flush_slow(struct yoke__worker *w)
{
    struct yoke__group *group = w->batch;
    int64_t n = w->batched;
    w->batch = NULL;
    w->batched = 0;
    if (n > 0) {
        struct yoke__fiber *owner = yoke__group_ended(w->rt, group, n);
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

/* What goes on there may take long, and has nothing to do with the ends counted here. */
static void resume(struct yoke__worker *w, struct yoke__fiber *fiber)
{
    yoke__worker_flush(w);
    switch_to(w, fiber, spare_hook, NULL);
}

/* The stacks on which it begins, whose node this is. */
static unsigned large_of_node(struct yoke__node *node)
{
    const struct yoke__group *group = NULL;
    switch ((enum yoke__node_kind)node->kind) {
    case YOKE__NODE_TASK:
    case YOKE__NODE_SERVICE:
        group = yoke__container(node, struct yoke__task, node)->group;
        return group != NULL ? group->scope.large : 0;
    case YOKE__NODE_POST:
        return yoke__post_group(node)->scope.large;
    case YOKE__NODE_FORK:
    case YOKE__NODE_FORK_TYPED:
    case YOKE__NODE_FORK_DEEP:
        return yoke__fork_large(yoke__fork_of_node(node));
    case YOKE__NODE_FIBER:
    case YOKE__NODE_SIGNAL:
        break;
    }
    return 0;
}

/* From a scheduler loop; returns when it, or somebody else who came to an end on this worker, is back in one. */
static void begin_on_large(struct yoke__worker *w, struct yoke__node *node, unsigned large)
{
    struct yoke__fiber *to = yoke__large_take(w, large, node);
    if (to == NULL)
        return;
    w->handed = node;
    switch_to(w, to, spare_hook, NULL);
}

static void run_fork(struct yoke__worker *w, yoke_forked *fork, bool typed)
{
    yoke__worker_flush(w);
    yoke__fork_run(w, fork, typed);
    yoke__self()->head.strand = NULL;
}

static void run_node(struct yoke__worker *w, struct yoke__node *node)
{
    unsigned large = large_of_node(node);
    if (yoke__unlikely(large != w->fiber->large && large > 0)) {
        begin_on_large(w, node, large);
        return;
    }
    switch ((enum yoke__node_kind)node->kind) {
    case YOKE__NODE_FIBER:
        resume(w, yoke__container(node, struct yoke__fiber, node));
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

static void relax(void)
{
    for (int i = 0; i < 32; i++)
        __builtin_ia32_pause();
}

/*
 * Was it worth taking it from another worker? Tasks that run shorter than it takes to take them slow their owner down: who has taken such a
 * one keeps away for a while, twice as long each time.
 */
static bool worth_taking(struct yoke__worker *w, int64_t ns)
{
    enum { WORTH_NS = 100, SHY_MOST = 8 };
    if (ns >= WORTH_NS) {
        w->shy = 1;
        return true;
    }
    for (unsigned i = 0; i < w->shy; i++)
        relax();
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
        if (thinning > 0 ? --thinning == 0 : yoke__worker_others_wait(w))
            return NULL;
        item = yoke__deque_pop(&w->head.deque);
        if (item == NULL) {
            if (!taken || w->robbed == NULL || !worth_taking(w, (int64_t)yoke__os_now() - begin) ||
                yoke__deque_steal(&w->robbed->head.deque, &item) != YOKE__STEAL_GOT)
                return NULL;
        } else {
            taken = false;
        }
    } while (is_task(item));
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

/* ---- finding work ------------------------------------------------------------------------------------------------------- */

/* Exactly one of the three is set, or none. */
struct found {
    struct yoke__fiber *fiber;
    void *item;
    struct yoke__node *node;
    bool taken; /* the item is another worker's */
};

static bool any_found(const struct found *f)
{
    return f->fiber != NULL || f->item != NULL || f->node != NULL;
}

/* May this worker run it? `started`: it has no stack to begin a task on. */
static bool fits(const struct yoke__worker *w, struct yoke__node *node, bool started)
{
    if (node->kind != YOKE__NODE_FIBER)
        return !started || node->kind == YOKE__NODE_SIGNAL;
    const struct yoke__fiber *fiber = yoke__container(node, struct yoke__fiber, node);
    return yoke__likely(!w->rt->migrate) || fiber->pin != NULL || fiber->last != w;
}

/* Takes the first that fits out of the list. */
static struct yoke__node *unlink_node(const struct yoke__worker *w, struct yoke__node **list, bool started)
{
    struct yoke__node *before = NULL, *node = *list;
    while (node != NULL && !fits(w, node, started)) {
        before = node;
        node = yoke__node_next(node);
    }
    if (before != NULL && node != NULL)
        before->entry.next = node->entry.next;
    else if (node != NULL)
        *list = yoke__node_next(node);
    return node;
}

/* The same from a list and then an inbox, whose rest is added to the list. Whoever calls is alone with the list. */
static struct yoke__node *take_node(const struct yoke__worker *w, struct yoke__node **list, struct yoke__inbox *inbox, bool started)
{
    struct yoke__node *node = unlink_node(w, list, started);
    if (node != NULL || yoke__inbox_empty(inbox))
        return node;
    struct yoke__node *last = *list, *rest = yoke__inbox_take(inbox);
    node = unlink_node(w, &rest, started);
    while (last != NULL && yoke__node_next(last) != NULL)
        last = yoke__node_next(last);
    if (last == NULL)
        *list = rest;
    else
        last->entry.next = rest != NULL ? &rest->entry : NULL;
    return node;
}

/*
 * What was injected is taken from the inbox as a whole, and kept for all in a list. Between the two a parker may see neither: so
 * whoever leaves something in the list looks for sleepers.
 *
 * With `migrate` every woken fiber that is not pinned comes this way, and any worker may take it but the one that left it. So each
 * injection wakes all who sleep, and a parker's second look is at what it may take itself (yoke__injected_for), under the lock, so that it
 * sees list and inbox together. Either the pusher finds the parker's bit and wakes it, or the parker finds the push: nobody sleeps while
 * there is something for it, and nobody stays awake for what is others' to take.
 */
static struct yoke__node *take_injected(struct yoke__worker *w, bool started)
{
    struct yoke_runtime *rt = w->rt;
    if (yoke__likely(!yoke__injected_any(rt)))
        return NULL;
    yoke__lock_acquire(&rt->injected_lock);
    struct yoke__node *rest = rt->injected, *node = take_node(w, &rest, &rt->inject, started);
    yoke__store_seq(&rt->injected, rest); /* store-load against yoke__park() */
    yoke__lock_release(&rt->injected_lock);
    w->woken_run++;
    if (rest != NULL && !rt->migrate)
        yoke__wake_one(rt);
    return node;
}

bool yoke__injected_for(struct yoke__worker *w)
{
    struct yoke_runtime *rt = w->rt;
    if (yoke__likely(!rt->migrate))
        return yoke__injected_any(rt);
    yoke__lock_acquire(&rt->injected_lock);
    struct yoke__node *list = rt->injected, *node = take_node(w, &list, &rt->inject, false);
    if (node != NULL) { /* back to the front */
        node->entry.next = list != NULL ? &list->entry : NULL;
        list = node;
    }
    yoke__store_seq(&rt->injected, list); /* as in take_injected() */
    yoke__lock_release(&rt->injected_lock);
    return node != NULL;
}

static struct yoke__node *take_pinned(struct yoke__worker *w, bool started)
{
    return take_node(w, &w->pinned, &w->inbox, started);
}

/* What has come while those were run for whom the poll was left? */
static void look_for_events(struct yoke__worker *w)
{
    struct yoke__fiber *woken = NULL;
    w->look_at = 0;
    yoke__service_look(&w->rt->service, w, &woken);
    yoke__ready_list(w->rt, woken);
}

static struct found find_here(struct yoke__worker *w)
{
    struct found f = { NULL, NULL, NULL, false };
    if ((f.node = take_pinned(w, false)) != NULL)
        return f;
    if (yoke__unlikely(w->thinning > 0)) {
        if ((f.item = yoke__deque_pop(&w->head.deque)) != NULL)
            return f;
        w->thinning = 0;
    }
    if (yoke__unlikely(w->woken_run >= WOKEN_IN_A_ROW)) {
        w->woken_run = 0;
        if (look_is_due(w))
            look_for_events(w);
        if ((f.item = yoke__deque_pop(&w->head.deque)) != NULL)
            return f;
    }
    bool injected_first = ++w->turn % 2 == 0;
    if (injected_first && (f.node = take_injected(w, false)) != NULL)
        return f;
    if ((f.fiber = take_ready(w)) != NULL)
        return f;
    if (!injected_first && (f.node = take_injected(w, false)) != NULL)
        return f;
    f.item = yoke__deque_pop(&w->head.deque);
    return f;
}

/* A fiber that waits for another worker. *again: worth another look at once. */
static struct yoke__fiber *rob_woken(struct yoke__worker *w, struct yoke__worker *victim, bool *again)
{
    struct yoke__fiber *fiber;
    uint32_t tail = yoke__load_relaxed(&w->ready.tail); /* the owner's */
    enum yoke__steal how = yoke__ready_steal(&victim->ready, &w->ready, yoke__anybody_idle(w->rt), &fiber);
    taken_along(w, tail);
    *again |= how == YOKE__STEAL_LOST;
    return fiber;
}

/* One victim. *again: worth another look at once; *hidden: it has work that it keeps private. */
static struct found rob(struct yoke__worker *w, struct yoke__worker *victim, bool *again, bool *hidden)
{
    struct found f = { NULL, NULL, NULL, false };
    void *got;
    switch (yoke__deque_steal(&victim->head.deque, &got)) {
    case YOKE__STEAL_GOT:
        f.item = got;
        f.taken = true;
        w->robbed = victim;
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
    *hidden |= yoke__ready_hidden(&victim->ready);
    f.fiber = rob_woken(w, victim, again);
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
    struct found f = { NULL, NULL, NULL, false };
    int begin = 0;
    for (int level = 0; level < w->nlevels; level++) {
        int n = w->levels[level] - begin;
        int at = n > 1 ? (int)(next_random(w) % (uint32_t)n) : 0;
        for (int i = 0; i < n; i++) {
            f = rob(w, w->rt->workers[w->victims[begin + (at + i) % n]], again, hidden);
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

/* A fiber that another worker keeps to itself. */
static struct yoke__fiber *rob_a_ring(struct yoke__worker *w)
{
    struct yoke__fiber *fiber = NULL;
    for (int i = 0; i < w->rt->nworkers && fiber == NULL; i++)
        if (i != w->index)
            fiber = yoke__ready_rob(&w->rt->workers[i]->ready, &w->ready);
    if (fiber != NULL)
        yoke__wake_one(w->rt); /* others may have come along; without effect in a search, whose end does it */
    return fiber;
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
            w->asked_since = now;
            raise_all(w);
            if ((f.fiber = rob_a_ring(w)) != NULL)
                return f;
            continue;
        }
        relax();
    }
}

/*
 * One look around, if it is not worth searching for longer: there is a poll to sleep in, or nobody else runs who could make work. What
 * comes next most likely comes from the poll then. True: nothing is there.
 */
static bool nothing_but_the_poll(struct yoke__worker *w, struct found *f)
{
    bool again = false, hidden = false;
    struct yoke_runtime *rt = w->rt;
    if (w->searching || (!yoke__service_poll_free(&rt->service) && yoke__load_relaxed(&rt->parked) < rt->nworkers - 1))
        return false;
    *f = rob_all(w, &again, &hidden);
    return !any_found(f) && !again && !hidden;
}

static struct found find_work(struct yoke__worker *w)
{
    struct found f = find_here(w);
    if (any_found(&f))
        return f;
    yoke__worker_flush(w);
    for (;;) {
        if (!nothing_but_the_poll(w, &f) && !any_found(&f) && yoke__search_begin(w))
            f = search(w);
        if (any_found(&f) || yoke__load_acquire(&w->rt->stopping) != 0) { /* pairs with yoke__runtime_end() */
            yoke__search_end(w);
            return f;
        }
        struct yoke__fiber *woken = yoke__park(w);
        w->look_at = 0;
        if (woken != NULL) {
            if (woken->pin == NULL && !w->rt->migrate) {
                f.fiber = woken;
                woken = woken->next;
            }
            yoke__ready_list(w->rt, woken);
            if (f.fiber == NULL)
                f = find_here(w);
            if (any_found(&f)) {
                yoke__search_end(w);
                return f;
            }
        }
    }
}

/* For a worker without a stack to run a loop on: what needs none, because it has one. */
static struct found find_started(struct yoke__worker *w)
{
    struct found f = { NULL, NULL, NULL, false };
    bool again;
    if ((f.node = take_pinned(w, true)) != NULL || (f.fiber = take_ready(w)) != NULL || (f.node = take_injected(w, true)) != NULL)
        return f;
    do {
        again = false;
        for (int i = 0; i < w->rt->nworkers && f.fiber == NULL; i++)
            f.fiber = rob_woken(w, w->rt->workers[i], &again);
    } while (f.fiber == NULL && again);
    if (f.fiber == NULL)
        f.fiber = rob_a_ring(w);
    return f;
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
            run_item(w, f.item, f.taken);
        else if (f.fiber != NULL)
            resume(w, f.fiber);
        else if (f.node != NULL)
            run_node(w, f.node);
        else
            switch_to(w, &w->native, spare_hook, NULL); /* stopping */
    }
}

static void large_hook(struct yoke__worker *w, struct yoke__fiber *left, void *arg)
{
    (void)arg;
    yoke__large_keep(w->rt, left);
}

void yoke__worker_large(void *handoff)
{
    const struct handoff *from = handoff;
    yoke__fiber_arrived(from->to);
    arrive(from);
    for (;;) {
        struct yoke__worker *w = yoke__self();
        run_node(w, w->handed);
        w = yoke__self();
        struct yoke__fiber *to = take_spare(w);
        switch_to(w, to != NULL ? to : &w->native, large_hook, NULL);
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
    int rc = rt->config.overflow_handler ? yoke__overflow_enter_thread(&signal_stack) : 0;
    if (rc < 0)
        yoke__report(rt, "worker %d has no alternate signal stack, its overflows will not be reported: %s", w->index, yoke__code_text(rc).text);
    rc = w->cpus == NULL ? 0 : yoke__os_bind_self(w->cpus, sizeof *w->cpus);
    if (rc < 0)
        yoke__report(rt, "worker %d could not be bound: %s", w->index, yoke__code_text(rc).text);
    /* acquire: pairs with yoke__runtime_end() */
    while (yoke__load_acquire(&rt->stopping) == 0) {
        struct found f = { .fiber = take_spare(w) };
        if (f.fiber == NULL)
            f = find_started(w);
        if (f.fiber != NULL) {
            resume(w, f.fiber);
        } else if (f.node != NULL) {
            run_node(w, f.node);
        } else { /* no memory for a stack, and nothing to resume: nobody tells when there is memory again */
            uint32_t never = 0;
            yoke__os_futex_wait(&never, 0, yoke__os_now() + NO_STACK_RETRY_NS);
        }
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
    w->head.parked = &rt->parked;
    w->shy = 1;
    w->low_mask = rt->config.debug ? UINTPTR_MAX : 0;
    w->head.run_id = rt->run_id;
    yoke__inbox_init(&w->inbox);
    int rc = yoke__block_cache_init(&rt->blocks, &w->head.blocks);
    if (rc == 0)
        rc = yoke__deque_init(&w->head.deque, !rt->membarrier);
    if (rc == 0)
        rc = yoke__ready_init(&w->ready, rt->membarrier);
    if (rc == 0 && (w->spare = yoke__fiber_create(&rt->stacks, loop)) == NULL)
        rc = -ENOMEM;
    if (rc < 0) {
        yoke__deque_destroy(&w->head.deque);
        yoke__ready_destroy(&w->ready);
        yoke__os_free(w);
        return rc;
    }
    yoke__deque_set_base(&w->head.deque, YOKE__FORK_QUEUED + ((int64_t)(index + 1) << 48)); /* no index twice in the runtime: fork.c */
    if (rt->config.debug)
        yoke__deque_slow_only(&w->head.deque);
    w->spares = 1;
    rt->workers[index] = w;
    return 0;
}

void yoke__worker_destroy(struct yoke__worker *w)
{
    yoke__fibers_retire(w->spare);
    yoke__fibers_retire(w->spare_chain);
    yoke__deque_destroy(&w->head.deque);
    yoke__ready_destroy(&w->ready);
    yoke__os_free(w);
}
