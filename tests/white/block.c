/* Type-stable blocks: reuse, what survives it, magazines between caches, freeing on other threads; and every block accounted for. */
#include "support.h"

#include "block.h"
#include "inbox.h"
#include "platform.h"

static struct yoke__block_pool pool;

static void begin(struct yoke__block_cache *caches, int n)
{
    yoke__os_fault_clear();
    yoke__block_pool_init(&pool);
    for (int i = 0; i < n; i++)
        assert_int_equal(yoke__block_cache_init(&pool, &caches[i]), 0);
}

/* Gives everything back to the system. */
static void end(void)
{
    int chunks = 0;
    for (void *at = pool.chunks; at != NULL; at = *(void **)at)
        chunks++;
    assert_int_equal(pool.mapped % (uint64_t)chunks, 0);
    yoke__os_fault_clear();
    yoke__block_pool_destroy(&pool);
    assert_int_equal(yoke__os_fault_count(YOKE__OS_MUNMAP), chunks);
    yoke__os_fault_clear();
}

/* ---- accounting ---- */

static struct seen {
    char *block;
    enum yoke__block_class class;
} seen[1 << 17];
static size_t nseen;

static void see(void *const *slots, size_t count, enum yoke__block_class class)
{
    for (size_t i = 0; i < count; i++) {
        assert_true(nseen < sizeof seen / sizeof *seen);
        assert_non_null(slots[i]);
        seen[nseen].block = slots[i];
        seen[nseen++].class = class;
    }
}

static int by_address(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    return x->block < y->block ? -1 : x->block > y->block;
}

static size_t length_of(const struct yoke__magazine *list)
{
    size_t n = 0;
    for (; list != NULL; list = list->next)
        n++;
    return n;
}

/* How many free blocks of a class a cache holds. */
static size_t held(const struct yoke__block_cache *cache, enum yoke__block_class class)
{
    const struct yoke__block_list *list = &cache->list[class];
    return (size_t)(list->top - (list->end - YOKE__MAGAZINE)) + (list->spare_full ? YOKE__MAGAZINE : 0);
}

/*
 * Every block is in a cache or in the pool, once, and overlaps no other. How many there are the magazines tell: one was laid out with every
 * YOKE__MAGAZINE blocks, and all that are in no cache are in the pool.
 */
static void assert_none_is_missing(const struct yoke__block_cache *caches, int n)
{
    size_t magazines = length_of(pool.empty);
    nseen = 0;
    for (enum yoke__block_class class = 0; class < YOKE__BLOCK_CLASSES; class++) {
        for (int i = 0; i < n; i++) {
            const struct yoke__block_list *list = &caches[i].list[class];
            see(list->end - YOKE__MAGAZINE, (size_t)(list->top - (list->end - YOKE__MAGAZINE)), class);
            if (list->spare_full)
                see(list->spare->slots, YOKE__MAGAZINE, class);
        }
        for (const struct yoke__magazine *full = pool.full[class]; full != NULL; full = full->next)
            see(full->slots, YOKE__MAGAZINE, class);
        magazines += length_of(pool.full[class]);
    }
    assert_int_equal(nseen, magazines * YOKE__MAGAZINE);
    qsort(seen, nseen, sizeof *seen, by_address);
    for (size_t i = 1; i < nseen; i++)
        assert_true(seen[i].block >= seen[i - 1].block + yoke__block_size(seen[i - 1].class));
}

/* ---- one cache ---- */

enum { MANY = 3000 };

static void fresh_blocks_are_zero_and_do_not_overlap(void **state)
{
    (void)state;
    struct yoke__block_cache cache;
    static unsigned char *blocks[MANY];
    begin(&cache, 1);
    for (enum yoke__block_class class = 0; class < YOKE__BLOCK_CLASSES; class++) {
        size_t size = yoke__block_size(class);
        assert_int_equal(size % 64, 0);
        for (size_t i = 0; i < MANY; i++) {
            blocks[i] = yoke__block_get(&pool, &cache, class);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % 64, 0);
            for (size_t k = 0; k < size; k++)
                assert_int_equal(blocks[i][k], 0);
            memset(blocks[i], (int)(i % 255) + 1, size);
        }
        for (size_t i = 0; i < MANY; i++) {
            for (size_t k = 0; k < size; k++)
                assert_int_equal(blocks[i][k], i % 255 + 1);
            yoke__block_put(&pool, &cache, class, blocks[i]);
        }
    }
    assert_none_is_missing(&cache, 1);
    end();
}

