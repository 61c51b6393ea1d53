/* activation.c -- element-wise functions of one tensor with parameters a and b, a few lines each.
 *
 * A line: name, the parameters, y(x), dy/dx and d2y/dx2 as C expressions in x, a and b, extra
 * flags, doc, example. As in unary.c three ops come from it: NAME, NAME_d (gx = gy * dy/dx) and
 * NAME_dd. */
#define SOFT(x) (((x) > 0 ? (x) : 0) + LOG1P(EXP((x) > 0 ? -(x) : (x))))
#define PHI(x) ((T)0.5 * (1 + ERF((T)0.70710678118654752 * (x))))
#define NORMAL(x) ((T)0.39894228040143268 * EXP((T)-0.5 * (x) * (x)))
#define BEND(x) ((T)0.79788456080286536 * ((x) + (T)0.044715 * (x) * (x) * (x)))
#define BEND_D(x) ((T)0.79788456080286536 * (1 + (T)0.134145 * (x) * (x)))
#define BEND_DD(x) ((T)0.21406441926828947 * (x))
#define GATE(x) SIGMOID(2 * BEND(x)) /* (1 + tanh u) / 2 = sigmoid 2u, in half the time */
#define FLAT(x) (4 * GATE(x) * (1 - GATE(x)))

#define ACTIVATIONS(A)                                                                             \
  A(leaky_relu, ", slope:num=0.01", x > 0 ? x : a * x, x > 0 ? 1 : a, 0, 0,                        \
    "x where positive, else slope * x.",                                                           \
    "print(equi.tensor({-2}):leaky_relu(0.5):item())  --> -1.0")                                   \
  A(elu, ", alpha:num=1", x > 0 ? x : a * (T)expm1(x), x > 0 ? 1 : a * EXP(x),                     \
    x > 0 ? 0 : a * EXP(x), 0,                                                                     \
    "x where positive, else alpha * (exp(x) - 1). Clevert et al., 2016.",                          \
    "print(equi.tensor({3}):elu():item())  --> 3.0")                                               \
  A(softplus, ", beta:num=1", SOFT(a *x) / a, SIGMOID(a * x),                                      \
    a * SIGMOID(a * x) * SIGMOID(-a * x), 0,                                                       \
    "log(1 + exp(beta x)) / beta, a smooth relu; nothing overflows.",                              \
    "print(equi.tensor({1000}):softplus():item())  --> 1000.0")                                    \
  A(hardtanh, ", min:num=-1, max:num=1", x<a ? a : x> b ? b : x, x > a && x < b ? 1 : 0, 0, 0,     \
    "x cut off at min and max; the derivative is 0 there.",                                        \
    "print(equi.tensor({5}):hardtanh():item())  --> 1.0")                                          \
  A(threshold, ", threshold:num, value:num", x <= a ? b : x, x > a ? 1 : 0, 0, 0,                  \
    "x where above threshold, else value.",                                                        \
    "print(equi.tensor({1}):threshold(2, 7):item())  --> 7.0")                                     \
  A(smooth_abs, ", beta:num", x<a && x> - a ? x * x / (2 * a) : (x < 0 ? -x : x) - a / 2,          \
    x < a && x > -a ? x / a : (T)((x > 0) - (x < 0)), x < a && x > -a ? 1 / a : 0, EQ_HIDDEN,      \
    "|x|, round below beta.", NULL)                                                                \
  A(gelu_erf, "", x *PHI(x), PHI(x) + x * NORMAL(x), NORMAL(x) * (2 - x * x), EQ_HIDDEN,           \
    "x times the normal distribution function.", NULL)                                             \
  A(gelu_tanh, "", x *GATE(x), GATE(x) + (T)0.5 * x * FLAT(x) * BEND_D(x),                         \
    FLAT(x) * (BEND_D(x) + x * ((T)0.5 * BEND_DD(x) - (2 * GATE(x) - 1) * BEND_D(x) * BEND_D(x))), \
    EQ_HIDDEN, "The approximation of gelu by tanh.", NULL)

#ifdef T
/* SET reads the parameters; a loop over unit strides that vectorises, one over any. */
#define LOOP1(name, Y)                                                                             \
  EQ_SIMD static void FN(name)(int64_t n, char *const *p, const int64_t *s, const eq_call *c) {    \
    const T a = (T)c->arg[0].f, b = (T)c->arg[1].f;                                                \
    (void)a, (void)b;                                                                              \
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
  }
#define LOOP2(name, DY)                                                                            \
  EQ_SIMD static void FN(name)(int64_t n, char *const *p, const int64_t *s, const eq_call *c) {    \
    const T a = (T)c->arg[0].f, b = (T)c->arg[1].f;                                                \
    (void)a, (void)b;                                                                              \
    if (s[0] == sizeof(T) && s[1] == sizeof(T) && s[2] == sizeof(T)) {                             \
      const T *pg = (const T *)(void *)p[0], *px = (const T *)(void *)p[1];                        \
      T *py = (T *)(void *)p[2];                                                                   \
      for (int64_t i = 0; i < n; i++) {                                                            \
        T x = px[i];                                                                               \
        (void)x;                                                                                   \
        py[i] = pg[i] * (T)(DY);                                                                   \
      }                                                                                            \
    } else {                                                                                       \
      for (int64_t i = 0; i < n; i++) {                                                            \
        T x = *(const T *)(void *)(p[1] + i * s[1]);                                               \
        (void)x;                                                                                   \
        *(T *)(void *)(p[2] + i * s[2]) = *(const T *)(void *)(p[0] + i * s[0]) * (T)(DY);         \
      }                                                                                            \
    }                                                                                              \
  }
