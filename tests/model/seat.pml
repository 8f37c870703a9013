/*
 * The seats of executor/seat.c for spin: strands that take a seat, sit down, look whether they are cancelled, block, rise and vacate; a source
 * that may wake one of them; a canceller, who gives the lock up between two blocks, and leaves those visited unsorted; a looker.
 *
 * Checked: nobody who is cancelled sleeps for ever (no process stays blocked); nobody touches a wait whose frame is gone; nobody else moves a
 * block that the canceller has yet to visit; in the end nobody sits, no seat is taken, and every block lies where room is looked for.
 *
 * Each BROKEN is a line of the protocol left out or moved, and must be found: see spin.sh.
 *
 * Size: -DSEATS=1
 * Size: -DSEATS=2
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef SEATS
#define SEATS 2 /* in a block */
#endif
#define STRANDS 2
#define BLOCKS  STRANDS
#define ALL     ((1 << SEATS) - 1)
#define MARK    (1 << SEATS) /* in `taken`: unsorted */
#define HELD    8

byte word[BLOCKS * SEATS]; /* 0: nobody; a strand's number + 1; the same + HELD */
byte taken[BLOCKS];
mtype = { UNUSED, ROOM, FULL, UNVISITED };
mtype where[BLOCKS]; /* under the lock; 0: not made yet; UNUSED: just made */
bool lock, marked;
bool fired[STRANDS], gone[STRANDS];
byte ended;

inline acquire() { d_step { !lock -> lock = true } }
inline release() { lock = false }

inline sort(b) /* under the lock */
{
    old = taken[b];
    if
    :: old == ALL -> where[b] = FULL
    :: else -> where[b] = ROOM
    fi
}

/* What a canceller has left, under the lock. */
inline sort_all()
{
    b = 0;
    do
    :: b < BLOCKS && where[b] == ROOM && taken[b] >= MARK ->
#if BROKEN == 10 /* the mark goes last */
        if
        :: (taken[b] & ALL) == ALL -> where[b] = FULL
        :: else
        fi;
        taken[b] = taken[b] & ALL;
#else
        taken[b] = taken[b] & ALL;
        sort(b);
#endif
        b++
    :: b < BLOCKS && !(where[b] == ROOM && taken[b] >= MARK) -> b++
    :: b == BLOCKS -> break
    od;
    skip /* a loop must not end where a d_step begins */
}

/* `b` and `s`: the block and the seat that the strand gets. */
inline take()
{
    acquire();
#if BROKEN != 11 /* does not sort */
    sort_all();
#endif
    d_step {
        b = 0;
        do
        :: b < BLOCKS && where[b] != ROOM -> b++
        :: else -> break
        od
    }
    if
    :: b < BLOCKS -> skip
    :: else -> /* a new one; the lock is not held meanwhile */
        release();
        d_step {
            b = 0;
            do
            :: b < BLOCKS && where[b] != 0 -> b++
            :: else -> break
            od;
            assert(b < BLOCKS);
            where[b] = UNUSED
        }
        acquire();
        where[b] = ROOM
    fi;
    d_step {
        assert((taken[b] & ALL) != ALL);
        s = ((taken[b] & 1) -> 1 : 0);
        taken[b] = taken[b] | (1 << s);
        if
        :: taken[b] == ALL -> where[b] = FULL
        :: else
        fi
    }
    release()
}

inline vacate()
{
    d_step { old = taken[b]; taken[b] = taken[b] & ~(1 << s) }
#if BROKEN != 6 /* a full one stays where it is */
    if
    :: old == ALL ->
        acquire();
        if
#if BROKEN == 5 /* the canceller's too */
        :: true -> sort(b)
#else
        :: where[b] != UNVISITED -> sort(b)
        :: else
#endif
        fi;
        release()
    :: else
    fi
#endif
}

