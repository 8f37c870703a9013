/*
 * forkjoin_work.c - the leaves, the known results and the clock of the question `forkjoin`. One thread opens, begins, ends and prints; what
 * is called in between (uts_child(), matmul_leaf(), heat_row(), coarse_leaf()) is called by all workers, each for a piece of its own.
 */
#include "forkjoin_work.h"

#include <math.h>

#include "measure.h"

enum { REPEAT_MS = 300, LONG_MS = 100, SHORT_MS = 10, COARSE_LEAVES = COARSE_FORKS + 1 };

/* An unbalanced tree: geometric of a fixed degree down to a depth, or binomial. */
struct tree {
    bool binomial;
    uint32_t seed;
    double degree; /* expected; of a binomial tree the root's */
    int depth;     /* geometric: no children from here on */
    double q;      /* binomial: the probability to have children */
    int m;         /* and how many */
    long nodes;    /* as published */
};

static const struct tree t1 = { .seed = 19, .degree = 4, .depth = 10, .nodes = 4130071 };
static const struct tree t3 = { .binomial = true, .seed = 42, .degree = 2000, .q = 0.124875, .m = 8, .nodes = 4112897 };

struct full_work {
    struct work work; /* what the subjects see; first */
    const char *name;
    const struct tree *tree;
    double log_childless; /* geometric: of the probability to have none */
    double *a, *b, *c;
    bool busy; /* coarse: the leaves of the others compute */
    double start[COARSE_LEAVES], end[COARSE_LEAVES];
    double forks; /* or 0: the whole run's time is told */
    double begin, spent, kept; /* ns; the best run's, or coarse's longest gap */
    int runs;
};

static const struct {
    const char *name;
    enum work_kind kind;
    long n;
    const struct tree *tree;
    bool busy;
} known[] = {
    { "fib", FIB, 38, NULL, false },
    { "queens", QUEENS, 12, NULL, false },
    { "uts-t1", UTS, 1, &t1, false },
    { "uts-t3", UTS, 3, &t3, false },
    { "integrate", INTEGRATE, 10000, NULL, false },
    { "skynet", SKYNET, 1000000, NULL, false },
    { "matmul", MATMUL, 1024, NULL, false },
    { "heat", HEAT, 1024, NULL, false },
    { "coarse", COARSE, COARSE_FORKS, NULL, false },
    { "coarse-busy", COARSE, COARSE_FORKS, NULL, true },
};

static struct full_work *full(const struct work *work)
{
    return (struct full_work *)(uintptr_t)work;
}

_Noreturn static void wrong(const struct full_work *w, double result)
{
    fprintf(stderr, "%s: a wrong result: %.17g\n", w->name, result);
    exit(1);
}

static double *numbers(size_t n)
{
    double *v = calloc(n, sizeof *v);
    if (v == NULL)
        exit(1);
    return v;
}

/* ---- unbalanced trees: Olivier and others, "UTS: An Unbalanced Tree Search Benchmark", LCPC 2006 ---- */

