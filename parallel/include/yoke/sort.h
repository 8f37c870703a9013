/*
 * yoke/sort.h - sorting on all workers with the comparison inlined. A template, to be included once for each order:
 *
 *     #define YOKE_SORT sort_numbers                       // the name of the function to be defined
 *     #define YOKE_SORT_TYPE int
 *     #define YOKE_SORT_LESS(a, b, arg) (*(a) < *(b))      // a, b: const pointers to elements
 *     #include <yoke/sort.h>
 *
 * defines, static,
 *
 *     int sort_numbers(int *base, size_t count, void *arg);
 *     int sort_numbers_stable(int *base, size_t count, void *arg);
 *
 * which sort in ascending order. `arg` is passed to YOKE_SORT_LESS; it may be NULL. LESS must be a strict weak order and may be evaluated
 * by several workers at the same time; elements are copied by assignment. Errors, cancellation and memory are those of yoke_parallel_sort
 * and yoke_parallel_sort_stable (yoke/parallel.h); the first one takes no memory. The macros are undefined again.
 *
 * What is parallel is in parallel/sort.c; here is what it calls for the elements of one type. Partitioning moves every element and
 * lets the comparison only decide by how much a counter grows, so that there is no branch to mispredict: N. Lomuto's scheme (in
 * J. Bentley, "Programming Pearls"), made branch-free as by O. Peters and L. Bergdoll, "Branchless Lomuto partitioning", 2023; after
 * S. Edelkamp, A. Weiss, "BlockQuicksort", ESA 2016.
 */
#ifndef YOKE_SORT_H
#define YOKE_SORT_H

#include <string.h>

#include <yoke/base.h>

YOKE_BEGIN_DECLS

/* The serial parts, for one type. Not for use by name. */
struct yoke__fast_sort_parts {
    size_t size;
    /* Sorts, unstable, in place; after `turns` bad partitions no further ones are made. */
    void (*sort)(void *base, size_t count, int turns, void *arg);
    /* Moves a pivot to its place, *middle, smaller ones before it; from *greater on all are greater, between are equals. */
    void (*partition)(void *base, size_t count, size_t *middle, size_t *greater, void *arg);
    /* The same, stable; `space` has room for as many. */
    void (*stable)(void *base, size_t count, void *space, int turns, void *arg);
    /* Merges two sorted arrays, of equals those of `a` first. */
    void (*merge)(const void *a, size_t na, const void *b, size_t nb, void *out, void *arg);
    /* How many elements of a sorted array are less than *key, or, `through`, not greater. */
    size_t (*rank)(const void *key, const void *base, size_t count, bool through, void *arg);
    /* True: sorted, or strictly descending and now reversed. */
    bool (*ordered)(void *base, size_t count, void *arg);
    /* As `partition`, and each of the three keeps its order; *middle == *greater if equals were not told apart. `space` as above. */
    void (*partition_stable)(void *base, size_t count, void *space, size_t *middle, size_t *greater, void *arg);
};

YOKE_API YOKE_MUST_CHECK int yoke__fast_sort(const struct yoke__fast_sort_parts *parts, void *base, size_t count, bool stable, void *arg);

YOKE_END_DECLS

/* 1 if a partition left more than seven eighths on one side. */
static inline int yoke__fast_sort_bad(size_t count, size_t middle, size_t greater)
{
    size_t rest = middle > count - greater ? middle : count - greater;
    return rest > count - count / 8;
}

#define YOKE__SORT(suffix) YOKE__CAT(YOKE_SORT, suffix)
/* The compiler must not make a branch of it. */
#define YOKE__SORT_BIT(condition) (__extension__({ size_t yoke_bit = (condition) ? 1u : 0u; __asm__("" : "+r"(yoke_bit)); yoke_bit; }))

#endif

#ifdef YOKE_SORT

typedef YOKE_SORT_TYPE YOKE__SORT(_element);

static inline void YOKE__SORT(_insert)(YOKE__SORT(_element) *v, size_t n, void *arg)
{
    (void)arg;
    for (size_t i = 1; i < n; i++) {
        YOKE__SORT(_element) x = v[i];
        size_t k = i;
        for (; k > 0 && YOKE_SORT_LESS((const YOKE__SORT(_element) *)&x, (const YOKE__SORT(_element) *)&v[k - 1], arg); k--)
            v[k] = v[k - 1];
        v[k] = x;
    }
}

static inline void YOKE__SORT(_swap)(YOKE__SORT(_element) *a, YOKE__SORT(_element) *b)
{
    YOKE__SORT(_element) x = *a;
    *a = *b;
    *b = x;
}

