/* channel_norm.c -- the arithmetic of batch_norm and group_norm: y = scale (x - mean) + bias with
 * numbers of their own for every channel, then perhaps + add and relu.
 *
 * Activations are channels-last, so all loops run over channels side by side and no moment is
 * summed across a vector. Sums go over fixed blocks of rows in x's dtype, about the first row of
 * the block, and from block to block in f64 (Chan, Golub, LeVeque 1983): as accurate as two passes
 * over x, at the price of one, and the same for every number of threads. Few channels are walked
 * several rows at once. The gradients with h = (x - mean) rstd and g masked by relu:
 *   gb = sum g     gw = sum g h     gx = rstd (w g - mean(w g) - h mean(w g h))
 * where the means are over what mean and var were taken of; constants (eval) leave rstd w g. */
#include "channel_norm.h"
#include <string.h>

enum { BLOCK = 128, PIECE = 32768, MAX_CHUNKS = 64, WIDE = 128, TABLES = 5 };

/* `images` times `rows` rows of C channels; strides of rows in elements. All results are dense. */
typedef struct job {
  eq_dtype dtype;
  int64_t images, rows, C, sx, sg, sa, sy;
  int64_t fold, w; /* rows walked at once, and their width */
  int64_t chunk, chunks;
  bool relu;
  const void *x, *g, *add, *seen; /* seen: the result, where its sign is the mask */
  void *y, *gadd, *table;         /* y: the result, or gx */
  double *sums;                   /* per image and chunk: two rows of C */
  char *scratch;                  /* per image and chunk: three rows of w */
  int kind;
} job;

#define EQ_FILE "ops/channel_norm_kernels.h"
#include "../floats.h"

/* ---- x as rows of channels ---- */
static void channel_strides(const eq_tensor *x, int64_t *stride) {
  int64_t s = x->shape[1] ? x->shape[1] : 1;
  stride[1] = 1;
  for (int d = x->ndim - 1; d >= 0; d--)
    if (d != 1) {
      stride[d] = s;
      s *= x->shape[d] ? x->shape[d] : 1;
    }
}

eq_tensor *eq_channel_rows(eq_tensor *x, int64_t *stride) {
  int64_t C = x->shape[1], step = C, want = -1;
  bool fits = x->stride[1] == 1 || C == 1;
  for (int d = x->ndim - 1; d >= 0; d--) {
    if (d == 1 || x->shape[d] == 1) continue;
    if (want < 0) step = want = x->stride[d];
    fits = fits && x->stride[d] == want;
    want *= x->shape[d];
  }
  if (fits && step >= C) {
    *stride = step;
    return eq_retain(x);
  }
  *stride = C;
  eq_tensor *y = eq_empty(x->dtype, x->ndim, x->shape);
  if (y) channel_strides(x, y->stride);
  if (!y || !eq_copy(y, x)) return y;
  eq_release(y);
  return NULL;
}

/* Result k of x's shape, dense, channels last. */
static int out_rows(eq_call *c, int k, const eq_tensor *x) {
  int bad = eq_out(c, k, x->dtype, x->ndim, x->shape);
  if (!bad) channel_strides(x, c->out[k]->stride);
  return bad;
}

/* images = 1: the batch as a whole. */
static job make_job(const eq_tensor *x, int64_t images) {
  job j = {.dtype = x->dtype, .images = images, .C = x->shape[1]};
  j.rows = x->numel / j.C / images;
  j.fold = 1;
  j.chunk = (j.rows + MAX_CHUNKS - 1) / MAX_CHUNKS;
  return j;
}

/* Several rows at once where they touch each other and are short; then the pieces. */
static void cut(job *j, bool dense) {
  while (dense && j->fold * j->C < WIDE && 2 * j->fold <= j->rows) j->fold *= 2;
  j->w = j->fold * j->C;
  int64_t unit = j->fold * BLOCK;
  j->chunk = (j->chunk + unit - 1) / unit * unit;
  j->chunks = (j->rows + j->chunk - 1) / j->chunk;
}

typedef void (*chunk_fn)(const job *j, int64_t image, int64_t begin, int64_t rows, int64_t piece);

static void over_chunks(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  for (int64_t p = begin; p < end; p++) {
    int64_t image = p / j->chunks, at = p % j->chunks * j->chunk;
    int64_t rows = j->rows - at < j->chunk ? j->rows - at : j->chunk;
    char *scratch = j->scratch + (size_t)(p * 3 * j->w) * eq_size(j->dtype);
    double *sums = j->sums + p * 2 * j->C;
    at += image * j->rows;
    if (j->kind == 0)
      FLOAT_CALL(j->dtype, moments, (j, at, rows, scratch, sums));
    else if (j->dtype == EQ_F32)
      sums_f32(j, at, rows, scratch, (const float *)j->table + image * TABLES * j->w, sums);
    else
      sums_f64(j, at, rows, scratch, (const double *)j->table + image * TABLES * j->w, sums);
  }
}

