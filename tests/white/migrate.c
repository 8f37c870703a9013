/* migrate = always, for every way to be suspended: whoever left its stack is continued on it by another worker. */
#include "support.h"

#include "core.h"

enum { SUSPENSIONS = 30, GIVE_UP = 100000 };

static int left, stayed; /* how often a stack was left; how often it was continued by the worker that had left it */

/* One call, after which is known whether it left the stack: then, and only then, its record names who did. */
static void suspend_by(int (*call)(void *arg), void *arg)
{
    struct yoke__fiber *fiber = yoke__self()->fiber;
    fiber->last = NULL;
    check_int(call(arg), 0);
    check(yoke__self()->fiber == fiber);
    if (fiber->last == NULL)
        return;
    left++;
    stayed += fiber->last == yoke__self();
}

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

static int wait_until_it_runs(void *arg)
{
    while (load((int *)arg) == 0)
        sched_yield();
    return 0;
}

/* ---- the ways ---- */

static int by_sleep(void *arg)
{
    (void)arg;
    return yoke_sleep(YOKE_US(100));
}

static int by_blocking(void *arg)
{
    (void)arg;
    return yoke_blocking(nothing, NULL);
}

/* The child is another worker's, and lasts longer than who closes looks for its end before leaving. */
static int by_close(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = (yoke_worker_index() + 1) % yoke_workers()), by_sleep, NULL), 0);
    return yoke_group_close(g, 0);
}

static int begin_and_yield(void *arg)
{
    store((int *)arg, 1);
    return yoke_yield();
}

/* The fork has begun elsewhere. */
static int by_join(void *arg)
{
    int begun = 0;
    yoke_forked f;
    (void)arg;
    yoke_fork(&f, begin_and_yield, &begun);
    (void)wait_until_it_runs(&begun);
    return yoke_join(&f);
}

static int by_await(void *arg)
{
    yoke_task child;
    int result = 1;
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.handle = &child), yield, NULL), 0);
    check_int(yoke_task_await(child, &result), 0);
    return yoke_group_close(g, result);
}

static int set(void *arg)
{
    return yoke_event_set(arg);
}

static int by_event(void *arg)
{
    yoke_event event = { 0 };
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, set, &event), 0);
    check_int(yoke_event_wait(&event), 0);
    return yoke_group_close(g, 0);
}

static int sleep_long(void *arg)
{
    return yoke_sleep_until(YOKE_NEVER) == -ECANCELED ? 0 : *(int *)arg;
}

static int cancel(void *arg)
{
    int rc = yoke_scope_cancel(*(yoke_scope *)arg, 0);
    return rc == -EINVAL ? 0 : rc;
}

static int by_cancelled_sleep(void *arg)
{
    int wrong = -EIO;
    (void)arg;
    YOKE_GROUP(g);
    YOKE_SCOPE(s);
    check_int(yoke_spawn_ptr(g, cancel, &s), 0);
    check_int(sleep_long(&wrong), 0);
    check_int(yoke_scope_close(s, 0), 0);
    return yoke_group_close(g, 0);
}

static int by_deadline(void *arg)
{
    int wrong = -EIO;
    (void)arg;
    YOKE_SCOPE(s, .deadline = yoke_after(YOKE_US(100)));
    return yoke_scope_close(s, sleep_long(&wrong));
}

static int feed(void *arg)
{
    return write(*(int *)arg, "x", 1) == 1 ? 0 : -EIO;
}

/* Woken by the poll. */
static int by_descriptor(void *arg)
{
    int ends[2];
    char byte;
    (void)arg;
    check_int(pipe(ends), 0);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, feed, &ends[1]), 0);
    check_int(yoke_fd_readable(ends[0]), 0);
    check_int(read(ends[0], &byte, 1), 1);
    check_int(yoke_fd_forget(ends[0]), 0);
    int rc = yoke_group_close(g, 0);
    close(ends[0]);
    close(ends[1]);
    return rc;
}

static int each_way(void *arg)
{
    static const struct {
        int (*call)(void *arg);
        const char *name;
    } ways[] = { { yield, "yield" },          { by_sleep, "sleep" },
                 { by_blocking, "blocking" }, { by_close, "close" },
                 { by_join, "join" },         { by_await, "await" },
                 { by_event, "event" },       { by_cancelled_sleep, "cancelled sleep" },
                 { by_deadline, "deadline" }, { by_descriptor, "descriptor" } };
    (void)arg;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        left = stayed = 0;
        for (int n = 0; left < SUSPENSIONS; n++) {
            suspend_by(ways[i].call, NULL);
            if (n == GIVE_UP || stayed > 0)
                break;
        }
        if (stayed > 0 || left < SUSPENSIONS)
            print_error("%s: left %d times, %d of them not migrated\n", ways[i].name, left, stayed);
        check_int(stayed, 0);
        check_int(left, SUSPENSIONS);
    }
    return 0;
}

static void no_way_to_be_suspended_stays(void **state)
{
    (void)state;
    for (int workers = 2; workers <= 4; workers++)
        assert_int_equal(run_with(each_way, NULL, OPTIONS(.workers = workers, .migrate = "always")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_way_to_be_suspended_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
