/*
 * parallel CASE WORKERS N: for, reduce, scan, sort (numbers), sort-stable, words, words-stable; WORKERS 0: plain C. The first of the runs
 * is checked, the best of the others counts.
 */
#include <yoke/yoke.h>

#include "parallel.h"

#define YOKE_SORT sort_numbers
#define YOKE_SORT_TYPE uint32_t
#define YOKE_SORT_LESS(a, b, arg) (*(a) < *(b))
#include <yoke/sort.h>

#define YOKE_SORT sort_words
#define YOKE_SORT_TYPE const char *
#define YOKE_SORT_LESS(a, b, arg) (strcmp(*(a), *(b)) < 0)
#include <yoke/sort.h>

struct job {
    const char *what;
    int workers;
    size_t n;
    uint32_t *v, *out, *backup;
    const char **words, **backup_words;
    double best;
};

/* ---- bodies ---- */

static int fill(int64_t begin, int64_t end, void *arg)
{
    uint32_t *v = arg;
    for (int64_t i = begin; i < end; i++)
        v[i] = hash((uint32_t)i);
    return 0;
}

static int fold(int64_t begin, int64_t end, void *accumulator, void *arg)
{
    *(uint64_t *)accumulator += squares(arg, (size_t)begin, (size_t)end);
    return 0;
}

static int plus(void *left, void *right, void *arg)
{
    (void)arg;
    *(uint64_t *)left += *(uint64_t *)right;
    return 0;
}

static int scan(int64_t begin, int64_t end, void *accumulator, bool final, void *arg)
{
    struct job *job = arg;
    uint32_t sum = *(uint32_t *)accumulator;
    const uint32_t *v = job->v;
    uint32_t *out = job->out;
    if (final)
        for (int64_t i = begin; i < end; i++)
            out[i] = sum += v[i];
    else
        for (int64_t i = begin; i < end; i++)
            sum += v[i];
    *(uint32_t *)accumulator = sum;
    return 0;
}

static int plus_32(void *left, void *right, void *arg)
{
    (void)arg;
    *(uint32_t *)left += *(uint32_t *)right;
    return 0;
}

static int less_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int less_word(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* ---- cases: each run, and its check ---- */

static bool is(const struct job *job, const char *what)
{
    return strcmp(job->what, what) == 0;
}

static int run_once(struct job *job, uint64_t *result)
{
    int64_t n = (int64_t)job->n;
    uint32_t total = 0;
    bool plain = job->workers == 0;
    if (is(job, "for"))
        return plain ? fill(0, n, job->v) : yoke_parallel_for(0, n, fill, job->v, NULL);
    if (is(job, "reduce"))
        return plain ? fold(0, n, result, job->v) : yoke_parallel_reduce(0, n, fold, plus, job->v, result, sizeof *result, NULL);
    if (is(job, "reduce-same"))
        return yoke_parallel_reduce(0, n, fold, plus, job->v, result, sizeof *result, YOKE_PARALLEL(.reproducible = true));
    if (is(job, "scan"))
        return plain ? scan(0, n, &total, true, job) : yoke_parallel_scan(0, n, scan, plus_32, job, &total, sizeof total, NULL);
    if (is(job, "sort") && plain)
        qsort(job->v, job->n, sizeof *job->v, less_number);
    else if (is(job, "words") && plain)
        qsort(job->words, job->n, sizeof *job->words, less_word);
    else if (is(job, "sort"))
        return sort_numbers(job->v, job->n, NULL);
    else if (is(job, "sort-stable"))
        return sort_numbers_stable(job->v, job->n, NULL);
    else if (is(job, "words"))
        return sort_words(job->words, job->n, NULL);
    else if (is(job, "words-stable"))
        return sort_words_stable(job->words, job->n, NULL);
    return 0;
}

static void check_once(const struct job *job, uint64_t result)
{
    uint64_t sum = 0;
    uint32_t total = 0;
    bool good = true;
    if (is(job, "for"))
        for (size_t i = 0; i < job->n; i++)
            good &= job->v[i] == hash((uint32_t)i);
    else if (strncmp(job->what, "reduce", 6) == 0)
        good = result == squares(job->v, 0, job->n);
    else if (is(job, "scan"))
        for (size_t i = 0; i < job->n; i++)
            good &= job->out[i] == (total += job->v[i]);
    else if (job->words == NULL)
        for (size_t i = 0; i < job->n; i++) {
            good &= i == 0 || job->v[i - 1] <= job->v[i];
            sum += hash(job->v[i]) - (uint64_t)hash(job->backup[i]);
        }
    else
        for (size_t i = 0; i < job->n; i++) {
            good &= i == 0 || strcmp(job->words[i - 1], job->words[i]) <= 0;
            sum += (uintptr_t)job->words[i] - (uintptr_t)job->backup_words[i];
        }
    if (!good || sum != 0)
        wrong(job->what);
}

static int app(void *arg)
{
    struct job *job = arg;
    size_t bytes = job->n * sizeof *job->v, word_bytes = job->n * sizeof *job->words;
    if (strncmp(job->what, "words", 5) == 0) {
        job->words = words(job->n);
        job->backup_words = memcpy(malloc(word_bytes), job->words, word_bytes);
    } else {
        job->v = numbers(job->n);
        if (is(job, "scan"))
            job->out = memset(malloc(bytes), 0, bytes);
        if (strncmp(job->what, "sort", 4) == 0)
            job->backup = memcpy(malloc(bytes), job->v, bytes);
    }
    for (int round = 0; round <= ROUNDS; round++) {
        uint64_t result = 0;
        if (job->backup != NULL)
            memcpy(job->v, job->backup, bytes);
        if (job->words != NULL)
            memcpy(job->words, job->backup_words, word_bytes);
        double begin = now_ns();
        int rc = run_once(job, &result);
        double took = now_ns() - begin;
        if (rc < 0)
            return rc;
        if (round == 0)
            check_once(job, result);
        else if (round == 1 || took < job->best)
            job->best = took;
    }
    return 0;
}

int main(int argc, char **argv)
{
    char what[32], subject[32], *stable;
    struct job job = { .what = argc > 1 ? argv[1] : "for", .workers = number(argc, argv, 2, 1), .n = (size_t)number(argc, argv, 3, 1000000) };
    if ((job.workers == 0 ? app(&job) : yoke_run(app, &job, YOKE_OPTIONS(.workers = job.workers))) < 0)
        return 1;
    snprintf(what, sizeof what, "%s", job.what);
    if ((stable = strchr(what, '-')) != NULL)
        *stable = '\0';
    snprintf(subject, sizeof subject, "%s%s", job.workers == 0 ? "plain-C" : "yoke", job.what + strlen(what));
    snprintf(what + strlen(what), sizeof what - strlen(what), "-%d", job.workers == 0 ? 1 : job.workers);
    print_result(what, subject, job.best / 1e6, "ms");
    return 0;
}
