/*
 * switch.h - the contract of the context switch, one implementation per folder.
 *
 * A context is a stack pointer: everything else is saved on its stack. Kept across a switch, as the platform's calling convention
 * asks of a function call: callee-saved registers, the floating-point control state (x86: the control bits of mxcsr and the x87
 * control word), stack alignment. Not kept: caller-saved registers, floating-point flags, the signal mask. Call frame information
 * lets a debugger unwind through a switch and stops it at a context's entry.
 */
#ifndef YOKE_EXECUTOR_SWITCH_H
#define YOKE_EXECUTOR_SWITCH_H

#pragma GCC visibility push(hidden)

/*
 * Saves the current context in *save, continues the context `to`; there, yoke__switch returns `arg` (or its entry is called with
 * it). Returns when somebody continues the saved context. A context may be continued once per save, by any thread.
 *
 * The processor predicts where a `ret` goes by the calls before it, here those of the context that is left. So there should be one call of
 * this function only, reached by few ways: then the predictions hold for the context that is continued, this function's return and its callers'.
 */
void *yoke__switch(void **save, void *to, void *arg);

/* A fresh context at the upper end of a stack; when first continued, entry(arg) is called; it must not return. */
void *yoke__switch_make(void *stack_top, void (*entry)(void *arg));

#pragma GCC visibility pop

#endif
