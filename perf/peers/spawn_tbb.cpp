// spawn_tbb WORKERS SHAPE [N]: the shapes of ../spawn.c with oneTBB's task groups.
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_group.h>

#include <atomic>
#include <string>

#include "../spawn.h"

template <typename Body> static void spawn_all(int n, Body body)
{
    tbb::task_group group;
    for (int i = 0; i < n; i++)
        group.run(body);
    group.wait();
}

template <typename Body> static void run(const std::string &shape, int groups, Body body)
{
    if (shape == "batch")
        for (int i = 0; i < groups; i++)
            spawn_all(TASKS, body);
    else if (shape == "nested")
        spawn_all(groups, [body] { spawn_all(TASKS, body); });
    else
        spawn_all(groups * (shape == "grains" ? GRAINS : TASKS), body);
}

int main(int argc, char **argv)
{
    const int workers = number(argc, argv, 1, 1), groups = number(argc, argv, 3, GROUPS), turns = turns_of_grain();
    const std::string shape = argc > 2 ? argv[2] : "batch";
    tbb::global_control control(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(workers));
    const double begin = now_ns();
    if (shape == "grains")
        run(shape, groups, [turns] { spin(turns); });
    else
        run(shape, groups, [] {});
    const double took = now_ns() - begin;
    std::atomic<int> ran{0};
    run(shape, groups, [&ran] { ran.fetch_add(1, std::memory_order_relaxed); });
    print_spawned(shape.c_str(), workers, groups, "oneTBB", took, ran);
    return 0;
}