static inline void YOKE__SORT(_sift)(YOKE__SORT(_element) *v, size_t at, size_t n, void *arg)
{
    (void)arg;
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && YOKE_SORT_LESS((const YOKE__SORT(_element) *)&v[child], (const YOKE__SORT(_element) *)&v[child + 1], arg))
            child++;
        if (!YOKE_SORT_LESS((const YOKE__SORT(_element) *)&v[at], (const YOKE__SORT(_element) *)&v[child], arg))
            return;
        YOKE__SORT(_swap)(&v[at], &v[child]);
    }
}

static __attribute__((noinline)) void YOKE__SORT(_heap)(YOKE__SORT(_element) *v, size_t n, void *arg)
{
    for (size_t i = n / 2; i > 0; i--)
        YOKE__SORT(_sift)(v, i - 1, n, arg);
    for (size_t i = n; i > 1; i--) {
        YOKE__SORT(_swap)(&v[0], &v[i - 1]);
        YOKE__SORT(_sift)(v, 0, i - 1, arg);
    }
}

/* The index of the median of three. */
static inline size_t YOKE__SORT(_median)(const YOKE__SORT(_element) *v, size_t a, size_t b, size_t c, void *arg)
{
    (void)arg;
    bool ab = YOKE_SORT_LESS(&v[a], &v[b], arg), bc = YOKE_SORT_LESS(&v[b], &v[c], arg);
    if (ab == bc)
        return b;
    bool ac = YOKE_SORT_LESS(&v[a], &v[c], arg);
    return ab == ac ? c : a;
}

/*
 * A hole goes through the array behind the element that is looked at: the first of those that are not less fills it, and the element
 * takes that one's place.
 */
#define YOKE__SORT_SPLIT(name, condition) \
    static inline size_t YOKE__SORT(name)(YOKE__SORT(_element) *v, size_t n, const YOKE__SORT(_element) *pivot, void *arg) \
    { \
        size_t less = 0, hole = 0; \
        (void)arg; \
        if (n == 0) \
            return 0; \
        const YOKE__SORT(_element) first = v[0], key = *pivot; \
        const YOKE__SORT(_element) *const k = &key; \
        for (size_t i = 1; i < n; i++) { \
            const YOKE__SORT(_element) x = v[i]; \
            const YOKE__SORT(_element) *const e = &x; \
            v[hole] = v[less]; \
            v[less] = x; \
            hole = i; \
            less += YOKE__SORT_BIT(condition); \
        } \
        const YOKE__SORT(_element) *const e = &first; \
        v[hole] = v[less]; \
        v[less] = first; \
        return less + YOKE__SORT_BIT(condition); \
    }
YOKE__SORT_SPLIT(_split, YOKE_SORT_LESS(e, k, arg))
YOKE__SORT_SPLIT(_split_equal, !YOKE_SORT_LESS(k, e, arg))
#undef YOKE__SORT_SPLIT

static inline size_t YOKE__SORT(_pivot)(const YOKE__SORT(_element) *v, size_t n, void *arg)
{
    size_t h = n / 2, e = n / 8;
    if (n < 128)
        return YOKE__SORT(_median)(v, 0, h, n - 1, arg);
    return YOKE__SORT(_median)(v, YOKE__SORT(_median)(v, e, 2 * e, 3 * e, arg), YOKE__SORT(_median)(v, h - 1, h, h + 1, arg),
                               YOKE__SORT(_median)(v, n - 3 * e, n - 2 * e, n - e, arg), arg);
}

/* An uneven cut may mean many equals: then they are told apart from the greater ones. */
static void YOKE__SORT(_partition)(void *base, size_t n, size_t *middle, size_t *greater, void *arg)
{
    YOKE__SORT(_element) *v = (YOKE__SORT(_element) *)base;
    YOKE__SORT(_swap)(&v[0], &v[YOKE__SORT(_pivot)(v, n, arg)]);
    size_t m = YOKE__SORT(_split)(v + 1, n - 1, v, arg);
    YOKE__SORT(_swap)(&v[0], &v[m]);
    *middle = m;
    *greater = m + 1;
    if (m < n / 8)
        *greater += YOKE__SORT(_split_equal)(v + m + 1, n - m - 1, &v[m], arg);
}

/* Each element is written to both places it may belong to, of which one is overwritten by the next. The others come back behind the less. */
#define YOKE__SORT_SPLIT(name, condition) \
    static inline size_t YOKE__SORT(name)(YOKE__SORT(_element) *v, size_t n, YOKE__SORT(_element) *space, YOKE__SORT(_element) key, void *arg) \
    { \
        size_t less = 0, others = 0; \
        const YOKE__SORT(_element) *const k = &key; \
        (void)arg; \
        for (size_t i = 0; i < n; i++) { \
            const YOKE__SORT(_element) x = v[i]; \
            const YOKE__SORT(_element) *const e = &x; \
            v[less] = x; \
            space[others] = x; \
            size_t bit = YOKE__SORT_BIT(condition); \
            less += bit; \
            others += 1 - bit; \
        } \
        if (others > 0) \
            memcpy((void *)(v + less), (const void *)space, others * sizeof *v); \
        return less; \
    }
