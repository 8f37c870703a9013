/*
 * ready.c - the ways into and out of the public part, and the thief's. The argument is at the head of ready.h.
 */
#include "ready.h"

#include <string.h>

#include "platform.h"

enum { ROB_AT_MOST = 32, TAKE_ALONG = 64 < YOKE__RING ? 64 : YOKE__RING };

int yoke__ready_init(struct yoke__ready *r, bool membarrier)
{
    memset(r, 0, sizeof *r);
    r->revoked = !membarrier; /* for good: nobody takes it back */
    return yoke__deque_init(&r->public, !membarrier);
}

void yoke__ready_destroy(struct yoke__ready *r)
{
    yoke__deque_destroy(&r->public);
}

int yoke__ready_push_public(struct yoke__ready *r, struct yoke__fiber *fiber)
{
    if (yoke__ready_hidden(r) && !yoke__deque_any(&r->public) && yoke__ready_enter(r)) { /* these are older */
        uint32_t head = yoke__load_relaxed(&r->head), tail = yoke__load_relaxed(&r->tail); /* ours while inside */
        while (head != tail && yoke__deque_push_public(&r->public, r->ring[head % YOKE__RING]) == 0)
            head++;
        yoke__store_relaxed(&r->head, head); /* published by leaving */
        yoke__ready_leave(r);
    }
    return yoke__deque_push_public(&r->public, fiber);
}

/* Into a ring that is empty, so that what comes out of both parts stays in order; a part of them only, as others come for them too. */
static void take_along(struct yoke__ready *victim, struct yoke__ready *own, bool idle)
{
    int64_t n = yoke__deque_count(&victim->public) / (idle ? 8 : 2);
    if (n == 0 || yoke__ready_hidden(own) || !yoke__ready_enter(own))
        return;
    uint32_t tail = yoke__load_relaxed(&own->tail); /* ours while inside */
    if (tail == yoke__load_relaxed(&own->head)) {
        void *fibers[TAKE_ALONG];
        n = yoke__deque_steal_many(&victim->public, fibers, n < TAKE_ALONG ? n : TAKE_ALONG);
        for (int64_t i = 0; i < n; i++)
            own->ring[tail++ % YOKE__RING] = fibers[i];
        yoke__store_relaxed(&own->tail, tail); /* published by leaving */
        yoke__ready_expect_first(own, yoke__load_relaxed(&own->head)); /* ours while inside */
    }
    yoke__ready_leave(own);
}

enum yoke__steal yoke__ready_steal(struct yoke__ready *victim, struct yoke__ready *own, bool idle, struct yoke__fiber **fiber)
{
    void *got;
    enum yoke__steal how = yoke__deque_steal(&victim->public, &got);
    *fiber = how == YOKE__STEAL_GOT ? got : NULL;
    if (how == YOKE__STEAL_GOT)
        take_along(victim, own, idle);
    return how;
}

struct yoke__fiber *yoke__ready_take_public(struct yoke__ready *r, bool idle)
{
    struct yoke__fiber *fiber;
    while (yoke__ready_steal(r, r, idle, &fiber) == YOKE__STEAL_LOST)
        ;
    return fiber;
}

struct yoke__fiber *yoke__ready_rob(struct yoke__ready *victim, struct yoke__ready *own)
{
    struct yoke__fiber *first = NULL;
    uint32_t nobody = 0;
    /* pairs with the release below */
    if (!yoke__ready_hidden(victim) || yoke__load_relaxed(&victim->revoked) != 0 || !yoke__cas_seq(&victim->revoked, &nobody, 1))
        return NULL;
    if (yoke__os_membarrier() < 0)
        yoke__panic("membarrier stopped working");
    if (yoke__load_acquire(&victim->busy) == 0) { /* pairs with yoke__ready_leave() */
        uint32_t head = yoke__load_relaxed(&victim->head), n = yoke__load_relaxed(&victim->tail) - head; /* ours while inside */
        n = n / 2 + n % 2 < ROB_AT_MOST ? n / 2 + n % 2 : ROB_AT_MOST;
        for (uint32_t i = 0; i < n; i++, head++) {
            struct yoke__fiber *fiber = victim->ring[head % YOKE__RING];
            if (first == NULL)
                first = fiber;
            else if (yoke__deque_push_public(&own->public, fiber) < 0)
                break;
        }
        yoke__store_relaxed(&victim->head, head); /* published by the release below */
    }
    yoke__store_release(&victim->revoked, 0); /* head, ring; pairs with yoke__ready_enter() */
    return first;
}
