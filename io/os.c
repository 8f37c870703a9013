/*
 * os.c - see os.h.
 */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sanitizer.h"

#ifdef YOKE_FAULTS
#define injected(which) yoke__os_fault(which)
#else
#define injected(which) 0
#endif

/* What was written before a descriptor is registered is seen by whoever gets its events: the kernel orders it, ThreadSanitizer is told. */
#ifdef YOKE__TSAN
void __tsan_acquire(void *);
void __tsan_release(void *);
static char registration;
#define tsan_registered() __tsan_release(&registration)
#define tsan_polled() __tsan_acquire(&registration)
#else
#define tsan_registered() ((void)0)
#define tsan_polled() ((void)0)
#endif

static inline int result(long rc)
{
    return rc < 0 ? -errno : (int)rc;
}

/* ---- polling ------------------------------------------------------------------------------------------------------------ */

int yoke__os_epoll_create(void)
{
    int err = injected(YOKE__OS_EPOLL);
    return err > 0 ? -err : result(epoll_create1(EPOLL_CLOEXEC));
}

static int control(int epoll, int operation, int fd, uint32_t events, uint64_t data)
{
    int err = injected(YOKE__OS_EPOLL_CONTROL);
    struct epoll_event event = { .events = events, .data = { .u64 = data } };
    tsan_registered();
    return err > 0 ? -err : result(epoll_ctl(epoll, operation, fd, &event));
}

int yoke__os_epoll_add(int epoll, int fd, uint32_t events, uint64_t data)
{
    return control(epoll, EPOLL_CTL_ADD, fd, events, data);
}

int yoke__os_epoll_change(int epoll, int fd, uint32_t events, uint64_t data)
{
    return control(epoll, EPOLL_CTL_MOD, fd, events, data);
}

int yoke__os_epoll_remove(int epoll, int fd)
{
    return control(epoll, EPOLL_CTL_DEL, fd, 0, 0);
}

/* The wait with a time-out in nanoseconds came with Linux 5.11. Rounded up elsewhere: never early. */
int yoke__os_epoll_wait(int epoll, struct epoll_event *events, int most, int64_t deadline)
{
    int err = injected(YOKE__OS_EPOLL_WAIT);
    if (err > 0)
        return -err;
    int64_t left = deadline == INT64_MAX ? -1 : deadline - (int64_t)yoke__os_now();
    if (deadline != INT64_MAX && left < 0)
        left = 0;
#ifdef SYS_epoll_pwait2
    struct timespec timeout = { .tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000) };
    int rc = result(syscall(SYS_epoll_pwait2, epoll, events, most, left < 0 ? NULL : &timeout, NULL, (size_t)0));
    if (rc != -ENOSYS) {
        tsan_polled();
        return rc;
    }
#endif
    int64_t ms = left < 0 ? -1 : (left + 999999) / 1000000;
    int n = result(epoll_wait(epoll, events, most, ms > INT32_MAX ? INT32_MAX : (int)ms));
    tsan_polled();
    return n;
}

int yoke__os_eventfd(void)
{
    int err = injected(YOKE__OS_EVENTFD);
    return err > 0 ? -err : result(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

void yoke__os_eventfd_signal(int fd)
{
    int saved = errno;
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one); /* a full counter is readable: as good */
    (void)n;
    errno = saved;
}

/* ---- io_uring ----------------------------------------------------------------------------------------------------------- */

int yoke__os_uring_setup(unsigned entries, struct io_uring_params *parameters)
{
    int err = injected(YOKE__OS_URING);
#ifdef SYS_io_uring_setup
    return err > 0 ? -err : result(syscall(SYS_io_uring_setup, entries, parameters));
#else
    (void)entries, (void)parameters;
    return err > 0 ? -err : -ENOSYS;
#endif
}

void *yoke__os_uring_map(int ring, size_t size, int64_t offset, int *err)
{
    int fail = injected(YOKE__OS_URING_MAP);
    void *at = fail > 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, (off_t)offset);
    if (at != MAP_FAILED)
        return at;
    *err = fail > 0 ? -fail : -errno;
    return NULL;
}

void yoke__os_uring_unmap(void *at, size_t size)
{
    (void)munmap(at, size);
}

int yoke__os_uring_enter(int ring, unsigned submit, unsigned complete)
{
    int err = injected(YOKE__OS_URING_ENTER);
#ifdef SYS_io_uring_enter
    const unsigned getevents = 1; /* IORING_ENTER_GETEVENTS */
    return err > 0 ? -err : result(syscall(SYS_io_uring_enter, ring, submit, complete, complete > 0 ? getevents : 0, NULL, (size_t)0));
#else
    (void)ring, (void)submit, (void)complete;
    return err > 0 ? -err : -ENOSYS;
#endif
}

