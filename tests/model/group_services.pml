/*
 * The services of executor/group.c, counted apart from the other children, for spin. (service.pml is about another thing: the service
 * thread and the poll.) An owner spawns a child and a service, or none, and closes; a child may spawn another child or a service, and so may
 * a service, which ends when it is told to, or before that.
 *
 * Checked: the close returns (no process stays blocked), and only when all children and services have ended; one alone wakes the owner;
 * nobody touches the group after it is gone; services are told to end, and only after the others have ended.
 *
 * Locks are atomic steps. `balance` is what the owner has counted by itself, put into `live` with the bias taken away.
 *
 * Each BROKEN is a line of the protocol left out or moved, and must be found: see spin.sh.
 *
 * Size: -DCHILDREN=1 -DSERVICES=1
 * Size: -DCHILDREN=0 -DSERVICES=1
 * Size: -DCHILDREN=1 -DSERVICES=0
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef CHILDREN
#define CHILDREN 1
#define SERVICES 1
#endif
#define BIAS   16
#define SPAWNS 2 /* by others than the owner */

byte live = BIAS, services = 1;
bool serviced, over, waiting, fired, gone;
byte children_alive, services_alive; /* what is to be 0 in the end */
byte told;                           /* services that were told to end; by number */
byte number, spawns;

inline fire()
{
    d_step { assert(waiting && !fired && !gone); fired = true }
}

/* `live` has become 0: is nobody left? */
inline others_ended()
{
    assert(!gone);
    if
    :: services == 1 -> nobody = true
    :: else ->
#if BROKEN == 1 /* told before it is settled that none comes any more */
        d_step { assert(children_alive == 0); told = told | present };
        d_step { over = true };
#elif BROKEN == 2 /* nobody is told */
        d_step { over = true };
#else
        d_step { assert(children_alive == 0 && !gone); over = true; told = told | present }; /* under the group's lock */
#endif
        d_step { assert(!gone); services--; nobody = (services == 0) }
    fi
}

inline child_ends()
{
#if BROKEN == 7 /* in two steps */
    d_step { assert(!gone); live--; children_alive-- };
    last = (live == 0);
#else
    d_step { assert(!gone); live--; children_alive--; last = (live == 0) };
#endif
    nobody = false;
    if
    :: last -> others_ended()
    :: else
    fi;
    if
    :: nobody -> fire()
    :: else
    fi
}

byte present; /* bits of services in the group's list of handles that have not ended */

inline run_service()
{
    if
    :: run service(mine)
    :: run faithful(mine)
    fi
}

inline attach_service() /* under the group's lock; the spawner is counted */
{
    d_step {
        assert(!gone);
        serviced = true;
#if BROKEN != 4
        services++;
#endif
        mine = number;
        number++;
        late = over;
#if BROKEN == 3 /* one that comes late is taken all the same */
        late = false;
#endif
        if
        :: !late -> present = present | (1 << mine); services_alive++
        :: else
        fi
    };
    if
    :: !late -> run_service()
    :: else -> d_step { assert(!gone); services--; assert(services > 0) }
    fi;
#if BROKEN == 4 /* counted after it was published */
    if
    :: !late -> d_step { assert(!gone); services++ }
    :: else -> services++
    fi
#endif
    skip
}

inline spawn_child()
{
    if
    :: serviced ->
#if BROKEN == 5 /* a service's tree counts as the others do */
        d_step { assert(!gone); live++; children_alive++; late = false }
#else
        d_step { assert(!gone); late = (live == 0); live = live + !late; children_alive = children_alive + !late }
#endif
    :: else -> d_step { assert(!gone); live++; children_alive++; late = false }
    fi;
    if
    :: !late -> run child()
    :: else
    fi
}

/* What a child or a service may do before it ends. */
inline perhaps_spawn()
{
    if
    :: d_step { spawns < SPAWNS -> spawns++ } attach_service()
    :: d_step { spawns < SPAWNS -> spawns++ } spawn_child()
    :: true
    fi
}

proctype child()
{
    bool last, nobody, late;
    byte mine;
    perhaps_spawn();
    child_ends()
}

proctype service(byte me)
{
    bool last, late;
    byte mine;
    perhaps_spawn();
    if
    :: (told & (1 << me)) != 0
    :: true /* it ends by itself */
    fi;
    d_step { present = present & ~(1 << me); services_alive-- };
    d_step { assert(!gone); services--; last = (services == 0) };
    if
    :: last -> fire()
    :: else
    fi
}

/* One that stays until it is told: it would wait for ever for a word that does not come. */
proctype faithful(byte me)
{
    bool last;
    (told & (1 << me)) != 0;
    d_step { present = present & ~(1 << me); services_alive-- };
    d_step { assert(!gone); services--; last = (services == 0) };
    if
    :: last -> fire()
    :: else
    fi
}

proctype owner()
{
    bool last, nobody, late;
    byte mine, balance;
#if CHILDREN
    d_step { balance++; children_alive++ };
    run child();
#endif
#if SERVICES
    d_step { serviced = true; services++; mine = number; number++; present = present | (1 << mine); services_alive++ };
    run_service();
#endif
    /* close: nothing is left, and nothing ever was that could bring something */
#if BROKEN == 6 /* the number of services instead: one may have spawned a child and ended between the two looks */
    if
    :: live + balance == BIAS ->
        if
        :: services == 1 -> goto closed
        :: else
        fi
    :: else
    fi;
#elif BROKEN == 8 /* the same the other way round: a child may have spawned a service */
    if
    :: services == 1 ->
        if
        :: live + balance == BIAS -> goto closed
        :: else
        fi
    :: else
    fi;
#else
    if
    :: live + balance == BIAS ->
        if
        :: !serviced -> goto closed
        :: else
        fi
    :: else
    fi;
#endif
    waiting = true;
    d_step { live = live + balance - BIAS; last = (live == 0) };
    nobody = false;
    if
    :: last -> others_ended()
    :: else
    fi;
    if
    :: nobody
    :: else -> fired
    fi;
closed:
    skip;
    d_step { assert(children_alive == 0 && services_alive == 0); gone = true }
}

init {
    run owner()
}
