/*
 * Who watches the poll while the only worker computes: the service thread, however seldom it has looked before. And when a worker that goes
 * from woken fiber to woken fiber has its look, and turns to others.
 */
#include "support.h"

#include <yoke/io/wait.h>

#include "find.h"
#include "runnable.h"
#include "suspend.h"
#include "worker.h"

static int waiting;

static int readable(void *arg)
{
    add(&waiting, 1);
    return yoke_fd_readable(*(int *)arg);
}

/* A worker that computes, and does not yield, until the service thread has brought it something. */
static void compute(struct yoke_runtime *rt)
{
    while (!yoke__injected_any(rt))
        sched_yield();
}

static int an_event_comes(void *arg)
{
    struct yoke_runtime *rt = yoke__self()->rt;
    int fds[2];
    (void)arg;
    check_int(pipe(fds), 0);
    for (int calm = 0; calm <= YOKE__CALM_MOST * YOKE__CALM_TICKS; calm += YOKE__CALM_TICKS) {
        char byte;
        store(&waiting, 0);
        YOKE_GROUP(g);
        check_int(yoke_spawn(g, readable, int, fds[0]), 0);
        while (load(&waiting) == 0)
            check_int(yoke_yield(), 0);
        yoke__store_relaxed(&rt->service.calm, (uint32_t)calm);
        int64_t attended = yoke__load_relaxed(&rt->service.attended);
        do
            check_int(yoke_sleep(YOKE_MS(1)), 0);
        while (yoke__load_relaxed(&rt->service.attended) == attended); /* the worker has had the poll, and has left it now */
        check_int(write(fds[1], "x", 1), 1);
        compute(rt);
        check_int(yoke_group_close(g, 0), 0);
        check_int(yoke__load_relaxed(&rt->service.calm), 0); /* there are more ticks again */
        check_int(read(fds[0], &byte, 1), 1);
    }
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static void an_event_comes_while_the_worker_computes(void **state)
{
    (void)state;
    for (int n = repetitions(20); n > 0; n--)
        assert_int_equal(run(1, an_event_comes, NULL), 0);
}

/* After a row of woken fibers; a look is due since `late` ns; `left` are there that were at the last one. Asked in no time, or asked again. */
static bool looks(struct yoke__worker *w, int64_t late, int left)
{
    for (;;) {
        int64_t now = (int64_t)yoke__os_now();
        w->row = w->woken - 1000;
        w->round = w->woken + (uint32_t)left;
        w->look_at = now - late;
        bool looked = yoke__turn_of_others(w);
        if ((int64_t)yoke__os_now() - now < YOKE_US(100))
            return looked;
    }
}

static int look_at_events(void *arg)
{
    struct yoke__worker *w = yoke__self();
    int fds[2];
    (void)arg;
    check_int(pipe(fds), 0);
    check_int(yoke_fd_forget(fds[0]), 0); /* there is a driver now */
    check(yoke__service_has_poll(&w->rt->service));
    for (uint32_t woken = UINT32_MAX - 50; woken != 50; woken++) { /* also when the counters come round */
        w->woken = woken;
        check(!looks(w, -YOKE_MS(1000), 0)); /* not yet */
        check(looks(w, 1, 0));
        yoke__store_relaxed(&w->rt->service.attended, 0);
        check(!looks(w, 1, 40));
        check(yoke__load_relaxed(&w->rt->service.attended) > 0); /* the service thread is told that it will come */
        check(looks(w, YOKE_MS(1), 40)); /* no round takes that long */
        check(looks(w, 1, 0));
    }
    w->look_at = 0;
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static void a_worker_looks_after_a_round(void **state)
{
    (void)state;
    assert_int_equal(run(1, look_at_events, NULL), 0);
}

/* ---- woken and injected fibers take turns ---- */

enum { INJECTED = 64, YIELDERS = 4 };
static struct yoke__fiber *left_one[INJECTED];
static int gone, steps, resumed;

static void keep(struct yoke__worker *w, struct yoke__fiber *left, void *arg)
{
    (void)w;
    *(struct yoke__fiber **)arg = left;
}

static int be_injected(void *arg)
{
    yoke__suspend(keep, &left_one[*(int *)arg], "a test");
    resumed++;
    return 0;
}

/* One worker: no need for atomics. */
static int go_on_yielding(void *arg)
{
    (void)arg;
    for (; resumed < INJECTED; steps++)
        check_int(yoke_yield(), 0);
    gone++;
    return 0;
}

static int take_turns(void *arg)
{
    struct yoke_runtime *rt = yoke__self()->rt;
    (void)arg;
    resumed = gone = 0;
    YOKE_GROUP(g);
    for (int i = 0; i < INJECTED; i++)
        check_int(yoke_spawn(g, be_injected, int, i), 0);
    for (int i = 0; i < YIELDERS; i++)
        check_int(yoke_spawn_ptr(g, go_on_yielding, NULL), 0);
    for (int i = 0; i < INJECTED; i++)
        while (left_one[i] == NULL)
            check_int(yoke_yield(), 0);
    steps = 0;
    for (int i = 0; i < INJECTED; i++) {
        left_one[i]->node.kind = YOKE__NODE_FIBER;
        yoke__runtime_post(rt, &left_one[i]->node);
        left_one[i] = NULL;
    }
    check_int(yoke_group_close(g, 0), 0);
    check_int(gone, YIELDERS);
    check(steps < 3 * INJECTED); /* as many as of the others, more or less */
    return 0;
}

static void injected_and_woken_fibers_take_turns(void **state)
{
    (void)state;
    for (int n = repetitions(20); n > 0; n--)
        assert_int_equal(run(1, take_turns, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_comes_while_the_worker_computes),
        cmocka_unit_test(a_worker_looks_after_a_round),
        cmocka_unit_test(injected_and_woken_fibers_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