YOKE__SORT_SPLIT(_split_stable, YOKE_SORT_LESS(e, k, arg))
YOKE__SORT_SPLIT(_split_equal_stable, !YOKE_SORT_LESS(k, e, arg))
#undef YOKE__SORT_SPLIT

static void YOKE__SORT(_partition_stable)(void *base, size_t n, void *space, size_t *middle, size_t *greater, void *arg)
{
    YOKE__SORT(_element) *v = (YOKE__SORT(_element) *)base;
    const YOKE__SORT(_element) pivot = v[YOKE__SORT(_pivot)(v, n, arg)];
    *middle = *greater = YOKE__SORT(_split_stable)(v, n, (YOKE__SORT(_element) *)space, pivot, arg);
    if (*middle < n / 8)
        *greater += YOKE__SORT(_split_equal_stable)(v + *middle, n - *middle, (YOKE__SORT(_element) *)space, pivot, arg);
}

static void YOKE__SORT(_quick)(YOKE__SORT(_element) *v, size_t n, int turns, void *arg)
{
    while (n > 20) {
        size_t middle, greater;
        if (turns == 0) {
            YOKE__SORT(_heap)(v, n, arg);
            return;
        }
        YOKE__SORT(_partition)(v, n, &middle, &greater, arg);
        turns -= yoke__fast_sort_bad(n, middle, greater);
        if (middle < n - greater) { /* the smaller one by recursion, so that it is at most log2(n) deep */
            YOKE__SORT(_quick)(v, middle, turns, arg);
            v += greater;
            n -= greater;
        } else {
            YOKE__SORT(_quick)(v + greater, n - greater, turns, arg);
            n = middle;
        }
    }
    YOKE__SORT(_insert)(v, n, arg);
}

static void YOKE__SORT(_sort)(void *base, size_t n, int turns, void *arg)
{
    YOKE__SORT(_quick)((YOKE__SORT(_element) *)base, n, turns, arg);
}

static inline void YOKE__SORT(_merge_on)(const YOKE__SORT(_element) *a, size_t na, const YOKE__SORT(_element) *b, size_t nb,
                                         YOKE__SORT(_element) *out, void *arg)
{
    const YOKE__SORT(_element) *const ae = a + na, *const be = b + nb;
    (void)arg;
    while (a < ae && b < be) {
        size_t r = YOKE__SORT_BIT(YOKE_SORT_LESS(b, a, arg));
        const YOKE__SORT(_element) *const from = r ? b : a;
        *out++ = *from;
        b += r;
        a += 1 - r;
    }
    if (a < ae)
        memcpy((void *)out, (const void *)a, (size_t)(ae - a) * sizeof *a);
    if (b < be)
        memcpy((void *)out, (const void *)b, (size_t)(be - b) * sizeof *b);
}

/*
 * From both ends at the same time, so that the processor has two things to do: as many steps as the shorter array has elements keep
 * within both. If the order is none the ends may cross, and all is merged anew.
 */
static void YOKE__SORT(_merge)(const void *left, size_t na, const void *right, size_t nb, void *into, void *arg)
{
    const YOKE__SORT(_element) *a = (const YOKE__SORT(_element) *)left, *b = (const YOKE__SORT(_element) *)right;
    YOKE__SORT(_element) *out = (YOKE__SORT(_element) *)into;
    for (size_t steps; (steps = na < nb ? na : nb) > 4;) {
        size_t fa = 0, fb = 0, la = na, lb = nb; /* next from the front; one behind the next from the end */
        for (size_t i = 0; i < steps; i++) {
            size_t r = YOKE__SORT_BIT(YOKE_SORT_LESS(&b[fb], &a[fa], arg));
            const YOKE__SORT(_element) *const low = r ? &b[fb] : &a[fa];
            out[i] = *low;
            fb += r;
            fa += 1 - r;
            size_t l = YOKE__SORT_BIT(YOKE_SORT_LESS(&b[lb - 1], &a[la - 1], arg));
            const YOKE__SORT(_element) *const high = l ? &a[la - 1] : &b[lb - 1];
            out[na + nb - 1 - i] = *high;
            la -= l;
            lb -= 1 - l;
        }
        if (fa > la || fb > lb)
            break;
        a += fa;
        b += fb;
        na = la - fa;
        nb = lb - fb;
        out += steps;
    }
    YOKE__SORT(_merge_on)(a, na, b, nb, out, arg);
}

