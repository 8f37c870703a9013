/* Channels, in a crowd on four workers, with cancels at random: no message lost or doubled, and who frees one. */
#include "sync.h"

static yoke_channel *channel;

/* ---- messages ---- */

enum { SENDERS = 4, RECEIVERS = 4, MESSAGES = 200 };

static int sent[SENDERS][MESSAGES], received[SENDERS][MESSAGES];
static int doubtful; /* the channel is closed while they send */

static int send_some(void *arg)
{
    int me = *(int *)arg, rc = 0;
    uint64_t r = fresh();
    YOKE_GROUP(cutters);
    for (int i = 0; i < MESSAGES; i++) {
        YOKE_SCOPE(s);
        cut_sometime(cutters, s, &r);
        bool patient = next_random(&r) % 4 != 0;
        long message = me * MESSAGES + i;
        rc = patient ? yoke_channel_send(channel, &message) : yoke_channel_try_send(channel, &message);
        check(rc == 0 || rc == (patient ? -ECANCELED : -EAGAIN) || (rc == -EPIPE && doubtful));
        sent[me][i] = rc == 0;
        message = -1; /* it was copied */
        leave(s, rc);
        if (next_random(&r) % 4 == 0)
            mix(&r);
    }
    return yoke_group_close(cutters, 0);
}

static int receive_some(void *arg)
{
    int latest[SENDERS], rc = 0;
    uint64_t r = fresh();
    (void)arg;
    memset(latest, -1, sizeof latest);
    YOKE_GROUP(cutters);
    do {
        YOKE_SCOPE(s);
        cut_sometime(cutters, s, &r);
        bool patient = next_random(&r) % 4 != 0;
        long message = -1;
        rc = patient ? yoke_channel_receive(channel, &message) : yoke_channel_try_receive(channel, &message);
        check(rc == 0 || rc == -ENODATA || rc == (patient ? -ECANCELED : -EAGAIN));
        if (rc == 0) {
            long from = message / MESSAGES, number = message % MESSAGES;
            check(message >= 0 && from < SENDERS && number > latest[from]); /* in the order of its sender */
            latest[from] = (int)number;
            check_int(add(&received[from][number], 1), 0); /* once */
        } else {
            check_int(message, -1);
        }
        leave(s, rc);
        mix(&r);
    } while (rc != -ENODATA);
    return yoke_group_close(cutters, 0);
}

static int close_early(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    for (uint64_t n = next_random(&r) % 8; n > 0; n--)
        mix(&r);
    return yoke_channel_close(channel);
}

static int crowd(void *arg)
{
    (void)arg;
    static const size_t capacities[] = { 0, 1, 3, 16 };
    uint64_t r = fresh();
    REPEAT(300)
    {
        memset(sent, 0, sizeof sent);
        memset(received, 0, sizeof received);
        check_int(yoke_channel_create(&channel, sizeof(long), capacities[next_random(&r) % 4]), 0);
        doubtful = next_random(&r) % 4 == 0;
        YOKE_GROUP(receivers);
        YOKE_GROUP(senders);
        for (int i = 0; i < SENDERS; i++)
            check_int(yoke_spawn(senders, send_some, int, i), 0);
        for (int i = 0; i < RECEIVERS; i++)
            check_int(yoke_spawn_ptr(receivers, receive_some, NULL), 0);
        if (doubtful)
            check_int(yoke_spawn(senders, close_early, uint64_t, next_random(&r)), 0);
        check_int(yoke_group_close(senders, 0), 0);
        check_int(yoke_channel_close(channel), doubtful ? -EINVAL : 0);
        check_int(yoke_group_close(receivers, 0), 0);
        for (int i = 0; i < SENDERS; i++)
            for (int k = 0; k < MESSAGES; k++)
                check_int(received[i][k], sent[i][k]);
        check_int(yoke_channel_destroy(channel), 0);
    }
    return 0;
}

static void no_message_is_lost_or_doubled(void **state)
{
    (void)state;
    assert_int_equal(run(4, crowd, NULL), 0);
}

/* ---- destroyed while others leave it ---- */

enum { WORKERS = 4 };
static int inside[WORKERS];
static yoke_semaphore seen;

static int leave_it(void *arg)
{
    long message = 1;
    uint64_t r = fresh();
    (void)arg;
    YOKE_GROUP(cutters);
    YOKE_SCOPE(s);
    cut_sometime(cutters, s, &r);
    bool sends = next_random(&r) % 2;
    add(&inside[yoke_worker_index()], 1);
    int rc = sends ? yoke_channel_send(channel, &message) : yoke_channel_receive(channel, &message);
    check(rc == 0 || rc == -ECANCELED || rc == (sends ? -EPIPE : -ENODATA));
    leave(s, rc);
    return yoke_group_close(cutters, 0);
}

/* Pinned like those it looks for: when it sees that they have counted themselves in, they have entered the channel. */
static int look(void *arg)
{
    (void)arg;
    until(&inside[yoke_worker_index()], 2);
    return yoke_semaphore_release(&seen);
}

static int short_lives(void *arg)
{
    (void)arg;
    REPEAT(2000)
    {
        check_int(yoke_channel_create(&channel, sizeof(long), 0), 0);
        check_int(yoke_semaphore_init(&seen, 0, WORKERS), 0);
        memset(inside, 0, sizeof inside);
        YOKE_GROUP(g);
        for (int i = 0; i < 3 * WORKERS; i++)
            check_int(yoke_spawn_with(g, (.pinned = true, .worker = i % WORKERS), i < 2 * WORKERS ? leave_it : look, int, i), 0);
        for (int i = 0; i < WORKERS; i++)
            check_int(yoke_semaphore_acquire(&seen), 0);
        check_int(yoke_channel_destroy(channel), 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    return 0;
}

static void the_last_to_leave_takes_it_away(void **state)
{
    (void)state;
    assert_int_equal(run(WORKERS, short_lives, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_message_is_lost_or_doubled),
        cmocka_unit_test(the_last_to_leave_takes_it_away),
    };
    (void)seed(); /* before several ask at a time */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
