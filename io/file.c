/*
 * file.c - files. See pooled.h for how a call waits.
 */
#include <yoke/io/file.h>

#include <limits.h>

#include <yoke/blocking.h>

#include "os.h"
#include "pooled.h"
#include "scope.h"
#include "whole.h"

/* ---- opening ------------------------------------------------------------------------------------------------------------ */

struct opening {
    const char *path;
    int flags, fd;
    mode_t mode;
};

/* O_NONBLOCK: a FIFO is opened at once; files do not mind. */
static int open_it(void *arg)
{
    struct opening *opening = arg;
    struct stat stat;
    int rc;
    do
        rc = yoke__os_open(opening->path, opening->flags | O_NONBLOCK | O_NOCTTY, opening->mode);
    while (rc == -EINTR);
    if (rc < 0)
        return rc;
    int fd = rc;
    rc = yoke__os_stat(fd, &stat);
    if (rc == 0 && (S_ISFIFO(stat.st_mode) || (S_ISCHR(stat.st_mode) && yoke__os_terminal(fd) != YOKE__OS_NO_TERMINAL)))
        rc = -ESPIPE;
    if (rc < 0)
        (void)yoke__os_close(fd);
    opening->fd = fd;
    return rc;
}

static int open_with(yoke_file **file, const char *path, int flags, mode_t mode)
{
    *file = NULL;
    int rc = yoke__fast_checkpoint();
    if (rc < 0)
        return rc;
    struct yoke__reactor *reactor = yoke__reactor_here(&rc);
    if (reactor == NULL)
        return rc;
    if (path == NULL)
        return -EINVAL;
    struct yoke__io *io = yoke__io_new(reactor);
    if (io == NULL)
        return -ENOMEM;
    struct opening opening = { .path = path, .flags = flags, .mode = mode };
    rc = yoke_blocking_with(YOKE_BLOCKING_FILES, false, NULL, open_it, &opening);
    if (rc < 0)
        yoke__io_drop(io);
    else
        *file = yoke__io_open(io, opening.fd, YOKE__IO_FILE);
    return rc;
}

int yoke_file_open(yoke_file **file, const char *path, int flags)
{
    *file = NULL;
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? -EINVAL : open_with(file, path, flags, 0);
}

int yoke_file_create(yoke_file **file, const char *path, int flags, mode_t mode)
{
    return open_with(file, path, (flags & O_TMPFILE) == O_TMPFILE ? flags : flags | O_CREAT, mode);
}

/* ---- reading and writing ------------------------------------------------------------------------------------------------ */

/* Runs `call` inside the file's record. */
static int64_t through(yoke_file *file, struct yoke__pooled *pooled, int (*call)(const struct yoke__pooled *))
{
    int rc = yoke__fast_checkpoint();
    if (rc == 0)
        rc = yoke__io_enter(file, YOKE__IO_FILE, &pooled->io);
    if (rc < 0)
        return rc;
    rc = yoke__pooled_call(pooled, call);
    (void)yoke__pooled_leave(pooled->io);
    return rc;
}

static ssize_t transfer(yoke_file *file, int direction, const void *data, size_t size, int64_t offset)
{
    const struct iovec piece = { .iov_base = (void *)(uintptr_t)data, .iov_len = size < SSIZE_MAX ? size : SSIZE_MAX };
    struct yoke__pooled pooled = { .pieces = &piece, .count = 1, .offset = offset, .direction = direction };
    return (ssize_t)through(file, &pooled, yoke__pooled_transfer);
}

ssize_t yoke_file_read(yoke_file *file, void *buffer, size_t size)
{
    return transfer(file, YOKE__IO_READ, buffer, size, -1);
}

ssize_t yoke_file_write(yoke_file *file, const void *data, size_t size)
{
    return transfer(file, YOKE__IO_WRITE, data, size, -1);
}

ssize_t yoke_file_pread(yoke_file *file, void *buffer, size_t size, int64_t offset)
{
    return offset < 0 ? -EINVAL : transfer(file, YOKE__IO_READ, buffer, size, offset);
}

ssize_t yoke_file_pwrite(yoke_file *file, const void *data, size_t size, int64_t offset)
{
    return offset < 0 ? -EINVAL : transfer(file, YOKE__IO_WRITE, data, size, offset);
}

static ssize_t write_some(void *file, char *at, size_t size)
{
    return yoke_file_write(file, at, size);
}

static ssize_t read_some(void *file, char *at, size_t size)
{
    return yoke_file_read(file, at, size);
}

int yoke_file_write_all(yoke_file *file, const void *data, size_t size, size_t *done)
{
    return yoke__io_whole(write_some, file, data, size, done);
}

int yoke_file_read_exact(yoke_file *file, void *buffer, size_t size, size_t *done)
{
    return yoke__io_whole(read_some, file, buffer, size, done);
}

/* ---- the rest ----------------------------------------------------------------------------------------------------------- */

static int fsync_it(const struct yoke__pooled *pooled)
{
    return yoke__os_fsync(pooled->io->fd);
}

static int stat_it(const struct yoke__pooled *pooled)
{
    return yoke__os_stat(pooled->io->fd, pooled->stat);
}

int yoke_file_fsync(yoke_file *file)
{
    return (int)through(file, &(struct yoke__pooled){ .count = 0 }, fsync_it);
}

int yoke_file_stat(yoke_file *file, struct stat *stat)
{
    return (int)through(file, &(struct yoke__pooled){ .stat = stat }, stat_it);
}

int64_t yoke_file_size(yoke_file *file)
{
    struct stat stat;
    int rc = yoke_file_stat(file, &stat);
    return rc < 0 ? rc : stat.st_size;
}

int yoke_file_close(yoke_file *file)
{
    struct yoke__io *io;
    int rc = yoke__io_shut(file, YOKE__IO_FILE, &io);
    return rc < 0 ? rc : yoke__pooled_leave(io);
}

void yoke_file_scoped(yoke_file **file)
{
    if (*file != NULL)
        (void)yoke_file_close(*file);
}

int yoke_file_fd(yoke_file *file)
{
    struct yoke__io *io;
    int rc = yoke__io_enter(file, YOKE__IO_FILE, &io);
    if (rc < 0)
        return rc;
    rc = io->fd;
    (void)yoke__pooled_leave(io);
    return rc;
}
