/* decompose.c -- eigh, qr, svd through LAPACK, and lstsq by qr.
 *
 * The last two dims are the matrix, dims before them a batch. Rules: M. Giles, "Collected matrix
 * derivative results for forward and reverse mode algorithmic differentiation", 2008; J. Townsend,
 * "Differentiating the singular value decomposition", 2016. Signs of vectors are LAPACK's; only
 * functions that do not depend on them have meaningful gradients. */
#include "linalg.h"

/* ---- eigh ---- */
static int eigh_shape(eq_call *c) {
  const eq_tensor *a = c->in[0];
  if (check_matrix(a, true)) return EQ_ERR;
  int bad = eq_out(c, 0, a->dtype, a->ndim - 1, a->shape);
  return bad ? bad : eq_out(c, 1, a->dtype, a->ndim, a->shape);
}

static int failed(int info, const eq_tensor *a, int64_t i) {
  if (info == EQ_LAPACK_NOMEM) return EQ_NOMEM;
  return eq_fail("LAPACK did not converge%s", which(a, i));
}

/* LAPACK's columns are vectors and lie one behind the other: rows here, so they are transposed. */
static int eigh_run(eq_call *c) {
  const eq_tensor *a = c->in[0];
  int64_t n = rows_of(a);
  size_t bytes = bytes_of(a), size = eq_size(a->dtype);
  if (a->numel == 0) return EQ_OK;
  if (not_finite(a)) return EQ_ERR;
  char *m = eq_alloc(bytes);
  int bad = m ? EQ_OK : EQ_NOMEM;
  for (int64_t i = 0; i < batch_of(a) && !bad; i++) {
    memcpy(m, a->data + (size_t)i * bytes, bytes);
    int info = eq_lapack_eigh(a->dtype, (int)n, m, c->out[0]->data + (size_t)(i * n) * size);
    if (info) bad = failed(info, a, i);
    transposed(c->out[1]->data + (size_t)i * bytes, m, n, n, size);
    if (!bad && eq_poll && eq_poll()) bad = eq_stopped();
  }
  eq_free(m, bytes);
  return bad;
}

/* ga = sym(V (diag(gw) + F o V' gV) V') */
static int eigh_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *w = c->out[0], *v = c->out[1];
  eq_tensor *inner = eq_f("mul", "TT", gaps(keep(w)), mm(mt(v), keep(gy[1])));
  inner = eq_f("add", "TT", inner, diagonal_matrix(keep(gy[0])));
  gx[0] = symmetric(mm(mm(keep(v), inner), mt(v)));
  return eq_error.status;
}

/* ---- qr ---- */
static int qr_shape(eq_call *c) {
  const eq_tensor *a = c->in[0];
  int64_t shape[EQ_MAXDIM];
  if (check_matrix(a, false)) return EQ_ERR;
  int64_t k = rows_of(a) < cols_of(a) ? rows_of(a) : cols_of(a);
  memcpy(shape, a->shape, sizeof shape);
  shape[a->ndim - 1] = k;
  int bad = eq_out(c, 0, a->dtype, a->ndim, shape);
  shape[a->ndim - 2] = k;
  shape[a->ndim - 1] = cols_of(a);
  return bad ? bad : eq_out(c, 1, a->dtype, a->ndim, shape);
}

static int qr_run(eq_call *c) {
  const eq_tensor *a = c->in[0];
  eq_tensor *q = c->out[0], *r = c->out[1];
  int64_t m = rows_of(a), n = cols_of(a), k = cols_of(q);
  size_t size = eq_size(a->dtype), abytes = bytes_of(a), rbytes = bytes_of(r), qbytes = bytes_of(q);
  if (a->numel == 0) return EQ_OK;
  char *w = eq_alloc(abytes + rbytes);
  int bad = w ? EQ_OK : EQ_NOMEM;
  for (int64_t i = 0; i < batch_of(a) && !bad; i++) {
    transposed(w, a->data + (size_t)i * abytes, m, n, size);
    int info = eq_lapack_qr(a->dtype, (int)m, (int)n, w, w + abytes);
    if (info) bad = failed(info, a, i);
    transposed(q->data + (size_t)i * qbytes, w, k, m, size);
    transposed(r->data + (size_t)i * rbytes, w + abytes, n, k, size);
    if (!bad && eq_poll && eq_poll()) bad = eq_stopped();
  }
  eq_free(w, abytes + rbytes);
  return bad;
}

