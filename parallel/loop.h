/*
 * loop.h - the loop that splits on demand. Argument and source: loop.c.
 */
#ifndef YOKE_PARALLEL_LOOP_H
#define YOKE_PARALLEL_LOOP_H

#include "work.h"

enum { YOKE__VALUE_SMALL = 64 }; /* accumulators up to here need no memory of their own */

struct yoke__loop {
    struct yoke__work work;
    int64_t grain; /* 0: found while it runs */
    int64_t chunk; /* iterations of one call of the body: the grain, or the last one found; a hint */
    /* does the iterations; `value` is the piece's accumulator */
    int (*leaf)(struct yoke__loop *loop, int64_t begin, int64_t end, void *value);
    void *arg;
    union {
        yoke_range_fn body;
        yoke_fold_fn fold;
        const void *more;
    };
    /* reductions */
    size_t value_size; /* 0: none */
    const void *identity;
    yoke_combine_fn combine;
};

/* Splits the range into `pieces` at once, whoever wants them, and further on demand. */
int yoke__loop_run(struct yoke__loop *loop, int64_t begin, int64_t end, int64_t pieces, void *value);

/* How many pieces are made at once by default. */
int64_t yoke__loop_pieces(void);

/* end - begin, 0 if negative; or -EINVAL. */
int64_t yoke__range_length(int64_t begin, int64_t end);

/* A copy of the identity in `small`, or in memory of its own (NULL: none). The second gives that memory back. */
void *yoke__value_make(void *small, const void *identity, size_t size);
void yoke__value_drop(void *value, const void *small);

#endif
