/* What is told: the way a failure took through forks and tasks, in the report of a failing main; what was left open, by whom and where. */
#include "support.h"

#include <sys/mman.h>

#include <yoke/sync/event.h>

static int lines[8]; /* of the hops below, the place of the failure first */

static int stolen, started; /* the fork must run on another worker; it has begun */

static int leaf(void *arg)
{
    (void)arg;
    lines[0] = __LINE__ + 1;
    return yoke_fail(-EIO, "bad\nnews %d", 7);
}

static int spawn_leaf(void *arg)
{
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.name = "leaf"), leaf, arg), 0);
    lines[1] = __LINE__ + 1;
    YOKE_TRY(yoke_group_close(g, 0));
    return 0;
}

static int forked(void *arg)
{
    add(&started, 1);
    lines[2] = __LINE__ + 1;
    YOKE_TRY(spawn_leaf(arg));
    return 0;
}

static int fork_and_join(void *arg)
{
    yoke_forked f;
    yoke_fork(&f, forked, arg);
    while (stolen && load(&started) == 0)
        sched_yield();
    lines[3] = __LINE__ + 1;
    YOKE_TRY(yoke_join(&f));
    return 0;
}

static int failing_main(void *arg)
{
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.name = "branch"), fork_and_join, arg), 0);
    int rc = yoke_group_close(g, 0);
    check_int(rc, -EIO);
    check(strcmp(yoke_message(rc), "bad\nnews 7") == 0);
    lines[4] = __LINE__ + 1;
    YOKE_TRY(rc);
    return 0;
}

static void a_failing_main_tells_the_way_the_failure_took(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        for (stolen = 0; stolen <= (workers > 1); stolen++) {
            started = 0;
            assert_int_equal(run(workers, failing_main, NULL), -EIO);
            const char *at = strstr(reports, "task 'main' failed: ");
            assert_non_null(at);
            assert_null(strstr(at + strlen("task 'main' failed: "), " failed: ")); /* once */
            assert_true(reported("in task 'leaf' ("));
            at = strstr(at, "bad news 7; by way of "); /* one line */
            assert_non_null(at);
            for (int i = 0; i < 5; i++) {
                char hop[300];
                snprintf(hop, sizeof hop, "%s:%d", __FILE__, lines[i]);
                at = strstr(at, hop); /* in this order */
                if (at == NULL)
                    fail_msg("hop %d is missing: %s", i, reports);
            }
        }
}

/* ---- a long way -------------------------------------------------------------------------------------------------------- */

static int go_far(int levels)
{
    if (levels == 0)
        return yoke_fail(-EILSEQ, "far away");
    YOKE_TRY(go_far(levels - 1));
    return 0;
}

static int fail_far(void *arg)
{
    return go_far(*(int *)arg);
}

static int a_long_way_main(void *arg)
{
    (void)arg;
    for (int levels = YOKE_HOPS_MAX - 2; levels <= YOKE_HOPS_MAX + 30; levels++) {
        yoke_failure failure;
        yoke_group_report report = { .size = sizeof report, .failures = &failure, .capacity = 1 };
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, fail_far, &levels), 0);
        check_int(yoke_group_close_report(g, 0, &report), -EILSEQ);
        check_int(failure.hops + failure.hops_lost, levels + 1);
        check_int(failure.hops, levels + 1 < YOKE_HOPS_MAX ? levels + 1 : YOKE_HOPS_MAX);
    }
    return 0;
}

static void hops_beyond_the_first_are_counted(void **state)
{
    (void)state;
    assert_int_equal(run(2, a_long_way_main, NULL), 0);
}

/* ---- left open ----------------------------------------------------------------------------------------------------------- */

static int ended;

static int sleep_long(void *arg)
{
    (void)arg;
    int rc = yoke_sleep_until(YOKE_NEVER);
    add(&ended, 1);
    return rc;
}

static int leave_open(void *arg)
{
    (void)arg;
    yoke_scope s = yoke_scope_open(&(yoke_scope_options){ .size = sizeof(yoke_scope_options), .name = "ajar" });
    (void)s;
    yoke_group g = yoke_group_open(&(yoke_group_options){ .size = sizeof(yoke_group_options), .name = "forgotten" });
    check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
    add(&started, 1);
    return 5;
}

