/*
 * yoke/task.h - the current task, deferred cleanup, and handles of children.
 */
#ifndef YOKE_TASK_H
#define YOKE_TASK_H

#include <yoke/base.h>
#include <yoke/group.h>

YOKE_BEGIN_DECLS

/* Number and name of the current task (0 and "" outside of one). A fork has the identity of its task. */
YOKE_API uint64_t yoke_task_id(void);
YOKE_API const char *yoke_task_name(void);

/*
 * Registers fn(arg) to run when the current task ends, last registered first, after all its groups were joined. The functions run
 * shielded from cancellation, under one deadline for all of them (options.cleanup_grace). They may block. A negative result is
 * reported, and becomes the task's result if that was not a failure. In a fork: when its task ends.
 * -ENOMEM: not registered, and the caller still owns arg. -EINVAL: no function. -ENOTRECOVERABLE outside of a task. Never blocks.
 */
YOKE_API YOKE_MUST_CHECK int yoke_defer(yoke_fn fn, void *arg);

/* Handles: asked for with yoke_spawn_options.handle, valid until closed or until the group is closed, in any task of the runtime. */
enum yoke_task_status { YOKE_TASK_READY = 0, YOKE_TASK_RUNNING, YOKE_TASK_DONE };

/* One of enum yoke_task_status. -EINVAL: handle closed or never opened. Never blocks. */
YOKE_API int yoke_task_state(yoke_task task);

/* Waits until the task has ended and stores its result. A cancellation point, checked first. -EINVAL: handle closed, or no place to put it; -EDEADLK: oneself. */
YOKE_API YOKE_MUST_CHECK int yoke_task_await(yoke_task task, int *result);

/* Cancels this child alone; its -ECANCELED is then neutral to its group. Never blocks. -EINVAL: handle closed. */
YOKE_API int yoke_task_cancel_at(yoke_task task, int reason, const yoke_site *site);
#define yoke_task_cancel(task) yoke_task_cancel_at((task), 0, YOKE_SITE)

/* Gives the handle back early; the task itself goes on. Waiters in yoke_task_await get -EBADF. -EINVAL: closed already. */
YOKE_API int yoke_task_close(yoke_task task);

YOKE_END_DECLS

#endif
