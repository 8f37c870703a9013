/*
 * handle.c - handles of children.
 *
 * A handle's block belongs to its group and is type-stable; its lock guards generation, status, and the way to the task's scope. A
 * canceller pins that scope under this lock (by way of the scope's own), and the task's end takes the lock to cut the way, before
 * the scope is retired. Waiters get the result in their queue node, so that after being woken they never read the handle.
 */
#include "handle.h"

#include <stdio.h>

#include "report.h"
#include "scope.h"
#include "task.h"
#include "wait.h"
#include "walk.h"
#include "worker.h"

int yoke__handle_attach(struct yoke__worker *w, struct yoke__group *group, struct yoke__task *task, bool service, yoke_task *out)
{
    struct yoke_runtime *rt = w->rt;
    struct yoke__handle *handle = yoke__block_get(&rt->blocks, &w->head.blocks, YOKE__BLOCK_HANDLE);
    struct yoke__scope *scope = handle == NULL ? NULL : yoke__block_get(&rt->blocks, &w->head.blocks, YOKE__BLOCK_SCOPE);
    if (scope == NULL) {
        if (handle != NULL)
            yoke__block_put(&rt->blocks, &w->head.blocks, YOKE__BLOCK_HANDLE, handle);
        return -ENOMEM;
    }
    yoke__scope_prepare(rt, scope, &group->scope, YOKE__SCOPE_TASK);
    if (scope->generation == 0)
        scope->generation = rt->run_id << 40 | 1;
    scope->name = task->name;
    scope->site = task->site;
    if (handle->generation == 0)
        handle->generation = rt->run_id << 40 | 1;
    handle->status = YOKE_TASK_READY;
    handle->result = 0;
    handle->closed = false;
    handle->service = service;
    scope->shield = service;
    handle->task = task;
    handle->scope = scope;
    yoke__waitq_init(&handle->waiters);
    task->handle = handle;
    task->flags |= YOKE__TASK_HANDLE;
    yoke__lock_acquire(&group->lock);
    handle->next = group->handles;
    group->handles = handle;
    bool late = service && group->services_over;
    if (service) {
        yoke__store_relaxed(&group->serviced, (uint8_t)1); /* who is in a service's tree was spawned after this */
        group->services_spawned++;
        yoke__add_relaxed(&group->services, 1); /* by one who is counted: cannot rise from 0 */
    }
    yoke__lock_release(&group->lock);
    if (late) {
        yoke__handle_abandon(w, task);
        return -ESHUTDOWN;
    }
    if (out != NULL)
        *out = (yoke_task){ .block = handle, .generation = handle->generation };
    return 0;
}

static void wake_all_locked(struct yoke__handle *handle, int result, struct yoke__fiber **woken)
{
    struct yoke__fiber *fiber;
    while (yoke__waitq_wake_locked(&handle->waiters, YOKE__FIRE_DONE, result, &fiber))
        if (fiber != NULL) {
            fiber->next = *woken;
            *woken = fiber;
        }
}

/* In the handle's list of waiters a result below this is an error of the wait, not the task's. */
enum { AWAIT_CLOSED = -0x7fffffff };

void yoke__handle_ending(struct yoke__handle *handle)
{
    yoke__lock_acquire(&handle->lock);
    handle->task = NULL;
    yoke__lock_release(&handle->lock);
}

void yoke__handle_ended(struct yoke__worker *w, struct yoke__handle *handle, struct yoke__group *group, struct yoke__strand *strand, int rc)
{
    struct yoke__fiber *woken = NULL;
    yoke__lock_acquire(&handle->lock);
    struct yoke__scope *scope = handle->scope;
    handle->scope = NULL;
    handle->task = NULL;
    handle->result = rc;
    handle->status = YOKE_TASK_DONE;
    wake_all_locked(handle, rc, &woken);
    yoke__lock_release(&handle->lock);
    yoke__ready_list(w->rt, woken);
    if (strand != NULL) { /* what still runs of this task runs under the group's scope */
        strand->base = &group->scope;
        yoke__strand_set_scope(w, strand, &group->scope.head);
    }
    yoke__scope_retire(w->rt, scope);
    yoke__block_put(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_SCOPE, scope);
}

struct yoke__scope *yoke__handle_started(struct yoke__strand *strand, struct yoke__task *task)
{
    struct yoke__handle *handle = task->handle;
    yoke__lock_acquire(&handle->lock);
    handle->status = YOKE_TASK_RUNNING;
    struct yoke__scope *scope = handle->scope; /* ours until we end */
    scope->head.owner = &strand->head;
    yoke__lock_release(&handle->lock);
    return scope;
}

void yoke__handle_abandon(struct yoke__worker *w, struct yoke__task *task)
{
    struct yoke__group *group = task->group;
    struct yoke__handle *handle = task->handle;
    yoke__handle_ended(w, handle, group, NULL, -ENOMEM);
    yoke__lock_acquire(&group->lock);
    for (struct yoke__handle **at = &group->handles; *at != NULL; at = &(*at)->next)
        if (*at == handle) {
            *at = handle->next;
            break;
        }
    handle->generation++;
    if (handle->service) {
        group->services_spawned--;
        yoke__sub_relaxed(&group->services, 1); /* by one who is counted: not the last */
    }
    yoke__lock_release(&group->lock);
    yoke__block_put(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_HANDLE, handle);
}

