/*
 * The moment between a call that could not finish at once and its joining the queue. Here others come in exactly then: the registration
 * with the scope, which every wait makes in between, is one of ours. What came in is found by the second attempt, and wins over a cancel
 * that came with it; a cancel alone takes nothing. Also in between: an unlock that finds waiters, and the lock of the queue.
 */
#include "support.h"

#include "wait.h"

static void come_in(void);

static int intruded_enlist(struct yoke__wait *wait)
{
    int rc = yoke__wait_enlist(wait);
    come_in();
    return rc;
}

static void intruded_acquire(struct yoke__lock *lock)
{
    come_in();
    yoke__lock_acquire(lock);
}

#define yoke__wait_enlist intruded_enlist
#include "../../sync/queue.c"
#undef yoke__wait_enlist
#define yoke__lock_acquire intruded_acquire
#include "../../sync/mutex.c"
#undef yoke__lock_acquire

/* ---- who comes in ----------------------------------------------------------------------------------------------------- */

static bool armed;              /* the next one is let in */
static yoke_event go;           /* to the visitor */
static int came;                /* it has done what it came for, or is in the middle of it */
static bool cancel_too;         /* and the scope of the call is cancelled before */
static yoke_scope scope;

/* In the middle of a call: lets others run until one of them has come. The call may be cancelled: the shield is for the yields. */
static void come_in(void)
{
    if (!armed)
        return;
    armed = false;
    if (cancel_too)
        check_int(yoke_scope_cancel(scope, -EXDEV), 0);
    YOKE_SCOPE(shield, .shield = true);
    check_int(yoke_event_set(&go), 0);
    while (came == 0)
        check_int(yoke_yield(), 0);
    check_int(yoke_scope_close(shield, 0), 0);
}

static yoke_mutex mutex;
static yoke_event event, over;
static yoke_semaphore semaphore;
static yoke_channel *channel;
static long value;

enum visit_kind { COMPLETES, STAYS_INSIDE, OWNS_AND_UNLOCKS, OWNS_AND_ENDS, OWNS_AND_STAYS };

struct visit {
    enum visit_kind kind;
    int (*what)(void);
};

static int visitor(void *arg)
{
    const struct visit *visit = arg;
    if (visit->kind >= OWNS_AND_UNLOCKS)
        check_int(yoke_mutex_lock(&mutex), 0);
    check_int(yoke_event_set(&over), 0); /* in place */
    check_int(yoke_event_wait(&go), 0);
    came = visit->kind == STAYS_INSIDE; /* nothing else runs from here until it waits inside */
    if (visit->what != NULL)
        check_int(visit->what(), 0);
    came = 1;
    if (visit->kind == OWNS_AND_STAYS) {
        check_int(yoke_event_wait(&over), 0);
        check_int(yoke_mutex_unlock(&mutex), 0);
    }
    return 0;
}

/* Makes the call with a visit in between; returns its result. */
static int call_with(int (*call)(void), int (*what)(void), enum visit_kind kind, bool cancel)
{
    cancel_too = cancel;
    came = 0;
    yoke_event_init(&go);
    yoke_event_init(&over);
    YOKE_GROUP(g);
    check_int(yoke_spawn(g, visitor, struct visit, kind, what), 0);
    check_int(yoke_event_wait(&over), 0);
    check_int(yoke_event_reset(&over), 0);
    YOKE_SCOPE(s);
    scope = s;
    armed = true;
    int rc = call();
    check(!armed); /* somebody did come in */
    check_int(yoke_scope_close(s, rc), rc == -ECANCELED ? -EXDEV : rc);
    check_int(yoke_event_set(&over), 0);
    check_int(yoke_group_close(g, 0), 0);
    return rc;
}

/* ---- events, semaphores, channels --------------------------------------------------------------------------------------- */

static int do_wait(void) { return yoke_event_wait(&event); }
static int do_set(void) { return yoke_event_set(&event); }
static int do_acquire(void) { return yoke_semaphore_acquire(&semaphore); }
static int do_release(void) { return yoke_semaphore_release(&semaphore); }
static int do_send(void) { return yoke_channel_send(channel, &(long){ 7 }); }
static int do_receive(void) { return yoke_channel_receive(channel, &value); }
static int do_close(void) { return yoke_channel_close(channel); }

