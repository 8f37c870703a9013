/* The pool for blocking jobs: bounds, order, withdrawal, idle threads, threads that cannot be started, the end with jobs queued. */
#include "support.h"

#include "platform.h"
#include "pool.h"

enum { KINDS = YOKE__POOL_KINDS };

static struct yoke__pool pool;

struct work {
    struct yoke__job job;
    int number, done; /* done: atomic, how often */
};

/* What is waited for comes about without our doing; if it does not, the test does not end. */
static void until(bool (*what)(void))
{
    while (!what())
        sched_yield();
}

static void begin(int user, int files, int names)
{
    yoke__os_fault_clear();
    yoke__pool_init(&pool, "test", (const int[KINDS]){ user, files, names });
    pool.idle_ns = YOKE_SEC(100000); /* who is idle stays so until it is called */
}

/* What the pool knows under its lock. */
struct view {
    int queued, idle, threads;
    bool stopping;
};

static struct view view(int kind)
{
    yoke__lock_acquire(&pool.lock);
    struct yoke__pool_kind *k = &pool.kinds[kind];
    struct view v = { 0, 0, k->threads, pool.stopping };
    struct yoke__job **link = &k->first;
    for (struct yoke__job *job = k->first; job != NULL; link = &job->next, job = job->next) {
        check(job->link == link);
        check_int(job->state, YOKE__JOB_QUEUED);
        v.queued++;
    }
    check(k->last == link);
    for (struct yoke__pool_thread *thread = k->idle; thread != NULL; thread = thread->next)
        v.idle++;
    yoke__lock_release(&pool.lock);
    return v;
}

static void end(void)
{
    yoke__pool_stop(&pool);
    assert_int_equal(pool.alive, 0);
    assert_null(pool.ended); /* all joined */
    for (int kind = 0; kind < KINDS; kind++) {
        struct view v = view(kind);
        assert_int_equal(v.queued, 0);
        assert_int_equal(v.idle, 0);
        assert_int_equal(v.threads, 0);
    }
    yoke__os_fault_clear();
    assert_checks();
}

/* ---- jobs ---- */

static int gate_open, running[KINDS], most_running[KINDS], ended;
static int order[200], ordered;

static void forget(void)
{
    store(&gate_open, 0);
    store(&ended, 0);
    ordered = 0;
    memset(running, 0, sizeof running);
    memset(most_running, 0, sizeof most_running);
}

