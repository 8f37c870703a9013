/*
 * The table of cancellation points, call by call: in a cancelled scope each point says -ECANCELED, first, even where it could finish at once, and
 * nothing has happened; what is no point does what it always does. And the same list of calls outside of a task. The last test reads the
 * public headers: a function that is not mentioned here has no place in the table.
 */
#include "support.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

/* ---- what the calls are made with: each could finish at once -------------------------------------------------------------- */

static int calls; /* of the functions below */

static int counted(void *arg)
{
    (void)arg;
    add(&calls, 1);
    return 7;
}

static int counted_range(int64_t begin, int64_t end, void *arg)
{
    (void)begin, (void)end;
    return counted(arg);
}

static int counted_tile(const yoke_tile *tile, void *arg)
{
    (void)tile;
    return counted(arg);
}

static int counted_fold(int64_t begin, int64_t end, void *accumulator, void *arg)
{
    (void)accumulator;
    return counted_range(begin, end, arg);
}

static int counted_scan(int64_t begin, int64_t end, void *accumulator, bool final, void *arg)
{
    (void)accumulator, (void)final;
    return counted_range(begin, end, arg);
}

static int combine(void *left, void *right, void *arg)
{
    (void)left, (void)right, (void)arg;
    return 0;
}

static int compare(const void *a, const void *b, void *arg)
{
    (void)arg;
    return *(const int *)a - *(const int *)b;
}

static int two_items(void *item, void *arg)
{
    (void)item, (void)arg;
    return add(&calls, 1) < 2;
}

static int sleep_long(void *arg)
{
    (void)arg;
    return yoke_sleep_until(YOKE_NEVER);
}

static struct {
    yoke_task done;
    yoke_group results, full, spacious;
    yoke_interval interval;
    yoke_stream *readable, *writable, *dialled, *accepted;
    yoke_listener *listener, *listening;
    char address[64];
    int fds[2];
    yoke_file *file, *opened, *created;
    char path[64], new_path[64];
    yoke_channel *with_room, *with_message;
    yoke_event event;
    yoke_mutex mutex;
    yoke_semaphore semaphore;
    char byte;
    struct iovec piece;
    int result, number, numbers[3];
    yoke_done told;
    struct stat stat;
    yoke_stage stage;
} t;

static int wait_signal(void *arg)
{
    (void)arg;
    return yoke_signal_wait(SIGUSR1);
}

