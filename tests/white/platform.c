/*
 * The OS boundary: every kind of call fails as it is told to, the nth time or always, with the code named, and does nothing then; what the
 * kernel refuses comes as a negative errno; what is promised about threads and signals.
 */
#include "support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "os.h"
#include "platform.h"

/* ---- every kind of call ----------------------------------------------------------------------------------------------- */

static size_t page;
static char *room;        /* a page to try things on */
static int ends[2] = { -1, -1 }, epoll = -1, listener = -1, file = -1;
static struct sockaddr_in address;
static socklen_t address_length = sizeof address;

static void *thread_main(void *arg)
{
    return arg;
}

/* Each makes one call of its kind that succeeds: >= 0; or what the call said. */
static long call_mmap(void)
{
    int err = -1;
    void *at = yoke__os_mmap(page, 0, &err);
    return at != NULL ? yoke__os_munmap(at, page) : err;
}

static long call_munmap(void)
{
    int err;
    void *at = yoke__os_mmap(page, 0, &err);
    int rc = yoke__os_munmap(at, page);
    if (rc < 0)
        munmap(at, page); /* it was left */
    return rc;
}

static long call_madvise(void)
{
    return yoke__os_madvise(room, page, MADV_NORMAL);
}

static long call_mprotect(void)
{
    return yoke__os_mprotect(room, page, PROT_READ | PROT_WRITE);
}

static long call_alloc(void)
{
    void *at = yoke__os_alloc(100, 64);
    int misaligned = (uintptr_t)at % 64 != 0;
    yoke__os_free(at);
    return at == NULL ? -ENOMEM : misaligned;
}

static long call_membarrier(void)
{
    return yoke__os_membarrier_register();
}

static long call_thread(void)
{
    pthread_t thread;
    int rc = yoke__os_thread_start(&thread, "thread", 0, thread_main, NULL);
    return rc < 0 ? rc : yoke__os_thread_join(thread);
}

static long call_bind(void)
{
    cpu_set_t set;
    (void)yoke__os_affinity(&set, sizeof set);
    return yoke__os_bind_self(&set, sizeof set);
}

static long call_slice(void)
{
    int rc = yoke__os_sched_slice(3000000);
    return rc == -EINVAL || rc == -EPERM || rc == -ENOSYS ? 0 : rc; /* older kernels and sandboxes */
}

static long call_read_file(void)
{
    char text[64];
    return yoke__os_read_file("/proc/self/comm", text, sizeof text);
}

static long call_signal_action(void)
{
    struct sigaction action;
    return yoke__os_signal_action(SIGUSR1, NULL, &action);
}

static long call_signal_stack(void)
{
    stack_t stack;
    return yoke__os_signal_stack(NULL, &stack);
}

static long call_setid(void)
{
    return yoke__os_setid() ? -EPERM : 0;
}

static long closing(int fd)
{
    return fd < 0 ? fd : yoke__os_close(fd);
}

static long call_epoll(void)
{
    return closing(yoke__os_epoll_create());
}

static long call_epoll_control(void)
{
    int rc = yoke__os_epoll_add(epoll, ends[0], EPOLLIN, 1);
    return rc < 0 ? rc : yoke__os_epoll_remove(epoll, ends[0]);
}

static long call_epoll_wait(void)
{
    struct epoll_event event;
    return yoke__os_epoll_wait(epoll, &event, 1, 0);
}

static long call_eventfd(void)
{
    return closing(yoke__os_eventfd());
}

static long call_socket(void)
{
    return closing(yoke__os_socket(AF_INET, SOCK_STREAM, 0));
}

static long call_bind_address(void)
{
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int rc = yoke__os_bind(fd, (struct sockaddr *)&any, sizeof any);
    close(fd);
    return rc;
}

static long call_listen(void)
{
    return yoke__os_listen(listener, 8);
}

/* Where a machine is busy a connection may come to the listener a little after connect(2) has returned. */
static void await_connection(void)
{
    struct pollfd one = { .fd = listener, .events = POLLIN };
    assert_int_equal(poll(&one, 1, -1), 1);
}

static long connecting(int (*finish)(int fd))
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int rc = yoke__os_connect(fd, (struct sockaddr *)&address, address_length);
    if (rc >= 0) {
        await_connection();
        rc = finish != NULL ? finish(fd) : rc;
        close(accept(listener, NULL, NULL));
    }
    close(fd);
    return rc;
}

static long call_connect(void)
{
    return connecting(NULL);
}

static long call_connect_error(void)
{
    return connecting(yoke__os_connect_error);
}

