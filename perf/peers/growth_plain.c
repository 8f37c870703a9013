/* growth_plain RANGE VALUE [TOTAL]: ../growth.c as plain calls, which the compiler may not see through. */
#include "../growth.h"

static __attribute__((noinline)) void mark(unsigned char *place)
{
    ++*place;
}

static void descend(struct growth *g, int left)
{
    void (*volatile next)(struct growth *, int) = descend;
    if (left > 0) {
        g->places[left - 1]++;
        next(g, left - 1);
    }
}

int main(int argc, char **argv)
{
    struct growth g = growth_asked(argc, argv);
    double ns = 0;
    for (int round = 0; round <= g.rounds; round++) {
        void (*volatile task)(unsigned char *) = mark;
        double begin = now_ns();
        if (strcmp(g.range, "depth") == 0)
            descend(&g, g.tasks);
        else
            for (int i = 0; i < g.tasks; i++)
                task(&g.places[i]);
        if (round > 0)
            ns += now_ns() - begin;
        if (!growth_right(&g, round))
            return 1;
    }
    growth_print(&g, "plain-C", ns);
    return 0;
}
