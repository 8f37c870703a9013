/* growth.h - what the programs of the question `growth` share: places that tasks mark, and the line of output. */
#ifndef YOKE_PERF_GROWTH_H
#define YOKE_PERF_GROWTH_H

#include "measure.h"

enum { GROWTH_BATCH = 1000 }; /* tasks a group while the number of workers grows */

struct growth {
    const char *range;
    int value;      /* as asked: tasks, depth or workers */
    int workers, tasks, rounds;
    unsigned char *places; /* how often each task has run, modulo 256 */
};

/* NAME RANGE VALUE [TOTAL]: see growth.c. */
static inline struct growth growth_asked(int argc, char **argv)
{
    struct growth g;
    int total = number(argc, argv, 3, 1000000);
    g.range = argc > 1 ? argv[1] : "tasks";
    g.value = number(argc, argv, 2, 1000);
    g.workers = strcmp(g.range, "workers") == 0 ? g.value : 1;
    g.tasks = strcmp(g.range, "workers") == 0 ? GROWTH_BATCH : g.value;
    g.rounds = total > g.tasks ? total / g.tasks : 1;
    g.places = (unsigned char *)calloc((size_t)g.tasks, 1);
    if (g.places == NULL)
        exit(1);
    return g;
}

/* Whether every task has run once in each round so far; the first one is 0. */
static inline int growth_right(const struct growth *g, int round)
{
    for (int i = 0; i < g->tasks; i++)
        if (g->places[i] != (unsigned char)(round + 1)) {
            fprintf(stderr, "%s-%d: task %d has not run once in round %d\n", g->range, g->value, i, round);
            return 0;
        }
    return 1;
}

static inline void growth_print(const struct growth *g, const char *subject, double ns)
{
    char what[64];
    snprintf(what, sizeof what, "%s-%d", g->range, g->value);
    print_result(what, subject, ns / ((double)g->rounds * g->tasks), "ns/task");
}

#endif
