/*
 * deque.c - the slow paths of the split deque. The argument is at the head of deque.h.
 */
#include "deque.h"

#include <errno.h>
#include <string.h>

#include "platform.h"

#ifdef YOKE_SHRUNKEN
enum { FIRST_CAPACITY = 4 };
#else
enum { FIRST_CAPACITY = 256 };
#endif

enum { FIRST_INDEX = 8 };

#ifdef YOKE_TEST_HOOKS
void (*yoke__deque_hook)(int step, struct yoke__deque *d);
#define hook(step, d) ((yoke__deque_hook != NULL) ? yoke__deque_hook((step), (d)) : (void)0)
#else
#define hook(step, d) ((void)0)
#endif

/* Before the slots of each array. */
struct array {
    void *next; /* retired */
    int64_t mask;
    int64_t pad[6];
};

static struct array *header(void **slots)
{
    return (struct array *)(void *)slots - 1;
}

static void **new_array(int64_t capacity)
{
    struct array *array = yoke__os_alloc(sizeof *array + (size_t)capacity * sizeof(void *), 64);
    if (array == NULL)
        return NULL;
    array->next = NULL;
    array->mask = capacity - 1;
    void **slots = (void **)(void *)(array + 1);
    memset(slots, 0, (size_t)capacity * sizeof(void *));
    return slots;
}

/*
 * A thief stores hungry and then room; we store room and then load hungry. If our store of room comes after the thief's, the exchange
 * makes its flag visible to us, and the room stays closed; if it comes before, the thief's store stands. Of several thieves that hold of each:
 * all who write `room` exchange it, so that each makes visible what those before it did.
 */
static void set_room(struct yoke__deque *d)
{
    if (d->always_public || d->slow_only)
        return;
    yoke__xchg_seq(&d->room, d->limit); /* store-load against yoke__deque_ask() */
    if (yoke__load_seq(&d->hungry) != 0)
        (void)yoke__xchg_acq_rel(&d->room, INT64_MIN); /* as if the thief had stored it now; pairs with itself and yoke__deque_ask() */
}

int yoke__deque_init(struct yoke__deque *d, bool always_public)
{
    memset(d, 0, sizeof *d);
    d->slots = new_array(FIRST_CAPACITY);
    if (d->slots == NULL)
        return -ENOMEM;
    d->stock = d->slots;
    d->capacity = FIRST_CAPACITY;
    d->mask = FIRST_CAPACITY - 1;
    d->always_public = always_public;
    d->hungry = always_public;
    yoke__deque_set_base(d, FIRST_INDEX);
    return 0;
}

void yoke__deque_set_base(struct yoke__deque *d, int64_t base)
{
    d->bottom = d->top = base;
    d->split = yoke__split_word(base, YOKE__SPLIT_SETTLED);
    d->limit = base + FIRST_CAPACITY;
    d->room = d->always_public ? INT64_MIN : d->limit;
    d->wanted = 1;
}

void yoke__deque_destroy(struct yoke__deque *d)
{
    if (d->slots != NULL)
        yoke__os_free(header(d->slots));
    while (d->retired != NULL) {
        struct array *array = d->retired;
        d->retired = array->next;
        yoke__os_free(array);
    }
    d->slots = NULL;
}

void yoke__deque_slow_only(struct yoke__deque *d)
{
    d->slow_only = 1;
    yoke__store_relaxed(&d->room, INT64_MIN); /* before there are thieves */
}

/* ---- owner ------------------------------------------------------------------------------------------------------------ */

int yoke__deque_grow(struct yoke__deque *d)
{
    int64_t top = yoke__load_acquire(&d->top), bottom = d->bottom; /* slots below top are free; pairs with yoke__deque_steal() */
    d->limit = top + d->capacity;
    if (bottom < d->limit) {
        set_room(d);
        return 0;
    }
    void **slots = new_array(d->capacity * 2);
    if (slots == NULL)
        return -ENOMEM;
    int64_t mask = d->capacity * 2 - 1;
    for (int64_t i = top; i < bottom; i++)
        slots[i & mask] = yoke__load_relaxed(&d->slots[i & d->mask]);
    struct array *old = header(d->slots);
    old->next = d->retired;
    d->retired = old;
    d->capacity *= 2;
    d->mask = mask;
    d->slots = slots;
    yoke__store_release(&d->stock, slots); /* contents and mask; pairs with yoke__deque_steal() */
    d->limit = top + d->capacity;
    set_room(d);
    return 0;
}

