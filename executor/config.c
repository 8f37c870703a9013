/*
 * config.c - reading settings. One table says for each its key, kind, default and bounds; the three sources only differ in how they
 * find the text or number for a key.
 */
#include "config.h"

#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "platform.h"
#include "topology.h"

enum kind { NUMBER, BYTES, DURATION, CHOICE, SPEC };

static const char *const on_off[] = { "off", "on", NULL };
static const char *const guard_names[] = { "auto", "light", "mprotect", "none", NULL };
static const char *const orders[] = { "near", "random", NULL };
static const char *const migrations[] = { "off", "always", NULL };

#define FIELD(name) offsetof(struct yoke__config, name)
#define OPTION(name) offsetof(yoke_options, name)

static const struct setting {
    const char *key;
    enum kind kind;
    size_t field, option;
    const char *const *choices;
    int64_t fallback, least, most;
} settings[YOKE__SETTINGS] = {
    [YOKE__SET_WORKERS] = { "workers", NUMBER, FIELD(workers), OPTION(workers), NULL, 0, 1, 1024 },
    [YOKE__SET_BIND] = { "bind", SPEC, FIELD(bind), OPTION(bind), NULL, 0, 0, 0 },
    [YOKE__SET_REACTOR_BIND] = { "reactor_bind", SPEC, FIELD(reactor_bind), OPTION(reactor_bind), NULL, 0, 0, 0 },
    [YOKE__SET_STACK_SIZE] = { "stack_size", BYTES, FIELD(stack_size), OPTION(stack_size), NULL, 65536, YOKE__STACK_MIN, (int64_t)1 << 30 },
    [YOKE__SET_GUARDS] = { "guards", CHOICE, FIELD(guards), OPTION(guards), guard_names, YOKE__GUARDS_AUTO, 0, 0 },
    [YOKE__SET_SPIN] = { "spin_ns", DURATION, FIELD(spin_ns), OPTION(spin_ns), NULL, 50000, -1, 1000000000 },
    [YOKE__SET_STEAL_ORDER] = { "steal_order", CHOICE, FIELD(steal_random), OPTION(steal_order), orders, 0, 0, 0 },
    [YOKE__SET_MEMBARRIER] = { "membarrier", CHOICE, FIELD(membarrier), OPTION(membarrier), on_off, 1, 0, 0 },
    [YOKE__SET_SLICE] = { "slice", CHOICE, FIELD(slice), OPTION(slice), on_off, 1, 0, 0 },
    [YOKE__SET_HWLOC] = { "hwloc", CHOICE, FIELD(hwloc), OPTION(hwloc), on_off, 1, 0, 0 },
    [YOKE__SET_IO_URING] = { "io_uring", CHOICE, FIELD(io_uring), OPTION(io_uring), on_off, 1, 0, 0 },
    [YOKE__SET_POOL_FILES] = { "pool_files", NUMBER, FIELD(pool_files), OPTION(pool_files), NULL, 16, 1, 4096 },
    [YOKE__SET_POOL_NAMES] = { "pool_names", NUMBER, FIELD(pool_names), OPTION(pool_names), NULL, 4, 1, 4096 },
    [YOKE__SET_POOL_USER] = { "pool_user", NUMBER, FIELD(pool_user), OPTION(pool_user), NULL, 16, 1, 4096 },
    [YOKE__SET_REPORT_K] = { "report_k", NUMBER, FIELD(report_k), OPTION(report_k), NULL, 64, 1, 1000000 },
    [YOKE__SET_STOP_GRACE] = { "stop_grace", DURATION, FIELD(stop_grace), OPTION(stop_grace), NULL, 5000000000, -1, INT64_MAX },
    [YOKE__SET_HARD_AFTER] = { "hard_after", DURATION, FIELD(hard_after), OPTION(hard_after), NULL, 0, 0, INT64_MAX },
    [YOKE__SET_DEBUG] = { "debug", CHOICE, FIELD(debug), OPTION(debug), on_off, 0, 0, 0 },
    [YOKE__SET_MIGRATE] = { "migrate", CHOICE, FIELD(migrate), OPTION(migrate), migrations, 0, 0, 0 },
    [YOKE__SET_OVERFLOW_HANDLER] = { "overflow_handler", CHOICE, FIELD(overflow_handler), OPTION(overflow_handler), on_off, 0, 0, 0 },
    [YOKE__SET_DEADLOCK] = { "deadlock", CHOICE, FIELD(deadlock), OPTION(deadlock), on_off, 1, 0, 0 },
};

