/* Settings: every key from every source, what is refused and how that is told, which source wins, and the showing of origins. */
#include "support.h"

#include <sys/stat.h>

#include "config.h"
#include "platform.h"
#include "topology.h"

/* ---- what each key takes ---- */

enum kind { INT, SIZE, LONG, TEXT }; /* the type of the option's field */

struct value {
    const char *text;
    int64_t number;    /* as stored; of a specification: unused */
    const char *shown; /* NULL: like text */
};

struct refusal {
    const char *text, *why;
};

#define FIELD(name) #name, offsetof(struct yoke__config, name), offsetof(yoke_options, name)
#define ON_OFF { { "on", 1, NULL }, { "off", 0, NULL } }
#define NOT_ON_OFF { { "yes", "must be one of off, on" }, { "1", "must be one of off, on" }, { "On", "must be one of off, on" } }

/* a bound of 1 .. 4096 threads */
#define THREADS { { "1", 1, NULL }, { "4096", 4096, NULL } }
#define NOT_THREADS \
    { { "0", "must be from 1 to 4096" }, { "4097", "must be from 1 to 4096" }, { "-1", "must be from 1 to 4096" }, { "4K", "not a whole number" } }

static const struct key {
    enum yoke__setting setting;
    enum kind kind;
    const char *key;
    size_t field, option;
    const char *fallback; /* as shown; NULL: depends on the machine */
    struct value good[8];
    struct refusal bad[12];
} keys[] = {
    { YOKE__SET_WORKERS,
      INT,
      FIELD(workers),
      NULL,
      { { "3", 3, NULL }, { "1024", 1024, NULL }, { "1", 1, NULL } },
      { { "0", "must be from 1 to 1024" },
        { "1025", "must be from 1 to 1024" },
        { "-1", "must be from 1 to 1024" },
        { "two", "not a whole number" },
        { "2x", "not a whole number" },
        { "2.5", "not a whole number" },
        { "2K", "not a whole number" },
        { "99999999999999999999", "not a whole number" } } },
    { YOKE__SET_BIND,
      TEXT,
      FIELD(bind),
      "none",
      { { "core", 0, NULL }, { "pu", 0, NULL }, { "numa", 0, NULL }, { "none", 0, NULL }, { "core:0-3,package:1.core:0", 0, NULL } },
      { { "sideways", "none of none, core, pu, numa, or a list" },
        { "core:", "none of none" },
        { "core:0,", "none of none" },
        { "core:3-1", "none of none" } } },
    { YOKE__SET_REACTOR_BIND,
      TEXT,
      FIELD(reactor_bind),
      "none",
      { { "numa:0", 0, NULL }, { "pu", 0, NULL } },
      { { "left", "none of none, core, pu, numa, or a list" }, { "pu:x", "none of none" } } },
    { YOKE__SET_STACK_SIZE,
      SIZE,
      FIELD(stack_size),
      "65536",
      { { "32768", 32768, NULL },
        { "128K", 131072, "131072" },
        { "256KiB", 262144, "262144" },
        { "1M", 1048576, "1048576" },
        { "2MiB", 2097152, "2097152" },
        { "1073741824", 1073741824, NULL } },
      { { "48K", "must be a power of two" },
        { "65537", "must be a power of two" },
        { "16K", "must be from 32768 to 1073741824" },
        { "2048M", "must be from 32768 to 1073741824" },
        { "-64K", "must be from 32768 to 1073741824" },
        { "64k", "not a whole number with an optional unit" },
        { "64 K", "not a whole number with an optional unit" },
        { "64us", "not a whole number with an optional unit" },
        { "9223372036854775807K", "not a whole number with an optional unit" },
        { "big", "not a whole number with an optional unit" } } },
    { YOKE__SET_GUARDS,
      TEXT,
      FIELD(guards),
      "auto",
      { { "light", YOKE__GUARDS_LIGHT, NULL },
        { "mprotect", YOKE__GUARDS_MPROTECT, NULL },
        { "none", YOKE__GUARDS_NONE, NULL },
        { "auto", YOKE__GUARDS_AUTO, NULL } },
      { { "off", "must be one of auto, light, mprotect, none" }, { "ligh", "must be one of auto" }, { "light1", "must be one of auto" } } },
    { YOKE__SET_SPIN,
      LONG,
      FIELD(spin_ns),
      "50000",
      { { "-1", -1, NULL },
        { "70", 70, NULL },
        { "500ns", 500, "500" },
        { "70us", 70000, "70000" },
        { "3ms", 3000000, "3000000" },
        { "1000000000", 1000000000, NULL } },
      { { "-2", "must be from -1 to 1000000000" },
        { "1001ms", "must be from -1 to 1000000000" },
        { "1s", "not a whole number with an optional unit" },
        { "3M", "not a whole number with an optional unit" },
        { "9223372036854775807ms", "not a whole number with an optional unit" },
        { "ms", "not a whole number with an optional unit" } } },
    { YOKE__SET_STEAL_ORDER,
      TEXT,
      "steal_order",
      offsetof(struct yoke__config, steal_random),
      offsetof(yoke_options, steal_order),
      "near",
      { { "random", 1, NULL }, { "near", 0, NULL } },
      { { "far", "must be one of near, random" } } },
    { YOKE__SET_MEMBARRIER, TEXT, FIELD(membarrier), "on", ON_OFF, NOT_ON_OFF },
    { YOKE__SET_SLICE, TEXT, FIELD(slice), "on", ON_OFF, NOT_ON_OFF },
    { YOKE__SET_HWLOC, TEXT, FIELD(hwloc), "on", ON_OFF, NOT_ON_OFF },
    { YOKE__SET_IO_URING, TEXT, FIELD(io_uring), "on", ON_OFF, NOT_ON_OFF },
    { YOKE__SET_POOL_FILES, INT, FIELD(pool_files), "16", THREADS, NOT_THREADS },
    { YOKE__SET_POOL_NAMES, INT, FIELD(pool_names), "4", THREADS, NOT_THREADS },
    { YOKE__SET_POOL_USER, INT, FIELD(pool_user), "16", THREADS, NOT_THREADS },
    { YOKE__SET_REPORT_K,
      INT,
      FIELD(report_k),
      "64",
      { { "1", 1, NULL }, { "1000000", 1000000, NULL } },
      { { "0", "must be from 1 to 1000000" }, { "1000001", "must be from 1 to 1000000" }, { "many", "not a whole number" } } },
    { YOKE__SET_STOP_GRACE,
      LONG,
      FIELD(stop_grace),
      "5000000000",
      { { "-1", -1, NULL }, { "1500ms", 1500000000, "1500000000" }, { "9223372036854775807", INT64_MAX, NULL } },
      { { "-2", "must be from -1 to 9223372036854775807" }, { "soon", "not a whole number with an optional unit" } } },
    { YOKE__SET_HARD_AFTER,
      LONG,
      FIELD(hard_after),
      "0",
      { { "30000ms", 30000000000, "30000000000" }, { "1", 1, NULL } },
      { { "-1", "must be from 0 to 9223372036854775807" }, { "off", "not a whole number with an optional unit" } } },
    { YOKE__SET_DEBUG, TEXT, FIELD(debug), "off", ON_OFF, NOT_ON_OFF },
    { YOKE__SET_MIGRATE,
      TEXT,
      FIELD(migrate),
      "off",
      { { "always", 1, NULL }, { "off", 0, NULL } },
      { { "on", "must be one of off, always" }, { "sometimes", "must be one of off, always" } } },
    { YOKE__SET_OVERFLOW_HANDLER, TEXT, FIELD(overflow_handler), "off", ON_OFF, NOT_ON_OFF },
    { YOKE__SET_DEADLOCK, TEXT, FIELD(deadlock), "on", ON_OFF, NOT_ON_OFF },
};
enum { KEYS = sizeof keys / sizeof *keys };

