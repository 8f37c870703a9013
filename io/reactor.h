/*
 * reactor.h - descriptors that tasks wait for: one registration each, edge-triggered, behind an interface that another kernel
 * mechanism could serve as well.
 *
 *     rc = yoke__io_enter(handle, kind, &io);       // -EBADF: closed; from now on the descriptor stays open
 *     do rc = system call on io->fd;
 *     while (rc == -EAGAIN && (rc = yoke__io_wait(io, YOKE__IO_READ, "read")) == 0);
 *     yoke__io_leave(io);
 *
 * The argument, readiness. The system call is tried first. When it says -EAGAIN, the waiter goes through the record's lock: either an event
 * has come since the last wait, then `ready` tells and the call is tried again; or none has, and the waiter is put there for the next
 * one. The kernel reports an edge after every change from not ready to ready that follows a failed call, and at registration if the
 * descriptor is ready then: so an event is never missed, and at worst a stale one costs one try.
 *
 * A read that returned less than was asked for has emptied a TCP socket [epoll(7), question 9], so that the next one may wait without
 * a try that would fail, unless an event has come since before that read: `emptied` keeps the number of events seen then. The end of
 * the stream and errors are told once: after them every read tries. So it does after urgent data, which cut a read short (tcp(7)) though
 * there may be more behind them.
 *
 * Receiving for others. Whoever wakes several readers of sockets at once receives for them before they are made ready, by one system call
 * (uring.h), as far as they ask for no more than 16 KiB. The poller has won their waits, so that no cancel comes in between, and until they are ready
 * nobody else touches their stacks, where the request lies; the buffer is the call's until it returns (stream.h); they are inside, so that the
 * descriptors stay open. What a read has got it returns, as if it had received by itself. `reads` of the waiter was taken before, as a
 * reader would.
 *
 * The argument, closing. `state` counts who uses the descriptor, beside a bit that says closed. Entering fails once the bit is there; whoever
 * brings the count to 0 with the bit set closes the descriptor, exactly once: so no system call ever goes to a descriptor number
 * that has been given to somebody else. Close sets the bit, then fires the waiters under the lock; a waiter puts itself there under the
 * lock and looks at the bit: one sees the other. (tests/model/reactor.c)
 *
 * The argument, stale events. Records are type-stable for the life of the runtime. An event carries the record's address and 16 bits of
 * its generation; one that was fetched before the record was given to another descriptor does not fit and is dropped; should it fit after
 * 65536 uses, it costs one try. Handles carry 22 bits of it, in the bits of an address that are always 0.
 *
 * Progress: entering and leaving are lock-free; the lock is held for a few instructions.
 */
#ifndef YOKE_IO_REACTOR_H
#define YOKE_IO_REACTOR_H

#include "core.h"
#include "uring.h"

enum { YOKE__IO_READ = 0, YOKE__IO_WRITE = 1 };
enum yoke__io_kind { /* plain: read(2) and write(2); pooled: the same by the blocking pool (pooled.h) */
    YOKE__IO_SOCKET = 1, YOKE__IO_PLAIN = 2, YOKE__IO_LISTENER = 4, YOKE__IO_POOLED = 8, YOKE__IO_FILE = 16
};
enum { YOKE__IO_STREAM = YOKE__IO_SOCKET | YOKE__IO_PLAIN | YOKE__IO_POOLED };

struct yoke__reactor;

/* Who waits for an event of a descriptor. */
struct yoke__io_waiter {
    struct yoke__wait wait;
    struct yoke__receive *receive; /* it reads: what the poller may receive for it once it is woken; or NULL */
    uint32_t reads;                /* yoke__io_reads() before that */
};

/* One cache line. */
struct yoke__io {
    uint32_t state;      /* uses, and YOKE__IO_CLOSED */
    int fd;
    uint32_t generation; /* changed when closed */
    uint32_t reads;      /* events for reading so far, times 2; odd: the other end has closed, an error, urgent data: never take it for empty */
    uint32_t emptied;    /* `reads` before the last short read; atomic like it */
    uint8_t kind;
    uint8_t registered;  /* with the kernel; written once, atomic */
    uint8_t streaming;   /* a TCP socket: a short read has emptied it */
    uint8_t shared;      /* other descriptors may be of the same open file: not to be shut down for this one */
    uint8_t waits;       /* pooled: readiness comes first */
    uint8_t ready;       /* under the lock: 1 << direction: an event came since the last wait */
    uint8_t busy;        /* under the lock: 1 << direction: pooled: somebody is at it */
    struct yoke__lock lock;
    struct yoke__io_waiter *waiter[2]; /* under the lock, but for a hint */
    struct yoke__reactor *reactor;
    struct yoke__io *next; /* free list */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct yoke__io) == 64, "a record that takes two lines costs a miss more for each event");

#define YOKE__IO_CLOSED 0x80000000u

/* The reactor of the current runtime, started if need be. NULL: *err tells. In a task. */
struct yoke__reactor *yoke__reactor_here(int *err);

