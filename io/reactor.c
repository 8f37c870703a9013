/*
 * reactor.c - the driver that polls with epoll; records of descriptors. The argument is at the head of reactor.h.
 */
#include "reactor.h"

#include <string.h>

#include "leftover.h"
#include "os.h"
#include "report.h"
#include "scope.h"
#include "wait.h"
#include "worker.h"

enum { EVENTS_A_POLL = 64, RECORDS_AHEAD = 8, WAITERS_AHEAD = 4, CHUNK = 64 * 1024 };
/* Who reads more than this at once gets it himself: until all have what they have asked for nobody is woken. */
enum { RECEIVE_AT_MOST = 16 * 1024 };

/* What an event's 64 bits say: 0: the interrupt; odd: a descriptor of somebody else's (fdwait.c); else a record's address and generation. */
#define ADDRESS_BITS 48

/* ---- records ------------------------------------------------------------------------------------------------------------ */

/* Generations: 22 bits in a handle. The lowest 6 bits of a record's address are 0, and so are the highest 16 [AMD64 ABI]. */
static void *handle_of(const struct yoke__io *io)
{
    uintptr_t generation = io->generation & 0x3fffff;
    return (void *)((uintptr_t)io | (generation & 63) | (generation >> 6) << ADDRESS_BITS);
}

static struct yoke__io *record_of(const void *handle)
{
    return (struct yoke__io *)((uintptr_t)handle & (((uintptr_t)1 << ADDRESS_BITS) - 1) & ~(uintptr_t)63);
}

static uint64_t tag_of(const struct yoke__io *io)
{
    return (uint64_t)(uintptr_t)io | (uint64_t)(io->generation & 0xffff) << ADDRESS_BITS;
}

/* Under the lock. */
static bool carve(struct yoke__reactor *reactor)
{
    int err = 0;
    char *chunk = yoke__os_mmap(CHUNK, 0, &err);
    if (chunk == NULL)
        return false;
    *(void **)(void *)chunk = reactor->chunks;
    reactor->chunks = chunk;
    for (size_t at = sizeof(struct yoke__io); at + sizeof(struct yoke__io) <= CHUNK; at += sizeof(struct yoke__io)) {
        struct yoke__io *io = (struct yoke__io *)(void *)(chunk + at);
        io->reactor = reactor;
        io->state = YOKE__IO_CLOSED;
        io->generation = 1;
        io->next = reactor->free;
        reactor->free = io;
    }
    return true;
}

struct yoke__io *yoke__io_new(struct yoke__reactor *reactor)
{
    yoke__lock_acquire(&reactor->lock);
    struct yoke__io *io = NULL;
    if (reactor->free != NULL || carve(reactor)) {
        io = reactor->free;
        reactor->free = io->next;
    }
    yoke__lock_release(&reactor->lock);
    return io;
}

void yoke__io_drop(struct yoke__io *io)
{
    struct yoke__reactor *reactor = io->reactor;
    yoke__lock_acquire(&reactor->lock);
    io->next = reactor->free;
    reactor->free = io;
    yoke__lock_release(&reactor->lock);
}

void *yoke__io_open(struct yoke__io *io, int fd, enum yoke__io_kind kind)
{
    io->fd = fd;
    io->kind = (uint8_t)kind;
    yoke__store_relaxed(&io->registered, 0); /* nobody knows it yet */
    io->streaming = io->shared = io->waits = 0;
    io->reads = 2;
    io->emptied = 1;
    io->ready = io->busy = 0;
    yoke__store_relaxed(&io->waiter[0], NULL); /* as in fire() */
    yoke__store_relaxed(&io->waiter[1], NULL); /* as in fire() */
    yoke__store_release(&io->state, 0); /* all of the above; pairs with yoke__io_enter() */
    return handle_of(io);
}

