/* Mutexes, exactly: order, who owns what, cancel before and after the hand-over, forks, owners that end. In a crowd: mutex_crowd.c. */
#include "sync.h"

enum { CROWD = 8 };

static yoke_mutex mutex = YOKE_MUTEX_INIT;
static int arrived, granted, arrival[CROWD], grants[CROWD], results[CROWD];

static void begin(void)
{
    yoke_mutex_init(&mutex);
    arrived = granted = 0;
    memset(results, 0, sizeof results);
}

static int is_free(void)
{
    int rc = yoke_mutex_trylock(&mutex);
    return rc == 0 ? yoke_mutex_unlock(&mutex) == 0 : 0;
}

/* Comes to the mutex, notes when and what it got, and lets go of it. */
static int come(void *arg)
{
    int me = *(int *)arg;
    arrival[add(&arrived, 1)] = me;
    results[me] = yoke_mutex_lock(&mutex);
    if (results[me] == 0) {
        grants[granted++] = me;
        check_int(yoke_mutex_unlock(&mutex), 0);
    }
    return 0;
}

/* ---- ownership ---- */

static int try_all(void *arg)
{
    (void)arg;
    check_int(yoke_mutex_trylock(&mutex), -EAGAIN);
    check_int(yoke_mutex_unlock(&mutex), -EPERM);
    return 0;
}

static int ownership(void *arg)
{
    (void)arg;
    begin();
    check_int(yoke_mutex_unlock(&mutex), -EPERM);
    for (int i = 0; i < 3; i++) {
        check_int(i == 1 ? yoke_mutex_trylock(&mutex) : yoke_mutex_lock(&mutex), 0);
        check_int(yoke_mutex_lock(&mutex), -EDEADLK);
        check_int(yoke_mutex_trylock(&mutex), -EAGAIN);
        YOKE_GROUP(g); /* a child is another, wherever it runs */
        check_int(yoke_spawn_ptr(g, try_all, NULL), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(yoke_yield(), 0); /* held over anything that blocks */
        check_int(yoke_mutex_unlock(&mutex), 0);
        check_int(yoke_mutex_unlock(&mutex), -EPERM);
    }
    yoke_mutex many[5] = { YOKE_MUTEX_INIT };
    for (int i = 0; i < 5; i++)
        check_int(yoke_mutex_lock(&many[i]), 0);
    for (int i = 0; i < 5; i++) /* in any order */
        check_int(yoke_mutex_unlock(&many[i * 2 % 5]), 0);
    return 0;
}

static void only_the_owner_unlocks(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, ownership, NULL), 0);
    assert_false(reported("owned"));
    assert_int_equal(yoke_mutex_trylock(&mutex), -ENOTRECOVERABLE);
    assert_int_equal(yoke_mutex_lock(&mutex), -ENOTRECOVERABLE);
    assert_int_equal(yoke_mutex_unlock(&mutex), -ENOTRECOVERABLE);
}

/* ---- order ---- */

static int in_order(void *arg)
{
    (void)arg;
    begin();
    check_int(yoke_mutex_lock(&mutex), 0);
    YOKE_GROUP(g);
    for (int i = 0; i < CROWD; i++)
        check_int(yoke_spawn(g, come, int, i), 0);
    until(&arrived, CROWD);
    check_int(granted, 0);
    check_int(yoke_mutex_unlock(&mutex), 0);
    check_int(yoke_mutex_trylock(&mutex), -EAGAIN); /* it is the first waiter's, though that has not run */
    check_int(yoke_mutex_unlock(&mutex), -EPERM);
    check_int(yoke_mutex_lock(&mutex), 0); /* after all who came before */
    check_int(granted, CROWD);
    check_int(yoke_mutex_unlock(&mutex), 0);
    check_int(yoke_group_close(g, 0), 0);
    check(memcmp(arrival, grants, sizeof grants) == 0);
    check(is_free());
    return 0;
}

static void it_is_handed_over_in_order(void **state)
{
    (void)state;
    assert_int_equal(run(1, in_order, NULL), 0);
}

/* ---- cancel ---- */

static int point(void *arg)
{
    (void)arg;
    begin();
    YOKE_SCOPE(s);
    check_int(yoke_scope_cancel(s, -EXDEV), 0);
    check_int(yoke_mutex_lock(&mutex), -ECANCELED); /* checked first, even though it is free */
    check_int(yoke_mutex_lock(&mutex), -ECANCELED);
    check_int(yoke_mutex_trylock(&mutex), 0); /* and nothing has happened */
    check_int(yoke_mutex_lock(&mutex), -ECANCELED);
    check_int(yoke_mutex_unlock(&mutex), 0);
    leave(s, -ECANCELED);
    return 0;
}

