/* What belongs to one task: deferred functions, slots, bindings, handles, intervals, pinning. */
#include "support.h"

#include <limits.h>

static int sleep_long(void *arg)
{
    (void)arg;
    return yoke_sleep_until(YOKE_NEVER);
}

/* ---- deferred functions ---- */

static char order[64];

static int note(void *arg)
{
    strcat(order, arg);
    check_int(yoke_yield(), 0); /* shielded, and may block */
    check_int(yoke_sleep(YOKE_US(50)), 0);
    return 0;
}

static int defer_three(void *arg)
{
    yoke_group *cancel = arg;
    order[0] = '\0';
    check_int(yoke_defer(note, "a"), 0);
    check_int(yoke_defer(note, "b"), 0);
    check_int(yoke_defer(note, "c"), 0);
    check_int(yoke_defer(NULL, NULL), -EINVAL);
    if (cancel != NULL) {
        check_int(yoke_group_cancel(*cancel, 0), 0);
        return yoke_sleep_until(YOKE_NEVER);
    }
    return 6;
}

static int fail_late(void *arg)
{
    (void)arg;
    return -EIO;
}

static int defer_failing(void *arg)
{
    check_int(yoke_defer(fail_late, NULL), 0);
    return *(int *)arg;
}

static int never_ending_cleanup(void *arg)
{
    int rc = yoke_sleep_until(YOKE_NEVER); /* until the grace is over */
    *(int *)arg = rc;
    return rc == -ECANCELED ? 0 : rc;
}

static int defer_never_ending(void *arg)
{
    check_int(yoke_defer(never_ending_cleanup, arg), 0);
    return 0;
}

static int in_group(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, defer_three, &g), 0);
    check_int(yoke_group_close(g, 0), 0);
    check(strcmp(order, "cba") == 0);
    return 0;
}

/* Cleanup that blocks, and is to come to its end however late its thread gets a processor. */
#define PATIENT(n) OPTIONS(.workers = (n), .cleanup_grace = YOKE_SEC(1000))

static void deferred_functions_run_last_first_shielded(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++) {
        assert_int_equal(run_with(defer_three, NULL, PATIENT(workers)), 6);
        assert_string_equal(order, "cba");
        assert_int_equal(run_with(in_group, NULL, PATIENT(workers)), 0);
        int rc = 3;
        assert_int_equal(run(workers, defer_failing, &rc), -EIO); /* success becomes the failure */
        assert_true(reported("deferred"));
        rc = -EDOM;
        assert_int_equal(run(workers, defer_failing, &rc), -EDOM); /* a failure stays what it was */
        rc = 0;
        assert_int_equal(run_with(defer_never_ending, &rc, OPTIONS(.workers = workers, .cleanup_grace = YOKE_MS(2))), 0);
        assert_int_equal(rc, -ECANCELED);
    }
}

/* ---- one grace for all of a task's cleanup ---- */

enum { CLEANUPS = 5 }; /* three deferred functions, one that the second of them defers, and a slot's destructor */

static int cleanups;
static int64_t grace_end;

/* The first one waits until the grace is over; the others find that it is. */
static int share_the_grace(void *arg)
{
    if (cleanups++ == 0) {
        grace_end = yoke_deadline();
        check_int(yoke_sleep_until(YOKE_NEVER), -ECANCELED);
        return 0;
    }
    check(yoke_deadline() == grace_end);
    check_int(yoke_checkpoint(), -ECANCELED);
    if (cleanups == 2)
        check_int(yoke_defer(share_the_grace, arg), 0);
    return 0;
}

static void share_the_grace_too(void *value)
{
    (void)share_the_grace(value);
}

static const yoke_slot last_to_go = { .name = "last to go", .destroy = share_the_grace_too };

static int clean_up_for_long(void *arg)
{
    yoke_group *cancel = arg;
    check_int(yoke_slot_set(&last_to_go, &cleanups), 0);
    for (int i = 0; i < 3; i++)
        check_int(yoke_defer(share_the_grace, NULL), 0);
    if (cancel == NULL)
        return 6;
    check_int(yoke_group_cancel(*cancel, 0), 0);
    return yoke_sleep_until(YOKE_NEVER);
}

/* Cleanup under cancellation is bounded by its own grace alone, as it is without one. */
static int clean_up_cancelled(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, clean_up_for_long, &g), 0);
    return yoke_group_close(g, 0);
}

