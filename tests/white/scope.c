/*
 * Scopes from inside: the memo and the epoch, linking, one walker whom others hand their cancels, pins against leaving, deadlines that fire while
 * they are moved, handles that are stale. The real scope.c, with moments at which others come in: at each lock it takes, at the memo, at the
 * epoch, at the list it makes ready, and in the sleep of who leaves. What a cancel costs is counted in locks taken, never in time.
 */
#include "support.h"

#include <yoke/sync/event.h>

#include "group.h"
#include "process.h"
#include "report.h"
#include "scope.h"
#include "seat.h"
#include "stop.h"
#include "wait.h"
#include "worker.h"

/* ---- moments ------------------------------------------------------------------------------------------------------------ */

static struct {
    void (*locking)(struct yoke__lock *lock); /* before a lock is taken */
    void (*storing)(const void *place);     /* before a relaxed store: a memo is one */
    void (*counting)(void);                  /* a cancel is queued, and about to be counted */
    void (*epoch)(struct yoke_runtime *rt); /* before it is raised */
    void (*waking)(void);                   /* the walker, holding no lock */
    void (*leaving)(uint32_t *bell);        /* who leaves is about to sleep */
    void (*firing)(struct yoke__timer *timer, bool begins); /* a deadline has passed; its callback is over */
} at;

static uint64_t locks; /* taken by scope.c */

static void acquire_here(struct yoke__lock *lock)
{
    add(&locks, 1);
    if (at.locking != NULL)
        at.locking(lock);
    yoke__lock_acquire(lock);
}

static void ready_here(struct yoke_runtime *rt, struct yoke__roused *roused)
{
    if (at.waking != NULL)
        at.waking();
    yoke__roused_ready(rt, roused);
}

static void sleep_here(uint32_t *bell, uint32_t seen)
{
    if (at.leaving != NULL)
        at.leaving(bell);
    else
        yoke__os_futex_wait(bell, seen, UINT64_MAX);
}

static struct yoke_runtime *here(void)
{
    return yoke__self()->rt;
}

static void before_add(const void *place)
{
    if (at.epoch != NULL && place == &here()->epoch)
        at.epoch(here());
}

static void before_store(const void *place)
{
    if (at.storing != NULL)
        at.storing(place);
}

static void before_count(void)
{
    if (at.counting != NULL)
        at.counting();
}

static void fire_here(struct yoke__timer *timer, void *batch);

#define yoke__lock_acquire acquire_here
#define yoke__roused_ready ready_here
#define yoke__os_futex_wait(word, seen, until) sleep_here((word), (seen))
#undef yoke__add_seq
#define yoke__add_seq(p, n) (before_add(p), __atomic_fetch_add((p), (n), __ATOMIC_SEQ_CST))
#undef yoke__add_acq_rel
#define yoke__add_acq_rel(p, n) (before_count(), __atomic_fetch_add((p), (n), __ATOMIC_ACQ_REL))
#undef yoke__store_relaxed
#define yoke__store_relaxed(p, v) (before_store(p), __atomic_store_n((p), (v), __ATOMIC_RELAXED))
#define yoke__timer_arm(timers, shard, timer, when, callback) (yoke__timer_arm)((timers), (shard), (timer), (when), fire_here)
#include "../../executor/scope.c"
#include "../../executor/walk.c"
#undef yoke__lock_acquire
#undef yoke__roused_ready
#undef yoke__os_futex_wait
#undef yoke__add_seq
#undef yoke__timer_arm

static void fire_here(struct yoke__timer *timer, void *batch)
{
    if (at.firing != NULL)
        at.firing(timer, true);
    deadline_due(timer, batch);
    if (at.firing != NULL)
        at.firing(timer, false);
}

static void let_be(void)
{
    memset(&at, 0, sizeof at);
    store(&locks, (uint64_t)0);
}

static struct yoke__scope *current(void)
{
    return yoke__strand_scope(yoke__current(yoke__self()));
}

static void count_wait(void *ctx, const struct yoke__wait *wait)
{
    *(int *)ctx += wait->state == YOKE__WAIT_PARKED;
}

/* How many sleep in the very scope. On one worker; its lock may be held by ourselves. */
static int asleep_in(void *scope)
{
    struct yoke__scope *s = scope;
    int n = 0;
    bool ours = yoke__lock_try(&s->lock);
    yoke__seats_show_locked(s, count_wait, &n);
    if (ours)
        yoke__lock_release(&s->lock);
    return n;
}

static int sleep_long(void *arg)
{
    if (arg != NULL)
        add((int *)arg, 1);
    return yoke_sleep_until(YOKE_NEVER);
}

/* On one worker who has counted itself in is blocked as soon as we see it. */
static void until(int *counter, int n)
{
    while (load(counter) < n)
        check_int(yoke_yield(), 0);
}

