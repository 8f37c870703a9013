/* measure.h - a clock and a line of output for the programs that measure. */
#ifndef YOKE_PERF_MEASURE_H
#define YOKE_PERF_MEASURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* A line of /proc/self/status, such as "VmRSS:". */
static inline double kilobytes(const char *key)
{
    char line[256];
    double value = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, key, strlen(key)) == 0)
            value = atof(line + strlen(key));
    if (f != NULL)
        fclose(f);
    return value;
}

static inline void print_result(const char *what, const char *subject, double value, const char *unit)
{
    printf("%s\t%s\t%.4g\t%s\n", what, subject, value, unit);
}

static inline int number(int argc, char **argv, int i, int otherwise)
{
    return argc > i ? atoi(argv[i]) : otherwise;
}

/* fib(n) without cutoff makes fib(n + 1) - 1 forks. */
static inline double forks_of(int n)
{
    double a = 0, b = 1;
    for (int i = 0; i < n + 1; i++) {
        double c = a + b;
        a = b;
        b = c;
    }
    return a - 1;
}

#endif