static long call_accept(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, address_length) < 0)
        return 1000;
    await_connection();
    int rc = yoke__os_accept(listener), again = rc < 0 ? accept(listener, NULL, NULL) : -1;
    if (rc < 0 && again < 0)
        rc = 1000; /* the connection is lost */
    close(again);
    close(fd);
    return rc == 1000 ? rc : closing(rc);
}

static int shut_down(int fd)
{
    return yoke__os_shutdown(fd, SHUT_WR);
}

static long call_shutdown(void)
{
    return connecting(shut_down);
}

static long call_fcntl(void)
{
    return yoke__os_nonblocking(ends[0]);
}

static long call_open(void)
{
    return closing(yoke__os_open("/dev/null", O_RDONLY, 0));
}

static long call_stat(void)
{
    struct stat stat;
    return yoke__os_stat(file, &stat);
}

static long call_fsync(void)
{
    return yoke__os_fsync(file);
}

static long call_write_bytes(void)
{
    struct iovec piece = { (void *)(uintptr_t)"abcd", 4 };
    char back[8];
    ssize_t n = yoke__os_writev(ends[1], &piece, 1);
    ssize_t there = read(ends[0], back, sizeof back);
    return n == there || (n < 0 && there < 0) ? n : 1000; /* refused is not written */
}

static long call_read_bytes(void)
{
    char back[8];
    struct iovec piece = { back, sizeof back };
    if (write(ends[1], "abcd", 4) != 4)
        return 1000;
    ssize_t n = yoke__os_readv(ends[0], &piece, 1);
    ssize_t left = n < 4 ? read(ends[0], back, sizeof back) : 0;
    return (n < 0 ? 0 : n) + left == 4 ? n : 1000; /* refused is not taken */
}

static const struct kind {
    long (*call)(void);
    int err, plain; /* a code to fail with; what a call that works returns, -1: anything >= 0 */
} kinds[YOKE__OS_CALLS] = {
    [YOKE__OS_MMAP] = { call_mmap, EAGAIN, 0 },
    [YOKE__OS_MUNMAP] = { call_munmap, ENOMEM, 0 },
    [YOKE__OS_MADVISE] = { call_madvise, EINVAL, 0 },
    [YOKE__OS_MPROTECT] = { call_mprotect, EACCES, 0 },
    [YOKE__OS_ALLOC] = { call_alloc, ENOMEM, 0 },
    [YOKE__OS_MEMBARRIER] = { call_membarrier, ENOSYS, 0 },
    [YOKE__OS_THREAD] = { call_thread, EAGAIN, 0 },
    [YOKE__OS_BIND] = { call_bind, EPERM, 0 },
    [YOKE__OS_SLICE] = { call_slice, EDOM, 0 },
    [YOKE__OS_READ] = { call_read_file, EIO, -1 },
    [YOKE__OS_SIGNAL_ACTION] = { call_signal_action, EFAULT, 0 },
    [YOKE__OS_SIGNAL_STACK] = { call_signal_stack, EPERM, 0 },
    [YOKE__OS_SETID] = { call_setid, EPERM, 0 },
    [YOKE__OS_EPOLL] = { call_epoll, EMFILE, 0 },
    [YOKE__OS_EPOLL_CONTROL] = { call_epoll_control, ENOSPC, 0 },
    [YOKE__OS_EPOLL_WAIT] = { call_epoll_wait, EINTR, 0 },
    [YOKE__OS_EVENTFD] = { call_eventfd, ENFILE, 0 },
    [YOKE__OS_SOCKET] = { call_socket, ENOBUFS, 0 },
    [YOKE__OS_BIND_ADDRESS] = { call_bind_address, EADDRINUSE, 0 },
    [YOKE__OS_LISTEN] = { call_listen, EADDRINUSE, 0 },
    [YOKE__OS_ACCEPT] = { call_accept, ECONNABORTED, 0 },
    [YOKE__OS_CONNECT] = { call_connect, ENETUNREACH, 0 },
    [YOKE__OS_CONNECT_ERROR] = { call_connect_error, ECONNREFUSED, 0 },
    [YOKE__OS_SHUTDOWN] = { call_shutdown, ENOTCONN, 0 },
    [YOKE__OS_FCNTL] = { call_fcntl, EINVAL, -1 },
    [YOKE__OS_OPEN] = { call_open, EACCES, 0 },
    [YOKE__OS_STAT] = { call_stat, EIO, 0 },
    [YOKE__OS_FSYNC] = { call_fsync, EIO, 0 },
    [YOKE__OS_READ_BYTES] = { call_read_bytes, ECONNRESET, 4 },
    [YOKE__OS_WRITE_BYTES] = { call_write_bytes, EPIPE, 4 },
};

