/*
 * topology.c - see topology.h.
 */
#include "topology.h"

#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

/* ---- how many ----------------------------------------------------------------------------------------------------------- */

/* Processors' worth of quota in one group's directory, rounded up; 0: none. */
static int quota_in(const char *directory, bool v2)
{
    char path[1400], text[128];
    long long quota = -1, period = 0;
    if (v2) {
        snprintf(path, sizeof path, "%s/cpu.max", directory);
        if (yoke__os_read_file(path, text, sizeof text) <= 0 || sscanf(text, "%lld %lld", &quota, &period) != 2)
            return 0;
    } else {
        snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", directory);
        if (yoke__os_read_file(path, text, sizeof text) <= 0 || sscanf(text, "%lld", &quota) != 1)
            return 0;
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", directory);
        if (yoke__os_read_file(path, text, sizeof text) <= 0 || sscanf(text, "%lld", &period) != 1)
            return 0;
    }
    return quota <= 0 || period <= 0 ? 0 : (int)((quota + period - 1) / period);
}

/* The least quota from the group up to the root of its hierarchy. */
static int quota_upwards(const char *mount, const char *group, bool v2)
{
    char directory[1300];
    int n = snprintf(directory, sizeof directory, "%s%s", mount, strcmp(group, "/") == 0 ? "" : group);
    size_t root = strlen(mount);
    int least = 0;
    if (n < 0 || (size_t)n >= sizeof directory)
        return 0;
    for (;;) {
        int quota = quota_in(directory, v2);
        if (quota > 0 && (least == 0 || quota < least))
            least = quota;
        char *slash = strrchr(directory, '/');
        if (slash == NULL || (size_t)(slash - directory) < root)
            return least;
        *slash = '\0';
    }
}

int yoke__topology_quota(const char *root)
{
    char path[512], text[8192];
    if (root == NULL)
        root = "";
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (yoke__os_read_file(path, text, sizeof text) <= 0)
        return 0;
    int least = 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL)
            continue;
        *group++ = '\0';
        controllers++;
        bool v2 = *controllers == '\0';
        char mount[600], padded[300];
        snprintf(padded, sizeof padded, ",%s,", controllers);
        if (!v2 && strstr(padded, ",cpu,") == NULL)
            continue;
        if (v2)
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
        else
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/%s", root, controllers);
        int quota = quota_upwards(mount, group, v2);
        if (quota > 0 && (least == 0 || quota < least))
            least = quota;
    }
    return least;
}

int yoke__topology_usable_cpus(const char *root, char *origin, size_t cap)
{
    cpu_set_t set;
    int cpus = yoke__os_affinity(&set, sizeof set) < 0 ? 1 : CPU_COUNT(&set);
    int quota = yoke__topology_quota(root);
    if (quota > 0 && quota < cpus) {
        snprintf(origin, cap, "default: control group's CPU quota");
        return quota;
    }
    snprintf(origin, cap, "default: affinity mask");
    return cpus < 1 ? 1 : cpus;
}

/* ---- specifications ------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    hwloc_obj_type_t type;
} types[] = { { "core", HWLOC_OBJ_CORE }, { "pu", HWLOC_OBJ_PU }, { "numa", HWLOC_OBJ_NUMANODE }, { "package", HWLOC_OBJ_PACKAGE } };

enum { STEPS = 4 };

/* One step of a path: type and a range of logical indices inside the object before it. */
struct step {
    hwloc_obj_type_t type;
    unsigned first, last;
};

/* Reads "package:1.core:0-3" up to the comma or the end; NULL: not of that form. */
static const char *parse_path(const char *text, struct step steps[STEPS], int *n)
{
    for (*n = 0; *n < STEPS; text++) {
        struct step *s = &steps[*n];
        size_t length = strcspn(text, ":,."), known = 0;
        while (known < sizeof types / sizeof *types && (strlen(types[known].name) != length || strncmp(types[known].name, text, length) != 0))
            known++;
        if (known == sizeof types / sizeof *types || text[length] != ':')
            return NULL;
        s->type = types[known].type;
        text += length + 1;
        char *end;
        if (*text < '0' || *text > '9')
            return NULL;
        s->first = s->last = (unsigned)strtoul(text, &end, 10);
        if (*end == '-' && end[1] >= '0' && end[1] <= '9')
            s->last = (unsigned)strtoul(end + 1, &end, 10);
        if (s->last < s->first || s->last > 65535)
            return NULL;
        ++*n;
        text = end;
        if (*text == ',' || *text == '\0')
            return text;
        if (*text != '.')
            return NULL;
    }
    return NULL;
}

static bool is_word(const char *spec)
{
    return strcmp(spec, "none") == 0 || strcmp(spec, "core") == 0 || strcmp(spec, "pu") == 0 || strcmp(spec, "numa") == 0;
}

