/*
 * unjoined.h - forks whose frame is left, or whose scope is, before they were joined: found and told, then the program is aborted.
 *
 * The descriptor of such a fork is memory that nobody may touch any more, and somebody would: who takes it from the deque. Begin and join
 * are a few inlined instructions and cannot look out for it. So it is looked for where it costs next to nothing, and in debug mode, where every fork
 * takes a call, everywhere:
 *
 *   - Any mode, as far as it can be seen: an item of a deque that lies in a frame of the stack one is on that has been left (frames: below).
 * It is looked for in what is popped and is not what was to be popped, and at the bottom of the deque at the end of a task or fork that
 * is not the short one. Likewise a fork of a strand that has ended, and one that still lies in the deque when the scope is left in
 * which it was begun: at an index from `floor` on (fork.c) there is nothing but what was begun in that scope, by this strand.
 *     Not seen: a fork that was taken by another worker before, that lies in the deque of a worker which the task has left, or whose
 * descriptor lay where frames of ours have overwritten it since.
 *
 *   - Debug mode, always: a strand keeps a record of each fork that it has begun and not joined, with the place where it was begun.
 *
 * Frames. Stacks grow down. What lies between the lowest byte of the stack one is on and the frame of a function of ours that has called a
 * function of the user's, which has returned, lies in no frame. That is compared as numbers: the descriptor itself may be overwritten.
 *
 * No false alarm: an item at an index that is not below `top`, read after the index was written, has not been taken, so it has not been
 * joined either; `top` only rises, and nobody but the owner takes at the bottom.
 *
 * Who may call: the worker that `w` is, from the stack it is on.
 */
#ifndef YOKE_EXECUTOR_UNJOINED_H
#define YOKE_EXECUTOR_UNJOINED_H

#include "core.h"

/* Debug mode: begun and not joined. A block of class YOKE__BLOCK_SMALL. */
struct yoke__begun {
    struct yoke__begun *next;
    const yoke_forked *fork;
    const struct yoke__scope_head *scope; /* in which it was begun */
    const void *at;                       /* code that began it */
};

/* The current strand has begun it, or joins it: aborts if it has not begun it, or joined it before. */
void yoke__unjoined_begun(struct yoke__worker *w, struct yoke__strand *strand, const yoke_forked *fork, const void *at);
void yoke__unjoined_joins(struct yoke__worker *w, struct yoke__strand *strand, const yoke_forked *fork);

/* Debug mode: what the strand has begun since in a frame below `frame`, or in that scope. */
void yoke__unjoined_below(const struct yoke__strand *strand, const void *frame);
void yoke__unjoined_within(const struct yoke__strand *strand, const struct yoke__scope *scope);

/* The function of the strand's task or fork has returned. */
void yoke__unjoined_end(const struct yoke__strand *strand);

/* The strand leaves its current scope. Needed only if there is a record of it, or something in the deque at or above `floor`. */
void yoke__unjoined_leave(const struct yoke__worker *w, const struct yoke__strand *strand, const struct yoke__scope *scope);

/* The next item of the deque, after a task whose strand this was; nothing has been popped. */
void yoke__unjoined_next(const struct yoke__worker *w, const struct yoke__strand *strand);

/*
 * An item was popped by who was not looking for it, on a stack that has no frames of the user's below `frame`: aborts if it lies there. `last`:
 * the task that ran there last; NULL: nobody knows.
 */
void yoke__unjoined_popped(const struct yoke__worker *w, const void *item, const void *frame, const struct yoke__task *last);

/* After that, since the descriptor is read: likewise if it is a fork of that strand, whose task has ended, or which closes that group. */
void yoke__unjoined_of_ended(const void *item, const struct yoke__strand *strand);
void yoke__unjoined_of_closing(const void *item, const struct yoke__strand *strand, const struct yoke__group *group);

#endif
