/*
 * post.h - work from threads that are no workers. See post.c.
 */
#ifndef YOKE_EXECUTOR_POST_H
#define YOKE_EXECUTOR_POST_H

#include "core.h"

/* Runs a posted function as a task of its group, which is returned to be told of its end. */
struct yoke__group *yoke__post_run(struct yoke__worker *w, struct yoke__node *node);

/* The group of one that is to be run. */
struct yoke__group *yoke__post_group(struct yoke__node *node);

/* The group has ended: its tokens take nothing more. */
void yoke__post_shut(struct yoke__group *group);

/* Another reference to the same right; each is released on its own. Any thread. */
int yoke__token_copy(yoke_token *token, yoke_token **out);

#endif
