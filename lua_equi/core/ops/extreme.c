/* extreme.c -- the largest and smallest elements, where they are, and any and all.
 *
 * NaN counts as larger and as smaller than everything: it wins, so it is seen. Of equal elements
 * the first is named. amax and amin share the gradient among equal elements; max and min along one
 * dim give it to the element they name. */
#include "../equi.h"
#include <math.h>
#include <string.h>

/* Four vectors of the widest instruction set: a comparison waits for the one before in its lane. */
enum { LANES = 64 };

/* NAME_of: the best of n > 0 elements, in LANES interleaved parts that vectorise; NAME_rows and
 * NAME_at_rows: for rows, the latter with the place of the first (counted from EQ_BASE) in z. */
#define EXTREME(S, name, sfx, BETTER)                                                              \
  EQ_SIMD static S name##_of_##sfx(const S *x, int64_t n) {                                        \
    S lane[LANES], best = x[0];                                                                    \
    int64_t i = 0;                                                                                 \
    for (int k = 0; k < LANES; k++) lane[k] = x[0];                                                \
    for (; i + LANES <= n; i += LANES)                                                             \
      for (int k = 0; k < LANES; k++) {                                                            \
        S v = x[i + k];                                                                            \
        lane[k] = ((v BETTER lane[k]) | (v != v)) ? v : lane[k];                                   \
      }                                                                                            \
    for (; i < n; i++) best = ((x[i] BETTER best) | (x[i] != x[i])) ? x[i] : best;                 \
    for (int k = 0; k < LANES; k++)                                                                \
      best = ((lane[k] BETTER best) | (lane[k] != lane[k])) ? lane[k] : best;                      \
    return best;                                                                                   \
  }                                                                                                \
  static void name##_rows_##sfx(const eq_rows *r, int64_t begin, int64_t end) {                    \
    for (int64_t k = begin; k < end; k++)                                                          \
      ((S *)(void *)r->y)[k] = name##_of_##sfx((const S *)(const void *)r->a + k * r->n, r->n);    \
  }                                                                                                \
  static void name##_at_rows_##sfx(const eq_rows *r, int64_t begin, int64_t end) {                 \
    for (int64_t k = begin; k < end; k++) {                                                        \
      const S *x = (const S *)(const void *)r->a + k * r->n;                                       \
      S best = name##_of_##sfx(x, r->n);                                                           \
      int64_t at = 0;                                                                              \
      while (x[at] != best && !(best != best && x[at] != x[at])) at++;                             \
      ((S *)(void *)r->y)[k] = best;                                                               \
      ((int64_t *)(void *)r->z)[k] = at + EQ_BASE;                                                 \
    }                                                                                              \
  }
#define EXTREMES(S, sfx)                                                                           \
  EXTREME(S, largest, sfx, >)                                                                      \
  EXTREME(S, smallest, sfx, <)
EXTREMES(float, f32)
EXTREMES(double, f64)
EXTREMES(int64_t, i64)
EXTREMES(uint8_t, u8)

/* bool elements are the bytes 0 and 1 */
#define KERNELS(f)                                                                                 \
  { f##_f32, f##_f64, f##_i64, f##_u8, f##_u8 }
static const eq_row_fn value_kernel[2][EQ_NDTYPE] = {KERNELS(largest_rows), KERNELS(smallest_rows)};
static const eq_row_fn place_kernel[2][EQ_NDTYPE] = {KERNELS(largest_at_rows),
                                                     KERNELS(smallest_at_rows)};

static int give(eq_tensor **to, eq_tensor *x) {
  *to = x;
  return x ? EQ_OK : eq_error.status ? (int)eq_error.status : EQ_ERR;
}

static int check_not_empty(const eq_tensor *x, unsigned mask, const eq_tensor *y) {
  if (eq_row_length(x, mask) || (y && y->numel == 0)) return EQ_OK;
  return eq_fail("x is %s: there are no elements to compare", eq_shape_of(x));
}

/* ---- amax, amin ---- */
static int value_shape(eq_call *c) {
  unsigned mask;
  int64_t shape[EQ_MAXDIM];
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  int n = eq_reduced_shape(c->in[0], mask, c->arg[1].i, shape);
  int bad = eq_out(c, 0, c->in[0]->dtype, n, shape);
  return bad ? bad : check_not_empty(c->in[0], mask, c->out[0]);
}

static int value_run(eq_call *c, int which) {
  unsigned mask;
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  return eq_over_rows(c, mask, false, value_kernel[which][c->in[0]->dtype]);
}
static int amax_run(eq_call *c) { return value_run(c, 0); }
static int amin_run(eq_call *c) { return value_run(c, 1); }

/* gy where x equals the result, divided by how many do. */
static int value_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *x = c->in[0];
  unsigned mask;
  int64_t shape[EQ_MAXDIM], dims[EQ_MAXDIM];
  int k = 0;
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  for (int d = 0; d < x->ndim; d++)
    if (mask >> d & 1) dims[k++] = d;
  int n = eq_reduced_shape(x, mask, true, shape);
  eq_tensor *y = eq_f("reshape", "tl", c->out[0], n, shape),
            *g = eq_f("reshape", "tl", gy[0], n, shape);
  eq_tensor *hit = eq_f("to", "Ti", eq_f("eq", "tT", x, y), (int64_t)x->dtype);
  eq_tensor *count = !hit ? NULL : k ? eq_f("sum", "tlb", hit, k, dims, 1) : eq_retain(hit);
  eq_tensor *share = eq_f("div", "TT", g, count);
  return give(gx, eq_f("mul", "TT", hit, share));
}

