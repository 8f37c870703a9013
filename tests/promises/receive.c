/*
 * Many readers for whom something has come at the same moment, who may be received for together (io_uring) or one by one: nobody gets
 * what is another's, nothing is lost by a cancel or a deadline, none is left asleep. Run with either.
 */
#include "support.h"

#include <netinet/in.h>

#include <yoke/io/stream.h>
#include <yoke/yoke.h>

enum { PAIRS = 24, MOST = 40000 };

/* What is sent on one stream: byte n of stream i. */
static unsigned char byte_of(int i, uint64_t n)
{
    return (unsigned char)((n * 31 + n / 251) ^ (uint64_t)(unsigned)i * 17);
}

struct one {
    int index;
    yoke_stream *stream;
    uint64_t total;
};

static int cancels, reads; /* that happened */

/* Whole messages of random sizes, with pauses, so that many are sent at once and the readers sleep in between. */
static int send_all(void *arg)
{
    const struct one *me = arg;
    uint64_t r = seed() + (uint64_t)me->index, at = 0;
    unsigned char text[2048];
    while (at < me->total) {
        size_t n = 1 + next_random(&r) % (next_random(&r) % 4 == 0 ? sizeof text : 64);
        n = n < me->total - at ? n : (size_t)(me->total - at);
        for (size_t k = 0; k < n; k++)
            text[k] = byte_of(me->index, at + k);
        YOKE_TRY(yoke_write_all(me->stream, text, n, NULL));
        at += n;
        if (next_random(&r) % 3 == 0)
            YOKE_TRY(yoke_sleep((int64_t)(next_random(&r) % 200000)));
    }
    return yoke_shutdown(me->stream, YOKE_WRITING);
}

/* Now and then under a deadline that comes at about the time of the bytes. */
static int receive_all(void *arg)
{
    const struct one *me = arg;
    uint64_t r = seed() * 3 + (uint64_t)me->index, at = 0;
    unsigned char *text = malloc(MOST);
    ssize_t n = 1;
    while (text != NULL && n > 0) {
        size_t size = 1 + next_random(&r) % (next_random(&r) % 8 == 0 ? MOST : 100); /* more than one receives for others, too */
        bool hurried = next_random(&r) % 2 == 0;
        memset(text, 0xee, size);
        if (hurried) {
            YOKE_SCOPE(s, .deadline = yoke_after((int64_t)(next_random(&r) % 150000)));
            n = yoke_read(me->stream, text, size);
            int rc = yoke_scope_close(s, n < 0 ? (int)n : 0);
            check(n >= 0 ? rc == 0 : n == -ECANCELED && rc == -ETIMEDOUT);
        } else {
            n = yoke_read(me->stream, text, size);
        }
        if (n == -ECANCELED) {
            add(&cancels, 1);
            check_int(text[0], 0xee); /* it has not been written to */
            n = 1;
            continue;
        }
        check(n >= 0 && (size_t)n <= size);
        for (ssize_t k = 0; k < n; k++)
            check_int(text[k], byte_of(me->index, at + (uint64_t)k));
        if (n >= 0 && (size_t)n < size)
            check_int(text[n], 0xee); /* nor behind its end */
        at += (uint64_t)(n > 0 ? n : 0);
        add(&reads, 1);
    }
    free(text);
    check_int(at, me->total);
    return (int)n;
}

static int by_tcp; /* else socket pairs */

static int connect_two(yoke_listener *listener, const char *address, yoke_stream **a, yoke_stream **b)
{
    if (!by_tcp)
        return yoke_stream_pair(a, b);
    YOKE_TRY(yoke_dial(a, address));
    return yoke_accept(listener, b);
}

