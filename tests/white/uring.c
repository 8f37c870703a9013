/* Many receives by one call: each has its own end; what the kernel does not take is left as it was. */
#include "support.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os.h"
#include "uring.h"

enum { MOST = 8 };

static struct yoke__uring *ring;
static bool served;
static int ends[MOST][2];
static char buffers[MOST][16];
static struct yoke__receive receives[MOST], *list[MOST];

static int setup(void **state)
{
    int err;
    (void)state;
    ring = yoke__uring_open(MOST, &err);
    for (int i = 0; i < MOST; i++)
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i]) < 0) /* blocking ones: the receive alone does not wait */
            return -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    yoke__os_fault_clear();
    yoke__uring_close(ring);
    for (int i = 0; i < MOST; i++)
        for (int end = 0; end < 2; end++)
            if (ends[i][end] >= 0)
                close(ends[i][end]);
    return 0;
}

static void drop(int i, int end)
{
    close(ends[i][end]);
    ends[i][end] = -1;
}

/* Asks for 16 bytes of each. */
static void receive(int n)
{
    if (ring == NULL)
        skip(); /* not granted */
    for (int i = 0; i < n; i++) {
        receives[i] = (struct yoke__receive){ .fd = ends[i][0], .buffer = buffers[i], .size = sizeof buffers[i], .result = 12345 };
        list[i] = &receives[i];
    }
    memset(buffers, 0, sizeof buffers);
    served = yoke__uring_receive(ring, list, n);
}

static void put(int i, const char *text)
{
    assert_int_equal(send(ends[i][1], text, strlen(text), 0), (ssize_t)strlen(text));
}

static void assert_got(int i, const char *text)
{
    assert_int_equal(receives[i].result, (ssize_t)strlen(text));
    assert_memory_equal(buffers[i], text, strlen(text));
}

static void each_has_its_own_end(void **state)
{
    (void)state;
    put(0, "one");
    put(2, "sixteen letters and more");
    drop(3, 1); /* the end of a stream */
    put(4, "last");
    drop(4, 1); /* what was sent before comes first */
    drop(5, 0); /* no descriptor */
    receive(7);
    assert_got(0, "one");
    assert_int_equal(receives[1].result, -EAGAIN); /* nothing there: it does not wait */
    assert_got(2, "sixteen letters ");
    assert_int_equal(receives[3].result, 0);
    assert_got(4, "last");
    assert_int_equal(receives[5].result, -EAGAIN); /* recv(2) will tell */
    assert_int_equal(receives[6].result, -EAGAIN);
    receive(5);
    assert_int_equal(receives[0].result, -EAGAIN);
    assert_got(2, "and more");
    assert_int_equal(receives[4].result, 0);
}

static void it_goes_round(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        int n = 1 + round % MOST;
        char text[32];
        for (int i = 0; i < n; i++) {
            snprintf(text, sizeof text, "%d of %d", i, round);
            put(i, text);
        }
        receive(n);
        for (int i = 0; i < n; i++) {
            snprintf(text, sizeof text, "%d of %d", i, round);
            assert_got(i, text);
        }
    }
}

static void what_is_not_taken_is_left(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        put(i, "abc");
    yoke__os_fault_set(YOKE__OS_URING_ENTER, 1, EAGAIN);
    receive(4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(receives[i].result, -EAGAIN);
    for (int i = 0; i < 4; i++)
        assert_int_equal(buffers[i][0], 0);
    assert_int_equal(recv(ends[1][0], buffers[1], 16, 0), 3); /* by itself */
    drop(1, 0); /* were it still queued, it would now go wrong */
    list[0] = &receives[0];
    receives[0].result = 12345;
    assert_true(yoke__uring_receive(ring, list, 1));
    assert_got(0, "abc");
    put(0, "d");
    list[0] = &receives[2];
    list[1] = &receives[0];
    assert_true(yoke__uring_receive(ring, list, 2));
    assert_got(0, "d");
    assert_got(2, "abc");
    assert_int_equal(receives[1].result, -EAGAIN); /* not touched since */
}

/* Errors that a socket tells once are told; the others are left to recv(2), which tells them again. */
static void an_error_is_told_once(void **state)
{
    (void)state;
    put(0, "unread");
    drop(0, 0); /* with something unread: the other end is told of a reset [unix(7)] */
    int reset = ends[0][1];
    ends[0][1] = -1;
    ends[0][0] = reset;
    int plain[2];
    assert_int_equal(pipe(plain), 0);
    drop(1, 0);
    drop(1, 1);
    ends[1][0] = plain[0]; /* no socket */
    ends[1][1] = plain[1];
    receive(3);
    assert_int_equal(receives[0].result, -ECONNRESET);
    assert_int_equal(receives[1].result, -EAGAIN);
    assert_true(served);
    receive(1);
    assert_int_equal(receives[0].result, 0);
}

static void a_ring_that_is_not_served_says_so(void **state)
{
    static const struct {
        int err;
        bool served;
    } errors[] = { { EAGAIN, true }, { EINTR, true }, { EBUSY, true }, { ENOMEM, true }, { EPERM, false }, { ENOSYS, false }, { EBADF, false } };
    (void)state;
    put(0, "abc");
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        yoke__os_fault_set(YOKE__OS_URING_ENTER, 1, errors[i].err);
        receive(2);
        assert_int_equal(served, errors[i].served);
        assert_int_equal(receives[0].result, -EAGAIN);
    }
    receive(2);
    assert_true(served);
    assert_got(0, "abc");
}

static void some_fail_as_they_are_told_to(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        put(i, "abc");
    yoke__os_fault_set(YOKE__OS_READ_BYTES, 2, ECONNRESET);
    receive(4);
    assert_got(0, "abc");
    assert_int_equal(receives[1].result, -ECONNRESET);
    assert_got(2, "abc");
    assert_got(3, "abc");
    yoke__os_fault_set(YOKE__OS_READ_BYTES, 1, -2); /* a short count */
    receive(2);
    assert_int_equal(receives[0].result, -EAGAIN);
    assert_got(1, "abc");
    yoke__os_fault_set(YOKE__OS_READ_BYTES, 1, -2);
    put(0, "xyz");
    receive(1);
    assert_got(0, "xy");
}

static void it_does_not_open(void **state)
{
    static const struct {
        enum yoke__os_call which;
        int nth, err;
    } faults[] = { { YOKE__OS_ALLOC, 1, ENOMEM }, { YOKE__OS_URING, 1, EPERM }, { YOKE__OS_URING_MAP, 1, ENOMEM }, { YOKE__OS_URING_MAP, 2, EAGAIN } };
    (void)state;
    if (ring == NULL)
        skip();
    int free_fd = dup(0), err;
    close(free_fd);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct yoke__os_taken before = yoke__os_taken();
        yoke__os_fault_set(faults[i].which, faults[i].nth, faults[i].err);
        err = 0;
        assert_null(yoke__uring_open(MOST, &err));
        assert_int_equal(err, -faults[i].err);
        yoke__os_fault_clear();
        assert_int_equal(yoke__os_taken().pieces, before.pieces);
        int fd = dup(0);
        assert_int_equal(fd, free_fd); /* none was left open */
        close(fd);
    }
    yoke__uring_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_has_its_own_end, setup, teardown),
        cmocka_unit_test_setup_teardown(it_goes_round, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_taken_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_is_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_ring_that_is_not_served_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(some_fail_as_they_are_told_to, setup, teardown),
        cmocka_unit_test_setup_teardown(it_does_not_open, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
