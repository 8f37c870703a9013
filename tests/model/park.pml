/*
 * The idle protocol of executor/park.c for spin: a worker that pushes and is then busy for ever, and workers that search, take, push, and
 * park. What is pushed waits in a store buffer, as on x86-64: it becomes visible at any time, at the latest in a locked instruction of
 * the same thread or in a parker's membarrier.
 *
 * Checked: every item is taken although its pusher never comes back to it, and everybody ends (no process stays blocked); the counts of
 * searchers and sleepers come out even; who is woken slept.
 *
 * Each BROKEN is a line of the protocol left out or moved, and must be found: see spin.sh.
 *
 * Size: -DPUSHES=2 -DSPAWNS=0
 * Size: -DPUSHES=1 -DSPAWNS=1
 * Size: -DPUSHES=2 -DSPAWNS=2 -DFOREIGN
 *
 * FOREIGN: who pushes is no worker, and has a full barrier of its own; a parker that finds all workers parked has a fence only. Where it
 * sleeps, in the driver's poll or on its word, is service.pml's.
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define WORKERS   2 /* and one who only pushes, who has this number */
#define SEARCHERS 1
#ifndef PUSHES
#define PUSHES    2
#define SPAWNS    0 /* by workers, from inside items */
#endif

byte buffered[WORKERS + 1]; /* pushed, not yet visible */
byte items, taken, spawned;
bool hungry, closed;        /* the pusher's; closed: `room` is INT64_MIN */
byte searching, parked, busy, ended;
bool sleepers[WORKERS];     /* the bits */
bool asleep[WORKERS];       /* the futex words */
bool stopping;

#ifdef FOREIGN
#define ALL (parked == WORKERS)
#else
#define ALL false
#endif

#define FLUSH(who) items = items + buffered[who]; buffered[who] = 0

/* got: that sleeper is ours. */
inline claim(who)
{
    d_step { got = sleepers[who]; sleepers[who] = false; FLUSH(me) }
    if
    :: got -> parked--
    :: else
    fi
}

inline rouse(who)
{
    assert(asleep[who]);
    asleep[who] = false
}

inline ask()
{
    if
    :: !hungry -> hungry = true; closed = true
    :: else
    fi
}

/* yes: somebody is parked and nobody searches. Two plain loads, in either order. */
inline nobody_searches(yes)
{
    if
    :: parked == 0 -> yes = false
    :: parked != 0 -> yes = (searching == 0)
    :: searching != 0 -> yes = false
    :: searching == 0 -> yes = (parked != 0)
    fi
}

inline wake_one()
{
    nobody_searches(again);
    do
    :: again ->
        again = false;
        d_step { got = (searching == 0); searching = searching + got; FLUSH(me) }
        if
        :: got ->
            do
            :: sleepers[0] -> claim(0); if :: got -> rouse(0); break :: else fi
            :: !sleepers[0] ->
                if
                :: sleepers[1] -> claim(1); if :: got -> rouse(1); break :: else fi
                :: !sleepers[1] -> got = false; break
                fi
            od;
            if
            :: !got ->
                searching--;
#if BROKEN != 4 /* a waker that found nobody does not look again */
                again = sleepers[0] || sleepers[1]
#endif
            :: else
            fi
        :: else
        fi;
        got = false
    :: else -> break
    od
}

inline push_public()
{
    buffered[me]++;
#ifdef FOREIGN
    if
    :: me == WORKERS -> d_step { FLUSH(me) }
    :: else
    fi;
#endif
    wake_one()
}

/* A fork: nobody is told unless there is no room. */
inline push_private()
{
    if
    :: !closed ->
        buffered[me]++;
#if BROKEN == 11 /* no second look at the room, after the store */
        again = false
#else
        again = closed
#endif
    :: closed ->
        buffered[me]++;
        again = true
    fi;
    if
    :: again ->
        again = false;
        if
        :: hungry ->
            d_step { FLUSH(me) } /* the answer's exchange */
            wake_one();
            fed()
        :: else
        fi
    :: else
    fi
}

