/* No memory for the large stacks that groups ask for: the opening says so, or what needs one waits for it, and everything else goes on. */
#include "support.h"

#include "core.h"

enum { KIB = 1024, MIB = 1024 * KIB, SLAB = 2 }; /* stacks in a slab of this build */

static void no_more(void)
{
    yoke__os_fault_set(YOKE__OS_MMAP, -1, ENOMEM);
}

static void *(*volatile fill)(void *, int, size_t) = memset; /* unknown to the compiler */

/* Calls fn(arg) with so much less stack. */
static __attribute__((noinline)) int below(size_t bytes, yoke_fn fn, void *arg)
{
    unsigned char *deep = __builtin_alloca(bytes);
    fill(deep, 7, bytes);
    int rc = fn(arg);
    return deep[0] == 7 && deep[bytes - 1] == 7 ? rc : -EIO;
}

static int nothing(void *arg)
{
    if (arg != NULL)
        add((int *)arg, 1);
    return 0;
}

static int nap(void *arg)
{
    (void)arg;
    int rc = yoke_sleep(YOKE_US(50));
    return rc == -ENOMEM ? 0 : rc;
}

static bool any_aside(struct yoke_runtime *rt)
{
    yoke__lock_acquire(&rt->large.lock);
    bool any = rt->large.aside != NULL;
    yoke__lock_release(&rt->large.lock);
    return any;
}

static bool any_spare(struct yoke_runtime *rt)
{
    yoke__lock_acquire(&rt->large.lock);
    bool any = rt->large.spare[4] != NULL; /* 1 MiB, as 64 KiB are the runtime's */
    yoke__lock_release(&rt->large.lock);
    return any;
}

/* Leaves spare stacks of the runtime's size for everything that a test does. */
static int warm_up(void)
{
    enum { TASKS = 40 };
    for (int worker = 0; worker < yoke_workers(); worker++) {
        YOKE_GROUP(g);
        for (int i = 0; i < TASKS; i++)
            YOKE_TRY(yoke_spawn_ptr_with(g, (.pinned = true, .worker = worker), nap, NULL));
        YOKE_TRY(yoke_group_close(g, 0));
    }
    return 0;
}

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

static int open_without(void *arg)
{
    int ran = 0;
    yoke__os_fault_set(*(enum yoke__os_call *)arg, -1, ENOMEM);
    yoke_group g = yoke_group_open(&(yoke_group_options){ .size = sizeof(yoke_group_options), .stack_size = MIB });
    check_int(yoke_spawn_ptr(g, nothing, &ran), -ENOMEM);
    check_int(yoke_group_close(g, 0), -ENOMEM);
    YOKE_GROUP(h); /* the scope is what it was */
    check_int(yoke_spawn_ptr(h, nothing, &ran), 0);
    check_int(yoke_group_close(h, 0), 0);
    yoke__os_fault_clear();
    YOKE_GROUP(again, .stack_size = MIB);
    check_int(yoke_spawn_ptr(again, nothing, &ran), 0);
    check_int(yoke_group_close(again, 0), 0);
    check_int(ran, 2);
    return 0;
}

static void opening_says_that_there_is_no_memory(void **state)
{
    (void)state;
    enum yoke__os_call calls[] = { YOKE__OS_MMAP, YOKE__OS_ALLOC, YOKE__OS_MADVISE };
    for (int i = 0; i < 2; i++)
        assert_int_equal(run(1, open_without, &calls[i]), 0);
    yoke_options guarded = *OPTIONS(.workers = 1, .guards = "light");
    assert_int_equal(run_with(open_without, &calls[2], &guarded), 0);
}

/* Who holds the last stack learns that its children could never begin. */
static int open_inside(void *arg)
{
    no_more();
    int *opened = arg;
    YOKE_GROUP(g); /* inherits: SLAB stacks are there */
    check_int(yoke_group_close(g, 0), 0);
    if (++*opened < SLAB) {
        YOKE_GROUP(h);
        check_int(yoke_spawn_ptr(h, nothing, NULL), 0);
        return yoke_group_close(h, 0);
    }
    return 0;
}

static int hold(void *arg)
{
    return yoke_event_wait(arg);
}

