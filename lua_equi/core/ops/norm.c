/* norm.c -- layer normalisation (Ba, Kiros, Hinton, "Layer normalization", 2016).
 *
 * Over the last dims, n numbers per row: h = (x - mean) / sqrt(var + eps), y = h w + b, where var
 * divides by n. One pass forward, one backward; mean and 1/sqrt(var + eps) are kept per row. The
 * gradients of w and b add up rows in fixed blocks, whatever the number of threads. */
#ifdef T
#include "../lanes.h"

EQ_INLINE void FN(row_forward)(const T *x, const T *w, const T *b, T mean, T rstd, T *y,
                               int64_t n) {
  if (w && b)
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd * w[i] + b[i];
  else if (w)
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd * w[i];
  else if (b)
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd + b[i];
  else
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd;
}

EQ_SIMD static void FN(forward)(const job *j, int64_t begin, int64_t end) {
  int64_t n = j->n;
  for (int64_t r = begin; r < end; r++) {
    const T *x = (const T *)j->x + r * n;
    T mean = FN(total)(x, n) / (T)n, var = FN(squares)(x, mean, n) / (T)n;
    T rstd = (T)(1 / sqrt((double)var + j->eps));
    ((T *)j->mean)[r] = mean;
    ((T *)j->rstd)[r] = rstd;
    FN(row_forward)(x, j->w, j->b, mean, rstd, (T *)j->y + r * n, n);
  }
}

/* gx = rstd (g w - mean(g w) - h mean(g w h)) for one row; gw += g h, gb += g. */
EQ_INLINE void FN(row_backward)(const T *x, const T *w, const T *g, T mean, T rstd, T *gx, T *gw,
                                T *gb, T *h, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    h[i] = (x[i] - mean) * rstd;
    gw[i] += g[i] * h[i];
    gb[i] += g[i];
  }
  if (w)
    for (int64_t i = 0; i < n; i++) gx[i] = g[i] * w[i];
  else
    memcpy(gx, g, (size_t)n * sizeof *g);
  T a = FN(total)(gx, n) / (T)n, b = FN(dot)(gx, h, n) / (T)n;
  for (int64_t i = 0; i < n; i++) gx[i] = rstd * (gx[i] - a - h[i] * b);
}

/* Block number k: `block` rows, which add to their own partial gw and gb; h is a row of scratch. */
EQ_SIMD static void FN(backward)(const job *j, int64_t begin, int64_t end) {
  int64_t n = j->n;
  for (int64_t k = begin; k < end; k++) {
    T *gw = (T *)j->partial + k * 3 * n, *gb = gw + n, *h = gb + n;
    int64_t last = (k + 1) * j->block < j->rows ? (k + 1) * j->block : j->rows;
    for (int64_t i = 0; i < 2 * n; i++) gw[i] = 0;
    for (int64_t r = k * j->block; r < last; r++) FN(row_backward)
    ((const T *)j->x + r * n, j->w, (const T *)j->g + r * n, ((T *)j->mean)[r], ((T *)j->rstd)[r],
     (T *)j->y + r * n, gw, gb, h, n);
  }
}

static void FN(add_partials)(const job *j, T *gw, T *gb) {
  for (int64_t i = 0; i < j->n; i++) gw[i] = gb[i] = 0;
  for (int64_t k = 0; k < j->blocks; k++) {
    const T *pw = (const T *)j->partial + k * 3 * j->n, *pb = pw + j->n;
    for (int64_t i = 0; i < j->n; i++) {
      gw[i] += pw[i];
      gb[i] += pb[i];
    }
  }
}
#else
#include "../equi.h"
#include <math.h>
#include <string.h>

enum { PIECE = 32768, MIN_ROWS = 16, MAX_BLOCKS = 64 };

typedef struct job {
  const void *x, *w, *b, *g;
  void *y, *mean, *rstd, *partial;
  int64_t n, rows, block, blocks;
  double eps;
  eq_dtype dtype;
} job;

#define EQ_FILE "ops/norm.c"
#include "../floats.h"

