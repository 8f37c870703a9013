/*
 * The ring of executor/ready.h in small, in plain C11 and pthreads: an owner who pushes, takes and exchanges, and two thieves who revoke.
 * The steps and their orders are those of executor/ready.[ch]. membarrier(2) is modelled as in deque.c: the owner, where it has a
 * compiler barrier only, and the thief exchange the same word.
 *
 * Invariants: nobody is in the ring together with somebody else (its contents are plain memory: a data race); every fiber is taken exactly once, by
 * somebody who sees what its pusher wrote; none is found before its stack was left.
 *
 * Run by the tests as threads, many times. With GenMC: genmc -- -DGENMC ready.c
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "rounds.h"

enum { RING = 4, THIEVES = 2, FIBERS = 3 };

#ifdef GENMC
enum { ROUNDS = 1 };
#define must(condition, what) assert((condition) && (what))
#else
enum { ROUNDS = 2000 };
#define must(condition, what) ((condition) ? (void)0 : (puts(what), abort()))
#endif

static atomic_uint head, tail;
static atomic_int busy, revoked, barrier;
static int ring[RING];                    /* plain */
static int left[FIBERS + 1];              /* plain: written when the fiber's stack has been left, by the owner */
static int taken[FIBERS + 1];             /* plain: whose it is, is settled by the ring */
static int public[FIBERS + 1], npublic;   /* the owner's public part; here nobody takes from it before the end */

static int enter(void)
{
    atomic_store_explicit(&busy, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&barrier, 1, memory_order_acq_rel); /* the thief's membarrier, in this thread */
    if (atomic_load_explicit(&revoked, memory_order_acquire) == 0)
        return 1;
    atomic_store_explicit(&busy, 0, memory_order_release);
    return 0;
}

static void leave(void)
{
    atomic_store_explicit(&busy, 0, memory_order_release);
}

static void take(int fiber)
{
    must(fiber > 0 && left[fiber], "a fiber was found before its stack was left");
    must(++taken[fiber] == 1, "a fiber was taken twice");
}

static void push(int fiber)
{
    left[fiber] = 1;
    if (enter()) {
        unsigned t = atomic_load_explicit(&tail, memory_order_relaxed);
        ring[t % RING] = fiber;
        atomic_store_explicit(&tail, t + 1, memory_order_relaxed);
        leave();
        return;
    }
    public[npublic++] = fiber;
}

static int pop(void)
{
    int fiber = 0;
    if (enter()) {
        unsigned h = atomic_load_explicit(&head, memory_order_relaxed);
        if (h != atomic_load_explicit(&tail, memory_order_relaxed)) {
            fiber = ring[h % RING];
            atomic_store_explicit(&head, h + 1, memory_order_relaxed);
        }
        leave();
    }
    return fiber;
}

/* The fiber `me` is left, and the oldest one gone on with, if there is one. */
static int exchange(int me)
{
    if (!enter())
        return 0;
    unsigned h = atomic_load_explicit(&head, memory_order_relaxed), t = atomic_load_explicit(&tail, memory_order_relaxed);
    if (h == t) {
        leave();
        return 0;
    }
    int to = ring[h % RING];
    ring[t % RING] = me;
    atomic_store_explicit(&tail, t + 1, memory_order_relaxed);
    atomic_store_explicit(&head, h + 1, memory_order_relaxed);
    left[me] = 1; /* on the next stack */
    leave();
    return to;
}

static void *rob(void *arg)
{
    int nobody = 0;
    if (atomic_load_explicit(&tail, memory_order_relaxed) == atomic_load_explicit(&head, memory_order_relaxed) ||
        !atomic_compare_exchange_strong(&revoked, &nobody, 1))
        return arg;
    atomic_fetch_add_explicit(&barrier, 1, memory_order_acq_rel); /* membarrier */
    if (atomic_load_explicit(&busy, memory_order_acquire) == 0) {
        unsigned h = atomic_load_explicit(&head, memory_order_relaxed), n = atomic_load_explicit(&tail, memory_order_relaxed) - h;
        for (unsigned i = 0; i < n / 2 + n % 2; i++, h++)
            take(ring[h % RING]);
        atomic_store_explicit(&head, h, memory_order_relaxed);
    }
    atomic_store_explicit(&revoked, 0, memory_order_release);
    return arg;
}

int main(void)
{
    for (int round = 0; another(round, ROUNDS); round++) {
        pthread_t thieves[THIEVES];
        int fiber;
        atomic_init(&head, 0);
        atomic_init(&tail, 0);
        atomic_init(&busy, 0);
        atomic_init(&revoked, 0);
        atomic_init(&barrier, 0);
        npublic = 0;
        for (int i = 0; i <= FIBERS; i++)
            left[i] = taken[i] = 0;
        push(1);
        for (int i = 0; i < THIEVES; i++)
            if (pthread_create(&thieves[i], NULL, rob, NULL) != 0)
                abort();
        push(2);
        if ((fiber = exchange(3)) != 0)
            take(fiber);
        else
            take((left[3] = 1, 3)); /* it goes on itself */
        for (int i = 0; i < THIEVES; i++)
            pthread_join(thieves[i], NULL);
        while ((fiber = pop()) != 0)
            take(fiber);
        while (npublic > 0)
            take(public[--npublic]);
        for (int i = 1; i <= FIBERS; i++)
            must(taken[i] == 1, "a fiber was lost");
    }
    puts("every fiber was taken once");
    return 0;
}
