/*
 * stack.c - see stack.h. Everything is under pool->lock but the list of slabs, which slab_of() reads without it, in signal handlers too: a
 * slab is published with release, and unpublished only by trim. Its record stays, with its link, and is used again: so who is just looking
 * at it comes back to the list, perhaps at its begin, and finds the slab of a stack that is in use, which no trim takes away.
 */
#include "stack.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "platform.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* Stacks in a slab at most, and its bytes, unless one stack alone has more. */
#ifdef YOKE_SHRUNKEN
enum { SLAB = 2 };
#else
enum { SLAB = 128 };
#endif
enum { SLAB_BYTES = 64 * 1024 * 1024 };

enum { MPROTECT_MOST = 30000, CANARY_WORDS = 64 };
#define CANARY 0x5947c0deca11f1b5u

_Static_assert(SLAB <= UINT8_MAX + 1, "an index of a stack in its slab is one byte");

/* Lies outside of the stacks, so that a free stack keeps no page. */
struct yoke__slab {
    struct yoke__slab *next; /* atomic */
    struct yoke__slab *unmapped; /* the next record without a mapping */
    char *base;              /* atomic */
    int used;                   /* how many were handed out and are not free */
    int fresh;                  /* how many were ever handed out: the first ones */
    struct yoke__slab *next_free; /* the next that has free ones, if this one has */
    int nfree;                    /* how many of the fresh ones are free */
    uint8_t free[SLAB];           /* which: last freed last */
    uint8_t guarded[(SLAB + 7) / 8];
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
    size_t fit = SLAB_BYTES / stack_size;
    *pool = (struct yoke__stack_pool){ .stack_size = stack_size, .per_slab = fit > SLAB ? SLAB : fit > 1 ? (int)fit : 1, .guards = guards,
                                       .mprotect_left = MPROTECT_MOST, .mprotect_from = &pool->mprotect_left };
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

int yoke__stack_pool_init_beside(struct yoke__stack_pool *pool, size_t stack_size, struct yoke__stack_pool *first)
{
    int rc = yoke__stack_pool_init(pool, stack_size, YOKE__GUARDS_NONE);
    pool->guards = first->guards;
    pool->mprotect_from = first->mprotect_from;
    return rc;
}

static size_t slab_bytes(const struct yoke__stack_pool *pool)
{
    return pool->stack_size * (size_t)pool->per_slab;
}

void yoke__stack_pool_destroy(struct yoke__stack_pool *pool)
{
    while (pool->slabs != NULL) {
        struct yoke__slab *slab = pool->slabs;
        pool->slabs = slab->next;
        yoke__os_munmap(slab->base, slab_bytes(pool));
        yoke__os_free(slab);
    }
    while (pool->unmapped != NULL) {
        struct yoke__slab *slab = pool->unmapped;
        pool->unmapped = slab->unmapped;
        yoke__os_free(slab);
    }
    pool->free = NULL;
}

static struct yoke__slab *new_slab(struct yoke__stack_pool *pool)
{
    int err;
    struct yoke__slab *slab = pool->unmapped;
    if (slab == NULL) {
        slab = yoke__os_alloc(sizeof *slab, 64);
        if (slab == NULL)
            return NULL;
        memset(slab, 0, sizeof *slab);
        pool->unmapped = slab;
    }
    char *base = yoke__os_mmap(slab_bytes(pool), MAP_NORESERVE | MAP_STACK, &err);
    if (base == NULL)
        return NULL;
    pool->unmapped = slab->unmapped;
    slab->used = slab->fresh = slab->nfree = 0;
    memset(slab->guarded, 0, sizeof slab->guarded);
    /* A huge page would make each touched stack cost 2 MiB. Kernels without huge pages say EINVAL, which is as good. */
    (void)yoke__os_madvise(base, slab_bytes(pool), MADV_NOHUGEPAGE);
    yoke__store_relaxed(&slab->base, base);        /* who reads it has a stack of another slab: see above */
    yoke__store_release(&slab->next, pool->slabs); /* pairs with slab_of(), which may stand here */
    yoke__store_release(&pool->slabs, slab); /* pairs with slab_of() */
    pool->mapped += slab_bytes(pool);
    return slab;
}

static void plant_canary(void *base)
{
    uint64_t *words = (uint64_t *)(void *)yoke__stack_floor(base);
    for (int i = 0; i < CANARY_WORDS; i++)
        words[i] = CANARY;
}

/* One more of the guards that split mappings; false: there would be too many. The number orders nothing. */
static bool count_mprotect(struct yoke__stack_pool *pool)
{
    size_t left = yoke__load_relaxed(pool->mprotect_from);
    while (left > 0)
        if (yoke__cas_relaxed(pool->mprotect_from, &left, left - 1))
            return true;
    return false;
}

static void uncount_mprotect(struct yoke__stack_pool *pool, size_t n)
{
    yoke__add_relaxed(pool->mprotect_from, n);
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
        if (count_mprotect(pool)) {
            if (yoke__os_mprotect(base, YOKE__GUARD_BYTES, PROT_NONE) == 0)
                break;
            uncount_mprotect(pool, 1);
        }
        plant_canary(base); /* beyond the bound of mappings: checked, not guarded */
        return true;
    default:
        plant_canary(base);
        return true;
    }
    uint8_t *guarded = &slab->guarded[index / 8];
    yoke__store_relaxed(guarded, (uint8_t)(*guarded | 1u << (index % 8))); /* read without the lock for other stacks: yoke__stack_unguarded() */
    return true;
}

