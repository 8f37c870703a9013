/* Standard streams, whatever they are: read and written without blocking a worker, and without O_NONBLOCK on what others share. */
#include "support.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* What becomes descriptor 0, and the descriptor by which a test feeds it. */
enum kind { PIPE, SOCKET, TERMINAL, MASTER, KINDS };

static int make(enum kind kind, int fds[2])
{
    switch (kind) {
    case PIPE:
        return pipe(fds);
    case SOCKET:
        return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    default: {
        int master = posix_openpt(O_RDWR | O_NOCTTY);
        if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
            return -1;
        int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
        fds[0] = kind == TERMINAL ? slave : master;
        fds[1] = kind == TERMINAL ? master : slave;
        return slave < 0 ? -1 : 0;
    }
    }
}

/* Descriptors that the kernel keeps an eye on for this process's pollers. */
static int registrations(void)
{
    int n = 0;
    for (int fd = 0; fd < 64; fd++) {
        char path[64], line[256];
        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
        FILE *info = fopen(path, "r");
        while (info != NULL && fgets(line, sizeof line, info) != NULL)
            n += strncmp(line, "tfd:", 4) == 0;
        if (info != NULL)
            fclose(info);
    }
    return n;
}

static int kept; /* the descriptor 0 that the test was started with; -1: none */

static void put_in_place(int fd, int place)
{
    if (fd != place) {
        check_int(dup2(fd, place), place);
        close(fd);
    }
}

static int reading; /* tasks that have come as far as their read: on one worker they wait in it then */

static int read_line(void *arg)
{
    char text[16];
    size_t length = 0;
    add(&reading, 1);
    do { /* a terminal may give a line in pieces, and turn "\n" into "\r\n" */
        ssize_t n = yoke_read(*(yoke_stream **)arg, text + length, sizeof text - length);
        if (n <= 0)
            return (int)n;
        length += (size_t)n;
    } while (text[length - 1] != '\n');
    check(length == 3 || length == 4);
    check(memcmp(text, "hi", 2) == 0);
    return (int)length;
}

static int spawn_reader(yoke_group g, yoke_task *task, yoke_stream *s)
{
    int before = load(&reading), rc = yoke_spawn_with(g, (.handle = task), read_line, yoke_stream *, s);
    while (rc == 0 && load(&reading) == before)
        rc = yoke_yield();
    return rc;
}

static int of_a_kind(void *arg)
{
    enum kind kind = *(enum kind *)arg;
    int fds[2], result;
    yoke_stream *s, *again;
    yoke_task a, b, c;
    YOKE_TRY(make(kind, fds));
    put_in_place(fds[0], 0);
    check_int(yoke_stdin(&s), 0);
    int registered = registrations();
    YOKE_GROUP(g, .policy = YOKE_COLLECT);
    for (int i = 0; i < 3; i++) { /* the task waits; its worker, which is this one's too, does not */
        YOKE_TRY(spawn_reader(g, &a, s));
        check_int(fcntl(0, F_GETFL) & O_NONBLOCK, 0); /* now, for all who share it */
        check_int(yoke_task_state(a), YOKE_TASK_RUNNING);
        check_int(read_line(&s), -EBUSY);
        check_int(write(fds[1], "hi\n", 3), 3);
        check_int(yoke_task_await(a, &result), 0);
        check(result == 3 || result == 4);
    }
    YOKE_TRY(spawn_reader(g, &b, s));
    check_int(yoke_task_cancel(b), 0);
    check_int(yoke_task_await(b, &result), 0);
    check_int(result, -ECANCELED);
    YOKE_TRY(spawn_reader(g, &c, s));
    check_int(yoke_close(s), 0);
    check_int(yoke_task_await(c, &result), 0);
    check_int(result, -EBADF);
    check(fcntl(0, F_GETFD) >= 0); /* closing the stream does not close it */
    check_int(registrations(), registered); /* and leaves nothing behind */
    check_int(yoke_stdin(&again), 0);
    YOKE_TRY(spawn_reader(g, &a, again)); /* it has waited before, by another stream: events still come */
    check_int(write(fds[1], "hi\n", 3), 3);
    check_int(yoke_task_await(a, &result), 0);
    check(result == 3 || result == 4);
    check_int(write(fds[1], "hi\n", 3), 3);
    check(read_line(&again) >= 3);
    check_int(yoke_group_close(g, 0), 0);
    check_int(fcntl(0, F_GETFL) & O_NONBLOCK, 0);
    if (kind == PIPE || kind == SOCKET) {
        close(fds[1]);
        check_int(read_line(&again), 0);
    } else {
        close(fds[1]);
        check(read_line(&again) <= 0); /* a hung-up terminal: 0 or -EIO */
    }
    return yoke_close(again);
}

static void a_task_waits_for_input_of_every_kind(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        enum kind this = (enum kind)kind;
        assert_int_equal(run(1, of_a_kind, &this), 0);
        assert_string_equal(reports, "");
    }
}

