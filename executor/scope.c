/*
 * scope.c - cancellation scopes.
 *
 * Asking. Whether a scope is cancelled in effect is a walk up its ancestors to the first shield. Scopes remember the runtime's
 * cancel epoch at which the answer was last "no"; while the epoch stands, that is still the answer: two loads. A cancel first marks
 * the scope, then increments the epoch (release), then wakes. A reader that sees the new epoch (acquire) sees the mark. One that
 * reads the old epoch, walks, and stores the old epoch as its memo will walk again when it sees the new one.
 *
 * Between mark and increment some would answer "yes" and others still "no". Nobody may go from the one to the other: who was told so, or has himself
 * called for the cancel that somebody else was about. So whoever finds a mark that is not yet `known` increments the epoch himself before he goes
 * on, be it that he asks, calls for a cancel or a stop, or leaves a scope; `known` is set, by any of them, behind an increment that came after the
 * mark. (tests/model/known.c; leaving and stopping: tests/white/known.c)
 *
 * Waking. A strand that blocks sits down in its scope (seat.h), after the scope was linked to its ancestors (lazily: what never blocks is
 * never registered), and checks for a cancel after that. A canceller marks, and then visits the seats: either it sees the wait, or the
 * check sees the mark. Links go through each scope's lock. Ancestors are linked from the top
 * down, so that "linked" (acquire) means reachable from the root. O(tasks affected): a visit descends to unshielded children only.
 *
 * Lifetime. A canceller pins a scope while it looks at it: under the scope's own lock after comparing the generation (a handle),
 * under the parent's lock (a descent: a linked child must take that lock to leave), or under the timer shard's lock. Leaving a scope
 * disarms the timer, changes the generation and unlinks, after which no new pin can come, and then waits for the pins to go. The
 * generation is changed without the lock: by an exchange, then a look whether the lock is held, while a canceller takes the lock and then
 * looks at the generation (all seq_cst). So either it sees the new one, or the leaver sees the lock held, waits for it, and finds the
 * pin; if the leaver sees it free after a release, it sees the pin that came before that. (tests/model/stop.c)
 *
 * Progress: marking and asking are wait-free but for the scope's lock (a few instructions); retiring waits for canceller pins.
 */
#include "scope.h"

#include <stdio.h>
#include <string.h>

#include "group.h"
#include "process.h"
#include "report.h"
#include "seat.h"
#include "stop.h"
#include "unjoined.h"
#include "wait.h"
#include "walk.h"
#include "worker.h"

/* ---- asking ----------------------------------------------------------------------------------------------------------- */

bool yoke__scope_cancelled_slow(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    uint64_t epoch = yoke__load_acquire(&rt->epoch); /* pairs with yoke__scope_carry_out() */
    for (struct yoke__scope *s = scope; s != NULL; s = s->shield ? NULL : s->parent)
        if (yoke__load_acquire(&s->cancel) != YOKE__CANCEL_NONE) { /* pairs with yoke__scope_mark_locked() */
            yoke__scope_make_known(rt, s);
            return true;
        }
    yoke__store_relaxed(&scope->head.memo, epoch); /* only a hint that is compared with the epoch */
    return false;
}

void yoke__scope_make_known_slow(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    yoke__add_seq(&rt->epoch, 1); /* after the mark; pairs with yoke__scope_cancelled() */
    yoke__store_release(&scope->known, (uint8_t)1); /* pairs with yoke__scope_make_known() */
}

struct yoke__scope *yoke__scope_outermost_cancelled(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    struct yoke__scope *found = NULL;
    for (struct yoke__scope *s = scope; s != NULL; s = s->shield ? NULL : s->parent)
        if (yoke__load_acquire(&s->cancel) != YOKE__CANCEL_NONE) /* pairs with yoke__scope_mark_locked() */
            found = s;
    if (found != NULL)
        yoke__scope_make_known(rt, found); /* the caller acts on it */
    return found;
}

int(yoke_checkpoint)(void)
{
    return yoke__fast_checkpoint();
}

int yoke__fast_checkpoint_slow(void)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    return yoke__scope_cancelled(w->rt, yoke__strand_scope(yoke__current(w))) ? -ECANCELED : 0;
}

bool yoke_cancelled(void)
{
    return yoke__fast_checkpoint() == -ECANCELED;
}

