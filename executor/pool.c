/*
 * pool.c - see pool.h.
 */
#include "pool.h"

#include <errno.h>
#include <stdio.h>

#include "platform.h"
#include "process.h"

void yoke__pool_init(struct yoke__pool *pool, const char *name, const int most[YOKE__POOL_KINDS])
{
    *pool = (struct yoke__pool){ .idle_ns = 5000000000, .process = yoke__process };
    snprintf(pool->name, sizeof pool->name, "%.10s-pool", name);
    for (int i = 0; i < YOKE__POOL_KINDS; i++) {
        pool->kinds[i].last = &pool->kinds[i].first;
        pool->kinds[i].most = most[i];
    }
}

static void enqueue(struct yoke__pool_kind *kind, struct yoke__job *job)
{
    job->state = YOKE__JOB_QUEUED;
    job->next = NULL;
    job->link = kind->last;
    *kind->last = job;
    kind->last = &job->next;
}

static void dequeue(struct yoke__pool_kind *kind, struct yoke__job *job, enum yoke__job_state state)
{
    *job->link = job->next;
    if (job->next != NULL)
        job->next->link = job->link;
    else
        kind->last = job->link;
    job->state = state;
}

/* The next job, or NULL when the thread should end. Called and returns with the lock held. */
static struct yoke__job *next_job(struct yoke__pool *pool, struct yoke__pool_thread *me)
{
    struct yoke__pool_kind *kind = &pool->kinds[me->kind];
    for (;;) {
        struct yoke__job *job = kind->first;
        if (job != NULL) {
            dequeue(kind, job, YOKE__JOB_RUNNING);
            return job;
        }
        if (pool->stopping)
            return NULL;
        yoke__store_relaxed(&me->word, 0); /* under the lock */
        me->next = kind->idle;
        kind->idle = me;
        uint64_t until = yoke__os_now() + (uint64_t)pool->idle_ns;
        yoke__lock_release(&pool->lock);
        int rc = 0;
        while (yoke__load_acquire(&me->word) == 0 && rc != -ETIMEDOUT) /* pairs with call_back() */
            rc = yoke__os_futex_wait(&me->word, 0, until);
        yoke__lock_acquire(&pool->lock);
        if (yoke__load_relaxed(&me->word) != 0)
            continue; /* whoever called back has taken it from the idle list */
        for (struct yoke__pool_thread **at = &kind->idle; *at != NULL; at = &(*at)->next)
            if (*at == me) {
                *at = me->next;
                break;
            }
        if (kind->first == NULL)
            return NULL;
    }
}

/* Under the lock: the idle thread to wake, once the lock is released. */
static struct yoke__pool_thread *call_back(struct yoke__pool_kind *kind)
{
    struct yoke__pool_thread *thread = kind->idle;
    if (thread != NULL) {
        kind->idle = thread->next;
        yoke__store_release(&thread->word, 1); /* pairs with next_job() */
    }
    return thread;
}

static void *serve(void *arg)
{
    struct yoke__pool_thread *me = arg;
    struct yoke__pool *pool = me->pool;
    struct yoke__job *job;
    yoke__lock_acquire(&pool->lock);
    while ((job = next_job(pool, me)) != NULL) {
        yoke__lock_release(&pool->lock);
        job->result = job->fn(job->arg);
        if (!yoke__process_is(pool->process))
            yoke__process_returned("a job of", pool->name);
        job->done(job);
        yoke__lock_acquire(&pool->lock);
    }
    pool->kinds[me->kind].threads--;
    me->ended = true;
    me->next = pool->ended;
    pool->ended = me;
    yoke__sub_acq_rel(&pool->alive, 1); /* pairs with yoke__pool_stop() */
    yoke__os_futex_wake(&pool->alive, 1);
    yoke__lock_release(&pool->lock);
    return NULL;
}

