/*
 * yoke/io/stream.h - byte streams: TCP and Unix sockets, pipes, and descriptors that the program brings.
 *
 * One set of verbs for all of them: read, write, close. A call that would block the thread blocks the task only. Every one is a
 * cancellation point, checked first, unless it says otherwise, and either had its effect and succeeded, or returned -ECANCELED and
 * nothing happened; yoke_write_all and yoke_read_exact, which are made of several, tell by `done` how far they came. Deadlines
 * come from the scope they are called in.
 *
 *     YOKE_SCOPED(yoke_stream) s = NULL;               // closed on every way out
 *     YOKE_TRY(yoke_dial(&s, "localhost:8080"));
 *     YOKE_TRY(yoke_write_all(s, "hello\n", 6, NULL));
 *     ssize_t n = yoke_read(s, buffer, sizeof buffer); // 0: the other end has closed
 *
 * A handle may be used by several tasks: one reads while another one writes; a second reader gets -EBUSY, as a second writer does.
 * Handles carry a generation: every call on a closed one is -EBADF. They belong to the runtime in which they were opened; what is
 * still open at its end is reported and closed. NULL is "never opened": -EBADF. All calls: -ENOTRECOVERABLE outside of a task.
 *
 * Addresses are text: "host:port", "127.0.0.1:8080", "[::1]:80", ":8080" (every local address; for dialling the loopback one),
 * "unix:/path" or "unix:@abstract". A name is looked up by the blocking pool (kind names, getaddrinfo(3)), and its addresses are tried in turn.
 */
#ifndef YOKE_IO_STREAM_H
#define YOKE_IO_STREAM_H

#include <sys/types.h>
#include <sys/uio.h>

#include <yoke/base.h>

YOKE_BEGIN_DECLS

typedef struct yoke_stream yoke_stream;
typedef struct yoke_listener yoke_listener;

/*
 * Connects. *stream is then the caller's; NULL on failure. -EINVAL: not an address; -ENOENT: no such name; -EAGAIN: the name service
 * failed for now; -ENOMEM, -EMFILE and others as the kernel gave them (of several addresses the last one's).
 */
YOKE_API YOKE_MUST_CHECK int yoke_dial(yoke_stream **stream, const char *address);

/*
 * Binds and listens. TCP addresses are bound with SO_REUSEADDR; a stale socket file is not removed. backlog <= 0: the system's
 * most. Errors as yoke_dial, and -EADDRINUSE.
 */
YOKE_API YOKE_MUST_CHECK int yoke_listen(yoke_listener **listener, const char *address, int backlog);

/*
 * Takes the next connection; *stream is then the caller's, NULL otherwise. Errors that concern one connection only (it was reset
 * before it was taken) are passed over. -EMFILE, -ENFILE, -ENOMEM, -ENOBUFS: nothing is lost, the connection waits: try later. -EBUSY: another
 * task accepts.
 */
YOKE_API YOKE_MUST_CHECK int yoke_accept(yoke_listener *listener, yoke_stream **stream);

/* A pipe: what is written to *writer can be read from *reader. Both are the caller's; on failure both are NULL. Not a cancellation point. */
YOKE_API YOKE_MUST_CHECK int yoke_pipe(yoke_stream **reader, yoke_stream **writer);

/* A connected pair of Unix stream sockets. As yoke_pipe. */
YOKE_API YOKE_MUST_CHECK int yoke_stream_pair(yoke_stream **a, yoke_stream **b);

/*
 * Makes a stream of a descriptor (socket, pipe, terminal, ...), which then belongs to it and is made non-blocking (O_NONBLOCK, which
 * all who share the open file see). -EBADF; -EPERM: a kind that cannot be waited for (regular files: yoke/io/file.h). On failure the
 * descriptor is still the caller's. Not a cancellation point.
 */
YOKE_API YOKE_MUST_CHECK int yoke_stream_adopt(yoke_stream **stream, int fd);

