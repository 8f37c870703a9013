/*
 * yoke/detail/fast.h - the inlined part of fork, join and checkpoint. Not for use by name.
 *
 * It repeats the owner's fast path of the split deque (push and pop of the private part: no fence, no atomic read-modify-write),
 * so its layouts are part of the binary interface: yoke__fast_layout_1 is referenced by every user and defined by a library
 * with this very layout only, so that a mismatch fails at link time.
 */
#ifndef YOKE_DETAIL_FAST_H
#define YOKE_DETAIL_FAST_H

#include <yoke/base.h>
#include <yoke/detail/deque_layout.h>

YOKE_BEGIN_DECLS

struct yoke__scope_head {
    uint64_t memo; /* the cancel epoch at which this scope was last seen not cancelled in effect */
};

struct yoke__strand_head {
    struct yoke__scope_head *scope; /* innermost scope of this strand */
};

/* The head of a worker. */
struct yoke__head {
    struct yoke__deque deque;
    struct yoke__strand_head *strand; /* what runs on this worker now; never NULL while user code runs */
    uintptr_t stack_low;              /* below this address a call is made on a fresh stack */
    const uint64_t *epoch;            /* the runtime's cancel epoch */
    void *reserved[5];
};

/* A fork's descriptor, in the forking frame. Treat as opaque. */
typedef struct yoke_forked {
    yoke_fn fn;
    void *arg;
    struct yoke__scope_head *scope;
    struct yoke__strand_head *strand;
    uintptr_t state; /* 0 queued; see executor/fork.c */
    void *failure;
    int result;
} yoke_forked;

YOKE_API void yoke__fast_fork_slow(yoke_forked *fork);
YOKE_API int yoke__fast_join_slow(yoke_forked *fork);
YOKE_API int yoke__fast_checkpoint_slow(void);
YOKE_API struct yoke__head *yoke__fast_self_call(void);
extern YOKE_API const char yoke__fast_layout_1;

/*
 * The worker this code runs on, or NULL. A task can be on another thread after any call that may wait, so the address must be read
 * anew each time: the volatile asm keeps the compiler from reusing a thread-local address across a switch.
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

static inline __attribute__((always_inline)) void yoke__fast_fork(yoke_forked *f, yoke_fn fn, void *arg)
{
    struct yoke__head *h = yoke__fast_self();
    f->fn = fn;
    f->arg = arg;
    f->state = 0;
    if (__builtin_expect(h != NULL, 1)) {
        struct yoke__deque *d = &h->deque;
        int64_t b = d->bottom;
        f->strand = h->strand;
        f->scope = h->strand->scope;
        /* hungry: pairs with yoke__deque_ask() in executor/deque.c; late sight is bounded by the raise */
        if (__builtin_expect(b < d->room && __atomic_load_n(&d->hungry, __ATOMIC_RELAXED) == 0, 1)) {
            __atomic_store_n(&d->slots[b & d->mask], (void *)f, __ATOMIC_RELAXED);
            __atomic_store_n(&d->bottom, b + 1, __ATOMIC_RELEASE); /* pairs with yoke__deque_raise() in executor/deque.c */
            return;
        }
    }
    yoke__fast_fork_slow(f);
}

/* True: the fork was taken back and is to be called here and now. */
static inline __attribute__((always_inline)) bool yoke__fast_join_take(yoke_forked *f)
{
    struct yoke__head *h = yoke__fast_self();
    if (__builtin_expect(h == NULL, 0))
        return false;
    struct yoke__deque *d = &h->deque;
    int64_t b = d->bottom - 1;
    __atomic_store_n(&d->bottom, b, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the processor's half of this store-load pair is the raiser's membarrier */
    if (__builtin_expect((uint64_t)b * 2 + 1 >= __atomic_load_n(&d->split, __ATOMIC_RELAXED) &&
                         __atomic_load_n(&d->slots[b & d->mask], __ATOMIC_RELAXED) == (void *)f &&
                         (uintptr_t)__builtin_frame_address(0) > h->stack_low && f->scope == h->strand->scope, 1))
        return true;
    __atomic_store_n(&d->bottom, b + 1, __ATOMIC_RELEASE);
    return false;
}

static inline __attribute__((always_inline)) int yoke__fast_join(yoke_forked *f)
{
    if (__builtin_expect(yoke__fast_join_take(f), 1))
        return f->fn(f->arg);
    return yoke__fast_join_slow(f);
}

static inline __attribute__((always_inline)) int yoke__fast_join_scoped(yoke_forked *f)
{
    int rc = yoke__fast_join(f);
    f->fn = NULL;
    return rc;
}

static inline __attribute__((always_inline)) void yoke__fast_join_typed(yoke_forked *f)
{
    if (yoke__fast_self() == NULL)
        f->fn(f->arg);
    else
        (void)yoke__fast_join_slow(f);
}

static inline __attribute__((always_inline)) int yoke__fast_checkpoint(void)
{
    struct yoke__head *h = yoke__fast_self();
    /* memo and epoch: pairs with yoke__scope_mark() in executor/scope.c */
    if (__builtin_expect(h != NULL && __atomic_load_n(&h->strand->scope->memo, __ATOMIC_RELAXED) ==
                                          __atomic_load_n(h->epoch, __ATOMIC_ACQUIRE), 1))
        return 0;
    return yoke__fast_checkpoint_slow();
}

static const char *const yoke__fast_layout __attribute__((used)) = &yoke__fast_layout_1;

YOKE_END_DECLS

#endif
