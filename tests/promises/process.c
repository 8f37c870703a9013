/* docs/process.md, line by line: what a run does to its process, seen by /proc before, during and after. */
#include "support.h"

#include "../executor/sanitizer.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define NAME "proc"

extern char **environ;

/* ---- looking ---- */

static void slurp(const char *path, char *text, size_t size)
{
    size_t have = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && have < size - 1 && (n = read(fd, text + have, size - 1 - have)) > 0)
        have += (size_t)n;
    text[have] = '\0';
    if (fd >= 0)
        close(fd);
}

/* A line of a status file: its value as a number of that base. */
static unsigned long long status_of(const char *path, const char *key, int base)
{
    char text[8192];
    slurp(path, text, sizeof text);
    const char *at = strstr(text, key);
    return at != NULL ? strtoull(at + strlen(key), NULL, base) : ~0ull;
}

/* Threads whose name begins like that: how many; the id of the last. */
static int threads(const char *prefix, int *tid)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[300], name[32];
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        slurp(path, name, sizeof name);
        if (entry->d_name[0] == '.' || strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        n++;
        if (tid != NULL)
            *tid = atoi(entry->d_name);
    }
    closedir(dir);
    return n;
}

/* Waits until so many threads have such a name: who starts one bears its name for a moment. The id of the last. */
static int await_threads(const char *prefix, int n)
{
    int tid = 0;
    while (threads(prefix, &tid) != n) /* for ever, if it is not as told: the time limit tells */
        sched_yield();
    return tid;
}

enum { FDS = 64 };

/* What the descriptor is of, as the kernel names it; "" if it is not open. */
static const char *target_of(int fd, char target[64])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, 63);
    target[n > 0 ? n : 0] = '\0';
    return target;
}

/* Bit n: descriptor n is open. */
static uint64_t descriptors(void)
{
    uint64_t open = 0;
    for (int fd = 0; fd < FDS; fd++) {
        char target[64];
#ifdef YOKE__TSAN /* which opens a pipe to its symbolizer when it first has to look at a suppression */
        const char *some = "anon_inode:";
#else
        const char *some = "";
#endif
        if (fcntl(fd, F_GETFD) >= 0 && strncmp(target_of(fd, target), some, strlen(some)) == 0)
            open |= (uint64_t)1 << fd;
    }
    return open;
}

/* What runs must leave as it is, as long as nothing is asked for. */
struct sight {
    uint64_t fds;
    unsigned long long caught, ignored, blocked; /* signals; blocked: by the main thread */
    struct rlimit limits[RLIMIT_NLIMITS];
    char environment[16384], directory[1024], name[32];
    cpu_set_t cpus;
    mode_t mask;
};

static void look(struct sight *s)
{
    memset(s, 0, sizeof *s);
    s->fds = descriptors();
    s->caught = status_of("/proc/self/status", "SigCgt:", 16) & ~(3ull << 31); /* 32 and 33 are the C library's, for its threads */
    s->ignored = status_of("/proc/self/status", "SigIgn:", 16);
    s->blocked = status_of("/proc/self/status", "SigBlk:", 16);
    for (int i = 0; i < (int)RLIMIT_NLIMITS; i++)
        getrlimit((__rlimit_resource_t)i, &s->limits[i]);
    for (char **at = environ; *at != NULL; at++)
        strncat(s->environment, *at, sizeof s->environment - strlen(s->environment) - 1);
    if (getcwd(s->directory, sizeof s->directory) == NULL)
        s->directory[0] = '\0';
    slurp("/proc/self/comm", s->name, sizeof s->name);
    sched_getaffinity(getpid(), sizeof s->cpus, &s->cpus);
    s->mask = umask(0);
    umask(s->mask);
}

static void same(const struct sight *a, const struct sight *b)
{
    check_int(a->fds, b->fds);
    check_int(a->caught, b->caught);
    check_int(a->ignored, b->ignored);
    check_int(a->blocked, b->blocked);
    check(memcmp(a->limits, b->limits, sizeof a->limits) == 0);
    check(strcmp(a->environment, b->environment) == 0);
    check(strcmp(a->directory, b->directory) == 0);
    check(strcmp(a->name, b->name) == 0);
    check(CPU_EQUAL(&a->cpus, &b->cpus));
    check_int(a->mask, b->mask);
}

static struct sight before, during, after;

