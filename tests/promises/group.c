/* Groups: nothing is left behind, the table of close, who may do what, limits, reports. */
#include "support.h"

/* ---- small tasks ---- */

struct job {
    int rc;         /* to return */
    int yields;     /* before */
    int *count;     /* incremented at the end */
};

static int work(void *arg)
{
    struct job *job = arg;
    for (int i = 0; i < job->yields; i++)
        if (yoke_yield() < 0)
            break;
    if (job->count != NULL)
        add(job->count, 1);
    return job->rc;
}

static int sleep_long(void *arg)
{
    int rc = yoke_sleep_until(YOKE_NEVER);
    if (arg != NULL)
        add((int *)arg, 1);
    return rc;
}

/* ---- all children are awaited ---- */

static int spawn_many(void *arg)
{
    int count = 0;
    YOKE_GROUP(g, .name = "many");
    for (int i = 0; i < 1000; i++)
        check_int(yoke_spawn(g, work, struct job, .yields = i % 4, .count = &count), 0);
    check_int(yoke_group_close(g, 5), 5);
    check_int(count, 1000);
    (void)arg;
    return 0;
}

static int nested(void *arg)
{
    struct job *job = arg;
    if (job->yields == 0) {
        add(job->count, 1);
        return 0;
    }
    YOKE_GROUP(g);
    for (int i = 0; i < 4; i++)
        check_int(yoke_spawn(g, nested, struct job, .yields = job->yields - 1, .count = job->count), 0);
    return yoke_group_close(g, 0);
}

static int spawn_nested(void *arg)
{
    (void)arg;
    int count = 0;
    check_int(nested(&(struct job){ .yields = 6, .count = &count }), 0);
    check_int(count, 4096);
    return 0;
}

static void every_child_is_awaited(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        for (int i = 0; i < repetitions(30); i++) {
            assert_int_equal(run(workers, spawn_many, NULL), 0);
            assert_int_equal(run(workers, spawn_nested, NULL), 0);
        }
}

/* ---- leaving without close ---- */

static int left_by_return(int *count)
{
    YOKE_GROUP(g, .name = "forgotten");
    for (int i = 0; i < 5; i++)
        check_int(yoke_spawn_ptr(g, sleep_long, count), 0);
    return 0;
}

static int leave_in_all_ways(void *arg)
{
    (void)arg;
    int count = 0;
    left_by_return(&count);
    check_int(count, 5); /* joined before the frame was gone */
    check(reported("forgotten"));
    check(reported("group.c"));
    for (int i = 0; i < 2; i++) {
        YOKE_GROUP(g, .name = "loop");
        check_int(yoke_spawn_ptr(g, sleep_long, &count), 0);
        if (i == 0)
            continue;
        break;
    }
    check_int(count, 7);
    {
        YOKE_GROUP(g, .name = "jump");
        check_int(yoke_spawn_ptr(g, sleep_long, &count), 0);
        goto out;
    }
out:
    check_int(count, 8);
    check_int(yoke_checkpoint(), 0);
    return 0;
}

static void a_group_left_without_close_is_cancelled_joined_reported(void **state)
{
    (void)state;
    assert_int_equal(run(1, leave_in_all_ways, NULL), 0);
    assert_int_equal(run(4, leave_in_all_ways, NULL), 0);
}

static int end_with_open_group(void *arg)
{
    yoke_group g = yoke_group_open(NULL); /* the plain function: nothing closes it at block exit */
    return yoke_spawn_ptr(g, sleep_long, arg);
}

static int open_child(void *arg)
{
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    check_int(yoke_spawn_ptr(g, end_with_open_group, arg), 0);
    yoke_failure failures[1];
    yoke_group_report report = { .size = sizeof report, .failures = failures, .capacity = 1 };
    check_int(yoke_group_close_report(g, 0, &report), 0);
    check_int(report.failed, 1);
    check_int(failures[0].code, -EINVAL);
    check_int(*(int *)arg, 1);
    return 0;
}

static void a_task_that_ends_with_an_open_group_fails(void **state)
{
    (void)state;
    int count = 0;
    assert_int_equal(run(1, open_child, &count), 0);
    assert_true(reported("still open"));
    count = 0;
    assert_int_equal(run(1, end_with_open_group, &count), -EINVAL);
    assert_int_equal(count, 1);
}

