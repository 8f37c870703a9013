/*
 * wheel.c - the timing wheel.
 *
 * Level l holds the timers whose tick first differs from wheel->tick in the l-th group of BITS bits; within a level a slot is that group
 * of bits, so it lies ahead of the wheel's own. The earliest timer is in the first occupied slot of the lowest occupied level. When
 * the wheel's tick enters a slot of a higher level, its timers are inserted anew and land lower.
 */
#include "wheel.h"

#include <string.h>

enum { MASK = YOKE__WHEEL_SLOTS - 1 };

static uint64_t tick_of(int64_t when)
{
    return when < 0 ? 0 : (uint64_t)when >> YOKE__WHEEL_TICK_BITS;
}

void yoke__wheel_init(struct yoke__wheel *wheel, int64_t now)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->tick = tick_of(now);
}

void yoke__wheel_insert(struct yoke__wheel *wheel, struct yoke__timer *timer)
{
    uint64_t tick = tick_of(timer->when);
    unsigned level = 0;
    if (tick <= wheel->tick)
        tick = wheel->tick; /* overdue: the current slot */
    else
        level = (63u - (unsigned)__builtin_clzll(tick ^ wheel->tick)) / YOKE__WHEEL_BITS;
    unsigned index = (unsigned)(tick >> (level * YOKE__WHEEL_BITS)) & MASK;
    struct yoke__wheel_slot *slot = &wheel->slots[level][index];
    timer->level = (uint16_t)level;
    timer->slot = (uint16_t)index;
    if (slot->first == NULL || timer->when < slot->earliest)
        slot->earliest = timer->when;
    timer->next = slot->first;
    timer->link = &slot->first;
    if (timer->next != NULL)
        timer->next->link = &timer->next;
    slot->first = timer;
    wheel->occupied[level] |= (uint64_t)1 << index;
}

void yoke__wheel_remove(struct yoke__wheel *wheel, struct yoke__timer *timer)
{
    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
    if (wheel->slots[timer->level][timer->slot].first == NULL)
        wheel->occupied[timer->level] &= ~((uint64_t)1 << timer->slot);
}

/* The first occupied slot; false: none. */
static bool first_slot(const struct yoke__wheel *wheel, unsigned *level, unsigned *index)
{
    for (unsigned l = 0; l < YOKE__WHEEL_LEVELS; l++)
        if (wheel->occupied[l] != 0) { /* slots behind the wheel's own are empty */
            *level = l;
            *index = (unsigned)__builtin_ctzll(wheel->occupied[l]);
            return true;
        }
    return false;
}

int64_t yoke__wheel_next(const struct yoke__wheel *wheel)
{
    unsigned level, index;
    return first_slot(wheel, &level, &index) ? wheel->slots[level][index].earliest : INT64_MAX;
}

/* Enters the slot: the wheel's tick becomes its first, its timers land lower. */
static void cascade(struct yoke__wheel *wheel, unsigned level, unsigned index)
{
    struct yoke__wheel_slot *slot = &wheel->slots[level][index];
    struct yoke__timer *timer = slot->first;
    unsigned shift = level * YOKE__WHEEL_BITS;
    slot->first = NULL;
    wheel->occupied[level] &= ~((uint64_t)1 << index);
    wheel->tick = ((wheel->tick >> shift & ~(uint64_t)MASK) | index) << shift;
    while (timer != NULL) {
        struct yoke__timer *next = timer->next;
        yoke__wheel_insert(wheel, timer);
        timer = next;
    }
}

static struct yoke__timer *due_in_slot(struct yoke__wheel *wheel, struct yoke__wheel_slot *slot, int64_t now)
{
    int64_t earliest = INT64_MAX;
    for (struct yoke__timer *timer = slot->first; timer != NULL; timer = timer->next) {
        if (timer->when <= now) {
            yoke__wheel_remove(wheel, timer);
            return timer;
        }
        if (timer->when < earliest)
            earliest = timer->when;
    }
    slot->earliest = earliest; /* exact now */
    return NULL;
}

struct yoke__timer *yoke__wheel_take_due(struct yoke__wheel *wheel, int64_t now)
{
    unsigned level, index;
    while (first_slot(wheel, &level, &index)) {
        struct yoke__wheel_slot *slot = &wheel->slots[level][index];
        if (level == 0) {
            uint64_t tick = (wheel->tick & ~(uint64_t)MASK) | index;
            if (slot->earliest > now)
                return NULL;
            if (tick > wheel->tick)
                wheel->tick = tick;
            return due_in_slot(wheel, slot, now);
        }
        if (slot->earliest > now)
            return NULL;
        cascade(wheel, level, index);
    }
    return NULL;
}
