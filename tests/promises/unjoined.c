/*
 * A fork that is not joined before its frame is left, or the scope or group in which it was begun: the program is ended with a message that
 * names the task, in debug mode always and with the place of the fork, otherwise where it can be seen. Each case runs in a child process, with one
 * worker: nobody takes the fork before.
 */
#include "child.h"

#include <yoke/sync/event.h>

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int twice(int n)
{
    return 2 * n;
}
YOKE_FORK_DEFINE1(twice, int, int)

/* ---- ways to forget a fork ---------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) int in_frame(void *arg)
{
    yoke_forked f;
    yoke_fork(&f, nothing, arg);
    return 0;
}

static __attribute__((noinline)) int typed_in_frame(void *arg)
{
    (void)arg;
    twice_fork f;
    twice_fork_begin(&f, 1);
    return 0;
}

/* Memory that stays. */
static int elsewhere(void *arg)
{
    static yoke_forked f;
    yoke_fork(&f, nothing, arg);
    return 0;
}

/* Nothing of the descriptor is left. */
static __attribute__((noinline)) int scribble(int value)
{
    volatile char all[512];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (char)value;
    return all[7] - all[9];
}

static int and_scribble(void *arg)
{
    (void)in_frame(arg);
    return scribble(0x55);
}

static int and_fail(void *arg)
{
    (void)in_frame(arg);
    return -EIO;
}

/* A deferred function is a part of its task. */
static int deferred(void *arg)
{
    return yoke_defer(in_frame, arg);
}

/* What is left of the fork when the scope of the cleanup is left lies where it may be anybody's. */
static int in_frame_before_a_scope(void *arg)
{
    (void)in_frame(arg);
    YOKE_SCOPE(s);
    return yoke_scope_close(s, 0);
}

static int deferred_before_a_scope(void *arg)
{
    return yoke_defer(in_frame_before_a_scope, arg);
}

static yoke_group outer;

/* The child lies above the fork, in the deque. */
static int and_spawn(void *arg)
{
    (void)in_frame(arg);
    return yoke_spawn_ptr_with(outer, (.name = "innocent"), nothing, NULL);
}

/* Another one waits to go on when the task ends. */
static yoke_event event, begun;

static int wait_for_event(void *arg)
{
    (void)arg;
    check_int(yoke_event_set(&begun), 0);
    return yoke_event_wait(&event);
}

static int and_wake(void *arg)
{
    (void)in_frame(arg);
    return yoke_event_set(&event);
}

static int (*forget)(void *);

/* Called by its owner in close. */
static int as_child(void *arg)
{
    YOKE_GROUP(g, .name = "family");
    outer = g;
    check_int(yoke_spawn_ptr_with(g, (.name = "forgetful"), forget, arg), 0);
    return yoke_group_close(g, 0);
}

/* Called by the scheduler, while its owner waits. */
static int as_task(void *arg)
{
    YOKE_GROUP(g, .name = "family");
    outer = g;
    yoke_event_init(&event);
    yoke_event_init(&begun);
    check_int(yoke_spawn_ptr_with(g, (.name = "waiter"), wait_for_event, arg), 0);
    check_int(yoke_event_wait(&begun), 0);
    check_int(yoke_spawn_ptr_with(g, (.name = "forgetful"), forget, arg), 0);
    check_int(yoke_event_wait(&event), 0);
    return yoke_group_close(g, 0);
}

static int as_pinned(void *arg)
{
    YOKE_GROUP(g, .name = "family");
    check_int(yoke_spawn_ptr_with(g, (.name = "forgetful", .pinned = true), forget, arg), 0);
    return yoke_group_close(g, 0);
}

/* On a stack of its own. */
static int as_large(void *arg)
{
    YOKE_GROUP(g, .name = "family", .stack_size = 4 << 20);
    check_int(yoke_spawn_ptr_with(g, (.name = "forgetful"), forget, arg), 0);
    return yoke_group_close(g, 0);
}

static int as_root(void *arg)
{
    return forget(arg);
}

/* ---- forks of forks ---- */

static int fork_and_tell(void *arg)
{
    (void)in_frame(arg);
    return yoke_event_set(&event);
}

/* The scheduler runs the fork, as a strand of its own, while its joiner waits. */
static int by_a_fork(void *arg)
{
    yoke_event_init(&event);
    yoke_forked f;
    yoke_fork(&f, fork_and_tell, arg);
    check_int(yoke_event_wait(&event), 0);
    return yoke_join(&f);
}

/* Its own join runs it. */
static int by_a_joined_fork(void *arg)
{
    yoke_forked first, second;
    yoke_fork(&first, nothing, arg);
    yoke_fork(&second, in_frame, arg);
    check_int(yoke_join(&second), 0);
    return yoke_join(&first);
}

/* ---- scopes and groups ---- */

static int in_a_scope(void *arg)
{
    yoke_forked f;
    YOKE_SCOPE(s, .name = "ajar");
    yoke_fork(&f, nothing, arg);
    check_int(yoke_scope_close(s, 0), 0);
    return yoke_join(&f);
}

