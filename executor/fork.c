/*
 * fork.c - the slow halves of fork and join.
 *
 * fork.state:  queued  -> RUNNING    by a worker that took it from a deque         (yoke__fork_run)
 *              queued, RUNNING -> wait   by the join, which then sleeps          (wait_for)
 *              RUNNING -> DONE       by the worker that ran it                      (yoke__fork_run)
 *              wait    -> DONE       by the worker that ran it, who then fires the wait
 *              UNQUEUED              no memory to queue it, or no task: the join runs it
 *              RUNNING, wait -> RETURNED  by a worker that took it and has no memory for the large stack it begins on: the join runs it, or,
 *                                 being too deep itself, injects it (RUNNING) and waits     (yoke__fork_give_back, join_returned)
 * While it is queued, the state is its index in the deque it was pushed to, + 1. No two deques of a runtime share an index, and an
 * index from which an item was stolen is never used again; from which the owner itself popped it, it is, and therefore the fork is
 * marked RUNNING before it is run, or handed to a large stack. So if the state is this worker's bottom, the fork lies there, and its join
 * takes it back without any exchange (detail/fast.h). The exchange to DONE is the last touch of the descriptor by the runner, unless a wait was there:
 * then the joiner sleeps until it is fired.
 *
 * A fork runs under the scope that was current when it was begun, with the identity of its task. Run by its own join it is a call
 * on the same strand; taken by another worker it is a strand of its own. The inlined join does not compare scopes: the worker's
 * `floor` does it. Whenever the current scope changes or a stack is entered, floor is set to bottom, so a fork at an index from floor
 * on was pushed by the current strand since then, under the scope that is current now. The others take the slow join, which looks.
 */
#include "fork.h"

#include <stdio.h>

#include "fail.h"
#include "held.h"
#include "report.h"
#include "runnable.h"
#include "scope.h"
#include "seat.h"
#include "unjoined.h"
#include "wait.h"
#include "worker.h"

enum { DONE = 2, UNQUEUED = 4, RETURNED = 6 };
#define RUNNING ((uintptr_t)YOKE__FORK_QUEUED) /* an index that no deque has */

/* Not yet done and nobody waits. Pointers to waits are below. */
static bool queued(uintptr_t state)
{
    return state >= RUNNING;
}

const char yoke__fast_layout_1 = 1;

/* What threads have that are no workers: no room, nothing in it, and a scope that always needs a closer look. */
static struct yoke__scope_head no_scope = { .memo = 0 };
static struct yoke__strand_head no_strand = { .scope = &no_scope, .self = &no_strand };
const uint64_t yoke__no_epoch = 1;
static struct yoke__head nobody = {
    .deque = { .room = INT64_MIN, .limit = INT64_MIN }, .strand = &no_strand, .stack_low = UINTPTR_MAX, .floor = INT64_MAX, .epoch = &yoke__no_epoch,
    .run_id = UINT64_MAX
};

#if defined(__x86_64__) && !defined(YOKE_NO_FAST_TLS)
__thread struct yoke__head *yoke__fast_head __attribute__((tls_model("initial-exec"))) = &nobody;
#define self_word yoke__fast_head
#else
static __thread struct yoke__head *self_word __attribute__((tls_model("initial-exec"))) = &nobody;
#endif

/* Out of line, so that no caller can keep the thread-local's address over a switch. */
__attribute__((noinline)) struct yoke__head *yoke__fast_self_call(void)
{
    __asm__ volatile("" ::: "memory");
    return self_word;
}

__attribute__((noinline)) void yoke__set_self(struct yoke__worker *w)
{
    self_word = w != NULL ? &w->head : &nobody;
}

static void published(struct yoke__worker *w)
{
    yoke__wake_one(w->rt);
    yoke__fed(w);
}

void yoke__fast_fork_slow(yoke_forked *fork)
{
    struct yoke__worker *w = yoke__self();
    fork->failure = NULL;
    fork->state = UNQUEUED;
    if (w == NULL)
        return;
    struct yoke__strand *strand = yoke__current(w);
    fork->from = strand->head;
    if (w->rt->config.debug) {
        yoke__unjoined_begun(w, strand, fork, __builtin_return_address(0));
        yoke__or_relaxed(&strand->task->flags, (uint16_t)YOKE__TASK_FORKED); /* ordered by the joins of the task's forks */
    }
    fork->state = (uintptr_t)w->head.deque.bottom + 1;
    int rc = yoke__deque_push(&w->head.deque, fork);
    if (rc < 0)
        fork->state = UNQUEUED;
    else if (rc > 0)
        published(w);
}

