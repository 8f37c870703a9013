/*
 * The split deque of executor/deque.h in small, in plain C11 and pthreads: an owner and two thieves, each of which follows a script.
 * The steps and their orders are those of executor/deque.[ch], operation for operation.
 *
 * membarrier(2) has no counterpart in C11. It makes every running thread execute a barrier at some point of its program: what the thread
 * did before that point is seen by the caller afterwards, what the caller did before is seen by the thread from there on. Here the
 * owner, where it has a compiler barrier only, and the raiser, where it calls membarrier, exchange the same word: one comes first, and
 * is seen by the other. That is less than what the kernel promises, and nothing at all to a thief that does not raise.
 *
 * Invariants: every item is taken exactly once, none is lost, its taker sees what its pusher wrote; the split does not sink below
 * top; while hunger is up, there is no room.
 *
 * Run by the tests as threads, many times. With GenMC, each script by itself: genmc -- -DGENMC -DSCRIPT=0 deque.c
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "rounds.h"

enum { THIEVES = 2, ITEMS = 6, FIRST = 8, CAPACITY = 2, ARRAYS = 3, CLOSED = -1 };
enum { SETTLED = 0, LOWERING = 1, RAISING = 2, KIND = 3 };

/*
 * The owner: + pushes, # pushes in public, - pops, . lowers hunger, : hears that two are hungry; at | the thieves begin. Thieves: s steals, and
 * asks if all is private; ^ raises.
 */
static const struct script {
    const char *owner, *thieves[THIEVES];
} scripts[] = {
    { "##|--", { "s", "s" } },      /*  0: the last public item */
    { "###|-", { "ss", "s" } },     /*  1: lowering against steals */
    { "###|-+-", { "s", "s" } },    /*  2: private items above the lowered split, a slot used again */
    { "++|--", { "^s", "s" } },     /*  3: a raise against pops of private items */
    { "+++|--", { "^s", "" } },     /*  4: a raise of more than one item, withdrawn or settled by the owner */
    { "++|#-", { "^s", "s" } },     /*  5: a raise against a push in public and a lowering */
    { "++|#-", { "^", "s^s" } },    /*  6: a late raiser, and a second one */
    { "##|-", { "s^s", "" } },      /*  7: a raise at once after a lowering */
    { "+|+-", { "s", "^s" } },      /*  8: an answer to hunger, and a raise */
    { "++|+", { "s^s^s^s", "" } },  /*  9: an answer, and so many raises that all is taken */
    { "|++", { "ss", "^s" } },      /* 10: contents made public by an answer and by a raise */
    { "|##-", { "s", "s" } },       /* 11: contents made public by a push and by a lowering */
    { "##|#-", { "s", "s" } },      /* 12: room found by a look at top, or a larger array */
    { "+|..", { "s", "s" } },       /* 13: hunger down and up again */
    { "+|.+-", { "s", "s" } },      /* 14: and an answer to it */
    { "+:|++-", { "ss", "s" } },    /* 15: an answer beside what is public, and a lowering */
    { "+:|++", { "s^s", "s" } },    /* 16: and a raise */
};

#ifdef GENMC
#ifndef SCRIPT
#define SCRIPT 0
#endif
enum { FROM = SCRIPT, TO = SCRIPT + 1, ROUNDS = 1 };
#define IDLE() ((void)0)
#define must(condition, what) assert((condition) && (what))
#else
#include <sched.h>
enum { FROM = 0, TO = sizeof scripts / sizeof *scripts, ROUNDS = 250 };
#define IDLE() sched_yield()
#define must(condition, what) ((condition) ? (void)0 : (puts(what), abort()))
#endif

struct array {
    int capacity;
    atomic_int slots[CAPACITY << (ARRAYS - 1)];
};

static int array, limit, wanted; /* the owner's */
static struct array arrays[ARRAYS];
static _Atomic(struct array *) slots;
static atomic_int bottom, room, hungry, raising, top, barrier;
static atomic_uint split;

static int pushed, written[ITEMS + 1]; /* plain: what an item consists of */
static atomic_int taken[ITEMS + 1];

static void take(int item)
{
    must(item != 0 && written[item] == item, "an item without its contents was taken");
    must(atomic_fetch_add_explicit(&taken[item], 1, memory_order_relaxed) == 0, "an item was taken twice");
}

static unsigned word(int index, unsigned kind)
{
    return (unsigned)index << 2 | kind;
}

