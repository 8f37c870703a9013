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
 * while they are in the caches of who has woken them. Workers take turns: whoever has no woken fiber goes on with a parked walk before it looks into
 * its deque, and so does a worker that has run about as many as a stretch wakes (find.c). To go on is to claim it: `state` PARKED -> RESUMED by compare-exchange (acquire; parking releases). Parked, it is something to do like
 * any push: a store and a barrier before a look for sleepers, and a parker looks at it behind its own barrier (park.c).
 *
 * Workers may not come for long. So a walk is not left to them while anybody waits for it, who says so and then looks whether it is parked; who parks
 * it looks afterwards whether anybody has said so (all seq_cst). One of the two sees the other, and claims it, unless somebody else was faster, who
 * will come to the same question. Who waits is
 *   - who has queued something, so that it is not behind all that an older cancel has yet to visit: it is put in front of that, but each stretch
 *     begins with some of what it has overtaken;
 *   - who leaves a scope, which he may only when it is not pinned any more (`leavers`): he waits on his worker, and perhaps all workers do.
 *
 * One walker does not walk for ever for others, least of all the service thread, who has timers to fire. After so many stretches he parks the walk
 * whoever waits. Who leaves is told by a bell, and goes on with it himself: he reads the bell, then looks at his pins and the walk, and sleeps only if it
 * has not rung since. A cancel that is queued by then has been marked, and is seen by whoever asks; to run those it wakes takes a worker, who comes
 * by the walk. But what a stop marks is marked by the walk alone, so for a stop he goes on.
 *
 * Progress: a walker waits for locks of scopes only. Without a bound are a stop's descent, which is one go, and how long one walks while others keep
 * stopping what was never stopped before.
 */
#include "walk.h"

#include <limits.h>

#include "park.h"
#include "run.h"
#include "scope.h"
#include "seat.h"

#define PIN_SLEEPER 0x80000000u

enum { STRETCHES = 8 }; /* that a worker walks at most at once */

/* ---- pins --------------------------------------------------------------------------------------------------------------- */

static void ring(struct yoke_runtime *rt)
{
    yoke__add_seq(&rt->walk.bell, 1);
    yoke__os_futex_wake(&rt->walk.bell, INT_MAX);
}

void yoke__scope_unpin(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    /* release: what the walker did to the scope happens before its reuse; pairs with yoke__walk_let_pass() */
    if (yoke__sub_acq_rel(&scope->pins, 1) == PIN_SLEEPER + 1)
        ring(rt);
}

/* ---- what is to be visited ------------------------------------------------------------------------------------------------ */

static struct yoke__worklist *list_of(struct yoke__walk *walk, const struct yoke__scope *scope)
{
    return scope->work_cancelled ? &walk->work : &walk->descent;
}

static void unlink_work(struct yoke__walk *walk, struct yoke__scope *scope)
{
    *scope->work_back = scope->work_next;
    if (scope->work_next != NULL)
        scope->work_next->work_back = scope->work_back;
    else
        list_of(walk, scope)->end = scope->work_back;
    scope->work_back = NULL;
}

/* In front, or behind all others. */
static void link_work(struct yoke__worklist *list, struct yoke__scope *scope, bool behind)
{
    struct yoke__scope **place = behind && list->first != NULL ? list->end : &list->first;
    scope->work_next = *place;
    scope->work_back = place;
    if (scope->work_next != NULL)
        scope->work_next->work_back = &scope->work_next;
    else
        list->end = &scope->work_next;
    *place = scope;
}

/* With a pin of its own. Who is there already has one, and may be there for both: then it is among the cancelled. */
static void push_work(struct yoke_runtime *rt, struct yoke__scope *scope, bool cancelled, bool behind)
{
    if (scope->work_back != NULL) {
        unlink_work(&rt->walk, scope);
        yoke__scope_unpin(rt, scope);
    } else {
        scope->work_cancelled = scope->work_stopping = false;
    }
    if (cancelled)
        scope->work_cancelled = true;
    else
        scope->work_stopping = true;
    link_work(list_of(&rt->walk, scope), scope, behind);
}

/* The last one of a list that is not empty. */
static struct yoke__scope *last_work(const struct yoke__worklist *list)
{
    return yoke__container(list->end, struct yoke__scope, work_next);
}

