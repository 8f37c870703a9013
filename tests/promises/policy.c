/* What the end of a child means to its group: ANY, services, results one by one, on_done; and their races. */
#include "support.h"

/* ---- small tasks ---- */

struct job {
    int rc;     /* to return */
    int yields; /* before, unless cut */
    int *count; /* incremented at the end */
};

static int work(void *arg)
{
    struct job *job = arg;
    for (int i = 0; i < job->yields; i++)
        if (yoke_yield() < 0)
            break;
    if (job->count != NULL)
        add(job->count, 1);
    return job->rc;
}

static int sleep_long(void *arg)
{
    int rc = yoke_sleep_until(YOKE_NEVER);
    if (arg != NULL)
        add((int *)arg, 1);
    return rc;
}

/* Is cut, and yet succeeds. */
static int sleep_and_succeed(void *arg)
{
    (void)sleep_long(arg);
    return 0;
}

/* ---- ANY ---- */

static int any_table(void *arg)
{
    (void)arg;
    { /* row 1: whatever the losers and the body came to */
        int cut = 0;
        yoke_group_report report = { .size = sizeof report };
        YOKE_GROUP(g, .policy = YOKE_ANY, .need = 2);
        check_int(yoke_spawn(g, work, struct job, .rc = -EIO), 0);
        check_int(yoke_spawn_ptr(g, sleep_long, &cut), 0);
        check_int(yoke_spawn(g, work, struct job, .rc = 3, .yields = 2), 0);
        check_int(yoke_spawn(g, work, struct job, .rc = 0, .yields = 3), 0);
        check_int(yoke_sleep_until(YOKE_NEVER), -ECANCELED); /* the second success cancels the body too */
        check_int(yoke_spawn(g, work, struct job, .rc = 0), -ECANCELED);
        check_int(yoke_group_close_report(g, -EXDEV, &report), 0);
        check_int(cut, 1);
        check_int(report.failed, 1);
        check_int(report.cancelled, 1);
        check_int(report.spawned, 4);
        check_int(yoke_checkpoint(), 0);
    }
    { /* need 0 is 1; a positive body is not the result */
        YOKE_GROUP(g, .policy = YOKE_ANY);
        check_int(yoke_spawn(g, work, struct job, .rc = 0), 0);
        check_int(yoke_group_close(g, 7), 0);
    }
    { /* row 1 before row 3: a loser that succeeds late */
        YOKE_GROUP(g, .policy = YOKE_ANY);
        check_int(yoke_spawn_ptr(g, sleep_and_succeed, NULL), 0);
        check_int(yoke_group_cancel(g, -EXDEV), 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    { /* row 2: its deadline prevented k */
        YOKE_GROUP(g, .policy = YOKE_ANY, .need = 2);
        check_int(yoke_spawn(g, work, struct job, .rc = 0), 0);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_group_set_deadline(g, yoke_after(YOKE_US(100))), 0);
        check_int(yoke_group_close(g, 0), -ETIMEDOUT);
    }
    { /* row 3: also before the failures */
        YOKE_GROUP(g, .policy = YOKE_ANY, .need = 2);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_group_cancel(g, -EXDEV), 0);
        check_int(yoke_group_close(g, -EIO), -EXDEV);
    }
    { /* row 4 */
        YOKE_SCOPE(s);
        YOKE_GROUP(g, .policy = YOKE_ANY);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_scope_cancel(s, -EDOM), 0);
        check_int(yoke_group_close(g, 0), -ECANCELED);
        check_int(yoke_scope_close(s, -ECANCELED), -EDOM);
    }
    { /* row 5: the first failure; the rest, which can no longer be enough, is cancelled once the owner is in close */
        int cut = 0;
        YOKE_GROUP(g, .policy = YOKE_ANY, .need = 2);
        check_int(yoke_spawn_ptr(g, sleep_long, &cut), 0);
        yoke_task first;
        int result;
        check_int(yoke_spawn_with(g, (.handle = &first), work, struct job, .rc = -EIO), 0);
        check_int(yoke_task_await(first, &result), 0);
        check_int(yoke_spawn(g, work, struct job, .rc = -EXDEV), 0);
        check_int(yoke_group_close(g, 0), -EIO);
        check_int(cut, 1);
    }
    { /* the body's: it does not cancel */
        int count = 0;
        YOKE_GROUP(g, .policy = YOKE_ANY, .need = 2);
        check_int(yoke_spawn(g, work, struct job, .yields = 3, .count = &count), 0);
        check_int(yoke_spawn(g, work, struct job, .rc = -EIO, .yields = 20), 0);
        int rc = yoke_group_close(g, -EDOM);
        check(rc == -EDOM || (rc == -EIO && yoke_workers() > 1)); /* elsewhere a child may fail before the body is in close */
        check_int(count, 1);
        YOKE_GROUP(h, .policy = YOKE_ANY);
        check_int(yoke_spawn(h, work, struct job, .yields = 3), 0);
        check_int(yoke_group_close(h, -EDOM), 0);
    }
    { /* fewer than k were ever spawned: known as soon as the owner is in close */
        YOKE_GROUP(g, .policy = YOKE_ANY, .need = 3);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_spawn(g, work, struct job, .rc = 0), 0);
        check_int(yoke_group_close(g, 0), -EINVAL);
        YOKE_GROUP(none, .policy = YOKE_ANY);
        check_int(yoke_group_close(none, 0), -EINVAL);
    }
    { /* losers cancelled by their handles */
        yoke_task h;
        YOKE_GROUP(g, .policy = YOKE_ANY);
        check_int(yoke_spawn_ptr_with(g, (.handle = &h), sleep_long, NULL), 0);
        check_int(yoke_task_cancel(h), 0);
        check_int(yoke_group_close(g, 0), -ECANCELED);
        check_int(yoke_checkpoint(), 0);
    }
    { /* misuse */
        yoke_group_options options = { .size = sizeof options, .policy = YOKE_COLLECT, .need = 1 };
        check_int(yoke_group_close(yoke_group_open(&options), 0), -EINVAL);
        options = (yoke_group_options){ .size = sizeof options, .policy = (enum yoke_policy)(YOKE_ANY + 1) };
        check_int(yoke_group_close(yoke_group_open(&options), 0), -EINVAL);
    }
    { /* with a limit: the waiting for room ends too */
        YOKE_GROUP(g, .policy = YOKE_ANY, .limit = 2);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_spawn(g, work, struct job, .rc = 0, .yields = 5), 0);
        int rc = yoke_spawn_ptr(g, sleep_long, NULL);
        check(rc == -ECANCELED || rc == 0);
        check_int(yoke_group_close(g, rc), 0);
    }
    return 0;
}

