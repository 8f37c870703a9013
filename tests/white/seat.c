/*
 * Seats (executor/seat.h), three in a block: the lists of blocks, and others that come in at every moment of sitting, rising, vacating and
 * cancelling, exactly; and as invariants on four workers: nobody sleeps for ever, and nothing is left in the seats. That a scope is left
 * with nobody in its seats is checked by the library, which else panics.
 */
#include "sync.h"

#include <fcntl.h>
#include <yoke/sync/semaphore.h>

#include "scope.h"
#include "seat.h"
#include "wait.h"
#include "walk.h"
#include "worker.h"

/* Moments inside, for others to come in. */
static void before_lock(void);                      /* seat.c is about to take a scope's lock */
static void seated(bool already);                   /* about to sit down; has sat down, and has yet to look for a cancel */
static void fired_upon(struct yoke__wait *wait);    /* a canceller holds it, under the scope's lock */
static bool no_block;                               /* there is no memory for seats */

static void intruded_acquire(struct yoke__lock *lock)
{
    before_lock();
    yoke__lock_acquire(lock);
}

static bool intruded_fire(struct yoke__wait *wait, int code, struct yoke__fiber **fiber)
{
    fired_upon(wait);
    return yoke__wait_fire(wait, code, fiber);
}

static void *intruded_get(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class)
{
    return no_block ? NULL : yoke__block_get(pool, cache, class);
}

static void intruded_sit(struct yoke__seat *seat, struct yoke__wait *wait)
{
    seated(false);
    yoke__seat_sit(seat, wait);
    seated(true);
}

#define yoke__lock_acquire intruded_acquire
#define yoke__wait_fire intruded_fire
#define yoke__block_get intruded_get
#include "../../executor/seat.c"
#undef yoke__lock_acquire
#undef yoke__wait_fire
#undef yoke__block_get
#define yoke__seat_sit intruded_sit
#include "../../executor/wait.c"
#undef yoke__seat_sit

/* ---- guests ----------------------------------------------------------------------------------------------------------- */

/* Somebody who blocks until he is woken or cancelled. */
struct guest {
    struct yoke__wait wait;
    struct yoke__seat *seat; /* of his strand, not the scope's own */
    int rc;
    int here, gone;
};

static struct guest *current; /* on stage: what comes in between is meant for him; NULL: nobody */

/* A yield, in a cancelled scope too. */
static void let_others(void)
{
    check_int(yoke__worker_yield(yoke__self()), 0);
}

/* Is the rest of a cancel left to workers? There is none but us. */
static bool walk_waits(void)
{
    return yoke__walk_waits(yoke__self()->rt);
}

static void walk_to_the_end(void)
{
    while (yoke__walk_claim(yoke__self()->rt))
        yoke__walk_stretch(yoke__self()->rt);
}

static void await(int *counter, int n)
{
    while (load(counter) != n)
        let_others();
}

static int stay(void *arg)
{
    struct guest *g = arg;
    yoke__wait_init(&g->wait, "guest");
    g->rc = yoke__wait_enlist(&g->wait);
    g->seat = g->wait.strand->seat;
    if (g->rc == 0) {
        store(&g->here, 1);
        g->rc = yoke__wait_block(&g->wait);
        yoke__wait_delist(&g->wait);
    }
    check(g->wait.seat == NULL);
    store(&g->gone, 1);
    return 0;
}

static void wake(struct guest *g)
{
    struct yoke__fiber *fiber;
    if (yoke__wait_fire(&g->wait, YOKE__FIRE_DONE, &fiber) && fiber != NULL)
        yoke__ready(yoke__self()->rt, fiber);
}

/* Woken by `wake`, and his task at its end. */
static void dismiss(struct guest *g)
{
    struct yoke__seats *block = g->seat->block;
    uint64_t taken = load(&block->taken);
    wake(g);
    while (load(&block->taken) == taken)
        let_others();
}

static int length(const struct yoke__seats *list)
{
    int n = 0;
    for (; list != NULL; list = list->next)
        n++;
    return n;
}

static int occupied(const struct yoke__seats *list)
{
    int n = 0;
    for (; list != NULL; list = list->next)
        n += __builtin_popcountll(list->taken & ALL_TAKEN);
    return n;
}

