/*
 * The real code of the deque under a scheduler of our own: every atomic operation is a place where another thread may come in, chosen at
 * random from a seed, on coroutines of one thread. Sequential consistency only: it finds wrong orders of steps, in seconds, and prints
 * the schedule; orders of memory are the business of tests/model.
 *
 * Caught by it when broken: the owner's slow pop settling `split` before it takes `bottom` down; lowering and raising of one kind;
 * a part published by a plain store.
 */
#define YOKE_EXECUTOR_ATOMIC_H /* instead of executor/atomic.h */
#include <stdbool.h>
#include <stdint.h>
static void step(void);
#define ATOMIC(expression) (__extension__({ step(); expression; }))
#define yoke__load_relaxed(p)      ATOMIC(*(p))
#define yoke__load_acquire(p)      ATOMIC(*(p))
#define yoke__load_seq(p)          ATOMIC(*(p))
#define yoke__store_relaxed(p, v)  ATOMIC(*(p) = (v))
#define yoke__store_release(p, v)  ATOMIC(*(p) = (v))
#define yoke__store_seq(p, v)      ATOMIC(*(p) = (v))
#define yoke__xchg_acq_rel(p, v)   ATOMIC(__atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL))
#define yoke__xchg_seq(p, v)       ATOMIC(__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST))
#define yoke__cas_acq_rel(p, e, v) ATOMIC(__atomic_compare_exchange_n((p), (e), (v), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
#define yoke__cas_seq(p, e, v)     yoke__cas_acq_rel(p, e, v)
#define yoke__compiler_barrier()   ((void)0)
#define yoke__os_membarrier explored_membarrier
#undef YOKE_TEST_HOOKS
#pragma GCC diagnostic ignored "-Wunused-value"
#define yoke__deque_init explored_init
#define yoke__deque_set_base explored_set_base
#define yoke__deque_destroy explored_destroy
#define yoke__deque_slow_only explored_slow_only
#define yoke__deque_grow explored_grow
#define yoke__deque_sated explored_sated
#define yoke__deque_push_slow explored_push_slow
#define yoke__deque_answer explored_answer
#define yoke__deque_pop_slow explored_pop_slow
#define yoke__deque_steal explored_steal
#define yoke__deque_steal_many explored_steal_many
#define yoke__deque_raise explored_raise
#include "../../executor/deque.c"

#include "support.h"

#include <ucontext.h>

enum { THREADS = 4, ITEMS = 48 };

static ucontext_t contexts[THREADS], scheduler;
static char stacks[THREADS][64 * 1024] __attribute__((aligned(64)));
static int current = -1, ended[THREADS], steps;
static uint64_t random_state;

static struct yoke__deque deque;
static int taken[ITEMS + 1], pushed, wrong;

/* A step of the current thread: at one in three, somebody else may go on. */
static void step(void)
{
    if (current < 0 || next_random(&random_state) % 3 != 0)
        return;
    int me = current;
    current = -1;
    swapcontext(&contexts[me], &scheduler);
}

int explored_membarrier(void)
{
    step();
    return 0;
}

static void take(void *item)
{
    if (++taken[(uintptr_t)item / 8] > 1)
        wrong = 1;
}

static void *next_item(void)
{
    return (void *)((uintptr_t)++pushed * 8);
}

static void own(void)
{
    for (int i = 0; i < steps && wrong == 0; i++) {
        uint64_t what = next_random(&random_state) % 10;
        if (what < 3 && pushed < ITEMS) {
            yoke__deque_push(&deque, next_item());
        } else if (what < 5 && pushed < ITEMS) {
            yoke__deque_push_public(&deque, next_item());
        } else if (what < 9) {
            void *item = yoke__deque_pop(&deque);
            if (item != NULL && next_random(&random_state) % 3 == 0)
                yoke__deque_push(&deque, item);
            else if (item != NULL)
                take(item);
        } else if (next_random(&random_state) % 2) {
            explored_sated(&deque);
        } else {
            yoke__deque_want(&deque, 1 + (int64_t)(next_random(&random_state) % 4));
        }
    }
}

