/*
 * What a child spawns into the group that it is in, beside itself: spawned as the owner's children are, counted, refused and
 * waited for like them. (Runs twice: once with plain groups, and once with those whose children are counted one by one.)
 */
#include "support.h"

static int (*one_by_one)(void *ctx, const yoke_done *done); /* NULL: a plain group */
static int ran;

static int go_on(void *ctx, const yoke_done *done)
{
    (void)ctx;
    (void)done;
    return YOKE_GO_ON;
}

static int count(void *arg)
{
    (void)arg;
    add(&ran, 1);
    return 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* ---- counted ---- */

enum { SPAWNERS = 5, EACH = 200 };

struct plan {
    yoke_group outer, inner;
    bool pause, fork;
};

static int spawn_here(void *arg)
{
    const struct plan *p = arg;
    for (int i = 0; i < EACH; i++) {
        check_int(yoke_spawn_ptr(p->inner, count, NULL), 0);
        if (i % 3 == 0)
            check_int(yoke_spawn(p->outer, count, int, i), 0);
        if (p->pause && i % 50 == 0)
            check_int(i % 100 == 0 ? yoke_yield() : yoke_sleep(1), 0);
    }
    return 0;
}

static int spawn_beside(void *arg)
{
    yoke_forked f;
    struct plan *p = arg;
    if (!p->fork)
        return spawn_here(arg);
    yoke_fork(&f, spawn_here, arg);
    int rc = spawn_here(arg);
    return yoke_join(&f) < 0 ? -1 : rc;
}

/* Its group is inside the outer one, so its children may spawn into both. */
static int own_group(void *arg)
{
    struct plan p = *(struct plan *)arg;
    yoke_group_report report = { .size = sizeof report };
    YOKE_GROUP(g, .on_done = one_by_one);
    p.inner = g;
    for (int i = 0; i < SPAWNERS; i++)
        check_int(yoke_spawn_ptr(g, spawn_beside, &p), 0);
    int rc = yoke_group_close_report(g, 0, &report);
    check_int(report.spawned, SPAWNERS + SPAWNERS * EACH * (p.fork ? 2 : 1));
    check_int(report.failed, 0);
    return rc;
}

static int counted(void *arg)
{
    for (int kind = 0; kind < 4; kind++) {
        struct plan p = { .pause = kind & 1, .fork = kind & 2 };
        int spawners = SPAWNERS * *(int *)arg * (p.fork ? 2 : 1), into_outer = spawners * ((EACH + 2) / 3);
        yoke_group_report report = { .size = sizeof report };
        store(&ran, 0);
        YOKE_GROUP(outer, .on_done = one_by_one);
        p.outer = outer;
        for (int i = 0; i < *(int *)arg; i++)
            check_int(yoke_spawn_ptr(outer, own_group, &p), 0);
        check_int(yoke_group_close_report(outer, 0, &report), 0);
        check_int(report.spawned, *(int *)arg + into_outer);
        check_int(load(&ran), spawners * EACH + into_outer); /* all of them have ended */
    }
    return 0;
}

static void every_one_is_counted_and_waited_for(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        for (int n = repetitions(10); n > 0; n--) {
            int groups = 1 + n % 4;
            assert_int_equal(run(workers, counted, &groups), 0);
        }
}

/* ---- refused ---- */

static int one_that_fails(void *arg)
{
    (void)arg;
    return -EIO;
}

static int into_what_fails(void *arg)
{
    yoke_group g = *(yoke_group *)arg;
    check_int(yoke_spawn_ptr(g, one_that_fails, NULL), 0);
    while (!yoke_cancelled())
        check(yoke_yield() <= 0);
    check_int(yoke_spawn_ptr(g, count, NULL), -ECANCELED);
    check_int(yoke_spawn(g, count, int, 1), -ECANCELED);
    return 0;
}

static int into_what_is_cancelled(void *arg)
{
    yoke_group g = *(yoke_group *)arg;
    check_int(yoke_spawn_ptr(g, count, NULL), 0);
    check_int(yoke_group_cancel(g, 0), 0);
    check_int(yoke_spawn_ptr(g, count, NULL), -ECANCELED);
    return 0;
}

static int badly(void *arg)
{
    yoke_group g = *(yoke_group *)arg, old;
    check_int(yoke_spawn_task(g, NULL, NULL, 0, NULL), -EINVAL);
    check_int(yoke_spawn_ptr(g, (yoke_fn)NULL, NULL), -EINVAL);
    check_int(yoke_spawn_task(g, count, NULL, 8, &(yoke_spawn_options){ .size = sizeof(yoke_spawn_options), .name = "x" }), -EINVAL);
    YOKE_GROUP(mine);
    old = mine;
    check_int(yoke_group_close(mine, 0), 0);
    check_int(yoke_spawn_ptr(old, count, NULL), -ESHUTDOWN);
    old = g;
    old.generation++;
    check(yoke_spawn_ptr(old, count, NULL) < 0);
    check_int(yoke_spawn_ptr((yoke_group){ .block = NULL }, count, NULL), -EINVAL);
    return 0;
}

static int in_a_group(yoke_fn fn, uint64_t spawned, int wanted)
{
    yoke_group_report report = { .size = sizeof report };
    YOKE_GROUP(g, .on_done = one_by_one);
    check_int(yoke_spawn_ptr(g, fn, &g), 0);
    check_int(yoke_group_close_report(g, 0, &report), wanted);
    check_int(report.spawned, spawned);
    return 0;
}

static int refused(void *arg)
{
    (void)arg;
    store(&ran, 0);
    YOKE_TRY(in_a_group(into_what_fails, 2, -EIO));
    YOKE_TRY(in_a_group(into_what_is_cancelled, 2, 0));
    check_int(load(&ran), 1);
    YOKE_TRY(in_a_group(badly, 1, 0));
    check_int(load(&ran), 1);
    return 0;
}

static void what_the_owner_is_refused_is_refused_to_a_child(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++) {
        assert_int_equal(run(workers, refused, NULL), 0);
        assert_string_equal(reports, "");
    }
}