/* Pieces of PIECE numbers or so for the passes that write. */
static void over_pieces(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  for (int64_t p = begin; p < end; p++) {
    int64_t image = p / j->chunks, at = p % j->chunks * j->chunk;
    int64_t rows = j->rows - at < j->chunk ? j->rows - at : j->chunk;
    int64_t whole = rows / j->fold, rest = rows % j->fold, first = image * j->rows + at;
    size_t table = (size_t)(image * TABLES * j->w) * eq_size(j->dtype);
    const void *t = (const char *)j->table + table;
    if (j->kind == 0) {
      FLOAT_CALL(j->dtype, apply, (j, first, whole, j->w, t));
      FLOAT_CALL(j->dtype, apply, (j, first + whole * j->fold, rest, j->C, t));
    } else {
      FLOAT_CALL(j->dtype, gradient, (j, first, whole, j->w, t));
      FLOAT_CALL(j->dtype, gradient, (j, first + whole * j->fold, rest, j->C, t));
    }
  }
}

static int write_pieces(job *j, int kind) {
  int64_t unit = j->fold;
  j->kind = kind;
  j->chunk = j->w < PIECE ? PIECE / j->w * unit : unit;
  j->chunks = (j->rows + j->chunk - 1) / j->chunk;
  return eq_parallel_for(j->images * j->chunks, 1, over_pieces, j);
}

/* Per image and chunk two rows of sums and three rows of scratch; with them run the chunks. */
static int sum_chunks(job *j, int kind, size_t *bytes) {
  size_t pieces = (size_t)(j->images * j->chunks),
         sums = pieces * 2 * (size_t)j->C * sizeof(double);
  *bytes = sums + pieces * 3 * (size_t)j->w * eq_size(j->dtype);
  j->kind = kind;
  j->sums = eq_alloc(*bytes);
  if (!j->sums) return eq_error.status;
  j->scratch = (char *)j->sums + sums;
  return eq_parallel_for((int64_t)pieces, 1, over_chunks, j);
}

/* ---- moments ---- */
/* mean, m2 of `seen` numbers take in those of n more. */
static void take_in(double *seen, double *mean, double *m2, double n, double mean2, double more) {
  double d = mean2 - *mean, share = n / (*seen + n);
  *m2 += more + d * d * *seen * share;
  *mean += d * share;
  *seen += n;
}

/* One mean and var of channels c0 .. c1 of an image, from its chunks. */
static void gather(const job *j, int64_t image, int64_t c0, int64_t c1, double *mean, double *var) {
  double seen = 0, m2 = 0;
  *mean = 0;
  for (int64_t k = 0; k < j->chunks; k++) {
    const double *s = j->sums + (image * j->chunks + k) * 2 * j->C;
    int64_t left = j->rows - k * j->chunk;
    for (int64_t i = c0; i < c1; i++)
      take_in(&seen, mean, &m2, (double)(left < j->chunk ? left : j->chunk), s[i], s[j->C + i]);
  }
  *var = m2 / seen;
}

int eq_channel_moments(eq_tensor *x, int64_t groups, double *mean, double *var) {
  job j = make_job(x, groups ? x->shape[0] : 1);
  int64_t per = groups ? j.C / groups : 1, count = j.C / per;
  eq_tensor *rows = eq_channel_rows(x, &j.sx);
  if (!rows) return eq_error.status;
  size_t bytes = 0;
  j.x = rows->data;
  cut(&j, j.sx == j.C);
  int bad = sum_chunks(&j, 0, &bytes);
  for (int64_t i = 0; i < j.images * count && !bad; i++)
    gather(&j, i / count, i % count * per, (i % count + 1) * per, mean + i, var + i);
  eq_free(j.sums, bytes);
  eq_release(rows);
  return bad;
}

/* ---- forward ---- */
static int apply_shape(eq_call *c) { return out_rows(c, 0, c->in[0]); }

static bool dense(const job *j) {
  return j->sx == j->C && (!j->g || j->sg == j->C) && (!j->add || j->sa == j->C) &&
         (!j->seen || j->sy == j->C);
}

static void spread_tables(job *j, const double *const *from, int count) {
  for (int64_t i = 0; i < j->images; i++) {
    size_t at = (size_t)(i * TABLES * j->w) * eq_size(j->dtype);
    void *to = (char *)j->table + at;
    FLOAT_CALL(j->dtype, spread, (j, from, count, i, to));
  }
}

static const double *row_of(const eq_tensor *table, int row) {
  return (const double *)(const void *)table->data + row * (table->numel / EQ_NORM_ROWS);
}

