/* matmul.c -- matrix products: y[.., i, j] = sum_k x[.., i, k] w[.., k, j], and their relatives.
 *
 * Shapes, rules and rows; product.c computes. The rules are written with the same ops, so products
 * differentiate any number of times. */
#include "../equi.h"
#include <inttypes.h>
#include <string.h>

/* ---- matmul ---- */
static bool is_batched(const eq_tensor *x) { return x->ndim > 2; }

/* The batch dims of the result into batch; inner sizes checked. */
static int check_product(const eq_call *c, int *nbatch, int64_t *batch) {
  const eq_tensor *x = c->in[0], *w = c->in[1];
  if (x->ndim == 0 || w->ndim == 0)
    return eq_fail("%s is a single number; multiply with *", x->ndim ? "w" : "x");
  int64_t inner = x->shape[x->ndim - 1], have = w->shape[w->ndim - (w->ndim > 1 ? 2 : 1)];
  if (inner != have)
    return eq_fail("inner sizes differ: x is %s, w is %s; w needs %" PRId64 " %s", eq_shape_of(x),
                   eq_shape_of(w), inner,
                   w->ndim > 1  ? "rows"
                   : inner == 1 ? "element"
                                : "elements");
  int nx = is_batched(x) ? x->ndim - 2 : 0, nw = is_batched(w) ? w->ndim - 2 : 0;
  *nbatch = nx > nw ? nx : nw;
  for (int d = 0; d < *nbatch; d++) {
    int i = d - (*nbatch - nx), j = d - (*nbatch - nw);
    int64_t sx = i < 0 ? 1 : x->shape[i], sw = j < 0 ? 1 : w->shape[j];
    if (sx != sw && sx != 1 && sw != 1)
      return eq_fail(
          "batch sizes do not fit: x is %s, w is %s; all dims before the last two must be "
          "equal or 1",
          eq_shape_of(x), eq_shape_of(w));
    batch[d] = sx == 1 ? sw : sx;
  }
  return EQ_OK;
}

static int matmul_shape(eq_call *c) {
  const eq_tensor *x = c->in[0], *w = c->in[1];
  int64_t shape[EQ_MAXDIM + 2];
  int n;
  if (check_product(c, &n, shape)) return EQ_ERR;
  if (x->ndim > 1) shape[n++] = x->shape[x->ndim - 2];
  if (w->ndim > 1) shape[n++] = w->shape[w->ndim - 1];
  return eq_out(c, 0, x->dtype, n, shape);
}

static int matmul_run(eq_call *c) {
  int64_t batch[EQ_MAXDIM];
  int n;
  if (check_product(c, &n, batch)) return EQ_ERR;
  return eq_product(c->in[0], c->in[1], false, NULL, n, batch, c->out[0]);
}

/* ---- rules ---- */
/* x as a matrix: a vector is one row (left) or one column. */
static eq_tensor *as_matrix(eq_tensor *x, bool left) {
  int64_t shape[2] = {left ? 1 : x->shape[0], left ? x->shape[0] : 1};
  return x->ndim == 1 ? eq_f("reshape", "tl", x, 2, shape) : eq_retain(x);
}

/* x [.., r, q] as one matrix of all rows. */
static eq_tensor *as_rows(eq_tensor *x) {
  int64_t cols = x->shape[x->ndim - 1], shape[2] = {cols ? x->numel / cols : 0, cols};
  if (!cols) {
    shape[0] = 1;
    for (int d = 0; d + 1 < x->ndim; d++) shape[0] *= x->shape[d];
  }
  return eq_f("reshape", "tl", x, 2, shape);
}

/* gy with the dims that vectors left out. */
static eq_tensor *full_gradient(const eq_call *c, eq_tensor *gy) {
  const eq_tensor *x = c->in[0], *w = c->in[1];
  int64_t shape[EQ_MAXDIM + 2];
  int n = gy->ndim, m = 0, lead = n - (x->ndim > 1) - (w->ndim > 1);
  if (x->ndim > 1 && w->ndim > 1) return eq_retain(gy);
  for (int d = 0; d < lead; d++) shape[m++] = gy->shape[d];
  shape[m++] = x->ndim > 1 ? x->shape[x->ndim - 2] : 1;
  shape[m++] = w->ndim > 1 ? w->shape[w->ndim - 1] : 1;
  return eq_f("reshape", "tl", gy, m, shape);
}

/* The gradient g of a matrix operand, back to the operand's own shape. */
static eq_tensor *fit(eq_tensor *g, const eq_tensor *like, const eq_tensor *x) {
  eq_tensor *s = g ? eq_sum_to(g, like->ndim, like->shape) : NULL;
  eq_release(g);
  return s && x->ndim == 1 ? eq_f("reshape", "Tl", s, 1, x->shape) : s;
}