/* What calls have queued; the first of them comes first. */
static void take_queues(struct yoke_runtime *rt)
{
    struct yoke__scope *scope, *next;
    struct yoke__scope *walks = yoke__load_relaxed(&rt->walks), *stops = yoke__load_relaxed(&rt->stops); /* looked at for good when it is parked, or over */
    if (walks != NULL || stops != NULL)
        rt->walk.overtaken = rt->walk.work.first != NULL;
    if (walks != NULL)
        for (scope = yoke__xchg_acq_rel(&rt->walks, (struct yoke__scope *)NULL); scope != NULL; scope = next) { /* pairs with yoke__scope_carry_out() */
            next = scope->walk_next;
            push_work(rt, scope, true, false);
        }
    if (stops != NULL)
        for (scope = yoke__xchg_acq_rel(&rt->stops, (struct yoke__scope *)NULL); scope != NULL; scope = next) { /* yoke__scope_carry_out_stop() */
            next = scope->stop.next;
            push_work(rt, scope, false, false);
        }
}

/* ---- a stretch ---------------------------------------------------------------------------------------------------------- */

/* True: it is cancelled now. */
static bool cut_on_stop_locked(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    if (!yoke__scope_mark_locked(scope, YOKE__CANCEL_STOP, 0, scope->site, 0))
        return false;
    yoke__scope_unpin(rt, scope); /* the walk has a pin of its own */
    yoke__scope_make_known(rt, scope); /* before anybody in there is woken */
    return true;
}

/* `behind`: unless it is among the cancelled already, having come by itself, and is in front of others there. */
static void push_child_locked(struct yoke_runtime *rt, struct yoke__scope *child, bool cancelled, bool behind)
{
    bool due = child->work_back != NULL && child->work_cancelled;
    if (!child->shield && !(behind && due)) {
        yoke__scope_pin(child);
        push_work(rt, child, cancelled, behind);
    }
}

static void descend_to_children_locked(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    for (struct yoke__scope *child = scope->children; child != NULL; child = child->sibling)
        push_child_locked(rt, child, false, false);
}

/* A stop has come to it. What is cancelled already is marked all the same: it closes as what was stopped. */
static void descend(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    yoke__lock_acquire(&scope->lock);
    bool cut = scope->cancel_on_stop && cut_on_stop_locked(rt, scope);
    if (!cut)
        descend_to_children_locked(rt, scope);
    yoke__lock_release(&scope->lock);
    if (cut)
        push_work(rt, scope, true, false);
    else
        yoke__scope_unpin(rt, scope);
}

/*
 * It is cancelled, or what it is in; and a stop may have come to it too. First its seats, then some of its children, which come before what is left of
 * it. `behind`: so do all others.
 */
static void visit(struct yoke_runtime *rt, struct yoke__scope *scope, struct yoke__roused *roused, bool behind)
{
    yoke__lock_acquire(&scope->lock);
    roused->cost++;
    if (scope->work_stopping && scope->cancel_on_stop)
        (void)cut_on_stop_locked(rt, scope);
    if (scope->work_stopping)
        descend_to_children_locked(rt, scope);
    if (!scope->visited) {
        scope->visited = true;
        scope->child_due = scope->children;
        yoke__seats_cancel_begin_locked(scope, roused);
    }
    bool rest = yoke__seats_cancel_locked(scope, roused);
    push_work(rt, scope, true, behind);
    while (!rest && scope->child_due != NULL) {
        struct yoke__scope *child = scope->child_due;
        scope->child_due = child->sibling;
        push_child_locked(rt, child, true, behind);
        rest = ++roused->cost >= roused->most;
    }
    rest = rest || scope->child_due != NULL;
    if (!rest)
        unlink_work(&rt->walk, scope);
    yoke__lock_release(&scope->lock);
    if (!rest)
        yoke__scope_unpin(rt, scope);
}

/* What was called first is not for ever behind what was called later: half of each stretch is for that. */
static void visit_the_oldest(struct yoke_runtime *rt, struct yoke__roused *roused)
{
    struct yoke__walk *walk = &rt->walk;
    if (!walk->overtaken)
        return;
    roused->most = YOKE__STRETCH / 2;
    while (walk->work.first != NULL && roused->cost < roused->most) {
        struct yoke__scope *scope = last_work(&walk->work);
        unlink_work(walk, scope);
        visit(rt, scope, roused, true);
    }
    roused->most = roused->cost > roused->most ? roused->cost + YOKE__STRETCH / 2 : YOKE__STRETCH;
}