static void enter(int kind)
{
    int now = add(&running[kind], 1) + 1, most = load(&most_running[kind]);
    while (now > most && !__atomic_compare_exchange_n(&most_running[kind], &most, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}

static void leave(int kind)
{
    add(&running[kind], -1);
}

/* Blocks its thread. */
static int wait_at_gate(void *arg)
{
    struct work *work = arg;
    enter(work->job.kind);
    while (load(&gate_open) == 0)
        sched_yield();
    leave(work->job.kind);
    return work->number;
}

static int note_order(void *arg)
{
    struct work *work = arg;
    enter(work->job.kind);
    order[add(&ordered, 1)] = work->number;
    leave(work->job.kind);
    return work->number;
}

static void done(struct yoke__job *job)
{
    struct work *work = (struct work *)(void *)job;
    check_int(job->result, work->number);
    add(&work->done, 1);
    add(&ended, 1);
}

static int submit(struct work *work, int kind, int number, int (*fn)(void *))
{
    work->job = (struct yoke__job){ .fn = fn, .arg = work, .kind = kind, .done = done };
    work->number = number;
    store(&work->done, 0);
    return yoke__pool_submit(&pool, &work->job);
}

static bool is_idle(void)
{
    return view(0).idle == 1;
}

static bool three_run(void)
{
    return load(&running[0]) == 3;
}

static bool one_runs(void)
{
    return load(&running[0]) == 1;
}

static int expected;

static bool all_ended(void)
{
    return load(&ended) == expected;
}

/* ---- bounds and order ---- */

static void no_more_threads_than_allowed(void **state)
{
    (void)state;
    struct work works[20], other[2];
    begin(3, 1, 2);
    forget();
    for (int i = 0; i < 20; i++)
        assert_int_equal(submit(&works[i], 0, i, wait_at_gate), 0);
    until(three_run);
    assert_int_equal(view(0).threads, 3);
    assert_int_equal(view(0).queued, 17);
    for (int i = 0; i < 2; i++) /* another kind is not in its way */
        assert_int_equal(submit(&other[i], 1, i, note_order), 0);
    expected = 2;
    until(all_ended);
    assert_int_equal(view(1).threads, 1);
    assert_int_equal(view(2).threads, 0);
    assert_int_equal(view(0).queued, 17);
    store(&gate_open, 1);
    expected = 22;
    until(all_ended);
    for (int i = 0; i < 20; i++)
        assert_int_equal(works[i].done, 1);
    assert_int_equal(most_running[0], 3);
    assert_int_equal(most_running[1], 1);
    assert_int_equal(yoke__os_fault_count(YOKE__OS_THREAD), 4);
    end();
}

static void an_idle_thread_is_used_again(void **state)
{
    (void)state;
    struct work work;
    begin(3, 1, 1);
    forget();
    for (int i = 0; i < repetitions(1000); i++) {
        assert_int_equal(submit(&work, 0, i, wait_at_gate), 0);
        store(&gate_open, 1);
        until(is_idle); /* else a second one is started */
        assert_int_equal(load(&work.done), 1);
        assert_int_equal(view(0).threads, 1);
    }
    assert_int_equal(yoke__os_fault_count(YOKE__OS_THREAD), 1);
    end();
}

static void first_in_first_out(void **state)
{
    (void)state;
    enum { JOBS = 100 };
    struct work first, works[JOBS];
    begin(1, 1, 1);
    forget();
    assert_int_equal(submit(&first, 0, -1, wait_at_gate), 0);
    until(one_runs);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(submit(&works[i], 0, i, note_order), 0);
    assert_int_equal(view(0).queued, JOBS);
    store(&gate_open, 1);
    expected = JOBS + 1;
    until(all_ended);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(order[i], i);
    end();
}

/* ---- withdrawing ---- */

static void what_is_queued_can_be_withdrawn(void **state)
{
    (void)state;
    enum { JOBS = 10 };
    static const int gone[] = { 4, 0, 9, 8, 1, 5 }; /* amid, first, last, and beside one that is gone */
    static const int left[] = { 2, 3, 6, 7, 0, 9 };
    struct work first, works[JOBS];
    begin(1, 1, 1);
    forget();
    assert_int_equal(submit(&first, 0, -1, wait_at_gate), 0);
    until(one_runs);
    assert_false(yoke__pool_withdraw(&pool, &first.job)); /* it runs */
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(submit(&works[i], 0, i, note_order), 0);
    for (int i = 0; i < 6; i++) {
        assert_true(yoke__pool_withdraw(&pool, &works[gone[i]].job));
        assert_false(yoke__pool_withdraw(&pool, &works[gone[i]].job));
        assert_int_equal(view(0).queued, JOBS - i - 1);
    }
    assert_int_equal(submit(&works[0], 0, 0, note_order), 0); /* again, now behind the others */
    assert_int_equal(submit(&works[9], 0, 9, note_order), 0);
    store(&gate_open, 1);
    expected = 7;
    until(all_ended);
    assert_false(yoke__pool_withdraw(&pool, &works[2].job)); /* it is over */
    end();
    assert_int_equal(ordered, 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(order[i], left[i]);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(works[i].done, i != 1 && i != 4 && i != 5 && i != 8);
}

/* Alone in the queue, then nothing: the thread must take it well. */
static void everything_can_be_withdrawn(void **state)
{
    (void)state;
    struct work first, work;
    begin(1, 1, 1);
    forget();
    assert_int_equal(submit(&first, 0, -1, wait_at_gate), 0);
    until(one_runs);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(submit(&work, 0, i, note_order), 0);
        assert_true(yoke__pool_withdraw(&pool, &work.job));
    }
    store(&gate_open, 1);
    until(is_idle);
    assert_int_equal(submit(&work, 0, 7, note_order), 0);
    expected = 2;
    until(all_ended);
    assert_int_equal(ordered, 1);
    assert_int_equal(order[0], 7);
    end();
}

/* ---- the callback ---- */

static struct work chain;
static int links;

/* Called without the lock, and the last touch: the job may be used again at once. */
static void submit_again(struct yoke__job *job)
{
    check(job == &chain.job);
    check_int(job->result, links);
    memset(&chain.job, 0xa5, sizeof chain.job);
    chain.job = (struct yoke__job){ .fn = note_order, .arg = &chain, .kind = 2, .done = links < 99 ? submit_again : done };
    chain.number = ++links;
    check_int(yoke__pool_submit(&pool, &chain.job), 0);
}

static void the_callback_may_submit(void **state)
{
    (void)state;
    begin(1, 1, 2);
    forget();
    links = 0;
    chain.number = 0;
    chain.job = (struct yoke__job){ .fn = note_order, .arg = &chain, .kind = 2, .done = submit_again };
    assert_int_equal(yoke__pool_submit(&pool, &chain.job), 0);
    expected = 1;
    until(all_ended);
    assert_int_equal(links, 100);
    assert_int_equal(ordered, 101);
    for (int i = 0; i <= 100; i++)
        assert_int_equal(order[i], i);
    end();
}

/* ---- the end ---- */

static void *stop(void *arg)
{
    (void)arg;
    yoke__pool_stop(&pool);
    return NULL;
}

static bool it_stops(void)
{
    return view(0).stopping;
}

static void the_end_runs_what_is_queued(void **state)
{
    (void)state;
    enum { JOBS = 50 };
    struct work first[3], works[JOBS];
    pthread_t stopper;
    begin(3, 1, 1);
    forget();
    for (int i = 0; i < 3; i++)
        assert_int_equal(submit(&first[i], 0, i, wait_at_gate), 0);
    until(three_run);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(submit(&works[i], 0, i, note_order), 0);
    assert_int_equal(pthread_create(&stopper, NULL, stop, NULL), 0);
    until(it_stops);
    assert_int_equal(view(0).queued, JOBS); /* it has begun, and nothing of this has run */
    assert_int_equal(load(&ended), 0);
    store(&gate_open, 1);
    pthread_join(stopper, NULL);
    assert_int_equal(ended, JOBS + 3);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(works[i].done, 1);
    assert_int_equal(most_running[0], 3);
    assert_int_equal(yoke__os_fault_count(YOKE__OS_THREAD), 3);
    end();
}

static void the_end_with_idle_threads_and_with_none(void **state)
{
    (void)state;
    struct work works[KINDS];
    begin(2, 2, 2);
    end();
    begin(2, 2, 2);
    forget();
    store(&gate_open, 1);
    for (int kind = 0; kind < KINDS; kind++)
        assert_int_equal(submit(&works[kind], kind, kind, wait_at_gate), 0);
    for (int kind = 0; kind < KINDS; kind++)
        while (view(kind).idle != 1)
            sched_yield();
    end();
    assert_int_equal(ended, KINDS);
}

/* ---- idle threads end ---- */

static bool nobody_is_there(void)
{
    return view(0).threads == 0;
}

static void who_is_idle_for_long_ends(void **state)
{
    (void)state;
    struct work work;
    int rounds = repetitions(200);
    begin(2, 1, 1);
    forget();
    store(&gate_open, 1);
    pool.idle_ns = 1000;
    for (int i = 0; i < rounds; i++) {
        assert_int_equal(submit(&work, 0, i, wait_at_gate), 0);
        until(nobody_is_there);
        assert_int_equal(work.done, 1);
    }
    assert_int_equal(yoke__os_fault_count(YOKE__OS_THREAD), rounds);
    end();
}

/* A job that comes just when its thread gives up waiting must not be left alone. */
static void a_job_meets_a_thread_that_gives_up(void **state)
{
    (void)state;
    struct work work;
    uint64_t r = seed();
    begin(1, 1, 1);
    forget();
    store(&gate_open, 1);
    pool.idle_ns = 20000;
    for (int i = 0; i < repetitions(1500); i++) {
        assert_int_equal(submit(&work, 0, i, wait_at_gate), 0);
        while (load(&work.done) == 0) {
            struct view v = view(0);
            assert_true(v.queued == 0 || v.idle < v.threads); /* there is one who will take it */
        }
        for (int64_t then = yoke_now() + (int64_t)(next_random(&r) % 40000); yoke_now() < then;)
            ; /* anywhere around the end of its patience */
    }
    end();
}

/* ---- no threads ---- */

static void without_a_thread_a_job_is_refused(void **state)
{
    (void)state;
    struct work works[3];
    begin(2, 1, 1);
    forget();
    yoke__os_fault_set(YOKE__OS_THREAD, -1, EAGAIN);
    assert_int_equal(submit(&works[0], 0, 0, wait_at_gate), -EAGAIN);
    yoke__os_fault_clear();
    yoke__os_fault_set(YOKE__OS_ALLOC, -1, ENOMEM);
    assert_int_equal(submit(&works[0], 0, 0, wait_at_gate), -ENOMEM);
    yoke__os_fault_clear();
    assert_int_equal(view(0).queued, 0);
    assert_int_equal(view(0).threads, 0);
    assert_int_equal(pool.alive, 0);
    assert_false(yoke__pool_withdraw(&pool, &works[0].job));
    assert_int_equal(works[0].done, 0);
    assert_int_equal(submit(&works[0], 0, 0, wait_at_gate), 0);
    until(one_runs);
    yoke__os_fault_set(YOKE__OS_THREAD, -1, EAGAIN);
    assert_int_equal(submit(&works[1], 0, 1, note_order), 0); /* the one that is there will do it */
    yoke__os_fault_clear();
    assert_int_equal(view(0).queued, 1);
    assert_int_equal(view(0).threads, 1);
    store(&gate_open, 1);
    expected = 2;
    until(all_ended);
    end();
}

/* Both get to the same place; spinning, so that they leave it together. */
static void meet(int *here, int round)
{
    add(here, 1);
    for (int spins = 0; load(here) < 2 * (round + 1); spins++)
        if (spins % 1000 == 999)
            sched_yield();
}

static int before, after, checked, bad_round;

static void refused(struct yoke__job *job)
{
    check_int(job->result, -EAGAIN);
    add(&((struct work *)(void *)job)->done, 1);
}

static void *submit_in_vain(void *arg)
{
    enum { JOBS = 3 };
    struct work works[JOBS];
    int rounds = *(int *)arg;
    for (int i = 0; i < rounds && load(&bad_round) == 0; i++) {
        int rc[JOBS];
        for (int k = 0; k < JOBS; k++) {
            works[k].job = (struct yoke__job){ .fn = wait_at_gate, .arg = &works[k], .kind = 0, .done = refused };
            store(&works[k].done, 0);
        }
        meet(&before, i);
        for (int k = 0; k < JOBS; k++)
            rc[k] = yoke__pool_submit(&pool, &works[k].job);
        meet(&after, i);
        struct view v = view(0);
        bool good = v.threads == 0 && v.queued == 0;
        for (int k = 0; k < JOBS; k++)
            good = good && (rc[k] == 0 || rc[k] == -EAGAIN) && load(&works[k].done) == (rc[k] == 0);
        if (!good)
            store(&bad_round, 1);
        meet(&checked, i);
    }
    return NULL;
}

/* Two submit at a time, and no thread can be started: whose job was taken all the same must hear of it. */
static void no_job_is_left_to_a_thread_that_does_not_start(void **state)
{
    (void)state;
    int rounds = repetitions(100000);
    for (int most = 1; most <= 2; most++) {
        pthread_t other;
        begin(most, 1, 1);
        yoke__os_fault_set(YOKE__OS_THREAD, -1, EAGAIN);
        before = after = checked = bad_round = 0;
        assert_int_equal(pthread_create(&other, NULL, submit_in_vain, &rounds), 0);
        submit_in_vain(&rounds);
        pthread_join(other, NULL);
        assert_int_equal(bad_round, 0);
        end();
    }
}

/* ---- all at once ---- */

enum { SUBMITTERS = 3, ROUNDS = 1000, AT_ONCE = 16 };

static void *submit_and_withdraw(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    struct work works[AT_ONCE];
    int rounds = repetitions(ROUNDS);
    memset(works, 0xa5, sizeof works);
    for (int round = 0; round < rounds; round++) {
        bool gone[AT_ONCE] = { false };
        for (size_t i = 0; i < sizeof works; i++)
            check_int(((unsigned char *)works)[i], 0xa5); /* what is over is not touched */
        for (int i = 0; i < AT_ONCE; i++)
            check_int(submit(&works[i], (int)(next_random(&r) % KINDS), i, wait_at_gate), 0);
        for (int i = 0; i < AT_ONCE; i++)
            if (next_random(&r) % 4 == 0)
                gone[i] = yoke__pool_withdraw(&pool, &works[i].job);
        for (int i = 0; i < AT_ONCE; i++) {
            while (!gone[i] && load(&works[i].done) == 0)
                sched_yield();
            check_int(load(&works[i].done), !gone[i]);
        }
        memset(works, 0xa5, sizeof works);
    }
    return NULL;
}

static void every_job_is_run_or_withdrawn_once(void **state)
{
    (void)state;
    static const int most[KINDS] = { 1, 2, 5 };
    static uint64_t seeds[SUBMITTERS];
    pthread_t threads[SUBMITTERS];
    uint64_t r = seed();
    begin(most[0], most[1], most[2]);
    forget();
    store(&gate_open, 1);
    pool.idle_ns = 10000; /* threads come and go */
    for (int i = 0; i < SUBMITTERS; i++) {
        seeds[i] = next_random(&r);
        assert_int_equal(pthread_create(&threads[i], NULL, submit_and_withdraw, &seeds[i]), 0);
    }
    for (int i = 0; i < SUBMITTERS; i++)
        pthread_join(threads[i], NULL);
    for (int kind = 0; kind < KINDS; kind++)
        assert_in_range(most_running[kind], 1, most[kind]);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_threads_than_allowed),
        cmocka_unit_test(an_idle_thread_is_used_again),
        cmocka_unit_test(first_in_first_out),
        cmocka_unit_test(what_is_queued_can_be_withdrawn),
        cmocka_unit_test(everything_can_be_withdrawn),
        cmocka_unit_test(the_callback_may_submit),
        cmocka_unit_test(the_end_runs_what_is_queued),
        cmocka_unit_test(the_end_with_idle_threads_and_with_none),
        cmocka_unit_test(who_is_idle_for_long_ends),
        cmocka_unit_test(a_job_meets_a_thread_that_gives_up),
        cmocka_unit_test(without_a_thread_a_job_is_refused),
        cmocka_unit_test(no_job_is_left_to_a_thread_that_does_not_start),
        cmocka_unit_test(every_job_is_run_or_withdrawn_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
