/* No memory for the large stacks that groups ask for: the opening says so, or what needs one waits for it, and everything else goes on. */
#include "support.h"

#include <sys/mman.h>

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

static bool reserve_is_free(yoke_group g)
{
    const struct yoke__group *group = g.block;
    struct yoke_runtime *rt = yoke__self()->rt;
    yoke__lock_acquire(&rt->large.lock);
    bool is_free = !group->reserve->lent;
    yoke__lock_release(&rt->large.lock);
    return is_free;
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

static int holding;

static int hold(void *arg)
{
    add(&holding, 1);
    return yoke_event_wait(arg);
}

static int inner_groups(void *arg)
{
    yoke_event gate = { 0 };
    int opened = 0;
    (void)arg;
    holding = 0;
    YOKE_TRY(warm_up());
    YOKE_GROUP(g, .stack_size = MIB);
    YOKE_TRY(yoke_spawn_ptr(g, open_inside, &opened));
    while (opened == 0)
        YOKE_TRY(yoke_yield());
    for (int i = 0; i < SLAB; i++)
        YOKE_TRY(yoke_spawn_ptr(g, hold, &gate));
    while (load(&holding) < SLAB)
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

/* ---- a stack for each group --------------------------------------------------------------------------------------------- */

enum how { BY_CLOSE, BY_AWAIT, BY_NEXT, BY_EVENT, BY_POST, BESIDE_A_SERVICE, HOWS };

static struct {
    yoke_event over, done;
    enum how how;
    int ready, holding, ran, served;
} pair;

static int count_aside(struct yoke_runtime *rt)
{
    int n = 0;
    yoke__lock_acquire(&rt->large.lock);
    for (struct yoke__node *node = rt->large.aside; node != NULL; node = yoke__node_next(node))
        n++;
    yoke__lock_release(&rt->large.lock);
    return n;
}

static int hold_until_over(void *arg)
{
    (void)arg;
    add(&pair.holding, 1);
    return yoke_event_wait(&pair.over);
}

static int inner_child(void *arg)
{
    (void)arg;
    add(&pair.ran, 1);
    return yoke_event_set(&pair.done);
}

static int serve(void *arg)
{
    (void)arg;
    add(&pair.served, 1);
    int rc = yoke_sleep_until(YOKE_NEVER); /* until the others have ended */
    return rc == -ECANCELED ? 0 : rc;
}

/* Waits for a child that another stack must begin, which is not to be had: each other one is held until this returns. */
static int wait_for_a_child(void *arg)
{
    struct yoke_runtime *rt = yoke__self()->rt;
    yoke_token *token;
    yoke_post_node node;
    yoke_task task;
    yoke_done done;
    int result = 1;
    (void)arg;
    YOKE_GROUP(g, .results = pair.how == BY_NEXT, .name = "inner");
    store(&pair.ready, 1);
    while (load(&pair.holding) + count_aside(rt) == 0)
        YOKE_TRY(yoke_yield());
    if (pair.how == BESIDE_A_SERVICE) {
        YOKE_TRY(yoke_spawn_ptr_with(g, (.service = true), serve, NULL));
        while (load(&pair.served) == 0 && load(&pair.holding) + count_aside(rt) < 2)
            YOKE_TRY(yoke_yield());
    }
    if (pair.how == BY_POST) {
        YOKE_TRY(yoke_token_acquire(&token, g));
        check_int(yoke_post(token, &node, inner_child, NULL), 0);
        yoke_token_release(token);
    } else {
        YOKE_TRY(yoke_spawn_ptr_with(g, (.pinned = true, .handle = &task), inner_child, NULL));
    }
    if (pair.how == BY_AWAIT) {
        check_int(yoke_task_await(task, &result), 0);
        check_int(result, 0);
    } else if (pair.how == BY_NEXT) {
        check_int(yoke_group_next(g, &done), 0);
    } else if (pair.how == BY_EVENT) {
        check_int(yoke_event_wait(&pair.done), 0);
    }
    check_int(yoke_group_close(g, 0), 0);
    check_int(pair.ran, 1);
    check_int(pair.served, pair.how == BESIDE_A_SERVICE);
    return yoke_event_set(&pair.over);
}

static int wait_while_others_hold(void *arg)
{
    struct yoke_runtime *rt = yoke__self()->rt;
    bool without_timer = *(bool *)arg;
    for (enum how how = 0; how < HOWS; how++) {
        memset(&pair, 0, sizeof pair);
        pair.how = how;
        yoke__lock_acquire(&rt->large.lock);
        rt->large.waiting |= without_timer;
        yoke__lock_release(&rt->large.lock);
        YOKE_TRY(warm_up());
        YOKE_GROUP(g, .stack_size = MIB);
        no_more();
        YOKE_TRY(yoke_spawn_ptr(g, wait_for_a_child, NULL));
        while (load(&pair.ready) == 0)
            YOKE_TRY(yoke_yield());
        for (int i = 0; i < SLAB; i++)
            YOKE_TRY(yoke_spawn_ptr(g, hold_until_over, NULL));
        YOKE_TRY(yoke_group_close(g, 0));
        yoke__os_fault_clear();
        check_int(pair.holding, SLAB);
    }
    return 0;
}

static void a_group_that_is_open_can_run_its_children(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(10); i++)
        for (int workers = 1; workers <= 3; workers++) {
            bool without_timer = i % 2 == 0;
            assert_int_equal(run(workers, wait_while_others_hold, &without_timer), 0);
        }
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

/* One holds a stack, the other forks on the last one: memory never comes. */
static int forks(void *arg)
{
    yoke_event over = { 0 };
    (void)arg;
    YOKE_TRY(warm_up());
    YOKE_GROUP(g, .stack_size = MIB);
    no_more();
    YOKE_TRY(yoke_spawn_ptr(g, hold, &over));
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

static int deep_forks(void *arg)
{
    yoke_event over = { 0 };
    (void)arg;
    YOKE_TRY(warm_up());
    YOKE_GROUP(g, .stack_size = MIB);
    YOKE_TRY(yoke_spawn_ptr(g, hold, &over));
    no_more();
    while (reserve_is_free(g))
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_spawn_ptr(g, go_deep, NULL));
    while (!any_aside(yoke__self()->rt))
        YOKE_TRY(yoke_yield());
    yoke__os_fault_clear();
    YOKE_TRY(yoke_event_set(&over));
    YOKE_TRY(yoke_group_close(g, 0));
    return 0;
}

static void a_fork_too_deep_for_its_join_waits_for_a_stack(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(10); i++)
        for (int workers = 1; workers <= 3; workers++)
            assert_int_equal(run(workers, deep_forks, NULL), 0);
}

static int fork_service(void *arg)
{
    yoke_forked f;
    yoke_fork(&f, serve, arg);
    return yoke_join(&f);
}

static int serve_deep(void *arg)
{
    return below(700 * KIB, fork_service, arg);
}

/* Nor may the fork of a service, which ends when the service is told to, keep the group's stack from the others. */
static int wait_beside_a_deep_fork(void *arg)
{
    struct yoke_runtime *rt = yoke__self()->rt;
    bool without_timer = *(bool *)arg;
    memset(&pair, 0, sizeof pair);
    yoke__lock_acquire(&rt->large.lock);
    rt->large.waiting |= without_timer;
    yoke__lock_release(&rt->large.lock);
    YOKE_TRY(warm_up());
    YOKE_GROUP(g, .stack_size = MIB);
    no_more();
    YOKE_TRY(yoke_spawn_ptr_with(g, (.service = true), serve_deep, NULL));
    while (load(&pair.served) + count_aside(rt) == 0)
        YOKE_TRY(yoke_yield());
    check_int(load(&pair.served), 0);
    YOKE_TRY(yoke_spawn_ptr(g, inner_child, NULL));
    YOKE_TRY(yoke_event_wait(&pair.done));
    check_int(load(&pair.served), 0);
    YOKE_TRY(yoke_group_close(g, 0));
    yoke__os_fault_clear();
    check_int(pair.ran, 1);
    check_int(pair.served, 1);
    return 0;
}

static void a_deep_fork_of_a_service_has_the_stack_last(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(10); i++)
        for (int workers = 1; workers <= 3; workers++) {
            bool without_timer = i % 2 == 0;
            assert_int_equal(run(workers, wait_beside_a_deep_fork, &without_timer), 0);
        }
}

