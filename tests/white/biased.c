/*
 * The lock with an owner: when he is given his bias and when it is taken from him; exactly, by others who come in at his barriers, which are ours
 * here. Then with threads, as an invariant: one at a time, and nobody is left asleep.
 */
#include "idle.h"

#include "atomic.h"
#include "platform.h"

static void (*at_barrier)(void); /* of the owner: once */
static int wakes, membarriers;

static void barrier_here(void)
{
    void (*come_in)(void) = at_barrier;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    at_barrier = NULL;
    if (come_in != NULL)
        come_in();
}

static void wake_here(uint32_t *word, int n)
{
    add(&wakes, 1);
    yoke__os_futex_wake(word, n);
}

static int membarrier_here(void)
{
    add(&membarriers, 1);
    return yoke__os_membarrier();
}

#undef yoke__compiler_barrier
#define yoke__compiler_barrier() barrier_here()
#define yoke__os_futex_wake(word, n) wake_here((word), (n))
#define yoke__os_membarrier() membarrier_here()
#include "../../executor/biased.c"
#undef yoke__os_futex_wake
#undef yoke__os_membarrier

enum { CALM = 4 };

static struct yoke__biased lock;
static long counter; /* plain: the lock's */

/* `biased`: the owner has it by now. */
static void begin(bool owned, bool biased)
{
    assert_int_equal(yoke__os_membarrier_register(), 0);
    at_barrier = NULL;
    yoke__biased_init(&lock, owned ? CALM : 0);
    for (int i = 0; biased && i < CALM; i++) {
        assert_false(yoke__biased_enter(&lock));
        yoke__biased_leave(&lock, false);
    }
    wakes = membarriers = 0;
    counter = 0;
}

static bool owner_goes_in_and_out(void)
{
    bool by_bias = yoke__biased_enter(&lock);
    counter++;
    yoke__biased_leave(&lock, by_bias);
    return by_bias;
}

static void another_goes_in_and_out(void)
{
    yoke__biased_acquire(&lock);
    counter++;
    yoke__biased_release(&lock);
}

static void *another(void *arg)
{
    another_goes_in_and_out();
    return arg;
}

/* ---- when there is a bias --------------------------------------------------------------------------------------------- */

static void it_is_given_to_who_has_been_alone_for_long(void **state)
{
    (void)state;
    begin(true, false);
    for (int turn = 0; turn < 3; turn++) { /* somebody has been there: anew */
        for (int i = 0; i < CALM - 1; i++)
            assert_false(owner_goes_in_and_out());
        another_goes_in_and_out();
    }
    for (int i = 0; i < CALM; i++)
        assert_false(owner_goes_in_and_out());
    for (int i = 0; i < 10; i++)
        assert_true(owner_goes_in_and_out());
    assert_int_equal(membarriers + wakes, 0);
}

static void it_is_taken_once(void **state)
{
    (void)state;
    begin(true, true);
    assert_true(owner_goes_in_and_out());
    another_goes_in_and_out();
    another_goes_in_and_out();
    assert_int_equal(load(&membarriers), 1);
    assert_false(owner_goes_in_and_out());
    another_goes_in_and_out();
    assert_int_equal(load(&membarriers), 1);
    assert_int_equal(wakes, 0);
    assert_int_equal(counter, 5);
}

static void the_owner_may_come_as_another(void **state)
{
    (void)state;
    begin(true, true);
    for (int i = 0; i < 6 * CALM; i++) {
        (void)owner_goes_in_and_out();
        if (i % (2 * CALM) == 0)
            another_goes_in_and_out();
    }
    assert_true(owner_goes_in_and_out());
    assert_int_equal(membarriers, 3);
}

static void without_an_owner_it_is_a_lock(void **state)
{
    (void)state;
    begin(false, false);
    for (int i = 0; i < 3 * CALM; i++) {
        assert_false(owner_goes_in_and_out());
        if (i % 2)
            another_goes_in_and_out();
    }
    assert_int_equal(membarriers + wakes, 0);
}

/* ---- the moments at which another comes in ---------------------------------------------------------------------------- */

static pthread_t comer;

