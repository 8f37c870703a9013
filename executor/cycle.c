/*
 * cycle.c - see cycle.h.
 */
#include "cycle.h"

#include <stdio.h>

#include "report.h"
#include "wait.h"

enum { TEXT_MOST = 16 * 1024 };

static bool fired(const struct yoke__edge *edge)
{
    return edge->wait != NULL && yoke__load_acquire(&edge->wait->state) >= YOKE__WAIT_FIRED; /* pairs with yoke__wait_fire() */
}

/* From `edge` back to it: the last member, linked by `from` down to it; NULL: no cycle. */
static struct yoke__edge *search(struct yoke_runtime *rt, struct yoke__edge *edge)
{
    struct yoke__edge *work = edge, *last = edge;
    for (struct yoke__edge *e = rt->edges; e != NULL; e = e->next)
        e->reached = false;
    edge->work = edge->from = NULL;
    for (; work != NULL; work = work->work) {
        for (struct yoke__edge *e = rt->edges; e != NULL; e = e->next) {
            if (e->reached || fired(e) || !work->on->blames(work->object, e->strand))
                continue;
            if (e == edge)
                return work;
            e->reached = true;
            e->from = work;
            e->work = NULL;
            last = last->work = e;
        }
    }
    return NULL;
}

static bool stands(const struct yoke__edge *last)
{
    for (const struct yoke__edge *e = last; e != NULL; e = e->from)
        if (fired(e))
            return false;
    return true;
}

/* Under the lock: a line for each member; NULL: no memory. */
static char *describe(const struct yoke__edge *last)
{
    char *text = yoke__os_alloc(TEXT_MOST, 8);
    int used = 0;
    for (const struct yoke__edge *e = last; e != NULL && text != NULL && used < TEXT_MOST; e = e->from) {
        const struct yoke__task *task = e->strand->task;
        char which[256];
        used += snprintf(text + used, TEXT_MOST - (size_t)used, "task '%s'%s waits: %s%s\n", task->name, yoke__site_text(task->site).text,
                         e->on->what, yoke__waited_text(e->on, e->object, which, sizeof which));
    }
    return text;
}

static void report(struct yoke_runtime *rt, char *text)
{
    yoke__report(rt, "cycle: these tasks wait for each other");
    if (text != NULL)
        yoke__report_lines(rt, "cycle", text);
    yoke__os_free(text);
}

void yoke__cycle_enter(struct yoke_runtime *rt, struct yoke__edge *edge)
{
    struct yoke__edge *last;
    char *text = NULL;
    yoke__lock_acquire(&rt->edges_lock);
    edge->next = rt->edges;
    edge->back = &rt->edges;
    if (edge->next != NULL)
        edge->next->back = &edge->next;
    rt->edges = edge;
    do
        last = search(rt, edge);
    while (last != NULL && !stands(last));
    if (last != NULL)
        text = describe(last);
    yoke__lock_release(&rt->edges_lock);
    if (last != NULL)
        report(rt, text);
}

void yoke__cycle_leave(struct yoke_runtime *rt, struct yoke__edge *edge)
{
    yoke__lock_acquire(&rt->edges_lock);
    *edge->back = edge->next;
    if (edge->next != NULL)
        edge->next->back = edge->back;
    yoke__lock_release(&rt->edges_lock);
}
