/* The deadlock verdict: what is reported, what comes of it, what holds it off. That it is never wrong: deadlock_crowd.c. */
#include "child.h"
#include "idle.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/*
 * That no verdict comes is seen when all threads sleep: whoever would give one has looked by then (idle.h). What ends a wait that is to hold it off
 * comes after that; a deadline cannot be told to come after, so it is put off, run by run, until the threads were seen asleep before it.
 */

static yoke_mutex m, n;
static yoke_semaphore semaphore;
static yoke_event event;
static yoke_channel *channel;
static yoke_task first, second;

/* ---- each kind of wait ---- */

static int wait_for_event(void *arg)
{
    return yoke_event_wait(arg != NULL ? arg : &event);
}

static int ready;

/* Until so many have come as far. */
static void until_ready(int many)
{
    while (load(&ready) < many)
        check_int(yoke_yield(), 0);
}

static int lock_both(yoke_mutex *a, yoke_mutex *b)
{
    check_int(yoke_mutex_lock(a), 0);
    add(&ready, 1);
    until_ready(2);
    int rc = yoke_mutex_lock(b);
    check_int(rc, -ECANCELED);
    check_int(yoke_mutex_unlock(a), 0);
    return rc;
}

static int lock_m_n(void *arg)
{
    (void)arg;
    return lock_both(&m, &n);
}

static int lock_n_m(void *arg)
{
    (void)arg;
    return lock_both(&n, &m);
}

static int mutexes(void *arg)
{
    (void)arg;
    yoke_mutex_init(&m);
    yoke_mutex_init(&n);
    store(&ready, 0);
    YOKE_GROUP(g, .name = "lockers");
    check_int(yoke_spawn_ptr(g, lock_m_n, NULL), 0);
    check_int(yoke_spawn_ptr(g, lock_n_m, NULL), 0);
    return yoke_group_close(g, 0);
}

static int semaphores(void *arg)
{
    (void)arg;
    check_int(yoke_semaphore_init(&semaphore, 0, 1), 0);
    return yoke_semaphore_acquire(&semaphore);
}

static int events(void *arg)
{
    (void)arg;
    yoke_event_init(&event);
    return yoke_event_wait(&event);
}

static int receiving(void *arg)
{
    int message;
    (void)arg;
    check_int(yoke_channel_create(&channel, sizeof message, 1), 0);
    int rc = yoke_channel_receive(channel, &message);
    yoke_channel_destroy(channel);
    return rc;
}

static int sending(void *arg)
{
    int message = 1;
    (void)arg;
    check_int(yoke_channel_create(&channel, sizeof message, 1), 0);
    check_int(yoke_channel_send(channel, &message), 0);
    int rc = yoke_channel_send(channel, &message);
    yoke_channel_destroy(channel);
    return rc;
}

static int await(void *arg)
{
    int result;
    return yoke_task_await(*(yoke_task *)arg, &result);
}

static int await_later(void *arg)
{
    until_ready(1);
    return await(arg);
}

static int awaiting(void *arg)
{
    (void)arg;
    store(&ready, 0);
    YOKE_GROUP(g, .name = "awaiters");
    check_int(yoke_spawn_ptr_with(g, (.handle = &first), await_later, &second), 0);
    check_int(yoke_spawn_ptr_with(g, (.handle = &second), await_later, &first), 0);
    store(&ready, 1); /* both handles are there */
    return yoke_group_close(g, 0);
}

static int closing(void *arg)
{
    (void)arg;
    yoke_event_init(&event);
    YOKE_GROUP(g, .name = "closed too early");
    check_int(yoke_spawn_ptr(g, wait_for_event, NULL), 0);
    int rc = yoke_group_close(g, 0);
    yoke_event_set(&event);
    return rc;
}

static int fork_started;

static int forked(void *arg)
{
    store(&fork_started, 1);
    return wait_for_event(arg);
}

static int joining(void *arg)
{
    yoke_forked f;
    (void)arg;
    yoke_event_init(&event);
    store(&fork_started, 0);
    yoke_fork(&f, forked, NULL);
    while (yoke_workers() > 1 && load(&fork_started) == 0)
        sched_yield(); /* until another worker has it */
    return yoke_join(&f);
}

