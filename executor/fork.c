/*
 * fork.c - the slow halves of fork and join.
 *
 * fork.state:  QUEUED -> DONE        by whoever ran it from a deque                (yoke__fork_run)
 *              QUEUED -> wait        by the join, which then sleeps                (yoke__fast_join_slow)
 *              wait   -> DONE        by whoever ran it, who then fires the wait
 *              UNQUEUED              no memory to queue it, or no task: the join runs it
 * A join that finds its fork next in its own deque takes it back without any of this (detail/fast.h). The exchange to DONE is
 * the last touch of the descriptor by the runner, unless a wait was there: then the joiner sleeps until it is fired.
 *
 * A fork runs under the scope that was current when it was begun, with the identity of its task. Run by its own join it is a call
 * on the same strand; taken by another worker it is a strand of its own.
 */
#include "fork.h"

#include "fail.h"
#include "report.h"
#include "scope.h"
#include "wait.h"
#include "worker.h"

enum { QUEUED = 0, DONE = 1, UNQUEUED = 2 }; /* anything else is a pointer to a wait */

const char yoke__fast_layout_1 = 1;

#if defined(__x86_64__) && !defined(YOKE_NO_FAST_TLS)
__thread struct yoke__head *yoke__fast_head __attribute__((tls_model("initial-exec")));
#define self_word yoke__fast_head
#else
static __thread struct yoke__head *self_word __attribute__((tls_model("initial-exec")));
#endif

/* Out of line, so that no caller can keep the thread-local's address over a switch. */
__attribute__((noinline)) struct yoke__head *yoke__fast_self_call(void)
{
    __asm__ volatile("" ::: "memory");
    return self_word;
}

__attribute__((noinline)) void yoke__set_self(struct yoke__worker *w)
{
    self_word = w != NULL ? &w->head : NULL;
}

void yoke__fast_fork_slow(yoke_forked *fork)
{
    struct yoke__worker *w = yoke__self();
    fork->failure = NULL;
    fork->state = UNQUEUED;
    if (w == NULL)
        return;
    struct yoke__strand *strand = yoke__current(w);
    fork->strand = &strand->head;
    fork->scope = strand->head.scope;
    if (w->rt->config.debug)
        strand->forks++;
    fork->state = QUEUED;
    int rc = yoke__deque_push(&w->head.deque, fork);
    if (rc < 0) {
        fork->state = UNQUEUED;
    } else if (rc > 0) {
        yoke__wake_one(w->rt);
        yoke__fed(w);
    }
}

/* The fork as a call on the joiner's own strand. */
static int call_here(struct yoke__strand *strand, yoke_forked *fork)
{
    struct yoke__scope_head *scope = strand->head.scope;
    strand->head.scope = fork->scope;
    int rc = fork->fn(fork->arg);
    if (strand->head.scope != fork->scope)
        yoke__scope_unwind(strand, (struct yoke__scope *)(void *)fork->scope, "was still open when a fork ended: cancelled and joined");
    strand->head.scope = scope;
    return rc;
}

static int wait_for(yoke_forked *fork)
{
    struct yoke__wait wait;
    yoke__wait_init(&wait, "join");
    uintptr_t state = QUEUED;
    /* releases the wait to the runner; acquire: its effects, if it was faster; pairs with yoke__fork_run() */
    if (yoke__cas_acq_rel(&fork->state, &state, (uintptr_t)&wait))
        yoke__wait_block(&wait);
    struct yoke__worker *w = yoke__self();
    struct yoke__strand *strand = yoke__current(w);
    if (fork->failure != NULL) {
        if (strand->fail != NULL)
            yoke__fail_free(w, strand->fail);
        strand->fail = fork->failure;
    }
    return fork->result;
}

int yoke__fast_join_slow(yoke_forked *fork)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    struct yoke__strand *strand = yoke__current(w);
    if (w->rt->config.debug) {
        if (strand->forks-- <= 0 && &strand->head == fork->strand)
            yoke__panic("task '%s' joins a fork twice, or one that it did not begin", strand->task->name);
    }
    uintptr_t state = yoke__load_acquire(&fork->state); /* pairs with yoke__fork_run() */
    if (state == UNQUEUED)
        return call_here(strand, fork);
    if (state == QUEUED && (uintptr_t)__builtin_frame_address(0) > w->stack_half) {
        void *item = yoke__deque_pop(&w->head.deque);
        if (item == fork)
            return call_here(strand, fork);
        if (item != NULL && yoke__deque_push(&w->head.deque, item) > 0) /* cannot fail: there was room for it */
            yoke__wake_one(w->rt);
    }
    return wait_for(fork);
}

void yoke__fork_run(struct yoke__worker *w, yoke_forked *fork)
{
    struct yoke__strand *parent = (struct yoke__strand *)(void *)fork->strand;
    struct yoke__strand strand = { .head = { .scope = fork->scope },
                                   .base = (struct yoke__scope *)(void *)fork->scope,
                                   .task = parent->task };
    struct yoke_runtime *rt = w->rt;
    w->head.strand = &strand.head;
    int rc = fork->fn(fork->arg);
    if (strand.head.scope != fork->scope)
        yoke__scope_unwind(&strand, strand.base, "was still open when a fork ended: cancelled and joined");
    if (strand.forks != 0)
        yoke__panic("a fork of task '%s' ended with forks of its own not joined", strand.task->name);
    fork->result = rc;
    fork->failure = strand.fail == NULL ? NULL : yoke__fail_take(yoke__self(), &strand, rc);
    /* release: the fork's effects; acquire: the wait; pairs with wait_for() and yoke__fast_join_slow() */
    uintptr_t state = yoke__xchg_acq_rel(&fork->state, (uintptr_t)DONE);
    if (state != QUEUED) {
        struct yoke__fiber *fiber;
        yoke__wait_fire((struct yoke__wait *)(void *)state, YOKE__FIRE_DONE, &fiber);
        if (fiber != NULL)
            yoke__ready(rt, fiber);
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

void yoke_fork_leave(yoke_forked *fork)
{
    if (fork->fn != NULL)
        (void)yoke__fast_join_scoped(fork);
}
