/*
 * The hand-over of a wait: many may fire it, one wins, everybody else is told that it lost. A grant and a cancel in every order and at every
 * moment of the wait, exactly, on one worker; several sources at once; and as invariants on four workers: permits are conserved,
 * nobody is left asleep.
 */
#include "sync.h"

#include "platform.h"
#include "scope.h"
#include "worker.h"

/* Two moments inside of the calls, for others to come in: between the check and the registration; between the look and the switch. */
static void checked(void), leaving(void);

static void intruded_link(struct yoke__scope *scope)
{
    checked();
    yoke__scope_link(scope);
}

static void intruded_suspend(yoke__hook hook, void *arg, const char *what)
{
    leaving();
    yoke__suspend(hook, arg, what);
}

#define yoke__scope_link intruded_link
#define yoke__suspend intruded_suspend
#include "../../executor/wait.c"
#undef yoke__scope_link
#undef yoke__suspend

struct place {
    struct yoke__lock lock;
    struct yoke__waitq queue;
    int permits;
};

static struct place place;

static void place_init(struct place *p, int permits)
{
    *p = (struct place){ .permits = permits };
    yoke__waitq_init(&p->queue);
}

/* A source that grants: true if somebody got it. *resumed: a fiber had to be made runnable, since its stack had been left. */
static bool grant(struct place *p, int code, int result, bool *resumed)
{
    struct yoke__fiber *fiber;
    yoke__lock_acquire(&p->lock);
    bool won = yoke__waitq_wake_locked(&p->queue, code, result, &fiber);
    yoke__lock_release(&p->lock);
    if (resumed != NULL)
        *resumed = won && fiber != NULL;
    if (won && fiber != NULL)
        yoke__ready(yoke__self()->rt, fiber);
    return won;
}

static void leave_queue(struct place *p, struct yoke__waitq_node *node)
{
    yoke__lock_acquire(&p->lock);
    yoke__waitq_remove_locked(&p->queue, node);
    yoke__lock_release(&p->lock);
}

static void join_queue(struct place *p, struct yoke__waitq_node *node, struct yoke__wait *wait)
{
    yoke__lock_acquire(&p->lock);
    yoke__waitq_push_locked(&p->queue, node, wait);
    yoke__lock_release(&p->lock);
}

/* ---- every order, exactly --------------------------------------------------------------------------------------------- */

enum moment { BEFORE, CHECKED, ENLISTED, QUEUED, LEAVING, ASLEEP, AFTERWARDS, NEVER };

/* A play: when the grant comes, when the cancel, and which goes first if both come at one moment. */
struct play {
    enum moment grant, cancel;
    bool grant_first;
    yoke_scope scope;
    struct yoke__wait wait;
    struct yoke__waitq_node node;
    bool granted, resumed; /* the grant won; it found a stack that had been left */
    int cancel_rc;
    int done;
};

static void play_grant(struct play *p, enum moment now)
{
    if (p->grant == now)
        p->granted = grant(&place, YOKE__FIRE_DONE, 7, &p->resumed);
}

static void play_cancel(struct play *p, enum moment now)
{
    if (p->cancel == now)
        p->cancel_rc = yoke_scope_cancel(p->scope, -EXDEV);
}

static void happens(struct play *p, enum moment now)
{
    if (p->grant_first)
        play_grant(p, now);
    play_cancel(p, now);
    if (!p->grant_first)
        play_grant(p, now);
}

static struct play *on_stage; /* NULL: the wait is another's */

static void checked(void)
{
    if (on_stage != NULL)
        happens(on_stage, CHECKED);
}

static void leaving(void)
{
    if (on_stage != NULL && on_stage->wait.seat == &yoke__strand_scope(yoke__current(yoke__self()))->seat)
        happens(on_stage, LEAVING);
}