/* Checks that x ends with the sizes given; n: their product, lead: how many dims come before. */
static int normalized(const eq_call *c, int64_t *n, int *lead) {
  const eq_tensor *x = c->in[0];
  int k;
  const int64_t *size = eq_list(c, 0, &k);
  *n = 1;
  *lead = x->ndim - k;
  if (k < 1) return eq_fail("sizes must name at least the last dim");
  if (*lead < 0 || memcmp(size, x->shape + *lead, (size_t)k * sizeof *size))
    return eq_fail("x is %s and does not end with the sizes %s", eq_shape_of(x),
                   eq_shape_str(k, size));
  for (int d = 0; d < k; d++) *n *= size[d];
  for (int i = 1; i <= 2; i++) {
    const eq_tensor *w = c->in[i];
    if (w && (w->ndim != k || memcmp(size, w->shape, (size_t)k * sizeof *size)))
      return eq_fail("%s is %s, the sizes are %s", i == 1 ? "weight" : "bias", eq_shape_of(w),
                     eq_shape_str(k, size));
  }
  return EQ_OK;
}

static int layer_norm_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int64_t n, shape[EQ_MAXDIM];
  int lead;
  if (normalized(c, &n, &lead)) return EQ_ERR;
  for (int d = 0; d < x->ndim; d++) shape[d] = d < lead ? x->shape[d] : 1;
  int bad = eq_out(c, 0, x->dtype, x->ndim, x->shape);
  for (int k = 1; k <= 2 && !bad; k++) bad = eq_out(c, k, x->dtype, x->ndim, shape);
  return bad;
}

static void *data_of(const eq_tensor *x) { return x ? x->data : NULL; }

static void forward_piece(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  FLOAT_CALL(j->dtype, forward, (j, begin, end));
}

static int layer_norm_run(eq_call *c) {
  const eq_tensor *x = c->in[0];
  job j = {.x = x->data,
           .w = data_of(c->in[1]),
           .b = data_of(c->in[2]),
           .y = c->out[0]->data,
           .mean = c->out[1]->data,
           .rstd = c->out[2]->data,
           .rows = c->out[1]->numel,
           .eps = c->arg[1].f,
           .dtype = x->dtype};
  if (x->numel == 0) return EQ_OK;
  j.n = x->numel / j.rows;
  return eq_parallel_for(j.rows, j.n < PIECE ? PIECE / j.n : 1, forward_piece, &j);
}

/* ---- the rule, fused: only when the pass itself is not recorded ---- */
static int grad_shape(eq_call *c) {
  const eq_tensor *x = c->in[1];
  int64_t n = c->arg[0].i;
  int bad = eq_out(c, 0, x->dtype, x->ndim, x->shape);
  for (int k = 1; k <= 2 && !bad; k++) bad = eq_out(c, k, x->dtype, 1, &n);
  return bad;
}

static void backward_piece(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  FLOAT_CALL(j->dtype, backward, (j, begin, end));
}

static int grad_run(eq_call *c) {
  const eq_tensor *x = c->in[1];
  job j = {.g = c->in[0]->data,
           .x = x->data,
           .w = data_of(c->in[4]),
           .y = c->out[0]->data,
           .mean = c->in[2]->data,
           .rstd = c->in[3]->data,
           .rows = c->in[2]->numel,
           .n = c->arg[0].i,
           .dtype = x->dtype};
  j.block = (j.rows + MAX_BLOCKS - 1) / MAX_BLOCKS;
  if (j.block < MIN_ROWS) j.block = MIN_ROWS;
  j.blocks = (j.rows + j.block - 1) / j.block;
  size_t bytes = (size_t)(j.blocks * 3 * j.n) * eq_size(j.dtype);
  if (bytes && !(j.partial = eq_alloc(bytes))) return eq_error.status;
  int bad = eq_parallel_for(j.blocks, 1, backward_piece, &j);
  if (!bad && j.dtype == EQ_F32)
    add_partials_f32(&j, (float *)(void *)c->out[1]->data, (float *)(void *)c->out[2]->data);
  else if (!bad)
    add_partials_f64(&j, (double *)(void *)c->out[1]->data, (double *)(void *)c->out[2]->data);
  if (bytes) eq_free(j.partial, bytes);
  return bad;
}

/* Takes over g, n numbers, as the gradient of input i. */
static int give(eq_call *c, eq_tensor **gx, int i, eq_tensor *g) {
  if (!c->in[i] || !eq_needed(c, i)) {
    eq_release(g);
    return EQ_OK;
  }
  gx[i] = eq_f("reshape", "Tl", g, c->in[i]->ndim, c->in[i]->shape);
  return gx[i] ? EQ_OK : eq_error.status;
}

