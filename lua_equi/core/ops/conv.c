/* conv.c -- convolutions of images and sequences (cross-correlations, as in all networks):
 *
 *   y[b, o, i, j] = bias[o] + sum over c, u, v of w[o, c, u, v] x[b, c, i s - p + u d, j s - p + v
 * d]
 *
 * Shapes and rules; conv/ computes. The op and its two gradients are linear in both operands and
 * each other's gradients, so the rules are written with the three of them and differentiate any
 * number of times. A transposed convolution is the gradient of one for its input. */
#include "../conv/conv.h"
#include "image.h"
#include <inttypes.h>
#include <string.h>

/* ---- arguments ---- */
enum { SAME = -1, VALID = -2 };

/* The arguments behind the tensors, one number for each dim; rows first. */
typedef struct window {
  int64_t stride[2], dilation[2], before[2], after[2], groups;
} window;

/* Padding: a number for each dim, or before each and after each, or a word. */
static int read_padding(const eq_call *c, int slot, int dims, const int64_t *kernel, window *w) {
  int n;
  const int64_t *v = eq_list(c, slot, &n);
  if (n == 2 * dims) {
    for (int d = 0; d < 2; d++) {
      w->before[d] = dims == 1 ? d * v[0] : v[d];
      w->after[d] = dims == 1 ? d * v[1] : v[2 + d];
      bool negative = w->before[d] < 0 || w->after[d] < 0; /* only rules cut */
      if ((negative && !(c->op->flags & EQ_HIDDEN)) || w->before[d] > TOO_FAR ||
          w->after[d] > TOO_FAR)
        return eq_fail("padding must be at least 0, got %s", eq_shape_str(n, v));
    }
    return EQ_OK;
  }
  if (n == SAME)
    for (int d = 0; d < 2; d++) {
      int64_t all = (kernel[d] - 1) * w->dilation[d];
      if (w->stride[d] != 1)
        return eq_fail("padding \"same\" keeps sizes with stride 1 only, the stride is %" PRId64,
                       w->stride[d]);
      w->before[d] = all / 2;
      w->after[d] = all - all / 2;
    }
  if (n == VALID) memset(w->before, 0, sizeof w->before), memset(w->after, 0, sizeof w->after);
  if (n < 0) return EQ_OK;
  if (n != 1 && n != dims)
    return eq_fail(dims == 1 ? "padding must be one number, two {before, after}, \"same\" or "
                               "\"valid\"; got %d numbers"
                             : "padding must be one number, two {height, width}, four {top, left, "
                               "bottom, right}, \"same\" or \"valid\"; got %d numbers",
                   n);
  if (read_each(c, slot, "padding", dims, 0, w->before)) return EQ_ERR;
  memcpy(w->after, w->before, sizeof w->after);
  return EQ_OK;
}

/* stride, padding, dilation, groups stand in the slots from `slot` on. */
static int read_window(const eq_call *c, int slot, int dims, const int64_t *kernel, window *w) {
  if (read_each(c, slot, "stride", dims, 1, w->stride) ||
      read_each(c, slot + 2, "dilation", dims, 1, w->dilation) ||
      read_padding(c, slot + 1, dims, kernel, w))
    return EQ_ERR;
  w->groups = c->arg[slot + 3].i;
  if (w->groups < 1) return eq_fail("groups must be at least 1, got %" PRId64, w->groups);
  return EQ_OK;
}

/* ---- checks ---- */
static int check_filters(const eq_tensor *w, bool turned) {
  if (w->ndim != 4)
    return eq_fail("w must be %s channels x %s channels / groups x height x width, it is %s",
                   turned ? "in" : "out", turned ? "out" : "in", eq_shape_of(w));
  if (w->shape[2] < 1 || w->shape[3] < 1)
    return eq_fail("w is %s, a kernel without elements", eq_shape_of(w));
  return EQ_OK;
}

