/*
 * group.h - task groups: counting children, closing. See group.c for the counting protocol.
 */
#ifndef YOKE_EXECUTOR_GROUP_H
#define YOKE_EXECUTOR_GROUP_H

#include "run.h"

/* The whole of closing, by the owner's strand, whose current scope is the group's: takes the body's result, waits, returns. */
int yoke__group_finish(struct yoke__group *group, int rc, yoke_group_report *report);

/* True if a strand of `task` may spawn into the group. *member: it is inside the group's tree and not its owner. */
bool yoke__group_admits(const struct yoke__group *group, struct yoke__strand *strand, bool *member);

/* Counts a child that `strand` is about to publish. False: only services were left, and told to end. */
bool yoke__group_count_spawn(struct yoke__worker *w, struct yoke__group *group, struct yoke__strand *strand);
void yoke__group_uncount_spawn(struct yoke__worker *w, struct yoke__group *group, struct yoke__strand *strand);

/* The same for one that a child of the group spawns, which has had no service when that is looked at. */
static inline __attribute__((always_inline)) void yoke__group_count_beside(struct yoke__worker *w, struct yoke__group *group)
{
    enum { AHEAD = 64 }; /* children counted before they are spawned */
    yoke__worker_batch(w, group);
    w->batch_spawned++;
    if (w->batched == 0) {
        yoke__add_acq_rel(&group->live, AHEAD); /* pairs with yoke__group_ended() */
        w->batched = AHEAD;
    }
    w->batched--;
}

/* For posts, which no member makes: counts a child unless the group has ended already. */
bool yoke__group_count_post(struct yoke__group *group);

/* 0; or what a call says that is the owner's alone: -EINVAL, -EPERM, -ENOTRECOVERABLE, the error of a group that failed to open. */
int yoke__group_check_owner(yoke_group handle, struct yoke__worker *w);

/* Takes `n` ended children from the count; if nobody is left, the owner's fiber is returned to be made ready. */
struct yoke__fiber *yoke__group_ended(struct yoke_runtime *rt, struct yoke__group *group, int64_t n);
struct yoke__fiber *yoke__group_service_ended(struct yoke__group *group);

/* Which group, in words: for struct yoke__waited. */
void yoke__group_tell(const void *object, char *text, size_t size);

#endif