static void all_of_a_task_s_cleanup_shares_one_grace(void **state)
{
    (void)state;
    static const struct {
        yoke_fn main;
        int rc;
    } runs[] = { { clean_up_for_long, 6 }, { clean_up_cancelled, 0 } };
    for (int workers = 1; workers <= 3; workers++)
        for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
            cleanups = 0;
            assert_int_equal(run_with(runs[i].main, NULL, OPTIONS(.workers = workers, .cleanup_grace = YOKE_MS(2))), runs[i].rc);
            assert_int_equal(cleanups, CLEANUPS);
        }
}

/* ---- slots ---- */

static int destroyed;

static void destroy(void *value)
{
    check_int(yoke_sleep(YOKE_US(10)), 0); /* may block */
    destroyed += *(int *)value;
}

static const yoke_slot slot = { .name = "slot", .destroy = destroy };
static const yoke_slot other = { .name = "other" };

static int use_slots(void *arg)
{
    static int one = 1, two = 2;
    (void)arg;
    check(yoke_slot_get(&slot) == NULL);
    check_int(yoke_slot_set(&slot, &one), 0);
    check_int(yoke_slot_set(&other, &two), 0);
    check(yoke_slot_get(&slot) == &one && yoke_slot_get(&other) == &two);
    check_int(yoke_slot_set(&slot, &two), 0);
    check(yoke_slot_get(&slot) == &two);
    check_int(yoke_slot_set(NULL, &two), -EINVAL);
    return 0;
}

static int slots_of_children(void *arg)
{
    use_slots(arg);
    YOKE_GROUP(g);
    for (int i = 0; i < 10; i++)
        check_int(yoke_spawn_ptr(g, use_slots, NULL), 0); /* each has its own */
    check_int(yoke_group_close(g, 0), 0);
    check_int(destroyed, 20);
    return 0;
}

static void slots_belong_to_one_task_and_end_with_it(void **state)
{
    (void)state;
    destroyed = 0;
    assert_int_equal(run_with(slots_of_children, NULL, PATIENT(1)), 0);
    assert_int_equal(destroyed, 22);
}

/* ---- bindings ---- */

static int fallback;
static const yoke_local key = { .name = "key", .fallback = &fallback };
static const yoke_local second = { .name = "second", .fallback = NULL };

static int expect_binding(void *arg)
{
    check(yoke_local_get(&key) == *(void **)arg);
    check(yoke_local_get(&second) == NULL);
    return 0;
}

static int bindings(void *arg)
{
    int a, b;
    (void)arg;
    check(yoke_local_get(&key) == &fallback);
    {
        YOKE_LOCAL(&key, &a);
        check(yoke_local_get(&key) == &a);
        {
            YOKE_LOCAL(&key, &b);
            YOKE_LOCAL(&second, NULL);
            check(yoke_local_get(&key) == &b);
            YOKE_GROUP(g);
            for (int i = 0; i < 10; i++)
                check_int(yoke_spawn(g, expect_binding, void *, &b), 0);
            check_int(yoke_group_close(g, 0), 0);
            yoke_forked f;
            void *now = &b;
            yoke_fork(&f, expect_binding, &now);
            check_int(yoke_join(&f), 0);
        }
        check(yoke_local_get(&key) == &a);
        yoke_scope s = yoke_local_bind(&key, &b);
        check(yoke_local_get(&key) == &b);
        check_int(yoke_scope_close(s, 1), 1);
        check(yoke_local_get(&key) == &a);
    }
    check(yoke_local_get(&key) == &fallback);
    return 0;
}

static void bindings_are_scoped_and_inherited(void **state)
{
    (void)state;
    assert_true(yoke_local_get(&key) == &fallback); /* outside of a task too */
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, bindings, NULL), 0);
}

/* ---- handles ---- */

static int give(void *arg)
{
    check_int(yoke_yield(), 0);
    return *(int *)arg;
}

static int started, awaited;

static int note_started(void *arg)
{
    store(&started, 1);
    return sleep_long(arg);
}

static int await_it(void *arg)
{
    int result = 0, rc = yoke_task_await(*(yoke_task *)arg, &result);
    add(&awaited, 1);
    return rc < 0 ? rc : result;
}

