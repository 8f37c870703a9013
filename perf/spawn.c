/*
 * spawn WORKERS SHAPE [N]: what a spawned task costs, its share of the close included. N: 1000.
 *   batch     N groups of 1000 empty tasks
 *   flat      N times 1000 empty tasks into one group; and the memory that this takes
 *   nested    N tasks, each of which spawns 1000 into a group of its own
 *   siblings  N tasks, each of which spawns 1000 into the group it is in
 *   grains    N times 250 tasks of 200 ns into one group: ms in all
 */
#include <yoke/yoke.h>

#include "spawn.h"

static int groups;
static int turns; /* of spin() that make a grain */
static int ran;

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int count(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&ran, 1, __ATOMIC_RELAXED);
    return 0;
}

static int grain(void *arg)
{
    (void)arg;
    spin(turns);
    return 0;
}

static yoke_fn body = nothing; /* of the tasks; when the time is taken, all is done again with count() */

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
    (void)arg;
    for (int i = 0; i < groups; i++)
        YOKE_TRY(one_group(body, TASKS));
    return 0;
}

static int flat(void *arg)
{
    (void)arg;
    return one_group(body, groups * TASKS);
}

static int grains(void *arg)
{
    (void)arg;
    return one_group(body, groups * GRAINS);
}

static int spawn_own(void *arg)
{
    (void)arg;
    return one_group(body, TASKS);
}

static int nested(void *arg)
{
    (void)arg;
    return one_group(spawn_own, groups);
}

static int spawn_siblings(void *arg)
{
    return into(*(yoke_group *)arg, body, TASKS);
}

static int siblings(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < groups; i++)
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
    body = count;
    return run->fn(run);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; yoke_fn fn; } shapes[] = {
        { "batch", batch }, { "flat", flat }, { "nested", nested }, { "siblings", siblings }, { "grains", grains },
    };
    int workers = number(argc, argv, 1, 1);
    const char *shape = argc > 2 ? argv[2] : "batch";
    struct run run = { .fn = NULL };
    groups = number(argc, argv, 3, GROUPS);
    char what[64];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shape, shapes[i].name) == 0)
            run.fn = shapes[i].fn;
    if (run.fn == NULL)
        return 2;
    if (run.fn == grains) {
        turns = turns_of_grain();
        body = grain;
    }
    if (yoke_run(app, &run, YOKE_OPTIONS(.workers = workers)) < 0)
        return 1;
    print_spawned(shape, workers, groups, "yoke", run.ns, ran);
    if (run.fn == flat) {
        snprintf(what, sizeof what, "flat-memory-%d", workers);
        print_result(what, "yoke", run.mb, "MB");
    }
    return 0;
}