static int any_inherits(void *arg)
{
    (void)arg;
    YOKE_GROUP(g, .policy = YOKE_ANY);
    check_int(yoke_spawn(g, work, struct job, .rc = 0), 0);
    return yoke_group_close(g, 0);
}

static void any_closes_as_its_table_says(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(20); i++)
        for (int workers = 1; workers <= 4; workers++) {
            assert_int_equal(run(workers, any_table, NULL), 0);
            assert_int_equal(run(workers, any_inherits, NULL), 0);
        }
}

/* ---- results, one by one ---- */

static int fail_loudly(void *arg)
{
    return yoke_fail(-EIO, "number %d", *(int *)arg);
}

static int ask_foreign(void *arg)
{
    yoke_done done;
    check_int(yoke_group_next(*(yoke_group *)arg, &done), -EPERM);
    return 0;
}

static int collect_results(void *arg)
{
    (void)arg;
    yoke_done done;
    { /* each once, with what it was given */
        int seen[50] = { 0 }, failed = 0;
        yoke_group_report report = { .size = sizeof report };
        YOKE_GROUP(g, .policy = YOKE_COLLECT, .results = true);
        for (int i = 0; i < 50; i++)
            check_int(i % 5 == 0 ? yoke_spawn(g, fail_loudly, int, i) : yoke_spawn(g, work, struct job, .rc = i, .yields = i % 4), 0);
        for (int i = 0; i < 50; i++) {
            check_int(yoke_group_next(g, &done), 0);
            check(!done.cancelled && done.task_id != 0 && done.site != NULL);
            if (done.code < 0) {
                char text[32];
                int number = *(int *)done.arg;
                snprintf(text, sizeof text, "number %d", number);
                check(strcmp(done.message, text) == 0);
                check(strcmp(done.task, "fail_loudly") == 0);
                seen[number]++;
                failed++;
            } else {
                check_int(((struct job *)done.arg)->rc, done.code);
                check_int(done.message[0], '\0');
                seen[done.code]++;
            }
        }
        for (int i = 0; i < 50; i++)
            check_int(seen[i], 1);
        check_int(failed, 10);
        check_int(yoke_group_next(g, &done), -ENODATA);
        check_int(yoke_group_next(g, &done), -ENODATA);
        check_int(yoke_spawn(g, work, struct job, .rc = 4), 0); /* and there may come more */
        check_int(yoke_group_next(g, &done), 0);
        check_int(done.code, 4);
        check_int(yoke_group_close_report(g, 0, &report), 0);
        check_int(report.failed, 10);
        check_int(report.kept, 0);
        check_int(yoke_group_next(g, &done), -EINVAL);
    }
    { /* not fetched: they go with the group */
        YOKE_GROUP(g, .results = true, .policy = YOKE_COLLECT);
        for (int i = 0; i < 20; i++)
            check_int(yoke_spawn(g, fail_loudly, int, i), 0);
        check_int(yoke_group_next(g, &done), 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    { /* in the order in which they end */
        YOKE_GROUP(g, .results = true);
        for (int i = 0; i < 3; i++) {
            yoke_task h;
            int result;
            check_int(yoke_spawn_with(g, (.handle = &h), work, struct job, .rc = i), 0);
            check_int(yoke_task_await(h, &result), 0);
        }
        for (int i = 0; i < 3; i++) {
            check_int(yoke_group_next(g, &done), 0);
            check_int(done.code, i);
        }
        check_int(yoke_group_close(g, 0), 0);
    }
    { /* a cancellation point, checked first; the result is not lost by it */
        yoke_task h;
        int result;
        YOKE_GROUP(g, .results = true);
        check_int(yoke_spawn_with(g, (.handle = &h), work, struct job, .rc = 2), 0);
        check_int(yoke_task_await(h, &result), 0);
        {
            YOKE_SCOPE(s);
            check_int(yoke_scope_cancel(s, 0), 0);
            check_int(yoke_group_next(g, &done), -ECANCELED);
            check_int(yoke_scope_close(s, 0), 0);
        }
        check_int(yoke_group_next(g, &done), 0);
        check_int(done.code, 2);
        {
            YOKE_SCOPE(s, .deadline = yoke_after(YOKE_US(50)));
            check_int(yoke_spawn_ptr_with(g, (.handle = &h), sleep_long, NULL), 0);
            check_int(yoke_group_next(g, &done), -ECANCELED); /* while it waits */
            check_int(yoke_scope_close(s, -ECANCELED), -ETIMEDOUT);
        }
        check_int(yoke_task_cancel(h), 0);
        check_int(yoke_group_next(g, &done), 0);
        check_int(done.code, -ECANCELED);
        check(done.cancelled);
        check_int(yoke_group_close(g, 0), 0);
    }
    { /* the group's failure cuts its owner here as elsewhere, but a result that comes at that moment is still handed out */
        YOKE_GROUP(g, .results = true);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_spawn(g, fail_loudly, int, 1), 0);
        int rc;
        while ((rc = yoke_group_next(g, &done)) == 0)
            check(done.code == -EIO || (done.code == -ECANCELED && done.cancelled));
        check_int(rc, -ECANCELED);
        check_int(yoke_group_close(g, rc), -EIO);
    }
    { /* with ANY: the winners */
        YOKE_GROUP(g, .policy = YOKE_ANY, .need = 3, .results = true);
        check_int(yoke_spawn(g, work, struct job, .rc = 5), 0);
        check_int(yoke_group_next(g, &done), 0);
        check_int(done.code, 5);
        check_int(yoke_group_cancel(g, -EXDEV), 0);
        check_int(yoke_group_close(g, 0), -EXDEV);
    }
    { /* misuse */
        YOKE_GROUP(plain);
        check_int(yoke_group_next(plain, &done), -EINVAL);
        YOKE_GROUP(g, .results = true);
        check_int(yoke_group_next(g, NULL), -EINVAL);
        check_int(yoke_spawn_ptr(g, ask_foreign, &g), 0);
        check_int(yoke_group_next(g, &done), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(yoke_group_close(plain, 0), 0);
    }
    return 0;
}

static void results_are_handed_out_one_by_one(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(20); i++)
        for (int workers = 1; workers <= 4; workers++)
            assert_int_equal(run(workers, collect_results, NULL), 0);
}

/* ---- on_done ---- */

struct told {
    int inside, calls, sum, cancel_at, spawn_at;
    uint64_t id;
    yoke_group group;
};

static int on_done(void *ctx, const yoke_done *done)
{
    struct told *told = ctx;
    check_int(add(&told->inside, 1), 0); /* one at a time */
    told->calls++;                       /* and so in need of no atomics */
    told->sum += done->code;
    check(done->task_id != 0 && done->task_id == yoke_task_id());
    if (told->calls == told->spawn_at)
        check_int(yoke_spawn(told->group, work, struct job, .rc = 1000), 0);
    add(&told->inside, -1);
    return told->calls == told->cancel_at ? YOKE_CANCEL_GROUP : YOKE_GO_ON;
}

/* It must not, but if it leaves things open they are closed. */
static int untidy(void *ctx, const yoke_done *done)
{
    (void)done;
    add((int *)ctx, 1);
    (void)yoke_scope_open(NULL);
    return yoke_fail(YOKE_GO_ON, "nothing");
}

static int tell_of_each(void *arg)
{
    (void)arg;
    for (int kept = 0; kept <= 1; kept++) { /* all before close returns, on their own and beside results */
        struct told told = { .spawn_at = 7 };
        yoke_done done;
        YOKE_GROUP(g, .on_done = on_done, .on_done_ctx = &told, .results = kept, .limit = kept ? 100 : 0);
        told.group = g;
        for (int i = 0; i < 40; i++)
            check_int(yoke_spawn(g, work, struct job, .rc = i, .yields = i % 3), 0);
        int n = 0, sum = 0;
        for (; kept && yoke_group_next(g, &done) == 0; n++)
            sum += done.code;
        check_int(n, kept ? 41 : 0);
        check_int(sum, kept ? 1780 : 0);
        check_int(yoke_group_close(g, 3), 3);
        check_int(told.calls, 41);
        check_int(told.sum, 1780);
    }
    { /* it may cancel: reason 0 */
        struct told told = { .cancel_at = 2 };
        int cut = 0;
        YOKE_GROUP(g, .on_done = on_done, .on_done_ctx = &told, .policy = YOKE_COLLECT);
        check_int(yoke_spawn_ptr(g, sleep_long, &cut), 0);
        check_int(yoke_spawn(g, work, struct job, .rc = -EIO), 0);
        check_int(yoke_spawn(g, work, struct job, .rc = 6), 0);
        check_int(yoke_group_close(g, 9), 0);
        check_int(cut, 1);
        check_int(told.calls, 3);
        check_int(told.sum, 6 - EIO - ECANCELED);
    }
    { /* failures kept for the report are told as well, and the way of the first is inherited */
        struct told told = { .calls = 0 };
        YOKE_GROUP(g, .on_done = on_done, .on_done_ctx = &told);
        check_int(yoke_spawn(g, fail_loudly, int, 8), 0);
        check_int(yoke_group_close(g, 0), -EIO);
        check_int(told.calls, 1);
        check(strcmp(yoke_message(-EIO), "number 8") == 0);
    }
    { /* and services are not */
        struct told told = { .calls = 0 };
        YOKE_GROUP(g, .on_done = on_done, .on_done_ctx = &told);
        check_int(yoke_spawn_ptr_with(g, (.service = true), sleep_long, NULL), 0);
        check_int(yoke_spawn(g, work, struct job, .rc = 1), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(told.calls, 1);
    }
    {
        int calls = 0;
        YOKE_GROUP(g, .on_done = untidy, .on_done_ctx = &calls);
        for (int i = 0; i < 5; i++)
            check_int(yoke_spawn(g, work, struct job, .rc = i), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(calls, 5);
        check_int(yoke_checkpoint(), 0);
    }
    return 0;
}

static void on_done_is_told_of_each_one_at_a_time(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(20); i++)
        for (int workers = 1; workers <= 4; workers++)
            assert_int_equal(run(workers, tell_of_each, NULL), 0);
}

/* ---- services ---- */

struct service {
    yoke_group group;
    int *serving, *ended, *others;
    int rc;
};

/* Serves until it is told to end, which must not be before the others have ended. */
static int serve(void *arg)
{
    struct service *s = arg;
    add(s->serving, 1);
    int rc = yoke_sleep_until(YOKE_NEVER);
    check_int(rc, -ECANCELED);
    check_int(load(s->others), 3);
    int more = yoke_spawn_ptr(s->group, sleep_long, NULL); /* only services are left */
    check(more == -ESHUTDOWN || more == -ECANCELED);
    yoke_task h;
    more = yoke_spawn_ptr_with(s->group, (.service = true, .handle = &h), sleep_long, NULL);
    check(more == -ESHUTDOWN || more == -ECANCELED);
    add(s->ended, 1);
    return s->rc < 0 ? s->rc : rc;
}

/* Needs the service; is cut only when the group is. */
static int need_service(void *arg)
{
    struct service *s = arg;
    while (load(s->serving) < 2)
        if (yoke_yield() < 0)
            break;
    int rc = s->rc < 0 ? yoke_sleep_until(YOKE_NEVER) : 0;
    add(s->others, 1);
    return rc;
}

static int services(void *arg)
{
    (void)arg;
    for (int cancelled = 0; cancelled <= 1; cancelled++) {
        int serving = 0, ended = 0, others = 0;
        yoke_group_report report = { .size = sizeof report };
        struct service s = { .serving = &serving, .ended = &ended, .others = &others, .rc = cancelled ? -1 : 0 };
        YOKE_GROUP(g, .limit = 3, .grace = YOKE_NEVER); /* services take no room */
        s.group = g;
        struct service quiet = s;
        quiet.rc = 0;
        check_int(yoke_spawn_task(g, serve, &quiet, sizeof quiet, &(yoke_spawn_options){ .size = sizeof(yoke_spawn_options), .service = true }), 0);
        check_int(yoke_spawn_task(g, serve, &quiet, sizeof quiet,
                                  &(yoke_spawn_options){ .size = sizeof(yoke_spawn_options), .service = true, .pinned = true, .worker = 0 }),
                  0);
        for (int i = 0; i < 3; i++)
            check_int(yoke_spawn_task(g, need_service, &s, sizeof s, NULL), 0);
        if (cancelled) { /* they are shielded from it, too */
            while (load(&serving) < 2)
                check_int(yoke_yield(), 0);
            check_int(yoke_group_stop(g), 0);
            check_int(yoke_group_cancel(g, -EXDEV), 0);
        }
        check_int(yoke_group_close_report(g, 5, &report), cancelled ? -EXDEV : 5);
        check_int(others, 3);
        check_int(ended, 2);
        check_int(report.spawned, 5);
        check_int(report.cancelled, cancelled ? 5 : 2);
        check_int(report.failed, 0);
    }
    { /* the body counts among the others */
        int cut = 0;
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr_with(g, (.service = true), sleep_long, &cut), 0);
        for (int i = 0; i < 10; i++)
            check_int(yoke_yield(), 0);
        check_int(cut, 0);
        check_int(yoke_group_close(g, 2), 2);
        check_int(cut, 1);
    }
    { /* its failure is one like any other; its handle cancels it alone; its early end ends nothing */
        yoke_task h;
        YOKE_GROUP(g);
        check_int(yoke_spawn_with(g, (.service = true), fail_loudly, int, 3), 0);
        check_int(yoke_sleep_until(YOKE_NEVER), -ECANCELED);
        check_int(yoke_group_close(g, 0), -EIO);
        YOKE_GROUP(other);
        check_int(yoke_spawn_ptr_with(other, (.service = true, .handle = &h), sleep_long, NULL), 0);
        check_int(yoke_spawn_with(other, (.service = true), work, struct job, .rc = 0), 0);
        check_int(yoke_task_cancel(h), 0);
        int result = 0;
        check_int(yoke_task_await(h, &result), 0);
        check_int(result, -ECANCELED);
        check_int(yoke_checkpoint(), 0);
        check_int(yoke_group_close(other, 4), 4);
    }
    { /* an enclosing cancel that cut nobody does not count because services end */
        int count = 0;
        YOKE_SCOPE(s);
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr_with(g, (.service = true), sleep_long, &count), 0);
        check_int(yoke_scope_cancel(s, -EDOM), 0);
        check_int(yoke_group_close(g, 6), 6);
        check_int(count, 1);
        check_int(yoke_scope_close(s, 0), 0);
    }
    { /* no success for ANY, and not one of the k */
        YOKE_GROUP(g, .policy = YOKE_ANY);
        check_int(yoke_spawn_with(g, (.service = true), work, struct job, .rc = 0), 0);
        check_int(yoke_group_close(g, 0), -EINVAL);
        YOKE_GROUP(h, .policy = YOKE_ANY, .results = true);
        yoke_done done;
        check_int(yoke_spawn_ptr_with(h, (.service = true), sleep_long, NULL), 0);
        check_int(yoke_group_next(h, &done), -ENODATA);
        check_int(yoke_spawn(h, work, struct job, .rc = 0), 0);
        check_int(yoke_group_close(h, 0), 0);
    }
    return 0;
}

