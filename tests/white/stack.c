/* Guarded stacks: each kind of guard, recycling, trimming, exhaustion; and the switch between them. */
#include "support.h"

#include <fcntl.h>
#include <fenv.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fiber.h"
#include "platform.h"
#include "stack.h"

static struct yoke__stack_pool pool;

/* True if writing to `at` kills a child process. */
static bool faults(char *at)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        *(volatile char *)at = 1;
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0);
}

static void guards_of(enum yoke__guards guards, bool guarded)
{
    assert_int_equal(yoke__stack_pool_init(&pool, 65536, guards), 0);
    char *stacks[20];
    for (int i = 0; i < 20; i++) {
        stacks[i] = yoke__stack_alloc(&pool);
        assert_non_null(stacks[i]);
        yoke__stack_floor(stacks[i])[guarded ? 0 : 4096] = 1; /* usable from floor to top, but for the canary */
        stacks[i][65535] = 1;
    }
    assert_int_equal(faults(stacks[3]), guarded);
    assert_int_equal(faults(stacks[3] + YOKE__GUARD_BYTES - 1), guarded);
    assert_int_equal(faults(stacks[3] + YOKE__GUARD_BYTES), false);
    if (guarded) {
        assert_ptr_equal(yoke__stack_find_guard(&pool, stacks[5] + 100), stacks[5]);
        assert_null(yoke__stack_find_guard(&pool, stacks[5] + YOKE__GUARD_BYTES));
        assert_null(yoke__stack_find_guard(&pool, &pool));
    }
    char *last = stacks[19];
    yoke__stack_free(&pool, last);
    assert_ptr_equal(yoke__stack_alloc(&pool), last); /* last in, first out */
    for (int i = 0; i < 20; i++)
        yoke__stack_free(&pool, stacks[i]);
    assert_int_equal(pool.in_use, 0);
    assert_true(yoke__stack_trim(&pool) > 0);
    assert_int_equal(pool.mapped, 0);
    assert_non_null(yoke__stack_alloc(&pool));
    yoke__stack_pool_destroy(&pool);
}

static void light_guards(void **state)
{
    (void)state;
    guards_of(YOKE__GUARDS_AUTO, true);
}

static void mprotect_guards(void **state)
{
    (void)state;
    guards_of(YOKE__GUARDS_MPROTECT, true);
}

static void no_guards(void **state)
{
    (void)state;
    guards_of(YOKE__GUARDS_NONE, false);
}

