/*
 * yoke/fail.h - errors with a message and the way they took. A code is always enough; nothing is to free.
 */
#ifndef YOKE_FAIL_H
#define YOKE_FAIL_H

#include <yoke/base.h>

YOKE_BEGIN_DECLS

enum { YOKE_MESSAGE_MAX = 200, YOKE_HOPS_MAX = 16 };

/* What is known of one failure. Pointers stay valid as said by the call that filled it. */
typedef struct yoke_failure {
    int code;                /* negative errno */
    const char *message;     /* what yoke_fail said, or "" */
    const char *task;        /* name of the task that failed */
    uint64_t task_id;
    const yoke_site *site;   /* where that task was spawned; may be NULL */
    int hops;                /* how many of hop[] are known: first the place of the failure, then each YOKE_TRY it passed */
    int hops_lost;           /* further ones that were not kept */
    const yoke_site *hop[YOKE_HOPS_MAX];
} yoke_failure;

/*
 * Keeps a message (cut at YOKE_MESSAGE_MAX) and the place in the current task's slot, replacing an earlier one, and returns
 * `code`. If there is no memory for the slot, or outside of a task, only the code survives. Never blocks.
 * `code` >= 0 is returned unchanged and nothing is kept.
 */
YOKE_API int yoke_fail_at(const yoke_site *site, int code, const char *format, ...) YOKE_PRINTF(3, 4);

/* Records `site` as a hop of the error `rc` (< 0) in the current task's slot, and returns rc; rc >= 0 passes unrecorded. */
YOKE_API int yoke_hop(const yoke_site *site, int rc);

/* The message kept in the current task's slot for `code`, or "" if there is none. Valid until this task's next failure or end. */
YOKE_API const char *yoke_message(int code);

YOKE_END_DECLS

/* yoke_fail(code, "format", ...): see yoke_fail_at. */
#define yoke_fail(code, ...) yoke_fail_at(YOKE_SITE, (code), __VA_ARGS__)

/* YOKE_TRY(call): a negative result is returned from the enclosing function (as int) after its hop was recorded. */
#define YOKE_TRY(call) YOKE__TRY_(YOKE__CAT(yoke_rc_, __COUNTER__), call)
#define YOKE__TRY_(rc, call) \
    do { \
        int rc = (int)(call); \
        if (__builtin_expect(rc < 0, 0)) \
            return yoke_hop(YOKE_SITE, rc); \
    } while (0)

#endif