static int close_outer_first(void *arg)
{
    (void)arg;
    int count = 0;
    yoke_group outer = yoke_group_open(&(yoke_group_options){ .size = sizeof(yoke_group_options), .name = "outer" });
    yoke_group inner = yoke_group_open(&(yoke_group_options){ .size = sizeof(yoke_group_options), .name = "inner" });
    check_int(yoke_spawn_ptr(inner, sleep_long, &count), 0);
    check_int(yoke_spawn(outer, work, struct job, .count = &count), 0);
    check_int(yoke_group_close(outer, 3), 3);
    check_int(count, 2);
    check(reported("inner"));
    check_int(yoke_group_close(inner, 0), -EINVAL);
    check_int(yoke_spawn_ptr(inner, sleep_long, &count), -ESHUTDOWN);
    return 0;
}

static void closing_outer_before_inner_joins_the_inner_first(void **state)
{
    (void)state;
    assert_int_equal(run(1, close_outer_first, NULL), 0);
    assert_int_equal(run(4, close_outer_first, NULL), 0);
}

/* ---- the table of close ---- */

static int fail_after_siblings_sleep(void *arg)
{
    check_int(yoke_yield(), 0);
    (void)arg;
    return -EIO;
}

static int close_table(void *arg)
{
    (void)arg;
    int count;
    { /* row 5: the body's result */
        YOKE_GROUP(g);
        check_int(yoke_group_close(g, 17), 17);
    }
    { /* row 1, ALL: a child's failure cancels its siblings */
        count = 0;
        YOKE_GROUP(g);
        for (int i = 0; i < 10; i++)
            check_int(yoke_spawn_ptr(g, sleep_long, &count), 0);
        check_int(yoke_spawn_ptr(g, fail_after_siblings_sleep, NULL), 0);
        check_int(yoke_group_close(g, 0), -EIO);
        check_int(count, 10);
    }
    { /* row 1, ALL: the body's failure cancels the children */
        count = 0;
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, sleep_long, &count), 0);
        check_int(yoke_group_close(g, -EDOM), -EDOM);
        check_int(count, 1);
    }
    { /* row 1, ALL: the first of two */
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, fail_after_siblings_sleep, NULL), 0);
        int rc = yoke_sleep_until(YOKE_NEVER);
        check_int(rc, -ECANCELED); /* the body is cancelled too */
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), -ECANCELED);
        check_int(yoke_group_close(g, -ERANGE), -EIO);
    }
    { /* row 1, COLLECT: failures neither cancel nor decide */
        count = 0;
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        for (int i = 0; i < 10; i++)
            check_int(yoke_spawn(g, work, struct job, .rc = i % 2 ? -EIO : 0, .yields = i, .count = &count), 0);
        check_int(yoke_group_close(g, 2), 2);
        check_int(count, 10);
    }
    { /* row 1, COLLECT: the body's failure decides, and cancels nothing */
        count = 0;
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        check_int(yoke_spawn(g, work, struct job, .yields = 3, .count = &count), 0);
        check_int(yoke_group_close(g, -EDOM), -EDOM);
        check_int(count, 1);
    }
    { /* row 2: the deadline cut a child */
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_group_set_deadline(g, yoke_after(YOKE_MS(1))), 0);
        check_int(yoke_group_close(g, 0), -ETIMEDOUT);
    }
    { /* row 2: the deadline cut the body */
        YOKE_GROUP(g, .deadline = yoke_after(YOKE_MS(2)));
        check_int(yoke_group_close(g, yoke_sleep_until(YOKE_NEVER)), -ETIMEDOUT);
    }
    { /* a deadline that cut nobody */
        YOKE_GROUP(g, .deadline = yoke_after(-1));
        check_int(yoke_group_close(g, 4), 4);
    }
    { /* row 3: the reason */
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_group_cancel(g, -EXDEV), 0);
        check_int(yoke_group_cancel(g, -EDOM), 0); /* the first wins */
        check_int(yoke_group_close(g, 0), -EXDEV);
    }
    { /* row 3: no reason gives 0, even for a body that was cut */
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_group_cancel(g, 0), 0);
        check_int(yoke_group_close(g, yoke_yield()), 0);
    }
    { /* row 1 before row 3: a failure while being cancelled */
        YOKE_GROUP(g);
        check_int(yoke_spawn(g, work, struct job, .rc = -EIO), 0);
        check_int(yoke_group_cancel(g, -EXDEV), 0);
        check_int(yoke_group_close(g, 0), -EIO);
    }
    { /* row 4: an enclosing scope cut a child; the cancel stays pending */
        YOKE_SCOPE(s);
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_scope_cancel(s, -EXDEV), 0);
        check_int(yoke_group_close(g, 0), -ECANCELED);
        check_int(yoke_checkpoint(), -ECANCELED);
        check_int(yoke_scope_close(s, -ECANCELED), -EXDEV);
    }
    { /* row 4 before row 2: the outermost wins */
        YOKE_SCOPE(s);
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        check_int(yoke_group_set_deadline(g, yoke_after(0)), 0);
        check_int(yoke_sleep_until(YOKE_NEVER), -ECANCELED);
        check_int(yoke_scope_cancel(s, 0), 0);
        check_int(yoke_group_close(g, yoke_yield()), -ECANCELED);
        check_int(yoke_scope_close(s, -ECANCELED), 0);
    }
    { /* an enclosing cancel that cut nobody */
        YOKE_SCOPE(s);
        YOKE_GROUP(g);
        check_int(yoke_scope_cancel(s, 0), 0);
        check_int(yoke_group_close(g, 6), 6);
        check_int(yoke_scope_close(s, 0), 0);
    }
    { /* a child's -ECANCELED without a cancel is a failure */
        YOKE_GROUP(g);
        check_int(yoke_spawn(g, work, struct job, .rc = -ECANCELED), 0);
        check_int(yoke_group_close(g, 0), -ECANCELED);
        check_int(yoke_checkpoint(), 0);
    }
    { /* and neutral with one */
        yoke_task h;
        YOKE_GROUP(g);
        check_int(yoke_spawn_ptr_with(g, (.handle = &h), sleep_long, NULL), 0);
        check_int(yoke_task_cancel(h), 0);
        check_int(yoke_group_close(g, 8), 8);
    }
    { /* a shielded group does not see an enclosing cancel */
        count = 0;
        YOKE_SCOPE(s);
        YOKE_GROUP(g, .shield = true);
        check_int(yoke_scope_cancel(s, 0), 0);
        check_int(yoke_spawn(g, work, struct job, .yields = 3, .count = &count), 0);
        check_int(yoke_yield(), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(yoke_yield(), -ECANCELED);
        check_int(yoke_scope_close(s, 0), 0);
        check_int(count, 1);
    }
    return 0;
}

