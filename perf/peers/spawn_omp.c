/* spawn_omp WORKERS SHAPE [N]: the shapes of ../spawn.c with OpenMP's tasks. Built by GCC with libgomp and by Clang with libomp: SUBJECT. */
#include <omp.h>

#include "../spawn.h"

enum body { NOTHING, GRAIN, COUNT };
static int groups, turns, ran;

static void spawn_all(int n, enum body body)
{
    for (int i = 0; i < n; i++) {
        if (body == NOTHING) {
#pragma omp task
            __asm__ volatile("" ::: "memory");
        } else if (body == GRAIN) {
#pragma omp task
            spin(turns);
        } else {
#pragma omp task
            {
#pragma omp atomic
                ran++;
            }
        }
    }
#pragma omp taskwait
}

static void run(const char *shape, enum body body)
{
    if (strcmp(shape, "batch") == 0) {
        for (int i = 0; i < groups; i++)
            spawn_all(TASKS, body);
    } else if (strcmp(shape, "nested") == 0) {
        for (int i = 0; i < groups; i++) {
#pragma omp task
            spawn_all(TASKS, body);
        }
#pragma omp taskwait
    } else {
        spawn_all(groups * (strcmp(shape, "grains") == 0 ? GRAINS : TASKS), body);
    }
}

int main(int argc, char **argv)
{
    int workers = number(argc, argv, 1, 1);
    const char *shape = argc > 2 ? argv[2] : "batch";
    double took = 0;
    groups = number(argc, argv, 3, GROUPS);
    turns = turns_of_grain();
    omp_set_num_threads(workers);
#pragma omp parallel
#pragma omp single
    {
        double begin = now_ns();
        run(shape, strcmp(shape, "grains") == 0 ? GRAIN : NOTHING);
        took = now_ns() - begin;
        run(shape, COUNT);
    }
    print_spawned(shape, workers, groups, SUBJECT, took, ran);
    return 0;
}
