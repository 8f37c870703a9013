/*
 * accumulator.c - a copy for each worker, on cache lines of its own. Tasks of one worker take turns, and change only where they may
 * wait; that orders what they do to its copy. A combine comes after the loop's join.
 */
#include <yoke/yoke.h>

#include <errno.h>
#include <string.h>

#include "platform.h"

enum { LINE = 64 };

struct yoke_accumulator {
    size_t size, stride;
    size_t copies;
    unsigned char *first; /* the identity, then each worker's */
};

static void *copy_of(const yoke_accumulator *a, size_t i)
{
    return a->first + i * a->stride;
}

int yoke_accumulator_create(yoke_accumulator **made, const void *identity, size_t size)
{
    size_t bytes, stride;
    if (made == NULL)
        return -EINVAL;
    *made = NULL;
    int workers = yoke_workers();
    if (workers < 0)
        return workers;
    if (identity == NULL || size == 0)
        return -EINVAL;
    if (__builtin_add_overflow(size, (size_t)LINE - 1, &stride))
        return -ENOMEM;
    stride &= ~(size_t)(LINE - 1);
    if (__builtin_mul_overflow(stride, (size_t)workers + 1, &bytes) || __builtin_add_overflow(bytes, (size_t)LINE, &bytes))
        return -ENOMEM;
    _Static_assert(sizeof(yoke_accumulator) <= LINE, "the head takes one line");
    yoke_accumulator *a = yoke__os_alloc(bytes, LINE);
    if (a == NULL)
        return -ENOMEM;
    *a = (yoke_accumulator){ .size = size, .stride = stride, .copies = (size_t)workers, .first = (unsigned char *)a + LINE };
    for (size_t i = 0; i <= a->copies; i++)
        memcpy(copy_of(a, i), identity, size);
    *made = a;
    return 0;
}

void *yoke_accumulator_local(yoke_accumulator *accumulator)
{
    int worker = yoke_worker_index();
    return worker < 0 ? NULL : copy_of(accumulator, (size_t)worker + 1);
}

int yoke_accumulator_combine(yoke_accumulator *accumulator, yoke_combine_fn combine, void *arg, void *result)
{
    if (accumulator == NULL || combine == NULL || result == NULL)
        return -EINVAL;
    for (size_t i = 1; i <= accumulator->copies; i++) {
        int rc = combine(result, copy_of(accumulator, i), arg);
        if (rc < 0)
            return rc;
        memcpy(copy_of(accumulator, i), copy_of(accumulator, 0), accumulator->size);
    }
    return 0;
}

void yoke_accumulator_destroy(yoke_accumulator *accumulator)
{
    if (accumulator != NULL)
        yoke__os_free(accumulator);
}

void yoke_accumulator_scoped(yoke_accumulator **accumulator)
{
    yoke_accumulator_destroy(*accumulator);
}