/* The generation of a stale handle may be read: what its last user left survives. */
static void the_last_one_freed_comes_back_as_it_was_left(void **state)
{
    (void)state;
    struct yoke__block_cache cache;
    begin(&cache, 1);
    for (enum yoke__block_class class = 0; class < YOKE__BLOCK_CLASSES; class++) {
        enum { AGAIN = YOKE__MAGAZINE };
        size_t size = yoke__block_size(class);
        unsigned char *blocks[AGAIN];
        for (int i = 0; i < AGAIN; i++) {
            blocks[i] = yoke__block_get(&pool, &cache, class);
            memset(blocks[i], i + 1, size);
        }
        uint64_t mapped = pool.mapped;
        for (int round = 0; round < 10; round++) {
            for (int i = 0; i < AGAIN; i++)
                yoke__block_put(&pool, &cache, class, blocks[i]);
            for (int i = AGAIN - 1; i >= 0; i--) {
                assert_ptr_equal(yoke__block_get(&pool, &cache, class), blocks[i]);
                for (size_t k = 0; k < size; k++)
                    assert_int_equal(blocks[i][k], i + 1);
            }
        }
        assert_int_equal(pool.mapped, mapped);
        for (int i = 0; i < AGAIN; i++)
            yoke__block_put(&pool, &cache, class, blocks[i]);
    }
    assert_none_is_missing(&cache, 1);
    end();
}

static void without_memory_there_is_no_block_and_no_harm(void **state)
{
    (void)state;
    struct yoke__block_cache cache;
    static void *blocks[MANY];
    size_t n = 0;
    yoke__os_fault_clear();
    yoke__block_pool_init(&pool);
    yoke__os_fault_set(YOKE__OS_MMAP, -1, ENOMEM);
    assert_int_equal(yoke__block_cache_init(&pool, &cache), -ENOMEM);
    assert_int_equal(pool.mapped, 0);
    yoke__os_fault_clear();
    assert_int_equal(yoke__block_cache_init(&pool, &cache), 0);
    yoke__os_fault_set(YOKE__OS_MMAP, -1, ENOMEM);
    while (n < MANY && (blocks[n] = yoke__block_get(&pool, &cache, YOKE__BLOCK_SCOPE)) != NULL)
        n++;
    assert_in_range(n, 1, MANY - 1); /* the chunk is used up */
    yoke__block_put(&pool, &cache, YOKE__BLOCK_SCOPE, blocks[0]);
    assert_ptr_equal(yoke__block_get(&pool, &cache, YOKE__BLOCK_SCOPE), blocks[0]);
    assert_null(yoke__block_get(&pool, &cache, YOKE__BLOCK_SCOPE));
    assert_null(yoke__block_get(&pool, &cache, YOKE__BLOCK_GROUP)); /* and another class's is no help */
    for (size_t i = 0; i < n; i++) /* freeing needs no memory */
        yoke__block_put(&pool, &cache, YOKE__BLOCK_SCOPE, blocks[i]);
    yoke__os_fault_clear();
    assert_none_is_missing(&cache, 1);
    end();
}

/* ---- between caches ---- */

static void a_full_cache_gives_a_magazine_that_another_one_gets(void **state)
{
    (void)state;
    enum { SOME = 5 * YOKE__MAGAZINE };
    for (enum yoke__block_class class = 0; class < YOKE__BLOCK_CLASSES; class++) {
        struct yoke__block_cache caches[2];
        void *blocks[SOME];
        begin(caches, 2);
        for (size_t i = 0; i < SOME; i++)
            blocks[i] = yoke__block_get(&pool, &caches[0], class);
        assert_int_equal(held(&caches[0], class), 0);
        for (size_t i = 0; i < 2 * YOKE__MAGAZINE; i++)
            yoke__block_put(&pool, &caches[0], class, blocks[i]);
        assert_null(pool.full[class]); /* not before both are full */
        for (size_t i = 2 * YOKE__MAGAZINE; i < SOME; i++)
            yoke__block_put(&pool, &caches[0], class, blocks[i]);
        size_t given = length_of(pool.full[class]) * YOKE__MAGAZINE;
        assert_int_equal(given + held(&caches[0], class), SOME);
        assert_in_range(given, 1, SOME);
        uint64_t mapped = pool.mapped;
        for (size_t i = 0; i < given; i++) /* just these */
            blocks[i] = yoke__block_get(&pool, &caches[1], class);
        assert_null(pool.full[class]);
        assert_int_equal(held(&caches[1], class), 0);
        assert_int_equal(pool.mapped, mapped);
        for (size_t i = 0; i < given; i++)
            yoke__block_put(&pool, &caches[1], class, blocks[i]);
        assert_none_is_missing(caches, 2);
        end();
    }
}

