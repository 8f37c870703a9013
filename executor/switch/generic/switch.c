/*
 * switch.c - context switch on ucontext(3), for processors without an assembly version. Some fifty times slower (it changes the
 * signal mask by a system call each time; to the one it has, for a mask belongs to a thread and not to a fiber). The context's record lies at the top of its stack, or in the saver's frame.
 */
#include "../switch.h"

#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

struct context {
    ucontext_t registers;
    void (*entry)(void *arg);
    void *arg; /* what the next continuation is handed */
};

static void enter(unsigned high, unsigned low)
{
    struct context *me = (struct context *)(void *)(((uintptr_t)high << 32) | low);
    me->entry(me->arg);
    __builtin_trap();
}

void *yoke__switch(void **save, void *to, void *arg)
{
    struct context me, *next = to;
    me.arg = 0;
    next->arg = arg;
    *save = &me;
    pthread_sigmask(SIG_BLOCK, NULL, &next->registers.uc_sigmask);
    swapcontext(&me.registers, &next->registers);
    return me.arg;
}

void *yoke__switch_make(void *stack_top, void (*entry)(void *arg))
{
    uintptr_t top = ((uintptr_t)stack_top - sizeof(struct context)) & ~(uintptr_t)63;
    struct context *fresh = (struct context *)(void *)top;
    getcontext(&fresh->registers);
    fresh->entry = entry;
    fresh->registers.uc_stack.ss_sp = (void *)(top - 8192);
    fresh->registers.uc_stack.ss_size = 8192;
    fresh->registers.uc_link = 0;
    makecontext(&fresh->registers, (void (*)(void))enter, 2, (unsigned)((uintptr_t)fresh >> 32), (unsigned)((uintptr_t)fresh & 0xffffffffu));
    return fresh;
}
