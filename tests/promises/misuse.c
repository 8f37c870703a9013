/*
 * Misuse is an error code and harms nobody: what belongs to another task, another stack, another runtime, or nobody; bad arguments; options of
 * programs that were built with fewer fields, or more. And nothing is printed but through options.report.
 */
#include "child.h"

#include <yoke/sync/event.h>

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

/* ---- another stack of the same task ------------------------------------------------------------------------------------------- */

static yoke_group group;
static yoke_scope scope;
static yoke_event begun;

static int use_what_the_joiner_opened(void *arg)
{
    yoke_done done;
    yoke_failure failure;
    check_int(yoke_event_set(&begun), 0);
    check_int(yoke_group_close(group, 0), -EPERM);
    check_int(yoke_group_set_deadline(group, 1), -EPERM);
    check_int(yoke_group_next(group, &done), -EPERM);
    check_int(yoke_group_failure(group, 0, &failure), -EPERM);
    yoke_group copy = group;
    yoke_group_leave(&copy); /* does nothing */
    check_int(yoke_scope_close(scope, 0), -EPERM);
    check_int(yoke_scope_set_deadline(scope, 1), -EPERM);
    yoke_scope same = scope;
    yoke_scope_leave(&same);
    return arg == NULL ? 0 : -EINVAL;
}

static int misuse_in_a_fork(void *arg)
{
    yoke_event_init(&begun);
    YOKE_GROUP(g, .results = true);
    YOKE_SCOPE(s);
    group = g;
    scope = s;
    yoke_forked f;
    yoke_fork(&f, use_what_the_joiner_opened, arg);
    check_int(yoke_event_wait(&begun), 0); /* another worker has taken it */
    check_int(yoke_join(&f), 0);
    check_int(yoke_scope_close(s, 3), 3);
    return yoke_group_close(g, 4);
}

static void a_fork_on_another_stack_is_not_the_owner(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(run(2, misuse_in_a_fork, NULL), 4);
        assert_string_equal(reports, ""); /* of a block that was left, above all */
    }
}

/* ---- another runtime -------------------------------------------------------------------------------------------------------------- */

static yoke_task task;

static int use_what_another_runtime_has(void *arg)
{
    int result;
    yoke_token *token = NULL;
    check_int(yoke_spawn_ptr(group, nothing, NULL), -EINVAL);
    check_int(yoke_try_spawn_ptr(group, nothing, NULL), -EINVAL);
    check_int(yoke_group_close(group, 0), -EINVAL);
    check_int(yoke_group_cancel(group, 0), -EINVAL);
    check_int(yoke_group_stop(group), -EINVAL);
    check_int(yoke_group_set_deadline(group, 1), -EINVAL);
    check_int(yoke_token_acquire(&token, group), -EINVAL);
    check(token == NULL);
    check_int(yoke_scope_close(scope, 0), -EINVAL);
    check_int(yoke_scope_cancel(scope, 0), -EINVAL);
    check_int(yoke_scope_stop(scope), -EINVAL);
    check_int(yoke_scope_set_deadline(scope, 1), -EINVAL);
    check_int(yoke_task_state(task), -EINVAL);
    check_int(yoke_task_cancel(task), -EINVAL);
    check_int(yoke_task_await(task, &result), -EINVAL);
    check_int(yoke_task_close(task), -EINVAL);
    return arg == NULL ? 0 : -EINVAL;
}

static void *second_runtime(void *arg)
{
    check_int(yoke_run(use_what_another_runtime_has, arg, OPTIONS(.workers = 1)), 0);
    return NULL;
}

static int beside_another_runtime(void *arg)
{
    pthread_t thread;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.handle = &task), sleep_long, NULL), 0);
    YOKE_SCOPE(s);
    group = g;
    scope = s;
    check_int(pthread_create(&thread, NULL, second_runtime, arg), 0);
    check_int(pthread_join(thread, NULL), 0);
    check_int(yoke_checkpoint(), 0);
    check_int(yoke_scope_close(s, 0), 0);
    check_int(yoke_task_cancel(task), 0);
    return yoke_group_close(g, 0);
}

static void what_another_runtime_has_is_not_to_be_had(void **state)
{
    (void)state;
    assert_int_equal(run(2, beside_another_runtime, NULL), 0);
    assert_string_equal(reports, "");
}

/* ---- bad arguments ------------------------------------------------------------------------------------------------------------------ */