/* A signal that comes when it is the runtime's own is kept; before, it would be ignored. */
static void keep_a_signal(void)
{
    struct sigaction now = { .sa_handler = SIG_IGN };
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, wait_signal, NULL), 0);
    while (sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
        check_int(yoke_yield(), 0);
    check_int(kill(getpid(), SIGUSR1), 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(kill(getpid(), SIGUSR1), 0);
}

static void prepare(yoke_group outside)
{
    static char data[64];
    memset(&t, 0, sizeof t);
    t.piece = (struct iovec){ .iov_base = &t.byte, .iov_len = 1 };
    check_int(yoke_spawn_ptr_with(outside, (.handle = &t.done), counted, NULL), 0);
    check_int(yoke_task_await(t.done, &t.result), 0);
    check_int(yoke_interval_init(&t.interval, YOKE_SEC(1000), YOKE_BURST), 0);
    t.interval.next = yoke_now();
    check_int(yoke_stream_pair(&t.readable, &t.writable), 0);
    check_int(yoke_write_all(t.writable, data, sizeof data, NULL), 0);
    check_int(yoke_listen(&t.listener, "127.0.0.1:0", 8), 0);
    check_int(yoke_listener_address(t.listener, t.address, sizeof t.address), 0);
    yoke_stream *waiting = NULL;
    check_int(yoke_dial(&waiting, t.address), 0); /* somebody to accept */
    check_int(yoke_close(waiting), 0);
    check_int(pipe(t.fds), 0);
    check_int(write(t.fds[1], "x", 1), 1);
    snprintf(t.path, sizeof t.path, "points-%d", (int)getpid());
    snprintf(t.new_path, sizeof t.new_path, "points-%d-new", (int)getpid());
    check_int(yoke_file_create(&t.file, t.path, O_RDWR | O_TRUNC, 0600), 0);
    check_int(yoke_file_pwrite(t.file, data, sizeof data, 0), sizeof data);
    check_int(yoke_channel_create(&t.with_room, sizeof(int), 4), 0);
    check_int(yoke_channel_create(&t.with_message, sizeof(int), 4), 0);
    check_int(yoke_channel_send(t.with_message, &(int){ 3 }), 0);
    check_int(yoke_event_set(&t.event), 0);
    check_int(yoke_semaphore_init(&t.semaphore, 1, 2), 0);
    t.stage = (yoke_stage){ .fn = two_items };
    keep_a_signal();
}

static void put_away(void)
{
    check_int(yoke_close(t.readable), 0);
    check_int(yoke_close(t.writable), 0);
    check_int(yoke_close(t.dialled), 0);
    check_int(yoke_close(t.accepted), 0);
    check_int(yoke_listener_close(t.listener), 0);
    check_int(yoke_listener_close(t.listening), 0);
    check_int(yoke_file_close(t.file), 0);
    check_int(yoke_file_close(t.opened), 0);
    check_int(yoke_file_close(t.created), 0);
    check_int(yoke_channel_destroy(t.with_room), 0);
    check_int(yoke_channel_destroy(t.with_message), 0);
    check_int(yoke_fd_forget(t.fds[0]), 0);
    check_int(yoke_fd_forget(t.fds[1]), 0);
    close(t.fds[0]);
    close(t.fds[1]);
    unlink(t.path);
    unlink(t.new_path);
}

/* ---- the points ----------------------------------------------------------------------------------------------------------- */

enum { BLOCKS = 1000 }; /* it would have to wait */

/* Each with what it says where nobody is cancelled. */
#define POINTS(X) \
    X(checkpoint, yoke_checkpoint(), 0) \
    X(yield, yoke_yield(), 0) \
    X(sleep, yoke_sleep(0), 0) \
    X(sleep_until, yoke_sleep_until(1), 0) \
    X(interval_next, yoke_interval_next(&t.interval), 0) \
    X(task_await, yoke_task_await(t.done, &t.result), 0) \
    X(group_next, yoke_group_next(t.results, &t.told), 0) \
    X(spawn_that_waits, yoke_spawn_ptr(t.full, counted, NULL), BLOCKS) \
    X(blocking, yoke_blocking(counted, NULL), 7) \
    X(blocking_with, yoke_blocking_with(YOKE_BLOCKING_FILES, true, NULL, counted, NULL), 7) \
    X(read, yoke_read(t.readable, &t.byte, 1), 1) \
    X(readv, yoke_readv(t.readable, &t.piece, 1), 1) \
    X(read_nothing, yoke_read(t.readable, &t.byte, 0), 0) \
    X(write, yoke_write(t.writable, "x", 1), 1) \
    X(writev, yoke_writev(t.writable, &t.piece, 1), 1) \
    X(write_all, yoke_write_all(t.writable, "x", 1, NULL), 0) \
    X(write_all_of_nothing, yoke_write_all(t.writable, "", 0, NULL), 0) \
    X(read_exact, yoke_read_exact(t.readable, &t.byte, 1, NULL), 0) \
    X(dial, yoke_dial(&t.dialled, t.address), 0) \
    X(listen, yoke_listen(&t.listening, "127.0.0.1:0", 1), 0) \
    X(accept, yoke_accept(t.listener, &t.accepted), 0) \
    X(fd_readable, yoke_fd_readable(t.fds[0]), 0) \
    X(fd_writable, yoke_fd_writable(t.fds[1]), 0) \
    X(signal_wait, yoke_signal_wait_any((const int[]){ SIGUSR1 }, 1), SIGUSR1) \
    X(file_open, yoke_file_open(&t.opened, t.path, O_RDONLY), 0) \
    X(file_create, yoke_file_create(&t.created, t.new_path, O_RDWR | O_EXCL, 0600), 0) \
    X(file_read, yoke_file_read(t.file, &t.byte, 1), 1) \
    X(file_pread, yoke_file_pread(t.file, &t.byte, 1, 0), 1) \
    X(file_write, yoke_file_write(t.file, "x", 1), 1) \
    X(file_pwrite, yoke_file_pwrite(t.file, "x", 1, 0), 1) \
    X(file_write_all, yoke_file_write_all(t.file, "x", 1, NULL), 0) \
    X(file_read_exact, yoke_file_read_exact(t.file, &t.byte, 1, NULL), 0) \
    X(file_fsync, yoke_file_fsync(t.file), 0) \
    X(file_stat, yoke_file_stat(t.file, &t.stat), 0) \
    X(file_size, yoke_file_size(t.file), 64) \
    X(channel_send, yoke_channel_send(t.with_room, &t.number), 0) \
    X(channel_receive, yoke_channel_receive(t.with_message, &t.number), 0) \
    X(event_wait, yoke_event_wait(&t.event), 0) \
    X(mutex_lock, yoke_mutex_lock(&t.mutex), 0) \
    X(semaphore_acquire, yoke_semaphore_acquire(&t.semaphore), 0) \
    X(parallel_for, yoke_parallel_for(0, 3, counted_range, NULL, NULL), 0) \
    X(parallel_for_nothing, yoke_parallel_for(0, 0, counted_range, NULL, NULL), 0) \
    X(parallel_for_2d, yoke_parallel_for_2d(&(yoke_tile){ 0, 2, 0, 2 }, counted_tile, NULL, NULL), 0) \
    X(parallel_invoke, yoke_parallel_invoke_all(&(yoke_call_entry){ counted, NULL }, 1), 0) \
    X(parallel_reduce, yoke_parallel_reduce(0, 3, counted_fold, combine, NULL, &t.number, sizeof t.number, NULL), 0) \
    X(parallel_scan, yoke_parallel_scan(0, 3, counted_scan, combine, NULL, &t.number, sizeof t.number, NULL), 0) \
    X(parallel_sort, yoke_parallel_sort(t.numbers, 3, sizeof(int), compare, NULL), 0) \
    X(parallel_sort_stable, yoke_parallel_sort_stable(t.numbers, 3, sizeof(int), compare, NULL), 0) \
    X(parallel_pipeline, yoke_parallel_pipeline(&t.stage, 1, YOKE_PIPELINE(.item_size = 4)), 0)

#define FUNCTION(name, call, value) \
    static int64_t call_##name(void) { return (int64_t)(call); }
POINTS(FUNCTION)

struct point {
    const char *name;
    int64_t (*call)(void);
    int64_t value;
};
#define ENTRY(name, call, value) { #name, call_##name, value },
static const struct point points[] = { POINTS(ENTRY) };
enum { NPOINTS = sizeof points / sizeof *points };

/* A check that names the call. */
static void check_call(const char *name, int64_t got, int64_t want)
{
    if (got != want)
        note_failure(__FILE__, __LINE__, name, got, want, 1);
}

/* What nobody has had is still to be had. */
static void have_all(void)
{
    YOKE_SCOPE(limit, .deadline = yoke_after(YOKE_SEC(200))); /* who waits for what was lost is named then */
    for (int i = 0; i < NPOINTS; i++)
        if (points[i].value != BLOCKS)
            check_call(points[i].name, points[i].call(), points[i].value);
    check_int(t.numbers[2], 3);
    check_int(yoke_mutex_unlock(&t.mutex), 0);
    check_int(yoke_semaphore_try_acquire(&t.semaphore), -EAGAIN);
    check_int(yoke_channel_try_receive(t.with_room, &t.number), 0); /* the one message that was sent */
    check_int(yoke_channel_try_receive(t.with_room, &t.number), -EAGAIN);
    check_int(yoke_scope_close(limit, 0), 0);
}

static int meet_points(void *arg)
{
    (void)arg;
    YOKE_GROUP(outside);
    YOKE_GROUP(results, .results = true);
    YOKE_GROUP(full, .limit = 1);
    prepare(outside);
    check_int(yoke_spawn_ptr_with(results, (.handle = &t.done), counted, NULL), 0);
    check_int(yoke_task_await(t.done, &t.result), 0);
    check_int(yoke_spawn_ptr(full, sleep_long, NULL), 0);
    t.results = results;
    t.full = full;
    t.numbers[0] = 3;
    store(&calls, 0);
    {
        YOKE_SCOPE(s);
        check_int(yoke_scope_cancel(s, 0), 0);
        for (int twice = 0; twice < 2; twice++) /* level-triggered */
            for (int i = 0; i < NPOINTS; i++)
                check_call(points[i].name, points[i].call(), -ECANCELED);
        check_int(yoke_scope_close(s, -ECANCELED), 0);
    }
    check_int(calls, 0);
    check_int(t.numbers[0], 3);
    check(t.dialled == NULL && t.accepted == NULL && t.listening == NULL && t.opened == NULL && t.created == NULL);
    check_int(access(t.new_path, F_OK), -1);
    if (load(&failed_checks) == 0) /* else it would wait for what is gone, and never tell */
        have_all();
    put_away();
    check_int(yoke_group_cancel(full, 0), 0);
    check_int(yoke_group_close(full, 0), 0);
    check_int(yoke_group_close(results, 0), 0);
    return yoke_group_close(outside, 0);
}

static void a_point_is_checked_first_and_nothing_happens(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(run(1, meet_points, NULL), 0);
}

/* ---- what is none ------------------------------------------------------------------------------------------------------------ */

static const yoke_local key = { .name = "key" };
static const yoke_slot slot = { .name = "slot" };
static const yoke_site site = { __FILE__, "site", 1 };

/* Cannot be cut, as it is behind a shield: whoever waits for it waits to the end. */
static int take_time(void *arg)
{
    YOKE_SCOPE(shield, .shield = true, .deadline = yoke_after(YOKE_SEC(1000)));
    check_int(yoke_sleep(YOKE_US(100)), 0);
    add(&calls, 1);
    return yoke_scope_close(shield, arg == NULL ? 0 : -EINVAL);
}

static void groups_and_forks_while_cancelled(yoke_group outside)
{
    static yoke_post_node node; /* valid until the function is entered, which may be after our end */
    yoke_failure failure;
    yoke_token *token;
    yoke_task h;
    YOKE_GROUP(inner); /* cancelled in effect, as it is inside */
    check_int(yoke_spawn_ptr(inner, counted, NULL), -ECANCELED);
    check_int(yoke_group_close(inner, 8), 8);
    YOKE_GROUP(shielded, .shield = true);
    store(&calls, 0);
    check_int(yoke_spawn_ptr(shielded, take_time, NULL), 0);
    check_int(yoke_group_failure(shielded, 0, &failure), -ENODATA);
    check_int(yoke_group_set_deadline(shielded, yoke_after(YOKE_SEC(1000))), 0);
    check_int(yoke_group_close(shielded, 9), 9); /* it waits, and is not cut short */
    check_int(calls, 1);
    YOKE_SCOPE(scope);
    check_int(yoke_scope_set_deadline(scope, 1), 0);
    check(yoke_deadline() == 1);
    check_int(yoke_scope_cancel(scope, -EXDEV), 0);
    check_int(yoke_scope_stop(scope), 0);
    check(!yoke_stopping());
    check_int(yoke_scope_close(scope, 6), 6);
    yoke_forked f;
    yoke_fork(&f, take_time, NULL);
    check_int(yoke_join(&f), 0);
    (void)yoke_fork_wanted();
    check_int(yoke_spawn_ptr(outside, counted, NULL), 0); /* with room; it looks at the group's cancellation alone */
    check_int(yoke_try_spawn_ptr(outside, counted, NULL), 0);
    check_int(yoke_spawn_ptr_with(outside, (.handle = &h), sleep_long, NULL), 0);
    check(yoke_task_state(h) >= 0);
    check_int(yoke_task_cancel(h), 0);
    check_int(yoke_task_close(h), 0);
    check_int(yoke_token_acquire(&token, outside), 0);
    check_int(yoke_post(token, &node, counted, NULL), 0);
    check_int(yoke_call(token, counted, NULL), -EBUSY); /* for threads that are no workers */
    yoke_token_release(token);
    YOKE_GROUP(other);
    check_int(yoke_group_stop(other), 0);
    check_int(yoke_group_cancel(other, 0), 0);
    check_int(yoke_group_close(other, 0), 0);
}

static void locals_and_talk_while_cancelled(void)
{
    yoke_interval interval;
    yoke_accumulator *sums;
    int zero = 0;
    check_int(yoke_defer(counted, NULL), 0);
    yoke_scope binding = yoke_local_bind(&key, &calls);
    check(yoke_local_get(&key) == &calls);
    check_int(yoke_scope_close(binding, 0), 0);
    check_int(yoke_slot_set(&slot, &calls), 0);
    check(yoke_slot_get(&slot) == &calls);
    check_int(yoke_slot_set(&slot, NULL), 0);
    check_int(yoke_interval_init(&interval, 1, YOKE_SKIP), 0);
    check(yoke_after(YOKE_SEC(1)) > yoke_now());
    check_int(yoke_workers(), 1);
    check_int(yoke_worker_index(), 0);
    check(yoke_task_id() != 0 && strcmp(yoke_task_name(), "main") == 0);
    check_int(yoke_fail(-EIO, "words"), -EIO);
    check_int(yoke_hop(&site, -EIO), -EIO);
    check(strcmp(yoke_message(-EIO), "words") == 0);
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    check_int(yoke_dump(fd), 0);
    close(fd);
    YOKE_NOSUSPEND
        check(yoke_cancelled());
    check_int(yoke_accumulator_create(&sums, &zero, sizeof zero), 0);
    check(yoke_accumulator_local(sums) != NULL);
    check_int(yoke_accumulator_combine(sums, combine, NULL, &zero), 0);
    yoke_accumulator_destroy(sums);
}

static void sync_while_cancelled(void)
{
    int n = 4;
    yoke_event event;
    yoke_mutex mutex;
    yoke_semaphore semaphore;
    yoke_channel *channel;
    yoke_event_init(&event);
    check_int(yoke_event_set(&event), 0);
    check(yoke_event_is_set(&event));
    check_int(yoke_event_reset(&event), 0);
    yoke_mutex_init(&mutex);
    check_int(yoke_mutex_trylock(&mutex), 0);
    check_int(yoke_mutex_trylock(&mutex), -EAGAIN);
    check_int(yoke_mutex_unlock(&mutex), 0);
    check_int(yoke_semaphore_init(&semaphore, 0, 1), 0);
    check_int(yoke_semaphore_release(&semaphore), 0);
    check_int(yoke_semaphore_try_acquire(&semaphore), 0);
    check_int(yoke_channel_create(&channel, sizeof n, 1), 0);
    check_int(yoke_channel_try_send(channel, &n), 0);
    check_int(yoke_channel_try_send(channel, &n), -EAGAIN);
    check_int(yoke_channel_try_receive(channel, &n), 0);
    check_int(yoke_channel_close(channel), 0);
    check_int(yoke_channel_destroy(channel), 0);
}

static void io_while_cancelled(yoke_listener *listener, yoke_file *file)
{
    yoke_stream *a, *b, *shared;
    char text[64];
    int fds[2];
    check_int(yoke_pipe(&a, &b), 0);
    check_int(yoke_close(a), 0);
    check_int(yoke_close(b), 0);
    check_int(yoke_stream_pair(&a, &b), 0);
    check(yoke_stream_fd(a) >= 0);
    check_int(yoke_stream_local(a, text, sizeof text), 0);
    check_int(yoke_stream_peer(a, text, sizeof text), 0);
    check_int(yoke_shutdown(a, YOKE_WRITING), 0);
    check_int(yoke_close(a), 0);
    check_int(yoke_close(b), 0);
    check_int(pipe(fds), 0);
    check_int(yoke_fd_forget(fds[0]), 0);
    check_int(yoke_stream_adopt(&a, fds[0]), 0);
    check_int(yoke_stream_share(&shared, fds[1]), 0);
    check_int(yoke_close(shared), 0);
    check_int(yoke_close(a), 0);
    close(fds[1]);
    int (*const standard[])(yoke_stream **) = { yoke_stdin, yoke_stdout, yoke_stderr };
    for (int i = 0; i < 3; i++)
        if (standard[i](&a) == 0) /* a test may have none */
            check_int(yoke_close(a), 0);
    check(yoke_listener_fd(listener) >= 0);
    check_int(yoke_listener_address(listener, text, sizeof text), 0);
    check_int(yoke_listener_close(listener), 0);
    check(yoke_file_fd(file) >= 0);
    check_int(yoke_file_close(file), 0); /* waits for the pool, shielded */
}

static int pass_by_what_is_none(void *arg)
{
    yoke_listener *listener;
    yoke_file *file;
    (void)arg;
    YOKE_GROUP(outside);
    check_int(yoke_listen(&listener, "127.0.0.1:0", 1), 0);
    check_int(yoke_file_open(&file, "/dev/null", O_RDONLY), 0);
    YOKE_SCOPE(s);
    check_int(yoke_scope_cancel(s, -EXDEV), 0);
    check(yoke_cancelled());
    groups_and_forks_while_cancelled(outside);
    locals_and_talk_while_cancelled();
    sync_while_cancelled();
    io_while_cancelled(listener, file);
    check_int(yoke_yield(), -ECANCELED); /* it was cancelled all the time */
    check_int(yoke_scope_close(s, -ECANCELED), -EXDEV);
    return yoke_group_close(outside, 0);
}

static void what_is_no_point_goes_on(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(run(1, pass_by_what_is_none, NULL), 0);
}

/* ---- on a thread that is no worker -------------------------------------------------------------------------------------------- */

static struct {
    yoke_group group;
    yoke_scope scope;
    yoke_task task;
    yoke_listener *listener;
    yoke_file *file;
} alive;

/* Every call but those that are for any thread. With what belongs to a running task, to one of a run that is over, or to nobody. */
static void call_outside(void)
{
    int no = -ENOTRECOVERABLE, n = 0;
    char text[64];
    yoke_stream *a, *b;
    yoke_token *token;
    yoke_failure failure;
    yoke_interval interval;
    yoke_accumulator *sums;
    for (int i = 0; i < NPOINTS; i++)
        check_call(points[i].name, points[i].call(), no);
    check(!yoke_cancelled() && !yoke_stopping() && yoke_deadline() == YOKE_NEVER);
    check_int(yoke_task_id(), 0);
    check(yoke_task_name()[0] == '\0' && yoke_message(-EIO)[0] == '\0');
    check_int(yoke_workers(), no);
    check_int(yoke_worker_index(), no);
    check_int(yoke_dump(2), no);
    yoke_group g = yoke_group_open(NULL);
    check_int(yoke_spawn_ptr(g, counted, NULL), no);
    check_int(yoke_group_close(g, 0), no);
    check_int(yoke_group_close(g, -EIO), -EIO); /* the body's error came first */
    yoke_scope s = yoke_scope_open(NULL);
    check_int(yoke_scope_close(s, 0), no);
    check_int(yoke_scope_close(yoke_local_bind(&key, &n), 0), no);
    check(yoke_local_get(&key) == NULL && yoke_slot_get(&slot) == NULL);
    check_int(yoke_slot_set(&slot, &n), no);
    check_int(yoke_defer(counted, NULL), no);
    check_int(yoke_spawn_ptr(alive.group, counted, NULL), no);
    check_int(yoke_group_close(alive.group, 0), no);
    check_int(yoke_group_cancel(alive.group, 0), no);
    check_int(yoke_group_stop(alive.group), no);
    check_int(yoke_group_set_deadline(alive.group, 1), no);
    check_int(yoke_group_failure(alive.group, 0, &failure), no);
    check_int(yoke_token_acquire(&token, alive.group), no);
    check_int(yoke_scope_close(alive.scope, 0), no);
    check_int(yoke_scope_cancel(alive.scope, 0), no);
    check_int(yoke_scope_stop(alive.scope), no);
    check_int(yoke_scope_set_deadline(alive.scope, 1), no);
    check_int(yoke_task_state(alive.task), no);
    check_int(yoke_task_cancel(alive.task), no);
    check_int(yoke_task_close(alive.task), no);
    check_int(yoke_event_set(&t.event), no);
    check_int(yoke_event_reset(&t.event), no);
    check_int(yoke_mutex_trylock(&t.mutex), no);
    check_int(yoke_mutex_unlock(&t.mutex), no);
    check_int(yoke_semaphore_try_acquire(&t.semaphore), no);
    check_int(yoke_semaphore_release(&t.semaphore), no);
    yoke_channel *channel;
    check_int(yoke_channel_create(&channel, 4, 1), 0);
    check_int(yoke_channel_try_send(channel, &n), no);
    check_int(yoke_channel_try_receive(channel, &n), no);
    check_int(yoke_channel_close(channel), no);
    check_int(yoke_channel_destroy(channel), 0);
    check_int(yoke_pipe(&a, &b), no);
    check_int(yoke_stream_pair(&a, &b), no);
    check_int(yoke_stream_adopt(&a, 0), no);
    check_int(yoke_stream_share(&a, 0), no);
    check_int(yoke_stdin(&a), no);
    check_int(yoke_stdout(&a), no);
    check_int(yoke_stderr(&a), no);
    check_int(yoke_shutdown(t.readable, YOKE_WRITING), no);
    check_int(yoke_close(t.readable), no);
    check_int(yoke_stream_fd(t.readable), no);
    check_int(yoke_stream_local(t.readable, text, sizeof text), no);
    check_int(yoke_stream_peer(t.readable, text, sizeof text), no);
    check_int(yoke_listener_close(t.listener), no);
    check_int(yoke_listener_fd(t.listener), no);
    check_int(yoke_listener_address(t.listener, text, sizeof text), no);
    check_int(yoke_fd_forget(0), no);
    check_int(yoke_file_close(t.file), no);
    check_int(yoke_file_fd(t.file), no);
    check_int(yoke_accumulator_create(&sums, &n, sizeof n), no);
    check(yoke_accumulator_local(NULL) == NULL);
    check_int(yoke_fail(-EIO, "words"), -EIO); /* only the code survives */
    check_int(yoke_hop(&site, -EIO), -EIO);
    check(yoke_fork_wanted());
    yoke_forked f;
    yoke_fork(&f, counted, NULL);
    check_int(yoke_join(&f), no);
    YOKE_NOSUSPEND
        n++;
    check_int(n, 1);
    check_int(yoke_interval_init(&interval, 1, YOKE_SKIP), 0); /* these are for any thread */
    yoke_token_release(NULL);
    check(yoke_after(-1) <= yoke_now());
}

static int call_outside_in_a_job(void *arg)
{
    (void)arg;
    store(&calls, 0);
    call_outside();
    check_int(load(&calls), 0);
    return 0;
}

static int end_at_once(void *arg)
{
    return arg == NULL ? 0 : -EINVAL;
}

static int start_job(void *arg)
{
    YOKE_GROUP(outside);
    YOKE_GROUP(g, .results = true);
    prepare(outside);
    t.results = t.full = alive.group = g;
    YOKE_SCOPE(s);
    alive.scope = s;
    check_int(yoke_spawn_ptr_with(g, (.handle = &alive.task), end_at_once, arg), 0); /* beside the job: not counted */
    t.done = alive.task;
    check_int(yoke_blocking(call_outside_in_a_job, NULL), 0);
    check_int(yoke_scope_close(s, 0), 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_signal_wait(SIGUSR1), SIGUSR1);
    t.dialled = t.accepted = NULL;
    check_int(yoke_close(t.readable), 0);
    check_int(yoke_close(t.writable), 0);
    check_int(yoke_listener_close(t.listener), 0);
    check_int(yoke_file_close(t.file), 0);
    check_int(yoke_channel_destroy(t.with_room), 0);
    check_int(yoke_channel_destroy(t.with_message), 0);
    close(t.fds[0]);
    close(t.fds[1]);
    unlink(t.path);
    return yoke_group_close(outside, 0);
}

static void outside_of_a_task_every_call_says_so(void **state)
{
    (void)state;
    t.stage = (yoke_stage){ .fn = two_items };
    call_outside(); /* with handles that were never opened */
    assert_checks();
    for (int workers = 1; workers <= 2; workers++) {
        assert_int_equal(run(workers, start_job, NULL), 0); /* in a job of the pool */
        t.with_room = t.with_message = NULL;
        call_outside(); /* with those of a run that is over */
        assert_checks();
    }
}

/* ---- nobody is forgotten ------------------------------------------------------------------------------------------------------ */

/*
 * Not in a table above, since they are for any thread or belong to the one that starts and ends a runtime: yoke_run( yoke_start( yoke_stop(
 * yoke_runtime_token( yoke_runtime_dump( have their tests in run.c, foreign.c and dump.c. For macros: yoke_group_close_report( is
 * yoke_group_close, yoke_spawn_task( is what the spawns are, yoke_fail_at( yoke_group_cancel_at( yoke_group_stop_at( yoke_scope_cancel_at(
 * yoke_scope_stop_at( yoke_task_cancel_at( take a site; yoke_group_leave( yoke_scope_leave( yoke_fork_leave( yoke_token_scoped(
 * yoke_channel_scoped( yoke_stream_scoped( yoke_listener_scoped( yoke_file_scoped( yoke_accumulator_scoped( yoke_nosuspend_enter(
 * yoke_nosuspend_leave( end blocks.
 */

static char *slurp(const char *path, size_t *size)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *all = calloc(1, 1 << 18);
    assert_non_null(all);
    *size = fread(all, 1, (1 << 18) - 1, f);
    fclose(f);
    return all;
}

