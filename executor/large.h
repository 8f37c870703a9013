/*
 * large.h - stacks that are larger than the runtime's, for groups that ask for them.
 *
 * A size is the runtime's times a power of two; `large` is the exponent, in scopes, fibers and pools, 0 the runtime's own. A scope inherits
 * it; a group that is opened with .stack_size has the larger of the two. Tasks of a group, and forks begun in a scope, begin on a stack that is
 * at least as large as the group's or scope's: the scheduler's loop, which always runs on a stack of the runtime's size, leaves
 * it for a large one with what it has found in its hands, and comes back when that has ended or blocks. So none is held by what could do
 * with less. Whoever runs a child or a fork of its own on the stack it is on looks first whether that stack is of the size.
 *
 * A group of such a size has a stack of its own from its opening to its end, its reserve: yoke_group_open says -ENOMEM if there is none. Its
 * children have it one after the other, the others take spare stacks or new ones. So whoever waits for children of a group that is
 * open, in close or otherwise, and whatever stacks are held meanwhile by those who wait, one of them goes on. (Children of a group that wait
 * for each other need a stack each, and nobody can promise that.) Forks borrow it only if their join is too deep to run them; services and their
 * forks, which would keep it from the others, only once the others have ended.
 *
 * Who has found something, and finds no memory for its stack, puts it aside and goes on with others. One that was put aside is injected
 * again when a stack is free that it may have, a reserve or a spare of its size, and all of them 1 ms later, as nobody tells when there is memory
 * again. Both sides do so under the lock, and the one that puts aside looks for a free stack once more there: nothing lies aside beside a
 * stack that fits, but for one that what has been injected is about to take: if that takes another one after all, it injects the next. The
 * timer keeps the deadlock verdict off (deadlock.h); the dump tells what lies aside. A fork is not put aside while its join could run it: it is
 * given back (fork.c).
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
struct yoke__group;

/* From the smallest the runtime's may be to the largest of all. */
enum { YOKE__LARGE_SIZES = 16, YOKE__STACK_MOST = 1 << 30 }; /* YOKE__STACK_MIN << 15 */

struct yoke__large {
    struct yoke__stack_pool pools[YOKE__LARGE_SIZES]; /* [0] is not used: yoke__large_pool() */
    struct yoke__lock lock;                           /* everything below, and `home` and `lent` of fibers; no other is taken under it */
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

/* Of a group that is opened with `options` (or NULL) inside a scope with `outside`: its exponent. -EINVAL: too many bytes, which is reported. */
int yoke__large_size(struct yoke_runtime *rt, const yoke_group_options *options, unsigned outside);

/* The group, which nobody knows yet, gets its reserve; it is given back when all children have ended. False: no memory. */
bool yoke__large_reserve(struct yoke_runtime *rt, struct yoke__group *group, unsigned large);
void yoke__large_leave(struct yoke_runtime *rt, struct yoke__group *group);

/* All others have ended: the group's services may have it now. */
void yoke__large_services(struct yoke_runtime *rt, const struct yoke__group *group);

/* A fiber in yoke__worker_large(), the caller's now; NULL: no memory, and others will run the node's. */
struct yoke__fiber *yoke__large_take(struct yoke__worker *w, unsigned large, struct yoke__node *node);

/* It has been left with nothing on it. */
void yoke__large_keep(struct yoke_runtime *rt, struct yoke__fiber *fiber);

/* Injects what was put aside: the timer was due. */
void yoke__large_again(struct yoke_runtime *rt);

/* For each that lies aside, under the lock. False: somebody has it, and the caller is not patient. */
bool yoke__large_each(struct yoke_runtime *rt, bool patient, void (*show)(void *ctx, struct yoke__node *node), void *ctx);

/* Once the threads have ended: the timer, too. How many stacks are neither free nor spare. */
int64_t yoke__large_out(struct yoke_runtime *rt);

#endif
