/* Semaphores: counting, order, no permit lost or made up; exact on one worker, as invariants on four. */
#include "sync.h"

enum { CROWD = 8 };

static yoke_semaphore semaphore;
static int arrived, granted, arrival[CROWD], grants[CROWD], results[CROWD];

static void begin(unsigned count, unsigned max)
{
    check_int(yoke_semaphore_init(&semaphore, count, max), 0);
    arrived = granted = 0;
    memset(results, 0, sizeof results);
}

/* How many permits there are: takes them all, and gives them back. */
static int permits(void)
{
    int n = 0;
    while (yoke_semaphore_try_acquire(&semaphore) == 0)
        n++;
    for (int i = 0; i < n; i++)
        check_int(yoke_semaphore_release(&semaphore), 0);
    return n;
}

/* Takes one permit and keeps it. */
static int come(void *arg)
{
    int me = *(int *)arg;
    arrival[add(&arrived, 1)] = me;
    results[me] = yoke_semaphore_acquire(&semaphore);
    if (results[me] == 0)
        grants[add(&granted, 1)] = me;
    return 0;
}

/* ---- counting ---- */

static int counting(void *arg)
{
    (void)arg;
    begin(2, 3);
    check_int(permits(), 2);
    check_int(yoke_semaphore_acquire(&semaphore), 0);
    check_int(yoke_semaphore_acquire(&semaphore), 0);
    check_int(yoke_semaphore_try_acquire(&semaphore), -EAGAIN);
    for (int i = 0; i < 3; i++)
        check_int(yoke_semaphore_release(&semaphore), 0);
    check_int(yoke_semaphore_release(&semaphore), -EOVERFLOW);
    check_int(permits(), 3);
    begin(UINT32_MAX, UINT32_MAX);
    check_int(yoke_semaphore_release(&semaphore), -EOVERFLOW);
    check_int(yoke_semaphore_try_acquire(&semaphore), 0);
    check_int(yoke_semaphore_release(&semaphore), 0);
    check_int(yoke_semaphore_init(&semaphore, 0, 0), -EINVAL);
    check_int(yoke_semaphore_init(&semaphore, 2, 1), -EINVAL);
    yoke_semaphore never = { { 0 } };
    check_int(yoke_semaphore_acquire(&never), -EINVAL);
    check_int(yoke_semaphore_try_acquire(&never), -EINVAL);
    check_int(yoke_semaphore_release(&never), -EINVAL);
    return 0;
}

static void it_counts_up_to_its_maximum(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, counting, NULL), 0);
    assert_int_equal(yoke_semaphore_acquire(&semaphore), -ENOTRECOVERABLE);
    assert_int_equal(yoke_semaphore_try_acquire(&semaphore), -ENOTRECOVERABLE);
    assert_int_equal(yoke_semaphore_release(&semaphore), -ENOTRECOVERABLE);
}

/* ---- order ---- */

static int in_order(void *arg)
{
    (void)arg;
    begin(0, 2);
    YOKE_GROUP(g);
    for (int i = 0; i < CROWD; i++)
        check_int(yoke_spawn(g, come, int, i), 0);
    until(&arrived, CROWD);
    for (int i = 0; i < CROWD; i++) { /* more than max at once: each goes to a waiter */
        check_int(yoke_semaphore_release(&semaphore), 0);
        check_int(yoke_semaphore_try_acquire(&semaphore), -EAGAIN); /* handed over, though nobody has run */
    }
    check_int(granted, 0);
    check_int(yoke_group_close(g, 0), 0);
    check(memcmp(arrival, grants, sizeof grants) == 0);
    check_int(permits(), 0);
    return 0;
}

static void permits_are_handed_over_in_order(void **state)
{
    (void)state;
    assert_int_equal(run(1, in_order, NULL), 0);
}

/* ---- cancel ---- */

static int keep_cancelled(void *arg)
{
    int me = *(int *)arg;
    add(&arrived, 1);
    results[me] = yoke_semaphore_acquire(&semaphore);
    check_int(yoke_yield(), -ECANCELED); /* pending */
    return 0;
}

