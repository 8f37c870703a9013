/*
 * pooled.c - see pooled.h.
 */
#include "pooled.h"

#include <limits.h>

#include <yoke/blocking.h>
#include <yoke/scope.h>
#include <yoke/time.h>

#include "os.h"

struct job {
    int (*call)(const struct yoke__pooled *pooled);
    struct yoke__pooled *pooled;
};

static int run(void *arg)
{
    const struct job *job = arg;
    int rc;
    if (yoke__io_closed(job->pooled->io))
        return -EBADF;
    do
        rc = job->call(job->pooled);
    while (rc == -EINTR);
    return rc;
}

int yoke__pooled_call(struct yoke__pooled *pooled, int (*call)(const struct yoke__pooled *pooled))
{
    struct job job = { .call = call, .pooled = pooled };
    return yoke_blocking_with(YOKE_BLOCKING_FILES, false, NULL, run, &job);
}

/* The kernel moves less than 2 GiB at a time [read(2), "Notes"]: the count fits. */
int yoke__pooled_transfer(const struct yoke__pooled *pooled)
{
    int fd = pooled->io->fd;
    return (int)(pooled->direction == YOKE__IO_READ ? yoke__os_preadv(fd, pooled->pieces, pooled->count, pooled->offset)
                                                    : yoke__os_pwritev(fd, pooled->pieces, pooled->count, pooled->offset));
}

/* ---- streams ------------------------------------------------------------------------------------------------------------ */

/* The second one is refused, as one who waits for readiness would be. */
static bool begin(struct yoke__io *io, int direction)
{
    yoke__lock_acquire(&io->lock);
    bool free = (io->busy & 1u << direction) == 0;
    io->busy |= (uint8_t)(1u << direction);
    yoke__lock_release(&io->lock);
    return free;
}

static void end(struct yoke__io *io, int direction)
{
    yoke__lock_acquire(&io->lock);
    io->busy &= (uint8_t)~(1u << direction);
    yoke__lock_release(&io->lock);
}

/*
 * The kernel is asked for the state of the moment, since an edge tells of a change only. Not ready: the next change is an edge, which wakes or
 * is remembered (reactor.h), and it is asked again.
 */
static int await_readiness(struct yoke__io *io, int direction)
{
    int rc;
    while ((rc = yoke__os_ready(io->fd, direction == YOKE__IO_READ ? POLLIN : POLLOUT)) == 0 || rc == -EINTR)
        if (rc == 0 && (rc = yoke__io_wait(io, direction, direction == YOKE__IO_READ ? "read" : "write")) < 0)
            return rc;
    return rc < 0 ? rc : 0;
}

ssize_t yoke__pooled_stream(struct yoke__io *io, int direction, const struct iovec *pieces, int count)
{
    struct iovec first;
    if (!begin(io, direction))
        return -EBUSY;
    int rc = io->waits ? await_readiness(io, direction) : 0;
    if (rc == 0) {
        struct yoke__pooled pooled = { .io = io, .pieces = pieces, .count = count, .offset = -1, .direction = direction };
        if (io->waits && direction == YOKE__IO_WRITE && count > 0) { /* so much fits once it is writable [pipe(7)] */
            first = pieces[0];
            first.iov_len = first.iov_len < PIPE_BUF ? first.iov_len : PIPE_BUF;
            pooled.pieces = &first;
            pooled.count = 1;
        }
        rc = yoke__pooled_call(&pooled, yoke__pooled_transfer);
    }
    end(io, direction);
    return rc;
}

/* ---- leaving ------------------------------------------------------------------------------------------------------------ */

struct leaving {
    struct yoke__io *io;
    bool done;
};

static int leave(void *arg)
{
    struct leaving *leaving = arg;
    leaving->done = true;
    return yoke__io_leave(leaving->io);
}

int yoke__pooled_leave(struct yoke__io *io)
{
    struct leaving leaving = { .io = io };
    if (!yoke__io_closed(io))
        return yoke__io_leave(io); /* closed at this moment: the worker does it */
    YOKE_SCOPE(s, .shield = true, .deadline = yoke_after(YOKE_SEC(5)), .name = "close");
    int rc = yoke_blocking_with(YOKE_BLOCKING_FILES, false, NULL, leave, &leaving);
    if (!leaving.done)
        rc = leave(&leaving);
    int left = yoke_scope_close(s, 0);
    (void)left;
    return rc;
}