/* ---- sources ---- */

static struct yoke__config config;
static char error[YOKE__CONFIG_ERROR];
static char directory[] = "/tmp/yoke-test-XXXXXX", path[256];

static const char *variable(const struct key *k)
{
    static char name[64];
    size_t n = (size_t)snprintf(name, sizeof name, "YOKE_%s", k->key);
    for (size_t i = 0; i < n; i++)
        name[i] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 'a' + 'A' : name[i]);
    return name;
}

static void forget_all(void)
{
    for (int i = 0; i < KEYS; i++)
        unsetenv(variable(&keys[i]));
    unsetenv("YOKE_CONFIG");
    unsetenv("YOKE_SHOW_CONFIG");
    unlink(path);
}

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void put(const char *format, ...)
{
    va_list ap;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    va_start(ap, format);
    vfprintf(f, format, ap);
    va_end(ap);
    assert_int_equal(fclose(f), 0);
}

static int settle(const yoke_options *options)
{
    memset(&config, 0xa5, sizeof config);
    memset(error, 'x', sizeof error);
    return yoke__config_load(&config, options, error);
}

static int settle_by_file(void)
{
    return settle(YOKE_OPTIONS(.config_file = path));
}

/* As an application would: numbers as numbers. */
static yoke_options option(const struct key *k, const char *text, int64_t number)
{
    yoke_options options = { .size = sizeof options };
    char *at = (char *)&options + k->option;
    switch (k->kind) {
    case INT:
        *(int *)(void *)at = (int)number;
        break;
    case SIZE:
        *(size_t *)(void *)at = (size_t)number;
        break;
    case LONG:
        *(int64_t *)(void *)at = number;
        break;
    case TEXT:
        *(const char **)(void *)at = text;
        break;
    }
    return options;
}

