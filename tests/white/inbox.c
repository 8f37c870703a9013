/* The inbox: any number of threads and signal handlers push, what is taken is everything, once, and first in first out. */
#include "support.h"

#include <signal.h>

#include "inbox.h"
#include "platform.h"

static struct yoke__inbox inbox;

/* What is in `struct letter` besides the node is plain memory: the inbox makes it seen. */
struct letter {
    struct yoke__node node;
    int from;
    long number; /* counts the letters of its sender */
    int unread;  /* atomic: the sender may use it again when this is 0 */
};

static struct letter *letter_of(struct yoke__node *node)
{
    return (struct letter *)(void *)node; /* the node is first */
}

static void post(struct letter *letter, int from, long number)
{
    letter->from = from;
    letter->number = number;
    store(&letter->unread, 1);
    yoke__inbox_push(&inbox, &letter->node);
}

/* ---- alone ---- */

static void first_pushed_first(void **state)
{
    (void)state;
    struct letter letters[5];
    yoke__inbox_init(&inbox);
    assert_true(yoke__inbox_empty(&inbox));
    assert_null(yoke__inbox_take(&inbox));
    for (int n = 1; n <= 5; n++) { /* batches of 1, 2, ... of the same nodes */
        for (int i = 0; i < n; i++) {
            letters[i].node.kind = (uintptr_t)i % 4;
            post(&letters[i], 0, i);
            assert_false(yoke__inbox_empty(&inbox));
        }
        struct yoke__node *node = yoke__inbox_take(&inbox);
        assert_true(yoke__inbox_empty(&inbox));
        assert_null(yoke__inbox_take(&inbox));
        for (int i = 0; i < n; i++) {
            assert_ptr_equal(node, &letters[i].node);
            assert_int_equal(node->kind, i % 4);
            node = yoke__node_next(node);
        }
        assert_null(node);
    }
}

/* A batch is the taker's: it may push its nodes again while it walks it, if it looks at the next one first. */
static void what_was_taken_may_be_pushed_again(void **state)
{
    (void)state;
    struct letter letters[8];
    yoke__inbox_init(&inbox);
    for (int i = 0; i < 8; i++)
        post(&letters[i], 0, i);
    for (int round = 0; round < 100; round++) {
        int i = 0;
        for (struct yoke__node *node = yoke__inbox_take(&inbox), *next; node != NULL; node = next, i++) {
            next = yoke__node_next(node);
            assert_ptr_equal(node, &letters[i].node);
            yoke__inbox_push(&inbox, node);
        }
        assert_int_equal(i, 8);
    }
}

/* ---- many threads ---- */

enum { SENDERS = 4, READERS = 3, LETTERS = 8, MOST = 1 << 14 };

static struct letter desk[SENDERS][LETTERS]; /* few, so that the same nodes come again and again */
static int attempts, senders_left, insane;
static long sent[SENDERS];
static int times_read[SENDERS][MOST];

static void *sender(void *arg)
{
    int from = *(int *)arg;
    long number = 0;
    for (int i = 0; i < attempts && load(&insane) == 0; i++) {
        struct letter *letter = &desk[from][number % LETTERS];
        if (load(&letter->unread) == 0)
            post(letter, from, number++);
        else
            sched_yield(); /* no waiting: were a letter lost, it would never end */
    }
    sent[from] = number;
    add(&senders_left, -1);
    return NULL;
}

/* Reads until all have sent everything and nothing is left. `next` not NULL: each sender's next number. */
static void read_all(long *next)
{
    for (;;) {
        bool last = load(&senders_left) == 0;
        struct yoke__node *node = yoke__inbox_take(&inbox);
        if (node == NULL && last)
            return;
        if (node == NULL)
            sched_yield();
        for (int n = 0; node != NULL; n++) {
            struct letter *letter = letter_of(node);
            node = yoke__node_next(node);
            int from = letter->from;
            long number = letter->number;
            bool sane = n < SENDERS * LETTERS && load(&letter->unread) == 1 && from >= 0 && from < SENDERS && number >= 0 && number < MOST;
            check(sane);
            if (!sane) { /* a letter twice, or a batch without an end */
                store(&insane, 1);
                return;
            }
            if (next != NULL)
                check_int(number, next[from]++);
            add(&times_read[from][number], 1);
            store(&letter->unread, 0);
        }
    }
}

