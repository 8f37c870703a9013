/* Parallel sorting: all sizes, orders and forms; stability; cancels; comparisons that block, and one that is an adversary. */
#include "support.h"

#define YOKE_SORT sort_ints
#define YOKE_SORT_TYPE int
#define YOKE_SORT_LESS(a, b, arg) (*(a) < *(b))
#include <yoke/sort.h>

struct card {
    int key, place;
    char ballast[5];
};

#define YOKE_SORT sort_cards
#define YOKE_SORT_TYPE struct card
#define YOKE_SORT_LESS(a, b, arg) ((a)->key < (b)->key)
#include <yoke/sort.h>

#define YOKE_SORT sort_words
#define YOKE_SORT_TYPE const char *
#define YOKE_SORT_LESS(a, b, arg) (strcmp(*(a), *(b)) < 0)
#include <yoke/sort.h>

static const size_t counts[] = { 0, 1, 2, 3, 16, 17, 20, 21, 100, 127, 128, 1023, 1024, 1025, 2049, 5000, 30011 };
enum { COUNTS = sizeof counts / sizeof *counts };
enum { RANDOM, SORTED, REVERSED, EQUAL, FEW, ORGAN_PIPE, ALMOST, SHAPES };

static int key_at(int shape, size_t i, size_t n, uint64_t *r)
{
    switch (shape) {
    case SORTED:
        return (int)i;
    case REVERSED:
        return (int)(n - i);
    case EQUAL:
        return 7;
    case FEW:
        return (int)(next_random(r) % 3);
    case ORGAN_PIPE:
        return (int)(i < n / 2 ? i : n - i);
    case ALMOST:
        return next_random(r) % 100 == 0 ? (int)(next_random(r) % 1000) : (int)i;
    default:
        return (int)next_random(r);
    }
}

/* The long ones are left out where everything is slow. */
static int counts_now(void)
{
    return repetitions(100) == 100 ? COUNTS : COUNTS - 3;
}

static void on_all_crews(yoke_fn fn, void *arg)
{
    assert_int_equal(run(1, fn, arg), 0);
    assert_int_equal(run(2, fn, arg), 0);
    assert_int_equal(run(4, fn, arg), 0);
    assert_int_equal(run(16, fn, arg), 0); /* many: stable ones merge first */
}

/* ---- templates ---- */

/* Order-free, so that a lost or doubled element shows. */
static uint64_t mix_of(uint64_t x)
{
    return next_random(&x);
}

static int sort_all_ints(void *arg)
{
    uint64_t r = seed();
    (void)arg;
    for (int c = counts_now() - 1; c >= 0; c--)
        for (int shape = 0; shape < SHAPES; shape++)
            for (int form = 0; form < 4; form++) {
                size_t n = counts[c];
                int *v = malloc((n + 1) * sizeof *v), *space = malloc((n + 1) * sizeof *v);
                uint64_t before = 0, after = 0;
                for (size_t i = 0; i < n; i++)
                    before += mix_of((uint64_t)(v[i] = key_at(shape, i, n, &r)));
                v[n] = INT32_MIN; /* must stay where it is */
                if (form == 2) /* what ends badly cut parts */
                    sort_ints_heap(v, n, NULL);
                else if (form == 3)
                    sort_ints_sort_stable(v, n, space, 0, NULL);
                else
                    check_int(form == 0 ? sort_ints(v, n, NULL) : sort_ints_stable(v, n, NULL), 0);
                for (size_t i = 0; i < n; i++) {
                    after += mix_of((uint64_t)v[i]);
                    check(i == 0 || v[i - 1] <= v[i]);
                }
                check(before == after && v[n] == INT32_MIN);
                free(v);
                free(space);
            }
    return 0;
}

static void numbers_are_sorted(void **state)
{
    (void)state;
    on_all_crews(sort_all_ints, NULL);
}

static int compare_cards(const void *a, const void *b, void *arg)
{
    const struct card *x = a, *y = b;
    (void)arg;
    return (x->key > y->key) - (x->key < y->key);
}

