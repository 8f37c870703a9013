/*
 * Scopes from inside: the memo and the epoch, the order of a cancel, linking, what a cancel costs, handles that are stale. See moments.h.
 */
#include "moments.h"

/* ---- memo and epoch ----------------------------------------------------------------------------------------------------- */

static void cancel_something(void)
{
    YOKE_SCOPE(other);
    check_int(yoke_scope_cancel(other, 0), 0);
    check_int(yoke_scope_close(other, 0), 0);
}

static int remember(void *arg)
{
    (void)arg;
    YOKE_SCOPE(outer);
    YOKE_SCOPE(s);
    struct yoke__scope *scope = s.block;
    check_int(yoke_checkpoint(), 0);
    uint64_t epoch = here()->epoch;
    check(scope->head.memo == epoch);
    {
        YOKE_SCOPE(inner);
        check(current()->head.memo == epoch); /* it begins with what its parent knows */
        check_int(yoke_scope_close(inner, 0), 0);
    }
    cancel_something();
    check(here()->epoch == epoch + 1);
    check(scope->head.memo == epoch); /* out of date, by one cancel */
    store(&locks, (uint64_t)0);
    check_int(yoke_checkpoint(), 0);
    check(scope->head.memo == epoch + 1); /* and asked again */
    check_int(locks, 0);                  /* asking takes no lock */
    check_int(yoke_scope_cancel(outer, 0), 0);
    check_int(yoke_scope_cancel(outer, 0), 0); /* the second one changes nothing */
    check(here()->epoch == epoch + 2);
    for (int i = 0; i < 3; i++) {
        check_int(yoke_checkpoint(), -ECANCELED);
        check(scope->head.memo != here()->epoch); /* a "yes" is not remembered: there is none to forget */
    }
    YOKE_SCOPE(shield, .shield = true);
    check_int(yoke_checkpoint(), 0);
    check(current()->head.memo == epoch + 2);
    check_int(yoke_scope_close(shield, 0), 0);
    check_int(yoke_checkpoint(), -ECANCELED);
    check_int(yoke_scope_close(s, 0), 0);
    return yoke_scope_close(outer, 0);
}

static void a_no_is_remembered_until_the_next_cancel(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, remember, NULL), 0);
}

static yoke_scope victim;
static struct yoke__scope *asking;

static void cancel_before_the_memo(const void *place)
{
    if (place != &asking->head.memo)
        return;
    at.storing = NULL;
    check_int(yoke_scope_cancel(victim, 0), 0);
}

/* The ancestors were looked at, and then a cancel comes, before that is remembered. */
static int ask_meanwhile(void *arg)
{
    for (int which = 0; which < 2; which++) {
        YOKE_SCOPE(outer);
        YOKE_SCOPE(s);
        victim = which ? s : outer;
        asking = s.block;
        cancel_something();
        at.storing = cancel_before_the_memo;
        check_int(yoke_checkpoint(), 0); /* it came before */
        check(at.storing == NULL);
        check_int(yoke_checkpoint(), -ECANCELED); /* and is not overlooked */
        check_int(yoke_scope_close(s, 0), 0);
        check_int(yoke_scope_close(outer, 0), 0);
    }
    return arg == NULL ? 0 : -EINVAL;
}

static void a_cancel_before_the_memo_is_seen_by_the_next_look(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, ask_meanwhile, NULL), 0);
}

/* ---- the order of a cancel ------------------------------------------------------------------------------------------------ */

static struct yoke__scope *target;
static int raised;

static void marked_and_nobody_woken(struct yoke_runtime *rt)
{
    (void)rt;
    raised++;
    check(target->cancel != YOKE__CANCEL_NONE); /* who sees the new epoch sees the mark */
    check_int(asleep_in(target), 1);
}

static int cancel_in_order(void *arg)
{
    for (int by_stop = 0; by_stop < 2; by_stop++) {
        int asleep = 0;
        YOKE_SCOPE(s, .grace = YOKE_NEVER);
        YOKE_GROUP(g, .cancel_on_stop = true);
        check_int(yoke_spawn_ptr(g, sleep_long, &asleep), 0);
        until(&asleep, 1);
        target = g.block;
        raised = 0;
        at.epoch = marked_and_nobody_woken;
        check_int(by_stop ? yoke_scope_stop(s) : yoke_group_cancel(g, 0), 0);
        at.epoch = NULL;
        check_int(raised, 1);
        check_int(asleep_in(target), 0);
        check_int(yoke_group_close(g, 0), 0);
        check_int(yoke_scope_close(s, 0), 0);
    }
    return arg == NULL ? 0 : -EINVAL;
}

static void it_marks_then_raises_the_epoch_then_wakes(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, cancel_in_order, NULL), 0);
}

