/* fork(2) in a program with a runtime: the child has none, may start its own, and leaves the parent alone. */
#include "child.h"

#include "../executor/sanitizer.h"

#ifdef YOKE__TSAN
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0"; /* it does not know that the child's threads have nothing to do with the parent's */
}
#endif
#ifdef YOKE__ASAN
static int is_child;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return is_child; /* the parent's runtimes are lost there, as said */
}
#endif

/* What the child is to find useless. */
static struct {
    yoke_runtime *rt;
    yoke_token *token;
    yoke_group group;
    yoke_scope scope;
    yoke_task task;
    yoke_stream *stream;
} parents;

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int give(void *arg)
{
    return *(int *)arg;
}

/* ---- in the child ---- */

static void every_call_says_so(void)
{
    yoke_forked f;
    yoke_post_node node;
    yoke_token *token;
    yoke_mutex mutex;
    yoke_event event = { 0 };
    yoke_stream *stream;
    char byte;
    int result;
    yoke_mutex_init(&mutex);
    check_int(yoke_yield(), -ENOTRECOVERABLE);
    check_int(yoke_sleep(1), -ENOTRECOVERABLE);
    check_int(yoke_checkpoint(), -ENOTRECOVERABLE);
    check_int(yoke_blocking(nothing, NULL), -ENOTRECOVERABLE);
    check_int(yoke_defer(nothing, NULL), -ENOTRECOVERABLE);
    check_int(yoke_workers(), -ENOTRECOVERABLE);
    check_int(yoke_worker_index(), -ENOTRECOVERABLE);
    check_int(yoke_dump(2), -ENOTRECOVERABLE);
    check_int(yoke_spawn_ptr(parents.group, nothing, NULL), -ENOTRECOVERABLE);
    check_int(yoke_group_cancel(parents.group, 0), -ENOTRECOVERABLE);
    check_int(yoke_group_close(parents.group, 0), -ENOTRECOVERABLE);
    check_int(yoke_scope_cancel(parents.scope, 0), -ENOTRECOVERABLE);
    check_int(yoke_scope_close(parents.scope, 0), -ENOTRECOVERABLE);
    check_int(yoke_group_close(yoke_group_open(NULL), 0), -ENOTRECOVERABLE);
    check_int(yoke_task_await(parents.task, &result), -ENOTRECOVERABLE);
    check_int(yoke_task_cancel(parents.task), -ENOTRECOVERABLE);
    yoke_fork(&f, nothing, NULL);
    check_int(yoke_join(&f), -ENOTRECOVERABLE);
    check_int(yoke_mutex_lock(&mutex), -ENOTRECOVERABLE);
    check_int(yoke_event_wait(&event), -ENOTRECOVERABLE);
    check_int(yoke_read(parents.stream, &byte, 1), -ENOTRECOVERABLE);
    check_int(yoke_close(parents.stream), -ENOTRECOVERABLE);
    check_int(yoke_stream_adopt(&stream, 0), -ENOTRECOVERABLE);
    check_int(yoke_fd_readable(0), -ENOTRECOVERABLE);
    check_int(yoke_token_acquire(&token, parents.group), -ENOTRECOVERABLE);
    if (parents.token != NULL) {
        check_int(yoke_post(parents.token, &node, nothing, NULL), -ENOTRECOVERABLE);
        check_int(yoke_call(parents.token, nothing, NULL), -ENOTRECOVERABLE);
        yoke_token_release(parents.token);
    }
    if (parents.rt != NULL) {
        check_int(yoke_runtime_token(parents.rt, &token), -ENOTRECOVERABLE);
        check_int(yoke_runtime_dump(parents.rt, 2), -ENOTRECOVERABLE);
        check_int(yoke_stop(parents.rt), -ENOTRECOVERABLE);
    }
    check_int(yoke_task_id(), 0);
    check(!yoke_cancelled());
}

/* In the child's own runtime the parent's things are as good as closed. */
static int use_old_handles(void *arg)
{
    char byte;
    int zero = 0;
    (void)arg;
    check_int(yoke_sleep(YOKE_US(100)), 0);
    check_int(yoke_group_cancel(parents.group, 0), -EINVAL);
    check_int(yoke_scope_cancel(parents.scope, 0), -EINVAL);
    check_int(yoke_task_cancel(parents.task), -EINVAL);
    check_int(yoke_read(parents.stream, &byte, 1), -EBADF);
    YOKE_GROUP(g);
    for (int i = 0; i < 20; i++)
        check_int(yoke_spawn_ptr(g, i % 2 ? nothing : give, &zero), 0);
    check_int(yoke_blocking(nothing, NULL), 0);
    check_int(yoke_group_close(g, 0), 0);
    return 9;
}

