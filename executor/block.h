/*
 * block.h - type-stable blocks: tasks, scopes, groups, handles and small records of one runtime.
 *
 * A freed block is used again for the same class only and stays mapped until the runtime ends, so that a stale handle may be read
 * (its generation no longer fits) and never faults. Each worker keeps a cache per class, last freed first out, and exchanges
 * batches with the runtime's pool; a hot block costs neither lock nor atomic.
 *
 * Who may call: get and put - the thread that owns the cache (a worker). The pool is locked.
 */
#ifndef YOKE_EXECUTOR_BLOCK_H
#define YOKE_EXECUTOR_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "lock.h"

enum yoke__block_class {
    YOKE__BLOCK_TASK0, /* a task with a small argument */
    YOKE__BLOCK_TASK1,
    YOKE__BLOCK_TASK2,
    YOKE__BLOCK_SCOPE,
    YOKE__BLOCK_GROUP,
    YOKE__BLOCK_HANDLE,
    YOKE__BLOCK_FAIL,
    YOKE__BLOCK_SMALL, /* deferred functions, slots */
    YOKE__BLOCK_CLASSES
};

/* A free block's first two words are links; every other field the class keeps between uses (generation, zeroes) survives. */
struct yoke__block_list {
    void *first;
    uint32_t count;
};

struct yoke__block_cache {
    struct yoke__block_list list[YOKE__BLOCK_CLASSES];
};

struct yoke__block_pool {
    struct yoke__lock lock;
    void *batches[YOKE__BLOCK_CLASSES]; /* lists of YOKE__BLOCK_BATCH blocks; a list's first block links the next list */
    void *chunks;                       /* every mapping, linked by its first word */
    uint64_t mapped;                    /* bytes */
};

size_t yoke__block_size(enum yoke__block_class class);

void yoke__block_pool_init(struct yoke__block_pool *pool);
void yoke__block_pool_destroy(struct yoke__block_pool *pool);

/* NULL: out of memory. A fresh block is all zero; a used one is as its last user left it, but for its first two words. */
void *yoke__block_refill(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class);
void yoke__block_give_back(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class);

enum { YOKE__BLOCK_BATCH = 64 };

extern const uint16_t yoke__block_sizes[YOKE__BLOCK_CLASSES];

static inline void **yoke__block_link(void *block)
{
    return (void **)block;
}

static inline void *yoke__block_get(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class)
{
    struct yoke__block_list *list = &cache->list[class];
    void *block = list->first;
    if (__builtin_expect(block == NULL, 0))
        return yoke__block_refill(pool, cache, class);
    list->first = *yoke__block_link(block);
    list->count--;
    return block;
}

static inline void yoke__block_put(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class, void *block)
{
    struct yoke__block_list *list = &cache->list[class];
    *yoke__block_link(block) = list->first;
    list->first = block;
    if (__builtin_expect(++list->count >= 2 * YOKE__BLOCK_BATCH, 0))
        yoke__block_give_back(pool, cache, class);
}

#endif
