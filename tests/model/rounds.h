/*
 * rounds.h - for the models, run as threads: as many rounds as are asked for, or as half a minute has room for. They consist of short threads and
 * yields, each of which may take a whole turn of everybody else where the machine is busy.
 */
#ifndef YOKE_TESTS_ROUNDS_H
#define YOKE_TESTS_ROUNDS_H

#ifdef GENMC
#define another(round, most) ((round) < (most))
#else
#include <time.h>

static int another(int round, int most)
{
    static time_t end;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (round == 0)
        end = now.tv_sec + 30;
    return round < most && now.tv_sec < end;
}
#endif

#endif