/* ---- max, min ---- */
static int place_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int64_t shape[EQ_MAXDIM];
  unsigned mask = x->ndim ? 1u << c->arg[0].i : 0;
  int n = eq_reduced_shape(x, mask, c->arg[1].i, shape);
  int bad = eq_out(c, 0, x->dtype, n, shape);
  if (!bad) bad = eq_out(c, 1, EQ_I64, n, shape);
  return bad ? bad : check_not_empty(x, mask, c->out[0]);
}

static int place_run(eq_call *c, int which) {
  const eq_tensor *x = c->in[0];
  unsigned mask = x->ndim ? 1u << c->arg[0].i : 0;
  return eq_over_rows(c, mask, false, place_kernel[which][x->dtype]);
}
static int max_at_run(eq_call *c) { return place_run(c, 0); }
static int min_at_run(eq_call *c) { return place_run(c, 1); }

/* 1 .. n along dim d of an ndim-dimensional shape that is 1 elsewhere. */
static eq_tensor *positions(int ndim, int64_t d, int64_t n) {
  int64_t shape[EQ_MAXDIM];
  for (int k = 0; k < ndim; k++) shape[k] = k == d ? n : 1;
  eq_tensor *p = eq_empty(EQ_I64, ndim, shape);
  for (int64_t i = 0; p && i < n; i++) ((int64_t *)(void *)p->data)[i] = i + EQ_BASE;
  return p;
}

/* gy at the place named, 0 elsewhere. */
static int place_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *x = c->in[0];
  int64_t shape[EQ_MAXDIM], d = c->arg[0].i;
  int n = eq_reduced_shape(x, x->ndim ? 1u << d : 0, true, shape);
  eq_tensor *at = positions(x->ndim, d, x->ndim ? x->shape[d] : 1), *zero = eq_scalar(x->dtype, 0);
  eq_tensor *here = eq_f("eq", "TT", at, eq_f("reshape", "tl", c->out[1], n, shape));
  return give(gx, eq_f("where", "TTT", here, eq_f("reshape", "tl", gy[0], n, shape), zero));
}

static int either(eq_call *c, const char *all, const char *along) {
  c->nout = 1;
  if (!eq_given(c, 0)) return give(c->out, eq_f(all, "t", c->in[0]));
  c->nout = 2;
  return eq_fn(along, c->out, "tib", c->in[0], c->arg[0].i, (int)c->arg[1].i);
}
static int max_compose(eq_call *c) { return either(c, "amax", "max_at"); }
static int min_compose(eq_call *c) { return either(c, "amin", "min_at"); }

/* Only the place; without a dim that in row-major order. The alias has no link to the graph. */
static int place_only(eq_call *c, const char *along) {
  static const int64_t flat = -1;
  eq_tensor *res[2] = {NULL, NULL}, *x = eq_alias(c->in[0]);
  bool whole = !eq_given(c, 0);
  if (whole) x = eq_f("reshape", "Tl", x, 1, &flat);
  if (!x) return eq_error.status;
  int bad =
      eq_fn(along, res, "tib", x, whole ? (int64_t)0 : c->arg[0].i, (int)(c->arg[1].i && !whole));
  eq_release(x);
  eq_release(res[0]);
  c->nout = 1;
  c->out[0] = res[1];
  return bad;
}
static int argmax_compose(eq_call *c) { return place_only(c, "max_at"); }
static int argmin_compose(eq_call *c) { return place_only(c, "min_at"); }

