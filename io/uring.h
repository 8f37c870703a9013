/*
 * uring.h - many receives by one system call, where the kernel has io_uring(7) and grants it (Linux 5.18).
 *
 * Nothing is left to the kernel: each receive is one that does not wait (MSG_DONTWAIT), which is over when it has been submitted. So there is no
 * buffer that a cancel had to get back, and no completion that comes later. What is saved is entering the kernel, which for a short
 * message costs more than receiving it.
 *
 * Who may call: one thread at a time, not always the same one.
 */
#ifndef YOKE_IO_URING_H
#define YOKE_IO_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct yoke__uring;

struct yoke__receive {
    int fd; /* a socket */
    void *buffer;
    size_t size;
    ssize_t result; /* as recv(2), or the negative errno of the socket. -EAGAIN: to be asked of recv(2) */
};

/* For up to `most` at once. NULL: *err tells, -ENOSYS, -EPERM, -EINVAL: there is none, -ENOMEM, -EMFILE and what else io_uring_setup(2) says. */
struct yoke__uring *yoke__uring_open(unsigned most, int *err);
void yoke__uring_close(struct yoke__uring *ring);

/* The descriptor. */
int yoke__uring_fd(const struct yoke__uring *ring);

/*
 * Waits for nothing that others send; but like recv(2) for who has the socket in his hands, and for the pages of the buffers. False: the kernel does not
 * serve the ring any more.
 */
bool yoke__uring_receive(struct yoke__uring *ring, struct yoke__receive *const *receives, int n);

#endif
