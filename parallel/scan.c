/*
 * scan.c - the inclusive scan, by blocks.
 *
 * Each worker that takes part claims blocks from left to right. If the prefix of a block (the result of everything before it) is known
 * when it is claimed, the block is scanned at once, and its result is the prefix of the next one. Otherwise it is summed, and scanned
 * later. So one worker alone does each block once; p workers do each block twice at most, about 2n/(p + 1) one after another.
 *
 * state[b]:  0         -> SUMMED    sum[b] is there        (the worker that claimed it)
 *            0         -> PREFIXED  prefix[b] is there     (whoever finished block b - 1, or settled it)
 *            either    -> both
 * Both are made by an atomic or, acquire-release: who sets the second bit sees the first one, and what was written before it, and it
 * alone then owns the block (settle): it writes the next block's prefix, which may settle that one too, and at the end scans what it
 * has settled. A claimer that already finds PREFIXED owns the block without a sum. So exactly one scans each block, and nobody waits: who
 * has summed a block whose prefix is missing goes on to the next block, since the missing prefix is some other participant's work at
 * hand, which will settle this one. When all participants have been joined, all blocks are done.
 *
 * prefix[blocks] is the result.
 */
#include "loop.h"

#include <errno.h>
#include <string.h>

#include "platform.h"

enum { SUMMED = 1, PREFIXED = 2 };
enum { BLOCK = 262144, BLOCKS_EACH = 16, BLOCKS_MAX = 65536 }; /* one costs about a microsecond between workers */

struct scan {
    struct yoke__work work;
    int64_t begin, end, grain;
    int64_t block, blocks;
    int64_t next; /* to be claimed */
    yoke_scan_fn body;
    yoke_combine_fn combine;
    void *arg;
    size_t size, stride;
    uint32_t *state;
    unsigned char *prefix, *sum;
    const void *identity;
};

static void *prefix_of(const struct scan *s, int64_t b)
{
    return s->prefix + (size_t)b * s->stride;
}

static void *sum_of(const struct scan *s, int64_t b)
{
    return s->sum + (size_t)b * s->stride;
}

/* The iterations begin .. end - 1, by as many calls as the grain asks for. */
static int stretch(struct scan *s, int64_t begin, int64_t end, void *value, bool final)
{
    while (begin < end) {
        int64_t n = s->grain > 0 && end - begin > s->grain ? s->grain : end - begin;
        int rc = yoke_checkpoint();
        if (rc >= 0)
            rc = s->body(begin, begin + n, value, final, s->arg);
        if (rc < 0)
            return rc;
        begin += n;
    }
    return 0;
}

static int one_block(struct scan *s, int64_t b, void *value, bool final)
{
    int64_t begin = s->begin + b * s->block;
    return stretch(s, begin, s->end - begin > s->block ? begin + s->block : s->end, value, final);
}

/* ---- blocks that were settled ------------------------------------------------------------------------------------------ */

struct settled {
    struct scan *scan;
    int64_t begin, end;
};

/* Scans settled blocks; their prefixes are used up. */
static int scan_settled(void *arg)
{
    struct settled *all = arg;
    if (all->end - all->begin == 1) {
        int rc = one_block(all->scan, all->begin, prefix_of(all->scan, all->begin), true);
        return rc < 0 ? yoke__work_failed(&all->scan->work, rc) : 0;
    }
    struct settled left = *all, right = *all;
    left.end = right.begin = all->begin + (all->end - all->begin) / 2;
    yoke_forked fork;
    yoke_fork(&fork, scan_settled, &right);
    int first = scan_settled(&left), second = yoke_join(&fork);
    return first < 0 ? first : second;
}

/* prefix[b] has been written. True: block b is summed too, and the caller's. */
static bool prefixed(struct scan *s, int64_t b)
{
    return (yoke__or_acq_rel(&s->state[b], (uint32_t)PREFIXED) & SUMMED) != 0; /* pairs with claim() */
}

/* Block b is the caller's, summed and with its prefix. */
static int settle(struct scan *s, int64_t b)
{
    struct settled all = { .scan = s, .begin = b, .end = b };
    do {
        memcpy(prefix_of(s, all.end + 1), prefix_of(s, all.end), s->size);
        int rc = s->combine(prefix_of(s, all.end + 1), sum_of(s, all.end), s->arg);
        if (rc < 0)
            return yoke__work_failed(&s->work, rc);
        all.end++;
    } while (prefixed(s, all.end));
    return scan_settled(&all);
}

/* ---- blocks that are claimed ------------------------------------------------------------------------------------------- */

