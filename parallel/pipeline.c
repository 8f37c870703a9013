/*
 * pipeline.c - items that pass stages, in tokens.
 *
 * There are in_flight tokens, each with room for an item. A task carries a token from stage to stage as far as it goes; who has a
 * token (or finds it, below) alone touches it. Nobody waits.
 *
 * The source is held by one strand at a time, with a token to fill. When it has filled it, it hands the source on to a new task if
 * there is a free token, and goes on with its item. `credits` is the number of free tokens, or -1: the source waits for one. Who frees a
 * token pushes it first and then adds a credit: if it finds -1, it has the source, and goes on there. All acquire-release: the token is
 * seen by the holder that took its credit. Tokens are pushed by anybody and taken, all at once, by the holder of the source only.
 *
 * An ordered stage has a ring of words, one for each number modulo in_flight. Word n is changed by an exchange from two sides: the
 * token with number n when it arrives (EMPTY -> token), and the turn, when number n - 1 has passed (EMPTY -> TURN). The one that comes
 * second finds the other, empties the word, and carries the token on. Both numbers n and n + in_flight cannot be about at one time: as
 * long as n has not passed, all that are behind it are in flight, and there are at most in_flight. And who empties word n hands on
 * the turn afterwards, which every later number passed through: so n + in_flight sees it empty.
 *
 * A failing stage is a failing task: the group cancels the others. Tokens may then lie in rings or with tasks that were cut: after the
 * group has been closed the caller discards the items of all that are full.
 *
 * A token that cannot be given to a task of its own (-ENOMEM) is kept in the list of the one at hand and carried on later.
 */
#include <yoke/yoke.h>
#include <yoke/parallel.h>

#include <errno.h>

#include "atomic.h"
#include "platform.h"

#define EMPTY ((uintptr_t)0)
#define TURN ((uintptr_t)1)

enum { IN_FLIGHT_EACH = 4 };

struct token {
    struct pipe *pipe;
    struct token *next; /* of the free ones, or of those that a task has still to carry */
    uint64_t number;
    size_t stage;       /* to be entered next; 0: it has the source */
    bool turn;          /* it has its turn in that stage */
    bool full;
    void *item;
};

struct pipe {
    yoke_group group;
    const yoke_stage *stages;
    size_t count;
    uint64_t in_flight;
    const char *name;
    const yoke_site *site;
    struct token *tokens;
    uintptr_t *rings;   /* in_flight words for each stage */
    /* with the source */
    uint64_t next_number;
    struct token *spare;
    /* shared */
    int64_t credits __attribute__((aligned(64)));
    struct token *freed;
};

/* What a task has still to carry. */
struct load {
    struct token *first;
};

static int carry(void *arg);

/* The token is ready to go on: gives it to a task, or keeps it. */
static void go_on(struct token *token, struct load *load)
{
    struct pipe *p = token->pipe;
    yoke_spawn_options options = { .size = sizeof options, .name = p->name, .site = p->site };
    int rc = yoke_spawn_task(p->group, carry, token, 0, &options);
    if (rc == -ENOMEM) {
        token->next = load->first;
        load->first = token;
    } /* else it is theirs, or the group is cancelled and the token lies until the end */
}

/* ---- turns ------------------------------------------------------------------------------------------------------------ */

static uintptr_t *word_of(const struct pipe *p, size_t stage, uint64_t number)
{
    return &p->rings[stage * p->in_flight + number % p->in_flight];
}

/* False: it lies in the ring, and is not the caller's any more. */
static bool my_turn(struct token *token)
{
    if (token->turn) {
        token->turn = false;
        return true;
    }
    uintptr_t *word = word_of(token->pipe, token->stage, token->number);
    if (yoke__xchg_acq_rel(word, (uintptr_t)token) != TURN) /* pairs with pass_turn() */
        return false;
    yoke__store_relaxed(word, EMPTY); /* released by handing on the turn */
    return true;
}

static void pass_turn(struct pipe *p, size_t stage, uint64_t number, struct load *load)
{
    uintptr_t *word = word_of(p, stage, number);
    uintptr_t found = yoke__xchg_acq_rel(word, TURN); /* pairs with my_turn() */
    if (found == EMPTY)
        return;
    struct token *token = (struct token *)found;
    yoke__store_relaxed(word, EMPTY); /* as above */
    token->turn = true;
    go_on(token, load);
}

/* ---- the source -------------------------------------------------------------------------------------------------------- */

/* With the source and a credit. */
static struct token *take_free(struct pipe *p)
{
    if (p->spare == NULL)
        p->spare = yoke__xchg_acq_rel(&p->freed, NULL); /* pairs with set_free() */
    struct token *token = p->spare;
    p->spare = token->next;
    token->stage = 0;
    return token;
}

