/* product.c -- y = x w + bias, the engine of ops/matmul.c: cuts a product into tiles and runs them.
 *
 * Batch dims broadcast; each batch entry is cut into tiles, which run in parallel: at places that
 * depend on the sizes only for a BLAS, anywhere for micro/, whose sums do not notice. So a result
 * is the same bit for bit on any number of threads (BLAS's own threading is not) and a long product
 * can be interrupted. f32 tiles go to micro/ (a BLAS packs its
 * operands again for each), others to BLAS; single rows, single columns and small products to the
 * loops below, where the call of a BLAS would cost more than the product. A transposed operand is
 * not copied. */
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
#include "equi.h"
#include "micro/gemm.h"
#include <inttypes.h>
#include <limits.h>
#include <string.h>

enum { BLOCK = 4096, LIGHT = 16384 };
#define LONGEST 0x1p32 /* floating-point operations of one tile */

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
  enum { LOOPS, BLAS, TILED, SKINNY } by;
  float *scratch; /* TILED: room for each thread */
  int64_t room;
  int64_t tm, tn, tiles_n, tiles; /* tile size; tiles of one matrix */
  int64_t k_from, k_to;           /* this pass */
} product;

#define EQ_FILE "product.c"
#include "floats.h"

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

static void transpose_right(matrix *b) {
  int64_t rows = b->rows, rs = b->rs;
  b->rows = b->cols, b->cols = rows;
  b->rs = b->cs, b->cs = rs;
  (void)orient(b);
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

/* Loops for short work, the inner kernels for f32 where they are fast, BLAS for the rest. From
 * LIGHT weights on, one row goes where 2 to 8 go, and so has the same bits alone as among others.
 */
static void choose_way(product *p) {
  bool own = p->dtype == EQ_F32 && eq_micro_wanted();
  bool small = (p->m == 1 && !(own && p->n * p->k >= LIGHT)) ||
               flops(p->m, p->n, p->k) <= 2.0 * 16 * 16 * 16;
  if (p->n == 1 && p->b.rs == 1) { /* a dot product: both sides dense */
    p->b.transposed = true;
    p->b.ld = larger(p->k, 1);
  }
  bool dots = !p->b.transposed || p->a.cs == 1 || p->k <= 1; /* dots want dense rows */
  if (small && dots)
    p->by = LOOPS;
  else if (!own || p->k == 0)
    p->by = BLAS;
  else
    p->by = p->m <= EQ_SKINNY && dots ? SKINNY : TILED;
}

/* BLAS: two or four panels of rows, measured on squares of 512 to 2048 on two cores as fast as
 * BLAS's own threads, while square tiles or eight panels lose 5 to 15 %. Many small rows become
 * panels of columns. Very large products are cut further: no tile may take long (see run_passes).
 */
static void cut_for_blas(product *p, double all) {
  int64_t parts = all < 0x1p23 ? 1 : all < 0x1p26 ? 2 : 4, made = 1;
  for (; made < parts || flops(p->tm, p->tn, p->k) > LONGEST; made *= 2) {
    int64_t least = made < parts ? 64 : 512;
    int64_t *cut = half(p->tm) >= least || p->tm >= p->tn ? &p->tm : &p->tn;
    if (half(*cut) >= *cut || half(*cut) < 64) break;
    *cut = half(*cut);
  }
}

/* n in equal parts of at most `most`, multiples of `unit` but for the last. */
static int64_t part_of(int64_t n, int64_t most, int64_t unit) {
  int64_t parts = (n + most - 1) / most, each = (n + parts - 1) / parts;
  return (each + unit - 1) / unit * unit;
}

/* Every tile packs its own part of b: that pays from about a hundred rows on. So there are only as
 * many as the threads need; no sum depends on where a product is cut (micro.h). Thin products are
 * cut between columns only. */
static void cut_for_tiles(product *p, double all) {
  int64_t threads = eq_threads(), width = eq_micro()->width;
  int64_t parts = all < 0x1p22 || threads == 1 ? 1
                  : all < 0x1p25               ? 2
                  : all < 0x1p28               ? 4
                                               : 4 * threads;
  if (p->by == SKINNY) {
    p->tn = part_of(p->n, parts > 2 ? 512 : 1024, 64);
    return;
  }
  p->tm = part_of(p->m, 1008, 14);
  p->tn = part_of(p->n, 32 * width, width);
  while (p->batches * ((p->m + p->tm - 1) / p->tm) * ((p->n + p->tn - 1) / p->tn) < parts) {
    if (p->tm >= 2 * p->tn && p->tm >= 224)
      p->tm = part_of(p->tm, (p->tm + 1) / 2, 14);
    else if (p->tn >= 2 * width)
      p->tn = part_of(p->tn, (p->tn + 1) / 2, width);
    else
      break;
  }
}

static void choose_tiles(product *p) {
  double all = flops(p->m, p->n, p->k);
  p->tm = p->m, p->tn = p->n;
  if (p->by == LOOPS) {
    int64_t most = larger(((int64_t)1 << 20) / larger(p->k, 1), 64);
    if (p->tn > most && p->m == 1) p->tn = most / 16 * 16;
  } else if (p->by == BLAS) {
    cut_for_blas(p, all);
  } else {
    cut_for_tiles(p, all);
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

/* The part of the product that one tile computes in this pass, for the inner kernels. */
static eq_sgemm sgemm_of(const product *p, int64_t rows, int64_t cols) {
  const matrix *a = &p->a, *b = &p->b;
  return (eq_sgemm){.m = rows,
                    .n = cols,
                    .k = p->k_to - p->k_from,
                    .ars = a->transposed ? 1 : a->ld,
                    .acs = a->transposed ? a->ld : 1,
                    .bks = b->transposed ? 1 : b->ld,
                    .bns = b->transposed ? b->ld : 1,
                    .crs = p->n,
                    .accumulate = p->k_from || (p->bias && p->bias_step != 1)};
}

static void run_own(const product *p, const void *a, const void *b, void *c, int64_t rows,
                    int64_t cols, int64_t j0) {
  eq_sgemm g = sgemm_of(p, rows, cols);
  g.a = a, g.b = b, g.c = c;
  if (p->bias && !g.accumulate) g.bias = (const float *)(const void *)p->bias + j0;
  if (p->by == SKINNY)
    eq_sgemm_skinny(&g);
  else
    eq_sgemm_tile(&g, p->scratch + eq_thread() * p->room);
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
  bool own = p->by == TILED || p->by == SKINNY, bias = p->bias && !(own && p->bias_step == 1);
  if (p->k_from == 0 && (p->by == LOOPS || bias || p->k == 0))
    FLOAT_CALL(p->dtype, set_rows, (p, (void *)c, rows, cols, j0));
  if (p->by == LOOPS)
    FLOAT_CALL(p->dtype, small_tile, (p, (const void *)a, (const void *)b, (void *)c, rows, cols));
  else if (own)
    run_own(p, a, b, c, rows, cols, j0);
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

/* The inner dim in passes, so that no tile takes longer than about 50 ms on the slower of today's
 * cores. */
static int run_passes(product *p) {
  double each = flops(p->tm, p->tn, p->k);
  int64_t items = p->batches * p->tiles, step = p->k;
  int64_t grain = each > 0 ? (int64_t)(0x1p19 / each) : items;
  if (p->by != LOOPS && each > 0x1p31)
    step = larger((int64_t)((double)p->k * (0x1p31 / each)) / 64 * 64, 64);
  p->k_from = 0;
  do {
    p->k_to = p->k - p->k_from < step ? p->k : p->k_from + step;
    int bad = p->by != BLAS || eq_blas_concurrent()
                  ? eq_parallel_for(items, larger(grain, 1), tiles, p)
                  : run_serial(p, items);
    if (bad) return bad;
    p->k_from = p->k_to;
  } while (p->k_from < p->k);
  return EQ_OK;
}

static int run(product *p) {
  size_t bytes = 0;
  if (p->by == TILED) {
    p->k_from = 0, p->k_to = p->k;
    eq_sgemm g = sgemm_of(p, p->tm, p->tn);
    p->room = (eq_sgemm_scratch(&g) + 15) / 16 * 16;
    bytes = (size_t)p->room * sizeof(float) * (size_t)eq_threads();
    p->scratch = eq_alloc(bytes);
    if (!p->scratch) return eq_error.status;
  }
  int bad = run_passes(p);
  eq_free(p->scratch, bytes);
  return bad;
}

int eq_product(eq_tensor *x, eq_tensor *w, bool w_transposed, const eq_tensor *bias, int nbatch,
               const int64_t *batch, eq_tensor *y) {
  product p = {.dtype = x->dtype, .c = y->data, .nbatch = nbatch, .batches = 1};
  if (y->numel == 0) return EQ_OK;
  if (bias) p.bias = bias->data, p.bias_step = bias->stride[0];
  for (int d = 0; d < nbatch; d++) p.batch[d] = batch[d];
  int bad = set_operand(&p, &p.a, x, true);
  if (!bad) bad = set_operand(&p, &p.b, w, false);
  if (!bad) {
    if (w_transposed) transpose_right(&p.b);
    p.m = p.a.rows, p.n = p.b.cols, p.k = p.a.cols;
    fold_batch(&p);
    for (int d = 0; d < p.nbatch; d++) p.batches *= p.batch[d];
    if (p.n == 1 && p.m > 1) turn_column(&p);
    choose_way(&p);
    choose_tiles(&p);
    bad = run(&p);
  }
  eq_release(p.a.x);
  eq_release(p.b.x);
  return bad;
}
#endif