static void services_end_after_all_others(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(20); i++)
        for (int workers = 1; workers <= 4; workers++)
            assert_int_equal(run(workers, services, NULL), 0);
}

/* ---- races ---- */

static uint64_t random_state;

static uint64_t fresh(void)
{
    return add(&random_state, 0x9e3779b97f4a7c15u) + seed();
}

#define REPEAT(n) for (int round = repetitions(n); round > 0; round--)

struct racer {
    uint64_t random;
    yoke_group group;
    int *successes, *entered;
    int depth;
};

/* Succeeds or fails; may be cut. */
static int race_to_the_end(void *arg)
{
    struct racer *me = arg;
    add(me->entered, 1);
    jitter(&me->random);
    if (next_random(&me->random) % 2)
        return -EIO;
    add(me->successes, 1);
    return 0;
}

static int race_any(void *arg)
{
    bool exact = arg != NULL;
    for (int i = 0; i < 10; i++) {
        uint64_t r = fresh();
        int successes = 0, entered = 0, spawned = 0;
        unsigned need = 1 + (unsigned)(next_random(&r) % 3);
        yoke_group_report report = { .size = sizeof report };
        YOKE_GROUP(g, .policy = YOKE_ANY, .need = need, .limit = next_random(&r) % 2 ? 2 : 0);
        for (int n = 0; n < 5; n++) {
            int rc = yoke_spawn(g, race_to_the_end, struct racer, .random = next_random(&r), .successes = &successes, .entered = &entered);
            check(rc == 0 || rc == -ECANCELED);
            spawned += rc == 0;
            if (!exact)
                jitter(&r);
        }
        int rc = yoke_group_close_report(g, 0, &report);
        check_int(entered, spawned);
        check_int(report.spawned, spawned);
        check_int(rc, successes >= (int)need ? 0 : -EIO); /* nobody else cancels: decided by the children alone */
        check_int(report.failed + report.cancelled + (uint64_t)successes, spawned);
    }
    return 0;
}