/* Both lists are what they say, and linked both ways. */
static void check_lists(struct yoke__scope *scope, int with_room, int full)
{
    check_int(length(scope->seats), with_room);
    check_int(length(scope->full_seats), full);
    check_int(occupied(scope->full_seats), full * YOKE__SEATS);
    for (int list = 0; list < 2; list++) {
        struct yoke__seats **at = list == 0 ? &scope->seats : &scope->full_seats;
        for (; *at != NULL; at = &(*at)->next) {
            check((*at)->back == at);
            check((*at)->scope == scope);
            check((*at)->visited == scope->visited);
            check((list == 1) == ((*at)->taken == ALL_TAKEN));
        }
    }
}

enum { GUESTS = 20 };
static struct guest guests[GUESTS];
static yoke_group party;
static struct yoke__scope *house;

static void admit(int from, int to)
{
    for (int i = from; i < to; i++) {
        guests[i] = (struct guest){ .rc = 1 };
        check_int(yoke_spawn_ptr(party, stay, &guests[i]), 0);
        await(&guests[i].here, 1);
    }
}

#define OPEN_HOUSE(group) \
    YOKE_GROUP(group); \
    party = group; \
    house = yoke__strand_scope(yoke__current(yoke__self()))

/* ---- lists ------------------------------------------------------------------------------------------------------------- */

static int fill_and_empty(void *arg)
{
    (void)arg;
    OPEN_HOUSE(g);
    check_lists(house, 0, 0);
    admit(0, 2);
    check_lists(house, 1, 0);
    admit(2, 3);
    check_lists(house, 0, 1);
    admit(3, 7);
    check_lists(house, 1, 2);
    check(guests[0].seat->block == guests[2].seat->block && guests[3].seat->block == guests[5].seat->block);
    check(guests[0].seat->block != guests[3].seat->block);
    dismiss(&guests[4]); /* out of a full one: it has room now, and comes first */
    check_lists(house, 2, 1);
    dismiss(&guests[3]);
    check_lists(house, 2, 1);
    admit(7, 8);
    check(guests[7].seat == guests[3].seat); /* the lowest one that is free */
    admit(8, 9);
    check(guests[8].seat == guests[4].seat);
    check_lists(house, 1, 2);
    for (int i = 0; i < 9; i++)
        if (!guests[i].gone) {
            check(guests[i].seat->wait == (uintptr_t)&guests[i].wait);
            dismiss(&guests[i]);
            check(guests[i].seat->wait == 0);
        }
    check_lists(house, 3, 0);
    check_int(occupied(house->seats), 0);
    admit(9, 16); /* and all of them serve again */
    check_lists(house, 1, 2);
    check_int(yoke_group_cancel(g, 0), 0);
    check(walk_waits());
    check_int(length(house->unvisited[0]) + length(house->unvisited[1]), 1);
    walk_to_the_end();
    check_lists(house, 3, 0); /* told to go; seats are vacated at a strand's end, and all will be: nobody sorts */
    check_int(occupied(house->seats), 7);
    check_int(yoke_group_close(g, 0), 0);
    for (int i = 0; i < 16; i++)
        check_int(guests[i].rc, i < 9 ? YOKE__FIRE_DONE : YOKE__FIRE_CANCEL);
    return 0;
}

static void blocks_of_seats_move_between_two_lists(void **state)
{
    (void)state;
    assert_int_equal(run(1, fill_and_empty, NULL), 0);
}

/* A strand keeps its seat from one wait to the next, and needs none in a scope of its own. */
static int stay_and_stay(void *arg)
{
    struct guest *g = arg;
    stay(&g[0]);
    {
        YOKE_SCOPE(scope);
        struct yoke__scope *own = yoke__strand_scope(yoke__current(yoke__self()));
        stay(&g[1]);
        check(own->seats == NULL && own->full_seats == NULL && own->seat.wait == 0);
        check(g[1].seat == g[0].seat); /* still his, in the group */
        check_int(yoke_scope_close(scope, 0), 0);
    }
    stay(&g[2]);
    return 0;
}

static int one_guest(void *arg)
{
    (void)arg;
    OPEN_HOUSE(g);
    memset(guests, 0, sizeof guests);
    check_int(yoke_spawn_ptr(g, stay_and_stay, guests), 0);
    for (int i = 0; i < 3; i++) {
        await(&guests[i].here, 1);
        check_lists(house, 1, 0);
        check_int(occupied(house->seats), 1);
        wake(&guests[i]);
    }
    check_int(yoke_group_close(g, 0), 0);
    check(guests[2].seat == guests[0].seat);
    return 0;
}

