/*
 * fail.h - failure slots: message and hops of a strand's last failure.
 */
#ifndef YOKE_EXECUTOR_FAIL_H
#define YOKE_EXECUTOR_FAIL_H

#include "core.h"

/* A slot for a task's failure, or NULL if there is no memory: then the code alone survives. */
struct yoke__fail *yoke__fail_new(struct yoke__worker *w, const struct yoke__task *task, int code);
void yoke__fail_free(struct yoke__worker *w, struct yoke__fail *fail);

/* Fills message and hops; fail may be NULL. */
void yoke__fail_describe(const struct yoke__fail *fail, yoke_failure *out);

/* Takes the strand's slot if it tells of `code`; drops a slot that tells of something else. */
struct yoke__fail *yoke__fail_take(struct yoke__worker *w, struct yoke__strand *strand, int code);

/* One line for a failure that nobody else will tell. `cancelled`: if that is why, its origin (yoke__scope_origin()), else "". */
void yoke__fail_report(struct yoke_runtime *rt, const struct yoke__task *task, int code, const struct yoke__fail *fail, const char *cancelled);

#endif