static int set_it(void *arg)
{
    return yoke_event_set(arg);
}

/* Blocks, for certain, and goes on; on one worker. `outside` encloses what is looked at. */
static void block_once(yoke_group outside)
{
    yoke_event event = YOKE_EVENT_INIT;
    check_int(yoke_spawn_ptr(outside, set_it, &event), 0);
    check_int(yoke_event_wait(&event), 0);
}

/* ---- memo and epoch ----------------------------------------------------------------------------------------------------- */

static void cancel_something(void)
{
    YOKE_SCOPE(other);
    check_int(yoke_scope_cancel(other, 0), 0);
    check_int(yoke_scope_close(other, 0), 0);
}

static int remember(void *arg)
{
    (void)arg;
    YOKE_SCOPE(outer);
    YOKE_SCOPE(s);
    struct yoke__scope *scope = s.block;
    check_int(yoke_checkpoint(), 0);
    uint64_t epoch = here()->epoch;
    check(scope->head.memo == epoch);
    {
        YOKE_SCOPE(inner);
        check(current()->head.memo == epoch); /* it begins with what its parent knows */
        check_int(yoke_scope_close(inner, 0), 0);
    }
    cancel_something();
    check(here()->epoch == epoch + 1);
    check(scope->head.memo == epoch); /* out of date, by one cancel */
    store(&locks, (uint64_t)0);
    check_int(yoke_checkpoint(), 0);
    check(scope->head.memo == epoch + 1); /* and asked again */
    check_int(locks, 0);                  /* asking takes no lock */
    check_int(yoke_scope_cancel(outer, 0), 0);
    check_int(yoke_scope_cancel(outer, 0), 0); /* the second one changes nothing */
    check(here()->epoch == epoch + 2);
    for (int i = 0; i < 3; i++) {
        check_int(yoke_checkpoint(), -ECANCELED);
        check(scope->head.memo != here()->epoch); /* a "yes" is not remembered: there is none to forget */
    }
    YOKE_SCOPE(shield, .shield = true);
    check_int(yoke_checkpoint(), 0);
    check(current()->head.memo == epoch + 2);
    check_int(yoke_scope_close(shield, 0), 0);
    check_int(yoke_checkpoint(), -ECANCELED);
    check_int(yoke_scope_close(s, 0), 0);
    return yoke_scope_close(outer, 0);
}

static void a_no_is_remembered_until_the_next_cancel(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, remember, NULL), 0);
}

static yoke_scope victim;
static struct yoke__scope *asking;

static void cancel_before_the_memo(const void *place)
{
    if (place != &asking->head.memo)
        return;
    at.storing = NULL;
    check_int(yoke_scope_cancel(victim, 0), 0);
}

/* The ancestors were looked at, and then a cancel comes, before that is remembered. */
static int ask_meanwhile(void *arg)
{
    for (int which = 0; which < 2; which++) {
        YOKE_SCOPE(outer);
        YOKE_SCOPE(s);
        victim = which ? s : outer;
        asking = s.block;
        cancel_something();
        at.storing = cancel_before_the_memo;
        check_int(yoke_checkpoint(), 0); /* it came before */
        check(at.storing == NULL);
        check_int(yoke_checkpoint(), -ECANCELED); /* and is not overlooked */
        check_int(yoke_scope_close(s, 0), 0);
        check_int(yoke_scope_close(outer, 0), 0);
    }
    return arg == NULL ? 0 : -EINVAL;
}

static void a_cancel_before_the_memo_is_seen_by_the_next_look(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, ask_meanwhile, NULL), 0);
}

/* ---- the order of a cancel ------------------------------------------------------------------------------------------------ */

static struct yoke__scope *target;
static int raised;

static void marked_and_nobody_woken(struct yoke_runtime *rt)
{
    (void)rt;
    raised++;
    check(target->cancel != YOKE__CANCEL_NONE); /* who sees the new epoch sees the mark */
    check_int(asleep_in(target), 1);
}

static int cancel_in_order(void *arg)
{
    for (int by_stop = 0; by_stop < 2; by_stop++) {
        int asleep = 0;
        YOKE_SCOPE(s, .grace = YOKE_NEVER);
        YOKE_GROUP(g, .cancel_on_stop = true);
        check_int(yoke_spawn_ptr(g, sleep_long, &asleep), 0);
        until(&asleep, 1);
        target = g.block;
        raised = 0;
        at.epoch = marked_and_nobody_woken;
        check_int(by_stop ? yoke_scope_stop(s) : yoke_group_cancel(g, 0), 0);
        at.epoch = NULL;
        check_int(raised, 1);
        check_int(asleep_in(target), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(yoke_scope_close(s, 0), 0);
    }
    return arg == NULL ? 0 : -EINVAL;
}

static void it_marks_then_raises_the_epoch_then_wakes(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, cancel_in_order, NULL), 0);
}