static int inner_groups(void *arg)
{
    yoke_event gate = { 0 };
    int opened = 0;
    (void)arg;
    YOKE_TRY(warm_up());
    YOKE_GROUP(g, .stack_size = MIB);
    YOKE_TRY(yoke_spawn_ptr(g, open_inside, &opened));
    while (opened == 0)
        YOKE_TRY(yoke_yield());
    for (int i = 0; i < SLAB; i++)
        YOKE_TRY(yoke_spawn_ptr(g, hold, &gate));
    while (any_spare(yoke__self()->rt))
        YOKE_TRY(yoke_yield());
    yoke_group none = yoke_group_open(NULL); /* inherits from the one above */
    check_int(yoke_group_close(none, 0), -ENOMEM);
    YOKE_TRY(yoke_event_set(&gate));
    YOKE_TRY(yoke_group_close(g, 0));
    yoke__os_fault_clear();
    return 0;
}

static void a_group_inside_needs_a_spare_stack(void **state)
{
    (void)state;
    assert_int_equal(run(1, inner_groups, NULL), 0);
}

/* ---- waiting for a stack ------------------------------------------------------------------------------------------------ */

static struct {
    yoke_event gate, third;
    int begun, ended, wrong;
} crowd;

static int wait_in_the_crowd(void *arg)
{
    (void)arg;
    if (add(&crowd.begun, 1) >= SLAB)
        (void)yoke_event_set(&crowd.third);
    return yoke_event_wait(&crowd.gate);
}

static int member(void *arg)
{
    int rc = below(600 * KIB, wait_in_the_crowd, arg);
    add(&crowd.ended, 1);
    return rc;
}

static int pinned_member(void *arg)
{
    int rc = member(NULL);
    if (yoke_worker_index() != *(int *)arg)
        add(&crowd.wrong, 1);
    return rc;
}

enum { MEMBERS = 6 };

static int wait_for_each_other(void *arg)
{
    static int indices[4] = { 0, 1, 2, 3 };
    struct yoke_runtime *rt = yoke__self()->rt;
    yoke_token *token;
    yoke_post_node node;
    int others = 0, all = MEMBERS + yoke_workers() + 2;
    yoke__lock_acquire(&rt->large.lock);
    rt->large.waiting = *(bool *)arg; /* true: as if the timer were armed, which then never fires */
    yoke__lock_release(&rt->large.lock);
    memset(&crowd, 0, sizeof crowd);
    YOKE_TRY(warm_up());
    YOKE_GROUP(h);
    YOKE_GROUP(g, .stack_size = MIB);
    no_more();
    for (int i = 0; i < MEMBERS; i++)
        YOKE_TRY(yoke_spawn_ptr(g, member, NULL));
    for (int i = 0; i < yoke_workers(); i++)
        YOKE_TRY(yoke_spawn_ptr_with(g, (.pinned = true, .worker = i), pinned_member, &indices[i]));
    YOKE_TRY(yoke_spawn_ptr_with(g, (.service = true), member, NULL));
    YOKE_TRY(yoke_token_acquire(&token, g));
    check_int(yoke_post(token, &node, member, NULL), 0);
    yoke_token_release(token);
    while (load(&crowd.begun) < SLAB || !any_aside(rt) || !reported("no memory for a stack of 1048576 bytes"))
        YOKE_TRY(yoke_yield());
    for (int i = 0; i < 100; i++) /* all others go on */
        YOKE_TRY(yoke_spawn_ptr(h, nothing, &others));
    while (load(&others) < 100)
        YOKE_TRY(yoke_yield());
    check_int(load(&crowd.begun), SLAB);
    YOKE_TRY(yoke_event_set(&crowd.gate));
    YOKE_TRY(yoke_group_close(g, 0)); /* one after the other, and memory never comes back */
    yoke__os_fault_clear();
    check_int(crowd.ended, all);
    check_int(crowd.wrong, 0);
    return yoke_group_close(h, 0);
}

static void who_finds_no_stack_waits_until_one_is_given_back(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(10); i++)
        for (int workers = 1; workers <= 3; workers += 2) {
            bool without_timer = i % 2 == 0;
            assert_int_equal(run(workers, wait_for_each_other, &without_timer), 0);
        }
}

/* All are asleep, and only the runtime itself knows that something is to be begun: no deadlock. */
static void *free_memory_later(void *arg)
{
    struct yoke_runtime *rt = arg;
    int tries = 0;
    while (load(&crowd.begun) < SLAB || !any_aside(rt))
        sched_yield();
    tries = yoke__os_fault_count(YOKE__OS_MMAP);
    while (load(&rt->parked) < rt->nworkers || yoke__os_fault_count(YOKE__OS_MMAP) < tries + 3) /* it tries again and again */
        sched_yield();
    yoke__os_fault_clear();
    return NULL;
}

