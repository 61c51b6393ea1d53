/* unary.c -- element-wise functions of one tensor, one line each.
 *
 * A line: name, y(x), dy/dx and d2y/dx2 as C expressions in x and y, which of them the derivative
 * reads (X, Y or XY), the doc line, an example. From it come three ops: NAME, the hidden NAME_d (gx
 * = gy * dy/dx) and the hidden NAME_dd, so gradients of gradients work for every function here. */
#define UNARY(U)                                                                                    \
  U(neg, -x, -1, 0, N, "-x.", "print((-equi.tensor({2})):item())  --> -2.0")                        \
  U(abs, x < 0 ? -x : x, (T)((x > 0) - (x < 0)), 0, X, "Absolute value; derivative 0 at 0.",        \
    "print(equi.tensor({-2}):abs():item())  --> 2.0")                                               \
  U(exp, EXP(x), y, y, Y, "e to the power x.", "print(equi.tensor({0}):exp():item())  --> 1.0")     \
  U(log, LOG(x), 1 / x, -1 / (x * x), X, "Natural logarithm; -inf at 0, NaN below.",                \
    "print(equi.tensor({1}):log():item())  --> 0.0")                                                \
  U(log1p, log1p(x), 1 / (1 + x), -1 / ((1 + x) * (1 + x)), X, "log(1 + x), exact near 0.",         \
    "print(equi.tensor({0}):log1p():item())  --> 0.0")                                              \
  U(expm1, expm1(x), y + 1, y + 1, Y, "exp(x) - 1, exact near 0.",                                  \
    "print(equi.tensor({0}):expm1():item())  --> 0.0")                                              \
  U(sqrt, sqrt(x), (T)0.5 / y, (T)-0.25 / (y * y * y), Y, "Square root; NaN below 0.",              \
    "print(equi.tensor({9}):sqrt():item())  --> 3.0")                                               \
  U(rsqrt, 1 / sqrt(x), (T)-0.5 * y * y * y, (T)0.75 * y * y * y * y * y, Y, "1 / sqrt(x).",        \
    "print(equi.tensor({4}):rsqrt():item())  --> 0.5")                                              \
  U(square, x * x, 2 * x, 2, X, "x * x.", "print(equi.tensor({3}):square():item())  --> 9.0")       \
  U(reciprocal, 1 / x, -y * y, 2 * y * y * y, Y, "1 / x.",                                          \
    "print(equi.tensor({4}):reciprocal():item())  --> 0.25")                                        \
  U(sin, sin(x), cos(x), -sin(x), X, "Sine of x in radians.",                                       \
    "print(equi.tensor({0}):sin():item())  --> 0.0")                                                \
  U(cos, cos(x), -sin(x), -cos(x), X, "Cosine of x in radians.",                                    \
    "print(equi.tensor({0}):cos():item())  --> 1.0")                                                \
  U(tan, tan(x), 1 + y * y, 2 * y * (1 + y * y), Y, "Tangent of x in radians.",                     \
    "print(equi.tensor({0}):tan():item())  --> 0.0")                                                \
  U(atan, atan(x), 1 / (1 + x * x), -2 * x / ((1 + x * x) * (1 + x * x)), X, "Arc tangent.",        \
    "print(equi.tensor({0}):atan():item())  --> 0.0")                                               \
  U(tanh, TANH(x), 1 - y * y, -2 * y * (1 - y * y), Y, "Hyperbolic tangent.",                       \
    "print(equi.tensor({0}):tanh():item())  --> 0.0")                                               \
  U(sigmoid, SIGMOID(x), y * (1 - y), y * (1 - y) * (1 - 2 * y), Y, "1 / (1 + exp(-x)).",           \
    "print(equi.tensor({0}):sigmoid():item())  --> 0.5")                                            \
  U(relu, x > 0 ? x : x != x ? x : 0, (T)(y > 0), 0, Y, "x where positive, else 0.",                \
    "print(equi.tensor({-1, 2}):relu():sum():item())  --> 2.0")                                     \
  U(silu, x * SIGMOID(x), SIGMOID(x) * (1 + x * (1 - SIGMOID(x))),                                  \
    SIGMOID(x) * (1 - SIGMOID(x)) * (2 + x * (1 - 2 * SIGMOID(x))), X,                              \
    "x * sigmoid(x), also called swish.", "print(equi.tensor({0}):silu():item())  --> 0.0")         \
  U(erf, erf(x), (T)1.1283791670955126 * exp(-x * x),                                               \
    (T)-2.2567583341910251 * x * exp(-x * x), X, "Error function, 2/sqrt(pi) * integral of exp(-t^2).", \
    "print(equi.tensor({0}):erf():item())  --> 0.0")                                                \
  U(floor, floor(x), 0, 0, N, "Largest whole number not above x; derivative 0.",                    \
    "print(equi.tensor({1.7}):floor():item())  --> 1.0")                                            \
  U(ceil, ceil(x), 0, 0, N, "Smallest whole number not below x; derivative 0.",                     \
    "print(equi.tensor({1.2}):ceil():item())  --> 2.0")                                             \
  U(round, rint(x), 0, 0, N, "Nearest whole number, halves to the even one; derivative 0.",         \
    "print(equi.tensor({2.5}):round():item())  --> 2.0")                                            \
  U(sign, (T)((x > 0) - (x < 0)), 0, 0, N, "-1, 0 or 1; derivative 0.",                             \
    "print(equi.tensor({-3}):sign():item())  --> -1.0")

