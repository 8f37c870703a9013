/*
 * Timers: shards of wheels, here with 8 slots a level, a server that fires what is due, armers in other threads. Time is the test's own: a
 * number that it hands to the server. Then with real threads, as invariants: a callback runs once or not at all and is over when
 * disarming says so, and no server sleeps past a timer. And in a runtime, where workers and the service thread take turns at serving.
 */
#include "sync.h"

#include <sys/eventfd.h>

#include <yoke/io/wait.h>

#include "core.h"
#include "platform.h"
#include "timer.h"

enum { SHARDS = 3, TIMERS = 100 };

struct entry {
    struct yoke__timer timer;
    bool armed;
    int fired;
};

static struct yoke__timers timers;
static struct entry entries[TIMERS];
static int64_t base; /* the time at which the wheels began */
static int kicks;

static void count_kick(void *ctx)
{
    (void)ctx;
    kicks++;
}

static void note_fire(struct yoke__timer *timer, void *batch)
{
    struct entry *e = (struct entry *)(void *)timer;
    struct yoke__timer_batch *b = batch;
    e->fired++;
    b->lists[0] = e; /* what callbacks gather reaches the server */
}

static void begin(void)
{
    memset(entries, 0, sizeof entries);
    kicks = 0;
    assert_int_equal(yoke__os_membarrier_register(), 0);
    assert_int_equal(yoke__timers_init(&timers, SHARDS, true, count_kick, NULL), 0);
    base = (int64_t)yoke__os_now();
}

static void arm(int i, int shard, int64_t when)
{
    yoke__timer_arm(&timers, shard, &entries[i].timer, when, note_fire);
    entries[i].armed = true;
}

/* By its owner, if it has one, which is this thread; and by turns as another. */
static bool disarm(int i)
{
    static int turn;
    int shard = entries[i].timer.shard != NULL && turn++ % 3 != 0 ? (int)(entries[i].timer.shard - timers.shards) : SHARDS - 1;
    return yoke__timer_disarm(&timers, shard, &entries[i].timer);
}

static int64_t earliest(void)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < TIMERS; i++)
        if (entries[i].armed && entries[i].timer.when < least)
            least = entries[i].timer.when;
    return least;
}

/* At `now` exactly what is due has fired, once. */
static void serve(int64_t now)
{
    struct yoke__timer_batch batch;
    bool due = earliest() <= now;
    assert_true(yoke__timers_earliest(&timers) <= earliest());
    bool any = false;
    while (yoke__timers_fire(&timers, now, &batch)) {
        any = true;
        assert_non_null(batch.lists[0]);
        assert_null(batch.lists[1]);
    }
    assert_int_equal(any, due);
    assert_null(batch.lists[0]); /* zeroed each time */
    for (int i = 0; i < TIMERS; i++) {
        assert_int_equal(entries[i].fired, entries[i].armed && entries[i].timer.when <= now);
        if (entries[i].fired) {
            assert_false(disarm(i)); /* it has fired */
            entries[i].armed = false;
            entries[i].fired = 0;
        }
    }
    assert_true(earliest() > now);
}

/* ---- exactly ---------------------------------------------------------------------------------------------------------- */

static void a_timer_fires_when_it_is_due_and_not_before(void **state)
{
    (void)state;
    begin();
    for (int bit = 0; bit < 55; bit++) { /* from the lowest level to far above */
        int64_t when = base + ((int64_t)1 << bit);
        arm(0, bit % SHARDS, when);
        serve(when - 1);
        assert_true(entries[0].armed);
        serve(when);
        assert_false(entries[0].armed);
        base = when;
    }
    yoke__timers_destroy(&timers);
}

