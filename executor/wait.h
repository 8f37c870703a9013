/*
 * wait.h - the one blocking primitive: suspend this strand until one of several sources wakes it or its scope is cancelled.
 *
 *     struct yoke__wait wait;
 *     yoke__wait_init(&wait, "sleep");
 *     rc = yoke__wait_enlist(&wait);          // checks for a cancel first; registers with the scope: the cancel is a source
 *     if (rc < 0) return rc;                  // nothing is registered then
 *     ... register with other sources, each of which may call yoke__wait_fire(&wait, code) from now on ...
 *     code = yoke__wait_block(&wait);         // the first fire wins; all later ones are told that they lost
 *     ... deregister from the sources that did not fire (under each one's lock) ...
 *     yoke__wait_delist(&wait);
 *
 * The argument. The waiter is published to its sources while it still runs (ARMING), so a source may fire before the stack has been
 * left. It must not resume it then: the compare-exchange in yoke__wait_fire() tells the two cases apart. From ARMING the source
 * only leaves its code, and the post-switch hook, which runs on the next stack, finds it and makes the fiber runnable itself. From
 * PARKED, which only that hook sets, the stack has been left, and the source that wins the exchange owns the fiber. All transitions
 * are acquire-release: what the source wrote before firing is seen by the waiter, what the waiter wrote before PARKED is seen by the
 * worker that resumes it. A source may touch the wait only while the wait cannot have returned: under the lock of a list from which
 * the waiter deregisters, or when it is the only source. After a winning fire it touches the fiber alone.
 */
#ifndef YOKE_EXECUTOR_WAIT_H
#define YOKE_EXECUTOR_WAIT_H

#include "core.h"

void yoke__wait_init(struct yoke__wait *wait, const char *what);
/* The same for what tasks of this runtime alone can end (and a cancel): such a wait does not hold the deadlock verdict off. */
void yoke__wait_init_on(struct yoke__wait *wait, const struct yoke__waited *on, const void *object);

/* What exactly such a wait is for, beginning with a blank; as `tell` says. */
const char *yoke__waited_text(const struct yoke__waited *on, const void *object, char *text, size_t size);

/* 0; -ECANCELED: the scope is cancelled; -ENOMEM: no stack could be reserved to leave this one. */
int yoke__wait_enlist(struct yoke__wait *wait);
void yoke__wait_delist(struct yoke__wait *wait);

/* Switches away unless a source has fired already; returns the winner's code. May resume on another thread. */
int yoke__wait_block(struct yoke__wait *wait);

/*
 * True: this source won. If *fiber is then not NULL, the caller owns it and must pass it to yoke__ready() once it holds no lock.
 * Any thread.
 */
bool yoke__wait_fire(struct yoke__wait *wait, int code, struct yoke__fiber **fiber);

/* First-in first-out queue of waits; the caller holds the lock that guards it. */
void yoke__waitq_init(struct yoke__waitq *queue);
void yoke__waitq_push_locked(struct yoke__waitq *queue, struct yoke__waitq_node *node, struct yoke__wait *wait);
void yoke__waitq_remove_locked(struct yoke__waitq *queue, struct yoke__waitq_node *node); /* no effect if not queued */

/* Fires the first waiter that is still waiting, with `result` in its node. False: there was none. */
bool yoke__waitq_wake_locked(struct yoke__waitq *queue, int code, int result, struct yoke__fiber **fiber);

/*
 * The same for queues whose waiters take the lock again before they return, whatever woke them: the node of the one that was fired
 * (NULL: none), in which the caller may leave something as long as it holds the lock.
 */
struct yoke__waitq_node *yoke__waitq_take_locked(struct yoke__waitq *queue, int code, struct yoke__fiber **fiber);

#endif