/* What must come of it: the wait's code, or -ECANCELED if it must not even begin. */
static int outcome(const struct play *p)
{
    bool first = p->grant < p->cancel || (p->grant == p->cancel && p->grant_first);
    if (p->cancel <= CHECKED)
        return -ECANCELED;
    return p->grant >= QUEUED && first ? YOKE__FIRE_DONE : YOKE__FIRE_CANCEL; /* a grant before finds nobody */
}

static int waiter(void *arg)
{
    struct play *p = arg;
    int want = outcome(p);
    YOKE_SCOPE(scope);
    p->scope = scope;
    yoke__wait_init(&p->wait, "play");
    struct yoke__scope *inside = yoke__strand_scope(p->wait.strand);
    p->node.back = NULL;
    p->node.result = 0;
    happens(p, BEFORE);
    on_stage = p;
    int code = yoke__wait_enlist(&p->wait);
    check_int(code, want < 0 ? want : 0);
    if (code == 0) {
        check(inside->seat.wait == (uintptr_t)&p->wait);
        happens(p, ENLISTED);
        join_queue(&place, &p->node, &p->wait);
        happens(p, QUEUED);
        code = yoke__wait_block(&p->wait);
        check_int(code, want);
        leave_queue(&place, &p->node);
        yoke__wait_delist(&p->wait);
        yoke__wait_delist(&p->wait); /* again: no effect */
    }
    on_stage = NULL;
    check(inside->seat.wait == 0);
    check(place.queue.first == NULL && place.queue.last == &place.queue.first);
    if (want == YOKE__FIRE_DONE)
        check_int(p->node.result, 7);
    check_int(p->granted, want == YOKE__FIRE_DONE); /* who granted knows whether it was taken */
    /* A cancel that lost stays pending; one that was to come in a sleep that never came has not happened. */
    bool cancelled = p->cancel <= QUEUED || (p->cancel == LEAVING && p->grant != QUEUED) ||
                     (p->cancel == ASLEEP && p->grant != QUEUED && p->grant != LEAVING);
    check_int(yoke_checkpoint(), cancelled ? -ECANCELED : 0);
    check_int(yoke_scope_close(scope, want == YOKE__FIRE_DONE ? 5 : -ECANCELED), want == YOKE__FIRE_DONE ? 5 : -EXDEV);
    p->done = 1;
    return 0;
}

static int perform(void *arg)
{
    struct play *p = arg;
    place_init(&place, 0);
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, waiter, p), 0);
    while (!p->done && p->wait.state != YOKE__WAIT_PARKED)
        check_int(yoke_yield(), 0);
    bool asleep = !p->done;
    happens(p, ASLEEP);
    check_int(p->resumed, asleep && outcome(p) == YOKE__FIRE_DONE); /* from the queue alone the source only leaves its code */
    int rc = yoke_group_close(g, 0);
    p->resumed = false;
    happens(p, AFTERWARDS);
    if (p->grant == AFTERWARDS)
        check(!p->granted);
    if (p->cancel == AFTERWARDS || (p->cancel == ASLEEP && !asleep))
        check_int(p->cancel_rc, -EINVAL); /* the scope was left */
    return rc;
}

static void a_grant_and_a_cancel_in_every_order(void **state)
{
    (void)state;
    int plays = 0;
    for (int g = BEFORE; g <= NEVER; g++)
        for (int c = BEFORE; c <= NEVER; c++)
            for (int first = 0; first <= 1; first++) {
                struct play p = { .grant = (enum moment)g, .cancel = (enum moment)c, .grant_first = first != 0 };
                bool ends = c <= ASLEEP || (g >= QUEUED && g <= ASLEEP);
                if (!ends)
                    continue; /* it would sleep for ever, and rightly so */
                assert_int_equal(run(1, perform, &p), 0);
                plays++;
            }
    assert_int_equal(plays, 2 * (6 * 8 + 2 * 3));
}

/* ---- a wait alone ------------------------------------------------------------------------------------------------------ */

