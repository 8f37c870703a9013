/*
 * runnable.h - making fibers runnable; bringing nodes to workers.
 */
#ifndef YOKE_EXECUTOR_RUNNABLE_H
#define YOKE_EXECUTOR_RUNNABLE_H

#include "core.h"

/*
 * THE wake-up function: makes a fiber runnable. Any thread; no lock held. On a worker of this runtime it joins that worker's ready
 * queue, else the runtime's inbox; a pinned fiber its worker's inbox. A sleeper is woken if there is one.
 */
void yoke__ready(struct yoke_runtime *rt, struct yoke__fiber *fiber);
void yoke__ready_list(struct yoke_runtime *rt, struct yoke__fiber *first); /* linked by `next` */

/*
 * The same by a worker that has ended what the fiber waited for. The worker that left the fiber has in its caches what it uses: if that one is
 * searching just now, it comes first, and `w` watches for a moment, two microseconds at most, whether it does.
 */
void yoke__ready_back(struct yoke__worker *w, struct yoke__fiber *fiber);

/* The same for the worker itself, in a hook. */
void yoke__ready_on(struct yoke__worker *w, struct yoke__fiber *fiber);

/* An item that the worker has popped from its deque, and that is not what it looked for: back to where it was. */
void yoke__put_back(struct yoke__worker *w, void *item);

/* To one worker alone, from any thread. */
void yoke__worker_post(struct yoke__worker *w, struct yoke__node *node);

/* To all workers, from any thread or signal handler. */
void yoke__runtime_post(struct yoke_runtime *rt, struct yoke__node *node);

#endif
