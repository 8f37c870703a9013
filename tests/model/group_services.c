/*
 * The services of executor/group.c in small, in plain C11 and pthreads: an owner that closes its group while a service spawns a child and
 * ends, or a child spawns a service and ends, or a service stays until it is told. Invariant: close returns after all of them, sees their
 * effects, and one alone wakes the owner. The states of more of them are searched by group_services.pml.
 *
 * Run by the tests as threads, many times. With GenMC, each script by itself: genmc -- -DGENMC -DSCRIPT=0 group_services.c. Caught when broken:
 * the owner leaving early by the number of services, looked at after or before that of children, instead of `serviced`.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "rounds.h"

enum { SERVICE_SPAWNS, CHILD_SPAWNS, SERVICE_STAYS, SCRIPTS };

#ifdef GENMC
#ifndef SCRIPT
#define SCRIPT SERVICE_SPAWNS
#endif
enum { FROM = SCRIPT, TO = SCRIPT + 1, ROUNDS = 1 };
#define IDLE() ((void)0)
#else
#include <sched.h>
enum { FROM = 0, TO = SCRIPTS, ROUNDS = 500 };
#define IDLE() sched_yield()
#endif
#define BIAS (1L << 40)

static atomic_long live, services;
static atomic_int serviced, woken, told, offered;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool over, listed; /* under the lock */
static int effect[2];     /* plain: of the child and of the service, read by the owner */
static int accepted[2];   /* plain: written before who wrote it has ended */

static void must(int condition, const char *what)
{
    if (!condition) {
        printf("%s\n", what);
        abort();
    }
}

static void wake(void)
{
    must(atomic_fetch_add_explicit(&woken, 1, memory_order_release) == 0, "woken twice");
}

static bool others_ended(void)
{
    if (atomic_load_explicit(&services, memory_order_acquire) == 1)
        return true;
    pthread_mutex_lock(&lock);
    over = true;
    if (listed)
        atomic_store_explicit(&told, 1, memory_order_release);
    pthread_mutex_unlock(&lock);
    return atomic_fetch_sub_explicit(&services, 1, memory_order_acq_rel) == 1;
}

static void child_ended(void)
{
    if (atomic_fetch_sub_explicit(&live, 1, memory_order_acq_rel) == 1 && others_ended())
        wake();
}

static void service_ended(void)
{
    if (atomic_fetch_sub_explicit(&services, 1, memory_order_acq_rel) == 1)
        wake();
}

/* By one who is counted. */
static bool attach(void)
{
    pthread_mutex_lock(&lock);
    atomic_store_explicit(&serviced, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&services, 1, memory_order_relaxed);
    bool late = over;
    listed = listed || !late;
    pthread_mutex_unlock(&lock);
    if (late)
        atomic_fetch_sub_explicit(&services, 1, memory_order_relaxed);
    return !late;
}

/* From inside a service's tree. */
static bool count_post(void)
{
    long n = atomic_load_explicit(&live, memory_order_relaxed);
    while (n != 0)
        if (atomic_compare_exchange_strong_explicit(&live, &n, n + 1, memory_order_acq_rel, memory_order_acquire))
            return true;
    return false;
}

static void close_group(long spawned)
{
    long balance = spawned - BIAS;
    bool children = atomic_load_explicit(&live, memory_order_acquire) + balance != 0;
    IDLE(); /* a place for others to come in between */
    if (!children && atomic_load_explicit(&serviced, memory_order_relaxed) == 0)
        return;
    if (atomic_fetch_add_explicit(&live, balance, memory_order_acq_rel) + balance == 0 && others_ended()) {
        must(atomic_load_explicit(&woken, memory_order_relaxed) == 0, "woken although the owner closed");
        return;
    }
    while (atomic_load_explicit(&woken, memory_order_acquire) == 0)
        IDLE();
}

/* ---- what runs ---------------------------------------------------------------------------------------------------------- */

static void *spawned_child(void *arg)
{
    while (atomic_load_explicit(&offered, memory_order_acquire) == 0)
        IDLE();
    if (atomic_load_explicit(&offered, memory_order_relaxed) == 1) {
        effect[0] = 1;
        child_ended();
    }
    return arg;
}

static void *spawning_service(void *arg)
{
    bool in = count_post();
    accepted[0] = in;
    atomic_store_explicit(&offered, in ? 1 : 2, memory_order_release);
    effect[1] = 1;
    service_ended();
    return arg;
}

static void *spawned_service(void *arg)
{
    while (atomic_load_explicit(&offered, memory_order_acquire) == 0)
        IDLE();
    if (atomic_load_explicit(&offered, memory_order_relaxed) == 1) {
        while (atomic_load_explicit(&told, memory_order_acquire) == 0)
            IDLE();
        effect[1] = 1;
        service_ended();
    }
    return arg;
}

static void *spawning_child(void *arg)
{
    bool in = attach();
    accepted[1] = in;
    atomic_store_explicit(&offered, in ? 1 : 2, memory_order_release);
    effect[0] = 1;
    child_ended();
    return arg;
}

static void run_script(int script)
{
    pthread_t threads[2];
    void *(*const bodies[SCRIPTS][2])(void *) = {
        { spawning_service, spawned_child }, { spawning_child, spawned_service }, { spawned_service, spawned_child }
    };
    long spawned = script == CHILD_SPAWNS || script == SERVICE_STAYS;
    if (script != CHILD_SPAWNS)
        must(attach(), "refused");
    if (script == SERVICE_STAYS)
        atomic_store_explicit(&offered, 1, memory_order_relaxed);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, bodies[script][i], NULL);
    close_group(spawned);
    if (script == SERVICE_SPAWNS)
        must(effect[1] == 1 && effect[0] == accepted[0], "closed before the service and its child had ended");
    else if (script == CHILD_SPAWNS)
        must(effect[0] == 1 && effect[1] == accepted[1], "closed before the child and its service had ended");
    else
        must(effect[0] == 1 && effect[1] == 1, "closed before the service had ended");
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    for (int round = 0; another(round, ROUNDS); round++)
        for (int script = FROM; script < TO; script++) {
            atomic_init(&live, BIAS);
            atomic_init(&services, 1);
            atomic_init(&serviced, 0);
            atomic_init(&woken, 0);
            atomic_init(&told, 0);
            atomic_init(&offered, 0);
            over = listed = false;
            effect[0] = effect[1] = accepted[0] = accepted[1] = 0;
            run_script(script);
        }
    return 0;
}
