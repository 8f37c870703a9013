/*
 * handle.h - handles of children. A child with a handle has a scope of its own, so that it alone can be cancelled.
 */
#ifndef YOKE_EXECUTOR_HANDLE_H
#define YOKE_EXECUTOR_HANDLE_H

#include "core.h"

/*
 * Before the task is published: gives it a handle and a scope, and counts it if it is a service. 0 or -ENOMEM; -ESHUTDOWN: the group's
 * services have been told to end. `out` may be NULL.
 */
int yoke__handle_attach(struct yoke__worker *w, struct yoke__group *group, struct yoke__task *task, bool service, yoke_task *out);

/* Tells all services of a group to end: no other child is left. */
void yoke__handles_end_services(struct yoke_runtime *rt, struct yoke__group *group);

/* Undoes it: the task was not published after all. */
void yoke__handle_abandon(struct yoke__worker *w, struct yoke__task *task);

/* The task is being entered: its scope. */
struct yoke__scope *yoke__handle_started(struct yoke__strand *strand, struct yoke__task *task);

/* The task's function has ended: nobody is this task any more, whose block may soon be another's. */
void yoke__handle_ending(struct yoke__handle *handle);

/*
 * The task has ended, its result is recorded and acted on: tells the waiters, retires the scope, of which its strand (NULL: never begun)
 * lets go. The task's block may be gone.
 */
void yoke__handle_ended(struct yoke__worker *w, struct yoke__handle *handle, struct yoke__group *group, struct yoke__strand *strand, int rc);

#endif
