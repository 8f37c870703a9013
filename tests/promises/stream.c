/* Streams: every verb, waiting, cancelling, closing under a waiter, addresses; real sockets on the loopback interface. */
#include "support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* ---- reading and writing ---- */

static int read_late(void *arg)
{
    yoke_stream *s = *(yoke_stream **)arg;
    char text[16];
    check_int(yoke_read(s, text, sizeof text), 5); /* waits: nothing is there yet */
    check(memcmp(text, "hello", 5) == 0);
    check_int(yoke_read(s, text, sizeof text), 0); /* the other end has closed */
    check_int(yoke_read(s, text, 0), 0);
    check_int(yoke_close(s), 0);
    check_int(yoke_close(s), -EBADF);
    check_int(yoke_read(s, text, sizeof text), -EBADF);
    return 0;
}

static int through(int (*make)(yoke_stream **, yoke_stream **))
{
    yoke_stream *a, *b;
    YOKE_TRY(make(&a, &b));
    YOKE_GROUP(g);
    check_int(yoke_spawn(g, read_late, yoke_stream *, a), 0);
    check_int(yoke_yield(), 0);
    check_int(yoke_write(b, "hello", 5), 5);
    check_int(yoke_sleep(YOKE_US(100)), 0);
    check_int(yoke_close(b), 0);
    return yoke_group_close(g, 0);
}

static int pair_and_pipe(void *arg)
{
    (void)arg;
    check_int(through(yoke_stream_pair), 0);
    check_int(through(yoke_pipe), 0);
    return 0;
}

static void a_reader_waits_and_sees_the_end(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++)
        assert_int_equal(run(workers, pair_and_pipe, NULL), 0);
    assert_string_equal(reports, "");
}

enum { MUCH = 3 * 1000 * 1000 };

static int write_much(void *arg)
{
    yoke_stream *s = *(yoke_stream **)arg;
    size_t done;
    char *data = malloc(MUCH);
    for (int i = 0; i < MUCH; i++)
        data[i] = (char)(i * 7 + i / 1000);
    check_int(yoke_write_all(s, data, MUCH, &done), 0); /* more than any buffer takes: it waits for the reader */
    check_int(done, MUCH);
    free(data);
    return yoke_close(s);
}

static int read_much(void *arg)
{
    int (*make)(yoke_stream **, yoke_stream **) = *(int (**)(yoke_stream **, yoke_stream **))arg;
    yoke_stream *a, *b;
    size_t done;
    YOKE_TRY(make(&a, &b));
    YOKE_GROUP(g);
    check_int(yoke_spawn(g, write_much, yoke_stream *, b), 0);
    char *data = malloc(MUCH + 10);
    check_int(yoke_read_exact(a, data, MUCH, &done), 0);
    check_int(done, MUCH);
    int wrong = 0;
    for (int i = 0; i < MUCH; i++)
        wrong += data[i] != (char)(i * 7 + i / 1000);
    check_int(wrong, 0);
    check_int(yoke_read_exact(a, data, 10, &done), -ENODATA);
    check_int(done, 0);
    free(data);
    check_int(yoke_close(a), 0);
    return yoke_group_close(g, 0);
}

static void more_than_a_buffer_takes_goes_through_in_order(void **state)
{
    (void)state;
    int (*makes[])(yoke_stream **, yoke_stream **) = { yoke_stream_pair, yoke_pipe };
    for (int i = 0; i < 2; i++)
        for (int workers = 1; workers <= 2; workers++)
            assert_int_equal(run(workers, read_much, &makes[i]), 0);
}

static int vectors(void *arg)
{
    (void)arg;
    int (*makes[])(yoke_stream **, yoke_stream **) = { yoke_stream_pair, yoke_pipe };
    for (int i = 0; i < 2; i++) {
        yoke_stream *a, *b;
        char left[3], right[8];
        struct iovec out[] = { { .iov_base = (char[]){ "abcd" }, .iov_len = 4 }, { .iov_base = (char[]){ "efg" }, .iov_len = 3 } };
        struct iovec in[] = { { .iov_base = left, .iov_len = sizeof left }, { .iov_base = right, .iov_len = sizeof right } };
        YOKE_TRY(makes[i](&a, &b));
        check_int(yoke_writev(b, out, 2), 7);
        check_int(yoke_readv(a, in, 2), 7);
        check(memcmp(left, "abc", 3) == 0 && memcmp(right, "defg", 4) == 0);
        check_int(yoke_close(a), 0);
        check_int(yoke_write(b, "x", 1), -EPIPE); /* and no SIGPIPE */
        check_int(yoke_writev(b, out, 2), -EPIPE);
        check_int(yoke_close(b), 0);
    }
    return 0;
}

