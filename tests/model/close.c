/*
 * The counting of executor/group.c in small, in plain C11 and pthreads: an owner that counts its spawns by itself, children that end on
 * other threads and subtract from `live`, one of them a member that spawns another. Invariant: exactly one - the owner's addition or a
 * child's subtraction - brings `live` to 0, only after the last child has ended, and whoever does it sees all of their effects.
 *
 * Run by the tests as threads, many times. With GenMC: genmc -- -DGENMC close.c. Caught when broken: the member counting its child after
 * it was published; the owner leaving out the bias.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef GENMC
enum { ROUNDS = 1 };
#define IDLE() ((void)0)
#else
#include <sched.h>
enum { ROUNDS = 3000 };
#define IDLE() sched_yield()
#endif
#define BIAS (1L << 40)

static atomic_long live;
static atomic_int woken, offered;
static int effect[3]; /* plain: the children's effects, read by the owner */

static void must(int condition, const char *what)
{
    if (!condition) {
        printf("%s\n", what);
        abort();
    }
}

static void ended(void)
{
    if (atomic_fetch_sub_explicit(&live, 1, memory_order_acq_rel) == 1)
        must(atomic_fetch_add_explicit(&woken, 1, memory_order_release) == 0, "woken twice");
}

static void *child(void *arg)
{
    effect[(long)arg] = 1;
    ended();
    return NULL;
}

/* A member: counts its own child before it publishes it. */
static void *member(void *arg)
{
    (void)arg;
    effect[1] = 1;
    atomic_fetch_add_explicit(&live, 1, memory_order_acq_rel);
    atomic_store_explicit(&offered, 1, memory_order_release);
    ended();
    return NULL;
}

static void *thief(void *arg)
{
    while (atomic_load_explicit(&offered, memory_order_acquire) == 0)
        IDLE();
    return child(arg);
}

int main(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[3];
        long spawned = 2, done = 0; /* the owner's own */
        atomic_init(&live, BIAS);
        atomic_init(&woken, 0);
        atomic_init(&offered, 0);
        effect[0] = effect[1] = effect[2] = 0;
        pthread_create(&threads[0], NULL, child, (void *)0L);
        pthread_create(&threads[1], NULL, member, NULL);
        pthread_create(&threads[2], NULL, thief, (void *)2L);
        long balance = spawned - done - BIAS;
        if (atomic_fetch_add_explicit(&live, balance, memory_order_acq_rel) + balance != 0)
            while (atomic_load_explicit(&woken, memory_order_acquire) == 0)
                IDLE();
        else
            must(atomic_load(&woken) == 0, "woken although the owner closed");
        must(effect[0] + effect[1] + effect[2] == 3, "closed before the last child had ended");
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        must(atomic_load(&live) == 0, "the count is off");
    }
    return 0;
}