static void successes_against_failures(void **state)
{
    (void)state;
    int exact = 1;
    REPEAT(50)
        assert_int_equal(run(1, race_any, &exact), 0);
    REPEAT(1500)
        assert_int_equal(run(4, race_any, NULL), 0);
}

/* Grows a tree into one group; each node is a child of it. */
static int grow(void *arg)
{
    struct racer *me = arg;
    add(me->entered, 1);
    for (uint64_t n = me->depth > 0 ? next_random(&me->random) % 3 : 0; n > 0; n--) {
        jitter(&me->random);
        int rc = yoke_spawn(me->group, grow, struct racer, .random = next_random(&me->random), .group = me->group, .entered = me->entered,
                            .depth = me->depth - 1);
        check(rc == 0 || rc == -ECANCELED);
    }
    jitter(&me->random);
    return next_random(&me->random) % 4 == 0 ? -EIO : 1;
}

static int cancel_sometime(void *arg)
{
    struct racer *me = arg;
    jitter(&me->random);
    int rc = yoke_group_cancel(me->group, -EXDEV);
    check(rc == 0 || rc == -EINVAL);
    return 0;
}

static int count_told(void *ctx, const yoke_done *done)
{
    (void)done;
    ++*(int *)ctx; /* one call at a time */
    return YOKE_GO_ON;
}

