/* run_threads N: as many threads as a runtime of N workers starts, the one for timers and events included; started and joined, the mean of 200. */
#include <pthread.h>

#include "measure.h"

static void *nothing(void *arg)
{
    return arg;
}

int main(int argc, char **argv)
{
    enum { RUNS = 200, MOST = 64 };
    int workers = number(argc, argv, 1, 1);
    pthread_t threads[MOST + 1];
    char what[32];
    double begin = now_ns();
    for (int i = 0; i < RUNS; i++) {
        for (int k = 0; k <= workers && k <= MOST; k++)
            if (pthread_create(&threads[k], NULL, nothing, threads) != 0)
                return 1;
        for (int k = 0; k <= workers && k <= MOST; k++) {
            void *result;
            if (pthread_join(threads[k], &result) != 0 || result != threads)
                return 1;
        }
    }
    snprintf(what, sizeof what, "run-%d", workers);
    print_result(what, "plain-C", (now_ns() - begin) / RUNS / 1e6, "ms");
    return 0;
}
