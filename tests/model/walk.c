/*
 * Walks by stretches of executor/walk.c in small, in plain C11 and pthreads: a walker who leaves the rest to workers, a worker who goes on with it, who
 * leaves a scope that the walk has pinned, and somebody who hands over a cancel or a stop. Some have walked enough after one stretch, and ring a bell
 * for those who leave.
 *
 * Invariants: one walks at a time; nobody who leaves sleeps while the walk that has pinned his scope waits for somebody, or when the pin has gone; he
 * does not leave while it is pinned; no cancel is left, nor is one queued while the walk waits for somebody, unless its walker had walked enough, and
 * then no stop.
 *
 * Run by the tests as threads, many times. With GenMC, each script by itself:
 * genmc --disable-spin-assume --disable-confirmation-annotation -- -DGENMC -DSCRIPT=0 walk.c
 *
 * With -DBROKEN=n one line or order is missing, and a search of all executions finds it in the scripts named (and perhaps in more):
 *   1 who leaves counts himself not seq_cst            (LEAVE: sleeps for ever)
 *   2 who parks the walk does so not seq_cst           (LEAVE: sleeps for ever)
 *   3 and looks at the count not seq_cst               (LEAVE: sleeps for ever)
 *   4 who leaves looks at the walk not seq_cst         (LEAVE: sleeps for ever)
 *   5 claims relaxed                                   (WORK, HAND: what the walker has for itself is another's too)
 *   6 parks relaxed                                    (all but CROWD: the same)
 *   7 parks it whoever leaves                          (LEAVE: sleeps for ever)
 *   8 leaves without a look at the walk                (LEAVE: sleeps for ever)
 *   9 says that the walk is over once it has ended it  (HAND: a cancel that nobody carries out)
 *  10 unpins relaxed                                   (LEAVE: a race for the scope)
 *  11 ends the walk relaxed                            (HAND: a race for what the walker has for itself)
 *  12 who has queued a cancel does not look at the walk (HAND: a cancel behind an older one)
 *  13 who parks the walk does not look at the queue     (HAND: the same)
 *  14 queues not seq_cst                                (HAND: the same)
 *  15 who has queued looks at the walk not seq_cst      (HAND: the same)
 *  16 who parks the walk looks at the queue not seq_cst (HAND: the same)
 *  17 who has walked enough does not ring             (ENOUGH: sleeps for ever)
 *  18 nor does who takes the last pin away            (LEAVE: sleeps for ever)
 *  19 who leaves reads the bell after his looks       (LEAVE, ENOUGH: sleeps for ever)
 *  20 who has walked enough does not look for a stop  (STOP: a stop that waits for workers)
 * As threads, on a machine with a strong order, 7, 8, 12, 13, 17, 18 and 20 are found at once.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rounds.h"

#ifndef BROKEN
#define BROKEN 0
#endif

enum { LEAVE, WORK, CROWD, HAND, ENOUGH, STOP, SCRIPTS };

#ifdef GENMC
#ifndef SCRIPT
#define SCRIPT LEAVE
#endif
enum { FROM = SCRIPT, TO = SCRIPT + 1, ROUNDS = 1 };
#define must(condition, what) assert((condition) && (what))
#else
enum { FROM = 0, TO = SCRIPTS, ROUNDS = 2000 };
#define must(condition, what) ((condition) ? (void)0 : (puts(what), abort()))
#endif

#define seq(n) (BROKEN == (n) ? memory_order_acq_rel : memory_order_seq_cst)
#define seq_load(n) (BROKEN == (n) ? memory_order_acquire : memory_order_seq_cst)
#define seq_store(n) (BROKEN == (n) ? memory_order_release : memory_order_seq_cst)
#define weak(n, order) (BROKEN == (n) ? memory_order_relaxed : (order))

enum { SHORT, PARKED, RESUMED };
enum { STRETCHES = 2 }; /* of each walk: the pin goes with the last one of the first */

enum { SLEEPER = 1 << 10 };            /* in pins: somebody who leaves sleeps, or is about to */

static atomic_int state, leavers, pending, queued, stops, pins, bell;
static int asleep[3]; /* who has read the bell so often, less one, and then gone to sleep; 0: nobody */
static int left, calls, carried_out; /* the walker's */
static int scope;                    /* what a walker looks at while it has it pinned, and who has left it writes */
static int script;

static bool claim(void)
{
    int parked = PARKED;
    return atomic_compare_exchange_strong_explicit(&state, &parked, RESUMED, weak(5, memory_order_seq_cst), memory_order_relaxed);
}

static bool left_to_workers(int mine, bool spent)
{
    atomic_store_explicit(&state, PARKED, BROKEN == 6 ? memory_order_relaxed : seq_store(2));
    bool leaves = BROKEN != 7 && atomic_load_explicit(&leavers, seq_load(3)) > mine;
    bool awaited = script == STOP && !(spent && BROKEN == 20) && atomic_load_explicit(&stops, memory_order_seq_cst) != 0;
    awaited = awaited || (!spent && leaves) || (!spent && BROKEN != 13 && atomic_load_explicit(&queued, seq_load(16)) != 0);
    if (awaited && claim())
        return false;
    if (leaves && spent && BROKEN != 17)
        atomic_fetch_add_explicit(&bell, 1, memory_order_seq_cst);
    return true;
}