int yoke__topology_check_spec(const char *spec, char *why, size_t cap)
{
    struct step steps[STEPS];
    int n;
    const char *at = spec;
    if (is_word(spec))
        return 0;
    do {
        const char *item = at;
        at = parse_path(at, steps, &n);
        if (at == NULL) {
            snprintf(why, cap, "'%s' is none of none, core, pu, numa, or a list such as core:0-3,package:1.core:0", item);
            return -EINVAL;
        }
    } while (*at++ == ',');
    return 0;
}

/* ---- expanding ---------------------------------------------------------------------------------------------------------- */

struct places {
    hwloc_bitmap_t *sets;
    int count, cap;
};

static int add_place(struct places *places, hwloc_const_bitmap_t set)
{
    if (places->count == places->cap) {
        int cap = places->cap == 0 ? 64 : places->cap * 2;
        hwloc_bitmap_t *sets = realloc(places->sets, (size_t)cap * sizeof *sets);
        if (sets == NULL)
            return -ENOMEM;
        places->sets = sets;
        places->cap = cap;
    }
    hwloc_bitmap_t copy = hwloc_bitmap_dup(set);
    if (copy == NULL)
        return -ENOMEM;
    places->sets[places->count++] = copy;
    return 0;
}

static void free_places(struct places *places)
{
    for (int i = 0; i < places->count; i++)
        hwloc_bitmap_free(places->sets[i]);
    free(places->sets);
}

/* Logical index-th object of a type inside `set`, NUMA nodes included. */
static hwloc_obj_t object_inside(hwloc_topology_t t, hwloc_const_bitmap_t set, hwloc_obj_type_t type, unsigned index)
{
    hwloc_obj_t obj = NULL;
    while ((obj = hwloc_get_next_obj_by_type(t, type, obj)) != NULL)
        if (obj->cpuset != NULL && !hwloc_bitmap_iszero(obj->cpuset) && hwloc_bitmap_isincluded(obj->cpuset, set) && index-- == 0)
            return obj;
    return NULL;
}

