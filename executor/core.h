/*
 * core.h - the structures of the executor, in one place, since they hold each other.
 *
 *     runtime ── workers ── (deque, ready queue, caches) ── fiber: the stack a worker is on
 *        │                                                      │
 *        └── root scope ── scopes and groups (a tree) ── strand: what runs: a task, or a fork on a stack of its own
 *
 * Vocabulary
 *   fiber   a stack with a saved context. A worker's scheduler loop always runs on some fiber and calls task functions on it.
 *   strand  one line of execution: a task's own, or that of a fork that another worker took. It has a current scope.
 *   task    function, argument, group; its block is also the record of its failure.
 *   scope   the unit of cancellation; groups embed one.
 *
 * Memory: scopes, groups, handles and tasks come from type-stable pools (block.h) that live as long as the runtime: a stale handle
 * is found out by its generation, never by touching unmapped memory.
 *
 * Locks, by rank (a holder may take only higher ones); all are leaves of a few instructions but the first:
 *   0 edges (debug mode) · 1 timer shard · 2 group · 3 handle · 4 scope · 5 wait queue · 6 runtime lists (blocks, fibers)
 */
#ifndef YOKE_EXECUTOR_CORE_H
#define YOKE_EXECUTOR_CORE_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yoke/yoke.h>

#include "atomic.h"
#include "block.h"
#include "config.h"
#include "deque.h"
#include "fiber.h"
#include "inbox.h"
#include "large.h"
#include "lock.h"
#include "platform.h"
#include "pool.h"
#include "ready.h"
#include "service.h"
#include "stack.h"
#include "timer.h"
#include "topology.h"

#define yoke__likely(x) __builtin_expect(!!(x), 1)
#define yoke__unlikely(x) __builtin_expect(!!(x), 0)
#define yoke__container(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

struct yoke__scope;
struct yoke__group;
struct yoke__task;
struct yoke__strand;
struct yoke__worker;
struct yoke__wait;
struct yoke__held;
struct yoke__edge;
struct yoke__begun;

/* ---- failure slot ------------------------------------------------------------------------------------------------------- */

struct yoke__fail {
    struct yoke__fail *next_free;
    int code;
    int hops, hops_lost;
    uint64_t task_id;
    const char *task;
    const yoke_site *site;
    const yoke_site *hop[YOKE_HOPS_MAX];
    char message[YOKE_MESSAGE_MAX + 1];
};

/* ---- strand and task ---------------------------------------------------------------------------------------------------- */

struct yoke__strand {
    struct yoke__strand_head head; /* current scope; first, known to the inlined fast path */
    struct yoke__scope *base;      /* current scope at its start: what is above must be closed at its end */
    struct yoke__task *task;
    struct yoke__fail *fail; /* slot of the last failure, or NULL */
    struct yoke__begun *begun; /* forks not joined, last begun first; in debug mode only: unjoined.h */
    struct yoke__held *held; /* what must not outlive it: held.h */
    yoke_forked *fork;       /* it is that fork's, run by another worker than its joiner's; NULL: a task's own */
    struct yoke__seat *seat; /* in a scope that another strand opened, or NULL: seat.h */
};

struct yoke__deferred {
    struct yoke__deferred *next;
    yoke_fn fn;
    void *arg;
};

struct yoke__slot_value {
    struct yoke__slot_value *next;
    const yoke_slot *slot;
    void *value;
};

/*
 * The first cache line is all that a task costs that wants nothing special and does not fail. Between uses a block has the fields
 * marked (z) zero, so that a spawn need not write them; `flags` says which of the others mean something.
 */