static int always_there(void *arg)
{
    char text[8] = "";
    yoke_stream *s;
    (void)arg;
    int fd = open("/dev/null", O_RDWR);
    put_in_place(fd, 0);
    check_int(yoke_stdin(&s), 0);
    check_int(yoke_read(s, text, sizeof text), 0);
    check_int(yoke_write(s, "gone", 4), 4);
    check_int(yoke_close(s), 0);
    fd = memfd_create("stdin", MFD_CLOEXEC);
    check_int(pwrite(fd, "abcdef", 6, 0), 6);
    put_in_place(fd, 0);
    check_int(yoke_stdin(&s), 0);
    struct iovec pieces[] = { { .iov_base = text, .iov_len = 1 }, { .iov_base = text + 1, .iov_len = 1 } };
    check_int(yoke_readv(s, pieces, 2), 2);
    check(memcmp(text, "ab", 2) == 0);
    check_int(read(0, text, 2), 2); /* who shares the file goes on where the stream is */
    check(memcmp(text, "cd", 2) == 0);
    size_t done;
    check_int(yoke_read_exact(s, text, 3, &done), -ENODATA);
    check_int(done, 2);
    check(memcmp(text, "ef", 2) == 0);
    pieces[0].iov_base = (char[]){ "g" };
    check_int(yoke_writev(s, pieces, 1), 1);
    check_int(yoke_shutdown(s, YOKE_WRITING), -ENOTSOCK);
    check_int(yoke_close(s), 0);
    struct stat stat;
    check_int(fstat(0, &stat), 0);
    check_int(stat.st_size, 7);
    close(0);
    check_int(yoke_stdin(&s), -EBADF);
    check(s == NULL);
    return 0;
}

static void files_devices_and_nothing(void **state)
{
    (void)state;
    assert_int_equal(run(1, always_there, NULL), 0);
    assert_string_equal(reports, "");
}

/* ---- output ---- */

enum { MUCH = 300 * 1000 };

static int write_much(void *arg)
{
    size_t done;
    char *data = malloc(MUCH);
    memset(data, 'w', MUCH);
    check_int(yoke_write_all(*(yoke_stream **)arg, data, MUCH, &done), 0); /* more than the pipe takes */
    check_int(done, MUCH);
    free(data);
    return yoke_close(*(yoke_stream **)arg);
}

static int output_of_a_kind(void *arg)
{
    enum kind kind = *(enum kind *)arg;
    int fds[2];
    yoke_stream *out, *in;
    YOKE_TRY(make(kind, fds));
    if (kind == PIPE) { /* in its direction */
        int reader = fds[0];
        fds[0] = fds[1];
        fds[1] = reader;
    }
    check_int(yoke_stream_share(&out, fds[0]), 0);
    check_int(yoke_stream_adopt(&in, fds[1]), 0);
    YOKE_GROUP(g);
    check_int(yoke_spawn(g, write_much, yoke_stream *, out), 0);
    char *data = malloc(MUCH);
    memset(data, 0, MUCH);
    check_int(yoke_read_exact(in, data, MUCH, NULL), 0);
    int wrong = 0;
    for (int i = 0; i < MUCH; i++)
        wrong += data[i] != 'w';
    check_int(wrong, 0);
    free(data);
    check_int(yoke_group_close(g, 0), 0);
    check_int(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    check_int(yoke_close(in), 0);
    if (kind != TERMINAL) {
        check_int(yoke_stream_share(&out, fds[0]), 0);
        check_int(yoke_write(out, "x", 1), -EPIPE); /* nobody reads any more; no SIGPIPE */
        check_int(yoke_close(out), 0);
    }
    close(fds[0]);
    return 0;
}

static void a_task_waits_for_room_of_every_kind(void **state)
{
    static const enum kind kinds[] = { PIPE, SOCKET, TERMINAL };
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        enum kind kind = kinds[i];
        assert_int_equal(run(1, output_of_a_kind, &kind), 0);
        assert_string_equal(reports, "");
    }
}

static int three(void *arg)
{
    (void)arg;
    YOKE_SCOPED(yoke_stream) out = NULL;
    YOKE_SCOPED(yoke_stream) err = NULL;
    check_int(yoke_stdout(&out), 0); /* whatever the test was given */
    check_int(yoke_stderr(&err), 0);
    check_int(yoke_write(out, "", 0), 0);
    return yoke_write(err, "", 0) < 0;
}

static void all_three_have_names(void **state)
{
    (void)state;
    assert_int_equal(run(1, three, NULL), 0);
    yoke_stream *s;
    assert_int_equal(yoke_stdin(&s), -ENOTRECOVERABLE);
}

static int keep(void **state)
{
    (void)state;
    kept = dup(0);
    return 0;
}

static int give_back(void **state)
{
    (void)state;
    if (kept >= 0)
        dup2(kept, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_waits_for_input_of_every_kind),
        cmocka_unit_test(files_devices_and_nothing),
        cmocka_unit_test(a_task_waits_for_room_of_every_kind),
        cmocka_unit_test(all_three_have_names),
    };
    return cmocka_run_group_tests(tests, keep, give_back);
}
