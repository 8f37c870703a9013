/*
 * timer [TIMES [LIVE [SLEEPS]]]: a deadline armed and disarmed, by a scope that is opened with one and closed, while 100,000 others are live; a
 * sleep of 1 ms, how late; and the same by epoll_pwait2(2) at the least timer slack.
 */
#include <yoke/yoke.h>

#include <errno.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include "measure.h"

static int times, live, sleeps;
static int waiting;

static int block(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&waiting, 1, __ATOMIC_RELAXED);
    return yoke_sleep(YOKE_SEC(3600) + (int64_t)arg);
}

static int arm(void *arg)
{
    double begin = now_ns();
    for (int i = 0; i < times; i++) {
        YOKE_SCOPE(s, .deadline = yoke_after(YOKE_SEC(60) + i));
        YOKE_TRY(yoke_scope_close(s, 0));
    }
    *(double *)arg = (now_ns() - begin) / times;
    return 0;
}

static int app(void *arg)
{
    double *result = arg, late = 0;
    YOKE_GROUP(g);
    for (intptr_t i = 0; i < live; i++)
        YOKE_TRY(yoke_spawn_ptr(g, block, (void *)(i * 1000000)));
    while (__atomic_load_n(&waiting, __ATOMIC_RELAXED) < live)
        YOKE_TRY(yoke_sleep(YOKE_MS(1)));
    YOKE_TRY(arm(&result[0]));
    for (int i = 0; i < sleeps; i++) {
        double begin = now_ns();
        YOKE_TRY(yoke_sleep(YOKE_MS(1)));
        double over = now_ns() - begin - 1e6;
        if (over < 0)
            return -EPROTO;
        late += over;
    }
    result[1] = late / sleeps / 1e3;
    YOKE_TRY(yoke_group_cancel(g, 0));
    return yoke_group_close(g, 0);
}

static double bare(void)
{
    int fd = epoll_create1(0);
    double late = 0;
    if (fd < 0 || prctl(PR_SET_TIMERSLACK, 1ul) < 0)
        exit(1);
    for (int i = 0; i < sleeps; i++) {
        struct epoll_event event;
        struct timespec t = { .tv_nsec = 1000000 };
        double begin = now_ns();
        if (epoll_pwait2(fd, &event, 1, &t, NULL) != 0)
            exit(1);
        late += now_ns() - begin - 1e6;
    }
    return late / sleeps / 1e3;
}

int main(int argc, char **argv)
{
    double result[2];
    times = number(argc, argv, 1, 1000000);
    live = number(argc, argv, 2, 100000);
    sleeps = number(argc, argv, 3, 500);
    if (yoke_run(app, result, YOKE_OPTIONS(.workers = 1)) < 0)
        return 1;
    print_result("arm-disarm", "yoke", result[0], "ns");
    print_result("sleep-late", "yoke", result[1], "us");
    print_result("sleep-late", "epoll_pwait2", bare(), "us");
    return 0;
}
