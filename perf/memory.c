/*
 * memory [TASKS] [SECONDS]: tasks that block, all at once, spawned by one, on two workers: what each costs, page tables included; and how long
 * it takes if they sleep so long instead. `memory bare` touches the top pages of as many guarded stacks on two threads, and sleeps: what no runtime can do without.
 */
#include <yoke/yoke.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "measure.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { STACK = 64 * 1024, GUARD = 16 * 1024, SLAB = 1024 };

static int64_t pause_ns;

static double in_use(void)
{
    return kilobytes("VmRSS:") + kilobytes("VmPTE:");
}

static int blocked, slept;

static int block(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&blocked, 1, __ATOMIC_RELAXED);
    return yoke_sleep_until(YOKE_NEVER);
}

static int sleeper(void *arg)
{
    (void)arg;
    int rc = yoke_sleep(pause_ns);
    if (rc == 0)
        __atomic_add_fetch(&slept, 1, __ATOMIC_RELAXED);
    return rc;
}

struct run { int tasks; double kb, ms; };

static int all_at_once(void *arg)
{
    struct run *run = arg;
    double before = in_use();
    YOKE_GROUP(g);
    for (int i = 0; i < run->tasks; i++)
        YOKE_TRY(yoke_spawn_ptr(g, block, NULL));
    while (__atomic_load_n(&blocked, __ATOMIC_RELAXED) < run->tasks)
        YOKE_TRY(yoke_sleep(YOKE_MS(1)));
    YOKE_TRY(yoke_sleep(YOKE_MS(10)));
    run->kb = in_use() - before;
    YOKE_TRY(yoke_group_cancel(g, 0));
    return yoke_group_close(g, 0);
}

static int sleep_all(void *arg)
{
    struct run *run = arg;
    double begin = now_ns();
    YOKE_GROUP(g);
    for (int i = 0; i < run->tasks; i++)
        YOKE_TRY(yoke_spawn_ptr(g, sleeper, NULL));
    YOKE_TRY(yoke_group_close(g, 0));
    run->ms = (now_ns() - begin) / 1e6;
    return slept == run->tasks && run->ms * 1e6 >= (double)pause_ns ? 0 : -EPROTO;
}

static void *touch(void *stacks)
{
    for (int i = 0; i < *(int *)stacks; i += SLAB) {
        char *slab = mmap(NULL, (size_t)SLAB * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (slab == MAP_FAILED)
            exit(1);
        for (int k = 0; k < SLAB; k++) {
            if (madvise(slab + (size_t)k * STACK, GUARD, MADV_GUARD_INSTALL) < 0)
                exit(1);
            slab[(size_t)(k + 1) * STACK - 64] = 1;
        }
    }
    return NULL;
}

static void bare(struct run *run)
{
    pthread_t threads[2];
    int each = run->tasks / 2;
    double before = in_use(), begin = now_ns();
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, touch, &each) != 0)
            exit(1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    struct timespec t = { .tv_sec = pause_ns / 1000000000, .tv_nsec = pause_ns % 1000000000 };
    nanosleep(&t, NULL);
    run->kb = in_use() - before;
    run->ms = (now_ns() - begin) / 1e6;
}

int main(int argc, char **argv)
{
    bool floor = argc > 1 && strcmp(argv[1], "bare") == 0;
    struct run run = { .tasks = number(argc, argv, 1 + floor, 1000000) };
    pause_ns = YOKE_SEC(number(argc, argv, 2 + floor, 1));
    if (floor)
        bare(&run);
    else if (yoke_run(all_at_once, &run, YOKE_OPTIONS(.workers = 2)) < 0 || yoke_run(sleep_all, &run, YOKE_OPTIONS(.workers = 2)) < 0)
        return 1;
    print_result("blocked-memory", floor ? "bare" : "yoke", run.kb / run.tasks, "KiB/task");
    print_result("blocked-time", floor ? "bare" : "yoke", run.ms, "ms");
    return 0;
}
