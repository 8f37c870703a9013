/* What ends a program: broken invariants, told with the tree of tasks. Each case runs in a child process. */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>

static char output[65536];

/* Runs body in a child process; its stderr is in `output`; returns the wait status. */
static int in_child(void (*body)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], 2);
        close(ends[0]);
        body();
        _exit(0);
    }
    close(ends[1]);
    size_t have = 0;
    ssize_t n;
    while ((n = read(ends[0], output + have, sizeof output - 1 - have)) > 0)
        have += (size_t)n;
    output[have] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int sleep_long(void *arg)
{
    (void)arg;
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
    check_int(yoke_sleep(YOKE_MS(1)), 0); /* so that it sleeps */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fork_not_joined_is_found_in_debug_mode),
        cmocka_unit_test(a_fork_joined_twice_is_found_in_debug_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