static eq_tensor *grad_right(eq_tensor *x, eq_tensor *w, eq_tensor *g) {
  if (w->ndim == 2 && x->ndim > 2) /* one tall product instead of a batch and a sum */
    return eq_f("matmul", "TT", eq_f("transpose", "T", as_rows(x)), as_rows(g));
  return eq_f("matmul", "Tt", eq_f("transpose", "t", x), g);
}

/* gx = gy w', gw = x' gy */
static int matmul_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *x = as_matrix(c->in[0], true), *w = as_matrix(c->in[1], false);
  eq_tensor *g = full_gradient(c, gy[0]);
  if (x && w && g) {
    if (eq_needed(c, 0))
      gx[0] = fit(eq_f("matmul", "tT", g, eq_f("transpose", "t", w)), x, c->in[0]);
    if (eq_needed(c, 1)) gx[1] = fit(grad_right(x, w, g), w, c->in[1]);
  }
  eq_release(x);
  eq_release(w);
  eq_release(g);
  return eq_error.status;
}

/* ---- linear ---- */
static int linear_shape(eq_call *c) {
  const eq_tensor *x = c->in[0], *w = c->in[1], *b = c->in[2];
  int64_t shape[EQ_MAXDIM];
  if (w->ndim != 2) return eq_fail("w must be out x in, it is %s", eq_shape_of(w));
  if (x->ndim == 0 || x->shape[x->ndim - 1] != w->shape[1])
    return eq_fail(
        "inner sizes differ: x is %s, w is %s (out x in); the last size of x must be %" PRId64,
        eq_shape_of(x), eq_shape_of(w), w->shape[1]);
  if (b && (b->ndim != 1 || b->shape[0] != w->shape[0]))
    return eq_fail("b is %s, w is %s (out x in); b needs %" PRId64 " elements", eq_shape_of(b),
                   eq_shape_of(w), w->shape[0]);
  memcpy(shape, x->shape, sizeof shape);
  shape[x->ndim - 1] = w->shape[0];
  return eq_out(c, 0, x->dtype, x->ndim, shape);
}

static int linear_run(eq_call *c) {
  eq_tensor *x = c->in[0];
  int n = x->ndim > 2 ? x->ndim - 2 : 0;
  return eq_product(x, c->in[1], true, c->in[2], n, x->shape, c->out[0]);
}

/* gx = gy w, gw = gy' x over all rows, gb = the sum of gy's rows */
static int linear_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *g = as_rows(gy[0]);
  if (!g) return eq_error.status;
  if (eq_needed(c, 0)) gx[0] = eq_f("matmul", "tt", gy[0], c->in[1]);
  if (eq_needed(c, 1)) gx[1] = eq_f("matmul", "TT", eq_f("transpose", "t", g), as_rows(c->in[0]));
  if (c->in[2] && eq_needed(c, 2)) gx[2] = eq_f("sum", "tl", g, 1, &(int64_t){0});
  eq_release(g);
  return eq_error.status;
}

/* ---- affine: the same with w of in x out ---- */
static int affine_shape(eq_call *c) {
  const eq_tensor *x = c->in[0], *w = c->in[1], *b = c->in[2];
  int64_t shape[EQ_MAXDIM];
  if (w->ndim != 2) return eq_fail("w must be in x out, it is %s", eq_shape_of(w));
  if (x->ndim == 0 || x->shape[x->ndim - 1] != w->shape[0])
    return eq_fail(
        "inner sizes differ: x is %s, w is %s (in x out); the last size of x must be %" PRId64,
        eq_shape_of(x), eq_shape_of(w), w->shape[0]);
  if (b && (b->ndim != 1 || b->shape[0] != w->shape[1]))
    return eq_fail("b is %s, w is %s (in x out); b needs %" PRId64 " elements", eq_shape_of(b),
                   eq_shape_of(w), w->shape[1]);
  memcpy(shape, x->shape, sizeof shape);
  shape[x->ndim - 1] = w->shape[1];
  return eq_out(c, 0, x->dtype, x->ndim, shape);
}

static int affine_run(eq_call *c) {
  eq_tensor *x = c->in[0];
  int n = x->ndim > 2 ? x->ndim - 2 : 0;
  return eq_product(x, c->in[1], false, c->in[2], n, x->shape, c->out[0]);
}

