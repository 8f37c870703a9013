/*
 * handle.c - handles of children.
 *
 * A handle's block belongs to its group and is type-stable; its lock guards generation, status, and the way to the task's scope. A
 * canceller pins that scope under this lock (by way of the scope's own), and the task's end takes the lock to cut the way, before
 * the scope is retired. Waiters get the result in their queue node, so that after being woken they never read the handle.
 */
#include "handle.h"

#include "report.h"
#include "scope.h"
#include "task.h"
#include "wait.h"
#include "worker.h"

int yoke__handle_attach(struct yoke__worker *w, struct yoke__group *group, struct yoke__task *task, yoke_task *out)
{
    struct yoke_runtime *rt = w->rt;
    struct yoke__handle *handle = yoke__block_get(&rt->blocks, &w->blocks, YOKE__BLOCK_HANDLE);
    struct yoke__scope *scope = handle == NULL ? NULL : yoke__block_get(&rt->blocks, &w->blocks, YOKE__BLOCK_SCOPE);
    if (scope == NULL) {
        if (handle != NULL)
            yoke__block_put(&rt->blocks, &w->blocks, YOKE__BLOCK_HANDLE, handle);
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
    handle->task = task;
    handle->scope = scope;
    yoke__waitq_init(&handle->waiters);
    task->handle = handle;
    task->flags |= YOKE__TASK_HANDLE;
    yoke__lock_acquire(&group->lock);
    handle->next = group->handles;
    group->handles = handle;
    yoke__lock_release(&group->lock);
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

void yoke__handle_ended(struct yoke__worker *w, struct yoke__task *task, struct yoke__strand *strand, int rc)
{
    struct yoke__handle *handle = task->handle;
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
        strand->base = &task->group->scope;
        yoke__strand_set_scope(w, strand, &task->group->scope.head);
    }
    yoke__scope_retire(w->rt, scope);
    yoke__block_put(&w->rt->blocks, &w->blocks, YOKE__BLOCK_SCOPE, scope);
}

struct yoke__scope *yoke__handle_started(struct yoke__task *task)
{
    struct yoke__handle *handle = task->handle;
    yoke__lock_acquire(&handle->lock);
    handle->status = YOKE_TASK_RUNNING;
    struct yoke__scope *scope = handle->scope; /* ours until we end */
    yoke__lock_release(&handle->lock);
    return scope;
}

void yoke__handle_abandon(struct yoke__worker *w, struct yoke__task *task)
{
    struct yoke__group *group = task->group;
    struct yoke__handle *handle = task->handle;
    yoke__handle_ended(w, task, NULL, -ENOMEM);
    yoke__lock_acquire(&group->lock);
    for (struct yoke__handle **at = &group->handles; *at != NULL; at = &(*at)->next)
        if (*at == handle) {
            *at = handle->next;
            break;
        }
    handle->generation++;
    yoke__lock_release(&group->lock);
    yoke__block_put(&w->rt->blocks, &w->blocks, YOKE__BLOCK_HANDLE, handle);
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
        yoke__block_put(&w->rt->blocks, &w->blocks, YOKE__BLOCK_HANDLE, handle);
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
        marked = yoke__scope_mark(scope, YOKE__CANCEL_ASKED, reason, site);
    yoke__lock_release(&handle->lock);
    yoke__scope_carry_out(w->rt, marked);
    return 0;
}

int yoke_task_await(yoke_task task, int *result)
{
    struct yoke__worker *w = yoke__self();
    struct yoke__handle *handle;
    struct yoke__waitq_node node = { .back = NULL };
    struct yoke__wait wait;
    if (w != NULL && yoke__scope_cancelled(w->rt, yoke__strand_scope(yoke__current(w))))
        return -ECANCELED;
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
    yoke__wait_init(&wait, "await of a task");
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
