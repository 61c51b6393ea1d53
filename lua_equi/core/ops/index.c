/* index.c -- elements chosen and placed by index: index_select, gather, scatter and their
 * relatives.
 *
 * Ids are i64 and count from 1. All are checked before anything is written; the message names the
 * id, the dim and its size. Where several ids name one place, sums are made in the order of the
 * ids on any number of threads; a plain scatter keeps the last. */
#include "../equi.h"
#include <inttypes.h>
#include <string.h>

enum { PIECE = 16384 };

/* ---- common ---- */
static int64_t product_of(int n, const int64_t *shape) {
  int64_t p = 1;
  for (int d = 0; d < n; d++) p *= shape[d];
  return p;
}

static int check_ids(const eq_tensor *ids, int64_t dim, int64_t size) {
  const int64_t *id = (const int64_t *)(const void *)ids->data;
  for (int64_t i = 0; i < ids->numel; i++)
    if (id[i] < EQ_BASE || id[i] >= size + EQ_BASE)
      return eq_fail("id %" PRId64 " is out of range in dim %" PRId64 ", which has size %" PRId64
                     "; ids count from 1",
                     id[i], dim + 1, size);
  return EQ_OK;
}

static int give(eq_call *c, eq_tensor *y) {
  c->out[0] = y;
  c->nout = 1;
  return y ? EQ_OK : eq_error.status;
}

static eq_tensor *zeros_like(const eq_tensor *x) { return eq_zeros(x->dtype, x->ndim, x->shape); }

static int like_first(eq_call *c) {
  return eq_out(c, 0, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->shape);
}

static void copy_first(eq_call *c) {
  eq_tensor *y = c->out[0];
  if (y->numel) memcpy(y->data, c->in[0]->data, (size_t)y->numel * eq_size(y->dtype));
}

/* ---- index_select, index_add: x seen as outer x n x inner ---- */
typedef struct lines {
  const char *x;
  char *y;
  const int64_t *ids;
  int64_t n, m, inner, size, outer,
      cut; /* m ids; elements of `size` bytes; cut: index_add's piece */
} lines;

static lines lines_of(const eq_tensor *x, int64_t d, const eq_tensor *ids) {
  lines q = {.ids = (const int64_t *)(const void *)ids->data, .m = ids->numel};
  q.n = x->ndim ? x->shape[d] : 1;
  q.outer = product_of((int)d, x->shape);
  q.inner = x->ndim ? product_of(x->ndim - (int)d - 1, x->shape + d + 1) : 1;
  q.size = (int64_t)eq_size(x->dtype);
  return q;
}

static void select_rows(int64_t begin, int64_t end, void *ctx) {
  const lines *q = ctx;
  int64_t bytes = q->inner * q->size;
  for (int64_t r = begin; r < end; r++) {
    const char *from = q->x + (r / q->m * q->n + q->ids[r % q->m] - EQ_BASE) * bytes;
    char *to = q->y + r * bytes;
    if (bytes == 4)
      memcpy(to, from, 4);
    else if (bytes == 8)
      memcpy(to, from, 8);
    else
      memcpy(to, from, (size_t)bytes);
  }
}

static int index_select_shape(eq_call *c) {
  const eq_tensor *x = c->in[0], *ids = c->in[1];
  int64_t shape[EQ_MAXDIM];
  if (x->ndim == 0) return eq_fail("x is a single number and has no dims");
  if (ids->ndim > 1)
    return eq_fail("ids must be a list, they are %s; gather takes more", eq_shape_of(ids));
  memcpy(shape, x->shape, sizeof shape);
  shape[c->arg[0].i] = ids->numel;
  return eq_out(c, 0, x->dtype, x->ndim, shape);
}

static int index_select_run(eq_call *c) {
  const eq_tensor *x = c->in[0];
  lines q = lines_of(x, c->arg[0].i, c->in[1]);
  if (check_ids(c->in[1], c->arg[0].i, q.n)) return EQ_ERR;
  if (c->out[0]->numel == 0) return EQ_OK;
  q.x = x->data, q.y = c->out[0]->data;
  int64_t grain = PIECE / q.inner;
  return eq_parallel_for(q.outer * q.m, grain < 1 ? 1 : grain, select_rows, &q);
}