/*
 * AddressSanitizer's allocator does not come through a fork beside threads that allocate, if only by being started: its locks stay taken in
 * the child [GCC 12]. So there the child of a program with threads starts no runtime.
 */
#ifdef YOKE__ASAN
#define MAY_ALLOCATE 0
#else
#define MAY_ALLOCATE 1
#endif

static void own_runtime_works(void)
{
    if (!MAY_ALLOCATE)
        return;
    yoke_runtime *rt = NULL;
    yoke_token *token = NULL;
    int value = 3;
    for (int workers = 1; workers <= 2; workers++)
        check_int(yoke_run(use_old_handles, NULL, OPTIONS(.workers = workers, .signals = true, .overflow_handler = "on")), 9);
    check_int(yoke_start(&rt, OPTIONS(.workers = 2)), 0);
    check_int(yoke_runtime_token(rt, &token), 0);
    check_int(yoke_call(token, give, &value), 3);
    check_int(yoke_stop(rt), 0);
    check_int(yoke_call(token, give, &value), -ESHUTDOWN);
    yoke_token_release(token);
}

static sigset_t outer_mask; /* of the main thread */

static void mask_is_the_programs_own(void)
{
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int signo = 1; signo < 32; signo++)
        check_int(sigismember(&mask, signo), sigismember(&outer_mask, signo));
}

/* Forks here; the child does all of `body`, or what is left of it by then, and tells by its exit whether the checks held. */
static void fork_here(void (*const body[])(void))
{
    fflush(NULL);
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
#ifdef YOKE__ASAN
        is_child = 1;
#endif
        alarm(250); /* if it hangs: before the time limit of the test, which would leave it behind */
        failed_checks = 0;
        for (int i = 0; body[i] != NULL; i++)
            body[i]();
        if (failed_checks > 0)
            dprintf(2, "in the child: %s\n", first_failure);
        exit(failed_checks > 0); /* not _exit: whoever wants to do something at the end may */
    }
    int status = -1;
    pid_t got;
    while ((got = waitpid(child, &status, 0)) < 0 && errno == EINTR)
        ;
    check_int(got, child);
    check_int(status, 0);
}

static void (*const everything[])(void) = { every_call_says_so, mask_is_the_programs_own, own_runtime_works, every_call_says_so, NULL };

/* ---- from a task ---- */

static int fork_fork(void *arg)
{
    (void)arg;
    fork_here(everything);
    return 5;
}

static int sleep_long(void *arg)
{
    (void)arg;
    return yoke_sleep_until(YOKE_NEVER);
}

static int await_then_fork(void *arg)
{
    check_int(yoke_yield(), 0);
    return fork_fork(arg) == 5 ? 0 : -EIO;
}

static int fork_in_tasks(void *arg)
{
    int ends[2];
    (void)arg;
    check_int(pipe(ends), 0);
    check_int(yoke_stream_adopt(&parents.stream, ends[0]), 0);
    YOKE_GROUP(g);
    YOKE_SCOPE(s);
    parents.group = g;
    parents.scope = s;
    check_int(yoke_spawn_ptr_with(g, (.handle = &parents.task), sleep_long, NULL), 0);
    check_int(yoke_token_acquire(&parents.token, g), 0);
    check_int(yoke_fd_writable(ends[1]), 0); /* the poll is in use */
    fork_here(everything);
    check_int(yoke_spawn_ptr(g, await_then_fork, NULL), 0);
    yoke_forked f;
    yoke_fork(&f, fork_fork, NULL);
    check_int(yoke_sleep(YOKE_US(200)), 0);
    check_int(yoke_join(&f), 5);
    check_int(yoke_blocking(fork_fork, NULL), 5);
    /* the parent's things are as they were */
    char byte = 0;
    check_int(write(ends[1], "x", 1), 1);
    check_int(yoke_read(parents.stream, &byte, 1), 1);
    check_int(byte, 'x');
    check_int(yoke_close(parents.stream), 0);
    check_int(yoke_scope_close(s, 0), 0);
    check_int(yoke_task_cancel(parents.task), 0);
    check_int(yoke_group_close(g, 0), 0);
    yoke_token_release(parents.token);
    parents.token = NULL;
    close(ends[1]);
    return yoke_defer(await_then_fork, NULL);
}

static void a_task_may_fork(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++)
        assert_int_equal(run_with(fork_in_tasks, NULL, OPTIONS(.workers = workers, .signals = true, .overflow_handler = "on",
                                                               .cleanup_grace = YOKE_SEC(1000))), 0); /* a deferred function forks, too */
}

