/*
 * yoke/run.h - the one entry point: sets up workers, runs a main task, tears everything down.
 */
#ifndef YOKE_RUN_H
#define YOKE_RUN_H

#include <yoke/base.h>

YOKE_BEGIN_DECLS

typedef struct yoke_runtime yoke_runtime;

/*
 * Options. Every field may be left 0: then the environment (YOKE_*), the configuration file, and the built-in default decide, in
 * that order of strength; a field set here is stronger than all of them. A bad value makes yoke_run return -EINVAL after one line
 * to `report` that names the key and where it stood. In set-id programs environment and file are ignored, also a file named here, and
 * hwloc is "off" unless a field says "on". Initialise with YOKE_OPTIONS(...), which sets `size`.
 */
typedef struct yoke_options {
    size_t size;               /* sizeof(yoke_options) as the caller knows it */
    const char *name;          /* of this runtime, in reports and thread names; copied; default "yoke" */
    const char *config_file;   /* INI file to read; default the environment's YOKE_CONFIG; none if neither is set */
    int workers;               /* worker threads; default one per core this process may use (affinity, cgroup quota) */
    const char *bind;          /* "none" (default), "core", "pu", "numa", or a list such as "core:0-3,package:1.core:0" */
    const char *reactor_bind;  /* the same for the runtime's service threads; default "none" */
    size_t stack_size;         /* bytes of address space per stack, guard included; a power of two >= 32768; default 65536. Groups may ask
                                  for more: .stack_size in yoke/group.h */
    const char *guards;        /* "auto" (default), "light", "mprotect" or "none" */
    int64_t spin_ns;           /* how long an idle worker searches before it parks; default 50 us; -1: park at once */
    const char *steal_order;   /* "near" (default) or "random" */
    const char *membarrier;    /* feature switches: "on" (default) or "off"; off: the system call is never made */
    const char *slice;
    const char *hwloc;
    const char *io_uring;      /* also "on" where the kernel does not grant it: then each read is a system call of its own */
    int pool_files;            /* most threads for blocking jobs, per kind; defaults 16, 4 and 16 */
    int pool_names;
    int pool_user;
    int report_k;              /* failures a group keeps whole; default 64 */
    const char *debug;         /* "on": extra checks: misuse of forks, shields without deadline, cycles of waits, what a run does not give back */
    const char *migrate; /* "always": a task that was suspended goes on on another worker, if there is one and it is not pinned; default
                            "off" */
    const char *overflow_handler; /* "on": a stack overflow of a task is reported to stderr, with its name and where it was spawned,
                                     before the process aborts; other faults go to the handler that was there. Default "off" */
    const char *deadlock;      /* "on" (default): a run in which nothing can ever go on is ended with -EDEADLK; "off": it hangs */
    bool signals;              /* SIGINT, SIGTERM: the first stops the root scope, the second cancels it (-ECANCELED), the third has its default action */
    int64_t stop_grace;        /* ns that a stopped scope has before it is cancelled, if its own .grace does not say; default 5 s; -1: none */
    int64_t hard_after;        /* ns after that at which the tree is dumped to stderr and the process aborted; default 0: never */
    int64_t cleanup_grace;     /* ns a task's deferred functions may take together; default 5 s */
    void (*report)(void *ctx, const char *line); /* one line, no newline; any thread; must not block. Default: stderr */
    void *report_ctx;
} yoke_options;

#define YOKE_OPTIONS(...) (&(yoke_options){ .size = sizeof(yoke_options), __VA_ARGS__ })

/*
 * In the child of a fork(2) every call of the library gives -ENOTRECOVERABLE until the child has started a runtime of its own by one of the
 * two below. Tasks may fork; a task that returns in the child aborts it.
 */

/*
 * Runs `main` as the root task and waits, in the calling thread, until it and everything it started has ended; joins every thread,
 * releases everything, returns what main returned. A failing main is reported. `options` may be NULL.
 *
 * -EDEADLK: nothing was runnable, no timer armed, nothing awaited from outside (I/O, a signal, a blocking job), no token held, and yet
 * tasks were blocked. Each is reported with what it waits for; then the root scope is cancelled, and the result is this, whatever main
 * returns. If shielded waits remain even so, the process aborts with the report. options.deadlock = "off": none of this.
 *
 * Errors of its own (main was not entered): -EINVAL bad option or configuration; -ENOMEM, -EAGAIN and others as the system gave
 * them when start-up failed (undone); -EBUSY called inside a task. They too are reported. Blocks the calling thread. Runtimes on
 * several threads are independent of each other; another run afterwards works.
 */
YOKE_API YOKE_MUST_CHECK int yoke_run(yoke_fn main, void *arg, const yoke_options *options);

/*
 * The same beside the calling thread, for libraries: starts a runtime whose root task waits for work that threads bring through
 * tokens (yoke/post.h, yoke_runtime_token). *rt belongs to the caller until yoke_stop. Errors as yoke_run. Must not be called in
 * a task (-EBUSY).
 */
YOKE_API YOKE_MUST_CHECK int yoke_start(yoke_runtime **rt, const yoke_options *options);

/*
 * Cancels what still runs in `rt`, waits for it, joins every thread, releases everything. Blocks the calling thread. 0, or the
 * first failure of a task that a token started. -EBUSY in a task of any runtime; then nothing has happened.
 */
YOKE_API int yoke_stop(yoke_runtime *rt);

/* How many workers the current runtime has; -ENOTRECOVERABLE outside of a task. */
YOKE_API int yoke_workers(void);

/* The index of the worker this task runs on right now, 0 .. yoke_workers() - 1. It may have changed after any call that can wait. */
YOKE_API int yoke_worker_index(void);

/*
 * Writes the tree of groups and blocked tasks, with what each waits for and where, as text to `fd`; for debugging, any time. The
 * picture is taken while the others go on. "stack: at most USED KiB of SIZE" is what was ever touched, in pages, of the stack that a task is
 * on, by itself or by who had it before, and what can be used of it; pages that are swapped out may be missing. In a task of the runtime to show; -ENOTRECOVERABLE elsewhere, or the error of write(2).
 */
YOKE_API int yoke_dump(int fd);

/* The same for a started runtime, from any thread. */
YOKE_API int yoke_runtime_dump(yoke_runtime *rt, int fd);

YOKE_END_DECLS

#endif