static int sort_all_cards(void *arg)
{
    uint64_t r = seed();
    (void)arg;
    for (int c = counts_now() - 1; c >= 0; c--)
        for (int shape = 0; shape < SHAPES; shape++)
            for (int form = 0; form < 4; form++) {
                size_t n = counts[c];
                struct card *v = calloc(n + 1, sizeof *v);
                uint8_t *seen = calloc(n + 1, 1);
                for (size_t i = 0; i < n; i++)
                    v[i] = (struct card){ .key = key_at(shape, i, n, &r) % 50, .place = (int)i, .ballast = { (char)i } };
                check_int(form == 0   ? sort_cards(v, n, NULL)
                          : form == 1 ? sort_cards_stable(v, n, NULL)
                          : form == 2 ? yoke_parallel_sort(v, n, sizeof *v, compare_cards, NULL)
                                      : yoke_parallel_sort_stable(v, n, sizeof *v, compare_cards, NULL), 0);
                for (size_t i = 0; i < n; i++) {
                    check(i == 0 || v[i - 1].key < v[i].key || (v[i - 1].key == v[i].key && (form % 2 == 0 || v[i - 1].place < v[i].place)));
                    check_int(v[i].ballast[0], (char)v[i].place);
                    seen[v[i].place]++;
                }
                for (size_t i = 0; i < n; i++)
                    check_int(seen[i], 1);
                free(v);
                free(seen);
            }
    return 0;
}

static void records_are_sorted_and_equals_keep_their_order(void **state)
{
    (void)state;
    on_all_crews(sort_all_cards, NULL);
}

static int sort_some_words(void *arg)
{
    enum { WORDS = 5000 };
    static char text[WORDS][12];
    static const char *v[2][WORDS];
    uint64_t r = seed();
    (void)arg;
    for (int i = 0; i < WORDS; i++) {
        snprintf(text[i], sizeof text[i], "%llx", (unsigned long long)next_random(&r) % 20000);
        v[0][i] = v[1][i] = text[i];
    }
    check_int(sort_words(v[0], WORDS, NULL), 0);
    check_int(sort_words_stable(v[1], WORDS, NULL), 0);
    for (int i = 1; i < WORDS; i++) {
        check(strcmp(v[0][i - 1], v[0][i]) <= 0);
        int order = strcmp(v[1][i - 1], v[1][i]);
        check(order < 0 || (order == 0 && v[1][i - 1] < v[1][i]));
    }
    return 0;
}

static void words_are_sorted(void **state)
{
    (void)state;
    on_all_crews(sort_some_words, NULL);
}

/* ---- compared by a function ---- */

struct comparison {
    size_t size;
    uint64_t random;
    int64_t calls, cancel_at;
    yoke_scope scope;
};

/* Elements of any size, alignment and content: as bytes. Blocks sometimes, if there is a seed. */
static int compare_bytes(const void *a, const void *b, void *arg)
{
    struct comparison *c = arg;
    int64_t call = add(&c->calls, 1) + 1;
    if (c->random != 0) {
        uint64_t r = c->random + (uint64_t)call;
        if (next_random(&r) % 64 == 0)
            jitter(&r);
    }
    if (call == c->cancel_at)
        check_int(yoke_scope_cancel(c->scope, -EXDEV), 0);
    return memcmp(a, b, c->size);
}

static uint64_t content(const unsigned char *v, size_t n, size_t size)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t one = 0;
        for (size_t k = 0; k < size; k++)
            one = mix_of(one + v[i * size + k]);
        sum += one;
    }
    return sum;
}

