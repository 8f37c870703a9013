/* resident.h - how much memory this process has, read without allocating, so that reading does not count. */
#ifndef YOKE_PERF_RESIDENT_H
#define YOKE_PERF_RESIDENT_H

#include <fcntl.h>
#include <unistd.h>

#include "measure.h"

struct memory { double all, alone; }; /* MiB; alone: what no other process shares */

static inline double mebibytes(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at == NULL ? 0 : (double)atol(at + strlen(key)) / 1024;
}

static inline struct memory memory_in_use(void)
{
    static char text[4096];
    int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0 || strstr(text, "\nRss:") == NULL) {
        fprintf(stderr, "no /proc/self/smaps_rollup\n");
        exit(1);
    }
    close(fd);
    text[n] = '\0';
    struct memory memory = { mebibytes(text, "\nRss:"), mebibytes(text, "\nPrivate_Clean:") + mebibytes(text, "\nPrivate_Dirty:") };
    return memory;
}

/* What has come since `before`, half a second from now, when all that starts has settled. */
static inline void print_resident(const char *subject, int workers, struct memory before)
{
    struct timespec settle = { 0, 500000000 };
    char what[32];
    nanosleep(&settle, NULL);
    struct memory after = memory_in_use();
    snprintf(what, sizeof what, "resident-%d", workers);
    print_result(what, subject, after.all - before.all, "MiB");
    snprintf(what, sizeof what, "private-%d", workers);
    print_result(what, subject, after.alone - before.alone, "MiB");
}

#endif