/* Sorts v; the result lies in v, or, `over`, in space. */
static void YOKE__SORT(_halves)(YOKE__SORT(_element) *v, size_t n, YOKE__SORT(_element) *space, bool over, void *arg)
{
    if (n <= 16) {
        YOKE__SORT(_insert)(v, n, arg);
        if (over && n > 0)
            memcpy((void *)space, (const void *)v, n * sizeof *v);
        return;
    }
    size_t h = n / 2;
    YOKE__SORT(_element) *from = over ? v : space, *to = over ? space : v;
    YOKE__SORT(_halves)(v, h, space, !over, arg);
    YOKE__SORT(_halves)(v + h, n - h, space + h, !over, arg);
    if (YOKE_SORT_LESS((const YOKE__SORT(_element) *)&from[h], (const YOKE__SORT(_element) *)&from[h - 1], arg))
        YOKE__SORT(_merge)(from, h, from + h, n - h, to, arg);
    else
        memcpy((void *)to, (const void *)from, n * sizeof *v);
}

static void YOKE__SORT(_quick_stable)(YOKE__SORT(_element) *v, size_t n, YOKE__SORT(_element) *space, int turns, void *arg)
{
    while (n > 20) {
        size_t middle, greater;
        if (turns == 0) {
            YOKE__SORT(_halves)(v, n, space, false, arg);
            return;
        }
        YOKE__SORT(_partition_stable)(v, n, space, &middle, &greater, arg);
        turns -= yoke__fast_sort_bad(n, middle, greater);
        if (middle < n - greater) { /* as in _quick */
            YOKE__SORT(_quick_stable)(v, middle, space, turns, arg);
            v += greater;
            n -= greater;
        } else {
            YOKE__SORT(_quick_stable)(v + greater, n - greater, space, turns, arg);
            n = middle;
        }
    }
    YOKE__SORT(_insert)(v, n, arg);
}

static void YOKE__SORT(_sort_stable)(void *base, size_t n, void *space, int turns, void *arg)
{
    YOKE__SORT(_quick_stable)((YOKE__SORT(_element) *)base, n, (YOKE__SORT(_element) *)space, turns, arg);
}

static size_t YOKE__SORT(_rank)(const void *key, const void *base, size_t n, bool through, void *arg)
{
    const YOKE__SORT(_element) *v = (const YOKE__SORT(_element) *)base, *k = (const YOKE__SORT(_element) *)key;
    size_t low = 0;
    (void)arg;
    while (n > 0) {
        size_t h = n / 2;
        if (through ? !YOKE_SORT_LESS(k, &v[low + h], arg) : YOKE_SORT_LESS(&v[low + h], k, arg)) {
            low += h + 1;
            n -= h + 1;
        } else {
            n = h;
        }
    }
    return low;
}

static bool YOKE__SORT(_ordered)(void *base, size_t n, void *arg)
{
    YOKE__SORT(_element) *v = (YOKE__SORT(_element) *)base;
    size_t i = 1;
    (void)arg;
    if (n < 2)
        return true;
    if (!YOKE_SORT_LESS((const YOKE__SORT(_element) *)&v[1], (const YOKE__SORT(_element) *)&v[0], arg)) {
        while (i < n && !YOKE_SORT_LESS((const YOKE__SORT(_element) *)&v[i], (const YOKE__SORT(_element) *)&v[i - 1], arg))
            i++;
        return i == n;
    }
    while (i < n && YOKE_SORT_LESS((const YOKE__SORT(_element) *)&v[i], (const YOKE__SORT(_element) *)&v[i - 1], arg))
        i++;
    if (i < n)
        return false;
    for (size_t k = 0; k < n / 2; k++)
        YOKE__SORT(_swap)(&v[k], &v[n - 1 - k]);
    return true;
}

static const struct yoke__fast_sort_parts YOKE__SORT(_parts) = {
    sizeof(YOKE__SORT(_element)), YOKE__SORT(_sort), YOKE__SORT(_partition), YOKE__SORT(_sort_stable), YOKE__SORT(_merge), YOKE__SORT(_rank),
    YOKE__SORT(_ordered), YOKE__SORT(_partition_stable),
};

static inline YOKE_MUST_CHECK __attribute__((unused)) int YOKE_SORT(YOKE__SORT(_element) *base, size_t count, void *arg)
{
    return yoke__fast_sort(&YOKE__SORT(_parts), base, count, false, arg);
}

static inline YOKE_MUST_CHECK __attribute__((unused)) int YOKE__SORT(_stable)(YOKE__SORT(_element) *base, size_t count, void *arg)
{
    return yoke__fast_sort(&YOKE__SORT(_parts), base, count, true, arg);
}

#undef YOKE_SORT
#undef YOKE_SORT_TYPE
#undef YOKE_SORT_LESS

#endif
