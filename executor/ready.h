/*
 * ready.h - fibers that a worker is to resume, first in first out.
 *
 * Two parts: a public one, which others may take from at any time (a deque whose owner takes from the top like everybody else, by
 * compare-exchange), and before it a ring that the owner uses without atomic read-modify-write. What is in the ring is older: fibers are pushed
 * to it while the public part is empty and nobody is idle; else to the public part, the ring's fibers first if that is empty. From
 * a long public part many are taken along to an empty ring. A ring is there to be robbed of all the same: a worker that finds no other
 * work revokes it.
 *
 * Revoking is a lock with an owner who pays nothing (after Dice, Huang, Yang, "Asymmetric Dekker synchronization", 2001):
 *
 *   owner: busy = 1; (compiler barrier); if revoked == 0: use the ring; busy = 0 (release). Revoked: it uses the public part.
 *   thief: revoked 0 -> 1 by compare-exchange (so there is one thief); membarrier; if busy == 0 (acquire): use the ring; revoked = 0 (release).
 *
 * Never both: membarrier is a full barrier at some point of the owner's program. If the owner's store of busy lies before that point the
 * thief's load sees it, or a later value; if a later value is 0 the owner has left, and enters again only through a new store. If the
 * store lies behind the point, the owner's load of revoked, which comes after it, sees 1, until the thief stores 0. What either
 * did in the ring is seen by the other through the acquire of the word that the other released last. A thief that finds
 * the owner inside goes away and comes again.
 *
 * No fiber is forgotten: one in the ring counts in yoke__ready_any(), which a parker asks behind its barrier, and for which a searcher
 * stays (park.c): pushing into the ring is a store before the look for sleepers, as any other push.
 *
 * Without membarrier the ring is not used.
 *
 * Progress: push and take never wait. Robbing is best effort; who is preempted in it sends the owner to the public part.
 */
#ifndef YOKE_EXECUTOR_READY_H
#define YOKE_EXECUTOR_READY_H

#include <stdbool.h>

#include "atomic.h"
#include "deque.h"
#include "fiber.h"

struct yoke__fiber;

#ifdef YOKE_SHRUNKEN
enum { YOKE__RING = 4 };
#else
enum { YOKE__RING = 1024 };
#endif

struct yoke__ready {
    struct yoke__deque public;
    uint32_t busy; /* the owner is in the ring, or about to look whether it may be */
    uint32_t head, tail; /* taken and pushed so far; changed by whoever is in the ring */
    uint32_t revoked __attribute__((aligned(64))); /* a thief is in the ring, or about to look whether it may be */
    struct yoke__fiber *ring[YOKE__RING];
};

/* 0 or -ENOMEM. */
int yoke__ready_init(struct yoke__ready *r, bool membarrier);
void yoke__ready_destroy(struct yoke__ready *r);

/* The slow ways of push and take. */
int yoke__ready_push_public(struct yoke__ready *r, struct yoke__fiber *fiber);
struct yoke__fiber *yoke__ready_take_public(struct yoke__ready *r, bool idle);

/*
 * A fiber out of the public part of `victim`, which may be the caller's own. If there are many, and the fewer the more with nobody idle, some go
 * along to the caller's own ring, if that is empty: there they can be expected, and cost no atomic operation each.
 */
enum yoke__steal yoke__ready_steal(struct yoke__ready *victim, struct yoke__ready *own, bool idle, struct yoke__fiber **fiber);

/* For any worker but the owner: fibers out of the ring of `victim`, the oldest half; one is returned, the others go to `own`, the caller's. */
struct yoke__fiber *yoke__ready_rob(struct yoke__ready *victim, struct yoke__ready *own);

/* What a thief sees of the ring: a hint, exact after the barrier in yoke__park(). */
static inline bool yoke__ready_hidden(const struct yoke__ready *r)
{
    return yoke__load_relaxed(&r->tail) != yoke__load_relaxed(&r->head);
}

/* True if there may be a fiber in either part. */
static inline bool yoke__ready_any(const struct yoke__ready *r)
{
    return yoke__ready_hidden(r) || yoke__deque_any(&r->public);
}

/* How many, as far as the owner knows. */
static inline uint32_t yoke__ready_count(const struct yoke__ready *r)
{
    return yoke__load_relaxed(&r->tail) - yoke__load_relaxed(&r->head) + (uint32_t)yoke__deque_count(&r->public);
}

/* The owner enters the ring; false: it must not, and has not. */
static inline bool yoke__ready_enter(struct yoke__ready *r)
{
    yoke__store_relaxed(&r->busy, 1);
    yoke__compiler_barrier(); /* the processor's half of this store-load pair is the thief's membarrier */
    if (__builtin_expect(yoke__load_acquire(&r->revoked) == 0, 1)) /* pairs with the release in yoke__ready_rob() */
        return true;
    yoke__store_release(&r->busy, 0); /* the thief's partner is below */
    return false;
}

