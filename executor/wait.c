/*
 * wait.c - see wait.h for the protocol and its argument.
 */
#include "wait.h"

#include <stdio.h>

#include "cycle.h"
#include "deadlock.h"
#include "scope.h"
#include "seat.h"
#include "spare.h"
#include "worker.h"

void yoke__wait_init(struct yoke__wait *wait, const char *what)
{
    struct yoke__worker *w = yoke__self();
    wait->state = YOKE__WAIT_ARMING;
    wait->fiber = w->fiber;
    wait->strand = yoke__current(w);
    wait->what = what;
    wait->on = NULL;
    wait->seat = NULL;
}

void yoke__wait_init_on(struct yoke__wait *wait, const struct yoke__waited *on, const void *object)
{
    yoke__wait_init(wait, on->what);
    wait->on = on;
    wait->object = object;
}

const char *yoke__waited_text(const struct yoke__waited *on, const void *object, char *text, size_t size)
{
    text[0] = '\0';
    if (on->tell != NULL)
        on->tell(object, text, size);
    else
        snprintf(text, size, " %p", object);
    return text;
}

int yoke__wait_enlist(struct yoke__wait *wait)
{
    struct yoke__worker *w = yoke__self();
    struct yoke__scope *scope = yoke__strand_scope(wait->strand);
    if (yoke__scope_cancelled(w->rt, scope))
        return -ECANCELED;
    if (!yoke__worker_reserve(w))
        return -ENOMEM;
    struct yoke__seat *seat = yoke__seat_here(w, wait->strand);
    if (yoke__unlikely(seat == NULL))
        return -ENOMEM;
    if (yoke__unlikely(!yoke__load_acquire(&scope->linked))) /* pairs with yoke__scope_link() */
        yoke__scope_link(scope);
    wait->seat = seat;
    yoke__seat_sit(seat, wait);
    /* A cancel marks first and visits the seats later: it finds this wait, or this check finds its mark. */
    if (yoke__unlikely(yoke__scope_cancelled_now(w->rt, scope))) {
        yoke__wait_delist(wait);
        return -ECANCELED;
    }
    return 0;
}

void yoke__wait_delist(struct yoke__wait *wait)
{
    if (wait->seat != NULL)
        yoke__seat_rise(wait->seat, wait);
    wait->seat = NULL;
}

/* Post-switch hook: the stack has been left. */
static void park_wait(struct yoke__worker *w, struct yoke__fiber *fiber, void *arg)
{
    struct yoke__wait *wait = arg;
    uint32_t expected = YOKE__WAIT_ARMING;
    /* releases the stack to the source that fires; pairs with yoke__wait_fire() */
    if (!yoke__cas_acq_rel(&wait->state, &expected, YOKE__WAIT_PARKED))
        yoke__ready_on(w, fiber);
}

/* In debug mode, where waits for tasks are compared with each other. */
static __attribute__((noinline)) void suspend_compared(struct yoke_runtime *rt, struct yoke__wait *wait)
{
    struct yoke__edge edge = { .strand = wait->strand, .on = wait->on, .object = wait->object, .wait = wait };
    yoke__cycle_enter(rt, &edge);
    yoke__suspend(park_wait, wait, wait->what);
    yoke__cycle_leave(rt, &edge);
}

int yoke__wait_block(struct yoke__wait *wait)
{
    struct yoke__worker *w = yoke__self();
    /* acquire: pairs with yoke__wait_fire() */
    if (yoke__load_acquire(&wait->state) >= YOKE__WAIT_FIRED) {
        /* fired before it slept */
    } else if (wait->on == NULL) {
        yoke__outside(w, 1);
        yoke__suspend(park_wait, wait, wait->what);
        yoke__outside(yoke__self(), -1);
    } else if (yoke__unlikely(w->rt->config.debug && wait->on->blames != NULL)) {
        suspend_compared(w->rt, wait);
    } else {
        yoke__suspend(park_wait, wait, wait->what);
    }
    return (int)(yoke__load_acquire(&wait->state) - YOKE__WAIT_FIRED);
}

bool yoke__wait_fire(struct yoke__wait *wait, int code, struct yoke__fiber **fiber)
{
    struct yoke__fiber *sleeper = wait->fiber;
    uint32_t state = yoke__load_relaxed(&wait->state);
    *fiber = NULL;
    while (state < YOKE__WAIT_FIRED) {
        /* pairs with park_wait() and yoke__wait_block() */
        if (yoke__cas_acq_rel(&wait->state, &state, YOKE__WAIT_FIRED + (uint32_t)code)) {
            if (state == YOKE__WAIT_PARKED)
                *fiber = sleeper;
            return true;
        }
    }
    return false;
}

void yoke__waitq_init(struct yoke__waitq *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

void yoke__waitq_push_locked(struct yoke__waitq *queue, struct yoke__waitq_node *node, struct yoke__wait *wait)
{
    node->wait = wait;
    node->next = NULL;
    node->back = queue->last;
    *queue->last = node;
    queue->last = &node->next;
}

void yoke__waitq_remove_locked(struct yoke__waitq *queue, struct yoke__waitq_node *node)
{
    if (node->back == NULL)
        return;
    *node->back = node->next;
    if (node->next != NULL)
        node->next->back = node->back;
    else
        queue->last = node->back;
    node->back = NULL;
}

struct yoke__waitq_node *yoke__waitq_take_locked(struct yoke__waitq *queue, int code, struct yoke__fiber **fiber)
{
    while (queue->first != NULL) {
        struct yoke__waitq_node *node = queue->first;
        yoke__waitq_remove_locked(queue, node);
        if (yoke__wait_fire(node->wait, code, fiber))
            return node;
    }
    return NULL;
}

bool yoke__waitq_wake_locked(struct yoke__waitq *queue, int code, int result, struct yoke__fiber **fiber)
{
    while (queue->first != NULL) {
        struct yoke__waitq_node *node = queue->first;
        struct yoke__wait *wait = node->wait;
        yoke__waitq_remove_locked(queue, node);
        node->result = result; /* before the fire: after it the node may be gone */
        if (yoke__wait_fire(wait, code, fiber))
            return true;
    }
    return false;
}
