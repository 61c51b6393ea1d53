/* compressed.c -- weights kept in half or a quarter of their bytes, for models that only infer.
 *
 *   bf16   the upper half of every f32, rounded to even
 *   int8   q = round(w / s) with s = max |w| / 127 for each output; w is about q s
 *
 * What is kept is a u8 tensor of [out, bytes], a row for each output, and the scales. Products take
 * it as it is where there are few rows (thin.c), else unpack the columns of one tile at a time.
 * Inputs and sums are f32. NOT a dtype: nothing else computes with these tensors. */
#include "../micro/gemm.h"
#include "../thin.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { BF16, INT8, PIECE = 32768, COLUMNS = 96, MOST_ROWS = 1008 };

/* ---- compress_weights ---- */
static int pack_shape(eq_call *c) {
  const eq_tensor *w = c->in[0];
  if (w->ndim != 2 || w->dtype != EQ_F32)
    return eq_fail("w must be f32 of out x in, it is %s %s", eq_dtype_name(w->dtype),
                   eq_shape_of(w));
  int64_t shape[2] = {w->shape[0], w->shape[1] * (c->arg[0].i == BF16 ? 2 : 1)};
  int64_t scales = c->arg[0].i == BF16 ? 0 : w->shape[0];
  int bad = eq_out(c, 0, EQ_U8, 2, shape);
  return bad ? bad : eq_out(c, 1, EQ_F32, 1, &scales);
}

static uint16_t bf16_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (x != x) return (uint16_t)(bits >> 16 | 0x40); /* rounding could make it infinite */
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void pack_rows(int64_t begin, int64_t end, void *ctx) {
  const eq_call *c = ctx;
  const int64_t k = c->in[0]->shape[1];
  const float *w = (const float *)(const void *)c->in[0]->data + begin * k;
  float *scale = (float *)(void *)c->out[1]->data;
  for (int64_t r = begin; r < end; r++, w += k) {
    if (c->arg[0].i == BF16) {
      uint16_t *h = (uint16_t *)(void *)c->out[0]->data + r * k;
      for (int64_t i = 0; i < k; i++) h[i] = bf16_of(w[i]);
      continue;
    }
    int8_t *q = (int8_t *)c->out[0]->data + r * k;
    float most = 0;
    for (int64_t i = 0; i < k; i++) most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
    scale[r] = most / 127;
    for (int64_t i = 0; i < k; i++) q[i] = most > 0 ? (int8_t)rintf(w[i] * (127 / most)) : 0;
  }
}

static int check_finite(const eq_tensor *w) {
  const float *x = (const float *)(const void *)w->data;
  for (int64_t i = 0; i < w->numel; i++)
    if (!isfinite(x[i]))
      return eq_fail("w holds %g; int8 can keep finite numbers only, bf16 all", (double)x[i]);
  return EQ_OK;
}

static int pack_run(eq_call *c) {
  const int64_t k = c->in[0]->shape[1];
  if (c->arg[0].i == INT8 && check_finite(c->in[0])) return EQ_ERR;
  if (c->in[0]->numel == 0) return EQ_OK;
  return eq_parallel_for(c->in[0]->shape[0], k < PIECE ? PIECE / k : 1, pack_rows, c);
}

/* ---- compressed_linear ---- */
enum { X, W, SCALE, BIAS };

static int linear_shape(eq_call *c) {
  const eq_tensor *x = c->in[X], *b = c->in[BIAS];
  int64_t shape[EQ_MAXDIM];
  eq_sgemm g = {.k = x->ndim ? x->shape[x->ndim - 1] : 0};
  if (x->dtype != EQ_F32 || x->ndim == 0)
    return eq_fail("x must be f32 with at least one dim, it is %s %s", eq_dtype_name(x->dtype),
                   eq_shape_of(x));
  if (c->in[W]->dtype == EQ_F32) return eq_fail("w must be of compress_weights, it is f32");
  if (eq_thin_weight(&g, c->in[W], c->in[SCALE], true)) return EQ_ERR;
  if (b && (b->ndim != 1 || b->shape[0] != g.n))
    return eq_fail("b is %s; it needs %" PRId64 " elements", eq_shape_of(b), g.n);
  memcpy(shape, x->shape, sizeof shape);
  shape[x->ndim - 1] = g.n;
  return eq_out(c, 0, EQ_F32, x->ndim, shape);
}

typedef struct wide {
  eq_sgemm g; /* of all columns */
  float *scratch;
  int64_t room;
} wide;

/* Columns unpacked into scratch, as dense ones, then an ordinary product, some rows at a time. */
static void wide_columns(int64_t begin, int64_t end, void *ctx) {
  const wide *q = ctx;
  eq_sgemm g = q->g;
  float *b = q->scratch + eq_thread() * q->room;
  for (int64_t j = begin; j < end; j++)
    eq_thin_unpack(g.store, g.b, j * g.k, g.k, g.scale ? g.scale[j] : 1, b + (j - begin) * g.k);
  g.b = b;
  g.n = end - begin;
  if (g.bias) g.bias += begin;
  for (int64_t i = 0; i < q->g.m; i += MOST_ROWS) {
    g.m = q->g.m - i < MOST_ROWS ? q->g.m - i : MOST_ROWS;
    g.a = q->g.a + i * g.ars;
    g.c = q->g.c + i * g.crs + begin;
    eq_sgemm_tile(&g, b + COLUMNS * g.k);
  }
}

