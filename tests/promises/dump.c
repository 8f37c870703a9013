/* The dump: groups, blocked tasks, what each waits for and where, how deep its stack ever was; any time, from inside and outside. */
#include "support.h"

#include <sys/mman.h>

static char text[1 << 16];

/* What a dump says right now. */
static const char *dump_of(yoke_runtime *rt)
{
    int fd = memfd_create("dump", 0);
    check(fd >= 0);
    check_int(rt != NULL ? yoke_runtime_dump(rt, fd) : yoke_dump(fd), 0);
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    check(n > 0);
    text[n > 0 ? n : 0] = '\0';
    close(fd);
    return text;
}

static int sleep_long(void *arg)
{
    (void)arg;
    return yoke_sleep_until(YOKE_NEVER);
}

static void *(*volatile fill)(void *, int, size_t) = memset; /* unknown to the compiler */

/* Touches 24 KiB of stack before it blocks. */
static int sleep_deep(void *arg)
{
    char deep[24 * 1024];
    (void)arg;
    fill(deep, 1, sizeof deep);
    int rc = yoke_sleep_until(YOKE_NEVER);
    return deep[512] == 1 ? rc : -EIO;
}

static int line_of(const char *needle)
{
    const char *at = strstr(text, needle);
    int line = 0;
    for (const char *p = text; at != NULL && p < at; p++)
        line += *p == '\n';
    return at != NULL ? line : -1;
}

/* KiB of stack that the dump says of a task, or -1. */
static int stack_of(const char *task)
{
    int kib = -1;
    char what[64];
    snprintf(what, sizeof what, "task '%s'", task);
    const char *at = strstr(text, what);
    const char *stack = at != NULL ? strstr(at, "stack: at most ") : NULL;
    if (stack != NULL)
        (void)sscanf(stack, "stack: at most %d", &kib);
    return kib;
}

static int tree(void *arg)
{
    (void)arg;
    YOKE_GROUP(outer, .name = "outer");
    check_int(yoke_spawn_ptr(outer, sleep_long, NULL), 0);
    YOKE_GROUP(inner, .name = "inner");
    check_int(yoke_spawn_ptr(inner, sleep_deep, NULL), 0);
    YOKE_SCOPE(s, .name = "shielded", .shield = true, .deadline = yoke_after(YOKE_SEC(100)));
    do
        check_int(yoke_yield(), 0);
    while (strstr(dump_of(NULL), "'sleep_long'") == NULL || strstr(text, "'sleep_deep'") == NULL || line_of("waits: sleep") < 0);
    check(line_of("root") >= 0);
    check(line_of("group 'outer'") > line_of("root"));
    check(line_of("group 'inner'") > line_of("group 'outer'"));
    check(line_of("task 'sleep_deep'") > line_of("group 'inner'"));
    check(strstr(text, __FILE__) != NULL); /* where they were spawned */
#ifndef __SANITIZE_ADDRESS__ /* which keeps such arrays elsewhere */
    check(stack_of("sleep_deep") >= 24);
    check(stack_of("sleep_long") < 24); /* what it used, not what it has */
    check(strstr(text, "deepest stack of those") != NULL);
#endif
    check_int(yoke_scope_close(s, 0), 0);
    check_int(yoke_group_cancel(inner, 0), 0);
    check(strstr(dump_of(NULL), "cancelled") != NULL || strstr(text, "'sleep_deep'") == NULL);
    check_int(yoke_group_close(inner, 0), 0);
    check_int(yoke_group_cancel(outer, 0), 0);
    return yoke_group_close(outer, 0);
}

static void it_shows_who_waits_for_what_and_where(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++)
        assert_int_equal(run(workers, tree, NULL), 0);
}

static void it_can_be_asked_for_from_any_thread(void **state)
{
    (void)state;
    yoke_runtime *rt;
    assert_int_equal(yoke_start(&rt, OPTIONS(.workers = 2)), 0);
    assert_non_null(strstr(dump_of(rt), "2 workers"));
    assert_int_equal(yoke_runtime_dump(rt, -1), -EBADF);
    assert_int_equal(yoke_stop(rt), 0);
    assert_int_equal(yoke_runtime_dump(NULL, 1), -EINVAL);
    assert_checks();
}

static int storm(void *arg)
{
    uint64_t state = seed();
    YOKE_GROUP(g, .name = "storm");
    for (int i = 0; i < repetitions(300); i++) {
        YOKE_GROUP(h, .name = "brief");
        for (int k = 0; k < 8; k++)
            check_int(yoke_spawn_ptr(h, sleep_long, arg), 0);
        jitter(&state);
        check(strstr(dump_of(NULL), "root") != NULL);
        check_int(yoke_group_cancel(h, 0), 0);
        jitter(&state);
        check(strstr(dump_of(NULL), "root") != NULL);
        check_int(yoke_group_close(h, 0), 0);
    }
    return yoke_group_close(g, 0);
}

static void it_may_be_taken_while_all_the_others_come_and_go(void **state)
{
    (void)state;
    assert_int_equal(run(4, storm, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_shows_who_waits_for_what_and_where),
        cmocka_unit_test(it_can_be_asked_for_from_any_thread),
        cmocka_unit_test(it_may_be_taken_while_all_the_others_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
