/*
 * Stack overflow, end to end: one report that names the task and where it was spawned, then the end; and what SIGSEGV means to everybody
 * else: faults that are no overflow, handlers that were there before, threads that are not ours. Each death in a child process.
 */
#include "child.h"

#include "core.h"

#include <sys/mman.h>

/* ---- falling ---------------------------------------------------------------------------------------------------------- */

static volatile char sink;

/* Uses more stack than there is. */
static __attribute__((noinline)) int dig(long levels)
{
    volatile char frame[512];
    frame[levels % 512] = 1;
    int rc = levels > 0 ? dig(levels - 1) : 0;
    sink = frame[levels % 512];
    return rc;
}

/* The same in frames that are larger than a guard: found since this is built with -fstack-clash-protection. */
static __attribute__((noinline)) int leap(long levels)
{
    volatile char frame[40 * 1024];
    frame[levels % 512] = 1;
    int rc = levels > 0 ? leap(levels - 1) : 0;
    sink = frame[levels % 512];
    return rc;
}

static const long deep = 1L << 40;

static int digger(void *arg)
{
    (void)arg;
    return dig(deep);
}

static int leaper(void *arg)
{
    (void)arg;
    return leap(deep);
}

static const yoke_options *how; /* the run of the child process */
static int with_default;        /* the default action for SIGSEGV, whatever a sanitizer has put there */
static int with_all_blocked;    /* the thread that runs has blocked every signal */

static const yoke_site site_of_spawn = { "pit/digging.c", "spawn", 1234 };

static int spawn_at_site(yoke_group g, yoke_fn fn, bool pinned, int worker)
{
    const yoke_spawn_options options = { .size = sizeof options, .name = "digger", .site = &site_of_spawn, .pinned = pinned, .worker = worker };
    return yoke_spawn_task(g, fn, NULL, 0, &options);
}

static size_t size_of_group; /* 0: the runtime's */

static int spawn_digger(void *arg)
{
    yoke_fn fn = arg != NULL ? leaper : digger;
    YOKE_GROUP(g, .stack_size = size_of_group);
    check_int(spawn_at_site(g, fn, false, 0), 0);
    return yoke_group_close(g, 0);
}

static int after_a_sleep(void *arg)
{
    check_int(yoke_sleep(1), 0); /* the rest runs on another stack or worker, perhaps */
    return spawn_digger(arg);
}

static int entered;

static int digging_fork(void *arg)
{
    add(&entered, 1);
    return digger(arg);
}

static int fork_digger(void *arg)
{
    yoke_forked f;
    (void)arg;
    yoke_fork(&f, digging_fork, NULL);
    return yoke_join(&f);
}

static int fork_stolen_digger(void *arg)
{
    yoke_forked f;
    (void)arg;
    yoke_fork(&f, digging_fork, NULL);
    while (load(&entered) == 0) /* another worker has it */
        ;
    return yoke_join(&f);
}

static yoke_fn forker;

static int spawn_forker(void *arg)
{
    (void)arg;
    YOKE_GROUP(g, .stack_size = size_of_group);
    check_int(spawn_at_site(g, forker, false, 0), 0);
    return yoke_group_close(g, 0);
}

static int defer_digger(void *arg)
{
    return yoke_defer(digger, arg);
}

static yoke_fn root;
static void *root_argument;

static void run_it(void)
{
    if (with_default)
        (void)signal(SIGSEGV, SIG_DFL);
    sigset_t all;
    sigfillset(&all);
    if (with_all_blocked)
        pthread_sigmask(SIG_BLOCK, &all, NULL);
    int rc = yoke_run(root, root_argument, how);
    (void)rc;
}

static void assert_killed(int status, int signal)
{
    if (!WIFSIGNALED(status) || WTERMSIG(status) != signal)
        fail_msg("status %#x, should be killed by signal %d; said: %s", (unsigned)status, signal, output);
}

/* Dies of SIGABRT after exactly this line. */
static void assert_told_of(const char *task, const yoke_options *options, yoke_fn fn, void *arg)
{
    char expected[512];
    how = options;
    root = fn;
    root_argument = arg;
    assert_killed(in_child(run_it), SIGABRT);
    snprintf(expected, sizeof expected, "%s: stack overflow (stack_size = %zu) in task %s\n", options->name != NULL ? options->name : "yoke",
             size_of_group != 0 ? size_of_group : options->stack_size != 0 ? options->stack_size : (size_t)65536, task);
    assert_string_equal(output, expected);
}

static void assert_told(const yoke_options *options, yoke_fn fn, void *arg)
{
    assert_told_of("'digger' (spawned at pit/digging.c:1234)", options, fn, arg);
}

