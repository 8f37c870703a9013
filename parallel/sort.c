/*
 * sort.c - the parallel part of sorting. The serial parts are a template (yoke/sort.h), of which this file is also a user, for elements
 * of 4, 8 and 16 bytes and for pointers, compared by a function.
 *
 * Quicksort; each part is a fork until it is short. Stable, it partitions through a workspace; with many workers there are as many quicksorts
 * as keep them busy, in a merge sort between the array and the workspace, which also takes over from bad pivots. Merges are cut in two
 * at a median of the longer half and its rank in the other one [T. H. Cormen et al., "Introduction to Algorithms", 3rd ed., 27.3].
 *
 * After a cancel nothing is compared any more, but a merge sort still moves what lies in the workspace back: the array holds its
 * elements in some order. Every index is bounded by the lengths, not by the order, so an inconsistent comparison harms the result only.
 */
#include <yoke/parallel.h>
#include <yoke/sort.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "platform.h"
#include "work.h"

/* Elements that are not shared out; the first cuts of a quicksort are serial: a merge sort goes before it if each is for more workers than these. */
enum { SERIAL = 1024, MANY_WORKERS = 4 };

struct sort {
    struct yoke__work work;
    const struct yoke__fast_sort_parts *parts;
    void *arg;
};

static char *at(const struct sort *s, char *base, size_t i)
{
    return base + i * s->parts->size;
}

/* ---- merge sort ------------------------------------------------------------------------------------------------------- */

struct merge {
    struct sort *sort;
    char *a, *b, *out;
    size_t na, nb;
};

static int run_merge(void *arg)
{
    struct merge *m = arg;
    struct sort *s = m->sort;
    const struct yoke__fast_sort_parts *parts = s->parts;
    size_t size = parts->size, i, j;
    bool goes_on = yoke__work_goes_on(&s->work);
    if (!goes_on || m->na == 0 || m->nb == 0 || parts->rank(m->b, at(s, m->a, m->na - 1), 1, true, s->arg) == 1) { /* as it is */
        memcpy(m->out, m->a, m->na * size);
        memcpy(at(s, m->out, m->na), m->b, m->nb * size);
        return 0;
    }
    if (m->na + m->nb <= 4 * SERIAL) {
        parts->merge(m->a, m->na, m->b, m->nb, m->out, s->arg);
        return 0;
    }
    if (m->na >= m->nb) {
        i = m->na / 2;
        j = parts->rank(at(s, m->a, i), m->b, m->nb, false, s->arg);
    } else {
        j = m->nb / 2;
        i = parts->rank(at(s, m->b, j), m->a, m->na, true, s->arg);
    }
    struct merge low = { .sort = s, .a = m->a, .na = i, .b = m->b, .nb = j, .out = m->out };
    struct merge high = { .sort = s, .a = at(s, m->a, i), .na = m->na - i, .b = at(s, m->b, j), .nb = m->nb - j, .out = at(s, m->out, i + j) };
    yoke_forked fork;
    yoke_fork(&fork, run_merge, &high);
    (void)run_merge(&low); /* never fails */
    return yoke_join(&fork);
}

struct part {
    struct sort *sort;
    char *base, *space; /* NULL: not stable */
    size_t count;
    int turns;
};

static int run_part(void *arg);

struct halves {
    struct part part; /* without a turn left it is merged from below */
    size_t whole;     /* parts up to this size are not halved */
    bool over;        /* the result is to lie in `space` */
};

