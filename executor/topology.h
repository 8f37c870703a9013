/*
 * topology.h - processors: how many a process may use, which of them a worker is bound to, who is near whom.
 *
 * hwloc does the work, and is loaded only when binding asks for it: that takes 3-14 ms.
 */
#ifndef YOKE_EXECUTOR_TOPOLOGY_H
#define YOKE_EXECUTOR_TOPOLOGY_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Syntax of a binding: none, core, pu, numa, or a list such as "core:0-3,package:1.core:0". 0, or -EINVAL and a text. */
int yoke__topology_check_spec(const char *spec, char *why, size_t cap);

/*
 * Processors this process may use: affinity mask, bounded by the CPU quota of its control group and of all ancestors, at least 1.
 * `root` is put before /proc and /sys (tests); NULL: "". `origin` says what decided.
 */
int yoke__topology_usable_cpus(const char *root, char *origin, size_t cap);

/* The quota alone, rounded up; 0: none. */
int yoke__topology_quota(const char *root);

struct yoke__plan {
    bool bound;
    cpu_set_t *sets; /* one per worker, if bound */
    int *victims;    /* per worker workers - 1 indices, near before far */
    int *levels;     /* per worker the ends of its equally near stretches, at most workers - 1 */
    int *nlevels;    /* per worker */
};

/*
 * Fills *plan for `workers` workers. `synthetic` NULL: this machine, restricted to the affinity mask; else an hwloc synthetic
 * description (tests). `use_hwloc` false: as if hwloc could not be loaded. 0; -EINVAL: an object that the machine does not have
 * (text in `why`); -ENOMEM; -ENOTSUP: binding asked for but no hwloc: then the plan is unbound and usable.
 */
int yoke__topology_plan(struct yoke__plan *plan, int workers, const char *bind, bool random_order, bool use_hwloc, const char *synthetic,
                        char *why, size_t cap);
void yoke__topology_free(struct yoke__plan *plan);

/* One set for all service threads, the union of what `bind` names. false in *bound: leave them alone. Errors as above. */
int yoke__topology_service(const char *bind, bool use_hwloc, cpu_set_t *set, bool *bound, char *why, size_t cap);

#endif
