/* random.c -- tensors filled from a stream of random numbers: uniform, normal, bernoulli, whole
 * numbers, permutations, draws from weights.
 *
 * Element i depends on the stream's seed, its counter and i alone (rng.c): any number of threads
 * gives the same tensor. f32 takes 32 bits a number, f64 and i64 take 64. */
#include "equi.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { GRAIN = 4096 }; /* blocks of a piece */
#define TWO_PI 6.283185307179586

typedef struct fill {
  void *x;
  int64_t n;
  uint64_t seed, counter;
  double a, b;
  int64_t low;
  uint64_t range;
} fill;

static uint64_t join_bits(uint32_t high, uint32_t low) { return (uint64_t)high << 32 | low; }
/* [0, 1) with all the bits that the type holds. */
static double unit32(uint32_t u) { return (u >> 8) * 0x1p-24; }
static double unit64(uint64_t u) { return (double)(u >> 11) * 0x1p-53; }

/* ---- one block of 128 bits: four f32 or two f64 ---- */
static void uniform4(const fill *f, const uint32_t *u, float *y, int n) {
  for (int k = 0; k < n; k++) {
    y[k] = (float)(f->a + (f->b - f->a) * unit32(u[k]));
    if (y[k] >= (float)f->b && f->b > f->a)
      y[k] = nextafterf((float)f->b, (float)f->a); /* rounded up */
  }
}

static void uniform2(const fill *f, const uint32_t *u, double *y, int n) {
  for (int k = 0; k < n; k++) {
    y[k] = f->a + (f->b - f->a) * unit64(join_bits(u[2 * k], u[2 * k + 1]));
    if (y[k] >= f->b && f->b > f->a) y[k] = nextafter(f->b, f->a);
  }
}

/* Box and Muller: sqrt(-2 ln u) (cos 2 pi v, sin 2 pi v), u in (0, 1]. */
static void normal_pair(const fill *f, double u, double v, double *y) {
  double r = f->b * sqrt(-2 * log(u));
  y[0] = f->a + r * cos(TWO_PI * v);
  y[1] = f->a + r * sin(TWO_PI * v);
}

static void normal4(const fill *f, const uint32_t *u, float *y, int n) {
  double pair[4];
  for (int k = 0; k < 4; k += 2)
    normal_pair(f, (u[k] + 1.0) * 0x1p-32, u[k + 1] * 0x1p-32, pair + k);
  for (int k = 0; k < n; k++) y[k] = (float)pair[k];
}

static void normal2(const fill *f, const uint32_t *u, double *y, int n) {
  double pair[2];
  normal_pair(f, 1 - unit64(join_bits(u[0], u[1])), unit64(join_bits(u[2], u[3])), pair);
  memcpy(y, pair, (size_t)n * sizeof *y);
}

static void bernoulli4(const fill *f, const uint32_t *u, float *y, int n) {
  for (int k = 0; k < n; k++) y[k] = u[k] * 0x1p-32 < f->a ? 1.f : 0.f;
}

static void bernoulli2(const fill *f, const uint32_t *u, double *y, int n) {
  for (int k = 0; k < n; k++) y[k] = unit64(join_bits(u[2 * k], u[2 * k + 1])) < f->a ? 1 : 0;
}

/* The upper 64 bits of a product: floor(u * range / 2^64), uniform to 1 in 2^64 / range. */
static uint64_t scaled(uint64_t u, uint64_t range) {
  uint64_t uh = u >> 32, ul = u & 0xffffffffu, rh = range >> 32, rl = range & 0xffffffffu;
  uint64_t mid = uh * rl + (ul * rl >> 32), low = ul * rh + (mid & 0xffffffffu);
  return uh * rh + (mid >> 32) + (low >> 32);
}

/* Range 0 stands for all 2^64 numbers. */
static void whole2(const fill *f, const uint32_t *u, int64_t *y, int n) {
  for (int k = 0; k < n; k++) {
    uint64_t v = join_bits(u[2 * k], u[2 * k + 1]);
    y[k] = (int64_t)((uint64_t)f->low + (f->range ? scaled(v, f->range) : v));
  }
}

