/*
 * resident WORKERS: what an idle runtime takes of memory: by how much the resident size has grown from before yoke_start to half a second after
 * it, and how much of that no other process shares. Page tables and what the kernel has for each thread are not in it.
 */
#include <yoke/yoke.h>

#include "resident.h"

int main(int argc, char **argv)
{
    int workers = number(argc, argv, 1, 2);
    yoke_runtime *rt;
    (void)memory_in_use(); /* touches what reading needs */
    struct memory before = memory_in_use();
    if (yoke_start(&rt, YOKE_OPTIONS(.workers = workers)) < 0)
        return 1;
    print_resident("yoke", workers, before);
    return yoke_stop(rt) < 0;
}
