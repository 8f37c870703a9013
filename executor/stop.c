/*
 * stop.c - graceful stop: a scope is asked to end, and cancelled if it has not ended after its grace.
 *
 *     going ── stop ──> stopping ── grace over ──> cancelled (reason 0) ── hard_after over ──> abort
 *       └───────────────────┴────── cancel ─────────────^
 *
 * What stops. `stopping` of one scope is set; everything inside asks for it upwards, to the first shield, so that a scope opened later
 * is stopping too, and nothing needs to be told but the scopes marked cancel_on_stop. A shield hides a stop as it hides a cancel: what
 * runs behind it is either cleanup, which has to go on just because there is a stop, or has an end of its own.
 *
 * Stop against a cancel_on_stop scope that is being opened. The opener links it to its ancestors (which others do when they block) and
 * then asks upwards; the stopper sets `stopping` and then visits the lists of children, each under its scope's lock. If the
 * visit came to the list first, that lock makes the opener see the mark; else the visit finds the scope. Both may cancel it: one mark counts.
 * From then on it is a cancel like any other (walk.c): marked, then the epoch raised, then the sleepers woken.
 *
 * Stop against close. The stopper compares the generation, sets `stopping` and pins the scope under its lock; it arms the
 * timers and only then hands the pin on to the walk. The closer changes the generation and lets whoever has the lock pass, so that `stopping`
 * stands; waits for the pins, so that who saw the old generation has armed; disarms, so that no callback runs or will; and waits for the pins of those that
 * did. In any other order a timer would be armed, or its scope walked, after the block was given back.
 *
 * Stop against cancel, timer against cancel. Who is first under the scope's lock wins: a cancelled scope is not stopped any more
 * (it ends already); a grace that runs out marks like any canceller, and finds the mark of who came earlier.
 *
 * Stop against stop: the first one's grace counts. Scopes inside one another have each its own.
 *
 * Progress: asking walks the ancestors; stopping takes the scope's lock and a timer shard's, a few instructions each, never both.
 */
#include "stop.h"

#include <stdlib.h>

#include "report.h"
#include "runtime.h"
#include "scope.h"
#include "walk.h"
#include "worker.h"

/* ---- asking ----------------------------------------------------------------------------------------------------------- */

bool yoke__stop_asked(const struct yoke__scope *scope)
{
    for (const struct yoke__scope *s = scope; s != NULL; s = s->shield ? NULL : s->parent)
        if (yoke__load_acquire(&s->stopping) != 0) /* pairs with yoke__stop_handle() */
            return true;
    return false;
}

bool yoke_stopping(void)
{
    struct yoke__worker *w = yoke__self();
    /* who knows of a stop has synchronised with its asker, and so sees that there was one */
    return w != NULL && yoke__load_relaxed(&w->rt->ever_stopped) != 0 && yoke__stop_asked(yoke__strand_scope(yoke__current(w)));
}

/* ---- stopping --------------------------------------------------------------------------------------------------------- */

/* Under the timer shard's lock, as deadline_due() in scope.c. */
static void grace_over(struct yoke__timer *timer, void *batch)
{
    struct yoke__scope *scope = yoke__container(timer, struct yoke__scope, stop.grace_timer);
    struct yoke__timer_batch *due = batch;
    yoke__lock_acquire(&scope->lock);
    if (yoke__scope_mark_locked(scope, YOKE__CANCEL_GRACE, 0, scope->stop.site, 0)) {
        scope->walk_next = due->lists[YOKE__DUE_CANCELS];
        due->lists[YOKE__DUE_CANCELS] = scope;
    }
    yoke__lock_release(&scope->lock);
}

/* The same; one of those that are overdue will do. */
static void hard_over(struct yoke__timer *timer, void *batch)
{
    struct yoke__scope *scope = yoke__container(timer, struct yoke__scope, stop.hard_timer);
    struct yoke__timer_batch *due = batch;
    yoke__scope_pin(scope); /* for good: nothing comes after */
    due->lists[YOKE__DUE_OVERDUE] = scope;
}

static int64_t hard_after(const struct yoke_runtime *rt, const struct yoke__scope *scope)
{
    return scope->stop.hard_after != 0 ? scope->stop.hard_after : rt->config.hard_after;
}

