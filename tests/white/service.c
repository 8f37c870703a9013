/* Who watches the poll while the only worker computes: the service thread, however seldom it has looked before. */
#include "support.h"

#include <yoke/io/wait.h>

#include "find.h"
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
        uint32_t turns = yoke__load_relaxed(&rt->service.turns);
        do
            check_int(yoke_sleep(YOKE_MS(1)), 0);
        while (yoke__load_relaxed(&rt->service.turns) == turns); /* the worker has had the poll, and has left it now */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_comes_while_the_worker_computes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
