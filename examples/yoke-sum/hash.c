/*
 * hash.c - hashing files in tasks.
 *
 * What lies in the page cache is read on the worker: openat2(RESOLVE_CACHED) and preadv2(RWF_NOWAIT) never block. At the first
 * "would block" the rest of that file's buffer is read by a thread of the blocking pool, one hop for open and read together. Files
 * longer than one buffer are hashed by tasks of their own, the kernel being told early what will be read next.
 */
#include "sum.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { AHEAD = 4 * 1024 * 1024, PAGE = 4096 };

static EVP_MD *md;
static size_t digest_bytes;

/* A context and a buffer, kept for the next user: as many as tasks hash at a time. */
struct hasher {
    struct hasher *next;
    EVP_MD_CTX *ctx;
    unsigned char *buffer;
};
static struct hasher *hashers;
static pthread_mutex_t hashers_lock = PTHREAD_MUTEX_INITIALIZER; /* never held over a wait */

int hash_begin(const char *algorithm)
{
    static const char *const names[][2] = { { "sha256", "SHA256" }, { "sha512", "SHA512" }, { "blake2b", "BLAKE2B512" } };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], algorithm) == 0) {
            md = EVP_MD_fetch(NULL, names[i][1], NULL);
            if (md == NULL)
                return -ENOMEM;
            digest_bytes = (size_t)EVP_MD_get_size(md);
            return 0;
        }
    return -EINVAL;
}

size_t hash_size(void)
{
    return digest_bytes;
}

static void free_hasher(struct hasher *hasher)
{
    EVP_MD_CTX_free(hasher->ctx);
    free(hasher->buffer);
    free(hasher);
}

void hash_end(void)
{
    while (hashers != NULL) {
        struct hasher *hasher = hashers;
        hashers = hasher->next;
        free_hasher(hasher);
    }
    EVP_MD_free(md);
}

static struct hasher *take_hasher(void)
{
    pthread_mutex_lock(&hashers_lock);
    struct hasher *hasher = hashers;
    if (hasher != NULL)
        hashers = hasher->next;
    pthread_mutex_unlock(&hashers_lock);
    if (hasher != NULL)
        return hasher;
    hasher = calloc(1, sizeof *hasher);
    if (hasher == NULL)
        return NULL;
    hasher->ctx = EVP_MD_CTX_new();
    hasher->buffer = malloc(BUFFER);
    if (hasher->ctx == NULL || hasher->buffer == NULL) {
        free_hasher(hasher);
        return NULL;
    }
    return hasher;
}

static void give_hasher(struct hasher *hasher)
{
    pthread_mutex_lock(&hashers_lock);
    hasher->next = hashers;
    hashers = hasher;
    pthread_mutex_unlock(&hashers_lock);
}

/* ---- reading ---- */

static bool open_never_blocks = true, read_never_blocks = true; /* false once the kernel has said that it cannot; atomic */

#define can(feature) __atomic_load_n(&(feature), __ATOMIC_RELAXED)
#define cannot(feature) __atomic_store_n(&(feature), false, __ATOMIC_RELAXED)

/* A descriptor; -EAGAIN: it might block; another negative errno. */
static int open_cached(const char *name)
{
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, .resolve = RESOLVE_CACHED };
    if (!can(open_never_blocks))
        return -EAGAIN;
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, name, &how, sizeof how);
    if (fd >= 0)
        return fd;
    if (errno == ENOSYS || errno == EPERM || errno == EINVAL) {
        cannot(open_never_blocks);
        return -EAGAIN;
    }
    return -errno;
}

/* Bytes; -EAGAIN: it would block; another negative errno. */
static ssize_t read_cached(int fd, unsigned char *to, size_t bytes, off_t at)
{
    struct iovec vector = { to, bytes };
    if (!can(read_never_blocks))
        return -EAGAIN;
    ssize_t n = preadv2(fd, &vector, 1, at, RWF_NOWAIT);
    if (n >= 0)
        return n;
    if (errno == EOPNOTSUPP || errno == ENOSYS) {
        if (errno == ENOSYS)
            cannot(read_never_blocks);
        return -EAGAIN;
    }
    return errno == EINTR ? -EAGAIN : -errno;
}

/* The same on a thread that may block: opens if there is no descriptor yet, and reads until the buffer is full or the file ends. */
struct reading {
    const char *name;
    int fd;
    unsigned char *to;
    size_t bytes;
    off_t at;
    ssize_t got;
};