/* Until it has cost enough, or all is done: then true. */
static bool go_on(struct yoke_runtime *rt, struct yoke__roused *roused)
{
    struct yoke__walk *walk = &rt->walk;
    struct yoke__scope *scope;
    visit_the_oldest(rt, roused);
    for (;;) {
        take_queues(rt);
        while ((scope = walk->descent.first) != NULL) {
            unlink_work(walk, scope);
            descend(rt, scope);
        }
        if ((scope = walk->work.first) == NULL) {
            walk->overtaken = false;
            return true;
        }
        if (roused->cost >= roused->most)
            return false;
        unlink_work(walk, scope);
        visit(rt, scope, roused, false);
    }
}

/* ---- walking ------------------------------------------------------------------------------------------------------------ */

bool yoke__walk_claim(struct yoke_runtime *rt)
{
    uint32_t parked = YOKE__WALK_PARKED;
    return yoke__walk_waits(rt) && yoke__cas_seq(&rt->walk.state, &parked, YOKE__WALK_RESUMED); /* pairs with left_to_workers() */
}

/*
 * The rest is left to workers. False: it is the caller's again, for somebody waits for it. `leavers`: 1 if the caller is one of them. `spent`: he has
 * walked enough, and others that wait do so themselves.
 */
static bool left_to_workers(struct yoke_runtime *rt, uint32_t leavers, bool spent)
{
    yoke__store_seq(&rt->walk.state, (uint32_t)YOKE__WALK_PARKED); /* store-load against serve_walks() and wait_for_pins() */
    bool leaves = yoke__load_seq(&rt->walk.leavers) > leavers;
    bool awaited = yoke__load_seq(&rt->stops) != NULL || (!spent && (leaves || yoke__load_seq(&rt->walks) != NULL));
    if (awaited && yoke__walk_claim(rt))
        return false;
    if (leaves && spent)
        ring(rt);
    yoke__fence_seq(); /* store-load against yoke__park() */
    yoke__wake_for_any(rt);
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

/*
 * The caller is the walker. `leavers`: as above. Others may have him walk for so many stretches; the service thread, and other threads that are no
 * workers, for one.
 */
static void walk_stretch(struct yoke_runtime *rt, uint32_t leavers)
{
    unsigned left = yoke__self() != NULL ? STRETCHES : 1;
    for (;;) {
        struct yoke__roused roused = { NULL, 0, YOKE__STRETCH };
        bool over = go_on(rt, &roused);
        yoke__roused_ready(rt, &roused);
        if (over && !others_have_called(rt))
            return;
        bool spent = --left == 0;
        if ((spent || !over) && left_to_workers(rt, leavers, spent))
            return;
        left += spent;
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
    yoke__add_seq(&rt->epoch, 1); /* after the marks, before the walk; pairs with yoke__scope_cancelled() */
    for (;; last = last->walk_next) {
        yoke__store_release(&last->known, (uint8_t)1); /* pairs with yoke__scope_make_known() */
        if (last->walk_next == NULL)
            break;
    }
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

/* The caller is the walker, and leaves the scope: nothing is in there any more, and who has it pinned is to let go of it first of all. */
static void let_go_first(struct yoke__walk *walk, struct yoke__scope *scope)
{
    if (scope->work_back == NULL)
        return;
    unlink_work(walk, scope);
    link_work(list_of(walk, scope), scope, false);
}

static __attribute__((noinline)) void wait_for_pins(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    struct yoke__worker *w = yoke__self();
    if (w != NULL)
        yoke__worker_flush(w); /* somebody may wait for just these */
    yoke__add_seq(&rt->walk.leavers, 1); /* store-load against left_to_workers() */
    for (;;) {
        uint32_t bell = yoke__load_seq(&rt->walk.bell); /* what is told after this ends the sleep */
        uint32_t pins = yoke__load_acquire(&scope->pins); /* pairs with yoke__scope_unpin() */
        if ((pins & ~PIN_SLEEPER) == 0)
            break;
        if (yoke__load_seq(&rt->walk.state) == YOKE__WALK_PARKED && yoke__walk_claim(rt)) {
            let_go_first(&rt->walk, scope);
            walk_stretch(rt, 1);
        } else if ((pins & PIN_SLEEPER) != 0 || yoke__cas_acq_rel(&scope->pins, &pins, pins | PIN_SLEEPER)) {
            yoke__os_futex_wait(&rt->walk.bell, bell, UINT64_MAX);
        }
    }
    yoke__sub_seq(&rt->walk.leavers, 1);
}

void yoke__walk_let_pass(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    if (yoke__unlikely((yoke__load_acquire(&scope->pins) & ~PIN_SLEEPER) != 0)) /* pairs with yoke__scope_unpin() */
        wait_for_pins(rt, scope);
}