/* ---- linking ------------------------------------------------------------------------------------------------------------- */

enum { DEEP = 200 }; /* more than the stretches in which it is done */

static yoke_scope deep[DEEP];

static void parent_is_linked(struct yoke__lock *lock)
{
    check(yoke__container(lock, struct yoke__scope, lock)->linked);
}

static void open_deep(void)
{
    for (int i = 0; i < DEEP; i++)
        deep[i] = yoke_scope_open(NULL);
}

static void close_deep(void)
{
    for (int i = DEEP - 1; i >= 0; i--)
        check_int(yoke_scope_close(deep[i], 0), 0);
}

static int link_all(void *arg)
{
    (void)arg;
    YOKE_GROUP(outside);
    block_once(outside);
    open_deep();
    for (int i = 0; i < DEEP; i++)
        check(!((struct yoke__scope *)deep[i].block)->linked);
    check(((struct yoke__scope *)deep[0].block)->parent->children == NULL); /* where nobody blocks, nothing is registered */
    store(&locks, (uint64_t)0);
    at.locking = parent_is_linked; /* top down: whoever is linked can be reached */
    check_int(yoke_yield(), 0);
    check_int(locks, 0); /* a yield is no wait */
    block_once(outside);
    check_int(locks, DEEP); /* one each */
    block_once(outside);
    check_int(locks, DEEP); /* and once */
    at.locking = NULL;
    for (int i = 0; i < DEEP; i++) {
        struct yoke__scope *scope = deep[i].block;
        check(scope->linked && scope->sibling == NULL && asleep_in(scope) == 0);
        check(scope->children == (i + 1 < DEEP ? deep[i + 1].block : NULL));
    }
    close_deep();
    check(current()->children == NULL);
    YOKE_SCOPE(alone);
    store(&locks, (uint64_t)0);
    check_int(yoke_scope_close(alone, 0), 0);
    check_int(locks, 0); /* neither its own, for which nobody has come, nor its parent's, which has never heard of it */
    return yoke_group_close(outside, 0);
}

static void scopes_are_linked_when_somebody_blocks_from_the_top_down(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, link_all, NULL), 0);
}

static int linked_between;

static void link_in_between(struct yoke__lock *lock)
{
    (void)lock;
    if (linked_between++ == 70) { /* in the second stretch */
        at.locking = NULL;
        yoke__scope_link(deep[DEEP - 1].block);
    }
}

static int link_twice(void *arg)
{
    (void)arg;
    open_deep();
    linked_between = 0;
    at.locking = link_in_between;
    yoke__scope_link(deep[DEEP - 1].block);
    at.locking = NULL;
    for (int i = 0; i < DEEP; i++) {
        struct yoke__scope *scope = deep[i].block;
        check(scope->linked && scope->sibling == NULL && *scope->back == scope);
    }
    close_deep();
    check(here()->root.children == NULL);
    return 0;
}

static void two_that_link_at_once_link_once(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, link_twice, NULL), 0);
}

static uint64_t random_state;

static uint64_t fresh(void)
{
    return add(&random_state, 0x9e3779b97f4a7c15u) + seed();
}

struct sleeper {
    uint64_t random;
};

static int block_below(void *arg)
{
    uint64_t r = ((struct sleeper *)arg)->random;
    yoke_scope opened[4];
    int n = (int)(next_random(&r) % 4);
    for (int i = 0; i < n; i++)
        opened[i] = yoke_scope_open(NULL);
    int rc = yoke_sleep_until(YOKE_NEVER);
    while (n > 0)
        rc = yoke_scope_close(opened[--n], rc);
    return rc;
}

struct canceller {
    yoke_scope scope;
    uint64_t random;
};

static int cancel_sometime(void *arg)
{
    struct canceller *c = arg;
    jitter(&c->random);
    int rc = yoke_scope_cancel(c->scope, -EXDEV);
    check(rc == 0 || rc == -EINVAL);
    return 0;
}

/* All block at once below scopes that nobody has linked, while one of those is cancelled: nobody is forgotten, or this does not end. */
static int link_in_a_crowd(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        uint64_t r = fresh();
        yoke_scope chain[5];
        YOKE_GROUP(outside);
        for (int n = 0; n < 5; n++)
            chain[n] = yoke_scope_open(NULL);
        YOKE_GROUP(g);
        check_int(yoke_spawn(outside, cancel_sometime, struct canceller, .scope = chain[next_random(&r) % 5], .random = next_random(&r)), 0);
        int rc = 0;
        for (int n = 0; n < 8 && rc == 0; n++)
            rc = yoke_spawn(g, block_below, struct sleeper, .random = next_random(&r));
        check(rc == 0 || rc == -ECANCELED);
        rc = yoke_group_close(g, yoke_sleep_until(YOKE_NEVER));
        check_int(rc, -ECANCELED);
        for (int n = 4; n >= 0; n--)
            rc = yoke_scope_close(chain[n], rc);
        check_int(rc, -EXDEV);
        check_int(yoke_group_close(outside, 0), 0);
    }
    return 0;
}

