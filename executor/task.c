/*
 * task.c - tasks: spawning, calling, ending, deferred functions, slots.
 *
 * A task costs a block, no stack: whoever runs it calls its function on the stack it is on. Its end, in this order: what it left open
 * is closed, deferred functions and slots run, what it holds is told (held.h), its failure is recorded and acted on, room is given back,
 * its block is freed or its group's, its handle is told, and only then is it counted as ended, after which its group may be gone.
 */
#include "task.h"

#include <string.h>

#include "fail.h"
#include "group.h"
#include "handle.h"
#include "held.h"
#include "policy.h"
#include "process.h"
#include "report.h"
#include "scope.h"
#include "seat.h"
#include "worker.h"

/* ---- blocks ----------------------------------------------------------------------------------------------------------- */

/* A block that is not one of the small ones says so in its flags: the short end of a task looks at nothing else. */
static struct yoke__task *other(struct yoke__task *task, unsigned class)
{
    if (task != NULL) {
        task->class = (uint8_t)class;
        task->flags = YOKE__TASK_OTHER;
    }
    return task;
}

static struct yoke__task *new_large(struct yoke__worker *w, size_t size)
{
    for (enum yoke__block_class class = YOKE__BLOCK_TASK1; class <= YOKE__BLOCK_TASK2; class++)
        if (size <= yoke__block_size(class) - sizeof(struct yoke__task))
            return other(yoke__block_get(&w->rt->blocks, &w->head.blocks, class), class);
    if (size > SIZE_MAX / 2)
        return NULL;
    struct yoke__task *task = yoke__os_alloc(sizeof *task + size, 16);
    if (task != NULL)
        memset(task, 0, sizeof *task);
    return other(task, YOKE__TASK_HEAP);
}

struct yoke__task *yoke__task_new(struct yoke__worker *w, size_t size)
{
    if (yoke__unlikely(size > YOKE__TASK_SMALL))
        return new_large(w, size);
    return yoke__block_get(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_TASK0);
}

void yoke__task_free(struct yoke__worker *w, struct yoke__task *task)
{
    if (task->class == YOKE__TASK_FRAME)
        return;
    if (task->class == YOKE__TASK_HEAP) {
        yoke__os_free(task);
        return;
    }
    task->id = 0;
    task->flags = 0;
    yoke__block_put(&w->rt->blocks, &w->head.blocks, task->class, task);
}

/* ---- spawning --------------------------------------------------------------------------------------------------------- */

static const yoke_spawn_options no_options = { .size = sizeof(yoke_spawn_options), .name = "task" };

/* Pinned, or with a handle. */
static int prepare_special(struct yoke__worker *w, struct yoke__group *group, struct yoke__task *task, const yoke_spawn_options *options)
{
    if (options->pinned) {
        if (options->worker < -1 || options->worker >= w->rt->nworkers)
            return -EINVAL;
        task->pin = options->worker < 0 ? w : w->rt->workers[options->worker];
        task->flags |= YOKE__TASK_PINNED;
    }
    return options->handle != NULL || options->service ? yoke__handle_attach(w, group, task, options->service, options->handle) : 0;
}

/* What must fit or be so before a child can begin; a block with the argument in it, not yet counted. */
static int prepare(struct yoke__worker *w, struct yoke__group *group, yoke_fn fn, const void *arg, size_t size, const yoke_spawn_options *options,
                   struct yoke__task **out)
{
    struct yoke__task *task = yoke__task_new(w, size);
    if (task == NULL)
        return -ENOMEM;
    void *argument = (void *)(uintptr_t)arg;
    if (size > 0)
        argument = memcpy(task + 1, arg, size);
    const char *name = options->name != NULL ? options->name : options->fn_name != NULL ? options->fn_name : "task";
    yoke__task_init(task, fn, argument, group, name, options->site);
    if (group->exact && !options->service)
        task->flags |= YOKE__TASK_EXACT;
    int rc = prepare_special(w, group, task, options);
    if (rc < 0)
        yoke__task_free(w, task);
    *out = task;
    return rc;
}

/* It was not published after all. */
static void discard(struct yoke__worker *w, struct yoke__task *task)
{
    if (task->flags & YOKE__TASK_HANDLE)
        yoke__handle_abandon(w, task);
    yoke__task_free(w, task);
}

