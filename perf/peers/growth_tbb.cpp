// growth_tbb RANGE VALUE [TOTAL]: ../growth.c with oneTBB task groups.
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include "../growth.h"

static void descend(growth &g, int left)
{
    if (left == 0)
        return;
    g.places[left - 1]++;
    tbb::task_group group;
    group.run([&g, left] { descend(g, left - 1); });
    group.wait();
}

int main(int argc, char **argv)
{
    growth g = growth_asked(argc, argv);
    double ns = 0;
    // As many threads as asked for, also where there are fewer cores.
    tbb::global_control control(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(g.workers));
    tbb::task_arena arena(g.workers);
    return arena.execute([&] {
        for (int round = 0; round <= g.rounds; round++) {
            const double begin = now_ns();
            if (strcmp(g.range, "depth") == 0) {
                descend(g, g.tasks);
            } else {
                tbb::task_group group;
                for (int i = 0; i < g.tasks; i++)
                    group.run([place = &g.places[i]] { ++*place; });
                group.wait();
            }
            if (round > 0)
                ns += now_ns() - begin;
            if (!growth_right(&g, round))
                return 1;
        }
        growth_print(&g, "oneTBB", ns);
        return 0;
    });
}
