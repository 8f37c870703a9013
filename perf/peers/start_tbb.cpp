// start_tbb run|resident THREADS: ../run.c and ../resident.c with oneTBB: a scheduler that starts, runs one task, and is ended.
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>

#include <atomic>
#include <thread>

#include "../resident.h"

// Every thread takes part, since oneTBB starts them when there is something for them.
static bool start(int threads)
{
    std::atomic<int> arrived{0};
    tbb::parallel_for(0, threads, [&](int) {
        arrived++;
        while (arrived < threads)
            std::this_thread::yield();
    }, tbb::simple_partitioner());
    return arrived == threads;
}

int main(int argc, char **argv)
{
    enum { RUNS = 200 };
    const bool resident = argc > 1 && strcmp(argv[1], "resident") == 0;
    const int threads = number(argc, argv, 2, 1);
    tbb::global_control control(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads));
    if (resident) {
        (void)memory_in_use();
        const memory before = memory_in_use();
        if (!start(threads))
            return 1;
        print_resident("oneTBB", threads, before);
        return 0;
    }
    char what[32];
    const double begin = now_ns();
    for (int i = 0; i < RUNS; i++) {
        tbb::task_scheduler_handle handle{tbb::attach{}};
        if (!start(threads) || !tbb::finalize(handle, std::nothrow))
            return 1;
    }
    std::snprintf(what, sizeof what, "run-%d", threads);
    print_result(what, "oneTBB", (now_ns() - begin) / RUNS / 1e6, "ms");
    return 0;
}
