/*
 * os.h - the OS boundary of io/, beside executor/platform.h and with the same rules: results are >= 0 or a negative errno, and each kind of
 * call can be made to fail by tests (yoke__os_fault_set).
 */
#ifndef YOKE_IO_OS_H
#define YOKE_IO_OS_H

#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "platform.h"

int yoke__os_epoll_create(void);
int yoke__os_epoll_add(int epoll, int fd, uint32_t events, uint64_t data);
int yoke__os_epoll_change(int epoll, int fd, uint32_t events, uint64_t data);
int yoke__os_epoll_remove(int epoll, int fd);
/* Until `deadline` (absolute CLOCK_MONOTONIC ns; INT64_MAX: none; in the past: only looks). How many events; -EINTR. */
int yoke__os_epoll_wait(int epoll, struct epoll_event *events, int most, int64_t deadline);
int yoke__os_eventfd(void);
/* Adds 1: readable. Async-signal-safe; errno is kept. */
void yoke__os_eventfd_signal(int fd);

struct io_uring_params;
/* io_uring_setup(2): the descriptor, close-on-exec. -ENOSYS where it is not known. */
int yoke__os_uring_setup(unsigned entries, struct io_uring_params *parameters);
/* A region of a ring. NULL: *err tells. */
void *yoke__os_uring_map(int ring, size_t size, int64_t offset, int *err);
void yoke__os_uring_unmap(void *at, size_t size);
/* io_uring_enter(2): submits so many, and waits until so many are complete. How many were submitted. */
int yoke__os_uring_enter(int ring, unsigned submit, unsigned complete);

/* All descriptors are made non-blocking and close-on-exec. */
int yoke__os_socket(int domain, int type, int protocol);
int yoke__os_bind(int fd, const struct sockaddr *address, socklen_t length);
int yoke__os_listen(int fd, int backlog);
int yoke__os_accept(int fd);
int yoke__os_connect(int fd, const struct sockaddr *address, socklen_t length);
int yoke__os_connect_error(int fd);
/* Small writes are not held back. An error: it is no TCP socket. */
int yoke__os_no_delay(int fd);
/* 1, 0. */
int yoke__os_is_socket(int fd);
int yoke__os_local_address(int fd, struct sockaddr *address, socklen_t *length);
/* -ENOTCONN: not yet. */
int yoke__os_peer_address(int fd, struct sockaddr *address, socklen_t *length);
/* Addresses of a name, for freeaddrinfo(3). May take long. -EAGAIN: the name service does not answer; -ENOENT: there is none. */
int yoke__os_look_up(const char *host, const char *port, bool passive, struct addrinfo **list);
int yoke__os_socketpair(int fds[2]);
int yoke__os_pipe(int fds[2]);
int yoke__os_shutdown(int fd, int how);
/* Closed whatever it says: so an interruption is nothing to tell. */
int yoke__os_close(int fd);
int yoke__os_nonblocking(int fd);
/* Another descriptor of the same open file; its mode is left as it is. */
int yoke__os_duplicate(int fd);
/* O_RDONLY, O_WRONLY or O_RDWR. */
int yoke__os_access_mode(int fd);
/* A pseudo-terminal has two ends: the other one is a device that makes a new pair when it is opened. */
enum { YOKE__OS_NO_TERMINAL = 0 /* or nobody knows */, YOKE__OS_TERMINAL, YOKE__OS_TERMINAL_MASTER };
int yoke__os_terminal(int fd);
/* `events` of poll(2): > 0 if one of them would not block now, or fails; 0 if not. */
int yoke__os_ready(int fd, short events);

int yoke__os_open(const char *path, int flags, mode_t mode);
int yoke__os_stat(int fd, struct stat *stat);
int yoke__os_fsync(int fd);

/* Never blocks on a non-blocking descriptor or a socket. */
ssize_t yoke__os_readv(int fd, const struct iovec *pieces, int count);
ssize_t yoke__os_writev(int fd, const struct iovec *pieces, int count);
/* At an offset; -1: at the position that the kernel keeps. */
ssize_t yoke__os_preadv(int fd, const struct iovec *pieces, int count, int64_t offset);
ssize_t yoke__os_pwritev(int fd, const struct iovec *pieces, int count, int64_t offset);
ssize_t yoke__os_receive(int fd, void *buffer, size_t size);
/* For who receives by other ways: how much of `size` he may ask for, or the error he is to have; and that he has received. */
ssize_t yoke__os_allowed_to_read(size_t size);
void yoke__os_received(int fd);
ssize_t yoke__os_send(int fd, const void *data, size_t size);
ssize_t yoke__os_receive_message(int fd, const struct iovec *pieces, int count);
ssize_t yoke__os_send_message(int fd, const struct iovec *pieces, int count);

#endif
