/*
 * stack.c - see stack.h. Everything is under pool->lock but the list of slabs, which signal handlers read: a slab is published with
 * release and unpublished only by trim, which no fault on one of its stacks can meet, since they are all free.
 */
#include "stack.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "platform.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#ifdef YOKE_SHRUNKEN
enum { SLAB = 2 };
#else
enum { SLAB = 128 };
#endif

enum { MPROTECT_MOST = 30000, CANARY_WORDS = 64 };
#define CANARY 0x5947c0deca11f1b5u

/* Lies outside of the stacks, so that a free stack keeps no page. */
struct yoke__slab {
    struct yoke__slab *next;
    char *base;
    int used;                   /* how many were handed out and are not free */
    int fresh;                  /* how many were ever handed out: the first ones */
    uint8_t guarded[(SLAB + 7) / 8];
    struct yoke__stack_free {
        struct yoke__stack_free *next;
        struct yoke__slab *slab;
    } entry[SLAB];
};

const char *yoke__guards_name(enum yoke__guards guards)
{
    static const char *const names[] = { "auto", "light", "mprotect", "none" };
    return names[guards];
}

/* Does the kernel know light guards? Tried on a page of our own, once in a process if it does: kernels do not forget. */
static bool light_works(void)
{
    int err;
#ifndef YOKE_FAULTS
    static bool known;
    if (yoke__load_relaxed(&known)) /* orders nothing */
        return true;
#endif
    size_t page = yoke__os_page_size();
    void *probe = yoke__os_mmap(page, 0, &err);
    if (probe == NULL)
        return false;
    bool works = yoke__os_madvise(probe, page, MADV_GUARD_INSTALL) == 0;
    yoke__os_munmap(probe, page);
#ifndef YOKE_FAULTS
    if (works)
        yoke__store_relaxed(&known, true);
#endif
    return works;
}

int yoke__stack_pool_init(struct yoke__stack_pool *pool, size_t stack_size, enum yoke__guards guards)
{
    if (stack_size < YOKE__STACK_MIN || (stack_size & (stack_size - 1)) != 0)
        return -EINVAL;
    *pool = (struct yoke__stack_pool){ .stack_size = stack_size, .guards = guards, .mprotect_left = MPROTECT_MOST };
    if (guards == YOKE__GUARDS_AUTO || guards == YOKE__GUARDS_LIGHT) {
        if (light_works()) {
            pool->guards = YOKE__GUARDS_LIGHT;
        } else {
            pool->guards = YOKE__GUARDS_MPROTECT;
            pool->guards_why = "the kernel has no MADV_GUARD_INSTALL";
        }
    }
    return 0;
}

void yoke__stack_pool_destroy(struct yoke__stack_pool *pool)
{
    while (pool->slabs != NULL) {
        struct yoke__slab *slab = pool->slabs;
        pool->slabs = slab->next;
        yoke__os_munmap(slab->base, pool->stack_size * SLAB);
        yoke__os_free(slab);
    }
    pool->free = NULL;
}

static struct yoke__slab *new_slab(struct yoke__stack_pool *pool)
{
    int err;
    struct yoke__slab *slab = yoke__os_alloc(sizeof *slab, 64);
    if (slab == NULL)
        return NULL;
    memset(slab, 0, sizeof *slab);
    slab->base = yoke__os_mmap(pool->stack_size * SLAB, MAP_NORESERVE | MAP_STACK, &err);
    if (slab->base == NULL) {
        yoke__os_free(slab);
        return NULL;
    }
    /* A huge page would make each touched stack cost 2 MiB. Kernels without huge pages say EINVAL, which is as good. */
    (void)yoke__os_madvise(slab->base, pool->stack_size * SLAB, MADV_NOHUGEPAGE);
    slab->next = pool->slabs;
    yoke__store_release(&pool->slabs, slab); /* pairs with yoke__stack_find_guard() */
    pool->mapped += pool->stack_size * SLAB;
    return slab;
}

static void plant_canary(void *base)
{
    uint64_t *words = (uint64_t *)(void *)yoke__stack_floor(base);
    for (int i = 0; i < CANARY_WORDS; i++)
        words[i] = CANARY;
}

/* False: no guard could be made, and this kind of pool must not go without. */
static bool guard(struct yoke__stack_pool *pool, struct yoke__slab *slab, int index)
{
    void *base = slab->base + (size_t)index * pool->stack_size;
    if ((slab->guarded[index / 8] & (1u << (index % 8))) != 0)
        return true;
    switch (pool->guards) {
    case YOKE__GUARDS_LIGHT:
        if (yoke__os_madvise(base, YOKE__GUARD_BYTES, MADV_GUARD_INSTALL) < 0)
            return false;
        break;
    case YOKE__GUARDS_MPROTECT:
        if (pool->mprotect_left > 0 && yoke__os_mprotect(base, YOKE__GUARD_BYTES, PROT_NONE) == 0) {
            pool->mprotect_left--;
            break;
        }
        plant_canary(base); /* beyond the bound of mappings: checked, not guarded */
        return true;
    default:
        plant_canary(base);
        return true;
    }
    slab->guarded[index / 8] |= (uint8_t)(1u << (index % 8));
    return true;
}