static int apply_run_with(eq_call *c, bool relu) {
  const eq_tensor *table = c->in[2];
  if (c->in[0]->numel == 0) return EQ_OK;
  job j = make_job(c->in[0], table->shape[1]);
  eq_tensor *x = eq_channel_rows(c->in[0], &j.sx);
  eq_tensor *add = x && c->in[4] ? eq_channel_rows(c->in[4], &j.sa) : NULL;
  int bad = !x || (c->in[4] && !add) ? (int)eq_error.status : EQ_OK;
  if (!bad) {
    j.x = x->data;
    j.add = add ? add->data : NULL;
    j.y = c->out[0]->data;
    j.relu = relu;
    cut(&j, dense(&j));
    size_t bytes = (size_t)(j.images * TABLES * j.w) * eq_size(j.dtype);
    const double *from[3] = {row_of(table, EQ_NORM_SCALE), row_of(table, EQ_NORM_BIAS),
                             row_of(table, EQ_NORM_MEAN)};
    j.table = eq_alloc(bytes);
    bad = j.table ? EQ_OK : (int)eq_error.status;
    if (!bad) spread_tables(&j, from, 3);
    if (!bad) bad = write_pieces(&j, 0);
    eq_free(j.table, bytes);
  }
  eq_release(x);
  eq_release(add);
  return bad;
}

static int apply_run(eq_call *c) { return apply_run_with(c, false); }
static int relu_run(eq_call *c) { return apply_run_with(c, true); }

/* ---- backward, fused: g, x, weight, table, y or nothing -> gx, gw, gb, gadd ---- */
static int grad_shape(eq_call *c) {
  const eq_tensor *x = c->in[1];
  int64_t C = x->shape[1], none = 0;
  int bad = out_rows(c, 0, x);
  for (int k = 1; k <= 2 && !bad; k++) bad = eq_out(c, k, x->dtype, 1, &C);
  if (!bad) bad = c->in[4] ? out_rows(c, 3, x) : eq_out(c, 3, x->dtype, 1, &none);
  return bad;
}

/* Sums of all chunks of an image in those of its first one. */
static void join_chunks(const job *j) {
  for (int64_t image = 0; image < j->images; image++) {
    double *to = j->sums + image * j->chunks * 2 * j->C;
    for (int64_t k = 1; k < j->chunks; k++)
      for (int64_t i = 0; i < 2 * j->C; i++) to[i] += to[k * 2 * j->C + i];
  }
}

/* gw, gb, and the rows a and b of gx = scale g + a (x - mean) + b. */
static void parameters(const job *j, eq_call *c, int64_t per, bool frozen, double *a, double *b) {
  const double *rstd = row_of(c->in[3], EQ_NORM_RSTD);
  for (int64_t i = 0; i < j->C; i++) {
    double gw = 0, gb = 0;
    for (int64_t n = 0; n < j->images; n++) {
      const double *s = j->sums + n * j->chunks * 2 * j->C;
      gw += s[j->C + i] * rstd[n * j->C + i];
      gb += s[i];
    }
    eq_set(c->out[1], i, gw);
    eq_set(c->out[2], i, gb);
  }
  for (int64_t at = 0; at < j->images * j->C; at += per) {
    const double *s = j->sums + at / j->C * j->chunks * 2 * j->C + at % j->C;
    double sum = 0, dot = 0, n = (double)(j->rows * per), r = rstd[at];
    for (int64_t i = 0; i < per; i++) {
      double w = c->in[2] ? eq_get(c->in[2], at % j->C + i) : 1;
      sum += w * s[i];
      dot += w * s[j->C + i];
    }
    for (int64_t i = 0; i < per; i++) {
      a[at + i] = frozen ? 0 : -r * r * r * dot / n;
      b[at + i] = frozen ? 0 : -r * sum / n;
    }
  }
}

static int grad_of(job *j, eq_call *c) {
  const eq_tensor *table = c->in[3];
  int64_t groups = c->arg[0].i, count = j->images * j->C;
  size_t bytes = (size_t)(j->images * TABLES * j->w) * eq_size(j->dtype), sums = 0;
  size_t extra = (size_t)(2 * count) * sizeof(double);
  double *a = eq_alloc(extra);
  j->table = a ? eq_alloc(bytes) : NULL;
  int bad = j->table ? EQ_OK : (int)eq_error.status;
  if (!bad) {
    const double *from[TABLES] = {row_of(table, EQ_NORM_SCALE), row_of(table, EQ_NORM_BIAS),
                                  row_of(table, EQ_NORM_MEAN), a, a + count};
    spread_tables(j, from, 3);
    bad = sum_chunks(j, 1, &sums);
    if (!bad) {
      join_chunks(j);
      parameters(j, c, groups ? j->C / groups : 1, c->arg[2].i, a, a + count);
      spread_tables(j, from, TABLES);
      if (j->gadd) {
        j->g = j->gadd;
        j->sg = j->C;
      }
      bad = write_pieces(j, 1);
    }
    eq_free(j->sums, sums);
  }
  eq_free(j->table, bytes);
  eq_free(a, extra);
  return bad;
}

