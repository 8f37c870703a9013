/*
 * runtime.c - one entry point: start-up, the root task, the end.
 *
 * Start-up is a list of steps; each has an undo, and the end is the same list backwards, so that a failure at any step leaves nothing
 * behind. Everything belongs to the yoke_runtime: two of them know nothing of each other.
 */
#include "runtime.h"

#include <stdio.h>
#include <string.h>

#include "deadlock.h"
#include "fail.h"
#include "group.h"
#include "leftover.h"
#include "post.h"
#include "process.h"
#include "report.h"
#include "scope.h"
#include "spare.h"
#include "task.h"
#include "topology.h"
#include "wait.h"
#include "worker.h"

/* ---- steps ------------------------------------------------------------------------------------------------------------ */

static int load_config(struct yoke_runtime *rt, const yoke_options *options)
{
    char error[YOKE__CONFIG_ERROR];
    if (options != NULL) {
        if (options->size == 0 || options->size > 4096) {
            yoke__report_to(NULL, "yoke_run: options: size = %zu: not initialised with YOKE_OPTIONS", options->size);
            return -EINVAL;
        }
        memcpy(&rt->options, options, options->size < sizeof rt->options ? options->size : sizeof rt->options);
    }
    rt->options.size = sizeof rt->options;
    snprintf(rt->name, sizeof rt->name, "%s", rt->options.name != NULL ? rt->options.name : "yoke");
    if (rt->options.cleanup_grace <= 0)
        rt->options.cleanup_grace = YOKE_SEC(5);
    int rc = yoke__config_load(&rt->config, &rt->options, error);
    if (rc < 0)
        yoke__report(rt, "%s", error);
    rt->options.config_file = rt->options.bind = rt->options.reactor_bind = rt->options.guards = NULL; /* the caller's strings */
    rt->nworkers = (int)rt->config.workers;
    rt->spin_ns = rt->config.spin_ns;
    rt->migrate = rt->config.migrate && rt->nworkers > 1;
    if (rt->config.migrate && !rt->migrate)
        yoke__config_note(&rt->config, YOKE__SET_MIGRATE, "not in effect: there is one worker");
    return rc;
}

static int choose_features(struct yoke_runtime *rt)
{
    if (rt->config.membarrier) {
        int rc = yoke__os_membarrier_register();
        rt->membarrier = rc == 0;
        if (rc < 0)
            yoke__config_note(&rt->config, YOKE__SET_MEMBARRIER, "not available: %s; forks are published one by one", strerror(-rc));
    }
    int rc = yoke__stack_pool_init(&rt->stacks, (size_t)rt->config.stack_size, (enum yoke__guards)rt->config.guards);
    if (rc == 0)
        yoke__large_init(rt);
    if (rc == 0 && rt->stacks.guards_why != NULL)
        yoke__config_note(&rt->config, YOKE__SET_GUARDS, "in effect: %s, since %s", yoke__guards_name(rt->stacks.guards), rt->stacks.guards_why);
    return rc;
}

static int make_plan(struct yoke_runtime *rt)
{
    char why[256] = "";
    int rc = yoke__topology_plan(&rt->plan, rt->nworkers, rt->config.bind, rt->config.steal_random, rt->config.hwloc, NULL, why, sizeof why);
    if (rc == -ENOTSUP) {
        yoke__config_note(&rt->config, YOKE__SET_BIND, "not in effect: %s", why);
        rc = 0;
    } else if (rc < 0) {
        yoke__report(rt, "%s: bind = %s: %s", rt->config.origin[YOKE__SET_BIND], rt->config.bind, why[0] != '\0' ? why : strerror(-rc));
    }
    return rc;
}

static void show_line(void *ctx, const char *text)
{
    yoke__report(ctx, "%s", text);
}

static int plan_service(struct yoke_runtime *rt)
{
    char why[256] = "";
    struct yoke__service *service = &rt->service;
    int rc = yoke__topology_service(rt->config.reactor_bind, rt->config.hwloc, &service->cpus, &service->bound, why, sizeof why);
    if (rc == -ENOTSUP) {
        yoke__config_note(&rt->config, YOKE__SET_REACTOR_BIND, "not in effect: %s", why);
        rc = 0;
    } else if (rc < 0) {
        yoke__report(rt, "%s: reactor_bind = %s: %s", rt->config.origin[YOKE__SET_REACTOR_BIND], rt->config.reactor_bind,
                     why[0] != '\0' ? why : strerror(-rc));
    }
    return rc;
}

