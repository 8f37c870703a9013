/*
 * support.h - for tests: checks that work inside tasks, reports kept for inspection, seeds.
 *
 * cmocka's assertions jump out of the test function and so must not be used on another stack or thread. Inside a task use
 * check(): it notes the first failures; run() asserts in the main thread that there were none.
 */
#ifndef YOKE_TESTS_SUPPORT_H
#define YOKE_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include <yoke/yoke.h>

#ifdef YOKE_FAULTS
#include "platform.h"
#endif

#pragma GCC diagnostic ignored "-Wunused-function"

#define load(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)

static int failed_checks;
static char first_failure[512];

static void note_failure(const char *file, int line, const char *text, long long got, long long want, int compared)
{
    if (add(&failed_checks, 1) > 0)
        return;
    if (compared)
        snprintf(first_failure, sizeof first_failure, "%s:%d: %s: is %lld, should be %lld", file, line, text, got, want);
    else
        snprintf(first_failure, sizeof first_failure, "%s:%d: %s is false", file, line, text);
}

#define check(condition) ((condition) ? (void)0 : note_failure(__FILE__, __LINE__, #condition, 0, 0, 0))
#define check_int(got, want) check_int_at(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))
static void check_int_at(const char *file, int line, const char *text, long long got, long long want)
{
    if (got != want)
        note_failure(file, line, text, got, want, 1);
}

static void assert_checks(void)
{
    if (load(&failed_checks) != 0) {
        int n = failed_checks;
        failed_checks = 0;
        fail_msg("%s (%d checks failed)", first_failure, n);
    }
}

/* ---- reports ---- */

static pthread_mutex_t reports_lock = PTHREAD_MUTEX_INITIALIZER;
static char reports[16384];

static void keep_report(void *ctx, const char *line)
{
    (void)ctx;
    pthread_mutex_lock(&reports_lock);
    size_t at = strlen(reports);
    snprintf(reports + at, sizeof reports - at, "%s\n", line);
    pthread_mutex_unlock(&reports_lock);
}

static int reported(const char *text)
{
    pthread_mutex_lock(&reports_lock);
    int found = strstr(reports, text) != NULL;
    pthread_mutex_unlock(&reports_lock);
    return found;
}

/* Every option a test gives goes through here. */
#define OPTIONS(...) YOKE_OPTIONS(.report = keep_report, __VA_ARGS__)

/* A test that is about what debug mode finds left at the end. */
static bool leaves_something;

/* Runs main_task on `workers` workers; fails the test if a check failed. */
static int run_with(yoke_fn main_task, void *arg, const yoke_options *options)
{
    reports[0] = '\0';
#ifdef YOKE_FAULTS
    struct yoke__os_taken before = yoke__os_taken();
#endif
    int rc = yoke_run(main_task, arg, options);
    assert_checks();
#ifdef YOKE_FAULTS /* all that a run takes it gives back, whatever failed in it */
    struct yoke__os_taken after = yoke__os_taken();
    if (after.pieces != before.pieces || after.bytes != before.bytes)
        fail_msg("not given back: %lld pieces of heap memory, %lld bytes of mappings", (long long)(after.pieces - before.pieces),
                 (long long)(after.bytes - before.bytes));
#endif
    if (!leaves_something && reported("not given back"))
        fail_msg("%s", reports);
    return rc;
}

static int run(int workers, yoke_fn main_task, void *arg)
{
    return run_with(main_task, arg, OPTIONS(.workers = workers));
}

/* ---- random numbers with a printed seed ---- */

static uint64_t seed_state;

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u); /* splitmix64 [Steele, Lea, Flood, OOPSLA 2014] */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* YOKE_TEST_SEED, or one of the clock's; printed, so that a failure can be repeated. */
static uint64_t seed(void)
{
    if (seed_state == 0) {
        const char *given = getenv("YOKE_TEST_SEED");
        seed_state = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)yoke_now();
        printf("seed: YOKE_TEST_SEED=%llu\n", (unsigned long long)seed_state);
    }
    return seed_state;
}

/* Repetitions of a race test: YOKE_TEST_REPEAT scales them (sanitizers and Valgrind are slow). */
static int repetitions(int full)
{
    const char *percent = getenv("YOKE_TEST_REPEAT");
    int n = percent != NULL ? (int)((long)full * atol(percent) / 100) : full;
    return n > 0 ? n : 1;
}

/* Yields a few times: a place for others to come in between. */
static void jitter(uint64_t *state)
{
    for (uint64_t n = next_random(state) % 4; n > 0; n--)
        if (yoke_yield() < 0)
            return;
}

#endif
