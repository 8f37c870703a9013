/* Out of memory inside a run: the failing call says so, what was promised holds, and the runtime goes on. */
#include "support.h"

#include "wait.h"
#include "worker.h"

static int nothing(void *arg)
{
    if (arg != NULL)
        add((int *)arg, 1);
    return 0;
}

static int block(void *arg)
{
    int rc = yoke_yield();
    if (rc == 0)
        rc = yoke_sleep(YOKE_US(50));
    add((int *)arg, 1);
    return rc == -ENOMEM ? 0 : rc; /* a wait without a stack to leave to says so */
}

static int late, to_come; /* deferred functions that have run, that were registered */

static int deferred(void *arg)
{
    add((int *)arg, 1);
    return 0;
}

/* Groups in groups, forks, scopes, spawns, deferred functions: counts what was accepted and what ran. */
static int churn(void *arg)
{
    int *fault = arg, accepted = 0, ran = 0;
    yoke__os_fault_set((enum yoke__os_call)fault[0], fault[1], ENOMEM);
    for (int round = 0; round < 20; round++) {
        YOKE_GROUP(g);
        for (int i = 0; i < 40; i++) {
            int rc = i % 2 ? yoke_spawn_ptr(g, nothing, &ran) : yoke_spawn_ptr(g, block, &ran);
            check(rc == 0 || rc == -ENOMEM);
            accepted += rc == 0;
            if (i % 8 == 0) {
                yoke_task h;
                rc = yoke_spawn_ptr_with(g, (.handle = &h), nothing, &ran);
                check(rc == 0 || rc == -ENOMEM);
                accepted += rc == 0;
            }
        }
        YOKE_SCOPE(s, .deadline = yoke_after(YOKE_SEC(100)));
        yoke_forked f[20]; /* more than a small deque holds */
        for (int i = 0; i < 20; i++)
            yoke_fork(&f[i], nothing, &ran);
        accepted += 20; /* a fork cannot fail: its join runs it */
        for (int i = 19; i >= 0; i--)
            check_int(yoke_join(&f[i]), 0);
        int rc = yoke_scope_close(s, 0);
        check(rc == 0 || rc == -ENOMEM);
        rc = yoke_defer(deferred, &late); /* runs at the end */
        check(rc == 0 || rc == -ENOMEM);
        to_come += rc == 0;
        rc = yoke_group_close(g, 0);
        check(rc == 0 || rc == -ENOMEM);
    }
    yoke__os_fault_clear();
    check_int(ran, accepted);
    return 0;
}

static void fail_each(int workers, enum yoke__os_call which)
{
    for (int n = 1; n < 40; n++) {
        int fault[2] = { (int)which, n };
        late = to_come = 0;
        assert_int_equal(run(workers, churn, fault), 0);
        assert_int_equal(late, to_come);
    }
    int all[2] = { (int)which, -1 }; /* from now on nothing */
    assert_int_equal(run(workers, churn, all), 0);
}

static void mappings_fail(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++)
        fail_each(workers, YOKE__OS_MMAP);
}

static void the_heap_fails(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++)
        fail_each(workers, YOKE__OS_ALLOC);
}

static void not_released(void *arg)
{
    (void)arg;
    check(0);
}

/* Threads for blocking jobs. */
static int use_pool(void *arg)
{
    int ran = 0;
    (void)arg;
    yoke__self()->rt->pool.idle_ns = YOKE_SEC(1000); /* the thread that is there is to be there still, however slow the machine */
    yoke__os_fault_set(YOKE__OS_THREAD, -1, EAGAIN);
    check_int(yoke_blocking(nothing, &ran), -EAGAIN);
    check_int(yoke_blocking_with(YOKE_BLOCKING_USER, true, not_released, nothing, &ran), -EAGAIN); /* the argument is still the caller's */
    check_int(ran, 0);
    yoke__os_fault_clear();
    yoke__os_fault_set(YOKE__OS_ALLOC, 1, ENOMEM);
    check_int(yoke_blocking_with(YOKE_BLOCKING_USER, true, not_released, nothing, &ran), -ENOMEM);
    check_int(ran, 0);
    yoke__os_fault_clear();
    check_int(yoke_blocking(nothing, &ran), 0);
    check_int(ran, 1);
    yoke__os_fault_set(YOKE__OS_THREAD, -1, EAGAIN);
    check_int(yoke_blocking(nothing, &ran), 0); /* one is there */
    yoke__os_fault_clear();
    return 0;
}