static void close_returns_what_its_table_says(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(20); i++)
        for (int workers = 1; workers <= 4; workers++)
            assert_int_equal(run(workers, close_table, NULL), 0);
}

/* ---- who may ---- */

struct share {
    yoke_group group, other;
    int *count;
};

static int use_foreign_group(void *arg)
{
    struct share *s = arg;
    check_int(yoke_group_close(s->group, 0), -EPERM);
    check_int(yoke_group_set_deadline(s->group, 0), -EPERM);
    check_int(yoke_spawn_ptr(s->other, sleep_long, NULL), -EPERM); /* not in its tree */
    check_int(yoke_spawn(s->group, work, struct job, .count = s->count), 0);
    return 0;
}

static int permissions(void *arg)
{
    (void)arg;
    int count = 0;
    yoke_group zero = { NULL, 0 };
    check_int(yoke_group_close(zero, 0), -EINVAL);
    check_int(yoke_spawn_ptr(zero, sleep_long, NULL), -EINVAL);
    YOKE_GROUP(a);
    YOKE_GROUP(b);
    check_int(yoke_spawn_task(b, NULL, NULL, 0, NULL), -EINVAL);
    check_int(yoke_group_cancel(b, 1), -EINVAL);
    { /* a task of a, whose owner opened b inside: it is in a's tree, not in b's */
        check_int(yoke_spawn(a, use_foreign_group, struct share, .group = a, .other = b, .count = &count), 0);
        while (load(&count) == 0)
            check_int(yoke_yield(), 0);
    }
    check_int(yoke_group_close(b, 0), 0);
    check_int(yoke_group_close(b, 0), -EINVAL);
    check_int(yoke_group_cancel(b, 0), -EINVAL);
    check_int(yoke_group_set_deadline(b, 1), -EINVAL);
    check_int(yoke_group_close(a, 0), 0);
    check_int(count, 1);
    return 0;
}