static int wait_for_room(void *arg)
{
    (void)arg;
    yoke_event_init(&event);
    YOKE_GROUP(g, .name = "narrow", .limit = 1);
    check_int(yoke_spawn_ptr(g, wait_for_event, NULL), 0);
    return yoke_group_close(g, yoke_spawn_ptr(g, wait_for_event, NULL));
}

static int sleeping(void *arg)
{
    (void)arg;
    return yoke_sleep_until(YOKE_NEVER);
}

static const struct kind {
    yoke_fn fn;
    const char *reports[3];
} kinds[] = {
    { mutexes, { "task 'lock_m_n'", "task 'lock_n_m'", "close of group 'lockers'" } },
    { semaphores, { "task 'main' #0 waits: semaphore 0x" } },
    { events, { "task 'main' #0 waits: event 0x" } },
    { receiving, { "task 'main' #0 waits: receive from channel 0x" } },
    { sending, { "task 'main' #0 waits: send to channel 0x" } },
    { awaiting, { "waits: await of task 'await_later'", "task 'await_later'", "task 'main' #0 waits: close of group 'awaiters'" } },
    { closing, { "task 'wait_for_event'", "event 0x", "task 'main' #0 waits: close of group 'closed too early'" } },
    { joining, { "task 'main' #0 waits: event 0x" } },
    { wait_for_room, { "task 'main' #0 waits: room in group 'narrow'", "task 'wait_for_event'", "event 0x" } },
    { sleeping, { "task 'main' #0 waits: sleep without end" } },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static int after_io(void *arg)
{
    const struct kind *kind = arg;
    yoke_stream *a, *b;
    char byte = 1;
    check_int(yoke_stream_pair(&a, &b), 0);
    check_int(yoke_write(a, &byte, 1), 1);
    check_int(yoke_read(b, &byte, 1), 1);
    YOKE_SCOPE(s, .deadline = yoke_after(YOKE_US(100))); /* there is a poll from now on */
    check_int(yoke_scope_close(s, (int)yoke_read(b, &byte, 1)), -ETIMEDOUT);
    check_int(yoke_close(a), 0);
    check_int(yoke_close(b), 0);
    YOKE_SCOPE(far, .deadline = yoke_after(YOKE_SEC(1000))); /* a timer that is gone again holds nothing off */
    check_int(yoke_scope_close(far, 0), 0);
    return kind->fn(NULL);
}

static void check_reports(const struct kind *kind)
{
    assert_true(reported("deadlock: these tasks are blocked"));
    for (int i = 0; i < 3 && kind->reports[i] != NULL; i++)
        if (!reported(kind->reports[i]))
            fail_msg("not reported: %s; but:\n%s", kind->reports[i], reports);
}

static void every_kind_of_wait_is_reported_and_the_run_ends(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++)
        for (int workers = 1; workers <= 4; workers++) {
            assert_int_equal(run(workers, kinds[i].fn, NULL), -EDEADLK);
            check_reports(&kinds[i]);
            assert_int_equal(run(workers, after_io, (void *)(uintptr_t)&kinds[i]), -EDEADLK);
            check_reports(&kinds[i]);
        }
}

static void it_tells_who_has_what_and_where_from(void **state)
{
    (void)state;
    assert_int_equal(run(2, mutexes, NULL), -EDEADLK);
    const char *line = strstr(reports, "task 'lock_m_n'"), *of = line != NULL ? strstr(line, "waits: mutex 0x") : NULL;
    assert_non_null(of);
    const char *owner = strstr(of, "of task 'lock_n_m'"), *end = strchr(of, '\n');
    assert_true(owner != NULL && owner < end);
    assert_non_null(strstr(line, "deadlock.c:")); /* where it was spawned */
    assert_true(strstr(owner, "deadlock.c:") < end);
    assert_int_equal(run(2, joining, NULL), -EDEADLK);
    assert_true(reported("event 0x") && reported("in a fork"));
    assert_true(reported("task 'main' #0 waits: join of a fork"));
}

