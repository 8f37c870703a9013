/*
 * Walks by stretches (executor/walk.c), a stretch being four: what is left to workers is gone on with, whatever else they have to do; by who leaves a
 * scope that it has pinned, and by who would have left it to workers while somebody leaves; and it hides nobody meanwhile. In each of these
 * tests who is forgotten sleeps for ever.
 */
#include "sync.h"

#include <sys/eventfd.h>

#include <yoke/io/wait.h>

#include "scope.h"
#include "seat.h"
#include "stop.h"
#include "wait.h"
#include "worker.h"

static void (*waking)(void);  /* the walker, holding no lock, before it leaves the rest to workers */
static void (*sleeping)(void); /* who leaves, before he sleeps */

static void ready_here(struct yoke_runtime *rt, struct yoke__roused *roused)
{
    void (*what)(void) = __atomic_exchange_n(&waking, NULL, __ATOMIC_SEQ_CST);
    if (what != NULL)
        what();
    yoke__roused_ready(rt, roused);
}

static void sleep_here(uint32_t *bell, uint32_t seen)
{
    if (load(&sleeping) != NULL)
        load(&sleeping)();
    yoke__os_futex_wait(bell, seen, UINT64_MAX);
}

#define yoke__roused_ready ready_here
#define yoke__os_futex_wait(word, seen, until) sleep_here((word), (seen))
#include "../../executor/walk.c"
#undef yoke__roused_ready
#undef yoke__os_futex_wait

enum { SLEEPERS = 40 };
static int asleep, cut;

static struct yoke_runtime *here(void)
{
    return yoke__self()->rt;
}

static int run_anew(int workers, yoke_fn fn, void *arg)
{
    store(&cut, 0);
    return run(workers, fn, arg);
}

static int sleep_long(void *arg)
{
    (void)arg;
    add(&asleep, 1);
    int rc = yoke_sleep_until(YOKE_NEVER);
    if (rc == -ECANCELED)
        add(&cut, 1);
    return rc;
}

static int sleep_in_a_scope(void *arg)
{
    YOKE_SCOPE(own);
    return yoke_scope_close(own, sleep_long(arg));
}

/* Since `asleep` was set to 0; all of them blocked. */
static void await_asleep(int n)
{
    while (load(&asleep) < n)
        check_int(yoke_sleep(YOKE_US(100)), 0);
    check_int(yoke_sleep(YOKE_MS(5)), 0);
}

static void put_so_many_to_sleep(yoke_group g, yoke_fn fn, int n)
{
    store(&asleep, 0);
    for (int i = 0; i < n; i++)
        check_int(yoke_spawn_ptr(g, fn, NULL), 0);
    await_asleep(n);
}

static void put_to_sleep(yoke_group g, yoke_fn fn)
{
    put_so_many_to_sleep(g, fn, SLEEPERS);
}

static void count_wait(void *ctx, const struct yoke__wait *wait)
{
    *(int *)ctx += wait->state == YOKE__WAIT_PARKED;
}

static int asleep_in(void *scope)
{
    struct yoke__scope *s = scope;
    int n = 0;
    yoke__lock_acquire(&s->lock);
    yoke__seats_show_locked(s, count_wait, &n);
    yoke__lock_release(&s->lock);
    return n;
}

/* ---- a stretch ---------------------------------------------------------------------------------------------------------- */

