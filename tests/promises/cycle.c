/* Debug mode: cycles among locks, joins, closes and awaits are told as they close, while something else still holds the verdict off. */
#include "support.h"

static int fds[2];

/* Keeps the runtime from being judged, and ends it once a cycle has been told. */
static void tell(void *ctx, const char *line)
{
    keep_report(ctx, line);
    if (strstr(line, "cycle: these") != NULL)
        check_int(write(fds[1], "x", 1), 1);
}

static int listen_and_end(void *arg)
{
    check_int(yoke_fd_readable(fds[0]), 0);
    return yoke_group_cancel(*(yoke_group *)arg, 0);
}

/* Runs `body` in a group that is cancelled when a cycle has been told. */
static int beside_a_listener(void *arg)
{
    yoke_fn body = *(yoke_fn *)arg;
    YOKE_GROUP(outer);
    YOKE_GROUP(g, .name = "in a cycle");
    check_int(yoke_spawn_ptr(outer, listen_and_end, &g), 0);
    int rc = yoke_group_close(g, body(&g));
    check_int(rc, 0);
    return yoke_group_close(outer, 0);
}

static int count_of(const char *text)
{
    int n = 0;
    for (const char *at = reports; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

static void run_cycle(int workers, yoke_fn body)
{
    reports[0] = '\0';
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(yoke_run(beside_a_listener, &body, YOKE_OPTIONS(.workers = workers, .debug = "on", .report = tell)), 0);
    close(fds[0]);
    close(fds[1]);
    assert_checks();
    if (count_of("cycle: these") != 1)
        fail_msg("%d cycles:\n%s", count_of("cycle: these"), reports);
    assert_int_equal(count_of("deadlock: "), 0);
}

/* ---- mutexes ---- */

enum { RING = 3 };
static yoke_mutex ring[RING];
static int locked;

static int lock_two(void *arg)
{
    int i = *(int *)arg;
    check_int(yoke_mutex_lock(&ring[i]), 0);
    add(&locked, 1);
    while (load(&locked) < RING)
        check_int(yoke_yield(), 0);
    int rc = yoke_mutex_lock(&ring[(i + 1) % RING]);
    if (rc == 0)
        check_int(yoke_mutex_unlock(&ring[(i + 1) % RING]), 0);
    check_int(yoke_mutex_unlock(&ring[i]), 0);
    return rc;
}

static int mutexes(void *arg)
{
    static const char *const names[RING] = { "huey", "dewey", "louie" };
    store(&locked, 0);
    for (int i = 0; i < RING; i++) {
        yoke_mutex_init(&ring[i]);
        check_int(yoke_spawn_with(*(yoke_group *)arg, (.name = names[i]), lock_two, int, i), 0);
    }
    return 0;
}

static void mutexes_in_a_ring_are_told_with_every_member(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++) {
        run_cycle(workers, mutexes);
        assert_int_equal(count_of("cycle: task '"), RING);
        assert_true(reported("cycle: task 'huey'") && reported("cycle: task 'dewey'") && reported("cycle: task 'louie'"));
        assert_true(reported("of task 'huey'") && reported("of task 'dewey'") && reported("of task 'louie'"));
        assert_true(reported("cycle.c:"));
    }
}

/* ---- close, join, await ---- */

static yoke_mutex m;

static int lock_m(void *arg)
{
    (void)arg;
    int rc = yoke_mutex_lock(&m);
    return rc < 0 ? rc : yoke_mutex_unlock(&m);
}

static int close_with_lock(void *arg)
{
    yoke_mutex_init(&m);
    check_int(yoke_mutex_lock(&m), 0);
    YOKE_GROUP(g, .name = "inner");
    check_int(yoke_spawn_ptr(g, lock_m, NULL), 0);
    if (arg != NULL)
        check_int(yoke_yield(), 0); /* the child comes first, and blocks */
    int rc = yoke_group_close(g, 0);
    check_int(yoke_mutex_unlock(&m), 0);
    return rc;
}

static int closing_at_once(void *arg)
{
    return yoke_spawn_ptr_with(*(yoke_group *)arg, (.name = "closer"), close_with_lock, NULL);
}

static int closing_later(void *arg)
{
    return yoke_spawn_ptr_with(*(yoke_group *)arg, (.name = "closer"), close_with_lock, arg);
}

static void a_child_that_waits_for_what_its_closing_parent_has(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++)
        for (int later = 0; later < 2; later++) {
            run_cycle(workers, later ? closing_later : closing_at_once);
            assert_int_equal(count_of("cycle: task '"), 2);
            assert_true(reported("cycle: task 'lock_m'") && reported("of task 'closer'"));
            assert_true(reported("waits: close of group 'inner'"));
        }
}

static int fork_begun;

static int forked(void *arg)
{
    store(&fork_begun, 1);
    return lock_m(arg);
}

