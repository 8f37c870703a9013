/*
 * standard.c - streams of descriptors whose open file others share: standard input, output and error above all.
 *
 * O_NONBLOCK is a property of the open file, and so of the shell's terminal and of the next process in the pipe too: it is never set on
 * what is shared. Instead, by kind:
 *   socket              MSG_DONTWAIT says it call by call
 *   pipe, terminal      opened once more, by /proc/self/fd: an open file of the stream's own, non-blocking, at the same pipe or terminal
 *   what has to be waited for but cannot be opened anew (no /proc, no right, a device for which that would be another one):
 *                       readiness first, then the blocking pool makes the call; it blocks a thread of the pool only if somebody
 *                       else has taken the bytes in between
 *   file, /dev/null     the blocking pool makes the call; the position is shared, as it should be
 */
#include <yoke/io/stream.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "os.h"
#include "reactor.h"

static int reopen(int fd)
{
    char path[32];
    int mode = yoke__os_access_mode(fd);
    if (mode < 0)
        return mode;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return yoke__os_open(path, mode | O_NONBLOCK | O_NOCTTY, 0);
}

static int open_at(struct yoke__reactor *reactor, int fd, struct yoke__io *io, yoke_stream **stream)
{
    struct stat stat;
    int rc = yoke__os_stat(fd, &stat);
    if (rc < 0)
        return rc;
    if (S_ISFIFO(stat.st_mode) || yoke__os_terminal(fd) == YOKE__OS_TERMINAL) {
        int own = reopen(fd);
        if (own >= 0) {
            *stream = yoke__io_open(io, own, YOKE__IO_PLAIN);
            return 0;
        }
    }
    int copy = yoke__os_duplicate(fd);
    if (copy < 0)
        return copy;
    bool waits = yoke__io_pollable(reactor, copy);
    *stream = yoke__io_open(io, copy, S_ISSOCK(stat.st_mode) ? YOKE__IO_SOCKET : YOKE__IO_POOLED);
    io->shared = 1;
    io->waits = waits;
    return 0;
}

int yoke_stream_share(yoke_stream **stream, int fd)
{
    *stream = NULL;
    int rc = 0;
    struct yoke__reactor *reactor = yoke__reactor_here(&rc);
    if (reactor == NULL)
        return rc;
    struct yoke__io *io = yoke__io_new(reactor);
    if (io == NULL)
        return -ENOMEM;
    rc = open_at(reactor, fd, io, stream);
    if (rc < 0)
        yoke__io_drop(io);
    return rc;
}

int yoke_stdin(yoke_stream **stream)
{
    return yoke_stream_share(stream, STDIN_FILENO);
}

int yoke_stdout(yoke_stream **stream)
{
    return yoke_stream_share(stream, STDOUT_FILENO);
}

int yoke_stderr(yoke_stream **stream)
{
    return yoke_stream_share(stream, STDERR_FILENO);
}