int yoke__io_enter(const void *handle, int kinds, struct yoke__io **out)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    if (handle == NULL)
        return -EBADF;
    struct yoke__io *io = record_of(handle);
    if (yoke__unlikely(io->reactor->rt != w->rt)) /* the parent's, in the child of a fork */
        return -EBADF;
    uint32_t state = yoke__load_relaxed(&io->state);
    do
        if ((state & YOKE__IO_CLOSED) != 0)
            return -EBADF;
    while (!yoke__cas_acq_rel(&io->state, &state, state + 1)); /* pairs with yoke__io_open() and yoke__io_leave() */
    *out = io;
    if (handle_of(io) == handle && (io->kind & kinds) != 0) /* the generation stands while somebody is inside */
        return 0;
    yoke__io_leave(io);
    return -EBADF;
}

int yoke__io_leave(struct yoke__io *io)
{
    /* release: the use of the descriptor before its close; pairs with itself and yoke__io_enter() */
    if (yoke__sub_acq_rel(&io->state, 1) != (YOKE__IO_CLOSED | 1))
        return 0;
    if (yoke__load_relaxed(&io->registered) != 0)
        (void)yoke__os_epoll_remove(io->reactor->epoll, io->fd); /* a duplicate, or a child's, would keep it there [epoll(7), question 6] */
    int rc = yoke__os_close(io->fd);
    yoke__lock_acquire(&io->lock);
    io->generation++; /* an event that was fetched before no longer fits */
    yoke__lock_release(&io->lock);
    yoke__io_drop(io);
    return rc;
}

/* Under the lock; the fiber to be made ready, or NULL. */
static struct yoke__fiber *fire(struct yoke__io *io, int direction, int code)
{
    struct yoke__io_waiter *waiter = io->waiter[direction];
    struct yoke__fiber *fiber = NULL;
    if (waiter != NULL) {
        yoke__store_relaxed(&io->waiter[direction], NULL); /* under the lock, but for a hint */
        yoke__wait_fire(&waiter->wait, code, &fiber);
    }
    return fiber;
}

static void link_before(struct yoke__fiber **list, struct yoke__fiber *fiber)
{
    if (fiber == NULL)
        return;
    fiber->next = *list;
    *list = fiber;
}

int yoke__io_shut(const void *handle, int kinds, struct yoke__io **out)
{
    int rc = yoke__io_enter(handle, kinds, out);
    if (rc < 0)
        return rc;
    struct yoke__io *io = *out;
    if ((yoke__or_acq_rel(&io->state, YOKE__IO_CLOSED) & YOKE__IO_CLOSED) != 0) { /* pairs with yoke__io_wait() and yoke__io_leave() */
        yoke__io_leave(io); /* somebody else closes it at this moment */
        return -EBADF;
    }
    struct yoke__fiber *woken = NULL;
    yoke__lock_acquire(&io->lock);
    if ((yoke__load_relaxed(&io->state) & ~YOKE__IO_CLOSED) > 1 && (io->kind & (YOKE__IO_SOCKET | YOKE__IO_LISTENER)) != 0 && !io->shared)
        (void)yoke__os_shutdown(io->fd, SHUT_RDWR); /* the others leave soon; the other end and the address need not wait for it */
    link_before(&woken, fire(io, YOKE__IO_READ, YOKE__FIRE_CLOSED));
    link_before(&woken, fire(io, YOKE__IO_WRITE, YOKE__FIRE_CLOSED));
    yoke__lock_release(&io->lock);
    yoke__ready_list(io->reactor->rt, woken);
    return 0;
}

int yoke__io_close(const void *handle, int kinds)
{
    struct yoke__io *io;
    int rc = yoke__io_shut(handle, kinds, &io);
    if (rc == 0)
        (void)yoke__io_leave(io);
    return rc;
}

/* ---- waiting ------------------------------------------------------------------------------------------------------------ */

bool yoke__io_pollable(struct yoke__reactor *reactor, int fd)
{
    int rc = yoke__os_epoll_add(reactor->epoll, fd, EPOLLONESHOT, 0);
    if (rc == 0 || rc == -EEXIST)
        (void)yoke__os_epoll_remove(reactor->epoll, fd);
    return rc != -EPERM;
}

