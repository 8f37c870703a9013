/*
 * park.c - the idle protocol.
 *
 * A worker that finds nothing searches for a bounded time (config.spin_ns), one or two at a time, and then parks. Who makes work
 * visible wakes one sleeper, but only if nobody searches: the searcher will find it; and a searcher that finds something wakes the next
 * one if it saw more. So a wake-up costs the waker two plain loads while nobody sleeps.
 *
 * No wake-up is lost. The parker announces itself (bit in `sleepers`, `parked`), leaves the number of searchers, raises `hungry` at
 * every worker, and then, after a barrier, looks at all queues once more, and for a parked walk. A pusher publishes, and then reads `parked` and
 * `searching` (or, for a fork, `room`, which hunger closes). This is a store-load pair on both sides. The parker's side is membarrier(2), which is a full
 * barrier in every running thread of the process, so that workers' pushes need none: either the pusher's store is before the barrier
 * and the parker's second look finds the work, or its loads come after it and find the parker. Without membarrier the deques publish
 * with fences (deque.h, always_public), ready queues and inboxes are pushed with seq_cst, and the parker uses a fence.
 * If the pusher was put off by a searcher (`searching` != 0): one that parks decrements before its barrier and second look; one that finds
 * work passes the search on to a sleeper; a waker that counted a searcher and found no sleeper to be one looks again after it took
 * the count back.
 *
 * Claiming. A waker takes one bit out of `sleepers` (atomic and): who clears the bit owns that sleeper: it counts it as searching,
 * sets its futex word to 0 and wakes it. A parker that found work in the second look must take its own bit back; if it comes too late it
 * is as good as woken and waits for its word, which is being set.
 *
 * The barrier is a plain fence if all workers sleep, the parker included: nobody is left whose push could be under way. (A worker that
 * was woken meanwhile took its count out of `parked` after ours was added, and so sees the announcement.)
 *
 * Where a worker sleeps: in the driver's poll if nobody else has it (service.h), else on its futex word. The waker changes the word and
 * then looks who has the poll; the sleeper lets the poll go and then has the kernel compare the word: so it is either seen in the
 * poll, or, if it is not, finds its word changed or is woken there. One that comes out of the poll with work, or fires what is due there, takes its
 * own bit back and is no searcher: nobody was put off by it, so it wakes nobody.
 *
 * Progress: waking is lock-free; a preempted worker delays nobody but itself.
 */
#include "park.h"

#include "deadlock.h"
#include "find.h"
#include "walk.h"
#include "worker.h"

static void barrier(struct yoke_runtime *rt)
{
    if (rt->membarrier && yoke__os_membarrier() == 0)
        return;
    yoke__fence_seq(); /* store-load against the pushers' seq_cst publications */
}

static bool claim(struct yoke_runtime *rt, int index)
{
    uint64_t bit = (uint64_t)1 << (index % 64);
    uint64_t old = yoke__and_seq(&rt->sleepers[index / 64], ~bit); /* who clears it owns the sleeper */
    if ((old & bit) == 0)
        return false;
    yoke__sub_seq(&rt->parked, 1);
    yoke__add_seq(&rt->claims, 1); /* once the sleeper is missing, and before it runs: deadlock.h */
    return true;
}

/* The sleeper is ours and already counted as searching. */
static void rouse(struct yoke__worker *w)
{
    yoke__store_seq(&w->parked, 0u); /* pairs with yoke__park(); store-load against yoke__service_poll() and its futex */
    if (!yoke__service_rouse(&w->rt->service, w))
        yoke__os_futex_wake(&w->parked, 1);
}

/*
 * One of those who sleep, rather one who fell asleep on another processor than a worker that wakes him and then goes on: not every scheduler looks
 * for an idle processor, and behind us he may wait for milliseconds. If they are many, only some are asked.
 */
static int sleeper_of(struct yoke_runtime *rt, uint64_t bits, int word)
{
    enum { ASKED = 8 };
    int first = word * 64 + __builtin_ctzll(bits), here = yoke__worker_here() != NULL ? yoke__os_cpu() : -1;
    for (int n = 0; here >= 0 && n < ASKED && bits != 0; n++, bits &= bits - 1) {
        int index = word * 64 + __builtin_ctzll(bits);
        if (yoke__load_relaxed(&rt->workers[index]->slept_on) != here) /* a hint; pairs with yoke__park() */
            return index;
    }
    return first;
}

static bool claim_any(struct yoke_runtime *rt)
{
    for (int word = 0; word * 64 < rt->nworkers; word++) {
        uint64_t bits;
        while ((bits = yoke__load_seq(&rt->sleepers[word])) != 0) {
            int index = sleeper_of(rt, bits, word);
            if (claim(rt, index)) {
                rouse(rt->workers[index]);
                return true;
            }
        }
    }
    return false;
}

static bool anybody_sleeps(struct yoke_runtime *rt)
{
    for (int word = 0; word * 64 < rt->nworkers; word++)
        if (yoke__load_seq(&rt->sleepers[word]) != 0)
            return true;
    return false;
}

