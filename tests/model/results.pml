/*
 * The results of executor/policy.c, handed out one by one by yoke_group_next, for spin: an owner that waits against children that end, one
 * of which spawns another, or leaves no result; against on_done, which is called by one of them for all; and against a cancel of the
 * owner's wait.
 *
 * Checked: every result is handed out once; "no more" is said only after all; the owner does not wait for ever (no process stays
 * blocked); who fires its wait finds the wait's frame; on_done is called for one child at a time.
 *
 * What happens under the group's lock is one step. A wait has one winner (wait.h), modelled by `fired`.
 *
 * Each BROKEN is a line of the protocol left out or moved, and must be found: see spin.sh.
 *
 * Size: -DTOLD=1 -DCANCELS=1
 * Size: -DTOLD=1 -DCANCELS=0
 * Size: -DTOLD=0 -DCANCELS=1
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef TOLD
#define TOLD    0 /* 1: there is an on_done */
#define CANCELS 1
#endif
#define CHILDREN 2

byte alive, queue, untold, handed, ends; /* ends: children that were to give a result */
bool telling, waiting, fired, frame;     /* waiting: the group knows the wait; frame: the wait exists */
byte callers;                            /* in on_done */
bool over;

/* Under the lock: one is not alive any more. */
inline settle_locked()
{
    alive--;
    if
#if BROKEN == 1 /* who leaves no result wakes nobody */
    :: waiting && queue > 0 -> assert(frame); fired = true; waiting = false
#else
    :: waiting && (queue > 0 || alive == 0) -> assert(frame); fired = true; waiting = false
#endif
    :: else
    fi
}

inline ends_with_result()
{
#if BROKEN == 4 /* it is taken from those alive before its result lies there */
    d_step { settle_locked() };
    d_step { queue++ }
#else
    d_step { queue++; settle_locked() }
#endif
}

inline tell()
{
    do
    :: true ->
#if BROKEN == 2 /* the queue is looked at, and left, in two steps */
        d_step { mine = (untold > 0); untold = untold - mine };
        d_step { telling = mine };
#else
        d_step { mine = (untold > 0); untold = untold - mine; telling = mine };
#endif
        if
        :: !mine -> break
        :: else
        fi;
        d_step { callers++; assert(callers == 1) };
        callers--;
        ends_with_result()
    od
}

/* A post for which there was no memory: it has no record. */
proctype post()
{
    d_step { settle_locked() }
}

/* Of kind 1: spawns another one. */
proctype child(byte kind)
{
    bool mine, teller;
    if
    :: kind == 1 -> d_step { alive++; ends++ }; run child(0) /* it is alive: another may be */
    :: else
    fi;
#if TOLD
#if BROKEN == 3 /* not alive any more, though its result is yet to be told */
    d_step { untold++; alive--; teller = !telling; telling = true };
    d_step { alive++ };
#else
    d_step { untold++; teller = !telling; telling = true };
#endif
    if
    :: teller -> tell()
    :: else
    fi
#else
    ends_with_result()
#endif
}

inline await_result()
{
    d_step { fired = false; frame = true };
#if BROKEN == 5 /* the look, and the announcement, without the lock */
    there = (queue > 0 || alive == 0);
    if
    :: !there -> waiting = true
    :: else
    fi;
#else
    d_step {
        there = (queue > 0 || alive == 0);
        if
        :: !there -> waiting = true
        :: else
        fi
    };
#endif
    if
    :: !there ->
        (fired);
#if BROKEN != 6 /* the group still knows the wait of one who was cancelled */
        waiting = false
#else
        skip
#endif
    :: else
    fi;
    frame = false
}

proctype owner()
{
    bool there, none, one;
    d_step { alive = CHILDREN; ends = CHILDREN };
    run child(0);
    if
    :: run child(0)
    :: run child(1)
    :: d_step { ends-- }; run post()
    fi;
    do
    :: true ->
#if BROKEN == 7 /* two looks */
        d_step { one = (queue > 0); queue = queue - one };
        none = (!one && alive == 0);
#elif BROKEN == 8 /* nobody alive is enough */
        d_step { none = (alive == 0); one = (!none && queue > 0); queue = queue - one };
#else
        d_step { one = (queue > 0); queue = queue - one; none = (!one && alive == 0) };
#endif
        if
        :: none -> break
        :: one -> handed++
        :: else -> await_result()
        fi
    od;
    assert(handed == ends && queue == 0 && untold == 0);
    over = true
}

/* Wakes the owner for another reason, once. */
proctype canceller()
{
    if
    :: d_step { frame && !fired -> fired = true }
    :: over
    fi
}

init {
    atomic {
#if CANCELS
        run canceller();
#endif
        run owner()
    }
}
