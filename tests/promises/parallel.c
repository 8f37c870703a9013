/* Parallel loops, calls, accumulators: everything once, failures and cancels at every place. */
#include "parallel.h"

/* ---- loops ---- */

struct marks {
    int64_t begin, grain;
    uint8_t *seen;
    uint64_t random;
};

static int mark(int64_t begin, int64_t end, void *arg)
{
    struct marks *m = arg;
    check(begin < end);
    check(m->grain == 0 || end - begin <= m->grain);
    for (int64_t i = begin; i < end; i++)
        add(&m->seen[i - m->begin], 1);
    return 0;
}

static int mark_and_block(int64_t begin, int64_t end, void *arg)
{
    struct marks *m = arg;
    uint64_t r = m->random + (uint64_t)begin;
    jitter(&r);
    if (next_random(&r) % 8 == 0)
        check_int(yoke_sleep(YOKE_US(10)), 0);
    return mark(begin, end, arg);
}

static void loop_once(int64_t begin, int64_t n, int64_t grain, yoke_range_fn body)
{
    struct marks m = { .begin = begin, .grain = grain, .seen = calloc((size_t)n + 1, 1), .random = seed() };
    check_int(yoke_parallel_for(begin, begin + n, body, &m, grain == 0 ? NULL : YOKE_PARALLEL(.grain = grain)), 0);
    for (int64_t i = 0; i < n; i++)
        check_int(m.seen[i], 1);
    check_int(m.seen[n], 0);
    free(m.seen);
}

static int loops(void *arg)
{
    static const int64_t grains[] = { 0, 1, 3, 1000 }, begins[] = { 0, -50, INT64_MAX - 100000, INT64_MIN };
    (void)arg;
    for (int i = 0; i < lengths_now(); i++)
        for (int g = 0; g < 4; g++)
            for (int b = 0; b < 4; b++)
                loop_once(begins[b], lengths[i], grains[g], mark);
    struct marks none = { 0 };
    check_int(yoke_parallel_for(5, 4, mark, &none, NULL), 0);
    check_int(yoke_parallel_for(INT64_MAX, INT64_MIN, mark, &none, NULL), 0);
    check_int(yoke_parallel_for(-2, INT64_MAX, mark, &none, NULL), -EINVAL);
    check_int(yoke_parallel_for(0, 1, NULL, &none, NULL), -EINVAL);
    check_int(yoke_parallel_for(0, 1, mark, &none, YOKE_PARALLEL(.grain = -1)), -EINVAL);
    return 0;
}

static void every_iteration_is_done_once(void **state)
{
    (void)state;
    on_all_crews(loops, NULL);
}

static int blocking_loops(void *arg)
{
    (void)arg;
    for (int i = repetitions(20); i > 0; i--) {
        loop_once(-3, 200, 1, mark_and_block);
        loop_once(0, 300, 0, mark_and_block);
    }
    return 0;
}

static void bodies_may_block(void **state)
{
    (void)state;
    on_all_crews(blocking_loops, NULL);
}

/* A range of which nothing but its ends is looked at. */
static int add_length(int64_t begin, int64_t end, void *arg)
{
    add((int64_t *)arg, end - begin);
    return 0;
}

static int huge_loop(void *arg)
{
    int64_t sum = 0;
    (void)arg;
    check_int(yoke_parallel_for(0, INT64_MAX, add_length, &sum, NULL), 0);
    check(sum == INT64_MAX);
    return 0;
}

static void the_longest_range_works(void **state)
{
    (void)state;
    on_all_crews(huge_loop, NULL);
}

/*
 * A long loop of a worker that never waits: the second worker, which has gone to sleep before, must get its share. Each body that is not the
 * first one's waits, as a computation would, until both workers have been seen (or all that is left is done).
 */
static int seen_workers[2];

static int see_worker(int64_t begin, int64_t end, void *arg)
{
    (void)arg;
    (void)end;
    store(&seen_workers[yoke_worker_index()], 1);
    while (begin == 0 && (!load(&seen_workers[0]) || !load(&seen_workers[1])))
        sched_yield();
    return 0;
}

static int shared_loop(void *arg)
{
    (void)arg;
    seen_workers[0] = seen_workers[1] = 0;
    return yoke_parallel_for(0, 64, see_worker, NULL, YOKE_PARALLEL(.grain = 1));
}

