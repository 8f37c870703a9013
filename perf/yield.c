/* yield: a task that yields to itself, and two that yield to each other. */
#include <yoke/yoke.h>

#include "measure.h"

enum { YIELDS = 1000000 };

static int yield_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < YIELDS; i++)
        YOKE_TRY(yoke_yield());
    return 0;
}

static int app(void *arg)
{
    double *ns = arg;
    double begin = now_ns();
    YOKE_TRY(yield_all(NULL));
    ns[0] = (now_ns() - begin) / YIELDS;
    begin = now_ns();
    YOKE_GROUP(g);
    YOKE_TRY(yoke_spawn_ptr(g, yield_all, NULL));
    YOKE_TRY(yoke_spawn_ptr(g, yield_all, NULL));
    YOKE_TRY(yoke_group_close(g, 0));
    ns[1] = (now_ns() - begin) / (2.0 * YIELDS);
    return 0;
}

int main(void)
{
    double ns[2];
    if (yoke_run(app, ns, YOKE_OPTIONS(.workers = 1)) < 0)
        return 1;
    print_result("yield-alone", "yoke", ns[0], "ns");
    print_result("yield-pair", "yoke", ns[1], "ns");
    return 0;
}