/* ---- descriptors -------------------------------------------------------------------------------------------------------- */

int yoke__os_socket(int domain, int type, int protocol)
{
    int err = injected(YOKE__OS_SOCKET);
    return err > 0 ? -err : result(socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

int yoke__os_bind(int fd, const struct sockaddr *address, socklen_t length)
{
    int one = 1, err = injected(YOKE__OS_BIND_ADDRESS);
    if (err > 0)
        return -err;
    if (address->sa_family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0)
        return -errno;
    return result(bind(fd, address, length));
}

int yoke__os_listen(int fd, int backlog)
{
    int err = injected(YOKE__OS_LISTEN);
    return err > 0 ? -err : result(listen(fd, backlog));
}

int yoke__os_accept(int fd)
{
    int err = injected(YOKE__OS_ACCEPT);
    return err > 0 ? -err : result(accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

int yoke__os_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    int err = injected(YOKE__OS_CONNECT);
    if (err == EINTR)
        (void)connect(fd, address, length); /* an interrupted one goes on [connect(2)] */
    return err > 0 ? -err : result(connect(fd, address, length));
}

int yoke__os_connect_error(int fd)
{
    int err = injected(YOKE__OS_CONNECT_ERROR);
    socklen_t length = sizeof err;
    if (err > 0)
        return -err;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &length) < 0)
        return -errno;
    return -err;
}

int yoke__os_no_delay(int fd)
{
    int one = 1, err = injected(YOKE__OS_SOCKET_OPTION);
    return err > 0 ? -err : result(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
}

int yoke__os_is_socket(int fd)
{
    int kind, err = injected(YOKE__OS_SOCKET_OPTION);
    socklen_t length = sizeof kind;
    return err <= 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &length) == 0;
}

int yoke__os_local_address(int fd, struct sockaddr *address, socklen_t *length)
{
    int err = injected(YOKE__OS_SOCKET_NAME);
    return err > 0 ? -err : result(getsockname(fd, address, length));
}

int yoke__os_peer_address(int fd, struct sockaddr *address, socklen_t *length)
{
    int err = injected(YOKE__OS_SOCKET_NAME);
    return err > 0 ? -err : result(getpeername(fd, address, length));
}

int yoke__os_look_up(const char *host, const char *port, bool passive, struct addrinfo **list)
{
    int err = injected(YOKE__OS_LOOK_UP);
    if (err > 0)
        return -err;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0 };
    errno = 0;
    switch (getaddrinfo(host, port, &hints, list)) {
    case 0:
        return 0;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno != 0 ? -errno : -EIO;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return -ENOENT;
    default:
        return -EINVAL;
    }
}

int yoke__os_socketpair(int fds[2])
{
    int err = injected(YOKE__OS_SOCKET);
    return err > 0 ? -err : result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
}

int yoke__os_pipe(int fds[2])
{
    int err = injected(YOKE__OS_SOCKET);
    return err > 0 ? -err : result(pipe2(fds, O_NONBLOCK | O_CLOEXEC));
}

int yoke__os_shutdown(int fd, int how)
{
    int err = injected(YOKE__OS_SHUTDOWN);
    return err > 0 ? -err : result(shutdown(fd, how));
}

int yoke__os_close(int fd)
{
    int err = injected(YOKE__OS_CLOSE), rc = result(close(fd)); /* closed whatever it says [close(2)] */
    if (err > 0)
        rc = -err;
    return rc == -EINTR ? 0 : rc;
}