/* A record for a descriptor to come. NULL: -ENOMEM. It is used once: yoke__io_open or yoke__io_drop follows. */
struct yoke__io *yoke__io_new(struct yoke__reactor *reactor);
void yoke__io_drop(struct yoke__io *io);
/* The descriptor belongs to it now; the handle. */
void *yoke__io_open(struct yoke__io *io, int fd, enum yoke__io_kind kind);

/* In a task: 0, -EBADF, -ENOTRECOVERABLE. `kinds`: which will do. */
int yoke__io_enter(const void *handle, int kinds, struct yoke__io **io);
/* The last to leave a closed one gives the descriptor back: what close(2) said; else 0. Any thread. */
int yoke__io_leave(struct yoke__io *io);

/* True once it has been closed, by somebody else: the caller is inside. */
static inline bool yoke__io_closed(const struct yoke__io *io)
{
    return (yoke__load_acquire(&io->state) & YOKE__IO_CLOSED) != 0; /* pairs with yoke__io_close() */
}

/*
 * False: of a kind that cannot be waited for (regular files, /dev/null). A registration that the number was left with (fdwait.c; a descriptor of the
 * same open file that was closed elsewhere) is gone afterwards.
 */
bool yoke__io_pollable(struct yoke__reactor *reactor, int fd);

/* Waits for the next event of a direction: 0: try again; -ECANCELED, -EBADF (closed), -EBUSY, -ENOMEM and what epoll_ctl(2) says. */
int yoke__io_wait(struct yoke__io *io, int direction, const char *what);
/*
 * The same for a read: what was received for it, -EAGAIN: it is to try by itself, or an error as above. If something was received, *reads is what
 * yoke__io_reads() was before.
 */
ssize_t yoke__io_wait_receiving(struct yoke__io *io, struct yoke__receive *receive, uint32_t *reads);

/* Before a read: what yoke__io_emptied() is told. */
static inline uint32_t yoke__io_reads(const struct yoke__io *io)
{
    return yoke__load_acquire(&io->reads); /* pairs with deliver() */
}

/* A read has got less than it asked for. */
static inline void yoke__io_emptied(struct yoke__io *io, uint32_t reads)
{
    if (io->streaming && yoke__load_relaxed(&io->registered) != 0)
        yoke__store_relaxed(&io->emptied, reads); /* compared with a number that only grows */
}

/* True if a read would surely have to wait. */
static inline bool yoke__io_empty(const struct yoke__io *io)
{
    uint32_t emptied = yoke__load_relaxed(&io->emptied);
    return (emptied & 1) == 0 && emptied == yoke__io_reads(io);
}

/* Closes: 0 or -EBADF. Any thread of the runtime's. */
int yoke__io_close(const void *handle, int kinds);
/* The same up to the leaving, which is then the caller's. */
int yoke__io_shut(const void *handle, int kinds, struct yoke__io **io);

/* ---- descriptors of others (fdwait.c), signals (signal.c) ---- */

struct yoke__fdwait {
    struct yoke__wait *waiter[2];
    uint32_t arming; /* the number of the last one */
    bool added;
};

struct yoke__fdwaits {
    struct yoke__lock lock;
    struct yoke__fdwait *slots; /* by descriptor */
    int count;
};

/* What an event's 64 bits say: odd: a descriptor (31 bits) and the arming (32) that it is of. */
#define YOKE__FOREIGN ((uint64_t)1)

static inline uint64_t yoke__fdwait_tag(int fd, uint32_t arming)
{
    return (uint64_t)arming << 32 | (uint64_t)fd << 1 | YOKE__FOREIGN;
}

static inline int yoke__fdwait_fd(uint64_t tag)
{
    return (int)((uint32_t)tag >> 1);
}

struct yoke__sigwaits {
    struct yoke__lock lock;
    struct yoke__sigwait *first, **last;
};

struct yoke__reactor {
    struct yoke_runtime *rt;
    int epoll, wake;
    struct yoke__uring *ring; /* the poll's holder's; NULL: not to be had, or not wanted */
    int ring_fd;              /* atomic */
    struct yoke__lock lock; /* free records, chunks */
    struct yoke__io *free;
    void *chunks;
    struct yoke__fdwaits fdwaits;
    struct yoke__sigwaits sigwaits;
};

/* Something has happened to a foreign descriptor. */
void yoke__fdwait_event(struct yoke__reactor *reactor, uint64_t tag, uint32_t events, struct yoke__fiber **woken);
/* How many wait; at the end. */
int yoke__fdwaits_left(const struct yoke__reactor *reactor);
/* After an interrupt: hands signals that have come to their waiters. */
void yoke__signals_deliver(struct yoke__reactor *reactor, struct yoke__fiber **woken);
/* Former dispositions are given back; no handler runs any more that knows this reactor. */
void yoke__signals_end(struct yoke__reactor *reactor);

/* Makes the poll look for signals. Async-signal-safe. */
void yoke__reactor_interrupt(struct yoke__reactor *reactor);

#endif