static int index_select_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  gx[0] = eq_f("index_add", "Titt", zeros_like(c->in[0]), c->arg[0].i, c->in[1], gy[0]);
  return eq_error.status;
}

/* Pieces of `cut` elements of the inner dim; inside one, the ids in order. */
#define ADD(S, U)                                                                                  \
  EQ_SIMD static void add_##S(int64_t begin, int64_t end, void *ctx) {                             \
    const lines *q = ctx;                                                                          \
    int64_t cuts = (q->inner + q->cut - 1) / q->cut;                                               \
    for (int64_t k = begin; k < end; k++) {                                                        \
      int64_t o = k / cuts, from = k % cuts * q->cut;                                              \
      int64_t n = q->inner - from < q->cut ? q->inner - from : q->cut;                             \
      for (int64_t j = 0; j < q->m; j++) {                                                         \
        const S *x = (const S *)(const void *)q->x + (o * q->m + j) * q->inner + from;             \
        S *y = (S *)(void *)q->y + (o * q->n + q->ids[j] - EQ_BASE) * q->inner + from;             \
        for (int64_t i = 0; i < n; i++) y[i] = (S)((U)y[i] + (U)x[i]);                             \
      }                                                                                            \
    }                                                                                              \
  }
ADD(float, float)
ADD(double, double)
ADD(int64_t, uint64_t)
ADD(uint8_t, uint8_t)
static const eq_range_fn add_rows[EQ_NDTYPE] = {add_float, add_double, add_int64_t, add_uint8_t,
                                                NULL};

static int index_add_shape(eq_call *c) {
  const eq_tensor *x = c->in[0], *ids = c->in[1], *s = c->in[2];
  int64_t d = c->arg[0].i, shape[EQ_MAXDIM];
  if (x->ndim == 0) return eq_fail("x is a single number and has no dims");
  if (ids->ndim > 1)
    return eq_fail("ids must be a list, they are %s; scatter_add takes more", eq_shape_of(ids));
  memcpy(shape, x->shape, sizeof shape);
  shape[d] = ids->numel;
  if (s->ndim != x->ndim || memcmp(shape, s->shape, (size_t)s->ndim * sizeof *shape))
    return eq_fail("src is %s; for %" PRId64 " ids in dim %" PRId64 " of %s it must be %s",
                   eq_shape_of(s), ids->numel, d + 1, eq_shape_of(x), eq_shape_str(x->ndim, shape));
  return like_first(c);
}

static int index_add_run(eq_call *c) {
  const eq_tensor *x = c->in[0], *s = c->in[2];
  lines q = lines_of(x, c->arg[0].i, c->in[1]);
  if (check_ids(c->in[1], c->arg[0].i, q.n)) return EQ_ERR;
  copy_first(c);
  if (s->numel == 0) return EQ_OK;
  q.x = s->data, q.y = c->out[0]->data;
  q.cut = q.m * q.inner <= PIECE ? q.inner : 256;
  int64_t each = q.m * (q.inner < q.cut ? q.inner : q.cut), grain = PIECE / each;
  int64_t cuts = (q.inner + q.cut - 1) / q.cut;
  return eq_parallel_for(q.outer * cuts, grain < 1 ? 1 : grain, add_rows[x->dtype], &q);
}

static int index_add_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (eq_needed(c, 0)) gx[0] = eq_retain(gy[0]);
  if (eq_needed(c, 2)) gx[2] = eq_f("index_select", "tit", gy[0], c->arg[0].i, c->in[1]);
  return eq_error.status;
}

/* ---- gather, scatter: ids may be smaller than x in the other dims ---- */
typedef struct places {
  char *x; /* where the ids point */
  char *v; /* the values beside the ids; step 0: one for all */
  const int64_t *ids;
  int ndim, dim;
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM]; /* of ids; of x */
  int64_t row, step, block;                    /* elements of the last dim; rows of one block */
} places;

