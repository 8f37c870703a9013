/* switch [TIMES]: a task that yields to itself; two that yield to each other; two that hand a permit to each other. One worker. */
#include <errno.h>
#include <yoke/yoke.h>

#include "measure.h"

static int times;
static long done; /* one worker: no two count at once */

static int yield_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < times; i++)
        YOKE_TRY(yoke_yield());
    done += times;
    return 0;
}

struct ping { yoke_semaphore *mine, *other; };

static int ping(void *arg)
{
    struct ping *p = arg;
    for (int i = 0; i < times; i++) {
        YOKE_TRY(yoke_semaphore_acquire(p->mine));
        YOKE_TRY(yoke_semaphore_release(p->other));
    }
    done += times;
    return 0;
}

static int app(void *arg)
{
    double *ns = arg;
    double begin = now_ns();
    YOKE_TRY(yield_all(NULL));
    ns[0] = (now_ns() - begin) / times;

    begin = now_ns();
    YOKE_GROUP(g);
    YOKE_TRY(yoke_spawn_ptr(g, yield_all, NULL));
    YOKE_TRY(yoke_spawn_ptr(g, yield_all, NULL));
    YOKE_TRY(yoke_group_close(g, 0));
    ns[1] = (now_ns() - begin) / (2.0 * times);

    yoke_semaphore a, b;
    YOKE_TRY(yoke_semaphore_init(&a, 1, 1));
    YOKE_TRY(yoke_semaphore_init(&b, 0, 1));
    begin = now_ns();
    YOKE_GROUP(h);
    YOKE_TRY(yoke_spawn(h, ping, struct ping, &a, &b));
    YOKE_TRY(yoke_spawn(h, ping, struct ping, &b, &a));
    YOKE_TRY(yoke_group_close(h, 0));
    ns[2] = (now_ns() - begin) / (2.0 * times);
    YOKE_TRY(yoke_semaphore_try_acquire(&a)); /* where it was at first */
    return done == 5L * times ? 0 : -EPROTO;
}

int main(int argc, char **argv)
{
    double ns[3];
    times = number(argc, argv, 1, 2000000);
    if (yoke_run(app, ns, YOKE_OPTIONS(.workers = 1)) < 0)
        return 1;
    print_result("yield-alone", "yoke", ns[0], "ns");
    print_result("yield-pair", "yoke", ns[1], "ns");
    print_result("hand-over", "yoke", ns[2], "ns");
    return 0;
}