/* Joins threads that have ended. A thread whose starter has not yet noted its id is left for later. */
static void reap(struct yoke__pool *pool)
{
    yoke__lock_acquire(&pool->lock);
    struct yoke__pool_thread **at = &pool->ended, *gone = NULL;
    while (*at != NULL) {
        struct yoke__pool_thread *thread = *at;
        if (!thread->known) {
            at = &thread->next;
            continue;
        }
        *at = thread->next;
        thread->next = gone;
        gone = thread;
    }
    yoke__lock_release(&pool->lock);
    while (gone != NULL) {
        struct yoke__pool_thread *thread = gone;
        gone = thread->next;
        yoke__os_thread_join(thread->thread);
        yoke__os_free(thread);
    }
}

/* The thread is counted already. */
static int start_thread(struct yoke__pool *pool, int kind)
{
    reap(pool);
    struct yoke__pool_thread *thread = yoke__os_alloc(sizeof *thread, 64);
    if (thread == NULL)
        return -ENOMEM;
    *thread = (struct yoke__pool_thread){ .pool = pool, .kind = kind };
    pthread_t id;
    yoke__add_acq_rel(&pool->alive, 1); /* pairs with yoke__pool_stop() */
    int rc = yoke__os_thread_start(&id, pool->name, 0, serve, thread);
    if (rc < 0) {
        yoke__sub_acq_rel(&pool->alive, 1);
        yoke__os_free(thread);
        return rc;
    }
    yoke__lock_acquire(&pool->lock);
    thread->thread = id;
    thread->known = true;
    yoke__lock_release(&pool->lock);
    return 0;
}

int yoke__pool_submit(struct yoke__pool *pool, struct yoke__job *job)
{
    struct yoke__pool_kind *kind = &pool->kinds[job->kind];
    int index = job->kind; /* the job may be over, and gone, as soon as the lock is released */
    yoke__lock_acquire(&pool->lock);
    enqueue(kind, job);
    struct yoke__pool_thread *idle = call_back(kind);
    bool more = idle == NULL && kind->threads < kind->most;
    kind->threads += more;
    yoke__lock_release(&pool->lock);
    if (idle != NULL)
        yoke__os_futex_wake(&idle->word, 1);
    if (!more)
        return 0;
    int rc = start_thread(pool, index);
    if (rc == 0)
        return 0;
    /* With nobody there the job was not taken; nor were those that others queued meanwhile because of a thread that was to come. */
    bool refused = false;
    struct yoke__job *left = NULL, **last = &left;
    yoke__lock_acquire(&pool->lock);
    kind->threads--;
    while (kind->threads == 0 && kind->first != NULL) {
        struct yoke__job *first = kind->first;
        dequeue(kind, first, first == job ? YOKE__JOB_WITHDRAWN : YOKE__JOB_RUNNING);
        if (first == job) { /* else it was taken after all, by a thread that ended meanwhile */
            refused = true;
            continue;
        }
        first->next = NULL;
        *last = first;
        last = &first->next;
    }
    yoke__lock_release(&pool->lock);
    while (left != NULL) {
        struct yoke__job *first = left;
        left = left->next;
        first->result = rc;
        first->done(first);
    }
    return refused ? rc : 0;
}

bool yoke__pool_withdraw(struct yoke__pool *pool, struct yoke__job *job)
{
    yoke__lock_acquire(&pool->lock);
    bool queued = job->state == YOKE__JOB_QUEUED;
    if (queued)
        dequeue(&pool->kinds[job->kind], job, YOKE__JOB_WITHDRAWN);
    yoke__lock_release(&pool->lock);
    return queued;
}

void yoke__pool_stop(struct yoke__pool *pool)
{
    yoke__lock_acquire(&pool->lock);
    pool->stopping = true;
    for (int i = 0; i < YOKE__POOL_KINDS; i++) {
        struct yoke__pool_thread *thread;
        while ((thread = call_back(&pool->kinds[i])) != NULL)
            yoke__os_futex_wake(&thread->word, 1);
    }
    yoke__lock_release(&pool->lock);
    uint32_t alive;
    while ((alive = yoke__load_acquire(&pool->alive)) != 0) /* pairs with serve() */
        yoke__os_futex_wait(&pool->alive, alive, UINT64_MAX);
    reap(pool);
}
