/*
 * fiber.c - making and unmaking fibers.
 */
#include "fiber.h"

#include <string.h>

#include "platform.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(start, end) 0u
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif

/*
 * Stacks lie a power of two apart, and so would what is used of each: in the same few sets of a cache. So they begin on different lines of their
 * pages (colouring, as Bonwick, "The slab allocator", 1994): within the first quarter of the page, so that a blocked, shallow fiber still
 * costs one.
 */
static size_t colour(const char *base, size_t stack_size)
{
    enum { COLOURS = 16, LINE = 64 };
    return (uintptr_t)base / stack_size % COLOURS * LINE;
}

struct yoke__fiber *yoke__fiber_create(struct yoke__stack_pool *pool, void (*entry)(void *arg))
{
    char *base = yoke__stack_alloc(pool);
    if (base == NULL)
        return NULL;
    char *end = base + pool->stack_size - colour(base, pool->stack_size);
    struct yoke__fiber *fiber = (struct yoke__fiber *)(void *)(end - (sizeof(struct yoke__fiber) + 63) / 64 * 64);
    memset(fiber, 0, sizeof *fiber);
    fiber->base = base;
    fiber->large = pool->large;
    fiber->floor = yoke__stack_floor(base);
    fiber->top = (char *)fiber;
    fiber->half = (uintptr_t)fiber->floor + (uintptr_t)(fiber->top - fiber->floor) / 2;
    fiber->unguarded = yoke__stack_unguarded(pool, base);
    fiber->valgrind = VALGRIND_STACK_REGISTER(fiber->floor, end);
#ifdef YOKE__TSAN
    fiber->tsan = __tsan_create_fiber(0);
#endif
    fiber->sp = yoke__switch_make(fiber->top, entry);
    return fiber;
}

void yoke__fiber_retire(struct yoke__fiber *fiber)
{
#ifdef YOKE__TSAN
    __tsan_destroy_fiber(fiber->tsan);
#endif
    VALGRIND_STACK_DEREGISTER(fiber->valgrind);
#ifdef YOKE__ASAN
    /* the frames that were left on it never returned: their redzones must not greet the next user */
    __asan_unpoison_memory_region(fiber->floor, (size_t)(fiber->top - fiber->floor));
#endif
    (void)fiber;
}

void yoke__fibers_retire(struct yoke__fiber *first)
{
    while (first != NULL) {
        struct yoke__fiber *fiber = first;
        first = fiber->next;
        yoke__fiber_retire(fiber);
    }
}

bool yoke__fiber_destroy(struct yoke__stack_pool *pool, struct yoke__fiber *fiber)
{
    yoke__fiber_retire(fiber);
    return yoke__stack_free(pool, fiber->base);
}

void yoke__fiber_adopt_thread(struct yoke__fiber *fiber)
{
    pthread_attr_t attributes;
    void *low = NULL;
    size_t bytes = 0;
    memset(fiber, 0, sizeof *fiber);
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstack(&attributes, &low, &bytes);
        pthread_attr_destroy(&attributes);
    }
    fiber->floor = low;
    fiber->top = (char *)low + bytes;
    fiber->half = (uintptr_t)low + bytes / 2;
#ifdef YOKE__TSAN
    fiber->tsan = __tsan_get_current_fiber();
#endif
}
