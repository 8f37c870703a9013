/*
 * sum_plain - the floor for yoke-sum: a plain C loop on N threads over a list of files (names on stdin, ended by 0), SHA-256 by
 * OpenSSL, sums to stdout in the order of the list. No walking, no limits, no errors handled but by exit.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **names;
static unsigned char (*sums)[32];
static size_t count, next;

static void *work(void *arg)
{
    enum { BUFFER = 256 * 1024 };
    unsigned char *buffer = malloc(BUFFER);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = arg;
    size_t i;
    while ((i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) < count) {
        int fd = open(names[i], O_RDONLY);
        ssize_t n;
        if (fd < 0)
            exit(1);
        EVP_DigestInit_ex2(ctx, md, NULL);
        while ((n = read(fd, buffer, BUFFER)) > 0)
            EVP_DigestUpdate(ctx, buffer, (size_t)n);
        EVP_DigestFinal_ex(ctx, sums[i], NULL);
        close(fd);
    }
    EVP_MD_CTX_free(ctx);
    free(buffer);
    return NULL;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 2;
    char *line = NULL;
    size_t room = 0, slots = 0;
    while (getdelim(&line, &room, 0, stdin) > 0) {
        if (count == slots) {
            slots = slots == 0 ? 1024 : slots * 2;
            names = realloc(names, slots * sizeof *names);
        }
        names[count++] = strdup(line);
    }
    sums = calloc(count, sizeof *sums);
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
    pthread_t *ids = calloc((size_t)threads, sizeof *ids);
    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, work, md);
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    for (size_t i = 0; i < count; i++) {
        for (int k = 0; k < 32; k++)
            printf("%02x", sums[i][k]);
        printf("  %s\n", names[i]);
    }
    return 0;
}
