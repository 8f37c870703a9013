/*
 * walk.c - carrying cancels and stops out.
 *
 * A walk begins at scopes that are marked and pinned, and goes down to their unshielded descendants, each pinned until it has been visited. A stop's
 * marks whatever is cancel_on_stop, all of it before anything else; what it has marked, and what was cancelled, is visited: who blocks there is woken.
 * A scope is visited once, as it stays cancelled: who comes into it later sees that himself.
 *
 * One walker at a time: cancels to carry out are pushed on runtime.walks (stops, see stop.c, on runtime.stops), and who raises walks_pending from 0
 * serves them all; others hand him theirs, which he does next. What is counted is calls, not what they queued: a walker may take what a call has queued
 * and not yet counted, and by counting that it would count it before the call does; the next one could then raise the number from 0 a second
 * time, while it walks.
 *
 * Visits go by stretches. When so many waits, blocks of seats and scopes have been looked at the walker makes those it has woken ready, here, and
 * parks the rest, which is all in runtime.walk: so a cancel takes neither a task nor the service thread for long, and those woken run
 * while they are in the caches of who has woken them. (But one visit pins all children of a scope.) Workers take turns: whoever has no woken
 * fiber goes on with a parked walk before it looks into its deque, and so does a worker that has run about as many as a stretch wakes (find.c). To
 * go on is to claim it: `state` PARKED -> RESUMED by compare-exchange (acquire; parking releases). Parked, it is something to do like
 * any push: a store and a barrier before a look for sleepers, and a parker looks at it behind its own barrier (park.c).
 *
 * Workers may not come for long. So a walk is not left to them while anybody waits for it, who says so and then looks whether it is parked; who parks
 * it looks afterwards whether anybody has said so (all seq_cst). One of the two sees the other, and claims it, unless somebody else was faster, who
 * will come to the same question. Who waits is
 *   - who has queued something, so that it is not behind all that an older cancel has yet to visit: it is put in front of that;
 *   - who leaves a scope, which he may only when it is not pinned any more (`leavers`): he waits on his worker, and perhaps all workers do.
 *
 * Progress: a walker waits for locks of scopes only. Without a bound are: how long one walks to whom others keep calling, or for whom somebody always
 * leaves; a stop's descent, which is one go; and how long the rest of an older cancel waits behind what newer ones bring.
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

/* ---- what is to be visited ------------------------------------------------------------------------------------------------ */

static void unlink_work(struct yoke__scope *scope)
{
    *scope->work_back = scope->work_next;
    if (scope->work_next != NULL)
        scope->work_next->work_back = scope->work_back;
    scope->work_back = NULL;
}

/* In front, with a pin of its own; who is there already has one, and may be there for both: then it is among the cancelled. */
static void push_work(struct yoke__walk *walk, struct yoke__scope *scope, bool cancelled)
{
    if (scope->work_back != NULL) {
        unlink_work(scope);
        yoke__scope_unpin(scope);
    } else {
        scope->work_cancelled = scope->work_stopping = false;
    }
    if (cancelled)
        scope->work_cancelled = true;
    else
        scope->work_stopping = true;
    struct yoke__scope **list = scope->work_cancelled ? &walk->work : &walk->descent;
    scope->work_next = *list;
    scope->work_back = list;
    if (scope->work_next != NULL)
        scope->work_next->work_back = &scope->work_next;
    *list = scope;
}

static void push_children_locked(struct yoke__walk *walk, struct yoke__scope *scope, bool cancelled)
{
    for (struct yoke__scope *child = scope->children; child != NULL; child = child->sibling)
        if (!child->shield) {
            yoke__scope_pin(child);
            push_work(walk, child, cancelled);
        }
}

/* What calls have queued; the first of them comes first. */
static void take_queues(struct yoke_runtime *rt)
{
    struct yoke__scope *scope, *next;
    if (yoke__load_relaxed(&rt->walks) != NULL) /* looked at for good when the walk is parked, or over */
        for (scope = yoke__xchg_acq_rel(&rt->walks, (struct yoke__scope *)NULL); scope != NULL; scope = next) { /* pairs with yoke__scope_carry_out() */
            next = scope->walk_next;
            push_work(&rt->walk, scope, true);
        }
    if (yoke__load_relaxed(&rt->stops) != NULL)
        for (scope = yoke__xchg_acq_rel(&rt->stops, (struct yoke__scope *)NULL); scope != NULL; scope = next) { /* yoke__scope_carry_out_stop() */
            next = scope->stop.next;
            push_work(&rt->walk, scope, false);
        }
}

/* ---- a stretch ---------------------------------------------------------------------------------------------------------- */

/* True: it is cancelled now. */
static bool cut_on_stop_locked(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    if (!yoke__scope_mark_locked(scope, YOKE__CANCEL_STOP, 0, scope->site, 0))
        return false;
    yoke__scope_unpin(scope); /* the walk has a pin of its own */
    yoke__add_seq(&rt->epoch, 1); /* after the mark, before anybody in there is woken; pairs with yoke__scope_cancelled() */
    return true;
}

