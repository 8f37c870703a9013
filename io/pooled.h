/*
 * pooled.h - descriptors that cannot be waited for: the blocking pool (kind files) makes the system call while the task waits.
 *
 * The argument, cancelling. A job is one system call. yoke_blocking takes a job back that no thread has taken: -ECANCELED, and nothing has
 * happened. A job that a thread has taken is waited for, and its result returned. So the effect and the success come together.
 *
 * The argument, closing. The task that waits is inside the record (reactor.h), so that the descriptor stays open under the system call. A
 * job that a thread takes after the close makes none: -EBADF. One that it has begun cannot be called off, and ends by itself.
 */
#ifndef YOKE_IO_POOLED_H
#define YOKE_IO_POOLED_H

#include <sys/stat.h>
#include <sys/uio.h>

#include "reactor.h"

struct yoke__pooled {
    struct yoke__io *io;
    const struct iovec *pieces;
    int64_t offset; /* -1: at the position that the kernel keeps */
    struct stat *stat;
    int count, direction;
};

/* Runs `call` for `pooled->io`, inside of which the caller is. A cancellation point, checked first. */
int yoke__pooled_call(struct yoke__pooled *pooled, int (*call)(const struct yoke__pooled *pooled));

/* One read or write; `call` for the above. */
int yoke__pooled_transfer(const struct yoke__pooled *pooled);

/* The verbs of a stream of kind YOKE__IO_POOLED. The caller is inside. */
ssize_t yoke__pooled_stream(struct yoke__io *io, int direction, const struct iovec *pieces, int count);

/* Leaves the record (yoke__io_leave), by the pool if that may close the descriptor; shielded. What close(2) said. */
int yoke__pooled_leave(struct yoke__io *io);

#endif