static int stubborn(void *arg)
{
    (void)arg;
    yoke_event_init(&event);
    check_int(yoke_event_wait(&event), -ECANCELED);
    return 0;
}

static void the_run_says_so_whatever_main_returns(void **state)
{
    (void)state;
    assert_int_equal(run(1, stubborn, NULL), -EDEADLK);
    assert_int_equal(run(1, stubborn, NULL), -EDEADLK); /* and the next run works */
}

/* ---- shields ---- */

static int shielded(void *arg)
{
    (void)arg;
    yoke_event_init(&event);
    YOKE_SCOPE(s, .shield = true);
    return yoke_scope_close(s, yoke_event_wait(&event));
}

/* A wait of a while: how long, whether it is over, and whether all slept before that. */
static int64_t a_while;
static int waited, slept;

static void *watch_sleep(void *arg)
{
    until_idle(); /* at the latest when main waits for us */
    store(&slept, load(&waited) == 0);
    return arg;
}

static int shielded_for_a_while(void *arg)
{
    (void)arg;
    yoke_event_init(&event);
    YOKE_SCOPE(s, .shield = true, .deadline = yoke_after(a_while));
    check_int(yoke_scope_close(s, yoke_event_wait(&event)), -ETIMEDOUT);
    store(&waited, 1);
    return 0;
}

/* Runs main_task until all were seen asleep in its wait of a while. Its result, and reports, are those of each run. */
static void run_for_a_while(int workers, yoke_fn main_task, int rc, const char *not_said)
{
    slept = 0;
    for (a_while = YOKE_MS(1); slept == 0; a_while *= 2) {
        pthread_t watcher;
        waited = 0;
        assert_int_equal(pthread_create(&watcher, NULL, watch_sleep, NULL), 0);
        int result = run(workers, main_task, NULL);
        pthread_join(watcher, NULL);
        assert_int_equal(result, rc);
        assert_false(reported(not_said));
    }
}

static int spawned;

static int child_shielded(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.name = "unyielding"), shielded, NULL), 0);
    store(&spawned, 1);
    return yoke_group_close(g, 0);
}

static int only_cleanup_is_shielded(void *arg)
{
    (void)arg;
    yoke_event_init(&event);
    check_int(yoke_defer(shielded_for_a_while, NULL), 0);
    return yoke_event_wait(&event);
}

static void run_shielded(void)
{
    int rc = yoke_run(child_shielded, NULL, YOKE_OPTIONS(.workers = 2));
    (void)rc;
}

/* A task that no cancel reaches in a runtime that is told to stop: who may tell it, and the token, hold the verdict off until then. */
static void stop_shielded(void)
{
    yoke_runtime *rt;
    yoke_token *token;
    yoke_post_node node;
    if (yoke_start(&rt, YOKE_OPTIONS(.workers = 2)) < 0 || yoke_runtime_token(rt, &token) < 0 || yoke_post(token, &node, child_shielded, NULL) < 0)
        return;
    while (load(&spawned) == 0)
        sched_yield(); /* cancelled before, it could not */
    until_idle();
    dprintf(2, "now\n");
    yoke_token_release(token);
    yoke_stop(rt);
}

static void what_no_cancel_ends_aborts_with_the_report(void **state)
{
    (void)state;
    void (*bodies[])(void) = { run_shielded, stop_shielded };
    for (int i = 0; i < 2; i++) {
        int status = in_child(bodies[i]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        assert_non_null(strstr(output, "the root is cancelled\n"));
        const char *now = strstr(output, "now\n"), *verdict = strstr(output, "deadlock: ");
        assert_true(i == 0 || (now != NULL && now < verdict)); /* and not before */
        const char *again = strstr(output, "still blocked: aborting");
        assert_non_null(again);
        assert_non_null(strstr(again, "task 'unyielding'"));
        assert_non_null(strstr(again, "deadlock.c:"));
        assert_non_null(strstr(again, "event 0x"));
    }
}

static void a_shield_with_a_deadline_is_waited_for(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++) {
        run_for_a_while(workers, shielded_for_a_while, 0, "deadlock: ");
        run_for_a_while(workers, only_cleanup_is_shielded, -EDEADLK, "aborting");
    }
}