static int cancel_and_look(void *arg)
{
    bool stop = *(bool *)arg;
    YOKE_SCOPE(outer, .grace = YOKE_NEVER);
    YOKE_GROUP(g, .cancel_on_stop = true);
    put_to_sleep(g, sleep_long);
    check_int(asleep_in(g.block), SLEEPERS);
    check_int(stop ? yoke_scope_stop(outer) : yoke_group_cancel(g, 0), 0);
    int left = asleep_in(g.block); /* those not yet visited are still shown */
    check(left < SLEEPERS && left >= SLEEPERS - YOKE__STRETCH);
    check_int(here()->walks_pending, 1);
    check(yoke__walk_waits(here()));
    check_int(load(&cut), 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(load(&cut), SLEEPERS);
    check_int(here()->walks_pending, 0);
    check(!yoke__walk_waits(here()) && !yoke__walk_resumed(here()));
    return yoke_scope_close(outer, 0);
}

static void a_stretch_is_woken_and_the_rest_left_to_workers(void **state)
{
    (void)state;
    for (int stop = 0; stop < 2; stop++)
        assert_int_equal(run_anew(1, cancel_and_look, &(bool){ stop != 0 }), 0);
}

/* ---- who goes on with it -------------------------------------------------------------------------------------------------- */

static int yield_until_all_are_cut(void *arg)
{
    (void)arg;
    while (load(&cut) < SLEEPERS)
        check_int(yoke_yield(), 0);
    return 0;
}

static int cancel_beside_yields(void *arg)
{
    bool pinned = *(bool *)arg;
    YOKE_GROUP(busy);
    YOKE_GROUP(g);
    put_to_sleep(g, sleep_long);
    for (int i = 0; i < 3; i++)
        check_int(yoke_spawn_ptr_with(busy, (.pinned = pinned, .worker = -1), yield_until_all_are_cut, NULL), 0);
    check_int(yoke_yield(), 0);
    check_int(yoke_group_cancel(g, 0), 0);
    check_int(yoke_group_close(g, 0), 0);
    return yoke_group_close(busy, 0);
}

static void who_always_has_woken_fibers_goes_on_with_it(void **state)
{
    (void)state;
    for (int pinned = 0; pinned < 2; pinned++)
        assert_int_equal(run_anew(1, cancel_beside_yields, &(bool){ pinned != 0 }), 0);
}

static yoke_group chain;

static int spawn_until_all_are_cut(void *arg)
{
    return load(&cut) < SLEEPERS ? yoke_spawn_ptr(chain, spawn_until_all_are_cut, arg) : 0;
}

static int cancel_beside_tasks(void *arg)
{
    (void)arg;
    YOKE_GROUP(busy);
    YOKE_GROUP(g);
    put_to_sleep(g, sleep_long);
    chain = busy;
    check_int(yoke_group_cancel(g, 0), 0);
    check_int(yoke_spawn_ptr(busy, spawn_until_all_are_cut, NULL), 0);
    check_int(yoke_group_close(g, 0), 0);
    return yoke_group_close(busy, 0);
}

static void who_always_has_tasks_goes_on_with_it(void **state)
{
    (void)state;
    assert_int_equal(run_anew(1, cancel_beside_tasks, NULL), 0);
}

static int cancel_and_compute(void *arg)
{
    (void)arg;
    for (int i = repetitions(50); i > 0; i--) {
        YOKE_GROUP(g);
        put_to_sleep(g, sleep_long);
        store(&cut, 0);
        check_int(yoke_group_cancel(g, 0), 0);
        while (load(&cut) < SLEEPERS)
            sched_yield(); /* the thread's: this worker does nothing else */
        check_int(yoke_group_close(g, 0), 0);
    }
    return 0;
}

static void a_sleeping_worker_is_woken_for_it(void **state)
{
    (void)state;
    assert_int_equal(run_anew(2, cancel_and_compute, NULL), 0);
}

enum { DEADLINES = 600 }; /* more than are fired at once */
static int64_t due;

static int sleep_until_it_is_due(void *arg)
{
    YOKE_SCOPE(own, .deadline = due);
    check_int(yoke_scope_close(own, sleep_long(arg)), -ETIMEDOUT);
    return 0;
}

/* Who fires them goes on with the next of them only when another worker runs what the first have woken. */
static void await_another_worker(void)
{
    while (load(&cut) == 0)
        sched_yield();
}

static void at_the_second_stretch(void)
{
    store(&waking, await_another_worker);
}

static int wait_for_deadlines(void *arg)
{
    (void)arg;
    int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    check_int(yoke_fd_readable(fd), 0); /* there is a poll to sleep in */
    close(fd);
    for (int i = repetitions(20); i > 0; i--) {
        YOKE_GROUP(g);
        due = yoke_after(YOKE_MS(50));
        store(&cut, 0);
        put_so_many_to_sleep(g, sleep_until_it_is_due, DEADLINES);
        store(&waking, at_the_second_stretch);
        check_int(yoke_group_close(g, 0), 0);
        store(&waking, NULL);
    }
    return 0;
}

static void a_sleeping_worker_is_woken_by_one_who_fires_deadlines(void **state)
{
    (void)state;
    assert_int_equal(run_anew(2, wait_for_deadlines, NULL), 0);
}

/* ---- others that call meanwhile ---------------------------------------------------------------------------------------------- */

static int sleep_behind(void *arg)
{
    (void)arg;
    YOKE_SCOPE(own, .cancel_on_stop = true);
    return yoke_scope_close(own, sleep_long(NULL));
}

/* The scope opened last, which is visited last. */
static struct yoke__scope *newest(yoke_group g)
{
    return ((struct yoke__scope *)g.block)->children;
}

static int call_twice(void *arg)
{
    (void)arg;
    YOKE_SCOPE(outer, .grace = YOKE_NEVER);
    YOKE_GROUP(other);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(other, sleep_long, NULL), 0);
    put_to_sleep(g, sleep_behind);
    check_int(yoke_group_cancel(g, 0), 0);
    check(yoke__walk_waits(here()));
    struct yoke__scope *last = newest(g);
    check_int(asleep_in(last), 1);
    check_int(asleep_in(other.block), 1);
    check_int(yoke_group_cancel(other, 0), 0); /* encloses what is yet to be visited; is in front of it all the same */
    check_int(asleep_in(other.block), 0);
    check(yoke__walk_waits(here()));
    check_int(last->pins, 1);
    yoke__scope_cancel(here(), last, YOKE__CANCEL_ASKED, 0, NULL); /* one of those; in front */
    check_int(asleep_in(last), 0);
    check_int(last->pins, 0);
    check(yoke__walk_waits(here()));
    check_int(yoke_scope_stop(outer), 0);
    check(yoke__walk_waits(here()));
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_group_close(other, 0), 0);
    check_int(load(&cut), SLEEPERS + 1);
    check_int(here()->walks_pending, 0);
    return yoke_scope_close(outer, 0);
}

