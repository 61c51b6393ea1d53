/* linalg.c -- systems of equations and determinants through LAPACK: solve, inv, det, slogdet,
 * cholesky.
 *
 * The last two dims are the matrix, dims before them a batch. Matrices are row-major here and
 * column-major there: LAPACK sees the transposed matrix, and each function below says what that
 * means. Rules: M. Giles, "Collected matrix derivative results for forward and reverse mode
 * algorithmic differentiation", 2008; written with ops. decompose.c holds eigh, qr and svd. */
#include "linalg.h"

/* ---- solve: LAPACK factors a' (what it sees) and solves with its transpose, which is a ---- */
static int solve_shape(eq_call *c) {
  return eq_out(c, 0, c->in[1]->dtype, c->in[1]->ndim, c->in[1]->shape);
}

static int singular(const eq_tensor *a, int64_t i) {
  return eq_fail("the matrix%s is singular; add a small multiple of the identity, or use lstsq",
                 which(a, i));
}

static int solve_run(eq_call *c) {
  const eq_tensor *a = c->in[0], *b = c->in[1];
  int64_t n = rows_of(a), k = cols_of(b);
  size_t size = eq_size(a->dtype), abytes = bytes_of(a), bbytes = bytes_of(b);
  if (b->numel == 0) return EQ_OK;
  size_t total = abytes + bbytes + (size_t)n * sizeof(int);
  char *lu = eq_alloc(total);
  if (!lu) return EQ_NOMEM;
  char *x = lu + abytes;
  int *pivot = (int *)(void *)(x + bbytes), bad = EQ_OK;
  for (int64_t i = 0; i < batch_of(a) && !bad; i++) {
    memcpy(lu, a->data + (size_t)i * abytes, abytes);
    transposed(x, b->data + (size_t)i * bbytes, n, k, size);
    if (eq_lapack_lu(a->dtype, (int)n, lu, pivot))
      bad = singular(a, i);
    else
      eq_lapack_lu_solve(a->dtype, (int)n, (int)k, lu, pivot, x);
    transposed(c->out[0]->data + (size_t)i * bbytes, x, k, n, size);
    if (!bad && eq_poll && eq_poll()) bad = eq_stopped();
  }
  eq_free(lu, total);
  return bad;
}

/* gb = a'^-1 gx, ga = -gb x' */
static int solve_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *gb = eq_f("solve_full", "Tt", mt(c->in[0]), gy[0]);
  if (gb && eq_needed(c, 0)) gx[0] = eq_f("neg", "T", mm(keep(gb), mt(c->out[0])));
  if (gb && eq_needed(c, 1)) gx[1] = keep(gb);
  eq_release(gb);
  return eq_error.status;
}

/* x expanded to the batch dims given, its last `own` dims as they are. */
static eq_tensor *widen(eq_tensor *x, int own, int nbatch, const int64_t *batch) {
  int64_t shape[EQ_MAXDIM];
  if (!x) return NULL;
  memcpy(shape, batch, (size_t)nbatch * sizeof *batch);
  memcpy(shape + nbatch, x->shape + x->ndim - own, (size_t)own * sizeof *batch);
  return eq_f("expand", "Tl", x, nbatch + own, shape);
}

static int batch_shape(eq_tensor *a, eq_tensor *b, int *n, int64_t *shape) {
  eq_tensor *x = eq_meta(EQ_U8, a->ndim - 2, a->shape), *y = eq_meta(EQ_U8, b->ndim - 2, b->shape);
  eq_tensor *pair[2] = {x, y};
  int bad = x && y ? eq_broadcast(2, pair, n, shape) : EQ_NOMEM;
  if (!bad && *n + 2 > EQ_MAXDIM) bad = eq_fail("more than %d dims", EQ_MAXDIM);
  eq_release(x);
  eq_release(y);
  return bad;
}

