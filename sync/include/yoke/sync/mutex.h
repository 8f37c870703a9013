/*
 * yoke/sync/mutex.h - mutual exclusion between tasks.
 *
 *     static yoke_mutex lock = YOKE_MUTEX_INIT;
 *     YOKE_TRY(yoke_mutex_lock(&lock));        // waits; the task, not its thread
 *     ...
 *     yoke_mutex_unlock(&lock);
 *
 * It may be held over anything that blocks, and the owner may come back on another thread. It is handed over first come, first
 * served: unlock makes the first waiter the owner, in one step, so that nobody can come in between.
 *
 * The owner is a line of execution: a task, or a fork of it that another worker took. A fork that its join runs is a call on the joiner's
 * own stack, and so owns what the joiner owns. As nobody can tell which of the two a fork will be, do not join forks that lock a
 * mutex while holding it, and unlock in a fork what was locked in it.
 *
 * The memory is the user's: not copied, not moved, and not given up while it is locked or somebody waits. As soon as a task knows that
 * it is unlocked it may go: an unlock does not touch it after that. Its users are tasks of one runtime.
 */
#ifndef YOKE_SYNC_MUTEX_H
#define YOKE_SYNC_MUTEX_H

#include <yoke/base.h>

YOKE_BEGIN_DECLS

/* Opaque. Zeroed is unlocked. */
typedef struct yoke_mutex {
    void *opaque[7];
} yoke_mutex;

#define YOKE_MUTEX_INIT { { 0 } }

/* Makes it an unlocked one, whatever it was. Nobody may hold it or wait for it. Any thread; never blocks. */
YOKE_API void yoke_mutex_init(yoke_mutex *mutex);

/*
 * Waits until the mutex is the caller's. A cancellation point, checked first: with any error nothing has happened, with 0 it is owned,
 * even if a cancel came at the same time (which then stays pending).
 * -ECANCELED; -EDEADLK: the caller owns it already; -EOWNERDEAD: an owner ended without unlocking it, now or before, and what it
 * guards may be half done: this goes on until the mutex is initialised anew; -ENOMEM: no memory to wait (it can be tried again);
 * -ENOTRECOVERABLE: outside of a task.
 */
YOKE_API YOKE_MUST_CHECK int yoke_mutex_lock(yoke_mutex *mutex);

/*
 * Takes it if nobody owns it. Never blocks; not a cancellation point. -EAGAIN: somebody owns it, be it the caller, be it a waiter
 * that it was handed to and that has not run since; -EOWNERDEAD and -ENOTRECOVERABLE as above.
 */
YOKE_API YOKE_MUST_CHECK int yoke_mutex_trylock(yoke_mutex *mutex);

/*
 * Hands it to the first waiter, or frees it. Never blocks; not a cancellation point. -EPERM: the caller is not the owner;
 * -ENOTRECOVERABLE: outside of a task.
 */
YOKE_API int yoke_mutex_unlock(yoke_mutex *mutex);

YOKE_END_DECLS

#endif