static int claim(struct scan *s, int64_t b)
{
    int rc;
    if ((yoke__load_acquire(&s->state[b]) & PREFIXED) != 0) { /* pairs with prefixed() */
        memcpy(prefix_of(s, b + 1), prefix_of(s, b), s->size);
        if ((rc = one_block(s, b, prefix_of(s, b + 1), true)) < 0)
            return yoke__work_failed(&s->work, rc);
        return prefixed(s, b + 1) ? settle(s, b + 1) : 0;
    }
    memcpy(sum_of(s, b), s->identity, s->size);
    if ((rc = one_block(s, b, sum_of(s, b), false)) < 0)
        return yoke__work_failed(&s->work, rc);
    return (yoke__or_acq_rel(&s->state[b], (uint32_t)SUMMED) & PREFIXED) != 0 ? settle(s, b) : 0; /* pairs with prefixed() */
}

static int take_part(struct scan *s)
{
    int rc = 0;
    while (rc == 0) {
        int64_t b = yoke__add_relaxed(&s->next, 1); /* only a number; the blocks' contents go by their states */
        if (b >= s->blocks || !yoke__work_goes_on(&s->work))
            return 0;
        rc = claim(s, b);
    }
    return rc;
}

struct crew {
    struct scan *scan;
    int64_t hands;
};

static int run_crew(void *arg)
{
    struct crew *crew = arg;
    if (crew->hands == 1)
        return take_part(crew->scan);
    struct crew half = { .scan = crew->scan, .hands = crew->hands / 2 }, rest = { .scan = crew->scan, .hands = crew->hands - half.hands };
    yoke_forked fork;
    yoke_fork(&fork, run_crew, &half);
    int first = run_crew(&rest), second = yoke_join(&fork);
    return first < 0 ? first : second;
}

/* ---- the call --------------------------------------------------------------------------------------------------------- */

static void choose_blocks(struct scan *s, int64_t length, int64_t workers)
{
    int64_t fair = length / (BLOCKS_EACH * workers) + 1, least = length / BLOCKS_MAX + 1;
    s->block = s->grain > 0 ? s->grain : fair < BLOCK ? fair : BLOCK;
    if (s->block < least)
        s->block = least;
    s->blocks = (length - 1) / s->block + 1;
}

/* The identity in `small` or in memory of its own, prefixes, sums and states; NULL: no memory. */
static void *make_blocks(struct scan *s, const void *identity)
{
    s->stride = (s->size + 15) & ~(size_t)15;
    size_t n = (size_t)s->blocks, states = ((n + 1) * sizeof *s->state + 15) & ~(size_t)15, values;
    if (__builtin_mul_overflow(s->stride, 2 * n + 2, &values) || __builtin_add_overflow(values, states, &values))
        return NULL;
    unsigned char *memory = yoke__os_alloc(values, 64);
    if (memory == NULL)
        return NULL;
    s->state = memset(memory, 0, states);
    s->prefix = memory + states;
    s->sum = s->prefix + (n + 1) * s->stride;
    s->identity = memcpy(s->sum + n * s->stride, identity, s->size);
    memcpy(s->prefix, identity, s->size);
    s->state[0] = PREFIXED;
    return memory;
}

static int run_scan(struct scan *s, void *result)
{
    int64_t workers = yoke_workers(), length = s->end - s->begin;
    int rc;
    if (length <= 0)
        return 0;
    choose_blocks(s, length, workers);
    void *memory = workers > 1 && s->blocks > 1 ? make_blocks(s, result) : NULL;
    if (memory == NULL) {
        rc = stretch(s, s->begin, s->end, result, true);
        return rc < 0 ? yoke__work_failed(&s->work, rc) : 0;
    }
    struct crew crew = { .scan = s, .hands = workers < s->blocks ? workers : s->blocks };
    rc = run_crew(&crew);
    if (rc == 0 && yoke__load_relaxed(&s->work.cut) == 0 && yoke__load_relaxed(&s->work.code) == 0) /* ordered by the joins */
        memcpy(result, prefix_of(s, s->blocks), s->size);
    yoke__os_free(memory);
    return rc;
}

int yoke_parallel_scan(int64_t begin, int64_t end, yoke_scan_fn body, yoke_combine_fn combine, void *arg, void *result, size_t size,
                       const yoke_parallel_options *options)
{
    struct scan scan = { .begin = begin, .end = end, .grain = options != NULL ? options->grain : 0,
                         .body = body, .combine = combine, .arg = arg, .size = size };
    if (body == NULL || combine == NULL || result == NULL || size == 0 || scan.grain < 0 || yoke__range_length(begin, end) < 0)
        return -EINVAL;
    int rc = yoke__work_begin(&scan.work, "parallel scan", options);
    if (rc < 0)
        return rc;
    return yoke__work_end(&scan.work, run_scan(&scan, result));
}