static void sort_bytes(size_t n, size_t size, size_t shift, bool stable, int64_t cancel_at)
{
    struct comparison c = { .size = size, .random = cancel_at == 0 ? seed() : 0, .cancel_at = cancel_at };
    uint64_t r = seed() + n + size;
    unsigned char *memory = malloc(n * size + 16), *v = memory + shift;
    for (size_t i = 0; i < n * size; i++)
        v[i] = (unsigned char)next_random(&r);
    uint64_t before = content(v, n, size);
    YOKE_SCOPE(s);
    c.scope = s;
    int rc = stable ? yoke_parallel_sort_stable(v, n, size, compare_bytes, &c) : yoke_parallel_sort(v, n, size, compare_bytes, &c);
    check(rc == 0 || (rc == -ECANCELED && cancel_at > 0 && c.calls >= cancel_at));
    check(before == content(v, n, size)); /* cut or not */
    for (size_t i = 1; i < n && rc == 0; i++)
        check(memcmp(v + (i - 1) * size, v + i * size, size) <= 0);
    check_int(yoke_scope_close(s, rc), rc == 0 ? 0 : -EXDEV);
    free(memory);
}

static int sort_all_sizes(void *arg)
{
    static const size_t sizes[] = { 1, 3, 4, 8, 12, 16, 24, 100 };
    (void)arg;
    for (int i = 0; i < 8; i++)
        for (size_t n = 0; n < 4000; n = n * 6 + 1)
            for (int form = 0; form < 4; form++)
                sort_bytes(n, sizes[i], form < 2 ? 0 : 1, form % 2, 0);
    int one = 1;
    check_int(yoke_parallel_sort(&one, 1, 0, compare_bytes, NULL), -EINVAL);
    check_int(yoke_parallel_sort(&one, 1, 4, NULL, NULL), -EINVAL);
    check_int(yoke_parallel_sort_stable(NULL, 1, 4, compare_bytes, NULL), -EINVAL);
    check_int(yoke_parallel_sort_stable(NULL, 0, 4, compare_bytes, NULL), 0);
    return 0;
}

static void elements_of_any_size_are_sorted_and_comparisons_may_block(void **state)
{
    (void)state;
    on_all_crews(sort_all_sizes, NULL);
}

static int cut_sorts(void *arg)
{
    (void)arg;
    for (int64_t at = 1; at < 100000; at = at * 2 + 1)
        for (int form = 0; form < 4; form++)
            sort_bytes(6000, form / 2 ? 12 : 4, 0, form % 2, at);
    YOKE_SCOPE(s);
    check_int(yoke_scope_cancel(s, 0), 0);
    int v[2] = { 2, 1 };
    check_int(sort_ints(v, 2, NULL), -ECANCELED); /* checked first */
    check(v[0] == 2 && v[1] == 1);
    return yoke_scope_close(s, 0);
}

static void a_cancelled_sort_leaves_the_same_elements(void **state)
{
    (void)state;
    on_all_crews(cut_sorts, NULL);
}

/* ---- the worst case ---- */

/*
 * Decides the order while it is asked, so that every pivot is a bad one: M. D. McIlroy, "A killer adversary for quicksort", SPE 29 (1999).
 * Elements are numbers of values; a value is `gas`, greater than all, until two such meet.
 */
struct adversary {
    int *value, solid, candidate, gas;
    int64_t calls;
};

static int kill_quicksort(const void *a, const void *b, void *arg)
{
    struct adversary *k = arg;
    int x = *(const int *)a, y = *(const int *)b;
    k->calls++;
    if (k->value[x] == k->gas && k->value[y] == k->gas)
        k->value[x == k->candidate ? x : y] = k->solid++;
    if (k->value[x] == k->gas)
        k->candidate = x;
    else if (k->value[y] == k->gas)
        k->candidate = y;
    return k->value[x] - k->value[y];
}

static int meet_adversary(void *arg)
{
    enum { N = 30000, LOG = 15 };
    struct adversary k = { .value = malloc(N * sizeof(int)), .gas = N };
    int *v = malloc(N * sizeof *v);
    for (int i = 0; i < N; i++) {
        v[i] = i;
        k.value[i] = k.gas;
    }
    k.value[0] = 0; /* neither ascending nor descending: not over at the first look */
    k.value[1] = 2;
    k.value[2] = 1;
    k.solid = 3;
    check_int(arg == NULL ? yoke_parallel_sort(v, N, sizeof *v, kill_quicksort, &k) : yoke_parallel_sort_stable(v, N, sizeof *v, kill_quicksort, &k), 0);
    check(k.calls < (int64_t)N * LOG * 8); /* quadratic would be 100 times as many */
    for (int i = 1; i < N; i++)
        check(k.value[v[i - 1]] <= k.value[v[i]]);
    free(v);
    free(k.value);
    return 0;
}