static atomic_int *slot(struct array *a, int index)
{
    return &a->slots[index & (a->capacity - 1)];
}

/* ---- owner ------------------------------------------------------------------------------------------------------------ */

static int own(int index)
{
    return atomic_load_explicit(slot(&arrays[array], index), memory_order_relaxed);
}

static void put(int index, int item)
{
    atomic_store_explicit(slot(&arrays[array], index), item, memory_order_relaxed);
    atomic_store_explicit(&bottom, index + 1, memory_order_release);
}

static void set_room(void)
{
    atomic_exchange(&room, limit);
    if (atomic_load(&hungry) != 0)
        atomic_exchange_explicit(&room, CLOSED, memory_order_acq_rel);
}

static void sated(void)
{
    wanted = 1;
    atomic_store_explicit(&hungry, 0, memory_order_relaxed);
    set_room();
}

static void grow(int b)
{
    int t = atomic_load_explicit(&top, memory_order_acquire);
    if (b >= t + arrays[array].capacity) {
        struct array *to = &arrays[array + 1];
        for (int i = t; i < b; i++)
            atomic_store_explicit(slot(to, i), own(i), memory_order_relaxed);
        array++;
        atomic_store_explicit(&slots, to, memory_order_release);
    }
    limit = t + arrays[array].capacity;
    set_room();
}

static void answer(void)
{
    int b = atomic_load_explicit(&bottom, memory_order_relaxed);
    unsigned w = atomic_load_explicit(&split, memory_order_relaxed);
    int s = (int)(w >> 2), t = atomic_load_explicit(&top, memory_order_relaxed);
    if ((w & KIND) != SETTLED)
        s = t;
    else if (s - t >= wanted)
        return;
    atomic_compare_exchange_strong_explicit(&split, &w, word(s + (b - s + 1) / 2, SETTLED), memory_order_acq_rel, memory_order_acquire);
}

static void push(int item)
{
    int b = atomic_load_explicit(&bottom, memory_order_relaxed);
    if (b < atomic_load_explicit(&room, memory_order_relaxed)) {
        put(b, item);
        if (atomic_load_explicit(&room, memory_order_relaxed) == CLOSED && atomic_load_explicit(&hungry, memory_order_relaxed) != 0)
            answer();
        return;
    }
    if (b >= limit)
        grow(b);
    put(b, item);
    if (atomic_load_explicit(&hungry, memory_order_relaxed) != 0)
        answer();
}

static void push_public(int item)
{
    int b = atomic_load_explicit(&bottom, memory_order_relaxed);
    if (b >= limit)
        grow(b);
    put(b, item);
    atomic_store_explicit(&split, word(b + 1, SETTLED), memory_order_release);
}

/* bottom goes down, and the split is looked at: 0, and bottom as it was, if the item is not private. */
static int pop_private(int b)
{
    atomic_store_explicit(&bottom, b - 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&barrier, 1, memory_order_acq_rel); /* the raiser's membarrier, in this thread */
    if (word(b - 1, KIND) >= atomic_load_explicit(&split, memory_order_relaxed))
        return own(b - 1);
    atomic_store_explicit(&bottom, b, memory_order_release);
    return 0;
}

static int pop(void)
{
    int b = atomic_load_explicit(&bottom, memory_order_relaxed), item = pop_private(b);
    while (item == 0) {
        unsigned w = atomic_load(&split);
        int t = atomic_load(&top), s = (int)(w >> 2);
        if (b <= t)
            return 0;
        if ((w & KIND) != SETTLED) {
            atomic_store_explicit(&bottom, b - 1, memory_order_release);
            if (atomic_compare_exchange_strong(&split, &w, word(b - 1, SETTLED)))
                return own(b - 1);
            atomic_store_explicit(&bottom, b, memory_order_release);
        } else if (s < b) {
            item = pop_private(b);
        } else if (s - t == 1) {
            int last = own(t);
            if (atomic_compare_exchange_strong(&top, &t, t + 1))
                return last;
        } else {
            int lower = t + (s - t) / 2;
            if (!atomic_compare_exchange_strong(&split, &w, word(lower, LOWERING)))
                continue;
            if (atomic_load(&top) < lower) {
                atomic_store_explicit(&bottom, b - 1, memory_order_release);
                atomic_store_explicit(&split, word(lower, SETTLED), memory_order_release);
                return own(b - 1);
            }
            atomic_store_explicit(&split, word(s, SETTLED), memory_order_release);
        }
    }
    return item;
}

