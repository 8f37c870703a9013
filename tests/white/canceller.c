/*
 * Cancellers, and who is in their way, from inside: one walker whom others hand their cancels, pins against leaving, deadlines that fire while they are
 * moved. See moments.h.
 */
#include "moments.h"

/* ---- one walker ------------------------------------------------------------------------------------------------------------- */

enum when { IN_THE_WALK, AFTER_THE_WALK };

static struct yoke__scope *target;
static yoke_group other_group;
static yoke_scope other_scope;
static int handed_over;

static void hand_over(void)
{
    struct yoke__scope *other = other_group.block;
    handed_over++;
    uint32_t pending = here()->walks_pending;
    check(pending >= 1);
    check_int(other_scope.block != NULL ? yoke_scope_stop(other_scope) : yoke_group_cancel(other_group, -EXDEV), 0); /* does not wait for the walk */
    check_int(here()->walks_pending, pending + 1);
    check(other_scope.block != NULL || other->cancel != YOKE__CANCEL_NONE); /* marked at once */
    check_int(asleep_in(other), 1); /* the rest is the walker's */
}

static void hand_over_in_the_walk(struct yoke__lock *lock)
{
    if (lock != &target->lock || here()->walks_pending == 0)
        return;
    at.locking = NULL;
    hand_over();
}

static void hand_over_after_the_walk(void)
{
    at.waking = NULL;
    hand_over();
}

static int walk_alone(void *arg)
{
    (void)arg;
    for (int stop = 0; stop < 2; stop++)
        for (enum when when = IN_THE_WALK; when <= AFTER_THE_WALK; when++) {
            int asleep = 0;
            YOKE_SCOPE(s, .grace = YOKE_NEVER);
            YOKE_GROUP(other, .cancel_on_stop = true);
            YOKE_GROUP(g);
            check_int(yoke_spawn_ptr(other, sleep_long, &asleep), 0);
            check_int(yoke_spawn_ptr(g, sleep_long, &asleep), 0);
            until(&asleep, 2);
            other_group = other;
            other_scope = stop ? s : (yoke_scope){ NULL, 0 };
            target = g.block;
            handed_over = 0;
            if (when == IN_THE_WALK)
                at.locking = hand_over_in_the_walk;
            else
                at.waking = hand_over_after_the_walk;
            check_int(yoke_group_cancel(g, 0), 0);
            walk_to_the_end();
            check_int(handed_over, 1);
            check_int(here()->walks_pending, 0);
            check_int(asleep_in(other.block), 0); /* served by the walker before it went */
            check_int(yoke_group_close(g, 0), 0);
            check_int(yoke_group_close(other, 0), stop ? 0 : -EXDEV);
            check_int(yoke_scope_close(s, 0), 0);
        }
    return 0;
}

static void others_hand_their_cancels_to_the_walker(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, walk_alone, NULL), 0);
}

static void come_before_the_count(void)
{
    at.counting = NULL;
    check_int(here()->walks_pending, 0);
    check_int(yoke_group_cancel(other_group, 0), 0);
    walk_to_the_end();
    check_int(asleep_in(target), 0); /* queued, and so served with the other one */
    check_int(asleep_in(other_group.block), 0);
    check_int(here()->walks_pending, 0); /* only calls are counted, and that one has not been */
}

static int walk_before_the_count(void *arg)
{
    int asleep = 0;
    YOKE_GROUP(other);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(other, sleep_long, &asleep), 0);
    check_int(yoke_spawn_ptr(g, sleep_long, &asleep), 0);
    until(&asleep, 2);
    other_group = other;
    target = g.block;
    at.counting = come_before_the_count;
    check_int(yoke_group_cancel(g, 0), 0);
    check(at.counting == NULL);
    check_int(here()->walks_pending, 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_group_close(other, 0), 0);
    return arg == NULL ? 0 : -EINVAL;
}

static void what_is_queued_and_not_yet_counted_may_be_served(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, walk_before_the_count, NULL), 0);
}

static int walkers;

static void count_walkers(void)
{
    check_int(add(&walkers, 1), 0);
    for (volatile int i = 0; i < 50; i++)
        ;
    add(&walkers, -1);
}

static int cancel_often(void *arg)
{
    uint64_t r = ((struct sleeper *)arg)->random;
    for (int i = 0; i < 10; i++) {
        YOKE_GROUP(g);
        for (uint64_t n = 1 + next_random(&r) % 3; n > 0; n--)
            check_int(yoke_spawn(g, block_below, struct sleeper, .random = next_random(&r)), 0);
        jitter(&r);
        if (next_random(&r) % 4 == 0)
            check_int(yoke_group_set_deadline(g, 1), 0); /* the timers' server hands over too */
        else
            check_int(yoke_group_cancel(g, -ETIMEDOUT), 0);
        check_int(yoke_group_close(g, 0), -ETIMEDOUT);
    }
    return 0;
}

