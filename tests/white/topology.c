/* Binding and steal order on machines that hwloc makes up; the quota of control groups from files of our own. */
#include "support.h"

#include <dirent.h>
#include <sys/stat.h>

#include "topology.h"

static const char big[] = "package:2 numa:2 core:8 pu:2"; /* 64 processors */
static const char uneven[] = "package:1 core:3 pu:1";
static const char single[] = "package:1 core:1 pu:1";

static struct yoke__plan plan;
static char why[256];

static int make(int workers, const char *bind, const char *machine)
{
    why[0] = '\0';
    return yoke__topology_plan(&plan, workers, bind, false, true, machine, why, sizeof why);
}

static int cpus(int worker)
{
    return CPU_COUNT(&plan.sets[worker]);
}

static void unbound_workers_are_left_alone(void **state)
{
    (void)state;
    assert_int_equal(make(4, "none", big), 0);
    assert_false(plan.bound);
    yoke__topology_free(&plan);
}

static void cores_before_their_second_processors(void **state)
{
    (void)state;
    assert_int_equal(make(32, "core", big), 0);
    assert_true(plan.bound);
    for (int i = 0; i < 32; i++) {
        assert_int_equal(cpus(i), 2); /* both processors of its core */
        for (int k = 0; k < i; k++) {
            cpu_set_t both;
            CPU_AND(&both, &plan.sets[i], &plan.sets[k]);
            assert_int_equal(CPU_COUNT(&both), 0);
        }
    }
    yoke__topology_free(&plan);
}

static void a_processor_each(void **state)
{
    (void)state;
    assert_int_equal(make(64, "pu", big), 0);
    cpu_set_t all;
    CPU_ZERO(&all);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(cpus(i), 1);
        CPU_OR(&all, &all, &plan.sets[i]);
    }
    assert_int_equal(CPU_COUNT(&all), 64);
    yoke__topology_free(&plan);
}

