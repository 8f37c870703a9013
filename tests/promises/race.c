/*
 * Races, each twice: exact on one worker, where the order is forced, and as an invariant on four workers with many repetitions and
 * yields from a printed seed.
 */
#include "support.h"

#include <yoke/sync/event.h>

static uint64_t random_state;

static uint64_t fresh(void)
{
    return add(&random_state, 0x9e3779b97f4a7c15u) + seed();
}

/* A few yields; true if none was cut. */
static bool wander(uint64_t *r)
{
    for (uint64_t n = next_random(r) % 4; n > 0; n--)
        if (yoke_yield() < 0)
            return false;
    return true;
}

#define REPEAT(n) for (int round = repetitions(n); round > 0; round--)

/* ---- effect against cancel: room in a group is handed to a waiter that is being cancelled ---- */

static int occupy(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    wander(&r);
    return 0;
}

static int mark(void *arg)
{
    add(*(int **)arg, 1);
    return 0;
}

static int seek_room(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    int spawned = 0, ran = 0;
    YOKE_GROUP(full, .limit = 1);
    for (int i = 0; i < 5; i++) {
        check_int(yoke_spawn(full, occupy, uint64_t, next_random(&r)), 0);
        YOKE_SCOPE(s, .deadline = next_random(&r) % 2 ? yoke_after((int64_t)(next_random(&r) % 20000)) : 0);
        int rc = yoke_spawn(full, mark, int *, &ran); /* waits for room while the deadline approaches */
        check(rc == 0 || rc == -ECANCELED);
        spawned += rc == 0;
        check(yoke_scope_close(s, 0) == 0);
    }
    check_int(yoke_group_close(full, 0), 0);
    check_int(ran, spawned); /* 0: entered; -ECANCELED: nothing happened, no room was lost */
    return 0;
}

static int seek_room_exactly(void *arg)
{
    (void)arg;
    int ran = 0;
    uint64_t none = 4; /* no yields worth mentioning */
    YOKE_GROUP(full, .limit = 1);
    YOKE_SCOPE(s);
    check_int(yoke_spawn(full, occupy, uint64_t, none), 0);
    check_int(yoke_scope_cancel(s, 0), 0);
    check_int(yoke_spawn(full, mark, int *, &ran), -ECANCELED); /* full, and cancelled before it could wait */
    check_int(yoke_scope_close(s, 0), 0);
    check_int(yoke_spawn(full, mark, int *, &ran), 0);          /* the room that was not taken is there */
    check_int(yoke_group_close(full, 0), 0);
    check_int(ran, 1);
    return 0;
}

/* ---- the same exactly: what a wait is for comes, and a cancel, before who waits has run again ---- */

enum first { EFFECT_FIRST, CANCEL_FIRST };
enum wait_for { ROOM, RESULT, END, WAITS };

static struct meeting {
    enum first first;
    yoke_scope scope;
    yoke_event go;
    bool waiting, ended, returned;
} meeting;

/* Its end is the effect. */
static int end_when_told(void *arg)
{
    meeting.waiting = true;
    check_int(yoke_event_wait(&meeting.go), 0);
    if (meeting.first == CANCEL_FIRST)
        check_int(yoke_scope_cancel(meeting.scope, -EXDEV), 0);
    meeting.ended = true;
    return arg == NULL ? 6 : -EINVAL;
}

static int let_them_meet(void *arg)
{
    check_int(yoke_event_set(&meeting.go), 0);
    while (!meeting.ended)
        check_int(yoke_yield(), 0);
    check(!meeting.returned); /* and who waits for it has not run yet */
    if (meeting.first == EFFECT_FIRST)
        check_int(yoke_scope_cancel(meeting.scope, -EXDEV), 0);
    return arg == NULL ? 0 : -EINVAL;
}

