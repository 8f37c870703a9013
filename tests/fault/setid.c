/*
 * A program that runs with more rights than its caller takes nothing from the caller's environment, nor from a file. Truly: by a set-gid
 * copy of this program, run with another group, where the system has one to give; and through the OS boundary everywhere.
 */
#include "support.h"

#include "config.h"
#include "platform.h"
#include "sanitizer.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char directory[] = "/tmp/yoke-setid-XXXXXX", file[64], copy[64];

enum { TRUSTED = 0, IGNORED = 10, NOT_SECURE = 77 };

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* What the settings come to, with an environment and a file that say otherwise. TRUSTED, IGNORED, or where it is neither. */
static int what_counts(const char *config_file)
{
    static struct yoke__config config;
    char error[YOKE__CONFIG_ERROR];
    reports[0] = '\0';
    if (yoke__config_load(&config, YOKE_OPTIONS(.pool_names = 9, .config_file = config_file), error) != 0)
        return 1;
    if (yoke_run(nothing, NULL, OPTIONS(.workers = 1, .config_file = config_file)) != 0)
        return 2;
    if (config.pool_names != 9)
        return 3; /* the program's own options count in any case */
    if (config.pool_user == 5 && config.pool_files == 6 && config.show && config.hwloc && reported("pool_files = 6"))
        return TRUSTED;
    if (config.pool_user != 16 || config.pool_files != 16 || config.show || config.hwloc || reports[0] != '\0')
        return 4;
    for (int i = 0; i < YOKE__SETTINGS; i++)
        if (i != YOKE__SET_POOL_NAMES && strncmp(config.origin[i], "default", 7) != 0)
            return 5;
    setenv("YOKE_REPORT_K", "not a number", 1);
    if (yoke__config_load(&config, YOKE_OPTIONS(.config_file = "/nowhere/at/all"), error) != 0)
        return 6; /* nor is a bad value looked at */
    unsetenv("YOKE_REPORT_K");
    if (yoke__config_load(&config, YOKE_OPTIONS(.hwloc = "on"), error) != 0 || !config.hwloc)
        return 7;
    return yoke__config_load(&config, YOKE_OPTIONS(.workers = 5000), error) == -EINVAL ? IGNORED : 8;
}

static void set_environment(void)
{
    setenv("YOKE_CONFIG", file, 1);
    setenv("YOKE_POOL_FILES", "6", 1);
    setenv("YOKE_SHOW_CONFIG", "1", 1);
}

static void unset_environment(void)
{
    unsetenv("YOKE_CONFIG");
    unsetenv("YOKE_POOL_FILES");
    unsetenv("YOKE_SHOW_CONFIG");
}

static void an_ordinary_program_heeds_both(void **state)
{
    (void)state;
    set_environment();
    assert_int_equal(what_counts(NULL), TRUSTED);
    assert_int_equal(what_counts(file), TRUSTED);
    unset_environment();
}

static void by_the_boundary_both_are_ignored(void **state)
{
    (void)state;
    set_environment();
    yoke__os_fault_set(YOKE__OS_SETID, -1, EPERM);
    assert_int_equal(what_counts(NULL), IGNORED);
    assert_int_equal(what_counts(file), IGNORED);
    assert_null(yoke__os_getenv("YOKE_POOL_FILES"));
    yoke__os_fault_clear();
    assert_non_null(yoke__os_getenv("YOKE_POOL_FILES"));
    unset_environment();
}

#ifndef YOKE__TSAN

/* ---- truly ------------------------------------------------------------------------------------------------------------ */

enum { NOBODY = 65534 };

/* A group that the copy can be given and its caller does not have as its own; -1: there is none. */
static long other_group(void)
{
    gid_t groups[64];
    if (geteuid() == 0)
        return 1; /* the caller will be NOBODY */
    int n = getgroups(64, groups);
    for (int i = 0; i < n; i++)
        if (groups[i] != getgid())
            return (long)groups[i];
    return -1;
}

static int copy_self(gid_t group)
{
    static char buffer[65536];
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    ssize_t n = from < 0 || to < 0 ? -1 : 1;
    while (n > 0 && (n = read(from, buffer, sizeof buffer)) > 0)
        if (write(to, buffer, (size_t)n) != n)
            n = -1;
    if (n == 0 && (fchown(to, (uid_t)-1, group) < 0 || fchmod(to, 02755) < 0))
        n = -1;
    close(from);
    close(to);
    return (int)n;
}

/* The exit code of the copy, run by a caller who is not in its group. */
static int run_copy(const char *config_file)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
            _exit(NOT_SECURE);
        execl(copy, copy, "as-set-id", config_file, (char *)NULL);
        _exit(126);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void in_a_set_id_program_both_are_ignored(void **state)
{
    (void)state;
    long group = other_group();
    if (group < 0 || copy_self((gid_t)group) < 0) {
        print_message("no group to give: tested through the OS boundary only\n");
        skip();
    }
    set_environment();
    int rc = run_copy(NULL), with_file = run_copy(file);
    unset_environment();
    unlink(copy);
    if (rc == NOT_SECURE) {
        print_message("this system runs no set-id programs here: tested through the OS boundary only\n");
        skip();
    }
    assert_int_equal(rc, IGNORED);
    assert_int_equal(with_file, IGNORED);
}

#endif

/* ---- */

static int make_files(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL || chmod(directory, 0755) < 0)
        return -1;
    snprintf(file, sizeof file, "%s/yoke.ini", directory);
    snprintf(copy, sizeof copy, "%s/copy", directory);
    FILE *f = fopen(file, "w");
    if (f == NULL)
        return -1;
    fputs("[yoke]\npool_user = 5\n", f);
    return fclose(f) == 0 ? chmod(file, 0644) : -1;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(file);
    unlink(copy);
    return rmdir(directory);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "as-set-id") == 0)
        _exit(getauxval(AT_SECURE) == 0 ? NOT_SECURE : what_counts(argc > 2 ? argv[2] : NULL)); /* LeakSanitizer may not look at it */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_program_heeds_both),
        cmocka_unit_test(by_the_boundary_both_are_ignored),
#ifndef YOKE__TSAN /* whose suppressions come by the environment, which the copy must not heed */
        cmocka_unit_test(in_a_set_id_program_both_are_ignored),
#endif
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
