/* idle WORKERS [MS]: what 1000 tasks that sleep or wait for an event and 1000 that read from open TCP connections cost meanwhile. */
#include <string.h>
#include <sys/resource.h>
#include <yoke/io/stream.h>
#include <yoke/sync/event.h>
#include <yoke/yoke.h>

#include "measure.h"

enum { TASKS = 1000, CONNECTIONS = 1000, SETTLE_MS = 500 };

static int measure_ms;

static yoke_stream *near_ends[CONNECTIONS], *far_ends[CONNECTIONS];
static yoke_event never = YOKE_EVENT_INIT;

static int wait_long(void *arg)
{
    return arg == NULL ? yoke_sleep(YOKE_MS(3600 * 1000)) : yoke_event_wait(&never);
}

static int read_one(void *arg)
{
    char byte;
    return (int)yoke_read(arg, &byte, 1);
}

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int connect_all(void)
{
    char address[64];
    YOKE_SCOPED(yoke_listener) listener = NULL;
    YOKE_TRY(yoke_listen(&listener, "127.0.0.1:0", CONNECTIONS));
    YOKE_TRY(yoke_listener_address(listener, address, sizeof address));
    for (int i = 0; i < CONNECTIONS; i++) {
        YOKE_TRY(yoke_dial(&far_ends[i], address));
        YOKE_TRY(yoke_accept(listener, &near_ends[i]));
    }
    return 0;
}

static int app(void *arg)
{
    double *percent = arg, begin, cpu;
    YOKE_GROUP(g);
    YOKE_TRY(connect_all());
    for (int i = 0; i < TASKS; i++)
        YOKE_TRY(yoke_spawn_ptr(g, wait_long, i % 2 == 0 ? NULL : &never));
    for (int i = 0; i < CONNECTIONS; i++)
        YOKE_TRY(yoke_spawn_ptr(g, read_one, near_ends[i]));
    YOKE_TRY(yoke_sleep(YOKE_MS(SETTLE_MS)));
    begin = now_ns();
    cpu = cpu_ns();
    YOKE_TRY(yoke_sleep(YOKE_MS(measure_ms)));
    *percent = 100 * (cpu_ns() - cpu) / (now_ns() - begin);
    yoke_group_cancel(g, 0);
    int rc = yoke_group_close(g, 0);
    for (int i = 0; i < CONNECTIONS; i++) {
        yoke_close(near_ends[i]);
        yoke_close(far_ends[i]);
    }
    return rc;
}

int main(int argc, char **argv)
{
    int workers = number(argc, argv, 1, 2);
    double percent;
    measure_ms = number(argc, argv, 2, 5000);
    char what[32];
    struct rlimit files = { 4096, 4096 };
    (void)setrlimit(RLIMIT_NOFILE, &files); /* refused: a dial says so */
    if (yoke_run(app, &percent, YOKE_OPTIONS(.workers = workers)) < 0)
        return 1;
    snprintf(what, sizeof what, "idle-%d", workers);
    print_result(what, "yoke", percent, "% of a core");
    return 0;
}
