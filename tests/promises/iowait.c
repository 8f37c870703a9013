/* Waiting for descriptors of others and for signals. */
#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

static int fds[2];
static int waiting; /* tasks that have come as far as their wait: on one worker they wait in it as soon as another task sees this */

static void until_waiting(int n)
{
    while (load(&waiting) != n)
        check_int(yoke_yield(), 0);
}

static int readable(void *arg)
{
    char c;
    struct pollfd now = { .fd = fds[0], .events = POLLIN };
    add(&waiting, 1);
    int rc = yoke_fd_readable(fds[0]);
    if (rc < 0)
        return rc;
    check_int(poll(&now, 1, 0), 1); /* there is something: nobody else reads */
    if (now.revents == 0)
        return -EIO; /* to read would block the worker */
    check_int(read(fds[0], &c, 1), 1);
    *(char *)arg = c;
    return 0;
}

static int wait_and_read(void *arg)
{
    char got = 0;
    (void)arg;
    check_int(pipe(fds), 0); /* blocking, and it stays so */
    for (int i = 0; i < 20; i++) {
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, readable, &got), 0);
        if (i % 2 == 0)
            check_int(yoke_sleep(YOKE_US(100)), 0);
        char c = (char)('a' + i);
        check_int(write(fds[1], &c, 1), 1);
        check_int(yoke_group_close(g, 0), 0);
        check_int(got, c);
    }
    check_int(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    check_int(yoke_fd_writable(fds[1]), 0);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static void a_descriptor_is_waited_for(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++)
        assert_int_equal(run(workers, wait_and_read, NULL), 0);
}

static int outcomes(void *arg)
{
    char got = 0;
    (void)arg;
    check_int(yoke_fd_readable(-1), -EBADF);
    check_int(yoke_fd_readable(1000), -EBADF); /* not open */
    int file = open("/proc/self/exe", O_RDONLY);
    check_int(yoke_fd_readable(file), -EPERM);
    close(file);
    check_int(pipe(fds), 0);
    store(&waiting, 0);
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    yoke_task first, second;
    int results[2];
    check_int(yoke_spawn_ptr_with(g, (.handle = &first), readable, &got), 0);
    until_waiting(1);
    check_int(yoke_fd_readable(fds[0]), -EBUSY);
    check_int(yoke_task_cancel(first), 0);
    check_int(yoke_task_await(first, &results[0]), 0);
    check_int(results[0], -ECANCELED);
    check_int(yoke_spawn_ptr_with(g, (.handle = &second), readable, &got), 0);
    until_waiting(2);
    check_int(yoke_fd_forget(fds[0]), 0);
    close(fds[0]);
    close(fds[1]);
    check_int(yoke_task_await(second, &results[1]), 0);
    check_int(results[1], -EBADF);
    check_int(pipe(fds), 0); /* the same numbers, another pipe */
    check_int(write(fds[1], "n", 1), 1);
    check_int(readable(&got), 0);
    check_int(got, 'n');
    check_int(yoke_fd_forget(fds[0]), 0);
    close(fds[0]);
    check_int(yoke_fd_writable(fds[1]), 0); /* it has failed: writing would not block */
    close(fds[1]);
    return yoke_group_close(g, 0);
}

static void the_other_outcomes(void **state)
{
    (void)state;
    assert_int_equal(run(1, outcomes, NULL), 0);
    assert_int_equal(yoke_fd_readable(0), -ENOTRECOVERABLE);
}

