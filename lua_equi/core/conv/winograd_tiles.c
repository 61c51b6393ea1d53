/* winograd_tiles.c -- the transforms of winograd.c, in vectors along the channels.
 *
 * F(4x4,3x3): y = A' [(G w G') * (D' x D)] A on tiles of 6 x 6 input and 4 x 4 output pixels, and
 * its mirror F(3x3,4x4) for the gradient of the weights, with the points 0, a, -a, b, -b, infinity.
 * With a = 3/4 and b = 3/2 all numbers in D and A are exact, and the error is a quarter of that of
 * the usual 1 and 2 (128 channels: 2.2e-6 of the largest value against 8.5e-6).
 * One dimension, with s and d the sum and the difference of the two products at +-a or +-b:
 *   D: t0 = a2 b2 x0 - (a2 + b2) x2 + x4      t1, t2 = x4 - b2 x2 +- a (x3 - b2 x1)
 *      t5 = a2 b2 x1 - (a2 + b2) x3 + x5      t3, t4 = x4 - a2 x2 +- b (x3 - a2 x1)
 *   G: w0 / a2 b2, (w0 +- a w1 + a2 w2) / 2 a2 (a2 - b2), the same with a and b exchanged, last w
 *   A: y_i = a^i (s or d) + b^i (s or d), and t0 in the first, t5 in the last
 *
 * Compiled once for each instruction set, like micro.c. Every transform has one form, on whole
 * vectors and whole tiles; what sticks out of an image goes through a small buffer. */
#include "winograd.h"
#include "../micro/sets/vec.h"

#define ALIGNED __attribute__((aligned(64)))
/* Forgets how p was computed: gcc would compute the addresses of all 36 places ahead, and has not
 * the registers to keep them. */
#define OPAQUE(p) __asm__("" : "+r"(p))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

#define A1 0.75F
#define A2 0.5625F
#define B1 1.5F
#define B2 2.25F
#define SUM (A2 + B2)
#define N0 (1 / (A2 * B2))
#define NA (1 / (2 * A2 * (A2 - B2)))
#define NB (1 / (2 * B2 * (B2 - A2)))

/* Six vectors, `step` bytes apart: three bases reach all with what an address can hold. */
INLINE void load_column(const void *from, int64_t step, const int n, vec *x) {
  const char *p = from;
  OPAQUE(p);
  const char *p3 = p + 3 * step;
  x[0] = load((const float *)(const void *)p);
  x[1] = load((const float *)(const void *)(p + step));
  x[2] = load((const float *)(const void *)(p + 2 * step));
  if (n > 3) x[3] = load((const float *)(const void *)p3);
  if (n > 4) x[4] = load((const float *)(const void *)(p + 4 * step));
  if (n > 5) x[5] = load((const float *)(const void *)(p3 + 2 * step));
}
INLINE void store_row(void *to, int64_t step, const vec low[3], const vec high[3]) {
  char *p = to;
  OPAQUE(p);
  char *p3 = p + 3 * step;
  store((float *)(void *)p, low[0]);
  store((float *)(void *)(p + step), low[1]);
  store((float *)(void *)(p + 2 * step), low[2]);
  store((float *)(void *)p3, high[0]);
  store((float *)(void *)(p + 4 * step), high[1]);
  store((float *)(void *)(p3 + 2 * step), high[2]);
}

/* Each transform works on columns, then on rows, and makes one half of the rows after the other:
 * what is between the two passes stays in registers then, if there are 32. */
enum { FIRST, SECOND };

/* D: t0, t1, t2 or t3, t4, t5. */
INLINE void input_half(const vec x[6], const int half, vec t[3]) {
  if (half == FIRST) {
    vec even = x[4] - x[2] * B2, odd = x[3] - x[1] * B2;
    t[0] = x[0] * (A2 * B2) + (x[4] - x[2] * SUM);
    t[1] = even + odd * A1;
    t[2] = even - odd * A1;
  } else {
    vec even = x[4] - x[2] * A2, odd = x[3] - x[1] * A2;
    t[0] = even + odd * B1;
    t[1] = even - odd * B1;
    t[2] = x[1] * (A2 * B2) + (x[5] - x[3] * SUM);
  }
}
/* G of n numbers: three of the weights, or four of the gradients of the output. */
INLINE void weight_half(const vec *w, const int n, const int half, vec t[3]) {
  const float square = half == FIRST ? A2 : B2, over = half == FIRST ? NA : NB;
  vec even = (w[0] + w[2] * square) * over, odd = w[1];
  if (n > 3) odd += w[3] * square;
  odd *= half == FIRST ? A1 * NA : B1 * NB;
  t[half == FIRST ? 1 : 0] = even + odd;
  t[half == FIRST ? 2 : 1] = even - odd;
  if (half == FIRST)
    t[0] = w[0] * N0;
  else
    t[2] = w[n - 1];
}
/* A: of n results (four outputs or three taps) those of even number, or of odd. */
INLINE void output_half(const vec m[6], const int n, const int half, vec *y) {
  if (half == FIRST) {
    vec s1 = m[1] + m[2], s2 = m[3] + m[4];
    y[0] = m[0] + s1 + s2;
    y[1] = s1 * A2 + s2 * B2;
    if (n == 3) y[1] += m[5];
  } else {
    vec d1 = m[1] - m[2], d2 = m[3] - m[4];
    y[0] = d1 * A1 + d2 * B1;
    if (n == 4) y[1] = d1 * (A1 * A2) + d2 * (B1 * B2) + m[5];
  }
}