static void nobody_who_links_in_a_crowd_is_forgotten(void **state)
{
    (void)state;
    let_be();
    for (int i = repetitions(100); i > 0; i--)
        assert_int_equal(run(4, link_in_a_crowd, NULL), 0);
}

/* ---- what a cancel costs ---------------------------------------------------------------------------------------------------- */

static int sleep_in_a_scope(void *arg)
{
    YOKE_SCOPE(own);
    return yoke_scope_close(own, sleep_long(arg));
}

static int sleep_behind_a_shield(void *arg)
{
    YOKE_SCOPE(shield, .shield = true);
    return yoke_scope_close(shield, sleep_in_a_scope(arg));
}

static int only_ready(void *arg)
{
    YOKE_SCOPE(one);
    YOKE_SCOPE(two);
    add((int *)arg, 1);
    int rc;
    while ((rc = yoke_yield()) == 0)
        ;
    rc = yoke_scope_close(two, rc);
    return yoke_scope_close(one, rc);
}

/* What was left to workers, of whom there is none but us. */
static void walk_to_the_end(void)
{
    while (yoke__walk_claim(here()))
        yoke__walk_stretch(here());
}

static void whom_it_visits_it_holds(struct yoke__lock *lock)
{
    check(here()->walks_pending == 0 || yoke__container(lock, struct yoke__scope, lock)->pins != 0);
}

/* Locks taken by a cancel of a group with `n` of `fn` inside, beside a group with `others` sleepers. */
static uint64_t cost(yoke_fn fn, int n, int others)
{
    int asleep = 0;
    YOKE_GROUP(beside);
    YOKE_GROUP(ending);
    YOKE_GROUP(g);
    for (int i = 0; i < others; i++)
        check_int(yoke_spawn_ptr(beside, sleep_in_a_scope, &asleep), 0);
    for (int i = 0; i < n; i++)
        check_int(yoke_spawn_ptr(g, fn, &asleep), 0);
    until(&asleep, n + others);
    store(&locks, (uint64_t)0);
    at.locking = whom_it_visits_it_holds;
    check_int(yoke_group_cancel(g, 0), 0);
    walk_to_the_end();
    at.locking = NULL;
    uint64_t taken = load(&locks);
    if (fn == sleep_behind_a_shield) { /* they have to be cut by something else */
        for (struct yoke__scope *s = ((struct yoke__scope *)g.block)->children; s != NULL;) {
            struct yoke__scope *next = s->sibling;
            yoke__scope_cancel(here(), s, YOKE__CANCEL_ASKED, 0, NULL);
            s = next;
        }
    }
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_group_close(ending, 0), 0);
    check_int(yoke_group_cancel(beside, 0), 0);
    check_int(yoke_group_close(beside, 0), 0);
    return taken;
}

static int count_visits(void *arg)
{
    enum { BLOCKS = (100 + YOKE__SEATS - 1) / YOKE__SEATS, AT_ONCE = (YOKE__STRETCH - 1 + YOKE__SEATS) / (YOKE__SEATS + 1) };
    (void)arg;
    for (int others = 0; others <= 300; others += 100) {           /* whoever is not inside costs nothing */
        check_int(cost(sleep_long, 1, others), 2);                 /* the mark, and the visit of the group itself */
        check_int(cost(sleep_long, 100, others), 1 + (BLOCKS - 1 + AT_ONCE - 1) / AT_ONCE); /* so many in one visit, with the one that is not full */
        check_int(cost(sleep_in_a_scope, 1, others), 3);           /* a scope more, a visit more */
        uint64_t again = cost(sleep_behind_a_shield, 100, others) - 2; /* a shield is passed by */
        check(again <= 100 / (YOKE__STRETCH - 1));                 /* though so many alone of them are looked at in a stretch */
        check(cost(sleep_in_a_scope, 100, others) <= 102 + 100);   /* for at least one of the children at a time */
        check_int(cost(only_ready, 50, others), 2);                /* where nobody blocks there is nothing */
    }
    return 0;
}

static void a_cancel_visits_those_whom_it_affects(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, count_visits, NULL), 0);
}

/* ---- one walker ------------------------------------------------------------------------------------------------------------- */

enum when { IN_THE_WALK, AFTER_THE_WALK };

static yoke_group other_group;
static yoke_scope other_scope;
static int handed_over;

