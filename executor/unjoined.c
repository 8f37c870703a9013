/*
 * unjoined.c - see unjoined.h.
 */
#include "unjoined.h"

#include <stdio.h>

#include "report.h"

_Static_assert(sizeof(struct yoke__begun) <= 64, "a small block");

/* The end of a list that is not complete, for want of memory. */
static struct yoke__begun lost;

/* Below `frame` on the stack that the worker is on. */
static bool lies_below(const struct yoke__worker *w, const void *address, const void *frame)
{
    return (uintptr_t)address - (uintptr_t)w->fiber->floor < (uintptr_t)frame - (uintptr_t)w->fiber->floor;
}

static const yoke_forked *fork_of(const void *item)
{
    switch ((uintptr_t)item & YOKE__TAG_MASK) {
    case YOKE__TAG_FORK:
        return item;
    case YOKE__TAG_TYPED:
        return (const yoke_forked *)(const void *)((const char *)item - YOKE__TAG_TYPED);
    default:
        return NULL;
    }
}

/* "task 'x' (file:line) WHEN and has not joined a fork[ that was begun at ...]". Whether it is that very task is known if `sure`. */
static _Noreturn void tell(const struct yoke__task *task, bool sure, const char *when, const void *at)
{
    char begun[200] = "";
    if (at != NULL)
        snprintf(begun, sizeof begun, " that was begun at %s", yoke__place_text(at).text);
    if (task == NULL)
        yoke__panic("a task %s and has not joined a fork%s", when, begun);
    yoke__panic("task '%s'%s%s %s and has not joined a fork%s", task->name, yoke__site_text(task->site).text,
                sure ? "" : ", or one that ran on this stack before,", when, begun);
}

static _Noreturn void tell_scope(const struct yoke__strand *strand, const struct yoke__scope *scope, const void *at)
{
    char when[256];
    snprintf(when, sizeof when, "leaves %s%s%s%s%s", scope->kind == YOKE__SCOPE_GROUP ? "a group" : "a scope", scope->name != NULL ? " '" : "",
             scope->name != NULL ? scope->name : "", scope->name != NULL ? "'" : "", yoke__site_text(scope->site).text);
    tell(strand->task, true, when, at);
}

static const char *what_ended(const struct yoke__strand *strand)
{
    return strand->fork != NULL ? "has ended a fork" : "has ended";
}

/* ---- debug mode ------------------------------------------------------------------------------------------------------- */

void yoke__unjoined_begun(struct yoke__worker *w, struct yoke__strand *strand, const yoke_forked *fork, const void *at)
{
    struct yoke__begun *begun = yoke__block_get(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_SMALL);
    if (begun == NULL) { /* those known so far are forgotten with it */
        while (strand->begun != NULL && strand->begun != &lost) {
            begun = strand->begun;
            strand->begun = begun->next;
            yoke__block_put(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_SMALL, begun);
        }
        strand->begun = &lost;
        return;
    }
    *begun = (struct yoke__begun){ .next = strand->begun, .fork = fork, .scope = strand->head.scope, .at = at };
    strand->begun = begun;
}

void yoke__unjoined_joins(struct yoke__worker *w, struct yoke__strand *strand, const yoke_forked *fork)
{
    struct yoke__begun **link = &strand->begun;
    while (*link != NULL && *link != &lost && (*link)->fork != fork)
        link = &(*link)->next;
    struct yoke__begun *begun = *link;
    if (begun == NULL)
        yoke__panic("task '%s' joins a fork twice, or one that it did not begin", strand->task->name);
    if (begun == &lost)
        return;
    *link = begun->next;
    yoke__block_put(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_SMALL, begun);
}

void yoke__unjoined_below(const struct yoke__strand *strand, const void *frame)
{
    const struct yoke__worker *w = yoke__self();
    if (w == NULL) /* in the child of a fork(2): process.h */
        return;
    for (const struct yoke__begun *begun = strand->begun; begun != NULL && begun != &lost; begun = begun->next)
        if (lies_below(w, begun->fork, frame))
            tell(strand->task, true, "has ended a fork", begun->at);
}

void yoke__unjoined_within(const struct yoke__strand *strand, const struct yoke__scope *scope)
{
    for (const struct yoke__begun *begun = strand->begun; begun != NULL && begun != &lost; begun = begun->next)
        if (begun->scope == &scope->head)
            tell_scope(strand, scope, begun->at);
}

/* ---- any mode --------------------------------------------------------------------------------------------------------- */

/* What lies next in the deque, in a frame that has been left. */
static bool next_lies_below(const struct yoke__worker *w, const void *frame)
{
    const struct yoke__deque *d = &w->head.deque;
    int64_t last = d->bottom - 1;
    return last >= yoke__load_relaxed(&d->top) && lies_below(w, yoke__load_relaxed(&d->slots[last & d->mask]), frame); /* see unjoined.h */
}

void yoke__unjoined_end(const struct yoke__strand *strand)
{
    const struct yoke__worker *w = yoke__self();
    if (w == NULL) /* as above */
        return;
    if (strand->begun != NULL && strand->begun != &lost)
        tell(strand->task, true, what_ended(strand), strand->begun->at);
    if (next_lies_below(w, strand))
        tell(strand->task, true, what_ended(strand), NULL);
}

void yoke__unjoined_next(const struct yoke__worker *w, const struct yoke__strand *strand)
{
    if (next_lies_below(w, strand))
        tell(strand->task, false, "has ended", NULL);
}

void yoke__unjoined_leave(const struct yoke__worker *w, const struct yoke__strand *strand, const struct yoke__scope *scope)
{
    enum { LOOKED_AT = 16 }; /* tasks may lie above it: not all of them are looked at */
    const struct yoke__deque *d = &w->head.deque;
    yoke__unjoined_within(strand, scope);
    int64_t top = yoke__load_relaxed(&d->top), bottom = d->bottom; /* see unjoined.h */
    int64_t from = w->head.floor > top ? w->head.floor : top;
    if (from < bottom - LOOKED_AT)
        from = bottom - LOOKED_AT;
    for (int64_t i = bottom - 1; i >= from; i--)
        if (fork_of(yoke__load_relaxed(&d->slots[i & d->mask])) != NULL)
            tell_scope(strand, scope, NULL);
}

void yoke__unjoined_popped(const struct yoke__worker *w, const void *item, const void *frame, const struct yoke__task *last)
{
    if (fork_of(item) != NULL && lies_below(w, item, frame))
        tell(last, false, "has left a frame", NULL);
}

/* Such a descriptor may lie where frames of ours are by now: what is read there is compared, and no more. */
static YOKE__UNCHECKED bool is_of(const yoke_forked *fork, const struct yoke__strand *strand, const struct yoke__scope *scope)
{
    return fork != NULL && fork->from.self == &strand->head && (scope == NULL || fork->from.scope == &scope->head);
}

void yoke__unjoined_of_ended(const void *item, const struct yoke__strand *strand)
{
    if (is_of(fork_of(item), strand, NULL))
        tell(strand->task, false, "has ended", NULL);
}

void yoke__unjoined_of_closing(const void *item, const struct yoke__strand *strand, const struct yoke__group *group)
{
    if (is_of(fork_of(item), strand, &group->scope))
        tell_scope(strand, &group->scope, NULL);
}
