/*
 * cycle.h - debug mode: cycles among locks, joins, closes and awaits, found as soon as they close.
 *
 * Who begins such a wait lists an edge, from its own strand to those that its wait blames, and looks whether one leads back to itself; whoever
 * is last to complete a cycle sees all the others. So each is reported once.
 *
 * The argument. Edges are listed and searched under one lock, rank 0. A strand in the list does not run, but while it takes its edge out
 * again, which needs the lock, or if it was fired and not yet resumed. What an edge blames is read at that moment and may change: a mutex is
 * handed over while the search goes on. So when a cycle has been found, all of its waits are looked at once more: if none has been fired
 * by now, none of these strands has run since the search began, and so has neither unlocked nor ended anything: all edges hold at once. If
 * one was fired (before the mutex changed hands: queue.c), the search begins anew without it.
 *
 * A search looks at every edge for every member it reaches: debug mode only.
 */
#ifndef YOKE_EXECUTOR_CYCLE_H
#define YOKE_EXECUTOR_CYCLE_H

#include "core.h"

/* In the waiter's frame. */
struct yoke__edge {
    struct yoke__edge *next, **back;
    const struct yoke__strand *strand;
    const struct yoke__waited *on; /* with `blames` */
    const void *object;
    const struct yoke__wait *wait; /* NULL: the wait begins later or has ended, but the strand does not run */
    struct yoke__edge *from, *work; /* of the search */
    bool reached;
};

/* The strand is about to sleep; no lock is held. Reports a cycle. */
void yoke__cycle_enter(struct yoke_runtime *rt, struct yoke__edge *edge);
void yoke__cycle_leave(struct yoke_runtime *rt, struct yoke__edge *edge);

#endif