static uint32_t rotate(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

/* SHA-1 (FIPS 180-4) of a message of up to 13 words, the first bytes being the high ones. */
static void sha1(const uint32_t *message, int words, uint32_t digest[5])
{
    static const uint32_t initial[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
    uint32_t w[80] = { 0 };
    memcpy(w, message, (size_t)words * 4);
    w[words] = 0x80000000;
    w[15] = (uint32_t)words * 32;
    for (int t = 16; t < 80; t++)
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    uint32_t a = initial[0], b = initial[1], c = initial[2], d = initial[3], e = initial[4];
#define ROUNDS(from, f, k) \
    for (int t = from; t < from + 20; t++) { \
        uint32_t next = rotate(a, 5) + (f) + e + w[t] + k; \
        e = d, d = c, c = rotate(b, 30), b = a, a = next; \
    }
    ROUNDS(0, (b & c) ^ (~b & d), 0x5a827999)
    ROUNDS(20, b ^ c ^ d, 0x6ed9eba1)
    ROUNDS(40, (b & c) ^ (b & d) ^ (c & d), 0x8f1bbcdc)
    ROUNDS(60, b ^ c ^ d, 0xca62c1d6)
#undef ROUNDS
    digest[0] = initial[0] + a;
    digest[1] = initial[1] + b;
    digest[2] = initial[2] + c;
    digest[3] = initial[3] + d;
    digest[4] = initial[4] + e;
}

/* By a number from 0 to 1, the state's last word. */
static int draw_children(const struct full_work *w, const struct uts_node *node)
{
    const struct tree *tree = w->tree;
    double u = (double)(node->state[4] & 0x7fffffff) / 2147483648.0;
    if (tree->binomial)
        return node->depth == 0 ? (int)tree->degree : u < tree->q ? tree->m : 0;
    if (node->depth >= tree->depth)
        return 0;
    double n = floor(log(1 - u) / w->log_childless);
    return n < 100 ? (int)n : 100;
}

void uts_root(const struct work *work, struct uts_node *root)
{
    const struct full_work *w = full(work);
    uint32_t message[5] = { 0, 0, 0, 0, w->tree->seed };
    sha1(message, 5, root->state);
    root->depth = 0;
    root->children = draw_children(w, root);
}

void uts_child(const struct work *work, const struct uts_node *parent, int index, struct uts_node *child)
{
    uint32_t message[6];
    memcpy(message, parent->state, sizeof parent->state);
    message[5] = (uint32_t)index;
    sha1(message, 6, child->state);
    child->depth = parent->depth + 1;
    child->children = draw_children(full(work), child);
}

/* ---- integrate ---- */

static double intervals(double x1, double y1, double x2, double y2)
{
    double half = (x2 - x1) / 2, x0 = x1 + half, y0 = integrand(x0);
    if (fabs((y1 + y0) / 2 * half + (y0 + y2) / 2 * half - (y1 + y2) * half) < INTEGRATE_ERROR)
        return 1;
    return intervals(x1, y1, x0, y0) + intervals(x0, y0, x2, y2);
}

/* ---- matrices ---- */

void work_matrices(const struct work *work, double **c, const double **a, const double **b)
{
    *c = full(work)->c;
    *a = full(work)->a;
    *b = full(work)->b;
}

void matmul_leaf(double *c, const double *a, const double *b, long n)
{
    for (long i = 0; i < MATMUL_LEAF; i++) {
        double row[MATMUL_LEAF];
        memcpy(row, c + i * n, sizeof row);
        for (long k = 0; k < MATMUL_LEAF; k++)
            for (long j = 0; j < MATMUL_LEAF; j++)
                row[j] += a[i * n + k] * b[k * n + j];
        memcpy(c + i * n, row, sizeof row);
    }
}

/* Small whole numbers, so that all sums are exact in whatever order. */
static void fill_matrices(struct full_work *w)
{
    long n = w->work.n;
    w->a = numbers((size_t)(n * n));
    w->b = numbers((size_t)(n * n));
    w->c = numbers((size_t)(n * n));
    for (long i = 0; i < n * n; i++) {
        w->a[i] = (double)(i * 7 % 13 - 6);
        w->b[i] = (double)(i * 5 % 11 - 5);
    }
}

static void times(const double *matrix, const double *vector, double *result, long n)
{
    for (long i = 0; i < n; i++) {
        result[i] = 0;
        for (long j = 0; j < n; j++)
            result[i] += matrix[i * n + j] * vector[j];
    }
}

/* Freivalds: c v = a (b v), for a v with a different number in each place, so that a wrong element shows. */
static bool product_is_right(const struct full_work *w)
{
    long n = w->work.n;
    double *v = numbers((size_t)n * 4), *bv = v + n, *abv = bv + n, *cv = abv + n;
    for (long i = 0; i < n; i++)
        v[i] = (double)(i + 1);
    times(w->b, v, bv, n);
    times(w->a, bv, abv, n);
    times(w->c, v, cv, n);
    bool right = memcmp(abv, cv, (size_t)n * sizeof *v) == 0;
    free(v);
    return right;
}

/* ---- heat: a grid of (n + 1) by (n + 1) whose border stays cold ---- */

void heat_row(const struct work *work, long step, long row)
{
    const struct full_work *w = full(work);
    long n = work->n, width = n + 1;
    const double *restrict from = (step % 2 == 0 ? w->a : w->b) + row * width;
    double *restrict to = (step % 2 == 0 ? w->b : w->a) + row * width;
    for (long j = 1; j < n; j++)
        to[j] = 0.25 * (from[j - width] + from[j + width] + from[j - 1] + from[j + 1]);
}

/* One wave: each step makes it cos(pi / n) times as high, and changes nothing else. */
static double wave(long n, long i, long j)
{
    return sin(M_PI * (double)i / (double)n) * sin(M_PI * (double)j / (double)n);
}

static void fill_grid(struct full_work *w)
{
    long n = w->work.n;
    if (w->a == NULL) {
        w->a = numbers((size_t)((n + 1) * (n + 1)));
        w->b = numbers((size_t)((n + 1) * (n + 1)));
    }
    for (long i = 1; i < n; i++)
        for (long j = 1; j < n; j++)
            w->a[i * (n + 1) + j] = wave(n, i, j);
}

/* A row computed once too often or too rarely is wrong by some millionths. */
static bool grid_is_right(const struct full_work *w)
{
    long n = w->work.n;
    double height = pow(cos(M_PI / (double)n), HEAT_STEPS), most = 0;
    for (long i = 1; i < n; i++)
        for (long j = 1; j < n; j++)
            most = fmax(most, fabs(w->a[i * (n + 1) + j] - height * wave(n, i, j)));
    return most < 1e-12;
}

/* ---- coarse ---- */

/* The others' leaves occupy a worker but no core, unless busy: four workers on two cores would be a question to the kernel's scheduler. */
void coarse_leaf(struct work *work, int index)
{
    struct full_work *w = full(work);
    bool own = index == COARSE_FORKS;
    double ns = (own ? LONG_MS : SHORT_MS) * 1e6;
    w->start[index] = now_ns();
    if (own || w->busy) {
        while (now_ns() - w->start[index] < ns)
            ;
    } else {
        struct timespec t = { .tv_nsec = (long)ns };
        nanosleep(&t, NULL);
    }
    w->end[index] = now_ns();
}

static int in_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The longest time in which a fork had not started although a worker was idle. Between two events nothing changes. */
static double longest_gap(const struct full_work *w)
{
    double at[1 + 2 * COARSE_LEAVES], longest = 0, since = -1;
    int n = 0;
    at[n++] = w->begin;
    for (int i = 0; i < COARSE_LEAVES; i++) {
        at[n++] = w->start[i];
        at[n++] = w->end[i];
    }
    qsort(at, (size_t)n, sizeof *at, in_order);
    for (int k = 0; k < n; k++) {
        int waiting = 0, running = 0;
        for (int i = 0; i < COARSE_LEAVES; i++) {
            waiting += i < COARSE_FORKS && w->start[i] > at[k];
            running += w->start[i] <= at[k] && at[k] < w->end[i];
        }
        bool hidden = waiting > 0 && running < w->work.workers;
        if (since >= 0)
            longest = fmax(longest, at[k] - since);
        if (!hidden)
            since = -1;
        else if (since < 0)
            since = at[k];
    }
    return longest;
}

/* ---- running and checking ---- */

static bool right(const struct full_work *w, double result)
{
    static const int solutions[] = { 1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712 };
    long n = w->work.n;
    double x = (double)n, exact;
    switch (w->work.kind) {
    case FIB: return result == forks_of((int)n - 1) + 1;
    case QUEENS: return (size_t)n < sizeof solutions / sizeof *solutions && result == solutions[n];
    case UTS: return result == (double)w->tree->nodes;
    case INTEGRATE:
        exact = x * x * x * x / 4 + x * x / 2;
        return fabs(result - exact) < exact * 1e-12 + (w->forks + 1) * INTEGRATE_ERROR; /* by rounding; by each interval */
    case SKYNET: return result == x * (x - 1) / 2;
    case MATMUL: return product_is_right(w);
    case HEAT: return grid_is_right(w);
    default:
        for (int i = 0; i < COARSE_LEAVES; i++)
            if (w->end[i] == 0)
                return false;
        return true;
    }
}

static double count_forks(enum work_kind kind, long n)
{
    switch (kind) {
    case FIB: return forks_of((int)n);
    case INTEGRATE: return intervals(0, integrand(0), (double)n, integrand((double)n)) - 1;
    case SKYNET: return (double)(n * 10 - 10) / 9;
    default: return 0;
    }
}

struct work *work_open(const char *name, int workers, long n)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i].name) != 0)
            continue;
        struct full_work *w = calloc(1, sizeof *w);
        if (w == NULL)
            exit(1);
        *w = (struct full_work){ .work = { .kind = (int)known[i].kind, .workers = workers, .n = n > 0 ? n : known[i].n }, .name = known[i].name,
                                 .tree = known[i].tree, .busy = known[i].busy };
        if (w->tree != NULL)
            w->log_childless = log(1 - 1 / (1 + w->tree->degree));
        w->forks = count_forks(known[i].kind, w->work.n);
        return &w->work;
    }
    fprintf(stderr, "no such work: %s\n", name);
    exit(2);
}

