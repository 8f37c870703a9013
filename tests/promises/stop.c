/* Graceful stop: who is asked, who is cut at once, grace, shields, signals; and its races. */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>

static int sleep_long(void *arg)
{
    (void)arg;
    return yoke_sleep_until(YOKE_NEVER);
}

/* ---- who is asked ---- */

static int goes_on(void *arg)
{
    int *count = arg;
    check(yoke_stopping());
    check_int(yoke_checkpoint(), 0); /* asked, not cancelled */
    check(!yoke_cancelled());
    check_int(yoke_yield(), 0);
    check_int(yoke_sleep(YOKE_US(1)), 0);
    add(count, 1);
    return 0;
}

static int waits_for_stop(void *arg)
{
    YOKE_SCOPE(inner);
    while (!yoke_stopping())
        check_int(yoke_yield(), 0);
    YOKE_GROUP(later); /* opened inside a stopping scope: stopping too */
    check(yoke_stopping());
    check_int(yoke_spawn_ptr(later, goes_on, arg), 0);
    check_int(yoke_group_close(later, 0), 0);
    return yoke_scope_close(inner, 0);
}

static int asking(void *arg)
{
    (void)arg;
    int count = 0;
    check(!yoke_stopping());
    {
        YOKE_SCOPE(s, .grace = YOKE_NEVER);
        YOKE_SCOPE(inner);
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, waits_for_stop, &count), 0);
        check(!yoke_stopping());
        check_int(yoke_scope_stop(s), 0);
        check(yoke_stopping());
        check_int(yoke_checkpoint(), 0);
        check_int(yoke_spawn_ptr(g, goes_on, &count), 0); /* draining may need tasks */
        check_int(yoke_group_close(g, 4), 4);             /* nothing was cut: its own result */
        check_int(yoke_scope_close(inner, -EIO), -EIO);
        check_int(yoke_scope_close(s, -ECANCELED), -ECANCELED);
        check(!yoke_stopping()); /* over with the scope */
        check_int(count, 2);
    }
    { /* by its handle a group, as a scope */
        YOKE_GROUP(g, .grace = YOKE_NEVER);
        check_int(yoke_spawn_ptr(g, waits_for_stop, &count), 0);
        check_int(yoke_group_stop(g), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(count, 3);
    }
    { /* the first stop counts */
        YOKE_SCOPE(s, .grace = YOKE_NEVER);
        check_int(yoke_scope_stop(s), 0);
        check_int(yoke_scope_stop(s), 0);
        check_int(yoke_scope_close(s, 0), 0);
    }
    { /* what is cancelled ends already */
        YOKE_SCOPE(s, .grace = -1);
        check_int(yoke_scope_cancel(s, -EXDEV), 0);
        check_int(yoke_scope_stop(s), 0);
        check(!yoke_stopping());
        check_int(yoke_scope_close(s, yoke_yield()), -EXDEV);
    }
    { /* and what is stopping may be cancelled */
        YOKE_SCOPE(s, .grace = YOKE_NEVER);
        check_int(yoke_scope_stop(s), 0);
        check_int(yoke_scope_cancel(s, -EXDEV), 0);
        check_int(yoke_scope_close(s, yoke_yield()), -EXDEV);
    }
    { /* misuse */
        yoke_scope never = { NULL, 0 };
        yoke_group no_group = { NULL, 0 };
        check_int(yoke_scope_stop(never), -EINVAL);
        check_int(yoke_group_stop(no_group), -EINVAL);
        YOKE_SCOPE(s);
        YOKE_GROUP(g);
        check_int(yoke_group_close(g, 0), 0);
        check_int(yoke_group_stop(g), -EINVAL);
        check_int(yoke_scope_close(s, 0), 0);
        check_int(yoke_scope_stop(s), -EINVAL);
        check(!yoke_stopping());
    }
    check(reports[0] == '\0');
    return 0;
}

static void a_stop_asks_everything_inside_and_cuts_nothing(void **state)
{
    (void)state;
    yoke_scope never = { NULL, 0 };
    assert_int_equal(yoke_scope_stop(never), -ENOTRECOVERABLE);
    assert_false(yoke_stopping());
    for (int i = 0; i < repetitions(20); i++)
        for (int workers = 1; workers <= 4; workers++)
            assert_int_equal(run(workers, asking, NULL), 0);
}

/* ---- what is cancelled at once ---- */

