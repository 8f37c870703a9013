/*
 * yoke/local.h - task-local values.
 *
 * Bindings are scoped: a value holds from the binding to the end of its block, in this task and in every child of a group opened
 * inside. Inheriting costs nothing. Slots belong to one task and are destroyed with it.
 */
#ifndef YOKE_LOCAL_H
#define YOKE_LOCAL_H

#include <yoke/base.h>
#include <yoke/scope.h>

YOKE_BEGIN_DECLS

/* A key for bindings: a static object; its address is its identity. */
typedef struct yoke_local {
    const char *name;
    void *fallback; /* what yoke_local_get gives where nothing is bound */
} yoke_local;

/* Binds a value from here to yoke_scope_close of the returned handle (a binding is a scope that only binds; errors as there). */
YOKE_API yoke_scope yoke_local_bind(const yoke_local *key, void *value);

/* The innermost value bound, in this task or where its group was opened; else key->fallback. Never blocks; O(bindings in force). */
YOKE_API void *yoke_local_get(const yoke_local *key);

/* A key for slots: a static object. `destroy` (may be NULL) runs in the task at its end, after its deferred functions; it may block. */
typedef struct yoke_slot {
    const char *name;
    void (*destroy)(void *value);
} yoke_slot;

/* Sets this task's value, replacing the earlier one without destroying it; NULL clears. -ENOMEM; -ENOTRECOVERABLE. Not for forks. */
YOKE_API YOKE_MUST_CHECK int yoke_slot_set(const yoke_slot *slot, void *value);
YOKE_API void *yoke_slot_get(const yoke_slot *slot);

YOKE_END_DECLS

/* YOKE_LOCAL(key_pointer, value): binds until the end of the block. */
#define YOKE_LOCAL(key, value) YOKE__LOCAL_(YOKE__CAT(yoke_local_, __COUNTER__), key, value)
#define YOKE__LOCAL_(id, key, value) \
    __attribute__((cleanup(yoke_scope_leave), unused)) yoke_scope id = yoke_local_bind((key), (value))

#endif