static int run_halves(void *arg)
{
    struct halves *h = arg;
    const struct part *p = &h->part;
    struct sort *s = p->sort;
    size_t n = p->count, low = n / 2;
    if (n <= h->whole) {
        (void)run_part(&h->part); /* never fails */
        if (h->over)
            memcpy(p->space, p->base, n * s->parts->size);
        return 0;
    }
    struct halves left = *h, right = *h;
    left.over = right.over = !h->over;
    left.part.count = low;
    right.part.count = n - low;
    right.part.base = at(s, p->base, low);
    right.part.space = at(s, p->space, low);
    yoke_forked fork;
    yoke_fork(&fork, run_halves, &right);
    (void)run_halves(&left); /* never fails */
    (void)yoke_join(&fork);
    char *from = h->over ? p->base : p->space, *to = h->over ? p->space : p->base;
    struct merge merge = { .sort = s, .a = from, .na = low, .b = at(s, from, low), .nb = n - low, .out = to };
    return run_merge(&merge);
}

/* ---- quicksort -------------------------------------------------------------------------------------------------------- */

/* In place: the result lies in `base`. */
static int run_part(void *arg)
{
    struct part part = *(struct part *)arg;
    struct sort *s = part.sort;
    const struct yoke__fast_sort_parts *parts = s->parts;
    size_t middle, greater;
    if (!yoke__work_goes_on(&s->work))
        return 0;
    if (part.count <= SERIAL || (part.turns == 0 && part.space == NULL)) { /* the serial parts know how to end badly cut ones */
        if (part.space == NULL)
            parts->sort(part.base, part.count, part.turns, s->arg);
        else
            parts->stable(part.base, part.count, part.space, part.turns, s->arg);
        return 0;
    }
    if (part.turns == 0) {
        struct halves halves = { .part = part, .whole = SERIAL };
        return run_halves(&halves);
    }
    if (part.space == NULL)
        parts->partition(part.base, part.count, &middle, &greater, s->arg);
    else
        parts->partition_stable(part.base, part.count, part.space, &middle, &greater, s->arg);
    part.turns -= yoke__fast_sort_bad(part.count, middle, greater);
    struct part low = part, high = part;
    low.count = middle;
    high.base = at(s, part.base, greater);
    high.count = part.count - greater;
    if (part.space != NULL)
        high.space = at(s, part.space, greater);
    bool low_first = low.count < high.count; /* the longer one is for others */
    yoke_forked fork;
    yoke_fork(&fork, run_part, low_first ? &high : &low);
    (void)run_part(low_first ? &low : &high); /* never fails */
    return yoke_join(&fork);
}

/* ---- the call --------------------------------------------------------------------------------------------------------- */

/* Large pages for a large one, where the kernel gives them: its first touch may take longer than the sorting otherwise. NULL: out of memory. */
static char *workspace(size_t bytes)
{
    enum { SMALL = 64, LARGE = 2 * 1024 * 1024 };
    char *space = yoke__os_alloc(bytes, bytes < 2 * LARGE ? SMALL : LARGE);
    if (space != NULL && bytes >= 2 * LARGE)
        (void)yoke__os_madvise(space, bytes, MADV_HUGEPAGE);
    return space;
}

static int run_sort(struct sort *s, char *base, size_t count, bool stable)
{
    if (s->parts->ordered(base, count, s->arg))
        return 0;
    struct part part = { .sort = s, .base = base, .count = count, .turns = 64 - __builtin_clzll(count) };
    if (!stable)
        return run_part(&part);
    part.space = workspace(count * s->parts->size); /* no overflow: as large as the array */
    if (part.space == NULL)
        return yoke__work_failed(&s->work, -ENOMEM);
    struct halves all = { .part = part, .whole = MANY_WORKERS * (count / (size_t)yoke_workers()) };
    if (all.whole < SERIAL)
        all.whole = SERIAL;
    int rc = run_halves(&all);
    yoke__os_free(part.space);
    return rc;
}

int yoke__fast_sort(const struct yoke__fast_sort_parts *parts, void *base, size_t count, bool stable, void *arg)
{
    struct sort sort = { .parts = parts, .arg = arg };
    if (base == NULL && count > 0)
        return -EINVAL;
    int rc = yoke__work_begin(&sort.work, "parallel sort", NULL);
    if (rc < 0)
        return rc;
    return yoke__work_end(&sort.work, run_sort(&sort, base, count, stable));
}