static int check_channels(const eq_tensor *x, const eq_tensor *w, const eq_tensor *b,
                          int64_t groups) {
  int64_t ci = x->shape[1], co = w->shape[0], fits[EQ_MAXDIM];
  memcpy(fits, w->shape, sizeof fits);
  fits[1] = ci / groups;
  if (co % groups)
    return eq_fail("groups is %" PRId64 ", which does not divide the %" PRId64
                   " channels that w makes",
                   groups, co);
  if (ci != w->shape[1] * groups)
    return eq_fail("x is %s with %" PRId64 " channels, w is %s and reads %" PRId64
                   " in each of %" PRId64 " group%s; w needs %s",
                   eq_shape_of(x), ci, eq_shape_of(w), w->shape[1], groups, groups == 1 ? "" : "s",
                   ci % groups ? "another number of groups" : eq_shape_str(w->ndim, fits));
  if (b && (b->ndim != 1 || b->shape[0] != co))
    return eq_fail("b is %s, w makes %" PRId64 " channels; b needs %" PRId64 " element%s",
                   b->ndim ? eq_shape_of(b) : "a single number", co, co, co == 1 ? "" : "s");
  return EQ_OK;
}

/* Sizes of the result; x and w end with the same number of sizes behind their channels. */
static int result_size(const eq_tensor *x, const eq_tensor *w, const window *p, int64_t *size) {
  for (int d = 0; d < 2; d++) {
    int k = x->ndim - 2 + d; /* a sequence is an image of one row */
    int64_t have = k < 2 ? 1 : x->shape[k], all = have + p->before[d] + p->after[d];
    int64_t covers = ((k < 2 ? 1 : w->shape[k]) - 1) * p->dilation[d] + 1;
    if (all < covers)
      return eq_fail("the kernel covers %" PRId64 " %s, x has %" PRId64 " and the padding %" PRId64
                     "; padding = %" PRId64 " would do",
                     covers,
                     x->ndim == 3 ? "places"
                     : d          ? "columns"
                                  : "rows",
                     have, p->before[d] + p->after[d], (covers - have + 1) / 2);
    size[d] = (all - covers) / p->stride[d] + 1;
  }
  return EQ_OK;
}

/* ---- running ---- */
static void set_sizes(eq_conv *g, const eq_tensor *x, const eq_tensor *w, const eq_tensor *y,
                      const window *p) {
  *g = (eq_conv){.dtype = w->dtype, .batch = x->shape[0], .groups = p->groups};
  g->ci = x->shape[1], g->h = x->shape[2], g->w = x->shape[3];
  g->co = y->shape[1], g->oh = y->shape[2], g->ow = y->shape[3];
  g->kh = w->shape[2], g->kw = w->shape[3];
  g->sh = p->stride[0], g->sw = p->stride[1];
  g->dh = p->dilation[0], g->dw = p->dilation[1];
  g->top = p->before[0], g->left = p->before[1];
  g->bottom = p->after[0], g->right = p->after[1];
}

/* Strides of dims of size 1 say nothing; here they are what a dense image's would be. */
static eq_pixels pixels_of(const eq_tensor *x) {
  eq_pixels p = {.data = x->data};
  p.pixel = x->shape[3] > 1 ? x->stride[3] : x->shape[1];
  p.row = x->shape[2] > 1 ? x->stride[2] : x->shape[3] * p.pixel;
  p.image = x->shape[0] > 1 ? x->stride[0] : x->shape[2] * p.row;
  return p;
}

/* x itself, retained, if its channels lie side by side and its pixels apart, else a copy. */
static eq_tensor *as_pixels(eq_tensor *x) {
  bool beside = x->shape[1] == 1 || x->stride[1] == 1;
  bool apart = x->shape[3] == 1 || x->stride[3] >= x->shape[1];
  return beside && apart ? eq_retain(x) : eq_channels_last(x);
}

