/*
 * service.c - see service.h.
 */
#include "service.h"

#include <errno.h>
#include <stdio.h>

#include "core.h"
#include "deadlock.h"
#include "large.h"
#include "scope.h"
#include "stop.h"
#include "walk.h"
#include "worker.h"

enum { SLICE_NS = 100 * 1000, TICK_NS = 600 * 1000, GRACE_NS = 600 * 1000 };

/* Short slices let the thread run soon after its wake-up though every core is busy; timers are not to be late either. */
static void enter(struct yoke__service *service)
{
    struct yoke__config *config = &service->rt->config;
    (void)yoke__os_timerslack(1); /* refused: timers come a little later */
    if (service->bound)
        service->bind_error = yoke__os_bind_self(&service->cpus, sizeof service->cpus);
    if (config->slice)
        service->slice_error = yoke__os_sched_slice(SLICE_NS);
    yoke__store_release(&service->entered, 1); /* pairs with yoke__service_await() */
    yoke__os_futex_wake(&service->entered, 1);
}

/*
 * What is due: cancels are carried out, fibers collected. `sleeper`: the worker that does this in its sleep, if there is one; that is over when
 * something is due (*awake), as while it counts as a sleeper it could be the very one that is woken for what it makes ready.
 */
static void fire_timers(struct yoke_runtime *rt, struct yoke__worker *sleeper, bool *awake, struct yoke__fiber **woken)
{
    struct yoke__timer_batch batch;
    if (yoke__timers_earliest(&rt->timers) > (int64_t)yoke__os_now())
        return;
    yoke__hold(rt); /* before anything leaves a wheel */
    while (yoke__timers_fire(&rt->timers, (int64_t)yoke__os_now(), &batch)) {
        if (sleeper != NULL && !*awake)
            *awake = yoke__park_end(sleeper);
        yoke__scope_carry_out(rt, batch.lists[YOKE__DUE_CANCELS]);
        if (batch.lists[YOKE__DUE_OVERDUE] != NULL)
            yoke__stop_overdue(rt, batch.lists[YOKE__DUE_OVERDUE]);
        if (batch.lists[YOKE__DUE_LARGE] != NULL)
            yoke__large_again(rt);
        while (batch.lists[YOKE__DUE_FIBERS] != NULL) {
            struct yoke__fiber *fiber = batch.lists[YOKE__DUE_FIBERS];
            batch.lists[YOKE__DUE_FIBERS] = fiber->next;
            fiber->next = *woken;
            *woken = fiber;
        }
    }
    yoke__unhold(rt); /* cancelled fibers are queued, or a walk is parked; those in *woken waited for a time, and count as outside */
}

/* ---- the poll ----------------------------------------------------------------------------------------------------------- */

static bool take_poll(struct yoke__service *service, uint32_t who)
{
    uint32_t nobody = YOKE__POLLER_NONE;
    return yoke__load_relaxed(&service->poller) == nobody && yoke__cas_seq(&service->poller, &nobody, who); /* see service.h */
}

static void leave_poll(struct yoke__service *service)
{
    int64_t wake_at = yoke__load_seq(&service->wake_at);
    yoke__service_attend(service, (int64_t)yoke__os_now());
    yoke__timers_hand_over(&service->rt->timers, wake_at);
    yoke__store_seq(&service->poller, (uint32_t)YOKE__POLLER_NONE);
    if (yoke__load_seq(&service->dozing) != 0 || yoke__load_seq(&service->wake_at) != wake_at ||
        yoke__timers_earliest(&service->rt->timers) < wake_at)
        yoke__service_kick(service);
}

/* One sleep of the poll's holder: in the poll until a timer is due, an event comes, somebody interrupts, or `sleeper`, if it is one, is woken. */
static void poll_once(struct yoke__service *service, uint32_t word, struct yoke__worker *sleeper, bool *awake, struct yoke__fiber **woken)
{
    struct yoke__timers *timers = &service->rt->timers;
    int64_t target = yoke__timers_aim(timers);
    yoke__store_seq(&service->polling, 1);
    bool called = yoke__load_seq(&service->word) != word || (sleeper != NULL && yoke__load_seq(&sleeper->parked) == 0);
    service->driver->poll(service->driver_state, called ? 0 : target, woken);
    yoke__store_relaxed(&service->polling, 0); /* who still sees 1 interrupts the next poll for nothing */
    yoke__timers_awake(timers);
    fire_timers(service->rt, sleeper, awake, woken);
}