static int sleep_behind_two(void *arg)
{
    YOKE_SCOPE(own);
    return yoke_scope_close(own, sleep_behind(arg));
}

/* What is in a cancelled scope is marked by a stop that comes later, whether the cancel's walk has been there or not. */
static int stop_the_cancelled(void *arg)
{
    bool parked = *(bool *)arg;
    int marked = 0;
    YOKE_SCOPE(outer, .grace = YOKE_NEVER);
    YOKE_GROUP(g);
    put_to_sleep(g, sleep_behind_two);
    check_int(yoke_group_cancel(g, 0), 0);
    while (!parked && yoke__walk_claim(here()))
        yoke__walk_stretch(here());
    check(yoke__walk_waits(here()) == parked);
    check_int(yoke_scope_stop(outer), 0);
    while (yoke__walk_claim(here()))
        yoke__walk_stretch(here());
    for (struct yoke__scope *s = ((struct yoke__scope *)g.block)->children; s != NULL; s = s->sibling)
        marked += s->children->cancel == YOKE__CANCEL_STOP;
    check_int(marked, SLEEPERS);
    check_int(yoke_group_close(g, 0), 0);
    return yoke_scope_close(outer, 0);
}

static void a_stop_marks_what_is_cancelled(void **state)
{
    (void)state;
    for (int parked = 0; parked < 2; parked++)
        assert_int_equal(run_anew(1, stop_the_cancelled, &(bool){ parked != 0 }), 0);
}

