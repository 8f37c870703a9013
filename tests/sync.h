/*
 * sync.h - for the tests of mutexes, events, semaphores and channels.
 *
 * Exact on one worker: a task that counts itself in and then blocks, with nothing in between that could switch, is in the queue as soon
 * as another task sees the count. On four workers: scopes that are cancelled at random moments by tasks that yield a few times.
 */
#ifndef YOKE_TESTS_SYNC_H
#define YOKE_TESTS_SYNC_H

#include "support.h"

#define REPEAT(n) for (int round = repetitions(n); round > 0; round--)

static uint64_t random_state;

/* The start of a sequence of its own for every task that asks. */
static uint64_t fresh(void)
{
    return add(&random_state, 0x9e3779b97f4a7c15u) + seed();
}

/* The processor to another thread; not again soon if that one, perhaps of another process, kept it. */
static void let_another_thread_run(void)
{
    static _Thread_local int64_t skip;
    if (skip > 0) {
        skip--;
        return;
    }
    int64_t before = yoke_now();
    sched_yield();
    skip = (yoke_now() - before) / YOKE_US(20);
}

/* A place for others to come in between: tasks of this worker, other workers, other threads on their processor. */
static void mix(uint64_t *r)
{
    uint64_t n = next_random(r);
    jitter(r);
    if (n % 16 == 0)
        let_another_thread_run();
    else if (n % 4 == 0)
        for (uint64_t i = n / 16 % 300; i > 0; i--)
            __asm__ volatile("" ::: "memory");
}

/* Yields until *counter is n: then that many tasks have come as far. */
static void until(int *counter, int n)
{
    while (load(counter) != n)
        check_int(yoke_yield(), 0);
}

struct cut {
    yoke_scope scope;
    uint64_t random;
};

static int cut_scope(void *arg)
{
    struct cut *cut = arg;
    mix(&cut->random);
    int rc = yoke_scope_cancel(cut->scope, -EXDEV);
    check(rc == 0 || rc == -EINVAL); /* -EINVAL: left already */
    return 0;
}

/* Half of the scopes are cancelled sometime; `cutters` is a group of the calling task, opened outside of the scope. */
static void cut_sometime(yoke_group cutters, yoke_scope scope, uint64_t *r)
{
    if (next_random(r) % 2)
        check_int(yoke_spawn(cutters, cut_scope, struct cut, .scope = scope, .random = next_random(r)), 0);
}

/* Leaves a scope in which a wait returned `rc`: a cut wait is cut by this scope. */
static void leave(yoke_scope scope, int rc)
{
    check_int(yoke_scope_close(scope, rc), rc == -ECANCELED ? -EXDEV : rc);
}

#endif