struct yoke__task {
    struct yoke__node node; /* free list; inbox; list of failures */
    yoke_fn fn;
    void *arg;
    struct yoke__group *group; /* NULL: the root */
    const char *name;
    const yoke_site *site;
    uint16_t flags; /* (z) atomic: the task's forks may set some */
    uint8_t class; /* enum yoke__block_class it came from, or YOKE__TASK_HEAP, YOKE__TASK_FRAME; if not TASK0, flagged */
    uint8_t record; /* of one that has ended: policy.c */
    int result;
    /* only as flags say */
    struct yoke__fail *fail;        /* of a task that has failed and is kept as the record */
    uint64_t id;                    /* (z) 0: nobody has asked yet */
    struct yoke__deferred *deferred; /* (z) last registered first */
    struct yoke__slot_value *slots; /* (z) */
    struct yoke__handle *handle;    /* YOKE__TASK_HANDLE */
    struct yoke__worker *pin;       /* YOKE__TASK_PINNED: the only worker it may run on */
    struct yoke__task *next_record; /* of one that has ended: policy.c */
    void *pad;
} __attribute__((aligned(64))); /* the copied argument follows */
enum yoke__task_flags {
    YOKE__TASK_HANDLE = 1,
    YOKE__TASK_PINNED = 2,
    YOKE__TASK_EXACT = 4, /* its group wants to know of its end: policy.c */
    YOKE__TASK_CLEANUP = 8, /* deferred functions or slots */
    YOKE__TASK_NAMED = 16,  /* it has an id */
    YOKE__TASK_OTHER = 32,  /* its block is not one of the small ones */
    YOKE__TASK_FORKED = 64, /* debug mode: it has forked */
    YOKE__TASK_HELD = 128,  /* it, or a fork of it, has held something: held.h */
    YOKE__TASK_SEATED = 256, /* it has blocked in the scope where it began: seat.h */
};
enum { YOKE__TASK_SMALL = YOKE__FAST_ARGUMENT }; /* bytes of argument that fit into every block */
_Static_assert(offsetof(struct yoke__task, fn) == offsetof(struct yoke__task_head, fn), "known to the inlined spawn");
_Static_assert(offsetof(struct yoke__task, site) == offsetof(struct yoke__task_head, site), "known to the inlined spawn");
_Static_assert(sizeof(struct yoke__task) == YOKE__FAST_TASK, "known to the inlined spawn");
enum { YOKE__TASK_HEAP = 254, YOKE__TASK_FRAME = 255 };

/* ---- scope -------------------------------------------------------------------------------------------------------------- */

enum yoke__cancel {
    YOKE__CANCEL_NONE = 0,
    YOKE__CANCEL_ASKED,    /* yoke_*_cancel */
    YOKE__CANCEL_DEADLINE, /* its own deadline */
    YOKE__CANCEL_FAILURE,  /* group policy */
    YOKE__CANCEL_LEFT,     /* left open: misnested or forgotten */
    YOKE__CANCEL_SHUTDOWN, /* signal */
    YOKE__CANCEL_STOP,     /* marked cancel_on_stop, and stopping */
    YOKE__CANCEL_GRACE,    /* stopped, and its grace ran out */
    YOKE__CANCEL_VERDICT,  /* ANY: enough, or out of reach */
    YOKE__CANCEL_SERVICE,  /* a service, and the others have ended */
    YOKE__CANCEL_DEADLOCK, /* deadlock.h */
};

enum yoke__scope_kind { YOKE__SCOPE_PLAIN, YOKE__SCOPE_GROUP, YOKE__SCOPE_TASK, YOKE__SCOPE_BINDING, YOKE__SCOPE_ROOT };

/* A scope's part in a graceful stop: stop.c. */
struct yoke__stop {
    int64_t grace, hard_after; /* as it was opened; 0: the runtime's */
    const yoke_site *site;     /* where it was asked */
    uint64_t cut;              /* atomic: tasks that ended cancelled after its grace; means something if that ran out */
    struct yoke__scope *next;  /* queue of stops to carry out (runtime.stops) */
    struct yoke__timer grace_timer, hard_timer;
};

/* Who blocks in a scope: seat.h. */
struct yoke__seat {
    uintptr_t wait;
    struct yoke__seats *block; /* NULL: the seat of a scope's owner */
};
#ifdef YOKE_SHRUNKEN
enum { YOKE__SEATS = 3 };
#else
enum { YOKE__SEATS = 15 };
#endif
struct yoke__seats {
    struct yoke__seats *next, **back; /* a list of the scope's, under its lock */
    struct yoke__scope *scope;
    uint64_t taken; /* a bit each; atomic */
    bool visited; /* as its scope; by itself it says nothing */
    struct {
        struct yoke__seat seat;
    } __attribute__((aligned(64))) at[YOKE__SEATS]; /* strands on different workers use neighbouring ones */
};