static int sleep_in_two_scopes(void *arg)
{
    YOKE_SCOPE(own);
    return yoke_scope_close(own, sleep_in_a_scope(arg));
}

/* Nor does such a stop, which has a look at the inner scopes, keep the cancel from them. */
static int stop_round_the_cancelled(void *arg)
{
    (void)arg;
    YOKE_SCOPE(outer, .grace = YOKE_NEVER);
    YOKE_GROUP(g);
    put_to_sleep(g, sleep_in_two_scopes);
    check_int(yoke_group_cancel(g, 0), 0);
    check(yoke__walk_waits(here()));
    check_int(yoke_scope_stop(outer), 0);
    check(yoke__walk_waits(here()));
    check_int(yoke_group_close(g, 0), 0);
    check_int(load(&cut), SLEEPERS);
    return yoke_scope_close(outer, 0);
}

static void a_stop_does_not_hold_up_a_cancel(void **state)
{
    (void)state;
    assert_int_equal(run_anew(1, stop_round_the_cancelled, NULL), 0); /* hangs otherwise: the time limit tells */
}

static void who_calls_is_not_behind_an_older_cancel(void **state)
{
    (void)state;
    assert_int_equal(run_anew(1, call_twice, NULL), 0);
}

struct stopper {
    yoke_scope scope;
    yoke_group group;
    bool parked;
};

/* With a walk of its own parked, or not. */
static int stop_and_look(void *arg)
{
    struct stopper *me = arg;
    int marked = 0;
    YOKE_GROUP(own);
    if (me->parked) {
        put_to_sleep(own, sleep_long);
        check_int(yoke_group_cancel(own, 0), 0);
        check(yoke__walk_waits(here()));
    }
    check_int(yoke_scope_stop(me->scope), 0);
    for (struct yoke__scope *s = ((struct yoke__scope *)me->group.block)->children; s != NULL; s = s->sibling)
        marked += s->cancel == YOKE__CANCEL_STOP;
    check_int(marked, SLEEPERS);
    check(yoke__walk_waits(here())); /* they are woken by and by */
    return yoke_group_close(own, 0);
}

static int stop_many(void *arg)
{
    YOKE_GROUP(stoppers);
    YOKE_SCOPE(outer, .grace = YOKE_NEVER);
    YOKE_GROUP(g);
    put_to_sleep(g, sleep_behind);
    check_int(yoke_spawn(stoppers, stop_and_look, struct stopper, .scope = outer, .group = g, .parked = *(bool *)arg), 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_scope_close(outer, 0), 0);
    check_int(yoke_group_close(stoppers, 0), 0);
    check_int(load(&cut), *(bool *)arg ? 2 * SLEEPERS : SLEEPERS);
    return 0;
}

static void a_stop_has_marked_all_when_it_returns(void **state)
{
    (void)state;
    for (int parked = 0; parked < 2; parked++)
        assert_int_equal(run_anew(1, stop_many, &(bool){ parked != 0 }), 0);
}

/* ---- how long one walks ------------------------------------------------------------------------------------------------------ */

static struct yoke__scope *cancelled;
static struct yoke_runtime *runtime;

static void *cancel_from_outside(void *arg)
{
    (void)arg;
    yoke__scope_cancel(runtime, cancelled, YOKE__CANCEL_ASKED, 0, NULL);
    return NULL;
}

enum { OTHERS = 2 * STRETCHES };
static struct yoke__scope *others[OTHERS];
static int nothers, calls;

/* A group to cancel, with so many inside. */
static int wait_in_a_group(void *arg)
{
    YOKE_GROUP(own, .cancel_on_stop = true, .grace = YOKE_NEVER);
    others[add(&nothers, 1)] = own.block;
    for (int i = 0; i < *(int *)arg; i++)
        check_int(yoke_spawn_ptr(own, sleep_long, NULL), 0);
    return yoke_group_close(own, 0);
}