static int wait_for_memory(void *arg)
{
    pthread_t thread;
    (void)arg;
    memset(&crowd, 0, sizeof crowd);
    YOKE_TRY(warm_up());
    YOKE_GROUP(g, .stack_size = MIB);
    no_more();
    check_int(pthread_create(&thread, NULL, free_memory_later, yoke__self()->rt), 0);
    for (int i = 0; i <= SLAB; i++)
        YOKE_TRY(yoke_spawn_ptr(g, member, NULL));
    check_int(yoke_event_wait(&crowd.third), 0); /* no stack is given back until it runs */
    YOKE_TRY(yoke_event_set(&crowd.gate));
    check_int(yoke_group_close(g, 0), 0);
    pthread_join(thread, NULL);
    check_int(crowd.ended, SLAB + 1);
    return 0;
}

static void who_finds_no_stack_begins_when_there_is_memory_again(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(10); i++)
        for (int workers = 1; workers <= 3; workers += 2)
            assert_int_equal(run(workers, wait_for_memory, NULL), 0);
}

/* ---- forks ------------------------------------------------------------------------------------------------------------ */

static int forked;

static int count_fork(void *arg)
{
    (void)arg;
    add(&forked, 1);
    return 0;
}

static long double_it(long n);
YOKE_FORK_DEFINE1(double_it, long, long)

static long double_it(long n)
{
    add(&forked, 1);
    return 2 * n;
}

/* Others take the forks, and have no stack to run them on; ours is held. */
static int fork_without(void *arg)
{
    yoke_forked f;
    double_it_fork d;
    for (int i = 0; i < 40; i++) {
        forked = 0;
        double_it_fork_begin(&d, i);
        yoke_fork(&f, count_fork, NULL);
        for (int k = 0; k < i % 8; k++)
            sched_yield();
        check_int(yoke_join(&f), 0);
        check_int(double_it_fork_join(&d), 2 * i);
        check_int(forked, 2);
    }
    return yoke_event_set(arg);
}

static int holder(void *arg)
{
    return yoke_event_wait(arg);
}

/* One holds a stack, the other forks on the last one: memory never comes. */
static int forks(void *arg)
{
    yoke_event over = { 0 };
    (void)arg;
    YOKE_TRY(warm_up());
    YOKE_GROUP(g, .stack_size = MIB);
    no_more();
    YOKE_TRY(yoke_spawn_ptr(g, holder, &over));
    YOKE_TRY(yoke_spawn_ptr(g, fork_without, &over));
    YOKE_TRY(yoke_group_close(g, 0));
    yoke__os_fault_clear();
    return 0;
}

static void a_fork_without_a_stack_goes_back_to_its_join(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(10); i++)
        for (int workers = 1; workers <= 3; workers++)
            assert_int_equal(run(workers, forks, NULL), 0);
}

/* Too deep to run it: it waits for memory, or for the other's stack. */
static int join_deep(void *arg)
{
    yoke_forked f;
    double_it_fork d;
    (void)arg;
    forked = 0;
    double_it_fork_begin(&d, 21);
    yoke_fork(&f, count_fork, NULL);
    check_int(yoke_join(&f), 0);
    check_int(double_it_fork_join(&d), 42);
    check_int(forked, 2);
    return 0;
}

static int go_deep(void *arg)
{
    return below(700 * KIB, join_deep, arg);
}

static void *open_when_aside(void *arg)
{
    while (!any_aside(arg))
        sched_yield();
    yoke__os_fault_clear();
    return NULL;
}

static int deep_forks(void *arg)
{
    yoke_event over = { 0 };
    pthread_t thread;
    (void)arg;
    YOKE_TRY(warm_up());
    YOKE_GROUP(g, .stack_size = MIB);
    YOKE_TRY(yoke_spawn_ptr(g, holder, &over));
    no_more();
    while (any_spare(yoke__self()->rt))
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_spawn_ptr(g, go_deep, NULL));
    check_int(pthread_create(&thread, NULL, open_when_aside, yoke__self()->rt), 0);
    pthread_join(thread, NULL); /* this worker is held: with one there is nobody else */
    YOKE_TRY(yoke_event_set(&over));
    YOKE_TRY(yoke_group_close(g, 0));
    return 0;
}