struct yoke__scope {
    struct yoke__scope_head head; /* memo, owner; first, known to the inlined fast path */
    struct yoke__scope *parent;   /* enclosing scope; NULL for the root's */
    uint64_t generation;          /* run id << 40 | count; changed when the scope is left; compared under `lock` */
    uint8_t kind;
    uint8_t shield;
    uint8_t linked;      /* in parent's list of children; written under the parent's lock, top down */
    uint8_t cancel_on_stop;
    uint8_t stopping;       /* atomic; set once, under lock */
    uint8_t work_cancelled, work_stopping; /* the walker's own: as what it is to be visited */
    uint8_t visited;        /* by a walker, as cancelled; under lock */
    uint8_t known;          /* cancelled, and the epoch has been raised since */
    uint8_t large;          /* the stacks on which tasks and forks begin that are begun in here: large.h */
    struct yoke__lock lock;
    uint32_t cancel;     /* enum yoke__cancel; set once, under lock, after its reason, site and task */
    uint32_t pins;       /* cancellers that look at this scope; top bit: the closer sleeps */
    int64_t deadline;    /* its own; YOKE_NEVER: none. The owner's; atomic */
    const char *name;
    const yoke_site *site;
    struct yoke__scope *binding; /* the nearest scope, this one included, that binds a local */
    const yoke_local *key;
    struct yoke__scope *children;
    struct yoke__scope *child_due; /* the next child that a walker has to pin, those behind it too */
    /* who blocks in here, for cancelling and for the dump: seat.h; the lists under lock */
    struct yoke__seat seat;
    struct yoke__seats *seats, *full_seats, *unvisited[2];
    struct yoke__stop stop; /* who opens and closes one in which nobody blocks looks at its beginning, and at nothing that follows */
    struct yoke__scope *sibling, **back;
    struct yoke__scope *walk_next; /* queue of cancels to carry out (runtime.walks) */
    struct yoke__scope *work_next, **work_back; /* in a yoke__worklist; `work_back` NULL: in none */
    int reason;
    const yoke_site *cancel_site;
    uint64_t cancel_task;
    void *value;
    struct yoke__timer timer;
};
_Static_assert(offsetof(struct yoke__scope, stop.hard_after) + sizeof(int64_t) == 192, "a scope is opened and closed on three lines");

/* ---- waiting ------------------------------------------------------------------------------------------------------------ */

/*
 * A wait: one strand, several sources, one winner.
 *   ARMING -> PARKED   by the post-switch hook, when the stack is left                  (yoke__wait_block)
 *   ARMING -> fired    a source was first; the waiter never sleeps                      (yoke__wait_fire)
 *   PARKED -> fired    a source was first; it owns the fiber and makes it runnable      (yoke__wait_fire)
 */
enum { YOKE__WAIT_ARMING = 0, YOKE__WAIT_PARKED = 1, YOKE__WAIT_FIRED = 2 };
enum { YOKE__FIRE_DONE = 0, YOKE__FIRE_CANCEL, YOKE__FIRE_TIME, YOKE__FIRE_CLOSED };

/* What tasks alone can end: for the dump, for deadlock.h and cycle.h. */
struct yoke__waited {
    const char *what; /* "mutex" */
    /*
     * Writes which one, and who has it, beginning with a blank; NULL: its address. The lock of the wait's scope is held: waits for no lock of
     * a lower rank. The waiter does not return meanwhile.
     */
    void (*tell)(const void *object, char *text, size_t size);
    /* True if the wait cannot end before that strand, which is blocked, goes on; NULL: nobody can tell. Under the lock of the edges. */
    bool (*blames)(const void *object, const struct yoke__strand *strand);
};

struct yoke__wait {
    uint32_t state; /* one of the above, or YOKE__WAIT_FIRED + code */
    struct yoke__fiber *fiber;
    struct yoke__strand *strand;
    const char *what;              /* for the dump: "sleep", "close", ... */
    const struct yoke__waited *on; /* NULL: others than tasks of this runtime may end it */
    const void *object;
    struct yoke__seat *seat; /* of the strand; NULL: no canceller knows of this wait */
};