static void open_others(yoke_group g, int inside)
{
    store(&nothers, 0);
    store(&asleep, 0);
    for (int i = 0; i < OTHERS; i++)
        check_int(yoke_spawn(g, wait_in_a_group, int, inside), 0);
    await_asleep(OTHERS * inside);
}

static void call_at_each_stretch(void)
{
    if (calls == OTHERS)
        return;
    store(&waking, call_at_each_stretch);
    yoke__scope_cancel(runtime, others[calls++], YOKE__CANCEL_ASKED, 0, NULL);
}

struct walker {
    bool outside; /* a thread that is no worker */
    bool at_once; /* his own walk is of one stretch */
};

/* Somebody calls at the end of each of his stretches. */
static int walk_for_others(void *arg)
{
    const struct walker *walker = arg;
    pthread_t thread;
    YOKE_GROUP(hosts);
    open_others(hosts, 1);
    YOKE_GROUP(g);
    if (!walker->at_once)
        put_to_sleep(g, sleep_long);
    calls = 0;
    runtime = here();
    cancelled = g.block;
    store(&waking, call_at_each_stretch);
    if (walker->outside) {
        check_int(pthread_create(&thread, NULL, cancel_from_outside, NULL), 0);
        check_int(pthread_join(thread, NULL), 0);
    } else {
        check_int(yoke_group_cancel(g, 0), 0);
    }
    store(&waking, NULL);
    check_int(calls, walker->outside ? 1 : STRETCHES);
    check(yoke__walk_waits(here()));
    check(asleep_in(others[calls - 1]) > 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_group_cancel(hosts, 0), 0);
    return yoke_group_close(hosts, 0);
}

static void nobody_walks_for_others_without_an_end(void **state)
{
    (void)state;
    for (int outside = 0; outside < 2; outside++)
        for (int at_once = 0; at_once < 2; at_once++)
            assert_int_equal(run_anew(1, walk_for_others, &(struct walker){ outside != 0, at_once != 0 }), 0);
}

/* What a walk has yet to do there: to wake, to pin, or to visit. */
static int left_in(struct yoke__scope *scope)
{
    int n = asleep_in(scope);
    for (struct yoke__scope *s = scope->children; s != NULL; s = s->sibling)
        n += s->visited ? 0 : 1 + (s->pins == 0);
    return n;
}

struct overtaking {
    bool in_scopes; /* are those who are overtaken */
    bool stop;      /* in place of a cancel */
};

/* Each call brings more than a stretch has room for, and comes in front. */
static int overtake(void *arg)
{
    enum { TIMES = 8 };
    const struct overtaking *how = arg;
    YOKE_GROUP(hosts);
    open_others(hosts, 3 * YOKE__STRETCH);
    YOKE_GROUP(g);
    put_to_sleep(g, how->in_scopes ? sleep_in_a_scope : sleep_long);
    check_int(yoke_group_cancel(g, 0), 0);
    struct yoke__scope *old = g.block;
    for (int i = 0; i < TIMES; i++) {
        int left = left_in(old), behind = asleep_in(others[i]);
        if (how->stop)
            check_int(yoke__stop_handle(here(), others[i], others[i]->generation, NULL), 0);
        else
            yoke__scope_cancel(here(), others[i], YOKE__CANCEL_ASKED, 0, NULL);
        check(i == 0 || left_in(old) < left); /* the first one finds nobody overtaken when it begins */
        check(asleep_in(others[i]) < behind);
        check(yoke__walk_waits(here()));
    }
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_group_cancel(hosts, 0), 0);
    check_int(yoke_group_close(hosts, 0), 0);
    check_int(load(&cut), SLEEPERS + OTHERS * 3 * YOKE__STRETCH);
    return 0;
}

static void what_is_overtaken_goes_on_all_the_same(void **state)
{
    (void)state;
    for (int in_scopes = 0; in_scopes < 2; in_scopes++)
        for (int stop = 0; stop < 2; stop++)
            assert_int_equal(run_anew(1, overtake, &(struct overtaking){ in_scopes != 0, stop != 0 }), 0);
}