static int read_slowly(void *arg)
{
    struct reading *r = arg;
    if (r->fd < 0) {
        r->fd = open(r->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (r->fd < 0)
            return -errno;
    }
    while ((size_t)r->got < r->bytes) {
        ssize_t n = pread(r->fd, r->to + r->got, r->bytes - (size_t)r->got, r->at + r->got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        r->got += n;
    }
    return 0;
}

/* Fills the buffer or comes to the end of the file. */
static int fill(struct reading *r)
{
    r->got = 0;
    if (r->fd < 0) {
        int fd = open_cached(r->name);
        if (fd < 0 && fd != -EAGAIN)
            return fd;
        r->fd = fd >= 0 ? fd : -1;
    }
    while (r->fd >= 0 && (size_t)r->got < r->bytes) {
        ssize_t n = read_cached(r->fd, r->to + r->got, r->bytes - (size_t)r->got, r->at + r->got);
        if (n == 0)
            return 0;
        if (n == -EAGAIN)
            break;
        if (n < 0)
            return (int)n;
        r->got += n;
        if ((size_t)r->got < r->bytes && (r->at + r->got) % PAGE != 0)
            return 0; /* what is not cached is missing by pages: a read that stops within one has met the end */
    }
    if (r->fd >= 0 && (size_t)r->got == r->bytes)
        return 0;
    int rc = yoke_blocking_with(YOKE_BLOCKING_FILES, false, NULL, read_slowly, r);
    if (rc == -EAGAIN) /* no thread to be had: block this one rather than fail */
        rc = read_slowly(r);
    return rc;
}

/* ---- hashing ---- */

/* O_NONBLOCK keeps an open of a FIFO from hanging; what is no regular file is refused as read(2) would. */
static int check_kind(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? -EISDIR : S_ISREG(st.st_mode) ? 0 : -ENOTSUP;
}

static int hash_large(struct hasher *h, struct reading *r)
{
    (void)posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (off_t advised = 0; r->got > 0;) {
        if (r->at + AHEAD / 2 > advised) {
            (void)posix_fadvise(r->fd, advised, AHEAD, POSIX_FADV_WILLNEED); /* read ahead while we hash */
            advised += AHEAD;
        }
        EVP_DigestUpdate(h->ctx, r->to, (size_t)r->got);
        count(bytes, r->got);
        YOKE_TRY(yoke_yield()); /* not a mere checkpoint: what is to cancel us may wait for a worker */
        if ((size_t)r->got < r->bytes)
            break;
        r->at += r->got;
        YOKE_TRY(fill(r));
    }
    return 0;
}

/* `whole`: to its end; otherwise a file longer than the buffer is only marked. */
static int hash_file(struct hasher *h, const char *name, struct file *file, bool whole)
{
    struct reading r = { .name = name, .fd = -1, .to = h->buffer, .bytes = BUFFER };
    int rc = fill(&r);
    if (rc == 0 && r.got == 0)
        rc = check_kind(r.fd);
    if (rc == 0 && !whole && (size_t)r.got == r.bytes) {
        file->large = true;
    } else if (rc == 0) {
        EVP_DigestInit_ex2(h->ctx, md, NULL);
        if (whole) {
            rc = hash_large(h, &r);
        } else {
            EVP_DigestUpdate(h->ctx, r.to, (size_t)r.got);
            count(bytes, r.got);
        }
        if (rc == 0) {
            EVP_DigestFinal_ex(h->ctx, file->digest, NULL);
            count(files, 1);
        }
    }
    if (r.fd >= 0)
        close(r.fd);
    return rc;
}

struct large {
    struct batch *batch;
    int index;
};

static int hash_large_task(void *arg)
{
    struct large *job = arg;
    struct file *file = &job->batch->file[job->index];
    struct hasher *h = take_hasher();
    if (h == NULL) {
        file->error = -ENOMEM;
        return 0;
    }
    int rc = hash_file(h, batch_name(job->batch, job->index), file, true);
    give_hasher(h);
    if (rc == -ECANCELED)
        return rc;
    file->error = rc;
    return 0;
}

int hash_batch(struct batch *batch)
{
    struct hasher *h = take_hasher();
    int large = 0, rc = h == NULL ? -ENOMEM : 0;
    for (int i = 0; i < batch->files && rc == 0; i++) {
        rc = yoke_checkpoint();
        if (rc == 0)
            rc = hash_file(h, batch_name(batch, i), &batch->file[i], false);
        if (rc < 0 && rc != -ECANCELED) {
            batch->file[i].error = rc;
            rc = 0;
        }
        large += batch->file[i].large;
    }
    if (h != NULL)
        give_hasher(h);
    if (rc < 0 || large == 0)
        return rc;
    int workers = yoke_workers();
    YOKE_GROUP(g, .name = "large files", .limit = workers < 2 ? 2 : workers > 8 ? 8 : (unsigned)workers);
    for (int i = 0; i < batch->files && rc == 0; i++)
        if (batch->file[i].large)
            rc = yoke_spawn(g, hash_large_task, struct large, batch, i);
    return yoke_group_close(g, rc);
}
