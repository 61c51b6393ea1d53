/* depthwise.c -- convolutions of each channel with a filter of its own (groups = channels in =
 * out).
 *
 *   y[.., c] = bias[c] + sum over u, v of w[u, v, c] x[.., c]
 *
 * at every pixel: vectors of channels, several places of the kernel at a time, no matrix. The
 * gradient of x is the same sum over the windows that a pixel is in; that of the weights adds up
 * fixed blocks of lines, whatever the number of threads. Not here: several filters for a channel.
 */
#ifdef T
/* y += sum of w[k] x[k]. */
EQ_SIMD static void FN(add)(T *restrict y, int64_t n, int64_t count, const T *const *x,
                            const T *const *w) {
  int64_t k = 0;
  for (; k + 3 <= count; k += 3) {
    const T *x0 = x[k], *x1 = x[k + 1], *x2 = x[k + 2], *w0 = w[k], *w1 = w[k + 1], *w2 = w[k + 2];
    for (int64_t i = 0; i < n; i++) y[i] += (w0[i] * x0[i] + w1[i] * x1[i]) + w2[i] * x2[i];
  }
  for (; k < count; k++) {
    const T *x0 = x[k], *w0 = w[k];
    for (int64_t i = 0; i < n; i++) y[i] += w0[i] * x0[i];
  }
}

static void FN(line)(const job *j, int64_t l) {
  const eq_taps *r = j->rows, *c = j->cols;
  const T *x[MANY], *w[MANY], *bias = j->bias;
  const T *image = (const T *)(const void *)j->from.data + l / r->n * j->from.image;
  T *y = (T *)j->to + l * c->n * j->channels;
  for (int64_t k = 0; k < c->n; k++, y += j->channels) {
    int64_t n = 0, i = l % r->n;
    for (int64_t q = 0; q < j->channels; q++) y[q] = bias ? bias[q] : 0;
    for (int64_t a = r->first[i]; a < r->first[i + 1]; a++)
      for (int64_t b = c->first[k]; b < c->first[k + 1]; b++) {
        x[n] = image + r->from[a] * j->from.row + c->from[b] * j->from.pixel;
        w[n++] = (const T *)j->filters + (r->place[a] * j->kw + c->place[b]) * j->channels;
        if (n < MANY) continue;
        FN(add)(y, j->channels, n, x, w);
        n = 0;
      }
    FN(add)(y, j->channels, n, x, w);
  }
}

static void FN(lines)(const job *j, int64_t begin, int64_t end) {
  for (int64_t l = begin; l < end; l++) FN(line)(j, l);
}

EQ_SIMD static void FN(multiply_add)(T *restrict w, const T *x, const T *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) w[i] += x[i] * y[i];
}

/* Blocks of lines, each into a sum of its own. */
static void FN(blocks)(const job *j, int64_t begin, int64_t end) {
  const eq_taps *r = j->rows, *c = j->cols;
  int64_t size = j->kh * j->kw * j->channels;
  for (int64_t p = begin; p < end; p++) {
    T *sum = (T *)j->to + p * size;
    int64_t last = (p + 1) * j->block < j->all ? (p + 1) * j->block : j->all;
    for (int64_t q = 0; q < size; q++) sum[q] = 0;
    for (int64_t l = p * j->block; l < last; l++) {
      const T *image = (const T *)(const void *)j->from.data + l / r->n * j->from.image;
      const T *y = (const T *)j->gradient + l * c->n * j->channels;
      for (int64_t k = 0, i = l % r->n; k < c->n; k++, y += j->channels)
        for (int64_t a = r->first[i]; a < r->first[i + 1]; a++)
          for (int64_t b = c->first[k]; b < c->first[k + 1]; b++) FN(multiply_add)
      (sum + (r->place[a] * j->kw + c->place[b]) * j->channels,
       image + r->from[a] * j->from.row + c->from[b] * j->from.pixel, y, j->channels);
    }
  }
}

/* The first of `blocks` sums becomes that of all. */
static void FN(total)(const job *j, int64_t blocks) {
  int64_t size = j->kh * j->kw * j->channels;
  T *sum = (T *)j->to;
  for (int64_t p = 1; p < blocks; p++)
    for (int64_t q = 0; q < size; q++) sum[q] += sum[p * size + q];
}
#else
#include "../taps.h"
#include "conv.h"

enum { MANY = 48, PIECE = 32768, MOST_BLOCKS = 32 };

