/*
 * Between the mark of a cancel and the moment at which it is told to all: whoever has called for it as well, or has been told of it once, finds it wherever
 * he asks. One canceller is stopped there, which the runtime lets nobody see: his half is done by hand.
 */
#include "sync.h"

#include "core.h"
#include "handle.h"
#include "policy.h"
#include "scope.h"
#include "walk.h"

static struct yoke_runtime *here(void)
{
    return yoke__self()->rt;
}

/* Another canceller, up to the mark; and the rest. */
static struct yoke__scope *begin_to_cancel(struct yoke__scope *scope)
{
    struct yoke__scope *marked;
    check_int(yoke_checkpoint(), 0); /* the scope remembers that */
    yoke__lock_acquire(&scope->lock);
    marked = yoke__scope_mark_locked(scope, YOKE__CANCEL_ASKED, -EXDEV, NULL, 0) ? scope : NULL;
    yoke__lock_release(&scope->lock);
    check(marked != NULL);
    return marked;
}

struct call {
    yoke_group group;
    yoke_scope scope; /* round it */
    yoke_task task;
    int how;
};
enum { BY_GROUP, BY_SCOPE, BY_TASK, ASKED_IN_ANOTHER, WAYS };

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* In a group that is being cancelled: calls for that too, and ends as one that is cancelled. */
static int call_too(void *arg)
{
    const struct call *call = arg;
    struct yoke__scope *target = call->how == BY_SCOPE ? call->scope.block : yoke__strand_scope(yoke__current(yoke__self()));
    struct yoke__scope *marked = begin_to_cancel(target);
    switch (call->how) {
    case BY_GROUP:
        check_int(yoke_group_cancel(call->group, 0), 0);
        break;
    case BY_SCOPE:
        check_int(yoke_scope_cancel(call->scope, 0), 0);
        break;
    case BY_TASK:
        check_int(yoke_task_cancel(call->task), 0);
        break;
    default: { /* a scope that was asked about when there was another epoch */
        YOKE_SCOPE(fresh);
        ((struct yoke__scope *)fresh.block)->head.memo = 0;
        check_int(yoke_checkpoint(), -ECANCELED);
        check_int(yoke_scope_close(fresh, 0), 0);
    }
    }
    check_int(yoke_checkpoint(), -ECANCELED);
    check(yoke_cancelled());
    check_int(yoke_sleep(YOKE_SEC(100)), -ECANCELED);
    check_int(yoke_spawn_ptr(call->group, nothing, NULL), call->how == BY_TASK ? 0 : -ECANCELED);
    yoke__scope_carry_out(here(), marked);
    return -ECANCELED;
}

/* The same, but it ends while the other one is still at it. */
static struct yoke__scope *left_over;

static int call_too_and_end(void *arg)
{
    const struct call *call = arg;
    left_over = begin_to_cancel(yoke__strand_scope(yoke__current(yoke__self())));
    check_int(yoke_group_cancel(call->group, 0), 0);
    return -ECANCELED; /* for that reason: no failure */
}

static int call_for_it(void *arg)
{
    struct call call = { .how = *(int *)arg };
    YOKE_SCOPE(outer);
    YOKE_GROUP(g);
    call.scope = outer;
    call.group = g;
    const yoke_spawn_options options = { .size = sizeof options, .handle = call.how == BY_TASK ? &call.task : NULL, .name = "call" };
    check_int(yoke_spawn_task(g, call_too, &call, 0, &options), 0);
    int rc = yoke_group_close(g, 0);
    check_int(rc, call.how == BY_SCOPE ? -ECANCELED : call.how == BY_TASK ? 0 : -EXDEV);
    check_int(yoke_scope_close(outer, rc), call.how == BY_TASK ? 0 : -EXDEV);
    return 0;
}

static void who_has_called_for_a_cancel_finds_it(void **state)
{
    (void)state;
    for (int how = 0; how < WAYS; how++)
        assert_int_equal(run(1, call_for_it, &how), 0);
}

static int end_while_another_is_at_it(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    struct call call = { .group = g };
    left_over = NULL;
    check_int(yoke_spawn_ptr(g, call_too_and_end, &call), 0);
    while (left_over == NULL)
        (void)yoke_yield();
    yoke__scope_carry_out(here(), left_over);
    return yoke_group_close(g, 0) == -EXDEV ? 0 : -EPROTO; /* the reason, and not the failure of a child */
}

static void who_ends_because_of_it_has_not_failed(void **state)
{
    (void)state;
    assert_int_equal(run(1, end_while_another_is_at_it, NULL), 0);
}

/* Who leaves a scope that was cancelled by itself finds that the one round it is being cancelled: in fact as well as in what close says. */
static int leave_inside(void *arg)
{
    yoke_group *g = arg;
    YOKE_SCOPE(own);
    check_int(yoke_scope_cancel(own, -EXDEV), 0);
    check_int(yoke_checkpoint(), -ECANCELED);
    check(!yoke__scope_cancelled(here(), g->block)); /* it remembers that */
    yoke__lock_acquire(&((struct yoke__scope *)g->block)->lock);
    left_over = yoke__scope_mark_locked(g->block, YOKE__CANCEL_ASKED, 0, NULL, 0) ? g->block : NULL;
    yoke__lock_release(&((struct yoke__scope *)g->block)->lock);
    check(left_over != NULL);
    int rc = yoke_scope_close(own, -ECANCELED);
    check_int(rc, -ECANCELED);
    check_int(yoke_checkpoint(), -ECANCELED);
    return rc;
}

static int leave_while_another_is_at_it(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    left_over = NULL;
    check_int(yoke_spawn_ptr(g, leave_inside, &g), 0);
    while (left_over == NULL)
        (void)yoke_yield();
    yoke__scope_carry_out(here(), left_over);
    return yoke_group_close(g, 0);
}

static void who_leaves_because_of_it_finds_it(void **state)
{
    (void)state;
    assert_int_equal(run(1, leave_while_another_is_at_it, NULL), 0); /* a failure of the child's otherwise */
}

/* A stop of what somebody else is about to cancel. */
static int stop_too(void *arg)
{
    (void)arg;
    YOKE_SCOPE(outer);
    struct yoke__scope *marked = begin_to_cancel(outer.block);
    check_int(yoke_scope_stop(outer), 0);
    check_int(yoke_checkpoint(), -ECANCELED);
    yoke__scope_carry_out(here(), marked);
    return yoke_scope_close(outer, -ECANCELED) == -EXDEV ? 0 : -EPROTO;
}

static void who_has_called_for_a_stop_finds_the_cancel(void **state)
{
    (void)state;
    assert_int_equal(run(1, stop_too, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_called_for_a_cancel_finds_it),
        cmocka_unit_test(who_ends_because_of_it_has_not_failed),
        cmocka_unit_test(who_leaves_because_of_it_finds_it),
        cmocka_unit_test(who_has_called_for_a_stop_finds_the_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
