/* parallel.h - the work of the question `parallel`: the same numbers for all who compete, in C and C++. peers/rayon/parallel.rs repeats it. */
#ifndef YOKE_PERF_PARALLEL_H
#define YOKE_PERF_PARALLEL_H

#include <stdint.h>
#include <string.h>

#include "measure.h"

enum { ROUNDS = 3, WORD_MAX = 24 };

static inline uint32_t hash(uint32_t x) /* some 2 ns */
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

/* Of the whole array, in which each value counts with its place. */
static inline uint64_t digest(const uint32_t *v, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (i + 1) * (uint64_t)v[i];
    return sum;
}

static inline uint64_t squares(const uint32_t *v, size_t begin, size_t end)
{
    uint64_t sum = 0;
    for (size_t i = begin; i < end; i++)
        sum += (uint64_t)v[i] * v[i];
    return sum;
}

static inline uint32_t *numbers(size_t n)
{
    uint32_t *v = (uint32_t *)malloc(n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = hash((uint32_t)i + 1);
    return v;
}

/* Pointers to n words of 8 to 24 letters. */
static inline const char **words(size_t n)
{
    const char **v = (const char **)malloc(n * sizeof *v);
    char *at = (char *)malloc(n * (WORD_MAX + 1));
    for (size_t i = 0; i < n; i++) {
        size_t length = 8 + hash((uint32_t)i) % 17;
        v[i] = at;
        for (size_t k = 0; k < length; k++)
            *at++ = (char)('a' + hash((uint32_t)(i * 32 + k)) % 26);
        *at++ = '\0';
    }
    return v;
}

static inline void wrong(const char *what)
{
    fprintf(stderr, "%s: a wrong result\n", what);
    exit(1);
}

#endif