static bool is_spec(const struct key *k)
{
    return k->setting == YOKE__SET_BIND || k->setting == YOKE__SET_REACTOR_BIND;
}

static void assert_value(const struct key *k, const struct value *v, const char *origin)
{
    const char *field = (const char *)&config + k->field;
    if (is_spec(k))
        assert_string_equal(field, v->text);
    else
        assert_int_equal(*(const int64_t *)(const void *)field, v->number);
    assert_string_equal(config.origin[k->setting], origin);
    assert_string_equal(config.note[k->setting], "");
    assert_string_equal(error, "");
}

/* "ORIGIN: KEY = VALUE: ... WHY ..." */
static void assert_refused(int rc, const char *origin, const char *key, const char *text, const char *why)
{
    char head[512];
    assert_int_equal(rc, -EINVAL);
    snprintf(head, sizeof head, "%s: %s = %s: ", origin, key, text);
    if (strncmp(error, head, strlen(head)) != 0)
        fail_msg("'%s' should begin with '%s'", error, head);
    if (strstr(error + strlen(head), why) == NULL)
        fail_msg("'%s' should say '%s'", error, why);
}

/* ---- one key, one source ---- */

static void the_table_above_is_complete(void **state)
{
    (void)state;
    assert_int_equal(KEYS, YOKE__SETTINGS);
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(keys[i].setting, i);
}

static void options_are_taken(void **state)
{
    (void)state;
    forget_all();
    for (const struct key *k = keys; k < keys + KEYS; k++)
        for (const struct value *v = k->good; v->text != NULL; v++) {
            yoke_options options = option(k, v->text, v->number);
            assert_int_equal(settle(&options), 0);
            assert_value(k, v, "options");
        }
}

static void variables_are_taken(void **state)
{
    (void)state;
    for (const struct key *k = keys; k < keys + KEYS; k++)
        for (const struct value *v = k->good; v->text != NULL; v++) {
            char origin[80];
            forget_all();
            setenv(variable(k), v->text, 1);
            snprintf(origin, sizeof origin, "environment %s", variable(k));
            assert_int_equal(settle(YOKE_OPTIONS(.workers = 0)), 0);
            assert_value(k, v, origin);
        }
}

