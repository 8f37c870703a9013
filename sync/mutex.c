/*
 * mutex.c - mutual exclusion between tasks, handed over in order.
 *
 * state, one word:
 *   FREE
 *   S             owned by strand S, nobody waits
 *   S | WAITERS   owned by strand S; the queue is not empty
 *   DEAD          a strand ended that owned it
 *
 *   FREE -> S                  lock, trylock, by S: an exchange                                          (take)
 *   S -> FREE                  unlock, by S: an exchange                                                 (let_go)
 *   S -> S | WAITERS           who joins the queue, under the lock                                       (attempt)
 *   S | WAITERS -> S           who leaves the queue, cancelled, and leaves it empty; under the lock      (left)
 *   S | WAITERS -> T [| WAITERS]  unlock, by S, under the lock: T is the first waiter not cancelled      (hand_over)
 *   S | WAITERS -> FREE        the same, if all were cancelled
 *   S [| WAITERS] -> DEAD      the end of S; with WAITERS under the lock, and all are woken              (owner_ended)
 *
 * While WAITERS is set, only the holder of the lock changes the word; so the bit says "queue not empty" exactly, whenever the lock is
 * free. The word is never FREE while somebody waits who was not cancelled: a hand-over goes from owner to owner, and nobody can
 * come in between. Taking and letting go in peace are one exchange each, without the lock.
 *
 * The last touch. An unlock by the exchange touches nothing after it. One that needs the lock found WAITERS; if the queue is empty by
 * the time it has the lock, it goes back and tries the exchange again, so that it settles the word under the lock only with somebody
 * still in the queue. That one takes the lock before it returns (queue.c), and so the mutex stays as long as the unlock needs it: if it
 * became the owner, since it cannot unlock before; if it was cancelled, since the mutex must outlive its call.
 *
 * Who owns a mutex has it in its list of what it holds (executor/held.h): put in when lock returns, by the owner itself.
 *
 * Order: all exchanges of the word are acquire-release, so an owner sees what the one before did; a hand-over orders by the fire.
 * Progress: wait-free while nobody else wants it; otherwise as queue.c says.
 */
#include <yoke/sync/mutex.h>

#include <stdio.h>

#include "held.h"
#include "queue.h"
#include "report.h"

enum { FREE = 0, WAITERS = 1, DEAD = 2 };

struct mutex {
    uintptr_t state;
    struct yoke__lock lock; /* the queue */
    struct yoke__waitq waiters;
    struct yoke__held held;
};
_Static_assert(sizeof(struct mutex) <= sizeof(yoke_mutex) && _Alignof(struct mutex) <= _Alignof(yoke_mutex),
               "the public type is too small");
_Static_assert(_Alignof(struct yoke__strand) > (WAITERS | DEAD), "the low bits of a strand's address are ours");

struct call {
    struct yoke__call call;
    struct mutex *mutex;
    struct yoke__strand *strand;
    bool dead;
};

static struct mutex *mutex_of(yoke_mutex *mutex)
{
    return (struct mutex *)(void *)mutex;
}

static struct yoke__strand *owner_of(uintptr_t state)
{
    return (struct yoke__strand *)(state & ~(uintptr_t)(WAITERS | DEAD));
}

/* FREE -> strand; returns what it was. */
static uintptr_t take(struct mutex *m, struct yoke__strand *strand)
{
    uintptr_t state = FREE;
    (void)yoke__cas_acq_rel(&m->state, &state, (uintptr_t)strand); /* acquire: pairs with let_go() and hand_over() */
    return state;
}

/* ---- the owner's end -------------------------------------------------------------------------------------------------- */

/* strand -> final, FREE or DEAD, if nobody waits. False: somebody is in the queue, and the lock is held. */
static bool let_go(struct mutex *m, struct yoke__strand *strand, uintptr_t final)
{
    for (;;) {
        uintptr_t state = (uintptr_t)strand;
        if (yoke__cas_acq_rel(&m->state, &state, final)) /* release: pairs with take() */
            return true;
        yoke__lock_acquire(&m->lock);
        if (m->waiters.first != NULL)
            return false;
        yoke__lock_release(&m->lock); /* who waited was cancelled and has left */
    }
}

static void owner_ended(struct yoke__held *held, struct yoke__strand *strand)
{
    struct mutex *m = yoke__container(held, struct mutex, held);
    struct yoke__woken woken;
    yoke__woken_init(&woken);
    if (!let_go(m, strand, DEAD)) {
        yoke__store_release(&m->state, (uintptr_t)DEAD); /* pairs with attempt() and take() */
        yoke__call_fire_all_locked(&m->waiters, YOKE__FIRE_CLOSED, &woken);
        yoke__lock_release(&m->lock);
    }
    yoke__woken_ready(&woken);
    yoke__report(yoke__self()->rt, "task '%s'%s ended while it owned a mutex", strand->task->name,
                 yoke__site_text(strand->task->site).text);
}

static void own(struct mutex *m, struct yoke__strand *strand)
{
    m->held.ended = owner_ended;
    yoke__held_link(&m->held, strand);
}