static int join_leaver(void *arg)
{
    yoke_forked f;
    yoke_fork(&f, leave_open, arg);
    while (stolen && load(&started) == 0)
        sched_yield();
    YOKE_SCOPE(inner, .deadline = yoke_after(YOKE_SEC(1000))); /* another one than the fork's */
    int64_t deadline = yoke_deadline();
    check_int(yoke_join(&f), 5);
    check_int(load(&ended), 1); /* cancelled and joined before the join came back */
    check_int(yoke_checkpoint(), 0);
    check(yoke_deadline() == deadline); /* and what was current is so again */
    YOKE_GROUP(g);
    check_int(yoke_group_close(g, 0), 0);
    return yoke_scope_close(inner, 0);
}

/* A fork that is called where it was begun is only looked at in debug mode: otherwise its task's end tells. */
static void what_a_fork_leaves_open_is_joined_and_reported(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        for (stolen = 0; stolen <= (workers > 1); stolen++) {
            started = ended = 0;
            assert_int_equal(run_with(join_leaver, NULL, OPTIONS(.workers = workers, .debug = stolen ? "off" : "on")), 0);
            assert_true(reported("'forgotten'"));
            assert_true(reported("'ajar'"));
            assert_true(reported("was still open when a fork ended: cancelled and joined"));
        }
}

static int return_out_of_scope(void *arg)
{
    YOKE_SCOPE(s, .name = "outer");
    if (arg == NULL)
        return 3; /* past the close */
    return yoke_scope_close(s, 0);
}

static int leave_scopes(void *arg)
{
    int any;
    check_int(return_out_of_scope(&any), 0);
    check_int(return_out_of_scope(arg), 3);
    YOKE_SCOPE(s); /* the one that was left is not in the way */
    return yoke_scope_close(s, 0);
}

static void a_scope_left_past_its_close_is_reported(void **state)
{
    (void)state;
    assert_int_equal(run(2, leave_scopes, NULL), 0);
    const char *at = strstr(reports, "task 'main': scope 'outer'");
    assert_non_null(at);
    assert_non_null(strstr(at, "was left without yoke_scope_close"));
    assert_null(strstr(at + strlen("task 'main': scope 'outer'"), "scope 'outer'"));
}

/* ---- who cancelled, where, and with what ------------------------------------------------------------------------------- */

#define NAMED(type, text) (&(type){ .size = sizeof(type), .name = (text) })

static char told[1 << 14];

static const char *dump_now(void)
{
    int fd = memfd_create("dump", 0);
    check_int(yoke_dump(fd), 0);
    ssize_t n = pread(fd, told, sizeof told - 1, 0);
    told[n > 0 ? n : 0] = '\0';
    close(fd);
    return told;
}

/* The line of `text` in which `of` stands says `what`. */
static int says(const char *text, const char *of, const char *what)
{
    char line[1024];
    const char *at = strstr(text, of);
    const char *end = at != NULL ? strchr(at, '\n') : NULL;
    if (end == NULL || (size_t)(end - at) >= sizeof line)
        return 0;
    memcpy(line, at, (size_t)(end - at));
    line[end - at] = '\0';
    return strstr(line, what) != NULL;
}

struct target {
    yoke_group group;
    char *by;
};

static int cancel_group(void *arg)
{
    struct target *target = arg;
    int line = __LINE__ + 2; /* told before: who is cancelled reads it */
    snprintf(target->by, 512, ", cancelled by task #%llu (%s:%d), -EXDEV", (unsigned long long)yoke_task_id(), __FILE__, line);
    check_int(yoke_group_cancel(target->group, -EXDEV), 0);
    return 0;
}

static int fail_here(void *arg)
{
    snprintf(arg, 512, ", cancelled by a failure by task #%llu (%s:", (unsigned long long)yoke_task_id(), __FILE__);
    return -EDOM;
}

/* Cancelled, it yet stays: behind a shield, so that the dump finds somebody in there. */
static int stay(void *arg)
{
    YOKE_SCOPE(shield, .shield = true, .deadline = yoke_after(YOKE_SEC(1000)));
    int rc = yoke_event_wait(arg);
    return yoke_scope_close(shield, rc);
}

