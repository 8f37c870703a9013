/*
 * yoke/io/wait.h - waiting for descriptors that other libraries own, and for signals.
 */
#ifndef YOKE_IO_WAIT_H
#define YOKE_IO_WAIT_H

#include <signal.h>

#include <yoke/base.h>

YOKE_BEGIN_DECLS

/*
 * Waits until `fd` can be read from or written to without blocking (or has failed or hung up): 0. The descriptor stays the caller's and
 * keeps its mode. One reader and one writer at a time may wait for one descriptor: -EBUSY. -EBADF; -EPERM: a kind that is
 * always ready (regular files). A cancellation point, checked first. -ENOTRECOVERABLE outside of a task.
 */
YOKE_API YOKE_MUST_CHECK int yoke_fd_readable(int fd);
YOKE_API YOKE_MUST_CHECK int yoke_fd_writable(int fd);

/*
 * To be called before a descriptor is closed for which tasks may wait: they get -EBADF. (The kernel forgets a closed descriptor without
 * telling anybody.) Never blocks, not a cancellation point. 0, also if nobody waited.
 */
YOKE_API int yoke_fd_forget(int fd);

/*
 * Waits for one of the given signals and returns its number (> 0). yoke_signal_wait(SIGINT, SIGTERM) takes up to eight.
 *
 * The first wait of a runtime for a signal installs a handler for it, which stays until the runtime ends and then gives the former
 * disposition back: a signal that comes between two waits is kept for the next one (once, as the kernel does). Several tasks may
 * wait for the same signal: the first in line gets it. -EINVAL: not a signal, or one that cannot be caught; -EBUSY: another
 * runtime, or options.signals, has it. A cancellation point, checked first; no signal is lost by a cancel.
 */
YOKE_API YOKE_MUST_CHECK int yoke_signal_wait_any(const int *signals, int count);

YOKE_END_DECLS

#define yoke_signal_wait(...) \
    yoke_signal_wait_any((const int[]){ __VA_ARGS__ }, (int)(sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int)))

#endif
