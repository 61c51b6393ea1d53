/* moments.c -- mean, variance, norms, products and running sums along dims.
 *
 * var divides by n - correction (1: the unbiased estimate). The norm and the standard deviation are
 * not differentiable where they are 0; their gradient is 0 there. */
#ifdef T
#include "../lanes.h"

EQ_SIMD static void FN(var_rows)(const eq_rows *r, int64_t begin, int64_t end) {
  double rest = (double)r->n - r->call->arg[1].f;
  for (int64_t k = begin; k < end; k++) {
    const T *x = (const T *)(const void *)r->a + k * r->n;
    T mean = FN(total)(x, r->n) / (T)r->n;
    ((T *)(void *)r->y)[k] = (T)((double)FN(squares)(x, mean, r->n) / (rest > 0 ? rest : 0));
  }
}

static void FN(std_rows)(const eq_rows *r, int64_t begin, int64_t end) {
  FN(var_rows)(r, begin, end);
  for (int64_t k = begin; k < end; k++)
    ((T *)(void *)r->y)[k] = (T)sqrt((double)((T *)(void *)r->y)[k]);
}

EQ_SIMD static void FN(norm_rows)(const eq_rows *r, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++) {
    const T *x = (const T *)(const void *)r->a + k * r->n;
    double sum = 0;
    for (int64_t i = 0; i < r->n; i += BLOCK) {
      int64_t n = r->n - i < BLOCK ? r->n - i : BLOCK;
      sum += (double)FN(squares)(x + i, 0, n);
    }
    ((T *)(void *)r->y)[k] = (T)sqrt(sum);
  }
}

static void FN(prod_rows)(const eq_rows *r, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++) {
    const T *x = (const T *)(const void *)r->a + k * r->n;
    double p = 1;
    for (int64_t i = 0; i < r->n; i++) p *= (double)x[i];
    ((T *)(void *)r->y)[k] = (T)p;
  }
}

/* The product of all others: of those before, times that of those behind. Right where some are 0.
 */
static void FN(others_rows)(const eq_rows *r, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++) {
    const T *x = (const T *)(const void *)r->a + k * r->n;
    T *y = (T *)(void *)r->y + k * r->n, p = 1;
    for (int64_t i = 0; i < r->n; p *= x[i++]) y[i] = p;
    p = 1;
    for (int64_t i = r->n; i-- > 0; p *= x[i]) y[i] *= p;
  }
}

static void FN(cumsum_rows)(const eq_rows *r, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++) {
    const T *x = (const T *)(const void *)r->a + k * r->n;
    T *y = (T *)(void *)r->y + k * r->n;
    double sum = 0;
    for (int64_t i = 0; i < r->n; i++) y[i] = (T)(sum += (double)x[i]);
  }
}

static void FN(cumsum_back_rows)(const eq_rows *r, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++) {
    const T *x = (const T *)(const void *)r->a + k * r->n;
    T *y = (T *)(void *)r->y + k * r->n;
    double sum = 0;
    for (int64_t i = r->n; i-- > 0;) y[i] = (T)(sum += (double)x[i]);
  }
}
#else
#include "../equi.h"
#include <math.h>

enum { BLOCK = 4096 };

#define EQ_FILE "ops/moments.c"
#include "../floats.h"

static void prod_rows_i64(const eq_rows *r, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++) {
    const uint64_t *x = (const uint64_t *)(const void *)r->a + k * r->n;
    uint64_t p = 1;
    for (int64_t i = 0; i < r->n; i++) p *= x[i];
    ((uint64_t *)(void *)r->y)[k] = p;
  }
}

static void cumsum_rows_i64(const eq_rows *r, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++) {
    const uint64_t *x = (const uint64_t *)(const void *)r->a + k * r->n;
    uint64_t *y = (uint64_t *)(void *)r->y + k * r->n, sum = 0;
    for (int64_t i = 0; i < r->n; i++) y[i] = sum += x[i];
  }
}

