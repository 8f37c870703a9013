/*
 * The table of close, whole: every policy with every end of the body, every pair of children and every pair of things that come from
 * outside, against an oracle that is the table and its fine print and nothing else. On one worker there is one order in which it can happen;
 * on four workers what is seen must be what some order gives.
 */
#include "support.h"

#include <yoke/sync/event.h>

enum policy { ALL, COLLECT, ANY1, ANY2, POLICIES };
enum body { BODY_WELL, BODY_FAILS, BODY_ASKS, BODY_CUT, BODIES };
enum child {
    NOBODY,
    /* these wait at the gate until they are cut or let go, and then */
    WAITS,      /* tell which it was */
    FAILS_LATE, /* fail */
    SUCCEEDS,   /* succeed */
    /* these end before anything comes from outside */
    ENDS_WELL,
    FAILS,
    BY_HANDLE,  /* cancelled by its handle */
    CUT_BY_NOBODY, /* says -ECANCELED, and was not cancelled */
    CHILDREN
};
enum outside {
    NOTHING,
    DEADLINE, /* its own has passed */
    CANCEL,   /* yoke_group_cancel with a reason */
    CANCEL_0, /* and without one */
    ENCLOSING,
    GRACE,    /* it is stopped, and has none */
    STOP,     /* it is marked cancel_on_stop, and what encloses it is stopped */
    ON_DONE,  /* asks to cancel at the first end */
    OUTSIDES
};

struct scenario {
    enum policy policy;
    enum body body;
    enum child child[2];
    enum outside outside[2];
};

enum { BODY_CODE = -EDOM, CHILD_CODE = -EIO, LATE_CODE = -ERANGE, REASON = -EXDEV, OUTER_REASON = -EILSEQ, WELL = 5 };

struct outcome {
    int rc, row;
    unsigned spawned, failed, cancelled;
};

/* ---- the oracle ------------------------------------------------------------------------------------------------------- */

enum step { SPAWNED, FIRST_CAME, SECOND_CAME, ANSWERED, GATE_OPEN, CLOSING };
enum place { NOT_THERE, AT_THE_GATE, THROUGH, ENDED };

enum own { NOT_CANCELLED, BY_FAILURE, BY_DEADLINE, BY_REASON, BY_VERDICT };

struct world {
    enum policy policy;
    unsigned need;
    bool on_done;
    enum own own; /* the first cancel of the group itself */
    int reason;
    bool enclosing;
    bool failed;
    int first;
    bool cut_by_deadline, cut_by_enclosing;
    unsigned live, successes, spawned, failures, cancelled;
    enum step step; /* of the owner, done last */
    int body;
    bool body_failed;
    enum place place[2]; /* of the children at the gate */
    int rc[2];           /* what they end with */
};

static bool effectively(const struct world *w)
{
    return w->own != NOT_CANCELLED || w->enclosing;
}

static void cancel_own(struct world *w, enum own how, int reason)
{
    if (w->own != NOT_CANCELLED)
        return;
    w->own = how;
    w->reason = reason;
}

static void note_cut(struct world *w)
{
    if (w->enclosing)
        w->cut_by_enclosing = true;
    else if (w->own == BY_DEADLINE)
        w->cut_by_deadline = true;
}

static void world_fails(struct world *w, int rc)
{
    if (!w->failed)
        w->first = rc;
    w->failed = true;
    if (w->policy == ALL)
        cancel_own(w, BY_FAILURE, 0);
}

/* Of the policy ANY: once nobody can be spawned any more, what cannot be reached is given up. */
static void look_ahead(struct world *w)
{
    if (w->policy >= ANY1 && w->step == CLOSING && w->successes + w->live < w->need)
        cancel_own(w, BY_VERDICT, 0);
}

