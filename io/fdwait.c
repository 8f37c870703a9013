/*
 * fdwait.c - waiting for descriptors that belong to others.
 *
 * Nothing is known of their mode, of who else reads them, nor when they are closed: so each wait arms a one-shot, level-triggered
 * registration, which asks the kernel for the state of the moment. A descriptor that was closed and opened anew has lost its registration
 * (-ENOENT) and gets a new one. Slots are kept by number; everything is under one lock, system calls included, since arming
 * and looking at who waits must not come between each other.
 *
 * Stale events. The poller may have fetched an event and come to the lock only after its waiter was cancelled, or was fired by an earlier one, what
 * there was has been read, and somebody waits anew: told then that he can read, he would block his worker. So every arming
 * has a number, which its event carries, and an event of an earlier one is ignored: the last arming was for all who wait now, and has asked the
 * kernel again. The numbers come round after 2^32 armings of a descriptor while one event is on its way.
 *
 * An event for a descriptor without waiters (they were cancelled, or it was forgotten) is ignored too, and the shot is gone.
 */
#include <string.h>

#include <yoke/io/wait.h>

#include "os.h"
#include "reactor.h"
#include "scope.h"
#include "wait.h"
#include "worker.h"

enum { FIRST_SLOTS = 64 };

static bool grow(struct yoke__fdwaits *table, int fd)
{
    int count = table->count > 0 ? table->count : FIRST_SLOTS;
    while (count <= fd)
        count *= 2;
    struct yoke__fdwait *slots = yoke__os_alloc((size_t)count * sizeof *slots, 16);
    if (slots == NULL)
        return false;
    memset(slots, 0, (size_t)count * sizeof *slots);
    if (table->count > 0)
        memcpy(slots, table->slots, (size_t)table->count * sizeof *slots);
    yoke__os_free(table->slots);
    table->slots = slots;
    table->count = count;
    return true;
}

/* Arms the descriptor for all who wait for it. */
static int arm(struct yoke__reactor *reactor, int fd, struct yoke__fdwait *slot)
{
    uint32_t events = EPOLLONESHOT | (slot->waiter[YOKE__IO_READ] != NULL ? (uint32_t)(EPOLLIN | EPOLLRDHUP) : 0) |
                      (slot->waiter[YOKE__IO_WRITE] != NULL ? (uint32_t)EPOLLOUT : 0);
    uint64_t tag = yoke__fdwait_tag(fd, ++slot->arming);
    int rc = slot->added ? yoke__os_epoll_change(reactor->epoll, fd, events, tag) : yoke__os_epoll_add(reactor->epoll, fd, events, tag);
    if (rc == -ENOENT)
        rc = yoke__os_epoll_add(reactor->epoll, fd, events, tag);
    slot->added = rc >= 0;
    return rc;
}

static int wait_for(int fd, int direction, const char *what)
{
    int rc = 0;
    struct yoke__reactor *reactor = yoke__reactor_here(&rc);
    if (reactor == NULL)
        return rc;
    if (fd < 0 || fd == reactor->epoll || fd == reactor->wake || fd == yoke__load_relaxed(&reactor->ring_fd)) /* a number; orders nothing */
        return -EBADF;
    struct yoke__fdwaits *table = &reactor->fdwaits;
    struct yoke__wait wait;
    yoke__wait_init(&wait, what);
    rc = yoke__wait_enlist(&wait);
    if (rc < 0)
        return rc;
    yoke__lock_acquire(&table->lock);
    if (fd >= table->count && !grow(table, fd)) {
        rc = -ENOMEM;
    } else if (table->slots[fd].waiter[direction] != NULL) {
        rc = -EBUSY;
    } else {
        table->slots[fd].waiter[direction] = &wait;
        rc = arm(reactor, fd, &table->slots[fd]);
        if (rc < 0)
            table->slots[fd].waiter[direction] = NULL;
    }
    yoke__lock_release(&table->lock);
    if (rc >= 0) {
        int code = yoke__wait_block(&wait);
        yoke__lock_acquire(&table->lock);
        if (table->slots[fd].waiter[direction] == &wait)
            table->slots[fd].waiter[direction] = NULL;
        yoke__lock_release(&table->lock);
        rc = code == YOKE__FIRE_DONE ? 0 : code == YOKE__FIRE_CLOSED ? -EBADF : -ECANCELED;
    }
    yoke__wait_delist(&wait);
    return rc;
}

int yoke_fd_readable(int fd)
{
    return wait_for(fd, YOKE__IO_READ, "a descriptor to read from");
}

int yoke_fd_writable(int fd)
{
    return wait_for(fd, YOKE__IO_WRITE, "a descriptor to write to");
}

/* Under the lock. */
static void fire(struct yoke__fdwait *slot, int direction, int code, struct yoke__fiber **woken)
{
    struct yoke__wait *wait = slot->waiter[direction];
    struct yoke__fiber *fiber;
    if (wait == NULL)
        return;
    slot->waiter[direction] = NULL;
    yoke__wait_fire(wait, code, &fiber);
    if (fiber != NULL) {
        fiber->next = *woken;
        *woken = fiber;
    }
}

void yoke__fdwait_event(struct yoke__reactor *reactor, uint64_t tag, uint32_t events, struct yoke__fiber **woken)
{
    struct yoke__fdwaits *table = &reactor->fdwaits;
    int fd = yoke__fdwait_fd(tag);
    yoke__lock_acquire(&table->lock);
    if (fd < table->count && yoke__fdwait_tag(fd, table->slots[fd].arming) == tag) {
        struct yoke__fdwait *slot = &table->slots[fd];
        if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0)
            fire(slot, YOKE__IO_READ, YOKE__FIRE_DONE, woken);
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
            fire(slot, YOKE__IO_WRITE, YOKE__FIRE_DONE, woken);
        /* The shot is gone; who waits for the other direction needs a new one. If it fails he tries, and is told why. */
        if ((slot->waiter[0] != NULL || slot->waiter[1] != NULL) && arm(reactor, fd, slot) < 0) {
            fire(slot, YOKE__IO_READ, YOKE__FIRE_DONE, woken);
            fire(slot, YOKE__IO_WRITE, YOKE__FIRE_DONE, woken);
        }
    }
    yoke__lock_release(&table->lock);
}

int yoke_fd_forget(int fd)
{
    int rc = 0;
    struct yoke__reactor *reactor = yoke__reactor_here(&rc);
    if (reactor == NULL)
        return rc;
    struct yoke__fdwaits *table = &reactor->fdwaits;
    struct yoke__fiber *woken = NULL;
    yoke__lock_acquire(&table->lock);
    if (fd >= 0 && fd < table->count) {
        struct yoke__fdwait *slot = &table->slots[fd];
        fire(slot, YOKE__IO_READ, YOKE__FIRE_CLOSED, &woken);
        fire(slot, YOKE__IO_WRITE, YOKE__FIRE_CLOSED, &woken);
        if (slot->added)
            (void)yoke__os_epoll_remove(reactor->epoll, fd); /* it may be closed already */
        slot->added = false;
    }
    yoke__lock_release(&table->lock);
    yoke__ready_list(reactor->rt, woken);
    return 0;
}

int yoke__fdwaits_left(const struct yoke__reactor *reactor)
{
    int left = 0;
    for (int fd = 0; fd < reactor->fdwaits.count; fd++)
        left += (reactor->fdwaits.slots[fd].waiter[YOKE__IO_READ] != NULL) + (reactor->fdwaits.slots[fd].waiter[YOKE__IO_WRITE] != NULL);
    return left;
}
