/* Mutexes, in a crowd on four workers, with cancels at random: one at a time, nobody forgotten, memory that goes as soon as it may. */
#include "sync.h"

static yoke_mutex mutex = YOKE_MUTEX_INIT;

/* ---- mutual exclusion ---- */

static int inside, total, expected;

static void enter_and_leave(uint64_t *r)
{
    check_int(add(&inside, 1), 0); /* nobody else */
    total++;                       /* without any other protection */
    mix(r);
    check_int(add(&inside, -1), 1);
    check_int(yoke_mutex_unlock(&mutex), 0);
}

static int contend(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    int got = 0;
    YOKE_GROUP(cutters);
    for (int i = 0; i < 100; i++) {
        YOKE_SCOPE(s);
        cut_sometime(cutters, s, &r);
        bool patient = next_random(&r) % 4 != 0;
        int rc = patient ? yoke_mutex_lock(&mutex) : yoke_mutex_trylock(&mutex);
        check(rc == 0 || rc == (patient ? -ECANCELED : -EAGAIN));
        if (rc == 0) {
            enter_and_leave(&r);
            got++;
        }
        leave(s, rc);
        mix(&r);
    }
    add(&expected, got);
    return yoke_group_close(cutters, 0);
}

static int crowd(void *arg)
{
    (void)arg;
    REPEAT(300)
    {
        inside = total = expected = 0;
        YOKE_GROUP(g);
        for (int i = 0; i < 10; i++)
            check_int(yoke_spawn_ptr(g, contend, NULL), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(total, expected);
        check_int(yoke_mutex_trylock(&mutex), 0); /* nobody has it */
        check_int(yoke_mutex_unlock(&mutex), 0);
    }
    return 0;
}

static void one_at_a_time_whatever_is_cancelled(void **state)
{
    (void)state;
    assert_int_equal(run(4, crowd, NULL), 0);
    assert_false(reported("owned"));
}

/* ---- memory that goes as soon as it may ---- */

struct shared {
    yoke_mutex mutex;
    int users;
};

/* Whoever is the last to have had it frees it; who was cancelled comes again. */
static int use_and_free(void *arg)
{
    struct shared *shared = *(struct shared **)arg;
    uint64_t r = fresh();
    YOKE_GROUP(cutters);
    YOKE_SCOPE(s);
    cut_sometime(cutters, s, &r);
    mix(&r);
    int rc = yoke_mutex_lock(&shared->mutex);
    leave(s, rc);
    if (rc == -ECANCELED)
        rc = yoke_mutex_lock(&shared->mutex);
    check_int(rc, 0);
    int left = --shared->users;
    check_int(yoke_mutex_unlock(&shared->mutex), 0);
    if (left == 0)
        free(shared);
    return yoke_group_close(cutters, 0);
}

static int short_lives(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    REPEAT(30000)
    {
        struct shared *shared = malloc(sizeof *shared);
        *shared = (struct shared){ .mutex = YOKE_MUTEX_INIT, .users = 3 };
        for (int i = 0; i < 3; i++)
            check_int(yoke_spawn(g, use_and_free, struct shared *, shared), 0);
        if (round % 16 == 0)
            check_int(yoke_yield(), 0);
    }
    return yoke_group_close(g, 0);
}

static void an_unlock_touches_nothing_after_it(void **state)
{
    (void)state;
    assert_int_equal(run(4, short_lives, NULL), 0); /* the sanitizers would tell */
}

/* ---- owners that end, in a crowd ---- */

static int owned, dead, cut;

static int wait_for_the_dead(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    YOKE_GROUP(cutters);
    YOKE_SCOPE(s);
    cut_sometime(cutters, s, &r);
    mix(&r);
    int rc = yoke_mutex_lock(&mutex);
    check(rc == -EOWNERDEAD || rc == -ECANCELED);
    add(rc == -EOWNERDEAD ? &dead : &cut, 1);
    leave(s, rc);
    return yoke_group_close(cutters, 0);
}

static int die_with_it(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    check_int(yoke_mutex_lock(&mutex), 0);
    store(&owned, 1);
    mix(&r);
    return 0;
}

static int mortal(void *arg)
{
    (void)arg;
    uint64_t r = fresh();
    REPEAT(4000)
    {
        yoke_mutex_init(&mutex);
        owned = dead = cut = 0;
        YOKE_GROUP(g);
        check_int(yoke_spawn(g, die_with_it, uint64_t, next_random(&r)), 0);
        until(&owned, 1);
        for (int i = 0; i < 6; i++)
            check_int(yoke_spawn_ptr(g, wait_for_the_dead, NULL), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(dead + cut, 6);
        check_int(yoke_mutex_trylock(&mutex), -EOWNERDEAD);
    }
    return 0;
}

static void nobody_waits_for_an_owner_that_has_ended(void **state)
{
    (void)state;
    assert_int_equal(run(4, mortal, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time_whatever_is_cancelled),
        cmocka_unit_test(an_unlock_touches_nothing_after_it),
        cmocka_unit_test(nobody_waits_for_an_owner_that_has_ended),
    };
    (void)seed(); /* before several ask at a time */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