static void a_broken_canary_aborts(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int quiet = open("/dev/null", O_WRONLY);
        dup2(quiet, 2);
        if (yoke__stack_pool_init(&pool, 65536, YOKE__GUARDS_NONE) < 0)
            _exit(1);
        char *stack = yoke__stack_alloc(&pool);
        memset(yoke__stack_floor(stack), 1, 64);
        yoke__stack_free(&pool, stack);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void without_light_guards_mprotect_is_used(void **state)
{
    (void)state;
    yoke__os_fault_set(YOKE__OS_MADVISE, -1, EINVAL);
    assert_int_equal(yoke__stack_pool_init(&pool, 65536, YOKE__GUARDS_LIGHT), 0);
    assert_int_equal(pool.guards, YOKE__GUARDS_MPROTECT);
    assert_non_null(pool.guards_why);
    char *stack = yoke__stack_alloc(&pool);
    assert_true(faults(stack));
    yoke__os_fault_clear();
    yoke__stack_pool_destroy(&pool);
}

static void exhaustion_is_told(void **state)
{
    (void)state;
    assert_int_equal(yoke__stack_pool_init(&pool, 65536, YOKE__GUARDS_AUTO), 0);
    yoke__os_fault_set(YOKE__OS_MMAP, -1, ENOMEM);
    assert_null(yoke__stack_alloc(&pool));
    yoke__os_fault_clear();
    assert_non_null(yoke__stack_alloc(&pool));
    yoke__stack_pool_destroy(&pool);
    assert_int_equal(yoke__stack_pool_init(&pool, 5000, YOKE__GUARDS_AUTO), -EINVAL);
    assert_int_equal(yoke__stack_pool_init(&pool, 65536 + 4096, YOKE__GUARDS_AUTO), -EINVAL);
}

static void slabs_of_large_stacks_hold_fewer(void **state)
{
    (void)state;
    for (size_t size = YOKE__STACK_MIN; size <= (size_t)256 * 1024 * 1024; size *= 8) {
        assert_int_equal(yoke__stack_pool_init(&pool, size, YOKE__GUARDS_AUTO), 0);
        char *stack = yoke__stack_alloc(&pool);
        assert_non_null(stack);
        stack[size - 1] = 1;
        assert_true(pool.mapped >= size && (pool.mapped == size || pool.mapped <= (size_t)64 * 1024 * 1024));
        assert_true(faults(stack));
        assert_true(yoke__stack_free(&pool, stack));
        assert_int_equal(yoke__stack_trim(&pool), 1);
        yoke__stack_pool_destroy(&pool);
    }
}

static void pools_beside_each_other_share_the_bound_of_mappings(void **state)
{
    (void)state;
    struct yoke__stack_pool beside;
    assert_int_equal(yoke__stack_pool_init(&pool, 65536, YOKE__GUARDS_MPROTECT), 0);
    assert_int_equal(yoke__stack_pool_init_beside(&beside, 1 << 20, &pool), 0);
    assert_int_equal(beside.guards, YOKE__GUARDS_MPROTECT);
    pool.mprotect_left = 3;
    char *small = yoke__stack_alloc(&pool), *large[3];
    for (int i = 0; i < 3; i++)
        large[i] = yoke__stack_alloc(&beside);
    assert_true(faults(small));
    assert_true(faults(large[0]));
    assert_true(faults(large[1]));
    assert_false(faults(large[2])); /* checked, not guarded */
    assert_ptr_equal(yoke__stack_find_guard(&beside, large[1] + YOKE__GUARD_BYTES - 1), large[1]);
    assert_null(yoke__stack_find_guard(&beside, small));
    for (int i = 0; i < 3; i++)
        (void)yoke__stack_free(&beside, large[i]);
    assert_int_equal(yoke__stack_trim(&beside), 2);
    assert_int_equal(pool.mprotect_left, 2);
    assert_true(faults(yoke__stack_alloc(&beside))); /* guarded anew */
    yoke__stack_pool_destroy(&beside);
    yoke__stack_pool_destroy(&pool);
}

/* One slab stays in use; another comes and goes beside it. */
static void *come_and_go(void *arg)
{
    for (int i = 0; i < repetitions(2000); i++) {
        void *stacks[4];
        for (int k = 0; k < 4; k++)
            stacks[k] = yoke__stack_alloc(arg);
        for (int k = 0; k < 4; k++)
            if (stacks[k] != NULL && yoke__stack_free(arg, stacks[k]))
                (void)yoke__stack_trim(arg);
    }
    return NULL;
}

static void trimming_hides_no_stack_from_who_looks(void **state)
{
    (void)state;
    pthread_t threads[2];
    assert_int_equal(yoke__stack_pool_init(&pool, 65536, YOKE__GUARDS_AUTO), 0);
    char *mine = yoke__stack_alloc(&pool);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &pool), 0);
    for (int i = 0; i < repetitions(20000); i++) {
        if (yoke__stack_find_guard(&pool, mine) != mine || yoke__stack_find_guard(&pool, (void *)100) != NULL)
            fail_msg("not found at look %d", i);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(pool.in_use, 1);
    yoke__stack_pool_destroy(&pool);
}

static void the_high_water_mark_is_what_was_touched(void **state)
{
    (void)state;
    enum { BYTES = 8 << 20, STEP = 1000 * 1000 };
    assert_int_equal(yoke__stack_pool_init(&pool, BYTES, YOKE__GUARDS_AUTO), 0);
    char *stack = yoke__stack_alloc(&pool);
    assert_int_equal(yoke__stack_high_water(&pool, stack), 0);
    for (size_t deep = 1; deep < BYTES - YOKE__GUARD_BYTES; deep += STEP) {
        stack[BYTES - deep] = 1;
        size_t mark = yoke__stack_high_water(&pool, stack);
        assert_true(mark >= deep && mark < deep + 4096);
        assert_int_equal(yoke__stack_high_water(&pool, stack), mark); /* looking touches nothing */
    }
    yoke__stack_floor(stack)[0] = 1;
    assert_int_equal(yoke__stack_high_water(&pool, stack), BYTES - YOKE__GUARD_BYTES);
    (void)yoke__stack_free(&pool, stack);
    yoke__stack_pool_destroy(&pool);
}

