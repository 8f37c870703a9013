/*
 * yoke/group.h - task groups: every task but the root belongs to one, and a group cannot be left while a child lives.
 *
 *     YOKE_GROUP(g, .name = "workers");
 *     int rc = 0;
 *     for (int i = 0; i < n && rc >= 0; i++)
 *         rc = yoke_spawn(g, work, work_args, i, &out[i]);
 *     rc = yoke_group_close(g, rc);            // waits for all; the first failure cancels the others
 *
 * A group is also a cancellation scope (yoke/scope.h) of the task that opened it. Children inherit scope, deadline and task-locals
 * FROM THE POINT WHERE THE GROUP WAS OPENED, not from where they are spawned: a child spawned inside an inner scope into a group
 * opened outside of it is NOT in that inner scope.
 */
#ifndef YOKE_GROUP_H
#define YOKE_GROUP_H

#include <yoke/base.h>
#include <yoke/detail/fast.h>
#include <yoke/fail.h>
#include <yoke/scope.h>

YOKE_BEGIN_DECLS

/* A handle by value; copies are equal. The control block is the runtime's. A zeroed handle is "never opened". */
typedef struct yoke_group {
    void *block;
    uint64_t generation;
} yoke_group;

enum yoke_policy {
    YOKE_ALL = 0,    /* the first failure, of a child or of the body, cancels the others and is the result */
    YOKE_COLLECT,    /* children's failures are recorded, cancel nothing and decide nothing */
    YOKE_ANY,        /* `need` successes of children are enough: the last of them cancels body and losers */
};

/* What became of a child. The pointers are valid until the call that it was given to returns, or as yoke_group_next says. */
typedef struct yoke_done {
    int code;                /* its result */
    bool cancelled;          /* that is -ECANCELED because it was cancelled */
    void *arg;               /* what it was given: the pointer, or its copy of the argument */
    const char *message;     /* what yoke_fail said, or "" */
    const char *task;
    uint64_t task_id;
    const yoke_site *site;   /* where it was spawned; may be NULL */
} yoke_done;

enum yoke_answer { YOKE_GO_ON = 0, YOKE_CANCEL_GROUP = 1 };
typedef int (*yoke_on_done)(void *ctx, const yoke_done *done);

typedef struct yoke_group_options {
    size_t size;
    enum yoke_policy policy;
    unsigned limit;            /* most children alive at a time; 0: unlimited */
    int64_t deadline;          /* absolute, ns; 0: none */
    bool shield;               /* hides cancellation and deadlines of enclosing scopes */
    const char *name;          /* for reports; must outlive the group */
    const yoke_site *site;
    bool cancel_on_stop;       /* these three as in yoke_scope_options */
    int64_t grace;
    int64_t hard_after;
    unsigned need;             /* YOKE_ANY: how many successes are enough; 0 is 1. Of other policies: 0 */
    bool results;              /* children's results are kept for yoke_group_next: a block each until it is taken */
    /*
     * Called with each child's result when it ends (services not), in that order, one call at a time, before close returns: by the child
     * itself, or, if it ended during a call, by whoever makes that call. It runs as that child and must not block. YOKE_GO_ON, or
     * anything else: cancels the group with reason 0. A posted function that found no memory for its record is not told, here and in
     * yoke_group_next.
     */
    yoke_on_done on_done;
    void *on_done_ctx;
    /*
     * Children, and all that is begun inside the group, start on stacks of at least so many bytes of address space (guard of 16 KiB included),
     * with at least half of it left; so do forks that they begin. Rounded up to a power of two, the runtime's stack_size at least; at most
     * 1 GiB. Groups opened inside inherit it, and the larger one counts. 0: as outside. The owner's own stack stays as it is.
     * What it costs: each such group, also one that inherits, keeps a stack from its opening to its end (address space, and the pages that were
     * ever touched), and opening is -ENOMEM if there is none. So children can begin even if memory is gone, one after another; more of them
     * at a time take a stack each, and one for which there is none begins when one is free. A child is spawned by a call and begins with a
     * switch of stacks.
     */
    size_t stack_size;
} yoke_group_options;

/*
 * Opens a group owned by the current task and makes its scope the innermost. Never blocks. If there is no memory (for its stack, too,
 * if it has a stack_size, or inherits one), an option is bad (a stack_size that is too large is reported), or outside of a task, the handle
 * carries the error, and spawn and close return it.
 */
YOKE_API yoke_group yoke_group_open(const yoke_group_options *options);