/* ---- locking ---------------------------------------------------------------------------------------------------------- */

static bool attempt(struct yoke__call *call)
{
    struct call *c = yoke__container(call, struct call, call);
    struct mutex *m = c->mutex;
    for (;;) {
        uintptr_t state = take(m, c->strand);
        if (state == FREE)
            return true;
        c->dead = state == DEAD;
        if (c->dead)
            return true;
        if ((state & WAITERS) != 0 || yoke__cas_acq_rel(&m->state, &state, state | WAITERS)) /* pairs with let_go() */
            return false;
    }
}

static void left(struct yoke__call *call)
{
    struct mutex *m = yoke__container(call, struct call, call)->mutex;
    if (m->waiters.first == NULL && (yoke__load_relaxed(&m->state) & WAITERS) != 0) /* set and cleared under this lock only */
        yoke__and_acq_rel(&m->state, ~(uintptr_t)WAITERS);                          /* pairs with let_go() */
}

/* Who waits in the queue keeps the owner from letting go while the lock is held: let_go(). */
static void tell_mutex(const void *object, char *text, size_t size)
{
    struct mutex *m = (struct mutex *)(uintptr_t)object;
    int n = snprintf(text, size, " %p", object);
    yoke__lock_acquire(&m->lock);
    uintptr_t state = yoke__load_acquire(&m->state); /* pairs with take() and hand_over() */
    const struct yoke__task *task = (state & WAITERS) != 0 ? owner_of(state)->task : NULL;
    if (task != NULL && n > 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, " of task '%s'%s", task->name, yoke__site_text(task->site).text);
    yoke__lock_release(&m->lock);
}

static bool mutex_blames(const void *object, const struct yoke__strand *strand)
{
    struct mutex *m = (struct mutex *)(uintptr_t)object;
    return owner_of(yoke__load_acquire(&m->state)) == strand; /* pairs with take() and hand_over() */
}

static const struct yoke__waited on_mutex = { .what = "mutex", .tell = tell_mutex, .blames = mutex_blames };

static __attribute__((noinline)) int wait_for(struct mutex *m, struct yoke__strand *strand)
{
    struct call c = { .call = { .lock = &m->lock, .queue = &m->waiters, .attempt = attempt, .left = left }, .mutex = m, .strand = strand };
    int code = yoke__call_wait(&c.call, &on_mutex, m);
    if (code < 0)
        return code;
    if (code == YOKE__FIRE_CLOSED || c.dead)
        return -EOWNERDEAD;
    own(m, strand);
    return 0;
}

int yoke_mutex_lock(yoke_mutex *mutex)
{
    struct yoke__worker *w = yoke__self();
    struct mutex *m = mutex_of(mutex);
    int rc = yoke__call_check(w);
    if (rc < 0)
        return rc;
    struct yoke__strand *strand = yoke__current(w);
    uintptr_t state = take(m, strand);
    if (state == FREE) {
        own(m, strand);
        return 0;
    }
    if (state == DEAD)
        return -EOWNERDEAD;
    return owner_of(state) == strand ? -EDEADLK : wait_for(m, strand);
}

int yoke_mutex_trylock(yoke_mutex *mutex)
{
    struct yoke__worker *w = yoke__self();
    struct mutex *m = mutex_of(mutex);
    if (w == NULL)
        return -ENOTRECOVERABLE;
    struct yoke__strand *strand = yoke__current(w);
    uintptr_t state = take(m, strand);
    if (state != FREE)
        return state == DEAD ? -EOWNERDEAD : -EAGAIN;
    own(m, strand);
    return 0;
}

/* ---- unlocking -------------------------------------------------------------------------------------------------------- */

/* The lock is held and somebody is in the queue; releases the lock. */
static void hand_over(struct mutex *m)
{
    struct yoke__fiber *fiber = NULL;
    struct yoke__call *next = yoke__call_fire_locked(&m->waiters, YOKE__FIRE_DONE, &fiber);
    uintptr_t state = FREE;
    if (next != NULL)
        state = (uintptr_t)next->wait.strand | (m->waiters.first != NULL ? WAITERS : 0);
    yoke__store_release(&m->state, state); /* pairs with take() */
    yoke__lock_release(&m->lock);
    yoke__call_ready(fiber);
}

int yoke_mutex_unlock(yoke_mutex *mutex)
{
    struct yoke__worker *w = yoke__self();
    struct mutex *m = mutex_of(mutex);
    if (w == NULL)
        return -ENOTRECOVERABLE;
    struct yoke__strand *strand = yoke__current(w);
    if (owner_of(yoke__load_relaxed(&m->state)) != strand) /* its own name the strand would see in any case */
        return -EPERM;
    yoke__held_unlink(&m->held);
    if (!let_go(m, strand, FREE))
        hand_over(m);
    return 0;
}

void yoke_mutex_init(yoke_mutex *mutex)
{
    *mutex_of(mutex) = (struct mutex){ .state = FREE };
}