static int tell_origins(void *arg)
{
    (void)arg;
    char by[512];
    yoke_event over = YOKE_EVENT_INIT;
    YOKE_GROUP(outside, .policy = YOKE_COLLECT);
    yoke_group g = yoke_group_open(NAMED(yoke_group_options, "asked"));
    check_int(yoke_spawn_ptr(g, stay, &over), 0);
    check_int(yoke_spawn(outside, cancel_group, struct target, .group = g, .by = by), 0);
    check_int(yoke_sleep_until(YOKE_NEVER), -ECANCELED);
    check_int(yoke_group_cancel(g, -EDOM), 0); /* the first wins */
    while (strstr(dump_now(), "'stay'") == NULL || strstr(told, "waits: event") == NULL) {
        YOKE_SCOPE(s, .shield = true, .deadline = yoke_after(YOKE_SEC(1000)));
        check_int(yoke_scope_close(s, yoke_yield()), 0);
    }
    check(says(told, "group 'asked'", by));
    check_int(yoke_event_set(&over), 0);
    check_int(yoke_group_close(g, 0), -EXDEV);
    { /* in the report of one that was left open */
        YOKE_GROUP(failed, .name = "failed");
        check_int(yoke_spawn_ptr(failed, fail_here, by), 0);
        check_int(yoke_sleep_until(YOKE_NEVER), -ECANCELED);
    }
    check(says(reports, "group 'failed'", by));
    check(says(reports, "group 'failed'", ", -EDOM"));
    {
        YOKE_SCOPE(late, .name = "late", .deadline = 1);
        check(late.block != NULL);
        check_int(yoke_sleep_until(YOKE_NEVER), -ECANCELED);
    }
    check(says(reports, "scope 'late'", ", past its deadline, -ETIMEDOUT"));
    {
        YOKE_SCOPE(well, .name = "well");
        check(well.block != NULL);
    }
    check(!says(reports, "scope 'well'", "cancelled"));
    { /* and of a grace that ran out: who asked for the stop */
        YOKE_SCOPE(stopped, .name = "stopped", .grace = -1);
        snprintf(by, sizeof by, "of its stop (%s:%d) ran out", __FILE__, __LINE__ + 1);
        check_int(yoke_scope_stop(stopped), 0);
        check_int(yoke_scope_close(stopped, yoke_sleep_until(YOKE_NEVER)), 0);
    }
    check(says(reports, "'stopped'", by));
    return yoke_group_close(outside, 0);
}

static void the_origin_of_a_cancel_is_told(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, tell_origins, NULL), 0);
}

static int shields(void *arg)
{
    (void)arg;
    YOKE_GROUP(bare_group, .shield = true, .name = "bare");
    YOKE_GROUP(bounded_group, .shield = true, .deadline = yoke_after(YOKE_SEC(100)));
    check_int(yoke_group_close(bounded_group, 0), 0);
    check_int(yoke_group_close(bare_group, 0), 0);
    YOKE_SCOPE(bare, .shield = true);
    YOKE_SCOPE(bounded, .shield = true, .deadline = yoke_after(YOKE_SEC(100)));
    int rc = yoke_scope_close(bounded, 0);
    return yoke_scope_close(bare, rc);
}

static void debug_mode_reports_a_shield_without_a_deadline(void **state)
{
    (void)state;
    assert_int_equal(run_with(shields, NULL, OPTIONS(.workers = 1, .debug = "on")), 0);
    const char *at = strstr(reports, "shield without a deadline of its own opened"); /* of the group, of the scope, and no more */
    assert_non_null(at);
    at = strstr(at + 1, "shield without a deadline of its own opened");
    assert_non_null(at);
    assert_null(strstr(at + 1, "shield without"));
    assert_int_equal(run(1, shields, NULL), 0);
    assert_false(reported("shield without"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failing_main_tells_the_way_the_failure_took),
        cmocka_unit_test(hops_beyond_the_first_are_counted),
        cmocka_unit_test(what_a_fork_leaves_open_is_joined_and_reported),
        cmocka_unit_test(a_scope_left_past_its_close_is_reported),
        cmocka_unit_test(the_origin_of_a_cancel_is_told),
        cmocka_unit_test(debug_mode_reports_a_shield_without_a_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