static void threads_fail(void **state)
{
    (void)state;
    assert_int_equal(run(2, use_pool, NULL), 0);
}

/* ---- no stack for a scheduler loop ----
 *
 * A worker without one tries again and again, which the count of failed mappings shows: whoever was made runnable before one try and has not
 * gone on by the third next is starved, however long that took.
 */

enum { STACKS = 64 };

struct waiter {
    struct yoke__wait wait;
    int begun, code, resumed;
};

static struct {
    struct waiter waiter;
    struct yoke__fiber *spares;
    void *stacks[STACKS];
    int nstacks, since, holding, starved;
} dry;

static int tries(void)
{
    return yoke__os_fault_count(YOKE__OS_MMAP);
}

/* Nothing is left to this worker but the stack it is on, and there will be no other. */
static void drain(void)
{
    struct yoke__worker *w = yoke__self();
    yoke__os_fault_set(YOKE__OS_MMAP, -1, ENOMEM);
    dry.spares = w->spare;
    w->spare = NULL;
    w->spares = 0;
    for (dry.nstacks = 0; dry.nstacks < STACKS; dry.nstacks++)
        if ((dry.stacks[dry.nstacks] = yoke__stack_alloc(&w->rt->stacks)) == NULL)
            break;
    check(dry.nstacks < STACKS && w->rt->fibers == NULL);
    store(&dry.since, tries() + 1);
}

/* On the same worker. */
static void refill(void)
{
    struct yoke__worker *w = yoke__self();
    yoke__os_fault_clear();
    while (dry.nstacks > 0)
        yoke__stack_free(&w->rt->stacks, dry.stacks[--dry.nstacks]);
    while (dry.spares != NULL) {
        struct yoke__fiber *fiber = dry.spares;
        dry.spares = fiber->next;
        fiber->next = w->spare;
        w->spare = fiber;
        w->spares++;
    }
}

static int await_fire(void *arg)
{
    struct waiter *waiter = arg;
    yoke__wait_init(&waiter->wait, "test");
    check_int(yoke__wait_enlist(&waiter->wait), 0);
    store(&waiter->begun, 1);
    waiter->code = yoke__wait_block(&waiter->wait);
    store(&waiter->resumed, 1);
    yoke__wait_delist(&waiter->wait);
    return 0;
}

/* Until the waiter has left its stack, and a worker has looked for one in vain. */
static void await_dry(void)
{
    while (load(&dry.waiter.begun) == 0 || load(&dry.waiter.wait.state) != YOKE__WAIT_PARKED || load(&dry.since) == 0 || tries() <= load(&dry.since))
        sched_yield();
}

/* After something was to wake the waiter. */
static void await_resumed(void)
{
    int at = tries();
    while (load(&dry.waiter.resumed) == 0 && load(&dry.starved) == 0)
        if (tries() >= at + 3 && load(&dry.waiter.resumed) == 0) {
            store(&dry.starved, 1);
            yoke__os_fault_clear(); /* so that the run ends */
        }
}

static void fire(struct yoke_runtime *rt)
{
    struct yoke__fiber *fiber;
    check(yoke__wait_fire(&dry.waiter.wait, YOKE__FIRE_DONE, &fiber) && fiber != NULL);
    yoke__ready(rt, fiber);
}

static void *fire_from_outside(void *rt)
{
    await_dry();
    fire(rt);
    await_resumed();
    return NULL;
}

static void *post_a_signal(void *arg)
{
    struct yoke_runtime *rt = arg;
    await_dry();
    rt->signal_nodes[1].kind = YOKE__NODE_SIGNAL; /* the second: cancels */
    yoke__runtime_post(rt, &rt->signal_nodes[1]);
    await_resumed();
    return NULL;
}

struct outside {
    void *(*fn)(void *rt);
    bool pinned;
    int code;
};

