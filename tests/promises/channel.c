/* Channels, exactly: capacity, order, cancel before and after the transfer, closing, destroying. In a crowd: channel_crowd.c. */
#include "sync.h"

enum { CROWD = 6 };

static yoke_channel *channel;
static int arrived, done, arrival[CROWD], results[CROWD];
static long values[CROWD];

static void begin(size_t capacity)
{
    check_int(yoke_channel_create(&channel, sizeof(long), capacity), 0);
    arrived = done = 0;
    memset(results, 0, sizeof results);
    for (int i = 0; i < CROWD; i++)
        values[i] = -1;
}

static void end(void)
{
    check_int(yoke_channel_destroy(channel), 0);
    channel = NULL;
}

static int send(long value)
{
    return yoke_channel_send(channel, &value);
}

static int try_send(long value)
{
    return yoke_channel_try_send(channel, &value);
}

static long receive(void)
{
    long value = -1;
    int rc = yoke_channel_receive(channel, &value);
    return rc < 0 ? rc : value;
}

static long try_receive(void)
{
    long value = -1;
    int rc = yoke_channel_try_receive(channel, &value);
    return rc < 0 ? rc : value;
}

static int come_to_send(void *arg)
{
    int me = *(int *)arg;
    arrival[add(&arrived, 1)] = me;
    results[me] = send(100 + me);
    add(&done, 1);
    return 0;
}

static int come_to_receive(void *arg)
{
    int me = *(int *)arg;
    arrival[add(&arrived, 1)] = me;
    results[me] = yoke_channel_receive(channel, &values[me]);
    add(&done, 1);
    return 0;
}

static void spawn_crowd(yoke_group g, yoke_fn fn, int n, yoke_task *h)
{
    for (int i = 0; i < n; i++)
        check_int(h != NULL ? yoke_spawn_with(g, (.handle = &h[i]), fn, int, i) : yoke_spawn(g, fn, int, i), 0);
    until(&arrived, n);
    check_int(done, 0);
}

/* ---- the ring ---- */

static int ring(void *arg)
{
    (void)arg;
    for (size_t capacity = 0; capacity <= 4; capacity++) {
        begin(capacity);
        for (int turn = 0; turn < 5; turn++) {
            for (size_t i = 0; i < capacity; i++)
                check_int(i % 2 ? send((long)i + turn) : try_send((long)i + turn), 0);
            check_int(try_send(9), -EAGAIN);
            for (size_t i = 0; i < capacity; i++)
                check_int(i % 2 ? try_receive() : receive(), (long)i + turn);
            check_int(try_receive(), -EAGAIN);
            if (capacity > 1) { /* begins somewhere else next time */
                check_int(send(1), 0);
                check_int(receive(), 1);
            }
        }
        end();
    }
    for (size_t size = 1; size < 70; size += 3) { /* so many bytes and no other */
        char out[72], in[72];
        YOKE_SCOPED(yoke_channel) c = NULL;
        check_int(yoke_channel_create(&c, size, 3), 0);
        for (int turn = 0; turn < 7; turn++) {
            memset(out, turn + 1, sizeof out);
            memset(in, 99, sizeof in);
            check_int(yoke_channel_send(c, out), 0);
            check_int(yoke_channel_receive(c, in), 0);
            check(memcmp(in, out, size) == 0 && in[size] == 99);
        }
    }
    return 0;
}

static int misuse(void *arg)
{
    long value = 0;
    (void)arg;
    check_int(yoke_channel_create(NULL, 1, 1), -EINVAL);
    check_int(yoke_channel_create(&channel, 0, 1), -EINVAL);
    check(channel == NULL);
    check_int(yoke_channel_create(&channel, SIZE_MAX / 4, 5), -ENOMEM);
    check_int(yoke_channel_create(&channel, 1, SIZE_MAX), -ENOMEM);
    check(channel == NULL);
    check_int(yoke_channel_send(NULL, &value), -EINVAL);
    check_int(yoke_channel_try_receive(NULL, &value), -EINVAL);
    check_int(yoke_channel_close(NULL), -EINVAL);
    check_int(yoke_channel_destroy(NULL), 0);
    begin(1);
    check_int(yoke_channel_receive(channel, NULL), -EINVAL);
    check_int(yoke_channel_try_send(channel, NULL), -EINVAL);
    end();
    return 0;
}

static void it_holds_so_many_messages_of_one_size(void **state)
{
    long value = 0;
    (void)state;
    for (int workers = 1; workers <= 4; workers++) {
        assert_int_equal(run(workers, ring, NULL), 0);
        assert_int_equal(run(workers, misuse, NULL), 0);
    }
    assert_int_equal(yoke_channel_create(&channel, 8, 1), 0); /* and outside of a task */
    assert_int_equal(yoke_channel_send(channel, &value), -ENOTRECOVERABLE);
    assert_int_equal(yoke_channel_try_send(channel, &value), -ENOTRECOVERABLE);
    assert_int_equal(yoke_channel_receive(channel, &value), -ENOTRECOVERABLE);
    assert_int_equal(yoke_channel_try_receive(channel, &value), -ENOTRECOVERABLE);
    assert_int_equal(yoke_channel_close(channel), -ENOTRECOVERABLE);
    assert_int_equal(yoke_channel_destroy(channel), 0);
}