static void lines_of_a_file_are_taken(void **state)
{
    (void)state;
    forget_all();
    for (const struct key *k = keys; k < keys + KEYS; k++)
        for (const struct value *v = k->good; v->text != NULL; v++) {
            char origin[300];
            put("; a comment\n\n[yoke]\n%s = %s\n", k->key, v->text);
            snprintf(origin, sizeof origin, "%s:4", path);
            assert_int_equal(settle_by_file(), 0);
            assert_value(k, v, origin);
        }
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    forget_all();
    for (const struct key *k = keys; k < keys + KEYS; k++)
        for (const struct refusal *r = k->bad; r->text != NULL; r++) {
            char *end;
            int64_t number = strtoll(r->text, &end, 10);
            if (k->kind != TEXT && (*end != '\0' || number == 0 || number == INT64_MAX))
                continue; /* cannot be said in an option; 0 is "not given" */
            yoke_options options = option(k, r->text, number);
            assert_refused(settle(&options), "options", k->key, r->text, r->why);
        }
    assert_refused(settle(YOKE_OPTIONS(.stack_size = SIZE_MAX)), "options", "stack_size", "9223372036854775807", "must be from");
    assert_refused(settle(YOKE_OPTIONS(.guards = "")), "options", "guards", "", "must be one of"); /* NULL is "not given" */
}

static void bad_variables_are_refused(void **state)
{
    (void)state;
    for (const struct key *k = keys; k < keys + KEYS; k++)
        for (const struct refusal *r = k->bad; r->text != NULL; r++) {
            char origin[80];
            forget_all();
            setenv(variable(k), r->text, 1);
            snprintf(origin, sizeof origin, "environment %s", variable(k));
            assert_refused(settle(YOKE_OPTIONS(.workers = 0)), origin, k->key, r->text, r->why);
        }
}

static void bad_lines_are_refused(void **state)
{
    (void)state;
    forget_all();
    int lines = 0; /* before the bad one */
    for (const struct key *k = keys; k < keys + KEYS; k++)
        for (const struct refusal *r = k->bad; r->text != NULL; r++) {
            char before[64] = "", origin[300];
            for (int i = 0; i < lines; i++)
                strcat(before, i % 3 == 0 ? "\n" : i % 3 == 1 ? "# no\n" : " \t\n");
            put("%s[yoke]\n%s = %s\nslice = on\n", before, k->key, r->text);
            snprintf(origin, sizeof origin, "%s:%d", path, lines + 2);
            assert_refused(settle_by_file(), origin, k->key, r->text, r->why);
            lines = (lines + 1) % 10;
        }
    put("[yoke]\nworkers =\n");
    assert_int_equal(settle_by_file(), -EINVAL);
    assert_non_null(strstr(error, ":2: workers = : not a whole number"));
}

/* What fits is taken, what does not is refused, not cut. */
static void a_specification_may_be_long_but_not_too_long(void **state)
{
    (void)state;
    char spec[YOKE__CONFIG_SPEC + 1];
    for (size_t length = YOKE__CONFIG_SPEC - 1; length <= YOKE__CONFIG_SPEC; length++) {
        memset(spec, '0', length); /* core:000...000 */
        memcpy(spec, "core:", 5);
        spec[length] = '\0';
        const struct value value = { spec, 0, NULL };
        for (int source = 0; source < 2; source++) {
            const char *origin = source == 0 ? "environment YOKE_BIND" : "options";
            forget_all();
            if (source == 0)
                setenv("YOKE_BIND", spec, 1);
            int rc = settle(YOKE_OPTIONS(.bind = source == 1 ? spec : NULL));
            if (length < YOKE__CONFIG_SPEC) {
                assert_int_equal(rc, 0);
                assert_value(&keys[YOKE__SET_BIND], &value, origin);
            } else {
                assert_refused(rc, origin, "bind", spec, "too long");
            }
        }
    }
}

/* In a file, where lines are shorter, too; and a comment behind it does not count. */
static void a_line_may_be_long_but_not_too_long(void **state)
{
    (void)state;
    char spec[300], origin[300], comment[300];
    int taken = 0, refused = 0;
    forget_all();
    memset(comment, '=', sizeof comment - 1);
    comment[sizeof comment - 1] = '\0';
    for (size_t length = 150; length < YOKE__CONFIG_SPEC; length++) {
        memset(spec, '0', length);
        for (size_t at = 0; at + 8 <= length; at += 8)
            memcpy(spec + at, "core:10,", 8);
        spec[length - 1] = '0';
        memcpy(spec, "core:", 5);
        spec[length] = '\0';
        if (yoke__topology_check_spec(spec, error, sizeof error) < 0)
            continue;
        put("[yoke]\nworkers = 2\nbind = %s ; %s\n", spec, comment);
        snprintf(origin, sizeof origin, "%s:3", path);
        const struct value value = { spec, 0, NULL };
        if (settle_by_file() == 0) {
            assert_value(&keys[YOKE__SET_BIND], &value, origin);
            assert_int_equal(refused, 0);
            taken++;
        } else {
            assert_memory_equal(error, origin, strlen(origin));
            assert_non_null(strstr(error, "too long"));
            refused++;
        }
    }
    assert_true(taken > 0);
}

