/*
 * dump.c - the tree of scopes, groups and blocked tasks as text.
 *
 * Scopes register with their ancestors when somebody blocks inside, so the tree from the root shows whoever waits. Two kinds of wait are
 * found by way of another: the owner of a group waits in its close while somebody inside blocks; who joins a fork waits for a strand
 * that blocks. Each scope is read
 * under its lock, the locks on the path from the root being held: top down, an order that nobody else takes two of them in. The text is
 * collected first and written when no lock is held.
 */
#include "runtime.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fork.h"
#include "report.h"
#include "run.h"
#include "scope.h"
#include "seat.h"
#include "wait.h"

enum { TEXT_MOST = 1 << 20, DEPTH_MOST = 64, BLOCKED_MOST = 1000 };

struct text {
    char *at;
    size_t used, cap;
    bool full;
    bool patient;
    bool tree; /* else blocked tasks only, without indentation */
    uint64_t blocked; /* how many */
    uint64_t aside;   /* how many */
    struct yoke_runtime *rt;
    size_t deepest; /* bytes of any stack shown that were ever touched */
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

static int indent(int depth)
{
    return 2 * (depth < DEPTH_MOST ? depth : DEPTH_MOST);
}

static bool enter(struct text *t, struct yoke__scope *scope)
{
    if (!t->patient)
        return yoke__lock_try(&scope->lock);
    yoke__lock_acquire(&scope->lock);
    return true;
}

/* "task 'NAME' #ID (SITE) waits: "; false: there are too many. */
static bool begin_wait(struct text *t, const struct yoke__task *task, int depth)
{
    if (!t->tree && ++t->blocked > BLOCKED_MOST)
        return false;
    add(t, "%*stask '%s' #%llu%s waits: ", t->tree ? indent(depth) : 0, "", task->name, (unsigned long long)yoke__load_relaxed(&task->id),
        yoke__site_text(task->site).text);
    return true;
}

static void show_wait(struct text *t, const struct yoke__wait *wait, int depth)
{
    const struct yoke__strand *strand = wait->strand;
    char which[256] = "";
    if (!begin_wait(t, strand->task, depth))
        return;
    if (wait->on != NULL)
        (void)yoke__waited_text(wait->on, wait->object, which, sizeof which);
    add(t, "%s%s%s", wait->what, which, strand->fork != NULL ? ", in a fork" : "");
    if (t->tree && wait->fiber->base != NULL) { /* it cannot end before it has risen from its seat */
        const struct yoke__stack_pool *pool = yoke__large_pool(t->rt, wait->fiber->large);
        size_t used = yoke__stack_high_water(pool, wait->fiber->base);
        add(t, " (stack: at most %zu KiB of %zu)", (used + 1023) / 1024, (pool->stack_size - YOKE__GUARD_BYTES) / 1024);
        if (used > t->deepest)
            t->deepest = used;
    }
    add(t, "\n");
}

struct place {
    struct text *text;
    int depth;
};

/* A blocked strand; if it is a fork's, who waits for that, and so on. */
static void show_waits(void *ctx, const struct yoke__wait *wait)
{
    struct text *t = ((struct place *)ctx)->text;
    int depth = ((struct place *)ctx)->depth;
    while (wait != NULL) {
        const yoke_forked *fork = wait->strand->fork;
        show_wait(t, wait, depth);
        wait = fork != NULL ? yoke__fork_joiner(fork) : NULL;
    }
}

/* The scope is locked and the group's, and somebody blocks inside. */
static void show_close(struct text *t, struct yoke__scope *scope, int depth)
{
    const struct yoke__group *group = (const struct yoke__group *)(const void *)scope;
    if (yoke__load_relaxed(&group->closing) == 0 || !begin_wait(t, yoke__scope_owner(scope)->task, depth))
        return;
    add(t, "close of group '%s'%s\n", scope->name != NULL ? scope->name : "", yoke__site_text(scope->site).text);
}

static void show_head(struct text *t, struct yoke__scope *scope, int depth)
{
    static const char *const kinds[] = { "scope", "group", "task scope", "binding", "root" };
    char origin[YOKE__ORIGIN_MAX];
    (void)yoke__scope_origin(scope, origin, sizeof origin);
    add(t, "%*s%s '%s'%s%s%s", indent(depth), "", kinds[scope->kind], scope->name != NULL ? scope->name : "", yoke__site_text(scope->site).text,
        scope->shield ? ", shield" : "", origin[0] == '\0' && scope->stopping ? ", stopping" : origin);
    if (scope->head.owner != NULL && scope->kind != YOKE__SCOPE_ROOT) /* the root's may have ended */
        add(t, ", of task '%s'", yoke__scope_owner(scope)->task->name);
    add(t, "\n");
}

/* The scope is locked. */
static void show_scope(struct text *t, struct yoke__scope *scope, int depth)
{
    if (t->tree)
        show_head(t, scope, depth);
    if (scope->kind == YOKE__SCOPE_GROUP)
        show_close(t, scope, depth + 1);
    yoke__seats_show_locked(scope, show_waits, &(struct place){ t, depth + 1 });
}

/* Not by recursion: scopes may be nested as deep as tasks recurse. */
static void show_scopes(struct text *t, struct yoke__scope *root)
{
    struct yoke__scope *scope = root;
    for (int depth = 0;;) {
        bool inside = enter(t, scope);
        if (inside)
            show_scope(t, scope, depth);
        else
            add(t, "%*s(busy)\n", indent(depth), "");
        if (inside && scope->children != NULL) {
            scope = scope->children;
            depth++;
            continue;
        }
        struct yoke__scope *next = NULL;
        while (next == NULL) {
            next = scope != root ? scope->sibling : NULL; /* under the parent's lock */
            if (inside)
                yoke__lock_release(&scope->lock);
            if (scope == root)
                return;
            if (next == NULL) {
                scope = scope->parent;
                depth--;
            }
            inside = true;
        }
        scope = next;
    }
}

/* Something that begins when there is a stack for it: large.h. */
static void show_aside(void *ctx, struct yoke__node *node)
{
    struct text *t = ctx;
    struct yoke__group *group = yoke__node_group(node);
    size_t kib = yoke__large_pool(t->rt, yoke__node_large(node))->stack_size / 1024;
    if (t->aside++ == 0)
        add(t, "not begun, since there is no memory for their stacks:\n");
    if (group == NULL) {
        const struct yoke__strand *from = (const struct yoke__strand *)(const void *)yoke__fork_of_node(node)->from.self;
        add(t, "  a fork of task '%s', which waits in its join: %zu KiB\n", from->task->name, kib);
        return;
    }
    if (node->kind == YOKE__NODE_POST) {
        add(t, "  a post");
    } else {
        const struct yoke__task *task = yoke__container(node, struct yoke__task, node);
        add(t, "  task '%s' #%llu%s", task->name, (unsigned long long)yoke__load_relaxed(&task->id), yoke__site_text(task->site).text);
    }
    add(t, " of group '%s'%s, %s by task '%s': %zu KiB\n", group->scope.name != NULL ? group->scope.name : "",
        yoke__site_text(group->scope.site).text, yoke__load_relaxed(&group->closing) != 0 ? "being closed" : "opened",
        yoke__scope_owner(&group->scope)->task->name, kib);
}

static size_t stacks_in_use(struct yoke_runtime *rt)
{
    size_t n = 0;
    for (unsigned large = 0; large < YOKE__LARGE_SIZES; large++)
        n += yoke__load_relaxed(&yoke__large_pool(rt, large)->in_use); /* numbers for the eye */
    return n;
}

int yoke__dump(struct yoke_runtime *rt, int fd, bool patient)
{
    struct text t = { .at = yoke__os_alloc(TEXT_MOST, 8), .cap = TEXT_MOST, .patient = patient, .tree = true, .rt = rt };
    if (t.at == NULL)
        return -ENOMEM;
    add(&t, "%s: %d workers, %d asleep, %d searching; %zu stacks in use, %llu KiB of blocks\n", rt->name, rt->nworkers,
        yoke__load_relaxed(&rt->parked), yoke__load_relaxed(&rt->searching), stacks_in_use(rt),
        (unsigned long long)yoke__load_relaxed(&rt->blocks.mapped) / 1024);
    show_scopes(&t, &rt->root);
    if (!yoke__large_each(rt, patient, show_aside, &t))
        add(&t, "(large stacks: busy)\n");
    if (t.deepest > 0)
        add(&t, "deepest stack of those: %zu KiB\n", (t.deepest + 1023) / 1024);
    if (t.full)
        t.used += (size_t)snprintf(t.at + t.used - 8, 8, "\n(...)\n") - 8;
    int rc = yoke__os_write(fd, t.at, t.used);
    yoke__os_free(t.at);
    return rc < 0 ? rc : 0;
}

void yoke__dump_blocked(struct yoke_runtime *rt, const char *prefix)
{
    struct text t = { .at = yoke__os_alloc(TEXT_MOST, 8), .cap = TEXT_MOST, .patient = true, .rt = rt };
    if (t.at == NULL)
        return;
    t.at[0] = '\0';
    show_scopes(&t, &rt->root);
    t.at[t.used] = '\0';
    yoke__report_lines(rt, prefix, t.at);
    if (t.blocked > BLOCKED_MOST)
        yoke__report(rt, "%s: and %" PRIu64 " more", prefix, t.blocked - BLOCKED_MOST);
    yoke__os_free(t.at);
}