static int cancel_in_a_crowd(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    YOKE_GROUP(g);
    for (int i = 0; i < 8; i++)
        check_int(yoke_spawn(g, cancel_often, struct sleeper, .random = next_random(&r)), 0);
    return yoke_group_close(g, 0);
}

static void one_walks_at_a_time_and_nobody_is_left(void **state)
{
    (void)state;
    let_be();
    walkers = 0;
    at.waking = count_walkers;
    for (int i = repetitions(100); i > 0; i--)
        assert_int_equal(run(4, cancel_in_a_crowd, NULL), 0);
}

/* ---- pins -------------------------------------------------------------------------------------------------------------------- */

static yoke_scope held;
static int sleeps;

static void let_go_of_it(uint32_t *bell)
{
    struct yoke__scope *scope = held.block;
    check(bell == &here()->walk.bell);
    check_int(scope->pins, PIN_SLEEPER | 1);
    check(scope->generation != held.generation); /* no new pin can come by a handle, */
    check_int(yoke_scope_cancel(held, 0), -EINVAL);
    check(!scope->linked); /* nor by a walk */
    check(scope->cancel == YOKE__CANCEL_NONE);
    YOKE_SCOPE(new);
    check(new.block != held.block); /* it is not given to anybody else before */
    check_int(yoke_scope_close(new, 0), 0);
    uint32_t told = *bell;
    if (++sleeps == 3) /* the first two wake-ups are for nothing */
        yoke__scope_unpin(here(), scope);
    check_int(*bell, told + (sleeps == 3));
}

static int leave_pinned(void *arg)
{
    (void)arg;
    YOKE_GROUP(outside);
    YOKE_SCOPE(s);
    block_once(outside);
    held = s;
    struct yoke__scope *scope = s.block;
    check(scope->linked);
    yoke__lock_acquire(&scope->lock);
    yoke__scope_pin(scope);
    yoke__lock_release(&scope->lock);
    sleeps = 0;
    at.leaving = let_go_of_it;
    check_int(yoke_scope_close(s, 4), 4);
    check_int(sleeps, 3);
    check_int(scope->pins, 0);
    YOKE_SCOPE(free);
    check_int(yoke_scope_close(free, 0), 0); /* with nobody looking nobody sleeps */
    check_int(sleeps, 3);
    at.leaving = NULL;
    return yoke_group_close(outside, 0);
}

static void who_leaves_waits_for_those_who_look(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, leave_pinned, NULL), 0);
}

static int compared, let_go; /* by who cancels through the handle */

static struct yoke_runtime *runtime;

static void *compare_and_pin(void *arg)
{
    struct yoke__scope *scope = arg;
    yoke__lock_acquire(&scope->lock);
    uint64_t generation = load(&scope->generation);
    check(generation == held.generation); /* so it is alive, and will be marked and pinned */
    store(&compared, 1);
    while (load(&scope->generation) == generation)
        sched_yield();
    for (int i = 0; i < 200; i++)
        sched_yield(); /* who leaves could be gone by now */
    check(yoke__scope_mark_locked(scope, YOKE__CANCEL_ASKED, -EXDEV, NULL, 0));
    yoke__lock_release(&scope->lock);
    for (int i = 0; i < 200; i++)
        sched_yield();
    store(&let_go, 1);
    yoke__scope_unpin(runtime, scope);
    return NULL;
}

static int leave_compared(void *arg)
{
    (void)arg;
    for (int i = 0; i < repetitions(20); i++) {
        pthread_t thread;
        YOKE_SCOPE(s);
        held = s;
        runtime = here();
        store(&compared, 0);
        store(&let_go, 0);
        check_int(pthread_create(&thread, NULL, compare_and_pin, s.block), 0);
        while (load(&compared) == 0)
            sched_yield();
        check_int(yoke_scope_close(s, 4), 4);
        check_int(load(&let_go), 1);
        check_int(pthread_join(thread, NULL), 0);
    }
    return 0;
}

static void who_leaves_waits_for_those_who_have_compared(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, leave_compared, NULL), 0);
}

static void dawdle(struct yoke__lock *lock)
{
    (void)lock;
    if (load(&locks) % 4 == 0)
        sched_yield();
}

