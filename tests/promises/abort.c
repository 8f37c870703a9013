/* What ends a program: broken invariants, told with the tree of tasks. Each case runs in a child process. */
#include "child.h"

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int arrived;

static int sleep_long(void *arg)
{
    (void)arg;
    add(&arrived, 1);
    return yoke_sleep_until(YOKE_NEVER);
}

static int forget_join(void *arg)
{
    yoke_fork(arg, nothing, NULL);
    return 0;
}

static int forgetful(void *arg)
{
    (void)arg;
    static yoke_forked f;
    YOKE_GROUP(g, .name = "witnesses");
    check_int(yoke_spawn_ptr_with(g, (.name = "sleeper"), sleep_long, NULL), 0);
    while (load(&arrived) == 0)
        check_int(yoke_yield(), 0); /* one worker: it sleeps then */
    YOKE_GROUP(h);
    check_int(yoke_spawn_ptr_with(h, (.name = "forgetful"), forget_join, &f), 0);
    check_int(yoke_group_close(h, 0), 0);
    return yoke_group_close(g, 0);
}

static void run_forgetful(void)
{
    int rc = yoke_run(forgetful, NULL, YOKE_OPTIONS(.workers = 1, .debug = "on"));
    (void)rc;
}

static void a_fork_not_joined_is_found_in_debug_mode(void **state)
{
    (void)state;
    int status = in_child(run_forgetful);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(output, "task 'forgetful'"));
    assert_non_null(strstr(output, "abort.c"));
    assert_non_null(strstr(output, "broken invariant"));
    assert_non_null(strstr(output, "group 'witnesses'")); /* the tree */
    assert_non_null(strstr(output, "task 'sleeper'"));
    assert_non_null(strstr(output, "sleep"));
}

static int join_twice(void *arg)
{
    (void)arg;
    yoke_forked f;
    yoke_fork(&f, nothing, NULL);
    (void)yoke_join(&f);
    (void)yoke_join(&f);
    return 0;
}

static void run_join_twice(void)
{
    int rc = yoke_run(join_twice, NULL, YOKE_OPTIONS(.workers = 1, .debug = "on"));
    (void)rc;
}

static void a_fork_joined_twice_is_found_in_debug_mode(void **state)
{
    (void)state;
    int status = in_child(run_join_twice);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(output, "joins a fork twice"));
}

/* ---- hard_after ---- */

static int ignore_everything(void *arg)
{
    (void)arg;
    YOKE_SCOPE(shield, .shield = true);
    return yoke_scope_close(shield, yoke_sleep_until(YOKE_NEVER));
}

/* Until the tree shows that task as blocked; it stays so. */
static void await_blocked(const char *task)
{
    int ends[2];
    check_int(pipe(ends), 0);
    for (bool there = false; !there;) {
        static char tree[4096];
        check_int(yoke_yield(), 0);
        check_int(yoke_dump(ends[1]), 0); /* fits into the pipe */
        ssize_t n = read(ends[0], tree, sizeof tree - 1);
        tree[n > 0 ? n : 0] = '\0';
        there = strstr(tree, task) != NULL;
    }
    close(ends[0]);
    close(ends[1]);
}

static int stop_in_vain(void *arg)
{
    YOKE_GROUP(g, .name = "stubborn", .grace = YOKE_MS(1), .hard_after = *(int64_t *)arg);
    check_int(yoke_spawn_ptr_with(g, (.name = "deaf"), ignore_everything, NULL), 0);
    await_blocked("task 'deaf'");
    check_int(yoke_group_stop(g), 0);
    return yoke_group_close(g, 0);
}

static void run_in_vain(void)
{
    int64_t after = YOKE_MS(20);
    int rc = yoke_run(stop_in_vain, &after, YOKE_OPTIONS(.workers = 2));
    (void)rc;
}

/* The runtime's own, which the group does not override. */
static void run_in_vain_by_option(void)
{
    int64_t inherited = 0;
    int rc = yoke_run(stop_in_vain, &inherited, YOKE_OPTIONS(.workers = 1, .hard_after = YOKE_MS(20)));
    (void)rc;
}

static void who_does_not_stop_is_dumped_and_aborted_if_asked_for(void **state)
{
    (void)state;
    void (*const cases[])(void) = { run_in_vain, run_in_vain_by_option };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = in_child(cases[i]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        assert_non_null(strstr(output, "'stubborn'"));
        assert_non_null(strstr(output, "have not ended 20 ms after"));
        assert_non_null(strstr(output, "task 'deaf'")); /* the tree */
        assert_non_null(strstr(output, "past its grace"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fork_not_joined_is_found_in_debug_mode),
        cmocka_unit_test(a_fork_joined_twice_is_found_in_debug_mode),
        cmocka_unit_test(who_does_not_stop_is_dumped_and_aborted_if_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
