/*
 * The lock: when it spins, when it sleeps, whom it wakes. Exactly, on one thread: others come in at the pauses of the spin, at the exchange
 * before a sleep and in the sleep itself, which are ours here. Then with threads, as invariants: one at a time, and nobody is left asleep.
 */
#include "support.h"

#include "lock.h"
#include "platform.h"

/* ---- the moments at which others come in ------------------------------------------------------------------------------ */

static __thread int pauses, sleeps; /* of this thread, since it set them to 0 */
static int wakes;
static void (*at_pause)(int n), (*at_sleep)(int n);

static void pause_here(void)
{
    pauses++;
    if (at_pause != NULL)
        at_pause(pauses);
}

/* Returns at once if somebody is to come in: as after a wake, or for no reason. */
static void sleep_here(uint32_t *word, uint32_t expected)
{
    sleeps++;
    if (at_sleep != NULL)
        at_sleep(sleeps);
    else
        yoke__os_futex_wait(word, expected, UINT64_MAX);
}

static void wake_here(uint32_t *word, int n)
{
    add(&wakes, 1);
    yoke__os_futex_wake(word, n);
}

#undef __builtin_ia32_pause
#define __builtin_ia32_pause pause_here
#define yoke__os_futex_wait(word, expected, until) sleep_here((word), (expected))
#define yoke__os_futex_wake(word, n) wake_here((word), (n))
#include "../../executor/lock.c"
#undef __builtin_ia32_pause
#undef yoke__os_futex_wait
#undef yoke__os_futex_wake

enum { FREE = 0, HELD = 1, SLEPT_ON = 2 };

static struct yoke__lock lock;

static void begin(uint32_t as, void (*pausing)(int), void (*sleeping)(int))
{
    lock.state = as;
    at_pause = pausing;
    at_sleep = sleeping;
    pauses = sleeps = wakes = 0;
}

/* ---- nobody in the way ------------------------------------------------------------------------------------------------ */

static void alone_it_calls_nobody(void **state)
{
    (void)state;
    begin(FREE, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        yoke__lock_acquire(&lock);
        assert_int_equal(lock.state, HELD);
        assert_false(yoke__lock_try(&lock)); /* not recursive, and it neither waits nor leaves a trace */
        assert_int_equal(lock.state, HELD);
        yoke__lock_release(&lock);
        assert_int_equal(lock.state, FREE);
        assert_true(yoke__lock_try(&lock));
        assert_int_equal(lock.state, HELD);
        yoke__lock_release(&lock);
    }
    assert_int_equal(pauses + sleeps + wakes, 0);
}

/* ---- a holder who lets go in the spin ------------------------------------------------------------------------------------ */

static int let_go_at;

static void let_go_in_a_pause(int n)
{
    if (n == let_go_at)
        yoke__lock_release(&lock);
}

static void a_quick_holder_is_waited_for_awake(void **state)
{
    (void)state;
    for (let_go_at = 1; let_go_at < SPINS; let_go_at++) {
        begin(HELD, let_go_in_a_pause, NULL);
        yoke__lock_acquire(&lock);
        assert_int_equal(lock.state, HELD); /* nobody sleeps: the release need not wake */
        assert_int_equal(pauses, let_go_at);
        yoke__lock_release(&lock);
        assert_int_equal(sleeps + wakes, 0);
    }
    /* after the last look of the spin: the exchange before the sleep finds it */
    let_go_at = SPINS;
    begin(HELD, let_go_in_a_pause, NULL);
    yoke__lock_acquire(&lock);
    assert_int_equal(sleeps, 0);
    assert_int_not_equal(lock.state, FREE);
    yoke__lock_release(&lock);
    assert_int_equal(lock.state, FREE);
}

/* One who was before us keeps the mark: whoever takes it in the spin must not forget those who sleep. */
static void who_takes_it_awake_leaves_sleepers_to_the_exchange(void **state)
{
    (void)state;
    begin(SLEPT_ON, NULL, NULL);
    let_go_at = 5;
    at_pause = let_go_in_a_pause;
    yoke__lock_acquire(&lock);
    assert_int_equal(wakes, 1); /* the release that freed it has woken one, who marks it again */
    assert_int_equal(sleeps, 0);
    yoke__lock_release(&lock);
}

/* ---- a holder who does not -------------------------------------------------------------------------------------------------- */

static void let_go_in_the_sleep(int n)
{
    (void)n;
    assert_int_equal(lock.state, SLEPT_ON); /* the holder can see it */
    yoke__lock_release(&lock);
}

