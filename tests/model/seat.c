/*
 * The seats of executor/seat.c in small, in plain C11 and pthreads: a strand that sits down, rises, and whose frame then goes; a source that wakes
 * it; a cancel, carried out by whoever walks at the moment, as in walk.c; a looker. And the blocks: a seat vacated out of a full block, taken by
 * another, while a canceller has the blocks in a list of its own, gives the lock up in between, and leaves them unsorted.
 *
 * Invariants: of the sources one wins, and the strand goes on once; who sat down and is cancelled does not sleep for ever; nobody
 * touches the wait of a strand that has gone on; one walks at a time, and no queued cancel is left; a block that has room is found, and one
 * user at a time has a seat.
 *
 * Run by the tests as threads, many times. With GenMC, each script by itself, and no execution cut short where a compare-exchange fails:
 * genmc --disable-spin-assume --disable-confirmation-annotation -- -DGENMC -DSCRIPT=0 seat.c
 *
 * With -DBROKEN=n one line or order is missing, and a search of all executions finds it in the scripts named (and perhaps in more):
 *   1 sits by an exchange that is not seq_cst        (CANCEL: sleeps for ever)
 *   2 loads the epoch not seq_cst                    (CANCEL: sleeps for ever)
 *   3 raises the epoch not seq_cst                   (CANCEL, HANDED: sleeps for ever)
 *   4 looks at the seat first not seq_cst            (CANCEL: sleeps for ever)
 *   5 rises without regard to a looker               (LOOK, BOTH: a wait that is gone)
 *   6 lets go relaxed                                (CANCEL, LOOK: a race for the frame)
 *   7 holds relaxed                                  (AGAIN: a race for the frame)
 *   8 the look at the epoch before the sitting down  (CANCEL: sleeps for ever)
 *   9 vacates without a look at `unvisited`          (VACATE: a block in no list, or in two)
 *  10 never moves a full block that has room now     (VACATE)
 *  11 takes and vacates relaxed                      (VACATE: a race for the seat)
 *  12 raises the epoch once it has queued the cancel (HANDED: sleeps for ever)
 *  13 walks once, whoever has come meanwhile         (HANDED: a cancel that nobody carries out)
 *  14 hands the walking over relaxed                 (HANDED: a race for what the walker has for itself)
 *  15 queues the cancel relaxed                      (HANDED: sleeps for ever)
 *  16 rises relaxed                                  (CANCEL, LOOK: a race for the frame)
 *  17 takes a seat without sorting the block         (VACATE: room that nobody finds)
 *  18 sorts it before it takes the mark away         (VACATE: room that nobody finds)
 * As threads, on a machine with a strong order, 8, 10 and 13 are found within seconds; the steps, not the orders, are in seat.pml too.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "rounds.h"

#ifndef BROKEN
#define BROKEN 0
#endif

enum { ARMING = 0, PARKED = 1, FIRED = 2 };
enum { WOKEN, CANCELLED, CODES };
enum { CANCEL, HANDED, LOOK, BOTH, AGAIN, ALL, VACATE, SCRIPTS };

#ifdef GENMC
#ifndef SCRIPT
#define SCRIPT CANCEL
#endif
enum { FROM = SCRIPT, TO = SCRIPT + 1, ROUNDS = 1 };
#define IDLE() ((void)0)
#define must(condition, what) assert((condition) && (what))
#else
#include <sched.h>
enum { FROM = 0, TO = SCRIPTS, ROUNDS = 500 };
#define IDLE() sched_yield()
#define must(condition, what) ((condition) ? (void)0 : (puts(what), abort()))
#endif

#define seq(n) (BROKEN == (n) ? memory_order_acq_rel : memory_order_seq_cst)
#define seq_load(n) (BROKEN == (n) ? memory_order_acquire : memory_order_seq_cst)
#define weak(n, order) (BROKEN == (n) ? memory_order_relaxed : (order))

struct wait {
    atomic_uint state;
    int frame; /* plain: what a looker reads, and the strand writes while it runs */
};

#define LOOKED_AT ((uintptr_t)1)

enum { THREADS = 4 };           /* of a script, at most */
enum { OURS = 1, ANOTHER = 2 }; /* scopes: as they are queued, and by what a cancel of theirs raises the epoch */

