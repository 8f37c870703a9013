/*
 * post.c - tokens, posts, calls.
 *
 * A token outlives its group and its runtime: it lies on the heap, counted by its holder and by its group. Its gate says whether the
 * group may be touched: a post enters the gate (counts itself in), and goes back if it is shut. The group's owner, when all children
 * have ended, shuts the gate of every token and waits until nobody is inside any more; only then does the group go.
 *
 *   gate: OPEN + n inside -> SHUT + n inside -> SHUT (the owner is woken by the last one)
 *
 * Inside the gate a post adds 1 to the group's `live`, but only if it is not 0 (see group.c): so a group that has ended takes nothing,
 * and one that takes it waits for it. The node is the caller's, so that posting neither allocates nor locks: fit for signal handlers.
 */
#include "post.h"

#include "deadlock.h"
#include "fail.h"
#include "group.h"
#include "policy.h"
#include "process.h"
#include "scope.h"
#include "task.h"
#include "worker.h"

#define SHUT 0x80000000u

struct yoke_token {
    uint32_t gate;       /* futex: how many are inside, and SHUT */
    uint32_t holders;    /* who may post */
    uint32_t references; /* the holders together, the group, and posts under way */
    bool held;           /* it holds the deadlock verdict off; written inside the gate by the last holder, or after it is shut */
    uint32_t process;    /* in which it is worth something: process.h */
    struct yoke_runtime *rt;
    struct yoke__group *group;
    struct yoke_token *next; /* the group's list, under its lock */
};

struct post {
    struct yoke__node node;
    struct yoke__group *group;
    yoke_fn fn;
    void *arg;
};
_Static_assert(sizeof(struct post) <= sizeof(yoke_post_node), "a post must fit into the caller's node");

/* ---- tokens ----------------------------------------------------------------------------------------------------------- */

int yoke_token_acquire(yoke_token **out, yoke_group handle)
{
    struct yoke__worker *w = yoke__self();
    *out = NULL;
    if (w == NULL)
        return -ENOTRECOVERABLE;
    int rc = yoke__handle_error(handle.block, handle.generation, w->rt);
    if (rc < 0)
        return rc;
    struct yoke__group *group = handle.block;
    bool member;
    if (yoke__load_relaxed(&group->scope.generation) != handle.generation)
        return -ESHUTDOWN;
    if (!yoke__group_admits(group, yoke__current(w), &member))
        return -EPERM;
    yoke_token *token = yoke__os_alloc(sizeof *token, sizeof(void *));
    if (token == NULL)
        return -ENOMEM;
    yoke__hold(w->rt);
    *token = (yoke_token){ .holders = 1, .references = 2, .held = true, .process = w->rt->process, .rt = w->rt, .group = group };
    yoke__lock_acquire(&group->lock);
    token->next = group->tokens;
    group->tokens = token;
    yoke__lock_release(&group->lock);
    *out = token;
    return 0;
}

int yoke__token_copy(yoke_token *token, yoke_token **out)
{
    yoke__add_relaxed(&token->holders, 1); /* the caller is one */
    *out = token;
    return 0;
}

static void drop_reference(yoke_token *token)
{
    if (yoke__sub_acq_rel(&token->references, 1) == 1) /* the last one frees what the others wrote */
        yoke__os_free(token);
}

/* True: the group, and so the runtime, stays until leave_gate(). */
static bool enter_gate(yoke_token *token)
{
    return (yoke__add_acq_rel(&token->gate, 1) & SHUT) == 0; /* pairs with yoke__post_shut() */
}

static void leave_gate(yoke_token *token)
{
    if (yoke__sub_acq_rel(&token->gate, 1) == (SHUT | 1)) /* pairs with yoke__post_shut() */
        yoke__os_futex_wake(&token->gate, 1);
}

