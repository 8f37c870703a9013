/*
 * lock.c - the slow half of the futex mutex.
 */
#include "lock.h"

#include "platform.h"

enum { SPINS = 100 };

void yoke__lock_contended(struct yoke__lock *lock)
{
    for (int i = 0; i < SPINS; i++) {
        uint32_t state = 0;
        if (yoke__load_relaxed(&lock->state) == 0 && yoke__cas_seq(&lock->state, &state, 1)) /* as in yoke__lock_acquire() */
            return;
        __builtin_ia32_pause();
    }
    while (yoke__xchg_seq(&lock->state, 2) != 0) /* as in yoke__lock_acquire() */
        yoke__os_futex_wait(&lock->state, 2, UINT64_MAX);
}

void yoke__lock_wake(struct yoke__lock *lock)
{
    yoke__os_futex_wake(&lock->state, 1);
}