static int cancels(void *arg)
{
    (void)arg;
    yoke_task h[3];
    { /* cancelled before the release: the next one gets the permit */
        begin(0, 3);
        YOKE_GROUP(g);
        for (int i = 0; i < 3; i++)
            check_int(yoke_spawn_with(g, (.handle = &h[i]), come, int, i), 0);
        until(&arrived, 3);
        check_int(yoke_task_cancel(h[arrival[0]]), 0);
        check_int(yoke_task_cancel(h[arrival[2]]), 0);
        check_int(yoke_semaphore_release(&semaphore), 0);
        check_int(yoke_semaphore_try_acquire(&semaphore), -EAGAIN);
        check_int(yoke_semaphore_release(&semaphore), 0); /* nobody is left to get this one */
        check_int(permits(), 1);
        check_int(yoke_group_close(g, 0), 0);
        check_int(results[arrival[0]], -ECANCELED);
        check_int(results[arrival[1]], 0);
        check_int(results[arrival[2]], -ECANCELED);
        check_int(permits(), 1);
    }
    { /* cancelled after the release: the effect wins */
        begin(0, 3);
        YOKE_GROUP(g);
        check_int(yoke_spawn_with(g, (.handle = &h[0]), keep_cancelled, int, 0), 0);
        until(&arrived, 1);
        check_int(yoke_semaphore_release(&semaphore), 0);
        check_int(yoke_task_cancel(h[0]), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(results[0], 0);
        check_int(permits(), 0);
    }
    { /* checked first */
        begin(1, 1);
        YOKE_SCOPE(s);
        check_int(yoke_scope_cancel(s, -EXDEV), 0);
        check_int(yoke_semaphore_acquire(&semaphore), -ECANCELED);
        check_int(permits(), 1); /* try_acquire and release are no cancellation points */
        leave(s, -ECANCELED);
    }
    { /* a deadline */
        begin(0, 1);
        YOKE_SCOPE(s, .deadline = yoke_after(YOKE_US(200)));
        check_int(yoke_scope_close(s, yoke_semaphore_acquire(&semaphore)), -ETIMEDOUT);
        check_int(permits(), 0);
        check_int(yoke_semaphore_release(&semaphore), 0);
        check_int(permits(), 1);
    }
    return 0;
}

static int give(void *arg)
{
    (void)arg;
    return yoke_semaphore_release(&semaphore);
}

static int forks(void *arg)
{
    (void)arg;
    yoke_forked f;
    begin(0, 1);
    yoke_fork(&f, give, NULL);
    check_int(yoke_semaphore_acquire(&semaphore), 0); /* permits belong to nobody */
    check_int(yoke_join(&f), 0);
    check_int(permits(), 0);
    return 0;
}

static void release_and_cancel_agree_on_who_was_first(void **state)
{
    (void)state;
    assert_int_equal(run(1, cancels, NULL), 0);
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, forks, NULL), 0);
}

/* ---- a crowd that takes and gives back ---- */

enum { PERMITS = 3 };
static int holders, given, taken;

static int contend(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    YOKE_GROUP(cutters);
    for (int i = 0; i < 100; i++) {
        YOKE_SCOPE(s);
        cut_sometime(cutters, s, &r);
        bool patient = next_random(&r) % 4 != 0;
        int rc = patient ? yoke_semaphore_acquire(&semaphore) : yoke_semaphore_try_acquire(&semaphore);
        check(rc == 0 || rc == (patient ? -ECANCELED : -EAGAIN));
        if (rc == 0) {
            check(add(&holders, 1) < PERMITS);
            mix(&r);
            add(&holders, -1);
            check_int(yoke_semaphore_release(&semaphore), 0);
        }
        leave(s, rc);
        mix(&r);
    }
    return yoke_group_close(cutters, 0);
}

static int crowd(void *arg)
{
    (void)arg;
    REPEAT(300)
    {
        begin(PERMITS, PERMITS);
        YOKE_GROUP(g);
        for (int i = 0; i < 10; i++)
            check_int(yoke_spawn_ptr(g, contend, NULL), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(permits(), PERMITS);
    }
    return 0;
}

/* ---- one that gives and one that takes ---- */

static int take_some(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    YOKE_GROUP(cutters);
    for (int i = 0; i < 100; i++) {
        YOKE_SCOPE(s);
        cut_sometime(cutters, s, &r);
        int rc = yoke_semaphore_acquire(&semaphore);
        check(rc == 0 || rc == -ECANCELED);
        add(&taken, rc == 0);
        leave(s, rc);
        mix(&r);
    }
    return yoke_group_close(cutters, 0);
}

static int give_some(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    for (int i = 0; i < 100; i++) {
        check_int(yoke_semaphore_release(&semaphore), 0);
        add(&given, 1);
        mix(&r);
    }
    return 0;
}

static int one_way(void *arg)
{
    (void)arg;
    REPEAT(300)
    {
        begin(0, 1000);
        given = taken = 0;
        YOKE_GROUP(g);
        for (int i = 0; i < 5; i++) {
            check_int(yoke_spawn_ptr(g, take_some, NULL), 0);
            check_int(yoke_spawn_ptr(g, give_some, NULL), 0);
        }
        check_int(yoke_group_close(g, 0), 0); /* as many are given as are asked for */
        check_int(taken + permits(), given);
    }
    return 0;
}

static void no_permit_is_lost_or_made_up(void **state)
{
    (void)state;
    assert_int_equal(run(4, crowd, NULL), 0);
    assert_int_equal(run(4, one_way, NULL), 0);
}

/* ---- a semaphore that goes as soon as the acquire is over ---- */

static int release_it(void *arg)
{
    yoke_semaphore *there = *(yoke_semaphore **)arg;
    uint64_t r = fresh();
    mix(&r);
    return yoke_semaphore_release(there);
}

static int frames(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    REPEAT(20000)
    {
        yoke_semaphore *there = malloc(sizeof *there); /* so that the sanitizers would tell */
        check_int(yoke_semaphore_init(there, 0, 1), 0);
        check_int(yoke_spawn(g, release_it, yoke_semaphore *, there), 0);
        check_int(yoke_semaphore_acquire(there), 0);
        free(there);
    }
    return yoke_group_close(g, 0);
}

static void it_may_go_as_soon_as_the_acquire_is_over(void **state)
{
    (void)state;
    assert_int_equal(run(4, frames, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_counts_up_to_its_maximum),
        cmocka_unit_test(permits_are_handed_over_in_order),
        cmocka_unit_test(release_and_cancel_agree_on_who_was_first),
        cmocka_unit_test(no_permit_is_lost_or_made_up),
        cmocka_unit_test(it_may_go_as_soon_as_the_acquire_is_over),
    };
    (void)seed(); /* before several ask at a time */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
