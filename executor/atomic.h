/*
 * atomic.h - the one door to atomic operations.
 *
 * Plain types, GNU __atomic builtins: ThreadSanitizer sees them, C++ reads the same layouts, and a deterministic mode can
 * later turn each of them into a yield point here, in one place. The order is part of the name, so that a reader sees it at
 * the call; every use that is not seq_cst names its partner in a comment beside it.
 *
 * Concurrency Kit is used behind private headers of its own (its inline assembly is invisible to ThreadSanitizer).
 */
#ifndef YOKE_EXECUTOR_ATOMIC_H
#define YOKE_EXECUTOR_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "sanitizer.h"

#define yoke__load_relaxed(p)       __atomic_load_n((p), __ATOMIC_RELAXED)
#define yoke__load_acquire(p)       __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define yoke__load_seq(p)           __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define yoke__store_relaxed(p, v)   __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define yoke__store_release(p, v)   __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define yoke__store_seq(p, v)       __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define yoke__xchg_acq_rel(p, v)    __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define yoke__xchg_seq(p, v)        __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define yoke__add_relaxed(p, v)     __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define yoke__add_acq_rel(p, v)     __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define yoke__add_seq(p, v)         __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define yoke__sub_relaxed(p, v)     __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)
#define yoke__sub_acq_rel(p, v)     __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define yoke__sub_seq(p, v)         __atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST)
#define yoke__or_relaxed(p, v)      __atomic_fetch_or((p), (v), __ATOMIC_RELAXED)
#define yoke__or_acq_rel(p, v)      __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define yoke__or_seq(p, v)          __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define yoke__and_acq_rel(p, v)     __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)
#define yoke__and_seq(p, v)         __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)

/* Strong compare-exchange: *expected is updated on failure; a failed exchange orders like an acquire load. */
#define yoke__cas_acq_rel(p, expected, v) \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define yoke__cas_seq(p, expected, v) \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define yoke__cas_relaxed(p, expected, v) \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)

/* Keeps the compiler, not the processor, from moving memory accesses across it. */
#define yoke__compiler_barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* ThreadSanitizer mis-handles bare fences: prefer an order on an operation; this one is for store-load pairs that cannot have it. */
#ifdef YOKE__TSAN
#define yoke__fence_seq() (__extension__({ uint32_t word = 0; (void)__atomic_fetch_add(&word, 0, __ATOMIC_SEQ_CST); }))
#else
#define yoke__fence_seq() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

#endif
