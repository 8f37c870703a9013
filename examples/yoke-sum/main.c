/*
 * yoke-sum - checksums of files and trees on all cores, in the format of sha256sum.
 */
#include "sum.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct job {
    char *const *paths;
    int npaths;
    const char *list; /* -c */
    bool progress;
    yoke_scope scope;
    bool interrupted;
    int printed; /* 0, or why not */
};

static struct job job;
static yoke_token *token; /* for the signal handler */
static int interrupt_seen;

/* ---- Ctrl-C: the handler posts, the posted task cancels. Before there is a token, run() sees that it came. ---- */

static int interrupt(void *arg)
{
    (void)arg;
    __atomic_store_n(&job.interrupted, true, __ATOMIC_RELAXED); /* run() and the posted task may both be here */
    return yoke_scope_cancel(job.scope, -EINTR);
}

static void on_interrupt(int signal)
{
    static yoke_post_node node;
    (void)signal;
    if (__atomic_exchange_n(&interrupt_seen, 1, __ATOMIC_SEQ_CST) != 0)
        _exit(130); /* a second one */
    yoke_token *to = __atomic_load_n(&token, __ATOMIC_SEQ_CST);
    if (to != NULL && yoke_post(to, &node, interrupt, NULL) < 0)
        _exit(130); /* nothing is left to cancel */
}

/* ---- the work ---- */

static int hash_and_print(void *arg)
{
    struct batch *batch = *(struct batch **)arg;
    YOKE_TRY(hash_batch(batch));
    return output_done(batch);
}

/* Gives the next batch of files; 0: there are none. */
static int fill_batch(struct walker *walker, struct checklist *list, struct batch *batch)
{
    static const char *path; /* a file that did not fit into the batch before */
    static size_t length;
    if (list != NULL)
        return checklist_fill(list, batch);
    for (;;) {
        if (path != NULL && !batch_add(batch, path, length, NULL))
            return batch->files > 0 ? batch->files : -ENOMEM;
        int rc = walker_next(walker, &path, &length);
        if (rc <= 0)
            path = NULL;
        if (rc < 0)
            return rc;
        if (rc == 0)
            return batch->files;
    }
}

/* Hashes batches until the files or the places in the output run out. *more: the latter. */
static int hash_window(struct walker *walker, struct checklist *list, bool *more)
{
    unsigned limit = 2 * (unsigned)yoke_workers() + 2;
    int rc = 0;
    struct batch *batch;
    *more = false;
    YOKE_GROUP(g, .name = "batches", .limit = limit);
    while (rc == 0 && (batch = output_next()) != NULL) {
        rc = fill_batch(walker, list, batch);
        if (rc <= 0)
            return yoke_group_close(g, rc);
        rc = yoke_spawn(g, hash_and_print, struct batch *, batch);
    }
    *more = rc == 0;
    return yoke_group_close(g, rc);
}

static int hash_all(void)
{
    struct walker *walker = NULL;
    struct checklist *list = NULL;
    bool more = true;
    int rc = 0;
    if (job.list != NULL)
        list = checklist_open(job.list);
    else if ((walker = walker_open(job.paths, job.npaths, false)) == NULL)
        rc = -ENOMEM;
    if (rc == 0 && (list != NULL || walker != NULL))
        while (rc == 0 && more)
            rc = hash_window(walker, list, &more);
    if (walker != NULL)
        walker_close(walker);
    if (list != NULL)
        checklist_close(list);
    return rc;
}

static int run(void *arg)
{
    (void)arg;
    yoke_token *mine = NULL;
    struct progress_job *progress = &(struct progress_job){ .paths = job.paths, .npaths = job.list != NULL ? 0 : job.npaths };
    YOKE_GROUP(outer, .policy = YOKE_COLLECT, .name = "outer");
    YOKE_TRY(yoke_token_acquire(&mine, outer));
    YOKE_SCOPE(scope, .name = "all");
    job.scope = scope;
    __atomic_store_n(&token, mine, __ATOMIC_SEQ_CST); /* store-load against on_interrupt(): one sees the other, or both */
    if (__atomic_load_n(&interrupt_seen, __ATOMIC_SEQ_CST) != 0)
        YOKE_TRY(interrupt(NULL));
    YOKE_GROUP(side, .name = "side");
    int rc = job.progress ? yoke_spawn(side, progress_task, struct progress_job *, progress) : 0;
    if (rc == 0)
        rc = hash_all();
    if (rc == 0)
        (void)yoke_group_cancel(side, 0);
    rc = yoke_group_close(side, rc);
    rc = yoke_scope_close(scope, rc);
    job.printed = output_end();
    int closed = yoke_group_close(outer, 0);
    return job.interrupted || job.printed < 0 ? 0 : rc < 0 ? rc : closed;
}

