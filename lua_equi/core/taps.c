/* taps.c -- the tables of taps.h, and the loop that sums pixels by them: vectors of channels,
 * several sources at a time; rows of the result are shared among threads, sums are not. */
#ifdef T
/* y = (more: y +) sum of w[k] x[k]. Four at a time, to load and store y less often. */
EQ_SIMD static void FN(mix)(T *y, int64_t n, int64_t count, const T *const *x, const T *w,
                            bool more) {
  int64_t k = 0;
  if (!more) {
    if (count == 0)
      for (int64_t i = 0; i < n; i++) y[i] = 0;
    else
      for (int64_t i = 0; i < n; i++) y[i] = w[0] * x[0][i];
    k = 1;
  }
  for (; k + 4 <= count; k += 4) {
    const T w0 = w[k], w1 = w[k + 1], w2 = w[k + 2], w3 = w[k + 3];
    const T *x0 = x[k], *x1 = x[k + 1], *x2 = x[k + 2], *x3 = x[k + 3];
    for (int64_t i = 0; i < n; i++) y[i] += (w0 * x0[i] + w1 * x1[i]) + (w2 * x2[i] + w3 * x3[i]);
  }
  for (; k < count; k++) {
    const T w0 = w[k], *x0 = x[k];
    for (int64_t i = 0; i < n; i++) y[i] += w0 * x0[i];
  }
}

static void FN(pixel)(const job *j, const T *image, T *y, int64_t i, int64_t k) {
  const eq_taps *r = j->rows, *c = j->cols;
  const T *x[MANY];
  T w[MANY], d = (T)(r->divisor[i] * c->divisor[k]);
  int64_t n = 0;
  bool more = false;
  for (int64_t a = r->first[i]; a < r->first[i + 1]; a++)
    for (int64_t b = c->first[k]; b < c->first[k + 1]; b++) {
      x[n] = image + (r->from[a] * j->width + c->from[b]) * j->channels;
      w[n] = (T)(r->weight[a] * c->weight[b]);
      if (++n < MANY) continue;
      FN(mix)(y, j->channels, n, x, w, more);
      more = true;
      n = 0;
    }
  if (n || !more) FN(mix)(y, j->channels, n, x, w, more);
  if (d != 1)
    for (int64_t q = 0; q < j->channels; q++) y[q] /= d;
}

static void FN(lines)(const job *j, int64_t begin, int64_t end) {
  int64_t h = j->rows->n, w = j->cols->n;
  for (int64_t l = begin; l < end; l++) {
    const T *image = (const T *)j->x + l / h * j->height * j->width * j->channels;
    T *y = (T *)j->y + l * w * j->channels;
    for (int64_t k = 0; k < w; k++) FN(pixel)(j, image, y + k * j->channels, l % h, k);
  }
}
#else
#include "taps.h"
#include <string.h>

enum { MANY = 64, PIECE = 32768 };

typedef struct job {
  const eq_taps *rows, *cols;
  const void *x;
  void *y;
  int64_t height, width, channels; /* of x */
  eq_dtype dtype;
} job;

#define EQ_FILE "taps.c"
#include "floats.h"

int eq_taps_new(eq_taps *t, int64_t n, int64_t most) {
  memset(t, 0, sizeof *t);
  size_t bytes = (size_t)(2 * n + 1 + 3 * most) * sizeof(int64_t);
  if (!(t->block = eq_alloc(bytes))) return eq_error.status;
  t->bytes = bytes;
  t->n = n;
  t->first = t->block;
  t->from = t->first + n + 1;
  t->place = t->from + most;
  t->weight = (double *)(void *)(t->place + most);
  t->divisor = t->weight + most;
  t->first[0] = 0;
  return EQ_OK;
}

void eq_taps_free(eq_taps *t) {
  if (t->block) eq_free(t->block, t->bytes);
  t->block = NULL;
}

void eq_taps_begin(eq_taps *t, int64_t target, double divisor) {
  t->open = target + 1;
  t->divisor[target] = divisor;
  t->first[t->open] = t->count;
}

void eq_taps_add(eq_taps *t, int64_t from, int64_t place, double weight) {
  t->from[t->count] = from;
  t->place[t->count] = place;
  t->weight[t->count] = weight;
  t->first[t->open] = ++t->count;
}

int eq_taps_turn(const eq_taps *a, int64_t sources, eq_taps *b) {
  if (eq_taps_new(b, sources, a->count)) return eq_error.status;
  for (int64_t i = 0; i < sources; i++) b->divisor[i] = 1, b->first[i + 1] = 0;
  for (int64_t k = 0; k < a->count; k++) b->first[a->from[k] + 1]++;
  for (int64_t i = 0; i < sources; i++) b->first[i + 1] += b->first[i];
  for (int64_t i = 0; i < a->n; i++)
    for (int64_t k = a->first[i]; k < a->first[i + 1]; k++) {
      int64_t to = b->first[a->from[k]]++; /* put right below */
      b->from[to] = i;
      b->place[to] = a->place[k];
      b->weight[to] = a->weight[k] / a->divisor[i];
    }
  for (int64_t i = sources; i > 0; i--) b->first[i] = b->first[i - 1];
  b->first[0] = 0;
  b->count = a->count;
  return EQ_OK;
}

int64_t eq_window_width(int64_t n, int64_t m, int64_t kernel) {
  return kernel ? kernel : m ? (n + m - 1) / m + 1 : 1;
}

int eq_taps_windows(eq_taps *t, int64_t n, int64_t m, int64_t kernel, int64_t stride, int64_t pad,
                    int64_t dilation) {
  if (eq_taps_new(t, m, m * eq_window_width(n, m, kernel))) return eq_error.status;
  for (int64_t i = 0; i < m; i++) {
    int64_t from = kernel ? i * stride - pad : i * n / m;
    int64_t count = kernel ? kernel : ((i + 1) * n - 1) / m + 1 - from;
    eq_taps_begin(t, i, 1);
    for (int64_t k = 0; k < count; k++)
      if (from + k * dilation >= 0 && from + k * dilation < n)
        eq_taps_add(t, from + k * dilation, k, 1);
  }
  return EQ_OK;
}

int64_t eq_border(int mode, int64_t i, int64_t n) {
  if (mode == EQ_REPLICATE) return i < 0 ? 0 : i >= n ? n - 1 : i;
  if (mode == EQ_CIRCULAR) return ((i % n) + n) % n;
  return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

static void piece(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  FLOAT_CALL(j->dtype, lines, (j, begin, end));
}

int eq_taps_run(const eq_taps *rows, const eq_taps *cols, const eq_tensor *x, int64_t h, int64_t w,
                eq_tensor *y) {
  job j = {.rows = rows,
           .cols = cols,
           .x = x->data,
           .y = y->data,
           .height = h,
           .width = w,
           .channels = x->shape[1],
           .dtype = x->dtype};
  if (y->numel == 0) return EQ_OK;
  int64_t work = (rows->count / rows->n + 1) * (cols->count + 1) * j.channels; /* of a line */
  return eq_parallel_for(x->shape[0] * rows->n, work < PIECE ? PIECE / work : 1, piece, &j);
}
#endif