void yoke_token_release(yoke_token *token)
{
    if (token == NULL || !yoke__process_is(token->process) || yoke__sub_acq_rel(&token->holders, 1) != 1) /* the last one drops what was held for all */
        return;
    if (enter_gate(token)) {
        token->held = false;
        yoke__unhold(token->rt);
    }
    leave_gate(token);
    drop_reference(token);
}

void yoke_token_scoped(yoke_token **token)
{
    yoke_token_release(*token);
}

void yoke__post_shut(struct yoke__group *group)
{
    while (group->tokens != NULL) { /* all children have ended: nobody acquires one any more */
        yoke_token *token = group->tokens;
        group->tokens = token->next;
        uint32_t gate = yoke__or_acq_rel(&token->gate, SHUT) | SHUT; /* pairs with leave_gate() and yoke_post() */
        while (gate != SHUT) {
            yoke__os_futex_wait(&token->gate, gate, UINT64_MAX); /* a post is a few instructions */
            gate = yoke__load_acquire(&token->gate);
        }
        if (token->held)
            yoke__unhold(token->rt);
        drop_reference(token);
    }
}

/* ---- posting ---------------------------------------------------------------------------------------------------------- */

int yoke_post(yoke_token *token, yoke_post_node *node, yoke_fn fn, void *arg)
{
    if (token == NULL || node == NULL || fn == NULL)
        return -EINVAL;
    if (!yoke__process_is(token->process))
        return -ENOTRECOVERABLE;
    /* A post that finds the gate shut touches the token only: a call holds a reference of its own for that. */
    yoke__add_relaxed(&token->references, 1);
    int rc = -ESHUTDOWN;
    if (enter_gate(token) && yoke__group_count_post(token->group)) {
        struct post *post = (struct post *)(void *)node;
        *post = (struct post){ .node = { .kind = YOKE__NODE_POST }, .group = token->group, .fn = fn, .arg = arg };
        yoke__runtime_post(token->rt, &post->node);
        rc = 0;
    }
    leave_gate(token);
    drop_reference(token);
    return rc;
}

struct yoke__group *yoke__post_group(struct yoke__node *node)
{
    return yoke__container(node, struct post, node)->group;
}

struct yoke__group *yoke__post_run(struct yoke__worker *w, struct yoke__node *node)
{
    const struct post post = *yoke__container(node, struct post, node); /* the node is the caller's again once fn is entered */
    struct yoke__task *task = yoke__task_new(w, 0);
    struct yoke__task frame; /* without memory the task lives here: posting cannot fail any more */
    if (task == NULL) {
        task = &frame;
        *task = (struct yoke__task){ .class = YOKE__TASK_FRAME, .flags = YOKE__TASK_OTHER };
    }
    yoke__task_init(task, post.fn, post.arg, post.group, "post", NULL);
    if (post.group->exact) {
        task->flags |= YOKE__TASK_EXACT;
        yoke__policy_take_post(post.group);
    }
    yoke__task_call(w, task);
    return post.group;
}

/* ---- calling ---------------------------------------------------------------------------------------------------------- */

struct call {
    yoke_post_node node;
    yoke_fn fn;
    void *arg;
    int result;
    uint32_t done; /* futex */
};

static int run_call(void *arg)
{
    struct call *call = arg;
    call->result = call->fn(call->arg);
    yoke__store_release(&call->done, 1); /* pairs with yoke_call() */
    yoke__os_futex_wake(&call->done, 1); /* the word may be gone by now: a wake on a stack address is harmless */
    return 0; /* the caller has the result; the group is not concerned */
}

int yoke_call(yoke_token *token, yoke_fn fn, void *arg)
{
    if (yoke__self() != NULL)
        return -EBUSY;
    if (fn == NULL)
        return -EINVAL;
    struct call call = { .fn = fn, .arg = arg };
    int rc = yoke_post(token, &call.node, run_call, &call);
    if (rc < 0)
        return rc;
    while (yoke__load_acquire(&call.done) == 0) /* pairs with run_call() */
        yoke__os_futex_wait(&call.done, 0, UINT64_MAX);
    return call.result;
}