static void only_the_owner_closes_and_only_the_tree_spawns(void **state)
{
    (void)state;
    assert_int_equal(run(1, permissions, NULL), 0);
    assert_int_equal(run(4, permissions, NULL), 0);
}

/* While the owner waits in close, members may still spawn. */
static int spawn_another(void *arg)
{
    struct share *s = arg;
    if (add(s->count, 1) < 50) {
        check_int(yoke_yield(), 0);
        check_int(yoke_spawn(s->group, spawn_another, struct share, .group = s->group, .count = s->count), 0);
    }
    return 0;
}

static int close_while_spawning(void *arg)
{
    (void)arg;
    int count = 0;
    YOKE_GROUP(g);
    check_int(yoke_spawn(g, spawn_another, struct share, .group = g, .count = &count), 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(count, 51);
    return 0;
}

static void members_spawn_while_the_owner_waits_in_close(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, close_while_spawning, NULL), 0);
}

/* ---- what a child inherits ---- */

static const yoke_local color = { .name = "color", .fallback = NULL };

static int inherited(void *arg)
{
    int *expect_cancel = arg;
    check(yoke_local_get(&color) == (void *)&color);
    check_int(yoke_checkpoint(), *expect_cancel ? -ECANCELED : 0);
    return 0;
}

static int inherit(void *arg)
{
    (void)arg;
    int no = 0;
    YOKE_LOCAL(&color, (void *)(uintptr_t)&color);
    YOKE_GROUP(g);
    {
        int other;
        YOKE_LOCAL(&color, &other);
        YOKE_SCOPE(inner, .deadline = yoke_after(YOKE_SEC(1000)));
        check(yoke_local_get(&color) == &other);
        check_int(yoke_scope_cancel(inner, 0), 0);
        check_int(yoke_checkpoint(), -ECANCELED);
        check_int(yoke_spawn_ptr(g, inherited, &no), 0); /* neither the binding nor the cancelled scope */
        check_int(yoke_scope_close(inner, 0), 0);
    }
    return yoke_group_close(g, 0);
}

static void children_inherit_from_where_the_group_was_opened(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, inherit, NULL), 0);
}

/* ---- arguments ---- */

struct big {
    char bytes[3000];
};

static int check_big(void *arg)
{
    struct big *b = arg;
    for (size_t i = 0; i < sizeof b->bytes; i++)
        check(b->bytes[i] == (char)i);
    check(((uintptr_t)arg & 15) == 0);
    return 0;
}

static int arguments(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    for (int round = 0; round < 20; round++) {
        struct big b;
        for (size_t i = 0; i < sizeof b.bytes; i++)
            b.bytes[i] = (char)i;
        check_int(yoke_spawn_task(g, check_big, &b, sizeof b, NULL), 0);
        memset(&b, 0, sizeof b); /* the child has a copy */
    }
    return yoke_group_close(g, 0);
}

static int count_entered(void *arg)
{
    struct job *job = arg;
    add(job->count, 1);
    return yoke_checkpoint();
}

/* Ownership moves with a 0: then the function is entered, even if cancelled before it started. */
static int entered_for_certain(void *arg)
{
    (void)arg;
    int count = 0, spawned = 0;
    YOKE_GROUP(g);
    for (int i = 0; i < 100; i++) {
        if (i == 50)
            check_int(yoke_group_cancel(g, 0), 0);
        int rc = yoke_spawn(g, count_entered, struct job, .count = &count);
        check(rc == 0 || rc == -ECANCELED);
        spawned += rc == 0;
    }
    check_int(yoke_group_close(g, 0), 0);
    check_int(spawned, 50);
    check_int(count, 50);
    return 0;
}

static void arguments_are_copied_and_entered_for_certain(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++) {
        assert_int_equal(run(workers, arguments, NULL), 0);
        assert_int_equal(run(workers, entered_for_certain, NULL), 0);
    }
}

/* ---- limit ---- */

static int alive, most;

