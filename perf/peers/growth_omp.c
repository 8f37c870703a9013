/* growth_omp RANGE VALUE [TOTAL]: ../growth.c with OpenMP tasks. */
#include <omp.h>

#include "../growth.h"

static void descend(struct growth *g, int left)
{
    if (left == 0)
        return;
    g->places[left - 1]++;
#pragma omp task
    descend(g, left - 1);
#pragma omp taskwait
}

int main(int argc, char **argv)
{
    struct growth g = growth_asked(argc, argv);
    double ns = 0;
    int right = 1;
    omp_set_num_threads(g.workers);
#pragma omp parallel
#pragma omp single
    for (int round = 0; round <= g.rounds && right; round++) {
        double begin = now_ns();
        if (strcmp(g.range, "depth") == 0) {
            descend(&g, g.tasks);
        } else {
            for (int i = 0; i < g.tasks; i++) {
                unsigned char *place = &g.places[i];
#pragma omp task firstprivate(place)
                ++*place;
            }
#pragma omp taskwait
        }
        if (round > 0)
            ns += now_ns() - begin;
        right = growth_right(&g, round);
    }
    if (!right)
        return 1;
    growth_print(&g, "libgomp", ns);
    return 0;
}
