/*
 * echo_client CASE CONNECTIONS MS SERVER_CPU CLIENT_CPU PROGRAM WORKERS: starts an echo server and measures it.
 *
 * One thread with epoll; every connection has one request of 64 bytes under way, and sends the next one when the answer has come.
 * Each request differs, and each answer is compared: a wrong one ends the program, and nothing is printed. SERVER_CPU, CLIENT_CPU:
 * the core they are bound to; -1: any. A client with a core of its own never sleeps: to wake it would be work of the server's, and
 * the more the slower the server is, as a fast one finds it awake. The server prints "PORT NAME" and serves until it is killed; its
 * CPU time is that of all its threads within the measured time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

enum { SIZE = 64, EVENTS = 256, WARM_MS = 300 };

struct connection {
    int fd;
    uint32_t got; /* of the answer */
    double sent;
    uint64_t sequence;
    uint64_t request[SIZE / 8], answer[SIZE / 8];
};

static pid_t server;
static clockid_t server_clock;
static int epoll, patience_ms = 1000; /* 0: does not sleep */
static float *latencies; /* ms */
static size_t count, room;

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "echo_client: %s: %s\n", what, strerror(errno));
    if (server > 0)
        kill(server, SIGKILL);
    exit(1);
}

static void bind_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu < 0)
        return;
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        fail("sched_setaffinity");
}

/* What it prints first: its port, and its name. */
static int start_server(char **argv, int cpu, char name[64])
{
    int out[2], port;
    if (pipe(out) < 0 || (server = fork()) < 0)
        fail("fork");
    if (server == 0) {
        bind_to(cpu);
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        close(out[1]);
        execv(argv[0], argv);
        _exit(127);
    }
    close(out[1]);
    FILE *said = fdopen(out[0], "r");
    if (said == NULL || fscanf(said, "%d %63s", &port, name) != 2 || clock_getcpuclockid(server, &server_clock) != 0)
        fail(argv[0]);
    fclose(said);
    return port;
}

static double server_cpu(void)
{
    struct timespec t;
    if (clock_gettime(server_clock, &t) < 0)
        fail("the server's clock");
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void ask(struct connection *c, double now)
{
    c->sequence++;
    for (unsigned i = 0; i < SIZE / 8; i++)
        c->request[i] = (c->sequence << 20 | (uint64_t)c->fd) * 0x9e3779b97f4a7c15u + i;
    c->got = 0;
    c->sent = now;
    if (send(c->fd, c->request, SIZE, MSG_NOSIGNAL) != SIZE)
        fail("send");
}

/* True: the answer is complete, and right. */
static int answered(struct connection *c)
{
    ssize_t n = recv(c->fd, (char *)c->answer + c->got, SIZE - c->got, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        fail("recv");
    c->got += (uint32_t)n;
    if (c->got < SIZE)
        return 0;
    errno = EBADMSG;
    if (memcmp(c->request, c->answer, SIZE) != 0)
        fail("a wrong answer");
    return 1;
}

static void note(double ns)
{
    if (count == room) {
        room = room > 0 ? room * 2 : 1 << 20;
        latencies = realloc(latencies, room * sizeof *latencies);
        if (latencies == NULL)
            fail("realloc");
    }
    latencies[count++] = (float)(ns / 1e6);
}

static double serve_until(double end)
{
    struct epoll_event events[EVENTS];
    double now = now_ns(), last = now;
    do {
        int n = epoll_wait(epoll, events, EVENTS, patience_ms);
        if (n < 0 || (n == 0 && now_ns() - last > 1e9))
            fail("no answer within a second");
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (!answered(c))
                continue;
            now = now_ns();
            note(now - c->sent);
            ask(c, now);
        }
        now = now_ns();
        if (n > 0)
            last = now;
    } while (now < end);
    return now;
}

static void connect_all(struct connection *connections, int n, int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int one = 1;
    for (int i = 0; i < n; i++) {
        struct connection *c = &connections[i];
        struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = c } };
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)(const void *)&address, sizeof address) < 0 ||
            setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
            fail("connect");
    }
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void print_one(const char *what, const char *kind, const char *name, double value, const char *unit)
{
    char full[96];
    snprintf(full, sizeof full, "%s-%s", what, kind);
    print_result(full, name, value, unit);
}

int main(int argc, char **argv)
{
    if (argc < 8)
        return 2;
    char name[64];
    int n = atoi(argv[2]);
    struct rlimit files = { 4096, 4096 };
    (void)setrlimit(RLIMIT_NOFILE, &files); /* refused: connect fails, and says so */
    signal(SIGPIPE, SIG_IGN);
    int port = start_server(argv + 6, atoi(argv[4]), name);
    bind_to(atoi(argv[5]));
    if (atoi(argv[5]) >= 0)
        patience_ms = 0;
    struct connection *connections = calloc((size_t)n, sizeof *connections);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || connections == NULL)
        fail("epoll_create1");
    connect_all(connections, n, port);
    for (int i = 0; i < n; i++)
        ask(&connections[i], now_ns());
    double begin = serve_until(now_ns() + WARM_MS * 1e6), cpu = server_cpu();
    count = 0;
    double end = serve_until(begin + atoi(argv[3]) * 1e6);
    cpu = server_cpu() - cpu;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    qsort(latencies, count, sizeof *latencies, by_size);
    print_one(argv[1], "rate", name, (double)count / (end - begin) * 1e6, "k/s");
    print_one(argv[1], "cpu", name, cpu / (double)count / 1e3, "us/request");
    print_one(argv[1], "p50", name, (double)latencies[count / 2], "ms");
    print_one(argv[1], "p99", name, (double)latencies[count - count / 100 - 1], "ms");
    return 0;
}
