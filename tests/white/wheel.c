/* The timing wheel against a plain sorted list, with 8 slots a level so that timers move down many levels. */
#include "support.h"

#include "wheel.h"

enum { TIMERS = 200 };

static struct yoke__wheel wheel;
static struct yoke__timer timers[TIMERS];
static bool armed[TIMERS];

static int64_t least(void)
{
    int64_t when = INT64_MAX;
    for (int i = 0; i < TIMERS; i++)
        if (armed[i] && timers[i].when < when)
            when = timers[i].when;
    return when;
}

static void insert(int i, int64_t when)
{
    timers[i].when = when;
    yoke__wheel_insert(&wheel, &timers[i]);
    armed[i] = true;
}

/* Everything due at `now` comes out, and nothing else. */
static void expire(int64_t now)
{
    struct yoke__timer *timer;
    assert_true(yoke__wheel_next(&wheel) <= least());
    while ((timer = yoke__wheel_take_due(&wheel, now)) != NULL) {
        long i = timer - timers;
        assert_true(armed[i]);
        assert_true(timer->when <= now);
        armed[i] = false;
    }
    assert_true(least() > now);
}

static void timers_come_out_when_due_and_not_before(void **state)
{
    (void)state;
    uint64_t r = seed();
    for (int round = repetitions(50); round > 0; round--) {
        int64_t now = (int64_t)(next_random(&r) % (1ull << 40));
        yoke__wheel_init(&wheel, now);
        memset(armed, 0, sizeof armed);
        assert_int_equal(yoke__wheel_next(&wheel), INT64_MAX);
        for (int step = 0; step < 2000; step++) {
            int i = (int)(next_random(&r) % TIMERS);
            if (armed[i]) {
                yoke__wheel_remove(&wheel, &timers[i]);
                armed[i] = false;
            } else {
                int64_t far = (int64_t)(next_random(&r) >> (next_random(&r) % 63 + 1));
                insert(i, next_random(&r) % 16 == 0 ? now - (int64_t)(next_random(&r) % 1000) : far > INT64_MAX - now ? INT64_MAX - 1 : now + far);
            }
            if (next_random(&r) % 4 == 0) {
                int64_t next = yoke__wheel_next(&wheel);
                if (next_random(&r) % 2 && next != INT64_MAX && next > now)
                    now = next < INT64_MAX / 4 ? next : now;
                else
                    now += (int64_t)(next_random(&r) % (1ull << (next_random(&r) % 36)));
                expire(now);
            }
        }
        for (int i = 0; i < TIMERS; i++)
            if (armed[i])
                yoke__wheel_remove(&wheel, &timers[i]);
        assert_int_equal(yoke__wheel_next(&wheel), INT64_MAX);
    }
}

/* Following yoke__wheel_next() alone finds each timer at its own nanosecond: no timer is late. */
static void following_next_is_exact(void **state)
{
    (void)state;
    int64_t now = 123456789;
    yoke__wheel_init(&wheel, now);
    memset(armed, 0, sizeof armed);
    for (int i = 0; i < 40; i++)
        insert(i, now + ((int64_t)1 << i) + i);
    for (int hops = 0; least() != INT64_MAX; hops++) {
        assert_true(hops < 10000);
        int64_t next = yoke__wheel_next(&wheel);
        assert_true(next <= least());
        now = next > now ? next : now;
        expire(now);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_come_out_when_due_and_not_before),
        cmocka_unit_test(following_next_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