int yoke__os_nonblocking(int fd)
{
    int err = injected(YOKE__OS_FCNTL), flags = err > 0 ? -err : result(fcntl(fd, F_GETFL));
    if (flags < 0 || (flags & O_NONBLOCK) != 0)
        return flags < 0 ? flags : 0;
    return result(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

int yoke__os_duplicate(int fd)
{
    int err = injected(YOKE__OS_FCNTL);
    return err > 0 ? -err : result(fcntl(fd, F_DUPFD_CLOEXEC, 3)); /* not in the place of a standard stream that is closed */
}

int yoke__os_access_mode(int fd)
{
    int err = injected(YOKE__OS_FCNTL), flags = err > 0 ? -err : result(fcntl(fd, F_GETFL));
    return flags < 0 ? flags : flags & O_ACCMODE;
}

int yoke__os_terminal(int fd)
{
    int number;
    if (injected(YOKE__OS_TERMINAL_KIND) > 0 || !isatty(fd))
        return YOKE__OS_NO_TERMINAL;
    return ioctl(fd, TIOCGPTN, &number) < 0 ? YOKE__OS_TERMINAL : YOKE__OS_TERMINAL_MASTER;
}

int yoke__os_ready(int fd, short events)
{
    struct pollfd one = { .fd = fd, .events = events };
    int err = injected(YOKE__OS_READINESS);
    return err > 0 ? -err : result(poll(&one, 1, 0));
}

/* ---- files -------------------------------------------------------------------------------------------------------------- */

int yoke__os_open(const char *path, int flags, mode_t mode)
{
    int err = injected(YOKE__OS_OPEN);
    return err > 0 ? -err : result(open(path, flags | O_CLOEXEC, mode));
}

int yoke__os_stat(int fd, struct stat *stat)
{
    int err = injected(YOKE__OS_STAT);
    return err > 0 ? -err : result(fstat(fd, stat));
}

int yoke__os_fsync(int fd)
{
    int err = injected(YOKE__OS_FSYNC);
    return err > 0 ? -err : result(fsync(fd));
}

/* ---- bytes -------------------------------------------------------------------------------------------------------------- */

/* How much of `size` an injected short count leaves; < 0: the injected error. */
static ssize_t allowed(enum yoke__os_call which, size_t size)
{
    int err = injected(which);
    (void)which;
    if (err > 0)
        return -err;
    return err < 0 && size > (size_t)-err ? -err : (ssize_t)size;
}

ssize_t yoke__os_receive(int fd, void *buffer, size_t size)
{
    ssize_t n = allowed(YOKE__OS_READ_BYTES, size);
    if (n < 0)
        return n;
    n = recv(fd, buffer, (size_t)n, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

ssize_t yoke__os_allowed_to_read(size_t size)
{
    return allowed(YOKE__OS_READ_BYTES, size);
}

/* Reading nothing is what ThreadSanitizer needs to see to know that what came before the sending is seen; the socket is not asked for it. */
void yoke__os_received(int fd)
{
#ifdef YOKE__TSAN
    char none;
    (void)!read(fd, &none, 0);
#else
    (void)fd;
#endif
}

ssize_t yoke__os_send(int fd, const void *data, size_t size)
{
    ssize_t n = allowed(YOKE__OS_WRITE_BYTES, size);
    if (n < 0)
        return n;
    n = send(fd, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

/* An injected short count leaves so many bytes of the first piece; err > 0: the injected error. */
static struct iovec cut(const struct iovec *pieces, int *count, int err)
{
    struct iovec first = { NULL, 0 };
    if (*count > 0)
        first = pieces[0];
    if (err < 0 && *count > 0) {
        *count = 1;
        if (first.iov_len > (size_t)-err)
            first.iov_len = (size_t)-err;
    }
    return first;
}

static ssize_t transfer(int fd, const struct iovec *pieces, int count, int64_t offset, enum yoke__os_call which)
{
    bool reading = which == YOKE__OS_READ_BYTES;
    ssize_t n;
    int err = injected(which);
    if (err > 0)
        return -err;
    struct iovec first = cut(pieces, &count, err);
    pieces = count == 1 ? &first : pieces;
    if (offset < 0)
        n = reading ? readv(fd, pieces, count) : writev(fd, pieces, count);
    else
        n = reading ? preadv(fd, pieces, count, offset) : pwritev(fd, pieces, count, offset);
    return n < 0 ? -errno : n;
}

static ssize_t message(int fd, const struct iovec *pieces, int count, enum yoke__os_call which)
{
    int err = injected(which);
    if (err > 0)
        return -err;
    struct iovec first = cut(pieces, &count, err);
    struct msghdr header = { .msg_iov = count == 1 ? &first : (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count };
    ssize_t n = which == YOKE__OS_READ_BYTES ? recvmsg(fd, &header, MSG_DONTWAIT) : sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

ssize_t yoke__os_receive_message(int fd, const struct iovec *pieces, int count)
{
    return message(fd, pieces, count, YOKE__OS_READ_BYTES);
}

ssize_t yoke__os_send_message(int fd, const struct iovec *pieces, int count)
{
    return message(fd, pieces, count, YOKE__OS_WRITE_BYTES);
}

ssize_t yoke__os_readv(int fd, const struct iovec *pieces, int count)
{
    return transfer(fd, pieces, count, -1, YOKE__OS_READ_BYTES);
}

/* SIGPIPE is blocked in every thread of the runtime. */
ssize_t yoke__os_writev(int fd, const struct iovec *pieces, int count)
{
    return transfer(fd, pieces, count, -1, YOKE__OS_WRITE_BYTES);
}

ssize_t yoke__os_preadv(int fd, const struct iovec *pieces, int count, int64_t offset)
{
    return transfer(fd, pieces, count, offset, YOKE__OS_READ_BYTES);
}

ssize_t yoke__os_pwritev(int fd, const struct iovec *pieces, int count, int64_t offset)
{
    return transfer(fd, pieces, count, offset, YOKE__OS_WRITE_BYTES);
}