static void timers_of_one_tick_fire_each_at_its_own_nanosecond(void **state)
{
    (void)state;
    begin();
    int64_t tick = ((base >> YOKE__WHEEL_TICK_BITS) + 2) << YOKE__WHEEL_TICK_BITS;
    for (int i = 0; i < TIMERS; i++)
        arm(i, i % SHARDS, tick + i * 7 % TIMERS);
    for (int i = 0; i < TIMERS; i++) {
        serve(tick + i - 1);
        assert_int_equal(earliest(), tick + i);
        serve(tick + i);
    }
    assert_int_equal(yoke__timers_earliest(&timers), INT64_MAX);
    for (int i = 0; i < TIMERS; i++)
        arm(i, 0, tick + 1000); /* all at once, behind the wheel by now or not */
    serve(tick + 999);
    serve(tick + 1000);
    yoke__timers_destroy(&timers);
}

static void a_time_in_the_past_is_due_at_once(void **state)
{
    (void)state;
    static const int64_t past[] = { -1, -1000000, INT64_MIN };
    begin();
    serve(base);
    for (size_t i = 0; i < sizeof past / sizeof *past; i++) {
        arm(0, 0, past[i]);
        serve(base);
        arm(1, 1, base + past[i] / 2); /* before the wheel's own tick */
        arm(2, 1, base);
        serve(base);
    }
    yoke__timers_destroy(&timers);
}

static void the_end_of_time_is_far(void **state)
{
    (void)state;
    begin();
    arm(0, 0, INT64_MAX);
    arm(1, 1, INT64_MAX - 1);
    serve(base + ((int64_t)1 << 50));
    assert_true(disarm(0));
    entries[0].armed = false;
    serve(INT64_MAX - 2);
    serve(INT64_MAX - 1);
    assert_int_equal(yoke__timers_earliest(&timers), INT64_MAX);
    yoke__timers_destroy(&timers);
}

/* The server lets armers in between: it comes back for what is left. */
static void more_than_one_stretch_is_due_at_once(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    static struct entry many[MANY];
    struct yoke__timer_batch batch;
    int rounds = 0, fired = 0;
    begin();
    memset(many, 0, sizeof many);
    for (int i = 0; i < MANY; i++)
        yoke__timer_arm(&timers, 0, &many[i].timer, base + i, note_fire);
    while (yoke__timers_fire(&timers, base + MANY, &batch)) {
        int before = fired;
        fired = 0;
        for (int i = 0; i < MANY; i++)
            fired += many[i].fired;
        assert_true(fired > before);
        assert_true(fired == MANY || yoke__timers_earliest(&timers) <= base + MANY); /* the rest is still seen to be due */
        rounds++;
    }
    assert_int_equal(fired, MANY);
    assert_true(rounds > 1);
    yoke__timers_destroy(&timers);
}

static void disarming_tells_who_was_first(void **state)
{
    (void)state;
    begin();
    assert_false(disarm(0)); /* never armed */
    arm(0, 0, base + 10);
    assert_true(disarm(0));
    assert_false(disarm(0));
    entries[0].armed = false;
    serve(base + 20);
    arm(0, 2, base + 30); /* again, elsewhere */
    serve(base + 30);
    assert_false(disarm(0));
    yoke__timers_destroy(&timers);
}

/* Who is not the owner of the shard it is in comes by the lock: who owns another one, too. */
static void a_shard_is_biased_to_its_owner_alone(void **state)
{
    (void)state;
    static const struct { int armer, disarmer; bool bias; } turns[] = {
        { 0, 0, true }, { 0, 1, false }, { 0, SHARDS - 1, false }, { 1, 1, true }, { 1, 0, false }, { SHARDS - 1, SHARDS - 1, false },
    };
    begin();
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        for (int n = 0; n < (int)timers.shards[0].lock.most; n++) {
            arm(0, turns[i].armer, base + 1000);
            assert_true(yoke__timer_disarm(&timers, turns[i].armer, &entries[0].timer));
        }
        assert_int_equal(timers.shards[turns[i].armer].lock.biased, turns[i].armer < SHARDS - 1);
        arm(0, turns[i].armer, base + 1000);
        assert_true(yoke__timer_disarm(&timers, turns[i].disarmer, &entries[0].timer));
        assert_int_equal(timers.shards[turns[i].armer].lock.biased, turns[i].bias);
    }
    entries[0].armed = false;
    serve(base + 2000);
    yoke__timers_destroy(&timers);
}

