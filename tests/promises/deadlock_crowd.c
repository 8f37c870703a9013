/*
 * The deadlock verdict is never wrong: tasks of which at most a few can go on at any moment hand over to each other in every way there is,
 * so that all workers are idle for moments without number, and what wakes them comes from each other, from timers, descriptors, pool jobs
 * and other threads. In the end, and only then, all of them wait: and that is told.
 */
#include "support.h"

enum { SEATS = 6 };

static yoke_event events[SEATS];
static yoke_semaphore semaphores[SEATS];
static yoke_channel *channels[SEATS];
static yoke_mutex mutex;
static int fds[2];
static uint64_t random_state;
static int hops;

struct seat {
    int index, way;
    uint64_t random;
};

/* Who is next: told in one way. */
static void hand_on(int to, int way)
{
    int message = way;
    switch (way) {
    case 0:
        check_int(yoke_event_set(&events[to]), 0);
        break;
    case 1:
        check_int(yoke_semaphore_release(&semaphores[to]), 0);
        break;
    default:
        check_int(yoke_channel_send(channels[to], &message), 0);
        break;
    }
}

static int take_over(int seat, int way)
{
    int message, rc;
    switch (way) {
    case 0:
        rc = yoke_event_wait(&events[seat]);
        return rc < 0 ? rc : yoke_event_reset(&events[seat]);
    case 1:
        return yoke_semaphore_acquire(&semaphores[seat]);
    default:
        return yoke_channel_receive(channels[seat], &message);
    }
}

static int job(void *arg)
{
    return *(int *)arg;
}

static int read_one(void *arg)
{
    char c;
    (void)arg;
    check_int(yoke_fd_readable(fds[0]), 0);
    check_int(read(fds[0], &c, 1), 1);
    return 0;
}

struct helper {
    yoke_token *token;
    yoke_post_node node;
    yoke_event over;
};

static int posted(void *arg)
{
    return yoke_event_set(&((struct helper *)arg)->over);
}

static void *post_and_release(void *arg)
{
    struct helper *helper = arg;
    yoke_token *token = helper->token; /* the helper is gone once the post has run */
    check_int(yoke_post(token, &helper->node, posted, helper), 0);
    yoke_token_release(token);
    return NULL;
}

/* Blocks once, alone, until something from outside comes. */
static void pause_somehow(uint64_t *r)
{
    int value = 7, result;
    switch (next_random(r) % 16) {
    case 0:
        check_int(yoke_sleep(1 + (int64_t)(next_random(r) % 50000)), 0);
        return;
    case 1: {
        yoke_event never;
        yoke_event_init(&never);
        YOKE_SCOPE(s, .deadline = yoke_after((int64_t)(next_random(r) % 50000)));
        check_int(yoke_scope_close(s, yoke_event_wait(&never)), -ETIMEDOUT);
        return;
    }
    case 2:
        check_int(yoke_blocking(job, &value), 7);
        return;
    case 3: {
        struct helper helper;
        pthread_t thread;
        yoke_event_init(&helper.over);
        YOKE_GROUP(g);
        check_int(yoke_token_acquire(&helper.token, g), 0);
        check_int(pthread_create(&thread, NULL, post_and_release, &helper), 0);
        check_int(yoke_event_wait(&helper.over), 0);
        check_int(yoke_group_close(g, 0), 0);
        pthread_join(thread, NULL);
        return;
    }
    case 4: {
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, read_one, NULL), 0);
        check_int(yoke_sleep(1), 0);
        check_int(write(fds[1], "x", 1), 1);
        check_int(yoke_group_close(g, 0), 0);
        return;
    }
    case 5: {
        yoke_task t;
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr_with(g, (.handle = &t), job, &value), 0);
        check_int(yoke_task_await(t, &result), 0);
        check_int(result, 7);
        check_int(yoke_group_close(g, 0), 0);
        return;
    }
    default:
        check_int(yoke_mutex_lock(&mutex), 0);
        if (next_random(r) % 4 == 0)
            check_int(yoke_yield(), 0);
        check_int(yoke_mutex_unlock(&mutex), 0);
        return;
    }
}

/* Sits in a ring in which one token goes round. */
static int sit(void *arg)
{
    struct seat *seat = arg;
    int rc, last;
    while ((rc = take_over(seat->index, seat->way)) == 0) {
        pause_somehow(&seat->random);
        last = add(&hops, -1) <= 0;
        if (last)
            continue; /* the token stays here, and everybody waits */
        hand_on((seat->index + 1) % SEATS, seat->way);
    }
    return rc;
}

static int ring(void *arg)
{
    int way = *(int *)arg;
    check_int(pipe(fds), 0);
    yoke_mutex_init(&mutex);
    for (int i = 0; i < SEATS; i++) {
        yoke_event_init(&events[i]);
        check_int(yoke_semaphore_init(&semaphores[i], 0, 1), 0);
        check_int(yoke_channel_create(&channels[i], sizeof(int), (size_t)i % 2), 0);
    }
    YOKE_GROUP(g, .name = "ring");
    for (int i = 0; i < SEATS; i++)
        check_int(yoke_spawn(g, sit, struct seat, .index = i, .way = way, .random = next_random(&random_state)), 0);
    hand_on(0, way);
    int rc = yoke_group_close(g, 0);
    for (int i = 0; i < SEATS; i++)
        yoke_channel_destroy(channels[i]);
    close(fds[0]);
    close(fds[1]);
    return rc;
}

/* The verdict has come: was it time? */
static void look_at_hops(void *ctx, const char *line)
{
    check(load(&hops) <= 0);
    keep_report(ctx, line);
}

static void it_comes_when_all_wait_and_never_before(void **state)
{
    (void)state;
    random_state = seed();
    for (int round = repetitions(30); round > 0; round--)
        for (int way = 0; way < 3; way++)
            for (int workers = 1; workers <= 4; workers += 3) {
                reports[0] = '\0';
                store(&hops, 500);
                const yoke_options *options = YOKE_OPTIONS(.workers = workers, .spin_ns = next_random(&random_state) % 2 ? -1 : 20000,
                                                           .membarrier = next_random(&random_state) % 4 ? "on" : "off", .report = look_at_hops);
                assert_int_equal(yoke_run(ring, &way, options), -EDEADLK);
                assert_checks();
                assert_true(reported("deadlock: these tasks are blocked"));
                assert_true(reported("waits: close of group 'ring'"));
                assert_false(reported("aborting"));
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_when_all_wait_and_never_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
