/*
 * blocking.c - tasks wait for jobs of the pool (pool.h).
 *
 * The job lies in the waiter's frame; its callback, on the pool thread, fires the wait and is the last to touch it. A cancel takes the
 * job back if it is still queued; if not, the task waits on, now without listening to the cancel. An abandoned job lies on the heap,
 * counted by its two users: the waiter, who may go, and the pool thread.
 */
#include "deadlock.h"
#include "scope.h"
#include "wait.h"
#include "worker.h"

struct waiting {
    struct yoke__job job;
    struct yoke__lock lock; /* the two below; held by the pool thread for its last touch */
    struct yoke__wait *wait;
    bool over;
    struct yoke_runtime *rt;
};

static void job_done(struct yoke__job *job)
{
    struct waiting *waiting = yoke__container(job, struct waiting, job);
    struct yoke_runtime *rt = waiting->rt;
    struct yoke__fiber *fiber;
    yoke__lock_acquire(&waiting->lock);
    waiting->over = true;
    yoke__wait_fire(waiting->wait, YOKE__FIRE_DONE, &fiber);
    yoke__lock_release(&waiting->lock);
    if (fiber != NULL)
        yoke__ready(rt, fiber);
}

int yoke_blocking(yoke_fn fn, void *arg)
{
    return yoke_blocking_with(YOKE_BLOCKING_USER, false, NULL, fn, arg);
}

struct abandoned {
    struct yoke__job job;
    uint32_t references;
    struct yoke__lock lock;  /* the wait */
    struct yoke__wait *wait; /* NULL: the waiter has gone */
    struct yoke_runtime *rt;
    void (*release)(void *);
    yoke_fn fn;
    void *arg;
};

static void abandoned_done(struct yoke__job *job)
{
    struct abandoned *a = yoke__container(job, struct abandoned, job);
    struct yoke__fiber *fiber = NULL;
    yoke__lock_acquire(&a->lock);
    bool heard = a->wait != NULL && yoke__wait_fire(a->wait, YOKE__FIRE_DONE, &fiber);
    yoke__lock_release(&a->lock);
    if (fiber != NULL)
        yoke__ready(a->rt, fiber);
    if (!heard && a->release != NULL)
        a->release(a->arg);
    yoke__unhold(a->rt); /* the pool ends before the runtime does */
    if (yoke__sub_acq_rel(&a->references, 1) == 1) /* the last one frees */
        yoke__os_free(a);
}

static int abandonable(enum yoke_blocking_kind kind, void (*release)(void *), yoke_fn fn, void *arg)
{
    struct yoke__worker *w = yoke__self();
    struct yoke_runtime *rt = w->rt;
    struct yoke__wait wait;
    yoke__wait_init(&wait, "blocking job");
    int rc = yoke__wait_enlist(&wait);
    if (rc == -ECANCELED && release != NULL)
        release(arg);
    if (rc < 0)
        return rc;
    struct abandoned *a = yoke__os_alloc(sizeof *a, sizeof(void *));
    if (a == NULL) {
        yoke__wait_delist(&wait);
        return -ENOMEM;
    }
    *a = (struct abandoned){ .references = 2, .wait = &wait, .rt = rt, .release = release, .fn = fn, .arg = arg };
    a->job = (struct yoke__job){ .fn = fn, .arg = arg, .kind = (int)kind, .done = abandoned_done };
    yoke__hold(rt); /* the job may outlast the wait */
    rc = yoke__pool_submit(&rt->pool, &a->job);
    if (rc < 0) {
        yoke__unhold(rt);
        yoke__wait_delist(&wait);
        yoke__os_free(a);
        return rc;
    }
    int code = yoke__wait_block(&wait);
    yoke__wait_delist(&wait);
    yoke__lock_acquire(&a->lock);
    a->wait = NULL;
    yoke__lock_release(&a->lock);
    rc = code == YOKE__FIRE_DONE ? a->job.result : -ECANCELED;
    if (code != YOKE__FIRE_DONE && yoke__pool_withdraw(&rt->pool, &a->job)) {
        yoke__unhold(rt);
        yoke__os_free(a); /* never ran */
        if (release != NULL)
            release(arg);
        return rc;
    }
    if (yoke__sub_acq_rel(&a->references, 1) == 1) /* the last one frees */
        yoke__os_free(a);
    return rc;
}

int yoke_blocking_with(enum yoke_blocking_kind kind, bool abandon, void (*release)(void *), yoke_fn fn, void *arg)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    if (fn == NULL || (int)kind < 0 || (int)kind >= YOKE__POOL_KINDS)
        return -EINVAL;
    if (abandon)
        return abandonable(kind, release, fn, arg);
    struct yoke_runtime *rt = w->rt;
    struct yoke__wait wait, second;
    struct waiting waiting = { .wait = &wait, .rt = rt };
    yoke__wait_init(&wait, "blocking job");
    int rc = yoke__wait_enlist(&wait);
    if (rc < 0)
        return rc;
    waiting.job = (struct yoke__job){ .fn = fn, .arg = arg, .kind = (int)kind, .done = job_done };
    rc = yoke__pool_submit(&rt->pool, &waiting.job);
    if (rc < 0) {
        yoke__wait_delist(&wait);
        return rc;
    }
    int code = yoke__wait_block(&wait);
    yoke__wait_delist(&wait);
    if (code != YOKE__FIRE_DONE && yoke__pool_withdraw(&rt->pool, &waiting.job))
        return -ECANCELED;
    /* It runs or has run: its effect wins. From now on it fires a wait that no cancel reaches. */
    yoke__wait_init(&second, "blocking job, cancelled");
    yoke__lock_acquire(&waiting.lock);
    bool over = waiting.over;
    waiting.wait = &second;
    yoke__lock_release(&waiting.lock);
    if (!over) {
        yoke__wait_block(&second);
        yoke__lock_acquire(&waiting.lock); /* the pool thread has let go of our frame */
        yoke__lock_release(&waiting.lock);
    }
    return waiting.job.result;
}
