/*
 * stream.c - the verbs of byte streams. See reactor.h for how a call waits, and who closes the descriptor.
 */
#include <yoke/io/stream.h>

#include <limits.h>

#include "os.h"
#include "pooled.h"
#include "reactor.h"
#include "scope.h"
#include "whole.h"

/* ---- reading and writing ------------------------------------------------------------------------------------------------ */

/* A cancellation point is checked first, also when the call could finish at once. */
static int begin(const yoke_stream *stream, struct yoke__io **io)
{
    int rc = yoke__fast_checkpoint();
    return rc < 0 ? rc : yoke__io_enter(stream, YOKE__IO_STREAM, io);
}

/* Nothing was moved and the stream was closed meanwhile: that is why, whatever the kernel says of a socket that close has shut down. */
static ssize_t end(struct yoke__io *io, ssize_t rc)
{
    if (rc <= 0 && yoke__io_closed(io))
        rc = -EBADF;
    yoke__io_leave(io);
    return rc;
}

ssize_t yoke_read(yoke_stream *stream, void *buffer, size_t size)
{
    struct yoke__io *io;
    ssize_t rc = begin(stream, &io);
    if (rc < 0)
        return rc;
    const struct iovec piece = { .iov_base = buffer, .iov_len = size < SSIZE_MAX ? size : SSIZE_MAX };
    if (yoke__unlikely(io->kind == YOKE__IO_POOLED))
        return end(io, yoke__pooled_stream(io, YOKE__IO_READ, &piece, 1));
    struct yoke__receive receive = { .fd = io->fd, .buffer = buffer, .size = piece.iov_len };
    uint32_t reads;
    rc = -EAGAIN;
    for (bool wait = yoke__io_empty(io) && size > 0; rc == -EAGAIN; wait = true) {
        if (wait && (rc = yoke__io_wait_receiving(io, &receive, &reads)) != -EAGAIN)
            break;
        reads = yoke__io_reads(io);
        do
            rc = io->kind == YOKE__IO_SOCKET ? yoke__os_receive(io->fd, buffer, piece.iov_len) : yoke__os_readv(io->fd, &piece, 1);
        while (rc == -EINTR);
    }
    if (rc > 0 && (size_t)rc < piece.iov_len)
        yoke__io_emptied(io, reads);
    return end(io, rc);
}

ssize_t yoke_write(yoke_stream *stream, const void *data, size_t size)
{
    struct yoke__io *io;
    ssize_t rc = begin(stream, &io);
    if (rc < 0)
        return rc;
    const struct iovec piece = { .iov_base = (void *)(uintptr_t)data, .iov_len = size < SSIZE_MAX ? size : SSIZE_MAX };
    if (yoke__unlikely(io->kind == YOKE__IO_POOLED))
        return end(io, yoke__pooled_stream(io, YOKE__IO_WRITE, &piece, 1));
    do {
        do
            rc = io->kind == YOKE__IO_SOCKET ? yoke__os_send(io->fd, data, piece.iov_len) : yoke__os_writev(io->fd, &piece, 1);
        while (rc == -EINTR);
    } while (rc == -EAGAIN && (rc = yoke__io_wait(io, YOKE__IO_WRITE, "write")) == 0);
    return end(io, rc);
}

ssize_t yoke_readv(yoke_stream *stream, const struct iovec *pieces, int count)
{
    struct yoke__io *io;
    ssize_t rc = begin(stream, &io);
    if (rc < 0)
        return rc;
    if (yoke__unlikely(io->kind == YOKE__IO_POOLED))
        return end(io, yoke__pooled_stream(io, YOKE__IO_READ, pieces, count));
    do {
        do
            rc = io->kind == YOKE__IO_SOCKET ? yoke__os_receive_message(io->fd, pieces, count) : yoke__os_readv(io->fd, pieces, count);
        while (rc == -EINTR);
    } while (rc == -EAGAIN && (rc = yoke__io_wait(io, YOKE__IO_READ, "read")) == 0);
    return end(io, rc);
}

