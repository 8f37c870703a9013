/* forkjoin CASE WORKERS [N]: see forkjoin_work.h; and fib-plain, the plain form of fork. All others use the typed form. */
#include <yoke/yoke.h>

#include "forkjoin_work.h"
#include "measure.h"

static struct work *work;

/* ---- fib ---- */

static long fib(long n);
YOKE_FORK_DEFINE1(fib, long, long)

static long fib(long n)
{
    if (n < 2)
        return n;
    fib_fork f;
    fib_fork_begin(&f, n - 1);
    long b = fib(n - 2);
    return fib_fork_join(&f) + b;
}

struct call {
    long n, result;
};

static int plain_fib(void *arg)
{
    struct call *c = arg;
    if (c->n < 2) {
        c->result = c->n;
        return 0;
    }
    struct call a = { c->n - 1, 0 }, b = { c->n - 2, 0 };
    yoke_forked f;
    yoke_fork(&f, plain_fib, &a);
    plain_fib(&b);
    int rc = yoke_join(&f);
    c->result = a.result + b.result;
    return rc;
}

/* ---- queens ---- */

static long queens(const struct queen *above, int row, int column);
YOKE_FORK_DEFINE3(queens, long, const struct queen *, int, int)

static long queens(const struct queen *above, int row, int column)
{
    struct queen mine = { above, row, column };
    queens_fork forks[16];
    long count = 0;
    int n = 0;
    if (++row == work->n)
        return 1;
    for (int c = 0; c < work->n; c++)
        if (queen_safe(&mine, row, c))
            queens_fork_begin(&forks[n++], &mine, row, c);
    while (n > 0)
        count += queens_fork_join(&forks[--n]);
    return count;
}

static long all_queens(void)
{
    queens_fork forks[16];
    long count = 0;
    for (int c = 0; c < work->n; c++)
        queens_fork_begin(&forks[c], NULL, 0, c);
    for (int c = (int)work->n; c-- > 0;)
        count += queens_fork_join(&forks[c]);
    return count;
}

/* ---- unbalanced trees ---- */

static long child(const struct uts_node *parent, int index);
YOKE_FORK_DEFINE2(child, long, const struct uts_node *, int)
static long children(const struct uts_node *parent, int begin, int end);
YOKE_FORK_DEFINE3(children, long, const struct uts_node *, int, int)

/* The nodes below some children: of many, by halves, as a root can have thousands. */
static long children(const struct uts_node *parent, int begin, int end)
{
    if (end - begin > 8) {
        int middle = begin + (end - begin) / 2;
        children_fork f;
        children_fork_begin(&f, parent, begin, middle);
        long b = children(parent, middle, end);
        return children_fork_join(&f) + b;
    }
    child_fork forks[8];
    long count = 0;
    for (int i = begin; i < end; i++)
        child_fork_begin(&forks[i - begin], parent, i);
    for (int i = end; i-- > begin;)
        count += child_fork_join(&forks[i - begin]);
    return count;
}

static long child(const struct uts_node *parent, int index)
{
    struct uts_node node;
    uts_child(work, parent, index, &node);
    return node.children > 0 ? 1 + children(&node, 0, node.children) : 1;
}

static long tree(void)
{
    struct uts_node root;
    uts_root(work, &root);
    return 1 + children(&root, 0, root.children);
}

/* ---- integrate ---- */

static double integrate(double x1, double y1, double x2, double y2);
YOKE_FORK_DEFINE4(integrate, double, double, double, double, double)

static double integrate(double x1, double y1, double x2, double y2)
{
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    double both = (y1 + y0) / 2 * half + (y0 + y2) / 2 * half, one = (y1 + y2) * half, difference = both - one;
    if (difference < INTEGRATE_ERROR && difference > -INTEGRATE_ERROR)
        return both;
    integrate_fork f;
    integrate_fork_begin(&f, x1, y1, x0, y0);
    double right = integrate(x0, y0, x2, y2);
    return integrate_fork_join(&f) + right;
}

