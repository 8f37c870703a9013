/*
 * yoke/base.h - what every public header stands on: visibility, source positions, misuse-proof attributes.
 *
 * Calling convention of the whole library: `>= 0` is success, `< 0` a negative errno. errno itself is never used to report.
 */
#ifndef YOKE_BASE_H
#define YOKE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define YOKE_VERSION_MAJOR 0
#define YOKE_VERSION_MINOR 1
#define YOKE_VERSION_PATCH 0

#define YOKE_API __attribute__((visibility("default")))
#define YOKE_MUST_CHECK __attribute__((warn_unused_result))
#define YOKE_PRINTF(text, first) __attribute__((format(printf, text, first)))

#ifdef __cplusplus
#define YOKE_BEGIN_DECLS extern "C" {
#define YOKE_END_DECLS }
#else
#define YOKE_BEGIN_DECLS
#define YOKE_END_DECLS
#endif

YOKE_BEGIN_DECLS

/* A place in the source. Objects of this type must have static storage duration: the library keeps pointers to them. */
typedef struct yoke_site {
    const char *file;
    const char *func;
    int line;
} yoke_site;

/* What a task, a fork, a posted function and a blocking job are: a negative result is a failure, as everywhere. */
typedef int (*yoke_fn)(void *arg);

YOKE_END_DECLS

#define YOKE__CAT_(a, b) a##b
#define YOKE__CAT(a, b) YOKE__CAT_(a, b)

/* YOKE_SITE: a pointer to the yoke_site of this very line (C only; C++ passes its own static object, or NULL). */
#define YOKE_SITE YOKE__SITE_(YOKE__CAT(yoke_site_, __COUNTER__))
#define YOKE__SITE_(name) (__extension__({ static const yoke_site name = { __FILE__, __func__, __LINE__ }; &name; }))

/* YOKE_SCOPED(type) name = ...: a pointer closed by `void type_scoped(type **)` on every way out of the block. */
#define YOKE_SCOPED(type) __attribute__((cleanup(type##_scoped))) type *

#endif