static int others(void *arg)
{
    (void)arg;
    for (int cancel = 0; cancel < 2; cancel++) {
        yoke_event_init(&event);
        check_int(call_with(do_wait, do_set, COMPLETES, cancel), 0);
        check_int(yoke_semaphore_init(&semaphore, 0, 1), 0);
        check_int(call_with(do_acquire, do_release, COMPLETES, cancel), 0);
        check_int(yoke_semaphore_try_acquire(&semaphore), -EAGAIN); /* the permit was taken */
        for (int capacity = 1; capacity < 3; capacity++) {
            check_int(yoke_channel_create(&channel, sizeof value, (size_t)capacity), 0);
            check_int(call_with(do_receive, do_send, COMPLETES, cancel), 0);
            check_int(value, 7);
            for (long i = 0; i < capacity; i++)
                check_int(yoke_channel_send(channel, &i), 0);
            check_int(call_with(do_send, do_receive, COMPLETES, cancel), 0);
            check_int(value, 0);
            check_int(call_with(do_send, do_close, COMPLETES, cancel), -EPIPE);
            check_int(yoke_channel_destroy(channel), 0);
            check_int(yoke_channel_create(&channel, sizeof value, (size_t)capacity), 0);
            check_int(call_with(do_receive, do_close, COMPLETES, cancel), -ENODATA);
            check_int(yoke_channel_destroy(channel), 0);
        }
    }
    /* a cancel alone */
    yoke_event_init(&event);
    check_int(call_with(do_wait, NULL, COMPLETES, true), -ECANCELED);
    check_int(yoke_semaphore_init(&semaphore, 0, 1), 0);
    check_int(call_with(do_acquire, NULL, COMPLETES, true), -ECANCELED);
    check_int(yoke_semaphore_release(&semaphore), 0);
    check_int(yoke_semaphore_release(&semaphore), -EOVERFLOW); /* nobody is left who could have got the first */
    check_int(yoke_channel_create(&channel, sizeof value, 0), 0);
    check_int(call_with(do_receive, NULL, COMPLETES, true), -ECANCELED);
    check_int(yoke_channel_try_send(channel, &value), -EAGAIN);
    check_int(call_with(do_send, NULL, COMPLETES, true), -ECANCELED);
    check_int(yoke_channel_try_receive(channel, &value), -EAGAIN);
    check_int(yoke_channel_destroy(channel), 0);
    return 0;
}

/* The partner that a second attempt meets in a rendezvous is made runnable. */
static int meet(void *arg)
{
    (void)arg;
    for (int cancel = 0; cancel < 2; cancel++) {
        check_int(yoke_channel_create(&channel, sizeof value, 0), 0);
        value = 0;
        check_int(call_with(do_send, do_receive, STAYS_INSIDE, cancel), 0);
        check_int(value, 7);
        value = 0;
        check_int(call_with(do_receive, do_send, STAYS_INSIDE, cancel), 0);
        check_int(value, 7);
        check_int(yoke_channel_destroy(channel), 0);
    }
    return 0;
}

static void what_comes_in_between_is_found(void **state)
{
    (void)state;
    assert_int_equal(run(1, others, NULL), 0);
    assert_int_equal(run(1, meet, NULL), 0);
}

/* ---- mutexes ---------------------------------------------------------------------------------------------------------- */

static int do_lock(void) { return yoke_mutex_lock(&mutex); }
static int do_unlock(void) { return yoke_mutex_unlock(&mutex); }

static int mutexes(void *arg)
{
    (void)arg;
    for (int cancel = 0; cancel < 2; cancel++) {
        yoke_mutex_init(&mutex);
        check_int(call_with(do_lock, do_unlock, OWNS_AND_UNLOCKS, cancel), 0);
        check_int(yoke_mutex_trylock(&mutex), -EAGAIN);
        check_int(yoke_mutex_unlock(&mutex), 0);
        check_int(call_with(do_lock, NULL, OWNS_AND_ENDS, cancel), -EOWNERDEAD);
    }
    yoke_mutex_init(&mutex);
    check_int(call_with(do_lock, NULL, OWNS_AND_STAYS, true), -ECANCELED);
    check_int(yoke_mutex_trylock(&mutex), 0);
    return yoke_mutex_unlock(&mutex);
}

static yoke_task waiter;
static int waiting;

static int lock_in_vain(void *arg)
{
    (void)arg;
    waiting = 1;
    check_int(yoke_mutex_lock(&mutex), -ECANCELED);
    return 0;
}

/* Cancels the only waiter, which leaves before the owner has the lock of the queue. */
static int cancel_the_waiter(void *arg)
{
    int result;
    (void)arg;
    check_int(yoke_event_wait(&go), 0);
    check_int(yoke_task_cancel(waiter), 0);
    check_int(yoke_task_await(waiter, &result), 0);
    came = 1;
    return 0;
}

static int own_and_let_go(void *arg)
{
    bool ends = *(bool *)arg;
    check_int(yoke_mutex_lock(&mutex), 0);
    while (waiting == 0)
        check_int(yoke_yield(), 0);
    armed = true;
    return ends ? 0 : yoke_mutex_unlock(&mutex);
}

static int alone(void *arg)
{
    (void)arg;
    for (int ends = 0; ends < 2; ends++) {
        yoke_mutex_init(&mutex);
        yoke_event_init(&go);
        came = waiting = 0;
        cancel_too = false;
        YOKE_GROUP(g);
        check_int(yoke_spawn(g, own_and_let_go, bool, ends != 0), 0);
        while (yoke_mutex_trylock(&mutex) == 0) {
            check_int(yoke_mutex_unlock(&mutex), 0);
            check_int(yoke_yield(), 0);
        }
        check_int(yoke_spawn_ptr_with(g, (.handle = &waiter), lock_in_vain, NULL), 0);
        check_int(yoke_spawn_ptr(g, cancel_the_waiter, NULL), 0);
        check_int(yoke_group_close(g, 0), 0);
        check(!armed);
        check_int(yoke_mutex_trylock(&mutex), ends ? -EOWNERDEAD : 0);
        if (!ends)
            check_int(yoke_mutex_unlock(&mutex), 0);
    }
    return 0;
}

static void a_mutex_is_let_go_as_its_only_waiter_leaves(void **state)
{
    (void)state;
    assert_int_equal(run(1, mutexes, NULL), 0);
    assert_int_equal(run(1, alone, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_in_between_is_found),
        cmocka_unit_test(a_mutex_is_let_go_as_its_only_waiter_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