/* However long the value is, the reason is told. */
static void a_long_value_does_not_hide_the_reason(void **state)
{
    (void)state;
    static char value[2000];
    forget_all();
    memset(value, 'v', sizeof value - 1);
    setenv("YOKE_WORKERS", value, 1);
    assert_int_equal(settle(YOKE_OPTIONS(.workers = 0)), -EINVAL);
    assert_memory_equal(error, "environment YOKE_WORKERS: workers = vvvvvvvvvv", 46);
    assert_non_null(strstr(error, ": not a whole number"));
    unsetenv("YOKE_WORKERS");
    assert_int_equal(settle(YOKE_OPTIONS(.guards = value)), -EINVAL);
    assert_non_null(strstr(error, ": must be one of auto, light, mprotect, none"));
}

/* ---- the file ---- */

static void what_a_file_may_look_like(void **state)
{
    (void)state;
    forget_all();
    put("; ends of lines from elsewhere, other programs' settings\r\n"
        "workers = 900\n"
        "[other]\n"
        "workers = 901\n"
        "colour = green\n"
        " \t[yoke] ; ours\r\n"
        "\tworkers = 5 ; not 6\r\n"
        "#workers = 7\n"
        "  debug=on  \r\n"
        "[yokel]\n"
        "workers = 902\n"
        "neither key nor value\n"
        "[yoke]\n"
        "pool_user = 9\n"
        "pool_user = 10\n"
        "slice = off"); /* without an end */
    assert_int_equal(settle_by_file(), 0);
    assert_int_equal(config.workers, 5);
    assert_int_equal(config.debug, 1);
    assert_int_equal(config.pool_user, 10); /* the last one */
    assert_int_equal(config.slice, 0);
    char origin[300];
    snprintf(origin, sizeof origin, "%s:7", path);
    assert_string_equal(config.origin[YOKE__SET_WORKERS], origin);
    snprintf(origin, sizeof origin, "%s:15", path);
    assert_string_equal(config.origin[YOKE__SET_POOL_USER], origin);
    snprintf(origin, sizeof origin, "%s:16", path);
    assert_string_equal(config.origin[YOKE__SET_SLICE], origin);
    assert_string_equal(config.origin[YOKE__SET_POOL_FILES], "default");
    put("\xef\xbb\xbf[yoke]\nworkers = 6\n");
    assert_int_equal(settle_by_file(), 0);
    assert_int_equal(config.workers, 6);
    put("%s", "");
    assert_int_equal(settle_by_file(), 0);
}