void yoke__wake_slow(struct yoke_runtime *rt)
{
    do {
        int32_t nobody = 0;
        if (!yoke__cas_seq(&rt->searching, &nobody, 1)) /* one searcher at a time is woken; store-load against yoke__park() */
            return;
        if (claim_any(rt))
            return;
        yoke__sub_seq(&rt->searching, 1);
        /* Another waker may have been put off by this count while a parker set its bit behind the look above. */
    } while (anybody_sleeps(rt));
}

void yoke__fast_wake(void)
{
    yoke__wake_one(yoke__worker_here()->rt);
}

void yoke__wake_worker(struct yoke__worker *w)
{
    if (!claim(w->rt, w->index))
        return;
    yoke__add_seq(&w->rt->searching, 1);
    rouse(w);
}

void yoke__wake_all(struct yoke_runtime *rt)
{
    for (int i = 0; i < rt->nworkers; i++)
        yoke__wake_worker(rt->workers[i]);
}

bool yoke__search_begin(struct yoke__worker *w)
{
    struct yoke_runtime *rt = w->rt;
    if (w->searching)
        return true;
    if (yoke__load_relaxed(&rt->searching) >= 2) /* a bound on wasted cycles, not a promise */
        return false;
    yoke__add_seq(&rt->searching, 1);
    yoke__store_relaxed(&w->searching, true);
    return true;
}

void yoke__search_end(struct yoke__worker *w)
{
    if (!w->searching)
        return;
    yoke__store_relaxed(&w->searching, false);
    w->asked_since = 0;
    /* The last searcher leaves: who pushed meanwhile was put off by it, so it passes the search on, whether it saw more or not. */
    if (yoke__sub_seq(&w->rt->searching, 1) == 1)
        yoke__wake_one(w->rt);
}

/* The second look: anything that this worker could run, private work of others included. */
static bool anything(struct yoke__worker *w)
{
    struct yoke_runtime *rt = w->rt;
    if (yoke__load_acquire(&rt->stopping) != 0 || yoke__injected_for(w) || !yoke__inbox_empty(&w->inbox) || yoke__walk_waits(rt))
        return true;
    for (int i = 0; i < rt->nworkers; i++) {
        struct yoke__worker *v = rt->workers[i];
        if (yoke__ready_any(&v->ready) || yoke__deque_any(&v->head.deque))
            return true;
    }
    return false;
}

bool yoke__park_end(struct yoke__worker *w)
{
    if (!claim(w->rt, w->index))
        return false;
    yoke__store_relaxed(&w->parked, 0u);
    return true;
}

struct yoke__fiber *yoke__park(struct yoke__worker *w)
{
    struct yoke_runtime *rt = w->rt;
    struct yoke__fiber *woken = NULL;
    bool awake = false;
    yoke__store_relaxed(&w->slept_on, yoke__os_cpu()); /* a hint; pairs with sleeper_of() */
    yoke__store_relaxed(&w->parked, 1); /* before the bit, which releases it */
    int32_t asleep = yoke__add_seq(&rt->parked, 1) + 1;
    yoke__or_seq(&rt->sleepers[w->index / 64], (uint64_t)1 << (w->index % 64));
    if (w->searching)
        yoke__sub_seq(&rt->searching, 1);
    yoke__store_relaxed(&w->searching, false);
    for (int i = 0; i < rt->nworkers; i++)
        yoke__deque_ask(&rt->workers[i]->head.deque);
    if (asleep == rt->nworkers)
        yoke__fence_seq(); /* no other worker runs; store-load against the publications of other threads, which have barriers */
    else
        barrier(rt);
    bool found = anything(w);
    if (!found && asleep == rt->nworkers)
        yoke__deadlock_suspect(rt);
    if (found && yoke__park_end(w)) {
        yoke__add_seq(&rt->searching, 1);
    } else if (yoke__service_poll(&rt->service, w, &awake, &woken) && (awake || yoke__park_end(w))) {
        if (woken != NULL)
            return woken;
        yoke__add_seq(&rt->searching, 1);
    }
    /* acquire: pairs with rouse() */
    while (yoke__load_acquire(&w->parked) != 0)
        yoke__os_futex_wait(&w->parked, 1, UINT64_MAX);
    yoke__store_relaxed(&w->searching, true);
    w->asked_since = 0;
    return woken;
}

void yoke__fed(struct yoke__worker *w)
{
    struct yoke_runtime *rt = w->rt;
    if (!rt->membarrier)
        return; /* the flag stays up: every push is published at once */
    int32_t idle = yoke__count_idle(rt);
    if (idle > 0) {
        yoke__deque_want(&w->head.deque, idle);
        return;
    }
    yoke__deque_sated(&w->head.deque);
    yoke__fence_seq(); /* store-load against a worker that announced itself and raised the flag just before it went down */
    if (yoke__anybody_idle(rt))
        yoke__deque_ask(&w->head.deque);
}
