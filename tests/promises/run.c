/* The one entry point: results, errors, start and stop beside a thread, several runtimes. */
#include "support.h"

#include <dirent.h>

static int give(void *arg)
{
    return *(int *)arg;
}

static void returns_what_main_returned(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++) {
        int value = 42;
        assert_int_equal(run(workers, give, &value), 42);
        assert_string_equal(reports, "");
        value = -EIO;
        assert_int_equal(run(workers, give, &value), -EIO);
        assert_true(reported("main"));
    }
}

static void another_run_works_and_options_may_be_missing(void **state)
{
    (void)state;
    int value = 3;
    for (int i = 0; i < 20; i++)
        assert_int_equal(yoke_run(give, &value, NULL), 3);
}

static int run_inside(void *arg)
{
    yoke_runtime *rt = NULL;
    check_int(yoke_run(give, arg, OPTIONS(.workers = 1)), -EBUSY);
    check_int(yoke_start(&rt, OPTIONS(.workers = 1)), -EBUSY);
    check(rt == NULL);
    return 0;
}

static void a_run_inside_a_run_is_busy(void **state)
{
    (void)state;
    int value = 1;
    assert_int_equal(run(2, run_inside, &value), 0);
}

static void outside_of_a_task_calls_say_so(void **state)
{
    (void)state;
    assert_int_equal(yoke_sleep(1), -ENOTRECOVERABLE);
    assert_int_equal(yoke_yield(), -ENOTRECOVERABLE);
    assert_int_equal(yoke_checkpoint(), -ENOTRECOVERABLE);
    assert_int_equal(yoke_workers(), -ENOTRECOVERABLE);
    assert_int_equal(yoke_worker_index(), -ENOTRECOVERABLE);
    assert_int_equal(yoke_dump(2), -ENOTRECOVERABLE);
    assert_int_equal(yoke_defer(give, NULL), -ENOTRECOVERABLE);
    assert_int_equal(yoke_blocking(give, NULL), -ENOTRECOVERABLE);
    assert_false(yoke_cancelled());
    assert_int_equal(yoke_task_id(), 0);
    assert_string_equal(yoke_task_name(), "");
    yoke_group g = yoke_group_open(NULL);
    assert_int_equal(yoke_spawn_ptr(g, give, NULL), -ENOTRECOVERABLE);
    assert_int_equal(yoke_group_close(g, 0), -ENOTRECOVERABLE);
    yoke_scope s = yoke_scope_open(NULL);
    assert_int_equal(yoke_scope_close(s, 0), -ENOTRECOVERABLE);
}

static int tell_workers(void *arg)
{
    *(int *)arg = yoke_workers();
    check(yoke_worker_index() >= 0 && yoke_worker_index() < yoke_workers());
    return 0;
}

static void options_are_checked(void **state)
{
    (void)state;
    int value = 0;
    assert_int_equal(run_with(give, &value, OPTIONS(.workers = -1)), -EINVAL);
    assert_true(reported("workers"));
    assert_int_equal(run_with(give, &value, OPTIONS(.bind = "sideways")), -EINVAL);
    assert_true(reported("bind"));
    assert_int_equal(run_with(give, &value, OPTIONS(.stack_size = 5000)), -EINVAL);
    assert_true(reported("stack_size"));
    assert_int_equal(run_with(give, &value, OPTIONS(.guards = "thick")), -EINVAL);
    assert_true(reported("guards"));
    assert_int_equal(run_with(NULL, &value, OPTIONS(.workers = 1)), -EINVAL);
    assert_int_equal(yoke_run(give, &value, &(yoke_options){ .size = 0 }), -EINVAL);
    assert_int_equal(run(3, tell_workers, &value), 0);
    assert_int_equal(value, 3);
}

/* ---- environment and file ---- */

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void struct_over_environment_over_file(void **state)
{
    (void)state;
    char path[] = "yoke-test-XXXXXX";
    int fd = mkstemp(path), workers = 0;
    assert_true(fd >= 0);
    close(fd);
    write_file(path, "; a comment\n[yoke]\nworkers = 3\n");
    assert_int_equal(run_with(tell_workers, &workers, OPTIONS(.config_file = path)), 0);
    assert_int_equal(workers, 3);
    setenv("YOKE_CONFIG", path, 1);
    assert_int_equal(run_with(tell_workers, &workers, OPTIONS(.workers = 0)), 0);
    assert_int_equal(workers, 3);
    setenv("YOKE_WORKERS", "2", 1);
    assert_int_equal(run_with(tell_workers, &workers, OPTIONS(.workers = 0)), 0);
    assert_int_equal(workers, 2);
    assert_int_equal(run_with(tell_workers, &workers, OPTIONS(.workers = 1)), 0);
    assert_int_equal(workers, 1);
    setenv("YOKE_WORKERS", "many", 1);
    assert_int_equal(run_with(tell_workers, &workers, OPTIONS(.workers = 0)), -EINVAL);
    assert_true(reported("YOKE_WORKERS"));
    assert_true(reported("many"));
    unsetenv("YOKE_WORKERS");
    write_file(path, "[yoke]\n\nworkers = 2\nstack_size = 77\n");
    assert_int_equal(run_with(tell_workers, &workers, OPTIONS(.workers = 0)), -EINVAL);
    assert_true(reported(path));
    assert_true(reported(":4"));
    assert_true(reported("stack_size"));
    write_file(path, "[yoke]\nwrokers = 2\n");
    assert_int_equal(run_with(tell_workers, &workers, OPTIONS(.workers = 0)), -EINVAL);
    assert_true(reported("wrokers"));
    unlink(path);
    assert_int_equal(run_with(tell_workers, &workers, OPTIONS(.workers = 0)), -ENOENT);
    assert_true(reported(path));
    unsetenv("YOKE_CONFIG");
}

