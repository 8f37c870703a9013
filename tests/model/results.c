/*
 * The wait of yoke_group_next in executor/policy.c in small, in plain C11 and pthreads: children queue their results and take themselves from
 * those alive under the group's lock, and fire the owner's wait there, which lies in its frame; a canceller fires it too. Invariant: every
 * result is handed out, "no more" is said after all, and nobody touches the wait of a frame that is gone. More of it in results.pml.
 *
 * Run by the tests as threads, many times. With GenMC: genmc -- -DGENMC results.c. Caught when broken: the owner leaving its frame without the
 * lock after a cancel; the look at queue and children, and the announcement, not under one lock; a child that is taken from those alive
 * before its result is queued.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "rounds.h"

enum { ARMED, DONE, CANCELLED };

#ifdef GENMC
enum { ROUNDS = 1, CHILDREN = 2 };
#define IDLE() ((void)0)
#else
#include <sched.h>
enum { ROUNDS = 600, CHILDREN = 3 };
#define IDLE() sched_yield()
#endif

struct wait {
    atomic_int fired;
    int frame; /* plain: 1 while it lives */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, scope_lock = PTHREAD_MUTEX_INITIALIZER;
static int alive, queue;                 /* under the lock */
static struct wait *waiting, *enlisted;  /* under the lock; under the scope's, for the canceller */
static int effects[CHILDREN];            /* plain: of a child, read by the owner after its result */

static void must(int condition, const char *what)
{
    if (!condition) {
        printf("%s\n", what);
        abort();
    }
}

static void fire(struct wait *wait, int code)
{
    int armed = ARMED;
    IDLE();
    must(wait->frame == 1, "fired a wait that is gone");
    atomic_compare_exchange_strong_explicit(&wait->fired, &armed, code, memory_order_acq_rel, memory_order_acquire);
}

static void *child(void *arg)
{
    effects[(long)arg] = 1;
    pthread_mutex_lock(&lock);
    queue++;
    IDLE();
    alive--;
    if (waiting != NULL) {
        fire(waiting, DONE);
        waiting = NULL;
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void *cancel(void *arg)
{
    pthread_mutex_lock(&scope_lock);
    if (enlisted != NULL)
        fire(enlisted, CANCELLED);
    pthread_mutex_unlock(&scope_lock);
    return arg;
}

static void enlist(struct wait *wait)
{
    pthread_mutex_lock(&scope_lock);
    enlisted = wait;
    pthread_mutex_unlock(&scope_lock);
}

static void await_result(void)
{
    struct wait wait;
    atomic_init(&wait.fired, ARMED);
    wait.frame = 1;
    enlist(&wait);
    pthread_mutex_lock(&lock);
    bool there = queue > 0 || alive == 0;
    IDLE(); /* a place for others to come in between, if they could */
    if (!there)
        waiting = &wait;
    pthread_mutex_unlock(&lock);
    if (!there) {
        while (atomic_load_explicit(&wait.fired, memory_order_acquire) == ARMED)
            IDLE();
        pthread_mutex_lock(&lock); /* who fires under it has let go of our frame */
        waiting = NULL;
        pthread_mutex_unlock(&lock);
    }
    enlist(NULL);
    wait.frame = 0;
}

/* False: no more. */
static bool next(void)
{
    for (;;) {
        pthread_mutex_lock(&lock);
        must(waiting == NULL, "the group still knows a wait that is gone");
        bool one = queue > 0, none = !one && alive == 0;
        queue -= one;
        pthread_mutex_unlock(&lock);
        if (one || none)
            return one;
        await_result(); /* a cancelled one tries again here, as a caller in a shield would */
    }
}

int main(void)
{
    for (int round = 0; another(round, ROUNDS); round++) {
        pthread_t threads[CHILDREN + 1];
        int handed = 0;
        alive = CHILDREN;
        queue = 0;
        waiting = enlisted = NULL;
        for (long i = 0; i < CHILDREN; i++) {
            effects[i] = 0;
            pthread_create(&threads[i], NULL, child, (void *)i);
        }
        pthread_create(&threads[CHILDREN], NULL, cancel, NULL);
        while (next())
            handed++;
        must(handed == CHILDREN, "said that there are no more");
        for (int i = 0; i < CHILDREN; i++)
            must(effects[i] == 1, "a result without its effects");
        for (int i = 0; i <= CHILDREN; i++)
            pthread_join(threads[i], NULL);
    }
    return 0;
}