/* The token that has the source now, or NULL. */
static struct token *set_free(struct token *token)
{
    struct pipe *p = token->pipe;
    token->full = false;
    token->next = yoke__load_relaxed(&p->freed);
    while (!yoke__cas_acq_rel(&p->freed, &token->next, token)) /* pairs with take_free() */
        ;
    return yoke__add_acq_rel(&p->credits, 1) < 0 ? take_free(p) : NULL; /* pairs with fill() */
}

/* > 0: filled; 0: that was all. */
static int fill(struct token *token, struct load *load)
{
    struct pipe *p = token->pipe;
    int rc = p->stages[0].fn(token->item, p->stages[0].arg);
    if (rc <= 0)
        return rc;
    token->full = true;
    token->turn = false;
    token->number = p->next_number++;
    token->stage = 1;
    if (yoke__sub_acq_rel(&p->credits, 1) > 0) /* pairs with set_free() */
        go_on(take_free(p), load);
    return rc;
}

/* ---- stages ----------------------------------------------------------------------------------------------------------- */

/* As far as it goes. *next: a token to carry after this one, or NULL. */
static int advance(struct token *token, struct load *load, struct token **next)
{
    struct pipe *p = token->pipe;
    *next = NULL;
    if (token->stage == 0) {
        int rc = yoke_checkpoint();
        if (rc < 0 || (rc = fill(token, load)) <= 0)
            return rc;
    }
    for (; token->stage < p->count; token->stage++) {
        const yoke_stage *stage = &p->stages[token->stage];
        bool ordered = stage->kind == YOKE_STAGE_ORDERED;
        if (ordered && !my_turn(token))
            return 0;
        int rc = yoke_checkpoint();
        if (rc < 0 || (rc = stage->fn(token->item, stage->arg)) < 0)
            return rc;
        if (ordered)
            pass_turn(p, token->stage, token->number + 1, load);
    }
    *next = set_free(token);
    return 0;
}

static int carry(void *arg)
{
    struct token *token = arg;
    struct load load = { NULL };
    int rc = 0;
    while (token != NULL && rc >= 0) {
        struct token *next;
        rc = advance(token, &load, &next);
        if (next == NULL && (next = load.first) != NULL)
            load.first = next->next;
        token = next;
    }
    return rc < 0 ? rc : 0;
}

/* ---- the call --------------------------------------------------------------------------------------------------------- */

/* Tokens, rings and items in one piece; NULL: no memory. */
static void *make_tokens(struct pipe *p, size_t item_size)
{
    size_t n = p->in_flight, stride, words, head, bytes;
    if (__builtin_add_overflow(item_size, (size_t)15, &stride))
        return NULL;
    stride &= ~(size_t)15;
    if (__builtin_mul_overflow(n, p->count, &words) || __builtin_mul_overflow(words, sizeof(uintptr_t), &words) ||
        __builtin_add_overflow(n * sizeof(struct token) + 16, words, &head) || __builtin_mul_overflow(n, stride, &bytes) ||
        __builtin_add_overflow(bytes, head &= ~(size_t)15, &bytes))
        return NULL;
    unsigned char *memory = yoke__os_alloc(bytes, 64);
    if (memory == NULL)
        return NULL;
    p->tokens = (struct token *)(void *)memory;
    p->rings = (uintptr_t *)(void *)(memory + n * sizeof(struct token));
    for (size_t i = 0; i < n; i++)
        p->tokens[i] = (struct token){ .pipe = p, .next = i + 1 < n ? &p->tokens[i + 1] : NULL, .item = memory + head + i * stride };
    for (size_t i = 0; i < n * p->count; i++)
        p->rings[i] = i % n == 0 ? TURN : EMPTY;
    p->spare = p->tokens[0].next;
    p->credits = (int64_t)n - 1;
    return memory;
}

static void discard_rest(struct pipe *p, const yoke_pipeline_options *options)
{
    if (options->discard == NULL)
        return;
    for (uint64_t i = 0; i < p->in_flight; i++)
        if (p->tokens[i].full)
            options->discard(p->tokens[i].item, options->discard_arg);
}

int yoke_parallel_pipeline(const yoke_stage *stages, size_t count, const yoke_pipeline_options *options)
{
    if (stages == NULL || count == 0 || options == NULL || options->item_size == 0)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (stages[i].fn == NULL)
            return -EINVAL;
    int rc = yoke_checkpoint();
    if (rc < 0)
        return rc;
    struct pipe p = { .stages = stages, .count = count, .name = options->name != NULL ? options->name : "pipeline", .site = options->site,
                      .in_flight = options->in_flight > 0 ? options->in_flight : IN_FLIGHT_EACH * (uint64_t)yoke_workers() };
    void *memory = make_tokens(&p, options->item_size);
    if (memory == NULL)
        return -ENOMEM;
    p.group = yoke_group_open(&(const yoke_group_options){ .size = sizeof(yoke_group_options), .name = p.name, .site = p.site });
    rc = p.group.block != NULL ? carry(&p.tokens[0]) : 0;
    rc = yoke_group_close(p.group, rc);
    discard_rest(&p, options);
    yoke__os_free(memory);
    return rc;
}
