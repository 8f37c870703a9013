/*
 * suspend.c - leaving a stack for another: the switch, yielding, suspending.
 *
 * A left stack is published only by a hook that runs after the switch, on the next stack. Where to: straight on to the next woken fiber, unless
 * it is the turn of others (find.c); else into the loop of a spare stack; without memory for one, to the thread's own (worker.c).
 */
#include "suspend.h"

#include "find.h"
#include "nosuspend.h"
#include "park.h"
#include "run.h"
#include "runnable.h"
#include "spare.h"

enum { THIN_OUT = 64 };

void yoke__arrive(const struct yoke__handoff *from)
{
    struct yoke__worker *w = yoke__self();
    struct yoke__fiber *me = from->to;
    w->fiber = me;
    w->head.strand = me->strand;
    w->stack_half = me->half;
    w->head.stack_low = me->half | w->low_mask;
    w->head.floor = w->head.deque.bottom; /* what lies below was forked under a scope unknown here */
    from->hook(w, from->left, from->arg);
}

void yoke__switch_to(struct yoke__worker *w, struct yoke__fiber *to, yoke__hook hook, void *arg)
{
    struct yoke__fiber *me = w->fiber;
    struct yoke__handoff handoff = { .hook = hook, .arg = arg, .left = me, .to = to };
    me->strand = w->head.strand;
    me->last = w;
    yoke__arrive(yoke__fiber_switch(me, to, &handoff));
}

/* The next woken fiber, for going on with it straight on; NULL: there is none, or it is the turn of others. */
static struct yoke__fiber *next_woken(struct yoke__worker *w)
{
    return yoke__turn_of_others(w) ? NULL : yoke__take_woken(w);
}

static void exchange_hook(struct yoke__worker *w, struct yoke__fiber *left, void *arg)
{
    (void)left;
    (void)arg;
    yoke__ready_leave(&w->ready);
    yoke__wake_one(w->rt);
}

static void yield_hook(struct yoke__worker *w, struct yoke__fiber *left, void *arg)
{
    (void)arg;
    yoke__ready_on(w, left);
}

int yoke__worker_yield(struct yoke__worker *w)
{
    struct yoke__fiber *to;
    if (yoke__unlikely(w->fiber->nosuspend != NULL))
        yoke__nosuspend_report(w, "yield");
    yoke__worker_flush(w);
    if (yoke__ready_hidden(&w->ready) && yoke__likely(w->fiber->pin == NULL && !yoke__anybody_idle(w->rt)) && !yoke__turn_of_others(w) &&
        (to = yoke__ready_exchange(&w->ready, w->fiber)) != NULL) {
        w->woken++;
        yoke__switch_to(w, to, exchange_hook, NULL);
        return 0;
    }
    if (!yoke__worker_others_wait(w) && !yoke__deque_any(&w->head.deque) && !w->rt->migrate)
        return 0;
    to = next_woken(w);
    if (to == NULL)
        to = yoke__spare_take(w);
    if (yoke__unlikely(to == NULL))
        return -ENOMEM;
    yoke__switch_to(w, to, yield_hook, NULL);
    return 0;
}

void yoke__worker_thin_out(struct yoke__worker *w)
{
    struct yoke__fiber *to = w->fiber->pin == NULL && w->fiber->nosuspend == NULL ? yoke__spare_take(w) : NULL;
    if (to == NULL)
        return;
    yoke__worker_flush(w);
    w->thinning = THIN_OUT;
    w->spawners = yoke__ready_any(&w->ready) ? w->spawners + 1 : 1;
    yoke__switch_to(w, to, yield_hook, NULL);
    if (yoke__self() == w && w->spawners > 0)
        w->spawners--;
}

void yoke__suspend(yoke__hook hook, void *arg, const char *what)
{
    struct yoke__worker *w = yoke__self();
    if (yoke__unlikely(w->fiber->nosuspend != NULL))
        yoke__nosuspend_report(w, what);
    yoke__worker_flush(w);
    struct yoke__fiber *to = next_woken(w);
    if (to == NULL)
        to = yoke__spare_take(w);
    if (yoke__unlikely(to == NULL))
        to = &w->native;
    yoke__switch_to(w, to, hook, arg);
}
