/*
 * large.h - stacks that are larger than the runtime's, for groups that ask for them.
 *
 * A size is the runtime's times a power of two; `large` is the exponent, in scopes, fibers and pools, 0 the runtime's own. A scope inherits
 * it; a group that is opened with .stack_size has the larger of the two. Tasks of a group, and forks begun in a scope, begin on a stack that is
 * at least as large as the group's or scope's: the scheduler's loop, which always runs on a stack of the runtime's size, leaves
 * it for a large one with what it has found in its hands, and comes back when that has ended or blocks. So none is held by what could do
 * with less. Whoever runs a child or a fork of its own on the stack it is on looks first whether that stack is of the size.
 *
 * Who has found something, and finds no memory for its stack, puts it aside and goes on with others. One that was put aside is injected
 * again when a stack of its size is given back, and all of them 1 ms later, as nobody tells when there is memory again. Both sides do so
 * under the lock, and the one that puts aside looks for a spare stack once more there: nothing lies aside beside a stack that fits. The
 * timer keeps the deadlock verdict off (deadlock.h). A fork is not put aside while its join could run it: it is given back (fork.c).
 * yoke_group_open sees to it that there is a spare stack of the size, and says -ENOMEM otherwise: so a task that holds the only stack for which
 * there is memory does not wait for children that could never begin, unless others took that spare.
 *
 * Spares are kept for reuse, last used first, a few of each size; the others are given back to their pool, and slabs to the system as soon as
 * all their stacks are.
 */
#ifndef YOKE_EXECUTOR_LARGE_H
#define YOKE_EXECUTOR_LARGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yoke/group.h>

#include "fiber.h"
#include "inbox.h"
#include "lock.h"
#include "stack.h"
#include "wheel.h"

struct yoke_runtime;
struct yoke__worker;
struct yoke__node;

/* From the smallest the runtime's may be to the largest of all. */
enum { YOKE__LARGE_SIZES = 16, YOKE__STACK_MOST = 1 << 30 }; /* YOKE__STACK_MIN << 15 */

struct yoke__large {
    struct yoke__stack_pool pools[YOKE__LARGE_SIZES]; /* [0] is not used: yoke__large_pool() */
    struct yoke__lock lock;                           /* everything below */
    struct yoke__fiber *spare[YOKE__LARGE_SIZES];
    int spares[YOKE__LARGE_SIZES];
    struct yoke__node *aside, *last_aside;            /* first put aside first */
    bool waiting;                                     /* for the timer */
    bool told;                                        /* that there is no memory */
    struct yoke__timer timer;
};

/* After the runtime's own pool has been made. */
void yoke__large_init(struct yoke_runtime *rt);
/* Once the threads have ended: the spare fibers, and later their stacks. */
void yoke__large_retire(struct yoke_runtime *rt);
void yoke__large_destroy(struct yoke_runtime *rt);

struct yoke__stack_pool *yoke__large_pool(struct yoke_runtime *rt, unsigned large);

/*
 * For a group that is opened with `options` (or NULL) inside a scope with `outside`: its own exponent; there is a spare stack then. -EINVAL:
 * too many bytes, which is reported; -ENOMEM.
 */
int yoke__large_admit(struct yoke_runtime *rt, const yoke_group_options *options, unsigned outside);

/* A fiber in yoke__worker_large(), the caller's now; NULL: no memory, and others will run the node's. */
struct yoke__fiber *yoke__large_take(struct yoke__worker *w, unsigned large, struct yoke__node *node);

/* It has been left with nothing on it. */
void yoke__large_keep(struct yoke_runtime *rt, struct yoke__fiber *fiber);

/* Injects what was put aside: the timer was due. */
void yoke__large_again(struct yoke_runtime *rt);

#endif
