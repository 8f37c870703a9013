// spawn_tbb WORKERS SHAPE: the shapes of ../spawn.c with oneTBB's task groups.
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

template <typename Body> static void run(const std::string &shape, Body body)
{
    if (shape == "batch")
        for (int i = 0; i < GROUPS; i++)
            spawn_all(TASKS, body);
    else if (shape == "nested")
        spawn_all(GROUPS, [body] { spawn_all(TASKS, body); });
    else
        spawn_all(shape == "grains" ? GRAINS : GROUPS * TASKS, body);
}

int main(int argc, char **argv)
{
    const int workers = number(argc, argv, 1, 1), turns = turns_of_grain();
    const std::string shape = argc > 2 ? argv[2] : "batch";
    tbb::global_control control(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(workers));
    const double begin = now_ns();
    if (shape == "grains")
        run(shape, [turns] { spin(turns); });
    else
        run(shape, [] {});
    const double took = now_ns() - begin;
    std::atomic<int> ran{0};
    run(shape, [&ran] { ran.fetch_add(1, std::memory_order_relaxed); });
    print_spawned(shape.c_str(), workers, "oneTBB", took, ran);
    return 0;
}