static atomic_uintptr_t seat;
static pthread_mutex_t scope_lock = PTHREAD_MUTEX_INITIALIZER, queue_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint epoch, mark, walks, pending;
static struct wait *queued; /* under queue_lock */
static int happened;
static int walked; /* plain: what the one walker has for itself */

static int script;
static atomic_int wins, ends;

/* ---- the seat --------------------------------------------------------------------------------------------------------- */

static void sit(struct wait *wait)
{
    (void)atomic_exchange_explicit(&seat, (uintptr_t)wait, seq(1));
}

static void rise(void)
{
    for (;;) {
        uintptr_t word = atomic_load_explicit(&seat, weak(16, memory_order_acquire));
        if (word == 0)
            return;
        if (BROKEN == 5) {
            atomic_store_explicit(&seat, 0, memory_order_release);
            return;
        }
        if ((word & LOOKED_AT) == 0 &&
            atomic_compare_exchange_strong_explicit(&seat, &word, 0, weak(16, memory_order_acq_rel), weak(16, memory_order_acquire)))
            return;
        if ((word & LOOKED_AT) != 0) {
            pthread_mutex_lock(&scope_lock);
            pthread_mutex_unlock(&scope_lock);
        }
    }
}

static struct wait *hold_locked(void)
{
    uintptr_t word = atomic_load_explicit(&seat, seq_load(4));
    while (word != 0)
        if (atomic_compare_exchange_strong_explicit(&seat, &word, word | LOOKED_AT, weak(7, memory_order_acq_rel),
                                                    weak(7, memory_order_acquire)))
            return (struct wait *)word;
    return NULL;
}

static void let_go_locked(struct wait *wait)
{
    atomic_store_explicit(&seat, (uintptr_t)wait, weak(6, memory_order_release));
}

/* ---- the strand ------------------------------------------------------------------------------------------------------- */

/* From the return of yoke__wait_block() on; the frame goes. */
static void after(struct wait *wait)
{
    if (script != CANCEL && script != HANDED) {
        pthread_mutex_lock(&queue_lock);
        if (queued == wait)
            queued = NULL;
        pthread_mutex_unlock(&queue_lock);
    }
    rise();
    wait->frame = 2;
    free(wait);
    must(atomic_fetch_add_explicit(&ends, 1, memory_order_relaxed) == 0, "the strand went on twice");
}

static void block(struct wait *wait)
{
    unsigned arming = ARMING;
    if (atomic_load_explicit(&wait->state, memory_order_acquire) >= FIRED ||
        !atomic_compare_exchange_strong_explicit(&wait->state, &arming, PARKED, memory_order_acq_rel, memory_order_acquire))
        after(wait);
}

static void *strand(void *arg)
{
    struct wait *wait = malloc(sizeof *wait);
    must(wait != NULL, "no memory");
    atomic_init(&wait->state, ARMING);
    wait->frame = 1;
    unsigned now = BROKEN == 8 ? atomic_load_explicit(&epoch, memory_order_seq_cst) : 0;
    IDLE();
    sit(wait);
    if (BROKEN != 8)
        now = atomic_load_explicit(&epoch, seq_load(2));
    if (now != 0 && atomic_load_explicit(&mark, memory_order_acquire) != 0) {
        after(wait);
        return arg;
    }
    must((now & OURS) == 0, "the epoch without the mark");
    pthread_mutex_lock(&queue_lock);
    int late = happened;
    if (!late)
        queued = wait;
    pthread_mutex_unlock(&queue_lock);
    if (late)
        after(wait);
    else
        block(wait);
    return arg;
}

/* Sits down a second time in the same frame; both times it rises before it has slept. */
static void *strand_again(void *arg)
{
    struct wait *wait = malloc(sizeof *wait);
    must(wait != NULL, "no memory");
    for (int i = 0; i < 2; i++) {
        wait->frame = 1;
        sit(wait);
        IDLE();
        rise();
        wait->frame = 2;
    }
    free(wait);
    (void)atomic_fetch_add_explicit(&ends, 1, memory_order_relaxed);
    return arg;
}

/* ---- sources and lookers ---------------------------------------------------------------------------------------------- */