static void zero(eq_tensor *x) { memset(x->data, 0, (size_t)x->numel * eq_size(x->dtype)); }

/* The sum over nothing: 0, or the bias. */
static int without_terms(eq_pass pass, eq_tensor *result, const eq_tensor *bias) {
  zero(result);
  if (pass != EQ_CONV_FORWARD || !bias || !result->numel) return EQ_OK;
  eq_tensor *b =
      eq_view(bias, 3, (int64_t[3]){bias->shape[0], 1, 1}, (int64_t[3]){bias->stride[0], 0, 0}, 0);
  int bad = b ? eq_copy(result, b) : (int)eq_error.status;
  eq_release(b);
  return bad;
}

/* One pass over x, w and y, of which the pass writes one. */
static int run_pass(eq_pass pass, eq_tensor *x, eq_tensor *w, eq_tensor *bias, eq_tensor *y,
                    const window *p) {
  eq_conv g;
  eq_tensor *result = pass == EQ_CONV_FORWARD ? y : pass == EQ_CONV_GRAD_INPUT ? x : w;
  if (!x->numel || !w->numel || !y->numel) return without_terms(pass, result, bias);
  eq_tensor *from = pass == EQ_CONV_GRAD_INPUT ? eq_retain(x) : as_pixels(x);
  eq_tensor *to = pass == EQ_CONV_FORWARD ? eq_retain(y) : eq_channels_last(y);
  eq_tensor *b = bias ? eq_contiguous(bias) : NULL;
  int bad = !from || !to || (bias && !b) ? (int)eq_error.status : EQ_OK;
  if (!bad) {
    set_sizes(&g, x, w, y, p);
    g.x = pixels_of(from);
    g.y = pixels_of(to);
    g.weight = w;
    g.bias = b ? b->data : NULL;
    bad = eq_conv_run(&g, pass);
  }
  eq_release(from);
  eq_release(to);
  eq_release(b);
  return bad;
}

/* ---- conv2d ---- */
static int conv2d_window(const eq_call *c, window *p) {
  const eq_tensor *x = c->in[0], *w = c->in[1];
  if (check_image(x, "x") || check_filters(w, false) || read_window(c, 0, 2, w->shape + 2, p))
    return EQ_ERR;
  return check_channels(x, w, c->in[2], p->groups);
}

static int conv2d_shape(eq_call *c) {
  const eq_tensor *x = c->in[0], *w = c->in[1];
  window p;
  int64_t size[2];
  if (conv2d_window(c, &p) || result_size(x, w, &p, size)) return EQ_ERR;
  return eq_out_channels_last(c, 0, x->dtype, 4,
                              (int64_t[4]){x->shape[0], w->shape[0], size[0], size[1]});
}

static int conv2d_run(eq_call *c) {
  window p;
  if (conv2d_window(c, &p)) return EQ_ERR;
  return run_pass(EQ_CONV_FORWARD, c->in[0], c->in[1], c->in[2], c->out[0], &p);
}

/* ---- conv2d_fused: x, w, b, packed, add -> y, packed ---- */
static int fused_checks(const eq_call *c, const int64_t *shape) {
  const eq_tensor *add = c->in[4];
  for (int i = 0; i < c->nin; i++)
    if (eq_grad_enabled && c->in[i] && c->in[i]->node)
      return eq_fail("it has no gradient; use conv2d, or equi.no_grad");
  if (add && (add->ndim != 4 || memcmp(add->shape, shape, 4 * sizeof *shape)))
    return eq_fail("add is %s, the result is %s", eq_shape_of(add), eq_shape_str(4, shape));
  return EQ_OK;
}