static void rob(void)
{
    for (int i = 0; i < steps && wrong == 0; i++) {
        void *item;
        switch (explored_steal(&deque, &item)) {
        case YOKE__STEAL_GOT:
            take(item);
            break;
        case YOKE__STEAL_HIDDEN:
            yoke__deque_ask(&deque);
            if (next_random(&random_state) % 2)
                explored_raise(&deque);
            break;
        default:
            if (next_random(&random_state) % 8 == 0)
                explored_raise(&deque);
            break;
        }
    }
}

/* As a queue: its owner pushes publicly, and takes at the top like everybody else, one or many. */
static bool queue;

static void take_from_queue(void)
{
    enum { MOST = 5 };
    void *items[MOST];
    int64_t n = explored_steal_many(&deque, items, 1 + (int64_t)(next_random(&random_state) % MOST));
    if (n == 0)
        n = explored_steal(&deque, items) == YOKE__STEAL_GOT;
    for (int64_t i = 0; i < n; i++)
        take(items[i]);
}

static void own_queue(void)
{
    for (int i = 0; i < steps && wrong == 0; i++)
        if (pushed < ITEMS && next_random(&random_state) % 3 != 0)
            yoke__deque_push_public(&deque, next_item());
        else
            take_from_queue();
}

static void rob_queue(void)
{
    for (int i = 0; i < steps && wrong == 0; i++)
        take_from_queue();
}

static void enter(int thread)
{
    if (thread == 0)
        (queue ? own_queue : own)();
    else
        (queue ? rob_queue : rob)();
    ended[thread] = 1;
    current = -1;
    setcontext(&scheduler);
}

/* One schedule: 0, or what went wrong. */
static int explore(uint64_t from)
{
    random_state = from;
    pushed = wrong = 0;
    memset(taken, 0, sizeof taken);
    memset(ended, 0, sizeof ended);
    if (explored_init(&deque, false) < 0)
        return 3;
    steps = 10 + (int)(next_random(&random_state) % 20);
    for (int i = 0; i < THREADS; i++) {
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks[i];
        contexts[i].uc_stack.ss_size = sizeof stacks[i];
        makecontext(&contexts[i], (void (*)(void))enter, 1, i);
    }
    for (int alive = THREADS; alive > 0 && wrong == 0;) {
        int live[THREADS];
        alive = 0;
        for (int i = 0; i < THREADS; i++)
            if (!ended[i])
                live[alive++] = i;
        if (alive > 0) {
            int thread = live[next_random(&random_state) % (uint64_t)alive];
            current = thread;
            swapcontext(&scheduler, &contexts[thread]);
        }
    }
    current = -1;
    void *item;
    while (wrong == 0 && (item = yoke__deque_pop(&deque)) != NULL)
        take(item);
    for (int i = 1; i <= pushed && wrong == 0; i++)
        if (taken[i] != 1)
            wrong = 2;
    explored_destroy(&deque);
    return wrong;
}

static void search(bool as_queue)
{
    uint64_t from = seed();
    queue = as_queue;
    for (int n = repetitions(50000); n > 0; n--, from++) {
        int what = explore(from);
        if (what != 0)
            fail_msg("an item was %s: YOKE_TEST_SEED=%llu", what == 1 ? "taken twice" : "lost", (unsigned long long)from);
    }
}

static void no_schedule_takes_an_item_twice_or_loses_it(void **state)
{
    (void)state;
    search(false);
}

static void no_schedule_of_a_queue_does_where_many_are_taken_at_once(void **state)
{
    (void)state;
    search(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_schedule_takes_an_item_twice_or_loses_it),
        cmocka_unit_test(no_schedule_of_a_queue_does_where_many_are_taken_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