#define PIECES(name, S, each)                                                                      \
  static void name##_pieces(int64_t begin, int64_t end, void *ctx) {                               \
    const fill *f = ctx;                                                                           \
    uint32_t u[4];                                                                                 \
    for (int64_t k = begin; k < end; k++) {                                                        \
      int64_t left = f->n - k * (each);                                                            \
      eq_philox(f->seed, f->counter + (uint64_t)k, u);                                             \
      name(f, u, (S *)f->x + k * (each), left < (each) ? (int)left : (each));                      \
    }                                                                                              \
  }
PIECES(uniform4, float, 4)
PIECES(uniform2, double, 2)
PIECES(normal4, float, 4)
PIECES(normal2, double, 2)
PIECES(bernoulli4, float, 4)
PIECES(bernoulli2, double, 2)
PIECES(whole2, int64_t, 2)

/* Fills x, of any strides, with the function that makes `each` numbers of a block. */
static int run(eq_tensor *x, fill *f, eq_rng *rng, int each, eq_range_fn piece) {
  eq_tensor *y = eq_is_contiguous(x) ? eq_retain(x) : eq_empty(x->dtype, x->ndim, x->shape);
  if (!y) return eq_error.status;
  int64_t blocks = (x->numel + each - 1) / each;
  f->x = y->data;
  f->n = x->numel;
  f->seed = rng->seed;
  f->counter = eq_rng_take(rng, (uint64_t)blocks);
  int bad = eq_parallel_for(blocks, GRAIN, piece, f);
  if (!bad && y != x) bad = eq_copy(x, y);
  eq_release(y);
  eq_touch(x);
  return bad;
}

static int float_only(const eq_tensor *x) {
  return eq_is_float(x->dtype)
             ? EQ_OK
             : eq_fail("dtype must be f32 or f64, it is %s", eq_dtype_name(x->dtype));
}

int eq_fill_uniform(eq_tensor *x, double low, double high, eq_rng *rng) {
  fill f = {.a = low, .b = high};
  if (float_only(x)) return EQ_ERR;
  if (!(low <= high) || !isfinite(high - low))
    return eq_fail("low must not be above high and both be finite, got %g and %g", low, high);
  return x->dtype == EQ_F32 ? run(x, &f, rng, 4, uniform4_pieces)
                            : run(x, &f, rng, 2, uniform2_pieces);
}

int eq_fill_normal(eq_tensor *x, double mean, double std, eq_rng *rng) {
  fill f = {.a = mean, .b = std};
  if (float_only(x)) return EQ_ERR;
  if (!(std >= 0)) return eq_fail("std must not be negative, got %g", std);
  return x->dtype == EQ_F32 ? run(x, &f, rng, 4, normal4_pieces)
                            : run(x, &f, rng, 2, normal2_pieces);
}

int eq_fill_bernoulli(eq_tensor *x, double p, eq_rng *rng) {
  fill f = {.a = p};
  if (float_only(x)) return EQ_ERR;
  if (!(p >= 0 && p <= 1)) return eq_fail("p must be from 0 to 1, got %g", p);
  return x->dtype == EQ_F32 ? run(x, &f, rng, 4, bernoulli4_pieces)
                            : run(x, &f, rng, 2, bernoulli2_pieces);
}

int eq_fill_whole(eq_tensor *x, int64_t low, int64_t high, eq_rng *rng) {
  fill f = {.low = low, .range = (uint64_t)high - (uint64_t)low + 1};
  if (low > high)
    return eq_fail("low must not be above high, got %" PRId64 " and %" PRId64, low, high);
  return run(x, &f, rng, 2, whole2_pieces);
}

/* ---- permutations: Fisher and Yates ---- */
eq_tensor *eq_permutation(int64_t n, eq_rng *rng) {
  eq_tensor *x = eq_empty(EQ_I64, 1, &n);
  if (!x) return NULL;
  int64_t *id = (int64_t *)(void *)x->data;
  uint64_t first = eq_rng_take(rng, (uint64_t)(n + 1) / 2);
  uint32_t u[4] = {0};
  for (int64_t i = 0; i < n; i++) { /* inside out: i goes to a place among the first i + 1 */
    if (i % 2 == 0) eq_philox(rng->seed, first + (uint64_t)i / 2, u);
    const uint32_t *v = u + i % 2 * 2;
    int64_t j = (int64_t)scaled(join_bits(v[0], v[1]), (uint64_t)i + 1);
    id[i] = id[j];
    id[j] = i + EQ_BASE;
  }
  return x;
}