/*
 * With the first wait. Two who do it at once: the second is told that it exists. So is one who adopted a descriptor that was waited for
 * before as somebody else's (fdwait.c), whose events would not come here: hence the tag is set anew.
 */
static int enroll(struct yoke__io *io)
{
    if (yoke__load_relaxed(&io->registered) != 0) /* a hint; the kernel orders its events by itself */
        return 0;
    const uint32_t events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    int rc = yoke__os_epoll_add(io->reactor->epoll, io->fd, events, tag_of(io));
    if (rc == -EEXIST)
        rc = yoke__os_epoll_change(io->reactor->epoll, io->fd, events, tag_of(io));
    if (rc < 0)
        return rc;
    yoke__store_relaxed(&io->registered, 1);
    return 0;
}

static int wait_as(struct yoke__io_waiter *me, struct yoke__io *io, int direction, const char *what)
{
    yoke__wait_init(&me->wait, what);
    int rc = yoke__wait_enlist(&me->wait);
    if (rc < 0)
        return rc;
    rc = enroll(io);
    if (rc < 0) {
        yoke__wait_delist(&me->wait);
        return rc;
    }
    bool block = false;
    yoke__lock_acquire(&io->lock);
    if (yoke__io_closed(io)) {
        rc = -EBADF;
    } else if ((io->ready & 1u << direction) != 0) {
        io->ready &= (uint8_t)~(1u << direction);
    } else if (io->waiter[direction] != NULL) {
        rc = -EBUSY;
    } else {
        yoke__store_relaxed(&io->waiter[direction], me); /* as in fire() */
        block = true;
    }
    yoke__lock_release(&io->lock);
    if (block) {
        int code = yoke__wait_block(&me->wait);
        __builtin_prefetch(io, 1); /* for the next wait */
        rc = code == YOKE__FIRE_DONE ? 0 : code == YOKE__FIRE_CLOSED ? -EBADF : -ECANCELED;
    }
    if (block && rc == -ECANCELED) { /* else fire() has taken it out */
        yoke__lock_acquire(&io->lock);
        if (io->waiter[direction] == me)
            yoke__store_relaxed(&io->waiter[direction], NULL); /* as in fire() */
        yoke__lock_release(&io->lock);
    }
    yoke__wait_delist(&me->wait);
    return rc;
}

int yoke__io_wait(struct yoke__io *io, int direction, const char *what)
{
    struct yoke__io_waiter me;
    me.receive = NULL;
    return wait_as(&me, io, direction, what);
}

ssize_t yoke__io_wait_receiving(struct yoke__io *io, struct yoke__receive *receive, uint32_t *reads)
{
    struct yoke__io_waiter me;
    me.reads = 0;
    me.receive = receive->size <= RECEIVE_AT_MOST && io->kind == YOKE__IO_SOCKET ? receive : NULL;
    receive->result = -EAGAIN;
    int rc = wait_as(&me, io, YOKE__IO_READ, "read");
    *reads = me.reads;
    return rc < 0 ? rc : receive->result != -EINTR ? receive->result : -EAGAIN;
}

/* ---- the driver --------------------------------------------------------------------------------------------------------- */

/* In the order of their events. Linked when all are there: until then their descriptors are fetched. */
struct fired {
    struct yoke__fiber *fibers[2 * EVENTS_A_POLL];
    struct yoke__receive *receives[EVENTS_A_POLL];
    int count, receiving;
};

