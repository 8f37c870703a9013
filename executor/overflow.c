/*
 * overflow.c - stack overflow, told with the task's name. Opt-in, since SIGSEGV's handler belongs to the process.
 *
 * The handler runs on an alternate stack, on the worker that overflowed. A fault that is not in the guard of the stack that this worker is on
 * is passed on to whatever stood there before, as if ours were not there: same arguments, same mask, and what the kernel does by itself
 * (the default action; ignoring what was sent) is left to the kernel. Only async-signal-safe calls.
 *
 * `before` is written while our handler is not in place, so that a fault in any thread finds it whole. Who has put a handler over
 * ours keeps it, and may go on passing to ours: then ours stays in place, below.
 */
#include "runtime.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"

enum { SIGNAL_STACK = 32 * 1024, LINE = 1024 };

static struct yoke__lock lock; /* the three below */
static int users;
static bool in_place;
static struct sigaction before;

/* ---- the report ------------------------------------------------------------------------------------------------------- */

struct line {
    char text[LINE];
    size_t length;
};

static void say(struct line *line, const char *text)
{
    while (*text != '\0' && line->length < LINE - 1) /* room for the newline */
        line->text[line->length++] = *text++;
}

static void say_number(struct line *line, unsigned long n)
{
    char digits[24], *at = digits + sizeof digits;
    *--at = '\0';
    do
        *--at = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    say(line, at);
}

static void report(struct yoke__worker *w)
{
    struct line line = { .length = 0 };
    const struct yoke__task *task = w->head.strand != NULL ? yoke__current(w)->task : NULL;
    say(&line, w->rt->name);
    say(&line, ": stack overflow (stack_size = ");
    say_number(&line, (unsigned long)yoke__large_pool(w->rt, w->fiber->large)->stack_size);
    say(&line, ") in task '");
    say(&line, task != NULL ? task->name : "(scheduler)");
    say(&line, "'");
    if (task != NULL && task->site != NULL) {
        say(&line, " (spawned at ");
        say(&line, task->site->file);
        say(&line, ":");
        say_number(&line, (unsigned long)task->site->line);
        say(&line, ")");
    }
    line.text[line.length++] = '\n';
    (void)yoke__os_write(2, line.text, line.length);
}

/* One report, however many overflow at the same time: the others wait here for the end. */
static _Noreturn void tell_and_abort(struct yoke__worker *w)
{
    static uint32_t told;
    if (yoke__xchg_acq_rel(&told, 1) != 0) /* nothing is ordered by it */
        for (;;)
            (void)yoke__os_futex_wait(&told, 1, UINT64_MAX);
    report(w);
    abort();
}

/* ---- the handler ------------------------------------------------------------------------------------------------------ */

static void pass_on(int signal, siginfo_t *info, void *context)
{
    bool sent = info->si_code <= 0; /* by kill(2) and the like; otherwise the instruction will fault again */
    if ((before.sa_flags & SA_SIGINFO) != 0) {
        before.sa_sigaction(signal, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
    } else if (before.sa_handler == SIG_DFL || !sent) { /* a fault cannot be ignored */
        struct sigaction fallback = { .sa_handler = SIG_DFL };
        (void)yoke__os_signal_action(signal, &fallback, NULL);
        if (sent)
            (void)yoke__os_signal_again(signal, info);
    }
}

static bool overflowed(const struct yoke__worker *w, const siginfo_t *info)
{
    if (w == NULL || info->si_code <= 0 || w->fiber->base == NULL)
        return false;
    return yoke__stack_find_guard(yoke__large_pool(w->rt, w->fiber->large), info->si_addr) == w->fiber->base;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    struct yoke__worker *w = yoke__self();
    if (overflowed(w, info))
        tell_and_abort(w);
    pass_on(signal, info, context);
}

/* ---- putting it in place ---------------------------------------------------------------------------------------------- */

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == on_fault;
}

static int put_in_place(void)
{
    int rc = yoke__os_signal_action(SIGSEGV, NULL, &before);
    /* The kernel does for us what it would have done for the one before. */
    struct sigaction action = { .sa_sigaction = on_fault,
                                .sa_mask = before.sa_mask,
                                .sa_flags = SA_SIGINFO | SA_ONSTACK | (before.sa_flags & (int)(SA_NODEFER | SA_RESETHAND | SA_RESTART)) };
    if (rc == 0)
        rc = yoke__os_signal_action(SIGSEGV, &action, NULL);
    in_place = rc == 0;
    return rc;
}

/* Nobody needs it any more. */
static void take_out(void)
{
    struct sigaction now;
    if (yoke__os_signal_action(SIGSEGV, NULL, &now) < 0)
        return;
    bool handled = (now.sa_flags & SA_SIGINFO) != 0 || (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN);
    if (is_ours(&now))
        in_place = yoke__os_signal_action(SIGSEGV, &before, NULL) < 0;
    else if (!handled)
        in_place = false; /* nobody is left who could pass on to ours */
}

static void forget(void)
{
    if (users > 0)
        take_out();
    users = 0;
}

static struct yoke__process_part part = { .lock = &lock, .forget = forget };

int yoke__overflow_install(void)
{
    yoke__process_add(&part);
    yoke__lock_acquire(&lock);
    int rc = in_place ? 0 : put_in_place();
    if (rc == 0)
        users++;
    yoke__lock_release(&lock);
    return rc;
}

void yoke__overflow_remove(void)
{
    yoke__lock_acquire(&lock);
    if (--users == 0)
        take_out();
    yoke__lock_release(&lock);
}

/* ---- alternate stacks ------------------------------------------------------------------------------------------------- */

struct signal_stack {
    char bytes[SIGNAL_STACK];
    stack_t before; /* of a sanitizer, perhaps */
};

int yoke__overflow_enter_thread(void **memory)
{
    struct signal_stack *own = yoke__os_alloc(sizeof *own, 64);
    *memory = NULL;
    if (own == NULL)
        return -ENOMEM;
    stack_t stack = { .ss_sp = own->bytes, .ss_size = sizeof own->bytes };
    int rc = yoke__os_signal_stack(&stack, &own->before);
    if (rc < 0) {
        yoke__os_free(own);
        return rc;
    }
    yoke__os_signal_unblock(SIGSEGV); /* a program that blocks every signal, to wait for them in a thread, has its threads inherit that */
    *memory = own;
    return 0;
}

void yoke__overflow_leave_thread(void *memory)
{
    struct signal_stack *own = memory;
    if (own == NULL)
        return;
    (void)yoke__os_signal_stack(&own->before, NULL);
    yoke__os_free(own);
}
