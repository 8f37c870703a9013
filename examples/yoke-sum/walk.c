/*
 * walk.c - the files below some paths, in the byte order of their whole names, as `find PATH... -type f -print0 | sort -z` gives them
 * in the C locale.
 *
 * Each directory is read whole and sorted with '/' appended to the names of directories: then depth first is byte order. Directories
 * that come next are read ahead by tasks, a few at a time and only while little memory is held. The way down is an array, not
 * recursion. Several paths are merged; one is opened only when its turn has come.
 */
#include "sum.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { AHEAD = 8, LOOK_AHEAD = 64, HELD_MOST = 8 * 1024 * 1024 };

/* ---- listings: the sorted files and directories of a directory ---- */

struct listing {
    char *names;    /* ended by 0, directories with '/' before that */
    size_t used, room;
    uint32_t *at;   /* offsets in names, sorted */
    size_t count, slots;
    int error;
};

static size_t held; /* bytes in listings; atomic */

static void free_listing(struct listing *list)
{
    if (list == NULL)
        return;
    __atomic_fetch_sub(&held, list->room, __ATOMIC_RELAXED);
    free(list->names);
    free(list->at);
    free(list);
}

static int add_name(struct listing *list, const char *name, bool directory)
{
    size_t length = strlen(name);
    if (list->used + length + 2 > list->room) {
        size_t room = list->room < 4096 ? 4096 : list->room + list->room / 2;
        char *names = room <= UINT32_MAX ? realloc(list->names, room) : NULL;
        if (names == NULL)
            return -ENOMEM;
        __atomic_fetch_add(&held, room - list->room, __ATOMIC_RELAXED);
        list->names = names;
        list->room = room;
    }
    if (list->count == list->slots) {
        size_t slots = list->slots < 64 ? 64 : list->slots + list->slots / 2;
        uint32_t *at = realloc(list->at, slots * sizeof *at);
        if (at == NULL)
            return -ENOMEM;
        list->at = at;
        list->slots = slots;
    }
    list->at[list->count++] = (uint32_t)list->used;
    memcpy(list->names + list->used, name, length);
    list->used += length;
    if (directory)
        list->names[list->used++] = '/';
    list->names[list->used++] = '\0';
    return 0;
}

static int by_name(const void *a, const void *b, void *names)
{
    return strcmp((const char *)names + *(const uint32_t *)a, (const char *)names + *(const uint32_t *)b);
}

/* What find calls f or d; symbolic links are neither. */
static unsigned char kind_of(int dir, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type;
    if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return DT_UNKNOWN;
    return S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN;
}

struct listing_job {
    const char *path;
    int fd; /* -1: not open yet */
    struct listing *list;
};

static int read_listing(void *arg)
{
    struct listing_job *job = arg;
    struct listing *list = job->list;
    int fd = job->fd >= 0 ? job->fd : open(job->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        list->error = -errno;
        if (fd >= 0)
            close(fd);
        return 0;
    }
    struct dirent *entry = NULL;
    while (list->error == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        unsigned char kind = kind_of(dirfd(dir), entry);
        if (kind == DT_DIR || kind == DT_REG)
            list->error = add_name(list, entry->d_name, kind == DT_DIR);
    }
    if (entry == NULL && errno != 0)
        list->error = -errno;
    closedir(dir);
    if (list->count > 1)
        qsort_r(list->at, list->count, sizeof *list->at, by_name, list->names);
    return 0;
}

/* Reads a directory; its error is in the listing. NULL: out of memory. Cached ones are read here, others by the blocking pool. */
static struct listing *list_directory(const char *path)
{
    struct listing *list = calloc(1, sizeof *list);
    if (list == NULL)
        return NULL;
    struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_CACHED };
    struct listing_job job = { .path = path, .fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how), .list = list };
    if (job.fd >= 0) {
        (void)read_listing(&job);
        return list;
    }
    int rc = yoke_blocking_with(YOKE_BLOCKING_FILES, false, NULL, read_listing, &job);
    if (rc == -EAGAIN)
        rc = read_listing(&job);
    if (rc < 0)
        list->error = rc;
    return list;
}