static void what_a_file_must_not_contain(void **state)
{
    (void)state;
    char origin[300];
    forget_all();
    put("[yoke]\n\nwrokers = 3\n");
    snprintf(origin, sizeof origin, "%s:3", path);
    assert_refused(settle_by_file(), origin, "wrokers", "3", "unknown key");
    put("[yoke]\nworkers = 3\nWORKERS = 3\n"); /* keys are lower case */
    assert_refused(settle_by_file(), origin, "WORKERS", "3", "unknown key");
    static const char *const no_lines[] = { "workers", "[yoke", "just words" };
    for (size_t i = 0; i < sizeof no_lines / sizeof *no_lines; i++) {
        char begin[400];
        put("[yoke]\nworkers = 3\n%s\n", no_lines[i]);
        assert_int_equal(settle_by_file(), -EINVAL);
        snprintf(begin, sizeof begin, "%s: not a line of the form key = value: %s", origin, no_lines[i]);
        assert_string_equal(error, begin);
    }
    put("[yoke]\nworkers = 2000\npool_user = 5000\n"); /* the first of several errors */
    snprintf(origin, sizeof origin, "%s:2", path);
    assert_refused(settle_by_file(), origin, "workers", "2000", "must be from");
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    char text[400];
    forget_all();
    assert_int_equal(settle_by_file(), -ENOENT);
    snprintf(text, sizeof text, "%s: cannot be read: %s", path, strerror(ENOENT));
    assert_string_equal(error, text);
    setenv("YOKE_CONFIG", path, 1);
    assert_int_equal(settle(YOKE_OPTIONS(.workers = 1)), -ENOENT);
    assert_string_equal(error, text);
    assert_int_equal(settle(YOKE_OPTIONS(.config_file = directory)), -EISDIR);
    put("[yoke]\n");
    yoke__os_fault_set(YOKE__OS_READ, 1, EIO);
    assert_int_equal(settle_by_file(), -EIO);
    yoke__os_fault_clear();
    snprintf(text, sizeof text, "%s: cannot be read: %s", path, strerror(EIO));
    assert_string_equal(error, text);
}

static void a_file_for_which_there_is_no_memory_is_an_error(void **state)
{
    (void)state;
    forget_all();
    put("[yoke]\n");
    yoke__os_fault_set(YOKE__OS_ALLOC, 1, ENOMEM);
    assert_int_equal(settle_by_file(), -ENOMEM);
    yoke__os_fault_clear();
    assert_non_null(strstr(error, path)); /* and it is said */
}

/* However long the path is, the line is told. */
static void a_long_path_does_not_hide_the_line(void **state)
{
    (void)state;
    char name[256], longer[512];
    forget_all();
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(longer, sizeof longer, "%s/%s", directory, name);
    put("[yoke]\nslice = off\nworkers = none\n");
    assert_int_equal(rename(path, longer), 0);
    int rc = settle(YOKE_OPTIONS(.config_file = longer));
    assert_int_equal(rename(longer, path), 0);
    assert_int_equal(rc, -EINVAL);
    assert_non_null(strstr(error, "nnn:3: workers = none: not a whole number"));
    assert_non_null(strstr(config.origin[YOKE__SET_SLICE], "nnn:2"));
}

/* Nothing of a file is ignored because it is long: either all of it is read or none. */
static void a_file_may_be_long_but_not_too_long(void **state)
{
    (void)state;
    static char text[65536];
    static const char last[] = "\n[yoke]\nworkers = 77";
    forget_all();
    for (size_t length = sizeof text - 2; length <= sizeof text - 1; length++) {
        memset(text, ';', length);
        text[length] = '\0';
        memcpy(text + length - (sizeof last - 1), last, sizeof last - 1);
        put("%s", text);
        int rc = settle_by_file();
        if (length == sizeof text - 2) {
            assert_int_equal(rc, 0);
            assert_int_equal(config.workers, 77);
        } else {
            assert_int_equal(rc, -EFBIG);
            assert_non_null(strstr(error, path));
        }
    }
}

/* ---- which one wins ---- */

static void options_over_environment_over_file_over_default(void **state)
{
    (void)state;
    for (const struct key *k = keys; k < keys + KEYS; k++) {
        const struct value *a = &k->good[0], *b = &k->good[1]; /* a is not the default */
        char in_file[300], in_environment[80];
        yoke_options options = { .size = sizeof options, .config_file = path };
        forget_all();
        assert_int_equal(settle(YOKE_OPTIONS(.workers = 0)), 0);
        assert_string_equal(error, "");
        if (k->fallback != NULL)
            assert_string_equal(config.origin[k->setting], "default");
        else
            assert_memory_equal(config.origin[k->setting], "default: ", 9); /* and what it was taken from */
        put("[yoke]\n%s = %s\n", k->key, a->text);
        snprintf(in_file, sizeof in_file, "%s:2", path);
        assert_int_equal(settle(&options), 0);
        assert_value(k, a, in_file);
        setenv(variable(k), b->text, 1);
        snprintf(in_environment, sizeof in_environment, "environment %s", variable(k));
        assert_int_equal(settle(&options), 0);
        assert_value(k, b, in_environment);
        options = option(k, a->text, a->number);
        options.config_file = path;
        assert_int_equal(settle(&options), 0);
        assert_value(k, a, "options");
        setenv(variable(k), "", 1); /* empty: as if it were not there */
        options = (yoke_options){ .size = sizeof options, .config_file = path };
        assert_int_equal(settle(&options), 0);
        assert_value(k, a, in_file);
    }
}

