/* Each system call of io/ fails once in turn: the failing call says so, or passes over what is nobody's failure; nothing leaks; all goes on. */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/stat.h>

#include "platform.h"
#include "sanitizer.h"
#include "uring.h"

static int descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return -1;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
#ifdef YOKE__TSAN
    return n > 0 ? 0 : -1; /* it opens a pipe to its symbolizer when it first has to look at a suppression */
#else
    return n;
#endif
}

/* ---- what is done: a bit of everything. The first error is returned, everything is closed ---- */

static int echo_one(void *arg)
{
    YOKE_SCOPED(yoke_stream) s = *(yoke_stream **)arg;
    char text[64];
    ssize_t n;
    while ((n = yoke_read(s, text, sizeof text)) > 0)
        YOKE_TRY(yoke_write_all(s, text, (size_t)n, NULL));
    return (int)n;
}

struct server {
    yoke_listener *listener;
    yoke_group group; /* of all: so that the first failure is told, and not what follows from it */
};

static int serve_three(void *arg)
{
    struct server *server = arg;
    for (int i = 0; i < 3; i++) {
        YOKE_SCOPED(yoke_stream) s = NULL;
        YOKE_TRY(yoke_accept(server->listener, &s));
        YOKE_TRY(yoke_spawn(server->group, echo_one, yoke_stream *, s));
        s = NULL;
    }
    return 0;
}

static int converse(void *arg)
{
    char text[64] = "";
    YOKE_SCOPED(yoke_stream) s = NULL;
    YOKE_TRY(yoke_dial(&s, arg));
    for (int i = 0; i < 3; i++) {
        YOKE_TRY(yoke_write_all(s, "0123456789", 10, NULL));
        YOKE_TRY(yoke_read_exact(s, text, 10, NULL));
        check(memcmp(text, "0123456789", 10) == 0);
    }
    YOKE_TRY(yoke_shutdown(s, YOKE_WRITING));
    ssize_t n = yoke_read(s, text, 1);
    return (int)n;
}

static int sockets(void)
{
    char address[64];
    YOKE_SCOPED(yoke_listener) l = NULL;
    YOKE_TRY(yoke_listen(&l, "127.0.0.1:0", 0));
    YOKE_TRY(yoke_listener_address(l, address, sizeof address));
    YOKE_GROUP(g);
    int rc = yoke_spawn(g, serve_three, struct server, l, g);
    for (int i = 0; i < 3 && rc >= 0; i++)
        rc = yoke_spawn_ptr(g, converse, address);
    return yoke_group_close(g, rc);
}

static int send_vector(void *arg)
{
    struct iovec out[] = { { .iov_base = (char[]){ "ab" }, .iov_len = 2 }, { .iov_base = (char[]){ "cd" }, .iov_len = 2 } };
    yoke_stream *s = *(yoke_stream **)arg;
    ssize_t n = yoke_writev(s, out, 2);
    YOKE_TRY(n);
    return yoke_write_all(s, &"abcd"[n], (size_t)(4 - n), NULL);
}

static int local(int (*make)(yoke_stream **, yoke_stream **))
{
    char text[4];
    YOKE_SCOPED(yoke_stream) a = NULL;
    YOKE_SCOPED(yoke_stream) b = NULL;
    YOKE_TRY(make(&a, &b));
    YOKE_GROUP(g);
    int rc = yoke_spawn(g, send_vector, yoke_stream *, b); /* the reader waits first */
    if (rc == 0) {
        struct iovec in[] = { { .iov_base = text, .iov_len = 1 }, { .iov_base = text + 1, .iov_len = 3 } };
        ssize_t n = yoke_readv(a, in, 2);
        rc = n < 0 ? (int)n : yoke_read_exact(a, text + n, (size_t)(4 - n), NULL);
        if (rc == 0)
            check(memcmp(text, "abcd", 4) == 0);
    }
    return yoke_group_close(g, rc);
}

/* Closes a descriptor of its own if nobody took it over. */
static void close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define OWN_FD(name) __attribute__((cleanup(close_fd))) int name