static void *reader(void *arg)
{
    (void)arg;
    read_all(NULL);
    return NULL;
}

static void send_and_read(int readers)
{
    static int numbers[SENDERS] = { 0, 1, 2, 3 };
    pthread_t threads[SENDERS + READERS];
    long next[SENDERS] = { 0 };
    yoke__inbox_init(&inbox);
    memset(times_read, 0, sizeof times_read);
    memset(desk, 0, sizeof desk);
    attempts = repetitions(MOST);
    senders_left = SENDERS;
    insane = 0;
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sender, &numbers[i]), 0);
    for (int i = 1; i < readers; i++)
        assert_int_equal(pthread_create(&threads[SENDERS + i - 1], NULL, reader, NULL), 0);
    read_all(readers == 1 ? next : NULL); /* to one reader they come in the order of each sender */
    for (int i = 0; i < SENDERS + readers - 1; i++)
        pthread_join(threads[i], NULL);
    assert_checks();
    assert_true(yoke__inbox_empty(&inbox));
    for (int i = 0; i < SENDERS; i++) {
        assert_true(sent[i] > 0);
        for (long number = 0; number < MOST; number++)
            assert_int_equal(times_read[i][number], number < sent[i]);
    }
}

static void many_senders_one_reader(void **state)
{
    (void)state;
    send_and_read(1);
}

static void many_senders_many_readers(void **state)
{
    (void)state;
    send_and_read(READERS);
}

/* ---- a signal handler on the thread that pushes ---- */

enum { SIGNALS = 2000, SECONDS = 20 }; /* fewer signals, where each waits for a turn of the other thread for long */

static struct letter by_handler[SIGNALS], by_thread[LETTERS];
static int handled, enough;

static void on_signal(int signal)
{
    (void)signal;
    int n = load(&handled);
    post(&by_handler[n], 1, n);
    store(&handled, n + 1);
}

static void *interrupted(void *arg)
{
    long number = 0;
    while (load(&enough) == 0) {
        for (int i = 0; i < LETTERS; i++)
            if (load(&by_thread[i].unread) == 0)
                post(&by_thread[i], 0, number++);
        (void)yoke__os_now(); /* ThreadSanitizer holds signal handlers back until a call that it intercepts */
    }
    *(long *)arg = number;
    return NULL;
}

static void a_signal_handler_may_push(void **state)
{
    (void)state;
    struct sigaction action = { .sa_handler = on_signal }, before;
    sigemptyset(&action.sa_mask);
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    yoke__inbox_init(&inbox);
    memset(by_thread, 0, sizeof by_thread);
    handled = enough = 0;
    pthread_t thread;
    long posted = 0, next[2] = { 0, 0 };
    assert_int_equal(pthread_create(&thread, NULL, interrupted, &posted), 0);
    int signals = repetitions(SIGNALS);
    int64_t late = yoke_after(YOKE_SEC(SECONDS));
    for (int raised = 0;;) {
        bool over = load(&enough) != 0;
        if (raised > 0 && raised < signals && yoke_now() > late)
            signals = raised;
        if (raised < signals && load(&handled) == raised) { /* the one before was handled: none is merged with another */
            raised++;
            assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
        } else if (raised == signals && load(&handled) == raised && !over) {
            store(&enough, 1);
            pthread_join(thread, NULL);
        }
        struct yoke__node *node = yoke__inbox_take(&inbox);
        if (node == NULL && over)
            break;
        if (node == NULL)
            sched_yield();
        while (node != NULL) {
            struct letter *letter = letter_of(node);
            node = yoke__node_next(node);
            assert_int_equal(letter->number, next[letter->from]);
            next[letter->from]++;
            store(&letter->unread, 0);
        }
    }
    assert_int_equal(next[0], posted);
    assert_int_equal(next[1], signals);
    sigaction(SIGUSR1, &before, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_pushed_first),
        cmocka_unit_test(what_was_taken_may_be_pushed_again),
        cmocka_unit_test(many_senders_one_reader),
        cmocka_unit_test(many_senders_many_readers),
        cmocka_unit_test(a_signal_handler_may_push),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