/* ---- a walk below one path ---- */

struct level {
    struct listing *list;
    size_t next;
    size_t length; /* of the path down to here, '/' included */
    /* directories of this level that were read ahead, in order */
    struct listing *ahead[AHEAD];
    size_t index[AHEAD];
    int first, count;
};

struct walk {
    char *key;     /* the argument, with '/' if it is a directory: no file below has a smaller name */
    bool quiet, directory, begun, ended;
    struct level *levels;
    size_t depth, slots;
    char *path;    /* of the file that comes next, or of the directory being read */
    size_t length, room;
};

static int set_path(struct walk *walk, size_t keep, const char *name)
{
    size_t length = strlen(name);
    if (keep + length + 1 > walk->room) {
        size_t room = (keep + length + 1) * 2;
        char *path = realloc(walk->path, room);
        if (path == NULL)
            return -ENOMEM;
        walk->path = path;
        walk->room = room;
    }
    memcpy(walk->path + keep, name, length + 1);
    walk->length = keep + length;
    return 0;
}

struct ahead_job {
    char *path;
    struct listing **list;
};

static int list_ahead(void *arg)
{
    struct ahead_job *job = arg;
    *job->list = list_directory(job->path);
    free(job->path);
    return 0;
}

/* Reads the directory at entry `i` and some of those that follow, each in a task. */
static int read_ahead(struct walk *walk, struct level *level, size_t i)
{
    struct listing *list = level->list;
    bool more = __atomic_load_n(&held, __ATOMIC_RELAXED) < HELD_MOST;
    level->first = level->count = 0;
    YOKE_GROUP(g, .name = "directories");
    int rc = 0;
    for (size_t end = i + LOOK_AHEAD; i < list->count && i < end && level->count < (more ? AHEAD : 1) && rc == 0; i++) {
        const char *name = list->names + list->at[i];
        size_t length = strlen(name);
        if (name[length - 1] != '/')
            continue;
        char *path = malloc(level->length + length + 1);
        if (path == NULL) {
            rc = -ENOMEM;
            break;
        }
        memcpy(path, walk->path, level->length);
        memcpy(path + level->length, name, length + 1);
        level->ahead[level->count] = NULL;
        level->index[level->count] = i;
        rc = yoke_spawn(g, list_ahead, struct ahead_job, path, &level->ahead[level->count]);
        if (rc < 0)
            free(path);
        else
            level->count++;
    }
    return yoke_group_close(g, rc);
}

/* Goes down into a directory whose listing is at hand; an unreadable one is complained of and left out. */
static int enter(struct walk *walk, struct listing *list)
{
    if (list == NULL)
        return -ENOMEM;
    if (list->error == -ECANCELED || list->error == -ENOMEM) {
        int rc = list->error;
        free_listing(list);
        return rc;
    }
    if (list->error < 0 && !walk->quiet) {
        char *shown = strndup(walk->path, walk->length > 1 && walk->path[walk->length - 1] == '/' ? walk->length - 1 : walk->length);
        complain_code(shown != NULL ? shown : walk->path, list->error);
        free(shown);
    }
    if (walk->depth == walk->slots) {
        size_t slots = walk->slots < 16 ? 16 : walk->slots * 2;
        struct level *levels = realloc(walk->levels, slots * sizeof *levels);
        if (levels == NULL) {
            free_listing(list);
            return -ENOMEM;
        }
        walk->levels = levels;
        walk->slots = slots;
    }
    walk->levels[walk->depth++] = (struct level){ .list = list, .length = walk->length };
    return 0;
}

static void leave(struct walk *walk)
{
    struct level *level = &walk->levels[--walk->depth];
    while (level->first < level->count)
        free_listing(level->ahead[level->first++]);
    free_listing(level->list);
}