/* Gets it although it is cancelled, since it was handed over before. */
static int effect_wins(void *arg)
{
    int me = *(int *)arg;
    add(&arrived, 1);
    results[me] = yoke_mutex_lock(&mutex);
    check_int(yoke_yield(), -ECANCELED); /* pending */
    check_int(yoke_mutex_lock(&mutex), -ECANCELED);
    check_int(yoke_mutex_unlock(&mutex), 0);
    return 0;
}

static int cancels(void *arg)
{
    (void)arg;
    yoke_task h[3];
    { /* cancelled before the unlock: the next one gets it */
        begin();
        check_int(yoke_mutex_lock(&mutex), 0);
        YOKE_GROUP(g);
        for (int i = 0; i < 3; i++)
            check_int(yoke_spawn_with(g, (.handle = &h[i]), come, int, i), 0);
        until(&arrived, 3);
        check_int(yoke_task_cancel(h[arrival[0]]), 0);
        check_int(yoke_task_cancel(h[arrival[1]]), 0);
        check_int(yoke_mutex_unlock(&mutex), 0); /* they have not run since */
        check_int(yoke_mutex_trylock(&mutex), -EAGAIN);
        check_int(yoke_group_close(g, 0), 0);
        check_int(results[arrival[0]], -ECANCELED);
        check_int(results[arrival[1]], -ECANCELED);
        check_int(results[arrival[2]], 0);
        check(is_free());
    }
    for (int gone = 0; gone < 2; gone++) { /* all are cancelled, and have left or not: it is free again */
        begin();
        check_int(yoke_mutex_lock(&mutex), 0);
        YOKE_GROUP(g);
        for (int i = 0; i < 3; i++)
            check_int(yoke_spawn_with(g, (.handle = &h[i]), come, int, i), 0);
        until(&arrived, 3);
        for (int i = 0; i < 3; i++)
            check_int(yoke_task_cancel(h[i]), 0);
        if (gone)
            for (int i = 0, result; i < 3; i++)
                check_int(yoke_task_await(h[i], &result), 0);
        check_int(yoke_mutex_unlock(&mutex), 0);
        check(is_free());
        check_int(yoke_group_close(g, 0), 0);
        for (int i = 0; i < 3; i++)
            check_int(results[i], -ECANCELED);
        check(is_free());
    }
    { /* cancelled after it was handed over */
        begin();
        check_int(yoke_mutex_lock(&mutex), 0);
        YOKE_GROUP(g);
        check_int(yoke_spawn_with(g, (.handle = &h[0]), effect_wins, int, 0), 0);
        until(&arrived, 1);
        check_int(yoke_mutex_unlock(&mutex), 0);
        check_int(yoke_task_cancel(h[0]), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(results[0], 0);
        check(is_free());
    }
    return 0;
}

static int miss_deadline(void *arg)
{
    (void)arg;
    YOKE_SCOPE(s, .deadline = yoke_after(YOKE_MS(1)));
    check_int(yoke_scope_close(s, yoke_mutex_lock(&mutex)), -ETIMEDOUT);
    YOKE_SCOPE(past, .deadline = 1);
    check_int(yoke_scope_close(past, yoke_mutex_lock(&mutex)), -ETIMEDOUT);
    return 0;
}

static int deadlines(void *arg)
{
    (void)arg;
    begin();
    check_int(yoke_mutex_lock(&mutex), 0);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, miss_deadline, NULL), 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_mutex_unlock(&mutex), 0);
    check(is_free());
    return 0;
}

static void a_cancel_takes_nothing_and_loses_nothing(void **state)
{
    (void)state;
    assert_int_equal(run(1, cancels, NULL), 0);
    for (int workers = 1; workers <= 4; workers++) {
        assert_int_equal(run(workers, point, NULL), 0);
        assert_int_equal(run(workers, deadlines, NULL), 0);
    }
}

/* ---- forks ---- */

static yoke_event ran;

static int lock_in_call(void *arg)
{
    (void)arg;
    check_int(yoke_mutex_lock(&mutex), -EDEADLK); /* a call on the owner's stack */
    check_int(yoke_mutex_unlock(&mutex), 0);
    check_int(yoke_mutex_lock(&mutex), 0);
    return 0;
}

static int lock_apart(void *arg)
{
    (void)arg;
    check_int(yoke_mutex_unlock(&mutex), -EPERM);
    check_int(yoke_mutex_trylock(&mutex), -EAGAIN);
    check_int(yoke_event_set(&ran), 0);
    check_int(yoke_mutex_lock(&mutex), 0);
    add(&granted, 1);
    return yoke_mutex_unlock(&mutex);
}

