/* resize.c -- pictures to other sizes, as PIL does it: along rows, then along columns, each result
 * a weighted mean of the pixels that its filter covers.
 *
 *   center = (i + 1/2) * in / out, the filter widened by max(1, in / out) (that is the antialiasing
 *   that torchvision's Resize has on pictures), weights divided by their sum.
 *
 * Bytes use PIL's numbers of 22 fractional bits, rounded and clamped after each direction, so that
 * the result is PIL's byte for byte; floats are summed in double. Weights are made for the wanted
 * window only: a crop that follows costs nothing for what it cuts off.
 *
 * This is NOT the upsampling of networks (ops), which has no antialiasing and has gradients. */
#ifndef T
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"

enum { BITS = 32 - 8 - 2, HALF = 1 << (BITS - 1) };

/* Weights of one direction: result i takes inputs first[i] ... first[i] + count[i] - 1. */
struct weights {
  int64_t n, most;
  int64_t *first, *count;
  double *w; /* n x most */
  int32_t *fixed;
};

static double triangle(double x) {
  x = fabs(x);
  return x < 1 ? 1 - x : 0;
}

static double cubic(double x) { /* Keys, a = -1/2 */
  x = fabs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

static void release(struct weights *k) {
  free(k->first);
  free(k->count);
  free(k->w);
  free(k->fixed);
}

static int64_t weigh(struct weights *k, int64_t i, int64_t from, int64_t in, int64_t out,
                     eq_filter filter) {
  const double scale = (double)in / (double)out, wide = scale < 1 ? 1 : scale;
  const double support = (filter == EQ_BICUBIC ? 2 : 1) * wide;
  const double center = ((double)from + 0.5) * scale;
  double *w = k->w + i * k->most, sum = 0;
  if (filter == EQ_NEAREST) {
    k->first[i] = center < (double)in ? (int64_t)center : in - 1;
    w[0] = 1;
    return 1;
  }
  int64_t first = (int64_t)(center - support + 0.5), end = (int64_t)(center + support + 0.5);
  if (first < 0) first = 0;
  if (end > in) end = in;
  for (int64_t x = 0; x < end - first; x++) {
    const double at = ((double)(x + first) - center + 0.5) * (1 / wide);
    w[x] = filter == EQ_BICUBIC ? cubic(at) : triangle(at);
    sum += w[x];
  }
  for (int64_t x = 0; x < end - first; x++)
    if (sum != 0) w[x] /= sum;
  k->first[i] = first;
  return end - first;
}

/* For results from ... from + n - 1 of `out` made of `in`. EQ_OK or EQ_NOMEM; release in any case.
 */
static eq_status make(struct weights *k, int64_t in, int64_t out, int64_t from, int64_t n,
                      eq_filter filter) {
  const double scale = (double)in / (double)out;
  const double support = (filter == EQ_BICUBIC ? 2 : 1) * (scale < 1 ? 1 : scale);
  k->n = n;
  k->most = filter == EQ_NEAREST ? 1 : (int64_t)ceil(support) * 2 + 1;
  if (k->most > in) k->most = in;
  const size_t all = (size_t)n * (size_t)k->most;
  k->first = malloc((size_t)n * sizeof *k->first);
  k->count = malloc((size_t)n * sizeof *k->count);
  k->w = calloc(all, sizeof *k->w);
  k->fixed = malloc(all * sizeof *k->fixed);
  if (!k->first || !k->count || !k->w || !k->fixed) return EQ_NOMEM;
  for (int64_t i = 0; i < n; i++) k->count[i] = weigh(k, i, from + i, in, out, filter);
  for (size_t i = 0; i < all; i++)
    k->fixed[i] = (int32_t)((k->w[i] < 0 ? -0.5 : 0.5) + k->w[i] * (1 << BITS));
  return EQ_OK;
}

/* ---- bytes ---- */

static inline uint8_t clamp(int32_t sum) {
  const int32_t v = sum >> BITS; /* of negative sums too: PIL relies on it */
  return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* One row of 3 channels, the common kind. */
static void along_row3(const uint8_t *in, const struct weights *k, uint8_t *out) {
  for (int64_t i = 0; i < k->n; i++) {
    const uint8_t *p = in + k->first[i] * 3;
    const int32_t *w = k->fixed + i * k->most;
    int32_t r = HALF, g = HALF, b = HALF;
    for (int64_t x = 0; x < k->count[i]; x++, p += 3) {
      r += p[0] * w[x];
      g += p[1] * w[x];
      b += p[2] * w[x];
    }
    out[i * 3] = clamp(r);
    out[i * 3 + 1] = clamp(g);
    out[i * 3 + 2] = clamp(b);
  }
}

static void along_row_u8(const uint8_t *in, int c, const struct weights *k, uint8_t *out) {
  if (c == 3) {
    along_row3(in, k, out);
    return;
  }
  for (int64_t i = 0; i < k->n; i++) {
    const uint8_t *p = in + k->first[i] * c;
    const int32_t *w = k->fixed + i * k->most;
    for (int j = 0; j < c; j++) {
      int32_t sum = HALF;
      for (int64_t x = 0; x < k->count[i]; x++) sum += p[x * c + j] * w[x];
      out[i * c + j] = clamp(sum);
    }
  }
}

/* n numbers of a result row from `count` rows, `row` apart. */
EQ_SIMD static void across_rows_u8(const uint8_t *in, int64_t row, int64_t n, const int32_t *w,
                                   int64_t count, int32_t *sum, uint8_t *out) {
  for (int64_t x = 0; x < n; x++) sum[x] = HALF;
  for (int64_t y = 0; y < count; y++) {
    const uint8_t *p = in + y * row;
    const int32_t v = w[y];
    for (int64_t x = 0; x < n; x++) sum[x] += p[x] * v;
  }
  for (int64_t x = 0; x < n; x++) out[x] = clamp(sum[x]);
}

#define T uint8_t
#define SUM int32_t
#define WEIGHTS fixed
#define FN(f) f##_u8
#include "image/resize.c"
#undef T
#undef SUM
#undef WEIGHTS
#undef FN
#define SUM double
#define WEIGHTS w
#define EQ_FILE "image/resize.c"
#include "floats.h"

#else
#ifdef SUFFIX
static void FN(along_row)(const T *in, int c, const struct weights *k, T *out) {
  for (int64_t i = 0; i < k->n; i++) {
    const T *p = in + k->first[i] * c;
    const double *w = k->w + i * k->most;
    for (int j = 0; j < c; j++) {
      double sum = 0;
      for (int64_t x = 0; x < k->count[i]; x++) sum += (double)p[x * c + j] * w[x];
      out[i * c + j] = (T)sum;
    }
  }
}

EQ_SIMD static void FN(across_rows)(const T *in, int64_t row, int64_t n, const double *w,
                                    int64_t count, double *sum, T *out) {
  for (int64_t x = 0; x < n; x++) sum[x] = 0;
  for (int64_t y = 0; y < count; y++)
    for (int64_t x = 0; x < n; x++) sum[x] += (double)in[y * row + x] * w[y];
  for (int64_t x = 0; x < n; x++) out[x] = (T)sum[x];
}
#endif

/* Both directions; `rows` is the first input row that the window needs, `lines` how many. */
static eq_status FN(run)(const T *in, int64_t row, int c, const struct weights *kx,
                         const struct weights *ky, int64_t rows, int64_t lines, T *out) {
  const int64_t n = kx->n * c;
  T *middle = malloc((size_t)(lines * n) * sizeof *middle);
  SUM *sum = malloc((size_t)n * sizeof *sum);
  if (middle && sum) {
    for (int64_t y = 0; y < lines; y++) FN(along_row)(in + (rows + y) * row, c, kx, middle + y * n);
    for (int64_t y = 0; y < ky->n; y++) FN(across_rows)
    (middle + (ky->first[y] - rows) * n, n, n, ky->WEIGHTS + y * ky->most, ky->count[y], sum,
     out + y * n);
  }
  const eq_status status = middle && sum ? EQ_OK : EQ_NOMEM;
  free(middle);
  free(sum);
  return status;
}

eq_status FN(eq_resize)(const T *in, int64_t row, int64_t h, int64_t w, int c, int64_t h2,
                        int64_t w2, eq_filter filter, eq_window part, T *out) {
  struct weights kx = {0}, ky = {0};
  eq_status status = make(&kx, w, w2, part.left, part.width, filter);
  if (status == EQ_OK) status = make(&ky, h, h2, part.top, part.height, filter);
  if (status == EQ_OK && part.height && part.width) {
    const int64_t last = ky.n - 1;
    status = FN(run)(in, row, c, &kx, &ky, ky.first[0],
                     ky.first[last] + ky.count[last] - ky.first[0], out);
  }
  release(&kx);
  release(&ky);
  return status;
}
#endif