static void hand_over(void)
{
    struct yoke__scope *other = other_group.block;
    handed_over++;
    uint32_t pending = here()->walks_pending;
    check(pending >= 1);
    check_int(other_scope.block != NULL ? yoke_scope_stop(other_scope) : yoke_group_cancel(other_group, -EXDEV), 0); /* does not wait for the walk */
    check_int(here()->walks_pending, pending + 1);
    check(other_scope.block != NULL || other->cancel != YOKE__CANCEL_NONE); /* marked at once */
    check_int(asleep_in(other), 1); /* the rest is the walker's */
}

static void hand_over_in_the_walk(struct yoke__lock *lock)
{
    if (lock != &target->lock || here()->walks_pending == 0)
        return;
    at.locking = NULL;
    hand_over();
}

static void hand_over_after_the_walk(void)
{
    at.waking = NULL;
    hand_over();
}

static int walk_alone(void *arg)
{
    (void)arg;
    for (int stop = 0; stop < 2; stop++)
        for (enum when when = IN_THE_WALK; when <= AFTER_THE_WALK; when++) {
            int asleep = 0;
            YOKE_SCOPE(s, .grace = YOKE_NEVER);
            YOKE_GROUP(other, .cancel_on_stop = true);
            YOKE_GROUP(g);
            check_int(yoke_spawn_ptr(other, sleep_long, &asleep), 0);
            check_int(yoke_spawn_ptr(g, sleep_long, &asleep), 0);
            until(&asleep, 2);
            other_group = other;
            other_scope = stop ? s : (yoke_scope){ NULL, 0 };
            target = g.block;
            handed_over = 0;
            if (when == IN_THE_WALK)
                at.locking = hand_over_in_the_walk;
            else
                at.waking = hand_over_after_the_walk;
            check_int(yoke_group_cancel(g, 0), 0);
            walk_to_the_end();
            check_int(handed_over, 1);
            check_int(here()->walks_pending, 0);
            check_int(asleep_in(other.block), 0); /* served by the walker before it went */
            check_int(yoke_group_close(g, 0), 0);
            check_int(yoke_group_close(other, 0), stop ? 0 : -EXDEV);
            check_int(yoke_scope_close(s, 0), 0);
        }
    return 0;
}

static void others_hand_their_cancels_to_the_walker(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, walk_alone, NULL), 0);
}

static void come_before_the_count(void)
{
    at.counting = NULL;
    check_int(here()->walks_pending, 0);
    check_int(yoke_group_cancel(other_group, 0), 0);
    walk_to_the_end();
    check_int(asleep_in(target), 0); /* queued, and so served with the other one */
    check_int(asleep_in(other_group.block), 0);
    check_int(here()->walks_pending, 0); /* only calls are counted, and that one has not been */
}

static int walk_before_the_count(void *arg)
{
    int asleep = 0;
    YOKE_GROUP(other);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(other, sleep_long, &asleep), 0);
    check_int(yoke_spawn_ptr(g, sleep_long, &asleep), 0);
    until(&asleep, 2);
    other_group = other;
    target = g.block;
    at.counting = come_before_the_count;
    check_int(yoke_group_cancel(g, 0), 0);
    check(at.counting == NULL);
    check_int(here()->walks_pending, 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_group_close(other, 0), 0);
    return arg == NULL ? 0 : -EINVAL;
}

static void what_is_queued_and_not_yet_counted_may_be_served(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, walk_before_the_count, NULL), 0);
}

static int walkers;

static void count_walkers(void)
{
    check_int(add(&walkers, 1), 0);
    for (volatile int i = 0; i < 50; i++)
        ;
    add(&walkers, -1);
}

static int cancel_often(void *arg)
{
    uint64_t r = ((struct sleeper *)arg)->random;
    for (int i = 0; i < 10; i++) {
        YOKE_GROUP(g);
        for (uint64_t n = 1 + next_random(&r) % 3; n > 0; n--)
            check_int(yoke_spawn(g, block_below, struct sleeper, .random = next_random(&r)), 0);
        jitter(&r);
        if (next_random(&r) % 4 == 0)
            check_int(yoke_group_set_deadline(g, 1), 0); /* the timers' server hands over too */
        else
            check_int(yoke_group_cancel(g, -ETIMEDOUT), 0);
        check_int(yoke_group_close(g, 0), -ETIMEDOUT);
    }
    return 0;
}

static int cancel_in_a_crowd(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    YOKE_GROUP(g);
    for (int i = 0; i < 8; i++)
        check_int(yoke_spawn(g, cancel_often, struct sleeper, .random = next_random(&r)), 0);
    return yoke_group_close(g, 0);
}

static void one_walks_at_a_time_and_nobody_is_left(void **state)
{
    (void)state;
    let_be();
    walkers = 0;
    at.waking = count_walkers;
    for (int i = repetitions(100); i > 0; i--)
        assert_int_equal(run(4, cancel_in_a_crowd, NULL), 0);
}

/* ---- pins -------------------------------------------------------------------------------------------------------------------- */

