/* YOKE_NOSUSPEND: what is suspended inside is reported, with task and places; nothing else is. */
#include "support.h"

static int lines(void)
{
    int n = 0;
    pthread_mutex_lock(&reports_lock);
    for (const char *at = reports; (at = strstr(at, "inside YOKE_NOSUSPEND")) != NULL; at++)
        n++;
    pthread_mutex_unlock(&reports_lock);
    return n;
}

/* One line more, which says all this; `line` is where the block stands. */
static void check_reported_at(int at, int before, const char *task, const char *what, int line)
{
    char text[64];
    const char *last = reports;
    if (lines() != before + 1) {
        note_failure(__FILE__, at, "lines of report", lines(), before + 1, 1);
        return;
    }
    pthread_mutex_lock(&reports_lock);
    for (const char *next = last; (next = strstr(next, "yoke: task")) != NULL; next++)
        last = next;
    snprintf(text, sizeof text, "task '%s' (", task);
    bool named = strstr(last, text) != NULL || (strcmp(task, "main") == 0 && strstr(last, "task 'main' ") != NULL);
    snprintf(text, sizeof text, "is suspended (%s) inside YOKE_NOSUSPEND (", what);
    bool said = strstr(last, text) != NULL;
    snprintf(text, sizeof text, "nosuspend.c:%d)\n", line);
    bool placed = strstr(last, text) != NULL;
    pthread_mutex_unlock(&reports_lock);
    if (!named || !said || !placed)
        note_failure(__FILE__, at, "what the last line says", 0, 0, 0);
}
#define check_reported(...) check_reported_at(__LINE__, __VA_ARGS__)

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int yield(void *arg)
{
    (void)arg;
    return yoke_yield();
}

/* ---- reported ---- */

static int release(void *arg)
{
    return yoke_semaphore_release(arg);
}

static int cancel(void *arg)
{
    return yoke_scope_cancel(*(yoke_scope *)arg, 0);
}

/* A child, so that its place is known: on one worker nobody else runs before it is suspended. */
static int each_way(void *arg)
{
    int line = 0;
    yoke_semaphore none;
    (void)arg;
    check_int(yoke_semaphore_init(&none, 0, 1), 0);
    YOKE_GROUP(g);
    YOKE_SCOPE(s);
    check_int(yoke_spawn_ptr(g, release, &none), 0);
    YOKE_NOSUSPEND {
        line = __LINE__ - 1;
        check_int(yoke_yield(), 0);
        check_reported(0, "each_way", "yield", line);
    }
    check_int(yoke_semaphore_acquire(&none), 0);
    check_int(yoke_spawn_ptr(g, release, &none), 0);
    YOKE_NOSUSPEND {
        line = __LINE__ - 1;
        check_int(yoke_semaphore_acquire(&none), 0);
        check_reported(1, "each_way", "semaphore", line);
        check_int(yoke_spawn_ptr(g, cancel, &s), 0);
        check_int(yoke_sleep_until(YOKE_NEVER), -ECANCELED);
        check_reported(2, "each_way", "sleep", line);
    }
    check_int(yoke_scope_close(s, 0), 0);
    YOKE_NOSUSPEND {
        line = __LINE__ - 1;
        check_int(yoke_spawn_ptr_with(g, (.pinned = true), nothing, NULL), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_reported(3, "each_way", "close", line);
    }
    return 0;
}

static int have_a_child(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, each_way, NULL), 0);
    return yoke_group_close(g, 0);
}

static void a_suspension_inside_is_reported(void **state)
{
    (void)state;
    assert_int_equal(run(1, have_a_child, NULL), 0);
    assert_int_equal(lines(), 4);
}

/* A child that close calls on the owner's stack takes that stack along when it blocks. */
static int close_inside(void *arg)
{
    int line = 0;
    (void)arg;
    YOKE_NOSUSPEND {
        line = __LINE__ - 1;
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, yield, NULL), 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    check_reported(0, "yield", "yield", line);
    return 0;
}

static void a_child_that_blocks_on_the_stack_of_a_block_is_reported(void **state)
{
    (void)state;
    assert_int_equal(run(1, close_inside, NULL), 0);
    assert_int_equal(lines(), 1);
}

static int yield_until_reported(void *arg)
{
    store((int *)arg, 1);
    while (lines() == 0)
        YOKE_TRY(yoke_yield());
    return 0;
}

/* One that blocks elsewhere is not; waiting for it is. */
static int join_inside(void *arg)
{
    int line = 0, begun = 0;
    (void)arg;
    YOKE_NOSUSPEND {
        line = __LINE__ - 1;
        yoke_forked f;
        yoke_fork(&f, yield_until_reported, &begun);
        while (load(&begun) == 0) /* the other worker has it */
            sched_yield();
        check_int(yoke_join(&f), 0);
    }
    check_reported(0, "main", "join", line);
    return 0;
}