/* ---- linking ------------------------------------------------------------------------------------------------------------- */

enum { DEEP = 200 }; /* more than the stretches in which it is done */

static yoke_scope deep[DEEP];

static void parent_is_linked(struct yoke__lock *lock)
{
    check(yoke__container(lock, struct yoke__scope, lock)->linked);
}

static void open_deep(void)
{
    for (int i = 0; i < DEEP; i++)
        deep[i] = yoke_scope_open(NULL);
}

static void close_deep(void)
{
    for (int i = DEEP - 1; i >= 0; i--)
        check_int(yoke_scope_close(deep[i], 0), 0);
}

static int link_all(void *arg)
{
    (void)arg;
    YOKE_GROUP(outside);
    block_once(outside);
    open_deep();
    for (int i = 0; i < DEEP; i++)
        check(!((struct yoke__scope *)deep[i].block)->linked);
    check(((struct yoke__scope *)deep[0].block)->parent->children == NULL); /* where nobody blocks, nothing is registered */
    store(&locks, (uint64_t)0);
    at.locking = parent_is_linked; /* top down: whoever is linked can be reached */
    check_int(yoke_yield(), 0);
    check_int(locks, 0); /* a yield is no wait */
    block_once(outside);
    check_int(locks, DEEP); /* one each */
    block_once(outside);
    check_int(locks, DEEP); /* and once */
    at.locking = NULL;
    for (int i = 0; i < DEEP; i++) {
        struct yoke__scope *scope = deep[i].block;
        check(scope->linked && scope->sibling == NULL && asleep_in(scope) == 0);
        check(scope->children == (i + 1 < DEEP ? deep[i + 1].block : NULL));
    }
    close_deep();
    check(current()->children == NULL);
    YOKE_SCOPE(alone);
    store(&locks, (uint64_t)0);
    check_int(yoke_scope_close(alone, 0), 0);
    check_int(locks, 0); /* neither its own, for which nobody has come, nor its parent's, which has never heard of it */
    return yoke_group_close(outside, 0);
}

static void scopes_are_linked_when_somebody_blocks_from_the_top_down(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, link_all, NULL), 0);
}

static int linked_between;

static void link_in_between(struct yoke__lock *lock)
{
    (void)lock;
    if (linked_between++ == 70) { /* in the second stretch */
        at.locking = NULL;
        yoke__scope_link(deep[DEEP - 1].block);
    }
}

static int link_twice(void *arg)
{
    (void)arg;
    open_deep();
    linked_between = 0;
    at.locking = link_in_between;
    yoke__scope_link(deep[DEEP - 1].block);
    at.locking = NULL;
    for (int i = 0; i < DEEP; i++) {
        struct yoke__scope *scope = deep[i].block;
        check(scope->linked && scope->sibling == NULL && *scope->back == scope);
    }
    close_deep();
    check(here()->root.children == NULL);
    return 0;
}

static void two_that_link_at_once_link_once(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, link_twice, NULL), 0);
}

/* All block at once below scopes that nobody has linked, while one of those is cancelled: nobody is forgotten, or this does not end. */
static int link_in_a_crowd(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        uint64_t r = fresh();
        yoke_scope chain[5];
        YOKE_GROUP(outside);
        for (int n = 0; n < 5; n++)
            chain[n] = yoke_scope_open(NULL);
        YOKE_GROUP(g);
        check_int(yoke_spawn(outside, cancel_sometime, struct canceller, .scope = chain[next_random(&r) % 5], .random = next_random(&r)), 0);
        int rc = 0;
        for (int n = 0; n < 8 && rc == 0; n++)
            rc = yoke_spawn(g, block_below, struct sleeper, .random = next_random(&r));
        check(rc == 0 || rc == -ECANCELED);
        rc = yoke_group_close(g, yoke_sleep_until(YOKE_NEVER));
        check_int(rc, -ECANCELED);
        for (int n = 4; n >= 0; n--)
            rc = yoke_scope_close(chain[n], rc);
        check_int(rc, -EXDEV);
        check_int(yoke_group_close(outside, 0), 0);
    }
    return 0;
}

static void nobody_who_links_in_a_crowd_is_forgotten(void **state)
{
    (void)state;
    let_be();
    for (int i = repetitions(100); i > 0; i--)
        assert_int_equal(run(4, link_in_a_crowd, NULL), 0);
}

/* ---- what a cancel costs ---------------------------------------------------------------------------------------------------- */

static int sleep_behind_a_shield(void *arg)
{
    YOKE_SCOPE(shield, .shield = true);
    return yoke_scope_close(shield, sleep_in_a_scope(arg));
}