/*
 * Makes a stream of a descriptor whose open file other processes may share, whatever it is: terminal, pipe, socket, file, /dev/null. The
 * descriptor stays the caller's, and its mode is left as it is: the stream uses one of its own, and closing the stream does not close
 * `fd`. What cannot be waited for is read and written by the blocking pool (kind files). -EBADF: not open; -EMFILE, -ENFILE, -ENOMEM. Never blocks, not a
 * cancellation point.
 *
 * A terminal or pipe that cannot be opened anew by /proc/self/fd is read by the pool once there is something: if another process takes that
 * first, the call, a cancel and a close wait for the next bytes.
 */
YOKE_API YOKE_MUST_CHECK int yoke_stream_share(yoke_stream **stream, int fd);

/* Of descriptor 0, 1 or 2. Nothing is buffered: do not mix with stdio. */
YOKE_API YOKE_MUST_CHECK int yoke_stdin(yoke_stream **stream);
YOKE_API YOKE_MUST_CHECK int yoke_stdout(yoke_stream **stream);
YOKE_API YOKE_MUST_CHECK int yoke_stderr(yoke_stream **stream);

/*
 * Reads what there is, at most `size` bytes, at least one; 0: the other end has closed, or size is 0. Other errors as the kernel gave
 * them, such as -ECONNRESET. `buffer` is the call's until it returns, not only at the end: no two calls may have the same at a time, on one worker either.
 */
YOKE_API YOKE_MUST_CHECK ssize_t yoke_read(yoke_stream *stream, void *buffer, size_t size);
YOKE_API YOKE_MUST_CHECK ssize_t yoke_readv(yoke_stream *stream, const struct iovec *pieces, int count);

/* Writes at least one byte, perhaps less than asked for; how many. -EPIPE, -ECONNRESET: the other end is gone. No SIGPIPE. */
YOKE_API YOKE_MUST_CHECK ssize_t yoke_write(yoke_stream *stream, const void *data, size_t size);
YOKE_API YOKE_MUST_CHECK ssize_t yoke_writev(yoke_stream *stream, const struct iovec *pieces, int count);

/* Writes all of it: 0, or the first error. `done` (may be NULL): how many bytes were written, whatever the result. */
YOKE_API YOKE_MUST_CHECK int yoke_write_all(yoke_stream *stream, const void *data, size_t size, size_t *done);

/* Reads exactly `size` bytes: 0, -ENODATA if the other end closed before, or the first error. `done` as above. */
YOKE_API YOKE_MUST_CHECK int yoke_read_exact(yoke_stream *stream, void *buffer, size_t size, size_t *done);

/* Ends one direction or both of a socket: the other end reads what was written, then 0. -ENOTSOCK. Not a cancellation point. */
enum yoke_direction { YOKE_READING = 1, YOKE_WRITING = 2 };
YOKE_API YOKE_MUST_CHECK int yoke_shutdown(yoke_stream *stream, int directions);

/*
 * Closes; whoever waits on the handle gets -EBADF. Never blocks (the descriptor is given back when the last of them has left), not a
 * cancellation point. -EBADF: closed already.
 */
YOKE_API int yoke_close(yoke_stream *stream);
YOKE_API int yoke_listener_close(yoke_listener *listener);

/* For YOKE_SCOPED: closes unless NULL. */
YOKE_API void yoke_stream_scoped(yoke_stream **stream);
YOKE_API void yoke_listener_scoped(yoke_listener **listener);

/* The descriptor, still the stream's: for socket options. Negative: -EBADF. */
YOKE_API int yoke_stream_fd(yoke_stream *stream);
YOKE_API int yoke_listener_fd(yoke_listener *listener);

/* The address as text that yoke_dial takes. -ENOSPC: `size` (with the final 0) is too small; -ENOTSOCK. Never blocks. */
YOKE_API YOKE_MUST_CHECK int yoke_stream_local(yoke_stream *stream, char *text, size_t size);
YOKE_API YOKE_MUST_CHECK int yoke_stream_peer(yoke_stream *stream, char *text, size_t size);
YOKE_API YOKE_MUST_CHECK int yoke_listener_address(yoke_listener *listener, char *text, size_t size);

YOKE_END_DECLS

#endif