static int race_next(void *arg)
{
    bool exact = arg != NULL;
    for (int i = 0; i < 10; i++) {
        uint64_t r = fresh();
        int entered = 0, told = 0, handed = 0;
        bool cancelled = !exact && next_random(&r) % 2;
        yoke_done done;
        YOKE_GROUP(outside);
        bool telling = next_random(&r) % 2;
        YOKE_GROUP(g, .policy = YOKE_COLLECT, .results = true, .on_done = telling ? count_told : NULL, .on_done_ctx = &told);
        if (cancelled)
            check_int(yoke_spawn(outside, cancel_sometime, struct racer, .random = next_random(&r), .group = g), 0);
        for (int n = 0; n < 3; n++) {
            int rc = yoke_spawn(g, grow, struct racer, .random = next_random(&r), .group = g, .entered = &entered, .depth = 4);
            check(rc == 0 || (cancelled && rc == -ECANCELED));
        }
        int rc;
        while ((rc = yoke_group_next(g, &done)) == 0) {
            handed++;
            check(done.code == 1 || done.code == -EIO);
        }
        if (rc == -ENODATA)
            check_int(handed, load(&entered)); /* none is left, none is lost, none comes after */
        else
            check(cancelled && rc == -ECANCELED);
        rc = yoke_group_close(g, 0);
        check(rc == 0 || (cancelled && rc == -EXDEV));
        check_int(told, telling ? entered : 0);
        check(handed <= entered);
        check_int(yoke_group_close(outside, 0), 0);
    }
    return 0;
}

