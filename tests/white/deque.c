/* The split deque: every order of owner and thieves that a test can force, and a storm; capacity 4. */
#include "support.h"

#include "deque.h"
#include "platform.h"

static struct yoke__deque deque;

static void *item(long n)
{
    return (void *)(n * 8);
}

static int setup(void **state)
{
    (void)state;
    yoke__os_membarrier_register();
    return yoke__deque_init(&deque, false);
}

static int teardown(void **state)
{
    (void)state;
    yoke__deque_hook = NULL;
    yoke__deque_destroy(&deque);
    return 0;
}

static void pop_takes_last_first(void **state)
{
    (void)state;
    for (long i = 1; i <= 20; i++) /* through several growths */
        assert_int_equal(yoke__deque_push(&deque, item(i)), 0);
    for (long i = 20; i >= 1; i--)
        assert_ptr_equal(yoke__deque_pop(&deque), item(i));
    assert_null(yoke__deque_pop(&deque));
    assert_null(yoke__deque_pop(&deque));
}

static void private_items_are_hidden_until_asked_for(void **state)
{
    void *got;
    (void)state;
    assert_int_equal(yoke__deque_steal(&deque, &got), YOKE__STEAL_EMPTY);
    yoke__deque_push(&deque, item(1));
    yoke__deque_push(&deque, item(2));
    assert_int_equal(yoke__deque_steal(&deque, &got), YOKE__STEAL_HIDDEN);
    yoke__deque_ask(&deque);
    assert_int_equal(yoke__deque_push(&deque, item(3)), 1); /* answered: the older half */
    assert_int_equal(yoke__deque_steal(&deque, &got), YOKE__STEAL_GOT);
    assert_ptr_equal(got, item(1));
    assert_int_equal(yoke__deque_steal(&deque, &got), YOKE__STEAL_GOT);
    assert_ptr_equal(got, item(2));
    assert_int_equal(yoke__deque_steal(&deque, &got), YOKE__STEAL_HIDDEN);
    assert_ptr_equal(yoke__deque_pop(&deque), item(3));
    assert_null(yoke__deque_pop(&deque));
}

static void hunger_is_a_level_not_an_edge(void **state)
{
    void *got;
    (void)state;
    yoke__deque_ask(&deque);
    for (long i = 1; i <= 10; i++) {
        assert_int_equal(yoke__deque_push(&deque, item(i)), 1);
        assert_int_equal(yoke__deque_steal(&deque, &got), YOKE__STEAL_GOT);
        assert_ptr_equal(got, item(i));
    }
    yoke__deque_sated(&deque);
    assert_int_equal(yoke__deque_push(&deque, item(11)), 0);
    assert_ptr_equal(yoke__deque_pop(&deque), item(11));
}

static void as_much_is_public_as_is_wanted(void **state)
{
    void *got;
    (void)state;
    yoke__deque_ask(&deque);
    assert_int_equal(yoke__deque_push(&deque, item(1)), 1);
    yoke__deque_want(&deque, 3);
    for (long i = 2; i <= 4; i++)
        assert_int_equal(yoke__deque_push(&deque, item(i)), 1);
    for (long i = 1; i <= 3; i++) {
        assert_int_equal(yoke__deque_steal(&deque, &got), YOKE__STEAL_GOT);
        assert_ptr_equal(got, item(i));
    }
    assert_int_equal(yoke__deque_steal(&deque, &got), YOKE__STEAL_HIDDEN); /* three were enough */
    yoke__deque_sated(&deque);
    yoke__deque_ask(&deque);
    for (long i = 5; i <= 8; i++)
        assert_int_equal(yoke__deque_push(&deque, item(i)), 1);
    assert_int_equal(yoke__deque_steal(&deque, &got), YOKE__STEAL_GOT); /* of 4 and 5 the older one; that is enough for whoever asks first */
    assert_ptr_equal(got, item(4));
    assert_int_equal(yoke__deque_steal(&deque, &got), YOKE__STEAL_HIDDEN);
    for (long i = 8; i >= 5; i--)
        assert_ptr_equal(yoke__deque_pop(&deque), item(i));
}

static void public_items_are_taken_back_by_the_owner(void **state)
{
    (void)state;
    for (long i = 1; i <= 9; i++)
        assert_int_equal(yoke__deque_push_public(&deque, item(i)), 0);
    for (long i = 9; i >= 1; i--)
        assert_ptr_equal(yoke__deque_pop(&deque), item(i));
    assert_null(yoke__deque_pop(&deque));
}

static void used_as_a_queue_it_is_first_in_first_out(void **state)
{
    void *got;
    (void)state;
    long in = 1, out = 1;
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 3; i++)
            assert_int_equal(yoke__deque_push_public(&deque, item(in++)), 0);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(yoke__deque_steal(&deque, &got), YOKE__STEAL_GOT);
            assert_ptr_equal(got, item(out++));
        }
    }
}

