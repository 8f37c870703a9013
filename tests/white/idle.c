/*
 * A worker that moves fibers from a public queue to its own ring while another sleeps wakes it: on the way they are in neither, and a parker
 * that looked then has missed them (executor/park.c, executor/ready.h).
 */
#include "support.h"

#include "worker.h"

enum { FIBERS = 20 };

static struct yoke__fiber *left[FIBERS];
static int nleft, went_on, slept_on;

static void keep(struct yoke__worker *w, struct yoke__fiber *fiber, void *arg)
{
    (void)w;
    (void)arg;
    left[nleft] = fiber;
    add(&nleft, 1);
}

/* The first one to go on does not leave its worker to the others until one of them has gone on too: elsewhere. */
static int lie_down(void *arg)
{
    (void)arg;
    yoke__suspend(keep, NULL, "test");
    if (add(&went_on, 1) == 0)
        while (load(&went_on) == 1)
            sched_yield();
    return 0;
}

/* As if the other worker had looked while they were on their way: they are pushed, and it has not been told. */
static int push_and_leave(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < FIBERS; i++) {
        check_int(yoke_spawn_ptr(g, lie_down, NULL), 0);
        while (load(&nleft) != i + 1)
            check_int(yoke_yield(), 0);
    }
    struct yoke__worker *w = yoke__self();
    while (load(&w->rt->parked) != 1)
        sched_yield();
    for (int i = 0; i < FIBERS; i++)
        check_int(yoke__ready_push_public(&w->ready, left[i]), 0);
    slept_on += load(&w->rt->parked) == 1; /* else it had announced itself only, and has found them */
    return yoke_group_close(g, 0);
}

static void what_goes_along_to_a_ring_wakes_a_sleeper(void **state)
{
    (void)state;
    slept_on = 0;
    while (slept_on < repetitions(20)) {
        nleft = went_on = 0;
        assert_int_equal(run(2, push_and_leave, NULL), 0);
        assert_int_equal(went_on, FIBERS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_along_to_a_ring_wakes_a_sleeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
