/* Cancellation: level-triggered scopes, the table of cancellation points, results of leaving, deadlines, shields. */
#include "support.h"

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int sleep_long(void *arg)
{
    int rc = yoke_sleep_until(YOKE_NEVER);
    if (arg != NULL)
        add((int *)arg, 1);
    return rc;
}

/* ---- the table of cancellation points ---- */

static int points(void *arg)
{
    (void)arg;
    yoke_task done, open;
    yoke_interval interval;
    int result = 1;
    YOKE_GROUP(outside);
    check_int(yoke_spawn_ptr_with(outside, (.handle = &done), nothing, NULL), 0);
    check_int(yoke_spawn_ptr_with(outside, (.handle = &open), sleep_long, NULL), 0);
    check_int(yoke_task_await(done, &result), 0);
    check_int(yoke_interval_init(&interval, YOKE_SEC(100), YOKE_BURST), 0);
    int64_t next = interval.next;
    YOKE_SCOPE(s);
    check(!yoke_cancelled());
    check_int(yoke_scope_cancel(s, 0), 0);
    check(yoke_cancelled());
    for (int twice = 0; twice < 2; twice++) { /* level-triggered: ignoring one result does not lose it */
        check_int(yoke_checkpoint(), -ECANCELED);
        check_int(yoke_yield(), -ECANCELED);
        check_int(yoke_sleep(0), -ECANCELED);
        check_int(yoke_sleep(YOKE_SEC(100)), -ECANCELED);
        check_int(yoke_sleep_until(YOKE_NEVER), -ECANCELED);
        check_int(yoke_interval_next(&interval), -ECANCELED);
        check_int(interval.next, next); /* the tick is not consumed */
        check_int(yoke_task_await(done, &result), -ECANCELED); /* even if it could finish at once */
        check_int(yoke_task_await(open, &result), -ECANCELED);
        check_int(yoke_blocking(nothing, NULL), -ECANCELED);
        /* and these are none */
        check_int(yoke_task_state(done), YOKE_TASK_DONE);
        yoke_forked f;
        yoke_fork(&f, nothing, NULL);
        check_int(yoke_join(&f), 0);
        YOKE_SCOPE(inner);
        check_int(yoke_scope_close(inner, 7), 7);
        YOKE_GROUP(g);
        check_int(yoke_group_close(g, 8), 8);
        check_int(yoke_spawn_ptr(outside, nothing, NULL), 0); /* it looks at the group's cancellation, and there is room */
        check_int(yoke_defer(nothing, NULL), 0);
    }
    check_int(yoke_scope_close(s, -ECANCELED), 0);
    check_int(yoke_checkpoint(), 0); /* over with the scope */
    check_int(yoke_task_cancel(open), 0);
    check_int(yoke_task_close(open), 0);
    return yoke_group_close(outside, 0);
}

static void every_point_tells_and_tells_again(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(20); i++)
        for (int workers = 1; workers <= 4; workers++)
            assert_int_equal(run(workers, points, NULL), 0);
}

/* ---- leaving ---- */

static int leaving(void *arg)
{
    (void)arg;
    { /* not cancelled: any code passes */
        YOKE_SCOPE(s);
        check_int(yoke_scope_close(s, -EIO), -EIO);
        YOKE_SCOPE(t);
        check_int(yoke_scope_close(t, -ECANCELED), -ECANCELED);
    }
    { /* the reason, for -ECANCELED only */
        YOKE_SCOPE(s);
        check_int(yoke_scope_cancel(s, -EXDEV), 0);
        check_int(yoke_scope_close(s, yoke_yield()), -EXDEV);
        YOKE_SCOPE(t);
        check_int(yoke_scope_cancel(t, -EXDEV), 0);
        check_int(yoke_scope_close(t, -EIO), -EIO);
        YOKE_SCOPE(u);
        check_int(yoke_scope_cancel(u, -EXDEV), 0);
        check_int(yoke_scope_close(u, 5), 5);
    }
    { /* the first cancel wins */
        YOKE_SCOPE(s);
        check_int(yoke_scope_cancel(s, -EXDEV), 0);
        check_int(yoke_scope_cancel(s, -EIO), 0);
        check_int(yoke_scope_close(s, -ECANCELED), -EXDEV);
    }
    { /* only the outermost cancelled scope changes the code */
        YOKE_SCOPE(outer);
        YOKE_SCOPE(inner);
        check_int(yoke_scope_cancel(inner, -EXDEV), 0);
        check_int(yoke_scope_cancel(outer, -EDOM), 0);
        check_int(yoke_scope_close(inner, yoke_yield()), -ECANCELED);
        check_int(yoke_scope_close(outer, -ECANCELED), -EDOM);
    }
    { /* up to a shield */
        YOKE_SCOPE(outer);
        YOKE_SCOPE(shield, .shield = true);
        YOKE_SCOPE(inner);
        check_int(yoke_scope_cancel(outer, -EDOM), 0);
        check_int(yoke_yield(), 0);
        check(!yoke_cancelled());
        check_int(yoke_scope_cancel(inner, -EXDEV), 0);
        check_int(yoke_scope_close(inner, yoke_yield()), -EXDEV);
        check_int(yoke_yield(), 0);
        check_int(yoke_scope_close(shield, 0), 0);
        check_int(yoke_yield(), -ECANCELED);
        check_int(yoke_scope_close(outer, -ECANCELED), -EDOM);
    }
    { /* misuse */
        yoke_scope never = { NULL, 0 };
        check_int(yoke_scope_close(never, 0), -EINVAL);
        check_int(yoke_scope_cancel(never, 0), -EINVAL);
        YOKE_SCOPE(s);
        check_int(yoke_scope_cancel(s, 1), -EINVAL);
        check_int(yoke_scope_close(s, 0), 0);
        check_int(yoke_scope_close(s, 0), -EINVAL);
        check_int(yoke_scope_cancel(s, 0), -EINVAL);
        check_int(yoke_scope_set_deadline(s, 5), -EINVAL);
        check_int(yoke_checkpoint(), 0);
    }
    return 0;
}