/* ga = (gQ + Q sym'(M)) R'^-1, M = R gR' - gQ' Q, sym'(M) = M's lower triangle mirrored upwards */
static int qr_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *q = c->out[0], *r = c->out[1];
  if (rows_of(c->in[0]) < cols_of(c->in[0]))
    return eq_fail("qr has a gradient for matrices with at least as many rows as columns, got %s",
                   eq_shape_of(c->in[0]));
  eq_tensor *m = eq_f("sub", "TT", mm(keep(r), mt(gy[1])), mm(mt(gy[0]), keep(q)));
  eq_tensor *low = half_lower(m);
  eq_tensor *s = low ? eq_f("add", "tT", low, mt(low)) : NULL;
  eq_release(low);
  eq_tensor *x = eq_f("add", "tT", gy[0], mm(keep(q), s));
  gx[0] = T_(eq_f("solve_full", "tT", r, x ? T_(x) : NULL));
  return eq_error.status;
}

/* ---- svd: of the transposed matrix, a' = V S U', LAPACK returns V and U', which are V' and U read
 * row by row ---- */
static int svd_shape(eq_call *c) {
  const eq_tensor *a = c->in[0];
  int64_t shape[EQ_MAXDIM];
  int n = a->ndim;
  if (check_matrix(a, false)) return EQ_ERR;
  int64_t k = rows_of(a) < cols_of(a) ? rows_of(a) : cols_of(a);
  memcpy(shape, a->shape, sizeof shape);
  shape[n - 1] = k;
  int bad = eq_out(c, 0, a->dtype, n, shape);
  shape[n - 2] = k;
  if (!bad) bad = eq_out(c, 1, a->dtype, n - 1, shape);
  shape[n - 1] = cols_of(a);
  return bad ? bad : eq_out(c, 2, a->dtype, n, shape);
}

static int svd_run(eq_call *c) {
  const eq_tensor *a = c->in[0];
  int64_t m = rows_of(a), n = cols_of(a), k = m < n ? m : n;
  size_t size = eq_size(a->dtype), bytes = bytes_of(a);
  if (a->numel == 0) return EQ_OK;
  if (not_finite(a)) return EQ_ERR;
  char *w = eq_alloc(bytes);
  int bad = w ? EQ_OK : EQ_NOMEM;
  for (int64_t i = 0; i < batch_of(a) && !bad; i++) {
    memcpy(w, a->data + (size_t)i * bytes, bytes);
    int info = eq_lapack_svd(
        a->dtype, (int)n, (int)m, w, c->out[2]->data + (size_t)(i * k * n) * size,
        c->out[1]->data + (size_t)(i * k) * size, c->out[0]->data + (size_t)(i * m * k) * size);
    if (info) bad = failed(info, a, i);
    if (!bad && eq_poll && eq_poll()) bad = eq_stopped();
  }
  eq_free(w, bytes);
  return bad;
}

/* x' gx - gx' x */
static eq_tensor *skew(eq_tensor *x, eq_tensor *g) {
  return eq_f("sub", "TT", mm(mt(x), keep(g)), mm(mt(g), keep(x)));
}

/* g minus its part in the span of x's columns */
static eq_tensor *beside(eq_tensor *x, eq_tensor *g) {
  return eq_f("sub", "tT", g, mm(keep(x), mm(mt(x), keep(g))));
}

/* Townsend's formula: ga = U ((F o skew(U)) S + S (F o skew(V)) + diag(gs)) V'
 *                          + (1 - U U') gU S^-1 V' + U S^-1 gV' (1 - V V'), F of the squares of s
 */