/* Every setting, with what became of those that only the service thread itself could try. */
static void show_config(struct yoke_runtime *rt)
{
    yoke__service_await(&rt->service);
    if (rt->service.bind_error < 0)
        yoke__config_note(&rt->config, YOKE__SET_REACTOR_BIND, "not in effect: %s", strerror(-rt->service.bind_error));
    if (rt->service.slice_error < 0)
        yoke__config_note(&rt->config, YOKE__SET_SLICE, "not in effect: %s", strerror(-rt->service.slice_error));
    yoke__config_show(&rt->config, show_line, rt);
}

static void destroy_workers(struct yoke_runtime *rt)
{
    for (int i = 0; i < rt->nworkers; i++)
        if (rt->workers[i] != NULL)
            yoke__worker_destroy(rt->workers[i]);
    while (rt->fibers != NULL) {
        struct yoke__fiber *chain = rt->fibers;
        rt->fibers = *yoke__spare_next_chain(chain);
        yoke__fibers_retire(chain);
    }
    yoke__large_retire(rt);
    yoke__os_free(rt->workers);
}

static int create_workers(struct yoke_runtime *rt)
{
    size_t bytes = (size_t)rt->nworkers * sizeof(struct yoke__worker *);
    rt->workers = yoke__os_alloc(bytes, sizeof(void *));
    if (rt->workers == NULL)
        return -ENOMEM;
    memset(rt->workers, 0, bytes);
    for (int i = 0; i < rt->nworkers; i++) {
        int rc = yoke__worker_create(rt, i);
        if (rc < 0) {
            destroy_workers(rt);
            return rc;
        }
        struct yoke__worker *w = rt->workers[i];
        w->victims = rt->plan.victims + (size_t)i * (size_t)rt->nworkers;
        w->levels = rt->plan.levels + (size_t)i * (size_t)rt->nworkers;
        w->nlevels = rt->plan.nlevels[i];
        w->cpus = rt->plan.bound ? &rt->plan.sets[i] : NULL;
    }
    return 0;
}

/* Workers leave their loops once nothing is left to do; the first `n` threads are joined. */
static void end_workers(struct yoke_runtime *rt, int n)
{
    yoke__store_seq(&rt->stopping, 1); /* store-load against yoke__park()'s second look */
    yoke__wake_all(rt);
    for (int i = 0; i < n; i++)
        yoke__os_thread_join(rt->workers[i]->thread);
}

static int start_workers(struct yoke_runtime *rt)
{
    for (int i = 0; i < rt->nworkers; i++) {
        char name[32];
        snprintf(name, sizeof name, "%.9s-%d", rt->name, i);
        int rc = yoke__os_thread_start(&rt->workers[i]->thread, name, 256 * 1024, yoke__worker_main, rt->workers[i]);
        if (rc < 0) {
            yoke__report(rt, "worker thread %d could not be started: %s", i, strerror(-rc));
            end_workers(rt, i);
            return rc;
        }
    }
    return 0;
}

/* ---- from nothing to running, and back ---------------------------------------------------------------------------------- */

static uint64_t next_run_id(void)
{
    static uint64_t runs; /* a number that tells handles of different runs apart; nothing else is shared */
    return yoke__add_relaxed(&runs, 1) % 0xffffff + 1;
}

/* A broken invariant is shown with the tree around it. */
static void dump_before_abort(void)
{
    struct yoke__worker *w = yoke__self();
    if (w != NULL)
        (void)yoke__dump(w->rt, 2, false);
}

