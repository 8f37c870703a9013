/*
 * deque.h - the split work-stealing deque.
 *
 * One owner pushes and pops at the bottom, anybody takes at the top. Items in [top, split) are public; those in [split, bottom) are
 * private to the owner, who uses them without fence and without atomic read-modify-write. After Chase and Lev, "Dynamic circular
 * work-stealing deque", SPAA 2005; orders after Le, Pop, Cohen, Zappa Nardelli, PPoPP 2013; the split after Dijk and van de Pol,
 * "Lace", MuCoCoS 2014. New here: an unanswered thief can raise the split itself.
 *
 * Who may call: push, push_public, pop, sated, init, destroy - the owner. steal, ask, raise, any - any worker thread of
 * the runtime, the owner too (a deque whose owner only pushes publicly and steals is a first-in first-out queue).
 *
 * The words. `bottom`, `slots`, `mask`, `limit`: the owner's. `stock`: `slots`, for thieves. `room`: limit, or INT64_MIN while
 * `hungry` is up, so that a push has one thing to compare: before its store, and again after it, for who asked in between. `top`: only rises, by compare-exchange of whoever takes item `top`.
 * `split`: index << 2 | kind, the kind being settled, or tentative: being lowered by the owner, or being raised by a thief. Written by
 * the owner and by raising thieves, who use compare-exchange on a settled value, and on their own tentative one. Indices are 64 bits and start above 0, so that bottom - 1 of an empty deque is a valid index.
 *
 * Taking (steal): load top = t, then split = s (both seq_cst); nothing to take if s is tentative or t >= s. Load stock (acquire) and
 * the item, then exchange top t -> t + 1. The item is read before the exchange: afterwards the owner may reuse the slot. If the owner
 * reused it before, top has moved and the exchange fails. A lost exchange is LOST, not EMPTY.
 *
 * Taking many at once (steal_many): the same with an exchange t -> t + n, t + n <= s, where nobody lowers: all of [t, s) stays public until it is
 * taken, so only top can have moved, and then the exchange fails. With lowerings it would be unsound: the owner may take items in [t, t + n).
 *
 * Lowering (the owner takes back public items, n >= 2): exchange split (s,settled) -> (s',lowering) with top < s' < s, then load top again.
 * If still top < s', the items in [s', s) can no longer be taken: a thief takes item i >= s' only if it loaded top == i after our load
 * (top only rises), hence, all being seq_cst, loads split after our exchange and sees it tentative or lowered. Then (s',settled)
 * is stored. Otherwise (s,settled) is restored; nobody else has written split meanwhile, since it was tentative. With n == 1 the owner takes
 * the item as a thief does.
 *
 * Hunger: who finds private items only raises `hungry`; while it is up each push looks whether `wanted` items are public, and publishes half of the
 * private ones if not: one, until the owner has looked how many workers are idle.
 *
 * Publishing: everything, by storing (bottom,0) (release), at any time when no lowering of the owner's own is under way: no split can be
 * higher. A part, by exchange of the value of split that was looked at: between the look and a plain store a raise could be settled
 * and its items taken, and the split would sink below top. A raiser's pending exchange then fails.
 *
 * Raising (a thief finds top >= s0, nothing public, but bottom > s0): under the try-lock `raising`, exchange split (s0,settled) -> (s1,raising) with
 * s0 < s1 <= bottom as seen; then a barrier in all threads (membarrier); then read bottom again. The owner's pop of a private item
 * stores bottom = b and then loads split, with a compiler barrier only. Either its store is before the barrier, and the raiser
 * sees bottom <= b, or its load is after it, and it sees s1, goes the slow way if b < s1, and settles the matter itself by exchanging
 * split (s1,raising) for something settled. If bottom is still >= s1, all of [s0, s1) is there, and the raiser exchanges (s1,raising) ->
 * (s1,settled): public. If it is lower, the raiser exchanges to the lower value: items in [s0, bottom) are untouched: later pops below s1
 * would have gone the slow way and changed split. While split is tentative nothing can be taken: the public part was empty when it
 * was set (no thief with an older view can win item i: it would need s > i >= top >= s0, and every lowering below s since then made
 * sure that top < s0). The owner's view of tentative in its slow pop is therefore: everything in [top, bottom) is mine until I settle.
 * The try-lock keeps a second raiser from setting the same (s1,raising) again, and the owner's own tentative values are of the other
 * kind, so the final exchange means our own raise. (Were they of one kind, a late raiser could end a lowering to the same index, a
 * second raiser could then publish beyond it, and the owner would believe its half to be private.)
 *
 * In its slow pop the owner takes bottom - 1 down BEFORE it makes split settled: a raiser that sees the settled value must not see an
 * item above it that the owner is about to return.
 *
 * Without membarrier(2) (always_public): every push goes the slow way and publishes at once with seq_cst stores, so the private part is
 * always empty and nothing is ever raised.
 *
 * Growing: the owner copies [top, bottom) to an array of twice the size and publishes it as `stock` (release); thieves read the mask from the
 * array they read the item from. Outgrown arrays stay until the deque is destroyed, so that slow thieves read valid memory.
 *
 * Progress: push, pop, steal are lock-free (a pop retries only when a thief took an item or a raise was settled); a raiser that is
 * preempted under the try-lock stops other raisers only.
 */
