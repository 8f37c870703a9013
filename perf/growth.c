/*
 * growth RANGE VALUE [TOTAL]: what a task costs, spawn and close, as numbers grow. The same number of tasks in all, whatever VALUE is.
 *   tasks     VALUE empty tasks a group, one worker
 *   depth     groups within groups, VALUE deep, with one task each that opens the next; one worker
 *   workers   VALUE workers; 1000 empty tasks a group
 * Each task marks its place, and each place is looked at after each round. The first round is warming up.
 */
#include <errno.h>
#include <yoke/yoke.h>

#include "growth.h"

struct level {
    struct growth *growth;
    int left;
};

static int mark(void *arg)
{
    ++*(unsigned char *)arg;
    return 0;
}

static int spawn_all(struct growth *growth)
{
    YOKE_GROUP(g);
    for (int i = 0; i < growth->tasks; i++)
        YOKE_TRY(yoke_spawn_ptr(g, mark, &growth->places[i]));
    return yoke_group_close(g, 0);
}

static int descend(void *arg)
{
    struct level *level = arg;
    if (level->left == 0)
        return 0;
    level->growth->places[--level->left]++;
    YOKE_GROUP(g);
    YOKE_TRY(yoke_spawn(g, descend, struct level, level->growth, level->left));
    return yoke_group_close(g, 0);
}

struct run { struct growth growth; double ns; };

static int app(void *arg)
{
    struct run *run = arg;
    for (int round = 0; round <= run->growth.rounds; round++) {
        double begin = now_ns();
        if (strcmp(run->growth.range, "depth") == 0)
            YOKE_TRY(descend(&(struct level){ &run->growth, run->growth.tasks }));
        else
            YOKE_TRY(spawn_all(&run->growth));
        if (round > 0)
            run->ns += now_ns() - begin;
        if (!growth_right(&run->growth, round))
            return -EBADMSG;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct run run = { growth_asked(argc, argv), 0 };
    if (yoke_run(app, &run, YOKE_OPTIONS(.workers = run.growth.workers)) < 0)
        return 1;
    growth_print(&run.growth, "yoke", run.ns);
    return 0;
}
