/*
 * signal.c - signals that tasks wait for.
 *
 * A handler only notes the signal in a process-wide table and interrupts the poll of the runtime that owns it; the poller hands it to
 * the first waiter in line that wants it. A signal that finds no waiter stays noted for the next one.
 *
 * Lost is none: a waiter looks at the notes and joins the line under one lock, and the poller looks at line and notes under the same
 * lock after the note was made; a waiter that was cancelled in that moment does not take the note away with it.
 *
 * The end: dispositions are given back and the owner is taken out of the table; handlers that may still know it are counted,
 * and waited for. They are a few instructions long.
 */
#include <yoke/io/wait.h>

#include "os.h"
#include "process.h"
#include "reactor.h"
#include "scope.h"
#include "wait.h"
#include "worker.h"

enum { SIGNALS = 65, MOST = 8 };

static struct note {
    struct yoke__reactor *owner;
    uint32_t pending;
    struct sigaction former;
} notes[SIGNALS];
static struct yoke__lock notes_lock; /* owners and dispositions */
static uint32_t inside;              /* handlers that run */

struct yoke__sigwait {
    struct yoke__sigwait *next, **back; /* back == NULL: not in line */
    uint64_t set;                       /* 1 << signal */
    int got;
    struct yoke__wait wait;
};

static void on_signal(int signo)
{
    yoke__add_seq(&inside, 1); /* store-load against yoke__signals_end() */
    struct yoke__reactor *owner = yoke__load_seq(&notes[signo].owner);
    if (owner != NULL) {
        yoke__store_seq(&notes[signo].pending, 1);
        yoke__reactor_interrupt(owner);
    }
    yoke__sub_seq(&inside, 1);
}

/* Under the lock: all notes of one owner, or of all (NULL). */
static void give_back_locked(const struct yoke__reactor *reactor)
{
    for (int signo = 1; signo < SIGNALS; signo++) {
        struct note *note = &notes[signo];
        if (note->owner == NULL || (reactor != NULL && note->owner != reactor))
            continue;
        (void)yoke__os_signal_action(signo, &note->former, NULL);
        yoke__store_seq(&note->owner, (struct yoke__reactor *)NULL);
    }
}

/* In the child of a fork: the handlers that may be running elsewhere run in the parent. */
static void forget(void)
{
    give_back_locked(NULL);
    yoke__store_seq(&inside, 0u);
}

static struct yoke__process_part part = { .lock = &notes_lock, .forget = forget };

/* The runtime's own from now on. */
static int own(struct yoke__reactor *reactor, int signo)
{
    struct note *note = &notes[signo];
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    int rc = 0;
    sigfillset(&action.sa_mask);
    yoke__process_add(&part);
    yoke__lock_acquire(&notes_lock);
    if (note->owner != NULL) { /* changed under the lock only */
        rc = note->owner == reactor ? 0 : -EBUSY;
    } else {
        yoke__store_seq(&note->pending, 0);
        yoke__store_seq(&note->owner, reactor); /* before the handler that reads it */
        rc = yoke__os_signal_action(signo, &action, &note->former);
        if (rc < 0)
            yoke__store_seq(&note->owner, (struct yoke__reactor *)NULL);
    }
    yoke__lock_release(&notes_lock);
    return rc;
}

void yoke__signals_end(struct yoke__reactor *reactor)
{
    yoke__lock_acquire(&notes_lock);
    give_back_locked(reactor);
    yoke__lock_release(&notes_lock);
    while (yoke__load_seq(&inside) != 0) /* store-load against on_signal() */
        sched_yield();
}

/* A signal of the set that has come and is not taken, or 0. */
static int take(uint64_t set)
{
    for (int signo = 1; signo < 64; signo++)
        if ((set & (uint64_t)1 << signo) != 0 && yoke__xchg_acq_rel(&notes[signo].pending, 0u) != 0) /* pairs with on_signal() */
            return signo;
    return 0;
}

static void leave_line_locked(struct yoke__sigwaits *line, struct yoke__sigwait *waiter)
{
    if (waiter->back == NULL)
        return;
    *waiter->back = waiter->next;
    if (waiter->next != NULL)
        waiter->next->back = waiter->back;
    else
        line->last = waiter->back;
    waiter->back = NULL;
}

void yoke__signals_deliver(struct yoke__reactor *reactor, struct yoke__fiber **woken)
{
    struct yoke__sigwaits *line = &reactor->sigwaits;
    yoke__lock_acquire(&line->lock);
    for (struct yoke__sigwait *waiter = line->first, *next; waiter != NULL; waiter = next) {
        struct yoke__fiber *fiber;
        int signo = take(waiter->set);
        next = waiter->next;
        if (signo == 0)
            continue;
        leave_line_locked(line, waiter);
        waiter->got = signo; /* before the fire: after it the waiter may be gone */
        if (!yoke__wait_fire(&waiter->wait, YOKE__FIRE_DONE, &fiber))
            yoke__store_seq(&notes[signo].pending, 1); /* it was cancelled: for the next in line */
        if (fiber != NULL) {
            fiber->next = *woken;
            *woken = fiber;
        }
    }
    yoke__lock_release(&line->lock);
}

int yoke_signal_wait_any(const int *signals, int count)
{
    int rc = 0;
    struct yoke__worker *w = yoke__self();
    struct yoke__reactor *reactor = yoke__reactor_here(&rc);
    if (reactor == NULL)
        return rc;
    if (signals == NULL || count < 1 || count > MOST)
        return -EINVAL;
    struct yoke__sigwait waiter = { .back = NULL };
    for (int i = 0; i < count; i++) {
        if (signals[i] < 1 || signals[i] >= 64 || signals[i] == SIGKILL || signals[i] == SIGSTOP)
            return -EINVAL;
        if (w->rt->options.signals && (signals[i] == SIGINT || signals[i] == SIGTERM))
            return -EBUSY;
        waiter.set |= (uint64_t)1 << signals[i];
    }
    if (yoke__scope_cancelled(w->rt, yoke__strand_scope(yoke__current(w))))
        return -ECANCELED;
    for (int i = 0; i < count; i++)
        if ((rc = own(reactor, signals[i])) < 0)
            return rc;
    yoke__wait_init(&waiter.wait, "a signal");
    rc = yoke__wait_enlist(&waiter.wait);
    if (rc < 0)
        return rc;
    struct yoke__sigwaits *line = &reactor->sigwaits;
    yoke__lock_acquire(&line->lock);
    int signo = take(waiter.set);
    if (signo == 0) {
        waiter.back = line->last;
        *line->last = &waiter;
        line->last = &waiter.next;
    }
    yoke__lock_release(&line->lock);
    if (signo == 0) {
        int code = yoke__wait_block(&waiter.wait);
        yoke__lock_acquire(&line->lock); /* the poller has let go of our frame */
        leave_line_locked(line, &waiter);
        yoke__lock_release(&line->lock);
        signo = code == YOKE__FIRE_DONE ? waiter.got : -ECANCELED;
    }
    yoke__wait_delist(&waiter.wait);
    return signo;
}
