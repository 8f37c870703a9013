// tbb fib|spawn THREADS N: the same with oneTBB task groups.
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_group.h>

#include <cstring>

#include "measure.h"

static long fib(long n)
{
    if (n < 2)
        return n;
    long a, b;
    tbb::task_group group;
    group.run([&a, n] { a = fib(n - 1); });
    b = fib(n - 2);
    group.wait();
    return a + b;
}

int main(int argc, char **argv)
{
    bool spawn = argc > 1 && std::strcmp(argv[1], "spawn") == 0;
    int threads = number(argc, argv, 2, 1), n = number(argc, argv, 3, 30);
    char what[32];
    tbb::global_control control(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads));
    volatile long result = 0;
    double begin = now_ns();
    if (spawn) {
        for (int i = 0; i < 1000; i++) {
            tbb::task_group group;
            for (int k = 0; k < 1000; k++)
                group.run([] {});
            group.wait();
        }
    } else {
        result = fib(n);
    }
    (void)result;
    double ns = now_ns() - begin;
    std::snprintf(what, sizeof what, "%s-%d", spawn ? "batch" : "fib", threads);
    print_result(what, "oneTBB", spawn ? ns / 1e6 : ns / forks_of(n), spawn ? "ns/task" : "ns/fork");
    return 0;
}
