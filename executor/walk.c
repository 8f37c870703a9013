/*
 * walk.c - carrying cancels and stops out.
 *
 * A walk begins at scopes that are marked and pinned, and visits them and their unshielded descendants: it cancels what is marked
 * cancel_on_stop, and wakes who blocks where it is cancelled. Each scope is pinned until it has been visited.
 *
 * One walker at a time: cancels to carry out are pushed on runtime.walks (stops, see stop.c, on runtime.stops), and who raises
 * walks_pending from 0 serves them all; so nobody waits for a long walk, and the walker's list link needs one word a scope. What is counted is
 * calls, not what they queued: a walker may take what a call has queued and not yet counted, and by counting that it would count it before
 * the call does; the next one could then raise the number from 0 a second time, while it walks.
 *
 * A walk goes by stretches. When so many have been woken or visited the walker makes those it has woken ready, here, and parks the rest, which is
 * all in runtime.walk: so a walk takes neither a task nor the service thread for long; those woken run while they are in the caches of
 * who has woken them; and workers take turns, each with its own. Whoever has no woken fiber goes on with a parked walk before it looks into its
 * deque, and so does a worker that has run about as many fibers as a stretch wakes (find.c). To go on is to claim it: `parked` 1 -> 0 by
 * compare-exchange (acquire; parking releases). Parked, it is something to do like any push: a store, seq_cst, before a look for
 * sleepers, and a parker looks at it behind its barrier (park.c).
 *
 * Who leaves a scope waits until it is not pinned any more, on its worker, and perhaps all workers do. So a walk is not left to workers while
 * anybody leaves: he counts himself (`leavers`) and then looks whether it is parked; who parks it looks at the count afterwards (all
 * seq_cst). One of the two sees the other: either he who leaves goes on with it, or he who has parked it takes it back, unless somebody
 * else was faster. Then that one walks, and will come to the same question.
 *
 * Progress: a walker waits for locks of scopes only.
 */
#include "walk.h"

#include "park.h"
#include "runnable.h"
#include "scope.h"
#include "seat.h"

#define PIN_SLEEPER 0x80000000u

/* ---- pins --------------------------------------------------------------------------------------------------------------- */

void yoke__scope_unpin(struct yoke__scope *scope)
{
    uint32_t *pins = &scope->pins;
    /* release: what the walker did to the scope happens before its reuse; pairs with yoke__walk_let_pass() */
    if (yoke__sub_acq_rel(pins, 1) == PIN_SLEEPER + 1)
        yoke__os_futex_wake(pins, 1); /* the word is type-stable: a late wake is spurious at worst */
}

/* ---- a stretch ---------------------------------------------------------------------------------------------------------- */

/* A stop has come to a scope that is marked for it. True: it is cancelled now. */
static bool cut_on_stop_locked(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    if (!yoke__scope_mark_locked(scope, YOKE__CANCEL_STOP, 0, scope->site, 0))
        return false;
    yoke__scope_unpin(scope); /* the walk has a pin of its own */
    yoke__add_seq(&rt->epoch, 1); /* after the mark, before anybody in there is woken; pairs with yoke__scope_cancelled() */
    return true;
}

static void visit(struct yoke_runtime *rt, struct yoke__scope *scope, struct yoke__roused *roused)
{
    struct yoke__walk *walk = &rt->walk;
    bool rest = false;
    yoke__lock_acquire(&scope->lock);
    bool cancelled = scope->work_cancelled || (scope->cancel_on_stop && cut_on_stop_locked(rt, scope));
    for (struct yoke__scope *child = scope->children; child != NULL; child = child->sibling) {
        if (child->shield)
            continue;
        yoke__scope_pin(child);
        child->work_cancelled = cancelled;
        child->work_next = walk->work;
        walk->work = child;
    }
    if (cancelled)
        rest = yoke__seats_cancel_locked(scope, roused);
    yoke__lock_release(&scope->lock);
    if (rest)
        walk->scope = scope;
    else
        yoke__scope_unpin(scope);
}

/* The one that was left in the middle of its seats. */
static void visit_rest(struct yoke__walk *walk, struct yoke__roused *roused)
{
    struct yoke__scope *scope = walk->scope;
    yoke__lock_acquire(&scope->lock);
    bool rest = yoke__seats_cancel_rest_locked(scope, roused);
    yoke__lock_release(&scope->lock);
    if (rest)
        return;
    walk->scope = NULL;
    yoke__scope_unpin(scope);
}

/* The next scope to begin at, or inside. NULL: the walk is over. */
static struct yoke__scope *next_scope(struct yoke__walk *walk)
{
    struct yoke__scope *scope;
    if ((scope = walk->work) != NULL) {
        walk->work = scope->work_next;
    } else if ((scope = walk->cancels) != NULL) {
        walk->cancels = scope->walk_next;
        scope->work_cancelled = true;
    } else if ((scope = walk->stops) != NULL) {
        walk->stops = scope->stop.next;
        scope->work_cancelled = false;
    }
    return scope;
}

/* Until enough were roused, or all is done: then true. */
static bool go_on(struct yoke_runtime *rt, struct yoke__roused *roused)
{
    struct yoke__walk *walk = &rt->walk;
    struct yoke__scope *scope;
    for (unsigned visits = 0;; visits++) {
        if (walk->scope == NULL && walk->work == NULL && walk->cancels == NULL && walk->stops == NULL)
            return true;
        if (roused->n + visits >= YOKE__STRETCH)
            return false;
        if (walk->scope != NULL)
            visit_rest(walk, roused);
        else if ((scope = next_scope(walk)) != NULL)
            visit(rt, scope, roused);
    }
}