/* ---- between threads ---- */

enum { THREADS = 4, IN_FLIGHT = 100 };

/* What a block holds while it is in use; freshly got, its class is that of its last use. */
struct load {
    struct yoke__node node;
    uint64_t class, stamp;
};

static struct side {
    struct yoke__block_cache cache;
    struct yoke__inbox inbox;
    int index, in_flight; /* blocks got here and not yet put elsewhere; atomic */
} sides[THREADS];
static int rounds, at_work;
static enum yoke__block_class only; /* one_gets_and_another_puts() */

static uint64_t *last_word(void *block, enum yoke__block_class class)
{
    return (uint64_t *)(void *)((char *)block + yoke__block_size(class)) - 1;
}

static struct load *get(struct side *me, enum yoke__block_class class, uint64_t stamp)
{
    struct load *block = yoke__block_get(&pool, &me->cache, class);
    check(block != NULL);
    if (block == NULL)
        return NULL;
    check(block->class == 0 || block->class == (uint64_t)class + 1); /* never another class's */
    block->class = (uint64_t)class + 1;
    block->stamp = *last_word(block, class) = stamp;
    return block;
}

static void put(struct side *me, struct load *block, enum yoke__block_class class, uint64_t stamp)
{
    check_int(block->class, (uint64_t)class + 1);
    check_int(block->stamp, stamp);
    check_int(*last_word(block, class), stamp);
    yoke__block_put(&pool, &me->cache, class, block);
}

/* Frees here what others got; what came from whom is in the stamp. */
static bool put_what_has_come(struct side *me)
{
    struct yoke__node *node = yoke__inbox_take(&me->inbox);
    bool any = node != NULL;
    while (node != NULL) {
        struct load *block = (struct load *)(void *)node;
        node = yoke__node_next(node);
        uint64_t class = block->class - 1;
        check(class < YOKE__BLOCK_CLASSES);
        if (class >= YOKE__BLOCK_CLASSES)
            continue;
        struct side *from = &sides[block->stamp % THREADS];
        put(me, block, (enum yoke__block_class)class, block->stamp);
        add(&from->in_flight, -1);
    }
    return any;
}

/* Gets blocks of all classes; some are freed here, most by another thread. */
static void *mix(void *arg)
{
    struct side *me = arg;
    uint64_t r = 12345 + (uint64_t)me->index;
    struct load *kept[50] = { NULL };
    for (int i = 0; i < rounds; i++) {
        enum yoke__block_class class = (enum yoke__block_class)(next_random(&r) % YOKE__BLOCK_CLASSES);
        size_t k = next_random(&r) % 50;
        if (kept[k] != NULL) {
            put(me, kept[k], (enum yoke__block_class)(kept[k]->class - 1), (uint64_t)me->index);
            kept[k] = NULL;
        } else if (next_random(&r) % 4 == 0) {
            kept[k] = get(me, class, (uint64_t)me->index);
        } else if (load(&me->in_flight) < IN_FLIGHT) {
            struct load *block = get(me, class, (uint64_t)me->index + THREADS * (uint64_t)i);
            if (block != NULL) {
                add(&me->in_flight, 1);
                yoke__inbox_push(&sides[next_random(&r) % THREADS].inbox, &block->node);
            }
        } else if (!put_what_has_come(me)) {
            sched_yield();
        }
        if (next_random(&r) % 64 == 0)
            (void)put_what_has_come(me);
    }
    for (size_t k = 0; k < 50; k++)
        if (kept[k] != NULL)
            put(me, kept[k], (enum yoke__block_class)(kept[k]->class - 1), (uint64_t)me->index);
    add(&at_work, -1);
    while (load(&at_work) > 0 || !yoke__inbox_empty(&me->inbox))
        if (!put_what_has_come(me))
            sched_yield();
    return NULL;
}

