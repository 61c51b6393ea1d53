/* unary.c -- element-wise functions of one tensor, one line each.
 *
 * A line: name, y(x), dy/dx and d2y/dx2 as C expressions in x and y, which of them the derivative
 * reads (X, Y or XY), the doc line, an example. From it come three ops: NAME, the hidden NAME_d (gx
 * = gy * dy/dx) and the hidden NAME_dd, so gradients of gradients work for every function here. */
#define UNARY(U)                                                                                   \
  U(exp, EXP(x), y, y, Y, "e to the power x.", "print(equi.tensor({0}):exp():item())  --> 1.0")    \
  U(log, LOG(x), 1 / x, -1 / (x * x), X, "Natural logarithm; -inf at 0, NaN below.",               \
    "print(equi.tensor({1}):log():item())  --> 0.0")                                               \
  U(log1p, LOG1P(x), 1 / (1 + x), -1 / ((1 + x) * (1 + x)), X, "log(1 + x), exact near 0.",        \
    "print(equi.tensor({0}):log1p():item())  --> 0.0")                                             \
  U(expm1, expm1(x), y + 1, y + 1, Y, "exp(x) - 1, exact near 0.",                                 \
    "print(equi.tensor({0}):expm1():item())  --> 0.0")                                             \
  U(sqrt, sqrt(x), (T)0.5 / y, (T)-0.25 / (y * y * y), Y, "Square root; NaN below 0.",             \
    "print(equi.tensor({9}):sqrt():item())  --> 3.0")                                              \
  U(rsqrt, 1 / sqrt(x), (T)-0.5 * y * y * y, (T)0.75 * y * y * y * y * y, Y, "1 / sqrt(x).",       \
    "print(equi.tensor({4}):rsqrt():item())  --> 0.5")                                             \
  U(reciprocal, 1 / x, -y * y, 2 * y * y * y, Y, "1 / x.",                                         \
    "print(equi.tensor({4}):reciprocal():item())  --> 0.25")                                       \
  U(sin, sin(x), cos(x), -sin(x), X, "Sine of x in radians.",                                      \
    "print(equi.tensor({0}):sin():item())  --> 0.0")                                               \
  U(cos, cos(x), -sin(x), -cos(x), X, "Cosine of x in radians.",                                   \
    "print(equi.tensor({0}):cos():item())  --> 1.0")                                               \
  U(tan, tan(x), 1 + y * y, 2 * y * (1 + y * y), Y, "Tangent of x in radians.",                    \
    "print(equi.tensor({0}):tan():item())  --> 0.0")                                               \
  U(atan, atan(x), 1 / (1 + x * x), -2 * x / ((1 + x * x) * (1 + x * x)), X, "Arc tangent.",       \
    "print(equi.tensor({0}):atan():item())  --> 0.0")                                              \
  U(exp2, exp2(x), (T)0.69314718055994531 * y, (T)0.48045301391820142 * y, Y, "2 to the power x.", \
    "print(equi.tensor({3}):exp2():item())  --> 8.0")                                              \
  U(log2, log2(x), (T)1.4426950408889634 / x, (T)-1.4426950408889634 / (x * x), X,                 \
    "Logarithm to base 2; -inf at 0, NaN below.",                                                  \
    "print(equi.tensor({8}):log2():item())  --> 3.0")                                              \
  U(log10, log10(x), (T)0.43429448190325183 / x, (T)-0.43429448190325183 / (x * x), X,             \
    "Logarithm to base 10; -inf at 0, NaN below.",                                                 \
    "print(equi.tensor({1000}):log10():item())  --> 3.0")                                          \
  U(asin, asin(x), 1 / sqrt(1 - x * x), x / ((1 - x * x) * sqrt(1 - x * x)), X,                    \
    "Arc sine in radians; NaN outside -1 to 1.", "print(equi.tensor({0}):asin():item())  --> 0.0") \
  U(acos, acos(x), -1 / sqrt(1 - x * x), -x / ((1 - x * x) * sqrt(1 - x * x)), X,                  \
    "Arc cosine in radians; NaN outside -1 to 1.",                                                 \
    "print(equi.tensor({1}):acos():item())  --> 0.0")                                              \
  U(sinh, sinh(x), cosh(x), sinh(x), X, "Hyperbolic sine.",                                        \
    "print(equi.tensor({0}):sinh():item())  --> 0.0")                                              \
  U(cosh, cosh(x), sinh(x), cosh(x), X, "Hyperbolic cosine.",                                      \
    "print(equi.tensor({0}):cosh():item())  --> 1.0")                                              \
  U(tanh, TANH(x), 1 - y * y, -2 * y * (1 - y * y), Y, "Hyperbolic tangent.",                      \
    "print(equi.tensor({0}):tanh():item())  --> 0.0")                                              \
  U(sigmoid, SIGMOID(x), y *(1 - y), y *(1 - y) * (1 - 2 * y), Y, "1 / (1 + exp(-x)).",            \
    "print(equi.tensor({0}):sigmoid():item())  --> 0.5")                                           \
  U(relu,                                                                                          \
    x > 0    ? x                                                                                   \
    : x != x ? x                                                                                   \
             : 0,                                                                                  \
    (T)(y > 0), 0, Y, "x where positive, else 0.",                                                 \
    "print(equi.tensor({-1, 2}):relu():sum():item())  --> 2.0")                                    \
  U(silu, x *SIGMOID(x), SIGMOID(x) * (1 + x * (1 - SIGMOID(x))),                                  \
    SIGMOID(x) * (1 - SIGMOID(x)) * (2 + x * (1 - 2 * SIGMOID(x))), X,                             \
    "x * sigmoid(x), also called swish.", "print(equi.tensor({0}):silu():item())  --> 0.0")        \
  U(erf, ERF(x), (T)1.1283791670955126 * EXP(-x * x), (T)-2.2567583341910251 * x * EXP(-x * x), X, \
    "Error function, 2/sqrt(pi) * integral of exp(-t^2).",                                         \
    "print(equi.tensor({0}):erf():item())  --> 0.0")                                               \
  U(floor, floor(x), 0, 0, N, "Largest whole number not above x; derivative 0.",                   \
    "print(equi.tensor({1.7}):floor():item())  --> 1.0")                                           \
  U(ceil, ceil(x), 0, 0, N, "Smallest whole number not below x; derivative 0.",                    \
    "print(equi.tensor({1.2}):ceil():item())  --> 2.0")                                            \
  U(round, rint(x), 0, 0, N, "Nearest whole number, halves to the even one; derivative 0.",        \
    "print(equi.tensor({2.5}):round():item())  --> 2.0")

