/* The documented idioms, as a user compiles them: strictly C11. */
#include <yoke/yoke.h>

#include <stdio.h>
#include <stdlib.h>

struct square {
    int n;
    int *out;
};

static int square(void *arg)
{
    const struct square *s = arg;
    *s->out = s->n * s->n;
    return 0;
}

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

typedef char text;
static void text_scoped(text **t)
{
    free(*t);
}

static const yoke_local language = { .name = "language", .fallback = NULL };

static int app(void *arg)
{
    int out[4] = { 0, 0, 0, 0 }, sum = 0, *want = arg;
    YOKE_SCOPED(text) buffer = malloc(16);
    if (buffer == NULL)
        return yoke_fail(-12, "no %s", "memory");
    YOKE_LOCAL(&language, buffer);
    YOKE_SCOPE(s, .deadline = yoke_after(YOKE_SEC(3600)));
    YOKE_GROUP(g, .name = "squares", .policy = YOKE_ALL);
    for (int i = 0; i < 3; i++)
        YOKE_TRY(yoke_spawn(g, square, struct square, i, &out[i]));
    yoke_task handle;
    YOKE_TRY(yoke_spawn_with(g, (.handle = &handle, .name = "last"), square, struct square, 3, &out[3]));
    YOKE_TRY(yoke_group_close(g, 0));
    YOKE_TRY(yoke_scope_close(s, 0));
    for (int i = 0; i < 4; i++)
        sum += out[i];
    struct square one = { 5, &out[0] };
    YOKE_FORK(f, square, &one);
    YOKE_TRY(YOKE_JOIN(f));
    yoke_forked plain;
    yoke_fork(&plain, square, &one);
    YOKE_TRY(yoke_join(&plain));
    YOKE_TRY(yoke_checkpoint());
    *want = sum + out[0] + (int)fib(10);
    return 0;
}

int main(void)
{
    int got = 0;
    int rc = yoke_run(app, &got, YOKE_OPTIONS(.workers = 2));
    printf("%d %d\n", rc, got);
    return rc == 0 && got == 14 + 25 + 55 ? 0 : 1;
}