static bool take_turn(struct yoke__service *service, const struct yoke__worker *w)
{
    /* acquire: its state; pairs with yoke__service_driver() */
    return yoke__load_acquire(&service->driver) != NULL && take_poll(service, YOKE__POLLER_WORKERS + (uint32_t)w->index);
}

bool yoke__service_poll(struct yoke__service *service, struct yoke__worker *w, bool *awake, struct yoke__fiber **woken)
{
    if (!take_turn(service, w))
        return false;
    while (*woken == NULL && yoke__load_seq(&w->parked) != 0 && !yoke__ready_any(&w->ready)) /* a deadline's cancel may have put some there */
        poll_once(service, yoke__load_seq(&service->word), w, awake, woken);
    leave_poll(service);
    return true;
}

void yoke__service_look(struct yoke__service *service, struct yoke__worker *w, struct yoke__fiber **woken)
{
    if (take_turn(service, w)) { /* nobody has to interrupt it: it does not sleep, and so does not aim at a timer either */
        service->driver->poll(service->driver_state, 0, woken);
        fire_timers(service->rt, NULL, NULL, woken);
        leave_poll(service);
    } else if (yoke__load_relaxed(&service->poller) == YOKE__POLLER_SERVICE && yoke__load_relaxed(&service->wanted) == 0) {
        yoke__store_relaxed(&service->wanted, 1); /* seen with the next event: until then there is nothing to have */
    }
}

bool yoke__service_rouse(struct yoke__service *service, const struct yoke__worker *w)
{
    if (yoke__load_seq(&service->poller) != YOKE__POLLER_WORKERS + (uint32_t)w->index)
        return false;
    service->driver->interrupt(service->driver_state);
    return true;
}

/* ---- the thread --------------------------------------------------------------------------------------------------------- */

static void sleep_until(struct yoke__service *service, uint32_t word, int64_t target)
{
    yoke__os_futex_wait(&service->word, word, target == INT64_MAX ? UINT64_MAX : (uint64_t)(target < 0 ? 0 : target));
}

/* Sleeps until `wake_at` (INT64_MAX: for good) or a kick; if the poll was seen `held`, only if it is so still. */
static void watch(struct yoke__service *service, uint32_t word, int64_t wake_at, bool held)
{
    yoke__store_seq(&service->dozing, (uint32_t)(wake_at == INT64_MAX));
    yoke__store_seq(&service->wake_at, wake_at);
    if (!held || yoke__load_seq(&service->poller) != YOKE__POLLER_NONE) /* store-load against leave_poll() */
        sleep_until(service, word, wake_at);
    yoke__store_seq(&service->wake_at, INT64_MIN);
    yoke__store_seq(&service->dozing, 0u);
}

/* The poll is ours: until a worker is idle that could have it, or wants it. */
static void hold_poll(struct yoke__service *service)
{
    struct yoke_runtime *rt = service->rt;
    bool over = false;
    yoke__store_relaxed(&service->wanted, 0u);
    uint32_t word = yoke__load_seq(&service->word); /* before the look at `stopping`: what comes after that changes it */
    while (!over && yoke__load_seq(&service->stopping) == 0) {
        struct yoke__fiber *woken = NULL;
        yoke__deadlock_look(rt);
        poll_once(service, word, NULL, NULL, &woken);
        over = woken != NULL && (yoke__load_relaxed(&rt->parked) > 0 || yoke__load_relaxed(&rt->searching) > 0 ||
                                 yoke__load_relaxed(&service->wanted) != 0); /* hints: nothing but a hop depends on them */
        yoke__ready_list(rt, woken);
        word = yoke__load_seq(&service->word);
    }
    leave_poll(service);
}

/* Until the next tick; workers have come to the poll as they should. */
static int64_t next_tick(struct yoke__service *service)
{
    uint32_t calm = yoke__load_relaxed(&service->calm); /* this thread's own */
    if (calm < YOKE__CALM_MOST * YOKE__CALM_TICKS)
        yoke__store_relaxed(&service->calm, ++calm); /* as above */
    return (int64_t)yoke__os_now() + ((int64_t)TICK_NS << calm / YOKE__CALM_TICKS);
}

/* Nobody is in the poll: no longer than until a timer is due. */
static void watch_free(struct yoke__service *service, uint32_t word, int64_t wake_at)
{
    int64_t next = yoke__timers_earliest(&service->rt->timers);
    watch(service, word, next < wake_at ? next : wake_at, false);
}

/*
 * One round with a driver. `seen`: when the poll had been attended to at the last one; that it is the same still tells the worker that is busy from a
 * core that was taken away from all of us. `dozed`: it was a doze.
 */
