/*
 * block.h - type-stable blocks: tasks, scopes, groups, handles and small records of one runtime.
 *
 * A freed block is used again for the same class only and stays mapped until the runtime ends, so that a stale handle may be read
 * (its generation no longer fits) and never faults. Each worker keeps two magazines per class, arrays of pointers to free blocks, last
 * freed first out, and exchanges whole magazines with the runtime's pool; a hot block costs neither lock nor atomic, and taking or
 * freeing one does not touch it: a block out of the first-level cache is not waited for. (Bonwick and Adams, "Magazines and Vmem",
 * USENIX 2001.)
 *
 * Freeing never fails: a magazine is laid out with every YOKE__MAGAZINE blocks, and two with every cache and class, so that there
 * is an empty one whenever a full one goes back.
 *
 * Who may call: get and put - the thread that owns the cache (a worker). The pool is locked.
 */
#ifndef YOKE_EXECUTOR_BLOCK_H
#define YOKE_EXECUTOR_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yoke/detail/fast.h>

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
    YOKE__BLOCK_SEATS,
    YOKE__BLOCK_CLASSES
};

#ifdef YOKE_SHRUNKEN
enum { YOKE__MAGAZINE = 4 };
#else
enum { YOKE__MAGAZINE = 64 };
#endif

struct yoke__magazine {
    struct yoke__magazine *next;
    void *nothing; /* NULL: what lies below the lowest slot */
    void *slots[YOKE__MAGAZINE];
};

_Static_assert((int)YOKE__BLOCK_CLASSES == (int)YOKE__FAST_CLASSES && YOKE__BLOCK_TASK0 == 0, "known to the inlined spawn");

struct yoke__block_pool {
    struct yoke__lock lock;
    struct yoke__magazine *full[YOKE__BLOCK_CLASSES];
    struct yoke__magazine *empty;
    char *at, *end;  /* what is left of the chunk that is being laid out */
    void *chunks;    /* every mapping, linked by its first word */
    uint64_t mapped; /* bytes */
    uint64_t laid_out[YOKE__BLOCK_CLASSES]; /* blocks */
};

size_t yoke__block_size(enum yoke__block_class class);

void yoke__block_pool_init(struct yoke__block_pool *pool);
void yoke__block_pool_destroy(struct yoke__block_pool *pool);

/* 0 or -ENOMEM. The cache needs no end: its memory is the pool's. */
int yoke__block_cache_init(struct yoke__block_pool *pool, struct yoke__block_cache *cache);

/* NULL: out of memory. A fresh block is all zero; a used one is as its last user left it. */
void *yoke__block_refill(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class);
/* Makes room for one more. */
void yoke__block_give_back(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class);

/* Nobody gets or puts any more: blocks that are not in the pool; of these, those that are free in a cache. */
uint64_t yoke__block_pool_out(const struct yoke__block_pool *pool, enum yoke__block_class class);
uint64_t yoke__block_cache_free(const struct yoke__block_cache *cache, enum yoke__block_class class);

static inline void *yoke__block_get(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class)
{
    struct yoke__block_list *list = &cache->list[class];
    void *block = list->top[-1];
    if (__builtin_expect(block == NULL, 0))
        return yoke__block_refill(pool, cache, class);
    list->top--;
    return block;
}

/* True: getting one fetches nothing. */
static inline bool yoke__block_any(const struct yoke__block_cache *cache, enum yoke__block_class class)
{
    return cache->list[class].top[-1] != NULL;
}

static inline void yoke__block_put(struct yoke__block_pool *pool, struct yoke__block_cache *cache, enum yoke__block_class class, void *block)
{
    struct yoke__block_list *list = &cache->list[class];
    if (__builtin_expect(list->top == list->end, 0))
        yoke__block_give_back(pool, cache, class);
    *list->top++ = block;
}

#endif