struct loading {
    struct yoke__config *config;
    const char *file;
    char *error;
    int rc;
};

static int64_t *number_of(struct yoke__config *config, const struct setting *s)
{
    return (int64_t *)(void *)((char *)config + s->field);
}

static const struct setting *find(const char *key)
{
    for (int i = 0; i < YOKE__SETTINGS; i++)
        if (strcmp(settings[i].key, key) == 0)
            return &settings[i];
    return NULL;
}

/* A whole number with an optional unit; false: not one. */
static bool parse_number(const char *text, enum kind kind, int64_t *out)
{
    static const struct {
        enum kind kind;
        const char *unit;
        int64_t factor;
    } units[] = { { BYTES, "K", 1024 },  { BYTES, "M", 1024 * 1024 },  { BYTES, "KiB", 1024 },       { BYTES, "MiB", 1024 * 1024 },
                  { DURATION, "ns", 1 }, { DURATION, "us", 1000 },     { DURATION, "ms", 1000000 } };
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || errno != 0)
        return false;
    int64_t factor = *end == '\0' ? 1 : 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (units[i].kind == kind && strcmp(units[i].unit, end) == 0)
            factor = units[i].factor;
    if (factor == 0 || value > INT64_MAX / factor || value < INT64_MIN / factor)
        return false;
    *out = value * factor;
    return true;
}

static int bad(struct loading *l, const char *origin, const char *key, const char *text, const char *why)
{
    snprintf(l->error, YOKE__CONFIG_ERROR, "%s: %s = %.256s: %s", origin, key, text, why);
    return l->rc = -EINVAL;
}

static int check_number(struct loading *l, const struct setting *s, int64_t value, const char *origin, const char *text)
{
    char why[128];
    if (value < s->least || value > s->most) {
        snprintf(why, sizeof why, "must be from %lld to %lld", (long long)s->least, (long long)s->most);
        return bad(l, origin, s->key, text, why);
    }
    if (s->kind == BYTES && (value & (value - 1)) != 0)
        return bad(l, origin, s->key, text, "must be a power of two");
    *number_of(l->config, s) = value;
    snprintf(l->config->origin[s - settings], YOKE__CONFIG_ORIGIN, "%s", origin);
    return 0;
}

static int set_text(struct loading *l, const struct setting *s, const char *text, const char *origin)
{
    int64_t value = 0;
    char why[YOKE__CONFIG_SPEC];
    switch (s->kind) {
    case CHOICE:
        for (int i = 0; s->choices[i] != NULL; i++)
            if (strcmp(s->choices[i], text) == 0) {
                *number_of(l->config, s) = i;
                snprintf(l->config->origin[s - settings], YOKE__CONFIG_ORIGIN, "%s", origin);
                return 0;
            }
        snprintf(why, sizeof why, "must be one of");
        for (int i = 0; s->choices[i] != NULL; i++)
            snprintf(why + strlen(why), sizeof why - strlen(why), "%s %s", i > 0 ? "," : "", s->choices[i]);
        return bad(l, origin, s->key, text, why);
    case SPEC:
        if (strlen(text) >= YOKE__CONFIG_SPEC)
            return bad(l, origin, s->key, text, "too long");
        if (yoke__topology_check_spec(text, why, sizeof why) < 0)
            return bad(l, origin, s->key, text, why);
        strcpy((char *)l->config + s->field, text);
        snprintf(l->config->origin[s - settings], YOKE__CONFIG_ORIGIN, "%s", origin);
        return 0;
    default:
        if (!parse_number(text, s->kind, &value))
            return bad(l, origin, s->key, text, s->kind == NUMBER ? "not a whole number" : "not a whole number with an optional unit");
        return check_number(l, s, value, origin, text);
    }
}