static inline void yoke__ready_leave(struct yoke__ready *r)
{
    yoke__store_release(&r->busy, 0); /* head, tail, ring; pairs with yoke__ready_rob() */
}

/* Owner. `idle`: somebody is, as far as the caller knows. 0 or -ENOMEM. The caller looks for sleepers afterwards, whichever part it was. */
static inline int yoke__ready_push(struct yoke__ready *r, struct yoke__fiber *fiber, bool idle)
{
    if (__builtin_expect(!idle && !yoke__deque_any(&r->public), 1) && yoke__ready_enter(r)) {
        uint32_t tail = yoke__load_relaxed(&r->tail); /* ours while inside */
        bool room = tail - yoke__load_relaxed(&r->head) < YOKE__RING;
        if (__builtin_expect(room, 1)) {
            r->ring[tail % YOKE__RING] = fiber;
            yoke__store_relaxed(&r->tail, tail + 1); /* published by leaving */
        }
        yoke__ready_leave(r);
        if (__builtin_expect(room, 1))
            return 0;
    }
    return yoke__ready_push_public(r, fiber);
}

/*
 * Owner, inside. Fibers that wait for long have left the caches when they are woken: some turns before its own a fiber's descriptor is
 * fetched, then the frames with which it goes on, and last the seat from which it rises.
 */
enum { YOKE__EXPECT_DESCRIPTOR = 6, YOKE__EXPECT_FRAMES = 3, YOKE__EXPECT_SEAT = 1 };
static inline void yoke__ready_expect(const struct yoke__ready *r, uint32_t head)
{
    uint32_t n = yoke__load_relaxed(&r->tail) - head;
    if (n > YOKE__EXPECT_DESCRIPTOR)
        yoke__fiber_prefetch(r->ring[(head + YOKE__EXPECT_DESCRIPTOR) % YOKE__RING]);
    if (n > YOKE__EXPECT_FRAMES)
        yoke__fiber_prefetch_frames(r->ring[(head + YOKE__EXPECT_FRAMES) % YOKE__RING]);
    if (n > YOKE__EXPECT_SEAT)
        yoke__fiber_prefetch_seat(r->ring[(head + YOKE__EXPECT_SEAT) % YOKE__RING]);
}

/* Many have come at once: the first of them. */
static inline void yoke__ready_expect_first(const struct yoke__ready *r, uint32_t head)
{
    uint32_t n = yoke__load_relaxed(&r->tail) - head;
    for (uint32_t i = 0; i < n && i < YOKE__EXPECT_DESCRIPTOR; i++)
        yoke__fiber_prefetch(r->ring[(head + i) % YOKE__RING]);
    for (uint32_t i = 0; i < n && i < YOKE__EXPECT_FRAMES; i++)
        yoke__fiber_prefetch_frames(r->ring[(head + i) % YOKE__RING]);
}

/* Owner. The oldest fiber, or NULL: none is there, or a thief is in the ring just now. `idle`: as above. */
static inline struct yoke__fiber *yoke__ready_take(struct yoke__ready *r, bool idle)
{
    struct yoke__fiber *fiber = NULL;
    if (yoke__ready_hidden(r) && yoke__ready_enter(r)) {
        uint32_t head = yoke__load_relaxed(&r->head); /* ours while inside */
        if (head != yoke__load_relaxed(&r->tail)) {
            fiber = r->ring[head % YOKE__RING];
            yoke__store_relaxed(&r->head, ++head); /* published by leaving */
            yoke__ready_expect(r, head);
        }
        yoke__ready_leave(r);
    }
    if (fiber == NULL && yoke__deque_any(&r->public))
        fiber = yoke__ready_take_public(r, idle);
    return fiber;
}

/*
 * Owner. Puts `me`, the fiber that it is about to leave, behind the others and returns the oldest of them. It is still in the ring then, so that
 * nobody finds `me` before its stack is left: yoke__ready_leave() on the next one. NULL: there is nobody to go on with; nothing has happened.
 */
static inline struct yoke__fiber *yoke__ready_exchange(struct yoke__ready *r, struct yoke__fiber *me)
{
    if (!yoke__ready_hidden(r) || yoke__deque_any(&r->public) || !yoke__ready_enter(r))
        return NULL;
    uint32_t head = yoke__load_relaxed(&r->head), tail = yoke__load_relaxed(&r->tail); /* ours while inside */
    if (head == tail) {
        yoke__ready_leave(r);
        return NULL;
    }
    struct yoke__fiber *to = r->ring[head % YOKE__RING];
    r->ring[tail % YOKE__RING] = me; /* the place of `to`, if the ring is full */
    yoke__store_relaxed(&r->tail, tail + 1); /* published by leaving */
    yoke__store_relaxed(&r->head, head + 1); /* published by leaving */
    return to;
}

#endif
