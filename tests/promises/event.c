/* Events: who is let through, in what order, cancel safety, lifetime; exact on one worker, as invariants on four. */
#include "sync.h"

enum { CROWD = 8 };

static yoke_event event = YOKE_EVENT_INIT;
static int arrived, passed, arrival[CROWD], passing[CROWD], results[CROWD];

static void begin(void)
{
    yoke_event_init(&event);
    arrived = passed = 0;
    memset(results, 0, sizeof results);
}

static int come(void *arg)
{
    int me = *(int *)arg;
    arrival[add(&arrived, 1)] = me;
    results[me] = yoke_event_wait(&event);
    if (results[me] == 0)
        passing[add(&passed, 1)] = me;
    return 0;
}

/* ---- the flag ---- */

static int flag(void *arg)
{
    (void)arg;
    begin();
    check(!yoke_event_is_set(&event));
    for (int i = 0; i < 3; i++) {
        check_int(yoke_event_set(&event), 0);
        check_int(yoke_event_set(&event), 0);
        check(yoke_event_is_set(&event));
        check_int(yoke_event_wait(&event), 0); /* as often as one likes */
        check_int(yoke_event_wait(&event), 0);
        check_int(yoke_event_reset(&event), 0);
        check_int(yoke_event_reset(&event), 0);
        check(!yoke_event_is_set(&event));
        YOKE_SCOPE(s, .deadline = yoke_after(YOKE_US(100)));
        check_int(yoke_scope_close(s, yoke_event_wait(&event)), -ETIMEDOUT);
    }
    return 0;
}

static void it_stays_set_until_it_is_reset(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, flag, NULL), 0);
    assert_int_equal(yoke_event_wait(&event), -ENOTRECOVERABLE);
    assert_int_equal(yoke_event_set(&event), -ENOTRECOVERABLE);
    assert_int_equal(yoke_event_reset(&event), -ENOTRECOVERABLE);
    assert_false(yoke_event_is_set(&event));
}

/* ---- who is let through ---- */

static int all_in_order(void *arg)
{
    (void)arg;
    begin();
    YOKE_GROUP(g);
    for (int i = 0; i < CROWD; i++)
        check_int(yoke_spawn(g, come, int, i), 0);
    until(&arrived, CROWD);
    check_int(passed, 0);
    check_int(yoke_event_set(&event), 0);
    check_int(yoke_event_reset(&event), 0); /* does not hold back who was let go */
    check_int(passed, 0);
    int late = 0;
    check_int(yoke_group_close(g, 0), 0);
    check_int(passed, CROWD);
    check(memcmp(arrival, passing, sizeof passing) == 0);
    YOKE_GROUP(after);
    yoke_task h;
    check_int(yoke_spawn_with(after, (.handle = &h), come, int, 0), 0);
    arrived = 0;
    until(&arrived, 1);
    check_int(yoke_task_cancel(h), 0); /* it waits: the event was reset */
    check_int(yoke_task_await(h, &late), 0);
    check_int(results[0], -ECANCELED);
    return yoke_group_close(after, 0);
}

static void a_set_lets_go_all_who_wait_in_order(void **state)
{
    (void)state;
    assert_int_equal(run(1, all_in_order, NULL), 0);
}

/* ---- cancel ---- */

static int pass_cancelled(void *arg)
{
    int me = *(int *)arg;
    add(&arrived, 1);
    results[me] = yoke_event_wait(&event);
    check_int(yoke_event_wait(&event), -ECANCELED); /* pending, and checked first although it is set */
    return 0;
}