static void an_unanswered_thief_raises_the_split(void **state)
{
    void *got;
    (void)state;
    for (long i = 1; i <= 4; i++)
        yoke__deque_push(&deque, item(i));
    assert_true(yoke__deque_raise(&deque));
    assert_int_equal(yoke__deque_steal(&deque, &got), YOKE__STEAL_GOT);
    assert_ptr_equal(got, item(1));
    assert_false(yoke__deque_raise(&deque)); /* something is public still */
    assert_ptr_equal(yoke__deque_pop(&deque), item(4));
    assert_ptr_equal(yoke__deque_pop(&deque), item(3));
    assert_ptr_equal(yoke__deque_pop(&deque), item(2));
    assert_null(yoke__deque_pop(&deque));
    assert_false(yoke__deque_raise(&deque));
}

/* ---- the owner comes between the steps of a raise, a thief between the steps of a lowering ---- */

static int at_step;
static void (*act)(void);
static void *acted[8];
static int nacted;

static void on_step(int step, struct yoke__deque *d)
{
    (void)d;
    if (step == at_step && act != NULL) {
        void (*once)(void) = act;
        act = NULL;
        once();
    }
}

static void pop_two(void)
{
    acted[nacted++] = yoke__deque_pop(&deque);
    acted[nacted++] = yoke__deque_pop(&deque);
}

static void pop_all(void)
{
    while ((acted[nacted] = yoke__deque_pop(&deque)) != NULL)
        nacted++;
}

static void publish_and_lose(void)
{
    void *got;
    yoke__deque_ask(&deque);
    yoke__deque_push(&deque, item(9));
    yoke__deque_sated(&deque);
    while (yoke__deque_steal(&deque, &got) == YOKE__STEAL_GOT)
        acted[nacted++] = got;
}

static void steal_one(void)
{
    void *got;
    if (yoke__deque_steal(&deque, &got) == YOKE__STEAL_GOT)
        acted[nacted++] = got;
}

/* Every item from 1 to n was taken once, by whomever. */
static void assert_each_once(long n)
{
    int seen[32] = { 0 };
    void *got;
    while (yoke__deque_steal(&deque, &got) == YOKE__STEAL_GOT)
        acted[nacted++] = got;
    pop_all();
    for (int i = 0; i < nacted; i++)
        seen[(uintptr_t)acted[i] / 8]++;
    for (long i = 1; i <= n; i++)
        assert_int_equal(seen[i], 1);
}

static void raise_with(int step, void (*owner)(void), long items)
{
    nacted = 0;
    at_step = step;
    act = owner;
    yoke__deque_hook = on_step;
    for (long i = 1; i <= items; i++)
        yoke__deque_push(&deque, item(i));
    yoke__deque_raise(&deque);
    assert_null(act); /* the hook was reached */
    yoke__deque_hook = NULL;
}

static void the_owner_pops_while_a_raise_is_tentative(void **state)
{
    (void)state;
    for (int step = 2; step <= 3; step++)
        for (long n = 1; n <= 6; n++) {
            raise_with(step, pop_two, n);
            assert_each_once(n);
            raise_with(step, pop_all, n);
            assert_each_once(n);
        }
}

static void the_owner_publishes_while_a_raise_is_tentative(void **state)
{
    (void)state;
    for (int step = 2; step <= 3; step++) {
        raise_with(step, publish_and_lose, 4);
        acted[nacted] = NULL;
        assert_each_once(4);
    }
}

static void a_thief_comes_while_the_owner_lowers(void **state)
{
    (void)state;
    for (long n = 2; n <= 6; n++) {
        nacted = 0;
        at_step = 1;
        act = steal_one;
        yoke__deque_hook = on_step;
        for (long i = 1; i <= n; i++)
            yoke__deque_push_public(&deque, item(i));
        acted[nacted++] = yoke__deque_pop(&deque);
        assert_null(act);
        yoke__deque_hook = NULL;
        assert_each_once(n);
    }
}

static void raise_and_steal_all(void)
{
    void *got;
    yoke__deque_raise(&deque);
    while (yoke__deque_steal(&deque, &got) == YOKE__STEAL_GOT)
        acted[nacted++] = got;
}

static void a_raise_is_settled_while_the_owner_answers(void **state)
{
    (void)state;
    for (long n = 2; n <= 6; n++) {
        nacted = 0;
        at_step = 4;
        act = raise_and_steal_all;
        yoke__deque_hook = on_step;
        for (long i = 1; i < n; i++)
            yoke__deque_push(&deque, item(i));
        yoke__deque_ask(&deque);
        yoke__deque_push(&deque, item(n));
        assert_null(act);
        yoke__deque_hook = NULL;
        yoke__deque_sated(&deque);
        pop_all();
        assert_each_once(n);
    }
}

