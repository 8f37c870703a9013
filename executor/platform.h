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

/* All signals are blocked in the new thread. `name` is cut at 15 characters; stack_bytes 0: the system's default. */
int yoke__os_thread_start(pthread_t *thread, const char *name, size_t stack_bytes, void *(*fn)(void *), void *arg);
int yoke__os_thread_join(pthread_t thread);
int yoke__os_gettid(void);

/* The calling thread's processors. */
int yoke__os_affinity(cpu_set_t *set, size_t bytes);
int yoke__os_bind_self(const cpu_set_t *set, size_t bytes);

/* Asks the scheduler for short time slices for the calling thread (sched_setattr, SCHED_OTHER with a runtime; Linux >= 6.12). */
int yoke__os_sched_slice(uint64_t ns);
/* The calling thread's timers fire no later than necessary. */
int yoke__os_timerslack(uint64_t ns);

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
    YOKE__OS_CALLS
};

#ifdef YOKE_FAULTS
/* The nth call of that kind from now (1: the next) fails with `err` (> 0), or every call if nth is -1. */
void yoke__os_fault_set(enum yoke__os_call which, int nth, int err);
void yoke__os_fault_clear(void);
/* How often the kind was called since the last clear. */
int yoke__os_fault_count(enum yoke__os_call which);
#endif

#endif