static void vectors_and_broken_pipes(void **state)
{
    (void)state;
    assert_int_equal(run(1, vectors, NULL), 0);
}

/* ---- cancelling and closing ---- */

static int flips; /* tasks that have come as far as their read: on one worker they wait in it then */

static void until_flips(int n)
{
    while (load(&flips) < n)
        check_int(yoke_yield(), 0);
}

static int read_cancelled(void *arg)
{
    char c;
    yoke_stream *s = *(yoke_stream **)arg;
    add(&flips, 1);
    check_int(yoke_read(s, &c, 1), -ECANCELED);
    check_int(yoke_write(s, "x", 1), -ECANCELED); /* checked first, though there is room */
    return -ECANCELED;
}

static int read_closed(void *arg)
{
    char c;
    add(&flips, 1);
    check_int(yoke_read(*(yoke_stream **)arg, &c, 1), -EBADF);
    return 0;
}

static int cancel_and_close(void *arg)
{
    yoke_stream *a, *b;
    char c;
    (void)arg;
    YOKE_TRY(yoke_stream_pair(&a, &b));
    store(&flips, 0);
    YOKE_GROUP(g);
    check_int(yoke_spawn(g, read_cancelled, yoke_stream *, a), 0);
    until_flips(1);
    check_int(yoke_group_cancel(g, 0), 0);
    check_int(yoke_group_close(g, 0), 0);
    YOKE_SCOPE(late, .deadline = yoke_after(YOKE_US(300)));
    check_int(yoke_scope_close(late, (int)yoke_read(a, &c, 1)), -ETIMEDOUT);
    check_int(yoke_write(b, "y", 1), 1);
    check_int(yoke_read(a, &c, 1), 1); /* the stream is as it was */
    check_int(c, 'y');
    YOKE_GROUP(h);
    check_int(yoke_spawn(h, read_closed, yoke_stream *, a), 0);
    until_flips(2);
    check_int(yoke_close(a), 0);
    check_int(yoke_group_close(h, 0), 0);
    check_int(yoke_read(b, &c, 1), 0); /* the other end sees it */
    return yoke_close(b);
}

static void a_cancel_or_a_close_wakes_who_waits(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++)
        assert_int_equal(run(workers, cancel_and_close, NULL), 0);
}

static int second_reader(void *arg)
{
    yoke_stream *a, *b;
    char c;
    (void)arg;
    YOKE_TRY(yoke_stream_pair(&a, &b));
    YOKE_GROUP(g);
    int before = load(&flips);
    check_int(yoke_spawn(g, read_closed, yoke_stream *, a), 0);
    while (load(&flips) == before)
        check_int(yoke_yield(), 0);
    check_int(yoke_read(a, &c, 1), -EBUSY);
    check_int(yoke_write(a, "z", 1), 1); /* the other direction is free */
    check_int(yoke_close(a), 0);
    check_int(yoke_group_close(g, 0), 0);
    return yoke_close(b);
}

static void a_second_reader_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run(1, second_reader, NULL), 0);
}

static int stale(void *arg)
{
    yoke_stream *old, *b, *c, *d;
    char byte;
    (void)arg;
    YOKE_TRY(yoke_stream_pair(&old, &b));
    check_int(yoke_close(old), 0);
    check_int(yoke_close(b), 0);
    YOKE_TRY(yoke_stream_pair(&c, &d)); /* the same records and descriptors, used again */
    check_int(yoke_read(old, &byte, 1), -EBADF);
    check_int(yoke_write(b, "q", 1), -EBADF);
    check_int(yoke_close(old), -EBADF);
    check_int(yoke_close(NULL), -EBADF);
    check_int(yoke_write(c, "q", 1), 1);
    check_int(yoke_read(d, &byte, 1), 1);
    check_int(yoke_close(c), 0);
    return yoke_close(d);
}