static int only_ready(void *arg)
{
    YOKE_SCOPE(one);
    YOKE_SCOPE(two);
    add((int *)arg, 1);
    int rc;
    while ((rc = yoke_yield()) == 0)
        ;
    rc = yoke_scope_close(two, rc);
    return yoke_scope_close(one, rc);
}

static void whom_it_visits_it_holds(struct yoke__lock *lock)
{
    check(here()->walks_pending == 0 || yoke__container(lock, struct yoke__scope, lock)->pins != 0);
}

/* Locks taken by a cancel of a group with `n` of `fn` inside, beside a group with `others` sleepers. */
static uint64_t cost(yoke_fn fn, int n, int others)
{
    int asleep = 0;
    YOKE_GROUP(beside);
    YOKE_GROUP(ending);
    YOKE_GROUP(g);
    for (int i = 0; i < others; i++)
        check_int(yoke_spawn_ptr(beside, sleep_in_a_scope, &asleep), 0);
    for (int i = 0; i < n; i++)
        check_int(yoke_spawn_ptr(g, fn, &asleep), 0);
    until(&asleep, n + others);
    store(&locks, (uint64_t)0);
    at.locking = whom_it_visits_it_holds;
    check_int(yoke_group_cancel(g, 0), 0);
    walk_to_the_end();
    at.locking = NULL;
    uint64_t taken = load(&locks);
    if (fn == sleep_behind_a_shield) { /* they have to be cut by something else */
        for (struct yoke__scope *s = ((struct yoke__scope *)g.block)->children; s != NULL;) {
            struct yoke__scope *next = s->sibling;
            yoke__scope_cancel(here(), s, YOKE__CANCEL_ASKED, 0, NULL);
            s = next;
        }
    }
    check_int(yoke_group_close(g, 0), 0);
    check_int(yoke_group_close(ending, 0), 0);
    check_int(yoke_group_cancel(beside, 0), 0);
    check_int(yoke_group_close(beside, 0), 0);
    return taken;
}

static int count_visits(void *arg)
{
    enum { BLOCKS = (100 + YOKE__SEATS - 1) / YOKE__SEATS, AT_ONCE = (YOKE__STRETCH - 1 + YOKE__SEATS) / (YOKE__SEATS + 1) };
    (void)arg;
    for (int others = 0; others <= 300; others += 100) {           /* whoever is not inside costs nothing */
        check_int(cost(sleep_long, 1, others), 2);                 /* the mark, and the visit of the group itself */
        check_int(cost(sleep_long, 100, others), 1 + (BLOCKS - 1 + AT_ONCE - 1) / AT_ONCE); /* so many in one visit, with the one that is not full */
        check_int(cost(sleep_in_a_scope, 1, others), 3);           /* a scope more, a visit more */
        uint64_t again = cost(sleep_behind_a_shield, 100, others) - 2; /* a shield is passed by */
        check(again <= 100 / (YOKE__STRETCH - 1));                 /* though so many alone of them are looked at in a stretch */
        check(cost(sleep_in_a_scope, 100, others) <= 102 + 100);   /* for at least one of the children at a time */
        check_int(cost(only_ready, 50, others), 2);                /* where nobody blocks there is nothing */
    }
    return 0;
}

static void a_cancel_visits_those_whom_it_affects(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, count_visits, NULL), 0);
}

/* ---- misnesting, stale handles -------------------------------------------------------------------------------------------------- */

static int misnest(void *arg)
{
    (void)arg;
    int asleep = 0;
    YOKE_GROUP(outside);
    struct yoke__scope *before = current();
    yoke_scope outer = yoke_scope_open(NULL), binding = yoke_local_bind(&(const yoke_local){ .name = "key" }, NULL);
    yoke_group g = yoke_group_open(NULL);
    yoke_scope middle = yoke_scope_open(NULL);
    yoke_group h = yoke_group_open(NULL);
    yoke_scope inner = yoke_scope_open(NULL);
    for (int i = 0; i < 3; i++) {
        check_int(yoke_spawn_ptr(g, sleep_in_a_scope, &asleep), 0);
        check_int(yoke_spawn_ptr(h, sleep_long, &asleep), 0);
    }
    until(&asleep, 6);
    block_once(outside); /* all of it is linked */
    check(current()->linked);
    check_int(yoke_scope_close(outer, 3), 3);
    check(current() == before && before->children == NULL && asleep_in(before) == 0);
    check_int(yoke_scope_close(inner, 0), -EINVAL);
    check_int(yoke_group_close(h, 0), -EINVAL);
    check_int(yoke_scope_close(middle, 0), -EINVAL);
    check_int(yoke_group_close(g, 0), -EINVAL);
    check_int(yoke_scope_close(binding, 0), -EINVAL);
    const char *at_line = reports;
    int lines = 0;
    for (; (at_line = strstr(at_line, "left open inside a scope that is being closed")) != NULL; at_line++)
        lines++;
    check_int(lines, 4); /* two scopes and two groups; a binding is nobody's fault */
    return yoke_group_close(outside, 0);
}