int64_t yoke_deadline(void)
{
    struct yoke__worker *w = yoke__self();
    int64_t nearest = YOKE_NEVER;
    if (w == NULL)
        return nearest;
    for (struct yoke__scope *s = yoke__strand_scope(yoke__current(w)); s != NULL; s = s->shield ? NULL : s->parent) {
        int64_t deadline = yoke__load_relaxed(&s->deadline); /* a value of its own; orders nothing */
        if (deadline < nearest)
            nearest = deadline;
    }
    return nearest;
}

/* ---- marking ---------------------------------------------------------------------------------------------------------- */

bool yoke__scope_mark_locked(struct yoke__scope *scope, enum yoke__cancel kind, int reason, const yoke_site *site, uint64_t task)
{
    if (scope->cancel != YOKE__CANCEL_NONE)
        return false;
    scope->reason = reason;
    scope->cancel_site = site;
    scope->cancel_task = task;
    scope->walk_next = NULL;
    yoke__store_release(&scope->cancel, (uint32_t)kind); /* pairs with yoke__scope_cancelled_slow(), yoke__scope_outermost_cancelled() */
    yoke__scope_pin(scope);
    return true;
}

/* `cancel` first: what goes with it was written before, and does not change while the scope lives. */
const char *yoke__scope_origin(const struct yoke__scope *scope, char *text, size_t size)
{
    static const char *const kinds[] = { "", "cancelled", "past its deadline", "cancelled by a failure", "left open", "shut down", "stopped",
                                         "stopped, past its grace", "cancelled by its policy", "a service told to end", "deadlocked" };
    uint32_t cancel = yoke__load_acquire(&scope->cancel); /* pairs with yoke__scope_mark_locked() */
    char task[32] = "";
    text[0] = '\0';
    if (cancel == YOKE__CANCEL_NONE)
        return text;
    if (scope->cancel_task != 0)
        snprintf(task, sizeof task, " by task #%llu", (unsigned long long)scope->cancel_task);
    const yoke_site *site = scope->cancel_site != scope->site ? scope->cancel_site : NULL;
    snprintf(text, size, ", %s%s%s%s%s", kinds[cancel], task, yoke__site_text(site).text, scope->reason < 0 ? ", " : "",
             scope->reason < 0 ? yoke__code_text(scope->reason).text : "");
    return text;
}

void yoke__scope_bare_shield(struct yoke_runtime *rt, const struct yoke__scope *scope)
{
    yoke__report(rt, "shield without a deadline of its own opened%s", yoke__site_text(scope->site).text);
}

static uint64_t self_id(void)
{
    struct yoke__worker *w = yoke__self();
    return w != NULL && w->head.strand != NULL ? yoke_task_id() : 0;
}

struct yoke__scope *yoke__scope_mark(struct yoke_runtime *rt, struct yoke__scope *scope, enum yoke__cancel kind, int reason, const yoke_site *site)
{
    uint64_t task = self_id();
    yoke__lock_acquire(&scope->lock);
    bool first = yoke__scope_mark_locked(scope, kind, reason, site, task);
    if (!first)
        yoke__scope_make_known(rt, scope);
    yoke__lock_release(&scope->lock);
    return first ? scope : NULL;
}

bool yoke__scope_cancel(struct yoke_runtime *rt, struct yoke__scope *scope, enum yoke__cancel kind, int reason, const yoke_site *site)
{
    struct yoke__scope *marked = yoke__scope_mark(rt, scope, kind, reason, site);
    yoke__scope_carry_out(rt, marked);
    return marked != NULL;
}

int yoke__scope_cancel_handle(struct yoke_runtime *rt, struct yoke__scope *scope, uint64_t generation, enum yoke__cancel kind, int reason,
                              const yoke_site *site)
{
    uint64_t task = self_id();
    bool first = false;
    yoke__lock_acquire(&scope->lock);
    bool alive = yoke__load_seq(&scope->generation) == generation; /* store-load against yoke__scope_retire() */
    if (alive)
        first = yoke__scope_mark_locked(scope, kind, reason, site, task);
    if (alive && !first)
        yoke__scope_make_known(rt, scope);
    yoke__lock_release(&scope->lock);
    if (first)
        yoke__scope_carry_out(rt, scope);
    return alive ? 0 : -EINVAL;
}

