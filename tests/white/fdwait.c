/*
 * Events of others' descriptors that come late: the poller has fetched one, and meanwhile its waiter is gone and somebody else waits. On one
 * worker, with the poller's part played by hand: between the fetching and the telling lies whatever the test does.
 */
#include "support.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "reactor.h"
#include "worker.h"

static int waiting; /* tasks that have come as far as their wait: on one worker they wait in it as soon as another task sees this */

static struct yoke__reactor *reactor(void)
{
    int err = 0;
    struct yoke__reactor *r = yoke__reactor_here(&err);
    check_int(err, 0);
    return r;
}

static struct yoke__fdwait slot(int fd)
{
    struct yoke__fdwaits *table = &reactor()->fdwaits;
    yoke__lock_acquire(&table->lock);
    struct yoke__fdwait copy = table->slots[fd];
    yoke__lock_release(&table->lock);
    return copy;
}

/* What the kernel would say of the present arming. */
static uint64_t fetch(int fd)
{
    return yoke__fdwait_tag(fd, slot(fd).arming);
}

/* How many are woken by it. */
static int tell(uint64_t tag, uint32_t events)
{
    struct yoke__fiber *woken = NULL;
    int n = 0;
    yoke__fdwait_event(reactor(), tag, events, &woken);
    for (const struct yoke__fiber *f = woken; f != NULL; f = f->next)
        n++;
    yoke__ready_list(reactor()->rt, woken);
    return n;
}

static int readable(void *arg)
{
    add(&waiting, 1);
    return yoke_fd_readable(*(int *)arg);
}

static int writable(void *arg)
{
    add(&waiting, 1);
    return yoke_fd_writable(*(int *)arg);
}

static void begin(yoke_group g, yoke_task *task, yoke_fn fn, int fd)
{
    int before = load(&waiting);
    check_int(yoke_spawn_with(g, (.handle = task), fn, int, fd), 0);
    while (load(&waiting) == before)
        check_int(yoke_yield(), 0);
}

static void cut(yoke_task task)
{
    int result;
    check_int(yoke_task_cancel(task), 0);
    check_int(yoke_task_await(task, &result), 0);
    check_int(result, -ECANCELED);
}

static void ends_with(yoke_task task, int want)
{
    int result;
    check_int(yoke_task_await(task, &result), 0);
    check_int(result, want);
}

static int after_a_cancel(void *arg)
{
    int fds[2];
    (void)arg;
    check_int(pipe(fds), 0);
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    yoke_task first, second;
    begin(g, &first, readable, fds[0]);
    uint64_t late = fetch(fds[0]);
    cut(first);
    begin(g, &second, readable, fds[0]);
    check_int(tell(late, EPOLLIN), 0); /* what it tells of has been read */
    check(slot(fds[0]).waiter[YOKE__IO_READ] != NULL);
    check_int(write(fds[1], "x", 1), 1);
    ends_with(second, 0);
    close(fds[1]);
    check_int(yoke_fd_forget(fds[0]), 0);
    close(fds[0]);
    return yoke_group_close(g, 0);
}

/* One event was told, and another one of the arming before it is on its way. */
static int after_another(void *arg)
{
    int fds[2];
    (void)arg;
    check_int(pipe(fds), 0);
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    yoke_task task;
    begin(g, &task, readable, fds[0]);
    uint64_t now = fetch(fds[0]);
    check_int(tell(now, EPOLLIN), 1);
    ends_with(task, 0);
    check_int(tell(now, EPOLLIN), 0); /* for nobody */
    begin(g, &task, readable, fds[0]);
    check_int(tell(now, EPOLLIN), 0);
    check(slot(fds[0]).waiter[YOKE__IO_READ] != NULL);
    check_int(tell(fetch(fds[0]), EPOLLIN), 1);
    ends_with(task, 0);
    close(fds[0]);
    close(fds[1]);
    return yoke_group_close(g, 0);
}

/* The number is given to another descriptor. */
static int after_a_close(void *arg)
{
    int fds[2], again[2];
    (void)arg;
    check_int(pipe(fds), 0);
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    yoke_task first, second;
    begin(g, &first, readable, fds[0]);
    uint64_t late = fetch(fds[0]);
    check_int(yoke_fd_forget(fds[0]), 0);
    close(fds[0]);
    close(fds[1]);
    ends_with(first, -EBADF);
    check_int(pipe(again), 0);
    check_int(again[0], fds[0]);
    begin(g, &second, readable, again[0]);
    check_int(tell(late, EPOLLIN | EPOLLHUP), 0);
    check(slot(again[0]).waiter[YOKE__IO_READ] != NULL);
    cut(second);
    close(again[0]);
    close(again[1]);
    return yoke_group_close(g, 0);
}

/* Who comes for the other direction arms for both: the earlier event is void, and asked for anew. */
static int in_both_directions(void *arg)
{
    int ends[2];
    char much[4096] = { 0 };
    (void)arg;
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    while (write(ends[0], much, sizeof much) > 0)
        ; /* until it is full */
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    yoke_task reader, writer;
    begin(g, &reader, readable, ends[0]);
    uint64_t late = fetch(ends[0]);
    begin(g, &writer, writable, ends[0]);
    check_int(tell(late, EPOLLIN), 0);
    check(slot(ends[0]).waiter[YOKE__IO_READ] != NULL && slot(ends[0]).waiter[YOKE__IO_WRITE] != NULL);
    uint64_t now = fetch(ends[0]);
    check_int(tell(now, EPOLLOUT), 1);
    ends_with(writer, 0);
    check(fetch(ends[0]) != now); /* its shot is gone: the reader has got a new one */
    check_int(write(ends[1], "x", 1), 1);
    ends_with(reader, 0);
    check_int(yoke_fd_forget(ends[0]), 0);
    close(ends[0]);
    close(ends[1]);
    return yoke_group_close(g, 0);
}

static void a_late_event_wakes_nobody_else(void **state)
{
    (void)state;
    yoke_fn mains[] = { after_a_cancel, after_another, after_a_close, in_both_directions };
    for (size_t i = 0; i < sizeof mains / sizeof *mains; i++)
        assert_int_equal(run(1, mains[i], NULL), 0);
}

/* The largest numbers of both kinds keep apart. */
static void a_tag_has_room_for_both(void **state)
{
    (void)state;
    assert_int_equal(yoke__fdwait_fd(yoke__fdwait_tag(INT32_MAX, UINT32_MAX)), INT32_MAX);
    assert_int_equal(yoke__fdwait_fd(yoke__fdwait_tag(0, UINT32_MAX)), 0);
    assert_true(yoke__fdwait_tag(7, 1) != yoke__fdwait_tag(7, 2));
    assert_true((yoke__fdwait_tag(7, 1) & YOKE__FOREIGN) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_event_wakes_nobody_else),
        cmocka_unit_test(a_tag_has_room_for_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