#define ON(...) YOKE_OPTIONS(.overflow_handler = "on", __VA_ARGS__)

static void one_report_names_task_and_spawn_site(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 3; workers++) {
        assert_told(ON(.workers = workers), spawn_digger, NULL);
            assert_told(ON(.workers = workers), after_a_sleep, NULL);
        }
    assert_told(ON(.workers = 1, .name = "pit"), spawn_digger, NULL);
    assert_told(ON(.workers = 2, .debug = "on"), spawn_digger, NULL);
}

static void a_program_that_blocks_every_signal_gets_its_report(void **state)
{
    (void)state;
    with_all_blocked = 1;
    assert_told(ON(.workers = 2), spawn_digger, NULL);
    with_all_blocked = 0;
}

static void the_root_is_named_too(void **state)
{
    (void)state;
    assert_told_of("'main'", ON(.workers = 2), digger, NULL);
}

static void every_size_of_stack_and_kind_of_guard_is_known(void **state)
{
    (void)state;
    assert_told(ON(.workers = 1, .stack_size = 32768), spawn_digger, NULL);
    assert_told(ON(.workers = 1, .stack_size = 1024 * 1024), spawn_digger, NULL);
    assert_told(ON(.workers = 1, .guards = "mprotect"), spawn_digger, NULL);
}

static void the_stacks_of_groups_are_known_too(void **state)
{
    (void)state;
    size_of_group = 1 << 20;
    assert_told(ON(.workers = 1), spawn_digger, NULL);
    assert_told(ON(.workers = 1, .guards = "mprotect"), after_a_sleep, "leap");
    forker = fork_stolen_digger;
    assert_told(ON(.workers = 2), spawn_forker, NULL);
    size_of_group = 0;
}

static void a_frame_larger_than_the_guard_does_not_jump_it(void **state)
{
    (void)state;
    assert_told(ON(.workers = 1), spawn_digger, "leap");
}

static void a_fork_has_the_name_of_its_task(void **state)
{
    (void)state;
    forker = fork_digger;
    assert_told(ON(.workers = 1), spawn_forker, NULL);
    forker = fork_stolen_digger;
    assert_told(ON(.workers = 2), spawn_forker, NULL);
}

static void a_deferred_function_has_the_name_of_its_task(void **state)
{
    (void)state;
    forker = defer_digger;
    assert_told(ON(.workers = 1), spawn_forker, NULL);
}

/* All at once: each on a worker of its own. */
enum { CROWD = 4 };

static int dig_together(void *arg)
{
    add(&entered, 1);
    while (load(&entered) < CROWD)
        ;
    return digger(arg);
}

static int spawn_crowd(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    for (int i = 0; i < CROWD; i++)
        check_int(spawn_at_site(g, dig_together, true, i), 0);
    return yoke_group_close(g, 0);
}

static void several_at_once_make_one_report(void **state)
{
    (void)state;
    assert_told(ON(.workers = CROWD), spawn_crowd, NULL);
}

/* ---- what is not ours ------------------------------------------------------------------------------------------------- */

enum former { SIGINFO, PLAIN, DEFAULT, IGNORE, FORMERS };
enum place { IN_A_TASK, IN_A_POOL_THREAD, IN_A_FOREIGN_THREAD, PLACES };

static enum former former;
static enum place place;
static int former_flags;
static bool handler_on;
static char *page;      /* touching it is a fault */
static size_t page_size;
static int calls;       /* of the former handler */

/* What the former handler was told. */
static siginfo_t told;
static bool had_context, mask_ok;

static void mend(void)
{
    sigset_t mask;
    calls++;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    mask_ok = sigismember(&mask, SIGUSR1) == 1;
#ifndef YOKE__TSAN /* which blocks every signal while it calls a handler, whatever the flags say */
    mask_ok = mask_ok && sigismember(&mask, SIGSEGV) == ((former_flags & SA_NODEFER) == 0);
#endif
    mprotect(page, page_size, PROT_READ | PROT_WRITE); /* now the instruction succeeds */
}

static void on_siginfo(int signal, siginfo_t *info, void *context)
{
    if (signal != SIGSEGV)
        return;
    told = *info;
    had_context = context != NULL;
    mend();
}

static void on_plain(int signal)
{
    if (signal == SIGSEGV)
        mend();
}

static struct sigaction former_action(void)
{
    struct sigaction action = { .sa_flags = former_flags };
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR1);
    switch (former) {
    case SIGINFO:
        action.sa_sigaction = on_siginfo;
        action.sa_flags |= SA_SIGINFO;
        break;
    case PLAIN:
        action.sa_handler = on_plain;
        break;
    case IGNORE:
        action.sa_handler = SIG_IGN;
        break;
    default:
        action.sa_handler = SIG_DFL;
    }
    return action;
}