static int svd_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *u = c->out[0], *s = c->out[1], *vh = c->out[2];
  eq_tensor *v = mt(vh), *gv = mt(gy[2]), *f = gaps(eq_f("square", "t", s)),
            *inv_s = eq_f("reciprocal", "t", s);
  if (v && gv && f && inv_s) {
    eq_tensor *in_u = scale_cols(eq_f("mul", "tT", f, skew(u, gy[0])), s);
    eq_tensor *in_v = scale_rows(eq_f("mul", "tT", f, skew(v, gv)), s);
    eq_tensor *inner =
        eq_f("add", "TT", eq_f("add", "TT", in_u, in_v), diagonal_matrix(keep(gy[1])));
    eq_tensor *core = mm(mm(keep(u), inner), keep(vh));
    eq_tensor *out_u = mm(scale_cols(beside(u, gy[0]), inv_s), keep(vh));
    eq_tensor *side = scale_cols(beside(v, gv), inv_s);
    eq_tensor *out_v = mm(keep(u), side ? T_(side) : NULL);
    gx[0] = eq_f("add", "TT", core, eq_f("add", "TT", out_u, out_v));
  }
  eq_release(v);
  eq_release(gv);
  eq_release(f);
  eq_release(inv_s);
  return eq_error.status;
}

/* ---- lstsq: R x = Q' b ---- */
static int lstsq(eq_call *c) {
  eq_tensor *a = c->in[0], *b = c->in[1], *r[2];
  if (check_matrix(a, false)) return EQ_ERR;
  if (rows_of(a) < cols_of(a))
    return eq_fail("needs at least as many rows as columns, got %s", eq_shape_of(a));
  if (b->ndim == 0 || b->shape[b->ndim > 1 ? b->ndim - 2 : 0] != rows_of(a))
    return eq_fail("a is %s, b is %s; b needs %" PRId64 " rows", eq_shape_of(a), eq_shape_of(b),
                   rows_of(a));
  int bad = eq_fn("qr", r, "t", a);
  if (bad) return bad;
  eq_tensor *qb = eq_f("matmul", "Tt", T_(r[0]), b);
  return give(c, eq_f("solve", "TT", r[1], qb));
}

const eq_op ops_decompose[] = {
    {.name = "eigh",
     .sig = "a:float -> w, v",
     .doc = "Eigenvalues in ascending order and eigenvectors (the columns of v) of symmetric "
            "matrices; only the "
            "lower\ntriangle is read. Gradients of v need different eigenvalues.",
     .example = "print((equi.tensor({{3, 0}, {0, 1}}):eigh())[1]:item())  --> 1.0",
     .shape = eigh_shape,
     .run = eigh_run,
     .back = eigh_back,
     .flags = EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "qr",
     .sig = "a:float -> q, r",
     .doc = "a = Q R with orthonormal columns of Q (m x min) and R upper triangular (min x n). The "
            "gradient "
            "needs\nat least as many rows as columns.",
     .example = "local q, r = equi.tensor({{3, 1}, {4, 2}}):qr()\nprint(q:size())  --> 2 2",
     .shape = qr_shape,
     .run = qr_run,
     .back = qr_back,
     .flags = EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "svd",
     .sig = "a:float -> u, s, vh",
     .doc = "a = U diag(s) Vh with s in descending order; u is m x min, vh is min x n. Gradients "
            "of u and vh "
            "need\ndifferent singular values, none of them 0.",
     .example = "local u, s, vh = equi.tensor({{3, 0}, {0, 4}}):svd()\nprint(s[1]:item())  --> 4.0",
     .shape = svd_shape,
     .run = svd_run,
     .back = svd_back,
     .flags = EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "lstsq",
     .sig = "a:float, b:float -> x",
     .doc = "The x that makes |a x - b| smallest, for a with full rank and at least as many rows "
            "as columns.",
     .example = "print(equi.tensor({{1}, {1}}):lstsq(equi.tensor({1, 3}))[1]:item())  --> 2.0",
     .compose = lstsq,
     .where = EQ_HERE},
    {0}};