/* Somebody asked between the inlined fork's look at the room and its store. */
void yoke__fast_fork_late(void)
{
    struct yoke__worker *w = yoke__worker_here();
    if (yoke__deque_answer(&w->head.deque))
        published(w);
}

/* The fork as a call on the joiner's own strand. */
static int call_here(struct yoke__strand *strand, yoke_forked *fork)
{
    struct yoke__scope_head *scope = strand->head.scope, *own = fork->from.scope;
    yoke__strand_set_scope(yoke__self(), strand, own);
    int rc = fork->fn(fork->arg);
    if (yoke__unlikely(strand->begun != NULL))
        yoke__unjoined_below(strand, __builtin_frame_address(0));
    if (strand->head.scope != own)
        yoke__scope_unwind(strand, (struct yoke__scope *)(void *)own, "was still open when a fork ended: cancelled and joined");
    yoke__strand_set_scope(yoke__self(), strand, scope);
    if (yoke__unlikely(strand->seat != NULL && strand->seat->block->scope != strand->base))
        yoke__seat_vacate(strand); /* of another strand's scope, which may go */
    return rc;
}

static bool join_blames(const void *object, const struct yoke__strand *strand)
{
    return strand->fork == object;
}

static void tell_fork(const void *object, char *text, size_t size)
{
    (void)object;
    snprintf(text, size, " of a fork that another worker has taken");
}

static const struct yoke__waited on_join = { .what = "join", .tell = tell_fork, .blames = join_blames };

const struct yoke__wait *yoke__fork_joiner(const yoke_forked *fork)
{
    uintptr_t state = yoke__load_acquire(&fork->state); /* pairs with wait_for() */
    return queued(state) || state <= RETURNED ? NULL : (const struct yoke__wait *)(const void *)state;
}

static int join_returned(yoke_forked *fork);

static int wait_for(yoke_forked *fork)
{
    struct yoke__wait wait;
    yoke__wait_init_on(&wait, &on_join, fork);
    uintptr_t state = yoke__load_acquire(&fork->state); /* pairs with yoke__fork_run() */
    /* releases the wait to the runner; acquire: its effects, if it was faster; pairs with yoke__fork_run() */
    while (queued(state)) /* twice at most: it may begin to run meanwhile */
        if (yoke__cas_acq_rel(&fork->state, &state, (uintptr_t)&wait)) {
            yoke__wait_block(&wait);
            state = yoke__load_acquire(&fork->state); /* pairs with yoke__fork_give_back() */
            break;
        }
    if (yoke__unlikely(state == RETURNED))
        return join_returned(fork);
    struct yoke__worker *w = yoke__self();
    struct yoke__strand *strand = yoke__current(w);
    if (fork->failure != NULL) {
        if (strand->fail != NULL)
            yoke__fail_free(w, strand->fail);
        strand->fail = fork->failure;
    }
    return fork->result;
}

/* Nobody else has it. */
static int join_returned(yoke_forked *fork)
{
    struct yoke__worker *w = yoke__self();
    if ((uintptr_t)__builtin_frame_address(0) > w->stack_half)
        return call_here(yoke__current(w), fork);
    yoke__store_relaxed(&fork->state, RUNNING);
    struct yoke__node *node = yoke__fork_node(fork, false);
    node->kind = YOKE__NODE_FORK_DEEP;
    yoke__runtime_post(w->rt, node);
    return wait_for(fork);
}

int yoke__fast_join_slow(yoke_forked *fork)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    struct yoke__strand *strand = yoke__current(w);
    if (w->rt->config.debug)
        yoke__unjoined_joins(w, strand, fork);
    uintptr_t state = yoke__load_acquire(&fork->state); /* pairs with yoke__fork_run() */
    if (state == UNQUEUED)
        return call_here(strand, fork);
    if (yoke__unlikely(state == RETURNED))
        return join_returned(fork);
    if (queued(state) && (uintptr_t)__builtin_frame_address(0) > w->stack_half) {
        void *item = yoke__deque_pop(&w->head.deque);
        if (item == fork)
            return call_here(strand, fork);
        if (item == (char *)(void *)fork + YOKE__FAST_TYPED) {
            fork->arg = fork;
            return call_here(strand, fork);
        }
        if (item != NULL) {
            yoke__unjoined_popped(w, item, __builtin_frame_address(0), strand->task);
            yoke__put_back(w, item);
        }
    }
    return wait_for(fork);
}