/* True: it won; *ours: the strand is the caller's to resume. */
static int fire(struct wait *wait, unsigned code, int *ours)
{
    unsigned state = atomic_load_explicit(&wait->state, memory_order_relaxed);
    *ours = 0;
    while (state < FIRED)
        if (atomic_compare_exchange_strong_explicit(&wait->state, &state, FIRED + code, memory_order_acq_rel, memory_order_acquire)) {
            must(atomic_fetch_add_explicit(&wins, 1, memory_order_relaxed) == 0, "two sources won");
            *ours = state == PARKED;
            return 1;
        }
    return 0;
}

static void *wake(void *arg)
{
    int ours = 0;
    pthread_mutex_lock(&queue_lock);
    struct wait *wait = queued;
    happened = 1;
    queued = NULL;
    if (wait != NULL)
        (void)fire(wait, WOKEN, &ours);
    pthread_mutex_unlock(&queue_lock);
    if (ours)
        after(wait);
    return arg;
}

static void visit(void)
{
    int ours = 0;
    pthread_mutex_lock(&scope_lock);
    struct wait *wait = hold_locked();
    if (wait != NULL) {
        IDLE();
        must(wait->frame == 1, "a wait that is gone");
        let_go_locked(fire(wait, CANCELLED, &ours) ? NULL : wait);
    }
    pthread_mutex_unlock(&scope_lock);
    if (ours)
        after(wait);
}

/* Who raises `pending` from 0 walks for all that is queued, and for those who come meanwhile. */
static void serve(void)
{
    unsigned calls = 1, before;
    if (atomic_fetch_add_explicit(&pending, 1, weak(14, memory_order_acq_rel)) != 0)
        return;
    do {
        walked++;
        if ((atomic_exchange_explicit(&walks, 0, weak(15, memory_order_acq_rel)) & OURS) != 0)
            visit();
        before = atomic_fetch_sub_explicit(&pending, calls, weak(14, memory_order_acq_rel));
    } while (BROKEN != 13 && (calls = before - calls) != 0);
}

/* `scope` is marked, if it is ours. */
static void carry_out(unsigned scope)
{
    if (BROKEN != 12)
        (void)atomic_fetch_add_explicit(&epoch, scope, seq(3));
    unsigned head = atomic_load_explicit(&walks, memory_order_relaxed);
    while (!atomic_compare_exchange_strong_explicit(&walks, &head, head | scope, weak(15, memory_order_acq_rel),
                                                    weak(15, memory_order_acquire)))
        ;
    if (BROKEN == 12)
        (void)atomic_fetch_add_explicit(&epoch, scope, memory_order_seq_cst);
    serve();
}

static void *cancel(void *arg)
{
    atomic_store_explicit(&mark, 1, memory_order_release);
    if (script == HANDED) {
        carry_out(OURS);
    } else { /* nobody else walks */
        (void)atomic_fetch_add_explicit(&epoch, OURS, seq(3));
        visit();
    }
    return arg;
}

static void *cancel_another(void *arg)
{
    carry_out(ANOTHER);
    return arg;
}

/* The dump. */
static void *look(void *arg)
{
    pthread_mutex_lock(&scope_lock);
    struct wait *wait = hold_locked();
    if (wait != NULL) {
        IDLE();
        must(wait->frame == 1, "a wait that is gone");
        let_go_locked(wait);
    }
    pthread_mutex_unlock(&scope_lock);
    return arg;
}

/* ---- blocks of one seat each ------------------------------------------------------------------------------------------ */

enum { BLOCKS = 2, UNSORTED = 2 };
enum place { WITH_ROOM, FULL, UNVISITED };

static struct block {
    atomic_uint taken;
    enum place in; /* under scope_lock; the lists themselves say no more than this */
    int user;      /* plain: who has the seat */
} blocks[BLOCKS];

static void sort_locked(struct block *b)
{
    b->in = atomic_load_explicit(&b->taken, memory_order_relaxed) == 1 ? FULL : WITH_ROOM;
}

static void sort_unmarked_locked(struct block *b)
{
    b->in = (atomic_load_explicit(&b->taken, memory_order_relaxed) & 1) != 0 ? FULL : WITH_ROOM;
}

static void vacate(struct block *b)
{
    b->user = 0;
    if (atomic_fetch_and_explicit(&b->taken, ~1u, weak(11, memory_order_acq_rel)) != 1 || BROKEN == 10)
        return;
    pthread_mutex_lock(&scope_lock);
    if (BROKEN == 9 || b->in != UNVISITED)
        sort_locked(b);
    pthread_mutex_unlock(&scope_lock);
}