static int runtime_create(struct yoke_runtime **out, const yoke_options *options)
{
    struct yoke_runtime *rt = yoke__os_alloc(sizeof *rt, 64);
    if (rt == NULL) {
        yoke__report_to(options, "yoke_run: out of memory");
        return -ENOMEM;
    }
    memset(rt, 0, sizeof *rt);
    yoke__store_relaxed(&yoke__panic_hook, dump_before_abort); /* the same for every runtime */
    rt->run_id = next_run_id();
    rt->process = yoke__process;
    rt->epoch = 1;
    rt->holds = 1; /* until main is queued: launch() */
    yoke__inbox_init(&rt->inject);
    yoke__block_pool_init(&rt->blocks);
    int rc = load_config(rt, options);
    if (rc == 0)
        rc = yoke__process_watch();
    if (rc < 0)
        goto no_config;
    if ((rc = choose_features(rt)) < 0 || (rc = make_plan(rt)) < 0 || (rc = plan_service(rt)) < 0)
        goto no_config;
    if ((rc = create_workers(rt)) < 0)
        goto no_workers;
    if ((rc = yoke__timers_init(&rt->timers, rt->nworkers + 1, rt->membarrier, yoke__service_kick, &rt->service)) < 0)
        goto no_timers;
    if ((rc = yoke__service_start(&rt->service, rt)) < 0)
        goto no_service;
    const int most[YOKE__POOL_KINDS] = { (int)rt->config.pool_user, (int)rt->config.pool_files, (int)rt->config.pool_names };
    yoke__pool_init(&rt->pool, rt->name, most);
    yoke__scope_prepare(rt, &rt->root, NULL, YOKE__SCOPE_ROOT);
    rt->root.name = "root";
    rt->root.generation = rt->run_id << 40 | 1;
    if (rt->config.overflow_handler && (rc = yoke__overflow_install()) < 0)
        goto no_overflow;
    if (rt->options.signals && (rc = yoke__signals_install(rt)) < 0)
        goto no_signals;
    if (rt->config.show)
        show_config(rt);
    if ((rc = start_workers(rt)) < 0)
        goto no_threads;
    *out = rt;
    return 0;

no_threads:
    if (rt->options.signals)
        yoke__signals_remove(rt);
no_signals:
    if (rt->config.overflow_handler)
        yoke__overflow_remove();
no_overflow:
    yoke__service_stop(&rt->service);
no_service:
    yoke__timers_destroy(&rt->timers);
no_timers:
    destroy_workers(rt);
no_workers:
    yoke__report(rt, "start-up failed: %s", yoke__code_text(rc).text);
no_config:
    yoke__topology_free(&rt->plan);
    yoke__large_destroy(rt);
    yoke__stack_pool_destroy(&rt->stacks);
    yoke__block_pool_destroy(&rt->blocks);
    yoke__os_free(rt);
    return rc;
}

/* Waits for the root's end; returns its result. */
static int runtime_end(struct yoke_runtime *rt)
{
    uint32_t finished;
    while ((finished = yoke__load_acquire(&rt->finished)) != YOKE__FINISHED) { /* pairs with run_main() in run.c */
        if (finished == YOKE__ASKED) {
            yoke__deadlock_answer(rt);
            continue;
        }
#ifdef YOKE__TSAN
        /* ThreadSanitizer runs signal handlers late, at a call that it knows; a restarted wait would never come to one. */
        yoke__os_futex_wait(&rt->finished, YOKE__RUNNING, yoke__os_now() + 20 * 1000 * 1000);
#else
        yoke__os_futex_wait(&rt->finished, YOKE__RUNNING, UINT64_MAX);
#endif
    }
    if (rt->options.signals)
        yoke__signals_remove(rt);
    yoke__pool_stop(&rt->pool); /* abandoned jobs are waited for */
    end_workers(rt, rt->nworkers);
    yoke__service_stop(&rt->service);
    if (rt->config.debug)
        yoke__leftover_tell(rt);
    yoke__timers_destroy(&rt->timers);
    if (rt->config.overflow_handler)
        yoke__overflow_remove();
    int result = rt->result;
    destroy_workers(rt);
    yoke__topology_free(&rt->plan);
    yoke__large_destroy(rt);
    yoke__stack_pool_destroy(&rt->stacks);
    yoke__block_pool_destroy(&rt->blocks);
    yoke__os_free(rt);
    return result;
}

static void launch(struct yoke_runtime *rt, yoke_fn main, void *arg)
{
    struct yoke__task *task = &rt->main;
    yoke__task_init(task, main, arg, NULL, "main", NULL);
    task->class = YOKE__TASK_FRAME;
    task->node.kind = YOKE__NODE_TASK;
    yoke__runtime_post(rt, &task->node);
    yoke__unhold(rt);
}

int yoke_run(yoke_fn main, void *arg, const yoke_options *options)
{
    if (yoke__self() != NULL)
        return -EBUSY;
    if (main == NULL)
        return -EINVAL;
    struct yoke_runtime *rt;
    int rc = runtime_create(&rt, options);
    if (rc < 0)
        return rc;
    launch(rt, main, arg);
    return runtime_end(rt);
}