static int others(void)
{
    int fds[2];
    char c;
    check_int(pipe(fds), 0);
    OWN_FD(reader) = fds[0];
    OWN_FD(writer) = fds[1];
    YOKE_SCOPED(yoke_stream) in = NULL;
    YOKE_SCOPED(yoke_stream) out = NULL;
    YOKE_TRY(yoke_fd_writable(writer));
    check_int(yoke_fd_forget(writer), 0);
    YOKE_TRY(yoke_stream_share(&in, reader));
    YOKE_TRY(yoke_stream_adopt(&out, writer));
    writer = -1;
    YOKE_TRY(yoke_write(out, "s", 1));
    YOKE_TRY(yoke_read(in, &c, 1));
    check_int(c, 's');
    return 0;
}

/* A terminal's other end: it cannot be opened anew, so that the kernel is asked, and then the pool makes the call. */
static int type_late(void *arg)
{
    YOKE_TRY(yoke_yield());
    return write(*(int *)arg, "t\n", 2) == 2 ? 0 : -EIO;
}

static int terminals(void)
{
    char text[8];
    OWN_FD(master) = posix_openpt(O_RDWR | O_NOCTTY);
    check(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    OWN_FD(terminal) = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    check(terminal >= 0);
    YOKE_SCOPED(yoke_stream) s = NULL;
    YOKE_TRY(yoke_stream_share(&s, master));
    YOKE_GROUP(g);
    int rc = yoke_spawn_ptr(g, type_late, &terminal);
    for (ssize_t got = 0, n; rc == 0 && got < 3; got += n) { /* the terminal adds a carriage return */
        n = yoke_read(s, text, sizeof text);
        if (n <= 0)
            rc = n < 0 ? (int)n : -EIO;
    }
    if (rc == 0) {
        ssize_t n = yoke_write(s, "a", 1);
        rc = n < 0 ? (int)n : 0;
    }
    return yoke_group_close(g, rc);
}

static int wait_for_signal(void *arg)
{
    (void)arg;
    int rc = yoke_signal_wait(SIGWINCH);
    return rc < 0 ? rc : 0;
}

static int signals(void)
{
    YOKE_GROUP(g);
    int rc = yoke_spawn_ptr(g, wait_for_signal, NULL);
    struct sigaction now = { .sa_handler = SIG_DFL };
    while (rc == 0 && now.sa_handler == SIG_DFL && (rc = yoke_yield()) == 0)
        (void)sigaction(SIGWINCH, NULL, &now);
    if (rc == 0)
        check_int(kill(getpid(), SIGWINCH), 0);
    return yoke_group_close(g, rc);
}

static int send_ten(void *arg)
{
    yoke_channel *c = *(yoke_channel **)arg;
    for (int i = 0; i < 10; i++)
        YOKE_TRY(yoke_channel_send(c, &i));
    return yoke_channel_close(c);
}

static int hold_it(void *arg)
{
    yoke_mutex *mutex = arg;
    YOKE_TRY(yoke_mutex_lock(mutex));
    int rc = yoke_yield();
    yoke_mutex_unlock(mutex);
    return rc;
}

/* What is built in sync/ makes no system call of its own, but it allocates, and it waits. */
static int meetings(void)
{
    int number, expected = 0, rc;
    yoke_mutex mutex = YOKE_MUTEX_INIT;
    YOKE_SCOPED(yoke_channel) c = NULL;
    YOKE_TRY(yoke_channel_create(&c, sizeof number, 2));
    YOKE_GROUP(g);
    rc = yoke_spawn(g, send_ten, yoke_channel *, c);
    for (int i = 0; i < 4 && rc == 0; i++)
        rc = yoke_spawn_ptr(g, hold_it, &mutex);
    while (rc == 0 && (rc = yoke_channel_receive(c, &number)) == 0)
        check_int(number, expected++);
    if (rc == -ENODATA) {
        check_int(expected, 10);
        rc = 0;
    }
    return yoke_group_close(g, rc);
}

static char path[64];

static int files(void)
{
    char text[8];
    YOKE_SCOPED(yoke_file) f = NULL;
    YOKE_SCOPED(yoke_stream) s = NULL;
    YOKE_TRY(yoke_file_create(&f, path, O_RDWR | O_TRUNC, 0600));
    YOKE_TRY(yoke_file_write_all(f, "content", 7, NULL));
    YOKE_TRY(yoke_file_fsync(f));
    int64_t size = yoke_file_size(f);
    YOKE_TRY(size);
    check_int(size, 7);
    YOKE_TRY(yoke_file_close(f));
    f = NULL;
    YOKE_TRY(yoke_file_open(&f, path, O_RDONLY));
    YOKE_TRY(yoke_file_read_exact(f, text, 7, NULL));
    check(memcmp(text, "content", 7) == 0);
    ssize_t n = yoke_file_pread(f, text, 1, 3);
    YOKE_TRY(n);
    check_int(text[0], 't');
    YOKE_TRY(yoke_stream_share(&s, yoke_file_fd(f)));
    return (int)yoke_read(s, text, 1);
}

/* A TCP read that is cut short would be taken for the last one before there is nothing left [epoll(7)]: such a fault would be a lie. */
static bool without_tcp;

static int everything(void *arg)
{
    (void)arg;
    if (!without_tcp)
        YOKE_TRY(sockets());
    YOKE_TRY(local(yoke_pipe));
    YOKE_TRY(local(yoke_stream_pair));
    YOKE_TRY(others());
    YOKE_TRY(terminals());
    YOKE_TRY(meetings());
    YOKE_TRY(files());
    return 0;
}

static int by_name(void *arg)
{
    char address[64], name[64], of_client[64];
    (void)arg;
    YOKE_SCOPED(yoke_listener) l = NULL;
    YOKE_SCOPED(yoke_stream) s = NULL;
    YOKE_TRY(yoke_listen(&l, "127.0.0.1:0", 0));
    YOKE_TRY(yoke_listener_address(l, address, sizeof address));
    snprintf(name, sizeof name, "localhost:%s", strchr(address, ':') + 1);
    YOKE_TRY(yoke_dial(&s, name));
    YOKE_TRY(yoke_stream_local(s, of_client, sizeof of_client));
    YOKE_TRY(yoke_stream_peer(s, of_client, sizeof of_client));
    check(strcmp(of_client, address) == 0);
    return 0;
}

static int by_signal(void *arg)
{
    (void)arg;
    return signals();
}

/* Readers to whom something is sent at the same moment. */
static int read_two(void *arg)
{
    char text[2];
    YOKE_TRY(yoke_read_exact(*(yoke_stream **)arg, text, 1, NULL));
    YOKE_TRY(yoke_read_exact(*(yoke_stream **)arg, text + 1, 1, NULL));
    check(memcmp(text, "ab", 2) == 0);
    return 0;
}

static int together(void *arg)
{
    enum { READERS = 6 };
    yoke_stream *a[READERS] = { NULL }, *b[READERS] = { NULL };
    int rc = 0;
    (void)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < READERS && rc == 0; i++)
        if ((rc = yoke_stream_pair(&a[i], &b[i])) == 0)
            rc = yoke_spawn(g, read_two, yoke_stream *, a[i]);
    for (const char *text = "ab"; *text != '\0' && rc == 0; text++) {
        rc = yoke_sleep(YOKE_MS(1)); /* they block; where they have not, it goes as well */
        for (int i = 0; i < READERS && rc == 0; i++)
            rc = yoke_write_all(b[i], text, 1, NULL);
    }
    rc = yoke_group_close(g, rc);
    for (int i = 0; i < READERS; i++) {
        yoke_stream_scoped(&a[i]);
        yoke_stream_scoped(&b[i]);
    }
    return rc;
}

