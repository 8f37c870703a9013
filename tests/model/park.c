/*
 * The idle protocol of executor/park.c in small: one pusher at a time, two parkers, in plain C11 and pthreads.
 *
 * A parker announces itself (bit, count), leaves the searchers, and after a full barrier looks at the work once more; a pusher publishes and
 * then looks for sleepers, but only if nobody searches. The real pusher has no barrier of its own: the parker's membarrier(2) puts one into
 * it; here both have a seq_cst fence, which is what that amounts to. Who takes the last item ends the run and wakes everybody. Invariant:
 * nobody sleeps for ever.
 *
 * Run by the tests as threads, many times. With GenMC: genmc --check-liveness -- -DGENMC park.c (without the option a sleep that nobody ends
 * is not told). Caught when broken: the second look or either fence left out; the searcher's count given back after the second look.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "rounds.h"

#ifdef GENMC
enum { ITEMS = 1, ROUNDS = 1 };
#define IDLE() ((void)0)
#else
#include <sched.h>
enum { ITEMS = 3, ROUNDS = 3000 };
#define IDLE() sched_yield()
#endif
enum { PARKERS = 2 };

static atomic_int items, taken, searching, sleepers, asleep[PARKERS];

static int claim(int i)
{
    return (atomic_fetch_and(&sleepers, ~(1 << i)) >> i) & 1;
}

static void wake_one(void)
{
    if (atomic_load_explicit(&sleepers, memory_order_relaxed) == 0 || atomic_load_explicit(&searching, memory_order_relaxed) != 0)
        return;
    for (;;) {
        int nobody = 0;
        if (!atomic_compare_exchange_strong(&searching, &nobody, 1))
            return;
        for (int i = 0; i < PARKERS; i++)
            if ((atomic_load(&sleepers) >> i & 1) && claim(i)) {
                atomic_store_explicit(&asleep[i], 0, memory_order_release);
                return;
            }
        atomic_fetch_sub(&searching, 1);
        if (atomic_load(&sleepers) == 0)
            return;
    }
}

static void wake_all(void)
{
    for (int i = 0; i < PARKERS; i++)
        if (claim(i)) {
            atomic_fetch_add(&searching, 1);
            atomic_store_explicit(&asleep[i], 0, memory_order_release);
        }
}

static int take(void)
{
    int n = atomic_load(&items);
    for (int i = 0; i < ITEMS && n > 0; i++) /* it fails when another has taken one */
        if (atomic_compare_exchange_strong(&items, &n, n - 1)) {
            if (atomic_fetch_add(&taken, 1) == ITEMS - 1)
                wake_all();
            return 1;
        }
    return 0;
}

#ifdef GENMC
#define at(who, place) ((void)0)
#define check_sleep(me) ((void)0)
#else
enum { PUSHER = PARKERS };
enum { AWAKE, SLEEPING, GONE };
static atomic_int places[PARKERS + 1];

static void at(int who, int place)
{
    atomic_store(&places[who], place);
}

/* Nobody is left to wake this one: the pusher has gone, and the other parker has, or sleeps for as long as this one does. */
static void check_sleep(int me)
{
    if (atomic_load(&places[PUSHER]) != GONE)
        return;
    for (int i = 0; i < PARKERS; i++) {
        int unwoken = atomic_load(&asleep[i]) != 0, place = atomic_load(&places[i]);
        if (i != me && (place == AWAKE || (place == SLEEPING && !unwoken)))
            return;
    }
    if (atomic_load(&asleep[me]) != 0) {
        printf("parker %d sleeps beside %d items\n", me, atomic_load(&items));
        exit(1);
    }
}
#endif

static void *push(void *arg)
{
    (void)arg;
    for (int i = 0; i < ITEMS; i++) {
        atomic_fetch_add_explicit(&items, 1, memory_order_release);
        atomic_thread_fence(memory_order_seq_cst); /* the parker's membarrier */
        wake_one();
    }
    at(PUSHER, GONE);
    return NULL;
}

static void sleep_here(int me)
{
    at(me, SLEEPING);
    while (atomic_load_explicit(&asleep[me], memory_order_acquire) != 0) {
        check_sleep(me);
        IDLE();
    }
    at(me, AWAKE);
}

static void *park(void *arg)
{
    int me = (int)(long)arg, counted = 0;
    while (atomic_load(&taken) < ITEMS) {
        if (!counted) {
            atomic_fetch_add(&searching, 1);
            counted = 1;
        }
        if (take()) {
            counted = 0;
            if (atomic_fetch_sub(&searching, 1) == 1)
                wake_one();
            continue;
        }
        IDLE(); /* a place for the pusher */
        atomic_store_explicit(&asleep[me], 1, memory_order_relaxed);
        atomic_fetch_or(&sleepers, 1 << me);
        atomic_fetch_sub(&searching, 1);
        counted = 0;
        atomic_thread_fence(memory_order_seq_cst);
        if ((atomic_load_explicit(&items, memory_order_acquire) > 0 || atomic_load(&taken) == ITEMS) && claim(me)) {
            atomic_fetch_add(&searching, 1);
            counted = 1;
            continue;
        }
        sleep_here(me);
        counted = 1; /* whoever woke us has counted us */
    }
    at(me, GONE);
    return NULL;
}

int main(void)
{
    for (int round = 0; another(round, ROUNDS); round++) {
        pthread_t pusher, parkers[PARKERS];
        atomic_init(&items, 0);
        atomic_init(&taken, 0);
        atomic_init(&searching, 0);
        atomic_init(&sleepers, 0);
        at(PUSHER, AWAKE);
        for (int i = 0; i < PARKERS; i++) {
            atomic_init(&asleep[i], 0);
            at(i, AWAKE);
            pthread_create(&parkers[i], NULL, park, (void *)(long)i);
        }
        pthread_create(&pusher, NULL, push, NULL);
        pthread_join(pusher, NULL);
        for (int i = 0; i < PARKERS; i++)
            pthread_join(parkers[i], NULL);
    }
    return 0;
}
