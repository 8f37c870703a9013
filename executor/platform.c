/*
 * platform.c - the OS boundary on Linux.
 */
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"

/* ---- injected faults -------------------------------------------------------------------------------------------------- */

#ifdef YOKE_FAULTS
static struct {
    int left, err, count;
} faults[YOKE__OS_CALLS];

void yoke__os_fault_set(enum yoke__os_call which, int nth, int err)
{
    yoke__store_seq(&faults[which].err, err);
    yoke__store_seq(&faults[which].left, nth);
}

void yoke__os_fault_clear(void)
{
    for (int i = 0; i < YOKE__OS_CALLS; i++) {
        yoke__store_seq(&faults[i].left, 0);
        yoke__store_seq(&faults[i].count, 0);
    }
}

int yoke__os_fault_count(enum yoke__os_call which)
{
    return yoke__load_seq(&faults[which].count);
}

int yoke__os_fault(enum yoke__os_call which)
{
    yoke__add_seq(&faults[which].count, 1);
    int left = yoke__load_seq(&faults[which].left);
    while (left != 0) {
        if (left == -1)
            return yoke__load_seq(&faults[which].err);
        if (yoke__cas_seq(&faults[which].left, &left, left - 1))
            return left == 1 ? yoke__load_seq(&faults[which].err) : 0;
    }
    return 0;
}

static struct yoke__os_taken taken;

struct yoke__os_taken yoke__os_taken(void)
{
    return (struct yoke__os_taken){ yoke__load_seq(&taken.pieces), yoke__load_seq(&taken.bytes) };
}

#define fault(which) yoke__os_fault(which)
#define count(what, n) ((void)yoke__add_seq(&taken.what, (int64_t)(n)))
#else
#define fault(which) 0
#define count(what, n) ((void)(n))
#endif

static int result(long rc)
{
    return rc < 0 ? -errno : (int)rc;
}

/* ---- memory ----------------------------------------------------------------------------------------------------------- */

size_t yoke__os_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void *yoke__os_mmap(size_t bytes, int flags, int *err)
{
    int injected = fault(YOKE__OS_MMAP);
    void *at = injected != 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (at == MAP_FAILED) {
        *err = injected != 0 ? -injected : -errno;
        return NULL;
    }
    *err = 0;
    count(bytes, bytes);
    return at;
}

int yoke__os_munmap(void *at, size_t bytes)
{
    int injected = fault(YOKE__OS_MUNMAP), rc = injected != 0 ? -injected : result(munmap(at, bytes));
    if (rc == 0)
        count(bytes, -(int64_t)bytes);
    return rc;
}

int yoke__os_madvise(void *at, size_t bytes, int advice)
{
    int injected = fault(YOKE__OS_MADVISE);
    return injected != 0 ? -injected : result(madvise(at, bytes, advice));
}

int yoke__os_mprotect(void *at, size_t bytes, int protection)
{
    int injected = fault(YOKE__OS_MPROTECT);
    return injected != 0 ? -injected : result(mprotect(at, bytes, protection));
}

int yoke__os_mincore(void *at, size_t bytes, unsigned char *vec)
{
    return result(mincore(at, bytes, vec));
}

void *yoke__os_alloc(size_t bytes, size_t align)
{
    if (fault(YOKE__OS_ALLOC) != 0 || bytes > SIZE_MAX / 2)
        return NULL;
    if (align < sizeof(void *))
        align = sizeof(void *);
    void *at = aligned_alloc(align, (bytes + align - 1) / align * align);
    count(pieces, at != NULL);
    return at;
}

void yoke__os_free(void *at)
{
    count(pieces, -(at != NULL));
    free(at);
}

/* ---- time and waiting --------------------------------------------------------------------------------------------------- */

uint64_t yoke__os_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int yoke__os_futex_wait(uint32_t *word, uint32_t expected, uint64_t deadline)
{
    struct timespec until = { .tv_sec = (time_t)(deadline / 1000000000u), .tv_nsec = (long)(deadline % 1000000000u) };
    /* FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, FUTEX_WAIT a relative one. */
    int rc = result(syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, deadline == UINT64_MAX ? NULL : &until, NULL,
                            FUTEX_BITSET_MATCH_ANY));
