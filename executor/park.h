/*
 * park.h - idle workers: searching, sleeping, being woken. See park.c for the protocol.
 */
#ifndef YOKE_EXECUTOR_PARK_H
#define YOKE_EXECUTOR_PARK_H

#include "core.h"

void yoke__wake_slow(struct yoke_runtime *rt);

/* Wakes everybody. */
void yoke__wake_all(struct yoke_runtime *rt);

/* Workers that sleep or search: a hint. */
static inline int32_t yoke__count_idle(struct yoke_runtime *rt)
{
    return yoke__load_relaxed(&rt->parked) + yoke__load_relaxed(&rt->searching);
}

/* A hint. */
static inline bool yoke__anybody_idle(struct yoke_runtime *rt)
{
    return yoke__count_idle(rt) > 0;
}

/* After work was made visible: wakes one sleeper unless somebody is searching already. Any thread or signal handler. */
static inline void yoke__wake_one(struct yoke_runtime *rt)
{
    /*
     * Plain loads: the store-load order against the work just published is the parker's membarrier (from threads that are no
     * workers, the full barrier of the inbox push). Pairs with yoke__park().
     */
    yoke__compiler_barrier();
    if (yoke__unlikely(yoke__load_relaxed(&rt->parked) != 0) && yoke__load_relaxed(&rt->searching) == 0)
        yoke__wake_slow(rt);
}

/* The same after something was pushed that not everybody may take: with `migrate` who left a fiber passes it over (find.c). */
static inline void yoke__wake_for_any(struct yoke_runtime *rt)
{
    if (yoke__unlikely(rt->migrate))
        yoke__wake_all(rt);
    else
        yoke__wake_one(rt);
}

/* Wakes one certain worker if it sleeps. */
void yoke__wake_worker(struct yoke__worker *w);

/*
 * Sleeps until there may be work. Called with nothing found. What the poll brought: fibers linked by `next`, to be made ready. NULL: it was
 * woken. The worker is then counted as searching if w->searching says so.
 */
struct yoke__fiber *yoke__park(struct yoke__worker *w);

/* It takes its sleep back. False: too late, it is being woken. */
bool yoke__park_end(struct yoke__worker *w);

/* The worker begins to search: false if enough others do. */
bool yoke__search_begin(struct yoke__worker *w);

/* It has found something. */
void yoke__search_end(struct yoke__worker *w);

/* A victim's push found that somebody is hungry: the flag goes down when nobody is idle any more. */
void yoke__fed(struct yoke__worker *w);

#endif