static void a_strand_has_one_seat(void **state)
{
    (void)state;
    assert_int_equal(run(1, one_guest, NULL), 0);
}

/* ---- a cancel at every moment of sitting down ------------------------------------------------------------------------- */

enum moment { TAKING, SITTING, SEATED, MOMENTS };
static enum moment cancel_at;
static int (*in_lock)(void); /* what happens before a lock, once; NULL: nothing */

static void cancel_now(void)
{
    current = NULL;
    check_int(yoke_group_cancel(party, 0), 0);
}

static void seated(bool already)
{
    if (load(&current) != NULL && cancel_at == (already ? SEATED : SITTING))
        cancel_now();
}

static int cancel_before_taking(void)
{
    cancel_now();
    return 0;
}

static int sit_late(void *arg)
{
    int others = *(int *)arg;
    OPEN_HOUSE(g);
    admit(1, 1 + others);
    guests[0] = (struct guest){ .rc = 1 };
    current = &guests[0];
    in_lock = cancel_at == TAKING ? cancel_before_taking : NULL;
    check_int(yoke_spawn_ptr(g, stay, &guests[0]), 0);
    await(&guests[0].gone, 1);
    check(current == NULL); /* it came */
    check_int(guests[0].here, 0);
    check_int(guests[0].rc, -ECANCELED);
    check(guests[0].seat != NULL && guests[0].seat->wait == 0);
    check_int(yoke_group_close(g, 0), 0);
    for (int i = 1; i <= others; i++)
        check_int(guests[i].rc, YOKE__FIRE_CANCEL);
    return 0;
}

static void who_sits_down_late_sees_the_cancel(void **state)
{
    (void)state;
    for (cancel_at = TAKING; cancel_at < MOMENTS; cancel_at++)
        for (int others = 0; others <= 4; others++)
            assert_int_equal(run(1, sit_late, &others), 0);
    current = NULL;
}

/* ---- a cancel while a seat is being vacated, and the other way round -------------------------------------------------- */

static void before_lock(void)
{
    if (load(&in_lock) == NULL)
        return;
    int (*what)(void) = __atomic_exchange_n(&in_lock, NULL, __ATOMIC_SEQ_CST);
    if (what != NULL)
        (void)what();
}

static int cancel_now_and_look(void)
{
    check_int(length(house->full_seats), 1); /* the seat is free, and the block not yet where it belongs */
    check_int(occupied(house->full_seats), YOKE__SEATS - 1);
    check_int(yoke_group_cancel(party, 0), 0);
    walk_to_the_end();
    check_lists(house, 2, 0);
    return 0;
}

static int vacate_and_cancel(void *arg)
{
    (void)arg;
    OPEN_HOUSE(g);
    admit(0, 5);
    check_lists(house, 1, 1);
    in_lock = cancel_now_and_look;
    wake(&guests[1]);
    while (load(&in_lock) != NULL)
        let_others();
    check_lists(house, 2, 0);
    check_int(yoke_group_close(g, 0), 0);
    for (int i = 0; i < 5; i++)
        check_int(guests[i].rc, i == 1 ? YOKE__FIRE_DONE : YOKE__FIRE_CANCEL);
    return 0;
}

static void a_cancel_comes_while_a_seat_is_vacated(void **state)
{
    (void)state;
    assert_int_equal(run(1, vacate_and_cancel, NULL), 0);
}

/*
 * The canceller has woken some, and left the rest to workers. Out of a block that was not visited, or was, somebody goes meanwhile; somebody
 * else, who asked before the cancel, comes.
 */
static int leaver;
static bool newcomer_waits;

static int hold_newcomer(void)
{
    newcomer_waits = true;
    while (newcomer_waits)
        let_others();
    return 0;
}

