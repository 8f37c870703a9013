/*
 * seat.h - where a canceller finds who blocks in a scope.
 *
 * A seat is a word that names the wait of the strand it belongs to, or nobody. The owner of a scope has the seat inside the scope. A strand
 * that began in a scope of somebody else's (a child in its group's, a fork in its forker's) takes one in a block of the scope's when it
 * blocks there for the first time, and vacates it at its end: so a wait itself takes no lock and touches nobody else's memory. A strand has
 * one such seat at a time: it blocks in one place only.
 *
 * The word: 0, a wait, or a wait with the lowest bit set: somebody looks at that wait, which keeps its frame from going.
 *
 *   sit      0 -> wait            the strand, by exchange (seq_cst); then it looks whether the scope is cancelled
 *   rise     wait -> 0            the strand, by compare-exchange
 *   hold     wait -> wait | 1     a looker, who holds the scope's lock, by compare-exchange
 *   let go   wait | 1 -> wait, 0  the looker, by a store; 0 if it has fired the wait: then the strand need not rise
 *
 * No cancel is lost: the canceller marks the scope, raises the epoch (both seq_cst or earlier), and then reads the seats; the strand sits and then reads
 * the epoch. Of two such pairs at least one sees the other's store. A strand that cannot rise, as it is looked at, waits for the
 * scope's lock, which the looker holds.
 *
 * Blocks of seats belong to their scope until it is retired; they lie in lists, under the scope's lock: those that may have room, those
 * that have none, and both kinds that a canceller has yet to visit. A seat is taken under the lock and vacated without it, but for the one who
 * vacates a seat of a full block: that one moves the block. Blocks that a canceller has visited are unsorted, by a bit in the word that says who
 * sits there: all who do come to their ends now, and none of them finds it full, or comes for the lock, which the canceller needs. Who takes a
 * seat sorts them.
 *
 * Progress: sitting is wait-free; rising waits for a looker only.
 */
#ifndef YOKE_EXECUTOR_SEAT_H
#define YOKE_EXECUTOR_SEAT_H

#include "core.h"

/* The seat of the wait's strand in its current scope. NULL: no memory for one. */
static inline struct yoke__seat *yoke__seat_here(struct yoke__worker *w, struct yoke__strand *strand);

struct yoke__seat *yoke__seat_take(struct yoke__worker *w, struct yoke__strand *strand, struct yoke__scope *scope);
void yoke__seat_vacate_slow(struct yoke__strand *strand);

static inline struct yoke__seat *yoke__seat_here(struct yoke__worker *w, struct yoke__strand *strand)
{
    struct yoke__scope *scope = yoke__strand_scope(strand);
    if (scope->head.owner == &strand->head)
        return &scope->seat;
    if (yoke__likely(strand->seat != NULL && strand->seat->block->scope == scope))
        return strand->seat;
    return yoke__seat_take(w, strand, scope);
}

/* At the strand's end, before the scope in which it began may go. */
static inline void yoke__seat_vacate(struct yoke__strand *strand)
{
    if (yoke__unlikely(strand->seat != NULL))
        yoke__seat_vacate_slow(strand);
}

static inline void yoke__seat_sit(struct yoke__seat *seat, struct yoke__wait *wait)
{
    (void)yoke__xchg_seq(&seat->wait, (uintptr_t)wait); /* store-load against yoke__scope_carry_out() */
}

/* No effect if it was told off by a canceller. */
void yoke__seat_rise(struct yoke__seat *seat, struct yoke__wait *wait);

/* The wait, which stays until it is let go; NULL: nobody sits there. */
struct yoke__wait *yoke__seat_hold_locked(struct yoke__seat *seat);
void yoke__seat_let_go_locked(struct yoke__seat *seat, struct yoke__wait *wait);

/* Fibers that a canceller has to make ready, and what it has looked at: waits, blocks of seats, scopes. More is not begun once that is `most`. */
struct yoke__roused {
    struct yoke__fiber *first;
    unsigned cost, most;
};
void yoke__roused_ready(struct yoke_runtime *rt, struct yoke__roused *roused);

/* What it costs, about, before a canceller makes them ready: they are in the caches then. */
#ifdef YOKE_SHRUNKEN
enum { YOKE__STRETCH = 4 };
#else
enum { YOKE__STRETCH = 256 };
#endif

/*
 * Fires the waits of the scope, which is cancelled and locked: first its owner's, with all others to be visited, and then these, until it has cost the
 * most. True: some are left, for another time, with the lock given up meanwhile. Whoever sits down later sees the cancel himself.
 */
void yoke__seats_cancel_begin_locked(struct yoke__scope *scope, struct yoke__roused *roused);
bool yoke__seats_cancel_locked(struct yoke__scope *scope, struct yoke__roused *roused);

/* For each wait, held. */
void yoke__seats_show_locked(struct yoke__scope *scope, void (*show)(void *ctx, const struct yoke__wait *wait), void *ctx);

/* The scope is over, and nobody looks. True: nobody sits there. */
bool yoke__seats_retire_slow(struct yoke__scope *scope);
static inline bool yoke__seats_retire(struct yoke__scope *scope)
{
    return yoke__likely(scope->seats == NULL && scope->full_seats == NULL && scope->unvisited[0] == NULL && scope->unvisited[1] == NULL) ? scope->seat.wait == 0 : yoke__seats_retire_slow(scope);
}

#endif