static int count_alive(void *arg)
{
    int *target = arg;
    int now = add(&alive, 1) + 1;
    int seen = load(&most);
    while (now > seen && !__atomic_compare_exchange_n(&most, &seen, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    check_int(yoke_yield(), 0);
    add(&alive, -1);
    add(target, 1);
    return 0;
}

static int limited(void *arg)
{
    (void)arg;
    for (unsigned limit = 1; limit <= 5; limit += 2) {
        int done = 0;
        most = 0;
        YOKE_GROUP(g, .limit = limit);
        for (int i = 0; i < 100; i++)
            check_int(yoke_spawn_ptr(g, count_alive, &done), 0); /* waits for room */
        check_int(yoke_group_close(g, 0), 0);
        check_int(done, 100);
        check(most <= (int)limit && most >= 1);
    }
    { /* try_ never waits */
        yoke_task h;
        YOKE_GROUP(g, .limit = 1);
        check_int(yoke_spawn_ptr_with(g, (.handle = &h), sleep_long, NULL), 0);
        check_int(yoke_try_spawn_ptr(g, sleep_long, NULL), -EAGAIN);
        check_int(yoke_task_cancel(h), 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    { /* the wait for room is a cancellation point */
        YOKE_GROUP(g, .limit = 1);
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
        YOKE_SCOPE(s, .deadline = yoke_after(YOKE_MS(1)));
        check_int(yoke_spawn_ptr(g, sleep_long, NULL), -ECANCELED);
        check_int(yoke_scope_close(s, -ECANCELED), -ETIMEDOUT);
        check_int(yoke_group_cancel(g, 0), 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    return 0;
}

static int cancel_it(void *arg)
{
    return yoke_group_cancel(((struct share *)arg)->group, -EXDEV);
}

/* The wait for room is shielded; the group into which it leads is not. */
static int wait_shielded_for_room(void *arg)
{
    int ran = 0;
    YOKE_GROUP(outside);
    YOKE_GROUP(g, .limit = 1);
    check_int(yoke_spawn_ptr(g, sleep_long, NULL), 0);
    check_int(yoke_spawn(outside, cancel_it, struct share, .group = g), 0);
    {
        YOKE_SCOPE(shield, .shield = true, .deadline = yoke_after(YOKE_SEC(1000)));
        check_int(yoke_spawn_ptr(g, sleep_long, &ran), -ECANCELED); /* there is room, and nobody is let in */
        check_int(yoke_scope_close(shield, 0), 0);
    }
    check_int(yoke_group_close(g, 0), -EXDEV);
    check_int(ran, 0);
    return yoke_group_close(outside, arg == NULL ? 0 : -EINVAL);
}

static void a_limit_bounds_the_children_alive(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, limited, NULL), 0);
    for (int i = 0; i < repetitions(100); i++)
        assert_int_equal(run(i % 4 + 1, wait_shielded_for_room, NULL), 0);
}

struct walk {
    yoke_group group;
    int depth;
    int *count;
};

/* A recursive walk in a group of limit 1: a full group says -EAGAIN to its members, who then do the work themselves. */
static int walk(void *arg)
{
    struct walk *w = arg;
    add(w->count, 1);
    for (int i = 0; w->depth > 0 && i < 3; i++) {
        struct walk next = { .group = w->group, .depth = w->depth - 1, .count = w->count };
        int rc = yoke_spawn_task(w->group, walk, &next, sizeof next, NULL);
        if (rc == -EAGAIN)
            rc = walk(&next);
        YOKE_TRY(rc);
        YOKE_TRY(yoke_yield());
    }
    return 0;
}

static int walk_limited(void *arg)
{
    for (unsigned limit = 1; limit <= 4; limit++) {
        int count = 0;
        YOKE_GROUP(g, .limit = limit);
        check_int(yoke_spawn(g, walk, struct walk, .group = g, .depth = 6, .count = &count), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(count, 1093);
    }
    (void)arg;
    return 0;
}

static void a_recursive_walk_under_limit_one_does_not_deadlock(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers++)
        assert_int_equal(run(workers, walk_limited, NULL), 0);
}

/* ---- failures ---- */

static int fail_numbered(void *arg)
{
    struct job *job = arg;
    return yoke_fail(job->rc, "child %d", job->yields);
}

static int hop_twice(void *arg)
{
    YOKE_TRY(fail_numbered(arg));
    return 0;
}

static int inner_group(void *arg)
{
    YOKE_GROUP(g, .name = "inner");
    check_int(yoke_spawn_ptr_with(g, (.name = "leaf"), hop_twice, arg), 0);
    YOKE_TRY(yoke_group_close(g, 0));
    return 0;
}

static int failures(void *arg)
{
    (void)arg;
    { /* first K whole, the rest counted */
        yoke_failure failure[100];
        char messages[100][YOKE_MESSAGE_MAX + 1];
        yoke_group_report report = { .size = sizeof report, .failures = failure, .messages = messages, .capacity = 100 };
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        for (int i = 0; i < 100; i++)
            check_int(yoke_spawn(g, fail_numbered, struct job, .rc = -(i % 3 + 1), .yields = i), 0);
        check_int(yoke_group_close_report(g, 0, &report), 0);
        check_int(report.spawned, 100);
        check_int(report.failed, 100);
        check_int(report.cancelled, 0);
        check_int(report.kept, 64);
        for (size_t i = 0; i < report.kept; i++) {
            int number = -1;
            check_int(sscanf(failure[i].message, "child %d", &number), 1);
            check_int(failure[i].code, -(number % 3 + 1));
            check(strcmp(failure[i].task, "fail_numbered") == 0);
            check(failure[i].site != NULL && strstr(failure[i].site->file, "group.c") != NULL);
            check_int(failure[i].hops, 1);
            check(failure[i].task_id != 0);
        }
    }
    { /* read before close */
        yoke_failure one;
        YOKE_GROUP(g, .policy = YOKE_COLLECT);
        check_int(yoke_group_failure(g, 0, &one), -ENODATA);
        check_int(yoke_spawn(g, fail_numbered, struct job, .rc = -EIO, .yields = 1), 0);
        while (yoke_group_failure(g, 0, &one) == -ENODATA)
            check_int(yoke_yield(), 0);
        check_int(one.code, -EIO);
        check(strcmp(one.message, "child 1") == 0);
        check_int(yoke_group_close(g, 0), 0);
    }
    { /* the way an error took, across tasks */
        yoke_failure one;
        yoke_group_report report = { .size = sizeof report, .failures = &one, .capacity = 1 };
        YOKE_GROUP(g);
        struct job job = { .rc = -EIO, .yields = 9 };
        check_int(yoke_spawn_ptr(g, inner_group, &job), 0);
        check_int(yoke_group_close_report(g, 0, &report), -EIO);
        check_int(one.hops, 3); /* yoke_fail, hop_twice, inner_group */
        check(strcmp(yoke_message(-EIO), "child 9") == 0); /* and the owner has it now */
        if (one.hops == 3) {
            check(strcmp(one.hop[0]->func, "fail_numbered") == 0);
            check(strcmp(one.hop[1]->func, "hop_twice") == 0);
            check(strcmp(one.hop[2]->func, "inner_group") == 0);
        }
    }
    return 0;
}

static int keep_three(void *arg)
{
    (void)arg;
    yoke_failure failure[10];
    char messages[10][YOKE_MESSAGE_MAX + 1];
    yoke_group_report report = { .size = sizeof report, .failures = failure, .messages = messages, .capacity = 10 };
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    for (int i = 0; i < 8; i++) {
        yoke_task h;
        int result;
        check_int(yoke_spawn_with(g, (.handle = &h), fail_numbered, struct job, .rc = -EIO, .yields = i), 0);
        check_int(yoke_task_await(h, &result), 0);
    }
    check_int(yoke_group_failure(g, 2, &failure[0]), 0);
    check_int(yoke_group_failure(g, 3, &failure[0]), -ENODATA);
    check_int(yoke_group_close_report(g, 0, &report), 0);
    check_int(report.failed, 8);
    check_int(report.kept, 3);
    for (int i = 0; i < 3; i++) { /* the first ones */
        char want[32];
        snprintf(want, sizeof want, "child %d", i);
        check(strcmp(failure[i].message, want) == 0);
    }
    return 0;
}

static void failures_are_recorded_with_message_hops_and_site(void **state)
{
    (void)state;
    assert_int_equal(run_with(keep_three, NULL, OPTIONS(.workers = 2, .report_k = 3)), 0);
    for (int i = 0; i < repetitions(20); i++)
        for (int workers = 1; workers <= 4; workers++)
            assert_int_equal(run(workers, failures, NULL), 0);
}

/* ---- what counts the ends must not hold them back ---- */

static yoke_event in_line, called;
static int has_closed;

/* Woken on the worker on which the group's last child has just ended, and never gives it up before the group has closed. */
static int compute_until_closed(void *arg)
{
    check_int(yoke_event_set(&in_line), 0);
    check_int(yoke_event_wait(&called), 0);
    while (load(&has_closed) == 0) /* hangs if the end is kept back: the time limit tells */
        ;
    return arg == NULL ? 0 : -EINVAL;
}

static int call(void *arg)
{
    check_int(yoke_event_set(&called), 0);
    return arg == NULL ? 0 : -EINVAL;
}

static int close_meanwhile(void *arg)
{
    check_int(yoke_event_wait(&in_line), 0);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = 1), call, arg), 0);
    int rc = yoke_group_close(g, 0);
    store(&has_closed, 1);
    return rc;
}

static int end_promptly(void *arg)
{
    yoke_event_init(&in_line);
    yoke_event_init(&called);
    has_closed = 0;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = 1), compute_until_closed, arg), 0);
    check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = 0), close_meanwhile, arg), 0);
    return yoke_group_close(g, 0);
}

