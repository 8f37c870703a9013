/*
 * nosuspend.h - blocks that must not be suspended. See nosuspend.c.
 */
#ifndef YOKE_EXECUTOR_NOSUSPEND_H
#define YOKE_EXECUTOR_NOSUSPEND_H

#include "core.h"

/* The worker is about to leave a stack on which a block is open. */
void yoke__nosuspend_report(struct yoke__worker *w, const char *what);

#endif
