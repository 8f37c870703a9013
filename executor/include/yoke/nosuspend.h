/*
 * yoke/nosuspend.h - stretches of a task that must stay on one thread.
 *
 * A suspended task may go on on another thread: thread-locals, held pthread mutexes, errno and OpenSSL's error queue do not survive that.
 *
 *     YOKE_NOSUSPEND {
 *         pthread_mutex_lock(&m);
 *         update();                 // if it suspends after all: one line to options.report
 *         pthread_mutex_unlock(&m);
 *     }
 *
 * A suspension inside is reported, with the task, what it waited for and where the block stands; it is not prevented. Only one that happens
 * is reported, and every yield: calls that find what they want at once, and children and forks that are called on this stack and do not
 * block, are none. Costs two calls per block; what is not inside one pays a comparison each time it is suspended, and nothing else.
 */
#ifndef YOKE_NOSUSPEND_H
#define YOKE_NOSUSPEND_H

#include <yoke/base.h>

YOKE_BEGIN_DECLS

/* A block, in the frame that it belongs to. Treat as opaque. */
typedef struct yoke_nosuspend {
    const yoke_site *outer;
    bool again;
} yoke_nosuspend;

/*
 * The plain form: from here to yoke_nosuspend_leave, which must come in the same function, blocks entered last first. `site` (may be NULL)
 * is what reports name. Never blocks, cannot fail; outside of a task without effect.
 */
YOKE_API yoke_nosuspend yoke_nosuspend_enter(const yoke_site *site);
YOKE_API void yoke_nosuspend_leave(yoke_nosuspend *block);

YOKE_END_DECLS

/* YOKE_NOSUSPEND { ... }: left on every way out of the block; break and continue leave the block itself. C only. */
#define YOKE_NOSUSPEND YOKE__NOSUSPEND_(YOKE__CAT(yoke_nosuspend_, __COUNTER__))
#define YOKE__NOSUSPEND_(id) \
    for (__attribute__((cleanup(yoke_nosuspend_leave))) yoke_nosuspend id = yoke_nosuspend_enter(YOKE_SITE); id.again; id.again = false)

#endif
