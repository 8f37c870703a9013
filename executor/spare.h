/*
 * spare.h - spare stacks: fibers that wait in the scheduler's loop, for a worker that leaves the stack it is on.
 */
#ifndef YOKE_EXECUTOR_SPARE_H
#define YOKE_EXECUTOR_SPARE_H

#include "core.h"

/* The one kept last, or a new one; NULL: there is no memory. */
struct yoke__fiber *yoke__spare_take(struct yoke__worker *w);

/* A yoke__hook: who was left becomes a spare, unless it is the thread's own stack. */
void yoke__spare_hook(struct yoke__worker *w, struct yoke__fiber *left, void *arg);

/* The first of a worker that begins: 0 or -ENOMEM. */
int yoke__spare_first(struct yoke__worker *w);

/* True if a stack to leave to is at hand, so that a wait that begins now cannot fail for want of one. */
bool yoke__worker_reserve(struct yoke__worker *w);

/* The chain of spares after this one, in the runtime's list. */
static inline struct yoke__fiber **yoke__spare_next_chain(struct yoke__fiber *chain)
{
    return (struct yoke__fiber **)(void *)&chain->node.entry.next; /* a spare is in no inbox */
}

#endif