/* ---- options ---- */

static int give_seven(void *arg)
{
    (void)arg;
    return 7;
}

static int where_am_i(void *arg)
{
    check_int(yoke_worker_index(), *(int *)arg);
    check_int(yoke_yield(), 0);
    check_int(yoke_worker_index(), *(int *)arg);
    return 0;
}

static int am_i_called(void *arg)
{
    check(strcmp(yoke_task_name(), *(const char **)arg) == 0);
    return 0;
}

struct big {
    char bytes[300];
};

static int is_it_whole(void *arg)
{
    const struct big *big = arg;
    for (size_t i = 0; i < sizeof big->bytes; i++)
        check_int(big->bytes[i], (char)i);
    return 0;
}

static int serve(void *arg)
{
    (void)arg;
    return yoke_sleep_until(YOKE_NEVER);
}

static int with_options(void *arg)
{
    yoke_group g = *(yoke_group *)arg;
    yoke_task h;
    int result, last = yoke_workers() - 1;
    struct big big;
    check_int(yoke_spawn_ptr_with(g, (.handle = &h, .name = "seven"), give_seven, NULL), 0);
    check_int(yoke_task_await(h, &result), 0);
    check_int(result, 7);
    for (int i = 0; i < 20; i++)
        check_int(yoke_spawn_with(g, (.pinned = true, .worker = last, .name = "there"), where_am_i, int, last), 0);
    check_int(yoke_spawn_with(g, (.pinned = true, .worker = last + 1, .name = "nowhere"), where_am_i, int, last), -EINVAL);
    check_int(yoke_spawn_with(g, (.name = "another"), am_i_called, const char *, "another"), 0);
    check_int(yoke_spawn(g, am_i_called, const char *, "am_i_called"), 0);
    check_int(yoke_spawn_task(g, am_i_called, &(const char *){ "task" }, sizeof(char *), NULL), 0);
    check_int(yoke_spawn_task(g, am_i_called, &(const char *){ "task" }, sizeof(char *),
                              &(yoke_spawn_options){ .size = sizeof(yoke_spawn_options) }), 0);
    check_int(yoke_spawn_task(g, am_i_called, &(const char *){ "task" }, sizeof(char *),
                              &(yoke_spawn_options){ .size = offsetof(yoke_spawn_options, name), .name = "not known to this caller" }), 0);
    for (size_t i = 0; i < sizeof big.bytes; i++)
        big.bytes[i] = (char)i;
    check_int(yoke_spawn_task(g, is_it_whole, &big, sizeof big, &(yoke_spawn_options){ .size = sizeof(yoke_spawn_options), .name = "big" }), 0);
    check_int(yoke_spawn_ptr_with(g, (.service = true, .name = "service"), serve, NULL), 0); /* ends with the others */
    check_int(yoke_spawn_ptr(g, nothing, NULL), 0);
    return 0;
}

static int options(void *arg)
{
    (void)arg;
    return in_a_group(with_options, 1 + 1 + 20 + 5 + 1 + 1 + 1, 0);
}

static void options_mean_the_same(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++) {
        assert_int_equal(run(workers, options, NULL), 0);
        assert_string_equal(reports, "");
    }
}

static int plain(void **state)
{
    (void)state;
    one_by_one = NULL;
    return 0;
}

static int told(void **state)
{
    (void)state;
    one_by_one = go_on;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_one_is_counted_and_waited_for),
        cmocka_unit_test(what_the_owner_is_refused_is_refused_to_a_child),
        cmocka_unit_test(options_mean_the_same),
    };
    int failed = cmocka_run_group_tests(tests, plain, NULL);
    return failed + cmocka_run_group_tests(tests, told, NULL);
}