static void next_against_spawn_and_cancel(void **state)
{
    (void)state;
    int exact = 1;
    REPEAT(50)
        assert_int_equal(run(1, race_next, &exact), 0);
    REPEAT(1000)
        assert_int_equal(run(4, race_next, NULL), 0);
}

/* Spawns children and services into its group until it is refused: that may be at any moment of the close. */
static int serve_and_spawn(void *arg)
{
    struct racer *me = arg;
    int rc = 0;
    add(me->entered, 1);
    for (int n = 0; n < 20 && rc == 0; n++) {
        jitter(&me->random);
        if (me->depth > 0 && next_random(&me->random) % 4 == 0)
            rc = yoke_spawn_with(me->group, (.service = true), serve_and_spawn, struct racer, .random = next_random(&me->random),
                                 .group = me->group, .entered = me->entered, .successes = me->successes, .depth = me->depth - 1);
        else if (next_random(&me->random) % 2)
            rc = yoke_spawn(me->group, work, struct job, .yields = (int)(next_random(&me->random) % 3), .count = me->successes);
        if (rc == 0 || rc == -EAGAIN)
            rc = yoke_yield();
        else
            check(rc == -ESHUTDOWN || rc == -ECANCELED);
    }
    if (rc == 0)
        check_int(yoke_sleep_until(YOKE_NEVER), -ECANCELED); /* what it has spawned has ended then */
    add(me->entered, -1);
    return 0;
}