static void serve_poll(struct yoke__service *service, int64_t *seen, bool *dozed)
{
    uint32_t word = yoke__load_seq(&service->word);
    int64_t attended = yoke__load_relaxed(&service->attended), now = (int64_t)yoke__os_now();
    yoke__deadlock_look(service->rt);
    if (yoke__load_seq(&service->poller) != YOKE__POLLER_NONE) {
        *dozed = attended == *seen;
        watch(service, word, *dozed ? INT64_MAX : next_tick(service), true);
    } else if (attended != *seen || now - attended < GRACE_NS) { /* the latter: woken early */
        watch_free(service, word, *dozed || now - attended >= GRACE_NS ? now + GRACE_NS : next_tick(service));
        *dozed = false;
    } else if (yoke__load_acquire(&service->stopping) == 0 && take_poll(service, YOKE__POLLER_SERVICE)) { /* pairs with yoke__service_stop() */
        yoke__store_relaxed(&service->calm, 0u); /* this thread's own */
        hold_poll(service);
    }
    *seen = attended;
}

/* One round without: nobody else watches the timers. */
static void serve_timers(struct yoke__service *service)
{
    struct yoke_runtime *rt = service->rt;
    struct yoke__fiber *woken = NULL;
    uint32_t word = yoke__load_seq(&service->word); /* before the looks: what comes after them changes it */
    fire_timers(rt, NULL, NULL, &woken);
    yoke__ready_list(rt, woken);
    yoke__deadlock_look(rt);
    int64_t target = yoke__timers_aim(&rt->timers);
    if (yoke__load_seq(&service->stopping) == 0 && yoke__load_seq(&service->driver) == NULL)
        sleep_until(service, word, target);
    yoke__timers_awake(&rt->timers);
}

static void *serve(void *arg)
{
    struct yoke__service *service = arg;
    int64_t seen = 0;
    bool dozed = true; /* who finds the poll left by a worker gives it GRACE_NS */
    enter(service);
    while (yoke__load_acquire(&service->stopping) == 0 && yoke__load_acquire(&service->driver) == NULL) /* pairs with yoke__service_stop() and yoke__service_driver() */
        serve_timers(service);
    yoke__service_attend(service, (int64_t)yoke__os_now());
    yoke__store_seq(&service->poller, (uint32_t)YOKE__POLLER_NONE); /* until now it was ours: the timers were */
    while (yoke__load_acquire(&service->stopping) == 0) /* pairs with yoke__service_stop() */
        serve_poll(service, &seen, &dozed);
    return NULL;
}

int yoke__service_start(struct yoke__service *service, struct yoke_runtime *rt)
{
    char name[32];
    service->rt = rt;
    service->poller = YOKE__POLLER_SERVICE;
    service->wake_at = INT64_MIN;
    snprintf(name, sizeof name, "%.9s-timer", rt->name);
    return yoke__os_thread_start(&service->thread, name, 256 * 1024, serve, service);
}

void yoke__service_stop(struct yoke__service *service)
{
    yoke__store_seq(&service->stopping, 1);
    yoke__service_kick(service);
    yoke__os_thread_join(service->thread);
    if (service->driver != NULL)
        service->driver->stop(service->driver_state);
}

void yoke__service_await(struct yoke__service *service)
{
    while (yoke__load_acquire(&service->entered) == 0) /* pairs with enter() */
        yoke__os_futex_wait(&service->entered, 0, UINT64_MAX);
}

void yoke__service_kick(void *arg)
{
    struct yoke__service *service = arg;
    yoke__add_seq(&service->word, 1);
    if (yoke__load_seq(&service->polling) != 0) /* store-load against poll_once(); the driver was there before */
        service->driver->interrupt(service->driver_state);
    yoke__os_futex_wake(&service->word, 1);
}

void *yoke__service_driver(struct yoke__service *service, const struct yoke__driver *driver, int *err)
{
    if (yoke__likely(yoke__load_acquire(&service->driver) != NULL)) /* pairs with the store below */
        return service->driver_state;
    yoke__lock_acquire(&service->lock);
    bool first = service->driver == NULL;
    *err = first ? driver->start(service->rt, &service->driver_state) : 0;
    if (first && *err == 0)
        yoke__store_release(&service->driver, driver); /* its state; pairs with the loads */
    yoke__lock_release(&service->lock);
    if (*err < 0)
        return NULL;
    if (first)
        yoke__service_kick(service); /* from the futex to the poll */
    return service->driver_state;
}