/* ---- compared by a function ------------------------------------------------------------------------------------------- */

struct order {
    yoke_compare_fn compare;
    void *arg;
};

static inline bool before(const void *a, const void *b, const void *arg)
{
    const struct order *order = arg;
    return order->compare(a, b, order->arg) < 0;
}

/* Whatever lies in them. */
typedef uint32_t __attribute__((may_alias)) four;
typedef uint64_t __attribute__((may_alias)) eight;
typedef struct __attribute__((may_alias)) sixteen { uint64_t half[2]; } sixteen;

#define YOKE_SORT sort_four
#define YOKE_SORT_TYPE four
#define YOKE_SORT_LESS(a, b, arg) before(a, b, arg)
#include <yoke/sort.h>

#define YOKE_SORT sort_eight
#define YOKE_SORT_TYPE eight
#define YOKE_SORT_LESS(a, b, arg) before(a, b, arg)
#include <yoke/sort.h>

#define YOKE_SORT sort_sixteen
#define YOKE_SORT_TYPE sixteen
#define YOKE_SORT_LESS(a, b, arg) before(a, b, arg)
#include <yoke/sort.h>

#define YOKE_SORT sort_pointers
#define YOKE_SORT_TYPE char *
#define YOKE_SORT_LESS(a, b, arg) before(*(a), *(b), arg)
#include <yoke/sort.h>

static bool aligned(const void *base, size_t to)
{
    return (uintptr_t)base % to == 0;
}

/* Element i comes to where pointer i lies: each cycle once, a mark for those that are where they belong. */
static void permute(char *base, size_t size, char **pointers, size_t count, char *spare)
{
    for (size_t i = 0; i < count; i++) {
        char *hole = base + i * size;
        if (pointers[i] == hole)
            continue;
        memcpy(spare, hole, size);
        for (size_t k = i;;) {
            char *from = pointers[k];
            pointers[k] = hole;
            if (from == base + i * size) {
                memcpy(hole, spare, size);
                break;
            }
            memcpy(hole, from, size);
            hole = from;
            k = (size_t)(from - base) / size;
        }
    }
}

static int sort_indirectly(char *base, size_t count, size_t size, bool stable, struct order *order)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, sizeof(char *), &bytes) || __builtin_add_overflow(bytes, size, &bytes))
        return -ENOMEM;
    char **pointers = (char **)(void *)workspace(bytes);
    if (pointers == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        pointers[i] = base + i * size;
    int rc = stable ? sort_pointers_stable(pointers, count, order) : sort_pointers(pointers, count, order);
    if (rc == 0)
        permute(base, size, pointers, count, (char *)(pointers + count));
    yoke__os_free(pointers);
    return rc;
}

static int sort_any(void *base, size_t count, size_t size, bool stable, yoke_compare_fn compare, void *arg)
{
    struct order order = { .compare = compare, .arg = arg };
    if (compare == NULL || size == 0 || (base == NULL && count > 0))
        return -EINVAL;
    if (size == 4 && aligned(base, 4))
        return yoke__fast_sort(&sort_four_parts, base, count, stable, &order);
    if (size == 8 && aligned(base, 8))
        return yoke__fast_sort(&sort_eight_parts, base, count, stable, &order);
    if (size == 16 && aligned(base, 8))
        return yoke__fast_sort(&sort_sixteen_parts, base, count, stable, &order);
    return sort_indirectly(base, count, size, stable, &order);
}

int yoke_parallel_sort(void *base, size_t count, size_t size, yoke_compare_fn compare, void *arg)
{
    return sort_any(base, count, size, false, compare, arg);
}

int yoke_parallel_sort_stable(void *base, size_t count, size_t size, yoke_compare_fn compare, void *arg)
{
    return sort_any(base, count, size, true, compare, arg);
}
