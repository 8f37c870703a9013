/*
 * check.c - the list that -c reads: "DIGEST  NAME" or "DIGEST *NAME" a line, as sha256sum writes it, backslash escapes included.
 */
#include "sum.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct checklist {
    FILE *file;
    char *line;
    size_t room;
    bool pending; /* `line` holds an entry that did not fit into the last batch */
    size_t name, length; /* of the entry: offset, bytes */
    unsigned char expected[DIGEST_MAX];
};

struct checklist *checklist_open(const char *path)
{
    struct checklist *list = calloc(1, sizeof *list);
    if (list == NULL) {
        complain_code(path, -ENOMEM);
        return NULL;
    }
    list->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (list->file == NULL) {
        complain_code(path, -errno);
        free(list);
        return NULL;
    }
    return list;
}

void checklist_close(struct checklist *list)
{
    if (list->file != stdin)
        fclose(list->file);
    free(list->line);
    free(list);
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place; the new length, or -1: a stray backslash. */
static ssize_t unescape(char *name, size_t length)
{
    size_t to = 0;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (c == '\\') {
            if (++i == length)
                return -1;
            c = name[i] == 'n' ? '\n' : name[i] == 'r' ? '\r' : name[i] == '\\' ? '\\' : '\0';
            if (c == '\0')
                return -1;
        }
        name[to++] = c;
    }
    name[to] = '\0';
    return (ssize_t)to;
}

static bool parse(struct checklist *list, size_t length)
{
    char *line = list->line;
    size_t at = 0, digits = 2 * hash_size();
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
        line[--length] = '\0';
    while (line[at] == ' ' || line[at] == '\t')
        at++;
    bool escaped = line[at] == '\\';
    at += escaped;
    if (length < at + digits + 3)
        return false;
    for (size_t i = 0; i < digits; i += 2) {
        int high = hex(line[at + i]), low = hex(line[at + i + 1]);
        if (high < 0 || low < 0)
            return false;
        list->expected[i / 2] = (unsigned char)(high << 4 | low);
    }
    at += digits;
    if (line[at] != ' ' || (line[at + 1] != ' ' && line[at + 1] != '*') || strlen(line + at) != length - at)
        return false;
    list->name = at + 2;
    list->length = length - list->name;
    if (escaped) {
        ssize_t plain = unescape(line + list->name, list->length);
        if (plain <= 0)
            return false;
        list->length = (size_t)plain;
    }
    return true;
}

struct fill {
    struct checklist *list;
    struct batch *batch;
};

static int fill(void *arg)
{
    struct checklist *list = ((struct fill *)arg)->list;
    struct batch *batch = ((struct fill *)arg)->batch;
    for (;;) {
        if (!list->pending) {
            ssize_t n = getline(&list->line, &list->room, list->file);
            if (n < 0)
                return ferror(list->file) ? -EIO : batch->files;
            if (!parse(list, (size_t)n)) {
                if (list->line[0] != '\0' && list->line[0] != '#')
                    count(malformed, 1);
                continue;
            }
        }
        list->pending = !batch_add(batch, list->line + list->name, list->length, list->expected);
        if (list->pending)
            return batch->files > 0 ? batch->files : -ENOMEM;
    }
}

int checklist_fill(struct checklist *list, struct batch *batch)
{
    struct fill job = { list, batch };
    return yoke_blocking_with(YOKE_BLOCKING_FILES, false, NULL, fill, &job);
}
