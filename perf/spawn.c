/*
 * spawn WORKERS SHAPE: what a spawned task costs, its share of the close included.
 *   batch     1000 groups of 1000 empty tasks
 *   flat      1,000,000 empty tasks into one group; and the memory that this takes
 *   nested    1000 tasks, each of which spawns 1000 into a group of its own
 *   siblings  1000 tasks, each of which spawns 1000 into the group it is in
 *   grains    250,000 tasks of 200 ns into one group: seconds
 */
#include <yoke/yoke.h>

#include <string.h>

#include "measure.h"

enum { GROUPS = 1000, TASKS = 1000, GRAINS = 250000, GRAIN_NS = 200 };

static int turns; /* of spin() that make a grain */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void spin(int n)
{
    for (int i = 0; i < n; i++)
        __asm__ volatile("" : : "r"(i));
}

static int grain(void *arg)
{
    (void)arg;
    spin(turns);
    return 0;
}

static int into(yoke_group g, yoke_fn fn, int n)
{
    for (int i = 0; i < n; i++)
        YOKE_TRY(yoke_spawn_ptr(g, fn, NULL));
    return 0;
}

static int one_group(yoke_fn fn, int n)
{
    YOKE_GROUP(g);
    return yoke_group_close(g, into(g, fn, n));
}

static int batch(void *arg)
{
    for (int i = 0; i < GROUPS; i++)
        YOKE_TRY(one_group(nothing, TASKS));
    return arg == NULL;
}

static int flat(void *arg)
{
    (void)arg;
    return one_group(nothing, GROUPS * TASKS);
}

static int grains(void *arg)
{
    (void)arg;
    return one_group(grain, GRAINS);
}

static int spawn_own(void *arg)
{
    (void)arg;
    return one_group(nothing, TASKS);
}

static int nested(void *arg)
{
    (void)arg;
    return one_group(spawn_own, GROUPS);
}

static int spawn_siblings(void *arg)
{
    return into(*(yoke_group *)arg, nothing, TASKS);
}

static int siblings(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < GROUPS; i++)
        YOKE_TRY(yoke_spawn_ptr(g, spawn_siblings, &g));
    return yoke_group_close(g, 0);
}

struct run { yoke_fn fn; double ns, mb; };

static int app(void *arg)
{
    struct run *run = arg;
    double before = kilobytes("VmRSS:"), begin = now_ns();
    YOKE_TRY(run->fn(run));
    run->ns = now_ns() - begin;
    run->mb = (kilobytes("VmHWM:") - before) / 1024;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct { const char *name; yoke_fn fn; } shapes[] = {
        { "batch", batch }, { "flat", flat }, { "nested", nested }, { "siblings", siblings }, { "grains", grains },
    };
    int workers = number(argc, argv, 1, 1);
    const char *shape = argc > 2 ? argv[2] : "batch";
    struct run run = { .fn = NULL };
    char what[64];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shape, shapes[i].name) == 0)
            run.fn = shapes[i].fn;
    if (run.fn == NULL)
        return 2;
    double begin = now_ns();
    spin(10000000);
    turns = (int)(GRAIN_NS / (now_ns() - begin) * 10000000);
    if (yoke_run(app, &run, YOKE_OPTIONS(.workers = workers)) < 0)
        return 1;
    snprintf(what, sizeof what, "%s-%d", shape, workers);
    if (run.fn == grains) {
        print_result(what, "yoke", run.ns / 1e6, "ms");
        return 0;
    }
    print_result(what, "yoke", run.ns / (GROUPS * TASKS), "ns/task");
    if (run.fn == flat) {
        snprintf(what, sizeof what, "flat-memory-%d", workers);
        print_result(what, "yoke", run.mb, "MB");
    }
    return 0;
}