/* Under the timer shard's lock. The scope is pinned, so that it outlives the batch. */
static void deadline_due(struct yoke__timer *timer, void *batch)
{
    struct yoke__scope *scope = yoke__container(timer, struct yoke__scope, timer);
    struct yoke__timer_batch *due = batch;
    yoke__lock_acquire(&scope->lock);
    if (yoke__scope_mark_locked(scope, YOKE__CANCEL_DEADLINE, -ETIMEDOUT, scope->site, 0)) {
        scope->walk_next = due->lists[YOKE__DUE_CANCELS];
        due->lists[YOKE__DUE_CANCELS] = scope;
    }
    yoke__lock_release(&scope->lock);
}

void yoke__scope_deadline(struct yoke_runtime *rt, struct yoke__scope *scope, int64_t deadline)
{
    int shard = yoke__own_shard(rt);
    yoke__timer_disarm(&rt->timers, shard, &scope->timer);
    yoke__store_relaxed(&scope->deadline, deadline);
    if (deadline != YOKE_NEVER)
        yoke__timer_arm(&rt->timers, shard, &scope->timer, deadline, deadline_due);
}

/* ---- registering ------------------------------------------------------------------------------------------------------ */

static void link_to_parent(struct yoke__scope *scope)
{
    struct yoke__scope *parent = scope->parent;
    yoke__lock_acquire(&parent->lock);
    if (!scope->linked) {
        scope->sibling = parent->children;
        scope->back = &parent->children;
        if (scope->sibling != NULL)
            scope->sibling->back = &scope->sibling;
        parent->children = scope;
        yoke__store_release(&scope->linked, 1); /* pairs with yoke__scope_link() */
    }
    yoke__lock_release(&parent->lock);
}

/* From the top down, in stretches of the uppermost CHUNK unlinked ones, so that deep nesting costs neither stack nor square time. */
void yoke__scope_link(struct yoke__scope *scope)
{
    enum { CHUNK = 64 };
    /* acquire: linked means that all ancestors are too; pairs with link_to_parent() */
    while (!yoke__load_acquire(&scope->linked)) {
        struct yoke__scope *upper[CHUNK];
        unsigned n = 0;
        for (struct yoke__scope *s = scope; !yoke__load_acquire(&s->linked); s = s->parent)
            upper[n++ % CHUNK] = s;
        for (unsigned i = 0; i < CHUNK && n > 0; i++)
            link_to_parent(upper[--n % CHUNK]);
    }
}

static void unlink_from_parent(struct yoke__scope *scope)
{
    struct yoke__scope *parent = scope->parent;
    yoke__lock_acquire(&parent->lock);
    *scope->back = scope->sibling;
    if (scope->sibling != NULL)
        scope->sibling->back = scope->back;
    if (parent->child_due == scope)
        parent->child_due = scope->sibling;
    yoke__store_relaxed(&scope->linked, 0); /* the owner alone is left inside */
    yoke__lock_release(&parent->lock);
}

/* ---- entering and leaving --------------------------------------------------------------------------------------------- */

void yoke__scope_prepare(struct yoke_runtime *rt, struct yoke__scope *scope, struct yoke__scope *parent, enum yoke__scope_kind kind)
{
    (void)rt;
    scope->head.memo = parent != NULL ? yoke__load_relaxed(&parent->head.memo) : 0;
    scope->parent = parent;
    scope->head.owner = NULL;
    scope->kind = (uint8_t)kind;
    scope->shield = 0;
    scope->cancel_on_stop = 0;
    scope->large = parent != NULL ? parent->large : 0;
    scope->stopping = 0;
    scope->stop.grace = scope->stop.hard_after = 0;
    scope->visited = scope->known = false;
    scope->child_due = NULL;
    scope->linked = parent == NULL; /* a root is reachable by itself */
    scope->cancel = YOKE__CANCEL_NONE;
    scope->deadline = YOKE_NEVER;
    scope->name = NULL;
    scope->site = NULL;
    scope->binding = parent != NULL ? parent->binding : NULL;
    scope->key = NULL;
}

void yoke__scope_enter(struct yoke__worker *w, struct yoke__strand *strand, struct yoke__scope *scope, enum yoke__scope_kind kind)
{
    yoke__scope_prepare(w->rt, scope, yoke__strand_scope(strand), kind);
    if (scope->generation == 0)
        scope->generation = w->rt->run_id << 40 | 1;
    scope->head.owner = &strand->head;
    yoke__strand_set_scope(w, strand, &scope->head);
}

