/*
 * stop.h - graceful stop of scopes. See stop.c for the protocol.
 */
#ifndef YOKE_EXECUTOR_STOP_H
#define YOKE_EXECUTOR_STOP_H

#include "core.h"

/* Asks everything inside to end; arms the grace. -EINVAL: already left. Any thread. */
int yoke__stop_handle(struct yoke_runtime *rt, struct yoke__scope *scope, uint64_t generation, const yoke_site *site);

/* Marks a scope that its strand has just entered: a stop cancels it, also one that has come before. */
void yoke__stop_mark(struct yoke_runtime *rt, struct yoke__scope *scope);

/* The options that scopes and groups have in common. */
static inline void yoke__stop_options(struct yoke_runtime *rt, struct yoke__scope *scope, bool cancel_on_stop, int64_t grace, int64_t hard_after)
{
    scope->stop.grace = grace;
    scope->stop.hard_after = hard_after;
    if (yoke__unlikely(cancel_on_stop))
        yoke__stop_mark(rt, scope);
}

/* True if `scope` or an enclosing one up to the first shield has been stopped. */
bool yoke__stop_asked(const struct yoke__scope *scope);

/* A task of a group whose scope is `scope` has ended cancelled: noted wherever a grace has run out. */
void yoke__stop_count_cut(struct yoke__scope *scope);

/* For yoke__scope_retire(): afterwards neither timer's callback is running. */
void yoke__stop_disarm(struct yoke_runtime *rt, struct yoke__scope *scope);

/* The scope was left with `rc` as its body's result: tells how many tasks its grace cut. How many those are. */
uint64_t yoke__stop_tell_cut(struct yoke_runtime *rt, const struct yoke__scope *scope, int rc);
static inline uint64_t yoke__stop_tell(struct yoke_runtime *rt, const struct yoke__scope *scope, int rc)
{
    return yoke__likely(scope->cancel != YOKE__CANCEL_GRACE) ? 0 : yoke__stop_tell_cut(rt, scope, rc);
}

/* hard_after has passed: dumps the tree and aborts. No lock held. */
_Noreturn void yoke__stop_overdue(struct yoke_runtime *rt, const struct yoke__scope *scope);

#endif
