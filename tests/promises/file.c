/* Files by the blocking pool: every verb, positions, errors, what a cancel and a close meet. */
#include "support.h"

#include <fcntl.h>
#include <sys/stat.h>

static char directory[64];

struct path {
    char text[128];
};

static struct path path_of(const char *name)
{
    struct path path;
    snprintf(path.text, sizeof path.text, "%s/%s", directory, name);
    return path;
}

/* In the caller's frame: it has to stay as it is while a call waits. */
#define at(name) (path_of(name).text)

/* ---- verbs ---- */

static int verbs(void *arg)
{
    YOKE_SCOPED(yoke_file) f = NULL;
    char text[32];
    size_t done = 99;
    struct stat stat;
    (void)arg;
    YOKE_TRY(yoke_file_create(&f, at("verbs"), O_RDWR | O_TRUNC, 0600));
    check_int(yoke_file_write(f, "hello", 5), 5);
    check_int(yoke_file_write_all(f, " world", 6, &done), 0);
    check_int(done, 6);
    check_int(yoke_file_size(f), 11);
    check_int(yoke_file_read(f, text, sizeof text), 0); /* the position is at the end */
    check_int(yoke_file_pread(f, text, sizeof text, 6), 5);
    check(memcmp(text, "world", 5) == 0);
    check_int(yoke_file_pwrite(f, "J", 1, 0), 1);
    check_int(yoke_file_pwrite(f, "!", 1, 20), 1); /* a hole */
    check_int(yoke_file_write(f, ",", 1), 1);      /* the position is where it was */
    check_int(yoke_file_fsync(f), 0);
    check_int(yoke_file_stat(f, &stat), 0);
    check_int(stat.st_size, 21);
    check_int(stat.st_mode & 07777, 0600);
    check_int(yoke_file_pread(f, text, sizeof text, 0), 21);
    check(memcmp(text, "Jello world,\0\0\0\0\0\0\0\0!", 21) == 0);
    check_int(yoke_file_pread(f, text, sizeof text, 21), 0);
    check_int(yoke_file_pread(f, text, 1, -1), -EINVAL);
    check_int(yoke_file_pwrite(f, text, 1, -1), -EINVAL);
    check_int(yoke_file_close(f), 0);
    YOKE_TRY(yoke_file_open(&f, at("verbs"), O_RDONLY));
    check_int(fcntl(yoke_file_fd(f), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    check_int(yoke_file_read_exact(f, text, 20, &done), 0);
    check_int(done, 20);
    check_int(yoke_file_read_exact(f, text, 2, &done), -ENODATA);
    check_int(done, 1);
    check_int(yoke_file_read(f, text, 0), 0);
    check_int(yoke_file_write(f, "x", 1), -EBADF); /* open for reading only, says the kernel */
    return 0;
}

static void files_are_read_and_written(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++)
        assert_int_equal(run(workers, verbs, NULL), 0);
    assert_string_equal(reports, "");
}

static int refusals(void *arg)
{
    yoke_file *f, *old;
    char c;
    (void)arg;
    check_int(yoke_file_open(&f, at("none"), O_RDONLY), -ENOENT);
    check(f == NULL);
    check_int(yoke_file_open(&f, at("none"), O_RDWR | O_CREAT), -EINVAL);
    check_int(yoke_file_open(&f, directory, O_RDWR | O_TMPFILE), -EINVAL);
    check_int(yoke_file_open(&f, directory, O_WRONLY), -EISDIR);
    check_int(yoke_file_open(&f, NULL, O_RDONLY), -EINVAL);
    check_int(mkfifo(at("fifo"), 0600), 0);
    check_int(yoke_file_open(&f, at("fifo"), O_RDONLY), -ESPIPE); /* and at once, though nobody writes */
    check_int(yoke_file_open(&f, at("fifo"), O_WRONLY), -ENXIO);
    check_int(yoke_file_open(&f, "/dev/ptmx", O_RDWR), -ESPIPE);
    check_int(yoke_file_create(&f, at("new"), O_WRONLY | O_EXCL, 0600), 0);
    check_int(yoke_file_create(&old, at("new"), O_WRONLY | O_EXCL, 0600), -EEXIST);
    check_int(yoke_file_close(f), 0);
    check_int(yoke_file_close(f), -EBADF);
    check_int(yoke_file_read(f, &c, 1), -EBADF);
    check_int(yoke_file_fd(f), -EBADF);
    check_int(yoke_file_size(f), -EBADF);
    check_int(yoke_file_close(NULL), -EBADF);
    check_int(yoke_close((yoke_stream *)(void *)f), -EBADF);
    old = f;
    YOKE_TRY(yoke_file_open(&f, "/dev/full", O_RDWR)); /* the same record, used again */
    check_int(yoke_file_fsync(old), -EBADF);
    check_int(yoke_file_write(f, "x", 1), -ENOSPC);
    check_int(yoke_read((yoke_stream *)(void *)f, &c, 1), -EBADF); /* not a stream */
    check_int(yoke_file_read(f, &c, 1), 1);
    return yoke_file_close(f);
}

static void what_cannot_be_done_is_said(void **state)
{
    (void)state;
    assert_int_equal(run(1, refusals, NULL), 0);
    yoke_file *f;
    assert_int_equal(yoke_file_open(&f, "/dev/null", O_RDONLY), -ENOTRECOVERABLE);
}

static int unnamed(void *arg)
{
    YOKE_SCOPED(yoke_file) f = NULL;
    (void)arg;
    int rc = yoke_file_create(&f, directory, O_RDWR | O_TMPFILE, 0600);
    if (rc == -EOPNOTSUPP || rc == -EISDIR)
        return 0; /* a file system without */
    check_int(rc, 0);
    check_int(yoke_file_write(f, "t", 1), 1);
    return 0;
}

static void a_file_without_a_name(void **state)
{
    (void)state;
    assert_int_equal(run(1, unnamed, NULL), 0);
}

static int leave_open(void *arg)
{
    yoke_file *f;
    (void)arg;
    return yoke_file_open(&f, "/dev/null", O_RDONLY);
}

static void what_is_left_open_is_reported_and_closed(void **state)
{
    (void)state;
    int before = open("/dev/null", O_RDONLY);
    close(before);
    assert_int_equal(run(1, leave_open, NULL), 0);
    assert_true(reported("1 streams, listeners or files were never closed"));
    int after = open("/dev/null", O_RDONLY);
    close(after);
    assert_int_equal(before, after);
}

/* ---- a pool whose only thread is held up ---- */

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static int holding;

static int hold(void *arg) /* on the thread of the pool */
{
    (void)arg;
    store(&holding, 1);
    pthread_mutex_lock(&held);
    pthread_mutex_unlock(&held);
    return 0;
}

static int hold_pool(void *arg)
{
    return yoke_blocking_with(YOKE_BLOCKING_FILES, false, NULL, hold, arg);
}

static int started;

static int write_one(void *arg)
{
    add(&started, 1);
    int rc = (int)yoke_file_write(*(yoke_file **)arg, "x", 1);
    return rc;
}

static int read_shared(void *arg)
{
    char c;
    add(&started, 1);
    return (int)yoke_read(*(yoke_stream **)arg, &c, 1);
}

static int close_it(void *arg)
{
    add(&started, 1);
    return yoke_file_close(*(yoke_file **)arg);
}

/* Until so many tasks have come to their call; on one worker they wait in it then. */
static void until_started(int n)
{
    while (load(&started) < n)
        check_int(yoke_yield(), 0);
}

static int queued(void *arg)
{
    yoke_file *f;
    yoke_stream *s;
    yoke_task writer, second, closer, reader;
    int result;
    (void)arg;
    started = holding = 0;
    pthread_mutex_lock(&held); /* this task stays on its thread: one worker */
    YOKE_TRY(yoke_file_create(&f, at("queued"), O_RDWR | O_TRUNC, 0600));
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    check_int(yoke_spawn_ptr(g, hold_pool, NULL), 0);
    while (load(&holding) == 0)
        check_int(yoke_yield(), 0); /* the worker goes on meanwhile */
    check_int(yoke_spawn_with(g, (.handle = &writer), write_one, yoke_file *, f), 0);
    until_started(1);
    check_int(yoke_task_state(writer), YOKE_TASK_RUNNING);
    check_int(yoke_task_cancel(writer), 0);
    check_int(yoke_task_await(writer, &result), 0); /* though the pool is held up */
    check_int(result, -ECANCELED);
    check_int(yoke_spawn_with(g, (.handle = &second), write_one, yoke_file *, f), 0);
    until_started(2);
    check_int(yoke_spawn_with(g, (.handle = &closer), close_it, yoke_file *, f), 0);
    until_started(3);
    int null = open("/dev/null", O_RDONLY);
    check_int(yoke_stream_share(&s, null), 0); /* a stream that the pool serves too */
    check_int(yoke_spawn_with(g, (.handle = &reader), read_shared, yoke_stream *, s), 0);
    until_started(4);
    check_int(read_shared(&s), -EBUSY);
    close(null);
    pthread_mutex_unlock(&held);
    check_int(yoke_task_await(reader, &result), 0);
    check_int(result, 0);
    check_int(yoke_close(s), 0);
    check_int(yoke_task_await(second, &result), 0);
    check_int(result, -EBADF); /* no thread had taken it when the file was closed */
    check_int(yoke_task_await(closer, &result), 0);
    check_int(result, 0);
    check_int(yoke_group_close(g, 0), 0);
    YOKE_TRY(yoke_file_open(&f, at("queued"), O_RDONLY));
    check_int(yoke_file_size(f), 0); /* nothing of both has happened */
    return yoke_file_close(f);
}

static void what_no_thread_has_taken_has_not_happened(void **state)
{
    (void)state;
    assert_int_equal(run_with(queued, NULL, OPTIONS(.workers = 1, .pool_files = 1)), 0);
    assert_string_equal(reports, "");
}

static int cancelled_close(void *arg)
{
    yoke_file *f;
    (void)arg;
    YOKE_TRY(yoke_file_open(&f, "/dev/null", O_RDONLY));
    int fd = yoke_file_fd(f);
    YOKE_SCOPE(s);
    check_int(yoke_scope_cancel(s, 0), 0);
    check_int(yoke_file_size(f), -ECANCELED);
    check_int(yoke_file_read_exact(f, NULL, 0, NULL), -ECANCELED); /* checked first, even for no bytes */
    check_int(yoke_file_close(f), 0);                             /* cleanup goes through */
    check_int(fcntl(fd, F_GETFD), -1);
    check_int(yoke_sleep(0), -ECANCELED); /* still pending */
    check_int(yoke_scope_close(s, 0), 0);
    return 0;
}

static void a_cancelled_task_can_close(void **state)
{
    (void)state;
    assert_int_equal(run(1, cancelled_close, NULL), 0);
    assert_string_equal(reports, "");
}

/* ---- races ---- */

/* A write against a cancel: it was written exactly if the call says so. */
static int write_against_cancel(void *arg)
{
    uint64_t state = seed() + (uint64_t)(uintptr_t)arg;
    char name[32];
    YOKE_SCOPED(yoke_file) f = NULL;
    snprintf(name, sizeof name, "race%d", (int)(uintptr_t)arg);
    YOKE_TRY(yoke_file_create(&f, at(name), O_RDWR | O_TRUNC, 0600));
    int64_t size = 0;
    for (int i = 0; i < repetitions(1500); i++) {
        yoke_task task;
        int result;
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        check_int(yoke_spawn_with(g, (.handle = &task), write_one, yoke_file *, f), 0);
        jitter(&state);
        if (next_random(&state) % 4 == 0)
            sched_yield();
        check_int(yoke_task_cancel(task), 0);
        check_int(yoke_task_await(task, &result), 0);
        check(result == 1 || result == -ECANCELED);
        check_int(yoke_group_close(g, 0), 0);
        size += result == 1;
        check_int(yoke_file_size(f), size);
    }
    return 0;
}

/* A write against two closes: one close wins, and the write happens or is -EBADF; the next file often has the same descriptor. */
static int write_against_close(void *arg)
{
    uint64_t state = seed() + (uint64_t)(uintptr_t)arg;
    char name[32];
    snprintf(name, sizeof name, "close%d", (int)(uintptr_t)arg);
    for (int i = 0; i < repetitions(500); i++) {
        yoke_file *f;
        yoke_task tasks[3];
        int results[3];
        YOKE_TRY(yoke_file_create(&f, at(name), O_RDWR | O_TRUNC, 0600));
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        check_int(yoke_spawn_with(g, (.handle = &tasks[0]), write_one, yoke_file *, f), 0);
        jitter(&state);
        for (int k = 1; k < 3; k++)
            check_int(yoke_spawn_with(g, (.handle = &tasks[k]), close_it, yoke_file *, f), 0);
        for (int k = 0; k < 3; k++)
            check_int(yoke_task_await(tasks[k], &results[k]), 0);
        check_int(yoke_group_close(g, 0), 0);
        check(results[0] == 1 || results[0] == -EBADF);
        check((results[1] == 0 && results[2] == -EBADF) || (results[2] == 0 && results[1] == -EBADF));
        YOKE_TRY(yoke_file_open(&f, at(name), O_RDONLY));
        check_int(yoke_file_size(f), results[0] == 1);
        check_int(yoke_file_close(f), 0);
    }
    return 0;
}

static int storm(void *arg)
{
    yoke_fn fn = *(yoke_fn *)arg;
    (void)seed();
    YOKE_GROUP(g);
    for (uintptr_t i = 0; i < 3; i++)
        check_int(yoke_spawn_ptr(g, fn, (void *)i), 0);
    return yoke_group_close(g, 0);
}

static void a_write_happened_or_was_cancelled(void **state)
{
    (void)state;
    yoke_fn fn = write_against_cancel;
    assert_int_equal(run_with(storm, &fn, OPTIONS(.workers = 4, .pool_files = 2)), 0);
    assert_string_equal(reports, "");
}

static void a_write_happened_or_met_the_close(void **state)
{
    (void)state;
    yoke_fn fn = write_against_close;
    assert_int_equal(run_with(storm, &fn, OPTIONS(.workers = 4, .pool_files = 3)), 0);
    assert_string_equal(reports, "");
}

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/yoke-file-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int remove_directory(void **state)
{
    static const char *const names[] = { "verbs", "fifo", "new", "queued", "race0", "race1", "race2", "close0", "close1", "close2" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlink(at(names[i]));
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_and_written),
        cmocka_unit_test(what_cannot_be_done_is_said),
        cmocka_unit_test(a_file_without_a_name),
        cmocka_unit_test(what_is_left_open_is_reported_and_closed),
        cmocka_unit_test(what_no_thread_has_taken_has_not_happened),
        cmocka_unit_test(a_cancelled_task_can_close),
        cmocka_unit_test(a_write_happened_or_was_cancelled),
        cmocka_unit_test(a_write_happened_or_met_the_close),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
