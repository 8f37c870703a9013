/* spawn WORKERS: 1000 groups of 1000 tasks that do nothing, spawned and closed. */
#include <yoke/yoke.h>

#include "measure.h"

enum { GROUPS = 1000, TASKS = 1000 };

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int app(void *arg)
{
    double begin = now_ns();
    for (int i = 0; i < GROUPS; i++) {
        YOKE_GROUP(g);
        for (int k = 0; k < TASKS; k++)
            YOKE_TRY(yoke_spawn_ptr(g, nothing, NULL));
        YOKE_TRY(yoke_group_close(g, 0));
    }
    *(double *)arg = now_ns() - begin;
    return 0;
}

int main(int argc, char **argv)
{
    int workers = number(argc, argv, 1, 1);
    double ns;
    char what[32];
    if (yoke_run(app, &ns, YOKE_OPTIONS(.workers = workers)) < 0)
        return 1;
    snprintf(what, sizeof what, "spawn-%d", workers);
    print_result(what, "yoke", ns / (GROUPS * TASKS), "ns/task");
    return 0;
}