static int expand_path(hwloc_topology_t t, const struct step *steps, int n, hwloc_const_bitmap_t inside, struct places *places, char *why, size_t cap)
{
    for (unsigned i = steps->first; i <= steps->last; i++) {
        hwloc_obj_t obj = object_inside(t, inside, steps->type, i);
        if (obj == NULL) {
            snprintf(why, cap, "this machine has no such object: %s number %u", hwloc_obj_type_string(steps->type), i);
            return -EINVAL;
        }
        int rc = n > 1 ? expand_path(t, steps + 1, n - 1, obj->cpuset, places, why, cap) : add_place(places, obj->cpuset);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Every core's first PU, then every core's second, ... */
static int expand_pus(hwloc_topology_t t, struct places *places)
{
    int found = 1, rc = 0;
    for (unsigned k = 0; found > 0 && rc == 0; k++) {
        hwloc_obj_t core = NULL;
        found = 0;
        while (rc == 0 && (core = hwloc_get_next_obj_by_type(t, HWLOC_OBJ_CORE, core)) != NULL) {
            hwloc_obj_t pu = object_inside(t, core->cpuset, HWLOC_OBJ_PU, k);
            if (pu != NULL) {
                found++;
                rc = add_place(places, pu->cpuset);
            }
        }
    }
    return rc;
}

static int expand(hwloc_topology_t t, const char *spec, struct places *places, char *why, size_t cap)
{
    hwloc_const_bitmap_t all = hwloc_get_root_obj(t)->cpuset;
    struct step steps[STEPS];
    int n, rc = 0;
    if (strcmp(spec, "pu") == 0)
        return expand_pus(t, places);
    if (is_word(spec)) {
        hwloc_obj_type_t type = strcmp(spec, "core") == 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_NUMANODE;
        for (hwloc_obj_t obj = NULL; rc == 0 && (obj = hwloc_get_next_obj_by_type(t, type, obj)) != NULL;)
            if (!hwloc_bitmap_iszero(obj->cpuset))
                rc = add_place(places, obj->cpuset);
        if (rc == 0 && places->count == 0) /* a machine that tells no cores: its processors then */
            rc = expand_pus(t, places);
        return rc == 0 && places->count == 0 ? add_place(places, all) : rc;
    }
    do {
        spec = parse_path(spec, steps, &n);
        if (spec == NULL)
            return -EINVAL;
        rc = expand_path(t, steps, n, all, places, why, cap);
    } while (rc == 0 && *spec++ == ',');
    return rc;
}

static int load(hwloc_topology_t *t, const char *synthetic)
{
    if (hwloc_topology_init(t) < 0)
        return -ENOMEM;
    if ((synthetic != NULL && hwloc_topology_set_synthetic(*t, synthetic) < 0) || hwloc_topology_load(*t) < 0) {
        hwloc_topology_destroy(*t);
        return -ENOTSUP;
    }
    if (synthetic == NULL) { /* no processor that this process may not use */
        hwloc_bitmap_t mine = hwloc_bitmap_alloc();
        if (mine != NULL && hwloc_get_cpubind(*t, mine, HWLOC_CPUBIND_PROCESS) == 0)
            (void)hwloc_topology_restrict(*t, mine, 0); /* an empty intersection is refused: all then */
        hwloc_bitmap_free(mine);
    }
    return 0;
}

static void to_cpu_set(hwloc_const_bitmap_t from, cpu_set_t *to)
{
    CPU_ZERO(to);
    for (int cpu = hwloc_bitmap_first(from); cpu >= 0 && cpu < CPU_SETSIZE; cpu = hwloc_bitmap_next(from, cpu))
        CPU_SET((size_t)cpu, to);
}

/* ---- planning ----------------------------------------------------------------------------------------------------------- */

/* Everybody is equally near. */
static void flat_order(struct yoke__plan *plan, int workers)
{
    for (int i = 0; i < workers; i++) {
        for (int j = 0; j < workers - 1; j++)
            plan->victims[i * workers + j] = (i + 1 + j) % workers;
        plan->nlevels[i] = workers > 1;
        plan->levels[i * workers] = workers - 1;
    }
}

/* The deeper the object that covers both, the nearer. */
static void near_order(struct yoke__plan *plan, int workers, hwloc_topology_t t, const struct places *places)
{
    hwloc_bitmap_t both = hwloc_bitmap_alloc();
    for (int i = 0; i < workers && both != NULL; i++) {
        int *victims = plan->victims + i * workers, *levels = plan->levels + i * workers, depths[1024], n = 0;
        for (int j = 1; j < workers; j++) {
            int other = (i + j) % workers, at = n++;
            hwloc_bitmap_or(both, places->sets[i % places->count], places->sets[other % places->count]);
            hwloc_obj_t cover = hwloc_get_obj_covering_cpuset(t, both);
            int depth = cover != NULL ? cover->depth : 0;
            for (; at > 0 && depths[at - 1] < depth; at--) {
                depths[at] = depths[at - 1];
                victims[at] = victims[at - 1];
            }
            depths[at] = depth;
            victims[at] = other;
        }
        plan->nlevels[i] = 0;
        for (int j = 0; j < n; j++)
            if (j + 1 == n || depths[j + 1] != depths[j])
                levels[plan->nlevels[i]++] = j + 1;
    }
    hwloc_bitmap_free(both);
}

int yoke__topology_plan(struct yoke__plan *plan, int workers, const char *bind, bool random_order, bool use_hwloc, const char *synthetic,
                        char *why, size_t cap)
{
    size_t square = (size_t)workers * (size_t)workers;
    struct places places = { NULL, 0, 0 };
    hwloc_topology_t t;
    *plan = (struct yoke__plan){ .victims = yoke__os_alloc(square * sizeof(int), 8),
                                 .levels = yoke__os_alloc(square * sizeof(int), 8),
                                 .nlevels = yoke__os_alloc((size_t)workers * sizeof(int), 8),
                                 .sets = yoke__os_alloc((size_t)workers * sizeof(cpu_set_t), 8) };
    if (plan->victims == NULL || plan->levels == NULL || plan->nlevels == NULL || plan->sets == NULL) {
        yoke__topology_free(plan);
        return -ENOMEM;
    }
    flat_order(plan, workers);
    if (strcmp(bind, "none") == 0)
        return 0;
    int rc = use_hwloc ? load(&t, synthetic) : -ENOTSUP;
    if (rc < 0) {
        snprintf(why, cap, use_hwloc ? "the topology cannot be loaded" : "hwloc is off");
        if (rc != -ENOTSUP)
            yoke__topology_free(plan);
        return rc;
    }
    rc = expand(t, bind, &places, why, cap);
    if (rc == 0) {
        for (int i = 0; i < workers; i++)
            to_cpu_set(places.sets[i % places.count], &plan->sets[i]);
        plan->bound = true;
        if (!random_order)
            near_order(plan, workers, t, &places);
    }
    free_places(&places);
    hwloc_topology_destroy(t);
    if (rc < 0)
        yoke__topology_free(plan);
    return rc;
}

void yoke__topology_free(struct yoke__plan *plan)
{
    yoke__os_free(plan->victims);
    yoke__os_free(plan->levels);
    yoke__os_free(plan->nlevels);
    yoke__os_free(plan->sets);
    *plan = (struct yoke__plan){ .bound = false };
}

int yoke__topology_service(const char *bind, bool use_hwloc, cpu_set_t *set, bool *bound, char *why, size_t cap)
{
    struct places places = { NULL, 0, 0 };
    hwloc_topology_t t;
    *bound = false;
    if (strcmp(bind, "none") == 0)
        return 0;
    int rc = use_hwloc ? load(&t, NULL) : -ENOTSUP;
    if (rc < 0) {
        snprintf(why, cap, use_hwloc ? "the topology cannot be loaded" : "hwloc is off");
        return rc;
    }
    rc = expand(t, bind, &places, why, cap);
    CPU_ZERO(set);
    for (int i = 0; rc == 0 && i < places.count; i++) {
        cpu_set_t one;
        to_cpu_set(places.sets[i], &one);
        CPU_OR(set, set, &one);
    }
    *bound = rc == 0;
    free_places(&places);
    hwloc_topology_destroy(t);
    return rc;
}