/* gx = gy w', gw = x' gy over all rows, gb = the sum of gy's rows */
static int affine_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *g = as_rows(gy[0]);
  if (!g) return eq_error.status;
  if (eq_needed(c, 0)) gx[0] = eq_f("matmul", "tT", gy[0], eq_f("transpose", "t", c->in[1]));
  if (eq_needed(c, 1)) gx[1] = eq_f("matmul", "Tt", eq_f("transpose", "T", as_rows(c->in[0])), g);
  if (c->in[2] && eq_needed(c, 2)) gx[2] = eq_f("sum", "tl", g, 1, &(int64_t){0});
  eq_release(g);
  return eq_error.status;
}

/* ---- relatives ---- */
static int give(eq_call *c, eq_tensor *y) {
  c->out[0] = y;
  c->nout = 1;
  return y ? EQ_OK : eq_error.status;
}

static int bmm(eq_call *c) {
  const eq_tensor *x = c->in[0], *w = c->in[1];
  if (x->ndim != 3 || w->ndim != 3 || x->shape[0] != w->shape[0])
    return eq_fail("needs B x n x k and B x k x m with one B, got %s and %s; matmul broadcasts",
                   eq_shape_of(x), eq_shape_of(w));
  return give(c, eq_f("matmul", "tt", x, w));
}

static int dot(eq_call *c) {
  const eq_tensor *x = c->in[0], *y = c->in[1];
  if (x->ndim != 1 || y->ndim != 1 || x->shape[0] != y->shape[0])
    return eq_fail("needs two vectors of one length, got %s and %s", eq_shape_of(x),
                   eq_shape_of(y));
  return give(c, eq_f("matmul", "tt", x, y));
}

static int outer(eq_call *c) {
  eq_tensor *x = c->in[0], *y = c->in[1];
  if (x->ndim != 1 || y->ndim != 1)
    return eq_fail("needs two vectors, got %s and %s", eq_shape_of(x), eq_shape_of(y));
  int64_t column[2] = {x->shape[0], 1};
  return give(c, eq_f("mul", "Tt", eq_f("reshape", "tl", x, 2, column), y));
}

const eq_op ops_matmul[] = {
    {.name = "matmul",
     .sig = "x:float, w:float -> y",
     .doc = "The matrix product. Two vectors give a number, a matrix and a vector a vector, n x k "
            "and k x "
            "m give n x m;\ndims before the last two are batch dims and broadcast. Transposed "
            "views are "
            "not copied.\nThe result does not depend on the number of threads.",
     .example = "local x = equi.tensor({{1, 2}, {3, "
                "4}})\nprint(x:matmul(equi.ones(2)):sum():item())  --> 10.0",
     .shape = matmul_shape,
     .run = matmul_run,
     .back = matmul_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_IN1,
     .where = EQ_HERE},
    {.name = "linear",
     .sig = "x:float, w:float, b:float? -> y",
     .doc = "x w' + b with w of out x in and b of out: the last dim of x, of size in, becomes out.",
     .example = "print(equi.linear(equi.ones(5, 3), equi.ones(2, 3), "
                "equi.ones(2))[1]:sum():item())  --> 8.0",
     .shape = linear_shape,
     .run = linear_run,
     .back = linear_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_IN1,
     .where = EQ_HERE},
    {.name = "affine",
     .sig = "x:float, w:float, b:float? -> y",
     .doc = "x w + b with w of in x out and b of out: linear with a transposed w, as GPT-2's "
            "files have them.",
     .example = "print(equi.affine(equi.ones(5, 3), equi.ones(3, 2), "
                "equi.ones(2))[1]:sum():item())  --> 8.0",
     .shape = affine_shape,
     .run = affine_run,
     .back = affine_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_IN1,
     .where = EQ_HERE},
    {.name = "bmm",
     .sig = "x:float, w:float -> y",
     .doc = "B products at once: x of B x n x k and w of B x k x m give B x n x m. Nothing is "
            "broadcast.",
     .example = "print(equi.bmm(equi.ones(4, 2, 3), equi.ones(4, 3, 5)):size())  --> 4 2 5",
     .compose = bmm,
     .where = EQ_HERE},
    {.name = "dot",
     .sig = "x:float, y:float -> z",
     .doc = "The inner product of two vectors of one length.",
     .example = "print(equi.tensor({1, 2}):dot(equi.tensor({3, 4})):item())  --> 11.0",
     .compose = dot,
     .where = EQ_HERE},
    {.name = "outer",
     .sig = "x:float, y:float -> z",
     .doc = "All products x[i] y[j] of two vectors: a matrix.",
     .example = "print(equi.tensor({1, 2}):outer(equi.tensor({3, 4}))[2][1]:item())  --> 6.0",
     .compose = outer,
     .where = EQ_HERE},
    {0}};
