/*
 * yoke/parallel.h - loops, reductions, scans, sorts, calls and pipelines on all workers, made of forks and groups.
 *
 *     static int scale(int64_t begin, int64_t end, void *arg)   // gets a stretch, so that the loop itself is plain C
 *     {
 *         double *v = arg;
 *         for (int64_t i = begin; i < end; i++)
 *             v[i] *= 2;
 *         return 0;
 *     }
 *     YOKE_TRY(yoke_parallel_for(0, n, scale, v, NULL));
 *
 * What holds for every call here:
 *   - It returns when all of it has ended. Bodies run in the calling task (as forks, except for the stages of a pipeline, which are
 *     tasks), on this worker and on those that look for work, in any order and at the same time. They may block, fork, spawn,
 *     and call what is in this header.
 *   - A body's negative result is a failure: the first one cancels the others and is the result of the call, with its message and the
 *     way it took. What is cancelled is a scope that the call opens: bodies meet it at their next cancellation point, and no
 *     further ones begin. A body's -ECANCELED is no failure if it was in fact cancelled.
 *   - The call is a cancellation point, checked first and between bodies: -ECANCELED if an enclosing cancel kept or cut a body. If all
 *     was done before the cancel was met, 0, and the cancel stays pending.
 *   - -ENOMEM: no memory; nothing was called, unless said otherwise. -ENOTRECOVERABLE: outside of a task. -EINVAL: no function, or a range longer than INT64_MAX.
 *   - Arguments are the caller's and must be valid until the call returns. The library copies nothing but accumulators.
 *
 * The grain, how many iterations one call of the body does, is found while the loop runs: about 40 us of work. Work is split where
 * somebody looks for it, else not: A. Tzannes, G. C. Caragea, R. Barua, U. Vishkin, "Lazy binary-splitting: a run-time adaptive
 * work-stealing scheduler", PPoPP 2010. A grain of one's own is a bound: where iterations differ by orders of magnitude, it says how
 * many of them may stick together.
 */
#ifndef YOKE_PARALLEL_H
#define YOKE_PARALLEL_H

#include <yoke/base.h>

YOKE_BEGIN_DECLS

typedef struct yoke_parallel_options {
    size_t size;
    int64_t grain;        /* most iterations of one call of a body; 0: found while it runs */
    bool reproducible;    /* reduce only: the result depends on range, grain and bodies alone, whatever the workers do */
    const char *name;     /* for the dump; must outlive the call */
    const yoke_site *site;
} yoke_parallel_options;

/* ---- loops -------------------------------------------------------------------------------------------------------------- */

/* Does the iterations begin .. end - 1; begin < end. */
typedef int (*yoke_range_fn)(int64_t begin, int64_t end, void *arg);

/*
 * Each iteration of begin .. end - 1 is done once, by some call of `body`. Nothing is called if begin >= end. `options` may be NULL.
 * Iterations must not wait for one another: several of them may be done one after the other.
 */
YOKE_API YOKE_MUST_CHECK int yoke_parallel_for(int64_t begin, int64_t end, yoke_range_fn body, void *arg, const yoke_parallel_options *options);

/* Rows and columns, each [begin, end). */
typedef struct yoke_tile {
    int64_t row_begin, row_end;
    int64_t column_begin, column_end;
} yoke_tile;

typedef int (*yoke_tile_fn)(const yoke_tile *tile, void *arg);

/*
 * The same for all cells of `whole`: a call of `body` does a tile of them. options->grain: the longest side of a tile; 0: 64, or less where
 * that makes too few tiles. -EINVAL also if there are more than INT64_MAX cells.
 */
YOKE_API YOKE_MUST_CHECK int yoke_parallel_for_2d(const yoke_tile *whole, yoke_tile_fn body, void *arg, const yoke_parallel_options *options);

/* ---- calls of different functions ------------------------------------------------------------------------------------------ */

typedef struct yoke_call_entry {
    yoke_fn fn;
    void *arg;
} yoke_call_entry;