#ifndef YOKE_EXECUTOR_DEQUE_H
#define YOKE_EXECUTOR_DEQUE_H

#include <stdbool.h>
#include <stddef.h>

#include <yoke/detail/deque_layout.h>

#include "atomic.h"

enum yoke__steal {
    YOKE__STEAL_EMPTY,  /* nothing there */
    YOKE__STEAL_HIDDEN, /* nothing public, but private items */
    YOKE__STEAL_LOST,   /* somebody else was faster: try again */
    YOKE__STEAL_GOT
};

/* The word `split`. Both tentative kinds mean: nothing can be taken. */
enum { YOKE__SPLIT_SETTLED = 0, YOKE__SPLIT_LOWERING = 1, YOKE__SPLIT_RAISING = 2, YOKE__SPLIT_KIND = 3 };

static inline uint64_t yoke__split_word(int64_t index, unsigned kind)
{
    return (uint64_t)index << 2 | kind;
}

static inline int64_t yoke__split_index(uint64_t word)
{
    return (int64_t)(word >> 2);
}

/* 0 or -ENOMEM. */
int yoke__deque_init(struct yoke__deque *d, bool always_public);
void yoke__deque_destroy(struct yoke__deque *d);

/* Makes indices begin at `base` (> 0, at most 2^62); the deque is empty and nobody else knows it yet. */
void yoke__deque_set_base(struct yoke__deque *d, int64_t base);

/* Every push takes the slow path from now on (debug mode). */
void yoke__deque_slow_only(struct yoke__deque *d);

/* The slow path of push: grows, answers hungry thieves. 1: something was published, wake somebody; 0; -ENOMEM: not pushed. */
int yoke__deque_push_slow(struct yoke__deque *d, void *item);

/* Answers hungry thieves, if there are any. True: something was published, wake somebody. */
bool yoke__deque_answer(struct yoke__deque *d);

int yoke__deque_grow(struct yoke__deque *d);

/* The bottom item is public or gone: takes it back, with others above the new split. NULL: empty. */
void *yoke__deque_pop_slow(struct yoke__deque *d);

enum yoke__steal yoke__deque_steal(struct yoke__deque *d, void **item);

/* Up to `most` items, the oldest ones, out of a deque whose owner only pushes publicly and steals. How many; 0: empty, or somebody else was faster. */
int64_t yoke__deque_steal_many(struct yoke__deque *d, void **items, int64_t most);

/* Raises the split of a victim that has not answered. True: something may be public now. */
bool yoke__deque_raise(struct yoke__deque *d);

#ifdef YOKE_TEST_HOOKS
/* Called between the steps of a lowering (1), a raise (2, 3) and an answer (4). */
extern void (*yoke__deque_hook)(int step, struct yoke__deque *d);
#endif