static int run_fused(eq_call *c, const window *p, eq_tensor *y) {
  eq_conv g;
  eq_tensor *x = as_pixels(c->in[0]), *b = c->in[2] ? eq_contiguous(c->in[2]) : NULL;
  eq_tensor *add = c->in[4] ? eq_channels_last(c->in[4]) : NULL;
  int bad = !x || (c->in[2] && !b) || (c->in[4] && !add) ? (int)eq_error.status : EQ_OK;
  if (!bad && (!x->numel || !y->numel)) {
    bad = without_terms(EQ_CONV_FORWARD, y, b);
    if (!bad) bad = eq_conv_finish(y, add, c->arg[4].i);
  } else if (!bad) {
    set_sizes(&g, x, c->in[1], y, p);
    g.x = pixels_of(x), g.y = pixels_of(y);
    g.weight = c->in[1], g.bias = b ? b->data : NULL;
    bad = eq_conv_fused(&g, &c->out[1], y, add, c->arg[4].i);
  }
  eq_release(x);
  eq_release(b);
  eq_release(add);
  return bad;
}

static int conv2d_fused(eq_call *c) {
  const eq_tensor *x = c->in[0], *w = c->in[1];
  window p;
  int64_t size[2];
  if (conv2d_window(c, &p) || result_size(x, w, &p, size)) return EQ_ERR;
  int64_t shape[4] = {x->shape[0], w->shape[0], size[0], size[1]}, none = 0;
  if (fused_checks(c, shape)) return EQ_ERR;
  c->nout = 2;
  c->out[0] = eq_empty_channels_last(x->dtype, 4, shape);
  c->out[1] = eq_retain(c->in[3]);
  int bad = c->out[0] ? run_fused(c, &p, c->out[0]) : (int)eq_error.status;
  if (!bad && !c->out[1]) c->out[1] = eq_empty(x->dtype, 1, &none);
  return bad;
}

/* gx from gy and w; size: height and width of x. */
static eq_tensor *grad_input(eq_tensor *gy, eq_tensor *w, const int64_t *size, const window *p) {
  int64_t pad[4] = {p->before[0], p->before[1], p->after[0], p->after[1]};
  return eq_f("conv2d_grad_input", "ttlllli", gy, w, 2, size, 2, p->stride, 4, pad, 2, p->dilation,
              p->groups);
}

/* gw from gy and x; size: of the kernel. */
static eq_tensor *grad_weight(eq_tensor *gy, eq_tensor *x, const int64_t *size, const window *p) {
  int64_t pad[4] = {p->before[0], p->before[1], p->after[0], p->after[1]};
  return eq_f("conv2d_grad_weight", "ttlllli", gy, x, 2, size, 2, p->stride, 4, pad, 2, p->dilation,
              p->groups);
}

static eq_tensor *convolve(eq_tensor *x, eq_tensor *w, eq_tensor *b, const window *p) {
  int64_t pad[4] = {p->before[0], p->before[1], p->after[0], p->after[1]};
  return eq_f("conv2d_padded", "tttllli", x, w, b, 2, p->stride, 4, pad, 2, p->dilation, p->groups);
}

static int conv2d_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  static const int64_t all_but_channels[3] = {0, 2, 3};
  eq_tensor *x = c->in[0], *w = c->in[1];
  window p;
  if (conv2d_window(c, &p)) return EQ_ERR;
  if (eq_needed(c, 0)) gx[0] = grad_input(gy[0], w, x->shape + 2, &p);
  if (eq_needed(c, 1)) gx[1] = grad_weight(gy[0], x, w->shape + 2, &p);
  if (c->in[2] && eq_needed(c, 2)) gx[2] = eq_f("sum", "tl", gy[0], 3, all_but_channels);
  return eq_error.status;
}

/* ---- the two gradients ---- */
static int grad_input_window(const eq_call *c, window *p) {
  return read_window(c, 1, 2, c->in[1]->shape + 2, p);
}

static int grad_input_shape(eq_call *c) {
  const eq_tensor *w = c->in[1];
  int n;
  const int64_t *size = eq_list(c, 0, &n);
  int64_t shape[4] = {c->in[0]->shape[0], w->shape[1] * c->arg[4].i, size[0], size[1]};
  return eq_out_channels_last(c, 0, w->dtype, 4, shape);
}

