/*
 * The deadlock verdict of executor/deadlock.h for spin: two workers, of which one may sleep in the poll and fire what is due; a thread that
 * may have a token; the service thread, which judges.
 *
 * What the workers run is anything: a task wakes another, begins a wait for something outside or under a deadline, gives a token to the
 * thread, or just blocks.
 *
 * Checked: after a verdict nothing becomes runnable any more (it is never wrong); when nothing can happen any more there was a verdict (it
 * is never missed).
 *
 * Each BROKEN is a line of the protocol left out or moved, and must be found: see spin.sh.
 *
 * Size: -DSTEPS=2
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define WORKERS 2
#ifndef STEPS
#define STEPS   2 /* what tasks do, in all */
#endif

byte steps;
byte queue, back;        /* runnable in a queue; of these: waited for something outside */
byte parked, claims, holds;
short outside[WORKERS];  /* waits begun less waits ended */
byte coming, timers;     /* what is still to come for the waits outside; deadlines in a wheel */
bool token;              /* the thread has one */
bool asleep[WORKERS];    /* the bits */
bool go[WORKERS];        /* the futex words, upside down */
bool polled;             /* a worker has the poll */
bool suspected, verdict;

inline make_ready(n)
{
    d_step { assert(!verdict); queue++; back = back + n }
}

/* The sleeper is ours. */
inline let_go(who)
{
#if BROKEN == 9 /* counted before it is missing */
    claims++;
#endif
    parked--;
#if BROKEN != 1 && BROKEN != 9 /* claims are not counted */
    claims++;
#endif
    go[who] = true
}

inline wake_one()
{
    if
    :: atomic { asleep[0] -> asleep[0] = false } let_go(0)
    :: atomic { asleep[1] -> asleep[1] = false } let_go(1)
    :: !asleep[0] && !asleep[1]
    fi
}

inline wake_self()
{
    if
    :: atomic { asleep[me] -> asleep[me] = false } let_go(me)
    :: !asleep[me]
    fi
}

inline suspect()
{
    if
    :: parked == WORKERS ->
        if
        :: holds == 0 ->
            if
            :: outside[0] + outside[1] == 0 -> suspected = true
            :: else
            fi
        :: else
        fi
    :: else
    fi
}

inline unhold()
{
    d_step { holds--; got = (holds == 0) }
#if BROKEN != 2 /* who drops the last hold does not look */
    if
    :: got -> got = false; suspect()
    :: else
    fi;
#endif
    got = false
}

/* One task, until it blocks. */
inline run_task()
{
    atomic {
        assert(!verdict);
        if
        :: mine ->
            mine = false;
#if BROKEN != 5
            outside[me]--
#endif
        :: else
        fi;
        can = (steps < STEPS);
        steps = steps + can
    }
    if
    :: can -> d_step { can = false; outside[me]++; coming++ }
    :: can -> d_step { can = false; timers++ }
    :: can && !token -> d_step { can = false; holds++; token = true }
    :: can -> can = false; make_ready(0); wake_one()
    :: can = false
    fi
}

/* In the poll: what is due is fired, until the worker is called; what came from outside is taken along. */
inline poll()
{
    got = false;
end_poll:
    (!asleep[me] || queue > 0 || timers > 0 || coming > 0);
    if
    :: !asleep[me] || queue > 0
    :: asleep[me] && queue == 0 && timers > 0 ->
#if BROKEN != 4 /* who fires timers has no hold */
        holds++;
#endif
        timers--;
        if
        :: make_ready(0); wake_one()
        :: true /* nobody waited under it */
        fi;
#if BROKEN != 4
        unhold();
#endif
        goto end_poll
    :: asleep[me] && queue == 0 && coming > 0 ->
        d_step { coming--; mine = true }
#if BROKEN == 5 /* a wait counts as ended once it is fired */
        outside[me]--
#endif
    :: else -> goto end_poll
    fi
}

inline park()
{
    d_step { parked++; all = (parked == WORKERS) }
    asleep[me] = true;
    if
    :: queue > 0 -> all = false; wake_self()
    :: queue == 0 ->
#if BROKEN != 3 /* the last sleeper does not look */
        if
        :: all -> all = false; suspect()
        :: else
        fi;
#endif
        if
        :: atomic { !polled -> polled = true }
            poll();
            polled = false;
            wake_self()
        :: polled
        fi
    fi;
end_sleep:
    atomic { go[me] -> go[me] = false }
}

proctype worker(byte me)
{
    bool got, can, all, mine;
    do
    :: atomic {
            queue > 0 -> queue--;
            if
            :: back > 0 -> back--; mine = true
            :: queue >= back -> skip
            fi
        }
        run_task()
    :: queue == 0 ->
        park();
        if
        :: mine -> run_task()
        :: else
        fi
    od
}

proctype thread()
{
    bool got;
end:
    do
    :: token ->
        token = false;
#if BROKEN == 6 /* the token is released before the post is in the inbox */
        unhold();
#endif
        if
        :: make_ready(0); wake_one()
        :: true
        fi;
#if BROKEN != 6
        unhold()
#endif
    od
}

proctype service()
{
    byte seen;
    bool dead;
end:
    do
    :: atomic { suspected -> suspected = false }
        seen = claims;
        if
        :: parked < WORKERS -> skip
        :: parked == WORKERS ->
            dead = (outside[0] + outside[1] == 0);
#if BROKEN == 7 /* the holds are looked at before the timers */
            dead = dead && holds == 0;
            dead = dead && timers == 0;
#else
            dead = dead && timers == 0;
            dead = dead && holds == 0;
#endif
            dead = dead && queue == 0;
#if BROKEN == 8 /* what workers do meanwhile is not noticed */
            seen = claims;
#endif
            d_step { verdict = verdict || (dead && claims == seen); dead = false }
        fi;
        seen = 0
    od
}

/* Nothing else can happen. */
proctype end_of_all()
{
end:
    timeout -> assert(verdict)
}

init {
    atomic {
        queue = 1; /* main */
        run worker(0);
        run worker(1);
        run thread();
        run service();
        run end_of_all()
    }
}
