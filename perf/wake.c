/*
 * wake [TIMES]: a task spawned by one worker while the other one has nothing to do, until it runs there: p50 with the other one searching (spin
 * without bound) and asleep (no spin); beside it a thread that spins on one word, and one woken by a bare futex(2).
 */
#include <yoke/yoke.h>

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "measure.h"

enum { MOST = 3000 };

static int times;

static volatile double began;
static double late[MOST];
static int done;
static uint32_t word;

static int start(void *arg)
{
    *(double *)arg = now_ns() - began;
    __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
    return 0;
}

/* Busy all the time, so that nobody but the other one can take it. */
static void spin_ns(double ns)
{
    for (double begin = now_ns(); now_ns() - begin < ns;)
        ;
}

static int app(void *arg)
{
    double pause = *(double *)arg;
    for (int i = 0; i < times; i++) {
        spin_ns(pause);
        done = 0;
        YOKE_GROUP(g);
        began = now_ns();
        YOKE_TRY(yoke_spawn_ptr(g, start, &late[i]));
        while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
            ;
        YOKE_TRY(yoke_group_close(g, 0));
    }
    return 0;
}

static int in_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_us(void)
{
    qsort(late, (size_t)times, sizeof *late, in_order);
    return late[times / 2] / 1e3;
}

static bool asleep;

static void *wait_bare(void *arg)
{
    for (int i = 0; i < times; i++) {
        while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == 0)
            if (asleep)
                syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
        late[i] = now_ns() - began;
        __atomic_store_n(&word, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
    }
    return arg;
}

static void bare(double pause)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_bare, NULL) != 0)
        exit(1);
    for (int i = 0; i < times; i++) {
        spin_ns(pause);
        done = 0;
        began = now_ns();
        __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
        if (asleep)
            syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
            ;
    }
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    times = number(argc, argv, 1, MOST);
    if (times < 1 || times > MOST)
        return 2;
    double pause = 20e3;
    if (yoke_run(app, &pause, YOKE_OPTIONS(.workers = 2, .spin_ns = 1000000000)) < 0)
        return 1;
    print_result("wake-searching", "yoke", median_us(), "us");
    bare(pause);
    print_result("wake-searching", "bare", median_us(), "us");
    pause = 100e3;
    if (yoke_run(app, &pause, YOKE_OPTIONS(.workers = 2, .spin_ns = -1)) < 0)
        return 1;
    print_result("wake-asleep", "yoke", median_us(), "us");
    asleep = true;
    bare(pause);
    print_result("wake-asleep", "futex", median_us(), "us");
    return 0;
}