void *yoke__stack_alloc(struct yoke__stack_pool *pool)
{
    void *base = NULL;
    yoke__lock_acquire(&pool->lock);
    struct yoke__slab *slab = pool->free;
    if (slab != NULL) {
        base = slab->base + (size_t)slab->free[--slab->nfree] * pool->stack_size;
        slab->used++;
        if (slab->nfree == 0)
            pool->free = slab->next_free;
    } else {
        slab = pool->slabs;
        if (slab == NULL || slab->fresh == pool->per_slab)
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
    for (struct yoke__slab *slab = yoke__load_acquire(&pool->slabs); slab != NULL; slab = yoke__load_acquire(&slab->next)) {
        const char *base = yoke__load_relaxed(&slab->base); /* stands still if it is the one looked for */
        if (base != NULL && (const char *)address >= base && (const char *)address < base + slab_bytes(pool))
            return slab;
    }
    return NULL;
}

bool yoke__stack_free(struct yoke__stack_pool *pool, void *base)
{
    yoke__lock_acquire(&pool->lock);
    if (yoke__stack_unguarded(pool, base) && !yoke__stack_canary_intact(base))
        yoke__panic("a stack has overflowed (found when it was freed)");
    struct yoke__slab *slab = slab_of(pool, base);
    if (slab->nfree == 0) {
        slab->next_free = pool->free;
        pool->free = slab;
    }
    slab->free[slab->nfree++] = (uint8_t)((size_t)((char *)base - slab->base) / pool->stack_size);
    bool last = --slab->used == 0;
    yoke__store_relaxed(&pool->in_use, pool->in_use - 1); /* the dump reads it without the lock */
    yoke__lock_release(&pool->lock);
    return last;
}

int yoke__stack_trim(struct yoke__stack_pool *pool)
{
    int trimmed = 0;
    yoke__lock_acquire(&pool->lock);
    for (struct yoke__slab **at = &pool->free; *at != NULL;) {
        if ((*at)->used == 0)
            *at = (*at)->next_free;
        else
            at = &(*at)->next_free;
    }
    for (struct yoke__slab **at = &pool->slabs; *at != NULL;) {
        struct yoke__slab *slab = *at;
        if (slab->used != 0) {
            at = &slab->next;
            continue;
        }
        yoke__store_release(at, slab->next); /* pairs with slab_of() */
        for (int i = 0; i < slab->fresh && pool->guards == YOKE__GUARDS_MPROTECT; i++)
            uncount_mprotect(pool, ((unsigned)slab->guarded[i / 8] >> (i % 8)) & 1u);
        yoke__os_munmap(slab->base, slab_bytes(pool));
        pool->mapped -= slab_bytes(pool);
        yoke__store_relaxed(&slab->base, (char *)NULL); /* as in new_slab() */
        slab->unmapped = pool->unmapped;
        pool->unmapped = slab;
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
    char *begin = yoke__load_relaxed(&slab->base); /* if it has gone meanwhile it is no stack that anybody is on */
    size_t offset = (size_t)((const char *)address - begin), index = offset / pool->stack_size;
    return begin != NULL && offset % pool->stack_size < YOKE__GUARD_BYTES ? begin + index * pool->stack_size : NULL;
}

bool yoke__stack_unguarded(const struct yoke__stack_pool *pool, const void *base)
{
    if (pool->guards == YOKE__GUARDS_LIGHT)
        return false;
    const struct yoke__slab *slab = slab_of(pool, base);
    size_t index = (size_t)((const char *)base - slab->base) / pool->stack_size;
    return (yoke__load_relaxed(&slab->guarded[index / 8]) & (1u << (index % 8))) == 0; /* its own bit stands still */
}

bool yoke__stack_canary_intact(const void *base)
{
    const uint64_t *words = (const uint64_t *)(const void *)((const char *)base + YOKE__GUARD_BYTES);
    for (int i = 0; i < CANARY_WORDS; i++)
        if (words[i] != CANARY)
            return false;
    return true;
}

size_t yoke__stack_high_water(const struct yoke__stack_pool *pool, void *base)
{
    enum { PAGES = 256 };
    unsigned char resident[PAGES];
    size_t page = yoke__os_page_size(), untouched = 0, bytes = pool->stack_size - YOKE__GUARD_BYTES;
    while (untouched < bytes) {
        size_t n = (bytes - untouched) / page < PAGES ? (bytes - untouched) / page : PAGES;
        if (yoke__os_mincore(yoke__stack_floor(base) + untouched, n * page, resident) < 0)
            break;
        for (size_t i = 0; i < n; i++, untouched += page)
            if ((resident[i] & 1) != 0)
                return bytes - untouched;
    }
    return bytes - untouched;
}
