/*
 * loop.c - the loop that splits on demand.
 *
 * Lazy binary splitting [Tzannes, Caragea, Barua, Vishkin, PPoPP 2010]: a piece does a few iterations, looks whether anybody wants work,
 * and if so forks the right half of what is left and goes on with the left one. Whether somebody wants work is told by the deque
 * (yoke_fork_wanted): nothing that lies in it could be taken now, and a worker has asked for more or none is left at all. While there
 * is no demand a piece costs a look for each chunk. A fork that nobody took is taken back at its join and done like the rest.
 *
 * What is different here. The first splits are made at once, whoever wants them, so that a few iterations of milliseconds are not
 * kept together while the first of them runs; forks cost some 10 ns. And the chunk is not fixed: it begins at one iteration
 * and grows until a call of the body takes about CHUNK_NS, which bounds what a look at the clock costs, and how long somebody
 * who wants work has to wait, wherever iterations resemble their neighbours. The last parts of a piece, behind which its worker has nothing left, are
 * split down to an eighth of that, since all wait for the last call of the body.
 *
 * Accumulators: the left half goes on with its piece's own, the right half begins with the identity, and the join combines them, so the
 * order is kept. If there is no memory for another one the piece is not split.
 *
 * Stack: halves halve, so a piece lies at most 63 splits deep, of a few hundred bytes each, and the join runs it on a fresh stack if need be.
 */
#include "loop.h"

#include <errno.h>
#include <string.h>

#include "platform.h"

enum { CHUNK_NS = 40 * 1000, LAST_PARTS = 8, PIECES_EACH = 4, SIDE = 64, TILES_EACH = 16 };

struct piece {
    struct yoke__loop *loop;
    int64_t begin, end;
    int64_t pieces; /* to be made of it at once */
    void *value;
};

/* ---- accumulators ----------------------------------------------------------------------------------------------------- */

void *yoke__value_make(void *small, const void *identity, size_t size)
{
    void *value = size <= YOKE__VALUE_SMALL ? small : yoke__os_alloc(size, 64);
    if (value != NULL && size > 0)
        memcpy(value, identity, size);
    return value;
}

void yoke__value_drop(void *value, const void *small)
{
    if (value != small)
        yoke__os_free(value);
}

/* ---- pieces ----------------------------------------------------------------------------------------------------------- */

static int run(void *arg);

/* The left half here, the right half as a fork. False: no memory, nothing has happened. */
static __attribute__((noinline)) bool split(struct piece *piece, int *rc)
{
    struct yoke__loop *loop = piece->loop;
    _Alignas(16) unsigned char small[YOKE__VALUE_SMALL];
    int64_t half = (piece->end - piece->begin) / 2;
    if (loop->grain > 1)
        half += (loop->grain - half % loop->grain) % loop->grain; /* whole grains; less than all, since there are more than one */
    struct piece left = *piece, right = *piece;
    left.end = right.begin = piece->begin + half;
    left.pieces = piece->pieces / 2;
    right.pieces = piece->pieces - left.pieces;
    right.value = yoke__value_make(small, loop->identity, loop->value_size);
    if (right.value == NULL)
        return false;
    yoke_forked fork;
    yoke_fork(&fork, run, &right);
    int first = run(&left), second = yoke_join(&fork);
    *rc = first < 0 ? first : second;
    if (*rc == 0 && loop->value_size > 0 && yoke__work_goes_on(&loop->work)) {
        int combined = loop->combine(left.value, right.value, loop->arg);
        if (combined < 0)
            *rc = yoke__work_failed(&loop->work, combined);
    }
    yoke__value_drop(right.value, small);
    return true;
}

/* A call of the body, which tells how many iterations the next one should do. */
static int timed(struct yoke__loop *loop, const struct piece *piece, int64_t chunk)
{
    int64_t before = yoke_now();
    int rc = loop->leaf(loop, piece->begin, piece->begin + chunk, piece->value);
    int64_t took = yoke_now() - before;
    if (took < CHUNK_NS / 2 && chunk < INT64_MAX / 16)
        yoke__store_relaxed(&loop->chunk, chunk * (took < CHUNK_NS / 16 ? 8 : 2)); /* a hint: others may overwrite it */
    else if (took > CHUNK_NS * 2 && chunk > 1)
        yoke__store_relaxed(&loop->chunk, chunk / 2);
    return rc;
}

static int run(void *arg)
{
    struct piece piece = *(struct piece *)arg;
    struct yoke__loop *loop = piece.loop;
    while (piece.begin < piece.end) {
        int64_t left = piece.end - piece.begin, chunk = yoke__load_relaxed(&loop->chunk); /* a hint */
        int rc;
        if (!yoke__work_goes_on(&loop->work))
            return 0;
        int64_t least = loop->grain > 0 ? chunk : (chunk + LAST_PARTS - 1) / LAST_PARTS;
        if (left > least && (piece.pieces > 1 || yoke_fork_wanted()) && split(&piece, &rc))
            return rc;
        if (left > chunk && loop->grain == 0) {
            rc = timed(loop, &piece, chunk);
            piece.begin += chunk;
        } else {
            if (left > chunk)
                left = chunk;
            rc = loop->leaf(loop, piece.begin, piece.begin + left, piece.value);
            piece.begin += left;
        }
        if (rc < 0)
            return yoke__work_failed(&loop->work, rc);
    }
    return 0;
}

int yoke__loop_run(struct yoke__loop *loop, int64_t begin, int64_t end, int64_t pieces, void *value)
{
    struct piece piece = { .loop = loop, .begin = begin, .end = end, .pieces = pieces, .value = value };
    loop->chunk = loop->grain > 0 ? loop->grain : 1;
    return run(&piece);
}