/* Looks, runs, looks again: nothing may be left. */
static void run_between(yoke_fn fn, const yoke_options *options)
{
    look(&before);
    assert_int_equal(run_with(fn, NULL, options), 0);
    look(&after);
    same(&before, &after);
    while (threads(NAME, NULL) > 0) /* a joined thread leaves the kernel's list a little later; one left behind never */
        sched_yield();
    assert_checks();
}

static int just_look(void *arg)
{
    (void)arg;
    look(&during);
    return 0;
}

static void nothing_of_the_process_is_changed_unasked(void **state)
{
    (void)state;
    run_between(just_look, OPTIONS(.name = NAME, .workers = 3)); /* once, so that what a sanitizer opens is open */
    run_between(just_look, OPTIONS(.name = NAME, .workers = 3));
    same(&before, &during);
    assert_checks();
}

/* ---- threads ---- */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* By a job: the thread that runs it is certainly there, while an idle one may go. */
static int count_with_pool(void *arg)
{
    (void)arg;
    (void)await_threads(NAME "-pool", 1);
    (void)await_threads(NAME, 5);
    check_int(threads(NAME "-pool", NULL), 1);
    return 0;
}

static int count_threads(void *arg)
{
    (void)arg;
    while (threads(NAME "-timer", NULL) + threads(NAME, NULL) < 5) /* a name is seen when the thread has begun */
        sched_yield();
    check_int(threads(NAME, NULL), 4);
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, NAME "-%d", i);
        check_int(threads(name, NULL), 1);
    }
    check_int(threads(NAME "-timer", NULL), 1);
    return yoke_blocking(count_with_pool, NULL);
}

static void threads_have_names_and_end(void **state)
{
    (void)state;
    run_between(count_threads, OPTIONS(.name = NAME, .workers = 3));
}

/* 15 characters is all that the kernel keeps: what tells the threads apart is not what is cut. */
static int count_long_names(void *arg)
{
    (void)arg;
    (void)await_threads("anamethat-0", 1);
    (void)await_threads("anamethat-timer", 1);
    (void)await_threads("anamethati-pool", 1);
    return 0;
}

static int count_in_a_job(void *arg)
{
    return yoke_blocking(count_long_names, arg);
}

static size_t own_stack(void)
{
    pthread_attr_t attributes;
    size_t size = 0;
    check_int(pthread_getattr_np(pthread_self(), &attributes), 0);
    check_int(pthread_attr_getstacksize(&attributes, &size), 0);
    pthread_attr_destroy(&attributes);
    return size;
}

static int note_stack(void *arg)
{
    *(size_t *)arg = own_stack();
    return 0;
}

static void names_are_cut_before_what_tells_threads_apart(void **state)
{
    (void)state;
    run_between(count_in_a_job, OPTIONS(.name = "anamethatislongerthanthat", .workers = 1));
}

static int stacks_of_threads(void *arg)
{
    size_t pool = 0;
    (void)arg;
    check_int(own_stack(), 256 * 1024);
    check_int(yoke_blocking(note_stack, &pool), 0);
    pthread_attr_t attributes;
    size_t usual = 0;
    pthread_attr_init(&attributes);
    pthread_attr_getstacksize(&attributes, &usual);
    pthread_attr_destroy(&attributes);
    check_int(pool, usual);
    return 0;
}

static void threads_have_stacks_of_the_size_that_is_told(void **state)
{
    (void)state;
    run_between(stacks_of_threads, OPTIONS(.name = NAME, .workers = 1));
}

/* ---- signals ---- */

static unsigned long long bit(int signo)
{
    return 1ull << (signo - 1);
}

static int masks(void *arg)
{
    static const int open[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF };
    static const char *const names[] = { NAME "-0", NAME "-1", NAME "-timer", NAME "-pool" };
    (void)arg;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/task/%d/status", await_threads(names[i], 1));
        unsigned long long blocked, wanted;
        do { /* a thread that is only just starting blocks all of them [pthread_create(3) of the C library] */
            wanted = blocked = status_of(path, "SigBlk:", 16);
            for (int signo = 1; signo < 32; signo++)
                wanted = signo == SIGKILL || signo == SIGSTOP ? wanted & ~bit(signo) : wanted | bit(signo);
            for (size_t j = 0; j < sizeof open / sizeof *open; j++)
                wanted &= ~bit(open[j]);
        } while (blocked != wanted && (blocked & wanted) == wanted);
        check_int(blocked, wanted);
    }
    return 0;
}