static void a_memory_node_each(void **state)
{
    (void)state;
    assert_int_equal(make(4, "numa", big), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(cpus(i), 16);
    yoke__topology_free(&plan);
}

static void a_list_names_objects(void **state)
{
    (void)state;
    assert_int_equal(make(5, "core:0-3,package:1.core:0", big), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(cpus(i), 2);
    assert_true(CPU_ISSET(0, &plan.sets[0]));
    assert_true(CPU_ISSET(32, &plan.sets[4])); /* the first core of the second package */
    yoke__topology_free(&plan);
}

static void what_is_not_there_is_an_error_with_a_reason(void **state)
{
    (void)state;
    static const char *const missing[] = { "core:99", "package:7.core:0" };
    static const char *const bad[] = { "sideways", "core:", "core:3-1", "core:x", ",", "core:0," };
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        assert_int_equal(yoke__topology_check_spec(missing[i], why, sizeof why), 0);
        assert_int_equal(make(2, missing[i], big), -EINVAL);
        assert_true(why[0] != '\0');
        yoke__topology_free(&plan);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why[0] = '\0';
        assert_int_equal(yoke__topology_check_spec(bad[i], why, sizeof why), -EINVAL);
        assert_true(why[0] != '\0');
    }
}

/* Victims: each other worker once; near ones in an earlier stretch than far ones. */
static void check_victims(int workers)
{
    for (int w = 0; w < workers; w++) {
        int seen[64] = { 0 };
        const int *victims = plan.victims + (size_t)w * (size_t)workers;
        for (int i = 0; i < workers - 1; i++) {
            assert_in_range(victims[i], 0, workers - 1);
            assert_int_not_equal(victims[i], w);
            assert_int_equal(seen[victims[i]]++, 0);
        }
        if (workers > 1) {
            const int *levels = plan.levels + (size_t)w * (size_t)workers;
            assert_true(plan.nlevels[w] >= 1);
            assert_int_equal(levels[plan.nlevels[w] - 1], workers - 1);
            for (int i = 1; i < plan.nlevels[w]; i++)
                assert_true(levels[i] > levels[i - 1]);
        }
    }
}

static void near_victims_come_before_far_ones(void **state)
{
    (void)state;
    assert_int_equal(make(32, "core", big), 0);
    check_victims(32);
    for (int w = 0; w < 32; w++) { /* 8 cores share a memory node, 16 a package */
        const int *victims = plan.victims + (size_t)w * 32;
        for (int i = 0; i < 31; i++) {
            bool node = victims[i] / 8 == w / 8, package = victims[i] / 16 == w / 16;
            if (i < 7)
                assert_true(node);
            else if (i < 15)
                assert_true(package && !node);
            else
                assert_false(package);
        }
    }
    yoke__topology_free(&plan);
    assert_int_equal(make(7, "none", big), 0);
    check_victims(7);
    yoke__topology_free(&plan);
}

static void small_and_uneven_machines(void **state)
{
    (void)state;
    assert_int_equal(make(1, "core", single), 0);
    check_victims(1);
    yoke__topology_free(&plan);
    assert_int_equal(make(5, "core", uneven), 0); /* more workers than cores: they share */
    for (int i = 0; i < 5; i++)
        assert_int_equal(cpus(i), 1);
    check_victims(5);
    yoke__topology_free(&plan);
}

static void without_hwloc_the_plan_is_unbound_and_usable(void **state)
{
    (void)state;
    assert_int_equal(yoke__topology_plan(&plan, 3, "core", false, false, NULL, why, sizeof why), -ENOTSUP);
    assert_false(plan.bound);
    check_victims(3);
    yoke__topology_free(&plan);
}

/* ---- control groups ---- */

static void put(const char *root, const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0755);
        *slash = '/';
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void the_quota_of_group_and_ancestors_bounds_the_workers(void **state)
{
    (void)state;
    char root[] = "/tmp/yoke-test-XXXXXX", command[64];
    assert_non_null(mkdtemp(root));
    put(root, "/proc/self/cgroup", "0::/outer/inner\n");
    put(root, "/sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
    assert_int_equal(yoke__topology_quota(root), 0);
    put(root, "/sys/fs/cgroup/outer/inner/cpu.max", "350000 100000\n");
    assert_int_equal(yoke__topology_quota(root), 4);
    put(root, "/sys/fs/cgroup/outer/cpu.max", "150000 100000\n");
    assert_int_equal(yoke__topology_quota(root), 2);
    put(root, "/sys/fs/cgroup/outer/cpu.max", "10000 100000\n");
    assert_int_equal(yoke__topology_quota(root), 1);
    char origin[160];
    assert_int_equal(yoke__topology_usable_cpus(root, origin, sizeof origin), 1);
    assert_true(origin[0] != '\0');
    put(root, "/sys/fs/cgroup/outer/cpu.max", "nonsense\n");
    assert_int_equal(yoke__topology_quota(root), 4);
    snprintf(command, sizeof command, "rm -rf %s", root);
    assert_int_equal(system(command), 0);
}

/* ---- for real ---- */

static int see_binding(void *arg)
{
    cpu_set_t mine;
    check_int(sched_getaffinity(0, sizeof mine, &mine), 0);
    check_int(CPU_COUNT(&mine), 1);
    (void)arg;
    return 0;
}

static int bound_tasks(void *arg)
{
    YOKE_GROUP(g);
    for (int i = 0; i < yoke_workers(); i++)
        check_int(yoke_spawn_ptr_with(g, (.pinned = true, .worker = i), see_binding, arg), 0);
    return yoke_group_close(g, 0);
}

static void workers_are_where_they_were_bound(void **state)
{
    (void)state;
    assert_int_equal(run_with(bound_tasks, NULL, OPTIONS(.workers = 2, .bind = "pu")), 0);
}

/* Whether a thread of this process whose name ends so may use one processor only. A sanitizer's own thread has the name of whoever was there
   when it was started, so one that does not fit says nothing. */
static int is_bound(const char *ending)
{
    int found = 0;
    DIR *dir = opendir("/proc/self/task");
    const struct dirent *entry;
    check(dir != NULL);
    while ((entry = readdir(dir)) != NULL && !found) {
        char path[300], name[32] = "";
        cpu_set_t set;
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *f = fopen(path, "r");
        if (f != NULL && fgets(name, sizeof name, f) != NULL && strlen(name) > strlen(ending) &&
            strncmp(name + strlen(name) - 1 - strlen(ending), ending, strlen(ending)) == 0)
            found = sched_getaffinity(atoi(entry->d_name), sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
        if (f != NULL)
            fclose(f);
    }
    closedir(dir);
    return found;
}

/* The thread binds itself as it starts, beside this task. */
static int see_service(void *arg)
{
    (void)arg;
    do
        check_int(yoke_yield(), 0);
    while (!is_bound("-timer"));
    return 0;
}

static void the_service_thread_is_where_it_was_bound(void **state)
{
    (void)state;
    assert_int_equal(run_with(see_service, NULL, OPTIONS(.workers = 1, .reactor_bind = "pu:0")), 0);
    assert_int_equal(run_with(see_service, NULL, OPTIONS(.workers = 1, .reactor_bind = "pu:4095")), -EINVAL);
    assert_true(reported("reactor_bind"));
    assert_true(reported("4095"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unbound_workers_are_left_alone),
        cmocka_unit_test(cores_before_their_second_processors),
        cmocka_unit_test(a_processor_each),
        cmocka_unit_test(a_memory_node_each),
        cmocka_unit_test(a_list_names_objects),
        cmocka_unit_test(what_is_not_there_is_an_error_with_a_reason),
        cmocka_unit_test(near_victims_come_before_far_ones),
        cmocka_unit_test(small_and_uneven_machines),
        cmocka_unit_test(without_hwloc_the_plan_is_unbound_and_usable),
        cmocka_unit_test(the_quota_of_group_and_ancestors_bounds_the_workers),
        cmocka_unit_test(workers_are_where_they_were_bound),
        cmocka_unit_test(the_service_thread_is_where_it_was_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
