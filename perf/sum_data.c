/*
 * sum_data FOLDER SMALL LARGE: what the question `sum` reads: FOLDER/small/00 to 99 with SMALL files of 1 to 8 KB each, and FOLDER/large/1 to 8 of
 * LARGE bytes each. The same bytes every time. All by one process: one for each file takes minutes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDERS = 100, LEAST = 1024, MOST = 8192, LARGE_FILES = 8, BUFFER = 1 << 20 };

/* splitmix64: one start, hence one sequence. */
static uint64_t random_state = 2024;

static uint64_t random_next(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static uint64_t buffer[BUFFER / sizeof(uint64_t)];

static void fill(size_t bytes)
{
    for (size_t i = 0; i * sizeof *buffer < bytes; i++)
        buffer[i] = random_next();
}

static void fail(const char *what)
{
    fprintf(stderr, "sum_data: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_all(int fd, size_t bytes, const char *path)
{
    const char *from = (const char *)buffer;
    while (bytes > 0) {
        ssize_t n = write(fd, from, bytes);
        if (n < 0 && errno != EINTR)
            fail(path);
        if (n > 0) {
            from += n;
            bytes -= (size_t)n;
        }
    }
}

static void make_file(const char *path, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        fail(path);
    while (bytes > 0) {
        size_t part = bytes < BUFFER ? bytes : BUFFER;
        fill(part);
        write_all(fd, part, path);
        bytes -= part;
    }
    if (close(fd) < 0)
        fail(path);
}

static void make_folder(const char *path)
{
    if (mkdir(path, 0777) < 0)
        fail(path);
}

int main(int argc, char **argv)
{
    char path[64];
    if (argc != 4) {
        fprintf(stderr, "sum_data FOLDER SMALL LARGE\n");
        return 2;
    }
    int small = atoi(argv[2]);
    size_t large = strtoul(argv[3], NULL, 10);
    if (chdir(argv[1]) < 0)
        fail(argv[1]);
    make_folder("small");
    for (int folder = 0; folder < FOLDERS; folder++) {
        snprintf(path, sizeof path, "small/%02d", folder);
        make_folder(path);
        for (int i = 0; i < small; i++) {
            snprintf(path, sizeof path, "small/%02d/%03d", folder, i);
            make_file(path, LEAST + random_next() % (MOST - LEAST + 1));
        }
    }
    make_folder("large");
    for (int i = 1; i <= LARGE_FILES; i++) {
        snprintf(path, sizeof path, "large/%d", i);
        make_file(path, large);
    }
    return 0;
}
