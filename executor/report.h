/*
 * report.h - what the library has to say goes to options.report, one line each; nothing is printed otherwise.
 */
#ifndef YOKE_EXECUTOR_REPORT_H
#define YOKE_EXECUTOR_REPORT_H

#include "core.h"

enum { YOKE__LINE_MAX = 1024 };

/* Formats one line and hands it to the user's function, or writes it to stderr. Any thread; never blocks on locks of ours. */
void yoke__report(struct yoke_runtime *rt, const char *format, ...) YOKE_PRINTF(2, 3);

/* The same for each line of a text: "PREFIX: LINE". Changes the text. */
void yoke__report_lines(struct yoke_runtime *rt, const char *prefix, char *text);

/* The same before there is a runtime. */
void yoke__report_to(const yoke_options *options, const char *format, ...) YOKE_PRINTF(2, 3);

/* " (file:line)" or "". */
struct yoke__text {
    char text[160];
};
struct yoke__text yoke__site_text(const yoke_site *site);

/* "program+0x1234", as addr2line takes it, of a call's return address. */
struct yoke__text yoke__place_text(const void *returns_to);

/* "-EPIPE (Broken pipe)" style text of a code. */
struct yoke__text yoke__code_text(int code);

#endif