/* ---- sources ---------------------------------------------------------------------------------------------------------- */

/* "FILE:LINE"; of a long path the end, so that the line is always told. */
static void origin_in_file(char origin[YOKE__CONFIG_ORIGIN], const char *file, int line)
{
    enum { MOST = YOKE__CONFIG_ORIGIN - 16 };
    size_t length = strlen(file);
    snprintf(origin, YOKE__CONFIG_ORIGIN, "%s%s:%d", length > MOST ? "..." : "", length > MOST ? file + (length - MOST) : file, line);
}

/* What follows a blank and a semicolon is a comment. Cut off here, since inih's lines are short. */
static void cut_comment(char *line)
{
    for (char *at = line; (at = strchr(at, ';')) != NULL; at++)
        if (at == line || at[-1] == ' ' || at[-1] == '\t') {
            *at = '\0';
            return;
        }
}

/* inih is built with line numbers not passed to handlers everywhere: the file is parsed line by line, one call each. */
static int from_line(void *user, const char *section, const char *name, const char *value)
{
    struct {
        struct loading *l;
        char section[64];
        int line;
    } *at = user;
    char origin[YOKE__CONFIG_ORIGIN];
    origin_in_file(origin, at->l->file, at->line);
    (void)section;
    const struct setting *s = find(name);
    if (s == NULL) {
        bad(at->l, origin, name, value, "unknown key");
        return 0;
    }
    return set_text(at->l, s, value, origin) == 0;
}

static int from_file(struct loading *l)
{
    enum { MOST = 64 * 1024 };
    char *text = yoke__os_alloc(MOST, 8);
    if (text == NULL) {
        snprintf(l->error, YOKE__CONFIG_ERROR, "%s: cannot be read: %s", l->file, strerror(ENOMEM));
        return -ENOMEM;
    }
    int rc = yoke__os_read_file(l->file, text, MOST);
    if (rc < 0 || rc == MOST - 1) {
        rc = rc < 0 ? rc : -EFBIG;
        snprintf(l->error, YOKE__CONFIG_ERROR, "%s: cannot be read: %s", l->file, strerror(-rc));
        yoke__os_free(text);
        return rc;
    }
    struct {
        struct loading *l;
        char section[64];
        int line;
    } at = { l, "", 0 };
    char *line = text;
    while (line != NULL && l->rc == 0) {
        char *next = strchr(line, '\n'), *start = line;
        if (next != NULL)
            *next++ = '\0';
        at.line++;
        start += strspn(start, " \t\r\xef\xbb\xbf");
        char *close = *start == '[' ? strchr(start, ']') : NULL;
        if (close != NULL) {
            snprintf(at.section, sizeof at.section, "%.*s", (int)(close - start - 1), start + 1);
        } else if (*start != '\0' && *start != '#' && strcmp(at.section, "yoke") == 0) { /* not in other programs' sections */
            cut_comment(start);
            bool too_long = strlen(start) >= INI_MAX_LINE; /* inih would take the rest for another line */
            if ((too_long || ini_parse_string(start, from_line, &at) != 0) && l->rc == 0) {
                char origin[YOKE__CONFIG_ORIGIN];
                origin_in_file(origin, l->file, at.line);
                snprintf(l->error, YOKE__CONFIG_ERROR, "%s: %s: %.80s", origin, too_long ? "line too long" : "not a line of the form key = value",
                         start);
                l->rc = -EINVAL;
            }
        }
        line = next;
    }
    yoke__os_free(text);
    return l->rc;
}

static int from_environment(struct loading *l)
{
    for (int i = 0; i < YOKE__SETTINGS && l->rc == 0; i++) {
        char name[64] = "YOKE_", *at = name + 5;
        for (const char *c = settings[i].key; *c != '\0'; c++)
            *at++ = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        *at = '\0';
        const char *value = yoke__os_getenv(name);
        char origin[YOKE__CONFIG_ORIGIN];
        snprintf(origin, sizeof origin, "environment %s", name);
        if (value != NULL && *value != '\0')
            set_text(l, &settings[i], value, origin);
    }
    return l->rc;
}

