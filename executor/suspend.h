/*
 * suspend.h - leaving a stack for another, and coming back to it. Whoever has called one of these may be on another worker afterwards.
 */
#ifndef YOKE_EXECUTOR_SUSPEND_H
#define YOKE_EXECUTOR_SUSPEND_H

#include "core.h"

/* What runs on the next stack once this one has been left; it may publish the fiber, and copies what it needs before it does. */
typedef void (*yoke__hook)(struct yoke__worker *w, struct yoke__fiber *left, void *arg);

/* Leaves the current stack; returns when somebody has made the fiber runnable and a worker resumes it. `what` is waited for, in words. */
void yoke__suspend(yoke__hook hook, void *arg, const char *what);

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

/* What the stack that is left tells the next one. */
struct yoke__handoff {
    yoke__hook hook;
    void *arg;
    struct yoke__fiber *left, *to;
};

/* The first thing on a stack that has just been entered. */
void yoke__arrive(const struct yoke__handoff *from);

/* Goes on with `to`, which nobody else may take; the hook runs there. Not inlined: it has the one call of yoke__switch(), see there. */
__attribute__((noinline)) void yoke__switch_to(struct yoke__worker *w, struct yoke__fiber *to, yoke__hook hook, void *arg);

#endif
