/*
 * process.c - see process.h. Order of locks: `lock` first, then those of the parts, which nobody else takes two of.
 */
#include "process.h"

#include "core.h"

uint32_t yoke__process = 1;

static struct yoke__lock lock; /* the two below */
static bool watching;
static struct yoke__process_part *parts;

static void hold(void)
{
    yoke__lock_acquire(&lock);
    for (struct yoke__process_part *part = parts; part != NULL; part = part->next)
        yoke__lock_acquire(part->lock);
}

static void let_go(void)
{
    for (struct yoke__process_part *part = parts; part != NULL; part = part->next)
        yoke__lock_release(part->lock);
    yoke__lock_release(&lock);
}

/* In the child. */
static void begin_anew(void)
{
    struct yoke__worker *w = yoke__self();
    yoke__store_relaxed(&yoke__process, yoke__process + 1); /* there is no other thread */
    if (w != NULL) {
        if (w->head.strand != NULL)
            w->head.strand->scope = NULL;
        yoke__set_self(NULL);
    }
    for (struct yoke__process_part *part = parts; part != NULL; part = part->next)
        part->forget();
    yoke__os_thread_disown();
    let_go();
}

int yoke__process_watch(void)
{
    yoke__lock_acquire(&lock);
    int rc = watching ? 0 : yoke__os_at_fork(hold, let_go, begin_anew);
    watching = rc == 0;
    yoke__lock_release(&lock);
    return rc;
}

void yoke__process_add(struct yoke__process_part *part)
{
    yoke__lock_acquire(&lock);
    if (!part->known) {
        part->known = true;
        part->next = parts;
        parts = part;
    }
    yoke__lock_release(&lock);
}

void yoke__process_returned(const char *what, const char *name)
{
    if (yoke__unlikely(yoke__self() == NULL))
        yoke__panic("%s '%s' returned in the child of fork(2), where its runtime is not: end the child by exec or exit", what, name);
}
