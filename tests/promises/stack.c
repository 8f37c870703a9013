/* The stack size of a group: children and forks start with at least half of it, wherever they run; it is inherited; the dump tells how much was used. */
#include "support.h"

#include <sys/mman.h>

#define KIB 1024
#define MIB (1024 * KIB)

static void *(*volatile fill)(void *, int, size_t) = memset; /* unknown to the compiler */

/* Touches `bytes` of stack, calls fn(arg) below them, and sees that nobody else wrote there. */
static __attribute__((noinline)) int below(size_t bytes, yoke_fn fn, void *arg)
{
    unsigned char *deep = __builtin_alloca(bytes);
    unsigned char mark = (unsigned char)(bytes / KIB + 1);
    fill(deep, mark, bytes);
    int rc = fn(arg);
    for (size_t i = 0; i < bytes; i += 512)
        if (deep[i] != mark)
            return -EIO;
    return rc;
}

static int nothing(void *arg)
{
    if (arg != NULL)
        add((int *)arg, 1);
    return 0;
}

static int yield(void *arg)
{
    (void)arg;
    return yoke_yield();
}

static int nap(void *arg)
{
    (void)arg;
    return yoke_sleep(YOKE_US(50));
}

static int sleep_long(void *arg)
{
    (void)arg;
    return yoke_sleep_until(YOKE_NEVER);
}

/* ---- children ---------------------------------------------------------------------------------------------------------- */

struct use {
    size_t bytes;
    yoke_fn fn;
};

static int use(void *arg)
{
    struct use *u = arg;
    return below(u->bytes, u->fn, NULL);
}

/* The owner, on a small stack, may run none of them itself. */
static int children_of_a_megabyte(void *arg)
{
    static const yoke_fn fns[] = { nothing, yield, nap };
    (void)arg;
    YOKE_GROUP(g, .stack_size = MIB);
    for (int i = 0; i < 30; i++)
        YOKE_TRY(yoke_spawn(g, use, struct use, .bytes = 700 * KIB, .fn = fns[i % 3]));
    return yoke_group_close(g, 0);
}

static int in_all_ways(void *arg)
{
    int ran = 0;
    yoke_task handle;
    YOKE_TRY(children_of_a_megabyte(arg));
    struct use deep = { .bytes = 700 * KIB, .fn = yield };
    YOKE_GROUP(g, .stack_size = MIB, .limit = 2);
    for (int i = 0; i < 10; i++)
        YOKE_TRY(yoke_spawn_ptr(g, use, &deep));
    YOKE_TRY(yoke_group_close(g, 0));
    YOKE_GROUP(h, .stack_size = MIB, .results = true);
    YOKE_TRY(yoke_spawn_ptr_with(h, (.handle = &handle), use, &deep));
    YOKE_TRY(yoke_spawn_ptr_with(h, (.pinned = true), use, &deep));
    YOKE_TRY(yoke_spawn_ptr_with(h, (.pinned = true, .worker = yoke_workers() - 1), use, &deep));
    YOKE_TRY(yoke_spawn_ptr_with(h, (.service = true), use, &deep));
    YOKE_TRY(yoke_spawn_ptr(h, nothing, &ran));
    yoke_token *token;
    yoke_post_node node;
    YOKE_TRY(yoke_token_acquire(&token, h));
    check_int(yoke_post(token, &node, use, &deep), 0);
    yoke_token_release(token);
    int result = 1, n = 0;
    YOKE_TRY(yoke_task_await(handle, &result));
    check_int(result, 0);
    for (yoke_done done; yoke_group_next(h, &done) == 0; n++)
        check_int(done.code, 0);
    check(n >= 4); /* the posted one, if it has begun */
    check_int(ran, 1);
    return yoke_group_close(h, 0);
}

static void children_have_the_stack_of_their_group(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(10); i++)
        for (int workers = 1; workers <= 4; workers += 3)
            assert_int_equal(run_with(in_all_ways, NULL, OPTIONS(.workers = workers, .stack_size = 64 * KIB)), 0);
    assert_int_equal(run_with(in_all_ways, NULL, OPTIONS(.workers = 2, .stack_size = 32 * KIB, .guards = "mprotect")), 0);
    assert_int_equal(run_with(in_all_ways, NULL, OPTIONS(.workers = 2, .guards = "none")), 0);
    assert_int_equal(run_with(in_all_ways, NULL, OPTIONS(.workers = 2, .debug = "on")), 0);
    assert_int_equal(run_with(in_all_ways, NULL, OPTIONS(.workers = 2, .membarrier = "off")), 0);
}

/* ---- what is inside ----------------------------------------------------------------------------------------------------- */

struct depth {
    long left, reached;
    yoke_fn fn; /* what each does below its frame */
};

enum { FRAME = 400 * KIB };

static int go_down(void *arg);

/* More than a third of a stack; half of one is promised. */
static int fork_chain(void *arg)
{
    struct depth *d = arg;
    if (d->left == 0)
        return d->fn(NULL);
    d->reached = d->left;
    return below(FRAME, go_down, d);
}