/* ---- fibers ---- */

static struct yoke__fiber native, *ping, *pong;
static int trips;
static int modes_wrong, alignment;

static void bounce(void *arg)
{
    struct yoke__fiber *me = arg, *other = me == ping ? pong : ping;
    yoke__fiber_arrived(me);
    char here;
    if (((uintptr_t)__builtin_frame_address(0) & 15) != 0)
        alignment++;
    if (&here < me->floor || &here > me->top)
        alignment++;
    fesetround(me == ping ? FE_UPWARD : FE_DOWNWARD);
    double value = me == ping ? 1.5 : 2.5; /* and a callee-saved register or two */
    for (int i = 0; i < trips; i++) {
        double before = value;
        (void)yoke__fiber_switch(me, other, other);
        if (fegetround() != (me == ping ? FE_UPWARD : FE_DOWNWARD) || value != before)
            modes_wrong++;
        value += 1;
    }
    (void)yoke__fiber_switch(me, &native, NULL);
    abort();
}

/* Made under one mask, entered under another. */
static void say_mask(void *arg)
{
    yoke__fiber_arrived(arg);
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    trips = sigismember(&mask, SIGUSR1);
    (void)yoke__fiber_switch(arg, &native, NULL);
    abort();
}

static void a_switch_leaves_the_threads_signal_mask(void **state)
{
    (void)state;
    sigset_t one, now;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    trips = 0;
    assert_int_equal(yoke__stack_pool_init(&pool, 65536, YOKE__GUARDS_AUTO), 0);
    yoke__fiber_adopt_thread(&native);
    ping = yoke__fiber_create(&pool, say_mask);
    assert_non_null(ping);
    pthread_sigmask(SIG_BLOCK, &one, NULL);
    (void)yoke__fiber_switch(&native, ping, ping);
    pthread_sigmask(SIG_UNBLOCK, &one, &now);
    assert_int_equal(trips, 1);
    assert_int_equal(sigismember(&now, SIGUSR1), 1);
    yoke__fiber_destroy(&pool, ping);
    yoke__stack_pool_destroy(&pool);
}

static void a_switch_keeps_registers_modes_and_alignment(void **state)
{
    (void)state;
    trips = repetitions(100000);
    modes_wrong = alignment = 0;
    assert_int_equal(yoke__stack_pool_init(&pool, 65536, YOKE__GUARDS_AUTO), 0);
    yoke__fiber_adopt_thread(&native);
    ping = yoke__fiber_create(&pool, bounce);
    pong = yoke__fiber_create(&pool, bounce);
    assert_non_null(ping);
    assert_non_null(pong);
    assert_true(ping->half > (uintptr_t)ping->floor && ping->half < (uintptr_t)ping->top);
    (void)yoke__fiber_switch(&native, ping, ping);
    assert_int_equal(modes_wrong, 0);
    assert_int_equal(alignment, 0);
    assert_int_equal(fegetround(), FE_TONEAREST);
    yoke__fiber_destroy(&pool, ping);
    yoke__fiber_destroy(&pool, pong);
    yoke__stack_pool_destroy(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(light_guards),
        cmocka_unit_test(mprotect_guards),
        cmocka_unit_test(no_guards),
        cmocka_unit_test(a_broken_canary_aborts),
        cmocka_unit_test(without_light_guards_mprotect_is_used),
        cmocka_unit_test(exhaustion_is_told),
        cmocka_unit_test(slabs_of_large_stacks_hold_fewer),
        cmocka_unit_test(pools_beside_each_other_share_the_bound_of_mappings),
        cmocka_unit_test(trimming_hides_no_stack_from_who_looks),
        cmocka_unit_test(the_high_water_mark_is_what_was_touched),
        cmocka_unit_test(a_switch_keeps_registers_modes_and_alignment),
        cmocka_unit_test(a_switch_leaves_the_threads_signal_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
