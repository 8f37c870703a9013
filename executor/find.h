/*
 * find.h - finding work for a worker.
 */
#ifndef YOKE_EXECUTOR_FIND_H
#define YOKE_EXECUTOR_FIND_H

#include "core.h"

/* Exactly one of the three is set, or none. */
struct yoke__found {
    struct yoke__fiber *fiber;
    void *item;
    struct yoke__node *node;
    bool taken; /* the item is another worker's */
};

static inline bool yoke__found_any(const struct yoke__found *f)
{
    return f->fiber != NULL || f->item != NULL || f->node != NULL;
}

/* What waits for this worker, or for any. */
struct yoke__found yoke__find_here(struct yoke__worker *w);

/* What others have, or will bring: sleeps until there is something, or the runtime stops, then nothing is found. */
struct yoke__found yoke__find_elsewhere(struct yoke__worker *w);

static inline struct yoke__found yoke__find_work(struct yoke__worker *w)
{
    struct yoke__found f = yoke__find_here(w);
    return yoke__found_any(&f) ? f : yoke__find_elsewhere(w);
}

/* For a worker without a stack to run a loop on: what needs none, because it has one. Does not sleep. */
struct yoke__found yoke__find_started(struct yoke__worker *w);

/* The next woken fiber, or NULL. */
struct yoke__fiber *yoke__take_woken(struct yoke__worker *w);

/* After so many woken fibers it may be the turn of others. */
enum { YOKE__ROW = 8 };

static inline bool yoke__row_is_over(const struct yoke__worker *w)
{
    return yoke__unlikely(w->woken - w->row >= YOKE__ROW);
}

/* After a row of woken fibers: is there anything else to turn to? If not, another row begins. */
bool yoke__turn_of_others_slow(struct yoke__worker *w);

static inline bool yoke__turn_of_others(struct yoke__worker *w)
{
    return yoke__row_is_over(w) && yoke__turn_of_others_slow(w);
}

/* True if woken tasks wait for this worker, or for any. */
bool yoke__worker_others_wait(struct yoke__worker *w);

/* The same, but for tasks that wait only because they have spawned much: yoke__worker_thin_out(). */
bool yoke__worker_events_wait(struct yoke__worker *w);

/*
 * Between two tasks of a long row, which to leave costs more than a short task takes: after each sixteenth it is over if an event's task waits, after 64
 * if anybody does. `n`: run so far.
 */
static inline bool yoke__worker_look_is_due(int64_t n)
{
    return n % 16 == 0;
}
bool yoke__worker_row_ends(struct yoke__worker *w, int64_t n);

/* True if something that other threads brought waits for a worker. */
static inline bool yoke__injected_any(struct yoke_runtime *rt)
{
    return yoke__load_relaxed(&rt->injected) != NULL || !yoke__inbox_empty(&rt->inject); /* exact after the barrier in yoke__park() */
}

/* True if some of it is for this worker. */
bool yoke__injected_for(struct yoke__worker *w);

/* A moment between two looks at what others write. */
static inline void yoke__relax(void)
{
    for (int i = 0; i < 3; i++)
        __builtin_ia32_pause();
}

#endif