#ifdef YOKE__TSAN
    (void)yoke__os_now(); /* ThreadSanitizer holds signal handlers back until a call that it intercepts: this one */
#endif
    return rc;
}

int yoke__os_futex_wake(uint32_t *word, int n)
{
    int saved = errno; /* also called by signal handlers */
    int rc = result(syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, n, NULL, NULL, 0));
    errno = saved;
    return rc;
}

int yoke__os_membarrier_register(void)
{
    int injected = fault(YOKE__OS_MEMBARRIER);
    return injected != 0 ? -injected : result(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
}

int yoke__os_membarrier(void)
{
    return result(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
}

/* ---- threads ---------------------------------------------------------------------------------------------------------- */

/*
 * What a thread of the runtime leaves to the program's own threads: every signal but those that an instruction of its own raises (the
 * kernel kills, past any handler, who blocks them) and a profiler's tick, which is to strike whoever works.
 */
static void thread_mask(sigset_t *mask)
{
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF };
    sigfillset(mask);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(mask, own[i]);
}

struct start {
    void *(*fn)(void *);
    void *arg;
    sigset_t outside;
};

/* The mask that the thread would have if it were none of ours; lives as long as the thread does. */
static __thread const sigset_t *outside __attribute__((tls_model("initial-exec")));

static void *begin(void *arg)
{
    struct start *start = arg;
    outside = &start->outside;
    void *result_of = start->fn(start->arg);
    outside = NULL;
    yoke__os_free(start);
    return result_of;
}

int yoke__os_thread_start(pthread_t *thread, const char *name, size_t stack_bytes, void *(*fn)(void *), void *arg)
{
    int injected = fault(YOKE__OS_THREAD);
    if (injected != 0)
        return -injected;
    struct start *start = yoke__os_alloc(sizeof *start, sizeof(void *));
    if (start == NULL)
        return -ENOMEM;
    *start = (struct start){ .fn = fn, .arg = arg };
    pthread_attr_t attributes;
    int rc = pthread_attr_init(&attributes);
    if (rc != 0) {
        yoke__os_free(start);
        return -rc;
    }
    if (stack_bytes != 0)
        rc = pthread_attr_setstacksize(&attributes, stack_bytes < (size_t)PTHREAD_STACK_MIN ? (size_t)PTHREAD_STACK_MIN : stack_bytes);
    if (rc == 0) {
        sigset_t mask, before;
        char own[16] = "", cut[16];
        snprintf(cut, sizeof cut, "%s", name);
        thread_mask(&mask);
        pthread_sigmask(SIG_BLOCK, &mask, &before);
        start->outside = outside != NULL ? *outside : before;
        /* A thread inherits its name: two prctl(2) cost a tenth of what pthread_setname_np does by way of /proc. */
        (void)prctl(PR_GET_NAME, own, 0, 0, 0);
        (void)prctl(PR_SET_NAME, cut, 0, 0, 0);
        rc = pthread_create(thread, &attributes, begin, start);
        (void)prctl(PR_SET_NAME, own, 0, 0, 0);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attributes);
    if (rc != 0)
        yoke__os_free(start);
    return -rc;
}

void yoke__os_thread_disown(void)
{
    if (outside != NULL)
        pthread_sigmask(SIG_SETMASK, outside, NULL);
    outside = NULL;
}

int yoke__os_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    return -pthread_atfork(before, parent, child);
}

int yoke__os_thread_join(pthread_t thread)
{
    return -pthread_join(thread, NULL);
}

int yoke__os_gettid(void)
{
    return (int)syscall(SYS_gettid);
}

int yoke__os_affinity(cpu_set_t *set, size_t bytes)
{
    return result(sched_getaffinity(0, bytes, set));
}

