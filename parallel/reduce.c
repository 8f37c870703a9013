/*
 * reduce.c - reductions: by the loop that splits on demand, or, to be reproducible, as a tree whose shape the range alone decides.
 *
 * The tree: blocks of a fixed length, each folded from the identity by one call; a node of n blocks combines the results of its first
 * n / 2 blocks (rounded up) and of the others. Every node forks its right half, taken or not; so who runs what changes nothing.
 */
#include "loop.h"

#include <errno.h>

enum { BLOCKS = 1024 };

struct node {
    struct yoke__loop *loop;
    int64_t begin, end; /* iterations */
    void *value;
};

static int run_node(void *arg)
{
    struct node *node = arg;
    struct yoke__loop *loop = node->loop;
    int64_t blocks = (node->end - node->begin - 1) / loop->grain + 1;
    _Alignas(16) unsigned char small[YOKE__VALUE_SMALL];
    if (!yoke__work_goes_on(&loop->work))
        return 0;
    if (blocks == 1) {
        int rc = loop->fold(node->begin, node->end, node->value, loop->arg);
        return rc < 0 ? yoke__work_failed(&loop->work, rc) : 0;
    }
    struct node left = *node, right = *node;
    left.end = right.begin = node->begin + (blocks - blocks / 2) * loop->grain;
    right.value = yoke__value_make(small, loop->identity, loop->value_size);
    if (right.value == NULL)
        return yoke__work_failed(&loop->work, -ENOMEM);
    yoke_forked fork;
    yoke_fork(&fork, run_node, &right);
    int first = run_node(&left), second = yoke_join(&fork);
    int rc = first < 0 ? first : second;
    if (rc == 0 && yoke__work_goes_on(&loop->work)) {
        int combined = loop->combine(left.value, right.value, loop->arg);
        if (combined < 0)
            rc = yoke__work_failed(&loop->work, combined);
    }
    yoke__value_drop(right.value, small);
    return rc;
}

static int run_tree(struct yoke__loop *loop, int64_t begin, int64_t end, void *value)
{
    struct node root = { .loop = loop, .begin = begin, .end = end, .value = value };
    if (begin >= end)
        return 0;
    if (loop->grain == 0)
        loop->grain = (end - begin - 1) / BLOCKS + 1;
    return run_node(&root);
}

static int fold_leaf(struct yoke__loop *loop, int64_t begin, int64_t end, void *value)
{
    return loop->fold(begin, end, value, loop->arg);
}

int yoke_parallel_reduce(int64_t begin, int64_t end, yoke_fold_fn fold, yoke_combine_fn combine, void *arg, void *result, size_t size,
                         const yoke_parallel_options *options)
{
    _Alignas(16) unsigned char small[YOKE__VALUE_SMALL];
    struct yoke__loop loop = { .leaf = fold_leaf, .fold = fold, .arg = arg, .combine = combine, .value_size = size,
                               .grain = options != NULL ? options->grain : 0 };
    if (fold == NULL || combine == NULL || result == NULL || size == 0 || loop.grain < 0 || yoke__range_length(begin, end) < 0)
        return -EINVAL;
    void *identity = yoke__value_make(small, result, size);
    if (identity == NULL)
        return -ENOMEM;
    loop.identity = identity;
    int rc = yoke__work_begin(&loop.work, "parallel reduce", options);
    if (rc == 0) {
        if (options != NULL && options->reproducible)
            rc = run_tree(&loop, begin, end, result);
        else
            rc = yoke__loop_run(&loop, begin, end, yoke__loop_pieces(), result);
        rc = yoke__work_end(&loop.work, rc);
    }
    yoke__value_drop(identity, small);
    return rc;
}