INLINE void input_tile(const float *x, int64_t rows, int64_t pixels, float *v, int64_t plane) {
  UNROLL
  for (int half = FIRST; half <= SECOND; half++) {
    vec t[3][6];
    UNROLL
    for (int j = 0; j < 6; j++) {
      vec column[6], of[3];
      load_column(x + j * pixels, rows * 4, 6, column);
      input_half(column, half, of);
      t[0][j] = of[0], t[1][j] = of[1], t[2][j] = of[2];
    }
    UNROLL
    for (int i = 0; i < 3; i++, v += 6 * plane) {
      vec low[3], high[3];
      input_half(t[i], FIRST, low);
      input_half(t[i], SECOND, high);
      store_row(v, plane * 4, low, high);
    }
  }
}
/* n x n taps, or gradients of outputs. */
INLINE void weight_tile(const float *w, const int n, int64_t rows, int64_t pixels, float *u,
                        int64_t plane) {
  UNROLL
  for (int half = FIRST; half <= SECOND; half++) {
    vec t[3][4];
    UNROLL
    for (int j = 0; j < n; j++) {
      vec column[4], of[3];
      load_column(w + j * pixels, rows * 4, n, column);
      weight_half(column, n, half, of);
      t[0][j] = of[0], t[1][j] = of[1], t[2][j] = of[2];
    }
    UNROLL
    for (int i = 0; i < 3; i++, u += 6 * plane) {
      vec low[3], high[3];
      weight_half(t[i], n, FIRST, low);
      weight_half(t[i], n, SECOND, high);
      store_row(u, plane * 4, low, high);
    }
  }
}
INLINE void gradient_tile(const float *g, int64_t rows, int64_t pixels, float *z, int64_t plane) {
  weight_tile(g, 4, rows, pixels, z, plane);
}
/* Rows half, half + 2 of the n x n results. */
INLINE void result_rows(const float *m, int64_t plane, const int n, const int half, vec y[2][4]) {
  vec t[2][6];
  UNROLL
  for (int j = 0; j < 6; j++) {
    vec column[6], of[2];
    load_column(m + j * plane, 6 * 4 * plane, 6, column);
    output_half(column, n, half, of);
    t[0][j] = of[0];
    if (half + 2 < n) t[1][j] = of[1];
  }
  UNROLL
  for (int i = 0; half + 2 * i < n; i++) {
    vec of[2];
    output_half(t[i], n, FIRST, of);
    y[i][0] = of[0], y[i][2] = of[1];
    output_half(t[i], n, SECOND, of);
    y[i][1] = of[0];
    if (n == 4) y[i][3] = of[1];
  }
}

INLINE void copy(float *to, const float *from, int n) {
  if (n == LANES)
    store(to, load(from));
  else
    store_part(to, load_part(from, n), n);
}

/* A tile of side x side pixels in all channels. Where a part of it lies outside of the image, or of
 * the last vector outside of the channels, zeros stand in: those of `edge`, which is only written
 * where the image is. */
