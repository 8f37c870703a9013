/*
 * stack.h - guarded stacks, cut from slabs.
 *
 * A slab is one mapping of SLAB stacks, or fewer if they are large. Each stack has a guard at its low end: wide (16 KiB), since a frame larger than one page would
 * jump a single page. Three kinds, the best that the system allows: light guards (madvise(MADV_GUARD_INSTALL), Linux >= 6.13: no
 * mapping split, no page-table cost), mprotect (splits the mapping; bounded, since a process may have only vm.max_map_count mappings),
 * or none, with a checked canary. A guard is installed once, when a stack is first used. Memory of a stack is touched by use only.
 *
 * Stacks are recycled last in, first out. A slab whose stacks are all free can be given back whole (trim).
 *
 * Who may call: any thread; a lock inside. yoke__stack_find_guard is async-signal-safe.
 */
#ifndef YOKE_EXECUTOR_STACK_H
#define YOKE_EXECUTOR_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lock.h"

enum yoke__guards { YOKE__GUARDS_AUTO = 0, YOKE__GUARDS_LIGHT, YOKE__GUARDS_MPROTECT, YOKE__GUARDS_NONE };

enum { YOKE__GUARD_BYTES = 16 * 1024, YOKE__STACK_MIN = 32 * 1024 };

struct yoke__slab;

struct yoke__stack_pool {
    struct yoke__lock lock;
    size_t stack_size;          /* of address space, guard included */
    int per_slab;               /* stacks */
    unsigned large;             /* which size of the runtime's: large.h */
    enum yoke__guards guards;   /* in effect */
    const char *guards_why;     /* why not what was asked for; NULL: it is */
    size_t mprotect_left;       /* atomic: how many more guards of that kind may be made */
    size_t *mprotect_from;      /* that number, of this pool, or of one that it shares the process's mappings with */
    struct yoke__slab *slabs;   /* all; read by signal handlers */
    struct yoke__slab *unmapped; /* records of such as were given back */
    struct yoke__slab *free; /* those with free stacks */
    size_t in_use, mapped;
};

/* stack_size: a power of two >= YOKE__STACK_MIN. `guards` other than auto and light: MADV_GUARD_INSTALL is never tried. 0 or -EINVAL. */
int yoke__stack_pool_init(struct yoke__stack_pool *pool, size_t stack_size, enum yoke__guards guards);
void yoke__stack_pool_destroy(struct yoke__stack_pool *pool);

/* The same beside `first`, which outlives it: guards of the same kind, out of the same budget. */
int yoke__stack_pool_init_beside(struct yoke__stack_pool *pool, size_t stack_size, struct yoke__stack_pool *first);

/* The low end of a stack of pool->stack_size bytes, guard included; NULL: out of memory. */
void *yoke__stack_alloc(struct yoke__stack_pool *pool);
/* True: no stack of its slab is in use any more, so that a trim would give it back. */
bool yoke__stack_free(struct yoke__stack_pool *pool, void *base);

/* Gives slabs back to the system whose stacks are all free; how many. While others use the pool. */
int yoke__stack_trim(struct yoke__stack_pool *pool);

/* The first byte above the guard. */
static inline char *yoke__stack_floor(void *base)
{
    return (char *)base + YOKE__GUARD_BYTES;
}

/* The stack whose guard contains `address`, or NULL. Async-signal-safe. */
void *yoke__stack_find_guard(const struct yoke__stack_pool *pool, const void *address);

/* True: this stack has a canary, and no guard. */
bool yoke__stack_unguarded(const struct yoke__stack_pool *pool, const void *base);

/* Of such a one: false if it has grown over its end. */
bool yoke__stack_canary_intact(const void *base);

/*
 * Bytes of the stack, from its top, that have ever been touched, by whoever had it, to a page; what was swapped out since may be missing. A
 * few system calls, which touch nothing of it.
 */
size_t yoke__stack_high_water(const struct yoke__stack_pool *pool, void *base);

const char *yoke__guards_name(enum yoke__guards guards);

#endif