static __attribute__((noinline, no_sanitize("address", "thread"))) void touch(char *at)
{
    *(volatile char *)at = 1;
}

static int touch_page(void *arg)
{
    (void)arg;
    mprotect(page, page_size, PROT_NONE);
    touch(page);
    return 0;
}

static int send_to_self(void *arg)
{
    (void)arg;
    return -pthread_sigqueue(pthread_self(), SIGSEGV, (union sigval){ .sival_int = 4711 });
}

static yoke_fn fault; /* one of the two above */
static int times;

static int repeat_fault(void *arg)
{
    int rc = 0;
    for (int i = 0; i < times && rc == 0; i++)
        rc = fault(arg);
    return rc;
}

static void *on_a_thread(void *arg)
{
    (void)repeat_fault(arg);
    return NULL;
}

static int meet_fault(void *arg)
{
    pthread_t thread;
    switch (place) {
    case IN_A_TASK:
        return repeat_fault(arg);
    case IN_A_POOL_THREAD:
        return yoke_blocking(repeat_fault, arg);
    default:
        return pthread_create(&thread, NULL, on_a_thread, arg) == 0 && pthread_join(thread, NULL) == 0 ? 0 : -ECHILD;
    }
}

/* Leaves with a code that says what went wrong, or dies. */
static void meet_fault_in_a_run(void)
{
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    page = mmap(NULL, page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = former_action(), after;
    if (page == MAP_FAILED || sigaction(SIGSEGV, &action, NULL) < 0)
        _exit(2);
    if (yoke_run(meet_fault, NULL, YOKE_OPTIONS(.workers = 2, .overflow_handler = handler_on ? "on" : "off")) != 0)
        _exit(3);
    if (sigaction(SIGSEGV, NULL, &after) < 0 || after.sa_handler != ((former_flags & (int)SA_RESETHAND) != 0 ? SIG_DFL : action.sa_handler))
        _exit(4); /* not as before */
    bool handled = former == SIGINFO || former == PLAIN;
    if (calls != (handled ? times : 0) || (handled && !mask_ok))
        _exit(5);
    if (former == SIGINFO && !had_context)
        _exit(6);
    if (former == SIGINFO && fault == touch_page && (told.si_code <= 0 || told.si_addr != page))
        _exit(7);
    if (former == SIGINFO && fault == send_to_self && (told.si_code != SI_QUEUE || told.si_pid != getpid() || told.si_value.sival_int != 4711))
        _exit(8);
}

/* As if there were no handler of ours: it must not be told apart. */
static void assert_passed_on(bool dies)
{
    static const char *const formers[] = { "siginfo", "plain", "default", "ignore" };
    int status = in_child(meet_fault_in_a_run);
    assert_string_equal(output, ""); /* and nothing is said */
    if (dies ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV : status != 0)
        fail_msg("former %s, flags %#x, place %d, %s, %d times, our handler %s: status %#x", formers[former], (unsigned)former_flags, place,
                 fault == touch_page ? "fault" : "sent", times, handler_on ? "on" : "off", (unsigned)status);
}

static void others_faults_are_passed_on(void **state)
{
    (void)state;
    former_flags = 0;
    for (int on = 0; on <= 1; on++)
        for (former = SIGINFO; former < FORMERS; former++)
            for (place = IN_A_TASK; place < PLACES; place++)
                for (times = 1; times <= 2; times++) {
                    handler_on = on != 0;
                    fault = touch_page;
                    assert_passed_on(former == DEFAULT || former == IGNORE); /* a fault cannot be ignored */
                    fault = send_to_self;
                    assert_passed_on(former == DEFAULT);
                }
}

static void the_flags_of_the_former_handler_hold(void **state)
{
    (void)state;
    place = IN_A_TASK;
    fault = touch_page;
    for (int on = 0; on <= 1; on++)
        for (former = SIGINFO; former <= PLAIN; former++) {
            handler_on = on != 0;
            former_flags = SA_NODEFER;
            times = 1;
            assert_passed_on(false);
            former_flags = (int)SA_RESETHAND;
            assert_passed_on(false);
            times = 2; /* the second finds the default action */
            assert_passed_on(true);
        }
    former_flags = 0;
}

/* A wild pointer into the guard of a stack that is not the task's own is no overflow of it. */
static char *elsewhere;

static int show_stack(void *arg)
{
    (void)arg;
    elsewhere = yoke__self()->fiber->base;
    return yoke_sleep_until(YOKE_NEVER);
}

static int touch_other_guard(void *arg)
{
    (void)arg;
    YOKE_GROUP(g);
    check_int(yoke_spawn_ptr(g, show_stack, NULL), 0);
    while (elsewhere == NULL) /* one worker: once it is written, its writer is blocked */
        check_int(yoke_yield(), 0);
    check((char *)yoke__self()->fiber->base != elsewhere);
    touch(elsewhere + 100);
    return 0;
}

static void anothers_guard_is_no_overflow(void **state)
{
    (void)state;
    with_default = 1;
    how = ON(.workers = 1);
    root = touch_other_guard;
    assert_killed(in_child(run_it), SIGSEGV);
    assert_string_equal(output, "");
    with_default = 0;
}

/* The stacks of pool threads are the system's, with its guards. */
static int overflow_in_the_pool(void *arg)
{
    return yoke_blocking(digger, arg);
}

static void an_overflow_of_a_pool_thread_is_an_ordinary_fault(void **state)
{
    (void)state;
    with_default = 1;
    how = ON(.workers = 1);
    root = overflow_in_the_pool;
    assert_killed(in_child(run_it), SIGSEGV);
    assert_string_equal(output, "");
    with_default = 0;
}

static void switched_off_an_overflow_is_an_ordinary_fault(void **state)
{
    (void)state;
    with_default = 1;
    how = YOKE_OPTIONS(.workers = 1);
    root = spawn_digger;
    assert_killed(in_child(run_it), SIGSEGV);
    assert_string_equal(output, "");
    with_default = 0;
}

/* ---- in place and away ------------------------------------------------------------------------------------------------ */

static struct sigaction current(void)
{
    struct sigaction action;
    assert_int_equal(sigaction(SIGSEGV, NULL, &action), 0);
    return action;
}

/* The handler, and whether the thread has an alternate stack. */
struct view {
    struct sigaction action;
    stack_t stack;
};

static int look(void *arg)
{
    struct view *view = arg;
    check_int(sigaction(SIGSEGV, NULL, &view->action), 0);
    check_int(sigaltstack(NULL, &view->stack), 0);
    return 0;
}

static void *look_from_a_thread(void *arg)
{
    (void)look(arg);
    return NULL;
}

static void switched_off_nothing_is_installed(void **state)
{
    (void)state;
    pthread_t thread;
    struct view before, during;
    assert_int_equal(pthread_create(&thread, NULL, look_from_a_thread, &before), 0); /* what a sanitizer gives to every thread */
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(run(1, look, &during), 0);
    assert_true(during.action.sa_handler == before.action.sa_handler);
    assert_int_equal(during.action.sa_flags, before.action.sa_flags);
    assert_int_equal(during.stack.ss_flags, before.stack.ss_flags);
    assert_int_equal(during.stack.ss_size, before.stack.ss_size);
}

static void switched_on_it_is_there_for_the_run(void **state)
{
    (void)state;
    struct view during;
    struct sigaction before = current();
    assert_int_equal(run_with(look, &during, OPTIONS(.workers = 1, .overflow_handler = "on")), 0);
    assert_true(during.action.sa_handler != before.sa_handler);
    assert_int_equal(during.action.sa_flags & (SA_SIGINFO | SA_ONSTACK), SA_SIGINFO | SA_ONSTACK);
    assert_int_equal(during.stack.ss_flags & SS_DISABLE, 0);
    assert_true(current().sa_handler == before.sa_handler);
    assert_int_equal(current().sa_flags, before.sa_flags);
}

/* The handler stays until the last of several runtimes has ended. */
static void several_runtimes_share_it(void **state)
{
    (void)state;
    struct sigaction before = current();
    yoke_runtime *a, *b;
    assert_int_equal(yoke_start(&a, ON(.workers = 1)), 0);
    struct sigaction ours = current();
    assert_true(ours.sa_handler != before.sa_handler);
    assert_int_equal(yoke_start(&b, ON(.workers = 1)), 0);
    assert_int_equal(yoke_stop(a), 0);
    assert_true(current().sa_handler == ours.sa_handler);
    assert_int_equal(yoke_stop(b), 0);
    assert_true(current().sa_handler == before.sa_handler);
}

/* Who has put a handler over ours keeps it, and may go on passing to ours. */
static void a_later_handler_is_left_alone(void **state)
{
    (void)state;
    struct sigaction before = current(), later = { .sa_handler = on_plain };
    yoke_runtime *rt;
    sigemptyset(&later.sa_mask);
    assert_int_equal(yoke_start(&rt, ON(.workers = 1)), 0);
    struct sigaction ours = current();
    assert_int_equal(sigaction(SIGSEGV, &later, NULL), 0);
    assert_int_equal(yoke_stop(rt), 0);
    assert_true(current().sa_handler == on_plain);
    assert_int_equal(yoke_start(&rt, ON(.workers = 1)), 0);
    assert_true(current().sa_handler == on_plain); /* not twice: the two would pass on to each other for ever */
    assert_int_equal(sigaction(SIGSEGV, &ours, NULL), 0);
    assert_int_equal(yoke_stop(rt), 0);
    assert_true(current().sa_handler == before.sa_handler);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void a_start_up_that_fails_takes_it_away(void **state)
{
    (void)state;
    struct sigaction before = current();
    for (int nth = 1; nth <= 2; nth++) { /* the service thread, the first worker */
        yoke__os_fault_set(YOKE__OS_THREAD, nth, EAGAIN);
        assert_int_equal(run_with(nothing, NULL, OPTIONS(.workers = 1, .overflow_handler = "on")), -EAGAIN);
        yoke__os_fault_clear();
        assert_true(current().sa_handler == before.sa_handler);
    }
}

static void a_refused_handler_is_a_failed_start_up(void **state)
{
    (void)state;
    struct sigaction before = current();
    for (int nth = 1; nth <= 2; nth++) { /* asking what is there, putting ours */
        yoke__os_fault_set(YOKE__OS_SIGNAL_ACTION, nth, EPERM);
        assert_int_equal(run_with(nothing, NULL, OPTIONS(.workers = 1, .overflow_handler = "on")), -EPERM);
        assert_true(reported("start-up failed"));
        yoke__os_fault_clear();
        assert_true(current().sa_handler == before.sa_handler);
    }
    assert_int_equal(run_with(nothing, NULL, OPTIONS(.workers = 1, .overflow_handler = "on")), 0);
}

static void a_worker_without_an_alternate_stack_says_so(void **state)
{
    (void)state;
    yoke__os_fault_set(YOKE__OS_SIGNAL_STACK, 1, EPERM);
    assert_int_equal(run_with(nothing, NULL, OPTIONS(.workers = 1, .overflow_handler = "on")), 0);
    yoke__os_fault_clear();
    assert_true(reported("worker 0 has no alternate signal stack, its overflows will not be reported"));
}

/* ---- without guards --------------------------------------------------------------------------------------------------- */

static int overrun(void *arg)
{
    (void)arg;
    memset(yoke__self()->fiber->floor, 1, 8); /* as a frame too many would */
    return 0;
}

static void run_overrun(void)
{
    int rc = yoke_run(overrun, NULL, YOKE_OPTIONS(.workers = 1, .guards = "none"));
    dprintf(2, "not found: %d\n", rc);
}

static void without_guards_it_is_found_when_the_stack_is_left(void **state)
{
    (void)state;
    int status = in_child(run_overrun);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(output, "has overflowed (found when it was left)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_report_names_task_and_spawn_site),
        cmocka_unit_test(a_program_that_blocks_every_signal_gets_its_report),
        cmocka_unit_test(the_root_is_named_too),
        cmocka_unit_test(every_size_of_stack_and_kind_of_guard_is_known),
        cmocka_unit_test(the_stacks_of_groups_are_known_too),
        cmocka_unit_test(a_frame_larger_than_the_guard_does_not_jump_it),
        cmocka_unit_test(a_fork_has_the_name_of_its_task),
        cmocka_unit_test(a_deferred_function_has_the_name_of_its_task),
        cmocka_unit_test(several_at_once_make_one_report),
        cmocka_unit_test(without_guards_it_is_found_when_the_stack_is_left),
        cmocka_unit_test(others_faults_are_passed_on),
        cmocka_unit_test(the_flags_of_the_former_handler_hold),
        cmocka_unit_test(anothers_guard_is_no_overflow),
        cmocka_unit_test(an_overflow_of_a_pool_thread_is_an_ordinary_fault),
        cmocka_unit_test(switched_off_an_overflow_is_an_ordinary_fault),
        cmocka_unit_test(switched_off_nothing_is_installed),
        cmocka_unit_test(switched_on_it_is_there_for_the_run),
        cmocka_unit_test(several_runtimes_share_it),
        cmocka_unit_test(a_later_handler_is_left_alone),
        cmocka_unit_test(a_start_up_that_fails_takes_it_away),
        cmocka_unit_test(a_refused_handler_is_a_failed_start_up),
        cmocka_unit_test(a_worker_without_an_alternate_stack_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