static void assert_works(const struct kind *kind)
{
    long rc = kind->call();
    if (kind->plain < 0 ? rc < 0 : rc != kind->plain)
        fail_msg("kind %d: %ld", (int)(kind - kinds), rc);
}

static void every_kind_of_call_fails_as_it_is_told_to(void **state)
{
    (void)state;
    for (int which = 0; which < YOKE__OS_CALLS; which++) {
        const struct kind *kind = &kinds[which];
        if (which < YOKE__OS_EPOLL)
            assert_non_null(kind->call); /* the executor's are all here */
        if (kind->call == NULL)
            continue;
        yoke__os_fault_clear();
        assert_works(kind);
        int each = yoke__os_fault_count((enum yoke__os_call)which); /* calls of the kind that one of the above makes */
        assert_true(each > 0);
        assert_works(kind);
        assert_int_equal(yoke__os_fault_count((enum yoke__os_call)which), 2 * each);
        for (int nth = 1; nth <= 3; nth++) { /* the nth alone */
            yoke__os_fault_set((enum yoke__os_call)which, (nth - 1) * each + 1, kind->err);
            for (int i = 1; i <= 4; i++) {
                if (i != nth)
                    assert_works(kind);
                else if (kind->call() != -kind->err)
                    fail_msg("kind %d does not fail with %d", which, kind->err);
            }
        }
        yoke__os_fault_set((enum yoke__os_call)which, -1, kind->err); /* all of them */
        for (int i = 0; i < 3; i++)
            assert_int_equal(kind->call(), -kind->err);
        yoke__os_fault_clear();
        assert_int_equal(yoke__os_fault_count((enum yoke__os_call)which), 0);
        assert_works(kind);
    }
    yoke__os_fault_clear();
}

static void one_kind_alone_fails(void **state)
{
    (void)state;
    yoke__os_fault_clear();
    yoke__os_fault_set(YOKE__OS_MADVISE, -1, EINVAL);
    for (int which = 0; which < YOKE__OS_CALLS; which++)
        if (which != YOKE__OS_MADVISE && kinds[which].call != NULL)
            assert_works(&kinds[which]);
    yoke__os_fault_clear();
}

static void counts_may_be_short(void **state)
{
    (void)state;
    yoke__os_fault_set(YOKE__OS_WRITE_BYTES, 1, -3); /* at most 3 bytes */
    assert_int_equal(call_write_bytes(), 3);
    yoke__os_fault_set(YOKE__OS_READ_BYTES, 1, -1);
    assert_int_equal(call_read_bytes(), 1);
    yoke__os_fault_clear();
}

/* ---- what the kernel says --------------------------------------------------------------------------------------------- */

static void what_the_kernel_refuses_is_a_negative_errno(void **state)
{
    (void)state;
    int err = 0;
    uint32_t word = 1;
    char text[8];
    cpu_set_t none;
    CPU_ZERO(&none);
    assert_null(yoke__os_mmap(SIZE_MAX / 2, 0, &err));
    assert_true(err == -ENOMEM || err == -EINVAL); /* the latter is what Valgrind says */
    assert_int_equal(yoke__os_munmap(room + 1, page), -EINVAL);
    assert_int_equal(yoke__os_madvise(room, page, -1), -EINVAL);
    assert_int_equal(yoke__os_mprotect(room + 1, page, PROT_READ), -EINVAL);
    assert_int_equal(yoke__os_bind_self(&none, sizeof none), -EINVAL);
    assert_int_equal(yoke__os_futex_wait(&word, 2, UINT64_MAX), -EAGAIN);
    assert_int_equal(yoke__os_futex_wait(&word, 1, 0), -ETIMEDOUT);
    assert_int_equal(yoke__os_futex_wait(&word, 1, yoke__os_now() + 1000), -ETIMEDOUT);
    assert_int_equal(yoke__os_futex_wake(&word, 1), 0); /* nobody sleeps */
    assert_int_equal(yoke__os_read_file("/nowhere/at/all", text, sizeof text), -ENOENT);
    assert_int_equal(yoke__os_read_file("/", text, sizeof text), -EISDIR);
    assert_int_equal(yoke__os_write(-1, "x", 1), -EBADF);
    assert_int_equal(yoke__os_signal_action(SIGKILL, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL), -EINVAL);
    assert_int_equal(yoke__os_signal_stack(&(stack_t){ .ss_sp = room, .ss_size = 1 }, NULL), -ENOMEM);
}

