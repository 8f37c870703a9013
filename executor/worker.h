/*
 * worker.h - workers: the scheduler loop, leaving and entering stacks, making fibers runnable.
 */
#ifndef YOKE_EXECUTOR_WORKER_H
#define YOKE_EXECUTOR_WORKER_H

#include "core.h"

/* Memory for a worker, its deques and its first fiber. 0 or a negative errno, then nothing is left behind. */
int yoke__worker_create(struct yoke_runtime *rt, int index);
void yoke__worker_destroy(struct yoke__worker *w);

/* The thread's function. */
void *yoke__worker_main(void *worker);

/* What runs on the next stack once this one has been left; it may publish the fiber, and copies what it needs before it does. */
typedef void (*yoke__hook)(struct yoke__worker *w, struct yoke__fiber *left, void *arg);

/* What a large stack begins with: runs what is handed to it (large.h), and goes back to a scheduler loop. */
void yoke__worker_large(void *handoff);

/* Lets others run that wait for this worker, if any do, and comes back after them. 0 or -ENOMEM. */
int yoke__worker_yield(struct yoke__worker *w);

/* So many tasks wait in its deque that more would only take memory. */
#ifdef YOKE_SHRUNKEN
enum { YOKE__OVERFULL = 256 };
#else
enum { YOKE__OVERFULL = 1024 };
#endif
static inline bool yoke__worker_overfull(const struct yoke__worker *w)
{
    return w->head.deque.bottom - yoke__load_relaxed(&w->head.deque.top) >= YOKE__OVERFULL; /* a hint */
}

/*
 * Lets some of them run first, and anybody go on with the caller meanwhile, who may come back on another worker. Without effect if the caller is
 * pinned or must not suspend, or there is no stack for it.
 */
void yoke__worker_thin_out(struct yoke__worker *w);

/* Leaves the current stack; returns when somebody has made the fiber runnable and a worker resumes it. `what` is waited for, in words. */
void yoke__suspend(yoke__hook hook, void *arg, const char *what);

/* The chain of spares after this one, in the runtime's list. */
static inline struct yoke__fiber **yoke__worker_next_chain(struct yoke__fiber *chain)
{
    return (struct yoke__fiber **)(void *)&chain->node.entry.next; /* a spare is in no inbox */
}

/* True if a stack to leave to is at hand, so that a wait that begins now cannot fail for want of one. */
bool yoke__worker_reserve(struct yoke__worker *w);

/*
 * THE wake-up function: makes a fiber runnable. Any thread; no lock held. On a worker of this runtime it joins that worker's ready
 * queue, else the runtime's inbox; a pinned fiber its worker's inbox. A sleeper is woken if there is one.
 */
void yoke__ready(struct yoke_runtime *rt, struct yoke__fiber *fiber);
void yoke__ready_list(struct yoke_runtime *rt, struct yoke__fiber *first); /* linked by `next` */

/* The same for the worker itself, in a hook. */
void yoke__ready_on(struct yoke__worker *w, struct yoke__fiber *fiber);

/* To one worker alone, from any thread. */
void yoke__worker_post(struct yoke__worker *w, struct yoke__node *node);

/* To all workers, from any thread or signal handler. */
void yoke__runtime_post(struct yoke_runtime *rt, struct yoke__node *node);

/* True if something that other threads brought waits for a worker. */
static inline bool yoke__injected_any(struct yoke_runtime *rt)
{
    return yoke__load_relaxed(&rt->injected) != NULL || !yoke__inbox_empty(&rt->inject); /* exact after the barrier in yoke__park() */
}

/* True if some of it is for this worker. */
bool yoke__injected_for(struct yoke__worker *w);

/* Tells what this worker has counted for its batch of completions. */
void yoke__worker_flush_slow(struct yoke__worker *w);
static inline void yoke__worker_flush(struct yoke__worker *w)
{
    if (w->batch != NULL)
        yoke__worker_flush_slow(w);
}

/* True if woken tasks wait for this worker, or for any. */
bool yoke__worker_others_wait(struct yoke__worker *w);

#include "park.h"

#endif