static void what_was_left_open_is_unwound_whole(void **state)
{
    (void)state;
    let_be();
    assert_int_equal(run(1, misnest, NULL), 0);
}

static yoke_scope old_scope;
static yoke_group old_group;
static yoke_task old_task;

static void nothing_happens_by_old_handles(int closed)
{
    yoke_failure failure;
    yoke_token *token;
    yoke_scope scope = old_scope;
    yoke_group group = old_group;
    check_int(yoke_scope_cancel(scope, 0), -EINVAL);
    check_int(yoke_scope_stop(scope), -EINVAL);
    check_int(yoke_scope_set_deadline(scope, 1), -EINVAL);
    check_int(yoke_scope_close(scope, 0), -EINVAL);
    yoke_scope_leave(&scope);
    check_int(yoke_group_cancel(group, 0), -EINVAL);
    check_int(yoke_group_stop(group), -EINVAL);
    check_int(yoke_group_set_deadline(group, 1), -EINVAL);
    check_int(yoke_group_close(group, 0), -EINVAL);
    check_int(yoke_group_failure(group, 0, &failure), -EINVAL);
    check_int(yoke_spawn_ptr(group, sleep_long, NULL), closed);
    check_int(yoke_try_spawn_ptr(group, sleep_long, NULL), closed);
    check_int(yoke_token_acquire(&token, group), closed);
    yoke_group_leave(&group);
    check_int(yoke_task_state(old_task), -EINVAL);
    check_int(yoke_task_cancel(old_task), -EINVAL);
    check_int(yoke_task_await(old_task, &(int){ 0 }), -EINVAL);
    check_int(yoke_task_close(old_task), -EINVAL);
}

static int be_nobody(void *arg)
{
    return arg == NULL ? 0 : -EINVAL;
}

static int use_stale_handles(void *arg)
{
    (void)arg;
    if (old_scope.block != NULL)
        nothing_happens_by_old_handles(-EINVAL); /* of an earlier run */
    int asleep = 0;
    old_scope = yoke_scope_open(NULL);
    check_int(yoke_scope_close(old_scope, 0), 0);
    old_group = yoke_group_open(NULL);
    check_int(yoke_spawn_ptr_with(old_group, (.handle = &old_task), be_nobody, NULL), 0);
    check_int(yoke_group_close(old_group, 0), 0);
    YOKE_GROUP(g);
    yoke_task task;
    check_int(yoke_spawn_ptr_with(g, (.handle = &task), sleep_long, &asleep), 0);
    YOKE_SCOPE(filler); /* the child's own scope and ours: one of them is the old block */
    YOKE_SCOPE(s);
    check(g.block == old_group.block && g.generation != old_group.generation);
    check(task.block == old_task.block && task.generation != old_task.generation);
    struct yoke__scope *childs = ((struct yoke__handle *)task.block)->scope;
    check(old_scope.block == childs || old_scope.block == s.block || old_scope.block == filler.block);
    until(&asleep, 1);
    nothing_happens_by_old_handles(-ESHUTDOWN);
    check(current() == s.block);
    check_int(yoke_checkpoint(), 0);
    check(!yoke_stopping() && yoke_deadline() == YOKE_NEVER);
    check_int(yoke_task_state(task), YOKE_TASK_RUNNING);
    check(childs->cancel == YOKE__CANCEL_NONE);
    check_int(yoke_task_cancel(task), 0);
    check_int(yoke_scope_close(s, 0), 0);
    check_int(yoke_scope_close(filler, 0), 0);
    return yoke_group_close(g, 2);
}

static void stale_handles_touch_nobody(void **state)
{
    (void)state;
    let_be();
    for (int i = 0; i < 3; i++)
        assert_int_equal(run(1, use_stale_handles, NULL), 2);
    assert_string_equal(reports, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_no_is_remembered_until_the_next_cancel),
        cmocka_unit_test(a_cancel_before_the_memo_is_seen_by_the_next_look),
        cmocka_unit_test(it_marks_then_raises_the_epoch_then_wakes),
        cmocka_unit_test(scopes_are_linked_when_somebody_blocks_from_the_top_down),
        cmocka_unit_test(two_that_link_at_once_link_once),
        cmocka_unit_test(nobody_who_links_in_a_crowd_is_forgotten),
        cmocka_unit_test(a_cancel_visits_those_whom_it_affects),
        cmocka_unit_test(what_was_left_open_is_unwound_whole),
        cmocka_unit_test(stale_handles_touch_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
