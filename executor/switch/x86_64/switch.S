/*
 * switch.S - context switch for x86-64, System V ABI (see ../switch.h for the contract).
 *
 * A saved context, from its stack pointer up:  mxcsr, x87 control word | r15 r14 r13 r12 rbx rbp | return address.
 * mxcsr is reloaded only if its control bits (0xffc0) differ: loading it costs some 60 ns, comparing next to nothing.
 */
        .text
        .globl  yoke__switch
        .hidden yoke__switch
        .type   yoke__switch, @function
        .p2align 4
yoke__switch:
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movl    (%rsp), %ecx
        movzwl  4(%rsp), %r8d
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp              /* from here on the other context's stack, of the same layout */
        xorl    (%rsp), %ecx
        testl   $0xffc0, %ecx
        jne     .Lload_mxcsr
.Lmxcsr_done:
        cmpw    4(%rsp), %r8w
        jne     .Lload_x87
.Lx87_done:
        movq    %rdx, %rax
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        ret                             /* predicted well if both contexts were left by the same call: see switch.h */
        .cfi_adjust_cfa_offset 56       /* the slow loads stand on the full frame again */
        .cfi_rel_offset %r15, 8
        .cfi_rel_offset %r14, 16
        .cfi_rel_offset %r13, 24
        .cfi_rel_offset %r12, 32
        .cfi_rel_offset %rbx, 40
        .cfi_rel_offset %rbp, 48
.Lload_mxcsr:
        ldmxcsr (%rsp)
        jmp     .Lmxcsr_done
.Lload_x87:
        fldcw   4(%rsp)
        jmp     .Lx87_done
        .cfi_endproc
        .size   yoke__switch, . - yoke__switch

/* Where a fresh context begins: rbx holds its entry, rax the argument. */
        .type   enter, @function
        .p2align 4
enter:
        .cfi_startproc
        .cfi_undefined %rip             /* the end of the stack for unwinders */
        endbr64
        movq    %rax, %rdi
        xorl    %ebp, %ebp
        callq   *%rbx
        ud2
        .cfi_endproc
        .size   enter, . - enter

/* void *yoke__switch_make(void *stack_top (rdi), void (*entry)(void *) (rsi)) */
        .globl  yoke__switch_make
        .hidden yoke__switch_make
        .type   yoke__switch_make, @function
        .p2align 4
yoke__switch_make:
        .cfi_startproc
        endbr64
        andq    $-16, %rdi
        leaq    enter(%rip), %rax
        movq    $0, -8(%rdi)            /* keeps the entry's stack aligned as after a call */
        movq    $0, -16(%rdi)
        movq    %rax, -24(%rdi)         /* popped and jumped to: rsp is then top - 16 */
        movq    $0, -32(%rdi)           /* rbp */
        movq    %rsi, -40(%rdi)         /* rbx: entry */
        movq    $0, -48(%rdi)           /* r12 */
        movq    $0, -56(%rdi)
        movq    $0, -64(%rdi)
        movq    $0, -72(%rdi)           /* r15 */
        leaq    -80(%rdi), %rax
        stmxcsr (%rax)                  /* the control state of whoever makes the context */
        fnstcw  4(%rax)
        ret
        .cfi_endproc
        .size   yoke__switch_make, . - yoke__switch_make

        .section .note.GNU-stack, "", @progbits
