/*
 * idle.h - for tests that something does not happen: waits until nothing in this process can happen any more.
 *
 * until_idle() comes back when all other threads of the process sleep at once. Whoever is to be woken by then is not asleep: the kernel shows it as
 * runnable from the moment it is woken, whether it gets a processor or not. So what one thread sets another to do, as the last worker to fall
 * asleep sets the service thread to look for a deadlock, has been done to its end; only the kernel can make anything go on: a timer, a descriptor,
 * a signal, or the caller.
 *
 * How it is seen: two readings, one after the other, of all threads' states and numbers of voluntary switches (a thread counts one each time it
 * falls asleep): a thread that was asleep in both with the same number was so all the time between, and so all of them were at the end of
 * the first reading.
 */
#ifndef YOKE_TESTS_IDLE_H
#define YOKE_TESTS_IDLE_H

#include "support.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/syscall.h>

/* False: one does not sleep, or has just ended. Adds what tells its sleeps apart to `sum`. */
static bool thread_sleeps(long thread, uint64_t *sum)
{
    char path[64], line[128], state = '\0';
    uint64_t switches = 0, mixed;
    snprintf(path, sizeof path, "/proc/self/task/%ld/status", thread);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    while (fgets(line, sizeof line, f) != NULL) {
        (void)sscanf(line, "State: %c", &state);
        (void)sscanf(line, "voluntary_ctxt_switches: %" SCNu64, &switches);
    }
    fclose(f);
    mixed = (uint64_t)thread << 40 ^ switches;
    *sum += next_random(&mixed);
    return state == 'S';
}

static bool others_sleep(uint64_t *sum)
{
    long me = syscall(SYS_gettid);
    DIR *threads = opendir("/proc/self/task");
    bool all = threads != NULL;
    *sum = 0;
    for (struct dirent *entry; all && (entry = readdir(threads)) != NULL;) {
        long thread = atol(entry->d_name);
        all = thread <= 0 || thread == me || thread_sleeps(thread, sum);
    }
    if (threads != NULL)
        closedir(threads);
    return all;
}

/* Any thread that is no worker; one at a time: two would see each other awake. */
static void until_idle(void)
{
    uint64_t before, after;
    while (!others_sleep(&before) || !others_sleep(&after) || before != after)
        sched_yield();
}

#endif