/* A cancel is one walk; what a stop marks is marked at once. */
static void take_queue(void)
{
    if (atomic_load_explicit(&queued, memory_order_relaxed) != 0)
        left += STRETCHES * atomic_exchange_explicit(&queued, 0, memory_order_acq_rel);
    if (script == STOP && atomic_load_explicit(&stops, memory_order_relaxed) != 0)
        carried_out += atomic_exchange_explicit(&stops, 0, memory_order_acq_rel);
}

static bool others_have_called(void)
{
    int served = calls;
    if (BROKEN != 9)
        atomic_store_explicit(&state, SHORT, memory_order_relaxed);
    int more = atomic_fetch_sub_explicit(&pending, served, weak(11, memory_order_acq_rel)) - served;
    if (BROKEN == 9)
        atomic_store_explicit(&state, SHORT, memory_order_relaxed);
    if (more != 0)
        calls = more;
    return more != 0;
}

static void walk_stretch(int mine)
{
    bool spent = script == ENOUGH || script == STOP;
    for (;;) {
        take_queue();
        if (left > 0 && --left % STRETCHES == 0 && carried_out++ == 0 && script != STOP) {
            must(scope == 0, "a scope that was left");
            if (atomic_fetch_sub_explicit(&pins, 1, weak(10, memory_order_acq_rel)) == SLEEPER + 1 && BROKEN != 18)
                atomic_fetch_add_explicit(&bell, 1, memory_order_seq_cst);
        }
        take_queue();
        if (left == 0 && !others_have_called())
            return;
        if ((spent || left > 0) && left_to_workers(mine, spent))
            return;
    }
}

static void hand_over(void)
{
    if (atomic_fetch_add_explicit(&pending, 1, memory_order_acq_rel) == 0) {
        calls = 1;
        walk_stretch(0);
    } else if (BROKEN != 12 && atomic_load_explicit(&state, seq_load(15)) == PARKED && claim()) {
        walk_stretch(0);
    }
}

static void *canceller(void *arg)
{
    (void)arg;
    atomic_fetch_add_explicit(&queued, 1, seq(14));
    hand_over();
    return NULL;
}

static void *stopper(void *arg)
{
    (void)arg;
    atomic_fetch_add_explicit(&stops, 1, memory_order_seq_cst);
    hand_over();
    return NULL;
}

static void *worker(void *arg)
{
    (void)arg;
    if (atomic_load_explicit(&state, memory_order_relaxed) == PARKED && claim())
        walk_stretch(0);
    return NULL;
}

static void *leaver(void *arg)
{
    int *asleep_at = arg;
    atomic_fetch_add_explicit(&leavers, 1, seq(1));
    for (;;) {
        int told = atomic_load_explicit(&bell, memory_order_seq_cst);
        int seen = atomic_load_explicit(&pins, memory_order_acquire);
        if ((seen & ~SLEEPER) == 0)
            break;
        if (BROKEN != 8 && atomic_load_explicit(&state, seq_load(4)) == PARKED && claim()) {
            walk_stretch(1);
            continue;
        }
        if ((seen & SLEEPER) == 0 && !atomic_compare_exchange_strong(&pins, &seen, seen | SLEEPER))
            continue;
        if (BROKEN == 19)
            told = atomic_load_explicit(&bell, memory_order_seq_cst);
        *asleep_at = told + 1;
        return NULL;
    }
    atomic_fetch_sub_explicit(&leavers, 1, memory_order_seq_cst);
    if (script != CROWD) /* whose scopes are two */
        scope = 1;
    return NULL;
}

static void run(void)
{
    static void *(*const threads[SCRIPTS][3])(void *) = {
        [LEAVE] = { canceller, leaver, NULL },
        [WORK] = { canceller, leaver, worker },
        [CROWD] = { canceller, leaver, leaver },
        [HAND] = { canceller, canceller, worker },
        [ENOUGH] = { canceller, leaver, NULL },
        [STOP] = { canceller, stopper, NULL },
    };
    pthread_t thread[3];
    atomic_init(&state, SHORT);
    atomic_init(&leavers, 0);
    atomic_init(&pending, 0);
    atomic_init(&queued, 0);
    atomic_init(&pins, 1);
    atomic_init(&stops, 0);
    atomic_init(&bell, 0);
    memset(asleep, 0, sizeof asleep);
    left = calls = carried_out = scope = 0;
    for (int i = 0; i < 3; i++)
        if (threads[script][i] != NULL)
            pthread_create(&thread[i], NULL, threads[script][i], &asleep[i]);
    for (int i = 0; i < 3; i++)
        if (threads[script][i] != NULL)
            pthread_join(thread[i], NULL);
    for (int i = 0; i < 3; i++)
        must(asleep[i] != atomic_load(&bell) + 1 || ((atomic_load(&pins) & ~SLEEPER) != 0 && atomic_load(&state) != PARKED), "who leaves sleeps for ever");
    must(atomic_load(&state) != PARKED || script == ENOUGH || script == STOP || atomic_load(&queued) == 0, "a cancel behind an older one");
    must(atomic_load(&stops) == 0, "a stop that waits for workers");
    while (claim()) /* a worker, sooner or later */
        walk_stretch(0);
    must((script == STOP || (atomic_load(&pins) & ~SLEEPER) == 0) && atomic_load(&pending) == 0 && atomic_load(&queued) == 0, "a cancel that nobody carries out");
    must(carried_out == (script == HAND || script == STOP ? 2 : 1), "a cancel carried out twice, or never");
}

int main(void)
{
    for (int round = 0; another(round, ROUNDS); round++)
        for (script = FROM; script < TO; script++)
            run();
    return 0;
}
