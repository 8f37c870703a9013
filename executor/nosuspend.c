/*
 * nosuspend.c - YOKE_NOSUSPEND: suspensions inside are reported.
 *
 * The innermost open block is kept in the record of the stack it was opened on, as its place in the source, which is static: what is on the
 * stack when it is left is suspended with it, whoever blocks there. So a child or a fork that blocks while it is called on the stack of a
 * block is found like the block's own task, and one that runs elsewhere is not. The record goes where the stack goes, is touched by the
 * worker on it alone, and a block that was never left can only cause wrong reports.
 *
 * Cost: tasks leave a stack by yoke__suspend() and yoke__worker_yield() only, which look at one word of a cache line that the switch
 * writes anyway. Fork, join, spawn and close of what does not block leave no stack, and do not look.
 */
#include "nosuspend.h"

#include "report.h"

static const yoke_site somewhere = { "?", "", 0 };

yoke_nosuspend yoke_nosuspend_enter(const yoke_site *site)
{
    struct yoke__worker *w = yoke__self();
    yoke_nosuspend block = { .again = true };
    if (w != NULL) {
        block.outer = w->fiber->nosuspend;
        w->fiber->nosuspend = site != NULL ? site : &somewhere;
    }
    return block;
}

void yoke_nosuspend_leave(yoke_nosuspend *block)
{
    struct yoke__worker *w = yoke__self();
    if (w != NULL)
        w->fiber->nosuspend = block->outer;
}

void yoke__nosuspend_report(struct yoke__worker *w, const char *what)
{
    const struct yoke__task *task = yoke__current(w)->task;
    yoke__report(w->rt, "task '%s'%s is suspended (%s) inside YOKE_NOSUSPEND%s", task->name, yoke__site_text(task->site).text, what,
                 yoke__site_text(w->fiber->nosuspend).text);
}