static int bad_arguments(void *arg)
{
    (void)arg;
    yoke_failure failure;
    yoke_token *token;
    yoke_post_node node;
    yoke_task untouched = { .block = &failure, .generation = 7 };
    int result;
    YOKE_GROUP(g);
    YOKE_GROUP(full, .limit = 1);
    yoke_group both[] = { g, full };
    for (int i = 0; i < 2; i++) { /* nothing is counted that was not spawned */
        check_int(yoke_spawn_task(both[i], NULL, NULL, 0, NULL), -EINVAL);
        check_int(yoke_spawn_task(both[i], nothing, NULL, 8, NULL), -EINVAL);
        check_int(yoke_spawn_ptr_with(both[i], (.pinned = true, .worker = 1, .handle = &untouched), nothing, NULL), -EINVAL);
        check_int(yoke_spawn_ptr_with(both[i], (.pinned = true, .worker = -2, .service = i > 0), nothing, NULL), -EINVAL);
        check_int(yoke_spawn_ptr(both[i], nothing, NULL), 0); /* and its room is there */
        check_int(yoke_group_cancel(both[i], 1), -EINVAL);
    }
    check(untouched.block == &failure && untouched.generation == 7);
    check_int(yoke_group_failure(g, 0, NULL), -EINVAL);
    check_int(yoke_token_acquire(&token, g), 0);
    check_int(yoke_post(token, NULL, nothing, NULL), -EINVAL);
    check_int(yoke_post(token, &node, NULL, NULL), -EINVAL);
    check_int(yoke_post(NULL, &node, nothing, NULL), -EINVAL);
    yoke_token_release(token);
    YOKE_SCOPE(s);
    check_int(yoke_scope_cancel(s, 1), -EINVAL);
    check_int(yoke_checkpoint(), 0);
    check_int(yoke_scope_close(s, 0), 0);
    yoke_task h;
    check_int(yoke_spawn_ptr_with(g, (.handle = &h), nothing, NULL), 0);
    check_int(yoke_task_await(h, NULL), -EINVAL);
    check_int(yoke_task_cancel_at(h, 1, NULL), -EINVAL);
    check_int(yoke_task_await(h, &result), 0);
    check_int(yoke_blocking(NULL, NULL), -EINVAL);
    check_int(yoke_blocking_with((enum yoke_blocking_kind)7, false, NULL, nothing, NULL), -EINVAL);
    check_int(yoke_blocking_with(YOKE_BLOCKING_USER, true, NULL, NULL, NULL), -EINVAL);
    check_int(yoke_interval_init(NULL, 1, YOKE_BURST), -EINVAL);
    check_int(yoke_interval_init(&(yoke_interval){ 0 }, 0, YOKE_BURST), -EINVAL);
    check_int(yoke_interval_init(&(yoke_interval){ 0 }, 1, (enum yoke_missed)3), -EINVAL);
    check_int(yoke_signal_wait_any((const int[]){ 1 }, 0), -EINVAL);
    check_int(yoke_signal_wait(0), -EINVAL);
    check_int(yoke_stop(NULL), -EINVAL);
    check_int(yoke_runtime_dump(NULL, 2), -EINVAL);
    check_int(yoke_fail(0, "not a failure"), 0); /* nothing is kept */
    check_int(yoke_fail(3, "nor this"), 3);
    check(yoke_message(3)[0] == '\0');
    check_int(yoke_group_close(full, 0), 0);
    return yoke_group_close(g, 0);
}

static void bad_arguments_are_told_and_nothing_has_happened(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(run(1, bad_arguments, NULL), 0);
}

/* ---- options that are shorter or longer than ours ----------------------------------------------------------------------------------- */

#define UP_TO(type, field) (offsetof(type, field) + sizeof(((type *)NULL)->field))

static int yield_often(void *arg)
{
    for (int i = 0; i < 5; i++)
        if (yoke_yield() < 0)
            break;
    return arg == NULL ? 0 : -EINVAL;
}