static int handles(void *arg)
{
    (void)arg;
    int value = 5, result = 0;
    yoke_task h, none = { NULL, 0 };
    check_int(yoke_task_state(none), -EINVAL);
    check_int(yoke_task_cancel(none), -EINVAL);
    check_int(yoke_task_close(none), -EINVAL);
    check_int(yoke_task_await(none, &result), -EINVAL);
    { /* state and result */
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr_with(g, (.handle = &h), give, &value), 0);
        int before = yoke_task_state(h);
        check(before == YOKE_TASK_READY || before == YOKE_TASK_RUNNING || before == YOKE_TASK_DONE);
        check_int(yoke_task_await(h, &result), 0);
        check_int(result, 5);
        check_int(yoke_task_state(h), YOKE_TASK_DONE);
        check_int(yoke_task_await(h, &result), 0); /* as often as one likes */
        check_int(yoke_group_close(g, 0), 0);
        check_int(yoke_task_state(h), -EINVAL); /* valid until the group is closed */
    }
    { /* several wait */
        started = awaited = 0;
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        YOKE_GROUP(waiters);
        check_int(yoke_spawn_ptr_with(g, (.handle = &h), note_started, NULL), 0);
        for (int i = 0; i < 5; i++)
            check_int(yoke_spawn_ptr_with(waiters, (.name = "waiter"), await_it, &h), 0);
        while (load(&started) == 0)
            check_int(yoke_yield(), 0);
        check_int(yoke_task_state(h), YOKE_TASK_RUNNING);
        check_int(yoke_task_cancel(h), 0); /* this one alone */
        int rc = yoke_group_close(waiters, 0);
        check_int(rc, -ECANCELED); /* the child's result, handed to them: none of them was cancelled */
        check_int(awaited, 5);
        check_int(yoke_group_close(g, 0), 0); /* neutral in its own group */
    }
    { /* closing wakes those who wait */
        awaited = 0;
        YOKE_GROUP(g);
        YOKE_GROUP(waiters, .policy = YOKE_COLLECT);
        yoke_failure failure = { .code = 0 };
        yoke_group_report report = { .size = sizeof report, .failures = &failure, .capacity = 1 };
        check_int(yoke_spawn_ptr_with(g, (.handle = &h), sleep_long, NULL), 0);
        yoke_task copy = h;
        check_int(yoke_spawn_ptr(waiters, await_it, &copy), 0);
        check_int(yoke_sleep(YOKE_MS(1)), 0);
        check_int(yoke_task_close(h), 0);
        check_int(yoke_task_close(h), -EINVAL);
        check_int(yoke_task_cancel(h), -EINVAL);
        check_int(yoke_group_close_report(waiters, 0, &report), 0);
        check_int(report.failed, 1);
        check(failure.code == -EBADF || failure.code == -EINVAL); /* it waited already, or came too late */
        check_int(yoke_group_cancel(g, 0), 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    return 0;
}

struct waiter {
    yoke_task task;
    int *waiting, *got;
};

static int wait_for_it(void *arg)
{
    struct waiter *w = arg;
    int result = 0;
    add(w->waiting, 1);
    *w->got = yoke_task_await(w->task, &result);
    return 0;
}

/* On one worker who has counted itself in waits. */
static int close_what_is_awaited(void *arg)
{
    yoke_task h;
    int waiting = 0, got[2] = { 0, 0 };
    YOKE_GROUP(g);
    YOKE_GROUP(waiters);
    check_int(yoke_spawn_ptr_with(g, (.handle = &h), sleep_long, NULL), 0);
    for (int i = 0; i < 2; i++)
        check_int(yoke_spawn(waiters, wait_for_it, struct waiter, .task = h, .waiting = &waiting, .got = &got[i]), 0);
    while (load(&waiting) < 2)
        check_int(yoke_yield(), 0);
    check_int(yoke_task_close(h), 0);
    check_int(yoke_group_close(waiters, 0), 0);
    check(got[0] == -EBADF && got[1] == -EBADF);
    check_int(yoke_group_cancel(g, 0), 0); /* the task itself went on */
    return yoke_group_close(g, arg == NULL ? 0 : -EINVAL);
}

static int await_oneself(void *arg)
{
    int result;
    yoke_task *h = arg;
    check_int(yoke_task_await(*h, &result), -EDEADLK);
    return 0;
}

static int self(void *arg)
{
    (void)arg;
    static yoke_task h;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.handle = &h), await_oneself, &h), 0);
    return yoke_group_close(g, 0);
}

static void a_handle_tells_awaits_and_cancels_one_child(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(50); i++)
        for (int workers = 1; workers <= 4; workers++)
            assert_int_equal(run(workers, handles, NULL), 0);
    assert_int_equal(run(1, self, NULL), 0);
    assert_int_equal(run(1, close_what_is_awaited, NULL), 0);
}

/* ---- intervals ---- */