struct idler {
    int *idle, *ended;
};

/* An accept loop: only the wait ends on stop. */
static int idle(void *arg)
{
    struct idler *me = arg;
    YOKE_SCOPE(wait, .cancel_on_stop = true);
    add(me->idle, 1);
    check_int(yoke_scope_close(wait, yoke_sleep_until(YOKE_NEVER)), 0);
    check(yoke_stopping());
    check_int(yoke_checkpoint(), 0);
    add(me->ended, 1);
    return 0;
}

static int cut_at_once(void *arg)
{
    (void)arg;
    int idle_now = 0, ended = 0;
    {
        YOKE_GROUP(g, .grace = YOKE_NEVER);
        YOKE_GROUP(inside);
        for (int i = 0; i < 5; i++)
            check_int(yoke_spawn(inside, idle, struct idler, &idle_now, &ended), 0);
        while (load(&idle_now) < 5)
            check_int(yoke_yield(), 0);
        check_int(ended, 0);
        check_int(yoke_group_stop(g), 0);
        check_int(yoke_group_close(inside, 0), 0);
        check_int(ended, 5);
        { /* opened while stopping: at once; other codes pass, an enclosing cancel does */
            YOKE_SCOPE(late, .cancel_on_stop = true);
            check_int(yoke_checkpoint(), -ECANCELED);
            check_int(yoke_scope_close(late, yoke_sleep_until(YOKE_NEVER)), 0);
            YOKE_SCOPE(other, .cancel_on_stop = true);
            check_int(yoke_scope_close(other, -EIO), -EIO);
            YOKE_SCOPE(outer);
            check_int(yoke_scope_cancel(outer, -EXDEV), 0);
            YOKE_SCOPE(cut, .cancel_on_stop = true);
            check_int(yoke_scope_close(cut, yoke_yield()), -ECANCELED);
            check_int(yoke_scope_close(outer, -ECANCELED), -EXDEV);
        }
        { /* a group: its children are cut, and it closes with 0 */
            yoke_group_report report = { .size = sizeof report };
            YOKE_GROUP(marked, .cancel_on_stop = true);
            check_int(yoke_spawn_ptr(marked, sleep_long, NULL), -ECANCELED);
            check_int(yoke_group_close_report(marked, 7, &report), 0);
            check_int(report.spawned, 0);
        }
        check_int(yoke_group_close(g, 0), 0);
    }
    { /* a group that was open before */
        yoke_group_report report = { .size = sizeof report };
        YOKE_SCOPE(s, .grace = YOKE_NEVER);
        YOKE_GROUP(marked, .cancel_on_stop = true);
        for (int i = 0; i < 3; i++)
            check_int(yoke_spawn_ptr(marked, sleep_long, NULL), 0);
        check_int(yoke_scope_stop(s), 0);
        check_int(yoke_group_close_report(marked, yoke_sleep_until(YOKE_NEVER), &report), 0);
        check_int(report.cancelled, 3);
        check_int(report.cut, 0); /* not by a grace */
        check_int(yoke_checkpoint(), 0);
        check_int(yoke_scope_close(s, 0), 0);
    }
    { /* marked and stopped itself */
        YOKE_SCOPE(s, .cancel_on_stop = true);
        check_int(yoke_checkpoint(), 0);
        check_int(yoke_scope_stop(s), 0);
        check_int(yoke_scope_close(s, yoke_sleep_until(YOKE_NEVER)), 0);
    }
    { /* not stopped: nothing happens to a marked one */
        YOKE_SCOPE(s, .cancel_on_stop = true);
        check_int(yoke_yield(), 0);
        check_int(yoke_scope_close(s, -ECANCELED), -ECANCELED);
    }
    check(reports[0] == '\0');
    return 0;
}

static void scopes_marked_for_it_are_cancelled_at_once_and_close_with_0(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(20); i++)
        for (int workers = 1; workers <= 4; workers++)
            assert_int_equal(run(workers, cut_at_once, NULL), 0);
}

/* ---- grace ---- */

static int note_and_sleep(void *arg)
{
    add((int *)arg, 1);
    return yoke_sleep_until(YOKE_NEVER);
}

static int nest(void *arg)
{
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, note_and_sleep, arg), 0);
    check_int(yoke_spawn_ptr(g, note_and_sleep, arg), 0);
    return yoke_group_close(g, 0);
}