/* First in, first out; the node lives in the waiter's frame. */
struct yoke__waitq_node {
    struct yoke__waitq_node *next, **back; /* back == NULL: not in a queue */
    struct yoke__wait *wait;
    int result;
};
struct yoke__waitq {
    struct yoke__waitq_node *first, **last;
};

/* ---- group -------------------------------------------------------------------------------------------------------------- */

#define YOKE__LIVE_BIAS ((int64_t)1 << 40)

/* policy.c; both mean something in exact groups only, and are under the group's lock. */
enum yoke__verdict { YOKE__ANY_OPEN = 0, YOKE__ANY_REACHED, YOKE__ANY_OUT_OF_REACH };
struct yoke__any {
    uint64_t need, successes;
    enum yoke__verdict verdict;
    bool closing; /* the owner is in close */
};
struct yoke__records {
    struct yoke__task *first, *last;
};
struct yoke__results {
    bool kept;                   /* for yoke_group_next */
    bool telling;                /* somebody empties `untold` */
    yoke_on_done on_done;
    void *ctx;
    struct yoke__records untold; /* to on_done */
    struct yoke__records queue;  /* to be handed out */
    struct yoke__task *handed;   /* the last one that was; the owner's */
    struct yoke__wait *wait;     /* the owner's, for one */
};

enum yoke__body { YOKE__BODY_WELL = 0, YOKE__BODY_FAILED, YOKE__BODY_FIRST };

struct yoke__group {
    struct yoke__scope scope; /* first */
    /* seldom used, under lock */
    struct yoke__any any;
    struct yoke__results results;
    struct yoke__waitq room;
    struct yoke__fiber *reserve; /* of a group with large stacks: large.h */
    struct yoke__task *last_kept; /* behind first_kept, if any are */
    /* the owner's line */
    uint8_t policy __attribute__((aligned(64)));
    uint8_t exact; /* children are counted one by one under lock: limit, ANY, results, on_done */
    uint8_t body;  /* enum yoke__body */
    uint8_t serviced; /* atomic: it has had a service; set under lock */
    uint8_t services_over; /* and takes no more */
    uint8_t failed;
    uint8_t cut;   /* enum yoke__cut bits, atomic */
    uint8_t closing; /* the owner waits for the children; atomic, for the dump */
    int first_code;
    int64_t done;
    struct yoke__wait *owner_wait; /* set before the bias is taken from live */
    uint64_t failures, cancelled;  /* these and what follows: under lock */
    size_t kept;
    struct yoke__task *first_kept; /* of those that failed */
    /*
     * Children spawned by members minus children ended outside of the owner's close, plus YOKE__LIVE_BIAS until the owner
     * has taken it away and put in its own balance: from then on the number of children alive. Reaches 0 once.
     */
    int64_t live __attribute__((aligned(64)));
    uint64_t member_spawned;
    int64_t services; /* alive, and 1 for all other children together */
    uint64_t services_spawned;     /* this and what follows: under lock */
    unsigned limit, alive;
    struct yoke__handle *handles;
    struct yoke_token *tokens;
    struct yoke__lock lock;
};
enum yoke__cut { YOKE__CUT_OWN_DEADLINE = 1, YOKE__CUT_ENCLOSING = 2 };

struct yoke__handle {
    struct yoke__handle *next; /* the group's list; free list */
    struct yoke__task *task;   /* while it lives */
    uint64_t generation;       /* changed under lock when closed */
    struct yoke__lock lock;
    uint32_t status;           /* enum yoke_task_status */
    int result;
    bool closed;
    bool service;
    struct yoke__scope *scope; /* the child's own, while it lives */
    struct yoke__waitq waiters;
};

/* ---- worker ------------------------------------------------------------------------------------------------------------- */

/* Of items in a deque. Large: a task whose group asks for a large stack; the inlined path knows no such groups. */
enum {
    YOKE__TAG_FORK = 0,
    YOKE__TAG_TASK = YOKE__FAST_TASK_TAG,
    YOKE__TAG_TYPED = YOKE__FAST_TYPED,
    YOKE__TAG_LARGE = YOKE__FAST_TASK_TAG | 4,
    YOKE__TAG_MASK = 7
};