static int crowd(void *arg)
{
    (void)arg;
    char address[64];
    yoke_stream *a[PAIRS] = { NULL }, *b[PAIRS] = { NULL };
    YOKE_SCOPED(yoke_listener) listener = NULL;
    YOKE_TRY(yoke_listen(&listener, "127.0.0.1:0", 0));
    YOKE_TRY(yoke_listener_address(listener, address, sizeof address));
    for (int i = 0; i < PAIRS; i++)
        YOKE_TRY(connect_two(listener, address, &a[i], &b[i]));
    YOKE_GROUP(g);
    for (int i = 0; i < PAIRS; i++) { /* both directions */
        uint64_t total = (uint64_t)repetitions(100000);
        check_int(yoke_spawn(g, receive_all, struct one, .index = 2 * i, .stream = a[i], .total = total), 0);
        check_int(yoke_spawn(g, receive_all, struct one, .index = 2 * i + 1, .stream = b[i], .total = total), 0);
        check_int(yoke_spawn(g, send_all, struct one, .index = 2 * i, .stream = b[i], .total = total), 0);
        check_int(yoke_spawn(g, send_all, struct one, .index = 2 * i + 1, .stream = a[i], .total = total), 0);
    }
    int rc = yoke_group_close(g, 0);
    for (int i = 0; i < PAIRS; i++) {
        check_int(yoke_close(a[i]), 0);
        check_int(yoke_close(b[i]), 0);
    }
    return rc;
}

static void everybody_gets_what_is_his(void **state)
{
    (void)state;
    (void)seed();
    for (by_tcp = 0; by_tcp < 2; by_tcp++)
        for (int workers = 1; workers <= 4; workers += 3) {
            cancels = reads = 0;
            assert_int_equal(run(workers, crowd, NULL), 0);
            assert_true(reads > 0);
            assert_true(cancels > 0);
        }
}

/* ---- ends ---- */

static int ends[3]; /* with 0, -ECONNRESET, -EBADF */

static int read_to_the_end(void *arg)
{
    char text[4];
    ssize_t n;
    while ((n = yoke_read(*(yoke_stream **)arg, text, sizeof text)) > 0) /* what was sent before comes first */
        check(n == 1 && text[0] == 'x');
    check(n == 0 || n == -ECONNRESET || n == -EBADF);
    add(&ends[n == 0 ? 0 : n == -ECONNRESET ? 1 : 2], 1);
    return 0;
}

/*
 * A third of the streams ends, a third is reset, a third is closed here, all at once, under their sleeping readers; something has been sent on
 * every second one.
 */
static int end_all(void *arg)
{
    (void)arg;
    char address[64];
    yoke_stream *a[PAIRS], *b[PAIRS];
    YOKE_SCOPED(yoke_listener) listener = NULL;
    YOKE_TRY(yoke_listen(&listener, "127.0.0.1:0", 0));
    YOKE_TRY(yoke_listener_address(listener, address, sizeof address));
    by_tcp = 1;
    YOKE_GROUP(g);
    for (int i = 0; i < PAIRS; i++) {
        YOKE_TRY(connect_two(listener, address, &a[i], &b[i]));
        check_int(yoke_spawn(g, read_to_the_end, yoke_stream *, a[i]), 0);
    }
    YOKE_TRY(yoke_sleep(YOKE_MS(5)));
    const struct linger at_once = { .l_onoff = 1, .l_linger = 0 }; /* close resets it [socket(7)] */
    for (int i = 1; i < PAIRS; i += 3)
        check_int(setsockopt(yoke_stream_fd(b[i]), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    for (int i = 0; i < PAIRS; i++)
        if (i % 2 == 0)
            check_int(yoke_write_all(b[i], "x", 1, NULL), 0);
    for (int i = 0; i < PAIRS; i++)
        check_int(yoke_close(i % 3 == 2 ? a[i] : b[i]), 0);
    int rc = yoke_group_close(g, 0);
    for (int i = 0; i < PAIRS; i++)
        check_int(yoke_close(i % 3 == 2 ? b[i] : a[i]), 0);
    return rc;
}

static void everybody_learns_of_his_end(void **state)
{
    (void)state;
    for (int round = 0; round < repetitions(100); round++) {
        ends[0] = ends[1] = ends[2] = 0;
        assert_int_equal(run(round % 2 == 0 ? 1 : 3, end_all, NULL), 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(ends[i], PAIRS / 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_gets_what_is_his),
        cmocka_unit_test(everybody_learns_of_his_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
