/*
 * The races of executor/stop.c for spin: stop against the opening of a marked scope, stop against close, the timer of the grace against
 * both, and against a cancel.
 *
 * Checked: a marked scope that was opened is cut if there was a stop; nobody touches the outer scope after its end, and no timer is armed
 * then; one mark counts; the closer does not wait for ever.
 *
 * Locks are atomic steps: what happens under one is never interleaved with what others do under it.
 *
 * Each BROKEN is a line of the protocol left out or moved, and must be found: see spin.sh.
 *
 * Size: -DSTOPPERS=1
 * Size: -DSTOPPERS=2
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef STOPPERS
#define STOPPERS 1
#endif

bool stopping, cancelled, linked, cut, left, gone, armed;
byte pins, marks, done;

inline mark_cancel() /* under the scope's lock */
{
    if
    :: !cancelled -> cancelled = true; marks++; pins++; ours = true
    :: else -> ours = false
    fi
}

inline unpin()
{
    d_step { assert(!gone && pins > 0); pins-- }
}

proctype stopper()
{
    bool first;
    d_step { /* under the scope's lock */
        first = (!left && !cancelled && !stopping);
        if
        :: first -> assert(!gone); stopping = true; pins++
        :: else
        fi
    }
    if
    :: first ->
#if BROKEN == 1 /* the pin is handed on before the timer is armed */
        unpin();
#endif
        d_step { assert(!gone); armed = true }
        d_step { /* the visit, under the scope's lock */
            if
            :: linked -> cut = true
            :: else
            fi
        }
#if BROKEN != 1
        unpin()
#endif
    :: else
    fi;
    done++
}

/* Fires what is due, under the shard's lock, in which it takes the scope's. */
proctype server()
{
    bool ours;
    do
    :: d_step { armed -> assert(!gone); armed = false; mark_cancel() }
        if
        :: ours -> unpin() /* after the walk */
        :: else
        fi
    :: gone -> break
    od
}

proctype canceller()
{
    bool ours;
    d_step {
        if
        :: !left -> mark_cancel()
        :: else -> ours = false
        fi
    }
    if
    :: ours -> unpin()
    :: else
    fi
}

proctype owner()
{
#if BROKEN == 2 /* asks first, links afterwards */
    bool seen = stopping;
    linked = true;
    cut = cut || seen;
#elif BROKEN == 3 /* does not ask */
    linked = true;
#else
    linked = true; /* under the scope's lock */
    if
    :: stopping -> cut = true
    :: else
    fi;
#endif
    if
    :: true -> done == STOPPERS; assert(cut || !stopping); linked = false /* waits in there until it is cut */
    :: d_step { !cut -> linked = false } /* or leaves early */
    fi;
    left = true; /* the generation, under the scope's lock */
#if BROKEN == 4 /* disarms before the pins have gone */
    armed = false;
    pins == 0;
#else
#if BROKEN != 5 /* the pins of who still arms are not waited for */
    pins == 0;
#endif
#if BROKEN != 6 /* does not disarm */
    if
    :: stopping -> armed = false
    :: else
    fi;
#endif
#if BROKEN != 7 /* nor for those of timers that have fired */
    pins == 0;
#endif
#endif
    gone = true;
    assert(!armed && marks <= 1)
}

init {
    atomic {
        byte n = 0;
        do
        :: n < STOPPERS -> run stopper(); n++
        :: else -> break
        od;
        run server();
        run canceller();
        run owner()
    }
}