/* Calls each fn(arg) once. The array is the caller's. Each is a fork of its own: one that blocks keeps no other one from being called. */
YOKE_API YOKE_MUST_CHECK int yoke_parallel_invoke_all(const yoke_call_entry *calls, size_t count);

/* ---- reductions ------------------------------------------------------------------------------------------------------------ */

/* Folds the iterations begin .. end - 1, in this order, into *accumulator. */
typedef int (*yoke_fold_fn)(int64_t begin, int64_t end, void *accumulator, void *arg);

/* *left = *left combined with *right, which comes next to its right. *right is not used any more. */
typedef int (*yoke_combine_fn)(void *left, void *right, void *arg);

/*
 * *result, `size` bytes, holds the identity on entry (what changes nothing it is combined with: 0 for sums) and the result afterwards; on
 * failure its contents are unspecified. Accumulators are copies of the identity by memcpy, aligned to 16 bytes. Combining must be
 * associative; it need not be commutative: the order is kept.
 *
 * Floating-point sums are not quite associative, and where the range is split depends on chance. With options->reproducible the range is cut
 * into blocks of `grain` iterations (0: 1024 blocks), each folded by one call from the identity, and combined as a balanced tree: bit
 * for bit the same result for any number of workers, one included, on any day. Accumulators of more than 64 bytes then take memory at
 * each node of the tree: -ENOMEM is a failure like a body's.
 */
YOKE_API YOKE_MUST_CHECK int yoke_parallel_reduce(int64_t begin, int64_t end, yoke_fold_fn fold, yoke_combine_fn combine, void *arg,
                                                  void *result, size_t size, const yoke_parallel_options *options);

/*
 * Folds begin .. end - 1 into *accumulator, which holds the result of all iterations before `begin`, or, if not `final`, the identity. If
 * `final`, also stores each iteration's result (this one included) where it belongs.
 */
typedef int (*yoke_scan_fn)(int64_t begin, int64_t end, void *accumulator, bool final, void *arg);

/*
 * The inclusive scan (prefix sums): every iteration is done once with `final`, and, if its turn had not come when a worker was free for it,
 * once before without. *result: as for a reduction. One worker alone does each iteration once. If there is no memory for the
 * blocks it is done so, too. Blocks of at most 262144 iterations (or the grain): G. E. Blelloch, "Prefix sums and their applications",
 * CMU-CS-90-190, 1990; a block whose turn has come is scanned at once, after D. Merrill, M. Garland, "Single-pass parallel prefix scan
 * with decoupled look-back", NVR-2016-002.
 */
YOKE_API YOKE_MUST_CHECK int yoke_parallel_scan(int64_t begin, int64_t end, yoke_scan_fn body, yoke_combine_fn combine, void *arg,
                                                void *result, size_t size, const yoke_parallel_options *options);

/* ---- sorting ------------------------------------------------------------------------------------------------------------- */

/* Less than, equal to or greater than 0, as for qsort(3). Must be a consistent order; it cannot fail. */
typedef int (*yoke_compare_fn)(const void *a, const void *b, void *arg);

/*
 * Sorts `count` elements of `size` bytes. Cut by a cancel (-ECANCELED) the array holds the same elements in some order. Quicksort
 * whose worst case is heapsort: D. R. Musser, "Introspective sorting and selection algorithms", SPE 27 (1997); sizes of 4, 8
 * and 16 bytes in place, others by way of an array of pointers (-ENOMEM). Where time matters use <yoke/sort.h>, in which the
 * comparison is inlined.
 */
YOKE_API YOKE_MUST_CHECK int yoke_parallel_sort(void *base, size_t count, size_t size, yoke_compare_fn compare, void *arg);

/*
 * Equal elements keep their order. Quicksort, whose worst case is merge sort, with room for a copy of the array (or of the pointers) as its
 * workspace: -ENOMEM.
 */
YOKE_API YOKE_MUST_CHECK int yoke_parallel_sort_stable(void *base, size_t count, size_t size, yoke_compare_fn compare, void *arg);

