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

static int block_and_go_on(void *arg)
{
    int *result = arg;
    *result = yoke_blocking(wait_at_gate, NULL);
    return 0;
}

static int behind;

static int block_behind(void *arg)
{
    int *result = arg;
    add(&behind, 1);
    *result = yoke_blocking(never_run, NULL);
    return *result;
}

static int cancel_blocking_main(void *arg)
{
    (void)arg;
    int running = 0, queued = 0;
    entered = behind = 0;
    pthread_mutex_lock(&gate); /* one worker, which stays on this thread */
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, block_at_gate, &running), 0);
    while (load(&entered) == 0)
        check_int(yoke_sleep(YOKE_US(50)), 0);
    check_int(yoke_spawn_ptr(g, block_behind, &queued), 0); /* the only thread is taken: this one waits in the queue */
    while (load(&behind) == 0)
        check_int(yoke_yield(), 0); /* on one worker, it waits when we go on */
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

/* An abandonable job that no thread has taken yet is never called, and its argument is released at once. */
static int abandon_behind(void *arg)
{
    (void)arg;
    int rc = yoke_blocking_with(YOKE_BLOCKING_USER, true, release, never_run, &released);
    check_int(rc, -ECANCELED);
    check_int(yoke_blocking_with(YOKE_BLOCKING_USER, true, release, never_run, &released), -ECANCELED); /* it need not even wait */
    return rc;
}

static int abandon_queued(void *arg)
{
    int running = 0;
    (void)arg;
    entered = released = 0;
    pthread_mutex_lock(&gate);
    YOKE_GROUP(busy);
    check_int(yoke_spawn_ptr(busy, block_and_go_on, &running), 0);
    while (load(&entered) == 0)
        check_int(yoke_sleep(YOKE_US(50)), 0);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, abandon_behind, NULL), 0);
    check_int(yoke_group_set_deadline(g, yoke_after(YOKE_MS(1))), 0);
    check_int(yoke_group_close(g, 0), -ETIMEDOUT);
    check_int(released, 2);
    check_int(entered, 1); /* the only thread is still taken */
    pthread_mutex_unlock(&gate);
    check_int(yoke_group_close(busy, 0), 0);
    check_int(running, 9);
    return 0;
}

static void a_cancel_meets_blocking_jobs_as_promised(void **state)
{
    (void)state;
    assert_int_equal(run_with(cancel_blocking_main, NULL, OPTIONS(.workers = 1, .pool_user = 1)), 0);
    assert_int_equal(run_with(abandon, NULL, OPTIONS(.workers = 1)), 0);
    assert_int_equal(entered, 2); /* the end of the run waited for it */
    assert_int_equal(released, 1);
    assert_int_equal(run_with(abandon_queued, NULL, OPTIONS(.workers = 1, .pool_user = 1)), 0);
    assert_int_equal(released, 2);
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

/* A post takes room in a limited group, beyond the limit if need be; it never waits. */
static int posts_inside, go_on;

static int stay_inside(void *arg)
{
    (void)arg;
    add(&posts_inside, 1);
    while (load(&go_on) == 0)
        check_int(yoke_yield(), 0);
    add(&posts_inside, -1);
    return 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int post_into_limited(void *arg)
{
    enum { MANY = 3 };
    yoke_post_node nodes[MANY];
    YOKE_SCOPED(yoke_token) token = NULL;
    (void)arg;
    posts_inside = go_on = 0;
    YOKE_GROUP(g, .limit = 1);
    check_int(yoke_token_acquire(&token, g), 0);
    for (int i = 0; i < MANY; i++)
        check_int(yoke_post(token, &nodes[i], stay_inside, NULL), 0);
    while (load(&posts_inside) < MANY)
        check_int(yoke_yield(), 0);
    check_int(yoke_try_spawn_ptr(g, nothing, NULL), -EAGAIN); /* they are counted */
    store(&go_on, 1);
    check_int(yoke_spawn_ptr(g, nothing, NULL), 0); /* waits for the last of them */
    check_int(load(&posts_inside), 0);
    return yoke_group_close(g, 0);
}

static void a_post_takes_room_without_waiting(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, post_into_limited, NULL), 0);
}

static int acquire_token(void *arg)
{
    YOKE_GROUP(g);
    check_int(yoke_token_acquire(arg, g), 0);
    return yoke_group_close(g, 0);
}