/* ---- what holds it off ---- */

/* What a thread does when all others sleep. */
struct later {
    int fd;
    int port;
    int signal;
    yoke_token *token;
    yoke_post_node node;
    pthread_t thread;
};

static int set_event(void *arg)
{
    (void)arg;
    return yoke_event_set(&event);
}

static void *do_later(void *arg)
{
    struct later *later = arg;
    until_idle();
    if (later->fd > 0)
        check_int(write(later->fd, "x", 1), 1);
    if (later->port > 0) {
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)later->port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        check_int(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        close(fd);
    }
    if (later->token != NULL) {
        check_int(yoke_post(later->token, &later->node, set_event, NULL), 0);
        yoke_token_release(later->token);
    }
    if (later->signal > 0)
        check_int(kill(getpid(), later->signal), 0);
    return NULL;
}

static void begin_later(struct later *later)
{
    check_int(pthread_create(&later->thread, NULL, do_later, later), 0);
}

/* Waits for an event that `waker` sets, which waits for something else; with no other wait in the runtime. */
static int woken_by(yoke_fn waker, void *arg)
{
    yoke_event_init(&event);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, waker, arg), 0);
    return yoke_group_close(g, yoke_event_wait(&event));
}

static int sleeps(void *arg)
{
    (void)arg;
    check_int(yoke_sleep(a_while), 0);
    store(&waited, 1);
    return yoke_event_set(&event);
}

static int a_sleep(void *arg)
{
    (void)arg;
    return woken_by(sleeps, NULL);
}

static int a_deadline(void *arg)
{
    (void)arg;
    yoke_event_init(&event);
    YOKE_SCOPE(s, .deadline = yoke_after(a_while));
    check_int(yoke_scope_close(s, yoke_event_wait(&event)), -ETIMEDOUT);
    store(&waited, 1);
    return 0;
}

static int reads(void *arg)
{
    check_int(yoke_fd_readable(*(int *)arg), 0);
    return yoke_event_set(&event);
}

static int a_descriptor(void *arg)
{
    int fds[2];
    (void)arg;
    check_int(pipe(fds), 0);
    struct later later = { .fd = fds[1] };
    begin_later(&later);
    int rc = woken_by(reads, &fds[0]);
    pthread_join(later.thread, NULL);
    close(fds[0]);
    close(fds[1]);
    return rc;
}

static int accepts(void *arg)
{
    yoke_stream *connection = NULL;
    check_int(yoke_accept(arg, &connection), 0);
    check_int(yoke_close(connection), 0);
    return yoke_event_set(&event);
}

static int a_listener(void *arg)
{
    YOKE_SCOPED(yoke_listener) listener = NULL;
    char address[64];
    (void)arg;
    check_int(yoke_listen(&listener, "127.0.0.1:0", 1), 0);
    check(yoke_listener_address(listener, address, sizeof address) >= 0);
    struct later later = { .port = atoi(strrchr(address, ':') + 1) };
    begin_later(&later);
    int rc = woken_by(accepts, listener);
    pthread_join(later.thread, NULL);
    return rc;
}

static int waits_for_signal(void *arg)
{
    (void)arg;
    check_int(yoke_signal_wait(SIGUSR1), SIGUSR1);
    return yoke_event_set(&event);
}

static int a_signal(void *arg)
{
    struct later later = { .signal = SIGUSR1 };
    struct sigaction now;
    (void)arg;
    yoke_event_init(&event);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, waits_for_signal, NULL), 0);
    do {
        check_int(yoke_yield(), 0);
        sigaction(SIGUSR1, NULL, &now);
    } while (now.sa_handler == SIG_DFL); /* until it can be caught */
    begin_later(&later);
    int rc = yoke_group_close(g, yoke_event_wait(&event));
    pthread_join(later.thread, NULL);
    return rc;
}

static int job_over;

static int job(void *arg)
{
    (void)arg;
    store(&ready, 1);
    until_idle();
    store(&job_over, 1);
    return 0;
}

static int runs_a_job(void *arg)
{
    (void)arg;
    check_int(yoke_blocking(job, NULL), 0);
    return yoke_event_set(&event);
}

