/*
 * find.c - finding work.
 *
 * Order of looking for work: what is pinned here; in turns, woken fibers, first in first out, and what other threads injected, which is
 * mostly fibers that I/O or a timer woke (in every other row these, and then what is pinned); a cancel that waits for somebody to go on with it
 * (walk.c), which wakes more; the own deque, last in first out; other workers. After a row of eight woken or pinned ones the deque goes first
 * once, the walk before it once in so many rows, and then up to eight injected, so that none of them starves. If a spawn finds the deque
 * overfull, some of it goes first too. While woken fibers are run without a pause there is a look for events after each round of them, or
 * LOOK_NS, whichever is longer.
 *
 * Who finds nothing searches everywhere for a bounded time, and then sleeps (park.c).
 */
#include "find.h"

#include "park.h"
#include "run.h"
#include "runnable.h"
#include "seat.h"
#include "walk.h"

enum { LOOK_NS = 100 * 1000, ASK_NS = 50 * 1000, PATIENCE_NS = 900 * 1000 };

/*
 * On their way from a public queue to a ring fibers are in neither for a moment, and a parker's second look may fall into it: so whoever takes some
 * along looks for sleepers afterwards, as after a push. `tail`: the ring's before that.
 */
static void taken_along(struct yoke__worker *w, uint32_t tail)
{
    if (yoke__unlikely(yoke__load_relaxed(&w->ready.tail) != tail)) /* the owner's */
        yoke__wake_one(w->rt);
}

struct yoke__fiber *yoke__take_woken(struct yoke__worker *w)
{
    uint32_t tail = yoke__load_relaxed(&w->ready.tail); /* the owner's */
    struct yoke__fiber *fiber = yoke__ready_take(&w->ready, yoke__anybody_idle(w->rt));
    taken_along(w, tail);
    w->woken += fiber != NULL;
    return fiber;
}

/* Something pinned here, or injected. Inline, as each yield asks. */
static inline __attribute__((always_inline)) bool any_node(struct yoke__worker *w)
{
    return w->pinned != NULL || !yoke__inbox_empty(&w->inbox) || yoke__injected_any(w->rt);
}

bool yoke__worker_others_wait(struct yoke__worker *w)
{
    return yoke__ready_any(&w->ready) || any_node(w) || yoke__walk_waits(w->rt);
}

bool yoke__worker_events_wait(struct yoke__worker *w)
{
    uint32_t waiting = yoke__ready_count(&w->ready);
    if (w->spawners > waiting)
        w->spawners = waiting; /* others have taken some */
    return waiting > w->spawners || any_node(w) || yoke__walk_waits(w->rt);
}

bool yoke__worker_row_ends(struct yoke__worker *w, int64_t n)
{
    return n % 64 == 0 ? yoke__worker_others_wait(w) : yoke__worker_events_wait(w);
}

/*
 * A stretch of a parked walk; the first fiber that it has woken, or NULL. While somebody else goes on with it, who has nothing to do waits a moment for
 * his turn, and is not idle meanwhile, or what the other one wakes would be shared out.
 */
static struct yoke__fiber *go_on_with_the_walk(struct yoke__worker *w)
{
    enum { TURN_NS = 30 * 1000 };
    if (yoke__walk_resumed(w->rt) && !w->searching && !yoke__deque_any(&w->head.deque)) {
        yoke__worker_flush(w); /* somebody may wait for just these */
        int64_t until = (int64_t)yoke__os_now() + TURN_NS;
        while (yoke__walk_resumed(w->rt) && !yoke__worker_others_wait(w) && (int64_t)yoke__os_now() < until)
            yoke__relax();
    }
    if (!yoke__walk_waits(w->rt) || !yoke__walk_claim(w->rt))
        return NULL;
    bool searching = w->searching;
    yoke__worker_flush(w);
    yoke__search_end(w);
    w->walk_rows = 0;
    yoke__walk_stretch(w->rt);
    struct yoke__fiber *fiber = yoke__take_woken(w);
    if (fiber == NULL && searching)
        (void)yoke__search_begin(w);
    return fiber;
}

/* After a row: those whom a stretch wakes last for so many. */
static bool walk_is_due(struct yoke__worker *w)
{
    enum { ROWS = (YOKE__STRETCH + YOKE__ROW - 1) / YOKE__ROW };
    return yoke__walk_waits(w->rt) && ++w->walk_rows >= ROWS;
}

/*
 * After a row of woken fibers. First come those that waited at the last look: what is fetched is then run while it is in the caches, and what is
 * not fetched waits as well in the kernel. But they may take long: after PATIENCE_NS more the look comes first. The first since the poll was
 * left sets the time.
 */
