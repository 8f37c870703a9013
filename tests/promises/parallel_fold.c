/* Parallel reductions and scans: everything once, in order, failures at every place. */
#include "parallel.h"

#include <math.h>

/* ---- reductions ---- */

/* x -> multiply * x + plus, modulo 2^64: composing such functions is associative and not commutative. */
struct map {
    uint64_t multiply, plus;
    uint8_t ballast[]; /* for accumulators of any size: must come through unharmed */
};

static void apply(struct map *to, uint64_t multiply, uint64_t plus)
{
    to->multiply *= multiply;
    to->plus = to->plus * multiply + plus;
}

struct maps {
    size_t size;
    uint64_t random;
    int64_t fail_at;
    bool block, combine_fails;
    struct map *out;    /* of a scan */
    uint8_t *finals;
    int firsts;
};

static int fold_maps(int64_t begin, int64_t end, void *accumulator, void *arg)
{
    struct maps *m = arg;
    struct map *a = accumulator;
    uint64_t r = m->random + (uint64_t)begin;
    check((uintptr_t)a % 16 == 0);
    if (m->block)
        jitter(&r);
    for (size_t i = 0; i < m->size - sizeof *a; i++)
        check_int(a->ballast[i], i % 251);
    for (int64_t i = begin; i < end; i++) {
        if (i == m->fail_at)
            YOKE_TRY(fail_at(i));
        apply(a, 2 * (uint64_t)i + 3, (uint64_t)i);
    }
    return 0;
}

static int compose(void *left, void *right, void *arg)
{
    struct maps *m = arg;
    struct map *r = right;
    if (m->combine_fails)
        return yoke_fail(-ERANGE, "cannot combine");
    apply(left, r->multiply, r->plus);
    return 0;
}

static struct map *identity_map(size_t size)
{
    struct map *m = aligned_alloc(16, (size + 15) & ~(size_t)15);
    m->multiply = 1;
    m->plus = 0;
    for (size_t i = 0; i < size - sizeof *m; i++)
        m->ballast[i] = (uint8_t)(i % 251);
    return m;
}

static int reductions(void *arg)
{
    static const size_t sizes[] = { sizeof(struct map), sizeof(struct map) + 48, sizeof(struct map) + 49, 1000 };
    static const int64_t grains[] = { 0, 1, 10 };
    (void)arg;
    for (int i = 0; i < lengths_now(); i++)
        for (int kind = 0; kind < 4 * 3 * 2; kind++) {
            struct maps m = { .size = sizes[kind % 4], .fail_at = -1, .random = seed(), .block = lengths[i] <= 100 };
            struct map *got = identity_map(m.size), *want = identity_map(m.size);
            check_int(yoke_parallel_reduce(0, lengths[i], fold_maps, compose, &m, got, m.size,
                                           YOKE_PARALLEL(.grain = grains[kind / 8], .reproducible = kind & 4)), 0);
            check_int(lengths[i] == 0 ? 0 : fold_maps(0, lengths[i], want, &m), 0);
            check(got->multiply == want->multiply && got->plus == want->plus);
            free(got);
            free(want);
        }
    for (int64_t at = 0; at < 30; at++) {
        struct maps m = { .size = sizeof(struct map), .fail_at = at };
        struct map *got = identity_map(m.size);
        check_int(yoke_parallel_reduce(0, 30, fold_maps, compose, &m, got, m.size, YOKE_PARALLEL(.reproducible = at % 2)), -EDOM);
        check_words(at);
        free(got);
    }
    struct maps m = { .size = sizeof(struct map), .fail_at = -1, .combine_fails = true };
    struct map *got = identity_map(m.size);
    check_int(yoke_parallel_reduce(0, 30, fold_maps, compose, &m, got, m.size, YOKE_PARALLEL(.reproducible = true)), -ERANGE);
    check(strcmp(yoke_message(-ERANGE), "cannot combine") == 0);
    check_int(yoke_parallel_reduce(0, 30, fold_maps, NULL, &m, got, m.size, NULL), -EINVAL);
    check_int(yoke_parallel_reduce(0, 30, NULL, compose, &m, got, m.size, NULL), -EINVAL);
    check_int(yoke_parallel_reduce(0, 30, fold_maps, compose, &m, got, 0, NULL), -EINVAL);
    check_int(yoke_parallel_reduce(0, 30, fold_maps, compose, &m, NULL, 8, NULL), -EINVAL);
    free(got);
    return 0;
}

static void reductions_keep_the_order(void **state)
{
    (void)state;
    on_all_crews(reductions, NULL);
}

static int add_doubles(int64_t begin, int64_t end, void *accumulator, void *arg)
{
    const double *v = arg;
    double s = *(double *)accumulator;
    uint64_t r = seed() + (uint64_t)begin;
    jitter(&r);
    for (int64_t i = begin; i < end; i++)
        s += v[i];
    *(double *)accumulator = s;
    return 0;
}

static int plus(void *left, void *right, void *arg)
{
    (void)arg;
    *(double *)left += *(double *)right;
    return 0;
}

struct numbers {
    double *v;
    int64_t n;
    double sum[3]; /* with three grains */
};

