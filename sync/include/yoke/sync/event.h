/*
 * yoke/sync/event.h - a flag that tasks wait for. Manual reset: once set, it lets everybody through until it is reset.
 *
 *     yoke_event ready = YOKE_EVENT_INIT;
 *     YOKE_TRY(yoke_event_wait(&ready));       // in some tasks
 *     yoke_event_set(&ready);                  // in another
 *
 * What was done before a set is seen after a wait that it ended. A set lets go everybody who waits at that moment, for good: a reset
 * that follows at once does not hold them back.
 *
 * The memory is the user's: not copied, not moved, and not given up while somebody waits. After a wait has returned 0, or is_set true,
 * the set that caused it does not touch it any more: an event may lie in the frame of the only one who waits for it. Its users are
 * tasks of one runtime.
 */
#ifndef YOKE_SYNC_EVENT_H
#define YOKE_SYNC_EVENT_H

#include <yoke/base.h>

YOKE_BEGIN_DECLS

/* Opaque. Zeroed is not set. */
typedef struct yoke_event {
    void *opaque[3];
} yoke_event;

#define YOKE_EVENT_INIT { { 0 } }

/* Makes it one that is not set. Nobody may wait for it. Any thread; never blocks. */
YOKE_API void yoke_event_init(yoke_event *event);

/*
 * Waits until the event is set; returns at once if it is. A cancellation point, checked first. -ECANCELED; -ENOMEM: no memory to wait
 * (it can be tried again); -ENOTRECOVERABLE: outside of a task.
 */
YOKE_API YOKE_MUST_CHECK int yoke_event_wait(yoke_event *event);

/*
 * Sets it and wakes everybody who waits, in the order in which they came; without effect if it is set already. Never blocks; not a
 * cancellation point. -ENOTRECOVERABLE: outside of a task.
 */
YOKE_API int yoke_event_set(yoke_event *event);

/* Those who come from now on wait. Never blocks; not a cancellation point. -ENOTRECOVERABLE: outside of a task. */
YOKE_API int yoke_event_reset(yoke_event *event);

/* Any thread; never blocks; not a cancellation point. */
YOKE_API bool yoke_event_is_set(yoke_event *event);

YOKE_END_DECLS

#endif