static int spawn(struct yoke__worker *w, struct yoke__group *group, yoke_fn fn, const void *arg, size_t size, const yoke_spawn_options *options)
{
    struct yoke__strand *strand = yoke__current(w);
    struct yoke__task *task;
    int rc = prepare(w, group, fn, arg, size, options, &task);
    if (rc < 0)
        return rc;
    if (options->service) { /* not by the deque: close must not call it on its own stack, for which it would wait */
        task->node.kind = YOKE__NODE_SERVICE;
        if (task->flags & YOKE__TASK_PINNED)
            yoke__worker_post(task->pin, &task->node);
        else
            yoke__runtime_post(w->rt, &task->node);
        return 0;
    }
    if (!yoke__group_count_spawn(w, group, strand)) {
        discard(w, task);
        return -ESHUTDOWN;
    }
    if (task->flags & YOKE__TASK_PINNED) {
        task->node.kind = YOKE__NODE_TASK;
        yoke__worker_post(task->pin, &task->node);
        return 0;
    }
    rc = yoke__deque_push_public(&w->head.deque, (char *)(void *)task + (group->scope.large == 0 ? YOKE__TAG_TASK : YOKE__TAG_LARGE));
    if (rc < 0) {
        yoke__group_uncount_spawn(w, group, strand);
        discard(w, task);
        return rc;
    }
    yoke__wake_one(w->rt);
    return 0;
}

/*
 * True: the task was spawned. What yoke__fast_spawn() is for the owner, this is for the group's children: nothing has to be asked. The group of
 * the task that runs here is alive, and a ticket tells that it is plain. Ticket, memo and epoch: as there; `serviced`: see
 * yoke__handle_attach(). `at_once`: not if anything has to be fetched; then nothing is called here, and so nothing saved for it.
 */
static inline __attribute__((always_inline)) bool spawn_beside(struct yoke__worker *w, yoke_group handle, yoke_fn fn, const void *arg, size_t size, const yoke_spawn_options *options, bool at_once)
{
    struct yoke__group *group = handle.block;
    if (group == NULL || yoke__current(w)->task->group != group || yoke__load_relaxed(&group->scope.head.ticket) != handle.generation ||
        yoke__load_relaxed(&group->scope.head.memo) != yoke__load_acquire(w->head.epoch) || yoke__load_relaxed(&group->serviced) != 0 ||
        options == NULL || options->size != sizeof *options || options->name == NULL || options->handle != NULL || options->service ||
        options->pinned || options->try_only || fn == NULL || size > YOKE__TASK_SMALL || (size > 0 && arg == NULL) || yoke__worker_overfull(w) ||
        w->head.deque.bottom >= w->head.deque.limit)
        return false;
    if (at_once && (size > 0 || w->batch != group || w->batched == 0 || !yoke__block_any(&w->head.blocks, YOKE__BLOCK_TASK0)))
        return false;
    struct yoke__task *task = yoke__block_get(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_TASK0);
    if (task == NULL)
        return false;
    yoke__group_count_beside(w, group);
    yoke__task_init(task, fn, size > 0 ? memcpy(task + 1, arg, size) : (void *)(uintptr_t)arg, group, options->name, options->site);
    (void)yoke__deque_push_public(&w->head.deque, (char *)(void *)task + YOKE__TAG_TASK); /* there is room */
    return true;
}

/* Every check, every option. */
static __attribute__((noinline)) int spawn_checked(struct yoke__worker *w, yoke_group handle, yoke_fn fn, const void *arg, size_t size,
                                                   const yoke_spawn_options *options)
{
    if (spawn_beside(w, handle, fn, arg, size, options, false)) {
        yoke__wake_one(w->rt);
        return 0;
    }
    yoke_spawn_options whole;
    if (options == NULL)
        options = &no_options;
    else if (yoke__unlikely(options->size != sizeof whole))
        options = yoke__options_whole(&whole, sizeof whole, options, options->size);
    if (yoke__unlikely(yoke__worker_overfull(w)) && !options->try_only) {
        yoke__worker_thin_out(w); /* before anything is looked at */
        w = yoke__self();
    }
    struct yoke__group *group = handle.block;
    if (group == NULL || handle.generation >> 40 != w->head.run_id)
        return yoke__handle_error(group, handle.generation, w->rt);
    if (yoke__load_relaxed(&group->scope.generation) != handle.generation)
        return -ESHUTDOWN;
    if (fn == NULL || (size > 0 && arg == NULL))
        return -EINVAL;
    struct yoke__strand *strand = yoke__current(w);
    bool member = false;
    if (strand != yoke__scope_owner(&group->scope) && !yoke__group_admits(group, strand, &member))
        return -EPERM;
    if (yoke__scope_cancelled(w->rt, &group->scope))
        return -ECANCELED;
    if (!group->exact || options->service)
        return spawn(w, group, fn, arg, size, options);
    int rc = yoke__policy_take_room(group, !member && !options->try_only);
    if (rc < 0)
        return rc;
    w = yoke__self();
    rc = yoke__scope_cancelled(w->rt, &group->scope) ? -ECANCELED : spawn(w, group, fn, arg, size, options);
    if (rc < 0)
        yoke__policy_give_room(group);
    return rc;
}

