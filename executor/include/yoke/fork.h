/*
 * yoke/fork.h - fork/join: pieces of the current task that other workers may take.
 *
 * A fork is not a task: it has the task's identity and locals, runs under the scope that was current at the fork, and its result
 * goes to its join alone. The descriptor lives in the caller's frame; nothing is allocated. Join last forked first: then a fork
 * that nobody took costs little more than a call, made on the caller's own stack. A fork may block; cancelling a scope does not
 * remove its forks: they start, and meet the cancel at their next blocking call or yoke_checkpoint().
 *
 * Three forms:
 *
 *     yoke_forked f;                       // plain
 *     yoke_fork(&f, fn, arg);
 *     ...
 *     rc = yoke_join(&f);           // must happen before f's frame is left
 *
 *     YOKE_FORK(f, fn, arg);             // scoped: joined at the end of the block at the latest
 *     rc = YOKE_JOIN(f);
 *
 *     YOKE_FORK_DEFINE1(fib, long, long) // typed, the fastest: function and types known at both ends
 *     fib_fork f;
 *     fib_fork_begin(&f, n - 1);
 *     long y = fib(n - 2), x = fib_fork_join(&f);
 *
 * Source of the idea: Blumofe and Leiserson, "Scheduling multithreaded computations by work stealing", JACM 46 (1999); the split
 * deque: Dijk and van de Pol, "Lace: non-blocking split deque for work-stealing", MuCoCoS 2014.
 */
#ifndef YOKE_FORK_H
#define YOKE_FORK_H

#include <yoke/base.h>
#include <yoke/detail/fast.h>

YOKE_BEGIN_DECLS

/*
 * Makes fn(arg) available to other workers as a piece of this task. `fork` is the caller's and must stay valid until joined.
 * Never blocks, never fails: if the queue cannot grow, the join will run it. Not a cancellation point.
 */
YOKE_API void(yoke_fork)(yoke_forked *fork, yoke_fn fn, void *arg);

/*
 * Waits until the fork has run (or runs it here) and returns fn's result. Not a cancellation point, cannot be cut short; it may
 * resume on another thread. -ENOTRECOVERABLE outside of a task: then fn was not called.
 */
YOKE_API int(yoke_join)(yoke_forked *fork);

/*
 * Asks whether the current scope is cancelled: 0 or -ECANCELED. A cancellation point that never blocks, for long computations;
 * about 2 ns. -ENOTRECOVERABLE outside of a task.
 */
YOKE_API int(yoke_checkpoint)(void);

/*
 * Whether a fork would be welcome now: another worker looks for work, or this one has forked nothing that it could take; and nothing lies
 * open for it already. A hint for those who divide work as they go: fork if it is true, else go on alone, and ask again soon. Where
 * it stays true, a fork costs some 10 ns and is taken back at its join. About 1 ns; never blocks; not a cancellation point. True
 * outside of a task.
 */
YOKE_API bool(yoke_fork_wanted)(void);

/* For the scoped macro. */
YOKE_API void yoke_fork_leave(yoke_forked *fork);

YOKE_END_DECLS

#define yoke_fork(fork, fn, arg) yoke__fast_fork((fork), (fn), (arg))
#define yoke_join(fork) yoke__fast_join(fork)
#define yoke_checkpoint() yoke__fast_checkpoint()
#define yoke_fork_wanted() yoke__fast_wanted()

#define YOKE_FORK(name, fn, arg) \
    __attribute__((cleanup(yoke_fork_leave))) yoke_forked name; \
    yoke__fast_fork(&name, (fn), (arg))
#define YOKE_JOIN(name) yoke__fast_join_scoped(&(name))

/*
 * YOKE_FORK_DEFINEn(fn, result type, argument types...): for `result fn(arguments)`, declared before, defines
 *     fn_fork                                 the descriptor
 *     void   fn_fork_begin(fn_fork *, args)   fork
 *     result fn_fork_join(fn_fork *)          join
 * The result must not be void. Outside of a task the join just calls fn.
 */
#define YOKE_FORK_DEFINE1(fn, R, A) \
    typedef struct { yoke_forked fork; R result; A a; } fn##_fork; \
    static int fn##_fork_run(void *arg) { fn##_fork *f = (fn##_fork *)arg; f->result = fn(f->a); return 0; } \
    static inline __attribute__((always_inline, unused)) void fn##_fork_begin(fn##_fork *f, A a) \
    { f->a = a; yoke__fast_fork_typed(&f->fork, fn##_fork_run); } \
    static inline __attribute__((always_inline, unused)) R fn##_fork_join(fn##_fork *f) \
    { if (__builtin_expect(yoke__fast_take(&f->fork), 1)) return fn(f->a); yoke__fast_join_typed(&f->fork); return f->result; }
#define YOKE_FORK_DEFINE2(fn, R, A, B) \
    typedef struct { yoke_forked fork; R result; A a; B b; } fn##_fork; \
    static int fn##_fork_run(void *arg) { fn##_fork *f = (fn##_fork *)arg; f->result = fn(f->a, f->b); return 0; } \
    static inline __attribute__((always_inline, unused)) void fn##_fork_begin(fn##_fork *f, A a, B b) \
    { f->a = a; f->b = b; yoke__fast_fork_typed(&f->fork, fn##_fork_run); } \
    static inline __attribute__((always_inline, unused)) R fn##_fork_join(fn##_fork *f) \
    { if (__builtin_expect(yoke__fast_take(&f->fork), 1)) return fn(f->a, f->b); yoke__fast_join_typed(&f->fork); return f->result; }
#define YOKE_FORK_DEFINE3(fn, R, A, B, C) \
    typedef struct { yoke_forked fork; R result; A a; B b; C c; } fn##_fork; \
    static int fn##_fork_run(void *arg) { fn##_fork *f = (fn##_fork *)arg; f->result = fn(f->a, f->b, f->c); return 0; } \
    static inline __attribute__((always_inline, unused)) void fn##_fork_begin(fn##_fork *f, A a, B b, C c) \
    { f->a = a; f->b = b; f->c = c; yoke__fast_fork_typed(&f->fork, fn##_fork_run); } \
    static inline __attribute__((always_inline, unused)) R fn##_fork_join(fn##_fork *f) \
    { if (__builtin_expect(yoke__fast_take(&f->fork), 1)) return fn(f->a, f->b, f->c); yoke__fast_join_typed(&f->fork); return f->result; }
#define YOKE_FORK_DEFINE4(fn, R, A, B, C, D) \
    typedef struct { yoke_forked fork; R result; A a; B b; C c; D d; } fn##_fork; \
    static int fn##_fork_run(void *arg) { fn##_fork *f = (fn##_fork *)arg; f->result = fn(f->a, f->b, f->c, f->d); return 0; } \
    static inline __attribute__((always_inline, unused)) void fn##_fork_begin(fn##_fork *f, A a, B b, C c, D d) \
    { f->a = a; f->b = b; f->c = c; f->d = d; yoke__fast_fork_typed(&f->fork, fn##_fork_run); } \
    static inline __attribute__((always_inline, unused)) R fn##_fork_join(fn##_fork *f) \
    { if (__builtin_expect(yoke__fast_take(&f->fork), 1)) return fn(f->a, f->b, f->c, f->d); yoke__fast_join_typed(&f->fork); return f->result; }

#endif
