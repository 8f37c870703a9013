/*
 * yoke/scope.h - cancellation scopes and deadlines.
 *
 * A scope is a stretch of one task's work that can be cancelled or run out of time as a whole, with everything inside it.
 * Cancellation is level-triggered: once a scope is cancelled, every cancellation point in it returns -ECANCELED until it is left.
 * Scopes nest; they are closed innermost first by the task that opened them.
 *
 *     YOKE_SCOPE(s, .deadline = yoke_after(YOKE_MS(300)));
 *     rc = yoke_scope_close(s, do_it());       // -ETIMEDOUT if the deadline cut it
 */
#ifndef YOKE_SCOPE_H
#define YOKE_SCOPE_H

#include <yoke/base.h>

YOKE_BEGIN_DECLS

/* A handle by value; the control block is the runtime's. A zeroed handle is "never opened". */
typedef struct yoke_scope {
    void *block;
    uint64_t generation;
} yoke_scope;

typedef struct yoke_scope_options {
    size_t size;
    int64_t deadline;          /* absolute, ns; 0: none. One in the past is legal */
    bool shield;               /* hides cancellation and deadlines of enclosing scopes; give it a deadline of its own */
    const char *name;          /* for reports; must outlive the scope */
    const yoke_site *site;
    bool cancel_on_stop;       /* cancelled at once when it is in a scope that is stopping; closes with 0 then */
    int64_t grace;             /* ns it has when it is stopped; 0: options.stop_grace (5 s); negative: none; YOKE_NEVER: no end */
    int64_t hard_after;        /* ns after the grace at which the process aborts; 0: options.hard_after (never); negative: never */
} yoke_scope_options;

/*
 * Opens a scope in the current task; it becomes the innermost. Never blocks. `options` may be NULL. If there is no memory, or
 * outside of a task, the handle carries the error, and closing it returns that error if rc >= 0; in between, work is simply
 * not in a scope of its own.
 */
YOKE_API yoke_scope yoke_scope_open(const yoke_scope_options *options);

/*
 * Leaves the scope with the body's result `rc`, which is returned unchanged unless it is -ECANCELED and this scope is the
 * outermost cancelled one (up to a shield): then -ETIMEDOUT (its deadline) or the reason of the cancel. Not a cancellation point.
 * Groups and scopes opened inside and left open are cancelled, joined and reported first: then it can block.
 * -EINVAL closed twice or never opened; -EPERM not the task that opened it.
 */
YOKE_API YOKE_MUST_CHECK int yoke_scope_close(yoke_scope scope, int rc);

/*
 * Cancels everything inside. `reason` (<= 0) is what closing returns for -ECANCELED. The first cancel wins; later ones return 0
 * without effect. Any task of this runtime; never blocks; O(tasks affected). -EINVAL: scope already left, or reason > 0.
 */
YOKE_API int yoke_scope_cancel_at(yoke_scope scope, int reason, const yoke_site *site);

/*
 * Asks what is inside to end, without cutting it: yoke_stopping() turns true in there, scopes marked cancel_on_stop (waits that have
 * no point any more: accept, idle) are cancelled at once, now or when they are opened, and close with 0 (while a thread carries out another
 * cancel, it does this too, perhaps after the call has returned); the rest goes on, and may spawn. When `grace` has passed and the
 * scope has not been left, it is cancelled with reason 0; how many tasks that cut is reported when it is left. If it still has not
 * been left `hard_after` later, the tree of tasks is dumped to stderr and the process aborts.
 *
 * A shield hides a stop of enclosing scopes as it hides their cancellation: cleanup goes on. What runs long behind a shield is stopped by
 * its own handle. The first stop counts; on a scope that is cancelled there is no effect. Any task of this runtime; never blocks; 0, or -EINVAL: scope
 * already left.
 */
YOKE_API int yoke_scope_stop_at(yoke_scope scope, const yoke_site *site);

/* True if the current scope is asked to end (not: cancelled). Never a cancellation point. False outside of a task. */
YOKE_API bool yoke_stopping(void);

/* Moves, sets or (0) removes the deadline. The owner only (-EPERM). -EINVAL: already left. 0 even if it has fired before. */
YOKE_API int yoke_scope_set_deadline(yoke_scope scope, int64_t deadline);

/* The nearest deadline in force here (up to a shield), or YOKE_NEVER. */
YOKE_API int64_t yoke_deadline(void);

/* True if the current scope is cancelled in effect. Never a cancellation point. False outside of a task. */
YOKE_API bool yoke_cancelled(void);

/* For the macro: closes a scope still open when its block is left otherwise. */
YOKE_API void yoke_scope_leave(yoke_scope *scope);

YOKE_END_DECLS

#define yoke_scope_cancel(scope, reason) yoke_scope_cancel_at((scope), (reason), YOKE_SITE)
#define yoke_scope_stop(scope) yoke_scope_stop_at((scope), YOKE_SITE)

/* YOKE_SCOPE(name, .field = value, ...): declares and opens a scope that is closed at the end of the block at the latest. */
#define YOKE_SCOPE(...) YOKE__SCOPE_(__VA_ARGS__, .size = sizeof(yoke_scope_options), .site = YOKE_SITE)
#define YOKE__SCOPE_(scope_name, ...) \
    __attribute__((cleanup(yoke_scope_leave))) yoke_scope scope_name = \
        yoke_scope_open(&(const yoke_scope_options){ __VA_ARGS__ })

#endif
