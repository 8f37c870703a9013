/*
 * child.h - for tests of what ends a program: runs a piece of the test in a child process.
 */
#ifndef YOKE_TESTS_CHILD_H
#define YOKE_TESTS_CHILD_H

#include "support.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static char output[65536];

/* Runs body in a child process; its stderr is in `output`; returns the wait status. */
static int in_child(void (*body)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        dup2(ends[1], 2);
        close(ends[0]);
        body();
        _exit(0);
    }
    close(ends[1]);
    size_t have = 0;
    ssize_t n;
    while ((n = read(ends[0], output + have, sizeof output - 1 - have)) > 0)
        have += (size_t)n;
    output[have] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#endif