static void a_stale_handle_touches_nobody(void **state)
{
    (void)state;
    assert_int_equal(run(1, stale, NULL), 0);
    char c;
    assert_int_equal(yoke_read(NULL, &c, 1), -ENOTRECOVERABLE);
}

static int forget_one(void *arg)
{
    yoke_stream *a, *b;
    (void)arg;
    YOKE_TRY(yoke_pipe(&a, &b));
    return yoke_close(a);
}

static void what_is_left_open_is_reported_and_closed(void **state)
{
    (void)state;
    int before = open("/dev/null", O_RDONLY);
    close(before);
    assert_int_equal(run(1, forget_one, NULL), 0);
    assert_true(reported("1 streams, listeners or files were never closed"));
    int after = open("/dev/null", O_RDONLY);
    close(after);
    assert_int_equal(before, after);
}

/* ---- connections ---- */

static int serve_one(void *arg)
{
    YOKE_SCOPED(yoke_stream) s = *(yoke_stream **)arg;
    char text[64];
    ssize_t n;
    while ((n = yoke_read(s, text, sizeof text)) > 0)
        YOKE_TRY(yoke_write_all(s, text, (size_t)n, NULL));
    return (int)n;
}

static int serve_all(void *arg)
{
    yoke_listener *l = *(yoke_listener **)arg;
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    int rc;
    for (;;) {
        yoke_stream *s;
        if ((rc = yoke_accept(l, &s)) < 0)
            break;
        rc = yoke_spawn(g, serve_one, yoke_stream *, s);
        check_int(rc, 0);
    }
    check_int(rc, -EBADF); /* the listener was closed */
    return yoke_group_close(g, 0);
}

struct client {
    const char *address;
    int rounds;
};

static int be_client(void *arg)
{
    const struct client *c = arg;
    char out[32], in[32];
    YOKE_SCOPED(yoke_stream) s = NULL;
    YOKE_TRY(yoke_dial(&s, c->address));
    for (int i = 0; i < c->rounds; i++) {
        int n = snprintf(out, sizeof out, "%p %d", (void *)s, i);
        YOKE_TRY(yoke_write_all(s, out, (size_t)n, NULL));
        YOKE_TRY(yoke_read_exact(s, in, (size_t)n, NULL));
        check(memcmp(in, out, (size_t)n) == 0);
    }
    check_int(yoke_shutdown(s, YOKE_WRITING), 0);
    check_int(yoke_read(s, in, 1), 0);
    return 0;
}

static int echo(void *arg)
{
    char address[128], again[128], name[160];
    yoke_listener *l;
    YOKE_TRY(yoke_listen(&l, arg, 0));
    check_int(yoke_listener_address(l, address, 3), -ENOSPC);
    check_int(yoke_listener_address(l, address, sizeof address), 0);
    check(yoke_listener_fd(l) >= 0);
    YOKE_GROUP(g);
    check_int(yoke_spawn(g, serve_all, yoke_listener *, l), 0);
    YOKE_GROUP(clients);
    for (int i = 0; i < 40; i++)
        check_int(yoke_spawn(clients, be_client, struct client, address, 20), 0);
    if (strncmp(address, "127.0.0.1:", 10) == 0) { /* by name too */
        snprintf(name, sizeof name, "localhost:%s", address + 10);
        check_int(yoke_spawn(clients, be_client, struct client, name, 3), 0);
    }
    check_int(yoke_group_close(clients, 0), 0);
    YOKE_SCOPED(yoke_stream) s = NULL;
    check_int(yoke_dial(&s, address), 0);
    check_int(yoke_stream_peer(s, again, sizeof again), 0);
    check(strcmp(again, address) == 0);
    check_int(yoke_stream_local(s, again, sizeof again), 0);
    yoke_stream *other = NULL;
    check_int(yoke_close(s), 0);
    s = NULL;
    check_int(yoke_listener_close(l), 0);
    check_int(yoke_accept(l, &other), -EBADF);
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_dial(&other, address), -ECONNREFUSED);
    check(other == NULL);
    return 0;
}

