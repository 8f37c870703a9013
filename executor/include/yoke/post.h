/*
 * yoke/post.h - how other threads and signal handlers enter a runtime: through a token acquired before.
 */
#ifndef YOKE_POST_H
#define YOKE_POST_H

#include <yoke/base.h>
#include <yoke/group.h>
#include <yoke/run.h>

YOKE_BEGIN_DECLS

/* The right to start functions in one group. Belongs to whoever acquired it until released; it does not keep the group open. */
typedef struct yoke_token yoke_token;

/* Acquires a token for a group, in a task that may spawn into it. -ENOMEM, and the errors of yoke_spawn_task. Never blocks. */
YOKE_API YOKE_MUST_CHECK int yoke_token_acquire(yoke_token **token, yoke_group group);

/* A token for a started runtime's root group (policy COLLECT), from any thread. */
YOKE_API YOKE_MUST_CHECK int yoke_runtime_token(yoke_runtime *rt, yoke_token **token);

/* Any thread, any time, also after the runtime has ended. NULL is allowed. */
YOKE_API void yoke_token_release(yoke_token *token);
YOKE_API void yoke_token_scoped(yoke_token **token);

/* A node of the caller's for one post; it must stay valid until the function has been entered. Treat as opaque. */
typedef struct yoke_post_node {
    void *opaque[6];
} yoke_post_node;

/*
 * Starts fn(arg) as a task of the token's group; fn gets arg. From any thread or signal handler; never blocks, never allocates.
 * fn runs exactly once if 0 is returned. -ESHUTDOWN: group or runtime has ended; -EINVAL: bad argument.
 */
YOKE_API YOKE_MUST_CHECK int yoke_post(yoke_token *token, yoke_post_node *node, yoke_fn fn, void *arg);

/* Posts and waits, blocking the calling thread, for the result. Not in a task (-EBUSY); else as yoke_post. */
YOKE_API YOKE_MUST_CHECK int yoke_call(yoke_token *token, yoke_fn fn, void *arg);

YOKE_END_DECLS

#endif