/* ---- any, all ---- */
/* The largest (smallest) truth value; of no elements false (true). */
static int truth(eq_call *c, const char *op, bool none) {
  const eq_tensor *x = c->in[0];
  unsigned mask;
  int64_t shape[EQ_MAXDIM], dims[EQ_MAXDIM];
  int k = 0;
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  for (int d = 0; d < x->ndim; d++)
    if (mask >> d & 1) dims[k++] = d;
  c->nout = 1;
  if (eq_row_length(x, mask) == 0) {
    int n = eq_reduced_shape(x, mask, c->arg[1].i, shape);
    return give(c->out, eq_full(EQ_BOOL, n, shape, none));
  }
  eq_tensor *t = eq_f("ne", "tn", c->in[0], 0.0);
  return give(c->out, eq_f(op, "Tlb", t, k, dims, (int)c->arg[1].i));
}
static int any_compose(eq_call *c) { return truth(c, "amax", false); }
static int all_compose(eq_call *c) { return truth(c, "amin", true); }

#define DIMS ", dim:dims=nil, keepdim:bool=false -> y"
#define ONE "x:tensor, dim:dim=nil, keepdim:bool=false -> "
#define TABLE "local x = equi.tensor({{1, 5}, {7, 3}})\n"
#define ALONG_DOC                                                                                  \
  "; NaN wins. Without a dim: over all elements, one value\n(equal ones share the gradient). "
const eq_op ops_extreme[] = {
    {.name = "amax",
     .sig = "x:tensor" DIMS,
     .doc = "The largest elements over the dims given, or over all; NaN wins. Equal ones share the "
            "gradient.",
     .example = TABLE "print(x:amax(1):sum():item())  --> 12.0",
     .shape = value_shape,
     .run = amax_run,
     .back = value_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "amin",
     .sig = "x:tensor" DIMS,
     .doc = "The smallest elements over the dims given, or over all; NaN wins. Equal ones share "
            "the gradient.",
     .example = TABLE "print(x:amin(1):sum():item())  --> 4.0",
     .shape = value_shape,
     .run = amin_run,
     .back = value_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "max",
     .sig = ONE "y, index",
     .doc = "The largest elements along one dim and their positions, from 1, the first of equal "
            "ones" ALONG_DOC "With a dim the gradient goes to the position named.",
     .example =
         TABLE "local value, index = x:max(2)\nprint(value[1]:item(), index[1]:item())  --> 5.0\t2",
     .compose = max_compose,
     .where = EQ_HERE},
    {.name = "min",
     .sig = ONE "y, index",
     .doc = "The smallest elements along one dim and their positions, from 1, the first of equal "
            "ones" ALONG_DOC "With a dim the gradient goes to the position named.",
     .example =
         TABLE "local value, index = x:min(2)\nprint(value[2]:item(), index[2]:item())  --> 3.0\t2",
     .compose = min_compose,
     .where = EQ_HERE},
    {.name = "argmax",
     .sig = ONE "index",
     .doc = "The position, from 1, of the largest element along one dim, or in row-major order of "
            "all; i64.\n"
            "The first of equal ones; NaN wins.",
     .example = TABLE "print(x:argmax():item())  --> 3",
     .compose = argmax_compose,
     .flags = EQ_NO_GRAD,
     .where = EQ_HERE},
    {.name = "argmin",
     .sig = ONE "index",
     .doc = "The position, from 1, of the smallest element along one dim, or in row-major order of "
            "all; i64.\n"
            "The first of equal ones; NaN wins.",
     .example = TABLE "print(x:argmin():item())  --> 1",
     .compose = argmin_compose,
     .flags = EQ_NO_GRAD,
     .where = EQ_HERE},
    {.name = "any",
     .sig = "x:tensor" DIMS,
     .doc = "Whether any element over the dims given, or of all, is not 0; a bool tensor. False of "
            "nothing.",
     .example = "print(equi.tensor({0, 2}):any():item())  --> true",
     .compose = any_compose,
     .flags = EQ_NO_GRAD,
     .where = EQ_HERE},
    {.name = "all",
     .sig = "x:tensor" DIMS,
     .doc = "Whether all elements over the dims given, or all, are not 0; a bool tensor. True of "
            "nothing.",
     .example = "print(equi.tensor({0, 2}):all():item())  --> false",
     .compose = all_compose,
     .flags = EQ_NO_GRAD,
     .where = EQ_HERE},
    {.name = "max_at",
     .sig = "x:tensor, dim:dim, keepdim:bool -> y, index",
     .doc = "max along one dim.",
     .shape = place_shape,
     .run = max_at_run,
     .back = place_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_OUT | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "min_at",
     .sig = "x:tensor, dim:dim, keepdim:bool -> y, index",
     .doc = "min along one dim.",
     .shape = place_shape,
     .run = min_at_run,
     .back = place_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_OUT | EQ_HIDDEN,
     .where = EQ_HERE},
    {0}};