static void leaving_turns_the_code_as_promised(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, leaving, NULL), 0);
}

/* ---- deadlines ---- */

static int deadlines(void *arg)
{
    (void)arg;
    check_int(yoke_deadline(), YOKE_NEVER);
    { /* its own */
        YOKE_SCOPE(s, .deadline = yoke_after(YOKE_MS(1)));
        check_int(yoke_scope_close(s, yoke_sleep_until(YOKE_NEVER)), -ETIMEDOUT);
    }
    { /* one in the past is legal */
        YOKE_SCOPE(s, .deadline = 1);
        check_int(yoke_scope_close(s, yoke_sleep_until(YOKE_NEVER)), -ETIMEDOUT);
    }
    { /* the nested minimum holds */
        int64_t soon = yoke_after(YOKE_SEC(1000)), late = yoke_after(YOKE_SEC(2000));
        YOKE_SCOPE(outer, .deadline = soon);
        YOKE_SCOPE(inner, .deadline = late);
        check_int(yoke_deadline(), soon);
        check_int(yoke_scope_set_deadline(inner, soon - 5), 0);
        check_int(yoke_deadline(), soon - 5);
        check_int(yoke_scope_set_deadline(inner, 0), 0);
        check_int(yoke_deadline(), soon);
        YOKE_SCOPE(shield, .shield = true);
        check_int(yoke_deadline(), YOKE_NEVER);
        check_int(yoke_scope_close(shield, 0), 0);
        check_int(yoke_scope_close(inner, 0), 0);
        check_int(yoke_scope_close(outer, 0), 0);
    }
    { /* the outer one strikes first: the inner passes -ECANCELED on */
        YOKE_SCOPE(outer, .deadline = yoke_after(YOKE_MS(1)));
        YOKE_SCOPE(inner, .deadline = yoke_after(YOKE_SEC(1000)));
        check_int(yoke_scope_close(inner, yoke_sleep_until(YOKE_NEVER)), -ECANCELED);
        check_int(yoke_scope_close(outer, -ECANCELED), -ETIMEDOUT);
    }
    { /* moved: nearer, then not at all */
        YOKE_SCOPE(s, .deadline = yoke_after(YOKE_SEC(1000)));
        check_int(yoke_scope_set_deadline(s, yoke_after(YOKE_MS(1))), 0);
        check_int(yoke_scope_close(s, yoke_sleep_until(YOKE_NEVER)), -ETIMEDOUT);
        YOKE_SCOPE(t, .deadline = yoke_after(YOKE_SEC(1000)));
        check_int(yoke_scope_set_deadline(t, 0), 0);
        check_int(yoke_scope_close(t, yoke_sleep(YOKE_MS(2))), 0);
    }
    { /* met by a child of a group opened inside */
        YOKE_SCOPE(s, .deadline = yoke_after(YOKE_MS(2)));
        YOKE_GROUP(g);
        check(yoke_spawn_ptr(g, sleep_long, NULL) == 0 || yoke_cancelled());
        int rc = yoke_sleep_until(YOKE_NEVER);
        check_int(yoke_group_close(g, rc), -ECANCELED);
        check_int(yoke_scope_close(s, -ECANCELED), -ETIMEDOUT);
    }
    { /* a sleep is never early */
        for (int i = 0; i < 20; i++) {
            int64_t until = yoke_after(YOKE_US(200));
            check_int(yoke_sleep_until(until), 0);
            check(yoke_now() >= until);
        }
        check_int(yoke_sleep(-5), 0);
    }
    return 0;
}

static void deadlines_nest_and_move(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(20); i++)
        for (int workers = 1; workers <= 4; workers++)
            assert_int_equal(run(workers, deadlines, NULL), 0);
}

/* ---- yielding ---- */

static int note_turn(void *arg)
{
    add((int *)arg, 1);
    return 0;
}

static int take_turns(void *arg)
{
    int *turns = arg;
    for (int i = 0; i < 100; i++) {
        add(turns, 1);
        check_int(yoke_yield(), 0);
    }
    return 0;
}