static bool look_is_due(struct yoke__worker *w)
{
    struct yoke__service *service = &w->rt->service;
    if (!yoke__service_has_poll(service))
        return false;
    int64_t now = (int64_t)yoke__os_now();
    if (w->look_at == 0)
        w->look_at = now + LOOK_NS;
    bool all = (int32_t)(w->woken - w->round) >= 0;
    if (now >= w->look_at + (all ? 0 : PATIENCE_NS))
        return true;
    yoke__service_attend(service, now);
    return false;
}

static void begin_row(struct yoke__worker *w)
{
    w->row = w->woken;
    w->injected_turn = 0;
    w->woken_first = !w->woken_first;
}

bool yoke__turn_of_others_slow(struct yoke__worker *w)
{
    if (yoke__deque_any(&w->head.deque) || any_node(w) || look_is_due(w) || walk_is_due(w))
        return true;
    begin_row(w);
    return false;
}

/* May this worker run it? `started`: it has no stack to begin a task on. */
static bool fits(const struct yoke__worker *w, struct yoke__node *node, bool started)
{
    if (node->kind != YOKE__NODE_FIBER)
        return !started || node->kind == YOKE__NODE_SIGNAL;
    const struct yoke__fiber *fiber = yoke__container(node, struct yoke__fiber, node);
    return yoke__likely(!w->rt->migrate) || fiber->pin != NULL || fiber->last != w;
}

/* Takes the first that fits out of the list. */
static struct yoke__node *unlink_node(const struct yoke__worker *w, struct yoke__node **list, bool started)
{
    struct yoke__node *before = NULL, *node = *list;
    while (node != NULL && !fits(w, node, started)) {
        before = node;
        node = yoke__node_next(node);
    }
    if (before != NULL && node != NULL)
        before->entry.next = node->entry.next;
    else if (node != NULL)
        *list = yoke__node_next(node);
    return node;
}

/* The same from a list and then an inbox, whose rest is added to the list. Whoever calls is alone with the list. */
static struct yoke__node *take_node(const struct yoke__worker *w, struct yoke__node **list, struct yoke__inbox *inbox, bool started)
{
    struct yoke__node *node = unlink_node(w, list, started);
    if (node != NULL || yoke__inbox_empty(inbox))
        return node;
    struct yoke__node *last = *list, *rest = yoke__inbox_take(inbox);
    node = unlink_node(w, &rest, started);
    while (last != NULL && yoke__node_next(last) != NULL)
        last = yoke__node_next(last);
    if (last == NULL)
        *list = rest;
    else
        last->entry.next = rest != NULL ? &rest->entry : NULL;
    return node;
}

/*
 * What was injected is taken from the inbox as a whole, and kept for all in a list. Between the two a parker may see neither: so
 * whoever leaves something in the list looks for sleepers.
 *
 * With `migrate` every woken fiber that is not pinned comes this way, and any worker may take it but the one that left it. So each
 * injection wakes all who sleep, and a parker's second look is at what it may take itself (yoke__injected_for), under the lock, so that it
 * sees list and inbox together. Either the pusher finds the parker's bit and wakes it, or the parker finds the push: nobody sleeps while
 * there is something for it, and nobody stays awake for what is others' to take.
 */
static struct yoke__node *take_injected(struct yoke__worker *w, bool started)
{
    struct yoke_runtime *rt = w->rt;
    if (yoke__likely(!yoke__injected_any(rt)))
        return NULL;
    yoke__lock_acquire(&rt->injected_lock);
    struct yoke__node *rest = rt->injected, *node = take_node(w, &rest, &rt->inject, started);
    yoke__store_seq(&rt->injected, rest); /* store-load against yoke__park() */
    yoke__lock_release(&rt->injected_lock);
    w->woken++;
    if (rest != NULL && !rt->migrate)
        yoke__wake_one(rt);
    return node;
}

bool yoke__injected_for(struct yoke__worker *w)
{
    struct yoke_runtime *rt = w->rt;
    if (yoke__likely(!rt->migrate))
        return yoke__injected_any(rt);
    yoke__lock_acquire(&rt->injected_lock);
    struct yoke__node *list = rt->injected, *node = take_node(w, &list, &rt->inject, false);
    if (node != NULL) { /* back to the front */
        node->entry.next = list != NULL ? &list->entry : NULL;
        list = node;
    }
    yoke__store_seq(&rt->injected, list); /* as in take_injected() */
    yoke__lock_release(&rt->injected_lock);
    return node != NULL;
}