static int fire_twice(void *arg)
{
    struct yoke__wait wait;
    struct yoke__fiber *fiber = (struct yoke__fiber *)arg;
    for (int code = YOKE__FIRE_DONE; code <= YOKE__FIRE_CLOSED; code++) {
        yoke__wait_init(&wait, "alone");
        check_int(yoke__wait_enlist(&wait), 0);
        check(yoke__wait_fire(&wait, code, &fiber));
        check(fiber == NULL); /* it still runs */
        check(!yoke__wait_fire(&wait, YOKE__FIRE_CANCEL, &fiber));
        check(fiber == NULL);
        check_int(yoke__wait_block(&wait), code);
        check_int(yoke__wait_block(&wait), code);
        yoke__wait_delist(&wait);
    }
    return 0;
}

static void the_first_fire_wins_whatever_its_code(void **state)
{
    (void)state;
    int any;
    assert_int_equal(run(1, fire_twice, &any), 0);
}

/* ---- the queue --------------------------------------------------------------------------------------------------------- */

enum { LINE = 5 };

struct member {
    int number;
    struct yoke__wait wait;
    struct yoke__waitq_node node;
    yoke_scope scope;
    int code, result;
};

static struct member line[LINE];
static int queued, ended[LINE + 1], nended;

static int stand_in_line(void *arg)
{
    struct member *m = arg;
    YOKE_SCOPE(scope);
    m->scope = scope;
    yoke__wait_init(&m->wait, "line");
    check_int(yoke__wait_enlist(&m->wait), 0);
    join_queue(&place, &m->node, &m->wait);
    queued++;
    m->code = yoke__wait_block(&m->wait);
    ended[nended++] = m->number;
    leave_queue(&place, &m->node);
    yoke__wait_delist(&m->wait);
    m->result = m->node.result;
    return yoke_scope_close(scope, 0);
}

static void form_line(yoke_group g)
{
    place_init(&place, 0);
    queued = nended = 0;
    for (int i = 0; i < LINE; i++) {
        line[i] = (struct member){ .number = i, .code = -1 };
        check_int(yoke_spawn_ptr(g, stand_in_line, &line[i]), 0);
        until(&queued, i + 1);
    }
}

/* First in, first out; who was cancelled is passed over, wherever it stood, even if it is still in the queue. */
static int serve_line(void *arg)
{
    unsigned cut = *(unsigned *)arg;
    YOKE_GROUP(g);
    form_line(g);
    int left = 0, order[LINE];
    for (int i = 0; i < LINE; i++) {
        if (cut & (1u << i))
            check_int(yoke_scope_cancel(line[i].scope, -EXDEV), 0);
        else
            order[left++] = i;
    }
    if (cut & (1u << LINE)) /* and let them go away first */
        until(&nended, LINE - left);
    for (int i = 0; i < left; i++)
        check(grant(&place, YOKE__FIRE_TIME, 100 + i, NULL));
    check(!grant(&place, YOKE__FIRE_TIME, 0, NULL)); /* none is left to take it */
    check_int(yoke_group_close(g, 0), 0);
    for (int i = 0; i < left; i++) {
        check_int(line[order[i]].code, YOKE__FIRE_TIME);
        check_int(line[order[i]].result, 100 + i);
    }
    for (int i = 0; i < LINE; i++)
        if (cut & (1u << i))
            check_int(line[i].code, YOKE__FIRE_CANCEL);
    check(place.queue.first == NULL && place.queue.last == &place.queue.first);
    return 0;
}

static void a_queue_is_served_in_order_past_the_cancelled(void **state)
{
    (void)state;
    for (unsigned cut = 0; cut < 2u << LINE; cut++)
        assert_int_equal(run(1, serve_line, &cut), 0);
}