void yoke__deque_sated(struct yoke__deque *d)
{
    if (d->always_public)
        return;
    d->wanted = 1;
    yoke__store_relaxed(&d->hungry, 0); /* before the room; pairs with yoke__deque_ask() */
    set_room(d);
}

/* Makes the older half of the private items public, at least one, if less is public than is wanted. */
static bool answer(struct yoke__deque *d)
{
    int64_t bottom = d->bottom;
    if (d->always_public) {
        yoke__store_seq(&d->split, yoke__split_word(bottom, YOKE__SPLIT_SETTLED)); /* store-load against yoke__park(), which has no membarrier */
        return true;
    }
    uint64_t split = yoke__load_relaxed(&d->split); /* our own last word, or a raiser's; the exchange confirms it */
    int64_t s = yoke__split_index(split), top = yoke__load_relaxed(&d->top);
    if ((split & YOKE__SPLIT_KIND) != 0)
        s = top; /* while tentative, everything from top on is ours */
    else if (s - top >= d->wanted)
        return true; /* enough is public already */
    hook(4, d);
    /*
     * Not a plain store: between the look at split and now a raise may have been settled and its items taken, and the split
     * must never sink below top. Releases the items; pairs with yoke__deque_steal(). A failure: the raiser has published.
     */
    yoke__cas_acq_rel(&d->split, &split, yoke__split_word(s + (bottom - s + 1) / 2, YOKE__SPLIT_SETTLED));
    return true;
}

bool yoke__deque_answer(struct yoke__deque *d)
{
    return yoke__load_relaxed(&d->hungry) != 0 && answer(d); /* pairs with yoke__deque_ask() */
}

int yoke__deque_push_slow(struct yoke__deque *d, void *item)
{
    int64_t b = d->bottom;
    if (b >= d->limit) {
        int rc = yoke__deque_grow(d);
        if (rc < 0)
            return rc;
    }
    yoke__store_relaxed(&d->slots[b & d->mask], item);
    yoke__store_release(&d->bottom, b + 1); /* pairs with yoke__deque_raise() */
    yoke__compiler_barrier(); /* as in yoke__deque_push() */
    return yoke__deque_answer(d);
}

void *yoke__deque_pop_slow(struct yoke__deque *d)
{
    for (;;) {
        int64_t bottom = d->bottom;
        uint64_t split = yoke__load_seq(&d->split); /* store-load against a raiser's exchange */
        int64_t top = yoke__load_seq(&d->top);      /* store-load against thieves' exchanges */
        if (bottom <= top)
            return NULL;
        if ((split & YOKE__SPLIT_KIND) != 0) {
            /* A raise is under way: nothing can be taken. We settle it: all below ours becomes public. First bottom: see deque.h. */
            yoke__store_release(&d->bottom, bottom - 1);
            if (!yoke__cas_seq(&d->split, &split, yoke__split_word(bottom - 1, YOKE__SPLIT_SETTLED))) { /* against the raiser's last */
                yoke__store_release(&d->bottom, bottom);
                continue;
            }
            return yoke__load_relaxed(&d->slots[(bottom - 1) & d->mask]);
        }
        int64_t s = yoke__split_index(split);
        if (s < bottom) { /* a raise was withdrawn meanwhile: the item is private */
            yoke__store_relaxed(&d->bottom, bottom - 1);
            yoke__compiler_barrier(); /* as in yoke__deque_pop() */
            if (yoke__split_word(bottom - 1, YOKE__SPLIT_KIND) >= yoke__load_relaxed(&d->split))
                return yoke__load_relaxed(&d->slots[(bottom - 1) & d->mask]);
            yoke__store_release(&d->bottom, bottom);
            continue;
        }
        if (s - top == 1) {
            void *item = yoke__load_relaxed(&d->slots[top & d->mask]);
            if (yoke__cas_seq(&d->top, &top, top + 1)) /* against thieves; bottom == split == the new top: empty */
                return item;
            continue;
        }
        int64_t lower = top + (s - top) / 2;
        if (!yoke__cas_seq(&d->split, &split, yoke__split_word(lower, YOKE__SPLIT_LOWERING))) /* store-load against thieves' look at split */
            continue;
        hook(1, d);
        if (yoke__load_seq(&d->top) < lower) {
            yoke__store_release(&d->bottom, bottom - 1); /* first: see deque.h */
            yoke__store_release(&d->split, yoke__split_word(lower, YOKE__SPLIT_SETTLED)); /* pairs with yoke__deque_steal() and yoke__deque_raise() */
            return yoke__load_relaxed(&d->slots[(bottom - 1) & d->mask]);
        }
        yoke__store_release(&d->split, yoke__split_word(s, YOKE__SPLIT_SETTLED)); /* too late for these: as it was */
    }
}