static void out_of_memory_keeps_what_is_there(void **state)
{
    (void)state;
    long n = 0;
    yoke__os_fault_set(YOKE__OS_ALLOC, -1, ENOMEM);
    int rc = 0;
    while (n < 100 && (rc = yoke__deque_push(&deque, item(n + 1))) == 0)
        n++;
    assert_int_equal(rc, -ENOMEM);
    assert_int_equal(yoke__deque_push_public(&deque, item(99)), -ENOMEM);
    yoke__os_fault_clear();
    assert_int_equal(n, 4);
    for (long i = n; i >= 1; i--)
        assert_ptr_equal(yoke__deque_pop(&deque), item(i));
    assert_null(yoke__deque_pop(&deque));
}

static void without_membarrier_every_push_is_public(void **state)
{
    struct yoke__deque d;
    void *got;
    (void)state;
    assert_int_equal(yoke__deque_init(&d, true), 0);
    for (long i = 1; i <= 9; i++)
        assert_int_equal(yoke__deque_push(&d, item(i)), 1);
    assert_int_equal(yoke__deque_steal(&d, &got), YOKE__STEAL_GOT);
    assert_ptr_equal(got, item(1));
    for (long i = 9; i >= 2; i--)
        assert_ptr_equal(yoke__deque_pop(&d), item(i));
    assert_null(yoke__deque_pop(&d));
    assert_false(yoke__deque_raise(&d));
    yoke__deque_destroy(&d);
}

/* ---- storm ---- */

enum { THIEVES = 3 };
static unsigned char *taken;
static int stop;

static void *steal_on(void *arg)
{
    (void)arg;
    int hidden = 0, turns = 0;
    while (load(&stop) == 0) {
        void *got;
        switch (yoke__deque_steal(&deque, &got)) {
        case YOKE__STEAL_GOT:
            add(&taken[(uintptr_t)got / 8], 1);
            hidden = 0;
            break;
        case YOKE__STEAL_HIDDEN:
            yoke__deque_ask(&deque);
            if (++hidden % 16 == 0)
                yoke__deque_raise(&deque);
            break;
        default:
            break;
        }
        if (++turns % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void nothing_is_lost_or_taken_twice_in_a_storm(void **state)
{
    (void)state;
    long n = repetitions(2000000), at = 1;
    uint64_t r = seed();
    pthread_t threads[THIEVES];
    taken = calloc((size_t)n + 1, 1);
    assert_non_null(taken);
    stop = 0;
    for (int i = 0; i < THIEVES; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, steal_on, NULL), 0);
    while (at <= n) {
        uint64_t bits = next_random(&r);
        for (uint64_t i = bits % 6; i > 0 && at <= n; i--)
            assert_true((bits >> (8 + i) & 1) ? yoke__deque_push_public(&deque, item(at++)) >= 0 : yoke__deque_push(&deque, item(at++)) >= 0);
        for (uint64_t i = bits / 8 % 6; i > 0; i--) {
            void *got = yoke__deque_pop(&deque);
            if (got == NULL)
                break;
            if ((bits >> (16 + i) & 3) == 0)
                assert_true(yoke__deque_push(&deque, got) >= 0);
            else
                add(&taken[(uintptr_t)got / 8], 1);
        }
        if ((bits >> 40 & 7) == 0)
            yoke__deque_sated(&deque);
    }
    void *got;
    while ((got = yoke__deque_pop(&deque)) != NULL)
        add(&taken[(uintptr_t)got / 8], 1);
    store(&stop, 1);
    for (int i = 0; i < THIEVES; i++)
        pthread_join(threads[i], NULL);
    for (long i = 1; i <= n; i++)
        if (taken[i] != 1)
            fail_msg("item %ld was taken %d times", i, taken[i]);
    free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pop_takes_last_first, setup, teardown),
        cmocka_unit_test_setup_teardown(private_items_are_hidden_until_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(hunger_is_a_level_not_an_edge, setup, teardown),
        cmocka_unit_test_setup_teardown(as_much_is_public_as_is_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(public_items_are_taken_back_by_the_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(used_as_a_queue_it_is_first_in_first_out, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unanswered_thief_raises_the_split, setup, teardown),
        cmocka_unit_test_setup_teardown(the_owner_pops_while_a_raise_is_tentative, setup, teardown),
        cmocka_unit_test_setup_teardown(the_owner_publishes_while_a_raise_is_tentative, setup, teardown),
        cmocka_unit_test_setup_teardown(a_thief_comes_while_the_owner_lowers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_raise_is_settled_while_the_owner_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(out_of_memory_keeps_what_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(without_membarrier_every_push_is_public, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_lost_or_taken_twice_in_a_storm, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