/* How many functions the header declares; each is to be mentioned in `mine`. */
static int each_function(const char *header, const char *mine)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
    size_t size;
    int n = 0;
    char *text = slurp(header, &size);
    for (char *at = text; (at = strstr(at, "\nYOKE_API ")) != NULL; at++) {
        char *name = at;
        size_t length = 0;
        while ((name = strstr(name + length, "yoke_")) != NULL) { /* the last name before the parenthesis */
            length = strspn(name, letters);
            if (name[length] == '(' || (name[length] == ')' && name[length + 1] == '('))
                break;
        }
        assert_non_null(name);
        if (strncmp(name, "yoke__", 6) == 0)
            continue;
        char call[80];
        snprintf(call, sizeof call, "%.*s(", (int)length, name);
        if (strstr(mine, call) == NULL)
            fail_msg("%s is declared in %s, and not in a table of points.c", call, header);
        n++;
    }
    free(text);
    return n;
}

static void every_public_function_has_its_place(void **state)
{
    (void)state;
    static const char *const rooms[] = { "executor/include/yoke", "io/include/yoke/io", "sync/include/yoke/sync", "parallel/include/yoke" };
    size_t size;
    char *mine = slurp(__FILE__, &size);
    int found = 0;
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%.*s/../../%s", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__, rooms[i]);
        DIR *dir = opendir(path);
        assert_non_null(dir);
        for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
            char header[4400];
            size_t length = strlen(entry->d_name);
            if (length < 3 || strcmp(entry->d_name + length - 2, ".h") != 0)
                continue;
            snprintf(header, sizeof header, "%s/%s", path, entry->d_name);
            found += each_function(header, mine);
        }
        closedir(dir);
    }
    free(mine);
    assert_true(found > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_point_is_checked_first_and_nothing_happens),
        cmocka_unit_test(what_is_no_point_goes_on),
        cmocka_unit_test(outside_of_a_task_every_call_says_so),
        cmocka_unit_test(every_public_function_has_its_place),
    };
    signal(SIGUSR1, SIG_IGN); /* one that comes when the run is over already */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