static int cancels(void *arg)
{
    (void)arg;
    yoke_task h[3];
    begin();
    YOKE_GROUP(g);
    for (int i = 0; i < 3; i++)
        check_int(yoke_spawn_with(g, (.handle = &h[i]), come, int, i), 0);
    until(&arrived, 3);
    check_int(yoke_task_cancel(h[1]), 0); /* before the set */
    check_int(yoke_event_set(&event), 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(results[0], 0);
    check_int(results[1], -ECANCELED);
    check_int(results[2], 0);
    begin();
    YOKE_GROUP(after);
    check_int(yoke_spawn_with(after, (.handle = &h[0]), pass_cancelled, int, 0), 0);
    until(&arrived, 1);
    check_int(yoke_event_set(&event), 0);
    check_int(yoke_task_cancel(h[0]), 0); /* after the set: the effect wins */
    check_int(yoke_group_close(after, 0), 0);
    check_int(results[0], 0);
    YOKE_SCOPE(s);
    check_int(yoke_scope_cancel(s, -EXDEV), 0);
    check_int(yoke_event_wait(&event), -ECANCELED);
    check_int(yoke_event_set(&event), 0);
    check_int(yoke_event_reset(&event), 0);
    leave(s, -ECANCELED);
    return 0;
}

static int set_it(void *arg)
{
    return yoke_event_set(arg);
}

static int forks(void *arg)
{
    (void)arg;
    yoke_event there = YOKE_EVENT_INIT;
    yoke_forked f;
    begin();
    yoke_fork(&f, set_it, &there);
    check_int(yoke_event_wait(&there), 0); /* somebody takes the fork */
    check_int(yoke_join(&f), 0);
    yoke_fork(&f, set_it, &event);
    check_int(yoke_join(&f), 0);
    check(yoke_event_is_set(&event));
    return 0;
}

static void set_and_cancel_agree_on_who_was_first(void **state)
{
    (void)state;
    assert_int_equal(run(1, cancels, NULL), 0);
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, forks, NULL), 0);
}

/* ---- a crowd ---- */

static int published, through, cut;

static int wait_for_it(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    YOKE_GROUP(cutters);
    YOKE_SCOPE(s);
    cut_sometime(cutters, s, &r);
    mix(&r);
    int rc = yoke_event_wait(&event);
    check(rc == 0 || rc == -ECANCELED);
    if (rc == 0)
        check_int(published, 1); /* seen, without any other protection */
    add(rc == 0 ? &through : &cut, 1);
    leave(s, rc);
    return yoke_group_close(cutters, 0);
}

static int publish(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    mix(&r);
    published = 1;
    return yoke_event_set(&event);
}

static int crowd(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    REPEAT(8000)
    {
        begin();
        published = through = cut = 0;
        YOKE_GROUP(g);
        for (int i = 0; i < 8; i++) {
            check_int(yoke_spawn_ptr(g, wait_for_it, NULL), 0);
            if (i == 4)
                check_int(yoke_spawn(g, publish, uint64_t, next_random(&r)), 0);
        }
        check_int(yoke_group_close(g, 0), 0); /* nobody is forgotten */
        check_int(through + cut, 8);
    }
    return 0;
}

static void nobody_is_forgotten(void **state)
{
    (void)state;
    assert_int_equal(run(4, crowd, NULL), 0);
}

/* ---- an event in a frame ---- */

static int set_after_a_while(void *arg)
{
    yoke_event *there = *(yoke_event **)arg;
    uint64_t r = fresh();
    mix(&r);
    return yoke_event_set(there);
}

static int wait_in_frame(yoke_group g, uint64_t *r)
{
    yoke_event *there = malloc(sizeof *there); /* so that the sanitizers would tell */
    yoke_event_init(there);
    check_int(yoke_spawn(g, set_after_a_while, yoke_event *, there), 0);
    if (next_random(r) % 2)
        while (!yoke_event_is_set(there))
            check_int(yoke_yield(), 0);
    else
        check_int(yoke_event_wait(there), 0);
    free(there);
    return 0;
}

static int many_frames(void *arg)
{
    yoke_group g = *(yoke_group *)arg;
    uint64_t r = fresh();
    REPEAT(10000)
    wait_in_frame(g, &r);
    return 0;
}

static int frames(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < 4; i++)
        check_int(yoke_spawn_ptr(g, many_frames, &g), 0);
    return yoke_group_close(g, 0);
}

static void it_may_go_as_soon_as_the_wait_is_over(void **state)
{
    (void)state;
    assert_int_equal(run(4, frames, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_stays_set_until_it_is_reset),        cmocka_unit_test(a_set_lets_go_all_who_wait_in_order),
        cmocka_unit_test(set_and_cancel_agree_on_who_was_first), cmocka_unit_test(nobody_is_forgotten),
        cmocka_unit_test(it_may_go_as_soon_as_the_wait_is_over),
    };
    (void)seed(); /* before several ask at a time */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