/* ---- a stack that is left over ------------------------------------------------------------------------------------------ */

static struct {
    yoke_event x, y, others, begun;
    int busy, leave;
} left;

static int keep_busy(void *arg)
{
    (void)arg;
    store(&left.busy, 1);
    while (load(&left.leave) == 0)
        sched_yield();
    return 0;
}

static int say_that_it_began(void *arg)
{
    (void)arg;
    return yoke_event_set(&left.begun);
}

/* A stack is given back for one that lies aside, which then finds its group's own free: the next one has the other. */
static int leave_one_over(void *arg)
{
    struct yoke_runtime *rt = yoke__self()->rt;
    (void)arg;
    memset(&left, 0, sizeof left);
    holding = 0;
    yoke__lock_acquire(&rt->large.lock);
    rt->large.waiting = true; /* as if the timer were armed, which then never fires */
    yoke__lock_release(&rt->large.lock);
    YOKE_TRY(warm_up());
    YOKE_GROUP(small);
    YOKE_GROUP(k, .stack_size = MIB);
    YOKE_GROUP(g, .stack_size = MIB);
    YOKE_TRY(yoke_spawn_ptr(g, hold, &left.y)); /* on the group's own stack */
    while (load(&holding) < 1)
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_spawn_ptr(g, hold, &left.x));
    for (int i = 0; i < 2; i++)
        YOKE_TRY(yoke_spawn_ptr(k, hold, &left.others));
    while (load(&holding) < 2 * SLAB)
        YOKE_TRY(yoke_yield());
    no_more();
    YOKE_TRY(yoke_spawn_ptr_with(g, (.pinned = true, .worker = 1), nothing, NULL));
    while (count_aside(rt) < 1)
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_spawn_ptr(k, say_that_it_began, NULL));
    while (count_aside(rt) < 2)
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_spawn_ptr_with(small, (.pinned = true, .worker = 1), keep_busy, NULL));
    while (load(&left.busy) == 0)
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_event_set(&left.x));
    while (count_aside(rt) > 1) /* that of x is for the pinned one, which cannot begin yet */
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_event_set(&left.y));
    while (!reserve_is_free(g))
        YOKE_TRY(yoke_yield());
    store(&left.leave, 1);
    check_int(yoke_event_wait(&left.begun), 0);
    YOKE_TRY(yoke_event_set(&left.others));
    YOKE_TRY(yoke_group_close(g, 0));
    YOKE_TRY(yoke_group_close(k, 0));
    yoke__os_fault_clear();
    return yoke_group_close(small, 0);
}

