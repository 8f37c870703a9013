/* What debug mode says at the end of a run of what was not given back: of nothing, nothing; of each kind of thing, a line. */
#include "support.h"

#include "core.h"
#include "deadlock.h"
#include "leftover.h"
#include "reactor.h"
#include "scope.h"

static int leaf(void *arg)
{
    (void)arg;
    YOKE_TRY(yoke_yield());
    return yoke_sleep(1);
}

static int a_bit_of_everything(void *arg)
{
    yoke_stream *a, *b;
    char large[600] = "";
    (void)arg;
    YOKE_GROUP(g, .policy = YOKE_COLLECT, .results = true, .deadline = yoke_after(YOKE_SEC(3600)));
    for (int i = 0; i < 100; i++) {
        yoke_task task;
        check_int(yoke_spawn_with(g, (.handle = &task), leaf, int, i), 0);
        check_int(yoke_spawn_task(g, leaf, large, i % 2 == 0 ? 200 : sizeof large, NULL), 0);
    }
    check_int(yoke_stream_pair(&a, &b), 0);
    check_int(yoke_write(a, "x", 1), 1);
    check_int(yoke_read(b, large, 1), 1);
    check_int(yoke_close(a) | yoke_close(b), 0);
    YOKE_GROUP(h, .stack_size = 1 << 20);
    for (int i = 0; i < 40; i++) /* more than are kept as spares */
        check_int(yoke_spawn(h, leaf, int, i), 0);
    check_int(yoke_group_close(h, 0), 0);
    YOKE_SCOPE(s, .deadline = yoke_after(YOKE_SEC(3600)));
    check_int(yoke_scope_close(s, 0), 0);
    return yoke_group_close(g, 0);
}

static void nothing_is_said_of_what_is_given_back(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++) {
        assert_int_equal(run_with(a_bit_of_everything, NULL, OPTIONS(.workers = workers, .debug = "on")), 0);
        assert_string_equal(reports, "");
    }
}

/* ---- each kind ---- */

/* Armed to try again for what needs a large stack and has got one since: nothing that was taken. */
static void again(struct yoke__timer *due, void *batch)
{
    (void)due;
    (void)batch;
}

static int leave_the_timer_of_large_stacks(void *arg)
{
    struct yoke__worker *w = yoke__self();
    (void)arg;
    yoke__timer_arm(&w->rt->timers, w->index, &w->rt->large.timer, INT64_MAX - 1, again);
    return 0;
}

static void nothing_is_said_of_the_timer_of_large_stacks(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++) {
        assert_int_equal(run_with(leave_the_timer_of_large_stacks, NULL, OPTIONS(.workers = workers, .debug = "on")), 0);
        assert_string_equal(reports, "");
    }
}

static void never(struct yoke__timer *timer, void *batch)
{
    (void)timer;
    (void)batch;
}

static struct yoke__timer timer;
static struct yoke__node aside = { .kind = YOKE__NODE_FIBER };

static int take(void *arg)
{
    struct yoke__worker *w = yoke__self();
    struct yoke_runtime *rt = w->rt;
    int what = *(int *)arg, err;
    if (what < YOKE__BLOCK_CLASSES) {
        check(yoke__block_get(&rt->blocks, &w->head.blocks, (enum yoke__block_class)what) != NULL);
        check(yoke__block_get(&rt->blocks, &w->head.blocks, (enum yoke__block_class)what) != NULL);
        return 0;
    }
    switch (what - YOKE__BLOCK_CLASSES) {
    case 0:
        check(yoke__stack_alloc(&rt->stacks) != NULL);
        break;
    case 1:
        yoke__timer_arm(&rt->timers, w->index, &timer, INT64_MAX - 1, never);
        break;
    case 2:
        yoke__hold(rt);
        break;
    case 3:
        yoke__outside(w, 1);
        break;
    case 4:
        check(yoke__stack_alloc(yoke__large_pool(rt, 1)) != NULL);
        break;
    case 5:
        check(yoke__stack_alloc(yoke__large_pool(rt, 4)) != NULL);
        check(yoke__stack_alloc(yoke__large_pool(rt, 4)) != NULL);
        break;
    case 6:
        rt->large.aside = &aside;
        break;
    default:
        check(yoke__io_new(yoke__reactor_here(&err)) != NULL);
    }
    return 0;
}

static void each_kind_is_missed(void **state)
{
    static const char *const lines[] = {
        "not given back: 2 tasks with a small argument\n", "not given back: 2 tasks with a larger argument\n",
        "not given back: 2 tasks with a large argument\n", "not given back: 2 scopes\n", "not given back: 2 groups\n",
        "not given back: 2 handles of tasks\n", "not given back: 2 messages of failures\n",
        "not given back: 2 deferred functions, or values of slots\n", "not given back: 2 blocks of seats\n", "not given back: 1 stacks\n", "not given back: 1 timers or more\n",
        "not given back: 1 holds on the runtime\n", "not given back: 1 waits that others than tasks end\n",
        "not given back: 1 stacks\n", "not given back: 2 stacks\n", "not given back: 1 queues with something in them\n",
        "not given back: 1 records of descriptors\n"
    };
    (void)state;
    leaves_something = true;
    for (int what = 0; what < (int)(sizeof lines / sizeof *lines); what++) {
        char line[128];
        snprintf(line, sizeof line, "yoke: %s", lines[what]);
        assert_int_equal(run_with(take, &what, OPTIONS(.workers = 2, .debug = "on")), 0);
        assert_string_equal(reports, line);
        assert_int_equal(run_with(take, &what, OPTIONS(.workers = 2)), 0);
        assert_string_equal(reports, "");
    }
    leaves_something = false;
}

static void nothing_is_said_of_a_signal_that_came_too_late(void **state)
{
    struct yoke__node signals[2] = { { .kind = YOKE__NODE_SIGNAL }, { .kind = YOKE__NODE_SIGNAL } }, other = { .kind = YOKE__NODE_FIBER };
    struct yoke__inbox inbox;
    (void)state;
    yoke__inbox_init(&inbox);
    for (int place = 0; place <= 3; place++) { /* of the other among three; 3: it is not there */
        for (int i = 0, k = 0; i < 3; i++)
            if (i == place)
                yoke__inbox_push(&inbox, &other);
            else if (k < 2)
                yoke__inbox_push(&inbox, &signals[k++]);
        assert_int_equal(yoke__leftover_among(yoke__inbox_take(&inbox)), place < 3);
    }
    assert_false(yoke__leftover_among(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_said_of_what_is_given_back),
        cmocka_unit_test(each_kind_is_missed),
        cmocka_unit_test(nothing_is_said_of_a_signal_that_came_too_late),
        cmocka_unit_test(nothing_is_said_of_the_timer_of_large_stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
