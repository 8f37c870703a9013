/*
 * work.c - see work.h.
 */
#include "work.h"

#include <errno.h>

int yoke__work_begin(struct yoke__work *work, const char *name, const yoke_parallel_options *options)
{
    yoke_scope_options scope = { .size = sizeof scope, .name = name };
    if (options != NULL) {
        scope.name = options->name != NULL ? options->name : name;
        scope.site = options->site;
    }
    int rc = yoke_checkpoint();
    if (rc < 0)
        return rc;
    work->code = work->cut = 0;
    work->scope = yoke_scope_open(&scope);
    return work->scope.block != NULL ? 0 : yoke_scope_close(work->scope, 0); /* -ENOMEM */
}

int yoke__work_failed(struct yoke__work *work, int rc)
{
    int32_t none = 0;
    if (rc == -ECANCELED && yoke_cancelled()) {
        yoke__store_relaxed(&work->cut, 1); /* read after the joins */
        return 0;
    }
    if (!yoke__cas_relaxed(&work->code, &none, rc)) /* read after the joins */
        return 0;
    (void)yoke_scope_cancel_at(work->scope, rc, NULL);
    return rc;
}

int yoke__work_end(struct yoke__work *work, int rc)
{
    int32_t code = yoke__load_relaxed(&work->code); /* ordered by the joins */
    if (code != 0)
        rc = code;
    else if (yoke__load_relaxed(&work->cut) != 0)
        rc = -ECANCELED;
    return yoke_scope_close(work->scope, rc);
}