void *yoke__stack_alloc(struct yoke__stack_pool *pool)
{
    void *base = NULL;
    yoke__lock_acquire(&pool->lock);
    struct yoke__stack_free *entry = pool->free;
    if (entry != NULL) {
        struct yoke__slab *slab = entry->slab;
        pool->free = entry->next;
        slab->used++;
        base = slab->base + (size_t)(entry - slab->entry) * pool->stack_size;
    } else {
        struct yoke__slab *slab = pool->slabs;
        if (slab == NULL || slab->fresh == SLAB)
            slab = new_slab(pool);
        if (slab != NULL && guard(pool, slab, slab->fresh)) {
            base = slab->base + (size_t)slab->fresh++ * pool->stack_size;
            slab->used++;
        }
    }
    if (base != NULL)
        yoke__store_relaxed(&pool->in_use, pool->in_use + 1); /* the dump reads it without the lock */
    yoke__lock_release(&pool->lock);
    return base;
}

static struct yoke__slab *slab_of(const struct yoke__stack_pool *pool, const void *address)
{
    /* acquire: pairs with new_slab() */
    for (struct yoke__slab *slab = yoke__load_acquire(&pool->slabs); slab != NULL; slab = slab->next)
        if ((const char *)address >= slab->base && (const char *)address < slab->base + pool->stack_size * SLAB)
            return slab;
    return NULL;
}

void yoke__stack_free(struct yoke__stack_pool *pool, void *base)
{
    if (!yoke__stack_canary_ok(pool, base))
        yoke__panic("a stack has overflowed (found when it was freed)");
    yoke__lock_acquire(&pool->lock);
    struct yoke__slab *slab = slab_of(pool, base);
    struct yoke__stack_free *entry = &slab->entry[(size_t)((char *)base - slab->base) / pool->stack_size];
    entry->slab = slab;
    entry->next = pool->free;
    pool->free = entry;
    slab->used--;
    yoke__store_relaxed(&pool->in_use, pool->in_use - 1); /* the dump reads it without the lock */
    yoke__lock_release(&pool->lock);
}

int yoke__stack_trim(struct yoke__stack_pool *pool)
{
    int trimmed = 0;
    yoke__lock_acquire(&pool->lock);
    for (struct yoke__stack_free **at = &pool->free; *at != NULL;) {
        if ((*at)->slab->used == 0)
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
    for (struct yoke__slab **at = &pool->slabs; *at != NULL;) {
        struct yoke__slab *slab = *at;
        if (slab->used != 0) {
            at = &slab->next;
            continue;
        }
        yoke__store_release(at, slab->next); /* read by yoke__stack_find_guard() */
        for (int i = 0; i < slab->fresh && pool->guards == YOKE__GUARDS_MPROTECT; i++)
            pool->mprotect_left += ((unsigned)slab->guarded[i / 8] >> (i % 8)) & 1u;
        yoke__os_munmap(slab->base, pool->stack_size * SLAB);
        pool->mapped -= pool->stack_size * SLAB;
        yoke__os_free(slab);
        trimmed++;
    }
    yoke__lock_release(&pool->lock);
    return trimmed;
}

void *yoke__stack_find_guard(const struct yoke__stack_pool *pool, const void *address)
{
    const struct yoke__slab *slab = slab_of(pool, address);
    if (slab == NULL)
        return NULL;
    size_t offset = (size_t)((const char *)address - slab->base), index = offset / pool->stack_size;
    return offset % pool->stack_size < YOKE__GUARD_BYTES ? slab->base + index * pool->stack_size : NULL;
}

bool yoke__stack_canary_ok(const struct yoke__stack_pool *pool, const void *base)
{
    if (pool->guards == YOKE__GUARDS_LIGHT)
        return true;
    const struct yoke__slab *slab = slab_of(pool, base);
    size_t index = (size_t)((const char *)base - slab->base) / pool->stack_size;
    if ((slab->guarded[index / 8] & (1u << (index % 8))) != 0)
        return true;
    const uint64_t *words = (const uint64_t *)(const void *)((const char *)base + YOKE__GUARD_BYTES);
    for (int i = 0; i < CANARY_WORDS; i++)
        if (words[i] != CANARY)
            return false;
    return true;
}

size_t yoke__stack_high_water(const struct yoke__stack_pool *pool, void *base)
{
    size_t page = yoke__os_page_size(), untouched = 0, bytes = pool->stack_size - YOKE__GUARD_BYTES;
    for (unsigned char vec; untouched < bytes; untouched += page)
        if (yoke__os_mincore(yoke__stack_floor(base) + untouched, page, &vec) < 0 || (vec & 1) != 0)
            break;
    return bytes - untouched;
}