/* ---- one accumulator for each worker ------------------------------------------------------------------------------------- */

/*
 * For sums, counts and buffers that are too large or too many for a reduction's tree. The worker's own copy is exclusively the
 * caller's until its next call that may wait (see yoke_worker_index); then it must be asked for again.
 */
typedef struct yoke_accumulator yoke_accumulator;

/* One copy of *identity (`size` bytes) for each worker of this runtime. *made is the caller's. -ENOMEM, -EINVAL: *made is NULL. Never blocks. */
YOKE_API YOKE_MUST_CHECK int yoke_accumulator_create(yoke_accumulator **made, const void *identity, size_t size);

/* The copy of the worker this runs on, on cache lines of its own. NULL outside of a task. Never blocks. */
YOKE_API void *yoke_accumulator_local(yoke_accumulator *accumulator);

/*
 * Combines all copies into *result (initialised by the caller), in the order of the workers, and makes them the identity again. Nobody
 * may use them meanwhile: after the loop. The first failure of `combine` is the result, and the rest is left undone.
 */
YOKE_API YOKE_MUST_CHECK int yoke_accumulator_combine(yoke_accumulator *accumulator, yoke_combine_fn combine, void *arg, void *result);

/* Gives it back. NULL is allowed. */
YOKE_API void yoke_accumulator_destroy(yoke_accumulator *accumulator);
YOKE_API void yoke_accumulator_scoped(yoke_accumulator **accumulator);

/* ---- pipelines ------------------------------------------------------------------------------------------------------------ */

enum yoke_stage_kind {
    YOKE_STAGE_ORDERED = 0, /* one item at a time, in the order in which they came from the source */
    YOKE_STAGE_UNORDERED,   /* any number of items at the same time */
};

typedef struct yoke_stage {
    enum yoke_stage_kind kind; /* of the first stage without meaning: it is always ordered */
    int (*fn)(void *item, void *arg);
    void *arg;
} yoke_stage;

typedef struct yoke_pipeline_options {
    size_t size;
    size_t item_size;     /* bytes */
    unsigned in_flight;   /* most items between the source's call and the end of the last stage; 0: four for each worker */
    void (*discard)(void *item, void *arg); /* for items that do not come through, after a failure or a cancel; may be NULL */
    void *discard_arg;
    const char *name;     /* of its tasks; must outlive the call */
    const yoke_site *site;
} yoke_pipeline_options;

/*
 * The first stage is the source: it fills in *item and returns 1, or returns 0 at the end. The others get each item in turn, in place
 * (aligned to 16 bytes), and return >= 0. An item that has to wait for its turn in an ordered stage holds no worker. `discard` is called for
 * every item that was filled in and did not leave the last stage with success, the one whose stage failed included, in the calling
 * task after all others have ended; it must not fail. -EINVAL also: no stages, no item size. Tokens that are passed on:
 * J. Reinders, "Intel Threading Building Blocks", 2007, chapter 3 (pipeline).
 */
YOKE_API YOKE_MUST_CHECK int yoke_parallel_pipeline(const yoke_stage *stages, size_t count, const yoke_pipeline_options *options);

YOKE_END_DECLS

/* Options for loops, reductions and scans: YOKE_PARALLEL(.grain = 100). C only. */
#define YOKE_PARALLEL(...) (&(const yoke_parallel_options){ .size = sizeof(yoke_parallel_options), .site = YOKE_SITE, __VA_ARGS__ })
#define YOKE_PIPELINE(...) (&(const yoke_pipeline_options){ .size = sizeof(yoke_pipeline_options), .site = YOKE_SITE, __VA_ARGS__ })

/* yoke_parallel_invoke({ f, &a }, { g, &b }, ...): C only. */
#define yoke_parallel_invoke(...) \
    yoke_parallel_invoke_all((const yoke_call_entry[]){ __VA_ARGS__ }, sizeof((const yoke_call_entry[]){ __VA_ARGS__ }) / sizeof(yoke_call_entry))

#endif
