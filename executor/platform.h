/*
 * platform.h - the OS boundary: every mmap, thread, futex, clock, affinity and file access of the executor goes through here.
 *
 * Results are >= 0 or a negative errno, read before anything else can run; errno itself means nothing to callers. Built with
 * YOKE_FAULTS, each kind of call can be made to fail by tests.
 */
#ifndef YOKE_EXECUTOR_PLATFORM_H
#define YOKE_EXECUTOR_PLATFORM_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- memory ----------------------------------------------------------------------------------------------------------- */

size_t yoke__os_page_size(void);

/* Anonymous, private, zeroed, readable and writable; `flags` are added. NULL: *err tells. */
void *yoke__os_mmap(size_t bytes, int flags, int *err);
int yoke__os_munmap(void *at, size_t bytes);
int yoke__os_madvise(void *at, size_t bytes, int advice);
int yoke__os_mprotect(void *at, size_t bytes, int protection);
/* One byte per page into `vec`: bit 0 says resident. */
int yoke__os_mincore(void *at, size_t bytes, unsigned char *vec);

/* Heap; align a power of two. NULL: out of memory. Not zeroed. */
void *yoke__os_alloc(size_t bytes, size_t align);
void yoke__os_free(void *at);

/* ---- time and waiting --------------------------------------------------------------------------------------------------- */

/* CLOCK_MONOTONIC, ns. */
uint64_t yoke__os_now(void);

/*
 * Sleeps while *word == expected, until `deadline` (absolute CLOCK_MONOTONIC ns; UINT64_MAX: none). 0: woken, perhaps for nothing;
 * -EAGAIN: the word differs; -ETIMEDOUT; -EINTR.
 */
int yoke__os_futex_wait(uint32_t *word, uint32_t expected, uint64_t deadline);

/* Wakes up to n sleepers. Async-signal-safe. */
int yoke__os_futex_wake(uint32_t *word, int n);

/* A full memory barrier in every running thread of this process (membarrier(2), PRIVATE_EXPEDITED), once registered. */
int yoke__os_membarrier_register(void);
int yoke__os_membarrier(void);

/* ---- threads ---------------------------------------------------------------------------------------------------------- */

/*
 * All signals are blocked in the new thread but those that tell of a fault of its own: the kernel kills a process whose thread blocks them,
 * past every handler. `name` is cut at 15 characters; stack_bytes 0: the system's default.
 */
int yoke__os_thread_start(pthread_t *thread, const char *name, size_t stack_bytes, void *(*fn)(void *), void *arg);
int yoke__os_thread_join(pthread_t thread);
/* In the child of a fork: gives the one thread the signal mask of who had started it, if it was one of these. */
void yoke__os_thread_disown(void);
/* Handlers of fork(2): before it, after it in the parent, in the child. For good. */
int yoke__os_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void));
int yoke__os_gettid(void);

/* The calling thread's processors. */
int yoke__os_affinity(cpu_set_t *set, size_t bytes);
int yoke__os_bind_self(const cpu_set_t *set, size_t bytes);

/* The processor that the calling thread runs on now; negative: it cannot be told. */
int yoke__os_cpu(void);

/* Asks the scheduler for short time slices for the calling thread (sched_setattr, SCHED_OTHER with a runtime; Linux >= 6.12). */
int yoke__os_sched_slice(uint64_t ns);
/* The calling thread's timers fire no later than necessary. */
int yoke__os_timerslack(uint64_t ns);

/* ---- signals ---------------------------------------------------------------------------------------------------------- */

/* sigaction(2), sigaltstack(2); what is NULL is not set or not told. */
int yoke__os_signal_action(int signal, const struct sigaction *action, struct sigaction *before);
int yoke__os_signal_stack(const stack_t *stack, stack_t *before);
/* In the calling thread. */
void yoke__os_signal_unblock(int signal);
/* Sends the calling thread a signal with all that `info` tells. Async-signal-safe. */
int yoke__os_signal_again(int signal, siginfo_t *info);

/* ---- files and environment -------------------------------------------------------------------------------------------- */

/* Reads up to cap - 1 bytes and ends them with 0; the number of bytes. */
int yoke__os_read_file(const char *path, char *buffer, size_t cap);

/* All of it, as far as write(2) takes it. Async-signal-safe. */
int yoke__os_write(int fd, const void *data, size_t bytes);

/* NULL in set-id programs. */
const char *yoke__os_getenv(const char *name);

/* True if the program runs with more rights than its caller. */
bool yoke__os_setid(void);

/* ---- broken invariants ------------------------------------------------------------------------------------------------ */

/* Set once, by the first runtime: dumps the tree before the process aborts. */
extern void (*yoke__panic_hook)(void);

/* One line to stderr that names the invariant, the hook, abort(). */
_Noreturn void yoke__panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- injected faults -------------------------------------------------------------------------------------------------- */

enum yoke__os_call {
    YOKE__OS_MMAP,
    YOKE__OS_MUNMAP,
    YOKE__OS_MADVISE,
    YOKE__OS_MPROTECT,
    YOKE__OS_ALLOC,
    YOKE__OS_MEMBARRIER,
    YOKE__OS_THREAD,
    YOKE__OS_BIND,
    YOKE__OS_SLICE,
    YOKE__OS_READ,
    YOKE__OS_SIGNAL_ACTION,
    YOKE__OS_SIGNAL_STACK,
    YOKE__OS_SETID, /* "fails": the program is taken for a set-id one */
    /* of io/os.h */
    YOKE__OS_EPOLL,
    YOKE__OS_EPOLL_CONTROL,
    YOKE__OS_EPOLL_WAIT,
    YOKE__OS_EVENTFD,
    YOKE__OS_URING,
    YOKE__OS_URING_MAP,
    YOKE__OS_URING_ENTER,
    YOKE__OS_SOCKET,
    YOKE__OS_BIND_ADDRESS,
    YOKE__OS_LISTEN,
    YOKE__OS_ACCEPT,
    YOKE__OS_CONNECT,
    YOKE__OS_CONNECT_ERROR,
    YOKE__OS_SOCKET_OPTION,
    YOKE__OS_SOCKET_NAME,
    YOKE__OS_LOOK_UP,
    YOKE__OS_SHUTDOWN,
    YOKE__OS_CLOSE, /* and is made all the same */
    YOKE__OS_FCNTL,
    YOKE__OS_TERMINAL_KIND,
    YOKE__OS_READINESS,
    YOKE__OS_OPEN,
    YOKE__OS_STAT,
    YOKE__OS_FSYNC,
    YOKE__OS_READ_BYTES,
    YOKE__OS_WRITE_BYTES,
    YOKE__OS_CALLS
};

#ifdef YOKE_FAULTS
/*
 * The nth call of that kind from now (1: the next) fails with `err` (> 0), or every call if nth is -1. For the calls that move bytes err < 0
 * is a short count: at most -err bytes.
 */
void yoke__os_fault_set(enum yoke__os_call which, int nth, int err);
void yoke__os_fault_clear(void);
/* What the call is to fail with; 0: nothing. For the boundary itself. */
int yoke__os_fault(enum yoke__os_call which);
/* How often the kind was called since the last clear. */
int yoke__os_fault_count(enum yoke__os_call which);
/* What was taken and not given back: pieces of heap memory, bytes of mappings. */
struct yoke__os_taken {
    int64_t pieces, bytes;
};
struct yoke__os_taken yoke__os_taken(void);
#endif

#endif
