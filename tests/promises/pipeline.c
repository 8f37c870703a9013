/* Pipelines: order, exclusion, the bound on items in flight, failures and cancels at every stage, nothing lost that has to be given back. */
#include "support.h"

enum { STAGES = 5, ITEMS = 300 };

struct item {
    uint64_t number, touched;
    char ballast[7];
};

struct line;
struct post {
    struct line *line;
    int stage;
};

/* What the stages of one pipeline see. */
struct line {
    struct post posts[STAGES];
    uint64_t items, made, random;
    uint64_t next[STAGES]; /* what an ordered stage is to see */
    int inside[STAGES], ordered[STAGES], most[STAGES];
    int in_flight, most_in_flight;
    int64_t fail_item, fail_stage;
    int cancels;           /* instead of failing, it cancels */
    yoke_scope scope;
    int left, discarded;
    uint8_t seen[ITEMS];
    int stages;
};

static void enter(struct line *l, int stage)
{
    int now = add(&l->inside[stage], 1) + 1;
    if (l->ordered[stage])
        check_int(now, 1);
}

static int trouble(struct line *l, uint64_t number, int stage)
{
    if ((int64_t)number != l->fail_item || stage != l->fail_stage)
        return 0;
    if (!l->cancels)
        return yoke_fail(-EDOM, "item %llu", (unsigned long long)number);
    check_int(yoke_scope_cancel(l->scope, -EXDEV), 0);
    return 0;
}

static void leave_line(struct line *l, const struct item *item)
{
    add(&l->in_flight, -1);
    add(&l->left, 1);
    add(&l->seen[item->number], 1);
}

static int produce(void *at, void *arg)
{
    struct post *post = arg;
    struct line *l = post->line;
    struct item *item = at;
    uint64_t r = l->random + l->made;
    check((uintptr_t)at % 16 == 0);
    enter(l, 0);
    jitter(&r);
    int more = l->made < l->items, rc = trouble(l, l->made, 0);
    while (!more && l->cancels && rc == 0) /* the end is not to come before the cancel, with nothing left to be cut */
        rc = yoke_yield();
    if (more && rc == 0) {
        *item = (struct item){ .number = l->made++, .ballast = "yoke" };
        int now = add(&l->in_flight, 1) + 1;
        if (now > l->most_in_flight)
            l->most_in_flight = now; /* the source is exclusive */
    }
    add(&l->inside[0], -1);
    if (rc == 0 && more && l->stages == 1)
        leave_line(l, item);
    return rc < 0 ? rc : more;
}

static int work(void *at, void *arg)
{
    struct post *post = arg;
    struct line *l = post->line;
    struct item *item = at;
    uint64_t r = l->random + item->number * 8 + (uint64_t)post->stage;
    enter(l, post->stage);
    if (l->ordered[post->stage])
        check_int(item->number, l->next[post->stage]++);
    check_int(item->touched, post->stage - 1);
    check(strcmp(item->ballast, "yoke") == 0);
    jitter(&r);
    int rc = trouble(l, item->number, post->stage);
    if (rc == 0 && next_random(&r) % 16 == 0)
        rc = yoke_sleep(YOKE_US(10));
    item->touched++;
    add(&l->inside[post->stage], -1);
    if (rc == 0 && post->stage == l->stages - 1)
        leave_line(l, item);
    return rc;
}

static void discard(void *at, void *arg)
{
    struct line *l = arg;
    struct item *item = at;
    l->discarded++;
    add(&l->seen[item->number], 1);
}

/* `kinds`: a bit for each stage that is ordered. */
static int run_line(struct line *l, int stages, unsigned kinds, uint64_t items, unsigned in_flight)
{
    yoke_stage stage[STAGES];
    l->stages = stages;
    l->items = items;
    l->random = seed();
    for (int i = 0; i < stages; i++) {
        l->posts[i] = (struct post){ l, i };
        l->ordered[i] = i == 0 || (kinds >> i & 1);
        stage[i] = (yoke_stage){ l->ordered[i] ? YOKE_STAGE_ORDERED : YOKE_STAGE_UNORDERED, i == 0 ? produce : work, &l->posts[i] };
    }
    int rc = yoke_parallel_pipeline(stage, (size_t)stages,
                                    YOKE_PIPELINE(.item_size = sizeof(struct item), .in_flight = in_flight, .discard = discard, .discard_arg = l));
    for (uint64_t i = 0; i < l->made; i++)
        check_int(l->seen[i], 1); /* left or discarded, once */
    check_int(l->left + l->discarded, l->made);
    check(l->most_in_flight <= (int)(in_flight > 0 ? in_flight : 4 * (unsigned)yoke_workers()));
    return rc;
}

static int all_lines(void *arg)
{
    static const unsigned bounds[] = { 1, 2, 3, 7, 0, 1000 };
    static const uint64_t items[] = { 0, 1, 2, 50, ITEMS };
    (void)arg;
    for (int stages = 1; stages <= STAGES; stages++)
        for (unsigned kinds = 0; kinds < 1u << stages; kinds += 2)
            for (int b = 0; b < 6; b++) {
                struct line l = { .fail_item = -1 };
                uint64_t n = items[(kinds / 2 + (unsigned)b) % 5];
                check_int(run_line(&l, stages, kinds, n, bounds[b]), 0);
                check_int(l.left, n);
            }
    return 0;
}