inline rise()
{
    do
    :: word[b * SEATS + s] == 0 -> break
#if BROKEN == 4 /* looked at or not */
    :: word[b * SEATS + s] != 0 -> word[b * SEATS + s] = 0; break
#elif BROKEN == 8 /* no exchange: a look, and then a store */
    :: word[b * SEATS + s] == id + 1 -> word[b * SEATS + s] = 0; break
#else
    :: d_step { word[b * SEATS + s] == id + 1 -> word[b * SEATS + s] = 0 } break
#endif
#if BROKEN != 4
    :: word[b * SEATS + s] > HELD -> acquire(); release()
#endif
    od
}

proctype strand(byte id)
{
    byte b, s, old;
#if BROKEN == 2 /* looks before it sits down */
    bool early;
#endif
    if
    :: marked -> goto end
    :: else
    fi;
    take();
#if BROKEN == 2
    early = marked;
#endif
    word[b * SEATS + s] = id + 1;
    if
#if BROKEN == 1 /* does not look again */
    :: false
#elif BROKEN == 2
    :: early
#else
    :: marked
#endif
    :: else -> fired[id] /* it blocks */
    fi;
    rise();
    gone[id] = true;
    vacate();
end:
    ended++
}

/* The seat `at`, under the lock. `held`: who sits there, or 0. */
inline hold(at)
{
#if BROKEN == 9 /* no exchange */
    held = word[at];
    if
    :: held != 0 -> word[at] = held + HELD
    :: else
    fi
#else
    d_step {
        held = word[at];
        if
        :: held != 0 -> word[at] = held + HELD
        :: else
        fi
    }
#endif
}

inline look_at(at, cancel)
{
    hold(at);
    if
    :: held != 0 ->
        assert(!gone[held - 1]);
        if
        :: cancel && !fired[held - 1] -> fired[held - 1] = true; assert(!gone[held - 1]); word[at] = 0
        :: else -> assert(!gone[held - 1]); word[at] = held
        fi
    :: else
    fi
}

proctype canceller()
{
    byte i, j, old, held;
    mtype before[BLOCKS];
#if BROKEN != 3
    marked = true;
#endif
    acquire();
    d_step {
        i = 0;
        do
        :: i < BLOCKS ->
            before[i] = where[i];
            if
            :: where[i] == ROOM || where[i] == FULL -> where[i] = UNVISITED
            :: else -> before[i] = 0
            fi;
            i++
        :: else -> break
        od;
        i = 0
    }
    do
    :: i < BLOCKS && before[i] == 0 -> i++
    :: i < BLOCKS && before[i] != 0 ->
        assert(where[i] == UNVISITED);
        j = 0;
        do
        :: j < SEATS -> look_at(i * SEATS + j, true); j++
        :: else -> break
        od;
        taken[i] = taken[i] | MARK;
#if BROKEN == 7 /* back to where it was */
        where[i] = before[i];
#else
        where[i] = ROOM;
#endif
        i++;
        release(); /* to make ready whom it has woken */
        acquire()
    :: else -> break
    od;
    release();
#if BROKEN == 3 /* visits first */
    marked = true;
#endif
    ended++
}

proctype looker()
{
    byte i, held;
    acquire();
    do
    :: i < BLOCKS * SEATS -> look_at(i, false); i++
    :: else -> break
    od;
    release();
    ended++
}

proctype source()
{
    if
    :: fired[0] = true
    :: true
    fi;
    ended++
}

init {
    byte i;
    atomic {
        do
        :: i < STRANDS -> run strand(i); i++
        :: else -> break
        od;
        run canceller();
        run looker();
        run source()
    }
    ended == STRANDS + 3;
    d_step {
        i = 0;
        do
        :: i < BLOCKS -> assert((taken[i] & ALL) == 0 && (where[i] == 0 || where[i] == ROOM)); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < BLOCKS * SEATS -> assert(word[i] == 0); i++
        :: else -> break
        od
    }
}