/* ---- from threads that are no workers ---- */

static int running, forked;

static void *fork_on_a_thread(void *arg)
{
    (void)arg;
    while (load(&running) == 0)
        sched_yield();
    fork_here(everything);
    store(&forked, 1);
    return NULL;
}

static int go_on_meanwhile(void *arg)
{
    (void)arg;
    store(&running, 1);
    while (load(&forked) == 0) {
        YOKE_GROUP(g);
        for (int i = 0; i < 20; i++)
            check_int(yoke_spawn_ptr(g, nothing, NULL), 0);
        check_int(yoke_yield(), 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    return 0;
}

static void a_foreign_thread_may_fork(void **state)
{
    (void)state;
    pthread_t thread;
    memset(&parents, 0, sizeof parents);
    running = forked = 0;
    assert_int_equal(pthread_create(&thread, NULL, fork_on_a_thread, NULL), 0);
    assert_int_equal(run(2, go_on_meanwhile, NULL), 0);
    pthread_join(thread, NULL);
}

static int *settled;

static int settle(void *arg)
{
    (void)arg;
    add(settled, 1);
    return yoke_sleep_until(YOKE_NEVER);
}

static void a_thread_with_two_runtimes_may_fork(void **state)
{
    (void)state;
    yoke_runtime *other;
    yoke_token *tokens[2];
    yoke_post_node nodes[2];
    int value = 4, n = 0;
    memset(&parents, 0, sizeof parents);
    settled = &n;
    assert_int_equal(yoke_start(&parents.rt, OPTIONS(.workers = 2)), 0);
    assert_int_equal(yoke_start(&other, OPTIONS(.workers = 1, .overflow_handler = "on")), 0);
    assert_int_equal(yoke_runtime_token(parents.rt, &tokens[0]), 0);
    assert_int_equal(yoke_runtime_token(other, &tokens[1]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(yoke_post(tokens[i], &nodes[i], settle, NULL), 0);
    while (load(&n) < 2)
        sched_yield();
    for (int i = 0; i < 2; i++) {
        parents.token = tokens[i];
        fork_here(everything);
        parents.rt = other;
    }
    assert_int_equal(yoke_call(tokens[0], fork_fork, NULL), 5); /* and from a task of one of them */
    for (int i = 0; i < 2; i++)
        assert_int_equal(yoke_call(tokens[i], give, &value), 4);
    assert_checks();
    /* parents.rt is the other one by now */
    assert_int_equal(yoke_stop(other), 0);
    yoke_token_release(tokens[1]);
    parents.rt = NULL;
    parents.token = NULL;
    assert_int_equal(yoke_call(tokens[0], give, &value), 4);
    yoke_token_release(tokens[0]);
}

/* ---- a program without ---- */

static void run_in_a_plain_child(void)
{
    int value = 6;
    if (yoke_run(give, &value, YOKE_OPTIONS(.workers = 2)) != 6)
        abort();
}

static void the_child_of_a_plain_program_may_run(void **state)
{
    (void)state;
    int status = in_child(run_in_a_plain_child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- dispositions and signals ---- */

static struct sigaction before_segv, before_int, before_usr1;

static void dispositions_are_given_back(void)
{
    struct sigaction now;
    sigaction(SIGINT, NULL, &now);
    check(now.sa_handler == before_int.sa_handler);
    sigaction(SIGSEGV, NULL, &now);
    check(now.sa_handler == before_segv.sa_handler);
    sigaction(SIGUSR1, NULL, &now);
    check(now.sa_handler == before_usr1.sa_handler);
}

static int await_usr1(void *arg)
{
    (void)arg;
    return yoke_signal_wait(SIGUSR1) == SIGUSR1 ? 0 : -EIO;
}

static int fork_beside_signals(void *arg)
{
    static void (*const look[])(void) = { dispositions_are_given_back, mask_is_the_programs_own, own_runtime_works,
                                          dispositions_are_given_back, NULL };
    struct sigaction now;
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, await_usr1, NULL), 0);
    for (;;) {
        sigaction(SIGUSR1, NULL, &now);
        if (now.sa_handler != before_usr1.sa_handler)
            break;
        check_int(yoke_yield(), 0);
    }
    fork_here(look);
    sigaction(SIGINT, NULL, &now);
    check(now.sa_handler != before_int.sa_handler); /* here they are in place */
    check_int(kill(getpid(), SIGUSR1), 0);
    return yoke_group_close(g, 0);
}

static void what_belongs_to_the_process_is_given_back(void **state)
{
    (void)state;
    memset(&parents, 0, sizeof parents);
    sigaction(SIGINT, NULL, &before_int);
    sigaction(SIGSEGV, NULL, &before_segv);
    sigaction(SIGUSR1, NULL, &before_usr1);
    for (int workers = 1; workers <= 2; workers++)
        assert_int_equal(run_with(fork_beside_signals, NULL, OPTIONS(.workers = workers, .signals = true, .overflow_handler = "on")), 0);
}

static int child_meets_its_end(void *arg)
{
    (void)arg;
    pid_t child = fork();
    if (child == 0) {
        raise(SIGTERM); /* not blocked, not handled */
        _exit(1);
    }
    int status = 0;
    check_int(waitpid(child, &status, 0), child);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    return 0;
}

static void a_child_can_be_ended_by_a_signal(void **state)
{
    (void)state;
    assert_int_equal(run_with(child_meets_its_end, NULL, OPTIONS(.workers = 2, .signals = true)), 0);
}

/* ---- coming back ---- */

static int fork_and_return(void *arg)
{
    pid_t child = fork();
    if (child == 0)
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    if (child != 0) {
        int status = 0;
        check_int(waitpid(child, &status, 0), child);
        check(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        if (!WIFSIGNALED(status))
            dprintf(2, "status %x, %s\n", (unsigned)status, (const char *)arg);
    }
    return 0;
}

static void destroy(void *value)
{
    (void)fork_and_return(value);
}

static int come_back(void *arg)
{
    static const yoke_slot slot = { "slot", destroy };
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, fork_and_return, "a child"), 0);
    check_int(yoke_group_close(g, 0), 0);
    yoke_forked f;
    yoke_fork(&f, fork_and_return, "a fork");
    check_int(yoke_join(&f), 0);
    check_int(yoke_blocking(fork_and_return, "a job"), 0);
    check_int(yoke_slot_set(&slot, "a destructor"), 0);
    check_int(yoke_defer(fork_and_return, "a deferred function"), 0);
    return fork_and_return("main");
}

static void run_come_back(void)
{
    int rc = yoke_run(come_back, NULL, YOKE_OPTIONS(.workers = 1));
    if (rc != 0 || failed_checks > 0)
        dprintf(2, "failed: %d, %s\n", rc, first_failure);
}

static void who_returns_in_the_child_is_stopped(void **state)
{
    (void)state;
    int status = in_child(run_come_back);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_null(strstr(output, "failed"));
    assert_non_null(strstr(output, "task 'fork_and_return' returned in the child of fork(2)"));
    assert_non_null(strstr(output, "task 'main' returned in the child"));
    assert_non_null(strstr(output, "a job of 'yoke-pool' returned in the child"));
    assert_non_null(strstr(output, "a deferred function of task 'main' returned in the child"));
    assert_non_null(strstr(output, "a destructor of task 'main' returned in the child"));
}

/* ---- at any moment ---- */

static int churning;

static void *churn(void *arg)
{
    (void)arg;
    while (load(&churning)) {
        int value = 1, rc = yoke_run(give, &value, YOKE_OPTIONS(.workers = 2, .overflow_handler = "on", .signals = true));
        check(rc == 1);
    }
    return NULL;
}

static void run_in_the_child(void)
{
    int value = 8;
    if (!MAY_ALLOCATE)
        return;
    check_int(yoke_run(give, &value, YOKE_OPTIONS(.workers = 1, .overflow_handler = "on", .signals = true)), 8);
}

static void a_fork_finds_the_process_whole_at_any_moment(void **state)
{
    static void (*const look[])(void) = { dispositions_are_given_back, run_in_the_child, dispositions_are_given_back, NULL };
    (void)state;
    pthread_t thread;
    churning = 1;
    assert_int_equal(pthread_create(&thread, NULL, churn, NULL), 0);
    for (int i = 0; i < repetitions(100); i++)
        fork_here(look);
    store(&churning, 0);
    pthread_join(thread, NULL);
    assert_checks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_child_of_a_plain_program_may_run), /* first: no runtime has been there */
        cmocka_unit_test(a_task_may_fork),
        cmocka_unit_test(a_foreign_thread_may_fork),
        cmocka_unit_test(a_thread_with_two_runtimes_may_fork),
        cmocka_unit_test(what_belongs_to_the_process_is_given_back),
        cmocka_unit_test(a_child_can_be_ended_by_a_signal),
        cmocka_unit_test(who_returns_in_the_child_is_stopped),
        cmocka_unit_test(a_fork_finds_the_process_whole_at_any_moment),
    };
    pthread_sigmask(SIG_SETMASK, NULL, &outer_mask);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
