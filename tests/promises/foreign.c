/* The blocking pool, and work from threads and signal handlers that are no workers. */
#include "support.h"

#include <signal.h>

/* ---- blocking ---- */

static int inside, most;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static int count_inside(void *arg)
{
    int now = add(&inside, 1) + 1, seen = load(&most);
    while (now > seen && !__atomic_compare_exchange_n(&most, &seen, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    check_int(yoke_yield(), -ENOTRECOVERABLE); /* no task here */
    check_int(yoke_worker_index(), -ENOTRECOVERABLE);
    for (int i = 0; i < 20; i++)
        sched_yield();
    add(&inside, -1);
    return *(int *)arg;
}

static int block(void *arg)
{
    int value = *(int *)arg;
    check_int(yoke_blocking(count_inside, &value), value);
    check_int(yoke_blocking_with(YOKE_BLOCKING_FILES, false, NULL, count_inside, &value), value);
    check_int(yoke_blocking_with(YOKE_BLOCKING_NAMES, false, NULL, count_inside, &value), value);
    return 0;
}

static int block_many(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < 100; i++)
        check_int(yoke_spawn(g, block, int, i - 50), 0);
    check_int(yoke_blocking(NULL, NULL), -EINVAL);
    return yoke_group_close(g, 0);
}

static void blocking_jobs_return_their_result_in_bounded_numbers(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++) {
        most = 0;
        assert_int_equal(run_with(block_many, NULL, OPTIONS(.workers = workers, .pool_user = 2, .pool_files = 1, .pool_names = 1)), 0);
        assert_in_range(most, 1, 4);
        assert_int_equal(inside, 0);
    }
}

static int entered, released;

static int wait_at_gate(void *arg)
{
    (void)arg;
    store(&entered, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    add(&entered, 1);
    return 9;
}

static int never_run(void *arg)
{
    (void)arg;
    check(0);
    return 0;
}

static void release(void *arg)
{
    check(arg == &released);
    add(&released, 1);
}

static int block_at_gate(void *arg)
{
    int *result = arg;
    *result = yoke_blocking(wait_at_gate, NULL);
    check_int(yoke_yield(), -ECANCELED); /* the cancel is pending */
    return *result;
}

static int block_behind(void *arg)
{
    int *result = arg;
    *result = yoke_blocking(never_run, NULL);
    return *result;
}

static int cancel_blocking_main(void *arg)
{
    (void)arg;
    int running = 0, queued = 0;
    entered = 0;
    pthread_mutex_lock(&gate); /* one worker, which stays on this thread */
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, block_at_gate, &running), 0);
    while (load(&entered) == 0)
        check_int(yoke_sleep(YOKE_US(50)), 0);
    check_int(yoke_spawn_ptr(g, block_behind, &queued), 0); /* the only thread is taken: this one waits in the queue */
    check_int(yoke_sleep(YOKE_MS(1)), 0);
    check_int(yoke_group_cancel(g, 0), 0);
    {
        YOKE_SCOPE(calm, .shield = true);
        while (load(&queued) == 0)
            check_int(yoke_yield(), 0);
        check_int(queued, -ECANCELED); /* it was never called */
        check_int(running, 0);         /* this one is waited for */
        check_int(entered, 1);
        pthread_mutex_unlock(&gate);
        check_int(yoke_scope_close(calm, 0), 0);
    }
    check_int(yoke_group_close(g, 0), 0);
    check_int(running, 9);
    check_int(entered, 2);
    return 0;
}

static int cancel_when_entered(void *arg)
{
    while (load(&entered) == 0)
        check_int(yoke_sleep(YOKE_US(50)), 0);
    return yoke_scope_cancel(*(yoke_scope *)arg, -EXDEV);
}

static int abandon(void *arg)
{
    (void)arg;
    entered = released = 0;
    pthread_mutex_lock(&gate);
    YOKE_GROUP(g);
    YOKE_SCOPE(s);
    check_int(yoke_spawn_ptr(g, cancel_when_entered, &s), 0);
    int rc = yoke_blocking_with(YOKE_BLOCKING_USER, true, release, wait_at_gate, &released);
    check_int(rc, -ECANCELED); /* at once, although the function runs */
    check_int(yoke_scope_close(s, rc), -EXDEV);
    check_int(released, 0);
    pthread_mutex_unlock(&gate);
    return yoke_group_close(g, 0);
}

static void a_cancel_meets_blocking_jobs_as_promised(void **state)
{
    (void)state;
    assert_int_equal(run_with(cancel_blocking_main, NULL, OPTIONS(.workers = 1, .pool_user = 1)), 0);
    assert_int_equal(run_with(abandon, NULL, OPTIONS(.workers = 1)), 0);
    assert_int_equal(entered, 2); /* the end of the run waited for it */
    assert_int_equal(released, 1);
}