static void child_ends(struct world *w, int rc, bool cancelled)
{
    w->live--;
    if (rc == -ECANCELED && cancelled) {
        w->cancelled++;
        note_cut(w);
    } else if (rc < 0) {
        w->failures++;
        world_fails(w, rc);
    } else {
        w->successes++;
    }
    if (w->policy >= ANY1 && w->successes >= w->need)
        cancel_own(w, BY_VERDICT, 0);
    if (w->on_done)
        cancel_own(w, BY_REASON, 0);
    look_ahead(w);
}

static bool at_the_gate(enum child c)
{
    return c == WAITS || c == FAILS_LATE || c == SUCCEEDS;
}

static struct outcome table(const struct world *w)
{
    struct outcome o = { .spawned = w->spawned, .failed = w->failures, .cancelled = w->cancelled };
    bool reached = w->policy >= ANY1 && w->successes >= w->need;
    if (w->policy == ALL ? w->failed : w->policy == COLLECT ? w->body_failed : reached) {
        o.row = 1;
        o.rc = w->policy == ALL ? w->first : w->policy == COLLECT ? w->body : 0;
    } else if (w->cut_by_deadline && !w->enclosing) {
        o.row = 2;
        o.rc = -ETIMEDOUT;
    } else if (w->own == BY_REASON) {
        o.row = 3;
        o.rc = w->reason;
    } else if (w->cut_by_enclosing || w->cut_by_deadline) {
        o.row = 4;
        o.rc = -ECANCELED;
    } else {
        o.row = 5;
        o.rc = w->policy < ANY1 ? w->body : w->failed ? w->first : w->spawned < w->need ? -EINVAL : -ECANCELED;
    }
    return o;
}

/* Those who wait at the gate, and those who have ended. */
static struct world at_the_start(const struct scenario *s)
{
    struct world w = { .policy = s->policy, .need = s->policy == ANY2 ? 2 : s->policy == ANY1 ? 1 : 0,
                       .on_done = s->outside[0] == ON_DONE || s->outside[1] == ON_DONE };
    for (int i = 0; i < 2; i++)
        if (at_the_gate(s->child[i])) {
            w.place[i] = AT_THE_GATE;
            w.spawned++;
            w.live++;
        }
    for (int i = 0; i < 2; i++) {
        enum child c = s->child[i];
        if (c == NOBODY || at_the_gate(c) || effectively(&w)) /* into a cancelled group nobody is spawned */
            continue;
        w.spawned++;
        w.live++;
        child_ends(&w, c == ENDS_WELL ? 1 : c == FAILS ? CHILD_CODE : -ECANCELED, c == BY_HANDLE);
    }
    return w;
}

static void comes(struct world *w, enum outside what, bool grace_over)
{
    switch (what) {
    case DEADLINE:
        cancel_own(w, BY_DEADLINE, 0);
        break;
    case CANCEL:
        cancel_own(w, BY_REASON, REASON);
        break;
    case ENCLOSING:
        w->enclosing = true;
        break;
    case GRACE: /* under an enclosing cancel it may have run out or not */
        if (!w->enclosing || grace_over)
            cancel_own(w, BY_REASON, 0);
        break;
    case STOP: /* what is cancelled is not stopped any more */
        if (!w->enclosing)
            cancel_own(w, BY_REASON, 0);
        break;
    case CANCEL_0:
        cancel_own(w, BY_REASON, 0);
        break;
    default:
        break;
    }
}

/* The owner's next step. */
static void owner_steps(struct world *w, const struct scenario *s, bool grace_over)
{
    switch (++w->step) {
    case FIRST_CAME:
        comes(w, s->outside[0], grace_over);
        break;
    case SECOND_CAME:
        comes(w, s->outside[1], grace_over);
        break;
    case ANSWERED:
        w->body = s->body == BODY_WELL ? WELL : s->body == BODY_FAILS ? BODY_CODE : s->body == BODY_CUT || effectively(w) ? -ECANCELED : 0;
        break;
    case CLOSING:
        w->body_failed = w->body < 0 && !(w->body == -ECANCELED && effectively(w));
        if (w->body_failed)
            world_fails(w, w->body);
        else if (w->body < 0)
            note_cut(w);
        look_ahead(w);
        break;
    default:
        break;
    }
}