static void follow_owner(const char *script)
{
    for (; *script != 0 && *script != '|'; script++) {
        int item;
        switch (*script) {
        case '+':
        case '#':
            item = ++pushed;
            written[item] = item;
            if (*script == '+')
                push(item);
            else
                push_public(item);
            break;
        case '-':
            item = pop();
            if (item != 0)
                take(item);
            break;
        case ':':
            wanted = 2;
            break;
        default:
            sated();
            break;
        }
        IDLE();
    }
}

/* ---- thieves ---------------------------------------------------------------------------------------------------------- */

static void ask(void)
{
    if (atomic_load_explicit(&hungry, memory_order_relaxed) == 0) {
        atomic_store_explicit(&hungry, 1, memory_order_relaxed);
        atomic_exchange_explicit(&room, CLOSED, memory_order_acq_rel);
    }
}

static void steal(void)
{
    int t = atomic_load(&top);
    unsigned w = atomic_load(&split);
    if ((w & KIND) != SETTLED || t >= (int)(w >> 2)) {
        if (atomic_load_explicit(&bottom, memory_order_relaxed) > t)
            ask();
        return;
    }
    int item = atomic_load_explicit(slot(atomic_load_explicit(&slots, memory_order_acquire), t), memory_order_relaxed);
    if (atomic_compare_exchange_strong(&top, &t, t + 1))
        take(item);
}

static void raise_split(void)
{
    int nobody = 0;
    if (!atomic_compare_exchange_strong_explicit(&raising, &nobody, 1, memory_order_acq_rel, memory_order_acquire))
        return;
    unsigned w = atomic_load(&split);
    int s0 = (int)(w >> 2), t = atomic_load(&top), b = atomic_load_explicit(&bottom, memory_order_acquire);
    if ((w & KIND) == SETTLED && t >= s0 && b > s0) {
        int s1 = s0 + (b - s0 + 1) / 2;
        unsigned tentative = word(s1, RAISING);
        if (atomic_compare_exchange_strong(&split, &w, tentative)) {
            atomic_fetch_add_explicit(&barrier, 1, memory_order_acq_rel); /* membarrier */
            b = atomic_load_explicit(&bottom, memory_order_acquire);
            atomic_compare_exchange_strong(&split, &tentative, word(b >= s1 ? s1 : b > s0 ? b : s0, SETTLED));
        }
    }
    atomic_store_explicit(&raising, 0, memory_order_release);
}

static void *follow_thief(void *script)
{
    for (const char *c = script; *c != 0; c++) {
        if (*c == 's')
            steal();
        else
            raise_split();
        IDLE();
    }
    return NULL;
}

/* ----------------------------------------------------------------------------------------------------------------------- */

static void begin(void)
{
    array = pushed = 0;
    limit = FIRST + CAPACITY;
    wanted = 1;
    for (int i = 0; i < ARRAYS; i++)
        arrays[i].capacity = CAPACITY << i;
    atomic_init(&slots, &arrays[0]);
    atomic_init(&bottom, FIRST);
    atomic_init(&top, FIRST);
    atomic_init(&split, word(FIRST, SETTLED));
    atomic_init(&room, limit);
    atomic_init(&hungry, 0);
    atomic_init(&raising, 0);
    atomic_init(&barrier, 0);
    for (int i = 0; i <= ITEMS; i++)
        atomic_init(&taken[i], 0);
}

static void end(void)
{
    int item;
    must((atomic_load(&split) & KIND) == SETTLED && (int)(atomic_load(&split) >> 2) >= atomic_load(&top), "the split sank below top");
    must(atomic_load(&hungry) == 0 || atomic_load(&room) == CLOSED, "there is room, and nobody sees hunger");
    while ((item = pop()) != 0)
        take(item);
    for (int i = 1; i <= pushed; i++)
        must(atomic_load(&taken[i]) == 1, "an item was lost");
}

int main(void)
{
    for (int round = 0; another(round, ROUNDS); round++)
        for (int i = FROM; i < TO; i++) {
            const char *owner = scripts[i].owner;
            pthread_t thieves[THIEVES];
            begin();
            follow_owner(owner);
            while (*owner++ != '|')
                ;
            for (int t = 0; t < THIEVES; t++)
                pthread_create(&thieves[t], NULL, follow_thief, (void *)scripts[i].thieves[t]);
            follow_owner(owner);
            for (int t = 0; t < THIEVES; t++)
                pthread_join(thieves[t], NULL);
            end();
        }
    return 0;
}