/* ---- walking ------------------------------------------------------------------------------------------------------------ */

bool yoke__walk_claim(struct yoke_runtime *rt)
{
    uint32_t parked = YOKE__WALK_PARKED;
    return yoke__walk_waits(rt) && yoke__cas_seq(&rt->walk.state, &parked, YOKE__WALK_RESUMED); /* pairs with left_to_workers() */
}

/* The rest is left to workers. False: it is the caller's again, since somebody waits for it who may have none. */
static bool left_to_workers(struct yoke_runtime *rt, uint32_t leavers)
{
    yoke__store_seq(&rt->walk.state, (uint32_t)YOKE__WALK_PARKED); /* store-load against yoke__walk_let_pass() */
    if (yoke__load_seq(&rt->walk.leavers) > leavers && yoke__walk_claim(rt))
        return false;
    if (yoke__unlikely(rt->migrate))
        yoke__wake_all(rt);
    else
        yoke__wake_one(rt);
    return true;
}

/* What was queued meanwhile. False: nothing was, and the caller walks no more. */
static bool take_queued(struct yoke_runtime *rt)
{
    struct yoke__walk *walk = &rt->walk;
    uint32_t served = walk->calls;
    yoke__store_relaxed(&walk->state, (uint32_t)YOKE__WALK_SHORT); /* it is this walker's until it leaves, which releases */
    /* acquire: what those who have come meanwhile have queued */
    uint32_t calls = yoke__sub_acq_rel(&rt->walks_pending, served) - served;
    if (calls == 0)
        return false;
    walk->calls = calls;
    walk->cancels = yoke__xchg_acq_rel(&rt->walks, (struct yoke__scope *)NULL); /* pairs with yoke__scope_carry_out() */
    walk->stops = yoke__xchg_acq_rel(&rt->stops, (struct yoke__scope *)NULL);   /* pairs with yoke__scope_carry_out_stop() */
    return true;
}

/* The caller is the walker. `leavers`: 1 if it is one of them. */
static void walk_stretch(struct yoke_runtime *rt, uint32_t leavers)
{
    bool walking = true;
    while (walking) {
        struct yoke__roused roused = { NULL, 0 };
        bool over = go_on(rt, &roused);
        yoke__roused_ready(rt, &roused);
        walking = over ? take_queued(rt) : !left_to_workers(rt, leavers);
    }
}

void yoke__walk_stretch(struct yoke_runtime *rt)
{
    walk_stretch(rt, 0);
}

/* A cancel or a stop was queued by us: the walker of the moment serves it, or else we. */
static void serve_walks(struct yoke_runtime *rt)
{
    if (yoke__add_acq_rel(&rt->walks_pending, 1) != 0)
        return; /* the walker of the moment will see it: it leaves only when all calls are served */
    rt->walk.calls = 1;
    rt->walk.cancels = yoke__xchg_acq_rel(&rt->walks, (struct yoke__scope *)NULL); /* as in take_queued() */
    rt->walk.stops = yoke__xchg_acq_rel(&rt->stops, (struct yoke__scope *)NULL);   /* as in take_queued() */
    walk_stretch(rt, 0);
}

void yoke__scope_carry_out(struct yoke_runtime *rt, struct yoke__scope *first)
{
    if (first == NULL)
        return;
    struct yoke__scope *last = first;
    while (last->walk_next != NULL)
        last = last->walk_next;
    yoke__add_seq(&rt->epoch, 1); /* after the mark, before the walk; pairs with yoke__scope_cancelled() */
    struct yoke__scope *head = yoke__load_relaxed(&rt->walks);
    do
        last->walk_next = head;
    while (!yoke__cas_acq_rel(&rt->walks, &head, first)); /* pairs with take_queued() */
    serve_walks(rt);
}

void yoke__scope_carry_out_stop(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    struct yoke__scope *head = yoke__load_relaxed(&rt->stops);
    do
        scope->stop.next = head;
    while (!yoke__cas_acq_rel(&rt->stops, &head, scope)); /* pairs with take_queued() */
    serve_walks(rt);
}

/* ---- leaving ------------------------------------------------------------------------------------------------------------ */

static __attribute__((noinline)) void wait_for_pins(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    uint32_t pins;
    yoke__add_seq(&rt->walk.leavers, 1); /* store-load against left_to_workers() */
    while (((pins = yoke__load_acquire(&scope->pins)) & ~PIN_SLEEPER) != 0) { /* pairs with yoke__scope_unpin() */
        if (yoke__load_seq(&rt->walk.state) == YOKE__WALK_PARKED && yoke__walk_claim(rt)) {
            walk_stretch(rt, 1);
            continue;
        }
        if ((pins & PIN_SLEEPER) == 0) {
            if (!yoke__cas_acq_rel(&scope->pins, &pins, pins | PIN_SLEEPER))
                continue;
            pins |= PIN_SLEEPER;
        }
        yoke__os_futex_wait(&scope->pins, pins, UINT64_MAX);
    }
    yoke__sub_seq(&rt->walk.leavers, 1);
}

void yoke__walk_let_pass(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    if (yoke__unlikely((yoke__load_acquire(&scope->pins) & ~PIN_SLEEPER) != 0)) /* pairs with yoke__scope_unpin() */
        wait_for_pins(rt, scope);
}
