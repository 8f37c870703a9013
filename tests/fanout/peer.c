/*
 * peer.c - the other sides of the fan-out service: what it asks, and who asks it.
 *
 *   peer MODE [MS]                 a backend; prints its address, ends with SIGTERM
 *       answer | delay MS | trickle MS (between bytes) | stall | refuse | reset (half-way)
 *       long BYTES (of answer)
 *   peer crowd ADDRESS N           N clients, again and again, until they are refused; says "running" after a while, and at the end what came
 *   peer burst ADDRESS N           N clients that are all connected before the first one asks; once
 *   peer mute ADDRESS N            N clients of which half never ask, and half never read; prints "mute"; ends with SIGTERM
 *   peer deaf ADDRESS N            N clients that ask, take next to nothing, and never read; prints "deaf"; ends with SIGTERM
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <yoke/yoke.h>

static const char *mode, *address;
static int number;

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

/* SIGTERM is caught from before the first task on: whoever has read a line of ours may send it. To wait for that alone would be a deadlock. */
static int until_told(void)
{
    YOKE_SCOPE(s, .cancel_on_stop = true);
    return yoke_scope_close(s, yoke_sleep(YOKE_SEC(1000000)));
}

/* ---- backends ---- */

static const char answer[] = "HTTP/1.0 200 OK\r\n\r\nanswer\n";

static int reset_it(yoke_stream *s)
{
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    YOKE_TRY(yoke_write_all(s, answer, sizeof answer / 2, NULL));
    return setsockopt(yoke_stream_fd(s), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) < 0 ? -errno : 0;
}

static int write_long(yoke_stream *s)
{
    static const char line[] = "a line of a long answer, of which the client is to read nothing\n";
    const int length = (int)sizeof line - 1;
    for (int left = number; left > 0; left -= length)
        YOKE_TRY(yoke_write_all(s, line, (size_t)(left < length ? left : length), NULL));
    return 0;
}

static int serve(void *arg)
{
    YOKE_SCOPED(yoke_stream) s = *(yoke_stream **)arg;
    char request[256];
    ssize_t n = yoke_read(s, request, sizeof request);
    if (n <= 0)
        return (int)n;
    if (strcmp(mode, "stall") == 0)
        return (int)yoke_read(s, request, sizeof request); /* until the other end gives up */
    if (strcmp(mode, "reset") == 0)
        return reset_it(s);
    if (strcmp(mode, "long") == 0)
        return write_long(s);
    if (strcmp(mode, "delay") == 0)
        YOKE_TRY(yoke_sleep(YOKE_MS(number)));
    size_t piece = strcmp(mode, "trickle") == 0 ? 1 : sizeof answer - 1;
    for (size_t at = 0; at < sizeof answer - 1; at += piece) {
        YOKE_TRY(yoke_write_all(s, answer + at, piece, NULL));
        if (piece == 1)
            YOKE_TRY(yoke_sleep(YOKE_MS(number)));
    }
    return 0;
}

static int accept_all(void *arg)
{
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    int rc;
    for (;;) {
        YOKE_SCOPED(yoke_stream) s = NULL;
        if ((rc = yoke_accept(*(yoke_listener **)arg, &s)) < 0 || (rc = yoke_spawn(g, serve, yoke_stream *, s)) < 0)
            break;
        s = NULL;
    }
    return yoke_group_close(g, rc);
}

/* Bound, so that the port goes to nobody else (that of a listener that is shut down may), and nobody listens. */
static int refuse(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    char text[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int rc = bind(fd, (struct sockaddr *)&at, size) < 0 || getsockname(fd, (struct sockaddr *)&at, &size) < 0 ? -errno : 0;
    if (rc == 0) {
        snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(at.sin_port));
        say(text);
        rc = until_told();
    }
    close(fd);
    return rc;
}

static int backend(void *arg)
{
    char text[64];
    YOKE_SCOPED(yoke_listener) l = NULL;
    (void)arg;
    if (strcmp(mode, "refuse") == 0)
        return refuse();
    YOKE_TRY(yoke_listen(&l, "127.0.0.1:0", 0));
    YOKE_TRY(yoke_listener_address(l, text, sizeof text));
    YOKE_GROUP(g);
    int rc = yoke_spawn(g, accept_all, yoke_listener *, l);
    say(text);
    if (rc == 0 && (rc = until_told()) == 0)
        yoke_group_cancel(g, 0);
    return yoke_group_close(g, rc);
}

/* ---- clients ---- */

static long answered, lost, refused, running_at;

static const char request[] = "GET / HTTP/1.0\r\n\r\n";