bool work_begin(struct work *work)
{
    struct full_work *w = full(work);
    if (w->spent > REPEAT_MS * 1e6)
        return false;
    if (work->kind == MATMUL && w->a == NULL)
        fill_matrices(w);
    else if (work->kind == MATMUL)
        memset(w->c, 0, (size_t)(work->n * work->n) * sizeof *w->c);
    else if (work->kind == HEAT)
        fill_grid(w);
    memset(w->end, 0, sizeof w->end);
    w->begin = now_ns();
    return true;
}

void work_end(struct work *work, double result)
{
    struct full_work *w = full(work);
    double took = now_ns() - w->begin;
    if (!right(w, result))
        wrong(w, result);
    if (w->runs++ == 0 && work->kind == COARSE)
        return; /* threads have started; not counted, however long it took */
    w->spent += took;
    if (work->kind == COARSE)
        w->kept = fmax(w->kept, longest_gap(w));
    else if (w->runs == 1 || took < w->kept)
        w->kept = took;
}

void work_print(struct work *work, const char *subject)
{
    const struct full_work *w = full(work);
    char what[64];
    snprintf(what, sizeof what, "%s-%d", w->name, work->workers);
    if (w->forks > 0)
        print_result(what, subject, w->kept / w->forks, "ns/fork");
    else if (work->kind == COARSE)
        print_result(what, subject, w->kept / 1e3, "us");
    else
        print_result(what, subject, w->kept / 1e6, "ms");
}
