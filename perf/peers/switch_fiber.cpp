// switch_fiber [TIMES]: ../switch.c with Boost.Fiber: yields, alone and in a pair; a value handed to and fro over channels without buffer. One thread.
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/unbuffered_channel.hpp>

#include "../measure.h"

static int times;
static long yields;

static void yield_all()
{
    for (int i = 0; i < times; i++) {
        yields++;
        boost::this_fiber::yield();
    }
}

template <typename F, typename G> static double pair(F first, G second)
{
    const double begin = now_ns();
    boost::fibers::fiber a(first), b(second);
    a.join();
    b.join();
    return (now_ns() - begin) / (2.0 * times);
}

static void check(bool right)
{
    if (!right) {
        std::fprintf(stderr, "a wrong result\n");
        std::exit(1);
    }
}

int main(int argc, char **argv)
{
    times = number(argc, argv, 1, 2000000);
    const double begin = now_ns();
    yield_all();
    print_result("yield-alone", "Boost.Fiber", (now_ns() - begin) / times, "ns");
    print_result("yield-pair", "Boost.Fiber", pair(yield_all, yield_all), "ns");
    check(yields == 3L * times);

    boost::fibers::unbuffered_channel<int> there, back;
    long sum = 0;
    const double ns = pair(
        [&] {
            for (int i = 0; i < times; i++) {
                there.push(i);
                sum += back.value_pop();
            }
        },
        [&] {
            for (int i = 0; i < times; i++)
                back.push(there.value_pop());
        });
    check(sum == times * (times - 1L) / 2);
    print_result("hand-over", "Boost.Fiber", ns, "ns");
    return 0;
}