static void a_close_does_not_wait_for_what_the_last_childs_worker_does_next(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(run(2, end_promptly, NULL), 0);
}

/* ---- forks of the owner ---- */

static yoke_group opened;
static yoke_event is_open, was_tried;
static int outside;

static int nothing_to_do(void *arg)
{
    return arg == NULL ? 0 : -EINVAL;
}

static int spawn_from_outside(void *arg)
{
    check_int(yoke_event_wait(&is_open), 0);
    outside = yoke_spawn_ptr(opened, nothing_to_do, arg);
    return yoke_event_set(&was_tried);
}

static int spawn_from_inside(void *arg)
{
    int rc = yoke_spawn_ptr(opened, nothing_to_do, arg);
    check_int(yoke_event_set(&was_tried), 0);
    return rc;
}

static int fork_around(void *arg)
{
    yoke_forked f, inner;
    yoke_event_init(&is_open);
    yoke_event_init(&was_tried);
    yoke_fork(&f, spawn_from_outside, arg); /* another worker takes it: this one waits for it */
    YOKE_GROUP(g);
    opened = g;
    check_int(yoke_event_set(&is_open), 0);
    check_int(yoke_event_wait(&was_tried), 0);
    check_int(outside, -EPERM); /* nothing keeps the group open for it */
    check_int(yoke_event_reset(&was_tried), 0);
    yoke_fork(&inner, spawn_from_inside, arg);
    check_int(yoke_event_wait(&was_tried), 0);
    check_int(yoke_join(&inner), 0);
    check_int(yoke_group_close(g, 0), 0);
    return yoke_join(&f);
}

static void a_fork_spawns_into_groups_that_it_began_in(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(run(2, fork_around, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_close_does_not_wait_for_what_the_last_childs_worker_does_next),
        cmocka_unit_test(a_fork_spawns_into_groups_that_it_began_in),
        cmocka_unit_test(every_child_is_awaited),
        cmocka_unit_test(a_group_left_without_close_is_cancelled_joined_reported),
        cmocka_unit_test(a_task_that_ends_with_an_open_group_fails),
        cmocka_unit_test(closing_outer_before_inner_joins_the_inner_first),
        cmocka_unit_test(close_returns_what_its_table_says),
        cmocka_unit_test(only_the_owner_closes_and_only_the_tree_spawns),
        cmocka_unit_test(members_spawn_while_the_owner_waits_in_close),
        cmocka_unit_test(children_inherit_from_where_the_group_was_opened),
        cmocka_unit_test(arguments_are_copied_and_entered_for_certain),
        cmocka_unit_test(a_limit_bounds_the_children_alive),
        cmocka_unit_test(a_recursive_walk_under_limit_one_does_not_deadlock),
        cmocka_unit_test(failures_are_recorded_with_message_hops_and_site),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
