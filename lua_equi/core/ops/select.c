/* select.c -- choosing between elements by a condition. */
#include "../equi.h"
#include <string.h>

/* ---- where ---- */
#define PICK(S)                                                                                    \
  EQ_SIMD static void pick_##S(int64_t n, char *const *p, const int64_t *s, const eq_call *c) {    \
    (void)c;                                                                                       \
    for (int64_t i = 0; i < n; i++)                                                                \
      *(S *)(void *)(p[3] + i * s[3]) = p[0][i * s[0]] ? *(const S *)(void *)(p[1] + i * s[1])     \
                                                       : *(const S *)(void *)(p[2] + i * s[2]);    \
  }
PICK(uint8_t)
PICK(uint32_t)
PICK(uint64_t)

static int where_shape(eq_call *c) {
  int ndim;
  int64_t shape[EQ_MAXDIM];
  if (eq_broadcast(3, c->in, &ndim, shape)) return EQ_ERR;
  return eq_out(c, 0, c->in[1]->dtype, ndim, shape);
}

static int where_run(eq_call *c) {
  eq_tensor *t[4] = {c->in[0], c->in[1], c->in[2], c->out[0]};
  size_t size = eq_size(c->out[0]->dtype);
  return eq_elementwise(size == 1   ? pick_uint8_t
                        : size == 4 ? pick_uint32_t
                                    : pick_uint64_t,
                        4, t, c);
}

static int where_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  for (int i = 1; i <= 2; i++) {
    if (!eq_needed(c, i)) continue;
    eq_tensor *zero = eq_scalar(gy[0]->dtype, 0);
    gx[i] = i == 1 ? eq_f("where", "ttT", c->in[0], gy[0], zero)
                   : eq_f("where", "tTt", c->in[0], zero, gy[0]);
    if (!gx[i]) return eq_error.status;
  }
  return EQ_OK;
}

const eq_op ops_select[] = {
    {.name = "where",
     .sig = "cond:mask, x:operand, y:operand -> z",
     .doc = "x where cond is true, else y; all three broadcast. cond is bool or u8.",
     .example =
         "local x = equi.tensor({-1, 2})\nprint(equi.where(x:gt(0), x, 0):sum():item())  --> 2.0",
     .shape = where_shape,
     .run = where_run,
     .back = where_back,
     .flags = EQ_ELEMENTWISE | EQ_FUNCTION | EQ_SAVE_IN0,
     .where = EQ_HERE},
    {0}};