inline fed()
{
    if
    :: parked == 0 ->
        if
        :: searching == 0 ->
            d_step { FLUSH(me); hungry = false }
            closed = false;
#if BROKEN != 10 /* room is made without a look at hunger */
            closed = hungry;
#endif
#if BROKEN != 7 /* who came meanwhile is not looked for */
            if
            :: parked > 0 || searching > 0 -> ask()
            :: else
            fi
#endif
        :: else
        fi
    :: else
    fi
}

inline take(found)
{
    d_step { FLUSH(me); found = (items > 0); items = items - found; taken = taken + found }
}

inline search_end()
{
    d_step { again = (searching == 1); searching--; FLUSH(me) }
    counted = false;
#if BROKEN != 5 /* the last searcher does not pass the search on */
    if
    :: again -> wake_one()
    :: else
    fi
#else
    again = false
#endif
}

inline uncount()
{
    if
    :: counted -> searching--; counted = false
    :: else
    fi
}

inline announce()
{
    d_step { parked++; mine = ALL }
    sleepers[me] = true
}

inline park()
{
    asleep[me] = true;
#if BROKEN != 9
    announce();
#endif
#if BROKEN != 2
    uncount();
#endif
#if BROKEN != 6 /* nobody is asked */
    ask();
#endif
#if BROKEN != 3 /* no barrier in the pushers */
    if
    :: mine -> d_step { FLUSH(me) }
    :: else ->
        d_step { FLUSH(0) }
        d_step { FLUSH(1) }
#ifndef FOREIGN
        d_step { FLUSH(WORKERS) }
#endif
    fi;
#endif
    mine = false;
#if BROKEN != 1 /* no second look */
    if
    :: items > 0 || stopping ->
#if BROKEN == 8 /* who found work does not take its own bit back */
        got = true;
#else
        claim(me);
#endif
        if
        :: got -> searching++; asleep[me] = false; got = false
        :: else
        fi
    :: else
    fi;
#endif
#if BROKEN == 9 /* announced after the second look */
    announce();
#endif
#if BROKEN == 2 /* the count is given back after the second look */
    uncount();
#endif
    !asleep[me];
    counted = true
}

proctype worker(byte me)
{
    bool mine; /* all workers were parked when it was */
    bool got, again, counted, found, pushes, stays;
    do
    :: stopping ->
        if
        :: counted -> search_end()
        :: else
        fi;
        break
    :: else ->
        if
        :: !counted && searching < SEARCHERS -> d_step { searching++; FLUSH(me) } counted = true
        :: else
        fi;
        atomic {
            take(found); /* who may not search looks at its own */
            if
            :: found && spawned < SPAWNS -> spawned++; pushes = true
            :: found && busy < WORKERS - 1 -> busy++; stays = true
            :: true
            fi
        }
        if
        :: found ->
            found = false;
            if
            :: counted -> search_end()
            :: else
            fi;
            if
            :: pushes -> pushes = false; push_public()
            :: stays -> stays = false; (taken == PUSHES + spawned) /* a long item: others are left to take the rest */
            :: else
            fi
        :: else -> park()
        fi
    od;
    ended++
}

proctype pusher(byte me)
{
    bool got, again;
    byte n;
    do
#ifndef FOREIGN
    :: n < PUSHES -> n++; push_private()
#endif
    :: n < PUSHES -> n++; push_public()
    :: else -> break
    od;
    (taken == PUSHES + spawned); /* the run ends when its items have */
    stopping = true;
    claim(0);
    if
    :: got -> searching++; rouse(0)
    :: else
    fi;
    claim(1);
    if
    :: got -> searching++; rouse(1)
    :: else
    fi;
    (ended == WORKERS);
    assert(searching == 0 && parked == 0)
}

/* Buffers empty themselves some time. */
proctype processors()
{
end:
    do
    :: d_step { buffered[0] > 0 -> FLUSH(0) }
    :: d_step { buffered[1] > 0 -> FLUSH(1) }
    :: d_step { buffered[WORKERS] > 0 -> FLUSH(WORKERS) }
    od
}

init {
    atomic {
        run worker(0);
        run worker(1);
        run pusher(WORKERS);
        run processors()
    }
}