static void goes_through(struct world *w, const struct scenario *s, int i, bool cut)
{
    w->place[i] = THROUGH;
    w->rc[i] = s->child[i] == FAILS_LATE ? LATE_CODE : s->child[i] == WAITS && cut ? -ECANCELED : 0;
}

static void ends_then(struct world *w, int i)
{
    w->place[i] = ENDED;
    child_ends(w, w->rc[i], true);
}

/* On one worker: those at the gate go at one stroke, when they are cut or the owner waits in close, and in the order in which they came. */
static struct outcome in_order(const struct scenario *s, bool grace_over)
{
    struct world w = at_the_start(s);
    for (;;) {
        bool cut = effectively(&w);
        for (int i = 0; i < 2; i++)
            if (w.place[i] == AT_THE_GATE && (cut || w.step == CLOSING))
                goes_through(&w, s, i, cut);
        for (int i = 0; i < 2; i++)
            if (w.place[i] == THROUGH)
                ends_then(&w, i);
        if (w.step == CLOSING)
            return table(&w);
        owner_steps(&w, s, grace_over);
    }
}

static bool same(const struct outcome *a, const struct outcome *b)
{
    return a->rc == b->rc && a->spawned == b->spawned && a->failed == b->failed && a->cancelled == b->cancelled;
}

/*
 * On many: whether some order, from here on, gives what was seen. The owner's next thing does not come before those are through whom the
 * last one cut. At the gate one may find it open, or be cut, and with both it may be either; between there and the end anything may happen.
 */
static bool may_give(struct world w, const struct scenario *s, const struct outcome *got)
{
    if (w.step == CLOSING && w.live == 0) {
        struct outcome o = table(&w);
        return same(&o, got);
    }
    bool held = false;
    for (int i = 0; i < 2; i++) {
        struct world next = w;
        if (w.place[i] == THROUGH) {
            ends_then(&next, i);
            if (may_give(next, s, got))
                return true;
        }
        if (w.place[i] != AT_THE_GATE)
            continue;
        held = held || ((w.step == FIRST_CAME || w.step == SECOND_CAME) && effectively(&w));
        for (int cut = 0; cut <= 1; cut++)
            if (cut ? effectively(&w) : w.step >= GATE_OPEN) {
                next = w;
                goes_through(&next, s, i, cut);
                if (may_give(next, s, got))
                    return true;
            }
    }
    for (int over = 0; over <= 1 && w.step < CLOSING && !held; over++) {
        struct world next = w;
        owner_steps(&next, s, over);
        if (may_give(next, s, got))
            return true;
    }
    return false;
}

/* ---- the same, for true -------------------------------------------------------------------------------------------------- */

static yoke_event gate;
static int arrived, gone;

static int waits(void *arg)
{
    add(&arrived, 1);
    int rc = yoke_event_wait(&gate);
    add(&gone, 1);
    return *(enum child *)arg == FAILS_LATE ? LATE_CODE : *(enum child *)arg == SUCCEEDS ? 0 : rc;
}

static int ends(void *arg)
{
    switch (*(enum child *)arg) {
    case ENDS_WELL:
        return 1;
    case FAILS:
        return CHILD_CODE;
    case BY_HANDLE:
        return yoke_sleep_until(YOKE_NEVER);
    default:
        return -ECANCELED;
    }
}

static int open_gate(void *arg)
{
    (void)arg;
    return yoke_event_set(&gate);
}

static int ask_to_cancel(void *ctx, const yoke_done *done)
{
    (void)done;
    return *(bool *)ctx ? YOKE_CANCEL_GROUP : YOKE_GO_ON;
}

/* Until a deadline, a grace or a stop has been carried out, which shows unless the group is cancelled anyway. */
static void until_cancelled(void)
{
    while (!yoke_cancelled()) {
        YOKE_SCOPE(shield, .shield = true, .deadline = yoke_after(YOKE_SEC(1000)));
        check_int(yoke_scope_close(shield, yoke_yield()), 0);
    }
}

