/*
 * signals.c - options.signals: SIGINT and SIGTERM cancel the root scope; a second one has its default action.
 *
 * The handler posts a node that the runtime owns; a worker carries the cancel out. The old handlers come back when the run ends.
 */
#include "runtime.h"

#include <signal.h>

#include "worker.h"

static struct yoke_runtime *subscriber; /* atomic; one runtime at a time */
static struct sigaction before_int, before_term;

static void on_signal(int signal)
{
    struct yoke_runtime *rt = yoke__load_acquire(&subscriber); /* pairs with yoke__signals_install() */
    if (rt == NULL)
        return;
    if (yoke__add_acq_rel(&rt->signals_seen, 1) == 0) {
        rt->signal_node.kind = YOKE__NODE_SIGNAL;
        yoke__runtime_post(rt, &rt->signal_node);
        return;
    }
    struct sigaction fallback = { .sa_handler = SIG_DFL };
    sigaction(signal, &fallback, NULL);
    raise(signal);
}

int yoke__signals_install(struct yoke_runtime *rt)
{
    struct yoke_runtime *nobody = NULL;
    if (!yoke__cas_acq_rel(&subscriber, &nobody, rt)) /* pairs with on_signal() */
        return -EBUSY;
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &before_int);
    sigaction(SIGTERM, &action, &before_term);
    return 0;
}

void yoke__signals_remove(struct yoke_runtime *rt)
{
    (void)rt;
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGTERM, &before_term, NULL);
    yoke__store_release(&subscriber, (struct yoke_runtime *)NULL); /* pairs with on_signal() */
}