static void arm(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    int shard = yoke__own_shard(rt);
    int64_t over = yoke_after(scope->stop.grace != 0 ? scope->stop.grace : rt->config.stop_grace), hard = hard_after(rt, scope);
    if (over == YOKE_NEVER)
        return;
    yoke__timer_arm(&rt->timers, shard, &scope->stop.grace_timer, over, grace_over);
    if (hard > 0 && hard < YOKE_NEVER - over)
        yoke__timer_arm(&rt->timers, shard, &scope->stop.hard_timer, over + hard, hard_over);
}

int yoke__stop_handle(struct yoke_runtime *rt, struct yoke__scope *scope, uint64_t generation, const yoke_site *site)
{
    yoke__lock_acquire(&scope->lock);
    bool alive = yoke__load_seq(&scope->generation) == generation; /* store-load against yoke__scope_retire() */
    bool first = alive && scope->cancel == YOKE__CANCEL_NONE && !scope->stopping;
    if (first) {
        yoke__store_relaxed(&rt->ever_stopped, 1); /* ordered by what tells of the stop */
        scope->stop.site = site;
        yoke__store_relaxed(&scope->stop.cut, (uint64_t)0);
        yoke__store_release(&scope->stopping, (uint8_t)1); /* pairs with yoke__stop_asked() */
        yoke__scope_pin(scope);
    } else if (alive && scope->cancel != YOKE__CANCEL_NONE) {
        yoke__scope_make_known(rt, scope); /* that is why there is nothing to do */
    }
    yoke__lock_release(&scope->lock);
    if (first) {
        arm(rt, scope);
        yoke__scope_carry_out_stop(rt, scope); /* takes the pin */
    }
    return alive ? 0 : -EINVAL;
}

void yoke__stop_disarm(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    int shard = yoke__own_shard(rt);
    yoke__timer_disarm(&rt->timers, shard, &scope->stop.grace_timer);
    yoke__timer_disarm(&rt->timers, shard, &scope->stop.hard_timer);
}

void yoke__stop_mark(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    scope->cancel_on_stop = 1;
    yoke__scope_link(scope); /* first: see above */
    if (yoke__stop_asked(scope))
        yoke__scope_cancel(rt, scope, YOKE__CANCEL_STOP, 0, scope->site);
}

/* ---- telling ---------------------------------------------------------------------------------------------------------- */

void yoke__stop_count_cut(struct yoke__scope *scope)
{
    for (struct yoke__scope *s = scope; s != NULL; s = s->shield ? NULL : s->parent)
        if (yoke__load_acquire(&s->cancel) == YOKE__CANCEL_GRACE) /* pairs with yoke__scope_mark_locked() */
            yoke__add_relaxed(&s->stop.cut, (uint64_t)1); /* ordered by the counting of the ends of tasks */
}

uint64_t yoke__stop_tell_cut(struct yoke_runtime *rt, const struct yoke__scope *scope, int rc)
{
    uint64_t cut = yoke__load_relaxed(&scope->stop.cut) + (rc == -ECANCELED);
    if (cut > 0)
        yoke__report(rt, "'%s'%s: the grace of its stop%s ran out; tasks cut: %llu", scope->name != NULL ? scope->name : "scope",
                     yoke__site_text(scope->site).text, yoke__site_text(scope->stop.site).text, (unsigned long long)cut);
    return cut;
}

void yoke__stop_overdue(struct yoke_runtime *rt, const struct yoke__scope *scope)
{
    yoke__report(rt, "'%s'%s: its tasks have not ended %lld ms after the grace of its stop ran out (hard_after): aborting",
                 scope->name != NULL ? scope->name : "scope", yoke__site_text(scope->site).text, (long long)(hard_after(rt, scope) / 1000000));
    (void)yoke__dump(rt, 2, true);
    abort();
}

/* ---- public ----------------------------------------------------------------------------------------------------------- */

/* `block` is a scope, or a group, in which it comes first. */
static int stop_block(void *block, uint64_t generation, const yoke_site *site)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    int err = yoke__handle_error(block, generation, w->rt);
    return err < 0 ? err : yoke__stop_handle(w->rt, block, generation, site);
}

int yoke_scope_stop_at(yoke_scope scope, const yoke_site *site)
{
    return stop_block(scope.block, scope.generation, site);
}

int yoke_group_stop_at(yoke_group group, const yoke_site *site)
{
    return stop_block(group.block, group.generation, site);
}