/* These also work on i64. */
#define WHOLE(U)                                                                                   \
  U(neg, -x, -1, 0, N, "-x.", "print((-equi.tensor({2})):item())  --> -2.0")                       \
  U(abs, x < 0 ? -x : x, (T)((x > 0) - (x < 0)), 0, X, "Absolute value; derivative 0 at 0.",       \
    "print(equi.tensor({-2}):abs():item())  --> 2.0")                                              \
  U(square, x *x, 2 * x, 2, X, "x * x.", "print(equi.tensor({3}):square():item())  --> 9.0")       \
  U(sign, (T)((x > 0) - (x < 0)), 0, 0, N, "-1, 0 or 1; derivative 0.",                            \
    "print(equi.tensor({-3}):sign():item())  --> -1.0")

#ifdef T
/* One loop over unit strides that vectorises, one over any. */
#define DERIVATIVE(name, D)                                                                        \
  EQ_SIMD static void FN(name)(int64_t n, char *const *p, const int64_t *s, const eq_call *c) {    \
    (void)c;                                                                                       \
    if (s[0] == sizeof(T) && s[1] == sizeof(T) && s[2] == sizeof(T) && s[3] == sizeof(T)) {        \
      const T *pg = (const T *)(void *)p[0], *px = (const T *)(void *)p[1];                        \
      const T *py = (const T *)(void *)p[2];                                                       \
      T *pz = (T *)(void *)p[3];                                                                   \
      for (int64_t i = 0; i < n; i++) {                                                            \
        T x = px[i], y = py[i];                                                                    \
        (void)x, (void)y;                                                                          \
        pz[i] = pg[i] * (T)(D);                                                                    \
      }                                                                                            \
    } else {                                                                                       \
      for (int64_t i = 0; i < n; i++) {                                                            \
        T x = *(const T *)(void *)(p[1] + i * s[1]), y = *(const T *)(void *)(p[2] + i * s[2]);    \
        (void)x, (void)y;                                                                          \
        *(T *)(void *)(p[3] + i * s[3]) = *(const T *)(void *)(p[0] + i * s[0]) * (T)(D);          \
      }                                                                                            \
    }                                                                                              \
  }