/* ---- draws from weights ---- */
static int check_weights(const double *w, int64_t n, int64_t row, int64_t draws, bool replace) {
  double sum = 0;
  int64_t positive = 0;
  for (int64_t i = 0; i < n; i++) {
    if (!(w[i] >= 0) || isinf(w[i]))
      return eq_fail("weights must be finite and not negative, entry %" PRId64 " of row %" PRId64
                     " is %g",
                     i + 1, row + 1, w[i]);
    sum += w[i];
    positive += w[i] > 0;
  }
  if (!(sum > 0) || isinf(sum))
    return eq_fail("the weights of row %" PRId64 " sum to %g", row + 1, sum);
  if (!replace && draws > positive)
    return eq_fail("%" PRId64 " draws without replacement from %" PRId64
                   " positive weights in row %" PRId64 "; pass {replacement = true}",
                   draws, positive, row + 1);
  return EQ_OK;
}

/* Inverts the running sum by bisection. */
static void draw_with(double *w, int64_t n, int64_t draws, int64_t *id, eq_rng *rng) {
  uint64_t first = eq_rng_take(rng, (uint64_t)draws);
  int64_t last = n - 1; /* the last that can be drawn, even if v is rounded up to the sum */
  while (w[last] == 0) last--;
  for (int64_t i = 1; i < n; i++) w[i] += w[i - 1];
  for (int64_t k = 0; k < draws; k++) {
    uint32_t u[4];
    eq_philox(rng->seed, first + (uint64_t)k, u);
    double v = unit64(join_bits(u[0], u[1])) * w[n - 1];
    int64_t a = 0, b = last;
    while (a < b) {
      int64_t mid = a + (b - a) / 2;
      if (w[mid] > v)
        b = mid;
      else
        a = mid + 1;
    }
    id[k] = a + EQ_BASE;
  }
}

/* Exponential races: the smallest of -ln(u) / w come first, in the order of draws one by one. Of
 * that the logarithm is compared, which is finite for the smallest of weights. */
static void draw_without(double *w, int64_t n, int64_t draws, int64_t *id, eq_rng *rng) {
  uint64_t first = eq_rng_take(rng, (uint64_t)n);
  for (int64_t i = 0; i < n; i++) {
    uint32_t u[4];
    eq_philox(rng->seed, first + (uint64_t)i, u);
    w[i] = w[i] > 0 ? log(-log1p(-unit64(join_bits(u[0], u[1])))) - log(w[i]) : INFINITY;
  }
  for (int64_t k = 0; k < draws; k++) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
      if (w[i] < w[best]) best = i;
    id[k] = best + EQ_BASE;
    w[best] = INFINITY;
  }
}

eq_tensor *eq_multinomial(const eq_tensor *weights, int64_t draws, bool replace, eq_rng *rng) {
  int64_t shape[EQ_MAXDIM];
  int nd = weights->ndim;
  if (nd == 0 || float_only(weights)) {
    if (nd == 0) eq_fail("weights must have at least 1 dim");
    return NULL;
  }
  int64_t n = weights->shape[nd - 1], rows = n ? weights->numel / n : 0;
  if (n == 0 || draws < 0) {
    eq_fail("needs at least one weight and a number of draws, got %" PRId64 " and %" PRId64, n,
            draws);
    return NULL;
  }
  memcpy(shape, weights->shape, sizeof shape);
  shape[nd - 1] = draws;
  eq_tensor *y = eq_empty(EQ_I64, nd, shape);
  double *w = y ? eq_alloc((size_t)n * sizeof *w) : NULL;
  int bad = w ? EQ_OK : (int)eq_error.status;
  for (int64_t r = 0; r < rows && !bad; r++) {
    for (int64_t i = 0; i < n; i++) w[i] = eq_get(weights, r * n + i);
    bad = check_weights(w, n, r, draws, replace);
    int64_t *id = (int64_t *)(void *)y->data + r * draws;
    if (!bad) (replace ? draw_with : draw_without)(w, n, draws, id, rng);
  }
  eq_free(w, (size_t)n * sizeof *w);
  if (!bad) return y;
  eq_release(y);
  return NULL;
}