/* As the inlined fork does it. */
static inline int yoke__deque_push(struct yoke__deque *d, void *item)
{
    int64_t b = d->bottom;
    if (__builtin_expect(b >= yoke__load_relaxed(&d->room), 0)) /* pairs with yoke__deque_ask() */
        return yoke__deque_push_slow(d, item);
    yoke__store_relaxed(&d->slots[b & d->mask], item);
    yoke__store_release(&d->bottom, b + 1); /* the item's contents; pairs with yoke__deque_raise() */
    yoke__compiler_barrier();               /* the processor's half of this store-load pair is the membarrier in yoke__park() */
    return __builtin_expect(yoke__load_relaxed(&d->room) < 0, 0) && yoke__deque_answer(d); /* asked in between; pairs with yoke__deque_ask() */
}

/* Pushes and publishes everything. 0 or -ENOMEM. The caller wakes a sleeper. */
static inline __attribute__((always_inline)) int yoke__deque_push_public(struct yoke__deque *d, void *item)
{
    int64_t b = d->bottom;
    if (__builtin_expect(b >= d->limit, 0)) {
        int rc = yoke__deque_grow(d);
        if (rc < 0)
            return rc;
    }
    yoke__store_relaxed(&d->slots[b & d->mask], item);
    yoke__store_release(&d->bottom, b + 1); /* pairs with yoke__deque_raise() */
    if (__builtin_expect(d->always_public, 0))
        yoke__store_seq(&d->split, yoke__split_word(b + 1, YOKE__SPLIT_SETTLED)); /* store-load against yoke__park(), which has no membarrier */
    else
        yoke__store_release(&d->split, yoke__split_word(b + 1, YOKE__SPLIT_SETTLED)); /* the item's contents; pairs with yoke__deque_steal() */
    return 0;
}

/* The item pushed last that nobody has taken, or NULL. */
static inline void *yoke__deque_pop(struct yoke__deque *d)
{
    int64_t b = d->bottom - 1;
    yoke__store_relaxed(&d->bottom, b);
    yoke__compiler_barrier(); /* the processor's half of this store-load pair is the raiser's membarrier */
    if (__builtin_expect(yoke__split_word(b, 3) >= yoke__load_relaxed(&d->split), 1)) /* pairs with yoke__deque_raise() */
        return yoke__load_relaxed(&d->slots[b & d->mask]);
    yoke__store_release(&d->bottom, b + 1);
    return yoke__deque_pop_slow(d);
}

/* How many items there are, private ones included, as far as one can tell. */
static inline int64_t yoke__deque_count(const struct yoke__deque *d)
{
    return yoke__load_acquire(&d->bottom) - yoke__load_relaxed(&d->top);
}

/* True if the deque may hold an item, private ones included. */
static inline bool yoke__deque_any(const struct yoke__deque *d)
{
    return yoke__load_acquire(&d->bottom) > yoke__load_relaxed(&d->top); /* a hint; exact after the barrier in yoke__park() */
}

/*
 * Raises the owner's flag, and lowers its room so that the next push takes the slow path and sees the flag: one comparison there for
 * both. Written only if it is down, so that waiting thieves do not disturb the owner.
 */
static inline void yoke__deque_ask(struct yoke__deque *d)
{
    if (yoke__load_relaxed(&d->hungry) == 0) {
        yoke__store_relaxed(&d->hungry, 1);              /* before the room; pairs with yoke__deque_sated() */
        (void)yoke__xchg_acq_rel(&d->room, INT64_MIN); /* pairs with set_room() in deque.c */
    }
}

/* The owner lowers the flag. */
void yoke__deque_sated(struct yoke__deque *d);

/* The owner answers the hungry, as long as they are, until `n` items are public, n > 0, and not only one: so many are idle. */
static inline void yoke__deque_want(struct yoke__deque *d, int64_t n)
{
    d->wanted = n;
}

#endif
