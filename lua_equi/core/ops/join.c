/* join.c -- larger tensors from smaller ones, and the same elements in another order: cat, stack,
 * pad, tile, flip, roll, rot90. */
#include "../taps.h"
#include <inttypes.h>
#include <string.h>

static int give(eq_call *c, eq_tensor *y) {
  c->out[0] = y;
  c->nout = 1;
  return y ? EQ_OK : eq_error.status;
}

/* ---- cat, stack ---- */
/* Copies x into the part of y that begins at `at` of dim d. */
static int put_part(eq_tensor *y, const eq_tensor *x, int64_t d, int64_t at, bool new_dim) {
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM];
  int n = 0;
  for (int k = 0; k < y->ndim; k++) {
    if (k == d && new_dim) continue;
    shape[n] = k == d ? x->shape[k] : y->shape[k];
    stride[n++] = y->stride[k];
  }
  if (x->numel == 0) return EQ_OK;
  eq_tensor *part = eq_view(y, n, shape, stride, at * y->stride[d]);
  int bad = part ? eq_copy(part, x) : EQ_NOMEM;
  eq_release(part);
  return bad;
}

static int join_shape(eq_call *c, bool new_dim) {
  if (c->nin == 0) return eq_fail("the list of tensors is empty");
  const eq_tensor *x = c->in[0];
  int64_t shape[EQ_MAXDIM + 1], d = c->arg[0].i, total = 0;
  if (x->ndim == 0 && !new_dim)
    return eq_fail("single numbers have no dim to join along; use stack");
  for (int i = 0; i < c->nin; i++) {
    const eq_tensor *z = c->in[i];
    bool same = z->ndim == x->ndim;
    for (int k = 0; same && k < x->ndim; k++)
      same = z->shape[k] == x->shape[k] || (k == d && !new_dim);
    if (!same && new_dim)
      return eq_fail("tensor %d is %s, the first is %s; all must have one shape", i + 1,
                     eq_shape_of(z), eq_shape_of(x));
    if (!same)
      return eq_fail("tensor %d is %s, the first is %s; sizes may differ in dim %" PRId64 " only",
                     i + 1, eq_shape_of(z), eq_shape_of(x), d + 1);
    total += new_dim ? 1 : z->shape[d];
  }
  for (int k = 0; k < x->ndim + new_dim; k++)
    shape[k] = k == d ? total : x->shape[new_dim && k > d ? k - 1 : k];
  if (!new_dim) return eq_out_in_order(c, 0, x->dtype, shape, x); /* channels-last stays so */
  return eq_out(c, 0, x->dtype, x->ndim + 1, shape);
}

static int cat_shape(eq_call *c) { return join_shape(c, false); }
static int stack_shape(eq_call *c) { return join_shape(c, true); }

static int cat_run(eq_call *c) {
  int64_t d = c->arg[0].i, at = 0;
  for (int i = 0; i < c->nin; at += c->in[i++]->shape[d]) {
    int bad = put_part(c->out[0], c->in[i], d, at, false);
    if (bad) return bad;
  }
  return EQ_OK;
}

static int stack_run(eq_call *c) {
  for (int i = 0; i < c->nin; i++) {
    int bad = put_part(c->out[0], c->in[i], c->arg[0].i, i, true);
    if (bad) return bad;
  }
  return EQ_OK;
}

static int cat_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  int64_t d = c->arg[0].i, at = 0;
  for (int i = 0; i < c->nin; at += c->in[i++]->shape[d]) {
    if (!eq_needed(c, i)) continue;
    gx[i] = eq_f("slice", "tiiii", gy[0], d, at, at + c->in[i]->shape[d], (int64_t)1);
    if (!gx[i]) return eq_error.status;
  }
  return EQ_OK;
}

static int stack_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  for (int i = 0; i < c->nin; i++)
    if (eq_needed(c, i) && !(gx[i] = eq_f("select", "tii", gy[0], c->arg[0].i, (int64_t)i)))
      return eq_error.status;
  return EQ_OK;
}

