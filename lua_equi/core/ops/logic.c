/* logic.c -- tests of single elements (is_nan, logical_not ...), and functions that compare an
 * element with bounds or blend two (clamp, lerp). */
#include "../equi.h"
#include <math.h>

#define LOOP(name, S, R, Y)                                                                        \
  EQ_SIMD static void name(int64_t n, char *const *p, const int64_t *s, const eq_call *c) {        \
    (void)c;                                                                                       \
    for (int64_t i = 0; i < n; i++) {                                                              \
      S x = *(const S *)(void *)(p[0] + i * s[0]);                                                 \
      (void)x;                                                                                     \
      *(R *)(void *)(p[1] + i * s[1]) = (R)(Y);                                                    \
    }                                                                                              \
  }
#define TEST(name, F, I)                                                                           \
  LOOP(name##_f32, float, bool, F)                                                                 \
  LOOP(name##_f64, double, bool, F)                                                                \
  LOOP(name##_i64, int64_t, bool, I)                                                               \
  LOOP(name##_u8, uint8_t, bool, I)                                                                \
  LOOP(name##_bool, bool, bool, I)
TEST(logical_not, !x, !x)
TEST(is_nan, x != x, false)
TEST(is_inf, x == x && x - x != 0, false)
TEST(is_finite, x - x == 0, true)

/* ---- clamp ---- */
#define CLAMP(S, name, LOW, HIGH)                                                                  \
  EQ_SIMD static void name(int64_t n, char *const *p, const int64_t *s, const eq_call *c) {        \
    const S low = eq_given(c, 0) ? (S)c->arg[0].f : (LOW);                                         \
    const S high = eq_given(c, 1) ? (S)c->arg[1].f : (HIGH);                                       \
    for (int64_t i = 0; i < n; i++) {                                                              \
      S x = *(const S *)(void *)(p[0] + i * s[0]);                                                 \
      S y = x < low ? low : x;                                                                     \
      *(S *)(void *)(p[1] + i * s[1]) = y > high ? high : y;                                       \
    }                                                                                              \
  }
CLAMP(float, clamp_f32, -INFINITY, INFINITY)
CLAMP(double, clamp_f64, -(double)INFINITY, (double)INFINITY)
CLAMP(int64_t, clamp_i64, INT64_MIN, INT64_MAX)
CLAMP(uint8_t, clamp_u8, 0, UINT8_MAX)

/* gy where x lies within the bounds, 0 outside. */
static int clamp_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *x = c->in[0], *zero = eq_scalar(x->dtype, 0);
  double low = eq_given(c, 0) ? c->arg[0].f : -(double)INFINITY;
  double high = eq_given(c, 1) ? c->arg[1].f : (double)INFINITY;
  eq_tensor *in = eq_f("logical_and", "TT", eq_f("ge", "tn", x, low), eq_f("le", "tn", x, high));
  gx[0] = eq_f("where", "TtT", in, gy[0], zero);
  return gx[0] ? EQ_OK : eq_error.status;
}

/* x + w (y - x) */
static int lerp_compose(eq_call *c) {
  c->out[0] = eq_f("add", "tT", c->in[0],
                   eq_f("mul", "Tt", eq_f("sub", "tt", c->in[1], c->in[0]), c->in[2]));
  c->nout = 1;
  return c->out[0] ? EQ_OK : eq_error.status;
}

#define ALL(f)                                                                                     \
  {                                                                                                \
    [EQ_F32] = f##_f32, [EQ_F64] = f##_f64, [EQ_I64] = f##_i64, [EQ_U8] = f##_u8,                  \
    [EQ_BOOL] = f##_bool                                                                           \
  }
#define ROW(name_, doc_, example_)                                                                 \
  {                                                                                                \
    .name = #name_, .sig = "x:tensor -> y", .doc = doc_, .example = example_,                      \
    .kernel = ALL(name_), .flags = EQ_ELEMENTWISE | EQ_OUT_BOOL | EQ_NO_GRAD, .where = EQ_HERE     \
  }
const eq_op ops_logic[] = {
    ROW(logical_not, "True where x is 0 or false; a bool tensor.",
        "print(equi.tensor({0}):logical_not():item())  --> true"),
    ROW(is_nan, "True where x is not a number.",
        "print((equi.tensor({0}) / 0):is_nan():item())  --> true"),
    ROW(is_inf, "True where x is inf or -inf.",
        "print((equi.tensor({1}) / 0):is_inf():item())  --> true"),
    ROW(is_finite, "True where x is neither infinite nor NaN; always for whole numbers.",
        "print(equi.tensor({1}):is_finite():item())  --> true"),
    {.name = "clamp",
     .sig = "x:number, min:num=nil, max:num=nil -> y",
     .doc = "x cut off at min and max, either of which may be absent; NaN stays. f32, f64, i64 and "
            "u8.\n"
            "The gradient passes where min <= x <= max.",
     .example = "print(equi.tensor({-3, 5}):clamp(0, 2):sum():item())  --> 2.0",
     .back = clamp_back,
     .kernel =
         {[EQ_F32] = clamp_f32, [EQ_F64] = clamp_f64, [EQ_I64] = clamp_i64, [EQ_U8] = clamp_u8},
     .flags = EQ_ELEMENTWISE | EQ_INPLACE | EQ_SAVE_IN0,
     .where = EQ_HERE},
    {.name = "lerp",
     .sig = "x:float, y:float, weight:operand -> z",
     .doc = "x + weight * (y - x): from x at weight 0 to y at weight 1. All three broadcast.",
     .example = "print(equi.lerp(equi.zeros(1), equi.ones(1), 0.25):item())  --> 0.25",
     .compose = lerp_compose,
     .flags = EQ_INPLACE,
     .where = EQ_HERE},
    {0}};
