/*
 * uring.c - see uring.h. The queues are used as io_uring(7) tells: the kernel reads ours inside of the call alone (no IORING_SETUP_SQPOLL), and has
 * written its own when the call returns.
 */
#include "uring.h"

#include <errno.h>
#include <string.h>

#include "os.h"

#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#endif

#ifdef IORING_FEAT_FAST_POLL /* headers of Linux 5.7, which know all that is used here but the one below */
#include "atomic.h"

#ifndef IORING_SETUP_SUBMIT_ALL
#define IORING_SETUP_SUBMIT_ALL (1U << 7) /* one that fails does not keep back the others */
#endif

struct yoke__uring {
    int fd;
    uint32_t *submitted, *taken; /* tail and head of the first queue */
    uint32_t *done, *seen;       /* tail and head of the second */
    uint32_t mask, done_mask;
    struct io_uring_sqe *entries;
    struct io_uring_cqe *ends;
    void *queues;
    size_t queues_size, entries_size;
};

/* Both queues are in one mapping (IORING_FEAT_SINGLE_MMAP, Linux 5.4). */
static int map(struct yoke__uring *ring, const struct io_uring_params *p)
{
    int err = 0;
    size_t first = p->sq_off.array + p->sq_entries * sizeof(uint32_t), second = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    ring->queues_size = first > second ? first : second;
    ring->entries_size = p->sq_entries * sizeof(struct io_uring_sqe);
    char *queues = yoke__os_uring_map(ring->fd, ring->queues_size, IORING_OFF_SQ_RING, &err);
    if (queues == NULL)
        return err;
    ring->entries = yoke__os_uring_map(ring->fd, ring->entries_size, IORING_OFF_SQES, &err);
    if (ring->entries == NULL) {
        yoke__os_uring_unmap(queues, ring->queues_size);
        return err;
    }
    ring->queues = queues;
    ring->submitted = (uint32_t *)(void *)(queues + p->sq_off.tail);
    ring->taken = (uint32_t *)(void *)(queues + p->sq_off.head);
    ring->mask = *(const uint32_t *)(const void *)(queues + p->sq_off.ring_mask);
    ring->done = (uint32_t *)(void *)(queues + p->cq_off.tail);
    ring->seen = (uint32_t *)(void *)(queues + p->cq_off.head);
    ring->done_mask = *(const uint32_t *)(const void *)(queues + p->cq_off.ring_mask);
    ring->ends = (struct io_uring_cqe *)(void *)(queues + p->cq_off.cqes);
    uint32_t *order = (uint32_t *)(void *)(queues + p->sq_off.array);
    for (uint32_t i = 0; i < p->sq_entries; i++)
        order[i] = i;
    return 0;
}

struct yoke__uring *yoke__uring_open(unsigned most, int *err)
{
    struct io_uring_params parameters;
    struct yoke__uring *ring = yoke__os_alloc(sizeof *ring, 64);
    *err = -ENOMEM;
    if (ring == NULL)
        return NULL;
    memset(&parameters, 0, sizeof parameters);
    parameters.flags = IORING_SETUP_SUBMIT_ALL;
    ring->fd = *err = yoke__os_uring_setup(most, &parameters);
    if (ring->fd >= 0 && (*err = map(ring, &parameters)) == 0)
        return ring;
    if (ring->fd >= 0)
        (void)yoke__os_close(ring->fd);
    yoke__os_free(ring);
    return NULL;
}

void yoke__uring_close(struct yoke__uring *ring)
{
    if (ring == NULL)
        return;
    yoke__os_uring_unmap(ring->queues, ring->queues_size);
    yoke__os_uring_unmap(ring->entries, ring->entries_size);
    (void)yoke__os_close(ring->fd);
    yoke__os_free(ring);
}

int yoke__uring_fd(const struct yoke__uring *ring)
{
    return ring->fd;
}

/*
 * What an error of a receive means to who asked for it. One that a socket tells once, like a reset, has been told with that; any other recv(2) tells
 * again, if it is not one of the ring's alone.
 */
static ssize_t meant(int32_t rc)
{
    static const int again[] = { EINTR, ENOMEM, EINVAL, EACCES, EPERM, EOPNOTSUPP, ECANCELED, EBADF, ENOTSOCK, EFAULT, ENOTCONN, ENOSYS };
    for (size_t i = 0; rc < 0 && i < sizeof again / sizeof *again; i++)
        if (rc == -again[i])
            return -EAGAIN;
    return rc;
}

static uint32_t collect(struct yoke__uring *ring, struct yoke__receive *const *receives)
{
    uint32_t seen = *ring->seen, done = yoke__load_acquire(ring->done), n = done - seen; /* pairs with the kernel's */
    for (; seen != done; seen++) {
        const struct io_uring_cqe *end = &ring->ends[seen & ring->done_mask];
        struct yoke__receive *receive = receives[end->user_data];
        receive->result = meant(end->res);
        if (end->res >= 0)
            yoke__os_received(receive->fd);
    }
    yoke__store_release(ring->seen, seen); /* pairs with the kernel's */
    return n;
}

bool yoke__uring_receive(struct yoke__uring *ring, struct yoke__receive *const *receives, int n)
{
    uint32_t begin = *ring->submitted, at = begin;
    for (int i = 0; i < n; i++) {
        struct yoke__receive *receive = receives[i];
        ssize_t size = yoke__os_allowed_to_read(receive->size);
        receive->result = size < 0 ? size : -EAGAIN;
        if (size < 0)
            continue;
        ring->entries[at++ & ring->mask] = (struct io_uring_sqe){
            .opcode = IORING_OP_RECV, .fd = receive->fd, .addr = (uintptr_t)receive->buffer, .len = (uint32_t)size, .msg_flags = MSG_DONTWAIT,
            .user_data = (uint32_t)i
        };
    }
    yoke__store_release(ring->submitted, at); /* pairs with the kernel's */
    int rc = yoke__os_uring_enter(ring->fd, at - begin, 0);
    uint32_t taken = yoke__load_acquire(ring->taken) - begin; /* pairs with the kernel's */
    yoke__store_release(ring->submitted, begin + taken);      /* the others have not been tried, and are not to be */
    for (uint32_t ended = collect(ring, receives); ended < taken; ended += collect(ring, receives))
        (void)yoke__os_uring_enter(ring->fd, 0, taken - ended); /* were there one that is not over yet */
    return rc >= 0 || rc == -EAGAIN || rc == -EINTR || rc == -EBUSY || rc == -ENOMEM;
}

#else

struct yoke__uring *yoke__uring_open(unsigned most, int *err)
{
    (void)most;
    *err = -ENOSYS;
    return NULL;
}

void yoke__uring_close(struct yoke__uring *ring)
{
    (void)ring;
}

int yoke__uring_fd(const struct yoke__uring *ring)
{
    (void)ring;
    return -1;
}

bool yoke__uring_receive(struct yoke__uring *ring, struct yoke__receive *const *receives, int n)
{
    (void)ring, (void)receives, (void)n;
    return false;
}

#endif