/* The one that was fired is named, and what the waker leaves in its node under the lock is there for it. */
static int take_from_line(void *arg)
{
    YOKE_GROUP(g);
    (void)arg;
    form_line(g);
    check_int(yoke_scope_cancel(line[0].scope, -EXDEV), 0);
    yoke__lock_acquire(&place.lock);
    struct yoke__fiber *fiber;
    struct yoke__waitq_node *node = yoke__waitq_take_locked(&place.queue, YOKE__FIRE_DONE, &fiber);
    check(node == &line[1].node);
    check(fiber != NULL);
    if (node != NULL)
        node->result = 42;
    yoke__lock_release(&place.lock);
    yoke__ready(yoke__self()->rt, fiber);
    check_int(yoke_group_cancel(g, 0), 0);
    check_int(yoke_group_close(g, 0), 0);
    check_int(line[1].code, YOKE__FIRE_DONE);
    check_int(line[1].result, 42);
    yoke__lock_acquire(&place.lock);
    check(yoke__waitq_take_locked(&place.queue, YOKE__FIRE_DONE, &fiber) == NULL);
    yoke__lock_release(&place.lock);
    for (int i = 2; i < LINE; i++)
        check_int(line[i].code, YOKE__FIRE_CANCEL);
    return 0;
}

static void the_one_that_was_fired_is_named(void **state)
{
    (void)state;
    assert_int_equal(run(1, take_from_line, NULL), 0);
}

/* ---- without a stack to leave to --------------------------------------------------------------------------------------- */

enum { MANY = 20 };

static int arrived, blocked, refused, woken;

/* The last one to come wakes those who found a stack to leave theirs for. */
static int wait_or_be_refused(void *arg)
{
    struct yoke__wait wait;
    struct yoke__waitq_node node;
    (void)arg;
    if (++arrived == MANY) {
        yoke__os_fault_clear();
        while (grant(&place, YOKE__FIRE_DONE, 0, NULL))
            woken++;
        return 0;
    }
    yoke__wait_init(&wait, "wait");
    int rc = yoke__wait_enlist(&wait);
    if (rc < 0) {
        check_int(rc, -ENOMEM);
        check(wait.seat == NULL && (wait.strand->seat == NULL || wait.strand->seat->wait == 0)); /* nobody sits there */
        refused++;
        return 0;
    }
    join_queue(&place, &node, &wait);
    blocked++;
    check_int(yoke__wait_block(&wait), YOKE__FIRE_DONE);
    leave_queue(&place, &node);
    yoke__wait_delist(&wait);
    return 0;
}

static int exhaust_stacks(void *arg)
{
    enum { BEFORE_THAT = 3 };
    (void)arg;
    place_init(&place, 0);
    YOKE_GROUP(g);
    for (int i = 0; i < MANY; i++) {
        check_int(yoke_spawn_ptr(g, wait_or_be_refused, NULL), 0);
        if (i < BEFORE_THAT)
            until(&blocked, i + 1);
        else
            yoke__os_fault_set(YOKE__OS_MMAP, -1, ENOMEM);
    }
    return yoke_group_close(g, 0);
}

static void a_wait_without_a_stack_to_leave_to_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run(1, exhaust_stacks, NULL), 0);
    assert_true(refused > 0);
    assert_int_equal(blocked + refused, MANY - 1);
    assert_int_equal(woken, blocked);
}

/* ---- a crowd ----------------------------------------------------------------------------------------------------------- */

/*
 * Two places with a permit each; a task waits for both at once and gets one of them, or is cancelled. Whoever gives a permit back hands
 * it to the first who still waits there.
 */
enum { PLACES = 2, TASKS = 12, ROUNDS = 300 };

static struct place places[PLACES];
static int holders[PLACES], come, got, cut_off;

static const int codes[PLACES] = { YOKE__FIRE_DONE, YOKE__FIRE_CLOSED };

