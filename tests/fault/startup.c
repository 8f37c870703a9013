/* Start-up and the end under faults: whatever fails, the cause is returned, nothing is left behind, and the next run works. */
#include "support.h"

#include "platform.h"
#include "sanitizer.h"

#include <dirent.h>

static int give(void *arg)
{
    return *(int *)arg;
}

static int entries(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

/* Runs with the nth call of a kind failing, for n = 1, 2, ... until a run succeeds. */
static void every_call_fails_once(enum yoke__os_call which, int err, bool must_fail)
{
    int value = 42, failed = 0;
    assert_int_equal(run(3, give, &value), 42); /* what a sanitizer starts or opens at first is not ours */
#ifdef YOKE__TSAN
    int threads = 2 + 2; /* with ".", "..", and the sanitizer's own */
#else
    int threads = 1 + 2;
#endif
    int files = entries("/proc/self/fd");
    (void)files;
    for (int n = 1;; n++) {
        assert_true(n < 1000);
        yoke__os_fault_clear();
        yoke__os_fault_set(which, n, err);
        int rc = run_with(give, &value, OPTIONS(.workers = 3, .bind = which == YOKE__OS_BIND ? "pu" : NULL, .hwloc = "on"));
        int calls = yoke__os_fault_count(which);
        yoke__os_fault_clear();
        while (entries("/proc/self/task") > threads) /* joined threads leave the kernel's list a little later; others never */
            sched_yield();
#ifndef YOKE__TSAN /* which opens a pipe to its symbolizer when it first has to look at a suppression */
        assert_int_equal(entries("/proc/self/fd"), files);
#endif
        if (rc < 0) {
            failed++;
            assert_true(rc == -err || rc == -ENOMEM);
            assert_true(reports[0] != '\0'); /* and it was said */
        } else {
            assert_int_equal(rc, 42);
        }
        assert_int_equal(run(3, give, &value), 42);
        if (calls < n)
            break; /* there is no nth call: every one has failed once */
    }
    if (must_fail)
        assert_true(failed > 0);
}

static void memory(void **state)
{
    (void)state;
    every_call_fails_once(YOKE__OS_ALLOC, ENOMEM, true);
}

static void mappings(void **state)
{
    (void)state;
    every_call_fails_once(YOKE__OS_MMAP, ENOMEM, true);
}

static void threads(void **state)
{
    (void)state;
    every_call_fails_once(YOKE__OS_THREAD, EAGAIN, true);
}

static void guards(void **state)
{
    (void)state;
    every_call_fails_once(YOKE__OS_MADVISE, EINVAL, false); /* other guards are used, or none */
    every_call_fails_once(YOKE__OS_MPROTECT, ENOMEM, false);
}

static void membarrier(void **state)
{
    (void)state;
    every_call_fails_once(YOKE__OS_MEMBARRIER, ENOSYS, false); /* forks are published one by one */
}

static void binding(void **state)
{
    (void)state;
    every_call_fails_once(YOKE__OS_BIND, EPERM, false); /* said, and gone on without */
}

static void what_the_service_thread_could_not_have_is_shown(void **state)
{
    (void)state;
    int value = 7;
    yoke__os_fault_set(YOKE__OS_BIND, -1, EPERM);
    yoke__os_fault_set(YOKE__OS_SLICE, -1, ENOSYS);
    setenv("YOKE_SHOW_CONFIG", "1", 1);
    assert_int_equal(run_with(give, &value, OPTIONS(.workers = 1, .reactor_bind = "pu:0")), 7);
    unsetenv("YOKE_SHOW_CONFIG");
    yoke__os_fault_clear();
    const char *at = strstr(reports, "reactor_bind = ");
    assert_non_null(at);
    assert_non_null(strstr(at, "not in effect: Operation not permitted"));
    at = strstr(reports, "slice = ");
    assert_non_null(at);
    assert_non_null(strstr(at, "not in effect: Function not implemented"));
}

static void without_any_of_the_optional_calls(void **state)
{
    (void)state;
    int value = 7;
    yoke__os_fault_set(YOKE__OS_MADVISE, -1, EINVAL);
    yoke__os_fault_set(YOKE__OS_MPROTECT, -1, ENOMEM);
    yoke__os_fault_set(YOKE__OS_MEMBARRIER, -1, ENOSYS);
    setenv("YOKE_SHOW_CONFIG", "1", 1);
    assert_int_equal(run(2, give, &value), 7);
    unsetenv("YOKE_SHOW_CONFIG");
    yoke__os_fault_clear();
    assert_true(reported("not available")); /* YOKE_SHOW_CONFIG says what fell back, and why */
    assert_true(reported("in effect: mprotect"));
}

static void a_feature_switched_off_makes_no_call(void **state)
{
    (void)state;
    int value = 7;
    yoke__os_fault_clear();
    assert_int_equal(run_with(give, &value, OPTIONS(.workers = 2, .membarrier = "off", .guards = "none", .slice = "off")), 7);
    assert_int_equal(yoke__os_fault_count(YOKE__OS_MEMBARRIER), 0);
    assert_int_equal(yoke__os_fault_count(YOKE__OS_SLICE), 0);
    assert_int_equal(yoke__os_fault_count(YOKE__OS_MPROTECT), 0);
    assert_int_equal(yoke__os_fault_count(YOKE__OS_BIND), 0);
    yoke__os_fault_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory),
        cmocka_unit_test(mappings),
        cmocka_unit_test(threads),
        cmocka_unit_test(guards),
        cmocka_unit_test(membarrier),
        cmocka_unit_test(binding),
        cmocka_unit_test(what_the_service_thread_could_not_have_is_shown),
        cmocka_unit_test(without_any_of_the_optional_calls),
        cmocka_unit_test(a_feature_switched_off_makes_no_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