static void a_fork_too_deep_for_its_join_waits_for_a_stack(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(10); i++)
        for (int workers = 2; workers <= 4; workers++)
            assert_int_equal(run(workers, deep_forks, NULL), 0);
}

/* ---- every call fails once ---------------------------------------------------------------------------------------------- */

static int some_forks(void *arg)
{
    yoke_forked f[3];
    for (int i = 0; i < 3; i++)
        yoke_fork(&f[i], nothing, arg);
    int rc = nap(NULL);
    for (int i = 2; i >= 0; i--)
        check_int(yoke_join(&f[i]), 0);
    return rc;
}

static int churn(void *arg)
{
    int *fault = arg, accepted = 0, ran = 0;
    yoke__os_fault_set((enum yoke__os_call)fault[0], fault[1], ENOMEM);
    for (int round = 0; round < 6; round++) {
        YOKE_GROUP(g, .stack_size = (size_t)(128 * KIB) << round % 3);
        for (int i = 0; i < 8; i++) {
            int rc = yoke_spawn_ptr(g, some_forks, &ran);
            check(rc == 0 || rc == -ENOMEM);
            accepted += rc == 0 ? 3 : 0;
        }
        int rc = yoke_group_close(g, 0);
        check(rc == 0 || rc == -ENOMEM);
    }
    yoke__os_fault_clear();
    check_int(ran, accepted);
    return 0;
}

static void every_call_may_fail_once_or_for_good(void **state)
{
    (void)state;
    static const enum yoke__os_call calls[] = { YOKE__OS_MMAP, YOKE__OS_ALLOC, YOKE__OS_MADVISE };
    for (int workers = 1; workers <= 3; workers += 2)
        for (int i = 0; i < 3; i++)
            for (int n = -1; n < repetitions(40); n++) {
                int fault[2] = { (int)calls[i], n };
                if (n != 0)
                    assert_int_equal(run(workers, churn, fault), 0);
            }
}

/* ---- giving back -------------------------------------------------------------------------------------------------------- */

static size_t mapped_of(struct yoke__stack_pool *pool)
{
    yoke__lock_acquire(&pool->lock);
    size_t mapped = pool->mapped;
    yoke__lock_release(&pool->lock);
    return mapped;
}

static int open_gate_last(void *arg)
{
    enum { MANY = 60 };
    struct yoke_runtime *rt = yoke__self()->rt;
    const struct yoke__stack_pool *pool = yoke__large_pool(rt, 4);
    (void)arg;
    memset(&crowd, 0, sizeof crowd);
    YOKE_GROUP(g, .stack_size = MIB);
    for (int round = 0; round < repetitions(3); round++) {
        YOKE_GROUP(h);
        for (int i = 0; i < MANY; i++)
            YOKE_TRY(yoke_spawn_ptr(h, wait_in_the_crowd, NULL));
        while (load(&crowd.begun) < MANY * (round + 1))
            YOKE_TRY(yoke_yield());
        check(yoke__load_relaxed(&pool->in_use) >= MANY);
        YOKE_TRY(yoke_event_set(&crowd.gate));
        YOKE_TRY(yoke_group_close(h, 0));
        YOKE_TRY(yoke_event_reset(&crowd.gate));
    }
    while (yoke__load_relaxed(&pool->in_use) > 20) /* the last ones leave their stacks */
        YOKE_TRY(yoke_yield());
    check(yoke__load_relaxed(&pool->in_use) >= 1);
    while (mapped_of(&rt->large.pools[4]) > 2 * 20 * (size_t)MIB) /* who has given one back unmaps its slab next */
        YOKE_TRY(yoke_yield());
    return yoke_group_close(g, 0);
}

static void stacks_beyond_a_few_are_given_back(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers += 2)
        assert_int_equal(run(workers, open_gate_last, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_says_that_there_is_no_memory),
        cmocka_unit_test(a_group_inside_needs_a_spare_stack),
        cmocka_unit_test(who_finds_no_stack_waits_until_one_is_given_back),
        cmocka_unit_test(who_finds_no_stack_begins_when_there_is_memory_again),
        cmocka_unit_test(a_fork_without_a_stack_goes_back_to_its_join),
        cmocka_unit_test(a_fork_too_deep_for_its_join_waits_for_a_stack),
        cmocka_unit_test(every_call_may_fail_once_or_for_good),
        cmocka_unit_test(stacks_beyond_a_few_are_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
