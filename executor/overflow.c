/*
 * overflow.c - stack overflow, told with the task's name. Opt-in, since SIGSEGV's handler belongs to the process.
 *
 * The handler runs on an alternate stack, on the worker that overflowed. A fault that is not in a guard of that worker's runtime is passed
 * on to whatever handler stood there before. Only async-signal-safe calls.
 */
#include "runtime.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

enum { SIGNAL_STACK = 32 * 1024 };

static struct yoke__lock lock; /* the three below */
static int users;
static struct sigaction before;

static void say(const char *text)
{
    (void)yoke__os_write(2, text, strlen(text));
}

static void say_number(unsigned long n)
{
    char digits[24], *at = digits + sizeof digits;
    *--at = '\0';
    do
        *--at = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    say(at);
}

static void pass_on(int signal, siginfo_t *info, void *context)
{
    if ((before.sa_flags & SA_SIGINFO) != 0) {
        before.sa_sigaction(signal, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
    } else {
        struct sigaction fallback = { .sa_handler = SIG_DFL };
        sigaction(signal, &fallback, NULL); /* the instruction faults again */
    }
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    struct yoke__worker *w = yoke__self();
    if (w == NULL || yoke__stack_find_guard(&w->rt->stacks, info->si_addr) == NULL) {
        pass_on(signal, info, context);
        return;
    }
    const struct yoke__task *task = w->head.strand != NULL ? yoke__current(w)->task : NULL;
    say(w->rt->name);
    say(": stack overflow in task '");
    say(task != NULL ? task->name : "(scheduler)");
    say("'");
    if (task != NULL && task->site != NULL) {
        say(" (spawned at ");
        say(task->site->file);
        say(":");
        say_number((unsigned long)task->site->line);
        say(")");
    }
    say("; stack_size = ");
    say_number((unsigned long)w->rt->stacks.stack_size);
    say("\n");
    abort();
}

int yoke__overflow_install(void)
{
    int rc = 0;
    yoke__lock_acquire(&lock);
    if (users++ == 0) {
        struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
        sigemptyset(&action.sa_mask);
        rc = sigaction(SIGSEGV, &action, &before) < 0 ? -errno : 0;
        if (rc < 0)
            users--;
    }
    yoke__lock_release(&lock);
    return rc;
}

void yoke__overflow_remove(void)
{
    yoke__lock_acquire(&lock);
    if (--users == 0)
        sigaction(SIGSEGV, &before, NULL);
    yoke__lock_release(&lock);
}

int yoke__overflow_enter_thread(void **memory)
{
    *memory = yoke__os_alloc(SIGNAL_STACK, 64);
    if (*memory == NULL)
        return -ENOMEM;
    stack_t stack = { .ss_sp = *memory, .ss_size = SIGNAL_STACK };
    return sigaltstack(&stack, NULL) < 0 ? -errno : 0;
}

void yoke__overflow_leave_thread(void *memory)
{
    if (memory == NULL)
        return;
    stack_t none = { .ss_flags = SS_DISABLE };
    sigaltstack(&none, NULL);
    yoke__os_free(memory);
}
