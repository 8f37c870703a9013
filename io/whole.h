/*
 * whole.h - calls made of several: all of the bytes, or the first error and how far it came.
 */
#ifndef YOKE_IO_WHOLE_H
#define YOKE_IO_WHOLE_H

#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

#include "scope.h"

/* `some` moves at least one byte, or tells the end by 0. Inlined with it. A cancellation point even for no bytes. */
static inline __attribute__((always_inline)) int yoke__io_whole(ssize_t (*some)(void *handle, char *at, size_t size), void *handle, const void *data,
                                                                size_t size, size_t *done)
{
    char *at = (char *)(uintptr_t)data;
    size_t moved = 0;
    ssize_t rc = size > 0 ? 0 : yoke__fast_checkpoint();
    while (rc >= 0 && moved < size) {
        rc = some(handle, at + moved, size - moved);
        if (rc == 0)
            rc = -ENODATA;
        else if (rc > 0)
            moved += (size_t)rc;
    }
    if (done != NULL)
        *done = moved;
    return rc < 0 ? (int)rc : 0;
}

#endif