static void clients_are_served(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "unix:@yoke-test-%d", (int)getpid());
    const char *addresses[] = { "127.0.0.1:0", "[::1]:0", path };
    for (int i = 0; i < 3; i++)
        for (int workers = 1; workers <= 2; workers++) {
            int rc = run(workers, echo, (void *)(uintptr_t)addresses[i]);
            if (i == 1 && rc == -EADDRNOTAVAIL)
                continue; /* a machine without IPv6 */
            assert_int_equal(rc, 0);
        }
    assert_string_equal(reports, "");
}

static int addresses(void *arg)
{
    yoke_stream *s;
    yoke_listener *l, *m;
    char text[64];
    (void)arg;
    check_int(yoke_dial(&s, "nonsense"), -EINVAL);
    check_int(yoke_dial(&s, "127.0.0.1:70000"), -EINVAL);
    check_int(yoke_dial(&s, "127.0.0.1:"), -EINVAL);
    check_int(yoke_dial(&s, "::1:80"), -EINVAL);
    check_int(yoke_dial(&s, "[zz]:80"), -EINVAL);
    check_int(yoke_dial(&s, "unix:"), -EINVAL);
    check_int(yoke_dial(&s, "unix:/nonexistent/socket"), -ENOENT);
    check_int(yoke_dial(&s, NULL), -EINVAL);
    check(yoke_dial(&s, "no-such-host.invalid:80") < 0);
    check_int(yoke_listen(&l, "127.0.0.1:0", 1), 0);
    check_int(yoke_listener_address(l, text, sizeof text), 0);
    check_int(yoke_listen(&m, text, 1), -EADDRINUSE);
    return yoke_listener_close(l);
}

static void bad_addresses_are_errors(void **state)
{
    (void)state;
    assert_int_equal(run(1, addresses, NULL), 0);
}

static int adopt(void *arg)
{
    yoke_stream *s;
    char c;
    (void)arg;
    int fds[2], file = open("/proc/self/exe", O_RDONLY);
    check_int(yoke_stream_adopt(&s, file), -EPERM);
    check(s == NULL);
    check_int(close(file), 0); /* still ours */
    check_int(yoke_stream_adopt(&s, -1), -EBADF);
    check_int(pipe(fds), 0);
    check_int(yoke_stream_adopt(&s, fds[0]), 0);
    check_int(yoke_stream_fd(s), fds[0]);
    check_int(write(fds[1], "k", 1), 1);
    check_int(yoke_read(s, &c, 1), 1);
    check_int(c, 'k');
    check_int(close(fds[1]), 0);
    return yoke_close(s);
}

static void descriptors_can_be_adopted(void **state)
{
    (void)state;
    assert_int_equal(run(1, adopt, NULL), 0);
}

static int write_late(void *arg)
{
    check_int(yoke_sleep(YOKE_US(200)), 0); /* the reader waits by then, as a rule */
    check_int(write(*(int *)arg, "k", 1), 1);
    return 0;
}

/* A registration that the number had before must not keep the events of the new stream: hangs else, and the time limit tells. */
static int adopt_again(void *arg)
{
    int fds[2], rc = 0;
    (void)arg;
    check_int(pipe(fds), 0);
    for (int i = 0; i < 5; i++) { /* the number is the same each time, and so is what is open behind it */
        yoke_stream *s;
        char c = 0;
        int copy = dup(fds[0]);
        YOKE_GROUP(g);
        if (i == 3) { /* it was somebody else's at first */
            check_int(write(fds[1], "x", 1), 1);
            check_int(yoke_fd_readable(copy), 0);
            check_int(read(copy, &c, 1), 1);
        }
        check_int(yoke_stream_adopt(&s, copy), 0);
        check_int(yoke_spawn_ptr(g, write_late, &fds[1]), 0);
        check_int(yoke_read(s, &c, 1), 1);
        check_int(c, 'k');
        check_int(yoke_close(s), 0);
        rc = yoke_group_close(g, rc);
    }
    int copy = dup(fds[0]); /* and what a stream has left can be waited for */
    check_int(write(fds[1], "y", 1), 1);
    check_int(yoke_fd_readable(copy), 0);
    check_int(yoke_fd_forget(copy), 0);
    check_int(close(copy), 0);
    check_int(close(fds[0]), 0);
    check_int(close(fds[1]), 0);
    return rc;
}