static int leave_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        uint64_t r = fresh();
        YOKE_GROUP(outside);
        YOKE_SCOPE(outer);
        YOKE_SCOPE(s);
        check_int(yoke_spawn(outside, cancel_sometime, struct canceller, .scope = next_random(&r) % 2 ? s : outer, .random = next_random(&r)), 0);
        jitter(&r);
        int rc = yoke_sleep((int64_t)(next_random(&r) % 2000));
        check(rc == 0 || rc == -ECANCELED);
        rc = yoke_scope_close(s, rc);
        check(rc == 0 || rc == -ECANCELED || rc == -EXDEV);
        rc = yoke_scope_close(outer, rc);
        check(rc == 0 || rc == -EXDEV);
        check_int(yoke_group_close(outside, 0), 0);
    }
    return 0;
}

static void leaving_against_cancelling(void **state)
{
    (void)state;
    let_be();
    at.locking = dawdle;
    for (int i = repetitions(100); i > 0; i--)
        assert_int_equal(run(4, leave_often, NULL), 0);
}

/* ---- a deadline that fires while it is moved ---------------------------------------------------------------------------------- */

static int firing, moving; /* 1: the callback has begun, 2: it is over; the owner is about to call */

static void hold_the_callback(struct yoke__timer *timer, bool begins)
{
    (void)timer;
    store(&firing, begins ? 1 : 2);
    if (!begins)
        return;
    while (load(&moving) == 0)
        sched_yield();
    for (int i = 0; i < 200; i++)
        sched_yield(); /* the owner's call gets as far as it can */
}

enum move { MOVE_AWAY, REMOVE, LEAVE };

static int move_while_firing(void *arg)
{
    enum move move = *(enum move *)arg;
    store(&firing, 0);
    store(&moving, 0);
    YOKE_SCOPE(s, .deadline = 1);
    while (load(&firing) == 0)
        sched_yield(); /* this worker is busy: the service thread fires it */
    store(&moving, 1);
    if (move == LEAVE) {
        check_int(yoke_scope_close(s, 5), 5);
        check_int(load(&firing), 2); /* the callback had ended before the scope was given back */
        check_int(((struct yoke__scope *)s.block)->pins, 0);
        return 0;
    }
    int64_t later = move == REMOVE ? 0 : yoke_after(YOKE_SEC(1000));
    check_int(yoke_scope_set_deadline(s, later), 0);
    check_int(load(&firing), 2);
    check(yoke_deadline() == (move == REMOVE ? YOKE_NEVER : later));
    while (yoke_checkpoint() == 0) /* it was late: there is no uncancel */
        sched_yield();
    return yoke_scope_close(s, yoke_sleep_until(YOKE_NEVER));
}

static void a_deadline_that_fires_while_it_is_moved_has_fired(void **state)
{
    (void)state;
    let_be();
    at.firing = hold_the_callback;
    for (int workers = 1; workers <= 2; workers++)
        for (enum move move = MOVE_AWAY; move <= LEAVE; move++)
            assert_int_equal(run(workers, move_while_firing, &move), move == LEAVE ? 0 : -ETIMEDOUT);
}

static int move_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        uint64_t r = fresh();
        YOKE_SCOPE(s, .deadline = yoke_after((int64_t)(next_random(&r) % 20000)));
        for (int n = 0; n < 3; n++) {
            if (next_random(&r) % 2)
                jitter(&r);
            check_int(yoke_scope_set_deadline(s, next_random(&r) % 4 ? yoke_after((int64_t)(next_random(&r) % 20000)) : 0), 0);
        }
        int64_t last = yoke_deadline();
        int rc = last == YOKE_NEVER ? yoke_yield() : yoke_sleep_until(YOKE_NEVER);
        check(rc == -ECANCELED || (rc == 0 && last == YOKE_NEVER));
        check_int(yoke_scope_close(s, rc), rc == 0 ? 0 : -ETIMEDOUT);
    }
    return 0;
}

static void moving_against_firing(void **state)
{
    (void)state;
    let_be();
    for (int i = repetitions(100); i > 0; i--)
        assert_int_equal(run(4, move_often, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_hand_their_cancels_to_the_walker),
        cmocka_unit_test(what_is_queued_and_not_yet_counted_may_be_served),
        cmocka_unit_test(one_walks_at_a_time_and_nobody_is_left),
        cmocka_unit_test(who_leaves_waits_for_those_who_look),
        cmocka_unit_test(who_leaves_waits_for_those_who_have_compared),
        cmocka_unit_test(leaving_against_cancelling),
        cmocka_unit_test(a_deadline_that_fires_while_it_is_moved_has_fired),
        cmocka_unit_test(moving_against_firing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