static yoke_fn body = everything;

/* ---- each call once ---- */

enum outcome { SAYS = 1, PASSES = 2 }; /* or either, by what the call was for */

struct fault {
    enum yoke__os_call which;
    int nth, err;
    int outcome;
    bool exact; /* one worker: the first failure is the injected one */
    int calls;  /* out */
    bool hit;
};

static int once(void *arg)
{
    struct fault *fault = arg;
    yoke__os_fault_clear();
    yoke__os_fault_set(fault->which, fault->nth, fault->err);
    int rc = body(NULL);
    fault->calls = yoke__os_fault_count(fault->which);
    yoke__os_fault_clear();
    fault->hit = fault->calls >= fault->nth;
    if (fault->exact && rc < 0)
        check_int(rc, -fault->err);
    if (fault->hit && (fault->outcome & PASSES) == 0)
        check(rc < 0);
    if (!fault->hit || (fault->outcome & SAYS) == 0)
        check_int(rc, 0);
    int before = descriptors(); /* with a reactor now, whatever failed */
    check_int(body(NULL), 0);
    if (rc == 0 || fault->nth > 1) /* the first of all may have been the reactor's own */
        check_int(descriptors(), before);
    return 0;
}

static void every_call_fails_once(enum yoke__os_call which, int err, int outcome)
{
    struct fault fault = { .which = which, .err = err, .outcome = outcome };
    assert_int_equal(run(1, body, NULL), 0); /* what a sanitizer opens at first is not ours */
    int before = descriptors(), hits = 0;
    for (int workers = 1; workers <= 3; workers += 2) {
        fault.exact = workers == 1;
        fault.nth = 0;
        do {
            fault.nth++;
            int rc = run_with(once, &fault, OPTIONS(.workers = workers, .debug = fault.nth % 2 == 0 ? "on" : "off"));
            assert_int_equal(rc, 0);
            assert_string_equal(reports, "");
            assert_int_equal(descriptors(), before);
            hits += fault.hit;
        } while (fault.calls >= fault.nth && fault.nth < 1000);
    }
    assert_true(hits > 0);
}

