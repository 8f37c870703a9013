/* Out of memory inside a run: the failing call says so, what was promised holds, and the runtime goes on. */
#include "support.h"

#include "platform.h"

static int nothing(void *arg)
{
    if (arg != NULL)
        add((int *)arg, 1);
    return 0;
}

static int block(void *arg)
{
    int rc = yoke_yield();
    if (rc == 0)
        rc = yoke_sleep(YOKE_US(50));
    add((int *)arg, 1);
    return rc == -ENOMEM ? 0 : rc; /* a wait without a stack to leave to says so */
}

static int late, to_come; /* deferred functions that have run, that were registered */

static int deferred(void *arg)
{
    add((int *)arg, 1);
    return 0;
}

/* Groups in groups, forks, scopes, spawns, deferred functions: counts what was accepted and what ran. */
static int churn(void *arg)
{
    int *fault = arg, accepted = 0, ran = 0;
    yoke__os_fault_set((enum yoke__os_call)fault[0], fault[1], ENOMEM);
    for (int round = 0; round < 20; round++) {
        YOKE_GROUP(g);
        for (int i = 0; i < 40; i++) {
            int rc = i % 2 ? yoke_spawn_ptr(g, nothing, &ran) : yoke_spawn_ptr(g, block, &ran);
            check(rc == 0 || rc == -ENOMEM);
            accepted += rc == 0;
            if (i % 8 == 0) {
                yoke_task h;
                rc = yoke_spawn_ptr_with(g, (.handle = &h), nothing, &ran);
                check(rc == 0 || rc == -ENOMEM);
                accepted += rc == 0;
            }
        }
        YOKE_SCOPE(s, .deadline = yoke_after(YOKE_SEC(100)));
        yoke_forked f[20]; /* more than a small deque holds */
        for (int i = 0; i < 20; i++)
            yoke_fork(&f[i], nothing, &ran);
        accepted += 20; /* a fork cannot fail: its join runs it */
        for (int i = 19; i >= 0; i--)
            check_int(yoke_join(&f[i]), 0);
        int rc = yoke_scope_close(s, 0);
        check(rc == 0 || rc == -ENOMEM);
        rc = yoke_defer(deferred, &late); /* runs at the end */
        check(rc == 0 || rc == -ENOMEM);
        to_come += rc == 0;
        rc = yoke_group_close(g, 0);
        check(rc == 0 || rc == -ENOMEM);
    }
    yoke__os_fault_clear();
    check_int(ran, accepted);
    return 0;
}

static void fail_each(int workers, enum yoke__os_call which)
{
    for (int n = 1; n < 40; n++) {
        int fault[2] = { (int)which, n };
        late = to_come = 0;
        assert_int_equal(run(workers, churn, fault), 0);
        assert_int_equal(late, to_come);
    }
    int all[2] = { (int)which, -1 }; /* from now on nothing */
    assert_int_equal(run(workers, churn, all), 0);
}

static void mappings_fail(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++)
        fail_each(workers, YOKE__OS_MMAP);
}

static void the_heap_fails(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++)
        fail_each(workers, YOKE__OS_ALLOC);
}

/* Threads for blocking jobs. */
static int use_pool(void *arg)
{
    int ran = 0;
    (void)arg;
    yoke__os_fault_set(YOKE__OS_THREAD, -1, EAGAIN);
    check_int(yoke_blocking(nothing, &ran), -EAGAIN);
    check_int(ran, 0);
    yoke__os_fault_clear();
    check_int(yoke_blocking(nothing, &ran), 0);
    check_int(ran, 1);
    yoke__os_fault_set(YOKE__OS_THREAD, -1, EAGAIN);
    check_int(yoke_blocking(nothing, &ran), 0); /* one is there */
    yoke__os_fault_clear();
    return 0;
}

static void threads_fail(void **state)
{
    (void)state;
    assert_int_equal(run(2, use_pool, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mappings_fail),
        cmocka_unit_test(the_heap_fails),
        cmocka_unit_test(threads_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
