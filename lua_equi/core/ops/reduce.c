/* reduce.c -- sums over any set of dims, the reduction that everything else is made of.
 *
 * The input is viewed as outer x reduced elements: kept dims outside, reduced dims inside. A long
 * reduction is summed in fixed blocks of BLOCK elements, whose sums are added as doubles: the
 * result does not depend on the number of threads, and f32 stays exact to its last digits. */
#ifdef T
/* Sum of n elements `step` apart, in interleaved partial sums. */
EQ_SIMD static T FN(block_sum)(const T *x, int64_t n, int64_t step) {
  T part[LANES] = {0}, sum = 0;
  int64_t i = 0;
  if (step == 1)
    for (; i + LANES <= n; i += LANES)
      for (int k = 0; k < LANES; k++) part[k] += x[i + k];
  for (; i < n; i++) part[i % LANES] += x[i * step];
  for (int k = 0; k < LANES; k++) sum += part[k];
  return sum;
}

static double FN(long_sum)(const T *x, int64_t n, int64_t step) {
  double sum = 0;
  for (int64_t i = 0; i < n; i += BLOCK)
    sum += (double)FN(block_sum)(x + i * step, n - i < BLOCK ? n - i : BLOCK, step);
  return sum;
}

/* Rows [begin, end) of the result; for each, all reduced elements. */
static void FN(sum_rows)(const plan *p, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; r++) {
    const T *x =
        (const T *)(const void *)p->x + offset_of(r, p->nkept, p->kept_size, p->kept_stride);
    double sum = 0;
    for (int64_t k = 0; k < p->rows; k++)
      sum += FN(long_sum)(x + offset_of(k, p->nred, p->red_size, p->red_stride), p->inner, p->step);
    ((T *)(void *)p->y)[r] = (T)sum;
  }
}

/* Reduced elements [begin, end) of result r. */
static double FN(part_sum)(const plan *p, int64_t r, int64_t begin, int64_t end) {
  const T *x = (const T *)(const void *)p->x + offset_of(r, p->nkept, p->kept_size, p->kept_stride);
  double sum = 0;
  while (begin < end) {
    int64_t k = begin / p->inner, i = begin % p->inner;
    int64_t n = end - begin < p->inner - i ? end - begin : p->inner - i;
    const T *row = x + offset_of(k, p->nred, p->red_size, p->red_stride) + i * p->step;
    sum += FN(long_sum)(row, n, p->step);
    begin += n;
  }
  return sum;
}

/* Kept columns [from, from + n), n <= COLUMNS, of the reduced rows [begin, end): whole rows are
 * added instead of striding; every BLOCK rows the sums move on to doubles. */
EQ_SIMD static void FN(column_sum)(const plan *p, int64_t from, int64_t n, int64_t begin,
                                   int64_t end, double *sum) {
  T part[COLUMNS];
  for (int64_t j = 0; j < n; j++) sum[j] = 0;
  for (int64_t block = begin; block < end; block += BLOCK) {
    int64_t last = block + BLOCK < end ? block + BLOCK : end;
    for (int64_t j = 0; j < n; j++) part[j] = 0;
    for (int64_t k = block; k < last; k++) {
      const T *row = (const T *)(const void *)p->x + from + k % p->inner * p->step +
                     offset_of(k / p->inner, p->nred, p->red_size, p->red_stride);
      for (int64_t j = 0; j < n; j++) part[j] += row[j];
    }
    for (int64_t j = 0; j < n; j++) sum[j] += (double)part[j];
  }
}

static void FN(add_parts)(const parts *w, T *y) {
  for (int64_t r = 0; r < w->kept; r++) {
    double sum = 0;
    for (int64_t q = 0; q < w->count; q++) sum += w->sum[q * w->kept + r];
    y[r] = (T)sum;
  }
}
#else
#include "../equi.h"
#include <string.h>

enum { LANES = 16, BLOCK = 1024, PIECE = 32768, COLUMNS = 256, MAX_PARTS = 4096 };

typedef struct plan {
  const char *x;
  char *y;
  eq_dtype dtype;
  int nkept, nred; /* reduced dims without the innermost */
  int64_t kept_size[EQ_MAXDIM], kept_stride[EQ_MAXDIM];
  int64_t red_size[EQ_MAXDIM], red_stride[EQ_MAXDIM];
  int64_t rows, inner, step; /* the innermost reduced dim */
} plan;

/* The reduced elements of every result cut into `count` parts of `len`, each with its own sum. */
typedef struct parts {
  const plan *p;
  bool columns;
  int64_t kept, len, count, all;
  double *sum; /* [count][kept] */
} parts;

static inline int64_t offset_of(int64_t i, int n, const int64_t *size, const int64_t *stride) {
  int64_t at = 0;
  for (int d = n - 1; d >= 0; d--) {
    at += i % size[d] * stride[d];
    i /= size[d];
  }
  return at;
}

#define EQ_FILE "ops/reduce.c"
#include "../floats.h"

static int reduce_shape(eq_call *c) {
  unsigned mask;
  int64_t shape[EQ_MAXDIM];
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  int n = eq_reduced_shape(c->in[0], mask, c->arg[1].i, shape);
  return eq_out(c, 0, c->in[0]->dtype, n, shape);
}