static int cancel_in_stretches(void *arg)
{
    int full_ones = *(int *)arg;
    OPEN_HOUSE(g);
    admit(0, full_ones * YOKE__SEATS);
    check_lists(house, 0, full_ones);
    struct guest *late = &guests[GUESTS - 1];
    *late = (struct guest){ .rc = 1 };
    in_lock = hold_newcomer;
    newcomer_waits = false;
    check_int(yoke_spawn_ptr(g, stay, late), 0);
    while (!newcomer_waits)
        let_others();
    struct yoke__seats *block = guests[leaver].seat->block;
    uint64_t seat = (uint64_t)1 << leaver % YOKE__SEATS;
    check((block->taken & seat) != 0);
    wake(&guests[leaver]); /* before those whom the cancel wakes */
    check_int(yoke_group_cancel(g, 0), 0);
    check(walk_waits());
    newcomer_waits = false;
    while ((block->taken & seat) != 0 || !late->gone) {
        yoke__self()->walk_rows = UINT32_MAX; /* its turn is after the next row */
        let_others();
    }
    check(walk_waits());
    walk_to_the_end();
    check_int(late->rc, -ECANCELED);
    check_int(yoke_group_close(g, 0), 0);
    for (int i = 0; i < full_ones * YOKE__SEATS; i++)
        check_int(guests[i].rc, i == leaver ? YOKE__FIRE_DONE : YOKE__FIRE_CANCEL);
    return 0;
}

static void seats_are_taken_and_vacated_while_a_canceller_pauses(void **state)
{
    (void)state;
    for (int full_ones = 2; full_ones <= 5; full_ones++)
        for (leaver = 0; leaver < full_ones * YOKE__SEATS; leaver++)
            assert_int_equal(run(1, cancel_in_stretches, &full_ones), 0);
}

/* ---- rising while somebody looks --------------------------------------------------------------------------------------- */

static struct guest *looked_at;
static int at_the_lock;

static int arrive_at_the_lock(void)
{
    store(&at_the_lock, 1);
    return 0;
}

static void fired_upon(struct yoke__wait *wait)
{
    struct guest *g = load(&looked_at);
    if (g == NULL || wait != &g->wait)
        return;
    store(&looked_at, NULL);
    store(&in_lock, arrive_at_the_lock);
    wake(g); /* he goes on, on the other worker, and finds that he is looked at */
    while (!load(&at_the_lock) && !load(&g->gone))
        sched_yield();
    check_int(load(&g->gone), 0);
    check((load(&g->wait.seat->wait) & LOOKED_AT) != 0);
}

static int stay_in_a_scope(void *arg)
{
    YOKE_SCOPE(scope);
    stay(arg);
    return yoke_scope_close(scope, 0);
}

static int look_and_rise(void *arg)
{
    OPEN_HOUSE(g);
    guests[0] = (struct guest){ .rc = 1 };
    check_int(yoke_spawn_ptr(g, *(bool *)arg ? stay_in_a_scope : stay, &guests[0]), 0);
    await(&guests[0].here, 1);
    while (load(&guests[0].wait.state) != YOKE__WAIT_PARKED)
        let_others();
    at_the_lock = 0;
    looked_at = &guests[0];
    check_int(yoke_group_cancel(g, 0), 0);
    check(looked_at == NULL);
    check_int(yoke_group_close(g, 0), 0);
    check_int(guests[0].rc, YOKE__FIRE_DONE);
    return 0;
}

static void who_is_looked_at_waits_for_the_looker(void **state)
{
    (void)state;
    REPEAT(20)
        for (int inside = 0; inside < 2; inside++)
            assert_int_equal(run(2, look_and_rise, &(bool){ inside != 0 }), 0);
}

/* ---- without memory ---------------------------------------------------------------------------------------------------- */

static int stay_without_memory(void *arg)
{
    struct guest *g = arg;
    struct yoke__strand *strand = yoke__current(yoke__self());
    no_block = true;
    stay(g);
    check_int(g->rc, -ENOMEM);
    check(strand->seat == NULL);
    check_int(yoke_sleep(yoke_after(0)), -ENOMEM);
    no_block = false;
    return stay(g);
}