static void descriptors_run_out(void **state)
{
    static const int errs[] = { EMFILE, ENFILE, ENOMEM };
    (void)state;
    for (int i = 0; i < 3; i++) {
        every_call_fails_once(YOKE__OS_EPOLL, errs[i], SAYS);
        every_call_fails_once(YOKE__OS_EVENTFD, errs[i], SAYS);
        every_call_fails_once(YOKE__OS_SOCKET, errs[i], SAYS);
        every_call_fails_once(YOKE__OS_ACCEPT, errs[i], SAYS);
        every_call_fails_once(YOKE__OS_OPEN, errs[i], SAYS | PASSES);  /* a pipe that cannot be opened anew is read otherwise */
        every_call_fails_once(YOKE__OS_FCNTL, errs[i], SAYS | PASSES); /* the same */
    }
    every_call_fails_once(YOKE__OS_TERMINAL_KIND, EINVAL, PASSES); /* then it is none */
    every_call_fails_once(YOKE__OS_EPOLL_CONTROL, ENOMEM, SAYS | PASSES); /* asking for a kind, and forgetting, can do without */
    every_call_fails_once(YOKE__OS_EPOLL_CONTROL, ENOSPC, SAYS | PASSES);
}

static void connections_fail(void **state)
{
    (void)state;
    every_call_fails_once(YOKE__OS_ACCEPT, EINTR, PASSES);
    every_call_fails_once(YOKE__OS_ACCEPT, ECONNABORTED, PASSES);
    every_call_fails_once(YOKE__OS_CONNECT, EINTR, PASSES);
    every_call_fails_once(YOKE__OS_CONNECT, ECONNREFUSED, SAYS);
    every_call_fails_once(YOKE__OS_CONNECT, ENOMEM, SAYS);
    every_call_fails_once(YOKE__OS_CONNECT, EAGAIN, SAYS); /* no port is left: no readiness would come */
    every_call_fails_once(YOKE__OS_CONNECT_ERROR, ETIMEDOUT, SAYS);
    every_call_fails_once(YOKE__OS_CONNECT_ERROR, ECONNRESET, SAYS);
    every_call_fails_once(YOKE__OS_CONNECT_ERROR, ENOMEM, SAYS);
    every_call_fails_once(YOKE__OS_BIND_ADDRESS, EADDRINUSE, SAYS);
    every_call_fails_once(YOKE__OS_BIND_ADDRESS, ENOMEM, SAYS);
    every_call_fails_once(YOKE__OS_LISTEN, EADDRINUSE, SAYS);
    every_call_fails_once(YOKE__OS_SHUTDOWN, ENOTCONN, SAYS);
    every_call_fails_once(YOKE__OS_SOCKET_OPTION, ENOMEM, PASSES); /* small writes may be slow, and reads try once more often */
    every_call_fails_once(YOKE__OS_SOCKET_NAME, ENOBUFS, SAYS);
}