/* ---- thieves ---------------------------------------------------------------------------------------------------------- */

enum yoke__steal yoke__deque_steal(struct yoke__deque *d, void **item)
{
    int64_t top = yoke__load_seq(&d->top);      /* before split; against the owner's lowering */
    uint64_t split = yoke__load_seq(&d->split); /* see the head of deque.h */
    int64_t s = yoke__split_index(split);
    if ((split & YOKE__SPLIT_KIND) != 0 || top >= s)
        return yoke__load_relaxed(&d->bottom) > top ? YOKE__STEAL_HIDDEN : YOKE__STEAL_EMPTY; /* a hint */
    void **slots = yoke__load_acquire(&d->stock); /* pairs with yoke__deque_grow() */
    void *got = yoke__load_relaxed(&slots[top & header(slots)->mask]);
    __builtin_prefetch(got); /* its first line comes while the exchange is under way; a tag leaves the address in that line */
    if (!yoke__cas_seq(&d->top, &top, top + 1)) /* against other takers and the owner's lowering */
        return YOKE__STEAL_LOST;
    *item = got;
    return YOKE__STEAL_GOT;
}

int64_t yoke__deque_steal_many(struct yoke__deque *d, void **items, int64_t most)
{
    int64_t top = yoke__load_seq(&d->top);      /* before split; as in yoke__deque_steal() */
    uint64_t split = yoke__load_seq(&d->split); /* never lowered, never tentative */
    int64_t n = yoke__split_index(split) - top;
    n = n < most ? n : most;
    if (n <= 0)
        return 0;
    void **slots = yoke__load_acquire(&d->stock); /* pairs with yoke__deque_grow() */
    for (int64_t i = 0; i < n; i++)
        items[i] = yoke__load_relaxed(&slots[(top + i) & header(slots)->mask]);
    return yoke__cas_seq(&d->top, &top, top + n) ? n : 0; /* against other takers; the slots are not used again before top has moved */
}

bool yoke__deque_raise(struct yoke__deque *d)
{
    uint32_t free = 0;
    if (d->always_public || yoke__load_relaxed(&d->raising) != 0 || !yoke__cas_acq_rel(&d->raising, &free, 1)) /* pairs with the release below */
        return false;
    bool raised = false;
    uint64_t split = yoke__load_seq(&d->split);
    int64_t s0 = yoke__split_index(split);
    int64_t top = yoke__load_seq(&d->top); /* after split: only rises, so top >= s0 stays true */
    int64_t bottom = yoke__load_acquire(&d->bottom); /* the items' contents; pairs with yoke__deque_push() */
    if ((split & YOKE__SPLIT_KIND) == 0 && top >= s0 && bottom > s0) {
        int64_t s1 = s0 + (bottom - s0 + 1) / 2;
        uint64_t tentative = yoke__split_word(s1, YOKE__SPLIT_RAISING);
        if (yoke__cas_seq(&d->split, &split, tentative)) { /* store-load against the owner's pop, by the barrier */
            hook(2, d);
            if (yoke__os_membarrier() < 0)
                yoke__panic("membarrier stopped working");
            hook(3, d);
            bottom = yoke__load_acquire(&d->bottom); /* pairs with yoke__deque_push() and yoke__deque_pop() */
            int64_t settled = bottom >= s1 ? s1 : bottom > s0 ? bottom : s0;
            yoke__cas_seq(&d->split, &tentative, yoke__split_word(settled, YOKE__SPLIT_SETTLED)); /* a failure: the owner has settled it */
            raised = true;
        }
    }
    yoke__store_release(&d->raising, 0); /* pairs with the exchange above */
    return raised;
}