void yoke__fast_join_typed(yoke_forked *fork)
{
    if (yoke__self() == NULL)
        fork->fn(fork);
    else
        (void)yoke__fast_join_slow(fork);
}

/* The index at which it lay may be used again from now on. */
static void leave_queue(yoke_forked *fork)
{
    uintptr_t state = yoke__load_relaxed(&fork->state);
    if (queued(state))
        yoke__cas_relaxed(&fork->state, &state, RUNNING); /* ordered by this worker's own program; fails if the join waits meanwhile */
}

/* What only its end writes, and its join reads, is free until then. */
_Static_assert(sizeof(yoke_forked) - offsetof(yoke_forked, failure) >= sizeof(struct yoke__node), "room for a node");

struct yoke__node *yoke__fork_node(yoke_forked *fork, bool typed)
{
    struct yoke__node *node = (struct yoke__node *)(void *)((char *)fork + offsetof(yoke_forked, failure));
    leave_queue(fork);
    node->kind = typed ? YOKE__NODE_FORK_TYPED : YOKE__NODE_FORK;
    return node;
}

yoke_forked *yoke__fork_of_node(struct yoke__node *node)
{
    return (yoke_forked *)(void *)((char *)node - offsetof(yoke_forked, failure));
}

bool yoke__fork_give_back(struct yoke_runtime *rt, struct yoke__node *node)
{
    yoke_forked *fork = yoke__fork_of_node(node);
    if (node->kind == YOKE__NODE_FORK_DEEP)
        return false;
    if (node->kind == YOKE__NODE_FORK_TYPED)
        fork->arg = fork;
    uintptr_t state = yoke__xchg_acq_rel(&fork->state, (uintptr_t)RETURNED); /* pairs with wait_for() and yoke__fast_join_slow() */
    if (!queued(state)) {
        struct yoke__fiber *fiber;
        yoke__wait_fire((struct yoke__wait *)(void *)state, YOKE__FIRE_DONE, &fiber);
        if (fiber != NULL)
            yoke__ready(rt, fiber);
    }
    return true;
}

void yoke__fork_run(struct yoke__worker *w, yoke_forked *fork, bool typed)
{
    struct yoke__strand *parent = (struct yoke__strand *)(void *)fork->from.self;
    struct yoke__scope_head *scope = fork->from.scope;
    struct yoke__strand strand = { .head = { .scope = scope, .self = &strand.head },
                                   .base = (struct yoke__scope *)(void *)scope,
                                   .task = parent->task,
                                   .fork = fork };
    leave_queue(fork);
    w->head.strand = &strand.head;
    int rc = fork->fn(typed ? fork : fork->arg);
    yoke__unjoined_end(&strand);
    if (strand.head.scope != scope)
        yoke__scope_unwind(&strand, strand.base, "was still open when a fork ended: cancelled and joined");
    yoke__held_end(&strand);
    yoke__seat_vacate(&strand);
    fork->result = rc;
    fork->failure = strand.fail == NULL ? NULL : yoke__fail_take(yoke__self(), &strand, rc);
    /* release: the fork's effects; acquire: the wait; pairs with wait_for() and yoke__fast_join_slow() */
    uintptr_t state = yoke__xchg_acq_rel(&fork->state, (uintptr_t)DONE);
    if (!queued(state)) {
        struct yoke__fiber *fiber;
        yoke__wait_fire((struct yoke__wait *)(void *)state, YOKE__FIRE_DONE, &fiber);
        if (fiber != NULL)
            yoke__ready_back(yoke__self(), fiber);
    }
}

void(yoke_fork)(yoke_forked *fork, yoke_fn fn, void *arg)
{
    yoke__fast_fork(fork, fn, arg);
}

int(yoke_join)(yoke_forked *fork)
{
    return yoke__fast_join(fork);
}

bool(yoke_fork_wanted)(void)
{
    return yoke__fast_wanted();
}

void yoke_fork_leave(yoke_forked *fork)
{
    if (fork->fn != NULL)
        (void)yoke__fast_join_scoped(fork);
}