static void names_and_addresses_fail(void **state)
{
    (void)state;
    body = by_name;
    every_call_fails_once(YOKE__OS_LOOK_UP, EAGAIN, SAYS);
    every_call_fails_once(YOKE__OS_LOOK_UP, ENOMEM, SAYS);
    every_call_fails_once(YOKE__OS_LOOK_UP, EMFILE, SAYS);
    every_call_fails_once(YOKE__OS_LOOK_UP, EINTR, SAYS);
    every_call_fails_once(YOKE__OS_THREAD, EAGAIN, SAYS);
    every_call_fails_once(YOKE__OS_SOCKET_NAME, ENOBUFS, SAYS | PASSES); /* the name may have a second address */
    body = everything;
}

static void signals_fail(void **state)
{
    (void)state;
    body = by_signal;
    every_call_fails_once(YOKE__OS_SIGNAL_ACTION, EINVAL, SAYS);
    every_call_fails_once(YOKE__OS_EPOLL_WAIT, EINTR, PASSES);
    body = everything;
}

/* What io/ asks of the executor's boundary. */
static void memory_and_threads_run_out(void **state)
{
    (void)state;
    every_call_fails_once(YOKE__OS_MMAP, ENOMEM, SAYS | PASSES); /* a spare stack is asked for beforehand, and can be done without */
    every_call_fails_once(YOKE__OS_ALLOC, ENOMEM, SAYS | PASSES);
    every_call_fails_once(YOKE__OS_THREAD, EAGAIN, SAYS | PASSES); /* one that is there already will do */
}

static void bytes_fail(void **state)
{
    (void)state;
    every_call_fails_once(YOKE__OS_READ_BYTES, EINTR, PASSES);
    every_call_fails_once(YOKE__OS_READ_BYTES, ECONNRESET, SAYS);
    every_call_fails_once(YOKE__OS_READ_BYTES, ENOMEM, SAYS);
    every_call_fails_once(YOKE__OS_WRITE_BYTES, EINTR, PASSES);
    every_call_fails_once(YOKE__OS_WRITE_BYTES, EPIPE, SAYS);
    every_call_fails_once(YOKE__OS_WRITE_BYTES, ECONNRESET, SAYS);
    every_call_fails_once(YOKE__OS_WRITE_BYTES, ENOMEM, SAYS);
}

static void counts_are_short_once(void **state)
{
    (void)state;
    every_call_fails_once(YOKE__OS_WRITE_BYTES, -1, PASSES);
    without_tcp = true;
    every_call_fails_once(YOKE__OS_READ_BYTES, -1, PASSES);
    without_tcp = false;
}

static void files_fail(void **state)
{
    (void)state;
    every_call_fails_once(YOKE__OS_OPEN, EINTR, PASSES);
    every_call_fails_once(YOKE__OS_STAT, ENOMEM, SAYS);
    every_call_fails_once(YOKE__OS_FSYNC, EINTR, PASSES);
    every_call_fails_once(YOKE__OS_FSYNC, EIO, SAYS);
    every_call_fails_once(YOKE__OS_FSYNC, ENOSPC, SAYS);
    every_call_fails_once(YOKE__OS_CLOSE, EINTR, PASSES);
    every_call_fails_once(YOKE__OS_CLOSE, EIO, SAYS | PASSES); /* a file says so; a stream has nothing to lose */
    every_call_fails_once(YOKE__OS_READINESS, EINTR, PASSES);
    every_call_fails_once(YOKE__OS_READINESS, ENOMEM, SAYS);
}

