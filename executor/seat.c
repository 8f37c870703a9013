/*
 * seat.c - see seat.h for the protocol and its argument.
 */
#include "seat.h"

#include "wait.h"
#include "worker.h"

#define LOOKED_AT ((uintptr_t)1)
#define ALL_TAKEN (((uint64_t)1 << YOKE__SEATS) - 1)
#define UNSORTED ((uint64_t)1 << 63) /* in `taken`: it may be full though it is not among those */

/* ---- the strand's side -------------------------------------------------------------------------------------------------- */

void yoke__seat_rise(struct yoke__seat *seat, struct yoke__wait *wait)
{
    for (;;) {
        uintptr_t word = yoke__load_acquire(&seat->wait); /* pairs with the stores of lookers below */
        if (word == 0)
            return;
        if ((word & LOOKED_AT) == 0 && yoke__cas_acq_rel(&seat->wait, &word, (uintptr_t)0)) /* pairs with yoke__seat_hold_locked() */
            return;
        if ((word & LOOKED_AT) != 0) {
            struct yoke__scope *scope = yoke__strand_scope(wait->strand);
            yoke__lock_acquire(&scope->lock);
            yoke__lock_release(&scope->lock);
        }
    }
}

void yoke__fiber_prefetch_seat(const struct yoke__fiber *fiber)
{
    const struct yoke__strand *strand = (const void *)fiber->strand;
    if (strand != NULL) {
        __builtin_prefetch(strand->seat, 1);
        __builtin_prefetch(strand->task, 1); /* for its end */
    }
}

/* ---- lookers ------------------------------------------------------------------------------------------------------------ */

struct yoke__wait *yoke__seat_hold_locked(struct yoke__seat *seat)
{
    uintptr_t word = yoke__load_seq(&seat->wait); /* store-load against yoke__seat_sit() */
    while (word != 0)
        if (yoke__cas_acq_rel(&seat->wait, &word, word | LOOKED_AT)) /* the frame; pairs with yoke__seat_sit() and yoke__seat_rise() */
            return (struct yoke__wait *)word;
    return NULL;
}

void yoke__seat_let_go_locked(struct yoke__seat *seat, struct yoke__wait *wait)
{
    yoke__store_release(&seat->wait, (uintptr_t)wait); /* pairs with yoke__seat_rise() */
}

/* ---- lists -------------------------------------------------------------------------------------------------------------- */

static void link_block(struct yoke__seats **list, struct yoke__seats *block)
{
    block->next = *list;
    block->back = list;
    if (block->next != NULL)
        block->next->back = &block->next;
    *list = block;
}

static void unlink_block(struct yoke__seats *block)
{
    *block->back = block->next;
    if (block->next != NULL)
        block->next->back = block->back;
}

/* `to` is empty. */
static void move_list(struct yoke__seats **to, struct yoke__seats **from)
{
    *to = *from;
    *from = NULL;
    if (*to != NULL)
        (*to)->back = to;
}

/* Where it belongs unless a canceller has yet to visit it. An unsorted one is never full. */
static void sort_block(struct yoke__scope *scope, struct yoke__seats *block)
{
    bool full = yoke__load_relaxed(&block->taken) == ALL_TAKEN; /* if it is not any more, who vacated a seat comes for the lock */
    link_block(full ? &scope->full_seats : &scope->seats, block);
}

/* ---- taking and vacating -------------------------------------------------------------------------------------------------- */

static struct yoke__seats *new_block(struct yoke__worker *w, struct yoke__scope *scope)
{
    struct yoke__seats *block = yoke__block_get(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_SEATS);
    if (block == NULL)
        return NULL;
    block->scope = scope;
    block->taken = 0;
    for (int i = 0; i < YOKE__SEATS; i++)
        block->at[i].seat = (struct yoke__seat){ .wait = 0, .block = block };
    return block;
}

/* What a canceller has left unsorted is sorted now. */
static struct yoke__seats *first_with_room_locked(struct yoke__scope *scope)
{
    struct yoke__seats *block;
    while ((block = scope->seats) != NULL && (yoke__load_relaxed(&block->taken) & UNSORTED) != 0) {
        unlink_block(block);
        yoke__and_acq_rel(&block->taken, ~UNSORTED); /* who vacates a seat of a full one comes for the lock from now on */
        sort_block(scope, block);
    }
    return block;
}

struct yoke__seat *yoke__seat_take(struct yoke__worker *w, struct yoke__strand *strand, struct yoke__scope *scope)
{
    yoke__seat_vacate(strand);
    yoke__lock_acquire(&scope->lock);
    struct yoke__seats *block = first_with_room_locked(scope);
    if (block == NULL) {
        yoke__lock_release(&scope->lock);
        block = new_block(w, scope);
        if (block == NULL)
            return NULL;
        yoke__lock_acquire(&scope->lock);
        block->visited = scope->visited; /* or it is to be: who sits down later sees that himself */
        link_block(&scope->seats, block);
    }
    int i = __builtin_ctzll(~yoke__load_relaxed(&block->taken)); /* set under the lock only; cleared ones may be missed */
    uint64_t bit = (uint64_t)1 << i;
    strand->seat = &block->at[i].seat;
    /* acquire: its last user has risen from it; pairs with yoke__seat_vacate_slow() */
    if ((yoke__or_acq_rel(&block->taken, bit) | bit) == ALL_TAKEN) {
        unlink_block(block);
        link_block(&scope->full_seats, block);
    }
    yoke__lock_release(&scope->lock);
    if (strand->fork == NULL)
        yoke__or_relaxed(&strand->task->flags, (uint16_t)YOKE__TASK_SEATED); /* for the task's own end */
    return strand->seat;
}