#ifdef T
/* One loop over unit strides that vectorises, one over any. */
#define U(name, Y, DY, D2, save, doc, example)                                               \
  EQ_SIMD static void FN(name)(int64_t n, char *const *p, const int64_t *s, const eq_call *c) { \
    (void)c;                                                                                 \
    if (s[0] == sizeof(T) && s[1] == sizeof(T)) {                                            \
      const T *px = (const T *)(void *)p[0];                                                 \
      T *py = (T *)(void *)p[1];                                                             \
      for (int64_t i = 0; i < n; i++) {                                                      \
        T x = px[i];                                                                         \
        py[i] = (T)(Y);                                                                      \
      }                                                                                      \
    } else {                                                                                 \
      for (int64_t i = 0; i < n; i++) {                                                      \
        T x = *(const T *)(void *)(p[0] + i * s[0]);                                         \
        *(T *)(void *)(p[1] + i * s[1]) = (T)(Y);                                            \
      }                                                                                      \
    }                                                                                        \
  }                                                                                          \
  EQ_SIMD static void FN(name##_d)(int64_t n, char *const *p, const int64_t *s, const eq_call *c) { \
    (void)c;                                                                                 \
    for (int64_t i = 0; i < n; i++) {                                                        \
      T g = *(const T *)(void *)(p[0] + i * s[0]), x = *(const T *)(void *)(p[1] + i * s[1]); \
      T y = *(const T *)(void *)(p[2] + i * s[2]);                                           \
      (void)x, (void)y;                                                                      \
      *(T *)(void *)(p[3] + i * s[3]) = g * (T)(DY);                                         \
    }                                                                                        \
  }                                                                                          \
  EQ_SIMD static void FN(name##_dd)(int64_t n, char *const *p, const int64_t *s, const eq_call *c) { \
    (void)c;                                                                                 \
    for (int64_t i = 0; i < n; i++) {                                                        \
      T g = *(const T *)(void *)(p[0] + i * s[0]), x = *(const T *)(void *)(p[1] + i * s[1]); \
      T y = *(const T *)(void *)(p[2] + i * s[2]);                                           \
      (void)x, (void)y;                                                                      \
      *(T *)(void *)(p[3] + i * s[3]) = g * (T)(D2);                                         \
    }                                                                                        \
  }
UNARY(U)
#undef U
#else
#include "../equi.h"
#include <tgmath.h>
#define EQ_FILE "ops/unary.c"
#include "../floats.h"

enum { SAVE_N = 0, SAVE_X = EQ_SAVE_IN0, SAVE_Y = EQ_SAVE_OUT, SAVE_XY = EQ_SAVE_IN0 | EQ_SAVE_OUT };

/* gx = gy * dy/dx through NAME_d(gy, x, y). Data comes from what was saved, the graph from x. */
static int first(eq_call *c, eq_tensor **gy, eq_tensor **gx, const char *d) {
  eq_tensor *x = c->in[0], *y = c->out[0];
  const eq_tensor *have = x->data ? x : y->data ? y : gy[0];
  eq_tensor *xs = eq_linked(have, x), *ys = xs ? eq_alias(y->data ? y : have) : NULL;
  gx[0] = ys ? eq_f(d, "tTT", gy[0], xs, ys) : NULL;
  return gx[0] ? EQ_OK : eq_error.status;
}

/* The rule of NAME_d: d/dg is NAME_d again, d/dx is g * d2y/dx2. */
static int second(eq_call *c, eq_tensor **gy, eq_tensor **gx, const char *d, const char *dd) {
  eq_tensor *x = c->in[1], *y = c->in[2];
  if (eq_needed(c, 0) && !(gx[0] = eq_f(d, "ttt", gy[0], x, y))) return eq_error.status;
  if (eq_needed(c, 1) && !(gx[1] = eq_f(dd, "Ttt", eq_f("mul", "tt", gy[0], c->in[0]), x, y)))
    return eq_error.status;
  return EQ_OK;
}

#define U(name, Y, DY, D2, save, doc, example)                                    \
  static int back_##name(eq_call *c, eq_tensor **gy, eq_tensor **gx) {            \
    return first(c, gy, gx, #name "_d");                                          \
  }                                                                               \
  static int back_##name##_d(eq_call *c, eq_tensor **gy, eq_tensor **gx) {        \
    return second(c, gy, gx, #name "_d", #name "_dd");                            \
  }
UNARY(U)
#undef U

#define U(name_, Y, DY, D2, save, doc_, example_)                                          \
  {.name = #name_, .sig = "x:float -> y", .doc = doc_, .example = example_,                \
   .back = back_##name_, .kernel = FLOATS(name_),                                          \
   .flags = EQ_ELEMENTWISE | EQ_INPLACE | SAVE_##save, .where = EQ_HERE},                  \
  {.name = #name_ "_d", .sig = "g:float, x:float, y:float -> gx", .doc = "Derivative of " #name_ ".", \
   .back = back_##name_##_d, .kernel = FLOATS(name_##_d),                                  \
   .flags = EQ_ELEMENTWISE | EQ_HIDDEN | EQ_SAVE_INS, .where = EQ_HERE},                   \
  {.name = #name_ "_dd", .sig = "g:float, x:float, y:float -> gx",                         \
   .doc = "Second derivative of " #name_ ".", .kernel = FLOATS(name_##_dd),                \
   .flags = EQ_ELEMENTWISE | EQ_HIDDEN, .where = EQ_HERE},
const eq_op ops_unary[] = {UNARY(U){0}};
#undef U
#endif
