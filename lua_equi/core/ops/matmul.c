/* matmul.c -- matrix products: y[.., i, j] = sum_k x[.., i, k] w[.., k, j].
 *
 * One plan serves all: batch dims broadcast, each batch entry is cut into tiles that depend on the
 * sizes only, and the tiles run in parallel. So a result is the same bit for bit on any number of
 * threads (BLAS's own threading is not) and a long product can be interrupted. Tiles of large
 * matrices go to gemm; single rows, single columns and small products to the loops below, where
 * the call of a BLAS would cost more than the product. A transposed operand is not copied. */
#ifdef T
/* c[0..n) += a[0..k) B, B row-major: four rows of B at a time, to load and store c less often. */
EQ_SIMD static void FN(row_times)(const T *a, int64_t acs, const T *b, int64_t ldb, T *c, int64_t n,
                                  int64_t k) {
  int64_t p = 0;
  for (; p + 4 <= k; p += 4) {
    const T a0 = a[p * acs], a1 = a[(p + 1) * acs], a2 = a[(p + 2) * acs], a3 = a[(p + 3) * acs];
    const T *b0 = b + p * ldb, *b1 = b0 + ldb, *b2 = b1 + ldb, *b3 = b2 + ldb;
    for (int64_t j = 0; j < n; j++) c[j] += (a0 * b0[j] + a1 * b1[j]) + (a2 * b2[j] + a3 * b3[j]);
  }
  for (; p < k; p++) {
    const T a0 = a[p * acs], *b0 = b + p * ldb;
    for (int64_t j = 0; j < n; j++) c[j] += a0 * b0[j];
  }
}

/* c[j] += a[0..k) . b[j][0..k), four rows of b at a time. Sums longer than BLOCK are cut, which
 * bounds the rounding error of f32. */
EQ_SIMD static void FN(row_dots)(const T *a, const T *b, int64_t ldb, T *c, int64_t n, int64_t k) {
  for (int64_t from = 0; from < k; from += BLOCK) {
    const int64_t len = k - from < BLOCK ? k - from : BLOCK;
    const T *x = a + from;
    int64_t j = 0;
    for (; j + 4 <= n; j += 4) {
      const T *b0 = b + j * ldb + from, *b1 = b0 + ldb, *b2 = b1 + ldb, *b3 = b2 + ldb;
      T s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
      for (int64_t p = 0; p < len; p++) {
        s0 += x[p] * b0[p];
        s1 += x[p] * b1[p];
        s2 += x[p] * b2[p];
        s3 += x[p] * b3[p];
      }
      c[j] += s0, c[j + 1] += s1, c[j + 2] += s2, c[j + 3] += s3;
    }
    for (; j < n; j++) {
      const T *b0 = b + j * ldb + from;
      T s = 0;
#pragma omp simd reduction(+ : s)
      for (int64_t p = 0; p < len; p++) s += x[p] * b0[p];
      c[j] += s;
    }
  }
}

static void FN(set_rows)(const product *q, T *c, int64_t rows, int64_t cols, int64_t j0) {
  const T *bias = (const T *)(const void *)q->bias;
  for (int64_t i = 0; i < rows; i++, c += q->n) {
    if (!bias)
      memset(c, 0, (size_t)cols * sizeof *c);
    else
      for (int64_t j = 0; j < cols; j++) c[j] = bias[(j0 + j) * q->bias_step];
  }
}

static void FN(small_tile)(const product *q, const T *a, const T *b, T *c, int64_t rows,
                           int64_t cols) {
  for (int64_t i = 0; i < rows; i++, a += q->a.rs, c += q->n) {
    if (q->b.transposed)
      FN(row_dots)(a, b, q->b.ld, c, cols, q->k);
    else
      FN(row_times)(a, q->a.cs, b, q->b.ld, c, cols, q->k);
  }
}
#else
#include "../equi.h"
#include <inttypes.h>
#include <limits.h>
#include <string.h>

enum { BLOCK = 4096 };

/* One operand: a matrix for each batch entry. BLAS takes it as it is when one stride is 1. */
typedef struct matrix {
  eq_tensor *x; /* retained, possibly a row-major copy */
  int64_t rows, cols, rs, cs, ld;
  int64_t batch_stride[EQ_MAXDIM];
  bool transposed;
} matrix;

typedef struct product {
  eq_dtype dtype;
  matrix a, b;
  char *c;          /* row-major m x n matrices behind each other */
  const char *bias; /* added to every row, or NULL */
  int64_t bias_step, m, n, k;
  int nbatch;
  int64_t batch[EQ_MAXDIM], batches;
  bool small;                     /* own loops instead of BLAS */
  int64_t tm, tn, tiles_n, tiles; /* tile size; tiles of one matrix */
  int64_t k_from, k_to;           /* this pass */
} product;

#define EQ_FILE "ops/matmul.c"
#include "../floats.h"