static void give_back(int i)
{
    struct yoke__fiber *fiber = NULL;
    yoke__lock_acquire(&places[i].lock);
    if (!yoke__waitq_wake_locked(&places[i].queue, codes[i], i, &fiber))
        places[i].permits++;
    yoke__lock_release(&places[i].lock);
    if (fiber != NULL)
        yoke__ready(yoke__self()->rt, fiber);
}

/* The place it got a permit of, or -ECANCELED. */
static int get_one(void)
{
    struct yoke__wait wait;
    struct yoke__waitq_node node[PLACES];
    int taken = -1, won = 0;
    yoke__wait_init(&wait, "one of two");
    int code = yoke__wait_enlist(&wait);
    if (code < 0)
        return code;
    for (int i = 0; i < PLACES; i++)
        node[i].back = NULL;
    for (int i = 0; i < PLACES && taken < 0; i++) {
        yoke__lock_acquire(&places[i].lock);
        if (places[i].permits > 0) {
            struct yoke__fiber *fiber;
            won = yoke__wait_fire(&wait, codes[i], &fiber); /* as a source among others; lost: one of them has fired */
            check(fiber == NULL);
            places[i].permits -= won;
            taken = i;
        } else {
            yoke__waitq_push_locked(&places[i].queue, &node[i], &wait);
        }
        yoke__lock_release(&places[i].lock);
    }
    code = yoke__wait_block(&wait);
    for (int i = 0; i < PLACES; i++)
        leave_queue(&places[i], &node[i]);
    yoke__wait_delist(&wait);
    if (code == YOKE__FIRE_CANCEL)
        return -ECANCELED;
    int from = code == codes[0] ? 0 : 1;
    check_int(code, codes[from]);
    if (won)
        check_int(from, taken);
    return from;
}

static int come_and_go(void *arg)
{
    uint64_t r = fresh();
    (void)arg;
    YOKE_GROUP(cutters);
    add(&come, 1);
    while (load(&come) < TASKS) /* all of them contend */
        check_int(yoke_yield(), 0);
    REPEAT(ROUNDS) {
        YOKE_SCOPE(scope);
        cut_sometime(cutters, scope, &r);
        int rc = get_one();
        if (rc >= 0) {
            check_int(add(&holders[rc], 1), 0); /* a permit is in one hand */
            mix(&r);
            check_int(add(&holders[rc], -1), 1);
            give_back(rc);
            add(&got, 1);
            leave(scope, 0);
        } else {
            check_int(rc, -ECANCELED);
            check(yoke_cancelled());
            add(&cut_off, 1);
            leave(scope, rc);
        }
    }
    return yoke_group_close(cutters, 0);
}

static int crowd(void *arg)
{
    (void)arg;
    for (int i = 0; i < PLACES; i++)
        place_init(&places[i], 1);
    YOKE_GROUP(g);
    for (int i = 0; i < TASKS; i++)
        check_int(yoke_spawn_ptr(g, come_and_go, NULL), 0);
    check_int(yoke_group_close(g, 0), 0);
    for (int i = 0; i < PLACES; i++) {
        check_int(places[i].permits, 1);
        check(places[i].queue.first == NULL);
    }
    return 0;
}

static void permits_are_conserved_among_grants_and_cancels(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers += 3) {
        got = cut_off = come = 0;
        assert_int_equal(run(workers, crowd, NULL), 0);
        assert_int_equal(got + cut_off, TASKS * repetitions(ROUNDS));
        if (repetitions(ROUNDS) == ROUNDS) /* of a few it can be all */
            assert_true(got > 0 && cut_off > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grant_and_a_cancel_in_every_order),
        cmocka_unit_test(the_first_fire_wins_whatever_its_code),
        cmocka_unit_test(a_queue_is_served_in_order_past_the_cancelled),
        cmocka_unit_test(the_one_that_was_fired_is_named),
        cmocka_unit_test(a_wait_without_a_stack_to_leave_to_is_refused),
        cmocka_unit_test(permits_are_conserved_among_grants_and_cancels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
