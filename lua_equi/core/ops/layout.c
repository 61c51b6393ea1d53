/* layout.c -- ops that change how the elements lie in memory and nothing else. */
#include "../equi.h"

static int same_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  (void)c;
  gx[0] = eq_retain(gy[0]);
  return EQ_OK;
}

static int four_dims(const eq_tensor *x) {
  if (x->ndim == 4) return EQ_OK;
  return eq_fail("x must have 4 dims [B, C, H, W], got %s", eq_shape_of(x));
}

static int channels_last_compose(eq_call *c) {
  eq_tensor *x = c->in[0];
  if (four_dims(x)) return EQ_ERR;
  c->nout = 1;
  c->out[0] = eq_is_channels_last(x) ? eq_retain(x) : eq_f("to_channels_last", "t", x);
  return c->out[0] ? EQ_OK : eq_error.status;
}

static int to_channels_last_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  return eq_out_channels_last(c, 0, x->dtype, x->ndim, x->shape);
}
static int to_channels_last_run(eq_call *c) { return eq_copy(c->out[0], c->in[0]); }

const eq_op ops_layout[] = {
    {.name = "channels_last",
     .sig = "x:tensor -> y",
     .doc = "x [B, C, H, W] with the channels of a pixel next to each other in memory: x itself if "
            "it\nalready lies so, else a copy. Shape and values stay. Convolutions and pooling "
            "work in this\nlayout and return it; element-wise ops keep the layout of their input.",
     .example = "local x = equi.zeros(2, 3, 4, 4):channels_last()\n"
                "print(x:size())        --> 2 3 4 4\n"
                "print(x:is_contiguous(), x:is_channels_last())  --> false true",
     .compose = channels_last_compose,
     .where = EQ_HERE},
    {.name = "to_channels_last",
     .sig = "x:tensor -> y",
     .doc = "A channels-last copy of x [B, C, H, W].",
     .shape = to_channels_last_shape,
     .run = to_channels_last_run,
     .back = same_back,
     .flags = EQ_HIDDEN | EQ_ANY_STRIDE,
     .where = EQ_HERE},
    {0}};
