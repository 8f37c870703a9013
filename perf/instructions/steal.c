/*
 * steal NAME N: as operations.c, on a deque alone, since whom a whole worker asks and how long it searches is up to the clock. `publish`: a
 * task's item pushed for all and taken back by its owner; `steal`: the same taken as a thief takes it.
 */
#include "deque.h"

#include "../measure.h"

int main(int argc, char **argv)
{
    int steal = argc > 1 && strcmp(argv[1], "steal") == 0, n = number(argc, argv, 2, 1000);
    struct yoke__deque deque;
    long ran = 0;
    if (yoke__deque_init(&deque, false) < 0)
        return 1;
    for (int i = 0; i < n; i++) {
        void *item = NULL;
        if (yoke__deque_push_public(&deque, &ran) < 0)
            return 1;
        if (!steal)
            item = yoke__deque_pop(&deque);
        else if (yoke__deque_steal(&deque, &item) != YOKE__STEAL_GOT)
            return 1;
        ran += item == &ran;
    }
    yoke__deque_destroy(&deque);
    return ran != n;
}