static int race_services(void *arg)
{
    bool exact = arg != NULL;
    for (int i = 0; i < 5; i++) {
        uint64_t r = fresh();
        int serving = 0, done = 0;
        yoke_group_report report = { .size = sizeof report };
        YOKE_GROUP(g, .policy = YOKE_COLLECT, .limit = exact ? 0 : next_random(&r) % 2 ? 2 : 0);
        for (uint64_t n = 1 + next_random(&r) % 2; n > 0; n--)
            check_int(yoke_spawn_with(g, (.service = true), serve_and_spawn, struct racer, .random = next_random(&r), .group = g,
                                      .entered = &serving, .successes = &done, .depth = 1), 0);
        for (uint64_t n = next_random(&r) % 3; n > 0; n--)
            check_int(yoke_spawn(g, work, struct job, .yields = (int)(next_random(&r) % 5), .count = &done), 0);
        jitter(&r);
        if (next_random(&r) % 2)
            check_int(yoke_group_cancel(g, 0), 0);
        check_int(yoke_group_close_report(g, 0, &report), 0);
        check_int(serving, 0);
        check_int(report.failed, 0);
        check((uint64_t)done < report.spawned); /* the services are among those */
    }
    return 0;
}

static void services_against_close(void **state)
{
    (void)state;
    int exact = 1;
    REPEAT(50)
        assert_int_equal(run(1, race_services, &exact), 0);
    REPEAT(1000)
        assert_int_equal(run(4, race_services, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_closes_as_its_table_says),
        cmocka_unit_test(results_are_handed_out_one_by_one),
        cmocka_unit_test(on_done_is_told_of_each_one_at_a_time),
        cmocka_unit_test(services_end_after_all_others),
        cmocka_unit_test(successes_against_failures),
        cmocka_unit_test(next_against_spawn_and_cancel),
        cmocka_unit_test(services_against_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