static void a_number_can_be_adopted_again(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++)
        assert_int_equal(run(workers, adopt_again, NULL), 0);
}

static int flip(void *arg);

static void spawn_reader(yoke_group g, yoke_task *task, yoke_stream *s)
{
    int before = load(&flips);
    check_int(yoke_spawn_with(g, (.handle = task), flip, yoke_stream *, s), 0);
    while (load(&flips) == before)
        check_int(yoke_yield(), 0);
}

/* Urgent data cuts a read short though there is more behind it. */
static int urgent(void *arg)
{
    char address[64], text[16];
    yoke_listener *l;
    yoke_stream *a, *b;
    (void)arg;
    YOKE_TRY(yoke_listen(&l, "127.0.0.1:0", 1));
    YOKE_TRY(yoke_listener_address(l, address, sizeof address));
    YOKE_TRY(yoke_dial(&a, address));
    YOKE_TRY(yoke_accept(l, &b));
    for (int i = 0; i < repetitions(200); i++) {
        yoke_task task;
        YOKE_GROUP(g);
        spawn_reader(g, &task, b);
        check_int(yoke_sleep(YOKE_US(100)), 0); /* the worker has the poll: what now comes without a wait is mostly one event */
        check_int(yoke_write(a, "before", 6), 6);
        check_int(send(yoke_stream_fd(a), "!", 1, MSG_OOB), 1);
        check_int(yoke_write(a, "after", 5), 5);
        check_int(yoke_group_close(g, 0), 0); /* one byte is read, and the event is over */
        size_t got = 0;
        while (got < 10) { /* each time with room for more */
            ssize_t n = yoke_read(b, text + got, sizeof text - got);
            YOKE_TRY(n);
            got += (size_t)n;
        }
        check(memcmp(text, "eforeafter", 10) == 0);
    }
    return yoke_close(a) | yoke_close(b) | yoke_listener_close(l);
}

static void urgent_data_hides_nothing(void **state)
{
    (void)state;
    assert_int_equal(run(1, urgent, NULL), 0);
}

/* ---- numbers of descriptors, runtimes, the end ---- */

/* The number of a descriptor is given to nobody while a task is inside the call that waits for it, and to the next one afterwards. */
static int reuse(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        yoke_stream *old, *b, *c, *d, *e, *f;
        yoke_task task;
        char byte;
        int result;
        YOKE_TRY(yoke_stream_pair(&old, &b));
        int number = yoke_stream_fd(old);
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        spawn_reader(g, &task, old);
        check_int(yoke_close(old), 0); /* the reader has not run since: one worker */
        YOKE_TRY(yoke_stream_pair(&c, &d));
        check(yoke_stream_fd(c) != number && yoke_stream_fd(d) != number);
        check_int(yoke_write(c, "c", 1), 1);
        check_int(yoke_task_await(task, &result), 0);
        check_int(result, -EBADF);
        check_int(yoke_group_close(g, 0), 0);
        YOKE_TRY(yoke_stream_pair(&e, &f));
        check_int(yoke_stream_fd(e), number); /* the lowest one that is free */
        check_int(yoke_write(f, "e", 1), 1);
        check_int(yoke_read(old, &byte, 1), -EBADF);
        check_int(yoke_read(e, &byte, 1), 1);
        check_int(byte, 'e');
        check_int(yoke_read(d, &byte, 1), 1);
        check_int(byte, 'c');
        check_int(yoke_close(b) | yoke_close(c) | yoke_close(d) | yoke_close(e) | yoke_close(f), 0);
    }
    return 0;
}

static void a_number_is_given_anew_when_nobody_uses_it(void **state)
{
    (void)state;
    assert_int_equal(run(1, reuse, NULL), 0);
}

struct halves {
    pthread_barrier_t ready;
    char address[2][64];
};

struct half {
    struct halves *both;
    int which, rc;
};