static void sort_those_left_locked(void)
{
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i].in == WITH_ROOM && (atomic_load_explicit(&blocks[i].taken, memory_order_relaxed) & UNSORTED) != 0) {
            if (BROKEN == 18)
                sort_unmarked_locked(&blocks[i]);
            (void)atomic_fetch_and_explicit(&blocks[i].taken, ~(unsigned)UNSORTED, memory_order_acq_rel);
            if (BROKEN != 18)
                sort_locked(&blocks[i]);
        }
}

static void *leave(void *arg)
{
    vacate(&blocks[0]);
    return arg;
}

static void *come(void *arg)
{
    struct block *found = NULL;
    pthread_mutex_lock(&scope_lock);
    if (BROKEN != 17)
        sort_those_left_locked();
    for (int i = 0; i < BLOCKS && found == NULL; i++)
        if (blocks[i].in == WITH_ROOM)
            found = &blocks[i];
    if (found != NULL) {
        unsigned before = atomic_fetch_or_explicit(&found->taken, 1, weak(11, memory_order_acq_rel));
        must((before & 1) == 0, "a seat of another");
        found->in = FULL;
        must(found->user == 0, "a seat that is in use");
        found->user = 2;
    }
    pthread_mutex_unlock(&scope_lock);
    if (found != NULL)
        vacate(found);
    return arg;
}

static void *visit_blocks(void *arg)
{
    pthread_mutex_lock(&scope_lock);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i].in = UNVISITED;
    for (int i = 0; i < BLOCKS; i++) {
        must(blocks[i].in == UNVISITED, "somebody else has moved a block of the canceller's");
        (void)atomic_fetch_or_explicit(&blocks[i].taken, UNSORTED, memory_order_relaxed);
        blocks[i].in = WITH_ROOM;
        pthread_mutex_unlock(&scope_lock); /* to make ready whom it has woken */
        IDLE();
        pthread_mutex_lock(&scope_lock);
    }
    pthread_mutex_unlock(&scope_lock);
    return arg;
}

/* ---- scripts ---------------------------------------------------------------------------------------------------------- */

static void begin(void)
{
    atomic_init(&seat, 0);
    atomic_init(&epoch, 0);
    atomic_init(&mark, 0);
    atomic_init(&walks, 0);
    atomic_init(&pending, 0);
    atomic_init(&wins, 0);
    atomic_init(&ends, 0);
    queued = NULL;
    happened = walked = 0;
    for (int i = 0; i < BLOCKS; i++) {
        atomic_init(&blocks[i].taken, i == 0);
        blocks[i].in = i == 0 ? FULL : WITH_ROOM;
        blocks[i].user = i == 0;
    }
}

static void check(void)
{
    if (script == VACATE) {
        for (int i = 0; i < BLOCKS; i++)
            must(blocks[i].in == WITH_ROOM && (atomic_load(&blocks[i].taken) & 1) == 0, "room that nobody finds");
    } else {
        must(atomic_load(&ends) == 1, "the strand sleeps for ever");
        must(atomic_load(&walks) == 0 && atomic_load(&pending) == 0, "a cancel that nobody carries out");
        must(atomic_load(&seat) == 0, "somebody is left in the seat");
    }
}

int main(void)
{
    static void *(*const casts[SCRIPTS][THREADS])(void *) = {
        [CANCEL] = { strand, cancel }, [HANDED] = { strand, cancel, cancel_another }, [LOOK] = { strand, wake, look },
        [BOTH] = { strand, wake, cancel }, [AGAIN] = { strand_again, look }, [ALL] = { strand, wake, cancel, look },
        [VACATE] = { leave, come, visit_blocks },
    };
    for (int round = 0; another(round, ROUNDS); round++)
        for (script = FROM; script < TO; script++) {
            pthread_t threads[THREADS];
            int n = 0;
            begin();
            while (n < THREADS && casts[script][n] != NULL) {
                pthread_create(&threads[n], NULL, casts[script][n], NULL);
                n++;
            }
            while (n > 0)
                pthread_join(threads[--n], NULL);
            check();
        }
    return 0;
}