static yoke_scope held;
static int sleeps;

static void let_go_of_it(uint32_t *bell)
{
    struct yoke__scope *scope = held.block;
    check(bell == &here()->walk.bell);
    check_int(scope->pins, PIN_SLEEPER | 1);
    check(scope->generation != held.generation); /* no new pin can come by a handle, */
    check_int(yoke_scope_cancel(held, 0), -EINVAL);
    check(!scope->linked); /* nor by a walk */
    check(scope->cancel == YOKE__CANCEL_NONE);
    YOKE_SCOPE(new);
    check(new.block != held.block); /* it is not given to anybody else before */
    check_int(yoke_scope_close(new, 0), 0);
    uint32_t told = *bell;
    if (++sleeps == 3) /* the first two wake-ups are for nothing */
        yoke__scope_unpin(here(), scope);
    check_int(*bell, told + (sleeps == 3));
}

static int leave_pinned(void *arg)
{
    (void)arg;
    YOKE_GROUP(outside);
    YOKE_SCOPE(s);
    block_once(outside);
    held = s;
    struct yoke__scope *scope = s.block;
    check(scope->linked);
    yoke__lock_acquire(&scope->lock);
    yoke__scope_pin(scope);
    yoke__lock_release(&scope->lock);
    sleeps = 0;
    at.leaving = let_go_of_it;
    check_int(yoke_scope_close(s, 4), 4);
    check_int(sleeps, 3);
    check_int(scope->pins, 0);
    YOKE_SCOPE(free);
    check_int(yoke_scope_close(free, 0), 0); /* with nobody looking nobody sleeps */
    check_int(sleeps, 3);
    at.leaving = NULL;
    return yoke_group_close(outside, 0);
}

static void who_leaves_waits_for_those_who_look(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, leave_pinned, NULL), 0);
}

static int compared, let_go; /* by who cancels through the handle */

static struct yoke_runtime *runtime;

static void *compare_and_pin(void *arg)
{
    struct yoke__scope *scope = arg;
    yoke__lock_acquire(&scope->lock);
    uint64_t generation = load(&scope->generation);
    check(generation == held.generation); /* so it is alive, and will be marked and pinned */
    store(&compared, 1);
    while (load(&scope->generation) == generation)
        sched_yield();
    for (int i = 0; i < 200; i++)
        sched_yield(); /* who leaves could be gone by now */
    check(yoke__scope_mark_locked(scope, YOKE__CANCEL_ASKED, -EXDEV, NULL, 0));
    yoke__lock_release(&scope->lock);
    for (int i = 0; i < 200; i++)
        sched_yield();
    store(&let_go, 1);
    yoke__scope_unpin(runtime, scope);
    return NULL;
}

static int leave_compared(void *arg)
{
    (void)arg;
    for (int i = 0; i < repetitions(20); i++) {
        pthread_t thread;
        YOKE_SCOPE(s);
        held = s;
        runtime = here();
        store(&compared, 0);
        store(&let_go, 0);
        check_int(pthread_create(&thread, NULL, compare_and_pin, s.block), 0);
        while (load(&compared) == 0)
            sched_yield();
        check_int(yoke_scope_close(s, 4), 4);
        check_int(load(&let_go), 1);
        check_int(pthread_join(thread, NULL), 0);
    }
    return 0;
}

static void who_leaves_waits_for_those_who_have_compared(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, leave_compared, NULL), 0);
}

static void dawdle(struct yoke__lock *lock)
{
    (void)lock;
    if (load(&locks) % 4 == 0)
        sched_yield();
}

static int leave_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        uint64_t r = fresh();
        YOKE_GROUP(outside);
        YOKE_SCOPE(outer);
        YOKE_SCOPE(s);
        check_int(yoke_spawn(outside, cancel_sometime, struct canceller, .scope = next_random(&r) % 2 ? s : outer, .random = next_random(&r)), 0);
        jitter(&r);
        int rc = yoke_sleep((int64_t)(next_random(&r) % 2000));
        check(rc == 0 || rc == -ECANCELED);
        rc = yoke_scope_close(s, rc);
        check(rc == 0 || rc == -ECANCELED || rc == -EXDEV);
        rc = yoke_scope_close(outer, rc);
        check(rc == 0 || rc == -EXDEV);
        check_int(yoke_group_close(outside, 0), 0);
    }
    return 0;
}

static void leaving_against_cancelling(void **state)
{
    (void)state;
    let_be();
    at.locking = dawdle;
    for (int i = repetitions(100); i > 0; i--)
        assert_int_equal(run(4, leave_often, NULL), 0);
}

/* ---- a deadline that fires while it is moved ---------------------------------------------------------------------------------- */

static int firing, moving; /* 1: the callback has begun, 2: it is over; the owner is about to call */