/* The answer to what was asked: 1, if all of it has come. */
static int await_answer(yoke_stream *s)
{
    char text[8192] = "";
    size_t length = 0;
    ssize_t n;
    while ((n = yoke_read(s, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)n;
    text[length] = '\0';
    const char *body = strstr(text, "\r\n\r\n"), *size = strstr(text, "Content-Length: ");
    bool whole = n == 0 && strncmp(text, "HTTP/1.0 ", 9) == 0 && body != NULL && size != NULL &&
                 strlen(body + 4) == strtoul(size + 16, NULL, 10);
    long nth = __atomic_add_fetch(whole ? &answered : &lost, 1, __ATOMIC_RELAXED);
    if (whole && nth == running_at) /* one of them is */
        say("running");
    return n == -ECANCELED ? (int)n : whole;
}

static int ask_on(void *arg)
{
    (void)arg;
    for (;;) {
        YOKE_SCOPED(yoke_stream) s = NULL;
        int rc = yoke_dial(&s, address);
        if (rc < 0) {
            __atomic_add_fetch(&refused, 1, __ATOMIC_RELAXED);
            return rc == -ECONNREFUSED || rc == -ECONNRESET ? 0 : rc;
        }
        rc = yoke_write_all(s, request, sizeof request - 1, NULL);
        rc = rc < 0 ? (__atomic_add_fetch(&lost, 1, __ATOMIC_RELAXED), rc) : await_answer(s);
        if (rc == -ECANCELED)
            return rc;
    }
}

static int crowd(void *arg)
{
    (void)arg;
    running_at = 2 * number;
    YOKE_GROUP(g);
    int rc = 0;
    for (int i = 0; i < number && rc == 0; i++)
        rc = yoke_spawn_ptr(g, ask_on, NULL);
    rc = yoke_group_close(g, rc);
    printf("%ld answered, %ld lost\n", answered, lost);
    return rc;
}

static int ask_once(void *arg)
{
    yoke_stream *s = *(yoke_stream **)arg;
    YOKE_TRY(yoke_write_all(s, request, sizeof request - 1, NULL));
    int rc = await_answer(s);
    return rc < 0 ? rc : yoke_close(s);
}

static int burst(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    yoke_stream **all = calloc((size_t)number, sizeof *all);
    if (all == NULL)
        return yoke_group_close(g, -ENOMEM);
    int rc = 0;
    for (int i = 0; i < number && rc == 0; i++)
        rc = yoke_dial(&all[i], address);
    for (int i = 0; i < number && rc == 0; i++)
        rc = yoke_spawn(g, ask_once, yoke_stream *, all[i]);
    rc = yoke_group_close(g, rc);
    free(all);
    printf("%ld answered, %ld lost\n", answered, lost);
    return rc;
}

static int mute(void *arg)
{
    (void)arg;
    yoke_stream **all = calloc((size_t)number, sizeof *all);
    int rc = all == NULL ? -ENOMEM : 0;
    for (int i = 0; i < number && rc == 0; i++) {
        rc = yoke_dial(&all[i], address);
        if (rc == 0 && i % 2 == 0)
            rc = yoke_write_all(all[i], request, sizeof request - 1, NULL);
    }
    say("mute");
    if (rc == 0)
        rc = until_told();
    for (int i = 0; i < number && all != NULL; i++)
        yoke_stream_scoped(&all[i]);
    free(all);
    return rc;
}

/* A receive buffer is to be small before the connection is there. */
static int connect_deaf(struct sockaddr_in to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), least = 1;
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof least) == 0 &&
        connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && write(fd, request, sizeof request - 1) == sizeof request - 1)
        return fd;
    int rc = -errno;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int deaf(void *arg)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    const char *port = strrchr(address, ':');
    (void)arg;
    to.sin_port = htons((uint16_t)(port != NULL ? atoi(port + 1) : 0));
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int *fds = calloc((size_t)number, sizeof *fds), open = 0, rc = fds == NULL ? -ENOMEM : 0;
    while (rc >= 0 && open < number)
        if ((rc = connect_deaf(to)) >= 0)
            fds[open++] = rc;
    if (rc >= 0) {
        say("deaf");
        rc = until_told();
    }
    while (open > 0)
        close(fds[--open]);
    free(fds);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *mode;
        yoke_fn fn;
    } clients[] = { { "crowd", crowd }, { "burst", burst }, { "mute", mute }, { "deaf", deaf } };
    yoke_fn fn = backend;
    mode = argc > 1 ? argv[1] : "";
    number = argc > 2 ? atoi(argv[argc - 1]) : 0;
    for (size_t i = 0; i < sizeof clients / sizeof *clients; i++)
        if (strcmp(mode, clients[i].mode) == 0)
            fn = clients[i].fn;
    if (argc < 2 || (fn != backend && argc != 4))
        return 2;
    address = argv[2];
    return yoke_run(fn, NULL, YOKE_OPTIONS(.signals = true, .stop_grace = YOKE_NEVER)) < 0;
}
