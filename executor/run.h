/*
 * run.h - running what a worker has found.
 */
#ifndef YOKE_EXECUTOR_RUN_H
#define YOKE_EXECUTOR_RUN_H

#include "spare.h"
#include "suspend.h"

/* The scheduler's loop: every pooled fiber begins here and never returns. */
void yoke__worker_loop(void *handoff);

/* What a large stack begins with: runs what is handed to it (large.h), and goes back to a scheduler loop. */
void yoke__worker_large(void *handoff);

/* What is to be begun: its group, NULL for a fork or the root; the stacks it begins on (large.h). */
struct yoke__group *yoke__node_group(struct yoke__node *node);
unsigned yoke__node_large(struct yoke__node *node);

/* From a loop; may come back to it on another worker. */
void yoke__run_node(struct yoke__worker *w, struct yoke__node *node);

/* Tells what this worker has counted for its batch of completions. */
void yoke__worker_flush_slow(struct yoke__worker *w);
static inline void yoke__worker_flush(struct yoke__worker *w)
{
    if (w->batch != NULL)
        yoke__worker_flush_slow(w);
}

/* It is that group's children that are counted here from now on. */
static inline void yoke__worker_batch(struct yoke__worker *w, struct yoke__group *group)
{
    if (w->batch != group) {
        yoke__worker_flush(w);
        w->batch = group;
    }
}

/*
 * The batch's group cannot end before what goes on on that fiber does, so nobody waits for what is counted here: a task of that group, or a
 * fork of one. A service is not in `live`, and may wait for it.
 */
static inline bool yoke__batch_may_wait(const struct yoke__worker *w, const struct yoke__fiber *fiber)
{
    const struct yoke__strand *strand = (const struct yoke__strand *)(const void *)fiber->strand;
    return strand != NULL && strand->task->group == w->batch && yoke__load_relaxed(&w->batch->serviced) == 0;
}

/* From a loop, whose stack becomes a spare. What goes on there may take long. */
static inline void yoke__resume(struct yoke__worker *w, struct yoke__fiber *fiber)
{
    if (w->batch != NULL && !yoke__batch_may_wait(w, fiber))
        yoke__worker_flush_slow(w);
    yoke__switch_to(w, fiber, yoke__spare_hook, NULL);
}

#endif