static int join_with_lock(void *arg)
{
    yoke_forked f;
    (void)arg;
    store(&fork_begun, 0);
    yoke_mutex_init(&m);
    check_int(yoke_mutex_lock(&m), 0);
    yoke_fork(&f, forked, NULL);
    while (load(&fork_begun) == 0)
        sched_yield(); /* until another worker has it */
    int rc = yoke_join(&f);
    check_int(yoke_mutex_unlock(&m), 0);
    return rc;
}

static int joining(void *arg)
{
    return yoke_spawn_ptr_with(*(yoke_group *)arg, (.name = "joiner"), join_with_lock, NULL);
}

static void a_fork_that_waits_for_what_its_joiner_has(void **state)
{
    (void)state;
    for (int workers = 2; workers <= 3; workers++) {
        run_cycle(workers, joining);
        assert_int_equal(count_of("cycle: task 'joiner'"), 2);
        assert_true(reported("waits: join of a fork") && reported("of task 'joiner'"));
    }
}

static yoke_task handles[2];

static int await_other(void *arg)
{
    int result, rc = 0;
    while (rc == 0 && load(&locked) == 0)
        rc = yoke_yield();
    return rc < 0 ? rc : yoke_task_await(handles[*(int *)arg], &result);
}

static int awaiting(void *arg)
{
    yoke_group g = *(yoke_group *)arg;
    store(&locked, 0);
    for (int i = 0; i < 2; i++)
        check_int(yoke_spawn_with(g, (.name = i ? "odd" : "even", .handle = &handles[i]), await_other, int, 1 - i), 0);
    store(&locked, 1); /* both handles are there */
    return 0;
}

static void tasks_that_await_each_other(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++) {
        run_cycle(workers, awaiting);
        assert_true(reported("cycle: task 'odd'") && reported("cycle: task 'even'"));
        assert_true(reported("await of task 'odd'") && reported("await of task 'even'"));
    }
}

/* ---- none ---- */

enum { LOCKS = 4, TASKS = 8 };
static yoke_mutex locks[LOCKS];
static int rounds;

static int keep(void *arg)
{
    (void)arg;
    check_int(yoke_mutex_lock(&locks[LOCKS - 1]), 0);
    jitter(arg);
    return yoke_mutex_unlock(&locks[LOCKS - 1]);
}

/* Takes locks in the order of their numbers, and then joins, closes, awaits what takes only later ones. */
static int orderly(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    for (int i = rounds; i > 0; i--) {
        int a = (int)(next_random(&r) % (LOCKS - 1)), b = a + (int)(next_random(&r) % (unsigned)(LOCKS - 1 - a));
        yoke_forked f;
        yoke_task t;
        int result;
        uint64_t own = next_random(&r), others = next_random(&r);
        check_int(yoke_mutex_lock(&locks[a]), 0);
        jitter(&r);
        if (b > a)
            check_int(yoke_mutex_lock(&locks[b]), 0);
        YOKE_GROUP(g);
        yoke_fork(&f, keep, &own);
        check_int(yoke_spawn_ptr_with(g, (.handle = &t), keep, &others), 0);
        if (next_random(&r) % 2)
            check_int(yoke_task_await(t, &result), 0);
        check_int(yoke_join(&f), 0);
        check_int(yoke_group_close(g, 0), 0);
        if (b > a)
            check_int(yoke_mutex_unlock(&locks[b]), 0);
        check_int(yoke_mutex_unlock(&locks[a]), 0);
    }
    return 0;
}

static int crowd(void *arg)
{
    uint64_t state = seed();
    (void)arg;
    for (int i = 0; i < LOCKS; i++)
        yoke_mutex_init(&locks[i]);
    YOKE_GROUP(g);
    for (int i = 0; i < TASKS; i++)
        check_int(yoke_spawn(g, orderly, uint64_t, next_random(&state)), 0);
    return yoke_group_close(g, 0);
}

static void order_is_never_called_a_cycle(void **state)
{
    (void)state;
    rounds = repetitions(5000);
    for (int workers = 1; workers <= 4; workers += 3) {
        assert_int_equal(run_with(crowd, NULL, OPTIONS(.workers = workers, .debug = "on")), 0);
        assert_string_equal(reports, "");
    }
}

static int cycle_alone(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    check_int(mutexes(&g), 0);
    return yoke_group_close(g, 0);
}

static void without_debug_nothing_is_compared(void **state)
{
    (void)state;
    assert_int_equal(run(2, cycle_alone, NULL), -EDEADLK);
    assert_true(reported("deadlock: "));
    assert_false(reported("cycle:"));
    assert_int_equal(run_with(cycle_alone, NULL, OPTIONS(.workers = 2, .debug = "on")), -EDEADLK);
    assert_true(reported("cycle:")); /* both */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutexes_in_a_ring_are_told_with_every_member),
        cmocka_unit_test(a_child_that_waits_for_what_its_closing_parent_has),
        cmocka_unit_test(a_fork_that_waits_for_what_its_joiner_has),
        cmocka_unit_test(tasks_that_await_each_other),
        cmocka_unit_test(order_is_never_called_a_cycle),
        cmocka_unit_test(without_debug_nothing_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