/* What is not received for many at once is received one by one. */
static void rings_fail(void **state)
{
    int err;
    (void)state;
    struct yoke__uring *granted = yoke__uring_open(2, &err);
    yoke__uring_close(granted);
    every_call_fails_once(YOKE__OS_URING, EPERM, PASSES);
    every_call_fails_once(YOKE__OS_URING, EMFILE, PASSES);
    body = together;
    if (granted != NULL) {
        every_call_fails_once(YOKE__OS_URING_MAP, ENOMEM, PASSES);
        every_call_fails_once(YOKE__OS_URING_ENTER, EINTR, PASSES);
        every_call_fails_once(YOKE__OS_URING_ENTER, EAGAIN, PASSES);
        every_call_fails_once(YOKE__OS_URING_ENTER, EPERM, PASSES);
    }
    every_call_fails_once(YOKE__OS_READ_BYTES, EINTR, PASSES);
    every_call_fails_once(YOKE__OS_READ_BYTES, ENOBUFS, SAYS);
    body = everything;
}

static void polls_are_interrupted(void **state)
{
    (void)state;
    every_call_fails_once(YOKE__OS_EPOLL_WAIT, EINTR, PASSES);
}

/* Every byte by itself. */
static void all_counts_are_short(void **state)
{
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        without_tcp = tcp == 0;
        yoke__os_fault_set(YOKE__OS_READ_BYTES, without_tcp ? -1 : 0, -1);
        yoke__os_fault_set(YOKE__OS_WRITE_BYTES, -1, -1);
        assert_int_equal(run(1, everything, NULL), 0);
        assert_int_equal(run(3, everything, NULL), 0);
        yoke__os_fault_clear();
    }
}

/* No thread for the pool: files say so, and nothing has happened. */
static int no_threads(void *arg)
{
    yoke_file *f;
    (void)arg;
    (void)unlink(path);
    yoke__os_fault_set(YOKE__OS_THREAD, -1, EAGAIN);
    check_int(yoke_file_create(&f, path, O_RDWR, 0600), -EAGAIN);
    check(f == NULL);
    struct stat stat_of;
    check_int(stat(path, &stat_of), -1);
    yoke__os_fault_clear();
    check_int(yoke_file_create(&f, path, O_RDWR, 0600), 0);
    check_int(yoke_file_write(f, "x", 1), 1);
    return yoke_file_close(f);
}

/* The close of a file that the pool cannot make is made all the same. */
static int close_without_threads(void *arg)
{
    yoke_file *f;
    YOKE_TRY(yoke_file_create(&f, path, O_RDWR, 0600));
    *(int *)arg = yoke_file_fd(f);
    YOKE_SCOPE(s);
    check_int(yoke_scope_cancel(s, 0), 0);
    check_int(yoke_file_size(f), -ECANCELED);
    yoke__os_fault_set(YOKE__OS_ALLOC, -1, ENOMEM);
    yoke__os_fault_set(YOKE__OS_MMAP, -1, ENOMEM);
    check_int(yoke_file_close(f), 0);
    yoke__os_fault_clear();
    return yoke_scope_close(s, 0);
}

