/*
 * channel.c - bounded queues of messages between tasks.
 *
 * A ring of messages, a queue of senders and a queue of receivers, all under one lock.
 *
 *   receivers wait only while count == 0, senders only while count == capacity; so with a capacity above 0 not both do
 *
 * (not counting calls that were cancelled and are about to leave). With a capacity of 0 not both do either: the one that comes second
 * meets the first. Hence the order: who comes while others of its kind wait cannot be served before them, and messages pass from the
 * first sender that waits to the end of the ring just when a receive has made room for it.
 *
 * A partner that waits is fired first, and only if that wins is the message copied, from or to its frame, still under the lock: a
 * cancelled sender's message is not taken, a cancelled receiver's memory not written to. The partner takes the lock before it returns
 * (queue.c), so its frame is there, and what was written is seen.
 *
 * destroy closes, and leaves the memory to the last of those who were in a queue then. They are counted from joining to leaving it.
 */
#include <yoke/sync/channel.h>

#include <string.h>

#include "queue.h"

struct yoke_channel {
    struct yoke__lock lock; /* everything below but size and capacity, which never change */
    size_t size, capacity;
    size_t first, count; /* the oldest message in the ring, and how many there are */
    size_t inside;       /* calls that have joined a queue and have not left */
    bool closed, destroyed;
    struct yoke__waitq senders, receivers;
    char ring[] __attribute__((aligned(16)));
};

/* Under the lock: 0; -EAGAIN: now it cannot; -EPIPE, -ENODATA: it cannot any more. *partner is to be made runnable then. */
typedef int transfer_fn(yoke_channel *c, void *message, struct yoke__fiber **partner);

struct call {
    struct yoke__call call;
    yoke_channel *channel;
    void *message;
    transfer_fn *transfer;
    struct yoke__fiber *partner;
    int rc;
    bool last; /* of those who were inside when it was destroyed */
};

/* ---- messages --------------------------------------------------------------------------------------------------------- */

/* The place for the message number n from the oldest. */
static char *place(yoke_channel *c, size_t n)
{
    size_t at = c->first + n;
    return c->ring + (at < c->capacity ? at : at - c->capacity) * c->size;
}

/* The message of the first one in the queue that is still waiting, and now is served; or NULL. */
static void *serve(struct yoke__waitq *queue, struct yoke__fiber **partner)
{
    struct yoke__call *call = yoke__call_fire_locked(queue, YOKE__FIRE_DONE, partner);
    return call != NULL ? yoke__container(call, struct call, call)->message : NULL;
}

static int put(yoke_channel *c, void *message, struct yoke__fiber **partner)
{
    if (c->closed)
        return -EPIPE;
    void *to = serve(&c->receivers, partner);
    if (to == NULL && c->count == c->capacity)
        return -EAGAIN;
    if (to == NULL)
        to = place(c, c->count++);
    memcpy(to, message, c->size);
    return 0;
}

static int get(yoke_channel *c, void *message, struct yoke__fiber **partner)
{
    if (c->count == 0) {
        const void *from = serve(&c->senders, partner); /* capacity 0 */
        if (from == NULL)
            return c->closed ? -ENODATA : -EAGAIN;
        memcpy(message, from, c->size);
        return 0;
    }
    memcpy(message, place(c, 0), c->size);
    c->first = c->first + 1 < c->capacity ? c->first + 1 : 0;
    c->count--;
    const void *next = serve(&c->senders, partner); /* there is room for it */
    if (next != NULL)
        memcpy(place(c, c->count++), next, c->size);
    return 0;
}

/* ---- sending and receiving -------------------------------------------------------------------------------------------- */

static bool attempt(struct yoke__call *call)
{
    struct call *c = yoke__container(call, struct call, call);
    c->rc = c->transfer(c->channel, c->message, &c->partner);
    if (c->rc != -EAGAIN)
        return true;
    c->rc = 0; /* what it will have been if a partner serves it */
    c->channel->inside++;
    return false;
}

static void left(struct yoke__call *call)
{
    struct call *c = yoke__container(call, struct call, call);
    c->last = --c->channel->inside == 0 && c->channel->destroyed;
}

static const struct yoke__waited on_send = { .what = "send to channel" }, on_receive = { .what = "receive from channel" };