static int masks_in_a_job(void *arg)
{
    return yoke_blocking(masks, arg);
}

static void threads_block_all_but_their_own_faults(void **state)
{
    (void)state;
    run_between(masks_in_a_job, OPTIONS(.name = NAME, .workers = 2));
}

static int await_winch(void *arg)
{
    (void)arg;
    return yoke_signal_wait(SIGWINCH) == SIGWINCH ? 0 : -EIO;
}

static int ask_for_signals(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, await_winch, NULL), 0);
    while ((status_of("/proc/self/status", "SigCgt:", 16) & bit(SIGWINCH)) == 0)
        check_int(yoke_yield(), 0);
    look(&during);
    check_int(during.caught, before.caught | bit(SIGINT) | bit(SIGTERM) | bit(SIGSEGV) | bit(SIGWINCH));
    check_int(kill(getpid(), SIGWINCH), 0);
    return yoke_group_close(g, 0);
}

static void dispositions_are_changed_on_demand_and_given_back(void **state)
{
    (void)state;
    run_between(ask_for_signals, OPTIONS(.name = NAME, .workers = 2, .signals = true, .overflow_handler = "on"));
}

static int alternate_stack(void *arg)
{
    stack_t stack;
    (void)arg;
    check_int(sigaltstack(NULL, &stack), 0);
    during.mask = (stack.ss_flags & SS_DISABLE) == 0;
    return 0;
}

static void an_alternate_stack_is_there_on_demand(void **state)
{
    (void)state;
    run_between(alternate_stack, OPTIONS(.name = NAME, .workers = 2, .overflow_handler = "on"));
    assert_int_equal(during.mask, 1);
    run_between(alternate_stack, OPTIONS(.name = NAME, .workers = 2));
#if !defined(YOKE__ASAN) && !defined(YOKE__TSAN) /* which give threads one of their own */
    assert_int_equal(during.mask, 0);
#endif
}

/* ---- descriptors ---- */

static bool ringed = true; /* the option */

/* Two for the poll, and a ring where the kernel grants it. */
static int of_the_poll(void)
{
    struct io_uring_params parameters = { .flags = 0 };
    int fd = ringed ? (int)syscall(SYS_io_uring_setup, 1, &parameters) : -1;
    if (fd >= 0)
        close(fd);
    return fd >= 0 ? 3 : 2;
}

static int ring_mappings(void)
{
    char line[1024];
    int n = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        n += strstr(line, "io_uring") != NULL;
    if (maps != NULL)
        fclose(maps);
    return n;
}

static int use_the_poll(void *arg)
{
    int n = 0, rings = 0, polls = 0, interrupts = 0;
    (void)arg;
    check_int(yoke_fd_writable(1), 0); /* a file is refused; the poll is there all the same */
    uint64_t new = descriptors() & ~before.fds;
    for (int fd = 0; fd < FDS; fd++) {
        char target[64];
        if ((new >> fd & 1) == 0)
            continue;
        (void)target_of(fd, target);
        polls += strcmp(target, "anon_inode:[eventpoll]") == 0;
        interrupts += strcmp(target, "anon_inode:[eventfd]") == 0;
        rings += strcmp(target, "anon_inode:[io_uring]") == 0;
        check_int(fcntl(fd, F_GETFD), FD_CLOEXEC);
        check_int(yoke_fd_readable(fd), -EBADF); /* not to be waited for */
        n++;
    }
    check_int(polls, 1);
    check_int(interrupts, 1);
    check_int(n, 2 + rings);
    check_int(n, of_the_poll());
    check_int(ring_mappings(), 2 * rings);
    return 0;
}

static void a_few_descriptors_come_with_the_first_wait_and_go(void **state)
{
    (void)state;
    int ends[2], keep = dup(1);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], 1); /* something that can be waited for */
    run_between(use_the_poll, OPTIONS(.name = NAME, .workers = 2));
    assert_int_equal(ring_mappings(), 0);
    ringed = false;
    run_between(use_the_poll, OPTIONS(.name = NAME, .workers = 2, .io_uring = "off"));
    ringed = true;
    dup2(keep, 1);
    close(keep);
    close(ends[0]);
    close(ends[1]);
}

