/* The queue of ready fibers (executor/ready.h), with a ring of four: order, both parts, robbing, and a crowd. */
#include "support.h"

#include "platform.h"
#include "ready.h"

enum { THIEVES = 3, FIBERS = 2000000 };

static struct yoke__ready r, own;

/* Fibers by number. They overlap: nothing is written to them, and what is read (a hint of what to fetch) is 0. */
static uintptr_t memory[FIBERS + 2 + sizeof(struct yoke__fiber) / sizeof(uintptr_t)];

static struct yoke__fiber *fiber(uintptr_t n)
{
    return (void *)&memory[n];
}

static uintptr_t number(const struct yoke__fiber *f)
{
    return (uintptr_t)((const uintptr_t *)(const void *)f - memory);
}

static void begin(bool membarrier)
{
    assert_int_equal(yoke__os_membarrier_register(), 0);
    assert_int_equal(yoke__ready_init(&r, membarrier), 0);
    assert_int_equal(yoke__ready_init(&own, membarrier), 0);
}

static void end(void)
{
    assert_null(yoke__ready_take(&r, false));
    assert_false(yoke__ready_any(&r));
    yoke__ready_destroy(&r);
    yoke__ready_destroy(&own);
}

static void push(uintptr_t n, bool idle)
{
    assert_int_equal(yoke__ready_push(&r, fiber(n), idle), 0);
}

static void take(uintptr_t n)
{
    assert_int_equal(number(yoke__ready_take(&r, false)), n);
}

static void first_in_first_out(void **state)
{
    (void)state;
    begin(true);
    assert_false(yoke__ready_any(&r));
    for (uintptr_t n = 1; n <= 3; n++)
        push(n, false);
    assert_true(yoke__ready_hidden(&r));
    for (uintptr_t n = 1; n <= 30; n++) {
        take(n);
        push(n + 3, false);
    }
    for (uintptr_t n = 31; n <= 33; n++)
        take(n);
    end();
}

static void the_public_part_gets_the_older_ones_first(void **state)
{
    void *item;
    (void)state;
    begin(true);
    push(1, false);
    push(2, false);
    push(3, true);
    assert_false(yoke__ready_hidden(&r));
    assert_int_equal(yoke__deque_steal(&r.public, &item), YOKE__STEAL_GOT);
    assert_int_equal(number(item), 1);
    push(4, false);
    for (uintptr_t n = 2; n <= 4; n++)
        take(n);
    end();
}

static void a_full_ring_overflows_in_order(void **state)
{
    (void)state;
    begin(true);
    for (uintptr_t n = 1; n <= 23; n++)
        push(n, false);
    for (uintptr_t n = 1; n <= 23; n++)
        take(n);
    end();
}

static void an_exchange_is_a_push_and_a_take(void **state)
{
    (void)state;
    begin(true);
    assert_null(yoke__ready_exchange(&r, fiber(9))); /* nobody is there, and nothing has happened */
    assert_false(yoke__ready_any(&r));
    for (uintptr_t n = 1; n <= 4; n++)
        push(n, false);
    for (uintptr_t n = 1; n <= 20; n++) { /* the ring is full all the time */
        assert_int_equal(number(yoke__ready_exchange(&r, fiber(n + 4))), n);
        assert_null(yoke__ready_rob(&r, &own)); /* the stack of the other one is not left yet */
        yoke__ready_leave(&r);
    }
    for (uintptr_t n = 21; n <= 24; n++)
        take(n);
    push(1, true);
    assert_null(yoke__ready_exchange(&r, fiber(2))); /* the older ones are in the public part */
    take(1);
    end();
}

static void a_thief_takes_the_older_half(void **state)
{
    (void)state;
    begin(true);
    assert_null(yoke__ready_rob(&r, &own));
    for (uintptr_t n = 1; n <= 3; n++)
        push(n, false);
    assert_int_equal(number(yoke__ready_rob(&r, &own)), 1);
    assert_int_equal(number(yoke__ready_take(&own, false)), 2);
    assert_null(yoke__ready_take(&own, false));
    assert_int_equal(number(yoke__ready_rob(&r, &own)), 3);
    assert_false(yoke__ready_any(&r));
    end();
}

static void a_revoked_ring_is_left_alone(void **state)
{
    (void)state;
    begin(true);
    push(1, false);
    r.revoked = 1; /* a thief is in it */
    push(2, false);
    assert_true(yoke__ready_hidden(&r));
    assert_null(yoke__ready_rob(&r, &own));
    take(2); /* out of the public part */
    assert_null(yoke__ready_take(&r, false));
    assert_true(yoke__ready_any(&r)); /* so nobody parks */
    assert_null(yoke__ready_exchange(&r, fiber(3)));
    r.revoked = 0;
    take(1);
    end();
}