static int grad_run(eq_call *c) {
  if (c->in[1]->numel == 0) {
    for (int k = 1; k <= 2; k++)
      if (c->out[k]->numel) memset(c->out[k]->data, 0, c->out[k]->storage->bytes);
    return EQ_OK;
  }
  job j = make_job(c->in[1], c->in[3]->shape[1]);
  eq_tensor *g = eq_channel_rows(c->in[0], &j.sg), *x = eq_channel_rows(c->in[1], &j.sx);
  eq_tensor *y = c->in[4] ? eq_channel_rows(c->in[4], &j.sy) : NULL;
  int bad = !g || !x || (c->in[4] && !y) ? EQ_NOMEM : EQ_OK;
  if (!bad) {
    j.g = g->data;
    j.x = x->data;
    j.seen = y ? y->data : NULL;
    j.gadd = y ? c->out[3]->data : NULL;
    j.y = c->out[0]->data;
    j.relu = c->arg[1].i;
    cut(&j, dense(&j));
    bad = grad_of(&j, c);
  }
  eq_release(g);
  eq_release(x);
  eq_release(y);
  return bad;
}

/* ---- the rule ---- */
static int back(eq_call *c, eq_tensor *gy, eq_tensor **gx, bool relu, eq_tensor *seen) {
  eq_tensor *r[4];
  if (eq_grad_enabled) {
    eq_tensor *g = relu ? eq_norm_mask(c, gy, seen) : eq_retain(gy);
    int bad = g ? eq_norm_back(c, g, gx) : (int)eq_error.status;
    if (c->in[4] && eq_needed(c, 4)) gx[4] = eq_retain(g);
    eq_release(g);
    return bad;
  }
  int bad = eq_fn("channel_norm_grad", r, "tttttibb", gy, c->in[0], c->in[1], c->in[2], seen,
                  c->arg[0].i, relu, (int)c->arg[2].i);
  if (bad) return bad;
  gx[0] = r[0];
  if (c->in[1]) gx[1] = eq_retain(r[1]);
  if (c->in[3]) gx[3] = eq_retain(r[2]);
  if (c->in[4]) gx[4] = eq_retain(seen ? r[3] : gy);
  for (int k = 1; k < 4; k++) eq_release(r[k]);
  return EQ_OK;
}

static int plain_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return back(c, gy[0], gx, false, NULL);
}
static int relu_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return back(c, gy[0], gx, true, NULL);
}
static int add_relu_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return back(c, gy[0], gx, true, c->out[0]);
}

#define SIGNATURE                                                                                  \
  "x:float, weight:float?, table:float, bias:float?, add:float?, groups:int, eps:num, "            \
  "frozen:bool -> y"
enum {
  SAVES = EQ_SAVE_IN0 | EQ_SAVE_IN1 | EQ_SAVE_IN2,
  KIND = EQ_ANY_STRIDE | EQ_MIXED | EQ_HIDDEN
};

const eq_op ops_channel_norm[] = {
    {.name = "channel_norm",
     .sig = SIGNATURE,
     .doc = "scale (x - mean) + bias + add, by the rows of the table for every channel.",
     .shape = apply_shape,
     .run = apply_run,
     .back = plain_back,
     .flags = SAVES | KIND,
     .where = EQ_HERE},
    {.name = "channel_norm_relu",
     .sig = SIGNATURE,
     .doc = "relu(scale (x - mean) + bias); the mask is found again from x.",
     .shape = apply_shape,
     .run = relu_run,
     .back = relu_back,
     .flags = SAVES | KIND,
     .where = EQ_HERE},
    {.name = "channel_norm_add_relu",
     .sig = SIGNATURE,
     .doc = "relu(scale (x - mean) + bias + add).",
     .shape = apply_shape,
     .run = relu_run,
     .back = add_relu_back,
     .flags = SAVES | EQ_SAVE_OUT | KIND,
     .where = EQ_HERE},
    {.name = "channel_norm_grad",
     .sig = "g:float, x:float, weight:float?, table:float, y:float?, groups:int, relu:bool, "
            "frozen:bool -> gx, gw, gb, gadd",
     .doc = "The gradients of channel_norm for x, weight, bias and add in two passes.",
     .shape = grad_shape,
     .run = grad_run,
     .flags = EQ_NO_GRAD | KIND,
     .where = EQ_HERE},
    {0}};
