/* binary.c -- element-wise functions of two tensors: arithmetic, comparisons, logic.
 *
 * Inputs broadcast. Arithmetic works on f32, f64, i64 and u8 (which wraps), comparisons on all
 * dtypes. One line per function gives its C expression; rules are ops, so they differentiate again.
 */
#include "../equi.h"
#include <math.h>

/* ---- kernels: one loop for unit strides, one for a broadcast second operand, one for any ---- */
#define LOOP(name, S, R, Y)                                                                        \
  EQ_SIMD static void name(int64_t n, char *const *p, const int64_t *s, const eq_call *c) {        \
    (void)c;                                                                                       \
    if (s[0] == sizeof(S) && s[1] == sizeof(S) && s[2] == sizeof(R)) {                             \
      const S *pa = (const S *)(void *)p[0], *pb = (const S *)(void *)p[1];                        \
      R *py = (R *)(void *)p[2];                                                                   \
      for (int64_t i = 0; i < n; i++) {                                                            \
        S a = pa[i], b = pb[i];                                                                    \
        py[i] = (R)(Y);                                                                            \
      }                                                                                            \
    } else if (s[0] == sizeof(S) && s[1] == 0 && s[2] == sizeof(R)) {                              \
      const S *pa = (const S *)(void *)p[0], b = *(const S *)(void *)p[1];                         \
      R *py = (R *)(void *)p[2];                                                                   \
      for (int64_t i = 0; i < n; i++) {                                                            \
        S a = pa[i];                                                                               \
        py[i] = (R)(Y);                                                                            \
      }                                                                                            \
    } else {                                                                                       \
      for (int64_t i = 0; i < n; i++) {                                                            \
        S a = *(const S *)(void *)(p[0] + i * s[0]), b = *(const S *)(void *)(p[1] + i * s[1]);    \
        *(R *)(void *)(p[2] + i * s[2]) = (R)(Y);                                                  \
      }                                                                                            \
    }                                                                                              \
  }

/* Whole-number division is the floor, as Lua's; by 0 it gives 0 (there is no NaN to give). */
static inline int64_t floor_div(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return (int64_t)(0 - (uint64_t)a);
  int64_t q = a / b;
  return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}
static inline int64_t floor_mod(int64_t a, int64_t b) {
  return b == 0 ? 0 : (int64_t)((uint64_t)a - (uint64_t)floor_div(a, b) * (uint64_t)b);
}
static inline int64_t int_pow(int64_t a, int64_t b) {
  uint64_t r = 1, x = (uint64_t)a;
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
  for (; b; b >>= 1, x *= x)
    if (b & 1) r *= x;
  return (int64_t)r;
}

/* name, float expression, i64 expression (unsigned arithmetic: overflow wraps), u8 expression */
#define ARITHMETIC(A)                                                                              \
  A(add, a + b, (uint64_t)a + (uint64_t)b, a + b)                                                  \
  A(sub, a - b, (uint64_t)a - (uint64_t)b, a - b)                                                  \
  A(mul, a *b, (uint64_t)a *(uint64_t)b, a *b)                                                     \
  A(maximum, a != a || a > b ? a : b, a > b ? a : b, a > b ? a : b)                                \
  A(minimum, a != a || a < b ? a : b, a < b ? a : b, a < b ? a : b)                                \
  A(floor_divide, floor((double)(a / b)), floor_div(a, b), b ? a / b : 0)                          \
  A(remainder, (double)a - floor((double)(a / b)) * (double)b, floor_mod(a, b), b ? a % b : 0)     \
  A(pow, pow((double)a, (double)b), int_pow(a, b), int_pow(a, b))