#define U(name, Y, DY, D2, save, doc, example)                                                     \
  EQ_SIMD static void FN(name)(int64_t n, char *const *p, const int64_t *s, const eq_call *c) {    \
    (void)c;                                                                                       \
    if (s[0] == sizeof(T) && s[1] == sizeof(T)) {                                                  \
      const T *px = (const T *)(void *)p[0];                                                       \
      T *py = (T *)(void *)p[1];                                                                   \
      for (int64_t i = 0; i < n; i++) {                                                            \
        T x = px[i];                                                                               \
        py[i] = (T)(Y);                                                                            \
      }                                                                                            \
    } else {                                                                                       \
      for (int64_t i = 0; i < n; i++) {                                                            \
        T x = *(const T *)(void *)(p[0] + i * s[0]);                                               \
        *(T *)(void *)(p[1] + i * s[1]) = (T)(Y);                                                  \
      }                                                                                            \
    }                                                                                              \
  }                                                                                                \
  DERIVATIVE(name##_d, DY)                                                                         \
  DERIVATIVE(name##_dd, D2)
UNARY(U)
WHOLE(U)
#undef U
#else
#include "../equi.h"
#include <tgmath.h>
#define EQ_FILE "ops/unary.c"
#include "../floats.h"

#define SIGNED(name, Y)                                                                            \
  static void name##_i64(int64_t n, char *const *p, const int64_t *s, const eq_call *c) {          \
    (void)c;                                                                                       \
    for (int64_t i = 0; i < n; i++) {                                                              \
      int64_t x = *(const int64_t *)(void *)(p[0] + i * s[0]);                                     \
      *(int64_t *)(void *)(p[1] + i * s[1]) = (int64_t)(Y);                                        \
    }                                                                                              \
  }
SIGNED(neg, 0 - (uint64_t)x)
SIGNED(abs, x < 0 ? 0 - (uint64_t)x : (uint64_t)x)
SIGNED(square, (uint64_t)x *(uint64_t)x)
SIGNED(sign, (x > 0) - (x < 0))
#undef SIGNED

enum {
  SAVE_N = 0,
  SAVE_X = EQ_SAVE_IN0,
  SAVE_Y = EQ_SAVE_OUT,
  SAVE_XY = EQ_SAVE_IN0 | EQ_SAVE_OUT
};

/* gx = gy * dy/dx through NAME_d(gy, x, y). Data comes from what was saved, the graph from x. */
static int first(eq_call *c, eq_tensor **gy, eq_tensor **gx, const char *d) {
  eq_tensor *x = c->in[0], *y = c->out[0];
  const eq_tensor *have = x->data ? x : y->data ? y : gy[0];
  eq_tensor *xs = eq_linked(have, x), *ys = xs ? eq_alias(y->data ? y : have) : NULL;
  if (!ys) eq_release(xs);
  gx[0] = ys ? eq_f(d, "dTT", gy[0], xs, ys) : NULL;
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

#define U(name, Y, DY, D2, save, doc, example)                                                     \
  static int back_##name(eq_call *c, eq_tensor **gy, eq_tensor **gx) {                             \
    return first(c, gy, gx, #name "_d");                                                           \
  }                                                                                                \
  static int back_##name##_d(eq_call *c, eq_tensor **gy, eq_tensor **gx) {                         \
    return second(c, gy, gx, #name "_d", #name "_dd");                                             \
  }
UNARY(U)
WHOLE(U)
#undef U

#define ROWS(name_, kind, kernels, save, doc_, example_)                                           \
  {.name = #name_,                                                                                 \
   .sig = "x:" kind " -> y",                                                                       \
   .doc = doc_,                                                                                    \
   .example = example_,                                                                            \
   .back = back_##name_,                                                                           \
   .kernel = kernels,                                                                              \
   .flags = EQ_ELEMENTWISE | EQ_INPLACE | SAVE_##save,                                             \
   .where = EQ_HERE},                                                                              \
      {.name = #name_ "_d",                                                                        \
       .sig = "g:float, x:float, y:float -> gx",                                                   \
       .doc = "Derivative of " #name_ ".",                                                         \
       .back = back_##name_##_d,                                                                   \
       .kernel = FLOATS(name_##_d),                                                                \
       .flags = EQ_ELEMENTWISE | EQ_HIDDEN | EQ_SAVE_INS,                                          \
       .where = EQ_HERE},                                                                          \
      {.name = #name_ "_dd",                                                                       \
       .sig = "g:float, x:float, y:float -> gx",                                                   \
       .doc = "Second derivative of " #name_ ".",                                                  \
       .kernel = FLOATS(name_##_dd),                                                               \
       .flags = EQ_ELEMENTWISE | EQ_HIDDEN,                                                        \
       .where = EQ_HERE},
#define U(name_, Y, DY, D2, save, doc_, example_)                                                  \
  ROWS(name_, "float", FLOATS(name_), save, doc_, example_)
#define WITH_I64(f)                                                                                \
  { [EQ_F32] = f##_f32, [EQ_F64] = f##_f64, [EQ_I64] = f##_i64 }
#define W(name_, Y, DY, D2, save, doc_, example_)                                                  \
  ROWS(name_, "number", WITH_I64(name_), save, doc_, example_)
const eq_op ops_unary[] = {UNARY(U) WHOLE(W){0}};
#undef U
#endif
