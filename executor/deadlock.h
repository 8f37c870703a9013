/*
 * deadlock.h - the deadlock verdict: nothing runs, nothing outside can make anything run, and yet main has not ended.
 *
 * What can make a task runnable, and how each is known to be impossible:
 *   - a worker: all of them sleep (park.c), every queue is empty, and no walk is parked (walk.c), which is another queue in what follows;
 *   - a wait that ends from outside (a descriptor, a signal, a finite sleep, a pool job, yoke_stop): each worker counts those that begin
 *     on it less those that end on it (`outside`); the sum is 0. A wait is counted until its task runs again, so that fibers which a poll
 *     has fired and still has in its hands are covered. It is of this kind unless it says otherwise (yoke__wait_init_on): who forgets to
 *     say so prevents a verdict, and never causes one;
 *   - timers: no wheel holds one. What is left in them besides sleeps are deadlines of scopes, and the next
 *     try for what found no memory for its stack (large.h): there may be some again;
 *   - everybody else has a hold (`holds`): a token from its acquisition until its last holder has released it or its group has ended; a job
 *     that was abandoned; the thread of yoke_run until main is queued; whoever fires timers while it carries out what was due. A thread that
 *     is to run tasks without being one of the workers would need one as well.
 * Signals of options.signals have none: they come at any time, or never. One that was sent before is heeded: before its verdict the service
 * thread asks the thread of yoke_run, whose handlers have run when it answers, and looks once more. (A handler that another thread of the
 * program is about to enter it cannot see: then the verdict cancels the root, as the signal does.)
 *
 * Who looks. A sleep begins, a hold is dropped: whoever does it and then finds all asleep, no hold and nothing outside has a suspicion,
 * and kicks the service thread, which alone decides. So while anything outside is waited for, idling costs a few loads and no system call,
 * and running nothing at all.
 *
 * The verdict is never wrong. The service thread reads, in this order: `claims`; all asleep; nothing outside; no timer; no hold; empty
 * queues; `claims` again, unchanged. A sleep ends by a claim alone, and a claimer takes it from `parked`, counts it in `claims`, and only
 * then lets the sleeper go on (park.c). So who was seen asleep and has gone on since was counted in between: counted first and missing
 * later, he could be seen asleep by one who had read the new number already. If the numbers are equal, no worker did anything between the
 * two: not one whose wake was in flight, nor one between its announcement and its sleep, or between two polls (it has nothing in its
 * hands but what `outside` covers). What only workers write therefore stood still: `outside`; the queues, but for what others add; the
 * wheels and tokens, but for what others take away. The rest:
 *   - Who fires a timer has a hold before he takes it out of the wheel, and drops it once the fibers are in the queues. Having seen the
 *     wheel without it, the look at the holds finds the hold, or else, it being dropped, the look at the queues finds the fibers.
 *   - Who posts has his hold until the post is in the inbox: the same.
 *   - From the inbox only a worker takes something away, and none ran.
 * So at the look at the holds nothing was queued, and nobody was left who could queue anything, then or later.
 *
 * None is missed. The last event before such a state is a worker's last sleep, or a hold's drop. The sleeper adds to `parked` and then
 * reads the holds; the dropper subtracts from them and then reads `parked` (seq_cst): one of them sees both. Both see what workers wrote
 * before they slept. Timers that are left are looked at by the service thread itself, each time it has fired some.
 *
 * The first verdict reports and cancels the root. What does not end by that is shielded, and nobody will: the next verdict aborts.
 *
 * tests/model/deadlock.pml checks this, and that each line of it is needed.
 */
#ifndef YOKE_EXECUTOR_DEADLOCK_H
#define YOKE_EXECUTOR_DEADLOCK_H

#include "core.h"

/* A worker's own: a wait begins (1) or has ended (-1). */
static inline void yoke__outside(struct yoke__worker *w, int n)
{
    yoke__store_relaxed(&w->outside, w->outside + n); /* ordered by the worker's sleep */
}

/* The runtime may lie idle at this moment: has the service thread look, if nothing speaks against it. Any thread of it, or with a hold. */
void yoke__deadlock_suspect(struct yoke_runtime *rt);

static inline void yoke__hold(struct yoke_runtime *rt)
{
    yoke__add_seq(&rt->holds, 1);
}

/* After everything that the holder made runnable has been queued. The runtime cannot end meanwhile. */
static inline void yoke__unhold(struct yoke_runtime *rt)
{
    if (yoke__sub_seq(&rt->holds, 1) == 1) /* store-load against yoke__park() */
        yoke__deadlock_suspect(rt);
}

/* The thread that waits for main's end was asked. */
void yoke__deadlock_answer(struct yoke_runtime *rt);

/* The service thread, after each reading of its word: decides if there is a suspicion. */
void yoke__deadlock_look(struct yoke_runtime *rt);

#endif
