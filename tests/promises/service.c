/* Services of a group beside children that come and go: close waits for all of them, whoever spawned them last. */
#include "support.h"

static int accepted, begun, ended;

static int leaf(void *arg)
{
    uint64_t state = *(uint64_t *)arg;
    add(&begun, 1);
    jitter(&state);
    add(&ended, 1);
    return 0;
}

struct last_words {
    yoke_group group;
    uint64_t state;
    int what;
};

static int last_words(void *arg);

/* -ESHUTDOWN: only services are left, and told to end; -ECANCELED: the group is cancelled. */
static void spawn_something(struct last_words *words)
{
    uint64_t state = next_random(&words->state);
    int rc;
    if (words->what == 0)
        return;
    if (words->what == 1)
        rc = yoke_spawn(words->group, leaf, uint64_t, state);
    else if (words->what == 2)
        rc = yoke_spawn_with(words->group, (.service = true), leaf, uint64_t, state);
    else
        rc = yoke_spawn_with(words->group, (.service = words->what % 2 == 0), last_words, struct last_words, words->group, state,
                             (int)(state >> 8) % 3);
    check(rc == 0 || rc == -ESHUTDOWN);
    if (rc == 0)
        add(&accepted, 1);
}

/* The last thing it does is to spawn another one: at any moment of the owner's close. */
static int last_words(void *arg)
{
    struct last_words *words = arg;
    add(&begun, 1);
    jitter(&words->state);
    spawn_something(words);
    add(&ended, 1);
    return 0;
}

static int come_and_go(void *arg)
{
    uint64_t state = *(uint64_t *)arg;
    for (int round = repetitions(4000); round > 0; round--) {
        int before = 0;
        accepted = begun = ended = 0;
        YOKE_GROUP(g);
        for (int i = (int)(next_random(&state) % 3); i >= 0; i--, before++)
            check_int(yoke_spawn_with(g, (.service = next_random(&state) % 4 != 0), last_words, struct last_words, g, next_random(&state),
                                      (int)(next_random(&state) % 5)),
                      0);
        jitter(&state);
        int rc = yoke_group_close(g, 0);
        check_int(rc, 0);
        check_int(load(&begun), before + load(&accepted));
        check_int(load(&ended), load(&begun));
        if (load(&failed_checks) != 0)
            break;
    }
    return 0;
}

static void close_waits_for_who_comes_last(void **state)
{
    (void)state;
    uint64_t start = seed();
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, come_and_go, &start), 0);
    assert_string_equal(reports, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(close_waits_for_who_comes_last) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