static int in_a_scope_of_a_function(void *arg)
{
    YOKE_SCOPE(s, .name = "ajar");
    (void)in_frame(arg);
    return yoke_scope_close(s, 0);
}

static int in_a_scope_left_without_close(void *arg)
{
    yoke_forked f;
    {
        YOKE_SCOPE(s, .name = "ajar");
        (void)s;
        yoke_fork(&f, nothing, arg);
    }
    return yoke_join(&f);
}

static int in_a_scope_below_tasks(void *arg)
{
    yoke_forked f;
    YOKE_GROUP(g);
    YOKE_SCOPE(s, .name = "ajar");
    yoke_fork(&f, nothing, arg);
    for (int i = 0; i < 5; i++)
        check_int(yoke_spawn_ptr(g, nothing, NULL), 0);
    check_int(yoke_scope_close(s, 0), 0);
    check_int(yoke_join(&f), 0);
    return yoke_group_close(g, 0);
}

static int in_a_group(void *arg)
{
    yoke_forked f;
    YOKE_GROUP(g, .name = "ajar");
    yoke_fork(&f, nothing, arg);
    check_int(yoke_group_close(g, 0), 0);
    return yoke_join(&f);
}

static int in_a_group_below_children(void *arg)
{
    yoke_forked f;
    YOKE_GROUP(g, .name = "ajar");
    yoke_fork(&f, nothing, arg);
    for (int i = 0; i < 5; i++)
        check_int(yoke_spawn_ptr(g, nothing, NULL), 0);
    check_int(yoke_group_close(g, 0), 0);
    return yoke_join(&f);
}

static int in_a_group_of_a_function(void *arg)
{
    YOKE_GROUP(g, .name = "ajar");
    (void)in_frame(arg);
    return yoke_group_close(g, 0);
}

/* Where frames of close are by now, if they are not inlined. */
static int in_a_group_of_a_function_and_scribble(void *arg)
{
    YOKE_GROUP(g, .name = "ajar");
    (void)in_frame(arg);
    (void)scribble(0x55);
    return yoke_group_close(g, 0);
}

/* ---- what only debug mode sees: the fork has been run by somebody else ---- */

static int tell(void *arg)
{
    (void)arg;
    return yoke_event_set(&event);
}

static void fork_that_is_run(yoke_forked *f)
{
    yoke_event_init(&event);
    yoke_fork(f, tell, NULL);
    check_int(yoke_event_wait(&event), 0); /* the worker has nothing else to do */
}

static int that_was_run(void *arg)
{
    yoke_forked f;
    fork_that_is_run(&f);
    return arg == NULL ? 0 : -EINVAL;
}

static int that_was_run_in_a_scope(void *arg)
{
    (void)arg;
    yoke_forked f;
    YOKE_SCOPE(s, .name = "ajar");
    fork_that_is_run(&f);
    check_int(yoke_scope_close(s, 0), 0);
    return yoke_join(&f);
}

static int that_was_run_in_a_group(void *arg)
{
    (void)arg;
    yoke_forked f;
    YOKE_GROUP(g, .name = "ajar");
    fork_that_is_run(&f);
    check_int(yoke_group_close(g, 0), 0);
    return yoke_join(&f);
}

/* The join of the second one, which runs it, tells at once. */
static int nobody_comes_after(void *arg)
{
    yoke_forked f;
    yoke_fork(&f, in_frame, arg);
    check_int(yoke_join(&f), 0);
    (void)!write(2, "after the join\n", 15);
    return 0;
}

/* ---- running them ------------------------------------------------------------------------------------------------------------- */

static struct {
    yoke_fn root;
    int (*forget)(void *);
    const char *says, *also;
} const seen[] = {
    { as_root, in_frame, "task 'main'", "has ended" },
    { as_root, typed_in_frame, "task 'main'", "has ended" },
    { as_root, and_fail, "task 'main'", "has ended" },
    { as_root, deferred, "task 'main'", "leaves a scope 'cleanup'" },
    { as_root, deferred_before_a_scope, "task 'main'", "has ended" },
    { as_child, in_frame, "task 'forgetful'", "unjoined.c" },
    { as_child, typed_in_frame, "task 'forgetful'", "unjoined.c" },
    { as_child, elsewhere, "task 'forgetful'", "has ended" },
    { as_child, and_fail, "task 'forgetful'", "has ended" },
    { as_child, deferred, "task 'forgetful'", "leaves a scope 'cleanup'" },
    { as_child, and_spawn, "or one that ran on this stack before", "not joined a fork" },
    { as_task, in_frame, "task 'forgetful'", "unjoined.c" },
    { as_task, and_scribble, "task 'forgetful'", "unjoined.c" },
    { as_task, typed_in_frame, "task 'forgetful'", "unjoined.c" },
    { as_task, elsewhere, "task 'forgetful'", "has ended" },
    { as_task, and_wake, "task 'forgetful'", "has ended" },
    { as_task, and_fail, "task 'forgetful'", "has ended" },
    { as_pinned, in_frame, "task 'forgetful'", "has ended" },
    { as_large, in_frame, "task 'forgetful'", "has ended" },
    { by_a_fork, NULL, "task 'main'", "has ended a fork" },
    { by_a_joined_fork, NULL, "task 'main'", "not joined a fork" },
    { in_a_scope, NULL, "task 'main'", "leaves a scope 'ajar' (" },
    { in_a_scope_of_a_function, NULL, "task 'main'", "leaves a scope 'ajar' (" },
    { in_a_scope_left_without_close, NULL, "task 'main'", "leaves a scope 'ajar' (" },
    { in_a_scope_below_tasks, NULL, "task 'main'", "leaves a scope 'ajar' (" },
    { in_a_group, NULL, "task 'main'", "leaves a group 'ajar' (" },
    { in_a_group_below_children, NULL, "task 'main'", "leaves a group 'ajar' (" },
    { in_a_group_of_a_function, NULL, "task 'main'", "not joined a fork" },
    { in_a_group_of_a_function_and_scribble, NULL, "task 'main'", "not joined a fork" },
}, debug_only[] = {
    { as_root, that_was_run, "task 'main'", "has ended" },
    { that_was_run_in_a_scope, NULL, "task 'main'", "leaves a scope 'ajar' (" },
    { that_was_run_in_a_group, NULL, "task 'main'", "leaves a group 'ajar' (" },
    { nobody_comes_after, NULL, "task 'main'", "has ended a fork" },
};

