/* Forks: three forms, blocking, stealing, depth, scope at the fork, no hidden work. */
#include "support.h"

static long fib(long n);
YOKE_FORK_DEFINE1(fib, long, long)

static long fib(long n)
{
    if (n < 2)
        return n;
    fib_fork f;
    fib_fork_begin(&f, n - 1);
    long b = fib(n - 2);
    return fib_fork_join(&f) + b;
}

static long fib_plainly(long n)
{
    return n < 2 ? n : fib_plainly(n - 1) + fib_plainly(n - 2);
}

struct sum {
    long n, result;
};

static int plain(void *arg)
{
    struct sum *s = arg;
    if (s->n < 2) {
        s->result = s->n;
        return 0;
    }
    struct sum a = { s->n - 1, 0 }, b = { s->n - 2, 0 };
    yoke_forked f;
    yoke_fork(&f, plain, &a);
    int rc = plain(&b);
    YOKE_TRY(yoke_join(&f));
    s->result = a.result + b.result;
    return rc;
}

static int scoped(void *arg)
{
    struct sum *s = arg;
    if (s->n < 2) {
        s->result = s->n;
        return 0;
    }
    struct sum a = { s->n - 1, 0 }, b = { s->n - 2, 0 };
    {
        YOKE_FORK(f, scoped, &a);
        check_int(scoped(&b), 0);
        if (s->n % 2 == 0)
            check_int(YOKE_JOIN(f), 0); /* else at the end of the block */
    }
    s->result = a.result + b.result;
    return 0;
}

static int all_forms(void *arg)
{
    long n = *(long *)arg, want = fib_plainly(n);
    check_int(fib(n), want);
    struct sum s = { n, 0 };
    check_int(plain(&s), 0);
    check_int(s.result, want);
    s.result = 0;
    check_int(scoped(&s), 0);
    check_int(s.result, want);
    /* and the functions behind the macros */
    struct sum t = { 10, 0 };
    yoke_forked f;
    (yoke_fork)(&f, plain, &t);
    check_int((yoke_join)(&f), 0);
    check_int(t.result, 55);
    check_int((yoke_checkpoint)(), 0);
    return 0;
}

static void three_forms_give_the_same(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        for (long n = 1; n <= 20; n++)
            assert_int_equal(run(workers, all_forms, &n), 0);
}

static void without_a_runtime_the_typed_form_calls(void **state)
{
    (void)state;
    assert_int_equal(fib(10), 55);
}

/* ---- forks that block ---- */

static uint64_t blocking_seed;

static long tree(long depth);
YOKE_FORK_DEFINE1(tree, long, long)

static long tree(long depth)
{
    uint64_t r = load(&blocking_seed) + (uint64_t)depth * 77;
    jitter(&r);
    if (depth == 0) {
        if (next_random(&r) % 4 == 0)
            check_int(yoke_sleep(YOKE_US(20)), 0);
        return 1;
    }
    tree_fork a, b;
    tree_fork_begin(&a, depth - 1);
    jitter(&r);
    tree_fork_begin(&b, depth - 1);
    jitter(&r);
    long n = tree_fork_join(&b);
    jitter(&r);
    return n + tree_fork_join(&a);
}

static int grow_tree(void *arg)
{
    int n = repetitions(*(int *)arg);
    for (int i = 0; i < n; i++) {
        add(&blocking_seed, 1);
        check_int(tree(6), 64);
    }
    return 0;
}

static void forks_may_block(void **state)
{
    (void)state;
    blocking_seed = seed();
    int n = 40;
    assert_int_equal(run(1, grow_tree, &n), 0);
    assert_int_equal(run(4, grow_tree, &n), 0);
}

/* ---- results and failures ---- */

static int fail_with_words(void *arg)
{
    return yoke_fail(-EIO, "number %d", *(int *)arg);
}

static int join_failures(void *arg)
{
    (void)arg;
    int n[3] = { 1, 2, 3 };
    yoke_forked f[3];
    for (int i = 0; i < 3; i++)
        yoke_fork(&f[i], fail_with_words, &n[i]);
    for (int i = 2; i >= 0; i--) {
        check_int(yoke_yield(), 0); /* some are taken by others, some are not */
        check_int(yoke_join(&f[i]), -EIO);
        char want[32];
        snprintf(want, sizeof want, "number %d", n[i]);
        check(strcmp(yoke_message(-EIO), want) == 0);
    }
    return 0;
}