static int grad_input_run(eq_call *c) {
  window p;
  if (grad_input_window(c, &p)) return EQ_ERR;
  return run_pass(EQ_CONV_GRAD_INPUT, c->out[0], c->in[1], NULL, c->in[0], &p);
}

static int grad_input_back(eq_call *c, eq_tensor **h, eq_tensor **gx) {
  window p;
  if (grad_input_window(c, &p)) return EQ_ERR;
  if (eq_needed(c, 0)) gx[0] = convolve(h[0], c->in[1], NULL, &p);
  if (eq_needed(c, 1)) gx[1] = grad_weight(c->in[0], h[0], c->in[1]->shape + 2, &p);
  return eq_error.status;
}

static int grad_weight_window(const eq_call *c, window *p) {
  int n;
  return read_window(c, 1, 2, eq_list(c, 0, &n), p);
}

static int grad_weight_shape(eq_call *c) {
  const eq_tensor *g = c->in[0], *x = c->in[1];
  int n;
  const int64_t *size = eq_list(c, 0, &n);
  int64_t shape[4] = {g->shape[1], x->shape[1] / c->arg[4].i, size[0], size[1]};
  return eq_out(c, 0, x->dtype, 4, shape);
}

static int grad_weight_run(eq_call *c) {
  window p;
  if (grad_weight_window(c, &p)) return EQ_ERR;
  return run_pass(EQ_CONV_GRAD_WEIGHT, c->in[1], c->out[0], NULL, c->in[0], &p);
}

static int grad_weight_back(eq_call *c, eq_tensor **h, eq_tensor **gx) {
  window p;
  if (grad_weight_window(c, &p)) return EQ_ERR;
  if (eq_needed(c, 0)) gx[0] = convolve(c->in[1], h[0], NULL, &p);
  if (eq_needed(c, 1)) gx[1] = grad_input(c->in[0], h[0], c->in[1]->shape + 2, &p);
  return eq_error.status;
}

/* ---- conv1d: images of one row ---- */
static eq_tensor *one_row(eq_tensor *x) {
  return eq_f("reshape", "tl", x, 4, (int64_t[4]){x->shape[0], x->shape[1], 1, x->shape[2]});
}

static int conv1d(eq_call *c) {
  eq_tensor *x = c->in[0], *w = c->in[1];
  window p;
  int64_t kernel[2] = {1, w->ndim == 3 ? w->shape[2] : 1}, size[2];
  if (x->ndim != 3)
    return eq_fail("x must be batch x channels x length, it is %s%s", eq_shape_of(x),
                   x->ndim == 2 ? "; :unsqueeze(1) makes it a batch of one" : "");
  if (w->ndim != 3)
    return eq_fail("w must be out channels x in channels / groups x length, it is %s",
                   eq_shape_of(w));
  if (w->shape[2] < 1) return eq_fail("w is %s, a kernel without elements", eq_shape_of(w));
  if (read_window(c, 0, 1, kernel, &p) || check_channels(x, w, c->in[2], p.groups) ||
      result_size(x, w, &p, size))
    return EQ_ERR;
  eq_tensor *rows = one_row(x), *filters = rows ? one_row(w) : NULL;
  eq_tensor *y = filters ? convolve(rows, filters, c->in[2], &p) : NULL;
  eq_release(rows);
  eq_release(filters);
  return give(c, eq_f("reshape", "Tl", y, 3, (int64_t[3]){x->shape[0], w->shape[0], size[1]}));
}

