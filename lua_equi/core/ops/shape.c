/* shape.c -- views: the same numbers seen with another shape. Nothing is copied, except by reshape
 * of a tensor whose strides do not allow a view, and by contiguous. */
#include "../equi.h"
#include <inttypes.h>
#include <string.h>

static int set_view(eq_call *c, int ndim, const int64_t *shape, const int64_t *stride,
                    int64_t offset) {
  c->out[0] = eq_view(c->in[0], ndim, shape, stride, offset);
  c->nout = 1;
  return c->out[0] ? EQ_OK : eq_error.status;
}

static int give(eq_tensor **gx, eq_tensor *g) {
  gx[0] = g;
  return g ? EQ_OK : eq_error.status;
}

/* ---- reshape ---- */
/* The wanted sizes with one -1 filled in. */
static int target_shape(const eq_call *c, int64_t *shape, int *ndim) {
  const eq_tensor *x = c->in[0];
  int n, open = -1;
  const int64_t *want = eq_list(c, 0, &n);
  int64_t known = 1;
  if (n > EQ_MAXDIM) return eq_fail("a tensor has at most %d dimensions, got %d", EQ_MAXDIM, n);
  for (int d = 0; d < n; d++) {
    shape[d] = want[d];
    if (want[d] == -1 && open < 0)
      open = d;
    else if (want[d] < 0)
      return eq_fail("sizes must not be negative, except one -1, got %s", eq_shape_str(n, want));
    else if (want[d] && known > x->numel / want[d])
      known = x->numel + 1;
    else
      known *= want[d];
  }
  if (open >= 0 && known)
    shape[open] = x->numel / known;
  else if (open >= 0)
    return eq_fail("-1 is ambiguous beside a size of 0 in %s", eq_shape_str(n, want));
  if ((open >= 0 ? known * shape[open] : known) != x->numel)
    return eq_fail("%s has %" PRId64 " elements and does not become %s", eq_shape_of(x), x->numel,
                   eq_shape_str(n, want));
  *ndim = n;
  return EQ_OK;
}

static int reshape_shape(eq_call *c) {
  int64_t shape[EQ_MAXDIM];
  int n = 0;
  if (target_shape(c, shape, &n)) return EQ_ERR;
  c->nout = 1;
  c->out[0] = eq_try_reshape(c->in[0], n, shape);
  if (c->out[0] || eq_error.status) return eq_error.status;
  eq_tensor *copy = eq_clone(c->in[0]);
  if (copy) c->out[0] = eq_try_reshape(copy, n, shape);
  eq_release(copy);
  return c->out[0] ? EQ_OK : eq_error.status;
}

static int reshape_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return give(gx, eq_f("reshape", "tl", gy[0], c->in[0]->ndim, c->in[0]->shape));
}

/* ---- permute, transpose ---- */
static int permute_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int n;
  const int64_t *dim = eq_list(c, 0, &n);
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM];
  unsigned seen = 0;
  for (int d = 0; d < n; d++) seen |= 1u << dim[d];
  if (n != x->ndim || seen != (1u << n) - 1)
    return eq_fail("dims must name each of the %d dims once, got %d", x->ndim, n);
  for (int d = 0; d < n; d++) {
    shape[d] = x->shape[dim[d]];
    stride[d] = x->stride[dim[d]];
  }
  return set_view(c, n, shape, stride, 0);
}

static int permute_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  int n;
  const int64_t *dim = eq_list(c, 0, &n);
  int64_t inverse[EQ_MAXDIM];
  for (int d = 0; d < n; d++) inverse[dim[d]] = d;
  return give(gx, eq_f("permute", "tl", gy[0], n, inverse));
}

static int transpose_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM], a = c->arg[0].i, b = c->arg[1].i;
  if (x->ndim < 2) return eq_fail("x must have at least 2 dims, it is %s", eq_shape_of(x));
  memcpy(shape, x->shape, sizeof shape);
  memcpy(stride, x->stride, sizeof stride);
  shape[a] = x->shape[b], shape[b] = x->shape[a];
  stride[a] = x->stride[b], stride[b] = x->stride[a];
  return set_view(c, x->ndim, shape, stride, 0);
}