static void on_all_crews(yoke_fn fn, void *arg)
{
    assert_int_equal(run(1, fn, arg), 0);
    assert_int_equal(run(2, fn, arg), 0);
    assert_int_equal(run(4, fn, arg), 0);
}

static void items_pass_all_stages_in_order_where_it_is_kept(void **state)
{
    (void)state;
    on_all_crews(all_lines, NULL);
}

static int failing_lines(void *arg)
{
    (void)arg;
    for (int64_t stage = 0; stage < 4; stage++)
        for (int64_t item = 0; item < 12; item++)
            for (unsigned kinds = 0; kinds < 16; kinds += 6) {
                char want[32];
                struct line l = { .fail_item = item, .fail_stage = stage };
                check_int(run_line(&l, 4, kinds, 30, 4), -EDOM);
                snprintf(want, sizeof want, "item %lld", (long long)item);
                check(strcmp(yoke_message(-EDOM), want) == 0);
                check(l.left < 30);
            }
    return 0;
}

static void the_first_failure_is_the_result_and_items_are_discarded(void **state)
{
    (void)state;
    for (int i = repetitions(3); i > 0; i--)
        on_all_crews(failing_lines, NULL);
}

static int cut_lines(void *arg)
{
    (void)arg;
    for (int64_t stage = 0; stage < 4; stage++)
        for (int64_t item = 0; item < 12; item++) {
            struct line l = { .fail_item = item, .fail_stage = stage, .cancels = 1 };
            YOKE_SCOPE(s);
            l.scope = s;
            check_int(run_line(&l, 4, 4, 30, 4), -ECANCELED);
            check_int(run_line(&(struct line){ .fail_item = -1 }, 4, 4, 30, 4), -ECANCELED); /* nothing begins */
            check_int(yoke_scope_close(s, -ECANCELED), -EXDEV);
        }
    return 0;
}

static void a_cancel_cuts_it_and_items_are_discarded(void **state)
{
    (void)state;
    for (int i = repetitions(3); i > 0; i--)
        on_all_crews(cut_lines, NULL);
}

/* ---- an unordered stage is done by several at a time ---- */

static int met;

static int count_to_four(void *item, void *arg)
{
    int *n = arg;
    *(int *)item = (*n)++;
    return *n <= 4;
}

static int meet(void *item, void *arg)
{
    (void)item;
    (void)arg;
    add(&met, 1);
    while (load(&met) < 4)
        YOKE_TRY(yoke_yield());
    return 0;
}

static int meet_in_a_stage(void *arg)
{
    int n = 0;
    (void)arg;
    met = 0;
    const yoke_stage stages[] = { { YOKE_STAGE_ORDERED, count_to_four, &n }, { YOKE_STAGE_UNORDERED, meet, NULL } };
    return yoke_parallel_pipeline(stages, 2, YOKE_PIPELINE(.item_size = sizeof(int), .in_flight = 4));
}

static void an_unordered_stage_takes_all_that_are_in_flight(void **state)
{
    (void)state;
    on_all_crews(meet_in_a_stage, NULL); /* hangs otherwise: the time limit tells */
}

/* ---- misuse ---- */

static int misuse(void *arg)
{
    int n = 0;
    (void)arg;
    const yoke_stage stages[] = { { YOKE_STAGE_ORDERED, count_to_four, &n }, { YOKE_STAGE_ORDERED, NULL, NULL } };
    check_int(yoke_parallel_pipeline(stages, 0, YOKE_PIPELINE(.item_size = 4)), -EINVAL);
    check_int(yoke_parallel_pipeline(stages, 2, YOKE_PIPELINE(.item_size = 4)), -EINVAL);
    check_int(yoke_parallel_pipeline(stages, 1, YOKE_PIPELINE(.item_size = 0)), -EINVAL);
    check_int(yoke_parallel_pipeline(stages, 1, NULL), -EINVAL);
    check_int(yoke_parallel_pipeline(NULL, 1, YOKE_PIPELINE(.item_size = 4)), -EINVAL);
    check_int(yoke_parallel_pipeline(stages, 1, YOKE_PIPELINE(.item_size = SIZE_MAX)), -ENOMEM);
    check_int(yoke_parallel_pipeline(stages, 1, YOKE_PIPELINE(.item_size = SIZE_MAX / 8, .in_flight = 16)), -ENOMEM);
    check_int(n, 0);
    return 0;
}

static void misuse_is_told(void **state)
{
    int n = 0;
    const yoke_stage stages[] = { { YOKE_STAGE_ORDERED, count_to_four, &n } };
    (void)state;
    on_all_crews(misuse, NULL);
    assert_int_equal(yoke_parallel_pipeline(stages, 1, YOKE_PIPELINE(.item_size = 4)), -ENOTRECOVERABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_pass_all_stages_in_order_where_it_is_kept),
        cmocka_unit_test(the_first_failure_is_the_result_and_items_are_discarded),
        cmocka_unit_test(a_cancel_cuts_it_and_items_are_discarded),
        cmocka_unit_test(an_unordered_stage_takes_all_that_are_in_flight),
        cmocka_unit_test(misuse_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