typedef void (*tile_fn)(const float *x, int64_t rows, int64_t pixels, float *v, int64_t plane);
INLINE void tile_of(const winograd_tile *at, const int side, tile_fn tile, int64_t channels,
                    float *v, int64_t plane, int64_t pair) {
  float edge[36 * LANES] ALIGNED;
  bool whole = !at->top && !at->left && at->bottom == side && at->right == side;
  if (!whole) memset(edge, 0, sizeof edge);
  for (int64_t c = 0; c < channels; c += LANES) {
    float *to = v + c / (2 * LANES) * pair + c % (2 * LANES);
    int n = channels - c < LANES ? (int)(channels - c) : LANES;
    if (whole && n == LANES) {
      tile(at->x + c, at->rows, at->pixels, to, plane);
      continue;
    }
    if (n < LANES) memset(edge, 0, sizeof edge);
    for (int64_t i = at->top; i < at->bottom; i++) {
      const float *x = at->x + (i - at->top) * at->rows + c;
      for (int64_t j = at->left; j < at->right; j++, x += at->pixels)
        copy(edge + (i * side + j) * LANES, x, n);
    }
    tile(edge, side * LANES, LANES, to, plane);
  }
}
static void input(const winograd_tile *at, int64_t channels, float *v, int64_t plane,
                  int64_t pair) {
  tile_of(at, 6, input_tile, channels, v, plane, pair);
}
static void gradient(const winograd_tile *at, int64_t channels, float *z, int64_t plane,
                     int64_t pair) {
  tile_of(at, 4, gradient_tile, channels, z, plane, pair);
}

/* Bias, what is added, and relu in one go; NaN stays NaN. */
INLINE void output_tile(const float *m, int64_t plane, vec bias, const float *add, int64_t add_rows,
                        int64_t add_pixels, bool relu, float *y, int64_t rows, int64_t pixels) {
  UNROLL
  for (int half = FIRST; half <= SECOND; half++) {
    vec r[2][4];
    result_rows(m, plane, 4, half, r);
    UNROLL
    for (int i = 0; i < 2; i++) UNROLL
    for (int j = 0; j < 4; j++) {
      vec sum = r[i][j] + bias;
      if (add) sum += load(add + (half + 2 * i) * add_rows + j * add_pixels);
      if (relu) sum = (vec)((ivec)sum & ~(ivec)(sum < 0));
      store(y + (half + 2 * i) * rows + j * pixels, sum);
    }
  }
}
/* What is added and the results of a tile at a border go through buffers. */
static void output_edge(const float *m, int64_t plane, vec bias, int64_t c, int n,
                        const winograd_result *to) {
  float y[16 * LANES] ALIGNED, add[16 * LANES] ALIGNED;
  memset(add, 0, sizeof add);
  if (to->add)
    for (int i = 0; i < to->bottom; i++)
      for (int j = 0; j < to->right; j++)
        copy(add + (i * 4 + j) * LANES, to->add + i * to->rows + j * to->pixels + c, n);
  output_tile(m, plane, bias, to->add ? add : NULL, 4 * LANES, LANES, to->relu, y, 4 * LANES,
              LANES);
  for (int i = 0; i < to->bottom; i++)
    for (int j = 0; j < to->right; j++)
      copy(to->y + i * to->rows + j * to->pixels + c, y + (i * 4 + j) * LANES, n);
}
static void output(const float *m, int64_t plane, int64_t channels, const winograd_result *to) {
  for (int64_t c = 0; c < channels; c += LANES, m += LANES) {
    int n = channels - c < LANES ? (int)(channels - c) : LANES;
    vec bias = {0};
    if (to->bias) copy((float *)&bias, to->bias + c, n);
    if (to->bottom < 4 || to->right < 4 || n < LANES)
      output_edge(m, plane, bias, c, n, to);
    else if (to->add)
      output_tile(m, plane, bias, to->add + c, to->rows, to->pixels, to->relu, to->y + c, to->rows,
                  to->pixels);
    else
      output_tile(m, plane, bias, NULL, 0, 0, to->relu, to->y + c, to->rows, to->pixels);
  }
}

static void weights(const float *taps_of, int64_t step, int64_t width, float *u, int64_t plane) {
  for (int64_t c = 0; c < width; c += LANES)
    weight_tile(taps_of + c, 3, 3 * step, step, u + c, plane);
}

static void taps(const float *m, int64_t plane, int64_t parts, int64_t part, float *to) {
  float all[PLACES * LANES] ALIGNED;
  if (parts > 1) {
    for (int p = 0; p < PLACES; p++) {
      vec sum = load(m + p * plane);
      for (int64_t s = 1; s < parts; s++) sum += load(m + p * plane + s * part);
      store(all + p * LANES, sum);
    }
    m = all, plane = LANES;
  }
  for (int half = FIRST; half <= SECOND; half++) {
    vec r[2][4];
    result_rows(m, plane, 3, half, r);
    for (int i = half; i < 3; i += 2)
      for (int j = 0; j < 3; j++) store(to + (i * 3 + j) * LANES, r[i / 2][j]);
  }
}

extern const winograd_set SET(eq_winograd);
const winograd_set SET(eq_winograd) = {input, gradient, output, weights, taps};