static void idle_workers_get_their_share(void **state)
{
    (void)state;
    for (int i = repetitions(100); i > 0; i--)
        assert_int_equal(run(2, shared_loop, NULL), 0); /* hangs otherwise: the time limit tells */
    assert_int_equal(run_with(shared_loop, NULL, OPTIONS(.workers = 2, .membarrier = "off")), 0);
    assert_int_equal(run_with(shared_loop, NULL, OPTIONS(.workers = 2, .debug = "on")), 0);
}

static struct {
    int64_t largest, last;
    uint64_t sum;
} light;

enum { LIGHT = 4000000 };

static int work_a_little(int64_t begin, int64_t end, void *arg)
{
    volatile uint64_t sum = 0;
    (void)arg;
    for (int64_t i = begin; i < end; i++)
        sum += (uint64_t)i;
    light.sum += sum;
    if (end - begin > light.largest)
        light.largest = end - begin;
    if (end == LIGHT)
        light.last = end - begin;
    return 0;
}

static int light_loop(void *arg)
{
    (void)arg;
    memset(&light, 0, sizeof light);
    return yoke_parallel_for(0, LIGHT, work_a_little, NULL, NULL);
}

/* So that nobody who has nothing left waits for long. */
static void calls_are_shorter_at_the_end(void **state)
{
    (void)state;
    assert_int_equal(run(1, light_loop, NULL), 0);
    assert_true(light.sum == (uint64_t)LIGHT * (LIGHT - 1) / 2);
    assert_true(light.last > 0 && light.last <= light.largest / 4);
}

/* ---- 2-D ---- */

struct field {
    yoke_tile whole;
    int64_t width, grain;
    uint8_t *seen;
};

static int mark_tile(const yoke_tile *t, void *arg)
{
    struct field *f = arg;
    check(t->row_begin < t->row_end && t->column_begin < t->column_end);
    if (f->grain > 0)
        check(t->row_end - t->row_begin <= f->grain && t->column_end - t->column_begin <= f->grain);
    for (int64_t r = t->row_begin; r < t->row_end; r++)
        for (int64_t c = t->column_begin; c < t->column_end; c++)
            add(&f->seen[(r - f->whole.row_begin) * f->width + c - f->whole.column_begin], 1);
    return 0;
}

static int fields(void *arg)
{
    static const int64_t sides[] = { 0, 1, 2, 5, 64, 65, 129, 300 }, grains[] = { 0, 1, 7, 64 };
    (void)arg;
    for (int h = 0; h < 8; h++)
        for (int w = 0; w < 8; w++)
            for (int g = 0; g < 4; g++) {
                if (sides[h] * sides[w] > (grains[g] == 1 ? 5000 : 90 * repetitions(1000)))
                    continue;
                struct field f = { .whole = { -3, sides[h] - 3, 10, sides[w] + 10 }, .width = sides[w], .grain = grains[g] };
                f.seen = calloc((size_t)(sides[h] * sides[w]) + 1, 1);
                check_int(yoke_parallel_for_2d(&f.whole, mark_tile, &f, YOKE_PARALLEL(.grain = grains[g])), 0);
                for (int64_t i = 0; i < sides[h] * sides[w]; i++)
                    check_int(f.seen[i], 1);
                free(f.seen);
            }
    yoke_tile huge = { 0, INT64_MAX, 0, 2 };
    check_int(yoke_parallel_for_2d(&huge, mark_tile, NULL, NULL), -EINVAL);
    check_int(yoke_parallel_for_2d(NULL, mark_tile, NULL, NULL), -EINVAL);
    return 0;
}

static void every_cell_is_done_once(void **state)
{
    (void)state;
    on_all_crews(fields, NULL);
}

/* ---- failures ---- */

struct trouble {
    int64_t at;  /* this one fails, or cancels */
    int done;
    yoke_scope scope;
    uint64_t random;
};

static int fail_one(int64_t begin, int64_t end, void *arg)
{
    struct trouble *t = arg;
    uint64_t r = t->random + (uint64_t)begin;
    if (t->random != 0)
        jitter(&r);
    for (int64_t i = begin; i < end; i++) {
        if (i == t->at)
            YOKE_TRY(fail_at(i));
        add(&t->done, 1);
    }
    return 0;
}