static void a_forks_result_and_message_go_to_its_join(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(200); i++)
        assert_int_equal(run(i % 4 + 1, join_failures, NULL), 0);
}

/* ---- the scope at the fork ---- */

static int sleep_long(void *arg)
{
    (void)arg;
    return yoke_sleep_until(YOKE_NEVER);
}

static int check_not_cancelled(void *arg)
{
    (void)arg;
    return yoke_checkpoint();
}

static int fork_in_scopes(void *arg)
{
    (void)arg;
    yoke_forked outer, inner;
    yoke_fork(&outer, check_not_cancelled, NULL);
    YOKE_SCOPE(s);
    yoke_fork(&inner, sleep_long, NULL); /* meets the cancel although it is joined after the scope was left */
    check_int(yoke_scope_cancel(s, -EXDEV), 0);
    check_int(yoke_join(&inner), -ECANCELED);
    check_int(yoke_scope_close(s, -ECANCELED), -EXDEV);
    check_int(yoke_join(&outer), 0);
    return 0;
}

static int fork_before_scope(void *arg)
{
    (void)arg;
    yoke_forked f;
    yoke_fork(&f, check_not_cancelled, NULL);
    YOKE_SCOPE(s);
    check_int(yoke_scope_cancel(s, 0), 0);
    check_int(yoke_checkpoint(), -ECANCELED);
    check_int(yoke_join(&f), 0); /* it was begun outside of the scope */
    check_int(yoke_checkpoint(), -ECANCELED);
    check_int(yoke_scope_close(s, 0), 0);
    return 0;
}

static void a_fork_runs_under_the_scope_at_the_fork(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++) {
        assert_int_equal(run(workers, fork_in_scopes, NULL), 0);
        assert_int_equal(run(workers, fork_before_scope, NULL), 0);
    }
}

/* ---- depth ---- */

static long chain(long n);
YOKE_FORK_DEFINE1(chain, long, long)

static long chain(long n)
{
    volatile char ballast[512]; /* a frame of some size: 10,000 of them need 80 stacks of 64 KiB */
    ballast[0] = (char)n;
    if (n == 0)
        return ballast[0];
    chain_fork f;
    chain_fork_begin(&f, n - 1);
    return chain_fork_join(&f) + 1 + (ballast[0] - (char)n);
}

struct link {
    long left, length;
};

static int chain_task(void *arg)
{
    struct link *link = arg;
    volatile char ballast[512];
    ballast[0] = 1;
    if (link->left == 0)
        return 0;
    struct link next = { .left = link->left - 1 };
    YOKE_GROUP(g);
    YOKE_TRY(yoke_spawn_ptr(g, chain_task, &next));
    YOKE_TRY(yoke_group_close(g, 0));
    link->length = next.length + ballast[0];
    return 0;
}

static int go_deep(void *arg)
{
    long n = *(long *)arg;
    check_int(chain(n), n);
    struct link link = { .left = n };
    check_int(chain_task(&link), 0);
    check_int(link.length, n);
    return 0;
}

static void recursion_has_no_depth_limit(void **state)
{
    (void)state;
    long n = 10000;
    assert_int_equal(run(1, go_deep, &n), 0);
    assert_int_equal(run(3, go_deep, &n), 0);
}

/* ---- identity ---- */

static uint64_t main_id;
static int same_identity(void *arg)
{
    (void)arg;
    check(yoke_task_id() == main_id);
    check(strcmp(yoke_task_name(), "main") == 0);
    return 0;
}

static int fork_identity(void *arg)
{
    (void)arg;
    main_id = yoke_task_id();
    check(main_id != 0);
    yoke_forked f[8];
    for (int i = 0; i < 8; i++)
        yoke_fork(&f[i], same_identity, NULL);
    check_int(yoke_sleep(YOKE_US(100)), 0);
    for (int i = 7; i >= 0; i--)
        check_int(yoke_join(&f[i]), 0);
    return 0;
}

static void a_fork_has_the_identity_of_its_task(void **state)
{
    (void)state;
    assert_int_equal(run(1, fork_identity, NULL), 0);
    assert_int_equal(run(4, fork_identity, NULL), 0);
}