static __attribute__((noinline)) int wait_for(yoke_channel *channel, void *message, transfer_fn *transfer)
{
    bool sends = transfer == put;
    struct call c = {
        .call = { .lock = &channel->lock, .queue = sends ? &channel->senders : &channel->receivers, .attempt = attempt, .left = left },
        .channel = channel,
        .message = message,
        .transfer = transfer
    };
    int code = yoke__call_wait(&c.call, sends ? &on_send : &on_receive, channel);
    if (c.last)
        yoke__os_free(channel);
    yoke__call_ready(c.partner);
    if (code == YOKE__FIRE_CLOSED)
        return sends ? -EPIPE : -ENODATA;
    return code < 0 ? code : c.rc;
}

static int try_transfer(yoke_channel *c, void *message, transfer_fn *transfer)
{
    struct yoke__fiber *partner = NULL;
    if (c == NULL || message == NULL)
        return -EINVAL;
    yoke__lock_acquire(&c->lock);
    int rc = transfer(c, message, &partner);
    yoke__lock_release(&c->lock);
    yoke__call_ready(partner);
    return rc;
}

static int transfer_or_wait(yoke_channel *c, void *message, transfer_fn *transfer)
{
    int rc = yoke__call_check(yoke__self());
    if (rc == 0)
        rc = try_transfer(c, message, transfer);
    return rc == -EAGAIN ? wait_for(c, message, transfer) : rc;
}

int yoke_channel_send(yoke_channel *channel, const void *message)
{
    return transfer_or_wait(channel, (void *)(uintptr_t)message, put); /* only read */
}

int yoke_channel_receive(yoke_channel *channel, void *message)
{
    return transfer_or_wait(channel, message, get);
}

int yoke_channel_try_send(yoke_channel *channel, const void *message)
{
    return yoke__self() == NULL ? -ENOTRECOVERABLE : try_transfer(channel, (void *)(uintptr_t)message, put); /* only read */
}

int yoke_channel_try_receive(yoke_channel *channel, void *message)
{
    return yoke__self() == NULL ? -ENOTRECOVERABLE : try_transfer(channel, message, get);
}

/* ---- begin and end ---------------------------------------------------------------------------------------------------- */

int yoke_channel_create(yoke_channel **channel, size_t size, size_t capacity)
{
    if (channel == NULL)
        return -EINVAL;
    *channel = NULL;
    if (size == 0)
        return -EINVAL;
    if (capacity > (SIZE_MAX / 2 - sizeof(yoke_channel)) / size)
        return -ENOMEM;
    yoke_channel *c = yoke__os_alloc(sizeof *c + size * capacity, _Alignof(yoke_channel));
    if (c == NULL)
        return -ENOMEM;
    *c = (yoke_channel){ .size = size, .capacity = capacity };
    *channel = c;
    return 0;
}

static void close_locked(yoke_channel *c, struct yoke__woken *woken)
{
    c->closed = true;
    yoke__woken_init(woken);
    yoke__call_fire_all_locked(&c->senders, YOKE__FIRE_CLOSED, woken);
    yoke__call_fire_all_locked(&c->receivers, YOKE__FIRE_CLOSED, woken);
}

int yoke_channel_close(yoke_channel *c)
{
    struct yoke__woken woken;
    if (yoke__self() == NULL)
        return -ENOTRECOVERABLE;
    if (c == NULL)
        return -EINVAL;
    yoke__lock_acquire(&c->lock);
    int rc = c->closed ? -EINVAL : 0;
    close_locked(c, &woken); /* closed: nobody waits */
    yoke__lock_release(&c->lock);
    yoke__woken_ready(&woken);
    return rc;
}

int yoke_channel_destroy(yoke_channel *c)
{
    struct yoke__woken woken;
    if (c == NULL)
        return 0;
    yoke__lock_acquire(&c->lock);
    bool last = c->inside == 0;
    if (!last && yoke__self() == NULL) {
        yoke__lock_release(&c->lock);
        return -ENOTRECOVERABLE;
    }
    c->destroyed = true;
    close_locked(c, &woken);
    yoke__lock_release(&c->lock);
    if (last)
        yoke__os_free(c);
    else
        yoke__woken_ready(&woken);
    return 0;
}

void yoke_channel_scoped(yoke_channel **channel)
{
    (void)yoke_channel_destroy(*channel);
}