static int fail_everywhere(void *arg)
{
    (void)arg;
    for (int64_t grain = 0; grain < 4; grain++)
        for (int64_t at = 0; at < 40; at++) {
            bool exact = yoke_workers() == 1 && grain == 1;
            struct trouble t = { .at = at, .random = exact ? 0 : seed() };
            check_int(yoke_parallel_for(0, 40, fail_one, &t, YOKE_PARALLEL(.grain = grain)), -EDOM);
            check_words(at);
            if (exact)
                check_int(t.done, at); /* alone, and never waiting, it goes from left to right; nothing after a failure */
        }
    return 0;
}

static int keep_hops(void *arg)
{
    struct trouble t = { .at = 3, .random = seed() };
    YOKE_TRY(yoke_parallel_for(0, 40, fail_one, &t, YOKE_PARALLEL(.grain = 1)));
    (void)arg;
    return 0;
}

/* A failure's report has the message, its place, the body's hop and the caller's. */
static int look_at_hops(void *arg)
{
    yoke_failure f;
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    (void)arg;
    check_int(yoke_spawn_ptr(g, keep_hops, NULL), 0);
    while (yoke_group_failure(g, 0, &f) < 0)
        check_int(yoke_yield(), 0);
    check_int(f.code, -EDOM);
    check(strcmp(f.message, "iteration 3") == 0);
    check_int(f.hops, 3);
    check(strcmp(f.hop[0]->func, "fail_at") == 0 && strcmp(f.hop[1]->func, "fail_one") == 0 && strcmp(f.hop[2]->func, "keep_hops") == 0);
    return yoke_group_close(g, 0);
}

static void the_first_failure_is_the_result_wherever_it_is(void **state)
{
    (void)state;
    for (int i = repetitions(5); i > 0; i--) {
        on_all_crews(fail_everywhere, NULL);
        on_all_crews(look_at_hops, NULL);
    }
}

/* All fail, each with a code and words of its own: those of the result belong together. */
static int fail_all(int64_t begin, int64_t end, void *arg)
{
    uint64_t r = *(uint64_t *)arg + (uint64_t)begin;
    (void)end;
    jitter(&r);
    return yoke_fail(-(int)begin - 1, "iteration %lld", (long long)begin);
}

static int one_of_many_failures(void *arg)
{
    uint64_t r = seed();
    (void)arg;
    for (int i = repetitions(200); i > 0; i--, r++) {
        int rc = yoke_parallel_for(0, 30, fail_all, &r, YOKE_PARALLEL(.grain = 1));
        char want[40];
        check(rc < 0 && rc >= -30);
        snprintf(want, sizeof want, "iteration %d", -rc - 1);
        check(strcmp(yoke_message(rc), want) == 0);
    }
    return 0;
}

static void code_and_message_are_of_one_failure(void **state)
{
    (void)state;
    on_all_crews(one_of_many_failures, NULL);
}

/* Whoever is blocked is woken: one waits for ever, another one fails. */
static int wait_for_ever(void *arg)
{
    int rc = yoke_sleep_until(YOKE_NEVER);
    check_int(rc, -ECANCELED);
    add((int *)arg, 1);
    return rc;
}

static int fail_soon(void *arg)
{
    (void)arg;
    check_int(yoke_sleep(YOKE_US(50)), 0);
    return yoke_fail(-EIO, "no more");
}

static int invoke_and_fail(void *arg)
{
    int woken = 0;
    (void)arg;
    check_int(yoke_parallel_invoke({ wait_for_ever, &woken }, { wait_for_ever, &woken }, { fail_soon, NULL },
                                   { wait_for_ever, &woken }),
              -EIO);
    check(strcmp(yoke_message(-EIO), "no more") == 0);
    check(woken <= 3); /* those that had begun */
    return 0;
}

static void a_failure_wakes_those_that_wait(void **state)
{
    (void)state;
    for (int i = repetitions(50); i > 0; i--)
        on_all_crews(invoke_and_fail, NULL);
}

/* ---- calls ---- */

static int open_gate(void *arg)
{
    add((int *)arg, 1);
    return 0;
}

static int pass_gate(void *arg)
{
    while (load((int *)arg) % 100 == 0)
        YOKE_TRY(yoke_yield());
    add((int *)arg, 100);
    return 0;
}

