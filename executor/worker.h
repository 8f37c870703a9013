/*
 * worker.h - workers: the threads of the scheduler; with what the rest of the library needs of it: leaving stacks, making fibers runnable.
 */
#ifndef YOKE_EXECUTOR_WORKER_H
#define YOKE_EXECUTOR_WORKER_H

#include "core.h"
#include "park.h"
#include "runnable.h"
#include "suspend.h"

/* Memory for a worker, its deques and its first fiber. 0 or a negative errno, then nothing is left behind. */
int yoke__worker_create(struct yoke_runtime *rt, int index);
void yoke__worker_destroy(struct yoke__worker *w);

/* The thread's function. */
void *yoke__worker_main(void *worker);

#endif
