/*
 * report.c - lines for options.report.
 */
#include "report.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void emit(const yoke_options *options, const char *format, va_list ap)
{
    char line[YOKE__LINE_MAX];
    int n = vsnprintf(line, sizeof line - 1, format, ap);
    if (n < 0)
        return;
    size_t length = (size_t)n < sizeof line - 2 ? (size_t)n : sizeof line - 2;
    for (size_t i = 0; i < length; i++) /* one line, whatever a message contains */
        if (line[i] == '\n' || line[i] == '\r')
            line[i] = ' ';
    line[length] = '\0';
    if (options != NULL && options->report != NULL) {
        options->report(options->report_ctx, line);
        return;
    }
    line[length] = '\n';
    (void)yoke__os_write(2, line, length + 1);
}

void yoke__report(struct yoke_runtime *rt, const char *format, ...)
{
    char line[YOKE__LINE_MAX];
    va_list ap;
    va_start(ap, format);
    int n = snprintf(line, sizeof line, "%s: ", rt->name);
    if (n > 0 && (size_t)n < sizeof line)
        vsnprintf(line + n, sizeof line - (size_t)n, format, ap);
    va_end(ap);
    yoke__report_to(&rt->options, "%s", line);
}

void yoke__report_lines(struct yoke_runtime *rt, const char *prefix, char *text)
{
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        yoke__report(rt, "%s: %s", prefix, line);
}

void yoke__report_to(const yoke_options *options, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    emit(options, format, ap);
    va_end(ap);
}

struct yoke__text yoke__site_text(const yoke_site *site)
{
    struct yoke__text out = { "" };
    if (site != NULL)
        snprintf(out.text, sizeof out.text, " (%s:%d)", site->file, site->line);
    return out;
}

struct yoke__text yoke__place_text(const void *returns_to)
{
    struct yoke__text out;
    Dl_info info;
    uintptr_t at = (uintptr_t)returns_to - 1; /* of the call itself */
    if (dladdr(returns_to, &info) == 0 || info.dli_fname == NULL) {
        snprintf(out.text, sizeof out.text, "%#" PRIxPTR, at);
        return out;
    }
    const ElfW(Ehdr) *header = info.dli_fbase;
    const char *slash = strrchr(info.dli_fname, '/');
    snprintf(out.text, sizeof out.text, "%.120s+%#" PRIxPTR, slash != NULL ? slash + 1 : info.dli_fname,
             header->e_type == ET_EXEC ? at : at - (uintptr_t)header); /* where it is loaded is where it was linked for */
    return out;
}

struct yoke__text yoke__code_text(int code)
{
    struct yoke__text out;
    const char *name = strerrorname_np(-code), *what = strerrordesc_np(-code);
    if (name != NULL)
        snprintf(out.text, sizeof out.text, "-%s (%s)", name, what);
    else
        snprintf(out.text, sizeof out.text, "%d", code);
    return out;
}