static int invoke(void *arg)
{
    yoke_call_entry calls[9];
    int gate = 0;
    (void)arg;
    for (size_t n = 1; n <= 9; n++)
        for (size_t opener = 0; opener < n; opener++) {
            gate = 0;
            for (size_t i = 0; i < n; i++)
                calls[i] = (yoke_call_entry){ i == opener ? open_gate : pass_gate, &gate };
            check_int(yoke_parallel_invoke_all(calls, n), 0); /* hangs if it is kept behind one that waits: the time limit tells */
            check_int(gate, 1 + 100 * (int)(n - 1));
        }
    gate = 0;
    check_int(yoke_parallel_invoke({ pass_gate, &gate }, { open_gate, &gate }, { pass_gate, &gate }), 0);
    check_int(gate, 201);
    check_int(yoke_parallel_invoke_all(NULL, 0), 0);
    check_int(yoke_parallel_invoke_all(NULL, 1), -EINVAL);
    check_int(yoke_parallel_invoke({ open_gate, &gate }, { NULL, NULL }), -EINVAL);
    check_int(gate, 201);
    return 0;
}

static void each_function_is_called_even_if_others_wait(void **state)
{
    (void)state;
    for (int i = repetitions(50); i > 0; i--)
        on_all_crews(invoke, NULL);
}

/* ---- cancellation ---- */

static int cancel_one(int64_t begin, int64_t end, void *arg)
{
    struct trouble *t = arg;
    for (int64_t i = begin; i < end; i++) {
        if (i == t->at)
            check_int(yoke_scope_cancel(t->scope, -EXDEV), 0);
        add(&t->done, 1);
    }
    return 0;
}

static int cancels(void *arg)
{
    (void)arg;
    for (int64_t at = 0; at < 20; at++) {
        struct trouble t = { .at = at };
        YOKE_SCOPE(s);
        t.scope = s;
        int rc = yoke_parallel_for(0, 20, cancel_one, &t, YOKE_PARALLEL(.grain = 1));
        check_int(rc, t.done == 20 ? 0 : -ECANCELED);
        if (yoke_workers() == 1)
            check_int(t.done, at + 1);
        check_int(yoke_parallel_for(0, 20, cancel_one, &t, NULL), -ECANCELED); /* it is pending: nothing begins */
        check_int(yoke_parallel_for(0, 0, cancel_one, &t, NULL), -ECANCELED);
        check(t.done <= 20);
        check_int(yoke_scope_close(s, -ECANCELED), -EXDEV);
    }
    return 0;
}

static int sleepy(int64_t begin, int64_t end, void *arg)
{
    (void)begin;
    (void)end;
    (void)arg;
    return yoke_sleep_until(YOKE_NEVER);
}

static int out_of_time(void *arg)
{
    (void)arg;
    YOKE_SCOPE(s, .deadline = yoke_after(YOKE_MS(1)));
    int rc = yoke_parallel_for(0, 100, sleepy, NULL, NULL);
    check_int(rc, -ECANCELED);
    check_int(yoke_scope_close(s, rc), -ETIMEDOUT);
    return 0;
}

static int cancelled_for_no_reason(int64_t begin, int64_t end, void *arg)
{
    (void)arg;
    return begin <= 7 && 7 < end ? -ECANCELED : 0;
}

static int lie_about_cancel(void *arg)
{
    (void)arg;
    YOKE_SCOPE(s);
    check_int(yoke_parallel_for(0, 20, cancelled_for_no_reason, NULL, NULL), -ECANCELED); /* a failure with that code */
    check_int(yoke_checkpoint(), 0);
    return yoke_scope_close(s, 0);
}

static void cancels_cut_what_is_left(void **state)
{
    (void)state;
    for (int i = repetitions(20); i > 0; i--) {
        on_all_crews(cancels, NULL);
        on_all_crews(out_of_time, NULL);
        on_all_crews(lie_about_cancel, NULL);
    }
}

/* ---- nesting ---- */

static int innermost(int64_t begin, int64_t end, void *arg)
{
    add((int64_t *)arg, end - begin);
    return 0;
}