static int let_others_run(void *arg)
{
    (void)arg;
    for (int way = 0; way < 4; way++) {
        int ran = 0, rounds = 0;
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, note_turn, &ran), 0); /* only just spawned: what was woken goes before it, but not for long */
        for (; load(&ran) == 0 && rounds < 20; rounds++)
            check_int(way == 0 ? yoke_yield() : way == 1 ? yoke_sleep(0) : way == 2 ? yoke_sleep(-5) : yoke_sleep_until(1), 0);
        check_int(ran, 1);
        check_int(yoke_group_close(g, 0), 0);
    }
    { /* two that yield take turns */
        int one = 0, other = 0;
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, take_turns, &one), 0);
        check_int(yoke_spawn_ptr(g, take_turns, &other), 0);
        while (load(&one) == 0 || load(&other) == 0)
            check_int(yoke_yield(), 0);
        while (load(&one) < 100 && load(&other) < 100) {
            check(one - other <= 20 && other - one <= 20);
            check_int(yoke_yield(), 0);
        }
        check_int(yoke_group_close(g, 0), 0);
    }
    return 0;
}

static void a_yield_and_a_sleep_of_nothing_let_others_run(void **state)
{
    (void)state;
    assert_int_equal(run(1, let_others_run, NULL), 0);
}

/* ---- others cancel ---- */

struct share {
    yoke_scope scope;
    int *ready;
};

static int cancel_it(void *arg)
{
    struct share *s = arg;
    check_int(yoke_scope_set_deadline(s->scope, 1), -EPERM); /* the owner's */
    check_int(yoke_scope_close(s->scope, 0), -EPERM);
    check_int(yoke_scope_cancel(s->scope, -EXDEV), 0);
    return 0;
}

static int cancelled_by_another(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < 50; i++) {
        YOKE_SCOPE(s);
        check_int(yoke_spawn(g, cancel_it, struct share, .scope = s), 0);
        check_int(yoke_scope_close(s, yoke_sleep_until(YOKE_NEVER)), -EXDEV);
    }
    return yoke_group_close(g, 0);
}

static int about_to_sleep;

static int note_and_sleep(void *arg)
{
    add(&about_to_sleep, 1);
    return sleep_long(arg);
}

/* A cancel reaches all who block below, however deep, and only them. */
static int deep(void *arg)
{
    int *left = arg;
    if (*left == 0)
        return note_and_sleep(NULL);
    int next = *left - 1;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, note_and_sleep, NULL), 0);
    check_int(yoke_spawn_ptr(g, deep, &next), 0);
    int rc = yoke_group_close(g, 0);
    check_int(rc, -ECANCELED);
    return rc;
}

static int cancel_deep(void *arg)
{
    (void)arg;
    int depth = 20, woken = 0;
    store(&about_to_sleep, 0);
    YOKE_GROUP(bystander);
    check_int(yoke_spawn_ptr(bystander, sleep_long, &woken), 0);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, deep, &depth), 0);
    while (load(&about_to_sleep) < 21)
        check_int(yoke_yield(), 0);
    check_int(yoke_group_cancel(g, -EXDEV), 0);
    check_int(yoke_group_close(g, 0), -EXDEV);
    check_int(woken, 0);
    check_int(yoke_group_cancel(bystander, 0), 0);
    check_int(yoke_group_close(bystander, 0), 0);
    check_int(woken, 1);
    return 0;
}

static void a_cancel_reaches_all_below_and_nobody_else(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(20); i++)
        for (int workers = 1; workers <= 4; workers++) {
            assert_int_equal(run(workers, cancelled_by_another, NULL), 0);
            assert_int_equal(run(workers, cancel_deep, NULL), 0);
        }
}

/* ---- unhandled at the end ---- */

static int leave_scope_open(void *arg)
{
    (void)arg;
    yoke_scope s = yoke_scope_open(&(yoke_scope_options){ .size = sizeof(yoke_scope_options), .name = "lost" });
    return s.block != NULL ? 3 : -1;
}

static void a_scope_left_open_is_reported(void **state)
{
    (void)state;
    assert_int_equal(run(1, leave_scope_open, NULL), 3);
    assert_true(reported("lost"));
}

static int close_outer_scope_first(void *arg)
{
    (void)arg;
    yoke_scope outer = yoke_scope_open(NULL);
    yoke_scope inner = yoke_scope_open(&(yoke_scope_options){ .size = sizeof(yoke_scope_options), .name = "inside" });
    check_int(yoke_scope_close(outer, 4), 4);
    check_int(yoke_scope_close(inner, 0), -EINVAL);
    check(reported("inside"));
    return 0;
}

static void misnested_scopes_are_reported(void **state)
{
    (void)state;
    assert_int_equal(run(1, close_outer_scope_first, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_point_tells_and_tells_again),
        cmocka_unit_test(leaving_turns_the_code_as_promised),
        cmocka_unit_test(deadlines_nest_and_move),
        cmocka_unit_test(a_yield_and_a_sleep_of_nothing_let_others_run),
        cmocka_unit_test(a_cancel_reaches_all_below_and_nobody_else),
        cmocka_unit_test(a_scope_left_open_is_reported),
        cmocka_unit_test(misnested_scopes_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
