/*
 * group.h - task groups: counting children, policy, the result of close. See group.c for the counting protocol.
 */
#ifndef YOKE_EXECUTOR_GROUP_H
#define YOKE_EXECUTOR_GROUP_H

#include "core.h"

/* The whole of closing, by the owner's strand, whose current scope is the group's: takes the body's result, waits, returns. */
int yoke__group_finish(struct yoke__group *group, int rc, yoke_group_report *report);

/* True if a strand of `task` may spawn into the group. *member: it is inside the group's tree and not its owner. */
bool yoke__group_admits(const struct yoke__group *group, struct yoke__strand *strand, bool *member);

/* Counts a child that `strand` is about to publish. */
void yoke__group_count_spawn(struct yoke__worker *w, struct yoke__group *group, struct yoke__strand *strand);
void yoke__group_uncount_spawn(struct yoke__worker *w, struct yoke__group *group, struct yoke__strand *strand);

/* For posts, which no member makes: counts a child unless the group has ended already. */
bool yoke__group_count_post(struct yoke__group *group);

/* Room in a group with limit: 0, or -EAGAIN, -ECANCELED, -ENOMEM. `wait`: may block. */
int yoke__group_take_room(struct yoke__group *group, bool wait);
void yoke__group_give_room(struct yoke__group *group);

/*
 * A child's result < 0: recorded, policy carried out. `neutral`: it is -ECANCELED and the child was cancelled. True: the task's block
 * and `fail` are kept by the group as the record. Before the child is counted as ended.
 */
bool yoke__group_child_failed(struct yoke_runtime *rt, struct yoke__group *group, struct yoke__task *task, int rc, struct yoke__fail *fail,
                              bool neutral);

/* Takes `n` ended children from the count; if they were the last, the owner's fiber is returned to be made ready. */
struct yoke__fiber *yoke__group_ended(struct yoke__group *group, int64_t n);

#endif
