/* forkjoin_serial CASE 1 [N]: see forkjoin_work.h; plain C calls where the others fork: the floor. */
#include "forkjoin_work.h"
#include "measure.h"

static struct work *work;

/* The compiler may not see through this one, nor through skynet. */
static __attribute__((noinline)) long fib(long n)
{
    __asm__ volatile("" : "+r"(n));
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static long queens(const struct queen *above, int row)
{
    long count = 0;
    if (row == work->n)
        return 1;
    for (int c = 0; c < work->n; c++)
        if (queen_safe(above, row, c))
            count += queens(&(struct queen){ above, row, c }, row + 1);
    return count;
}

static long below(const struct uts_node *node)
{
    long count = 0;
    for (int i = 0; i < node->children; i++) {
        struct uts_node child;
        uts_child(work, node, i, &child);
        count += 1 + below(&child);
    }
    return count;
}

static double integrate(double x1, double y1, double x2, double y2)
{
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    double both = (y1 + y0) / 2 * half + (y0 + y2) / 2 * half, one = (y1 + y2) * half, difference = both - one;
    if (difference < INTEGRATE_ERROR && difference > -INTEGRATE_ERROR)
        return both;
    double left = integrate(x1, y1, x0, y0);
    return left + integrate(x0, y0, x2, y2);
}

static __attribute__((noinline)) long skynet(long number, long size)
{
    long sum = 0;
    __asm__ volatile("" : "+r"(number));
    if (size == 1)
        return number;
    size /= 10;
    for (int i = 0; i < 10; i++)
        sum += skynet(number + i * size, size);
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
        matmul(c, a, b, half);
        matmul(c + half, a, b + half, half);
        matmul(c + down, a + down, b, half);
        matmul(c + down + half, a + down, b + half, half);
    }
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
    case HEAT:
        for (long step = 0; step < HEAT_STEPS; step++)
            for (long row = 1; row < work->n; row++)
                heat_row(work, step, row);
        return 0;
    default:
        for (int i = 0; i <= COARSE_FORKS; i++)
            coarse_leaf(work, i);
        return 0;
    }
}

int main(int argc, char **argv)
{
    work = work_open(argc > 1 ? argv[1] : "fib", 1, number(argc, argv, 3, 0));
    while (work_begin(work))
        work_end(work, solve());
    work_print(work, "plain-C");
    return 0;
}
