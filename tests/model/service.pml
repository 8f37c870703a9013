/*
 * Who is in the driver's poll, executor/service.[hc], for spin: the service thread, a worker that parks and is called back, one who arms
 * timers, events that come at any time, and the end.
 *
 * A sleep until a time may end at any moment, one without a time only if somebody ends it: so what is lost here would sleep for ever.
 *
 * Checked: every timer fires; the event is heard, even if the worker is busy; the worker is woken; the service thread ends (no process stays blocked); while the service thread lets a tick go
 * by, armers kick it if nobody else is there.
 *
 * Each BROKEN is a line of the protocol left out or moved, and must be found: see spin.sh.
 *
 * Size: -DARMS=1 -DCALLS=1
 * Size: -DARMS=2 -DCALLS=0
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef ARMS
#define ARMS  1
#define CALLS 1
#endif
#define NONE    0 /* who has the poll */
#define SERVICE 1
#define WORKER  2
#define PAST    0 /* times: INT64_MIN, one that comes, INT64_MAX */
#define SOON    1
#define NEVER   2

byte poller, wake_at, target;
bool changed, changed_too;  /* `word` differs from what the service thread, the worker, read last */
bool attended = true;       /* somebody has left the poll within the grace */
bool polling, interrupt, event, came, dozing, stopping, ended;
bool armed, arming;        /* a timer is in the wheels; its armer looks whom to kick */
byte fired;
bool parked, sleeper;     /* the worker's futex word, its bit */
bool worker_ends, worker_ended;
bool ticking;             /* the service thread sleeps for a tick, since it saw a holder */
byte leaving;

/* Nobody looks at the wheels for a while, and one who arms takes it that somebody will at once; or a timer is there already. */
#define UNWATCHED (poller == NONE && !changed && (target == PAST || armed && !arming))

inline kick()
{
    d_step { changed = true; changed_too = true }
    if
#if BROKEN != 1 /* a kick does not reach the poll */
    :: polling -> interrupt = true
#endif
    :: else
    fi
}

/* The look at the wheels: one step for each. */
inline earliest(time)
{
    time = (armed -> SOON : NEVER)
}

inline poll_once(differs, mine)
{
    earliest(until);
#if BROKEN == 2 /* the target is stored after the second look */
    earliest(again);
    target = until;
#else
    target = until;
    earliest(again);
#endif
    if
    :: again < until -> until = again
    :: else
    fi;
#if BROKEN == 3 /* announced after the look at the word */
    called = (differs || (mine && !parked));
    polling = true;
#else
    polling = true;
    called = differs;
    if
    :: mine && !parked -> called = true
    :: else
    fi;
#endif
    d_step {
        called || interrupt || event || until == SOON ->
            woken = event; event = false; interrupt = false
    }
    polling = false;
    target = PAST;
    if
    :: armed -> d_step { armed = false; fired++ }
    :: armed -> skip /* not due yet */
    :: else
    fi
}

inline leave_poll()
{
    d_step { when = wake_at; leaving++; attended = true }
#if BROKEN != 4 /* the target stays in the past */
    target = when;
#endif
    poller = NONE;
    if
#if BROKEN != 5 /* who leaves does not look for a doze */
    :: dozing -> kick()
#endif
    :: else ->
        if
#if BROKEN != 6 /* nor whether the service thread has gone to sleep meanwhile */
        :: wake_at != when -> kick()
#endif
        :: else ->
            if
#if BROKEN != 7 /* nor for timers that come before it wakes */
            :: armed && when != PAST -> kick()
#endif
            :: else
            fi
        fi
    fi;
    d_step { leaving--; assert(leaving > 0 || !(ticking && UNWATCHED)) }
}

inline watch(time)
{
    dozing = (time == NEVER);
    wake_at = time;
    if
#if BROKEN == 8 /* the tick begins without another look at the poll */
    :: poller != NONE || time != NEVER ->
#else
    :: poller != NONE ->
#endif
        d_step { ticking = true; assert(leaving > 0 || !UNWATCHED) }
        (changed || time == SOON);
        ticking = false
    :: else
    fi;
    wake_at = PAST;
    dozing = false
}

inline hold_poll()
{
    idle = false;
    changed = false;
    do
    :: idle || stopping -> break
    :: else ->
#if BROKEN == 9 /* the word is read after the look at `stopping` */
        changed = false;
#endif
        poll_once(changed, false);
        if
        :: woken -> idle = true
        :: true
        fi;
        woken = false;
        changed = false
    od;
    leave_poll()
}

proctype service()
{
    byte until, again, when;
    bool called, woken, idle;
    do
    :: stopping -> break
    :: else ->
        changed = false;
        if
        :: poller == NONE && attended ->
            wake_at = SOON; /* no shorter than the grace */
            attended = false;
            wake_at = PAST
        :: poller == NONE && !attended && !stopping ->
            if
            :: atomic { poller == NONE -> poller = SERVICE } hold_poll()
            :: poller != NONE
            fi
        :: poller == NONE && stopping -> skip
        :: poller != NONE -> watch(SOON)
        :: poller != NONE -> watch(NEVER)
        fi
    od;
    ended = true
}

/* It parks, in the poll or on its word; and is then busy, for any time. */
proctype worker()
{
    byte until, again, when;
    bool called, woken, mine;
    do
    :: worker_ends -> break
    :: else ->
        parked = true;
        sleeper = true;
        if
        :: worker_ends -> skip /* the second look */
        :: else ->
            if
            :: atomic { poller == NONE -> poller = WORKER }
                do
                :: woken || !parked -> break
                :: else -> changed_too = false; poll_once(changed_too, true)
                od;
                leave_poll()
            :: poller != NONE -> (!parked)
            fi
        fi;
        atomic { mine = sleeper; sleeper = false }
        if
        :: mine -> parked = false
        :: else -> (!parked)
        fi;
        mine = false; woken = false;
        if
        :: true
        :: true -> (came && !event) /* a long task: somebody else hears the event */
        fi
    od;
    worker_ended = true
}

inline rouse()
{
    atomic { ours = sleeper; sleeper = false }
    if
    :: ours ->
        parked = false;
        if
#if BROKEN != 10 /* a worker is not called out of the poll */
        :: poller == WORKER -> interrupt = true
#endif
        :: else
        fi
    :: else
    fi;
    ours = false
}

proctype others()
{
    byte n;
    bool ours;
    do
    :: n < ARMS ->
        d_step { armed = true; arming = true }
        if
        :: target != PAST -> kick()
        :: else
        fi;
        d_step { arming = false; assert(leaving > 0 || !ticking || !UNWATCHED) }
        n++;
        (fired == n)
    :: else -> break
    od;
    n = 0;
    do
    :: n < CALLS -> n++; rouse()
    :: else -> break
    od;
    (came && !event);
    worker_ends = true; /* the run ends: workers first */
    rouse();
    worker_ended;
    stopping = true;
    kick();
    ended
}

proctype events()
{
    d_step { event = true; came = true }
}

init {
    atomic {
        run service();
        run worker();
        run others();
        run events()
    }
}