static int opened_since(void)
{
    return __builtin_popcountll(descriptors() & ~before.fds);
}

/* What else brings them, one of them a run; and what brings none. */
static int use_a_file(void *arg)
{
    (void)arg;
    YOKE_SCOPED(yoke_file) f = NULL;
    check_int(yoke_file_open(&f, "/dev/null", O_RDONLY), 0);
#ifdef YOKE__TSAN /* only those of the poll are seen */
    check_int(opened_since(), of_the_poll());
#else
    check_int(opened_since(), of_the_poll() + 1);
#endif
    return 0;
}

static int use_a_listener(void *arg)
{
    (void)arg;
    YOKE_SCOPED(yoke_listener) l = NULL;
    check_int(yoke_listen(&l, "127.0.0.1:0", 0), 0);
#ifdef YOKE__TSAN
    check_int(opened_since(), of_the_poll());
#else
    check_int(opened_since(), of_the_poll() + 1);
#endif
    return 0;
}

static int use_a_signal(void *arg)
{
    (void)arg;
    YOKE_SCOPE(s, .deadline = 1);
    check_int(yoke_signal_wait(SIGWINCH), -ECANCELED);
    check_int(opened_since(), of_the_poll());
    return yoke_scope_close(s, 0);
}

static int use_no_descriptor(void *arg)
{
    (void)arg;
    yoke_mutex lock = YOKE_MUTEX_INIT;
    check_int(yoke_sleep(YOKE_MS(1)), 0);
    check_int(yoke_blocking(nothing, NULL), 0);
    check_int(yoke_mutex_lock(&lock), 0);
    yoke_mutex_unlock(&lock);
    check_int(opened_since(), 0);
    return 0;
}

static void what_brings_descriptors_and_what_does_not(void **state)
{
    static const yoke_fn uses[] = { use_a_file, use_a_listener, use_a_signal, use_no_descriptor };
    (void)state;
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        run_between(uses[i], OPTIONS(.name = NAME, .workers = 2));
}

static void a_configuration_file_is_closed(void **state)
{
    char path[64];
    (void)state;
    snprintf(path, sizeof path, "/tmp/yoke-process-%d.conf", (int)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "[yoke]\nworkers = 2\n", 19), 19);
    close(fd);
    run_between(use_no_descriptor, OPTIONS(.name = NAME, .config_file = path));
    unlink(path);
}

/* ---- memory ---- */

enum { STACK = 1 << 20, STACKS_A_SLAB = 64 }; /* 128 at most, and 64 MiB at most */

static unsigned long long mapped(void)
{
    return status_of("/proc/self/status", "VmSize:", 10) * 1024;
}

static int note_size(void *arg)
{
    (void)arg;
    check_int(yoke_yield(), 0);
    during.caught = mapped();
    return 0;
}

static void stacks_are_mapped_by_the_slab_and_unmapped(void **state)
{
    (void)state;
    const unsigned long long slab = (unsigned long long)STACK * STACKS_A_SLAB;
    const yoke_options *options = OPTIONS(.name = NAME, .workers = 2, .stack_size = STACK);
    for (int i = 0; i < 3; i++) { /* what the C library keeps of its threads does not grow from run to run */
        unsigned long long at = mapped();
        run_between(note_size, options);
        assert_true(during.caught >= at + slab);
        if (i > 0)
            assert_true(mapped() < at + slab);
    }
}

/* ---- environment ---- */

static int asked, asked_others;

/* The library finds this one instead of the C library's. */
char *secure_getenv(const char *name)
{
    add(&asked, 1);
    add(&asked_others, strncmp(name, "YOKE_", 5) != 0);
    return getenv(name);
}

static void only_variables_of_its_own_are_read(void **state)
{
    (void)state;
    asked = asked_others = 0;
    run_between(just_look, OPTIONS(.name = NAME, .workers = 1));
    assert_true(asked > 10);
    assert_int_equal(asked_others, 0);
}

/* ---- the scheduler ---- */

