/*
 * handle.h - handles of children. A child with a handle has a scope of its own, so that it alone can be cancelled.
 */
#ifndef YOKE_EXECUTOR_HANDLE_H
#define YOKE_EXECUTOR_HANDLE_H

#include "core.h"

/* Before the task is published: gives it a handle and a scope. 0 or -ENOMEM. */
int yoke__handle_attach(struct yoke__worker *w, struct yoke__group *group, struct yoke__task *task, yoke_task *out);

/* Undoes it: the task was not published after all. */
void yoke__handle_abandon(struct yoke__worker *w, struct yoke__task *task);

/* The task is being entered: its scope. */
struct yoke__scope *yoke__handle_started(struct yoke__task *task);

/* The task has ended: tells the waiters, retires the scope, of which its strand (NULL: never begun) lets go. */
void yoke__handle_ended(struct yoke__worker *w, struct yoke__task *task, struct yoke__strand *strand, int rc);

#endif
