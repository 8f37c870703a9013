/*
 * yoke/detail/fast.h - the inlined part of fork, join, checkpoint and spawn. Not for use by name.
 *
 * It repeats the owner's fast path of the split deque (push and pop of the private part: no fence, no atomic read-modify-write),
 * and takes a task's block from the worker's magazine, so its layouts are part of the binary interface: yoke__fast_layout_1 is referenced by every user and defined by a library
 * with this very layout only, so that a mismatch fails at link time.
 */
#ifndef YOKE_DETAIL_FAST_H
#define YOKE_DETAIL_FAST_H

#include <yoke/base.h>
#include <yoke/detail/deque_layout.h>

YOKE_BEGIN_DECLS

struct yoke__strand_head;

/* The head of a scope; the last three are a group's. */
struct yoke__scope_head {
    uint64_t memo;   /* the cancel epoch at which this scope was last seen not cancelled in effect */
    uint64_t ticket; /* its generation, while a spawn by its owner needs no more than the inlined path looks at; else 0 */
    struct yoke__strand_head *owner;
    int64_t spawned; /* by its owner */
};

/* What a fork takes along: two words, copied as one. */
struct yoke__strand_head {
    struct yoke__scope_head *scope; /* innermost scope of this strand */
    struct yoke__strand_head *self;
};

/* Free blocks of one class: see executor/block.h. */
struct yoke__block_list {
    void **top, **end;            /* the next free slot of the magazine in use; past its last one */
    struct yoke__magazine *spare; /* either full or empty */
    bool spare_full;
};

enum { YOKE__FAST_CLASSES = 9 };
struct yoke__block_cache {
    struct yoke__block_list list[YOKE__FAST_CLASSES]; /* the first: tasks with small arguments */
};

/* The head of a task's block; the copied argument lies YOKE__FAST_TASK bytes from its begin. */
struct yoke__task_head {
    void *node[2];
    yoke_fn fn;
    void *arg;
    void *group;
    const char *name;
    const yoke_site *site;
};
enum { YOKE__FAST_TASK = 128, YOKE__FAST_ARGUMENT = 64 };

/* The head of a worker. */
struct yoke__head {
    struct yoke__deque deque;
    struct yoke__strand_head *strand; /* what runs on this worker now; never NULL while user code runs */
    uintptr_t stack_low;              /* below this address a call is made on a fresh stack */
    int64_t floor;                    /* forks from this index on are of the current strand and were begun under its current scope */
    const uint64_t *epoch;            /* the runtime's cancel epoch */
    const int32_t *parked;            /* how many workers sleep */
    uint64_t run_id;                  /* the runtime's */
    void *reserved[2];
    struct yoke__block_cache blocks;
};

/* A fork's descriptor, in the forking frame. Treat as opaque. */
typedef struct yoke_forked {
    yoke_fn fn;
    void *arg;
    struct yoke__strand_head from; /* scope and strand at the fork */
    uintptr_t state;               /* while queued: its index in the deque + 1; see executor/fork.c */
    void *failure;
    int result;
} yoke_forked;

/* What a deque's item is: a task; a fork whose argument is the descriptor itself; else a fork. */
enum { YOKE__FAST_TASK_TAG = 1, YOKE__FAST_TYPED = 2 };

YOKE_API void yoke__fast_fork_slow(yoke_forked *fork);
YOKE_API void yoke__fast_fork_late(void);
YOKE_API int yoke__fast_join_slow(yoke_forked *fork);
YOKE_API void yoke__fast_join_typed(yoke_forked *fork);
YOKE_API int yoke__fast_checkpoint_slow(void);
YOKE_API void yoke__fast_wake(void);
YOKE_API struct yoke__head *yoke__fast_self_call(void);
extern YOKE_API const char yoke__fast_layout_1;

/*
 * The head of the worker this code runs on; on other threads, one whose deque is always full and empty, so that everything takes the
 * slow path. A task can be on another thread after any call that may wait, so the address must be read anew each time: the volatile
 * asm keeps the compiler from reusing a thread-local address across a switch.
 */