/* ---- pad ---- */
/* Pads of every dim from the pairs, which begin with the last dim. */
static int read_pads(const eq_call *c, int64_t *before, int64_t *after) {
  const eq_tensor *x = c->in[0];
  int n;
  const int64_t *pad = eq_list(c, 0, &n);
  if (n % 2 || n > 2 * x->ndim)
    return eq_fail(
        "pads must be pairs (before, after) for at most %d dims, the last dim first; got %d "
        "numbers",
        x->ndim, n);
  for (int d = 0; d < x->ndim; d++) {
    int at = 2 * (x->ndim - 1 - d);
    before[d] = at < n ? pad[at] : 0;
    after[d] = at < n ? pad[at + 1] : 0;
    if (before[d] > INT32_MAX || after[d] > INT32_MAX)
      return eq_fail("pads %" PRId64 " and %" PRId64 " of dim %d are too large", before[d],
                     after[d], d + 1);
    if (before[d] < -x->shape[d] || after[d] < -x->shape[d] ||
        x->shape[d] + before[d] + after[d] < 0)
      return eq_fail("dim %d has size %" PRId64 " and pads %" PRId64 " and %" PRId64
                     " leave less than nothing",
                     d + 1, x->shape[d], before[d], after[d]);
  }
  return EQ_OK;
}

static int pad_constant_shape(eq_call *c) {
  int64_t before[EQ_MAXDIM], after[EQ_MAXDIM], shape[EQ_MAXDIM];
  if (read_pads(c, before, after)) return EQ_ERR;
  for (int d = 0; d < c->in[0]->ndim; d++) shape[d] = c->in[0]->shape[d] + before[d] + after[d];
  if (eq_is_channels_last(c->in[0]) && !eq_is_contiguous(c->in[0]))
    return eq_out_channels_last(c, 0, c->in[0]->dtype, 4, shape);
  return eq_out(c, 0, c->in[0]->dtype, c->in[0]->ndim, shape);
}

/* Negative pads cut, so that the rule is pad with the signs changed. */
static int pad_constant_run(eq_call *c) {
  const eq_tensor *x = c->in[0];
  eq_tensor *y = c->out[0];
  int64_t before[EQ_MAXDIM], after[EQ_MAXDIM], shape[EQ_MAXDIM], from = 0, to = 0;
  if (read_pads(c, before, after)) return EQ_ERR;
  eq_tensor *v = eq_scalar(y->dtype, c->arg[1].f);
  int bad = v ? eq_copy(y, v) : EQ_NOMEM;
  eq_release(v);
  for (int d = 0; d < x->ndim; d++) {
    int64_t skip = before[d] < 0 ? -before[d] : 0;
    from += skip * x->stride[d];
    to += (before[d] > 0 ? before[d] : 0) * y->stride[d];
    shape[d] = x->shape[d] - skip + (after[d] < 0 ? after[d] : 0);
    if (shape[d] <= 0) return bad;
  }
  eq_tensor *a = bad ? NULL : eq_view(x, x->ndim, shape, x->stride, from);
  eq_tensor *b = a ? eq_view(y, y->ndim, shape, y->stride, to) : NULL;
  if (!bad) bad = b ? eq_copy(b, a) : EQ_NOMEM;
  eq_release(a);
  eq_release(b);
  return bad;
}

static int pad_constant_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  int n;
  const int64_t *pad = eq_list(c, 0, &n);
  int64_t minus[EQ_MAXLIST];
  for (int i = 0; i < n; i++) minus[i] = -pad[i];
  gx[0] = eq_f("pad_constant", "tln", gy[0], n, minus, 0.0);
  return eq_error.status;
}

static int check_border(int mode, int d, int64_t n, int64_t before, int64_t after) {
  int64_t most = before > after ? before : after;
  if (mode == EQ_REFLECT && most > 0 && most >= n)
    return eq_fail("reflect needs pads smaller than the dim: dim %d has size %" PRId64
                   ", the pad is %" PRId64,
                   d + 1, n, most);
  if (mode == EQ_CIRCULAR && most > n)
    return eq_fail("circular goes around once: dim %d has size %" PRId64 ", the pad is %" PRId64,
                   d + 1, n, most);
  return n ? EQ_OK : eq_fail("dim %d has size 0 and nothing to repeat", d + 1);
}