static int back_fused(eq_call *c, eq_tensor **gy, eq_tensor **gx, int64_t n) {
  eq_tensor *g[3];
  if (eq_fn("layer_norm_grad", g, "ttttti", gy[0], c->in[0], c->out[1], c->out[2], c->in[1], n))
    return eq_error.status;
  int bad = EQ_OK;
  for (int i = 0; i < 3; i++) bad |= give(c, gx, i, g[i]);
  return bad;
}

/* ---- the rule in ops, for gradients of gradients ---- */
static eq_tensor *row_mean(eq_tensor *x, int k, const int64_t *dims, int64_t n) {
  return eq_f("mul", "Tn", eq_f("sum", "Tlb", x, k, dims, 1), 1.0 / (double)n);
}

/* h and 1/sqrt(var + eps), computed again so that they depend on x. */
static eq_tensor *normalize(eq_call *c, int k, const int64_t *dims, int64_t n, eq_tensor **rstd) {
  eq_tensor *x = c->in[0], *centered = eq_f("sub", "tT", x, row_mean(eq_retain(x), k, dims, n));
  eq_tensor *var = centered ? row_mean(eq_f("square", "t", centered), k, dims, n) : NULL;
  *rstd = eq_f("rsqrt", "T", eq_f("add", "Tn", var, c->arg[1].f));
  return *rstd ? eq_f("mul", "Tt", centered, *rstd) : (eq_release(centered), NULL);
}

static int back_ops(eq_call *c, eq_tensor **gy, eq_tensor **gx, int64_t n, int lead) {
  int64_t dims[EQ_MAXDIM];
  int k = c->in[0]->ndim - lead;
  for (int d = 0; d < k; d++) dims[d] = lead + d;
  eq_tensor *rstd, *h = normalize(c, k, dims, n, &rstd);
  if (h && eq_needed(c, 0)) {
    eq_tensor *g = c->in[1] ? eq_f("mul", "tt", gy[0], c->in[1]) : eq_retain(gy[0]);
    eq_tensor *a = g ? eq_f("sub", "tT", g, row_mean(eq_retain(g), k, dims, n)) : NULL;
    eq_tensor *b = g ? row_mean(eq_f("mul", "tt", g, h), k, dims, n) : NULL;
    gx[0] = eq_f("mul", "tT", rstd, eq_f("sub", "TT", a, eq_f("mul", "tT", h, b)));
    eq_release(g);
  }
  for (int i = 1; h && i <= 2; i++) {
    if (!c->in[i] || !eq_needed(c, i)) continue;
    eq_tensor *g = i == 1 ? eq_f("mul", "tt", gy[0], h) : eq_retain(gy[0]);
    gx[i] = g ? eq_sum_to(g, c->in[i]->ndim, c->in[i]->shape) : NULL;
    eq_release(g);
  }
  eq_release(h);
  eq_release(rstd);
  return eq_error.status;
}

static int layer_norm_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  int64_t n;
  int lead;
  if (normalized(c, &n, &lead)) return EQ_ERR;
  return eq_grad_enabled ? back_ops(c, gy, gx, n, lead) : back_fused(c, gy, gx, n);
}

const eq_op ops_norm[] = {
    {.name = "layer_norm",
     .sig = "x:float, sizes:ints, weight:float?, bias:float?, eps:num=1e-5 -> y; mean, rstd",
     .doc = "(x - mean) / sqrt(var + eps) * weight + bias over the last dims of x, whose sizes are "
            "given;\n"
            "weight and bias have those sizes too. var divides by the number of elements.\n"
            "Ba, Kiros and Hinton, \"Layer normalization\", 2016.",
     .example = "local y = equi.layer_norm(equi.tensor({{1, 3}}), {2}, {eps = 0})\n"
                "print(y:totable()[1][2])  --> 1.0",
     .shape = layer_norm_shape,
     .run = layer_norm_run,
     .back = layer_norm_back,
     .flags = EQ_SAVE_IN0 | EQ_SAVE_IN1 | EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "layer_norm_grad",
     .sig = "g:float, x:float, mean:float, rstd:float, weight:float?, n:int -> gx, gw, gb",
     .doc = "The gradients of layer_norm for x, weight and bias in one pass.",
     .shape = grad_shape,
     .run = grad_run,
     .flags = EQ_HIDDEN | EQ_NO_GRAD,
     .where = EQ_HERE},
    {0}};
#endif
