/*
 * sum.h - what the parts of yoke-sum share.
 *
 *   walk.c, check.c   give the files, in the order in which they are to be printed
 *   hash.c            hashes batches of files in tasks
 *   output.c          prints the batches in their order, whatever the order in which they are done
 *   progress.c        the line on the terminal
 */
#ifndef YOKE_SUM_H
#define YOKE_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yoke/yoke.h>

enum { DIGEST_MAX = 64, BATCH_FILES = 64, BATCH_BYTES = 16 * 1024, BUFFER = 64 * 1024 };

/* Counted by everybody, read by the progress line and at the end. Atomic. */
struct totals {
    uint64_t files, bytes;             /* hashed so far */
    uint64_t expected_files, expected_bytes; /* by the scan ahead; 0 until it is through */
    uint64_t errors;                   /* lines on stderr */
    uint64_t mismatched, unreadable, malformed, checked; /* -c */
};
extern struct totals totals;

#define count(field, n) ((void)__atomic_fetch_add(&totals.field, (uint64_t)(n), __ATOMIC_RELAXED))
#define counted(field) __atomic_load_n(&totals.field, __ATOMIC_RELAXED)

/* One line "yoke-sum: NAME: text" on stderr, the name quoted as coreutils do; counted as an error. NAME may be NULL. */
void complain(const char *name, const char *text);
void complain_code(const char *name, int code);

/* ---- batches: some files that follow each other, hashed by one task ---- */

struct file {
    uint32_t name; /* offset in names */
    int error;     /* 0, or a negative errno */
    bool large;    /* more than one buffer: hashed by a task of its own */
    unsigned char digest[DIGEST_MAX];
    unsigned char expected[DIGEST_MAX]; /* -c */
};

struct batch {
    int files;
    uint32_t used; /* of names */
    bool check;
    uint32_t state; /* see output.c */
    struct file file[BATCH_FILES];
    char *names; /* BATCH_BYTES + one longest name */
    size_t room;
};

/* False: does not fit (an empty batch takes a name of any length). -c: `expected` is not NULL. */
bool batch_add(struct batch *batch, const char *name, size_t length, const unsigned char *expected);
static inline const char *batch_name(const struct batch *batch, int i)
{
    return batch->names + batch->file[i].name;
}

/* ---- hash.c ---- */

int hash_begin(const char *algorithm); /* 0, -EINVAL: no such algorithm, -ENOMEM */
void hash_end(void);
size_t hash_size(void); /* bytes of a digest */

/* Hashes all files of the batch; each file's error is in the file. -ECANCELED, or 0. */
int hash_batch(struct batch *batch);

/* ---- walk.c ---- */

struct walker;

/* The files below `paths`; quiet: somebody else complains of what cannot be read. NULL: out of memory. */
struct walker *walker_open(char *const *paths, int n, bool quiet);
/* The next file in byte order, valid until the next call: 1; 0: no more; a negative errno: -ECANCELED, -ENOMEM. Blocks the task only. */
int walker_next(struct walker *walker, const char **path, size_t *length);
void walker_close(struct walker *walker);

/* ---- check.c ---- */

struct checklist;

/* NULL: complained. "-" is the standard input. */
struct checklist *checklist_open(const char *path);
/* Fills the batch with the next lines: how many; a negative errno. Blocks the task only. */
int checklist_fill(struct checklist *list, struct batch *batch);
void checklist_close(struct checklist *list);

/* ---- output.c ---- */

int output_begin(void);
/* An empty batch to be filled; its place in the output is here. NULL: the window is full of batches not yet done: wait for them. */
struct batch *output_next(void);
/* The batch is done: it and those that wait for it are printed. Called by the task that hashed it. Blocks the task only. */
int output_done(struct batch *batch);
/* Prints the rest; 0, or the error of writing. */
int output_end(void);

/* ---- progress.c ---- */

struct progress_job {
    char *const *paths; /* NULL: nothing to scan ahead */
    int npaths;
};
/* A task: shows the line until it is cancelled. */
int progress_task(void *job);

#endif