/* ---- order ---- */

static int senders_in_order(void *arg)
{
    (void)arg;
    for (size_t capacity = 0; capacity <= 3; capacity++) {
        begin(capacity);
        for (size_t i = 0; i < capacity; i++)
            check_int(send((long)i), 0);
        YOKE_GROUP(g);
        spawn_crowd(g, come_to_send, CROWD, NULL);
        for (size_t i = 0; i < capacity; i++)
            check_int(receive(), (long)i); /* what lay there; each makes room for a sender */
        check_int(try_send(9), -EAGAIN);   /* the room was taken by senders that have not run */
        for (int i = 0; i < CROWD; i++)
            check_int(i % 2 ? receive() : try_receive(), 100 + arrival[i]);
        check_int(done, 0);
        check_int(try_receive(), -EAGAIN);
        check_int(yoke_group_close(g, 0), 0);
        check_int(done, CROWD);
        for (int i = 0; i < CROWD; i++)
            check_int(results[i], 0);
        end();
    }
    return 0;
}

static int receivers_in_order(void *arg)
{
    (void)arg;
    for (size_t capacity = 0; capacity <= 3; capacity++) {
        begin(capacity);
        YOKE_GROUP(g);
        spawn_crowd(g, come_to_receive, CROWD, NULL);
        for (int i = 0; i < CROWD; i++) {
            check_int(i % 2 ? send(100 + i) : try_send(100 + i), 0); /* even with no capacity: somebody waits */
            check_int(try_receive(), -EAGAIN);                       /* handed to one that has not run */
        }
        check_int(done, 0);
        check_int(yoke_group_close(g, 0), 0);
        for (int i = 0; i < CROWD; i++) {
            check_int(results[arrival[i]], 0);
            check_int(values[arrival[i]], 100 + i);
        }
        end();
    }
    return 0;
}

static int forks(void *arg)
{
    (void)arg;
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        int me = 4;
        yoke_forked f;
        begin(capacity);
        yoke_fork(&f, come_to_send, &me);
        check_int(receive(), 104); /* somebody takes the fork */
        check_int(yoke_join(&f), 0);
        check_int(results[4], 0);
        end();
    }
    return 0;
}

static void those_who_wait_are_served_in_order(void **state)
{
    (void)state;
    assert_int_equal(run(1, senders_in_order, NULL), 0);
    assert_int_equal(run(1, receivers_in_order, NULL), 0);
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, forks, NULL), 0);
}

/* ---- cancel ---- */

static int cancelled_senders(void *arg)
{
    (void)arg;
    yoke_task h[3];
    for (size_t capacity = 0; capacity <= 2; capacity++) {
        begin(capacity);
        for (size_t i = 0; i < capacity; i++)
            check_int(send((long)i), 0);
        YOKE_GROUP(g);
        spawn_crowd(g, come_to_send, 3, h);
        check_int(yoke_task_cancel(h[arrival[0]]), 0); /* before there is room */
        for (size_t i = 0; i < capacity; i++)
            check_int(receive(), (long)i);
        check_int(receive(), 100 + arrival[1]); /* the first one's message is not there */
        check_int(receive(), 100 + arrival[2]);
        check_int(try_receive(), -EAGAIN);
        check_int(yoke_task_cancel(h[arrival[1]]), 0); /* after it was taken: the effect wins */
        check_int(yoke_group_close(g, 0), 0);
        check_int(results[arrival[0]], -ECANCELED);
        check_int(results[arrival[1]], 0);
        check_int(results[arrival[2]], 0);
        end();
    }
    return 0;
}

static int cancelled_receivers(void *arg)
{
    (void)arg;
    yoke_task h[3];
    for (size_t capacity = 0; capacity <= 2; capacity++) {
        begin(capacity);
        YOKE_GROUP(g);
        spawn_crowd(g, come_to_receive, 3, h);
        check_int(yoke_task_cancel(h[arrival[0]]), 0); /* before the message comes */
        check_int(send(7), 0);
        check_int(send(8), 0);
        check_int(try_send(9), capacity > 0 ? 0 : -EAGAIN); /* nobody waits any more */
        check_int(yoke_task_cancel(h[arrival[1]]), 0);      /* after it came: the effect wins */
        check_int(yoke_group_close(g, 0), 0);
        check_int(results[arrival[0]], -ECANCELED);
        check_int(values[arrival[0]], -1); /* not written to */
        check_int(results[arrival[1]], 0);
        check_int(values[arrival[1]], 7);
        check_int(values[arrival[2]], 8);
        check_int(try_receive(), capacity > 0 ? 9 : -EAGAIN);
        end();
    }
    return 0;
}

