/*
 * task.h - tasks: blocks, calling one, ending one; handles of children.
 */
#ifndef YOKE_EXECUTOR_TASK_H
#define YOKE_EXECUTOR_TASK_H

#include "core.h"

/* A block with room for `size` bytes of argument; NULL: out of memory. The fields marked (z) are zero. */
struct yoke__task *yoke__task_new(struct yoke__worker *w, size_t size);
void yoke__task_free(struct yoke__worker *w, struct yoke__task *task);

/* Sets the strand up; `scope` is where the task starts. */
static inline void yoke__task_init(struct yoke__task *task, yoke_fn fn, void *arg, struct yoke__group *group, struct yoke__scope *scope)
{
    task->strand.head.scope = &scope->head;
    task->strand.head.self = &task->strand.head;
    task->strand.base = scope;
    task->strand.task = task;
    task->strand.fail = NULL;
    task->strand.forks = 0;
    task->fn = fn;
    task->arg = arg;
    task->group = group;
}

/*
 * Calls the task's function on the current stack and carries out all that its end means but the counting of it in its group, which
 * is the caller's: the block is freed or kept by then. May return on another worker; the caller restores the strand.
 */
void yoke__task_call(struct yoke__worker *w, struct yoke__task *task);

/* The root's result, after its end. */
int yoke__task_finish(struct yoke__task *task, int rc);

/* Frees the handles of a group that has ended. */
void yoke__handles_free(struct yoke__worker *w, struct yoke__group *group);

#endif