struct yoke__worker {
    struct yoke__head head;   /* forks and tasks, free blocks; first, known to the inlined fast path */
    struct yoke__inbox inbox; /* what only this worker may run */
    struct yoke__node *pinned;     /* taken from the inbox, first first */
    struct yoke_runtime *rt;
    struct yoke__fiber *fiber;     /* the stack it is on */
    struct yoke__fiber native;     /* the thread's own stack */
    uintptr_t stack_half;          /* head.stack_low, but for debug mode */
    uintptr_t low_mask;            /* debug mode: all ones, so that head.stack_low is higher than any stack */
    struct yoke__fiber *spare, *spare_chain; /* fibers that wait in the scheduler loop; a whole chain of them, or NULL */
    int spares;                              /* in the first */
    struct yoke__node *handed;               /* to the large stack that it is about to enter */
    int index;
    uint32_t random, turn;
    uint32_t woken;                /* woken fibers resumed so far */
    uint32_t row;                  /* `woken` when the row began */
    uint32_t round;                /* `woken` when all are resumed that were there at the last look for events */
    bool woken_first;              /* in this row: before pinned ones */
    uint32_t injected_turn;        /* so many of the injected come before the next row; 0: the row is not over, or nobody has had his turn */
    uint32_t walk_rows;            /* rows run while a walk was parked */
    uint32_t thinning;             /* items of the deque to run before woken fibers: yoke__worker_thin_out() */
    uint32_t spawners;             /* woken fibers that only wait for that, at most; others may have taken some of them */
    int64_t look_at;               /* when a look for events is due; 0: the first woken since the last one are being run */
    struct yoke__worker *robbed;   /* whom an item was taken from last, or NULL */
    uint32_t shy;                  /* how long to keep away from it if it was not worth it */
    bool searching;                /* counted in rt->searching; others read it as a hint */
    int64_t asked_since;           /* first time in this search that only hidden work was found; 0: not */
    struct yoke__group *batch;     /* whose children are counted here for a while: group.c */
    int64_t batched;               /* how much higher batch->live is than it should be */
    uint64_t batch_spawned, batch_cancelled; /* not yet in batch->member_spawned, cancelled */
    int64_t outside;               /* waits begun here less waits ended here that others than tasks may end: deadlock.h */
    uint64_t next_id;
    const int *victims;            /* the others, near before far */
    const int *levels;             /* ends of equally near stretches of victims[]; levels[nlevels - 1] == number of victims */
    int nlevels;
    const cpu_set_t *cpus;         /* where it is bound, or NULL */
    pthread_t thread;
    uint32_t parked __attribute__((aligned(64))); /* futex: 1 while asleep or about to be */
    int slept_on; /* the processor on which it fell asleep last, or negative: unknown; atomic, a hint */
    struct yoke__ready ready; /* fibers to resume; last: it is large */
};

/* A walk of cancels and stops: the walker's; parked, the next one's. walk.c. Resumed: it is a long one. */
enum yoke__walk_state { YOKE__WALK_SHORT = 0, YOKE__WALK_PARKED, YOKE__WALK_RESUMED };
struct yoke__worklist {
    struct yoke__scope *first, **end; /* `end`: where the next one behind all others would be named */
};
struct yoke__walk {
    struct yoke__worklist work;    /* cancelled, pinned: to visit */
    struct yoke__worklist descent; /* stopping, pinned: to look for what is cancel_on_stop */
    bool overtaken;                /* what was called later has come in front of some of the work */
    uint32_t calls;                /* of runtime.walks_pending that it serves */
    uint32_t state __attribute__((aligned(64))); /* enum yoke__walk_state; each worker looks at it */
    uint32_t leavers;              /* threads that wait for a pin to go */
    uint32_t bell;                 /* futex: they look again */
};

/* ---- runtime ------------------------------------------------------------------------------------------------------------ */

enum { YOKE__MAX_WORKERS = 1024, YOKE__SLEEPER_WORDS = YOKE__MAX_WORKERS / 64 };

/* What the thread of yoke_run or yoke_stop waits for. Asked: it is to answer, having run the handlers of its pending signals: deadlock.h. */
enum yoke__finished { YOKE__RUNNING = 0, YOKE__FINISHED, YOKE__ASKED };