static void hold_the_callback(struct yoke__timer *timer, bool begins)
{
    (void)timer;
    store(&firing, begins ? 1 : 2);
    if (!begins)
        return;
    while (load(&moving) == 0)
        sched_yield();
    for (int i = 0; i < 200; i++)
        sched_yield(); /* the owner's call gets as far as it can */
}

enum move { MOVE_AWAY, REMOVE, LEAVE };

static int move_while_firing(void *arg)
{
    enum move move = *(enum move *)arg;
    store(&firing, 0);
    store(&moving, 0);
    YOKE_SCOPE(s, .deadline = 1);
    while (load(&firing) == 0)
        sched_yield(); /* this worker is busy: the service thread fires it */
    store(&moving, 1);
    if (move == LEAVE) {
        check_int(yoke_scope_close(s, 5), 5);
        check_int(load(&firing), 2); /* the callback had ended before the scope was given back */
        check_int(((struct yoke__scope *)s.block)->pins, 0);
        return 0;
    }
    int64_t later = move == REMOVE ? 0 : yoke_after(YOKE_SEC(1000));
    check_int(yoke_scope_set_deadline(s, later), 0);
    check_int(load(&firing), 2);
    check(yoke_deadline() == (move == REMOVE ? YOKE_NEVER : later));
    while (yoke_checkpoint() == 0) /* it was late: there is no uncancel */
        sched_yield();
    return yoke_scope_close(s, yoke_sleep_until(YOKE_NEVER));
}

static void a_deadline_that_fires_while_it_is_moved_has_fired(void **state)
{
    (void)state;
    let_be();
    at.firing = hold_the_callback;
    for (int workers = 1; workers <= 2; workers++)
        for (enum move move = MOVE_AWAY; move <= LEAVE; move++)
            assert_int_equal(run(workers, move_while_firing, &move), move == LEAVE ? 0 : -ETIMEDOUT);
}

static int move_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        uint64_t r = fresh();
        YOKE_SCOPE(s, .deadline = yoke_after((int64_t)(next_random(&r) % 20000)));
        for (int n = 0; n < 3; n++) {
            if (next_random(&r) % 2)
                jitter(&r);
            check_int(yoke_scope_set_deadline(s, next_random(&r) % 4 ? yoke_after((int64_t)(next_random(&r) % 20000)) : 0), 0);
        }
        int64_t last = yoke_deadline();
        int rc = last == YOKE_NEVER ? yoke_yield() : yoke_sleep_until(YOKE_NEVER);
        check(rc == -ECANCELED || (rc == 0 && last == YOKE_NEVER));
        check_int(yoke_scope_close(s, rc), rc == 0 ? 0 : -ETIMEDOUT);
    }
    return 0;
}

static void moving_against_firing(void **state)
{
    (void)state;
    let_be();
    for (int i = repetitions(100); i > 0; i--)
        assert_int_equal(run(4, move_often, NULL), 0);
}

/* ---- misnesting, stale handles -------------------------------------------------------------------------------------------------- */

static int misnest(void *arg)
{
    (void)arg;
    int asleep = 0;
    YOKE_GROUP(outside);
    struct yoke__scope *before = current();
    yoke_scope outer = yoke_scope_open(NULL), binding = yoke_local_bind(&(const yoke_local){ .name = "key" }, NULL);
    yoke_group g = yoke_group_open(NULL);
    yoke_scope middle = yoke_scope_open(NULL);
    yoke_group h = yoke_group_open(NULL);
    yoke_scope inner = yoke_scope_open(NULL);
    for (int i = 0; i < 3; i++) {
        check_int(yoke_spawn_ptr(g, sleep_in_a_scope, &asleep), 0);
        check_int(yoke_spawn_ptr(h, sleep_long, &asleep), 0);
    }
    until(&asleep, 6);
    block_once(outside); /* all of it is linked */
    check(current()->linked);
    check_int(yoke_scope_close(outer, 3), 3);
    check(current() == before && before->children == NULL && asleep_in(before) == 0);
    check_int(yoke_scope_close(inner, 0), -EINVAL);
    check_int(yoke_group_close(h, 0), -EINVAL);
    check_int(yoke_scope_close(middle, 0), -EINVAL);
    check_int(yoke_group_close(g, 0), -EINVAL);
    check_int(yoke_scope_close(binding, 0), -EINVAL);
    const char *at_line = reports;
    int lines = 0;
    for (; (at_line = strstr(at_line, "left open inside a scope that is being closed")) != NULL; at_line++)
        lines++;
    check_int(lines, 4); /* two scopes and two groups; a binding is nobody's fault */
    return yoke_group_close(outside, 0);
}

static void what_was_left_open_is_unwound_whole(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, misnest, NULL), 0);
}

static yoke_scope old_scope;
static yoke_group old_group;
static yoke_task old_task;

