/*
 * fail.c - see fail.h. A slot belongs to one strand at a time and is touched by it alone; it moves with the failure.
 */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

struct yoke__fail *yoke__fail_new(struct yoke__worker *w, const struct yoke__task *task, int code)
{
    struct yoke__fail *fail = yoke__block_get(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_FAIL);
    if (fail == NULL)
        return NULL;
    fail->code = code;
    fail->hops = fail->hops_lost = 0;
    fail->task_id = yoke__load_relaxed(&task->id); /* forks may ask at the same time */
    fail->task = task->name;
    fail->site = task->site;
    fail->message[0] = '\0';
    return fail;
}

void yoke__fail_free(struct yoke__worker *w, struct yoke__fail *fail)
{
    yoke__block_put(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_FAIL, fail);
}

void yoke__fail_describe(const struct yoke__fail *fail, yoke_failure *out)
{
    memset(out, 0, sizeof *out);
    out->message = "";
    if (fail == NULL)
        return;
    out->message = fail->message;
    out->hops = fail->hops;
    out->hops_lost = fail->hops_lost;
    memcpy(out->hop, fail->hop, sizeof out->hop);
}

struct yoke__fail *yoke__fail_take(struct yoke__worker *w, struct yoke__strand *strand, int code)
{
    struct yoke__fail *fail = strand->fail;
    strand->fail = NULL;
    if (fail != NULL && fail->code != code) {
        yoke__fail_free(w, fail);
        fail = NULL;
    }
    return fail;
}

static void add_hop(struct yoke__fail *fail, const yoke_site *site)
{
    if (site == NULL)
        return;
    if (fail->hops < YOKE_HOPS_MAX)
        fail->hop[fail->hops++] = site;
    else
        fail->hops_lost++;
}

/* The current strand's slot for `code`: the one it has, or a new one. */
static struct yoke__fail *slot_for(struct yoke__worker *w, int code, bool fresh)
{
    struct yoke__strand *strand = yoke__current(w);
    if (strand->fail != NULL && !fresh && strand->fail->code == code)
        return strand->fail;
    if (strand->fail != NULL)
        yoke__fail_free(w, strand->fail);
    (void)yoke_task_id(); /* gives it one */
    return strand->fail = yoke__fail_new(w, strand->task, code);
}

int yoke_fail_at(const yoke_site *site, int code, const char *format, ...)
{
    struct yoke__worker *w = yoke__self();
    if (code >= 0 || w == NULL)
        return code;
    struct yoke__fail *fail = slot_for(w, code, true);
    if (fail == NULL)
        return code;
    va_list ap;
    va_start(ap, format);
    vsnprintf(fail->message, sizeof fail->message, format, ap);
    va_end(ap);
    add_hop(fail, site);
    return code;
}

int yoke_hop(const yoke_site *site, int rc)
{
    struct yoke__worker *w = yoke__self();
    if (rc >= 0 || w == NULL)
        return rc;
    struct yoke__fail *fail = slot_for(w, rc, false);
    if (fail != NULL)
        add_hop(fail, site);
    return rc;
}

const char *yoke_message(int code)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return "";
    const struct yoke__fail *fail = yoke__current(w)->fail;
    return fail != NULL && fail->code == code ? fail->message : "";
}

void yoke__fail_report(struct yoke_runtime *rt, const struct yoke__task *task, int code, const struct yoke__fail *fail, const char *cancelled)
{
    char way[512] = "";
    size_t at = 0;
    const char *origin = "";
    char from[320] = "";
    if (fail != NULL) {
        for (int i = 0; i < fail->hops && at < sizeof way; i++) {
            int n = snprintf(way + at, sizeof way - at, "%s%s:%d", i == 0 ? "; by way of " : " < ", fail->hop[i]->file, fail->hop[i]->line);
            at += n > 0 ? (size_t)n : 0;
        }
        if (fail->task_id != yoke__load_relaxed(&task->id)) {
            snprintf(from, sizeof from, " in task '%s'%s", fail->task, yoke__site_text(fail->site).text);
            origin = from;
        }
    }
    yoke__report(rt, "task '%s'%s failed: %s%s%s%s%s%s", task->name, yoke__site_text(task->site).text, yoke__code_text(code).text, origin,
                 fail != NULL && fail->message[0] != '\0' ? ": " : "", fail != NULL ? fail->message : "", way, cancelled);
}
