/*
 * A descriptor's record of io/reactor.[ch] in small, in plain C11 and pthreads: a reader that tries, registers and waits; an event; closes
 * through a handle; and the record given to another descriptor. The lock is the record's, the steps and their orders those of io/reactor.c.
 *
 * Invariants: nobody uses a descriptor that is closed, or another's, and it is closed once; the reader returns with the data or because of
 * the close, never asleep for ever; an event that was fetched before the record changed hands leaves nothing in it.
 *
 * Run by the tests as threads, many times. With GenMC, each script by itself: genmc --check-liveness -- -DGENMC -DSCRIPT=0 reactor.c
 * Caught when broken: a waiter that does not look at the bit under the lock; an event that does not compare generations; the last to leave
 * not releasing what it did; `ready` left out.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "rounds.h"

enum { CLOSE, EVENT, BOTH, REUSE, TWO_CLOSES, SCRIPTS };
enum { WAITING, DONE, SHUT }; /* a wait */
#define CLOSED 0x10000

#ifdef GENMC
#ifndef SCRIPT
#define SCRIPT CLOSE
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

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int state, generation; /* the second is written under the lock, read by who is inside too */
static int fd;                       /* plain: of who is inside */
static int ready;                    /* under the lock */
static atomic_int *waiter;           /* the same */

static int script;
static int open_now[2];              /* plain: a close races with any use that it should have waited for */
static atomic_int free_again;        /* the record is on the free list */
static atomic_int registered, data;  /* the kernel's */

/* ---- entering, leaving, closing ----------------------------------------------------------------------------------------- */

static void leave(void)
{
    if (atomic_fetch_sub_explicit(&state, 1, memory_order_acq_rel) != (CLOSED | 1))
        return;
    must(open_now[fd], "closed twice");
    open_now[fd] = 0;
    pthread_mutex_lock(&lock);
    atomic_store_explicit(&generation, atomic_load_explicit(&generation, memory_order_relaxed) + 1, memory_order_relaxed);
    pthread_mutex_unlock(&lock);
    must(atomic_exchange_explicit(&free_again, 1, memory_order_release) == 0, "freed twice");
}

static int enter(int handle)
{
    int s = atomic_load_explicit(&state, memory_order_relaxed);
    do
        if ((s & CLOSED) != 0)
            return 0;
    while (!atomic_compare_exchange_strong_explicit(&state, &s, s + 1, memory_order_acq_rel, memory_order_acquire));
    if (atomic_load_explicit(&generation, memory_order_relaxed) == handle)
        return 1;
    leave();
    return 0;
}

static void fire(int code)
{
    if (waiter != NULL)
        atomic_store_explicit(waiter, code, memory_order_release);
    waiter = NULL;
}

static int close_it(int handle)
{
    if (!enter(handle))
        return 0;
    if ((atomic_fetch_or_explicit(&state, CLOSED, memory_order_acq_rel) & CLOSED) != 0) {
        leave();
        return 0;
    }
    pthread_mutex_lock(&lock);
    fire(SHUT);
    pthread_mutex_unlock(&lock);
    leave();
    return 1;
}

/* ---- threads ------------------------------------------------------------------------------------------------------------ */

/* True: try again. */
static int wait_for_event(void)
{
    static atomic_int wait;
    int block = 0, again = 0;
    atomic_store_explicit(&registered, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&data, memory_order_seq_cst) != 0)
        return 1; /* the event that comes with it, at once */
    atomic_store_explicit(&wait, WAITING, memory_order_relaxed);
    pthread_mutex_lock(&lock);
    if ((atomic_load_explicit(&state, memory_order_acquire) & CLOSED) == 0) {
        again = ready;
        block = !ready;
        ready = 0;
        if (block)
            waiter = &wait;
    }
    pthread_mutex_unlock(&lock);
    if (!block)
        return again;
    while (atomic_load_explicit(&wait, memory_order_acquire) == WAITING)
        IDLE();
    return atomic_load_explicit(&wait, memory_order_acquire) == DONE;
}

static void *reader(void *arg)
{
    if (!enter(1))
        return arg;
    int got = 0;
    for (int tries = 0; !got && tries < 3; tries++) {
        must(open_now[fd] && fd == 0, "a descriptor was used that is closed, or another's");
        got = atomic_load_explicit(&data, memory_order_acquire);
        if (!got && !wait_for_event())
            break;
    }
    must(got || script != EVENT, "the event was lost");
    leave();
    return arg;
}

static void *closer(void *arg)
{
    int closed = close_it(1);
    must(closed || script == TWO_CLOSES, "nobody else closes it");
    if (script != REUSE || atomic_load_explicit(&free_again, memory_order_acquire) == 0)
        return arg;
    fd = 1; /* the record is ours now */
    open_now[1] = 1;
    ready = 0;
    waiter = NULL;
    atomic_store_explicit(&state, 0, memory_order_release);
    return arg;
}

/* The poller: the kernel's event, which it has fetched with the tag of the registration, is delivered some time later. */
static void *poller(void *arg)
{
    const int tag = 1;
    atomic_store_explicit(&data, 1, memory_order_seq_cst);
    if (script == EVENT && atomic_load_explicit(&registered, memory_order_seq_cst) == 0)
        return arg; /* not registered yet: the kernel looks at the data then */
    pthread_mutex_lock(&lock);
    if (atomic_load_explicit(&generation, memory_order_relaxed) == tag) {
        if (waiter != NULL)
            fire(DONE);
        else
            ready = 1;
    }
    pthread_mutex_unlock(&lock);
    return arg;
}

int main(void)
{
    static void *(*const threads_of[SCRIPTS][3])(void *) = {
        { reader, closer, NULL }, { reader, poller, NULL }, { reader, closer, poller }, { reader, closer, poller }, { reader, closer, closer },
    };
    for (int round = 0; another(round, ROUNDS); round++)
        for (script = FROM; script < TO; script++) {
            pthread_t threads[3];
            int n = 0;
            atomic_init(&state, 0);
            atomic_init(&generation, 1);
            atomic_init(&free_again, 0);
            atomic_init(&registered, 0);
            atomic_init(&data, 0);
            fd = ready = open_now[1] = 0;
            open_now[0] = 1;
            waiter = NULL;
            for (; n < 3 && threads_of[script][n] != NULL; n++)
                pthread_create(&threads[n], NULL, threads_of[script][n], NULL);
            while (n > 0)
                pthread_join(threads[--n], NULL);
            if (script != EVENT)
                must(!open_now[0], "never closed");
            if (open_now[1])
                must(ready == 0 && waiter == NULL, "an old event was left to the new owner");
        }
    return 0;
}