void yoke__handles_end_services(struct yoke_runtime *rt, struct yoke__group *group)
{
    struct yoke__scope *first = NULL;
    yoke__lock_acquire(&group->lock);
    yoke__store_relaxed(&group->services_over, (uint8_t)1); /* read in large.c, under the lock there */
    for (struct yoke__handle *handle = group->handles; handle != NULL; handle = handle->next) {
        yoke__lock_acquire(&handle->lock);
        struct yoke__scope *marked = NULL;
        if (handle->service && handle->scope != NULL)
            marked = yoke__scope_mark(rt, handle->scope, YOKE__CANCEL_SERVICE, 0, group->scope.site);
        yoke__lock_release(&handle->lock);
        if (marked != NULL) {
            marked->walk_next = first;
            first = marked;
        }
    }
    yoke__lock_release(&group->lock);
    yoke__scope_carry_out(rt, first);
}

void yoke__handles_free(struct yoke__worker *w, struct yoke__group *group)
{
    while (group->handles != NULL) {
        struct yoke__handle *handle = group->handles;
        group->handles = handle->next;
        yoke__lock_acquire(&handle->lock);
        if (!handle->closed)
            handle->generation++;
        yoke__lock_release(&handle->lock);
        yoke__block_put(&w->rt->blocks, &w->head.blocks, YOKE__BLOCK_HANDLE, handle);
    }
}

/* Locks the handle if it is valid. */
static int enter(yoke_task task, struct yoke__worker *w, struct yoke__handle **out)
{
    if (w == NULL)
        return -ENOTRECOVERABLE;
    int err = yoke__handle_error(task.block, task.generation, w->rt);
    if (err < 0)
        return err;
    struct yoke__handle *handle = task.block;
    yoke__lock_acquire(&handle->lock);
    if (handle->generation != task.generation) {
        yoke__lock_release(&handle->lock);
        return -EINVAL;
    }
    *out = handle;
    return 0;
}

int yoke_task_state(yoke_task task)
{
    struct yoke__handle *handle;
    int rc = enter(task, yoke__self(), &handle);
    if (rc < 0)
        return rc;
    rc = (int)handle->status;
    yoke__lock_release(&handle->lock);
    return rc;
}

int yoke_task_cancel_at(yoke_task task, int reason, const yoke_site *site)
{
    struct yoke__worker *w = yoke__self();
    struct yoke__handle *handle;
    if (reason > 0)
        return -EINVAL;
    int rc = enter(task, w, &handle);
    if (rc < 0)
        return rc;
    struct yoke__scope *scope = handle->scope, *marked = NULL;
    if (scope != NULL)
        marked = yoke__scope_mark(w->rt, scope, YOKE__CANCEL_ASKED, reason, site);
    yoke__lock_release(&handle->lock);
    yoke__scope_carry_out(w->rt, marked);
    return 0;
}

/* A handle's lock comes before a scope's: it may be tried only. */
static void tell_task(const void *object, char *text, size_t size)
{
    struct yoke__handle *handle = (struct yoke__handle *)(uintptr_t)object;
    if (!yoke__lock_try(&handle->lock))
        return;
    if (handle->task != NULL) /* it lives as long as this is so */
        snprintf(text, size, " '%s'%s", handle->task->name, yoke__site_text(handle->task->site).text);
    yoke__lock_release(&handle->lock);
}

static bool await_blames(const void *object, const struct yoke__strand *strand)
{
    struct yoke__handle *handle = (struct yoke__handle *)(uintptr_t)object;
    yoke__lock_acquire(&handle->lock);
    bool it = strand->task == handle->task && strand->fork == NULL;
    yoke__lock_release(&handle->lock);
    return it;
}

static const struct yoke__waited on_await = { .what = "await of task", .tell = tell_task, .blames = await_blames };

int yoke_task_await(yoke_task task, int *result)
{
    struct yoke__worker *w = yoke__self();
    struct yoke__handle *handle;
    struct yoke__waitq_node node = { .back = NULL };
    struct yoke__wait wait;
    if (w != NULL && yoke__scope_cancelled(w->rt, yoke__strand_scope(yoke__current(w))))
        return -ECANCELED;
    if (w != NULL && result == NULL)
        return -EINVAL;
    int rc = enter(task, w, &handle);
    if (rc < 0)
        return rc;
    bool done = handle->status == YOKE_TASK_DONE, self = handle->task == yoke__current(w)->task;
    rc = handle->result;
    yoke__lock_release(&handle->lock);
    if (self)
        return -EDEADLK;
    if (done) {
        *result = rc;
        return 0;
    }
    yoke__wait_init_on(&wait, &on_await, task.block);
    rc = yoke__wait_enlist(&wait);
    if (rc < 0)
        return rc;
    int code = YOKE__FIRE_DONE;
    rc = enter(task, w, &handle);
    if (rc == 0) {
        done = handle->status == YOKE_TASK_DONE;
        if (done)
            node.result = handle->result;
        else
            yoke__waitq_push_locked(&handle->waiters, &node, &wait);
        yoke__lock_release(&handle->lock);
        if (!done) {
            code = yoke__wait_block(&wait);
            yoke__lock_acquire(&handle->lock); /* type-stable: even if the handle is gone, the node is then in no queue */
            yoke__waitq_remove_locked(&handle->waiters, &node);
            yoke__lock_release(&handle->lock);
        }
    }
    yoke__wait_delist(&wait);
    if (rc < 0)
        return rc;
    if (code == YOKE__FIRE_CANCEL)
        return -ECANCELED;
    if (node.result == AWAIT_CLOSED)
        return -EBADF;
    *result = node.result;
    return 0;
}

int yoke_task_close(yoke_task task)
{
    struct yoke__worker *w = yoke__self();
    struct yoke__handle *handle;
    struct yoke__fiber *woken = NULL;
    int rc = enter(task, w, &handle);
    if (rc < 0)
        return rc;
    handle->generation++;
    handle->closed = true; /* the block goes back when the group ends */
    wake_all_locked(handle, AWAIT_CLOSED, &woken);
    yoke__lock_release(&handle->lock);
    yoke__ready_list(w->rt, woken);
    return 0;
}