static int go_down(void *arg)
{
    struct depth *d = arg, next = { .left = d->left - 1, .fn = d->fn };
    yoke_forked f;
    yoke_fork(&f, fork_chain, &next);
    int rc = yoke_join(&f);
    d->reached = next.reached + 1;
    return rc;
}

static int recurse_by_forks(void *arg)
{
    struct depth d = { .left = 30, .fn = *(yoke_fn *)arg };
    YOKE_TRY(fork_chain(&d));
    check_int(d.reached, 30);
    return 0;
}

static long tree(long depth);
YOKE_FORK_DEFINE1(tree, long, long)

static int blocking_leaf(void *arg)
{
    return yoke_sleep(YOKE_US(*(long *)arg));
}

static long tree(long depth)
{
    volatile unsigned char ballast[100 * KIB];
    ballast[depth] = (unsigned char)depth;
    if (depth == 0) {
        long us = 20;
        return below(300 * KIB, blocking_leaf, &us) == 0;
    }
    tree_fork f;
    tree_fork_begin(&f, depth - 1);
    long n = tree(depth - 1);
    return n + tree_fork_join(&f) + (ballast[depth] - (unsigned char)depth);
}

static int grow_tree(void *arg)
{
    (void)arg;
    check_int(tree(4), 16);
    return 0;
}

static int forks_of_children(void *arg)
{
    static yoke_fn fns[] = { nothing, yield, nap };
    (void)arg;
    YOKE_GROUP(g, .stack_size = MIB);
    for (int i = 0; i < 3; i++)
        YOKE_TRY(yoke_spawn_ptr(g, recurse_by_forks, &fns[i]));
    YOKE_TRY(yoke_spawn_ptr(g, grow_tree, NULL));
    return yoke_group_close(g, 0);
}

static void forks_of_children_keep_the_promise(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(10); i++)
        for (int workers = 1; workers <= 4; workers += 3)
            assert_int_equal(run(workers, forks_of_children, NULL), 0);
}

static int group_chain(void *arg);

static int open_inner(void *arg)
{
    struct depth *d = arg, next = { .left = d->left - 1, .fn = d->fn };
    YOKE_GROUP(g); /* inherits */
    YOKE_TRY(yoke_spawn_ptr(g, group_chain, &next));
    return yoke_group_close(g, 0);
}

static int group_chain(void *arg)
{
    struct depth *d = arg;
    return d->left == 0 ? d->fn(NULL) : below(FRAME, open_inner, d);
}

static int inherit(void *arg)
{
    struct depth d = { .left = 20, .fn = yield };
    struct use deep = { .bytes = 700 * KIB, .fn = nap }, half = { .bytes = FRAME, .fn = nap };
    (void)arg;
    YOKE_GROUP(outer, .stack_size = MIB);
    YOKE_TRY(yoke_spawn_ptr(outer, group_chain, &d));
    YOKE_SCOPE(s);
    YOKE_GROUP(inner); /* by the same task, within a scope */
    YOKE_TRY(yoke_spawn_ptr(inner, use, &deep));
    YOKE_TRY(yoke_group_close(inner, 0));
    YOKE_GROUP(smaller, .stack_size = 64 * KIB); /* the larger one counts */
    YOKE_TRY(yoke_spawn_ptr(smaller, use, &deep));
    YOKE_TRY(yoke_group_close(smaller, 0));
    YOKE_GROUP(larger, .stack_size = 4 * MIB);
    YOKE_TRY(yoke_spawn(larger, use, struct use, .bytes = 3 * MIB, .fn = nap));
    YOKE_TRY(yoke_group_close(larger, 0));
    YOKE_TRY(yoke_scope_close(s, 0));
    YOKE_TRY(yoke_spawn_ptr(outer, use, &half));
    return yoke_group_close(outer, 0);
}

static void groups_opened_inside_inherit_it(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(10); i++)
        for (int workers = 1; workers <= 4; workers += 3)
            assert_int_equal(run(workers, inherit, NULL), 0);
}

/* ---- many sizes at once --------------------------------------------------------------------------------------------------- */

struct part {
    size_t size;
    uint64_t random;
};

static int churn(void *arg);

static int below_churn(void *arg)
{
    struct part *part = arg;
    uint64_t r = part->random;
    jitter(&r);
    if (next_random(&r) % 3 != 0)
        return next_random(&r) % 2 ? nap(NULL) : 0;
    struct part sub = { .size = part->size, .random = next_random(&r) };
    yoke_forked f;
    yoke_fork(&f, churn, &sub);
    jitter(&r);
    return yoke_join(&f);
}

static int churn(void *arg)
{
    struct part *part = arg;
    return below(part->size * 2 / 5 - 16 * KIB, below_churn, arg);
}

static int own_a_group(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    size_t size = (size_t)(128 * KIB) << next_random(&r) % 5;
    YOKE_GROUP(g, .stack_size = size);
    for (int i = 0; i < 6; i++)
        YOKE_TRY(yoke_spawn(g, churn, struct part, .size = size, .random = next_random(&r)));
    jitter(&r);
    return yoke_group_close(g, 0);
}

