/*
 * deadlock.c - see deadlock.h.
 */
#include "deadlock.h"

#include <stdlib.h>

#include "find.h"
#include "report.h"
#include "runtime.h"
#include "scope.h"
#include "walk.h"
#include "worker.h"

static bool all_asleep(struct yoke_runtime *rt)
{
    return yoke__load_seq(&rt->parked) == rt->nworkers; /* store-load against yoke__unhold() */
}

static bool anything_outside(struct yoke_runtime *rt)
{
    int64_t sum = 0;
    for (int i = 0; i < rt->nworkers; i++)
        sum += yoke__load_relaxed(&rt->workers[i]->outside); /* ordered by their sleep */
    return sum != 0;
}

static bool anything_queued(struct yoke_runtime *rt)
{
    for (int i = 0; i < rt->nworkers; i++) {
        struct yoke__worker *w = rt->workers[i];
        if (!yoke__inbox_empty(&w->inbox) || yoke__ready_any(&w->ready) || yoke__deque_any(&w->head.deque))
            return true;
    }
    return yoke__injected_any(rt) || yoke__walk_waits(rt);
}

void yoke__deadlock_suspect(struct yoke_runtime *rt)
{
    if (!rt->config.deadlock || !all_asleep(rt) || yoke__load_seq(&rt->holds) != 0 || anything_outside(rt))
        return;
    yoke__store_seq(&rt->suspected, 1); /* before the kick: pairs with yoke__deadlock_look() */
    yoke__service_kick(&rt->service);
}

/* The order of the looks is the argument in deadlock.h. */
static bool deadlocked(struct yoke_runtime *rt)
{
    uint64_t claims = yoke__load_seq(&rt->claims);
    return all_asleep(rt) && !anything_outside(rt) && !yoke__timers_any(&rt->timers) && yoke__load_seq(&rt->holds) == 0 &&
           !anything_queued(rt) && yoke__load_acquire(&rt->finished) != YOKE__FINISHED && /* pairs with run_main() in run.c */
           yoke__load_seq(&rt->stopping) == 0 && yoke__load_seq(&rt->claims) == claims;
}

static void give_up(struct yoke_runtime *rt)
{
    yoke__report(rt, "deadlock: the root is cancelled, and these tasks are still blocked: aborting");
    yoke__dump_blocked(rt, "deadlock");
    abort();
}

void yoke__deadlock_answer(struct yoke_runtime *rt)
{
    uint32_t asked = YOKE__ASKED;
    yoke__os_futex_wake(&rt->finished, 1); /* wakes nobody; a call at which ThreadSanitizer runs handlers */
    if (!yoke__cas_acq_rel(&rt->finished, &asked, YOKE__RUNNING)) /* main has ended after all */
        return;
    yoke__store_seq(&rt->answered, 1);
    yoke__deadlock_suspect(rt);
}

/* False: signals sent so far may not have been handled, and the thread that does it is asked. */
static bool signals_handled(struct yoke_runtime *rt, bool answered)
{
    uint32_t running = YOKE__RUNNING;
    if (!rt->options.signals || answered)
        return true;
    if (yoke__cas_acq_rel(&rt->finished, &running, YOKE__ASKED)) /* pairs with runtime_end() in runtime.c */
        yoke__os_futex_wake(&rt->finished, 1);
    return false;
}

static void judge(struct yoke_runtime *rt)
{
    bool answered = yoke__xchg_seq(&rt->answered, 0u) != 0; /* before the looks */
    if (!deadlocked(rt) || !signals_handled(rt, answered))
        return;
    if (yoke__load_acquire(&rt->root.cancel) != YOKE__CANCEL_NONE) /* pairs with yoke__scope_mark_locked() in scope.c */
        give_up(rt);
    yoke__report(rt, "deadlock: these tasks are blocked, and nothing is left that could wake one of them: the root is cancelled");
    yoke__dump_blocked(rt, "deadlock");
    yoke__store_release(&rt->deadlocked, 1); /* pairs with run_main() in run.c */
    yoke__scope_cancel(rt, &rt->root, YOKE__CANCEL_DEADLOCK, -EDEADLK, NULL);
    yoke__store_seq(&rt->suspected, 1); /* again: if the cancel has woken nobody, no worker's sleep raises a suspicion */
}

void yoke__deadlock_look(struct yoke_runtime *rt)
{
    while (yoke__load_relaxed(&rt->suspected) != 0 && yoke__xchg_seq(&rt->suspected, 0u) != 0)
        judge(rt);
}
