/*
 * work.h - what all pieces of one parallel call share: its scope, the first failure, how it ends.
 *
 * Pieces are forks, joined last first by the calls that made them. Who fails first writes `code` and cancels the scope; it alone hands
 * its code on, by its own return value and the joins above it, and so the message and the hops in its strand's slot come along: a
 * join takes over the slot of a fork whose result that slot belongs to (executor/fork.c). All the others, failed later or cut, return 0,
 * which belongs to no slot, and no body is begun on the way up, so nothing overwrites what the first one said.
 */
#ifndef YOKE_PARALLEL_WORK_H
#define YOKE_PARALLEL_WORK_H

#include <yoke/yoke.h>

#include "atomic.h"

struct yoke__work {
    yoke_scope scope;
    int32_t code; /* the first failure; set once */
    int32_t cut;  /* something was not done because of a cancel */
};

/* 0: to be ended by yoke__work_end(). Otherwise nothing has happened. */
int yoke__work_begin(struct yoke__work *work, const char *name, const yoke_parallel_options *options);

/* The call's result; `rc` is what the pieces handed on. */
int yoke__work_end(struct yoke__work *work, int rc);

/* A body has returned rc < 0: what the piece is to return. */
int yoke__work_failed(struct yoke__work *work, int rc);

/* False: something is left undone, and the piece is to return 0. A cancellation point that never waits. */
static inline bool yoke__work_goes_on(struct yoke__work *work)
{
    if (__builtin_expect(yoke_checkpoint() == 0, 1))
        return true;
    yoke__store_relaxed(&work->cut, 1); /* read after the joins */
    return false;
}

#endif
