/*
 * socket.c - dialling, listening, accepting, addresses.
 */
#include <yoke/io/stream.h>

#include "address.h"
#include "os.h"
#include "reactor.h"
#include "scope.h"

/* A stream's user decides what belongs together, with writev. True: it is a TCP socket. */
static bool no_delay(int fd)
{
    return yoke__os_no_delay(fd) == 0;
}

/* ---- dialling ----------------------------------------------------------------------------------------------------------- */

/* 0: it is connected. */
static int peer_known(int fd)
{
    struct yoke__address peer = { .length = sizeof peer.storage };
    return yoke__os_peer_address(fd, (struct sockaddr *)(void *)&peer.storage, &peer.length);
}

static int connect_to(struct yoke__reactor *reactor, const struct yoke__address *address, yoke_stream **stream)
{
    struct yoke__io *io = yoke__io_new(reactor);
    if (io == NULL)
        return -ENOMEM;
    int fd = yoke__os_socket(address->storage.ss_family, SOCK_STREAM, 0);
    if (fd < 0) {
        yoke__io_drop(io);
        return fd;
    }
    yoke_stream *opened = yoke__io_open(io, fd, YOKE__IO_SOCKET); /* nobody else knows it: it stays open */
    io->streaming = no_delay(fd);
    int rc = yoke__os_connect(fd, (const struct sockaddr *)(const void *)&address->storage, address->length);
    if (rc == -EINPROGRESS || rc == -EINTR) { /* it goes on in the background [connect(2)] */
        int unknown = 0;
        do { /* until it is connected or there is an error: an event may be an old one */
            rc = yoke__io_wait(io, YOKE__IO_WRITE, "connect");
            if (rc == 0)
                rc = yoke__os_connect_error(fd);
            if (rc == 0)
                unknown = peer_known(fd);
        } while (rc == 0 && unknown == -ENOTCONN);
        if (rc == 0)
            rc = unknown;
    }
    if (rc < 0)
        (void)yoke_close(opened);
    else
        *stream = opened;
    return rc;
}

int yoke_dial(yoke_stream **stream, const char *text)
{
    struct yoke__address addresses[YOKE__ADDRESSES];
    *stream = NULL;
    int rc = yoke__fast_checkpoint();
    if (rc < 0)
        return rc;
    struct yoke__reactor *reactor = yoke__reactor_here(&rc);
    if (reactor == NULL)
        return rc;
    int n = yoke__address_resolve(text, false, addresses);
    rc = n;
    for (int i = 0; i < n; i++) {
        rc = connect_to(reactor, &addresses[i], stream);
        if (rc >= 0 || rc == -ECANCELED)
            break;
    }
    return rc < 0 ? rc : 0;
}

/* ---- listening ---------------------------------------------------------------------------------------------------------- */

static int listen_at(int fd, const struct yoke__address *address, int backlog)
{
    int rc = yoke__os_bind(fd, (const struct sockaddr *)(const void *)&address->storage, address->length);
    return rc < 0 ? rc : yoke__os_listen(fd, backlog > 0 ? backlog : SOMAXCONN);
}

int yoke_listen(yoke_listener **listener, const char *text, int backlog)
{
    struct yoke__address addresses[YOKE__ADDRESSES];
    *listener = NULL;
    int rc = yoke__fast_checkpoint();
    if (rc < 0)
        return rc;
    struct yoke__reactor *reactor = yoke__reactor_here(&rc);
    if (reactor == NULL)
        return rc;
    int n = yoke__address_resolve(text, true, addresses);
    if (n < 0)
        return n;
    struct yoke__io *io = yoke__io_new(reactor);
    if (io == NULL)
        return -ENOMEM;
    for (int i = 0; i < n; i++) {
        int fd = rc = yoke__os_socket(addresses[i].storage.ss_family, SOCK_STREAM, 0);
        if (fd < 0)
            continue;
        rc = listen_at(fd, &addresses[i], backlog);
        if (rc == 0) {
            *listener = yoke__io_open(io, fd, YOKE__IO_LISTENER);
            return 0;
        }
        (void)yoke__os_close(fd);
    }
    yoke__io_drop(io);
    return rc;
}

/* What concerns one connection and not the listener [accept(2)]. */
static bool of_one_connection(int rc)
{
    switch (-rc) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

int yoke_accept(yoke_listener *listener, yoke_stream **stream)
{
    struct yoke__io *io, *fresh;
    *stream = NULL;
    int rc = yoke__fast_checkpoint();
    if (rc == 0)
        rc = yoke__io_enter(listener, YOKE__IO_LISTENER, &io);
    if (rc < 0)
        return rc;
    fresh = yoke__io_new(io->reactor); /* before the connection is taken: what is taken is not lost */
    if (fresh == NULL) {
        yoke__io_leave(io);
        return -ENOMEM;
    }
    do
        do
            rc = yoke__os_accept(io->fd);
        while (of_one_connection(rc));
    while (rc == -EAGAIN && (rc = yoke__io_wait(io, YOKE__IO_READ, "accept")) == 0);
    if (rc >= 0) {
        *stream = yoke__io_open(fresh, rc, YOKE__IO_SOCKET);
        fresh->streaming = no_delay(rc);
        rc = 0;
    } else {
        yoke__io_drop(fresh);
        if (yoke__io_closed(io)) /* close has shut the socket down: -EINVAL */
            rc = -EBADF;
    }
    yoke__io_leave(io);
    return rc;
}

int yoke_listener_close(yoke_listener *listener)
{
    return yoke__io_close(listener, YOKE__IO_LISTENER);
}

void yoke_listener_scoped(yoke_listener **listener)
{
    if (*listener != NULL)
        (void)yoke_listener_close(*listener);
}

int yoke_listener_fd(yoke_listener *listener)
{
    struct yoke__io *io;
    int rc = yoke__io_enter(listener, YOKE__IO_LISTENER, &io);
    if (rc < 0)
        return rc;
    rc = io->fd;
    yoke__io_leave(io);
    return rc;
}

/* ---- addresses ---------------------------------------------------------------------------------------------------------- */

static int tell(const void *handle, int kinds, int (*get)(int, struct sockaddr *, socklen_t *), char *text, size_t size)
{
    struct yoke__io *io;
    struct yoke__address address = { .length = sizeof address.storage };
    int rc = yoke__io_enter(handle, kinds, &io);
    if (rc < 0)
        return rc;
    rc = get(io->fd, (struct sockaddr *)(void *)&address.storage, &address.length);
    if (rc == 0)
        rc = yoke__address_format(&address, text, size);
    yoke__io_leave(io);
    return rc;
}

int yoke_stream_local(yoke_stream *stream, char *text, size_t size)
{
    return tell(stream, YOKE__IO_STREAM, yoke__os_local_address, text, size);
}

int yoke_stream_peer(yoke_stream *stream, char *text, size_t size)
{
    return tell(stream, YOKE__IO_STREAM, yoke__os_peer_address, text, size);
}

int yoke_listener_address(yoke_listener *listener, char *text, size_t size)
{
    return tell(listener, YOKE__IO_LISTENER, yoke__os_local_address, text, size);
}
