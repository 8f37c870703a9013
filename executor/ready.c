/*
 * ready.c - the ways into and out of the public part, and the thief's. The argument is at the head of ready.h.
 */
#include "ready.h"

#include <string.h>

#include "platform.h"

enum { ROB_AT_MOST = 32 };

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
    if (yoke__ready_hidden(r) && yoke__ready_enter(r)) { /* these are older */
        uint32_t head = yoke__load_relaxed(&r->head), tail = yoke__load_relaxed(&r->tail); /* ours while inside */
        while (head != tail && yoke__deque_push_public(&r->public, r->ring[head % YOKE__RING]) == 0)
            head++;
        yoke__store_relaxed(&r->head, head); /* published by leaving */
        yoke__ready_leave(r);
    }
    return yoke__deque_push_public(&r->public, fiber);
}

struct yoke__fiber *yoke__ready_take_public(struct yoke__ready *r)
{
    void *fiber;
    enum yoke__steal got;
    while ((got = yoke__deque_steal(&r->public, &fiber)) == YOKE__STEAL_LOST)
        ;
    return got == YOKE__STEAL_GOT ? fiber : NULL;
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