static int give(eq_tensor **to, eq_tensor *x) {
  *to = x;
  return x ? EQ_OK : eq_error.status ? (int)eq_error.status : EQ_ERR;
}

/* dim is argument 0 and keepdim argument `keep` of all reductions here. */
static int reduced_out(eq_call *c, int keep) {
  unsigned mask;
  int64_t shape[EQ_MAXDIM];
  eq_dtype t = c->in[0]->dtype;
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  if (t == EQ_U8 || t == EQ_BOOL)
    return eq_fail("x is %s and the result would not fit; convert it: x:to \"i64\"",
                   eq_dtype_name(t));
  int n = eq_reduced_shape(c->in[0], mask, c->arg[keep].i, shape);
  return eq_out(c, 0, t, n, shape);
}
static int keep1_shape(eq_call *c) { return reduced_out(c, 1); }
static int keep2_shape(eq_call *c) { return reduced_out(c, 2); }

static int reduce(eq_call *c, eq_row_fn f32, eq_row_fn f64, eq_row_fn i64) {
  unsigned mask;
  eq_dtype t = c->in[0]->dtype;
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  return eq_over_rows(c, mask, false, t == EQ_F32 ? f32 : t == EQ_F64 ? f64 : i64);
}
static int var_run(eq_call *c) { return reduce(c, var_rows_f32, var_rows_f64, NULL); }
static int std_run(eq_call *c) { return reduce(c, std_rows_f32, std_rows_f64, NULL); }
static int norm2_run(eq_call *c) { return reduce(c, norm_rows_f32, norm_rows_f64, NULL); }
static int prod_run(eq_call *c) { return reduce(c, prod_rows_f32, prod_rows_f64, prod_rows_i64); }

/* The dims of the reduction as a list, and x's shape with size 1 there. */
typedef struct dims {
  int k, n;
  int64_t list[EQ_MAXDIM], shape[EQ_MAXDIM], length;
} dims;

static int reduced_dims(const eq_call *c, dims *d) {
  const eq_tensor *x = c->in[0];
  unsigned mask;
  d->k = 0;
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  for (int i = 0; i < x->ndim; i++)
    if (mask >> i & 1) d->list[d->k++] = i;
  d->n = eq_reduced_shape(x, mask, true, d->shape);
  d->length = eq_row_length(x, mask);
  return EQ_OK;
}

/* sum over the dims divided by n; takes nothing over */
static eq_tensor *mean_of(eq_tensor *x, const dims *d, bool keep) {
  eq_tensor *s = d->k ? eq_f("sum", "tlb", x, d->k, d->list, (int)keep) : eq_retain(x);
  return eq_f("mul", "Tn", s, 1.0 / (double)d->length);
}

static int mean_compose(eq_call *c) {
  dims d;
  if (reduced_dims(c, &d)) return EQ_ERR;
  c->nout = 1;
  return give(c->out, mean_of(c->in[0], &d, c->arg[1].i));
}

/* ---- variance: gx = gy 2 (x - mean) / (n - correction); of the root: gy (x - mean) / (.. y) ----
 */
static int var_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *x = c->in[0];
  dims d;
  if (reduced_dims(c, &d)) return EQ_ERR;
  double rest = (double)d.length - c->arg[1].f;
  eq_tensor *centered = eq_f("sub", "tT", x, mean_of(x, &d, true));
  eq_tensor *g = eq_f("reshape", "tl", gy[0], d.n, d.shape);
  return give(gx, eq_f("mul", "Tn", eq_f("mul", "TT", centered, g), 2 / (rest > 0 ? rest : 0)));
}

/* g / y, and 0 where y is 0; g and y have the reduced shape, the result that with size 1 there. */
static eq_tensor *ratio(eq_tensor *g, eq_tensor *y, const dims *d) {
  eq_tensor *flat = eq_f("eq", "tn", y, 0.0), *zero = eq_scalar(y->dtype, 0),
            *one = eq_scalar(y->dtype, 1);
  eq_tensor *safe = flat ? eq_f("where", "tTt", flat, one, y) : (eq_release(one), NULL);
  eq_tensor *r = eq_f("where", "TTT", flat, zero, eq_f("div", "tT", g, safe));
  return eq_f("reshape", "Tl", r, d->n, d->shape);
}