static void run_threads(int n, void *(*const fn[])(void *))
{
    pthread_t threads[THREADS];
    at_work = n;
    memset(sides, 0, sizeof sides);
    for (int i = 0; i < n; i++) {
        sides[i].index = i;
        assert_int_equal(yoke__block_cache_init(&pool, &sides[i].cache), 0);
        yoke__inbox_init(&sides[i].inbox);
    }
    for (int i = 0; i < n; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fn[i], &sides[i]), 0);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    assert_checks();
}

struct caches {
    struct yoke__block_cache of[THREADS];
};

static void assert_none_is_missing_here(int n)
{
    static struct caches all;
    for (int i = 0; i < n; i++) {
        all.of[i] = sides[i].cache;
        assert_int_equal(sides[i].in_flight, 0);
    }
    assert_none_is_missing(all.of, n);
}

static void all_get_and_all_put(void **state)
{
    (void)state;
    begin(NULL, 0);
    rounds = repetitions(200000);
    run_threads(THREADS, (void *(*const[])(void *)){ mix, mix, mix, mix });
    assert_none_is_missing_here(THREADS);
    end();
}

/* More than a cache holds is got and put at once: magazines come and go all the time. */
static void *surge(void *arg)
{
    enum { AT_ONCE = 5 * YOKE__MAGAZINE };
    struct side *me = arg;
    struct load *blocks[AT_ONCE];
    for (int i = 0; i < rounds; i++) {
        for (size_t k = 0; k < AT_ONCE; k++)
            blocks[k] = get(me, YOKE__BLOCK_SCOPE, (uint64_t)me->index);
        for (size_t k = 0; k < AT_ONCE; k++)
            if (blocks[k] != NULL)
                put(me, blocks[k], YOKE__BLOCK_SCOPE, (uint64_t)me->index);
    }
    return NULL;
}

static void magazines_come_and_go(void **state)
{
    (void)state;
    begin(NULL, 0);
    rounds = repetitions(20000);
    run_threads(THREADS, (void *(*const[])(void *)){ surge, surge, surge, surge });
    assert_none_is_missing_here(THREADS);
    end();
}

static void *only_get(void *arg)
{
    struct side *me = arg;
    for (int i = 0; i < rounds; i++) {
        while (load(&me->in_flight) >= IN_FLIGHT)
            sched_yield();
        struct load *block = get(me, only, THREADS * (uint64_t)i);
        if (block == NULL)
            break;
        add(&me->in_flight, 1);
        yoke__inbox_push(&sides[1].inbox, &block->node);
    }
    add(&at_work, -1);
    return NULL;
}

static void *only_put(void *arg)
{
    add(&at_work, -1);
    while (load(&at_work) > 0 || !yoke__inbox_empty(&((struct side *)arg)->inbox))
        if (!put_what_has_come(arg))
            sched_yield();
    return NULL;
}

/* Blocks that go one way only: what is laid out is bounded by what is in use and cached, not by how many have passed. */
static void one_gets_and_another_puts(void **state)
{
    (void)state;
    for (only = 0; only < YOKE__BLOCK_CLASSES; only++) {
        begin(NULL, 0);
        rounds = repetitions(20000);
        run_threads(2, (void *(*const[])(void *)){ only_get, only_put });
        assert_none_is_missing_here(2);
        assert_true(nseen <= IN_FLIGHT + 4 * YOKE__MAGAZINE); /* in flight, and what two caches hold; then none is made anew */
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_blocks_are_zero_and_do_not_overlap),
        cmocka_unit_test(the_last_one_freed_comes_back_as_it_was_left),
        cmocka_unit_test(without_memory_there_is_no_block_and_no_harm),
        cmocka_unit_test(a_full_cache_gives_a_magazine_that_another_one_gets),
        cmocka_unit_test(all_get_and_all_put),
        cmocka_unit_test(magazines_come_and_go),
        cmocka_unit_test(one_gets_and_another_puts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
