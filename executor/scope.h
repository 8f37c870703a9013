/*
 * scope.h - cancellation scopes: opening, leaving, asking, cancelling. See scope.c for the protocol.
 */
#ifndef YOKE_EXECUTOR_SCOPE_H
#define YOKE_EXECUTOR_SCOPE_H

#include "core.h"

/* `scope` is marked: afterwards no memo hides it. It stays meanwhile. */
void yoke__scope_make_known_slow(struct yoke_runtime *rt, struct yoke__scope *scope);
static inline void yoke__scope_make_known(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    if (yoke__unlikely(yoke__load_acquire(&scope->known) == 0)) /* the increment; pairs with yoke__scope_make_known_slow() */
        yoke__scope_make_known_slow(rt, scope);
}

/* True if `scope` or an enclosing one up to the first shield is cancelled; remembers a "no" for the fast path. */
bool yoke__scope_cancelled_slow(struct yoke_runtime *rt, struct yoke__scope *scope);

static inline bool yoke__scope_cancelled(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    /* the epoch's acquire pairs with yoke__scope_carry_out(): an old epoch means that the mark may not be seen yet */
    if (yoke__likely(yoke__load_relaxed(&scope->head.memo) == yoke__load_acquire(&rt->epoch)))
        return false;
    return yoke__scope_cancelled_slow(rt, scope);
}

/* The same for one that has sat down before it asks (seat.h): the look at the epoch comes after that. */
static inline bool yoke__scope_cancelled_now(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    /* store-load against yoke__scope_carry_out() */
    return yoke__load_relaxed(&scope->head.memo) != yoke__load_seq(&rt->epoch) && yoke__scope_cancelled_slow(rt, scope);
}

/* Who cancelled this very scope, where and with what code: ", cancelled by task #7 (file:line), -EIO (...)"; "" if nobody has. Any thread. */
enum { YOKE__ORIGIN_MAX = 400 };
const char *yoke__scope_origin(const struct yoke__scope *scope, char *text, size_t size);

/* The outermost cancelled scope in force at `scope` (up to the first shield), or NULL. */
struct yoke__scope *yoke__scope_outermost_cancelled(struct yoke_runtime *rt, struct yoke__scope *scope);

/* Prepares a block (of the scope or the group pool) and makes it the strand's current scope. */
void yoke__scope_enter(struct yoke__worker *w, struct yoke__strand *strand, struct yoke__scope *scope, enum yoke__scope_kind kind);

/* Sets fields for a scope that is nobody's current one (a child's own, the root's). */
void yoke__scope_prepare(struct yoke_runtime *rt, struct yoke__scope *scope, struct yoke__scope *parent, enum yoke__scope_kind kind);

/* For debug mode: a shield that hides what encloses it without an end of its own. */
void yoke__scope_bare_shield(struct yoke_runtime *rt, const struct yoke__scope *scope);

/* Arms or moves the scope's deadline. */
void yoke__scope_deadline(struct yoke_runtime *rt, struct yoke__scope *scope, int64_t deadline);

/* The scope is over: handles go stale, timers and registries let go of it, cancellers too. The block may then be reused. */
void yoke__scope_retire(struct yoke_runtime *rt, struct yoke__scope *scope);

/* Registers the scope with its ancestors so that a cancel finds who blocks inside. */
void yoke__scope_link(struct yoke__scope *scope);

/* Marks and carries out a cancel of a scope that cannot end meanwhile. False: it was cancelled before. */
bool yoke__scope_cancel(struct yoke_runtime *rt, struct yoke__scope *scope, enum yoke__cancel kind, int reason, const yoke_site *site);

/* The mark alone, for a caller that holds a lock; what it returns (NULL: it was marked before) is then to be carried out. */
struct yoke__scope *yoke__scope_mark(struct yoke_runtime *rt, struct yoke__scope *scope, enum yoke__cancel kind, int reason, const yoke_site *site);

/* The same under the scope's lock; true: to be carried out. */
bool yoke__scope_mark_locked(struct yoke__scope *scope, enum yoke__cancel kind, int reason, const yoke_site *site, uint64_t task);

/* Keeps the scope's block from being reused. Under a lock that the scope's end has yet to take. */
static inline void yoke__scope_pin(struct yoke__scope *scope)
{
    yoke__add_relaxed(&scope->pins, 1); /* ordered by the lock under which it is taken */
}

/* The same through a handle; -EINVAL: already left. */
int yoke__scope_cancel_handle(struct yoke_runtime *rt, struct yoke__scope *scope, uint64_t generation, enum yoke__cancel kind, int reason,
                              const yoke_site *site);

/* Closes what is open above `until`, innermost first, with a report each. True: a group was among them. */
bool yoke__scope_unwind(struct yoke__strand *strand, struct yoke__scope *until, const char *why);

/*
 * Options of a caller that knows more fields, or fewer: what it knows of ours is copied to `whole`, which is returned; the rest is 0. The
 * size itself too: so one that was never set gives defaults.
 */
void *yoke__options_whole(void *whole, size_t size, const void *options, size_t known);

/* What a handle without a block, or of another runtime, says; 0 if it may be looked at. */
int yoke__handle_error(const void *block, uint64_t generation, const struct yoke_runtime *rt);

#endif