static int std_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *x = c->in[0];
  dims d;
  if (reduced_dims(c, &d)) return EQ_ERR;
  double rest = (double)d.length - c->arg[1].f;
  eq_tensor *centered = eq_f("sub", "tT", x, mean_of(x, &d, true));
  eq_tensor *g = eq_f("mul", "TT", centered, ratio(gy[0], c->out[0], &d));
  return give(gx, eq_f("mul", "Tn", g, 1 / (rest > 0 ? rest : 0)));
}

/* ---- norm ---- */
static int norm2_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  dims d;
  if (reduced_dims(c, &d)) return EQ_ERR;
  return give(gx, eq_f("mul", "tT", c->in[0], ratio(gy[0], c->out[0], &d)));
}

static int norm_compose(eq_call *c) {
  double p = c->arg[0].f;
  eq_tensor *x = c->in[0], *a = NULL, *y;
  int n = 0, keep = (int)c->arg[2].i;
  const int64_t *list = eq_given(c, 1) ? eq_list(c, 1, &n) : NULL;
  c->nout = 1;
  if (p == 2) return give(c->out, eq_f("norm2", "tlb", x, n, list, keep));
  if (p != p) return eq_fail("p must be a number, inf or -inf, got nan");
  a = p == 0 ? eq_f("to", "Ti", eq_f("ne", "tn", x, 0.0), (int64_t)x->dtype) : eq_f("abs", "t", x);
  if (p - p != 0) return give(c->out, eq_f(p > 0 ? "amax" : "amin", "Tlb", a, n, list, keep));
  if (p == 0 || p == 1) return give(c->out, eq_f("sum", "Tlb", a, n, list, keep));
  y = eq_f("sum", "Tlb", eq_f("pow", "Tn", a, p), n, list, keep);
  return give(c->out, eq_f("pow", "Tn", y, 1 / p));
}

/* ---- product ---- */
static int prod_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *x = c->in[0], *others;
  dims d;
  if (reduced_dims(c, &d)) return EQ_ERR;
  if (eq_grad_enabled)
    others = eq_f("div", "Tt", eq_f("reshape", "tl", c->out[0], d.n, d.shape), x);
  else
    others = eq_f("prod_others", "tl", x, d.k, d.list);
  return give(gx, eq_f("mul", "TT", others, eq_f("reshape", "tl", gy[0], d.n, d.shape)));
}

static int same_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  return eq_out(c, 0, x->dtype, x->ndim, x->shape);
}

static int others_run(eq_call *c) {
  unsigned mask;
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  return eq_over_rows(c, mask, true, c->in[0]->dtype == EQ_F32 ? others_rows_f32 : others_rows_f64);
}

/* ---- running sum ---- */
static int cumsum_shape(eq_call *c) {
  eq_dtype t = c->in[0]->dtype;
  if (t == EQ_U8 || t == EQ_BOOL)
    return eq_fail("x is %s and the sums would not fit; convert it: x:to \"i64\"",
                   eq_dtype_name(t));
  return same_shape(c);
}

static int run_along(eq_call *c, eq_row_fn f32, eq_row_fn f64, eq_row_fn i64) {
  const eq_tensor *x = c->in[0];
  unsigned mask = x->ndim ? 1u << c->arg[0].i : 0;
  return eq_over_rows(c, mask, true, x->dtype == EQ_F32 ? f32 : x->dtype == EQ_F64 ? f64 : i64);
}
static int cumsum_run(eq_call *c) {
  return run_along(c, cumsum_rows_f32, cumsum_rows_f64, cumsum_rows_i64);
}
static int cumsum_back_run(eq_call *c) {
  return run_along(c, cumsum_back_rows_f32, cumsum_back_rows_f64, NULL);
}
static int cumsum_rule(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return give(gx, eq_f("cumsum_back", "ti", gy[0], c->arg[0].i));
}
static int cumsum_back_rule(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return give(gx, eq_f("cumsum", "ti", gy[0], c->arg[0].i));
}