void yoke__scope_retire(struct yoke_runtime *rt, struct yoke__scope *scope)
{
    if (scope->deadline != YOKE_NEVER)
        yoke__timer_disarm(&rt->timers, yoke__own_shard(rt), &scope->timer); /* afterwards its callback is not running */
    (void)yoke__xchg_seq(&scope->generation, scope->generation + 1); /* store-load against yoke__scope_cancel_handle(), yoke__stop_handle() */
    yoke__lock_let_pass(&scope->lock);
    if (scope->linked && scope->parent != NULL)
        unlink_from_parent(scope);
    yoke__walk_let_pass(rt, scope);
    if (yoke__unlikely(scope->stopping)) { /* no longer changed: the generation was */
        yoke__stop_disarm(rt, scope);      /* nobody arms any more: who did held a pin */
        yoke__walk_let_pass(rt, scope);    /* of timers that have fired */
    }
    yoke__store_relaxed(&scope->pins, 0); /* nobody else is left */
    if (!yoke__seats_retire(scope) || scope->children != NULL)
        yoke__panic("scope %s left with somebody blocked inside", scope->name != NULL ? scope->name : "?");
}

/* ---- public ----------------------------------------------------------------------------------------------------------- */

static yoke_scope no_scope(int code)
{
    return (yoke_scope){ .block = NULL, .generation = (uint64_t)-code };
}

int yoke__handle_error(const void *block, uint64_t generation, const struct yoke_runtime *rt)
{
    if (block == NULL)
        return generation == 0 ? -EINVAL : -(int)generation;
    return generation >> 40 == rt->run_id ? 0 : -EINVAL;
}

void *yoke__options_whole(void *whole, size_t size, const void *options, size_t known)
{
    memset(whole, 0, size);
    return memcpy(whole, options, known < size ? known : size);
}

static yoke_scope open_scope(enum yoke__scope_kind kind, int *err)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL) {
        *err = -ENOTRECOVERABLE;
        return no_scope(-ENOTRECOVERABLE);
    }
    struct yoke__scope *scope = yoke__block_get(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_SCOPE);
    if (scope == NULL) {
        *err = -ENOMEM;
        return no_scope(-ENOMEM);
    }
    yoke__scope_enter(w, yoke__current(w), scope, kind);
    *err = 0;
    return (yoke_scope){ .block = scope, .generation = scope->generation };
}

yoke_scope yoke_scope_open(const yoke_scope_options *options)
{
    int err;
    yoke_scope_options whole;
    if (options != NULL && yoke__unlikely(options->size != sizeof whole))
        options = yoke__options_whole(&whole, sizeof whole, options, options->size);
    yoke_scope handle = open_scope(YOKE__SCOPE_PLAIN, &err);
    if (err < 0 || options == NULL)
        return handle;
    struct yoke__scope *scope = handle.block;
    struct yoke_runtime *rt = yoke__self()->rt;
    scope->shield = options->shield;
    scope->name = options->name;
    scope->site = options->site;
    yoke__stop_options(rt, scope, options->cancel_on_stop, options->grace, options->hard_after);
    if (options->deadline != 0)
        yoke__scope_deadline(rt, scope, options->deadline);
    if (yoke__unlikely(scope->shield && options->deadline == 0 && rt->config.debug))
        yoke__scope_bare_shield(rt, scope);
    return handle;
}

yoke_scope yoke_local_bind(const yoke_local *key, void *value)
{
    int err;
    yoke_scope handle = open_scope(YOKE__SCOPE_BINDING, &err);
    if (err < 0)
        return handle;
    struct yoke__scope *scope = handle.block;
    scope->binding = scope;
    scope->key = key;
    scope->value = value;
    return handle;
}

void *yoke_local_get(const yoke_local *key)
{
    struct yoke__worker *w = yoke__self();
    if (w != NULL) {
        struct yoke__scope *s = yoke__strand_scope(yoke__current(w))->binding;
        for (; s != NULL; s = s->parent != NULL ? s->parent->binding : NULL)
            if (s->key == key)
                return s->value;
    }
    return key->fallback;
}