/* A byte against a cancel, from another thread's descriptor: the wait returns once, and the next wait works. */
static int fd_race(void *arg)
{
    uint64_t state = seed();
    (void)arg;
    check_int(pipe(fds), 0);
    for (int i = 0; i < repetitions(2000); i++) {
        char got = 0;
        int result;
        yoke_task task;
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        check_int(yoke_spawn_ptr_with(g, (.handle = &task), readable, &got), 0);
        jitter(&state);
        check_int(write(fds[1], "r", 1), 1);
        jitter(&state);
        check_int(yoke_task_cancel(task), 0);
        check_int(yoke_task_await(task, &result), 0);
        if (result == -ECANCELED)
            check_int(readable(&got), 0);
        else
            check_int(result, 0);
        check_int(got, 'r');
        check_int(yoke_group_close(g, 0), 0);
    }
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static void readiness_against_cancel(void **state)
{
    (void)state;
    assert_int_equal(run(1, fd_race, NULL), 0);
    assert_int_equal(run(4, fd_race, NULL), 0);
}

/* ---- signals ---- */

static int wait_signal(void *arg)
{
    add(&waiting, 1);
    int signo = yoke_signal_wait(SIGUSR1, SIGUSR2);
    add((int *)arg, 1);
    return signo < 0 ? signo : signo == SIGUSR1 ? 1 : 2;
}

static int signals(void *arg)
{
    int woken = 0, result;
    yoke_task a, b, c;
    (void)arg;
    store(&waiting, 0);
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    check_int(yoke_spawn_ptr_with(g, (.handle = &a), wait_signal, &woken), 0);
    until_waiting(1); /* its handler is there: one worker */
    check_int(yoke_spawn_ptr_with(g, (.handle = &b), wait_signal, &woken), 0);
    until_waiting(2);
    check_int(kill(getpid(), SIGUSR2), 0);
    check_int(yoke_task_await(a, &result), 0); /* the first in line */
    check_int(result, 2);
    check_int(woken, 1);
    check_int(yoke_task_cancel(b), 0);
    check_int(yoke_task_await(b, &result), 0);
    check_int(result, -ECANCELED);
    check_int(kill(getpid(), SIGUSR1), 0); /* nobody waits: kept */
    check_int(yoke_spawn_ptr_with(g, (.handle = &c), wait_signal, &woken), 0);
    check_int(yoke_task_await(c, &result), 0);
    check_int(result, 1);
    check_int(yoke_signal_wait(SIGKILL), -EINVAL);
    check_int(yoke_signal_wait(0), -EINVAL);
    check_int(yoke_signal_wait_any(NULL, 1), -EINVAL);
    return yoke_group_close(g, 0);
}

static void former(int signo)
{
    (void)signo;
}

static void a_signal_reaches_the_first_in_line_or_is_kept(void **state)
{
    (void)state;
    struct sigaction action = { .sa_handler = former }, now;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(run(1, signals, NULL), 0);
    assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
    assert_true(now.sa_handler == former); /* given back */
}

static int taken(void *arg)
{
    (void)arg;
    check_int(yoke_signal_wait(SIGTERM), -EBUSY);
    return 0;
}

static void options_signals_come_first(void **state)
{
    (void)state;
    assert_int_equal(run_with(taken, NULL, OPTIONS(.workers = 1, .signals = true)), 0);
}

/* A signal against a cancel: it is got, or kept for the next one. */
static int signal_race(void *arg)
{
    uint64_t state = seed();
    int woken = 0;
    (void)arg;
    check_int(yoke_signal_wait(SIGUSR1), SIGUSR1);
    for (int i = 0; i < repetitions(500); i++) {
        int result;
        yoke_task task;
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        check_int(yoke_spawn_ptr_with(g, (.handle = &task), wait_signal, &woken), 0);
        jitter(&state);
        check_int(kill(getpid(), SIGUSR1), 0);
        jitter(&state);
        check_int(yoke_task_cancel(task), 0);
        check_int(yoke_task_await(task, &result), 0);
        if (result == -ECANCELED)
            check_int(wait_signal(&woken), 1);
        else
            check_int(result, 1);
        check_int(yoke_group_close(g, 0), 0);
    }
    return 0;
}

static void await_handler(void)
{
    struct sigaction now;
    do {
        check_int(yoke_yield(), 0);
        check_int(sigaction(SIGUSR1, NULL, &now), 0);
    } while (now.sa_handler == SIG_DFL || now.sa_handler == former);
}

static int with_a_first_signal(void *arg)
{
    /* The first wait installs the handler; from then on the signal may be sent. */
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, signal_race, arg), 0);
    await_handler();
    check_int(kill(getpid(), SIGUSR1), 0);
    return yoke_group_close(g, 0);
}

static void no_signal_is_lost_by_a_cancel(void **state)
{
    (void)state;
    (void)seed();
    assert_int_equal(run(1, with_a_first_signal, NULL), 0);
    assert_int_equal(run(4, with_a_first_signal, NULL), 0);
}

/* ---- two runtimes ---- */

static struct {
    pthread_barrier_t meeting;
    int pipe[2];
} shared;

static int meet(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&shared.meeting);
    return 0;
}

static int readable_only(void *arg)
{
    add((int *)arg, 1);
    return yoke_fd_readable(shared.pipe[0]);
}

/* Waits for one descriptor in both at once; a signal belongs to one. */
static int beside_another(void *arg)
{
    bool first = arg != NULL;
    int arrived = 0;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, readable_only, &arrived), 0);
    while (load(&arrived) == 0)
        check_int(yoke_yield(), 0); /* one worker: it waits then */
    if (first) {
        YOKE_GROUP(h, .policy = YOKE_COLLECT);
        check_int(yoke_spawn_ptr(h, wait_signal, &arrived), 0); /* SIGUSR1, SIGUSR2: ours from now on */
        await_handler();
        check_int(yoke_blocking(meet, NULL), 0);
        check_int(yoke_blocking(meet, NULL), 0);
        check_int(yoke_group_cancel(h, 0), 0);
        check_int(yoke_group_close(h, 0), 0);
        check_int(write(shared.pipe[1], "b", 1), 1); /* for both */
    } else {
        check_int(yoke_blocking(meet, NULL), 0);
        check_int(yoke_signal_wait(SIGUSR1), -EBUSY);
        check_int(yoke_blocking(meet, NULL), 0);
    }
    return yoke_group_close(g, 0);
}

static void *run_beside(void *arg)
{
    return (void *)(intptr_t)yoke_run(beside_another, arg, OPTIONS(.workers = 1));
}

static void two_runtimes_wait_at_once(void **state)
{
    pthread_t thread;
    void *rc;
    (void)state;
    reports[0] = '\0';
    assert_int_equal(pipe(shared.pipe), 0);
    pthread_barrier_init(&shared.meeting, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, run_beside, NULL), 0);
    assert_null(run_beside(&shared));
    pthread_join(thread, &rc);
    pthread_barrier_destroy(&shared.meeting);
    assert_checks();
    assert_null(rc);
    assert_string_equal(reports, "");
    close(shared.pipe[0]);
    close(shared.pipe[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_descriptor_is_waited_for),
        cmocka_unit_test(the_other_outcomes),
        cmocka_unit_test(readiness_against_cancel),
        cmocka_unit_test(a_signal_reaches_the_first_in_line_or_is_kept),
        cmocka_unit_test(options_signals_come_first),
        cmocka_unit_test(no_signal_is_lost_by_a_cancel),
        cmocka_unit_test(two_runtimes_wait_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