/* ---- the command line ---- */

static void usage(FILE *to)
{
    fputs("usage: yoke-sum [-a sha256|sha512|blake2b] [-c LIST] [-j N] [--no-progress] PATH...\n"
          "Prints checksums of files, and of all files below directories, as sha256sum, sha512sum and b2sum do,\n"
          "in byte order of their names.\n"
          "  -a, --algorithm NAME  sha256 (default), sha512 or blake2b\n"
          "  -c, --check LIST      check the files named in LIST (- is the standard input)\n"
          "  -j, --jobs N          use N worker threads; default: one for each core that may be used\n"
          "      --no-progress     no progress line, even on a terminal\n"
          "      --help, --version\n",
          to);
}

static int bad_usage(const char *what, const char *value)
{
    fprintf(stderr, "yoke-sum: %s%s%s\n", what, value != NULL ? ": " : "", value != NULL ? value : "");
    usage(stderr);
    return 2;
}

/* What -c says at the end, as sha256sum says it. */
static void warn_of(uint64_t n, const char *one, const char *many)
{
    if (n > 0)
        fprintf(stderr, "yoke-sum: WARNING: %llu %s\n", (unsigned long long)n, n == 1 ? one : many);
}

static int verdict(void)
{
    if (counted(checked) == 0) {
        if (counted(errors) == 0)
            fprintf(stderr, "yoke-sum: %s: no properly formatted checksum lines found\n", job.list);
        return 1;
    }
    warn_of(counted(malformed), "line is improperly formatted", "lines are improperly formatted");
    warn_of(counted(unreadable), "listed file could not be read", "listed files could not be read");
    warn_of(counted(mismatched), "computed checksum did NOT match", "computed checksums did NOT match");
    return counted(unreadable) + counted(mismatched) > 0;
}

int main(int argc, char **argv)
{
    enum { NO_PROGRESS = 256, HELP, VERSION };
    static const struct option options[] = {
        { "algorithm", required_argument, NULL, 'a' }, { "check", required_argument, NULL, 'c' }, { "jobs", required_argument, NULL, 'j' },
        { "no-progress", no_argument, NULL, NO_PROGRESS }, { "help", no_argument, NULL, HELP }, { "version", no_argument, NULL, VERSION },
        { NULL, 0, NULL, 0 },
    };
    const char *algorithm = "sha256";
    long jobs = 0;
    bool progress = true;
    int option;
    while ((option = getopt_long(argc, argv, "a:c:j:", options, NULL)) != -1) {
        char *end;
        switch (option) {
        case 'a':
            algorithm = optarg;
            break;
        case 'c':
            job.list = optarg;
            break;
        case 'j':
            jobs = strtol(optarg, &end, 10);
            if (*optarg == '\0' || *end != '\0' || jobs < 1 || jobs > 1024)
                return bad_usage("-j: not a number from 1 to 1024", optarg);
            break;
        case NO_PROGRESS:
            progress = false;
            break;
        case HELP:
            usage(stdout);
            return 0;
        case VERSION:
            printf("yoke-sum %d.%d.%d\n", YOKE_VERSION_MAJOR, YOKE_VERSION_MINOR, YOKE_VERSION_PATCH);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    job.paths = argv + optind;
    job.npaths = argc - optind;
    if (job.list == NULL && job.npaths == 0)
        return bad_usage("no file or directory given", NULL);
    if (job.list != NULL && job.npaths > 0)
        return bad_usage("-c takes one list and no further files", job.paths[0]);
    job.progress = progress && isatty(STDERR_FILENO);
    int rc = hash_begin(algorithm);
    if (rc == -EINVAL)
        return bad_usage("-a: no such algorithm", algorithm);
    if (rc < 0 || output_begin() < 0) {
        complain_code(NULL, -ENOMEM);
        return 1;
    }
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    rc = yoke_run(run, NULL, YOKE_OPTIONS(.name = "yoke-sum", .workers = (int)jobs));
    hash_end();
    yoke_token_release(__atomic_exchange_n(&token, NULL, __ATOMIC_SEQ_CST));
    if (job.interrupted) {
        fprintf(stderr, "yoke-sum: interrupted after %llu files, %llu bytes\n", (unsigned long long)counted(files),
                (unsigned long long)counted(bytes));
        return 130;
    }
    if (job.printed == -EPIPE) {
        signal(SIGPIPE, SIG_DFL); /* blocked in workers: what would have happened */
        raise(SIGPIPE);
    }
    if (job.printed < 0)
        complain_code("write error", job.printed);
    if (rc < 0 || job.printed < 0)
        return 1; /* yoke_run has said why */
    return job.list != NULL ? verdict() : counted(errors) > 0;
}
