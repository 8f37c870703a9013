/*
 * sanitizer.h - which sanitizer this is compiled for: YOKE__ASAN, YOKE__TSAN; and what it is not to look at.
 */
#ifndef YOKE_EXECUTOR_SANITIZER_H
#define YOKE_EXECUTOR_SANITIZER_H

#ifdef __SANITIZE_ADDRESS__
#define YOKE__ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define YOKE__TSAN 1
#endif
#ifdef __has_feature /* Clang */
#if __has_feature(address_sanitizer) && !defined(YOKE__ASAN)
#define YOKE__ASAN 1
#endif
#if __has_feature(thread_sanitizer) && !defined(YOKE__TSAN)
#define YOKE__TSAN 1
#endif
#endif

/* Of a function that reads memory of which AddressSanitizer may say that nothing lies there. Not inlined: it would be checked there. */
#ifdef YOKE__ASAN
#define YOKE__UNCHECKED __attribute__((no_sanitize("address"), noinline))
#else
#define YOKE__UNCHECKED
#endif

#endif
