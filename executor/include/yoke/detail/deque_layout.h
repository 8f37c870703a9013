/*
 * yoke/detail/deque_layout.h - the layout of a worker's deque, which the inlined fork and join use. See executor/deque.h.
 */
#ifndef YOKE_DETAIL_DEQUE_LAYOUT_H
#define YOKE_DETAIL_DEQUE_LAYOUT_H

#include <stdint.h>

struct yoke__deque {
    /* the owner's; it alone writes all but room and hungry */
    int64_t bottom; /* next free index */
    void **slots;   /* circular; the array's header lies before it */
    int64_t mask;   /* capacity - 1 */
    int64_t room;   /* a fork takes the slow path from this index on: `limit`, or INT64_MIN while somebody is hungry (thieves write it) */
    int64_t limit;  /* here the array is full */
    uint32_t hungry; /* somebody wants work; written by thieves, as `room` */
    char pad0[20];
    /* written by the owner and by thieves that want more; what a thief reads besides `top`, so that he leaves the owner's line alone */
    uint64_t split;   /* first private index << 2 | 0 settled, 1 being lowered by the owner, 2 being raised by a thief */
    void **stock;     /* `slots`, for thieves */
    uint32_t raising; /* try-lock among raising thieves */
    char pad1[44];
    /* written by whoever takes from the public part */
    int64_t top;
    char pad2[56];
    /* cold, the owner's */
    void *retired;      /* arrays that were outgrown */
    int64_t capacity;
    int64_t wanted;     /* public items with which the hungry have enough */
    uint32_t always_public, slow_only;
    char pad3[32];
} __attribute__((aligned(64)));

#endif
