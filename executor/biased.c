/*
 * biased.c - what is done when two meet at a biased lock.
 */
#include "biased.h"

#include "platform.h"

enum { SPINS = 100 };

void yoke__biased_give_way(struct yoke__biased *b)
{
    yoke__store_release(&b->busy, 0); /* pairs with yoke__biased_revoke() */
    yoke__os_futex_wake(&b->busy, 1);
}

void yoke__biased_revoke(struct yoke__biased *b)
{
    yoke__store_relaxed(&b->biased, 0); /* ordered by the barrier */
    if (yoke__os_membarrier() < 0)
        yoke__panic("membarrier stopped working");
    /* acquire: pairs with yoke__biased_leave() */
    for (int i = 0; i < SPINS && yoke__load_acquire(&b->busy) != 0; i++)
        __builtin_ia32_pause();
    while (yoke__load_acquire(&b->busy) != 0) /* the same */
        yoke__os_futex_wait(&b->busy, 1, UINT64_MAX);
}