/* Offset in x of the first element of a row of ids, without the part that the ids say. */
static int64_t row_base(const places *q, int64_t row) {
  int64_t at = 0;
  for (int d = q->ndim - 2; d >= 0; d--) {
    if (d != q->dim) at += row % q->shape[d] * q->stride[d];
    row /= q->shape[d];
  }
  return at;
}

/* For every id: x, the element it names; v, the value beside it. */
#define WALK(name, S, DO)                                                                          \
  static void name##_##S(int64_t begin, int64_t end, void *ctx) {                                  \
    const places *q = ctx;                                                                         \
    int64_t walk = q->dim == q->ndim - 1 ? 0 : 1, along = q->stride[q->dim];                       \
    for (int64_t r = begin * q->block; r < end * q->block; r++) {                                  \
      const int64_t *id = q->ids + r * q->row;                                                     \
      S *xs = (S *)(void *)q->x + row_base(q, r), *vs = (S *)(void *)q->v + r * q->row * q->step;  \
      for (int64_t i = 0; i < q->row; i++) {                                                       \
        S *x = xs + i * walk + (id[i] - EQ_BASE) * along, *v = vs + i * q->step;                   \
        DO;                                                                                        \
      }                                                                                            \
    }                                                                                              \
  }
WALK(gather, uint8_t, *v = *x)
WALK(gather, uint32_t, *v = *x)
WALK(gather, uint64_t, *v = *x)
WALK(put, uint8_t, *x = *v)
WALK(put, uint32_t, *x = *v)
WALK(put, uint64_t, *x = *v)
WALK(sum, float, *x += *v)
WALK(sum, double, *x += *v)
WALK(sum, uint64_t, *x += *v)
WALK(sum, uint8_t, *x = (uint8_t)(*x + *v))
static const eq_range_fn gather_of[EQ_NDTYPE] = {gather_uint32_t, gather_uint64_t, gather_uint64_t,
                                                 gather_uint8_t, gather_uint8_t};
static const eq_range_fn put_of[EQ_NDTYPE] = {put_uint32_t, put_uint64_t, put_uint64_t, put_uint8_t,
                                              put_uint8_t};
static const eq_range_fn sum_of[EQ_NDTYPE] = {sum_float, sum_double, sum_uint64_t, sum_uint8_t,
                                              NULL};

static int check_places(const eq_call *c) {
  const eq_tensor *x = c->in[0], *ids = c->in[1];
  int64_t dim = c->arg[0].i;
  if (x->ndim == 0) return eq_fail("x is a single number and has no dims");
  if (ids->ndim != x->ndim)
    return eq_fail("ids need as many dims as x: ids are %s, x is %s", eq_shape_of(ids),
                   eq_shape_of(x));
  for (int d = 0; d < x->ndim; d++)
    if (d != dim && ids->shape[d] > x->shape[d])
      return eq_fail("ids are %s and larger than x, which is %s, in dim %d", eq_shape_of(ids),
                     eq_shape_of(x), d + 1);
  return EQ_OK;
}

/* A block is the rows that may name the same places: everything behind the dims before dim. */
static int walk_places(const eq_call *c, char *x, char *v, int64_t step, const eq_range_fn *fn) {
  const eq_tensor *like = c->in[0], *ids = c->in[1];
  places q = {.x = x, .v = v, .step = step, .ndim = like->ndim, .dim = (int)c->arg[0].i};
  if (check_ids(ids, q.dim, like->shape[q.dim])) return EQ_ERR;
  if (ids->numel == 0) return EQ_OK;
  q.ids = (const int64_t *)(const void *)ids->data;
  memcpy(q.shape, ids->shape, sizeof q.shape);
  eq_strides(like->ndim, like->shape, q.stride);
  q.row = q.shape[q.ndim - 1];
  int64_t rows = ids->numel / q.row, blocks = product_of(q.dim, q.shape);
  if (q.dim == q.ndim - 1) blocks = rows;
  if (fn == gather_of) blocks = rows; /* reads only: any cut will do */
  q.block = rows / blocks;
  int64_t grain = PIECE / (q.block * q.row);
  return eq_parallel_for(blocks, grain < 1 ? 1 : grain, fn[like->dtype], &q);
}