static void nothing_happens_by_old_handles(int closed)
{
    yoke_failure failure;
    yoke_token *token;
    yoke_scope scope = old_scope;
    yoke_group group = old_group;
    check_int(yoke_scope_cancel(scope, 0), -EINVAL);
    check_int(yoke_scope_stop(scope), -EINVAL);
    check_int(yoke_scope_set_deadline(scope, 1), -EINVAL);
    check_int(yoke_scope_close(scope, 0), -EINVAL);
    yoke_scope_leave(&scope);
    check_int(yoke_group_cancel(group, 0), -EINVAL);
    check_int(yoke_group_stop(group), -EINVAL);
    check_int(yoke_group_set_deadline(group, 1), -EINVAL);
    check_int(yoke_group_close(group, 0), -EINVAL);
    check_int(yoke_group_failure(group, 0, &failure), -EINVAL);
    check_int(yoke_spawn_ptr(group, sleep_long, NULL), closed);
    check_int(yoke_try_spawn_ptr(group, sleep_long, NULL), closed);
    check_int(yoke_token_acquire(&token, group), closed);
    yoke_group_leave(&group);
    check_int(yoke_task_state(old_task), -EINVAL);
    check_int(yoke_task_cancel(old_task), -EINVAL);
    check_int(yoke_task_await(old_task, &(int){ 0 }), -EINVAL);
    check_int(yoke_task_close(old_task), -EINVAL);
}

static int be_nobody(void *arg)
{
    return arg == NULL ? 0 : -EINVAL;
}

static int use_stale_handles(void *arg)
{
    (void)arg;
    if (old_scope.block != NULL)
        nothing_happens_by_old_handles(-EINVAL); /* of an earlier run */
    int asleep = 0;
    old_scope = yoke_scope_open(NULL);
    check_int(yoke_scope_close(old_scope, 0), 0);
    old_group = yoke_group_open(NULL);
    check_int(yoke_spawn_ptr_with(old_group, (.handle = &old_task), be_nobody, NULL), 0);
    check_int(yoke_group_close(old_group, 0), 0);
    YOKE_GROUP(g);
    yoke_task task;
    check_int(yoke_spawn_ptr_with(g, (.handle = &task), sleep_long, &asleep), 0);
    YOKE_SCOPE(filler); /* the child's own scope and ours: one of them is the old block */
    YOKE_SCOPE(s);
    check(g.block == old_group.block && g.generation != old_group.generation);
    check(task.block == old_task.block && task.generation != old_task.generation);
    struct yoke__scope *childs = ((struct yoke__handle *)task.block)->scope;
    check(old_scope.block == childs || old_scope.block == s.block || old_scope.block == filler.block);
    until(&asleep, 1);
    nothing_happens_by_old_handles(-ESHUTDOWN);
    check(current() == s.block);
    check_int(yoke_checkpoint(), 0);
    check(!yoke_stopping() && yoke_deadline() == YOKE_NEVER);
    check_int(yoke_task_state(task), YOKE_TASK_RUNNING);
    check(childs->cancel == YOKE__CANCEL_NONE);
    check_int(yoke_task_cancel(task), 0);
    check_int(yoke_scope_close(s, 0), 0);
    check_int(yoke_scope_close(filler, 0), 0);
    return yoke_group_close(g, 2);
}

static void stale_handles_touch_nobody(void **state)
{
    (void)state;
    let_be();
    for (int i = 0; i < 3; i++)
        assert_int_equal(run(1, use_stale_handles, NULL), 2);
    assert_string_equal(reports, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_no_is_remembered_until_the_next_cancel),
        cmocka_unit_test(a_cancel_before_the_memo_is_seen_by_the_next_look),
        cmocka_unit_test(it_marks_then_raises_the_epoch_then_wakes),
        cmocka_unit_test(scopes_are_linked_when_somebody_blocks_from_the_top_down),
        cmocka_unit_test(two_that_link_at_once_link_once),
        cmocka_unit_test(nobody_who_links_in_a_crowd_is_forgotten),
        cmocka_unit_test(a_cancel_visits_those_whom_it_affects),
        cmocka_unit_test(others_hand_their_cancels_to_the_walker),
        cmocka_unit_test(what_is_queued_and_not_yet_counted_may_be_served),
        cmocka_unit_test(one_walks_at_a_time_and_nobody_is_left),
        cmocka_unit_test(who_leaves_waits_for_those_who_look),
        cmocka_unit_test(who_leaves_waits_for_those_who_have_compared),
        cmocka_unit_test(leaving_against_cancelling),
        cmocka_unit_test(a_deadline_that_fires_while_it_is_moved_has_fired),
        cmocka_unit_test(moving_against_firing),
        cmocka_unit_test(what_was_left_open_is_unwound_whole),
        cmocka_unit_test(stale_handles_touch_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
