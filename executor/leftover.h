/*
 * leftover.h - debug mode: what a run has taken and not given back.
 *
 * Everything a run takes comes from its runtime, and goes with it: so nothing leaks, but a block, a stack or a timer that nobody gave back before
 * would be missed by a run that lasts. At the end, when all threads have ended, everything is counted, and each kind of which something is
 * missing is reported by one line, "not given back: ...". (Heap memory that is lost a leak checker tells; descriptors io/ tells.)
 */
#ifndef YOKE_EXECUTOR_LEFTOVER_H
#define YOKE_EXECUTOR_LEFTOVER_H

#include "core.h"

/* No thread of the runtime runs any more. */
void yoke__leftover_tell(struct yoke_runtime *rt);

/* True if somebody should have taken one of these: any but a signal's that came too late, when nothing was to be done for it any more. */
bool yoke__leftover_among(struct yoke__node *first);

/* "not given back: COUNT WHAT", unless count is 0. */
void yoke__leftover(struct yoke_runtime *rt, int64_t count, const char *what);

#endif