static struct yoke__node *take_pinned(struct yoke__worker *w, bool started)
{
    struct yoke__node *node = take_node(w, &w->pinned, &w->inbox, started);
    w->woken += node != NULL; /* of the row */
    return node;
}

/* What the poll has brought: from here on a round and its time are counted. */
static void begin_round(struct yoke__worker *w, struct yoke__fiber *woken)
{
    yoke__ready_list(w->rt, woken);
    w->look_at = 0;
    w->round = w->woken + yoke__ready_count(&w->ready);
}

/* What has come while those were run for whom the poll was left? */
static void look_for_events(struct yoke__worker *w)
{
    struct yoke__fiber *woken = NULL;
    yoke__service_look(&w->rt->service, w, &woken);
    begin_round(w, woken);
}

struct yoke__found yoke__find_here(struct yoke__worker *w)
{
    struct yoke__found f = { NULL, NULL, NULL, false };
    if (!yoke__row_is_over(w) && !w->woken_first && (f.node = take_pinned(w, false)) != NULL)
        return f;
    if (yoke__unlikely(w->thinning > 0)) {
        if ((f.item = yoke__deque_pop(&w->head.deque)) != NULL)
            return f;
        w->thinning = 0;
    }
    if (yoke__row_is_over(w)) {
        if (w->injected_turn == 0) {
            w->injected_turn = YOKE__ROW;
            if (look_is_due(w))
                look_for_events(w);
            if (walk_is_due(w) && (f.fiber = go_on_with_the_walk(w)) != NULL)
                return f;
            if ((f.item = yoke__deque_pop(&w->head.deque)) != NULL)
                return f;
        }
        f.node = take_injected(w, false);
        if (f.node == NULL || --w->injected_turn == 0)
            begin_row(w);
        if (f.node != NULL)
            return f;
    }
    if (!w->woken_first && (f.node = take_pinned(w, false)) != NULL)
        return f;
    bool injected_first = ++w->turn % 2 == 0;
    if (injected_first && (f.node = take_injected(w, false)) != NULL)
        return f;
    if ((f.fiber = yoke__take_woken(w)) != NULL)
        return f;
    if (!injected_first && (f.node = take_injected(w, false)) != NULL)
        return f;
    if (w->woken_first && (f.node = take_pinned(w, false)) != NULL)
        return f;
    if ((f.fiber = go_on_with_the_walk(w)) != NULL)
        return f;
    f.item = yoke__deque_pop(&w->head.deque);
    return f;
}

/* A fiber that waits for another worker. *again: worth another look at once. */
static struct yoke__fiber *rob_woken(struct yoke__worker *w, struct yoke__worker *victim, bool *again)
{
    struct yoke__fiber *fiber;
    uint32_t tail = yoke__load_relaxed(&w->ready.tail); /* the owner's */
    enum yoke__steal how = yoke__ready_steal(&victim->ready, &w->ready, yoke__anybody_idle(w->rt), &fiber);
    taken_along(w, tail);
    *again |= how == YOKE__STEAL_LOST;
    return fiber;
}

/* One victim. *again: worth another look at once; *hidden: it has work that it keeps private. */
static struct yoke__found rob(struct yoke__worker *w, struct yoke__worker *victim, bool *again, bool *hidden)
{
    struct yoke__found f = { NULL, NULL, NULL, false };
    void *got;
    switch (yoke__deque_steal(&victim->head.deque, &got)) {
    case YOKE__STEAL_GOT:
        f.item = got;
        f.taken = true;
        w->robbed = victim;
        return f;
    case YOKE__STEAL_LOST:
        *again = true;
        break;
    case YOKE__STEAL_HIDDEN:
        *hidden = true;
        yoke__deque_ask(&victim->head.deque);
        break;
    case YOKE__STEAL_EMPTY:
        break;
    }
    *hidden |= yoke__ready_hidden(&victim->ready);
    f.fiber = rob_woken(w, victim, again);
    return f;
}

static uint32_t next_random(struct yoke__worker *w)
{
    uint32_t x = w->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return w->random = x;
}

/* All victims, near ones first, beginning at random among equally near ones. */
static struct yoke__found rob_all(struct yoke__worker *w, bool *again, bool *hidden)
{
    struct yoke__found f = { NULL, NULL, NULL, false };
    int begin = 0;
    for (int level = 0; level < w->nlevels; level++) {
        int n = w->levels[level] - begin;
        int at = n > 1 ? (int)(next_random(w) % (uint32_t)n) : 0;
        for (int i = 0; i < n; i++) {
            f = rob(w, w->rt->workers[w->victims[begin + (at + i) % n]], again, hidden);
            if (yoke__found_any(&f))
                return f;
        }
        begin = w->levels[level];
    }
    return f;
}

