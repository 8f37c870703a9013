/*
 * The counting of executor/group.c in small, in plain C11 and pthreads: an owner that counts its spawns by itself, children that end on
 * other threads and subtract from `live`, one of them a member that spawns another. Invariant: exactly one - the owner's addition or a
 * child's subtraction - brings `live` to 0, only after the last child has ended, and whoever does it sees all of their effects.
 *
 * And the tokens of executor/post.c: a child acquires one and ends while the owner closes, and another thread posts through it.
 * Invariant: what was posted ends before the group is gone.
 *
 * Run by the tests as threads, many times. With GenMC, each script by itself: genmc -- -DGENMC -DSCRIPT=0 close.c. Caught when broken: the
 * member counting its child after it was published; the owner leaving out the bias, looking for tokens before it looks for children, not
 * waiting at the gate; a post that counts without a look at 0.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "rounds.h"

enum { CHILDREN, TOKENS, SCRIPTS };

#ifdef GENMC
#ifndef SCRIPT
#define SCRIPT CHILDREN
#endif
enum { FROM = SCRIPT, TO = SCRIPT + 1, ROUNDS = 1 };
#define IDLE() ((void)0)
#else
#include <sched.h>
enum { FROM = 0, TO = SCRIPTS, ROUNDS = 1500 };
#define IDLE() sched_yield()
#endif
#define BIAS (1L << 40)
#define SHUT 0x10000

static atomic_long live;
static atomic_int woken, offered;
static int effect[3]; /* plain: the children's effects, read by the owner */
static atomic_int tokens, gate;
static int gone, posted; /* plain: the group's memory, and what a post does */

static void must(int condition, const char *what)
{
    if (!condition) {
        printf("%s\n", what);
        abort();
    }
}

static void ended(void)
{
    if (atomic_fetch_sub_explicit(&live, 1, memory_order_acq_rel) == 1)
        must(atomic_fetch_add_explicit(&woken, 1, memory_order_release) == 0, "woken twice");
}

static void *child(void *arg)
{
    effect[(long)arg] = 1;
    ended();
    return NULL;
}

/* A member: counts its own child before it publishes it. */
static void *member(void *arg)
{
    (void)arg;
    effect[1] = 1;
    atomic_fetch_add_explicit(&live, 1, memory_order_acq_rel);
    atomic_store_explicit(&offered, 1, memory_order_release);
    ended();
    return NULL;
}

static void *thief(void *arg)
{
    while (atomic_load_explicit(&offered, memory_order_acquire) == 0)
        IDLE();
    return child(arg);
}

/* The owner, once it has run what it could: waits until all have ended. */
static void close_group(long spawned)
{
    long balance = spawned - BIAS;
    if (atomic_load_explicit(&live, memory_order_acquire) + balance == 0 && atomic_load_explicit(&tokens, memory_order_relaxed) == 0)
        return;
    if (atomic_fetch_add_explicit(&live, balance, memory_order_acq_rel) + balance != 0)
        while (atomic_load_explicit(&woken, memory_order_acquire) == 0)
            IDLE();
    else
        must(atomic_load(&woken) == 0, "woken although the owner closed");
}

static void children(void)
{
    pthread_t threads[3];
    pthread_create(&threads[0], NULL, child, (void *)0L);
    pthread_create(&threads[1], NULL, member, NULL);
    pthread_create(&threads[2], NULL, thief, (void *)2L);
    close_group(2);
    must(effect[0] + effect[1] + effect[2] == 3, "closed before the last child had ended");
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

/* ---- tokens ----------------------------------------------------------------------------------------------------------- */

static void *acquirer(void *arg)
{
    atomic_store_explicit(&tokens, 1, memory_order_relaxed); /* under the group's lock there */
    atomic_store_explicit(&offered, 1, memory_order_release);
    ended();
    return arg;
}

static void *poster(void *arg)
{
    while (atomic_load_explicit(&offered, memory_order_acquire) == 0)
        IDLE();
    int taken = 0;
    if ((atomic_fetch_add_explicit(&gate, 1, memory_order_acq_rel) & SHUT) == 0) {
        must(!gone, "looked at a group that is gone");
        long n = atomic_load_explicit(&live, memory_order_relaxed);
        while (n != 0 && !taken)
            taken = atomic_compare_exchange_strong_explicit(&live, &n, n + 1, memory_order_acq_rel, memory_order_acquire);
    }
    atomic_fetch_sub_explicit(&gate, 1, memory_order_acq_rel);
    if (taken) {
        must(!gone, "posted into a group that is gone");
        posted = 1;
        ended();
    }
    return arg;
}

static void shut(void)
{
    if (atomic_load_explicit(&tokens, memory_order_relaxed) == 0)
        return;
    atomic_fetch_or_explicit(&gate, SHUT, memory_order_acq_rel);
    while (atomic_load_explicit(&gate, memory_order_acquire) != SHUT)
        IDLE();
}

static void with_token(void)
{
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, acquirer, NULL);
    pthread_create(&threads[1], NULL, poster, NULL);
    close_group(1);
    shut();
    gone = 1;
    int was = posted;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    must(posted == was, "closed before what was posted had ended");
}

int main(void)
{
    for (int round = 0; another(round, ROUNDS); round++)
        for (int script = FROM; script < TO; script++) {
            atomic_init(&live, BIAS);
            atomic_init(&woken, 0);
            atomic_init(&offered, 0);
            atomic_init(&tokens, 0);
            atomic_init(&gate, 0);
            effect[0] = effect[1] = effect[2] = gone = posted = 0;
            if (script == CHILDREN)
                children();
            else
                with_token();
        }
    return 0;
}