/* Arm, disarm, move to another time and shard, serve: against a list. */
static void whatever_is_done_each_fires_in_its_time(void **state)
{
    (void)state;
    uint64_t r = seed();
    REPEAT(40) {
        begin();
        int64_t now = base;
        for (int step = 0; step < 1000; step++) {
            int i = (int)(next_random(&r) % TIMERS);
            if (entries[i].armed) {
                assert_true(disarm(i));
                entries[i].armed = false;
            }
            if (next_random(&r) % 4 != 0)
                arm(i, (int)(next_random(&r) % SHARDS), now - 100 + (int64_t)(next_random(&r) % (1ull << (next_random(&r) % 40 + 1))));
            if (next_random(&r) % 3 == 0) {
                now += (int64_t)(next_random(&r) % (1ull << (next_random(&r) % 36 + 1)));
                serve(now);
            }
        }
        yoke__timers_destroy(&timers);
    }
}

/* ---- who wakes the server --------------------------------------------------------------------------------------------- */

static void only_a_server_that_sleeps_for_too_long_is_kicked(void **state)
{
    (void)state;
    begin();
    arm(0, 0, base + 1000); /* it is awake: it will look */
    assert_int_equal(kicks, 0);
    assert_true(yoke__timers_aim(&timers) <= base + 1000);
    arm(1, 1, base + 2000); /* it wakes early enough */
    arm(2, 0, base + 1000);
    assert_int_equal(kicks, 0);
    arm(3, 2, base + 500); /* not for this one */
    assert_int_equal(kicks, 1);
    assert_true(disarm(3)); /* wakes nobody */
    entries[3].armed = false;
    assert_int_equal(kicks, 1);
    yoke__timers_awake(&timers);
    arm(4, 0, base);
    assert_int_equal(kicks, 1);
    serve(base + 2000);
    assert_int_equal(yoke__timers_aim(&timers), INT64_MAX); /* without timers for ever */
    arm(5, 0, base + ((int64_t)1 << 55));
    assert_int_equal(kicks, 2);
    yoke__timers_awake(&timers);
    yoke__timers_hand_over(&timers, base + 5000); /* the next one wakes then */
    arm(6, 1, base + 5000);
    assert_int_equal(kicks, 2);
    arm(7, 1, base + 4999);
    assert_int_equal(kicks, 3);
    assert_true(yoke__timers_earliest(&timers) <= base + 4999); /* what the one who hands over looks at afterwards */
    yoke__timers_destroy(&timers);
}

static void no_memory_for_the_wheels_is_said(void **state)
{
    (void)state;
    yoke__os_fault_set(YOKE__OS_ALLOC, 1, ENOMEM);
    assert_int_equal(yoke__timers_init(&timers, SHARDS, true, count_kick, NULL), -ENOMEM);
    yoke__os_fault_clear();
}

/* ---- with threads ----------------------------------------------------------------------------------------------------- */

/*
 * Armers arm, wait, move and disarm timers of their own; a server sleeps until the time it aimed at or a kick. `inside` is written by
 * the callback with plain stores: ThreadSanitizer sees to it that it is over when disarming has returned.
 */
enum { ARMERS = SHARDS, TURNS = 2000 }; /* the last has no shard of its own */

struct mine {
    struct yoke__timer timer;
    long inside; /* plain */
    uint32_t fired;
};

static uint32_t server_word, server_end;
static int lost, won;

static void kick_server(void *ctx)
{
    (void)ctx;
    add(&server_word, 1);
    yoke__os_futex_wake(&server_word, 1);
}

static void fire_mine(struct yoke__timer *timer, void *batch)
{
    struct mine *m = (struct mine *)(void *)timer;
    (void)batch;
    for (int i = 0; i < m->inside % 4 * 1000; i++) /* time for the armer to disarm it in the middle */
        __asm__ volatile("" ::: "memory");
    m->inside++;
    add(&m->fired, 1);
    yoke__os_futex_wake(&m->fired, 1);
}