static int gather_shape(eq_call *c) {
  return check_places(c) ? EQ_ERR : eq_out(c, 0, c->in[0]->dtype, c->in[1]->ndim, c->in[1]->shape);
}

static int gather_run(eq_call *c) {
  return walk_places(c, c->in[0]->data, c->out[0]->data, 1, gather_of);
}

static int gather_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  gx[0] = eq_f("scatter_add", "Titt", zeros_like(c->in[0]), c->arg[0].i, c->in[1], gy[0]);
  return eq_error.status;
}

static int scatter_shape(eq_call *c) {
  const eq_tensor *s = c->in[2];
  if (check_places(c)) return EQ_ERR;
  if (s->ndim && !eq_same_shape(s, c->in[1]))
    return eq_fail("src is %s, ids are %s; they must agree, or src be a number", eq_shape_of(s),
                   eq_shape_of(c->in[1]));
  return like_first(c);
}

static int scatter_run(eq_call *c) {
  copy_first(c);
  return walk_places(c, c->out[0]->data, c->in[2]->data, c->in[2]->ndim ? 1 : 0, put_of);
}

static int scatter_add_run(eq_call *c) {
  copy_first(c);
  return walk_places(c, c->out[0]->data, c->in[2]->data, c->in[2]->ndim ? 1 : 0, sum_of);
}

static int grad_src(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (!eq_needed(c, 2)) return eq_error.status;
  eq_tensor *g = eq_f("gather", "tit", gy[0], c->arg[0].i, c->in[1]);
  gx[2] = g && c->in[2]->ndim == 0 ? eq_f("sum", "T", g) : g;
  return eq_error.status;
}

static int scatter_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (eq_needed(c, 0)) gx[0] = eq_f("scatter", "titn", gy[0], c->arg[0].i, c->in[1], 0.0);
  return grad_src(c, gy, gx);
}

static int scatter_add_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (eq_needed(c, 0)) gx[0] = eq_retain(gy[0]);
  return grad_src(c, gy, gx);
}

/* ---- take ---- */
static int take(eq_call *c) {
  eq_tensor *x = c->in[0], *ids = c->in[1];
  eq_tensor *flat = eq_f("reshape", "tl", x, 1, &(int64_t){-1});
  eq_tensor *list = eq_f("reshape", "tl", ids, 1, &(int64_t){ids->numel});
  return give(c, eq_f("reshape", "Tl", eq_f("index_select", "TiT", flat, (int64_t)0, list),
                      ids->ndim, ids->shape));
}

/* ---- one_hot ---- */
static int one_hot_shape(eq_call *c) {
  const eq_tensor *ids = c->in[0];
  const int64_t *id = (const int64_t *)(const void *)ids->data;
  int64_t shape[EQ_MAXDIM + 1], most = 0;
  for (int64_t i = 0; i < ids->numel; i++) most = id[i] > most ? id[i] : most;
  if (eq_given(c, 0) && c->arg[0].i < 1)
    return eq_fail("classes must be at least 1, got %" PRId64, c->arg[0].i);
  memcpy(shape, ids->shape, sizeof ids->shape);
  shape[ids->ndim] = eq_given(c, 0) ? c->arg[0].i : most;
  return eq_out(c, 0, (eq_dtype)c->arg[1].i, ids->ndim + 1, shape);
}

static int one_hot_run(eq_call *c) {
  const eq_tensor *ids = c->in[0];
  eq_tensor *y = c->out[0];
  int64_t classes = y->shape[y->ndim - 1];
  const int64_t *id = (const int64_t *)(const void *)ids->data;
  if (check_ids(ids, y->ndim - 1, classes)) return EQ_ERR;
  if (y->numel) memset(y->data, 0, (size_t)y->numel * eq_size(y->dtype));
  for (int64_t i = 0; i < ids->numel; i++) eq_set(y, i * classes + id[i] - EQ_BASE, 1);
  return EQ_OK;
}

