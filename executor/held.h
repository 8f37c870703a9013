/*
 * held.h - what a strand holds and must not take along when it ends: locks.
 *
 * The record lies in the thing that is held. It is linked to the strand that holds it by that very strand, and unlinked by it, so that
 * neither lock nor atomic is needed. What is still linked when the strand ends, after its groups, deferred functions and slots, is
 * told so. The short end of a task does not look here: who has ever held something is flagged (YOKE__TASK_HELD) and takes the long one.
 */
#ifndef YOKE_EXECUTOR_HELD_H
#define YOKE_EXECUTOR_HELD_H

#include "core.h"

struct yoke__held {
    struct yoke__held *next, **back;
    /* The holder has ended; the record is unlinked. Called by the holder's strand; must not block. */
    void (*ended)(struct yoke__held *held, struct yoke__strand *strand);
};

static inline void yoke__held_link(struct yoke__held *held, struct yoke__strand *strand)
{
    held->next = strand->held;
    held->back = &strand->held;
    if (held->next != NULL)
        held->next->back = &held->next;
    strand->held = held;
    uint16_t *flags = &strand->task->flags;
    if (yoke__unlikely((yoke__load_relaxed(flags) & YOKE__TASK_HELD) == 0))
        yoke__or_relaxed(flags, (uint16_t)YOKE__TASK_HELD); /* ordered by the joins of the task's forks */
}

static inline void yoke__held_unlink(struct yoke__held *held)
{
    *held->back = held->next;
    if (held->next != NULL)
        held->next->back = held->back;
}

/* The strand ends: last held, first told. */
static inline void yoke__held_end(struct yoke__strand *strand)
{
    while (yoke__unlikely(strand->held != NULL)) {
        struct yoke__held *held = strand->held;
        yoke__held_unlink(held);
        held->ended(held, strand);
    }
}

#endif