/* Images with borders at their sides only: in one go, channels-last. */
static bool is_pixel_pad(const eq_tensor *x, const int64_t *before, const int64_t *after) {
  return x->ndim == 4 && eq_is_float(x->dtype) && x->numel && !before[0] && !after[0] &&
         !before[1] && !after[1];
}

static int pixel_pad(eq_call *c, int mode, const int64_t *before, const int64_t *after) {
  const eq_tensor *x = c->in[0];
  int64_t axis[2][5];
  for (int d = 2; d < 4; d++) {
    int64_t *a = axis[d - 2];
    if ((before[d] || after[d]) && check_border(mode, d, x->shape[d], before[d], after[d]))
      return EQ_ERR;
    a[0] = EQ_BORDER, a[1] = x->shape[d], a[2] = x->shape[d] + before[d] + after[d];
    a[3] = mode, a[4] = before[d];
  }
  return give(c, eq_f("resample", "tllnnb", x, 5, axis[0], 5, axis[1], 0.0, 0.0, 0));
}

static int pad(eq_call *c) {
  int64_t before[EQ_MAXDIM], after[EQ_MAXDIM];
  int n, mode = (int)c->arg[1].i;
  const int64_t *pads = eq_list(c, 0, &n);
  if (read_pads(c, before, after)) return EQ_ERR;
  if (mode == EQ_CONSTANT)
    return give(c, eq_f("pad_constant", "tln", c->in[0], n, pads, c->arg[2].f));
  if (is_pixel_pad(c->in[0], before, after)) return pixel_pad(c, mode, before, after);
  eq_tensor *y = eq_f("clone", "t", c->in[0]);
  for (int d = 0; y && d < c->in[0]->ndim; d++) {
    int64_t size = c->in[0]->shape[d], total = size + before[d] + after[d];
    if (!before[d] && !after[d]) continue;
    eq_tensor *ids =
        check_border(mode, d, size, before[d], after[d]) ? NULL : eq_empty(EQ_I64, 1, &total);
    for (int64_t i = 0; ids && i < total; i++)
      ((int64_t *)(void *)ids->data)[i] = eq_border(mode, i - before[d], size) + EQ_BASE;
    eq_tensor *next = ids ? eq_f("index_select", "tiT", y, (int64_t)d, ids) : NULL;
    eq_release(y);
    y = next;
  }
  return give(c, y);
}

/* ---- flip, roll, rot90 ---- */
static int flip_shape(eq_call *c) {
  int n;
  const int64_t *dim = eq_list(c, 0, &n);
  for (int i = 0; i < n; i++)
    for (int j = 0; j < i; j++)
      if (dim[i] == dim[j]) return eq_fail("dim %" PRId64 " is named twice", dim[i] + 1);
  return eq_out(c, 0, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->shape);
}

static int flip_run(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int n;
  const int64_t *dim = eq_list(c, 0, &n);
  int64_t stride[EQ_MAXDIM], from = 0;
  if (x->numel == 0) return EQ_OK;
  memcpy(stride, x->stride, sizeof stride);
  for (int i = 0; i < n; i++) {
    if (x->ndim == 0 || stride[dim[i]] < 0) continue;
    from += (x->shape[dim[i]] - 1) * stride[dim[i]];
    stride[dim[i]] = -stride[dim[i]];
  }
  eq_tensor *back = eq_view(x, x->ndim, x->shape, stride, from);
  int bad = back ? eq_copy(c->out[0], back) : EQ_NOMEM;
  eq_release(back);
  return bad;
}

static int flip_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  int n;
  const int64_t *dim = eq_list(c, 0, &n);
  gx[0] = eq_f("flip", "tl", gy[0], n, dim);
  return eq_error.status;
}