static int points(void *arg)
{
    (void)arg;
    begin(2);
    check_int(send(5), 0);
    YOKE_SCOPE(s);
    check_int(yoke_scope_cancel(s, -EXDEV), 0);
    check_int(send(6), -ECANCELED); /* checked first, though there is room */
    check_int(receive(), -ECANCELED);
    check_int(try_send(7), 0); /* these are none */
    check_int(try_receive(), 5);
    check_int(yoke_channel_close(channel), 0);
    check_int(send(6), -ECANCELED);
    leave(s, -ECANCELED);
    check_int(receive(), 7);
    check_int(receive(), -ENODATA);
    end();
    begin(0);
    YOKE_SCOPE(late, .deadline = yoke_after(YOKE_US(200)));
    check_int(yoke_scope_close(late, send(6)), -ETIMEDOUT);
    YOKE_SCOPE(later, .deadline = yoke_after(YOKE_US(200)));
    check_int(yoke_scope_close(later, (int)receive()), -ETIMEDOUT);
    check_int(try_receive(), -EAGAIN);
    end();
    return 0;
}

static void transfer_and_cancel_agree_on_who_was_first(void **state)
{
    (void)state;
    assert_int_equal(run(1, cancelled_senders, NULL), 0);
    assert_int_equal(run(1, cancelled_receivers, NULL), 0);
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, points, NULL), 0);
}

/* ---- close ---- */

static int closing(void *arg)
{
    (void)arg;
    for (size_t capacity = 0; capacity <= 3; capacity++) {
        { /* senders wait */
            begin(capacity);
            for (size_t i = 0; i < capacity; i++)
                check_int(send((long)i), 0);
            YOKE_GROUP(g);
            spawn_crowd(g, come_to_send, CROWD, NULL);
            check_int(yoke_channel_close(channel), 0);
            check_int(yoke_channel_close(channel), -EINVAL);
            check_int(send(9), -EPIPE);
            check_int(try_send(9), -EPIPE);
            check_int(yoke_group_close(g, 0), 0);
            for (int i = 0; i < CROWD; i++)
                check_int(results[i], -EPIPE);
            for (size_t i = 0; i < capacity; i++)
                check_int(i % 2 ? receive() : try_receive(), (long)i); /* what lies there is there */
            check_int(receive(), -ENODATA);
            check_int(try_receive(), -ENODATA);
            end();
        }
        { /* receivers wait; one of them has its message already, one was cancelled */
            yoke_task h[CROWD];
            begin(capacity);
            YOKE_GROUP(g);
            spawn_crowd(g, come_to_receive, CROWD, h);
            check_int(send(7), 0);
            check_int(yoke_task_cancel(h[arrival[1]]), 0);
            check_int(yoke_channel_close(channel), 0);
            check_int(yoke_group_close(g, 0), 0);
            check_int(values[arrival[0]], 7);
            check_int(results[arrival[1]], -ECANCELED);
            for (int i = 2; i < CROWD; i++) {
                check_int(results[arrival[i]], -ENODATA);
                check_int(values[arrival[i]], -1);
            }
            end();
        }
    }
    return 0;
}

static int destroying(void *arg)
{
    (void)arg;
    for (int receivers = 0; receivers < 2; receivers++) {
        begin(0);
        YOKE_GROUP(g);
        yoke_task h[CROWD];
        spawn_crowd(g, receivers ? come_to_receive : come_to_send, CROWD, h);
        check_int(yoke_task_cancel(h[2]), 0);
        end(); /* its memory stays until they have left */
        check_int(yoke_group_close(g, 0), 0);
        for (int i = 0; i < CROWD; i++)
            check_int(results[i], i == 2 ? -ECANCELED : receivers ? -ENODATA : -EPIPE);
    }
    return 0;
}

static int destroyed_by_nobody(void *arg)
{
    int rc = yoke_channel_destroy(arg);
    channel = rc == 0 ? NULL : channel;
    return rc;
}

static int destroy_outside(void *arg)
{
    (void)arg;
    begin(0);
    YOKE_GROUP(g);
    spawn_crowd(g, come_to_send, 1, NULL);
    check_int(yoke_blocking(destroyed_by_nobody, channel), -ENOTRECOVERABLE);
    check_int(receive(), 100); /* nothing has happened */
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_blocking(destroyed_by_nobody, channel), 0);
    return 0;
}

static void closing_wakes_all_who_wait(void **state)
{
    (void)state;
    assert_int_equal(run(1, closing, NULL), 0);
    assert_int_equal(run(1, destroying, NULL), 0);
    assert_int_equal(run(1, destroy_outside, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_so_many_messages_of_one_size),
        cmocka_unit_test(those_who_wait_are_served_in_order),
        cmocka_unit_test(transfer_and_cancel_agree_on_who_was_first),
        cmocka_unit_test(closing_wakes_all_who_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
