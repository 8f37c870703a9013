/*
 * forkjoin_work.h - the work of the question `forkjoin`: what is done at the leaves, and the checks, as the same machine code for all who
 * compete, in C, C++ and Rust (peers/rayon/forkjoin.rs declares it again). What divides the work is each subject's own.
 */
#ifndef YOKE_PERF_FORKJOIN_WORK_H
#define YOKE_PERF_FORKJOIN_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

enum work_kind { FIB, QUEENS, UTS, INTEGRATE, SKYNET, MATMUL, HEAT, COARSE };
enum { MATMUL_LEAF = 16, HEAT_STEPS = 100, COARSE_FORKS = 15 };

struct work {
    int kind, workers;
    long n;
};

/*
 * `name` is fib, queens, uts-t1, uts-t3, integrate, skynet, matmul, heat, coarse or coarse-busy; n 0: the usual size. An unknown name ends the
 * program with status 2. Then:
 *     while (work_begin(w))
 *         work_end(w, the result);
 *     work_print(w, subject);
 * Every run is checked, a wrong result ends the program. Runs are repeated for 0.3 s, the best one counts (of coarse the worst).
 */
struct work *work_open(const char *name, int workers, long n);
bool work_begin(struct work *work);
void work_end(struct work *work, double result);
void work_print(struct work *work, const char *subject);

/* Queens: each is put below those that it knows, which stay where they are in the frames of those who put them. */
struct queen {
    const struct queen *above;
    int row, column;
};
static inline bool queen_safe(const struct queen *above, int row, int column)
{
    for (const struct queen *q = above; q != NULL; q = q->above)
        if (q->column == column || abs(q->column - column) == row - q->row)
            return false;
    return true;
}

/* A node of an unbalanced tree: how many children it has is drawn from its state, and theirs follow from it by SHA-1. */
struct uts_node {
    uint32_t state[5];
    int32_t depth, children;
};
void uts_root(const struct work *work, struct uts_node *root);
void uts_child(const struct work *work, const struct uts_node *parent, int index, struct uts_node *child);

/* The integral of (x * x + 1) * x from 0 to n: an interval is divided until the trapezoid and its two halves differ by less than this. */
#define INTEGRATE_ERROR 1e-6
static inline double integrand(double x)
{
    return (x * x + 1) * x;
}

/* c += a * b, rows n numbers apart. Operands: work_matrices(); the leaf is 16 by 16. */
void work_matrices(const struct work *work, double **c, const double **a, const double **b);
void matmul_leaf(double *c, const double *a, const double *b, long n);

/* Computes the row, 1 to n - 1, of the next grid from this step's one. All rows of a step come before any of the next step. */
void heat_row(const struct work *work, long step, long row);

/* The leaves of coarse: the forks are 0 to COARSE_FORKS - 1, and COARSE_FORKS what the forking one does itself. */
void coarse_leaf(struct work *work, int index);

#ifdef __cplusplus
}
#endif

#endif