static int sum_numbers(void *arg)
{
    static const int64_t grains[] = { 0, 7, 1000 };
    struct numbers *numbers = arg;
    for (int i = 0; i < 3; i++) {
        double s = 0;
        check_int(yoke_parallel_reduce(0, numbers->n, add_doubles, plus, numbers->v, &s, sizeof s, YOKE_PARALLEL(.reproducible = true, .grain = grains[i])), 0);
        if (numbers->sum[i] == 0)
            numbers->sum[i] = s;
        check(memcmp(&s, &numbers->sum[i], sizeof s) == 0);
    }
    return 0;
}

static void reproducible_sums_are_bit_equal(void **state)
{
    (void)state;
    struct numbers numbers = { .n = 20011, .v = malloc(20011 * sizeof(double)) };
    uint64_t r = seed();
    for (int64_t i = 0; i < numbers.n; i++) /* of all magnitudes, so that the order matters */
        numbers.v[i] = ldexp((double)(int64_t)next_random(&r), (int)(next_random(&r) % 60) - 60);
    for (int i = repetitions(20); i > 0; i--)
        on_all_crews(sum_numbers, &numbers);
    free(numbers.v);
}

/* ---- scans ---- */

static int scan_maps(int64_t begin, int64_t end, void *accumulator, bool final, void *arg)
{
    struct maps *m = arg;
    struct map *a = accumulator;
    uint64_t r = m->random + (uint64_t)begin;
    if (m->block)
        jitter(&r);
    for (size_t i = 0; i < m->size - sizeof *a; i++)
        check_int(a->ballast[i], i % 251);
    for (int64_t i = begin; i < end; i++) {
        if (i == m->fail_at && (final || m->random % 2))
            YOKE_TRY(fail_at(i));
        apply(a, 2 * (uint64_t)i + 3, (uint64_t)i);
        if (final) {
            add(&m->finals[i], 1);
            m->out[i].multiply = a->multiply;
            m->out[i].plus = a->plus;
        }
    }
    if (!final)
        add(&m->firsts, 1);
    return 0;
}

static void scan_once(int64_t n, size_t size, int64_t grain, bool block)
{
    struct maps m = { .size = size, .fail_at = -1, .random = seed(), .block = block };
    struct map *got = identity_map(size), *want = identity_map(size);
    m.out = calloc((size_t)n + 1, sizeof *m.out);
    m.finals = calloc((size_t)n + 1, 1);
    check_int(yoke_parallel_scan(0, n, scan_maps, compose, &m, got, size, YOKE_PARALLEL(.grain = grain)), 0);
    for (int64_t i = 0; i < n; i++) {
        apply(want, 2 * (uint64_t)i + 3, (uint64_t)i);
        check_int(m.finals[i], 1);
        check(m.out[i].multiply == want->multiply && m.out[i].plus == want->plus);
    }
    check(got->multiply == want->multiply && got->plus == want->plus);
    if (yoke_workers() == 1)
        check_int(m.firsts, 0);
    free(m.out);
    free(m.finals);
    free(got);
    free(want);
}

static int scans(void *arg)
{
    (void)arg;
    for (int i = 0; i < lengths_now(); i++)
        for (int64_t grain = 0; grain <= 30; grain = grain * 3 + 1) {
            scan_once(lengths[i], sizeof(struct map), grain, lengths[i] <= 2000);
            scan_once(lengths[i], 200, grain, false);
        }
    for (int i = repetitions(30); i > 0; i--)
        scan_once(300, sizeof(struct map), 1, true);
    struct maps m = { .size = sizeof(struct map) };
    struct map *got = identity_map(m.size);
    check_int(yoke_parallel_scan(0, 3, NULL, compose, &m, got, m.size, NULL), -EINVAL);
    check_int(yoke_parallel_scan(0, 3, scan_maps, NULL, &m, got, m.size, NULL), -EINVAL);
    check_int(yoke_parallel_scan(0, 3, scan_maps, compose, &m, NULL, m.size, NULL), -EINVAL);
    for (int64_t at = 0; at < 30; at++) {
        struct maps f = { .size = sizeof(struct map), .fail_at = at, .random = seed() + (uint64_t)at, .block = true };
        f.out = calloc(30, sizeof *f.out);
        f.finals = calloc(30, 1);
        check_int(yoke_parallel_scan(0, 30, scan_maps, compose, &f, got, f.size, YOKE_PARALLEL(.grain = 1)), -EDOM);
        check_words(at);
        free(f.out);
        free(f.finals);
    }
    free(got);
    return 0;
}

static void scans_give_every_prefix(void **state)
{
    (void)state;
    on_all_crews(scans, NULL);
}

static void outside_of_a_task_nothing_is_folded(void **state)
{
    struct maps m = { 0 };
    uint64_t value[2] = { 1, 0 };
    (void)state;
    assert_int_equal(yoke_parallel_reduce(0, 1, fold_maps, compose, &m, value, 16, NULL), -ENOTRECOVERABLE);
    assert_int_equal(yoke_parallel_scan(0, 1, scan_maps, compose, &m, value, 16, NULL), -ENOTRECOVERABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reductions_keep_the_order),
        cmocka_unit_test(reproducible_sums_are_bit_equal),
        cmocka_unit_test(scans_give_every_prefix),
        cmocka_unit_test(outside_of_a_task_nothing_is_folded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
