/*
 * The pool for blocking jobs: bounds, order, withdrawal, idle threads, threads that cannot be started, the end with jobs queued.
 *
 * All state is under one lock, so what can happen is which section of whom comes before which. Between two sections lies a call: to wait, to wake or to
 * start a thread. The test puts itself there: it hears of each, so that it need not spin for what it waits for, and it can let others come
 * in between, in every order, instead of trying for the moment a hundred thousand times.
 */
#include "support.h"

#include "platform.h"
#include "process.h"

static int watched_wait(uint32_t *word, uint32_t expected, uint64_t deadline);
static int watched_wake(uint32_t *word, int n);
static int watched_start(pthread_t *thread, const char *name, size_t stack_bytes, void *(*fn)(void *), void *arg);

#define yoke__os_futex_wait watched_wait
#define yoke__os_futex_wake watched_wake
#define yoke__os_thread_start watched_start
#include "../../executor/pool.c"
#undef yoke__os_futex_wait
#undef yoke__os_futex_wake
#undef yoke__os_thread_start

enum { KINDS = YOKE__POOL_KINDS };

static struct yoke__pool pool;

/* ---- news ---- */

static pthread_mutex_t news_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static unsigned told;

/* Something may have come about. */
static void tell(void)
{
    pthread_mutex_lock(&news_lock);
    told++;
    pthread_cond_broadcast(&news);
    pthread_mutex_unlock(&news_lock);
}

/* What is waited for comes about without our doing; if it does not, the test does not end. */
static void until(bool (*what)(void))
{
    for (;;) {
        pthread_mutex_lock(&news_lock);
        unsigned before = told;
        pthread_mutex_unlock(&news_lock);
        if (what())
            return;
        pthread_mutex_lock(&news_lock);
        while (told == before)
            pthread_cond_wait(&news, &news_lock);
        pthread_mutex_unlock(&news_lock);
    }
}

/* ---- between the sections ---- */

static void (*giving_up)(void); /* NULL: an idle thread waits; else it is told that its time is over, after this */
static int gave_up;             /* that has been done; atomic */

static int watched_wait(uint32_t *word, uint32_t expected, uint64_t deadline)
{
    void (*before)(void) = NULL;
    tell();
    if (deadline != UINT64_MAX) /* an idle thread; once */
        before = __atomic_exchange_n(&giving_up, before, __ATOMIC_SEQ_CST);
    if (before == NULL)
        return yoke__os_futex_wait(word, expected, deadline);
    before();
    store(&gave_up, 1);
    tell();
    return -ETIMEDOUT;
}

static int watched_wake(uint32_t *word, int n)
{
    int rc = yoke__os_futex_wake(word, n);
    tell();
    return rc;
}

static __thread int submitter = -1; /* its number; its threads do not start, and others come in between */
static int turn;

static bool its_turn(void)
{
    return load(&turn) == submitter;
}

static void give_turn(int to)
{
    store(&turn, to);
    tell();
}

static int watched_start(pthread_t *thread, const char *name, size_t stack_bytes, void *(*fn)(void *), void *arg)
{
    if (submitter < 0)
        return yoke__os_thread_start(thread, name, stack_bytes, fn, arg);
    give_turn(-1);
    until(its_turn);
    return -EAGAIN;
}

struct work {
    struct yoke__job job;
    int number, done; /* done: atomic, how often */
};

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
    tell();
}

static void leave(int kind)
{
    add(&running[kind], -1);
}

static bool gate_is_open(void)
{
    return load(&gate_open) != 0;
}

static void open_gate(void)
{
    store(&gate_open, 1);
    tell();
}

