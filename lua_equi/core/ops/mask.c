/* mask.c -- elements chosen by a condition: masked_fill, masked_select, nonzero. where is in
 * select.c. */
#include "../equi.h"

#define FILL(name, S)                                                                              \
  EQ_SIMD static void fill_##name(int64_t n, char *const *p, const int64_t *s, const eq_call *c) { \
    (void)c;                                                                                       \
    for (int64_t i = 0; i < n; i++) {                                                              \
      const char *from = p[1][i * s[1]] ? p[2] + i * s[2] : p[0] + i * s[0];                       \
      *(S *)(void *)(p[3] + i * s[3]) = *(const S *)(const void *)from;                            \
    }                                                                                              \
  }
FILL(f32, float)
FILL(f64, double)
FILL(i64, int64_t)
FILL(u8, uint8_t)
FILL(bool, bool)

static int masked_fill_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (eq_needed(c, 0)) gx[0] = eq_f("masked_fill", "ttn", gy[0], c->in[1], 0.0);
  if (eq_needed(c, 2)) gx[2] = eq_f("where", "ttT", c->in[1], gy[0], eq_scalar(gy[0]->dtype, 0));
  return eq_error.status;
}

/* How many are not zero; their places, counted in row-major order from 1, into id. */
static int64_t true_places(const eq_tensor *x, int64_t *id) {
  int64_t n = 0;
  for (int64_t i = 0; i < x->numel; i++)
    if (eq_get(x, i) != 0) {
      if (id) id[n] = i + EQ_BASE;
      n++;
    }
  return n;
}

static int places_shape(eq_call *c) {
  int64_t n = true_places(c->in[0], NULL);
  return eq_out(c, 0, EQ_I64, 1, &n);
}

static int places_run(eq_call *c) {
  true_places(c->in[0], (int64_t *)(void *)c->out[0]->data);
  return EQ_OK;
}

static int nonzero_shape(eq_call *c) {
  int64_t shape[2] = {true_places(c->in[0], NULL), c->in[0]->ndim};
  return eq_out(c, 0, EQ_I64, 2, shape);
}

static int nonzero_run(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int64_t *id = (int64_t *)(void *)c->out[0]->data;
  for (int64_t i = 0; i < x->numel; i++) {
    if (eq_get(x, i) == 0) continue;
    int64_t rest = i;
    for (int d = x->ndim - 1; d >= 0; d--) {
      id[d] = rest % x->shape[d] + EQ_BASE;
      rest /= x->shape[d];
    }
    id += x->ndim;
  }
  return EQ_OK;
}

static int masked_select(eq_call *c) {
  int ndim;
  int64_t shape[EQ_MAXDIM];
  if (eq_broadcast(2, c->in, &ndim, shape)) return EQ_ERR;
  eq_tensor *ids = eq_f("true_places", "T", eq_f("expand", "tl", c->in[1], ndim, shape));
  c->out[0] = eq_f("take", "TT", eq_f("expand", "tl", c->in[0], ndim, shape), ids);
  c->nout = 1;
  return c->out[0] ? EQ_OK : eq_error.status;
}

#define FILLS                                                                                      \
  {                                                                                                \
    [EQ_F32] = fill_f32, [EQ_F64] = fill_f64, [EQ_I64] = fill_i64, [EQ_U8] = fill_u8,              \
    [EQ_BOOL] = fill_bool                                                                          \
  }
const eq_op ops_mask[] = {
    {.name = "masked_fill",
     .sig = "x:tensor, mask:mask, value:operand -> y",
     .doc = "x with value, a number or a tensor, where mask (bool or u8) is true; all three "
            "broadcast.",
     .example =
         "local x = equi.tensor({-1, 2})\nprint(x:masked_fill(x:lt(0), 0):sum():item())  --> 2.0",
     .back = masked_fill_back,
     .kernel = FILLS,
     .flags = EQ_ELEMENTWISE | EQ_INPLACE | EQ_SAVE_IN1,
     .where = EQ_HERE},
    {.name = "masked_select",
     .sig = "x:tensor, mask:mask -> y",
     .doc = "The elements of x where mask is true, as a list in row-major order; both broadcast.",
     .example = "local x = equi.tensor({-1, 2, 3})\nprint(x:masked_select(x:gt(0)):size())  --> 2",
     .compose = masked_select,
     .where = EQ_HERE},
    {.name = "true_places",
     .sig = "x:tensor -> ids",
     .doc = "Places of the elements that are not zero, counted from 1 in row-major order.",
     .shape = places_shape,
     .run = places_run,
     .flags = EQ_NO_GRAD | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "nonzero",
     .sig = "x:tensor -> ids",
     .doc = "Where x is not zero: one row for each such element with its place in every dim, "
            "counted from 1.",
     .example = "print(equi.eye(2):nonzero():size())  --> 2 2",
     .shape = nonzero_shape,
     .run = nonzero_run,
     .flags = EQ_NO_GRAD,
     .where = EQ_HERE},
    {0}};