/* ---- skynet ---- */

static long skynet(long number, long size);
YOKE_FORK_DEFINE2(skynet, long, long, long)

static long skynet(long number, long size)
{
    if (size == 1)
        return number;
    skynet_fork forks[10];
    long sum = 0;
    size /= 10;
    for (int i = 0; i < 10; i++)
        skynet_fork_begin(&forks[i], number + i * size, size);
    for (int i = 10; i-- > 0;)
        sum += skynet_fork_join(&forks[i]);
    return sum;
}

/* ---- matmul: four quadrants at once, twice ---- */

static int matmul(double *c, const double *a, const double *b, long size);
YOKE_FORK_DEFINE4(matmul, int, double *, const double *, const double *, long)

static int quadrants(double *c, const double *a, const double *b, long half, long n)
{
    matmul_fork f, g, h;
    matmul_fork_begin(&f, c, a, b, half);
    matmul_fork_begin(&g, c + half, a, b + half, half);
    matmul_fork_begin(&h, c + half * n, a + half * n, b, half);
    matmul(c + half * n + half, a + half * n, b + half, half);
    return matmul_fork_join(&h) + matmul_fork_join(&g) + matmul_fork_join(&f);
}

static int matmul(double *c, const double *a, const double *b, long size)
{
    long n = work->n, half = size / 2;
    if (size == MATMUL_LEAF) {
        matmul_leaf(c, a, b, n);
        return 0;
    }
    return quadrants(c, a, b, half, n) + quadrants(c, a + half, b + half * n, half, n);
}

/* ---- heat: a loop over the rows ---- */

static int heat_rows(int64_t begin, int64_t end, void *step)
{
    for (int64_t row = begin; row < end; row++)
        heat_row(work, *(long *)step, (long)row);
    return 0;
}

static void heat(void)
{
    for (long step = 0; step < HEAT_STEPS; step++)
        if (yoke_parallel_for(1, work->n, heat_rows, &step, NULL) < 0)
            exit(1);
}

/* ---- coarse ---- */

static int leaf(int index)
{
    coarse_leaf(work, index);
    return 0;
}
YOKE_FORK_DEFINE1(leaf, int, int)

static int coarse(void)
{
    leaf_fork forks[COARSE_FORKS];
    for (int i = 0; i < COARSE_FORKS; i++)
        leaf_fork_begin(&forks[i], i);
    leaf(COARSE_FORKS);
    for (int i = COARSE_FORKS; i-- > 0;)
        leaf_fork_join(&forks[i]);
    return 0;
}

static double solve(bool plain)
{
    double n = (double)work->n, *c;
    const double *a, *b;
    struct call call = { work->n, 0 };
    switch (work->kind) {
    case FIB: return plain ? (plain_fib(&call), (double)call.result) : (double)fib(work->n);
    case QUEENS: return (double)all_queens();
    case UTS: return (double)tree();
    case INTEGRATE: return integrate(0, integrand(0), n, integrand(n));
    case SKYNET: return (double)skynet(0, work->n);
    case MATMUL: work_matrices(work, &c, &a, &b); return matmul(c, a, b, work->n);
    case HEAT: heat(); return 0;
    default: return coarse();
    }
}

static int app(void *plain)
{
    while (work_begin(work))
        work_end(work, solve(*(bool *)plain));
    return 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "fib";
    bool plain = strcmp(name, "fib-plain") == 0;
    work = work_open(plain ? "fib" : name, number(argc, argv, 2, 1), number(argc, argv, 3, 0));
    if (yoke_run(app, &plain, YOKE_OPTIONS(.workers = work->workers)) < 0)
        return 1;
    work_print(work, plain ? "yoke-plain" : work->kind == FIB ? "yoke-typed" : "yoke");
    return 0;
}
