/* vmath.h -- elementary functions that compilers can vectorise.
 *
 * libm's expf is a call; inside a loop it stops vectorisation. The f32 versions here are
 * branch-free polynomials (error below 2 ulp against f64 over the whole range, sigmoid 3, see
 * spec/ops/unary_spec.lua); the f64 versions are libm's. Overflow gives inf, underflow 0, NaN stays
 * NaN. */
#ifndef EQUI_VMATH_H
#define EQUI_VMATH_H
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float eq_bits_f32(int32_t i) {
  float f;
  memcpy(&f, &i, sizeof f);
  return f;
}
static inline int32_t eq_int_f32(float f) {
  int32_t i;
  memcpy(&i, &f, sizeof i);
  return i;
}

/* exp(x) = 2^k e^r with |r| <= ln(2)/2; 2^k in two factors so that the ends of the range work. */
static inline float eq_exp_f32(float x) {
  float c = x > -104.f ? x : -104.f; /* also for NaN, which has no integer part */
  c = c < 89.f ? c : 89.f;
  float k = c * 1.44269504088896341f + 12582912.f; /* adding 1.5 * 2^23 rounds to nearest */
  k -= 12582912.f;
  float r = c - k * 0.693359375f;
  r = r + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.f;
  int32_t n = (int32_t)k, half = n >> 1;
  float y = p * eq_bits_f32((half + 127) << 23) * eq_bits_f32((n - half + 127) << 23);
  return x != x ? x : y;
}
/* exp(x) of x <= 0 in f64, for loops that libm's call would keep from vector registers: as above,
 * with the series to r^13 (error below 1 ulp of the result), and 0 where the result would be
 * subnormal. Not of NaN. */
static inline double eq_exp_down(double x) {
  const double shift = 6755399441055744.0; /* 1.5 * 2^52: its last bits become the whole number */
  double c = x > -708. ? x : -708.;
  double t = c * 1.4426950408889634 + shift, k = t - shift;
  double r = c - k * 6.93147180369123816490e-01;
  r = r - k * 1.90821492927058770002e-10;
  double p = 1. / 6227020800.;
  p = p * r + 1. / 479001600.;
  p = p * r + 1. / 39916800.;
  p = p * r + 1. / 3628800.;
  p = p * r + 1. / 362880.;
  p = p * r + 1. / 40320.;
  p = p * r + 1. / 5040.;
  p = p * r + 1. / 720.;
  p = p * r + 1. / 120.;
  p = p * r + 1. / 24.;
  p = p * r + 1. / 6.;
  p = p * r + 0.5;
  p = p * (r * r) + r + 1.;
  uint64_t bits;
  memcpy(&bits, &t, sizeof bits);
  bits = (bits + 1023) << 52; /* 2^k */
  double power;
  memcpy(&power, &bits, sizeof power);
  return x > -708. ? p * power : 0.;
}
static inline float eq_sigmoid_f32(float x) { return 1.f / (1.f + eq_exp_f32(-x)); }
/* tanh(x) = 1 - 2 / (e^2x + 1) loses digits near 0, where its odd series is used instead. */
static inline float eq_tanh_f32(float x) {
  float a = fabsf(x), z = x * x;
  float s = -5.70498872745e-3f;
  s = s * z + 2.06390887954e-2f;
  s = s * z - 5.37397155531e-2f;
  s = s * z + 1.33314422036e-1f;
  s = s * z - 3.33332819422e-1f;
  s = s * z * a + a;
  float e = eq_exp_f32(2.f * a);
  float big = 1.f - 2.f / (e + 1.f);
  return copysignf(a < 0.625f ? s : (x != x ? x : big), x); /* also -0 stays -0 */
}
/* log(x) = k ln 2 + log(m), m in [sqrt(1/2), sqrt(2)). Subnormals are scaled first. */
static inline float eq_log_f32(float x) {
  float scaled = x < 1.17549435e-38f ? x * 8388608.f : x;
  float bias = x < 1.17549435e-38f ? -23.f : 0.f;
  int32_t i = eq_int_f32(scaled);
  int32_t e = (int32_t)((uint32_t)i - 0x3f3504f3u) >> 23;
  float m = eq_bits_f32((int32_t)((uint32_t)i - ((uint32_t)e << 23))) - 1.f;
  float k = (float)e + bias, z = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  float y = p * m * z + k * -2.12194440e-4f - 0.5f * z;
  y = m + y + k * 0.693359375f;
  y = x == 0.f ? -INFINITY : y;
  y = x < 0.f ? NAN : y;
  return (x != x || x == INFINITY) ? x : y;
}

/* log(1 + x): the logarithm of the rounded sum u, corrected by what rounding lost (0/0 and inf -
 * inf at the ends, where there is nothing to correct). */
static inline float eq_log1p_f32(float x) {
  float u = 1.f + x, lost = (x - (u - 1.f)) / u;
  float y = eq_log_f32(u) + (lost == lost ? lost : 0.f);
  return x == 0.f ? x : y; /* -0 stays -0 */
}
/* erf: an odd polynomial below 0.93, 1 - e^polynomial above, 1 from 4 on. */
static inline float eq_erf_f32(float x) {
  float a = fabsf(x), z = x * x, t = a < 4.f ? a : 4.f;
  float s = -5.96761703e-4f;
  s = s * z + 4.99119423e-3f;
  s = s * z - 2.67681349e-2f;
  s = s * z + 1.12819925e-1f;
  s = s * z - 3.76125336e-1f;
  s = s * z + 1.28379166e-1f;
  s = s * x + x;
  float p = -1.72853470e-5f * t + 3.83197126e-4f;
  p = p * t - 3.88396438e-3f;
  p = p * t + 2.42546219e-2f;
  p = p * t - 1.06777877e-1f;
  p = p * t - 6.34846687e-1f;
  p = p * t - 1.28717512e-1f;
  p = p * t - t;
  float big = 1.f - eq_exp_f32(p);
  big = x < 0.f ? -big : big;
  return a < 0.927734375f ? s : (x != x ? x : big);
}

static inline double eq_exp_f64(double x) { return exp(x); }
static inline double eq_tanh_f64(double x) { return tanh(x); }
static inline double eq_sigmoid_f64(double x) { return 1.0 / (1.0 + exp(-x)); }
static inline double eq_log_f64(double x) { return log(x); }
static inline double eq_log1p_f64(double x) { return log1p(x); }
static inline double eq_erf_f64(double x) { return erf(x); }

/* In the `#ifdef T` part of a file (floats.h): the function of the current type. */
#define EXP(x) FN(eq_exp)(x)
#define LOG(x) FN(eq_log)(x)
#define TANH(x) FN(eq_tanh)(x)
#define SIGMOID(x) FN(eq_sigmoid)(x)
#define LOG1P(x) FN(eq_log1p)(x)
#define ERF(x) FN(eq_erf)(x)
#endif