static int exhaust(void *arg)
{
    int others = *(int *)arg;
    OPEN_HOUSE(g);
    admit(1, 1 + others);
    guests[0] = (struct guest){ .rc = 1 };
    check_int(yoke_spawn_ptr(g, stay_without_memory, &guests[0]), 0);
    await(&guests[0].here, 1);
    check_lists(house, 1, others / YOKE__SEATS);
    check_int(yoke_group_cancel(g, 0), 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(guests[0].rc, YOKE__FIRE_CANCEL);
    return 0;
}

static void without_memory_for_a_seat_a_wait_is_refused(void **state)
{
    (void)state;
    for (int others = 0; others <= 2 * YOKE__SEATS; others += YOKE__SEATS)
        assert_int_equal(run(1, exhaust, &others), 0);
}

/* ---- a strand under the scope of another ------------------------------------------------------------------------------- */

static yoke_forked forked;
static struct yoke__scope *foreign;

/* The fork, on the strand of who joins it, under the scope of who began it. */
static int stay_abroad(void *arg)
{
    struct yoke__strand *strand = yoke__current(yoke__self());
    struct yoke__seats *at_home = strand->seat->block;
    check(at_home->scope == house && at_home->taken != 0);
    stay(arg);
    check(strand->seat->block->scope == foreign); /* the one at home was given up */
    check(at_home->taken == 0);
    return 0;
}

static int join_and_stay(void *arg)
{
    struct guest *g = arg;
    stay(&g[0]);
    check_int(yoke_join(&forked), 0);
    check(yoke__current(yoke__self())->seat == NULL); /* its scope may go */
    stay(&g[2]);
    check(g[2].seat->block->scope == house);
    return 0;
}

static int fork_for_another(void *arg)
{
    (void)arg;
    OPEN_HOUSE(g);
    memset(guests, 0, sizeof guests);
    check_int(yoke_spawn_ptr(g, join_and_stay, guests), 0);
    await(&guests[0].here, 1);
    YOKE_SCOPE(scope);
    foreign = yoke__strand_scope(yoke__current(yoke__self()));
    yoke_fork(&forked, stay_abroad, &guests[1]);
    wake(&guests[0]);
    await(&guests[1].here, 1);
    check_int(length(foreign->seats), 1);
    wake(&guests[1]);
    await(&guests[2].here, 1);
    check_int(yoke_scope_close(scope, 0), 0);
    wake(&guests[2]);
    return yoke_group_close(g, 0);
}

static void a_fork_joined_by_another_strand_leaves_no_seat_behind(void **state)
{
    (void)state;
    assert_int_equal(run(1, fork_for_another, NULL), 0);
}

/* Blocks after the function of the task is over: in on_done, and in a deferred function. */
static int nguests;

static int stay_a_while(void *arg)
{
    struct guest *g = &guests[add(&nguests, 1)];
    (void)arg;
    *g = (struct guest){ .rc = 1 };
    stay(g);
    check_int(g->rc, YOKE__FIRE_DONE);
    return 0;
}

static int on_done(void *ctx, const yoke_done *done)
{
    (void)done;
    (void)stay_a_while(ctx);
    return YOKE_GO_ON;
}

static int defer_and_stay(void *arg)
{
    check_int(yoke_defer(stay_a_while, NULL), 0);
    return stay_a_while(arg);
}

static int end_slowly(void *arg)
{
    enum { CHILDREN = 3, EACH = 3 };
    (void)arg;
    nguests = 0;
    memset(guests, 0, sizeof guests);
    YOKE_GROUP(g, .on_done = on_done);
    yoke_task task;
    check_int(yoke_spawn_ptr(g, defer_and_stay, NULL), 0);
    check_int(yoke_spawn_ptr_with(g, (.handle = &task), defer_and_stay, NULL), 0);
    check_int(yoke_spawn_ptr(g, defer_and_stay, NULL), 0);
    for (int i = 0; i < CHILDREN * EACH; i++) {
        await(&guests[i].here, 1);
        wake(&guests[i]);
    }
    return yoke_group_close(g, 0);
}

static void the_end_of_a_task_may_block(void **state)
{
    (void)state;
    assert_int_equal(run(1, end_slowly, NULL), 0);
}

/* ---- a crowd ------------------------------------------------------------------------------------------------------------ */

enum { TASKS = 10, ROUNDS = 60, STEPS = 6, PERMITS = 3, DEEPEST = 2 };

static yoke_semaphore permits;
static int nowhere, crossed, cut_off;

struct walk {
    uint64_t random;
    int depth;
};

static int cross(void)
{
    int rc = yoke_semaphore_acquire(&permits);
    if (rc == 0) {
        check_int(yoke_semaphore_release(&permits), 0);
        add(&crossed, 1);
    } else {
        check_int(rc, -ECANCELED);
        add(&cut_off, 1);
    }
    return rc;
}

static int wander(void *arg);

static int cut_group(void *arg)
{
    yoke_group *g = arg;
    uint64_t r = fresh();
    mix(&r);
    (void)yoke_group_cancel(*g, 0); /* -EINVAL: it is over */
    return 0;
}

static void nest(yoke_group cutters, struct walk *w)
{
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    if (next_random(&w->random) % 2)
        check_int(yoke_spawn(cutters, cut_group, yoke_group, g.block, g.generation), 0);
    for (int i = 0; i < YOKE__SEATS + 2; i++) {
        int rc = yoke_spawn(g, wander, struct walk, .random = next_random(&w->random), .depth = w->depth + 1);
        check(rc == 0 || rc == -ECANCELED);
    }
    int rc = yoke_group_close(g, 0);
    check(rc == 0 || rc == -ECANCELED);
}

static void branch(struct walk *w)
{
    struct walk ways[2] = { { next_random(&w->random), w->depth + 1 }, { next_random(&w->random), w->depth + 1 } };
    YOKE_FORK(f, wander, &ways[0]);
    (void)wander(&ways[1]);
    (void)YOKE_JOIN(f);
}

static void step(yoke_group cutters, struct walk *w)
{
    switch (next_random(&w->random) % 8) {
    case 0:
        if (w->depth < DEEPEST)
            nest(cutters, w);
        return;
    case 1:
        if (w->depth < DEEPEST)
            branch(w);
        return;
    case 2: {
        YOKE_SCOPE(scope);
        cut_sometime(cutters, scope, &w->random);
        int rc = cross();
        rc = yoke_scope_close(scope, rc);
        check(rc == 0 || rc == -ECANCELED || rc == -EXDEV);
        return;
    }
    case 3:
        if (next_random(&w->random) % 8 == 0)
            check_int(yoke_dump(nowhere), 0);
        return;
    default:
        (void)cross();
        mix(&w->random);
    }
}

static int wander(void *arg)
{
    struct walk w = *(struct walk *)arg;
    YOKE_GROUP(cutters, .shield = true);
    for (int i = 0; i < STEPS; i++) {
        (void)cross();
        step(cutters, &w);
    }
    (void)cross();
    check_int(yoke_group_close(cutters, 0), 0);
    (void)cross();
    return 0;
}

static int crowd(void *arg)
{
    uint64_t r = fresh();
    (void)arg;
    check_int(yoke_semaphore_init(&permits, PERMITS, PERMITS), 0);
    REPEAT(ROUNDS) {
        YOKE_GROUP(g);
        house = yoke__strand_scope(yoke__current(yoke__self()));
        for (int i = 0; i < TASKS; i++) {
            yoke_task task;
            if (next_random(&r) % 4)
                check_int(yoke_spawn(g, wander, struct walk, .random = next_random(&r)), 0);
            else
                check_int(yoke_spawn_with(g, (.handle = &task), wander, struct walk, .random = next_random(&r)), 0);
        }
        for (uint64_t n = next_random(&r) % 64; n > 0; n--)
            mix(&r);
        if (next_random(&r) % 2)
            check_int(yoke_group_cancel(g, 0), 0);
        check_int(yoke_group_close(g, 0), 0);
        check(house->seats == NULL && house->full_seats == NULL && house->seat.wait == 0);
    }
    for (int i = 0; i < PERMITS; i++)
        check_int(yoke_semaphore_try_acquire(&permits), 0);
    return 0;
}

static void in_a_crowd_nobody_sleeps_for_ever_and_all_seats_are_given_back(void **state)
{
    (void)state;
    nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_true(nowhere >= 0);
    for (int workers = 1; workers <= 4; workers += 3) {
        crossed = cut_off = 0;
        assert_int_equal(run(workers, crowd, NULL), 0);
        if (repetitions(ROUNDS) == ROUNDS) /* of a few it can be all */
            assert_true(crossed > 0 && cut_off > 0);
    }
    close(nowhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_seats_move_between_two_lists),
        cmocka_unit_test(a_strand_has_one_seat),
        cmocka_unit_test(who_sits_down_late_sees_the_cancel),
        cmocka_unit_test(a_cancel_comes_while_a_seat_is_vacated),
        cmocka_unit_test(seats_are_taken_and_vacated_while_a_canceller_pauses),
        cmocka_unit_test(who_is_looked_at_waits_for_the_looker),
        cmocka_unit_test(without_memory_for_a_seat_a_wait_is_refused),
        cmocka_unit_test(a_fork_joined_by_another_strand_leaves_no_seat_behind),
        cmocka_unit_test(the_end_of_a_task_may_block),
        cmocka_unit_test(in_a_crowd_nobody_sleeps_for_ever_and_all_seats_are_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
