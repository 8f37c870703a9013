/*
 * fanout [-t MS] [-r MS] [-w MS] [-g MS] [-b BYTES] ADDRESS BACKEND...: a service that fans each request out to its backends, takes the first
 * two answers within 300 ms (-t), and cancels and awaits the others. SIGINT and SIGTERM stop it: nothing is accepted any more, and what was
 * accepted is served, for 5 s (-g) at most. Who has not asked 10 s (-r) after he was accepted, or does not take his answer within 50 ms (-w), is
 * cut off. -b: what the kernel may hold back of an answer.
 * Options of the runtime come from ./yoke.conf, if there is one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <yoke/yoke.h>

enum { BACKENDS = 4, NEEDED = 2, ANSWER = 4096, REQUEST = 1024 };

static struct {
    const char *address, *backend[BACKENDS];
    int backends, patience_ms, asking_ms, answering_ms, grace_ms, buffer;
} config = { .patience_ms = 300, .asking_ms = 10000, .answering_ms = 50, .grace_ms = 5000 }; /* set before the run, constant in it */

typedef struct { char text[ANSWER]; size_t length; } answer; /* length 0: none */
typedef struct { const char *backend; answer *out; } probe_args;
typedef struct { yoke_stream *conn; } conn_args;

/* Reads until the other end has closed, or there is no room: how much. */
static ssize_t read_all(yoke_stream *s, char *text, size_t size)
{
    size_t length = 0;
    for (ssize_t n = 1; n > 0 && length < size; length += (size_t)n)
        YOKE_TRY(n = yoke_read(s, text + length, size - length));
    return (ssize_t)length;
}

static int probe(void *p)                              /* the arguments were copied: they live in this task */
{
    probe_args *a = p;
    YOKE_SCOPED(yoke_stream) s = NULL;                 /* closed on every way out */
    YOKE_TRY(yoke_dial(&s, a->backend));
    YOKE_TRY(yoke_write_all(s, "GET / HTTP/1.0\r\n\r\n", 18, NULL));
    ssize_t n = read_all(s, a->out->text, ANSWER);
    if (n <= 0)
        return n < 0 ? (int)n : yoke_fail(-ENODATA, "%s: no answer", a->backend);
    a->out->length = (size_t)n;                        /* the parent's frame outlives this task */
    return 0;
}

static int fan_out(answer out[BACKENDS])
{
    YOKE_SCOPE(s, .deadline = yoke_after(YOKE_MS(config.patience_ms)), .name = "fan_out");
    YOKE_GROUP(g, .policy = YOKE_ANY, .need = NEEDED, .name = "probes"); /* inherits the deadline */
    int rc = 0;
    for (int i = 0; i < config.backends && rc >= 0; i++)
        rc = yoke_spawn(g, probe, probe_args, config.backend[i], &out[i]);
    rc = yoke_group_close(g, rc);                      /* the losers are cancelled and joined here */
    return yoke_scope_close(s, rc);                    /* 0, -ETIMEDOUT, -ECANCELED or a failure */
}

/* Status line, headers, and on success the answers one after the other. */
static int reply(yoke_stream *c, int rc, answer out[BACKENDS])
{
    char head[128];
    struct iovec pieces[1 + BACKENDS] = { { .iov_base = head } };
    size_t length = 0;
    int count = 1;
    for (int i = 0; rc == 0 && i < config.backends; i++) {
        pieces[count++] = (struct iovec){ .iov_base = out[i].text, .iov_len = out[i].length };
        length += out[i].length;
    }
    const char *status = rc == 0 ? "200 OK" : rc == -ETIMEDOUT ? "504 Gateway Timeout" : "502 Bad Gateway";
    int n = snprintf(head, sizeof head, "HTTP/1.0 %s\r\nContent-Length: %zu\r\n\r\n", status, length);
    pieces[0].iov_len = (size_t)n;
    for (int i = 0; i < count; i++)
        YOKE_TRY(yoke_write_all(c, pieces[i].iov_base, pieces[i].iov_len, NULL));
    return 0;
}

/* A request ends with an empty line: 1; 0: the client has gone without one. */
static int read_request(yoke_stream *c)
{
    char request[REQUEST + 1];
    size_t length = 0;
    YOKE_SCOPE(s, .deadline = yoke_after(YOKE_MS(config.asking_ms)), .name = "request");
    ssize_t n = 1;
    for (request[0] = '\0'; n > 0 && strstr(request, "\r\n\r\n") == NULL; request[length] = '\0')
        if ((n = length < REQUEST ? yoke_read(c, request + length, REQUEST - length) : -EMSGSIZE) > 0)
            length += (size_t)n;
    return yoke_scope_close(s, n < 0 ? (int)n : n > 0);
}

