/*
 * output.c - results in their order, in bounded memory.
 *
 * A ring of batches. The walker takes the next place, fills it, and a task hashes it; a place is free again when it has been printed.
 *   FREE -> FILLING -> DONE -> FREE
 * Who finishes a batch prints: it and all DONE ones that follow the last printed. Only one task prints at a time; a second one leaves
 * its batch to it. The printer gives up the right to print and then looks once more, so that no batch is left behind: a finisher
 * stores DONE and then tries for the right (both seq_cst).
 */
#include "sum.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WINDOW = 128, FLUSH = 64 * 1024 };
enum { FREE = 0, FILLING, DONE };

struct totals totals;

static struct batch ring[WINDOW];
static uint64_t taken, printed; /* batches; the walker's; the printer's */
static uint32_t printing;       /* the right to print */
static char *text;
static size_t used, room;
static bool may_block; /* stdout is no regular file */
static int write_error;

int output_begin(void)
{
    struct stat st;
    may_block = fstat(STDOUT_FILENO, &st) < 0 || !S_ISREG(st.st_mode);
    room = 2 * (size_t)FLUSH;
    text = malloc(room);
    for (int i = 0; text != NULL && i < WINDOW; i++) {
        ring[i].room = BATCH_BYTES;
        ring[i].names = malloc(ring[i].room);
        if (ring[i].names == NULL)
            return -ENOMEM;
    }
    return text != NULL ? 0 : -ENOMEM;
}

bool batch_add(struct batch *batch, const char *name, size_t length, const unsigned char *expected)
{
    if (batch->files == BATCH_FILES || (batch->files > 0 && batch->used + length + 1 > BATCH_BYTES))
        return false;
    if (batch->used + length + 1 > batch->room) {
        char *more = realloc(batch->names, batch->used + length + 1);
        if (more == NULL)
            return false;
        batch->names = more;
        batch->room = batch->used + length + 1;
    }
    struct file *file = &batch->file[batch->files++];
    file->name = batch->used;
    file->error = 0;
    file->large = false;
    memcpy(batch->names + batch->used, name, length);
    batch->names[batch->used + length] = '\0';
    batch->used += (uint32_t)length + 1;
    if (expected != NULL)
        memcpy(file->expected, expected, hash_size());
    batch->check = expected != NULL;
    return true;
}

struct batch *output_next(void)
{
    struct batch *batch = &ring[taken % WINDOW];
    if (__atomic_load_n(&batch->state, __ATOMIC_SEQ_CST) != FREE)
        return NULL;
    taken++;
    batch->files = 0;
    batch->used = 0;
    batch->check = false;
    __atomic_store_n(&batch->state, FILLING, __ATOMIC_SEQ_CST);
    return batch;
}

/* ---- text ---- */