static yoke_fn root;
static const char *debug;

static void run_it(void)
{
    int rc = yoke_run(root, NULL, YOKE_OPTIONS(.workers = 1, .debug = debug));
    (void)rc;
}

static void aborts(yoke_fn main, int (*forgets)(void *), const char *mode, const char *says, const char *also)
{
    root = main;
    forget = forgets;
    debug = mode;
    int status = in_child(run_it);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || strstr(output, "broken invariant") == NULL || strstr(output, says) == NULL ||
        strstr(output, also) == NULL)
        fail_msg("status %d, neither \"%s\" nor \"%s\" may be missing: %s", status, says, also, output);
}

static void a_fork_not_joined_ends_the_program_where_it_is_seen(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        print_message("case %zu\n", i);
        aborts(seen[i].root, seen[i].forget, "off", seen[i].says, seen[i].also);
    }
}

static void in_debug_mode_always_and_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        print_message("case %zu\n", i);
        aborts(seen[i].root, seen[i].forget, "on", strstr(seen[i].says, "task") != NULL ? seen[i].says : "task 'forgetful'",
               "that was begun at promises_unjoined+0x");
        assert_null(strstr(output, "before"));
    }
    for (size_t i = 0; i < sizeof debug_only / sizeof *debug_only; i++) {
        print_message("case of debug mode %zu\n", i);
        aborts(debug_only[i].root, debug_only[i].forget, "on", debug_only[i].says, debug_only[i].also);
        assert_non_null(strstr(output, "that was begun at promises_unjoined+0x"));
        assert_null(strstr(output, "after the join"));
    }
}

/* ---- what is allowed ---------------------------------------------------------------------------------------------------------- */

/* Forks from before a scope or group, with tasks and other forks about, are no concern of it. */
static int from_before(void *arg)
{
    int n = arg == NULL ? 0 : *(int *)arg;
    yoke_forked f;
    twice_fork t;
    YOKE_GROUP(outermost);
    yoke_fork(&f, nothing, NULL);
    twice_fork_begin(&t, n);
    YOKE_SCOPE(s);
    YOKE_GROUP(g);
    for (int i = 0; i < 3; i++) {
        check_int(yoke_spawn_ptr(g, nothing, NULL), 0);
        check_int(yoke_spawn_ptr(outermost, nothing, NULL), 0);
    }
    if (n % 2 == 0)
        check_int(yoke_yield(), 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_spawn_ptr(outermost, nothing, NULL), 0);
    yoke_forked inner;
    yoke_fork(&inner, nothing, NULL);
    check_int(yoke_join(&inner), 0);
    check_int(yoke_scope_close(s, 0), 0);
    if (n % 3 == 0)
        check_int(yoke_join(&f), 0); /* not last first */
    check_int(twice_fork_join(&t), 2 * n);
    if (n % 3 != 0)
        check_int(yoke_join(&f), 0);
    return yoke_group_close(outermost, 0);
}

static int many_from_before(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    static int numbers[200];
    for (int i = 0; i < 200; i++) {
        numbers[i] = i;
        check_int(yoke_spawn_ptr(g, from_before, &numbers[i]), 0);
    }
    return yoke_group_close(g, 0);
}

static void forks_from_before_a_scope_or_group_may_outlive_it(void **state)
{
    (void)state;
    static const char *const modes[] = { "off", "on" };
    for (int workers = 1; workers <= 4; workers++)
        for (int i = 0; i < 2; i++)
            for (int n = 0; n < repetitions(20); n++)
                assert_int_equal(run_with(many_from_before, NULL, OPTIONS(.workers = workers, .debug = modes[i])), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fork_not_joined_ends_the_program_where_it_is_seen), /* first: they fork */
        cmocka_unit_test(in_debug_mode_always_and_with_its_place),
        cmocka_unit_test(forks_from_before_a_scope_or_group_may_outlive_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
