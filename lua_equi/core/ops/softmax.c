/* softmax.c -- softmax, log_softmax and logsumexp.
 *
 * softmax(x)_i = exp(x_i - m) / sum_j exp(x_j - m), m = max_j x_j, so nothing overflows.
 * The kernels see rows of n numbers behind each other (rows.c). A row of -inf alone gives NaN
 * (logsumexp: -inf); NaN in a row gives NaN for the whole row. */
#ifdef T
#include "../lanes.h"

/* y = exp(x - m); x and y may be the same. */
EQ_INLINE void FN(exp_minus)(const T *x, T m, T *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = EXP(x[i] - m);
}

EQ_INLINE void FN(scale)(T *y, T by, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] *= by;
}

EQ_INLINE void FN(minus)(const T *x, T m, T *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = x[i] - m;
}

/* sum of exp(x - m) without storing the exponentials of the whole row */
EQ_INLINE T FN(exp_total)(const T *x, T m, int64_t n) {
  T e[CHUNK], sum = 0;
  for (int64_t i = 0; i < n; i += CHUNK) {
    int64_t k = n - i < CHUNK ? n - i : CHUNK;
    FN(exp_minus)(x + i, m, e, k);
    sum += FN(total)(e, k);
  }
  return sum;
}

EQ_INLINE T FN(log_total)(const T *x, int64_t n) {
  T m = FN(largest)(x, n), shift = m - m == 0 ? m : 0;
  return shift + (T)log((double)FN(exp_total)(x, shift, n));
}

EQ_SIMD static void FN(softmax_rows)(const eq_rows *r, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++) {
    const T *x = (const T *)(const void *)r->a + k * r->n;
    T *y = (T *)(void *)r->y + k * r->n;
    FN(exp_minus)(x, FN(largest)(x, r->n), y, r->n);
    FN(scale)(y, 1 / FN(total)(y, r->n), r->n);
  }
}

EQ_SIMD static void FN(log_softmax_rows)(const eq_rows *r, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++) {
    const T *x = (const T *)(const void *)r->a + k * r->n;
    T m = FN(largest)(x, r->n);
    T *y = (T *)(void *)r->y + k * r->n;
    FN(minus)(x, m, y, r->n); /* first m, then the rest: x - (m + rest) would lose digits */
    FN(minus)(y, (T)log((double)FN(exp_total)(x, m, r->n)), y, r->n);
  }
}

EQ_SIMD static void FN(logsumexp_rows)(const eq_rows *r, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++)
    ((T *)(void *)r->y)[k] = FN(log_total)((const T *)(const void *)r->a + k * r->n, r->n);
}

/* gx = y (g - sum(g y)) */
EQ_SIMD static void FN(softmax_grad_rows)(const eq_rows *r, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++) {
    const T *g = (const T *)(const void *)r->a + k * r->n;
    const T *y = (const T *)(const void *)r->b + k * r->n;
    T *gx = (T *)(void *)r->y + k * r->n, s = FN(dot)(g, y, r->n);
    for (int64_t i = 0; i < r->n; i++) gx[i] = y[i] * (g[i] - s);
  }
}

/* gx = g - exp(y) sum(g) */
EQ_SIMD static void FN(log_softmax_grad_rows)(const eq_rows *r, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++) {
    const T *g = (const T *)(const void *)r->a + k * r->n;
    const T *y = (const T *)(const void *)r->b + k * r->n;
    T *gx = (T *)(void *)r->y + k * r->n, s = FN(total)(g, r->n);
    for (int64_t i = 0; i < r->n; i++) gx[i] = g[i] - EXP(y[i]) * s;
  }
}
#else
#include "../equi.h"
#include <math.h>
#include <string.h>

enum { CHUNK = 512 };

#define EQ_FILE "ops/softmax.c"
#include "../floats.h"

/* ---- softmax, log_softmax ---- */
static int same_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  return eq_out(c, 0, x->dtype, x->ndim, x->shape);
}

static int one_dim(eq_call *c, eq_row_fn f32, eq_row_fn f64) {
  unsigned mask = c->in[0]->ndim ? 1u << c->arg[0].i : 0;
  return eq_over_rows(c, mask, true, c->in[0]->dtype == EQ_F32 ? f32 : f64);
}

#define ONE_DIM(name)                                                                              \
  static int name##_run(eq_call *c) { return one_dim(c, name##_rows_f32, name##_rows_f64); }
ONE_DIM(softmax)
ONE_DIM(log_softmax)
ONE_DIM(softmax_grad)
ONE_DIM(log_softmax_grad)

