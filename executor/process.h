/*
 * process.h - fork(2): the child is a process with one thread, a copy of the memory, and no runtime.
 *
 * What is promised in the child: every call says -ENOTRECOVERABLE, until the child starts a runtime of its own; nothing of the parent's
 * runtimes is used, waited for or freed; what they had changed of the process is given back. Three things see to it, and none of them costs
 * anything before a fork:
 *
 *   - a handler [pthread_atfork(3)] in the child takes the forking thread out of its worker: from then on it is a thread like any other
 * that is none (yoke__self() is NULL), for inlined code too;
 *   - what can be called from any thread (tokens, started runtimes) has noted in which process it was made;
 *   - what belongs to the process and not to a runtime (dispositions of signals) has a lock, which the handler before the fork takes,
 *     so that the child finds it whole, and forgets it.
 *
 * A task or job that returns in the child comes back into a runtime that is not there: the process is aborted with a message. The current
 * strand's scope is NULL then, which no end of a task or fork takes for its own, so that the short ends need not look.
 *
 * The handlers do not run in children of vfork(2), posix_spawn(3) and clone(2), which share the memory or are to run a program at once.
 */
#ifndef YOKE_EXECUTOR_PROCESS_H
#define YOKE_EXECUTOR_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "atomic.h"
#include "lock.h"

/* Changed in the child of every fork; there is no other thread then. */
extern uint32_t yoke__process;

/* False: what was made in process `number` is not of this one, but of one that it descends from. */
static inline bool yoke__process_is(uint32_t number)
{
    return number == yoke__load_relaxed(&yoke__process); /* does not change while there is another thread */
}

/* From now on forks are noticed. 0, -ENOMEM. */
int yoke__process_watch(void);

/* Something of the process that the child forgets; `forget` is called with the lock held. A static object. */
struct yoke__process_part {
    struct yoke__lock *lock;
    void (*forget)(void);
    struct yoke__process_part *next;
    bool known;
};

/* No effect if it is known. Without the part's lock. */
void yoke__process_add(struct yoke__process_part *part);

/* A function that the runtime called has returned: aborts if that was in the child of a fork. `what` it is, and its name. */
void yoke__process_returned(const char *what, const char *name);

#endif
