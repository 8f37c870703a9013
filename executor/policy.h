/*
 * policy.h - what the end of a child means to its group: failures, successes, room, results. See policy.c.
 */
#ifndef YOKE_EXECUTOR_POLICY_H
#define YOKE_EXECUTOR_POLICY_H

#include "core.h"

/* False: options that contradict each other. */
bool yoke__policy_valid(const yoke_group_options *options);

/* True: no more than is so of every group. */
static inline bool yoke__policy_plain(const yoke_group_options *options)
{
    return options->policy == YOKE_ALL && (options->limit | options->need | options->stack_size) == 0 && !options->results && options->on_done == NULL;
}

/* Sets the policy's fields of a fresh group that is not a plain one. */
void yoke__policy_open(struct yoke__group *group, const yoke_group_options *options);

/* Of an exact group, for a child that is about to be spawned: 0, or -EAGAIN, -ECANCELED, -ENOMEM. `wait`: may block for room. */
int yoke__policy_take_room(struct yoke__group *group, bool wait);
/* It was not spawned after all. */
void yoke__policy_give_room(struct yoke__group *group);
/* A post does not wait for room, it takes it. */
void yoke__policy_take_post(struct yoke__group *group);

/* A child has ended that was cancelled: all that it leaves, unless the group is exact. Before it is counted as ended, by the same worker. */
void yoke__policy_cut(struct yoke__group *group, bool service);

/*
 * A child has ended that failed, or whose group is exact: recorded, policy carried out, before it is counted as ended. `strand` is the
 * child's, with nothing open. `neutral`: it returned -ECANCELED and was cancelled. True: block and `fail` are the group's now.
 */
bool yoke__policy_ended(struct yoke__strand *strand, struct yoke__task *task, int rc, struct yoke__fail *fail, bool neutral, bool service);

/* The body has ended with `rc`, and the owner is in close. */
void yoke__policy_body_slow(struct yoke_runtime *rt, struct yoke__group *group, int rc);
static inline void yoke__policy_body(struct yoke_runtime *rt, struct yoke__group *group, int rc)
{
    if (yoke__unlikely(rc < 0 || group->policy == YOKE_ANY))
        yoke__policy_body_slow(rt, group, rc);
}

/*
 * All children have ended: the table of close. Fills the report, if any; the owner inherits the way of the failure that is the result; the
 * records are freed.
 */
int yoke__policy_result_slow(struct yoke__strand *strand, struct yoke__group *group, int rc, yoke_group_report *report);
static inline int yoke__policy_result(struct yoke__strand *strand, struct yoke__group *group, int rc, yoke_group_report *report)
{
    /* nothing has failed, nothing was cut, there are no records */
    bool plain = (group->failed | group->cut | group->exact) == 0 && report == NULL && yoke__load_relaxed(&group->scope.cancel) == YOKE__CANCEL_NONE;
    return yoke__likely(plain) ? rc : yoke__policy_result_slow(strand, group, rc, report);
}

#endif
