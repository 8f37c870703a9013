/* migrate = always: whoever was suspended goes on on another worker, so that what does not survive that is found in the first test. */
#include "support.h"

enum { YIELDS = 200 };

struct path {
    bool pinned;
    int moves, thread_moves;
};

/* A yield always suspends. */
static int walk(void *arg)
{
    struct path *path = *(struct path **)arg;
    for (int i = 0; i < YIELDS; i++) {
        int worker = yoke_worker_index();
        pid_t thread = gettid(); /* not pthread_self(), whose value compilers keep */
        check_int(yoke_yield(), 0);
        path->moves += yoke_worker_index() != worker;
        path->thread_moves += gettid() != thread;
    }
    return 0;
}

enum { WALKERS = 6 };

static int walk_all(void *arg)
{
    struct path *paths = arg;
    YOKE_GROUP(g);
    for (int i = 0; i < WALKERS; i++)
        check_int(yoke_spawn_with(g, (.pinned = paths[i].pinned), walk, struct path *, &paths[i]), 0);
    return yoke_group_close(g, 0);
}

static void walk_with(int workers, const char *migrate, int moves_of_the_free)
{
    struct path paths[WALKERS] = { { .pinned = true }, { .pinned = true } };
    assert_int_equal(run_with(walk_all, paths, OPTIONS(.workers = workers, .migrate = migrate)), 0);
    for (int i = 0; i < WALKERS; i++) {
        int moves = paths[i].pinned ? 0 : moves_of_the_free;
        if (moves >= 0) {
            assert_int_equal(paths[i].moves, moves);
            assert_int_equal(paths[i].thread_moves, moves);
        }
    }
}

static void every_suspension_migrates_but_those_of_pinned_tasks(void **state)
{
    (void)state;
    for (int workers = 2; workers <= 4; workers++)
        walk_with(workers, "always", YIELDS);
    walk_with(3, "off", -1);
}

static void with_one_worker_nothing_changes(void **state)
{
    (void)state;
    walk_with(1, "always", 0);
    setenv("YOKE_SHOW_CONFIG", "1", 1);
    walk_with(1, "always", 0);
    unsetenv("YOKE_SHOW_CONFIG");
    assert_true(reported("migrate = always (options; not in effect: there is one worker)"));
}

/* ---- who may take it is not who is busy ---- */

static int resume_elsewhere(void *arg)
{
    int rc = yoke_yield();
    store((int *)arg, 1);
    return rc;
}

/* Holds its worker until the other task has gone on. */
static int hold(void *arg)
{
    while (load((int *)arg) == 0)
        sched_yield();
    return 0;
}

static int hold_one(void *arg)
{
    int done = 0;
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, hold, &done), 0);
    check_int(yoke_spawn_ptr(g, resume_elsewhere, &done), 0);
    return yoke_group_close(g, 0);
}

static void any_other_worker_will_do(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(200); i++)
        assert_int_equal(run_with(hold_one, NULL, OPTIONS(.workers = 3, .migrate = "always")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_suspension_migrates_but_those_of_pinned_tasks),
        cmocka_unit_test(with_one_worker_nothing_changes),
        cmocka_unit_test(any_other_worker_will_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