/* ---- operands ---- */
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static bool orient(matrix *q) {
  bool one_row = q->rows <= 1, one_col = q->cols <= 1;
  if ((q->cs == 1 || one_col) && (one_row || q->rs >= larger(q->cols, 1))) {
    q->transposed = false;
    q->ld = one_row ? larger(q->cols, 1) : q->rs;
  } else if ((q->rs == 1 || one_row) && (one_col || q->cs >= larger(q->rows, 1))) {
    q->transposed = true;
    q->ld = one_col ? larger(q->rows, 1) : q->cs;
  } else {
    return false;
  }
  return q->ld <= INT_MAX;
}

/* Reads strides: a vector is one row on the left and one column on the right. */
static void read_strides(matrix *q, bool left, int nbatch, const int64_t *batch) {
  const eq_tensor *x = q->x;
  int n = x->ndim;
  if (n == 1) {
    q->rows = left ? 1 : x->shape[0];
    q->cols = left ? x->shape[0] : 1;
    q->rs = left ? larger(x->shape[0], 1) : x->stride[0];
    q->cs = left ? x->stride[0] : 1;
  } else {
    q->rows = x->shape[n - 2], q->rs = x->stride[n - 2];
    q->cols = x->shape[n - 1], q->cs = x->stride[n - 1];
  }
  for (int d = 0; d < nbatch; d++) {
    int k = d - (nbatch - (n - 2));
    q->batch_stride[d] = k < 0 || x->shape[k] != batch[d] || batch[d] == 1 ? 0 : x->stride[k];
  }
}

static int set_operand(product *p, matrix *q, eq_tensor *x, bool left) {
  q->x = x;
  read_strides(q, left, p->nbatch, p->batch);
  if (orient(q)) {
    eq_retain(x);
    return EQ_OK;
  }
  q->x = eq_clone(x);
  if (!q->x) return eq_error.status;
  read_strides(q, left, p->nbatch, p->batch);
  if (orient(q)) return EQ_OK;
  eq_release(q->x);
  q->x = NULL;
  return eq_fail("rows of %" PRId64 " elements are too long for this BLAS", q->ld);
}

/* w without batch dims: the rows of all batch entries of x become one tall matrix. */
static void fold_batch(product *p) {
  int64_t step = p->a.rs, rows = p->m;
  for (int d = 0; d < p->nbatch; d++)
    if (p->b.batch_stride[d]) return;
  for (int d = p->nbatch - 1; d >= 0; d--) {
    if (p->batch[d] == 1) continue;
    if (rows == 1)
      step = p->a.batch_stride[d];
    else if (p->a.batch_stride[d] != step * rows)
      return;
    rows *= p->batch[d];
  }
  matrix folded = p->a;
  folded.rows = rows;
  folded.rs = step;
  if (!orient(&folded)) return;
  p->a = folded;
  p->m = rows;
  p->nbatch = 0;
}

/* A single column: y' = w' x', so that the loops know single rows only. */
static void turn_column(product *p) {
  matrix a = p->a, b = p->b;
  p->a = b, p->b = a;
  p->a.rows = b.cols, p->a.cols = b.rows, p->a.rs = b.cs, p->a.cs = b.rs;
  p->b.rows = a.cols, p->b.cols = a.rows, p->b.rs = a.cs, p->b.cs = a.rs;
  (void)orient(&p->a);
  (void)orient(&p->b);
  p->n = p->m;
  p->m = 1;
  p->bias_step = 0;
}

/* ---- tiles ---- */
static double flops(int64_t m, int64_t n, int64_t k) {
  return 2.0 * (double)m * (double)n * (double)k;
}

static int64_t half(int64_t n) { return ((n + 1) / 2 + 31) / 32 * 32; }

/* How many tiles: more for larger products, none too small to be worth its packing of the operands.
 * The numbers were measured on squares of 512 to 2048 on two cores. */
static void choose_tiles(product *p) {
  double all = flops(p->m, p->n, p->k);
  int64_t parts = all < 0x1p23 ? 1 : all < 0x1p26 ? 2 : all < 0x1p30 ? 4 : all < 0x1p33 ? 8 : 16;
  int64_t made = 1;
  p->small = p->m == 1 || all <= 2.0 * 16 * 16 * 16;
  if (p->n == 1 && p->b.rs == 1) { /* a dot product: both sides dense */
    p->b.transposed = true;
    p->b.ld = larger(p->k, 1);
  }
  if (p->b.transposed && p->a.cs != 1 && p->k > 1)
    p->small = false; /* the dot loop wants dense rows */
  p->tm = p->m, p->tn = p->n;
  if (p->small) {
    int64_t most = larger(((int64_t)1 << 20) / larger(p->k, 1), 64);
    if (p->tn > most && p->m == 1) p->tn = most / 16 * 16;
  } else {
    while (made < parts || flops(p->tm, p->tn, larger(p->k, 1)) > 0x1p31) {
      int64_t *longer = p->tm >= p->tn ? &p->tm : &p->tn;
      if (half(*longer) >= *longer || *longer <= 64) break;
      *longer = half(*longer);
      made *= 2;
    }
  }
  p->tiles_n = (p->n + p->tn - 1) / p->tn;
  p->tiles = p->tiles_n * ((p->m + p->tm - 1) / p->tm);
}

