/*
 * fork.h - forks: pieces of a task on the deque. See fork.c.
 */
#ifndef YOKE_EXECUTOR_FORK_H
#define YOKE_EXECUTOR_FORK_H

#include "core.h"

/* Runs a fork that was taken from a deque by somebody else than its join. */
void yoke__fork_run(struct yoke__worker *w, yoke_forked *fork);

#endif