static int meet_exactly(void *arg)
{
    (void)arg;
    for (enum wait_for what = ROOM; what < WAITS; what++)
        for (enum first first = EFFECT_FIRST; first <= CANCEL_FIRST; first++) {
            int ran = 0, rc, result = 0;
            yoke_done done = { .code = 0 };
            yoke_task h;
            meeting = (struct meeting){ .first = first };
            YOKE_GROUP(outside);
            YOKE_GROUP(g, .limit = what == ROOM, .results = what == RESULT);
            check_int(yoke_spawn_ptr_with(g, (.handle = &h), end_when_told, NULL), 0);
            YOKE_SCOPE(s);
            meeting.scope = s;
            while (!meeting.waiting)
                check_int(yoke_yield(), 0);
            check_int(yoke_spawn_ptr(outside, let_them_meet, NULL), 0);
            if (what == ROOM)
                rc = yoke_spawn(g, mark, int *, &ran);
            else if (what == RESULT)
                rc = yoke_group_next(g, &done);
            else
                rc = yoke_task_await(h, &result);
            meeting.returned = true;
            check_int(rc, first == EFFECT_FIRST ? 0 : -ECANCELED);
            check_int(yoke_checkpoint(), -ECANCELED); /* pending in any case */
            check_int(yoke_scope_close(s, yoke_checkpoint()), -EXDEV);
            if (first == EFFECT_FIRST) {
                check_int(what == RESULT ? done.code : what == END ? result : 6, 6);
            } else if (what == ROOM) { /* nothing was lost */
                check_int(yoke_try_spawn(g, mark, int *, &ran), 0);
            } else if (what == RESULT) {
                check_int(yoke_group_next(g, &done), 0);
                check_int(done.code, 6);
            } else {
                check_int(yoke_task_await(h, &result), 0);
                check_int(result, 6);
            }
            check_int(yoke_group_close(g, 0), 0);
            check_int(ran, what == ROOM);
            check_int(yoke_group_close(outside, 0), 0);
        }
    return 0;
}

static void effect_against_cancel(void **state)
{
    (void)state;
    assert_int_equal(run(1, seek_room_exactly, NULL), 0);
    assert_int_equal(run(1, meet_exactly, NULL), 0);
    REPEAT(1500)
        assert_int_equal(run(4, seek_room, NULL), 0);
}

/* ---- spawn against group failure ---- */

static int entered;

static int enter(void *arg)
{
    (void)arg;
    add(&entered, 1);
    return 0;
}

static int fail_sometime(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    wander(&r);
    return -EIO;
}

static int spawn_while_failing(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        uint64_t r = fresh();
        int spawned = 0;
        entered = 0;
        YOKE_GROUP(g);
        int rc = yoke_spawn(g, fail_sometime, uint64_t, next_random(&r));
        check_int(rc, 0);
        for (int n = 0; n < 20; n++) {
            rc = yoke_spawn_ptr(g, enter, NULL);
            check(rc == 0 || rc == -ECANCELED);
            spawned += rc == 0;
            wander(&r);
        }
        check_int(yoke_group_close(g, 0), -EIO);
        check_int(entered, spawned);
    }
    return 0;
}

static int spawn_after_failure(void *arg)
{
    (void)arg;
    uint64_t r = 4;
    entered = 0;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, enter, NULL), 0);
    check_int(yoke_spawn(g, fail_sometime, uint64_t, r), 0);
    check_int(yoke_sleep_until(YOKE_NEVER), -ECANCELED);
    check_int(yoke_spawn_ptr(g, enter, NULL), -ECANCELED);
    check_int(yoke_group_close(g, 0), -EIO);
    check_int(entered, 1);
    return 0;
}

static void spawn_against_failure(void **state)
{
    (void)state;
    assert_int_equal(run(1, spawn_after_failure, NULL), 0);
    REPEAT(1000)
        assert_int_equal(run(4, spawn_while_failing, NULL), 0);
}

/* ---- deadline against completion ---- */

static int sleep_some(void *arg)
{
    int64_t until = *(int64_t *)arg;
    return yoke_sleep_until(until);
}

static int race_deadline(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        uint64_t r = fresh();
        int64_t when = yoke_after((int64_t)(next_random(&r) % 50000));
        YOKE_GROUP(g, .deadline = when);
        int rc = yoke_spawn(g, sleep_some, int64_t, when + (int64_t)(next_random(&r) % 3) * 1000 - 1000);
        check(rc == 0 || rc == -ECANCELED);
        rc = yoke_group_close(g, 0);
        check(rc == 0 || rc == -ETIMEDOUT); /* whichever came first, and nothing else */
    }
    for (int i = 0; i < 20; i++) { /* a sleep in a scope: slept to its end or cut, and then the clock agrees */
        uint64_t r = fresh();
        int64_t when = yoke_after((int64_t)(next_random(&r) % 50000)), end = when + (int64_t)(next_random(&r) % 3) * 1000 - 1000;
        YOKE_SCOPE(s, .deadline = when);
        int rc = yoke_sleep_until(end);
        check(rc == 0 ? yoke_now() >= end : yoke_now() >= when);
        rc = yoke_scope_close(s, rc);
        check(rc == 0 || rc == -ETIMEDOUT);
    }
    return 0;
}