static eq_tensor *sum_kept(eq_tensor *x, int64_t dim) {
  if (!x) return NULL;
  return x->ndim ? eq_f("sum", "Tlb", x, 1, &dim, 1) : x;
}

/* The fused kernels serve the usual pass; a pass that is itself recorded uses ops. */
static int softmax_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *y = c->out[0];
  int64_t dim = c->arg[0].i;
  if (!eq_grad_enabled)
    gx[0] = eq_f("softmax_grad", "tti", gy[0], y, dim);
  else
    gx[0] =
        eq_f("mul", "tT", y, eq_f("sub", "tT", gy[0], sum_kept(eq_f("mul", "tt", gy[0], y), dim)));
  return gx[0] ? EQ_OK : eq_error.status;
}

static int log_softmax_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *y = c->out[0];
  int64_t dim = c->arg[0].i;
  if (!eq_grad_enabled)
    gx[0] = eq_f("log_softmax_grad", "tti", gy[0], y, dim);
  else
    gx[0] = eq_f("sub", "tT", gy[0],
                 eq_f("mul", "TT", eq_f("exp", "t", y), sum_kept(eq_retain(gy[0]), dim)));
  return gx[0] ? EQ_OK : eq_error.status;
}

/* ---- logsumexp ---- */
static int logsumexp_shape(eq_call *c) {
  unsigned mask;
  int64_t shape[EQ_MAXDIM];
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  int n = eq_reduced_shape(c->in[0], mask, c->arg[1].i, shape);
  return eq_out(c, 0, c->in[0]->dtype, n, shape);
}

static int logsumexp_run(eq_call *c) {
  unsigned mask;
  bool f32 = c->in[0]->dtype == EQ_F32;
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  return eq_over_rows(c, mask, false, f32 ? logsumexp_rows_f32 : logsumexp_rows_f64);
}

/* gx = gy exp(x - y) */
static int logsumexp_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *x = c->in[0];
  unsigned mask;
  int64_t shape[EQ_MAXDIM];
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  int n = eq_reduced_shape(x, mask, true, shape);
  gx[0] = eq_f("mul", "TT", eq_f("reshape", "tl", gy[0], n, shape),
               eq_f("exp", "T", eq_f("sub", "tT", x, eq_f("reshape", "tl", c->out[0], n, shape))));
  return gx[0] ? EQ_OK : eq_error.status;
}

const eq_op ops_softmax[] = {
    {.name = "softmax",
     .sig = "x:float, dim:dim=-1 -> y",
     .doc = "exp(x) divided by its sum over one dim, by default the last: numbers from 0 to 1 that "
            "add "
            "up to 1.\nThe largest element is subtracted first, so nothing overflows.",
     .example = "print(equi.tensor({0, 0}):softmax():totable()[1])  --> 0.5",
     .shape = same_shape,
     .run = softmax_run,
     .back = softmax_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "log_softmax",
     .sig = "x:float, dim:dim=-1 -> y",
     .doc = "The logarithm of softmax, computed without taking a logarithm of something tiny:\n"
            "x - logsumexp(x) over one dim, by default the last.",
     .example = "print(equi.tensor({5}):log_softmax():item())  --> 0.0",
     .shape = same_shape,
     .run = log_softmax_run,
     .back = log_softmax_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "logsumexp",
     .sig = "x:float, dim:dims=nil, keepdim:bool=false -> y",
     .doc =
         "log(sum(exp(x))) over the dims given, or over all, without overflow. keepdim leaves them "
         "with size 1.",
     .example = "print(equi.tensor({1000, -1000}):logsumexp():item())  --> 1000.0",
     .shape = logsumexp_shape,
     .run = logsumexp_run,
     .back = logsumexp_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "softmax_grad",
     .sig = "g:float, y:float, dim:dim -> gx",
     .doc = "y (g - sum(g y)): the rule of softmax in one pass.",
     .shape = same_shape,
     .run = softmax_grad_run,
     .flags = EQ_ANY_STRIDE | EQ_HIDDEN | EQ_NO_GRAD,
     .where = EQ_HERE},
    {.name = "log_softmax_grad",
     .sig = "g:float, y:float, dim:dim -> gx",
     .doc = "g - exp(y) sum(g): the rule of log_softmax in one pass.",
     .shape = same_shape,
     .run = log_softmax_grad_run,
     .flags = EQ_ANY_STRIDE | EQ_HIDDEN | EQ_NO_GRAD,
     .where = EQ_HERE},
    {0}};
#endif