static void a_stack_that_is_left_over_goes_to_the_next(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(10); i++)
        assert_int_equal(run(3, leave_one_over, NULL), 0); /* two that are not kept busy: each goes on where the other was */
}

static int late;

/* Two groups' stacks are given back while the first one's is still for one that cannot begin: the other's is for its own all the same. */
static int give_back_two(void *arg)
{
    struct yoke_runtime *rt = yoke__self()->rt;
    (void)arg;
    memset(&left, 0, sizeof left);
    holding = late = 0;
    yoke__lock_acquire(&rt->large.lock);
    rt->large.waiting = true; /* as above */
    yoke__lock_release(&rt->large.lock);
    YOKE_TRY(warm_up());
    YOKE_GROUP(small);
    YOKE_GROUP(k, .stack_size = MIB);
    YOKE_GROUP(g, .stack_size = MIB);
    no_more();
    YOKE_TRY(yoke_spawn_ptr(g, hold, &left.x));
    YOKE_TRY(yoke_spawn_ptr(k, hold, &left.y));
    while (load(&holding) < 2)
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_spawn_ptr_with(g, (.pinned = true, .worker = 1), nothing, NULL));
    while (count_aside(rt) < 1)
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_spawn_ptr(g, nothing, &late));
    while (count_aside(rt) < 2)
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_spawn_ptr(k, say_that_it_began, NULL));
    while (count_aside(rt) < 3)
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_spawn_ptr_with(small, (.pinned = true, .worker = 1), keep_busy, NULL));
    while (load(&left.busy) == 0)
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_event_set(&left.x));
    while (!reserve_is_free(g))
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_event_set(&left.y));
    while (count_aside(rt) > 1)
        YOKE_TRY(yoke_yield());
    check_int(load(&late), 0);
    check_int(yoke_event_wait(&left.begun), 0);
    check_int(load(&late), 0);
    store(&left.leave, 1);
    YOKE_TRY(yoke_group_close(g, 0));
    YOKE_TRY(yoke_group_close(k, 0));
    check_int(late, 1);
    yoke__os_fault_clear();
    return yoke_group_close(small, 0);
}

static void a_groups_stack_is_for_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < repetitions(10); i++)
        assert_int_equal(run(3, give_back_two, NULL), 0);
}

/* ---- being told ---------------------------------------------------------------------------------------------------------- */

static char text[1 << 14];

static void take_dump(void)
{
    int fd = memfd_create("dump", 0);
    check_int(yoke_dump(fd), 0);
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(fd);
}