static void the_pool_has_no_threads(void **state)
{
    int fd = -1;
    (void)state;
    assert_int_equal(run(1, no_threads, NULL), 0);
    assert_int_equal(run(1, close_without_threads, &fd), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_string_equal(reports, "");
}

/* ---- "would block", though it would not: the wait that follows finds out ---- */

static int again_first(void *arg)
{
    yoke_stream *a, *b, *s;
    yoke_listener *l;
    char address[64], c;
    (void)arg;
    YOKE_TRY(yoke_stream_pair(&a, &b));
    check_int(yoke_write(b, "e", 1), 1);
    yoke__os_fault_set(YOKE__OS_READ_BYTES, 1, EAGAIN);
    check_int(yoke_read(a, &c, 1), 1);
    yoke__os_fault_set(YOKE__OS_WRITE_BYTES, 1, EAGAIN);
    check_int(yoke_write(a, "f", 1), 1);
    YOKE_TRY(yoke_listen(&l, "127.0.0.1:0", 0));
    YOKE_TRY(yoke_listener_address(l, address, sizeof address));
    yoke_stream *peer;
    YOKE_TRY(yoke_dial(&peer, address));
    yoke__os_fault_set(YOKE__OS_ACCEPT, 1, EAGAIN);
    check_int(yoke_accept(l, &s), 0);
    check_int(yoke_close(a) | yoke_close(b) | yoke_close(s) | yoke_close(peer) | yoke_listener_close(l), 0);
    return 0;
}

static void would_block_is_not_believed_for_ever(void **state)
{
    (void)state;
    assert_int_equal(run(1, again_first, NULL), 0);
    yoke__os_fault_clear();
}

/* ---- a pipe or terminal that cannot be opened anew ---- */

static int reading;

static int read_byte(void *arg)
{
    char c = 0;
    add(&reading, 1);
    ssize_t n = yoke_read(*(yoke_stream **)arg, &c, 1);
    return n == 1 ? c : (int)n;
}

static void spawn_reader(yoke_group g, yoke_task *task, yoke_stream *s)
{
    int before = load(&reading);
    check_int(yoke_spawn_with(g, (.handle = task), read_byte, yoke_stream *, s), 0);
    while (load(&reading) == before)
        check_int(yoke_yield(), 0); /* one worker: it waits then */
}

static int without_proc(void *arg)
{
    int fds[2], result;
    yoke_stream *in, *out;
    yoke_task task;
    (void)arg;
    check_int(pipe(fds), 0);
    yoke__os_fault_set(YOKE__OS_OPEN, -1, ENOENT);
    check_int(yoke_stream_share(&in, fds[0]), 0);
    check_int(yoke_stream_share(&out, fds[1]), 0);
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    for (char c = 'a'; c < 'd'; c++) {
        spawn_reader(g, &task, in);
        check_int(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
        check_int(yoke_write(out, &c, 1), 1);
        check_int(yoke_task_await(task, &result), 0);
        check_int(result, c);
    }
    spawn_reader(g, &task, in);
    check_int(yoke_task_cancel(task), 0);
    check_int(yoke_task_await(task, &result), 0);
    check_int(result, -ECANCELED);
    check_int(yoke_write(out, "xy", 2), 2); /* nothing was lost */
    check_int(read_byte(&in), 'x');
    check_int(read_byte(&in), 'y');
    char much[10000] = { 0 };
    check_int(yoke_write(out, much, sizeof much), 4096); /* what surely fits: the thread is not to wait for the reader */
    size_t done;
    check_int(yoke_read_exact(in, much, 4096, &done), 0);
    spawn_reader(g, &task, in);
    check_int(yoke_close(in), 0);
    check_int(yoke_task_await(task, &result), 0);
    check_int(result, -EBADF);
    close(fds[0]);
    check_int(yoke_write(out, "x", 1), -EPIPE);
    check_int(yoke_close(out), 0);
    close(fds[1]);
    yoke__os_fault_clear();
    return yoke_group_close(g, 0);
}

static void what_cannot_be_opened_anew_is_waited_for(void **state)
{
    (void)state;
    int before = descriptors();
    assert_int_equal(run(1, without_proc, NULL), 0);
    assert_string_equal(reports, "");
    assert_int_equal(descriptors(), before);
}

static int name_file(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/yoke-fault-%d", (int)getpid());
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_run_out),
        cmocka_unit_test(connections_fail),
        cmocka_unit_test(names_and_addresses_fail),
        cmocka_unit_test(signals_fail),
        cmocka_unit_test(memory_and_threads_run_out),
        cmocka_unit_test(bytes_fail),
        cmocka_unit_test(files_fail),
        cmocka_unit_test(rings_fail),
        cmocka_unit_test(polls_are_interrupted),
        cmocka_unit_test(counts_are_short_once),
        cmocka_unit_test(all_counts_are_short),
        cmocka_unit_test(the_pool_has_no_threads),
        cmocka_unit_test(would_block_is_not_believed_for_ever),
        cmocka_unit_test(what_cannot_be_opened_anew_is_waited_for),
    };
    return cmocka_run_group_tests(tests, name_file, remove_file);
}