#define XDI "x:tensor, dim:dim, ids:index"
const eq_op ops_index[] = {
    {.name = "index_select",
     .sig = XDI " -> y",
     .doc =
         "The entries of a dim that ids, a list counted from 1, name, in that order. Repeats are "
         "allowed.\nAn id out of range is an error.",
     .example = "print(equi.arange(5):index_select(1, equi.tensor({5, 1}, {dtype = "
                "\"i64\"})):sum():item())  --> 6",
     .shape = index_select_shape,
     .run = index_select_run,
     .back = index_select_back,
     .flags = EQ_SAVE_IN1,
     .where = EQ_HERE},
    {.name = "index_add",
     .sig = "x:number, dim:dim, ids:index, src:number -> y",
     .doc = "x with src[j] added to the entry ids[j] of a dim; entries named twice get both, in "
            "order.",
     .example = "local i = equi.tensor({2, 2}, {dtype = \"i64\"})\n"
                "print(equi.zeros(3):index_add(1, i, equi.ones(2))[2]:item())  --> 2.0",
     .shape = index_add_shape,
     .run = index_add_run,
     .back = index_add_back,
     .flags = EQ_SAVE_IN1 | EQ_INPLACE,
     .where = EQ_HERE},
    {.name = "gather",
     .sig = XDI " -> y",
     .doc = "y has the shape of ids; for dim 2: y[i][j] = x[i][ids[i][j]]. ids have x's number of "
            "dims "
            "and are\nnot larger than x in the others.",
     .example = "local x = equi.tensor({{1, 2}, {3, 4}})\nlocal i = equi.tensor({{2}, {1}}, {dtype "
                "= \"i64\"})\n"
                "print(x:gather(2, i):sum():item())  --> 5.0",
     .shape = gather_shape,
     .run = gather_run,
     .back = gather_back,
     .flags = EQ_SAVE_IN1,
     .where = EQ_HERE},
    {.name = "scatter",
     .sig = XDI ", src:operand -> y",
     .doc =
         "x with src written where ids say, the inverse of gather; for dim 2: y[i][ids[i][j]] = "
         "src[i][j].\nsrc has the shape of ids or is a number. Of several values for one place the "
         "last stays.",
     .example = "local i = equi.tensor({{2}, {1}}, {dtype = \"i64\"})\n"
                "print(equi.zeros(2, 2):scatter(2, i, 7)[1][2]:item())  --> 7.0",
     .shape = scatter_shape,
     .run = scatter_run,
     .back = scatter_back,
     .flags = EQ_SAVE_IN1 | EQ_INPLACE,
     .where = EQ_HERE},
    {.name = "scatter_add",
     .sig = "x:number, dim:dim, ids:index, src:operand -> y",
     .doc = "As scatter, but src is added to x; places named twice get both, in order.",
     .example = "local i = equi.tensor({1, 1}, {dtype = \"i64\"})\n"
                "print(equi.zeros(3):scatter_add(1, i, equi.ones(2))[1]:item())  --> 2.0",
     .shape = scatter_shape,
     .run = scatter_add_run,
     .back = scatter_add_back,
     .flags = EQ_SAVE_IN1 | EQ_INPLACE,
     .where = EQ_HERE},
    {.name = "take",
     .sig = "x:tensor, ids:index -> y",
     .doc = "Elements of x by their place in row-major order, counted from 1. The result has the "
            "shape of ids.",
     .example = "print(equi.eye(2):take(equi.tensor({4}, {dtype = \"i64\"})):item())  --> 1.0",
     .compose = take,
     .where = EQ_HERE},
    {.name = "one_hot",
     .sig = "ids:index, classes:int=nil, dtype:dtype=f32 -> y",
     .doc = "A new last dim of size `classes` with 1 at the id and 0 elsewhere. By default as many "
            "classes as the\nlargest id.",
     .example = "print(equi.tensor({2}, {dtype = \"i64\"}):one_hot(3)[1][2]:item())  --> 1.0",
     .shape = one_hot_shape,
     .run = one_hot_run,
     .flags = EQ_NO_GRAD,
     .where = EQ_HERE},
    {0}};