static int solve(eq_call *c) {
  eq_tensor *a = c->in[0], *b = c->in[1];
  int64_t shape[EQ_MAXDIM];
  int n = 0;
  if (check_matrix(a, true)) return EQ_ERR;
  bool vector = b->ndim == 1 || (b->ndim == a->ndim - 1 &&
                                 !memcmp(a->shape, b->shape, (size_t)b->ndim * sizeof *a->shape));
  if (b->ndim == 0 || b->shape[b->ndim - (vector ? 1 : 2)] != rows_of(a))
    return eq_fail("a is %s, b is %s; b needs %" PRId64 " rows", eq_shape_of(a), eq_shape_of(b),
                   rows_of(a));
  eq_tensor *m = vector ? eq_f("unsqueeze", "ti", b, (int64_t)b->ndim) : keep(b), *x = NULL;
  if (m && !batch_shape(a, m, &n, shape))
    x = eq_f("solve_full", "TT", widen(keep(a), 2, n, shape), widen(keep(m), 2, n, shape));
  eq_release(m);
  int64_t last = x ? x->ndim - 1 : 0;
  return give(c, x && vector ? eq_f("squeeze", "Tl", x, 1, &last) : x);
}

static eq_tensor *inverse(eq_tensor *a) {
  eq_tensor *ones = eq_full(a->dtype, a->ndim - 1, a->shape, 1);
  return eq_f("solve_full", "tT", a, diagonal_matrix(ones));
}

static int inv(eq_call *c) {
  return check_matrix(c->in[0], true) ? EQ_ERR : give(c, inverse(c->in[0]));
}

/* ---- determinants ---- */
static int det_shape(eq_call *c) {
  const eq_tensor *a = c->in[0];
  return check_matrix(a, true) ? EQ_ERR : eq_out(c, 0, a->dtype, a->ndim - 2, a->shape);
}

static int slogdet_shape(eq_call *c) {
  int bad = det_shape(c);
  return bad ? bad : eq_out(c, 1, c->in[0]->dtype, c->in[0]->ndim - 2, c->in[0]->shape);
}

/* The diagonal of U and the sign of the row exchanges, per matrix. */
static int each_lu(eq_call *c, void (*put)(eq_call *c, int64_t i, const eq_tensor *lu, int sign)) {
  const eq_tensor *a = c->in[0];
  int64_t n = rows_of(a), shape[2] = {n, n};
  size_t bytes = bytes_of(a), pbytes = (size_t)n * sizeof(int);
  eq_tensor *lu = eq_empty(a->dtype, 2, shape);
  int *pivot = lu ? eq_alloc(pbytes) : NULL;
  int bad = pivot ? EQ_OK : (int)eq_error.status;
  for (int64_t i = 0; i < batch_of(a) && !bad; i++) {
    int sign = 1;
    if (n) {
      memcpy(lu->data, a->data + (size_t)i * bytes, bytes);
      eq_lapack_lu(a->dtype, (int)n, lu->data, pivot);
    }
    for (int k = 0; k < n; k++)
      if (pivot[k] != k + 1) sign = -sign;
    put(c, i, lu, sign);
  }
  eq_free(pivot, pbytes);
  eq_release(lu);
  return bad;
}

static void put_det(eq_call *c, int64_t i, const eq_tensor *lu, int sign) {
  double det = sign;
  for (int64_t k = 0; k < lu->shape[0]; k++) det *= eq_get(lu, k * (lu->shape[0] + 1));
  eq_set(c->out[0], i, det);
}

static void put_log(eq_call *c, int64_t i, const eq_tensor *lu, int sign) {
  double log_abs = 0, s = sign;
  for (int64_t k = 0; k < lu->shape[0]; k++) {
    double u = eq_get(lu, k * (lu->shape[0] + 1));
    s = u < 0 ? -s : u == 0 ? 0 : s;
    log_abs += log(fabs(u));
  }
  eq_set(c->out[0], i, s);
  eq_set(c->out[1], i, log_abs);
}

static int det_run(eq_call *c) { return each_lu(c, put_det); }
static int slogdet_run(eq_call *c) { return each_lu(c, put_log); }

/* g a'^-1 for g [..] */
static int scaled_inverse(eq_call *c, eq_tensor *g, eq_tensor **gx) {
  int64_t shape[EQ_MAXDIM + 2];
  if (!g) return eq_error.status;
  memcpy(shape, g->shape, sizeof g->shape);
  shape[g->ndim] = shape[g->ndim + 1] = 1;
  gx[0] = eq_f("mul", "TT", T_(inverse(c->in[0])), eq_f("reshape", "Tl", g, g->ndim + 2, shape));
  return eq_error.status;
}

