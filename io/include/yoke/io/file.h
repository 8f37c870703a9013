/*
 * yoke/io/file.h - files: what cannot be waited for, only asked.
 *
 * The verbs of yoke/io/stream.h, with positions. Every call below that reaches the kernel is made by the blocking pool (kind files): the
 * task waits, its worker does not. Each is a cancellation point, checked first, unless it says otherwise. It is one system call: a
 * cancel that comes before a thread of the pool has taken it gives -ECANCELED, and nothing has happened; one that comes later waits for its
 * end, its result is returned, and the cancel stays pending. yoke_file_write_all and yoke_file_read_exact, which are made of several,
 * tell by `done` how far they came.
 *
 *     YOKE_SCOPED(yoke_file) f = NULL;                 // closed on every way out
 *     YOKE_TRY(yoke_file_open(&f, "data", O_RDONLY));
 *     ssize_t n = yoke_file_pread(f, buffer, sizeof buffer, 4096); // 0: the end
 *
 * A file may be used by several tasks at once; yoke_file_read and yoke_file_write share one position, which the kernel keeps. Handles
 * carry a generation: every call on a closed one is -EBADF, and so is a call that no thread had taken when it was closed. What is open at
 * the runtime's end is reported and closed. NULL is "never opened": -EBADF. All calls: -ENOTRECOVERABLE outside of a task; -EAGAIN,
 * -ENOMEM: no thread of the pool could be started and there is none, nothing has happened; others as the kernel gave them.
 */
#ifndef YOKE_IO_FILE_H
#define YOKE_IO_FILE_H

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <yoke/base.h>

YOKE_BEGIN_DECLS

typedef struct yoke_file yoke_file;

/*
 * Opens with the flags of open(2), close-on-exec. *file is then the caller's; NULL on failure. -EINVAL: O_CREAT or O_TMPFILE (see
 * yoke_file_create). -ESPIPE: a FIFO or a terminal, which can keep a thread for ever: for those open(2) with O_NONBLOCK and yoke_stream_adopt. -ENXIO: a
 * socket, or a FIFO to write to that nobody reads. `path` must stay as it is until the call returns.
 */
YOKE_API YOKE_MUST_CHECK int yoke_file_open(yoke_file **file, const char *path, int flags);

/* The same with O_CREAT (unless O_TMPFILE) and the permissions of a new file (`mode`, less the umask). O_EXCL in `flags`: -EEXIST if there is one. */
YOKE_API YOKE_MUST_CHECK int yoke_file_create(yoke_file **file, const char *path, int flags, mode_t mode);

/* Reads at most `size` bytes, at the file's position or at `offset` (which leaves the position alone); 0: the end, or size is 0. */
YOKE_API YOKE_MUST_CHECK ssize_t yoke_file_read(yoke_file *file, void *buffer, size_t size);
YOKE_API YOKE_MUST_CHECK ssize_t yoke_file_pread(yoke_file *file, void *buffer, size_t size, int64_t offset);

/* Writes, perhaps less than asked for; how many bytes. -ENOSPC, -EDQUOT, -EFBIG: nothing was written. */
YOKE_API YOKE_MUST_CHECK ssize_t yoke_file_write(yoke_file *file, const void *data, size_t size);
YOKE_API YOKE_MUST_CHECK ssize_t yoke_file_pwrite(yoke_file *file, const void *data, size_t size, int64_t offset);

/* Writes all of it at the file's position: 0, or the first error. `done` (may be NULL): how many bytes were written, whatever the result. */
YOKE_API YOKE_MUST_CHECK int yoke_file_write_all(yoke_file *file, const void *data, size_t size, size_t *done);

/* Reads exactly `size` bytes at the file's position: 0, -ENODATA if the file ends before, or the first error. `done` as above. */
YOKE_API YOKE_MUST_CHECK int yoke_file_read_exact(yoke_file *file, void *buffer, size_t size, size_t *done);

/* Returns once what was written is on the medium [fsync(2)]. -EIO: it may not be, and a second call need not say so again. */
YOKE_API YOKE_MUST_CHECK int yoke_file_fsync(yoke_file *file);

/* What fstat(2) says; the size in bytes. */
YOKE_API YOKE_MUST_CHECK int yoke_file_stat(yoke_file *file, struct stat *stat);
YOKE_API YOKE_MUST_CHECK int64_t yoke_file_size(yoke_file *file);

/*
 * Closes. Waits for close(2), which the pool makes, shielded for 5 s (then, or without a thread, the worker makes it): not a cancellation point,
 * and no error means that it is still open. -EBADF: closed already. -EIO, -EDQUOT and others: what was written may be lost [close(2)].
 * Calls that other tasks have begun go on to their end, and the last of them closes.
 */
YOKE_API int yoke_file_close(yoke_file *file);

/* For YOKE_SCOPED: closes unless NULL. */
YOKE_API void yoke_file_scoped(yoke_file **file);

/* The descriptor, still the file's. Negative: -EBADF. Never blocks. */
YOKE_API int yoke_file_fd(yoke_file *file);

YOKE_END_DECLS

#endif