/*
 * Ends the group: takes the body's result, waits for every child and returns, first that applies:
 *   1. ALL: the first failure, of body or child; COLLECT: the body's failure; ANY: 0 if `need` children succeeded, whatever became of
 *      the losers and the body
 *   2. -ETIMEDOUT, if the group's own deadline cut body or child, and no enclosing scope is cancelled
 *   3. the reason given to yoke_group_cancel (0 gives 0); 0 if the grace of its stop ran out, or it was marked cancel_on_stop and stopped
 *   4. -ECANCELED, if an enclosing scope cut body or child; it stays pending for the next cancellation point
 *   5. rc; ANY: the first failure, of body or child; without one -EINVAL if fewer than `need` were spawned, else -ECANCELED
 * ANY once the owner is in close: when those that have succeeded and those that are alive are fewer than `need`, the rest is cancelled: spawn
 * the `need` before. A child's -ECANCELED is neutral if that child was in fact cancelled, otherwise a failure. A failing body cancels under ALL.
 * Blocks until the last child has ended, whatever happens; not a cancellation point: a cancelled owner passes the cancel on.
 * -EINVAL closed twice or never opened; -EPERM not the owner. Inner groups and scopes left open are cancelled, joined, reported.
 */
YOKE_API YOKE_MUST_CHECK int yoke_group_close(yoke_group group, int rc);

/* What yoke_group_close_report tells besides the result. */
typedef struct yoke_group_report {
    size_t size;               /* sizeof(yoke_group_report) as the caller knows it */
    uint64_t spawned;          /* children in all */
    uint64_t failed;           /* how many failed (neutral cancellations not counted) */
    uint64_t cancelled;        /* how many ended with -ECANCELED because they were cancelled */
    yoke_failure *failures;    /* array of the caller's, or NULL */
    size_t capacity;           /* its length */
    size_t kept;               /* out: how many were filled in, in the order in which they happened */
    char (*messages)[YOKE_MESSAGE_MAX + 1]; /* array of `capacity` that takes the messages, or NULL: then messages are "" */
    uint64_t cut;              /* tasks at any depth that ended cancelled since the grace of this group's stop had run out */
} yoke_group_report;

/* yoke_group_close that also fills `report`, which is the caller's. */
YOKE_API YOKE_MUST_CHECK int yoke_group_close_report(yoke_group group, int rc, yoke_group_report *report);

/*
 * Hands out the results of children, as they end, of a group opened with `.results`. *done and what it points to are valid until the
 * next call, and until close. Waits for the next one; a cancellation point (-ECANCELED, also when the group itself is cancelled: then close
 * it). -ENODATA: all results were handed out and no child is alive (services apart, whose results are not handed out). The owner only
 * (-EPERM). -EINVAL: closed, never opened, or not opened for this.
 */
YOKE_API YOKE_MUST_CHECK int yoke_group_next(yoke_group group, yoke_done *done);

/*
 * The failure number `index` (0: the first) recorded so far, before close; the pointers in *failure are valid until the group is
 * closed. -ENODATA: no such failure, or not kept (beyond the first K). The owner only (-EPERM). Never blocks.
 */
YOKE_API int yoke_group_failure(yoke_group group, size_t index, yoke_failure *failure);

/*
 * Cancels body and children. `reason` (<= 0) is what close returns. The first cancel wins. Any task of this runtime; never blocks.
 * -EINVAL: already closed, or reason > 0.
 */
YOKE_API int yoke_group_cancel_at(yoke_group group, int reason, const yoke_site *site);

/* Asks body and children to end, without cutting them until the group's grace has passed: yoke_scope_stop (yoke/scope.h) of its scope. */
YOKE_API int yoke_group_stop_at(yoke_group group, const yoke_site *site);

/* Moves, sets or (0) removes the group's deadline. The owner only. */
YOKE_API int yoke_group_set_deadline(yoke_group group, int64_t deadline);

/* A child's handle (yoke/task.h). Zeroed: none. */
typedef struct yoke_task {
    void *block;
    uint64_t generation;
} yoke_task;

typedef struct yoke_spawn_options {
    size_t size;
    const char *name;          /* of the task, for reports; must outlive it; default "task" (the macros: the function's name) */
    const yoke_site *site;
    yoke_task *handle;         /* where to put a handle of the child, or NULL */
    bool pinned;               /* the child stays on one worker: see worker */
    int worker;                /* if pinned: which; -1: the one that spawns */
    bool try_only;             /* never waits for room: -EAGAIN */
    const char *fn_name;       /* set by the macros: the name if `name` is NULL */
    /*
     * The child serves the others: shielded from cancellation and stop of the group and what encloses it until the body and all others
     * have ended, then cancelled. It takes no room, is no success for YOKE_ANY, and its result goes nowhere; its failure is one like any other.
     */
    bool service;
} yoke_spawn_options;

