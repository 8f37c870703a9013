/*
 * operations NAME N: does one operation N times on one worker, for count.sh, which runs it under Valgrind with N and with 2 N and takes the
 * difference: so neither the start of the runtime nor that of the program counts. The loop does: two or three instructions, as in `call`.
 */
#include <errno.h>
#include <yoke/yoke.h>

#include "../measure.h"

enum { BATCH = 1000 }; /* tasks a group */

static long ran; /* one worker, so that nobody else counts */

static __attribute__((noinline)) long step(long n)
{
    ran++;
    return n;
}
YOKE_FORK_DEFINE1(step, long, long)

static __attribute__((noinline)) int task(void *arg)
{
    (void)arg;
    ran++;
    return 0;
}

static int call(long n)
{
    int (*volatile fn)(void *) = task;
    for (long i = 0; i < n; i++)
        YOKE_TRY(fn(NULL));
    return 0;
}

static int fork_typed(long n)
{
    for (long i = 0; i < n; i++) {
        step_fork f;
        step_fork_begin(&f, i);
        if (step_fork_join(&f) != i)
            return -EINVAL;
    }
    return 0;
}

static int fork_plain(long n)
{
    for (long i = 0; i < n; i++) {
        yoke_forked f;
        yoke_fork(&f, task, NULL);
        YOKE_TRY(yoke_join(&f));
    }
    return 0;
}

static int batches(long n, int (*spawn)(yoke_group g))
{
    for (long i = 0; i < n; i += BATCH) {
        YOKE_GROUP(g);
        for (int k = 0; k < BATCH; k++)
            YOKE_TRY(spawn(g));
        YOKE_TRY(yoke_group_close(g, 0));
    }
    return 0;
}

static inline int one_pointer(yoke_group g)
{
    return yoke_spawn_ptr(g, task, NULL);
}

struct words { long a, b, c, d; };

static inline int four_words(yoke_group g)
{
    return yoke_spawn(g, task, struct words, 1, 2, 3, 4);
}

static int spawn(long n)
{
    return batches(n, one_pointer);
}

static int spawn_copied(long n)
{
    return batches(n, four_words);
}

static int member(void *arg)
{
    for (int i = 0; i < BATCH; i++)
        YOKE_TRY(yoke_spawn_ptr(*(yoke_group *)arg, task, NULL));
    return 0;
}

static int spawn_member(long n)
{
    YOKE_GROUP(g);
    for (long i = 0; i < n; i += BATCH)
        YOKE_TRY(yoke_spawn_ptr(g, member, &g));
    return yoke_group_close(g, 0);
}

static int group(long n)
{
    for (long i = 0; i < n; i++) {
        YOKE_GROUP(g);
        YOKE_TRY(yoke_group_close(g, 0));
        ran++;
    }
    return 0;
}

static int scope(long n)
{
    for (long i = 0; i < n; i++) {
        YOKE_SCOPE(s);
        YOKE_TRY(yoke_scope_close(s, 0));
        ran++;
    }
    return 0;
}

static int checkpoint(long n)
{
    for (long i = 0; i < n; i++) {
        YOKE_TRY(yoke_checkpoint());
        ran++;
    }
    return 0;
}

static int yield(long n)
{
    for (long i = 0; i < n; i++) {
        YOKE_TRY(yoke_yield());
        ran++;
    }
    return 0;
}

static int yield_half(void *arg)
{
    return yield(*(long *)arg / 2);
}

static int yield_pair(long n)
{
    YOKE_GROUP(g);
    YOKE_TRY(yoke_spawn_ptr(g, yield_half, &n));
    YOKE_TRY(yoke_spawn_ptr(g, yield_half, &n));
    return yoke_group_close(g, 0);
}

struct ping { yoke_semaphore *mine, *other; long n; };

static int ping(void *arg)
{
    struct ping *p = arg;
    for (long i = 0; i < p->n; i++) {
        YOKE_TRY(yoke_semaphore_acquire(p->mine));
        YOKE_TRY(yoke_semaphore_release(p->other));
        ran++;
    }
    return 0;
}

static int hand_over(long n)
{
    yoke_semaphore a, b;
    YOKE_TRY(yoke_semaphore_init(&a, 1, 1));
    YOKE_TRY(yoke_semaphore_init(&b, 0, 1));
    YOKE_GROUP(g);
    YOKE_TRY(yoke_spawn(g, ping, struct ping, &a, &b, n / 2));
    YOKE_TRY(yoke_spawn(g, ping, struct ping, &b, &a, n / 2));
    return yoke_group_close(g, 0);
}

static int lock(long n)
{
    yoke_mutex mutex = YOKE_MUTEX_INIT;
    for (long i = 0; i < n; i++) {
        YOKE_TRY(yoke_mutex_lock(&mutex));
        ran++;
        YOKE_TRY(yoke_mutex_unlock(&mutex));
    }
    return 0;
}

static const struct operation { const char *name; int (*run)(long n); } operations[] = {
    { "call", call }, { "fork-typed", fork_typed }, { "fork-plain", fork_plain }, { "spawn", spawn }, { "spawn-copied", spawn_copied },
    { "spawn-member", spawn_member }, { "group", group }, { "scope", scope }, { "checkpoint", checkpoint }, { "yield", yield },
    { "yield-pair", yield_pair }, { "hand-over", hand_over }, { "lock", lock },
};

struct job { const struct operation *operation; long n; };

static int app(void *arg)
{
    const struct job *job = arg;
    return job->operation->run(job->n);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    struct job job = { .operation = NULL, .n = number(argc, argv, 2, BATCH) };
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (strcmp(name, operations[i].name) == 0)
            job.operation = &operations[i];
    if (job.operation == NULL || job.n % (2 * BATCH) != 0) {
        fprintf(stderr, "operations NAME N: no such operation, or N is no multiple of %d\n", 2 * BATCH);
        return 2;
    }
    if (yoke_run(app, &job, YOKE_OPTIONS(.workers = 1)) < 0 || ran != job.n) {
        fprintf(stderr, "%s: %ld of %ld\n", name, ran, job.n);
        return 1;
    }
    return 0;
}
