/*
 * yoke/blocking.h - calls that block a thread, done by a bounded pool so that they block only the task.
 */
#ifndef YOKE_BLOCKING_H
#define YOKE_BLOCKING_H

#include <yoke/base.h>

YOKE_BEGIN_DECLS

enum yoke_blocking_kind { YOKE_BLOCKING_USER = 0, YOKE_BLOCKING_FILES, YOKE_BLOCKING_NAMES };

/*
 * Runs fn(arg) on a thread of the pool and returns its result; the task waits, its worker does not. A cancellation point: if the
 * cancel comes before a thread took the job, -ECANCELED and fn is never called; once fn runs, the call waits for it and returns
 * its result, the cancel pending. -EAGAIN/-ENOMEM: no pool thread could be started and none exists. In fn no yoke call but
 * yoke_post is allowed (others give -ENOTRECOVERABLE). A job that waits for a free thread does so in first-in first-out order.
 */
YOKE_API YOKE_MUST_CHECK int yoke_blocking(yoke_fn fn, void *arg);

/*
 * The same for a kind with its own bound (options.pool_*). `abandon`: a cancel does not wait for a running fn. Then -ECANCELED means that arg
 * is no longer the caller's: fn, if it has begun, goes on alone, and `release` (may be NULL) is called for arg when it is over, or at
 * once if fn was never called; the runtime's end still waits for it. Such a fn must not return -ECANCELED itself.
 */
YOKE_API YOKE_MUST_CHECK int yoke_blocking_with(enum yoke_blocking_kind kind, bool abandon, void (*release)(void *), yoke_fn fn, void *arg);

YOKE_END_DECLS

#endif
