/* local_response_norm.c -- local response normalisation across channels (Krizhevsky, Sutskever and
 * Hinton, "ImageNet classification with deep convolutional neural networks", 2012, section 3.3):
 *   y_c = x_c / (k + alpha / size * sum of x_j^2 for `size` neighbours j of c)^beta
 * PyTorch's form, which divides alpha by size; the paper does not. Channels beyond the ends count
 * as zero. Built from other ops: no network here needs it to be fast. */
#include "../equi.h"
#include <inttypes.h>

static eq_tensor *neighbours(eq_tensor *squares, int64_t size) {
  int64_t C = squares->shape[1], pads[2 * EQ_MAXDIM] = {0};
  int n = 2 * (squares->ndim - 1);
  pads[n - 2] = size / 2;
  pads[n - 1] = (size - 1) / 2;
  eq_tensor *wide = eq_f("pad_constant", "tln", squares, n, pads, 0.0), *sum = NULL;
  for (int64_t i = 0; i < size && wide; i++) {
    eq_tensor *part = eq_f("slice", "tiiii", wide, (int64_t)1, i, i + C, (int64_t)1);
    sum = i ? eq_f("add", "TT", sum, part) : part;
    if (!sum) break;
  }
  eq_release(wide);
  return sum;
}

static int local_response_norm(eq_call *c) {
  eq_tensor *x = c->in[0];
  int64_t size = c->arg[0].i;
  if (x->ndim < 2) return eq_fail("x must be [B, C, ..], it is %s", eq_shape_of(x));
  if (size < 1) return eq_fail("size must be at least 1, got %" PRId64, size);
  eq_tensor *rows = x->ndim == 4 ? eq_f("channels_last", "t", x) : eq_retain(x);
  eq_tensor *square = rows ? eq_f("square", "t", rows) : NULL;
  eq_tensor *sum = square ? neighbours(square, size) : NULL;
  eq_release(square);
  eq_tensor *base =
      eq_f("add", "Tn", eq_f("mul", "Tn", sum, c->arg[1].f / (double)size), c->arg[3].f);
  eq_tensor *power = eq_f("pow", "Tn", base, -c->arg[2].f);
  c->out[0] = rows ? eq_f("mul", "tT", rows, power) : NULL;
  c->nout = 1;
  eq_release(rows);
  return c->out[0] ? EQ_OK : (int)eq_error.status;
}

const eq_op ops_local_response_norm[] = {
    {.name = "local_response_norm",
     .sig = "x:float, size:int, alpha:num=1e-4, beta:num=0.75, k:num=1 -> y",
     .doc = "x / (k + alpha / size * sum)^beta, where sum is that of x^2 over `size` neighbouring "
            "channels of\nx [B, C, ..]: from size / 2 before a channel on, zeros beyond the ends. "
            "Krizhevsky, Sutskever and\nHinton, \"ImageNet classification with deep convolutional "
            "neural networks\", 2012.",
     .example = "local y = equi.local_response_norm(equi.ones(1, 1, 2), 1, 8, 1)\n"
                "print(y:sum():item() < 0.23)  --> true",
     .compose = local_response_norm,
     .where = EQ_HERE},
    {0}};