static __attribute__((noinline, cold)) int spawned_for_others(struct yoke_runtime *rt)
{
    yoke__wake_one(rt);
    return 0;
}

/* The common cases are yoke__fast_spawn(), inlined, and the first one here. */
int yoke_spawn_task(yoke_group handle, yoke_fn fn, const void *arg, size_t size, const yoke_spawn_options *options)
{
    struct yoke__worker *w = yoke__self();
    if (yoke__unlikely(w == NULL))
        return -ENOTRECOVERABLE;
    if (!yoke__likely(spawn_beside(w, handle, fn, arg, size, options, true)))
        return spawn_checked(w, handle, fn, arg, size, options);
    yoke__compiler_barrier(); /* as in yoke__wake_one() */
    return yoke__unlikely(yoke__load_relaxed(&w->rt->parked) != 0) ? spawned_for_others(w->rt) : 0;
}

/* ---- ending ----------------------------------------------------------------------------------------------------------- */

/* Deferred functions, last registered first, then slots: shielded, under one deadline. Not inlined: most tasks end on a stack that has left the caches. */
static __attribute__((noinline)) int run_cleanup(struct yoke__task *task, int rc)
{
    yoke_scope_options options = { .size = sizeof options,
                                   .shield = true,
                                   .deadline = yoke_after(yoke__self()->rt->options.cleanup_grace),
                                   .name = "cleanup",
                                   .site = task->site };
    yoke_scope scope = yoke_scope_open(&options);
    for (;;) {
        struct yoke__deferred *deferred = yoke__xchg_acq_rel(&task->deferred, (struct yoke__deferred *)NULL); /* pairs with yoke_defer() */
        if (deferred == NULL)
            break;
        while (deferred != NULL) {
            struct yoke__deferred one = *deferred;
            struct yoke__worker *w = yoke__self();
            yoke__block_put(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_SMALL, deferred);
            int err = one.fn(one.arg);
            yoke__process_returned("a deferred function of task", task->name);
            if (err < 0) {
                yoke__report(yoke__self()->rt, "task '%s': deferred function failed: %s", task->name, yoke__code_text(err).text);
                if (rc >= 0)
                    rc = err;
            }
            deferred = one.next;
        }
    }
    while (task->slots != NULL) {
        struct yoke__slot_value *value = task->slots;
        struct yoke__slot_value one = *value;
        struct yoke__worker *w = yoke__self();
        task->slots = one.next;
        yoke__block_put(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_SMALL, value);
        if (one.value != NULL && one.slot->destroy != NULL)
            one.slot->destroy(one.value);
        yoke__process_returned("a destructor of task", task->name);
    }
    if (scope.block != NULL) {
        int closed = yoke_scope_close(scope, 0);
        if (closed < 0 && rc >= 0)
            rc = closed;
    }
    return rc;
}

int yoke__task_finish(struct yoke__strand *strand, int rc)
{
    struct yoke__task *task = strand->task;
    yoke__unjoined_end(strand); /* before anything is run on this stack */
    if (yoke__strand_scope(strand) != strand->base) {
        if (yoke__scope_unwind(strand, strand->base, "was still open when its task ended: cancelled and joined") && rc >= 0)
            rc = -EINVAL;
    }
    if (yoke__load_relaxed(&task->flags) & YOKE__TASK_CLEANUP) {
        rc = run_cleanup(task, rc);
        yoke__unjoined_end(strand);
    }
    yoke__held_end(strand); /* deferred functions may still have let go of it */
    yoke__seat_vacate(strand);
    return rc;
}

