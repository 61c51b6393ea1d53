/* straight_through.c -- a value from one tensor, its gradient from another (Bengio et al. 2013):
 *
 *     y = value      dL/dx = dL/dy      dL/dvalue = 0
 *
 * the same as x + (value - x) with the bracket cut off from the graph, but exact: no rounding, and
 * infinities in x do no harm. */
#include "equi.h"

static int shape(eq_call *c) {
  if (!eq_same_shape(c->in[0], c->in[1]) || c->in[0]->dtype != c->in[1]->dtype)
    return eq_fail("x is %s %s, value is %s %s; they must be alike", eq_dtype_name(c->in[0]->dtype),
                   eq_shape_of(c->in[0]), eq_dtype_name(c->in[1]->dtype), eq_shape_of(c->in[1]));
  return eq_out(c, 0, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->shape);
}

static int run(eq_call *c) { return eq_copy(c->out[0], c->in[1]); }

static int back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (eq_needed(c, 0)) gx[0] = eq_retain(gy[0]);
  return EQ_OK;
}

const eq_op ops_straight_through[] = {
    {.name = "straight_through",
     .sig = "x:float, value:float -> y",
     .doc = "value forward, the gradient of x backward (Bengio et al. 2013): a choice that has no\n"
            "gradient learns through x. Both of one shape and dtype.",
     .example = "local x = equi.tensor({0.3, 0.7}, {requires_grad = true})\n"
                "local hard = equi.straight_through(x, x:detach():round())\n"
                "hard:sum():backward()\n"
                "print(hard[2]:item(), x.grad[2]:item())  --> 1.0 1.0",
     .shape = shape,
     .run = run,
     .back = back,
     .flags = EQ_FUNCTION | EQ_ANY_STRIDE,
     .where = EQ_HERE},
    {0}};