static int meet(void *arg)
{
    pthread_barrier_wait(&((struct halves *)arg)->ready);
    return 0;
}

/* Serves the other runtime's clients while its own talk to the other one. */
static int be_half(void *arg)
{
    struct half *half = arg;
    yoke_listener *l;
    YOKE_TRY(yoke_listen(&l, "127.0.0.1:0", 0));
    YOKE_TRY(yoke_listener_address(l, half->both->address[half->which], 64));
    check_int(yoke_blocking(meet, half->both), 0);
    YOKE_GROUP(g);
    check_int(yoke_spawn(g, serve_all, yoke_listener *, l), 0);
    YOKE_GROUP(clients);
    for (int i = 0; i < 20; i++)
        check_int(yoke_spawn(clients, be_client, struct client, half->both->address[1 - half->which], 30), 0);
    check_int(yoke_group_close(clients, 0), 0);
    check_int(yoke_blocking(meet, half->both), 0); /* both have been served */
    check_int(yoke_listener_close(l), 0);
    return yoke_group_close(g, 0);
}

static void *run_half(void *arg)
{
    struct half *half = arg;
    half->rc = yoke_run(be_half, half, OPTIONS(.workers = 2));
    return NULL;
}

static void two_runtimes_at_once(void **state)
{
    struct halves both;
    struct half first = { .both = &both, .which = 0, .rc = -1 }, second = { .both = &both, .which = 1, .rc = -1 };
    pthread_t thread;
    (void)state;
    reports[0] = '\0';
    pthread_barrier_init(&both.ready, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, run_half, &second), 0);
    run_half(&first);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&both.ready);
    assert_checks();
    assert_int_equal(first.rc, 0);
    assert_int_equal(second.rc, 0);
    assert_string_equal(reports, "");
}

static int exchanged, cutting;

/* A call that has begun may see that the other end was cancelled first, and is closed. */
static int ping(void *arg)
{
    YOKE_SCOPED(yoke_stream) s = *(yoke_stream **)arg;
    int rc;
    while ((rc = yoke_write_all(s, "ping", 4, NULL)) == 0 && (rc = yoke_read_exact(s, (char[4]){ 0 }, 4, NULL)) == 0)
        add(&exchanged, 1);
    return (rc == -ECONNRESET || rc == -EPIPE || rc == -ENODATA) && load(&cutting) ? yoke_checkpoint() : rc;
}

/* Cancelled at full load, with readers and writers at every point: all of them leave, everything is closed. */
static int cut_under_load(void *arg)
{
    (void)arg;
    store(&exchanged, 0);
    store(&cutting, 0);
    YOKE_GROUP(g);
    for (int i = 0; i < 50; i++) {
        yoke_stream *a, *b;
        YOKE_TRY(yoke_stream_pair(&a, &b));
        check_int(yoke_spawn(g, ping, yoke_stream *, a), 0);
        check_int(yoke_spawn(g, ping, yoke_stream *, b), 0);
    }
    while (load(&exchanged) < 1000)
        check_int(yoke_yield(), 0);
    store(&cutting, 1);
    check_int(yoke_group_cancel(g, -EXDEV), 0);
    return yoke_group_close(g, 0);
}

static void a_cancel_under_load_leaves_nothing(void **state)
{
    (void)state;
    int before = dup(2);
    close(before);
    for (int workers = 1; workers <= 4; workers++) {
        assert_int_equal(run(workers, cut_under_load, NULL), -EXDEV);
        assert_false(reported("never closed"));
        int after = dup(2); /* the lowest number that is free is the same */
        close(after);
        assert_int_equal(before, after);
    }
}

/* ---- races ---- */

static int flip(void *arg)
{
    yoke_stream *s = *(yoke_stream **)arg;
    char c;
    add(&flips, 1);
    ssize_t n = yoke_read(s, &c, 1);
    return n == 1 ? 1 : (int)n;
}