/* ---- children ---------------------------------------------------------------------------------------------------------------- */

static int closed_while_due;

/* One of the children goes while he is the next to be pinned. */
static int pin_by_and_by(void *arg)
{
    int later = *(int *)arg, pinned = 0;
    YOKE_GROUP(g);
    put_to_sleep(g, sleep_in_a_scope);
    YOKE_SCOPE(own);
    check_int(yoke_sleep(YOKE_MS(1)), 0); /* links it */
    put_so_many_to_sleep(g, sleep_in_a_scope, later);
    check_int(yoke_group_cancel(g, 0), 0);
    check(yoke__walk_waits(here()));
    struct yoke__scope *parent = g.block, *scope = own.block;
    for (struct yoke__scope *s = parent->children; s != NULL; s = s->sibling)
        pinned += s->pins > 0;
    check(pinned > 0 && pinned < YOKE__STRETCH);
    closed_while_due += parent->child_due == scope && scope->pins == 0;
    check_int(yoke_scope_close(own, 0), 0);
    check(parent->child_due != scope);
    check_int(yoke_group_close(g, 0), 0);
    check_int(load(&cut), SLEEPERS + later);
    return 0;
}

static void a_stretch_pins_some_of_many_children(void **state)
{
    (void)state;
    closed_while_due = 0;
    for (int later = 0; later < 2 * YOKE__STRETCH; later++)
        assert_int_equal(run_anew(1, pin_by_and_by, &later), 0);
    assert_int_equal(closed_while_due, 1);
}

/* ---- leaving ---------------------------------------------------------------------------------------------------------------- */

/* The scope opened last is visited last. */
static void open_pinned(yoke_scope scope)
{
    struct yoke__scope *own = scope.block;
    check_int(yoke_sleep(YOKE_MS(1)), 0); /* links it */
    check(own->linked);
}

static void count_stretch(void)
{
    calls++;
    store(&waking, count_stretch);
}

static int leave_what_is_yet_to_be_visited(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    put_to_sleep(g, sleep_in_a_scope);
    YOKE_SCOPE(own);
    struct yoke__scope *scope = own.block;
    open_pinned(own);
    check_int(yoke_group_cancel(g, 0), 0);
    check(yoke__walk_waits(here()));
    check_int(scope->pins, 1);
    calls = 0;
    store(&waking, count_stretch);
    check_int(yoke_scope_close(own, 0), 0); /* by the only worker */
    store(&waking, NULL);
    check_int(scope->pins, 0);
    check_int(calls, 1); /* it comes before what is in front of it */
    check_int(yoke_group_close(g, 0), 0);
    check_int(load(&cut), SLEEPERS);
    return 0;
}

static void who_leaves_goes_on_with_it(void **state)
{
    (void)state;
    assert_int_equal(run_anew(1, leave_what_is_yet_to_be_visited, NULL), 0);
}

static int walker_pauses, leaver_sleeps, has_left;

static void pause_until_somebody_leaves(void)
{
    store(&walker_pauses, 1);
    while (load(&leaver_sleeps) == 0)
        sched_yield();
    for (int i = 0; i < 200; i++)
        sched_yield(); /* he is about to; by now he does */
}

static void tell_the_walker(void)
{
    store(&leaver_sleeps, 1);
}

/* Who has not walked enough, and has something else to do afterwards: it would not come back to it. */
static int cancel_as_a_worker(void *arg)
{
    (void)cancel_from_outside(arg);
    while (load(&has_left) == 0)
        sched_yield();
    return 0;
}