struct yoke_runtime {
    uint64_t epoch; /* incremented after each mark: scope.c */
    /* the idle protocol: park.c */
    int32_t searching __attribute__((aligned(64))); /* apart from what every push reads */
    int32_t parked __attribute__((aligned(64)));
    uint64_t sleepers[YOKE__SLEEPER_WORDS];
    uint64_t claims; /* sleeps that have ended: deadlock.h */
    int64_t holds;   /* what may make something runnable and is no worker: deadlock.h */
    uint32_t suspected;
    uint32_t answered;
    uint32_t deadlocked; /* the root was cancelled for it */
    uint32_t stopping;
    struct yoke__inbox inject __attribute__((aligned(64))); /* from threads that are no workers */
    struct yoke__node *injected;                            /* taken from there, first first; changed under the lock */
    struct yoke__lock injected_lock;
    /* cancels and stops to carry out: walk.c */
    struct yoke__scope *walks __attribute__((aligned(64)));
    struct yoke__scope *stops;
    uint32_t walks_pending;
    struct yoke__walk walk;
    uint32_t ever_stopped; /* something was stopped in this run */
    /* debug mode: cycle.h */
    struct yoke__lock edges_lock;
    struct yoke__edge *edges;
    /* set once at start */
    struct yoke__config config;
    uint64_t run_id;
    uint32_t process; /* where it is: process.h */
    int nworkers;
    struct yoke__worker **workers;
    struct yoke__plan plan;
    bool membarrier;
    bool migrate; /* no fiber is continued by the worker that left it; there is another */
    int64_t spin_ns;
    yoke_options options;
    char name[16];
    struct yoke__stack_pool stacks;
    struct yoke__large large;
    struct yoke__timers timers;
    struct yoke__service service;
    struct yoke__pool pool;
    struct yoke__block_pool blocks;
    struct yoke__lock fibers_lock;
    struct yoke__fiber *fibers; /* chains of spares beyond the workers' own */
    struct yoke__scope root;
    struct yoke__task main;
    int result;
    struct yoke__node signal_nodes[2]; /* signals.c */
    uint32_t signals_seen;
    uint32_t finished; /* futex: enum yoke__finished */
    /* yoke_start */
    yoke_token *token;
    int started_code;
    uint32_t started; /* futex */
    uint32_t stop_asked;
    struct yoke__wait *stop_wait;
    struct yoke__lock stop_lock;
};

/* The epoch in the head that threads have which are no workers. */
extern const uint64_t yoke__no_epoch;

static inline struct yoke__worker *yoke__self(void)
{
    struct yoke__head *head = yoke__fast_self();
    return yoke__likely(head->epoch != &yoke__no_epoch) ? (struct yoke__worker *)(void *)head : NULL;
}

/* The same where it is certain that a worker runs this. */
static inline struct yoke__worker *yoke__worker_here(void)
{
    return (struct yoke__worker *)(void *)yoke__fast_self();
}

/* The shard of `rt->timers` that is the calling thread's: its worker's, or everybody else's. */
static inline int yoke__own_shard(const struct yoke_runtime *rt)
{
    const struct yoke__worker *w = yoke__self();
    return yoke__likely(w != NULL && w->rt == rt) ? w->index : rt->nworkers;
}

/* Names the calling thread's worker; NULL: none. */
void yoke__set_self(struct yoke__worker *w);

static inline struct yoke__strand *yoke__current(struct yoke__worker *w)
{
    return (struct yoke__strand *)(void *)w->head.strand;
}

static inline struct yoke__scope *yoke__strand_scope(const struct yoke__strand *strand)
{
    return (struct yoke__scope *)(void *)strand->head.scope;
}

static inline struct yoke__strand *yoke__scope_owner(const struct yoke__scope *scope)
{
    return (struct yoke__strand *)(void *)scope->head.owner;
}

/* Makes `scope` the strand's current one. Every change after the strand has begun goes through here. */
static inline void yoke__strand_set_scope(struct yoke__worker *w, struct yoke__strand *strand, struct yoke__scope_head *scope)
{
    strand->head.scope = scope;
    w->head.floor = w->head.deque.bottom; /* see fork.c */
}

#endif