static void a_token_may_outlive_group_and_runtime(void **state)
{
    (void)state;
    yoke_token *token = NULL, *none;
    yoke_post_node node;
    assert_int_equal(run(2, acquire_token, &token), 0);
    assert_non_null(token);
    int count = 0;
    assert_int_equal(yoke_post(token, &node, increment, &count), -ESHUTDOWN);
    assert_int_equal(yoke_call(token, increment, &count), -ESHUTDOWN);
    assert_int_equal(run(2, post_into_limited, NULL), 0); /* another runtime has nothing to do with it */
    assert_int_equal(yoke_post(token, &node, increment, &count), -ESHUTDOWN);
    assert_int_equal(count, 0);
    yoke_token_release(token);
    assert_int_equal(yoke_token_acquire(&none, (yoke_group){ 0 }), -ENOTRECOVERABLE); /* outside of a task */
    assert_null(none);
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

/* ---- tokens acquired late, posts beyond the limit ---- */

static yoke_token *offered;
static int late_ran, late_posted;

static int acquire_late(void *arg)
{
    yoke_token *token;
    check_int(yoke_token_acquire(&token, *(yoke_group *)arg), 0);
    store(&offered, token);
    return 0; /* and ends: the owner may be about to find that nothing is left */
}

static void *post_to_offered(void *arg)
{
    static yoke_post_node node;
    yoke_token *token;
    while ((token = load(&offered)) == NULL)
        sched_yield();
    store((int *)arg, yoke_post(token, &node, increment, &late_ran));
    yoke_token_release(token);
    store(&late_posted, 1);
    return NULL;
}

static int close_beside_tokens(void *arg)
{
    (void)arg;
    for (int round = repetitions(300); round > 0; round--) {
        pthread_t poster;
        int rc = 0;
        offered = NULL;
        late_ran = late_posted = 0;
        check_int(pthread_create(&poster, NULL, post_to_offered, &rc), 0);
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = round % 2), acquire_late, &g), 0);
        for (int i = round % 50; i > 0; i--)
            __asm__ volatile("" ::: "memory");
        check_int(yoke_group_close(g, 0), 0);
        int ran = load(&late_ran);
        while (load(&late_posted) == 0)
            check_int(yoke_yield(), 0);
        pthread_join(poster, NULL);
        check(rc == -ESHUTDOWN || rc == 0);
        check_int(ran, rc == 0); /* what was taken was waited for */
    }
    return 0;
}

static void a_token_acquired_during_close_is_shut_by_it(void **state)
{
    (void)state;
    assert_int_equal(run(2, close_beside_tokens, NULL), 0);
}

static yoke_event post_may_end, may_end;
static int limited_alive, post_began;

static int beyond(void *arg)
{
    add((int *)arg, 1);
    return yoke_event_wait(&post_may_end);
}

static int alone(void *arg)
{
    check_int(add((int *)arg, 1), 0);
    check_int(yoke_event_wait(&may_end), 0);
    add((int *)arg, -1);
    return 0;
}

static void *post_beyond(void *arg)
{
    static yoke_post_node node;
    check_int(yoke_post(arg, &node, beyond, &post_began), 0);
    return NULL;
}

static int end_one_by_one(void *arg)
{
    check_int(yoke_event_set(&post_may_end), 0);
    for (int i = 0; i < 20; i++)
        check_int(yoke_yield(), 0); /* places for one who should wait on */
    check_int(yoke_event_set(&may_end), 0);
    return arg == NULL ? 0 : -EINVAL;
}

/* One worker: a child holds the only room, a post comes and takes more, the owner waits for room; the post's end makes none. */
static int spawn_beside_a_post(void *arg)
{
    pthread_t poster;
    yoke_token *token;
    yoke_event_init(&post_may_end);
    yoke_event_init(&may_end);
    limited_alive = post_began = 0;
    YOKE_GROUP(others);
    YOKE_GROUP(g, .limit = 1);
    check_int(yoke_token_acquire(&token, g), 0);
    check_int(yoke_spawn_ptr(g, alone, &limited_alive), 0);
    check_int(pthread_create(&poster, NULL, post_beyond, token), 0);
    while (load(&post_began) == 0)
        check_int(yoke_yield(), 0);
    pthread_join(poster, NULL);
    check_int(yoke_spawn_ptr(others, end_one_by_one, arg), 0);
    check_int(yoke_spawn_ptr(g, alone, &limited_alive), 0); /* waits */
    yoke_token_release(token);
    check_int(yoke_group_close(g, 0), 0);
    return yoke_group_close(others, 0);
}

static void a_post_beyond_the_limit_leaves_no_room_behind(void **state)
{
    (void)state;
    assert_int_equal(run(1, spawn_beside_a_post, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocking_jobs_return_their_result_in_bounded_numbers),
        cmocka_unit_test(a_cancel_meets_blocking_jobs_as_promised),
        cmocka_unit_test(every_post_accepted_runs_once),
        cmocka_unit_test(a_post_takes_room_without_waiting),
        cmocka_unit_test(a_token_may_outlive_group_and_runtime),
        cmocka_unit_test(a_signal_handler_may_post),
        cmocka_unit_test(a_token_acquired_during_close_is_shut_by_it),
        cmocka_unit_test(a_post_beyond_the_limit_leaves_no_room_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