static int a_job(void *arg)
{
    (void)arg;
    return woken_by(runs_a_job, NULL);
}

static int a_token(void *arg)
{
    (void)arg;
    struct later later = { .fd = 0 };
    yoke_event_init(&event);
    YOKE_GROUP(g);
    check_int(yoke_token_acquire(&later.token, g), 0);
    begin_later(&later);
    int rc = yoke_group_close(g, yoke_event_wait(&event));
    pthread_join(later.thread, NULL);
    return rc;
}

static void whatever_may_still_come_holds_it_off(void **state)
{
    (void)state;
    yoke_fn mains[] = { a_descriptor, a_listener, a_signal, a_job, a_token };
    for (size_t i = 0; i < sizeof mains / sizeof *mains; i++)
        for (int workers = 1; workers <= 3; workers++) {
            assert_int_equal(run(workers, mains[i], NULL), 0);
            assert_false(reported("deadlock: "));
        }
    for (int workers = 1; workers <= 3; workers++) {
        run_for_a_while(workers, a_sleep, 0, "deadlock: ");
        run_for_a_while(workers, a_deadline, 0, "deadlock: ");
    }
}

static int a_far_deadline(void *arg)
{
    begin_later(arg);
    yoke_event_init(&event);
    YOKE_SCOPE(s, .deadline = yoke_after(YOKE_SEC(100000)));
    return yoke_scope_close(s, yoke_event_wait(&event));
}

static void a_timer_far_away_does_too(void **state)
{
    (void)state;
    struct later later = { .signal = SIGINT };
    int rc = run_with(a_far_deadline, &later, OPTIONS(.workers = 2, .signals = true, .stop_grace = -1));
    pthread_join(later.thread, NULL);
    assert_int_equal(rc, 0);
    assert_false(reported("deadlock: "));
}

static int signal_and_wait(void *arg)
{
    (void)arg;
    check_int(kill(getpid(), SIGINT), 0);
    return events(NULL);
}

static void a_signal_that_was_sent_is_heeded_first(void **state)
{
    (void)state;
    for (int i = repetitions(500); i > 0; i--) {
        assert_int_equal(run_with(signal_and_wait, NULL, OPTIONS(.workers = 1 + i % 2, .signals = true, .stop_grace = -1)), 0);
        assert_false(reported("deadlock: "));
        assert_int_equal(run_with(events, NULL, OPTIONS(.workers = 1 + i % 2, .signals = true)), -EDEADLK);
    }
}

static int no_deadline(void *arg)
{
    begin_later(arg);
    return events(NULL);
}

static void switched_off_nothing_is_said(void **state)
{
    (void)state;
    struct later later = { .signal = SIGINT };
    int rc = run_with(no_deadline, &later, OPTIONS(.workers = 2, .signals = true, .stop_grace = -1, .deadlock = "off"));
    pthread_join(later.thread, NULL);
    assert_int_equal(rc, 0);
    assert_false(reported("deadlock: "));
}

/* ---- and then does not any more ---- */

static void *release_later(void *arg)
{
    until_idle();
    check(!reported("deadlock: ")); /* held off until now */
    yoke_token_release(arg);
    return NULL;
}

static pthread_t releaser;

static int token_without_post(void *arg)
{
    yoke_token *token;
    (void)arg;
    yoke_event_init(&event);
    YOKE_GROUP(g);
    check_int(yoke_token_acquire(&token, g), 0);
    check_int(pthread_create(&releaser, NULL, release_later, token), 0);
    return yoke_group_close(g, yoke_event_wait(&event));
}

static int token_of_an_ended_group(void *arg)
{
    (void)arg;
    yoke_event_init(&event);
    YOKE_GROUP(g);
    check_int(yoke_token_acquire(arg, g), 0);
    check_int(yoke_group_close(g, 0), 0);
    return yoke_event_wait(&event);
}

static void the_last_release_of_a_token_lets_it_come(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++) {
        int rc = run(workers, token_without_post, NULL);
        pthread_join(releaser, NULL);
        assert_checks();
        assert_int_equal(rc, -EDEADLK);
        yoke_token *token;
        assert_int_equal(run(workers, token_of_an_ended_group, &token), -EDEADLK);
        yoke_token_release(token);
    }
}