/* ---- conv_transpose2d ---- */
static int check_transposed(const eq_call *c, const window *p, const int64_t *extra) {
  const eq_tensor *x = c->in[0], *w = c->in[1], *b = c->in[2];
  if (w->shape[0] != x->shape[1])
    return eq_fail("x is %s with %" PRId64 " channels, w is %s and reads %" PRId64, eq_shape_of(x),
                   x->shape[1], eq_shape_of(w), w->shape[0]);
  if (x->shape[1] % p->groups)
    return eq_fail("groups is %" PRId64 ", which does not divide the %" PRId64 " channels of x",
                   p->groups, x->shape[1]);
  int64_t co = w->shape[1] * p->groups;
  if (b && (b->ndim != 1 || b->shape[0] != co))
    return eq_fail("b is %s, w makes %" PRId64 " channels; b needs %" PRId64 " element%s",
                   b->ndim ? eq_shape_of(b) : "a single number", co, co, co == 1 ? "" : "s");
  for (int d = 0; d < 2; d++)
    if (extra[d] >= p->stride[d] && extra[d] >= p->dilation[d])
      return eq_fail("output_padding must be smaller than stride or dilation, got %" PRId64
                     " with stride %" PRId64 " and dilation %" PRId64,
                     extra[d], p->stride[d], p->dilation[d]);
  return EQ_OK;
}

/* The gradient of the convolution that makes x's size of y's: what output_padding adds behind is
 * taken off the padding there, so that no other size fits. */
static int conv_transpose2d(eq_call *c) {
  eq_tensor *x = c->in[0], *w = c->in[1], *b = c->in[2];
  window p;
  int64_t extra[2], size[2];
  if (check_image(x, "x") || check_filters(w, true) || read_each(c, 0, "stride", 2, 1, p.stride) ||
      read_each(c, 1, "padding", 2, 0, p.before) ||
      read_each(c, 2, "output_padding", 2, 0, extra) ||
      read_each(c, 3, "dilation", 2, 1, p.dilation))
    return EQ_ERR;
  p.groups = c->arg[4].i;
  if (p.groups < 1) return eq_fail("groups must be at least 1, got %" PRId64, p.groups);
  if (check_transposed(c, &p, extra)) return EQ_ERR;
  for (int d = 0; d < 2; d++) {
    int64_t n = x->shape[2 + d];
    p.after[d] = p.before[d] - extra[d];
    size[d] = (n - 1) * p.stride[d] + (w->shape[2 + d] - 1) * p.dilation[d] + 1 - p.before[d] -
              p.after[d];
    if (n < 1 || size[d] < 1)
      return eq_fail("x is %s, of which %" PRId64 " %s would be left; less padding, or a larger x",
                     eq_shape_of(x), size[d], d ? "columns" : "rows");
  }
  eq_tensor *y = grad_input(x, w, size, &p);
  if (!b) return give(c, y);
  return give(
      c, eq_f("add", "TT", y, eq_f("reshape", "tl", b, 4, (int64_t[4]){1, b->shape[0], 1, 1})));
}

#define WINDOW "stride:ints=1, padding:ints|same|valid=0, dilation:ints=1, groups:int=1"
#define INNER "stride:ints, padding:ints, dilation:ints, groups:int"
#define PADDING_DOC                                                                                \
  "padding adds zeros: one number, or {height, width}, or {top, left, bottom, right}; \"same\" "   \
  "keeps the\nsizes (stride 1; of an odd number of zeros the larger half goes behind), \"valid\" " \
  "adds none."
