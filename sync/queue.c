/*
 * queue.c - waiting in line: the one way in which the primitives of this room wait.
 *
 * A call that could not finish at once registers with its scope, takes the lock and attempts again, and joins the queue under the same
 * hold of the lock: so no change of state falls between the attempt and the queue. From then on two may end its wait: a waker, under
 * the lock, and a cancel, without it. Which of them it was the compare-exchange in yoke__wait_fire() decides, once, for all to see:
 *
 *   waiting -> granted     by a waker, who then and only then hands over what there is to hand over (a permit, a message, the mutex)
 *   waiting -> cancelled   by the scope; the waker finds that it lost, and turns to the next in the queue
 *
 * So nothing is handed to one who does not take it, and nobody who was handed something returns -ECANCELED. An attempt that succeeds
 * has its effect before anybody was told of this call but the scope; a cancel that came meanwhile is left pending.
 *
 * Whatever woke it, the call takes the lock once more before it returns, or, if it was granted what it wanted, finds it free. That takes a
 * cancelled one out of the queue; and as the waker fires and writes under the lock, which it had taken before the fire that the call has seen, it means
 * that the waker has let go of the caller's frame, and of the primitive itself, which may therefore lie in a frame that is left, or be
 * freed, as soon as the call has returned. (The wake-up of the futex that may still follow the release of the lock is made by address and
 * reads nothing.)
 *
 * Order: what a waker did before is seen by the one it fired: by the exchange (acquire-release) and by the lock.
 * Progress: the lock is held for a few instructions, copying a message, or waking all who wait; never over a switch.
 */
#include "queue.h"

static void push_locked(struct yoke__call *call)
{
    if (call->queue->last == NULL) /* its memory was zeroed */
        yoke__waitq_init(call->queue);
    yoke__waitq_push_locked(call->queue, &call->node, &call->wait);
}

/* Out of the queue, if it is still in it. */
static void leave(struct yoke__call *call)
{
    yoke__lock_acquire(call->lock);
    yoke__waitq_remove_locked(call->queue, &call->node);
    if (call->left != NULL)
        call->left(call);
    yoke__lock_release(call->lock);
}

int yoke__call_wait(struct yoke__call *call, const struct yoke__waited *on, const void *object)
{
    yoke__wait_init_on(&call->wait, on, object);
    call->node.back = NULL;
    int code = yoke__wait_enlist(&call->wait);
    if (code < 0)
        return code;
    code = YOKE__FIRE_DONE;
    yoke__lock_acquire(call->lock);
    bool done = call->attempt(call);
    if (!done)
        push_locked(call);
    yoke__lock_release(call->lock);
    if (!done) {
        code = yoke__wait_block(&call->wait);
        if (code != YOKE__FIRE_DONE || call->left != NULL || !yoke__lock_free(call->lock))
            leave(call);
    }
    yoke__wait_delist(&call->wait);
    return code == YOKE__FIRE_CANCEL ? -ECANCELED : code;
}

void yoke__call_fire_all_locked(struct yoke__waitq *queue, int code, struct yoke__woken *woken)
{
    struct yoke__fiber *fiber;
    while (yoke__waitq_take_locked(queue, code, &fiber) != NULL) {
        if (fiber == NULL)
            continue;
        fiber->next = NULL;
        *woken->last = fiber;
        woken->last = &fiber->next;
    }
}