static int lock_and_end(void *arg)
{
    (void)arg;
    check_int(yoke_mutex_lock(&mutex), 0);
    return yoke_event_set(&ran);
}

static int forks(void *arg)
{
    (void)arg;
    yoke_forked f;
    begin();
    check_int(yoke_mutex_lock(&mutex), 0);
    yoke_fork(&f, lock_in_call, NULL);
    check_int(yoke_join(&f), 0); /* nobody else took it */
    yoke_event_init(&ran);
    yoke_fork(&f, lock_apart, NULL);
    check_int(yoke_event_wait(&ran), 0); /* meanwhile the worker takes it, on a stack of its own */
    check_int(granted, 0);
    check_int(yoke_mutex_unlock(&mutex), 0);
    check_int(yoke_join(&f), 0);
    check_int(granted, 1);
    check(is_free());
    check(!reported("owned"));
    yoke_event_init(&ran);
    yoke_fork(&f, lock_and_end, NULL);
    check_int(yoke_event_wait(&ran), 0);
    check_int(yoke_join(&f), 0);
    check_int(yoke_mutex_lock(&mutex), -EOWNERDEAD); /* its strand has ended, though its task has not */
    check(reported("owned"));
    return 0;
}

static void a_fork_on_a_stack_of_its_own_is_another_owner(void **state)
{
    (void)state;
    assert_int_equal(run(1, forks, NULL), 0);
}

/* ---- owners that end ---- */

static yoke_mutex second = YOKE_MUTEX_INIT;

static int end_as_owner(void *arg)
{
    int *waiters = arg;
    check_int(yoke_mutex_lock(&mutex), 0);
    check_int(yoke_mutex_lock(&second), 0);
    until(&arrived, *waiters);
    return 0;
}

static int unlock_late(void *arg)
{
    (void)arg;
    check_int(yoke_mutex_unlock(&second), 0);
    return yoke_mutex_unlock(&mutex);
}

static int end_after_cleanup(void *arg)
{
    int none = 0;
    check_int(yoke_defer(unlock_late, arg), 0);
    return end_as_owner(&none);
}

static int ended(void *arg)
{
    (void)arg;
    for (int others = 0; others < 4; others++) {
        begin();
        yoke_mutex_init(&second);
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, end_as_owner, &others), 0);
        while (is_free())
            check_int(yoke_yield(), 0);
        for (int i = 0; i < others; i++)
            check_int(yoke_spawn(g, come, int, i), 0);
        check_int(yoke_group_close(g, 0), 0);
        for (int i = 0; i < others; i++)
            check_int(results[i], -EOWNERDEAD); /* those who waited */
        for (int i = 0; i < 2; i++) {           /* and those who come later, again and again */
            check_int(yoke_mutex_lock(&mutex), -EOWNERDEAD);
            check_int(yoke_mutex_trylock(&mutex), -EOWNERDEAD);
            check_int(yoke_mutex_unlock(&mutex), -EPERM);
            check_int(yoke_mutex_trylock(&second), -EOWNERDEAD);
        }
        yoke_mutex_init(&mutex);
        check_int(yoke_mutex_lock(&mutex), 0);
        check_int(yoke_mutex_unlock(&mutex), 0);
    }
    return 0;
}

static int ended_in_time(void *arg)
{
    (void)arg;
    begin();
    yoke_mutex_init(&second);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, end_after_cleanup, NULL), 0); /* a deferred function unlocks */
    check_int(yoke_group_close(g, 0), 0);
    check(is_free());
    check_int(yoke_mutex_lock(&second), 0); /* in the root, which ends with it */
    return 0;
}

static int find_dead(void *arg)
{
    (void)arg;
    check(is_free());
    return yoke_mutex_lock(&second);
}

static void an_owner_that_ends_is_told(void **state)
{
    (void)state;
    assert_int_equal(run(1, ended, NULL), 0);
    assert_true(reported("end_as_owner"));
    assert_int_equal(run(1, ended_in_time, NULL), 0);
    assert_false(reported("end_after_cleanup"));
    assert_true(reported("task 'main' ended while it owned a mutex"));
    assert_int_equal(run(1, find_dead, NULL), -EOWNERDEAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_owner_unlocks),
        cmocka_unit_test(it_is_handed_over_in_order),
        cmocka_unit_test(a_cancel_takes_nothing_and_loses_nothing),
        cmocka_unit_test(a_fork_on_a_stack_of_its_own_is_another_owner),
        cmocka_unit_test(an_owner_that_ends_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
