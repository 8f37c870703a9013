/* run WORKERS: an empty yoke_run, the mean of 200. */
#include <yoke/yoke.h>

#include "measure.h"

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

int main(int argc, char **argv)
{
    enum { RUNS = 200 };
    int workers = number(argc, argv, 1, 1);
    char what[32];
    double begin = now_ns();
    for (int i = 0; i < RUNS; i++)
        if (yoke_run(nothing, NULL, YOKE_OPTIONS(.workers = workers)) < 0)
            return 1;
    snprintf(what, sizeof what, "run-%d", workers);
    print_result(what, "yoke", (now_ns() - begin) / RUNS / 1e6, "ms");
    return 0;
}
