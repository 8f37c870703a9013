/* Many more tasks than a deque should hold: what waits is bounded, whoever spawns, and nobody is forgotten. */
#include "support.h"

#include <yoke/sync/event.h>

#include "worker.h"

static int spawned, ran, most;

static int run_one(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&ran, 1, __ATOMIC_RELAXED);
    return 0;
}

static void note_most(void)
{
    int waiting = spawned - __atomic_load_n(&ran, __ATOMIC_RELAXED);
    if (waiting > most)
        most = waiting;
}

static int flood(void *arg)
{
    int tasks = *(int *)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < tasks; i++) {
        check_int(yoke_spawn_ptr(g, run_one, NULL), 0);
        spawned++;
        note_most();
    }
    return yoke_group_close(g, 0);
}

/* `bound`: for each worker on which the spawner may have been. */
static void flooded(int workers, yoke_fn spawner, int tasks, int bound)
{
    spawned = ran = most = 0;
    assert_int_equal(run(workers, spawner, &tasks), 0);
    assert_int_equal(ran, tasks);
    assert_true(most <= bound);
}

static void what_waits_is_bounded(void **state)
{
    (void)state;
    flooded(1, flood, 20000, YOKE__OVERFULL);
    assert_int_equal(most, YOKE__OVERFULL); /* and no less than that is allowed to wait */
    for (int workers = 2; workers <= 4; workers++)
        flooded(workers, flood, repetitions(200000), workers * (YOKE__OVERFULL + 1));
}

/* The same from a member, on the stack of a fork. */
static int flood_forked(void *arg)
{
    yoke_forked f;
    yoke_fork(&f, flood, arg);
    return yoke_join(&f);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* And from a child, beside itself. */
static int flood_beside(void *arg)
{
    for (int i = repetitions(20000); i > 0; i--) {
        check_int(yoke_spawn_ptr(*(yoke_group *)arg, run_one, NULL), 0);
        spawned++;
        note_most();
    }
    return 0;
}

static int flood_from_a_child(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < 5 * YOKE__OVERFULL; i++) /* not for want of room in the deque */
        check_int(yoke_try_spawn_ptr(g, nothing, NULL), 0);
    check_int(yoke_spawn_ptr(g, flood_beside, &g), 0);
    return yoke_group_close(g, 0);
}

static void from_a_child_too(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        flooded(workers, flood_from_a_child, repetitions(20000), workers * (YOKE__OVERFULL + 1));
}

static void from_a_fork_too(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        flooded(workers, flood_forked, repetitions(20000), workers * (YOKE__OVERFULL + 1));
}

/* Children that wait for their parent do not stop it. */
static int wait_for_it(void *arg)
{
    check_int(yoke_event_wait(arg), 0);
    return run_one(NULL);
}

static int flood_of_blocked(void *arg)
{
    yoke_event all = YOKE_EVENT_INIT;
    int tasks = *(int *)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < tasks; i++)
        check_int(yoke_spawn_ptr(g, wait_for_it, &all), 0);
    yoke_event_set(&all);
    return yoke_group_close(g, 0);
}

static void who_waits_for_the_parent_does_not_stop_it(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        flooded(workers, flood_of_blocked, YOKE__OVERFULL * 4, 0);
}

/* try_ forms never wait, and pinned tasks stay where they are: for them the deque grows. */
static int flood_without_waiting(void *arg)
{
    int tasks = *(int *)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < tasks; i++) {
        check_int(yoke_try_spawn_ptr(g, run_one, NULL), 0);
        check_int(__atomic_load_n(&ran, __ATOMIC_RELAXED), 0);
    }
    return yoke_group_close(g, 0);
}

static int flood_pinned(void *arg)
{
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true), flood, arg), 0);
    return yoke_group_close(g, 0);
}

static void who_cannot_wait_is_not_made_to(void **state)
{
    (void)state;
    flooded(1, flood_without_waiting, YOKE__OVERFULL * 4, 0);
    flooded(1, flood_pinned, YOKE__OVERFULL * 4, YOKE__OVERFULL * 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_is_bounded),
        cmocka_unit_test(from_a_fork_too),
        cmocka_unit_test(from_a_child_too),
        cmocka_unit_test(who_waits_for_the_parent_does_not_stop_it),
        cmocka_unit_test(who_cannot_wait_is_not_made_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