static void *serve_threads(void *arg)
{
    struct yoke__timer_batch batch;
    (void)arg;
    while (load(&server_end) == 0) {
        uint32_t word = load(&server_word);
        while (yoke__timers_fire(&timers, (int64_t)yoke__os_now(), &batch))
            ;
        int64_t until_then = yoke__timers_aim(&timers);
        if (load(&server_end) == 0)
            yoke__os_futex_wait(&server_word, word, until_then == INT64_MAX ? UINT64_MAX : (uint64_t)(until_then < 0 ? 0 : until_then));
        yoke__timers_awake(&timers);
    }
    return NULL;
}

/* Its own shard, mostly, or everybody's. */
static int either(uint64_t *r, int shard)
{
    return next_random(r) % 8 != 0 ? shard : SHARDS - 1;
}

static void *arm_and_disarm(void *arg)
{
    uint64_t r = fresh();
    int shard = (int)(intptr_t)arg;
    struct mine m;
    memset(&m, 0, sizeof m);
    for (int turn = repetitions(TURNS); turn > 0; turn--) {
        uint32_t before = load(&m.fired);
        long inside = m.inside;
        bool stopped = false;
        yoke__timer_arm(&timers, shard, &m.timer, (int64_t)yoke__os_now() + (int64_t)(next_random(&r) % 40000) - 5000, fire_mine);
        for (uint64_t moves = next_random(&r) % 3; moves > 0 && (stopped = yoke__timer_disarm(&timers, either(&r, shard), &m.timer)); moves--) {
            stopped = false;
            yoke__timer_arm(&timers, either(&r, shard), &m.timer, (int64_t)yoke__os_now() + (int64_t)(next_random(&r) % 40000), fire_mine);
        }
        if (next_random(&r) % 2) { /* sleeps until it fires: nobody else wakes the server */
            while (load(&m.fired) == before)
                yoke__os_futex_wait(&m.fired, before, UINT64_MAX);
        } else {
            for (uint64_t i = next_random(&r) % 20000; i > 0; i--)
                __asm__ volatile("" ::: "memory");
        }
        stopped = yoke__timer_disarm(&timers, either(&r, shard), &m.timer);
        add(stopped ? &won : &lost, 1);
        check_int(load(&m.fired) - before, stopped ? 0 : 1);
        check_int(m.inside - inside, stopped ? 0 : 1);
    }
    return NULL;
}

static void disarming_and_firing_meet(void **state)
{
    (void)state;
    pthread_t server, armers[ARMERS];
    server_end = 0;
    (void)seed();
    assert_int_equal(yoke__os_membarrier_register(), 0);
    assert_int_equal(yoke__timers_init(&timers, SHARDS, true, kick_server, NULL), 0);
    assert_int_equal(pthread_create(&server, NULL, serve_threads, NULL), 0);
    for (intptr_t i = 0; i < ARMERS; i++)
        assert_int_equal(pthread_create(&armers[i], NULL, arm_and_disarm, (void *)i), 0);
    for (int i = 0; i < ARMERS; i++)
        assert_int_equal(pthread_join(armers[i], NULL), 0);
    store(&server_end, 1);
    kick_server(NULL);
    assert_int_equal(pthread_join(server, NULL), 0);
    assert_checks();
    assert_int_equal(won + lost, ARMERS * repetitions(TURNS));
    assert_true(lost > 0);
    yoke__timers_destroy(&timers);
}

/* ---- in a runtime ----------------------------------------------------------------------------------------------------- */

/*
 * With a driver attached, idle workers sleep in its poll and serve the timers; when they are all busy, the service thread takes both
 * over. Tasks sleep, and are sure to wake, while others keep every worker busy now and then, for longer than it takes to take over.
 */
enum { SLEEPERS = 20 };

static int sleepers_done;