static void deadline_against_completion(void **state)
{
    (void)state;
    assert_int_equal(run(1, race_deadline, NULL), 0);
    REPEAT(400)
        assert_int_equal(run(4, race_deadline, NULL), 0);
}

/* ---- a cancel while the owner waits in close ---- */

static int sleep_long(void *arg)
{
    (void)arg;
    return yoke_sleep_until(YOKE_NEVER);
}

struct canceller {
    yoke_group group;
    uint64_t random;
};

static int cancel_group(void *arg)
{
    struct canceller *c = arg;
    wander(&c->random);
    int rc = yoke_group_cancel(c->group, -EXDEV);
    check(rc == 0 || rc == -EINVAL); /* -EINVAL: closed already */
    return 0;
}

static int cancel_in_close(void *arg)
{
    bool exact = arg != NULL;
    for (int i = 0; i < 10; i++) {
        uint64_t r = fresh();
        YOKE_GROUP(outside);
        YOKE_GROUP(g);
        for (uint64_t n = exact ? 3 : next_random(&r) % 4; n > 0; n--)
            check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_spawn(outside, cancel_group, struct canceller, .group = g, .random = exact ? 4 : next_random(&r)), 0);
        int rc = yoke_group_close(g, 0);
        check(rc == -EXDEV || (!exact && rc == 0));
        check_int(yoke_group_close(outside, 0), 0);
    }
    return 0;
}

static void cancel_against_close(void **state)
{
    (void)state;
    int exact = 1;
    assert_int_equal(run(1, cancel_in_close, &exact), 0);
    REPEAT(1000)
        assert_int_equal(run(4, cancel_in_close, NULL), 0);
}

/* ---- failure while being cancelled ---- */

static int fail_when_cut(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    bool clean = wander(&r);
    (void)yoke_sleep_until(YOKE_NEVER);
    (void)clean;
    return -EIO; /* cleanup failed: this counts */
}

static int failure_while_cancelled(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        uint64_t r = fresh();
        yoke_group_report report = { .size = sizeof report };
        YOKE_GROUP(g);
        for (int n = 0; n < 4; n++)
            check_int(yoke_spawn(g, fail_when_cut, uint64_t, next_random(&r)), 0);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        wander(&r);
        check_int(yoke_group_cancel(g, -EXDEV), 0);
        check_int(yoke_group_close_report(g, 0, &report), -EIO); /* row 1 before row 3 */
        check_int(report.failed, 4);
        check_int(report.cancelled, 1);
    }
    return 0;
}

static void failure_against_cancel(void **state)
{
    (void)state;
    assert_int_equal(run(1, failure_while_cancelled, NULL), 0);
    REPEAT(1000)
        assert_int_equal(run(4, failure_while_cancelled, NULL), 0);
}

/* ---- misnesting, forgotten close, close by the wrong task, in a crowd ---- */

static int close_foreign(void *arg)
{
    struct canceller *c = arg;
    wander(&c->random);
    int rc = yoke_group_close(c->group, 0);
    check(rc == -EPERM || rc == -EINVAL);
    return 0;
}

static int forget(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    YOKE_GROUP(g, .name = "forgotten");
    for (uint64_t n = next_random(&r) % 4; n > 0; n--)
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
    wander(&r);
    return 0;
}

static int misnest(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    yoke_group outer = yoke_group_open(NULL), inner = yoke_group_open(NULL);
    check_int(yoke_spawn_ptr(inner, sleep_long, NULL), 0);
    wander(&r);
    check_int(yoke_group_close(outer, 0), 0);
    check_int(yoke_group_close(inner, 0), -EINVAL);
    return 0;
}