struct attributes { /* sched_getattr(2), first version */
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static struct attributes attributes_of(int tid)
{
    struct attributes a = { .size = sizeof a };
    check_int(syscall(SYS_sched_getattr, tid, &a, sizeof a, 0), 0);
    return a;
}

static long slack_of(int tid)
{
    char path[64], text[32];
    snprintf(path, sizeof path, "/proc/%d/timerslack_ns", tid);
    slurp(path, text, sizeof text);
    return text[0] != '\0' ? atol(text) : -1; /* reading another thread's is a privilege */
}

static bool sliced; /* the option */

static int scheduling(void *arg)
{
    int tid = 0;
    cpu_set_t cpus;
    struct attributes own = attributes_of(getpid());
    (void)arg;
    check_int(threads(NAME "-timer", &tid), 1);
    check_int(yoke_sleep(YOKE_MS(1)), 0); /* who wakes us has set itself up */
    struct attributes timer = attributes_of(tid), worker = attributes_of(gettid());
    check_int(worker.policy, own.policy);
    check_int(worker.nice, own.nice);
    check_int(worker.runtime, own.runtime);
    check_int(timer.policy, own.policy);
    check_int(timer.nice, own.nice);
    if (!sliced || timer.runtime != 100 * 1000) /* before Linux 6.12 slices are not had, nor told */
        check_int(timer.runtime, own.runtime);
    check_int(prctl(PR_GET_TIMERSLACK), slack_of(gettid()) >= 0 ? slack_of(gettid()) : prctl(PR_GET_TIMERSLACK));
    check(slack_of(tid) == 1 || slack_of(tid) == -1);
    check_int(sched_getaffinity(tid, sizeof cpus, &cpus), 0);
    check(CPU_EQUAL(&cpus, &before.cpus));
    check_int(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    check(CPU_EQUAL(&cpus, &before.cpus));
    return 0;
}

static void scheduling_is_as_the_caller_has_it_but_for_the_timers_thread(void **state)
{
    (void)state;
    int slack = prctl(PR_GET_TIMERSLACK);
    sliced = true;
    run_between(scheduling, OPTIONS(.name = NAME, .workers = 2));
    sliced = false;
    run_between(scheduling, OPTIONS(.name = NAME, .workers = 2, .slice = "off"));
    assert_int_equal(prctl(PR_GET_TIMERSLACK), slack);
}

/* MEMBARRIER_CMD_GET_REGISTRATIONS, Linux >= 6.3; -1 before. */
static int registrations(void)
{
    return (int)syscall(SYS_membarrier, 1 << 9, 0, 0);
}

static void the_process_is_registered_for_membarrier_for_good(void **state)
{
    (void)state;
    enum { PRIVATE_EXPEDITED = 1 << 4 };
    if (registrations() < 0)
        skip();
    assert_int_equal(registrations() & PRIVATE_EXPEDITED, 0);
    run_between(just_look, OPTIONS(.name = NAME, .workers = 2, .membarrier = "off"));
    assert_int_equal(registrations() & PRIVATE_EXPEDITED, 0);
    run_between(just_look, OPTIONS(.name = NAME, .workers = 2, .membarrier = "on"));
    assert_int_equal(registrations() & PRIVATE_EXPEDITED, PRIVATE_EXPEDITED);
}

static void *begin(void *arg)
{
    return arg;
}

int main(void)
{
    mallopt(M_ARENA_MAX, 1); /* else the C library maps as much as a slab whenever more threads allocate at once than ever before */
    pthread_t first; /* a sanitizer starts a thread of its own with it, of this name and not of ours */
    if (pthread_create(&first, NULL, begin, NULL) == 0)
        pthread_join(first, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_process_is_registered_for_membarrier_for_good), /* first */
        cmocka_unit_test(nothing_of_the_process_is_changed_unasked),
        cmocka_unit_test(threads_have_names_and_end),
        cmocka_unit_test(threads_block_all_but_their_own_faults),
        cmocka_unit_test(dispositions_are_changed_on_demand_and_given_back),
        cmocka_unit_test(an_alternate_stack_is_there_on_demand),
        cmocka_unit_test(names_are_cut_before_what_tells_threads_apart),
        cmocka_unit_test(threads_have_stacks_of_the_size_that_is_told),
        cmocka_unit_test(what_brings_descriptors_and_what_does_not),
        cmocka_unit_test(a_configuration_file_is_closed),
        cmocka_unit_test(a_few_descriptors_come_with_the_first_wait_and_go),
        cmocka_unit_test(stacks_are_mapped_by_the_slab_and_unmapped),
        cmocka_unit_test(only_variables_of_its_own_are_read),
        cmocka_unit_test(scheduling_is_as_the_caller_has_it_but_for_the_timers_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