void yoke__seat_vacate_slow(struct yoke__strand *strand)
{
    struct yoke__seat *seat = strand->seat;
    struct yoke__seats *block = seat->block;
    uint64_t bit = (uint64_t)1 << (((char *)seat - (char *)block->at) / (ptrdiff_t)sizeof *block->at);
    strand->seat = NULL;
    if (yoke__and_acq_rel(&block->taken, ~bit) != ALL_TAKEN) /* pairs with yoke__seat_take() */
        return;
    struct yoke__scope *scope = block->scope;
    yoke__lock_acquire(&scope->lock);
    if (!scope->visited || block->visited) {
        unlink_block(block);
        sort_block(scope, block);
    }
    yoke__lock_release(&scope->lock);
}

/* ---- cancelling ----------------------------------------------------------------------------------------------------------- */

void yoke__roused_ready(struct yoke_runtime *rt, struct yoke__roused *roused)
{
    yoke__ready_list(rt, roused->first);
    roused->first = NULL;
}

static void fire_locked(struct yoke__seat *seat, struct yoke__wait *wait, struct yoke__roused *roused)
{
    struct yoke__fiber *fiber;
    bool won = yoke__wait_fire(wait, YOKE__FIRE_CANCEL, &fiber);
    yoke__seat_let_go_locked(seat, won ? NULL : wait);
    if (fiber != NULL) {
        fiber->next = roused->first;
        roused->first = fiber;
        roused->cost++;
    }
}

/* Hints: the seats of a block, and the waits that they name, which lie on stacks that have long left the caches. */
static void expect_seats(const struct yoke__seats *block)
{
    for (int i = 0; i < YOKE__SEATS; i++)
        __builtin_prefetch(&block->at[i], 1);
}

static void expect_waits(const struct yoke__seats *block)
{
    for (int i = 0; i < YOKE__SEATS; i++)
        __builtin_prefetch((const void *)yoke__load_relaxed(&block->at[i].seat.wait), 1); /* perhaps nobody's: only a hint */
}

static void fire_block_locked(struct yoke__seats *block, struct yoke__roused *roused)
{
    struct yoke__wait *wait[YOKE__SEATS];
    if (block->next != NULL) {
        expect_waits(block->next);
        if (block->next->next != NULL)
            expect_seats(block->next->next);
    }
    for (int i = 0; i < YOKE__SEATS; i++)
        if ((wait[i] = yoke__seat_hold_locked(&block->at[i].seat)) != NULL)
            yoke__fiber_prefetch(wait[i]->fiber);
    for (int i = 0; i < YOKE__SEATS; i++)
        if (wait[i] != NULL)
            fire_locked(&block->at[i].seat, wait[i], roused);
}

void yoke__seats_cancel_begin_locked(struct yoke__scope *scope, struct yoke__roused *roused)
{
    struct yoke__wait *owners = yoke__seat_hold_locked(&scope->seat);
    if (owners != NULL)
        fire_locked(&scope->seat, owners, roused);
    move_list(&scope->unvisited[0], &scope->seats);
    move_list(&scope->unvisited[1], &scope->full_seats);
}

bool yoke__seats_cancel_locked(struct yoke__scope *scope, struct yoke__roused *roused)
{
    struct yoke__seats *block;
    while ((block = scope->unvisited[scope->unvisited[0] == NULL]) != NULL && roused->cost < roused->most) {
        fire_block_locked(block, roused);
        roused->cost++;
        unlink_block(block);
        block->visited = true;
        yoke__or_relaxed(&block->taken, UNSORTED); /* under the lock; those who sat there come to their ends, and need not come for it */
        link_block(&scope->seats, block);
    }
    return block != NULL;
}

/* ---- for the dump ----------------------------------------------------------------------------------------------------------- */

static void show_seat(struct yoke__seat *seat, void (*show)(void *ctx, const struct yoke__wait *wait), void *ctx)
{
    struct yoke__wait *wait = yoke__seat_hold_locked(seat);
    if (wait == NULL)
        return;
    show(ctx, wait);
    yoke__seat_let_go_locked(seat, wait);
}

void yoke__seats_show_locked(struct yoke__scope *scope, void (*show)(void *ctx, const struct yoke__wait *wait), void *ctx)
{
    show_seat(&scope->seat, show, ctx);
    struct yoke__seats *const lists[] = { scope->full_seats, scope->seats, scope->unvisited[0], scope->unvisited[1] };
    for (int list = 0; list < 4; list++)
        for (struct yoke__seats *block = lists[list]; block != NULL; block = block->next)
            for (int i = 0; i < YOKE__SEATS; i++)
                show_seat(&block->at[i].seat, show, ctx);
}

bool yoke__seats_retire_slow(struct yoke__scope *scope)
{
    struct yoke__worker *w = yoke__self();
    struct yoke__seats *block;
    bool nobody = scope->seat.wait == 0 && scope->full_seats == NULL && scope->unvisited[0] == NULL && scope->unvisited[1] == NULL;
    while ((block = scope->seats) != NULL) {
        scope->seats = block->next;
        nobody = nobody && (block->taken & ALL_TAKEN) == 0;
        yoke__block_put(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_SEATS, block);
    }
    return nobody;
}