static int many_groups(void *arg)
{
    uint64_t r = seed() + *(uint64_t *)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < 20; i++)
        YOKE_TRY(yoke_spawn(g, own_a_group, uint64_t, next_random(&r)));
    return yoke_group_close(g, 0);
}

static void many_groups_of_different_sizes_at_once(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < (uint64_t)repetitions(20); i++)
        assert_int_equal(run(i % 2 ? 1 : 4, many_groups, &i), 0);
}

/* ---- the option --------------------------------------------------------------------------------------------------------- */

static int open_with(void *arg)
{
    size_t size = *(size_t *)arg;
    int ran = 0;
    YOKE_GROUP(g, .stack_size = size, .name = "odd");
    int rc = yoke_spawn_ptr(g, nothing, &ran);
    check_int(yoke_group_close(g, 0), rc);
    check_int(ran, rc == 0);
    return rc;
}

static void any_size_up_to_a_gigabyte_is_rounded_up(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 4095, 64 * KIB, 64 * KIB + 1, 700 * KIB, 64 * MIB, 1024 * MIB };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i];
        assert_int_equal(run(1, open_with, &size), 0);
        assert_int_equal(run_with(open_with, &size, OPTIONS(.workers = 1, .stack_size = 64 * MIB)), 0);
    }
}

static void an_unreasonable_size_is_an_error_that_names_it(void **state)
{
    (void)state;
    static const size_t sizes[] = { (size_t)1024 * MIB + 1, SIZE_MAX };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i];
        char text[64];
        assert_int_equal(run(1, open_with, &size), -EINVAL);
        snprintf(text, sizeof text, "stack_size = %zu", size);
        assert_true(reported(text));
        assert_true(reported("group 'odd' ("));
    }
}

/* ---- the dump ----------------------------------------------------------------------------------------------------------- */

static char text[1 << 16];
static int stage;

static void take_dump(void)
{
    int fd = memfd_create("dump", 0);
    check_int(yoke_dump(fd), 0);
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(fd);
}

/* "stack: at most USED KiB of SIZE" of a task that sleeps. */
static bool marks_of(const char *task, int *used, int *size)
{
    char what[64];
    snprintf(what, sizeof what, "task '%s'", task);
    const char *at = strstr(text, what), *stack = at != NULL ? strstr(at, "(stack: ") : NULL;
    return stack != NULL && sscanf(stack, "(stack: at most %d KiB of %d)", used, size) == 2;
}

static int announce_and_sleep(void *arg)
{
    add(&stage, 1);
    YOKE_SCOPE(s);
    *(yoke_scope *)arg = s;
    int rc = sleep_long(NULL);
    return yoke_scope_close(s, rc);
}

static int deeper_and_deeper(void *arg)
{
    for (size_t kib = 100; kib <= 900; kib += 200)
        YOKE_TRY(below(kib * KIB, announce_and_sleep, arg));
    return 0;
}

static int watch(void *arg)
{
    yoke_scope at = { .block = NULL };
    int before = 0;
    (void)arg;
    YOKE_GROUP(small);
    YOKE_TRY(yoke_spawn_ptr(small, sleep_long, NULL));
    YOKE_GROUP(g, .stack_size = MIB);
    stage = 0;
    YOKE_TRY(yoke_spawn_ptr(g, deeper_and_deeper, &at));
    for (int i = 1; i <= 5; i++) {
        int used = 0, size = 0, small_used = 0, small_size = 0;
        do {
            check_int(yoke_yield(), 0);
            take_dump();
        } while (load(&stage) < i || !marks_of("deeper_and_deeper", &used, &size) || !marks_of("sleep_long", &small_used, &small_size));
        check_int(size, 1024 - 16);
        check_int(small_size, 64 - 16);
        check(small_used > 0 && small_used < 48);
#ifndef __SANITIZE_ADDRESS__ /* frames are larger there */
        check(used >= 200 * i - 100 && used < 200 * i - 100 + 64);
#endif
        check(used >= before + 150 || i == 1);
        before = used;
        check_int(yoke_scope_cancel(at, 0), 0);
    }
    YOKE_TRY(yoke_group_close(g, 0));
    check_int(yoke_group_cancel(small, 0), 0);
    return yoke_group_close(small, 0);
}

static void the_dump_tells_how_much_was_used_of_how_much(void **state)
{
    (void)state;
    assert_int_equal(run(1, watch, NULL), 0);
    assert_int_equal(run(3, watch, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_have_the_stack_of_their_group),
        cmocka_unit_test(forks_of_children_keep_the_promise),
        cmocka_unit_test(groups_opened_inside_inherit_it),
        cmocka_unit_test(many_groups_of_different_sizes_at_once),
        cmocka_unit_test(any_size_up_to_a_gigabyte_is_rounded_up),
        cmocka_unit_test(an_unreasonable_size_is_an_error_that_names_it),
        cmocka_unit_test(the_dump_tells_how_much_was_used_of_how_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
