/*
 * runtime.h - starting and ending a runtime; what it touches of its process beyond its own threads and memory.
 */
#ifndef YOKE_EXECUTOR_RUNTIME_H
#define YOKE_EXECUTOR_RUNTIME_H

#include "core.h"

/* dump.c: the tree as text; `patient` false: skips what is locked (a dying process). 0 or the error of write(2). */
int yoke__dump(struct yoke_runtime *rt, int fd, bool patient);

/* A report for each blocked task, of a runtime in which nothing runs: what it waits for, and who has that. */
void yoke__dump_blocked(struct yoke_runtime *rt, const char *prefix);

/* overflow.c: a handler for SIGSEGV in guards of this process' runtimes; installed for the first, taken away after the last. */
int yoke__overflow_install(void);
void yoke__overflow_remove(void);
/* An alternate signal stack for the calling thread, instead of the one it has. 0, or why there is none. Leaving takes *memory. */
int yoke__overflow_enter_thread(void **memory);
void yoke__overflow_leave_thread(void *memory);

/* signals.c: options.signals. One runtime at a time: -EBUSY. */
int yoke__signals_install(struct yoke_runtime *rt);
/* A worker has got the node of a signal. */
void yoke__signal_arrived(struct yoke_runtime *rt, const struct yoke__node *node);
void yoke__signals_remove(struct yoke_runtime *rt);

#endif