static int run_wide(const eq_sgemm *g) {
  wide q = {.g = *g};
  eq_sgemm part = *g;
  part.n = COLUMNS;
  q.room = (COLUMNS * g->k + eq_sgemm_scratch(&part) + 15) / 16 * 16;
  size_t bytes = (size_t)(q.room * eq_threads()) * sizeof(float);
  q.scratch = eq_alloc(bytes);
  if (!q.scratch) return eq_error.status;
  int bad = eq_parallel_for(g->n, COLUMNS, wide_columns, &q);
  eq_free(q.scratch, bytes);
  return bad;
}

static int linear_run(eq_call *c) {
  const eq_tensor *x = c->in[X], *y = c->out[0];
  eq_sgemm g = {.k = x->shape[x->ndim - 1], .acs = 1};
  if (y->numel == 0) return EQ_OK;
  (void)eq_thin_weight(&g, c->in[W], c->in[SCALE], true);
  g.m = y->numel / g.n;
  g.a = (const float *)(const void *)x->data, g.ars = g.k;
  g.c = (float *)(void *)y->data, g.crs = g.n;
  if (c->in[BIAS]) g.bias = (const float *)(const void *)c->in[BIAS]->data;
  return g.m <= EQ_SKINNY ? eq_thin(&g, NULL) : run_wide(&g);
}

/* ---- compressed_rows ---- */
static int rows_shape(eq_call *c) {
  const eq_tensor *ids = c->in[0];
  int64_t shape[EQ_MAXDIM];
  eq_sgemm g = {.k = c->arg[0].i};
  if (ids->ndim == EQ_MAXDIM)
    return eq_fail("ids have %d dims, at most %d work", ids->ndim, EQ_MAXDIM - 1);
  if (eq_thin_weight(&g, c->in[1], c->in[2], true)) return EQ_ERR;
  memcpy(shape, ids->shape, sizeof shape);
  shape[ids->ndim] = g.k;
  return eq_out(c, 0, EQ_F32, ids->ndim + 1, shape);
}

static int rows_run(eq_call *c) {
  const int64_t *id = (const int64_t *)(const void *)c->in[0]->data;
  float *y = (float *)(void *)c->out[0]->data;
  eq_sgemm g = {.k = c->arg[0].i};
  (void)eq_thin_weight(&g, c->in[1], c->in[2], true);
  for (int64_t i = 0; i < c->in[0]->numel; i++, y += g.k) {
    const int64_t at = id[i] - EQ_BASE;
    if (at < 0 || at >= g.n)
      return eq_fail("id %" PRId64 " at position %" PRId64 " is outside 1 to %" PRId64
                     ", the rows of weight",
                     id[i], i + 1, g.n);
    eq_thin_unpack(g.store, g.b, at * g.k, g.k, g.scale ? g.scale[at] : 1, y);
  }
  return EQ_OK;
}

#define FLAGS (EQ_FUNCTION | EQ_NO_GRAD | EQ_MIXED)
const eq_op ops_compressed[] = {
    {.name = "compress_weights",
     .sig = "w:float, as:bf16|int8 -> y, scale",
     .doc = "The matrix w, f32 of out x in, in fewer bytes: a u8 tensor of out x bytes, and the "
            "scale of each\nrow (none for bf16). bf16 keeps the upper half of each number, int8 "
            "rounds to multiples of a\nrow's largest / 127. For compressed_linear; equi.compress "
            "does it for a whole model.",
     .example = "local y, scale = equi.compress_weights(equi.ones(2, 4), \"int8\")\n"
                "print(y:size())  --> 2 4\nprint(y[1][1]:item(), scale:size())  --> 127 2",
     .shape = pack_shape,
     .run = pack_run,
     .flags = FLAGS,
     .where = EQ_HERE},
    {.name = "compressed_linear",
     .sig = "x:float, w:tensor, scale:float?, b:float? -> y",
     .doc = "x w' + b as of linear, with w and scale of compress_weights. Not differentiable.\nUp "
            "to 8 rows of x cost what reading w costs; a row has the same bits whatever the "
            "others.",
     .example = "local w, scale = equi.compress_weights(equi.ones(2, 4), \"bf16\")\n"
                "print(equi.compressed_linear(equi.ones(3, 4), w, scale)[3][1]:item())  --> 4.0",
     .shape = linear_shape,
     .run = linear_run,
     .flags = FLAGS,
     .where = EQ_HERE},
    {.name = "compressed_rows",
     .sig = "ids:index, w:tensor, scale:float?, width:int -> y",
     .doc = "Rows of `width` numbers of a matrix of compress_weights, one for every id, as "
            "embedding gives them.",
     .example = "local w, scale = equi.compress_weights(equi.eye(3), \"bf16\")\n"
                "local ids = equi.tensor({3}, {dtype = \"i64\"})\n"
                "print(equi.compressed_rows(ids, w, scale, 3)[1][3]:item())  --> 1.0",
     .shape = rows_shape,
     .run = rows_run,
     .flags = FLAGS,
     .where = EQ_HERE},
    {0}};
