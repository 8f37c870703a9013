/*
 * yoke/sync/semaphore.h - a number of permits.
 *
 *     yoke_semaphore open_files;
 *     YOKE_TRY(yoke_semaphore_init(&open_files, 100, 100));
 *     YOKE_TRY(yoke_semaphore_acquire(&open_files));
 *     ...
 *     yoke_semaphore_release(&open_files);
 *
 * Permits belong to nobody: any task may release. They are handed over first come, first served: a release gives the permit to the
 * first waiter, in one step, so that nobody can come in between. No permit is lost: a waiter that is being cancelled either has
 * it, and 0, or it goes to the next.
 *
 * The memory is the user's: not copied, not moved, and not given up while somebody waits. The release that gave a permit does not touch
 * it after the acquire that got this permit has returned. Its users are tasks of one runtime.
 */
#ifndef YOKE_SYNC_SEMAPHORE_H
#define YOKE_SYNC_SEMAPHORE_H

#include <yoke/base.h>

YOKE_BEGIN_DECLS

/* Opaque. To be initialised: zeroed, it answers -EINVAL. */
typedef struct yoke_semaphore {
    void *opaque[4];
} yoke_semaphore;

/*
 * `count` permits at the start, `max` at most at any time. Nobody may wait for it. Any thread; never blocks.
 * -EINVAL: max is 0, or count > max.
 */
YOKE_API YOKE_MUST_CHECK int yoke_semaphore_init(yoke_semaphore *semaphore, unsigned count, unsigned max);

/*
 * Waits for a permit and takes it. A cancellation point, checked first: with any error none was taken. -ECANCELED; -ENOMEM: no memory
 * to wait (it can be tried again); -EINVAL: not initialised; -ENOTRECOVERABLE: outside of a task.
 */
YOKE_API YOKE_MUST_CHECK int yoke_semaphore_acquire(yoke_semaphore *semaphore);

/*
 * Takes a permit if there is one. Never blocks; not a cancellation point. -EAGAIN: none, which includes one that was handed to a
 * waiter that has not run since; -EINVAL and -ENOTRECOVERABLE as above.
 */
YOKE_API YOKE_MUST_CHECK int yoke_semaphore_try_acquire(yoke_semaphore *semaphore);

/*
 * Gives a permit back, or a new one: to the first waiter if there is one. Never blocks; not a cancellation point.
 * -EOVERFLOW: there would be more than `max`, and there are not; -EINVAL and -ENOTRECOVERABLE as above.
 */
YOKE_API int yoke_semaphore_release(yoke_semaphore *semaphore);

YOKE_END_DECLS

#endif