static int det_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return scaled_inverse(c, eq_f("mul", "tt", gy[0], c->out[0]), gx);
}
static int slogdet_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return scaled_inverse(c, keep(gy[1]), gx);
}

/* ---- cholesky: LAPACK's upper factor, read row by row, is the lower one ---- */
static int like_a(eq_call *c) {
  const eq_tensor *a = c->in[0];
  return check_matrix(a, true) ? EQ_ERR : eq_out(c, 0, a->dtype, a->ndim, a->shape);
}

static int cholesky_run(eq_call *c) {
  const eq_tensor *a = c->in[0];
  eq_tensor *y = c->out[0];
  int64_t n = rows_of(a);
  size_t bytes = bytes_of(a), size = eq_size(a->dtype);
  if (a->numel == 0) return EQ_OK;
  memcpy(y->data, a->data, (size_t)batch_of(a) * bytes);
  for (int64_t i = 0; i < batch_of(a); i++) {
    char *m = y->data + (size_t)i * bytes;
    int info = eq_lapack_cholesky(a->dtype, (int)n, m);
    if (info)
      return eq_fail("the matrix%s is not positive definite: its leading %d x %d part is not",
                     which(a, i), info, info);
    for (int64_t r = 0; r < n; r++)
      memset(m + (size_t)(r * n + r + 1) * size, 0, (size_t)(n - r - 1) * size);
  }
  return EQ_OK;
}

/* ga = sym(L'^-1 P L^-1), P = half_lower(L' gL) */
static int cholesky_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *l = c->out[0], *p = half_lower(mm(mt(l), keep(gy[0])));
  eq_tensor *left = eq_f("solve_full", "TT", mt(l), p);
  gx[0] = symmetric(eq_f("solve_full", "TT", mt(l), left ? T_(left) : NULL));
  return eq_error.status;
}

const eq_op ops_linalg[] = {
    {.name = "solve",
     .sig = "a:float, b:float -> x",
     .doc = "The x with a x = b, for square matrices a; b of .. x n x k, or .. x n. Batch dims "
            "broadcast.\n"
            "A singular a is an error.",
     .example =
         "print(equi.tensor({{2, 0}, {0, 4}}):solve(equi.tensor({2, 2}))[2]:item())  --> 0.5",
     .compose = solve,
     .where = EQ_HERE},
    {.name = "solve_full",
     .sig = "a:float, b:float -> x",
     .doc = "solve with equal batch dims.",
     .shape = solve_shape,
     .run = solve_run,
     .back = solve_back,
     .flags = EQ_SAVE_IN0 | EQ_SAVE_OUT | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "inv",
     .sig = "a:float -> y",
     .doc = "The inverse of square matrices. A singular one is an error.",
     .example = "print(equi.tensor({{2, 0}, {0, 4}}):inv()[2][2]:item())  --> 0.25",
     .compose = inv,
     .where = EQ_HERE},
    {.name = "det",
     .sig = "a:float -> y",
     .doc = "The determinant of square matrices. The gradient needs an inverse.",
     .example = "print(equi.tensor({{2, 0}, {0, 4}}):det():item())  --> 8.0",
     .shape = det_shape,
     .run = det_run,
     .back = det_back,
     .flags = EQ_SAVE_IN0 | EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "slogdet",
     .sig = "a:float -> sign, logabsdet",
     .doc = "Sign (-1, 0, 1) and logarithm of the absolute value of the determinant, which does "
            "not overflow.",
     .example = "print((equi.tensor({{0, 1}, {1, 0}}):slogdet()):item())  --> -1.0",
     .shape = slogdet_shape,
     .run = slogdet_run,
     .back = slogdet_back,
     .flags = EQ_SAVE_IN0,
     .where = EQ_HERE},
    {.name = "cholesky",
     .sig = "a:float -> l",
     .doc = "The lower triangular L with L L' = a, for symmetric positive definite a. Only a's "
            "lower triangle "
            "is read.\nThe gradient is that of a symmetric a.",
     .example = "print(equi.tensor({{4, 0}, {0, 9}}):cholesky()[2][2]:item())  --> 3.0",
     .shape = like_a,
     .run = cholesky_run,
     .back = cholesky_back,
     .flags = EQ_SAVE_OUT,
     .where = EQ_HERE},
    {0}};
