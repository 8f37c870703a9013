/*
 * block.c - the shared half of the block pools: magazines between caches, and memory from the system in chunks.
 */
#include "core.h"

enum { CHUNK = 256 * 1024 };

/* Sizes are multiples of 64, so that blocks of different workers never share a cache line. */
#define ROUND(n) (uint16_t)(((n) + 63) / 64 * 64)

static const uint16_t sizes[YOKE__BLOCK_CLASSES] = {
    [YOKE__BLOCK_TASK0] = ROUND(sizeof(struct yoke__task) + YOKE__TASK_SMALL),
    [YOKE__BLOCK_TASK1] = ROUND(sizeof(struct yoke__task) + 256),
    [YOKE__BLOCK_TASK2] = ROUND(sizeof(struct yoke__task) + 800),
    [YOKE__BLOCK_SCOPE] = ROUND(sizeof(struct yoke__scope)),
    [YOKE__BLOCK_GROUP] = ROUND(sizeof(struct yoke__group)),
    [YOKE__BLOCK_HANDLE] = ROUND(sizeof(struct yoke__handle)),
    [YOKE__BLOCK_FAIL] = ROUND(sizeof(struct yoke__fail)),
    [YOKE__BLOCK_SMALL] = ROUND(sizeof(struct yoke__deferred)),
    [YOKE__BLOCK_SEATS] = ROUND(sizeof(struct yoke__seats)),
};

size_t yoke__block_size(enum yoke__block_class class)
{
    return sizes[class];
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

/* Zeroed memory of the pool's own. */
static void *lay_out(struct yoke__block_pool *pool, size_t bytes)
{
    bytes = (bytes + 63) / 64 * 64;
    yoke__lock_acquire(&pool->lock);
    while ((size_t)(pool->end - pool->at) < bytes) {
        yoke__lock_release(&pool->lock);
        int err = 0;
        char *chunk = yoke__os_mmap(CHUNK, 0, &err);
        if (chunk == NULL)
            return NULL;
        yoke__lock_acquire(&pool->lock);
        *(void **)(void *)chunk = pool->chunks;
        pool->chunks = chunk;
        yoke__store_relaxed(&pool->mapped, pool->mapped + CHUNK); /* the dump reads it without the lock */
        pool->at = chunk + 64;
        pool->end = chunk + CHUNK;
    }
    void *memory = pool->at;
    pool->at += bytes;
    yoke__lock_release(&pool->lock);
    return memory;
}

int yoke__block_cache_init(struct yoke__block_pool *pool, struct yoke__block_cache *cache)
{
    struct yoke__magazine *magazine = lay_out(pool, 2 * sizeof *magazine * YOKE__BLOCK_CLASSES);
    if (magazine == NULL)
        return -ENOMEM;
    for (int class = 0; class < YOKE__BLOCK_CLASSES; class++, magazine += 2)
        cache->list[class] = (struct yoke__block_list){
            .top = magazine[0].slots, .end = magazine[0].slots + YOKE__MAGAZINE, .spare = &magazine[1], .spare_full = false
        };
    return 0;
}

/* The spare one becomes the one in use, and that the spare one. */
static void swap(struct yoke__block_list *list)
{
    struct yoke__magazine *loaded = yoke__container(list->end - YOKE__MAGAZINE, struct yoke__magazine, slots), *spare = list->spare;
    bool full = list->top == list->end;
    list->top = spare->slots + (list->spare_full ? YOKE__MAGAZINE : 0);
    list->end = spare->slots + YOKE__MAGAZINE;
    list->spare = loaded;
    list->spare_full = full;
}

/* Both are empty: the spare one is exchanged for a full one, from the pool or laid out anew. */
void *yoke__block_refill(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class)
{
    struct yoke__block_list *list = &cache->list[class];
    if (!list->spare_full) {
        yoke__lock_acquire(&pool->lock);
        struct yoke__magazine *full = pool->full[class];
        if (full != NULL) {
            pool->full[class] = full->next;
            list->spare->next = pool->empty;
            pool->empty = list->spare;
        }
        yoke__lock_release(&pool->lock);
        if (full == NULL) {
            size_t size = sizes[class];
            char *blocks = lay_out(pool, YOKE__MAGAZINE * size + sizeof(struct yoke__magazine));
            if (blocks == NULL)
                return NULL;
            full = list->spare;
            for (int i = 0; i < YOKE__MAGAZINE; i++)
                full->slots[i] = blocks + (size_t)(YOKE__MAGAZINE - 1 - i) * size;
            struct yoke__magazine *empty = (struct yoke__magazine *)(void *)(blocks + YOKE__MAGAZINE * size);
            yoke__lock_acquire(&pool->lock);
            empty->next = pool->empty;
            pool->empty = empty;
            pool->laid_out[class] += YOKE__MAGAZINE;
            yoke__lock_release(&pool->lock);
        }
        list->spare = full;
        list->spare_full = true;
    }
    swap(list);
    return *--list->top;
}

/* The one in use is full: if both are, the spare one is exchanged for an empty one. */
void yoke__block_give_back(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class)
{
    struct yoke__block_list *list = &cache->list[class];
    if (list->spare_full) {
        yoke__lock_acquire(&pool->lock);
        struct yoke__magazine *empty = pool->empty; /* there is one: see block.h */
        pool->empty = empty->next;
        list->spare->next = pool->full[class];
        pool->full[class] = list->spare;
        yoke__lock_release(&pool->lock);
        list->spare = empty;
        list->spare_full = false;
    }
    swap(list);
}

uint64_t yoke__block_pool_out(const struct yoke__block_pool *pool, enum yoke__block_class class)
{
    uint64_t out = pool->laid_out[class];
    for (const struct yoke__magazine *full = pool->full[class]; full != NULL; full = full->next)
        out -= YOKE__MAGAZINE;
    return out;
}

uint64_t yoke__block_cache_free(const struct yoke__block_cache *cache, enum yoke__block_class class)
{
    const struct yoke__block_list *list = &cache->list[class];
    return (uint64_t)(list->top - (list->end - YOKE__MAGAZINE)) + (list->spare_full ? YOKE__MAGAZINE : 0);
}