static int hold_in_two(void *arg)
{
    yoke_token *token;
    yoke_post_node node;
    YOKE_GROUP(g, .stack_size = MIB, .name = "inner");
    for (int i = 0; i < SLAB; i++)
        YOKE_TRY(yoke_spawn_ptr(g, hold, arg));
    while (load(&holding) < 1 + SLAB)
        YOKE_TRY(yoke_yield());
    no_more();
    YOKE_TRY(yoke_spawn_ptr_with(g, (.pinned = true), say_that_it_began, NULL));
    YOKE_TRY(yoke_spawn_ptr_with(g, (.service = true, .name = "a service"), nothing, NULL));
    YOKE_TRY(yoke_token_acquire(&token, g));
    check_int(yoke_post(token, &node, nothing, NULL), 0);
    yoke_token_release(token);
    return yoke_group_close(g, 0);
}

static int go_deeper(void *arg)
{
    return below(1500 * KIB, join_deep, arg);
}

static int dump_what_lies_aside(void *arg)
{
    struct yoke_runtime *rt = yoke__self()->rt;
    (void)arg;
    memset(&left, 0, sizeof left);
    holding = 0;
    YOKE_TRY(warm_up());
    take_dump();
    check(strstr(text, "not begun") == NULL);
    YOKE_GROUP(small);
    YOKE_GROUP(deep, .stack_size = 2 * MIB);
    YOKE_TRY(yoke_spawn_ptr(deep, hold, &left.others));
    while (load(&holding) < 1)
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_spawn_ptr(small, hold_in_two, &left.others)); /* no more memory from in there on: what lies aside must not begin */
    while (count_aside(rt) < 3)
        YOKE_TRY(yoke_yield());
    YOKE_TRY(yoke_spawn_ptr(deep, go_deeper, NULL));
    static const char *const lines[] = {
        "not begun, since there is no memory for their stacks:\n",
        "  task 'say_that_it_began' #",
        "tests/fault/large.c:", /* from wherever the build was begun */
        " of group 'inner' (",
        "), being closed by task 'hold_in_two': 1024 KiB\n",
        "  task 'a service' #",
        "  a post of group 'inner' (",
        "  a fork of task 'go_deeper', which waits in its join: 2048 KiB\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines;) { /* those that lie aside are injected every now and then, to try again */
        take_dump();
        if (strstr(text, lines[i]) != NULL)
            i++;
        else
            YOKE_TRY(yoke_yield());
    }
    YOKE_TRY(yoke_event_set(&left.others));
    YOKE_TRY(yoke_group_close(deep, 0));
    YOKE_TRY(yoke_group_close(small, 0));
    yoke__os_fault_clear();
    return 0;
}

static void the_dump_tells_what_has_not_begun(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++)
        assert_int_equal(run(workers, dump_what_lies_aside, NULL), 0);
}

/* Once nothing lies aside any more, the timer keeps no verdict off, and is not missed at the end. */
static int block_for_ever(void *arg)
{
    bool without_timer = false;
    yoke_event never = { 0 };
    YOKE_TRY(wait_for_each_other(&without_timer));
    return arg != NULL ? yoke_event_wait(&never) : 0;
}

static void the_timer_is_not_missed_and_hides_no_deadlock(void **state)
{
    (void)state;
    int block = 1;
    for (int i = 0; i < repetitions(10); i++) {
        assert_int_equal(run_with(block_for_ever, NULL, OPTIONS(.workers = 1 + i % 3, .debug = "on")), 0);
        assert_int_equal(run_with(block_for_ever, &block, OPTIONS(.workers = 1 + i % 3, .debug = "on")), -EDEADLK);
    }
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
        cmocka_unit_test(a_group_that_is_open_can_run_its_children),
        cmocka_unit_test(a_fork_without_a_stack_goes_back_to_its_join),
        cmocka_unit_test(a_fork_too_deep_for_its_join_waits_for_a_stack),
        cmocka_unit_test(a_deep_fork_of_a_service_has_the_stack_last),
        cmocka_unit_test(a_stack_that_is_left_over_goes_to_the_next),
        cmocka_unit_test(a_groups_stack_is_for_its_own),
        cmocka_unit_test(the_dump_tells_what_has_not_begun),
        cmocka_unit_test(the_timer_is_not_missed_and_hides_no_deadlock),
        cmocka_unit_test(every_call_may_fail_once_or_for_good),
        cmocka_unit_test(stacks_beyond_a_few_are_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