/* ---- posts ---- */

enum { POSTERS = 3, POSTS = 200 };

struct poster {
    yoke_token *token;
    int *count;
    yoke_post_node nodes[POSTS];
    int posted;
};

static int increment(void *arg)
{
    add((int *)arg, 1);
    return yoke_yield() < 0 ? 0 : 0;
}

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < POSTS; i++) {
        int rc = yoke_post(p->token, &p->nodes[i], increment, p->count);
        if (rc == 0)
            p->posted++;
        else
            check_int(rc, -ESHUTDOWN);
        if (i % 10 == 0)
            sched_yield();
    }
    int twice = 0;
    int rc = yoke_call(p->token, increment, &twice);
    check(rc == -ESHUTDOWN || (rc == 0 && twice == 1));
    return NULL;
}

static struct poster posters[POSTERS];
static pthread_t threads[POSTERS];

static int receive(void *arg)
{
    int count = 0, *early = arg;
    yoke_token *token = NULL;
    YOKE_GROUP(g);
    check_int(yoke_token_acquire(&token, g), 0);
    for (int i = 0; i < POSTERS; i++) {
        memset(&posters[i], 0, sizeof posters[i]);
        check_int(yoke_token_acquire(&posters[i].token, g), 0);
        posters[i].count = &count;
        check_int(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
    }
    check_int(yoke_post(NULL, &posters[0].nodes[0], increment, &count), -EINVAL);
    check_int(yoke_call(token, increment, &count), -EBUSY); /* not in a task */
    if (!*early)
        while (load(&count) < POSTERS * POSTS)
            check_int(yoke_yield(), 0);
    int rc = yoke_group_close(g, 0); /* posts meanwhile are taken, or told -ESHUTDOWN */
    int posted = 0;
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
        posted += posters[i].posted;
        yoke_token_release(posters[i].token);
    }
    check_int(count, posted);
    if (!*early)
        check_int(posted, POSTERS * POSTS);
    yoke_token_release(token);
    yoke_token_release(NULL);
    return rc;
}

static void every_post_accepted_runs_once(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(30); i++)
        for (int workers = 1; workers <= 4; workers++)
            for (int early = 0; early <= 1; early++)
                assert_int_equal(run(workers, receive, &early), 0);
}

/* ---- from a signal handler ---- */

static yoke_token *signal_token;
static yoke_post_node signal_node;
static int signalled;

static int on_post(void *arg)
{
    add((int *)arg, 1);
    return 0;
}

static void on_signal(int signal)
{
    (void)signal;
    if (yoke_post(load(&signal_token), &signal_node, on_post, &signalled) < 0)
        abort();
}

static int await_signal(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    yoke_token *token;
    check_int(yoke_token_acquire(&token, g), 0);
    store(&signal_token, token);
    check_int(kill(getpid(), SIGUSR1), 0); /* to the thread in yoke_run: workers block all signals */
    while (load(&signalled) == 0)
        check_int(yoke_yield(), 0);
    int rc = yoke_group_close(g, 0);
    yoke_token_release(token);
    return rc;
}

static void a_signal_handler_may_post(void **state)
{
    (void)state;
    struct sigaction action = { .sa_handler = on_signal }, before;
    sigaction(SIGUSR1, &action, &before);
    signalled = 0;
    assert_int_equal(run(2, await_signal, NULL), 0);
    assert_int_equal(signalled, 1);
    sigaction(SIGUSR1, &before, NULL);
}

/* ---- options.signals ---- */

static int sleep_until_interrupted(void *arg)
{
    (void)arg;
    check_int(kill(getpid(), SIGINT), 0);
    int rc = yoke_sleep_until(YOKE_NEVER);
    check_int(rc, -ECANCELED);
    return rc;
}

static void the_first_signal_cancels_the_root(void **state)
{
    (void)state;
    struct sigaction before, after;
    sigaction(SIGINT, NULL, &before);
    assert_int_equal(run_with(sleep_until_interrupted, NULL, OPTIONS(.workers = 2, .signals = true)), -ECANCELED);
    sigaction(SIGINT, NULL, &after);
    assert_true(before.sa_handler == after.sa_handler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocking_jobs_return_their_result_in_bounded_numbers),
        cmocka_unit_test(a_cancel_meets_blocking_jobs_as_promised),
        cmocka_unit_test(every_post_accepted_runs_once),
        cmocka_unit_test(a_signal_handler_may_post),
        cmocka_unit_test(the_first_signal_cancels_the_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