/* Moves to the next file: 1, walk->path names it; 0: the end. */
static int advance(struct walk *walk)
{
    if (!walk->begun) {
        walk->begun = true;
        int rc = set_path(walk, 0, walk->key);
        if (rc < 0 || !walk->directory)
            return rc < 0 ? rc : 1;
        YOKE_TRY(enter(walk, list_directory(walk->key)));
    }
    while (walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];
        if (level->next == level->list->count) {
            leave(walk);
            continue;
        }
        size_t i = level->next;
        YOKE_TRY(set_path(walk, level->length, level->list->names + level->list->at[i]));
        if (walk->path[walk->length - 1] != '/') {
            level->next++;
            return 1;
        }
        if (level->first == level->count)
            YOKE_TRY(read_ahead(walk, level, i));
        level->next++;
        struct listing *list = level->ahead[level->first++];
        YOKE_TRY(enter(walk, list));
    }
    walk->ended = true;
    return 0;
}

/* ---- several paths ---- */

struct walker {
    struct walk *walks; /* sorted by key */
    size_t count, opened;
    struct walk *last; /* whose file was given last */
};

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct walk *)a)->key, ((const struct walk *)b)->key);
}

/* Asks what the argument is. False: it is nothing to walk, and that has been said. */
static bool examine(struct walk *walk, const char *argument, bool quiet)
{
    struct stat st;
    walk->quiet = quiet;
    if (lstat(argument, &st) < 0) {
        if (!quiet)
            complain_code(argument, -errno);
        return false;
    }
    walk->directory = S_ISDIR(st.st_mode);
    if (!walk->directory && !S_ISREG(st.st_mode)) {
        if (!quiet)
            complain(argument, S_ISLNK(st.st_mode) ? "is a symbolic link: not followed" : "not a regular file");
        return false;
    }
    return true;
}

struct walker *walker_open(char *const *paths, int n, bool quiet)
{
    struct walker *walker = calloc(1, sizeof *walker);
    if (walker == NULL)
        return NULL;
    walker->walks = calloc((size_t)n, sizeof *walker->walks);
    for (int i = 0; i < n && walker->walks != NULL; i++) {
        struct walk *walk = &walker->walks[walker->count];
        if (!examine(walk, paths[i], quiet))
            continue;
        size_t length = strlen(paths[i]);
        walk->key = malloc(length + 2);
        if (walk->key == NULL) {
            walker_close(walker);
            return NULL;
        }
        memcpy(walk->key, paths[i], length + 1);
        if (walk->directory && (length == 0 || paths[i][length - 1] != '/'))
            memcpy(walk->key + length, "/", 2);
        walker->count++;
    }
    if (walker->walks == NULL) {
        free(walker);
        return NULL;
    }
    qsort(walker->walks, walker->count, sizeof *walker->walks, by_key);
    return walker;
}

int walker_next(struct walker *walker, const char **path, size_t *length)
{
    if (walker->last != NULL)
        YOKE_TRY(advance(walker->last));
    for (;;) {
        struct walk *least = NULL;
        for (size_t i = 0; i < walker->opened; i++) {
            struct walk *walk = &walker->walks[i];
            if (!walk->ended && (least == NULL || strcmp(walk->path, least->path) < 0))
                least = walk;
        }
        if (walker->opened < walker->count) {
            struct walk *next = &walker->walks[walker->opened];
            if (least == NULL || strcmp(next->key, least->path) <= 0) {
                walker->opened++;
                YOKE_TRY(advance(next));
                continue;
            }
        }
        while (walker->opened > 0 && walker->walks[0].ended && &walker->walks[0] != least) {
            /* the first ones are over as a rule: take them out, so that the search above stays short */
            struct walk over = walker->walks[0];
            memmove(walker->walks, walker->walks + 1, (--walker->count) * sizeof *walker->walks);
            walker->opened--;
            if (least != NULL)
                least--;
            free(over.key);
            free(over.path);
            free(over.levels);
        }
        walker->last = least;
        if (least == NULL)
            return 0;
        *path = least->path;
        *length = least->length;
        return 1;
    }
}

void walker_close(struct walker *walker)
{
    for (size_t i = 0; i < walker->count; i++) {
        struct walk *walk = &walker->walks[i];
        while (walk->depth > 0)
            leave(walk);
        free(walk->key);
        free(walk->path);
        free(walk->levels);
    }
    free(walker->walks);
    free(walker);
}