typedef struct job {
  const eq_taps *rows, *cols;
  eq_pixels from;
  void *to; /* dense; or the sums of the weights */
  const void *filters, *bias, *gradient;
  int64_t channels, kh, kw;
  int64_t block, all; /* lines of a sum, lines */
  eq_dtype dtype;
} job;

#define EQ_FILE "conv/depthwise.c"
#include "../floats.h"

static int make_taps(const eq_conv *g, eq_taps *rows, eq_taps *cols, bool turned) {
  eq_taps r = {0}, c = {0};
  int bad = eq_taps_windows(&r, g->h, g->oh, g->kh, g->sh, g->top, g->dh);
  if (!bad) bad = eq_taps_windows(&c, g->w, g->ow, g->kw, g->sw, g->left, g->dw);
  if (!bad && !turned) {
    *rows = r, *cols = c;
    return EQ_OK;
  }
  if (!bad) bad = eq_taps_turn(&r, g->h, rows);
  if (!bad) bad = eq_taps_turn(&c, g->w, cols);
  eq_taps_free(&r);
  eq_taps_free(&c);
  return bad;
}

/* The filters, or their gradient, as [kh, kw, channels]. */
static eq_tensor *filter_view(const eq_conv *g) {
  const int64_t shape[3] = {g->kh, g->kw, g->co}, *s = g->weight->stride;
  return eq_view(g->weight, 3, shape, (int64_t[3]){s[2], s[3], s[0]}, 0);
}

static void piece(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  FLOAT_CALL(j->dtype, lines, (j, begin, end));
}

static int over_lines(const eq_conv *g, job *j, bool turned) {
  eq_taps rows = {0}, cols = {0};
  eq_tensor *view = filter_view(g), *filters = view ? eq_contiguous(view) : NULL;
  int bad = filters ? make_taps(g, &rows, &cols, turned) : (int)eq_error.status;
  if (!bad) {
    int64_t work = g->kh * (cols.count + 1) * g->co; /* of a line */
    j->rows = &rows, j->cols = &cols;
    j->filters = filters->data;
    bad = eq_parallel_for(g->batch * rows.n, work < PIECE ? PIECE / work : 1, piece, j);
  }
  eq_taps_free(&rows);
  eq_taps_free(&cols);
  eq_release(view);
  eq_release(filters);
  return bad;
}

static int forward(const eq_conv *g) {
  job j = {.from = g->x,
           .to = g->y.data,
           .bias = g->bias,
           .channels = g->co,
           .kw = g->kw,
           .dtype = g->dtype};
  return over_lines(g, &j, false);
}

static int grad_input(const eq_conv *g) {
  job j = {.from = g->y, .to = g->x.data, .channels = g->co, .kw = g->kw, .dtype = g->dtype};
  return over_lines(g, &j, true);
}

static void block_piece(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  FLOAT_CALL(j->dtype, blocks, (j, begin, end));
}

static int grad_weight(const eq_conv *g) {
  eq_taps rows = {0}, cols = {0};
  job j = {.rows = &rows,
           .cols = &cols,
           .from = g->x,
           .gradient = g->y.data,
           .channels = g->co,
           .kh = g->kh,
           .kw = g->kw,
           .all = g->batch * g->oh,
           .dtype = g->dtype};
  j.block = (j.all + MOST_BLOCKS - 1) / MOST_BLOCKS;
  int64_t blocks = (j.all + j.block - 1) / j.block, shape[4] = {blocks, g->kh, g->kw, g->co};
  eq_tensor *sums = eq_empty(g->dtype, 4, shape), *view = filter_view(g), *sum = NULL;
  int bad = sums && view ? make_taps(g, &rows, &cols, false) : (int)eq_error.status;
  if (!bad) {
    j.to = sums->data;
    bad = eq_parallel_for(blocks, 1, block_piece, &j);
  }
  if (!bad) {
    FLOAT_CALL(g->dtype, total, (&j, blocks));
    sum = eq_view(sums, 3, shape + 1, sums->stride + 1, 0);
    bad = sum ? eq_copy(view, sum) : (int)eq_error.status;
  }
  eq_taps_free(&rows);
  eq_taps_free(&cols);
  eq_release(sums);
  eq_release(view);
  eq_release(sum);
  return bad;
}

static eq_fitness can(const eq_conv *g, eq_pass pass) {
  (void)pass;
  if (g->ci != g->groups || g->co != g->groups) return EQ_CONV_CANNOT;
  return g->groups > 1 ? EQ_CONV_GOOD : EQ_CONV_CAN;
}

const eq_conv_path eq_conv_depthwise = {"depthwise", can, {forward, grad_input, grad_weight}};
#endif
