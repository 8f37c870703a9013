/*
 * dump.c - the tree of scopes, groups and blocked tasks as text.
 *
 * Scopes register with their ancestors when somebody blocks inside, so the tree from the root shows whoever waits. Each scope is read
 * under its lock, the locks on the path from the root being held: top down, an order that nobody else takes two of them in. The text is
 * collected first and written when no lock is held.
 */
#include "runtime.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

enum { TEXT_MOST = 1 << 20, DEPTH_MOST = 64 };

struct text {
    char *at;
    size_t used, cap;
    bool full;
    bool patient;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *t, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = t->full ? -1 : vsnprintf(t->at + t->used, t->cap - t->used, format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= t->cap - t->used)
        t->full = true;
    else
        t->used += (size_t)n;
}

static bool enter(struct text *t, struct yoke__scope *scope)
{
    if (!t->patient)
        return yoke__lock_try(&scope->lock);
    yoke__lock_acquire(&scope->lock);
    return true;
}

static void show_wait(struct text *t, const struct yoke__wait *wait, int depth)
{
    const struct yoke__task *task = wait->strand->task;
    add(t, "%*stask '%s' #%llu%s waits: %s\n", depth * 2, "", task->name, (unsigned long long)yoke__load_relaxed(&task->id),
        yoke__site_text(task->site).text, wait->what);
}

static void show_scope(struct text *t, struct yoke__scope *scope, int depth)
{
    static const char *const kinds[] = { "scope", "group", "task scope", "binding", "root" };
    static const char *const cancels[] = { "", ", cancelled", ", past its deadline", ", cancelled by a failure", ", left open", ", shut down" };
    if (!enter(t, scope)) {
        add(t, "%*s(busy)\n", depth * 2, "");
        return;
    }
    add(t, "%*s%s '%s'%s%s%s", depth * 2, "", kinds[scope->kind], scope->name != NULL ? scope->name : "", yoke__site_text(scope->site).text,
        scope->shield ? ", shield" : "", cancels[yoke__load_relaxed(&scope->cancel)]);
    if (scope->owner != NULL)
        add(t, ", of task '%s'", scope->owner->task->name);
    add(t, "\n");
    for (const struct yoke__wait *wait = scope->waits; wait != NULL; wait = wait->next)
        show_wait(t, wait, depth + 1);
    for (struct yoke__scope *child = scope->children; child != NULL; child = child->sibling) {
        if (depth < DEPTH_MOST)
            show_scope(t, child, depth + 1);
        else
            add(t, "%*s...\n", (depth + 1) * 2, "");
    }
    yoke__lock_release(&scope->lock);
}

int yoke__dump(struct yoke_runtime *rt, int fd, bool patient)
{
    struct text t = { .at = yoke__os_alloc(TEXT_MOST, 8), .cap = TEXT_MOST, .patient = patient };
    if (t.at == NULL)
        return -ENOMEM;
    add(&t, "%s: %d workers, %d asleep, %d searching; %zu stacks in use, %llu KiB of blocks\n", rt->name, rt->nworkers,
        yoke__load_relaxed(&rt->parked), yoke__load_relaxed(&rt->searching), rt->stacks.in_use, (unsigned long long)rt->blocks.mapped / 1024);
    show_scope(&t, &rt->root, 0);
    if (t.full)
        t.used += (size_t)snprintf(t.at + t.used - 8, 8, "\n(...)\n") - 8;
    int rc = yoke__os_write(fd, t.at, t.used);
    yoke__os_free(t.at);
    return rc < 0 ? rc : 0;
}