int yoke__os_bind_self(const cpu_set_t *set, size_t bytes)
{
    int injected = fault(YOKE__OS_BIND);
    return injected != 0 ? -injected : result(sched_setaffinity(0, bytes, set));
}

int yoke__os_cpu(void)
{
    return sched_getcpu();
}

int yoke__os_sched_slice(uint64_t ns)
{
    int injected = fault(YOKE__OS_SLICE);
    if (injected != 0)
        return -injected;
    /* struct sched_attr, first version; the headers of older C libraries lack it */
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = { .size = 48 };
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) < 0)
        return -errno;
    if (attributes.policy != SCHED_OTHER && attributes.policy != SCHED_BATCH) /* the others have no slice */
        return -EINVAL;
    attributes.size = 48;
    attributes.flags &= 1; /* SCHED_FLAG_RESET_ON_FORK; the bounds of a newer version would need its size */
    attributes.runtime = ns; /* and nice as it is */
    return result(syscall(SYS_sched_setattr, 0, &attributes, 0));
}

int yoke__os_timerslack(uint64_t ns)
{
    return result(prctl(PR_SET_TIMERSLACK, ns, 0, 0, 0));
}

/* ---- signals ---------------------------------------------------------------------------------------------------------- */

int yoke__os_signal_action(int signal, const struct sigaction *action, struct sigaction *before)
{
    int injected = fault(YOKE__OS_SIGNAL_ACTION);
    return injected != 0 ? -injected : result(sigaction(signal, action, before));
}

int yoke__os_signal_stack(const stack_t *stack, stack_t *before)
{
    int injected = fault(YOKE__OS_SIGNAL_STACK);
    return injected != 0 ? -injected : result(sigaltstack(stack, before));
}

void yoke__os_signal_unblock(int signal)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, signal);
    pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
}

int yoke__os_signal_again(int signal, siginfo_t *info)
{
    return result(syscall(SYS_rt_tgsigqueueinfo, getpid(), yoke__os_gettid(), signal, info));
}

/* ---- files and environment -------------------------------------------------------------------------------------------- */

int yoke__os_read_file(const char *path, char *buffer, size_t cap)
{
    int injected = fault(YOKE__OS_READ);
    if (injected != 0)
        return -injected;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t have = 0;
    int rc = 0;
    while (have + 1 < cap) {
        ssize_t n = read(fd, buffer + have, cap - 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = n < 0 ? -errno : 0;
            break;
        }
        have += (size_t)n;
    }
    close(fd);
    buffer[have] = '\0';
    return rc < 0 ? rc : (int)have;
}

int yoke__os_write(int fd, const void *data, size_t bytes)
{
    int saved = errno;
    size_t done = 0;
    int rc = 0;
    while (done < bytes) {
        ssize_t n = write(fd, (const char *)data + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = n < 0 ? -errno : -EIO;
            break;
        }
        done += (size_t)n;
    }
    errno = saved;
    return rc < 0 ? rc : (int)(done > INT_MAX ? INT_MAX : done);
}

const char *yoke__os_getenv(const char *name)
{
    return yoke__os_setid() ? NULL : secure_getenv(name);
}

bool yoke__os_setid(void)
{
    return fault(YOKE__OS_SETID) != 0 || getauxval(AT_SECURE) != 0;
}

/* ---- broken invariants ------------------------------------------------------------------------------------------------ */

void (*yoke__panic_hook)(void);

_Noreturn void yoke__panic(const char *format, ...)
{
    char line[512] = "yoke: broken invariant: ";
    size_t at = strlen(line);
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(line + at, sizeof line - at - 1, format, ap);
    va_end(ap);
    at += n < 0 ? 0 : (size_t)n < sizeof line - at - 1 ? (size_t)n : sizeof line - at - 2;
    line[at] = '\n';
    (void)yoke__os_write(2, line, at + 1);
    void (*hook)(void) = yoke__load_relaxed(&yoke__panic_hook); /* always the same function */
    if (hook != NULL)
        hook();
    abort();
}