static eq_tensor *roll_one(eq_tensor *x, int64_t shift, int64_t d) {
  int64_t n = x->shape[d], s = n ? ((shift % n) + n) % n : 0;
  if (s == 0) return eq_f("clone", "t", x);
  eq_tensor *tail = eq_f("slice", "tiiii", x, d, n - s, n, (int64_t)1);
  eq_tensor *head = eq_f("slice", "tiiii", x, d, (int64_t)0, n - s, (int64_t)1);
  return eq_f("cat", "TTi", tail, head, d);
}

static int roll(eq_call *c) {
  eq_tensor *x = c->in[0];
  int ns, nd = 0;
  const int64_t *shift = eq_list(c, 0, &ns), *dim = eq_given(c, 1) ? eq_list(c, 1, &nd) : NULL;
  if (dim ? ns != nd : ns != 1)
    return eq_fail(
        "needs one shift for each dim, or one shift and no dim; got %d shifts and %d dims", ns, nd);
  if (!dim || x->ndim == 0) {
    eq_tensor *flat = eq_f("reshape", "tl", x, 1, &(int64_t){x->numel});
    eq_tensor *y = flat ? roll_one(flat, shift[0], 0) : NULL;
    eq_release(flat);
    return give(c, eq_f("reshape", "Tl", y, x->ndim, x->shape));
  }
  eq_tensor *y = eq_f("clone", "t", x);
  for (int i = 0; y && i < nd; i++) {
    eq_tensor *next = roll_one(y, shift[i], dim[i]);
    eq_release(y);
    y = next;
  }
  return give(c, y);
}

static int rot90(eq_call *c) {
  eq_tensor *x = c->in[0];
  int n = 0;
  int64_t dim[2] = {0, 1}, k = ((c->arg[0].i % 4) + 4) % 4;
  if (x->ndim < 2) return eq_fail("x must have at least 2 dims, it is %s", eq_shape_of(x));
  if (eq_given(c, 1)) {
    const int64_t *d = eq_list(c, 1, &n);
    if (n != 2) return eq_fail("dims must be two, got %d", n);
    if (d[0] == d[1])
      return eq_fail("dims must be two different ones, got %" PRId64 " twice", d[0] + 1);
    dim[0] = d[0], dim[1] = d[1];
  } else {
    dim[0] = x->ndim - 2, dim[1] = x->ndim - 1;
  }
  if (k == 0) return give(c, eq_f("clone", "t", x));
  if (k == 2) return give(c, eq_f("flip", "tl", x, 2, dim));
  return give(c, eq_f("transpose", "Tii", eq_f("flip", "tl", x, 1, k == 1 ? dim + 1 : dim), dim[0],
                      dim[1]));
}

/* ---- tile ---- */
/* Dim by dim: [.., n, ..] -> [.., 1, n, ..] -> [.., times, n, ..] -> [.., times n, ..]. */
static eq_tensor *tile_one(eq_tensor *x, int d, int64_t times) {
  int64_t open[EQ_MAXDIM + 1], wide[EQ_MAXDIM + 1], shape[EQ_MAXDIM];
  for (int k = 0; k <= x->ndim; k++)
    open[k] = wide[k] = k < d ? x->shape[k] : k == d ? 1 : x->shape[k - 1];
  wide[d] = times;
  memcpy(shape, x->shape, sizeof shape);
  shape[d] *= times;
  return eq_f("reshape", "Tl",
              eq_f("expand", "Tl", eq_f("reshape", "tl", x, x->ndim + 1, open), x->ndim + 1, wide),
              x->ndim, shape);
}

static int tile(eq_call *c) {
  eq_tensor *x = c->in[0];
  int n;
  const int64_t *times = eq_list(c, 0, &n);
  int64_t shape[EQ_MAXDIM];
  if (n < x->ndim || n > EQ_MAXDIM)
    return eq_fail("needs a number for each of the %d dims (more add dims in front), got %d",
                   x->ndim, n);
  for (int d = 0; d < n; d++) {
    if (times[d] < 0) return eq_fail("times must not be negative, got %" PRId64, times[d]);
    shape[d] = d < n - x->ndim ? 1 : x->shape[d - (n - x->ndim)];
    if (times[d] > INT32_MAX || shape[d] > INT32_MAX)
      return eq_fail("%" PRId64 " times a dim of size %" PRId64 " is too large", times[d],
                     shape[d]);
  }
  eq_tensor *y = eq_f("clone", "T", eq_f("reshape", "tl", x, n, shape));
  for (int d = n - 1; y && d >= 0; d--) {
    if (times[d] == 1) continue;
    eq_tensor *next = tile_one(y, d, times[d]);
    eq_release(y);
    y = next;
  }
  return give(c, y);
}