static void memory_comes_aligned_or_not_at_all(void **state)
{
    (void)state;
    for (size_t align = 1; align <= 4096; align *= 2)
        for (size_t bytes = 1; bytes < 10000; bytes = bytes * 3 + 1) {
            char *at = yoke__os_alloc(bytes, align);
            assert_non_null(at);
            assert_int_equal((uintptr_t)at % align, 0);
            memset(at, 1, bytes);
            yoke__os_free(at);
        }
    assert_null(yoke__os_alloc(SIZE_MAX, 8));
    assert_null(yoke__os_alloc(SIZE_MAX / 2 + 1, 4096));
    yoke__os_free(NULL);
}

static void a_file_is_read_as_far_as_there_is_room(void **state)
{
    (void)state;
    char text[5];
    char path[] = "/tmp/yoke-test-XXXXXX";
    int to = mkstemp(path);
    assert_true(to >= 0);
    assert_int_equal(yoke__os_write(to, "abcdefgh", 8), 8);
    assert_int_equal(yoke__os_read_file(path, text, sizeof text), 4);
    assert_string_equal(text, "abcd");
    close(to);
    unlink(path);
}

/* errno belongs to the program: a signal handler may come between a call of the program and its look at errno. */
static void what_handlers_may_call_leaves_errno_alone(void **state)
{
    (void)state;
    uint32_t word = 0;
    errno = EXDEV;
    assert_int_equal(yoke__os_write(-1, "x", 1), -EBADF);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(yoke__os_futex_wake((uint32_t *)(void *)((char *)&word + 1), 1), -EINVAL);
    assert_int_equal(errno, EXDEV);
}

/* ---- threads ---------------------------------------------------------------------------------------------------------- */

struct about {
    char name[16];
    sigset_t mask;
    int tid;
};

static void *tell_about_oneself(void *arg)
{
    struct about *about = arg;
    prctl(PR_GET_NAME, about->name, 0, 0, 0);
    pthread_sigmask(SIG_BLOCK, NULL, &about->mask);
    about->tid = yoke__os_gettid();
    return NULL;
}

static void a_thread_has_its_name_and_leaves_signals_to_others(void **state)
{
    (void)state;
    struct about mine, its;
    pthread_t thread;
    tell_about_oneself(&mine);
    for (size_t stack = 0; stack <= 256 * 1024; stack = stack * 512 + 512) { /* 512: less than the least, which is then taken */
        assert_int_equal(yoke__os_thread_start(&thread, "a-name-that-is-too-long", stack, tell_about_oneself, &its), 0);
        assert_int_equal(yoke__os_thread_join(thread), 0);
        assert_string_equal(its.name, "a-name-that-is-");
        assert_int_not_equal(its.tid, mine.tid);
        static const int left[] = { SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGALRM, SIGPIPE };
        for (size_t i = 0; i < sizeof left / sizeof *left; i++)
            assert_int_equal(sigismember(&its.mask, left[i]), 1);
        assert_int_equal(sigismember(&its.mask, SIGSEGV), 0); /* of one's own instructions */
        assert_int_equal(sigismember(&its.mask, SIGBUS), 0);
        assert_int_equal(sigismember(&its.mask, SIGFPE), 0);
    }
    struct about after;
    tell_about_oneself(&after);
    assert_string_equal(after.name, mine.name);
    for (int signal = 1; signal < SIGRTMIN; signal++)
        assert_int_equal(sigismember(&after.mask, signal), sigismember(&mine.mask, signal));
}

/* ---- */

static int open_things(void **state)
{
    (void)state;
    int err;
    page = yoke__os_page_size();
    room = yoke__os_mmap(page, 0, &err);
    address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    epoll = yoke__os_epoll_create();
    char path[] = "/tmp/yoke-test-XXXXXX"; /* O_TMPFILE is not for every file system */
    file = mkstemp(path);
    unlink(path);
    return room == NULL || yoke__os_pipe(ends) < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
                   listen(listener, 8) < 0 || getsockname(listener, (struct sockaddr *)&address, &address_length) < 0 || epoll < 0 || file < 0
               ? -1
               : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_call_fails_as_it_is_told_to),
        cmocka_unit_test(one_kind_alone_fails),
        cmocka_unit_test(counts_may_be_short),
        cmocka_unit_test(what_the_kernel_refuses_is_a_negative_errno),
        cmocka_unit_test(memory_comes_aligned_or_not_at_all),
        cmocka_unit_test(a_file_is_read_as_far_as_there_is_room),
        cmocka_unit_test(what_handlers_may_call_leaves_errno_alone),
        cmocka_unit_test(a_thread_has_its_name_and_leaves_signals_to_others),
    };
    return cmocka_run_group_tests(tests, open_things, NULL);
}