static int intervals(void *arg)
{
    (void)arg;
    yoke_interval i;
    check_int(yoke_interval_init(&i, 0, YOKE_BURST), -EINVAL);
    check_int(yoke_interval_init(NULL, 1, YOKE_BURST), -EINVAL);
    check_int(yoke_interval_init(&i, 1, (enum yoke_missed)9), -EINVAL);
    /* burst: every tick comes, late ones at once */
    check_int(yoke_interval_init(&i, YOKE_US(300), YOKE_BURST), 0);
    int64_t first = i.next;
    check_int(yoke_sleep(YOKE_MS(2)), 0);
    for (int n = 0; n < 6; n++)
        check_int(yoke_interval_next(&i), 0);
    check_int(i.next, first + 6 * YOKE_US(300));
    /* delay: the next one is a period after this one */
    check_int(yoke_interval_init(&i, YOKE_US(300), YOKE_DELAY), 0);
    check_int(yoke_sleep(YOKE_MS(2)), 0);
    check_int(yoke_interval_next(&i), 0);
    int64_t now = yoke_now();
    check(i.next <= now + YOKE_US(300) && i.next > first + YOKE_MS(2));
    check_int(yoke_interval_next(&i), 0);
    check(yoke_now() >= now);
    /* skip: missed ones are dropped and counted, the phase stays */
    check_int(yoke_interval_init(&i, YOKE_US(300), YOKE_SKIP), 0);
    first = i.next;
    check_int(yoke_sleep(YOKE_MS(2)), 0);
    int64_t dropped = yoke_interval_next(&i);
    check(dropped >= 5);
    check_int((i.next - first) % YOKE_US(300), 0);
    check_int(yoke_interval_next(&i) >= 0, 1);
    return 0;
}

static void intervals_catch_up_delay_or_skip(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++)
        assert_int_equal(run(workers, intervals, NULL), 0);
}

/* ---- pinned tasks ---- */

static int stay(void *arg)
{
    int want = *(int *)arg;
    for (int i = 0; i < 50; i++) {
        check_int(yoke_worker_index(), want);
        check_int(i % 3 == 0 ? yoke_sleep(YOKE_US(20)) : yoke_yield(), 0);
    }
    return 0;
}

static int pin(void *arg)
{
    (void)arg;
    int n = yoke_workers(), here = yoke_worker_index();
    YOKE_GROUP(g);
    for (int i = 0; i < 3 * n; i++)
        check_int(yoke_spawn_with(g, (.pinned = true, .worker = i % n), stay, int, i % n), 0);
    check_int(yoke_spawn_with(g, (.pinned = true, .worker = -1), stay, int, here), 0);
    check_int(yoke_spawn_with(g, (.pinned = true, .worker = n), stay, int, 0), -EINVAL);
    check_int(yoke_spawn_with(g, (.pinned = true, .worker = -2), stay, int, 0), -EINVAL);
    return yoke_group_close(g, 0);
}

static int forked_to = -1;

static int tell_where(void *arg)
{
    store(&forked_to, yoke_worker_index());
    return arg == NULL ? 0 : -EINVAL;
}

static int pinned_and_forking(void *arg)
{
    store(&forked_to, -1);
    int here = yoke_worker_index();
    yoke_forked f;
    yoke_fork(&f, tell_where, arg);
    while (load(&forked_to) < 0)
        sched_yield(); /* this worker does nothing else: another one takes it */
    check(load(&forked_to) != here);
    check_int(yoke_join(&f), 0);
    check_int(yoke_worker_index(), here);
    return 0;
}

static int fork_pinned(void *arg)
{
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = 1), pinned_and_forking, arg), 0);
    return yoke_group_close(g, 0);
}

static void a_pinned_task_stays_on_its_worker(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(run(2, fork_pinned, NULL), 0);
    for (int i = 0; i < repetitions(20); i++)
        for (int workers = 1; workers <= 4; workers++)
            assert_int_equal(run(workers, pin, NULL), 0);
}

/* ---- in turns -------------------------------------------------------------------------------------------------------------- */

enum { TURNS_ENOUGH = 100000 }; /* by then the others should have had theirs */
static int over, turns, turns_at_most;

struct chain {
    yoke_group group;
};

/* Always has a successor. */
static int spawn_the_next(void *arg)
{
    struct chain *me = arg;
    return load(&over) || add(&turns, 1) > load(&turns_at_most) ? 0 : yoke_spawn_with(me->group, (.pinned = true, .worker = -1), spawn_the_next, struct chain, me->group);
}