static void the_worst_case_is_not_quadratic(void **state)
{
    (void)state;
    assert_int_equal(run(1, meet_adversary, NULL), 0);
    assert_int_equal(run(1, meet_adversary, "stable"), 0);
}

static int count_comparison(const void *a, const void *b, void *arg)
{
    add((int64_t *)arg, 1);
    return *(const int *)a - *(const int *)b;
}

/* Of three different ones: each comes to its place by few cuts, however many there are. */
static int sort_few(void *arg)
{
    enum { N = 30000 };
    uint64_t r = seed();
    int *v = malloc(N * sizeof *v);
    int64_t calls = 0;
    for (int i = 0; i < N; i++)
        v[i] = (int)(next_random(&r) % 3);
    check_int(arg == NULL ? yoke_parallel_sort(v, N, sizeof *v, count_comparison, &calls) : yoke_parallel_sort_stable(v, N, sizeof *v, count_comparison, &calls), 0);
    check(calls < (int64_t)N * 7); /* any sort that does not tell equals apart: 15 */
    free(v);
    return 0;
}

static void few_keys_take_few_comparisons(void **state)
{
    (void)state;
    assert_int_equal(run(1, sort_few, NULL), 0);
    assert_int_equal(run(1, sort_few, "stable"), 0);
}

/* An order that is none: any result, but nothing else is touched, and it ends. */
static int toss(const void *a, const void *b, void *arg)
{
    (void)a;
    (void)b;
    uint64_t r = (uint64_t)add((int64_t *)arg, 1);
    return (int)(next_random(&r) % 3) - 1;
}

static int sort_without_order(void *arg)
{
    int64_t tosses = (int64_t)(seed() % 1000);
    static uint64_t v[5000];
    (void)arg;
    for (int form = 0; form < 2; form++) {
        for (size_t i = 0; i < 5000; i++)
            v[i] = i;
        check_int(form == 0 ? yoke_parallel_sort(v, 5000, 8, toss, &tosses) : yoke_parallel_sort_stable(v, 5000, 8, toss, &tosses), 0);
        uint64_t sum = 0;
        for (size_t i = 0; i < 5000; i++)
            sum += mix_of(v[i]);
        for (uint64_t i = 0; i < 5000; i++)
            sum -= mix_of(i);
        check(sum == 0);
    }
    return 0;
}

static void an_inconsistent_order_loses_nothing(void **state)
{
    (void)state;
    for (int i = repetitions(20); i > 0; i--)
        on_all_crews(sort_without_order, NULL);
}

static void outside_of_a_task_nothing_is_sorted(void **state)
{
    int v[2] = { 2, 1 };
    (void)state;
    assert_int_equal(sort_ints(v, 2, NULL), -ENOTRECOVERABLE);
    assert_int_equal(sort_ints_stable(v, 2, NULL), -ENOTRECOVERABLE);
    assert_int_equal(v[0], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_sorted),
        cmocka_unit_test(records_are_sorted_and_equals_keep_their_order),
        cmocka_unit_test(words_are_sorted),
        cmocka_unit_test(elements_of_any_size_are_sorted_and_comparisons_may_block),
        cmocka_unit_test(a_cancelled_sort_leaves_the_same_elements),
        cmocka_unit_test(the_worst_case_is_not_quadratic),
        cmocka_unit_test(few_keys_take_few_comparisons),
        cmocka_unit_test(an_inconsistent_order_loses_nothing),
        cmocka_unit_test(outside_of_a_task_nothing_is_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