static int spawn_those_who_wait(yoke_group g, const struct scenario *s)
{
    int waiting = 0;
    for (int i = 0; i < 2; i++)
        if (at_the_gate(s->child[i])) {
            check_int(yoke_spawn(g, waits, enum child, s->child[i]), 0);
            waiting++;
        }
    while (load(&arrived) < waiting)
        check_int(yoke_yield(), 0);
    return waiting;
}

static void spawn_those_who_end(yoke_group g, const struct scenario *s)
{
    for (int i = 0; i < 2; i++) {
        yoke_task h;
        int result;
        if (s->child[i] == NOBODY || at_the_gate(s->child[i]))
            continue;
        bool cancelled = yoke_cancelled();
        int rc = yoke_spawn_with(g, (.handle = &h), ends, enum child, s->child[i]);
        check_int(rc, cancelled ? -ECANCELED : 0);
        if (rc < 0)
            continue;
        YOKE_SCOPE(shield, .shield = true, .deadline = yoke_after(YOKE_SEC(1000))); /* the owner may be cancelled by it */
        if (s->child[i] == BY_HANDLE)
            check_int(yoke_task_cancel(h), 0);
        check_int(yoke_task_await(h, &result), 0);
        check_int(yoke_scope_close(shield, 0), 0);
        if (s->outside[0] == ON_DONE)
            until_cancelled();
    }
}

/* Those who are cut by one thing end before the next comes: or the gate might be first. On one worker they have ended once they are gone. */
static void until_gone(int waiting)
{
    while (yoke_cancelled() && load(&gone) < waiting) {
        YOKE_SCOPE(shield, .shield = true, .deadline = yoke_after(YOKE_SEC(1000)));
        check_int(yoke_scope_close(shield, yoke_yield()), 0);
    }
}

static void come_from_outside(yoke_group g, yoke_scope enclosing, const struct scenario *s, int waiting)
{
    for (int i = 0; i < 2; i++) {
        switch (s->outside[i]) {
        case DEADLINE:
            check_int(yoke_group_set_deadline(g, 1), 0);
            until_cancelled();
            break;
        case CANCEL:
            check_int(yoke_group_cancel(g, REASON), 0);
            break;
        case CANCEL_0:
            check_int(yoke_group_cancel(g, 0), 0);
            break;
        case ENCLOSING:
            check_int(yoke_scope_cancel(enclosing, OUTER_REASON), 0);
            break;
        case GRACE:
            check_int(yoke_group_stop(g), 0);
            until_cancelled();
            break;
        case STOP:
            check_int(yoke_scope_stop(enclosing), 0);
            until_cancelled(); /* at once, but by who is carrying out another cancel, if somebody is */
            break;
        default:
            break;
        }
        until_gone(waiting);
    }
}

