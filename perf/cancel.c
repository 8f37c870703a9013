/* cancel [TASKS]: blocked tasks, cancelled and joined, on two workers. */
#include <errno.h>
#include <yoke/yoke.h>

#include "measure.h"

static int tasks, blocked, cancelled;

static int block(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&blocked, 1, __ATOMIC_RELAXED);
    int rc = yoke_sleep_until(YOKE_NEVER);
    if (rc == -ECANCELED)
        __atomic_add_fetch(&cancelled, 1, __ATOMIC_RELAXED);
    return rc;
}

static int app(void *arg)
{
    YOKE_GROUP(g);
    for (int i = 0; i < tasks; i++)
        YOKE_TRY(yoke_spawn_ptr(g, block, NULL));
    while (__atomic_load_n(&blocked, __ATOMIC_RELAXED) < tasks)
        YOKE_TRY(yoke_sleep(YOKE_MS(1)));
    YOKE_TRY(yoke_sleep(YOKE_MS(20)));
    double begin = now_ns();
    YOKE_TRY(yoke_group_cancel(g, 0));
    YOKE_TRY(yoke_group_close(g, 0));
    *(double *)arg = (now_ns() - begin) / 1e6;
    return 0;
}

int main(int argc, char **argv)
{
    double ms;
    tasks = number(argc, argv, 1, 100000);
    if (yoke_run(app, &ms, YOKE_OPTIONS(.workers = 2)) < 0 || cancelled != tasks)
        return 1;
    print_result("cancel", "yoke", ms, "ms");
    return 0;
}