/* ---- no hidden work ---- */

static int started[16];

static int note_start(void *arg)
{
    add((int *)arg, 1);
    return 0;
}

/* Forks, then never comes back to the runtime until the others have done all of it. */
static int fork_and_compute(void *arg)
{
    int n = *(int *)arg;
    yoke_forked f[16];
    for (int i = 0; i < 16; i++)
        started[i] = 0;
    for (int i = 0; i < n; i++)
        yoke_fork(&f[i], note_start, &started[i]);
    for (int done = 0; done < n;) {
        done = 0;
        for (int i = 0; i < n; i++)
            done += load(&started[i]);
        sched_yield();
    }
    for (int i = n - 1; i >= 0; i--)
        check_int(yoke_join(&f[i]), 0);
    return 0;
}

/* As above, with tasks. */
static int spawn_and_compute(void *arg)
{
    int n = *(int *)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < n; i++) {
        started[i] = 0;
        check_int(yoke_spawn_ptr(g, note_start, &started[i]), 0);
    }
    for (int done = 0; done < n;) {
        done = 0;
        for (int i = 0; i < n; i++)
            done += load(&started[i]);
        sched_yield();
    }
    return yoke_group_close(g, 0);
}

/* Several owners at once, each waiting for the forks of all: whoever is idle finds them, wherever they are. */
enum { OWNERS = 3, EACH = 5 };

static int all_started;

static int start_one(void *arg)
{
    (void)arg;
    add(&all_started, 1);
    return 0;
}

static int compute_until_all_started(void *arg)
{
    yoke_forked f[EACH];
    (void)arg;
    for (int i = 0; i < EACH; i++)
        yoke_fork(&f[i], start_one, NULL);
    while (load(&all_started) < OWNERS * EACH)
        sched_yield();
    for (int i = EACH - 1; i >= 0; i--)
        check_int(yoke_join(&f[i]), 0);
    return 0;
}

static int several_owners(void *arg)
{
    (void)arg;
    all_started = 0;
    YOKE_GROUP(g);
    for (int i = 0; i < OWNERS; i++)
        check_int(yoke_spawn_ptr(g, compute_until_all_started, NULL), 0);
    return yoke_group_close(g, 0);
}

static void no_work_is_hidden_behind_several_owners(void **state)
{
    (void)state;
    for (int round = 0; round < repetitions(100); round++)
        assert_int_equal(run(OWNERS + 1, several_owners, NULL), 0);
}

static void no_work_is_hidden_behind_a_busy_owner(void **state)
{
    (void)state;
    for (int round = 0; round < repetitions(100); round++)
        for (int n = 1; n <= 16; n += 5) {
            assert_int_equal(run(2, fork_and_compute, &n), 0); /* hangs if one is hidden: the time limit tells */
            assert_int_equal(run(2, spawn_and_compute, &n), 0);
        }
    int n = 15;
    assert_int_equal(run_with(fork_and_compute, &n, OPTIONS(.workers = 2, .membarrier = "off")), 0);
}

/* ---- misuse ---- */

static int debug_main(void *arg)
{
    (void)arg;
    long n = 12;
    return all_forms(&n);
}

static void debug_mode_gives_the_same(void **state)
{
    (void)state;
    assert_int_equal(run_with(debug_main, NULL, OPTIONS(.workers = 1, .debug = "on")), 0);
    assert_int_equal(run_with(debug_main, NULL, OPTIONS(.workers = 4, .debug = "on")), 0);
    assert_int_equal(run_with(debug_main, NULL, OPTIONS(.workers = 4, .membarrier = "off")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_forms_give_the_same),
        cmocka_unit_test(without_a_runtime_the_typed_form_calls),
        cmocka_unit_test(forks_may_block),
        cmocka_unit_test(a_forks_result_and_message_go_to_its_join),
        cmocka_unit_test(a_fork_runs_under_the_scope_at_the_fork),
        cmocka_unit_test(recursion_has_no_depth_limit),
        cmocka_unit_test(a_fork_has_the_identity_of_its_task),
        cmocka_unit_test(no_work_is_hidden_behind_a_busy_owner),
        cmocka_unit_test(no_work_is_hidden_behind_several_owners),
        cmocka_unit_test(debug_mode_gives_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