#define A(name, F, I, U)                                                                           \
  LOOP(name##_f32, float, float, F)                                                                \
  LOOP(name##_f64, double, double, F)                                                              \
  LOOP(name##_i64, int64_t, int64_t, I)                                                            \
  LOOP(name##_u8, uint8_t, uint8_t, U)
ARITHMETIC(A)
#undef A
LOOP(div_f32, float, float, a / b)
LOOP(div_f64, double, double, a / b)
LOOP(atan2_f32, float, float, atan2f(a, b))
LOOP(atan2_f64, double, double, atan2(a, b))

#define COMPARISONS(C)                                                                             \
  C(eq, a == b, "x equal to y", "1.0")                                                             \
  C(ne, a != b, "x different from y", "1.0")                                                       \
  C(lt, a < b, "x less than y", "1.0")                                                             \
  C(le, a <= b, "x less than or equal to y", "1.0")                                                \
  C(gt, a > b, "x greater than y", "1.0")                                                          \
  C(ge, a >= b, "x greater than or equal to y", "1.0")                                             \
  C(logical_and, a &&b, "x and y, as truth values", "1.0")                                         \
  C(logical_or, a || b, "x or y, as truth values", "1.0")                                          \
  C(logical_xor, !a != !b, "exactly one of x and y, as truth values", "1.0")
#define C(name, Y, doc, one)                                                                       \
  LOOP(name##_f32, float, bool, Y)                                                                 \
  LOOP(name##_f64, double, bool, Y)                                                                \
  LOOP(name##_i64, int64_t, bool, Y)                                                               \
  LOOP(name##_u8, uint8_t, bool, Y)                                                                \
  LOOP(name##_bool, bool, bool, Y)
COMPARISONS(C)
#undef C

/* ---- rules ---- */
static int status_of(eq_call *c, eq_tensor **gx) {
  for (int i = 0; i < c->nin; i++)
    if (eq_needed(c, i) && !gx[i]) return eq_error.status ? (int)eq_error.status : EQ_ERR;
  return EQ_OK;
}

static int back_add(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (eq_needed(c, 0)) gx[0] = eq_retain(gy[0]);
  if (eq_needed(c, 1)) gx[1] = eq_retain(gy[0]);
  return EQ_OK;
}

static int back_sub(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (eq_needed(c, 0)) gx[0] = eq_retain(gy[0]);
  if (eq_needed(c, 1)) gx[1] = eq_f("neg", "t", gy[0]);
  return status_of(c, gx);
}

static int back_mul(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (eq_needed(c, 0)) gx[0] = eq_f("mul", "tt", gy[0], c->in[1]);
  if (eq_needed(c, 1)) gx[1] = eq_f("mul", "tt", gy[0], c->in[0]);
  return status_of(c, gx);
}

static int back_div(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (eq_needed(c, 0)) gx[0] = eq_f("div", "tt", gy[0], c->in[1]);
  if (eq_needed(c, 1)) /* -gy x / y^2 */
    gx[1] = eq_f("div", "TT", eq_f("neg", "T", eq_f("mul", "tt", gy[0], c->in[0])),
                 eq_f("mul", "tt", c->in[1], c->in[1]));
  return status_of(c, gx);
}

/* d/dx x^y = y x^(y-1); d/dy x^y = x^y log x, taken as 0 where x = 0. */
static int back_pow(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *x = c->in[0], *y = c->in[1];
  if (eq_needed(c, 0))
    gx[0] = eq_f("mul", "tT", gy[0],
                 eq_f("mul", "tT", y, eq_f("pow", "tT", x, eq_f("sub", "tn", y, 1.0))));
  if (eq_needed(c, 1)) {
    eq_tensor *zero = eq_f("eq", "tn", x, 0.0), *one = eq_scalar(x->dtype, 1);
    gx[1] = eq_f("mul", "tT", gy[0],
                 eq_f("mul", "TT", eq_f("pow", "tt", x, y),
                      eq_f("log", "T", eq_f("where", "TTt", zero, one, x))));
  }
  return status_of(c, gx);
}

/* On ties both sides get half, so that max(x, x) has derivative 1. */
static int back_extreme(eq_call *c, eq_tensor **gy, eq_tensor **gx, const char *wins) {
  eq_dtype t = gy[0]->dtype;
  for (int i = 0; i < 2; i++) {
    if (!eq_needed(c, i)) continue;
    eq_tensor *win = eq_f(wins, "tt", c->in[i], c->in[1 - i]),
              *tie = eq_f("eq", "tt", c->in[0], c->in[1]);
    eq_tensor *w = win ? eq_cast(win, t) : NULL, *h = tie ? eq_cast(tie, t) : NULL;
    gx[i] = eq_f("mul", "tT", gy[0], eq_f("add", "TT", w, eq_f("mul", "Tn", h, 0.5)));
    eq_release(win);
    eq_release(tie);
  }
  return status_of(c, gx);
}
static int back_maximum(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return back_extreme(c, gy, gx, "gt");
}
static int back_minimum(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return back_extreme(c, gy, gx, "lt");
}

static int back_remainder(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (eq_needed(c, 0)) gx[0] = eq_retain(gy[0]);
  if (eq_needed(c, 1)) /* x - floor(x/y) y */
    gx[1] =
        eq_f("neg", "T", eq_f("mul", "tT", gy[0], eq_f("floor_divide", "tt", c->in[0], c->in[1])));
  return status_of(c, gx);
}

/* d/dy atan2(y, x) = x / (x^2 + y^2), d/dx = -y / (x^2 + y^2) */
static int back_atan2(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  eq_tensor *a = c->in[0], *b = c->in[1];
  eq_tensor *r = eq_f("add", "TT", eq_f("square", "t", a), eq_f("square", "t", b));
  eq_tensor *g = eq_f("div", "tT", gy[0], r);
  if (eq_needed(c, 0)) gx[0] = g ? eq_f("mul", "tt", g, b) : NULL;
  if (eq_needed(c, 1)) gx[1] = g ? eq_f("neg", "T", eq_f("mul", "tt", g, a)) : NULL;
  eq_release(g);
  return status_of(c, gx);
}

/* ---- rows ---- */
#define NUMBERS(f)                                                                                 \
  { [EQ_F32] = f##_f32, [EQ_F64] = f##_f64, [EQ_I64] = f##_i64, [EQ_U8] = f##_u8 }
#define ALL(f)                                                                                     \
  {                                                                                                \
    [EQ_F32] = f##_f32, [EQ_F64] = f##_f64, [EQ_I64] = f##_i64, [EQ_U8] = f##_u8,                  \
    [EQ_BOOL] = f##_bool                                                                           \
  }
#define SAVE_BOTH (EQ_SAVE_IN0 | EQ_SAVE_IN1)
#define TWO "x:operand, y:operand -> z"
const eq_op ops_binary[] = {
    {.name = "add",
     .sig = TWO,
     .doc = "x + y, broadcast.",
     .example = "print((equi.tensor({1, 2}) + 1):sum():item())  --> 5.0",
     .back = back_add,
     .kernel = NUMBERS(add),
     .flags = EQ_ELEMENTWISE | EQ_INPLACE,
     .where = EQ_HERE},
    {.name = "sub",
     .sig = TWO,
     .doc = "x - y, broadcast.",
     .example = "print((equi.tensor({1, 2}) - 1):sum():item())  --> 1.0",
     .back = back_sub,
     .kernel = NUMBERS(sub),
     .flags = EQ_ELEMENTWISE | EQ_INPLACE,
     .where = EQ_HERE},
    {.name = "mul",
     .sig = TWO,
     .doc = "x * y element by element, broadcast.",
     .example = "print((equi.tensor({1, 2}) * 3):sum():item())  --> 9.0",
     .back = back_mul,
     .kernel = NUMBERS(mul),
     .flags = EQ_ELEMENTWISE | EQ_INPLACE | SAVE_BOTH,
     .where = EQ_HERE},
    {.name = "div",
     .sig = TWO,
     .doc = "x / y, broadcast. Floats only; whole numbers divide with //.",
     .example = "print((equi.tensor({1, 2}) / 2):sum():item())  --> 1.5",
     .back = back_div,
     .kernel = FLOATS(div),
     .flags = EQ_ELEMENTWISE | EQ_INPLACE | SAVE_BOTH,
     .where = EQ_HERE},
    {.name = "pow",
     .sig = TWO,
     .doc = "x to the power y. The derivative in y is 0 where x is 0.",
     .example = "print((equi.tensor({3}) ^ 2):item())  --> 9.0",
     .back = back_pow,
     .kernel = NUMBERS(pow),
     .flags = EQ_ELEMENTWISE | EQ_INPLACE | SAVE_BOTH,
     .where = EQ_HERE},
    {.name = "floor_divide",
     .sig = TWO,
     .doc = "The floor of x / y, as Lua's //. i64 by 0 gives 0.",
     .example = "print((equi.tensor({7}) // 2):item())  --> 3.0",
     .kernel = NUMBERS(floor_divide),
     .flags = EQ_ELEMENTWISE | EQ_INPLACE | EQ_NO_GRAD,
     .where = EQ_HERE},
    {.name = "remainder",
     .sig = TWO,
     .doc = "x - floor(x / y) * y, as Lua's %: the sign of y.",
     .example = "print((equi.tensor({-1}) % 3):item())  --> 2.0",
     .back = back_remainder,
     .kernel = NUMBERS(remainder),
     .flags = EQ_ELEMENTWISE | EQ_INPLACE | SAVE_BOTH,
     .where = EQ_HERE},
    {.name = "maximum",
     .sig = TWO,
     .doc = "The larger of x and y; NaN if either is. Ties share the gradient.",
     .example = "print(equi.maximum(equi.tensor({1, 5}), 3):sum():item())  --> 8.0",
     .back = back_maximum,
     .kernel = NUMBERS(maximum),
     .flags = EQ_ELEMENTWISE | EQ_INPLACE | SAVE_BOTH,
     .where = EQ_HERE},
    {.name = "minimum",
     .sig = TWO,
     .doc = "The smaller of x and y; NaN if either is. Ties share the gradient.",
     .example = "print(equi.minimum(equi.tensor({1, 5}), 3):sum():item())  --> 4.0",
     .back = back_minimum,
     .kernel = NUMBERS(minimum),
     .flags = EQ_ELEMENTWISE | EQ_INPLACE | SAVE_BOTH,
     .where = EQ_HERE},
    {.name = "atan2",
     .sig = TWO,
     .doc = "The angle of the point (y, x): atan(x / y) in the right quadrant.",
     .example = "print(equi.atan2(equi.tensor({0}), 1):item())  --> 0.0",
     .back = back_atan2,
     .kernel = FLOATS(atan2),
     .flags = EQ_ELEMENTWISE | SAVE_BOTH,
     .where = EQ_HERE},
#define C(name_, Y, doc_, one)                                                                     \
  {.name = #name_,                                                                                 \
   .sig = TWO,                                                                                     \
   .doc = "True where " doc_ ", broadcast; a bool tensor.",                                        \
   .example = "print(equi." #name_ "(equi.tensor({1}), equi.tensor({2})).dtype)  --> bool",        \
   .kernel = ALL(name_),                                                                           \
   .flags = EQ_ELEMENTWISE | EQ_OUT_BOOL | EQ_NO_GRAD,                                             \
   .where = EQ_HERE},
    COMPARISONS(C)
#undef C
        {0}};
