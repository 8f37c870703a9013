/*
 * wheel.h - a hierarchical timing wheel [G. Varghese, T. Lauck, "Hashed and hierarchical timing wheels", SOSP 1987].
 *
 * Arm and disarm are O(1); each timer moves down at most LEVELS times. Times are exact: the wheel sorts by ticks of 65.5 us, but
 * a timer is due when its own nanosecond has come, and every slot knows a lower bound of its times. Not locked: see timer.h.
 */
#ifndef YOKE_EXECUTOR_WHEEL_H
#define YOKE_EXECUTOR_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

struct yoke__timer_shard;

struct yoke__timer {
    struct yoke__timer *next, **link;
    int64_t when;                    /* absolute CLOCK_MONOTONIC, ns */
    struct yoke__timer_shard *shard; /* while armed; cleared after the callback */
    void (*fire)(struct yoke__timer *timer, void *batch);
    uint16_t level, slot;
};

#ifdef YOKE_SHRUNKEN
enum { YOKE__WHEEL_BITS = 3, YOKE__WHEEL_LEVELS = 16 };
#else
enum { YOKE__WHEEL_BITS = 6, YOKE__WHEEL_LEVELS = 8 };
#endif
enum { YOKE__WHEEL_SLOTS = 1 << YOKE__WHEEL_BITS, YOKE__WHEEL_TICK_BITS = 16 };

struct yoke__wheel {
    uint64_t tick; /* all earlier slots are empty */
    uint64_t occupied[YOKE__WHEEL_LEVELS];
    struct yoke__wheel_slot {
        struct yoke__timer *first;
        int64_t earliest; /* a lower bound of its timers' times */
    } slots[YOKE__WHEEL_LEVELS][YOKE__WHEEL_SLOTS];
};

void yoke__wheel_init(struct yoke__wheel *wheel, int64_t now);
void yoke__wheel_insert(struct yoke__wheel *wheel, struct yoke__timer *timer);
void yoke__wheel_remove(struct yoke__wheel *wheel, struct yoke__timer *timer);

/* A lower bound of the next time at which advance has something to do; INT64_MAX: empty. */
int64_t yoke__wheel_next(const struct yoke__wheel *wheel);

/* Takes out a timer that is due at `now`, or NULL. */
struct yoke__timer *yoke__wheel_take_due(struct yoke__wheel *wheel, int64_t now);

#endif