static int leave_while_another_thread_walks(void *arg)
{
    bool outside = *(bool *)arg;
    pthread_t thread;
    YOKE_GROUP(walkers);
    YOKE_GROUP(g);
    put_to_sleep(g, sleep_in_a_scope);
    YOKE_SCOPE(own);
    open_pinned(own);
    runtime = here();
    cancelled = g.block;
    store(&walker_pauses, 0);
    store(&leaver_sleeps, 0);
    store(&has_left, 0);
    store(&waking, pause_until_somebody_leaves);
    store(&sleeping, tell_the_walker);
    if (outside)
        check_int(pthread_create(&thread, NULL, cancel_from_outside, NULL), 0);
    else
        check_int(yoke_spawn_ptr(walkers, cancel_as_a_worker, NULL), 0);
    while (load(&walker_pauses) == 0)
        sched_yield();
    check_int(yoke_scope_close(own, 0), 0); /* nobody is left to whom the walker could leave the rest */
    check_int(load(&leaver_sleeps), 1);
    store(&has_left, 1);
    if (outside)
        check_int(pthread_join(thread, NULL), 0);
    store(&sleeping, NULL);
    check_int(yoke_group_close(g, 0), 0);
    check_int(load(&cut), SLEEPERS);
    return yoke_group_close(walkers, 0);
}

static void while_somebody_leaves_the_walker_goes_on_himself(void **state)
{
    (void)state;
    assert_int_equal(run_anew(2, leave_while_another_thread_walks, &(bool){ false }), 0);
}

static void who_has_walked_enough_rings_for_those_who_leave(void **state)
{
    (void)state;
    assert_int_equal(run_anew(1, leave_while_another_thread_walks, &(bool){ true }), 0);
}

/* ---- without memory ---------------------------------------------------------------------------------------------------------- */

static int refused;

/* So deep that the first stretch wakes nobody. */
static int sleep_deep(void *arg)
{
    YOKE_SCOPE(one);
    YOKE_SCOPE(two);
    YOKE_SCOPE(three);
    YOKE_SCOPE(four);
    int rc = sleep_long(arg);
    if (rc == -ENOMEM) {
        add(&refused, 1);
        rc = 0;
    }
    rc = yoke_scope_close(four, rc);
    rc = yoke_scope_close(three, rc);
    rc = yoke_scope_close(two, rc);
    return yoke_scope_close(one, rc);
}

static int closing;