static int from_options(struct loading *l, const yoke_options *options)
{
    for (int i = 0; i < YOKE__SETTINGS && l->rc == 0; i++) {
        const struct setting *s = &settings[i];
        const void *option = (const char *)options + s->option;
        char shown[32];
        int64_t value = 0;
        if (s->kind == CHOICE || s->kind == SPEC) {
            const char *text = *(const char *const *)option;
            if (text != NULL)
                set_text(l, s, text, "options");
            continue;
        }
        if (s->kind == NUMBER)
            value = *(const int *)option;
        else if (s->kind == BYTES)
            value = *(const size_t *)option > INT64_MAX ? INT64_MAX : (int64_t)*(const size_t *)option;
        else
            value = *(const int64_t *)option;
        snprintf(shown, sizeof shown, "%lld", (long long)value);
        if (value != 0)
            check_number(l, s, value, "options", shown);
    }
    return l->rc;
}

int yoke__config_load(struct yoke__config *config, const yoke_options *options, char error[YOKE__CONFIG_ERROR])
{
    memset(config, 0, sizeof *config);
    error[0] = '\0';
    struct loading l = { .config = config, .error = error };
    for (int i = 0; i < YOKE__SETTINGS; i++) {
        if (settings[i].kind == SPEC)
            strcpy((char *)config + settings[i].field, "none");
        else
            *number_of(config, &settings[i]) = settings[i].fallback;
        strcpy(config->origin[i], "default");
    }
    bool trusted = !yoke__os_setid();
    const char *named = trusted ? yoke__os_getenv("YOKE_CONFIG") : NULL;
    l.file = options->config_file != NULL ? options->config_file : named != NULL && *named != '\0' ? named : NULL;
    int rc = l.file != NULL && trusted ? from_file(&l) : 0;
    if (rc == 0 && trusted)
        rc = from_environment(&l);
    if (rc == 0)
        rc = from_options(&l, options);
    if (rc < 0)
        return rc;
    if (config->workers == 0) {
        config->workers = yoke__topology_usable_cpus(NULL, config->origin[YOKE__SET_WORKERS], YOKE__CONFIG_ORIGIN);
        if (config->workers > settings[YOKE__SET_WORKERS].most)
            config->workers = settings[YOKE__SET_WORKERS].most;
    }
    if (!trusted && strcmp(config->origin[YOKE__SET_HWLOC], "default") == 0) {
        config->hwloc = 0; /* it heeds variables of its own, and loads what they name */
        strcpy(config->origin[YOKE__SET_HWLOC], "default in set-id programs");
    }
    const char *show = trusted ? yoke__os_getenv("YOKE_SHOW_CONFIG") : NULL;
    config->show = show != NULL && strcmp(show, "1") == 0;
    return 0;
}

/* ---- showing ---------------------------------------------------------------------------------------------------------- */

void yoke__config_note(struct yoke__config *config, enum yoke__setting setting, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(config->note[setting], YOKE__CONFIG_ORIGIN, format, ap);
    va_end(ap);
}

void yoke__config_show(const struct yoke__config *config, void (*line)(void *ctx, const char *text), void *ctx)
{
    for (int i = 0; i < YOKE__SETTINGS; i++) {
        const struct setting *s = &settings[i];
        char value[YOKE__CONFIG_SPEC], text[YOKE__CONFIG_SPEC + 2 * YOKE__CONFIG_ORIGIN + 64];
        const void *field = (const char *)config + s->field;
        int64_t number = s->kind == SPEC ? 0 : *(const int64_t *)field;
        if (s->kind == SPEC)
            snprintf(value, sizeof value, "%s", (const char *)field);
        else if (s->kind == CHOICE)
            snprintf(value, sizeof value, "%s", s->choices[number]);
        else
            snprintf(value, sizeof value, "%lld", (long long)number);
        snprintf(text, sizeof text, "%s = %s (%s%s%s)", s->key, value, config->origin[i], config->note[i][0] != '\0' ? "; " : "", config->note[i]);
        line(ctx, text);
    }
}
