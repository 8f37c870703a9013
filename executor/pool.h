/*
 * pool.h - a bounded pool of threads for blocking jobs.
 *
 * Each kind has a queue (first in, first out) and a bound. Threads start on demand and end after some idle seconds. Knows nothing of
 * tasks: a job is a function and a callback, embedded in the caller's memory.
 *
 *   job: QUEUED -> RUNNING -> (done called; not touched afterwards)      by a pool thread
 *        QUEUED -> withdrawn                                             by yoke__pool_withdraw
 *
 * Who may call: any thread. All state is under the lock; done is called without it.
 */
#ifndef YOKE_EXECUTOR_POOL_H
#define YOKE_EXECUTOR_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lock.h"

enum { YOKE__POOL_KINDS = 3 };
enum yoke__job_state { YOKE__JOB_QUEUED = 0, YOKE__JOB_RUNNING, YOKE__JOB_WITHDRAWN };

struct yoke__job {
    struct yoke__job *next, **link;
    int (*fn)(void *arg);
    void *arg;
    int result;
    int kind;
    enum yoke__job_state state; /* under the pool's lock */
    void (*done)(struct yoke__job *job);
};

struct yoke__pool_thread {
    struct yoke__pool_thread *next; /* idle, last idle first; or ended */
    struct yoke__pool *pool;
    pthread_t thread;
    int kind;
    uint32_t word;  /* futex: 1 called back from idleness */
    bool known;     /* `thread` is set */
    bool ended;
};

struct yoke__pool {
    struct yoke__lock lock;
    struct yoke__pool_kind {
        struct yoke__job *first, **last;
        struct yoke__pool_thread *idle;
        int threads, most;
    } kinds[YOKE__POOL_KINDS];
    struct yoke__pool_thread *ended;
    uint32_t alive; /* futex: threads that have not ended */
    bool stopping;
    int64_t idle_ns;
    uint32_t process; /* where its threads are: process.h */
    char name[16];
};

void yoke__pool_init(struct yoke__pool *pool, const char *name, const int most[YOKE__POOL_KINDS]);

/* Waits for running jobs, joins all threads. Nobody submits any more; queued jobs are run. */
void yoke__pool_stop(struct yoke__pool *pool);

/*
 * 0; a negative errno if no thread of this kind exists and none could be started: then the job is not queued. If it was left to a
 * thread that another submitter was just starting, and that could not be started, it has this errno as its result, and fn is not called.
 */
int yoke__pool_submit(struct yoke__pool *pool, struct yoke__job *job);

/* True: the job was still queued and is taken out; done will not be called. */
bool yoke__pool_withdraw(struct yoke__pool *pool, struct yoke__job *job);

#endif