static void *cancel_when_it_closes(void *arg)
{
    while (load(&closing) == 0)
        sched_yield();
    for (int i = 0; i < 200; i++)
        sched_yield(); /* the worker is on its thread's own stack by now, most likely */
    return cancel_from_outside(arg);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Waits on the last stack for a child that is not called there, as it is pinned, and cannot begin without another. */
static int close_on_the_last(void *arg)
{
    (void)arg;
    YOKE_GROUP(own);
    check_int(yoke_spawn_ptr_with(own, (.pinned = true, .worker = -1), nothing, NULL), 0);
    store(&closing, 1);
    return yoke_group_close(own, 0);
}

static int cancel_without_a_stack(void *arg)
{
    pthread_t thread;
    (void)arg;
    YOKE_GROUP(outside);
    YOKE_GROUP(g);
    put_to_sleep(g, sleep_deep);
    runtime = here();
    cancelled = g.block;
    store(&refused, 0);
    store(&closing, 0);
    check_int(pthread_create(&thread, NULL, cancel_when_it_closes, NULL), 0);
    yoke__os_fault_set(YOKE__OS_MMAP, -1, ENOMEM);
    while (load(&refused) == 0) {
        check_int(yoke_spawn_ptr(g, sleep_deep, NULL), 0);
        check_int(yoke_yield(), 0);
    }
    check_int(yoke_spawn_ptr(outside, close_on_the_last, NULL), 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(load(&closing), 1);
    yoke__os_fault_clear();
    check_int(pthread_join(thread, NULL), 0);
    check(load(&refused) > 0 && load(&cut) >= SLEEPERS);
    return yoke_group_close(outside, 0);
}

static void a_worker_without_a_stack_goes_on_with_it(void **state)
{
    (void)state;
    assert_int_equal(run_anew(1, cancel_without_a_stack, NULL), 0);
}

/* ---- a crowd ---------------------------------------------------------------------------------------------------------------- */

struct party {
    uint64_t random;
    int depth;
};

static int nest(void *arg);

/* A tree of groups and scopes, some of which end by themselves while they are cancelled. */
static int branch(uint64_t r, int depth)
{
    YOKE_GROUP(g);
    YOKE_SCOPE(s);
    int rc = 0;
    for (uint64_t n = 1 + next_random(&r) % 6; n > 0 && rc == 0; n--)
        rc = yoke_spawn(g, nest, struct party, .random = next_random(&r), .depth = depth - 1);
    if (rc == 0 && next_random(&r) % 4 == 0)
        rc = yoke_sleep((int64_t)(next_random(&r) % 50000));
    if (next_random(&r) % 3 == 0)
        check_int(yoke_group_cancel(g, 0), 0);
    rc = yoke_scope_close(s, rc);
    return yoke_group_close(g, rc);
}

static int nest(void *arg)
{
    struct party *me = arg;
    uint64_t r = me->random;
    if (me->depth > 0)
        return branch(r, me->depth);
    YOKE_SCOPE(own);
    int rc = next_random(&r) % 2 ? yoke_sleep((int64_t)(next_random(&r) % 100000)) : yoke_sleep_until(YOKE_NEVER);
    if (next_random(&r) % 4 == 0)
        check(yoke_yield() == 0 || yoke_cancelled());
    return yoke_scope_close(own, rc);
}

static int cancel_a_forest(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    for (int i = 0; i < 10; i++) {
        YOKE_GROUP(g);
        for (int trees = 0; trees < 6; trees++)
            check_int(yoke_spawn(g, nest, struct party, .random = next_random(&r), .depth = 3), 0);
        check_int(yoke_group_set_deadline(g, yoke_after((int64_t)(next_random(&r) % 300000))), 0); /* the service thread walks */
        int rc = yoke_sleep((int64_t)(next_random(&r) % 300000));
        check(rc == 0 || rc == -ECANCELED);
        check_int(yoke_group_cancel(g, 0), 0);
        rc = yoke_group_close(g, 0);
        check(rc == 0 || rc == -ETIMEDOUT);
    }
    return 0;
}

static void in_a_crowd_nobody_is_forgotten(void **state)
{
    (void)state;
    for (int i = repetitions(20); i > 0; i--)
        for (int workers = 1; workers <= 4; workers++)
            assert_int_equal(run_anew(workers, cancel_a_forest, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stretch_is_woken_and_the_rest_left_to_workers),
        cmocka_unit_test(who_always_has_woken_fibers_goes_on_with_it),
        cmocka_unit_test(who_always_has_tasks_goes_on_with_it),
        cmocka_unit_test(a_sleeping_worker_is_woken_for_it),
        cmocka_unit_test(a_sleeping_worker_is_woken_by_one_who_fires_deadlines),
        cmocka_unit_test(who_calls_is_not_behind_an_older_cancel),
        cmocka_unit_test(a_stop_has_marked_all_when_it_returns),
        cmocka_unit_test(a_stop_marks_what_is_cancelled),
        cmocka_unit_test(a_stop_does_not_hold_up_a_cancel),
        cmocka_unit_test(nobody_walks_for_others_without_an_end),
        cmocka_unit_test(what_is_overtaken_goes_on_all_the_same),
        cmocka_unit_test(a_stretch_pins_some_of_many_children),
        cmocka_unit_test(who_leaves_goes_on_with_it),
        cmocka_unit_test(while_somebody_leaves_the_walker_goes_on_himself),
        cmocka_unit_test(who_has_walked_enough_rings_for_those_who_leave),
        cmocka_unit_test(a_worker_without_a_stack_goes_on_with_it),
        cmocka_unit_test(in_a_crowd_nobody_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