/* Raises the split of everybody who has not answered. */
static void raise_all(struct yoke__worker *w)
{
    for (int i = 0; i < w->rt->nworkers; i++)
        if (i != w->index)
            yoke__deque_raise(&w->rt->workers[i]->head.deque);
}

/* A fiber that another worker keeps to itself. */
static struct yoke__fiber *rob_a_ring(struct yoke__worker *w)
{
    struct yoke__fiber *fiber = NULL;
    for (int i = 0; i < w->rt->nworkers && fiber == NULL; i++)
        if (i != w->index)
            fiber = yoke__ready_rob(&w->rt->workers[i]->ready, &w->ready);
    if (fiber != NULL)
        yoke__wake_one(w->rt); /* others may have come along; without effect in a search, whose end does it */
    return fiber;
}

/* Looks everywhere for a bounded time. */
static struct yoke__found search(struct yoke__worker *w)
{
    struct yoke_runtime *rt = w->rt;
    int64_t begin = (int64_t)yoke__os_now();
    for (;;) {
        bool again = false, hidden = false;
        struct yoke__found f = yoke__find_here(w);
        if (!yoke__found_any(&f))
            f = rob_all(w, &again, &hidden);
        if (yoke__found_any(&f) || yoke__load_acquire(&rt->stopping) != 0) /* pairs with end_workers() in runtime.c */
            return f;
        if (again)
            continue;
        int64_t now = (int64_t)yoke__os_now();
        if (!hidden) {
            w->asked_since = 0;
            if (now - begin >= rt->spin_ns)
                return f;
        } else if (w->asked_since == 0) {
            w->asked_since = now;
        } else if (now - w->asked_since >= ASK_NS) {
            w->asked_since = now;
            raise_all(w);
            if ((f.fiber = rob_a_ring(w)) != NULL)
                return f;
            continue;
        }
        yoke__relax();
    }
}

/*
 * One look around, if it is not worth searching for longer: there is a poll to sleep in, or nobody else runs who could make work. What
 * comes next most likely comes from the poll then. True: nothing is there.
 */
static bool nothing_but_the_poll(struct yoke__worker *w, struct yoke__found *f)
{
    bool again = false, hidden = false;
    struct yoke_runtime *rt = w->rt;
    if (w->searching || (!yoke__service_poll_free(&rt->service) && yoke__load_relaxed(&rt->parked) < rt->nworkers - 1))
        return false;
    *f = rob_all(w, &again, &hidden);
    return !yoke__found_any(f) && !again && !hidden;
}

struct yoke__found yoke__find_elsewhere(struct yoke__worker *w)
{
    struct yoke__found f = { NULL, NULL, NULL, false };
    yoke__worker_flush(w);
    for (;;) {
        if (!nothing_but_the_poll(w, &f) && !yoke__found_any(&f) && yoke__search_begin(w))
            f = search(w);
        if (yoke__found_any(&f) || yoke__load_acquire(&w->rt->stopping) != 0) { /* pairs with end_workers() in runtime.c */
            yoke__search_end(w);
            return f;
        }
        struct yoke__fiber *woken = yoke__park(w);
        if (woken != NULL && woken->pin == NULL && !w->rt->migrate) {
            f.fiber = woken;
            woken = woken->next;
        }
        begin_round(w, woken);
        if (f.fiber != NULL || woken != NULL) {
            if (f.fiber == NULL)
                f = yoke__find_here(w);
            if (yoke__found_any(&f)) {
                yoke__search_end(w);
                return f;
            }
        }
    }
}

struct yoke__found yoke__find_started(struct yoke__worker *w)
{
    struct yoke__found f = { NULL, NULL, NULL, false };
    bool again;
    if ((f.fiber = go_on_with_the_walk(w)) != NULL || (f.node = take_pinned(w, true)) != NULL || (f.fiber = yoke__take_woken(w)) != NULL ||
        (f.node = take_injected(w, true)) != NULL)
        return f;
    do {
        again = false;
        for (int i = 0; i < w->rt->nworkers && f.fiber == NULL; i++)
            f.fiber = rob_woken(w, w->rt->workers[i], &again);
    } while (f.fiber == NULL && again);
    if (f.fiber == NULL)
        f.fiber = rob_a_ring(w);
    return f;
}