/* Being overruled does not make a bad value a good one. */
static void a_bad_value_is_refused_even_where_another_wins(void **state)
{
    (void)state;
    char origin[300];
    forget_all();
    put("[yoke]\nworkers = 0\n");
    snprintf(origin, sizeof origin, "%s:2", path);
    setenv("YOKE_WORKERS", "2", 1);
    assert_refused(settle(YOKE_OPTIONS(.config_file = path, .workers = 3)), origin, "workers", "0", "must be from");
    put("[yoke]\nworkers = 1\n");
    setenv("YOKE_WORKERS", "none", 1);
    assert_refused(settle(YOKE_OPTIONS(.config_file = path, .workers = 3)), "environment YOKE_WORKERS", "workers", "none", "not a whole");
    setenv("YOKE_WORKERS", "2", 1);
    assert_int_equal(settle(YOKE_OPTIONS(.config_file = path, .workers = 3)), 0);
}

static void the_option_names_the_file_before_the_environment(void **state)
{
    (void)state;
    char other[300];
    forget_all();
    snprintf(other, sizeof other, "%s/other", directory);
    put("[yoke]\nworkers = 8\n");
    assert_int_equal(rename(path, other), 0);
    put("[yoke]\nworkers = 9\n");
    setenv("YOKE_CONFIG", other, 1);
    assert_int_equal(settle(YOKE_OPTIONS(.workers = 0)), 0);
    assert_int_equal(config.workers, 8);
    assert_int_equal(settle_by_file(), 0);
    assert_int_equal(config.workers, 9);
    setenv("YOKE_CONFIG", "", 1);
    assert_int_equal(settle(YOKE_OPTIONS(.pool_user = 1)), 0);
    assert_memory_equal(config.origin[YOKE__SET_WORKERS], "default", 7);
    unlink(other);
}

/* ---- showing ---- */

static char shown[YOKE__SETTINGS + 1][1024];
static int lines;

static void keep_line(void *ctx, const char *text)
{
    assert_ptr_equal(ctx, shown);
    assert_in_range(lines, 0, YOKE__SETTINGS - 1);
    snprintf(shown[lines++], sizeof shown[0], "%s", text);
}

static void every_setting_is_shown_with_its_origin(void **state)
{
    (void)state;
    char line[400];
    forget_all();
    setenv("YOKE_SPIN_NS", "70us", 1);
    put("[yoke]\nguards = mprotect\nstack_size = 128K\n");
    assert_int_equal(settle(YOKE_OPTIONS(.workers = 3, .bind = "core:0", .config_file = path)), 0);
    yoke__config_note(&config, YOKE__SET_BIND, "not in effect: %s", "no hwloc");
    lines = 0;
    yoke__config_show(&config, keep_line, shown);
    assert_int_equal(lines, YOKE__SETTINGS);
    assert_string_equal(shown[YOKE__SET_WORKERS], "workers = 3 (options)");
    assert_string_equal(shown[YOKE__SET_BIND], "bind = core:0 (options; not in effect: no hwloc)");
    assert_string_equal(shown[YOKE__SET_SPIN], "spin_ns = 70000 (environment YOKE_SPIN_NS)");
    snprintf(line, sizeof line, "guards = mprotect (%s:2)", path);
    assert_string_equal(shown[YOKE__SET_GUARDS], line);
    snprintf(line, sizeof line, "stack_size = 131072 (%s:3)", path);
    assert_string_equal(shown[YOKE__SET_STACK_SIZE], line);
    for (const struct key *k = keys; k < keys + KEYS; k++) {
        if (strcmp(config.origin[k->setting], "default") != 0)
            continue;
        snprintf(line, sizeof line, "%s = %s (default)", k->key, k->fallback);
        assert_string_equal(shown[k->setting], line);
    }
}