static void deliver(struct yoke__io *io, uint32_t events, uint64_t tag, struct fired *fired)
{
    uint32_t ready = ((events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0 ? 1u << YOKE__IO_READ : 0) |
                     ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0 ? 1u << YOKE__IO_WRITE : 0);
    yoke__lock_acquire(&io->lock);
    if (tag_of(io) == tag) { /* a record that is given to another descriptor this moment: one try for nothing */
        bool odd = (events & (EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0;
        if ((ready & 1u << YOKE__IO_READ) != 0)
            yoke__store_release(&io->reads, (io->reads + 2) | (uint32_t)odd); /* before the wake-up; pairs with yoke__io_reads() */
        for (int direction = 0; direction < 2; direction++) {
            if ((ready & 1u << direction) == 0)
                continue;
            if (io->waiter[direction] == NULL) {
                io->ready |= (uint8_t)(1u << direction);
                continue;
            }
            struct yoke__io_waiter *waiter = io->waiter[direction];
            struct yoke__fiber *fiber = fire(io, direction, YOKE__FIRE_DONE);
            if (fiber == NULL) /* it has not slept yet, or has been cancelled */
                continue;
            yoke__fiber_prefetch(fiber);
            fired->fibers[fired->count++] = fiber;
            if (waiter->receive != NULL) {
                waiter->reads = io->reads;
                fired->receives[fired->receiving++] = waiter->receive;
            }
        }
    }
    yoke__lock_release(&io->lock);
}

/* Hints for events to come: their records, which those of others do not have (any address will do), and later who waits there. */
static void prefetch_record(uint64_t tag)
{
    __builtin_prefetch(record_of((const void *)(uintptr_t)tag), 1);
}

static void prefetch_waiter(uint64_t tag)
{
    if (tag != 0 && (tag & YOKE__FOREIGN) == 0)
        __builtin_prefetch(yoke__load_relaxed(&record_of((const void *)(uintptr_t)tag)->waiter[YOKE__IO_READ]), 1);
}

static void give_up_ring(struct yoke__reactor *reactor)
{
    yoke__store_relaxed(&reactor->ring_fd, -1); /* the descriptor is not yet anybody else's */
    yoke__uring_close(reactor->ring);
    reactor->ring = NULL;
}

static void reactor_poll(void *state, int64_t deadline, struct yoke__fiber **woken)
{
    struct yoke__reactor *reactor = state;
    struct epoll_event events[EVENTS_A_POLL];
    struct fired fired;
    fired.count = fired.receiving = 0;
    int n = yoke__os_epoll_wait(reactor->epoll, events, EVENTS_A_POLL, deadline);
    for (int i = 0; i < n && i < RECORDS_AHEAD; i++)
        prefetch_record(events[i].data.u64);
    for (int i = 0; i < n && i < WAITERS_AHEAD; i++)
        prefetch_waiter(events[i].data.u64);
    for (int i = 0; i < n; i++) { /* an error is an interruption: the caller comes again */
        uint64_t tag = events[i].data.u64;
        if (i + RECORDS_AHEAD < n)
            prefetch_record(events[i + RECORDS_AHEAD].data.u64);
        if (i + WAITERS_AHEAD < n)
            prefetch_waiter(events[i + WAITERS_AHEAD].data.u64);
        if (tag == 0)
            yoke__signals_deliver(reactor, woken);
        else if ((tag & YOKE__FOREIGN) != 0)
            yoke__fdwait_event(reactor, tag, events[i].events, woken);
        else
            deliver(record_of((const void *)(uintptr_t)tag), events[i].events, tag, &fired);
    }
    /* They cannot know yet that they are woken; their descriptors stay open until they have left. What is not received here they receive themselves. */
    if (fired.receiving > 1 && reactor->ring != NULL && !yoke__uring_receive(reactor->ring, fired.receives, fired.receiving))
        give_up_ring(reactor);
    while (fired.count > 0)
        link_before(woken, fired.fibers[--fired.count]);
}

static void reactor_interrupt(void *state)
{
    struct yoke__reactor *reactor = state;
    yoke__os_eventfd_signal(reactor->wake); /* edge-triggered: every write is an event, nobody has to read */
}

static int reactor_start(struct yoke_runtime *rt, void **state)
{
    struct yoke__reactor *reactor = yoke__os_alloc(sizeof *reactor, 64);
    if (reactor == NULL)
        return -ENOMEM;
    memset(reactor, 0, sizeof *reactor);
    reactor->rt = rt;
    reactor->sigwaits.last = &reactor->sigwaits.first;
    int rc = reactor->epoll = yoke__os_epoll_create();
    if (rc < 0)
        goto no_epoll;
    rc = reactor->wake = yoke__os_eventfd();
    if (rc < 0)
        goto no_wake;
    rc = yoke__os_epoll_add(reactor->epoll, reactor->wake, EPOLLIN | EPOLLET, 0);
    if (rc < 0)
        goto no_add;
    int none;
    reactor->ring = rt->config.io_uring ? yoke__uring_open(EVENTS_A_POLL, &none) : NULL; /* one can do without */
    reactor->ring_fd = reactor->ring != NULL ? yoke__uring_fd(reactor->ring) : -1;
    *state = reactor;
    return 0;

no_add:
    (void)yoke__os_close(reactor->wake);
no_wake:
    (void)yoke__os_close(reactor->epoll);
no_epoll:
    yoke__os_free(reactor);
    return rc;
}

/* In debug mode: records that are neither open, which is said anyhow, nor free; waits that nobody ended. */
static void tell_leftovers(struct yoke__reactor *reactor)
{
    int64_t records = 0;
    for (const char *chunk = reactor->chunks; chunk != NULL; chunk = *(void *const *)(const void *)chunk)
        for (size_t at = sizeof(struct yoke__io); at + sizeof(struct yoke__io) <= CHUNK; at += sizeof(struct yoke__io)) {
            const struct yoke__io *io = (const struct yoke__io *)(const void *)(chunk + at);
            records += io->state == YOKE__IO_CLOSED;
            yoke__leftover(reactor->rt, io->state & ~YOKE__IO_CLOSED, "uses of a descriptor");
        }
    for (const struct yoke__io *io = reactor->free; io != NULL; io = io->next)
        records--;
    yoke__leftover(reactor->rt, records, "records of descriptors");
    yoke__leftover(reactor->rt, reactor->sigwaits.first != NULL, "waits for signals or more");
    yoke__leftover(reactor->rt, yoke__fdwaits_left(reactor), "waits for descriptors");
}

/* What is still open is closed, and said. */
static void reactor_stop(void *state)
{
    struct yoke__reactor *reactor = state;
    int left = 0;
    if (reactor->rt->config.debug)
        tell_leftovers(reactor);
    while (reactor->chunks != NULL) {
        char *chunk = reactor->chunks;
        for (size_t at = sizeof(struct yoke__io); at + sizeof(struct yoke__io) <= CHUNK; at += sizeof(struct yoke__io)) {
            struct yoke__io *io = (struct yoke__io *)(void *)(chunk + at);
            if ((io->state & YOKE__IO_CLOSED) == 0) {
                (void)yoke__os_close(io->fd);
                left++;
            }
        }
        reactor->chunks = *(void **)(void *)chunk;
        yoke__os_munmap(chunk, CHUNK);
    }
    if (left > 0)
        yoke__report(reactor->rt, "%d streams, listeners or files were never closed: closed now", left);
    yoke__signals_end(reactor);
    yoke__os_free(reactor->fdwaits.slots);
    yoke__uring_close(reactor->ring);
    (void)yoke__os_close(reactor->wake);
    (void)yoke__os_close(reactor->epoll);
    yoke__os_free(reactor);
}

static const struct yoke__driver driver = {
    .start = reactor_start, .stop = reactor_stop, .poll = reactor_poll, .interrupt = reactor_interrupt
};

struct yoke__reactor *yoke__reactor_here(int *err)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL) {
        *err = -ENOTRECOVERABLE;
        return NULL;
    }
    return yoke__service_driver(&w->rt->service, &driver, err);
}

void yoke__reactor_interrupt(struct yoke__reactor *reactor)
{
    reactor_interrupt(reactor);
}
