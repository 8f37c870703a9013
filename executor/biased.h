/*
 * biased.h - a lock with an owner, who pays nothing for it as long as nobody else comes [after K. Kawachiya, A. Koseki, T. Onodera, "Lock
 * Reservation: Java Locks Can Mostly Do Without Atomic Operations", OOPSLA 2002; D. Dice, H. Huang, M. Yang, "Asymmetric Dekker
 * Synchronization", 2001].
 *
 *   owner: if biased: busy = 1; (compiler barrier); still biased: inside. Not: busy = 0, wake, take the lock below.
 *          leaves: busy = 0 (release); (compiler barrier); no longer biased: wake.
 *   other: lock; if biased: biased = 0; membarrier; wait until busy == 0 (acquire): inside.
 *   owner, not biased: lock. Has he taken it so often and nobody else in between: biased = 1.
 *
 * One at a time: all but the owner by his bias hold the lock. The owner alone sets `biased`, and `biased` and what others did inside is known to him,
 * since he held the lock when he set it. membarrier is a full barrier at some point of the owner's program. If that point lies behind his
 * barrier on the way in, the other sees busy == 1, or the later 0 which tells that he has left, and what he did. If it lies before, his second look at
 * `biased` sees 0, and he goes for the lock.
 *
 * Nobody sleeps for ever: if the other finds busy == 1, the store of 0 is still to come, and so lies behind that point, as does the look at
 * `biased` after it, which sees 0: he wakes. Either way busy stays 0 until the lock has been free.
 *
 * Progress: the owner's way is wait-free while biased. Others wait for him to leave, asleep if he is preempted; who has lost his bias waits for
 * the barrier of who takes it, once.
 *
 * Who may call: enter and leave - the owner, or anybody if there is none. acquire and release - anybody, the owner too while he is not inside. Not recursive; not in a signal
 * handler; never held over a switch of stacks.
 */
#ifndef YOKE_EXECUTOR_BIASED_H
#define YOKE_EXECUTOR_BIASED_H

#include "lock.h"

struct yoke__biased {
    struct yoke__lock lock;
    uint32_t biased; /* set by the owner, cleared by others, under lock */
    uint32_t busy;   /* futex: the owner is inside by his bias, or about to look whether he may */
    uint32_t calm;   /* how often he has taken the lock since it was anybody else's; under lock */
    uint32_t most;   /* then he is given his bias; 0: never */
};

/*
 * The owner has his bias when he has taken the lock so often, and nobody else has in between: as a revocation interrupts all processors, that should
 * have cost about as much. 0: there is no owner, or no membarrier, and it is a lock like any other.
 */
static inline void yoke__biased_init(struct yoke__biased *b, uint32_t calm)
{
    *b = (struct yoke__biased){ .most = calm };
}

void yoke__biased_give_way(struct yoke__biased *b);
void yoke__biased_revoke(struct yoke__biased *b);

/* The owner. What it returns goes to leave: he is inside by his bias. */
static inline bool yoke__biased_enter(struct yoke__biased *b)
{
    if (__builtin_expect(yoke__load_relaxed(&b->biased) != 0, 1)) { /* his own store, or he looks once more */
        yoke__store_relaxed(&b->busy, 1);
        yoke__compiler_barrier(); /* the processor's half of this store-load pair is the membarrier in yoke__biased_revoke() */
        if (__builtin_expect(yoke__load_relaxed(&b->biased) != 0, 1)) /* ordered by that */
            return true;
        yoke__biased_give_way(b);
    }
    yoke__lock_acquire(&b->lock);
    if (b->most != 0 && ++b->calm == b->most)
        yoke__store_relaxed(&b->biased, 1); /* others look under lock */
    return false;
}

static inline void yoke__biased_leave(struct yoke__biased *b, bool by_bias)
{
    if (__builtin_expect(!by_bias, 0)) {
        yoke__lock_release(&b->lock);
        return;
    }
    yoke__store_release(&b->busy, 0); /* what was done inside; pairs with yoke__biased_revoke() */
    yoke__compiler_barrier();         /* as in yoke__biased_enter() */
    if (__builtin_expect(yoke__load_relaxed(&b->biased) == 0, 0)) /* ordered by that */
        yoke__biased_give_way(b);
}

static inline void yoke__biased_acquire(struct yoke__biased *b)
{
    yoke__lock_acquire(&b->lock);
    if (yoke__load_relaxed(&b->biased) != 0) /* changed under lock */
        yoke__biased_revoke(b);
    b->calm = 0;
}

static inline void yoke__biased_release(struct yoke__biased *b)
{
    yoke__lock_release(&b->lock);
}

#endif