const eq_op ops_join[] = {
    {.name = "cat",
     .sig = "xs:tensors, dim:dim=1 -> y",
     .doc = "The tensors of a list behind each other along a dim; all other sizes must agree. "
            "Images\nstay channels-last if the first is.",
     .example = "print(equi.cat({equi.zeros(2, 3), equi.ones(4, 3)}):size())  --> 6 3",
     .shape = cat_shape,
     .run = cat_run,
     .back = cat_back,
     .flags = EQ_ANY_STRIDE,
     .where = EQ_HERE},
    {.name = "stack",
     .sig = "xs:tensors, dim:dim+=1 -> y",
     .doc = "The tensors of a list, all of one shape, side by side along a new dim.",
     .example = "print(equi.stack({equi.zeros(3), equi.ones(3)}, 2):size())  --> 3 2",
     .shape = stack_shape,
     .run = stack_run,
     .back = stack_back,
     .flags = EQ_ANY_STRIDE,
     .where = EQ_HERE},
    {.name = "pad",
     .sig =
         "x:tensor, pads:ints, mode:constant|reflect|replicate|circular=constant, value:num=0 -> y",
     .doc = "x with a border. pads are pairs (before, after) as PyTorch orders them: the LAST "
            "dim's pair "
            "first, then\nthe dim before it, and so on; negative numbers cut. The border is "
            "`value`, or "
            "x mirrored without its edge\n(reflect), its edge (replicate), or its other side "
            "(circular). Images keep their layout.",
     .example = "print(equi.ones(2, 2):pad({1, 0, 0, 2}):size())  --> 4 3",
     .compose = pad,
     .where = EQ_HERE},
    {.name = "pad_constant",
     .sig = "x:tensor, pads:ints, value:num=0 -> y",
     .doc = "pad with one value.",
     .shape = pad_constant_shape,
     .run = pad_constant_run,
     .back = pad_constant_back,
     .flags = EQ_ANY_STRIDE | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "flip",
     .sig = "x:tensor, dims:dims -> y",
     .doc = "x with the order of the given dims reversed.",
     .example = "print(equi.arange(3):flip(1)[1]:item())  --> 3",
     .shape = flip_shape,
     .run = flip_run,
     .back = flip_back,
     .flags = EQ_ANY_STRIDE,
     .where = EQ_HERE},
    {.name = "roll",
     .sig = "x:tensor, shifts:ints, dims:dims=nil -> y",
     .doc = "x moved by `shifts` places along dims; what leaves one end enters at the "
            "other.\nWithout dims "
            "the elements move in row-major order.",
     .example = "print(equi.arange(3):roll({1}, {1})[1]:item())  --> 3",
     .compose = roll,
     .where = EQ_HERE},
    {.name = "rot90",
     .sig = "x:tensor, k:int=1, dims:dims=nil -> y",
     .doc = "x turned k quarter turns from the first of two dims towards the second, by default "
            "the last "
            "two.\nWith rows downwards that is counter-clockwise. k may be negative.",
     .example = "print(equi.tensor({{1, 2}, {3, 4}}):rot90()[1][1]:item())  --> 2.0",
     .compose = rot90,
     .where = EQ_HERE},
    {.name = "tile",
     .sig = "x:tensor, times:ints -> y",
     .doc = "Copies of x side by side, times[d] along dim d; more numbers than dims add dims in "
            "front.\n"
            "PyTorch's `repeat`, which is a reserved word in Lua.",
     .example = "print(equi.ones(2, 3):tile(2, 1):size())  --> 4 3",
     .compose = tile,
     .where = EQ_HERE},
    {0}};
