/* fib FORM WORKERS N: fib without cutoff; FORM is typed or plain. */
#include <yoke/yoke.h>

#include <string.h>

#include "measure.h"

static long fib(long n);
YOKE_FORK_DEFINE1(fib, long, long)

static long fib(long n)
{
    if (n < 2)
        return n;
    fib_fork f;
    fib_fork_begin(&f, n - 1);
    long b = fib(n - 2);
    return fib_fork_join(&f) + b;
}

struct call {
    long n, result;
};

static int plain(void *arg)
{
    struct call *c = arg;
    if (c->n < 2) {
        c->result = c->n;
        return 0;
    }
    struct call a = { c->n - 1, 0 }, b = { c->n - 2, 0 };
    yoke_forked f;
    yoke_fork(&f, plain, &a);
    plain(&b);
    int rc = yoke_join(&f);
    c->result = a.result + b.result;
    return rc;
}

struct job {
    int typed;
    long n, result;
    double ns;
};

static int app(void *arg)
{
    struct job *job = arg;
    double begin = now_ns();
    if (job->typed) {
        job->result = fib(job->n);
    } else {
        struct call c = { job->n, 0 };
        plain(&c);
        job->result = c.result;
    }
    job->ns = now_ns() - begin;
    return 0;
}

int main(int argc, char **argv)
{
    const char *form = argc > 1 ? argv[1] : "typed";
    int workers = number(argc, argv, 2, 1), n = number(argc, argv, 3, 38);
    struct job job = { .typed = strcmp(form, "typed") == 0, .n = n };
    char what[32], subject[32];
    if (yoke_run(app, &job, YOKE_OPTIONS(.workers = workers)) < 0)
        return 1;
    snprintf(what, sizeof what, "fib-%d", workers);
    snprintf(subject, sizeof subject, "yoke-%s", form);
    print_result(what, subject, job.ns / forks_of(n), "ns/fork");
    return job.result < n ? 1 : 0;
}
