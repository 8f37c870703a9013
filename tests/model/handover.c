/*
 * The waiter's hand-over of executor/wait.c in small, in plain C11 and pthreads: a task that blocks, a source that wakes it, a cancel;
 * and the hand-over of executor/fork.c, in which the waiter is a word that the one source exchanges.
 *
 * The wait is published while the task still runs, so a source may fire before the stack has been left. The thread that left it sets
 * PARKED from the next stack, by an exchange; who finds the other's mark there resumes the task. Each source touches the wait under the
 * lock of the list that it found it in; the task frees it when it has gone out of both lists.
 *
 * Invariants: of the sources one wins, and the task returns its code and sees what it wrote; the task goes on once, never for ever
 * asleep, and only when its stack has been left; nobody touches the wait after that.
 *
 * Run by the tests as threads, many times. With GenMC, each script by itself: genmc -- -DGENMC -DSCRIPT=0 handover.c
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "rounds.h"

enum { ARMING = 0, PARKED = 1, FIRED = 2 };
enum { WOKEN, CANCELLED, CODES };
enum { BOTH, WAKE_ONLY, CANCEL_ONLY, JOIN, SCRIPTS };

#ifdef GENMC
#ifndef SCRIPT
#define SCRIPT BOTH
#endif
enum { FROM = SCRIPT, TO = SCRIPT + 1, ROUNDS = 1 };
#define IDLE() ((void)0)
#define must(condition, what) assert((condition) && (what))
#else
#include <sched.h>
enum { FROM = 0, TO = SCRIPTS, ROUNDS = 500 };
#define IDLE() sched_yield()
#define must(condition, what) ((condition) ? (void)0 : (puts(what), abort()))
#endif

struct wait {
    atomic_uint state;
};

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER, scope_lock = PTHREAD_MUTEX_INITIALIZER;
static struct wait *queued, *enlisted; /* each under its lock */
static int happened;                   /* under queue_lock: what the task waits for */
static atomic_int cancelled;           /* the scope's mark */

static struct wait done;
static _Atomic(struct wait *) forked; /* NULL: queued or running; the join's wait; &done */

static int script, on_stack, left[CODES]; /* plain: the task's stack is in use; what the sources leave to it */
static atomic_int wins, ends;

/* ---- the task --------------------------------------------------------------------------------------------------------- */

static void delist(struct wait *wait)
{
    pthread_mutex_lock(&scope_lock);
    if (enlisted == wait)
        enlisted = NULL;
    pthread_mutex_unlock(&scope_lock);
}

static void end(struct wait *wait)
{
    free(wait);
    on_stack = 0;
    must(atomic_fetch_add_explicit(&ends, 1, memory_order_relaxed) == 0, "the task went on twice");
}

/* The task, from the return of yoke__wait_block() on. */
static void after(struct wait *wait)
{
    unsigned code = atomic_load_explicit(&wait->state, memory_order_acquire) - FIRED;
    must(code < CODES && left[code] == 1, "a code that no source gave");
    if (script != JOIN) {
        pthread_mutex_lock(&queue_lock);
        if (queued == wait)
            queued = NULL;
        pthread_mutex_unlock(&queue_lock);
        delist(wait);
    }
    end(wait);
}

/* By whoever owns the fiber now. */
static void resume(struct wait *wait)
{
    must(on_stack == 0, "resumed on a stack that is in use");
    on_stack = 1;
    after(wait);
}

static void block(struct wait *wait)
{
    unsigned arming = ARMING;
    if (atomic_load_explicit(&wait->state, memory_order_acquire) >= FIRED) {
        after(wait);
        return;
    }
    IDLE();
    on_stack = 0; /* the switch; from here on this is the next stack, and the hook */
    if (!atomic_compare_exchange_strong_explicit(&wait->state, &arming, PARKED, memory_order_acq_rel, memory_order_acquire))
        resume(wait);
}

static void join(struct wait *wait)
{
    struct wait *running = NULL;
    if (atomic_compare_exchange_strong_explicit(&forked, &running, wait, memory_order_acq_rel, memory_order_acquire)) {
        block(wait);
    } else {
        must(left[WOKEN] == 1, "joined without the fork's effects");
        end(wait);
    }
}

static void *task(void *arg)
{
    struct wait *wait = malloc(sizeof *wait);
    must(wait != NULL, "no memory");
    on_stack = 1;
    atomic_init(&wait->state, ARMING);
    if (script == JOIN) {
        join(wait);
        return arg;
    }
    pthread_mutex_lock(&scope_lock);
    enlisted = wait;
    pthread_mutex_unlock(&scope_lock);
    if (atomic_load_explicit(&cancelled, memory_order_acquire)) {
        delist(wait);
        end(wait);
        return arg;
    }
    pthread_mutex_lock(&queue_lock);
    int late = happened;
    if (!late)
        queued = wait;
    pthread_mutex_unlock(&queue_lock);
    if (late) {
        delist(wait);
        end(wait);
    } else {
        block(wait);
    }
    return arg;
}

/* ---- the sources ------------------------------------------------------------------------------------------------------ */

/* True: the task is the caller's to resume. */
static int fire(struct wait *wait, unsigned code)
{
    unsigned state = atomic_load_explicit(&wait->state, memory_order_relaxed);
    while (state < FIRED)
        if (atomic_compare_exchange_strong_explicit(&wait->state, &state, FIRED + code, memory_order_acq_rel, memory_order_acquire)) {
            must(atomic_fetch_add_explicit(&wins, 1, memory_order_relaxed) == 0, "two sources won");
            return state == PARKED;
        }
    return 0;
}

static void *wake(void *arg)
{
    int ours = 0;
    left[WOKEN] = 1;
    if (script == JOIN) {
        struct wait *wait = atomic_exchange_explicit(&forked, &done, memory_order_acq_rel);
        if (wait != NULL && fire(wait, WOKEN))
            resume(wait);
        return arg;
    }
    pthread_mutex_lock(&queue_lock);
    struct wait *wait = queued;
    happened = 1;
    queued = NULL;
    if (wait != NULL)
        ours = fire(wait, WOKEN);
    pthread_mutex_unlock(&queue_lock);
    if (ours)
        resume(wait);
    return arg;
}

static void *cancel(void *arg)
{
    int ours = 0;
    left[CANCELLED] = 1;
    atomic_store_explicit(&cancelled, 1, memory_order_release);
    pthread_mutex_lock(&scope_lock);
    struct wait *wait = enlisted;
    enlisted = NULL;
    if (wait != NULL)
        ours = fire(wait, CANCELLED);
    pthread_mutex_unlock(&scope_lock);
    if (ours)
        resume(wait);
    return arg;
}

int main(void)
{
    for (int round = 0; another(round, ROUNDS); round++)
        for (script = FROM; script < TO; script++) {
            pthread_t threads[3];
            int n = 0;
            queued = enlisted = NULL;
            happened = on_stack = left[WOKEN] = left[CANCELLED] = 0;
            atomic_init(&cancelled, 0);
            atomic_init(&forked, NULL);
            atomic_init(&wins, 0);
            atomic_init(&ends, 0);
            pthread_create(&threads[n++], NULL, task, NULL);
            if (script != CANCEL_ONLY)
                pthread_create(&threads[n++], NULL, wake, NULL);
            if (script == CANCEL_ONLY || script == BOTH)
                pthread_create(&threads[n++], NULL, cancel, NULL);
            while (n > 0)
                pthread_join(threads[--n], NULL);
            must(atomic_load(&ends) == 1, "the task sleeps for ever");
        }
    return 0;
}