static void comes_and_sleeps(void)
{
    assert_int_equal(pthread_create(&comer, NULL, another, NULL), 0);
    until_idle();
    assert_int_equal(counter, 0);
}

static void who_finds_the_owner_inside_is_woken_by_him(void **state)
{
    (void)state;
    begin(true, true);
    assert_true(yoke__biased_enter(&lock));
    comes_and_sleeps();
    assert_int_equal(load(&membarriers), 1);
    yoke__biased_leave(&lock, true);
    assert_int_equal(pthread_join(comer, NULL), 0); /* hangs if nobody wakes it */
    assert_int_equal(counter, 1);
    assert_int_equal(load(&wakes), 1);
}

/* Another has come when the owner has said that he is busy, before he looks once more. */
static void who_finds_the_owner_at_the_door_goes_first(void **state)
{
    (void)state;
    begin(true, true);
    at_barrier = comes_and_sleeps;
    assert_false(yoke__biased_enter(&lock)); /* hangs if he does not wake the other */
    assert_int_equal(counter, 1);
    assert_int_equal(pthread_join(comer, NULL), 0);
    yoke__biased_leave(&lock, false);
    assert_int_equal(lock.busy, 0);
    assert_false(owner_goes_in_and_out());
}

/* And when he has left, before he looks whether he has to wake somebody. */
static void who_finds_the_owner_gone_goes_in_at_once(void **state)
{
    (void)state;
    begin(true, true);
    assert_true(yoke__biased_enter(&lock));
    at_barrier = another_goes_in_and_out;
    yoke__biased_leave(&lock, true);
    assert_int_equal(counter, 1);
    assert_int_equal(load(&wakes), 1); /* of nobody */
    assert_int_equal(lock.busy, 0);
    another_goes_in_and_out(); /* does not wait for him */
}

/* ---- with threads ----------------------------------------------------------------------------------------------------- */

enum { OTHERS = 2 };

static long inside;
static uint32_t over;

static void alone_inside(uint64_t *r)
{
    check_int(inside++, 0);
    counter++;
    for (uint64_t i = next_random(r) % 16; i > 0; i--)
        __asm__ volatile("" ::: "memory");
    if (next_random(r) % 1024 == 0)
        sched_yield();
    inside--;
}

static void *owner(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    for (int i = repetitions(200000); i > 0; i--) {
        bool by_bias = yoke__biased_enter(&lock);
        alone_inside(&r);
        yoke__biased_leave(&lock, by_bias);
    }
    store(&over, 1);
    return NULL;
}

static void *now_and_then(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    intptr_t times = 0;
    for (; load(&over) == 0; times++) {
        yoke__biased_acquire(&lock);
        alone_inside(&r);
        yoke__biased_release(&lock);
        for (uint64_t i = next_random(&r) % 4096; i > 0; i--)
            __asm__ volatile("" ::: "memory");
    }
    return (void *)times;
}

static void one_at_a_time_and_nobody_is_left_asleep(void **state)
{
    (void)state;
    pthread_t thread[1 + OTHERS];
    uint64_t r = seed(), random[1 + OTHERS];
    long expected = repetitions(200000);
    begin(true, false);
    over = 0;
    for (int i = 0; i <= OTHERS; i++) {
        random[i] = next_random(&r);
        assert_int_equal(pthread_create(&thread[i], NULL, i == 0 ? owner : now_and_then, &random[i]), 0);
    }
    for (int i = 0; i <= OTHERS; i++) {
        void *times;
        assert_int_equal(pthread_join(thread[i], &times), 0);
        expected += (intptr_t)times;
    }
    assert_checks();
    assert_int_equal(counter, expected);
    assert_int_equal(lock.busy, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_given_to_who_has_been_alone_for_long),
        cmocka_unit_test(it_is_taken_once),
        cmocka_unit_test(the_owner_may_come_as_another),
        cmocka_unit_test(without_an_owner_it_is_a_lock),
        cmocka_unit_test(who_finds_the_owner_inside_is_woken_by_him),
        cmocka_unit_test(who_finds_the_owner_at_the_door_goes_first),
        cmocka_unit_test(who_finds_the_owner_gone_goes_in_at_once),
        cmocka_unit_test(one_at_a_time_and_nobody_is_left_asleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