static void a_fork_that_blocks_elsewhere_is_not_reported_but_its_join(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(run(2, join_inside, NULL), 0);
        assert_int_equal(lines(), 1);
    }
}

/* ---- not reported ---- */

static int what_does_not_suspend(void *arg)
{
    yoke_mutex m;
    yoke_semaphore free;
    yoke_event set = { 0 };
    yoke_forked f;
    (void)arg;
    yoke_mutex_init(&m);
    check_int(yoke_semaphore_init(&free, 1, 1), 0);
    check_int(yoke_event_set(&set), 0);
    YOKE_NOSUSPEND {
        check_int(yoke_mutex_lock(&m), 0);
        check_int(yoke_mutex_unlock(&m), 0);
        check_int(yoke_semaphore_acquire(&free), 0);
        check_int(yoke_event_wait(&set), 0);
        check_int(yoke_checkpoint(), 0);
        yoke_fork(&f, nothing, NULL);
        check_int(yoke_join(&f), 0);
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, nothing, NULL), 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    check_int(yoke_yield(), 0);
    check_int(yoke_sleep(YOKE_US(100)), 0);
    return 0;
}

static void what_does_not_suspend_is_not_reported(void **state)
{
    (void)state;
    assert_int_equal(run(1, what_does_not_suspend, NULL), 0);
    assert_string_equal(reports, "");
}

/* ---- blocks in blocks, ways out ---- */

static int leave_by_return(void)
{
    YOKE_NOSUSPEND
        return 7;
    return 0;
}

static int ways_out(void *arg)
{
    int outer = 0, inner = 0, rounds = 0;
    (void)arg;
    YOKE_NOSUSPEND {
        outer = __LINE__ - 1;
        YOKE_NOSUSPEND {
            inner = __LINE__ - 1;
            check_int(yoke_yield(), 0);
            check_reported(0, "main", "yield", inner);
            rounds++;
            break;
        }
        check_int(yoke_yield(), 0);
        check_reported(1, "main", "yield", outer);
        rounds++;
        continue;
    }
    check_int(rounds, 2);
    check_int(yoke_yield(), 0);
    check_int(leave_by_return(), 7);
    check_int(yoke_yield(), 0);
    for (int i = 0; i < 3; i++) {
        YOKE_NOSUSPEND
            if (i == 1)
                goto out;
        check_int(yoke_yield(), 0);
    }
out:
    check_int(yoke_yield(), 0);
    static const yoke_site here = { "here.c", "", 5 };
    yoke_nosuspend block = yoke_nosuspend_enter(&here);
    check_int(yoke_yield(), 0);
    check(reported("inside YOKE_NOSUSPEND (here.c:5)"));
    yoke_nosuspend unknown = yoke_nosuspend_enter(NULL);
    check_int(yoke_yield(), 0);
    yoke_nosuspend_leave(&unknown);
    yoke_nosuspend_leave(&block);
    check_int(lines(), 4);
    check_int(yoke_yield(), 0);
    check_int(lines(), 4);
    return 0;
}

static void every_way_out_leaves_the_block(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++) {
        assert_int_equal(run(workers, ways_out, NULL), 0);
        assert_int_equal(lines(), 4);
    }
}

/* Others on the same workers, whatever stacks they get, are not inside. */
static int bystander(void *arg)
{
    int rc = 0;
    (void)arg;
    for (int i = 0; i < 50 && rc == 0; i++)
        rc = yoke_yield();
    return rc;
}

static int insider(void *arg)
{
    (void)arg;
    YOKE_NOSUSPEND
        check_int(yoke_yield(), 0);
    return bystander(NULL);
}

static int among_others(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < 20; i++)
        check_int(yoke_spawn_ptr(g, i % 2 ? insider : bystander, NULL), 0);
    YOKE_NOSUSPEND
        check_int(yoke_yield(), 0);
    check_int(bystander(NULL), 0);
    return yoke_group_close(g, 0);
}

static void others_are_not_inside(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++) {
        assert_int_equal(run(workers, among_others, NULL), 0);
        assert_int_equal(lines(), 11);
        assert_false(reported("'bystander'"));
    }
}

static void outside_of_a_task_it_is_a_block(void **state)
{
    (void)state;
    int n = 0;
    YOKE_NOSUSPEND
        n++;
    assert_int_equal(n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_suspension_inside_is_reported),
        cmocka_unit_test(a_child_that_blocks_on_the_stack_of_a_block_is_reported),
        cmocka_unit_test(a_fork_that_blocks_elsewhere_is_not_reported_but_its_join),
        cmocka_unit_test(what_does_not_suspend_is_not_reported),
        cmocka_unit_test(every_way_out_leaves_the_block),
        cmocka_unit_test(others_are_not_inside),
        cmocka_unit_test(outside_of_a_task_it_is_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