static void values_are_shown_as_they_can_be_set(void **state)
{
    (void)state;
    forget_all();
    for (const struct key *k = keys; k < keys + KEYS; k++)
        for (const struct value *v = k->good; v->text != NULL; v++) {
            char line[400];
            yoke_options options = option(k, v->text, v->number);
            assert_int_equal(settle(&options), 0);
            lines = 0;
            yoke__config_show(&config, keep_line, shown);
            snprintf(line, sizeof line, "%s = %s (options)", k->key, v->shown != NULL ? v->shown : v->text);
            assert_string_equal(shown[k->setting], line);
        }
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void a_run_shows_its_settings_when_asked_to(void **state)
{
    (void)state;
    static const char *const unasked[] = { NULL, "", "0", "11" };
    forget_all();
    setenv("YOKE_SHOW_CONFIG", "1", 1);
    setenv("YOKE_POOL_USER", "7", 1);
    assert_int_equal(run(2, nothing, NULL), 0);
    assert_true(reported("yoke: workers = 2 (options)\n"));
    assert_true(reported("yoke: pool_user = 7 (environment YOKE_POOL_USER)\n"));
    assert_true(reported("yoke: report_k = 64 (default)\n"));
    for (const struct key *k = keys; k < keys + KEYS; k++) {
        char begin[80];
        snprintf(begin, sizeof begin, "yoke: %s = ", k->key);
        assert_true(reported(begin));
    }
    for (size_t i = 0; i < sizeof unasked / sizeof *unasked; i++) {
        unsetenv("YOKE_SHOW_CONFIG");
        if (unasked[i] != NULL)
            setenv("YOKE_SHOW_CONFIG", unasked[i], 1);
        assert_int_equal(run(2, nothing, NULL), 0);
        assert_string_equal(reports, "");
    }
}

static void a_run_with_a_bad_value_does_not_begin(void **state)
{
    (void)state;
    char line[400];
    forget_all();
    put("[yoke]\nslice = on\nreport_k = none\n");
    assert_int_equal(run_with(nothing, NULL, OPTIONS(.workers = 2, .config_file = path)), -EINVAL);
    snprintf(line, sizeof line, "yoke: %s:3: report_k = none: not a whole number\n", path);
    assert_string_equal(reports, line); /* this and nothing else */
    assert_int_equal(run_with(nothing, NULL, OPTIONS(.workers = 5000)), -EINVAL);
    assert_string_equal(reports, "yoke: options: workers = 5000: must be from 1 to 1024\n");
}

/* ---- */

static int make_directory(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/yoke.ini", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    forget_all();
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_above_is_complete),
        cmocka_unit_test(options_are_taken),
        cmocka_unit_test(variables_are_taken),
        cmocka_unit_test(lines_of_a_file_are_taken),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(bad_variables_are_refused),
        cmocka_unit_test(bad_lines_are_refused),
        cmocka_unit_test(a_specification_may_be_long_but_not_too_long),
        cmocka_unit_test(a_line_may_be_long_but_not_too_long),
        cmocka_unit_test(a_long_value_does_not_hide_the_reason),
        cmocka_unit_test(what_a_file_may_look_like),
        cmocka_unit_test(what_a_file_must_not_contain),
        cmocka_unit_test(a_file_that_cannot_be_read_is_an_error),
        cmocka_unit_test(a_file_for_which_there_is_no_memory_is_an_error),
        cmocka_unit_test(a_long_path_does_not_hide_the_line),
        cmocka_unit_test(a_file_may_be_long_but_not_too_long),
        cmocka_unit_test(options_over_environment_over_file_over_default),
        cmocka_unit_test(a_bad_value_is_refused_even_where_another_wins),
        cmocka_unit_test(the_option_names_the_file_before_the_environment),
        cmocka_unit_test(every_setting_is_shown_with_its_origin),
        cmocka_unit_test(values_are_shown_as_they_can_be_set),
        cmocka_unit_test(a_run_shows_its_settings_when_asked_to),
        cmocka_unit_test(a_run_with_a_bad_value_does_not_begin),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
