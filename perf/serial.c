/* serial N: fib as plain C calls, which the compiler may not see through. */
#include "measure.h"

static __attribute__((noinline)) long fib(long n)
{
    __asm__ volatile("" : "+r"(n));
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

int main(int argc, char **argv)
{
    int n = number(argc, argv, 1, 38);
    double begin = now_ns();
    volatile long result = fib(n);
    (void)result;
    print_result("fib-1", "plain-C", (now_ns() - begin) / forks_of(n), "ns/fork");
    return 0;
}