const eq_op ops_conv[] = {
    {.name = "conv2d",
     .sig = "x:float, w:float, b:float?, " WINDOW " -> y",
     .doc =
         "Convolution of images: x is B x C x H x W, w is out x C / groups x KH x KW, b is out, "
         "the result\n"
         "B x out x H' x W' with H' = floor((H + padding - dilation (KH - 1) - 1) / stride) + 1, "
         "channels-last.\nstride and dilation are one number, or {height, width}. Nothing is "
         "turned around: y = sum of w x.\n" PADDING_DOC
         "\nWith groups = n the channels are n networks side by side; groups = C is depthwise.",
     .example = "local x, w = equi.ones(1, 3, 8, 8), equi.ones(4, 3, 3, 3)\n"
                "print(equi.conv2d(x, w, nil, {stride = 2, padding = 1}):size())  --> 1 4 4 4\n"
                "print(equi.conv2d(x, w)[1][1][1][1]:item())  --> 27.0",
     .shape = conv2d_shape,
     .run = conv2d_run,
     .back = conv2d_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_IN1,
     .where = EQ_HERE},
    {.name = "conv2d_fused",
     .sig = "x:float, w:float, b:float?, packed:float?, add:float?, " WINDOW
            ", relu:bool=false -> y, packed",
     .doc = "relu(conv2d(x, w, b) + add) without a gradient, for models whose weights do not "
            "change. The\nsecond result is w in the order that the fast paths read; given back as "
            "`packed` it saves that work,\nand equi.fuse does so.",
     .example = "local x, w = equi.ones(1, 8, 6, 6), -equi.ones(8, 8, 3, 3)\n"
                "local y, packed = equi.conv2d_fused(x, w, {relu = true})\n"
                "y = equi.conv2d_fused(x, w, nil, packed, {add = y + 100})\n"
                "print(y:size())  --> 1 8 4 4\nprint(y:max():item())  --> 28.0",
     .compose = conv2d_fused,
     .flags = EQ_NO_GRAD | EQ_FUNCTION,
     .where = EQ_HERE},
    {.name = "conv2d_padded",
     .sig = "x:float, w:float, b:float?, " INNER " -> y",
     .doc = "conv2d with four paddings, which may be negative.",
     .shape = conv2d_shape,
     .run = conv2d_run,
     .back = conv2d_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_IN1 | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "conv2d_grad_input",
     .sig = "g:float, w:float, sizes:ints, " INNER " -> gx",
     .doc = "The gradient of conv2d for x, whose height and width are given.",
     .shape = grad_input_shape,
     .run = grad_input_run,
     .back = grad_input_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_IN1 | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "conv2d_grad_weight",
     .sig = "g:float, x:float, sizes:ints, " INNER " -> gw",
     .doc = "The gradient of conv2d for w, whose height and width are given.",
     .shape = grad_weight_shape,
     .run = grad_weight_run,
     .back = grad_weight_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN0 | EQ_SAVE_IN1 | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "conv1d",
     .sig = "x:float, w:float, b:float?, " WINDOW " -> y",
     .doc = "Convolution of sequences: x is B x C x T, w is out x C / groups x K, b is out, the "
            "result B x out x T'.\n"
            "As conv2d along one dim; padding may also be {before, after}.",
     .example =
         "local y = equi.conv1d(equi.ones(1, 2, 5), equi.ones(3, 2, 3), nil, {padding = 1})\n"
         "print(y:size())  --> 1 3 5\nprint(y[1][1][1]:item())  --> 4.0",
     .compose = conv1d,
     .where = EQ_HERE},
    {.name = "conv_transpose2d",
     .sig = "x:float, w:float, b:float?, stride:ints=1, padding:ints=0, output_padding:ints=0, "
            "dilation:ints=1, groups:int=1 -> y",
     .doc =
         "The transpose of conv2d, which makes images larger: x is B x C x H x W, w is C x out / "
         "groups x KH x KW,\nb is out, the result B x out x H' x W' with\n"
         "H' = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1, "
         "channels-last.\n"
         "Numbers are for both dims, or {height, width}. Each pixel of x adds w times itself to "
         "the\nresult. As a matrix it is conv2d's transposed, not its inverse.",
     .example = "local x, w = equi.ones(1, 2, 4, 4), equi.ones(2, 3, 2, 2)\n"
                "print(equi.conv_transpose2d(x, w, nil, {stride = 2}):size())  --> 1 3 8 8",
     .compose = conv_transpose2d,
     .where = EQ_HERE},
    {0}};
