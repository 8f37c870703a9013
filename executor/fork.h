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

/* Who waits in its join, or NULL. The fork's strand is blocked meanwhile. */
const struct yoke__wait *yoke__fork_joiner(const yoke_forked *fork);

#endif
