/* What the tests of loops, and those of reductions and scans, share: lengths, crews, a failure and what it says. */
#include "support.h"

static const int64_t lengths[] = { 0, 1, 2, 3, 7, 16, 17, 63, 64, 65, 1000, 1001, 4097, 70001 };
enum { LENGTHS = sizeof lengths / sizeof *lengths };

/* The longest is left out where everything is slow. */
static int lengths_now(void)
{
    return repetitions(100) == 100 ? LENGTHS : LENGTHS - 1;
}

static const int crews[] = { 1, 2, 4 };

static void on_all_crews(yoke_fn fn, void *arg)
{
    for (int i = 0; i < 3; i++)
        assert_int_equal(run(crews[i], fn, arg), 0);
}

static int fail_at(int64_t i)
{
    return yoke_fail(-EDOM, "iteration %lld", (long long)i);
}

static void check_words(int64_t at)
{
    char want[40];
    snprintf(want, sizeof want, "iteration %lld", (long long)at);
    check(strcmp(yoke_message(-EDOM), want) == 0);
}
