/* Parallel calls out of memory: either all was done, or -ENOMEM is told and what was promised then holds. */
#include "support.h"

#include "platform.h"

enum { N = 3000 };

struct big {
    uint64_t multiply, plus;
    char ballast[200];
};

static int fold(int64_t begin, int64_t end, void *accumulator, void *arg)
{
    struct big *b = accumulator;
    (void)arg;
    for (int64_t i = begin; i < end; i++) {
        b->multiply *= (uint64_t)i * 2 + 3;
        b->plus = b->plus * ((uint64_t)i * 2 + 3) + (uint64_t)i;
    }
    return 0;
}

static int compose(void *left, void *right, void *arg)
{
    struct big *l = left, *r = right;
    (void)arg;
    l->multiply *= r->multiply;
    l->plus = l->plus * r->multiply + r->plus;
    return 0;
}

static uint64_t prefix[N];
static int scan(int64_t begin, int64_t end, void *accumulator, bool final, void *arg)
{
    for (int64_t i = begin; i < end; i++) {
        (void)fold(i, i + 1, accumulator, arg);
        if (final)
            prefix[i] = ((struct big *)accumulator)->plus;
    }
    return 0;
}

static int count(int64_t begin, int64_t end, void *arg)
{
    add((int64_t *)arg, end - begin);
    return 0;
}

static int compare(const void *a, const void *b, void *arg)
{
    (void)arg;
    return memcmp(a, b, 4);
}

static int produce(void *item, void *arg)
{
    int *n = arg;
    *(int *)item = *n;
    return *n < 100 ? ++*n : 0;
}

static int left; /* items that came through, in order */
static int consume(void *item, void *arg)
{
    (void)arg;
    check_int(*(int *)item, left);
    left++;
    return yoke_yield() == -ECANCELED ? -ECANCELED : 0; /* no memory to yield: it does not matter */
}

static int pass(void *item, void *arg)
{
    (void)item;
    (void)arg;
    return 0;
}

static int ok_or_no_memory(int rc)
{
    check(rc == 0 || rc == -ENOMEM);
    return rc == 0;
}

static void try_loop(void)
{
    int64_t sum = 0;
    int done = ok_or_no_memory(yoke_parallel_for(0, N, count, &sum, YOKE_PARALLEL(.grain = 10)));
    check_int(sum, done ? N : 0);
}

static void try_values(void)
{
    struct big want = { .multiply = 1 }, got = want, again = want, scanned = want;
    (void)fold(0, N, &want, NULL);
    if (ok_or_no_memory(yoke_parallel_reduce(0, N, fold, compose, NULL, &got, sizeof got, YOKE_PARALLEL(.grain = 50))))
        check(got.plus == want.plus);
    if (ok_or_no_memory(yoke_parallel_reduce(0, N, fold, compose, NULL, &again, sizeof again, YOKE_PARALLEL(.grain = 50, .reproducible = true))))
        check(again.plus == want.plus);
    if (ok_or_no_memory(yoke_parallel_scan(0, N, scan, compose, NULL, &scanned, sizeof scanned, YOKE_PARALLEL(.grain = 50))))
        check(scanned.plus == want.plus && prefix[N - 1] == want.plus);
}

static void try_sorts(void)
{
    static unsigned char v[N * 12], before[N * 12];
    uint64_t r = seed();
    for (int form = 0; form < 4; form++) {
        size_t size = form / 2 ? 12 : 4;
        for (size_t i = 0; i < sizeof v; i++)
            before[i] = v[i] = (unsigned char)next_random(&r);
        if (!ok_or_no_memory(form % 2 ? yoke_parallel_sort(v, N, size, compare, NULL) : yoke_parallel_sort_stable(v, N, size, compare, NULL)))
            check(memcmp(v, before, sizeof v) == 0);
        else
            for (size_t i = 1; i < N; i++)
                check(memcmp(v + (i - 1) * size, v + i * size, 4) <= 0);
    }
}

static void try_others(void)
{
    yoke_accumulator *a;
    int n = 0;
    const yoke_stage stages[] = { { YOKE_STAGE_ORDERED, produce, &n }, { YOKE_STAGE_UNORDERED, pass, NULL }, { YOKE_STAGE_ORDERED, consume, NULL } };
    if (ok_or_no_memory(yoke_accumulator_create(&a, &n, sizeof n)))
        yoke_accumulator_destroy(a);
    else
        check(a == NULL);
    left = 0;
    if (ok_or_no_memory(yoke_parallel_pipeline(stages, 3, YOKE_PIPELINE(.item_size = sizeof(int), .in_flight = 5))))
        check_int(left, 100);
    else
        check_int(n, 0);
}

static int all(void *arg)
{
    int *fault = arg;
    yoke__os_fault_set((enum yoke__os_call)fault[0], fault[1], ENOMEM);
    try_loop();
    yoke__os_fault_set((enum yoke__os_call)fault[0], fault[1], ENOMEM);
    try_values();
    yoke__os_fault_set((enum yoke__os_call)fault[0], fault[1], ENOMEM);
    try_sorts();
    yoke__os_fault_set((enum yoke__os_call)fault[0], fault[1], ENOMEM);
    try_others();
    yoke__os_fault_clear();
    return 0;
}

static void fail_each(enum yoke__os_call which)
{
    for (int workers = 1; workers <= 3; workers++) {
        for (int n = 1; n < 12; n++) {
            int fault[2] = { (int)which, n };
            assert_int_equal(run(workers, all, fault), 0);
        }
        int always[2] = { (int)which, -1 };
        assert_int_equal(run(workers, all, always), 0);
    }
}

static void mappings_fail(void **state)
{
    (void)state;
    fail_each(YOKE__OS_MMAP);
}

static void the_heap_fails(void **state)
{
    (void)state;
    fail_each(YOKE__OS_ALLOC);
}

/* The error that a caller sees, and that nothing was called then. */
static int no_heap(void *arg)
{
    static unsigned char v[N * 12];
    struct big value = { .multiply = 1 };
    int n = 0;
    const yoke_stage stages[] = { { YOKE_STAGE_ORDERED, produce, &n } };
    (void)arg;
    yoke__os_fault_set(YOKE__OS_ALLOC, -1, ENOMEM);
    for (size_t i = 0; i < sizeof v; i++)
        v[i] = (unsigned char)(i * 31);
    check_int(yoke_parallel_reduce(0, N, fold, compose, NULL, &value, sizeof value, NULL), -ENOMEM);
    check_int(value.plus, 0);
    check_int(yoke_parallel_sort(v, N, 12, compare, NULL), -ENOMEM);
    check_int(yoke_parallel_sort_stable(v, N, 4, compare, NULL), -ENOMEM);
    check_int(yoke_parallel_pipeline(stages, 1, YOKE_PIPELINE(.item_size = sizeof(int))), -ENOMEM);
    check_int(n, 0);
    check_int(yoke_parallel_scan(0, N, scan, compose, NULL, &value, sizeof value, NULL), 0); /* by one worker */
    check_int(yoke_parallel_sort(v, N, 4, compare, NULL), 0);                                 /* in place */
    yoke__os_fault_clear();
    return 0;
}

static void without_memory_it_is_told(void **state)
{
    (void)state;
    assert_int_equal(run(1, no_heap, NULL), 0);
    assert_int_equal(run(3, no_heap, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mappings_fail),
        cmocka_unit_test(the_heap_fails),
        cmocka_unit_test(without_memory_it_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