static void offsets(const product *p, int64_t entry, int64_t *a, int64_t *b) {
  *a = *b = 0;
  for (int d = p->nbatch - 1; d >= 0; d--) {
    int64_t at = entry % p->batch[d];
    entry /= p->batch[d];
    *a += at * p->a.batch_stride[d];
    *b += at * p->b.batch_stride[d];
  }
}

static void run_tile(const product *p, int64_t item) {
  int64_t entry = item / p->tiles, t = item % p->tiles, ao, bo;
  int64_t i0 = t / p->tiles_n * p->tm, j0 = t % p->tiles_n * p->tn,
          size = (int64_t)eq_size(p->dtype);
  int64_t rows = p->m - i0 < p->tm ? p->m - i0 : p->tm,
          cols = p->n - j0 < p->tn ? p->n - j0 : p->tn;
  offsets(p, entry, &ao, &bo);
  const char *a = p->a.x->data + (ao + i0 * p->a.rs + p->k_from * p->a.cs) * size;
  const char *b = p->b.x->data + (bo + p->k_from * p->b.rs + j0 * p->b.cs) * size;
  char *c = p->c + (entry * p->m * p->n + i0 * p->n + j0) * size;
  if (p->k_from == 0 && (p->small || p->bias || p->k == 0))
    FLOAT_CALL(p->dtype, set_rows, (p, (void *)c, rows, cols, j0));
  if (p->small)
    FLOAT_CALL(p->dtype, small_tile, (p, (const void *)a, (const void *)b, (void *)c, rows, cols));
  else if (p->k)
    (void)eq_gemm(p->dtype, p->a.transposed, p->b.transposed, rows, cols, p->k_to - p->k_from, 1, a,
                  p->a.ld, b, p->b.ld, p->k_from || p->bias ? 1 : 0, c, p->n);
}

static void tiles(int64_t begin, int64_t end, void *ctx) {
  for (int64_t i = begin; i < end; i++) run_tile(ctx, i);
}

static int run_serial(const product *p, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    if (i && eq_poll && eq_poll()) return eq_stopped();
    run_tile(p, i);
  }
  return EQ_OK;
}

/* The inner dim in passes, so that no tile takes longer than about 50 ms. */
static int run_passes(product *p) {
  double each = flops(p->tm, p->tn, p->k);
  int64_t items = p->batches * p->tiles, step = p->k;
  int64_t grain = each > 0 ? (int64_t)(0x1p19 / each) : items;
  if (!p->small && each > 0x1p31)
    step = larger((int64_t)((double)p->k * (0x1p31 / each)) / 64 * 64, 64);
  p->k_from = 0;
  do {
    p->k_to = p->k - p->k_from < step ? p->k : p->k_from + step;
    int bad = p->small || eq_blas_concurrent() ? eq_parallel_for(items, larger(grain, 1), tiles, p)
                                               : run_serial(p, items);
    if (bad) return bad;
    p->k_from = p->k_to;
  } while (p->k_from < p->k);
  return EQ_OK;
}

/* y = x w + bias; p->nbatch and p->batch are set. */
static int multiply(product *p, eq_tensor *x, eq_tensor *w, bool w_transposed, eq_tensor *y) {
  p->dtype = x->dtype;
  p->c = y->data;
  if (y->numel == 0) return EQ_OK;
  int bad = set_operand(p, &p->a, x, true);
  if (!bad) bad = set_operand(p, &p->b, w, false);
  if (!bad) {
    if (w_transposed) {
      matrix b = p->b;
      p->b.rows = b.cols, p->b.cols = b.rows, p->b.rs = b.cs, p->b.cs = b.rs;
      (void)orient(&p->b);
    }
    p->m = p->a.rows, p->n = p->b.cols, p->k = p->a.cols;
    fold_batch(p);
    p->batches = 1;
    for (int d = 0; d < p->nbatch; d++) p->batches *= p->batch[d];
    if (p->n == 1 && p->m > 1) turn_column(p);
    choose_tiles(p);
    eq_blas_one_thread();
    if (!bad) bad = run_passes(p);
  }
  eq_release(p->a.x);
  eq_release(p->b.x);
  return bad;
}

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
  product p = {0};
  if (check_product(c, &p.nbatch, p.batch)) return EQ_ERR;
  return multiply(&p, c->in[0], c->in[1], false, c->out[0]);
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
  eq_tensor *x = c->in[0], *b = c->in[2];
  product p = {.bias = b ? b->data : NULL, .bias_step = b ? b->stride[0] : 0};
  p.nbatch = x->ndim > 2 ? x->ndim - 2 : 0;
  for (int d = 0; d < p.nbatch; d++) p.batch[d] = x->shape[d];
  return multiply(&p, x, c->in[1], true, c->out[0]);
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
#endif