/* ---- sum ---- */
static void make_plan(const eq_call *c, unsigned mask, plan *p) {
  const eq_tensor *x = c->in[0];
  memset(p, 0, sizeof *p);
  p->x = x->data;
  p->y = c->out[0]->data;
  p->dtype = x->dtype;
  p->rows = p->inner = 1;
  for (int d = 0; d < x->ndim; d++) {
    if (mask >> d & 1) {
      p->red_size[p->nred] = x->shape[d];
      p->red_stride[p->nred++] = x->stride[d];
    } else {
      p->kept_size[p->nkept] = x->shape[d];
      p->kept_stride[p->nkept++] = x->stride[d];
    }
  }
  if (p->nred) {
    p->nred--;
    p->inner = p->red_size[p->nred];
    p->step = p->red_stride[p->nred];
  }
  for (int d = 0; d < p->nred; d++) p->rows *= p->red_size[d];
}

static void sum_piece(int64_t begin, int64_t end, void *ctx) {
  const plan *p = ctx;
  FLOAT_CALL(p->dtype, sum_rows, (p, begin, end));
}

static void parts_piece(int64_t begin, int64_t end, void *ctx) {
  const parts *w = ctx;
  const plan *p = w->p;
  for (int64_t q = begin; q < end; q++) {
    int64_t from = q * w->len, to = from + w->len < w->all ? from + w->len : w->all;
    double *sum = w->sum + q * w->kept;
    for (int64_t r = 0; r < w->kept && !w->columns; r++)
      sum[r] = p->dtype == EQ_F32 ? part_sum_f32(p, r, from, to) : part_sum_f64(p, r, from, to);
    for (int64_t r = 0; r < w->kept && w->columns; r += COLUMNS) {
      int64_t n = w->kept - r < COLUMNS ? w->kept - r : COLUMNS;
      FLOAT_CALL(p->dtype, column_sum, (p, r, n, from, to, sum + r));
    }
  }
}

/* Few results of many elements each, or columns: the parts run in parallel, their sums are added in
 * order. */
static int sum_in_parts(const plan *p, int64_t kept, bool columns) {
  parts w = {.p = p, .columns = columns, .kept = kept, .all = p->rows * p->inner};
  int64_t least = columns ? BLOCK / 4 : PIECE;
  w.len = PIECE / kept > least ? PIECE / kept : least;
  if (w.len * MAX_PARTS < w.all) w.len = (w.all + MAX_PARTS - 1) / MAX_PARTS;
  w.count = (w.all + w.len - 1) / w.len;
  size_t bytes = (size_t)(w.count * kept) * sizeof *w.sum;
  if (!(w.sum = eq_alloc(bytes))) return EQ_NOMEM;
  int bad = eq_parallel_for(w.count, 1, parts_piece, &w);
  if (!bad) FLOAT_CALL(p->dtype, add_parts, (&w, (void *)p->y));
  eq_free(w.sum, bytes);
  return bad;
}

/* Kept dims are the contiguous tail, reduced dims lead. */
static bool is_column_sum(const plan *p, int64_t kept) {
  int64_t s = 1;
  for (int d = p->nkept - 1; d >= 0; d--) {
    if (p->kept_size[d] != 1 && p->kept_stride[d] != s) return false;
    s *= p->kept_size[d];
  }
  return kept >= 8 && p->step != 1 && p->step != 0;
}

static void sum_ints(const plan *p, int64_t kept) {
  for (int64_t r = 0; r < kept; r++) {
    const int64_t *x =
        (const int64_t *)(const void *)p->x + offset_of(r, p->nkept, p->kept_size, p->kept_stride);
    uint64_t sum = 0;
    for (int64_t k = 0; k < p->rows; k++) {
      const int64_t *row = x + offset_of(k, p->nred, p->red_size, p->red_stride);
      for (int64_t i = 0; i < p->inner; i++) sum += (uint64_t)row[i * p->step];
    }
    ((int64_t *)(void *)p->y)[r] = (int64_t)sum;
  }
}

static int sum_run(eq_call *c) {
  unsigned mask;
  plan p;
  int64_t kept = c->out[0]->numel, each = kept ? c->in[0]->numel / kept : 0;
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  make_plan(c, mask, &p);
  if (!eq_is_float(p.dtype)) {
    sum_ints(&p, kept);
    return EQ_OK;
  }
  if (each && is_column_sum(&p, kept)) return sum_in_parts(&p, kept, true);
  if (kept && kept < 8 && each > PIECE) return sum_in_parts(&p, kept, false);
  int64_t grain = each ? PIECE / each : PIECE;
  return eq_parallel_for(kept, grain < 1 ? 1 : grain, sum_piece, &p);
}

static int sum_shape(eq_call *c) {
  eq_dtype t = c->in[0]->dtype;
  if (t == EQ_U8 || t == EQ_BOOL)
    return eq_fail("x is %s and its sum would not fit; convert it: x:to \"i64\"", eq_dtype_name(t));
  return reduce_shape(c);
}

/* gy spread over the reduced dims again. */
static int sum_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  const eq_tensor *x = c->in[0];
  unsigned mask;
  int64_t shape[EQ_MAXDIM];
  if (eq_dim_mask(c, 0, &mask)) return EQ_ERR;
  int n = eq_reduced_shape(x, mask, true, shape);
  gx[0] = eq_f("expand", "Tl", eq_f("reshape", "tl", gy[0], n, shape), x->ndim, x->shape);
  return gx[0] ? EQ_OK : eq_error.status;
}

const eq_op ops_reduce[] = {
    {.name = "sum",
     .sig = "x:tensor, dim:dims=nil, keepdim:bool=false -> y",
     .doc = "Sum over the dims given, or over all. keepdim leaves them with size 1.\nf32, f64 and "
            "i64.",
     .example = "print(equi.tensor({{1, 2}, {3, 4}}):sum(1):totable()[2])  --> 6.0",
     .shape = sum_shape,
     .run = sum_run,
     .back = sum_back,
     .flags = EQ_ANY_STRIDE,
     .where = EQ_HERE},
    {0}};
#endif