static int abandons(void *arg)
{
    (void)arg;
    return yoke_blocking_with(YOKE_BLOCKING_USER, true, NULL, job, NULL);
}

static int waits_beside_an_abandoned_job(void *arg)
{
    (void)arg;
    yoke_event_init(&event);
    store(&ready, 0);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, abandons, NULL), 0);
    until_ready(1); /* it runs, and so cannot be taken back */
    check_int(yoke_group_cancel(g, 0), 0);
    check_int(yoke_group_close(g, 0), 0);
    return yoke_event_wait(&event);
}

static void look_at_job(void *ctx, const char *line)
{
    check_int(load(&job_over), 1);
    keep_report(ctx, line);
}

static void an_abandoned_job_is_waited_for(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++) {
        store(&job_over, 0);
        reports[0] = '\0';
        assert_int_equal(yoke_run(waits_beside_an_abandoned_job, NULL, YOKE_OPTIONS(.workers = workers, .report = look_at_job)), -EDEADLK);
        assert_checks();
        assert_true(reported("deadlock: "));
    }
}

/* ---- several runtimes ---- */

static int wait_for_own(void *arg)
{
    yoke_event_init(arg);
    return yoke_event_wait(arg);
}

static void *deadlock_beside(void *arg)
{
    yoke_event own;
    (void)arg;
    check_int(yoke_run(wait_for_own, &own, YOKE_OPTIONS(.workers = 1, .name = "dead", .report = keep_report)), -EDEADLK);
    return NULL;
}

static int live(void *arg)
{
    struct later *later = arg;
    pthread_t beside;
    yoke_event_init(&event);
    YOKE_GROUP(g);
    check_int(yoke_token_acquire(&later->token, g), 0);
    check_int(pthread_create(&beside, NULL, deadlock_beside, NULL), 0);
    begin_later(later);
    int rc = yoke_group_close(g, yoke_event_wait(&event));
    pthread_join(beside, NULL);
    pthread_join(later->thread, NULL);
    return rc;
}

static void one_runtime_s_is_not_the_other_s(void **state)
{
    (void)state;
    struct later later = { .fd = 0 };
    assert_int_equal(run_with(live, &later, OPTIONS(.workers = 2, .name = "live")), 0);
    assert_true(reported("dead: deadlock: "));
    assert_false(reported("live: "));
}

static int blocked_in_started(void *arg)
{
    return yoke_event_wait(arg);
}

static void a_started_runtime_waits_for_its_caller(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(100); i++) {
        yoke_runtime *rt;
        yoke_token *token;
        yoke_post_node node;
        yoke_event own;
        reports[0] = '\0';
        yoke_event_init(&own);
        assert_int_equal(yoke_start(&rt, OPTIONS(.workers = 2)), 0);
        assert_int_equal(yoke_runtime_token(rt, &token), 0);
        assert_int_equal(yoke_post(token, &node, blocked_in_started, &own), 0);
        yoke_token_release(token);
        if (i < 3)
            until_idle();
        assert_int_equal(yoke_stop(rt), 0);
        assert_false(reported("deadlock: "));
        assert_checks();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_wait_is_reported_and_the_run_ends),
        cmocka_unit_test(it_tells_who_has_what_and_where_from),
        cmocka_unit_test(the_run_says_so_whatever_main_returns),
        cmocka_unit_test(what_no_cancel_ends_aborts_with_the_report),
        cmocka_unit_test(a_shield_with_a_deadline_is_waited_for),
        cmocka_unit_test(whatever_may_still_come_holds_it_off),
        cmocka_unit_test(a_timer_far_away_does_too),
        cmocka_unit_test(a_signal_that_was_sent_is_heeded_first),
        cmocka_unit_test(switched_off_nothing_is_said),
        cmocka_unit_test(the_last_release_of_a_token_lets_it_come),
        cmocka_unit_test(an_abandoned_job_is_waited_for),
        cmocka_unit_test(one_runtime_s_is_not_the_other_s),
        cmocka_unit_test(a_started_runtime_waits_for_its_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