static void without_membarrier_all_is_public(void **state)
{
    void *item;
    (void)state;
    begin(false);
    push(1, false);
    assert_false(yoke__ready_hidden(&r));
    assert_int_equal(yoke__deque_steal(&r.public, &item), YOKE__STEAL_GOT);
    end();
}

static void without_memory_a_push_fails_and_a_thief_leaves_what_it_cannot_keep(void **state)
{
    (void)state;
    begin(true);
    for (uintptr_t n = 1; n <= 4; n++)
        assert_int_equal(yoke__ready_push(&own, fiber(100 + n), true), 0); /* its first array is full */
    for (uintptr_t n = 1; n <= 4; n++)
        push(n, false);
    yoke__os_fault_set(YOKE__OS_ALLOC, -1, ENOMEM);
    assert_int_equal(number(yoke__ready_rob(&r, &own)), 1);
    for (uintptr_t n = 5; n <= 9; n++)
        if (yoke__ready_push(&r, fiber(n), false) < 0)
            break;
        else
            assert_true(n < 9);
    yoke__os_fault_clear();
    take(2);
    take(3);
    take(4);
    while (yoke__ready_take(&r, false) != NULL)
        ;
    end();
}

/* ---- a crowd ---------------------------------------------------------------------------------------------------------- */

static uint32_t taken[FIBERS + 1];
static uint32_t over;
static pthread_barrier_t start;

static void count(struct yoke__fiber *f)
{
    check_int(__atomic_fetch_add(&taken[number(f)], 1u, __ATOMIC_RELAXED), 0);
}

static void *thief(void *arg)
{
    static _Thread_local struct yoke__ready mine;
    struct yoke__fiber *f;
    void *item;
    check_int(yoke__ready_init(&mine, true), 0);
    pthread_barrier_wait(&start);
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        if ((f = yoke__ready_rob(&r, &mine)) != NULL)
            count(f);
        while ((f = yoke__ready_take(&mine, false)) != NULL)
            count(f);
        if (yoke__deque_steal(&r.public, &item) == YOKE__STEAL_GOT)
            count(item);
    }
    yoke__ready_destroy(&mine);
    return arg;
}

static void in_a_crowd_every_fiber_is_taken_once(void **state)
{
    (void)state;
    pthread_t threads[THIEVES];
    uint64_t random = seed();
    int n = 0, fibers = repetitions(FIBERS);
    begin(true);
    memset(taken, 0, sizeof taken);
    over = 0;
    pthread_barrier_init(&start, NULL, THIEVES + 1);
    for (int i = 0; i < THIEVES; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thief, NULL), 0);
    pthread_barrier_wait(&start);
    while (n < fibers) {
        struct yoke__fiber *f = NULL;
        switch (next_random(&random) % 8) {
        case 0: case 1: case 2:
            check_int(yoke__ready_push(&r, fiber((uintptr_t)++n), false), 0);
            break;
        case 3:
            check_int(yoke__ready_push(&r, fiber((uintptr_t)++n), next_random(&random) % 16 == 0), 0);
            break;
        case 4: case 5:
            if ((f = yoke__ready_exchange(&r, fiber((uintptr_t)n + 1))) != NULL) {
                n++;
                yoke__ready_leave(&r);
            }
            break;
        default:
            f = yoke__ready_take(&r, false);
        }
        if (f != NULL)
            count(f);
    }
    __atomic_store_n(&over, 1u, __ATOMIC_RELEASE);
    for (int i = 0; i < THIEVES; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    for (struct yoke__fiber *f; (f = yoke__ready_take(&r, false)) != NULL;)
        count(f);
    assert_checks();
    for (int i = 1; i <= n; i++)
        assert_int_equal(taken[i], 1);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out),
        cmocka_unit_test(the_public_part_gets_the_older_ones_first),
        cmocka_unit_test(a_full_ring_overflows_in_order),
        cmocka_unit_test(an_exchange_is_a_push_and_a_take),
        cmocka_unit_test(a_thief_takes_the_older_half),
        cmocka_unit_test(a_revoked_ring_is_left_alone),
        cmocka_unit_test(without_membarrier_all_is_public),
        cmocka_unit_test(without_memory_a_push_fails_and_a_thief_leaves_what_it_cannot_keep),
        cmocka_unit_test(in_a_crowd_every_fiber_is_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