static int transpose_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return give(gx, eq_f("transpose", "tii", gy[0], c->arg[0].i, c->arg[1].i));
}

/* ---- expand ---- */
static int expand_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int n;
  const int64_t *want = eq_list(c, 0, &n);
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM];
  if (n < x->ndim || n > EQ_MAXDIM)
    return eq_fail("%s needs at least %d sizes, got %d", eq_shape_of(x), x->ndim, n);
  for (int d = 0; d < n; d++) {
    int k = d - (n - x->ndim);
    int64_t have = k < 0 ? 1 : x->shape[k];
    shape[d] = want[d] == -1 ? have : want[d];
    stride[d] = k < 0 || have == 1 ? 0 : x->stride[k];
    if (shape[d] < 0 || (have != shape[d] && have != 1))
      return eq_fail("%s does not expand to %s: only dims of size 1 do", eq_shape_of(x),
                     eq_shape_str(n, want));
  }
  return set_view(c, n, shape, stride, 0);
}

static int expand_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return give(gx, eq_sum_to(gy[0], c->in[0]->ndim, c->in[0]->shape));
}

/* ---- select, slice ---- */
static int select_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM], d = c->arg[0].i, i = c->arg[1].i;
  int n = 0;
  for (int k = 0; k < x->ndim; k++) {
    if (k == d) continue;
    shape[n] = x->shape[k];
    stride[n++] = x->stride[k];
  }
  return set_view(c, n, shape, stride, i * x->stride[d]);
}

static int slice_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM], d = c->arg[0].i, step = c->arg[3].i;
  memcpy(shape, x->shape, sizeof shape);
  memcpy(stride, x->stride, sizeof stride);
  shape[d] = (c->arg[2].i - c->arg[1].i + step - 1) / step;
  stride[d] *= step;
  return set_view(c, x->ndim, shape, stride, c->arg[1].i * x->stride[d]);
}

/* The gradient of a part: zeros of x's shape with gy in that part. */
static int part_back(eq_call *c, eq_tensor **gy, eq_tensor **gx, int64_t from, int64_t to,
                     int64_t step) {
  const eq_tensor *x = c->in[0];
  return give(gx, eq_f("unslice", "tliiii", gy[0], x->ndim, x->shape, c->arg[0].i, from, to, step));
}

static int select_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  const eq_tensor *x = c->in[0];
  int64_t shape[EQ_MAXDIM];
  memcpy(shape, x->shape, sizeof shape);
  shape[c->arg[0].i] = 1;
  eq_tensor *g = eq_f("reshape", "tl", gy[0], x->ndim, shape), *keep = gy[0];
  if (!g) return eq_error.status;
  gy[0] = g;
  int bad = part_back(c, gy, gx, c->arg[1].i, c->arg[1].i + 1, 1);
  gy[0] = keep;
  eq_release(g);
  return bad;
}

static int slice_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return part_back(c, gy, gx, c->arg[1].i, c->arg[2].i, c->arg[3].i);
}

static int unslice_shape(eq_call *c) {
  int n;
  const int64_t *shape = eq_list(c, 0, &n);
  return eq_out(c, 0, c->in[0]->dtype, n, shape);
}

static int unslice_run(eq_call *c) {
  eq_tensor *y = c->out[0];
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM], d = c->arg[1].i, step = c->arg[4].i;
  memset(y->data, 0, (size_t)y->numel * eq_size(y->dtype));
  memcpy(shape, y->shape, sizeof shape);
  memcpy(stride, y->stride, sizeof stride);
  shape[d] = c->in[0]->shape[d];
  stride[d] *= step;
  eq_tensor *part = eq_view(y, y->ndim, shape, stride, c->arg[2].i * y->stride[d]);
  int bad = part ? eq_copy(part, c->in[0]) : EQ_NOMEM;
  eq_release(part);
  return bad;
}

static int unslice_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return give(gx,
              eq_f("slice", "tiiii", gy[0], c->arg[1].i, c->arg[2].i, c->arg[3].i, c->arg[4].i));
}