/* Blocks its thread. */
static int wait_at_gate(void *arg)
{
    struct work *work = arg;
    enter(work->job.kind);
    until(gate_is_open);
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
    tell();
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

static bool two_run(void)
{
    return load(&running[0]) == 2;
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
    open_gate();
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
    open_gate();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(submit(&work, 0, i, wait_at_gate), 0);
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
    open_gate();
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
    open_gate();
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
    open_gate();
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
    open_gate();
    pthread_join(stopper, NULL);
    assert_int_equal(ended, JOBS + 3);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(works[i].done, 1);
    assert_int_equal(most_running[0], 3);
    assert_int_equal(yoke__os_fault_count(YOKE__OS_THREAD), 3);
    end();
}

static bool all_are_idle(void)
{
    for (int kind = 0; kind < KINDS; kind++)
        if (view(kind).idle != 1)
            return false;
    return true;
}

static void the_end_with_idle_threads_and_with_none(void **state)
{
    (void)state;
    struct work works[KINDS];
    begin(2, 2, 2);
    end();
    begin(2, 2, 2);
    forget();
    open_gate();
    for (int kind = 0; kind < KINDS; kind++)
        assert_int_equal(submit(&works[kind], kind, kind, wait_at_gate), 0);
    until(all_are_idle);
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
    int rounds = 10;
    begin(2, 1, 1);
    forget();
    open_gate();
    pool.idle_ns = 1000;
    for (int i = 0; i < rounds; i++) {
        assert_int_equal(submit(&work, 0, i, wait_at_gate), 0);
        until(nobody_is_there);
        assert_int_equal(work.done, 1);
    }
    assert_int_equal(yoke__os_fault_count(YOKE__OS_THREAD), rounds);
    end();
}

static struct work met;
static bool taken_back;

static void submit_one(void)
{
    check_int(submit(&met, 0, 5, note_order), 0);
}

static void submit_and_take_back(void)
{
    check_int(submit(&met, 0, 5, note_order), 0);
    taken_back = yoke__pool_withdraw(&pool, &met.job); /* surely, if nobody else is there */
    if (taken_back)
        add(&ended, 1);
}

static bool all_are_over(void)
{
    return load(&gave_up) && all_ended() && view(0).idle == view(0).threads;
}

/* A job that comes just when a thread gives up waiting must not be left alone: it may have been counted on, or another one that is idle. */
static void a_job_meets_a_thread_that_gives_up(void **state)
{
    (void)state;
    void (*cases[])(void) = { submit_one, submit_and_take_back };
    for (int n = 1; n <= 2; n++)
        for (int i = 0; i < 2; i++) {
            struct work works[2];
            begin(n, 1, 1);
            forget();
            for (int k = 0; k < n; k++)
                assert_int_equal(submit(&works[k], 0, k, wait_at_gate), 0);
            until(n == 1 ? one_runs : two_run);
            store(&met.done, 0);
            taken_back = false;
            store(&gave_up, 0);
            __atomic_store_n(&giving_up, cases[i], __ATOMIC_SEQ_CST);
            open_gate();
            expected = n + 1;
            until(all_are_over);
            assert_true(load(&giving_up) == NULL);
            if (n == 1)
                assert_int_equal(taken_back, i == 1);
            assert_int_equal(met.done, !taken_back);
            assert_int_equal(ordered, !taken_back);
            end();
        }
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
    open_gate();
    expected = 2;
    until(all_ended);
    end();
}

enum { SUBMITTING = 3 };

static struct {
    struct work works[SUBMITTING];
    int rc[SUBMITTING];
    bool over[SUBMITTING]; /* the submit has returned; of him who has the turn */
    bool end;
} vain;

static void refused(struct yoke__job *job)
{
    check_int(job->result, -EAGAIN);
    add(&((struct work *)(void *)job)->done, 1);
}

static void *submit_in_vain(void *arg)
{
    int me = submitter = *(int *)arg;
    for (;;) {
        until(its_turn);
        if (vain.end)
            break;
        vain.rc[me] = yoke__pool_submit(&pool, &vain.works[me].job);
        vain.over[me] = true;
        give_turn(-1);
    }
    give_turn(-1);
    return NULL;
}

static bool turn_is_over(void)
{
    return load(&turn) == -1;
}

/* Who is to go on next, six times; written with three digits. False: not everybody is there twice, or it is the same with other numbers. */
static bool order_of(int number, int next[2 * SUBMITTING])
{
    int seen[SUBMITTING] = { 0 };
    for (int i = 0; i < 2 * SUBMITTING; i++, number /= SUBMITTING) {
        int who = next[i] = number % SUBMITTING;
        if (seen[who]++ == 2 || (who > 0 && seen[who - 1] == 0))
            return false;
    }
    return true;
}

/*
 * Three submit, and no thread can be started: whose job was taken all the same must hear of it. Each submit has two sections, before the start
 * and after it; in every order.
 */
static void no_job_is_left_to_a_thread_that_does_not_start(void **state)
{
    (void)state;
    int numbers[SUBMITTING], next[2 * SUBMITTING], orders = 0;
    pthread_t threads[SUBMITTING];
    store(&turn, -1);
    vain.end = false;
    for (int k = 0; k < SUBMITTING; k++) {
        numbers[k] = k;
        assert_int_equal(pthread_create(&threads[k], NULL, submit_in_vain, &numbers[k]), 0);
    }
    for (int most = 1; most <= SUBMITTING; most++) {
        begin(most, 1, 1);
        for (int number = 0; number < 729; number++) {
            if (!order_of(number, next))
                continue;
            orders++;
            for (int k = 0; k < SUBMITTING; k++) {
                vain.works[k].job = (struct yoke__job){ .fn = wait_at_gate, .arg = &vain.works[k], .kind = 0, .done = refused };
                store(&vain.works[k].done, 0);
                vain.over[k] = false;
            }
            for (int i = 0; i < 2 * SUBMITTING; i++) {
                if (vain.over[next[i]])
                    continue; /* it had but one: it left its job to somebody else */
                give_turn(next[i]);
                until(turn_is_over);
            }
            struct view v = view(0);
            assert_int_equal(v.threads, 0);
            assert_int_equal(v.queued, 0);
            for (int k = 0; k < SUBMITTING; k++) {
                assert_true(vain.over[k]);
                assert_true(vain.rc[k] == 0 || vain.rc[k] == -EAGAIN);
                assert_int_equal(vain.works[k].done, vain.rc[k] == 0);
            }
        }
        end();
    }
    assert_int_equal(orders, 15 * SUBMITTING);
    vain.end = true;
    for (int k = 0; k < SUBMITTING; k++) {
        give_turn(k);
        pthread_join(threads[k], NULL);
    }
}

/* ---- all at once ---- */

enum { SUBMITTERS = 3, ROUNDS = 50, AT_ONCE = 64 };

static __thread const struct work *awaited;

static bool it_is_done(void)
{
    return load(&awaited->done) != 0;
}

static void *submit_and_withdraw(void *arg)
{
    uint64_t r = *(uint64_t *)arg;
    struct work works[AT_ONCE];
    int rounds = repetitions(ROUNDS) + 2;
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
            awaited = &works[i];
            if (!gone[i])
                until(it_is_done);
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
    open_gate();
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
