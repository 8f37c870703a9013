/*
 * inbox.h - a queue that any thread and any signal handler pushes to and that is emptied as a whole.
 *
 * Concurrency Kit's ck_stack (push_upmc, batch_pop_upmc): pushes are lock-free, a batch pop is one exchange, so that there is no
 * ABA however many threads pop. A batch comes last in first out; yoke__inbox_take() turns it round. CK's inline assembly is
 * invisible to ThreadSanitizer, hence the annotations: push releases what take acquires, and CK's own store of the link, which comes
 * after that, is not looked at. (A suppression would do, until there is no descriptor left for the symbolizer.)
 *
 * Who may call: push - anyone, signal handlers included; take and empty - anyone who is allowed to consume.
 */
#ifndef YOKE_EXECUTOR_INBOX_H
#define YOKE_EXECUTOR_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h> /* before CK's headers, which need it */

#include <ck_stack.h>

#include "atomic.h"

#ifdef YOKE__TSAN
void __tsan_acquire(void *);
void __tsan_release(void *);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
#define yoke__inbox_tsan_acquire(p) __tsan_acquire(p)
#define yoke__inbox_tsan_release(p) (__tsan_release(p), AnnotateIgnoreWritesBegin(__FILE__, __LINE__))
#define yoke__inbox_tsan_released() AnnotateIgnoreWritesEnd(__FILE__, __LINE__)
#else
#define yoke__inbox_tsan_acquire(p) ((void)(p))
#define yoke__inbox_tsan_release(p) ((void)(p))
#define yoke__inbox_tsan_released() ((void)0)
#endif

/* What a node is; its user knows what struct it is embedded in. */
enum yoke__node_kind {
    YOKE__NODE_FIBER = 0,
    YOKE__NODE_TASK,
    YOKE__NODE_POST,
    YOKE__NODE_SERVICE,
    YOKE__NODE_SIGNAL,
    YOKE__NODE_FORK, /* forks are last; taken from a deque for a large stack */
    YOKE__NODE_FORK_TYPED,
    YOKE__NODE_FORK_DEEP /* its join waits, and has no room for it */
};

struct yoke__node {
    ck_stack_entry_t entry; /* first: a node is its entry */
    uintptr_t kind;         /* enum yoke__node_kind */
};

static inline bool yoke__node_is_fork(const struct yoke__node *node)
{
    return node->kind >= YOKE__NODE_FORK;
}

struct yoke__inbox {
    ck_stack_t stack;
};

static inline void yoke__inbox_init(struct yoke__inbox *inbox)
{
    ck_stack_init(&inbox->stack);
}

/* Full barrier (a locked compare-exchange): what follows may look for sleepers without a fence of its own. */
static inline void yoke__inbox_push(struct yoke__inbox *inbox, struct yoke__node *node)
{
    yoke__inbox_tsan_release(&inbox->stack);
    ck_stack_push_upmc(&inbox->stack, &node->entry);
    yoke__inbox_tsan_released();
}

static inline bool yoke__inbox_empty(struct yoke__inbox *inbox)
{
    return yoke__load_relaxed(&inbox->stack.head) == NULL;
}

/* The next of a batch. */
static inline struct yoke__node *yoke__node_next(struct yoke__node *node)
{
    return (struct yoke__node *)(void *)node->entry.next;
}

/* Everything pushed so far, first pushed first, or NULL. */
static inline struct yoke__node *yoke__inbox_take(struct yoke__inbox *inbox)
{
    if (yoke__inbox_empty(inbox))
        return NULL;
    ck_stack_entry_t *entry = ck_stack_batch_pop_upmc(&inbox->stack), *turned = NULL;
    yoke__inbox_tsan_acquire(&inbox->stack);
    while (entry != NULL) {
        ck_stack_entry_t *next = entry->next;
        entry->next = turned;
        turned = entry;
        entry = next;
    }
    return (struct yoke__node *)(void *)turned;
}

#endif
