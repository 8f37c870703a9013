/*
 * progress.c - the line on the terminal: files, bytes, rate, and the time left once a scan ahead knows how much there is.
 */
#include "sum.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PERIOD_MS = 200 };

static void human(double bytes, char *out, size_t room)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    int unit = 0;
    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, room, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

struct sizes {
    const char *name;
    uint64_t bytes;
};

static int ask_size(void *arg)
{
    struct sizes *s = arg;
    struct stat st;
    s->bytes = lstat(s->name, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    return 0;
}

/* Walks the same tree ahead of the hashing. What cannot be read is told by the other walk. */
static int scan(void *arg)
{
    struct progress_job *job = *(struct progress_job **)arg;
    struct walker *walker = walker_open(job->paths, job->npaths, true);
    uint64_t files = 0, bytes = 0;
    const char *path;
    size_t length;
    int rc = walker == NULL ? -ENOMEM : 0;
    while (rc >= 0 && (rc = walker_next(walker, &path, &length)) > 0) {
        struct sizes s = { .name = path };
        (void)ask_size(&s);
        files++;
        bytes += s.bytes;
        if (files % 64 == 0)
            rc = yoke_yield();
    }
    if (walker != NULL)
        walker_close(walker);
    if (rc == 0) {
        __atomic_store_n(&totals.expected_files, files, __ATOMIC_RELAXED);
        __atomic_store_n(&totals.expected_bytes, bytes, __ATOMIC_RELEASE);
    }
    return rc;
}

static int show(void *arg)
{
    char line[256], done[32], rate[32];
    int64_t begin = yoke_now();
    yoke_interval tick;
    (void)arg;
    int rc = yoke_interval_init(&tick, YOKE_MS(PERIOD_MS), YOKE_SKIP);
    while (rc >= 0 && (rc = yoke_interval_next(&tick) < 0 ? -ECANCELED : 0) == 0) {
        uint64_t bytes = counted(bytes), expected = __atomic_load_n(&totals.expected_bytes, __ATOMIC_ACQUIRE);
        double seconds = (double)(yoke_now() - begin) / 1e9, speed = (double)bytes / seconds;
        human((double)bytes, done, sizeof done);
        human(speed, rate, sizeof rate);
        int n = snprintf(line, sizeof line, "\r\033[K%llu files, %s, %s/s", (unsigned long long)counted(files), done, rate);
        if (expected > bytes && speed > 0)
            n += snprintf(line + n, sizeof line - (size_t)n, ", %.0f%%, %.0f s left", 100.0 * (double)bytes / (double)expected,
                          (double)(expected - bytes) / speed);
        if (write(STDERR_FILENO, line, (size_t)n) < 0)
            break;
    }
    if (write(STDERR_FILENO, "\r\033[K", 4) < 0)
        return -EIO;
    return rc;
}

int progress_task(void *arg)
{
    struct progress_job *job = *(struct progress_job **)arg;
    YOKE_GROUP(g, .policy = YOKE_COLLECT, .name = "progress");
    int rc = yoke_spawn_ptr(g, show, NULL);
    if (rc == 0 && job->npaths > 0)
        rc = yoke_spawn(g, scan, struct progress_job *, job);
    return yoke_group_close(g, rc);
}