/* A byte against a cancel: whoever wins, the byte is read once or still there. */
static int byte_against_cancel(void *arg)
{
    uint64_t state = seed() + (uint64_t)(uintptr_t)arg;
    for (int i = 0; i < repetitions(1500); i++) {
        yoke_stream *a, *b;
        yoke_task task;
        int got = 0;
        YOKE_TRY(yoke_stream_pair(&a, &b));
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        check_int(yoke_spawn_with(g, (.handle = &task), flip, yoke_stream *, a), 0);
        jitter(&state);
        if (next_random(&state) % 2 == 0) {
            check_int(yoke_write(b, "b", 1), 1);
            jitter(&state);
            check_int(yoke_task_cancel(task), 0);
        } else {
            check_int(yoke_task_cancel(task), 0);
            jitter(&state);
            check_int(yoke_write(b, "b", 1), 1);
        }
        check_int(yoke_task_await(task, &got), 0);
        check(got == 1 || got == -ECANCELED);
        check_int(yoke_group_close(g, 0), 0);
        if (got != 1) {
            char c = 0;
            check_int(yoke_read(a, &c, 1), 1);
            check_int(c, 'b');
        }
        check_int(yoke_close(a), 0);
        check_int(yoke_close(b), 0);
    }
    return 0;
}

static int closer(void *arg)
{
    return yoke_close(*(yoke_stream **)arg);
}

/* Two closers and a reader at once: one closer wins, the reader leaves, descriptors are used again at once. */
static int close_against_read(void *arg)
{
    uint64_t state = seed() + (uint64_t)(uintptr_t)arg;
    for (int i = 0; i < repetitions(1500); i++) {
        yoke_stream *a, *b;
        yoke_task tasks[3];
        int results[3];
        YOKE_TRY(yoke_stream_pair(&a, &b));
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        check_int(yoke_spawn_with(g, (.handle = &tasks[0]), flip, yoke_stream *, a), 0);
        jitter(&state);
        check_int(yoke_spawn_with(g, (.handle = &tasks[1]), closer, yoke_stream *, a), 0);
        check_int(yoke_spawn_with(g, (.handle = &tasks[2]), closer, yoke_stream *, a), 0);
        jitter(&state);
        for (int k = 0; k < 3; k++)
            check_int(yoke_task_await(tasks[k], &results[k]), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(results[0], -EBADF);
        check((results[1] == 0 && results[2] == -EBADF) || (results[2] == 0 && results[1] == -EBADF));
        check_int(yoke_close(b), 0);
    }
    return 0;
}

static int storm(void *arg)
{
    yoke_fn fn = *(yoke_fn *)arg;
    (void)seed();
    YOKE_GROUP(g);
    for (uintptr_t i = 0; i < 3; i++)
        check_int(yoke_spawn_ptr(g, fn, (void *)i), 0);
    return yoke_group_close(g, 0);
}

static void a_byte_is_read_or_still_there(void **state)
{
    (void)state;
    yoke_fn fn = byte_against_cancel;
    assert_int_equal(run(4, storm, &fn), 0);
}

static void a_close_wins_once_and_strikes_nobody_else(void **state)
{
    (void)state;
    yoke_fn fn = close_against_read;
    assert_int_equal(run(4, storm, &fn), 0);
    assert_string_equal(reports, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_waits_and_sees_the_end),
        cmocka_unit_test(more_than_a_buffer_takes_goes_through_in_order),
        cmocka_unit_test(vectors_and_broken_pipes),
        cmocka_unit_test(a_cancel_or_a_close_wakes_who_waits),
        cmocka_unit_test(a_second_reader_is_refused),
        cmocka_unit_test(a_stale_handle_touches_nobody),
        cmocka_unit_test(what_is_left_open_is_reported_and_closed),
        cmocka_unit_test(clients_are_served),
        cmocka_unit_test(bad_addresses_are_errors),
        cmocka_unit_test(descriptors_can_be_adopted),
        cmocka_unit_test(a_number_can_be_adopted_again),
        cmocka_unit_test(urgent_data_hides_nothing),
        cmocka_unit_test(a_number_is_given_anew_when_nobody_uses_it),
        cmocka_unit_test(two_runtimes_at_once),
        cmocka_unit_test(a_cancel_under_load_leaves_nothing),
        cmocka_unit_test(a_byte_is_read_or_still_there),
        cmocka_unit_test(a_close_wins_once_and_strikes_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
