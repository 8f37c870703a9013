/*
 * worker.c - the scheduler: what it is, and its threads.
 *
 * A worker's loop runs on a pooled fiber and calls task functions directly on it: no stack and no switch for a task that never
 * blocks. When one blocks, the fiber is left with everything on it (the loop's frame at its bottom), and the worker goes on in the
 * loop of a spare fiber, or straight on the next woken one. When the task is made runnable, some worker leaves its own loop fiber
 * (which becomes a spare) and resumes it; when the task's function returns, the loop beneath it goes on, now on that worker.
 * Hence: after any call that may switch, the worker must be asked for anew (yoke__self), and nothing thread-local may be kept.
 *
 * Four files: run.c runs things, and has the loop; find.c finds them; suspend.c leaves a stack for another; spare.c keeps those that wait. Here a
 * worker is made, and its thread begins and ends.
 *
 * Without memory for a stack the worker falls back to its thread's own stack, where it begins nothing, but goes on with what has begun
 * and was woken (yoke__find_started), wherever it waits, and tries again for a stack: waits that may fail say -ENOMEM instead
 * (yoke__worker_reserve), those that may not (close, join) end up there. What has begun gives its stack back when it ends.
 */
#include "worker.h"

#include "fail.h"
#include "find.h"
#include "fork.h"
#include "report.h"
#include "run.h"
#include "runtime.h"
#include "spare.h"

enum { NO_STACK_RETRY_NS = 1000 * 1000 };

void *yoke__worker_main(void *worker)
{
    struct yoke__worker *w = worker;
    struct yoke_runtime *rt = w->rt;
    yoke__set_self(w);
    yoke__fiber_adopt_thread(&w->native);
    w->fiber = &w->native;
    void *signal_stack = NULL;
    int rc = rt->config.overflow_handler ? yoke__overflow_enter_thread(&signal_stack) : 0;
    if (rc < 0)
        yoke__report(rt, "worker %d has no alternate signal stack, its overflows will not be reported: %s", w->index, yoke__code_text(rc).text);
    rc = w->cpus == NULL ? 0 : yoke__os_bind_self(w->cpus, sizeof *w->cpus);
    if (rc < 0)
        yoke__report(rt, "worker %d could not be bound: %s", w->index, yoke__code_text(rc).text);
    /* acquire: pairs with end_workers() in runtime.c */
    while (yoke__load_acquire(&rt->stopping) == 0) {
        struct yoke__found f = { .fiber = yoke__spare_take(w) };
        if (f.fiber == NULL)
            f = yoke__find_started(w);
        if (f.fiber != NULL) {
            yoke__resume(w, f.fiber);
        } else if (f.node != NULL) {
            yoke__run_node(w, f.node);
        } else { /* no memory for a stack, and nothing to resume: nobody tells when there is memory again */
            uint32_t never = 0;
            yoke__os_futex_wait(&never, 0, yoke__os_now() + NO_STACK_RETRY_NS);
        }
    }
    yoke__overflow_leave_thread(signal_stack);
    yoke__set_self(NULL);
    return NULL;
}

int yoke__worker_create(struct yoke_runtime *rt, int index)
{
    struct yoke__worker *w = yoke__os_alloc(sizeof *w, 64);
    if (w == NULL)
        return -ENOMEM;
    *w = (struct yoke__worker){ .rt = rt, .index = index, .random = 2463534242u + (uint32_t)index * 7919u };
    w->head.epoch = &rt->epoch;
    w->head.parked = &rt->parked;
    w->shy = 1;
    w->low_mask = rt->config.debug ? UINTPTR_MAX : 0;
    w->head.run_id = rt->run_id;
    yoke__inbox_init(&w->inbox);
    int rc = yoke__block_cache_init(&rt->blocks, &w->head.blocks);
    if (rc == 0)
        rc = yoke__deque_init(&w->head.deque, !rt->membarrier);
    if (rc == 0)
        rc = yoke__ready_init(&w->ready, rt->membarrier);
    if (rc == 0)
        rc = yoke__spare_first(w);
    if (rc < 0) {
        yoke__deque_destroy(&w->head.deque);
        yoke__ready_destroy(&w->ready);
        yoke__os_free(w);
        return rc;
    }
    yoke__deque_set_base(&w->head.deque, YOKE__FORK_QUEUED + ((int64_t)(index + 1) << 48)); /* no index twice in the runtime: fork.c */
    if (rt->config.debug)
        yoke__deque_slow_only(&w->head.deque);
    rt->workers[index] = w;
    return 0;
}

void yoke__worker_destroy(struct yoke__worker *w)
{
    yoke__fibers_retire(w->spare);
    yoke__fibers_retire(w->spare_chain);
    yoke__deque_destroy(&w->head.deque);
    yoke__ready_destroy(&w->ready);
    yoke__os_free(w);
}