#define DIMS ", dim:dims=nil, keepdim:bool=false -> y"
#define SPREAD ", dim:dims=nil, correction:num=1, keepdim:bool=false -> y"
#define TABLE "local x = equi.tensor({{1, 5}, {7, 3}})\n"
const eq_op ops_moments[] = {
    {.name = "mean",
     .sig = "x:float" DIMS,
     .doc = "The mean over the dims given, or over all; NaN of nothing. keepdim leaves them with "
            "size 1.",
     .example = TABLE "print(x:mean():item())  --> 4.0",
     .compose = mean_compose,
     .where = EQ_HERE},
    {.name = "var",
     .sig = "x:float" SPREAD,
     .doc = "The variance over the dims given, or over all: the sum of (x - mean)^2 divided by n - "
            "correction.",
     .example = TABLE "print(x:var(2):totable()[1])  --> 8.0",
     .shape = keep2_shape,
     .run = var_run,
     .back = var_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0,
     .where = EQ_HERE},
    {.name = "std",
     .sig = "x:float" SPREAD,
     .doc = "The standard deviation, the root of var. Where it is 0 its gradient is taken as 0.",
     .example = TABLE "print(x:std(2, {correction = 0}):totable()[1])  --> 2.0",
     .shape = keep2_shape,
     .run = std_run,
     .back = std_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "norm",
     .sig = "x:float, p:num=2, dim:dims=nil, keepdim:bool=false -> y",
     .doc =
         "(sum |x|^p)^(1/p) over the dims given, or over all. p = inf: the largest |x|, -inf: the\n"
         "smallest, 0: how many are not 0. Where the 2-norm is 0 its gradient is taken as 0.",
     .example = "print(equi.tensor({3, 4}):norm():item())  --> 5.0",
     .compose = norm_compose,
     .where = EQ_HERE},
    {.name = "prod",
     .sig = "x:tensor" DIMS,
     .doc =
         "The product over the dims given, or over all; f32, f64 and i64, which wraps. The second\n"
         "derivative is NaN where x is 0.",
     .example = TABLE "print(x:prod():item())  --> 105.0",
     .shape = keep1_shape,
     .run = prod_run,
     .back = prod_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "cumsum",
     .sig = "x:tensor, dim:dim=-1 -> y",
     .doc = "Running sums along one dim, by default the last: y_i = x_1 + ... + x_i. f32, f64 and "
            "i64.",
     .example = "print(equi.tensor({1, 2, 3}):cumsum():totable()[3])  --> 6.0",
     .shape = cumsum_shape,
     .run = cumsum_run,
     .back = cumsum_rule,
     .flags = EQ_ANY_STRIDE,
     .where = EQ_HERE},
    {.name = "norm2",
     .sig = "x:float" DIMS,
     .doc = "The 2-norm.",
     .shape = keep1_shape,
     .run = norm2_run,
     .back = norm2_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_OUT | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "prod_others",
     .sig = "x:float, dim:dims -> y",
     .doc = "For every element the product of the others: the rule of prod.",
     .shape = same_shape,
     .run = others_run,
     .flags = EQ_ANY_STRIDE | EQ_HIDDEN | EQ_NO_GRAD,
     .where = EQ_HERE},
    {.name = "cumsum_back",
     .sig = "g:float, dim:dim -> gx",
     .doc = "Running sums from the end.",
     .shape = same_shape,
     .run = cumsum_back_run,
     .back = cumsum_back_rule,
     .flags = EQ_ANY_STRIDE | EQ_HIDDEN,
     .where = EQ_HERE},
    {0}};
#endif