static int inner(int64_t begin, int64_t end, void *arg)
{
    for (int64_t i = begin; i < end; i++)
        YOKE_TRY(yoke_parallel_for(0, i, innermost, arg, NULL));
    return 0;
}

static int nest(void *arg)
{
    int64_t sum = 0;
    (void)arg;
    check_int(yoke_parallel_for(0, 300, inner, &sum, NULL), 0);
    check_int(sum, 300 * 299 / 2);
    return 0;
}

static void loops_nest(void **state)
{
    (void)state;
    on_all_crews(nest, NULL);
}

/* ---- accumulators ---- */

static int count_here(int64_t begin, int64_t end, void *arg)
{
    uint64_t r = seed() + (uint64_t)begin;
    for (int64_t i = begin; i < end; i++) {
        int64_t *mine = yoke_accumulator_local(arg);
        mine[0]++;
        mine[1] += i;
        if (i % 64 == 0)
            jitter(&r);
    }
    return 0;
}

static int add_counts(void *left, void *right, void *arg)
{
    int64_t *l = left, *r = right;
    l[0] += r[0];
    l[1] += r[1];
    return arg != NULL ? -EDOM : 0;
}

static int accumulate(void *arg)
{
    static const int64_t zero[2];
    YOKE_SCOPED(yoke_accumulator) a = NULL;
    (void)arg;
    YOKE_TRY(yoke_accumulator_create(&a, zero, sizeof zero));
    for (int round = 0; round < 3; round++) {
        int64_t sum[2] = { 0, 0 };
        check_int(yoke_parallel_for(0, 10000, count_here, a, YOKE_PARALLEL(.grain = 10)), 0);
        check_int(yoke_accumulator_combine(a, add_counts, NULL, sum), 0); /* and it begins anew */
        check_int(sum[0], 10000);
        check_int(sum[1], 10000 / 2 * 9999);
    }
    int64_t sum[2] = { 0, 0 };
    check_int(yoke_accumulator_combine(a, add_counts, a, sum), -EDOM);
    yoke_accumulator *none = a;
    check_int(yoke_accumulator_create(&none, NULL, 8), -EINVAL);
    check(none == NULL);
    check_int(yoke_accumulator_create(&none, zero, 0), -EINVAL);
    check_int(yoke_accumulator_create(&none, zero, SIZE_MAX), -ENOMEM);
    check_int(yoke_accumulator_combine(NULL, add_counts, NULL, sum), -EINVAL);
    return 0;
}

static void each_worker_has_an_accumulator(void **state)
{
    (void)state;
    for (int i = repetitions(20); i > 0; i--)
        on_all_crews(accumulate, NULL);
}

/* ---- elsewhere ---- */

static void outside_of_a_task_nothing_is_called(void **state)
{
    struct marks none = { 0 };
    uint64_t value[2] = { 1, 0 };
    yoke_tile tile = { 0, 1, 0, 1 };
    yoke_accumulator *a;
    (void)state;
    assert_int_equal(yoke_parallel_for(0, 1, mark, &none, NULL), -ENOTRECOVERABLE);
    assert_int_equal(yoke_parallel_for_2d(&tile, mark_tile, NULL, NULL), -ENOTRECOVERABLE);
    assert_int_equal(yoke_parallel_invoke({ open_gate, NULL }), -ENOTRECOVERABLE);
    assert_int_equal(yoke_accumulator_create(&a, value, 8), -ENOTRECOVERABLE);
    assert_true((yoke_fork_wanted)());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_iteration_is_done_once),
        cmocka_unit_test(bodies_may_block),
        cmocka_unit_test(the_longest_range_works),
        cmocka_unit_test(idle_workers_get_their_share),
        cmocka_unit_test(calls_are_shorter_at_the_end),
        cmocka_unit_test(every_cell_is_done_once),
        cmocka_unit_test(the_first_failure_is_the_result_wherever_it_is),
        cmocka_unit_test(code_and_message_are_of_one_failure),
        cmocka_unit_test(a_failure_wakes_those_that_wait),
        cmocka_unit_test(each_function_is_called_even_if_others_wait),
        cmocka_unit_test(cancels_cut_what_is_left),
        cmocka_unit_test(loops_nest),
        cmocka_unit_test(each_worker_has_an_accumulator),
        cmocka_unit_test(outside_of_a_task_nothing_is_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
