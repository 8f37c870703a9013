/*
 * Who is woken: rather a worker that fell asleep on another processor than the one that its waker goes on with (executor/park.c). What he finds
 * then: as many forks are public as workers are idle (executor/deque.h).
 */
#include "support.h"

#include "worker.h"

enum { WORKERS = 4, ELSEWHERE = 100000 };

/* Who has announced his sleep may still count as one who searches, and then nobody is woken. */
static void until_the_others_sleep(struct yoke_runtime *rt)
{
    while (__builtin_popcountll(load(&rt->sleepers[0])) != WORKERS - 1 || load(&rt->searching) != 0)
        sched_yield();
}

/* All but one of the sleepers lay down here. Whoever is woken lies down again, and then has another place than the one that is made up. */
static int wake_each(void *arg)
{
    struct yoke__worker *w = yoke__self();
    struct yoke_runtime *rt = w->rt;
    cpu_set_t here;
    (void)arg;
    CPU_ZERO(&here);
    CPU_SET((size_t)yoke__os_cpu(), &here);
    check_int(yoke__os_bind_self(&here, sizeof here), 0);
    for (int i = 0; i < WORKERS; i++) {
        if (i == w->index)
            continue;
        until_the_others_sleep(rt);
        for (int k = 0; k < WORKERS; k++)
            store(&rt->workers[k]->slept_on, k == i ? ELSEWHERE : yoke__os_cpu());
        yoke__wake_one(rt);
        until_the_others_sleep(rt);
        check(load(&rt->workers[i]->slept_on) != ELSEWHERE);
    }
    return 0;
}

static void who_slept_elsewhere_is_woken_first(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(20); i++)
        assert_int_equal(run(WORKERS, wake_each, NULL), 0);
}

/* They are woken all the same. */
static int wake_here(void *arg)
{
    struct yoke__worker *w = yoke__self();
    struct yoke_runtime *rt = w->rt;
    (void)arg;
    until_the_others_sleep(rt);
    for (int k = 0; k < WORKERS; k++)
        store(&rt->workers[k]->slept_on, yoke__os_cpu());
    uint64_t claims = load(&rt->claims);
    yoke__wake_one(rt);
    check(load(&rt->claims) == claims + 1);
    return 0;
}

static void and_if_nobody_did_one_who_slept_here(void **state)
{
    (void)state;
    assert_int_equal(run(WORKERS, wake_here, NULL), 0);
}

static int go;

static int wait_for_it(void *arg)
{
    (void)arg;
    while (load(&go) == 0)
        sched_yield();
    return 0;
}

/* Long before anybody has come and asked. What has been taken counts too. */
static int fork_for_all(void *arg)
{
    enum { FORKS = 2 * WORKERS };
    struct yoke__worker *w = yoke__self();
    struct yoke__deque *d = &w->head.deque;
    yoke_forked forks[FORKS];
    (void)arg;
    store(&go, 0);
    until_the_others_sleep(w->rt);
    int64_t bottom = d->bottom;
    for (int i = 0; i < FORKS; i++)
        yoke_fork(&forks[i], wait_for_it, NULL);
    int64_t shown = (int64_t)(load(&d->split) >> 2) - bottom;
    check(shown >= WORKERS - 1);
    store(&go, 1);
    int rc = 0;
    for (int i = FORKS; i-- > 0;)
        rc |= yoke_join(&forks[i]);
    return rc;
}

static void each_sleeper_is_shown_a_fork_of_his_own(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(20); i++)
        assert_int_equal(run(WORKERS, fork_for_all, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_slept_elsewhere_is_woken_first),
        cmocka_unit_test(each_sleeper_is_shown_a_fork_of_his_own),
        cmocka_unit_test(and_if_nobody_did_one_who_slept_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