static int sleep_and_sleep(void *arg)
{
    uint64_t r = fresh();
    (void)arg;
    REPEAT(20) {
        int64_t until_then = yoke_after((int64_t)(next_random(&r) % (uint64_t)YOKE_MS(1)));
        if (next_random(&r) % 4 == 0) { /* by a scope's deadline, moved once */
            YOKE_SCOPE(s, .deadline = yoke_after(YOKE_SEC(1000)));
            check_int(yoke_scope_set_deadline(s, until_then), 0);
            check_int(yoke_scope_close(s, yoke_sleep_until(YOKE_NEVER)), -ETIMEDOUT);
        } else {
            check_int(yoke_sleep_until(until_then), 0);
        }
        check(yoke_now() >= until_then); /* never early */
    }
    add(&sleepers_done, 1);
    return 0;
}

/* Busy until the sleepers have ended, which they can only if somebody serves the timers meanwhile; now and then idle. */
static int be_busy(void *arg)
{
    (void)arg;
    while (load(&sleepers_done) < SLEEPERS) {
        int64_t end = yoke_after(YOKE_MS(3));
        while (yoke_now() < end)
            ;
        check_int(yoke_sleep(YOKE_US(200)), 0);
    }
    return 0;
}

/* A wait that starts the driver. */
static void start_driver(void)
{
    int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    check_int(yoke_fd_readable(fd), 0);
    check(yoke__self()->rt->service.driver != NULL);
    close(fd);
}

static int turns(void *arg)
{
    sleepers_done = 0;
    if (*(int *)arg)
        start_driver();
    YOKE_GROUP(g);
    for (int i = 0; i < SLEEPERS; i++)
        check_int(yoke_spawn_ptr(g, sleep_and_sleep, NULL), 0);
    for (int i = 0; i < 3; i++)
        check_int(yoke_spawn_ptr(g, be_busy, NULL), 0);
    return yoke_group_close(g, 0);
}

static void workers_and_the_service_thread_take_turns(void **state)
{
    (void)state;
    (void)seed();
    for (int with_driver = 0; with_driver <= 1; with_driver++)
        for (int workers = 1; workers <= 3; workers++)
            assert_int_equal(run(workers, turns, &with_driver), 0);
}

/*
 * A worker sleeps in the poll for so long that the service thread dozes, and leaves it to be busy until a deadline is seen that was armed
 * before: who leaves the poll calls the service thread for it.
 */
static int idle_then_busy(void *arg)
{
    (void)arg;
    REPEAT(10) {
        YOKE_SCOPE(s, .deadline = yoke_after(YOKE_MS(8)));
        int rc = yoke_sleep(YOKE_MS(4));
        check(rc == 0 || rc == -ECANCELED); /* the latter where it takes so long to be woken */
        while (!yoke_cancelled())
            ;
        check_int(yoke_scope_close(s, -ECANCELED), -ETIMEDOUT);
    }
    return 0;
}

static int all_busy(void *arg)
{
    (void)arg;
    start_driver();
    YOKE_GROUP(g);
    for (int i = 0; i < yoke_workers(); i++)
        check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = i), idle_then_busy, NULL), 0);
    return yoke_group_close(g, 0);
}

static void a_deadline_is_seen_though_every_worker_is_busy(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++)
        assert_int_equal(run(workers, all_busy, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_fires_when_it_is_due_and_not_before),
        cmocka_unit_test(timers_of_one_tick_fire_each_at_its_own_nanosecond),
        cmocka_unit_test(a_time_in_the_past_is_due_at_once),
        cmocka_unit_test(the_end_of_time_is_far),
        cmocka_unit_test(more_than_one_stretch_is_due_at_once),
        cmocka_unit_test(disarming_tells_who_was_first),
        cmocka_unit_test(a_shard_is_biased_to_its_owner_alone),
        cmocka_unit_test(whatever_is_done_each_fires_in_its_time),
        cmocka_unit_test(only_a_server_that_sleeps_for_too_long_is_kicked),
        cmocka_unit_test(no_memory_for_the_wheels_is_said),
        cmocka_unit_test(disarming_and_firing_meet),
        cmocka_unit_test(workers_and_the_service_thread_take_turns),
        cmocka_unit_test(a_deadline_is_seen_though_every_worker_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