/* Leaves the strand's current scope; rc as yoke_scope_close says. */
static int leave_scope(struct yoke__worker *w, struct yoke__strand *strand, struct yoke__scope *scope, int rc)
{
    int body = rc;
    if (yoke__unlikely((w->head.deque.bottom > w->head.floor) | (strand->begun != NULL)))
        yoke__unjoined_leave(w, strand, scope);
    if (rc == -ECANCELED && yoke__scope_outermost_cancelled(w->rt, scope) == scope)
        rc = scope->reason;
    yoke__strand_set_scope(w, strand, &scope->parent->head);
    yoke__scope_retire(w->rt, scope);
    yoke__stop_tell(w->rt, scope, body);
    yoke__block_put(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_SCOPE, scope);
    return rc;
}

int yoke_scope_close(yoke_scope handle, int rc)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return handle.block == NULL && handle.generation != 0 && rc < 0 ? rc : -ENOTRECOVERABLE;
    int err = yoke__handle_error(handle.block, handle.generation, w->rt);
    if (err < 0)
        return handle.block == NULL && handle.generation != 0 && rc < 0 ? rc : err;
    struct yoke__scope *scope = handle.block;
    struct yoke__strand *strand = yoke__current(w);
    if (yoke__load_relaxed(&scope->generation) != handle.generation)
        return -EINVAL;
    if (yoke__scope_owner(scope) != strand)
        return -EPERM;
    if (yoke__unlikely(yoke__strand_scope(strand) != scope))
        yoke__scope_unwind(strand, scope, "left open inside a scope that is being closed");
    return leave_scope(yoke__self(), strand, scope, rc);
}

void yoke_scope_leave(yoke_scope *handle)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL || handle->block == NULL || handle->generation >> 40 != w->rt->run_id)
        return;
    struct yoke__scope *scope = handle->block;
    if (yoke__load_relaxed(&scope->generation) != handle->generation || yoke__scope_owner(scope) != yoke__current(w))
        return;
    char origin[YOKE__ORIGIN_MAX];
    if (scope->kind != YOKE__SCOPE_BINDING)
        yoke__report(w->rt, "task '%s': scope '%s'%s%s was left without yoke_scope_close", yoke_task_name(),
                     scope->name != NULL ? scope->name : "scope", yoke__site_text(scope->site).text,
                     yoke__scope_origin(scope, origin, sizeof origin));
    int rc = yoke_scope_close(*handle, 0);
    (void)rc;
}

int yoke_scope_cancel_at(yoke_scope handle, int reason, const yoke_site *site)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    int err = yoke__handle_error(handle.block, handle.generation, w->rt);
    if (err < 0 || reason > 0)
        return err < 0 ? err : -EINVAL;
    return yoke__scope_cancel_handle(w->rt, handle.block, handle.generation, YOKE__CANCEL_ASKED, reason, site);
}

int yoke_scope_set_deadline(yoke_scope handle, int64_t deadline)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    int err = yoke__handle_error(handle.block, handle.generation, w->rt);
    if (err < 0)
        return err;
    struct yoke__scope *scope = handle.block;
    if (yoke__load_relaxed(&scope->generation) != handle.generation)
        return -EINVAL;
    if (yoke__scope_owner(scope) != yoke__current(w))
        return -EPERM;
    yoke__scope_deadline(w->rt, scope, deadline == 0 ? YOKE_NEVER : deadline);
    return 0;
}

bool yoke__scope_unwind(struct yoke__strand *strand, struct yoke__scope *until, const char *why)
{
    bool group = false;
    yoke__process_returned("task", strand->task->name);
    while (yoke__strand_scope(strand) != until) {
        struct yoke__scope *scope = yoke__strand_scope(strand);
        struct yoke_runtime *rt = yoke__self()->rt;
        char origin[YOKE__ORIGIN_MAX];
        if (scope->kind != YOKE__SCOPE_BINDING)
            yoke__report(rt, "task '%s': %s '%s'%s%s %s", yoke_task_name(), scope->kind == YOKE__SCOPE_GROUP ? "group" : "scope",
                         scope->name != NULL ? scope->name : "", yoke__site_text(scope->site).text,
                         yoke__scope_origin(scope, origin, sizeof origin), why);
        if (scope->kind == YOKE__SCOPE_GROUP) {
            group = true;
            yoke__scope_cancel(rt, scope, YOKE__CANCEL_LEFT, 0, scope->site);
            (void)yoke__group_finish((struct yoke__group *)(void *)scope, 0, NULL);
        } else {
            (void)leave_scope(yoke__self(), strand, scope, 0);
        }
    }
    return group;
}
