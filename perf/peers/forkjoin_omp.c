/*
 * forkjoin_omp CASE WORKERS [N]: the cases of ../forkjoin_work.h with OpenMP: tasks where others fork, a loop where there are rows. Built twice: by
 * GCC with libgomp, by Clang with libomp; SUBJECT is the library's name.
 */
#include <math.h>
#include <omp.h>

#include "../forkjoin_work.h"
#include "../measure.h"

static struct work *work;

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

static long queens(const struct queen *above, int row)
{
    long counts[16] = { 0 }, count = 0;
    if (row == work->n)
        return 1;
    for (int c = 0; c < work->n; c++)
        if (queen_safe(above, row, c)) {
#pragma omp task shared(counts) firstprivate(above, row, c)
            {
                struct queen mine = { above, row, c };
                counts[c] = queens(&mine, row + 1);
            }
        }
#pragma omp taskwait
    for (int c = 0; c < work->n; c++)
        count += counts[c];
    return count;
}

static long below(const struct uts_node *node)
{
    long count = 0;
    if (node->children == 0)
        return 0;
    for (int i = 0; i < node->children; i++) {
#pragma omp task shared(count) firstprivate(node, i)
        {
            struct uts_node child;
            uts_child(work, node, i, &child);
            long more = 1 + below(&child);
#pragma omp atomic
            count += more;
        }
    }
#pragma omp taskwait
    return count;
}

static double integrate(double x1, double y1, double x2, double y2)
{
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0), left, right;
    double both = (y1 + y0) / 2 * half + (y0 + y2) / 2 * half, one = (y1 + y2) * half;
    if (fabs(both - one) < INTEGRATE_ERROR)
        return both;
#pragma omp task shared(left) firstprivate(x1, y1, x0, y0)
    left = integrate(x1, y1, x0, y0);
    right = integrate(x0, y0, x2, y2);
#pragma omp taskwait
    return left + right;
}

static long skynet(long number, long size)
{
    long sums[10], sum = 0;
    if (size == 1)
        return number;
    size /= 10;
    for (int i = 0; i < 10; i++) {
#pragma omp task shared(sums) firstprivate(number, size, i)
        sums[i] = skynet(number + i * size, size);
    }
#pragma omp taskwait
    for (int i = 0; i < 10; i++)
        sum += sums[i];
    return sum;
}

static void matmul(double *c, const double *a, const double *b, long size)
{
    long n = work->n, half = size / 2, down = half * n;
    if (size == MATMUL_LEAF) {
        matmul_leaf(c, a, b, n);
        return;
    }
    for (int k = 0; k < 2; k++, a += half, b += down) {
#pragma omp task
        matmul(c, a, b, half);
#pragma omp task
        matmul(c + half, a, b + half, half);
#pragma omp task
        matmul(c + down, a + down, b, half);
        matmul(c + down + half, a + down, b + half, half);
#pragma omp taskwait
    }
}

static void heat(void)
{
#pragma omp parallel
    for (long step = 0; step < HEAT_STEPS; step++) {
#pragma omp for schedule(static)
        for (long row = 1; row < work->n; row++)
            heat_row(work, step, row);
    }
}

static void coarse(void)
{
    for (int i = 0; i < COARSE_FORKS; i++) {
#pragma omp task firstprivate(i)
        coarse_leaf(work, i);
    }
    coarse_leaf(work, COARSE_FORKS);
#pragma omp taskwait
}

static double solve(void)
{
    double n = (double)work->n, *c;
    const double *a, *b;
    struct uts_node root;
    switch (work->kind) {
    case FIB: return (double)fib(work->n);
    case QUEENS: return (double)queens(NULL, 0);
    case UTS: uts_root(work, &root); return (double)(1 + below(&root));
    case INTEGRATE: return integrate(0, integrand(0), n, integrand(n));
    case SKYNET: return (double)skynet(0, work->n);
    case MATMUL: work_matrices(work, &c, &a, &b); matmul(c, a, b, work->n); return 0;
    default: coarse(); return 0;
    }
}

int main(int argc, char **argv)
{
    work = work_open(argc > 1 ? argv[1] : "fib", number(argc, argv, 2, 1), number(argc, argv, 3, 0));
    omp_set_num_threads(work->workers);
    while (work_begin(work)) {
        double result = 0;
        if (work->kind == HEAT) {
            heat();
        } else {
#pragma omp parallel
#pragma omp single
            result = solve();
        }
        work_end(work, result);
    }
    work_print(work, SUBJECT);
    return 0;
}
