/*
 * The two races of executor/stop.c in small, in plain C11 and pthreads.
 *
 * Stop against opening: an opener links a scope below another and then asks whether that is stopping; a stopper marks and then visits the
 * list. Invariant: one of them cuts the scope, and only one mark counts.
 *
 * Stop against close: a stopper that finds the scope alive marks and pins it, arms a timer, and unpins; a timer server pins what is due;
 * the owner leaves: changes the generation, lets whoever has the lock pass, waits for the pins, disarms, waits again. Invariant: nobody touches the
 * scope after that. The scope's lock is here as in executor/lock.h, but for its sleep.
 *
 * Run by the tests as threads, many times. With GenMC: genmc -- -DGENMC stop.c. Caught when broken: the opener asking before it has linked;
 * the owner disarming before it waits for the pins, or not waiting again; the stopper unpinning before it arms; the owner not looking at
 * the lock, or changing the generation with release alone; the lock being taken by an exchange that is not in the one order.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "rounds.h"

#ifdef GENMC
enum { ROUNDS = 1 };
#define IDLE() ((void)0)
#else
#include <sched.h>
enum { ROUNDS = 3000 };
#define IDLE() sched_yield()
#endif

static void must(int condition, const char *what)
{
    if (!condition) {
        printf("%s\n", what);
        abort();
    }
}

/* ---- the scopes: a parent with a list of one, and the timer of the parent's grace ---- */

static pthread_mutex_t child_lock = PTHREAD_MUTEX_INITIALIZER, shard_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int parent_lock;
static atomic_int stopping, pins, gone, cuts, armed;
static bool linked;     /* under parent_lock */
static bool child_cut;  /* under child_lock */
static atomic_int generation; /* compared under parent_lock */

static void touch(void)
{
    must(atomic_load_explicit(&gone, memory_order_relaxed) == 0, "touched after the end");
}

static void lock_parent(void)
{
    int nobody = 0;
    while (!atomic_compare_exchange_strong(&parent_lock, &nobody, 1)) {
        nobody = 0;
        IDLE();
    }
}

static void unlock_parent(void)
{
    atomic_exchange_explicit(&parent_lock, 0, memory_order_acq_rel);
}

static void cut_child(void)
{
    pthread_mutex_lock(&child_lock);
    if (!child_cut)
        atomic_fetch_add_explicit(&cuts, 1, memory_order_relaxed);
    child_cut = true;
    pthread_mutex_unlock(&child_lock);
}

static void unpin(void)
{
    touch();
    atomic_fetch_sub_explicit(&pins, 1, memory_order_acq_rel);
}

static void *stopper(void *arg)
{
    (void)arg;
    lock_parent(); /* type-stable: that much is always allowed */
    bool alive = atomic_load(&generation) == 0;
    if (alive) {
        touch();
        atomic_store_explicit(&stopping, 1, memory_order_release);
        atomic_fetch_add_explicit(&pins, 1, memory_order_relaxed);
    }
    unlock_parent();
    if (!alive)
        return NULL;
    pthread_mutex_lock(&shard_lock);
    touch();
    atomic_store_explicit(&armed, 1, memory_order_relaxed);
    pthread_mutex_unlock(&shard_lock);
    lock_parent(); /* the visit */
    bool found = linked;
    unlock_parent();
    if (found)
        cut_child();
    unpin();
    return NULL;
}

static void *server(void *arg)
{
    (void)arg;
    bool due;
    pthread_mutex_lock(&shard_lock);
    due = atomic_load_explicit(&armed, memory_order_relaxed) != 0;
    if (due) {
        touch();
        atomic_fetch_add_explicit(&pins, 1, memory_order_relaxed);
        atomic_store_explicit(&armed, 0, memory_order_release); /* the last touch under this lock */
    }
    pthread_mutex_unlock(&shard_lock);
    if (due)
        unpin(); /* after the walk */
    return NULL;
}

/* Opens a marked scope inside, and leaves the outer one. */
static void *owner(void *arg)
{
    (void)arg;
    lock_parent();
    linked = true;
    unlock_parent();
    if (atomic_load_explicit(&stopping, memory_order_acquire) != 0)
        cut_child();
    return NULL;
}

static void *closer(void *arg)
{
    (void)arg;
    atomic_exchange(&generation, 1);
    if (atomic_load(&parent_lock) != 0) {
        lock_parent();
        unlock_parent();
    }
    while (atomic_load_explicit(&pins, memory_order_acquire) != 0)
        IDLE();
    if (atomic_load_explicit(&armed, memory_order_acquire) != 0) {
        pthread_mutex_lock(&shard_lock);
        atomic_store_explicit(&armed, 0, memory_order_relaxed);
        pthread_mutex_unlock(&shard_lock);
    }
    while (atomic_load_explicit(&pins, memory_order_acquire) != 0)
        IDLE();
    atomic_store_explicit(&gone, 1, memory_order_relaxed);
    return NULL;
}

static void round_of(void *(*const roles[])(void *), int n)
{
    pthread_t threads[4];
    linked = child_cut = false;
    atomic_store(&generation, 0);
    atomic_store(&stopping, 0);
    atomic_store(&pins, 0);
    atomic_store(&gone, 0);
    atomic_store(&cuts, 0);
    atomic_store(&armed, 0);
    for (int i = 0; i < n; i++)
        pthread_create(&threads[i], NULL, roles[i], NULL);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    void *(*const opening[])(void *) = { stopper, owner };
    void *(*const closing[])(void *) = { stopper, server, server, closer };
    for (int round = 0; another(round, ROUNDS); round++) {
        round_of(opening, 2);
        must(atomic_load(&cuts) == 1, "a marked scope was missed");
        round_of(closing, 4);
        must(atomic_load(&armed) == 0, "a timer was left armed");
        must(atomic_load(&pins) == 0, "the pins are off");
    }
    return 0;
}
