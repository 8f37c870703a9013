/*
 * Accepting against cancels: no connection is lost, and none is taken twice. Exact on one worker, where the connection is there and the cancel
 * too; on four, with acceptors whose scopes are cancelled sometime, from a printed seed.
 */
#include "support.h"

#include <yoke/sync/event.h>

static yoke_listener *listener;
static char address[64];

static int listen_here(void)
{
    YOKE_TRY(yoke_listen(&listener, "127.0.0.1:0", 64));
    return yoke_listener_address(listener, address, sizeof address);
}

/* ---- exactly ------------------------------------------------------------------------------------------------------------- */

static int take_what_waited(void *arg)
{
    yoke_stream *client, *server = NULL;
    char c;
    YOKE_TRY(listen_here());
    YOKE_TRY(yoke_dial(&client, address)); /* in the queue of the listener, as far as the kernel is concerned */
    YOKE_SCOPE(s);
    check_int(yoke_scope_cancel(s, -EXDEV), 0);
    check_int(yoke_accept(listener, &server), -ECANCELED);
    check(server == NULL);
    check_int(yoke_scope_close(s, -ECANCELED), -EXDEV);
    YOKE_SCOPE(limit, .deadline = yoke_after(YOKE_SEC(200)));
    check_int(yoke_accept(listener, &server), 0); /* still there */
    check_int(yoke_write(client, "x", 1), 1);
    check_int(yoke_read(server, &c, 1), 1);
    check_int(yoke_scope_close(limit, 0), 0);
    YOKE_SCOPE(late, .deadline = yoke_after(YOKE_US(100)));
    yoke_stream *none = NULL;
    check_int(yoke_scope_close(late, yoke_accept(listener, &none)), -ETIMEDOUT); /* and only once */
    check(none == NULL);
    check_int(yoke_close(client), 0);
    check_int(yoke_close(server), 0);
    check_int(yoke_listener_close(listener), 0);
    return arg == NULL ? 0 : -EINVAL;
}

/* ---- in a crowd ------------------------------------------------------------------------------------------------------------ */

enum { CLIENTS = 30 };

static int seen[CLIENTS], accepted, lost, cuts;

static int meet_server(unsigned char me)
{
    yoke_stream *s;
    unsigned char c = CLIENTS;
    YOKE_TRY(yoke_dial(&s, address));
    check_int(yoke_write(s, &me, 1), 1);
    ssize_t n = yoke_read(s, &c, 1);
    check_int(n, 1);
    if (n == 1)
        check_int(c, me);
    else
        add(&lost, 1);
    return yoke_close(s);
}

/* Says who it is, and waits until it has been served; not for ever, so that a connection that was lost is told. */
static int be_client(void *arg)
{
    YOKE_SCOPE(limit, .deadline = yoke_after(YOKE_SEC(200)));
    return yoke_scope_close(limit, meet_server((unsigned char)*(int *)arg));
}

static int be_served(void *arg)
{
    yoke_stream *s = *(yoke_stream **)arg;
    unsigned char who = CLIENTS;
    check_int(yoke_read(s, &who, 1), 1);
    if (who < CLIENTS)
        add(&seen[who], 1);
    check_int(yoke_write(s, &who, 1), 1);
    return yoke_close(s);
}

struct cut {
    yoke_scope scope;
    uint64_t random;
};

static int cut_sometime(void *arg)
{
    struct cut *cut = arg;
    jitter(&cut->random);
    int rc = yoke_scope_cancel(cut->scope, -EXDEV);
    check(rc == 0 || rc == -EINVAL);
    return 0;
}

static int accept_all(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    YOKE_GROUP(outside);
    YOKE_GROUP(served);
    while (load(&accepted) + load(&lost) < CLIENTS) {
        yoke_stream *s = NULL;
        YOKE_SCOPE(turn);
        check_int(yoke_spawn(outside, cut_sometime, struct cut, .scope = turn, .random = next_random(&r)), 0);
        int rc = yoke_accept(listener, &s);
        check(rc == 0 || rc == -ECANCELED);
        check((rc == 0) == (s != NULL));
        add(rc == 0 ? &accepted : &cuts, 1);
        check_int(yoke_scope_close(turn, rc), rc == 0 ? 0 : -EXDEV);
        if (rc == 0)
            check_int(yoke_spawn(served, be_served, yoke_stream *, s), 0);
    }
    check_int(yoke_group_close(served, 0), 0);
    return yoke_group_close(outside, 0);
}

static int crowd(void *arg)
{
    uint64_t r = seed() + (uint64_t)*(int *)arg;
    memset(seen, 0, sizeof seen);
    store(&accepted, 0);
    store(&lost, 0);
    YOKE_TRY(listen_here());
    YOKE_GROUP(g);
    check_int(yoke_spawn(g, accept_all, uint64_t, next_random(&r)), 0);
    for (int i = 0; i < CLIENTS; i++) {
        check_int(yoke_spawn(g, be_client, int, i), 0);
        jitter(&r);
    }
    check_int(yoke_group_close(g, 0), 0);
    for (int i = 0; i < CLIENTS; i++)
        check_int(seen[i], 1);
    return yoke_listener_close(listener);
}

static void no_connection_is_lost_or_taken_twice(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(run(1, take_what_waited, NULL), 0);
    for (int i = repetitions(100); i > 0 || cuts == 0; i--) /* it may be that all connections were there before anybody accepted */
        assert_int_equal(run(i % 8 == 0 ? 1 : 4, crowd, &i), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_connection_is_lost_or_taken_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