static int options_of_other_sizes(void *arg)
{
    (void)arg;
    { /* of a program that knows no field after the limit: what lies there is not ours to read */
        yoke_group_options options;
        memset(&options, 0xff, sizeof options);
        options.policy = YOKE_ALL;
        options.limit = 1;
        options.size = UP_TO(yoke_group_options, limit);
        yoke_group g = yoke_group_open(&options);
        check_int(yoke_spawn_ptr(g, yield_often, NULL), 0);
        check_int(yoke_try_spawn_ptr(g, nothing, NULL), -EAGAIN); /* what it knows is heeded */
        check(!yoke_cancelled() && yoke_deadline() == YOKE_NEVER);
        check_int(yoke_group_close(g, 0), 0);
    }
    { /* one that has set nothing, the size included, gets defaults */
        yoke_group g = yoke_group_open(&(yoke_group_options){ .limit = 1 });
        check_int(yoke_spawn_ptr(g, yield_often, NULL), 0);
        check_int(yoke_try_spawn_ptr(g, nothing, NULL), 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    { /* longer: what we know of it */
        struct {
            yoke_scope_options known;
            char unknown[64];
        } later = { .known = { .size = sizeof later, .deadline = 1 } };
        memset(later.unknown, 0xff, sizeof later.unknown);
        yoke_scope s = yoke_scope_open(&later.known);
        check(yoke_deadline() == 1);
        check_int(yoke_scope_close(s, yoke_sleep_until(YOKE_NEVER)), -ETIMEDOUT);
        yoke_scope_options shorter;
        memset(&shorter, 0xff, sizeof shorter);
        shorter.deadline = yoke_after(YOKE_SEC(1000));
        shorter.size = UP_TO(yoke_scope_options, deadline);
        s = yoke_scope_open(&shorter);
        check_int(yoke_checkpoint(), 0);
        check(yoke_deadline() == shorter.deadline);
        check_int(yoke_scope_close(s, 0), 0);
    }
    { /* of a spawn */
        yoke_spawn_options options;
        memset(&options, 0xff, sizeof options);
        options.name = "short";
        options.size = UP_TO(yoke_spawn_options, name);
        YOKE_GROUP(g);
        check_int(yoke_spawn_task(g, nothing, NULL, 0, &options), 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    { /* of what close fills in: nothing is written behind what the caller has */
        yoke_group_report report = { .size = UP_TO(yoke_group_report, failed), .spawned = 77, .cancelled = 88, .kept = 99, .cut = 111 };
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, nothing, NULL), 0);
        check_int(yoke_group_close_report(g, 0, &report), 0);
        check_int(report.spawned, 1);
        check_int(report.failed, 0);
        check(report.size == UP_TO(yoke_group_report, failed) && report.cancelled == 88 && report.kept == 99 && report.cut == 111);
    }
    return 0;
}

static void options_may_be_shorter_or_longer(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(run(1, options_of_other_sizes, NULL), 0);
    yoke_options longer = { .size = 4096, .workers = 1, .report = keep_report };
    struct {
        yoke_options known;
        char unknown[4096 - sizeof(yoke_options)];
    } later = { .known = longer };
    assert_int_equal(yoke_run(nothing, NULL, &later.known), 0);
}

/* ---- who prints ----------------------------------------------------------------------------------------------------------------------- */

static int make_trouble(void *arg)
{
    {
        YOKE_GROUP(g, .name = "forgotten");
        if (yoke_spawn_ptr(g, sleep_long, NULL) < 0)
            return -1;
    }
    yoke_scope outer = yoke_scope_open(NULL), inner = yoke_scope_open(NULL);
    if (yoke_scope_close(outer, 0) < 0 || yoke_scope_close(inner, 0) != -EINVAL)
        return -1;
    (void)yoke_scope_open(&(yoke_scope_options){ .size = sizeof(yoke_scope_options), .name = "ajar" });
    return arg == NULL ? yoke_fail(-EIO, "trouble") : 0;
}

static void trouble_reported(void)
{
    (void)dup2(2, 1);
    if (yoke_run(make_trouble, NULL, OPTIONS(.workers = 2)) != -EIO || !reported("forgotten") || !reported("trouble"))
        _exit(1);
}

static void trouble_printed(void)
{
    if (yoke_run(make_trouble, NULL, YOKE_OPTIONS(.workers = 2)) != -EIO)
        _exit(1);
}

static void nothing_is_printed_but_by_the_default_report(void **state)
{
    (void)state;
    assert_int_equal(in_child(trouble_reported), 0);
    assert_string_equal(output, "");
    assert_int_equal(in_child(trouble_printed), 0);
    static const char *const lines[] = { "'forgotten'", "left open inside a scope that is being closed", "'ajar'", "failed: -EIO" };
    const char *at = output;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) { /* one line each */
        const char *end = strchr(at, '\n'), *said = strstr(at, lines[i]);
        assert_non_null(end);
        if (said == NULL || said > end)
            fail_msg("%s is not in line %zu of: %s", lines[i], i + 1, output);
        at = end + 1;
    }
    assert_string_equal(at, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_printed_but_by_the_default_report), /* first: it forks */
        cmocka_unit_test(a_fork_on_another_stack_is_not_the_owner),
        cmocka_unit_test(what_another_runtime_has_is_not_to_be_had),
        cmocka_unit_test(bad_arguments_are_told_and_nothing_has_happened),
        cmocka_unit_test(options_may_be_shorter_or_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
