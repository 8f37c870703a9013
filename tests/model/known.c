/*
 * What a cancel says of itself before it has raised the epoch (executor/scope.c) in small, in plain C11 and pthreads: one marks a scope and raises
 * the epoch; another calls for the same cancel and finds the mark; a third asks, in two scopes inside it, each with a memo of its own.
 *
 * Invariants: whose call for a cancel has returned is told so when he asks; who has been told so once is told so ever after;
 * in the end everybody is.
 *
 * Run by the tests as threads, many times. With GenMC: genmc -- -DGENMC known.c
 *
 * With -DBROKEN=n one line or order is missing, and a search of all executions finds it:
 *   1 who finds the mark does not raise the epoch      (a call has returned, and no cancel is found)
 *   2 who is told does not                             (told so, and then not)
 *   3 `known` is set before the epoch is raised        (both)
 *   4 set relaxed                                      (both)
 *   5 looked at relaxed                                (both)
 *   6 the epoch is raised relaxed                      (a cancel that is never found)
 *   7 the marker raises it before he has marked        (a cancel that is never found)
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "rounds.h"

#ifndef BROKEN
#define BROKEN 0
#endif

#ifdef GENMC
enum { ROUNDS = 1 };
#define must(condition, what) assert((condition) && (what))
#else
enum { ROUNDS = 2000 };
#define must(condition, what) ((condition) ? (void)0 : (puts(what), abort()))
#endif

static pthread_mutex_t lock;
static atomic_int cancel, known, epoch;

static void raise_epoch(void)
{
    atomic_fetch_add_explicit(&epoch, 1, BROKEN == 6 ? memory_order_relaxed : memory_order_seq_cst);
}

static void set_known(void)
{
    atomic_store_explicit(&known, 1, BROKEN == 4 ? memory_order_relaxed : memory_order_release);
}

static void make_known(void)
{
    if (atomic_load_explicit(&known, BROKEN == 5 ? memory_order_relaxed : memory_order_acquire))
        return;
    raise_epoch();
    set_known();
}

/* In a scope whose memo is `*memo`. */
static int cancelled(int *memo)
{
    int now = atomic_load_explicit(&epoch, memory_order_acquire);
    if (*memo == now)
        return 0;
    if (atomic_load_explicit(&cancel, memory_order_acquire)) {
        if (BROKEN != 2)
            make_known();
        return 1;
    }
    *memo = now;
    return 0;
}

static void *marks(void *arg)
{
    pthread_mutex_lock(&lock);
    int first = !atomic_load_explicit(&cancel, memory_order_relaxed);
    if (BROKEN == 7 && first)
        raise_epoch();
    if (first)
        atomic_store_explicit(&cancel, 1, memory_order_release);
    else if (BROKEN != 1)
        make_known();
    pthread_mutex_unlock(&lock);
    if (first) {
        if (BROKEN == 3)
            set_known();
        if (BROKEN != 7)
            raise_epoch();
        set_known();
    }
    int memo = 0;
    must(cancelled(&memo), "a call has returned, and no cancel is found");
    return arg;
}

static int memos[2]; /* of the scopes of who asks: in the one he has not asked for long */

static void *asks(void *arg)
{
    if (cancelled(&memos[0]))
        must(cancelled(&memos[1]), "told so, and then not");
    return arg;
}

int main(void)
{
    for (int round = 0; another(round, ROUNDS); round++) {
        pthread_t thread[3];
        memos[0] = -1;
        memos[1] = 0;
        atomic_init(&cancel, 0);
        atomic_init(&known, 0);
        atomic_init(&epoch, 0);
        pthread_mutex_init(&lock, NULL);
        for (int i = 0; i < 3; i++)
            if (pthread_create(&thread[i], NULL, i < 2 ? marks : asks, NULL) != 0)
                abort();
        for (int i = 0; i < 3; i++)
            pthread_join(thread[i], NULL);
        must(cancelled(&memos[0]) && cancelled(&memos[1]), "a cancel that is never found");
        pthread_mutex_destroy(&lock);
    }
    return 0;
}