static int misuse_crowd(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    YOKE_GROUP(g);
    for (int i = 0; i < 5; i++) {
        check_int(yoke_spawn(g, close_foreign, struct canceller, .group = g, .random = next_random(&r)), 0);
        check_int(yoke_spawn(g, forget, uint64_t, next_random(&r)), 0);
        check_int(yoke_spawn(g, misnest, uint64_t, next_random(&r)), 0);
        wander(&r);
    }
    return yoke_group_close(g, 0);
}

static void misuse_in_a_crowd(void **state)
{
    (void)state;
    assert_int_equal(run(1, misuse_crowd, NULL), 0);
    REPEAT(1000)
        assert_int_equal(run(4, misuse_crowd, NULL), 0);
}

/* ---- await against completion and close of the handle ---- */

static int finish_sometime(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    return wander(&r) ? 11 : -ECANCELED;
}

struct waiter {
    yoke_task task;
    uint64_t random;
};

static int await_sometime(void *arg)
{
    struct waiter *w = arg;
    int result = -1;
    wander(&w->random);
    int rc = yoke_task_await(w->task, &result);
    check(rc == -EBADF || rc == -EINVAL || (rc == 0 && (result == 11 || result == -ECANCELED)));
    return 0;
}

static int await_race(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        uint64_t r = fresh();
        yoke_task h;
        YOKE_GROUP(g);
        YOKE_GROUP(waiters);
        check_int(yoke_spawn_with(g, (.handle = &h), finish_sometime, uint64_t, next_random(&r)), 0);
        for (int n = 0; n < 3; n++)
            check_int(yoke_spawn(waiters, await_sometime, struct waiter, .task = h, .random = next_random(&r)), 0);
        wander(&r);
        if (next_random(&r) % 2)
            check_int(yoke_task_cancel(h), 0);
        wander(&r);
        if (next_random(&r) % 2)
            check_int(yoke_task_close(h), 0);
        check_int(yoke_group_close(waiters, 0), 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    return 0;
}

static void await_against_completion(void **state)
{
    (void)state;
    assert_int_equal(run(1, await_race, NULL), 0);
    REPEAT(1000)
        assert_int_equal(run(4, await_race, NULL), 0);
}

/* ---- everything at once: a tree of groups that fails, times out and is cancelled; the end is that it ends ---- */

struct node {
    int depth;
    uint64_t random;
    int *alive;
};

static int grow(void *arg)
{
    struct node *n = arg;
    uint64_t r = n->random;
    int rc = 0;
    add(n->alive, 1);
    YOKE_GROUP(g, .policy = next_random(&r) % 2 ? YOKE_ALL : YOKE_COLLECT, .limit = next_random(&r) % 4 == 0 ? 2 : 0,
               .deadline = next_random(&r) % 4 == 0 ? yoke_after((int64_t)(next_random(&r) % 100000)) : 0,
               .shield = next_random(&r) % 8 == 0);
    if (n->depth > 0)
        for (uint64_t i = next_random(&r) % 5; i > 0 && rc == 0; i--) {
            rc = yoke_spawn(g, grow, struct node, .depth = n->depth - 1, .random = next_random(&r), .alive = n->alive);
            wander(&r);
        }
    switch (next_random(&r) % 8) {
    case 0:
        rc = -EIO;
        break;
    case 1:
        rc = yoke_sleep((int64_t)(next_random(&r) % 50000));
        break;
    case 2:
        (void)yoke_group_cancel(g, -EXDEV);
        break;
    default:
        break;
    }
    rc = yoke_group_close(g, rc);
    add(n->alive, -1);
    return rc;
}

static int grow_forest(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        uint64_t r = fresh();
        int alive = 0;
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        for (int n = 0; n < 4; n++)
            check_int(yoke_spawn(g, grow, struct node, .depth = 5, .random = next_random(&r), .alive = &alive), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(alive, 0);
    }
    return 0;
}

static void a_forest_of_groups_ends(void **state)
{
    (void)state;
    REPEAT(200)
        for (int workers = 1; workers <= 4; workers += 3)
            assert_int_equal(run(workers, grow_forest, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(effect_against_cancel),
        cmocka_unit_test(spawn_against_failure),
        cmocka_unit_test(deadline_against_completion),
        cmocka_unit_test(cancel_against_close),
        cmocka_unit_test(failure_against_cancel),
        cmocka_unit_test(misuse_in_a_crowd),
        cmocka_unit_test(await_against_completion),
        cmocka_unit_test(a_forest_of_groups_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
