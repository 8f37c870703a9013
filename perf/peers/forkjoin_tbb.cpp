// forkjoin_tbb CASE WORKERS [N]: the cases of ../forkjoin_work.h with oneTBB: a task group where others fork, loops where there are rows.
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/parallel_invoke.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <atomic>
#include <cmath>

#include "../forkjoin_work.h"
#include "../measure.h"

static struct work *work;

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

static long queens(const struct queen *above, int row)
{
    if (row == work->n)
        return 1;
    std::atomic<long> count{0};
    tbb::task_group group;
    for (int c = 0; c < work->n; c++)
        if (queen_safe(above, row, c))
            group.run([=, &count] {
                const struct queen mine = {above, row, c};
                count.fetch_add(queens(&mine, row + 1), std::memory_order_relaxed);
            });
    group.wait();
    return count;
}

static long below(const struct uts_node &node)
{
    if (node.children == 0)
        return 0;
    std::atomic<long> count{0};
    tbb::task_group group;
    for (int i = 0; i < node.children; i++)
        group.run([i, &node, &count] {
            struct uts_node child;
            uts_child(work, &node, i, &child);
            count.fetch_add(1 + below(child), std::memory_order_relaxed);
        });
    group.wait();
    return count;
}

static double integrate(double x1, double y1, double x2, double y2)
{
    const double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    const double both = (y1 + y0) / 2 * half + (y0 + y2) / 2 * half, one = (y1 + y2) * half;
    if (std::abs(both - one) < INTEGRATE_ERROR)
        return both;
    double left, right;
    tbb::task_group group;
    group.run([=, &left] { left = integrate(x1, y1, x0, y0); });
    right = integrate(x0, y0, x2, y2);
    group.wait();
    return left + right;
}

static long skynet(long number, long size)
{
    if (size == 1)
        return number;
    long sums[10], sum = 0;
    tbb::task_group group;
    size /= 10;
    for (int i = 0; i < 10; i++)
        group.run([=, &sums] { sums[i] = skynet(number + i * size, size); });
    group.wait();
    for (long s : sums)
        sum += s;
    return sum;
}

static void matmul(double *c, const double *a, const double *b, long size)
{
    const long n = work->n, half = size / 2, down = half * n;
    if (size == MATMUL_LEAF) {
        matmul_leaf(c, a, b, n);
        return;
    }
    for (int k = 0; k < 2; k++, a += half, b += down)
        tbb::parallel_invoke([=] { matmul(c, a, b, half); }, [=] { matmul(c + half, a, b + half, half); },
            [=] { matmul(c + down, a + down, b, half); }, [=] { matmul(c + down + half, a + down, b + half, half); });
}

static void heat()
{
    for (long step = 0; step < HEAT_STEPS; step++)
        tbb::parallel_for(tbb::blocked_range<long>(1, work->n), [=](const tbb::blocked_range<long> &rows) {
            for (long row = rows.begin(); row < rows.end(); row++)
                heat_row(work, step, row);
        });
}

static void coarse()
{
    tbb::task_group group;
    for (int i = 0; i < COARSE_FORKS; i++)
        group.run([i] { coarse_leaf(work, i); });
    coarse_leaf(work, COARSE_FORKS);
    group.wait();
}

static double solve()
{
    const double n = static_cast<double>(work->n);
    double *c;
    const double *a, *b;
    struct uts_node root;
    switch (work->kind) {
    case FIB: return static_cast<double>(fib(work->n));
    case QUEENS: return static_cast<double>(queens(nullptr, 0));
    case UTS: uts_root(work, &root); return static_cast<double>(1 + below(root));
    case INTEGRATE: return integrate(0, integrand(0), n, integrand(n));
    case SKYNET: return static_cast<double>(skynet(0, work->n));
    case MATMUL: work_matrices(work, &c, &a, &b); matmul(c, a, b, work->n); return 0;
    case HEAT: heat(); return 0;
    default: coarse(); return 0;
    }
}

int main(int argc, char **argv)
{
    work = work_open(argc > 1 ? argv[1] : "fib", number(argc, argv, 2, 1), number(argc, argv, 3, 0));
    tbb::global_control control(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(work->workers));
    tbb::task_arena arena(work->workers); // more than there are cores, if asked for
    arena.execute([] {
        while (work_begin(work))
            work_end(work, solve());
    });
    work_print(work, "oneTBB");
    return 0;
}