#define A(name, params, Y, DY, D2, extra, doc, example)                                            \
  LOOP1(name, Y)                                                                                   \
  LOOP2(name##_d, DY)                                                                              \
  LOOP2(name##_dd, D2)
ACTIVATIONS(A)
#undef A
#undef LOOP1
#undef LOOP2
#else
#include "../equi.h"
#include <tgmath.h>
#define EQ_FILE "ops/activation.c"
#include "../floats.h"

static double param(const eq_call *c, int slot) {
  return eq_sig_of(c->op)->narg > slot ? c->arg[slot].f : 0;
}

/* gx = gy * dy/dx through NAME_d(gy, x, a, b). */
static int first(eq_call *c, eq_tensor **gy, eq_tensor **gx, const char *d) {
  gx[0] = eq_f(d, "ttnn", gy[0], c->in[0], param(c, 0), param(c, 1));
  return gx[0] ? EQ_OK : eq_error.status;
}

/* The rule of NAME_d: d/dg is NAME_d again, d/dx is g * d2y/dx2. */
static int second(eq_call *c, eq_tensor **gy, eq_tensor **gx, const char *d, const char *dd) {
  double a = c->arg[0].f, b = c->arg[1].f;
  if (eq_needed(c, 0) && !(gx[0] = eq_f(d, "ttnn", gy[0], c->in[1], a, b))) return eq_error.status;
  if (eq_needed(c, 1) &&
      !(gx[1] = eq_f(dd, "Ttnn", eq_f("mul", "tt", gy[0], c->in[0]), c->in[1], a, b)))
    return eq_error.status;
  return EQ_OK;
}

#define A(name, params, Y, DY, D2, extra, doc, example)                                            \
  static int back_##name(eq_call *c, eq_tensor **gy, eq_tensor **gx) {                             \
    return first(c, gy, gx, #name "_d");                                                           \
  }                                                                                                \
  static int back_##name##_d(eq_call *c, eq_tensor **gy, eq_tensor **gx) {                         \
    return second(c, gy, gx, #name "_d", #name "_dd");                                             \
  }
ACTIVATIONS(A)
#undef A

static int gelu_compose(eq_call *c) {
  c->out[0] = eq_f(c->arg[0].i ? "gelu_tanh" : "gelu_erf", "t", c->in[0]);
  c->nout = 1;
  return c->out[0] ? EQ_OK : eq_error.status;
}

#define DERIVATIVE_SIG "g:float, x:float, a:num, b:num -> gx"
#define A(name_, params, Y, DY, D2, extra, doc_, example_)                                         \
  {.name = #name_,                                                                                 \
   .sig = "x:float" params " -> y",                                                                \
   .doc = doc_,                                                                                    \
   .example = example_,                                                                            \
   .back = back_##name_,                                                                           \
   .kernel = FLOATS(name_),                                                                        \
   .flags = EQ_ELEMENTWISE | EQ_INPLACE | EQ_SAVE_IN0 | extra,                                     \
   .where = EQ_HERE},                                                                              \
      {.name = #name_ "_d",                                                                        \
       .sig = DERIVATIVE_SIG,                                                                      \
       .doc = "Derivative of " #name_ ".",                                                         \
       .back = back_##name_##_d,                                                                   \
       .kernel = FLOATS(name_##_d),                                                                \
       .flags = EQ_ELEMENTWISE | EQ_HIDDEN | EQ_SAVE_INS,                                          \
       .where = EQ_HERE},                                                                          \
      {.name = #name_ "_dd",                                                                       \
       .sig = DERIVATIVE_SIG,                                                                      \
       .doc = "Second derivative of " #name_ ".",                                                  \
       .kernel = FLOATS(name_##_dd),                                                               \
       .flags = EQ_ELEMENTWISE | EQ_HIDDEN,                                                        \
       .where = EQ_HERE},
const eq_op ops_activation[] = {
    ACTIVATIONS(A){.name = "gelu",
                   .sig = "x:float, approximate:none|tanh=none -> y",
                   .doc = "x times the normal distribution function, x (1 + erf(x / sqrt 2)) / 2; "
                          "with approximate =\n"
                          "\"tanh\" x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, as in GPT-2.\n"
                          "Hendrycks and Gimpel, \"Gaussian error linear units\", 2016.",
                   .example = "print(equi.tensor({0}):gelu():item())  --> 0.0",
                   .compose = gelu_compose,
                   .flags = EQ_INPLACE,
                   .where = EQ_HERE},
    {0}};
#undef A
#endif
