/*
 * yoke/sync/channel.h - bounded queues of messages between tasks.
 *
 *     YOKE_SCOPED(yoke_channel) numbers = NULL;             // destroyed at the end of the block; before the group, so after it
 *     YOKE_TRY(yoke_channel_create(&numbers, sizeof(int), 16));
 *     YOKE_GROUP(g);
 *     ...
 *     YOKE_TRY(yoke_channel_send(numbers, &(int){ 7 }));    // waits while it is full
 *     rc = yoke_channel_receive(numbers, &number);          // waits while it is empty; -ENODATA: closed and drained
 *
 * Messages have one size and are copied, under a lock: send pointers to what is large. Any number of tasks may send and receive. All
 * messages of one sender come in the order in which they were sent; senders that wait, and receivers that wait, are served first come,
 * first served. With a capacity of 0 a send waits for the very receive that takes the message.
 *
 * What was done before a send is seen after the receive of its message. A message is received once: one whose send was cancelled is
 * not in the channel, and one whose receive was cancelled is still there.
 *
 * Closing says that nothing will be sent any more; whoever knows that calls it. Its users are tasks of one runtime.
 */
#ifndef YOKE_SYNC_CHANNEL_H
#define YOKE_SYNC_CHANNEL_H

#include <yoke/base.h>

YOKE_BEGIN_DECLS

typedef struct yoke_channel yoke_channel;

/*
 * A channel for messages of `size` bytes, of which `capacity` (0: none) can lie in it. It is the caller's until destroyed.
 * -ENOMEM; -EINVAL: size is 0, or no place to put it. *channel is NULL then. Any thread; never blocks.
 */
YOKE_API YOKE_MUST_CHECK int yoke_channel_create(yoke_channel **channel, size_t size, size_t capacity);

/*
 * Closes the channel, if it is not, and gives it back; messages that lie in it are lost. Tasks that wait in it are woken as by close, and
 * the last of them to leave frees it; nobody may begin to use it any more. NULL is allowed and does nothing. Any thread; outside of
 * a task only if nobody waits in it, otherwise -ENOTRECOVERABLE and nothing has happened. Never blocks; not a cancellation point.
 */
YOKE_API int yoke_channel_destroy(yoke_channel *channel);
YOKE_API void yoke_channel_scoped(yoke_channel **channel);

/*
 * Copies the message into the channel, or to the first receiver that waits. Waits while there is no room. A cancellation point, checked
 * first: with any error the message was not sent. -EPIPE: closed, before or while it waited; -ECANCELED; -ENOMEM: no memory to wait
 * (it can be tried again); -EINVAL: NULL; -ENOTRECOVERABLE: outside of a task.
 */
YOKE_API YOKE_MUST_CHECK int yoke_channel_send(yoke_channel *channel, const void *message);

/*
 * Takes the oldest message out and copies it to *message, which is not written to otherwise. Waits while there is none. A cancellation
 * point, checked first: with any error none was taken. -ENODATA: closed, and all that was sent has been received; others as above.
 */
YOKE_API YOKE_MUST_CHECK int yoke_channel_receive(yoke_channel *channel, void *message);

/* The same without waiting: -EAGAIN. Not cancellation points. With a capacity of 0 they meet only a partner that waits. */
YOKE_API YOKE_MUST_CHECK int yoke_channel_try_send(yoke_channel *channel, const void *message);
YOKE_API YOKE_MUST_CHECK int yoke_channel_try_receive(yoke_channel *channel, void *message);

/*
 * Nothing is sent any more: senders that wait get -EPIPE and keep their messages; receivers still get what lies in the channel, then
 * -ENODATA. Never blocks; not a cancellation point. -EINVAL: closed already, or NULL; -ENOTRECOVERABLE: outside of a task.
 */
YOKE_API int yoke_channel_close(yoke_channel *channel);

YOKE_END_DECLS

#endif
