/*
 * signals.c - options.signals: the first SIGINT or SIGTERM stops the root scope, the second cancels it, the third has its default action.
 *
 * The handler posts a node that the runtime owns, one for each of the two; a worker carries it out. Both may wait together and be taken
 * in any order: a scope that is cancelled is not stopped any more. The handler counts itself in while it looks at the runtime, which
 * does not go before all are out. The old handlers come back when the run ends.
 */
#include "runtime.h"

#include <sched.h>
#include <signal.h>

#include "process.h"
#include "scope.h"
#include "stop.h"
#include "worker.h"

enum { STOP, CANCEL, DEFAULT };

static struct yoke__lock lock;          /* who changes what is below, but `inside` */
static struct yoke_runtime *subscriber; /* atomic; one runtime at a time */
static uint32_t inside;                 /* handlers that may be looking at it */
static struct sigaction before_int, before_term;

static void on_signal(int signal)
{
    yoke__add_seq(&inside, 1); /* store-load against yoke__signals_remove() */
    struct yoke_runtime *rt = yoke__load_seq(&subscriber);
    uint32_t seen = rt != NULL ? yoke__add_acq_rel(&rt->signals_seen, 1) : STOP; /* who gets a number has its node */
    if (rt != NULL && seen < DEFAULT) {
        rt->signal_nodes[seen].kind = YOKE__NODE_SIGNAL;
        yoke__runtime_post(rt, &rt->signal_nodes[seen]);
    }
    yoke__sub_seq(&inside, 1);
    if (seen >= DEFAULT) {
        struct sigaction fallback = { .sa_handler = SIG_DFL };
        sigaction(signal, &fallback, NULL);
        raise(signal);
    }
}

void yoke__signal_arrived(struct yoke_runtime *rt, const struct yoke__node *node)
{
    uint64_t generation = rt->run_id << 40 | 1; /* the root is left once: afterwards there is nothing to be done */
    if (node == &rt->signal_nodes[STOP])
        (void)yoke__stop_handle(rt, &rt->root, generation, NULL);
    else
        (void)yoke__scope_cancel_handle(rt, &rt->root, generation, YOKE__CANCEL_SHUTDOWN, -ECANCELED, NULL);
}

static void give_back_locked(void)
{
    if (subscriber == NULL)
        return;
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGTERM, &before_term, NULL);
    yoke__store_seq(&subscriber, (struct yoke_runtime *)NULL);
}

/* In the child of a fork: the handlers that may be running elsewhere run in the parent. */
static void forget(void)
{
    give_back_locked();
    yoke__store_seq(&inside, 0u);
}

static struct yoke__process_part part = { .lock = &lock, .forget = forget };

int yoke__signals_install(struct yoke_runtime *rt)
{
    yoke__process_add(&part);
    yoke__lock_acquire(&lock);
    bool free = subscriber == NULL;
    if (free) {
        yoke__store_seq(&subscriber, rt); /* pairs with on_signal() */
        struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
        sigemptyset(&action.sa_mask);
        sigaction(SIGINT, &action, &before_int);
        sigaction(SIGTERM, &action, &before_term);
    }
    yoke__lock_release(&lock);
    return free ? 0 : -EBUSY;
}

void yoke__signals_remove(struct yoke_runtime *rt)
{
    (void)rt;
    yoke__lock_acquire(&lock);
    give_back_locked();
    yoke__lock_release(&lock);
    while (yoke__load_seq(&inside) != 0) /* store-load against on_signal() */
        sched_yield();
}