void yoke__task_end(struct yoke__strand *strand, int rc)
{
    struct yoke__task *task = strand->task;
    rc = yoke__task_finish(strand, rc);
    struct yoke__group *group = task->group;
    struct yoke__handle *handle = task->flags & YOKE__TASK_HANDLE ? task->handle : NULL;
    bool keep = false, exact = task->flags & YOKE__TASK_EXACT;
    struct yoke__worker *w = yoke__self();
    struct yoke__fail *fail = NULL;
    bool neutral = rc == -ECANCELED && yoke__scope_cancelled(w->rt, strand->base); /* before the handle's scope goes */
    if (strand->fail != NULL)
        fail = yoke__fail_take(w, strand, rc);
    bool recorded = (rc < 0 && !neutral) || exact;
    if (recorded)
        (void)yoke_task_id(); /* gives it one */
    if (handle != NULL)
        yoke__handle_ending(handle);
    if (neutral && !exact)
        yoke__policy_cut(group, handle != NULL && handle->service);
    if (recorded) {
        keep = yoke__policy_ended(strand, task, rc, fail, neutral, handle != NULL && handle->service);
        w = yoke__self();
    }
    if (!keep && fail != NULL)
        yoke__fail_free(w, fail);
    if (!keep)
        yoke__task_free(w, task);
    if (handle != NULL) /* who awaits it finds the failure recorded, and the result to be had */
        yoke__handle_ended(w, handle, group, strand, rc);
}

/* ---- about oneself ---------------------------------------------------------------------------------------------------- */

uint64_t yoke_task_id(void)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL || w->head.strand == NULL)
        return 0;
    struct yoke__task *task = yoke__current(w)->task;
    uint64_t id = yoke__load_relaxed(&task->id), next = (uint64_t)(w->index + 1) << 40 | ++w->next_id;
    if (id == 0 && yoke__cas_relaxed(&task->id, &id, next)) /* forks of the task may ask at the same time; a number orders nothing */
        id = next;
    yoke__or_relaxed(&task->flags, (uint16_t)YOKE__TASK_NAMED); /* ordered by the joins of the task's forks */
    return id;
}

const char *yoke_task_name(void)
{
    struct yoke__worker *w = yoke__self();
    return w == NULL || w->head.strand == NULL ? "" : yoke__current(w)->task->name;
}

/* ---- deferred functions and slots --------------------------------------------------------------------------------------- */

int yoke_defer(yoke_fn fn, void *arg)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    if (fn == NULL)
        return -EINVAL;
    struct yoke__deferred *deferred = yoke__block_get(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_SMALL);
    if (deferred == NULL)
        return -ENOMEM;
    struct yoke__task *task = yoke__current(w)->task;
    *deferred = (struct yoke__deferred){ .next = yoke__load_relaxed(&task->deferred), .fn = fn, .arg = arg };
    while (!yoke__cas_acq_rel(&task->deferred, &deferred->next, deferred)) /* forks may defer too; pairs with run_cleanup() */
        ;
    yoke__or_relaxed(&task->flags, (uint16_t)YOKE__TASK_CLEANUP); /* ordered by the joins of the task's forks */
    return 0;
}

int yoke_slot_set(const yoke_slot *slot, void *value)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return -ENOTRECOVERABLE;
    if (slot == NULL)
        return -EINVAL;
    struct yoke__task *task = yoke__current(w)->task;
    for (struct yoke__slot_value *v = task->slots; v != NULL; v = v->next)
        if (v->slot == slot) {
            v->value = value;
            return 0;
        }
    struct yoke__slot_value *v = yoke__block_get(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_SMALL);
    if (v == NULL)
        return -ENOMEM;
    *v = (struct yoke__slot_value){ .next = task->slots, .slot = slot, .value = value };
    task->slots = v;
    yoke__or_relaxed(&task->flags, (uint16_t)YOKE__TASK_CLEANUP); /* as above */
    return 0;
}

void *yoke_slot_get(const yoke_slot *slot)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL)
        return NULL;
    for (struct yoke__slot_value *v = yoke__current(w)->task->slots; v != NULL; v = v->next)
        if (v->slot == slot)
            return v->value;
    return NULL;
}
