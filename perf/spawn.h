/* spawn.h - the sizes of the question `spawn`, and its grain, in C and C++. go/spawn.go, rayon/spawn.rs and tokio/spawn.rs repeat them. */
#ifndef YOKE_PERF_SPAWN_H
#define YOKE_PERF_SPAWN_H

#include "measure.h"

enum { GROUPS = 1000, TASKS = 1000, GRAINS = 250, GRAIN_NS = 200 }; /* GRAINS: for each of the groups */

static inline void spin(int n)
{
    for (int i = 0; i < n; i++)
        __asm__ volatile("" : : "r"(i));
}

static inline int turns_of_grain(void)
{
    double begin = now_ns();
    spin(10000000);
    return (int)(GRAIN_NS / (now_ns() - begin) * 10000000);
}

/* `ran`: how many tasks ran when all was done once more, counting. */
static inline void print_spawned(const char *shape, int workers, int groups, const char *subject, double ns, int ran)
{
    int grains = strcmp(shape, "grains") == 0, tasks = groups * (grains ? GRAINS : TASKS);
    char what[64];
    if (ran != tasks) {
        fprintf(stderr, "%s: %s ran %d tasks, not %d\n", shape, subject, ran, tasks);
        exit(1);
    }
    snprintf(what, sizeof what, "%s-%d", shape, workers);
    print_result(what, subject, grains ? ns / 1e6 : ns / tasks, grains ? "ms" : "ns/task");
}

#endif