static void show_config_prints_each_setting_with_its_origin(void **state)
{
    (void)state;
    int workers;
    setenv("YOKE_SHOW_CONFIG", "1", 1);
    setenv("YOKE_SPIN_NS", "1000", 1);
    assert_int_equal(run(2, tell_workers, &workers), 0);
    unsetenv("YOKE_SHOW_CONFIG");
    unsetenv("YOKE_SPIN_NS");
    assert_true(reported("workers = 2"));
    assert_true(reported("spin_ns = 1000"));
    assert_true(reported("YOKE_SPIN_NS"));
    assert_true(reported("guards"));
    assert_true(reported("default"));
}

/* ---- beside a thread ---- */

static int add_one(void *arg)
{
    add((int *)arg, 1);
    return yoke_yield() < 0 ? -1 : 7;
}

static void start_and_stop_beside_a_thread(void **state)
{
    (void)state;
    yoke_runtime *rt;
    yoke_token *token;
    int count = 0;
    assert_int_equal(yoke_start(&rt, OPTIONS(.workers = 2)), 0);
    assert_int_equal(yoke_runtime_token(rt, &token), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(yoke_call(token, add_one, &count), 7);
    assert_int_equal(count, 100);
    assert_int_equal(yoke_stop(rt), 0);
    assert_int_equal(yoke_call(token, add_one, &count), -ESHUTDOWN);
    yoke_token_release(token);
    assert_int_equal(count, 100);
}

static int sleep_forever(void *arg)
{
    add((int *)arg, 1);
    int rc = yoke_sleep_until(YOKE_NEVER);
    add((int *)arg, 1);
    return rc;
}

static void stop_cancels_what_still_runs(void **state)
{
    (void)state;
    yoke_runtime *rt;
    yoke_token *token;
    yoke_post_node node[3];
    int count = 0;
    assert_int_equal(yoke_start(&rt, OPTIONS(.workers = 2)), 0);
    assert_int_equal(yoke_runtime_token(rt, &token), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(yoke_post(token, &node[i], sleep_forever, &count), 0);
    assert_int_equal(yoke_stop(rt), 0);
    assert_int_equal(count, 6);
    yoke_token_release(token);
}

static void *one_runtime(void *arg)
{
    int value = *(int *)arg;
    for (int i = 0; i < 20; i++)
        if (yoke_run(give, &value, YOKE_OPTIONS(.workers = 2)) != value)
            return arg;
    return NULL;
}

static void runtimes_on_several_threads_are_independent(void **state)
{
    (void)state;
    pthread_t threads[4];
    int values[4] = { 1, 2, 3, 4 };
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, one_runtime, &values[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

/* Entries of a directory, without "." and "..". */
static int count_files(const char *directory)
{
    int n = -2;
    DIR *dir = opendir(directory);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

#if defined(__SANITIZE_THREAD__)
static const int own_threads = 2;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
static const int own_threads = 2; /* the sanitizer has one */
#else
static const int own_threads = 1;
#endif
#else
static const int own_threads = 1;
#endif

static void a_run_leaves_no_thread_and_no_descriptor(void **state)
{
    (void)state;
    int files = count_files("/proc/self/fd"), value = 0;
    for (int i = 0; i < 5; i++)
        assert_int_equal(run(4, give, &value), 0);
    /* pthread_join returns a little before the kernel takes a thread off its list; a thread left behind stays there for good */
    while (count_files("/proc/self/task") > own_threads)
        sched_yield();
    assert_int_equal(count_files("/proc/self/fd"), files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(returns_what_main_returned),
        cmocka_unit_test(another_run_works_and_options_may_be_missing),
        cmocka_unit_test(a_run_inside_a_run_is_busy),
        cmocka_unit_test(outside_of_a_task_calls_say_so),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(struct_over_environment_over_file),
        cmocka_unit_test(show_config_prints_each_setting_with_its_origin),
        cmocka_unit_test(start_and_stop_beside_a_thread),
        cmocka_unit_test(stop_cancels_what_still_runs),
        cmocka_unit_test(runtimes_on_several_threads_are_independent),
        cmocka_unit_test(a_run_leaves_no_thread_and_no_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