/* ---- beside a thread ---------------------------------------------------------------------------------------------------- */

/* The root task of a started runtime: holds the group that tokens post to, until it is told to stop. */
static int serve_tokens(void *arg)
{
    struct yoke_runtime *rt = arg;
    static const yoke_site site = { __FILE__, "yoke_start", __LINE__ };
    yoke_group group = yoke_group_open(
        &(const yoke_group_options){ .size = sizeof(yoke_group_options), .policy = YOKE_COLLECT, .name = "root", .site = &site });
    int rc = yoke_token_acquire(&rt->token, group);
    rt->started_code = rc;
    yoke__store_release(&rt->started, 1); /* pairs with yoke_start() */
    yoke__os_futex_wake(&rt->started, 1);
    if (rc == 0) {
        struct yoke__wait wait;
        yoke__wait_init(&wait, "yoke_stop");
        yoke__lock_acquire(&rt->stop_lock);
        bool asked = rt->stop_asked != 0;
        rt->stop_wait = &wait;
        yoke__lock_release(&rt->stop_lock);
        if (!asked)
            yoke__wait_block(&wait);
        yoke__lock_acquire(&rt->stop_lock); /* yoke_stop has let go of our frame */
        yoke__lock_release(&rt->stop_lock);
        (void)yoke_group_cancel_at(group, 0, &site);
    }
    yoke_failure first;
    yoke_group_report report = { .size = sizeof report, .failures = &first, .capacity = 1 };
    int closed = yoke_group_close_report(group, 0, &report);
    return rc < 0 ? rc : report.kept > 0 ? first.code : closed;
}

int yoke_start(yoke_runtime **out, const yoke_options *options)
{
    *out = NULL;
    if (yoke__self() != NULL)
        return -EBUSY;
    struct yoke_runtime *rt;
    int rc = runtime_create(&rt, options);
    if (rc < 0)
        return rc;
    launch(rt, serve_tokens, rt);
    while (yoke__load_acquire(&rt->started) == 0) /* pairs with serve_tokens() */
        yoke__os_futex_wait(&rt->started, 0, UINT64_MAX);
    if (rt->started_code < 0)
        return runtime_end(rt);
    *out = rt;
    return 0;
}

int yoke_stop(yoke_runtime *rt)
{
    if (rt == NULL)
        return -EINVAL;
    if (yoke__self() != NULL)
        return -EBUSY;
    if (!yoke__process_is(rt->process))
        return -ENOTRECOVERABLE;
    struct yoke__fiber *fiber = NULL;
    yoke__lock_acquire(&rt->stop_lock);
    rt->stop_asked = 1;
    if (rt->stop_wait != NULL)
        yoke__wait_fire(rt->stop_wait, YOKE__FIRE_DONE, &fiber);
    yoke__lock_release(&rt->stop_lock);
    if (fiber != NULL)
        yoke__ready(rt, fiber);
    yoke_token_release(rt->token); /* and with it the hold: what is still blocked then is judged */
    return runtime_end(rt);
}

int yoke_runtime_token(yoke_runtime *rt, yoke_token **token)
{
    *token = NULL;
    if (rt == NULL)
        return -EINVAL;
    if (!yoke__process_is(rt->process))
        return -ENOTRECOVERABLE;
    return yoke__token_copy(rt->token, token);
}

/* ---- asking ----------------------------------------------------------------------------------------------------------- */

int yoke_workers(void)
{
    struct yoke__worker *w = yoke__self();
    return w != NULL ? w->rt->nworkers : -ENOTRECOVERABLE;
}

int yoke_worker_index(void)
{
    struct yoke__worker *w = yoke__self();
    return w != NULL ? w->index : -ENOTRECOVERABLE;
}

int yoke_dump(int fd)
{
    struct yoke__worker *w = yoke__self();
    return w != NULL ? yoke__dump(w->rt, fd, true) : -ENOTRECOVERABLE;
}

int yoke_runtime_dump(yoke_runtime *rt, int fd)
{
    if (rt == NULL)
        return -EINVAL;
    return yoke__process_is(rt->process) ? yoke__dump(rt, fd, true) : -ENOTRECOVERABLE;
}
