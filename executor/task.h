/*
 * task.h - tasks: blocks, calling one, ending one; handles of children.
 */
#ifndef YOKE_EXECUTOR_TASK_H
#define YOKE_EXECUTOR_TASK_H

#include "core.h"
#include "handle.h"
#include "unjoined.h"

/* A block with room for `size` bytes of argument; NULL: out of memory. The fields marked (z) are zero. */
struct yoke__task *yoke__task_new(struct yoke__worker *w, size_t size);
void yoke__task_free(struct yoke__worker *w, struct yoke__task *task);

static inline void yoke__task_init(struct yoke__task *task, yoke_fn fn, void *arg, struct yoke__group *group, const char *name,
                                   const yoke_site *site)
{
    task->fn = fn;
    task->arg = arg;
    task->group = group;
    task->name = name;
    task->site = site;
}

/* Sets the strand of a task up that is about to be called; `scope` is where it starts. */
static inline void yoke__task_strand(struct yoke__strand *strand, struct yoke__task *task, struct yoke__scope *scope)
{
    strand->head.scope = &scope->head;
    strand->head.self = &strand->head;
    strand->base = scope;
    strand->task = task;
    strand->fail = NULL;
    strand->begun = NULL;
    strand->held = NULL;
    strand->fork = NULL;
    strand->seat = NULL;
}

/* What a task left open, its deferred functions and slots; the result as it then is. */
int yoke__task_finish(struct yoke__strand *strand, int rc);

/* The uncommon end: something left open, failure, flags. */
void yoke__task_end(struct yoke__strand *strand, int rc);

/*
 * Calls the task's function on the current stack and carries out all that its end means but the counting of it in its group, which
 * is the caller's: the block is freed or kept by then. Returns the worker it is on now; the caller restores its own strand.
 * `strand` is the worker's current one, set up for tasks of this group, and is so again afterwards.
 */
static inline struct yoke__worker *yoke__task_call_on(struct yoke__worker *w, struct yoke__strand *strand, struct yoke__task *task)
{
    struct yoke__scope *scope = &task->group->scope;
    strand->task = task;
    if (yoke__unlikely(task->flags & YOKE__TASK_HANDLE)) {
        strand->base = yoke__handle_started(strand, task);
        strand->head.scope = &strand->base->head;
    }
    int rc = task->fn(task->arg);
    if (yoke__unlikely(strand->head.scope != &scope->head || rc < 0 || strand->fail != NULL || yoke__load_relaxed(&task->flags) != 0)) {
        yoke__task_end(strand, rc);
        yoke__task_strand(strand, NULL, scope);
        return yoke__worker_here();
    }
    w = yoke__worker_here();
    yoke__block_put(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_TASK0, task);
    return w;
}

static inline struct yoke__worker *yoke__task_call(struct yoke__worker *w, struct yoke__task *task)
{
    struct yoke__strand strand;
    yoke__task_strand(&strand, task, &task->group->scope);
    w->head.strand = &strand.head;
    w = yoke__task_call_on(w, &strand, task);
    yoke__unjoined_next(w, &strand);
    return w;
}

/* Frees the handles of a group that has ended. */
void yoke__handles_free(struct yoke__worker *w, struct yoke__group *group);

#endif