/*
 * Starts fn as a child of the group. size > 0: *arg (size bytes, any alignment up to 16) is copied into the child, which gets a
 * pointer to the copy, valid until it ends. size == 0: the pointer itself is passed. Ownership of what the argument holds moves
 * exactly when 0 is returned, and then fn is entered for certain, even if cancelled before it starts.
 *
 * Who may: the owner and any task inside the group's tree; others -EPERM. -ECANCELED: the group is cancelled. -ESHUTDOWN: it is
 * closed, or only services were left in it, and told to end. -ENOMEM, or the error of a group that failed to open: not spawned. With a limit and no room a non-member waits (a
 * cancellation point while it waits), a member of the group's tree gets -EAGAIN and should do the work itself. Otherwise never
 * blocks. -EINVAL: never opened, bad worker. `options` may be NULL.
 */
YOKE_API YOKE_MUST_CHECK int yoke_spawn_task(yoke_group group, yoke_fn fn, const void *arg, size_t size, const yoke_spawn_options *options);

/* For the macro: cancels, joins and reports a group still open when its block is left otherwise. Can block. */
YOKE_API void yoke_group_leave(yoke_group *group);

/* yoke_spawn_task, inlined as far as it goes. `options` sets nothing but name and site. */
static inline __attribute__((always_inline)) YOKE_MUST_CHECK int yoke__spawn(yoke_group group, yoke_fn fn, const void *arg, size_t size,
                                                                             const yoke_spawn_options *options)
{
    if (__builtin_expect(fn != NULL && (size == 0 || arg != NULL) &&
                             yoke__fast_spawn((struct yoke__scope_head *)group.block, group.generation, fn, arg, size, options->name, options->site), 1))
        return 0;
    return yoke_spawn_task(group, fn, arg, size, options);
}

YOKE_END_DECLS

#define yoke_group_cancel(group, reason) yoke_group_cancel_at((group), (reason), YOKE_SITE)
#define yoke_group_stop(group) yoke_group_stop_at((group), YOKE_SITE)

/* YOKE_GROUP(name, .field = value, ...): declares and opens a group that cannot be left open by any way out of the block. */
#define YOKE_GROUP(...) YOKE__GROUP_(__VA_ARGS__, .size = sizeof(yoke_group_options), .site = YOKE_SITE)
#define YOKE__GROUP_(group_name, ...) \
    __attribute__((cleanup(yoke_group_leave))) yoke_group group_name = \
        yoke_group_open(&(const yoke_group_options){ __VA_ARGS__ })

/* yoke_spawn(group, fn, type, fields...): copies (type){ fields... } into the child. C only. */
#define yoke_spawn(group, fn, type, ...) \
    yoke__spawn((group), (fn), &(type){ __VA_ARGS__ }, sizeof(type), YOKE__SPAWN_SITE(#fn, 0))
#define yoke_try_spawn(group, fn, type, ...) \
    yoke_spawn_task((group), (fn), &(type){ __VA_ARGS__ }, sizeof(type), YOKE__SPAWN_SITE(#fn, 1))
/* yoke_spawn_ptr(group, fn, pointer): passes the pointer itself. */
#define yoke_spawn_ptr(group, fn, pointer) yoke__spawn((group), (fn), (pointer), 0, YOKE__SPAWN_SITE(#fn, 0))
#define yoke_try_spawn_ptr(group, fn, pointer) yoke_spawn_task((group), (fn), (pointer), 0, YOKE__SPAWN_SITE(#fn, 1))
/* yoke_spawn_with(group, (.handle = &h, .pinned = true), fn, type, fields...): with options in parentheses. */
#define yoke_spawn_with(group, options, fn, type, ...) \
    yoke_spawn_task((group), (fn), &(type){ __VA_ARGS__ }, sizeof(type), YOKE__SPAWN_OPTIONS(#fn, YOKE__STRIP options))
#define yoke_spawn_ptr_with(group, options, fn, pointer) \
    yoke_spawn_task((group), (fn), (pointer), 0, YOKE__SPAWN_OPTIONS(#fn, YOKE__STRIP options))
#define YOKE__STRIP(...) __VA_ARGS__
#define YOKE__SPAWN_OPTIONS(function, ...) \
    (&(const yoke_spawn_options){ .size = sizeof(yoke_spawn_options), .site = YOKE_SITE, .fn_name = function, __VA_ARGS__ })
#define YOKE__SPAWN_SITE(function, try_it) YOKE__SPAWN_SITE_(YOKE__CAT(yoke_spawn_site_, __COUNTER__), function, try_it)
#define YOKE__SPAWN_SITE_(id, function, try_it) \
    (__extension__({ \
        static const yoke_site YOKE__CAT(id, _) = { __FILE__, __func__, __LINE__ }; \
        static const yoke_spawn_options id = { .size = sizeof(yoke_spawn_options), .name = function, .site = &YOKE__CAT(id, _), .try_only = try_it }; \
        &id; \
    }))

#endif