static int write_all(void *unused)
{
    size_t done = 0;
    (void)unused;
    while (done < used) {
        ssize_t n = write(STDOUT_FILENO, text + done, used - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

static void flush(void)
{
    if (used > 0 && write_error == 0) {
        int rc = -ECANCELED;
        if (may_block)
            rc = yoke_blocking(write_all, NULL);
        if (!may_block || rc == -EAGAIN || rc == -ENOMEM) /* no thread to be had: this one, then */
            rc = write_all(NULL);
        if (rc < 0 && rc != -ECANCELED)
            __atomic_store_n(&write_error, rc, __ATOMIC_RELAXED); /* others look at it who do not print: output_done() */
    }
    used = 0;
}

static void put(const char *bytes, size_t n)
{
    if (used + n > room)
        flush();
    if (n > room) { /* one longer than all: piece by piece */
        while (n > 0) {
            size_t part = n < room ? n : room;
            memcpy(text, bytes, part);
            used = part;
            flush();
            bytes += part;
            n -= part;
        }
        return;
    }
    memcpy(text + used, bytes, n);
    used += n;
}

/* As sha256sum: a backslash before the line, and \\ \n \r in the name, if it has any of those. */
static bool needs_escape(const char *name)
{
    return strpbrk(name, "\\\n\r") != NULL;
}

static void put_name(const char *name)
{
    if (!needs_escape(name)) {
        put(name, strlen(name));
        return;
    }
    for (; *name != '\0'; name++) {
        const char *as = *name == '\\' ? "\\\\" : *name == '\n' ? "\\n" : *name == '\r' ? "\\r" : NULL;
        if (as != NULL)
            put(as, 2);
        else
            put(name, 1);
    }
}

static void put_sum(const struct batch *batch, const struct file *file)
{
    static const char digits[] = "0123456789abcdef";
    const char *name = batch->names + file->name;
    char hex[2 * DIGEST_MAX];
    size_t n = hash_size();
    for (size_t i = 0; i < n; i++) {
        hex[2 * i] = digits[file->digest[i] >> 4];
        hex[2 * i + 1] = digits[file->digest[i] & 15];
    }
    if (needs_escape(name))
        put("\\", 1);
    put(hex, 2 * n);
    put("  ", 2);
    put_name(name);
    put("\n", 1);
}

static void put_verdict(const struct batch *batch, const struct file *file)
{
    const char *name = batch->names + file->name, *verdict = ": OK\n";
    count(checked, 1);
    if (file->error < 0) {
        verdict = ": FAILED open or read\n";
        count(unreadable, 1);
    } else if (memcmp(file->digest, file->expected, hash_size()) != 0) {
        verdict = ": FAILED\n";
        count(mismatched, 1);
    }
    if (strchr(name, '\n') != NULL) { /* here sha256sum escapes names with newlines only */
        put("\\", 1);
        put_name(name);
    } else {
        put(name, strlen(name));
    }
    put(verdict, strlen(verdict));
}

static void print(const struct batch *batch)
{
    for (int i = 0; i < batch->files; i++) {
        const struct file *file = &batch->file[i];
        if (file->error < 0)
            complain_code(batch_name(batch, i), file->error);
        if (batch->check)
            put_verdict(batch, file);
        else if (file->error == 0)
            put_sum(batch, file);
    }
    if (used >= FLUSH)
        flush();
}

static struct batch *next_done(void)
{
    struct batch *batch = &ring[printed % WINDOW];
    return __atomic_load_n(&batch->state, __ATOMIC_SEQ_CST) == DONE ? batch : NULL;
}

/* Prints what can be printed, unless another task is at it. */
static void print_ready(void)
{
    for (;;) {
        uint32_t nobody = 0;
        if (!__atomic_compare_exchange_n(&printing, &nobody, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return;
        struct batch *batch;
        while ((batch = next_done()) != NULL) {
            print(batch);
            printed++;
            __atomic_store_n(&batch->state, FREE, __ATOMIC_SEQ_CST);
        }
        uint64_t at = printed;
        __atomic_store_n(&printing, 0, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&ring[at % WINDOW].state, __ATOMIC_SEQ_CST) != DONE)
            return;
    }
}

int output_done(struct batch *batch)
{
    __atomic_store_n(&batch->state, DONE, __ATOMIC_SEQ_CST);
    print_ready();
    return __atomic_load_n(&write_error, __ATOMIC_RELAXED);
}

int output_end(void)
{
    print_ready();
    flush();
    for (int i = 0; i < WINDOW; i++)
        free(ring[i].names);
    free(text);
    text = NULL;
    return write_error;
}

/* ---- complaints ---- */

/* Quoted as coreutils quote: only if a shell would need it. */
static void quote(FILE *to, const char *name)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=,./-^~";
    bool inside = true;
    if (*name != '\0' && name[strspn(name, plain)] == '\0') {
        fputs(name, to);
        return;
    }
    fputc('\'', to);
    for (; *name != '\0'; name++) {
        unsigned char c = (unsigned char)*name;
        bool control = c < 32 || c == 127;
        if (control && inside)
            fputs("'$'", to);
        else if (!control && !inside)
            fputs("''", to);
        inside = !control;
        if (c == '\n')
            fputs("\\n", to);
        else if (c == '\t')
            fputs("\\t", to);
        else if (c == '\r')
            fputs("\\r", to);
        else if (control)
            fprintf(to, "\\%03o", c);
        else if (c == '\'')
            fputs("'\\''", to);
        else
            fputc(c, to);
    }
    fputc('\'', to);
}

void complain(const char *name, const char *what)
{
    char *line = NULL;
    size_t length = 0;
    FILE *to = open_memstream(&line, &length);
    count(errors, 1);
    if (to == NULL)
        return;
    fputs("yoke-sum: ", to);
    if (name != NULL) {
        quote(to, name);
        fputs(": ", to);
    }
    fprintf(to, "%s\n", what);
    if (fclose(to) == 0 && write(STDERR_FILENO, line, length) < 0)
        count(errors, 1); /* nobody to tell */
    free(line);
}

void complain_code(const char *name, int code)
{
    char buffer[128];
    complain(name, strerror_r(-code, buffer, sizeof buffer));
}
