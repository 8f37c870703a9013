/*
 * Random trees of tasks, scopes and groups, and random cancels and stops in there, from one task or several: whoever sleeps in what is cancelled is
 * woken, whatever else a walk has yet to visit (executor/walk.c). Stretches are short here, so that walks are parked and overtaken all the time.
 */
#include "support.h"

enum { TREES = 8, DEPTH = 2, SCOPES = 4000, CALLERS = 3 };

/* What has been opened, for those who call, and how many tasks there are. */
static struct {
    yoke_scope scope[SCOPES];
    bool shield[SCOPES], ready[SCOPES];
    int n, spawned, settled;
} all;

static void enlist(yoke_scope scope, bool shield)
{
    int i = add(&all.n, 1);
    check(i < SCOPES);
    all.scope[i] = scope;
    all.shield[i] = shield;
    store(&all.ready[i], true);
}

struct plan {
    uint64_t random;
    int depth;
};

static int dwell(void *arg);

static void spawn(yoke_group g, uint64_t random, int depth)
{
    add(&all.spawned, 1);
    check_int(yoke_spawn(g, dwell, struct plan, random, depth), 0);
}

static int live_in_a_group(uint64_t *r, int depth)
{
    YOKE_GROUP(own, .cancel_on_stop = next_random(r) % 4 == 0, .grace = YOKE_NEVER);
    for (int i = (int)(next_random(r) % 4); i >= 0; i--)
        spawn(own, next_random(r), depth - 1);
    add(&all.settled, 1);
    return yoke_group_close(own, 0);
}

static int live_in(uint64_t *r, int scopes, int depth)
{
    uint64_t kind = next_random(r) % 8;
    if (scopes == 0 && depth > 0 && kind % 2)
        return live_in_a_group(r, depth);
    if (scopes == 0) {
        add(&all.settled, 1);
        return yoke_sleep_until(YOKE_NEVER);
    }
    YOKE_SCOPE(own, .cancel_on_stop = kind < 2, .grace = YOKE_NEVER, .shield = kind == 2, .deadline = kind == 2 ? yoke_after(YOKE_SEC(10000)) : 0);
    enlist(own, kind == 2);
    return yoke_scope_close(own, live_in(r, scopes - 1, depth));
}

static int dwell(void *arg)
{
    struct plan *plan = arg;
    uint64_t r = plan->random;
    return live_in(&r, (int)(next_random(&r) % 4), plan->depth);
}

struct caller {
    yoke_scope outer;
    yoke_group group;
    uint64_t random;
};

/* Perhaps cancelled itself. */
static int call(void *arg)
{
    const struct caller *me = arg;
    uint64_t r = me->random;
    for (int i = (int)(next_random(&r) % 8); i >= 0; i--) {
        int any = (int)(next_random(&r) % (uint64_t)(load(&all.n) + 1));
        bool known = load(&all.ready[any]);
        switch (next_random(&r) % 8) {
        case 0:
            (void)yoke_group_cancel(me->group, 0);
            break;
        case 1:
            (void)yoke_scope_stop(me->outer);
            break;
        case 2:
        case 3:
            (void)(known ? yoke_scope_stop(all.scope[any]) : 0);
            break;
        case 4:
        case 5:
            (void)(known ? yoke_scope_cancel(all.scope[any], 0) : 0);
            break;
        case 6:
            (void)yoke_yield();
            break;
        default:
            (void)yoke_sleep(YOKE_US(20));
        }
    }
    return 0;
}

static int storm(void *arg)
{
    uint64_t *r = arg;
    memset(&all, 0, sizeof all);
    YOKE_GROUP(callers);
    YOKE_SCOPE(outer, .grace = YOKE_NEVER);
    YOKE_GROUP(g, .cancel_on_stop = next_random(r) % 4 == 0, .grace = YOKE_NEVER);
    struct caller me = { outer, g, next_random(r) };
    for (int i = 0; i < TREES; i++)
        spawn(g, next_random(r), DEPTH);
    while (load(&all.settled) < load(&all.spawned)) /* spawned before their parents settle: nobody opens anything after that */
        check_int(yoke_yield(), 0);
    for (uint64_t i = next_random(r) % (CALLERS + 1); i > 0; i--)
        check_int(yoke_spawn(callers, call, struct caller, outer, g, next_random(r)), 0);
    (void)call(&me);
    check_int(yoke_group_cancel(g, 0), 0);
    for (int i = 0; i < all.n; i++)
        if (all.shield[i])
            (void)yoke_scope_cancel(all.scope[i], 0);
    int rc = yoke_group_close(g, 0);
    check(rc == 0 || rc == -ECANCELED);
    check_int(yoke_scope_close(outer, rc), 0);
    return yoke_group_close(callers, 0);
}

static void whoever_is_in_what_is_cancelled_is_woken(void **state)
{
    uint64_t r = seed();
    (void)state;
    for (int i = repetitions(400); i > 0; i--)
        for (int workers = 1; workers <= 4; workers *= 2)
            assert_int_equal(run(workers, storm, &r), 0); /* hangs otherwise: the time limit tells */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_is_in_what_is_cancelled_is_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
