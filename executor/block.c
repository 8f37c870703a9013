/*
 * block.c - the shared half of the block pools: batches between caches, and memory from the system in chunks.
 */
#include "core.h"

enum { CHUNK = 64 * 1024 };

/* Sizes are multiples of 64, so that blocks of different workers never share a cache line. */
#define ROUND(n) (uint16_t)(((n) + 63) / 64 * 64)

const uint16_t yoke__block_sizes[YOKE__BLOCK_CLASSES] = {
    [YOKE__BLOCK_TASK0] = ROUND(sizeof(struct yoke__task) + YOKE__TASK_SMALL),
    [YOKE__BLOCK_TASK1] = ROUND(sizeof(struct yoke__task) + 256),
    [YOKE__BLOCK_TASK2] = ROUND(sizeof(struct yoke__task) + 800),
    [YOKE__BLOCK_SCOPE] = ROUND(sizeof(struct yoke__scope)),
    [YOKE__BLOCK_GROUP] = ROUND(sizeof(struct yoke__group)),
    [YOKE__BLOCK_HANDLE] = ROUND(sizeof(struct yoke__handle)),
    [YOKE__BLOCK_FAIL] = ROUND(sizeof(struct yoke__fail)),
    [YOKE__BLOCK_SMALL] = ROUND(sizeof(struct yoke__deferred)),
};

/* A batch in the pool links the next batch by the second word of its first block. */
static void **next_batch(void *batch)
{
    return yoke__block_link(batch) + 1;
}

size_t yoke__block_size(enum yoke__block_class class)
{
    return yoke__block_sizes[class];
}

void yoke__block_pool_init(struct yoke__block_pool *pool)
{
    *pool = (struct yoke__block_pool){ .chunks = NULL };
}

void yoke__block_pool_destroy(struct yoke__block_pool *pool)
{
    while (pool->chunks != NULL) {
        void *chunk = pool->chunks;
        pool->chunks = *(void **)chunk;
        yoke__os_munmap(chunk, CHUNK);
    }
}

/* A chunk cut into blocks goes to the cache whole. */
static void *carve(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class)
{
    int err = 0;
    char *chunk = yoke__os_mmap(CHUNK, 0, &err);
    if (chunk == NULL)
        return NULL;
    yoke__lock_acquire(&pool->lock);
    *(void **)(void *)chunk = pool->chunks;
    pool->chunks = chunk;
    pool->mapped += CHUNK;
    yoke__lock_release(&pool->lock);
    struct yoke__block_list *list = &cache->list[class];
    size_t size = yoke__block_sizes[class];
    for (size_t at = 64; at + size <= CHUNK; at += size) {
        *yoke__block_link(chunk + at) = list->first;
        list->first = chunk + at;
        list->count++;
    }
    return list->first;
}

void *yoke__block_refill(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class)
{
    struct yoke__block_list *list = &cache->list[class];
    yoke__lock_acquire(&pool->lock);
    void *batch = pool->batches[class];
    if (batch != NULL)
        pool->batches[class] = *next_batch(batch);
    yoke__lock_release(&pool->lock);
    if (batch != NULL) {
        list->first = batch;
        list->count = YOKE__BLOCK_BATCH;
    } else if (carve(pool, cache, class) == NULL) {
        return NULL;
    }
    void *block = list->first;
    list->first = *yoke__block_link(block);
    list->count--;
    return block;
}

void yoke__block_give_back(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class)
{
    struct yoke__block_list *list = &cache->list[class];
    void *batch = list->first, *last = batch;
    for (int i = 1; i < YOKE__BLOCK_BATCH; i++)
        last = *yoke__block_link(last);
    list->first = *yoke__block_link(last);
    list->count -= YOKE__BLOCK_BATCH;
    *yoke__block_link(last) = NULL;
    yoke__lock_acquire(&pool->lock);
    *next_batch(batch) = pool->batches[class];
    pool->batches[class] = batch;
    yoke__lock_release(&pool->lock);
}
