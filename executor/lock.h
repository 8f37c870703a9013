/*
 * lock.h - a futex mutex of four bytes for stretches of a few instructions.
 *
 * States: 0 free, 1 held, 2 held and perhaps somebody sleeps [U. Drepper, "Futexes Are Tricky", 2011, mutex 2]. A short spin first:
 * holders are quick, unless preempted, and then sleeping lets them run. Zero-initialised is free. Not recursive, not fair.
 *
 * Any thread; never in a signal handler; never held over a switch of stacks.
 */
#ifndef YOKE_EXECUTOR_LOCK_H
#define YOKE_EXECUTOR_LOCK_H

#include "atomic.h"

struct yoke__lock {
    uint32_t state;
};

void yoke__lock_contended(struct yoke__lock *lock);
void yoke__lock_wake(struct yoke__lock *lock);

static inline void yoke__lock_acquire(struct yoke__lock *lock)
{
    uint32_t state = 0;
    /* acquire: pairs with yoke__lock_release(); store-load against yoke__lock_let_pass() */
    if (__builtin_expect(!yoke__cas_seq(&lock->state, &state, 1), 0))
        yoke__lock_contended(lock);
}

static inline bool yoke__lock_try(struct yoke__lock *lock)
{
    uint32_t state = 0;
    return yoke__cas_seq(&lock->state, &state, 1); /* as in yoke__lock_acquire() */
}

/* True: who held it when the caller last heard of him has let go of it, and what he did under it is seen. */
static inline bool yoke__lock_free(const struct yoke__lock *lock)
{
    return yoke__load_acquire(&lock->state) == 0; /* pairs with yoke__lock_release() */
}

static inline void yoke__lock_release(struct yoke__lock *lock)
{
    if (__builtin_expect(yoke__xchg_acq_rel(&lock->state, 0) == 2, 0)) /* release: pairs with yoke__lock_acquire() */
        yoke__lock_wake(lock);
}

/*
 * For who has changed, by a seq_cst operation, what holders look at first, seq_cst too: afterwards nobody holds it who has seen it as it was, and what
 * such a one did is seen.
 */
static inline void yoke__lock_let_pass(struct yoke__lock *lock)
{
    if (__builtin_expect(yoke__load_seq(&lock->state) != 0, 0)) { /* store-load against yoke__lock_acquire(); pairs with yoke__lock_release() */
        yoke__lock_acquire(lock);
        yoke__lock_release(lock);
    }
}

#endif
