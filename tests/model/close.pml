/*
 * The counting of executor/group.c, and the gate of executor/post.c, for spin. An owner spawns children, blocks a while, so that its own
 * worker runs some like any other worker, and takes some back in its close; workers tell of the ends of children in batches; a member
 * spawns a child of its own; a foreign thread posts one.
 *
 * Checked: the close returns (no process stays blocked), and only when all children have ended, posted ones included; one alone brings
 * the count to 0; nobody touches the group after it is gone.
 *
 * Each BROKEN is a line of the protocol left out or moved, and must be found: see spin.sh.
 *
 * Size: -DPOSTS=1
 * Size: -DPOSTS=0
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef POSTS
#define POSTS 1 /* 0: nobody ever acquired a token */
#endif
#define WORKERS 2
#define SPAWNS  3
#define BIAS    16

#if BROKEN == 2 /* no bias */
byte live = 0;
#else
byte live = BIAS;
#endif
byte leaves, members; /* spawned, and not yet taken; a member spawns a leaf */
byte alive;           /* what `live` is to be in the end: not yet ended */
byte inside;          /* the gate */
bool shut, waiting, fired, gone;

inline flush()
{
    if
    :: batched > 0 ->
#if BROKEN == 6 /* taken away first, looked at afterwards */
        d_step { assert(!gone); live = live - batched; batched = 0 }
        last = (live == 0);
#else
        d_step { assert(!gone); live = live - batched; batched = 0; last = (live == 0) }
#endif
        if
        :: last -> d_step { assert(waiting && !fired && !gone); fired = true; last = false }
        :: else
        fi
    :: else
    fi
}

inline count_spawn()
{
    if
    :: batched > 0 -> batched-- /* one ended here and is not yet told, one begins */
    :: else -> d_step { assert(!gone); live++ }
    fi
}

inline member()
{
#if BROKEN != 1
    count_spawn();
#endif
    d_step { alive++; leaves++ }
#if BROKEN == 1 /* published before it is counted */
    count_spawn()
#endif
}

/* By a worker's loop. */
inline run_one()
{
    if
    :: d_step { leaves > 0 -> leaves-- }
        d_step { alive--; batched++ }
    :: d_step { members > 0 -> members-- }
        member();
        d_step { alive--; batched++ }
    :: leaves == 0 && members == 0
    fi
}

proctype worker()
{
    byte batched;
    bool last;
    do
    :: leaves > 0 || members > 0 -> run_one()
    :: batched > 0 -> flush()
    :: gone && batched == 0 -> break
    od
}

proctype owner()
{
    byte batched, spawned, done; /* of its worker; its own */
    bool last;
    do
    :: spawned < SPAWNS -> spawned++; d_step { alive++; leaves++ }
    :: spawned == 0 -> spawned++; d_step { alive++; members++ }
    :: leaves > 0 || members > 0 -> run_one()
    :: break
    od;
    /* close: children on its own stack */
    do
    :: d_step { leaves > 0 -> leaves-- }
        d_step { alive--; done++ }
    :: d_step { members > 0 -> members-- }
        member();
        d_step { alive--; done++ }
    :: break
    od;
#if POSTS == 0 || BROKEN == 3 /* not even asked whether there is a token */
    if
    :: live + spawned - done == BIAS -> goto closed
    :: else
    fi;
#endif
    flush();
#if BROKEN != 7 /* the waiter is named after the addition */
    waiting = true;
#endif
#if BROKEN == 8 /* in two steps */
    live = live - BIAS;
    d_step { live = live + spawned - done; last = (live == 0) }
#elif BROKEN == 2
    d_step { live = live + spawned - done; last = (live == 0) }
#else
    d_step { live = live + spawned - done - BIAS; last = (live == 0) }
#endif
#if BROKEN == 7
    waiting = true;
#endif
    if
    :: last
    :: else -> fired
    fi;
closed:
    assert(alive == 0);
    shut = true;
#if BROKEN != 5 /* who is inside the gate is not waited for */
    inside == 0;
#endif
    gone = true;
    assert(alive == 0)
}

proctype post()
{
    bool in;
    d_step { inside++; in = !shut }
    if
    :: in ->
#if BROKEN == 4 /* a group that has ended takes posts */
        d_step { assert(!gone); alive++; live++ }
#else
        d_step { assert(!gone); in = (live != 0); live = live + in; alive = alive + in }
#endif
        if
        :: in -> leaves++
        :: else
        fi
    :: else
    fi;
    inside--
}

init {
    atomic {
        run worker();
        run worker();
#if POSTS
        run post();
#endif
        run owner()
    }
}
