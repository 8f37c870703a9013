/*
 * fiber.h - a stack with a saved context, and what the sanitizers want to know about it.
 *
 * The record lies on the page of the stack's top, so that a blocked, shallow fiber costs one page. Switching is done by the thread that
 * is on `from`; a fiber that has been left may be continued by any thread, once.
 */
#ifndef YOKE_EXECUTOR_FIBER_H
#define YOKE_EXECUTOR_FIBER_H

#include <stddef.h>
#include <stdint.h>

#include <yoke/base.h>

#include "inbox.h"
#include "stack.h"
#include "switch/switch.h"

#include "sanitizer.h"

#ifdef YOKE__ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef YOKE__TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#endif

struct yoke__worker;
struct yoke__strand_head;
struct yoke__group;

/* First, in one cache line, what every switch needs: fibers that have waited for long have left the caches. */
struct yoke__fiber {
    struct yoke__fiber *next;        /* in a list of one thread's, or of spares */
    void *sp;                        /* the saved context */
    uintptr_t half;                  /* below this address less than half is left */
    struct yoke__strand_head *strand; /* what ran on it when it was left */
    const yoke_site *nosuspend;       /* the innermost open YOKE_NOSUSPEND on it, or NULL */
    struct yoke__worker *last;        /* the worker that left it */
    struct yoke__worker *pin;        /* the only worker that may continue it, or NULL */
    void *base;                      /* of the stack, guard included; NULL: a thread's own */
    char *floor, *top;               /* usable bytes: [floor, top) */
    struct yoke__node node;          /* in an inbox */
    void *tsan;
    void *asan_fake;
    bool unguarded;                  /* its stack has a canary, and no guard */
    bool lent;                       /* the reserve is in use; as `home` */
    unsigned valgrind;
    unsigned large;                  /* size of the stack; 0: the runtime's: large.h */
    struct yoke__group *home;        /* whose reserve it is, or NULL; under the lock of large.h, as `lent` */
};
_Static_assert(offsetof(struct yoke__fiber, base) < 64, "a switch needs one line");

/* NULL: out of memory. When first switched to, entry(arg of the switch) runs on it, and must not return. */
struct yoke__fiber *yoke__fiber_create(struct yoke__stack_pool *pool, void (*entry)(void *arg));

/* From another stack: tells the sanitizers; the stack itself goes with its pool. */
void yoke__fiber_retire(struct yoke__fiber *fiber);
void yoke__fibers_retire(struct yoke__fiber *first); /* and what it is linked to by `next` */

/* The same, and gives the stack back to its pool. True: no stack of its slab is in use any more. */
bool yoke__fiber_destroy(struct yoke__stack_pool *pool, struct yoke__fiber *fiber);

/* Wraps the calling thread's own stack, which is not freed with it. */
void yoke__fiber_adopt_thread(struct yoke__fiber *fiber);

/* Hints. The second one reads the descriptor, the third one the strand; that fetches the task too. */
static inline void yoke__fiber_prefetch(const struct yoke__fiber *fiber)
{
    __builtin_prefetch(fiber, 1);
}

static inline void yoke__fiber_prefetch_frames(const struct yoke__fiber *fiber)
{
    enum { BELOW = 64, ABOVE = 640, LINE = 64 }; /* from a blocking call up to the loop, and what the way back there calls */
    uintptr_t sp = (uintptr_t)fiber->sp;
    __builtin_prefetch(fiber->strand, 1);
    for (uintptr_t at = sp - BELOW; at < sp + ABOVE; at += LINE)
        __builtin_prefetch((const void *)at, 1);
}

void yoke__fiber_prefetch_seat(const struct yoke__fiber *fiber); /* seat.c */

/* What a sanitizer has to be told on arrival at `me`, first thing after its entry or a switch. */
static inline void yoke__fiber_arrived(struct yoke__fiber *me)
{
#ifdef YOKE__ASAN
    __sanitizer_finish_switch_fiber(me->asan_fake, NULL, NULL);
#else
    (void)me;
#endif
}

/* Leaves `from` for `to`, where `arg` arrives; returns what is handed over when `from` is continued. */
static inline void *yoke__fiber_switch(struct yoke__fiber *from, struct yoke__fiber *to, void *arg)
{
#ifdef YOKE__ASAN
    __sanitizer_start_switch_fiber(&from->asan_fake, to->floor, (size_t)(to->top - to->floor));
#endif
#ifdef YOKE__TSAN
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
    arg = yoke__switch(&from->sp, to->sp, arg);
    yoke__fiber_arrived(from);
    return arg;
}

#endif
