/*
 * walk.h - carrying cancels and stops out: whoever blocks inside is woken. See walk.c for the protocol.
 */
#ifndef YOKE_EXECUTOR_WALK_H
#define YOKE_EXECUTOR_WALK_H

#include "core.h"

/* Carries out cancels that were marked and pinned: wakes all who block inside. Any thread, no lock held. The effect may be complete only later. */
void yoke__scope_carry_out(struct yoke_runtime *rt, struct yoke__scope *first);

/* The same for a stop, marked and pinned: cancels what is marked cancel_on_stop inside. */
void yoke__scope_carry_out_stop(struct yoke_runtime *rt, struct yoke__scope *scope);

/* True if a walk waits for somebody to go on with it: a hint, exact after the barrier in yoke__park(). */
static inline bool yoke__walk_waits(struct yoke_runtime *rt)
{
    return yoke__unlikely(yoke__load_relaxed(&rt->walk.state) == YOKE__WALK_PARKED);
}

/* True if somebody goes on with one that was parked, and may park it again soon: a hint. */
static inline bool yoke__walk_resumed(struct yoke_runtime *rt)
{
    return yoke__unlikely(yoke__load_relaxed(&rt->walk.state) == YOKE__WALK_RESUMED);
}

/* True: it is the caller's now, who goes on with yoke__walk_stretch(). */
bool yoke__walk_claim(struct yoke_runtime *rt);
void yoke__walk_stretch(struct yoke_runtime *rt);

/* Until nobody looks at the scope any more, which nobody finds any more: walkers, and who has it pinned by yoke__scope_pin(). */
void yoke__walk_let_pass(struct yoke_runtime *rt, struct yoke__scope *scope);

void yoke__scope_unpin(struct yoke_runtime *rt, struct yoke__scope *scope);

#endif
