/*
 * fork.h - forks: pieces of a task on the deque. See fork.c.
 */
#ifndef YOKE_EXECUTOR_FORK_H
#define YOKE_EXECUTOR_FORK_H

#include "core.h"

/*
 * Indices in the workers' deques begin here, so that a fork's state can hold an index, a pointer, or a small number. Each worker has
 * 2^48 of them for itself.
 */
#define YOKE__FORK_QUEUED ((int64_t)1 << 61)

/* Runs a fork that was taken from a deque by somebody else than its join; `typed`: its argument is the descriptor. */
void yoke__fork_run(struct yoke__worker *w, yoke_forked *fork, bool typed);

/* One that was taken likewise, as a node, for a worker to run later: nobody else can take it any more, and its join waits. */
struct yoke__node *yoke__fork_node(yoke_forked *fork, bool typed);
yoke_forked *yoke__fork_of_node(struct yoke__node *node);

/* There is no stack for it: its join is to run it after all. False: it has no room either, and waits for somebody who has a stack. */
bool yoke__fork_give_back(struct yoke_runtime *rt, struct yoke__node *node);

/* The stacks on which it begins if its join does not run it: large.h. */
static inline unsigned yoke__fork_large(const yoke_forked *fork)
{
    return ((const struct yoke__scope *)(const void *)fork->from.scope)->large;
}

/* Who waits in its join, or NULL. The fork's strand is blocked meanwhile. */
const struct yoke__wait *yoke__fork_joiner(const yoke_forked *fork);

#endif