ssize_t yoke_writev(yoke_stream *stream, const struct iovec *pieces, int count)
{
    struct yoke__io *io;
    ssize_t rc = begin(stream, &io);
    if (rc < 0)
        return rc;
    if (yoke__unlikely(io->kind == YOKE__IO_POOLED))
        return end(io, yoke__pooled_stream(io, YOKE__IO_WRITE, pieces, count));
    do {
        do
            rc = io->kind == YOKE__IO_SOCKET ? yoke__os_send_message(io->fd, pieces, count) : yoke__os_writev(io->fd, pieces, count);
        while (rc == -EINTR);
    } while (rc == -EAGAIN && (rc = yoke__io_wait(io, YOKE__IO_WRITE, "write")) == 0);
    return end(io, rc);
}

static ssize_t write_some(void *stream, char *at, size_t size)
{
    return yoke_write(stream, at, size);
}

static ssize_t read_some(void *stream, char *at, size_t size)
{
    return yoke_read(stream, at, size);
}

int yoke_write_all(yoke_stream *stream, const void *data, size_t size, size_t *done)
{
    return yoke__io_whole(write_some, stream, data, size, done);
}

int yoke_read_exact(yoke_stream *stream, void *buffer, size_t size, size_t *done)
{
    return yoke__io_whole(read_some, stream, buffer, size, done);
}

int yoke_shutdown(yoke_stream *stream, int directions)
{
    static const int how[] = { -1, SHUT_RD, SHUT_WR, SHUT_RDWR };
    struct yoke__io *io;
    int rc = yoke__io_enter(stream, YOKE__IO_STREAM, &io);
    if (rc < 0)
        return rc;
    rc = directions < 1 || directions > 3 ? -EINVAL : yoke__os_shutdown(io->fd, how[directions]);
    yoke__io_leave(io);
    return rc;
}

/* ---- beginning ---------------------------------------------------------------------------------------------------------- */

int yoke_stream_adopt(yoke_stream **stream, int fd)
{
    *stream = NULL;
    int rc = 0;
    struct yoke__reactor *reactor = yoke__reactor_here(&rc);
    if (reactor == NULL)
        return rc;
    bool socket = yoke__os_is_socket(fd);
    if (!yoke__io_pollable(reactor, fd))
        return -EPERM;
    struct yoke__io *io = yoke__io_new(reactor);
    if (io == NULL)
        return -ENOMEM;
    rc = yoke__os_nonblocking(fd); /* the last that can fail: then it is as it was */
    if (rc < 0) {
        yoke__io_drop(io);
        return rc;
    }
    *stream = yoke__io_open(io, fd, socket ? YOKE__IO_SOCKET : YOKE__IO_PLAIN);
    io->shared = 1;
    return 0;
}

/* Two descriptors that `make` gives become two streams. */
static int make_two(yoke_stream **a, yoke_stream **b, int (*make)(int fds[2]), enum yoke__io_kind kind)
{
    *a = *b = NULL;
    int rc = 0, fds[2];
    struct yoke__reactor *reactor = yoke__reactor_here(&rc);
    if (reactor == NULL)
        return rc;
    struct yoke__io *first = yoke__io_new(reactor), *second = first != NULL ? yoke__io_new(reactor) : NULL;
    rc = second != NULL ? make(fds) : -ENOMEM;
    if (rc < 0) {
        if (first != NULL)
            yoke__io_drop(first);
        if (second != NULL)
            yoke__io_drop(second);
        return rc;
    }
    *a = yoke__io_open(first, fds[0], kind);
    *b = yoke__io_open(second, fds[1], kind);
    return 0;
}

int yoke_pipe(yoke_stream **reader, yoke_stream **writer)
{
    return make_two(reader, writer, yoke__os_pipe, YOKE__IO_PLAIN);
}

int yoke_stream_pair(yoke_stream **a, yoke_stream **b)
{
    return make_two(a, b, yoke__os_socketpair, YOKE__IO_SOCKET);
}

/* ---- ending ------------------------------------------------------------------------------------------------------------- */

int yoke_close(yoke_stream *stream)
{
    return yoke__io_close(stream, YOKE__IO_STREAM);
}

void yoke_stream_scoped(yoke_stream **stream)
{
    if (*stream != NULL)
        (void)yoke_close(*stream);
}

int yoke_stream_fd(yoke_stream *stream)
{
    struct yoke__io *io;
    int rc = yoke__io_enter(stream, YOKE__IO_STREAM, &io);
    if (rc < 0)
        return rc;
    rc = io->fd;
    yoke__io_leave(io);
    return rc;
}