static void a_slow_holder_is_waited_for_asleep(void **state)
{
    (void)state;
    begin(HELD, NULL, let_go_in_the_sleep);
    yoke__lock_acquire(&lock);
    assert_int_equal(pauses, SPINS); /* bounded */
    assert_int_equal(sleeps, 1);
    assert_int_equal(wakes, 1); /* by the release */
    assert_int_equal(lock.state, SLEPT_ON); /* others may sleep: that cannot be known */
    yoke__lock_release(&lock);
    assert_int_equal(wakes, 2);
    assert_int_equal(lock.state, FREE);
}

static void let_go_in_the_third_sleep(int n)
{
    assert_int_equal(lock.state, SLEPT_ON);
    if (n == 3)
        yoke__lock_release(&lock);
}

static void a_wait_that_ends_for_no_reason_is_begun_again(void **state)
{
    (void)state;
    begin(HELD, NULL, let_go_in_the_third_sleep);
    yoke__lock_acquire(&lock);
    assert_int_equal(sleeps, 3);
    yoke__lock_release(&lock);
}

/* It is freed, and somebody else is quicker than the one who was woken. */
static void overtake_twice(int n)
{
    yoke__lock_release(&lock);
    if (n < 3) {
        assert_true(yoke__lock_try(&lock));
        assert_int_equal(lock.state, HELD); /* that one knows nothing of the sleeper */
    }
}

static void who_is_overtaken_marks_it_again(void **state)
{
    (void)state;
    begin(HELD, NULL, overtake_twice);
    yoke__lock_acquire(&lock);
    assert_int_equal(sleeps, 3);
    assert_int_equal(wakes, 3); /* each release woke, since each sleep was marked */
    yoke__lock_release(&lock);
}

/* ---- threads ------------------------------------------------------------------------------------------------------------------ */

enum { THREADS = 4 };

static long counter, inside, done;
static int sleepers;

struct crowd {
    int rounds;
    uint64_t random;
};

static void *count_up(void *arg)
{
    struct crowd *me = arg;
    uint64_t r = me->random;
    sleeps = 0;
    for (int i = 0; i < me->rounds; i++) {
        if (next_random(&r) % 4 == 0) {
            while (!yoke__lock_try(&lock))
                sched_yield();
        } else {
            yoke__lock_acquire(&lock);
        }
        if (inside++ != 0)
            add(&failed_checks, 1);
        counter++;
        if (next_random(&r) % 8 == 0)
            sched_yield(); /* a holder who is preempted: others have to sleep */
        inside--;
        yoke__lock_release(&lock);
    }
    add(&sleepers, sleeps);
    add(&done, 1);
    return NULL;
}

static void one_at_a_time_and_nobody_is_left_asleep(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    struct crowd crowd[THREADS];
    uint64_t r = seed();
    int rounds = repetitions(20000);
    begin(FREE, NULL, NULL);
    counter = inside = done = 0;
    for (int i = 0; i < THREADS; i++) {
        crowd[i] = (struct crowd){ .rounds = rounds, .random = next_random(&r) };
        assert_int_equal(pthread_create(&thread[i], NULL, count_up, &crowd[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0); /* hangs if a wake-up is lost */
    assert_int_equal(failed_checks, 0);
    assert_int_equal(counter, (long)THREADS * rounds);
    assert_int_equal(lock.state, FREE);
    assert_int_equal(done, THREADS);
}

static int waiting;

static void *sleep_for_it(void *arg)
{
    (void)arg;
    add(&waiting, 1);
    yoke__lock_acquire(&lock);
    counter++;
    yoke__lock_release(&lock);
    return NULL;
}

/* All sleep on one holder; each that is woken wakes the next. */
static void a_wake_is_handed_on(void **state)
{
    (void)state;
    for (int round = 0; round < repetitions(100); round++) {
        pthread_t thread[THREADS];
        begin(HELD, NULL, NULL); /* by us */
        counter = 0;
        store(&waiting, 0);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, sleep_for_it, NULL), 0);
        while (load(&waiting) < THREADS || load(&lock.state) != SLEPT_ON)
            sched_yield();
        yoke__lock_release(&lock);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(counter, THREADS);
        assert_int_equal(lock.state, FREE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_it_calls_nobody),
        cmocka_unit_test(a_quick_holder_is_waited_for_awake),
        cmocka_unit_test(who_takes_it_awake_leaves_sleepers_to_the_exchange),
        cmocka_unit_test(a_slow_holder_is_waited_for_asleep),
        cmocka_unit_test(a_wait_that_ends_for_no_reason_is_begun_again),
        cmocka_unit_test(who_is_overtaken_marks_it_again),
        cmocka_unit_test(one_at_a_time_and_nobody_is_left_asleep),
        cmocka_unit_test(a_wake_is_handed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