static int beside_pinned_ones(void *arg)
{
    bool sleeps = arg != NULL;
    store(&over, 0);
    store(&turns, 0);
    store(&turns_at_most, sleeps ? INT_MAX : TURNS_ENOUGH); /* who sleeps in vain sleeps for ever */
    YOKE_GROUP(g);
    for (int i = 0; i < 3; i++)
        check_int(yoke_spawn_with(g, (.pinned = true, .worker = -1), spawn_the_next, struct chain, g), 0);
    for (int i = 0; i < 10; i++)
        check_int(sleeps ? yoke_sleep(YOKE_US(100)) : yoke_yield(), 0);
    check(sleeps || load(&turns) < TURNS_ENOUGH);
    store(&over, 1);
    return yoke_group_close(g, 0);
}

static int yield_for_long(void *arg)
{
    (void)arg;
    while (load(&over) == 0 && add(&turns, 1) < TURNS_ENOUGH)
        check_int(yoke_yield(), 0);
    return 0;
}

static int end_it(void *arg)
{
    (void)arg;
    check_int(yoke_yield(), 0);
    store(&over, 1);
    return 0;
}

static int beside_woken_ones(void *arg)
{
    (void)arg;
    store(&over, 0);
    store(&turns, 0);
    YOKE_GROUP(g);
    for (int i = 0; i < 20; i++)
        check_int(yoke_spawn_ptr(g, yield_for_long, NULL), 0);
    while (load(&turns) < 1000) /* all of them by turns */
        check_int(yoke_yield(), 0);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = -1), end_it, NULL), 0);
    int rc = yoke_group_close(g, 0);
    check(load(&turns) < TURNS_ENOUGH);
    return rc;
}

static void pinned_tasks_and_woken_ones_take_turns(void **state)
{
    (void)state;
    for (int i = repetitions(5); i > 0; i--) {
        assert_int_equal(run(1, beside_pinned_ones, NULL), 0);
        assert_int_equal(run(1, beside_pinned_ones, &turns), 0);
        assert_int_equal(run(1, beside_woken_ones, NULL), 0);
    }
}

/* What waits for an event is not behind all tasks that have been spawned, nor behind many of them; counted on one worker. */
static struct {
    yoke_event bell;
    int ran, rung, heard;
    bool waits;
} row;

static int wait_for_the_bell(void *arg)
{
    (void)arg;
    row.waits = true;
    int rc = yoke_event_wait(&row.bell);
    row.heard = row.ran;
    return rc;
}

static int run_and_ring(void *arg)
{
    enum { RING = 70 };
    (void)arg;
    if (++row.ran == RING) {
        row.rung = row.ran;
        check_int(yoke_event_set(&row.bell), 0);
    }
    return 0;
}

static int spawn_many(void *arg)
{
    int n = *(int *)arg;
    row.bell = (yoke_event)YOKE_EVENT_INIT;
    row.ran = row.rung = row.heard = 0;
    row.waits = false;
    YOKE_GROUP(beside);
    check_int(yoke_spawn_ptr(beside, wait_for_the_bell, NULL), 0);
    while (!row.waits)
        check_int(yoke_yield(), 0);
    YOKE_GROUP(g);
    for (int i = 0; i < n; i++)
        check_int(yoke_spawn_ptr(g, run_and_ring, NULL), 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_group_close(beside, 0), 0);
    check_int(row.ran, n);
    check(row.heard > 0 && row.heard - row.rung <= 40);
    return 0;
}

static void who_is_woken_does_not_wait_for_many_tasks(void **state)
{
    (void)state;
    for (int i = repetitions(20); i > 0; i--) {
        assert_int_equal(run(1, spawn_many, &(int){ 500 }), 0); /* run by the close */
        assert_int_equal(run(1, spawn_many, &(int){ 5000 }), 0); /* more than are left waiting: some run while others are spawned */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deferred_functions_run_last_first_shielded),
        cmocka_unit_test(all_of_a_task_s_cleanup_shares_one_grace),
        cmocka_unit_test(slots_belong_to_one_task_and_end_with_it),
        cmocka_unit_test(bindings_are_scoped_and_inherited),
        cmocka_unit_test(a_handle_tells_awaits_and_cancels_one_child),
        cmocka_unit_test(intervals_catch_up_delay_or_skip),
        cmocka_unit_test(a_pinned_task_stays_on_its_worker),
        cmocka_unit_test(pinned_tasks_and_woken_ones_take_turns),
        cmocka_unit_test(who_is_woken_does_not_wait_for_many_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
