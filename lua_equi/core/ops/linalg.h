/* linalg.h -- what linalg.c and decompose.c share: checks, and matrix algebra for
 * their rules. mm, T_, scale_*, gaps, diagonal_matrix, half_lower and symmetric take over the
 * references that they are given, so calls nest; mt and beside do not. */
#ifndef EQUI_LINALG_H
#define EQUI_LINALG_H
#include "../equi.h"
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

static inline int give(eq_call *c, eq_tensor *y) {
  c->out[0] = y;
  c->nout = 1;
  return y ? EQ_OK : eq_error.status;
}

static inline int64_t rows_of(const eq_tensor *x) { return x->shape[x->ndim - 2]; }
static inline int64_t cols_of(const eq_tensor *x) { return x->shape[x->ndim - 1]; }

static inline int check_matrix(const eq_tensor *x, bool square) {
  if (x->ndim < 2 || (square && rows_of(x) != cols_of(x)))
    return eq_fail("needs %s matrices in the last two dims, got %s", square ? "square" : "",
                   eq_shape_of(x));
  if (rows_of(x) > INT_MAX || cols_of(x) > INT_MAX)
    return eq_fail("%s is too large for LAPACK", eq_shape_of(x));
  return EQ_OK;
}

/* How many matrices, and the bytes of one. */
static inline int64_t batch_of(const eq_tensor *x) {
  int64_t n = 1;
  for (int d = 0; d + 2 < x->ndim; d++) n *= x->shape[d];
  return n;
}
static inline size_t bytes_of(const eq_tensor *x) {
  return (size_t)(rows_of(x) * cols_of(x)) * eq_size(x->dtype);
}

/* "" or " (matrix 3 of the batch)" */
static inline const char *which(const eq_tensor *x, int64_t i) {
  static char text[64];
  text[0] = 0;
  if (batch_of(x) > 1) {
    const char *parts[2] = {" (matrix ", " of the batch)"};
    char digits[24];
    int n = 0, at = (int)strlen(parts[0]);
    memcpy(text, parts[0], (size_t)at);
    for (int64_t k = i + 1; k; k /= 10) digits[n++] = (char)('0' + k % 10);
    while (n) text[at++] = digits[--n];
    memcpy(text + at, parts[1], strlen(parts[1]) + 1);
  }
  return text;
}

static inline int not_finite(const eq_tensor *x) {
  for (int64_t i = 0; i < x->numel; i++)
    if (!isfinite(eq_get(x, i))) return eq_fail("the matrix holds NaN or infinity");
  return EQ_OK;
}

/* y[j][i] = x[i][j] for an r x k matrix */
static inline void transposed(char *y, const char *x, int64_t r, int64_t k, size_t size) {
  for (int64_t i = 0; i < r; i++)
    for (int64_t j = 0; j < k; j++)
      memcpy(y + (size_t)(j * r + i) * size, x + (size_t)(i * k + j) * size, size);
}

static inline eq_tensor *mt(eq_tensor *x) { return eq_f("transpose", "t", x); }
static inline eq_tensor *mm(eq_tensor *a, eq_tensor *b) { return eq_f("matmul", "TT", a, b); }
static inline eq_tensor *T_(eq_tensor *x) { return eq_f("transpose", "T", x); }
static inline eq_tensor *keep(eq_tensor *x) { return eq_retain(x); }

/* The matrices with v [.., n] on their diagonals. */
static inline eq_tensor *diagonal_matrix(eq_tensor *v) {
  int64_t shape[EQ_MAXDIM + 1], n = v ? v->ndim : 0;
  if (!v) return NULL;
  memcpy(shape, v->shape, sizeof v->shape);
  shape[n] = shape[n - 1];
  return eq_f("undiagonal", "Tliii", v, (int)n + 1, shape, (int64_t)0, n - 1, n);
}

/* v [.., n] as columns' factors: x diag(v) for x [.., m, n]. */
static inline eq_tensor *scale_cols(eq_tensor *x, eq_tensor *v) {
  return eq_f("mul", "TT", x, v ? eq_f("unsqueeze", "ti", v, (int64_t)v->ndim - 1) : NULL);
}
/* diag(v) x */
static inline eq_tensor *scale_rows(eq_tensor *x, eq_tensor *v) {
  return eq_f("mul", "TT", x, v ? eq_f("unsqueeze", "ti", v, (int64_t)v->ndim) : NULL);
}

/* F[i][j] = 1 / (v[j] - v[i]), 0 on the diagonal. */
static inline eq_tensor *gaps(eq_tensor *v) {
  eq_tensor *inf = v ? eq_full(v->dtype, v->ndim, v->shape, INFINITY) : NULL;
  eq_tensor *d = v ? eq_f("sub", "TT", eq_f("unsqueeze", "ti", v, (int64_t)v->ndim - 1),
                          eq_f("unsqueeze", "ti", v, (int64_t)v->ndim))
                   : NULL;
  eq_release(v);
  return eq_f("reciprocal", "T", eq_f("add", "TT", d, diagonal_matrix(inf)));
}

/* The lower triangle with half the diagonal. */
static inline eq_tensor *half_lower(eq_tensor *x) {
  if (!x) return NULL;
  eq_tensor *low = eq_f("tril", "ti", x, (int64_t)-1),
            *d =
                eq_f("diagonal", "Tiii", x, (int64_t)0, (int64_t)x->ndim - 2, (int64_t)x->ndim - 1);
  return eq_f("add", "TT", low, diagonal_matrix(eq_f("mul", "Tn", d, 0.5)));
}

static inline eq_tensor *symmetric(eq_tensor *x) {
  eq_tensor *t = x ? mt(x) : NULL;
  return eq_f("mul", "Tn", eq_f("add", "TT", x, t), 0.5);
}
#endif