static int grace(void *arg)
{
    (void)arg;
    for (int once = 0; once <= 1; once++) { /* a grace, and none */
        yoke_group_report report = { .size = sizeof report };
        int64_t begin = yoke_now();
        YOKE_GROUP(g, .name = "server", .grace = once ? -1 : YOKE_MS(2));
        int asleep = 0;
        check_int(yoke_spawn_ptr(g, note_and_sleep, &asleep), 0);
        check_int(yoke_spawn_ptr(g, nest, &asleep), 0);
        while (load(&asleep) < 3)
            check_int(yoke_yield(), 0);
        check_int(yoke_group_stop(g), 0);
        check_int(yoke_group_close_report(g, yoke_sleep_until(YOKE_NEVER), &report), 0);
        check(once || yoke_now() - begin >= YOKE_MS(2));
        check_int(report.cut, 5); /* the two children, the two of the inner group, and the body */
        check(reported("'server'"));
        check(reported("stop.c"));
        check(reported("tasks cut: 5"));
        check_int(yoke_checkpoint(), 0);
    }
    { /* of a plain scope */
        YOKE_SCOPE(s, .name = "drain", .grace = YOKE_US(100));
        check_int(yoke_scope_stop(s), 0);
        check_int(yoke_scope_close(s, yoke_sleep_until(YOKE_NEVER)), 0);
        check(reported("'drain'"));
        check(reported("tasks cut: 1\n"));
    }
    { /* of the outer one, which comes sooner: the inner group passes it on */
        YOKE_SCOPE(outer, .name = "outer", .grace = YOKE_US(100));
        YOKE_GROUP(g, .name = "patient", .grace = YOKE_NEVER);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_group_stop(g), 0);
        check_int(yoke_scope_stop(outer), 0);
        check_int(yoke_group_close(g, 0), -ECANCELED);
        check_int(yoke_scope_close(outer, -ECANCELED), 0);
        check(!reported("'patient'"));
        check(reported("'outer'"));
    }
    return 0;
}

/* Everything ends in time: no cancel, no report. */
static int in_time(void *arg)
{
    (void)arg;
    int count = 0;
    YOKE_GROUP(g, .grace = YOKE_SEC(1000));
    check_int(yoke_spawn_ptr(g, waits_for_stop, &count), 0);
    check_int(yoke_group_stop(g), 0);
    check_int(yoke_group_close(g, 3), 3);
    check_int(count, 1);
    return reports[0] != '\0';
}

static int default_grace(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
    check_int(yoke_group_stop(g), 0);
    check_int(yoke_group_close(g, 0), 0);
    check(reported("tasks cut: 1\n"));
    return 0;
}

static void after_its_grace_a_stop_becomes_a_cancel(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++) {
        assert_int_equal(run(workers, grace, NULL), 0);
        assert_int_equal(run(workers, in_time, NULL), 0);
        assert_int_equal(run_with(default_grace, NULL, OPTIONS(.workers = workers, .stop_grace = YOKE_MS(1))), 0);
        assert_int_equal(run_with(default_grace, NULL, OPTIONS(.workers = workers, .stop_grace = -1)), 0);
    }
}

/* ---- shields ---- */

static int shields(void *arg)
{
    (void)arg;
    YOKE_SCOPE(s, .grace = YOKE_NEVER);
    {
        YOKE_SCOPE(shield, .shield = true, .grace = YOKE_NEVER);
        YOKE_SCOPE(marked, .cancel_on_stop = true);
        check_int(yoke_scope_stop(s), 0);
        check(!yoke_stopping()); /* cleanup goes on */
        check_int(yoke_yield(), 0);
        check_int(yoke_scope_close(marked, 0), 0);
        YOKE_SCOPE(late, .cancel_on_stop = true);
        check_int(yoke_yield(), 0);
        check_int(yoke_scope_stop(shield), 0); /* by its own handle */
        check(yoke_stopping());
        check_int(yoke_scope_close(late, yoke_sleep_until(YOKE_NEVER)), 0);
        check_int(yoke_scope_close(shield, 0), 0);
    }
    check(yoke_stopping());
    return yoke_scope_close(s, 0);
}

static void a_shield_hides_a_stop(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, shields, NULL), 0);
}

/* ---- options.signals ---- */