/* One worker; its only task with a stack waits, others that have not begun lie before it in every queue. */
static int go_dry(void *arg)
{
    const struct outside *outside = arg;
    pthread_t thread;
    yoke_token *token;
    yoke_post_node post;
    int ran = 0;
    memset(&dry, 0, sizeof dry);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.pinned = outside->pinned), await_fire, &dry.waiter), 0);
    while (load(&dry.waiter.begun) == 0)
        check_int(yoke_yield(), 0);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true), nothing, &ran), 0);
    check_int(yoke_token_acquire(&token, g), 0);
    check_int(yoke_post(token, &post, nothing, &ran), 0);
    check_int(pthread_create(&thread, NULL, outside->fn, yoke__self()->rt), 0);
    drain();
    int rc = yoke_group_close(g, 0);
    check_int(rc, outside->code);
    refill();
    pthread_join(thread, NULL);
    yoke_token_release(token);
    check_int(dry.starved, 0);
    check_int(ran, 2);
    return 0;
}

static void what_was_woken_goes_on_without_another_stack(void **state)
{
    (void)state;
    for (int pinned = 0; pinned <= 1; pinned++) {
        struct outside fired = { fire_from_outside, pinned, 0 };
        assert_int_equal(run(1, go_dry, &fired), 0);
    }
}

static void a_signal_is_served_without_another_stack(void **state)
{
    (void)state;
    struct outside signalled = { post_a_signal, true, 0 };
    assert_int_equal(run(1, go_dry, &signalled), 0);
    assert_int_equal(dry.waiter.code, YOKE__FIRE_CANCEL);
}

/* On worker 0: wakes the waiter, which then lies in this worker's queue, and holds the worker. */
static int wake_and_hold(void *arg)
{
    (void)arg;
    store(&dry.holding, 1);
    await_dry();
    fire(yoke__self()->rt);
    await_resumed();
    return 0;
}

/* On worker 1: the child cannot run before worker 0 is free, and no stack is there for a loop. */
static int wait_dry(void *arg)
{
    (void)arg;
    while (load(&dry.holding) == 0)
        check_int(yoke_yield(), 0);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = 0), nothing, NULL), 0);
    drain();
    int rc = yoke_group_close(g, 0);
    refill();
    return rc;
}

static int hold_one_and_dry_the_other(void *arg)
{
    (void)arg;
    memset(&dry, 0, sizeof dry);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, await_fire, &dry.waiter), 0);
    while (load(&dry.waiter.begun) == 0 || load(&dry.waiter.wait.state) != YOKE__WAIT_PARKED)
        check_int(yoke_yield(), 0);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = 0), wake_and_hold, NULL), 0);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = 1), wait_dry, NULL), 0);
    int rc = yoke_group_close(g, 0);
    check_int(dry.starved, 0);
    return rc;
}

static void what_a_busy_worker_woke_goes_on_without_another_stack(void **state)
{
    (void)state;
    assert_int_equal(run(2, hold_one_and_dry_the_other, NULL), 0);
}

/* ---- pinned, and no stack to leave to ---- */

static int closing, ending;

static int end_when_closing(void *arg)
{
    store(&ending, 1);
    while (load((int *)arg) == 0)
        ;
    return 0;
}

static int close_without_stack(void *arg)
{
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = 0), end_when_closing, arg), 0);
    while (load(&ending) == 0) /* it has a stack */
        sched_yield();
    yoke__os_fault_set(YOKE__OS_MMAP, -1, ENOMEM);
    yoke__os_fault_set(YOKE__OS_MADVISE, -1, ENOMEM);
    store((int *)arg, 1);
    int rc = yoke_group_close(g, 0); /* hangs if nobody resumes it: the time limit tells */
    yoke__os_fault_clear();
    return rc;
}

static int pin_it(void *arg)
{
    closing = ending = 0;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = 1), close_without_stack, &closing), 0);
    return arg == NULL ? yoke_group_close(g, 0) : -EINVAL;
}

static void a_pinned_task_that_waits_without_a_stack_is_resumed(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_int_equal(run(2, pin_it, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pinned_task_that_waits_without_a_stack_is_resumed),
        cmocka_unit_test(mappings_fail),
        cmocka_unit_test(the_heap_fails),
        cmocka_unit_test(threads_fail),
        cmocka_unit_test(what_was_woken_goes_on_without_another_stack),
        cmocka_unit_test(a_signal_is_served_without_another_stack),
        cmocka_unit_test(what_a_busy_worker_woke_goes_on_without_another_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