/* ---- contiguous, clone ---- */
static int clone_compute(eq_call *c) {
  const eq_tensor *x = c->in[0];
  return eq_out(c, 0, x->dtype, x->ndim, x->shape);
}
static int clone_run(eq_call *c) { return eq_copy(c->out[0], c->in[0]); }
static int same_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  (void)c;
  gx[0] = eq_retain(gy[0]);
  return EQ_OK;
}

/* ---- conversion ---- */
static int to_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  return eq_out_like(c, 0, (eq_dtype)c->arg[0].i, x);
}
static int to_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return give(gx, eq_f("to", "ti", gy[0], (int64_t)c->in[0]->dtype));
}

const eq_op ops_shape[] = {
    {.name = "reshape",
     .sig = "x:tensor, sizes:ints -> y",
     .doc = "x with another shape and the same elements in row-major order; one size may be -1.\nA "
            "view "
            "where the strides allow it, else a copy.",
     .example = "print(equi.arange(6):reshape(2, -1):size())  --> 2 3",
     .shape = reshape_shape,
     .back = reshape_back,
     .flags = EQ_VIEW,
     .where = EQ_HERE},
    {.name = "permute",
     .sig = "x:tensor, dims:dims -> y",
     .doc = "A view with the dims in the order given.",
     .example = "print(equi.zeros(2, 3, 4):permute(3, 1, 2):size())  --> 4 2 3",
     .shape = permute_shape,
     .back = permute_back,
     .flags = EQ_VIEW,
     .where = EQ_HERE},
    {.name = "transpose",
     .sig = "x:tensor, dim1:dim=-2, dim2:dim=-1 -> y",
     .doc = "A view with two dims exchanged, by default the last two.",
     .example = "print(equi.zeros(2, 3):transpose():size())  --> 3 2",
     .shape = transpose_shape,
     .back = transpose_back,
     .flags = EQ_VIEW,
     .where = EQ_HERE},
    {.name = "expand",
     .sig = "x:tensor, sizes:ints -> y",
     .doc = "A view that repeats dims of size 1 (stride 0) to the sizes given; -1 leaves a size.",
     .example = "print(equi.ones(3, 1):expand(2, 3, 4):size())  --> 2 3 4",
     .shape = expand_shape,
     .back = expand_back,
     .flags = EQ_VIEW,
     .where = EQ_HERE},
    {.name = "select",
     .sig = "x:tensor, dim:dim, index:int -> y",
     .doc = "Position `index` (from 0) of a dim.",
     .shape = select_shape,
     .back = select_back,
     .flags = EQ_VIEW | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "slice",
     .sig = "x:tensor, dim:dim, from:int, to:int, step:int -> y",
     .doc = "Positions from .. to - 1 (from 0) of a dim.",
     .shape = slice_shape,
     .back = slice_back,
     .flags = EQ_VIEW | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "unslice",
     .sig = "g:tensor, sizes:ints, dim:int, from:int, to:int, step:int -> gx",
     .doc = "Zeros of the sizes given with g in a slice: the rule of slice.",
     .shape = unslice_shape,
     .run = unslice_run,
     .back = unslice_back,
     .flags = EQ_ANY_STRIDE | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "clone",
     .sig = "x:tensor -> y",
     .doc = "A row-major copy with its own memory.",
     .example = "local x = equi.zeros(2)\nprint(x:clone():shares_storage(x))  --> false",
     .shape = clone_compute,
     .run = clone_run,
     .back = same_back,
     .flags = EQ_ANY_STRIDE,
     .where = EQ_HERE},
    {.name = "to",
     .sig = "x:tensor, dtype:dtype -> y",
     .doc = "A copy in another dtype. Floats to i64 and u8 lose the fraction; to bool: not zero.",
     .example = "print(equi.ones(2):to(\"i64\").dtype)  --> i64",
     .shape = to_shape,
     .run = clone_run,
     .back = to_back,
     .flags = EQ_ANY_STRIDE,
     .where = EQ_HERE},
    {0}};
