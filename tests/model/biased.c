/*
 * The lock of executor/biased.h in small, in plain C11 and pthreads: an owner and another; others keep each other out by the lock
 * below, as they do anywhere. The steps and their orders are those of executor/biased.[ch]. membarrier(2) is modelled as in deque.c: the owner, where he has a compiler barrier only, and the other exchange the
 * same word. A futex is a lock round the look at the word and the list of sleepers; a sleeper in the model goes away, and is owed a turn.
 *
 * Invariants: one at a time (what is inside is plain memory: a data race); nobody sleeps whom nobody is going to wake.
 *
 * Run by the tests as threads, many times. With GenMC: genmc -- -DGENMC biased.c
 *
 * With -DBROKEN=n one line or order is missing, and a search of all executions finds it:
 *   1 the owner has no barrier on his way in           (both inside)
 *   2 he does not look once more                       (both inside)
 *   3 he has no barrier on his way out                 (sleeps for ever)
 *   4 he wakes nobody on his way out                   (sleeps for ever)
 *   5 he wakes nobody when he has to give way          (sleeps for ever)
 *   6 he leaves relaxed                                (a race)
 *   7 the other looks at `busy` relaxed                (a race)
 *   8 the other has no membarrier                      (both inside)
 *   9 the other does not wait for him                  (both inside)
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "rounds.h"

#ifndef BROKEN
#define BROKEN 0
#endif

enum { CALM = 2, TURNS = 3 };

#ifdef GENMC
enum { ROUNDS = 1 };
#define must(condition, what) assert((condition) && (what))
#else
enum { ROUNDS = 2000 };
#define must(condition, what) ((condition) ? (void)0 : (puts(what), abort()))
#endif

static pthread_mutex_t lock, futex;
static atomic_int biased, busy, barrier;
static int calm, asleep; /* under lock, futex */
static int inside;       /* plain */

static void wake(void)
{
    pthread_mutex_lock(&futex);
    asleep = 0;
    pthread_mutex_unlock(&futex);
}

static void give_way(int broken)
{
    atomic_store_explicit(&busy, 0, BROKEN == 6 ? memory_order_relaxed : memory_order_release);
    if (BROKEN != broken)
        wake();
}

static void be_inside(void)
{
    inside++;
}

static bool enter(void)
{
    if (atomic_load_explicit(&biased, memory_order_relaxed)) {
        atomic_store_explicit(&busy, 1, memory_order_relaxed);
        if (BROKEN != 1)
            atomic_fetch_add_explicit(&barrier, 1, memory_order_acq_rel); /* the other's membarrier, in this thread */
        if (BROKEN == 2 || atomic_load_explicit(&biased, memory_order_relaxed))
            return true;
        give_way(5);
    }
    pthread_mutex_lock(&lock);
    if (++calm == CALM)
        atomic_store_explicit(&biased, 1, memory_order_relaxed);
    return false;
}

static void leave(bool by_bias)
{
    if (!by_bias) {
        pthread_mutex_unlock(&lock);
        return;
    }
    atomic_store_explicit(&busy, 0, BROKEN == 6 ? memory_order_relaxed : memory_order_release);
    if (BROKEN != 3)
        atomic_fetch_add_explicit(&barrier, 1, memory_order_acq_rel); /* the same */
    if (!atomic_load_explicit(&biased, memory_order_relaxed))
        give_way(4);
}

static void *owner(void *arg)
{
    for (int i = 0; i < TURNS; i++) {
        bool by_bias = enter();
        be_inside();
        leave(by_bias);
    }
    return arg;
}

/* False: it would sleep. */
static bool wait_for_the_owner(void)
{
    bool sleeps = false;
    if (BROKEN == 9 || !atomic_load_explicit(&busy, BROKEN == 7 ? memory_order_relaxed : memory_order_acquire))
        return true;
    pthread_mutex_lock(&futex);
    if (atomic_load_explicit(&busy, memory_order_relaxed)) {
        asleep = 1;
        sleeps = true;
    }
    pthread_mutex_unlock(&futex);
    /* Awake, it looks again; here once, as a second sleep would be as the first. */
    return !sleeps && !atomic_load_explicit(&busy, BROKEN == 7 ? memory_order_relaxed : memory_order_acquire);
}

static void *other(void *arg)
{
    pthread_mutex_lock(&lock);
    bool in = true;
    if (atomic_load_explicit(&biased, memory_order_relaxed)) {
        atomic_store_explicit(&biased, 0, memory_order_relaxed);
        if (BROKEN != 8)
            atomic_fetch_add_explicit(&barrier, 1, memory_order_acq_rel); /* membarrier */
        in = wait_for_the_owner();
    }
    calm = 0;
    if (in)
        be_inside();
    pthread_mutex_unlock(&lock);
    return in ? arg : NULL;
}

int main(void)
{
    for (int round = 0; another(round, ROUNDS); round++) {
        pthread_t first, second;
        void *was_inside;
        atomic_init(&biased, 0);
        atomic_init(&busy, 0);
        atomic_init(&barrier, 0);
        calm = 0;
        asleep = inside = 0;
        pthread_mutex_init(&lock, NULL);
        pthread_mutex_init(&futex, NULL);
        if (pthread_create(&first, NULL, owner, NULL) != 0 || pthread_create(&second, NULL, other, &lock) != 0)
            abort();
        pthread_join(first, NULL);
        pthread_join(second, &was_inside);
        must(!asleep, "somebody sleeps for ever");
        must(inside == TURNS + (was_inside != NULL), "two were inside at once");
        pthread_mutex_destroy(&lock);
        pthread_mutex_destroy(&futex);
    }
#ifndef GENMC
    puts("one at a time");
#endif
    return 0;
}