static struct outcome play(const struct scenario *s, bool exact)
{
    yoke_group_report report = { .size = sizeof report };
    bool marked = s->outside[0] == STOP || s->outside[1] == STOP, ask = s->outside[0] == ON_DONE;
    struct outcome o = { .row = 0 };
    yoke_event_init(&gate);
    store(&arrived, 0);
    store(&gone, 0);
    YOKE_GROUP(others);
    YOKE_SCOPE(enclosing, .grace = YOKE_NEVER);
    YOKE_GROUP(g, .policy = s->policy == ALL ? YOKE_ALL : s->policy == COLLECT ? YOKE_COLLECT : YOKE_ANY,
               .need = s->policy == ANY2 ? 2 : 0, .grace = -1, .cancel_on_stop = marked, .on_done = ask ? ask_to_cancel : NULL,
               .on_done_ctx = &ask);
    int waiting = spawn_those_who_wait(g, s);
    spawn_those_who_end(g, s);
    come_from_outside(g, enclosing, s, waiting);
    int body = s->body == BODY_WELL ? WELL : s->body == BODY_FAILS ? BODY_CODE : s->body == BODY_CUT ? -ECANCELED : yoke_checkpoint();
    if (exact)
        check_int(yoke_spawn_ptr(others, open_gate, NULL), 0);
    else
        check_int(open_gate(NULL), 0);
    o.rc = yoke_group_close_report(g, body, &report);
    o.spawned = (unsigned)report.spawned;
    o.failed = (unsigned)report.failed;
    o.cancelled = (unsigned)report.cancelled;
    bool outer = s->outside[0] == ENCLOSING || s->outside[1] == ENCLOSING;
    check_int(yoke_checkpoint(), outer ? -ECANCELED : 0); /* an enclosing cancel stays pending, any other is over */
    check_int(yoke_scope_close(enclosing, yoke_checkpoint()), outer ? OUTER_REASON : 0);
    check_int(yoke_group_close(others, 0), 0);
    return o;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------------- */

static int rows[POLICIES][6];

static void try(const struct scenario *s, bool exact)
{
    struct outcome got = play(s, exact), wanted = in_order(s, false);
    bool right = same(&got, &wanted);
    if (!right && exact) {
        struct outcome other = in_order(s, true);
        right = same(&got, &other);
    } else if (!right) {
        right = may_give(at_the_start(s), s, &got);
    }
    if (right && exact)
        rows[s->policy][wanted.row]++;
    else if (!right && add(&failed_checks, 1) == 0)
        snprintf(first_failure, sizeof first_failure,
                 "policy %d, body %d, children %d and %d, from outside %d and %d: close is %d, in order %d (row %d); "
                 "spawned %u, failed %u, cancelled %u, in order %u, %u, %u",
                 s->policy, s->body, s->child[0], s->child[1], s->outside[0], s->outside[1], got.rc, wanted.rc, wanted.row, got.spawned,
                 got.failed, got.cancelled, wanted.spawned, wanted.failed, wanted.cancelled);
}

static bool sensible(const struct scenario *s)
{
    if (s->outside[0] == NOTHING || s->outside[0] == ON_DONE) /* what comes second comes after a first */
        return s->outside[1] == NOTHING;
    return s->outside[1] != ON_DONE && s->outside[0] != s->outside[1];
}

enum { COMBINATIONS = POLICIES * BODIES * CHILDREN * CHILDREN * OUTSIDES * OUTSIDES };

static struct scenario scenario(int n)
{
    struct scenario s;
    s.policy = (enum policy)(n % POLICIES), n /= POLICIES;
    s.body = (enum body)(n % BODIES), n /= BODIES;
    s.child[0] = (enum child)(n % CHILDREN), n /= CHILDREN;
    s.child[1] = (enum child)(n % CHILDREN), n /= CHILDREN;
    s.outside[0] = (enum outside)(n % OUTSIDES), n /= OUTSIDES;
    s.outside[1] = (enum outside)n;
    return s;
}

struct part {
    bool exact;
    int first, step;
};

static int play_all(void *arg)
{
    struct part *part = arg;
    for (int n = part->first; n < COMBINATIONS; n += part->step) {
        struct scenario s = scenario(n);
        if (sensible(&s))
            try(&s, part->exact);
    }
    return 0;
}

static void close_is_its_table(void **state)
{
    (void)state;
    int share = repetitions(100);
    struct part part = { .exact = true, .step = share >= 100 ? 1 : 100 / share | 1 }; /* odd: prime to the number of policies */
    part.first = (int)(seed() % (uint64_t)part.step);
    memset(rows, 0, sizeof rows);
    assert_int_equal(run(1, play_all, &part), 0);
    assert_string_equal(reports[0] == '\0' ? "" : strstr(reports, "grace") != NULL ? "" : reports, "");
    for (int policy = 0; policy < POLICIES; policy++)
        for (int row = 1; row <= 5; row++)
            assert_true(rows[policy][row] > 0); /* the oracle itself has said each */
    part.exact = false;
    part.step = part.step * 3 | 1;
    part.first = (int)(seed() % (uint64_t)part.step);
    assert_int_equal(run(4, play_all, &part), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(close_is_its_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