int64_t yoke__loop_pieces(void)
{
    return PIECES_EACH * (int64_t)yoke_workers();
}

int64_t yoke__range_length(int64_t begin, int64_t end)
{
    int64_t length;
    if (begin >= end)
        return 0;
    return __builtin_sub_overflow(end, begin, &length) ? -EINVAL : length;
}

static int64_t grain_of(const yoke_parallel_options *options)
{
    return options != NULL ? options->grain : 0;
}

/* ---- 1-D -------------------------------------------------------------------------------------------------------------- */

static int range_leaf(struct yoke__loop *loop, int64_t begin, int64_t end, void *value)
{
    (void)value;
    return loop->body(begin, end, loop->arg);
}

int yoke_parallel_for(int64_t begin, int64_t end, yoke_range_fn body, void *arg, const yoke_parallel_options *options)
{
    struct yoke__loop loop = { .leaf = range_leaf, .body = body, .arg = arg, .grain = grain_of(options) };
    if (body == NULL || loop.grain < 0 || yoke__range_length(begin, end) < 0)
        return -EINVAL;
    int rc = yoke__work_begin(&loop.work, "parallel for", options);
    if (rc < 0)
        return rc;
    return yoke__work_end(&loop.work, yoke__loop_run(&loop, begin, end, yoke__loop_pieces(), &loop));
}

/* ---- 2-D -------------------------------------------------------------------------------------------------------------- */

struct tiling {
    yoke_tile whole;
    int64_t rows, columns;      /* of a tile */
    int64_t tiles_across;
    yoke_tile_fn body;
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

/* Shrinks the longer side until there are enough tiles. */
static void choose_tile(struct tiling *t, int64_t height, int64_t width, int64_t grain)
{
    int64_t side = grain > 0 ? grain : SIDE;
    t->rows = height < side ? height : side;
    t->columns = width < side ? width : side;
    if (grain == 0) {
        int64_t enough = TILES_EACH * (int64_t)yoke_workers();
        while (t->rows * t->columns > 1 && ceil_div(height, t->rows) < enough && ceil_div(width, t->columns) < enough &&
               ceil_div(height, t->rows) * ceil_div(width, t->columns) < enough) {
            if (t->rows >= t->columns)
                t->rows = ceil_div(t->rows, 2);
            else
                t->columns = ceil_div(t->columns, 2);
        }
    }
    t->tiles_across = ceil_div(width, t->columns);
}

/* Tile number n, rows of tiles from the top. */
static yoke_tile tile_at(const struct tiling *t, int64_t n)
{
    int64_t row = t->whole.row_begin + n / t->tiles_across * t->rows, column = t->whole.column_begin + n % t->tiles_across * t->columns;
    return (yoke_tile){ .row_begin = row,
                        .row_end = t->whole.row_end - row < t->rows ? t->whole.row_end : row + t->rows,
                        .column_begin = column,
                        .column_end = t->whole.column_end - column < t->columns ? t->whole.column_end : column + t->columns };
}

static int tile_leaf(struct yoke__loop *loop, int64_t begin, int64_t end, void *value)
{
    const struct tiling *t = loop->more;
    (void)value;
    for (int64_t n = begin; n < end; n++) {
        yoke_tile tile = tile_at(t, n);
        int rc = yoke_checkpoint();
        if (rc >= 0)
            rc = t->body(&tile, loop->arg);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int yoke_parallel_for_2d(const yoke_tile *whole, yoke_tile_fn body, void *arg, const yoke_parallel_options *options)
{
    if (whole == NULL || body == NULL || grain_of(options) < 0)
        return -EINVAL;
    int64_t height = yoke__range_length(whole->row_begin, whole->row_end);
    int64_t width = yoke__range_length(whole->column_begin, whole->column_end);
    int64_t cells;
    if (height < 0 || width < 0 || __builtin_mul_overflow(height, width, &cells))
        return -EINVAL;
    struct tiling tiling = { .whole = *whole, .body = body };
    struct yoke__loop loop = { .leaf = tile_leaf, .more = &tiling, .arg = arg };
    int rc = yoke__work_begin(&loop.work, "parallel for", options);
    if (rc < 0)
        return rc;
    int64_t tiles = 0;
    if (cells > 0) {
        choose_tile(&tiling, height, width, grain_of(options));
        tiles = ceil_div(height, tiling.rows) * tiling.tiles_across;
    }
    return yoke__work_end(&loop.work, yoke__loop_run(&loop, 0, tiles, yoke__loop_pieces(), &loop));
}

/* ---- calls ------------------------------------------------------------------------------------------------------------ */

static int call_leaf(struct yoke__loop *loop, int64_t begin, int64_t end, void *value)
{
    const yoke_call_entry *calls = loop->more;
    (void)value;
    (void)end; /* the grain is 1 */
    return calls[begin].fn(calls[begin].arg);
}

int yoke_parallel_invoke_all(const yoke_call_entry *calls, size_t count)
{
    struct yoke__loop loop = { .leaf = call_leaf, .more = calls, .grain = 1 };
    for (size_t i = 0; i < count; i++)
        if (calls == NULL || calls[i].fn == NULL)
            return -EINVAL;
    int rc = yoke__work_begin(&loop.work, "parallel invoke", NULL);
    if (rc < 0)
        return rc;
    return yoke__work_end(&loop.work, yoke__loop_run(&loop, 0, (int64_t)count, (int64_t)count, &loop));
}