static int meet_signals(void *arg)
{
    int signals = *(int *)arg;
    check_int(kill(getpid(), SIGTERM), 0);
    while (!yoke_stopping())
        check_int(yoke_yield(), 0);
    check_int(yoke_checkpoint(), 0);
    if (signals == 1)
        return 9;
    check_int(kill(getpid(), SIGINT), 0);
    check_int(yoke_sleep_until(YOKE_NEVER), -ECANCELED);
    if (signals == 3) {
        check_int(kill(getpid(), SIGTERM), 0);
        YOKE_SCOPE(shield, .shield = true);
        return yoke_scope_close(shield, yoke_sleep_until(YOKE_NEVER));
    }
    return yoke_checkpoint();
}

static int outlive_the_grace(void *arg)
{
    (void)arg;
    check_int(kill(getpid(), SIGINT), 0);
    return yoke_sleep_until(YOKE_NEVER);
}

/* The grace is not to run out, however slow the machine: else what the next signal does would have been done. */
#define PATIENT(...) OPTIONS(.signals = true, .stop_grace = YOKE_SEC(1000), __VA_ARGS__)

static void signals_stop_then_cancel_then_kill(void **state)
{
    (void)state;
    struct sigaction before, after;
    sigaction(SIGINT, NULL, &before);
    for (int i = 0; i < repetitions(20); i++) {
        for (int workers = 1; workers <= 4; workers += 3) {
            int one = 1, two = 2;
            assert_int_equal(run_with(meet_signals, &one, PATIENT(.workers = workers)), 9);
            assert_int_equal(run_with(meet_signals, &two, PATIENT(.workers = workers)), -ECANCELED);
            assert_true(reported("failed: -ECANCELED"));
            assert_true(reported(", shut down, -ECANCELED")); /* and why */
            assert_int_equal(run_with(outlive_the_grace, NULL, OPTIONS(.workers = workers, .signals = true, .stop_grace = YOKE_US(100))), 0);
            assert_true(reported("'root': the grace of its stop ran out; tasks cut: 1"));
            assert_false(reported("failed"));
        }
    }
    sigaction(SIGINT, NULL, &after);
    assert_true(before.sa_handler == after.sa_handler);

    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int three = 3;
        int rc = yoke_run(meet_signals, &three, PATIENT(.workers = 2));
        _exit(rc & 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* ---- races: each exactly, on one worker, and as an invariant on four ---- */

static uint64_t random_state;

static uint64_t fresh(void)
{
    return add(&random_state, 0x9e3779b97f4a7c15u) + seed();
}

#define REPEAT(n) for (int round = repetitions(n); round > 0; round--)

struct actor {
    yoke_group group;
    uint64_t random;
    int *ended;
};

/* Its end is certain once it is stopped: by the mark on the way, or at once if that was there first. */
static int open_marked(void *arg)
{
    struct actor *a = arg;
    jitter(&a->random);
    YOKE_SCOPE(plain); /* not linked before the marked one is */
    YOKE_SCOPE(marked, .cancel_on_stop = true);
    jitter(&a->random);
    check_int(yoke_scope_close(marked, yoke_sleep_until(YOKE_NEVER)), 0);
    check(yoke_stopping());
    add(a->ended, 1);
    return yoke_scope_close(plain, 0);
}

static int stop_sometime(void *arg)
{
    struct actor *a = arg;
    jitter(&a->random);
    int rc = yoke_group_stop(a->group);
    check(rc == 0 || rc == -EINVAL); /* -EINVAL: closed already */
    return 0;
}

static int cancel_sometime(void *arg)
{
    struct actor *a = arg;
    jitter(&a->random);
    int rc = yoke_group_cancel(a->group, -EXDEV);
    check(rc == 0 || rc == -EINVAL);
    return 0;
}

static int stop_while_opening(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        uint64_t r = fresh();
        int ended = 0;
        YOKE_GROUP(outside);
        YOKE_GROUP(g, .grace = YOKE_NEVER);
        for (int n = 0; n < 4; n++)
            check_int(yoke_spawn(g, open_marked, struct actor, .random = next_random(&r), .ended = &ended), 0);
        check_int(yoke_spawn(outside, stop_sometime, struct actor, .group = g, .random = next_random(&r)), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(ended, 4);
        check_int(yoke_group_close(outside, 0), 0);
    }
    return 0;
}

static int stop_before_and_after_opening(void *arg)
{
    (void)arg;
    uint64_t no_yields = 4;
    int ended = 0;
    for (int first = 0; first <= 1; first++) {
        YOKE_GROUP(g, .grace = YOKE_NEVER);
        if (first)
            check_int(yoke_group_stop(g), 0);
        check_int(yoke_spawn(g, open_marked, struct actor, .random = no_yields, .ended = &ended), 0);
        for (int i = 0; i < 10; i++)
            check_int(yoke_yield(), 0);
        check_int(ended, 2 * first);
        if (!first)
            check_int(yoke_group_stop(g), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(ended, 1 + first);
    }
    return 0;
}

static void stop_against_opening(void **state)
{
    (void)state;
    assert_int_equal(run(1, stop_before_and_after_opening, NULL), 0);
    REPEAT(1000)
        assert_int_equal(run(4, stop_while_opening, NULL), 0);
}

static int sleep_a_moment(void *arg)
{
    return yoke_sleep((int64_t)(*(uint64_t *)arg % 20000));
}

/*
 * Against the close, its grace, and a cancel: the blocks are taken again at once, so a timer or a walk that comes late would meet another
 * group.
 */
static int stop_while_closing(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        uint64_t r = fresh();
        bool cancelled = next_random(&r) % 4 == 0;
        yoke_group_report report = { .size = sizeof report };
        YOKE_GROUP(outside);
        YOKE_GROUP(g, .grace = next_random(&r) % 2 ? (int64_t)(next_random(&r) % 20000) - 1 : YOKE_NEVER,
                   .hard_after = YOKE_SEC(1000)); /* armed and disarmed */
        for (uint64_t n = next_random(&r) % 3; n > 0; n--)
            check_int(yoke_spawn(g, sleep_a_moment, uint64_t, next_random(&r)), 0);
        check_int(yoke_spawn(outside, stop_sometime, struct actor, .group = g, .random = next_random(&r)), 0);
        check_int(yoke_spawn(outside, stop_sometime, struct actor, .group = g, .random = next_random(&r)), 0);
        if (cancelled)
            check_int(yoke_spawn(outside, cancel_sometime, struct actor, .group = g, .random = next_random(&r)), 0);
        int rc = yoke_group_close_report(g, 6, &report);
        check(rc == 6 || rc == 0 || (cancelled && rc == -EXDEV));
        check(report.cut == 0 || (rc == 0 && report.cut == report.cancelled));
        check_int(yoke_group_close(outside, 0), 0);
        check(!yoke_stopping()); /* it was that group's */
        check_int(yoke_checkpoint(), 0);
    }
    return 0;
}

static int stop_around_the_close(void *arg)
{
    (void)arg;
    YOKE_GROUP(g, .grace = -1);
    check_int(yoke_group_stop(g), 0);
    check_int(yoke_group_close(g, yoke_sleep_until(YOKE_NEVER)), 0);
    check_int(yoke_group_stop(g), -EINVAL);
    YOKE_GROUP(again, .grace = YOKE_NEVER); /* the same block */
    check_int(yoke_group_stop(g), -EINVAL);
    check(!yoke_stopping());
    check_int(yoke_group_close(again, 6), 6);
    return 0;
}

static void stop_against_close_grace_and_cancel(void **state)
{
    (void)state;
    assert_int_equal(run(1, stop_around_the_close, NULL), 0);
    REPEAT(1500)
        assert_int_equal(run(4, stop_while_closing, NULL), 0);
}

/* Signals at any moment of a run, its end included. */
static int ends_sometime(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    check_int(kill(getpid(), SIGINT), 0);
    jitter(&r);
    if (next_random(&r) % 2)
        check_int(kill(getpid(), SIGTERM), 0);
    jitter(&r);
    return 0;
}

static void signals_against_the_end_of_a_run(void **state)
{
    (void)state;
    REPEAT(1500) {
        uint64_t r = fresh();
        assert_int_equal(run_with(ends_sometime, &r, OPTIONS(.workers = 1 + 3 * (round % 2), .signals = true, .stop_grace = -1)), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_asks_everything_inside_and_cuts_nothing),
        cmocka_unit_test(scopes_marked_for_it_are_cancelled_at_once_and_close_with_0),
        cmocka_unit_test(after_its_grace_a_stop_becomes_a_cancel),
        cmocka_unit_test(a_shield_hides_a_stop),
        cmocka_unit_test(signals_stop_then_cancel_then_kill),
        cmocka_unit_test(stop_against_opening),
        cmocka_unit_test(stop_against_close_grace_and_cancel),
        cmocka_unit_test(signals_against_the_end_of_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