#if defined(__x86_64__) && !defined(YOKE_NO_FAST_TLS)
extern YOKE_API __thread struct yoke__head *yoke__fast_head __attribute__((tls_model("initial-exec")));
static inline __attribute__((always_inline)) struct yoke__head *yoke__fast_self(void)
{
    struct yoke__head *head;
    __asm__ volatile("movq yoke__fast_head@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(head));
    return head;
}
#else
static inline struct yoke__head *yoke__fast_self(void) { return yoke__fast_self_call(); }
#endif

static inline __attribute__((always_inline)) bool yoke__fast_push(yoke_forked *f, uintptr_t tag)
{
    struct yoke__head *h = yoke__fast_self();
    struct yoke__deque *d = &h->deque;
    int64_t b = d->bottom;
    if (__builtin_expect(b >= __atomic_load_n(&d->room, __ATOMIC_RELAXED), 0)) /* pairs with yoke__deque_ask() in executor/deque.h */
        return false;
    __builtin_memcpy(&f->from, h->strand, sizeof f->from);
    f->state = (uintptr_t)b + 1;
    __atomic_store_n(&d->slots[b & d->mask], (void *)((uintptr_t)f + tag), __ATOMIC_RELAXED);
    __atomic_store_n(&d->bottom, b + 1, __ATOMIC_RELEASE); /* pairs with yoke__deque_raise() in executor/deque.c */
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the processor's half of this store-load pair is the membarrier in yoke__park() */
    if (__builtin_expect(__atomic_load_n(&d->room, __ATOMIC_RELAXED) < 0, 0)) /* asked in between; pairs with yoke__deque_ask() */
        yoke__fast_fork_late();
    return true;
}

static inline __attribute__((always_inline)) void yoke__fast_fork(yoke_forked *f, yoke_fn fn, void *arg)
{
    f->fn = fn;
    f->arg = arg;
    if (__builtin_expect(!yoke__fast_push(f, 0), 0))
        yoke__fast_fork_slow(f);
}

/* fn(f) */
static inline __attribute__((always_inline)) void yoke__fast_fork_typed(yoke_forked *f, yoke_fn fn)
{
    f->fn = fn;
    if (__builtin_expect(!yoke__fast_push(f, YOKE__FAST_TYPED), 0)) {
        f->arg = f;
        yoke__fast_fork_slow(f);
    }
}

/*
 * True: the fork was taken back and is to be called here and now. The index in the descriptor belongs to one deque of the runtime and to
 * this fork while nobody else has taken it, so bottom alone tells that the fork is next. That load of bottom is only compared, so that
 * the chain of stores and loads of bottom does not add up over forks.
 */
static inline __attribute__((always_inline)) bool yoke__fast_take(yoke_forked *f)
{
    struct yoke__head *h = yoke__fast_self();
    struct yoke__deque *d = &h->deque;
    int64_t b = (int64_t)__atomic_load_n(&f->state, __ATOMIC_RELAXED); /* index + 1; if not queued, a number that cannot fit */
    if (__builtin_expect(d->bottom != b || b <= h->floor || (uintptr_t)__builtin_frame_address(0) <= h->stack_low, 0))
        return false;
    __atomic_store_n(&d->bottom, b - 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the processor's half of this store-load pair is the raiser's membarrier */
    if (__builtin_expect((uint64_t)b * 4 - 1 >= __atomic_load_n(&d->split, __ATOMIC_RELAXED), 1))
        return true;
    __atomic_store_n(&d->bottom, b, __ATOMIC_RELEASE);
    return false;
}

static inline __attribute__((always_inline)) int yoke__fast_join(yoke_forked *f)
{
    if (__builtin_expect(yoke__fast_take(f), 1))
        return f->fn(f->arg);
    return yoke__fast_join_slow(f);
}

static inline __attribute__((always_inline)) int yoke__fast_join_scoped(yoke_forked *f)
{
    int rc = yoke__fast_join(f);
    f->fn = NULL;
    return rc;
}

/* Nothing that this worker has forked could be taken now, and somebody has asked for it, or nothing is left at all. Hints, all of them. */
static inline __attribute__((always_inline)) bool yoke__fast_wanted(void)
{
    const struct yoke__deque *d = &yoke__fast_self()->deque;
    int64_t top = __atomic_load_n(&d->top, __ATOMIC_RELAXED);
    if (top < (int64_t)(__atomic_load_n(&d->split, __ATOMIC_RELAXED) >> 2))
        return false;
    return d->bottom <= top || __atomic_load_n(&d->hungry, __ATOMIC_RELAXED) != 0; /* pairs with yoke__deque_ask() in executor/deque.h */
}

static inline __attribute__((always_inline)) int yoke__fast_checkpoint(void)
{
    struct yoke__head *h = yoke__fast_self();
    /* memo and epoch: pairs with yoke__scope_mark() in executor/scope.c */
    if (__builtin_expect(__atomic_load_n(&h->strand->scope->memo, __ATOMIC_RELAXED) == __atomic_load_n(h->epoch, __ATOMIC_ACQUIRE), 1))
        return 0;
    return yoke__fast_checkpoint_slow();
}

/*
 * True: the task was spawned. The common case, in which nothing has to be asked: the owner spawns into a group of its own that is not
 * cancelled and has no limit, and there are a block and room in the deque. `size` is a constant, so the copy is a few moves.
 */
static inline __attribute__((always_inline)) bool yoke__fast_spawn(struct yoke__scope_head *group, uint64_t generation, yoke_fn fn, const void *arg,
                                                                   size_t size, const char *name, const yoke_site *site)
{
    struct yoke__head *h = yoke__fast_self();
    struct yoke__deque *d = &h->deque;
    int64_t b = d->bottom;
    void **top = h->blocks.list[0].top;
    struct yoke__task_head *task;
    __asm__("" : "+r"(group)); /* a zeroed handle, known as such to the compiler, would make it warn of what comes behind the check */
    /*
     * The run first: of another one the group may be gone. The ticket may be stale, a moment after close: then the owner differs.
     * Memo and epoch: as in yoke__fast_checkpoint().
     */
    if (__builtin_expect(generation >> 40 != h->run_id || __atomic_load_n(&group->ticket, __ATOMIC_RELAXED) != generation ||
                             group->owner != h->strand || b >= d->limit || size > YOKE__FAST_ARGUMENT ||
                             __atomic_load_n(&group->memo, __ATOMIC_RELAXED) != __atomic_load_n(h->epoch, __ATOMIC_ACQUIRE) ||
                             (task = (struct yoke__task_head *)top[-1]) == NULL, 0))
        return false;
    h->blocks.list[0].top = top - 1;
    task->fn = fn;
    task->arg = (void *)(uintptr_t)arg;
    if (size > 0)
        task->arg = __builtin_memcpy((char *)task + YOKE__FAST_TASK, arg, size);
    task->group = group;
    task->name = name;
    task->site = site;
    group->spawned++;
    __atomic_store_n(&d->slots[b & d->mask], (void *)((uintptr_t)task + YOKE__FAST_TASK_TAG), __ATOMIC_RELAXED);
    __atomic_store_n(&d->bottom, b + 1, __ATOMIC_RELEASE);               /* pairs with yoke__deque_raise() */
    __atomic_store_n(&d->split, ((uint64_t)b + 1) << 2, __ATOMIC_RELEASE); /* public at once; pairs with yoke__deque_steal() */
    if (__builtin_expect(__atomic_load_n(h->parked, __ATOMIC_RELAXED) != 0, 0)) /* pairs with yoke__park() */
        yoke__fast_wake();
    return true;
}

static const char *const yoke__fast_layout __attribute__((used)) = &yoke__fast_layout_1;

YOKE_END_DECLS

#endif
