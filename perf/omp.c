/* omp fib|spawn THREADS N: the same with OpenMP tasks. */
#include <omp.h>
#include <string.h>

#include "measure.h"

static long fib(long n)
{
    if (n < 2)
        return n;
    long a, b;
#pragma omp task shared(a) firstprivate(n)
    a = fib(n - 1);
    b = fib(n - 2);
#pragma omp taskwait
    return a + b;
}

int main(int argc, char **argv)
{
    int spawn = argc > 1 && strcmp(argv[1], "spawn") == 0, threads = number(argc, argv, 2, 1), n = number(argc, argv, 3, 27);
    char what[32];
    volatile long result = 0;
    double begin = now_ns();
    omp_set_num_threads(threads);
#pragma omp parallel
#pragma omp single
    {
        if (spawn) {
            for (int i = 0; i < 1000; i++) {
                for (int k = 0; k < 1000; k++) {
#pragma omp task
                    __asm__ volatile("" ::: "memory");
                }
#pragma omp taskwait
            }
        } else {
            result = fib(n);
        }
    }
    (void)result;
    double ns = now_ns() - begin;
    snprintf(what, sizeof what, "%s-%d", spawn ? "batch" : "fib", threads);
    print_result(what, "libgomp", spawn ? ns / 1e6 : ns / forks_of(n), spawn ? "ns/task" : "ns/fork");
    return 0;
}