static int serve(void *p)
{
    YOKE_SCOPED(yoke_stream) c = ((conn_args *)p)->conn;
    answer out[BACKENDS];
    for (int i = 0; i < BACKENDS; i++)
        out[i].length = 0;
    int rc = read_request(c);
    if (rc <= 0)
        return rc;
    rc = fan_out(out);
    YOKE_SCOPE(bye, .shield = true, .deadline = yoke_after(YOKE_MS(config.answering_ms)));
    int said = yoke_scope_close(bye, reply(c, rc, out));
    return rc == -ECANCELED ? rc : said;               /* COLLECT: a failed request is counted, and ends nothing else */
}

static int accept_one(yoke_listener *l, yoke_stream **c)
{
    YOKE_SCOPE(s, .cancel_on_stop = true);             /* only the waiting for a connection ends at once on stop */
    return yoke_scope_close(s, yoke_accept(l, c));     /* stopped: 0 and no connection */
}

static int accept_loop(void *p)
{
    yoke_listener *l = *(yoke_listener **)p;
    yoke_group_report report = { .size = sizeof report };
    YOKE_GROUP(g, .policy = YOKE_COLLECT, .limit = 1000, .name = "connections"); /* backpressure */
    int rc = 0;
    for (;;) {
        YOKE_SCOPED(yoke_stream) c = NULL;
        rc = accept_one(l, &c);
        if (rc == -EMFILE || rc == -ENFILE) {          /* it waits with the kernel until there are descriptors again */
            if ((rc = yoke_sleep(YOKE_MS(100))) == 0)
                continue;
        }
        if (rc < 0 || c == NULL)
            break;
        if ((rc = yoke_spawn(g, serve, conn_args, c)) < 0)
            break;
        c = NULL;                                      /* ownership moved exactly on success */
    }
    (void)yoke_listener_close(l);                      /* who comes now is refused, and not kept waiting */
    rc = yoke_group_close_report(g, rc, &report);      /* drains the requests in flight */
    printf("%llu connections, %llu failed, %llu cut\n", (unsigned long long)report.spawned, (unsigned long long)report.failed,
           (unsigned long long)report.cancelled);
    return rc;
}

/* Accepted connections inherit it. */
static int bound_buffers(yoke_listener *l)
{
    if (config.buffer == 0)
        return 0;
    return setsockopt(yoke_listener_fd(l), SOL_SOCKET, SO_SNDBUF, &config.buffer, sizeof config.buffer) < 0 ? -errno : 0;
}

/* The signals are caught from before the first task on: there is no moment at which one would end the program under its clients. */
static int await_stop(void)
{
    YOKE_SCOPE(s, .cancel_on_stop = true);
    return yoke_scope_close(s, yoke_sleep_until(YOKE_NEVER)); /* stopped: 0 */
}

static int app(void *arg)
{
    char address[128];
    yoke_listener *l;                                  /* accept_loop closes it */
    (void)arg;
    YOKE_TRY(yoke_listen(&l, config.address, 0));
    YOKE_GROUP(g, .name = "server");
    int rc = yoke_listener_address(l, address, sizeof address);
    if (rc == 0)
        rc = bound_buffers(l);
    if (rc == 0)
        rc = yoke_spawn(g, accept_loop, yoke_listener *, l);
    if (rc < 0) {
        (void)yoke_listener_close(l);
        return yoke_group_close(g, rc);
    }
    printf("listening on %s\n", address);
    fflush(stdout);
    return yoke_group_close(g, await_stop());          /* drains, until the grace is over */
}

int main(int argc, char **argv)
{
    int option, unknown = 0;
    while ((option = getopt(argc, argv, "t:r:w:g:b:")) != -1) {
        int *value = option == 't' ? &config.patience_ms : option == 'r' ? &config.asking_ms : option == 'w' ? &config.answering_ms :
                     option == 'g' ? &config.grace_ms : option == 'b' ? &config.buffer : &unknown;
        *value = value == &unknown ? 1 : atoi(optarg);
    }
    config.backends = argc - optind - 1;
    if (unknown != 0 || config.patience_ms <= 0 || config.asking_ms <= 0 || config.answering_ms <= 0 || config.grace_ms <= 0 ||
        config.buffer < 0 || config.backends < NEEDED || config.backends > BACKENDS) {
        fprintf(stderr, "usage: fanout [-t MS] [-r MS] [-w MS] [-g MS] [-b BYTES] ADDRESS BACKEND BACKEND... (%d to %d of them)\n", NEEDED,
                BACKENDS);
        return 2;
    }
    config.address = argv[optind];
    for (int i = 0; i < config.backends; i++)
        config.backend[i] = argv[optind + 1 + i];
    const char *file = access("yoke.conf", R_OK) == 0 ? "yoke.conf" : NULL;
    return yoke_run(app, NULL, YOKE_OPTIONS(.config_file = file, .signals = true, .stop_grace = YOKE_MS(config.grace_ms))) < 0; /* a failing main has been reported */
}