/* A stop has come to it. What is cancelled already is marked all the same: it closes as what was stopped. */
static void descend(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    yoke__lock_acquire(&scope->lock);
    bool cut = scope->cancel_on_stop && cut_on_stop_locked(rt, scope);
    if (!cut)
        push_children_locked(&rt->walk, scope, false);
    yoke__lock_release(&scope->lock);
    if (cut)
        push_work(&rt->walk, scope, true);
    else
        yoke__scope_unpin(scope);
}

/* It is cancelled, or what it is in; and a stop may have come to it too. */
static void visit(struct yoke_runtime *rt, struct yoke__scope *scope, struct yoke__roused *roused)
{
    yoke__lock_acquire(&scope->lock);
    roused->cost++;
    if (scope->work_stopping && scope->cancel_on_stop)
        (void)cut_on_stop_locked(rt, scope);
    if (!scope->visited) {
        push_children_locked(&rt->walk, scope, true);
        yoke__seats_cancel_begin_locked(scope, roused);
    }
    if (scope->work_stopping)
        push_children_locked(&rt->walk, scope, false);
    scope->visited = true;
    bool rest = yoke__seats_cancel_locked(scope, roused);
    yoke__lock_release(&scope->lock);
    if (rest)
        push_work(&rt->walk, scope, true);
    else
        yoke__scope_unpin(scope);
}

/* Until it has cost enough, or all is done: then true. */
static bool go_on(struct yoke_runtime *rt, struct yoke__roused *roused)
{
    struct yoke__walk *walk = &rt->walk;
    struct yoke__scope *scope;
    for (;;) {
        take_queues(rt);
        while ((scope = walk->descent) != NULL) {
            unlink_work(scope);
            descend(rt, scope);
        }
        if ((scope = walk->work) == NULL)
            return true;
        if (roused->cost >= YOKE__STRETCH)
            return false;
        unlink_work(scope);
        visit(rt, scope, roused);
    }
}

/* ---- walking ------------------------------------------------------------------------------------------------------------ */

bool yoke__walk_claim(struct yoke_runtime *rt)
{
    uint32_t parked = YOKE__WALK_PARKED;
    return yoke__walk_waits(rt) && yoke__cas_seq(&rt->walk.state, &parked, YOKE__WALK_RESUMED); /* pairs with left_to_workers() */
}

/* The rest is left to workers. False: it is the caller's again, for somebody waits for it. `leavers`: 1 if the caller is one of them. */
static bool left_to_workers(struct yoke_runtime *rt, uint32_t leavers)
{
    yoke__store_seq(&rt->walk.state, (uint32_t)YOKE__WALK_PARKED); /* store-load against serve_walks() and wait_for_pins() */
    bool awaited = yoke__load_seq(&rt->walk.leavers) > leavers || yoke__load_seq(&rt->walks) != NULL || yoke__load_seq(&rt->stops) != NULL;
    if (awaited && yoke__walk_claim(rt))
        return false;
    yoke__fence_seq(); /* store-load against yoke__park() */
    if (yoke__unlikely(rt->migrate))
        yoke__wake_all(rt);
    else
        yoke__wake_one(rt);
    return true;
}

/* All is done. True: somebody has called meanwhile, and the caller serves that too. */
static bool others_have_called(struct yoke_runtime *rt)
{
    struct yoke__walk *walk = &rt->walk;
    uint32_t served = walk->calls;
    yoke__store_relaxed(&walk->state, (uint32_t)YOKE__WALK_SHORT); /* it is this walker's until it leaves, which releases */
    uint32_t calls = yoke__sub_acq_rel(&rt->walks_pending, served) - served; /* acquire: what they have queued */
    if (calls == 0)
        return false;
    walk->calls = calls;
    return true;
}

/* The caller is the walker. `leavers`: as above. */
static void walk_stretch(struct yoke_runtime *rt, uint32_t leavers)
{
    bool walking = true;
    while (walking) {
        struct yoke__roused roused = { NULL, 0 };
        bool over = go_on(rt, &roused);
        yoke__roused_ready(rt, &roused);
        walking = over ? others_have_called(rt) : !left_to_workers(rt, leavers);
    }
}

void yoke__walk_stretch(struct yoke_runtime *rt)
{
    walk_stretch(rt, 0);
}

/* A cancel or a stop was queued by us: the walker of the moment does it next; if there is none, we. */
static void serve_walks(struct yoke_runtime *rt)
{
    if (yoke__add_acq_rel(&rt->walks_pending, 1) == 0) {
        rt->walk.calls = 1;
        walk_stretch(rt, 0);
    } else if (yoke__load_seq(&rt->walk.state) == YOKE__WALK_PARKED && yoke__walk_claim(rt)) { /* store-load against left_to_workers() */
        walk_stretch(rt, 0);
    }
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
    while (!yoke__cas_seq(&rt->walks, &head, first)); /* pairs with take_queues(); store-load against left_to_workers() */
    serve_walks(rt);
}

void yoke__scope_carry_out_stop(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    struct yoke__scope *head = yoke__load_relaxed(&rt->stops);
    do
        scope->stop.next = head;
    while (!yoke__cas_seq(&rt->stops, &head, scope)); /* as above */
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
