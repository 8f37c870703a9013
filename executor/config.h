/*
 * config.h - the effective settings of a runtime: options over environment (YOKE_*) over file over defaults.
 */
#ifndef YOKE_EXECUTOR_CONFIG_H
#define YOKE_EXECUTOR_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yoke/run.h>

#include "stack.h"

enum { YOKE__CONFIG_SPEC = 256, YOKE__CONFIG_ERROR = 512, YOKE__CONFIG_ORIGIN = 160 };

/* Every setting, in the order in which they are shown. */
enum yoke__setting {
    YOKE__SET_WORKERS,
    YOKE__SET_BIND,
    YOKE__SET_REACTOR_BIND,
    YOKE__SET_STACK_SIZE,
    YOKE__SET_GUARDS,
    YOKE__SET_SPIN,
    YOKE__SET_STEAL_ORDER,
    YOKE__SET_MEMBARRIER,
    YOKE__SET_SLICE,
    YOKE__SET_HWLOC,
    YOKE__SET_IO_URING,
    YOKE__SET_POOL_FILES,
    YOKE__SET_POOL_NAMES,
    YOKE__SET_POOL_USER,
    YOKE__SET_REPORT_K,
    YOKE__SET_STOP_GRACE,
    YOKE__SET_HARD_AFTER,
    YOKE__SET_DEBUG,
    YOKE__SET_MIGRATE,
    YOKE__SET_OVERFLOW_HANDLER,
    YOKE__SET_DEADLOCK,
    YOKE__SETTINGS
};

struct yoke__config {
    int64_t workers;
    char bind[YOKE__CONFIG_SPEC], reactor_bind[YOKE__CONFIG_SPEC];
    int64_t stack_size;
    int64_t guards; /* enum yoke__guards */
    int64_t spin_ns;
    int64_t steal_random;
    int64_t membarrier, slice, hwloc, io_uring;
    int64_t pool_files, pool_names, pool_user;
    int64_t report_k;
    int64_t stop_grace, hard_after;
    int64_t debug, migrate, overflow_handler, deadlock;
    bool show;
    /* where each came from, and why it is not in effect as asked ("": it is) */
    char origin[YOKE__SETTINGS][YOKE__CONFIG_ORIGIN];
    char note[YOKE__SETTINGS][YOKE__CONFIG_ORIGIN];
};

/* 0; -EINVAL or the error of reading the file, and a text that names the key and where it stood. */
int yoke__config_load(struct yoke__config *config, const yoke_options *options, char error[YOKE__CONFIG_ERROR]);

/* Why a setting could not be put into effect. */
void yoke__config_note(struct yoke__config *config, enum yoke__setting setting, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Calls line() for each setting: "key = value (origin; note)". */
void yoke__config_show(const struct yoke__config *config, void (*line)(void *ctx, const char *text), void *ctx);

#endif
